/* Every pass on a small model of its pattern: it finds it as often as it should, and the results are the same with and without it, on one
 * thread and on two. One instruction set, named by the first argument. */
#include "compare.h"
#include "text_model.h"

#include <math.h>

#include "base/pool.h"
#include "isa.h"

typedef struct pattern {
    const char *pass;
    int n; /* what the pass must count */
    const char *what;
    const char *model;
} pattern;

static const pattern patterns[] = {
#include "pass_patterns.h"
};

enum { MAX_OUT = 4 };

typedef struct result {
    koe_arena arena;
    koe_tensor out[MAX_OUT];
    size_t n_out;
    int count;
} result;

/* Unknown dimensions are 11. */
static void run_pattern(const pattern *p, const char *passes, int n_threads, result *res)
{
    koe_error err = { 0 };
    koe_pool *pool = NULL;
    koe_session *s = NULL;
    koe_run *r = NULL;
    koe_status st = koe_pool_create(&pool, n_threads, &err);
    const koe_session_options opt = { .pool = pool, .passes = passes };
    if (st == KOE_OK) st = koe_session_create(&s, text_model(p->model), &opt, &err);
    if (st == KOE_OK) st = koe_run_create(&r, s, &err);
    *res = (result){ 0 };
    for (size_t i = 0; st == KOE_OK && i < koe_session_n_in(s); i++) {
        const koe_onnx_value *v = koe_session_in(s, i);
        koe_tensor t = { .dtype = v->dtype, .n_dim = v->n_dim };
        for (int d = 0; d < v->n_dim; d++) t.dim[d] = v->dim[d] < 0 ? 11 : v->dim[d];
        t.data = koe_arena_array(&res->arena, koe_tensor_count(&t), sizeof(float));
        text_random(t.data, koe_tensor_count(&t), (uint32_t)koe_str_hash(v->name));
        for (size_t k = 0; k < koe_tensor_count(&t); k++) ((float *)t.data)[k] *= 4;
        st = koe_run_set_in(r, i, &t, &err);
    }
    for (int again = 0; again < 2 && st == KOE_OK; again++) st = koe_run_execute(r, NULL, &err); /* the second in used memory */
    if (st != KOE_OK) fail_msg("%s: %s", p->what, err.message);
    res->count = pass_count(s, p->pass);
    for (; res->n_out < koe_session_n_out(s); res->n_out++) {
        const koe_tensor *t = &koe_run_out(r, res->n_out)->t;
        res->out[res->n_out] = *t;
        res->out[res->n_out].data = memcpy(koe_arena_alloc(&res->arena, koe_tensor_bytes(t) + 1), t->data, koe_tensor_bytes(t));
    }
    koe_run_destroy(r);
    koe_session_destroy(s);
    koe_pool_destroy(pool);
}

static void compare(const pattern *p, const koe_tensor *got, const koe_tensor *want)
{
    char a[160], b[160];
    koe_tensor_describe(got, a, sizeof a);
    koe_tensor_describe(want, b, sizeof b);
    if (strcmp(a, b) != 0) fail_msg("%s: %s with the pass, %s without", p->what, a, b);
    double peak = 0, worst = 0;
    if (want->dtype != KOE_DTYPE_F32) {
        assert_memory_equal(got->data, want->data, koe_tensor_bytes(want));
        return;
    }
    for (size_t i = 0; i < koe_tensor_count(want); i++) {
        const double x = (double)((const float *)got->data)[i], y = (double)((const float *)want->data)[i];
        peak = fmax(peak, fabs(y));
        worst = isnan(x - y) ? INFINITY : fmax(worst, fabs(x - y));
    }
    /* Where pieces of time begin decides how Toom-Cook rounds: up to 2e-6 of the RMS for 7 taps, in each of two convolutions. */
    if (worst > 4e-6 * peak) fail_msg("%s: differs by %g of the peak %g", p->what, worst / peak, peak);
}

static void agrees(void **state)
{
    const pattern *p = *state;
    char off[64];
    snprintf(off, sizeof off, "-%s", p->pass);
    result with, threads, without;
    run_pattern(p, NULL, 1, &with);
    run_pattern(p, NULL, 2, &threads);
    run_pattern(p, off, 1, &without);
    assert_int_equal(without.count, -1);
    if (with.count != p->n) fail_msg("%s: %d found, %d expected", p->what, with.count, p->n);
    for (size_t i = 0; i < with.n_out; i++) {
        compare(p, &with.out[i], &without.out[i]);
        assert_memory_equal(with.out[i].data, threads.out[i].data, koe_tensor_bytes(&with.out[i]));
    }
    koe_arena_free(&with.arena);
    koe_arena_free(&threads.arena);
    koe_arena_free(&without.arena);
}

int main(int argc, char **argv)
{
    enum { N = sizeof patterns / sizeof *patterns };
    if (!use_isa(argc, argv)) return SKIPPED;
    struct CMUnitTest tests[N];
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){ .name = patterns[i].what, .test_func = agrees, .initial_state = (void *)(uintptr_t)&patterns[i] };
    return _cmocka_run_group_tests("passes", tests, N, NULL, NULL);
}
