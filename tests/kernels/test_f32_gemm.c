/* The tile kernel, the epilogue, matrix products and the LSTM step of every variant against plain loops in double precision.
 * Operands end at an unreadable page, so that a read past them is a crash; results lie between canaries.
 * Tolerance: a sum of k products of numbers below 1 in float32 is off by at most about k * 2^-24, in practice sqrt(k) * 2^-24. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "kernels/kernels.h"

static unsigned seed = 1;

static size_t random_size(size_t low, size_t high)
{
    seed = seed * 1664525u + 1013904223u;
    return low + (seed >> 8) % (high - low + 1);
}

static float random_float(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(int)seed * 0x1p-31f;
}

/* n random floats that end where memory ends. */
typedef struct guarded {
    void *map;
    size_t bytes;
    float *p;
} guarded;

static guarded guard(size_t n)
{
    const size_t page = 4096, bytes = (n * sizeof(float) + page - 1) / page * page + page;
    guarded g = { mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), bytes, NULL };
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect((char *)g.map + bytes - page, page, PROT_NONE), 0);
    g.p = (float *)(void *)((char *)g.map + bytes - page) - n;
    for (size_t i = 0; i < n; i++) g.p[i] = random_float();
    return g;
}

static void unguard(guarded *g) { munmap(g->map, g->bytes); }

static void near(const char *what, float got, double want, size_t k)
{
    const double limit = 4e-7 * (1 + sqrt((double)k)) * (1 + fabs(want));
    if (!(fabs((double)got - want) <= limit)) fail_msg("%s: %.9g, want %.9g (limit %.2g)", what, (double)got, want, limit);
}

static const koe_kernel_set *variant(size_t i)
{
    size_t n;
    const koe_kernel_set *table = koe_kernel_table(&n);
    return i < n && koe_cpu_restrict(table[i].name, NULL) == KOE_OK ? &table[i] : NULL;
}

static size_t n_variants(void)
{
    size_t n;
    koe_kernel_table(&n);
    return n;
}

static void check_tile(const koe_kernel_set *set, size_t m, size_t n, size_t rows, size_t taps, bool accumulate)
{
    const size_t step = random_size(0, 3), ldb = n + step * taps, ldc = n + random_size(0, 2);
    size_t off[8];
    for (size_t t = 0; t < taps; t++) off[t] = t * step;
    guarded a = guard(rows * taps * m), b = guard(rows ? rows * ldb - step * taps + (taps - 1) * step : 0), c = guard(m * ldc);
    float *before = malloc(m * ldc * sizeof *before);
    memcpy(before, c.p, m * ldc * sizeof *before);
    set->tile(c.p, ldc, a.p, b.p, ldb, off, rows, taps, m, n, accumulate);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < ldc; j++) {
            double want = accumulate || j >= n ? (double)before[i * ldc + j] : 0;
            for (size_t r = 0; j < n && r < rows; r++)
                for (size_t t = 0; t < taps; t++) want += (double)a.p[(r * taps + t) * m + i] * (double)b.p[r * ldb + off[t] + j];
            near(set->name, c.p[i * ldc + j], want, rows * taps);
        }
    free(before);
    unguard(&a), unguard(&b), unguard(&c);
}

static void tiles(void **state)
{
    (void)state;
    for (size_t v = 0; v < n_variants(); v++) {
        const koe_kernel_set *set = variant(v);
        for (size_t m = 1; set && m <= set->mr; m++)
            for (size_t n = 1; n <= set->nr; n++) check_tile(set, m, n, random_size(0, 9), random_size(1, 5), random_size(0, 1));
    }
}

static double activation(double x, const koe_f32_epilogue *ep)
{
    switch (ep->act) {
    case KOE_ACT_RELU: return x < 0 ? 0 : x;
    case KOE_ACT_LEAKY: return x < 0 ? x * (double)ep->alpha : x;
    case KOE_ACT_TANH: return tanh(x);
    case KOE_ACT_SIGMOID: return 1 / (1 + exp(-x));
    default: return x;
    }
}

