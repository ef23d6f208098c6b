/* shape.c - a rule for each operator: from the shapes of the inputs to those of the outputs. */
#include "graph/shape.h"

#include <math.h>
#include <stdlib.h>

typedef struct koe_known {
    koe_shape *shape; /* NULL: nothing */
    koe_values *values;
    koe_dtype dtype; /* KOE_DTYPE_NONE: not known */
} koe_known;

/* One node, while its rule runs. */
typedef struct rule {
    koe_shapes *k;
    const koe_node *node;
} rule;

koe_status koe_shapes_init(koe_shapes *k, koe_session *s, koe_error *err)
{
    *k = (koe_shapes){ .s = s, .cap_slot = s->n_slot };
    k->known = calloc((size_t)s->n_slot + 1, sizeof *k->known);
    if (!k->known) return koe_fail(err, KOE_E_NOMEM, "shapes");
    for (int i = 0; i < s->n_in; i++) {
        const koe_onnx_value *in = s->in[i];
        if (!s->in_optional[i] && in->kind != KOE_ONNX_SEQUENCE) k->known[s->in_slot[i]].dtype = in->dtype;
        if (s->in_optional[i] || in->kind == KOE_ONNX_SEQUENCE || in->n_dim < 0 || in->n_dim > KOE_MAX_DIM) continue;
        koe_shape *shape = koe_arena_alloc(&k->arena, sizeof *shape);
        if (!shape) return koe_fail(err, KOE_E_NOMEM, "shapes");
        shape->n_dim = in->n_dim;
        for (int d = 0; d < in->n_dim; d++) shape->dim[d] = in->dim[d] >= 0 ? koe_number(in->dim[d]) : (koe_dim){ 0, ++k->n_symbol };
        k->known[s->in_slot[i]].shape = shape;
    }
    return KOE_OK;
}

void koe_shapes_deinit(koe_shapes *k)
{
    free(k->known);
    koe_arena_free(&k->arena);
}

/* ---- what is known ------------------------------------------------------------------------------------------------------- */

static const koe_tensor *constant(const koe_shapes *k, int slot)
{
    const koe_value *v = slot >= 0 ? &k->s->slot[slot].constant : NULL;
    return v && v->kind == KOE_VALUE_TENSOR ? &v->t : NULL;
}

bool koe_shape_of(const koe_shapes *k, int slot, koe_shape *out)
{
    const koe_tensor *t = constant(k, slot);
    *out = (koe_shape){ .n_dim = -1 };
    if (t) {
        out->n_dim = t->n_dim;
        for (int d = 0; d < t->n_dim; d++) out->dim[d] = koe_number(t->dim[d]);
    } else if (slot >= 0 && slot < k->cap_slot && k->known[slot].shape)
        *out = *k->known[slot].shape;
    return out->n_dim >= 0;
}

static bool read_values(const koe_tensor *t, koe_values *out)
{
    const size_t size = koe_dtype_size(t->dtype), n = koe_tensor_count(t);
    if (t->n_dim > 1 || n > KOE_VALUES_MAX) return false;
    if (t->dtype != KOE_DTYPE_I64 && t->dtype != KOE_DTYPE_I32 && t->dtype != KOE_DTYPE_BOOL) return false;
    *out = (koe_values){ .dtype = t->dtype, .n_dim = t->n_dim, .n = (int)n };
    for (size_t i = 0; i < n; i++) {
        const char *p = (const char *)t->data + i * size; /* may be unaligned: straight from the file */
        int32_t v32;
        if (size == 8) memcpy(&out->v[i].v, p, 8);
        else if (size == 4) {
            memcpy(&v32, p, 4);
            out->v[i].v = v32;
        } else
            out->v[i].v = *(const uint8_t *)p != 0;
    }
    return true;
}

bool koe_values_of(const koe_shapes *k, int slot, koe_values *out)
{
    const koe_tensor *t = constant(k, slot);
    if (t) return read_values(t, out);
    if (slot < 0 || slot >= k->cap_slot || !k->known[slot].values) return false;
    *out = *k->known[slot].values;
    return true;
}

koe_dtype koe_dtype_of(const koe_shapes *k, int slot)
{
    const koe_tensor *t = constant(k, slot);
    if (t) return t->dtype;
    return slot >= 0 && slot < k->cap_slot ? k->known[slot].dtype : KOE_DTYPE_NONE;
}

static int in_slot(const rule *r, int i) { return i < r->node->n_in ? r->node->in[i] : -1; }
static bool shape_in(const rule *r, int i, koe_shape *out) { return koe_shape_of(r->k, in_slot(r, i), out); }
static bool values_in(const rule *r, int i, koe_values *out) { return koe_values_of(r->k, in_slot(r, i), out); }
static koe_dim fresh(const rule *r) { return (koe_dim){ 0, ++r->k->n_symbol }; }
static koe_dim anything(const rule *r) { return (koe_dim){ 0, -++r->k->n_symbol }; }

static koe_known *known_out(const rule *r, int i)
{
    const int slot = i < r->node->n_out ? r->node->out[i] : -1;
    return slot >= 0 && slot < r->k->cap_slot ? &r->k->known[slot] : NULL;
}

static void set_shape(const rule *r, int i, const koe_shape *shape)
{
    koe_known *out = known_out(r, i);
    if (!out || shape->n_dim < 0 || shape->n_dim > KOE_MAX_DIM) return;
    koe_shape *copy = koe_arena_alloc(&r->k->arena, sizeof *copy);
    if (!copy) return; /* out of memory: less is known than could be */
    *copy = *shape;
    out->shape = copy;
}

