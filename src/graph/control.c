/* control.c - operators that run subgraphs: If, Loop, Scan, SequenceMap. The subgraph's values are slots of the same table, so
 * that what it captures from outside needs no copying: an iteration sets the body's inputs, runs its plan, takes its outputs. */
#include <inttypes.h>
#include <stdlib.h>

#include "graph/internal.h"
#include "ops/ops.h"

static const koe_plan *body_of(const koe_op_ctx *c, const char *name)
{
    int k = 0;
    for (size_t i = 0; i < c->node->n_attr; i++) {
        if (c->node->attr[i].type != KOE_ATTR_GRAPH) continue;
        if (koe_str_is(c->node->attr[i].name, name)) return c->node->body[k];
        k++;
    }
    return NULL;
}

static koe_status prepare_body(koe_node *node, const char *name, int n_in, int n_out, koe_error *err)
{
    int k = 0;
    for (size_t i = 0; i < node->n_attr; i++) {
        if (node->attr[i].type != KOE_ATTR_GRAPH) continue;
        if (!koe_str_is(node->attr[i].name, name)) {
            k++;
            continue;
        }
        const koe_plan *p = node->body[k];
        if ((n_in >= 0 && p->n_in != n_in) || (n_out >= 0 && p->n_out != n_out))
            return koe_fail(err, KOE_E_FORMAT, "subgraph %s has %d inputs and %d outputs, expected %d and %d", name, p->n_in, p->n_out,
                            n_in, n_out);
        return KOE_OK;
    }
    return koe_fail(err, KOE_E_FORMAT, "attribute %s is missing", name);
}

static koe_status set_in(koe_op_ctx *c, const koe_plan *body, int i, const koe_value *v, koe_error *err)
{
    koe_value *slot = &c->run->value[body->in[i]];
    koe_value fresh;
    koe_status st = koe_value_share(&fresh, v, err);
    if (st != KOE_OK) return st;
    koe_value_clear(slot);
    *slot = fresh;
    return KOE_OK;
}

/* A scalar as a body input, in memory of the run. */
static koe_status set_in_scalar(koe_op_ctx *c, const koe_plan *body, int i, koe_dtype dtype, int64_t x, int n_dim, koe_error *err)
{
    koe_value v = { .kind = KOE_VALUE_TENSOR, .t = { .dtype = dtype, .n_dim = n_dim, .dim = { 1 } } };
    koe_status st = koe_memory_alloc(c->run->memory, 8, &v.buffer, err);
    if (st != KOE_OK) return st;
    v.t.data = v.buffer->p;
    if (dtype == KOE_DTYPE_BOOL) *(uint8_t *)v.t.data = x != 0;
    else *(int64_t *)v.t.data = x;
    koe_value_clear(&c->run->value[body->in[i]]);
    c->run->value[body->in[i]] = v;
    return KOE_OK;
}

/* Gives back what the body's inputs and outputs still hold; constants and captured values are not the body's. */
static void clear_body(koe_op_ctx *c, const koe_plan *body)
{
    const koe_session *s = c->run->session;
    for (int i = 0; i < body->n_in; i++) koe_value_clear(&c->run->value[body->in[i]]);
    for (int i = 0; i < body->n_out; i++)
        if (s->slot[body->out[i]].plan == body->id && s->slot[body->out[i]].constant.kind == KOE_VALUE_NONE)
            koe_value_clear(&c->run->value[body->out[i]]);
}

static koe_status read_bool(const koe_tensor *t, bool *out, const char *what, koe_error *err)
{
    if (!t || t->dtype != KOE_DTYPE_BOOL || koe_tensor_count(t) != 1)
        return koe_fail(err, KOE_E_FORMAT, "%s must be one bool", what);
    *out = *(const uint8_t *)t->data != 0;
    return KOE_OK;
}

static const koe_tensor *tensor_of(const koe_value *v) { return v && v->kind == KOE_VALUE_TENSOR ? &v->t : NULL; }

