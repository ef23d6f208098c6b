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
MAP(gelu, 0.5f * x[i] * (1 + erff(x[i] * 0.70710678f)))
MAP(gelu_tanh, 0.5f * x[i] * (1 + tanhf(0.79788456f * (x[i] + 0.044715f * x[i] * x[i] * x[i]))))
MAP(silu, x[i] * sigmoid(x[i]))
MAP(mish, x[i] * tanhf((x[i] > 0 ? x[i] : 0) + log1pf(expf(-fabsf(x[i])))))

void koe_f32_gate_ref(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = tanhf(a[i]) * sigmoid(b[i]);
}
