/* Written text to words: every line of tests/data/text/normalise_<lang>_*.txt. */
#include "lines.h"

#include <glob.h>

static bool check(koe_str line, koe_buf *got, koe_str *want, const void *lang)
{
    koe_segments s;
    koe_error err = { 0 };
    const koe_text_options opt = { .lang = *(const koe_str *)lang, .alphabet = KOE_ALPHABET_NONE };
    if (koe_text_segments(&s, room, take(&line), &opt, &err) != KOE_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < s.n; i++) {
        if (i) koe_buf_addc(got, ' ');
        koe_buf_add_str(got, s.segment[i].text);
    }
    koe_segments_free(&s);
    *want = line;
    return koe_str_eq(koe_buf_str(got), *want);
}

static void all_lines(void **state)
{
    (void)state;
    glob_t g;
    char *pattern = koe_path_join(getenv("KOE_TEST_DATA"), "text/normalise_*.txt");
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        const char *name = strstr(g.gl_pathv[i], "normalise_") + 10;
        check_lines(g.gl_pathv[i], check, &(koe_str){ name, strcspn(name, "_") });
    }
    globfree(&g);
    free(pattern);
}

/* Options switch rules off; "as written" switches all off. */
static void options(void **state)
{
    (void)state;
    static const struct {
        const char *input, *words;
        unsigned off;
        bool as_written;
    } cases[] = { { "5 km", "five km", KOE_RULES_UNIT, false }, { "me@example.org", "me@example.org", KOE_RULES_EMAIL | KOE_RULES_URL, false },
        { "file(s)", "file(s)", KOE_RULES_PLURAL, false }, { "<b>x</b>", "<b>x</b>", KOE_RULES_MARKUP, false }, { "5 km", "5 km", 0, true },
        { "hi 😀", "hi", KOE_RULES_EMOJI, false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        koe_segments s;
        koe_text_options opt = { .lang = KOE_STR("en"), .alphabet = KOE_ALPHABET_NONE, .rules_off = cases[i].off, .no_normalize = cases[i].as_written };
        assert_int_equal(koe_text_segments(&s, room, koe_str_of(cases[i].input), &opt, NULL), KOE_OK);
        assert_int_equal(s.n, 1);
        if (!koe_str_is(s.segment[0].text, cases[i].words)) fail_msg("%s: got %.*s", cases[i].input, KOE_STR_ARG(s.segment[0].text));
        koe_segments_free(&s);
    }
}

/* A rewritten word knows its rule and stays where the user wrote it. */
static void explained(void **state)
{
    (void)state;
    koe_segments s;
    koe_str in = KOE_STR("We met at 10:30 in town.");
    assert_int_equal(koe_text_segments(&s, room, in, &(koe_text_options){ .lang = KOE_STR("en") }, NULL), KOE_OK);
    assert_int_equal(s.segment[0].n_word, 6);
    assert_true(koe_str_is(koe_str_sub(in, s.segment[0].word[3].text_at, s.segment[0].word[3].text_n), "10:30"));
    assert_string_equal(s.segment[0].word_rule[3], "time");
    assert_null(s.segment[0].word_rule[2]);
    koe_segments_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_lines), cmocka_unit_test(options), cmocka_unit_test(explained) };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
