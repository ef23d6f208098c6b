/* narrow.c - which tensors the low precisions store as float16 between two operators: half the memory and half the traffic of the largest
 * tensors, those of a vocoder's last stages. Nothing is computed in float16. Operators widen what they read and narrow what they write:
 *     Conv, ConvTranspose   input and addends, output
 *     AdaINStyle            input (its statistics)
 *     Add, become koe's Sum both inputs, output
 *     Pad that mirrors      moves float16 as it is
 * A tensor is narrow when its producer may use low precision and is one of these, and all of its readers are. */
#include <assert.h>
#include <stdlib.h>

#include "graph/internal.h"

static bool is_op(const koe_node *n, const char *domain, const char *op) { return koe_str_is(n->domain, domain) && koe_str_is(n->op_type, op); }

static bool is_conv(const koe_node *n)
{
    return (n->op->flags & KOE_OP_NARROW) && (koe_str_is(n->op_type, "Conv") || koe_str_is(n->op_type, "ConvTranspose"));
}

static bool moves(const koe_node *n)
{
    const koe_str mode = koe_node_str(n, "mode", "constant");
    return is_op(n, "", "Pad") && (koe_str_is(mode, "reflect") || koe_str_is(mode, "edge"));
}

static bool may_write(const koe_node *n) { return n->precision != KOE_PRECISION_F32 && (is_conv(n) || is_op(n, "", "Add") || moves(n)); }

static bool may_read(const koe_node *n, int i, const bool *narrow)
{
    enum { ADDEND = 3, ADDEND_2 = 10 };
    if (is_conv(n)) return i == 0 || (koe_str_is(n->domain, "koe") && (i == ADDEND || i == ADDEND_2));
    if (is_op(n, "koe", "AdaINStyle")) return i == 0;
    if (is_op(n, "", "Add")) return n->out[0] >= 0 && narrow[n->out[0]];
    return moves(n) && i == 0 && n->out[0] >= 0 && narrow[n->out[0]];
}

typedef struct wide {
    bool *narrow, changed;
} wide;

static void keep_wide(void *arg, int slot)
{
    wide *w = arg;
    w->changed |= w->narrow[slot];
    w->narrow[slot] = false;
}

/* From all that may be, takes away what somebody needs wide, until nothing changes. */
static void settle(koe_session *s, wide *w)
{
    const koe_plan *plan = s->plan;
    for (int i = 0; i < plan->n_out; i++) keep_wide(w, plan->out[i]);
    for (int i = 0; i < s->n_slot; i++)
        if (s->slot[i].tap >= 0 || s->slot[i].constant.kind != KOE_VALUE_NONE) keep_wide(w, i);
    do {
        w->changed = false;
        for (int i = plan->n_node - 1; i >= 0; i--) {
            const koe_node *n = plan->node[i];
            if (n->n_body) koe_graph_reads(n, keep_wide, w);
            for (int k = 0; k < n->n_in; k++)
                if (n->in[k] >= 0 && !may_read(n, k, w->narrow)) keep_wide(w, n->in[k]);
            /* A Pad cannot make float16 of float32. */
            if (moves(n) && n->in[0] >= 0 && !w->narrow[n->in[0]] && n->out[0] >= 0) keep_wide(w, n->out[0]);
        }
    } while (w->changed);
}

koe_status koe_graph_set_narrow(koe_session *s, koe_error *err)
{
    wide w = { calloc((size_t)s->n_slot + 1, sizeof *w.narrow), false };
    if (!w.narrow) return koe_fail(err, KOE_E_NOMEM, "narrow values");
    for (int i = 0; i < s->plan->n_node; i++) {
        const koe_node *n = s->plan->node[i];
        if (n->n_out && n->out[0] >= 0 && may_write(n)) w.narrow[n->out[0]] = true;
    }
    settle(s, &w);
    for (int i = 0; i < s->plan->n_node; i++) {
        koe_node *n = s->plan->node[i];
        n->narrow = n->n_out && n->out[0] >= 0 && w.narrow[n->out[0]];
        if (!n->narrow || !is_op(n, "", "Add")) continue;
        n->op = koe_op_find(KOE_STR("koe"), KOE_STR("Sum"), 1);
        assert(n->op);
    }
    free(w.narrow);
    return KOE_OK;
}
