/* f32_tile_ref.c - the definition of the tile kernel and of the epilogue. */
#include <math.h>

#include "base/half.h"
#include "kernels/variants.h"

void koe_f32_tile_ref(float *c, size_t ldc, const float *a, const float *b, size_t ldb, const size_t *off, size_t rows, size_t taps,
                      size_t m, size_t n, bool accumulate)
{
    float sum[4][16] = { 0 };
    if (accumulate)
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) sum[i][j] = c[i * ldc + j];
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < taps; t++, a += m) {
            const float *x = b + r * ldb + off[t];
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < n; j++) sum[i][j] += a[i] * x[j];
        }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) c[i * ldc + j] = sum[i][j];
}

void koe_f32_tile_panel_ref(float *c, size_t ldc, const float *a, koe_f32_packed b, size_t rows, size_t m, size_t n, bool accumulate,
                            koe_f32_ahead ahead)
{
    enum { PANEL = 16 };
    (void)ahead;
    if (!b.bf16) {
        static const size_t no_shift[1] = { 0 };
        koe_f32_tile_ref(c, ldc, a, b.p, PANEL, no_shift, rows, 1, m, n, accumulate);
        return;
    }
    const uint16_t *words = b.p;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float sum = accumulate ? c[i * ldc + j] : 0;
            for (size_t r = 0; r < rows; r++) sum += a[r * m + i] * koe_bf16_to_f32(words[r * PANEL + j]);
            c[i * ldc + j] = sum;
        }
}

static float activate(float x, koe_act act, float alpha)
{
    switch (act) {
    case KOE_ACT_RELU: return x < 0 ? 0 : x;
    case KOE_ACT_LEAKY: return x < 0 ? alpha * x : x;
    case KOE_ACT_TANH: return tanhf(x);
    case KOE_ACT_SIGMOID: koe_f32_sigmoid_ref(&x, &x, 1); return x;
    case KOE_ACT_GELU: koe_f32_gelu_ref(&x, &x, 1); return x;
    case KOE_ACT_GELU_TANH: koe_f32_gelu_tanh_ref(&x, &x, 1); return x;
    case KOE_ACT_SILU: koe_f32_silu_ref(&x, &x, 1); return x;
    case KOE_ACT_NONE: break;
    }
    return x;
}

void koe_f32_finish_ref(float *c, size_t ldc, const float *from, size_t ld_from, size_t m, size_t n, const koe_f32_epilogue *ep)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float v = from[i * ld_from + j];
            if (ep->bias_row) v += ep->bias_row[i];
            if (ep->bias_col) v += ep->bias_col[j];
            if (ep->residual) v += ep->residual[i * ep->ld_residual + j];
            if (ep->addend) v += ep->addend[i * ep->ld_addend + j];
            c[i * ldc + j] = activate(v, ep->act, ep->alpha) * ep->scale;
        }
}

void koe_f32_split_ref(float *to, size_t pitch, const float *from, size_t n, size_t m)
{
    for (size_t c = 0; c < n; c++)
        for (size_t q = 0; q < m; q++) to[q * pitch + c] = from[c * m + q];
}

void koe_f32_join_ref(float *to, const float *from, size_t pitch, size_t n, size_t m)
{
    for (size_t c = 0; c < n; c++)
        for (size_t q = 0; q < m; q++) to[c * m + q] = from[q * pitch + c];
}

void koe_f32_join_pairs_ref(float *to, size_t ld_to, const float *p0, const float *p1, const float *p2, size_t pitch, size_t m, size_t n, size_t d)
{
    for (size_t i = 0; i < m; i++)
        for (size_t c = 0; c < n; c++) {
            float *y = to + i * ld_to + c / d * 2 * d + c % d;
            y[0] = p0[i * pitch + c] + p1[i * pitch + c];
            y[d] = p1[i * pitch + c] - p2[i * pitch + c];
        }
}
