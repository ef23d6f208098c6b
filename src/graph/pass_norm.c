/* pass_norm.c - layer norm as exporters without the operator write it, and over channels instead of the last dimension.
 *
 *     x ─► ReduceMean ─► Sub(x, .) ─┬─► Pow(2) ─► ReduceMean ─► Add(eps) ─► Sqrt ─► Div ─► Mul(g) ─► Add(b) ─►
 *                                   └───────────────────────────────────────────────┘
 *     x ─► LayerNormalization(g, b) ─►
 *
 *     x ─► Transpose(0, 2, 1) ─► LayerNormalization(g, b) ─► Transpose(0, 2, 1) ─►          x ─► ChannelNorm(g, b) ─►
 *
 * and instance norm as a group norm of one channel each:
 *
 *     x ─► Reshape(0, C, -1) ─► InstanceNormalization(1, 0) ─► Reshape(shape of x) ─►       x ─► InstanceNormalization(1, 0) ─► */
#include "graph/pass.h"

static bool is_unary_axes(const koe_pass *p, const koe_node *reduce, int last)
{
    const int64_t *axes;
    koe_values list;
    const size_t n = koe_node_ints(reduce, "axes", &axes);
    if (!koe_node_int(reduce, "keepdims", 1)) return false;
    if (axes) return n == 1 && (axes[0] == -1 || (last > 0 && axes[0] == last));
    return koe_values_of(p->shapes, reduce->in[1], &list) && list.n == 1 && (koe_dim_is(list.v[0], -1) || (last > 0 && koe_dim_is(list.v[0], last)));
}

/* The square of slot `d`: Pow(d, 2) or Mul(d, d). */
static bool is_square(const koe_pass *p, int slot, int d)
{
    const koe_node *pow = koe_pass_inner(p, slot, "Pow"), *mul = koe_pass_inner(p, slot, "Mul");
    return (pow && pow->in[0] == d && koe_pass_is_scalar(p, pow->in[1], 2)) || (mul && mul->in[0] == d && mul->in[1] == d);
}

typedef struct norm {
    int x, scale, bias;
    float epsilon;
} norm;

/* Div(d, Sqrt(mean of squares of d + eps)), d = x - mean of x. */
static bool match_unit(const koe_pass *p, const koe_node *div, norm *m)
{
    const koe_node *sqrt = koe_pass_inner(p, div->in[1], "Sqrt"), *sum = sqrt ? koe_pass_inner(p, sqrt->in[0], "Add") : NULL;
    for (int i = 0; sum && i < 2; i++) {
        const koe_node *var = koe_pass_inner(p, sum->in[i], "ReduceMean"), *sub = koe_pass_producer(p, div->in[0], "Sub");
        if (!var || !sub || !koe_pass_scalar(p, sum->in[1 - i], &m->epsilon) || !is_square(p, var->in[0], div->in[0])) continue;
        const koe_node *mean = koe_pass_inner(p, sub->in[1], "ReduceMean");
        koe_shape x;
        if (!mean || mean->in[0] != sub->in[0] || !koe_pass_is_float(p, sub->in[0])) continue;
        if (p->n_reads[div->in[0]] != (koe_pass_inner(p, var->in[0], "Pow") ? 2 : 3)) continue; /* the square's, and the division's */
        const int last = koe_shape_of(p->shapes, sub->in[0], &x) ? x.n_dim - 1 : 0;
        if (!is_unary_axes(p, var, last) || !is_unary_axes(p, mean, last)) continue;
        m->x = sub->in[0];
        return true;
    }
    return false;
}

/* One number for each element of x's last dimension, whose length must be known. */
static bool is_row(const koe_pass *p, int slot, int x)
{
    const koe_tensor *t = koe_pass_constant(p, slot);
    koe_shape shape;
    if (!t || t->n_dim != 1 || !koe_shape_of(p->shapes, x, &shape) || shape.n_dim < 2) return false;
    return koe_dim_is(shape.dim[shape.n_dim - 1], t->dim[0]);
}

