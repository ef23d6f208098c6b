/* The bf16 and int8 tiles and packers of every instruction set against the portable ones: sizes from one element past every edge of a
 * tile. int8 is exact; bf16 differs by the order of its float32 sums only. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/lp_conv.h"

enum { ROWS = 5, TAPS = 3, LDB = 128, COLS = 100, LDC = 112 };
static const float guard = 12345.5f;

static uint32_t state = 1;
static uint32_t next(void) { return state = state * 1664525u + 1013904223u, state >> 8; }
static float number(void) { return (float)((int)(next() % 2001) - 1000) / 500.0f; }

static const koe_lp_set *reference(koe_lp_kind kind)
{
    size_t n;
    const koe_lp_set *t = koe_lp_table(&n);
    for (size_t i = 0; i < n; i++)
        if (t[i].kind == kind && t[i].needs == 0) return &t[i];
    return NULL;
}

typedef void check_fn(const koe_lp_set *set, const koe_lp_set *ref);

#ifdef KOE_TEST_EVEX /* the AVX-VNNI tile in the encoding of AVX512-VL, for machines without AVX-VNNI */
koe_lp_tile_fn koe_i8_tile_evex;
#endif

static void for_each(check_fn *check)
{
    size_t n;
    const koe_lp_set *t = koe_lp_table(&n);
#ifdef KOE_TEST_EVEX
    for (size_t i = 0; i < n; i++)
        if (t[i].needs & KOE_CPU_AVX_VNNI && (koe_cpu_features() & KOE_CPU_VNNI)) {
            koe_lp_set set = t[i];
            set.tile = koe_i8_tile_evex;
            check(&set, reference(set.kind));
        }
#endif
    for (size_t i = 0; i < n; i++)
        if (t[i].needs && (koe_cpu_features() & t[i].needs) == t[i].needs) check(&t[i], reference(t[i].kind));
}

static void fill_words(uint32_t *w, size_t n, const koe_lp_set *set, bool weights)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = 0;
        if (set->kind == KOE_LP_BF16) {
            const float x[2] = { number(), number() };
            set->pack(&w[i], x, NULL, 1, 2, 1, 1, 1, 0, 0);
        } else
            for (int k = 0; k < 32; k += 8)
                w[i] |= (weights ? (next() % 255 - 127) & 0xff : next() % ((uint32_t)set->x_max + 1)) << k;
    }
}

static void check_tile(const koe_lp_set *set, const koe_lp_set *ref)
{
    uint32_t a[ROWS * TAPS * 16], b[ROWS * LDB], biased[ROWS * LDB];
    float c[16 * LDC], want[16 * LDC], scale[16];
    int32_t init[16];
    const size_t off[TAPS] = { 0, 3, 7 };
    fill_words(b, ROWS * LDB, set, false);
    for (int i = 0; i < ROWS * LDB; i++) biased[i] = b[i] ^ (uint32_t)set->x_bias * 0x01010101u;
    for (int i = 0; i < 16; i++) scale[i] = 0.01f * (float)(i + 1), init[i] = i * 7 - 30;
    for (size_t m = 1; m <= set->mr; m++) {
        fill_words(a, ROWS * TAPS * m, set, true);
        int32_t moved[16]; /* what the bias takes off the inputs: the tile's x are the reference's less x_bias */
        for (size_t i = 0; i < m; i++) {
            int32_t sum = 0;
            for (size_t r = 0; set->x_bias && r < ROWS * TAPS; r++)
                for (int k = 0; k < 32; k += 8) sum += (int8_t)(a[r * m + i] >> k);
            moved[i] = init[i] + set->x_bias * sum;
        }
        for (size_t n = 1; n <= set->nr; n++) {
            for (size_t i = 0; i < 16 * LDC; i++) c[i] = want[i] = guard;
            set->tile(c, LDC, a, biased, LDB, off, ROWS, TAPS, m, n, moved, scale);
            ref->tile(want, LDC, a, b, LDB, off, ROWS, TAPS, m, n, init, scale);
            for (size_t i = 0; i < 16 * LDC; i++) {
                const float tolerance = set->kind == KOE_LP_INT8 ? 0 : 1e-4f;
                if (!(fabsf(c[i] - want[i]) <= tolerance))
                    fail_msg("%s m %zu n %zu: element %zu is %g, expected %g", set->name, m, n, i, (double)c[i], (double)want[i]);
            }
        }
    }
}

static void check_pack(const koe_lp_set *set, const koe_lp_set *ref)
{
    float x[4 * COLS], y[4 * COLS];
    uint32_t out[COLS + 1], want[COLS + 1];
    for (size_t i = 0; i < 4 * COLS; i++) x[i] = number() * (i % 7 == 0 ? 100.0f : 1.0f), y[i] = number();
    for (size_t rows = 0; rows <= koe_lp_group(set->kind); rows++)
        for (size_t n = 1; n <= COLS; n++) {
            out[n] = want[n] = 0xdeadbeef;
            const float slope = n % 2 ? 1 : 0.1f, *less = set->kind == KOE_LP_INT8 && n % 3 == 0 ? y : NULL;
            set->pack(out, x, less, COLS, rows, n, slope, 31.7f, 90, (float)set->x_max);
            ref->pack(want, x, less, COLS, rows, n, slope, 31.7f, 90, (float)set->x_max);
            for (size_t i = 0; i < n; i++) out[i] ^= (uint32_t)set->x_bias * 0x01010101u;
            for (size_t i = 0; i <= n; i++)
                if (out[i] != want[i]) fail_msg("%s rows %zu n %zu: word %zu is %08x, expected %08x", set->name, rows, n, i, out[i], want[i]);
            float low = 0, high = 0, low_want = 0, high_want = 0;
            set->range(x, less, n, &low, &high);
            ref->range(x, less, n, &low_want, &high_want);
            if (low != low_want || high != high_want) fail_msg("%s n %zu: range %g..%g", set->name, n, (double)low, (double)high);
        }
}

static void test_tiles(void **s)
{
    (void)s;
    for_each(check_tile);
}

static void test_packers(void **s)
{
    (void)s;
    for_each(check_pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tiles), cmocka_unit_test(test_packers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