/* Values say the shape too. A tap may change the elements of its tensor. */
static void set_values(const rule *r, const koe_values *values)
{
    koe_known *out = known_out(r, 0);
    if (!out || values->n > KOE_VALUES_MAX || values->n_dim > 1) return;
    koe_shape shape = { .n_dim = values->n_dim, .dim = { koe_number(values->n) } };
    set_shape(r, 0, &shape);
    if (r->k->s->slot[r->node->out[0]].tap >= 0) return;
    koe_values *copy = koe_arena_alloc(&r->k->arena, sizeof *copy);
    if (!copy) return; /* out of memory: less is known than could be */
    *copy = *values;
    out->values = copy;
}

/* ---- elementwise --------------------------------------------------------------------------------------------------------- */

static void same_as_first(const rule *r)
{
    koe_shape x;
    koe_values v;
    if (koe_str_is(r->node->op_type, "Identity") && values_in(r, 0, &v)) set_values(r, &v);
    else if (shape_in(r, 0, &x)) set_shape(r, 0, &x);
}

static void dynamic_quantize(const rule *r)
{
    const koe_shape one = { .n_dim = 0 };
    same_as_first(r);
    for (int i = 1; i < r->node->n_out; i++) set_shape(r, i, &one);
}

static void n_bits(const rule *r)
{
    koe_shape x;
    const int64_t n = koe_node_int(r->node, "N", 0);
    if (!shape_in(r, 0, &x) || x.n_dim < 1 || n < 1 || n > INT32_MAX) return;
    x.dim[x.n_dim - 1] = koe_number(n);
    set_shape(r, 0, &x);
}

static bool is_cut(const koe_shapes *k, koe_dim part, koe_dim whole)
{
    for (int i = 0; i < k->n_cut; i++)
        if (part.symbol == k->cut[i].part && whole.symbol == k->cut[i].whole) return true;
    return false;
}

static koe_dim broadcast_dim(const rule *r, koe_dim a, koe_dim b)
{
    /* A table's first T rows, added to T rows: a table that is shorter does not broadcast. */
    if (is_cut(r->k, a, b)) return b;
    if (is_cut(r->k, b, a)) return a;
    if (koe_dim_is(a, 1) || koe_dim_same(a, b)) return b;
    if (koe_dim_is(b, 1) || !a.symbol) return a;
    return b.symbol ? fresh(r) : b;
}

static void broadcast(const rule *r, koe_shape *y, const koe_shape *x)
{
    koe_shape out = { .n_dim = y->n_dim > x->n_dim ? y->n_dim : x->n_dim };
    for (int i = 0; i < out.n_dim; i++) {
        const int a = i - (out.n_dim - y->n_dim), b = i - (out.n_dim - x->n_dim);
        out.dim[i] = a < 0 ? x->dim[b] : b < 0 ? y->dim[a] : broadcast_dim(r, y->dim[a], x->dim[b]);
    }
    *y = out;
}

static void broadcast_all(const rule *r)
{
    koe_shape y, x;
    if (!shape_in(r, 0, &y)) return;
    for (int i = 1; i < r->node->n_in; i++) {
        if (!shape_in(r, i, &x)) return;
        broadcast(r, &y, &x);
    }
    set_shape(r, 0, &y);
}

/* One element of a sum, product, ...: a number where it can be told. */
static koe_dim arithmetic(const rule *r, koe_dim a, koe_dim b)
{
    const koe_str op = r->node->op_type;
    int64_t v;
    if (koe_str_is(op, "Add")) {
        if (!a.symbol && !b.symbol && !__builtin_add_overflow(a.v, b.v, &v)) return koe_number(v);
        if (koe_dim_is(a, 0)) return b;
        if (koe_dim_is(b, 0)) return a;
    } else if (koe_str_is(op, "Sub")) {
        if (!a.symbol && !b.symbol && !__builtin_sub_overflow(a.v, b.v, &v)) return koe_number(v);
        if (koe_dim_is(b, 0)) return a;
        if (koe_dim_same(a, b)) return koe_number(0);
    } else if (koe_str_is(op, "Mul")) {
        if (!a.symbol && !b.symbol && !__builtin_mul_overflow(a.v, b.v, &v)) return koe_number(v);
        if (koe_dim_is(a, 1) || koe_dim_is(b, 0)) return b;
        if (koe_dim_is(b, 1) || koe_dim_is(a, 0)) return a;
    } else if (koe_str_is(op, "Div")) {
        if (!a.symbol && !b.symbol && a.v >= 0 && b.v > 0) return koe_number(a.v / b.v);
        if (koe_dim_is(b, 1)) return a;
    } else if (koe_str_is(op, "Equal")) {
        if (!a.symbol && !b.symbol) return koe_number(a.v == b.v);
        if (koe_dim_same(a, b)) return koe_number(1);
        if ((a.symbol > 0 && !b.symbol && b.v < 0) || (b.symbol > 0 && !a.symbol && a.v < 0)) return koe_number(0);
    }
    return anything(r);
}

/* int32 wraps: what does not fit is not followed. */
static bool fits(const koe_values *v)
{
    for (int i = 0; i < v->n; i++)
        if (v->dtype == KOE_DTYPE_I32 && !v->v[i].symbol && (v->v[i].v < INT32_MIN || v->v[i].v > INT32_MAX)) return false;
    return true;
}

static bool element(const koe_values *v, int i, int n, koe_dim *out)
{
    if (v->n != n && v->n != 1) return false;
    *out = v->v[v->n == 1 ? 0 : i];
    return true;
}

static void arithmetic_all(const rule *r)
{
    koe_values a, b, y;
    if (!values_in(r, 0, &a) || !values_in(r, 1, &b) || a.dtype == KOE_DTYPE_BOOL || b.dtype == KOE_DTYPE_BOOL) {
        broadcast_all(r);
        return;
    }
    y = (koe_values){ .dtype = koe_str_is(r->node->op_type, "Equal") ? KOE_DTYPE_BOOL : a.dtype,
                      .n_dim = a.n_dim > b.n_dim ? a.n_dim : b.n_dim, .n = a.n == 1 ? b.n : a.n };
    for (int i = 0; i < y.n; i++) {
        koe_dim p, q;
        if (!element(&a, i, y.n, &p) || !element(&b, i, y.n, &q)) return;
        y.v[i] = arithmetic(r, p, q);
    }
    if (fits(&y)) set_values(r, &y);
}

