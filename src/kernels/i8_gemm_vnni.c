/* Integer matrix products with AVX512-VNNI: vpdpbusd multiplies four unsigned by four signed bytes into each int32, without
 * saturation. A tile is 4 rows by up to 4 panels (64 columns): 16 accumulators, 4 registers of b, 1 of a. */
#include <immintrin.h>
#include <string.h>

#include "kernels/i8_gemm.h"

enum { ROWS = 4, PANELS = 4, GROUP_BYTES = KOE_I8_GROUP * KOE_I8_PANEL };

typedef struct tile {
    int32_t *c;
    size_t ldc;
    const uint8_t *a;
    size_t lda;
    const int8_t *b;
    size_t panel_bytes, k, last; /* last: columns of the last panel */
    uint32_t flip;
} tile;

/* Up to four bytes of a row, zero-extended. */
static inline __m512i four(const uint8_t *a, size_t n, uint32_t flip)
{
    uint32_t v = 0;
    if (n >= KOE_I8_GROUP) memcpy(&v, a, 4);
    else memcpy(&v, a, n);
    return _mm512_set1_epi32((int)(v ^ flip));
}

/* Assembler, because gcc 12 copies the sum before and after the intrinsic, which halves the speed. */
static inline __attribute__((always_inline)) __m512i step(__m512i sum, __m512i a, __m512i b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

static inline __attribute__((always_inline)) void run_tile(const tile *t, const int rows, const int panels)
{
    __m512i acc[ROWS][PANELS];
    const __mmask16 edge = (__mmask16)(0xffffu >> (KOE_I8_PANEL - t->last));
    for (int i = 0; i < rows; i++)
        for (int p = 0; p < panels; p++)
            acc[i][p] = _mm512_maskz_loadu_epi32(p == panels - 1 ? edge : (__mmask16)0xffff,
                                                 t->c + (size_t)i * t->ldc + (size_t)p * KOE_I8_PANEL);
    const int8_t *b = t->b;
    size_t at = 0;
    for (; at + KOE_I8_GROUP <= t->k; at += KOE_I8_GROUP, b += GROUP_BYTES) {
        __m512i w[PANELS];
        for (int p = 0; p < panels; p++) w[p] = _mm512_loadu_si512(b + (size_t)p * t->panel_bytes);
        for (int i = 0; i < rows; i++) {
            __m512i x = four(t->a + (size_t)i * t->lda + at, KOE_I8_GROUP, t->flip);
            for (int p = 0; p < panels; p++) acc[i][p] = step(acc[i][p], x, w[p]);
        }
    }
    if (at < t->k)
        for (int i = 0; i < rows; i++) {
            __m512i x = four(t->a + (size_t)i * t->lda + at, t->k - at, t->flip);
            for (int p = 0; p < panels; p++) acc[i][p] = step(acc[i][p], x, _mm512_loadu_si512(b + (size_t)p * t->panel_bytes));
        }
    for (int i = 0; i < rows; i++)
        for (int p = 0; p < panels; p++)
            _mm512_mask_storeu_epi32(t->c + (size_t)i * t->ldc + (size_t)p * KOE_I8_PANEL,
                                     p == panels - 1 ? edge : (__mmask16)0xffff, acc[i][p]);
}

#define TILES_OF(rows)                                                                                                           \
    switch (panels) {                                                                                                            \
    case 1: run_tile(t, rows, 1); break;                                                                                         \
    case 2: run_tile(t, rows, 2); break;                                                                                         \
    case 3: run_tile(t, rows, 3); break;                                                                                         \
    default: run_tile(t, rows, PANELS); break;                                                                                   \
    }

static void pick_tile(const tile *t, size_t rows, size_t panels)
{
    switch (rows) {
    case 1: TILES_OF(1) break;
    case 2: TILES_OF(2) break;
    case 3: TILES_OF(3) break;
    default: TILES_OF(ROWS) break;
    }
}

void koe_i8_gemm_vnni(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, uint32_t flip, const koe_i8_packed *b, size_t m)
{
    size_t panel_bytes = (b->k + KOE_I8_GROUP - 1) / KOE_I8_GROUP * GROUP_BYTES;
    for (size_t j = 0; j < b->n; j += PANELS * KOE_I8_PANEL) {
        size_t left = b->n - j, panels = (left + KOE_I8_PANEL - 1) / KOE_I8_PANEL;
        if (panels > PANELS) panels = PANELS;
        size_t last = left - (panels - 1) * KOE_I8_PANEL;
        if (last > KOE_I8_PANEL) last = KOE_I8_PANEL;
        for (size_t i = 0; i < m; i += ROWS) {
            tile t = { .c = c + i * ldc + j,
                       .ldc = ldc,
                       .a = a + i * lda,
                       .lda = lda,
                       .b = b->panel + j / KOE_I8_PANEL * panel_bytes,
                       .panel_bytes = panel_bytes,
                       .k = b->k,
                       .last = last,
                       .flip = flip };
            pick_tile(&t, m - i < ROWS ? m - i : ROWS, panels);
        }
    }
}
