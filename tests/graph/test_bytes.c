/* Products and convolutions by weights of 8 bits or fewer, in the forms in which quantised files spell them out, with their pass and without.
 * With it they must be no farther from the float model - the same weights dequantised, no activation rounded - than the file has it, and
 * have the same bits on one thread and on two. One instruction set, named by the first argument. */
#include "compare.h"
#include "text_model.h"

#include <math.h>

#include "base/cpu.h"
#include "base/pool.h"

typedef struct form {
    const char *what;
    const char *pass;
    int n; /* what the pass must count */
    const char *quantised, *plain;
} form;

#define INPUT "in x 3 ? 100\nout y\n"
#define WEIGHTS(type, scales) type " w 100 70\n" type " wz" scales "\nrandom ws" scales "\nrandom b 70\n"
#define DYNAMIC "DynamicQuantizeLinear x -> q s z\n"
#define SAME NULL /* not a rounding more than the weights' own: equal to what the file says */
#define PAIR "QuantizeLinear x s z -> q\nDequantizeLinear q s z -> d\n"
#define FLOAT "DequantizeLinear w ws wz -> f axis=1\n"

static const form forms[] = {
    { "dynamic, int8, one scale, bias", "dynamic", 1,
      INPUT WEIGHTS("i8", "") DYNAMIC "MatMulInteger q w z wz -> i\nCast i -> c to=1\nMul s ws -> m\nMul c m -> p\nAdd p b -> y\n",
      INPUT WEIGHTS("i8", "") FLOAT "MatMul x f -> p\nAdd p b -> y\n" },
    { "dynamic, uint8, scales by column, all the other way round", "dynamic", 1,
      INPUT WEIGHTS("u8", " 70") DYNAMIC "MatMulInteger q w z wz -> i\nCast i -> c to=1\nMul ws s -> m\nMul m c -> p\nAdd b p -> y\n",
      INPUT WEIGHTS("u8", " 70") FLOAT "MatMul x f -> p\nAdd p b -> y\n" },
    { "dynamic, two products of one rounding, no zero point, tanh, residual", "dynamic", 2,
      INPUT WEIGHTS("i8", "") "i8 v 100 70\n" DYNAMIC
            "MatMulInteger q w z -> i\nCast i -> c to=1\nMul s ws -> m\nMul c m -> p\nTanh p -> g\n"
            "MatMulInteger q v z -> i2\nCast i2 -> c2 to=1\nMul s ws -> m2\nMul c2 m2 -> p2\nAdd p2 g -> y\n",
      INPUT "i8 w 100 70\ni8 v 100 70\nrandom ws\nDequantizeLinear w ws -> f axis=1\nDequantizeLinear v ws -> h axis=1\n"
            "MatMul x f -> p\nTanh p -> g\nMatMul x h -> p2\nAdd p2 g -> y\n" },
    { "dynamic, a column and few rows: too small for integers", "dynamic", 1,
      "in x ? 9\nout y\ni8 w 9 1\ni8 wz\nrandom ws\n" DYNAMIC "MatMulInteger q w z wz -> i\nCast i -> c to=1\nMul s ws -> m\nMul c m -> y\n",
      "in x ? 9\nout y\ni8 w 9 1\ni8 wz\nrandom ws\n" FLOAT "MatMul x f -> y\n" },
    { "weights alone, a product, scales by column, bias", "dequantise", 1, INPUT WEIGHTS("u8", " 70") FLOAT "MatMul x f -> p\nAdd p b -> y\n", SAME },
    { "weights alone, one scale and no zero point, two readers", "dequantise", 2,
      INPUT "i8 w 100 70\nscalar ws 0.01\nDequantizeLinear w ws -> f\nMatMul x f -> p\nTanh x -> t\nMatMul t f -> q\nAdd q p -> y\n", SAME },
    { "weights alone, Gemm, transposed, bias", "dequantise", 1,
      "in x ? 100\nout y\ni8 w 70 100\ni8 wz 70\nrandom ws 70\nrandom b 70\nDequantizeLinear w ws wz -> f axis=0\nGemm x f b -> p transB=1\nRelu p -> y\n", SAME },
    { "weights alone, a convolution", "dequantise", 1,
      "in x 1 100 ?\nout y\ni8 w 70 100 3\nrandom ws 70\nrandom b 70\nDequantizeLinear w ws -> f axis=0\nLeakyRelu x -> l\nConv l f b -> y pads=1,1\n", SAME },
    { "not taken: scales of rows, an axis that is summed over, a Gemm with a factor: folded as ever", "dequantise", 0,
      INPUT "u8 w 100 70\nrandom ws 100\nDequantizeLinear w ws -> f axis=0\nMatMul x f -> y\n", SAME },
    { "not taken: weights that something else reads", "dequantise", 0,
      INPUT WEIGHTS("u8", " 70") FLOAT "out f\nMatMul x f -> y\n", SAME },
    { "static, a product, uint8", "qdq", 2, INPUT WEIGHTS("i8", " 70") "scalar s 0.007\nu8 z\n" PAIR FLOAT "MatMul d f -> p\nAdd p b -> y\n", SAME },
    { "static, a Gemm of int8, and its output", "qdq", 3,
      "in x ? 100\nout y\ni8 w 70 100\nrandom ws 70\nrandom b 70\nscalar s 0.01\ni8 z\nscalar s2 0.3\nu8 z2\n" PAIR
      "DequantizeLinear w ws -> f axis=0\nGemm d f b -> p transB=1\nQuantizeLinear p s2 z2 -> q2\nDequantizeLinear q2 s2 z2 -> y\n", SAME },
    { "static, a convolution, activation in front", "qdq", 2,
      "in x 1 100 ?\nout y\ni8 w 70 100 3\nscalar ws 0.01\nrandom b 70\nscalar s 0.007\nu8 z\n"
      "DequantizeLinear w ws -> f axis=0\nLeakyRelu x -> l\nQuantizeLinear l s z -> q\nDequantizeLinear q s z -> d\nConv d f b -> y pads=1,1\n", SAME },
    { "no pair: two zero points", "qdq", 0,
      "in x ? 100\nout y\nscalar s 0.01\nu8 z\nu8 zz\nQuantizeLinear x s z -> q\nDequantizeLinear q s zz -> y\n", SAME },
    { "no chain: the scale is another tensor's", "dynamic", 0,
      INPUT WEIGHTS("i8", "") "scalar one 1\n" DYNAMIC "MatMulInteger q w z wz -> i\nCast i -> c to=1\nMul one ws -> m\nMul c m -> y\n", NULL },
    { "no chain: scales of rows", "dynamic", 0,
      "in x 70 100\nout y\ni8 w 100 70\ni8 wz\nrandom ws 70 1\n" DYNAMIC "MatMulInteger q w z wz -> i\nCast i -> c to=1\nMul s ws -> m\nMul c m -> y\n", NULL },
    { "no chain: the sums are read elsewhere", "dynamic", 0,
      INPUT WEIGHTS("i8", "") "out i\n" DYNAMIC "MatMulInteger q w z wz -> i\nCast i -> c to=1\nMul s ws -> m\nMul c m -> y\n", NULL },
};

