/* matmul_bytes.c - koe's MatMulBytes: MatMul with constant weights of 8 bits, as the passes make it of what quantised files spell out.
 *     0 X float32 [..., k]   1 W uint8 or int8 [k, n], with transB [n, k]   2 bias [n]   3 residual, of the result's shape
 *     4 scale, 5 zero point of the weights: one, or one for each column
 *     activation(X (W - zero) scale + bias + residual) * scale        attributes: transB, dynamic, activation, activation_alpha, scale
 * With attributes x_scale, x_zero, X is rounded to those steps first, as a file with static quantisation has it.
 * Two ways to compute it. As a product of bytes, each row of X rounded to the 256 steps of its own range: for a node that says `dynamic`,
 * as its file has X rounded to the steps of the whole tensor, or where low precision was asked for, on machines whose integer products
 * are faster. Else the weights are widened panel by panel while they are multiplied, and the result is that of the widened weights bit by bit. */
#include <stdlib.h>

#include "kernels/kernels.h"
#include "kernels/lp_conv.h"
#include "ops/ops.h"
#include "ops/quant.h"
#include "ops/tasks.h"

enum { X, W, BIAS, RESIDUAL, SCALE, ZERO };
enum {
    TILE_ROWS = 32, TILE_COLS = 256, /* of a task of the product of bytes */
    ROUND_ROWS = 8, /* rows of X that a task rounds */
    TASK_ROWS = 128, TASK_PANELS = 4, /* of a task of the product of floats */
    K_MIN = 32, N_MIN = 16, K_MAX = 32768, /* of a product of bytes: worth it, and 255 * 255 * k fits in int32 */
};

typedef struct byte_weights {
    size_t k, n;
    koe_i8_packed *integers; /* or NULL: */
    koe_f32_bytes floats;
    float *scale; /* [n], of `integers` */
    int32_t *zero; /* likewise; NULL: all 0 */
} byte_weights;

/* ---- weights ----------------------------------------------------------------------------------------------------------- */

static void release(void *state)
{
    byte_weights *s = state;
    if (!s) return;
    free(s->integers);
    free(s->scale);
    free(s->zero);
    free(s);
}

static koe_status bad(const koe_node *node, koe_error *err, const char *what)
{
    return koe_fail(err, KOE_E_FORMAT, "%.*s %.*s: %s", KOE_STR_ARG(node->op_type), KOE_STR_ARG(node->name), what);
}

static bool as_integers(const koe_node *node, size_t k, size_t n)
{
    const koe_lp_set *set = koe_lp_kernels(KOE_LP_INT8);
    const bool may = koe_node_int(node, "dynamic", 0) || koe_node_attr(node, "x_scale") || node->precision == KOE_PRECISION_INT8;
    return may && set && set->x_max == UINT8_MAX && k >= K_MIN && k <= K_MAX && n >= N_MIN;
}

/* Scales and zero points as the inputs have them. */
typedef struct steps {
    const float *scale;
    const uint8_t *zero; /* or NULL: 0 */
    size_t scale_step, zero_step; /* 0: one for all columns */
    bool is_signed;
} steps;

static koe_status read_steps(steps *out, koe_node *node, size_t n, koe_error *err)
{
    const koe_tensor *w = node->in_const[W], *scale = node->n_in > SCALE ? node->in_const[SCALE] : NULL;
    const bool has_zero = node->n_in > ZERO && node->in[ZERO] >= 0;
    const koe_tensor *zero = has_zero ? node->in_const[ZERO] : NULL;
    const size_t n_scale = scale ? koe_tensor_count(scale) : 0, n_zero = zero ? koe_tensor_count(zero) : 0;
    if (!scale || scale->dtype != KOE_DTYPE_F32 || (n_scale != 1 && n_scale != n)) return bad(node, err, "the weights need a constant scale, one or one for each column");
    if (has_zero && (!zero || zero->dtype != w->dtype || (n_zero != 1 && n_zero != n))) return bad(node, err, "the zero point does not fit the weights");
    *out = (steps){ .scale = koe_node_data(node, SCALE), .zero = has_zero ? koe_node_data(node, ZERO) : NULL, .scale_step = n_scale > 1, .zero_step = n_zero > 1,
                    .is_signed = w->dtype == KOE_DTYPE_I8 };
    return out->scale && (out->zero || !has_zero) ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "weights");
}