static void where(const rule *r)
{
    koe_values c, a, b, y;
    if (!values_in(r, 0, &c) || !values_in(r, 1, &a) || !values_in(r, 2, &b)) {
        broadcast_all(r);
        return;
    }
    y = (koe_values){ .dtype = a.dtype, .n_dim = 1, .n = c.n != 1 ? c.n : a.n != 1 ? a.n : b.n };
    if (c.n_dim + a.n_dim + b.n_dim == 0) y.n_dim = 0;
    for (int i = 0; i < y.n; i++) {
        koe_dim which, p, q;
        if (!element(&c, i, y.n, &which) || !element(&a, i, y.n, &p) || !element(&b, i, y.n, &q)) return;
        y.v[i] = !which.symbol ? which.v ? p : q : koe_dim_same(p, q) ? p : anything(r);
    }
    set_values(r, &y);
}

static void cast(const rule *r)
{
    koe_values v;
    const koe_dtype to = (koe_dtype)koe_node_int(r->node, "to", 0);
    same_as_first(r);
    if ((to != KOE_DTYPE_I64 && to != KOE_DTYPE_I32) || !values_in(r, 0, &v)) return;
    for (int i = 0; to == KOE_DTYPE_I32 && i < v.n; i++)
        if (v.v[i].symbol) v.v[i] = anything(r); /* may wrap */
    v.dtype = to;
    if (fits(&v)) set_values(r, &v);
}

/* ---- shapes as values ---------------------------------------------------------------------------------------------------- */

static void shape_rule(const rule *r)
{
    koe_shape x;
    if (!shape_in(r, 0, &x)) return;
    int64_t from = koe_node_int(r->node, "start", 0), to = koe_node_int(r->node, "end", x.n_dim);
    if (from < 0) from += x.n_dim;
    if (to < 0) to += x.n_dim;
    from = from < 0 ? 0 : from > x.n_dim ? x.n_dim : from;
    to = to < from ? from : to > x.n_dim ? x.n_dim : to;
    koe_values y = { .dtype = KOE_DTYPE_I64, .n_dim = 1, .n = (int)(to - from) };
    for (int i = 0; i < y.n; i++) y.v[i] = x.dim[from + i];
    set_values(r, &y);
}

/* The product of dimensions [from, to): a number, one of them, or something new. */
static koe_dim product(const rule *r, const koe_shape *x, int from, int to)
{
    koe_dim p = koe_number(1);
    for (int i = from; i < to; i++) {
        int64_t v;
        if (!p.symbol && !x->dim[i].symbol && !__builtin_mul_overflow(p.v, x->dim[i].v, &v)) p.v = v;
        else if (koe_dim_is(p, 1)) p = x->dim[i];
        else if (!koe_dim_is(x->dim[i], 1)) p = fresh(r);
    }
    return p;
}

static void size(const rule *r)
{
    koe_shape x;
    if (!shape_in(r, 0, &x)) return;
    koe_values y = { .dtype = KOE_DTYPE_I64, .n = 1, .v = { product(r, &x, 0, x.n_dim) } };
    set_values(r, &y);
}

static bool axis_of(int64_t axis, int n_dim, int *out)
{
    if (axis < -n_dim || axis >= n_dim) return false;
    *out = (int)(axis < 0 ? axis + n_dim : axis);
    return true;
}

static void gather(const rule *r)
{
    koe_shape x, at, y;
    koe_values data, index;
    int axis;
    if (!shape_in(r, 0, &x) || !shape_in(r, 1, &at) || !axis_of(koe_node_int(r->node, "axis", 0), x.n_dim, &axis)) return;
    if (values_in(r, 0, &data) && values_in(r, 1, &index) && data.n_dim == 1) {
        koe_values v = { .dtype = data.dtype, .n_dim = index.n_dim, .n = index.n };
        for (int i = 0; i < index.n; i++) {
            int from;
            v.v[i] = !index.v[i].symbol && axis_of(index.v[i].v, data.n, &from) ? data.v[from] : anything(r);
        }
        set_values(r, &v);
        return;
    }
    if (x.n_dim + at.n_dim - 1 > KOE_MAX_DIM) return;
    y.n_dim = 0;
    for (int i = 0; i < axis; i++) y.dim[y.n_dim++] = x.dim[i];
    for (int i = 0; i < at.n_dim; i++) y.dim[y.n_dim++] = at.dim[i];
    for (int i = axis + 1; i < x.n_dim; i++) y.dim[y.n_dim++] = x.dim[i];
    set_shape(r, 0, &y);
}

static void gather_nd(const rule *r)
{
    koe_shape x, at, y;
    const int64_t batch = koe_node_int(r->node, "batch_dims", 0);
    if (!shape_in(r, 0, &x) || !shape_in(r, 1, &at) || at.n_dim < 1 || at.dim[at.n_dim - 1].symbol) return;
    const int64_t from = batch + at.dim[at.n_dim - 1].v;
    if (batch < 0 || from < 0 || from > x.n_dim || at.n_dim - 1 + x.n_dim - from > KOE_MAX_DIM) return;
    y.n_dim = at.n_dim - 1;
    for (int i = 0; i < y.n_dim; i++) y.dim[i] = at.dim[i];
    for (int i = (int)from; i < x.n_dim; i++) y.dim[y.n_dim++] = x.dim[i];
    set_shape(r, 0, &y);
}

