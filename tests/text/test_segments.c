/* Nothing is dropped: every word of every text is in exactly one segment, segments cover the text, and limits hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "text/text.h"
#include "text/utf8.h"

static koe_text *text_room; /* the one in use */
static koe_text *plain_room, *full_room; /* without dictionaries; with ../shared/lexicon, NULL when that is not there */

static int open_room(void **state)
{
    (void)state;
    const char *shared = getenv("KOE_SHARED");
    char *lexicon = shared ? koe_path_join(shared, "lexicon") : NULL;
    int rc = koe_text_open(&plain_room, &(koe_text_setup){ 0 }, NULL) != KOE_OK;
    if (lexicon && koe_file_is_dir(lexicon)) rc |= koe_text_open(&full_room, &(koe_text_setup){ .lexicon_dir = lexicon }, NULL) != KOE_OK;
    free(lexicon);
    text_room = plain_room;
    return rc;
}
static int close_room(void **state)
{
    (void)state;
    koe_text_close(plain_room);
    koe_text_close(full_room);
    return 0;
}

static bool is_space(uint32_t c) { return c < 0x21 || c == 0x7f || c == 0x3000 || c == 0xa0 || c == 0x2028 || c == 0x2029 || c == 0x85 || c == 0x2003; }

/* Input bytes that belong to a word of some segment are marked; every byte that is not white space must be, once. */
static void check_segments(koe_str in, const koe_segments *s, size_t max)
{
    unsigned char *seen = calloc(1, in.n + 1);
    size_t at = 0;
    for (size_t i = 0; i < s->n; i++) {
        const koe_segment *g = &s->segment[i];
        if (g->text_at != at) fail_msg("segment %zu starts at %zu, not %zu", i, g->text_at, at);
        at += g->text_n;
        size_t n = koe_utf8_count(g->phonemes), before = 0;
        if (n > max) fail_msg("segment %zu has %zu phonemes", i, n);
        assert_true(g->pause_s >= 0);
        for (size_t w = 0; w < g->n_word; w++) {
            const koe_word *k = &g->word[w];
            if (k->text_at < g->text_at || k->text_at + k->text_n > at)
                fail_msg("segment %zu [%zu, %zu): word [%zu, %zu)", i, g->text_at, at, k->text_at, k->text_at + k->text_n);
            assert_true(k->phoneme_at + k->phoneme_n <= n);
            if (k->phoneme_n) {
                assert_true(k->phoneme_at >= before);
                before = k->phoneme_at + k->phoneme_n;
            }
            for (size_t b = k->text_at; b < k->text_at + k->text_n; b++) assert_int_equal(seen[b]++, 0);
        }
    }
    if (s->n) {
        assert_int_equal(at, in.n);
        for (size_t b = 0; b < in.n;) {
            size_t start = b;
            uint32_t c = koe_utf8_next(in, &b);
            if (!is_space(c) && !seen[start]) fail_msg("byte %zu of \"%.60s\" is in no word", start, in.p);
        }
    }
    free(seen);
}

static void run(koe_str in, const koe_text_options *opt, size_t *n_segments)
{
    koe_segments s;
    koe_error err = { 0 };
    if (koe_text_segments(&s, text_room, in, opt, &err) != KOE_OK) fail_msg("\"%.60s\": %s", in.p, err.message);
    check_segments(in, &s, opt->max_phonemes ? opt->max_phonemes : 510);
    if (n_segments) *n_segments = s.n;
    koe_segments_free(&s);
}

static const char *const nasty[] = {
    "Dr. Ito paid $3. Then he left, quickly; very quickly!",
    "  leading and trailing   \n\n\n",
    "One line\nand another\r\n\r\nparagraph\ftwo",
    "...!!!??? *** --- ===",
    "*** hello ***",
    "\"Stop!\" he said. \"Why?\" — \"Because…\" she answered—slowly.",
    "e\xcc\x81t\xc3\xa9 \xf0\x9f\x98\x80\xf0\x9f\x98\x80 \xf0\x9f\x87\xba\xf0\x9f\x87\xb8 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb done",
    "漢字かな交じり文。次の文です！",
    "Mixed 漢字 in English, и русский, and العربية too.",
    "a\x01" "b\x02 c\xc2\xa0" "d\xe2\x80\x8b" "e\xef\xbb\xbf",
    "1234567890123456789012345678901234567890",
    "http://example.com/a/b?c=d&e=f#g me@example.org C:\\dir\\file.txt",
    "supercalifragilisticexpialidocious-well-known/and/or_snake_case camelCase",
    "<b>bold</b> & &amp; [link](http://x.y) `code` {braces} ~tilde~ ^caret^ |pipe|",
    "don't can't won't it's y'all rock'n'roll 'tis",
    "Z\u0336\u0336\u0336\u0336\u0336\u0336\u0336\u0336\u0336\u0336\u0336algo text",
    "ＦＵＬＬ ｗｉｄｔｈ ﬁne",
    "สวัสดีชาวโลก ภาษาไทย",
    "one,two;three:four.five!six?seven",
    "x", ".", "\xe2\x80\x94", "0", "\n", " a ",
};