static void check_product(const koe_kernel_set *set, size_t m, size_t n, size_t k)
{
    const bool a_t = random_size(0, 1), b_t = random_size(0, 1);
    const int accumulate = (int)random_size(0, 1);
    const size_t ldc = n + random_size(0, 3);
    guarded a = guard(m * k), b = guard(k * n), c = guard(m * ldc), bias_row = guard(m), bias_col = guard(n), residual = guard(m * n);
    guarded packed = guard(koe_f32_packed_count(k, n));
    float *before = malloc(m * ldc * sizeof *before + 1);
    const koe_f32_view va = { a.p, a_t ? 1 : k, a_t ? m : 1 }, vb = { b.p, b_t ? 1 : n, b_t ? k : 1 };
    koe_f32_epilogue ep = { .scale = 0.5f, .act = (koe_act)random_size(0, 4), .alpha = 0.1f };
    if (random_size(0, 1)) ep.bias_row = bias_row.p;
    if (random_size(0, 1)) ep.bias_col = bias_col.p;
    if (random_size(0, 1)) ep.residual = residual.p, ep.ld_residual = n;
    koe_f32_pack(packed.p, false, vb, k, n);
    for (int form = 0; form < 3; form++) {
        memcpy(before, c.p, m * ldc * sizeof *before);
        if (form == 0) koe_f32_gemm_view(c.p, ldc, va, vb, m, n, k, accumulate, NULL);
        else if (form == 1) koe_f32_gemm_view(c.p, ldc, va, vb, m, n, k, 0, &ep);
        else { /* in two parts, as two tasks would */
            const size_t half = random_size(0, n / koe_f32_panel() + 1);
            koe_f32_gemm_packed(c.p, ldc, va, (koe_f32_packed){ packed.p, false }, m, n, k, 0, half, &ep);
            koe_f32_gemm_packed(c.p, ldc, va, (koe_f32_packed){ packed.p, false }, m, n, k, half, SIZE_MAX, &ep);
        }
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < ldc; j++) {
                double want = (form == 0 && accumulate) || j >= n ? (double)before[i * ldc + j] : 0;
                for (size_t p = 0; j < n && p < k; p++) want += (double)va.p[i * va.row + p * va.col] * (double)vb.p[p * vb.row + j * vb.col];
                if (form > 0 && j < n) {
                    if (ep.bias_row) want += (double)bias_row.p[i];
                    if (ep.bias_col) want += (double)bias_col.p[j];
                    if (ep.residual) want += (double)residual.p[i * n + j];
                    want = activation(want, &ep) * (double)ep.scale;
                }
                near(set->name, c.p[i * ldc + j], want, k);
            }
    }
    free(before);
    unguard(&a), unguard(&b), unguard(&c), unguard(&bias_row), unguard(&bias_col), unguard(&residual), unguard(&packed);
}

static void products(void **state)
{
    (void)state;
    for (size_t v = 0; v < n_variants(); v++) {
        const koe_kernel_set *set = variant(v);
        if (!set) continue;
        for (int i = 0; i < 150; i++) check_product(set, random_size(1, 2 * set->mr + 1), random_size(1, 2 * set->nr + 1), random_size(0, 40));
        for (int i = 0; i < 6; i++) check_product(set, random_size(1, 140), random_size(1, 120), random_size(200, 600));
        for (int i = 0; i < 20; i++) check_product(set, random_size(set->nr, 150), random_size(1, 5), random_size(0, i < 15 ? 40 : 600)); /* few columns */
    }
}

