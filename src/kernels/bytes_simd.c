/* bytes_simd.c - panels of 8- or 4-bit weights to float32. n is a panel's columns: a multiple of the vector's. */
#include "kernels/kernels.h"

#ifdef KOE_ISA
#include "kernels/simd.h"
#else /* the portable variant: vectors of one */
#define VARIANT(name) name##_ref
#define VF_INLINE static inline
enum { VF_N = 1 };
typedef float vf;
typedef int vi;
VF_INLINE vf vf_load(const float *p) { return *p; }
VF_INLINE void vf_store(float *p, vf a) { *p = a; }
VF_INLINE vf vf_sub(vf a, vf b) { return a - b; }
VF_INLINE vf vf_mul(vf a, vf b) { return a * b; }
VF_INLINE vf vf_of_vi(vi a) { return (float)a; }
VF_INLINE vi vi_set(int a) { return a; }
VF_INLINE vi vi_and(vi a, vi b) { return a & b; }
#define vi_sra(a, n) ((a) >> (n))
#endif
#include "kernels/variants.h"

/* VF_N bytes as integers. */
VF_INLINE vi load_bytes(const uint8_t *p)
{
#if defined(KOE_ISA) && defined(__AVX512F__)
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined(KOE_ISA) && defined(__AVX2__)
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
#elif defined(KOE_ISA)
    const uint8x8_t b = vreinterpret_u8_u32(vdup_n_u32(p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(b))));
#else
    return *p;
#endif
}

void VARIANT(koe_f32_widen_bytes)(float *y, const uint8_t *q, const float *scale, const float *zero, size_t rows, size_t n)
{
    for (size_t j = 0; j < n; j += VF_N) {
        const vf s = vf_load(scale + j), z = vf_load(zero + j);
        for (size_t r = 0; r < rows; r++) vf_store(y + r * n + j, vf_mul(vf_sub(vf_of_vi(load_bytes(q + r * n + j)), z), s));
    }
}

void VARIANT(koe_f32_widen_nibbles)(float *y, const uint8_t *q, const float *scale, const float *zero, size_t rows, size_t n)
{
    for (size_t j = 0; j < n; j += VF_N) {
        const vf s = vf_load(scale + j), z = vf_load(zero + j);
        for (size_t r = 0; r < rows; r += 2) {
            const vi pair = load_bytes(q + r / 2 * n + j);
            vf_store(y + r * n + j, vf_mul(vf_sub(vf_of_vi(vi_and(pair, vi_set(15))), z), s));
            if (r + 1 < rows) vf_store(y + (r + 1) * n + j, vf_mul(vf_sub(vf_of_vi(vi_sra(pair, 4)), z), s));
        }
    }
}