/* ---- If ------------------------------------------------------------------------------------------------------------------- */

static koe_status if_prepare(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    koe_status st = prepare_body(node, "then_branch", 0, node->n_out, err);
    return st == KOE_OK ? prepare_body(node, "else_branch", 0, node->n_out, err) : st;
}

static koe_status if_run(koe_op_ctx *c, koe_error *err)
{
    bool cond = false;
    koe_status st = read_bool(koe_in(c, 0), &cond, "the condition", err);
    if (st != KOE_OK) return st;
    const koe_plan *body = body_of(c, cond ? "then_branch" : "else_branch");
    st = koe_run_plan(c->run, body, err);
    for (int i = 0; i < body->n_out && st == KOE_OK; i++) st = koe_out_share(c, i, &c->run->value[body->out[i]], err);
    clear_body(c, body);
    return st;
}

/* ---- values gathered over iterations ---------------------------------------------------------------------------------------- */

/* The list of one scan output: tensors of one shape that become slices along an axis. */
typedef struct gather {
    koe_value *item;
    size_t n, cap;
} gather;

static koe_status gather_add(gather *g, const koe_value *v, koe_error *err)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16;
        koe_value *item = realloc(g->item, cap * sizeof *item);
        if (!item) return koe_fail(err, KOE_E_NOMEM, "scan output");
        g->item = item;
        g->cap = cap;
    }
    koe_status st = koe_value_share(&g->item[g->n], v, err);
    if (st == KOE_OK) g->n++;
    return st;
}

static void gather_free(gather *g, int n)
{
    for (int i = 0; g && i < n; i++) {
        for (size_t k = 0; k < g[i].n; k++) koe_value_clear(&g[i].item[k]);
        free(g[i].item);
    }
    free(g);
}

/* Stacks the items along a new axis (from -r-1 to r); `backwards`: last item first. Without items: `declared` says type and rank. */
static koe_status gather_out(koe_op_ctx *c, int out, const gather *g, int64_t axis, bool backwards, const koe_onnx_value *declared,
                             koe_error *err)
{
    koe_tensor *t, shape = { .dtype = KOE_DTYPE_F32 };
    if (g->n) {
        if (g->item[0].kind != KOE_VALUE_TENSOR) return koe_fail(err, KOE_E_FORMAT, "a scan output is not a tensor");
        shape = g->item[0].t;
    } else if (declared) {
        if (declared->dtype != KOE_DTYPE_NONE) shape.dtype = declared->dtype;
        shape.n_dim = declared->n_dim > 0 ? declared->n_dim : 0;
        for (int i = 0; i < shape.n_dim; i++) shape.dim[i] = declared->dim[i] > 0 ? declared->dim[i] : 0;
    }
    if (shape.n_dim >= KOE_MAX_DIM) return koe_fail(err, KOE_E_LIMIT, "a scan output has too many dimensions");
    int at;
    koe_status st = koe_axis(&at, axis, shape.n_dim, true, c->node, err);
    if (st != KOE_OK) return st;
    int64_t dim[KOE_MAX_DIM];
    for (int i = 0; i <= shape.n_dim; i++) dim[i] = i < at ? shape.dim[i] : i == at ? (int64_t)g->n : shape.dim[i - 1];
    st = koe_out(c, out, shape.dtype, shape.n_dim + 1, dim, &t, err);
    if (st != KOE_OK) return st;
    size_t outer = koe_dim_product(shape.dim, 0, at), inner = koe_dim_product(shape.dim, at, shape.n_dim) * koe_dtype_size(shape.dtype);
    for (size_t k = 0; k < g->n; k++) {
        const koe_value *v = &g->item[backwards ? g->n - 1 - k : k];
        if (v->kind != KOE_VALUE_TENSOR || v->t.dtype != shape.dtype || v->t.n_dim != shape.n_dim ||
            memcmp(v->t.dim, shape.dim, sizeof *shape.dim * (size_t)shape.n_dim) != 0)
            return koe_fail(err, KOE_E_FORMAT, "a scan output changes its type or shape between iterations");
        for (size_t o = 0; o < outer; o++)
            memcpy((char *)t->data + (o * g->n + k) * inner, (const char *)v->t.data + o * inner, inner);
    }
    return KOE_OK;
}

