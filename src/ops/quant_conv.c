/* quant_conv.c - ConvInteger, QLinearConv: convolution of 8-bit integers over 1 to 6 spatial dimensions, as shifted products.
 *     x [N][C][..][L] -> padded, channels last: [N][group][..][L'][c]   (padding holds x's zero point)
 *     weights [M][c][..][K] -> for each group and each row of taps: a packed matrix [K * c][M / groups]
 * In the padded copy the taps of one row of the kernel, when the last dilation is 1, are the neighbouring bytes of its first: so one
 * row of outputs is a plain product in which row t of the left side starts at t * stride * c, and rows overlap. The product is added
 * up over the rows of taps (kernel height, depth). With a dilation, each tap is a row of taps of its own. No im2col. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/quant.h"
#include "ops/window.h"

enum { BLOCK = 64, COLS = 256 }; /* outputs in time, and channels, of one task */

/* ---- weights ------------------------------------------------------------------------------------------------------------- */

/* How the kernel is cut into rows of taps. */
typedef struct taps {
    size_t per_row, n_row; /* taps in a row; rows */
} taps;

static taps cut_taps(const int64_t *kernel, int n, int64_t last_dilation)
{
    size_t all = koe_dim_product(kernel, 0, n), last = (size_t)kernel[n - 1];
    return last_dilation == 1 ? (taps){ last, all / last } : (taps){ 1, all };
}

/* Rank of w, and its output channels against the groups. */
static koe_status check_weights(const koe_node *node, const koe_tensor *w, size_t *n_group, koe_error *err)
{
    int64_t g = koe_node_int(node, "group", 1);
    if (w->n_dim < 3 || g < 1 || w->dim[0] % g != 0 || w->dim[0] == 0 || koe_tensor_count(w) == 0) {
        char s[96];
        return koe_fail(err, KOE_E_FORMAT, "%.*s: weights %s in %" PRId64 " groups (node %.*s)", KOE_STR_ARG(node->op_type),
                        koe_tensor_describe(w, s, sizeof s), g, KOE_STR_ARG(node->name));
    }
    *n_group = (size_t)g;
    return KOE_OK;
}

/* The matrices [group][row of taps], rows [tap][channel in], columns channel out. */
static koe_quant_matrices matrices_of(const koe_tensor *w, size_t n_group, taps t)
{
    size_t c = (size_t)w->dim[1], n_out = (size_t)w->dim[0] / n_group, all = t.per_row * t.n_row;
    return (koe_quant_matrices){ .n_outer = n_group, .outer_distance = n_out * c * all, .n_inner = t.n_row, .inner_distance = t.per_row,
                                 .k = t.per_row * c, .n = n_out, .row_step = all, .col_step = c * all, .run = c, .run_step = 1 };
}

/* Packs constant weights in input i_w: the state is their matrices. */
static koe_status prepare_conv(koe_node *node, int i_w, void **state, koe_error *err)
{
    const koe_tensor *w = i_w < node->n_in ? node->in_const[i_w] : NULL;
    *state = NULL;
    if (!w || !koe_is_byte(w->dtype)) return KOE_OK;
    size_t n_group;
    koe_status st = check_weights(node, w, &n_group, err);
    if (st != KOE_OK) return st;
    const int64_t *dilation;
    size_t n_dil = koe_node_ints(node, "dilations", &dilation);
    koe_quant_matrices m = matrices_of(w, n_group, cut_taps(w->dim + 2, w->n_dim - 2, n_dil ? dilation[n_dil - 1] : 1));
    return koe_quant_pack((koe_i8_packed **)state, node, i_w, &m, err);
}

static koe_status prepare_integer(koe_node *node, void **state, koe_error *err) { return prepare_conv(node, 1, state, err); }
static koe_status prepare_qlinear(koe_node *node, void **state, koe_error *err) { return prepare_conv(node, 3, state, err); }

/* ---- the convolution ----------------------------------------------------------------------------------------------------- */

