/* normalise.c - written text to speakable text: first stage of the front end. */
#include <stdlib.h>

#include "text/clean.h"
#include "text/ja.h"
#include "text/markup.h"
#include "text/rules.h"
#include "text/utf8.h"
#include "text/zh.h"

static bool add_link(koe_block *b, koe_link link)
{
    if ((b->n_link & (b->n_link + 1)) == 0) { /* grows at 0, 1, 3, 7, ... */
        koe_link *grown = reallocarray(b->link, b->n_link * 2 + 1, sizeof *grown);
        if (!grown) return false;
        b->link = grown;
    }
    b->link[b->n_link++] = link;
    return true;
}

/* Where the spans that say how they sound stand in the normal text: their words are in b->link. */
static void place_links(koe_block *b)
{
    size_t n, hint = 0;
    const koe_marked_span *span = koe_marked_spans(b->marked, &n);
    for (; b->next_span < n && span[b->next_span].at < b->text_at + b->text_n; b->next_span++) {
        const koe_marked_span *s = &span[b->next_span];
        if (s->kind != KOE_MARKED_LINK) continue;
        size_t at = koe_normal_place(&b->normal, s->at, &hint), end = koe_normal_place(&b->normal, s->at + s->n, &hint);
        if (end > at && !add_link(b, (koe_link){ .at = at, .n = end - at, .value = s->value, .is_ipa = s->is_ipa })) b->normal.failed = true;
    }
}

/* Whether byte `at` lies inside of what span i was made from, and that was rewritten. */
static bool is_inside(const koe_normal *t, size_t i, size_t at)
{
    return i < t->n && !t->span[i].same && t->span[i].text_at < at && at < t->span[i].text_at + t->span[i].text_n;
}

/* Moves the links to where a pass has put their text; what a rule has rewritten across their edges is theirs no longer. */
static void move_links(koe_block *b, const koe_normal *next)
{
    size_t hint = 0, end_hint = 0;
    for (size_t k = 0; k < b->n_link; k++) {
        koe_link *l = &b->link[k];
        const size_t from = l->at, to = l->at + l->n;
        l->at = koe_normal_place(next, from, &hint);
        const bool torn = is_inside(next, hint, from);
        const size_t end = l->n ? koe_normal_place(next, to, &end_hint) : l->at;
        l->n = torn || end < l->at || (to > from && is_inside(next, end_hint, to)) ? 0 : end - l->at;
    }
}

static void take_normal(koe_block *b, koe_normal *next)
{
    koe_normal_compose(next, &b->normal);
    next->failed |= b->normal.failed;
    koe_normal_free(&b->normal);
    b->normal = *next;
}

typedef void rewrite_fn(koe_normal *out, koe_str text);

/* Appends what fn makes of text[at, end). */
static void rewrite_part(koe_normal *out, rewrite_fn *fn, koe_str text, size_t at, size_t end)
{
    koe_normal part = { 0 };
    if (at >= end) return;
    fn(&part, koe_str_sub(text, at, end - at));
    for (size_t i = 0; i < part.n; i++) {
        const koe_span *s = &part.span[i];
        if (s->same) koe_normal_keep(out, text, at + s->text_at, s->text_n);
        else koe_normal_replace(out, at + s->text_at, s->text_n, koe_str_sub(koe_buf_str(&part.text), s->at, s->n));
    }
    out->failed |= part.failed;
    koe_normal_free(&part);
}

/* One more pass over the normal text, which leaves alone what links say the sound of. */
static void rewrite(koe_block *b, rewrite_fn *fn)
{
    koe_normal next = { 0 };
    const koe_str text = koe_buf_str(&b->normal.text);
    size_t at = 0;
    for (size_t k = 0; k < b->n_link; k++) {
        const koe_link *l = &b->link[k];
        if (!koe_link_is_fixed(l)) continue;
        rewrite_part(&next, fn, text, at, l->at);
        koe_normal_keep(&next, text, l->at, l->n);
        at = l->at + l->n;
    }
    rewrite_part(&next, fn, text, at, text.n);
    move_links(b, &next);
    take_normal(b, &next);
}

static void apply_rules(koe_block *b, const koe_reading *reading)
{
    const koe_rules by = { strcmp(b->lang->tag, "en-gb") == 0, reading, reading ? koe_text_speller(b->t, reading) : NULL };
    if (reading && !by.speller) return; /* out of memory: the numbers stay as they are */
    koe_normal next = { 0 };
    koe_rules_apply(&next, &b->applied, koe_buf_str(&b->normal.text), &by, b->opt->rules_off, b->link, b->n_link);
    move_links(b, &next);
    take_normal(b, &next);
}

static void spell_numbers(koe_block *b)
{
    koe_normal next = { 0 };
    koe_rules_spell_numbers(&next, koe_buf_str(&b->normal.text), b->link, b->n_link);
    move_links(b, &next);
    take_normal(b, &next);
}

/* ---- the writer's lexicons ---- */

/* The longest match of all lexicons at a place; of equals the first lexicon's. */
static bool match_word(const koe_block *b, koe_str text, size_t at, koe_user_match *out)
{
    koe_user_match m;
    *out = (koe_user_match){ 0 };
    for (size_t i = 0; i < b->n_lexicon; i++)
        if (koe_user_lexicon_match(b->lexicon[i], text, at, b->lang, &m) && m.n > out->n) *out = m;
    return out->n > 0;
}

