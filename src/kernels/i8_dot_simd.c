/* i8_dot_simd.c - integer products and convolutions with an instruction that adds four products of bytes to each int32. Compiled for
 * AVX-VNNI (KOE_DOT 1, vpdpbusd), NEON with I8MM (2, usdot) and NEON with dotprod (3). The last multiplies signed by signed bytes: inputs
 * go in less 128, and 128 times the sum of the weights is added. */
#include <string.h>

#include "kernels/i8_gemm.h"
#include "kernels/simd.h"

#if KOE_DOT == 1
enum { TILE = 4 };
VF_INLINE vi load(const void *p) { return _mm256_loadu_si256(p); }
VF_INLINE void store(void *p, vi a) { _mm256_storeu_si256(p, a); }
VF_INLINE vi dot(vi s, vi x, vi w)
{
    __asm__(KOE_VNNI " vpdpbusd %2, %1, %0" : "+v"(s) : "v"(x), "v"(w));
    return s;
}
#else
enum { TILE = 8 };
VF_INLINE vi load(const void *p) { return vld1q_s32(p); }
VF_INLINE void store(void *p, vi a) { vst1q_s32(p, a); }
#if KOE_DOT == 2
VF_INLINE vi dot(vi s, vi x, vi w) { return vusdotq_s32(s, vreinterpretq_u8_s32(x), vreinterpretq_s8_s32(w)); }
#else
VF_INLINE vi dot(vi s, vi x, vi w) { return vdotq_s32(s, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(w)); }
#endif
#endif

enum { GROUP_BYTES = KOE_I8_GROUP * KOE_I8_PANEL, PARTS = KOE_I8_PANEL / VF_N, GEMM_ROWS = 4, ROWS = KOE_I8_CONV_ROWS, VECTORS = 3 };
static const uint32_t bias = KOE_DOT == 3 ? 0x80808080u : 0; /* x ^ bias, as signed bytes, is x - 128 */

/* c[0..n) += sum. */
VF_INLINE void add_to(int32_t *c, size_t n, vi sum)
{
    if (n >= VF_N) {
        store(c, vi_add(load(c), sum));
        return;
    }
    int32_t part[VF_N] = { 0 };
    memcpy(part, c, n * sizeof *c);
    store(part, vi_add(load(part), sum));
    memcpy(c, part, n * sizeof *c);
}

/* ---- products ---------------------------------------------------------------------------------------------------------- */

/* Up to four bytes of a row, zero-extended, in every lane. */
VF_INLINE vi four(const uint8_t *a, size_t n, uint32_t flip)
{
    uint32_t v = 0;
    if (n >= KOE_I8_GROUP) memcpy(&v, a, 4);
    else memcpy(&v, a, n);
    return vi_set((int)(v ^ flip ^ bias));
}

/* `rows` rows of c by one panel of n columns; sum: of the panel's weights by column. */
VF_INLINE void product(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, uint32_t flip, const int8_t *b, const int32_t *sum, size_t k,
                       size_t n, const size_t rows)
{
    vi acc[GEMM_ROWS][PARTS];
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t p = 0; p < PARTS; p++) acc[i][p] = vi_set(0);
    for (size_t at = 0; at < k; at += KOE_I8_GROUP, b += GROUP_BYTES) {
        vi w[PARTS];
#pragma GCC unroll 4
        for (size_t p = 0; p < PARTS; p++) w[p] = load(b + 4 * VF_N * p);
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; i++) {
            const vi x = four(a + i * lda + at, k - at, flip);
#pragma GCC unroll 4
            for (size_t p = 0; p < PARTS; p++) acc[i][p] = dot(acc[i][p], x, w[p]);
        }
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (size_t p = 0; p < PARTS; p++)
            if (n > p * VF_N) add_to(c + i * ldc + p * VF_N, n - p * VF_N, acc[i][p]);
    for (size_t i = 0; bias && i < rows; i++)
        for (size_t j = 0; j < n; j++) c[i * ldc + j] = (int32_t)((uint32_t)c[i * ldc + j] + 128u * (uint32_t)sum[j]);
}

