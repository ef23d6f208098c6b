/* Copies of elements against their definition, and outputs that share memory with inputs. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "ops/bytes.h"

static uint64_t random_state = 1;

static int64_t random_below(int64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((random_state >> 33) % (uint64_t)n);
}

/* Loops over a dense destination whose source axes are permuted, reversed or repeated. */
static int random_axes(koe_copy_axis *axis, int64_t max_len, int64_t *n_dst, int64_t *first, int64_t *n_src)
{
    int n = (int)random_below(5), order[8];
    *n_dst = *n_src = 1;
    *first = 0;
    for (int i = 0; i < n; i++) {
        order[i] = i;
        int k = (int)random_below(i + 1), swap = order[k];
        order[k] = i;
        order[i] = swap;
        axis[i].n = random_below(4) == 0 ? 1 : random_below(max_len) + 1;
    }
    for (int i = n - 1; i >= 0; i--) {
        axis[i].dst = *n_dst;
        *n_dst *= axis[i].n;
    }
    for (int i = 0; i < n; i++) {
        koe_copy_axis *a = &axis[order[i]];
        int64_t kind = random_below(8);
        a->src = kind == 0 ? 0 : *n_src;
        if (kind == 0) continue;
        if (kind == 1) {
            *first += (a->n - 1) * a->src;
            a->src = -a->src;
        }
        *n_src *= a->n;
    }
    return n;
}

static void strided_once(koe_pool *pool, int64_t max_len)
{
    koe_copy_axis axis[8];
    int64_t n_dst, first, n_src;
    int n = random_axes(axis, max_len, &n_dst, &first, &n_src);
    size_t size = (size_t)1 << random_below(4);
    uint8_t *src = malloc((size_t)n_src * size), *got = malloc((size_t)n_dst * size), *want = malloc((size_t)n_dst * size);
    for (size_t i = 0; i < (size_t)n_src * size; i++) src[i] = (uint8_t)random_below(256);
    for (int64_t i = 0; i < n_dst; i++) {
        int64_t rest = i, from = first;
        for (int k = n - 1; k >= 0; k--) {
            from += rest % axis[k].n * axis[k].src;
            rest /= axis[k].n;
        }
        memcpy(want + (size_t)i * size, src + (size_t)from * size, size);
    }
    koe_copy_strided(pool, got, src + (size_t)first * size, size, axis, n);
    assert_memory_equal(got, want, (size_t)n_dst * size);
    free(src);
    free(got);
    free(want);
}

static void test_strided(void **state)
{
    koe_pool *pool = *state;
    for (int i = 0; i < 2000; i++) strided_once(NULL, 6);
    for (int i = 0; i < 40; i++) strided_once(pool, 40); /* large ones are cut into tasks */
}

static void indexed_once(koe_pool *pool, int64_t max_len)
{
    int n = (int)random_below(4) + 1;
    int64_t dst_dim[8], src_dim[8], n_dst = 1, n_src = 1, *tables[8];
    size_t size = (size_t)1 << random_below(4);
    for (int k = 0; k < n; k++) {
        src_dim[k] = random_below(max_len) + 1;
        dst_dim[k] = random_below(2) ? src_dim[k] : random_below(max_len) + 1;
        tables[k] = NULL;
        n_dst *= dst_dim[k];
        n_src *= src_dim[k];
        if (dst_dim[k] == src_dim[k] && random_below(2)) continue;
        tables[k] = malloc((size_t)dst_dim[k] * sizeof *tables[k]);
        int64_t shift = random_below(2) ? random_below(7) - 3 : INT64_MIN; /* a window, or anything */
        for (int64_t i = 0; i < dst_dim[k]; i++) {
            int64_t at = shift == INT64_MIN ? random_below(src_dim[k] + 1) - 1 : i + shift;
            tables[k][i] = at < src_dim[k] ? at : -1;
        }
    }
    uint8_t *src = malloc((size_t)n_src * size), *got = malloc((size_t)n_dst * size), *want = malloc((size_t)n_dst * size),
            fill[8];
    for (size_t i = 0; i < sizeof fill; i++) fill[i] = (uint8_t)random_below(256);
    for (size_t i = 0; i < (size_t)n_src * size; i++) src[i] = (uint8_t)random_below(256);
    for (int64_t i = 0; i < n_dst; i++) {
        int64_t rest = i, from = 0, step = 1;
        bool filled = false;
        for (int k = n - 1; k >= 0; k--) {
            int64_t at = rest % dst_dim[k];
            if (tables[k]) at = tables[k][at];
            filled |= at < 0;
            from += at * step;
            step *= src_dim[k];
            rest /= dst_dim[k];
        }
        memcpy(want + (size_t)i * size, filled ? fill : src + (size_t)from * size, size);
    }
    koe_copy_indexed(pool, got, dst_dim, src, src_dim, n, (const int64_t *const *)tables, size, fill);
    assert_memory_equal(got, want, (size_t)n_dst * size);
    for (int k = 0; k < n; k++) free(tables[k]);
    free(src);
    free(got);
    free(want);
}

