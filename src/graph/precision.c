/* precision.c - which nodes may compute in low precision. What decides something discrete - a duration that is rounded, an index, a
 * comparison - or what is summed up over time (a phase) must not move, so everything that such a decision is computed from stays
 * float32; the rest, which is most of a speech network's work, takes the precision asked for. */
#include <stdlib.h>

#include "graph/internal.h"

static bool decides(const koe_node *node)
{
    static const char *const ops[] = { "Round", "Ceil", "Floor", "CumSum", "ArgMax", "ArgMin", "TopK", "NonZero", "Unique", "Less", "LessOrEqual",
                                       "Greater", "GreaterOrEqual", "Equal", "Multinomial", "Bernoulli", "Range", "Mod" };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (node->domain.n == 0 && koe_str_is(node->op_type, ops[i])) return true;
    if (koe_node_attr(node, "decides")) return true; /* Elementwise with a comparison */
    const koe_onnx_attr *to = koe_node_attr(node, "to");
    return node->domain.n == 0 && koe_str_is(node->op_type, "Cast") && to && !koe_dtype_is_float((koe_dtype)to->i);
}

/* A shape says nothing about values. */
static bool hides(const koe_node *node) { return koe_str_is(node->op_type, "Shape") || koe_str_is(node->op_type, "Size"); }

static void mark(void *arg, int slot) { ((bool *)arg)[slot] = true; }

static void set(koe_session *s, koe_plan *plan, bool *exact)
{
    for (int i = plan->n_node - 1; i >= 0; i--) {
        koe_node *node = plan->node[i];
        bool needed = decides(node);
        for (int k = 0; k < node->n_out; k++) needed |= node->out[k] >= 0 && exact[node->out[k]] && !hides(node);
        if (needed) koe_graph_reads(node, mark, exact);
        node->precision = needed ? KOE_PRECISION_F32 : s->precision;
        node->no_toom = s->no_toom;
        for (int k = 0; k < node->n_body; k++) set(s, node->body[k], exact);
    }
}

koe_status koe_graph_set_precision(koe_session *s, koe_error *err)
{
    bool *exact = calloc((size_t)s->n_slot + 1, sizeof *exact);
    if (!exact) return koe_fail(err, KOE_E_NOMEM, "precision");
    set(s, s->plan, exact);
    free(exact);
    return KOE_OK;
}
