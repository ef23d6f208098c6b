/* softmax.c - Softmax, LogSoftmax, Hardmax. x is seen as [n_outer, n, n_inner] and normalised over n.
 * Before opset 13 the tensor is flattened at `axis` into two dimensions, the second of which is normalised. */
#include <math.h>

#include "kernels/kernels.h"
#include "ops/elementwise.h"
#include "ops/ops.h"
#include "ops/stats.h"

typedef struct softmax_job {
    const void *x;
    void *y; /* may be x */
    size_t n, n_inner, n_block; /* n_block: blocks of columns in n_inner */
} softmax_job;

enum { BLOCK = 256 };

/* ---- rows: n_inner is 1 ---------------------------------------------------------------------------------------------- */

static void softmax_row_f32(float *y, const float *x, size_t n)
{
    float max = koe_max_f32(x, n);
    KOE_INDEPENDENT
    for (size_t i = 0; i < n; i++) y[i] = x[i] - max;
    koe_f32_exp(y, y, n);
    float scale = (float)(1 / koe_sum_f32(y, n));
    for (size_t i = 0; i < n; i++) y[i] *= scale;
}

static void softmax_row_f64(double *y, const double *x, size_t n)
{
    double max = koe_max_f64(x, n);
    for (size_t i = 0; i < n; i++) y[i] = exp(x[i] - max);
    double scale = 1 / koe_sum_f64(y, n);
    for (size_t i = 0; i < n; i++) y[i] *= scale;
}

static void log_softmax_row_f32(float *y, const float *x, size_t n)
{
    float max = koe_max_f32(x, n), t[BLOCK];
    double sum = 0;
    for (size_t from = 0; from < n; from += BLOCK) {
        size_t m = n - from < BLOCK ? n - from : BLOCK;
        for (size_t i = 0; i < m; i++) t[i] = x[from + i] - max;
        koe_f32_exp(t, t, m);
        sum += koe_sum_f32(t, m);
    }
    float log_sum = (float)log(sum);
    KOE_INDEPENDENT
    for (size_t i = 0; i < n; i++) y[i] = x[i] - max - log_sum;
}

static void log_softmax_row_f64(double *y, const double *x, size_t n)
{
    double max = koe_max_f64(x, n), sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp(x[i] - max);
    double log_sum = log(sum);
    for (size_t i = 0; i < n; i++) y[i] = x[i] - max - log_sum;
}

#define HARDMAX_ROW(op, s, S, T, A)                                                                                              \
    static void hardmax_row_##s(T *y, const T *x, size_t n)                                                                      \
    {                                                                                                                            \
        size_t best = 0;                                                                                                         \
        for (size_t i = 1; i < n; i++)                                                                                           \
            if (x[i] > x[best]) best = i;                                                                                        \
        memset(y, 0, n * sizeof *y);                                                                                             \
        y[best] = 1;                                                                                                             \
    }
KOE_FLOATS(HARDMAX_ROW, )

/* ---- columns: a block of neighbours at a time, so that memory is read in order --------------------------------------- */

/* The largest of each column. */
#define COLUMN_MAX(T, max, x, n, stride, m)                                                                                      \
    memcpy(max, x, (m) * sizeof(T));                                                                                             \
    for (size_t i = 1; i < (n); i++)                                                                                             \
        for (size_t j = 0; j < (m); j++)                                                                                         \
            if ((x)[i * (stride) + j] > (max)[j]) (max)[j] = (x)[i * (stride) + j];

static void softmax_columns_f32(float *y, const float *x, size_t n, size_t stride, size_t m)
{
    float max[BLOCK];
    double sum[BLOCK] = { 0 };
    COLUMN_MAX(float, max, x, n, stride, m)
    for (size_t i = 0; i < n; i++) {
        float *row = y + i * stride;
        const float *from = x + i * stride;
        KOE_INDEPENDENT
        for (size_t j = 0; j < m; j++) row[j] = from[j] - max[j];
        koe_f32_exp(row, row, m);
        for (size_t j = 0; j < m; j++) sum[j] += (double)row[j];
    }
    for (size_t j = 0; j < m; j++) max[j] = (float)(1 / sum[j]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) y[i * stride + j] *= max[j];
}

static void softmax_columns_f64(double *y, const double *x, size_t n, size_t stride, size_t m)
{
    double max[BLOCK], sum[BLOCK] = { 0 };
    COLUMN_MAX(double, max, x, n, stride, m)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) sum[j] += y[i * stride + j] = exp(x[i * stride + j] - max[j]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) y[i * stride + j] /= sum[j];
}

static void log_softmax_columns_f32(float *y, const float *x, size_t n, size_t stride, size_t m)
{
    float max[BLOCK], t[BLOCK];
    double sum[BLOCK] = { 0 };
    COLUMN_MAX(float, max, x, n, stride, m)
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < m; j++) t[j] = x[i * stride + j] - max[j];
        koe_f32_exp(t, t, m);
        for (size_t j = 0; j < m; j++) sum[j] += (double)t[j];
    }
    for (size_t j = 0; j < m; j++) t[j] = (float)log(sum[j]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) y[i * stride + j] = x[i * stride + j] - max[j] - t[j];
}

static void log_softmax_columns_f64(double *y, const double *x, size_t n, size_t stride, size_t m)
{
    double max[BLOCK], sum[BLOCK] = { 0 };
    COLUMN_MAX(double, max, x, n, stride, m)
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) sum[j] += exp(x[i * stride + j] - max[j]);
    for (size_t j = 0; j < m; j++) sum[j] = log(sum[j]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) y[i * stride + j] = x[i * stride + j] - max[j] - sum[j];
}

