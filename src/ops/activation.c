/* activation.c - operators of one tensor with parameters: LeakyRelu, Elu, Gelu, Swish, Clip, PRelu, ... and Dropout. */
#include <float.h>
#include <math.h>

#include "kernels/kernels.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

typedef struct params {
    float alpha, beta;
} params;

/* ---- activations of alpha and beta ----------------------------------------------------------------------------------- */

#define PARAMETRIC(name, T, expr)                                                                                                \
    static void name(void *y_, const void *const *x_, const int *step, size_t n, const void *arg)                                \
    {                                                                                                                            \
        T *y = y_;                                                                                                               \
        const T *x = x_[0], alpha = (T)((const params *)arg)->alpha, beta = (T)((const params *)arg)->beta;                      \
        (void)step, (void)alpha, (void)beta;                                                                                     \
        KOE_INDEPENDENT                                                                                                          \
        for (size_t i = 0; i < n; i++) {                                                                                         \
            const T a = x[i];                                                                                                    \
            y[i] = (expr);                                                                                                       \
        }                                                                                                                        \
    }

#define FLOAT_OPS(op, s, S, T, A)                                                                                                \
    PARAMETRIC(leaky_##s, T, a < 0 ? alpha * a : a)                                                                              \
    PARAMETRIC(shrink_##s, T, a<-alpha ? a + beta : a> alpha ? a - beta : 0)                                                     \
    PARAMETRIC(thresholded_##s, T, a > alpha || a != a ? a : 0)                                                                  \
    PARAMETRIC(hardsigmoid_##s, T, alpha *a + beta < 0 ? 0 : alpha * a + beta > 1 ? 1 : alpha * a + beta)
KOE_FLOATS(FLOAT_OPS, )

PARAMETRIC(elu_f32, float, a < 0 ? alpha * expm1f(a) : a)
PARAMETRIC(elu_f64, double, a < 0 ? alpha * expm1(a) : a)
PARAMETRIC(celu_f32, float, a < 0 ? alpha * expm1f(a / alpha) : a)
PARAMETRIC(celu_f64, double, a < 0 ? alpha * expm1(a / alpha) : a)
PARAMETRIC(selu_f32, float, beta *(a < 0 ? alpha * expm1f(a) : a))
PARAMETRIC(selu_f64, double, beta *(a < 0 ? alpha * expm1(a) : a))
PARAMETRIC(swish_f64, double, a / (1 + exp(-alpha * a)))
PARAMETRIC(gelu_f64, double, 0.5 * a * (1 + erf(a * 0.70710678118654752440)))
PARAMETRIC(gelu_tanh_f64, double, 0.5 * a * (1 + tanh(0.79788456080286535588 * (a + 0.044715 * a * a * a))))

/* y[i] = post(x[i], kernel(pre(x[i]))): the vector kernels work on a block at a time. */
#define BLOCKWISE(name, kernel, pre, post)                                                                                       \
    static void name(void *y_, const void *const *x_, const int *step, size_t n, const void *arg)                                \
    {                                                                                                                            \
        enum { BLOCK = 512 };                                                                                                    \
        float *y = y_, t[BLOCK];                                                                                                 \
        const float *x = x_[0], alpha = ((const params *)arg)->alpha;                                                            \
        (void)step, (void)alpha;                                                                                                 \
        for (; n > 0;) {                                                                                                         \
            size_t m = n < BLOCK ? n : BLOCK;                                                                                    \
            for (size_t i = 0; i < m; i++) {                                                                                     \
                const float a = x[i];                                                                                            \
                t[i] = (pre);                                                                                                    \
            }                                                                                                                    \
            kernel(t, t, m);                                                                                                     \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < m; i++) {                                                                                     \
                const float a = x[i], b = t[i];                                                                                  \
                y[i] = (post);                                                                                                   \
            }                                                                                                                    \
            x += m, y += m, n -= m;                                                                                              \
        }                                                                                                                        \
    }
BLOCKWISE(swish_f32, koe_f32_sigmoid, alpha *a, a *b)

#define KERNEL(name)                                                                                                             \
    static void name##_f32(void *y, const void *const *x, const int *step, size_t n, const void *arg)                            \
    {                                                                                                                            \
        (void)step, (void)arg;                                                                                                   \
        koe_f32_##name(y, x[0], n);                                                                                              \
    }
KERNEL(gelu)
KERNEL(gelu_tanh)
KERNEL(silu)

/* X(operator, its name above, first opset, attribute in alpha, its default, attribute in beta, its default) */
#define PARAMETRIC_OPS(X)                                                                                                        \
    X("LeakyRelu", leaky, 6, "alpha", 0.01f, "", 0)                                                                              \
    X("ThresholdedRelu", thresholded, 10, "alpha", 1, "", 0)                                                                     \
    X("HardSigmoid", hardsigmoid, 6, "alpha", 0.2f, "beta", 0.5f)                                                                \
    X("Elu", elu, 6, "alpha", 1, "", 0)                                                                                          \
    X("Celu", celu, 12, "alpha", 1, "", 0)                                                                                       \
    X("Selu", selu, 6, "alpha", 1.67326319217681884765625f, "gamma", 1.05070102214813232421875f)                                 \
    X("Shrink", shrink, 9, "lambd", 0.5f, "bias", 0)                                                                             \
    X("Swish", swish, 24, "alpha", 1, "", 0)

#define DEFINE_RUN(name, op, since, alpha_name, alpha, beta_name, beta)                                                          \
    static koe_loop_fn *const op##_table[KOE_DTYPES] = { KOE_FLOATS(KOE_TYPE_ROW, op) };                                         \
    static koe_status run_##op(koe_op_ctx *c, koe_error *err)                                                                    \
    {                                                                                                                            \
        params p = { koe_node_float(c->node, alpha_name, alpha), koe_node_float(c->node, beta_name, beta) };                     \
        return koe_run_unary(c, op##_table, &p, err);                                                                                \
    }
PARAMETRIC_OPS(DEFINE_RUN)

/* The commonest alpha has a kernel of its own. */
static koe_status run_silu(koe_op_ctx *c, koe_error *err)
{
    static koe_loop_fn *const table[KOE_DTYPES] = { [KOE_DTYPE_F32] = silu_f32, [KOE_DTYPE_F64] = swish_f64 };
    return koe_run_unary(c, table, &(params){ 1, 0 }, err);
}

static koe_status run_quick_gelu(koe_op_ctx *c, koe_error *err)
{
    return koe_run_unary(c, swish_table, &(params){ koe_node_float(c->node, "alpha", 1.702f), 0 }, err);
}

/* ---- Gelu ------------------------------------------------------------------------------------------------------------ */

static koe_loop_fn *const gelu_table[KOE_DTYPES] = { KOE_FLOATS(KOE_TYPE_ROW, gelu) };
static koe_loop_fn *const gelu_tanh_table[KOE_DTYPES] = { KOE_FLOATS(KOE_TYPE_ROW, gelu_tanh) };

static koe_status run_gelu(koe_op_ctx *c, koe_error *err)
{
    koe_str approximate = koe_node_str(c->node, "approximate", "none");
    bool use_tanh = koe_str_is(approximate, "tanh");
    if (!use_tanh && !koe_str_is(approximate, "none"))
        return koe_fail(err, KOE_E_FORMAT, "approximate is \"%.*s\", not none or tanh", KOE_STR_ARG(approximate));
    return koe_run_unary(c, use_tanh ? gelu_tanh_table : gelu_table, &(params){ 0 }, err);
}

KOE_BINARY(add_f32, float, float, a + b)
KOE_BINARY(add_f64, double, double, a + b)

/* gelu(x + bias), bias optional. */
static koe_status gelu_of_sum(koe_op_ctx *c, koe_loop_fn *const *table, koe_error *err)
{
    const koe_tensor *x[2] = { koe_in(c, 0), koe_in(c, 1) };
    koe_tensor *y;
    if (!x[0] || !x[1]) return koe_run_unary(c, table, &(params){ 0 }, err);
    if (!table[x[0]->dtype] || x[1]->dtype != x[0]->dtype) return koe_type_error(c, x[1]->dtype, err);
    koe_status st = koe_out_broadcast(c, x[0]->dtype, x, 2, 2, &y, err);
    if (st != KOE_OK) return st;
    const koe_tensor *sum = y;
    const params none = { 0 };
    koe_loop(c, x[0]->dtype == KOE_DTYPE_F32 ? add_f32 : add_f64, NULL, y, x, 2);
    koe_loop(c, table[y->dtype], &none, y, &sum, 1);
    return KOE_OK;
}

static koe_status run_bias_gelu(koe_op_ctx *c, koe_error *err) { return gelu_of_sum(c, gelu_table, err); }
static koe_status run_fast_gelu(koe_op_ctx *c, koe_error *err) { return gelu_of_sum(c, gelu_tanh_table, err); }

/* ---- Clip ------------------------------------------------------------------------------------------------------------ */

/* One element each, of the tensor's type; NULL: no bound on that side. */
typedef struct bounds {
    const void *low, *high;
} bounds;

/* NaN stays; where low > high everything becomes high. */
#define CLIP(op, s, S, T, A)                                                                                                     \
    static void clip_##s(void *y_, const void *const *x_, const int *step, size_t n, const void *arg)                            \
    {                                                                                                                            \
        const bounds *r = arg;                                                                                                   \
        T *y = y_;                                                                                                               \
        const T *x = x_[0];                                                                                                      \
        (void)step;                                                                                                              \
        if (!r->low && !r->high) {                                                                                               \
            if (y != x) memcpy(y, x, n * sizeof *y);                                                                             \
            return;                                                                                                              \
        }                                                                                                                        \
        const T low = r->low ? *(const T *)r->low : 0, high = r->high ? *(const T *)r->high : 0;                                 \
        if (r->low) {                                                                                                            \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) y[i] = x[i] < low ? low : x[i];                                                       \
            x = y;                                                                                                               \
        }                                                                                                                        \
        if (r->high) {                                                                                                           \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) y[i] = x[i] > high ? high : x[i];                                                     \
        }                                                                                                                        \
    }
KOE_NUMBERS(CLIP, )
static koe_loop_fn *const clip_table[KOE_DTYPES] = { KOE_NUMBERS(KOE_TYPE_ROW, clip) };

static koe_status clip(koe_op_ctx *c, const koe_tensor *x, bounds r, koe_error *err)
{
    koe_tensor *y;
    koe_status st = koe_out_inplace(c, 0, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st == KOE_OK) koe_loop(c, clip_table[x->dtype], &r, y, &x, 1);
    return st;
}

static koe_status run_clip_6(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    const float low = koe_node_float(c->node, "min", -FLT_MAX), high = koe_node_float(c->node, "max", FLT_MAX);
    const double low_f64 = (double)low, high_f64 = (double)high;
    if (x->dtype == KOE_DTYPE_F32) return clip(c, x, (bounds){ &low, &high }, err);
    if (x->dtype == KOE_DTYPE_F64) return clip(c, x, (bounds){ &low_f64, &high_f64 }, err);
    return koe_type_error(c, x->dtype, err);
}

static koe_status run_clip(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *bound[2] = { koe_in(c, 1), koe_in(c, 2) };
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (!clip_table[x->dtype]) return koe_type_error(c, x->dtype, err);
    for (int k = 0; k < 2; k++)
        if (bound[k] && (bound[k]->dtype != x->dtype || koe_tensor_count(bound[k]) != 1))
            return koe_fail(err, KOE_E_FORMAT, "a bound must be one %s", koe_dtype_name(x->dtype));
    return clip(c, x, (bounds){ bound[0] ? bound[0]->data : NULL, bound[1] ? bound[1]->data : NULL }, err);
}

/* ---- PRelu ----------------------------------------------------------------------------------------------------------- */

#define PRELU(op, s, S, T, A) KOE_BINARY(prelu_##s, T, T, (A)a *(A)(a < 0 ? b : 1))
#define PRELU_UNSIGNED(op, s, S, T, A) KOE_BINARY(prelu_##s, T, T, ((void)b, a))
KOE_FLOATS(PRELU, )
KOE_SIGNED(PRELU, )
KOE_UNSIGNED(PRELU_UNSIGNED, )
static koe_loop_fn *const prelu_table[KOE_DTYPES] = { KOE_NUMBERS(KOE_TYPE_ROW, prelu) };

static koe_status run_prelu(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x[2];
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x[0], err);
    if (st == KOE_OK) st = koe_need(c, 1, &x[1], err);
    if (st != KOE_OK) return st;
    if (!prelu_table[x[0]->dtype] || x[0]->dtype != x[1]->dtype) return koe_type_error(c, x[1]->dtype, err);
    st = koe_out_broadcast(c, x[0]->dtype, x, 2, 2, &y, err);
    if (st == KOE_OK) koe_loop(c, prelu_table[y->dtype], NULL, y, x, 2);
    return st;
}

/* ---- Dropout: the identity, unless a graph asks for training --------------------------------------------------------- */

#define KEEP(op, s, S, T, A)                                                                                                     \
    static void keep_##s(void *y_, const void *const *x_, const int *step, size_t n, const void *arg)                            \
    {                                                                                                                            \
        T *y = y_;                                                                                                               \
        const T *x = x_[0], scale = (T)(1 / (1 - *(const double *)arg));                                                         \
        const uint8_t *mask = x_[1];                                                                                             \
        (void)step;                                                                                                              \
        for (size_t i = 0; i < n; i++) y[i] = mask[i] ? x[i] * scale : 0;                                                        \
    }
KOE_FLOATS(KEEP, )

/* Zeroes each element with probability ratio and scales the others so that the mean stays. */
static koe_status drop_randomly(koe_op_ctx *c, const koe_tensor *x, double ratio, koe_error *err)
{
    koe_tensor *y, *mask;
    size_t n = koe_tensor_count(x);
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) return koe_type_error(c, x->dtype, err);
    koe_status st = koe_out(c, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st == KOE_OK) st = koe_out(c, 1, KOE_DTYPE_BOOL, x->n_dim, x->dim, &mask, err);
    if (st != KOE_OK || n == 0) return st;
    float *u = koe_scratch(c, n * sizeof *u);
    if (!u) return koe_fail(err, KOE_E_NOMEM, "%zu random numbers", n);
    koe_random_uniform(c, u, n, 0, 1);
    for (size_t i = 0; i < n; i++) ((uint8_t *)mask->data)[i] = (double)u[i] >= ratio;
    const koe_tensor *in[2] = { x, mask };
    koe_loop(c, x->dtype == KOE_DTYPE_F32 ? keep_f32 : keep_f64, &ratio, y, in, 2);
    return KOE_OK;
}