static void concat_values(const rule *r)
{
    koe_values y = { .n_dim = 1 };
    for (int i = 0; i < r->node->n_in; i++) {
        koe_values v;
        koe_shape x;
        if (!values_in(r, i, &v)) { /* as many as its shape says, whatever they are */
            if (!shape_in(r, i, &x) || x.n_dim != 1 || x.dim[0].symbol || x.dim[0].v > KOE_VALUES_MAX) return;
            v = (koe_values){ .n = (int)x.dim[0].v };
            for (int k = 0; k < v.n; k++) v.v[k] = anything(r);
        }
        if (y.n + v.n > KOE_VALUES_MAX) return;
        memcpy(y.v + y.n, v.v, (size_t)v.n * sizeof *v.v);
        y.n += v.n;
        if (v.dtype) y.dtype = v.dtype;
    }
    if (y.dtype) set_values(r, &y);
}

static void concat(const rule *r)
{
    koe_shape y, x;
    int axis;
    if (!shape_in(r, 0, &y) || !axis_of(koe_node_int(r->node, "axis", 0), y.n_dim, &axis)) return;
    for (int i = 1; i < r->node->n_in; i++) {
        if (!shape_in(r, i, &x) || x.n_dim != y.n_dim) return;
        for (int d = 0; d < y.n_dim; d++) {
            int64_t v;
            if (d != axis) y.dim[d] = y.dim[d].symbol ? x.dim[d] : y.dim[d];
            else if (!y.dim[d].symbol && !x.dim[d].symbol && !__builtin_add_overflow(y.dim[d].v, x.dim[d].v, &v)) y.dim[d].v = v;
            else y.dim[d] = fresh(r);
        }
    }
    set_shape(r, 0, &y);
    if (y.n_dim == 1) concat_values(r);
}

/* Integers of input i, or of attribute `name` when there is no such input. */
static bool list_of(const rule *r, int i, const char *name, koe_values *out)
{
    if (i >= 0 && in_slot(r, i) >= 0) return values_in(r, i, out);
    const int64_t *ints;
    const size_t n = koe_node_ints(r->node, name, &ints);
    if (!ints || n > KOE_VALUES_MAX) return false;
    *out = (koe_values){ .dtype = KOE_DTYPE_I64, .n_dim = 1, .n = (int)n };
    for (size_t k = 0; k < n; k++) out->v[k].v = ints[k];
    return true;
}

static bool absent(const rule *r, int i, const char *name) { return in_slot(r, i) < 0 && !koe_node_attr(r->node, name); }

/* Sets marks[axis] for axes of a tensor of n_dim dimensions. */
static bool mark_axes(const koe_values *axes, int n_dim, bool *marks)
{
    memset(marks, 0, KOE_MAX_DIM * sizeof *marks);
    for (int i = 0; i < axes->n; i++) {
        int axis;
        if (axes->v[i].symbol || !axis_of(axes->v[i].v, n_dim, &axis)) return false;
        marks[axis] = true;
    }
    return true;
}

static void unsqueeze(const rule *r)
{
    koe_shape x, y;
    koe_values axes, v;
    bool is_new[KOE_MAX_DIM];
    if (!shape_in(r, 0, &x) || !list_of(r, 1, "axes", &axes) || x.n_dim + axes.n > KOE_MAX_DIM) return;
    y.n_dim = x.n_dim + axes.n;
    if (!mark_axes(&axes, y.n_dim, is_new)) return;
    for (int i = 0, k = 0; i < y.n_dim; i++) {
        if (!is_new[i] && k == x.n_dim) return; /* an axis twice */
        y.dim[i] = is_new[i] ? koe_number(1) : x.dim[k++];
    }
    set_shape(r, 0, &y);
    if (y.n_dim > 1 || !values_in(r, 0, &v)) return;
    v.n_dim = y.n_dim;
    set_values(r, &v);
}

static void squeeze(const rule *r)
{
    koe_shape x, y = { .n_dim = 0 };
    koe_values axes, v;
    bool goes[KOE_MAX_DIM];
    if (!shape_in(r, 0, &x) || !list_of(r, 1, "axes", &axes) || !mark_axes(&axes, x.n_dim, goes)) return;
    for (int i = 0; i < x.n_dim; i++)
        if (!goes[i]) y.dim[y.n_dim++] = x.dim[i];
    set_shape(r, 0, &y);
    if (!values_in(r, 0, &v) || v.n != 1) return;
    v.n_dim = y.n_dim;
    set_values(r, &v);
}

/* First, last and step of one axis -> its new length. */
static koe_dim slice_dim(const rule *r, koe_dim d, koe_dim from, koe_dim to, koe_dim step)
{
    if (koe_dim_is(from, 0) && koe_dim_is(step, 1) && ((!to.symbol && to.v >= INT32_MAX) || koe_dim_same(to, d))) return d;
    if (!d.symbol && d.v > 1 && koe_dim_is(from, 0) && koe_dim_is(step, 1) && to.symbol > 0) {
        const koe_dim part = fresh(r);
        koe_shapes *k = r->k;
        if (k->n_cut < (int)(sizeof k->cut / sizeof *k->cut)) {
            k->cut[k->n_cut].part = part.symbol;
            k->cut[k->n_cut++].whole = to.symbol;
        }
        return part;
    }
    if (d.symbol || from.symbol || to.symbol || !koe_dim_is(step, 1)) return fresh(r);
    int64_t a = from.v < 0 ? from.v + d.v : from.v, b = to.v < 0 ? to.v + d.v : to.v;
    a = a < 0 ? 0 : a > d.v ? d.v : a;
    b = b < 0 ? 0 : b > d.v ? d.v : b;
    return koe_number(b > a ? b - a : 0);
}

