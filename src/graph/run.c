/* run.c - executes a plan: node after node, memory given back after its last reader. Also what an operator may ask of a run:
 * outputs, scratch, random numbers (ops/op.h). */
#include "graph/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/process.h"
#include "kernels/kernels.h"

enum { MAX_NESTING = 34 }; /* subgraph depth allowed by build.c, and a widened node on top */
/* What a run's tensors and the packed weights that stay in memory between uses may come to together, as far as the tensors leave room. Weights
 * that do not stay cost about a millisecond for 25 MB in each run: whoever asks for float32 does not ask for little memory. */
#define RESIDENT_BYTES ((size_t)64 << 20)
#define RESIDENT_F32_BYTES ((size_t)256 << 20)
#define WORK_BYTES ((size_t)16 << 20) /* beside tensors and weights that stay: weights of the node that runs, and what the estimate misses */
#define NARROW_BYTES ((size_t)24 << 20) /* float32 tensors from which on float16 pays: below, the conversion costs more than the memory is worth */
#define IDLE_BYTES ((size_t)64 << 20) /* that a run keeps between two executions: all of Piper's for a long sentence */

koe_status koe_run_create(koe_run **out, koe_session *s, koe_error *err)
{
    koe_run *r = calloc(1, sizeof *r);
    if (!r) return koe_fail(err, KOE_E_NOMEM, "run");
    r->session = s;
    r->value = calloc((size_t)s->n_slot + 1, sizeof *r->value);
    r->in_stack = calloc((size_t)(s->n_in_max + 1) * MAX_NESTING, sizeof *r->in_stack);
    r->out_stack = calloc((size_t)(s->n_out_max + 1) * MAX_NESTING, sizeof *r->out_stack);
    koe_status st = koe_memory_create(&r->memory, err);
    if (st == KOE_OK && (!r->value || !r->in_stack || !r->out_stack)) st = koe_fail(err, KOE_E_NOMEM, "run");
    if (st != KOE_OK) {
        koe_run_destroy(r);
        return st;
    }
    for (int i = 0; i < s->n_slot; i++) r->value[i] = s->slot[i].constant;
    *out = r;
    return KOE_OK;
}

/* Sequences own their list of items; a borrowed sequence (a constant) has items without an owner and is never cleared. */
void koe_value_clear(koe_value *v)
{
    if (v->kind == KOE_VALUE_SEQUENCE && v->item) {
        for (size_t i = 0; i < v->n_item; i++) koe_value_clear(&v->item[i]);
        free(v->item);
    }
    koe_buffer_unref(v->buffer);
    *v = (koe_value){ 0 };
}

koe_status koe_value_share(koe_value *to, const koe_value *from, koe_error *err)
{
    koe_value v = *from;
    if (v.kind == KOE_VALUE_SEQUENCE) {
        v.item = calloc(v.n_item ? v.n_item : 1, sizeof *v.item);
        if (!v.item) return koe_fail(err, KOE_E_NOMEM, "a sequence of %zu", v.n_item);
        for (size_t i = 0; i < v.n_item; i++) {
            koe_status st = koe_value_share(&v.item[i], &from->item[i], err);
            if (st != KOE_OK) {
                v.n_item = i;
                koe_value_clear(&v);
                return st;
            }
        }
    }
    koe_buffer_ref(v.buffer);
    *to = v;
    return KOE_OK;
}

static bool is_constant(const koe_run *r, int slot) { return r->session->slot[slot].constant.kind != KOE_VALUE_NONE; }

static void clear_all(koe_run *r)
{
    for (int i = 0; i < r->session->n_slot; i++) {
        if (is_constant(r, i) || r->value[i].kind == KOE_VALUE_NONE) continue;
        bool is_in = false;
        for (int k = 0; k < r->session->n_in; k++) is_in |= r->session->in_slot[k] == i;
        if (!is_in) koe_value_clear(&r->value[i]);
    }
}

