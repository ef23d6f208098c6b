/* plan.c - the last steps before a graph can run: operators prepared, last readers found, so that memory is given back at once. */
#include "graph/internal.h"

#include <stdlib.h>

/* Every slot that a subgraph reads, its own among them. */
static void plan_reads(const koe_plan *plan, void (*fn)(void *, int), void *arg)
{
    for (int i = 0; i < plan->n_node; i++) {
        const koe_node *node = plan->node[i];
        if (!node) continue;
        for (int k = 0; k < node->n_in; k++)
            if (node->in[k] >= 0) fn(arg, node->in[k]);
        for (int k = 0; k < node->n_body; k++) plan_reads(node->body[k], fn, arg);
    }
    for (int i = 0; i < plan->n_out; i++) fn(arg, plan->out[i]);
}

void koe_graph_reads(const koe_node *node, void (*fn)(void *arg, int slot), void *arg)
{
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k] >= 0) fn(arg, node->in[k]);
    for (int k = 0; k < node->n_body; k++) plan_reads(node->body[k], fn, arg);
}

/* Constants that an operator of the "widen" kind would widen at every run are widened here, once. */
static koe_status widen_constants(koe_session *s, koe_node *node, koe_error *err)
{
    if (!(node->op->flags & KOE_OP_WIDEN_HALF)) return KOE_OK;
    for (int i = 0; i < node->n_in; i++) {
        const koe_tensor *t = node->in_const[i];
        if (!t || (t->dtype != KOE_DTYPE_F16 && t->dtype != KOE_DTYPE_BF16)) continue;
        size_t n = koe_tensor_count(t);
        koe_tensor *wide = koe_arena_alloc(&s->arena, sizeof *wide);
        float *f = koe_arena_array(&s->arena, n ? n : 1, sizeof *f);
        if (!wide || !f) return koe_fail(err, KOE_E_NOMEM, "widened weights");
        *wide = *t;
        wide->dtype = KOE_DTYPE_F32;
        wide->data = f;
        koe_widen(f, t);
        node->in_const[i] = wide;
    }
    return KOE_OK;
}

koe_status koe_graph_prepare(koe_session *s, koe_node *node, koe_error *err)
{
    if (!node->in_const) {
        node->in_const = koe_arena_array(&s->arena, (size_t)node->n_in, sizeof *node->in_const);
        if (!node->in_const) return koe_fail(err, KOE_E_NOMEM, "node '%.*s'", KOE_STR_ARG(node->name));
    }
    for (int i = 0; i < node->n_in; i++) {
        const koe_value *v = node->in[i] >= 0 ? &s->slot[node->in[i]].constant : NULL;
        node->in_const[i] = v && v->kind == KOE_VALUE_TENSOR ? &v->t : NULL;
    }
    koe_status st = widen_constants(s, node, err);
    if (st == KOE_OK && node->op->prepare) st = node->op->prepare(node, &node->state, err);
    if (st != KOE_OK)
        return koe_error_wrap(err, st, "node '%.*s' (%.*s)", KOE_STR_ARG(node->name), KOE_STR_ARG(node->op_type));
    return KOE_OK;
}

void koe_graph_release(koe_node *node)
{
    if (node->state && node->op->release) node->op->release(node->state);
    node->state = NULL;
}

static koe_status prepare_all(koe_session *s, koe_plan *plan, koe_error *err)
{
    for (int i = 0; i < plan->n_node; i++) {
        koe_node *node = plan->node[i];
        if (s->n_all == s->cap_all) {
            size_t cap = s->cap_all ? s->cap_all * 2 : 1024;
            koe_node **all = realloc(s->all, cap * sizeof *all);
            if (!all) return koe_fail(err, KOE_E_NOMEM, "nodes");
            s->all = all;
            s->cap_all = cap;
        }
        s->all[s->n_all++] = node;
        for (int k = 0; k < node->n_out; k++) node->tapped |= node->out[k] >= 0 && s->slot[node->out[k]].tap >= 0;
        koe_status st = koe_graph_prepare(s, node, err);
        for (int k = 0; k < node->n_body && st == KOE_OK; k++) st = prepare_all(s, node->body[k], err);
        if (st != KOE_OK) return st;
    }
    return KOE_OK;
}

