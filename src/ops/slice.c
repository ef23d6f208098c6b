/* slice.c - windows over a tensor, smaller or larger than it: Slice, Pad, CenterCropPad, Col2Im. */
#include <inttypes.h>

#include "ops/bytes.h"
#include "ops/ops.h"

/* ---- Slice ---- */

/* What is taken of one axis: n elements from `start`, `step` apart. */
typedef struct slice_axis {
    int64_t start, step, n;
} slice_axis;

static int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

/* start and end as the model gives them: negative ones count from the end, both are clamped to the axis. step is not 0. */
static slice_axis slice_of(int64_t start, int64_t end, int64_t step, int64_t len)
{
    if (start < 0) start += len;
    if (end < 0) end += len;
    bool back = step < 0;
    start = clamp(start, 0, back ? len - 1 : len);
    end = clamp(end, back ? -1 : 0, len);
    int64_t span = back ? start - end : end - start;
    if (span <= 0 || len == 0) return (slice_axis){ 0, 1, 0 };
    if (step == INT64_MIN) step = -INT64_MAX;
    int64_t n = (span - 1) / (back ? -step : step) + 1;
    return (slice_axis){ start, n == 1 ? 1 : step, n };
}

/* Reads start, end, axes and step, from attributes (opset 1) or inputs. */
static koe_status read_slice(const koe_op_ctx *c, const koe_tensor *x, slice_axis part[KOE_MAX_DIM], koe_error *err)
{
    int64_t start[KOE_MAX_DIM], end[KOE_MAX_DIM], axes[KOE_MAX_DIM], step[KOE_MAX_DIM];
    int n, n_end, n_axes, n_step;
    koe_status st = koe_ints_of(c, 1, "starts", start, KOE_MAX_DIM, &n, err);
    if (st == KOE_OK) st = koe_ints_of(c, 2, "ends", end, KOE_MAX_DIM, &n_end, err);
    if (st == KOE_OK) st = koe_ints_of(c, 3, "axes", axes, KOE_MAX_DIM, &n_axes, err);
    if (st == KOE_OK) st = koe_ints_of(c, 4, "steps", step, KOE_MAX_DIM, &n_step, err);
    if (st != KOE_OK) return st;
    if (n < 0 || n_end != n || n > x->n_dim || (n_axes >= 0 && n_axes != n) || (n_step >= 0 && n_step != n))
        return koe_fail(err, KOE_E_FORMAT, "%d starts, %d ends, %d axes and %d steps for %d dimensions", n, n_end, n_axes, n_step,
                        x->n_dim);
    unsigned seen = 0;
    for (int i = 0; i < x->n_dim; i++) part[i] = (slice_axis){ 0, 1, x->dim[i] };
    for (int i = 0; i < n; i++) {
        int axis = i;
        if (n_axes >= 0) st = koe_axis(&axis, axes[i], x->n_dim, false, c->node, err);
        if (st != KOE_OK) return st;
        int64_t by = n_step >= 0 ? step[i] : 1;
        if (by == 0 || (seen >> axis & 1))
            return koe_fail(err, KOE_E_FORMAT, by == 0 ? "the step of axis %d is 0" : "axis %d is named twice", axis);
        seen |= 1u << axis;
        part[axis] = slice_of(start[i], end[i], by, x->dim[axis]);
    }
    return KOE_OK;
}

/* True when the parts are one run of memory: whole axes, one that is cut, and single elements around it. */
static bool is_run(const koe_tensor *x, const slice_axis *part)
{
    int i = x->n_dim - 1;
    while (i >= 0 && part[i].n == x->dim[i] && part[i].step == 1) i--;
    if (i >= 0 && part[i].step != 1) return false;
    for (i--; i >= 0; i--)
        if (part[i].n != 1) return false;
    return true;
}

static koe_status run_slice(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    slice_axis part[KOE_MAX_DIM];
    int64_t dim[KOE_MAX_DIM], in_stride[KOE_MAX_DIM], out_stride[KOE_MAX_DIM], at = 0;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = read_slice(c, x, part, err);
    if (st != KOE_OK) return st;
    koe_dense_strides(in_stride, x->n_dim, x->dim);
    for (int i = 0; i < x->n_dim; i++) {
        dim[i] = part[i].n;
        at += part[i].start * in_stride[i];
    }
    if (is_run(x, part)) return koe_out_part(c, 0, 0, (size_t)at, x->n_dim, dim, err);
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    koe_dense_strides(out_stride, x->n_dim, dim);
    koe_copy_axis loop[KOE_MAX_DIM];
    for (int i = 0; i < x->n_dim; i++) loop[i] = (koe_copy_axis){ dim[i], out_stride[i], part[i].step * in_stride[i] };
    size_t size = koe_dtype_size(x->dtype);
    koe_copy_strided(c->pool, y->data, (const char *)x->data + (size_t)at * size, size, loop, x->n_dim);
    return KOE_OK;
}