void koe_run_destroy(koe_run *r)
{
    if (!r) return;
    if (r->value) {
        clear_all(r);
        for (int i = 0; i < r->session->n_in; i++)
            if (!is_constant(r, r->session->in_slot[i])) koe_value_clear(&r->value[r->session->in_slot[i]]);
    }
    koe_memory_destroy(r->memory);
    free(r->value);
    free(r->in_stack);
    free(r->out_stack);
    free(r->scratch);
    free(r->skip);
    free(r);
}

static koe_status check_in(const koe_run *r, size_t i, const koe_tensor *t, koe_error *err)
{
    const koe_onnx_value *want = r->session->in[i];
    char text[128];
    if (want->kind == KOE_ONNX_SEQUENCE)
        return koe_fail(err, KOE_E_ARGUMENT, "input '%.*s' is a sequence", KOE_STR_ARG(want->name));
    if (want->dtype != KOE_DTYPE_NONE && want->dtype != t->dtype)
        return koe_fail(err, KOE_E_ARGUMENT, "input '%.*s' must be %s, got %s", KOE_STR_ARG(want->name), koe_dtype_name(want->dtype),
                        koe_tensor_describe(t, text, sizeof text));
    bool fits = want->n_dim < 0 || want->n_dim == t->n_dim;
    for (int k = 0; fits && k < want->n_dim; k++) fits = want->dim[k] < 0 || want->dim[k] == t->dim[k];
    if (!fits) {
        koe_buf shape = { 0 };
        for (int k = 0; k < want->n_dim; k++) {
            if (want->dim[k] >= 0) koe_buf_printf(&shape, "%s%" PRId64, k ? "," : "", want->dim[k]);
            else koe_buf_printf(&shape, "%s%.*s", k ? "," : "", KOE_STR_ARG(want->dim_param[k].n ? want->dim_param[k] : KOE_STR("?")));
        }
        koe_fail(err, KOE_E_ARGUMENT, "input '%.*s' must have shape [%s], got %s", KOE_STR_ARG(want->name),
                 shape.data ? shape.data : "", koe_tensor_describe(t, text, sizeof text));
        koe_buf_free(&shape);
        return KOE_E_ARGUMENT;
    }
    return KOE_OK;
}

koe_status koe_run_set_in(koe_run *r, size_t i, const koe_tensor *t, koe_error *err)
{
    if (i >= (size_t)r->session->n_in) return koe_fail(err, KOE_E_ARGUMENT, "the model has no input %zu", i);
    koe_status st = check_in(r, i, t, err);
    if (st != KOE_OK) return st;
    koe_value *v = &r->value[r->session->in_slot[i]];
    koe_value_clear(v);
    *v = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = *t };
    return KOE_OK;
}

koe_status koe_run_set_in_value(koe_run *r, size_t i, const koe_value *in, koe_error *err)
{
    if (in->kind == KOE_VALUE_TENSOR) return koe_run_set_in(r, i, &in->t, err);
    if (i >= (size_t)r->session->n_in) return koe_fail(err, KOE_E_ARGUMENT, "the model has no input %zu", i);
    koe_value *v = &r->value[r->session->in_slot[i]];
    koe_value_clear(v);
    return koe_value_share(v, in, err);
}

const koe_value *koe_run_out(const koe_run *r, size_t i) { return &r->value[r->session->plan->out[i]]; }
size_t koe_run_peak_bytes(const koe_run *r) { return koe_memory_peak(r->memory); }

static void free_scratch(koe_run *r, size_t from)
{
    while (r->n_scratch > from) koe_buffer_unref(r->scratch[--r->n_scratch]);
}

/* ---- half precision ------------------------------------------------------------------------------------------------------ */


void koe_widen(float *out, const koe_tensor *t)
{
    size_t n = koe_tensor_count(t);
    if (t->dtype == KOE_DTYPE_F16) koe_f16_widen(out, t->data, n);
    else
        for (size_t i = 0; i < n; i++) out[i] = koe_bf16_to_f32(((const uint16_t *)t->data)[i]);
}

/* Runs the operator on float32 copies of its half-precision inputs, then narrows those of its float32 outputs that somebody reads as such:
 * as in ONNX Runtime, neither time nor range (a square of 300 is no float16) is lost in between. */
