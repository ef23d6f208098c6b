/* Constant operands of products, kept in bfloat16 by the low precisions: x -> MatMul -> LSTM -> y, and g = Gemm(x'). Weights that bfloat16
 * holds exactly must give float32's bits; others must not, but nearly. */
#include "text_model.h"

#include <math.h>

#include "isa.h"
#include "kernels/kernels.h"

enum { TIME = 9, IN = 51, HIDDEN = 37 };
typedef struct weights {
    float matmul[IN * IN], w[4 * HIDDEN * IN], r[4 * HIDDEN * HIDDEN];
} weights;
typedef struct result {
    float y[TIME * HIDDEN], g[TIME * IN];
} result;

static weights exact, rounded;
static float x[TIME * IN];

static koe_onnx_model *make_model(const weights *w)
{
    koe_onnx_model *m = text_model("in x ? 1 51\nout y\nout g\nrandom w0 51 51\nrandom w1 1 148 51\nrandom w2 1 148 37\nints flat 9 51\n"
                                   "Identity w0 -> shared\nMatMul x shared -> p\nLSTM p w1 w2 -> y hidden_size=37\n"
                                   "Reshape x flat -> rows\nGemm rows w0 -> g\n");
    text_fill(m, "w0", w->matmul, sizeof w->matmul);
    text_fill(m, "w1", w->w, sizeof w->w);
    text_fill(m, "w2", w->r, sizeof w->r);
    return m;
}

static result compute(const weights *w, int precision)
{
    koe_error err = { 0 };
    koe_session *s;
    koe_run *r;
    result out;
    const koe_tensor in = { KOE_DTYPE_F32, 3, { TIME, 1, IN }, x };
    if (koe_session_create(&s, make_model(w), &(koe_session_options){ .precision = precision }, &err) != KOE_OK) fail_msg("%s", err.message);
    if (koe_run_create(&r, s, &err) != KOE_OK || koe_run_set_in(r, 0, &in, &err) != KOE_OK || koe_run_execute(r, NULL, &err) != KOE_OK)
        fail_msg("%s", err.message);
    memcpy(out.y, koe_run_out(r, 0)->t.data, sizeof out.y);
    memcpy(out.g, koe_run_out(r, 1)->t.data, sizeof out.g);
    koe_run_destroy(r);
    koe_session_destroy(s);
    return out;
}

static double distance(const float *got, const float *want, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)want[i]);
        most = d > most ? d : most; /* not fmax(): gcc 12 for ARM stumbles over it */
    }
    return most;
}

static void test_weights(void **state)
{
    static const int low[] = { KOE_PRECISION_BF16, KOE_PRECISION_INT8 };
    (void)state;
    for (size_t i = 0; i < sizeof low / sizeof *low; i++) {
        result got = compute(&rounded, low[i]), want = compute(&rounded, KOE_PRECISION_F32);
        assert_memory_equal(&got, &want, sizeof got);
        got = compute(&exact, low[i]), want = compute(&exact, KOE_PRECISION_F32);
        const double y = distance(got.y, want.y, TIME * HIDDEN), g = distance(got.g, want.g, TIME * IN);
        /* g: 51 products of numbers up to 1, each off by 2^-9 of itself at most. y: three such sums, one of the other, and nine times. */
        if (!(y > 0 && g > 0 && y < 0.1 && g < 0.02)) fail_msg("distances %g and %g", y, g);
    }
}

int main(int argc, char **argv)
{
    if (!use_isa(argc, argv)) return SKIPPED;
    float *all[] = { exact.matmul, exact.w, exact.r, x }, *to[] = { rounded.matmul, rounded.w, rounded.r, NULL };
    const size_t n[] = { IN * IN, 4 * HIDDEN * IN, 4 * HIDDEN * HIDDEN, TIME * IN };
    uint32_t seed = 5;
    for (int k = 0; k < 4; k++)
        for (size_t i = 0; i < n[k]; i++) {
            uint16_t half;
            seed = seed * 1664525u + 1013904223u;
            all[k][i] = (float)(int32_t)seed * 0x1p-31f;
            if (!to[k]) continue;
            koe_bf16_narrow(&half, &all[k][i], 1);
            koe_bf16_widen(&to[k][i], &half, 1);
        }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_weights) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
