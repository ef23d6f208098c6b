/* pass_matmul.c - what stands behind a product with constant weights is done while the product is in cache.
 *
 *     x ─► MatMul(w) ─► Add(bias) ─► [Add(z)] ─► [Relu | Tanh | Gelu | ...] ─► [Mul(s) | Div(s)] ─►
 *     x, z ─► MatMul(w, bias, z) ─►                  activation(x w + bias + z) * scale, once for each tensor
 *
 * Likewise MatMulBytes, a product with weights of 8 bits that an earlier pass has made. */
#include "graph/pass.h"

enum { X, W, B, Z, N_PLAIN, W_SCALE = N_PLAIN, W_ZERO, N_IN }; /* the last two: of MatMulBytes, where they are given from the beginning */

static bool has_bytes(const koe_node *n) { return koe_pass_is_op(n, "koe", "MatMulBytes"); }

/* A product with constant weights of two dimensions, or what this pass has made of one. */
static koe_node *inner_product(const koe_pass *p, int slot)
{
    koe_node *n = slot >= 0 && slot < p->n_slot && p->n_reads[slot] == 1 ? p->producer[slot] : NULL;
    if (koe_pass_is_op(n, "koe", "MatMul") || has_bytes(n)) return n;
    const koe_tensor *w = koe_pass_is_op(n, "", "MatMul") && n->n_in == 2 ? koe_pass_constant(p, n->in[W]) : NULL;
    return w && w->n_dim == 2 && (w->dtype == KOE_DTYPE_F32 || koe_dtype_is_half(w->dtype)) && koe_pass_is_float(p, n->in[X]) ? n : NULL;
}

/* May something still be put behind it? Not behind a scale; behind an activation only a scale. */
static bool is_open(const koe_node *n) { return !koe_node_attr(n, "scale") && !koe_node_attr(n, "activation"); }

static koe_status become(koe_pass *p, koe_node *node, const koe_node *product, const int *in, koe_error *err)
{
    const bool ours = koe_str_is(product->domain, "koe"), bytes = has_bytes(product);
    const koe_status st = koe_pass_take_over(p, node, product, bytes ? "MatMulBytes" : "MatMul", in, bytes ? N_IN : N_PLAIN, err);
    if (!ours) node->n_attr = 0; /* ONNX's MatMul has none that mean anything */
    return st;
}

static void inputs(const koe_node *n, int *in)
{
    for (int i = 0; i < N_IN; i++) in[i] = i < n->n_in ? n->in[i] : -1;
}

/* One number for each column. */
static bool is_bias(const koe_pass *p, int slot, const koe_node *product)
{
    const koe_tensor *t = koe_pass_constant(p, slot), *weights = koe_pass_constant(p, product->in[W]);
    if (!t || t->n_dim != 1 || t->dim[0] != weights->dim[koe_node_int(product, "transB", 0) ? 0 : 1]) return false;
    return t->dtype == (has_bytes(product) ? KOE_DTYPE_F32 : weights->dtype);
}

/* The product's own shape. */
static bool is_residual(const koe_pass *p, int slot, int product)
{
    koe_shape a, b;
    if (koe_pass_constant(p, slot) || !koe_pass_is_float(p, slot)) return false;
    if (!koe_shape_of(p->shapes, slot, &a) || !koe_shape_of(p->shapes, product, &b) || a.n_dim != b.n_dim || a.n_dim < 2) return false;
    for (int i = 0; i < a.n_dim; i++)
        if (!koe_dim_same(a.dim[i], b.dim[i])) return false;
    return true;
}

static koe_status take_sum(koe_pass *p, koe_node *add, koe_error *err)
{
    for (int side = 1; side >= 0; side--) {
        const int other = add->in[1 - side];
        const koe_node *product = inner_product(p, add->in[side]);
        int in[N_IN];
        if (!product || !is_open(product)) continue;
        inputs(product, in);
        if (in[B] < 0 && in[Z] < 0 && is_bias(p, other, product)) in[B] = other;
        else if (in[Z] < 0 && is_residual(p, other, add->in[side])) in[Z] = other;
        else continue;
        return become(p, add, product, in, err);
    }
    return KOE_OK;
}

static koe_status take_scale(koe_pass *p, koe_node *node, koe_error *err)
{
    const bool div = koe_pass_is_op(node, "", "Div");
    for (int side = 0; side < (div ? 1 : 2); side++) {
        const koe_node *product = inner_product(p, node->in[side]);
        const koe_tensor *t = koe_pass_constant(p, node->in[1 - side]);
        float s;
        int in[N_IN];
        if (!product || koe_node_attr(product, "scale") || !koe_pass_scalar(p, node->in[1 - side], &s) || t->n_dim > 1) continue;
        inputs(product, in);
        koe_status st = become(p, node, product, in, err);
        return st == KOE_OK ? koe_pass_set_float(p, node, "scale", div ? 1 / s : s, err) : st;
    }
    return KOE_OK;
}

/* The epilogue's name of an activation, or NULL. */
static const char *activation_of(const koe_node *n)
{
    static const char *const plain[] = { "Relu", "LeakyRelu", "Tanh", "Sigmoid" };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (koe_pass_is_op(n, "", plain[i])) return plain[i];
    if (koe_pass_is_op(n, "koe", "Silu")) return "Silu";
    if (!koe_pass_is_op(n, "koe", "Gelu") && !koe_pass_is_op(n, "", "Gelu")) return NULL;
    return koe_str_is(koe_node_str(n, "approximate", "none"), "tanh") ? "GeluTanh" : "Gelu";
}

static koe_status take_activation(koe_pass *p, koe_node *act, koe_error *err)
{
    const char *name = activation_of(act);
    const koe_node *product = name ? inner_product(p, act->in[0]) : NULL;
    int in[N_IN];
    if (!product || !is_open(product)) return KOE_OK;
    const float alpha = koe_node_float(act, "alpha", 0.01f);
    inputs(product, in);
    koe_status st = become(p, act, product, in, err);
    if (st == KOE_OK) st = koe_pass_set_str(p, act, "activation", name, err);
    return st == KOE_OK ? koe_pass_set_float(p, act, "activation_alpha", alpha, err) : st;
}

koe_status koe_pass_matmul(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++) {
        koe_node *n = p->plan->node[i];
        if (koe_pass_is_op(n, "", "Add")) st = take_sum(p, n, err);
        else if (koe_pass_is_op(n, "", "Div") || koe_pass_is_op(n, "", "Mul")) st = take_scale(p, n, err);
        else st = take_activation(p, n, err);
    }
    return st;
}
