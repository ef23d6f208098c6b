/* quant_conv.c - ConvInteger, QLinearConv: convolution of 8-bit integers over 1 to 6 spatial dimensions.
 *     x [N][C][..][L]      -> padded, four channels to a word: [N][group][c / 4][..][phase][L' / stride]
 *     weights [M][c][..][K] -> for each group koe_i8_conv_pack()
 * In the copy, the inputs that a tap meets in a row of outputs are neighbours: position q of the last dimension is in phase q %
 * stride at q / stride. So every tap, of any dimension, dilation or stride, is an offset, and a row of outputs is one call of
 * koe_i8_conv(). With x' = x + (0 or 128) unsigned, w' = w - (0 or 128) signed, and their zero points shifted alike: sum (x' -
 * xz)(w' - wz) = sum x' w' - xz sum w' - wz (sum x' - k xz) */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/bytes.h"
#include "ops/ops.h"
#include "ops/quant.h"
#include "ops/tasks.h"
#include "ops/window.h"

enum {
    TIMES = 192, /* outputs of one row in a task */
    CHANNELS = 64, /* output channels of a task: whole blocks of the kernel */
    COPY = 2048, /* positions of the last dimension in a task of the copy */
};

/* ---- weights ------------------------------------------------------------------------------------------------------------- */

/* Packed weights of all groups. */
typedef struct conv_weights {
    uint32_t *words; /* [n_group][group_words] */
    int32_t *sum; /* [n_group * n_out] */
    size_t group_words;
} conv_weights;

/* Rank of w, its output channels against the groups, and sizes of the packs. */
static koe_status plan_weights(conv_weights *cw, const koe_node *node, const koe_tensor *w, size_t *n_group, koe_error *err)
{
    int64_t g = koe_node_int(node, "group", 1);
    size_t all;
    if (w->n_dim < 3 || g < 1 || w->dim[0] % g != 0 || koe_tensor_count(w) == 0) {
        char s[96];
        return koe_fail(err, KOE_E_FORMAT, "weights %s in %" PRId64 " groups", koe_tensor_describe(w, s, sizeof s), g);
    }
    *n_group = (size_t)g;
    *cw = (conv_weights){ .group_words = koe_i8_conv_words((size_t)w->dim[0] / *n_group, (size_t)w->dim[1],
                                                           koe_dim_product(w->dim, 2, w->n_dim)) };
    if (cw->group_words == 0 || __builtin_mul_overflow(cw->group_words, *n_group, &all) || all > SIZE_MAX / sizeof(uint32_t))
        return koe_fail(err, KOE_E_LIMIT, "%zu groups of weights", *n_group);
    return KOE_OK;
}

/* data: the elements of w. */
static void pack_weights(const conv_weights *cw, const koe_tensor *w, const void *data, size_t n_group)
{
    size_t n_out = (size_t)w->dim[0] / n_group, n_in = (size_t)w->dim[1], taps = koe_dim_product(w->dim, 2, w->n_dim);
    for (size_t g = 0; g < n_group; g++)
        koe_i8_conv_pack(cw->words + g * cw->group_words, cw->sum + g * n_out, (const char *)data + g * n_out * n_in * taps,
                         w->dtype == KOE_DTYPE_I8, n_out, n_in, taps);
}

/* Packs constant weights in input i_w, as parts 0 and 1. */
static koe_status prepare_conv(koe_node *node, int i_w, void **state, koe_error *err)
{
    const koe_tensor *w = i_w < node->n_in ? node->in_const[i_w] : NULL;
    *state = NULL;
    if (!w || !koe_is_byte(w->dtype)) return KOE_OK;
    conv_weights plan, *cw;
    size_t n_group;
    void *words, *sum;
    bool words_ready = false, sum_ready = false;
    koe_status st = plan_weights(&plan, node, w, &n_group, err);
    if (st == KOE_OK)
        st = koe_node_pack(node, i_w, 0, n_group * plan.group_words * sizeof *plan.words, &words, &words_ready, err);
    if (st == KOE_OK) st = koe_node_pack(node, i_w, 1, (size_t)w->dim[0] * sizeof *plan.sum, &sum, &sum_ready, err);
    if (st != KOE_OK) return st;
    plan.words = words;
    plan.sum = sum;
    if (!words_ready || !sum_ready) {
        const void *data = koe_node_data(node, i_w);
        if (!data) return koe_fail(err, KOE_E_NOMEM, "convolution weights");
        pack_weights(&plan, w, data, n_group);
    }
    cw = malloc(sizeof *cw);
    if (!cw) return koe_fail(err, KOE_E_NOMEM, "convolution weights");
    *cw = plan;
    *state = cw;
    return KOE_OK;
}

