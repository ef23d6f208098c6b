/* build.c - model -> nodes over slots. Every name of every (sub)graph becomes a slot of one flat table; a name is looked up in its
 * own graph first, then in those around it. Calls of model-local functions are replaced by the function's nodes. */
#include "graph/internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MAX_DEPTH = 32, MAX_SLOTS = 4000000 };

/* Names of one graph: an open-addressed table, linked to the graph around it. */
typedef struct scope {
    struct scope *outer;
    struct name {
        koe_str name;
        int slot;
    } *table;
    size_t cap, n; /* cap is a power of two */
    int plan;
} scope;

typedef struct builder {
    koe_session *s;
    int depth;
} builder;

/* A function being inlined: the attributes that its body's references stand for. */
typedef struct call {
    const koe_onnx_node *node;
    const koe_onnx_function *function;
} call;

static koe_status define(builder *b, scope *sc, koe_str name, int slot, koe_error *err)
{
    if (sc->n * 2 >= sc->cap) {
        size_t cap = sc->cap ? sc->cap * 2 : 64;
        struct name *table = koe_arena_array(&b->s->arena, cap, sizeof *table);
        if (!table) return koe_fail(err, KOE_E_NOMEM, "names of the graph");
        for (size_t i = 0; i < sc->cap; i++) {
            if (!sc->table[i].name.p) continue;
            size_t k = koe_str_hash(sc->table[i].name) & (cap - 1);
            while (table[k].name.p) k = (k + 1) & (cap - 1);
            table[k] = sc->table[i];
        }
        sc->table = table;
        sc->cap = cap;
    }
    size_t k = koe_str_hash(name) & (sc->cap - 1);
    while (sc->table[k].name.p) {
        if (koe_str_eq(sc->table[k].name, name))
            return koe_fail(err, KOE_E_FORMAT, "the name '%.*s' is defined twice", KOE_STR_ARG(name));
        k = (k + 1) & (sc->cap - 1);
    }
    sc->table[k] = (struct name){ name, slot };
    sc->n++;
    return KOE_OK;
}

static int find(const scope *sc, koe_str name)
{
    for (; sc; sc = sc->outer) {
        if (!sc->cap) continue;
        for (size_t k = koe_str_hash(name) & (sc->cap - 1); sc->table[k].name.p; k = (k + 1) & (sc->cap - 1))
            if (koe_str_eq(sc->table[k].name, name)) return sc->table[k].slot;
    }
    return -1;
}

int koe_graph_add_slot(koe_session *s, koe_str name, int plan)
{
    if (s->n_slot == s->cap_slot) {
        if (s->n_slot >= MAX_SLOTS) return -1;
        int cap = s->cap_slot ? s->cap_slot * 2 : 1024;
        koe_slot *slot = realloc(s->slot, (size_t)cap * sizeof *slot);
        if (!slot) return -1;
        s->slot = slot;
        s->cap_slot = cap;
    }
    s->slot[s->n_slot] = (koe_slot){ .name = name, .plan = plan, .tap = -1 };
    return s->n_slot++;
}

static koe_status new_slot(builder *b, scope *sc, koe_str name, int *out, koe_error *err)
{
    *out = koe_graph_add_slot(b->s, name, sc->plan);
    if (*out < 0) return koe_fail(err, KOE_E_NOMEM, "the graph's values");
    return define(b, sc, name, *out, err);
}

static koe_status append(koe_session *s, koe_plan *plan, koe_node *node, koe_error *err)
{
    if (plan->n_node == plan->cap_node) {
        int cap = plan->cap_node ? plan->cap_node * 2 : 64;
        koe_node **list = koe_arena_array(&s->arena, (size_t)cap, sizeof *list);
        if (!list) return koe_fail(err, KOE_E_NOMEM, "the graph's nodes");
        if (plan->n_node) memcpy(list, plan->node, (size_t)plan->n_node * sizeof *list);
        plan->node = list;
        plan->cap_node = cap;
    }
    plan->node[plan->n_node++] = node;
    return KOE_OK;
}

static koe_status build_plan(builder *b, koe_plan **out, const koe_onnx_graph *g, scope *outer, const call *c, koe_error *err);
static koe_status build_nodes(builder *b, koe_plan *plan, const koe_onnx_node *node, size_t n, scope *sc, const call *c, koe_error *err);

static int64_t opset_of(const koe_onnx_model *m, koe_str domain)
{
    for (size_t i = 0; i < m->n_opset; i++)
        if (koe_str_eq(m->opset[i].domain, domain)) return m->opset[i].version;
    return domain.n == 0 ? -1 : 1;
}