static int32_t zero_of(const steps *s, size_t column)
{
    const uint8_t z = s->zero ? s->zero[column * s->zero_step] : 0;
    return s->is_signed ? (int8_t)z : z;
}

static koe_status pack_integers(byte_weights *s, koe_node *node, const steps *st, const koe_quant_matrices *m, koe_error *err)
{
    bool any = false;
    for (size_t j = 0; j < s->n; j++) any |= zero_of(st, j) != 0;
    s->scale = calloc(s->n, sizeof *s->scale);
    s->zero = any ? calloc(s->n, sizeof *s->zero) : NULL;
    if (!s->scale || (any && !s->zero)) return koe_fail(err, KOE_E_NOMEM, "weights");
    for (size_t j = 0; j < s->n; j++) {
        s->scale[j] = st->scale[j * st->scale_step];
        if (any) s->zero[j] = zero_of(st, j);
    }
    return koe_quant_pack(&s->integers, node, W, m, err);
}

static koe_status pack_floats(byte_weights *s, koe_node *node, const steps *st, const koe_quant_matrices *m, koe_error *err)
{
    const size_t bytes = koe_f32_bytes_count(m->k, m->n, false), columns = koe_f32_bytes_columns(m->n);
    void *q, *scale, *zero;
    bool ready[3];
    if (!bytes || columns > SIZE_MAX / sizeof(float)) return koe_fail(err, KOE_E_LIMIT, "the weights are too large");
    koe_status status = koe_node_pack(node, W, W, bytes, &q, &ready[0], err);
    if (status == KOE_OK) status = koe_node_pack(node, SCALE, SCALE, columns * sizeof(float), &scale, &ready[1], err);
    if (status == KOE_OK) status = koe_node_pack(node, SCALE, ZERO, columns * sizeof(float), &zero, &ready[2], err);
    const uint8_t *data = status == KOE_OK && !ready[0] ? koe_node_data(node, W) : NULL;
    if (status == KOE_OK && !ready[0] && !data) status = koe_fail(err, KOE_E_NOMEM, "weights");
    if (status != KOE_OK) return status;
    if (data) koe_f32_bytes_pack(q, false, data, m->row_step, m->col_step, st->is_signed ? 0x80 : 0, m->k, m->n);
    for (size_t j = 0; j < columns; j++) {
        if (!ready[1]) ((float *)scale)[j] = j < m->n ? st->scale[j * st->scale_step] : 0;
        if (!ready[2]) ((float *)zero)[j] = j < m->n ? (float)(zero_of(st, j) + (st->is_signed ? 128 : 0)) : 0;
    }
    s->floats = (koe_f32_bytes){ .p = q, .block = m->k, .scale = scale, .zero = zero };
    return KOE_OK;
}

static koe_status prepare(koe_node *node, void **state, koe_error *err)
{
    const koe_tensor *w = node->n_in > W ? node->in_const[W] : NULL;
    steps st = { 0 };
    if (!w || !koe_is_byte(w->dtype) || w->n_dim != 2 || koe_tensor_count(w) == 0) return bad(node, err, "the weights must be a constant matrix of bytes");
    const bool transposed = koe_node_int(node, "transB", 0) != 0;
    const size_t rows = (size_t)w->dim[0], cols = (size_t)w->dim[1];
    const koe_quant_matrices m = { .n_matrix = 1, .distance = rows * cols, .k = transposed ? cols : rows, .n = transposed ? rows : cols,
                                   .row_step = transposed ? 1 : cols, .col_step = transposed ? cols : 1 };
    byte_weights *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "weights");
    s->k = m.k;
    s->n = m.n;
    koe_status status = read_steps(&st, node, m.n, err);
    if (status == KOE_OK) status = as_integers(node, m.k, m.n) ? pack_integers(s, node, &st, &m, err) : pack_floats(s, node, &st, &m, err);
    if (status == KOE_OK) *state = s;
    else release(s);
    return status;
}

