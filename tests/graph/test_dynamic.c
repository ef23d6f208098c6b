/* The pass `dynamic`: y = Conv(x) as a file with dynamic quantisation writes it, in all its forms, against the float convolution with the
 * same weights. Fused it must be no farther from that than as the file has it; what is not that chain must be left alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"
#include "graph/graph.h"
#include "isa.h"

enum { CHANNELS = 36, TAPS = 5, LEN = 333, EACH = CHANNELS * TAPS, N = CHANNELS * LEN };

typedef struct form {
    bool is_signed, per_channel, no_zero, swapped, bias, plain_float;
    bool other_scale; /* of the weights by the wrong tensor: not the chain */
    int fused; /* patterns that the pass must find */
} form;

static uint8_t w_bytes[CHANNELS * EACH], w_zero[CHANNELS];
static float w_scale[CHANNELS], w_float[CHANNELS * EACH], bias[CHANNELS], input[N], one = 1;
static const int64_t same_pads[2] = { TAPS / 2, TAPS / 2 };

static uint32_t draw(void)
{
    static uint32_t state = 7;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

static void make_weights(const form *f)
{
    for (size_t o = 0; o < CHANNELS; o++) {
        w_scale[o] = 0.01f * (float)(1 + (f->per_channel ? o : 3));
        w_zero[o] = (uint8_t)(f->no_zero ? 0 : f->is_signed ? 3 : 125 + (f->per_channel ? o % 7 : 0));
        bias[o] = (float)draw() / 8388608.0f - 1;
        for (size_t i = o * EACH; i < (o + 1) * EACH; i++) {
            w_bytes[i] = (uint8_t)(o == 0 ? draw() : w_zero[o] + draw() % 200 - 100); /* channel 0 passes 127 steps, the others do not */
            const int q = f->is_signed ? (int8_t)w_bytes[i] - (int8_t)w_zero[o] : w_bytes[i] - w_zero[o];
            w_float[i] = (float)q * w_scale[o];
        }
    }
}

static koe_onnx_node *add_node(koe_arena *a, koe_onnx_graph *g, const char *op, size_t n_in, const char *const *in, size_t n_out,
                               const char *const *out)
{
    koe_onnx_node *n = (koe_onnx_node *)(uintptr_t)&g->node[g->n_node++];
    koe_str *names = koe_arena_array(a, n_in + n_out, sizeof *names);
    for (size_t i = 0; i < n_in; i++) names[i] = koe_str_of(in[i]);
    for (size_t i = 0; i < n_out; i++) names[n_in + i] = koe_str_of(out[i]);
    *n = (koe_onnx_node){ .name = koe_str_of(out[0]), .op_type = koe_str_of(op), .in = names, .n_in = n_in, .out = names + n_in, .n_out = n_out };
    return n;
}
#define NAMES(...) sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *[]){ __VA_ARGS__ }

static void add_nodes(koe_arena *a, koe_onnx_graph *g, const form *f, const koe_onnx_attr *pads, const koe_onnx_attr *to)
{
    add_node(a, g, "LeakyRelu", NAMES("x"), NAMES("act"));
    koe_onnx_node *conv;
    if (f->plain_float) conv = add_node(a, g, "Conv", NAMES("act", "w", f->bias ? "b" : ""), NAMES("y"));
    else {
        const char *product = f->bias ? "unbiased" : "y";
        add_node(a, g, "DynamicQuantizeLinear", NAMES("act"), NAMES("q", "s", "z"));
        conv = add_node(a, g, "ConvInteger", f->no_zero ? 3 : 4, (const char *[]){ "q", "w", "z", "wz" }, NAMES("sums"));
        koe_onnx_node *cast = add_node(a, g, "Cast", NAMES("sums"), NAMES("real"));
        cast->attr = to;
        cast->n_attr = 1;
        add_node(a, g, "Mul", NAMES(f->other_scale ? "one" : "s", "ws"), NAMES("scales"));
        if (f->swapped) add_node(a, g, "Mul", NAMES("scales", "real"), NAMES(product));
        else add_node(a, g, "Mul", NAMES("real", "scales"), NAMES(product));
        if (f->bias && f->swapped) add_node(a, g, "Add", NAMES("b", product), NAMES("y"));
        else if (f->bias) add_node(a, g, "Add", NAMES(product, "b"), NAMES("y"));
    }
    conv->attr = pads;
    conv->n_attr = 1;
}

static koe_onnx_model *make_model(const form *f)
{
    koe_onnx_model *m = calloc(1, sizeof *m);
    koe_arena *a = &m->arena;
    koe_onnx_attr *attr = koe_arena_array(a, 2, sizeof *attr);
    attr[0] = (koe_onnx_attr){ .name = KOE_STR("pads"), .type = KOE_ATTR_INTS, .ints = same_pads, .n = 2 };
    attr[1] = (koe_onnx_attr){ .name = KOE_STR("to"), .type = KOE_ATTR_INT, .i = KOE_DTYPE_F32 };
    const koe_dtype byte = f->is_signed ? KOE_DTYPE_I8 : KOE_DTYPE_U8;
    const int64_t each = f->per_channel ? CHANNELS : 1;
    koe_onnx_initializer *w = koe_arena_array(a, 5, sizeof *w);
    w[0] = (koe_onnx_initializer){ KOE_STR("w"), { byte, 3, { CHANNELS, CHANNELS, TAPS }, w_bytes } };
    if (f->plain_float) w[0].t = (koe_tensor){ KOE_DTYPE_F32, 3, { CHANNELS, CHANNELS, TAPS }, w_float };
    w[1] = (koe_onnx_initializer){ KOE_STR("b"), { KOE_DTYPE_F32, 3, { 1, CHANNELS, 1 }, bias } };
    if (f->plain_float) w[1].t = (koe_tensor){ KOE_DTYPE_F32, 1, { CHANNELS }, bias };
    w[2] = (koe_onnx_initializer){ KOE_STR("ws"), { KOE_DTYPE_F32, f->per_channel ? 2 : 0, { each, 1 }, w_scale } };
    w[3] = (koe_onnx_initializer){ KOE_STR("wz"), { byte, f->per_channel ? 1 : 0, { each }, w_zero } };
    w[4] = (koe_onnx_initializer){ KOE_STR("one"), { KOE_DTYPE_F32, 0, { 0 }, &one } };
    koe_onnx_value *v = koe_arena_array(a, 2, sizeof *v);
    v[0] = (koe_onnx_value){ .name = KOE_STR("x"), .kind = KOE_ONNX_TENSOR, .dtype = KOE_DTYPE_F32, .n_dim = -1 };
    v[1] = (koe_onnx_value){ .name = KOE_STR("y"), .kind = KOE_ONNX_TENSOR, .dtype = KOE_DTYPE_F32, .n_dim = -1 };
    koe_onnx_opset *opset = koe_arena_alloc(a, sizeof *opset);
    *opset = (koe_onnx_opset){ .version = 17 };
    m->ir_version = 8;
    m->opset = opset;
    m->n_opset = 1;
    m->graph = (koe_onnx_graph){ .node = koe_arena_array(a, 8, sizeof(koe_onnx_node)), .initializer = w, .n_initializer = 5, .in = v, .n_in = 1,
                                 .out = v + 1, .n_out = 1 };
    add_nodes(a, &m->graph, f, &attr[0], &attr[1]);
    return m;
}

/* y of one run; returns what the pass reports. */
static int compute(const form *f, const char *passes, int precision, int threads, float *y)
{
    koe_error err = { 0 };
    koe_session *s;
    koe_run *r;
    koe_pool *pool = NULL;
    const koe_tensor x = { KOE_DTYPE_F32, 3, { 1, CHANNELS, LEN }, input };
    if (koe_pool_create(&pool, threads, &err) != KOE_OK) fail_msg("%s", err.message);
    const koe_session_options opt = { .pool = pool, .precision = precision, .passes = passes };
    if (koe_session_create(&s, make_model(f), &opt, &err) != KOE_OK) fail_msg("%s", err.message);
    if (koe_run_create(&r, s, &err) != KOE_OK || koe_run_set_in(r, 0, &x, &err) != KOE_OK || koe_run_execute(r, NULL, &err) != KOE_OK)
        fail_msg("%s", err.message);
    memcpy(y, koe_run_out(r, 0)->t.data, sizeof input);
    const int n = pass_count(s, "dynamic");
    koe_run_destroy(r);
    koe_session_destroy(s);
    koe_pool_destroy(pool);
    return n;
}

static void check(form f)
{
    static float want[N], as_is[N], got[N], other[N];
    make_weights(&f);
    form plain = f;
    plain.plain_float = true;
    compute(&plain, NULL, KOE_PRECISION_F32, 1, want);
    assert_int_equal(compute(&f, "-dynamic", KOE_PRECISION_F32, 1, as_is), -1);
    assert_int_equal(compute(&f, NULL, KOE_PRECISION_F32, 1, got), f.fused);
    if (!f.fused) {
        assert_memory_equal(got, as_is, sizeof got);
        return;
    }
    const double before = distance(as_is, want, N), after = distance(got, want, N);
    /* Both round the input to steps of about a 255th of its range; weights whose magnitude passes 127 steps are rounded too. */
    if (!(before < 0.01 && after < 1.2 * before)) fail_msg("distance %g, by the file's own steps %g", after, before);
    compute(&f, NULL, KOE_PRECISION_F32, 3, other);
    assert_memory_equal(got, other, sizeof got);
    compute(&f, NULL, KOE_PRECISION_INT8, 1, other); /* with vpmaddubsw: 7 bits */
    if (!(distance(other, want, N) < 3 * before)) fail_msg("distance %g, by the file's own steps %g", distance(other, want, N), before);
}

static void test_per_tensor(void **state) { (void)state, check((form){ .bias = true, .fused = 1 }); }
static void test_no_bias(void **state) { (void)state, check((form){ .swapped = true, .fused = 1 }); }
static void test_signed_per_channel(void **state)
{
    (void)state, check((form){ .is_signed = true, .per_channel = true, .bias = true, .swapped = true, .fused = 1 });
}
static void test_unsigned_per_channel(void **state) { (void)state, check((form){ .per_channel = true, .bias = true, .fused = 1 }); }
static void test_no_zero_point(void **state) { (void)state, check((form){ .is_signed = true, .no_zero = true, .bias = true, .fused = 1 }); }
static void test_not_the_chain(void **state) { (void)state, check((form){ .bias = true, .other_scale = true }); }

int main(int argc, char **argv)
{
    if (!use_isa(argc, argv)) return SKIPPED;
    for (size_t i = 0; i < N; i++) input[i] = (float)draw() / 8388608.0f - 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_per_tensor), cmocka_unit_test(test_no_bias), cmocka_unit_test(test_signed_per_channel),
                                        cmocka_unit_test(test_unsigned_per_channel), cmocka_unit_test(test_no_zero_point),
                                        cmocka_unit_test(test_not_the_chain) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
