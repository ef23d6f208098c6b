/* f32_panel_simd.c - the tile kernel on a packed panel: m rows by one panel of c in registers. The panel is read whole, front to back, so
 * only the loads and stores of c mind n. bfloat16 is widened as it is loaded, which costs two instructions a vector, and half the memory and its
 * traffic saved.
 * What the next panel needs is asked for from inside the loop, a cache line with each row: a burst between two tiles would wait for
 * memory, and the processor looks ahead in a panel but not to the next. */
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

/* One row of the panel, at element `at` of b, times m numbers of a. */
VF_INLINE void row(vf acc[MR][NV], const float *a, koe_f32_packed b, size_t at, const size_t m, const bool bf16)
{
    vf x[NV];
#pragma GCC unroll 3
    for (size_t j = 0; j < NV; j++)
        x[j] = bf16 ? widen((const uint16_t *)b.p + at + j * VF_N) : vf_load((const float *)b.p + at + j * VF_N);
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++) {
        const vf w = vf_set(a[i]);
#pragma GCC unroll 3
        for (size_t j = 0; j < NV; j++) acc[i][j] = vf_fma(w, x[j], acc[i][j]);
    }
}

VF_INLINE void tile(float *c, size_t ldc, const float *a, koe_f32_packed b, size_t rows, size_t n, bool accumulate, koe_f32_ahead ahead,
                    const size_t m, const bool bf16)
{
    vf acc[MR][NV];
    size_t r = 0;
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < NV; j++)
            acc[i][j] = !accumulate || !part(n, j) ? vf_zero() : n == NV * VF_N ? vf_load(c + i * ldc + j * VF_N) : vf_load_n(c + i * ldc + j * VF_N, part(n, j));
    for (; r < rows && r < ahead.n_line; r++) {
        __builtin_prefetch((const char *)ahead.p + r * KOE_CACHE_LINE, 0, 2);
        row(acc, a + r * m, b, r * NV * VF_N, m, bf16);
    }
    for (; r < rows; r++) row(acc, a + r * m, b, r * NV * VF_N, m, bf16);
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < NV; j++) {
            if (n == NV * VF_N) vf_store(c + i * ldc + j * VF_N, acc[i][j]);
            else if (part(n, j)) vf_store_n(c + i * ldc + j * VF_N, acc[i][j], part(n, j));
        }
}

#define ARGS float *c, size_t ldc, const float *a, koe_f32_packed b, size_t rows, size_t n, bool accumulate, koe_f32_ahead ahead
#define DEFINE(m)                                                                              \
    static void tile_##m(ARGS)                                                                 \
    {                                                                                          \
        if (b.bf16) tile(c, ldc, a, b, rows, n, accumulate, ahead, m, true);                   \
        else tile(c, ldc, a, b, rows, n, accumulate, ahead, m, false);                         \
    }
ROWS(DEFINE)

void VARIANT(koe_f32_tile_panel)(float *c, size_t ldc, const float *a, koe_f32_packed b, size_t rows, size_t m, size_t n, bool accumulate,
                                 koe_f32_ahead ahead)
{
    typedef void fn(ARGS);
#define ENTRY(m) tile_##m,
    static fn *const by_rows[] = { ROWS(ENTRY) };
    by_rows[m - 1](c, ldc, a, b, rows, n, accumulate, ahead);
}
