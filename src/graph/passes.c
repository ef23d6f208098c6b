/* passes.c - nodes -> fewer nodes, before anything runs.
 *     fold    a node whose inputs are all constant       -> its outputs as constants
 *     dead    a node whose outputs nobody reads          -> nothing */
#include "graph/internal.h"

#include <stdlib.h>

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

/* Runs the node once, here; its outputs become constants. Outputs are borrowed slots of the temporary run. */
static koe_status fold_node(koe_session *s, koe_run *r, koe_node *node, koe_error *err)
{
    koe_status st = koe_graph_prepare(s, node, err);
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0) r->value[node->in[i]] = s->slot[node->in[i]].constant;
    if (st == KOE_OK) st = koe_run_node(r, node, err);
    koe_graph_release(node);
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
            if (st != KOE_OK) return koe_error_wrap(err, st, "node '%.*s'", KOE_STR_ARG(node->name));
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

koe_status koe_graph_passes(koe_session *s, const char *passes, koe_error *err)
{
    koe_status st = KOE_OK;
    if (wanted(passes, "fold")) {
        koe_run *r = NULL;
        st = koe_run_create(&r, s, err);
        if (st == KOE_OK) st = fold(s, r, s->plan, err);
        koe_run_destroy(r);
    }
    if (st == KOE_OK && wanted(passes, "dead")) {
        bool *read = calloc((size_t)s->n_slot + 1, sizeof *read);
        if (!read) return koe_fail(err, KOE_E_NOMEM, "passes");
        drop_dead(s->plan, read);
        free(read);
    }
    return st;
}