static void test_indexed(void **state)
{
    for (int i = 0; i < 2000; i++) indexed_once(NULL, 7);
    for (int i = 0; i < 40; i++) indexed_once(*state, 50);
}

static void test_keys(void **state)
{
    (void)state;
    const float rising[] = { -INFINITY, -2.5f, -1e-40f, 0, 1e-40f, 1, 3e38f, INFINITY, NAN };
    for (size_t i = 1; i < sizeof rising / sizeof *rising; i++)
        assert_true(koe_elem_key(KOE_DTYPE_F32, &rising[i - 1]) < koe_elem_key(KOE_DTYPE_F32, &rising[i]));
    const float zero = 0, minus = -0.0f, other = -NAN;
    assert_true(koe_elem_key(KOE_DTYPE_F32, &zero) == koe_elem_key(KOE_DTYPE_F32, &minus));
    assert_true(koe_elem_key(KOE_DTYPE_F32, &other) == koe_elem_key(KOE_DTYPE_F32, &rising[8]));
    const int64_t whole[] = { INT64_MIN, -1, 0, INT64_MAX - 1, INT64_MAX };
    for (size_t i = 1; i < sizeof whole / sizeof *whole; i++)
        assert_true(koe_elem_key(KOE_DTYPE_I64, &whole[i - 1]) < koe_elem_key(KOE_DTYPE_I64, &whole[i]));
}

/* ---- shared memory ---- */

/* A chain of nodes over x[2,3] in which later writers could hit what others still read. */
typedef struct link {
    const char *op, *in[3], *out[2];
} link;

static const koe_tensor *run_chain(const link *chain, size_t n, const char *const *want, size_t n_want, koe_session **s,
                                   koe_run **r)
{
    static float x[6] = { 1, 2, 3, 4, 5, 6 }, update[3] = { 7, 8, 9 };
    static int64_t row0[1] = { 0 }, end1[1] = { 1 }, zero = 0;
    const koe_onnx_initializer weights[] = {
        { KOE_STR("rows"), { KOE_DTYPE_I64, 2, { 1, 1 }, row0 } },     { KOE_STR("start"), { KOE_DTYPE_I64, 1, { 1 }, row0 } },
        { KOE_STR("end"), { KOE_DTYPE_I64, 1, { 1 }, end1 } },         { KOE_STR("zero"), { KOE_DTYPE_I64, 0, { 0 }, &zero } },
        { KOE_STR("update"), { KOE_DTYPE_F32, 2, { 1, 3 }, update } },
    };
    koe_onnx_model *m = calloc(1, sizeof *m);
    koe_onnx_node *node = koe_arena_array(&m->arena, n, sizeof *node);
    koe_str *names = koe_arena_array(&m->arena, n * 5, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        node[i] = (koe_onnx_node){ .op_type = koe_str_of(chain[i].op), .in = names, .out = names + 3 };
        for (int k = 0; k < 3 && chain[i].in[k]; k++) names[node[i].n_in++] = koe_str_of(chain[i].in[k]);
        for (int k = 0; k < 2 && chain[i].out[k]; k++) names[3 + node[i].n_out++] = koe_str_of(chain[i].out[k]);
        names += 5;
    }
    koe_onnx_value *values = koe_arena_array(&m->arena, n_want + 1, sizeof *values);
    values[0] = (koe_onnx_value){ .name = KOE_STR("x"), .kind = KOE_ONNX_TENSOR, .n_dim = -1 };
    for (size_t i = 0; i < n_want; i++) values[1 + i] = (koe_onnx_value){ .name = koe_str_of(want[i]), .n_dim = -1 };
    koe_onnx_opset *opset = koe_arena_alloc(&m->arena, sizeof *opset);
    opset->version = 13;
    m->graph = (koe_onnx_graph){ .node = node,
                                 .n_node = n,
                                 .initializer = weights,
                                 .n_initializer = sizeof weights / sizeof *weights,
                                 .in = values,
                                 .n_in = 1,
                                 .out = values + 1,
                                 .n_out = n_want };
    m->opset = opset;
    m->n_opset = 1;
    m->ir_version = 8;
    koe_error err = { 0 };
    const koe_tensor in = { KOE_DTYPE_F32, 2, { 2, 3 }, x };
    if (koe_session_create(s, m, NULL, &err) != KOE_OK || koe_run_create(r, *s, &err) != KOE_OK ||
        koe_run_set_in(*r, 0, &in, &err) != KOE_OK || koe_run_execute(*r, NULL, &err) != KOE_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < 6; i++) assert_true(x[i] == (float)(i + 1)); /* what was fed is never written to */
    return &koe_run_out(*r, 0)->t;
}

