/* simd.h - one vocabulary for vector code, so that each kernel is written once: the files *_simd.c are compiled for each instruction
 * set with KOE_ISA naming it. Everything is static and inlined. VF_N floats a vector; a mask is whatever a comparison gives.
 *     vf_load_n(p, n)  the first n <= VF_N floats, zeros behind; memory past them is not touched      vf_store_n likewise
 *     vf_min/max(a, b) b when either is NaN        vf_fma(a, b, c) a * b + c, vf_fnma c - a * b, rounded once */
#ifndef KOE_KERNELS_SIMD_H
#define KOE_KERNELS_SIMD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define KOE_JOIN_(name, isa) name##_##isa
#define KOE_JOIN(name, isa) KOE_JOIN_(name, isa)
#define VARIANT(name) KOE_JOIN(name, KOE_ISA) /* koe_f32_exp -> koe_f32_exp_avx2 */
#define VF_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)

typedef __m512 vf;
typedef __m512i vi; /* as many 32-bit integers */
typedef __mmask16 vm;
enum { VF_N = 16 };

VF_INLINE vm vm_first(size_t n) { return (vm)(n < 16 ? (1u << n) - 1 : 0xffff); }
VF_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
VF_INLINE vf vf_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vm_first(n), p); }
VF_INLINE void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
VF_INLINE void vf_store_n(float *p, vf a, size_t n) { _mm512_mask_storeu_ps(p, vm_first(n), a); }
VF_INLINE vf vf_set(float a) { return _mm512_set1_ps(a); }
VF_INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
VF_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
VF_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
VF_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
VF_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
VF_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
VF_INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
VF_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
VF_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
VF_INLINE vf vf_abs(vf a) { return _mm512_abs_ps(a); }
VF_INLINE vf vf_sign(vf a) { return _mm512_and_ps(a, _mm512_set1_ps(-0.0f)); }
VF_INLINE vf vf_xor(vf a, vf b) { return _mm512_xor_ps(a, b); }
VF_INLINE vf vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
VF_INLINE vm vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
VF_INLINE vm vf_le(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
VF_INLINE vm vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
VF_INLINE vf vf_select(vm m, vf a, vf b) { return _mm512_mask_blend_ps(m, b, a); }
VF_INLINE bool vm_all(vm m) { return m == 0xffff; }
VF_INLINE vi vi_round(vf a) { return _mm512_cvtps_epi32(a); }
VF_INLINE vf vf_of_vi(vi a) { return _mm512_cvtepi32_ps(a); }
VF_INLINE vi vi_bits(vf a) { return _mm512_castps_si512(a); }
VF_INLINE vf vf_bits(vi a) { return _mm512_castsi512_ps(a); }
VF_INLINE vi vi_set(int a) { return _mm512_set1_epi32(a); }
VF_INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
VF_INLINE vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
VF_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
#define vi_shl(a, n) _mm512_slli_epi32(a, n)
#define vi_sra(a, n) _mm512_srai_epi32(a, n)
VF_INLINE vm vi_eq(vi a, vi b) { return _mm512_cmpeq_epi32_mask(a, b); }
VF_INLINE float vf_sum(vf a) { return _mm512_reduce_add_ps(a); }
VF_INLINE float vf_largest(vf a) { return _mm512_reduce_max_ps(a); }

#elif defined(__AVX2__)

typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;
enum { VF_N = 8 };

VF_INLINE __m256i vi_first(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
VF_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
VF_INLINE vf vf_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, vi_first(n)); }
VF_INLINE void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
VF_INLINE void vf_store_n(float *p, vf a, size_t n) { _mm256_maskstore_ps(p, vi_first(n), a); }
VF_INLINE vf vf_set(float a) { return _mm256_set1_ps(a); }
VF_INLINE vf vf_zero(void) { return _mm256_setzero_ps(); }
VF_INLINE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
VF_INLINE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
VF_INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
VF_INLINE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
VF_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
VF_INLINE vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }
VF_INLINE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
VF_INLINE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
VF_INLINE vf vf_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
VF_INLINE vf vf_sign(vf a) { return _mm256_and_ps(a, _mm256_set1_ps(-0.0f)); }
VF_INLINE vf vf_xor(vf a, vf b) { return _mm256_xor_ps(a, b); }
VF_INLINE vf vf_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
VF_INLINE vm vf_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
VF_INLINE vm vf_le(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
VF_INLINE vm vf_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
VF_INLINE vf vf_select(vm m, vf a, vf b) { return _mm256_blendv_ps(b, a, m); }
VF_INLINE bool vm_all(vm m) { return _mm256_movemask_ps(m) == 0xff; }
VF_INLINE vi vi_round(vf a) { return _mm256_cvtps_epi32(a); }
VF_INLINE vf vf_of_vi(vi a) { return _mm256_cvtepi32_ps(a); }
VF_INLINE vi vi_bits(vf a) { return _mm256_castps_si256(a); }
VF_INLINE vf vf_bits(vi a) { return _mm256_castsi256_ps(a); }
VF_INLINE vi vi_set(int a) { return _mm256_set1_epi32(a); }
VF_INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
VF_INLINE vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
VF_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
#define vi_shl(a, n) _mm256_slli_epi32(a, n)
#define vi_sra(a, n) _mm256_srai_epi32(a, n)
VF_INLINE vm vi_eq(vi a, vi b) { return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)); }
VF_INLINE float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
VF_INLINE float vf_largest(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

#elif defined(__aarch64__)

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint32x4_t vm;
enum { VF_N = 4 };

VF_INLINE vf vf_load(const float *p) { return vld1q_f32(p); }
VF_INLINE vf vf_load_n(const float *p, size_t n)
{
    if (n >= 4) return vld1q_f32(p);
    vf a = vdupq_n_f32(0);
    if (n > 0) a = vld1q_lane_f32(p, a, 0);
    if (n > 1) a = vld1q_lane_f32(p + 1, a, 1);
    if (n > 2) a = vld1q_lane_f32(p + 2, a, 2);
    return a;
}
VF_INLINE void vf_store(float *p, vf a) { vst1q_f32(p, a); }
VF_INLINE void vf_store_n(float *p, vf a, size_t n)
{
    if (n >= 4) {
        vst1q_f32(p, a);
        return;
    }
    if (n > 0) vst1q_lane_f32(p, a, 0);
    if (n > 1) vst1q_lane_f32(p + 1, a, 1);
    if (n > 2) vst1q_lane_f32(p + 2, a, 2);
}
VF_INLINE vf vf_set(float a) { return vdupq_n_f32(a); }
VF_INLINE vf vf_zero(void) { return vdupq_n_f32(0); }
VF_INLINE vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
VF_INLINE vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
VF_INLINE vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
VF_INLINE vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
VF_INLINE vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
VF_INLINE vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
/* Not vminq and vmaxq, which give NaN when either is. */
VF_INLINE vf vf_min(vf a, vf b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
VF_INLINE vf vf_max(vf a, vf b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
VF_INLINE vf vf_abs(vf a) { return vabsq_f32(a); }
VF_INLINE vi vi_bits(vf a) { return vreinterpretq_s32_f32(a); }
VF_INLINE vf vf_bits(vi a) { return vreinterpretq_f32_s32(a); }
VF_INLINE vi vi_set(int a) { return vdupq_n_s32(a); }
VF_INLINE vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
VF_INLINE vf vf_sign(vf a) { return vf_bits(vi_and(vi_bits(a), vi_set(INT32_MIN))); }
VF_INLINE vf vf_xor(vf a, vf b) { return vf_bits(veorq_s32(vi_bits(a), vi_bits(b))); }
VF_INLINE vf vf_round(vf a) { return vrndnq_f32(a); }
VF_INLINE vm vf_lt(vf a, vf b) { return vcltq_f32(a, b); }
VF_INLINE vm vf_le(vf a, vf b) { return vcleq_f32(a, b); }
VF_INLINE vm vf_eq(vf a, vf b) { return vceqq_f32(a, b); }
VF_INLINE vf vf_select(vm m, vf a, vf b) { return vbslq_f32(m, a, b); }
VF_INLINE bool vm_all(vm m) { return vminvq_u32(m) == UINT32_MAX; }
VF_INLINE vi vi_round(vf a) { return vcvtnq_s32_f32(a); }
VF_INLINE vf vf_of_vi(vi a) { return vcvtq_f32_s32(a); }
VF_INLINE vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
VF_INLINE vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
#define vi_shl(a, n) vshlq_n_s32(a, n)
#define vi_sra(a, n) vshrq_n_s32(a, n)
VF_INLINE vm vi_eq(vi a, vi b) { return vceqq_s32(a, b); }
VF_INLINE float vf_sum(vf a) { return vaddvq_f32(a); }
VF_INLINE float vf_largest(vf a) { return vmaxvq_f32(a); }

#endif
#endif
