/* Low precision, end to end on a small graph: h = -x, y = h + Conv(LeakyRelu(Conv(LeakyRelu(h)))), and z = Round(Conv(x)). The first two
 * convolutions may be rounded, the last decides something and may not. */
#include "text_model.h"

#include <math.h>

#include "isa.h"
#include "kernels/lp_conv.h"

enum { CHANNELS = 40, TAPS = 5, LEN = 333 };

static float weight[CHANNELS * CHANNELS * TAPS], bias[CHANNELS], input[CHANNELS * LEN];

static float number(void)
{
    static uint32_t state = 7;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1;
}

/* z as above; y the mean of two residual blocks with long filters. */
static const char blocks[] = "in x 1 40 ?\nout y\nout z\nrandom w 40 40 5\nrandom v 40 40 24\nrandom b 40\nscalar half 0.5\nNeg x -> h\n"
                             "LeakyRelu h -> l\nConv l v b -> p pads=11,12\nAdd p h -> q\nConv l v b -> r pads=24,22 dilations=[2]\nAdd r h -> s\nAdd q s -> t\n"
                             "Mul t half -> y\nConv x w b -> exact pads=2,2\nRound exact -> z\n";
static bool with_blocks;

static koe_onnx_model *make_model(void)
{
    if (with_blocks) return text_model(blocks);
    koe_onnx_model *m = text_model("in x 1 40 ?\nout y\nout z\nrandom w 40 40 5\nrandom b 40\n"
                                   "Neg x -> h\nLeakyRelu h -> act1\nConv act1 w b -> conv1 pads=2,2\n"
                                   "LeakyRelu conv1 -> act2\nConv act2 w b -> conv2 pads=2,2\nAdd conv2 h -> y\n"
                                   "Conv x w b -> exact pads=2,2\nRound exact -> z\n");
    text_fill(m, "w", weight, sizeof weight);
    text_fill(m, "b", bias, sizeof bias);
    return m;
}

/* y and z for a precision and list of passes; returns the most bytes that the run held. tap: a tensor to keep, or NULL. */
static size_t compute_tapped(int precision, const char *passes, int threads, const char *tap, float *y, float *z)
{
    koe_error err = { 0 };
    koe_session *s;
    koe_run *r;
    koe_pool *pool = NULL;
    koe_tensor x = { KOE_DTYPE_F32, 3, { 1, CHANNELS, LEN }, input };
    if (koe_pool_create(&pool, threads, &err) != KOE_OK) fail_msg("%s", err.message);
    const koe_session_options opt = { .pool = pool, .precision = precision, .passes = passes, .taps = &tap, .n_taps = tap != NULL };
    if (koe_session_create(&s, make_model(), &opt, &err) != KOE_OK) fail_msg("%s", err.message);
    if (koe_run_create(&r, s, &err) != KOE_OK || koe_run_set_in(r, 0, &x, &err) != KOE_OK || koe_run_execute(r, NULL, &err) != KOE_OK)
        fail_msg("%s", err.message);
    memcpy(y, koe_run_out(r, 0)->t.data, sizeof input);
    memcpy(z, koe_run_out(r, 1)->t.data, sizeof input);
    const size_t peak = koe_run_peak_bytes(r);
    koe_run_destroy(r);
    koe_session_destroy(s);
    koe_pool_destroy(pool);
    return peak;
}

static void compute(int precision, const char *passes, int threads, float *y, float *z)
{
    compute_tapped(precision, passes, threads, NULL, y, z);
}

/* Largest difference relative to the largest magnitude of `want`. */
static double distance(const float *got, const float *want)
{
    double most = 0, peak = 0;
    for (size_t i = 0; i < CHANNELS * LEN; i++) {
        const double d = fabs((double)got[i] - (double)want[i]), w = fabs((double)want[i]);
        most = d > most ? d : most; /* not fmax(): gcc 12 for ARM stumbles over it */
        peak = w > peak ? w : peak;
    }
    return most / peak;
}

static float y_f32[CHANNELS * LEN], z_f32[CHANNELS * LEN], y[CHANNELS * LEN], z[CHANNELS * LEN];

