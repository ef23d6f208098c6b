/* lp_tile_ref.c - the definition of the low-precision tiles, and the table of variants. */
#include <math.h>

#include "base/half.h"
#include "kernels/lp_variants.h"

void koe_bf16_tile_ref(float *c, size_t ldc, const uint32_t *a, const uint32_t *b, size_t ldb, const size_t *off, size_t rows, size_t taps,
                       size_t m, size_t n, const int32_t *init, const float *scale)
{
    (void)init, (void)scale;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float sum = 0;
            for (size_t r = 0; r < rows; r++)
                for (size_t t = 0; t < taps; t++) {
                    const uint32_t w = a[(r * taps + t) * m + i], x = b[r * ldb + off[t] + j];
                    sum += koe_bf16_to_f32((uint16_t)w) * koe_bf16_to_f32((uint16_t)x);
                    sum += koe_bf16_to_f32((uint16_t)(w >> 16)) * koe_bf16_to_f32((uint16_t)(x >> 16));
                }
            c[i * ldc + j] = sum;
        }
}

void koe_i8_tile_ref(float *c, size_t ldc, const uint32_t *a, const uint32_t *b, size_t ldb, const size_t *off, size_t rows, size_t taps,
                     size_t m, size_t n, const int32_t *init, const float *scale)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            int32_t sum = init[i];
            for (size_t r = 0; r < rows; r++)
                for (size_t t = 0; t < taps; t++) {
                    const uint32_t w = a[(r * taps + t) * m + i], x = b[r * ldb + off[t] + j];
                    for (int k = 0; k < 32; k += 8) sum += (int8_t)(w >> k) * (int32_t)(uint8_t)(x >> k);
                }
            c[i * ldc + j] = (float)sum * scale[i];
        }
}

static float leaky(float x, float slope) { return x < 0 ? x * slope : x; }

void koe_bf16_pack_ref(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero, float x_max)
{
    (void)less, (void)inverse, (void)zero, (void)x_max;
    for (size_t j = 0; j < n; j++) {
        out[j] = 0;
        for (size_t k = 0; k < rows; k++) out[j] |= (uint32_t)koe_f32_to_bf16(leaky(x[k * pitch + j], slope)) << (16 * k);
    }
}

void koe_i8_pack_ref(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero, float x_max)
{
    for (size_t j = 0; j < n; j++) {
        out[j] = 0;
        for (size_t k = 0; k < 4; k++) {
            const float from = k < rows ? x[k * pitch + j] - (less ? less[k * pitch + j] : 0) : 0;
            const float q = k < rows ? fminf(fmaxf(rintf(leaky(from, slope) * inverse) + zero, 0), x_max) : zero;
            out[j] |= (uint32_t)q << (8 * k);
        }
    }
}

void koe_f32_range_ref(const float *x, const float *less, size_t n, float *low, float *high)
{
    for (size_t i = 0; i < n; i++) {
        const float v = less ? x[i] - less[i] : x[i];
        if (v < *low) *low = v;
        if (v > *high) *high = v;
    }
}

#define BF16(isa, needs_, mr_, nr_, simd) \
    { #isa, KOE_LP_BF16, needs_, mr_, nr_, 0, 0, koe_bf16_tile_##isa, koe_bf16_pack_##simd, koe_f32_range_##simd, false }
#define INT8(isa, needs_, mr_, nr_, max, simd) \
    { #isa, KOE_LP_INT8, needs_, mr_, nr_, max, 0, koe_i8_tile_##isa, koe_i8_pack_##simd, koe_f32_range_##simd, false }

static const koe_lp_set table[] = {
#if defined(__x86_64__)
    BF16(avx512bf16, KOE_CPU_AVX512 | KOE_CPU_BF16, 8, 48, avx512),
    { "avx2", KOE_LP_BF16, KOE_CPU_AVX2, 4, 24, 0, 0, koe_bf16_tile_avx2, koe_bf16_pack_avx2, koe_f32_range_avx2, true },
    INT8(avx512vnni, KOE_CPU_AVX512 | KOE_CPU_VNNI, 8, 48, 255, avx512),
    INT8(avxvnni, KOE_CPU_AVX2 | KOE_CPU_AVX_VNNI, 4, 24, 255, avx2),
    INT8(avx2, KOE_CPU_AVX2, 4, 24, 127, avx2),
#elif defined(__aarch64__)
    BF16(neon, KOE_CPU_NEON | KOE_CPU_NEON_BF16, 8, 12, neon),
    INT8(i8mm, KOE_CPU_NEON | KOE_CPU_I8MM, 8, 12, 255, neon),
    { "dotprod", KOE_LP_INT8, KOE_CPU_NEON | KOE_CPU_DOTPROD, 8, 12, 255, 128, koe_i8_tile_dotprod, koe_i8_pack_signed_neon, koe_f32_range_neon,
      false },
#endif
    BF16(ref, 0, 4, 16, ref),
    INT8(ref, 0, 4, 16, 255, ref),
};

const koe_lp_set *koe_lp_table(size_t *n)
{
    *n = sizeof table / sizeof *table;
    return table;
}

const koe_lp_set *koe_lp_kernels(koe_lp_kind kind)
{
    const unsigned have = koe_cpu_features();
    const koe_lp_set *set = table;
    while (set->kind != kind || (have & set->needs) != set->needs) set++;
    return set->needs || koe_kernels()->needs == 0 ? set : NULL;
}
