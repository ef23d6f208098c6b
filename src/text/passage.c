/* passage.c - a text from its first byte to its segments, part by part, so that a text of any length costs the memory of a part.
 *     marked text -> stretches (one voice, one language, no pause inside) -> blocks -> pieces -> segments
 * The last segment of a part waits for the next part: a pause, or words without sound, may still join it, and it covers the text up to
 * where the next one begins. */
#include <stdio.h>
#include <stdlib.h>

#include "text/assemble.h"
#include "text/markup.h"
#include "text/utf8.h"

enum {
    FIRST_BLOCK = 1024, BLOCK = 4096, /* bytes, up to the end of the sentence: the first sound is not to wait for much text */
    MAX_PAUSE_S = 300, /* in one place */
    MAX_LEXICONS = 64, /* of a text */
};

struct koe_passage {
    koe_text *t;
    koe_text_options opt; /* the request's */
    koe_markup markup;
    bool has_links;
    koe_str input;
    koe_marked marked;
    koe_block block;
    koe_assembly assembly;
    koe_user_set *set; /* of the installation; NULL: none */
    koe_user_lexicon *own; /* of the request; NULL: none */
    koe_user_lexicon *lexicon[MAX_LEXICONS]; /* all that are used */
    /* what is read next */
    size_t span; /* the first that is not yet begun */
    size_t at, end; /* of the plain text: what is left of the stretch in hand */
    koe_text_options stretch_opt;
    koe_marked_style style;
    bool goes_on; /* another stretch follows */
    bool done;
    /* the way back to the input: how far it was gone */
    size_t hint, word_hint, prosody_span, word_end, text_at, mark_span;
};

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

/* ---- stretches ---- */

static koe_segment *last_segment(koe_passage *r)
{
    size_t n;
    koe_segment *s = koe_assemble_waiting(&r->assembly, &n);
    return n ? s + n - 1 : NULL;
}