static void expect(const koe_tensor *t, const float *want, size_t n)
{
    assert_int_equal(koe_tensor_count(t), n);
    for (size_t i = 0; i < n; i++) assert_true(((const float *)t->data)[i] == want[i]);
}

static void test_sharing(void **state)
{
    (void)state;
    koe_session *s;
    koe_run *r;
    /* A view of the first row, then a scatter into the row's owner: the view keeps what it saw. */
    const link behind_view[] = { { "Concat", { "x", "x" }, { "a" } },
                                 { "Slice", { "a", "start", "end" }, { "view" } },
                                 { "ScatterND", { "a", "rows", "update" }, { "b" } },
                                 { "Identity", { "b" }, { "c" } } };
    expect(run_chain(behind_view, 4, (const char *const[]){ "view", "c" }, 2, &s, &r), (const float[]){ 1, 2, 3 }, 3);
    expect(&koe_run_out(r, 1)->t, (const float[]){ 7, 8, 9, 4, 5, 6, 1, 2, 3, 4, 5, 6 }, 12);
    koe_run_destroy(r);
    koe_session_destroy(s);
    /* A scatter into a view, and into the view's owner afterwards. */
    const link into_view[] = { { "Concat", { "x", "x" }, { "a" } },
                               { "Slice", { "a", "start", "end" }, { "view" } },
                               { "ScatterND", { "view", "rows", "update" }, { "b" } },
                               { "Identity", { "a" }, { "c" } } };
    expect(run_chain(into_view, 4, (const char *const[]){ "b", "c" }, 2, &s, &r), (const float[]){ 7, 8, 9 }, 3);
    expect(&koe_run_out(r, 1)->t, (const float[]){ 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6 }, 12);
    koe_run_destroy(r);
    koe_session_destroy(s);
    /* Items of a sequence share their tensor, and outlive it. */
    const link items[] = { { "Concat", { "x", "x" }, { "a" } },
                           { "SplitToSequence", { "a" }, { "s" } },
                           { "SequenceAt", { "s", "zero" }, { "first" } },
                           { "ScatterND", { "first", "rows", "update" }, { "b" } },
                           { "SequenceAt", { "s", "zero" }, { "again" } } };
    expect(run_chain(items, 5, (const char *const[]){ "b", "again" }, 2, &s, &r), (const float[]){ 7, 8, 9 }, 3);
    expect(&koe_run_out(r, 1)->t, (const float[]){ 1, 2, 3 }, 3);
    koe_run_destroy(r);
    koe_session_destroy(s);
}

static int open_pool(void **state)
{
    koe_pool *pool = NULL;
    if (koe_pool_create(&pool, 3, NULL) != KOE_OK) return -1;
    *state = pool;
    return 0;
}

static int close_pool(void **state)
{
    koe_pool_destroy(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_strided), cmocka_unit_test(test_indexed),
                                        cmocka_unit_test(test_keys), cmocka_unit_test(test_sharing) };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
