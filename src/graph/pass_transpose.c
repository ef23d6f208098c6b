/* pass_transpose.c - transposes that follow each other are one, and those that move no elements are none.
 *
 *     x ─► Transpose(p) ─► Transpose(q) ─►             x ─► Transpose(p[q]) ─►
 *     x [T, 2, 1, 256] ─► Transpose(0, 2, 1, 3) ─►     x ─► Reshape(-1, 1, 2, 256) ─►        a view: only a dimension of 1 has moved */
#include "graph/pass.h"

/* The permutation of a Transpose of n dimensions; false when it is none. */
static bool read_perm(const koe_node *node, int n, int64_t *perm)
{
    const int64_t *list;
    const size_t n_list = koe_node_ints(node, "perm", &list);
    bool seen[KOE_MAX_DIM] = { false };
    if (n_list && n_list != (size_t)n) return false;
    for (int i = 0; i < n; i++) {
        perm[i] = n_list ? list[i] : n - 1 - i;
        if (perm[i] < 0 || perm[i] >= n || seen[perm[i]]) return false;
        seen[perm[i]] = true;
    }
    return true;
}

/* Are the dimensions that are not 1 in their old order? */
static bool keeps_order(const koe_shape *x, const int64_t *perm)
{
    int64_t last = -1;
    for (int i = 0; i < x->n_dim; i++) {
        if (koe_dim_is(x->dim[perm[i]], 1)) continue;
        if (perm[i] < last) return false;
        last = perm[i];
    }
    return true;
}

/* `node` becomes a Reshape of slot x to its own shape, of which one dimension may be unknown. */
static koe_status reshape(koe_pass *p, koe_node *node, int x, const koe_shape *from, const int64_t *perm, koe_error *err)
{
    int unknown = 0;
    for (int i = 0; i < from->n_dim; i++) unknown += from->dim[i].symbol != 0;
    for (int i = 0; i < from->n_dim; i++)
        if (unknown > 1 || koe_dim_is(from->dim[i], 0)) return KOE_OK;
    int64_t *to = koe_arena_array(&p->s->arena, (size_t)from->n_dim, sizeof *to);
    int *in = koe_graph_slots(p->s, 2);
    const int slot = koe_graph_add_slot(p->s, KOE_STR(""), 0);
    if (!to || !in || slot < 0) return koe_fail(err, KOE_E_NOMEM, "a view");
    for (int i = 0; i < from->n_dim; i++) to[i] = from->dim[perm[i]].symbol ? -1 : from->dim[perm[i]].v;
    p->s->slot[slot].constant =
        (koe_value){ .kind = KOE_VALUE_TENSOR, .t = { .dtype = KOE_DTYPE_I64, .n_dim = 1, .dim = { from->n_dim }, .data = to } };
    in[0] = x;
    in[1] = slot;
    node->op_type = KOE_STR("Reshape");
    node->op = koe_op_find(node->domain, node->op_type, node->opset);
    if (!node->op) return koe_fail(err, KOE_E_UNSUPPORTED, "Reshape is missing");
    node->in = in;
    node->n_in = 2;
    node->attr = NULL;
    node->n_attr = 0;
    if (p->s->n_in_max < 2) p->s->n_in_max = 2;
    p->n_done++;
    return KOE_OK;
}

static koe_status take(koe_pass *p, koe_node *node, koe_error *err)
{
    koe_shape x, inner_x;
    int64_t perm[KOE_MAX_DIM], inner[KOE_MAX_DIM];
    int from = node->in[0];
    if (!koe_shape_of(p->shapes, from, &x) || x.n_dim < 1 || !read_perm(node, x.n_dim, perm) || node->opset < 5) return KOE_OK;
    const koe_node *before = koe_pass_producer(p, from, "Transpose");
    const bool follows = before && koe_shape_of(p->shapes, before->in[0], &inner_x) && inner_x.n_dim == x.n_dim && read_perm(before, x.n_dim, inner);
    if (follows) {
        for (int i = 0; i < x.n_dim; i++) perm[i] = inner[perm[i]];
        from = before->in[0];
        x = inner_x;
    }
    if (keeps_order(&x, perm)) {
        const int n_done = p->n_done;
        koe_status st = reshape(p, node, from, &x, perm, err);
        if (st != KOE_OK || p->n_done > n_done) return st;
    }
    if (!follows) return KOE_OK;
    int *in = koe_graph_slots(p->s, 1);
    if (!in) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    in[0] = from;
    node->in = in;
    node->attr = NULL;
    node->n_attr = 0;
    p->n_done++;
    return koe_pass_set_ints(p, node, "perm", perm, (size_t)x.n_dim, err);
}

koe_status koe_pass_transpose(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (koe_pass_is_op(p->plan->node[i], "", "Transpose")) st = take(p, p->plan->node[i], err);
    return st;
}
