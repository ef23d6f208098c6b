/* The elementwise functions of every variant against the C library's double precision, over dense ranges and special values. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <cmocka.h>

#include "kernels/kernels.h"

enum { CHUNK = 1021 }; /* odd: tails of every length turn up */

/* Distance in units of the last place of `of` as a float: the exact result, or what it must be seen in relation to. */
static double ulps(float got, double want, double of)
{
    const float w = (float)want;
    if (isnan(w)) return isnan(got) ? 0 : INFINITY;
    if (isinf(w) || w == 0) return got == w && (signbit(got) == signbit(w) || of != want) ? 0 : fabs((double)got - want) / 0x1p-149;
    int e;
    frexp(of, &e);
    if (e < -125) e = -125;
    return fabs((double)got - want) / ldexp(1, e - 24);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double gelu(double x) { return 0.5 * x * erfc(-x * sqrt(0.5)); }
static double gelu_tanh(double x) { return x * sigmoid(2 * sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)); } /* (1 + tanh(t)) / 2 = sigmoid(2t) */
static double silu(double x) { return x * sigmoid(x); }
static double mish(double x) { return x * tanh(log1p(exp(x))); }

typedef struct function {
    const char *name;
    double (*exact)(double);
    double low, high; /* uniform samples */
    double limit; /* ulp, as kernels.h states */
    bool of_x; /* in units of the last place of x, not of the result */
} function;

static const function functions[] = {
    { "exp", exp, -110, 95, 2, false }, { "tanh", tanh, -12, 12, 3, false }, { "sigmoid", sigmoid, -110, 40, 3, false },
    { "sin", sin, -30, 30, 2, false }, { "sin", sin, -5e5, 5e5, 2, false }, { "cos", cos, -30, 30, 2, false },
    { "cos", cos, -5e5, 5e5, 2, false }, { "erf", erf, -4.5, 4.5, 2, false }, { "log", log, 0, 10, 2, false },
    { "log", log, 0, 1e30, 2, false }, { "log", log, 0, 1e-36, 2, false }, { "sin", sin, -1e-3, 1e-3, 2, false },
    { "erf", erf, -1e-3, 1e-3, 2, false }, { "tanh", tanh, -1e-3, 1e-3, 3, false }, { "tanh", tanh, -1e-38, 1e-38, 3, false },
    { "gelu", gelu, -14, 14, 3, true }, { "gelu_tanh", gelu_tanh, -14, 14, 3, true }, { "silu", silu, -80, 80, 3, true },
    { "mish", mish, -40, 40, 3, true }, { "gelu", gelu, -1e-3, 1e-3, 3, true }, { "mish", mish, -1e-3, 1e-3, 3, true },
};

static koe_f32_map_fn *find(const koe_kernel_set *set, const char *name)
{
    const struct {
        const char *name;
        koe_f32_map_fn *fn;
    } all[] = { { "exp", set->exp }, { "tanh", set->tanh }, { "sigmoid", set->sigmoid }, { "sin", set->sin }, { "cos", set->cos },
        { "erf", set->erf }, { "log", set->log }, { "gelu", set->gelu }, { "gelu_tanh", set->gelu_tanh }, { "silu", set->silu }, { "mish", set->mish } };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) return all[i].fn;
    return NULL;
}

static const koe_kernel_set *variant(size_t i)
{
    size_t n;
    const koe_kernel_set *table = koe_kernel_table(&n);
    return i < n ? &table[i] : NULL;
}

/* Those of the table that this processor runs. */
#define FOR_EACH_VARIANT(set) \
    for (size_t variant_ = 0; variant(variant_); variant_++) \
        for (const koe_kernel_set *set = variant(variant_); set && (koe_cpu_features() & set->needs) == set->needs; set = NULL)

static void accuracy(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(set)
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        const function *fn = &functions[f];
        koe_f32_map_fn *map = find(set, fn->name);
        double worst = 0, at = 0;
        enum { N = 120000 };
        static float x[N], y[N];
        for (size_t i = 0; i < N; i++) x[i] = (float)(fn->low + (fn->high - fn->low) * ((double)i + 0.37) / N);
        for (size_t i = 0; i < N; i += CHUNK) map(y + i, x + i, N - i < CHUNK ? N - i : CHUNK);
        for (size_t i = 0; i < N; i++) {
            const double want = fn->exact((double)x[i]), u = ulps(y[i], want, fn->of_x ? (double)x[i] : want);
            if (u > worst) worst = u, at = (double)x[i];
        }
        if (getenv("KOE_VERBOSE")) printf("%s %s [%g, %g]: %.2f ulp at %.9g\n", set->name, fn->name, fn->low, fn->high, worst, at);
        if (worst > fn->limit) fail_msg("%s %s: %.2f ulp at %.9g, limit %.1f", set->name, fn->name, worst, at, fn->limit);
    }
}

