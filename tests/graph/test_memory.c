/* What a run holds in memory: gaps between its tensors give their pages back, packed weights that were read give theirs, and both come
 * back with their content. */
#include "text_model.h"

#include <sys/resource.h>
#include <unistd.h>

#include "base/process.h"
#include "graph/memory.h"
#include "graph/weights.h"

enum { MB = 1 << 20 };

static struct koe_buffer *take(koe_memory *m, size_t n, int fill)
{
    struct koe_buffer *b;
    koe_error err = { 0 };
    if (koe_memory_alloc(m, n, &b, &err) != KOE_OK) fail_msg("%s", err.message);
    memset(b->p, fill, n);
    return b;
}

static bool holds(const struct koe_buffer *b, int fill)
{
    for (size_t i = 0; i < b->n_bytes; i++)
        if (((const unsigned char *)b->p)[i] != fill) return false;
    return true;
}

/* Blocks with gaps between them, then one that fits into no gap. Pages come and go by 2 MB: at each end of a gap up to so much may stay. */
static void test_gaps(void **state)
{
    enum { N = 8 };
    struct koe_buffer *b[N];
    koe_memory *m;
    (void)state;
    assert_int_equal(koe_memory_create(&m, NULL), KOE_OK);
    for (int i = 0; i < N; i++) b[i] = take(m, 12 * MB + 100, i);
    for (int i = 0; i < N; i += 2) koe_buffer_unref(b[i]);
    struct koe_buffer *large = take(m, 40 * MB, 77);
    const size_t peak = koe_memory_peak(m), resident = koe_memory_resident(m);
    if (resident > peak + 12 * MB) fail_msg("%zu bytes resident, %zu in use at most", resident, peak);
    for (int i = 1; i < N; i += 2) assert_true(holds(b[i], i));
    for (int i = 0; i < N; i += 2) b[i] = take(m, 12 * MB, i + 20); /* the gaps again */
    for (int i = 0; i < N; i++) assert_true(holds(b[i], i % 2 ? i : i + 20));
    assert_true(holds(large, 77));
    for (int i = 0; i < N; i++) koe_buffer_unref(b[i]);
    koe_memory_trim(m, 0);
    if (koe_memory_resident(m) > 44 * MB) fail_msg("%zu bytes resident after a trim", koe_memory_resident(m));
    assert_true(holds(large, 77));
    koe_buffer_unref(large);
    koe_memory_destroy(m);
}

static void test_limit(void **state)
{
    koe_memory *m;
    koe_error err = { 0 };
    struct koe_buffer *b;
    (void)state;
    assert_int_equal(koe_memory_create(&m, NULL), KOE_OK);
    koe_memory_set_limit(m, 2 * MB);
    struct koe_buffer *first = take(m, MB, 1);
    assert_int_equal(koe_memory_alloc(m, MB + 1, &b, &err), KOE_E_LIMIT);
    assert_non_null(strstr(err.message, "memory limit of 2 MB"));
    koe_buffer_unref(first);
    koe_buffer_unref(take(m, 2 * MB, 2));
    koe_memory_destroy(m);
}

/* Page faults when these bytes are read. */
static long pages_mapped(const unsigned char *p, size_t n)
{
    struct rusage before, after;
    volatile unsigned char sum = 0;
    getrusage(RUSAGE_THREAD, &before);
    for (size_t i = 0; i < n; i += 512) sum = (unsigned char)(sum + p[i]);
    getrusage(RUSAGE_THREAD, &after);
    return after.ru_minflt - before.ru_minflt;
}

