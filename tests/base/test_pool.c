/* test_pool.c - every task of a loop runs once, whatever the number of threads and of loops in flight. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/pool.h"

enum { MOST = 300, ROUNDS = 50, CALLERS = 3 };

typedef struct marks {
    _Atomic int n[MOST];
} marks;

static void mark(void *arg, size_t task) { atomic_fetch_add(&((marks *)arg)->n[task], 1); }

static bool all_once(koe_pool *pool, size_t n_tasks)
{
    marks m;
    for (size_t i = 0; i < MOST; i++) atomic_init(&m.n[i], 0);
    koe_pool_for(pool, n_tasks, mark, &m);
    for (size_t i = 0; i < MOST; i++)
        if (atomic_load(&m.n[i]) != (i < n_tasks)) return false;
    return true;
}

static void every_task_runs_once(void **state)
{
    static const size_t n_tasks[] = { 0, 1, 2, 3, 7, 64, 65, 66, MOST };
    (void)state;
    for (int threads = 1; threads <= 70; threads += threads < 5 ? 1 : 13) { /* more than there are processors, and than shares */
        koe_error err = { 0 };
        koe_pool *pool;
        if (koe_pool_create(&pool, threads, &err) != KOE_OK) fail_msg("%s", err.message);
        for (size_t i = 0; i < sizeof n_tasks / sizeof *n_tasks; i++)
            if (!all_once(pool, n_tasks[i])) fail_msg("%zu tasks on %d threads", n_tasks[i], threads);
        koe_pool_destroy(pool);
    }
}

static void *caller(void *pool)
{
    uintptr_t bad = 0;
    for (size_t i = 0; i < ROUNDS; i++) bad += !all_once(pool, 1 + i % MOST);
    return (void *)bad;
}

static void loops_side_by_side(void **state)
{
    (void)state;
    koe_error err = { 0 };
    koe_pool *pool;
    pthread_t thread[CALLERS];
    if (koe_pool_create(&pool, 2, &err) != KOE_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&thread[i], NULL, caller, pool), 0);
    for (size_t i = 0; i < CALLERS; i++) {
        void *bad;
        pthread_join(thread[i], &bad);
        assert_null(bad);
    }
    koe_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_task_runs_once), cmocka_unit_test(loops_side_by_side) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