static void slice(const rule *r)
{
    koe_shape x, y;
    koe_values v, from, to, axes = { .n = 0 }, steps = { .n = 0 };
    if (!shape_in(r, 0, &x) || !list_of(r, 1, "starts", &from) || !list_of(r, 2, "ends", &to) || from.n != to.n) return;
    if (!absent(r, 3, "axes") && (!list_of(r, 3, "axes", &axes) || axes.n != from.n)) return;
    if (!absent(r, 4, "steps") && (!list_of(r, 4, "steps", &steps) || steps.n != from.n)) return;
    y = x;
    for (int i = 0; i < from.n; i++) {
        int axis;
        if ((axes.n && axes.v[i].symbol) || !axis_of(axes.n ? axes.v[i].v : i, x.n_dim, &axis)) return;
        y.dim[axis] = slice_dim(r, x.dim[axis], from.v[i], to.v[i], steps.n ? steps.v[i] : koe_number(1));
    }
    set_shape(r, 0, &y);
    if (!values_in(r, 0, &v) || v.n_dim != 1 || from.n != 1 || y.dim[0].symbol || from.v[0].symbol) return;
    if (steps.n && !koe_dim_is(steps.v[0], 1)) return;
    const int64_t first = from.v[0].v < 0 ? from.v[0].v + v.n < 0 ? 0 : from.v[0].v + v.n : from.v[0].v > v.n ? v.n : from.v[0].v;
    v.n = (int)y.dim[0].v;
    memmove(v.v, v.v + first, (size_t)v.n * sizeof *v.v);
    set_values(r, &v);
}

/* ---- shapes by values ---------------------------------------------------------------------------------------------------- */

/* A shape's element as a dimension: an unknown one that might be -1 or 0 is not what it will be. */
static koe_dim as_dim(const rule *r, koe_dim v) { return v.symbol < 0 ? fresh(r) : v; }

/* The dimension that a -1 stands for: elements of x over the other dimensions of y, symbols cancelled. */
static koe_dim rest(const rule *r, const koe_shape *x, const koe_shape *y, int at)
{
    bool used[KOE_MAX_DIM] = { false };
    int64_t p = 1, q = 1;
    for (int i = 0; i < y->n_dim; i++) {
        if (i == at) continue;
        if (!y->dim[i].symbol) {
            if (__builtin_mul_overflow(q, y->dim[i].v, &q)) return fresh(r);
            continue;
        }
        int k = 0;
        while (k < x->n_dim && (used[k] || !koe_dim_same(x->dim[k], y->dim[i]))) k++;
        if (k == x->n_dim) return fresh(r);
        used[k] = true;
    }
    koe_dim left = koe_number(1);
    for (int k = 0; k < x->n_dim; k++) {
        if (x->dim[k].symbol && !used[k]) {
            if (left.symbol) return fresh(r);
            left = x->dim[k];
        } else if (!x->dim[k].symbol && __builtin_mul_overflow(p, x->dim[k].v, &p))
            return fresh(r);
    }
    if (q <= 0 || p % q) return fresh(r);
    if (left.symbol) return p == q ? left : fresh(r);
    return koe_number(p / q);
}

static void reshape(const rule *r)
{
    koe_shape x, y, list;
    koe_values to, v;
    const bool zero_is_zero = koe_node_int(r->node, "allowzero", 0) != 0, has_x = shape_in(r, 0, &x);
    if (!values_in(r, 1, &to)) {
        if (!shape_in(r, 1, &list) || list.n_dim != 1 || list.dim[0].symbol || list.dim[0].v > KOE_MAX_DIM) return;
        y.n_dim = (int)list.dim[0].v;
        for (int i = 0; i < y.n_dim; i++) y.dim[i] = fresh(r);
        set_shape(r, 0, &y);
        return;
    }
    int at = -1;
    if (to.n > KOE_MAX_DIM) return;
    y.n_dim = to.n;
    for (int i = 0; i < to.n; i++) {
        y.dim[i] = as_dim(r, to.v[i]);
        if (koe_dim_is(to.v[i], 0) && !zero_is_zero) {
            if (!has_x || i >= x.n_dim) return;
            y.dim[i] = x.dim[i];
        } else if (koe_dim_is(to.v[i], -1)) {
            if (at >= 0) return;
            at = i;
        } else if (!to.v[i].symbol && to.v[i].v < 0)
            return;
    }
    if (at >= 0) y.dim[at] = has_x ? rest(r, &x, &y, at) : fresh(r);
    set_shape(r, 0, &y);
    if (y.n_dim > 1 || !values_in(r, 0, &v)) return;
    v.n_dim = y.n_dim;
    set_values(r, &v);
}

static void expand(const rule *r)
{
    koe_shape x, y;
    koe_values to;
    if (!shape_in(r, 0, &x) || !values_in(r, 1, &to) || to.n > KOE_MAX_DIM) return;
    y.n_dim = to.n;
    for (int i = 0; i < to.n; i++) y.dim[i] = as_dim(r, to.v[i]);
    broadcast(r, &y, &x);
    set_shape(r, 0, &y);
}

static void constant_of_shape(const rule *r)
{
    koe_shape y;
    koe_values to;
    if (!values_in(r, 0, &to) || to.n > KOE_MAX_DIM) return;
    y.n_dim = to.n;
    for (int i = 0; i < to.n; i++) y.dim[i] = as_dim(r, to.v[i]);
    set_shape(r, 0, &y);
}

static void range(const rule *r)
{
    koe_values from, to, step;
    koe_shape y = { .n_dim = 1, .dim = { fresh(r) } };
    if (values_in(r, 0, &from) && values_in(r, 1, &to) && values_in(r, 2, &step) && from.n == 1 && to.n == 1 && step.n == 1 &&
        koe_dim_is(from.v[0], 0) && koe_dim_is(step.v[0], 1) && to.v[0].symbol > 0)
        y.dim[0] = to.v[0];
    set_shape(r, 0, &y);
}

