/* conv.c - Conv, ConvTranspose, Microsoft's FusedConv and koe's own (see fused.c), in any number of dimensions.
 *     x [N, C, spatial...]   w [M, C/group, kernel...] (transposed: [C, M/group, kernel...])   y [N, M, spatial...]
 * The innermost dimension is the convolution in time of kernels/conv.h. The outer ones make it longer: each channel at each outer tap
 * is one more row of the reduction, and each outer position of y one more convolution. In a transposed convolution an outer tap that
 * falls between two inputs is a row of zeros, and each output phase of the innermost dimension is a convolution of its own. */
#include <inttypes.h>
#include <stdlib.h>

#include "ops/conv_state.h"
#include "ops/ops.h"
#include "ops/quant.h"
#include "ops/rest.h"
#include "ops/tasks.h"

enum { MAX_SPATIAL = KOE_CONV_SPATIAL_MAX, PHASES_MAX = 1 << 16 };
enum { ADDEND = 3, ADDEND_2 = 10 }; /* inputs of koe's own Conv */
/* Bound on each size, so that sums and products of two of them fit in int64. */
#define SIZE_BOUND ((int64_t)1 << 30)

typedef koe_conv_geometry geometry;
typedef koe_conv_phase phase;
typedef koe_conv_state conv_state;

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

static koe_status bad(const koe_node *node, koe_error *err, const char *what)
{
    return koe_fail(err, KOE_E_FORMAT, "%.*s %.*s: %s", KOE_STR_ARG(node->op_type), KOE_STR_ARG(node->name), what);
}

static koe_status spatial_ints(const koe_node *node, const char *name, int n, int64_t missing, int64_t low, int64_t *out, koe_error *err)
{
    const int64_t *given;
    const size_t count = koe_node_ints(node, name, &given);
    if (count && count != (size_t)n)
        return koe_fail(err, KOE_E_FORMAT, "%.*s %.*s: %s has %zu values, the shapes need %d", KOE_STR_ARG(node->op_type),
                        KOE_STR_ARG(node->name), name, count, n);
    for (int i = 0; i < n; i++) {
        out[i] = count ? given[i] : missing;
        if (out[i] < low || out[i] > SIZE_BOUND)
            return koe_fail(err, KOE_E_FORMAT, "%.*s %.*s: %s has a value of %" PRId64, KOE_STR_ARG(node->op_type), KOE_STR_ARG(node->name),
                            name, out[i]);
    }
    return KOE_OK;
}

typedef enum auto_pad { PAD_GIVEN, PAD_SAME_UPPER, PAD_SAME_LOWER, PAD_VALID } auto_pad;

static koe_status read_auto_pad(auto_pad *out, const koe_node *node, koe_error *err)
{
    static const char *const names[] = { "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID" };
    koe_str s = koe_node_str(node, "auto_pad", "NOTSET");
    for (int i = 0; i < 4; i++)
        if (koe_str_is(s, names[i])) return *out = (auto_pad)i, KOE_OK;
    return koe_fail(err, KOE_E_FORMAT, "%.*s: unknown auto_pad '%.*s'", KOE_STR_ARG(node->op_type), KOE_STR_ARG(s));
}

/* Sets out and pad of every dimension of a plain convolution. */
static koe_status conv_sizes(geometry *g, const koe_node *node, auto_pad mode, const int64_t *pads, koe_error *err)
{
    for (int i = 0; i < g->n_spatial; i++) {
        const int64_t in = (int64_t)g->in[i], span = (int64_t)((g->kernel[i] - 1) * g->dilation[i]) + 1, stride = (int64_t)g->stride[i];
        int64_t begin = pads[i], end = pads[i + g->n_spatial];
        if (mode == PAD_VALID) begin = end = 0;
        if (mode == PAD_SAME_UPPER || mode == PAD_SAME_LOWER) {
            int64_t total = ((in + stride - 1) / stride - 1) * stride + span - in;
            if (total < 0) total = 0;
            begin = mode == PAD_SAME_LOWER ? total - total / 2 : total / 2;
            end = total - begin;
        }
        const int64_t room = in + begin + end - span;
        if (room < 0 && room + stride < 0) /* one output missing is an empty output, as for an empty input */
            return koe_fail(err, KOE_E_FORMAT, "Conv %.*s: the kernel spans %" PRId64 " elements, the padded input has %" PRId64,
                            KOE_STR_ARG(node->name), span, in + begin + end);
        g->out[i] = room < 0 ? 0 : (size_t)(room / stride + 1);
        g->pad[i] = begin;
    }
    return KOE_OK;
}

/* The same for a transposed one; pads take away from its output. */
static koe_status transposed_sizes(geometry *g, const koe_node *node, auto_pad mode, const int64_t *pads, koe_error *err)
{
    int64_t extra[MAX_SPATIAL];
    const int64_t *wanted;
    koe_status st = spatial_ints(node, "output_padding", g->n_spatial, 0, 0, extra, err);
    if (st != KOE_OK) return st;
    size_t n_wanted = koe_node_ints(node, "output_shape", &wanted);
    if (n_wanted == (size_t)g->n_spatial + 2) wanted += 2, n_wanted -= 2; /* with batch and channels, as some exporters write it */
    if (n_wanted && n_wanted != (size_t)g->n_spatial) return bad(node, err, "output_shape must have one value for each spatial dimension");
    for (int i = 0; i < g->n_spatial; i++) {
        const int64_t stride = (int64_t)g->stride[i], span = (int64_t)((g->kernel[i] - 1) * g->dilation[i]) + 1;
        const int64_t full = g->in[i] ? stride * ((int64_t)g->in[i] - 1) + extra[i] + span : 0;
        int64_t begin = pads[i], out = full - begin - pads[i + g->n_spatial];
        if (mode == PAD_VALID) begin = 0, out = full;
        if (n_wanted || mode == PAD_SAME_UPPER || mode == PAD_SAME_LOWER) {
            out = n_wanted ? wanted[i] : stride * (int64_t)g->in[i];
            if (out < 0 || out > SIZE_BOUND) return bad(node, err, "output_shape is out of range");
            const int64_t total = full > out ? full - out : 0;
            begin = mode == PAD_SAME_UPPER ? total / 2 : total - total / 2;
        }
        if (out < 0) {
            if (g->in[i]) return bad(node, err, "pads exceed the output");
            out = 0;
        }
        g->out[i] = (size_t)out;
        g->pad[i] = begin;
    }
    return KOE_OK;
}