static const koe_onnx_value *declared_out(const koe_op_ctx *c, int i)
{
    const koe_onnx_attr *a = koe_node_attr(c->node, "body");
    return a && a->g && (size_t)i < a->g->n_out ? &a->g->out[i] : NULL;
}

/* ---- Loop ----------------------------------------------------------------------------------------------------------------- */

static koe_status loop_prepare(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    int n_carried = node->n_in - 2;
    if (n_carried < 0) return koe_fail(err, KOE_E_FORMAT, "Loop needs the inputs M and cond");
    koe_status st = prepare_body(node, "body", n_carried + 2, node->n_out + 1, err);
    if (st == KOE_OK && node->n_out < n_carried)
        st = koe_fail(err, KOE_E_FORMAT, "Loop has %d carried values but %d outputs", n_carried, node->n_out);
    return st;
}

static koe_status loop_iterate(koe_op_ctx *c, const koe_plan *body, int n_carried, gather *g, koe_error *err)
{
    int64_t limit = INT64_MAX;
    bool cond = true;
    size_t n;
    koe_status st = KOE_OK;
    if (koe_in(c, 0)) st = koe_read_ints(koe_in(c, 0), &limit, 1, &n, err);
    if (st == KOE_OK && koe_in(c, 1)) st = read_bool(koe_in(c, 1), &cond, "the condition", err);
    for (int i = 0; i < n_carried && st == KOE_OK; i++) {
        if (!c->in[i + 2]) return koe_fail(err, KOE_E_FORMAT, "Loop: carried value %d is missing", i);
        st = set_in(c, body, i + 2, c->in[i + 2], err);
    }
    koe_value *value = c->run->value;
    for (int64_t k = 0; st == KOE_OK && cond && k < limit; k++) {
        st = set_in_scalar(c, body, 0, KOE_DTYPE_I64, k, 0, err);
        if (st == KOE_OK) st = set_in_scalar(c, body, 1, KOE_DTYPE_BOOL, cond, 0, err);
        if (st == KOE_OK) st = koe_run_plan(c->run, body, err);
        if (st == KOE_OK) st = read_bool(tensor_of(&value[body->out[0]]), &cond, "the loop's condition", err);
        for (int i = 0; st == KOE_OK && i < c->n_out - n_carried; i++)
            st = gather_add(&g[i], &value[body->out[1 + n_carried + i]], err);
        /* All carried outputs are taken before any input is overwritten: an output may be an input's own slot. */
        koe_value *next = calloc((size_t)n_carried + 1, sizeof *next);
        if (!next) return koe_fail(err, KOE_E_NOMEM, "Loop");
        for (int i = 0; st == KOE_OK && i < n_carried; i++) st = koe_value_share(&next[i], &value[body->out[1 + i]], err);
        clear_body(c, body);
        for (int i = 0; i < n_carried; i++) value[body->in[i + 2]] = next[i];
        free(next);
    }
    return st;
}

static koe_status loop_run(koe_op_ctx *c, koe_error *err)
{
    const koe_plan *body = body_of(c, "body");
    int n_carried = c->n_in - 2, n_scan = c->n_out - n_carried;
    gather *g = calloc((size_t)n_scan + 1, sizeof *g);
    if (!g) return koe_fail(err, KOE_E_NOMEM, "Loop");
    koe_status st = loop_iterate(c, body, n_carried, g, err);
    for (int i = 0; st == KOE_OK && i < n_carried; i++) st = koe_out_share(c, i, &c->run->value[body->in[i + 2]], err);
    for (int i = 0; st == KOE_OK && i < n_scan; i++)
        st = gather_out(c, n_carried + i, &g[i], 0, false, declared_out(c, 1 + n_carried + i), err);
    clear_body(c, body);
    gather_free(g, n_scan);
    return st;
}

