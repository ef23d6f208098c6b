/* text.c - the front end as a whole: opened once, then called for each text. */
#include "text/text.h"

#include <stdlib.h>

#include "text/assemble.h"
#include "text/ja.h"
#include "text/markup.h"
#include "text/utf8.h"
#include "text/zh.h"

koe_status koe_text_open(koe_text **out, const koe_text_setup *setup, koe_error *err)
{
    koe_text *t = calloc(1, sizeof *t);
    if (!t) return koe_fail(err, KOE_E_NOMEM, "text front end");
    pthread_mutex_init(&t->lock, NULL);
    if (setup && setup->lexicon_dir) t->lexicon_dir = koe_str_dup(koe_str_of(setup->lexicon_dir));
    koe_status st = koe_espeak_open(&t->espeak, setup ? setup->helper : NULL, err);
    if (st != KOE_OK) {
        koe_text_close(t);
        return st;
    }
    *out = t;
    return KOE_OK;
}

void koe_text_close(koe_text *t)
{
    if (!t) return;
    koe_espeak_close(t->espeak);
    koe_lexicon_close(t->english[0]);
    koe_lexicon_close(t->english[1]);
    koe_zh_close(t->zh);
    koe_ja_close(t->ja);
    for (int i = 0; i < KOE_READING_COUNT; i++) koe_speller_close(t->speller[i]);
    pthread_mutex_destroy(&t->lock);
    free(t->lexicon_dir);
    free(t);
}

const koe_lexicon *koe_text_lexicon(koe_text *t, bool british)
{
    pthread_mutex_lock(&t->lock);
    if (!t->tried[british]) {
        koe_error err = { 0 };
        t->tried[british] = true;
        koe_status st = t->lexicon_dir ? koe_lexicon_open(&t->english[british], t->lexicon_dir, british ? "gb" : "us", &err)
                                       : koe_fail(&err, KOE_E_NOT_FOUND, "no folder of dictionaries");
        if (st != KOE_OK) koe_log(KOE_LOG_WARN, "English is read by espeak-ng alone: %s (koe pull lexicon)", err.message);
    }
    const koe_lexicon *l = t->english[british];
    pthread_mutex_unlock(&t->lock);
    return l;
}

koe_espeak *koe_text_espeak(koe_text *t) { return t->espeak; }

void koe_block_add(koe_block *b, size_t at, size_t n, koe_str phonemes, bool voiced, bool space)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 128;
        koe_piece *piece = reallocarray(b->piece, cap, sizeof *piece);
        if (!piece) {
            b->failed = true;
            return;
        }
        b->piece = piece;
        b->cap = cap;
    }
    b->piece[b->n++] = (koe_piece){ .at = at, .n = n, .sound_at = b->sound.n, .sound_n = phonemes.n,
                                    .n_phonemes = koe_utf8_count(phonemes), .voiced = voiced, .space = space };
    koe_buf_add_str(&b->sound, phonemes);
    b->failed |= b->sound.failed;
}

const koe_zh *koe_text_zh(koe_text *t)
{
    pthread_mutex_lock(&t->lock);
    if (!t->tried_zh) {
        koe_error err = { 0 };
        char *dir = t->lexicon_dir ? koe_path_join(t->lexicon_dir, "zh") : NULL;
        t->tried_zh = true;
        koe_status st = dir ? koe_zh_open(&t->zh, dir, &err) : koe_fail(&err, KOE_E_NOT_FOUND, "no folder of dictionaries");
        if (st != KOE_OK) koe_log(KOE_LOG_WARN, "Chinese is read by espeak-ng: %s (koe pull lexicon)", err.message);
        free(dir);
    }
    const koe_zh *z = t->zh;
    pthread_mutex_unlock(&t->lock);
    return z;
}

