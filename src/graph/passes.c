/* passes.c - nodes -> fewer nodes, before anything runs: the list of passes, and the two that need no pattern:
 *     fold    a node whose inputs are all constant       -> its outputs as constants
 *     dead    a node whose outputs nobody reads          -> nothing */
#include "graph/pass.h"

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

static bool foldable(const koe_session *s, const koe_node *node)
{
    if (node->n_body || (node->op->flags & KOE_OP_IMPURE)) return false;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0 && s->slot[node->in[i]].constant.kind == KOE_VALUE_NONE) return false;
    return true;
}

/* A copy of the value that lives as long as the session. */
static koe_status keep(koe_session *s, koe_value *to, const koe_value *from, koe_error *err)
{
    *to = (koe_value){ .kind = from->kind, .t = from->t, .n_item = from->n_item };
    if (from->kind == KOE_VALUE_TENSOR && from->buffer) {
        size_t n = koe_tensor_bytes(&from->t);
        to->t.data = koe_arena_alloc(&s->arena, n ? n : 1);
        if (!to->t.data) return koe_fail(err, KOE_E_NOMEM, "a constant of %zu bytes", n);
        memcpy(to->t.data, from->t.data, n);
    }
    if (from->kind == KOE_VALUE_SEQUENCE && from->n_item) {
        to->item = koe_arena_array(&s->arena, from->n_item, sizeof *to->item);
        if (!to->item) return koe_fail(err, KOE_E_NOMEM, "a constant sequence");
        for (size_t i = 0; i < from->n_item; i++) {
            koe_status st = keep(s, &to->item[i], &from->item[i], err);
            if (st != KOE_OK) return st;
        }
    }
    return KOE_OK;
}

/* Most bytes that folding may hold while it computes a node, and that it may leave as constants: a small hostile file can ask for any
 * amount. Kokoro's float16 weights, widened, are 330 MB. */
#define FOLD_MAX ((size_t)256 << 20)
#define FOLD_TOTAL_MAX ((size_t)1 << 30)

/* Memory of its own that a value holds. */
static size_t value_bytes(const koe_value *v)
{
    size_t n = v->kind == KOE_VALUE_TENSOR && v->buffer ? koe_tensor_bytes(&v->t) : 0;
    for (size_t i = 0; v->kind == KOE_VALUE_SEQUENCE && i < v->n_item; i++) n += value_bytes(&v->item[i]);
    return n;
}

/* Runs the node once, here; its outputs become constants. Outputs are borrowed slots of the temporary run. */
static koe_status fold_node(koe_session *s, koe_run *r, koe_node *node, koe_error *err)
{
    if (node->domain.n == 0 && koe_str_is(node->op_type, "Identity") && node->n_in == 1 && node->n_out == 1 && node->in[0] >= 0 && node->out[0] >= 0) {
        s->slot[node->out[0]].constant = s->slot[node->in[0]].constant; /* exporters name shared weights so: never copied */
        return KOE_OK;
    }
    koe_status st = koe_graph_prepare(s, node, err);
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0) r->value[node->in[i]] = s->slot[node->in[i]].constant;
    if (st == KOE_OK) st = koe_run_node(r, node, err);
    koe_graph_release(node);
    koe_weights_drop(s->weights, node->pack_id);
    size_t n_bytes = 0;
    for (int i = 0; i < node->n_out && st == KOE_OK; i++)
        if (node->out[i] >= 0) n_bytes += value_bytes(&r->value[node->out[i]]);
    if (st == KOE_OK && n_bytes > FOLD_TOTAL_MAX - s->n_folded_bytes) st = koe_fail(err, KOE_E_LIMIT, "too many constants");
    if (st == KOE_OK) s->n_folded_bytes += n_bytes;
    for (int i = 0; i < node->n_out && st == KOE_OK; i++)
        if (node->out[i] >= 0) st = keep(s, &s->slot[node->out[i]].constant, &r->value[node->out[i]], err);
    for (int i = 0; i < node->n_out; i++)
        if (node->out[i] >= 0) koe_value_clear(&r->value[node->out[i]]);
    return st;
}

static koe_status fold(koe_session *s, koe_run *r, koe_plan *plan, koe_error *err)
{
    int n = 0;
    for (int i = 0; i < plan->n_node; i++) {
        koe_node *node = plan->node[i];
        for (int k = 0; k < node->n_body; k++) {
            koe_status st = fold(s, r, node->body[k], err);
            if (st != KOE_OK) return st;
        }
        if (foldable(s, node)) {
            koe_status st = fold_node(s, r, node, err);
            if (st == KOE_E_LIMIT || st == KOE_E_NOMEM) plan->node[n++] = node; /* too large: computed by every run, within its limit */
            else if (st != KOE_OK) return koe_error_wrap(err, st, "node '%.*s'", KOE_STR_ARG(node->name));
        } else
            plan->node[n++] = node;
    }
    plan->n_node = n;
    return KOE_OK;
}