/* Everything that follows from the weights' shape: for prepare(), which has no x yet. */
static koe_status read_kernel(geometry *g, const koe_node *node, const koe_tensor *w, bool transposed, koe_error *err)
{
    int64_t v[MAX_SPATIAL];
    *g = (geometry){ .transposed = transposed, .no_toom = node->no_toom, .n_spatial = w->n_dim - 2, .outer_kernel = 1 };
    if (g->n_spatial < 1) return bad(node, err, "the weights need three dimensions or more");
    const int64_t group = koe_node_int(node, "group", 1);
    if (group < 1 || w->dim[0] % group != 0) return bad(node, err, "group does not divide the channels");
    g->group = (size_t)group;
    g->c_in = (size_t)(transposed ? w->dim[0] / group : w->dim[1]);
    g->c_out = (size_t)(transposed ? w->dim[1] : w->dim[0] / group);
    if (g->c_in == 0) return bad(node, err, "the weights have no input channels");
    koe_status st = spatial_ints(node, "kernel_shape", g->n_spatial, 0, 0, v, err);
    for (int i = 0; st == KOE_OK && i < g->n_spatial; i++) {
        const int64_t k = w->dim[2 + i];
        if (k < 1 || k > SIZE_BOUND) return bad(node, err, "a kernel dimension is out of range");
        if (v[i] && v[i] != k) return bad(node, err, "kernel_shape is not that of the weights");
        g->kernel[i] = (size_t)k;
        if (i < g->n_spatial - 1 && __builtin_mul_overflow(g->outer_kernel, g->kernel[i], &g->outer_kernel))
            return bad(node, err, "the kernel is too large");
    }
    if (st == KOE_OK) st = spatial_ints(node, "strides", g->n_spatial, 1, 1, v, err);
    for (int i = 0; st == KOE_OK && i < g->n_spatial; i++) g->stride[i] = (size_t)v[i];
    /* Each phase of the innermost stride is a convolution of its own. */
    if (st == KOE_OK && transposed && v[g->n_spatial - 1] > PHASES_MAX) return bad(node, err, "strides are too large");
    if (st == KOE_OK) st = spatial_ints(node, "dilations", g->n_spatial, 1, 1, v, err);
    for (int i = 0; st == KOE_OK && i < g->n_spatial; i++) {
        g->dilation[i] = (size_t)v[i];
        if ((g->kernel[i] - 1) * g->dilation[i] > (size_t)SIZE_BOUND) return bad(node, err, "kernel and dilation are too large");
    }
    return st;
}

/* Completes g with the input's shape. */
static koe_status read_input(geometry *g, const koe_node *node, const koe_tensor *x, koe_error *err)
{
    int64_t pads[2 * MAX_SPATIAL];
    auto_pad mode = PAD_GIVEN;
    if (x->n_dim != g->n_spatial + 2) return bad(node, err, "input and weights differ in their number of dimensions");
    if (x->dim[1] != (int64_t)(g->c_in * g->group)) {
        return koe_fail(err, KOE_E_FORMAT, "%.*s %.*s: the input has %" PRId64 " channels, the weights are for %zu", KOE_STR_ARG(node->op_type),
                        KOE_STR_ARG(node->name), x->dim[1], g->c_in * g->group);
    }
    g->batch = (size_t)x->dim[0];
    for (int i = 0; i < g->n_spatial; i++) {
        if (x->dim[2 + i] > SIZE_BOUND) return bad(node, err, "a dimension is too large");
        g->in[i] = (size_t)x->dim[2 + i];
    }
    koe_status st = read_auto_pad(&mode, node, err);
    if (st == KOE_OK) st = spatial_ints(node, "pads", 2 * g->n_spatial, 0, -SIZE_BOUND, pads, err);
    if (st != KOE_OK) return st;
    st = g->transposed ? transposed_sizes(g, node, mode, pads, err) : conv_sizes(g, node, mode, pads, err);
    if (st != KOE_OK) return st;
    g->outer_in = koe_dim_product(x->dim, 2, 1 + g->n_spatial);
    g->outer_out = 1;
    for (int i = 0; i < g->n_spatial - 1; i++)
        if (__builtin_mul_overflow(g->outer_out, g->out[i], &g->outer_out)) return bad(node, err, "the output is too large");
    return KOE_OK;
}

/* When every position is computed alike and alone, all dimensions are one run of time. */
static void flatten(geometry *g)
{
    for (int i = 0; i < g->n_spatial; i++)
        if (g->kernel[i] != 1 || g->stride[i] != 1 || g->pad[i] != 0 || g->out[i] != g->in[i]) return;
    g->in[0] = g->out[0] = g->outer_in * g->in[g->n_spatial - 1];
    g->n_spatial = 1;
    g->outer_in = g->outer_out = 1;
}

/* ---- weights ----------------------------------------------------------------------------------------------------------- */

void koe_conv_release_state(void *state)
{
    conv_state *s = state;
    if (!s) return;
    if (s->owned) {
        free(s->packed);
        free(s->words);
        free(s->sum);
        free(s->scale);
    }
    free(s->tap);
    free(s->pos);
    free(s->phase);
    free(s);
}

/* Phases that become channels: see koe_conv_phase. */
static size_t merged_phases(const geometry *g)
{
    const size_t stride = g->stride[0];
    return g->transposed && g->n_spatial == 1 && g->group == 1 && g->dilation[0] == 1 && stride > 1 && g->kernel[0] % stride == 0 ? stride : 1;
}

/* The weights [c_in][c_out][tap * stride + phase] as those of the plain convolution: [c_out][phase][c_in][tap], earliest input first. */
static float *merge_weights(const geometry *g, const float *w)
{
    const size_t stride = g->stride[0], k = g->kernel[0], n_tap = k / stride, n_out = g->c_out * stride;
    float *merged = koe_weights_alloc(n_out * g->c_in * n_tap);
    for (size_t c = 0; merged && c < n_out; c++)
        for (size_t ci = 0; ci < g->c_in; ci++)
            for (size_t t = 0; t < n_tap; t++)
                merged[(c * g->c_in + ci) * n_tap + t] = w[(ci * g->c_out + c / stride) * k + (n_tap - 1 - t) * stride + c % stride];
    return merged;
}