typedef struct result {
    float *y;
    size_t n;
    int count;
} result;

/* y of one run; unknown dimensions are 41. Rows of the input differ in size, as a network's do. */
static result compute(const form *f, const char *model, const char *passes, int precision, int n_threads)
{
    koe_error err = { 0 };
    koe_pool *pool = NULL;
    koe_session *s = NULL;
    koe_run *r = NULL;
    float *data = NULL;
    result res;
    koe_status st = koe_pool_create(&pool, n_threads, &err);
    const koe_session_options opt = { .pool = pool, .passes = passes, .precision = precision };
    if (st == KOE_OK) st = koe_session_create(&s, text_model(model), &opt, &err);
    if (st == KOE_OK) st = koe_run_create(&r, s, &err);
    if (st == KOE_OK) {
        const koe_onnx_value *v = koe_session_in(s, 0);
        koe_tensor t = { .dtype = v->dtype, .n_dim = v->n_dim };
        for (int d = 0; d < v->n_dim; d++) t.dim[d] = v->dim[d] < 0 ? 41 : v->dim[d];
        const size_t n = koe_tensor_count(&t), row = (size_t)t.dim[t.n_dim - 1];
        t.data = data = malloc(n * sizeof *data);
        text_random(data, n, 3);
        for (size_t i = 0; i < n; i++) data[i] = (data[i] + 0.1f) * (float)(1u << i / row % 5);
        st = koe_run_set_in(r, 0, &t, &err);
    }
    for (int again = 0; again < 2 && st == KOE_OK; again++) st = koe_run_execute(r, NULL, &err); /* the second in used memory */
    if (st != KOE_OK) fail_msg("%s: %s", f->what, err.message);
    res.count = pass_count(s, f->pass);
    const koe_tensor *y = &koe_run_out(r, 0)->t;
    res.n = koe_tensor_count(y);
    res.y = malloc(koe_tensor_bytes(y));
    memcpy(res.y, y->data, koe_tensor_bytes(y));
    koe_run_destroy(r);
    koe_session_destroy(s);
    koe_pool_destroy(pool);
    free(data);
    return res;
}

