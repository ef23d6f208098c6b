/* pass_adain.c - adaptive instance normalisation, with the activation that follows.
 *
 *     x ─► InstanceNormalization(w, b) ─► Mul(g) ─► Add(h) [─► Snake(a, r) | LeakyRelu]  ──►
 *     x ─► AdaIN(w, b, g, h [, a, r])  ──►                     one pass for the statistics, one to write
 *
 * g and h are the style's scale and shift, computed from the style vector; w and b the norm's own. Several styles may share one norm (files
 * whose equal constants are one): taking its statistics for each costs less than writing it out once. */
#include "graph/pass.h"

/* InstanceNormalization -> Mul -> Add, ending in `add`; fills in[5] = x w b g h. */
static koe_node *match(const koe_pass *p, const koe_node *add, int *in)
{
    for (int i = 0; i < 2; i++) {
        koe_node *mul = koe_pass_inner(p, add->in[i], "Mul");
        for (int k = 0; mul && k < 2; k++) {
            koe_node *norm = koe_pass_producer(p, mul->in[k], "InstanceNormalization");
            if (!norm) continue;
            memcpy(in, (int[]){ norm->in[0], norm->in[1], norm->in[2], mul->in[1 - k], add->in[1 - i] }, 5 * sizeof *in);
            return norm;
        }
    }
    return NULL;
}

koe_status koe_pass_adain(koe_pass *p, koe_error *err)
{
    for (int i = 0; i < p->plan->n_node; i++) {
        koe_node *add = p->plan->node[i];
        int in[7];
        if (add->domain.n || !koe_str_is(add->op_type, "Add")) continue;
        koe_node *norm = match(p, add, in);
        if (!norm) continue;
        float epsilon = koe_node_float(norm, "epsilon", 1e-5f);
        koe_status st = koe_pass_replace(p, add, "AdaIN", in, 5, err);
        if (st == KOE_OK) st = koe_pass_set_float(p, add, "epsilon", epsilon, err);
        if (st != KOE_OK) return st;
    }
    /* The activation takes the norm in: it is the later node, so it becomes the fused one. */
    for (int i = 0; i < p->plan->n_node; i++) {
        koe_node *act = p->plan->node[i];
        bool snake = koe_str_is(act->domain, "koe") && koe_str_is(act->op_type, "Snake");
        bool leaky = act->domain.n == 0 && koe_str_is(act->op_type, "LeakyRelu");
        if (!snake && !leaky) continue;
        int x = act->in[0];
        koe_node *norm = x >= 0 && p->n_reads[x] == 1 ? p->producer[x] : NULL;
        if (!norm || !koe_str_is(norm->domain, "koe") || !koe_str_is(norm->op_type, "AdaIN")) continue;
        float epsilon = koe_node_float(norm, "epsilon", 1e-5f), alpha = koe_node_float(act, "alpha", 0.01f);
        int in[7];
        memcpy(in, norm->in, 5 * sizeof *in);
        if (snake) memcpy(in + 5, act->in + 1, 2 * sizeof *in);
        koe_status st = koe_pass_replace(p, act, "AdaIN", in, snake ? 7 : 5, err);
        if (st == KOE_OK) st = koe_pass_set_float(p, act, "epsilon", epsilon, err);
        if (st == KOE_OK && leaky) st = koe_pass_set_float(p, act, "leaky", alpha, err);
        if (st != KOE_OK) return st;
    }
    return KOE_OK;
}