void VARIANT(koe_i8_gemm)(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, uint32_t flip, const koe_i8_packed *b, size_t m)
{
    const size_t panel_bytes = (b->k + KOE_I8_GROUP - 1) / KOE_I8_GROUP * GROUP_BYTES;
    for (size_t j = 0; j < b->n; j += KOE_I8_PANEL) {
        const int8_t *panel = b->panel + j / KOE_I8_PANEL * panel_bytes;
        const size_t n = b->n - j < KOE_I8_PANEL ? b->n - j : KOE_I8_PANEL;
        size_t i = 0;
        for (; i + GEMM_ROWS <= m; i += GEMM_ROWS) product(c + i * ldc + j, ldc, a + i * lda, lda, flip, panel, b->sum + j, b->k, n, GEMM_ROWS);
        for (; i < m; i++) product(c + i * ldc + j, ldc, a + i * lda, lda, flip, panel, b->sum + j, b->k, n, 1);
    }
}

/* ---- convolutions ------------------------------------------------------------------------------------------------------ */

typedef struct tile {
    int32_t *c;
    size_t ldc;
    const uint32_t *w, *x;
    size_t ldx;
    const size_t *off;
    size_t rows, taps, m, n;
} tile;

VF_INLINE void run_tile(const tile *t, const size_t vectors)
{
    vi acc[TILE][VECTORS], less[(TILE + VF_N - 1) / VF_N]; /* less: -128 times the sums of the weights */
#pragma GCC unroll 8
    for (size_t i = 0; i < TILE; i++)
#pragma GCC unroll 3
        for (size_t v = 0; v < vectors; v++) acc[i][v] = vi_set(0);
#pragma GCC unroll 2
    for (size_t i = 0; i < TILE; i += VF_N) less[i / VF_N] = vi_set(0);
    const uint32_t *w = t->w;
    for (size_t r = 0; r < t->rows; r++)
        for (size_t k = 0; k < t->taps; k++, w += ROWS) {
            const uint32_t *x = t->x + r * t->ldx + t->off[k];
            vi in[VECTORS];
#pragma GCC unroll 3
            for (size_t v = 0; v < vectors; v++) {
                in[v] = load(x + v * VF_N);
                if (bias) in[v] = vi_bits(vf_xor(vf_bits(in[v]), vf_bits(vi_set((int)bias))));
            }
#pragma GCC unroll 8
            for (size_t i = 0; i < TILE; i++) {
                const vi weight = vi_set((int)w[i]);
#pragma GCC unroll 3
                for (size_t v = 0; v < vectors; v++) acc[i][v] = dot(acc[i][v], in[v], weight);
            }
#pragma GCC unroll 2
            for (size_t i = 0; bias && i < TILE; i += VF_N) less[i / VF_N] = dot(less[i / VF_N], vi_set((int)bias), load(w + i));
        }
    int32_t lost[ROWS + VF_N] = { 0 };
    for (size_t i = 0; bias && i < TILE; i += VF_N) store(lost + i, less[i / VF_N]);
#pragma GCC unroll 8
    for (size_t i = 0; i < TILE; i++)
#pragma GCC unroll 3
        for (size_t v = 0; v < vectors; v++)
            if (i < t->m) add_to(t->c + i * t->ldc + v * VF_N, t->n - v * VF_N, vi_sub(acc[i][v], vi_set(lost[i])));
}

void VARIANT(koe_i8_conv)(int32_t *c, size_t ldc, const uint32_t *weights, const uint32_t *x, size_t ldx, const size_t *off, size_t rows,
                          size_t taps, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i += TILE)
        for (size_t j = 0; j < n; j += VECTORS * VF_N) {
            const size_t left = n - j < VECTORS * VF_N ? n - j : VECTORS * VF_N;
            const tile t = { .c = c + i * ldc + j,
                             .ldc = ldc,
                             .w = weights + i / ROWS * ROWS * rows * taps + i % ROWS,
                             .x = x + j,
                             .ldx = ldx,
                             .off = off,
                             .rows = rows,
                             .taps = taps,
                             .m = m - i,
                             .n = left };
            if (left > 2 * VF_N) run_tile(&t, 3);
            else if (left > VF_N) run_tile(&t, 2);
            else run_tile(&t, 1);
        }
}
