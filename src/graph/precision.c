/* precision.c - which nodes may compute in low precision. What decides something discrete - a duration that is rounded, an index, a
 * comparison - or what is summed up over time (a phase) must not move, so everything that such a decision is computed from stays
 * float32; the rest, which is most of a speech network's work, takes the precision asked for. */
#include <regex.h>
#include <stdio.h>
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

/* True when the session asks for its precision here: everywhere, or where the node's name matches. */
static bool is_chosen(const regex_t *only, const koe_node *node)
{
    char name[256];
    if (!only) return true;
    snprintf(name, sizeof name, "%.*s", KOE_STR_ARG(koe_str_sub(node->name, 0, sizeof name - 1)));
    return regexec(only, name, 0, NULL, 0) == 0;
}

static void set(koe_session *s, koe_plan *plan, bool *exact, const regex_t *only)
{
    for (int i = plan->n_node - 1; i >= 0; i--) {
        koe_node *node = plan->node[i];
        bool needed = decides(node);
        for (int k = 0; k < node->n_out; k++) needed |= node->out[k] >= 0 && exact[node->out[k]] && !hides(node);
        if (needed) koe_graph_reads(node, mark, exact);
        node->precision = needed || !is_chosen(only, node) ? KOE_PRECISION_F32 : s->precision;
        node->no_toom = s->no_toom;
        for (int k = 0; k < node->n_body; k++) set(s, node->body[k], exact, only);
    }
}

koe_status koe_graph_set_precision(koe_session *s, const char *only, koe_error *err)
{
    regex_t pattern;
    if (only && regcomp(&pattern, only, REG_EXTENDED | REG_NOSUB) != 0)
        return koe_fail(err, KOE_E_ARGUMENT, "'%s' is not an extended regular expression", only);
    bool *exact = calloc((size_t)s->n_slot + 1, sizeof *exact);
    koe_status st = exact ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "precision");
    if (exact) set(s, s->plan, exact, only ? &pattern : NULL);
    free(exact);
    if (only) regfree(&pattern);
    return st;
}
