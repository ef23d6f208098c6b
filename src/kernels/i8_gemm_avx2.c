/* Integer matrix products with AVX2. vpmaddubsw would saturate, so bytes are widened to 16 bits and multiplied by vpmaddwd: a
 * register of sums holds 4 columns, two int32 of each (rows 0 and 1, rows 2 and 3 of a group), added at the end. A tile is 2 rows
 * by 1 panel: 8 accumulators, 4 registers of b, 1 of a. */
#include <immintrin.h>
#include <string.h>

#include "kernels/i8_gemm.h"

enum { ROWS = 2, PARTS = KOE_I8_PANEL / 4, GROUP_BYTES = KOE_I8_GROUP * KOE_I8_PANEL };

/* Up to four bytes of a row, zero-extended to 16 bits, four times over. */
static inline __m256i four(const uint8_t *a, size_t n, uint32_t flip)
{
    uint32_t v = 0;
    if (n >= KOE_I8_GROUP) memcpy(&v, a, 4);
    else memcpy(&v, a, n);
    return _mm256_cvtepu8_epi16(_mm_set1_epi32((int)(v ^ flip)));
}

static inline __m256i add_pairs(__m256i low, __m256i high)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), 0xD8);
}

/* c[0..n) += the 16 sums of one row. */
static inline void add_row(int32_t *c, size_t n, const __m256i sum[PARTS])
{
    int32_t part[KOE_I8_PANEL];
    bool whole = n >= KOE_I8_PANEL;
    int32_t *to = whole ? c : part;
    if (!whole) memcpy(part, c, n * sizeof *c);
    for (int h = 0; h < 2; h++) {
        __m256i *p = (__m256i *)(void *)(to + 8 * h);
        _mm256_storeu_si256(p, _mm256_add_epi32(_mm256_loadu_si256(p), add_pairs(sum[2 * h], sum[2 * h + 1])));
    }
    if (!whole) memcpy(c, part, n * sizeof *c);
}

static inline __attribute__((always_inline)) void run_tile(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, uint32_t flip,
                                                           const int8_t *b, size_t k, size_t n, const int rows)
{
    __m256i acc[ROWS][PARTS];
    for (int i = 0; i < rows; i++)
        for (int p = 0; p < PARTS; p++) acc[i][p] = _mm256_setzero_si256();
    for (size_t at = 0; at < k; at += KOE_I8_GROUP, b += GROUP_BYTES) {
        __m256i w[PARTS];
        for (int p = 0; p < PARTS; p++) w[p] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(b + 16 * p)));
        for (int i = 0; i < rows; i++) {
            __m256i x = four(a + (size_t)i * lda + at, k - at, flip);
            for (int p = 0; p < PARTS; p++) acc[i][p] = _mm256_add_epi32(acc[i][p], _mm256_madd_epi16(x, w[p]));
        }
    }
    for (int i = 0; i < rows; i++) add_row(c + (size_t)i * ldc, n, acc[i]);
}

void koe_i8_gemm_avx2(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, uint32_t flip, const koe_i8_packed *b, size_t m)
{
    size_t panel_bytes = (b->k + KOE_I8_GROUP - 1) / KOE_I8_GROUP * GROUP_BYTES;
    for (size_t j = 0; j < b->n; j += KOE_I8_PANEL) {
        const int8_t *panel = b->panel + j / KOE_I8_PANEL * panel_bytes;
        size_t n = b->n - j < KOE_I8_PANEL ? b->n - j : KOE_I8_PANEL, i = 0;
        for (; i + ROWS <= m; i += ROWS) run_tile(c + i * ldc + j, ldc, a + i * lda, lda, flip, panel, b->k, n, ROWS);
        if (i < m) run_tile(c + i * ldc + j, ldc, a + i * lda, lda, flip, panel, b->k, n, 1);
    }
}