/* ---- Pad ---- */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

static koe_status read_pad_mode(const koe_node *node, pad_mode *out, koe_error *err)
{
    static const char *const names[] = { "constant", "reflect", "edge", "wrap" };
    koe_str mode = koe_node_str(node, "mode", "constant");
    for (int i = 0; i < 4; i++) {
        if (!koe_str_is(mode, names[i])) continue;
        *out = (pad_mode)i;
        return KOE_OK;
    }
    return koe_fail(err, KOE_E_FORMAT, "mode %.*s is not constant, reflect, edge or wrap", KOE_STR_ARG(mode));
}

static koe_status prepare_pad(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    pad_mode mode;
    return read_pad_mode(node, &mode, err);
}

/* Where in an axis of len > 0 elements a place outside it looks; -1: nowhere. */
static int64_t pad_source(pad_mode mode, int64_t i, int64_t len)
{
    if (i >= 0 && i < len) return i;
    if (mode == PAD_CONSTANT) return -1;
    if (mode == PAD_EDGE) return i < 0 ? 0 : len - 1;
    int64_t period = mode == PAD_WRAP ? len : 2 * (len - 1);
    if (period == 0) return 0;
    i %= period;
    if (i < 0) i += period;
    return i < len ? i : period - i;
}

/* Elements before and behind each axis; negative ones are cut off. */
static koe_status read_pads(const koe_op_ctx *c, const koe_tensor *x, int64_t before[KOE_MAX_DIM], int64_t dim[KOE_MAX_DIM],
                            koe_error *err)
{
    int64_t pads[2 * KOE_MAX_DIM], axes[KOE_MAX_DIM];
    int n_pads, n_axes;
    koe_status st = koe_ints_of(c, 1, "pads", pads, 2 * KOE_MAX_DIM, &n_pads, err);
    if (st == KOE_OK) st = koe_ints_of(c, 3, "axes", axes, KOE_MAX_DIM, &n_axes, err);
    if (st != KOE_OK) return st;
    int n = n_axes < 0 ? x->n_dim : n_axes;
    if (n_pads != 2 * n) return koe_fail(err, KOE_E_FORMAT, "%d pads for %d axes", n_pads, n);
    for (int i = 0; i < x->n_dim; i++) {
        before[i] = 0;
        dim[i] = x->dim[i];
    }
    for (int i = 0; i < n; i++) {
        int axis = i;
        if (n_axes >= 0) st = koe_axis(&axis, axes[i], x->n_dim, false, c->node, err);
        if (st != KOE_OK) return st;
        before[axis] = pads[i];
        if (__builtin_add_overflow(x->dim[axis], pads[i], &dim[axis]) ||
            __builtin_add_overflow(dim[axis], pads[n + i], &dim[axis]) || dim[axis] < 0 || pads[i] == INT64_MIN)
            return koe_fail(err, KOE_E_FORMAT, "pads %" PRId64 " and %" PRId64 " of axis %d", pads[i], pads[n + i], axis);
    }
    return KOE_OK;
}

/* The constant to pad with: an input, an attribute (opset 2), or zero. */
static koe_status read_pad_value(const koe_op_ctx *c, koe_dtype dtype, uint64_t *value, koe_error *err)
{
    *value = 0;
    if (c->n_in > 2 && c->in[2]) {
        const koe_tensor *t;
        koe_status st = koe_need(c, 2, &t, err);
        if (st != KOE_OK) return st;
        if (koe_tensor_count(t) != 1 || t->dtype != dtype)
            return koe_fail(err, KOE_E_FORMAT, "constant_value must be one %s, not %zu of %s", koe_dtype_name(dtype),
                            koe_tensor_count(t), koe_dtype_name(t->dtype));
        memcpy(value, t->data, koe_dtype_size(dtype));
    } else koe_elem_put(dtype, value, (double)koe_node_float(c->node, "value", 0));
    return KOE_OK;
}

