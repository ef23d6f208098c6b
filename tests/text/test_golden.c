/* Text to phonemes against misaki's own: ../shared/g2p-golden, by share of exact lines. Needs ../shared/lexicon as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "text/text.h"

static koe_text *room;
static char *golden_dir;

static int open_room(void **state)
{
    (void)state;
    const char *shared = getenv("KOE_SHARED");
    char *lexicon = shared ? koe_path_join(shared, "lexicon") : NULL;
    golden_dir = shared ? koe_path_join(shared, "g2p-golden") : NULL;
    int rc = koe_text_open(&room, &(koe_text_setup){ .lexicon_dir = lexicon }, NULL) != KOE_OK;
    if (!lexicon || !koe_file_is_dir(lexicon) || !koe_file_is_dir(golden_dir)) {
        free(golden_dir);
        golden_dir = NULL;
    }
    free(lexicon);
    return rc;
}
static int close_room(void **state)
{
    (void)state;
    koe_text_close(room);
    free(golden_dir);
    return 0;
}

static bool same_phonemes(koe_str line, const char *lang, bool as_written)
{
    const char *tab = memchr(line.p, '\t', line.n);
    if (!tab) return true;
    koe_str want = koe_str_trim((koe_str){ tab + 1, line.n - (size_t)(tab - line.p) - 1 });
    koe_segments s;
    koe_buf got = { 0 };
    koe_text_options opt = { .lang = koe_str_of(lang), .no_normalize = as_written };
    assert_int_equal(koe_text_segments(&s, room, (koe_str){ line.p, (size_t)(tab - line.p) }, &opt, NULL), KOE_OK);
    for (size_t i = 0; i < s.n; i++) {
        if (i) koe_buf_addc(&got, ' ');
        koe_buf_add_str(&got, s.segment[i].phonemes);
    }
    bool same = koe_str_eq(koe_buf_str(&got), want);
    koe_buf_free(&got);
    koe_segments_free(&s);
    return same;
}

/* Percent of exact lines of a golden file, every `step`-th line. */
static double score(const char *lang, size_t step, bool as_written)
{
    char name[32];
    koe_buf text = { 0 };
    koe_buf kinds = { 0 };
    snprintf(name, sizeof name, "%s.tsv", lang);
    char *path = koe_path_join(golden_dir, name);
    assert_int_equal(koe_file_read(&text, path, 1 << 22, NULL), KOE_OK);
    memcpy(path + strlen(path) - 3, "cat", 3);
    assert_int_equal(koe_file_read(&kinds, path, 1 << 22, NULL), KOE_OK);
    size_t n = 0, n_same = 0, i = 0, kind = 0;
    for (size_t at = 0; at < text.n; i++) {
        size_t len = strcspn(text.data + at, "\n"), kind_n = strcspn(kinds.data + kind, "\n");
        bool quirk = memmem(kinds.data + kind, kind_n, "+quirk", 6) != NULL; /* misaki's oddities are not ours */
        kind += kind_n + 1;
        if (len && i % step == 0 && !quirk) n++, n_same += same_phonemes((koe_str){ text.data + at, len }, lang, as_written);
        at += len + 1;
    }
    koe_buf_free(&text);
    koe_buf_free(&kinds);
    free(path);
    return 100.0 * (double)n_same / (double)n;
}

static void languages(void **state)
{
    (void)state;
    if (!golden_dir) {
        print_message("needs ../shared/lexicon and ../shared/g2p-golden\n");
        skip();
    }
    static const struct {
        const char *lang;
        double percent;
        size_t step;
    } want[] = { { "es", 97, 1 }, { "fr", 97, 1 }, { "it", 97, 1 }, { "pt-br", 97, 1 }, { "hi", 97, 1 }, { "zh", 97, 1 }, { "en-us", 93, 1 }, { "en-gb", 90, 1 } };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        double got = score(want[i].lang, want[i].step, false);
        if (got < want[i].percent) fail_msg("%s: %.1f %% exact, want %.0f %%", want[i].lang, got, want[i].percent);
    }
}

/* Without our own normalisation the reading is misaki's, oddities and all. */
static void english_as_misaki(void **state)
{
    (void)state;
    if (!golden_dir) skip();
    double got = score("en-us", 5, true);
    if (got < 98) fail_msg("en-us as written: %.1f %% exact", got);
}

/* Words whose sound depends on their part of speech: sentence, word, phonemes. Percent of those whose phonemes are in the sentence's. */
static double score_words(const char *path)
{
    koe_buf text = { 0 };
    assert_int_equal(koe_file_read(&text, path, 1 << 20, NULL), KOE_OK);
    size_t n = 0, n_right = 0;
    for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
        char *word = line[0] == '#' ? NULL : strchr(line, '\t'), *ph = word ? strchr(word + 1, '\t') : NULL;
        if (!ph) continue;
        *word++ = *ph++ = 0;
        ph[strcspn(ph, "\t")] = 0;
        koe_segments s;
        assert_int_equal(koe_text_segments(&s, room, koe_str_of(line), &(koe_text_options){ .lang = KOE_STR("en-us") }, NULL), KOE_OK);
        char *all = koe_str_dup(s.segment[0].phonemes);
        n++, n_right += strstr(all, ph) != NULL;
        if (!strstr(all, ph)) print_message("%s: %s is not %s in %s\n", line, word, ph, all);
        free(all);
        koe_segments_free(&s);
    }
    koe_buf_free(&text);
    return 100.0 * (double)n_right / (double)n;
}

static void heteronyms(void **state)
{
    (void)state;
    if (!golden_dir) skip();
    char *path = koe_path_join(golden_dir, "en-us.heteronyms.tsv");
    double got = score_words(path);
    if (got < 85) fail_msg("%.1f %% right", got);
    free(path);
    path = koe_path_join(getenv("KOE_TEST_DATA"), "text/heteronyms_en-us.txt");
    got = score_words(path);
    if (got < 100) fail_msg("our own: %.1f %% right", got);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(languages), cmocka_unit_test(english_as_misaki), cmocka_unit_test(heteronyms) };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
