/* Integer products and convolutions of random shape, against their definition, on every instruction set and on one thread and
 * three: integers, so all must agree exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "node.h"

static unsigned seed = 1;

static int64_t draw(int64_t low, int64_t high)
{
    seed = seed * 1664525u + 1013904223u;
    return low + (int64_t)(seed >> 8) % (high - low + 1);
}

static koe_tensor bytes(bool is_signed, int n_dim, const int64_t *dim)
{
    koe_tensor t = { .dtype = is_signed ? KOE_DTYPE_I8 : KOE_DTYPE_U8, .n_dim = n_dim };
    for (int d = 0; d < n_dim; d++) t.dim[d] = dim[d];
    size_t n = koe_tensor_count(&t);
    uint8_t *data = malloc(n + 1);
    for (size_t i = 0; i < n; i++) data[i] = (uint8_t)draw(0, 255);
    t.data = data;
    return t;
}

static int32_t at(const koe_tensor *t, size_t i)
{
    return t->dtype == KOE_DTYPE_I8 ? ((const int8_t *)t->data)[i] : ((const uint8_t *)t->data)[i];
}

/* Runs the node in all ways and compares with want[]. */
static void check(const node_spec *s, koe_pool *pool, const koe_tensor *shape, const int32_t *want)
{
    for (int way = 0; way < 3; way++) {
        node_result r;
        koe_error err = { 0 };
        koe_status st = node_run(&r, s, way == 2 ? NODE_CONSTANT : NODE_BORROWED, way == 1 ? pool : NULL, &err);
        if (st != KOE_OK) fail_msg("%s", err.message);
        const koe_tensor *got = &r.out[0]->t;
        assert_int_equal(got->n_dim, shape->n_dim);
        for (int d = 0; d < got->n_dim; d++) assert_int_equal(got->dim[d], shape->dim[d]);
        for (size_t i = 0; i < koe_tensor_count(got); i++)
            if (((const int32_t *)got->data)[i] != want[i])
                fail_msg("%s on %s: element %zu is %d, want %d", s->op, koe_cpu_name(), i, ((const int32_t *)got->data)[i],
                         want[i]);
        node_result_free(&r);
    }
}

static void free_inputs(node_spec *s)
{
    for (size_t i = 0; i < s->n_in; i++) free(s->in[i].t.data);
}

static void matmul_case(koe_pool *pool)
{
    int64_t n_a = draw(1, 3), n_b = draw(0, 1) ? n_a : 1, m = draw(1, 70), k = draw(0, 80),
            n = draw(1, 40) * (draw(0, 3) ? 1 : 9);
    bool by_column = n_b == 1 && draw(0, 1), a_signed = draw(0, 1), b_signed = draw(0, 1);
    node_spec s = { .op = "MatMulInteger", .opset = 10, .n_in = 4, .n_out = 1 };
    s.in[0] = node_value(bytes(a_signed, 3, (int64_t[]){ n_a, m, k }));
    s.in[1] = node_value(n_b == 1 ? bytes(b_signed, 2, (int64_t[]){ k, n }) : bytes(b_signed, 3, (int64_t[]){ n_b, k, n }));
    s.in[2] = node_value(bytes(a_signed, draw(0, 1) ? 0 : 1, &m));
    s.in[3] = node_value(bytes(b_signed, by_column ? 1 : 0, &n));
    const koe_tensor *a = &s.in[0].t, *b = &s.in[1].t, *az = &s.in[2].t, *bz = &s.in[3].t;
    koe_tensor y = { .n_dim = 3, .dim = { n_a, m, n } };
    int32_t *want = calloc(koe_tensor_count(&y), sizeof *want);
    for (int64_t i = 0; i < n_a * m; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t p = 0; p < k; p++) {
                size_t ia = (size_t)(i * k + p), ib = (size_t)(((n_b == 1 ? 0 : i / m) * k + p) * n + j);
                want[i * n + j] +=
                    (at(a, ia) - at(az, az->n_dim ? (size_t)(i % m) : 0)) * (at(b, ib) - at(bz, by_column ? (size_t)j : 0));
            }
    check(&s, pool, &y, want);
    free(want);
    free_inputs(&s);
}

