/* What the process may use: the names of instruction sets, and processors by affinity. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/pool.h"

static void test_affinity(void **state)
{
    (void)state;
    cpu_set_t all, one;
    koe_pool *pool;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_true(koe_cpu_count() >= 1 && koe_cpu_count() <= CPU_COUNT(&all));
    size_t first = 0;
    while (!CPU_ISSET(first, &all)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(koe_cpu_count(), 1);
    assert_int_equal(koe_pool_create(&pool, 0, NULL), KOE_OK);
    assert_int_equal(koe_pool_threads(pool), 1);
    koe_pool_destroy(pool);
    sched_setaffinity(0, sizeof all, &all);
}

static void test_levels(void **state)
{
    (void)state;
    koe_error err = { 0 };
    size_t n = 0;
    for (; koe_cpu_level(n); n++) {
        const koe_status st = koe_cpu_restrict(koe_cpu_level(n), &err);
        assert_true(st == KOE_OK || st == KOE_E_UNSUPPORTED);
        if (st == KOE_OK) assert_string_equal(koe_cpu_name(), koe_cpu_level(n));
    }
    assert_string_equal(koe_cpu_level(n - 1), "ref");
    assert_int_equal(koe_cpu_features(), 0); /* the last one's */
    assert_int_equal(koe_cpu_restrict("sse9", &err), KOE_E_ARGUMENT);
    assert_non_null(strstr(err.message, "ref"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_affinity), cmocka_unit_test(test_levels) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
