/* Integer convolutions with AVX2. Even and odd bytes of a word are widened to 16 bits apart: two vpmaddwd then make the exact sum
 * of its four products. A tile is 4 outputs by up to 16 columns: 8 accumulators, 4 registers of x, 2 of weights. */
#include <immintrin.h>
#include <string.h>

#include "kernels/i8_conv.h"

enum { ROWS = KOE_I8_CONV_ROWS, TILE = 4, WIDTH = 8, VECTORS = 2 };

typedef struct tile {
    int32_t *c;
    size_t ldc;
    const uint32_t *w, *x;
    size_t ldx;
    const size_t *off;
    size_t rows, taps, m, n;
} tile;

/* c[0..n) += sum. */
static inline void add_to(int32_t *c, size_t n, __m256i sum)
{
    int32_t part[WIDTH];
    bool whole = n >= WIDTH;
    __m256i *p = (__m256i *)(void *)(whole ? c : part);
    if (!whole) memcpy(part, c, n * sizeof *c);
    _mm256_storeu_si256(p, _mm256_add_epi32(_mm256_loadu_si256(p), sum));
    if (!whole) memcpy(c, part, n * sizeof *c);
}

static inline __attribute__((always_inline)) void run_tile(const tile *t, const int vectors)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    __m256i acc[TILE][VECTORS];
    for (int i = 0; i < TILE; i++)
        for (int v = 0; v < vectors; v++) acc[i][v] = _mm256_setzero_si256();
    const uint32_t *w = t->w;
    for (size_t r = 0; r < t->rows; r++)
        for (size_t k = 0; k < t->taps; k++, w += ROWS) {
            const uint32_t *x = t->x + r * t->ldx + t->off[k];
            __m256i even[VECTORS], odd[VECTORS];
            for (int v = 0; v < vectors; v++) {
                __m256i in = _mm256_loadu_si256((const __m256i *)(const void *)(x + (size_t)v * WIDTH));
                even[v] = _mm256_and_si256(in, low);
                odd[v] = _mm256_srli_epi16(in, 8);
            }
            for (int i = 0; i < TILE; i++) {
                __m256i weight = _mm256_set1_epi32((int)w[i]), w_even = _mm256_srai_epi16(_mm256_slli_epi16(weight, 8), 8);
                __m256i w_odd = _mm256_srai_epi16(weight, 8);
                for (int v = 0; v < vectors; v++)
                    acc[i][v] = _mm256_add_epi32(
                        acc[i][v], _mm256_add_epi32(_mm256_madd_epi16(even[v], w_even), _mm256_madd_epi16(odd[v], w_odd)));
            }
        }
    for (size_t i = 0; i < TILE && i < t->m; i++)
        for (size_t v = 0; v < (size_t)vectors; v++) add_to(t->c + i * t->ldc + v * WIDTH, t->n - v * WIDTH, acc[i][v]);
}

void koe_i8_conv_avx2(int32_t *c, size_t ldc, const uint32_t *weights, const uint32_t *x, size_t ldx, const size_t *off,
                      size_t rows, size_t taps, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i += TILE)
        for (size_t j = 0; j < n; j += WIDTH * VECTORS) {
            tile t = { .c = c + i * ldc + j,
                       .ldc = ldc,
                       .w = weights + i / ROWS * ROWS * rows * taps + i % ROWS,
                       .x = x + j,
                       .ldx = ldx,
                       .off = off,
                       .rows = rows,
                       .taps = taps,
                       .m = m - i,
                       .n = n - j };
            if (t.n > WIDTH) run_tile(&t, 2);
            else run_tile(&t, 1);
        }
}
