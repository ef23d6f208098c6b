/* Durations of tokens become times of words that fill the audio exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "voice/provider.h"

static const koe_word words[] = { { 0, 2, 0, 2 }, { 3, 1, 2, 0 }, { 5, 2, 4, 1 } };

/* "aˈ, b" with ˈ unknown to the network. */
static void speak(const double *duration, size_t n_samples, koe_speech *out)
{
    koe_timeline t;
    koe_tokens tokens = { 0 };
    const koe_segment segment = { .word = words, .n_word = 3 };
    assert_int_equal(koe_timeline_init(&t, KOE_STR("a\xcb\x88, b"), NULL), KOE_OK);
    assert_int_equal(t.n, 5);
    const size_t owner[] = { KOE_OWNER_LEAD, 0, 2, 3, 4, KOE_OWNER_TAIL };
    for (size_t i = 0; i < 6; i++) assert_int_equal(koe_tokens_add(&tokens, (int64_t)i, owner[i], NULL), KOE_OK);
    assert_int_equal(koe_timeline_spread(&t, &tokens, duration, n_samples, NULL), KOE_OK);
    assert_int_equal(koe_timeline_words(out, &t, &segment, NULL), KOE_OK);
    assert_int_equal(out->n_word, 3);
    koe_tokens_deinit(&tokens);
    koe_timeline_deinit(&t);
}

static void test_durations(void **state)
{
    (void)state;
    const double duration[] = { 2, 5, 3, 4, 6, 1 };
    koe_speech s = { 0 };
    speak(duration, 2100, &s);
    assert_int_equal(s.word[0].from, 200);
    assert_int_equal(s.word[0].to, 700);
    assert_int_equal(s.word[1].from, 700); /* silent: no time */
    assert_int_equal(s.word[1].to, 700);
    assert_int_equal(s.word[2].from, 1400 - 200); /* half of the space before it */
    assert_int_equal(s.word[2].to, 2000);
    speak(NULL, 500, &s); /* five code points, equally long */
    assert_int_equal(s.word[0].from, 0);
    assert_int_equal(s.word[0].to, 200);
    assert_int_equal(s.word[2].from, 350);
    assert_int_equal(s.word[2].to, 500);
    speak(duration, 0, &s);
    assert_int_equal(s.word[2].to, 0);
    koe_speech_free(&s);
}

/* Positions beyond the phonemes, as a careless caller may give them, stay inside the audio. */
static void test_edges(void **state)
{
    (void)state;
    const koe_word far[] = { { 0, 1, 0, 99 }, { 1, 1, 77, 3 }, { 2, 1, SIZE_MAX, SIZE_MAX } };
    const koe_segment segment = { .word = far, .n_word = 3 };
    koe_timeline t;
    koe_tokens none = { 0 };
    koe_speech s = { 0 };
    assert_int_equal(koe_timeline_init(&t, KOE_STR(" a "), NULL), KOE_OK);
    assert_int_equal(koe_timeline_spread(&t, &none, NULL, 300, NULL), KOE_OK);
    assert_int_equal(koe_timeline_words(&s, &t, &segment, NULL), KOE_OK);
    for (size_t i = 0; i < 3; i++) assert_true(s.word[i].from <= s.word[i].to && s.word[i].to <= 300);
    koe_timeline_deinit(&t);
    assert_int_equal(koe_timeline_init(&t, (koe_str){ 0 }, NULL), KOE_OK);
    assert_int_equal(koe_timeline_spread(&t, &none, NULL, 300, NULL), KOE_OK);
    assert_int_equal(koe_timeline_words(&s, &t, &segment, NULL), KOE_OK);
    koe_timeline_deinit(&t);
    koe_speech_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_durations), cmocka_unit_test(test_edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
