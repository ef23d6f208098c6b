/* unary.c - operators of one input without parameters: Abs, Sqrt, Sin, Tanh, Not, ... */
#include <math.h>

#include "kernels/kernels.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

/* ---- one definition per type ----------------------------------------------------------------------------------------- */

/* f32 and f64 from the C library. */
#define LIBM(op, f32_function, f64_function)                                                                                     \
    KOE_UNARY(op##_f32, float, float, f32_function(a))                                                                           \
    KOE_UNARY(op##_f64, double, double, f64_function(a))
/* f32 from the kernels, f64 from the C library. */
#define KERNEL(op, f64_function)                                                                                                 \
    static void op##_f32(void *y, const void *const *x, const int *step, size_t n, const void *arg)                              \
    {                                                                                                                            \
        (void)step, (void)arg;                                                                                                   \
        koe_f32_##op(y, x[0], n);                                                                                                \
    }                                                                                                                            \
    KOE_UNARY(op##_f64, double, double, f64_function(a))

static double sigmoid_of(double a) { return a >= 0 ? 1 / (1 + exp(-a)) : exp(a) / (1 + exp(a)); }

static double mish_of(double a) { return a * tanh((a > 0 ? a : 0) + log1p(exp(-fabs(a)))); }

KERNEL(exp, exp)
KERNEL(tanh, tanh)
KERNEL(sigmoid, sigmoid_of)
KERNEL(sin, sin)
KERNEL(cos, cos)
KERNEL(erf, erf)
LIBM(floor, floorf, floor)
LIBM(ceil, ceilf, ceil)
LIBM(round, rintf, rint) /* halves to even */
LIBM(sqrt, sqrtf, sqrt)
LIBM(log, logf, log)
LIBM(tan, tanf, tan)
LIBM(asin, asinf, asin)
LIBM(acos, acosf, acos)
LIBM(atan, atanf, atan)
LIBM(sinh, sinhf, sinh)
LIBM(cosh, coshf, cosh)
LIBM(asinh, asinhf, asinh)
LIBM(acosh, acoshf, acosh)
LIBM(atanh, atanhf, atanh)

#define FLOAT_OPS(op, s, S, T, A)                                                                                                \
    KOE_UNARY(reciprocal_##s, T, T, 1 / a)                                                                                       \
    KOE_UNARY(abs_##s, T, T, (T)fabs((double)a))                                                                                 \
    KOE_UNARY(neg_##s, T, T, -a)                                                                                                 \
    KOE_UNARY(sign_##s, T, T, a > 0 ? 1 : a < 0 ? -1 : a)                                                                        \
    KOE_UNARY(softsign_##s, T, T, a / (1 + (a < 0 ? -a : a)))                                                                    \
    KOE_UNARY(relu_##s, T, T, a < 0 ? 0 : a)
KOE_FLOATS(FLOAT_OPS, )

KOE_UNARY(softplus_f32, float, float, (a > 0 ? a : 0) + log1pf(expf(-fabsf(a))))
KOE_UNARY(softplus_f64, double, double, (a > 0 ? a : 0) + log1p(exp(-fabs(a))))
KERNEL(mish, mish_of)
KOE_UNARY(hardswish_f32, float, float, a *fminf(fmaxf(a / 6 + 0.5f, 0), 1))
KOE_UNARY(hardswish_f64, double, double, a *fmin(fmax(a / 6 + 0.5, 0), 1))

#define SIGNED_OPS(op, s, S, T, A)                                                                                               \
    KOE_UNARY(abs_##s, T, T, (T)(a < 0 ? 0 - (A)a : (A)a))                                                                       \
    KOE_UNARY(neg_##s, T, T, (T)(0 - (A)a))                                                                                      \
    KOE_UNARY(sign_##s, T, T, (T)((a > 0) - (a < 0)))                                                                            \
    KOE_UNARY(relu_##s, T, T, a < 0 ? 0 : a)
#define UNSIGNED_OPS(op, s, S, T, A)                                                                                             \
    KOE_UNARY(abs_##s, T, T, a)                                                                                                  \
    KOE_UNARY(sign_##s, T, T, a > 0)
#define INT_OPS(op, s, S, T, A)                                                                                                  \
    KOE_UNARY(bitnot_##s, T, T, ~a)                                                                                              \
    KOE_UNARY(erf_##s, T, T, erf((double)a))
KOE_SIGNED(SIGNED_OPS, )
KOE_UNSIGNED(UNSIGNED_OPS, )
KOE_INTS(INT_OPS, )
KOE_UNARY(not_boolean, uint8_t, uint8_t, !a)

/* ---- tables: X(operator, its name above, first opset, class of types) ------------------------------------------------ */

#define UNARY_OPS(X)                                                                                                             \
    X("Abs", abs, 6, KOE_NUMBERS)                                                                                                \
    X("Neg", neg, 6, SIGNED_NUMBERS)                                                                                             \
    X("Sign", sign, 9, KOE_NUMBERS)                                                                                              \
    X("Floor", floor, 6, KOE_FLOATS)                                                                                             \
    X("Ceil", ceil, 6, KOE_FLOATS)                                                                                               \
    X("Round", round, 11, KOE_FLOATS)                                                                                            \
    X("Sqrt", sqrt, 6, KOE_FLOATS)                                                                                               \
    X("Reciprocal", reciprocal, 6, KOE_FLOATS)                                                                                   \
    X("Exp", exp, 6, KOE_FLOATS)                                                                                                 \
    X("Log", log, 6, KOE_FLOATS)                                                                                                 \
    X("Sin", sin, 7, KOE_FLOATS)                                                                                                 \
    X("Cos", cos, 7, KOE_FLOATS)                                                                                                 \
    X("Tan", tan, 7, KOE_FLOATS)                                                                                                 \
    X("Asin", asin, 7, KOE_FLOATS)                                                                                               \
    X("Acos", acos, 7, KOE_FLOATS)                                                                                               \
    X("Atan", atan, 7, KOE_FLOATS)                                                                                               \
    X("Sinh", sinh, 9, KOE_FLOATS)                                                                                               \
    X("Cosh", cosh, 9, KOE_FLOATS)                                                                                               \
    X("Asinh", asinh, 9, KOE_FLOATS)                                                                                             \
    X("Acosh", acosh, 9, KOE_FLOATS)                                                                                             \
    X("Atanh", atanh, 9, KOE_FLOATS)                                                                                             \
    X("Tanh", tanh, 6, KOE_FLOATS)                                                                                               \
    X("Sigmoid", sigmoid, 6, KOE_FLOATS)                                                                                         \
    X("Erf", erf, 9, KOE_NUMBERS)                                                                                                \
    X("Softplus", softplus, 1, KOE_FLOATS)                                                                                       \
    X("Softsign", softsign, 1, KOE_FLOATS)                                                                                       \
    X("Relu", relu, 6, SIGNED_NUMBERS)                                                                                           \
    X("Mish", mish, 18, KOE_FLOATS)                                                                                              \
    X("HardSwish", hardswish, 14, KOE_FLOATS)                                                                                    \
    X("BitwiseNot", bitnot, 18, KOE_INTS)                                                                                        \
    X("Not", not, 1, KOE_BOOL)

#define SIGNED_NUMBERS(X, op) KOE_FLOATS(X, op) KOE_SIGNED(X, op)
#define DEFINE_RUN(name, op, since, types)                                                                                       \
    static koe_loop_fn *const op##_table[KOE_DTYPES] = { types(KOE_TYPE_ROW, op) };                                              \
    static koe_status run_##op(koe_op_ctx *c, koe_error *err) { return koe_run_unary(c, op##_table, NULL, err); }
UNARY_OPS(DEFINE_RUN)

#define OP_ROW(name_, op_, since_, types) { .name = name_, .since = since_, .flags = KOE_OP_WIDEN_HALF, .run = run_##op_ },
static const koe_op ops[] = { UNARY_OPS(OP_ROW){ .name = "Mish", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_mish, .domain = "koe" } };

koe_op_table koe_ops_unary(void) { return KOE_OP_TABLE(ops); }