typedef struct reader {
    int *last; /* [n_slot]: index of the last node of the current plan that reads the slot, -1 none */
    int node;
} reader;

static void note_read(void *arg, int slot)
{
    reader *r = arg;
    r->last[slot] = r->node;
}

static koe_status add_release(koe_session *s, koe_node *node, const int *list, int n, koe_error *err)
{
    int *release = koe_arena_array(&s->arena, (size_t)n, sizeof *release);
    if (!release) return koe_fail(err, KOE_E_NOMEM, "plan");
    memcpy(release, list, (size_t)n * sizeof *release);
    node->release = release;
    node->n_release = n;
    return KOE_OK;
}

/* Outputs are the caller's to give back, and so are the inputs of the main graph, which serve the next execution too. */
static bool stays(const koe_plan *plan, int slot)
{
    for (int i = 0; i < plan->n_out; i++)
        if (plan->out[i] == slot) return true;
    for (int i = 0; plan->id == 0 && i < plan->n_in; i++)
        if (plan->in[i] == slot) return true;
    return false;
}

/* A node may give back the slots of its own plan that no later node of it reads; the plan's outputs stay for its caller. */
static koe_status find_last(koe_session *s, koe_plan *plan, int *last, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < plan->n_node && st == KOE_OK; i++)
        for (int k = 0; k < plan->node[i]->n_body && st == KOE_OK; k++) st = find_last(s, plan->node[i]->body[k], last, err);
    if (st != KOE_OK) return st;
    for (int i = 0; i < s->n_slot; i++) last[i] = -1;
    for (int i = 0; i < plan->n_node; i++) {
        reader r = { last, i };
        for (int k = 0; k < plan->node[i]->n_out; k++)
            if (plan->node[i]->out[k] >= 0) note_read(&r, plan->node[i]->out[k]); /* unread outputs die at once */
        koe_graph_reads(plan->node[i], note_read, &r);
    }
    bool *seen = calloc((size_t)s->n_slot + 1, sizeof *seen);
    int *list = calloc((size_t)s->n_slot + 1, sizeof *list);
    if (!seen || !list) st = koe_fail(err, KOE_E_NOMEM, "plan");
    for (int i = 0; i < plan->n_node && st == KOE_OK; i++) {
        koe_node *node = plan->node[i];
        int n = 0;
        for (int k = 0; k < node->n_in + node->n_out; k++) {
            int slot = k < node->n_in ? node->in[k] : node->out[k - node->n_in];
            if (slot < 0 || seen[slot] || last[slot] != i || s->slot[slot].plan != plan->id) continue;
            if (s->slot[slot].constant.kind != KOE_VALUE_NONE || stays(plan, slot)) continue;
            seen[slot] = true;
            list[n++] = slot;
        }
        /* Captured by the node's subgraphs for the last time. Rare: searched plainly. */
        for (int slot = 0; node->n_body && slot < s->n_slot; slot++) {
            if (last[slot] != i || seen[slot] || s->slot[slot].plan != plan->id) continue;
            if (s->slot[slot].constant.kind != KOE_VALUE_NONE || stays(plan, slot)) continue;
            seen[slot] = true;
            list[n++] = slot;
        }
        st = add_release(s, node, list, n, err);
        bool *dies = st == KOE_OK ? koe_arena_array(&s->arena, (size_t)node->n_in, sizeof *dies) : NULL;
        if (!dies) {
            if (st == KOE_OK) st = koe_fail(err, KOE_E_NOMEM, "plan");
            break;
        }
        for (int k = 0; k < node->n_in; k++) {
            int uses = 0;
            for (int j = 0; j < node->n_in; j++) uses += node->in[j] == node->in[k];
            dies[k] = node->in[k] >= 0 && uses == 1 && seen[node->in[k]] && last[node->in[k]] == i;
        }
        node->in_dies = dies;
    }
    free(seen);
    free(list);
    return st;
}

koe_status koe_graph_finish(koe_session *s, koe_error *err)
{
    koe_status st = prepare_all(s, s->plan, err);
    if (st != KOE_OK) return st;
    int *last = calloc((size_t)s->n_slot + 1, sizeof *last);
    if (!last) return koe_fail(err, KOE_E_NOMEM, "plan");
    st = find_last(s, s->plan, last, err);
    free(last);
    return st;
}
