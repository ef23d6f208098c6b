/* Convolutions of the size that is evaluated with fewer multiplications, every variant, against sums in double precision: the worst error
 * relative to the RMS of the signal, which f32_toom.c states as about 4 times that of direct summation. And those of 8 bits whose outputs are made in
 * pairs (lp_pairs.c): inputs and weights have 7 to 8 bits of their range. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/lp_conv.h"

static unsigned seed = 1;

static float *noise(size_t n)
{
    float *p = malloc(n * sizeof *p + 1);
    for (size_t i = 0; i < n; i++) seed = seed * 1664525u + 1013904223u, p[i] = (float)(int)seed * 0x1p-31f;
    return p;
}

typedef struct source {
    const float *x;
    size_t n_in;
} source;

static const float *row_of(const void *arg, size_t r)
{
    const source *s = arg;
    return s->x + r * s->n_in;
}

static double error(double sum_square, double square) { return square > 0 ? sqrt(sum_square / square) : 0; }

typedef struct shape {
    size_t co, rows, taps, dilation, n_in;
    int64_t pad;
} shape;

/* The worst case of a task: y has CANARY elements behind each row. Bytes: in 8 bits and in pairs, by `lp`. */
static void compute(const koe_f32_conv *like, const koe_lp_set *lp, const float *w, float *y, size_t ldy, const source *x, const koe_f32_epilogue *ep)
{
    koe_f32_conv v = *like;
    size_t tap[16], off[16];
    int32_t *sum = malloc(KOE_LP_PAIR_PARTS * v.co * sizeof *sum);
    float *scale = noise(KOE_LP_PAIR_PARTS * v.co);
    float *packed = noise(lp ? koe_lp_pairs_words(v.co, v.rows, v.taps) : koe_f32_conv_count(v.toom, v.co, v.rows, v.taps));
    uint32_t *words = (uint32_t *)(void *)packed;
    const koe_conv_weights from = { .w = w, .s_co = v.rows * v.taps, .s_outer = v.taps, .s_tap = 1, .n_inner = 1 };
    for (size_t k = 0; k < v.taps; k++) tap[k] = k;
    if (lp) koe_lp_pairs_pack(lp, words, sum, scale, &from, v.co, v.rows, v.taps);
    else koe_f32_conv_pack(v.toom, packed, &from, v.co, v.rows, tap, v.taps);
    assert_true(koe_f32_conv_plan(&v, off, 1));
    if (lp) assert_true(koe_lp_conv_plan(lp, &v));
    float *scratch = malloc(v.scratch * sizeof *scratch);
    for (size_t i = v.n_tile * v.n_co; i-- > 0;) {
        if (lp) koe_lp_conv_task(lp, &v, i, y, ldy, words, sum, scale, row_of, x, NULL, ep, scratch);
        else koe_f32_conv_task(&v, i, y, ldy, packed, row_of, x, NULL, ep, scratch);
    }
    free(sum), free(scale), free(packed), free(scratch);
}