static void special_values(void **state)
{
    (void)state;
    static const float special[] = { 0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-45f, 1e-39f, 3e38f, -3e38f, 1.0f, -1.0f, 88.72284f, -103.9f,
        -87.5f, 3.14159274f, 1e7f, 3e9f };
    enum { N = sizeof special / sizeof *special };
    FOR_EACH_VARIANT(set)
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        float y[N];
        find(set, functions[f].name)(y, special, N);
        for (size_t i = 0; i < N; i++) {
            const double x = (double)special[i], want = functions[f].exact(x), u = ulps(y[i], want, functions[f].of_x ? x : want);
            if (u > functions[f].limit) fail_msg("%s %s(%g) = %.9g, not %.9g", set->name, functions[f].name, (double)special[i], (double)y[i], want);
        }
    }
}

/* The same element gives the same result wherever it stands, and nothing outside is touched. */
static void position_and_bounds(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(set)
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        koe_f32_map_fn *map = find(set, functions[f].name);
        for (size_t n = 0; n <= 40; n++) {
            float x[48], y[48], one;
            for (size_t i = 0; i < 48; i++) x[i] = (float)(functions[f].low + (functions[f].high - functions[f].low) * (double)((i * 7 + n) % 41) / 41), y[i] = 777;
            map(y + 3, x + 3, n);
            for (size_t i = 0; i < 48; i++) {
                map(&one, x + i, 1);
                const float want = i >= 3 && i < 3 + n ? one : 777;
                assert_memory_equal(&y[i], &want, sizeof want);
            }
        }
    }
}

/* Every float16, and floats around every rounding edge, bit for bit against the portable form. */
static void halves(void **state)
{
    (void)state;
    size_t n;
    const koe_kernel_set *table = koe_kernel_table(&n), *ref = &table[n - 1];
    static uint16_t h[65536], a[65536], b[65536];
    static float x[65536], y[65536];
    for (size_t i = 0; i < 65536; i++) h[i] = (uint16_t)i;
    FOR_EACH_VARIANT(set)
    {
        ref->f16_widen(x, h, 65536);
        set->f16_widen(y, h, 65535);
        for (size_t i = 0; i < 65535; i++)
            if (memcmp(&x[i], &y[i], 4) != 0 && !(isnan(x[i]) && isnan(y[i]))) fail_msg("%s widens %zx to %g, not %g", set->name, i, (double)y[i], (double)x[i]);
        ref->bf16_widen(x, h, 65536);
        set->bf16_widen(y, h, 65535);
        assert_memory_equal(x, y, 65535 * 4);
        for (int edge = -1; edge <= 1; edge++)
            for (uint32_t step = 0x8000; step >= 0x1000; step >>= 3) {
                for (size_t i = 0; i < 65536; i++) {
                    const uint32_t u = (uint32_t)(i << 16) + step + (uint32_t)edge;
                    memcpy(&x[i], &u, 4);
                }
                ref->f16_narrow(a, x, 65533);
                set->f16_narrow(b, x, 65533);
                for (size_t i = 0; i < 65533; i++)
                    if (a[i] != b[i] && !isnan(x[i])) fail_msg("%s narrows %.9g to %x, not %x", set->name, (double)x[i], b[i], a[i]);
                ref->bf16_narrow(a, x, 65533);
                set->bf16_narrow(b, x, 65533);
                for (size_t i = 0; i < 65533; i++)
                    if (a[i] != b[i] && !isnan(x[i])) fail_msg("%s narrows %.9g to %x, not %x", set->name, (double)x[i], b[i], a[i]);
            }
    }
}

static void rows(void **state)
{
    (void)state;
    static float x[20011], y[20011];
    for (size_t i = 0; i < 20011; i++) x[i] = 3 + sinf((float)i * 12.9898f);
    FOR_EACH_VARIANT(set)
    for (size_t n = 0; n < 20011; n = n < 140 ? n + 1 : n * 3) {
        double sum = 0, square = 0, total = 0;
        float mean, var;
        for (size_t i = 0; i < n; i++) sum += (double)x[i];
        for (size_t i = 0; i < n; i++) square += ((double)x[i] - sum / (double)n) * ((double)x[i] - sum / (double)n);
        set->mean_var(x, n, &mean, &var);
        assert_true(fabs((double)mean - (n ? sum / (double)n : 0)) <= 1e-6);
        assert_true(fabs((double)var - (n ? square / (double)n : 0)) <= 1e-6);
        set->softmax(y, x, n);
        for (size_t i = 0; i < n; i++) total += exp((double)x[i] - 4);
        for (size_t i = 0; i < n; i++) assert_true(fabs((double)y[i] - exp((double)x[i] - 4) / total) <= 1e-6 * exp((double)x[i] - 4) / total);
        y[n] = 777;
        set->affine_leaky(y, x, n, 2, -1, 1);
        for (size_t i = 0; i < n; i++) assert_true(y[i] == x[i] * 2 - 1);
        assert_true(y[n] == 777);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(accuracy), cmocka_unit_test(special_values), cmocka_unit_test(position_and_bounds),
        cmocka_unit_test(halves), cmocka_unit_test(rows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