static void warn(const koe_passage *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(const koe_passage *r, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (r->opt.warn) r->opt.warn(r->opt.user, text);
    else koe_log(KOE_LOG_WARN, "%s", text);
}

/* The options of a stretch. */
static koe_status set_voice(koe_passage *r, koe_error *err)
{
    koe_text_options *opt = &r->stretch_opt;
    const koe_marked_style *style = &r->style;
    *opt = r->opt;
    koe_status st = KOE_OK;
    const koe_lang *lang = style->lang.n ? koe_lang_find(style->lang) : NULL;
    if (style->lang.n && !lang) warn(r, "no language \"%.*s\": read as the text around it", KOE_STR_ARG(style->lang));
    if ((style->voice.n || lang) && opt->for_voice)
        st = opt->for_voice(opt->user, style->voice, lang ? style->lang : (koe_str){ 0 }, opt, err);
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

/* Reads the next block of the stretch in hand. */
static koe_status read_block(koe_passage *r, koe_error *err)
{
    koe_block *b = &r->block;
    const koe_str plain = koe_buf_str(&r->marked.plain.text);
    const size_t from = r->assembly.segments.n;
    b->input = (koe_str){ plain.p, r->end };
    b->text_at = r->at;
    b->text_n = koe_block_end(b->input, r->at, r->at ? BLOCK : FIRST_BLOCK, &b->end) - r->at;
    r->at += b->text_n;
    if (r->goes_on && r->at == r->end) b->end = end_of(koe_str_sub(plain, b->text_at, b->text_n));
    koe_status st = do_block(&r->assembly, b, err);
    koe_str voice = st == KOE_OK && r->style.voice.n ? koe_arena_str(&r->assembly.arena, r->style.voice) : (koe_str){ 0 };
    if (r->style.voice.n && !voice.p && st == KOE_OK) st = koe_fail(err, KOE_E_NOMEM, "segments");
    for (size_t at = from; at < r->assembly.segments.n; at += sizeof(koe_segment)) {
        koe_segment *s = (koe_segment *)(void *)(r->assembly.segments.data + at);
        s->voice = voice;
    }
    return st;
}

/* Silence that the writer asked for goes to the segment before it, or, first of all, to one of its own. */
static koe_status add_pause(koe_passage *r, const koe_marked_span *span, koe_error *err)
{
    koe_segment *last = last_segment(r);
    const double scale = r->opt.pause_scale > 0 ? r->opt.pause_scale : 1;
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

static bool is_pause(const koe_marked_span *s) { return s->kind == KOE_MARKED_PAUSE || s->kind == KOE_MARKED_BREAK; }

/* Reads on by a block, or takes up the next stretch or pause. */
static koe_status read_on(koe_passage *r, koe_error *err)
{
    size_t n;
    const koe_marked_span *span = koe_marked_spans(&r->marked, &n);
    if (r->at < r->end) return read_block(r, err);
    if (r->span == n) {
        r->done = true;
        return koe_assemble_end(&r->assembly, koe_buf_str(&r->marked.plain.text), err);
    }
    const koe_marked_span *first = &span[r->span];
    if (is_pause(first)) return r->span++, add_pause(r, first, err);
    while (r->span < n && !is_pause(&span[r->span]) && same_voice(&span[r->span].style, &first->style)) r->span++;
    r->end = span[r->span - 1].at + span[r->span - 1].n;
    r->goes_on = r->span < n;
    r->style = first->style;
    return r->at < r->end ? set_voice(r, err) : KOE_OK;
}

/* ---- back to the input ---- */

/* Signs around a word that other words of the input may be part of. */
static bool is_edge(char c) { return c && strchr("\"'()[]{}.,;:!?", c); }

/* The bytes of the input that the plain text's word is: with the brackets and the value of a link around it, without an element's tags. */
static void place_word(const koe_passage *r, koe_str input, koe_word *w, size_t *hint)
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
static size_t place_words(const koe_passage *r, koe_str input, koe_segment *s, size_t from, size_t *hint)
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

/* Gives each word the prosody of the span it starts in and of the request, when there is any. */
static koe_status set_prosody(koe_segment *s, koe_passage *r, koe_arena *arena, koe_error *err)
{
    size_t n, *next = &r->prosody_span;
    const koe_marked_span *span = koe_marked_spans(&r->marked, &n);
    const koe_prosody plain = KOE_PROSODY_PLAIN;
    koe_prosody *prosody = NULL;
    for (size_t i = 0; i < s->n_word; i++) {
        if (*next < n && span[*next].at > s->word[i].text_at) *next = 0;
        while (*next < n && span[*next].at + span[*next].n <= s->word[i].text_at) ++*next;
        koe_prosody p = *next < n ? span[*next].style.prosody : plain;
        p.pitch_st += r->opt.pitch_st;
        if (!prosody && koe_prosody_same(&p, &plain)) continue;
        if (!prosody) {
            if (!(prosody = koe_arena_array(arena, s->n_word, sizeof *prosody))) return koe_fail(err, KOE_E_NOMEM, "prosody");
            for (size_t k = 0; k < i; k++) prosody[k] = plain;
        }
        prosody[i] = p;
    }
    s->prosody = prosody;
    return KOE_OK;
}

/* Where the words of a segment that waits begin in the input; SIZE_MAX: it has none. */
static size_t first_word_at(const koe_passage *r, const koe_segment *s)
{
    size_t hint = r->word_hint;
    for (size_t i = 0; i < s->n_word; i++) {
        koe_word w = s->word[i];
        place_word(r, r->input, &w, &hint);
        if (w.text_n && w.text_at + w.text_n > r->word_end) return w.text_at > r->word_end ? w.text_at : r->word_end;
    }
    return SIZE_MAX;
}

/* The stretch of the input that a segment covers: no word is torn, and there are no gaps. */
static void place_segment(koe_passage *r, koe_segment *s, size_t next_word, bool is_last)
{
    size_t end = is_last ? r->input.n : koe_normal_source(&r->marked.plain, s->text_at + s->text_n, &r->hint);
    if (next_word < end) end = next_word;
    if (s->n_word && end < s->word[s->n_word - 1].text_at + s->word[s->n_word - 1].text_n)
        end = s->word[s->n_word - 1].text_at + s->word[s->n_word - 1].text_n;
    if (end < r->text_at) end = r->text_at;
    s->text_at = r->text_at;
    s->text_n = end - r->text_at;
    r->text_at = end;
}

/* The mark's place among the words of its segment; false: it is that of the next segment's first word. */
static bool place_mark(koe_mark *m, const koe_marked_span *span, const koe_segment *s, bool is_last)
{
    *m = (koe_mark){ .text_at = span->text_at };
    while (m->word < s->n_word && s->word[m->word].text_at + (span->before_pause ? 0 : s->word[m->word].text_n) <= span->text_at) m->word++;
    if (span->before_pause) {
        m->is_behind = m->word > 0;
        m->word -= m->is_behind;
        return true;
    }
    m->after_pause = m->word == s->n_word;
    return !m->after_pause || is_last;
}

/* Takes the marks that stand in the segment's stretch. */
static koe_status set_marks(koe_passage *r, koe_segment *s, bool is_last, koe_arena *arena, koe_error *err)
{
    size_t n;
    koe_buf marks = { 0 };
    koe_mark m;
    const koe_marked_span *span = koe_marked_spans(&r->marked, &n);
    for (; r->mark_span < n; r->mark_span++) {
        const koe_marked_span *k = &span[r->mark_span];
        if (k->kind != KOE_MARKED_MARK) continue;
        if ((!is_last && k->text_at >= s->text_at + s->text_n) || !place_mark(&m, k, s, is_last)) break;
        m.name = koe_arena_str(arena, k->value);
        if (!m.name.p) marks.failed = true;
        koe_buf_add(&marks, &m, sizeof m);
    }
    s->n_mark = marks.n / sizeof m;
    koe_mark *own = s->n_mark ? koe_arena_array(arena, s->n_mark, sizeof *own) : NULL;
    if (own) memcpy(own, marks.data, marks.n);
    s->mark = own;
    const bool ok = !marks.failed && (own || !s->n_mark);
    koe_buf_free(&marks);
    return ok ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "marks");
}

/* Hands over the first n segments that wait. */
static koe_status hand_over(koe_passage *r, size_t n, koe_segments *out, koe_error *err)
{
    size_t n_all;
    koe_segment *s = koe_assemble_waiting(&r->assembly, &n_all);
    koe_status st = KOE_OK;
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        st = set_prosody(&s[i], r, &r->assembly.arena, err);
        if (st == KOE_OK) r->word_end = place_words(r, r->input, &s[i], r->word_end, &r->word_hint);
    }
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        const bool is_last = r->done && i + 1 == n_all;
        const size_t next = i + 1 < n ? (s[i + 1].n_word ? s[i + 1].word[0].text_at : SIZE_MAX) : i + 1 < n_all ? first_word_at(r, &s[i + 1]) : SIZE_MAX;
        place_segment(r, &s[i], next, is_last);
        st = set_marks(r, &s[i], is_last, &r->assembly.arena, err);
    }
    return st == KOE_OK ? koe_assemble_take(&r->assembly, n, out, err) : st;
}