/* ---- a run ------------------------------------------------------------------------------------------------------------- */

typedef struct call {
    const byte_weights *s;
    size_t m;
    const float *x;
    float *y;
    const koe_f32_epilogue *ep;
    koe_quant_param steps; /* of X; scale 0: each row by its range */
    uint8_t *bytes; /* [m][k] X rounded, each row with */
    float *row_scale;
    int32_t *row_zero;
    size_t col_tasks;
} call;

static void round_rows(void *arg, size_t task)
{
    const call *c = arg;
    const size_t k = c->s->k, end = (task + 1) * ROUND_ROWS < c->m ? (task + 1) * ROUND_ROWS : c->m;
    for (size_t i = task * ROUND_ROWS; i < end; i++) {
        const koe_quant_param q = c->steps.scale > 0 ? c->steps : koe_dynamic_param(NULL, c->x + i * k, k);
        koe_f32_quantise_u8(c->bytes + i * k, c->x + i * k, k, q.scale, q.zero);
        c->row_scale[i] = q.scale;
        c->row_zero[i] = q.zero;
    }
}

static void integer_task(void *arg, size_t task)
{
    const call *c = arg;
    const byte_weights *s = c->s;
    const size_t row = task / c->col_tasks * TILE_ROWS, col = task % c->col_tasks * TILE_COLS;
    const size_t rows = c->m - row < TILE_ROWS ? c->m - row : TILE_ROWS, cols = s->n - col < TILE_COLS ? s->n - col : TILE_COLS;
    int32_t sums[TILE_ROWS * TILE_COLS];
    const koe_i8_rows x = { .data = c->bytes + row * s->k, .ld = s->k, .row_zero = c->row_zero + row };
    const koe_i8_packed w = koe_i8_columns(s->integers, col, cols);
    koe_i8_gemm(sums, cols, &x, &w, s->zero ? s->zero + col : NULL, rows);
    float *y = c->y + row * s->n + col;
    const float *scale = s->scale + col;
    for (size_t i = 0; i < rows; i++) {
        const float factor = c->row_scale[row + i];
        for (size_t j = 0; j < cols; j++) y[i * s->n + j] = (float)sums[i * cols + j] * (factor * scale[j]);
    }
    koe_f32_epilogue ep = *c->ep;
    if (ep.bias_col) ep.bias_col += col;
    if (ep.residual) ep.residual += row * s->n + col;
    koe_kernels()->finish(y, s->n, y, s->n, rows, cols, &ep);
}

static size_t parts(size_t n, size_t each) { return n / each + (n % each != 0); }

typedef struct float_call {
    float *y;
    const float *x;
    const koe_f32_bytes *b;
    size_t m, n, k, col_tasks;
    const koe_f32_epilogue *ep;
} float_call;

static void float_task(void *arg, size_t task)
{
    const float_call *c = arg;
    const size_t row = task / c->col_tasks * TASK_ROWS, from = task % c->col_tasks * TASK_PANELS, rows = c->m - row < TASK_ROWS ? c->m - row : TASK_ROWS;
    koe_f32_epilogue ep = *c->ep;
    if (ep.residual) ep.residual += row * ep.ld_residual;
    koe_f32_gemm_bytes(c->y + row * c->n, c->n, (koe_f32_view){ c->x + row * c->k, c->k, 1 }, c->b, rows, c->n, c->k, from, from + TASK_PANELS, &ep);
}

