/* The broadcasting loop and the reductions against naive ones, over many shapes, and their independence of the number of threads.
 */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
// clang-format off
#include <cmocka.h>
// clang-format on
#include "node.h"

static uint32_t seed = 1;
static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 10) % n;
}

/* Element of a dense tensor for an index of the result; dimensions of 1 repeat. */
static size_t naive_offset(const koe_tensor *t, int n_dim, const int64_t *index)
{
    size_t offset = 0;
    for (int d = 0; d < t->n_dim; d++) {
        int64_t i = index[n_dim - t->n_dim + d];
        offset = offset * (size_t)t->dim[d] + (size_t)(t->dim[d] == 1 ? 0 : i);
    }
    return offset;
}

static void unravel(int64_t *index, size_t i, int n_dim, const int64_t *dim)
{
    for (int d = n_dim - 1; d >= 0; d--) {
        index[d] = (int64_t)(i % (size_t)dim[d]);
        i /= (size_t)dim[d];
    }
}

static koe_tensor random_tensor(int n_dim, const int64_t *dim)
{
    koe_tensor t = { .dtype = KOE_DTYPE_F32, .n_dim = n_dim };
    memcpy(t.dim, dim, sizeof *dim * (size_t)n_dim);
    size_t n = koe_tensor_count(&t);
    float *x = malloc(n * sizeof *x + 1);
    for (size_t i = 0; i < n; i++) x[i] = (float)draw(2001) / 100 - 10;
    t.data = x;
    return t;
}

/* A shape that broadcasts to dim: leading dimensions dropped, others made 1. */
static int subshape(int64_t *out, int n_dim, const int64_t *dim)
{
    int drop = (int)draw((uint32_t)n_dim + 1) / 2, n = 0;
    for (int d = drop; d < n_dim; d++) out[n++] = draw(3) == 0 ? 1 : dim[d];
    return n;
}

static void check_sub(koe_pool *pool, int n_dim, const int64_t *dim)
{
    int64_t shape[2][KOE_MAX_DIM];
    node_spec s = { .op = "Sub", .opset = 14, .n_in = 2, .n_out = 1 };
    for (int k = 0; k < 2; k++) {
        int n = subshape(shape[k], n_dim, dim);
        s.in[k] = node_value(random_tensor(n, shape[k]));
    }
    for (node_feed feed = NODE_BORROWED; feed < NODE_FEEDS; feed++) {
        node_result r;
        koe_error err = { 0 };
        if (node_run(&r, &s, feed, pool, &err) != KOE_OK) fail_msg("%s", err.message);
        const koe_tensor *y = &r.out[0]->t;
        for (size_t i = 0; i < koe_tensor_count(y); i++) {
            int64_t index[KOE_MAX_DIM];
            unravel(index, i, y->n_dim, y->dim);
            float a = ((float *)s.in[0].t.data)[naive_offset(&s.in[0].t, y->n_dim, index)];
            float b = ((float *)s.in[1].t.data)[naive_offset(&s.in[1].t, y->n_dim, index)];
            if (((float *)y->data)[i] != a - b)
                fail_msg("element %zu: %g, not %g - %g", i, (double)((float *)y->data)[i], (double)a, (double)b);
        }
        node_result_free(&r);
    }
    for (int k = 0; k < 2; k++) free(s.in[k].t.data);
}

static void test_sub_of_many_shapes(void **state)
{
    static const uint32_t largest[] = { 1, 40000, 300, 30, 12, 6, 4 };
    (void)state;
    koe_pool *pool;
    assert_int_equal(koe_pool_create(&pool, 3, NULL), KOE_OK);
    for (int round = 0; round < 200; round++) {
        int64_t dim[KOE_MAX_DIM];
        int n_dim = (int)draw(7);
        for (int d = 0; d < n_dim; d++) dim[d] = draw(20) == 0 ? 0 : 1 + (int64_t)draw(largest[n_dim]);
        check_sub(pool, n_dim, dim);
    }
    koe_pool_destroy(pool);
}

