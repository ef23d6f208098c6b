/* half_simd.c - 16-bit floating point to and from float32. */
#include <string.h>

#include "base/half.h"
#include "kernels/simd.h"
#include "kernels/variants.h"

/* F16C has float16 in 128-bit halves; both instruction sets use eight at a time. */
void VARIANT(koe_f16_widen)(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
    for (; i < n; i++) y[i] = koe_f16_to_f32(x[i]);
}

void VARIANT(koe_f16_narrow)(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    for (; i < n; i++) y[i] = koe_f32_to_f16(x[i]);
}

void VARIANT(koe_bf16_widen)(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(x + i)));
        _mm256_storeu_ps(y + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    for (; i < n; i++) y[i] = koe_bf16_to_f32(x[i]);
}

/* Adds half a unit, or just under it when the last kept bit is 0; NaN would carry into infinity and is made quiet instead. */
void VARIANT(koe_bf16_narrow)(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 f = _mm256_loadu_ps(x + i);
        const __m256i u = _mm256_castps_si256(f), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
        const __m256i near = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(f, f, _CMP_UNORD_Q)), quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
        const __m256i r = _mm256_srli_epi32(_mm256_blendv_epi8(near, quiet, nan), 16);
        _mm_storeu_si128((__m128i *)(y + i), _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1)));
    }
    for (; i < n; i++) y[i] = koe_f32_to_bf16(x[i]);
}