static koe_status prepare_integer(koe_node *node, void **state, koe_error *err) { return prepare_conv(node, 1, state, err); }
static koe_status prepare_qlinear(koe_node *node, void **state, koe_error *err) { return prepare_conv(node, 3, state, err); }

/* Weights that the graph computes are packed in each run. */
static koe_status run_weights(koe_op_ctx *c, const koe_tensor *w, conv_weights *cw, size_t *n_group, koe_error *err)
{
    koe_status st = plan_weights(cw, c->node, w, n_group, err);
    if (st != KOE_OK) return st;
    if (c->state) {
        *cw = *(const conv_weights *)c->state;
        return KOE_OK;
    }
    cw->words = koe_scratch(c, *n_group * cw->group_words * sizeof *cw->words);
    cw->sum = koe_scratch(c, (size_t)w->dim[0] * sizeof *cw->sum);
    if (!cw->words || !cw->sum) return koe_fail(err, KOE_E_NOMEM, "convolution weights");
    pack_weights(cw, w, w->data, *n_group);
    return KOE_OK;
}

/* ---- the convolution ----------------------------------------------------------------------------------------------------- */

typedef struct conv_job {
    koe_window w;
    const koe_tensor *x;
    conv_weights cw;
    bool w_signed;
    size_t n_item, n_group, c, n_out, taps; /* batch items; groups; input and output channels of a group */
    size_t in_points, out_points; /* spatial positions of one channel */
    int64_t padded[KOE_MAX_SPATIAL]; /* spatial shape of the padded copy */
    size_t n_row, phase_len, row_words; /* rows of the padded copy; words of a phase, and of a row */
    size_t n_word; /* rows of words: c / 4 rounded up */
    uint32_t *copy; /* [item, group][n_word][n_row][row_words] */
    int32_t *point_sum; /* [item, group][n_row][row_words] sum over the channels, NULL when no weight has a zero point */
    const size_t *off; /* [taps] */
    int32_t x_zero; /* in unsigned form */
    const int32_t *w_zero; /* [n_group * n_out] in signed form, NULL: all 0 */
    size_t out_rows, time_blocks, channel_blocks, copy_blocks;
    void *y;
    /* QLinearConv */
    const float *factor; /* [n_group * n_out], NULL: y is the int32 sums */
    const int32_t *bias;
    int32_t y_zero, lo, hi;
} conv_job;

/* Row of the input that a row of the padded copy holds; false when it is padding. */
static bool input_row(const conv_job *j, size_t row, size_t *in_row)
{
    size_t step = 1;
    *in_row = 0;
    for (int d = j->w.n - 2; d >= 0; d--) {
        int64_t at = (int64_t)(row % (size_t)j->padded[d]) - j->w.pad_begin[d];
        row /= (size_t)j->padded[d];
        if (at < 0 || at >= j->w.in[d]) return false;
        *in_row += (size_t)at * step;
        step *= (size_t)j->w.in[d];
    }
    return true;
}

/* bytes[q] = element of channel i at positions from..from+n of a padded row, in unsigned form; in: the channel's row, or NULL for
 * padding. */
static void padded_bytes(const conv_job *j, uint8_t *bytes, const uint8_t *in, int64_t from, int64_t n)
{
    int last = j->w.n - 1;
    uint8_t flip = j->x->dtype == KOE_DTYPE_I8 ? 0x80 : 0;
    int64_t begin = j->w.pad_begin[last] - from, end = begin + j->w.in[last]; /* of the data, in bytes[] */
    if (begin < 0) begin = 0;
    if (end > n) end = n;
    if (!in || begin >= end) begin = end = n;
    memset(bytes, j->x_zero, (size_t)begin);
    memset(bytes + end, j->x_zero, (size_t)(n - end));
    if (begin == end) return;
    in += from + begin - j->w.pad_begin[last];
    for (int64_t q = begin; q < end; q++) bytes[q] = in[q - begin] ^ flip;
}