typedef struct conv_job {
    koe_window w;
    const koe_tensor *x;
    const koe_i8_packed *weights; /* [n_group][rows of taps] */
    taps t;
    size_t n_item, n_group, c, n_out; /* batch items; groups; input and output channels of a group */
    size_t in_points, out_points; /* spatial positions of one channel */
    int64_t padded[KOE_MAX_SPATIAL]; /* spatial shape of the padded copy */
    size_t padded_points;
    uint8_t *copy; /* [n_item][n_group][padded...][c] */
    int32_t x_zero;
    const int32_t *w_zero; /* [n_group * n_out] or NULL */
    size_t copy_rows, copy_blocks; /* rows of the padded copy; blocks of BLOCK positions in one */
    size_t out_rows, blocks, col_blocks; /* rows of outputs in a plane; blocks of BLOCK outputs in a row; of COLS channels */
    void *y;
    /* QLinearConv */
    const float *factor; /* [n_group * n_out], NULL: y is the int32 sums */
    const int32_t *bias;
    int32_t y_zero, lo, hi;
} conv_job;

/* Fills BLOCK positions of one row of the padded copy, for one group of one item. */
static void copy_task(void *arg, size_t task)
{
    const conv_job *j = arg;
    int last = j->w.n - 1;
    size_t block = task % j->copy_blocks, row = task / j->copy_blocks % j->copy_rows, plane = task / j->copy_blocks / j->copy_rows;
    int64_t from = (int64_t)block * BLOCK, to = from + BLOCK < j->padded[last] ? from + BLOCK : j->padded[last];
    uint8_t *y = j->copy + (plane * j->padded_points + row * (size_t)j->padded[last]) * j->c;
    int64_t in_row = 0, step = 1; /* row of the input that this row copies */
    bool inside = true;
    size_t left = row;
    for (int d = last - 1; d >= 0; d--) {
        int64_t at = (int64_t)(left % (size_t)j->padded[d]) - j->w.pad_begin[d];
        left /= (size_t)j->padded[d];
        if (at < 0 || at >= j->w.in[d]) inside = false;
        in_row += at * step;
        step *= j->w.in[d];
    }
    int64_t begin = j->w.pad_begin[last], end = begin + j->w.in[last];
    int64_t data_from = inside ? (from > begin ? from : begin) : to, data_to = to < end ? to : end;
    if (data_from >= data_to) data_from = data_to = to;
    memset(y + (size_t)from * j->c, (uint8_t)j->x_zero, (size_t)(data_from - from) * j->c);
    memset(y + (size_t)data_to * j->c, (uint8_t)j->x_zero, (size_t)(to - data_to) * j->c);
    if (data_from == data_to) return;
    const uint8_t *x = (const uint8_t *)j->x->data + plane * j->c * j->in_points;
    size_t start = (size_t)(in_row * j->w.in[last] + data_from - begin), n = (size_t)(data_to - data_from);
    for (size_t i = 0; i < j->c; i++)
        for (size_t e = 0; e < n; e++) y[((size_t)data_from + e) * j->c + i] = x[i * j->in_points + start + e];
}

/* Sums of one block (time by channel) to the output (channel by time). */
static void store(const conv_job *j, const int32_t *sum, size_t ld, size_t channel, size_t n_channel, size_t plane, size_t point,
                  size_t n_point)
{
    size_t first = channel + plane % j->n_group * j->n_out;
    for (size_t o = 0; o < n_channel; o++) {
        size_t at = (plane * j->n_out + channel + o) * j->out_points + point;
        if (!j->factor) {
            int32_t *y = (int32_t *)j->y + at;
            for (size_t e = 0; e < n_point; e++) y[e] = sum[e * ld + o];
            continue;
        }
        uint8_t *y = (uint8_t *)j->y + at;
        float factor = j->factor[first + o], lo = (float)(j->lo - j->y_zero), hi = (float)(j->hi - j->y_zero);
        uint32_t bias = j->bias ? (uint32_t)j->bias[first + o] : 0;
        for (size_t e = 0; e < n_point; e++)
            y[e] = (uint8_t)(koe_quant_round((float)(int32_t)((uint32_t)sum[e * ld + o] + bias) * factor, lo, hi) + j->y_zero);
    }
}

