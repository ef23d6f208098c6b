/* f32_steps_simd.c - steps of elementwise programs. Plain loops: under the flags of each instruction set the compiler makes vector code of
 * them. */
#include <math.h>

#include "kernels/kernels.h"

#ifdef KOE_ISA
#include "kernels/simd.h"
#else /* the portable variant */
#define VARIANT(name) name##_ref
#endif
#include "kernels/variants.h"

#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#endif

#define OF_TWO(name, expression)                                                                      \
    static void step_##name(float *y, const float *p, const float *q, float k, size_t n)              \
    {                                                                                                 \
        if (q) {                                                                                      \
            INDEPENDENT                                                                               \
            for (size_t i = 0; i < n; i++) {                                                          \
                const float a = p[i], b = q[i];                                                       \
                y[i] = (expression);                                                                  \
            }                                                                                         \
            return;                                                                                   \
        }                                                                                             \
        const float b = k;                                                                            \
        INDEPENDENT                                                                                   \
        for (size_t i = 0; i < n; i++) {                                                              \
            const float a = p[i];                                                                     \
            y[i] = (expression);                                                                      \
        }                                                                                             \
    }
KOE_STEPS_OF_TWO(OF_TWO)

#define OF_ONE(name, expression)                                                 \
    static void step_##name(float *y, const float *p, float k, size_t n)         \
    {                                                                            \
        (void)k;                                                                 \
        INDEPENDENT                                                              \
        for (size_t i = 0; i < n; i++) {                                         \
            const float a = p[i];                                                \
            y[i] = (expression);                                                 \
        }                                                                        \
    }
KOE_STEPS_OF_ONE(OF_ONE)

static void step_select(float *y, const float *a, const float *b, const float *c, size_t n)
{
    INDEPENDENT
    for (size_t i = 0; i < n; i++) y[i] = a[i] != 0 ? b[i] : c[i];
}

void VARIANT(koe_f32_step)(koe_step step, float *y, const float *a, const float *b, const float *c, float k, size_t n)
{
    switch (step) {
#define CASE_TWO(name, expression) case KOE_STEP_##name: step_##name(y, a, b, k, n); break;
#define CASE_ONE(name, expression) case KOE_STEP_##name: step_##name(y, a, k, n); break;
        KOE_STEPS_OF_TWO(CASE_TWO)
        KOE_STEPS_OF_ONE(CASE_ONE)
    case KOE_STEP_SELECT: step_select(y, a, b, c, n); break;
    default: break; /* the mapped ones are the caller's */
    }
}