/* COPY positions of one row of the padded copy, all channels of one group of one item. */
static void copy_task(void *arg, size_t task)
{
    const conv_job *j = arg;
    size_t block = task % j->copy_blocks, row = task / j->copy_blocks % j->n_row, plane = task / j->copy_blocks / j->n_row,
           in_row;
    int last = j->w.n - 1;
    int64_t from = (int64_t)block * COPY, n = j->padded[last] - from < COPY ? j->padded[last] - from : COPY;
    bool inside = input_row(j, row, &in_row);
    size_t step = (size_t)j->w.stride[last];
    uint8_t bytes[4][COPY];
    int32_t sum[COPY];
    memset(sum, 0, sizeof sum);
    memset(bytes, 0, sizeof bytes);
    for (size_t g = 0; g < j->n_word; g++) {
        size_t n_channel = j->c - 4 * g < 4 ? j->c - 4 * g : 4;
        for (size_t k = 0; k < n_channel; k++) {
            const uint8_t *in =
                (const uint8_t *)j->x->data + (plane * j->c + 4 * g + k) * j->in_points + in_row * (size_t)j->w.in[last];
            padded_bytes(j, bytes[k], inside ? in : NULL, from, n);
        }
        for (size_t k = n_channel; k < 4; k++) memset(bytes[k], 0, sizeof bytes[k]);
        uint32_t *to = j->copy + ((plane * j->n_word + g) * j->n_row + row) * j->row_words;
        for (size_t q = 0; q < (size_t)n; q++) {
            uint32_t word =
                (uint32_t)bytes[0][q] | (uint32_t)bytes[1][q] << 8 | (uint32_t)bytes[2][q] << 16 | (uint32_t)bytes[3][q] << 24;
            size_t at = (size_t)from + q;
            to[step == 1 ? at : at % step * j->phase_len + at / step] = word;
        }
        for (size_t q = 0; j->point_sum && q < (size_t)n; q++) sum[q] += bytes[0][q] + bytes[1][q] + bytes[2][q] + bytes[3][q];
    }
    for (size_t q = 0; j->point_sum && q < (size_t)n; q++) {
        size_t at = (size_t)from + q;
        j->point_sum[(plane * j->n_row + row) * j->row_words + (step == 1 ? at : at % step * j->phase_len + at / step)] = sum[q];
    }
}

/* What the zero points make of the sums of one output channel, at n times: `window` is the sum of x at each. */
static void start_row(const conv_job *j, int32_t *sum, size_t channel, const uint32_t *window, size_t n)
{
    uint32_t xz = (uint32_t)j->x_zero, wz = j->w_zero ? (uint32_t)j->w_zero[channel] : 0, k = (uint32_t)(j->c * j->taps);
    uint32_t first = wz * k * xz - xz * (uint32_t)j->cw.sum[channel];
    for (size_t e = 0; e < n; e++) sum[e] = (int32_t)(first - (window ? wz * window[e] : 0));
}

static void requantise_row(const conv_job *j, uint8_t *y, const int32_t *sum, size_t channel, size_t n)
{
    float factor = j->factor[channel], lo = (float)(j->lo - j->y_zero), hi = (float)(j->hi - j->y_zero);
    uint32_t bias = j->bias ? (uint32_t)j->bias[channel] : 0;
    for (size_t e = 0; e < n; e++)
        y[e] = (uint8_t)(koe_quant_round((float)(int32_t)((uint32_t)sum[e] + bias) * factor, lo, hi) + j->y_zero);
}