static void conv_task(void *arg, size_t task)
{
    const conv_job *j = arg;
    int last = j->w.n - 1;
    size_t col = task % j->col_blocks * COLS, block = task / j->col_blocks % j->blocks, rest = task / j->col_blocks / j->blocks;
    size_t row = rest % j->out_rows, plane = rest / j->out_rows, group = plane % j->n_group;
    size_t t0 = block * BLOCK, row_len = (size_t)j->w.out[last], n_t = row_len - t0 < BLOCK ? row_len - t0 : BLOCK;
    size_t n_col = j->n_out - col < COLS ? j->n_out - col : COLS;
    int64_t out[KOE_MAX_SPATIAL] = { 0 }, tap[KOE_MAX_SPATIAL] = { 0 }, grid[KOE_MAX_SPATIAL];
    size_t left = row;
    for (int d = last - 1; d >= 0; d--) {
        out[d] = (int64_t)(left % (size_t)j->w.out[d]);
        left /= (size_t)j->w.out[d];
    }
    memcpy(grid, j->w.kernel, sizeof grid);
    if (j->w.dilation[last] == 1) grid[last] = 1; /* the taps of a row are one product */
    int32_t sum[BLOCK * COLS];
    const uint8_t *copy = j->copy + plane * j->padded_points * j->c;
    for (size_t r = 0; r < j->t.n_row; r++, koe_next_index(j->w.n, tap, grid)) {
        int64_t place = 0;
        for (int d = 0; d < last; d++) place = (place + out[d] * j->w.stride[d] + tap[d] * j->w.dilation[d]) * j->padded[d + 1];
        place += (int64_t)t0 * j->w.stride[last] + tap[last] * j->w.dilation[last];
        koe_i8_rows a = { .data = copy + (size_t)place * j->c, .ld = (size_t)j->w.stride[last] * j->c,
                          .is_signed = j->x->dtype == KOE_DTYPE_I8, .zero = j->x_zero };
        koe_i8_packed b = koe_i8_columns(&j->weights[group * j->t.n_row + r], col, n_col);
        koe_i8_gemm(sum, n_col, &a, &b, j->w_zero ? j->w_zero + group * j->n_out + col : NULL, n_t, r > 0);
    }
    store(j, sum, n_col, col, n_col, plane, row * row_len + t0, n_t);
}

