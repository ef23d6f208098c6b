/* half_ref.c - 16-bit floating point to and from float32, in integer arithmetic. */
#include "base/half.h"
#include "kernels/variants.h"

void koe_f16_widen_ref(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = koe_f16_to_f32(x[i]);
}

void koe_f16_narrow_ref(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = koe_f32_to_f16(x[i]);
}

void koe_bf16_widen_ref(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = koe_bf16_to_f32(x[i]);
}

void koe_bf16_narrow_ref(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = koe_f32_to_bf16(x[i]);
}
