/* passes.c - nodes -> fewer nodes, before anything runs: the list of passes, and what the patterns are matched and replaced with. */
#include "graph/pass.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"

/* "-fold,-dead": true unless the list names it with a minus. */
static bool wanted(const char *passes, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = passes; p && *p;) {
        const char *end = strchr(p, ',');
        size_t len = end ? (size_t)(end - p) : strlen(p);
        if (len == n + 1 && p[0] == '-' && memcmp(p + 1, name, n) == 0) return false;
        p += len + (end ? 1 : 0);
    }
    return true;
}

koe_node *koe_pass_producer(const koe_pass *p, int slot, const char *op)
{
    koe_node *node = slot >= 0 && slot < p->n_slot ? p->producer[slot] : NULL;
    return node && node->domain.n == 0 && koe_str_is(node->op_type, op) ? node : NULL;
}

koe_node *koe_pass_inner(const koe_pass *p, int slot, const char *op)
{
    return slot >= 0 && slot < p->n_slot && p->n_reads[slot] == 1 ? koe_pass_producer(p, slot, op) : NULL;
}

const koe_tensor *koe_pass_constant(const koe_pass *p, int slot)
{
    const koe_value *v = slot >= 0 ? &p->s->slot[slot].constant : NULL;
    return v && v->kind == KOE_VALUE_TENSOR ? &v->t : NULL;
}

bool koe_pass_scalar(const koe_pass *p, int slot, float *x)
{
    const koe_tensor *t = koe_pass_constant(p, slot);
    if (!t || koe_tensor_count(t) != 1) return false;
    if (t->dtype == KOE_DTYPE_F32) memcpy(x, t->data, sizeof *x);
    else if (koe_dtype_is_half(t->dtype)) koe_widen(x, t);
    else return false;
    return true;
}

bool koe_pass_is_about(const koe_pass *p, int slot, double x)
{
    float v;
    const koe_tensor *t = koe_pass_constant(p, slot);
    return koe_pass_scalar(p, slot, &v) && fabs((double)v - x) <= (koe_dtype_is_half(t->dtype) ? 4e-3 : 1e-6) * fabs(x);
}

bool koe_pass_is_float(const koe_pass *p, int slot)
{
    const koe_dtype d = koe_dtype_of(p->shapes, slot);
    return d == KOE_DTYPE_F32 || koe_dtype_is_half(d);
}

bool koe_pass_is_scalar(const koe_pass *p, int slot, float x)
{
    const koe_tensor *t = koe_pass_constant(p, slot);
    return t && t->dtype == KOE_DTYPE_F32 && koe_tensor_count(t) == 1 && *(const float *)t->data == x;
}

koe_status koe_pass_replace(koe_pass *p, koe_node *node, const char *op, const int *in, int n_in, koe_error *err)
{
    int *list = koe_graph_slots(p->s, (size_t)n_in);
    if (!list) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    memcpy(list, in, (size_t)n_in * sizeof *list);
    node->op_type = koe_str_of(op);
    node->domain = KOE_STR("koe");
    node->opset = 1;
    node->op = koe_op_find(node->domain, node->op_type, 1);
    if (!node->op) return koe_fail(err, KOE_E_UNSUPPORTED, "fused operator %s is missing", op);
    node->in = list;
    node->n_in = n_in;
    node->in_const = NULL;
    node->attr = NULL;
    node->n_attr = 0;
    if (n_in > p->s->n_in_max) p->s->n_in_max = n_in;
    p->n_done++;
    return KOE_OK;
}

koe_status koe_pass_take_over(koe_pass *p, koe_node *node, const koe_node *from, const char *op, const int *in, int n_in, koe_error *err)
{
    const koe_node was = *from;
    const koe_status st = koe_pass_replace(p, node, op, in, n_in, err);
    node->attr = was.attr;
    node->n_attr = was.n_attr;
    node->name = was.name;
    return st;
}

static koe_status add_attr(koe_pass *p, koe_node *node, koe_onnx_attr a, koe_error *err)
{
    koe_onnx_attr *attr = koe_arena_array(&p->s->arena, node->n_attr + 1, sizeof *attr);
    if (!attr) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    if (node->n_attr) memcpy(attr, node->attr, node->n_attr * sizeof *attr);
    attr[node->n_attr++] = a;
    node->attr = attr;
    return KOE_OK;
}

