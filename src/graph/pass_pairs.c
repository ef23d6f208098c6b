/* pass_pairs.c - which convolutions may make their outputs in pairs when they are computed in 8 bits: fewer products, but an error 3 dB larger
 * (kernels/lp_pairs.c).
 *
 *     x ─┬► Conv(+x) ─► Conv(+) ─────────┐
 *        ├► Conv(+x) ─► Conv(+) ─► (+) ──┤        all of these: attribute `pairs`
 *        └► Conv(+x) ─► Conv(+) ─► (+, / 3) ─►
 *
 * They are those of residual blocks side by side whose mean is taken: each block's error counts a third there, 10 dB less than that of a layer in
 * front of the blocks or behind them. Runs after the pass `conv`, whose convolutions hold sums and scale. Nothing else changes, and
 * nothing at all with other precisions. */
#include <math.h>
#include <stdlib.h>

#include "graph/pass.h"

enum { X, Z = 3, Z2 = 10 }; /* inputs of koe's Conv */

static int input(const koe_node *n, int i) { return i < n->n_in ? n->in[i] : -1; }

/* The last of several blocks: it adds the others to its own result and scales the sum down. */
static bool takes_mean(const koe_node *n) { return fabsf(koe_node_float(n, "scale", 1)) <= 0.5f && input(n, Z) >= 0 && input(n, Z2) >= 0; }

koe_status koe_pass_pairs(koe_pass *p, koe_error *err)
{
    /* How many convolutions have the value as their input: more than one where blocks begin; and does it go into a mean? */
    int *n_convs = calloc((size_t)p->n_slot + 1, sizeof *n_convs);
    bool *averaged = calloc((size_t)p->n_slot + 1, sizeof *averaged);
    koe_status st = n_convs && averaged ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "passes");
    for (int i = 0; st == KOE_OK && i < p->plan->n_node; i++) {
        const koe_node *n = p->plan->node[i];
        if (koe_pass_is_op(n, "koe", "Conv") && n->in[X] >= 0 && n->in[X] < p->n_slot) n_convs[n->in[X]]++;
    }
    for (int i = p->plan->n_node - 1; st == KOE_OK && i >= 0; i--) { /* readers come behind what they read */
        koe_node *n = p->plan->node[i];
        const int y = n->n_out ? n->out[0] : -1;
        if (!koe_pass_is_op(n, "koe", "Conv") || y < 0 || y >= p->n_slot) continue;
        if (!takes_mean(n) && !(averaged[y] && n_convs[y] <= 1)) continue;
        const int from[] = { n->in[X], input(n, Z), input(n, Z2) };
        for (int k = 0; k < 3; k++)
            if (from[k] >= 0 && from[k] < p->n_slot) averaged[from[k]] = true;
        st = koe_pass_set_int(p, n, "pairs", 1, err);
        p->n_done++;
    }
    free(n_convs);
    free(averaged);
    return st;
}