/* The taps of each phase: output o takes x[i] for i * stride + tap * dilation == o + pad, so tap * dilation = phase + stride * q reaches
 * q inputs back from base = (o + pad) / stride. */
static void list_taps(conv_state *s, const geometry *g)
{
    const int last = g->n_spatial - 1;
    const size_t k = g->kernel[last], d = g->dilation[last], stride = g->stride[last];
    size_t n = 0;
    if (!g->transposed || s->merged > 1) {
        for (n = 0; n < k / s->merged; n++) s->tap[n] = n, s->pos[n] = n * d;
        s->phase[0] = (phase){ .n_tap = n };
        return;
    }
    for (size_t p = 0; p < s->n_phase; p++) {
        phase *ph = &s->phase[p];
        *ph = (phase){ .first_tap = n };
        for (size_t t = k; t-- > 0;)
            if (t * d % stride == p) {
                if (ph->n_tap == 0) ph->back = t * d / stride;
                s->tap[n] = t;
                s->pos[n++] = ph->back - t * d / stride;
                ph->n_tap++;
            }
    }
}

/* Words of the low-precision weights of phase p of a group, and of those before it. */
static size_t lp_words(const conv_state *s, const geometry *g, size_t n_tap)
{
    const size_t rows = g->c_in * g->outer_kernel, per_word = koe_lp_group(s->lp->kind);
    return (rows + per_word - 1) / per_word * s->channels * n_tap;
}

/* step: koe_conv_weights.step of all channels, or NULL. False when out of memory. */
static bool pack_weights(const conv_state *s, const geometry *g, const float *w, const float *step)
{
    const size_t k = g->kernel[g->n_spatial - 1], rows = g->c_in * g->outer_kernel, n_tap = k / s->merged;
    koe_conv_weights v = { .n_inner = g->outer_kernel, .s_inner = n_tap, .s_tap = 1 };
    float *merged = s->merged > 1 ? merge_weights(g, w) : NULL;
    if (s->merged > 1 && !merged) return false;
    v.s_co = g->transposed && !merged ? g->outer_kernel * k : rows * n_tap;
    v.s_outer = g->transposed && !merged ? g->c_out * g->outer_kernel * k : g->outer_kernel * n_tap;
    for (size_t i = 0; i < g->group; i++)
        for (size_t p = 0; p < s->n_phase; p++) {
            const phase *ph = &s->phase[p];
            const size_t channel = (i * s->n_phase + p) * s->channels;
            v.w = merged ? merged : w + i * s->group_count;
            v.step = step ? step + i * g->c_out : NULL; /* plain convolutions only */
            if (s->in_pairs)
                koe_lp_pairs_pack(s->lp, s->words + i * s->group_words, s->sum + channel * KOE_LP_PAIR_PARTS, s->scale + channel * KOE_LP_PAIR_PARTS, &v,
                                  s->channels, rows, k);
            else if (s->lp)
                koe_lp_conv_pack(s->lp, s->words + i * s->group_words + lp_words(s, g, ph->first_tap), s->sum + channel, s->scale + channel, &v,
                                 s->channels, rows, s->tap + ph->first_tap, ph->n_tap);
            else
                koe_f32_conv_pack(&s->toom, s->packed + i * s->packed_count + rows * s->channels * ph->first_tap, &v, s->channels, rows,
                                  s->tap + ph->first_tap, ph->n_tap);
        }
    free(merged);
    return true;
}

/* How a convolution of this shape is evaluated in float32. */
static void choose_f32(koe_toom *t, const geometry *g)
{
    const int last = g->n_spatial - 1;
    const size_t merged = merged_phases(g);
    t->n = 0;
    if (g->no_toom) return;
    if (merged > 1) koe_f32_conv_choose(t, g->c_out * merged, g->c_in, g->kernel[0] / merged, 1, 1);
    else if (!g->transposed)
        koe_f32_conv_choose(t, g->c_out, g->c_in * g->outer_kernel, g->kernel[last], g->stride[last], g->dilation[last]);
}

/* Multiplications of the definition for each one that is made. */
static double saving(const koe_toom *t, size_t taps)
{
    const size_t pieces = t->n ? (taps + t->r - 1) / t->r : 0;
    return t->n ? (double)(taps * t->m) / (double)(pieces * t->n) : 1;
}

/* Many channels on both sides, along time: that gains, and loses little. */
const koe_lp_set *koe_conv_choose_lp(const koe_node *node, const koe_conv_geometry *g, bool bytes)
{
    enum { CHANNELS_MIN = 32, OUT_MIN_BYTES = 16, REACH_MAX = 512, HELD_MAX = 1024 * 1024 };
    /* bf16 takes half the instructions of direct float32: float32 with a saving of 2.8 (7 taps) to 3.3 is faster, with 2.5 (5 taps) slower. */
    static const double bf16_max = 2.7;
    const size_t span = (g->kernel[0] - 1) * g->dilation[0];
    if (node->precision != KOE_PRECISION_BF16 && node->precision != KOE_PRECISION_INT8 && !bytes) return NULL;
    if (g->n_spatial != 1 || g->c_in < CHANNELS_MIN || g->c_out < (bytes ? OUT_MIN_BYTES : CHANNELS_MIN) || (!g->transposed && g->stride[0] != 1)) return NULL;
    if (span > REACH_MAX || g->c_in * (REACH_MAX + span) > HELD_MAX) return NULL;
    const koe_lp_set *int8 = koe_lp_kernels(KOE_LP_INT8);
    if (node->precision == KOE_PRECISION_INT8 || (bytes && int8 && int8->x_max == UINT8_MAX)) return int8;
    if (node->precision == KOE_PRECISION_F32) return NULL;
    const koe_lp_set *bf16 = koe_lp_kernels(KOE_LP_BF16);
    koe_toom t;
    choose_f32(&t, g);
    return saving(&t, g->kernel[0] / merged_phases(g)) > (bf16 && bf16->widens ? 1 : bf16_max) ? NULL : bf16;
}

