/* Every variant of the integer product and convolution against the definition, on every size around its tiles. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "kernels/i8_gemm.h"

static uint32_t state = 1;
static uint32_t draw(void) { return state = state * 1664525u + 1013904223u; }
static uint8_t draw_byte(void)
{
    uint32_t r = draw() >> 8;
    return r % 5 == 0 ? 0xff : r % 5 == 1 ? 0x80 : (uint8_t)(r >> 8); /* extremes often: they are what saturates */
}

static int32_t value(uint8_t byte, bool is_signed) { return is_signed ? (int8_t)byte : byte; }

#ifdef KOE_TEST_EVEX /* the AVX-VNNI kernels in the encoding of AVX512-VL, for machines without AVX-VNNI */
koe_i8_gemm_fn koe_i8_gemm_evex;
koe_i8_conv_fn koe_i8_conv_evex;
static const koe_i8_variant evex = { "evex", KOE_CPU_VNNI, koe_i8_gemm_evex, koe_i8_conv_evex, koe_f32_quantise_u8, koe_f32_extremes };
#endif

/* Variant i when this processor runs it; past the table's end one more for AVX-VNNI. */
static const koe_i8_variant *runs(size_t i)
{
    const koe_i8_variant *v = i < koe_i8_n_variants ? &koe_i8_variants[i] : NULL;
#ifdef KOE_TEST_EVEX
    if (!v) v = &evex;
#endif
    return v && (koe_cpu_features() & v->needs) == v->needs ? v : NULL;
}

enum { MAX_M = 9, MAX_N = 130, MAX_K = 40 };

/* The bytes are exact-size heap blocks, so that a sanitizer sees a read past the end. */
static void check(const koe_i8_variant *v, size_t m, size_t n, size_t k, bool a_signed, bool b_signed)
{
    uint8_t *a = malloc(m * k + 1), *b = malloc(k * n + 1);
    int32_t a_zero[MAX_M], b_zero[MAX_N], *c = calloc(m * n, sizeof *c);
    void *memory = aligned_alloc(64, (koe_i8_packed_bytes(k, n) + 63) / 64 * 64);
    for (size_t i = 0; i < m * k; i++) a[i] = draw_byte();
    for (size_t i = 0; i < k * n; i++) b[i] = draw_byte();
    for (size_t i = 0; i < m; i++) a_zero[i] = value(draw_byte(), a_signed);
    for (size_t i = 0; i < n; i++) b_zero[i] = value(draw_byte(), b_signed);
    koe_i8_packed packed;
    koe_i8_pack(&packed, memory, &(koe_i8_source){ .data = b, .is_signed = b_signed, .row_step = n, .col_step = 1 }, k, n);
    if (v) { /* the inner kernel alone: no zero points */
        v->gemm(c, n, a, k, a_signed ? 0x80808080u : 0, &packed, m);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                int32_t want = 0;
                for (size_t p = 0; p < k; p++)
                    want += (a[i * k + p] ^ (a_signed ? 0x80 : 0)) * (int8_t)(b[p * n + j] ^ (b_signed ? 0 : 0x80));
                assert_int_equal(c[i * n + j], want);
            }
    } else {
        koe_i8_rows rows = { .data = a, .ld = k, .is_signed = a_signed, .row_zero = a_zero };
        koe_i8_gemm(c, n, &rows, &packed, b_zero, m);
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < n; j++) {
                int32_t want = 0;
                for (size_t p = 0; p < k; p++)
                    want += (value(a[i * k + p], a_signed) - a_zero[i]) * (value(b[p * n + j], b_signed) - b_zero[j]);
                assert_int_equal(c[i * n + j], want);
            }
    }
    free(a);
    free(b);
    free(c);
    free(memory);
}

static void all_sizes(const koe_i8_variant *v)
{
    for (size_t m = 1; m <= MAX_M; m++)
        for (size_t n = 1; n <= MAX_N; n += n < 34 ? 1 : 7)
            for (size_t k = 1; k <= MAX_K; k += k < 10 ? 1 : 9) check(v, m, n, k, m & 1, n & 1);
    for (int signs = 0; signs < 4; signs++) check(v, 5, 33, 19, signs & 1, signs & 2);
    check(v, 3, 17, 0, false, false);
}

static void test_variants(void **unused)
{
    (void)unused;
    for (size_t i = 0; i <= koe_i8_n_variants; i++)
        if (runs(i)) all_sizes(runs(i));
}

static void test_zero_points(void **unused)
{
    (void)unused;
    all_sizes(NULL);
}

