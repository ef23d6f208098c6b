/* pass_attention.c - attention over heads, which exporters write as products, transposes and a softmax over all scores at once.
 *
 *     q ─► Reshape(B, T, H, D) ─► Transpose(0, 2, 1, 3) ───► MatMul ─► Div(s) ─► [Add(mask)] ─► Softmax ─► MatMul ─► Transpose ─► Reshape ─►
 *     k ─► Reshape ─► Transpose(0, 2, 3, 1) ──────────────────┘                                            │
 *     v ─► Reshape ─► Transpose(0, 2, 1, 3) ───────────────────────────────────────────────────────────────┘
 *     q, k, v, mask ─► Attention(H heads) ─►        by head and block of queries: the scores never leave the cache
 *
 * A mask must be known to cover every key. What is not of this form keeps its parts. */
#include "graph/pass.h"

static bool has_perm(const koe_node *transpose, int64_t a, int64_t b, int64_t c)
{
    const int64_t *perm;
    return transpose && koe_node_ints(transpose, "perm", &perm) == 4 && perm[0] == 0 && perm[1] == a && perm[2] == b && perm[3] == c;
}

/* Number of heads of a value [B, T, H * D] seen as [B, T, H, D]; 0 when it is nothing of the kind. */
static int64_t heads_of(const koe_pass *p, int flat, int split)
{
    koe_shape x, y;
    if (!koe_shape_of(p->shapes, flat, &x) || !koe_shape_of(p->shapes, split, &y) || x.n_dim != 3 || y.n_dim != 4) return 0;
    if (!koe_dim_same(x.dim[0], y.dim[0]) || !koe_dim_same(x.dim[1], y.dim[1]) || x.dim[2].symbol || y.dim[2].symbol || y.dim[3].symbol) return 0;
    return y.dim[2].v > 0 && y.dim[3].v > 0 && x.dim[2].v / y.dim[2].v == y.dim[3].v && x.dim[2].v % y.dim[2].v == 0 ? y.dim[2].v : 0;
}

/* The value that `slot`, heads first, was before it was split and turned by this permutation; -1. */
static int unsplit(const koe_pass *p, int slot, int64_t a, int64_t b, int64_t c, int64_t *heads)
{
    const koe_node *turn = koe_pass_producer(p, slot, "Transpose"), *split = has_perm(turn, a, b, c) ? koe_pass_producer(p, turn->in[0], "Reshape") : NULL;
    *heads = split ? heads_of(p, split->in[0], turn->in[0]) : 0;
    return *heads ? split->in[0] : -1;
}

/* x / s or x * s with a number s that only this reads: x, and *scale multiplied by it; else the slot itself. */
static int unscale(const koe_pass *p, int slot, float *scale)
{
    const koe_node *div = koe_pass_inner(p, slot, "Div"), *mul = koe_pass_inner(p, slot, "Mul");
    float s;
    if (div && koe_pass_scalar(p, div->in[1], &s) && koe_pass_constant(p, div->in[1])->n_dim <= 4) return *scale /= s, div->in[0];
    for (int i = 0; mul && i < 2; i++)
        if (koe_pass_scalar(p, mul->in[i], &s) && koe_pass_constant(p, mul->in[i])->n_dim <= 4) return *scale *= s, mul->in[1 - i];
    return slot;
}

/* Does it broadcast to the scores [B, H, T, K], with all K keys? */
static bool is_mask(const koe_pass *p, int slot, int scores)
{
    koe_shape m, s;
    if (!koe_shape_of(p->shapes, slot, &m) || !koe_shape_of(p->shapes, scores, &s) || m.n_dim < 2 || m.n_dim > 4 || s.n_dim != 4) return false;
    for (int i = 0; i < m.n_dim; i++) {
        const koe_dim d = m.dim[i], want = s.dim[i + 4 - m.n_dim];
        if (!koe_dim_same(d, want) && (i == m.n_dim - 1 || !koe_dim_is(d, 1))) return false;
    }
    return koe_pass_is_float(p, slot);
}

static koe_status take(koe_pass *p, koe_node *join, koe_error *err)
{
    const koe_node *back = koe_pass_inner(p, join->in[0], "Transpose"), *sum = has_perm(back, 2, 1, 3) ? koe_pass_inner(p, back->in[0], "MatMul") : NULL;
    const koe_node *softmax = sum ? koe_pass_inner(p, sum->in[0], "Softmax") : NULL;
    int64_t h[4];
    if (!softmax || softmax->opset < 13) return KOE_OK;
    const int64_t axis = koe_node_int(softmax, "axis", -1);
    if (axis != -1 && axis != 3) return KOE_OK;
    float scale = 1;
    int scores = softmax->in[0], mask = -1;
    const koe_node *add = koe_pass_inner(p, scores, "Add");
    for (int i = 0; add && mask < 0 && i < 2; i++)
        if (is_mask(p, add->in[1 - i], add->out[0])) {
            mask = add->in[1 - i];
            scores = add->in[i];
        }
    const koe_node *product = koe_pass_inner(p, unscale(p, scores, &scale), "MatMul");
    if (!product) return KOE_OK;
    const int q = unsplit(p, unscale(p, product->in[0], &scale), 2, 1, 3, &h[0]), k = unsplit(p, unscale(p, product->in[1], &scale), 2, 3, 1, &h[1]);
    const int v = unsplit(p, sum->in[1], 2, 1, 3, &h[2]);
    h[3] = heads_of(p, join->out[0], back->out[0]);
    if (q < 0 || k < 0 || v < 0 || h[0] != h[1] || h[0] != h[2] || h[0] != h[3] || !koe_pass_is_float(p, q)) return KOE_OK;
    koe_status st = koe_pass_replace(p, join, "Attention", (int[]){ q, k, v, mask }, mask < 0 ? 3 : 4, err);
    if (st == KOE_OK) st = koe_pass_set_int(p, join, "q_num_heads", h[0], err);
    if (st == KOE_OK) st = koe_pass_set_int(p, join, "kv_num_heads", h[0], err);
    return st == KOE_OK ? koe_pass_set_float(p, join, "scale", scale, err) : st;
}

koe_status koe_pass_attention(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (koe_pass_is_op(p->plan->node[i], "", "Reshape")) st = take(p, p->plan->node[i], err);
    return st;
}
