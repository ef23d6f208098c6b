/* matmul.c - MatMul, Gemm, and Microsoft's FusedMatMul and FusedGemm.
 * Each is a batch of products with any strides; float32 goes to the packed kernels, the other types are plain loops. A constant right
 * operand is packed when the model is loaded. */
#include <inttypes.h>
#include <stdlib.h>

#include "kernels/kernels.h"
#include "ops/ops.h"
#include "ops/tasks.h"

enum {
    TASK_ROWS = 128, /* of c: b is read once for so many, from memory as a rule */
    TASKS = 2, /* for each thread: each interleaves its rows of a anew */
    TASK_PANELS = 4, /* but never below this many panels */
};

/* c[i][m][n] = a[i][m][k] * b[i][k][n] for every batch index i; strides in elements. c is dense. */
typedef struct product {
    int n_batch;
    int64_t batch[KOE_MAX_DIM], a_batch[KOE_MAX_DIM], b_batch[KOE_MAX_DIM];
    size_t n_product, m, n, k;
    size_t a_row, a_col, b_row, b_col;
} product;

/* A constant b, packed: one after the other for each of its matrices. */
typedef struct packed_b {
    koe_f32_packed data; /* the session's */
    size_t count; /* elements of one matrix */
} packed_b;

static koe_status bad(const koe_node *node, koe_error *err, const char *what)
{
    return koe_fail(err, KOE_E_FORMAT, "%.*s %.*s: %s", KOE_STR_ARG(node->op_type), KOE_STR_ARG(node->name), what);
}

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

/* How one operand is read: the shape with its matrix dimensions last, as MatMul sees it, and the stride of each dimension. */
typedef struct operand {
    int n_dim;
    int64_t dim[KOE_MAX_DIM], stride[KOE_MAX_DIM];
} operand;

/* `batch_first`: FusedMatMul's transBatch, the first dimension is a matrix dimension and the last but one a batch. */
static operand view_operand(const koe_tensor *t, bool transposed, bool batch_first)
{
    operand o = { .n_dim = t->n_dim };
    int64_t step = 1;
    for (int i = t->n_dim - 1; i >= 0; i--) {
        o.dim[i] = t->dim[i];
        o.stride[i] = step;
        step *= t->dim[i];
    }
    if (batch_first && o.n_dim > 2) { /* [d0, d1 .. dn-2, dn-1] -> [d1 .. dn-2, d0, dn-1] */
        const int64_t d = o.dim[0], s = o.stride[0];
        for (int i = 0; i < o.n_dim - 2; i++) o.dim[i] = o.dim[i + 1], o.stride[i] = o.stride[i + 1];
        o.dim[o.n_dim - 2] = d;
        o.stride[o.n_dim - 2] = s;
    }
    if (transposed && o.n_dim > 1) {
        const int p = o.n_dim - 2, q = o.n_dim - 1;
        const int64_t d = o.dim[p], s = o.stride[p];
        o.dim[p] = o.dim[q], o.stride[p] = o.stride[q];
        o.dim[q] = d, o.stride[q] = s;
    }
    return o;
}

static void batch_strides(int64_t *out, const operand *o, const product *p)
{
    for (int i = 0; i < p->n_batch; i++) {
        const int k = i - (p->n_batch - (o->n_dim - 2));
        out[i] = k < 0 || o->dim[k] == 1 ? 0 : o->stride[k];
    }
}

/* numpy.matmul's rules; *n_dim and dim become the shape of c. */
static koe_status match(product *p, operand a, operand b, int *n_dim, int64_t *dim, const koe_node *node, koe_error *err)
{
    const bool a_vector = a.n_dim == 1, b_vector = b.n_dim == 1;
    if (a.n_dim < 1 || b.n_dim < 1) return bad(node, err, "operands need one dimension or more");
    if (a_vector) a = (operand){ 2, { 1, a.dim[0] }, { 0, a.stride[0] } };
    if (b_vector) b = (operand){ 2, { b.dim[0], 1 }, { b.stride[0], 0 } };
    const int64_t m = a.dim[a.n_dim - 2], k = a.dim[a.n_dim - 1], n = b.dim[b.n_dim - 1];
    if (k != b.dim[b.n_dim - 2])
        return koe_fail(err, KOE_E_FORMAT, "%.*s %.*s: rows of %" PRId64 " elements times columns of %" PRId64, KOE_STR_ARG(node->op_type),
                        KOE_STR_ARG(node->name), k, b.dim[b.n_dim - 2]);
    koe_status st = koe_broadcast(&p->n_batch, p->batch, a.n_dim - 2, a.dim, b.n_dim - 2, b.dim, err);
    if (st != KOE_OK) return koe_error_wrap(err, st, "%.*s", KOE_STR_ARG(node->name));
    p->m = (size_t)m, p->n = (size_t)n, p->k = (size_t)k;
    p->a_row = (size_t)a.stride[a.n_dim - 2], p->a_col = (size_t)a.stride[a.n_dim - 1];
    p->b_row = (size_t)b.stride[b.n_dim - 2], p->b_col = (size_t)b.stride[b.n_dim - 1];
    batch_strides(p->a_batch, &a, p);
    batch_strides(p->b_batch, &b, p);
    *n_dim = 0;
    for (int i = 0; i < p->n_batch; i++) dim[(*n_dim)++] = p->batch[i];
    if (!a_vector) dim[(*n_dim)++] = m;
    if (!b_vector) dim[(*n_dim)++] = n;
    return KOE_OK;
}