/* A copy of the node's attributes in which references to the function's attributes are replaced by what the call gave. */
static koe_status bind_attributes(builder *b, koe_node *node, const koe_onnx_node *from, const call *c, koe_error *err)
{
    node->attr = from->attr;
    node->n_attr = from->n_attr;
    bool any = false;
    for (size_t i = 0; i < from->n_attr; i++) any |= from->attr[i].ref.n > 0;
    if (!any) return KOE_OK;
    koe_onnx_attr *attr = koe_arena_array(&b->s->arena, from->n_attr, sizeof *attr);
    if (!attr) return koe_fail(err, KOE_E_NOMEM, "attributes of a function");
    size_t n = 0;
    for (size_t i = 0; i < from->n_attr; i++) {
        const koe_onnx_attr *a = &from->attr[i];
        if (a->ref.n > 0) {
            const koe_onnx_attr *given = NULL;
            for (size_t k = 0; c && k < c->node->n_attr; k++)
                if (koe_str_eq(c->node->attr[k].name, a->ref)) given = &c->node->attr[k];
            for (size_t k = 0; c && !given && k < c->function->n_default_attr; k++)
                if (koe_str_eq(c->function->default_attr[k].name, a->ref)) given = &c->function->default_attr[k];
            if (!given) continue; /* absent, as ONNX says */
            attr[n] = *given;
            attr[n++].name = a->name;
        } else
            attr[n++] = *a;
    }
    node->attr = attr;
    node->n_attr = n;
    return KOE_OK;
}

static koe_status inline_function(builder *b, koe_plan *plan, const koe_onnx_function *f, const koe_onnx_node *n, const int *in, scope *sc,
                                  const call *outer_call, koe_error *err)
{
    if (++b->depth > MAX_DEPTH) return koe_fail(err, KOE_E_LIMIT, "functions nested deeper than %d", MAX_DEPTH);
    /* The caller's node with its own references already resolved, so that a chain of calls hands values down. */
    koe_node bound = { 0 };
    koe_status st = bind_attributes(b, &bound, n, outer_call, err);
    if (st != KOE_OK) return st;
    koe_onnx_node caller = *n;
    caller.attr = bound.attr;
    caller.n_attr = bound.n_attr;
    call c = { &caller, f };
    scope body = { .plan = sc->plan };
    for (size_t i = 0; i < f->n_in && st == KOE_OK; i++)
        if (i < n->n_in && in[i] >= 0) st = define(b, &body, f->in[i], in[i], err);
    if (st == KOE_OK) st = build_nodes(b, plan, f->node, f->n_node, &body, &c, err);
    for (size_t i = 0; i < n->n_out && st == KOE_OK; i++) {
        if (n->out[i].n == 0) continue;
        int slot = i < f->n_out ? find(&body, f->out[i]) : -1;
        if (slot < 0)
            return koe_fail(err, KOE_E_FORMAT, "function %.*s does not define its output %zu", KOE_STR_ARG(f->name), i);
        st = define(b, sc, n->out[i], slot, err);
    }
    b->depth--;
    return st;
}

int *koe_graph_slots(koe_session *s, size_t n)
{
    const size_t cap = n < KOE_INPUTS_MIN ? KOE_INPUTS_MIN : n;
    int *list = koe_arena_array(&s->arena, cap, sizeof *list);
    for (size_t i = n; list && i < cap; i++) list[i] = -1;
    return list;
}