/* ---- Scan ----------------------------------------------------------------------------------------------------------------- */

static koe_status scan_prepare(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    int n_first = node->opset < 9 ? 1 : 0; /* sequence_lens */
    int64_t n_scan_in = koe_node_int(node, "num_scan_inputs", 0);
    int n_state = node->n_in - n_first - (int)n_scan_in;
    if (n_scan_in < 1 || n_scan_in > node->n_in || n_state < 0) return koe_fail(err, KOE_E_FORMAT, "num_scan_inputs is %" PRId64, n_scan_in);
    if (node->n_out < n_state) return koe_fail(err, KOE_E_FORMAT, "Scan has %d states but %d outputs", n_state, node->n_out);
    return prepare_body(node, "body", n_state + (int)n_scan_in, node->n_out, err);
}

static int64_t at_or(const int64_t *list, size_t n, int i, int64_t missing) { return (size_t)i < n ? list[i] : missing; }

/* Slice `index` of t along an axis, as a fresh value without that axis. */
static koe_status slice(koe_op_ctx *c, koe_value *out, const koe_tensor *t, int axis, int64_t index, koe_error *err)
{
    koe_value v = { .kind = KOE_VALUE_TENSOR, .t = { .dtype = t->dtype, .n_dim = t->n_dim - 1 } };
    for (int i = 0; i < v.t.n_dim; i++) v.t.dim[i] = t->dim[i < axis ? i : i + 1];
    koe_status st = koe_memory_alloc(c->run->memory, koe_tensor_bytes(&v.t), &v.buffer, err);
    if (st != KOE_OK) return st;
    v.t.data = v.buffer->p;
    size_t outer = koe_dim_product(t->dim, 0, axis), inner = koe_dim_product(t->dim, axis + 1, t->n_dim) * koe_dtype_size(t->dtype);
    for (size_t o = 0; o < outer; o++)
        memcpy((char *)v.t.data + o * inner, (const char *)t->data + (o * (size_t)t->dim[axis] + (size_t)index) * inner, inner);
    *out = v;
    return KOE_OK;
}

typedef struct scan_shape {
    int n_first, n_state, n_scan_in, n_scan_out;
    int64_t n_steps;
    const int64_t *in_dir, *out_dir, *in_axis, *out_axis;
    size_t n_in_dir, n_out_dir, n_in_axis, n_out_axis;
} scan_shape;

/* One batch element (opset 8) or the whole (9 and later). state[] are the initial states, in[] the scanned tensors. */
static koe_status scan_iterate(koe_op_ctx *c, const koe_plan *body, const scan_shape *s, const koe_value *in, int64_t n_steps, gather *g,
                               koe_error *err)
{
    koe_value *value = c->run->value;
    koe_status st = KOE_OK;
    for (int64_t k = 0; st == KOE_OK && k < n_steps; k++) {
        for (int i = 0; st == KOE_OK && i < s->n_scan_in; i++) {
            int axis;
            st = koe_axis(&axis, at_or(s->in_axis, s->n_in_axis, i, 0), in[i].t.n_dim, false, c->node, err);
            bool backwards = at_or(s->in_dir, s->n_in_dir, i, 0) == 1;
            koe_value v = { 0 };
            if (st == KOE_OK) st = slice(c, &v, &in[i].t, axis, backwards ? n_steps - 1 - k : k, err);
            koe_value *to = &value[body->in[s->n_state + i]];
            koe_value_clear(to);
            *to = v;
        }
        if (st == KOE_OK) st = koe_run_plan(c->run, body, err);
        for (int i = 0; st == KOE_OK && i < s->n_scan_out; i++) st = gather_add(&g[i], &value[body->out[s->n_state + i]], err);
        koe_value *next = calloc((size_t)s->n_state + 1, sizeof *next);
        if (!next) return koe_fail(err, KOE_E_NOMEM, "Scan");
        for (int i = 0; st == KOE_OK && i < s->n_state; i++) st = koe_value_share(&next[i], &value[body->out[i]], err);
        clear_body(c, body);
        for (int i = 0; i < s->n_state; i++) value[body->in[i]] = next[i];
        free(next);
    }
    return st;
}