static koe_status run_pad(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int64_t before[KOE_MAX_DIM], dim[KOE_MAX_DIM];
    uint64_t value;
    pad_mode mode = PAD_CONSTANT;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = read_pad_mode(c->node, &mode, err);
    if (st == KOE_OK) st = read_pads(c, x, before, dim, err);
    if (st == KOE_OK) st = read_pad_value(c, x->dtype, &value, err);
    if (st != KOE_OK) return st;
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    const int64_t *table[KOE_MAX_DIM] = { NULL };
    for (int k = 0; k < x->n_dim; k++) {
        if (before[k] == 0 && dim[k] == x->dim[k]) continue;
        if (x->dim[k] == 0 && mode != PAD_CONSTANT) return koe_fail(err, KOE_E_FORMAT, "axis %d has no elements to repeat", k);
        int64_t *index = koe_scratch_array(c, (size_t)dim[k], sizeof *index);
        if (!index) return koe_fail(err, KOE_E_NOMEM, "its tables");
        for (int64_t i = 0; i < dim[k]; i++) index[i] = pad_source(mode, i - before[k], x->dim[k]);
        table[k] = index;
    }
    koe_copy_indexed(c->pool, y->data, dim, x->data, x->dim, x->n_dim, table, koe_dtype_size(x->dtype), &value);
    return KOE_OK;
}

/* ---- CenterCropPad ---- */

static koe_status run_center_crop_pad(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int64_t shape[KOE_MAX_DIM], axes[KOE_MAX_DIM], dim[KOE_MAX_DIM];
    int n, n_axes;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_ints_of(c, 1, "shape", shape, KOE_MAX_DIM, &n, err);
    if (st == KOE_OK) st = koe_ints_of(c, -1, "axes", axes, KOE_MAX_DIM, &n_axes, err);
    if (st != KOE_OK) return st;
    if (n != (n_axes < 0 ? x->n_dim : n_axes))
        return koe_fail(err, KOE_E_FORMAT, "a shape of %d for %d axes", n, n_axes < 0 ? x->n_dim : n_axes);
    memcpy(dim, x->dim, sizeof dim);
    for (int i = 0; i < n; i++) {
        int axis = i;
        if (n_axes >= 0) st = koe_axis(&axis, axes[i], x->n_dim, false, c->node, err);
        if (st != KOE_OK) return st;
        dim[axis] = shape[i];
    }
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    const int64_t *table[KOE_MAX_DIM] = { NULL };
    static const uint64_t zero = 0;
    for (int k = 0; k < x->n_dim; k++) {
        if (dim[k] == x->dim[k]) continue;
        int64_t *index = koe_scratch_array(c, (size_t)dim[k], sizeof *index);
        if (!index) return koe_fail(err, KOE_E_NOMEM, "its tables");
        int64_t shift = dim[k] < x->dim[k] ? (x->dim[k] - dim[k]) / 2 : -((dim[k] - x->dim[k]) / 2);
        for (int64_t i = 0; i < dim[k]; i++) index[i] = i + shift < x->dim[k] ? i + shift : -1; /* negative before the start */
        table[k] = index;
    }
    koe_copy_indexed(c->pool, y->data, dim, x->data, x->dim, x->n_dim, table, koe_dtype_size(x->dtype), &zero);
    return KOE_OK;
}

/* ---- Col2Im ---- */

enum { SPACE_MAX = KOE_MAX_DIM - 2 };

/* Blocks of `block` elements, `dilation` apart, laid over an image every `stride`: the sum of what lands on each pixel. */
typedef struct col2im {
    int n; /* spatial axes */
    int64_t image[SPACE_MAX], block[SPACE_MAX], dilation[SPACE_MAX], stride[SPACE_MAX], pad[SPACE_MAX];
    int64_t steps[SPACE_MAX]; /* positions of a block along each axis */
    int64_t n_block, n_step; /* products of block and steps */
} col2im;

/* An attribute of one positive integer for each axis, 1 when absent. */
static koe_status read_spacing(const koe_op_ctx *c, const char *name, int n, int64_t *out, koe_error *err)
{
    const int64_t *list;
    size_t count = koe_node_ints(c->node, name, &list);
    if (list && count != (size_t)n) return koe_fail(err, KOE_E_FORMAT, "%zu %s for %d axes", count, name, n);
    for (int i = 0; i < n; i++) {
        out[i] = list ? list[i] : 1;
        if (out[i] < 1 || out[i] > INT32_MAX) return koe_fail(err, KOE_E_FORMAT, "%s holds %" PRId64, name, out[i]);
    }
    return KOE_OK;
}