koe_status koe_pass_set_float(koe_pass *p, koe_node *node, const char *name, float x, koe_error *err)
{
    return add_attr(p, node, (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_FLOAT, .f = x }, err);
}

koe_status koe_pass_set_ints(koe_pass *p, koe_node *node, const char *name, const int64_t *x, size_t n, koe_error *err)
{
    int64_t *list = koe_arena_array(&p->s->arena, n, sizeof *list);
    if (!list) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    memcpy(list, x, n * sizeof *list);
    return add_attr(p, node, (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_INTS, .ints = list, .n = n }, err);
}

koe_status koe_pass_set_floats(koe_pass *p, koe_node *node, const char *name, const float *x, size_t n, koe_error *err)
{
    float *list = koe_arena_array(&p->s->arena, n, sizeof *list);
    if (!list) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    memcpy(list, x, n * sizeof *list);
    return add_attr(p, node, (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_FLOATS, .floats = list, .n = n }, err);
}

koe_status koe_pass_set_int(koe_pass *p, koe_node *node, const char *name, int64_t x, koe_error *err)
{
    return add_attr(p, node, (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_INT, .i = x }, err);
}

koe_status koe_pass_set_str(koe_pass *p, koe_node *node, const char *name, const char *x, koe_error *err)
{
    return add_attr(p, node, (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_STRING, .s = koe_str_of(x) }, err);
}

koe_status koe_pass_set_activation(koe_pass *p, koe_node *node, const char *name, float alpha, koe_error *err)
{
    float *params = koe_arena_alloc(&p->s->arena, sizeof *params);
    if (!params) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    *params = alpha;
    koe_onnx_attr kind = { .name = KOE_STR("activation"), .type = KOE_ATTR_STRING, .s = koe_str_of(name) };
    koe_onnx_attr list = { .name = KOE_STR("activation_params"), .type = KOE_ATTR_FLOATS, .floats = params, .n = 1 };
    koe_status st = add_attr(p, node, kind, err);
    return st == KOE_OK ? add_attr(p, node, list, err) : st;
}

static void count_read(void *arg, int slot) { ((int *)arg)[slot]++; }

void koe_pass_mark_outputs(bool *fixed, const koe_plan *plan)
{
    for (int i = 0; i < plan->n_out; i++) fixed[plan->out[i]] = true;
    for (int i = 0; i < plan->n_node; i++)
        for (int k = 0; k < plan->node[i]->n_body; k++) koe_pass_mark_outputs(fixed, plan->node[i]->body[k]);
}

/* Runs one pass over a plan and the plans inside it. n_reads is [n_slot]: a pass that adds slots leaves it as it is. */
static koe_status run_pass(koe_session *s, koe_plan *plan, koe_pass_fn *fn, const int *n_reads, int n_slot, int *n_done, koe_error *err)
{
    koe_pass p = { .s = s, .plan = plan, .n_slot = n_slot, .shapes = s->shapes };
    p.producer = calloc((size_t)n_slot + 1, sizeof *p.producer);
    p.n_reads = calloc((size_t)n_slot + 1, sizeof *p.n_reads);
    koe_status st = KOE_OK;
    if (!p.producer || !p.n_reads) st = koe_fail(err, KOE_E_NOMEM, "passes");
    else {
        memcpy(p.n_reads, n_reads, (size_t)n_slot * sizeof *n_reads);
        for (int i = 0; i < plan->n_node; i++)
            for (int k = 0; k < plan->node[i]->n_out; k++)
                if (plan->node[i]->out[k] >= 0) p.producer[plan->node[i]->out[k]] = plan->node[i];
        st = fn(&p, err);
        *n_done += p.n_done;
    }
    free(p.producer);
    free(p.n_reads);
    for (int i = 0; i < plan->n_node && st == KOE_OK; i++)
        for (int k = 0; k < plan->node[i]->n_body && st == KOE_OK; k++)
            st = run_pass(s, plan->node[i]->body[k], fn, n_reads, n_slot, n_done, err);
    return st;
}

