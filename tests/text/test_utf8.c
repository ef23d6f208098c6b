#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "text/text.h"
#include "text/utf8.h"

static void check_offsets(void **state)
{
    (void)state;
    const struct {
        koe_str s;
        long bad; /* -1: valid */
    } cases[] = { { KOE_STR("plain"), -1 }, { KOE_STR("h\xc3\xa9llo \xe6\xbc\xa2 \xf0\x9f\x98\x80"), -1 }, { KOE_STR(""), -1 },
        { KOE_STR("ab\xff"), 2 }, { KOE_STR("ab\xc3"), 2 }, { KOE_STR("\xc0\xaf"), 0 }, { KOE_STR("a\xe0\x80\xaf"), 1 },
        { KOE_STR("a\xed\xa0\x80"), 1 }, { KOE_STR("\xf4\x90\x80\x80"), 0 }, { KOE_STR("xyz\xf8\x88\x80\x80\x80"), 3 }, { KOE_STR("\xe6\xbc"), 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bad = 99;
        bool ok = koe_utf8_check(cases[i].s, &bad);
        assert_int_equal(ok, cases[i].bad < 0);
        if (!ok) assert_int_equal(bad, cases[i].bad);
    }
}

static void walks(void **state)
{
    (void)state;
    koe_str s = KOE_STR("a\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80");
    const uint32_t want[] = { 'a', 0xe9, 0x6f22, 0x1f600 };
    size_t at = 0;
    for (size_t i = 0; i < 4; i++) assert_int_equal(koe_utf8_next(s, &at), want[i]);
    assert_int_equal(koe_utf8_next(s, &at), 0);
    for (size_t i = 4; i-- > 0;) assert_int_equal(koe_utf8_prev(s, &at), want[i]);
    assert_int_equal(koe_utf8_count(s), 4);
    assert_int_equal(koe_utf8_offset(s, 2), 3);
    koe_buf out = { 0 };
    for (size_t i = 0; i < 4; i++) koe_utf8_put(&out, want[i]);
    assert_true(koe_str_eq(koe_buf_str(&out), s));
    koe_buf_free(&out);
}

static void languages(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = { { "en-us", "en-us" }, { "EN_US", "en-us" }, { "en", "en-us" }, { "a", "en-us" }, { "b", "en-gb" }, { "British", "en-gb" },
        { "fr-FR", "fr" }, { "de-AT", "de" }, { "zh-Hant-TW", "zh" }, { "z", "zh" }, { "pt", "pt-br" }, { "pt-PT", "pt-pt" }, { "uk", "uk" },
        { "es-MX", "es-419" }, { "xx", "" }, { "", "" }, { "english", "en-us" }, { "ja-JP", "ja" }, { "|en|", "" }, { "en-", "en-us" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        koe_str got = koe_lang_canonical(koe_str_of(cases[i].in));
        if (!koe_str_is(got, cases[i].out)) fail_msg("%s: got %.*s, want %s", cases[i].in, KOE_STR_ARG(got), cases[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(check_offsets), cmocka_unit_test(walks), cmocka_unit_test(languages) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