static koe_status build_node(builder *b, koe_plan *plan, const koe_onnx_node *n, scope *sc, const call *c, koe_error *err)
{
    koe_session *s = b->s;
    koe_node *node = koe_arena_alloc(&s->arena, sizeof *node);
    int *in = koe_graph_slots(s, n->n_in), *out = koe_graph_slots(s, n->n_out);
    if (!node || !in || !out) return koe_fail(err, KOE_E_NOMEM, "the graph's nodes");
    for (size_t i = 0; i < n->n_in; i++) {
        in[i] = n->in[i].n ? find(sc, n->in[i]) : -1;
        if (n->in[i].n && in[i] < 0)
            return koe_fail(err, KOE_E_FORMAT, "input %zu, '%.*s', is not defined before this node", i, KOE_STR_ARG(n->in[i]));
    }
    int64_t opset = opset_of(s->model, n->domain);
    const koe_op *op = koe_op_find(n->domain, n->op_type, opset);
    if (!op) {
        for (size_t i = 0; i < s->model->n_function; i++) {
            const koe_onnx_function *f = &s->model->function[i];
            if (koe_str_eq(f->domain, n->domain) && koe_str_eq(f->name, n->op_type))
                return inline_function(b, plan, f, n, in, sc, c, err);
        }
        return koe_fail(err, KOE_E_UNSUPPORTED, "operator %.*s (domain %s%.*s, opset %" PRId64 ") is not supported",
                        KOE_STR_ARG(n->op_type), n->domain.n ? "" : "ai.onnx", KOE_STR_ARG(n->domain), opset);
    }
    if ((int)n->n_in > s->n_in_max) s->n_in_max = (int)n->n_in;
    if ((int)n->n_out > s->n_out_max) s->n_out_max = (int)n->n_out;
    *node = (koe_node){ .op = op, .name = n->name, .op_type = n->op_type, .domain = n->domain, .opset = opset,
                        .n_in = (int)n->n_in, .n_out = (int)n->n_out, .in = in, .out = out, .id = s->n_node++,
                        .precision = s->precision };
    koe_status st = bind_attributes(b, node, n, c, err);
    for (size_t i = 0; i < node->n_attr && st == KOE_OK; i++) node->n_body += node->attr[i].type == KOE_ATTR_GRAPH;
    if (st == KOE_OK && node->n_body) {
        node->body = koe_arena_array(&s->arena, (size_t)node->n_body, sizeof *node->body);
        if (!node->body) return koe_fail(err, KOE_E_NOMEM, "subgraphs");
        int k = 0;
        for (size_t i = 0; i < node->n_attr && st == KOE_OK; i++)
            if (node->attr[i].type == KOE_ATTR_GRAPH) st = build_plan(b, &node->body[k++], node->attr[i].g, sc, c, err);
    }
    for (size_t i = 0; i < n->n_out && st == KOE_OK; i++) {
        out[i] = -1;
        if (n->out[i].n) st = new_slot(b, sc, n->out[i], &out[i], err);
    }
    return st == KOE_OK ? append(s, plan, node, err) : st;
}

static koe_status build_nodes(builder *b, koe_plan *plan, const koe_onnx_node *node, size_t n, scope *sc, const call *c, koe_error *err)
{
    for (size_t i = 0; i < n; i++) {
        koe_status st = build_node(b, plan, &node[i], sc, c, err);
        if (st != KOE_OK)
            return koe_error_wrap(err, st, "node '%.*s' (%.*s)", KOE_STR_ARG(node[i].name), KOE_STR_ARG(node[i].op_type));
    }
    return KOE_OK;
}

static koe_status add_initializers(builder *b, const koe_onnx_graph *g, scope *sc, bool inputs_override, koe_error *err)
{
    for (size_t i = 0; i < g->n_initializer; i++) {
        const koe_onnx_initializer *w = &g->initializer[i];
        bool is_input = false;
        for (size_t k = 0; inputs_override && k < g->n_in && !is_input; k++) is_input = koe_str_eq(g->in[k].name, w->name);
        if (is_input) continue; /* a default, set per run */
        int slot;
        koe_status st = new_slot(b, sc, w->name, &slot, err);
        if (st != KOE_OK) return st;
        b->s->slot[slot].constant = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = w->t };
    }
    return KOE_OK;
}

static koe_status build_outputs(builder *b, koe_plan *plan, const koe_onnx_graph *g, scope *sc, koe_error *err)
{
    plan->n_out = (int)g->n_out;
    plan->out = koe_arena_array(&b->s->arena, g->n_out, sizeof *plan->out);
    if (!plan->out) return koe_fail(err, KOE_E_NOMEM, "outputs");
    for (size_t i = 0; i < g->n_out; i++) {
        plan->out[i] = find(sc, g->out[i].name);
        if (plan->out[i] < 0)
            return koe_fail(err, KOE_E_FORMAT, "graph output '%.*s' is not computed by any node", KOE_STR_ARG(g->out[i].name));
    }
    return KOE_OK;
}