static void conv_task(void *arg, size_t task)
{
    const conv_job *j = arg;
    int last = j->w.n - 1;
    size_t o = task % j->channel_blocks * CHANNELS, block = task / j->channel_blocks % j->time_blocks;
    size_t rest = task / j->channel_blocks / j->time_blocks, row = rest % j->out_rows, plane = rest / j->out_rows;
    size_t row_len = (size_t)j->w.out[last], t0 = block * TIMES, n = row_len - t0 < TIMES ? row_len - t0 : TIMES;
    size_t m = j->n_out - o < CHANNELS ? j->n_out - o : CHANNELS, group = plane % j->n_group, channel = group * j->n_out + o;
    size_t at = 0, step = 1, left = row; /* first row of the copy that the windows meet */
    for (int d = last - 1; d >= 0; d--) {
        at += left % (size_t)j->w.out[d] * (size_t)j->w.stride[d] * step;
        left /= (size_t)j->w.out[d];
        step *= (size_t)j->padded[d];
    }
    at = at * j->row_words + t0;
    uint32_t window[TIMES] = { 0 };
    for (size_t t = 0; j->w_zero && t < j->taps; t++) {
        const int32_t *s = j->point_sum + plane * j->n_row * j->row_words + at + j->off[t];
        for (size_t e = 0; e < n; e++) window[e] += (uint32_t)s[e];
    }
    int32_t local[CHANNELS * TIMES], *sum = local;
    size_t ld = TIMES, y_at = (plane * j->n_out + o) * j->out_points + row * row_len + t0;
    if (!j->factor) {
        sum = (int32_t *)j->y + y_at;
        ld = j->out_points;
    }
    for (size_t i = 0; i < m; i++) start_row(j, sum + i * ld, channel + i, j->w_zero ? window : NULL, n);
    koe_i8_conv(sum, ld, j->cw.words + group * j->cw.group_words + o * j->n_word * j->taps,
                j->copy + plane * j->n_word * j->n_row * j->row_words + at, j->n_row * j->row_words, j->off, j->n_word, j->taps,
                m, n);
    for (size_t i = 0; j->factor && i < m; i++)
        requantise_row(j, (uint8_t *)j->y + y_at + i * j->out_points, sum + i * ld, channel + i, n);
}

/* Zero points of the weights, in signed form, as one for each output channel; NULL when all are 0. */
static koe_status weight_zeros(koe_op_ctx *c, conv_job *j, int i, koe_dtype type, koe_error *err)
{
    const int32_t *zero;
    size_t n, n_channel = j->n_group * j->n_out;
    int32_t shift = j->w_signed ? 0 : 128;
    bool any = false;
    koe_status st = koe_quant_zeros(c, i, type, &zero, &n, err);
    if (st != KOE_OK) return st;
    if (n != 1 && n != n_channel) return koe_fail(err, KOE_E_FORMAT, "%zu zero points for %zu channels", n, n_channel);
    int32_t *all = koe_scratch(c, n_channel * sizeof *all);
    if (!all) return koe_fail(err, KOE_E_NOMEM, "%zu zero points", n_channel);
    for (size_t o = 0; o < n_channel; o++) {
        all[o] = zero[n == 1 ? 0 : o] - shift;
        any = any || all[o] != 0;
    }
    j->w_zero = any ? all : NULL;
    return KOE_OK;
}

/* Shape of the padded copy, and its memory. */
static koe_status plan_copy(koe_op_ctx *c, conv_job *j, koe_error *err)
{
    int n = j->w.n, last = n - 1;
    size_t words, sums, row, count = 1;
    for (int d = 0; d < n; d++) j->padded[d] = j->w.in[d] + j->w.pad_begin[d] + j->w.pad_end[d];
    if (j->w.out[last] == 1) j->w.stride[last] = 1; /* no second output: no stride */
    size_t step = (size_t)j->w.stride[last];
    j->phase_len = ((size_t)j->padded[last] + step - 1) / step;
    j->n_word = (j->c + 3) / 4;
    bool ok = !__builtin_mul_overflow(j->phase_len, step, &j->row_words);
    for (int d = 0; d < last && ok; d++) ok = !__builtin_mul_overflow(count, (size_t)j->padded[d], &count);
    ok = ok && !__builtin_mul_overflow(count, j->row_words, &row) && !__builtin_mul_overflow(row, j->n_item, &sums) &&
         !__builtin_mul_overflow(sums, j->n_group, &sums) && !__builtin_mul_overflow(sums, j->n_word, &words) &&
         words < SIZE_MAX / sizeof(uint32_t) - KOE_I8_CONV_SLACK;
    if (!ok) return koe_fail(err, KOE_E_LIMIT, "the padded input is too large");
    j->n_row = count;
    j->copy = koe_scratch(c, (words + KOE_I8_CONV_SLACK) * sizeof *j->copy);
    j->point_sum = j->w_zero ? koe_scratch(c, sums * sizeof *j->point_sum) : NULL;
    if (!j->copy || (j->w_zero && !j->point_sum)) return koe_fail(err, KOE_E_NOMEM, "padded input of %zu words", words);
    memset(j->copy + words, 0, KOE_I8_CONV_SLACK * sizeof *j->copy);
    return KOE_OK;
}

