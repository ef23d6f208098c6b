/* Tensors that low precision stores as float16: the same results within its rounding, less memory, the same bits on any number of threads,
 * and not in float32. One instruction set, named by the first argument. */
#include "text_model.h"

#include <math.h>

#include "base/pool.h"
#include "isa.h"

enum { TIME = 2003 };

/* Residual blocks between an upsampling and a projection, with everything in between that may read or write such tensors. */
static const char block[] =
    "in x 1 40 ?\nout y\nrandom w0 40 40 3\nrandom w1 40 40 7\nrandom w2 40 40 3\nrandom up 40 40 6\nrandom many 40 40 40\nrandom last 5 40 3\n"
    "random norm_w 40\nrandom norm_b 40\nrandom g 1 40 1\nrandom h 1 40 1\nrandom bias 1 40 1\nscalar third 0.3\n"
    "Conv x w0 -> a pads=1,1\nConvTranspose a up -> u strides=[2] pads=2,2\nints left 0 0 1 0 0 0\nPad u left -> p mode=reflect\n"
    "ConvTranspose a many -> v strides=[20] pads=10,10\nConv v w0 -> v2 strides=[10] pads=1,1\nints to 0 0 0 0 0 1\nPad v2 to -> v3 mode=edge\n"
    "Add p v3 -> r\n"
    "InstanceNormalization r norm_w norm_b -> n epsilon=0.00001\nMul n g -> ng\nAdd ng h -> s\nLeakyRelu s -> l alpha=0.1\n"
    "Conv l w1 -> t pads=9,9 dilations=[3]\nLeakyRelu t -> tl alpha=0.1\nConv tl w2 -> t2 pads=1,1\nAdd t2 r -> b1\n"
    "Conv b1 w1 -> c1 pads=3,3\nAdd c1 b1 -> b2\nAdd b2 r -> sum\nMul sum third -> mean\nAdd mean bias -> shifted\nConv shifted w2 -> q pads=1,1\n"
    "Add q bias -> qb\nLeakyRelu qb -> ql alpha=0.01\nConv ql last -> y pads=1,1\n";

typedef struct result {
    float *y;
    size_t n, peak;
} result;

/* Three blocks of convolutions, each of which starts from u and adds to it; u is made by a Pad. Their sum: `fused`, as a vocoder has it, added by the
 * last convolutions of the second and third block together with the residual, else by itself. */
static const char *three_blocks(bool fused)
{
    static char text[8192];
    const int last = fused ? 9 : 11;
    size_t n = (size_t)snprintf(text, sizeof text, "in x 1 40 ?\nout y\nrandom w 40 40 3\nrandom up 40 40 6\nrandom last 5 40 3\nscalar third 0.3\n"
                                                   "Conv x w -> a pads=1,1\nConv a w -> f0 pads=1,1\n");
    for (int i = 0; i < 4; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "LeakyRelu f%d -> e%d alpha=0.1\nConv e%d w -> d%d pads=1,1\nMul d%d third -> f%d\n", i, i, i, i, i, i + 1);
    n += (size_t)snprintf(text + n, sizeof text - n, "ConvTranspose f4 up -> wide strides=[20] pads=2,2\nints left 0 0 1 0 0 0\nPad wide left -> u mode=reflect\n");
    for (int b = 0; b < 3; b++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "Conv u w -> b%d_0 pads=1,1\nAdd b%d_0 u -> r%d_0\n", b, b, b);
        for (int i = 1; i <= last; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "LeakyRelu r%d_%d -> l%d_%d alpha=0.1\nConv l%d_%d w -> c%d_%d pads=1,1\nMul c%d_%d third -> r%d_%d\n", b, i - 1, b, i, b, i,
                                  b, i, b, i, b, i);
        if (!fused) continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "LeakyRelu r%d_%d -> e%d_e alpha=0.1\nConv e%d_e w -> c%d_e pads=1,1\nAdd c%d_e r%d_%d -> %s%d\n", b, last, b, b, b, b, b, last,
                              b ? "t" : "s", b);
        if (b > 0) n += (size_t)snprintf(text + n, sizeof text - n, "Add t%d s%d -> s%d\n", b, b - 1, b);
    }
    if (!fused) n += (size_t)snprintf(text + n, sizeof text - n, "Add r0_11 r1_11 -> s1\nAdd s1 r2_11 -> s2\n");
    snprintf(text + n, sizeof text - n, "Mul s2 third -> m\nLeakyRelu m -> ml alpha=0.01\nConv ml last -> y pads=1,1\n");
    return text;
}