static koe_status run_widened(koe_run *r, koe_op_ctx *c, koe_dtype half, koe_error *err)
{
    int n_in = c->n_in, n_out = c->n_out;
    koe_value *wide = calloc((size_t)(n_in + n_out) + 1, sizeof *wide);
    if (!wide) return koe_fail(err, KOE_E_NOMEM, "widening");
    koe_status st = KOE_OK;
    koe_value **real_out = c->out, **out = r->out_stack + r->n_out_stack;
    r->n_out_stack += (size_t)n_out;
    for (int i = 0; i < n_in && st == KOE_OK; i++) {
        const koe_tensor *t = koe_in(c, i);
        if (!t || !koe_dtype_is_half(t->dtype)) continue;
        koe_value *v = &wide[i];
        const koe_tensor *ready = c->node->in_const[i];
        v->kind = KOE_VALUE_TENSOR;
        v->t = *t;
        v->t.dtype = KOE_DTYPE_F32;
        if (ready && ready->dtype == KOE_DTYPE_F32) v->t.data = ready->data;
        else {
            st = koe_memory_alloc(r->memory, koe_tensor_count(t) * sizeof(float), &v->buffer, err);
            if (st != KOE_OK) break;
            v->t.data = v->buffer->p;
            koe_widen(v->t.data, t);
        }
        c->in[i] = v;
    }
    for (int i = 0; i < n_out; i++) out[i] = real_out[i] ? &wide[n_in + i] : NULL;
    c->out = out;
    if (st == KOE_OK) st = c->node->op->run(c, err);
    c->out = real_out;
    for (int i = 0; i < n_out && st == KOE_OK; i++) {
        koe_value *v = &wide[n_in + i];
        if (!real_out[i]) continue;
        if (v->kind != KOE_VALUE_TENSOR || v->t.dtype != KOE_DTYPE_F32) {
            *real_out[i] = *v; /* moved */
            *v = (koe_value){ 0 };
            continue;
        }
        if (r->session->slot[c->node->out[i]].stays_wide) {
            *real_out[i] = *v;
            real_out[i]->stands_for = half;
            *v = (koe_value){ 0 };
            continue;
        }
        koe_tensor *t;
        st = koe_out(c, i, half, v->t.n_dim, v->t.dim, &t, err);
        if (st != KOE_OK) break;
        size_t n = koe_tensor_count(t);
        if (half == KOE_DTYPE_F16) koe_f16_narrow(t->data, v->t.data, n);
        else
            for (size_t k = 0; k < n; k++) ((uint16_t *)t->data)[k] = koe_f32_to_bf16(((const float *)v->t.data)[k]);
    }
    for (int i = 0; i < n_in + n_out; i++) koe_value_clear(&wide[i]);
    free(wide);
    r->n_out_stack -= (size_t)n_out;
    return st;
}

/* ---- narrow values --------------------------------------------------------------------------------------------------------- */

/* For an operator that does not know narrow values. A Pad only moves elements (narrow.c lets no other kind come here with a narrow output):
 * it sees float16 and moves that. Others get a float32 copy. */
static koe_status run_wide(koe_op_ctx *c, const koe_op *op, bool moves, koe_error *err)
{
    koe_run *r = c->run;
    koe_value *copy = calloc((size_t)c->n_in + 1, sizeof *copy);
    if (!copy) return koe_fail(err, KOE_E_NOMEM, "widening");
    koe_status st = KOE_OK;
    for (int i = 0; i < c->n_in && st == KOE_OK; i++) {
        if (!koe_in_narrow(c, i)) continue;
        copy[i] = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = c->in[i]->t };
        if (moves) copy[i].t.dtype = KOE_DTYPE_F16;
        else {
            const size_t n = koe_tensor_count(&copy[i].t);
            st = koe_memory_alloc(r->memory, n * sizeof(float), &copy[i].buffer, err);
            if (st != KOE_OK) break;
            copy[i].t.data = copy[i].buffer->p;
            koe_f16_widen(copy[i].t.data, c->in[i]->t.data, n);
        }
        c->in[i] = &copy[i];
    }
    if (st == KOE_OK) st = op->run(c, err);
    if (st == KOE_OK && moves && c->out[0]) {
        c->out[0]->narrow = true;
        c->out[0]->t.dtype = KOE_DTYPE_F32;
    }
    for (int i = 0; i < c->n_in; i++) koe_buffer_unref(copy[i].buffer);
    free(copy);
    return st;
}

