/* The memory limit: where it comes from, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/process.h"

static void test_limit(void **state)
{
    (void)state;
    unsetenv("KOE_MEMORY_LIMIT");
    const size_t machine = koe_process_limit(); /* the cgroup's, if any */
    setenv("KOE_MEMORY_LIMIT", "300", 1);
    assert_int_equal(koe_process_limit(), (size_t)300 << 20);
    koe_process_limit_set(5000);
    assert_int_equal(koe_process_limit(), 5000);
    koe_process_limit_set(0);
    assert_int_equal(koe_process_limit(), (size_t)300 << 20);
    static const char *const wrong[] = { "", "0", "x", "12x", "99999999999999999999" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("KOE_MEMORY_LIMIT", wrong[i], 1);
        assert_int_equal(koe_process_limit(), machine);
    }
}

static void test_resident(void **state)
{
    (void)state;
    enum { MORE = 32 << 20, PAGE = 4096 };
    const size_t before = koe_process_bytes();
    volatile char *p = malloc(MORE);
    assert_non_null(p);
    for (size_t i = 0; i < MORE; i += PAGE) p[i] = 1;
    assert_true(before > 0 && koe_process_bytes() > before + MORE / 2);
    free((void *)(uintptr_t)p);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_limit), cmocka_unit_test(test_resident) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