static result compute_of(const char *model, size_t n_time, int precision, const char *passes, int n_threads)
{
    koe_error err = { 0 };
    koe_pool *pool = NULL;
    koe_session *s = NULL;
    koe_run *r = NULL;
    float *x = malloc(40 * n_time * sizeof *x);
    result out = { 0 };
    assert_non_null(x);
    text_random(x, 40 * n_time, 7);
    const koe_tensor in = { KOE_DTYPE_F32, 3, { 1, 40, (int64_t)n_time }, x };
    koe_status st = koe_pool_create(&pool, n_threads, &err);
    if (st == KOE_OK) st = koe_session_create(&s, text_model(model), &(koe_session_options){ .pool = pool, .precision = precision, .passes = passes }, &err);
    if (st == KOE_OK) st = koe_run_create(&r, s, &err);
    if (st == KOE_OK) st = koe_run_set_in(r, 0, &in, &err);
    for (int again = 0; again < 2 && st == KOE_OK; again++) st = koe_run_execute(r, &(koe_run_options){ .narrow_bytes = 1 }, &err); /* the second in used memory */
    if (st != KOE_OK) fail_msg("%s", err.message);
    const koe_tensor *y = &koe_run_out(r, 0)->t;
    out.n = koe_tensor_count(y);
    out.y = malloc(out.n * sizeof *out.y);
    assert_non_null(out.y);
    memcpy(out.y, y->data, out.n * sizeof *out.y);
    out.peak = koe_run_peak_bytes(r);
    koe_run_destroy(r);
    koe_session_destroy(s);
    koe_pool_destroy(pool);
    free(x);
    return out;
}


/* Distance in dB below the signal. */
static double snr(const result *a, const result *b)
{
    double signal = 0, noise = 1e-30;
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        signal += (double)a->y[i] * (double)a->y[i];
        noise += ((double)a->y[i] - (double)b->y[i]) * ((double)a->y[i] - (double)b->y[i]);
    }
    return 10 * log10(signal / noise);
}

/* n_time: also an even one, with which rows of float16 lie as rows of float32 may. */
static void test_low(int precision, size_t n_time, double least_db)
{
    result exact = compute_of(block, n_time, KOE_PRECISION_F32, NULL, 1), wide = compute_of(block, n_time, precision, "-narrow", 1),
           narrow = compute_of(block, n_time, precision, NULL, 1), two = compute_of(block, n_time, precision, NULL, 2);
    const double before = snr(&exact, &wide), lost = before - snr(&exact, &narrow), apart = snr(&wide, &narrow);
    if ((before < 60 && lost > 1) || /* without kernels of this precision there is no loss before */ apart < least_db) fail_msg("float16 costs %.2f dB, is %.1f dB away", lost, apart);
    assert_memory_equal(narrow.y, two.y, narrow.n * sizeof *narrow.y);
    if (narrow.peak > wide.peak * 7 / 10) fail_msg("%zu bytes narrow, %zu wide", narrow.peak, wide.peak);
    free(exact.y);
    free(wide.y);
    free(narrow.y);
    free(two.y);
}

static void test_int8(void **state)
{
    (void)state;
    test_low(KOE_PRECISION_INT8, TIME, 25);
    test_low(KOE_PRECISION_INT8, TIME + 1, 25);
}

static void test_bf16(void **state)
{
    (void)state;
    test_low(KOE_PRECISION_BF16, TIME, 40);
    test_low(KOE_PRECISION_BF16, TIME + 1, 40);
}

static void test_f32(void **state)
{
    (void)state;
    result a = compute_of(block, TIME, KOE_PRECISION_F32, NULL, 2), b = compute_of(block, TIME, KOE_PRECISION_F32, "-narrow", 1);
    assert_memory_equal(a.y, b.y, a.n * sizeof *a.y);
    free(a.y);
    free(b.y);
}

/* The tensor that three blocks read rests in 8 bits, and the sum of the blocks: a little further away, the same bits on two threads, less memory. */
static void test_rest(void **state)
{
    (void)state;
    const size_t n_time = 505;
    for (int fused = 0; fused < 2; fused++) {
        const char *model = three_blocks(fused);
        result awake = compute_of(model, n_time, KOE_PRECISION_INT8, "-cse,-chain,-rest", 1), rest = compute_of(model, n_time, KOE_PRECISION_INT8, "-cse,-chain", 1),
               two = compute_of(model, n_time, KOE_PRECISION_INT8, "-cse,-chain", 2);
        const double apart = snr(&awake, &rest);
        if (fused && rest.peak > awake.peak * 9 / 10) fail_msg("%zu bytes at rest, %zu awake", rest.peak, awake.peak);
        if (apart < 25 || apart > 120) fail_msg("%.1f dB away", apart); /* equal: nothing rested */
        assert_memory_equal(rest.y, two.y, rest.n * sizeof *rest.y);
        free(awake.y);
        free(rest.y);
        free(two.y);
    }
}

int main(int argc, char **argv)
{
    if (!use_isa(argc, argv)) return SKIPPED;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_int8), cmocka_unit_test(test_bf16), cmocka_unit_test(test_f32), cmocka_unit_test(test_rest) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