void koe_bytes_product(koe_op_ctx *c, float *y, const float *x, const koe_f32_bytes *b, size_t m, size_t n, size_t k, const koe_f32_epilogue *ep)
{
    float_call all = { .y = y, .x = x, .b = b, .m = m, .n = n, .k = k, .col_tasks = parts(parts(n, koe_f32_panel()), TASK_PANELS), .ep = ep };
    koe_pool_for(c->pool, parts(m, TASK_ROWS) * all.col_tasks, float_task, &all);
}

static koe_status multiply(koe_op_ctx *c, call *k, koe_error *err)
{
    const byte_weights *s = k->s;
    if (!s->integers && k->steps.scale > 0) {
        float *x = koe_scratch(c, k->m * s->k * sizeof *x);
        if (!x) return koe_fail(err, KOE_E_NOMEM, "%zu rows of %zu numbers", k->m, s->k);
        koe_requantise(c->pool, x, k->x, k->m * s->k, k->steps);
        k->x = x;
    }
    if (!s->integers) {
        koe_bytes_product(c, k->y, k->x, &s->floats, k->m, s->n, s->k, k->ep);
        return KOE_OK;
    }
    k->bytes = koe_scratch(c, k->m * s->k);
    k->row_scale = koe_scratch(c, k->m * sizeof *k->row_scale);
    k->row_zero = koe_scratch(c, k->m * sizeof *k->row_zero);
    if (!k->bytes || !k->row_scale || !k->row_zero) return koe_fail(err, KOE_E_NOMEM, "%zu rows of %zu bytes", k->m, s->k);
    k->col_tasks = parts(s->n, TILE_COLS);
    koe_pool_for(c->pool, parts(k->m, ROUND_ROWS), round_rows, k);
    koe_pool_for(c->pool, parts(k->m, TILE_ROWS) * k->col_tasks, integer_task, k);
    return KOE_OK;
}

static koe_status run(koe_op_ctx *c, koe_error *err)
{
    const byte_weights *s = c->state;
    const koe_tensor *x, *bias = koe_in(c, BIAS), *residual = koe_in(c, RESIDUAL);
    koe_tensor *y;
    int64_t dim[KOE_MAX_DIM];
    koe_f32_epilogue ep = { .scale = koe_node_float(c->node, "scale", 1), .alpha = koe_node_float(c->node, "activation_alpha", 0.01f) };
    koe_quant_param rounding = { 0 };
    koe_status st = koe_need(c, X, &x, err);
    if (st == KOE_OK) st = koe_quant_steps(&rounding, c->node, err);
    if (st == KOE_OK) st = koe_read_activation(&ep.act, c->node, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32) return koe_type_error(c, x->dtype, err);
    if (x->n_dim < 1 || (size_t)x->dim[x->n_dim - 1] != s->k) return bad(c->node, err, "the input does not fit the weights");
    for (int i = 0; i < x->n_dim; i++) dim[i] = x->dim[i];
    dim[x->n_dim - 1] = (int64_t)s->n;
    st = koe_out(c, 0, KOE_DTYPE_F32, x->n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    if (bias && (bias->dtype != KOE_DTYPE_F32 || koe_tensor_count(bias) != s->n)) return bad(c->node, err, "the bias does not fit");
    if (residual && (residual->dtype != KOE_DTYPE_F32 || koe_tensor_count(residual) != koe_tensor_count(y))) return bad(c->node, err, "the residual does not fit");
    if (bias) ep.bias_col = bias->data;
    if (residual) ep.residual = residual->data, ep.ld_residual = s->n;
    return multiply(c, &(call){ .s = s, .m = koe_tensor_count(x) / s->k, .x = x->data, .y = y->data, .ep = &ep, .steps = rounding }, err);
}

static const koe_op table[] = {
    { "MatMulBytes", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare, release, run, "koe" },
};

koe_op_table koe_ops_matmul_bytes(void) { return KOE_OP_TABLE(table); }
