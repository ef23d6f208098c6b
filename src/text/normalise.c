/* normalise.c - written text to speakable text: first stage of the front end. */
#include <stdlib.h>

#include "text/clean.h"
#include "text/ja.h"
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

/* At text[at] == '[': the lengths of the word and of the value of "[word](value)"; false when it is no link. Looks at most `far` bytes. */
static bool match_link(koe_str text, size_t at, size_t *n_word, size_t *n_value)
{
    enum { far = 1000 };
    koe_str s = koe_str_sub(text, at + 1, far);
    const char *close = memchr(s.p, ']', s.n);
    if (!close || close == s.p || (size_t)(close - s.p) + 1 >= s.n || close[1] != '(') return false;
    *n_word = (size_t)(close - s.p);
    koe_str rest = koe_str_sub(s, *n_word + 2, s.n);
    const char *end = memchr(rest.p, ')', rest.n);
    if (!end) return false;
    *n_value = (size_t)(end - rest.p);
    return true;
}

/* Takes the link syntax out of the normal text; what the links say stays in b->link. */
static void take_links(koe_block *b)
{
    koe_normal plain = { 0 };
    koe_str text = koe_buf_str(&b->normal.text);
    size_t hint = 0, kept = 0, n_word, n_value;
    for (size_t at = 0; at < text.n && !plain.failed; at++) {
        if (text.p[at] != '[' || !match_link(text, at, &n_word, &n_value)) continue;
        koe_normal_keep(&plain, text, kept, at - kept);
        koe_normal_replace(&plain, at, 1, KOE_STR(""));
        size_t value_at = at + 1 + n_word + 2, from = koe_normal_source(&b->normal, value_at, &hint);
        size_t to = koe_normal_source(&b->normal, value_at + n_value, &hint);
        if (!add_link(b, (koe_link){ plain.text.n, n_word, koe_str_sub(b->input, from, to - from) })) plain.failed = true;
        koe_normal_keep(&plain, text, at + 1, n_word);
        koe_normal_replace(&plain, at + 1 + n_word, n_value + 3, KOE_STR(""));
        at = value_at + n_value;
        kept = at + 1;
    }
    koe_normal_keep(&plain, text, kept, text.n - kept);
    koe_normal_compose(&plain, &b->normal);
    koe_normal_free(&b->normal);
    b->normal = plain;
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

/* Rules run before links are taken out would see their values, so they run after; the links' offsets follow the text. */
static void apply_rules(koe_block *b)
{
    koe_normal next = { 0 };
    koe_rules_apply(&next, &b->applied, koe_buf_str(&b->normal.text), strcmp(b->lang->tag, "en-gb") == 0, b->opt->rules_off);
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
    if (misaki && !b->normal.failed && b->normal.text.n && memmem(b->normal.text.data, b->normal.text.n, "](", 2)) take_links(b);
    if (!opt.as_written && b->lang->way == KOE_LANG_CHINESE) rewrite(b, koe_zh_normalise);
    if (!opt.as_written && b->lang->way == KOE_LANG_JAPANESE) rewrite(b, koe_ja_normalise);
    koe_buf_clear(&b->applied);
    if (!opt.as_written && english) apply_rules(b);
    bool lexicon = english && misaki && koe_text_lexicon(b->t, strcmp(b->lang->tag, "en-gb") == 0);
    if (!opt.as_written && english && !lexicon) rewrite(b, koe_rules_spell_numbers);
    return b->normal.failed ? koe_fail(err, KOE_E_NOMEM, "normalising text") : KOE_OK;
}
