/* pass_upsample.c - upsampling by repetition in front of a convolution: every element r times over is r times the work for the same numbers.
 *
 *     x ─► Resize(nearest, r) ─► Conv(kernel 1) ─►          x ─► Conv ─► Repeat(r) ─►
 *     x ─► Resize(nearest, r) ─► Conv(kernel k) ─►          x ─► ConvTranspose(stride r, kernel k + r - 1) ─►
 *
 * Resize may also be Upsample, or Unsqueeze ─► Expand ─► Reshape; an activation between it and the convolution changes places with it.
 *
 * Why the second holds: y[o] = sum of w[j] * u[o - p + j] with u[i r + m] = x[i], m < r, and zeros around it. So x[i] reaches o = i r + m + p - j;
 * with q = m - j + k - 1 that is o = i r + q - (k - 1 - p), a transposed convolution with weights w'[q] = the sum of w[j] for j from k - 1 - q to
 * k - 1 - q + r - 1, as far as there are such, and padding k - 1 - p. Its kernel is filled up with zeros to a multiple of r: then it runs
 * as one plain convolution of that many taps (ops/conv.c), which is fewer than k. */
#include "graph/pass.h"

#include <stdlib.h>

enum { X, W, B };
enum { TIMES_MAX = 64, GROWTH_MAX = 8 }; /* of the kernel */

typedef struct repetition {
    koe_node *node; /* its last one */
    int x;
    int64_t times;
} repetition;

/* ---- what repeats -------------------------------------------------------------------------------------------------------- */

static bool is_attr(const koe_node *n, const char *name, const char *missing, const char *x) { return koe_str_is(koe_node_str(n, name, missing), x); }

/* Does `nearest` with these rules copy each element, when the scale is a whole number? */
static bool copies(const koe_node *n)
{
    static const char coord[] = "coordinate_transformation_mode", half[] = "half_pixel", rounding[] = "nearest_mode", down[] = "round_prefer_floor";
    if (!is_attr(n, "mode", "nearest", "nearest")) return false;
    if (koe_str_is(n->op_type, "Upsample") || n->opset < 11) return true;
    if (is_attr(n, coord, half, "asymmetric")) return is_attr(n, rounding, down, "floor");
    const bool centred = is_attr(n, coord, half, half) || is_attr(n, coord, half, "pytorch_half_pixel") || is_attr(n, coord, half, "half_pixel_symmetric");
    return centred && (is_attr(n, rounding, down, down) || is_attr(n, rounding, down, "round_prefer_ceil"));
}

/* n numbers that say how often: 1 1 r, or r alone with the axis named. */
static int64_t from_scales(const koe_pass *p, const koe_node *node, const float *s, size_t n)
{
    const int64_t *axes;
    koe_shape x;
    const size_t n_axes = koe_node_ints(node, "axes", &axes);
    if (n_axes ? n_axes != 1 || n != 1 || axes[0] != 2 || !koe_shape_of(p->shapes, node->in[X], &x) || x.n_dim != 3 : n != 3) return 0;
    const float r = s[n - 1];
    if (n == 3 && (s[0] != 1 || s[1] != 1)) return 0;
    return r >= 2 && r <= TIMES_MAX && r == (float)(int)r ? (int64_t)r : 0;
}

/* Sizes that are known, of an input whose length is. */
static int64_t from_sizes(const koe_pass *p, const koe_node *node)
{
    koe_values v;
    koe_shape x;
    if (!koe_values_of(p->shapes, node->in[3], &v) || !koe_shape_of(p->shapes, node->in[X], &x) || v.n != 3 || x.n_dim != 3) return 0;
    if (!koe_dim_same(v.v[0], x.dim[0]) || !koe_dim_same(v.v[1], x.dim[1]) || v.v[2].symbol || x.dim[2].symbol || x.dim[2].v < 1) return 0;
    if (koe_node_attr(node, "axes") || koe_node_attr(node, "keep_aspect_ratio_policy") || v.v[2].v % x.dim[2].v) return 0;
    const int64_t r = v.v[2].v / x.dim[2].v;
    return r >= 2 && r <= TIMES_MAX ? r : 0;
}

static int64_t resize_times(const koe_pass *p, const koe_node *node)
{
    const bool simple = koe_str_is(node->op_type, "Upsample") || node->opset < 11;
    const koe_onnx_attr *attr = koe_node_attr(node, "scales");
    const koe_tensor *t = koe_pass_constant(p, node->in[simple ? 1 : 2]);
    float s[3];
    if (!copies(node)) return 0;
    if (simple && attr && node->in[1] < 0) return attr->type == KOE_ATTR_FLOATS ? from_scales(p, node, attr->floats, attr->n) : 0;
    const size_t n = t ? koe_tensor_count(t) : 0;
    if (n == 0) return simple || (node->in[2] >= 0 && !t) ? 0 : from_sizes(p, node);
    if (t->dtype != KOE_DTYPE_F32 || n > 3) return 0;
    memcpy(s, t->data, n * sizeof *s);
    return from_scales(p, node, s, n);
}

