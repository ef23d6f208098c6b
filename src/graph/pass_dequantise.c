/* pass_dequantise.c - weights that a file keeps in 8 bits, in front of the operator that reads them, stay 8 bits.
 *
 *     wq ─► DequantizeLinear(ws, wz) ─► MatMul(x, .) | Gemm(x, ., bias) | Conv(x, ., bias) ─►
 *     x ─► MatMulBytes(wq, bias, ws, wz) | Conv(wq, bias, ws, wz) ─►
 *
 * The results are those of the widened weights, bit by bit where precision is float32: products widen them panel by panel, convolutions
 * when they pack them, one at a time. The pass `fold`, which runs before, leaves such weights alone; those that turn out to be of no use here
 * are folded in the end. */
#include <stdlib.h>

#include "graph/pass.h"

enum { X, W, B }; /* of MatMul, Gemm and Conv */
enum { PRODUCT_SCALE = 4, PRODUCT_ZERO, N_PRODUCT_IN }; /* of MatMulBytes */
enum { CONV_SCALE = 8, CONV_ZERO, N_CONV_IN }; /* of koe's Conv */

static bool is_byte(koe_dtype d) { return d == KOE_DTYPE_U8 || d == KOE_DTYPE_I8; }

static const koe_tensor *constant(const koe_session *s, int slot)
{
    const koe_value *v = slot >= 0 ? &s->slot[slot].constant : NULL;
    return v && v->kind == KOE_VALUE_TENSOR ? &v->t : NULL;
}

/* ---- which weights are kept ---------------------------------------------------------------------------------------------- */

static bool takes_weights(const koe_node *n)
{
    return n->n_in > W && (koe_pass_is_op(n, "", "MatMul") || koe_pass_is_op(n, "", "Gemm") || koe_pass_is_op(n, "", "Conv"));
}

/* Of constant bytes by a constant scale, to float32; small ones are not worth it. */
static bool is_candidate(const koe_session *s, const koe_node *n)
{
    enum { COUNT_MIN = 1024 };
    if (!koe_pass_is_op(n, "", "DequantizeLinear") || n->n_in < 2 || n->n_out < 1 || n->out[0] < 0 || s->slot[n->out[0]].tap >= 0) return false;
    const koe_tensor *w = constant(s, n->in[0]), *scale = constant(s, n->in[1]), *zero = constant(s, n->n_in > 2 ? n->in[2] : -1);
    if (!w || !is_byte(w->dtype) || w->n_dim < 2 || koe_tensor_count(w) < COUNT_MIN || !scale || scale->dtype != KOE_DTYPE_F32 || scale->n_dim > 1) return false;
    if (n->n_in > 2 && n->in[2] >= 0 && (!zero || zero->dtype != w->dtype || koe_tensor_count(zero) != koe_tensor_count(scale))) return false;
    const int64_t type = koe_node_int(n, "output_dtype", KOE_DTYPE_F32);
    return koe_node_int(n, "block_size", 0) == 0 && (type == KOE_DTYPE_F32 || type == KOE_DTYPE_NONE);
}

static void count_read(void *arg, int slot) { ((int *)arg)[slot]++; }

koe_status koe_pass_keep_weights(koe_session *s, koe_error *err)
{
    const size_t n = (size_t)s->n_slot;
    int *n_reads = calloc(n + 1, sizeof *n_reads), *n_weights = calloc(n + 1, sizeof *n_weights);
    koe_status st = n_reads && n_weights ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "passes");
    for (int i = 0; i < s->plan->n_node && st == KOE_OK; i++) {
        const koe_node *node = s->plan->node[i];
        koe_graph_reads(node, count_read, n_reads);
        if (takes_weights(node) && node->in[W] >= 0) n_weights[node->in[W]]++;
    }
    for (int i = 0; i < s->plan->n_out && st == KOE_OK; i++) n_reads[s->plan->out[i]]++;
    for (int i = 0; i < s->plan->n_node && st == KOE_OK; i++) {
        koe_node *node = s->plan->node[i];
        node->kept = is_candidate(s, node) && n_reads[node->out[0]] > 0 && n_reads[node->out[0]] == n_weights[node->out[0]];
    }
    free(n_reads);
    free(n_weights);
    return st;
}

/* ---- patterns -------------------------------------------------------------------------------------------------------------- */

