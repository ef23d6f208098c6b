/* f32_half_tile_simd.c - the float32 tile whose right operand is kept in bfloat16: widened as it is loaded, which costs two instructions a
 * vector, and half the memory and its traffic saved. Always whole panels: only the stores mind n. */
#include "kernels/simd.h"
#include "kernels/variants.h"

#if defined(__AVX512F__)
enum { MR = 8, NV = 3 };
#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
VF_INLINE vf widen(const uint16_t *p)
{
    return vf_bits(vi_shl(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p)), 16));
}
#elif defined(__aarch64__)
enum { MR = 8, NV = 3 };
#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
VF_INLINE vf widen(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
#else
enum { MR = 4, NV = 3 };
#define ROWS(X) X(1) X(2) X(3) X(4)
VF_INLINE vf widen(const uint16_t *p)
{
    return vf_bits(vi_shl(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)), 16));
}
#endif

/* Floats of vector j of a row of n. */
VF_INLINE size_t part(size_t n, size_t j) { return n <= j * VF_N ? 0 : n - j * VF_N < VF_N ? n - j * VF_N : VF_N; }

VF_INLINE void tile(float *c, size_t ldc, const float *a, const uint16_t *b, size_t rows, size_t n, bool accumulate, const size_t m)
{
    vf acc[MR][NV];
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < NV; j++) acc[i][j] = accumulate && part(n, j) ? vf_load_n(c + i * ldc + j * VF_N, part(n, j)) : vf_zero();
    for (size_t r = 0; r < rows; r++, a += m, b += NV * VF_N) {
        vf x[NV];
#pragma GCC unroll 3
        for (size_t j = 0; j < NV; j++) x[j] = widen(b + j * VF_N);
#pragma GCC unroll 8
        for (size_t i = 0; i < m; i++) {
            const vf w = vf_set(a[i]);
#pragma GCC unroll 3
            for (size_t j = 0; j < NV; j++) acc[i][j] = vf_fma(w, x[j], acc[i][j]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < NV; j++)
            if (part(n, j)) vf_store_n(c + i * ldc + j * VF_N, acc[i][j], part(n, j));
}

#define ARGS float *c, size_t ldc, const float *a, const uint16_t *b, size_t rows, size_t n, bool accumulate
#define DEFINE(m) \
    static void tile_##m(ARGS) { tile(c, ldc, a, b, rows, n, accumulate, m); }
ROWS(DEFINE)

void VARIANT(koe_f32_tile_bf16)(float *c, size_t ldc, const float *a, const uint16_t *b, size_t rows, size_t m, size_t n, bool accumulate)
{
    typedef void fn(ARGS);
#define ENTRY(m) tile_##m,
    static fn *const by_rows[] = { ROWS(ENTRY) };
    by_rows[m - 1](c, ldc, a, b, rows, n, accumulate);
}