static void words_survive_here(void)
{
    static const char *const langs[] = { "en-us", "fr", "ja", "zh", "hi" };
    for (size_t i = 0; i < sizeof nasty / sizeof *nasty; i++)
        for (size_t l = 0; l < sizeof langs / sizeof *langs; l++)
            for (int alphabet = KOE_ALPHABET_MISAKI; alphabet <= KOE_ALPHABET_NONE; alphabet++)
                for (int small = 0; small < 2; small++) {
                    koe_text_options opt = { .lang = koe_str_of(langs[l]), .alphabet = (koe_alphabet)alphabet, .max_phonemes = small ? 24 : 0,
                                             .first_max_phonemes = small ? 20 : 0 };
                    run(koe_str_of(nasty[i]), &opt, NULL);
                }
}

static void words_survive(void **state)
{
    (void)state;
    words_survive_here();
    if (!full_room) return;
    text_room = full_room;
    words_survive_here();
    text_room = plain_room;
}

static void limits_and_pauses(void **state)
{
    (void)state;
    koe_segments s;
    koe_text_options opt = { .lang = KOE_STR("a") };
    koe_str in = KOE_STR("This is the first sentence of two. Here is the second sentence.\n\nA new paragraph begins right here.");
    assert_int_equal(koe_text_segments(&s, text_room, in, &opt, NULL), KOE_OK);
    assert_int_equal(s.n, 3);
    assert_true(s.segment[0].pause_s > 0 && s.segment[1].pause_s > s.segment[0].pause_s && s.segment[2].pause_s == 0);
    assert_int_equal(s.segment[0].n_word, 7);
    const koe_word *w = &s.segment[0].word[6];
    assert_true(koe_str_is(koe_str_sub(in, w->text_at, w->text_n), "two."));
    assert_true(w->phoneme_n > 0 && w->phoneme_at + w->phoneme_n < koe_utf8_count(s.segment[0].phonemes)); /* the dot is not the word's */
    koe_segments_free(&s);

    opt.first_max_phonemes = 30;
    in = KOE_STR("In the beginning there was silence, and nobody in the whole wide world knew what to say about it at all.");
    assert_int_equal(koe_text_segments(&s, text_room, in, &opt, NULL), KOE_OK);
    assert_int_equal(s.n, 2);
    assert_true(koe_str_ends(s.segment[0].text, KOE_STR("silence,")));
    koe_segments_free(&s);
}

static void abbreviations_do_not_end(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
    } cases[] = { { "Dr. Smith met Mrs. Jones at the corner of the street. They talked for a long time.", 2 },
        { "The painter J. M. W. Turner was born in London, England.", 1 },
        { "The value of the number pi is about 3.14159, they say.", 1 },
        { "\"Get out of this house right now!\" he shouted at the visitors.", 1 },
        { "See No. 5 for the complete explanation of this matter.", 1 },
        { "They waited for a very long time... and nothing happened at all.", 1 },
        { "Is this the real life that we live? Is this just another fantasy!", 2 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n;
        run(koe_str_of(cases[i].text), &(koe_text_options){ .lang = KOE_STR("en-us") }, &n);
        if (n != cases[i].n) fail_msg("%s: %zu segments, want %zu", cases[i].text, n, cases[i].n);
    }
}

static void refusals(void **state)
{
    (void)state;
    koe_segments s;
    koe_error err = { 0 };
    koe_text_options opt = { .lang = KOE_STR("klingonish") };
    assert_int_equal(koe_text_segments(&s, text_room, KOE_STR("hello"), &opt, &err), KOE_E_ARGUMENT);
    assert_non_null(strstr(err.message, "en-us"));
    opt.lang = KOE_STR("en");
    assert_int_equal(koe_text_segments(&s, text_room, KOE_STR("hello \xff"), &opt, &err), KOE_E_ENCODING);
    assert_non_null(strstr(err.message, "byte 6"));
    assert_int_equal(koe_text_segments(&s, text_room, KOE_STR(""), &opt, &err), KOE_OK);
    assert_int_equal(s.n, 0);
    koe_segments_free(&s);
    assert_int_equal(koe_text_segments(&s, text_room, KOE_STR(" *** \n"), &opt, &err), KOE_OK);
    assert_int_equal(s.n, 0);
    koe_segments_free(&s);
}

static void given_phonemes(void **state)
{
    (void)state;
    koe_segments s;
    koe_text_options opt = { .lang = KOE_STR("en"), .phonemes = true };
    assert_int_equal(koe_text_segments(&s, text_room, KOE_STR("həlˈO wˈɜɹld."), &opt, NULL), KOE_OK);
    assert_int_equal(s.n, 1);
    assert_true(koe_str_is(s.segment[0].phonemes, "həlˈO wˈɜɹld."));
    assert_int_equal(s.segment[0].n_word, 2);
    koe_segments_free(&s);
}

