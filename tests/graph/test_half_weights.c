/* Constant operands of products, kept in bfloat16 by the low precisions: x -> MatMul -> LSTM -> y, and g = Gemm(x'). Weights that bfloat16
 * holds exactly must give float32's bits; others must not, but nearly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "isa.h"
#include "kernels/kernels.h"

enum { TIME = 9, IN = 51, HIDDEN = 37, N_WEIGHTS = 3 };
typedef struct weights {
    float matmul[IN * IN], w[4 * HIDDEN * IN], r[4 * HIDDEN * HIDDEN];
} weights;
typedef struct result {
    float y[TIME * HIDDEN], g[TIME * IN];
} result;

static weights exact, rounded;
static float x[TIME * IN];

static koe_onnx_node node(koe_arena *a, const char *op, size_t n_in, const char *const *in, const char *out)
{
    koe_str *names = koe_arena_array(a, n_in + 1, sizeof *names);
    for (size_t i = 0; i < n_in; i++) names[i] = koe_str_of(in[i]);
    names[n_in] = koe_str_of(out);
    return (koe_onnx_node){ .op_type = koe_str_of(op), .in = names, .n_in = n_in, .out = names + n_in, .n_out = 1 };
}

static koe_onnx_model *make_model(weights *w)
{
    static const int64_t hidden = HIDDEN, flat[2] = { TIME, IN };
    koe_onnx_model *m = calloc(1, sizeof *m);
    koe_arena *a = &m->arena;
    koe_onnx_node *n = koe_arena_array(a, 5, sizeof *n);
    koe_onnx_attr *attr = koe_arena_array(a, 1, sizeof *attr);
    koe_onnx_initializer *t = koe_arena_array(a, N_WEIGHTS + 1, sizeof *t);
    koe_onnx_value *v = koe_arena_array(a, 3, sizeof *v);
    koe_onnx_opset *opset = koe_arena_alloc(a, sizeof *opset);
    *attr = (koe_onnx_attr){ .name = KOE_STR("hidden_size"), .type = KOE_ATTR_INT, .i = hidden };
    n[0] = node(a, "Identity", 1, (const char *[]){ "w0" }, "shared");
    n[1] = node(a, "MatMul", 2, (const char *[]){ "x", "shared" }, "p");
    n[2] = node(a, "LSTM", 3, (const char *[]){ "p", "w1", "w2" }, "y");
    n[2].attr = attr, n[2].n_attr = 1;
    n[3] = node(a, "Reshape", 2, (const char *[]){ "x", "flat" }, "rows");
    n[4] = node(a, "Gemm", 2, (const char *[]){ "rows", "w0" }, "g");
    t[0] = (koe_onnx_initializer){ KOE_STR("w0"), { KOE_DTYPE_F32, 2, { IN, IN }, w->matmul } };
    t[1] = (koe_onnx_initializer){ KOE_STR("w1"), { KOE_DTYPE_F32, 3, { 1, 4 * HIDDEN, IN }, w->w } };
    t[2] = (koe_onnx_initializer){ KOE_STR("w2"), { KOE_DTYPE_F32, 3, { 1, 4 * HIDDEN, HIDDEN }, w->r } };
    t[3] = (koe_onnx_initializer){ KOE_STR("flat"), { KOE_DTYPE_I64, 1, { 2 }, (void *)(uintptr_t)flat } };
    v[0] = (koe_onnx_value){ .name = KOE_STR("x"), .kind = KOE_ONNX_TENSOR, .dtype = KOE_DTYPE_F32, .n_dim = -1 };
    v[1] = (koe_onnx_value){ .name = KOE_STR("y"), .kind = KOE_ONNX_TENSOR, .dtype = KOE_DTYPE_F32, .n_dim = -1 };
    v[2] = (koe_onnx_value){ .name = KOE_STR("g"), .kind = KOE_ONNX_TENSOR, .dtype = KOE_DTYPE_F32, .n_dim = -1 };
    *opset = (koe_onnx_opset){ .version = 17 };
    m->ir_version = 8, m->opset = opset, m->n_opset = 1;
    m->graph = (koe_onnx_graph){ .node = n, .n_node = 5, .initializer = t, .n_initializer = N_WEIGHTS + 1, .in = v, .n_in = 1, .out = v + 1,
                                 .n_out = 2 };
    return m;
}

static result compute(weights *w, int precision)
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
