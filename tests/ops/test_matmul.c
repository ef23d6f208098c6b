/* MatMul, Gemm and FusedMatMul with random shapes and types against the definition, with constant operands (packed at load) and without. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "graph/graph.h"
#include "kernels/kernels.h"

static unsigned seed = 1;

static int64_t random_int(int64_t low, int64_t high)
{
    seed = seed * 1664525u + 1013904223u;
    return low + (int64_t)(seed >> 8) % (high - low + 1);
}

static double get(const koe_tensor *t, size_t i)
{
    switch (t->dtype) {
    case KOE_DTYPE_F32: return (double)((const float *)t->data)[i];
    case KOE_DTYPE_F64: return ((const double *)t->data)[i];
    case KOE_DTYPE_I32: return ((const int32_t *)t->data)[i];
    case KOE_DTYPE_U32: return ((const uint32_t *)t->data)[i];
    default: return (double)((const int64_t *)t->data)[i];
    }
}

static void set(koe_tensor *t, size_t i, int64_t v)
{
    switch (t->dtype) {
    case KOE_DTYPE_F32: ((float *)t->data)[i] = (float)v / 16; break;
    case KOE_DTYPE_F64: ((double *)t->data)[i] = (double)v / 16; break;
    case KOE_DTYPE_I32: ((int32_t *)t->data)[i] = (int32_t)v; break;
    case KOE_DTYPE_U32: ((uint32_t *)t->data)[i] = (uint32_t)(v & 15); break;
    default: ((int64_t *)t->data)[i] = v;
    }
}

static koe_tensor random_tensor(koe_dtype dtype, int n_dim, const int64_t *dim)
{
    koe_tensor t = { .dtype = dtype, .n_dim = n_dim };
    memcpy(t.dim, dim, sizeof *dim * (size_t)n_dim);
    t.data = malloc(koe_tensor_count(&t) * 8 + 1);
    for (size_t i = 0; i < koe_tensor_count(&t); i++) set(&t, i, random_int(-16, 16));
    return t;
}

/* y = op(in[0], in[1][, in[2]]); all but the first operand are initialisers when `constant`. y->data is malloc()ed. */
static koe_status run(const char *op, const char *domain, koe_tensor *in, size_t n_in, const koe_onnx_attr *attr, size_t n_attr, bool constant,
                      koe_tensor *y, koe_error *err)
{
    koe_str names[] = { KOE_STR("a"), KOE_STR("b"), KOE_STR("c") }, out = KOE_STR("y");
    const koe_onnx_node node = { .op_type = koe_str_of(op), .domain = koe_str_of(domain), .in = names, .n_in = n_in, .out = &out, .n_out = 1, .attr = attr,
        .n_attr = n_attr };
    koe_onnx_value value[3], declared = { .name = out, .kind = KOE_ONNX_TENSOR, .dtype = in[0].dtype, .n_dim = -1 };
    koe_onnx_initializer init[2];
    const koe_onnx_opset opset[] = { { .version = 17 }, { .domain = KOE_STR("com.microsoft"), .version = 1 } };
    for (size_t i = 0; i < n_in; i++) {
        value[i] = (koe_onnx_value){ .name = names[i], .kind = KOE_ONNX_TENSOR, .dtype = in[i].dtype, .n_dim = -1 };
        if (i > 0) init[i - 1] = (koe_onnx_initializer){ names[i], in[i] };
    }
    koe_onnx_model *m = calloc(1, sizeof *m);
    m->opset = opset, m->n_opset = 2;
    m->graph = (koe_onnx_graph){ .node = &node, .n_node = 1, .initializer = init, .n_initializer = constant ? n_in - 1 : 0, .in = value,
        .n_in = constant ? 1 : n_in, .out = &declared, .n_out = 1 };
    koe_session *s = NULL;
    koe_run *r = NULL;
    koe_status st = koe_session_create(&s, m, NULL, err);
    if (st == KOE_OK) st = koe_run_create(&r, s, err);
    for (size_t i = 0; st == KOE_OK && i < koe_session_n_in(s); i++) st = koe_run_set_in(r, i, &in[i], err);
    if (st == KOE_OK) st = koe_run_execute(r, NULL, err);
    if (st == KOE_OK) {
        *y = koe_run_out(r, 0)->t;
        y->data = memcpy(malloc(koe_tensor_bytes(y) + 1), y->data, koe_tensor_bytes(y));
    }
    koe_run_destroy(r);
    koe_session_destroy(s);
    return st;
}

static void near(const koe_tensor *y, size_t i, double want)
{
    const double got = get(y, i), limit = y->dtype == KOE_DTYPE_F32 ? 1e-5 * (1 + fabs(want)) : 1e-9 * (1 + fabs(want));
    if (!(fabs(got - want) <= limit)) fail_msg("%s %s: element %zu is %.9g, want %.9g", koe_cpu_name(), koe_dtype_name(y->dtype), i, got, want);
}