/* Splitting rows or columns among tasks changes no bit. */
static void split(void **state)
{
    (void)state;
    enum { M = 150, K = 300 };
    for (size_t v = 0; v < 2 * n_variants(); v++) {
        const size_t N = v % 2 ? 130 : 3; /* few columns have a way of their own */
        if (!variant(v / 2)) continue;
        guarded a = guard(M * K), b = guard(K * N), whole = guard(M * N), part = guard(M * N), packed = guard(koe_f32_packed_count(K, N));
        koe_f32_pack(packed.p, false, (koe_f32_view){ b.p, N, 1 }, K, N);
        koe_f32_gemm_packed(whole.p, N, (koe_f32_view){ a.p, K, 1 }, (koe_f32_packed){ packed.p, false }, M, N, K, 0, SIZE_MAX, NULL);
        for (size_t i = 0; i < M; i += 9)
            koe_f32_gemm(part.p + i * N, N, a.p + i * K, K, b.p, N, M - i < 9 ? M - i : 9, N, K, 0);
        assert_memory_equal(whole.p, part.p, M * N * sizeof(float));
        unguard(&a), unguard(&b), unguard(&whole), unguard(&part), unguard(&packed);
    }
}

/* Weights kept in bfloat16 give the bits that the same weights, rounded and kept in float32, give. */
static void half_weights(void **state)
{
    (void)state;
    for (size_t v = 0; v < n_variants(); v++) {
        const koe_kernel_set *set = variant(v);
        for (size_t i = 0; set && i < 40; i++) {
            const size_t m = random_size(1, 2 * set->mr + 1), n = random_size(1, 2 * set->nr + 1), k = i < 36 ? random_size(0, 40) : random_size(200, 600);
            const size_t count = koe_f32_packed_count(k, n);
            guarded a = guard(m * k), b = guard(k * n), want = guard(m * n), got = guard(m * n), wide = guard(count), half = guard((count + 1) / 2);
            uint16_t *narrow = malloc(k * n * sizeof *narrow + 1);
            koe_f32_pack(half.p, true, (koe_f32_view){ b.p, n, 1 }, k, n);
            koe_bf16_narrow(narrow, b.p, k * n);
            koe_bf16_widen(b.p, narrow, k * n);
            koe_f32_pack(wide.p, false, (koe_f32_view){ b.p, n, 1 }, k, n);
            koe_f32_gemm_packed(want.p, n, (koe_f32_view){ a.p, k, 1 }, (koe_f32_packed){ wide.p, false }, m, n, k, 0, SIZE_MAX, NULL);
            koe_f32_gemm_packed(got.p, n, (koe_f32_view){ a.p, k, 1 }, (koe_f32_packed){ half.p, true }, m, n, k, 0, SIZE_MAX, NULL);
            assert_memory_equal(want.p, got.p, m * n * sizeof(float));
            free(narrow);
            unguard(&a), unguard(&b), unguard(&want), unguard(&got), unguard(&wide), unguard(&half);
        }
    }
}