static koe_status make_rooms(conv_state *s, const geometry *g, koe_node *preparing, int input, bool *ready, koe_error *err)
{
    const size_t k = g->kernel[g->n_spatial - 1], n_sum = g->group * s->n_phase * s->channels * (s->in_pairs ? KOE_LP_PAIR_PARTS : 1), n_tap = k / s->merged;
    bool all[3] = { true, true, true };
    const unsigned part = (unsigned)(input - 1) / 2 * 3;
    koe_status st;
    s->owned = !preparing;
    if (s->lp) {
        s->group_words = s->in_pairs ? koe_lp_pairs_words(s->channels, g->c_in, k) : lp_words(s, g, n_tap);
        st = koe_weights_room(preparing, input, part, s->group_words * g->group, (void **)&s->words, &all[0], err);
        if (st == KOE_OK) st = koe_weights_room(preparing, input, part + 1, n_sum, (void **)&s->sum, &all[1], err);
        if (st == KOE_OK) st = koe_weights_room(preparing, input, part + 2, n_sum, (void **)&s->scale, &all[2], err);
    } else {
        choose_f32(&s->toom, g);
        s->packed_count = koe_f32_conv_count(&s->toom, s->channels, g->c_in * g->outer_kernel, n_tap);
        st = koe_weights_room(preparing, input, part, s->packed_count * g->group, (void **)&s->packed, &all[0], err);
    }
    *ready = all[0] && all[1] && all[2];
    return st;
}

/* Reads input i of a node that is being prepared: one number, or one for each of the n output channels. */
static koe_status read_constant(koe_node *node, int i, koe_dtype dtype, size_t n, const void **out, size_t *step, koe_error *err)
{
    const koe_tensor *t = i < node->n_in ? node->in_const[i] : NULL;
    const size_t count = t ? koe_tensor_count(t) : 0;
    if (!t || t->dtype != dtype || (count != 1 && count != n)) return bad(node, err, "weights of 8 bits need a constant scale and zero point");
    *step = count == 1 ? 0 : 1;
    *out = koe_node_data(node, i);
    return *out ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "weights");
}

/* *out: malloc()ed, weights in 8 bits as floats, and behind them the scale of each output channel. */
static koe_status dequantise(koe_node *node, const geometry *g, const koe_tensor *of, float **out, koe_error *err)
{
    const size_t n_out = g->c_out * g->group, n = koe_tensor_count(of), each = n / n_out;
    const void *scale, *zero = NULL;
    size_t scale_step, zero_step = 0;
    const uint8_t *w = koe_node_data(node, 1);
    if (!w) return koe_fail(err, KOE_E_NOMEM, "weights");
    koe_status st = read_constant(node, 8, KOE_DTYPE_F32, n_out, &scale, &scale_step, err);
    if (st == KOE_OK && node->n_in > 9 && node->in[9] >= 0) st = read_constant(node, 9, of->dtype, n_out, &zero, &zero_step, err);
    float *f = st == KOE_OK ? koe_weights_alloc(n + n_out) : NULL; /* n_out <= n <= bytes of the file */
    if (st == KOE_OK && !f) st = koe_fail(err, KOE_E_NOMEM, "weights");
    if (st != KOE_OK) return st;
    const bool is_signed = of->dtype == KOE_DTYPE_I8;
    for (size_t o = 0; o < n_out; o++) {
        const uint8_t z = zero ? ((const uint8_t *)zero)[o * zero_step] : 0;
        f[n + o] = ((const float *)scale)[o * scale_step];
        for (size_t i = o * each; i < (o + 1) * each; i++)
            f[i] = (float)(is_signed ? (int8_t)w[i] - (int8_t)z : w[i] - z) * f[n + o];
    }
    *out = f;
    return KOE_OK;
}

koe_status koe_conv_make_state(koe_conv_state **out, const koe_conv_geometry *g, const koe_tensor *of, koe_node *preparing, int input,
                               const koe_lp_set *lp, koe_error *err)
{
    const int last = g->n_spatial - 1;
    const size_t k = g->kernel[last], merged = merged_phases(g), n_phase = g->transposed && merged == 1 ? g->stride[last] : 1;
    bool ready = false;
    conv_state *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "weights");
    s->n_phase = n_phase;
    s->merged = merged;
    s->channels = g->c_out * merged;
    s->group_count = koe_tensor_count(of) / g->group;
    s->lp = lp;
    s->in_pairs = preparing && lp && !g->transposed && g->n_spatial == 1 && koe_node_int(preparing, "pairs", 0) &&
                  koe_lp_pairs_suit(lp, g->c_out, g->c_in, k, g->stride[0], g->dilation[0]);
    s->tap = calloc(k, sizeof *s->tap);
    s->pos = calloc(k, sizeof *s->pos);
    s->phase = calloc(n_phase, sizeof *s->phase);
    koe_status st = s->tap && s->pos && s->phase ? make_rooms(s, g, preparing, input, &ready, err) : koe_fail(err, KOE_E_NOMEM, "weights");
    if (st == KOE_OK) list_taps(s, g);
    if (st == KOE_OK && !ready) {
        float *own = NULL;
        const float *w = preparing ? NULL : of->data;
        if (preparing && koe_is_byte(of->dtype)) st = dequantise(preparing, g, of, &own, err);
        else if (preparing) w = koe_node_data(preparing, input);
        if (st == KOE_OK && ((!own && !w) || !pack_weights(s, g, own ? own : w, own ? own + koe_tensor_count(of) : NULL)))
            st = koe_fail(err, KOE_E_NOMEM, "weights");
        free(own);
    }
    if (st != KOE_OK) {
        koe_conv_release_state(s);
        return st;
    }
    *out = s;
    return KOE_OK;
}

static koe_status prepare(koe_node *node, void **state, bool transposed, koe_error *err)
{
    const koe_tensor *w = node->n_in > 1 ? node->in_const[1] : NULL;
    geometry g;
    const bool bytes = w && koe_is_byte(w->dtype) && koe_str_is(node->domain, "koe") && !transposed;
    if (!w || (w->dtype != KOE_DTYPE_F32 && !bytes) || koe_tensor_count(w) == 0) return KOE_OK;
    koe_status st = read_kernel(&g, node, w, transposed, err);
    return st == KOE_OK ? koe_conv_make_state((conv_state **)state, &g, w, node, 1, koe_conv_choose_lp(node, &g, bytes && (!koe_node_int(node, "exact", 0) || koe_node_attr(node, "x_scale"))), err) : st;
}