/* Many small products with one b are one product with many rows. */
static void fold_batch(product *p)
{
    size_t rows = p->m;
    for (int i = p->n_batch - 1; i >= 0; i--) {
        if (p->b_batch[i] != 0 || (p->batch[i] != 1 && p->a_batch[i] != (int64_t)(rows * p->a_row))) return;
        rows *= (size_t)p->batch[i];
    }
    p->m = rows;
    p->n_batch = 0;
}

/* Offsets of the operands of product i. */
static void offsets(const product *p, size_t i, size_t *a, size_t *b)
{
    *a = *b = 0;
    for (int d = p->n_batch - 1; d >= 0; d--) {
        const size_t at = i % (size_t)p->batch[d];
        i /= (size_t)p->batch[d];
        *a += at * (size_t)p->a_batch[d];
        *b += at * (size_t)p->b_batch[d];
    }
}

/* ---- float32 ----------------------------------------------------------------------------------------------------------- */

typedef struct call {
    const product *p;
    const packed_b *packed; /* or NULL */
    const float *a, *b;
    float *c;
    const koe_f32_epilogue *ep; /* or NULL; of a single product */
    size_t panels, row_tasks, panel_tasks, panel_step;
} call;

static void run_task(void *arg, size_t task)
{
    const call *k = arg;
    const product *p = k->p;
    const size_t from = task % k->panel_tasks * k->panel_step, row = task / k->panel_tasks % k->row_tasks * TASK_ROWS;
    const size_t i = task / k->panel_tasks / k->row_tasks, m = p->m - row < TASK_ROWS ? p->m - row : TASK_ROWS;
    size_t a, b;
    offsets(p, i, &a, &b);
    const koe_f32_view va = { k->a + a + row * p->a_row, p->a_row, p->a_col };
    float *c = k->c + (i * p->m + row) * p->n;
    koe_f32_epilogue part;
    if (k->ep) {
        part = *k->ep;
        if (part.bias_row) part.bias_row += row;
        if (part.residual) part.residual += row * part.ld_residual;
    }
    koe_f32_epilogue *ep = k->ep ? &part : NULL;
    if (k->packed) {
        /* b = matrix index * k * n in the model's layout, whatever the strides inside. */
        const size_t matrix = p->k && p->n ? b / (p->k * p->n) : 0;
        koe_f32_gemm_packed(c, p->n, va, koe_f32_packed_at(k->packed->data, matrix * k->packed->count), m, p->n, p->k, from, from + k->panel_step, ep);
        return;
    }
    const size_t j = from * koe_f32_panel(), j1 = (from + k->panel_step) * koe_f32_panel();
    if (ep && ep->bias_col) ep->bias_col += j;
    if (ep && ep->residual) ep->residual += j;
    koe_f32_gemm_view(c + j, p->n, va, (koe_f32_view){ k->b + b + j * p->b_col, p->b_row, p->b_col }, m, (j1 < p->n ? j1 : p->n) - j, p->k, 0, ep);
}

static void run_f32(koe_op_ctx *c, const product *p, const float *a, const float *b, float *y, const koe_f32_epilogue *ep)
{
    call k = { .p = p, .packed = c->state, .a = a, .b = b, .c = y, .ep = ep };
    const size_t panel = koe_f32_panel();
    k.panels = (p->n + panel - 1) / panel;
    k.row_tasks = (p->m + TASK_ROWS - 1) / TASK_ROWS;
    /* How c is cut is no matter for its values. A lone thread gains nothing from more tasks. */
    const size_t threads = (size_t)koe_pool_threads(c->pool), tasks = threads > 1 ? TASKS * threads : 1, others = p->n_product * k.row_tasks;
    k.panel_step = others < tasks ? (k.panels * others + tasks - 1) / tasks : k.panels;
    if (k.panel_step < TASK_PANELS) k.panel_step = TASK_PANELS;
    k.panel_tasks = (k.panels + k.panel_step - 1) / k.panel_step;
    koe_pool_for(c->pool, p->n_product * k.row_tasks * k.panel_tasks, run_task, &k);
}

