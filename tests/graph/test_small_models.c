/* test_small_models.c - whole networks of the Kokoro and Piper kind against ONNX Runtime's outputs (scripts/make-test-models.py),
 * on one instruction set, named by the first argument: values within a tolerance, and the same bits on one thread and on three.
 */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "graph/graph.h"
#include "isa.h"

static const struct model {
    const char *name;
    double tolerance; /* largest difference allowed, relative to the expected output's peak */
    const char *passes; /* to leave out */
    const char *like; /* whose outputs are expected for the same inputs; NULL: its own */
} models[] = {
    { "kokoro-tiny", 5e-3, NULL, NULL }, /* the source's phase runs to thousands of radians, where neighbouring floats are 1e-4 apart */
    { "kokoro-v0-tiny", 5e-3, NULL, NULL },
    { "kokoro-har-tiny", 1e-4, NULL, NULL },
    { "kokoro-har-tiny-fp16", 3e-2, NULL, NULL }, /* ONNX Runtime computes some operators in float32 and keeps what koe rounds to float16 */
    { "kokoro-har-tiny-int8", 3e-2, "-dynamic", NULL }, /* an activation on the edge of a step goes either way */
    { "kokoro-har-tiny-int8", 8e-2, NULL, "kokoro-har-tiny" }, /* fused it is nearer to the float model than ONNX Runtime is: 8.7e-2 */
    { "piper-tiny", 1e-4, NULL, NULL },
    { "piper-multi-tiny", 1e-4, NULL, NULL },
    { "piper-tiny-fp16", 3e-2, NULL, NULL },
    { "piper-tiny-int8", 3e-2, "-dynamic", NULL },
    { "piper-tiny-int8", 3e-2, NULL, NULL },
};

static char *path_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *path_of(const char *format, ...)
{
    static char path[1024];
    const char *data = getenv("KOE_TEST_DATA");
    int n = snprintf(path, sizeof path, "%s/models/", data ? data : "tests/data");
    va_list args;
    va_start(args, format);
    vsnprintf(path + n, sizeof path - (size_t)n, format, args);
    va_end(args);
    return path;
}

static double as_double(const koe_tensor *t, size_t i)
{
    return t->dtype == KOE_DTYPE_F32 ? (double)((const float *)t->data)[i] : (double)((const int64_t *)t->data)[i];
}

static void compare(const koe_tensor *got, const koe_tensor *want, double tolerance, const char *what)
{
    char a[160], b[160];
    koe_tensor_describe(got, a, sizeof a);
    koe_tensor_describe(want, b, sizeof b);
    if (strcmp(a, b) != 0) fail_msg("%s is %s, wanted %s", what, a, b);
    double peak = 0, worst = 0;
    for (size_t i = 0; i < koe_tensor_count(want); i++) {
        double difference = fabs(as_double(got, i) - as_double(want, i));
        peak = fmax(peak, fabs(as_double(want, i)));
        worst = isnan(difference) ? INFINITY : fmax(worst, difference);
    }
    if (got->dtype != KOE_DTYPE_F32) tolerance = 0;
    if (worst > tolerance * peak) fail_msg("%s differs by %g of its peak, %g allowed", what, worst / peak, tolerance);
}

/* The outputs of one case, copied to the arena. */
static void run_case(const struct model *m, int k, int n_threads, koe_arena *arena, koe_tensor *out, size_t *n_out)
{
    koe_error err = { 0 };
    koe_onnx_model *model = NULL;
    koe_pool *pool = NULL;
    koe_session *s = NULL;
    koe_run *r = NULL;
    koe_status st = koe_pool_create(&pool, n_threads, &err);
    if (st == KOE_OK) st = koe_onnx_open(&model, path_of("%s.onnx", m->name), &err);
    if (st == KOE_OK) st = koe_session_create(&s, model, &(koe_session_options){ .pool = pool, .passes = m->passes }, &err);
    if (st == KOE_OK) st = koe_run_create(&r, s, &err);
    for (size_t i = 0; st == KOE_OK && i < koe_session_n_in(s); i++) {
        koe_tensor t;
        st = koe_npy_read(&t, arena, path_of("%s/case_%d/input_%.*s.npy", m->name, k, KOE_STR_ARG(koe_session_in(s, i)->name)),
                          &err);
        if (st == KOE_OK) st = koe_run_set_in(r, i, &t, &err);
    }
    if (st == KOE_OK) st = koe_run_execute(r, &(koe_run_options){ .zero_noise = true }, &err);
    if (st != KOE_OK) fail_msg("%s: %s", m->name, err.message);
    *n_out = koe_session_n_out(s);
    for (size_t i = 0; i < *n_out; i++) {
        const koe_tensor *t = &koe_run_out(r, i)->t;
        koe_tensor want;
        char *path = path_of("%s/case_%d/output_%.*s.npy", m->like ? m->like : m->name, k, KOE_STR_ARG(koe_session_out_name(s, i)));
        if (koe_npy_read(&want, arena, path, &err) != KOE_OK) fail_msg("%s", err.message);
        compare(t, &want, m->tolerance, path);
        out[i] = *t;
        out[i].data = memcpy(koe_arena_alloc(arena, koe_tensor_bytes(t)), t->data, koe_tensor_bytes(t));
    }
    koe_run_destroy(r);
    koe_session_destroy(s);
    koe_pool_destroy(pool);
}

static void runs_like_onnx_runtime(void **state)
{
    const struct model *m = *state;
    int k = 0;
    for (; koe_file_is_dir(path_of("%s/case_%d", m->name, k)); k++) {
        koe_arena arena = { 0 };
        koe_tensor one[4], three[4];
        size_t n_out;
        run_case(m, k, 1, &arena, one, &n_out);
        run_case(m, k, 3, &arena, three, &n_out);
        for (size_t i = 0; i < n_out; i++) assert_memory_equal(one[i].data, three[i].data, koe_tensor_bytes(&one[i]));
        koe_arena_free(&arena);
    }
    assert_true(k > 0);
}

int main(int argc, char **argv)
{
    enum { N = sizeof models / sizeof *models };
    if (!use_isa(argc, argv)) return SKIPPED;
    struct CMUnitTest tests[N];
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){ .name = models[i].name,
                                        .test_func = runs_like_onnx_runtime,
                                        .initial_state = (void *)(uintptr_t)&models[i] };
    return _cmocka_run_group_tests("small models", tests, N, NULL, NULL);
}