const koe_ja *koe_text_ja(koe_text *t)
{
    pthread_mutex_lock(&t->lock);
    if (!t->tried_ja) {
        koe_error err = { 0 };
        char *dir = t->lexicon_dir ? koe_path_join(t->lexicon_dir, "ja") : NULL;
        t->tried_ja = true;
        koe_status st = koe_ja_open(&t->ja, dir, &err);
        if (st != KOE_OK) koe_log(KOE_LOG_WARN, "Japanese is read by espeak-ng: %s", err.message);
        free(dir);
    }
    const koe_ja *j = t->ja;
    pthread_mutex_unlock(&t->lock);
    return j;
}

koe_speller *koe_text_speller(koe_text *t, const koe_reading *reading)
{
    pthread_mutex_lock(&t->lock);
    koe_speller **s = &t->speller[koe_reading_row(reading)];
    if (!*s) *s = koe_speller_open(reading->locale);
    koe_speller *opened = *s;
    pthread_mutex_unlock(&t->lock);
    return opened;
}

static void free_block(koe_block *b)
{
    koe_normal_free(&b->normal);
    koe_buf_free(&b->sound);
    koe_buf_free(&b->applied);
    koe_buf_free(&b->sentences);
    free(b->piece);
    free(b->link);
}

static koe_status do_block(koe_assembly *a, koe_block *b, koe_error *err)
{
    koe_buf_clear(&b->sentences);
    koe_buf_clear(&b->sound);
    b->n = 0;
    koe_status st = koe_normalise_block(b, err);
    if (st == KOE_OK) st = koe_sentences(&b->sentences, koe_buf_str(&b->normal.text), b->lang, err);
    if (st == KOE_OK) st = koe_phonemise_block(b, err);
    if (st == KOE_OK) st = koe_assemble(a, b, err);
    return st;
}

static koe_status unknown_language(koe_str lang, koe_error *err)
{
    koe_buf list = { 0 };
    size_t n;
    const koe_lang *l = koe_lang_table(&n);
    for (size_t i = 0; i < n; i++) koe_buf_printf(&list, "%s%s", i ? " " : "", l[i].tag);
    koe_status st = koe_fail(err, KOE_E_ARGUMENT, "no language \"%.*s\"; there are %s", KOE_STR_ARG(lang), list.data ? list.data : "");
    koe_buf_free(&list);
    return st;
}

/* ---- stretches: what is spoken by one voice in one language, without a pause that the writer asked for ---- */

typedef struct reading {
    koe_text *t;
    const koe_text_options *opt; /* the request's */
    koe_markup markup;
    bool has_links;
    koe_marked marked;
    koe_block block;
    koe_assembly assembly;
} reading;

static koe_segment *last_segment(reading *r)
{
    size_t n = r->assembly.segments.n / sizeof(koe_segment);
    return n ? (koe_segment *)(void *)r->assembly.segments.data + n - 1 : NULL;
}

/* The options of a stretch. */
static koe_status set_voice(reading *r, koe_text_options *opt, const koe_marked_style *style, koe_error *err)
{
    *opt = *r->opt;
    koe_status st = KOE_OK;
    const koe_lang *lang = style->lang.n ? koe_lang_find(style->lang) : NULL;
    if (style->lang.n && !lang) koe_log(KOE_LOG_WARN, "no language \"%.*s\": read as the text around it", KOE_STR_ARG(style->lang));
    if ((style->voice.n || lang) && r->opt->for_voice)
        st = r->opt->for_voice(r->opt->user, style->voice, lang ? style->lang : (koe_str){ 0 }, opt, err);
    else if (lang) {
        opt->lang = koe_str_of(lang->tag);
        opt->espeak_voice = koe_str_of(lang->espeak);
    }
    if (st != KOE_OK) return st;
    r->block.opt = opt;
    r->block.lang = koe_lang_find(opt->lang.n ? opt->lang : KOE_STR("en-us"));
    return r->block.lang ? KOE_OK : unknown_language(opt->lang, err);
}

