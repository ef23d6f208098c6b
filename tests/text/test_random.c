/* 100,000 random strings - letters and signs of all scripts, digits, tags, SSML, rules' favourite forms - through the front end in every
 * language: no crash, no hang, segments that cover the text, words in order. One in twenty goes through espeak-ng too. KOE_TEST_RANDOM_N
 * and KOE_TEST_RANDOM_SEED choose others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "text/text.h"
#include "text/utf8.h"

static uint64_t seed = 1;

static uint32_t pick(uint32_t n) /* below n; splitmix64 */
{
    uint64_t z = seed += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ z >> 31) % n);
}

static uint32_t any_code_point(void)
{
    static const uint32_t blocks[][2] = { { 0x20, 0x7F }, { 0xA0, 0x180 }, { 0x300, 0x370 }, { 0x370, 0x500 }, { 0x590, 0x700 }, { 0x900, 0x980 }, { 0x2000, 0x2070 },
        { 0x20A0, 0x20C0 }, { 0x2100, 0x2200 }, { 0x2800, 0x2810 }, { 0x3000, 0x3100 }, { 0x4E00, 0x9FFF }, { 0xAC00, 0xAD00 }, { 0xE000, 0xE010 }, { 0xFE00, 0xFE10 },
        { 0xFF00, 0xFFF0 }, { 0x1D400, 0x1D500 }, { 0x1F300, 0x1F700 }, { 0x20000, 0x20100 }, { 0xE0000, 0xE0080 }, { 1, 0x20 }, { 1, 0xD800 }, { 0xE000, 0x110000 } };
    const uint32_t *b = blocks[pick(sizeof blocks / sizeof *blocks)];
    return b[0] + pick(b[1] - b[0]);
}

static void random_text(koe_buf *out)
{
    static const char *const forms[] = { "1,234.5", "12:30", "$5", "€3,50", "2024-02-30", "3/4", "5 km", "-5 °C", "Dr. ", "e.g.", "www.a.co/b?c=d", "a@b.co", "XIV", "'90s", "1st", "#1",
        "[pause:1s]", "[a](/b/)", "[a](+1)", "[voice:x]", "[rate:2]", "<speak>", "</speak>", "<break time=\"1s\"/>", "<say-as interpret-as=\"date\">", "</say-as>", "<p>", "&amp;", "&#65;",
        "**", "`", "...", "—", "“", "”", " ", "\n", "\n\n", "the ", "read ", "12.12.2012", "+34 612 345 678", "9h30", "21 casas", "1,23,456", "二〇二四年", "１２", "٣", "२५", "🇩🇪", "👩‍👩‍👧" };
    koe_buf_clear(out);
    for (uint32_t left = 1 + pick(pick(8) ? 24 : 300); left; left--) {
        if (pick(2)) koe_buf_adds(out, forms[pick(sizeof forms / sizeof *forms)]);
        else if (pick(3)) koe_utf8_put(out, any_code_point());
        else koe_buf_addc(out, (char)(0x20 + pick(0x5F)));
    }
}

static bool is_right(koe_str in, const koe_segments *s)
{
    size_t at = 0, word_at = 0, bad;
    for (size_t i = 0; i < s->n; i++) {
        const koe_segment *g = &s->segment[i];
        const size_t n = koe_utf8_count(g->phonemes);
        if (g->text_at != at || n > 510 || !koe_utf8_check(g->phonemes, &bad) || !(g->pause_s >= 0 && g->pause_s <= 300)) return false;
        at += g->text_n;
        for (size_t w = 0; w < g->n_word; w++) {
            const koe_word *k = &g->word[w];
            if (k->text_at < word_at || !k->text_n || k->text_at + k->text_n > at || k->phoneme_at + k->phoneme_n > n) return false;
            word_at = k->text_at + k->text_n;
        }
    }
    return s->n == 0 || at == in.n;
}

static void random_strings(void **state)
{
    (void)state;
    static const char *const langs[] = { "en-us", "en-gb", "es", "fr", "hi", "it", "ja", "pt-br", "zh", "de", "ar" };
    const char *count = getenv("KOE_TEST_RANDOM_N"), *from = getenv("KOE_TEST_RANDOM_SEED"), *shared = getenv("KOE_SHARED");
    const long n = count ? atol(count) : 100000;
    char *lexicon = shared ? koe_path_join(shared, "lexicon") : NULL;
    koe_text *room;
    if (from) seed = strtoull(from, NULL, 0);
    koe_log_set_level(KOE_LOG_ERROR);
    assert_int_equal(koe_text_open(&room, &(koe_text_setup){ .lexicon_dir = lexicon && koe_file_is_dir(lexicon) ? lexicon : NULL }, NULL), KOE_OK);
    koe_buf text = { 0 };
    double slowest = 0;
    long n_ok = 0;
    for (long i = 0; i < n; i++) {
        const uint64_t mine = seed;
        random_text(&text);
        const bool spoken = i % 20 == 0;
        const koe_text_options opt = { .lang = koe_str_of(langs[pick(sizeof langs / sizeof *langs)]), .alphabet = spoken ? KOE_ALPHABET_MISAKI : KOE_ALPHABET_NONE,
            .markup = pick(3) ? KOE_MARKUP_TAGS : KOE_MARKUP_SSML, .max_phonemes = pick(4) ? 0 : 40 };
        koe_segments s;
        koe_error err = { 0 };
        const double start = koe_clock_ms();
        const koe_status st = koe_text_segments(&s, room, koe_buf_str(&text), &opt, &err);
        if (koe_clock_ms() - start > slowest) slowest = koe_clock_ms() - start;
        if (st == KOE_OK && !is_right(koe_buf_str(&text), &s)) fail_msg("string %ld, seed %llu: %s", i, (unsigned long long)mine, text.data);
        if (st != KOE_OK && st != KOE_E_ARGUMENT && st != KOE_E_FORMAT) fail_msg("string %ld, seed %llu: %s", i, (unsigned long long)mine, err.message);
        if (st == KOE_OK) n_ok++, koe_segments_free(&s);
    }
    print_message("%ld strings, %ld of them read, the slowest took %.0f ms\n", n, n_ok, slowest);
    assert_true(n_ok > n / 2);
    koe_buf_free(&text);
    koe_text_close(room);
    free(lexicon);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_strings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
