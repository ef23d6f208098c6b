/* The definition of the elementwise functions. */
#include <math.h>

#include "kernels/kernels.h"

void koe_f32_exp(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = expf(x[i]);
}
void koe_f32_tanh(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = tanhf(x[i]);
}
void koe_f32_sigmoid(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = 1.0f / (1.0f + expf(-x[i]));
}
void koe_f32_sin(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = sinf(x[i]);
}
void koe_f32_cos(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = cosf(x[i]);
}
void koe_f32_erf(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = erff(x[i]);
}