/* How a stretch ends that goes on in another voice: as its last sign says. */
static koe_break end_of(koe_str text)
{
    uint32_t last = koe_utf8_last(koe_str_trim(text));
    if (text.n && text.p[text.n - 1] == '\n') return KOE_BREAK_LINE;
    if (koe_utf8_in(last, ".!?…。！？।")) return KOE_BREAK_SENTENCE;
    return koe_utf8_in(last, ",;:—–、，；：") ? KOE_BREAK_CLAUSE : KOE_BREAK_WORD;
}

/* Reads plain text [at, end). */
static koe_status read_stretch(reading *r, size_t at, size_t end, const koe_marked_style *style, bool goes_on, koe_error *err)
{
    koe_text_options opt;
    koe_block *b = &r->block;
    size_t from = r->assembly.segments.n;
    koe_status st = set_voice(r, &opt, style, err);
    const koe_str plain = koe_buf_str(&r->marked.plain.text);
    b->input = (koe_str){ plain.p, end };
    for (; at < end && st == KOE_OK; at += b->text_n) {
        b->text_at = at;
        b->text_n = koe_block_end(b->input, at, &b->end) - at;
        if (goes_on && at + b->text_n == end) b->end = end_of(koe_str_sub(plain, at, b->text_n));
        st = do_block(&r->assembly, b, err);
    }
    koe_str voice = st == KOE_OK && style->voice.n ? koe_arena_str(&r->assembly.out->arena, style->voice) : (koe_str){ 0 };
    if (style->voice.n && !voice.p && st == KOE_OK) st = koe_fail(err, KOE_E_NOMEM, "segments");
    for (; from < r->assembly.segments.n; from += sizeof(koe_segment)) {
        koe_segment *s = (koe_segment *)(void *)(r->assembly.segments.data + from);
        s->voice = voice;
    }
    return st;
}

enum { MAX_PAUSE_S = 300 }; /* in one place */

/* Silence that the writer asked for goes to the segment before it, or, first of all, to one of its own. */
static koe_status add_pause(reading *r, const koe_marked_span *span, koe_error *err)
{
    koe_segment *last = last_segment(r);
    const double scale = r->opt->pause_scale > 0 ? r->opt->pause_scale : 1;
    if (span->kind == KOE_MARKED_BREAK) {
        if (last && !last->pause_exact && last->pause_s < span->pause_s * scale) last->pause_s = span->pause_s * scale;
        return KOE_OK;
    }
    if (!last) {
        const koe_segment silence = { .phonemes = KOE_STR(""), .text = KOE_STR(""), .lang = koe_str_of(koe_lang_find(KOE_STR("en-us"))->tag) };
        koe_buf_add(&r->assembly.segments, &silence, sizeof silence);
        if (!(last = last_segment(r))) return koe_fail(err, KOE_E_NOMEM, "segments");
    }
    last->pause_s = span->pause_s + (last->pause_exact ? last->pause_s : 0);
    last->pause_exact = true;
    if (last->pause_s > MAX_PAUSE_S) return koe_fail(err, KOE_E_LIMIT, "pauses of %g seconds in one place; the limit is %d", last->pause_s, MAX_PAUSE_S);
    return KOE_OK;
}

static bool same_voice(const koe_marked_style *a, const koe_marked_style *b)
{
    return koe_str_eq(a->voice, b->voice) && koe_str_eq(a->lang, b->lang);
}

static koe_status read_stretches(reading *r, koe_error *err)
{
    size_t n, at = 0, i = 0;
    const koe_marked_span *span = koe_marked_spans(&r->marked, &n);
    koe_status st = KOE_OK;
    while (i < n && st == KOE_OK) {
        size_t first = i;
        while (i < n && span[i].kind != KOE_MARKED_PAUSE && span[i].kind != KOE_MARKED_BREAK && same_voice(&span[i].style, &span[first].style)) i++;
        size_t end = i > first ? span[i - 1].at + span[i - 1].n : at;
        if (end > at) st = read_stretch(r, at, end, &span[first].style, i < n, err);
        for (at = end; i < n && st == KOE_OK && (span[i].kind == KOE_MARKED_PAUSE || span[i].kind == KOE_MARKED_BREAK); i++) st = add_pause(r, &span[i], err);
    }
    return st;
}