static void tile(const rule *r)
{
    koe_shape x;
    koe_values n;
    if (!shape_in(r, 0, &x) || !values_in(r, 1, &n) || n.n != x.n_dim) return;
    for (int i = 0; i < n.n; i++) {
        int64_t v;
        if (koe_dim_is(n.v[i], 1)) continue;
        const bool known = !n.v[i].symbol && !x.dim[i].symbol && n.v[i].v >= 0 && !__builtin_mul_overflow(x.dim[i].v, n.v[i].v, &v);
        x.dim[i] = known ? koe_number(v) : koe_dim_is(x.dim[i], 1) ? as_dim(r, n.v[i]) : fresh(r);
    }
    set_shape(r, 0, &x);
}

static void pad(const rule *r)
{
    koe_shape x;
    koe_values n;
    if (!shape_in(r, 0, &x) || in_slot(r, 3) >= 0) return;
    const bool known = list_of(r, 1, "pads", &n) && n.n == 2 * x.n_dim;
    for (int i = 0; i < x.n_dim; i++) {
        koe_dim d = x.dim[i];
        x.dim[i] = fresh(r);
        if (!known || n.v[i].symbol || n.v[i + x.n_dim].symbol) continue;
        int64_t v;
        if (__builtin_add_overflow(n.v[i].v, n.v[i + x.n_dim].v, &v)) continue;
        if (n.v[i].v == 0 && v == 0) x.dim[i] = d;
        else if (!d.symbol && !__builtin_add_overflow(d.v, v, &v) && v >= 0) x.dim[i] = koe_number(v);
    }
    set_shape(r, 0, &x);
}

static void split(const rule *r)
{
    koe_shape x;
    koe_values n;
    int axis;
    if (!shape_in(r, 0, &x) || !axis_of(koe_node_int(r->node, "axis", 0), x.n_dim, &axis)) return;
    const koe_dim d = x.dim[axis];
    const bool known = !absent(r, 1, "split") && list_of(r, 1, "split", &n) && n.n == r->node->n_out;
    const bool equal = absent(r, 1, "split") && !d.symbol && r->node->n_out && d.v % r->node->n_out == 0;
    for (int i = 0; i < r->node->n_out; i++) {
        x.dim[axis] = known ? as_dim(r, n.v[i]) : equal ? koe_number(d.v / r->node->n_out) : fresh(r);
        set_shape(r, i, &x);
    }
}

/* ---- moving and reducing ------------------------------------------------------------------------------------------------- */

static void transpose(const rule *r)
{
    koe_shape x, y;
    const int64_t *perm;
    const size_t n = koe_node_ints(r->node, "perm", &perm);
    if (!shape_in(r, 0, &x) || (perm && (int)n != x.n_dim)) return;
    y.n_dim = x.n_dim;
    for (int i = 0; i < x.n_dim; i++) {
        const int64_t from = perm ? perm[i] : x.n_dim - 1 - i;
        if (from < 0 || from >= x.n_dim) return;
        y.dim[i] = x.dim[from];
    }
    set_shape(r, 0, &y);
}

static void flatten(const rule *r)
{
    koe_shape x;
    if (!shape_in(r, 0, &x)) return;
    const int64_t axis = koe_node_int(r->node, "axis", 1), at = axis < 0 ? axis + x.n_dim : axis;
    if (at < 0 || at > x.n_dim) return;
    koe_shape y = { .n_dim = 2, .dim = { product(r, &x, 0, (int)at), product(r, &x, (int)at, x.n_dim) } };
    set_shape(r, 0, &y);
}

static void reduce(const rule *r)
{
    koe_shape x, y = { .n_dim = 0 };
    koe_values axes = { .n = 0 }, v;
    bool goes[KOE_MAX_DIM];
    const bool keep = koe_node_int(r->node, "keepdims", 1) != 0, all = absent(r, 1, "axes");
    if (!shape_in(r, 0, &x) || (!all && !list_of(r, 1, "axes", &axes)) || !mark_axes(&axes, x.n_dim, goes)) return;
    if (axes.n == 0 && koe_node_int(r->node, "noop_with_empty_axes", 0)) return;
    for (int i = 0; i < x.n_dim; i++) {
        if (!goes[i] && axes.n) y.dim[y.n_dim++] = x.dim[i];
        else if (keep) y.dim[y.n_dim++] = koe_number(1);
    }
    set_shape(r, 0, &y);
    if (y.n_dim > 1 || !values_in(r, 0, &v) || v.n != 1 || koe_str_is(r->node->op_type, "ReduceL2") || koe_str_is(r->node->op_type, "ReduceSumSquare"))
        return;
    v.n_dim = y.n_dim; /* the sum, mean, largest, ... of one number */
    set_values(r, &v);
}

static void arg_reduce(const rule *r)
{
    koe_shape x, y = { .n_dim = 0 };
    int axis;
    if (!shape_in(r, 0, &x) || !axis_of(koe_node_int(r->node, "axis", 0), x.n_dim, &axis)) return;
    for (int i = 0; i < x.n_dim; i++) {
        if (i != axis) y.dim[y.n_dim++] = x.dim[i];
        else if (koe_node_int(r->node, "keepdims", 1)) y.dim[y.n_dim++] = koe_number(1);
    }
    set_shape(r, 0, &y);
}

static void top_k(const rule *r)
{
    koe_shape x;
    koe_values k;
    int axis;
    if (!shape_in(r, 0, &x) || !axis_of(koe_node_int(r->node, "axis", -1), x.n_dim, &axis)) return;
    x.dim[axis] = values_in(r, 1, &k) && k.n == 1 ? as_dim(r, k.v[0]) : fresh(r);
    set_shape(r, 0, &x);
    set_shape(r, 1, &x);
}

static void non_zero(const rule *r)
{
    koe_shape x;
    if (!shape_in(r, 0, &x) || x.n_dim == 0) return;
    koe_shape y = { .n_dim = 2, .dim = { koe_number(x.n_dim), fresh(r) } };
    set_shape(r, 0, &y);
}