static void test_columns(void **unused)
{
    (void)unused;
    enum { K = 7, N = 50 };
    uint8_t b[K * N], a[K];
    for (size_t i = 0; i < sizeof b; i++) b[i] = draw_byte();
    for (size_t i = 0; i < sizeof a; i++) a[i] = draw_byte();
    void *memory = aligned_alloc(64, (koe_i8_packed_bytes(K, N) + 63) / 64 * 64);
    koe_i8_packed packed;
    koe_i8_pack(&packed, memory, &(koe_i8_source){ .data = b, .is_signed = true, .row_step = N, .col_step = 1 }, K, N);
    koe_i8_rows rows = { .data = a, .ld = K, .zero = 3 };
    int32_t whole[N], part[N];
    koe_i8_gemm(whole, N, &rows, &packed, NULL, 1);
    for (size_t from = 0; from < N; from += KOE_I8_PANEL) {
        koe_i8_packed some = koe_i8_columns(&packed, from, N - from < KOE_I8_PANEL ? N - from : KOE_I8_PANEL);
        koe_i8_gemm(part + from, N, &rows, &some, NULL, 1);
    }
    assert_memory_equal(whole, part, sizeof whole);
    free(memory);
}

/* Weights and words of x full of extremes; exact-size blocks but for the slack. */
static void conv_case(const koe_i8_variant *v, size_t m, size_t n, size_t channels, size_t taps, bool w_signed)
{
    size_t rows = (channels + 3) / 4, ldx = n + 5, words = koe_i8_conv_words(m, channels, taps), off[3] = { 0, 5, 2 };
    uint8_t *w = malloc(m * channels * taps + 1);
    uint32_t *packed = malloc(words * sizeof *packed + 1), *x = malloc((rows * ldx + KOE_I8_CONV_SLACK) * sizeof *x);
    int32_t *sum = malloc(m * sizeof *sum), *c = malloc(m * (n + 1) * sizeof *c);
    for (size_t i = 0; i < m * channels * taps; i++) w[i] = draw_byte();
    for (size_t i = 0; i < rows * ldx + KOE_I8_CONV_SLACK; i++)
        x[i] = (uint32_t)draw_byte() | (uint32_t)draw_byte() << 8 | (uint32_t)draw_byte() << 16 | (uint32_t)draw_byte() << 24;
    for (size_t i = 0; i < m * (n + 1); i++) c[i] = (int32_t)i;
    koe_i8_conv_pack(packed, sum, w, w_signed, m, channels, taps);
    v->conv(c, n + 1, packed, x, ldx, off, rows, taps, m, n);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            int32_t want = (int32_t)(i * (n + 1) + j);
            for (size_t k = 0; k < channels; k++)
                for (size_t t = 0; t < taps; t++) {
                    uint32_t word = x[k / 4 * ldx + off[t] + j];
                    want += (int8_t)(w[(i * channels + k) * taps + t] ^ (w_signed ? 0 : 0x80)) *
                            (int32_t)(word >> (k % 4 * 8) & 0xff);
                }
            assert_int_equal(c[i * (n + 1) + j], want);
        }
        assert_int_equal(c[i * (n + 1) + n], i * (n + 1) + n);
    }
    free(w);
    free(packed);
    free(x);
    free(sum);
    free(c);
}

static void test_convolutions(void **unused)
{
    (void)unused;
    for (size_t i = 0; i <= koe_i8_n_variants; i++) {
        const koe_i8_variant *v = runs(i);
        if (!v) continue;
        for (size_t n = 1; n <= 97; n++) conv_case(v, n % 17 + 1, n, n % 9 + 1, n % 3 + 1, n & 1);
        for (size_t m = 1; m <= 17; m++) conv_case(v, m, 50, 7, 3, m & 1);
    }
}

static void test_quantise(void **unused)
{
    (void)unused;
    enum { N = 75 };
    static const float special[] = { 0.25f, 0.75f, 1.25f, -0.25f, 1e30f, -1e30f, INFINITY, -INFINITY, NAN, 127.75f };
    for (size_t v = 0; v < koe_i8_n_variants; v++) {
        if ((koe_cpu_features() & koe_i8_variants[v].needs) != koe_i8_variants[v].needs) continue;
        for (size_t n = 0; n <= N; n++) {
            float x[N], low, high, want_low = 0, want_high = 0;
            uint8_t y[N + 1];
            for (size_t i = 0; i < n; i++) {
                x[i] = draw() % 4 ? (float)(int)(draw() % 2000) / 16 - 60 : special[draw() % 10];
                if (x[i] < want_low) want_low = x[i];
                if (x[i] > want_high) want_high = x[i];
            }
            y[n] = 77;
            koe_i8_variants[v].quantise(y, x, n, 0.5f, 100);
            koe_i8_variants[v].extremes(x, n, &low, &high);
            assert_true(low == want_low && high == want_high);
            for (size_t i = 0; i < n; i++) {
                double r = nearbyint((double)x[i] / 0.5) + 100, want = r > 255 ? 255 : r > 0 ? r : 0;
                assert_int_equal(y[i], want);
            }
            assert_int_equal(y[n], 77);
        }
    }
}

static void test_overflow(void **unused)
{
    (void)unused;
    assert_int_equal(koe_i8_packed_bytes(SIZE_MAX, 1), 0);
    assert_int_equal(koe_i8_packed_bytes(SIZE_MAX / 8, 100), 0);
    assert_true(koe_i8_packed_bytes(0, 0) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants),     cmocka_unit_test(test_zero_points), cmocka_unit_test(test_columns),
        cmocka_unit_test(test_convolutions), cmocka_unit_test(test_quantise),    cmocka_unit_test(test_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