static koe_status prepare_conv(koe_node *node, void **state, koe_error *err) { return prepare(node, state, false, err); }
static koe_status prepare_transposed(koe_node *node, void **state, koe_error *err) { return prepare(node, state, true, err); }

/* ---- float32 ----------------------------------------------------------------------------------------------------------- */

/* A call: everything that its tasks read. */
typedef struct call {
    const geometry *g;
    const conv_state *s;
    const float *x;
    float *y;
    koe_f32_epilogue ep; /* bias_row is that of all channels, residual laid out as y */
    koe_f32_prologue pre; /* scale and shift for each channel of each batch entry; alpha and r for each channel */
    koe_f32_conv *conv; /* [n_phase] */
    size_t *first; /* [n_phase] first output of the phase */
    size_t tasks; /* of one convolution: the most of any phase */
    bool x_half, y_half, residual_half, addend_half;
    koe_quant_param steps; /* that x is rounded to; scale 0: none */
    bool one_thread;
} call;

/* The rows of one convolution: one batch entry, group and outer position. */
typedef struct row_source {
    const geometry *g;
    const float *x; /* first channel of the group */
    size_t at[MAX_SPATIAL]; /* outer position in y */
    bool half;
} row_source;

static const float *find_row(const void *arg, size_t r)
{
    const row_source *s = arg;
    const geometry *g = s->g;
    size_t tap = r % g->outer_kernel, index = 0, step = 1;
    for (int i = g->n_spatial - 2; i >= 0; i--) {
        const int64_t reach = (int64_t)(tap % g->kernel[i] * g->dilation[i]);
        int64_t p;
        tap /= g->kernel[i];
        if (g->transposed) {
            p = (int64_t)s->at[i] + g->pad[i] - reach;
            if (p < 0 || p % (int64_t)g->stride[i] != 0) return NULL;
            p /= (int64_t)g->stride[i];
        } else
            p = (int64_t)(s->at[i] * g->stride[i]) - g->pad[i] + reach;
        if (p < 0 || (size_t)p >= g->in[i]) return NULL;
        index += (size_t)p * step;
        step *= g->in[i];
    }
    return koe_conv_at(s->x, (r / g->outer_kernel * g->outer_in + index) * g->in[g->n_spatial - 1], s->half);
}

static void run_task(void *arg, size_t task, void *scratch)
{
    const call *k = arg;
    const geometry *g = k->g;
    const int last = g->n_spatial - 1;
    const size_t part = task % k->tasks, outer = task / k->tasks % g->outer_out, block = task / k->tasks / g->outer_out;
    const size_t group = block % g->group, plane = g->outer_out * g->out[last];
    row_source source = { .g = g, .x = koe_conv_at(k->x, block * g->c_in * g->outer_in * g->in[last], k->x_half), .half = k->x_half };
    size_t rest = outer;
    for (int i = last - 1; i >= 0; i--) source.at[i] = rest % g->out[i], rest /= g->out[i];
    for (size_t p = 0; p < k->s->n_phase; p++) {
        const koe_f32_conv *v = &k->conv[p];
        if (part >= v->n_tile * v->n_co) continue;
        const size_t at = block * g->c_out * plane + outer * g->out[last] + k->first[p];
        koe_f32_epilogue ep = k->ep;
        if (ep.bias_row) ep.bias_row += group * g->c_out;
        ep.ld_residual = ep.ld_addend = plane;
        if (ep.residual) ep.residual = koe_conv_at(ep.residual, at, k->residual_half);
        if (ep.addend) ep.addend = koe_conv_at(ep.addend, at, k->addend_half);
        float *y = koe_conv_at(k->y, at, k->y_half);
        koe_f32_prologue pre = k->pre;
        if (pre.scale) pre.scale += block * g->c_in;
        if (pre.shift) pre.shift += block * g->c_in;
        if (pre.alpha) pre.alpha += group * g->c_in, pre.r += group * g->c_in;
        const koe_f32_prologue *before = pre.kind || pre.scale ? &pre : NULL;
        if (k->s->lp) {
            const size_t channel = (group * k->s->n_phase + p) * k->s->channels * (k->s->in_pairs ? KOE_LP_PAIR_PARTS : 1);
            koe_lp_conv_task(k->s->lp, v, part, y, plane, k->s->words + group * k->s->group_words + lp_words(k->s, g, k->s->phase[p].first_tap),
                             k->s->sum + channel, k->s->scale + channel, find_row, &source, before, &ep, scratch);
            continue;
        }
        const float *packed = k->s->packed + group * k->s->packed_count + v->rows * v->co * k->s->phase[p].first_tap;
        koe_f32_conv_task(v, part, y, plane, packed, find_row, &source, before, &ep, scratch);
    }
}

/* All phases at once: output o = t * stride + phase - pad reads the inputs up to x[t]. */
static void merge_plan(koe_f32_conv *v, const geometry *g)
{
    const int64_t stride = (int64_t)g->stride[0], pad = g->pad[0], end = (int64_t)g->out[0] - 1 + pad;
    const int64_t first = pad < 0 ? (pad - stride + 1) / stride : pad / stride, last = end < 0 ? (end - stride + 1) / stride : end / stride;
    v->stride = 1;
    v->dilation = 1;
    v->pad = (int64_t)v->taps - 1 - first;
    v->n_out = (size_t)(last - first + 1);
    v->phases = v->y_step = g->stride[0];
    v->cut = (size_t)(pad - first * stride);
    v->y_length = g->out[0];
}

