/* shape.c - operators that say or change what shape a tensor has, and that make tensors from a shape or a value. */
#include <inttypes.h>
#include <math.h>

#include "ops/bytes.h"
#include "ops/ops.h"

/* ---- the same bytes under another shape ---- */

static koe_status run_identity(koe_op_ctx *c, koe_error *err)
{
    if (c->n_in < 1 || !c->in[0]) return koe_fail(err, KOE_E_FORMAT, "input 0 is missing");
    return koe_out_share(c, 0, c->in[0], err);
}

/* Fills in the 0 (as in the input) and the -1 (whatever is left) of a Reshape. */
static koe_status resolve_reshape(const koe_op_ctx *c, const koe_tensor *x, int n, int64_t *dim, koe_error *err)
{
    bool allow_zero = koe_node_int(c->node, "allowzero", 0) != 0, empty = false;
    int open = -1;
    size_t known = 1, count = koe_tensor_count(x); /* known: product of what is neither 0 nor open */
    for (int i = 0; i < n; i++) {
        if (dim[i] == 0 && !allow_zero) {
            if (i >= x->n_dim)
                return koe_fail(err, KOE_E_FORMAT, "dimension %d is to be copied from an input of %d dimensions", i, x->n_dim);
            dim[i] = x->dim[i];
        }
        if (dim[i] == -1 && open < 0) open = i;
        else if (dim[i] == 0) empty = true;
        else if (dim[i] < 0 || __builtin_mul_overflow(known, (size_t)dim[i], &known))
            return koe_fail(err, KOE_E_FORMAT, "dimension %d is %" PRId64, i, dim[i]);
    }
    if (open >= 0) {
        if (empty || count % known != 0)
            return koe_fail(err, KOE_E_FORMAT, "dimension %d cannot be inferred from %zu elements", open, count);
        dim[open] = (int64_t)(count / known);
    } else if ((empty ? 0 : known) != count)
        return koe_fail(err, KOE_E_FORMAT, "the new shape has %zu elements, the input %zu", empty ? 0 : known, count);
    return KOE_OK;
}

static koe_status run_reshape(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int64_t dim[KOE_MAX_DIM];
    int n;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_ints_of(c, 1, "shape", dim, KOE_MAX_DIM, &n, err);
    if (st == KOE_OK && n < 0) st = koe_fail(err, KOE_E_FORMAT, "no shape is given");
    if (st == KOE_OK) st = resolve_reshape(c, x, n, dim, err);
    return st == KOE_OK ? koe_out_view(c, 0, 0, n, dim, err) : st;
}

static koe_status run_flatten(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int axis;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", 1), x->n_dim, true, c->node, err);
    if (st != KOE_OK) return st;
    if (koe_node_int(c->node, "axis", 1) < 0) axis -= 1; /* counted from n_dim, not from n_dim + 1 */
    if (axis < 0)
        return koe_fail(err, KOE_E_FORMAT, "axis %" PRId64 " of %d dimensions", koe_node_int(c->node, "axis", 1), x->n_dim);
    int64_t dim[2] = { (int64_t)koe_dim_product(x->dim, 0, axis), (int64_t)koe_dim_product(x->dim, axis, x->n_dim) };
    return koe_out_view(c, 0, 0, 2, dim, err);
}

/* Marks the axes of the list in *mask. A list of none: *mask is 0 and *given false. */
static koe_status axis_mask(const koe_op_ctx *c, int n_dim, bool twice_ok, int n, const int64_t *list, unsigned *mask,
                            koe_error *err)
{
    *mask = 0;
    for (int i = 0; i < n; i++) {
        int axis;
        koe_status st = koe_axis(&axis, list[i], n_dim, false, c->node, err);
        if (st != KOE_OK) return st;
        if (!twice_ok && (*mask >> axis & 1)) return koe_fail(err, KOE_E_FORMAT, "axis %d is named twice", axis);
        *mask |= 1u << axis;
    }
    return KOE_OK;
}

static koe_status run_squeeze(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int64_t list[KOE_MAX_DIM], dim[KOE_MAX_DIM];
    int n;
    unsigned mask = 0;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_ints_of(c, 1, "axes", list, KOE_MAX_DIM, &n, err);
    if (st == KOE_OK) st = axis_mask(c, x->n_dim, true, n, list, &mask, err);
    if (st != KOE_OK) return st;
    int n_dim = 0;
    for (int i = 0; i < x->n_dim; i++) {
        bool drop = n < 0 ? x->dim[i] == 1 : (mask >> i & 1) != 0;
        if (drop && x->dim[i] != 1) return koe_fail(err, KOE_E_FORMAT, "axis %d has %" PRId64 " elements, not one", i, x->dim[i]);
        if (!drop) dim[n_dim++] = x->dim[i];
    }
    return koe_out_view(c, 0, 0, n_dim, dim, err);
}