/* Zero points of the weights as one for each output channel; NULL when all are 0. */
static koe_status weight_zeros(koe_op_ctx *c, conv_job *j, int i, koe_dtype type, koe_error *err)
{
    const int32_t *zero;
    size_t n, n_channel = j->n_group * j->n_out;
    koe_status st = koe_quant_zeros(c, i, type, &zero, &n, err);
    if (st != KOE_OK) return st;
    if (n != 1 && n != n_channel)
        return koe_fail(err, KOE_E_FORMAT, "%.*s: %zu zero points for %zu channels", KOE_STR_ARG(c->node->op_type), n, n_channel);
    if (n == 1 && zero[0] == 0) return KOE_OK;
    int32_t *all = koe_scratch(c, n_channel * sizeof *all);
    if (!all) return koe_fail(err, KOE_E_NOMEM, "%zu zero points", n_channel);
    for (size_t o = 0; o < n_channel; o++) all[o] = zero[n == 1 ? 0 : o];
    j->w_zero = all;
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
    koe_status st = check_weights(c->node, w, &j->n_group, err);
    if (st == KOE_OK && (x->n_dim != w->n_dim || x->dim[1] % w->dim[1] != 0 || x->dim[1] / w->dim[1] != (int64_t)j->n_group)) {
        char xs[96], ws[96];
        st = koe_fail(err, KOE_E_FORMAT, "%.*s: weights %s in %zu groups do not fit %s (node %.*s)", KOE_STR_ARG(c->node->op_type),
                      koe_tensor_describe(w, ws, sizeof ws), j->n_group, koe_tensor_describe(x, xs, sizeof xs), KOE_STR_ARG(c->node->name));
    }
    if (st == KOE_OK) st = koe_window_read(&j->w, c->node, x->n_dim - 2, x->dim + 2, w->dim + 2, err);
    if (st == KOE_OK) st = koe_quant_zeros(c, i_xz, x->dtype, &zero, &n_zero, err);
    if (st == KOE_OK && n_zero != 1)
        st = koe_fail(err, KOE_E_FORMAT, "%.*s: %zu zero points for the input", KOE_STR_ARG(c->node->op_type), n_zero);
    if (st != KOE_OK) return st;
    int n = j->w.n;
    j->x = x;
    j->x_zero = zero[0];
    j->n_item = (size_t)x->dim[0];
    j->c = (size_t)w->dim[1];
    j->n_out = (size_t)w->dim[0] / j->n_group;
    j->t = cut_taps(j->w.kernel, n, j->w.dilation[n - 1]);
    st = weight_zeros(c, j, i_wz, w->dtype, err);
    if (st != KOE_OK) return st;
    j->weights = c->state;
    if (!j->weights) {
        koe_quant_matrices m = matrices_of(w, j->n_group, j->t);
        st = koe_quant_pack_now(&j->weights, c, w, &m, err);
        if (st != KOE_OK) return st;
    }
    int64_t copy_dim[KOE_MAX_DIM] = { x->dim[0], x->dim[1] };
    dim[0] = x->dim[0];
    dim[1] = w->dim[0];
    for (int d = 0; d < n; d++) {
        copy_dim[d + 2] = j->padded[d] = j->w.in[d] + j->w.pad_begin[d] + j->w.pad_end[d];
        dim[d + 2] = j->w.out[d];
    }
    size_t copy_bytes;
    st = koe_shape_bytes(&copy_bytes, KOE_DTYPE_U8, x->n_dim, copy_dim, err);
    if (st != KOE_OK) return st;
    j->copy = koe_scratch(c, copy_bytes);
    if (!j->copy) return koe_fail(err, KOE_E_NOMEM, "padded input of %zu bytes", copy_bytes);
    j->in_points = koe_dim_product(j->w.in, 0, n);
    j->out_points = koe_dim_product(j->w.out, 0, n);
    j->padded_points = koe_dim_product(j->padded, 0, n);
    j->copy_rows = koe_dim_product(j->padded, 0, n - 1);
    j->copy_blocks = ((size_t)j->padded[n - 1] + BLOCK - 1) / BLOCK;
    j->out_rows = koe_dim_product(j->w.out, 0, n - 1);
    j->blocks = ((size_t)j->w.out[n - 1] + BLOCK - 1) / BLOCK;
    j->col_blocks = (j->n_out + COLS - 1) / COLS;
    return KOE_OK;
}

static void convolve(koe_op_ctx *c, conv_job *j)
{
    size_t planes = j->n_item * j->n_group;
    koe_pool_for(c->pool, planes * j->copy_rows * j->copy_blocks, copy_task, j);
    koe_pool_for(c->pool, planes * j->out_rows * j->blocks * j->col_blocks, conv_task, j);
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
    if (st == KOE_OK && n != 1 && n != n_channel)
        st = koe_fail(err, KOE_E_FORMAT, "QLinearConv: %zu scales for %zu channels", n, n_channel);
    if (st == KOE_OK && bias && bias->dtype != KOE_DTYPE_I32) st = koe_type_error(c, bias->dtype, err);
    if (st == KOE_OK && bias && koe_tensor_count(bias) != n_channel)
        st = koe_fail(err, KOE_E_FORMAT, "QLinearConv: bias of %zu for %zu channels", koe_tensor_count(bias), n_channel);
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