koe_status koe_run_widely(koe_op_ctx *c, const koe_op *op, koe_error *err) { return run_wide(c, op, false, err); }

/* ---- execution ------------------------------------------------------------------------------------------------------------ */

koe_status koe_run_node(koe_run *r, const koe_node *node, koe_error *err)
{
    koe_op_ctx c = { .node = node, .in = r->in_stack + r->n_in_stack, .out = r->out_stack + r->n_out_stack, .n_in = node->n_in,
                     .n_out = node->n_out, .state = node->state, .pool = r->session->pool, .run = r };
    r->n_in_stack += (size_t)node->n_in;
    r->n_out_stack += (size_t)node->n_out;
    koe_dtype half = KOE_DTYPE_NONE;
    for (int i = 0; i < node->n_in; i++) {
        const koe_value *v = node->in[i] >= 0 ? &r->value[node->in[i]] : NULL;
        c.in[i] = v && v->kind != KOE_VALUE_NONE ? v : NULL;
        if (c.in[i] && v->stands_for != KOE_DTYPE_NONE) half = v->stands_for;
        else if (c.in[i] && v->kind == KOE_VALUE_TENSOR && koe_dtype_is_half(v->t.dtype)) half = v->t.dtype;
    }
    for (int i = 0; i < node->n_out; i++) {
        c.out[i] = node->out[i] >= 0 ? &r->value[node->out[i]] : NULL;
        if (c.out[i]) koe_value_clear(c.out[i]);
    }
    bool narrow = false;
    for (int i = 0; i < node->n_in && !(node->op->flags & KOE_OP_NARROW); i++) narrow |= koe_in_narrow(&c, i);
    size_t scratch = r->n_scratch;
    bool widen = half != KOE_DTYPE_NONE && (node->op->flags & KOE_OP_WIDEN_HALF);
    c.narrow = node->narrow && !widen && c.out[0];
    koe_status st = widen ? run_widened(r, &c, half, err) : narrow ? run_wide(&c, node->op, c.narrow, err) : node->op->run(&c, err);
    free_scratch(r, scratch);
    r->n_in_stack -= (size_t)node->n_in;
    r->n_out_stack -= (size_t)node->n_out;
    return st;
}

/* Memory that is shared (a view, a weight) is copied before somebody writes to it. */
static koe_status own(koe_run *r, koe_value *v, koe_error *err)
{
    if (v->buffer && v->buffer->refs == 1) return KOE_OK;
    struct koe_buffer *b;
    size_t n = koe_tensor_bytes(&v->t);
    koe_status st = koe_memory_alloc(r->memory, n, &b, err);
    if (st != KOE_OK) return st;
    memcpy(b->p, v->t.data, n);
    koe_buffer_unref(v->buffer);
    v->buffer = b;
    v->t.data = b->p;
    return KOE_OK;
}

static koe_status call_taps(koe_run *r, const koe_node *node, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < node->n_out && st == KOE_OK; i++) {
        int tap = node->out[i] >= 0 ? r->session->slot[node->out[i]].tap : -1;
        koe_value *v = tap >= 0 && !koe_run_given(r, node->out[i]) ? &r->value[node->out[i]] : NULL;
        if (!v || v->kind != KOE_VALUE_TENSOR) continue;
        st = own(r, v, err);
        if (st == KOE_OK) st = r->opt.on_tap(r->opt.user, (size_t)tap, &v->t, err);
    }
    return st;
}

/* Weights that the node has read need not stay in memory when tensors want the room. They do stay, if they may, once another run of the session
 * was seen under way: it reads them a moment later, and pages that one run gives back and another faults in hold up both. */