/* ---- back to the input ---- */

/* Signs around a word that other words of the input may be part of. */
static bool is_edge(char c) { return c && strchr("\"'()[]{}.,;:!?", c); }

/* The bytes of the input that the plain text's word is: with the brackets and the value of a link around it, without an element's tags. */
static void place_word(const reading *r, koe_str input, koe_word *w, size_t *hint)
{
    const koe_normal *plain = &r->marked.plain;
    const koe_str text = koe_buf_str(&plain->text);
    size_t at = w->text_at, n = w->text_n, near = *hint;
    koe_normal_range(plain, at, n, hint, &w->text_at, &w->text_n);
    if (r->markup == KOE_MARKUP_SSML && w->text_n != n) { /* tags inside: without signs at the edges perhaps not */
        while (n > 1 && is_edge(text.p[at + n - 1])) n--;
        while (n > 1 && is_edge(text.p[at])) at++, n--;
        koe_normal_range(plain, at, n, &near, &w->text_at, &w->text_n);
    }
    if (r->markup != KOE_MARKUP_TAGS || !r->has_links) return;
    size_t end = w->text_at + w->text_n;
    if (w->text_at && input.p[w->text_at - 1] == '[' && koe_normal_source(plain, at, &near) == w->text_at) w->text_at--;
    if (koe_str_starts(koe_str_sub(input, end, 2), KOE_STR("]("))) {
        const char *close = memchr(input.p + end, ')', input.n - end);
        if (close) end = (size_t)(close - input.p) + 1;
    }
    w->text_n = end - w->text_at;
}

/* Words of the plain text -> words of the input, which start at `from` or later; returns where the last one ends. What was replaced as
 * a whole is one word; when it does not fit into one segment it is timed by its first part. */
static size_t place_words(const reading *r, koe_str input, koe_segment *s, size_t from, size_t *hint)
{
    koe_word *word = (koe_word *)(uintptr_t)s->word; /* the arena's: not const where it was made */
    const char **rule = (const char **)(uintptr_t)s->word_rule;
    koe_prosody *prosody = (koe_prosody *)(uintptr_t)s->prosody;
    size_t to = 0;
    for (size_t i = 0; i < s->n_word; i++) {
        koe_word w = word[i];
        place_word(r, input, &w, hint);
        koe_word *before = to ? &word[to - 1] : NULL;
        if (before && (!w.text_n || w.text_at < before->text_at + before->text_n)) {
            size_t end = w.text_at + w.text_n, sound_end = w.phoneme_at + w.phoneme_n;
            if (end > before->text_at + before->text_n) before->text_n = end - before->text_at;
            if (!before->phoneme_n) before->phoneme_at = w.phoneme_at;
            if (w.phoneme_n && sound_end > before->phoneme_at) before->phoneme_n = sound_end - before->phoneme_at;
            continue;
        }
        if (!w.text_n || w.text_at + w.text_n <= from) continue;
        if (w.text_at < from) w.text_n -= from - w.text_at, w.text_at = from;
        rule[to] = rule[i];
        if (prosody) prosody[to] = prosody[i];
        word[to++] = w;
    }
    s->n_word = to;
    return to ? word[to - 1].text_at + word[to - 1].text_n : from;
}

