/* norm.c - normalisations over channels and space: InstanceNormalization, GroupNormalization, BatchNormalization,
 * MeanVarianceNormalization, LpNormalization, LRN. x is seen as [N, C, S]. Means first, then squared distances from them. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/ops.h"
#include "ops/reduce.h"
#include "ops/stats.h"

/* y = (x - mean) * scale + bias; y may be x. */
#define AFFINE(op, s, S, T, A)                                                                                                   \
    static void affine_##s(T *y, const T *x, size_t n, T mean, T scale, T bias)                                                  \
    {                                                                                                                            \
        KOE_INDEPENDENT                                                                                                          \
        for (size_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale + bias;                                                      \
    }
KOE_FLOATS(AFFINE, )

/* Rows of this length are grouped into tasks of about one chunk. */
static size_t rows_per_task(size_t row) { return row < KOE_LOOP_CHUNK ? KOE_LOOP_CHUNK / (row ? row : 1) : 1; }

/* Input 0 as [N, C, S] of float or double. */
typedef struct shape_ncs {
    const koe_tensor *x;
    size_t n, c, s;
} shape_ncs;

static koe_status read_x(shape_ncs *out, koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) return koe_type_error(c, x->dtype, err);
    if (x->n_dim < 2) return koe_fail(err, KOE_E_FORMAT, "the input needs dimensions for batch and channel");
    *out = (shape_ncs){ x, (size_t)x->dim[0], (size_t)x->dim[1], koe_dim_product(x->dim, 2, x->n_dim) };
    return KOE_OK;
}

/* Input i: `count` parameters, as the type of x. */
static koe_status read_params(const void **out, koe_op_ctx *c, int i, koe_dtype dtype, size_t count, koe_error *err)
{
    const koe_tensor *t;
    koe_status st = koe_need(c, i, &t, err);
    if (st != KOE_OK) return st;
    if (koe_tensor_count(t) != count)
        return koe_fail(err, KOE_E_FORMAT, "input %d has %zu elements instead of %zu", i, koe_tensor_count(t), count);
    if (!koe_dtype_is_float(t->dtype)) return koe_type_error(c, t->dtype, err);
    *out = koe_as_type(c, t, dtype);
    return *out ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "parameters");
}

/* ---- groups of channels, each normalised with its own mean and variance: Instance- and GroupNormalization ------------ */

typedef struct group_job {
    const void *x, *scale, *bias;
    void *y; /* may be x */
    size_t n_group, n_channel, n_space; /* groups of a sample, channels of a group, elements of a channel */
    bool per_group; /* scale and bias are per group instead of per channel */
    double epsilon;
} group_job;

