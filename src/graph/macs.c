/* macs.c - multiply-adds that a node's result takes by its definition, whatever the algorithm saves; 0 for what is not a sum of products.
 *     Conv        every output: the weights of its channel        ConvTranspose  every input: likewise
 *     ConvChain   each of its convolutions, at the output's length
 *     MatMul, Gemm  every output: the inner dimension
 *     InverseSTFT   every real and imaginary part: a frame of samples
 *     LSTM, GRU, RNN  every step: all of W and R */
#include "graph/internal.h"

static double count(const koe_tensor *t)
{
    double n = 1;
    for (int i = 0; t && i < t->n_dim; i++) n *= (double)t->dim[i];
    return t ? n : 0;
}

static double last(const koe_tensor *t, int from_end) { return t && t->n_dim >= from_end ? (double)t->dim[t->n_dim - from_end] : 1; }

static bool begins(const koe_node *node, const char *prefix)
{
    const koe_str p = koe_str_of(prefix);
    return node->op_type.n >= p.n && koe_str_eq(koe_str_sub(node->op_type, 0, p.n), p);
}

static const koe_tensor *constant(const koe_node *node, int i) { return i < node->n_in ? node->in_const[i] : NULL; }

static double chain(const koe_node *node, const koe_tensor *out)
{
    double n = 0;
    for (int i = 1; i < node->n_in; i++)
        if (constant(node, i) && constant(node, i)->n_dim == 3) n += count(constant(node, i)) * last(out, 1) * (out->n_dim == 3 ? (double)out->dim[0] : 1);
    return n;
}

double koe_node_macs(const koe_node *node, const koe_tensor *x, const koe_tensor *y, const koe_tensor *out)
{
    const bool quantised = begins(node, "QLinear");
    const koe_tensor *w = quantised ? constant(node, 3) : y;
    if (!out || !x) return 0;
    if (begins(node, "ConvChain")) return chain(node, out);
    if (begins(node, "ConvTranspose")) return w && w->n_dim > 1 && w->dim[0] ? count(x) * count(w) / (double)w->dim[0] : 0;
    if (begins(node, "Conv") || begins(node, "FusedConv") || begins(node, "QLinearConv") || begins(node, "NhwcFusedConv"))
        return w && w->n_dim > 1 && w->dim[0] ? count(out) * count(w) / (double)w->dim[0] : 0;
    if (begins(node, "InverseSTFT")) return count(x) * (y ? 2 : 1) * last(constant(node, 2), 1);
    if (begins(node, "Gemm")) return count(out) * (koe_node_int(node, "transA", 0) ? last(x, 2) : last(x, 1));
    if (begins(node, "MatMul") || begins(node, "FusedMatMul") || begins(node, "QLinearMatMul") || begins(node, "DynamicQuantizeMatMul"))
        return count(out) * (koe_node_int(node, "transA", 0) ? last(x, 2) : last(x, 1));
    if (begins(node, "LSTM") || begins(node, "GRU") || begins(node, "RNN") || begins(node, "DynamicQuantizeLSTM"))
        return x->n_dim == 3 ? (double)x->dim[0] * (double)x->dim[1] * (count(y) + count(constant(node, 2))) : 0;
    return 0;
}