static koe_status read_col2im(const koe_op_ctx *c, col2im *g, koe_error *err)
{
    const int64_t *pads;
    size_t n_pads = koe_node_ints(c->node, "pads", &pads);
    int n_block;
    koe_status st = koe_ints_of(c, 1, "image_shape", g->image, SPACE_MAX, &g->n, err);
    if (st == KOE_OK) st = koe_ints_of(c, 2, "block_shape", g->block, SPACE_MAX, &n_block, err);
    if (st != KOE_OK) return st;
    if (g->n < 1 || n_block != g->n || (pads && n_pads != 2 * (size_t)g->n))
        return koe_fail(err, KOE_E_FORMAT, "image of %d dimensions, block of %d, %zu pads", g->n, n_block, n_pads);
    st = read_spacing(c, "dilations", g->n, g->dilation, err);
    if (st == KOE_OK) st = read_spacing(c, "strides", g->n, g->stride, err);
    g->n_block = g->n_step = 1;
    for (int i = 0; st == KOE_OK && i < g->n; i++) {
        int64_t low = pads ? pads[i] : 0, high = pads ? pads[g->n + i] : 0;
        if (g->image[i] < 0 || g->image[i] > INT32_MAX || g->block[i] < 1 || g->block[i] > INT32_MAX || low < 0 ||
            low > INT32_MAX || high < 0 || high > INT32_MAX)
            return koe_fail(err, KOE_E_FORMAT, "axis %d: image %" PRId64 ", block %" PRId64 ", pads %" PRId64 " and %" PRId64, i,
                            g->image[i], g->block[i], low, high);
        int64_t room = g->image[i] + low + high - g->dilation[i] * (g->block[i] - 1) - 1;
        g->pad[i] = low;
        g->steps[i] = room < 0 ? 0 : room / g->stride[i] + 1;
        if (__builtin_mul_overflow(g->n_block, g->block[i], &g->n_block) ||
            __builtin_mul_overflow(g->n_step, g->steps[i], &g->n_step))
            return koe_fail(err, KOE_E_FORMAT, "the blocks are too many");
    }
    return st;
}

/* Adds the n_step values at `col`, one for each position of the block, of the block's element `k` to one channel's image. */
static void add_element(const col2im *g, koe_dtype dtype, char *image, const char *col, int64_t k)
{
    size_t size = koe_dtype_size(dtype);
    int64_t offset[SPACE_MAX];
    for (int i = g->n - 1; i >= 0; i--) {
        offset[i] = k % g->block[i] * g->dilation[i] - g->pad[i];
        k /= g->block[i];
    }
    for (int64_t s = 0; s < g->n_step; s++) {
        int64_t rest = s, at = 0, step = 1;
        bool inside = true;
        for (int i = g->n - 1; i >= 0; i--) {
            int64_t p = rest % g->steps[i] * g->stride[i] + offset[i];
            rest /= g->steps[i];
            if (p < 0 || p >= g->image[i]) {
                inside = false;
                break;
            }
            at += p * step;
            step *= g->image[i];
        }
        if (inside) koe_elem_combine(dtype, KOE_COMBINE_ADD, image + (size_t)at * size, col + (size_t)s * size, 1);
    }
}

static koe_status run_col2im(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    col2im g;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = read_col2im(c, &g, err);
    if (st != KOE_OK) return st;
    if (x->n_dim != 3 || x->dim[1] % g.n_block != 0 || x->dim[2] != g.n_step)
        return koe_fail(err, KOE_E_FORMAT, "the input is not [N, C * %" PRId64 ", %" PRId64 "]", g.n_block, g.n_step);
    int64_t dim[KOE_MAX_DIM] = { x->dim[0], x->dim[1] / g.n_block };
    for (int i = 0; i < g.n; i++) dim[2 + i] = g.image[i];
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, g.n + 2, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    memset(y->data, 0, koe_tensor_bytes(y));
    size_t size = koe_dtype_size(x->dtype), image_bytes = koe_dim_product(dim, 2, g.n + 2) * size, row = (size_t)g.n_step * size;
    for (int64_t i = 0; i < x->dim[0] * x->dim[1]; i++)
        add_element(&g, x->dtype, (char *)y->data + (size_t)(i / g.n_block) * image_bytes,
                    (const char *)x->data + (size_t)i * row, i % g.n_block);
    return KOE_OK;
}

koe_op_table koe_ops_slice(void)
{
    static const koe_op table[] = {
        { .name = "Slice", .since = 1, .run = run_slice },
        { .name = "Pad", .since = 2, .prepare = prepare_pad, .run = run_pad },
        { .name = "CenterCropPad", .since = 18, .run = run_center_crop_pad },
        { .name = "Col2Im", .since = 18, .flags = KOE_OP_WIDEN_HALF, .run = run_col2im },
    };
    return KOE_OP_TABLE(table);
}
