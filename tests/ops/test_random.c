/* Random operators: distribution, streams, seeds. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
// clang-format off
#include <cmocka.h>
// clang-format on
#include "node.h"

enum { N = 200000 };

static node_result draw(const char *op, float seed)
{
    static const int64_t shape[] = { N };
    node_spec s = { .op = op, .opset = 15, .n_out = 1 };
    node_result r;
    koe_error err = { 0 };
    node_ints(&s, "shape", shape, 1);
    if (seed != 0) node_float(&s, "seed", seed);
    koe_status st = node_run(&r, &s, NODE_BORROWED, NULL, &err);
    if (st != KOE_OK) fail_msg("%s", err.message);
    return r;
}

static const float *data(const node_result *r) { return r->out[0]->t.data; }

/* The first `n` moments about `center`, against `want`, with five standard errors of room. */
static void check_moments(const float *x, double center, const double *want, const double *room, int n)
{
    for (int k = 1; k <= n; k++) {
        double sum = 0;
        for (size_t i = 0; i < N; i++) sum += pow((double)x[i] - center, k);
        double got = sum / N;
        if (fabs(got - want[k - 1]) > room[k - 1]) fail_msg("moment %d is %g instead of %g", k, got, want[k - 1]);
    }
}

static void test_distributions(void **state)
{
    (void)state;
    node_result normal = draw("RandomNormal", 0), uniform = draw("RandomUniform", 0);
    check_moments(data(&normal), 0, (double[]){ 0, 1, 0, 3 }, (double[]){ 0.012, 0.016, 0.05, 0.12 }, 4);
    check_moments(data(&uniform), 0.5, (double[]){ 0, 1.0 / 12, 0, 1.0 / 80 }, (double[]){ 0.004, 0.001, 0.0005, 0.0002 }, 4);
    for (size_t i = 0; i < N; i++) assert_true(data(&uniform)[i] >= 0 && data(&uniform)[i] < 1);
    node_result_free(&normal);
    node_result_free(&uniform);
}

static void test_seeds(void **state)
{
    (void)state;
    node_result a = draw("RandomNormal", 0), b = draw("RandomNormal", 0), c = draw("RandomNormal", 7);
    assert_memory_equal(data(&a), data(&b), N * sizeof(float));
    assert_memory_not_equal(data(&a), data(&c), N * sizeof(float));
    node_result_free(&b);
    node_result_free(&c);
    float first = data(&a)[0];
    koe_error err = { 0 };
    assert_int_equal(koe_run_execute(a.run, &(koe_run_options){ .seed = 2 }, &err), KOE_OK);
    assert_true(((float *)koe_run_out(a.run, 0)->t.data)[0] != first);
    assert_int_equal(koe_run_execute(a.run, &(koe_run_options){ .seed = 1, .zero_noise = true }, &err), KOE_OK);
    for (size_t i = 0; i < N; i++) assert_true(((float *)koe_run_out(a.run, 0)->t.data)[i] == 0);
    node_result_free(&a);
}

static void test_dropout_keeps_the_mean(void **state)
{
    (void)state;
    float *x = malloc(N * sizeof *x), ratio = 0.25f;
    uint8_t train = 1;
    for (size_t i = 0; i < N; i++) x[i] = 3;
    node_spec s = { .op = "Dropout",
                    .opset = 13,
                    .n_in = 3,
                    .n_out = 2,
                    .in = { node_value((koe_tensor){ .dtype = KOE_DTYPE_F32, .n_dim = 1, .dim = { N }, .data = x }),
                            node_value((koe_tensor){ .dtype = KOE_DTYPE_F32, .data = &ratio }),
                            node_value((koe_tensor){ .dtype = KOE_DTYPE_BOOL, .data = &train }) } };
    node_result r;
    koe_error err = { 0 };
    if (node_run(&r, &s, NODE_OWNED, NULL, &err) != KOE_OK) fail_msg("%s", err.message);
    const float *y = data(&r);
    const uint8_t *mask = r.out[1]->t.data;
    size_t n_kept = 0;
    for (size_t i = 0; i < N; i++) {
        n_kept += mask[i];
        assert_true(y[i] == (mask[i] ? 4.0f : 0.0f));
    }
    assert_true(n_kept > N / 1000 * 745 && n_kept < N / 1000 * 755);
    node_result_free(&r);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_dropout_keeps_the_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
