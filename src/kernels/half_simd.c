/* half_simd.c - 16-bit floating point to and from float32. */
#include <string.h>

#include "base/half.h"
#include "kernels/simd.h"
#include "kernels/variants.h"

enum { STEP = 8 }; /* numbers at a time, in every instruction set */

#if defined(__aarch64__)

VF_INLINE void widen_f16(float *y, const uint16_t *x)
{
    const float16x8_t h = vreinterpretq_f16_u16(vld1q_u16(x));
    vst1q_f32(y, vcvt_f32_f16(vget_low_f16(h)));
    vst1q_f32(y + 4, vcvt_high_f32_f16(h));
}

VF_INLINE void narrow_f16(uint16_t *y, const float *x)
{
    vst1q_u16(y, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(vld1q_f32(x)), vld1q_f32(x + 4))));
}

VF_INLINE void widen_bf16(float *y, const uint16_t *x)
{
    const uint16x8_t h = vld1q_u16(x);
    vst1q_f32(y, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)));
    vst1q_f32(y + 4, vreinterpretq_f32_u32(vshll_high_n_u16(h, 16)));
}

VF_INLINE uint16x4_t narrow_four(float32x4_t f)
{
    const uint32x4_t u = vreinterpretq_u32_f32(f), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    const uint32x4_t near = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff))), quiet = vorrq_u32(u, vdupq_n_u32(0x400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(f, f), near, quiet), 16);
}

VF_INLINE void narrow_bf16(uint16_t *y, const float *x)
{
    vst1q_u16(y, vcombine_u16(narrow_four(vld1q_f32(x)), narrow_four(vld1q_f32(x + 4))));
}

#else /* F16C has float16 in 128-bit halves: both widths of x86 use it so */

VF_INLINE __m128i load_half(const uint16_t *x) { return _mm_loadu_si128((const __m128i *)(const void *)x); }
VF_INLINE void store_half(uint16_t *y, __m128i h) { _mm_storeu_si128((__m128i *)(void *)y, h); }

VF_INLINE void widen_f16(float *y, const uint16_t *x) { _mm256_storeu_ps(y, _mm256_cvtph_ps(load_half(x))); }

VF_INLINE void narrow_f16(uint16_t *y, const float *x)
{
    store_half(y, _mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

VF_INLINE void widen_bf16(float *y, const uint16_t *x)
{
    _mm256_storeu_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_half(x)), 16)));
}

VF_INLINE void narrow_bf16(uint16_t *y, const float *x)
{
    const __m256 f = _mm256_loadu_ps(x);
    const __m256i u = _mm256_castps_si256(f), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i near = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(f, f, _CMP_UNORD_Q)), quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    const __m256i r = _mm256_srli_epi32(_mm256_blendv_epi8(near, quiet, nan), 16);
    store_half(y, _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1)));
}

#endif

void VARIANT(koe_f16_widen)(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) widen_f16(y + i, x + i);
    if (i < n) {
        uint16_t last[STEP] = { 0 };
        float wide[STEP];
        memcpy(last, x + i, (n - i) * sizeof *x);
        widen_f16(wide, last);
        memcpy(y + i, wide, (n - i) * sizeof *y);
    }
}

void VARIANT(koe_f16_narrow)(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) narrow_f16(y + i, x + i);
    if (i < n) {
        float last[STEP] = { 0 };
        uint16_t narrow[STEP];
        memcpy(last, x + i, (n - i) * sizeof *x);
        narrow_f16(narrow, last);
        memcpy(y + i, narrow, (n - i) * sizeof *y);
    }
}

void VARIANT(koe_bf16_widen)(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) widen_bf16(y + i, x + i);
    for (; i < n; i++) y[i] = koe_bf16_to_f32(x[i]);
}

/* Adds half a unit, or just under it when the last kept bit is 0; NaN would carry into infinity and is made quiet instead. */
void VARIANT(koe_bf16_narrow)(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) narrow_bf16(y + i, x + i);
    for (; i < n; i++) y[i] = koe_f32_to_bf16(x[i]);
}
