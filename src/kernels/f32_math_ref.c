/* f32_math_ref.c - the definition of the elementwise functions: the C library's. */
#include <math.h>

#include "kernels/variants.h"

#define MAP(name, expression)                                        \
    void koe_f32_##name##_ref(float *y, const float *x, size_t n)    \
    {                                                                \
        for (size_t i = 0; i < n; i++) y[i] = expression;            \
    }

static float sigmoid(float x)
{
    float e = expf(-fabsf(x)); /* at most 1: cannot overflow, and keeps denormal results */
    return (x < 0 ? e : 1.0f) / (1.0f + e);
}

MAP(exp, expf(x[i]))
MAP(tanh, tanhf(x[i]))
MAP(sigmoid, sigmoid(x[i]))
MAP(sin, sinf(x[i]))
MAP(cos, cosf(x[i]))
MAP(erf, erff(x[i]))
MAP(log, logf(x[i]))