static void check_sum(const koe_tensor *x, const bool *reduced, const koe_tensor *y)
{
    size_t n_out = koe_tensor_count(y);
    double *sum = calloc(n_out + 1, sizeof *sum);
    for (size_t i = 0; i < koe_tensor_count(x); i++) {
        int64_t index[KOE_MAX_DIM];
        unravel(index, i, x->n_dim, x->dim);
        for (int d = 0; d < x->n_dim; d++)
            if (reduced[d]) index[d] = 0;
        sum[naive_offset(y, y->n_dim, index)] += (double)((float *)x->data)[i];
    }
    for (size_t i = 0; i < n_out; i++) {
        double got = (double)((float *)y->data)[i];
        if (fabs(got - sum[i]) > 1e-4 + 1e-6 * fabs(sum[i])) fail_msg("sum %zu: %.9g, not %.9g", i, got, sum[i]);
    }
    free(sum);
}

static void test_sums_of_many_shapes(void **state)
{
    static const uint32_t largest[] = { 1, 40000, 300, 30, 12, 6, 4 };
    (void)state;
    for (int round = 0; round < 200; round++) {
        int64_t dim[KOE_MAX_DIM], axes[KOE_MAX_DIM];
        bool reduced[KOE_MAX_DIM] = { false };
        int n_dim = 1 + (int)draw(6), n_axes = 0;
        for (int d = 0; d < n_dim; d++) {
            dim[d] = draw(20) == 0 ? 0 : 1 + (int64_t)draw(largest[n_dim]);
            reduced[d] = draw(2);
            if (reduced[d]) axes[n_axes++] = draw(2) ? d : d - n_dim;
        }
        koe_tensor list = { .dtype = KOE_DTYPE_I64, .n_dim = 1, .dim = { n_axes }, .data = axes };
        node_spec s = { .op = "ReduceSum",
                        .opset = 13,
                        .n_in = 2,
                        .n_out = 1,
                        .in = { node_value(random_tensor(n_dim, dim)), node_value(list) } };
        node_int(&s, "noop_with_empty_axes", 1);
        node_result r;
        koe_error err = { 0 };
        if (node_run(&r, &s, NODE_BORROWED, NULL, &err) != KOE_OK) fail_msg("%s", err.message);
        check_sum(&s.in[0].t, reduced, &r.out[0]->t);
        node_result_free(&r);
        free(s.in[0].t.data);
    }
}

/* The same bits on one thread and on four. */
static void test_threads_do_not_matter(void **state)
{
    static const struct {
        const char *op;
        int opset;
        size_t n_in;
        int64_t dim[3], param;
    } cases[] = { { "Sin", 17, 1, { 1, 7, 30011 }, 0 },
                  { "Add", 17, 2, { 3, 70, 1031 }, 1031 },
                  { "Softmax", 17, 1, { 40, 7, 1031 }, 0 },
                  { "InstanceNormalization", 17, 3, { 2, 48, 1031 }, 48 },
                  { "LayerNormalization", 17, 2, { 9, 11, 1031 }, 1031 },
                  { "ReduceMean", 17, 1, { 9, 1100, 31 }, 0 },
                  { "ReduceL2", 17, 1, { 700, 3, 50 }, 0 },
                  { "Where", 17, 0, { 0 }, 0 } };
    (void)state;
    koe_pool *pool;
    assert_int_equal(koe_pool_create(&pool, 4, NULL), KOE_OK);
    for (size_t i = 0; cases[i].n_in; i++) {
        node_spec s = {
            .op = cases[i].op,
            .opset = cases[i].opset,
            .n_in = cases[i].n_in,
            .n_out = 1,
        };
        s.in[0] = node_value(random_tensor(3, cases[i].dim));
        s.in[1] = node_value(random_tensor(1, &cases[i].param));
        s.in[2] = node_value(random_tensor(1, &cases[i].param));
        const int64_t axis = i % 2;
        if (strncmp(s.op, "Reduce", 6) == 0) node_ints(&s, "axes", &axis, 1);
        node_result one, four;
        koe_error err = { 0 };
        if (node_run(&one, &s, NODE_BORROWED, NULL, &err) != KOE_OK) fail_msg("%s", err.message);
        if (node_run(&four, &s, NODE_OWNED, pool, &err) != KOE_OK) fail_msg("%s", err.message);
        assert_memory_equal(one.out[0]->t.data, four.out[0]->t.data, koe_tensor_bytes(&one.out[0]->t));
        node_result_free(&one);
        node_result_free(&four);
        for (int k = 0; k < 3; k++) free(s.in[k].t.data);
    }
    koe_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sub_of_many_shapes),
        cmocka_unit_test(test_sums_of_many_shapes),
        cmocka_unit_test(test_threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