static void test_weights_come_back(void **state)
{
    enum { N = 3, SIZE = 100 * 1000 };
    char path[] = "/tmp/koe-weights-XXXXXX";
    const unsigned char key[32] = { 1, 2, 3 };
    koe_error err = { 0 };
    koe_weights *w;
    void *p[N];
    bool ready;
    (void)state;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(koe_weights_create(&w, NULL), KOE_OK);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(koe_weights_get(w, i, 0, SIZE, &p[i], &ready, NULL), KOE_OK);
        memset(p[i], (int)i + 1, SIZE);
    }
    koe_weights_passed(w, 0, 0); /* nothing is mapped: nothing happens */
    if (koe_weights_save(w, path, key, &err) != KOE_OK) fail_msg("%s", err.message);
    for (unsigned i = 0; i < N; i++) { /* they come from the file now, at the same place */
        koe_weights_passed(w, i, 0);
        for (size_t k = 0; k < SIZE; k++) assert_int_equal(((const unsigned char *)p[i])[k], i + 1);
    }
    koe_weights_destroy(w);
    assert_int_equal(koe_weights_create(&w, NULL), KOE_OK);
    assert_true(koe_weights_map(w, path, key));
    for (size_t most = 0; most <= 3 * SIZE; most += SIZE / 2)
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(koe_weights_get(w, i, 0, SIZE, &p[i], &ready, NULL), KOE_OK);
            assert_true(ready);
            for (size_t k = 0; k < SIZE; k++) assert_int_equal(((const unsigned char *)p[i])[k], i + 1);
            koe_weights_passed(w, i, most);
        }
    koe_weights_passed(w, 0, 0);
    for (unsigned i = 0; i < N; i++) assert_int_equal(((const unsigned char *)p[i])[SIZE - 1], i + 1);
    /* With room for one, an earlier part takes the place of a later one, and stays when that passes again. */
    for (unsigned i = N; i-- > 0;) koe_weights_passed(w, i, SIZE);
    (void)pages_mapped(p[0], SIZE);
    koe_weights_passed(w, 0, SIZE);
    koe_weights_passed(w, N - 1, SIZE);
    assert_int_equal(koe_weights_kept(w), SIZE);
    koe_weights_trim(w, SIZE); /* no more than that is kept: nothing happens */
    assert_int_equal(koe_weights_kept(w), SIZE);
    const long stayed = pages_mapped(p[0], SIZE); /* 0, but an emulator may have faults of its own */
    assert_true(stayed < pages_mapped(p[N - 1], SIZE));
    koe_weights_trim(w, SIZE - 1);
    assert_int_equal(koe_weights_kept(w), 0);
    assert_int_equal(((const unsigned char *)p[0])[SIZE - 1], 1);
    koe_weights_destroy(w);
    unlink(path);
}

/* A run under limits of the whole process: one that no program fits, one too low for this model's 64 MB, one that is enough. */
static void test_process_limit(void **state)
{
    static const char model[] = "in x 1 ?\nout y\nints to 4096 4096\nExpand x to -> y\n";
    static const struct {
        size_t more_mb; /* than the process has */
        const char *message; /* NULL: it runs */
    } cases[] = { { 0, "is too low" }, { 24, "the memory limit" }, { 200, NULL } };
    float one = 1;
    const koe_tensor x = { KOE_DTYPE_F32, 2, { 1, 1 }, &one };
    koe_session *s = NULL;
    koe_run *r = NULL;
    (void)state;
    assert_int_equal(koe_session_create(&s, text_model(model), NULL, NULL), KOE_OK);
    assert_int_equal(koe_run_create(&r, s, NULL), KOE_OK);
    assert_int_equal(koe_run_set_in(r, 0, &x, NULL), KOE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        koe_error err = { 0 };
        koe_process_limit_set(koe_process_bytes() + (cases[i].more_mb << 20) + 1);
        const koe_status st = koe_run_execute(r, NULL, &err);
        assert_int_equal(st, cases[i].message ? KOE_E_LIMIT : KOE_OK);
        if (cases[i].message && !strstr(err.message, cases[i].message)) fail_msg("%s", err.message);
    }
    koe_process_limit_set(0);
    koe_run_destroy(r);
    koe_session_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_process_limit), cmocka_unit_test(test_gaps), cmocka_unit_test(test_limit), cmocka_unit_test(test_weights_come_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