#define GROUPS(op, s, S, T, A)                                                                                                   \
    static void groups_##s(void *arg, size_t from, size_t to)                                                                    \
    {                                                                                                                            \
        const group_job *j = arg;                                                                                                \
        size_t n = j->n_channel * j->n_space;                                                                                    \
        for (size_t i = from; i < to; i++) {                                                                                     \
            const T *x = (const T *)j->x + i * n, *scale = j->scale, *bias = j->bias;                                            \
            T *y = (T *)j->y + i * n;                                                                                            \
            double mean = koe_sum_##s(x, n) / (double)n;                                                                         \
            double unit = 1 / sqrt(koe_spread_##s(x, n, mean) / (double)n + j->epsilon);                                         \
            for (size_t k = 0; k < j->n_channel; k++) {                                                                          \
                size_t group = i % j->n_group, p = j->per_group ? group : group * j->n_channel + k;                              \
                size_t at = k * j->n_space;                                                                                      \
                affine_##s(y + at, x + at, j->n_space, (T)mean, (T)(unit * (double)scale[p]), bias[p]);                          \
            }                                                                                                                    \
        }                                                                                                                        \
    }
KOE_FLOATS(GROUPS, )

static koe_status normalize_groups(koe_op_ctx *c, const shape_ncs *v, size_t n_group, bool per_group, koe_error *err)
{
    size_t n_param = per_group ? n_group : v->c;
    group_job j = { .n_group = n_group,
                    .n_channel = v->c / n_group,
                    .n_space = v->s,
                    .per_group = per_group,
                    .epsilon = (double)koe_node_float(c->node, "epsilon", 1e-5f) };
    koe_tensor *y;
    koe_status st = read_params(&j.scale, c, 1, v->x->dtype, n_param, err);
    if (st == KOE_OK) st = read_params(&j.bias, c, 2, v->x->dtype, n_param, err);
    if (st == KOE_OK) st = koe_out_inplace(c, 0, 0, v->x->dtype, v->x->n_dim, v->x->dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    j.x = v->x->data;
    j.y = y->data;
    koe_for_ranges(c->pool, v->n * n_group, rows_per_task(j.n_channel * v->s),
                   y->dtype == KOE_DTYPE_F32 ? groups_f32 : groups_f64, &j);
    return KOE_OK;
}

static koe_status run_instance(koe_op_ctx *c, koe_error *err)
{
    shape_ncs v = { 0 };
    koe_status st = read_x(&v, c, err);
    if (st == KOE_OK && v.c == 0) return koe_fail(err, KOE_E_FORMAT, "no channels");
    return st == KOE_OK ? normalize_groups(c, &v, v.c, false, err) : st;
}

static koe_status group_norm(koe_op_ctx *c, bool per_group, koe_error *err)
{
    shape_ncs v = { 0 };
    koe_status st = read_x(&v, c, err);
    if (st != KOE_OK) return st;
    int64_t n_group = koe_node_int(c->node, "num_groups", 0);
    if (n_group <= 0 || v.c == 0 || v.c % (size_t)n_group)
        return koe_fail(err, KOE_E_FORMAT, "num_groups does not divide the channels");
    return normalize_groups(c, &v, (size_t)n_group, per_group, err);
}

static koe_status run_group_18(koe_op_ctx *c, koe_error *err) { return group_norm(c, true, err); }
static koe_status run_group(koe_op_ctx *c, koe_error *err) { return group_norm(c, false, err); }

/* ---- BatchNormalization ---------------------------------------------------------------------------------------------- */

typedef struct batch_job {
    const void *x, *scale, *bias;
    const double *mean, *unit; /* [c]; unit: 1 / standard deviation */
    void *y; /* may be x */
    size_t c, s;
} batch_job;

#define BATCH(op, f, F, T, A)                                                                                                    \
    static void batch_rows_##f(void *arg, size_t from, size_t to)                                                                \
    {                                                                                                                            \
        const batch_job *j = arg;                                                                                                \
        const T *scale = j->scale, *bias = j->bias;                                                                              \
        for (size_t i = from; i < to; i++) {                                                                                     \
            size_t k = i % j->c, at = i * j->s;                                                                                  \
            affine_##f((T *)j->y + at, (const T *)j->x + at, j->s, (T)j->mean[k], (T)(j->unit[k] * (double)scale[k]), bias[k]);  \
        }                                                                                                                        \
    }                                                                                                                            \
    /* Mean and variance of channel k over all samples. */                                                                       \
    static void batch_stats_##f(double *mean, double *variance, const T *x, size_t n, size_t c, size_t space, size_t k)          \
    {                                                                                                                            \
        double sum = 0, spread = 0, count = (double)n * (double)space;                                                           \
        for (size_t i = 0; i < n; i++) sum += koe_sum_##f(x + (i * c + k) * space, space);                                       \
        *mean = sum / count;                                                                                                     \
        for (size_t i = 0; i < n; i++) spread += koe_spread_##f(x + (i * c + k) * space, space, *mean);                          \
        *variance = spread / count;                                                                                              \
    }
KOE_FLOATS(BATCH, )

/* Outputs 1 and 2: the running statistics, moved towards this batch's; 3 and 4 (before opset 14): the batch's own. */
static koe_status batch_train(koe_op_ctx *c, const shape_ncs *v, double *mean, double *variance, koe_error *err)
{
    double momentum = (double)koe_node_float(c->node, "momentum", 0.9f);
    double *running[2] = { koe_scratch(c, v->c * sizeof(double)), koe_scratch(c, v->c * sizeof(double)) };
    double *batch[2] = { mean, variance };
    if (!running[0] || !running[1]) return koe_fail(err, KOE_E_NOMEM, "statistics");
    for (size_t k = 0; k < v->c; k++) {
        running[0][k] = mean[k], running[1][k] = variance[k];
        if (v->x->dtype == KOE_DTYPE_F32) batch_stats_f32(&mean[k], &variance[k], v->x->data, v->n, v->c, v->s, k);
        else batch_stats_f64(&mean[k], &variance[k], v->x->data, v->n, v->c, v->s, k);
        for (int i = 0; i < 2; i++) running[i][k] = running[i][k] * momentum + batch[i][k] * (1 - momentum);
    }
    for (int i = 1; i < c->n_out && i < 5; i++) {
        koe_tensor *t;
        const koe_tensor *in = koe_in(c, i % 2 ? 3 : 4); /* mean, variance */
        koe_status st = koe_out(c, i, in->dtype, 1, &(int64_t){ (int64_t)v->c }, &t, err);
        if (st != KOE_OK) return st;
        koe_cast_elements(t->data, t->dtype, i < 3 ? running[i - 1] : batch[i - 3], KOE_DTYPE_F64, v->c);
    }
    return KOE_OK;
}

static koe_status batch_norm(koe_op_ctx *c, bool train, koe_error *err)
{
    shape_ncs v = { 0 };
    koe_status st = read_x(&v, c, err);
    if (st != KOE_OK) return st;
    if (!koe_node_int(c->node, "spatial", 1)) { /* opset 7: parameters for each element of a sample */
        v.c *= v.s;
        v.s = 1;
    }
    batch_job j = { .c = v.c, .s = v.s };
    const void *mean_in, *variance_in;
    koe_dtype dtype = v.x->dtype;
    st = read_params(&j.scale, c, 1, dtype, v.c, err);
    if (st == KOE_OK) st = read_params(&j.bias, c, 2, dtype, v.c, err);
    if (st == KOE_OK) st = read_params(&mean_in, c, 3, KOE_DTYPE_F64, v.c, err);
    if (st == KOE_OK) st = read_params(&variance_in, c, 4, KOE_DTYPE_F64, v.c, err);
    if (st != KOE_OK) return st;
    double *mean = koe_scratch(c, v.c * sizeof *mean), *unit = koe_scratch(c, v.c * sizeof *unit);
    if (!mean || !unit) return koe_fail(err, KOE_E_NOMEM, "statistics");
    memcpy(mean, mean_in, v.c * sizeof *mean);
    memcpy(unit, variance_in, v.c * sizeof *unit);
    if (train) st = batch_train(c, &v, mean, unit, err);
    koe_tensor *y;
    if (st == KOE_OK) st = koe_out_inplace(c, 0, 0, dtype, v.x->n_dim, v.x->dim, &y, err);
    if (st != KOE_OK) return st;
    double epsilon = (double)koe_node_float(c->node, "epsilon", 1e-5f);
    for (size_t k = 0; k < v.c; k++) unit[k] = 1 / sqrt(unit[k] + epsilon);
    j.mean = mean;
    j.unit = unit;
    j.x = v.x->data;
    j.y = y->data;
    koe_for_ranges(c->pool, v.n * v.c, rows_per_task(v.s), dtype == KOE_DTYPE_F32 ? batch_rows_f32 : batch_rows_f64, &j);
    return KOE_OK;
}

/* Before opset 14 a node trains when it has the outputs of training. */
static koe_status run_batch_7(koe_op_ctx *c, koe_error *err) { return batch_norm(c, c->n_out > 1, err); }
static koe_status run_batch(koe_op_ctx *c, koe_error *err)
{
    return batch_norm(c, koe_node_int(c->node, "training_mode", 0), err);
}

/* ---- MeanVarianceNormalization --------------------------------------------------------------------------------------- */

#define CENTER(op, s, S, T, A)                                                                                                   \
    KOE_BINARY(center_##s, T, T, a - b)                                                                                          \
    KOE_BINARY(divide_##s, T, T, a / (T)(sqrt((double)b) + 1e-9))
KOE_FLOATS(CENTER, )

static koe_status run_mean_variance(koe_op_ctx *c, koe_error *err)
{
    static const int64_t default_axes[] = { 0, 2, 3 };
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) return koe_type_error(c, x->dtype, err);
    const int64_t *axes;
    bool is_reduced[KOE_MAX_DIM] = { false };
    size_t n_axes = koe_node_ints(c->node, "axes", &axes);
    if (!koe_node_attr(c->node, "axes")) axes = default_axes, n_axes = 3;
    for (size_t i = 0; i < n_axes; i++) {
        int axis;
        st = koe_axis(&axis, axes[i], x->n_dim, false, c->node, err);
        if (st != KOE_OK) return st;
        is_reduced[axis] = true;
    }
    koe_tensor mean, variance;
    st = koe_reduce_mean(c, &mean, x, is_reduced, false, err);
    if (st == KOE_OK) st = koe_out(c, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    bool f32 = x->dtype == KOE_DTYPE_F32;
    koe_loop(c, f32 ? center_f32 : center_f64, NULL, y, (const koe_tensor *[]){ x, &mean }, 2);
    st = koe_reduce_mean(c, &variance, y, is_reduced, true, err);
    if (st == KOE_OK) koe_loop(c, f32 ? divide_f32 : divide_f64, NULL, y, (const koe_tensor *[]){ y, &variance }, 2);
    return st;
}

/* ---- LpNormalization ------------------------------------------------------------------------------------------------- */

typedef struct lp_job {
    const void *x;
    void *y; /* may be x */
    size_t n, n_inner; /* x is [n_outer, n, n_inner] */
    bool absolute; /* p is 1, else 2 */
} lp_job;

/* Where the norm is 0, so is the result. */
#define LP(op, s, S, T, A)                                                                                                       \
    static void lp_##s(void *arg, size_t from, size_t to)                                                                        \
    {                                                                                                                            \
        const lp_job *j = arg;                                                                                                   \
        for (size_t i = from; i < to; i++) {                                                                                     \
            size_t at = i / j->n_inner * j->n * j->n_inner + i % j->n_inner;                                                     \
            const T *x = (const T *)j->x + at;                                                                                   \
            T *y = (T *)j->y + at;                                                                                               \
            double norm = 0;                                                                                                     \
            for (size_t k = 0; k < j->n; k++) {                                                                                  \
                double a = (double)x[k * j->n_inner];                                                                            \
                norm += j->absolute ? fabs(a) : a * a;                                                                           \
            }                                                                                                                    \
            if (!j->absolute) norm = sqrt(norm);                                                                                 \
            for (size_t k = 0; k < j->n; k++) y[k * j->n_inner] = norm == 0 ? 0 : (T)((double)x[k * j->n_inner] / norm);         \
        }                                                                                                                        \
    }
KOE_FLOATS(LP, )

static koe_status run_lp(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    int axis;
    int64_t p = koe_node_int(c->node, "p", 2);
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", -1), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) return koe_type_error(c, x->dtype, err);
    if (p != 1 && p != 2) return koe_fail(err, KOE_E_FORMAT, "p must be 1 or 2");
    st = koe_out_inplace(c, 0, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    lp_job j = { x->data, y->data, (size_t)x->dim[axis], koe_dim_product(x->dim, axis + 1, x->n_dim), p == 1 };
    koe_for_ranges(c->pool, koe_tensor_count(x) / j.n, rows_per_task(j.n), x->dtype == KOE_DTYPE_F32 ? lp_f32 : lp_f64, &j);
    return KOE_OK;
}

/* ---- LRN: each element by the squares of its neighbours in the channel dimension ------------------------------------- */

typedef struct lrn_job {
    const void *x;
    void *y;
    size_t c, s, before, after; /* neighbours on each side */
    double scale, beta, bias; /* scale: alpha / size */
} lrn_job;

#define LRN(op, s_, S_, T, A)                                                                                                    \
    static void lrn_##s_(void *arg, size_t from, size_t to)                                                                      \
    {                                                                                                                            \
        enum { BLOCK = 256 };                                                                                                    \
        const lrn_job *j = arg;                                                                                                  \
        for (size_t i = from; i < to; i++) {                                                                                     \
            size_t k = i % j->c, first = k < j->before ? 0 : k - j->before;                                                      \
            size_t last = j->c - 1 - k < j->after ? j->c - 1 : k + j->after;                                                     \
            const T *x = (const T *)j->x + (i - k) * j->s; /* of the sample */                                                   \
            T *y = (T *)j->y + i * j->s;                                                                                         \
            for (size_t at = 0; at < j->s; at += BLOCK) {                                                                        \
                size_t n = j->s - at < BLOCK ? j->s - at : BLOCK;                                                                \
                double sum[BLOCK] = { 0 };                                                                                       \
                for (size_t q = first; q <= last; q++)                                                                           \
                    for (size_t p = 0; p < n; p++) sum[p] += (double)x[q * j->s + at + p] * (double)x[q * j->s + at + p];        \
                for (size_t p = 0; p < n; p++)                                                                                   \
                    y[at + p] = (T)((double)x[k * j->s + at + p] / pow(j->bias + j->scale * sum[p], j->beta));                   \
            }                                                                                                                    \
        }                                                                                                                        \
    }
KOE_FLOATS(LRN, )

static koe_status run_lrn(koe_op_ctx *c, koe_error *err)
{
    shape_ncs v = { 0 };
    koe_tensor *y;
    int64_t size = koe_node_int(c->node, "size", 0);
    koe_status st = read_x(&v, c, err);
    if (st != KOE_OK) return st;
    if (size < 1) return koe_fail(err, KOE_E_FORMAT, "size must be positive");
    st = koe_out(c, 0, v.x->dtype, v.x->n_dim, v.x->dim, &y, err);
    if (st != KOE_OK) return st;
    lrn_job j = { .x = v.x->data,
                  .y = y->data,
                  .c = v.c,
                  .s = v.s,
                  .before = (size_t)(size - 1) / 2,
                  .after = (size_t)size / 2,
                  .scale = (double)koe_node_float(c->node, "alpha", 1e-4f) / (double)size,
                  .beta = (double)koe_node_float(c->node, "beta", 0.75f),
                  .bias = (double)koe_node_float(c->node, "bias", 1) };
    koe_for_ranges(c->pool, v.n * v.c, rows_per_task(v.s), y->dtype == KOE_DTYPE_F32 ? lrn_f32 : lrn_f64, &j);
    return KOE_OK;
}

static const koe_op ops[] = {
    { .name = "InstanceNormalization", .since = 6, .flags = KOE_OP_WIDEN_HALF, .run = run_instance },
    { .name = "GroupNormalization", .since = 18, .until = 20, .flags = KOE_OP_WIDEN_HALF, .run = run_group_18 },
    { .name = "GroupNormalization", .since = 21, .flags = KOE_OP_WIDEN_HALF, .run = run_group },
    { .name = "BatchNormalization", .since = 7, .until = 13, .flags = KOE_OP_WIDEN_HALF, .run = run_batch_7 },
    { .name = "BatchNormalization", .since = 14, .flags = KOE_OP_WIDEN_HALF, .run = run_batch },
    { .name = "MeanVarianceNormalization", .since = 9, .flags = KOE_OP_WIDEN_HALF, .run = run_mean_variance },
    { .name = "LpNormalization", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_lp },
    { .name = "LRN", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_lrn },
};

koe_op_table koe_ops_norm(void) { return KOE_OP_TABLE(ops); }