/* Whether the phonemes of an entry can be spoken; otherwise its alias is, when it has one. */
static bool takes_phonemes(const koe_block *b, const koe_user_word *w)
{
    const bool speaks = b->opt->alphabet == KOE_ALPHABET_MISAKI || b->opt->alphabet == KOE_ALPHABET_ESPEAK;
    return speaks && koe_user_word_phonemes(w, KOE_N_POS, KOE_N_POS).n;
}

/* The text with its aliases in place; links for all words of the lexicons that are not inside another link. */
static void find_words(koe_block *b)
{
    const koe_str text = koe_buf_str(&b->normal.text);
    koe_normal next = { 0 };
    koe_link *written = b->link;
    size_t n_written = b->n_link, k = 0, kept = 0;
    b->link = NULL;
    b->n_link = 0;
    for (size_t at = 0; at < text.n;) {
        koe_user_match m;
        while (k < n_written && written[k].at + written[k].n <= at) next.failed |= !add_link(b, written[k++]);
        const size_t limit = k < n_written ? written[k].at : SIZE_MAX; /* the writer's own links are left alone */
        if (at >= limit) {
            at = written[k].at + written[k].n;
            continue;
        }
        size_t end = at;
        koe_utf8_next(text, &end);
        if (!match_word(b, text, at, &m) || m.n > limit - at) {
            at = end;
            continue;
        }
        koe_link l = { .at = at, .n = m.n, .word = m.word, .has_s = m.has_s };
        if (takes_phonemes(b, m.word)) {
            l.value = koe_user_word_phonemes(m.word, KOE_POS_DEFAULT, KOE_N_POS);
            l.is_ipa = !m.word->is_misaki;
        } else if (m.word->alias.n) {
            koe_buf said = { 0 };
            koe_buf_add_str(&said, m.word->alias);
            if (m.has_s) koe_buf_adds(&said, "'s");
            l.is_alias = true;
            koe_normal_keep(&next, text, kept, at - kept);
            koe_normal_replace(&next, at, m.n, koe_buf_str(&said));
            next.failed |= said.failed;
            koe_buf_free(&said);
            kept = at + m.n;
        }
        if (l.value.n || l.is_alias) next.failed |= !add_link(b, l);
        at += m.n;
    }
    while (k < n_written) next.failed |= !add_link(b, written[k++]);
    koe_normal_keep(&next, text, kept, text.n - kept);
    free(written);
    move_links(b, &next);
    take_normal(b, &next);
}

/* Words that were said how to speak are explained like those that a rule rewrote. */
static void explain_links(koe_block *b)
{
    koe_buf merged = { 0 };
    const koe_applied *a = (const koe_applied *)(const void *)b->applied.data;
    size_t n = b->applied.n / sizeof *a, i = 0;
    for (size_t k = 0; k < b->n_link; k++) {
        const koe_link *l = &b->link[k];
        if (!l->n || (!l->word && !koe_link_phonemes(l).n)) continue;
        for (; i < n && a[i].at + a[i].n <= l->at; i++) koe_buf_add(&merged, &a[i], sizeof *a);
        const koe_applied own = { l->at, l->n, l->word ? "lexicon" : "phonemes" };
        koe_buf_add(&merged, &own, sizeof own);
        while (i < n && a[i].at < l->at + l->n) i++; /* rules within an alias */
    }
    for (; i < n; i++) koe_buf_add(&merged, &a[i], sizeof *a);
    b->normal.failed |= merged.failed;
    koe_buf_free(&b->applied);
    b->applied = merged;
}

koe_status koe_normalise_block(koe_block *b, koe_error *err)
{
    bool english = b->lang->way == KOE_LANG_ENGLISH, misaki = b->opt->alphabet == KOE_ALPHABET_MISAKI && !b->opt->phonemes;
    const koe_clean_options opt = {
        .as_written = b->opt->no_normalize || b->opt->phonemes,
        .emoji_names = english && !(b->opt->rules_off & KOE_RULES_EMOJI),
        .plain_letters = !b->opt->phonemes && (english || b->lang->way == KOE_LANG_ESPEAK),
        .joiners = b->lang->way == KOE_LANG_ESPEAK,
    };
    koe_normal_clear(&b->normal);
    b->n_link = 0;
    koe_clean(&b->normal, b->input, b->text_at, b->text_n, &opt);
    place_links(b);
    if (b->n_lexicon && !b->opt->phonemes) find_words(b);
    if (!opt.as_written && b->lang->way == KOE_LANG_CHINESE) rewrite(b, koe_zh_normalise);
    if (!opt.as_written && b->lang->way == KOE_LANG_JAPANESE) rewrite(b, koe_ja_normalise);
    koe_buf_clear(&b->applied);
    const koe_reading *reading = koe_reading_of(b->lang);
    if (!opt.as_written && reading && strcmp(reading->tag, "hi") == 0) rewrite(b, koe_rules_plain_digits);
    if (!opt.as_written && (english || reading)) apply_rules(b, reading);
    bool lexicon = english && misaki && koe_text_lexicon(b->t, strcmp(b->lang->tag, "en-gb") == 0);
    if (!opt.as_written && english && !lexicon) spell_numbers(b);
    if (b->n_link) explain_links(b);
    return b->normal.failed ? koe_fail(err, KOE_E_NOMEM, "normalising text") : KOE_OK;
}