#define HARDMAX_COLUMNS(op, s, S, T, A)                                                                                          \
    static void hardmax_columns_##s(T *y, const T *x, size_t n, size_t stride, size_t m)                                         \
    {                                                                                                                            \
        T max[BLOCK];                                                                                                            \
        size_t best[BLOCK] = { 0 };                                                                                              \
        memcpy(max, x, m * sizeof(T));                                                                                           \
        for (size_t i = 1; i < n; i++)                                                                                           \
            for (size_t j = 0; j < m; j++)                                                                                       \
                if (x[i * stride + j] > max[j]) max[j] = x[i * stride + j], best[j] = i;                                         \
        for (size_t i = 0; i < n; i++)                                                                                           \
            for (size_t j = 0; j < m; j++) y[i * stride + j] = best[j] == i;                                                     \
    }
KOE_FLOATS(HARDMAX_COLUMNS, )

/* ---- operators ------------------------------------------------------------------------------------------------------- */

/* Items are rows, or blocks of columns. */
#define RANGES(op, s, S, T, A)                                                                                                   \
    static void op##_rows_##s(void *arg, size_t from, size_t to)                                                                 \
    {                                                                                                                            \
        const softmax_job *j = arg;                                                                                              \
        for (size_t i = from; i < to; i++) op##_row_##s((T *)j->y + i * j->n, (const T *)j->x + i * j->n, j->n);                 \
    }                                                                                                                            \
    static void op##_blocks_##s(void *arg, size_t from, size_t to)                                                               \
    {                                                                                                                            \
        const softmax_job *j = arg;                                                                                              \
        for (size_t i = from; i < to; i++) {                                                                                     \
            size_t column = i % j->n_block * BLOCK, at = i / j->n_block * j->n * j->n_inner + column;                            \
            size_t m = j->n_inner - column < BLOCK ? j->n_inner - column : BLOCK;                                                \
            op##_columns_##s((T *)j->y + at, (const T *)j->x + at, j->n, j->n_inner, m);                                         \
        }                                                                                                                        \
    }
KOE_FLOATS(RANGES, softmax)
KOE_FLOATS(RANGES, log_softmax)
KOE_FLOATS(RANGES, hardmax)

typedef struct softmax_op {
    koe_range_fn *rows[2], *blocks[2]; /* float, double */
} softmax_op;
#define SOFTMAX_OP(op)                                                                                                           \
    {                                                                                                                            \
        { op##_rows_f32, op##_rows_f64 }, { op##_blocks_f32, op##_blocks_f64 }                                                   \
    }
static const softmax_op soft_op = SOFTMAX_OP(softmax), log_soft_op = SOFTMAX_OP(log_softmax), hard_op = SOFTMAX_OP(hardmax);

static koe_status run_softmax_op(koe_op_ctx *c, const softmax_op *op, bool flatten, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    int axis;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", flatten ? 1 : -1), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) return koe_type_error(c, x->dtype, err);
    st = koe_out_inplace(c, 0, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    softmax_job j = { .x = x->data, .y = y->data, .n_inner = 1 };
    if (flatten) j.n = koe_dim_product(x->dim, axis, x->n_dim);
    else {
        j.n = (size_t)x->dim[axis];
        j.n_inner = koe_dim_product(x->dim, axis + 1, x->n_dim);
    }
    j.n_block = (j.n_inner + BLOCK - 1) / BLOCK;
    size_t n_outer = koe_tensor_count(x) / (j.n * j.n_inner);
    size_t work = j.n_inner == 1 ? j.n : j.n * (j.n_inner < BLOCK ? j.n_inner : BLOCK);
    int type = x->dtype == KOE_DTYPE_F64;
    koe_for_ranges(c->pool, n_outer * j.n_block, work < KOE_LOOP_CHUNK ? KOE_LOOP_CHUNK / work : 1,
                   j.n_inner == 1 ? op->rows[type] : op->blocks[type], &j);
    return KOE_OK;
}

static koe_status run_softmax_1(koe_op_ctx *c, koe_error *err) { return run_softmax_op(c, &soft_op, true, err); }
static koe_status run_softmax(koe_op_ctx *c, koe_error *err) { return run_softmax_op(c, &soft_op, false, err); }
static koe_status run_log_softmax_1(koe_op_ctx *c, koe_error *err) { return run_softmax_op(c, &log_soft_op, true, err); }
static koe_status run_log_softmax(koe_op_ctx *c, koe_error *err) { return run_softmax_op(c, &log_soft_op, false, err); }
static koe_status run_hardmax_1(koe_op_ctx *c, koe_error *err) { return run_softmax_op(c, &hard_op, true, err); }
static koe_status run_hardmax(koe_op_ctx *c, koe_error *err) { return run_softmax_op(c, &hard_op, false, err); }

static const koe_op ops[] = {
    { .name = "Softmax", .since = 1, .until = 12, .flags = KOE_OP_WIDEN_HALF, .run = run_softmax_1 },
    { .name = "Softmax", .since = 13, .flags = KOE_OP_WIDEN_HALF, .run = run_softmax },
    { .name = "LogSoftmax", .since = 1, .until = 12, .flags = KOE_OP_WIDEN_HALF, .run = run_log_softmax_1 },
    { .name = "LogSoftmax", .since = 13, .flags = KOE_OP_WIDEN_HALF, .run = run_log_softmax },
    { .name = "Hardmax", .since = 1, .until = 12, .flags = KOE_OP_WIDEN_HALF, .run = run_hardmax_1 },
    { .name = "Hardmax", .since = 13, .flags = KOE_OP_WIDEN_HALF, .run = run_hardmax },
};

koe_op_table koe_ops_softmax(void) { return KOE_OP_TABLE(ops); }