static koe_status take_decomposed(koe_pass *p, koe_node *add, koe_error *err)
{
    for (int i = 0; i < 2; i++) {
        const koe_node *mul = koe_pass_inner(p, add->in[i], "Mul");
        for (int k = 0; mul && k < 2; k++) {
            const koe_node *div = koe_pass_inner(p, mul->in[k], "Div");
            norm m = { .scale = mul->in[1 - k], .bias = add->in[1 - i] };
            if (!div || !match_unit(p, div, &m) || !is_row(p, m.scale, m.x) || !is_row(p, m.bias, m.x)) continue;
            koe_status st = koe_pass_replace(p, add, "LayerNormalization", (int[]){ m.x, m.scale, m.bias }, 3, err);
            return st == KOE_OK ? koe_pass_set_float(p, add, "epsilon", m.epsilon, err) : st;
        }
    }
    return KOE_OK;
}

static bool is_swap(const koe_node *transpose)
{
    const int64_t *perm;
    return transpose && koe_node_ints(transpose, "perm", &perm) == 3 && perm[0] == 0 && perm[1] == 2 && perm[2] == 1;
}

static koe_status take_transposed(koe_pass *p, koe_node *out, koe_error *err)
{
    const int slot = out->in[0];
    const koe_node *ln = slot >= 0 && slot < p->n_slot && p->n_reads[slot] == 1 ? p->producer[slot] : NULL;
    if (!is_swap(out) || !ln || !koe_str_is(ln->op_type, "LayerNormalization") || ln->n_in != 3 || ln->n_out != 1) return KOE_OK;
    if (koe_node_int(ln, "axis", -1) != -1) return KOE_OK;
    const koe_node *in = koe_pass_producer(p, ln->in[0], "Transpose");
    const int n_reads = koe_str_is(ln->domain, "koe") ? 2 : 1; /* the mean's and the difference's, before they became one */
    if (!is_swap(in) || p->n_reads[ln->in[0]] != n_reads || !koe_pass_is_float(p, in->in[0]) || !is_row(p, ln->in[1], ln->in[0]) || !is_row(p, ln->in[2], ln->in[0])) return KOE_OK;
    const float epsilon = koe_node_float(ln, "epsilon", 1e-5f);
    koe_status st = koe_pass_replace(p, out, "ChannelNorm", (int[]){ in->in[0], ln->in[1], ln->in[2] }, 3, err);
    return st == KOE_OK ? koe_pass_set_float(p, out, "epsilon", epsilon, err) : st;
}

static bool same_shape(const koe_shape *a, const koe_shape *b)
{
    bool same = a->n_dim == b->n_dim;
    for (int i = 0; same && i < a->n_dim; i++) same = koe_dim_same(a->dim[i], b->dim[i]);
    return same;
}

static koe_status take_reshaped(koe_pass *p, koe_node *out, koe_error *err)
{
    const koe_node *inner = koe_pass_inner(p, out->in[0], "InstanceNormalization");
    const koe_node *in = inner ? koe_pass_inner(p, inner->in[0], "Reshape") : NULL;
    koe_shape x, y, rows;
    if (!in || !koe_shape_of(p->shapes, in->in[0], &x) || !koe_shape_of(p->shapes, out->out[0], &y) || !koe_shape_of(p->shapes, inner->in[0], &rows))
        return KOE_OK;
    if (!same_shape(&x, &y) || x.n_dim < 3 || rows.n_dim != 3 || !koe_dim_same(x.dim[0], rows.dim[0]) || !koe_dim_same(x.dim[1], rows.dim[1]))
        return KOE_OK;
    const koe_node was = *inner;
    out->op = was.op;
    out->op_type = was.op_type;
    out->opset = was.opset;
    out->attr = was.attr;
    out->n_attr = was.n_attr;
    out->in = koe_graph_slots(p->s, 3);
    if (!out->in) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    memcpy(out->in, (int[]){ in->in[0], was.in[1], was.in[2] }, 3 * sizeof *out->in);
    out->n_in = 3;
    if (p->s->n_in_max < 3) p->s->n_in_max = 3;
    p->n_done++;
    return KOE_OK;
}

koe_status koe_pass_norm(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++) {
        koe_node *node = p->plan->node[i];
        if (koe_pass_is_op(node, "", "Add")) st = take_decomposed(p, node, err);
        else if (koe_pass_is_op(node, "", "Transpose")) st = take_transposed(p, node, err);
        else if (koe_pass_is_op(node, "", "Reshape")) st = take_reshaped(p, node, err);
    }
    return st;
}