/* Offsets of the taps from a window's first word. */
static koe_status plan_taps(koe_op_ctx *c, conv_job *j, koe_error *err)
{
    int last = j->w.n - 1;
    size_t *off = koe_scratch(c, j->taps * sizeof *off), step = (size_t)j->w.stride[last];
    if (!off) return koe_fail(err, KOE_E_NOMEM, "%zu taps", j->taps);
    int64_t tap[KOE_MAX_SPATIAL] = { 0 };
    for (size_t t = 0; t < j->taps; t++, koe_next_index(j->w.n, tap, j->w.kernel)) {
        size_t row = 0, q = (size_t)(tap[last] * j->w.dilation[last]);
        for (int d = 0; d < last; d++)
            row = (row + (size_t)(tap[d] * j->w.dilation[d])) * (size_t)(d + 1 < last ? j->padded[d + 1] : 1);
        off[t] = row * j->row_words + q % step * j->phase_len + q / step;
    }
    j->off = off;
    return KOE_OK;
}

/* Shapes, padded copy and weights; i_xz, i_wz: the inputs with zero points. dim: the output's shape. */
static koe_status set_up(koe_op_ctx *c, conv_job *j, const koe_tensor *x, const koe_tensor *w, int i_xz, int i_wz, int64_t *dim,
                         koe_error *err)
{
    const int32_t *zero;
    size_t n_zero;
    if (!koe_is_byte(x->dtype)) return koe_type_error(c, x->dtype, err);
    if (!koe_is_byte(w->dtype)) return koe_type_error(c, w->dtype, err);
    koe_status st = run_weights(c, w, &j->cw, &j->n_group, err);
    if (st == KOE_OK && (x->n_dim != w->n_dim || x->dim[1] % w->dim[1] != 0 || x->dim[1] / w->dim[1] != (int64_t)j->n_group)) {
        char xs[96], ws[96];
        st = koe_fail(err, KOE_E_FORMAT, "weights %s in %zu groups do not fit %s", koe_tensor_describe(w, ws, sizeof ws),
                      j->n_group, koe_tensor_describe(x, xs, sizeof xs));
    }
    if (st == KOE_OK) st = koe_window_read(&j->w, c->node, x->n_dim - 2, x->dim + 2, w->dim + 2, err);
    if (st == KOE_OK) st = koe_quant_zeros(c, i_xz, x->dtype, &zero, &n_zero, err);
    if (st == KOE_OK && n_zero != 1) st = koe_fail(err, KOE_E_FORMAT, "%zu zero points for the input", n_zero);
    if (st != KOE_OK) return st;
    int n = j->w.n;
    j->x = x;
    j->x_zero = zero[0] + (x->dtype == KOE_DTYPE_I8 ? 128 : 0);
    j->w_signed = w->dtype == KOE_DTYPE_I8;
    j->n_item = (size_t)x->dim[0];
    j->c = (size_t)w->dim[1];
    j->n_out = (size_t)w->dim[0] / j->n_group;
    j->taps = koe_dim_product(j->w.kernel, 0, n);
    j->in_points = koe_dim_product(j->w.in, 0, n);
    j->out_points = koe_dim_product(j->w.out, 0, n);
    j->out_rows = koe_dim_product(j->w.out, 0, n - 1);
    j->time_blocks = ((size_t)j->w.out[n - 1] + TIMES - 1) / TIMES;
    j->channel_blocks = (j->n_out + CHANNELS - 1) / CHANNELS;
    dim[0] = x->dim[0];
    dim[1] = w->dim[0];
    for (int d = 0; d < n; d++) dim[d + 2] = j->w.out[d];
    st = weight_zeros(c, j, i_wz, w->dtype, err);
    if (st == KOE_OK) st = plan_copy(c, j, err);
    return st == KOE_OK ? plan_taps(c, j, err) : st;
}