static void resize(const rule *r)
{
    koe_shape x;
    const koe_tensor *scale = constant(r->k, in_slot(r, 2));
    if (!shape_in(r, 0, &x) || koe_node_attr(r->node, "axes")) return;
    const bool known = scale && scale->dtype == KOE_DTYPE_F32 && koe_tensor_count(scale) == (size_t)x.n_dim && in_slot(r, 3) < 0;
    for (int i = 0; i < x.n_dim; i++) {
        float s = 0;
        if (known) memcpy(&s, (const char *)scale->data + 4 * i, 4);
        if (s != 1) x.dim[i] = fresh(r);
    }
    set_shape(r, 0, &x);
}

/* ---- products ------------------------------------------------------------------------------------------------------------ */

static void matmul(const rule *r)
{
    koe_shape a, b;
    if (!shape_in(r, 0, &a) || !shape_in(r, 1, &b) || a.n_dim < 2 || b.n_dim < 2) return;
    const koe_dim m = a.dim[a.n_dim - 2], n = b.dim[b.n_dim - 1];
    a.n_dim -= 2;
    b.n_dim -= 2;
    broadcast(r, &a, &b);
    a.dim[a.n_dim++] = m;
    a.dim[a.n_dim++] = n;
    set_shape(r, 0, &a);
}

static void gemm(const rule *r)
{
    koe_shape a, b;
    if (!shape_in(r, 0, &a) || !shape_in(r, 1, &b) || a.n_dim != 2 || b.n_dim != 2) return;
    koe_shape y = { .n_dim = 2,
                    .dim = { a.dim[koe_node_int(r->node, "transA", 0) ? 1 : 0], b.dim[koe_node_int(r->node, "transB", 0) ? 0 : 1] } };
    set_shape(r, 0, &y);
}

static int64_t nth(const koe_node *node, const char *name, int i, int64_t missing)
{
    const int64_t *list;
    return i < (int)koe_node_ints(node, name, &list) ? list[i] : missing;
}

/* A convolution keeps the length when its padding is what the kernel reaches over the edge. */
static koe_dim conv_dim(const rule *r, koe_dim x, koe_dim kernel, int i, int n)
{
    const int64_t stride = nth(r->node, "strides", i, 1), dilation = nth(r->node, "dilations", i, 1);
    const int64_t before = nth(r->node, "pads", i, 0), after = nth(r->node, "pads", i + n, 0);
    const int64_t far = (int64_t)1 << 31;
    const koe_str automatic = koe_node_str(r->node, "auto_pad", "NOTSET");
    if (kernel.symbol || !koe_str_is(automatic, "NOTSET") || stride < 1 || dilation < 1 || kernel.v < 1) return fresh(r);
    if (stride > far || dilation > far || kernel.v > far || before < 0 || after < 0 || before > far || after > far) return fresh(r);
    const int64_t reach = dilation * (kernel.v - 1);
    if (stride == 1 && before + after == reach) return x;
    if (x.symbol || x.v > far * far || x.v + before + after <= reach) return fresh(r);
    return koe_number((x.v + before + after - reach - 1) / stride + 1);
}

static void conv(const rule *r)
{
    koe_shape x, w, y;
    if (!shape_in(r, 1, &w) || w.n_dim < 3) return;
    if (!shape_in(r, 0, &x)) { /* the weights say a part of it */
        x.n_dim = w.n_dim;
        for (int i = 0; i < x.n_dim; i++) x.dim[i] = fresh(r);
    }
    if (w.n_dim != x.n_dim) return;
    y = (koe_shape){ .n_dim = x.n_dim, .dim = { x.dim[0], w.dim[0] } };
    for (int i = 0; i < x.n_dim - 2; i++) y.dim[i + 2] = conv_dim(r, x.dim[i + 2], w.dim[i + 2], i, x.n_dim - 2);
    set_shape(r, 0, &y);
}

static void conv_transpose(const rule *r)
{
    koe_shape x, w;
    const int64_t group = koe_node_int(r->node, "group", 1);
    int64_t channels;
    if (!shape_in(r, 0, &x) || !shape_in(r, 1, &w) || x.n_dim < 3 || w.n_dim != x.n_dim || w.dim[1].symbol) return;
    x.dim[1] = group < 1 || __builtin_mul_overflow(w.dim[1].v, group, &channels) ? fresh(r) : koe_number(channels);
    for (int i = 2; i < x.n_dim; i++) x.dim[i] = fresh(r);
    set_shape(r, 0, &x);
}

/* LSTM, GRU, RNN: Y [T, D, B, H], Y_h and Y_c [D, B, H]. */
static void recurrent(const rule *r)
{
    koe_shape x, w;
    if (!shape_in(r, 2, &w) || w.n_dim != 3 || koe_node_int(r->node, "layout", 0)) return;
    if (!shape_in(r, 0, &x)) x = (koe_shape){ .n_dim = 3, .dim = { fresh(r), fresh(r) } };
    if (x.n_dim != 3) return;
    koe_shape y = { .n_dim = 4, .dim = { x.dim[0], w.dim[0], x.dim[1], w.dim[2] } };
    koe_shape last = { .n_dim = 3, .dim = { w.dim[0], x.dim[1], w.dim[2] } };
    set_shape(r, 0, &y);
    set_shape(r, 1, &last);
    set_shape(r, 2, &last);
}

static void same_as_second(const rule *r)
{
    koe_shape x;
    if (shape_in(r, 1, &x)) set_shape(r, 0, &x);
}

/* ---------------------------------------------------------------------------------------------------------------------------- */

