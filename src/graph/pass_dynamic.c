/* pass_dynamic.c - dynamic quantisation, as files with 8-bit weights have it, is a convolution or a product with 8-bit weights.
 *
 *     x ─► DynamicQuantizeLinear ─► ConvInteger(wq, wz) ─► Cast ─► Mul ─► [Add(bias)] ─►
 *                   └─ scale ─► Mul(ws) ─────────────────────────────┘
 *     x ─► Conv(wq, bias, ws, wz) ─►
 *
 *     x ─► DynamicQuantizeLinear ─► MatMulInteger(wq, wz) ─► Cast ─► Mul ─►         several products may share the one rounding
 *                   └─ scale ─► Mul(ws) ───────────────────────────────┘
 *     x ─► MatMulBytes(wq, ws, wz) ─►
 *
 * What such a file means is the float convolution with the weights (wq - wz) * ws; that its input is rounded to 256 steps over the whole
 * tensor is its way to get there. The fused operators are nearer to the meaning: they round each piece of time, or each row, by itself, or,
 * on a machine without fast 8-bit products, not at all. The passes that follow see an ordinary convolution or product. */
#include "graph/pass.h"

enum { X, W, B, W_SCALE = 8, W_ZERO, N_IN }; /* of Conv */
enum { PRODUCT_SCALE = 4, PRODUCT_ZERO, N_PRODUCT_IN }; /* of MatMulBytes */

static bool is_byte(koe_dtype d) { return d == KOE_DTYPE_U8 || d == KOE_DTYPE_I8; }

/* One number, or one for each output channel of w: [M], or [M,1,...] as it broadcasts to the output. */
static bool is_per_channel(const koe_tensor *t, const koe_tensor *w, bool plain)
{
    const size_t n = koe_tensor_count(t);
    if (n == 1) return t->n_dim <= w->n_dim;
    if (n != (size_t)w->dim[0]) return false;
    if (plain && t->n_dim == 1) return true;
    const int axis = t->n_dim - (w->n_dim - 1);
    return axis >= 0 && axis <= 1 && t->dim[axis] == w->dim[0];
}

/* One number, or one for each column of w [k,n] as it broadcasts to rows. */
static bool is_per_column(const koe_tensor *t, const koe_tensor *w)
{
    return t->n_dim <= 1 && (koe_tensor_count(t) == 1 || koe_tensor_count(t) == (size_t)w->dim[1]);
}

static bool is_product(const koe_node *n) { return koe_str_is(n->op_type, "MatMulInteger"); }

/* ConvInteger or MatMulInteger of what `quantise` makes, by constant weights in 8 bits. */
static bool matches(const koe_pass *p, const koe_node *conv, const koe_node *quantise)
{
    const koe_tensor *w = koe_pass_constant(p, conv->in[1]);
    const int w_zero = conv->n_in > 3 ? conv->in[3] : -1;
    const koe_tensor *zero = koe_pass_constant(p, w_zero);
    if (!quantise || quantise->n_out < 3 || conv->in[0] != quantise->out[0] || conv->n_in < 3 || conv->in[2] != quantise->out[2]) return false;
    if (!w || !is_byte(w->dtype) || koe_tensor_count(w) == 0) return false;
    if (is_product(conv)) return w->n_dim == 2 && (w_zero < 0 || (zero && zero->dtype == w->dtype && is_per_column(zero, w)));
    return w->n_dim >= 3 && (w_zero < 0 || (zero && zero->dtype == w->dtype && is_per_channel(zero, w, true)));
}

/* The scale of the weights in scale of input * scale of weights, either way round; -1 when it is something else. */
static int weight_scale(const koe_pass *p, const koe_node *scales, const koe_node *quantise, const koe_node *conv)
{
    const koe_tensor *w = koe_pass_constant(p, conv->in[1]);
    for (int i = 0; scales && i < 2; i++) {
        const koe_tensor *s = koe_pass_constant(p, scales->in[i]);
        if (scales->in[1 - i] != quantise->out[1] || !s || s->dtype != KOE_DTYPE_F32) continue;
        if (is_product(conv) ? is_per_column(s, w) : is_per_channel(s, w, false)) return scales->in[i];
    }
    return -1;
}