/* A convolution over `d` dimensions; index arithmetic on three, the unused ones of size 1. */
static void conv_case(koe_pool *pool)
{
    int d = (int)draw(1, 3);
    int64_t group = draw(0, 2) ? 1 : draw(1, 3), c = draw(1, 9), o = draw(0, 5) ? draw(1, 9) : 270, n = draw(1, 2);
    int64_t in[3] = { 1, 1, 1 }, kernel[3] = { 1, 1, 1 }, stride[3] = { 1, 1, 1 }, dilation[3] = { 1, 1, 1 }, pad[6] = { 0 },
            out[3];
    for (int i = 3 - d; i < 3; i++) {
        kernel[i] = draw(1, 3), stride[i] = draw(1, 2), dilation[i] = draw(1, 3);
        pad[i] = draw(0, 2), pad[3 + i] = draw(0, 2);
        in[i] = (kernel[i] - 1) * dilation[i] + draw(1, d == 1 ? 150 : 6);
    }
    for (int i = 0; i < 3; i++) out[i] = (in[i] + pad[i] + pad[3 + i] - (kernel[i] - 1) * dilation[i] - 1) / stride[i] + 1;
    bool x_signed = draw(0, 1), w_signed = draw(0, 1);
    int64_t x_dim[5] = { n, group * c }, w_dim[5] = { group * o, c }, o_all = group * o, pads[6];
    koe_tensor y = { .n_dim = 2 + d, .dim = { n, group * o } };
    for (int i = 0; i < d; i++) {
        x_dim[2 + i] = in[3 - d + i], w_dim[2 + i] = kernel[3 - d + i], y.dim[2 + i] = out[3 - d + i];
        pads[i] = pad[3 - d + i], pads[d + i] = pad[6 - d + i];
    }
    node_spec s = { .op = "ConvInteger", .opset = 10, .n_in = 4, .n_out = 1 };
    s.in[0] = node_value(bytes(x_signed, 2 + d, x_dim));
    s.in[1] = node_value(bytes(w_signed, 2 + d, w_dim));
    s.in[2] = node_value(bytes(x_signed, 0, NULL));
    s.in[3] = node_value(bytes(w_signed, draw(0, 1) ? 1 : 0, &o_all));
    node_int(&s, "group", group);
    node_ints(&s, "strides", stride + 3 - d, (size_t)d);
    node_ints(&s, "dilations", dilation + 3 - d, (size_t)d);
    node_ints(&s, "pads", pads, (size_t)(2 * d));
    const koe_tensor *x = &s.in[0].t, *w = &s.in[1].t, *wz = &s.in[3].t;
    int32_t *want = calloc(koe_tensor_count(&y), sizeof *want), xz = at(&s.in[2].t, 0);
    size_t i = 0;
    for (int64_t b = 0; b < n; b++)
        for (int64_t oc = 0; oc < group * o; oc++)
            for (int64_t p = 0; p < out[0] * out[1] * out[2]; p++, i++)
                for (int64_t q = 0; q < c * kernel[0] * kernel[1] * kernel[2]; q++) {
                    int64_t o3[3] = { p / out[2] / out[1], p / out[2] % out[1], p % out[2] };
                    int64_t k3[3] = { q / kernel[2] / kernel[1] % kernel[0], q / kernel[2] % kernel[1], q % kernel[2] };
                    int64_t ic = q / kernel[2] / kernel[1] / kernel[0], index = b * group * c + oc / o * c + ic;
                    bool inside = true;
                    for (int e = 0; e < 3; e++) {
                        int64_t place = o3[e] * stride[e] - pad[e] + k3[e] * dilation[e];
                        inside = inside && place >= 0 && place < in[e];
                        index = index * in[e] + place;
                    }
                    int64_t wi = oc * c * kernel[0] * kernel[1] * kernel[2] + q;
                    if (inside) want[i] += (at(x, (size_t)index) - xz) * (at(w, (size_t)wi) - at(wz, wz->n_dim ? (size_t)oc : 0));
                }
    check(&s, pool, &y, want);
    free(want);
    free_inputs(&s);
}

static void on_all(void (*one)(koe_pool *pool), int times)
{
    koe_pool *pool = NULL;
    assert_int_equal(koe_pool_create(&pool, 3, NULL), KOE_OK);
    for (size_t v = 0; koe_cpu_level(v); v++)
        for (int i = 0; koe_cpu_restrict(koe_cpu_level(v), NULL) == KOE_OK && i < times; i++) one(pool);
    koe_pool_destroy(pool);
}

static void test_products(void **unused)
{
    (void)unused;
    on_all(matmul_case, 60);
}

static void test_convolutions(void **unused)
{
    (void)unused;
    on_all(conv_case, 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
