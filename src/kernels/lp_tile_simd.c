/* lp_tile_simd.c - the low-precision tiles: as f32_tile_simd.c, with a multiply-add that takes 2 or 4 rows at once. KOE_LP names the
 * product:
 *     1  bf16, vdpbf16ps       2  int8, vpdpbusd (512 bits, or 256 as in AVX-VNNI)
 *     3  int8, vpmaddubsw: inputs of 7 bits, so that its 16-bit sums cannot saturate: 2 * 127 * 127 < 32768
 *     7  bf16 as two float32 products: half the memory of float32, not its speed doubled
 *     4  bf16, bfdot           5  int8, usdot      6  int8, sdot: inputs less 128 (koe_lp_set.x_bias) */
#include <string.h>

#include "kernels/lp_variants.h"
#include "kernels/simd.h"

#if defined(__AVX512F__) || defined(__aarch64__) /* 32 registers, else 16 */
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
#define EACH_ROW(X) X(0) X(1) X(2) X(3)
#define ROWS(X) X(1) X(2) X(3) X(4)
#endif

#if KOE_LP == 1 || KOE_LP == 4 || KOE_LP == 7
typedef vf sum;
VF_INLINE sum start(int32_t init) { return (void)init, vf_zero(); }
VF_INLINE vf result(sum s, const float *scale) { return (void)scale, s; }
#else
typedef vi sum;
VF_INLINE sum start(int32_t init) { return vi_set(init); }
VF_INLINE vf result(sum s, const float *scale) { return vf_mul(vf_of_vi(s), vf_set(*scale)); }
#endif

/* s + a . b: a are weights, b inputs. */
#if KOE_LP == 1
VF_INLINE sum step(sum s, vi a, vi b) { return _mm512_dpbf16_ps(s, (__m512bh)a, (__m512bh)b); }
#elif KOE_LP == 2
#ifndef KOE_VNNI /* "%{vex%}" or "%{evex%}": how the 256-bit form is encoded; the tests run it where only the other one is known */
#define KOE_VNNI ""
#endif
/* Assembler, because gcc 12 copies the sum before and after the intrinsic, which halves the speed. */
VF_INLINE sum step(sum s, vi a, vi b)
{
    __asm__(KOE_VNNI " vpdpbusd %2, %1, %0" : "+v"(s) : "v"(b), "v"(a));
    return s;
}
#elif KOE_LP == 3
VF_INLINE sum step(sum s, vi a, vi b)
{
    return _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(b, a), _mm256_set1_epi16(1)));
}
#elif KOE_LP == 4
VF_INLINE sum step(sum s, vi a, vi b) { return vbfdotq_f32(s, vreinterpretq_bf16_s32(a), vreinterpretq_bf16_s32(b)); }
#elif KOE_LP == 5
VF_INLINE sum step(sum s, vi a, vi b) { return vusdotq_s32(s, vreinterpretq_u8_s32(b), vreinterpretq_s8_s32(a)); }
#elif KOE_LP == 7
VF_INLINE vf low(vi a) { return vf_bits(vi_shl(a, 16)); }
VF_INLINE vf high(vi a) { return vf_bits(vi_and(a, vi_set((int)0xffff0000u))); }
VF_INLINE sum step(sum s, vi a, vi b) { return vf_fma(high(a), high(b), vf_fma(low(a), low(b), s)); }
#elif KOE_LP == 6
VF_INLINE sum step(sum s, vi a, vi b) { return vdotq_s32(s, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)); }
#endif

VF_INLINE vi load(const uint32_t *p) { return vi_bits(vf_load((const float *)(const void *)p)); }
VF_INLINE vi load_n(const uint32_t *p, size_t n) { return vi_bits(vf_load_n((const float *)(const void *)p, n)); }

/* The accumulators are variables by name, not an array: gcc 12 keeps arrays of integer vectors in memory. m and v are constants at each
 * call, so that what the conditions leave out costs nothing. */
VF_INLINE void put(float *to, sum s, const float *scale, size_t n)
{
    if (n == VF_N) vf_store(to, result(s, scale));
    else vf_store_n(to, result(s, scale), n);
}

VF_INLINE void tile(float *c, size_t ldc, const uint32_t *a, const uint32_t *b, size_t ldb, const size_t *off, size_t rows, size_t taps,
                    const int32_t *init, const float *scale, size_t n_last, const size_t m, const size_t v)
{
    const size_t n0 = n_last && v == 1 ? n_last : VF_N, n1 = n_last && v == 2 ? n_last : VF_N, n2 = n_last && v == 3 ? n_last : VF_N;
#define START(i) sum s##i##0 = start(m > i ? init[i] : 0), s##i##1 = s##i##0, s##i##2 = s##i##0;
    EACH_ROW(START)
    for (size_t r = 0; r < rows; r++, b += ldb)
        for (size_t t = 0; t < taps; t++, a += m) {
            const uint32_t *x = b + off[t];
            const vi x0 = n_last && v == 1 ? load_n(x, n0) : load(x);
            const vi x1 = v < 2 ? x0 : n_last && v == 2 ? load_n(x + VF_N, n1) : load(x + VF_N);
            const vi x2 = v < 3 ? x0 : n_last ? load_n(x + 2 * VF_N, n2) : load(x + 2 * VF_N);
#define STEP(i)                                 \
    if (m > i) {                                \
        const vi w = vi_set((int)a[i]);         \
        s##i##0 = step(s##i##0, w, x0);         \
        if (v > 1) s##i##1 = step(s##i##1, w, x1); \
        if (v > 2) s##i##2 = step(s##i##2, w, x2); \
    }
            EACH_ROW(STEP)
        }
#define PUT(i)                                                        \
    if (m > i) {                                                      \
        put(c + i * ldc, s##i##0, scale + i, n0);                     \
        if (v > 1) put(c + i * ldc + VF_N, s##i##1, scale + i, n1);   \
        if (v > 2) put(c + i * ldc + 2 * VF_N, s##i##2, scale + i, n2); \
    }
    EACH_ROW(PUT)
}

#define ARGS                                                                                                                          \
    float *c, size_t ldc, const uint32_t *a, const uint32_t *b, size_t ldb, const size_t *off, size_t rows, size_t taps, const int32_t *init, \
        const float *scale
#define PASS c, ldc, a, b, ldb, off, rows, taps, init, scale
#define DEFINE(m)                                                       \
    static void tile_##m(ARGS, size_t n)                                \
    {                                                                   \
        const size_t last = n % VF_N;                                   \
        if (n == 3 * VF_N) tile(PASS, 0, m, 3);                       \
        else if (n > 2 * VF_N) tile(PASS, last, m, 3);                  \
        else if (n > VF_N) tile(PASS, last ? last : VF_N, m, 2);        \
        else tile(PASS, last ? last : VF_N, m, 1);                      \
    }
ROWS(DEFINE)

void KOE_LP_NAME(float *c, size_t ldc, const uint32_t *a, const uint32_t *b, size_t ldb, const size_t *off, size_t rows, size_t taps, size_t m,
                 size_t n, const int32_t *init, const float *scale)
{
    typedef void fn(ARGS, size_t n);
#define ENTRY(m) tile_##m,
    static fn *const by_rows[] = { ROWS(ENTRY) };
    by_rows[m - 1](PASS, n);
}