/* Packs a constant b, input 1, every matrix of it; in half precision where the node may be inexact. */
static koe_status pack_b(koe_node *node, const koe_tensor *t, bool transposed, void **state, koe_error *err)
{
    const int n = t->n_dim;
    const int64_t rows = t->dim[n - 2], cols = t->dim[n - 1];
    const size_t k = (size_t)(transposed ? cols : rows), width = (size_t)(transposed ? rows : cols), each = k * width;
    const size_t matrices = koe_dim_product(t->dim, 0, n - 2), count = koe_f32_packed_count(k, width);
    const bool bf16 = koe_weights_half(node);
    const size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
    size_t total;
    void *room;
    bool ready;
    if (__builtin_mul_overflow(count, matrices, &total) || total > SIZE_MAX / sizeof(float))
        return koe_fail(err, KOE_E_LIMIT, "the weights are too large");
    koe_status st = koe_node_pack(node, 1, 0, total * size, &room, &ready, err);
    if (st != KOE_OK) return st;
    const float *data = ready ? NULL : koe_node_data(node, 1);
    packed_b *s = ready || data ? calloc(1, sizeof *s) : NULL;
    if (!s) return koe_fail(err, KOE_E_NOMEM, "weights");
    *s = (packed_b){ .data = { room, bf16 }, .count = count };
    for (size_t i = 0; data && i < matrices; i++) {
        const float *p = data + i * each;
        koe_f32_pack((char *)room + i * count * size, bf16, transposed ? (koe_f32_view){ p, 1, k } : (koe_f32_view){ p, width, 1 }, k, width);
    }
    *state = s;
    return KOE_OK;
}

/* ---- other types ------------------------------------------------------------------------------------------------------- */

/* Integers are multiplied as unsigned, which wraps as two's complement does. */
#define PLAIN(name, type)                                                                                                         \
    static void name(const product *p, const void *a, const void *b, void *c)                                                     \
    {                                                                                                                             \
        type *y = c;                                                                                                              \
        for (size_t i = 0; i < p->n_product; i++) {                                                                               \
            size_t at, bt;                                                                                                        \
            offsets(p, i, &at, &bt);                                                                                              \
            for (size_t r = 0; r < p->m; r++)                                                                                     \
                for (size_t j = 0; j < p->n; j++) {                                                                               \
                    const type *x = (const type *)a + at + r * p->a_row, *w = (const type *)b + bt + j * p->b_col;                \
                    type sum = 0;                                                                                                 \
                    for (size_t q = 0; q < p->k; q++) sum += x[q * p->a_col] * w[q * p->b_row];                                   \
                    *y++ = sum;                                                                                                   \
                }                                                                                                                 \
        }                                                                                                                         \
    }
PLAIN(plain_f64, double)
PLAIN(plain_u32, uint32_t)
PLAIN(plain_u64, uint64_t)

static koe_status multiply(koe_op_ctx *c, const product *p, const koe_tensor *a, const koe_tensor *b, koe_tensor *y,
                           const koe_f32_epilogue *ep, koe_error *err)
{
    switch (a->dtype) {
    case KOE_DTYPE_F32: run_f32(c, p, a->data, b->data, y->data, ep); return KOE_OK;
    case KOE_DTYPE_F64: plain_f64(p, a->data, b->data, y->data); return KOE_OK;
    case KOE_DTYPE_I32:
    case KOE_DTYPE_U32: plain_u32(p, a->data, b->data, y->data); return KOE_OK;
    case KOE_DTYPE_I64:
    case KOE_DTYPE_U64: plain_u64(p, a->data, b->data, y->data); return KOE_OK;
    default: return koe_type_error(c, a->dtype, err);
    }
}

/* ---- MatMul ------------------------------------------------------------------------------------------------------------ */

static koe_status prepare_matmul(koe_node *node, void **state, koe_error *err)
{
    const koe_tensor *b = node->n_in > 1 ? node->in_const[1] : NULL;
    if (!b || b->dtype != KOE_DTYPE_F32 || b->n_dim < 2 || koe_node_int(node, "transBatchB", 0)) return KOE_OK;
    return pack_b(node, b, koe_node_int(node, "transB", 0) != 0, state, err);
}

