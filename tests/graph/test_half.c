/* Half precision between operators: root = Sqrt(Add(Mul(x, x), Mul(x, x))) keeps the range of float32 inside, kept = Identity(Mul(x, x))
 * is read as the float16 that it is. Both come out as float16. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"
#include "graph/graph.h"

enum { N = 4, N_NODES = 5 };

static void add_node(koe_arena *a, koe_onnx_node *n, const char *op, const char *x, const char *y, const char *out)
{
    koe_str *names = koe_arena_array(a, 3, sizeof *names);
    const size_t n_in = y ? 2 : 1;
    names[0] = koe_str_of(x);
    if (y) names[1] = koe_str_of(y);
    names[n_in] = koe_str_of(out);
    *n = (koe_onnx_node){ .name = names[n_in], .op_type = koe_str_of(op), .in = names, .n_in = n_in, .out = names + n_in, .n_out = 1 };
}

static koe_onnx_model *make_model(void)
{
    koe_onnx_model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    koe_arena *a = &m->arena;
    koe_onnx_node *n = koe_arena_array(a, N_NODES, sizeof *n);
    add_node(a, &n[0], "Mul", "x", "x", "square");
    add_node(a, &n[1], "Add", "square", "square", "total");
    add_node(a, &n[2], "Sqrt", "total", NULL, "root");
    add_node(a, &n[3], "Mul", "x", "x", "seen");
    add_node(a, &n[4], "Identity", "seen", NULL, "kept");
    koe_onnx_value *v = koe_arena_array(a, 3, sizeof *v);
    const char *const names[] = { "x", "root", "kept" };
    for (int i = 0; i < 3; i++)
        v[i] = (koe_onnx_value){ .name = koe_str_of(names[i]), .kind = KOE_ONNX_TENSOR, .dtype = KOE_DTYPE_F16, .n_dim = -1 };
    koe_onnx_opset *opset = koe_arena_alloc(a, sizeof *opset);
    *opset = (koe_onnx_opset){ .version = 17 };
    m->ir_version = 8;
    m->opset = opset;
    m->n_opset = 1;
    m->graph = (koe_onnx_graph){ .node = n, .n_node = N_NODES, .in = v, .n_in = 1, .out = v + 1, .n_out = 2 };
    return m;
}

static void keeps_the_range(void **state)
{
    (void)state;
    static const float numbers[N] = { 300, 3, -400, 0.5f };
    uint16_t x[N];
    for (int i = 0; i < N; i++) x[i] = koe_f32_to_f16(numbers[i]);
    const koe_tensor in = { KOE_DTYPE_F16, 1, { N }, x };
    koe_error err = { 0 };
    koe_session *s;
    koe_run *r;
    const koe_session_options opt = { .passes = "-cse" }; /* "square" and "seen" are the same */
    if (koe_session_create(&s, make_model(), &opt, &err) != KOE_OK) fail_msg("%s", err.message);
    if (koe_run_create(&r, s, &err) != KOE_OK) fail_msg("%s", err.message);
    for (int again = 0; again < 2; again++) {
        if (koe_run_set_in(r, 0, &in, &err) != KOE_OK || koe_run_execute(r, NULL, &err) != KOE_OK) fail_msg("%s", err.message);
        const koe_tensor *root = &koe_run_out(r, 0)->t, *kept = &koe_run_out(r, 1)->t;
        assert_int_equal(root->dtype, KOE_DTYPE_F16);
        assert_int_equal(kept->dtype, KOE_DTYPE_F16);
        for (int i = 0; i < N; i++) {
            const float square = numbers[i] * numbers[i];
            assert_int_equal(((const uint16_t *)root->data)[i], koe_f32_to_f16(sqrtf(square + square)));
            assert_int_equal(((const uint16_t *)kept->data)[i], koe_f32_to_f16(square)); /* infinite where float16 ends */
        }
    }
    koe_run_destroy(r);
    koe_session_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(keeps_the_range) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
