/* f32_tile_simd.c - the tile kernel: m rows by v vectors of c in registers, for each m and v its own unrolled loop.
 * AVX-512 8 x 3 vectors: 24 accumulators, 3 of b, one broadcast of a; 11 loads for 24 multiply-adds.
 * AVX2    4 x 3 vectors: 12, 3 and 1 of the 16 registers; 7 loads for 12.
 * NEON    as AVX-512, also in 32 registers; the element of a is a lane of the multiply-add. */
#include "kernels/f32_math_simd.h"
#include "kernels/variants.h"

#if defined(__AVX512F__) || defined(__aarch64__)
enum { MR = 8, NV = 3 };
#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
enum { MR = 4, NV = 3 };
#define ROWS(X) X(1) X(2) X(3) X(4)
#endif

/* n_last: floats of the last vector, 0 when it is whole. m, v and whether n_last is 0 are constants at each call: all loops over them
 * unroll, and acc lives in registers. */
VF_INLINE void tile(float *c, size_t ldc, const float *a, const float *b, size_t ldb, const size_t *off, size_t rows, size_t taps,
                    size_t n_last, bool accumulate, const size_t m, const size_t v)
{
    vf acc[MR][NV];
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < v; j++) {
            const float *from = c + i * ldc + j * VF_N;
            if (!accumulate) acc[i][j] = vf_zero();
            else acc[i][j] = n_last && j + 1 == v ? vf_load_n(from, n_last) : vf_load(from);
        }
    for (size_t r = 0; r < rows; r++, b += ldb)
        for (size_t t = 0; t < taps; t++, a += m) {
            const float *x = b + off[t];
            vf xv[NV];
#pragma GCC unroll 3
            for (size_t j = 0; j < v; j++) xv[j] = n_last && j + 1 == v ? vf_load_n(x + j * VF_N, n_last) : vf_load(x + j * VF_N);
#pragma GCC unroll 8
            for (size_t i = 0; i < m; i++) {
                const vf w = vf_set(a[i]);
#pragma GCC unroll 3
                for (size_t j = 0; j < v; j++) acc[i][j] = vf_fma(w, xv[j], acc[i][j]);
            }
        }
#pragma GCC unroll 8
    for (size_t i = 0; i < m; i++)
#pragma GCC unroll 3
        for (size_t j = 0; j < v; j++) {
            float *to = c + i * ldc + j * VF_N;
            if (n_last && j + 1 == v) vf_store_n(to, acc[i][j], n_last);
            else vf_store(to, acc[i][j]);
        }
}

#define ARGS float *c, size_t ldc, const float *a, const float *b, size_t ldb, const size_t *off, size_t rows, size_t taps, bool accumulate
#define WITH(m, v, last) tile(c, ldc, a, b, ldb, off, rows, taps, last, accumulate, m, v)
#define DEFINE(m)                                              \
    static void tile_##m(ARGS, size_t n)                       \
    {                                                          \
        const size_t last = n % VF_N, v = (n - 1) / VF_N + 1;  \
        if (last == 0 && v == 3) WITH(m, 3, 0);                \
        else if (last == 0 && v == 2) WITH(m, 2, 0);           \
        else if (last == 0) WITH(m, 1, 0);                     \
        else if (v == 3) WITH(m, 3, last);                     \
        else if (v == 2) WITH(m, 2, last);                     \
        else WITH(m, 1, last);                                 \
    }
ROWS(DEFINE)

void VARIANT(koe_f32_tile)(float *c, size_t ldc, const float *a, const float *b, size_t ldb, const size_t *off, size_t rows,
                           size_t taps, size_t m, size_t n, bool accumulate)
{
    typedef void fn(ARGS, size_t n);
#define ENTRY(m) tile_##m,
    static fn *const by_rows[] = { ROWS(ENTRY) };
    by_rows[m - 1](c, ldc, a, b, ldb, off, rows, taps, accumulate, n);
}