/* Gives each word the prosody of the span it starts in, when one of them has any. */
static koe_status set_prosody(koe_segment *s, reading *r, size_t *next, koe_error *err)
{
    size_t n;
    const koe_marked_span *span = koe_marked_spans(&r->marked, &n);
    const koe_prosody plain = KOE_PROSODY_PLAIN;
    koe_prosody *prosody = NULL;
    for (size_t i = 0; i < s->n_word; i++) {
        if (*next < n && span[*next].at > s->word[i].text_at) *next = 0;
        while (*next < n && span[*next].at + span[*next].n <= s->word[i].text_at) ++*next;
        const koe_prosody *p = *next < n ? &span[*next].style.prosody : &plain;
        if (!prosody && koe_prosody_same(p, &plain)) continue;
        if (!prosody) {
            if (!(prosody = koe_arena_array(&r->assembly.out->arena, s->n_word, sizeof *prosody))) return koe_fail(err, KOE_E_NOMEM, "prosody");
            for (size_t k = 0; k < i; k++) prosody[k] = plain;
        }
        prosody[i] = *p;
    }
    s->prosody = prosody;
    return KOE_OK;
}

static koe_status place_segments(reading *r, koe_str input, koe_error *err)
{
    koe_segments *out = r->assembly.out;
    size_t hint = 0, word_hint = 0, next = 0, word_end = 0, at = 0;
    koe_status st = KOE_OK;
    for (size_t i = 0; i < out->n && st == KOE_OK; i++) {
        st = set_prosody(&out->segment[i], r, &next, err);
        if (st == KOE_OK) word_end = place_words(r, input, &out->segment[i], word_end, &word_hint);
    }
    for (size_t i = 0; i < out->n && st == KOE_OK; i++) { /* no word is torn, and there are no gaps */
        koe_segment *s = &out->segment[i];
        size_t end = i + 1 < out->n ? koe_normal_source(&r->marked.plain, s->text_at + s->text_n, &hint) : input.n;
        const koe_segment *after = i + 1 < out->n ? s + 1 : NULL;
        if (after && after->n_word && after->word[0].text_at < end) end = after->word[0].text_at;
        if (s->n_word && end < s->word[s->n_word - 1].text_at + s->word[s->n_word - 1].text_n)
            end = s->word[s->n_word - 1].text_at + s->word[s->n_word - 1].text_n;
        if (end < at) end = at;
        s->text_at = at;
        s->text_n = end - at;
        at = end;
    }
    return st;
}

koe_status koe_text_segments(koe_segments *out, koe_text *t, koe_str input, const koe_text_options *opt, koe_error *err)
{
    *out = (koe_segments){ 0 };
    size_t bad;
    if (!koe_utf8_check(input, &bad)) return koe_fail(err, KOE_E_ENCODING, "the text is not UTF-8 at byte %zu", bad);
    const koe_lang *lang = koe_lang_find(opt->lang.n ? opt->lang : KOE_STR("en-us"));
    if (!lang) return unknown_language(opt->lang, err);
    reading r = { .t = t, .opt = opt, .assembly = { .out = out }, .block = { .t = t } };
    r.markup = opt->phonemes && opt->markup == KOE_MARKUP_TAGS ? KOE_MARKUP_NONE : opt->markup;
    r.has_links = r.markup == KOE_MARKUP_TAGS && memmem(input.p ? input.p : "", input.n, "](", 2);
    koe_status st = koe_marked_read(&r.marked, input, r.markup, koe_str_of(lang->tag), err);
    r.block.marked = &r.marked;
    if (st == KOE_OK) st = read_stretches(&r, err);
    if (st == KOE_OK) st = koe_assemble_end(&r.assembly, koe_buf_str(&r.marked.plain.text), err);
    if (st == KOE_OK) st = place_segments(&r, input, err);
    koe_assembly_free(&r.assembly);
    free_block(&r.block);
    koe_marked_free(&r.marked);
    if (st != KOE_OK) koe_segments_free(out);
    return st;
}

void koe_segments_free(koe_segments *s)
{
    koe_arena_free(&s->arena);
    *s = (koe_segments){ 0 };
}
