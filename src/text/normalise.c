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
        if (end > at && !add_link(b, (koe_link){ at, end - at, s->value, s->is_ipa })) b->normal.failed = true;
    }
}

typedef void rewrite_fn(koe_normal *out, koe_str text);

/* Moves the links to where a pass has put their text. */
static void move_links(koe_block *b, const koe_normal *next)
{
    for (size_t i = 0, k = 0; i < next->n && k < b->n_link;) {
        const koe_span *s = &next->span[i];
        koe_link *l = &b->link[k];
        if (s->same && l->at >= s->text_at && l->at + l->n <= s->text_at + s->text_n) l->at = s->at + (l->at - s->text_at), k++;
        else if (l->at < s->text_at + s->text_n) l->n = 0, l->at = s->at, k++; /* a rule took it */
        else i++;
    }
}

/* One more pass over the normal text. */
static void rewrite(koe_block *b, rewrite_fn *fn)
{
    koe_normal next = { 0 };
    fn(&next, koe_buf_str(&b->normal.text));
    move_links(b, &next);
    koe_normal_compose(&next, &b->normal);
    next.failed |= b->normal.failed;
    koe_normal_free(&b->normal);
    b->normal = next;
}

/* The links' offsets follow the text. */
static void apply_rules(koe_block *b, const koe_reading *reading)
{
    const koe_rules by = { strcmp(b->lang->tag, "en-gb") == 0, reading, reading ? koe_text_speller(b->t, reading) : NULL };
    if (reading && !by.speller) return; /* out of memory: the numbers stay as they are */
    koe_normal next = { 0 };
    koe_rules_apply(&next, &b->applied, koe_buf_str(&b->normal.text), &by, b->opt->rules_off);
    move_links(b, &next);
    koe_normal_compose(&next, &b->normal);
    next.failed |= b->normal.failed;
    koe_normal_free(&b->normal);
    b->normal = next;
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
    if (!opt.as_written && b->lang->way == KOE_LANG_CHINESE) rewrite(b, koe_zh_normalise);
    if (!opt.as_written && b->lang->way == KOE_LANG_JAPANESE) rewrite(b, koe_ja_normalise);
    koe_buf_clear(&b->applied);
    const koe_reading *reading = koe_reading_of(b->lang);
    if (!opt.as_written && reading && strcmp(reading->tag, "hi") == 0) rewrite(b, koe_rules_plain_digits);
    if (!opt.as_written && (english || reading)) apply_rules(b, reading);
    bool lexicon = english && misaki && koe_text_lexicon(b->t, strcmp(b->lang->tag, "en-gb") == 0);
    if (!opt.as_written && english && !lexicon) rewrite(b, koe_rules_spell_numbers);
    return b->normal.failed ? koe_fail(err, KOE_E_NOMEM, "normalising text") : KOE_OK;
}