static void convolve(koe_op_ctx *c, conv_job *j)
{
    size_t planes = j->n_item * j->n_group;
    j->copy_blocks = ((size_t)j->padded[j->w.n - 1] + COPY - 1) / COPY;
    koe_pool_for(c->pool, planes * j->n_row * j->copy_blocks, copy_task, j);
    koe_pool_for(c->pool, planes * j->out_rows * j->time_blocks * j->channel_blocks, conv_task, j);
}

/* ---- the operators ------------------------------------------------------------------------------------------------------- */

static koe_status conv_integer_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *w;
    koe_tensor *y;
    conv_job j = { 0 };
    int64_t dim[KOE_MAX_DIM];
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &w, err);
    if (st == KOE_OK) st = set_up(c, &j, x, w, 2, 3, dim, err);
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_I32, x->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    j.y = y->data;
    convolve(c, &j);
    return KOE_OK;
}

/* What a sum of each channel is worth in the output, and the bias. */
static koe_status requantisation(koe_op_ctx *c, conv_job *j, koe_dtype x_type, koe_dtype y_type, koe_error *err)
{
    koe_quant_param xq, yq;
    const float *scale;
    size_t n, n_channel = j->n_group * j->n_out;
    const koe_tensor *bias = koe_in(c, 8);
    koe_status st = koe_quant_whole(c, 1, 2, x_type, &xq, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 6, 7, y_type, &yq, err);
    if (st == KOE_OK) st = koe_quant_scales(c, 4, &scale, &n, err);
    if (st == KOE_OK && n != 1 && n != n_channel) st = koe_fail(err, KOE_E_FORMAT, "%zu scales for %zu channels", n, n_channel);
    if (st == KOE_OK && bias && bias->dtype != KOE_DTYPE_I32) st = koe_type_error(c, bias->dtype, err);
    if (st == KOE_OK && bias && koe_tensor_count(bias) != n_channel)
        st = koe_fail(err, KOE_E_FORMAT, "bias of %zu for %zu channels", koe_tensor_count(bias), n_channel);
    if (st != KOE_OK) return st;
    float *factor = koe_scratch(c, n_channel * sizeof *factor);
    if (!factor) return koe_fail(err, KOE_E_NOMEM, "%zu scales", n_channel);
    for (size_t o = 0; o < n_channel; o++) factor[o] = xq.scale * scale[n == 1 ? 0 : o] / yq.scale;
    j->factor = factor;
    j->bias = bias ? bias->data : NULL;
    j->y_zero = yq.zero;
    koe_quant_range(y_type, &j->lo, &j->hi);
    return KOE_OK;
}

static koe_status qlinear_conv_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *w, *zero;
    koe_tensor *y;
    conv_job j = { 0 };
    int64_t dim[KOE_MAX_DIM];
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 3, &w, err);
    if (st == KOE_OK) st = koe_need(c, 7, &zero, err);
    if (st == KOE_OK && !koe_is_byte(zero->dtype)) st = koe_type_error(c, zero->dtype, err);
    if (st == KOE_OK) st = set_up(c, &j, x, w, 2, 5, dim, err);
    if (st == KOE_OK) st = requantisation(c, &j, x->dtype, zero->dtype, err);
    if (st == KOE_OK) st = koe_out(c, 0, zero->dtype, x->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    j.y = y->data;
    convolve(c, &j);
    return KOE_OK;
}

static const koe_op table[] = {
    { "ConvInteger", 10, 0, KOE_OP_PACKS, prepare_integer, free, conv_integer_run, NULL },
    { "QLinearConv", 10, 0, KOE_OP_PACKS, prepare_qlinear, free, qlinear_conv_run, NULL },
};

koe_op_table koe_ops_quant_conv(void) { return KOE_OP_TABLE(table); }
