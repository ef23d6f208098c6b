/* Any text through the front end: the first byte chooses language, alphabet and limits. espeak-ng is left out (it runs in a process of its
 * own); a dictionary of a few words stands in for the real ones. Checked: segments cover the text, words are in order and inside, limits
 * hold. Seeds: fuzz/corpus/text. */
#include <assert.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "text/text.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char gold[] =
    "{\"A\":\"ˈA\",\"B\":\"bˈi\",\"C\":\"sˈi\",\"D\":\"dˈi\",\"E\":\"ˈi\",\"S\":\"ˈɛs\",\"T\":\"tˈi\",\"the\":\"ðə\",\"to\":\"tu\",\"am\":\"æm\",\"one\":\"wˈʌn\","
    "\"two\":\"tˈu\",\"hundred\":\"hˈʌndɹəd\",\"dollar\":\"dˈɑləɹ\",\"and\":\"ænd\",\"cat\":\"kˈæt\",\"stop\":\"stˈɑp\",\"read\":{\"DEFAULT\":\"ɹˈid\",\"VBD\":\"ɹˈɛd\"},"
    "\"used\":{\"DEFAULT\":\"jˈuzd\",\"VBD\":\"jˈust\"},\"use\":{\"DEFAULT\":\"jˈuz\",\"NOUN\":\"jˈus\"},\"that\":{\"DEFAULT\":\"ðæt\",\"DT\":\"ðˈæt\"}}";

static koe_text *open_room(void)
{
    static char dir[] = "/tmp/koe-fuzz-XXXXXX";
    koe_text *t = NULL;
    koe_log_set_level(KOE_LOG_ERROR);
    if (!mkdtemp(dir)) abort();
    char *path = koe_path_join(dir, "us_gold.json");
    if (koe_file_write_atomic(path, gold, sizeof gold - 1, NULL) != KOE_OK) abort();
    free(path);
    if (koe_text_open(&t, &(koe_text_setup){ .lexicon_dir = dir, .helper = "/nonexistent" }, NULL) != KOE_OK) abort();
    return t;
}

static void check(koe_str in, const koe_segments *s, size_t max)
{
    size_t at = 0, word_at = 0;
    for (size_t i = 0; i < s->n; i++) {
        const koe_segment *g = &s->segment[i];
        size_t n = koe_utf8_count(g->phonemes), bad;
        assert(g->text_at == at && n <= max && koe_utf8_check(g->phonemes, &bad) && koe_utf8_check(g->text, &bad));
        at += g->text_n;
        for (size_t w = 0; w < g->n_word; w++) {
            const koe_word *k = &g->word[w];
            assert(k->text_at >= word_at && k->text_n && k->text_at + k->text_n <= at && k->phoneme_at + k->phoneme_n <= n);
            word_at = k->text_at + k->text_n;
        }
    }
    assert(s->n == 0 || at == in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static koe_text *t;
    static const struct {
        const char *lang;
        koe_alphabet alphabet;
    } ways[] = { { "en-us", KOE_ALPHABET_MISAKI }, { "en-us", KOE_ALPHABET_NONE }, { "en-gb", KOE_ALPHABET_NONE }, { "ja", KOE_ALPHABET_NONE },
        { "zh", KOE_ALPHABET_NONE }, { "fr", KOE_ALPHABET_TEXT }, { "hi", KOE_ALPHABET_NONE }, { "en-us", KOE_ALPHABET_TEXT } };
    if (!t) t = open_room();
    if (n < 1) return 0;
    unsigned how = data[0] % 8;
    static const char *const with_rules[] = { "fr", "es", "it", "pt-br" }; /* the same rules, other words */
    const char *lang = how == 5 ? with_rules[n % 4] : ways[how].lang;
    koe_text_options opt = { .lang = koe_str_of(lang), .alphabet = ways[how].alphabet, .no_normalize = (data[0] & 8) != 0,
                             .max_phonemes = data[0] & 16 ? 24 : 0, .first_max_phonemes = data[0] & 32 ? 20 : 0, .phonemes = (data[0] & 192) == 192 };
    koe_str in = { (const char *)data + 1, n - 1 };
    koe_segments s;
    if (koe_text_segments(&s, t, in, &opt, NULL) == KOE_OK) {
        check(in, &s, opt.max_phonemes ? opt.max_phonemes : 510);
        koe_segments_free(&s);
    }
    return 0;
}