/* Output 0 is the input; output 1, where there is one, a mask of ones: of the input's type before opset 10. */
static koe_status drop_nothing(koe_op_ctx *c, const koe_tensor *x, koe_dtype mask_type, koe_error *err)
{
    koe_status st = koe_out_view(c, 0, 0, x->n_dim, x->dim, err);
    if (st != KOE_OK || c->n_out < 2) return st;
    koe_tensor *mask;
    st = koe_out(c, 1, mask_type, x->n_dim, x->dim, &mask, err);
    if (st != KOE_OK) return st;
    size_t n = koe_tensor_count(x);
    for (size_t i = 0; i < n; i++) {
        static const uint8_t one = 1;
        koe_cast_elements((char *)mask->data + i * koe_dtype_size(mask_type), mask_type, &one, KOE_DTYPE_BOOL, 1);
    }
    return KOE_OK;
}

static koe_status run_dropout_7(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    return st == KOE_OK ? drop_nothing(c, x, c->node->opset < 10 ? x->dtype : KOE_DTYPE_BOOL, err) : st;
}

static koe_status run_dropout(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *ratio_in = koe_in(c, 1), *training = koe_in(c, 2);
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    double ratio = 0.5;
    uint8_t train = 0;
    if (ratio_in && koe_tensor_count(ratio_in) == 1) koe_cast_elements(&ratio, KOE_DTYPE_F64, ratio_in->data, ratio_in->dtype, 1);
    if (training && koe_tensor_count(training) == 1)
        koe_cast_elements(&train, KOE_DTYPE_BOOL, training->data, training->dtype, 1);
    if (!train || ratio == 0) return drop_nothing(c, x, KOE_DTYPE_BOOL, err);
    if (!(ratio > 0 && ratio < 1)) return koe_fail(err, KOE_E_FORMAT, "ratio %g is not in [0, 1)", ratio);
    return drop_randomly(c, x, ratio, err);
}