/* Milliseconds of this process's processor time. */
static double time_of(const char *unit, size_t bytes, const koe_text_options *opt)
{
    koe_buf in = { 0 };
    while (in.n < bytes) koe_buf_adds(&in, unit);
    const clock_t start = clock();
    run(koe_buf_str(&in), opt, NULL);
    koe_buf_free(&in);
    return (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC;
}

/* Ten times the text may take little more than ten times as long; a quadratic step would take a hundred times. Processors change their speed:
 * the best of a few tries counts. */
static void long_texts_here(koe_alphabet alphabet, const char *lang)
{
    static const char *const units[] = { "a-", "a1", "[a](/b/)", "<b>", "I.", "1,", "1:", "a", "1", "(", ". ", "A. ", "the cat sat on the mat, ", "\xcc\x81", "\xf0\x9f\x98\x80", "漢", "\n", "\"" };
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        const koe_text_options opt = { .lang = koe_str_of(lang), .alphabet = alphabet };
        double small = 0, big = 1e9;
        for (int i = 0; i < 5 && big > 40 * small + 200; i++) {
            const double first = time_of(units[u], 3000, &opt), second = time_of(units[u], 30000, &opt);
            if (i == 0 || first < small) small = first;
            if (second < big) big = second;
        }
        if (big > 40 * small + 200) fail_msg("\"%s\": %.1f ms, ten times as long %.1f ms", units[u], small, big);
    }
}

static void long_texts(void **state)
{
    (void)state;
    long_texts_here(KOE_ALPHABET_NONE, "en-us");
    if (!full_room) return;
    text_room = full_room;
    long_texts_here(KOE_ALPHABET_MISAKI, "en-us");
    text_room = plain_room;
}

/* Part by part, the same segments as at once, and the first part does not wait for the text's end. */
static void same_in_parts(koe_str in, const koe_text_options *opt)
{
    koe_segments all, part;
    koe_passage *p;
    koe_error err = { 0 };
    size_t k = 0;
    bool last = false;
    if (koe_text_segments(&all, text_room, in, opt, &err) != KOE_OK || koe_passage_open(&p, text_room, in, opt, &err) != KOE_OK) fail_msg("%s", err.message);
    while (!last) {
        if (koe_passage_next(p, &part, &last, &err) != KOE_OK) fail_msg("%s", err.message);
        if (k == 0 && in.n > 65536) assert_true(!last && part.segment[part.n - 1].text_at + part.segment[part.n - 1].text_n < 16384);
        for (size_t i = 0; i < part.n; i++, k++) {
            const koe_segment *a = &part.segment[i], *b = &all.segment[k];
            assert_true(k < all.n);
            if (!koe_str_eq(a->phonemes, b->phonemes) || a->text_at != b->text_at || a->text_n != b->text_n || a->pause_s != b->pause_s)
                fail_msg("segment %zu of \"%.40s\": [%zu, +%zu) %g s \"%.*s\", at once [%zu, +%zu) %g s \"%.*s\"", k, in.p, a->text_at, a->text_n, a->pause_s,
                         KOE_STR_ARG(a->phonemes), b->text_at, b->text_n, b->pause_s, KOE_STR_ARG(b->phonemes));
            assert_int_equal(a->n_word, b->n_word);
            assert_int_equal(a->n_mark, b->n_mark);
            if (a->n_word) assert_memory_equal(a->word, b->word, a->n_word * sizeof *a->word);
        }
        koe_segments_free(&part);
    }
    assert_int_equal(k, all.n);
    koe_passage_close(p);
    koe_segments_free(&all);
}

static void parts(void **state)
{
    (void)state;
    koe_buf book = { 0 };
    for (size_t i = 0; i < sizeof nasty / sizeof *nasty; i++) same_in_parts(koe_str_of(nasty[i]), &(koe_text_options){ .lang = KOE_STR("en-us") });
    while (book.n < 100000) koe_buf_adds(&book, "It was [pitch:+2st]cold[/pitch] in [mark:here] the house, [pause:1s] and [voice:b]nobody[/voice] came.\n\n *** \n\nOne more, "
                                                "and [another](/x/) one. \"Why?\" she asked. ");
    same_in_parts(koe_buf_str(&book), &(koe_text_options){ .lang = KOE_STR("en-us"), .alphabet = KOE_ALPHABET_NONE });
    koe_buf_free(&book);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(words_survive), cmocka_unit_test(limits_and_pauses),
                                        cmocka_unit_test(abbreviations_do_not_end), cmocka_unit_test(refusals),
                                        cmocka_unit_test(given_phonemes), cmocka_unit_test(parts), cmocka_unit_test(long_texts) };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