/* ---- the whole ---- */

/* Which lexicons the text is read with: the request's own, those that it names, then what is installed. */
static koe_status find_lexicons(koe_passage *r, koe_error *err)
{
    size_t n = 0;
    koe_str own = koe_str_trim(r->opt.lexicon);
    r->set = koe_user_files_take(r->t->user_files);
    if (own.n && strchr("{[<\xef\xfe\xff", own.p[0])) {
        const koe_status st = koe_user_lexicon_read(&r->own, own, "the request's lexicon", err);
        if (st != KOE_OK) return st;
        r->lexicon[n++] = r->own;
    } else if (own.n) {
        koe_user_lexicon *named = koe_user_set_find(r->set, own);
        if (!named) return koe_fail(err, KOE_E_ARGUMENT, "no lexicon \"%.*s\" is installed: put %.*s.json or .pls into the folder lexicon/named",
                                    KOE_STR_ARG(koe_str_sub(own, 0, 100)), KOE_STR_ARG(koe_str_sub(own, 0, 100)));
        r->lexicon[n++] = named;
    }
    const size_t n_named = r->marked.lexicons.n / sizeof(koe_str);
    const koe_str *name = (const koe_str *)(const void *)r->marked.lexicons.data;
    for (size_t i = 0; i < n_named && n < MAX_LEXICONS; i++) {
        koe_user_lexicon *named = koe_user_set_find(r->set, name[i]);
        if (named) r->lexicon[n++] = named;
        else warn(r, "no lexicon \"%.*s\" is installed, and none is fetched", KOE_STR_ARG(koe_str_sub(name[i], 0, 100)));
    }
    for (size_t i = 0; r->set && i < r->set->n_always && n < MAX_LEXICONS; i++) r->lexicon[n++] = r->set->always[i];
    r->block.lexicon = r->lexicon;
    r->block.n_lexicon = n;
    return KOE_OK;
}