static koe_status become_product(koe_pass *p, koe_node *node, const koe_node *product, int x, int scale, koe_error *err)
{
    const koe_str name = product->name;
    const int in[N_PRODUCT_IN] = { x, product->in[1], -1, -1, scale, product->n_in > 3 ? product->in[3] : -1 };
    koe_status st = koe_pass_replace(p, node, "MatMulBytes", in, N_PRODUCT_IN, err);
    node->name = name;
    return st == KOE_OK ? koe_pass_set_int(p, node, "dynamic", 1, err) : st;
}

static koe_status take_chain(koe_pass *p, koe_node *mul, koe_error *err)
{
    for (int side = 0; side < 2; side++) {
        const koe_node *cast = koe_pass_inner(p, mul->in[side], "Cast");
        const koe_node *conv = cast && koe_node_int(cast, "to", 0) == KOE_DTYPE_F32 ? koe_pass_inner(p, cast->in[0], "ConvInteger") : NULL;
        if (cast && !conv && koe_node_int(cast, "to", 0) == KOE_DTYPE_F32) conv = koe_pass_inner(p, cast->in[0], "MatMulInteger");
        const koe_node *quantise = conv ? koe_pass_producer(p, conv->in[0], "DynamicQuantizeLinear") : NULL;
        if (!conv || !matches(p, conv, quantise)) continue;
        const int scale = weight_scale(p, koe_pass_producer(p, mul->in[1 - side], "Mul"), quantise, conv);
        if (scale < 0) continue;
        if (is_product(conv)) return become_product(p, mul, conv, quantise->in[0], scale, err);
        int in[N_IN] = { quantise->in[0], conv->in[1], -1, -1, -1, -1, -1, -1, scale, conv->n_in > 3 ? conv->in[3] : -1 };
        return koe_pass_take_over(p, mul, conv, "Conv", in, N_IN, err);
    }
    return KOE_OK;
}

/* The same constant as a list; -1 when there is no memory. By value, as its slot may move when one is added. */
static int flat_slot(koe_pass *p, koe_tensor flat)
{
    const int64_t n = (int64_t)koe_tensor_count(&flat);
    const int slot = koe_graph_add_slot(p->s, KOE_STR(""), p->plan->id);
    flat.n_dim = 1;
    flat.dim[0] = n;
    if (slot >= 0) p->s->slot[slot].constant = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = flat };
    return slot;
}

/* A bias behind one of the convolutions made here: [1,M,1,...] or [M,1,...]. */
static koe_status take_bias(koe_pass *p, koe_node *add, koe_error *err)
{
    for (int side = 0; side < 2; side++) {
        const int x = add->in[side];
        const koe_node *conv = x >= 0 && x < p->n_slot && p->n_reads[x] == 1 ? p->producer[x] : NULL;
        if (!conv || !koe_str_is(conv->domain, "koe") || conv->n_in != N_IN || conv->in[B] >= 0) continue;
        const koe_tensor *w = koe_pass_constant(p, conv->in[W]), *bias = koe_pass_constant(p, add->in[1 - side]);
        if (!bias || bias->dtype != KOE_DTYPE_F32 || koe_tensor_count(bias) != (size_t)w->dim[0] || !is_per_channel(bias, w, false)) continue;
        int in[N_IN];
        memcpy(in, conv->in, sizeof in);
        in[B] = flat_slot(p, *bias);
        return in[B] < 0 ? koe_fail(err, KOE_E_NOMEM, "a fused node") : koe_pass_take_over(p, add, conv, "Conv", in, N_IN, err);
    }
    return KOE_OK;
}

koe_status koe_pass_dynamic(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (p->plan->node[i]->domain.n == 0 && koe_str_is(p->plan->node[i]->op_type, "Mul")) st = take_chain(p, p->plan->node[i], err);
    const int n_chains = p->n_done;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (p->plan->node[i]->domain.n == 0 && koe_str_is(p->plan->node[i]->op_type, "Add")) st = take_bias(p, p->plan->node[i], err);
    p->n_done = n_chains;
    return st;
}
