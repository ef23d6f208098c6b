/* steps.h - one step of an elementwise program on a tile: what is left of a graph's elementwise operators when they run in one sweep.
 *     KOE_STEP_ADD ...: y[i] = f(a[i], b[i], c[i]) with the constant k in place of b where b is NULL
 * Truth is 1 and 0. */
#ifndef KOE_KERNELS_STEPS_H
#define KOE_KERNELS_STEPS_H
#include <stddef.h>

/* X(name, expression of a, b); X3 of a, b, c; steps of one operand may use k. */
#define KOE_STEPS_OF_TWO(X)                                  \
    X(ADD, a + b) X(SUB, a - b) X(MUL, a * b) X(DIV, a / b)   \
    X(RSUB, b - a) X(RDIV, b / a)                             \
    X(MAX, a > b || a != a ? a : b)                           \
    X(MIN, a < b || a != a ? a : b)                           \
    X(LT, a < b ? 1 : 0) X(LE, a <= b ? 1 : 0)                \
    X(GT, a > b ? 1 : 0) X(GE, a >= b ? 1 : 0)                \
    X(EQ, a == b ? 1 : 0)                                     \
    X(AND, a * b) X(OR, a + b > 0 ? 1 : 0)
#define KOE_STEPS_OF_ONE(X)                                       \
    X(NEG, -a) X(ABS, fabsf(a)) X(SQRT, sqrtf(a)) X(INVERSE, 1 / a) \
    X(RELU, a < 0 ? 0 : a) X(LEAKY, a < 0 ? k * a : a)            \
    X(SQUARE, a * a) X(CUBE, a * a * a) X(FLOOR, floorf(a)) X(NOT, 1 - a)
/* Kernels of their own (kernels.h). */
#define KOE_STEPS_MAPPED(X)                                                                                                   \
    X(EXP, exp) X(LOG, log) X(SIN, sin) X(COS, cos) X(TANH, tanh) X(SIGMOID, sigmoid) X(ERF, erf) X(GELU, gelu)                 \
    X(GELU_TANH, gelu_tanh) X(SILU, silu) X(MISH, mish)

#define KOE_STEP_NAME(name, expression) KOE_STEP_##name,
typedef enum koe_step {
    KOE_STEPS_OF_TWO(KOE_STEP_NAME) KOE_STEPS_OF_ONE(KOE_STEP_NAME)
    KOE_STEP_SELECT, /* a ? b : c */
    KOE_STEPS_MAPPED(KOE_STEP_NAME)
    KOE_STEP_COUNT
} koe_step;

/* Operands that a step has not may be NULL. y may be any of them. n is at most what the caller's tiles hold. */
void koe_f32_step(koe_step step, float *y, const float *a, const float *b, const float *c, float k, size_t n);
/* A variant of it, for the steps in front of KOE_STEPS_MAPPED. */
typedef void koe_f32_step_fn(koe_step step, float *y, const float *a, const float *b, const float *c, float k, size_t n);
#endif