static koe_status run_unsqueeze(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int64_t list[KOE_MAX_DIM], dim[KOE_MAX_DIM];
    int n;
    unsigned mask;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_ints_of(c, 1, "axes", list, KOE_MAX_DIM, &n, err);
    if (st != KOE_OK) return st;
    if (n < 0) return koe_fail(err, KOE_E_FORMAT, "no axes are given");
    int n_dim = x->n_dim + n;
    if (n_dim > KOE_MAX_DIM) return koe_fail(err, KOE_E_LIMIT, "%d dimensions, at most %d are supported", n_dim, KOE_MAX_DIM);
    st = axis_mask(c, n_dim, false, n, list, &mask, err);
    if (st != KOE_OK) return st;
    for (int i = 0, k = 0; i < n_dim; i++) dim[i] = mask >> i & 1 ? 1 : x->dim[k++];
    return koe_out_view(c, 0, 0, n_dim, dim, err);
}

/* ---- shape as data ---- */

static int clamp_axis(int64_t axis, int n_dim)
{
    if (axis < 0) axis += n_dim;
    return axis < 0 ? 0 : axis > n_dim ? n_dim : (int)axis;
}

static koe_status run_shape(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    int start = clamp_axis(koe_node_int(c->node, "start", 0), x->n_dim),
        end = clamp_axis(koe_node_int(c->node, "end", x->n_dim), x->n_dim);
    int64_t n = end > start ? end - start : 0;
    koe_tensor *y;
    st = koe_out(c, 0, KOE_DTYPE_I64, 1, &n, &y, err);
    if (st != KOE_OK) return st;
    for (int64_t i = 0; i < n; i++) ((int64_t *)y->data)[i] = x->dim[start + i];
    return KOE_OK;
}

static koe_status run_size(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_I64, 0, NULL, &y, err);
    if (st == KOE_OK) *(int64_t *)y->data = (int64_t)koe_tensor_count(x);
    return st;
}

static koe_status run_expand(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int64_t want[KOE_MAX_DIM], dim[KOE_MAX_DIM], stride[KOE_MAX_DIM], out_stride[KOE_MAX_DIM];
    int n, n_dim;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_ints_of(c, 1, "shape", want, KOE_MAX_DIM, &n, err);
    if (st == KOE_OK && n < 0) st = koe_fail(err, KOE_E_FORMAT, "no shape is given");
    if (st == KOE_OK) st = koe_broadcast(&n_dim, dim, x->n_dim, x->dim, n, want, err);
    if (st != KOE_OK) return st;
    bool same = true; /* leading ones at most */
    for (int i = 0; i < n_dim; i++) same &= dim[i] == (i < n_dim - x->n_dim ? 1 : x->dim[i - (n_dim - x->n_dim)]);
    if (same) return koe_out_view(c, 0, 0, n_dim, dim, err);
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    koe_broadcast_strides(stride, x, n_dim, dim);
    koe_dense_strides(out_stride, n_dim, dim);
    koe_copy_axis axis[KOE_MAX_DIM];
    for (int i = 0; i < n_dim; i++) axis[i] = (koe_copy_axis){ dim[i], out_stride[i], stride[i] };
    koe_copy_strided(c->pool, y->data, x->data, koe_dtype_size(x->dtype), axis, n_dim);
    return KOE_OK;
}

/* ---- tensors from nothing ---- */

static koe_status run_constant_of_shape(koe_op_ctx *c, koe_error *err)
{
    static const float zero = 0;
    int64_t dim[KOE_MAX_DIM];
    int n;
    const koe_onnx_attr *value = koe_node_attr(c->node, "value");
    bool given = value && value->t;
    if (given && koe_tensor_count(value->t) != 1)
        return koe_fail(err, KOE_E_FORMAT, "value has %zu elements, not one", koe_tensor_count(value->t));
    koe_tensor *y;
    koe_status st = koe_ints_of(c, 0, "shape", dim, KOE_MAX_DIM, &n, err);
    if (st == KOE_OK && n < 0) st = koe_fail(err, KOE_E_FORMAT, "no shape is given");
    if (st == KOE_OK) st = koe_out(c, 0, given ? value->t->dtype : KOE_DTYPE_F32, n, dim, &y, err);
    if (st == KOE_OK) koe_fill(y->data, given ? value->t->data : &zero, koe_dtype_size(y->dtype), koe_tensor_count(y));
    return st;
}