static koe_dtype random_dtype(void)
{
    static const koe_dtype types[] = { KOE_DTYPE_F32, KOE_DTYPE_F32, KOE_DTYPE_F32, KOE_DTYPE_F64, KOE_DTYPE_I32, KOE_DTYPE_U32, KOE_DTYPE_I64 };
    return types[random_int(0, 6)];
}

/* Batches broadcast: b may have fewer dimensions, or ones. */
static void check_matmul(void)
{
    const bool fused = random_int(0, 2) == 0, constant = random_int(0, 1);
    const koe_dtype dtype = fused ? KOE_DTYPE_F32 : random_dtype();
    const bool ta = fused && random_int(0, 1), tb = fused && random_int(0, 1);
    const float alpha = fused ? 0.5f : 1;
    const int64_t m = random_int(1, 70), k = random_int(1, 40), n = random_int(1, 110), d0 = random_int(1, 3), d1 = random_int(1, 3);
    const int na = (int)random_int(0, 2), nb = (int)random_int(0, 2);
    int64_t batch_a[2] = { d0, random_int(0, 1) ? d1 : 1 }, batch_b[2] = { random_int(0, 1) ? d0 : 1, d1 }, da[4], db[4];
    for (int i = 0; i < na; i++) da[i] = batch_a[2 - na + i];
    for (int i = 0; i < nb; i++) db[i] = batch_b[2 - nb + i];
    da[na] = ta ? k : m, da[na + 1] = ta ? m : k;
    db[nb] = tb ? n : k, db[nb + 1] = tb ? k : n;
    koe_tensor in[2] = { random_tensor(dtype, na + 2, da), random_tensor(dtype, nb + 2, db) }, y = { 0 };
    const koe_onnx_attr attr[] = { { .name = KOE_STR("transA"), .type = KOE_ATTR_INT, .i = ta }, { .name = KOE_STR("transB"), .type = KOE_ATTR_INT, .i = tb },
        { .name = KOE_STR("alpha"), .type = KOE_ATTR_FLOAT, .f = alpha } };
    koe_error err = { 0 };
    if (run(fused ? "FusedMatMul" : "MatMul", fused ? "com.microsoft" : "", in, 2, attr, fused ? 3 : 0, constant, &y, &err) != KOE_OK) fail_msg("%s", err.message);
    assert_int_equal(y.n_dim, 2 + (na > nb ? na : nb));
    const size_t b1 = y.n_dim > 2 ? (size_t)y.dim[y.n_dim - 3] : 1;
    for (size_t i = 0; i < koe_tensor_count(&y); i++) {
        const size_t col = i % (size_t)n, row = i / (size_t)n % (size_t)m, batch = i / (size_t)(m * n), i1 = batch % b1, i0 = batch / b1;
        const size_t a1 = na > 0 ? (size_t)batch_a[1] : 1, a0 = na > 1 ? (size_t)batch_a[0] : 1, c1 = nb > 0 ? (size_t)batch_b[1] : 1, c0 = nb > 1 ? (size_t)batch_b[0] : 1;
        const size_t at_a = ((a0 == 1 ? 0 : i0) * a1 + (a1 == 1 ? 0 : i1)) * (size_t)(m * k), at_b = ((c0 == 1 ? 0 : i0) * c1 + (c1 == 1 ? 0 : i1)) * (size_t)(k * n);
        double sum = 0;
        for (size_t p = 0; p < (size_t)k; p++)
            sum += get(&in[0], at_a + (ta ? p * (size_t)m + row : row * (size_t)k + p)) * get(&in[1], at_b + (tb ? col * (size_t)k + p : p * (size_t)n + col));
        near(&y, i, sum * (double)alpha);
    }
    free(in[0].data), free(in[1].data), free(y.data);
}