static void check(const char *name, const koe_lp_set *lp, shape g, double tolerance)
{
    enum { CANARY = 8 };
    const size_t n_out = g.n_in + 2 * (size_t)g.pad - (g.taps - 1) * g.dilation, ldy = n_out + CANARY;
    float *x = noise(g.rows * g.n_in), *w = noise(g.co * g.rows * g.taps), *y = noise(g.co * ldy), *bias = noise(g.co), *residual = noise(g.co * n_out);
    size_t pos[16];
    koe_toom toom = { 0 };
    for (size_t k = 0; k < g.taps; k++) pos[k] = k * g.dilation;
    if (!lp) koe_f32_conv_choose(&toom, g.co, g.rows, g.taps, 1, g.dilation);
    assert_true(lp || toom.n > 0);
    const koe_f32_conv v = { .co = g.co, .rows = g.rows, .taps = g.taps, .toom = &toom, .in_pairs = lp != NULL, .stride = 1, .dilation = g.dilation,
        .pad = g.pad, .pos = pos, .n_in = g.n_in, .n_out = n_out, .y_step = 1 };
    const koe_f32_epilogue ep = { .scale = 0.5f, .bias_row = bias, .residual = residual, .ld_residual = n_out };
    const source s = { x, g.n_in };
    for (size_t i = 0; i < g.co * ldy; i++) y[i] = 777;
    compute(&v, lp, w, y, ldy, &s, &ep);
    double square = 0, wrong = 0;
    for (size_t c = 0; c < g.co; c++) {
        for (size_t t = 0; t < n_out; t++) {
            double sum = (double)bias[c] + (double)residual[c * n_out + t];
            for (size_t k = 0; k < g.taps; k++) {
                const int64_t i = (int64_t)(t + k * g.dilation) - g.pad;
                for (size_t r = 0; i >= 0 && (size_t)i < g.n_in && r < g.rows; r++)
                    sum += (double)w[(c * g.rows + r) * g.taps + k] * (double)x[r * g.n_in + (size_t)i];
            }
            sum /= 2;
            square += sum * sum;
            wrong += (sum - (double)y[c * ldy + t]) * (sum - (double)y[c * ldy + t]);
        }
        for (size_t t = n_out; t < ldy; t++) assert_true(y[c * ldy + t] == 777);
    }
    if (getenv("KOE_VERBOSE"))
        printf("%s %zu x %zu, %zu taps, dilation %zu, T %zu: error %.2g\n", name, g.co, g.rows, g.taps, g.dilation, n_out, error(wrong, square));
    if (!(error(wrong, square) < tolerance))
        fail_msg("%s %zu x %zu, %zu taps, dilation %zu, T %zu: error %.2g of the RMS", name, g.co, g.rows, g.taps, g.dilation, n_out, error(wrong, square));
    free(x), free(w), free(y), free(bias), free(residual);
}

static void toom(void **state)
{
    (void)state;
    size_t n;
    const koe_kernel_set *table = koe_kernel_table(&n);
    static const size_t dilations[] = { 1, 2, 3, 5, 12 };
    for (size_t v = 0; v < n; v++) {
        if (koe_cpu_restrict(table[v].name, NULL) != KOE_OK) continue;
        for (size_t taps = 3; taps <= 12; taps++) {
            const size_t d = dilations[(taps + v) % 5], span = (taps - 1) * d;
            check(table[v].name, NULL, (shape){ 48 + taps, 49, taps, d, span + 1 + taps * 41 % 97, (int64_t)(span / 2) }, 5e-6);
            check(table[v].name, NULL, (shape){ 48, 48 + taps, taps, 1, taps + 600 - taps * 7, (int64_t)taps / 2 }, 5e-6);
        }
        check(table[v].name, NULL, (shape){ 50, 64, 11, 5, 500, 25 }, 5e-6);
        check(table[v].name, NULL, (shape){ 50, 64, 3, 1, 1, 1 }, 5e-6);
        check(table[v].name, NULL, (shape){ 22, 128, 7, 1, 300, 3 }, 5e-6);
    }
}

static void pairs(void **state)
{
    (void)state;
    size_t n;
    const koe_kernel_set *table = koe_kernel_table(&n);
    static const size_t dilations[] = { 1, 2, 3, 5, 16 };
    for (size_t v = 0; v < n; v++) {
        if (koe_cpu_restrict(table[v].name, NULL) != KOE_OK) continue;
        const koe_lp_set *lp = koe_lp_kernels(KOE_LP_INT8);
        if (!lp || lp->x_max != UINT8_MAX) continue;
        for (size_t i = 0; i < 30; i++) {
            const size_t taps = 5 + i % 8, d = dilations[i % 5], span = (taps - 1) * d;
            check(lp->name, lp, (shape){ 33 + i * 5 % 17, 32 + i * 7 % 19, taps, d, span + 1 + i * 41 % 97 + i / 10 * 250, (int64_t)(span / 2) }, 0.02);
        }
        assert_true(koe_lp_pairs_suit(lp, 128, 128, 11, 1, 5));
        assert_false(koe_lp_pairs_suit(lp, 128, 128, 11, 2, 1));
        assert_false(koe_lp_pairs_suit(lp, 128, 128, 3, 1, 1));
        assert_false(koe_lp_pairs_suit(lp, 128, 128, 11, 1, 17));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(toom), cmocka_unit_test(pairs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
