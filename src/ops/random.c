/* random.c - RandomNormal, RandomUniform, their Like forms, Bernoulli, Multinomial. The numbers come from the run's streams
 * (op.h), which also take the seed attribute into account. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/ops.h"

/* Output 0 of a float type, filled by draw(); other types than float32 are drawn as float32 and converted. */
static koe_status fill(koe_op_ctx *c, int64_t dtype, int n_dim, const int64_t *dim,
                       void (*draw)(koe_op_ctx *, float *, size_t, float, float), float a, float b, koe_error *err)
{
    koe_tensor *y;
    if (dtype <= 0 || dtype >= KOE_DTYPES || !koe_dtype_is_float((koe_dtype)dtype))
        return koe_fail(err, KOE_E_UNSUPPORTED, "random numbers of element type %lld", (long long)dtype);
    koe_status st = koe_out(c, 0, (koe_dtype)dtype, n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    size_t n = koe_tensor_count(y);
    float *x = y->dtype == KOE_DTYPE_F32 ? y->data : koe_scratch(c, n * sizeof *x);
    if (!x) return koe_fail(err, KOE_E_NOMEM, "%zu random numbers", n);
    draw(c, x, n, a, b);
    if (y->dtype != KOE_DTYPE_F32) koe_cast_elements(y->data, y->dtype, x, KOE_DTYPE_F32, n);
    return KOE_OK;
}

static koe_status normal(koe_op_ctx *c, int64_t dtype, int n_dim, const int64_t *dim, koe_error *err)
{
    return fill(c, dtype, n_dim, dim, koe_random_normal, koe_node_float(c->node, "mean", 0), koe_node_float(c->node, "scale", 1),
                err);
}

static koe_status uniform(koe_op_ctx *c, int64_t dtype, int n_dim, const int64_t *dim, koe_error *err)
{
    return fill(c, dtype, n_dim, dim, koe_random_uniform, koe_node_float(c->node, "low", 0), koe_node_float(c->node, "high", 1),
                err);
}

typedef koe_status draw_fn(koe_op_ctx *c, int64_t dtype, int n_dim, const int64_t *dim, koe_error *err);

static koe_status of_shape(koe_op_ctx *c, draw_fn *draw, koe_error *err)
{
    const int64_t *dim;
    size_t n = koe_node_ints(c->node, "shape", &dim);
    if (n > KOE_MAX_DIM) return koe_fail(err, KOE_E_LIMIT, "%zu dimensions", n);
    return draw(c, koe_node_int(c->node, "dtype", KOE_DTYPE_F32), (int)n, dim, err);
}

static koe_status like(koe_op_ctx *c, draw_fn *draw, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    return st == KOE_OK ? draw(c, koe_node_int(c->node, "dtype", x->dtype), x->n_dim, x->dim, err) : st;
}

static koe_status run_normal(koe_op_ctx *c, koe_error *err) { return of_shape(c, normal, err); }
static koe_status run_uniform(koe_op_ctx *c, koe_error *err) { return of_shape(c, uniform, err); }
static koe_status run_normal_like(koe_op_ctx *c, koe_error *err) { return like(c, normal, err); }
static koe_status run_uniform_like(koe_op_ctx *c, koe_error *err) { return like(c, uniform, err); }

/* y[i] is 1 with probability x[i]. */
static koe_status run_bernoulli(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    int64_t dtype = koe_node_int(c->node, "dtype", x->dtype);
    if (dtype <= 0 || dtype >= KOE_DTYPES || !koe_dtype_size((koe_dtype)dtype)) return koe_type_error(c, KOE_DTYPE_NONE, err);
    if (!koe_dtype_is_float(x->dtype)) return koe_type_error(c, x->dtype, err);
    st = koe_out(c, 0, (koe_dtype)dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    size_t n = koe_tensor_count(x);
    const float *p = koe_as_type(c, x, KOE_DTYPE_F32);
    float *u = koe_scratch(c, n * sizeof *u);
    uint8_t *hit = koe_scratch(c, n);
    if (!p || !u || !hit) return koe_fail(err, KOE_E_NOMEM, "%zu random numbers", n);
    koe_random_uniform(c, u, n, 0, 1);
    for (size_t i = 0; i < n; i++) hit[i] = u[i] < p[i];
    koe_cast_elements(y->data, y->dtype, hit, KOE_DTYPE_BOOL, n);
    return KOE_OK;
}

/* One draw from unnormalised log-probabilities; cumulative[n] is their running sum of exponentials. */
static size_t pick(const double *cumulative, size_t n, double u)
{
    double at = u * cumulative[n - 1];
    size_t i = 0;
    while (i + 1 < n && !(at < cumulative[i])) i++;
    return i;
}

static void draw_row(koe_tensor *y, size_t from, size_t n_sample, const float *x, size_t n_class, double *cumulative,
                     const float *u)
{
    float max = x[0];
    double sum = 0;
    for (size_t i = 1; i < n_class; i++) max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n_class; i++) cumulative[i] = sum += exp((double)x[i] - (double)max);
    for (size_t i = 0; i < n_sample; i++) {
        size_t class = pick(cumulative, n_class, (double)u[i]);
        if (y->dtype == KOE_DTYPE_I64) ((int64_t *)y->data)[from + i] = (int64_t) class;
        else ((int32_t *)y->data)[from + i] = (int32_t) class;
    }
}

/* [batch, n_class] -> [batch, sample_size] class numbers. */
static koe_status run_multinomial(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    int64_t dtype = koe_node_int(c->node, "dtype", KOE_DTYPE_I32), n_sample = koe_node_int(c->node, "sample_size", 1);
    if (!koe_dtype_is_float(x->dtype)) return koe_type_error(c, x->dtype, err);
    if (x->n_dim != 2 || x->dim[1] < 1 || n_sample < 0 || (dtype != KOE_DTYPE_I32 && dtype != KOE_DTYPE_I64))
        return koe_fail(err, KOE_E_FORMAT, "[batch, classes], a sample_size and int32 or int64 are needed");
    int64_t dim[2] = { x->dim[0], n_sample };
    st = koe_out(c, 0, (koe_dtype)dtype, 2, dim, &y, err);
    if (st != KOE_OK) return st;
    size_t n = koe_tensor_count(y), n_class = (size_t)x->dim[1];
    const float *p = koe_as_type(c, x, KOE_DTYPE_F32);
    float *u = koe_scratch(c, n * sizeof *u);
    double *cumulative = koe_scratch(c, n_class * sizeof *cumulative);
    if (!p || !u || !cumulative) return koe_fail(err, KOE_E_NOMEM, "%zu random numbers", n);
    koe_random_uniform(c, u, n, 0, 1);
    for (size_t b = 0; b < (size_t)dim[0]; b++)
        draw_row(y, b * (size_t)n_sample, (size_t)n_sample, p + b * n_class, n_class, cumulative, u + b * (size_t)n_sample);
    return KOE_OK;
}

static const koe_op ops[] = {
    { .name = "RandomNormal", .since = 1, .flags = KOE_OP_IMPURE, .run = run_normal },
    { .name = "RandomUniform", .since = 1, .flags = KOE_OP_IMPURE, .run = run_uniform },
    { .name = "RandomNormalLike", .since = 1, .flags = KOE_OP_IMPURE, .run = run_normal_like },
    { .name = "RandomUniformLike", .since = 1, .flags = KOE_OP_IMPURE, .run = run_uniform_like },
    { .name = "Bernoulli", .since = 15, .flags = KOE_OP_IMPURE, .run = run_bernoulli },
    { .name = "Multinomial", .since = 7, .flags = KOE_OP_IMPURE, .run = run_multinomial },
};

koe_op_table koe_ops_random(void) { return KOE_OP_TABLE(ops); }
