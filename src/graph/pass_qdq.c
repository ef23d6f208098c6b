/* pass_qdq.c - activations that a file rounds to 8 bits with a scale of its own (static quantisation).
 *
 *     x ─► QuantizeLinear(s, z) ─► DequantizeLinear(s, z) ─►          x ─► Requantise(s, z) ─►          one sweep
 *
 *     x ─► Requantise(s, z) ─► Conv | MatMulBytes ─►                  x ─► Conv | MatMulBytes, which round x as they read it
 *
 * after the pass `dequantise`, which has given those their weights of 8 bits. They run as products of bytes where the machine is good at
 * that. The rounding holds values to the 256 steps, and files rely on it (a Relu in front is left out when the steps begin at 0), so it is
 * never dropped. */
#include <math.h>

#include "graph/pass.h"

enum { X, W };

/* The value of a constant with one element, 8 bits, as if it were unsigned. */
static bool zero_point(const koe_pass *p, int slot, int64_t *zero)
{
    const koe_tensor *t = koe_pass_constant(p, slot);
    if (slot < 0) return *zero = 0, true;
    if (!t || koe_tensor_count(t) != 1 || (t->dtype != KOE_DTYPE_U8 && t->dtype != KOE_DTYPE_I8)) return false;
    const uint8_t v = *(const uint8_t *)t->data;
    *zero = t->dtype == KOE_DTYPE_I8 ? (int8_t)v + 128 : v;
    return true;
}

static int input(const koe_node *n, int i) { return i < n->n_in ? n->in[i] : -1; }

static koe_status set_steps(koe_pass *p, koe_node *node, float scale, int64_t zero, koe_error *err)
{
    koe_status st = koe_pass_set_float(p, node, "x_scale", scale, err);
    return st == KOE_OK ? koe_pass_set_int(p, node, "x_zero", zero, err) : st;
}

static koe_status take_pair(koe_pass *p, koe_node *node, koe_error *err)
{
    const koe_node *quantise = koe_pass_producer(p, node->in[0], "QuantizeLinear");
    const int64_t type = quantise ? koe_node_int(quantise, "output_dtype", KOE_DTYPE_NONE) : 0, out = koe_node_int(node, "output_dtype", KOE_DTYPE_F32);
    float scale, other;
    int64_t zero, other_zero;
    if (!quantise || koe_dtype_of(p->shapes, quantise->in[0]) != KOE_DTYPE_F32 || type != KOE_DTYPE_NONE || (out != KOE_DTYPE_F32 && out != KOE_DTYPE_NONE)) return KOE_OK;
    if (!koe_pass_scalar(p, quantise->in[1], &scale) || !koe_pass_scalar(p, node->in[1], &other) || scale != other || !(scale > 0) || !isfinite(scale)) return KOE_OK;
    if (koe_pass_constant(p, node->in[1])->dtype != KOE_DTYPE_F32) return KOE_OK;
    if (!zero_point(p, input(quantise, 2), &zero) || !zero_point(p, input(node, 2), &other_zero) || zero != other_zero) return KOE_OK;
    const koe_tensor *a = koe_pass_constant(p, input(quantise, 2)), *b = koe_pass_constant(p, input(node, 2));
    if ((a ? a->dtype : KOE_DTYPE_U8) != (b ? b->dtype : KOE_DTYPE_U8)) return KOE_OK;
    koe_status st = koe_pass_replace(p, node, "Requantise", (int[]){ quantise->in[0] }, 1, err);
    return st == KOE_OK ? set_steps(p, node, scale, zero, err) : st;
}

/* Convolutions with 8-bit weights of a DequantizeLinear, or products. */
static bool takes_bytes(const koe_node *n)
{
    return koe_pass_is_op(n, "koe", "MatMulBytes") || (koe_pass_is_op(n, "koe", "Conv") && koe_node_attr(n, "exact"));
}

static koe_status take_input(koe_pass *p, koe_node *node, koe_error *err)
{
    const int slot = node->in[X];
    const koe_node *round = slot >= 0 && slot < p->n_slot ? p->producer[slot] : NULL;
    if (!koe_pass_is_op(round, "koe", "Requantise")) return KOE_OK;
    node->in[X] = round->in[0];
    p->n_done++;
    return set_steps(p, node, koe_node_float(round, "x_scale", 1), koe_node_int(round, "x_zero", 0), err);
}

koe_status koe_pass_qdq(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (koe_pass_is_op(p->plan->node[i], "", "DequantizeLinear")) st = take_pair(p, p->plan->node[i], err);
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (takes_bytes(p->plan->node[i])) st = take_input(p, p->plan->node[i], err);
    return st;
}