static void pass_weights(koe_run *r, const koe_node *node)
{
    if (!r->has_company && atomic_load_explicit(&r->session->n_running, memory_order_relaxed) > 1) {
        r->has_company = true;
        r->resident_max = r->resident_limit;
    }
    const size_t held = koe_memory_resident(r->memory);
    koe_weights_passed(r->session->weights, node->pack_id, held < r->resident_max ? r->resident_max - held : 0);
}

/* Shape of input i, or of nothing. */
static koe_tensor shape_of(const koe_run *r, const koe_node *node, int i)
{
    const koe_value *v = i < node->n_in && node->in[i] >= 0 ? &r->value[node->in[i]] : NULL;
    return v && v->kind == KOE_VALUE_TENSOR ? v->t : (koe_tensor){ 0 };
}

/* Runs a node under the eyes of opt.on_node. */
static koe_status run_timed(koe_run *r, const koe_node *node, koe_error *err)
{
    const koe_tensor x = shape_of(r, node, 0), y = shape_of(r, node, 1); /* before: the node may take its inputs' memory */
    const int64_t start = koe_clock_ns();
    koe_status st = koe_run_node(r, node, err);
    const int64_t ns = koe_clock_ns() - start;
    const koe_value *out = node->n_out && node->out[0] >= 0 ? &r->value[node->out[0]] : NULL;
    const bool has_shapes = st == KOE_OK && out && out->kind == KOE_VALUE_TENSOR && x.dtype != KOE_DTYPE_NONE;
    r->opt.on_node(r->opt.user, node, out, has_shapes ? koe_node_macs(node, &x, y.dtype != KOE_DTYPE_NONE ? &y : NULL, &out->t) : 0, ns);
    return st;
}

/* One node of a plan, with all that is due after it. */
static koe_status run_step(koe_run *r, const koe_node *node, koe_error *err)
{
    if (r->opt.cancel && atomic_load_explicit(r->opt.cancel, memory_order_relaxed)) return koe_fail(err, KOE_E_CANCELLED, "cancelled");
    koe_status st = r->opt.on_node ? run_timed(r, node, err) : koe_run_node(r, node, err);
    if (st == KOE_OK && node->tapped && r->opt.n_given) koe_run_give(r, node);
    if (st == KOE_OK && node->tapped && r->opt.on_tap) st = call_taps(r, node, err);
    if (st != KOE_OK) return koe_error_wrap(err, st, "node '%.*s' (%.*s)", KOE_STR_ARG(node->name), KOE_STR_ARG(node->op_type));
    if (node->packed) pass_weights(r, node);
    return KOE_OK;
}

koe_status koe_run_plan(koe_run *r, const koe_plan *plan, koe_error *err)
{
    const bool *skip = plan->id == 0 && r->opt.n_given ? r->skip : NULL;
    for (int i = 0; i < plan->n_node; i++) {
        const koe_node *node = plan->node[i];
        koe_status st = skip && skip[i] ? KOE_OK : run_step(r, node, err);
        if (st != KOE_OK) return st;
        for (int k = 0; k < node->n_release; k++) koe_value_clear(&r->value[node->release[k]]);
    }
    return KOE_OK;
}

/* What the process may still take is shared by the run's tensors and the weights that stay. */
static koe_status set_limits(koe_run *r, koe_error *err)
{
    const size_t process = koe_process_limit(), used = process ? koe_process_bytes() : 0;
    const size_t own = koe_memory_resident(r->memory) + koe_weights_kept(r->session->weights), others = (used > own ? used - own : 0) + WORK_BYTES;
    size_t limit = r->opt.memory_limit;
    if (process && others >= process)
        return koe_fail(err, KOE_E_LIMIT, "the memory limit of %zu MB is too low: koe holds %zu MB before a model runs", process >> 20, others >> 20);
    if (process && (!limit || limit > process - others)) limit = process - others;
    koe_memory_set_limit(r->memory, limit);
    r->resident_max = r->session->keep_weights ? SIZE_MAX : r->session->precision == KOE_PRECISION_F32 ? RESIDENT_F32_BYTES : RESIDENT_BYTES;
    if (limit && limit < r->resident_max) r->resident_max = limit;
    r->resident_limit = limit ? r->resident_max : SIZE_MAX; /* how much the others will take is not known */
    return KOE_OK;
}

