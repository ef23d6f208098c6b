/* float16 <-> float32 in integer arithmetic. */
#include "kernels/kernels.h"

#include "base/half.h"

void koe_f16_widen(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = koe_f16_to_f32(x[i]);
}
void koe_f16_narrow(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = koe_f32_to_f16(x[i]);
}
