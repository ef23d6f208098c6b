/* resume.c - an execution that goes on from values of an earlier one. What the graph's own outputs still need is found from the end:
 *     x ─► A ─► tap ─► B ─► out      tap given: A is not executed
 * A node that is left out still gives back what it would have read last, so memory is never held longer than in a full execution. */
#include <stdlib.h>

#include "graph/internal.h"

const koe_given *koe_run_given(const koe_run *r, int slot)
{
    for (size_t i = 0; i < r->opt.n_given; i++)
        if (r->session->plan->out[r->opt.given[i].out] == slot) return &r->opt.given[i];
    return NULL;
}

void koe_run_give(koe_run *r, const koe_node *node)
{
    for (int k = 0; k < node->n_out; k++) {
        const koe_given *g = node->out[k] >= 0 ? koe_run_given(r, node->out[k]) : NULL;
        if (!g) continue;
        koe_value_clear(&r->value[node->out[k]]);
        r->value[node->out[k]] = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = g->t };
    }
}

static void want(void *arg, int slot) { ((bool *)arg)[slot] = true; }

/* The numbers that a random node draws depend on how many came before it: they are all executed, and what they read. */
static bool is_impure(const koe_node *node)
{
    bool impure = node->op->flags & KOE_OP_IMPURE;
    for (int b = 0; b < node->n_body; b++)
        for (int i = 0; i < node->body[b]->n_node; i++) impure |= is_impure(node->body[b]->node[i]);
    return impure;
}

static bool is_wanted(const koe_run *r, const koe_node *node, const bool *wanted)
{
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k] >= 0 && wanted[node->out[k]] && !koe_run_given(r, node->out[k])) return true;
    return is_impure(node);
}

koe_status koe_run_find_skipped(koe_run *r, koe_error *err)
{
    const koe_session *s = r->session;
    const koe_plan *plan = s->plan;
    for (size_t i = 0; i < r->opt.n_given; i++)
        if (r->opt.given[i].out >= (size_t)plan->n_out) return koe_fail(err, KOE_E_ARGUMENT, "the model has no output %zu", r->opt.given[i].out);
    bool *wanted = calloc((size_t)s->n_slot + 1, sizeof *wanted);
    if (!r->skip) r->skip = calloc((size_t)plan->n_node + 1, sizeof *r->skip);
    if (!wanted || !r->skip) {
        free(wanted);
        return koe_fail(err, KOE_E_NOMEM, "run");
    }
    for (int i = 0; i < s->n_graph_out; i++) wanted[plan->out[i]] = true;
    for (int i = plan->n_node; i-- > 0;) {
        const koe_node *node = plan->node[i];
        r->skip[i] = !is_wanted(r, node, wanted);
        if (!r->skip[i]) koe_graph_reads(node, want, wanted);
        else koe_run_give(r, node);
    }
    free(wanted);
    return KOE_OK;
}
