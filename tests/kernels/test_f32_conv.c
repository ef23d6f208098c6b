/* Convolutions of the size that is evaluated with fewer multiplications, every variant, against sums in double precision: the worst error
 * relative to the RMS of the signal, which f32_toom.c states as about 4 times that of direct summation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernels/conv.h"

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

static void check(const koe_kernel_set *set, size_t co, size_t rows, size_t taps, size_t dilation, size_t n_in, int64_t pad)
{
    enum { CANARY = 8 };
    const size_t n_out = n_in + 2 * (size_t)pad - (taps - 1) * dilation, ldy = n_out + CANARY;
    float *x = noise(rows * n_in), *w = noise(co * rows * taps), *y = noise(co * ldy), *bias = noise(co), *residual = noise(co * n_out);
    size_t tap[16], pos[16], off[16];
    koe_toom toom = { 0 };
    for (size_t k = 0; k < taps; k++) tap[k] = k, pos[k] = k * dilation;
    koe_f32_conv_choose(&toom, co, rows, taps, 1, dilation);
    assert_true(toom.n > 0);
    float *packed = noise(koe_f32_conv_count(&toom, co, rows, taps));
    koe_f32_conv_pack(&toom, packed, &(koe_conv_weights){ .w = w, .s_co = rows * taps, .s_outer = taps, .s_tap = 1, .n_inner = 1 }, co, rows, tap, taps);
    koe_f32_conv v = { .co = co, .rows = rows, .taps = taps, .toom = &toom, .stride = 1, .dilation = dilation, .pad = pad, .pos = pos, .n_in = n_in,
        .n_out = n_out, .y_step = 1 };
    assert_true(koe_f32_conv_plan(&v, off, 1));
    float *scratch = malloc(v.scratch * sizeof *scratch);
    const koe_f32_epilogue ep = { .scale = 0.5f, .bias_row = bias, .residual = residual, .ld_residual = n_out };
    const source s = { x, n_in };
    for (size_t i = 0; i < co * ldy; i++) y[i] = 777;
    for (size_t i = v.n_tile * v.n_co; i-- > 0;) koe_f32_conv_task(&v, i, y, ldy, packed, row_of, &s, NULL, &ep, scratch);
    double square = 0, wrong = 0;
    for (size_t c = 0; c < co; c++) {
        for (size_t t = 0; t < n_out; t++) {
            double sum = (double)bias[c] + (double)residual[c * n_out + t];
            for (size_t k = 0; k < taps; k++) {
                const int64_t i = (int64_t)(t + k * dilation) - pad;
                for (size_t r = 0; i >= 0 && (size_t)i < n_in && r < rows; r++) sum += (double)w[(c * rows + r) * taps + k] * (double)x[r * n_in + (size_t)i];
            }
            sum /= 2;
            square += sum * sum;
            wrong += (sum - (double)y[c * ldy + t]) * (sum - (double)y[c * ldy + t]);
        }
        for (size_t t = n_out; t < ldy; t++) assert_true(y[c * ldy + t] == 777);
    }
    if (getenv("KOE_VERBOSE")) printf("%s %zu x %zu, %zu taps, dilation %zu, T %zu: error %.2g\n", set->name, co, rows, taps, dilation, n_out, error(wrong, square));
    if (!(error(wrong, square) < 5e-6))
        fail_msg("%s %zu x %zu, %zu taps, dilation %zu, T %zu: error %.2g of the RMS", set->name, co, rows, taps, dilation, n_out, error(wrong, square));
    free(x), free(w), free(y), free(bias), free(residual), free(packed), free(scratch);
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
            check(&table[v], 48 + taps, 49, taps, d, span + 1 + taps * 41 % 97, (int64_t)(span / 2));
            check(&table[v], 48, 48 + taps, taps, 1, taps + 600 - taps * 7, (int64_t)taps / 2);
        }
        check(&table[v], 50, 64, 11, 5, 500, 25);
        check(&table[v], 50, 64, 3, 1, 1, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(toom) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