/* One convolution for each phase; returns the floats of scratch a task needs, or SIZE_MAX. */
static size_t plan(call *k, size_t *off)
{
    const geometry *g = k->g;
    const int last = g->n_spatial - 1;
    const int64_t stride = (int64_t)g->stride[last], pad = g->pad[last];
    size_t scratch = 0;
    for (size_t p = 0; p < k->s->n_phase; p++) {
        const phase *ph = &k->s->phase[p];
        koe_f32_conv *v = &k->conv[p];
        *v = (koe_f32_conv){ .co = k->s->channels, .rows = g->c_in * g->outer_kernel, .taps = ph->n_tap, .toom = &k->s->toom, .in_pairs = k->s->in_pairs,
            .stride = g->stride[last], .dilation = g->dilation[last], .pad = pad,
            .pos = k->s->pos + ph->first_tap, .n_in = g->in[last], .n_out = g->out[last], .y_step = 1,
            .one_thread = k->one_thread, .low = k->s->lp != NULL, .rows_per_channel = g->outer_kernel, .x_half = k->x_half, .y_half = k->y_half, .residual_half = k->residual_half,
            .addend_half = k->addend_half, .x_scale = k->steps.scale, .x_zero = (float)k->steps.zero };
        k->first[p] = 0;
        if (k->s->merged > 1) merge_plan(v, g);
        else if (g->transposed) {
            int64_t first = ((int64_t)p - pad) % stride;
            if (first < 0) first += stride;
            v->n_out = v->n_out > (size_t)first ? (v->n_out - (size_t)first + g->stride[last] - 1) / g->stride[last] : 0;
            v->pad = (int64_t)ph->back - (first + pad - (int64_t)p) / stride;
            v->y_step = g->stride[last];
            v->stride = 1;
            k->first[p] = (size_t)first;
        }
        if (!koe_f32_conv_plan(v, off + ph->first_tap, g->batch * g->group * g->outer_out)) return SIZE_MAX;
        if (k->s->lp && !koe_lp_conv_plan(k->s->lp, v)) return SIZE_MAX; /* choose_lp() has seen to it */
        if (v->scratch > scratch) scratch = v->scratch;
        if (v->n_tile * v->n_co > k->tasks) k->tasks = v->n_tile * v->n_co;
    }
    return scratch;
}

static koe_status run_f32(koe_op_ctx *c, const call *like, koe_error *err)
{
    call k = *like;
    k.one_thread = koe_pool_threads(c->pool) == 1;
    const geometry *g = k.g;
    const conv_state *s = k.s;
    const size_t taps = g->kernel[g->n_spatial - 1];
    k.conv = koe_scratch(c, s->n_phase * sizeof *k.conv);
    k.first = koe_scratch(c, s->n_phase * sizeof *k.first);
    size_t *off = koe_scratch(c, taps * sizeof *off);
    if (!k.conv || !k.first || !off) return koe_fail(err, KOE_E_NOMEM, "%.*s", KOE_STR_ARG(c->node->name));
    const size_t scratch = plan(&k, off);
    size_t n = g->batch * g->group * g->outer_out; /* at most the outputs: no overflow */
    if (scratch == SIZE_MAX) return bad(c->node, err, "the convolution is too large");
    return koe_tasks_run(c, n * k.tasks, scratch * sizeof(float), run_task, &k, err);
}

/* ---- float64: plain loops ---------------------------------------------------------------------------------------------- */

/* Element (channel, position) of y: sum over input channels and taps. */
static double sum_f64(const geometry *g, const double *x, const double *w, const size_t *at, size_t co)
{
    const size_t n_tap = g->outer_kernel * g->kernel[g->n_spatial - 1], plane = g->outer_in * g->in[g->n_spatial - 1];
    double sum = 0;
    for (size_t tap = 0; tap < n_tap; tap++) {
        size_t rest = tap, index = 0, step = 1;
        bool inside = true;
        for (int i = g->n_spatial - 1; i >= 0 && inside; i--) {
            const int64_t reach = (int64_t)(rest % g->kernel[i] * g->dilation[i]), stride = (int64_t)g->stride[i];
            int64_t p = g->transposed ? (int64_t)at[i] + g->pad[i] - reach : (int64_t)at[i] * stride - g->pad[i] + reach;
            rest /= g->kernel[i];
            if (g->transposed) {
                inside = p >= 0 && p % stride == 0;
                p /= stride;
            }
            inside = inside && p >= 0 && (size_t)p < g->in[i];
            index += (size_t)p * step;
            step *= g->in[i];
        }
        for (size_t ci = 0; inside && ci < g->c_in; ci++)
            sum += w[(g->transposed ? ci * g->c_out + co : co * g->c_in + ci) * n_tap + tap] * x[ci * plane + index];
    }
    return sum;
}

static void run_f64(const geometry *g, const double *x, const double *w, const double *bias, double *y)
{
    const size_t in = g->outer_in * g->in[g->n_spatial - 1], out = g->outer_out * g->out[g->n_spatial - 1];
    const size_t n_tap = g->outer_kernel * g->kernel[g->n_spatial - 1];
    for (size_t block = 0; block < g->batch * g->group; block++)
        for (size_t co = 0; co < g->c_out; co++)
            for (size_t o = 0; o < out; o++) {
                size_t at[MAX_SPATIAL], rest = o;
                for (int i = g->n_spatial - 1; i >= 0; i--) at[i] = rest % g->out[i], rest /= g->out[i];
                const size_t group = block % g->group;
                const double sum = sum_f64(g, x + block * g->c_in * in, w + group * g->c_in * g->c_out * n_tap, at, co);
                *y++ = sum + (bias ? bias[group * g->c_out + co] : 0);
            }
}

static bool is_like(const koe_tensor *t, int n_dim, const int64_t *dim)
{
    return !t || (t->n_dim == n_dim && memcmp(t->dim, dim, sizeof *dim * (size_t)n_dim) == 0);
}

/* *fused: the addends, as far as there are any, have the output's shape, and can be added to each block as it is finished: the output may
 * then take the memory of the first. */