static void check_gemm(void)
{
    const koe_dtype dtype = random_dtype();
    const bool ta = random_int(0, 1), tb = random_int(0, 1), constant = random_int(0, 1);
    const bool whole = dtype != KOE_DTYPE_F32 && dtype != KOE_DTYPE_F64;
    const float alpha = random_int(0, 1) ? 1 : whole ? 3 : 0.5f, beta = random_int(0, 1) ? 1 : whole ? 2 : -1.5f;
    const int64_t m = random_int(1, 70), k = random_int(1, 300), n = random_int(1, 110), da[] = { ta ? k : m, ta ? m : k }, db[] = { tb ? n : k, tb ? k : n };
    const int64_t shapes[5][2] = { { m, n }, { 1, n }, { m, 1 }, { 1, 1 }, { n } };
    const int c = (int)random_int(0, 5); /* 5: none */
    koe_tensor in[3] = { random_tensor(dtype, 2, da), random_tensor(dtype, 2, db) }, y = { 0 };
    if (c < 5) in[2] = random_tensor(dtype, c < 4 ? 2 : 1, shapes[c]);
    const koe_onnx_attr attr[] = { { .name = KOE_STR("transA"), .type = KOE_ATTR_INT, .i = ta }, { .name = KOE_STR("transB"), .type = KOE_ATTR_INT, .i = tb },
        { .name = KOE_STR("alpha"), .type = KOE_ATTR_FLOAT, .f = alpha }, { .name = KOE_STR("beta"), .type = KOE_ATTR_FLOAT, .f = beta } };
    koe_error err = { 0 };
    if (run("Gemm", "", in, c < 5 ? 3 : 2, attr, 4, constant, &y, &err) != KOE_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < (size_t)m; i++)
        for (size_t j = 0; j < (size_t)n; j++) {
            double sum = 0;
            for (size_t p = 0; p < (size_t)k; p++)
                sum += get(&in[0], ta ? p * (size_t)m + i : i * (size_t)k + p) * get(&in[1], tb ? j * (size_t)k + p : p * (size_t)n + j);
            sum *= (double)alpha;
            if (c < 5) sum += (double)beta * get(&in[2], c == 0 ? i * (size_t)n + j : c == 1 || c == 4 ? j : c == 2 ? i : 0);
            near(&y, i * (size_t)n + j, sum);
        }
    free(in[0].data), free(in[1].data), free(in[2].data), free(y.data);
}

static void on_every_variant(void (*check)(void), int times)
{
    size_t n;
    const koe_kernel_set *table = koe_kernel_table(&n);
    for (size_t v = 0; v < n; v++)
        for (int i = 0; koe_cpu_restrict(table[v].name, NULL) == KOE_OK && i < times; i++) check();
}

static void matmul(void **state)
{
    (void)state;
    on_every_variant(check_matmul, 80);
}

static void gemm(void **state)
{
    (void)state;
    on_every_variant(check_gemm, 60);
}

/* Vectors lose their dimension. */
static void vectors(void **state)
{
    (void)state;
    const int64_t v[] = { 5 }, mv[] = { 3, 5 }, vm[] = { 5, 4 };
    const struct {
        const int64_t *a, *b;
        int na, nb, n_dim;
        int64_t dim;
    } cases[] = { { v, v, 1, 1, 0, 0 }, { mv, v, 2, 1, 1, 3 }, { v, vm, 1, 2, 1, 4 } };
    for (size_t i = 0; i < 6; i++) {
        koe_tensor in[2] = { random_tensor(KOE_DTYPE_F32, cases[i % 3].na, cases[i % 3].a), random_tensor(KOE_DTYPE_F32, cases[i % 3].nb, cases[i % 3].b) }, y = { 0 };
        koe_error err = { 0 };
        if (run("MatMul", "", in, 2, NULL, 0, i >= 3, &y, &err) != KOE_OK) fail_msg("%s", err.message);
        assert_int_equal(y.n_dim, cases[i % 3].n_dim);
        if (y.n_dim) assert_int_equal(y.dim[0], cases[i % 3].dim);
        double sum = 0;
        for (size_t p = 0; p < 5; p++) sum += get(&in[0], p) * get(&in[1], i % 3 == 2 ? p * 4 : p);
        near(&y, 0, sum);
        free(in[0].data), free(in[1].data), free(y.data);
    }
}

static void refused(void **state)
{
    (void)state;
    const int64_t a[] = { 3, 5 }, b[] = { 4, 5 }, c[] = { 2, 5, 4 }, d[] = { 3, 3, 5 };
    koe_tensor in[4] = { random_tensor(KOE_DTYPE_F32, 2, a), random_tensor(KOE_DTYPE_F32, 2, b), random_tensor(KOE_DTYPE_F32, 3, c), random_tensor(KOE_DTYPE_F32, 3, d) };
    koe_tensor y = { 0 }, scalar[2] = { { .dtype = KOE_DTYPE_F32, .data = in[0].data }, in[1] };
    koe_tensor batches[2] = { in[3], in[2] }, gemm3[2] = { in[3], in[1] };
    koe_error err = { 0 };
    assert_int_equal(run("MatMul", "", in, 2, NULL, 0, true, &y, &err), KOE_E_FORMAT);
    assert_int_equal(run("MatMul", "", scalar, 2, NULL, 0, false, &y, &err), KOE_E_FORMAT);
    assert_int_equal(run("MatMul", "", batches, 2, NULL, 0, false, &y, &err), KOE_E_FORMAT);
    assert_int_equal(run("Gemm", "", gemm3, 2, NULL, 0, true, &y, &err), KOE_E_FORMAT);
    for (size_t i = 0; i < 4; i++) free(in[i].data);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(matmul), cmocka_unit_test(gemm), cmocka_unit_test(vectors), cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