VF_INLINE vf activate(vf v, koe_act act, vf alpha)
{
    switch (act) {
    case KOE_ACT_RELU: return vf_select(vf_lt(v, vf_zero()), vf_zero(), v);
    case KOE_ACT_LEAKY: return vf_select(vf_lt(v, vf_zero()), vf_mul(v, alpha), v);
    case KOE_ACT_TANH: return v_tanh(v);
    case KOE_ACT_SIGMOID: return v_sigmoid(v);
    case KOE_ACT_GELU: return v_gelu(v);
    case KOE_ACT_GELU_TANH: return v_gelu_tanh(v);
    case KOE_ACT_SILU: return v_silu(v);
    case KOE_ACT_NONE: break;
    }
    return v;
}

/* One vector, or n floats of one, of row i from column j on. */
VF_INLINE void finish(float *c, const float *from, size_t i, size_t j, size_t n, vf bias, vf scale, vf alpha, const koe_f32_epilogue *ep)
{
    const float *residual = ep->residual ? ep->residual + i * ep->ld_residual + j : NULL;
    const float *addend = ep->addend ? ep->addend + i * ep->ld_addend + j : NULL;
    vf v = vf_add(n == VF_N ? vf_load(from) : vf_load_n(from, n), bias);
    if (ep->bias_col) v = vf_add(v, vf_load_n(ep->bias_col + j, n));
    if (residual) v = vf_add(v, n == VF_N ? vf_load(residual) : vf_load_n(residual, n));
    if (addend) v = vf_add(v, n == VF_N ? vf_load(addend) : vf_load_n(addend, n));
    v = vf_mul(activate(v, ep->act, alpha), scale);
    if (n == VF_N) vf_store(c, v);
    else vf_store_n(c, v, n);
}

/* The commonest case, without an activation or a bias of columns. What is added is known to the compiler: it would otherwise look for it
 * again after each store. */
VF_INLINE void finish_plain(float *c, size_t ldc, const float *from, size_t ld_from, size_t m, size_t n, const koe_f32_epilogue *ep,
                            const bool residual, const bool addend)
{
    const vf scale = vf_set(ep->scale);
    for (size_t i = 0; i < m; i++) {
        const vf bias = vf_set(ep->bias_row ? ep->bias_row[i] : 0);
        const float *a = residual ? ep->residual + i * ep->ld_residual : NULL, *b = addend ? ep->addend + i * ep->ld_addend : NULL;
        const float *row = from + i * ld_from;
        float *to = c + i * ldc;
        size_t j = 0;
        for (; j + VF_N <= n; j += VF_N) {
            vf v = vf_add(vf_load(row + j), bias);
            if (residual) v = vf_add(v, vf_load(a + j));
            if (addend) v = vf_add(v, vf_load(b + j));
            vf_store(to + j, vf_mul(v, scale));
        }
        if (j < n) {
            vf v = vf_add(vf_load_n(row + j, n - j), bias);
            if (residual) v = vf_add(v, vf_load_n(a + j, n - j));
            if (addend) v = vf_add(v, vf_load_n(b + j, n - j));
            vf_store_n(to + j, vf_mul(v, scale), n - j);
        }
    }
}

void VARIANT(koe_f32_finish)(float *c, size_t ldc, const float *from, size_t ld_from, size_t m, size_t n, const koe_f32_epilogue *ep)
{
    const vf scale = vf_set(ep->scale), alpha = vf_set(ep->alpha);
    if (ep->act == KOE_ACT_NONE && !ep->bias_col) {
        if (!ep->residual) finish_plain(c, ldc, from, ld_from, m, n, ep, false, false);
        else if (!ep->addend) finish_plain(c, ldc, from, ld_from, m, n, ep, true, false);
        else finish_plain(c, ldc, from, ld_from, m, n, ep, true, true);
        return;
    }
    for (size_t i = 0; i < m; i++) {
        const vf bias = vf_set(ep->bias_row ? ep->bias_row[i] : 0);
        size_t j = 0;
        for (; j + VF_N <= n; j += VF_N) finish(c + i * ldc + j, from + i * ld_from + j, i, j, VF_N, bias, scale, alpha, ep);
        if (j < n) finish(c + i * ldc + j, from + i * ld_from + j, i, j, n - j, bias, scale, alpha, ep);
    }
}
