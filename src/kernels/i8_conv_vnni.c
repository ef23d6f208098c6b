/* Integer convolutions with AVX512-VNNI. A tile is 8 outputs by up to 48 columns: 24 accumulators, 3 registers of x, 1 of
 * weights. */
#include <immintrin.h>

#include "kernels/i8_conv.h"

enum { ROWS = KOE_I8_CONV_ROWS, WIDTH = 16, VECTORS = 3 };

typedef struct tile {
    int32_t *c;
    size_t ldc;
    const uint32_t *w, *x;
    size_t ldx;
    const size_t *off;
    size_t rows, taps, m, last; /* last: columns of the last vector */
} tile;

/* Assembler, because gcc 12 copies the sum before and after the intrinsic, which halves the speed. */
static inline __attribute__((always_inline)) __m512i step(__m512i sum, __m512i x, __m512i weight)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(weight));
    return sum;
}

static inline __attribute__((always_inline)) void run_tile(const tile *t, const int vectors)
{
    const __mmask16 edge = (__mmask16)(0xffffu >> (WIDTH - t->last));
    __m512i acc[ROWS][VECTORS];
    for (size_t i = 0; i < ROWS; i++)
        for (int v = 0; v < vectors; v++)
            acc[i][v] = i < t->m ? _mm512_maskz_loadu_epi32(v == vectors - 1 ? edge : (__mmask16)0xffff,
                                                            t->c + i * t->ldc + (size_t)v * WIDTH)
                                 : _mm512_setzero_si512();
    const uint32_t *w = t->w;
    for (size_t r = 0; r < t->rows; r++)
        for (size_t k = 0; k < t->taps; k++, w += ROWS) {
            const uint32_t *x = t->x + r * t->ldx + t->off[k];
            __m512i in[VECTORS];
            for (int v = 0; v < vectors; v++) in[v] = _mm512_loadu_si512(x + (size_t)v * WIDTH);
            for (int i = 0; i < ROWS; i++) {
                __m512i weight = _mm512_set1_epi32((int)w[i]);
                for (int v = 0; v < vectors; v++) acc[i][v] = step(acc[i][v], in[v], weight);
            }
        }
    for (size_t i = 0; i < ROWS && i < t->m; i++)
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_epi32(t->c + i * t->ldc + (size_t)v * WIDTH, v == vectors - 1 ? edge : (__mmask16)0xffff,
                                     acc[i][v]);
}

void koe_i8_conv_vnni(int32_t *c, size_t ldc, const uint32_t *weights, const uint32_t *x, size_t ldx, const size_t *off,
                      size_t rows, size_t taps, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i += ROWS)
        for (size_t j = 0; j < n; j += WIDTH * VECTORS) {
            size_t left = n - j < WIDTH * VECTORS ? n - j : WIDTH * VECTORS, vectors = (left + WIDTH - 1) / WIDTH;
            tile t = { .c = c + i * ldc + j,
                       .ldc = ldc,
                       .w = weights + i * rows * taps,
                       .x = x + j,
                       .ldx = ldx,
                       .off = off,
                       .rows = rows,
                       .taps = taps,
                       .m = m - i,
                       .last = left - (vectors - 1) * WIDTH };
            if (vectors == 3) run_tile(&t, 3);
            else if (vectors == 2) run_tile(&t, 2);
            else run_tile(&t, 1);
        }
}
