/* en_stress.c - stress marks, and what suffixes do to the end of a word. */
#include <stdio.h>
#include <stdlib.h>

#include "text/en.h"
#include "text/utf8.h"

koe_str koe_en_printf(koe_english *e, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n >= 0 ? koe_arena_alloc(&e->arena, (size_t)n + 1) : NULL;
    if (p) vsnprintf(p, (size_t)n + 1, format, again);
    else if (e->st == KOE_OK) e->st = koe_fail(e->err, KOE_E_NOMEM, "phonemes");
    va_end(again);
    return (koe_str){ p, p ? (size_t)n : 0 };
}

static bool is_vowel(uint32_t c) { return koe_utf8_in(c, KOE_EN_VOWELS); }

bool koe_en_has(koe_str s, uint32_t c)
{
    for (size_t at = 0; at < s.n;)
        if (koe_utf8_next(s, &at) == c) return true;
    return false;
}

static bool has_vowel(koe_str s)
{
    for (size_t at = 0; at < s.n;)
        if (is_vowel(koe_utf8_next(s, &at))) return true;
    return false;
}

size_t koe_en_weight(koe_str s)
{
    size_t n = 0;
    for (size_t at = 0; at < s.n;) n += koe_utf8_in(koe_utf8_next(s, &at), "AIOQWYʤʧ") ? 2 : 1;
    return n;
}

int koe_en_vowel_after(koe_str s, int vowel)
{
    for (size_t at = 0; at < s.n;) {
        uint32_t c = koe_utf8_next(s, &at);
        if (is_vowel(c)) return 1;
        if (koe_utf8_in(c, KOE_EN_CONSONANTS)) return 0;
        if (koe_utf8_in(c, KOE_EN_PAUSES)) return -1;
    }
    return vowel;
}

/* Each code point `from` becomes `to`, or nothing when to is 0. Stress marks take two bytes each. */
static koe_str replace(koe_english *e, koe_str s, uint32_t from, uint32_t to)
{
    koe_buf out = { 0 };
    for (size_t at = 0; at < s.n;) {
        uint32_t c = koe_utf8_next(s, &at);
        if (c == from) c = to;
        if (c) koe_utf8_put(&out, c);
    }
    koe_str r = koe_en_printf(e, "%.*s", KOE_STR_ARG(koe_buf_str(&out)));
    koe_buf_free(&out);
    return r;
}

/* Puts `mark` before the first vowel. */
static koe_str mark_first_vowel(koe_english *e, koe_str s, uint32_t mark)
{
    size_t vowel_at = 0;
    for (size_t at = 0; at < s.n; vowel_at = at)
        if (is_vowel(koe_utf8_next(s, &at))) break;
    return koe_en_printf(e, "%.*s%s%.*s", KOE_STR_ARG(koe_str_sub(s, 0, vowel_at)), mark == KOE_PRIMARY ? "ˈ" : "ˌ",
                         KOE_STR_ARG(koe_str_sub(s, vowel_at, s.n - vowel_at)));
}

koe_str koe_en_stress(koe_english *e, koe_str s, double stress)
{
    if (!s.p || isnan(stress)) return s;
    bool primary = koe_en_has(s, KOE_PRIMARY), secondary = koe_en_has(s, KOE_SECONDARY);
    if (stress < -1) return replace(e, replace(e, s, KOE_PRIMARY, 0), KOE_SECONDARY, 0);
    if (stress <= -1 || ((stress == 0 || stress == -0.5) && primary)) return replace(e, replace(e, s, KOE_SECONDARY, 0), KOE_PRIMARY, KOE_SECONDARY);
    if ((stress == 0 || stress == 0.5 || stress == 1) && !primary && !secondary) return has_vowel(s) ? mark_first_vowel(e, s, KOE_SECONDARY) : s;
    if (stress >= 1 && !primary && secondary) return replace(e, s, KOE_SECONDARY, KOE_PRIMARY);
    if (stress > 1 && !primary && !secondary) return has_vowel(s) ? mark_first_vowel(e, s, KOE_PRIMARY) : s;
    return s;
}

/* ---- suffixes ---- */

#define AFTER_FLAP "AIOWYiuæɑəɛɪɹʊʌ"

static koe_str without_last(koe_str s)
{
    size_t n = s.n;
    koe_utf8_prev(s, &n);
    return (koe_str){ s.p, n };
}

static koe_str append(koe_english *e, koe_str stem, const char *suffix) { return koe_en_printf(e, "%.*s%s", KOE_STR_ARG(stem), suffix); }

koe_str koe_en_add_s(koe_english *e, koe_str stem)
{
    uint32_t last = koe_utf8_last(stem);
    if (!stem.n) return (koe_str){ NULL, 0 };
    if (koe_utf8_in(last, "ptkfθ")) return append(e, stem, "s");
    if (koe_utf8_in(last, "szʃʒʧʤ")) return append(e, stem, e->british ? "ɪz" : "ᵻz");
    return append(e, stem, "z");
}

koe_str koe_en_add_ed(koe_english *e, koe_str stem)
{
    uint32_t last = koe_utf8_last(stem);
    if (!stem.n) return (koe_str){ NULL, 0 };
    if (koe_utf8_in(last, "pkfθʃsʧ")) return append(e, stem, "t");
    if (last == 'd') return append(e, stem, e->british ? "ɪd" : "ᵻd");
    if (last != 't') return append(e, stem, "d");
    koe_str head = without_last(stem);
    if (e->british || !head.n) return append(e, stem, "ɪd");
    return koe_utf8_in(koe_utf8_last(head), AFTER_FLAP) ? append(e, head, "ɾᵻd") : append(e, stem, "ᵻd");
}

koe_str koe_en_add_ing(koe_english *e, koe_str stem)
{
    uint32_t last = koe_utf8_last(stem);
    if (!stem.n) return (koe_str){ NULL, 0 };
    if (e->british) {
        if (koe_utf8_in(last, "əː")) return (koe_str){ NULL, 0 };
    } else if (last == 't') {
        koe_str head = without_last(stem);
        if (head.n && koe_utf8_in(koe_utf8_last(head), AFTER_FLAP)) return append(e, head, "ɾɪŋ");
    }
    return append(e, stem, "ɪŋ");
}
