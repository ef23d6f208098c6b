/* bytes_simd.c - panels of 8- or 4-bit weights to float32. Plain loops: under the flags of each instruction set the compiler makes vector
 * code of them. */
#include "kernels/kernels.h"

#ifdef KOE_ISA
#include "kernels/simd.h"
#else /* the portable variant */
#define VARIANT(name) name##_ref
#endif
#include "kernels/variants.h"

void VARIANT(koe_f32_widen_bytes)(float *restrict y, const uint8_t *restrict q, const float *restrict scale, const float *restrict zero, size_t rows,
                                  size_t n)
{
    for (; rows > 0; rows--, y += n, q += n)
        for (size_t j = 0; j < n; j++) y[j] = ((float)q[j] - zero[j]) * scale[j];
}

void VARIANT(koe_f32_widen_nibbles)(float *restrict y, const uint8_t *restrict q, const float *restrict scale, const float *restrict zero, size_t rows,
                                    size_t n)
{
    for (size_t r = 0; r < rows; r += 2, q += n) {
        for (size_t j = 0; j < n; j++) y[r * n + j] = ((float)(q[j] & 15) - zero[j]) * scale[j];
        for (size_t j = 0; r + 1 < rows && j < n; j++) y[(r + 1) * n + j] = ((float)(q[j] >> 4) - zero[j]) * scale[j];
    }
}
