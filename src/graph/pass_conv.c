/* pass_conv.c - what stands around a convolution becomes part of it: the activation in front is applied while the input is packed, the
 * sum behind while the output is in cache. A generator's residual block then reads and writes each tensor once.
 *
 *     x ─► [AdaIN] [Snake | LeakyRelu] ─► Conv ─► [Add(z)] ─► [Div(s) | Mul(s)] ─► [Relu | LeakyRelu | Tanh | Sigmoid]
 *     x, z ─► Conv(scale, shift, a, r) ─►           with (scale, shift) = AdaINStyle(x) when there is a norm
 *
 * A second Add(z2), such as the sum over residual blocks, is taken too. A LeakyRelu that several convolutions read is computed by each:
 * that costs less than a tensor in memory.
 */
#include "graph/pass.h"

enum { X, W, B, Z, SCALE, SHIFT, ALPHA, R, W_SCALE, W_ZERO, Z2, N_IN };

/* With constant weights, and not in double precision, which has no fused form. */
static bool is_conv(const koe_pass *p, const koe_node *n)
{
    const koe_tensor *w = koe_pass_is_op(n, "", "Conv") || koe_pass_is_op(n, "", "ConvTranspose") ? koe_pass_constant(p, n->in[W]) : NULL;
    return w && w->dtype != KOE_DTYPE_F64;
}

/* A convolution that this pass, or the pass `dynamic`, has already made koe's own. */
static bool is_ours(const koe_node *n) { return koe_pass_is_op(n, "koe", "Conv") || koe_pass_is_op(n, "koe", "ConvTranspose"); }

/* `node` becomes koe's form of the convolution `conv` (often the same node) with inputs in[N_IN]. */
static koe_status become(koe_pass *p, koe_node *node, const koe_node *conv, const int *in, koe_error *err)
{
    return koe_pass_take_over(p, node, conv, koe_str_is(conv->op_type, "Conv") ? "Conv" : "ConvTranspose", in, N_IN, err);
}

static void inputs(const koe_node *conv, int *in)
{
    for (int i = 0; i < N_IN; i++) in[i] = i < conv->n_in ? conv->in[i] : -1;
}

/* x behind a norm: x's own AdaINStyle node takes the norm's place; in[SCALE], in[SHIFT] are its outputs. */
static koe_status take_norm(koe_pass *p, koe_node *norm, int *in, koe_error *err)
{
    const koe_node was = *norm;
    int *out = koe_arena_array(&p->s->arena, 2, sizeof *out);
    if (!out) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    out[0] = koe_graph_add_slot(p->s, KOE_STR(""), p->plan->id);
    out[1] = koe_graph_add_slot(p->s, KOE_STR(""), p->plan->id);
    if (out[1] < 0) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    koe_status st = koe_pass_replace(p, norm, "AdaINStyle", was.in, 5, err);
    if (st == KOE_OK) st = koe_pass_set_float(p, norm, "epsilon", koe_node_float(&was, "epsilon", 1e-5f), err);
    norm->out = out;
    norm->n_out = 2;
    if (p->s->n_out_max < 2) p->s->n_out_max = 2;
    in[X] = was.in[0];
    in[SCALE] = out[0];
    in[SHIFT] = out[1];
    in[ALPHA] = was.n_in == 7 ? was.in[5] : -1;
    in[R] = was.n_in == 7 ? was.in[6] : -1;
    return st;
}

/* Do convolutions that can still take a prologue read the value, as their input, and nobody else? */
static bool only_convs_read(const koe_pass *p, int slot)
{
    int n = 0;
    for (int i = 0; i < p->plan->n_node; i++)
        if (is_conv(p, p->plan->node[i]) && p->plan->node[i]->in[X] == slot) n++;
    return n == p->n_reads[slot];
}