static double between(const result *got, const result *want)
{
    assert_int_equal(got->n, want->n);
    return distance(got->y, want->y, want->n);
}

static void is_nearer(void **state)
{
    const form *f = *state;
    char off[64];
    snprintf(off, sizeof off, "-%s", f->pass);
    result on = compute(f, f->quantised, NULL, KOE_PRECISION_F32, 1), threads = compute(f, f->quantised, NULL, KOE_PRECISION_F32, 2);
    result as_is = compute(f, f->quantised, off, KOE_PRECISION_F32, 1), low = compute(f, f->quantised, NULL, KOE_PRECISION_INT8, 2);
    assert_int_equal(as_is.count, -1);
    if (on.count != f->n) fail_msg("%s: %d found, %d expected", f->what, on.count, f->n);
    assert_memory_equal(on.y, threads.y, on.n * sizeof *on.y);
    float peak = 0;
    for (size_t i = 0; i < on.n; i++) peak = fmaxf(peak, fabsf(as_is.y[i]));
    for (size_t i = 0; i < on.n && !f->plain; i++)
        if (!(fabsf(on.y[i] - as_is.y[i]) <= 4e-6f * peak)) fail_msg("%s: %g with the pass, %g without", f->what, (double)on.y[i], (double)as_is.y[i]);
    if (f->plain) {
        result want = compute(f, f->plain, off, KOE_PRECISION_F32, 1);
        const double d = between(&on, &want), d_as_is = between(&as_is, &want), d_low = between(&low, &want);
        if (!(d <= d_as_is + 1e-6)) fail_msg("%s: %.3g from the float model, %.3g as the file has it", f->what, d, d_as_is);
        if (!(d_low <= (d_as_is > 0.02 ? d_as_is : 0.02))) fail_msg("%s, int8: %.3g from the float model", f->what, d_low);
        free(want.y);
    }
    free(on.y);
    free(threads.y);
    free(as_is.y);
    free(low.y);
}

int main(int argc, char **argv)
{
    enum { SKIPPED = 77, N = sizeof forms / sizeof *forms };
    koe_error err = { 0 };
    if (argc > 1 && koe_cpu_restrict(argv[1], &err) != KOE_OK) {
        printf("%s: skipped\n", err.message);
        return SKIPPED;
    }
    struct CMUnitTest tests[N];
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){ .name = forms[i].what, .test_func = is_nearer, .initial_state = (void *)(uintptr_t)&forms[i] };
    return _cmocka_run_group_tests("bytes", tests, N, NULL, NULL);
}