koe_status koe_run_execute(koe_run *r, const koe_run_options *opt, koe_error *err)
{
    koe_session *s = r->session;
    r->opt = opt ? *opt : (koe_run_options){ 0 };
    r->n_random = 0;
    if (r->opt.narrow_bytes == 0) r->opt.narrow_bytes = NARROW_BYTES;
    clear_all(r);
    koe_memory_trim(r->memory, IDLE_BYTES);
    koe_status st = set_limits(r, err);
    if (st == KOE_OK && r->opt.n_given) st = koe_run_find_skipped(r, err);
    if (st != KOE_OK) return st;
    for (int i = 0; i < s->n_in; i++) {
        koe_value *v = &r->value[s->in_slot[i]];
        if (v->kind != KOE_VALUE_NONE) continue;
        if (!s->in_optional[i]) return koe_fail(err, KOE_E_ARGUMENT, "input '%.*s' is not set", KOE_STR_ARG(s->in[i]->name));
        const koe_onnx_graph *g = &s->model->graph;
        for (size_t k = 0; k < g->n_initializer; k++)
            if (koe_str_eq(g->initializer[k].name, s->in[i]->name))
                *v = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = g->initializer[k].t };
    }
    const size_t alone_max = r->resident_max;
    r->has_company = false;
    atomic_fetch_add(&s->n_running, 1);
    st = koe_run_plan(r, s->plan, err);
    free_scratch(r, 0);
    r->n_in_stack = r->n_out_stack = 0;
    koe_memory_trim(r->memory, IDLE_BYTES);
    if (atomic_fetch_sub(&s->n_running, 1) == 1) koe_weights_trim(s->weights, alone_max);
    return st;
}

/* ---- what an operator may ask --------------------------------------------------------------------------------------------- */

void *koe_scratch(koe_op_ctx *c, size_t n_bytes)
{
    koe_run *r = c->run;
    if (r->n_scratch == r->cap_scratch) {
        size_t cap = r->cap_scratch ? r->cap_scratch * 2 : 16;
        struct koe_buffer **list = realloc(r->scratch, cap * sizeof *list);
        if (!list) return NULL;
        r->scratch = list;
        r->cap_scratch = cap;
    }
    struct koe_buffer *b;
    if (koe_memory_alloc(r->memory, n_bytes, &b, NULL) != KOE_OK) return NULL;
    r->scratch[r->n_scratch++] = b;
    return b->p;
}

/* An output that nobody wants still gets a tensor to write to: its descriptor stands in front of its data, in scratch. */
static koe_status unwanted_out(koe_op_ctx *c, size_t n_bytes, koe_tensor **out, koe_error *err)
{
    char *p = n_bytes < SIZE_MAX / 4 ? koe_scratch(c, n_bytes + 128) : NULL;
    if (!p) return koe_fail(err, KOE_E_NOMEM, "no memory for a tensor of %zu bytes", n_bytes);
    *out = (koe_tensor *)(void *)p;
    (*out)->data = p + 128;
    return KOE_OK;
}

static void set_shape(koe_tensor *t, koe_dtype dtype, int n_dim, const int64_t *dim)
{
    int64_t copy[KOE_MAX_DIM]; /* dim may be inside what is overwritten */
    if (n_dim) memcpy(copy, dim, sizeof *copy * (size_t)n_dim);
    t->dtype = dtype;
    t->n_dim = n_dim;
    if (n_dim) memcpy(t->dim, copy, sizeof *copy * (size_t)n_dim);
}