static koe_status run_matmul(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b;
    koe_tensor *y;
    product p = { 0 };
    int n_dim;
    int64_t dim[KOE_MAX_DIM + 2];
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 1, &b, err);
    if (st != KOE_OK) return st;
    if (a->dtype != b->dtype) return bad(c->node, err, "operands differ in type");
    st = match(&p, view_operand(a, koe_node_int(c->node, "transA", 0), koe_node_int(c->node, "transBatchA", 0)),
               view_operand(b, koe_node_int(c->node, "transB", 0), koe_node_int(c->node, "transBatchB", 0)), &n_dim, dim, c->node, err);
    if (st == KOE_OK) st = koe_out(c, 0, a->dtype, n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    fold_batch(&p);
    p.n_product = koe_dim_product(p.batch, 0, p.n_batch);
    const float alpha = koe_node_float(c->node, "alpha", 1);
    if (alpha != 1 && a->dtype != KOE_DTYPE_F32) return koe_type_error(c, a->dtype, err);
    return multiply(c, &p, a, b, y, alpha == 1 ? NULL : &(koe_f32_epilogue){ .scale = alpha }, err);
}

/* ---- Gemm -------------------------------------------------------------------------------------------------------------- */

static koe_status prepare_gemm(koe_node *node, void **state, koe_error *err)
{
    const koe_tensor *b = node->n_in > 1 ? node->in_const[1] : NULL;
    if (!b || b->dtype != KOE_DTYPE_F32 || b->n_dim != 2) return KOE_OK;
    return pack_b(node, b, koe_node_int(node, "transB", 0) != 0, state, err);
}

/* y = alpha * y + beta * c, c broadcast by strides. Integers take whole factors only. */
#define COMBINE(name, type, factor)                                                                                               \
    static void name(void *y, const void *c, const int64_t *stride, size_t m, size_t n, factor alpha, factor beta)                \
    {                                                                                                                             \
        for (size_t i = 0; i < m; i++)                                                                                            \
            for (size_t j = 0; j < n; j++) {                                                                                      \
                type *at = (type *)y + i * n + j;                                                                                 \
                *at = (type)alpha * *at;                                                                                          \
                if (c) *at += (type)beta * ((const type *)c)[i * (size_t)stride[0] + j * (size_t)stride[1]];                      \
            }                                                                                                                     \
    }
COMBINE(combine_f32, float, float)
COMBINE(combine_f64, double, float)
COMBINE(combine_u32, uint32_t, int64_t)
COMBINE(combine_u64, uint64_t, int64_t)

static koe_status combine(const koe_op_ctx *c, koe_tensor *y, const koe_tensor *addend, float alpha, float beta, koe_error *err)
{
    const size_t m = (size_t)y->dim[0], n = (size_t)y->dim[1];
    const void *data = addend ? addend->data : NULL;
    int64_t stride[KOE_MAX_DIM] = { 0 };
    if (addend) koe_broadcast_strides(stride, addend, 2, y->dim);
    if (y->dtype == KOE_DTYPE_F32) combine_f32(y->data, data, stride, m, n, alpha, beta);
    else if (y->dtype == KOE_DTYPE_F64) combine_f64(y->data, data, stride, m, n, alpha, beta);
    else {
        const bool whole = alpha >= -1e9f && alpha <= 1e9f && beta >= -1e9f && beta <= 1e9f && alpha == (float)(int64_t)alpha && beta == (float)(int64_t)beta;
        if (!whole) return bad(c->node, err, "alpha and beta must be whole numbers for integers");
        if (koe_dtype_size(y->dtype) == 4) combine_u32(y->data, data, stride, m, n, (int64_t)alpha, (int64_t)beta);
        else combine_u64(y->data, data, stride, m, n, (int64_t)alpha, (int64_t)beta);
    }
    return KOE_OK;
}

/* FusedGemm's activation; none for Gemm. */
static koe_status read_activation(koe_f32_epilogue *ep, const koe_node *node, koe_error *err)
{
    ep->alpha = koe_node_float(node, "activation_alpha", 0.01f);
    return koe_read_activation(&ep->act, node, err);
}