/* The one attribute of a Constant, as a tensor that borrows it. */
static koe_status constant_value(const koe_node *node, koe_tensor *t, koe_error *err)
{
    if (node->n_attr == 0) return koe_fail(err, KOE_E_FORMAT, "no value is given");
    const koe_onnx_attr *a = &node->attr[0];
    const void *data = NULL;
    *t = (koe_tensor){ 0 };
    if (koe_str_is(a->name, "value") && a->type == KOE_ATTR_TENSOR) {
        *t = *a->t;
        return KOE_OK;
    }
    if (koe_str_is(a->name, "value_float") && a->type == KOE_ATTR_FLOAT) data = &a->f;
    else if (koe_str_is(a->name, "value_int") && a->type == KOE_ATTR_INT) data = &a->i;
    else if (koe_str_is(a->name, "value_floats") && a->type == KOE_ATTR_FLOATS) data = a->floats;
    else if (koe_str_is(a->name, "value_ints") && a->type == KOE_ATTR_INTS) data = a->ints;
    else return koe_fail(err, KOE_E_UNSUPPORTED, "attribute %.*s is not supported", KOE_STR_ARG(a->name));
    t->dtype = a->type == KOE_ATTR_FLOAT || a->type == KOE_ATTR_FLOATS ? KOE_DTYPE_F32 : KOE_DTYPE_I64;
    t->n_dim = a->type == KOE_ATTR_FLOATS || a->type == KOE_ATTR_INTS;
    t->dim[0] = (int64_t)a->n;
    t->data = (void *)(uintptr_t)data; /* a tensor has no const data, but nobody writes to a constant */
    return KOE_OK;
}

static koe_status prepare_constant(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    koe_tensor t;
    return constant_value(node, &t, err);
}

static koe_status run_constant(koe_op_ctx *c, koe_error *err)
{
    koe_value v = { .kind = KOE_VALUE_TENSOR };
    koe_status st = constant_value(c->node, &v.t, err);
    return st == KOE_OK ? koe_out_share(c, 0, &v, err) : st;
}

/* Steps from start towards limit, as the specification's function body counts them: in the element's own arithmetic. */
#define DEFINE_RANGE_FLOAT(T, CEIL)                                                                                              \
    static double count_##T(const T *start, const T *limit, const T *delta) { return (double)CEIL((*limit - *start) / *delta); } \
    static void range_##T(T *out, size_t n, const T *start, const T *delta)                                                      \
    {                                                                                                                            \
        for (size_t i = 0; i < n; i++) out[i] = (T)((double)*start + (double)i * (double)*delta);                                \
    }
DEFINE_RANGE_FLOAT(float, ceilf)
DEFINE_RANGE_FLOAT(double, ceil)

static uint64_t range_count(int64_t start, int64_t limit, int64_t delta)
{
    if (delta > 0 ? limit <= start : limit >= start) return 0;
    uint64_t span = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    return (span - 1) / (delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta) + 1;
}

static koe_status range_ints(koe_op_ctx *c, koe_dtype dtype, const int64_t arg[3], koe_error *err)
{
    if (arg[2] == 0) return koe_fail(err, KOE_E_FORMAT, "the step is 0");
    uint64_t count = range_count(arg[0], arg[1], arg[2]);
    if (count > INT64_MAX / 8) return koe_fail(err, KOE_E_LIMIT, "%" PRIu64 " elements", count);
    int64_t n = (int64_t)count;
    koe_tensor *y;
    koe_status st = koe_out(c, 0, dtype, 1, &n, &y, err);
    if (st != KOE_OK) return st;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = (int64_t)((uint64_t)arg[0] + (uint64_t)i * (uint64_t)arg[2]); /* i * step alone may overflow */
        if (dtype == KOE_DTYPE_I64) ((int64_t *)y->data)[i] = v;
        else if (dtype == KOE_DTYPE_I32) ((int32_t *)y->data)[i] = (int32_t)v;
        else ((int16_t *)y->data)[i] = (int16_t)v;
    }
    return KOE_OK;
}

static koe_status range_floats(koe_op_ctx *c, koe_dtype dtype, void *const arg[3], koe_error *err)
{
    bool single = dtype == KOE_DTYPE_F32;
    double count = single ? count_float(arg[0], arg[1], arg[2]) : count_double(arg[0], arg[1], arg[2]);
    if (isnan(count)) return koe_fail(err, KOE_E_FORMAT, "start, limit and step give no number of elements");
    if (count > 0x1p48) return koe_fail(err, KOE_E_LIMIT, "%g elements", count);
    int64_t n = count > 0 ? (int64_t)count : 0;
    koe_tensor *y;
    koe_status st = koe_out(c, 0, dtype, 1, &n, &y, err);
    if (st != KOE_OK) return st;
    if (single) range_float(y->data, (size_t)n, arg[0], arg[2]);
    else range_double(y->data, (size_t)n, arg[0], arg[2]);
    return KOE_OK;
}