koe_status koe_out(koe_op_ctx *c, int i, koe_dtype dtype, int n_dim, const int64_t *dim, koe_tensor **out, koe_error *err)
{
    size_t n_bytes;
    koe_status st = koe_shape_bytes(&n_bytes, dtype, n_dim, dim, err);
    if (st != KOE_OK) return st;
    koe_value *v = i < c->n_out ? c->out[i] : NULL;
    if (!v) {
        st = unwanted_out(c, n_bytes, out, err);
        if (st == KOE_OK) set_shape(*out, dtype, n_dim, dim);
        return st;
    }
    koe_value_clear(v);
    st = koe_memory_alloc(c->run->memory, n_bytes, &v->buffer, err);
    if (st != KOE_OK) return st;
    v->kind = KOE_VALUE_TENSOR;
    v->t.data = v->buffer->p;
    set_shape(&v->t, dtype, n_dim, dim);
    *out = &v->t;
    return KOE_OK;
}

bool koe_in_is_ours(const koe_op_ctx *c, int i)
{
    const koe_value *v = i >= 0 && i < c->n_in ? c->in[i] : NULL;
    const bool dies = v && v->kind == KOE_VALUE_TENSOR && c->node->in_dies && c->node->in_dies[i];
    /* A widened copy (run_widened) is this node's alone, but c->in then points at it and not at the slot: refs decide alike. */
    return dies && v->buffer && v->buffer->refs == 1 && v->t.data == v->buffer->p;
}

koe_status koe_out_inplace(koe_op_ctx *c, int i, int from, koe_dtype dtype, int n_dim, const int64_t *dim, koe_tensor **out,
                           koe_error *err)
{
    size_t n_bytes;
    koe_status st = koe_shape_bytes(&n_bytes, dtype, n_dim, dim, err);
    if (st != KOE_OK) return st;
    koe_value *v = i < c->n_out ? c->out[i] : NULL;
    const koe_value *f = from < c->n_in ? c->in[from] : NULL;
    if (!v || !koe_in_is_ours(c, from) || f->narrow || koe_tensor_bytes(&f->t) != n_bytes)
        return koe_out(c, i, dtype, n_dim, dim, out, err);
    koe_value_clear(v);
    v->kind = KOE_VALUE_TENSOR;
    v->buffer = koe_buffer_ref(f->buffer);
    v->t.data = f->t.data;
    set_shape(&v->t, dtype, n_dim, dim);
    *out = &v->t;
    return KOE_OK;
}

bool koe_is_narrow(const koe_op_ctx *c, int n_dim, const int64_t *dim)
{
    size_t n_bytes;
    return c->narrow && koe_shape_bytes(&n_bytes, KOE_DTYPE_F32, n_dim, dim, NULL) == KOE_OK && n_bytes >= c->run->opt.narrow_bytes;
}

koe_status koe_out_narrow(koe_op_ctx *c, int from, int n_dim, const int64_t *dim, koe_tensor **out, koe_error *err)
{
    size_t n_bytes;
    koe_status st = koe_shape_bytes(&n_bytes, KOE_DTYPE_F16, n_dim, dim, err);
    if (st != KOE_OK) return st;
    koe_value *v = c->out[0];
    const koe_value *f = from >= 0 && from < c->n_in ? c->in[from] : NULL;
    const bool ours = koe_in_is_ours(c, from) && f->narrow && f->buffer->n_bytes == n_bytes;
    koe_value_clear(v);
    if (ours) v->buffer = koe_buffer_ref(f->buffer);
    else st = koe_memory_alloc(c->run->memory, n_bytes, &v->buffer, err);
    if (st != KOE_OK) return st;
    v->kind = KOE_VALUE_TENSOR;
    v->narrow = true;
    v->t.data = v->buffer->p;
    set_shape(&v->t, KOE_DTYPE_F32, n_dim, dim);
    *out = &v->t;
    return KOE_OK;
}

koe_status koe_out_share(koe_op_ctx *c, int i, const koe_value *from, koe_error *err)
{
    koe_value *v = i < c->n_out ? c->out[i] : NULL;
    if (!v) return KOE_OK;
    koe_value fresh;
    koe_status st = koe_value_share(&fresh, from, err);
    if (st != KOE_OK) return st;
    koe_value_clear(v);
    *v = fresh;
    return KOE_OK;
}