static koe_status make_output(koe_op_ctx *c, const geometry *g, const koe_tensor *x, const koe_tensor *sum[2], koe_tensor **y, bool *fused,
                              koe_error *err)
{
    int64_t dim[KOE_MAX_DIM] = { x->dim[0], (int64_t)(g->c_out * g->group) };
    for (int i = 0; i < g->n_spatial; i++) dim[2 + i] = (int64_t)g->out[i];
    for (int i = 0; i < 2; i++)
        if (sum[i] && sum[i]->dtype != x->dtype) return bad(c->node, err, "an addend must have the type of the output");
    *fused = (!sum[0] && !sum[1]) || (!g->transposed && is_like(sum[0], x->n_dim, dim) && is_like(sum[1], x->n_dim, dim));
    if (*fused && x->dtype == KOE_DTYPE_F32 && koe_is_narrow(c, x->n_dim, dim)) return koe_out_narrow(c, sum[0] ? ADDEND : -1, x->n_dim, dim, y, err);
    return *fused && sum[0] ? koe_out_inplace(c, 0, ADDEND, x->dtype, x->n_dim, dim, y, err)
                            : koe_out(c, 0, x->dtype, x->n_dim, dim, y, err);
}

/* ---- operators --------------------------------------------------------------------------------------------------------- */

/* FusedConv's activation; none for the others. */
static koe_status read_activation(koe_f32_epilogue *ep, const koe_node *node, koe_error *err)
{
    const koe_onnx_attr *params = koe_node_attr(node, "activation_params");
    ep->alpha = params && params->type == KOE_ATTR_FLOATS && params->n ? params->floats[0] : 0.01f;
    return koe_read_activation(&ep->act, node, err);
}

static koe_status check_operands(const koe_op_ctx *c, const geometry *g, const koe_tensor *x, const koe_tensor *w, const koe_tensor *bias,
                                 koe_error *err)
{
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) return koe_type_error(c, x->dtype, err);
    if (bias && (bias->dtype != x->dtype || bias->n_dim != 1 || bias->dim[0] != (int64_t)(g->c_out * g->group)))
        return bad(c->node, err, "the bias is not one number of the input's type for each output channel");
    const bool bytes = c->state && koe_is_byte(w->dtype) && x->dtype == KOE_DTYPE_F32;
    if (w->dtype != x->dtype && !bytes) return bad(c->node, err, "input and weights differ in type");
    return KOE_OK;
}

/* Input i of koe's own Conv as n float32; NULL when absent. */
static koe_status read_per_channel(const koe_op_ctx *c, int i, size_t n, const float **out, koe_error *err)
{
    const koe_tensor *t = koe_in(c, i);
    if (t && (t->dtype != KOE_DTYPE_F32 || koe_tensor_count(t) != n)) return bad(c->node, err, "a number for each channel is expected");
    *out = t ? t->data : NULL;
    return KOE_OK;
}

/* What the pass `conv` has put in front of the convolution: inputs scale, shift, alpha, r, and attribute `leaky`. */
static koe_status read_prologue(koe_f32_prologue *pre, const koe_op_ctx *c, const geometry *g, koe_error *err)
{
    if (!koe_str_is(c->node->domain, "koe")) return KOE_OK;
    const size_t n = g->c_in * g->group;
    koe_status st = read_per_channel(c, 4, n * g->batch, &pre->scale, err);
    if (st == KOE_OK) st = read_per_channel(c, 5, n * g->batch, &pre->shift, err);
    if (st == KOE_OK) st = read_per_channel(c, 6, n, &pre->alpha, err);
    if (st == KOE_OK) st = read_per_channel(c, 7, n, &pre->r, err);
    if (st == KOE_OK && !pre->alpha != !pre->r) st = bad(c->node, err, "Snake needs alpha and r");
    pre->slope = koe_node_float(c->node, "leaky", 1);
    pre->kind = pre->alpha ? KOE_PRE_SNAKE : koe_node_attr(c->node, "leaky") ? KOE_PRE_LEAKY : KOE_PRE_NONE;
    return st;
}

/* Output 0 = act(*y + sum) * scale with broadcasting both ways: for addends that the epilogue cannot take. The result may be larger than
 * *y, such as when *y is the projection of a speaker: then *y moves to scratch memory and the output is made anew. */
static koe_status add_broadcast(koe_op_ctx *c, koe_tensor **at_y, const koe_tensor *sum, const koe_f32_epilogue *ep, koe_error *err)
{
    koe_tensor *y = *at_y;
    int n_dim;
    int64_t dim[KOE_MAX_DIM], stride[KOE_MAX_DIM], y_stride[KOE_MAX_DIM], at[KOE_MAX_DIM] = { 0 };
    koe_tensor own = *y;
    koe_status st = koe_broadcast(&n_dim, dim, y->n_dim, y->dim, sum->n_dim, sum->dim, err);
    if (st != KOE_OK) return st;
    if (n_dim != y->n_dim || memcmp(dim, y->dim, sizeof *dim * (size_t)n_dim) != 0) {
        own.data = koe_scratch(c, koe_tensor_bytes(y));
        if (!own.data) return koe_fail(err, KOE_E_NOMEM, "a broadcast sum");
        memcpy(own.data, y->data, koe_tensor_bytes(y));
        st = koe_out(c, 0, own.dtype, n_dim, dim, &y, err);
        if (st != KOE_OK) return st;
    }
    koe_broadcast_strides(stride, sum, n_dim, dim);
    koe_broadcast_strides(y_stride, &own, n_dim, dim);
    float *out = y->data;
    const koe_f32_epilogue rest = { .scale = ep->scale, .act = ep->act, .alpha = ep->alpha };
    const size_t n = koe_tensor_count(y);
    for (size_t i = 0; i < n; i++) {
        int64_t from = 0, own_from = 0;
        for (int k = 0; k < n_dim; k++) from += at[k] * stride[k], own_from += at[k] * y_stride[k];
        out[i] = ((const float *)own.data)[own_from] + ((const float *)sum->data)[from];
        for (int k = n_dim - 1; k >= 0 && ++at[k] == dim[k]; k--) at[k] = 0;
    }
    koe_kernels()->finish(out, n, out, n, 1, n, &rest);
    *at_y = y;
    return KOE_OK;
}

/* *t becomes a float32 copy in scratch memory, described by *wide. */
static koe_status widen(koe_op_ctx *c, const koe_tensor **t, koe_tensor *wide, koe_error *err)
{
    *wide = **t;
    wide->data = koe_scratch(c, koe_tensor_bytes(wide) + 1);
    if (!wide->data) return koe_fail(err, KOE_E_NOMEM, "an addend");
    koe_f16_widen(wide->data, (*t)->data, koe_tensor_count(wide));
    *t = wide;
    return KOE_OK;
}