/* A subgraph. Its inputs are slots of its own, set by the node that runs it. */
static koe_status build_plan(builder *b, koe_plan **out, const koe_onnx_graph *g, scope *outer, const call *c, koe_error *err)
{
    koe_session *s = b->s;
    if (++b->depth > MAX_DEPTH) return koe_fail(err, KOE_E_LIMIT, "subgraphs nested deeper than %d", MAX_DEPTH);
    koe_plan *plan = koe_arena_alloc(&s->arena, sizeof *plan);
    if (!plan) return koe_fail(err, KOE_E_NOMEM, "a subgraph");
    plan->id = s->n_plan++;
    scope sc = { .outer = outer, .plan = plan->id };
    plan->n_in = (int)g->n_in;
    plan->in = koe_arena_array(&s->arena, g->n_in, sizeof *plan->in);
    if (!plan->in) return koe_fail(err, KOE_E_NOMEM, "a subgraph");
    koe_status st = add_initializers(b, g, &sc, true, err);
    for (size_t i = 0; i < g->n_in && st == KOE_OK; i++) st = new_slot(b, &sc, g->in[i].name, &plan->in[i], err);
    if (st == KOE_OK) st = build_nodes(b, plan, g->node, g->n_node, &sc, c, err);
    if (st == KOE_OK) st = build_outputs(b, plan, g, &sc, err);
    b->depth--;
    *out = plan;
    return st;
}

static const koe_onnx_initializer *initializer_of(const koe_onnx_graph *g, koe_str name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (koe_str_eq(g->initializer[i].name, name)) return &g->initializer[i];
    return NULL;
}

/* Files before IR version 4 list every initialiser as an input too; there they are constants. */
static koe_status build_inputs(builder *b, const koe_onnx_graph *g, scope *sc, koe_error *err)
{
    koe_session *s = b->s;
    s->in = koe_arena_array(&s->arena, g->n_in, sizeof *s->in);
    s->in_slot = koe_arena_array(&s->arena, g->n_in, sizeof *s->in_slot);
    s->in_optional = koe_arena_array(&s->arena, g->n_in, sizeof *s->in_optional);
    if (!s->in || !s->in_slot || !s->in_optional) return koe_fail(err, KOE_E_NOMEM, "inputs");
    for (int with_default = 0; with_default < 2; with_default++) {
        for (size_t i = 0; i < g->n_in; i++) {
            const koe_onnx_initializer *w = initializer_of(g, g->in[i].name);
            if ((w != NULL) != (with_default == 1)) continue;
            if (w && s->model->ir_version < 4) continue;
            int slot;
            koe_status st = new_slot(b, sc, g->in[i].name, &slot, err);
            if (st != KOE_OK) return st;
            s->in[s->n_in] = &g->in[i];
            s->in_slot[s->n_in] = slot;
            s->in_optional[s->n_in++] = w != NULL;
        }
    }
    return KOE_OK;
}

static koe_status add_taps(koe_session *s, const scope *sc, const koe_session_options *opt, koe_error *err)
{
    koe_plan *plan = s->plan;
    int *out = koe_arena_array(&s->arena, (size_t)plan->n_out + opt->n_taps, sizeof *out);
    if (!out) return koe_fail(err, KOE_E_NOMEM, "taps");
    memcpy(out, plan->out, (size_t)plan->n_out * sizeof *out);
    plan->out = out;
    for (size_t i = 0; i < opt->n_taps; i++) {
        int slot = find(sc, koe_str_of(opt->taps[i]));
        if (slot < 0) return koe_fail(err, KOE_E_NOT_FOUND, "the model has no tensor '%s'", opt->taps[i]);
        s->slot[slot].tap = (int)i;
        plan->out[plan->n_out++] = slot;
    }
    return KOE_OK;
}

koe_status koe_graph_build(koe_session *s, const koe_session_options *opt, koe_error *err)
{
    const koe_onnx_graph *g = &s->model->graph;
    builder b = { .s = s };
    koe_plan *plan = koe_arena_alloc(&s->arena, sizeof *plan);
    if (!plan) return koe_fail(err, KOE_E_NOMEM, "the graph");
    s->plan = plan;
    s->n_plan = 1;
    scope sc = { .plan = 0 };
    koe_status st = build_inputs(&b, g, &sc, err);
    plan->n_in = s->n_in;
    plan->in = s->in_slot;
    if (st == KOE_OK) st = add_initializers(&b, g, &sc, s->model->ir_version >= 4, err);
    if (st == KOE_OK) st = build_nodes(&b, plan, g->node, g->n_node, &sc, NULL, err);
    if (st == KOE_OK) st = build_outputs(&b, plan, g, &sc, err);
    s->n_graph_out = plan->n_out;
    if (st == KOE_OK && opt && opt->n_taps) st = add_taps(s, &sc, opt, err);
    return st;
}