static koe_status scan_steps(koe_op_ctx *c, const scan_shape *s, int64_t *out, koe_error *err)
{
    for (int i = 0; i < s->n_scan_in; i++) {
        const koe_tensor *t;
        koe_status st = koe_need(c, s->n_first + s->n_state + i, &t, err);
        int axis = 0;
        int64_t wanted = s->n_first ? 1 : at_or(s->in_axis, s->n_in_axis, i, 0); /* opset 8: after the batch */
        if (st == KOE_OK) st = koe_axis(&axis, wanted, t->n_dim, false, c->node, err);
        if (st != KOE_OK) return st;
        if (i > 0 && t->dim[axis] != *out) return koe_fail(err, KOE_E_FORMAT, "Scan: the scan inputs differ in length");
        *out = t->dim[axis];
    }
    return KOE_OK;
}

static scan_shape scan_read(const koe_op_ctx *c)
{
    scan_shape s = { .n_first = c->node->opset < 9 ? 1 : 0, .n_scan_in = (int)koe_node_int(c->node, "num_scan_inputs", 0) };
    s.n_state = c->n_in - s.n_first - s.n_scan_in;
    s.n_scan_out = c->n_out - s.n_state;
    s.n_in_dir = koe_node_ints(c->node, s.n_first ? "directions" : "scan_input_directions", &s.in_dir);
    s.n_out_dir = koe_node_ints(c->node, "scan_output_directions", &s.out_dir);
    s.n_in_axis = koe_node_ints(c->node, "scan_input_axes", &s.in_axis);
    s.n_out_axis = koe_node_ints(c->node, "scan_output_axes", &s.out_axis);
    return s;
}

static koe_status scan_run(koe_op_ctx *c, koe_error *err)
{
    const koe_plan *body = body_of(c, "body");
    scan_shape s = scan_read(c);
    koe_status st = scan_steps(c, &s, &s.n_steps, err);
    gather *g = calloc((size_t)s.n_scan_out + 1, sizeof *g);
    koe_value *in = calloc((size_t)s.n_scan_in + 1, sizeof *in);
    if (st == KOE_OK && (!g || !in)) st = koe_fail(err, KOE_E_NOMEM, "Scan");
    for (int i = 0; st == KOE_OK && i < s.n_state; i++) {
        if (!c->in[i]) st = koe_fail(err, KOE_E_FORMAT, "Scan: state %d is missing", i);
        else st = set_in(c, body, i, c->in[i], err);
    }
    for (int i = 0; st == KOE_OK && i < s.n_scan_in; i++) in[i] = *c->in[s.n_state + i]; /* borrowed */
    if (st == KOE_OK) st = scan_iterate(c, body, &s, in, s.n_steps, g, err);
    for (int i = 0; st == KOE_OK && i < s.n_state; i++) st = koe_out_share(c, i, &c->run->value[body->in[i]], err);
    for (int i = 0; st == KOE_OK && i < s.n_scan_out; i++)
        st = gather_out(c, s.n_state + i, &g[i], at_or(s.out_axis, s.n_out_axis, i, 0), at_or(s.out_dir, s.n_out_dir, i, 0) == 1,
                        declared_out(c, s.n_state + i), err);
    clear_body(c, body);
    gather_free(g, s.n_scan_out);
    free(in);
    return st;
}

