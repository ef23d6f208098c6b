/* Written text to words: every line of tests/data/text/normalise_<lang>_*.txt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "text/text.h"

static koe_text *room;

static int open_room(void **state)
{
    (void)state;
    return koe_text_open(&room, &(koe_text_setup){ 0 }, NULL) != KOE_OK;
}
static int close_room(void **state)
{
    (void)state;
    koe_text_close(room);
    return 0;
}

static size_t check_line(const char *path, koe_str line, koe_str lang)
{
    const char *tab = memchr(line.p, '\t', line.n);
    if (!tab || line.p[0] == '#') {
        if (line.n && line.p[0] != '#') fail_msg("%s: no tab in \"%.*s\"", path, KOE_STR_ARG(line));
        if (!tab) return 0;
    }
    koe_str input = { line.p, (size_t)(tab - line.p) }, want = { tab + 1, line.n - input.n - 1 };
    koe_segments s;
    koe_error err = { 0 };
    koe_buf got = { 0 };
    koe_text_options opt = { .lang = lang, .alphabet = KOE_ALPHABET_NONE };
    if (koe_text_segments(&s, room, input, &opt, &err) != KOE_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < s.n; i++) {
        if (i) koe_buf_addc(&got, ' ');
        koe_buf_add_str(&got, s.segment[i].text);
    }
    bool same = koe_str_eq(koe_buf_str(&got), want);
    if (!same) print_error("%s\n  input %.*s\n  want  %.*s\n  got   %s\n", path, KOE_STR_ARG(input), KOE_STR_ARG(want), got.data ? got.data : "");
    koe_buf_free(&got);
    koe_segments_free(&s);
    return !same;
}

static size_t check_file(const char *path)
{
    koe_buf text = { 0 };
    assert_int_equal(koe_file_read(&text, path, 1 << 20, NULL), KOE_OK);
    const char *name = strstr(path, "normalise_") + 10;
    koe_str lang = { name, strcspn(name, "_") };
    size_t n_wrong = 0;
    for (size_t at = 0; at < text.n;) {
        size_t n = strcspn(text.data + at, "\n");
        if (n) n_wrong += check_line(path, (koe_str){ text.data + at, n }, lang);
        at += n + 1;
    }
    koe_buf_free(&text);
    return n_wrong;
}

static void all_lines(void **state)
{
    (void)state;
    glob_t g;
    char *pattern = koe_path_join(getenv("KOE_TEST_DATA"), "text/normalise_*.txt");
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    size_t n_wrong = 0;
    for (size_t i = 0; i < g.gl_pathc; i++) n_wrong += check_file(g.gl_pathv[i]);
    assert_int_equal(n_wrong, 0);
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