static koe_status run_gemm(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b, *addend = koe_in(c, 2);
    const koe_node *node = c->node;
    koe_tensor *y;
    product p = { 0 };
    koe_f32_epilogue ep = { .scale = 1 };
    int n_dim, n_sum;
    int64_t dim[KOE_MAX_DIM + 2], sum[KOE_MAX_DIM];
    const float alpha = koe_node_float(node, "alpha", 1), beta = koe_node_float(node, "beta", 1);
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 1, &b, err);
    if (st == KOE_OK) st = read_activation(&ep, node, err);
    if (st != KOE_OK) return st;
    if (a->dtype != b->dtype || (addend && addend->dtype != a->dtype)) return bad(node, err, "operands differ in type");
    if (a->n_dim != 2 || b->n_dim != 2) return bad(node, err, "operands must have two dimensions");
    st = match(&p, view_operand(a, koe_node_int(node, "transA", 0), false), view_operand(b, koe_node_int(node, "transB", 0), false), &n_dim,
               dim, node, err);
    if (st == KOE_OK && addend) {
        st = koe_broadcast(&n_sum, sum, 2, dim, addend->n_dim, addend->dim, err);
        if (st == KOE_OK && (n_sum != 2 || sum[0] != dim[0] || sum[1] != dim[1])) st = bad(node, err, "C does not broadcast to the product");
    }
    if (st == KOE_OK) st = koe_out(c, 0, a->dtype, 2, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    p.n_product = 1;
    const bool fused = a->dtype == KOE_DTYPE_F32 && alpha == 1 && beta == 1;
    if (fused && addend) { /* a row or column of C, or all of it, is added while the product is in cache */
        int64_t stride[KOE_MAX_DIM];
        koe_broadcast_strides(stride, addend, 2, dim);
        if (stride[0] == 0 && stride[1] == 1) ep.bias_col = addend->data;
        else if (stride[0] == 1 && stride[1] == 0) ep.bias_row = addend->data;
        else if (stride[0] == dim[1] && stride[1] == 1) ep.residual = addend->data, ep.ld_residual = p.n;
        else st = KOE_E_UNSUPPORTED;
    }
    if (fused && st == KOE_OK) return multiply(c, &p, a, b, y, &ep, err);
    st = multiply(c, &p, a, b, y, NULL, err);
    if (st == KOE_OK) st = combine(c, y, addend, alpha, beta, err);
    if (st == KOE_OK && ep.act != KOE_ACT_NONE) {
        if (a->dtype != KOE_DTYPE_F32) return koe_type_error(c, a->dtype, err);
        koe_kernels()->finish(y->data, p.n, y->data, p.n, p.m, p.n, &ep);
    }
    return st;
}

/* ---- koe's MatMul: a, b [k,n] constant, bias [n], residual of the result's shape; activation(a b + bias + residual) * scale ------- */

static koe_status run_fused(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b, *bias = koe_in(c, 2), *residual = koe_in(c, 3);
    koe_tensor *y;
    product p = { 0 };
    koe_f32_epilogue ep = { .scale = koe_node_float(c->node, "scale", 1) };
    int n_dim;
    int64_t dim[KOE_MAX_DIM + 2];
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 1, &b, err);
    if (st == KOE_OK) st = read_activation(&ep, c->node, err);
    if (st != KOE_OK) return st;
    if (a->dtype != KOE_DTYPE_F32 || b->dtype != KOE_DTYPE_F32) return koe_type_error(c, a->dtype, err);
    st = match(&p, view_operand(a, false, false), view_operand(b, false, false), &n_dim, dim, c->node, err);
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_F32, n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    if (bias && (bias->dtype != KOE_DTYPE_F32 || koe_tensor_count(bias) != p.n)) return bad(c->node, err, "the bias does not fit");
    if (residual && (residual->dtype != KOE_DTYPE_F32 || koe_tensor_count(residual) != koe_tensor_count(y)))
        return bad(c->node, err, "the residual does not fit");
    fold_batch(&p);
    p.n_product = koe_dim_product(p.batch, 0, p.n_batch);
    if (p.n_product != 1) return bad(c->node, err, "the weights must have two dimensions");
    if (bias) ep.bias_col = bias->data;
    if (residual) ep.residual = residual->data, ep.ld_residual = p.n;
    run_f32(c, &p, a->data, b->data, y->data, &ep);
    return KOE_OK;
}

static const koe_op ops[] = {
    { "MatMul", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_matmul, free, run_matmul, NULL },
    { "Gemm", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_gemm, free, run_gemm, NULL },
    { "FusedMatMul", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_matmul, free, run_matmul, "com.microsoft" },
    { "MatMul", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_matmul, free, run_fused, "koe" },
    { "FusedGemm", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_gemm, free, run_gemm, "com.microsoft" },
};

koe_op_table koe_ops_matmul(void) { return KOE_OP_TABLE(ops); }