/* ---------------------------------------------------------------------------------------------------------------------- */

#define PARAMETRIC_ROW(name_, op_, since_, alpha_name, alpha, beta_name, beta)                                                   \
    { .name = name_, .since = since_, .flags = KOE_OP_WIDEN_HALF, .run = run_##op_ },
static const koe_op ops[] = {
    { .name = "Gelu", .since = 20, .flags = KOE_OP_WIDEN_HALF, .run = run_gelu },
    { .name = "Gelu", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_gelu, .domain = "com.microsoft" },
    { .name = "Gelu", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_gelu, .domain = "koe" },
    { .name = "Silu", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_silu, .domain = "koe" },
    { .name = "QuickGelu", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_quick_gelu, .domain = "koe" },
    { .name = "BiasGelu", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_bias_gelu, .domain = "com.microsoft" },
    { .name = "FastGelu", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_fast_gelu, .domain = "com.microsoft" },
    { .name = "QuickGelu", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_quick_gelu, .domain = "com.microsoft" },
    { .name = "Clip", .since = 6, .until = 10, .flags = KOE_OP_WIDEN_HALF, .run = run_clip_6 },
    { .name = "Clip", .since = 11, .flags = KOE_OP_WIDEN_HALF, .run = run_clip },
    { .name = "PRelu", .since = 7, .flags = KOE_OP_WIDEN_HALF, .run = run_prelu },
    { .name = "Dropout", .since = 7, .until = 11, .run = run_dropout_7 },
    { .name = "Dropout", .since = 12, .flags = KOE_OP_IMPURE, .run = run_dropout },
    PARAMETRIC_OPS(PARAMETRIC_ROW)
};

koe_op_table koe_ops_activation(void) { return KOE_OP_TABLE(ops); }