/* Opset 8: axis 0 of everything is the batch; each element is scanned by itself, over its own sequence length, and the results are
 * stacked again. Scan outputs of a shorter sequence are padded with zeros. */
static koe_status pad_first(koe_op_ctx *c, koe_value *v, int64_t n, koe_error *err)
{
    if (v->t.dim[0] == n) return KOE_OK;
    koe_value wide = *v;
    wide.t.dim[0] = n;
    size_t all, have = koe_tensor_bytes(&v->t);
    koe_status st = koe_shape_bytes(&all, wide.t.dtype, wide.t.n_dim, wide.t.dim, err);
    if (st == KOE_OK) st = koe_memory_alloc(c->run->memory, all, &wide.buffer, err);
    if (st != KOE_OK) return st;
    wide.t.data = wide.buffer->p;
    memcpy(wide.t.data, v->t.data, have);
    memset((char *)wide.t.data + have, 0, all - have);
    koe_value_clear(v);
    *v = wide;
    return KOE_OK;
}

static koe_status scan8_element(koe_op_ctx *c, const koe_plan *body, const scan_shape *s, int64_t b, int64_t n_steps, gather *results,
                                koe_error *err)
{
    koe_status st = KOE_OK;
    gather *g = calloc((size_t)s->n_scan_out + 1, sizeof *g);
    koe_value *in = calloc((size_t)s->n_scan_in + 1, sizeof *in);
    if (!g || !in) st = koe_fail(err, KOE_E_NOMEM, "Scan");
    for (int i = 0; st == KOE_OK && i < s->n_state; i++) {
        const koe_tensor *t;
        koe_value v = { 0 };
        st = koe_need(c, 1 + i, &t, err);
        if (st == KOE_OK) st = slice(c, &v, t, 0, b, err);
        if (st == KOE_OK) {
            koe_value_clear(&c->run->value[body->in[i]]);
            c->run->value[body->in[i]] = v;
        }
    }
    for (int i = 0; st == KOE_OK && i < s->n_scan_in; i++) st = slice(c, &in[i], &c->in[1 + s->n_state + i]->t, 0, b, err);
    if (st == KOE_OK) st = scan_iterate(c, body, s, in, n_steps, g, err);
    for (int i = 0; st == KOE_OK && i < s->n_state; i++) st = gather_add(&results[i], &c->run->value[body->in[i]], err);
    for (int i = 0; st == KOE_OK && i < s->n_scan_out; i++) {
        /* Stack this element's steps into one tensor by way of the node's own output, then keep it. */
        koe_value *real = c->out[s->n_state + i], temp = { 0 };
        c->out[s->n_state + i] = &temp;
        st = gather_out(c, s->n_state + i, &g[i], 0, false, declared_out(c, s->n_state + i), err);
        c->out[s->n_state + i] = real;
        if (st == KOE_OK) st = pad_first(c, &temp, s->n_steps, err);
        if (st == KOE_OK) st = gather_add(&results[s->n_state + i], &temp, err);
        koe_value_clear(&temp);
    }
    clear_body(c, body);
    for (int i = 0; in && i < s->n_scan_in; i++) koe_value_clear(&in[i]);
    free(in);
    gather_free(g, s->n_scan_out);
    return st;
}