koe_status koe_out_view(koe_op_ctx *c, int i, int from, int n_dim, const int64_t *dim, koe_error *err)
{
    koe_value *v = i < c->n_out ? c->out[i] : NULL;
    if (!v) return KOE_OK;
    const koe_tensor *t = koe_in(c, from);
    size_t n_bytes;
    koe_status st = koe_shape_bytes(&n_bytes, t->dtype, n_dim, dim, err);
    if (st != KOE_OK) return st;
    if (n_bytes != koe_tensor_bytes(t))
        return koe_fail(err, KOE_E_FORMAT, "the new shape has %zu bytes, the old one %zu", n_bytes, koe_tensor_bytes(t));
    st = koe_out_share(c, i, c->in[from], err);
    if (st == KOE_OK) set_shape(&v->t, v->t.dtype, n_dim, dim);
    return st;
}

koe_status koe_out_sequence(koe_op_ctx *c, int i, const koe_value *const *items, size_t n, koe_error *err)
{
    koe_value *v = i < c->n_out ? c->out[i] : NULL;
    if (!v) return KOE_OK;
    koe_value fresh = { .kind = KOE_VALUE_SEQUENCE, .item = calloc(n ? n : 1, sizeof *fresh.item) };
    if (!fresh.item) return koe_fail(err, KOE_E_NOMEM, "a sequence of %zu", n);
    for (size_t k = 0; k < n; k++) {
        koe_status st = koe_value_share(&fresh.item[k], items[k], err);
        if (st != KOE_OK) {
            koe_value_clear(&fresh);
            return st;
        }
        fresh.n_item = k + 1;
    }
    koe_value_clear(v);
    *v = fresh;
    return KOE_OK;
}

/* Counter-based: number k of a stream is a hash of (key, k), so any thread could draw any part. splitmix64's finaliser. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t stream_key(koe_op_ctx *c)
{
    const koe_onnx_attr *seed = koe_node_attr(c->node, "seed");
    uint64_t key = mix(c->run->opt.seed) ^ mix(((uint64_t)c->node->id << 32) + c->run->n_random++);
    if (seed && seed->type == KOE_ATTR_FLOAT) {
        uint32_t u;
        memcpy(&u, &seed->f, 4);
        key ^= mix(u);
    }
    return key;
}

/* (0, 1), never an end: 53 bits and a half. */
static double unit(uint64_t x) { return ((double)(x >> 11) + 0.5) * 0x1p-53; }

void koe_random_uniform(koe_op_ctx *c, float *out, size_t n, float low, float high)
{
    uint64_t key = stream_key(c);
    for (size_t i = 0; i < n; i++) {
        double u = c->run->opt.zero_noise ? 0.5 : unit(mix(key + i));
        float x = (float)(low + u * ((double)high - low));
        out[i] = x < high || low >= high ? x : nextafterf(high, low); /* rounding must not reach the open end */
    }
}

/* Box-Muller, two numbers from two: the radius of one pair and both legs of its angle. */
void koe_random_normal(koe_op_ctx *c, float *out, size_t n, float mean, float scale)
{
    enum { BLOCK = 256 };
    uint64_t key = stream_key(c);
    if (c->run->opt.zero_noise) {
        for (size_t i = 0; i < n; i++) out[i] = mean;
        return;
    }
    for (size_t i = 0; i < n; i += 2 * BLOCK) {
        float radius[BLOCK], angle[BLOCK], sine[BLOCK];
        size_t pairs = n - i < 2 * BLOCK ? (n - i + 1) / 2 : BLOCK;
        for (size_t k = 0; k < pairs; k++) {
            radius[k] = (float)unit(mix(key + i + 2 * k));
            angle[k] = (float)(6.283185307179586 * unit(mix(key + i + 2 * k + 1)));
        }
        koe_f32_log(radius, radius, pairs);
        koe_f32_sin(sine, angle, pairs);
        koe_f32_cos(angle, angle, pairs);
        for (size_t k = 0; k < pairs; k++) {
            /* A number that float rounded up to 1 has a logarithm of 0, never above. */
            float r = scale * sqrtf(-2 * radius[k]);
            out[i + 2 * k] = mean + r * angle[k];
            if (i + 2 * k + 1 < n) out[i + 2 * k + 1] = mean + r * sine[k];
        }
    }
}
