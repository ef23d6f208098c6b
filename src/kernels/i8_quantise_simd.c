/* i8_quantise_simd.c - floats to bytes. Plain loops: under the flags of each instruction set the compiler makes vector code of
 * them. */
#include "kernels/i8_gemm.h"

#ifdef KOE_ISA
#include "kernels/simd.h"
#else /* the portable variant */
#define VARIANT(name) name##_ref
#endif

/* Adding 1.5 * 2^23 pushes a float's fraction out of the mantissa: rounds to nearest even, in ways that vectorise. */
void VARIANT(koe_f32_quantise_u8)(uint8_t *y, const float *x, size_t n, float scale, int32_t zero)
{
    const float magic = 12582912.0f, lo = (float)-zero, hi = (float)(255 - zero);
    for (size_t i = 0; i < n; i++) {
        float v = x[i] / scale;
        v = v > lo ? v : lo;
        v = v < hi ? v : hi;
        y[i] = (uint8_t)((int32_t)((v + magic) - magic) + zero);
    }
}

enum { LANES = 16 };
/* Many running extremes, so that the order of comparisons need not be changed to make vectors of them. */
void VARIANT(koe_f32_extremes)(const float *x, size_t n, float *low, float *high)
{
    float lo[LANES] = { 0 }, hi[LANES] = { 0 };
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            lo[k] = x[i + k] < lo[k] ? x[i + k] : lo[k];
            hi[k] = x[i + k] > hi[k] ? x[i + k] : hi[k];
        }
    for (; i < n; i++) {
        lo[0] = x[i] < lo[0] ? x[i] : lo[0];
        hi[0] = x[i] > hi[0] ? x[i] : hi[0];
    }
    for (size_t k = 1; k < LANES; k++) {
        lo[0] = lo[k] < lo[0] ? lo[k] : lo[0];
        hi[0] = hi[k] > hi[0] ? hi[k] : hi[0];
    }
    *low = lo[0];
    *high = hi[0];
}