/* The second addend is at rest (rest.c). It joins the first, in the memory of that if it may, else it is woken in scratch memory. */
static koe_status join_resting(koe_op_ctx *c, const koe_tensor *sum[2], bool half[2], koe_tensor *awake, koe_error *err)
{
    const koe_tensor *r = sum[1];
    *awake = koe_rest_shape(r);
    if (half[0] && koe_in_is_ours(c, ADDEND) && is_like(sum[0], awake->n_dim, awake->dim)) {
        koe_rest_wake(c->pool, sum[0]->data, r, true);
        sum[1] = NULL;
        half[1] = false;
        return KOE_OK;
    }
    awake->data = koe_scratch(c, koe_tensor_count(awake) * sizeof(uint16_t));
    if (!awake->data) return koe_fail(err, KOE_E_NOMEM, "an addend");
    koe_rest_wake(c->pool, awake->data, r, false);
    sum[1] = awake;
    half[1] = true;
    return KOE_OK;
}

/* Where the product is not one of bytes, the input of a node that rounds it (attributes x_scale, x_zero) is rounded here. */
static koe_status round_input(koe_op_ctx *c, call *k, size_t n, koe_error *err)
{
    if (k->steps.scale <= 0 || (k->s->lp && k->s->lp->kind == KOE_LP_INT8 && k->s->lp->x_max == UINT8_MAX)) return KOE_OK;
    float *x = n <= SIZE_MAX / sizeof *x ? koe_scratch(c, n * sizeof *x) : NULL;
    if (!x) return koe_fail(err, KOE_E_NOMEM, "an input of %zu numbers", n);
    if (k->x_half) koe_f16_widen(x, (const uint16_t *)(const void *)k->x, n);
    koe_requantise(c->pool, x, k->x_half ? x : k->x, n, k->steps);
    k->x = x;
    k->x_half = false;
    k->steps.scale = 0;
    return KOE_OK;
}

static koe_status run(koe_op_ctx *c, bool transposed, koe_error *err)
{
    const koe_tensor *x, *w, *bias = koe_in(c, 2), *sum[2] = { koe_in(c, ADDEND), koe_in(c, ADDEND_2) };
    koe_tensor *y;
    geometry g;
    bool fused = false;
    bool sum_half[2] = { koe_in_narrow(c, ADDEND), koe_in_narrow(c, ADDEND_2) };
    koe_tensor wide[2], awake;
    koe_f32_epilogue ep = { .scale = koe_node_float(c->node, "scale", 1) };
    koe_f32_prologue pre = { 0 };
    koe_status st = koe_in_rests(c, ADDEND_2) ? join_resting(c, sum, sum_half, &awake, err) : KOE_OK;
    if (!sum[0]) sum[0] = sum[1], sum_half[0] = sum_half[1], sum[1] = NULL;
    if (st == KOE_OK) st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &w, err);
    if (st == KOE_OK) st = read_kernel(&g, c->node, w, transposed, err);
    if (st == KOE_OK) st = read_input(&g, c->node, x, err);
    if (st == KOE_OK) st = check_operands(c, &g, x, w, bias, err);
    if (st == KOE_OK) st = read_activation(&ep, c->node, err);
    if (st == KOE_OK) st = make_output(c, &g, x, sum, &y, &fused, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    const koe_f32_epilogue whole = ep, none = { .scale = 1 };
    if (!fused) ep = none;
    flatten(&g);
    if (x->dtype == KOE_DTYPE_F64) {
        if (sum[0] || sum[1] || whole.act != KOE_ACT_NONE) return koe_type_error(c, x->dtype, err);
        run_f64(&g, x->data, w->data, bias ? bias->data : NULL, y->data);
        return KOE_OK;
    }
    ep.bias_row = bias ? bias->data : NULL;
    ep.residual = fused && sum[0] ? sum[0]->data : NULL;
    ep.addend = fused && sum[1] ? sum[1]->data : NULL;
    st = read_prologue(&pre, c, &g, err);
    conv_state *made = NULL;
    if (st == KOE_OK && !c->state) st = koe_conv_make_state(&made, &g, w, NULL, 1, NULL, err);
    call k = { .g = &g, .s = made ? made : c->state, .x = x->data, .y = y->data, .pre = pre, .ep = ep, .x_half = koe_in_narrow(c, 0),
                     .y_half = c->out[0] && c->out[0]->narrow, .residual_half = sum_half[0], .addend_half = sum_half[1] };
    if (st == KOE_OK && koe_str_is(c->node->domain, "koe")) st = koe_quant_steps(&k.steps, c->node, err);
    if (st == KOE_OK) st = round_input(c, &k, koe_tensor_count(x), err);
    if (st == KOE_OK) st = run_f32(c, &k, err);
    koe_conv_release_state(made);
    for (int i = 0; i < 2 && st == KOE_OK && !fused; i++)
        if (sum[i] && sum_half[i]) st = widen(c, &sum[i], &wide[i], err);
    for (int i = 0; i < 2 && st == KOE_OK && !fused; i++)
        if (sum[i]) st = add_broadcast(c, &y, sum[i], i == 0 && sum[1] ? &none : &whole, err);
    return st;
}

static koe_status run_conv(koe_op_ctx *c, koe_error *err) { return run(c, false, err); }
static koe_status run_transposed(koe_op_ctx *c, koe_error *err) { return run(c, true, err); }

static const koe_op ops[] = {
    { "Conv", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS | KOE_OP_NARROW, prepare_conv, koe_conv_release_state, run_conv, NULL },
    { "ConvTranspose", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS | KOE_OP_NARROW, prepare_transposed, koe_conv_release_state, run_transposed, NULL },
    { "FusedConv", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS | KOE_OP_NARROW, prepare_conv, koe_conv_release_state, run_conv, "com.microsoft" },
    { "Conv", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS | KOE_OP_NARROW, prepare_conv, koe_conv_release_state, run_conv, "koe" },
    { "ConvTranspose", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS | KOE_OP_NARROW, prepare_transposed, koe_conv_release_state, run_transposed, "koe" },
};

koe_op_table koe_ops_conv(void) { return KOE_OP_TABLE(ops); }