static void mark(void *arg, int slot) { ((bool *)arg)[slot] = true; }

/* Backwards: a node stays when one of its outputs is read by a later one or is an output of its graph. */
static void drop_dead(koe_plan *plan, bool *read)
{
    for (int i = 0; i < plan->n_out; i++) read[plan->out[i]] = true;
    int n_kept = 0;
    for (int i = plan->n_node - 1; i >= 0; i--) {
        koe_node *node = plan->node[i];
        bool live = false;
        for (int k = 0; k < node->n_out; k++) live |= node->out[k] >= 0 && read[node->out[k]];
        if (!live) {
            plan->node[i] = NULL;
            continue;
        }
        n_kept++;
        for (int k = 0; k < node->n_body; k++) drop_dead(node->body[k], read);
        koe_graph_reads(node, mark, read);
    }
    int n = 0;
    for (int i = 0; i < plan->n_node; i++)
        if (plan->node[i]) plan->node[n++] = plan->node[i];
    plan->n_node = n_kept;
}

/* ---- patterns ------------------------------------------------------------------------------------------------------------ */

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

bool koe_pass_is_scalar(const koe_pass *p, int slot, float x)
{
    const koe_tensor *t = koe_pass_constant(p, slot);
    return t && t->dtype == KOE_DTYPE_F32 && koe_tensor_count(t) == 1 && *(const float *)t->data == x;
}

koe_status koe_pass_replace(koe_pass *p, koe_node *node, const char *op, const int *in, int n_in, koe_error *err)
{
    int *list = koe_arena_array(&p->s->arena, (size_t)n_in, sizeof *list);
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

/* Runs one pass over a plan and the plans inside it. n_reads is [n_slot]: a pass that adds slots leaves it as it is. */
static koe_status run_pass(koe_session *s, koe_plan *plan, koe_pass_fn *fn, const int *n_reads, int n_slot, int *n_done, koe_error *err)
{
    koe_pass p = { .s = s, .plan = plan, .n_slot = n_slot };
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

static koe_status fold_all(koe_session *s, koe_error *err)
{
    koe_run *r = NULL;
    koe_status st = koe_run_create(&r, s, err);
    if (st == KOE_OK) koe_memory_set_limit(r->memory, FOLD_MAX);
    if (st == KOE_OK) st = fold(s, r, s->plan, err);
    koe_run_destroy(r);
    return st;
}

static koe_status dead_all(koe_session *s, koe_error *err)
{
    bool *read = calloc((size_t)s->n_slot + 1, sizeof *read);
    if (!read) return koe_fail(err, KOE_E_NOMEM, "passes");
    drop_dead(s->plan, read);
    free(read);
    return KOE_OK;
}

static const struct {
    const char *name;
    koe_pass_fn *fn;
} patterns[] = {
    { "snake", koe_pass_snake },
    { "adain", koe_pass_adain },
    { "conv", koe_pass_conv },
};

static int count_nodes(const koe_plan *plan)
{
    int n = plan->n_node;
    for (int i = 0; i < plan->n_node; i++)
        for (int k = 0; k < plan->node[i]->n_body; k++) n += count_nodes(plan->node[i]->body[k]);
    return n;
}

static void report(koe_session *s, const char *name, int n)
{
    koe_log(KOE_LOG_DEBUG, "pass %s: %d", name, n);
    s->report[s->n_report++] = (koe_pass_report){ name, n };
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

koe_status koe_graph_passes(koe_session *s, const char *passes, koe_error *err)
{
    koe_status st = KOE_OK;
    int before = count_nodes(s->plan);
    const bool dead = wanted(passes, "dead"), folds = wanted(passes, "fold");
    s->no_toom = !wanted(passes, "toom"); /* not a change of the graph, but one of how it is computed */
    if (folds) st = fold_all(s, err);
    report(s, "fold", folds ? before - count_nodes(s->plan) : -1);
    before = count_nodes(s->plan);
    if (st == KOE_OK && dead) st = dead_all(s, err);
    report(s, "dead", dead ? before - count_nodes(s->plan) : -1);
    for (size_t i = 0; st == KOE_OK && i < sizeof patterns / sizeof *patterns; i++) {
        int n_done = 0;
        const bool on = wanted(passes, patterns[i].name);
        if (on) st = run_pattern(s, patterns[i].fn, &n_done, err);
        if (st == KOE_OK && dead && n_done) st = dead_all(s, err);
        report(s, patterns[i].name, on ? n_done : -1);
    }
    return st;
}