static koe_status scan8_run(koe_op_ctx *c, koe_error *err)
{
    const koe_plan *body = body_of(c, "body");
    scan_shape s = scan_read(c);
    koe_status st = scan_steps(c, &s, &s.n_steps, err);
    if (st != KOE_OK) return st;
    const koe_tensor *first = koe_in(c, 1), *lens = koe_in(c, 0);
    int64_t n_batch = first && first->n_dim ? first->dim[0] : 0;
    for (int i = 1; i < c->n_in; i++) {
        const koe_tensor *t = koe_in(c, i);
        if (!t || t->n_dim < 1 || t->dim[0] != n_batch) return koe_fail(err, KOE_E_FORMAT, "Scan: inputs differ in batch size");
    }
    if (lens && (lens->dtype != KOE_DTYPE_I64 || koe_tensor_count(lens) != (size_t)n_batch))
        return koe_fail(err, KOE_E_FORMAT, "Scan: sequence_lens must be int64[batch]");
    gather *results = calloc((size_t)c->n_out + 1, sizeof *results);
    if (!results) return koe_fail(err, KOE_E_NOMEM, "Scan");
    for (int64_t b = 0; st == KOE_OK && b < n_batch; b++) {
        int64_t n_steps = lens ? ((const int64_t *)lens->data)[b] : s.n_steps;
        if (n_steps < 0 || n_steps > s.n_steps) st = koe_fail(err, KOE_E_FORMAT, "Scan: a sequence length is %" PRId64, n_steps);
        else st = scan8_element(c, body, &s, b, n_steps, results, err);
    }
    for (int i = 0; st == KOE_OK && i < c->n_out; i++) st = gather_out(c, i, &results[i], 0, false, declared_out(c, i), err);
    gather_free(results, c->n_out);
    return st;
}

/* ---- SequenceMap ---------------------------------------------------------------------------------------------------------- */

static koe_status map_prepare(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    return prepare_body(node, "body", node->n_in, node->n_out, err);
}

static koe_status map_run(koe_op_ctx *c, koe_error *err)
{
    const koe_plan *body = body_of(c, "body");
    if (c->n_in < 1 || !c->in[0] || c->in[0]->kind != KOE_VALUE_SEQUENCE)
        return koe_fail(err, KOE_E_FORMAT, "SequenceMap: the first input must be a sequence");
    size_t n = c->in[0]->n_item;
    gather *g = calloc((size_t)c->n_out + 1, sizeof *g);
    if (!g) return koe_fail(err, KOE_E_NOMEM, "SequenceMap");
    koe_status st = KOE_OK;
    for (size_t k = 0; st == KOE_OK && k < n; k++) {
        for (int i = 0; st == KOE_OK && i < c->n_in; i++) {
            const koe_value *v = c->in[i];
            if (!v) st = koe_fail(err, KOE_E_FORMAT, "SequenceMap: input %d is missing", i);
            else if (v->kind == KOE_VALUE_SEQUENCE && v->n_item != n)
                st = koe_fail(err, KOE_E_FORMAT, "SequenceMap: the sequences have %zu and %zu items", n, v->n_item);
            else st = set_in(c, body, i, v->kind == KOE_VALUE_SEQUENCE ? &v->item[k] : v, err);
        }
        if (st == KOE_OK) st = koe_run_plan(c->run, body, err);
        for (int i = 0; st == KOE_OK && i < c->n_out; i++) st = gather_add(&g[i], &c->run->value[body->out[i]], err);
        clear_body(c, body);
    }
    for (int i = 0; st == KOE_OK && i < c->n_out; i++) {
        const koe_value **items = calloc(n + 1, sizeof *items);
        if (!items) st = koe_fail(err, KOE_E_NOMEM, "SequenceMap");
        for (size_t k = 0; items && k < n; k++) items[k] = &g[i].item[k];
        if (st == KOE_OK) st = koe_out_sequence(c, i, items, n, err);
        free(items);
    }
    gather_free(g, c->n_out);
    return st;
}

static const koe_op table[] = {
    { "If", 1, 0, 0, if_prepare, NULL, if_run, NULL },
    { "Loop", 1, 0, 0, loop_prepare, NULL, loop_run, NULL },
    { "Scan", 8, 8, 0, scan_prepare, NULL, scan8_run, NULL },
    { "Scan", 9, 0, 0, scan_prepare, NULL, scan_run, NULL },
    { "SequenceMap", 17, 0, 0, map_prepare, NULL, map_run, NULL },
};

koe_op_table koe_ops_control(void) { return KOE_OP_TABLE(table); }
