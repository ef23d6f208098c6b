/* Any bytes as SSML (or, by the first byte, as text with tags) through the front end. espeak-ng is left out (it runs in a process of its
 * own). Checked: spans cover the plain text, segments the document, words are in order and inside. Seeds: fuzz/corpus/ssml. */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "text/markup.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_spans(koe_str in, koe_markup markup)
{
    koe_marked m;
    size_t n, at = 0, text_at = 0;
    if (koe_marked_read(&m, in, markup, KOE_STR("en-us"), NULL) != KOE_OK) return;
    const koe_marked_span *span = koe_marked_spans(&m, &n);
    for (size_t i = 0; i < n; i++) {
        assert(span[i].at == at && span[i].text_at <= in.n && span[i].text_n <= in.n - span[i].text_at);
        at += span[i].n;
    }
    assert(at == m.plain.text.n && koe_utf8_check(koe_buf_str(&m.plain.text), &n));
    for (size_t i = 0; i < m.plain.n; i++) {
        assert(m.plain.span[i].text_at == text_at);
        text_at += m.plain.span[i].text_n;
    }
    assert(text_at <= in.n);
    koe_marked_free(&m);
}

static void check_segments(koe_str in, const koe_segments *s)
{
    size_t at = 0, word_at = 0;
    for (size_t i = 0; i < s->n; i++) {
        const koe_segment *g = &s->segment[i];
        size_t n = koe_utf8_count(g->phonemes);
        assert(g->text_at == at && g->pause_s >= 0 && g->pause_s <= 300);
        at += g->text_n;
        for (size_t w = 0; w < g->n_word; w++) {
            const koe_word *k = &g->word[w];
            assert(k->text_at >= word_at && k->text_n && k->text_at + k->text_n <= at && k->phoneme_at + k->phoneme_n <= n);
            assert(!g->prosody || (g->prosody[w].rate >= 0.25 && g->prosody[w].rate <= 4 && g->prosody[w].gain >= 0 && g->prosody[w].gain <= 32));
            word_at = k->text_at + k->text_n;
        }
    }
    assert(s->n == 0 || at == in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static koe_text *t;
    koe_log_set_level(KOE_LOG_ERROR);
    if (!t && koe_text_open(&t, &(koe_text_setup){ .helper = "/nonexistent" }, NULL) != KOE_OK) abort();
    if (n < 1) return 0;
    koe_str in = { (const char *)data + 1, n - 1 };
    const koe_text_options opt = { .lang = data[0] & 2 ? KOE_STR("fr") : KOE_STR("en-us"), .alphabet = KOE_ALPHABET_NONE,
                                   .markup = data[0] & 1 ? KOE_MARKUP_TAGS : KOE_MARKUP_SSML, .max_phonemes = data[0] & 4 ? 24 : 0 };
    size_t bad;
    koe_segments s;
    if (koe_utf8_check(in, &bad)) check_spans(in, opt.markup);
    if (koe_text_segments(&s, t, in, &opt, NULL) == KOE_OK) {
        check_segments(in, &s);
        koe_segments_free(&s);
    }
    return 0;
}