static const struct {
    void (*rule)(const rule *r);
    const char *ops[36];
} rules[] = {
    { arithmetic_all, { "Add", "Sub", "Mul", "Div", "Equal" } },
    { broadcast_all, { "Pow", "Mod", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Max", "Min", "Sum", "Mean", "PRelu" } },
    { where, { "Where" } },
    { cast, { "Cast" } },
    { same_as_first,
      { "Identity", "Relu", "LeakyRelu", "Sigmoid", "Tanh", "Sin", "Cos", "Tan", "Atan", "Exp", "Log", "Sqrt", "Neg", "Abs", "Floor", "Ceil",
        "Round", "Erf", "Softplus", "Clip", "Not", "Softmax", "LogSoftmax", "LayerNormalization", "InstanceNormalization",
        "BatchNormalization", "Dropout", "CumSum", "RandomNormalLike", "RandomUniformLike", "ScatterND", "ScatterElements", "Sign",
        "Reciprocal", "Elu" } },
    { same_as_first, { "HardSigmoid", "Gelu", "Mish", "HardSwish", "Softsign", "Trilu", "ReverseSequence", "QuantizeLinear", "DequantizeLinear", "IsNaN" } },
    { n_bits, { "MatMulNBits" } }, /* Microsoft's */
    { dynamic_quantize, { "DynamicQuantizeLinear" } },
    { same_as_second, { "GatherElements" } },
    { shape_rule, { "Shape" } },
    { size, { "Size" } },
    { gather, { "Gather" } },
    { gather_nd, { "GatherND" } },
    { concat, { "Concat" } },
    { unsqueeze, { "Unsqueeze" } },
    { squeeze, { "Squeeze" } },
    { slice, { "Slice" } },
    { reshape, { "Reshape" } },
    { expand, { "Expand" } },
    { constant_of_shape, { "ConstantOfShape" } },
    { range, { "Range" } },
    { tile, { "Tile" } },
    { pad, { "Pad" } },
    { split, { "Split" } },
    { transpose, { "Transpose" } },
    { flatten, { "Flatten" } },
    { reduce, { "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceSumSquare" } },
    { arg_reduce, { "ArgMax", "ArgMin" } },
    { non_zero, { "NonZero" } },
    { top_k, { "TopK" } },
    { resize, { "Resize" } },
    { matmul, { "MatMul", "MatMulInteger" } },
    { gemm, { "Gemm" } },
    { conv, { "Conv", "ConvInteger" } },
    { conv_transpose, { "ConvTranspose" } },
    { recurrent, { "LSTM", "GRU", "RNN" } },
};

static bool is_one_of(koe_str op, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (koe_str_is(op, names[i])) return true;
    return false;
}
#define IS_ONE_OF(op, names) is_one_of(op, names, sizeof(names) / sizeof *(names))

/* The type of output i of a node that has a rule: that of the first input as a rule. */
static koe_dtype type_out(const rule *r, int i)
{
    static const char *const whole[] = { "Shape", "Size", "ArgMax", "ArgMin", "NonZero" };
    static const char *const truth[] = { "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not", "IsNaN" };
    static const char *const alike[] = { "Add", "Sub", "Mul", "Div", "MatMul", "Gemm", "Conv", "ConvTranspose", "Concat", "Max", "Min" };
    const koe_str op = r->node->op_type;
    const koe_onnx_attr *value = koe_node_attr(r->node, "value");
    const koe_dtype first = koe_dtype_of(r->k, in_slot(r, 0));
    if (IS_ONE_OF(op, whole)) return KOE_DTYPE_I64;
    if (IS_ONE_OF(op, truth)) return KOE_DTYPE_BOOL;
    if (koe_str_is(op, "Cast")) return (koe_dtype)koe_node_int(r->node, "to", 0);
    if (koe_str_is(op, "ConstantOfShape")) return value && value->t ? value->t->dtype : KOE_DTYPE_F32;
    if (koe_str_is(op, "RandomNormalLike") || koe_str_is(op, "RandomUniformLike")) return (koe_dtype)koe_node_int(r->node, "dtype", first);
    if (koe_str_is(op, "MatMulInteger") || koe_str_is(op, "ConvInteger")) return KOE_DTYPE_I32;
    if (koe_str_is(op, "DynamicQuantizeLinear")) return i == 1 ? KOE_DTYPE_F32 : KOE_DTYPE_U8;
    if (koe_str_is(op, "QuantizeLinear")) return in_slot(r, 2) >= 0 ? koe_dtype_of(r->k, in_slot(r, 2)) : KOE_DTYPE_NONE;
    if (koe_str_is(op, "DequantizeLinear") || koe_str_is(op, "Where")) return koe_dtype_of(r->k, in_slot(r, 1));
    if (i == 1 && koe_str_is(op, "TopK")) return KOE_DTYPE_I64;
    if (first == KOE_DTYPE_NONE && IS_ONE_OF(op, alike)) return koe_dtype_of(r->k, in_slot(r, 1));
    return i == 0 || koe_str_is(op, "Split") || r->node->n_out == 3 ? first : KOE_DTYPE_NONE; /* 3: LSTM and its kind */
}

void koe_shapes_learn(koe_shapes *k, const koe_node *node)
{
    const rule r = { k, node };
    const bool microsoft = koe_str_is(node->domain, "com.microsoft") && koe_str_is(node->op_type, "MatMulNBits");
    if ((node->domain.n && !microsoft) || k->n_symbol > INT32_MAX - 1024) return;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        for (size_t n = 0; n < sizeof rules->ops / sizeof *rules->ops && rules[i].ops[n]; n++)
            if (koe_str_is(node->op_type, rules[i].ops[n])) {
                rules[i].rule(&r);
                for (int o = 0; o < node->n_out; o++)
                    if (known_out(&r, o)) known_out(&r, o)->dtype = type_out(&r, o);
                return;
            }
}

void koe_shapes_learn_all(koe_shapes *k, const koe_plan *plan)
{
    for (int i = 0; i < plan->n_node; i++) {
        for (int b = 0; b < plan->node[i]->n_body; b++) koe_shapes_learn_all(k, plan->node[i]->body[b]);
        koe_shapes_learn(k, plan->node[i]);
    }
    k->learnt = true;
}