static koe_status run_pattern(koe_session *s, koe_pass_fn *fn, int *n_done, koe_error *err)
{
    int *n_reads = calloc((size_t)s->n_slot + 1, sizeof *n_reads);
    if (!n_reads) return koe_fail(err, KOE_E_NOMEM, "passes");
    for (int k = 0; k < s->plan->n_node; k++) koe_graph_reads(s->plan->node[k], count_read, n_reads);
    for (int k = 0; k < s->plan->n_out; k++) n_reads[s->plan->out[k]]++;
    koe_status st = run_pass(s, s->plan, fn, n_reads, s->n_slot, n_done, err);
    free(n_reads);
    return st;
}

/* In the order in which they run. */
static const struct pass {
    const char *name;
    const char *unit; /* of its count */
    koe_graph_fn *whole; /* once for the graph, or */
    koe_pass_fn *pattern; /* for each plan; nodes that this leaves unread are dropped */
} passes[] = {
    { "fold", "nodes folded", koe_pass_fold, NULL },
    { "shape", "nodes folded", koe_pass_shape, NULL },
    { "cse", "nodes shared", koe_pass_cse, NULL },
    { "dead", "nodes dropped", koe_pass_dead, NULL },
    { "dequantise", "patterns replaced", NULL, koe_pass_dequantise },
    { "qdq", "patterns replaced", NULL, koe_pass_qdq },
    { "dynamic", "patterns replaced", NULL, koe_pass_dynamic },
    { "repeat", "patterns replaced", NULL, koe_pass_repeat },
    { "norm", "patterns replaced", NULL, koe_pass_norm },
    { "activation", "patterns replaced", NULL, koe_pass_activation },
    { "attention", "patterns replaced", NULL, koe_pass_attention },
    { "lstm", "patterns replaced", NULL, koe_pass_lstm },
    { "transpose", "patterns replaced", NULL, koe_pass_transpose },
    { "snake", "patterns replaced", NULL, koe_pass_snake },
    { "adain", "patterns replaced", NULL, koe_pass_adain },
    { "pad", "patterns replaced", NULL, koe_pass_pad },
    { "upsample", "patterns replaced", NULL, koe_pass_upsample },
    { "istft", "patterns replaced", NULL, koe_pass_istft },
    { "conv", "patterns replaced", NULL, koe_pass_conv },
    { "chain", "patterns replaced", NULL, koe_pass_chain },
    { "pairs", "nodes marked", NULL, koe_pass_pairs },
    { "matmul", "patterns replaced", NULL, koe_pass_matmul },
    { "elementwise", "chains joined", NULL, koe_pass_elementwise },
};

static koe_status run_one(koe_session *s, const struct pass *pass, bool dead, int *n_done, koe_error *err)
{
    if (pass->whole) return pass->whole(s, n_done, err);
    int n_dropped = 0;
    koe_status st = run_pattern(s, pass->pattern, n_done, err);
    return st == KOE_OK && dead && *n_done ? koe_pass_dead(s, &n_dropped, err) : st;
}

koe_status koe_graph_passes(koe_session *s, const char *list, koe_error *err)
{
    koe_status st = KOE_OK;
    const bool dead = wanted(list, "dead");
    const size_t n = sizeof passes / sizeof *passes;
    s->no_toom = !wanted(list, "toom"); /* these are no changes of the graph, but of how it is computed */
    s->narrow = wanted(list, "narrow") && s->precision != KOE_PRECISION_F32;
    s->rest = s->narrow && wanted(list, "rest");
    s->report = koe_arena_array(&s->arena, n, sizeof *s->report);
    if (!s->report) return koe_fail(err, KOE_E_NOMEM, "passes");
    koe_shapes shapes;
    st = koe_shapes_init(&shapes, s, err);
    s->shapes = &shapes;
    if (st == KOE_OK && wanted(list, "dequantise")) st = koe_pass_keep_weights(s, err);
    for (size_t i = 0; st == KOE_OK && i < n; i++) {
        int n_done = 0;
        if (passes[i].pattern && !shapes.learnt) koe_shapes_learn_all(&shapes, s->plan);
        const bool on = wanted(list, passes[i].name);
        if (on) st = run_one(s, &passes[i], dead, &n_done, err);
        koe_log(KOE_LOG_DEBUG, "pass %s: %d", passes[i].name, n_done);
        s->report[s->n_report++] = (koe_pass_report){ passes[i].name, on ? n_done : -1, passes[i].unit };
    }
    koe_shapes_deinit(&shapes);
    s->shapes = NULL;
    return st;
}