static koe_status run_range(koe_op_ctx *c, koe_error *err)
{
    void *arg[3];
    int64_t whole[3] = { 0 };
    koe_dtype dtype = KOE_DTYPE_NONE;
    for (int i = 0; i < 3; i++) {
        const koe_tensor *t;
        koe_status st = koe_need(c, i, &t, err);
        if (st != KOE_OK) return st;
        if (koe_tensor_count(t) != 1)
            return koe_fail(err, KOE_E_FORMAT, "input %d has %zu elements, not one", i, koe_tensor_count(t));
        if (i > 0 && t->dtype != dtype)
            return koe_fail(err, KOE_E_FORMAT, "inputs are %s and %s", koe_dtype_name(dtype), koe_dtype_name(t->dtype));
        dtype = t->dtype;
        arg[i] = t->data;
        if (dtype == KOE_DTYPE_I64) whole[i] = *(const int64_t *)t->data;
        else if (dtype == KOE_DTYPE_I32) whole[i] = *(const int32_t *)t->data;
        else if (dtype == KOE_DTYPE_I16) whole[i] = *(const int16_t *)t->data;
    }
    switch (dtype) {
    case KOE_DTYPE_F32:
    case KOE_DTYPE_F64: return range_floats(c, dtype, arg, err);
    case KOE_DTYPE_I16:
    case KOE_DTYPE_I32:
    case KOE_DTYPE_I64: return range_ints(c, dtype, whole, err);
    default: return koe_type_error(c, dtype, err);
    }
}

static koe_status run_eye_like(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->n_dim != 2) return koe_fail(err, KOE_E_FORMAT, "the input has %d dimensions, not 2", x->n_dim);
    int64_t dtype = koe_node_int(c->node, "dtype", x->dtype), k = koe_node_int(c->node, "k", 0);
    int64_t rows = x->dim[0], cols = x->dim[1];
    if (dtype < 0 || dtype > KOE_DTYPE_BF16) return koe_fail(err, KOE_E_FORMAT, "dtype %" PRId64 " is unknown", dtype);
    st = koe_out(c, 0, (koe_dtype)dtype, 2, x->dim, &y, err);
    if (st != KOE_OK) return st;
    size_t size = koe_dtype_size(y->dtype);
    if (rows * cols > 0) memset(y->data, 0, koe_tensor_bytes(y));
    if (k > cols || k < -rows) return KOE_OK;
    for (int64_t r = k < 0 ? -k : 0; r < rows && r + k < cols; r++)
        koe_elem_put(y->dtype, (char *)y->data + (size_t)(r * cols + r + k) * size, 1);
    return KOE_OK;
}

/* ---- optional values: an empty one is a value of kind NONE ---- */

static koe_status run_optional(koe_op_ctx *c, koe_error *err)
{
    static const koe_value none = { .kind = KOE_VALUE_NONE };
    return koe_out_share(c, 0, c->n_in > 0 && c->in[0] ? c->in[0] : &none, err);
}

static koe_status run_optional_has_element(koe_op_ctx *c, koe_error *err)
{
    koe_tensor *y;
    koe_status st = koe_out(c, 0, KOE_DTYPE_BOOL, 0, NULL, &y, err);
    if (st == KOE_OK) *(uint8_t *)y->data = c->n_in > 0 && c->in[0] && c->in[0]->kind != KOE_VALUE_NONE;
    return st;
}

static koe_status run_optional_get_element(koe_op_ctx *c, koe_error *err)
{
    if (c->n_in < 1 || !c->in[0] || c->in[0]->kind == KOE_VALUE_NONE)
        return koe_fail(err, KOE_E_FORMAT, "the optional value is empty");
    return koe_out_share(c, 0, c->in[0], err);
}

koe_op_table koe_ops_shape(void)
{
    static const koe_op table[] = {
        { .name = "Identity", .since = 1, .run = run_identity },
        { .name = "Reshape", .since = 5, .run = run_reshape },
        { .name = "Flatten", .since = 1, .run = run_flatten },
        { .name = "Squeeze", .since = 1, .run = run_squeeze },
        { .name = "Unsqueeze", .since = 1, .run = run_unsqueeze },
        { .name = "Shape", .since = 1, .run = run_shape },
        { .name = "Size", .since = 1, .run = run_size },
        { .name = "Expand", .since = 8, .run = run_expand },
        { .name = "ConstantOfShape", .since = 9, .run = run_constant_of_shape },
        { .name = "Constant", .since = 1, .prepare = prepare_constant, .run = run_constant },
        { .name = "Range", .since = 11, .flags = KOE_OP_WIDEN_HALF, .run = run_range },
        { .name = "EyeLike", .since = 9, .run = run_eye_like },
        { .name = "Optional", .since = 15, .run = run_optional },
        { .name = "OptionalHasElement", .since = 15, .run = run_optional_has_element },
        { .name = "OptionalGetElement", .since = 15, .run = run_optional_get_element },
    };
    return KOE_OP_TABLE(table);
}