/* One scale, or one for each index of `axis`. */
static bool is_along(const koe_pass *p, const koe_node *dequantise, int axis)
{
    const koe_tensor *w = koe_pass_constant(p, dequantise->in[0]), *scale = koe_pass_constant(p, dequantise->in[1]);
    if (koe_tensor_count(scale) == 1) return true;
    int64_t given = koe_node_int(dequantise, "axis", 1);
    if (given < 0) given += w->n_dim;
    return given == axis && (int64_t)koe_tensor_count(scale) == w->dim[axis];
}

static int zero_of(const koe_node *dequantise) { return dequantise->n_in > 2 ? dequantise->in[2] : -1; }

static koe_status take_product(koe_pass *p, koe_node *node, const koe_node *weights, koe_error *err)
{
    const bool gemm = koe_str_is(node->op_type, "Gemm"), transposed = gemm && koe_node_int(node, "transB", 0);
    const koe_tensor *w = koe_pass_constant(p, weights->in[0]);
    const int column = transposed ? 0 : 1, bias = gemm && node->n_in > B ? node->in[B] : -1;
    if (w->n_dim != 2 || !is_along(p, weights, column)) return KOE_OK;
    if (gemm && (koe_node_int(node, "transA", 0) || koe_node_float(node, "alpha", 1) != 1 || koe_node_float(node, "beta", 1) != 1)) return KOE_OK;
    const koe_tensor *b = koe_pass_constant(p, bias);
    if (bias >= 0 && (!b || b->dtype != KOE_DTYPE_F32 || b->n_dim < 1 || b->n_dim > 2 || b->dim[b->n_dim - 1] != w->dim[column] || (b->n_dim == 2 && b->dim[0] != 1)))
        return KOE_OK;
    const int in[N_PRODUCT_IN] = { node->in[X], weights->in[0], bias, -1, weights->in[1], zero_of(weights) };
    koe_status st = koe_pass_replace(p, node, "MatMulBytes", in, N_PRODUCT_IN, err);
    return st == KOE_OK && transposed ? koe_pass_set_int(p, node, "transB", 1, err) : st;
}

/* Narrow ones are better off as links of the pass `chain`, and their weights are small. */
enum { NARROW = 96 };

static koe_status take_conv(koe_pass *p, koe_node *node, const koe_node *weights, koe_error *err)
{
    const koe_tensor *w = koe_pass_constant(p, weights->in[0]);
    if (w->n_dim < 3 || !is_along(p, weights, 0) || (w->dim[0] <= NARROW && w->dim[1] <= NARROW)) return KOE_OK;
    const int in[N_CONV_IN] = { node->in[X], weights->in[0], node->n_in > B ? node->in[B] : -1, -1, -1, -1, -1, -1, weights->in[1], zero_of(weights) };
    const koe_status st = koe_pass_take_over(p, node, node, "Conv", in, N_CONV_IN, err);
    return st == KOE_OK ? koe_pass_set_int(p, node, "exact", 1, err) : st;
}

static void mark_read(void *arg, int slot) { ((bool *)arg)[slot] = true; }

/* Computes those that are still read. */
static koe_status fold_rest(koe_pass *p, koe_error *err)
{
    bool *read = calloc((size_t)p->s->n_slot + 1, sizeof *read), any = false;
    if (!read) return koe_fail(err, KOE_E_NOMEM, "passes");
    koe_plan *plan = p->plan;
    for (int i = 0; i < plan->n_node; i++) koe_graph_reads(plan->node[i], mark_read, read);
    for (int i = 0; i < plan->n_node; i++) {
        koe_node *node = plan->node[i];
        if (node->kept && !read[node->out[0]]) node->kept = false; /* the pass `dead` drops it */
        any |= node->kept;
    }
    free(read);
    if (!any) return KOE_OK;
    koe_fold fold;
    int n = 0;
    koe_status st = koe_fold_init(&fold, p->s, err);
    for (int i = 0; i < plan->n_node; i++) {
        koe_node *node = plan->node[i];
        koe_error why = { 0 };
        if (st != KOE_OK || !node->kept || koe_fold_node(&fold, node, &why) != KOE_OK) plan->node[n++] = node; /* too large: computed by every run */
        else p->producer[node->out[0]] = NULL;
        node->kept = false;
    }
    plan->n_node = n;
    koe_fold_deinit(&fold);
    return st;
}

koe_status koe_pass_dequantise(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++) {
        koe_node *node = p->plan->node[i];
        const koe_node *weights = takes_weights(node) ? koe_pass_producer(p, node->in[W], "DequantizeLinear") : NULL;
        if (!weights || !weights->kept) continue;
        st = koe_str_is(node->op_type, "Conv") ? take_conv(p, node, weights, err) : take_product(p, node, weights, err);
    }
    return st == KOE_OK ? fold_rest(p, err) : st;
}