/* Integers kept in 8 or 4 bits give the bits that the numbers they stand for, kept in float32, give. */
static void byte_weights(void **state)
{
    (void)state;
    for (size_t v = 0; v < n_variants(); v++) {
        const koe_kernel_set *set = variant(v);
        for (size_t i = 0; set && i < 60; i++) {
            const bool nibbles = i % 2, one_block = i % 3 == 0, by_column = random_size(0, 1);
            const size_t m = random_size(1, 2 * set->mr + 1), n = random_size(1, 2 * set->nr + 1), k = i < 50 ? random_size(0, 70) : random_size(200, 600);
            const size_t block = one_block ? k + 1 : 16, columns = koe_f32_bytes_columns(n), n_scale = (k / block + 1) * columns;
            guarded a = guard(m * k), wide = guard(k * n), want = guard(m * n), got = guard(m * n), packed = guard(koe_f32_packed_count(k, n));
            guarded scale = guard(n_scale), zero = guard(n_scale), bytes = guard((koe_f32_bytes_count(k, n, nibbles) + 3) / 4);
            uint8_t *q = malloc(k * n + 1), *p = (uint8_t *)bytes.p;
            const uint8_t flip = nibbles ? 0 : 0x80;
            const size_t row = by_column ? 1 : n, col = by_column ? k : 1;
            for (size_t e = 0; e < n_scale; e++) zero.p[e] = (float)random_size(0, 15);
            for (size_t y = 0; y < k; y++)
                for (size_t x = 0; x < n; x++) {
                    const size_t at = y / block * columns + x;
                    q[y * row + x * col] = (uint8_t)random_size(0, nibbles ? 15 : 255);
                    wide.p[y * n + x] = ((float)(q[y * row + x * col] ^ flip) - zero.p[at]) * scale.p[at];
                }
            koe_f32_bytes_pack(p, nibbles, q, row, col, flip, k, n);
            koe_f32_pack(packed.p, false, (koe_f32_view){ wide.p, n, 1 }, k, n);
            koe_f32_gemm_packed(want.p, n, (koe_f32_view){ a.p, k, 1 }, (koe_f32_packed){ packed.p, false }, m, n, k, 0, SIZE_MAX, NULL);
            const koe_f32_bytes b = { .p = p, .nibbles = nibbles, .block = block, .scale = scale.p, .zero = zero.p };
            koe_f32_gemm_bytes(got.p, n, (koe_f32_view){ a.p, k, 1 }, &b, m, n, k, 0, 1, NULL);
            koe_f32_gemm_bytes(got.p, n, (koe_f32_view){ a.p, k, 1 }, &b, m, n, k, 1, SIZE_MAX, NULL);
            assert_memory_equal(want.p, got.p, m * n * sizeof(float));
            free(q);
            unguard(&a), unguard(&wide), unguard(&want), unguard(&got), unguard(&packed), unguard(&scale), unguard(&zero), unguard(&bytes);
        }
    }
}

static double logistic(double x) { return 1 / (1 + exp(-x)); }

static void lstm(void **state)
{
    (void)state;
    for (size_t v = 0; v < n_variants(); v++) {
        const koe_kernel_set *set = variant(v);
        for (size_t hidden = 1; set && hidden < 40; hidden += 3) {
            const size_t batch = 1 + hidden % 3;
            const bool peep = hidden % 2;
            guarded gates = guard(batch * 4 * hidden), r = guard(4 * hidden * hidden), p = guard(3 * hidden), h = guard(batch * hidden),
                    c = guard(batch * hidden), packed = guard(koe_f32_packed_count(hidden, 4 * hidden));
            double *want = malloc(2 * batch * hidden * sizeof *want);
            koe_f32_pack(packed.p, false, (koe_f32_view){ r.p, 1, hidden }, hidden, 4 * hidden);
            for (size_t i = 0; i < batch; i++)
                for (size_t j = 0; j < hidden; j++) {
                    double g[4], was = (double)c.p[i * hidden + j];
                    for (size_t q = 0; q < 4; q++) {
                        g[q] = (double)gates.p[(i * 4 + q) * hidden + j];
                        for (size_t k = 0; k < hidden; k++) g[q] += (double)r.p[(q * hidden + j) * hidden + k] * (double)h.p[i * hidden + k];
                    }
                    if (peep) g[0] += (double)p.p[j] * was, g[2] += (double)p.p[2 * hidden + j] * was;
                    const double now = logistic(g[2]) * was + logistic(g[0]) * tanh(g[3]);
                    if (peep) g[1] += (double)p.p[hidden + j] * now;
                    want[i * hidden + j] = now;
                    want[(batch + i) * hidden + j] = logistic(g[1]) * tanh(now);
                }
            koe_f32_lstm_step(gates.p, 4 * hidden, (koe_f32_packed){ packed.p, false }, peep ? p.p : NULL, h.p, c.p, hidden, batch, hidden, hidden % 2 == 0);
            for (size_t i = 0; i < batch * hidden; i++) {
                near(set->name, c.p[i], want[i], hidden);
                near(set->name, h.p[i], want[batch * hidden + i], hidden);
            }
            free(want);
            unguard(&gates), unguard(&r), unguard(&p), unguard(&h), unguard(&c), unguard(&packed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(tiles), cmocka_unit_test(products), cmocka_unit_test(split), cmocka_unit_test(half_weights), cmocka_unit_test(byte_weights),
                                        cmocka_unit_test(lstm) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