/* x as a column of r equal ones, flattened. */
static int64_t expand_times(const koe_pass *p, const koe_node *flat, int *x)
{
    const koe_node *expand = koe_pass_inner(p, flat->in[0], "Expand");
    if (!expand) expand = koe_pass_inner(p, flat->in[0], "Tile");
    const koe_node *column = expand ? koe_pass_producer(p, expand->in[0], "Unsqueeze") : NULL;
    koe_shape from, one, many, to;
    if (!column || !koe_shape_of(p->shapes, column->in[0], &from) || !koe_shape_of(p->shapes, expand->in[0], &one)) return 0;
    if (!koe_shape_of(p->shapes, expand->out[0], &many) || !koe_shape_of(p->shapes, flat->out[0], &to)) return 0;
    if (from.n_dim != 3 || one.n_dim != 4 || many.n_dim != 4 || to.n_dim != 3 || !koe_dim_is(one.dim[3], 1) || many.dim[3].symbol) return 0;
    for (int i = 0; i < 3; i++)
        if (!koe_dim_same(from.dim[i], one.dim[i]) || !koe_dim_same(from.dim[i], many.dim[i]) || (i < 2 && !koe_dim_same(from.dim[i], to.dim[i]))) return 0;
    *x = column->in[0];
    return many.dim[3].v >= 2 && many.dim[3].v <= TIMES_MAX ? many.dim[3].v : 0;
}

/* What repeats the elements of `slot` for one reader; false when nothing does. */
static bool find_repetition(const koe_pass *p, int slot, repetition *r)
{
    koe_node *n = slot >= 0 && slot < p->n_slot && p->n_reads[slot] == 1 ? p->producer[slot] : NULL;
    if (!n) return false;
    *r = (repetition){ .node = n, .x = n->in[X] };
    if (koe_pass_is_op(n, "", "Resize") || koe_pass_is_op(n, "", "Upsample")) r->times = resize_times(p, n);
    else if (koe_pass_is_op(n, "koe", "Repeat")) r->times = koe_node_int(n, "times", 0);
    else if (koe_pass_is_op(n, "", "Reshape")) r->times = expand_times(p, n, &r->x);
    return r->times > 0;
}

/* ---- what comes behind --------------------------------------------------------------------------------------------------- */

/* All values of the list are `x`, and there are n of them or none. */
static bool are_all(const koe_node *node, const char *name, size_t n, int64_t x)
{
    const int64_t *v;
    const size_t n_given = koe_node_ints(node, name, &v);
    for (size_t i = 0; i < n_given; i++)
        if (v[i] != x) return false;
    return n_given == 0 || n_given == n;
}

/* The weights of a plain convolution along time, or NULL. */
static const koe_tensor *weights_of(const koe_pass *p, const koe_node *n)
{
    const koe_tensor *w = koe_pass_is_op(n, "", "Conv") || koe_pass_is_op(n, "koe", "Conv") ? koe_pass_constant(p, n->in[W]) : NULL;
    if (!w || w->n_dim != 3 || w->dtype == KOE_DTYPE_F64 || !koe_str_is(koe_node_str(n, "auto_pad", "NOTSET"), "NOTSET")) return NULL;
    return are_all(n, "strides", 1, 1) && (w->dim[2] == 1 || are_all(n, "dilations", 1, 1)) ? w : NULL;
}

/* Does each output, a float32 or half number, depend on one such element of input 0, and on constants of its channel? */
static bool is_pointwise(const koe_pass *p, const koe_node *n)
{
    static const char *const maps[] = { "LeakyRelu", "Relu", "Tanh", "Sigmoid", "Cast" };
    const koe_tensor *w = weights_of(p, n);
    bool found = w ? w->dim[2] == 1 && are_all(n, "pads", 2, 0) : koe_pass_is_op(n, "koe", "Snake");
    for (size_t i = 0; !found && i < sizeof maps / sizeof *maps; i++) found = koe_pass_is_op(n, "", maps[i]);
    for (int i = 1; i < n->n_in; i++) found &= n->in[i] < 0 || koe_pass_constant(p, n->in[i]);
    /* Several convolutions take the activation in front of them in (pass_conv.c), so it stays there. */
    return found && n->n_out == 1 && koe_pass_is_float(p, n->out[0]) && koe_pass_is_float(p, n->in[X]) && (w || p->n_reads[n->out[0]] == 1);
}

