/* pass_dead.c - a node whose outputs nobody reads is taken out.
 *
 *     x ─► op ─► y, unread          nothing */
#include "graph/pass.h"

#include <stdlib.h>

static void mark(void *arg, int slot) { ((bool *)arg)[slot] = true; }

/* Backwards: a node stays when one of its outputs is read by a later one or is an output of its graph. */
static void drop_dead(koe_plan *plan, bool *read, int *n_done)
{
    for (int i = 0; i < plan->n_out; i++) read[plan->out[i]] = true;
    int n_kept = 0;
    for (int i = plan->n_node - 1; i >= 0; i--) {
        koe_node *node = plan->node[i];
        bool live = false;
        for (int k = 0; k < node->n_out; k++) live |= node->out[k] >= 0 && read[node->out[k]];
        if (!live) {
            plan->node[i] = NULL;
            ++*n_done;
            continue;
        }
        n_kept++;
        for (int k = 0; k < node->n_body; k++) drop_dead(node->body[k], read, n_done);
        koe_graph_reads(node, mark, read);
    }
    int n = 0;
    for (int i = 0; i < plan->n_node; i++)
        if (plan->node[i]) plan->node[n++] = plan->node[i];
    plan->n_node = n_kept;
}

koe_status koe_pass_dead(koe_session *s, int *n_done, koe_error *err)
{
    bool *read = calloc((size_t)s->n_slot + 1, sizeof *read);
    if (!read) return koe_fail(err, KOE_E_NOMEM, "passes");
    drop_dead(s->plan, read, n_done);
    free(read);
    return KOE_OK;
}