/* A mark that a pause follows before any words is at the end of the words before it. */
static void find_marks(koe_marked *m)
{
    size_t n;
    (void)koe_marked_spans(m, &n);
    koe_marked_span *span = (koe_marked_span *)(void *)m->spans.data;
    for (bool pause = false; n-- > 0;) {
        if (is_pause(&span[n])) pause = true;
        else if (span[n].n) pause = false;
        span[n].before_pause = pause;
    }
}

koe_status koe_passage_open(koe_passage **out, koe_text *t, koe_str input, const koe_text_options *opt, koe_error *err)
{
    size_t bad;
    if (!koe_utf8_check(input, &bad)) return koe_fail(err, KOE_E_ENCODING, "the text is not UTF-8 at byte %zu", bad);
    const koe_lang *lang = koe_lang_find(opt->lang.n ? opt->lang : KOE_STR("en-us"));
    if (!lang) return unknown_language(opt->lang, err);
    koe_passage *r = calloc(1, sizeof *r);
    if (!r) return koe_fail(err, KOE_E_NOMEM, "text");
    r->t = t;
    r->opt = *opt;
    r->input = input;
    r->block.t = t;
    r->block.marked = &r->marked;
    r->markup = opt->phonemes && opt->markup == KOE_MARKUP_TAGS ? KOE_MARKUP_NONE : opt->markup;
    r->has_links = r->markup == KOE_MARKUP_TAGS && memmem(input.p ? input.p : "", input.n, "](", 2);
    koe_status st = koe_marked_read(&r->marked, input, r->markup, koe_str_of(lang->tag), err);
    if (st == KOE_OK && r->marked.warnings.n) warn(r, "%s", r->marked.warnings.data);
    if (st == KOE_OK) find_marks(&r->marked);
    if (st == KOE_OK) st = find_lexicons(r, err);
    if (st == KOE_OK) *out = r;
    else koe_passage_close(r);
    return st;
}

koe_status koe_passage_next(koe_passage *r, koe_segments *out, bool *last, koe_error *err)
{
    size_t n = 0;
    koe_status st = KOE_OK;
    *out = (koe_segments){ 0 };
    for (; st == KOE_OK && !r->done && n < 2; (void)koe_assemble_waiting(&r->assembly, &n)) st = read_on(r, err);
    (void)koe_assemble_waiting(&r->assembly, &n);
    *last = r->done;
    return st == KOE_OK ? hand_over(r, r->done ? n : n - 1, out, err) : st;
}

void koe_passage_close(koe_passage *r)
{
    if (!r) return;
    koe_assembly_free(&r->assembly);
    free_block(&r->block);
    koe_marked_free(&r->marked);
    koe_user_lexicon_unref(r->own);
    koe_user_files_give_back(r->t->user_files, r->set);
    free(r);
}

koe_status koe_text_segments(koe_segments *out, koe_text *t, koe_str input, const koe_text_options *opt, koe_error *err)
{
    koe_passage *r = NULL;
    size_t n;
    *out = (koe_segments){ 0 };
    koe_status st = koe_passage_open(&r, t, input, opt, err);
    while (st == KOE_OK && !r->done) st = read_on(r, err);
    if (st == KOE_OK) (void)koe_assemble_waiting(&r->assembly, &n), st = hand_over(r, n, out, err);
    koe_passage_close(r);
    return st;
}
