/* LSTM, GRU and RNN of random size, against ONNX's equations in double, on every instruction set; the same bits on one thread and
 * three. Their attributes, one by one, are in tests/data/ops/rnn.txt. */
#include <math.h>
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

static koe_tensor floats(int n_dim, const int64_t *dim, double scale)
{
    koe_tensor t = { .dtype = KOE_DTYPE_F32, .n_dim = n_dim };
    for (int d = 0; d < n_dim; d++) t.dim[d] = dim[d];
    size_t n = koe_tensor_count(&t);
    float *v = malloc(n * sizeof *v + 1);
    for (size_t i = 0; i < n; i++) v[i] = (float)((double)draw(-1000, 1000) / 1000 * scale);
    t.data = v;
    return t;
}

typedef struct sizes {
    int64_t time, item, in, hidden, n_gate;
    bool lens;
} sizes;

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f(const node_spec *s, int i, int64_t at) { return (double)((const float *)s->in[i].t.data)[at]; }

/* W[gate] x + Wb[gate] (recurrent: R[gate] h + Rb[gate]) of one hidden unit. */
static double gate_sum(const node_spec *s, const sizes *z, int64_t dir, bool recurrent, int64_t gate, int64_t unit,
                       const double *v)
{
    int64_t row = gate * z->hidden + unit, rows = z->n_gate * z->hidden, n = recurrent ? z->hidden : z->in;
    double sum = f(s, 3, (dir * 2 + recurrent) * rows + row);
    for (int64_t k = 0; k < n; k++) sum += v[k] * f(s, recurrent ? 2 : 1, (dir * rows + row) * n + k);
    return sum;
}

static void step(const node_spec *s, const sizes *z, int64_t dir, const double *x, double *h, double *c)
{
    double old[64];
    memcpy(old, h, sizeof *h * (size_t)z->hidden);
    for (int64_t u = 0; u < z->hidden; u++) {
        double w[4], r[4];
        for (int64_t g = 0; g < z->n_gate; g++)
            w[g] = gate_sum(s, z, dir, false, g, u, x), r[g] = gate_sum(s, z, dir, true, g, u, old);
        if (z->n_gate == 1) {
            h[u] = tanh(w[0] + r[0]);
        } else if (z->n_gate == 3) {
            double update = sigmoid(w[0] + r[0]), reset = sigmoid(w[1] + r[1]); /* linear_before_reset */
            h[u] = (1 - update) * tanh(w[2] + reset * r[2]) + update * old[u];
        } else {
            c[u] = sigmoid(w[2] + r[2]) * c[u] + sigmoid(w[0] + r[0]) * tanh(w[3] + r[3]);
            h[u] = sigmoid(w[1] + r[1]) * tanh(c[u]);
        }
    }
}

/* Y [time][dir][item][hidden] */
static void define(const node_spec *s, const sizes *z, double *y)
{
    for (int64_t dir = 0; dir < 2; dir++)
        for (int64_t b = 0; b < z->item; b++) {
            int64_t len = z->lens ? ((const int32_t *)s->in[4].t.data)[b] : z->time;
            double h[64] = { 0 }, c[64] = { 0 }, x[64];
            for (int64_t k = 0; k < len; k++) {
                int64_t t = dir ? len - 1 - k : k;
                for (int64_t i = 0; i < z->in; i++) x[i] = f(s, 0, (t * z->item + b) * z->in + i);
                step(s, z, dir, x, h, c);
                memcpy(y + ((t * 2 + dir) * z->item + b) * z->hidden, h, sizeof *h * (size_t)z->hidden);
            }
        }
}

static void check(const node_spec *s, const sizes *z, koe_pool *pool)
{
    node_result one, other;
    koe_error err = { 0 };
    if (node_run(&one, s, NODE_BORROWED, NULL, &err) != KOE_OK) fail_msg("%s", err.message);
    const koe_tensor *a = &one.out[0]->t;
    size_t n = koe_tensor_count(a);
    assert_int_equal(n, z->time * 2 * z->item * z->hidden);
    for (int way = 0; way < 2; way++) { /* weights packed in the run, or at load */
        if (node_run(&other, s, way ? NODE_CONSTANT : NODE_BORROWED, pool, &err) != KOE_OK) fail_msg("%s", err.message);
        assert_memory_equal(a->data, other.out[0]->t.data, koe_tensor_bytes(a));
        node_result_free(&other);
    }
    double *want = calloc(n, sizeof *want);
    define(s, z, want);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)((const float *)a->data)[i] - want[i]) <= 1e-5))
            fail_msg("%s on %s: element %zu is %.9g, want %.9g", s->op, koe_cpu_name(), i, (double)((const float *)a->data)[i],
                     want[i]);
    free(want);
    node_result_free(&one);
}

static void random_case(const char *op, int64_t n_gate, koe_pool *pool)
{
    sizes z = { draw(1, 20), draw(1, 11), draw(1, 40), draw(1, 40), n_gate, draw(0, 1) };
    node_spec s = { .op = op, .opset = 14, .n_in = z.lens ? 5 : 4, .n_out = 1 };
    int64_t gates = n_gate * z.hidden;
    s.in[0] = node_value(floats(3, (int64_t[]){ z.time, z.item, z.in }, 1));
    s.in[1] = node_value(floats(3, (int64_t[]){ 2, gates, z.in }, 0.2));
    s.in[2] = node_value(floats(3, (int64_t[]){ 2, gates, z.hidden }, 0.2));
    s.in[3] = node_value(floats(2, (int64_t[]){ 2, 2 * gates }, 0.5));
    if (z.lens) {
        s.in[4] =
            node_value((koe_tensor){ .dtype = KOE_DTYPE_I32, .n_dim = 1, .dim = { z.item }, .data = malloc((size_t)z.item * 4) });
        for (int64_t b = 0; b < z.item; b++) ((int32_t *)s.in[4].t.data)[b] = (int32_t)draw(0, z.time);
    }
    s.attr[s.n_attr++] = (koe_onnx_attr){ .name = KOE_STR("direction"), .type = KOE_ATTR_STRING, .s = KOE_STR("bidirectional") };
    if (n_gate == 3) node_int(&s, "linear_before_reset", 1);
    check(&s, &z, pool);
    for (size_t i = 0; i < s.n_in; i++) free(s.in[i].t.data);
}

static void test_random(void **unused)
{
    (void)unused;
    koe_pool *pool = NULL;
    assert_int_equal(koe_pool_create(&pool, 3, NULL), KOE_OK);
    for (size_t v = 0; koe_cpu_level(v); v++)
        for (int i = 0; koe_cpu_restrict(koe_cpu_level(v), NULL) == KOE_OK && i < 10; i++) {
            random_case("LSTM", 4, pool);
            random_case("GRU", 3, pool);
            random_case("RNN", 1, pool);
        }
    koe_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