static void check_precision(int precision, koe_lp_kind kind, double tolerance)
{
    const koe_lp_set *set = koe_lp_kernels(kind);
    const char *passes = set && set->widens ? "-toom" : NULL; /* only without it bf16 is worth while there */
    compute(KOE_PRECISION_F32, passes, 1, y_f32, z_f32);
    compute(precision, passes, 1, y, z);
    const double d = distance(y, y_f32);
    if (set) {
        if (!(d > 1e-6 && d < tolerance)) fail_msg("distance %g, expected 1e-6 to %g", d, tolerance);
    } else
        assert_true(d == 0);
    assert_memory_equal(z, z_f32, sizeof z);
    static float y2[CHANNELS * LEN], z2[CHANNELS * LEN];
    compute(precision, passes, 3, y2, z2);
    assert_memory_equal(y2, y, sizeof y); /* any number of threads */
}

static void test_bf16(void **state)
{
    (void)state;
    check_precision(KOE_PRECISION_BF16, KOE_LP_BF16, 0.01); /* 8 bits of mantissa, errors of 280 products add up at random */
}

static void test_int8(void **state)
{
    (void)state;
    check_precision(KOE_PRECISION_INT8, KOE_LP_INT8, 0.04); /* 7 to 8 bits of a whole tile's range */
}

static void test_passes_agree(void **state)
{
    (void)state;
    compute(KOE_PRECISION_F32, NULL, 1, y_f32, z_f32);
    compute(KOE_PRECISION_F32, "-chain,-conv,-adain,-snake", 1, y, z);
    const double d = distance(y, y_f32);
    if (d > 1e-6) fail_msg("distance %g", d);
}

/* Convolutions with fewer multiplications, and by their definition: not the same bits, but nearly. */
static void test_toom(void **state)
{
    (void)state;
    compute(KOE_PRECISION_F32, NULL, 1, y_f32, z_f32);
    compute(KOE_PRECISION_F32, "-toom", 1, y, z);
    const double d = distance(y, y_f32);
    if (!(d > 0 && d < 1e-5)) fail_msg("distance %g", d);
}

/* y takes h's memory, unless h is still wanted: that changes no bit. */
static void test_in_place(void **state)
{
    static const int precisions[] = { KOE_PRECISION_F32, KOE_PRECISION_BF16, KOE_PRECISION_INT8 };
    static float kept[CHANNELS * LEN];
    (void)state;
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        const size_t least = compute_tapped(precisions[i], "-chain", 2, NULL, y, z);
        const size_t more = compute_tapped(precisions[i], "-chain", 2, "h", kept, z);
        assert_memory_equal(y, kept, sizeof y);
        if (!(least + sizeof y <= more)) fail_msg("%zu bytes in place, %zu not", least, more);
    }
}

/* Outputs in pairs, in residual blocks whose mean is taken: other bits than without, as near to float32, the same with any number of threads. */
static void test_pairs(void **state)
{
    (void)state;
    with_blocks = true;
    const koe_lp_set *set = koe_lp_kernels(KOE_LP_INT8);
    static float off[CHANNELS * LEN];
    compute(KOE_PRECISION_F32, "-chain", 1, y_f32, z_f32);
    compute(KOE_PRECISION_INT8, "-chain,-pairs", 1, off, z);
    compute(KOE_PRECISION_INT8, "-chain", 1, y, z);
    const double d = distance(y, y_f32);
    if (!(d < 0.04)) fail_msg("distance %g from float32", d);
    assert_true((distance(y, off) > 0) == (set && set->x_max == UINT8_MAX));
    compute(KOE_PRECISION_INT8, "-chain", 3, off, z);
    assert_memory_equal(off, y, sizeof y);
    with_blocks = false;
}

int main(int argc, char **argv)
{
    if (!use_isa(argc, argv)) return SKIPPED;
    for (size_t i = 0; i < sizeof weight / sizeof *weight; i++) weight[i] = number() * 0.1f;
    for (size_t i = 0; i < CHANNELS; i++) bias[i] = number();
    for (size_t i = 0; i < CHANNELS * LEN; i++) input[i] = number();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bf16), cmocka_unit_test(test_int8), cmocka_unit_test(test_passes_agree),
                                        cmocka_unit_test(test_in_place), cmocka_unit_test(test_toom), cmocka_unit_test(test_pairs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