static koe_status take_prologue(koe_pass *p, koe_node *conv, koe_error *err)
{
    int in[N_IN], x = conv->in[0];
    koe_node *before = x >= 0 && x < p->n_slot ? p->producer[x] : NULL;
    if (before && p->n_reads[x] != 1 && !(koe_pass_is_op(before, "", "LeakyRelu") && only_convs_read(p, x))) before = NULL;
    float slope = 1;
    bool leaky = false;
    if (koe_node_attr(conv, "x_scale")) return KOE_OK; /* it rounds x first */
    inputs(conv, in);
    koe_status st = KOE_OK;
    if (koe_pass_is_op(before, "", "LeakyRelu")) {
        in[X] = before->in[0];
        leaky = true;
        slope = koe_node_float(before, "alpha", 0.01f);
    } else if (koe_pass_is_op(before, "koe", "Snake")) {
        memcpy(in + ALPHA, before->in + 1, 2 * sizeof *in);
        in[X] = before->in[0];
    } else if (koe_pass_is_op(before, "koe", "AdaIN")) {
        leaky = koe_node_attr(before, "leaky") != NULL;
        slope = koe_node_float(before, "leaky", 1);
        st = take_norm(p, before, in, err);
    } else
        return KOE_OK;
    if (st == KOE_OK) p->n_reads[x]--;
    if (st == KOE_OK) st = become(p, conv, conv, in, err);
    if (st == KOE_OK && leaky) st = koe_pass_set_float(p, conv, "leaky", slope, err);
    return st;
}

/* The convolution that computes `slot` for its only reader, or NULL. */
static koe_node *inner_conv(const koe_pass *p, int slot)
{
    koe_node *n = slot >= 0 && slot < p->n_slot && p->n_reads[slot] == 1 ? p->producer[slot] : NULL;
    return is_conv(p, n) || is_ours(n) ? n : NULL;
}

/* May something still be put behind it? Not behind a scale or an activation. */
static bool is_open(const koe_node *conv) { return !koe_node_attr(conv, "scale") && !koe_node_attr(conv, "activation"); }

static koe_status take_sum(koe_pass *p, koe_node *add, koe_error *err)
{
    for (int side = 1; side >= 0; side--) { /* of two convolutions the later one: the second operand as a rule */
        koe_node *conv = inner_conv(p, add->in[side]);
        if (!conv || !koe_str_is(conv->op_type, "Conv") || !is_open(conv)) continue;
        int in[N_IN];
        inputs(conv, in);
        if (in[Z] >= 0 && in[Z2] >= 0) continue;
        in[in[Z] < 0 ? Z : Z2] = add->in[1 - side];
        return become(p, add, conv, in, err);
    }
    return KOE_OK;
}

static koe_status take_scale(koe_pass *p, koe_node *node, koe_error *err)
{
    const bool div = koe_pass_is_op(node, "", "Div");
    for (int side = 0; side < (div ? 1 : 2); side++) {
        koe_node *conv = inner_conv(p, node->in[side]);
        const koe_tensor *t = koe_pass_constant(p, node->in[1 - side]);
        if (!conv || !is_open(conv) || !t || t->dtype != KOE_DTYPE_F32 || koe_tensor_count(t) != 1 || t->n_dim > 1) continue;
        int in[N_IN];
        const float s = *(const float *)t->data;
        inputs(conv, in);
        koe_status st = become(p, node, conv, in, err);
        return st == KOE_OK ? koe_pass_set_float(p, node, "scale", div ? 1 / s : s, err) : st;
    }
    return KOE_OK;
}

static koe_status take_activation(koe_pass *p, koe_node *act, koe_error *err)
{
    static const char *const known[] = { "Relu", "LeakyRelu", "Tanh", "Sigmoid" };
    const char *name = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (koe_pass_is_op(act, "", known[i])) name = known[i];
    koe_node *conv = name ? inner_conv(p, act->in[0]) : NULL;
    if (!conv || !is_open(conv)) return KOE_OK;
    int in[N_IN];
    inputs(conv, in);
    const float alpha = koe_node_float(act, "alpha", 0.01f);
    koe_status st = become(p, act, conv, in, err);
    return st == KOE_OK ? koe_pass_set_activation(p, act, name, alpha, err) : st;
}

koe_status koe_pass_conv(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (is_conv(p, p->plan->node[i]) || is_ours(p->plan->node[i])) st = take_prologue(p, p->plan->node[i], err);
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++) {
        koe_node *n = p->plan->node[i];
        if (koe_pass_is_op(n, "", "Add")) st = take_sum(p, n, err);
        else if (koe_pass_is_op(n, "", "Div") || koe_pass_is_op(n, "", "Mul")) st = take_scale(p, n, err);
        else st = take_activation(p, n, err);
    }
    return st;
}
