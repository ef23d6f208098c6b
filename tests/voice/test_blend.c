/* Cases are lines of tests/data/blends.txt: a spelling, two or more spaces, its parts or '!' and a piece of the message. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "voice/blend.h"

static const char *const installed[] = { "af_bella", "af_sky", "af_nicole", "am_adam", "a", "b", "my-voice", "x.5" };
enum { N_INSTALLED = sizeof installed / sizeof *installed };

static void check_case(size_t line, koe_str spelling, koe_str want)
{
    koe_str names[N_INSTALLED];
    for (size_t i = 0; i < N_INSTALLED; i++) names[i] = koe_str_of(installed[i]);
    koe_blend b;
    koe_error err = { 0 };
    koe_buf got = { 0 };
    koe_status st = koe_blend_parse(&b, spelling, names, N_INSTALLED, &err);
    if (want.p[0] == '!') {
        char *piece = koe_str_dup(koe_str_trim(koe_str_sub(want, 1, want.n)));
        if (st == KOE_OK || !strstr(err.message, piece))
            fail_msg("line %zu: message '%s' without '%s'", line, err.message, piece);
        free(piece);
        return;
    }
    for (size_t i = 0; st == KOE_OK && i < b.n; i++)
        koe_buf_printf(&got, "%s%s %g", i ? " " : "", installed[b.part[i].voice], b.part[i].weight);
    if (st != KOE_OK || !koe_str_eq(koe_buf_str(&got), want))
        fail_msg("line %zu: got '%s', want '%.*s' (%s)", line, got.data ? got.data : "", KOE_STR_ARG(want), err.message);
    koe_buf_free(&got);
}

static void test_blends(void **state)
{
    (void)state;
    char path[4096];
    koe_buf file = { 0 };
    snprintf(path, sizeof path, "%s/blends.txt", getenv("KOE_TEST_DATA"));
    assert_int_equal(koe_file_read(&file, path, 1 << 20, NULL), KOE_OK);
    size_t line = 0;
    for (char *p = file.data, *end; *p; p = end + 1) {
        end = strchr(p, '\n');
        *end = 0;
        line++;
        char *gap = *p == '#' ? NULL : strstr(p, "  ");
        if (gap) check_case(line, (koe_str){ p, (size_t)(gap - p) }, koe_str_trim(koe_str_of(gap)));
    }
    assert_true(line > 30);
    koe_buf_free(&file);
}

static void test_limits(void **state)
{
    (void)state;
    koe_str names[40];
    char text[40][4], many[400] = "";
    for (size_t i = 0; i < 40; i++) {
        snprintf(text[i], sizeof text[i], "v%zu", i);
        names[i] = koe_str_of(text[i]);
        if (i) strcat(many, "+");
        strcat(many, text[i]);
    }
    koe_blend b;
    assert_int_equal(koe_blend_parse(&b, koe_str_of(many), names, 40, NULL), KOE_E_LIMIT);
    char *huge = malloc(100000);
    memset(huge, 'a', 100000);
    assert_int_equal(koe_blend_parse(&b, (koe_str){ huge, 100000 }, names, 40, NULL), KOE_E_LIMIT);
    koe_error err = { 0 };
    assert_int_equal(koe_blend_parse(&b, (koe_str){ huge, 1000 }, names, 40, &err), KOE_E_NOT_FOUND);
    assert_int_equal(koe_blend_parse(&b, (koe_str){ 0 }, names, 40, &err), KOE_E_ARGUMENT);
    assert_int_equal(koe_blend_parse(&b, KOE_STR("v1"), names, 0, &err), KOE_E_NOT_FOUND);
    free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_blends), cmocka_unit_test(test_limits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
