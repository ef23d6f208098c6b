/* The espeak-ng helper: answers, memory, death and resurrection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "text/espeak.h"

static int open_espeak(void **state)
{
    return koe_espeak_open((koe_espeak **)state, NULL, NULL) != KOE_OK;
}
static int close_espeak(void **state)
{
    koe_espeak_close(*state);
    return 0;
}

static void expect(koe_espeak *e, const char *voice, const char *text, bool tie, const char *ipa)
{
    koe_buf out = { 0 };
    koe_error err = { 0 };
    if (koe_espeak_phonemes(e, &out, koe_str_of(voice), koe_str_of(text), tie, &err) != KOE_OK) fail_msg("%s", err.message);
    assert_string_equal(out.data ? out.data : "", ipa);
    koe_buf_free(&out);
}

static void phonemes(void **state)
{
    expect(*state, "en-us", "hello", true, "həlˈo^ʊ");
    expect(*state, "en-us", "hello", true, "həlˈo^ʊ");
    expect(*state, "en-us", "hello", false, "həlˈoʊ");
    expect(*state, "de", "Straße", false, "ʃtɾˈɑːsə");
    koe_buf out = { 0 };
    koe_error err = { 0 };
    assert_int_equal(koe_espeak_phonemes(*state, &out, KOE_STR("zz-nowhere"), KOE_STR("x"), true, &err), KOE_E_NOT_FOUND);
    assert_int_equal(out.n, 0);
    koe_buf_free(&out);
    char *big = calloc(1, 100 * 1024);
    assert_int_equal(koe_espeak_phonemes(*state, &out, KOE_STR("en"), (koe_str){ big, 100 * 1024 }, true, &err), KOE_E_LIMIT);
    free(big);
}

static void speech(void **state)
{
    koe_buf samples = { 0 }, words = { 0 };
    koe_error err = { 0 };
    int rate = 0;
    koe_str text = KOE_STR("Größe hello world.");
    assert_int_equal(koe_espeak_speak(*state, &samples, &words, &rate, KOE_STR("en-us"), text, 1.0, 0, &err), KOE_OK);
    assert_true(rate >= 8000 && samples.n > (size_t)rate);
    assert_int_equal(words.n / sizeof(koe_espeak_word), 3);
    const koe_espeak_word *w = (const koe_espeak_word *)(void *)words.data;
    assert_true(koe_str_is(koe_str_sub(text, w[1].text_at, w[1].text_n), "hello"));
    assert_true(koe_str_is(koe_str_sub(text, w[2].text_at, w[2].text_n), "world"));
    assert_true(w[1].sample < w[2].sample && w[2].sample < samples.n / 2);
    size_t slow = samples.n;
    samples.n = words.n = 0;
    assert_int_equal(koe_espeak_speak(*state, &samples, &words, &rate, KOE_STR("en-us"), text, 2.0, 0, &err), KOE_OK);
    assert_true(samples.n < slow * 3 / 4);
    koe_buf_free(&samples);
    koe_buf_free(&words);
}

/* What was said before, and in which voice, changes nothing. */
static void speech_again(void **state)
{
    static const char *const voices[] = { "en-us", "fr", "en-us", "de" };
    koe_buf first = { 0 }, samples = { 0 }, words = { 0 }, ipa = { 0 };
    koe_error err = { 0 };
    int rate = 0;
    for (int i = 0; i < 9; i++) {
        koe_str voice = koe_str_of(voices[i % 4]), text = i % 4 ? KOE_STR("Other words in between, some 1984 of them.") : KOE_STR("Number 18 is in the making.");
        samples.n = words.n = 0;
        assert_int_equal(koe_espeak_speak(*state, &samples, &words, &rate, voice, text, 1 + i % 3, 0, &err), KOE_OK);
        assert_int_equal(koe_espeak_phonemes(*state, &ipa, voice, text, false, &err), KOE_OK);
        if (i == 0) koe_buf_add(&first, samples.data, samples.n);
    }
    samples.n = words.n = 0;
    assert_int_equal(koe_espeak_speak(*state, &samples, &words, &rate, koe_str_of(voices[0]), KOE_STR("Number 18 is in the making."), 1, 0, &err), KOE_OK);
    assert_int_equal(samples.n, first.n);
    assert_memory_equal(samples.data, first.data, first.n);
    koe_buf_free(&first);
    koe_buf_free(&samples);
    koe_buf_free(&words);
    koe_buf_free(&ipa);
}

/* The children of this process, as /proc tells. */
static void kill_children(void)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    FILE *f = fopen(path, "r");
    if (!f) skip();
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    for (char *p = strtok(line, " "); p; p = strtok(NULL, " ")) kill((pid_t)atoi(p), SIGKILL);
}

static void comes_back(void **state)
{
    expect(*state, "en-us", "first", false, "fˈɜːst");
    kill_children();
    expect(*state, "en-us", "second", false, "sˈɛkənd");
}

static void no_helper(void **state)
{
    (void)state;
    koe_espeak *e;
    koe_error err = { 0 };
    koe_buf out = { 0 };
    static const char *const helpers[] = { "/nonexistent/koe", "/bin/true" };
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(koe_espeak_open(&e, helpers[i], &err), KOE_OK);
        assert_int_equal(koe_espeak_phonemes(e, &out, KOE_STR("en"), KOE_STR("x"), true, &err), KOE_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, helpers[i]));
        koe_espeak_close(e);
    }
    koe_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(phonemes), cmocka_unit_test(speech), cmocka_unit_test(speech_again),
                                        cmocka_unit_test(comes_back), cmocka_unit_test(no_helper) };
    return cmocka_run_group_tests(tests, open_espeak, close_espeak);
}