/* Repetition and operator change places, and so do their nodes. */
static koe_status move_behind(koe_pass *p, koe_node *node, const repetition *r, koe_error *err)
{
    koe_node *first = r->node;
    const koe_node was = *node;
    const int between = koe_graph_add_slot(p->s, KOE_STR(""), p->plan->id), gone = first->out[0];
    int *in = koe_graph_slots(p->s, (size_t)was.n_in), *out = koe_arena_array(&p->s->arena, 1, sizeof *out);
    if (between < 0 || !in || !out) return koe_fail(err, KOE_E_NOMEM, "a repetition");
    memcpy(in, was.in, (size_t)was.n_in * sizeof *in);
    in[X] = r->x;
    *out = between;
    first->op = was.op;
    first->op_type = was.op_type;
    first->domain = was.domain;
    first->opset = was.opset;
    first->name = was.name;
    first->attr = was.attr;
    first->n_attr = was.n_attr;
    first->in = in;
    first->n_in = was.n_in;
    first->out = out;
    p->producer[gone] = NULL;
    p->n_reads[gone] = 0;
    koe_status st = koe_pass_replace(p, node, "Repeat", &between, 1, err);
    return st == KOE_OK ? koe_pass_set_int(p, node, "times", r->times, err) : st;
}

/* *out: a constant [C][M][length] of sums of w [M][C][k]; stays -1 when constants would take too much memory. */
static koe_status sum_weights(koe_pass *p, const koe_tensor *t, size_t times, size_t length, int *out, koe_error *err)
{
    const koe_tensor w = *t; /* new slots move the others */
    const size_t n_out = (size_t)w.dim[0], n_in = (size_t)w.dim[1], k = (size_t)w.dim[2], n = n_out * n_in;
    float *sum = koe_fold_room(p->s, n, length), *given = sum ? calloc(n * k, sizeof *given) : NULL;
    if (!sum) return KOE_OK;
    koe_status st = given ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "weights of an upsampling convolution");
    if (st == KOE_OK) {
        if (w.dtype == KOE_DTYPE_F32) memcpy(given, w.data, n * k * sizeof *given);
        else koe_widen(given, &w);
        for (size_t row = 0; row < n; row++)
            for (size_t q = 0; q < length; q++) {
                float s = 0;
                for (size_t j = q >= k ? 0 : k - 1 - q; j < k && j + q < k - 1 + times; j++) s += given[row * k + j];
                sum[(row % n_in * n_out + row / n_in) * length + q] = s;
            }
        *out = koe_graph_add_slot(p->s, KOE_STR(""), p->plan->id);
        if (*out < 0) st = koe_fail(err, KOE_E_NOMEM, "a constant");
        else p->s->slot[*out].constant = (koe_value){ .kind = KOE_VALUE_TENSOR,
                                                      .t = { KOE_DTYPE_F32, 3, { (int64_t)n_in, (int64_t)n_out, (int64_t)length }, sum } };
    }
    free(given);
    return st;
}

static koe_status transpose_conv(koe_pass *p, koe_node *conv, const repetition *r, koe_error *err)
{
    const koe_tensor *w = weights_of(p, conv);
    const int64_t *pads, none[2] = { 0, 0 }, k = w->dim[2], taps = (k + r->times - 1 + r->times - 1) / r->times, length = taps * r->times;
    const size_t n_pads = koe_node_ints(conv, "pads", &pads);
    if (n_pads == 0) pads = none;
    if (!koe_pass_is_op(conv, "", "Conv") || (w->dtype != KOE_DTYPE_F32 && !koe_dtype_is_half(w->dtype)) || koe_node_int(conv, "group", 1) != 1) return KOE_OK;
    if (taps >= k || length > GROWTH_MAX * k || koe_tensor_count(w) == 0 || (n_pads && n_pads != 2)) return KOE_OK;
    if (pads[0] < 0 || pads[1] < 0 || pads[0] > k - 1 || pads[1] > k - 1 - pads[0]) return KOE_OK; /* with more, an empty input has outputs */
    const int64_t cut[2] = { k - 1 - pads[0], k - 1 - pads[1] + length - (k + r->times - 1) };
    int in[3] = { r->x, -1, conv->in[B] };
    const int64_t opset = conv->opset;
    koe_status st = sum_weights(p, w, (size_t)r->times, (size_t)length, &in[W], err);
    if (st != KOE_OK || in[W] < 0) return st;
    st = koe_pass_replace(p, conv, "ConvTranspose", in, 3, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, conv, "strides", &r->times, 1, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, conv, "pads", cut, 2, err);
    conv->domain = KOE_STR(""); /* the ordinary one, for the pass `conv` */
    conv->opset = opset;
    conv->op = koe_op_find(conv->domain, conv->op_type, opset);
    return st;
}

koe_status koe_pass_upsample(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++) {
        koe_node *n = p->plan->node[i];
        repetition r;
        if (n->n_in == 0 || !find_repetition(p, n->in[X], &r)) continue;
        if (is_pointwise(p, n)) st = move_behind(p, n, &r, err);
        else if (weights_of(p, n)) st = transpose_conv(p, n, &r, err);
    }
    return st;
}
