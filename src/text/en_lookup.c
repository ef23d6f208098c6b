/* en_lookup.c - a word's phonemes: special cases, the dictionaries, spelling, endings. The order of the steps is misaki's. */
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/en.h"
#include "text/utf8.h"

enum { MAX_WORD = 250 }; /* bytes; nothing longer is in a dictionary */

static const koe_str none = { NULL, 0 };

/* ---- letters ---- */

static bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

typedef struct shape {
    bool has_lower, has_upper, ascii; /* ascii: letters and apostrophes only */
    bool rest_lower, rest_upper; /* without its first character: no capital, no small letter */
    bool letters; /* letters and apostrophes only, of any script, at least one letter */
    size_t n; /* code points */
} shape;

static shape shape_of(koe_str w)
{
    shape s = { .ascii = true, .rest_lower = true, .rest_upper = true, .letters = true };
    bool letter = false;
    for (size_t at = 0; at < w.n; s.n++) {
        uint32_t c = koe_utf8_next(w, &at);
        bool up = c < 0x80 ? c >= 'A' && c <= 'Z' : u_tolower((UChar32)c) != (UChar32)c;
        bool low = c < 0x80 ? c >= 'a' && c <= 'z' : u_toupper((UChar32)c) != (UChar32)c;
        s.has_lower |= low, s.has_upper |= up;
        if (s.n && up) s.rest_lower = false;
        if (s.n && low) s.rest_upper = false;
        bool is_letter = c < 0x80 ? is_ascii_letter((char)c) : u_isalpha((UChar32)c);
        letter |= is_letter;
        if (!is_letter && c != '\'') s.letters = false;
        if (!(c < 0x80 && (is_letter || c == '\''))) s.ascii = false;
    }
    s.letters &= letter;
    return s;
}

static koe_str to_lower(koe_english *e, koe_str w)
{
    char *p = koe_arena_alloc(&e->arena, w.n + 1);
    if (!p) return w;
    bool ascii = true;
    for (size_t i = 0; i < w.n; i++) p[i] = lower(w.p[i]), ascii &= (unsigned char)w.p[i] < 0x80;
    if (ascii) return (koe_str){ p, w.n };
    koe_buf b = { 0 };
    for (size_t at = 0; at < w.n;) koe_utf8_put(&b, (uint32_t)u_tolower((UChar32)koe_utf8_next(w, &at)));
    koe_str r = koe_en_printf(e, "%.*s", KOE_STR_ARG(koe_buf_str(&b)));
    koe_buf_free(&b);
    return r.p ? r : w;
}

static bool in_gold(koe_english *e, koe_str w)
{
    koe_entry entry;
    return koe_lexicon_find(e->lexicon, w, &entry) && entry.gold;
}

static bool in_either(koe_english *e, koe_str w)
{
    koe_entry entry;
    return koe_lexicon_find(e->lexicon, w, &entry);
}

/* ---- dictionary ---- */

/* Letter by letter: FBI. */
koe_str koe_en_spell(koe_english *e, koe_str w)
{
    koe_buf b = { 0 };
    koe_str r = none;
    for (size_t at = 0; at < w.n;) {
        uint32_t c = koe_utf8_next(w, &at);
        if (!u_isalpha((UChar32)c)) continue;
        koe_buf one = { 0 };
        koe_entry entry;
        koe_utf8_put(&one, (uint32_t)u_toupper((UChar32)c));
        bool ok = koe_lexicon_find(e->lexicon, koe_buf_str(&one), &entry) && entry.gold;
        koe_buf_free(&one);
        if (!ok) goto done;
        koe_buf_add_str(&b, entry.by_pos ? entry.pos_value[KOE_POS_DEFAULT] : entry.gold_value);
    }
    r = koe_en_stress(e, koe_en_printf(e, "%.*s", KOE_STR_ARG(koe_buf_str(&b))), 0);
    /* the last secondary stress is the main one */
    size_t last = r.n;
    for (size_t at = 0; at < r.n;) {
        size_t start = at;
        if (koe_utf8_next(r, &at) == KOE_SECONDARY) last = start;
    }
    if (last < r.n) r = koe_en_printf(e, "%.*sˈ%.*s", KOE_STR_ARG(koe_str_sub(r, 0, last)), KOE_STR_ARG(koe_str_sub(r, last + 2, r.n - last - 2)));
done:
    koe_buf_free(&b);
    return r;
}

static koe_pos exact_pos(koe_en_tag_id t)
{
    return t == KOE_TAG_VBD ? KOE_POS_VBD : t == KOE_TAG_VBN ? KOE_POS_VBN : t == KOE_TAG_VBP ? KOE_POS_VBP : t == KOE_TAG_DT ? KOE_POS_DT : KOE_N_POS;
}

static koe_pos parent_pos(koe_en_tag_id t)
{
    if (t >= KOE_TAG_VB && t <= KOE_TAG_VBZ) return KOE_POS_VERB;
    if (t >= KOE_TAG_NN && t <= KOE_TAG_NNPS) return KOE_POS_NOUN;
    if (t >= KOE_TAG_RB && t <= KOE_TAG_RBS) return KOE_POS_ADV;
    if (t >= KOE_TAG_JJ && t <= KOE_TAG_JJS) return KOE_POS_ADJ;
    return KOE_N_POS;
}

void koe_en_pos(koe_en_tag_id tag, koe_pos *exact, koe_pos *parent)
{
    *exact = exact_pos(tag);
    *parent = parent_pos(tag);
}

/* An entry's reading for a part of speech; n == 0 with p: spell it. */
static koe_str by_pos(const koe_entry *entry, koe_en_tag_id tag, const koe_en_context *ctx)
{
    if (ctx && ctx->vowel < 0 && entry->pos_value[KOE_POS_NONE].p) return entry->pos_value[KOE_POS_NONE];
    koe_pos pos = exact_pos(tag);
    if (pos == KOE_N_POS || !entry->pos_value[pos].p) pos = parent_pos(tag);
    if (pos < KOE_N_POS && entry->pos_value[pos].p) return entry->pos_value[pos];
    return entry->pos_value[KOE_POS_DEFAULT];
}

koe_str koe_en_dictionary(koe_english *e, koe_str word, koe_en_tag_id tag, double stress, const koe_en_context *ctx)
{
    koe_entry entry = { 0 };
    bool found = koe_lexicon_find(e->lexicon, word, &entry), name = false;
    if (!(found && entry.gold) && !shape_of(word).has_lower) {
        word = to_lower(e, word);
        name = tag == KOE_TAG_NNP;
        found = koe_lexicon_find(e->lexicon, word, &entry);
    }
    koe_str ph = none;
    if (found && entry.gold) ph = entry.by_pos ? by_pos(&entry, tag, ctx) : entry.gold_value;
    else if (found && !name) ph = entry.silver_value;
    if (!ph.n || (name && !koe_en_has(ph, KOE_PRIMARY))) {
        koe_str spelled = koe_en_spell(e, word);
        if (spelled.n || !ph.n) return spelled;
    }
    return koe_en_stress(e, ph, stress);
}

static bool is_symbol(koe_str w) { return w.n == 1 && strchr("%&+@", w.p[0]); }

static bool is_known(koe_english *e, koe_str w)
{
    if (!w.n) return false;
    if (in_either(e, w) || is_symbol(w)) return true;
    shape s = shape_of(w);
    if (!s.ascii || !s.letters || memchr(w.p, '\'', w.n)) return false;
    if (s.n == 1) return true;
    if (!s.has_lower && in_gold(e, to_lower(e, w))) return true;
    return s.rest_upper;
}

/* ---- endings ---- */

static koe_str cut(koe_str w, size_t n) { return (koe_str){ w.p, w.n - n }; }

koe_str koe_en_stem_s(koe_english *e, koe_str w, koe_en_tag_id tag, double stress, const koe_en_context *ctx)
{
    koe_str stem = none;
    if (w.n < 3 || w.p[w.n - 1] != 's') return none;
    bool ies = koe_str_ends(w, KOE_STR("ies"));
    if (!koe_str_ends(w, KOE_STR("ss")) && is_known(e, cut(w, 1))) stem = cut(w, 1);
    else if ((koe_str_ends(w, KOE_STR("'s")) || (w.n > 4 && koe_str_ends(w, KOE_STR("es")) && !ies)) && is_known(e, cut(w, 2))) stem = cut(w, 2);
    else if (w.n > 4 && ies) {
        koe_str y = koe_en_printf(e, "%.*sy", KOE_STR_ARG(cut(w, 3)));
        if (is_known(e, y)) stem = y;
    }
    return stem.p ? koe_en_add_s(e, koe_en_dictionary(e, stem, tag, stress, ctx)) : none;
}

static koe_str stem_ed(koe_english *e, koe_str w, koe_en_tag_id tag, double stress, const koe_en_context *ctx)
{
    koe_str stem = none;
    if (w.n < 4 || w.p[w.n - 1] != 'd') return none;
    if (!koe_str_ends(w, KOE_STR("dd")) && is_known(e, cut(w, 1))) stem = cut(w, 1);
    else if (w.n > 4 && koe_str_ends(w, KOE_STR("ed")) && !koe_str_ends(w, KOE_STR("eed")) && is_known(e, cut(w, 2))) stem = cut(w, 2);
    return stem.p ? koe_en_add_ed(e, koe_en_dictionary(e, stem, tag, stress, ctx)) : none;
}

static bool is_doubled_ing(koe_str w)
{
    char a = w.p[w.n - 5], b = w.p[w.n - 4];
    return (a == b && strchr("bcdgklmnprstvxz", a)) || koe_str_ends(w, KOE_STR("cking"));
}

static koe_str stem_ing(koe_english *e, koe_str w, koe_en_tag_id tag, double stress, const koe_en_context *ctx)
{
    koe_str stem = none;
    if (w.n < 5 || !koe_str_ends(w, KOE_STR("ing"))) return none;
    koe_str with_e = koe_en_printf(e, "%.*se", KOE_STR_ARG(cut(w, 3)));
    if (w.n > 5 && is_known(e, cut(w, 3))) stem = cut(w, 3);
    else if (is_known(e, with_e)) stem = with_e;
    else if (w.n > 5 && is_doubled_ing(w) && is_known(e, cut(w, 4))) stem = cut(w, 4);
    return stem.p ? koe_en_add_ing(e, koe_en_dictionary(e, stem, tag, stress, ctx)) : none;
}

static koe_str by_ending(koe_english *e, koe_str w, koe_en_tag_id tag, double stress, const koe_en_context *ctx)
{
    koe_str ph = koe_en_stem_s(e, w, tag, stress, ctx);
    if (!ph.p) ph = stem_ed(e, w, tag, stress, ctx);
    if (!ph.p) ph = stem_ing(e, w, tag, isnan(stress) ? 0.5 : stress, ctx);
    return ph;
}

/* ---- special cases ---- */

static bool is_any_case(koe_str w, const char *low) /* "am", "Am", "AM" */
{
    size_t n = strlen(low);
    if (w.n != n) return false;
    bool rest_low = true, rest_up = true;
    for (size_t i = 0; i < n; i++) {
        if (lower(w.p[i]) != low[i]) return false;
        if (i) rest_low &= w.p[i] == low[i], rest_up &= w.p[i] != low[i];
    }
    return rest_low || (rest_up && w.p[0] != low[0]);
}

/* U.S., a.m.: a dot inside, letters otherwise, none of the parts longer than two. */
static bool is_dotted(koe_str w)
{
    while (w.n && w.p[0] == '.') w.p++, w.n--;
    size_t part = 0, letters = 0;
    for (size_t at = 0; at < w.n;) {
        uint32_t c = koe_utf8_next(w, &at);
        if (c == '.') part = 0;
        else if (!u_isalpha((UChar32)c) || ++part > 2) return false;
        else letters++;
    }
    if (!letters) return false;
    for (size_t i = w.n; i-- > 0;) /* only dots behind the first one are no inside */
        if (w.p[i] != '.') return memchr(w.p, '.', i) != NULL;
    return false;
}

static bool is_noun(koe_en_tag_id t) { return t >= KOE_TAG_NN && t <= KOE_TAG_NNPS; }

static koe_str gold_default(koe_english *e, const char *w)
{
    koe_entry entry;
    if (!koe_lexicon_find(e->lexicon, koe_str_of(w), &entry) || !entry.gold) return none;
    return entry.by_pos ? entry.pos_value[KOE_POS_DEFAULT] : entry.gold_value;
}

static koe_str function_word(koe_english *e, koe_str w, koe_en_tag_id tag, double stress, koe_en_context ctx)
{
    bool upper = w.n > 1 && w.p[0] <= 'Z' && w.p[1] <= 'Z';
    if (is_any_case(w, "am")) {
        if (is_noun(tag)) return koe_en_spell(e, w);
        if (ctx.vowel < 0 || !koe_str_is(w, "am") || stress > 0) return gold_default(e, "am");
        return KOE_STR("ɐm");
    }
    if (is_any_case(w, "an")) return upper && is_noun(tag) ? koe_en_spell(e, w) : KOE_STR("ɐn");
    if (is_any_case(w, "by") && tag >= KOE_TAG_RB && tag <= KOE_TAG_RBS) return KOE_STR("bˈI");
    if (is_any_case(w, "to") && (!upper || tag == KOE_TAG_TO || tag == KOE_TAG_IN))
        return ctx.vowel < 0 ? gold_default(e, "to") : ctx.vowel ? KOE_STR("tʊ") : KOE_STR("tə");
    if (is_any_case(w, "in") && (!upper || tag != KOE_TAG_NNP))
        return ctx.vowel < 0 || tag != KOE_TAG_IN ? KOE_STR("ˈɪn") : KOE_STR("ɪn");
    if (is_any_case(w, "the") && (!upper || tag == KOE_TAG_DT)) return ctx.vowel > 0 ? KOE_STR("ði") : KOE_STR("ðə");
    if (is_any_case(w, "used")) {
        koe_entry entry;
        if (!koe_lexicon_find(e->lexicon, KOE_STR("used"), &entry) || !entry.by_pos) return none;
        bool habit = (tag == KOE_TAG_VBD || tag == KOE_TAG_JJ) && ctx.to;
        return entry.pos_value[habit && entry.pos_value[KOE_POS_VBD].p ? KOE_POS_VBD : KOE_POS_DEFAULT];
    }
    return none;
}

static koe_str special_case(koe_english *e, koe_str w, koe_en_tag_id tag, double stress, koe_en_context ctx)
{
    if (w.n == 1) {
        const char *sign = w.p[0] == '%' ? "percent" : w.p[0] == '&' ? "and" : w.p[0] == '+' ? "plus" : w.p[0] == '@' ? "at" : NULL;
        if (tag == KOE_TAG_ADD && (w.p[0] == '.' || w.p[0] == '/'))
            return koe_en_dictionary(e, w.p[0] == '.' ? KOE_STR("dot") : KOE_STR("slash"), KOE_TAG_XX, -0.5, &ctx);
        if (sign) return koe_en_dictionary(e, koe_str_of(sign), KOE_TAG_XX, KOE_NO_STRESS, &ctx);
        if (w.p[0] == 'a' || w.p[0] == 'A') return tag == KOE_TAG_DT ? KOE_STR("ɐ") : KOE_STR("ˈA");
        if (w.p[0] == 'I' && tag == KOE_TAG_PRP) return KOE_STR("ˌI");
        return none;
    }
    if (is_dotted(w)) return koe_en_spell(e, w);
    if (tag == KOE_TAG_IN && (is_any_case(w, "vs") || is_any_case(w, "vs."))) return koe_en_dictionary(e, KOE_STR("versus"), KOE_TAG_XX, KOE_NO_STRESS, &ctx);
    return w.n <= 4 ? function_word(e, w, tag, stress, ctx) : none;
}

/* ---- words ---- */

/* A capitalised or all-capital word that only its small form is known of. */
static bool reads_as_lower(koe_english *e, koe_str w, const shape *s, koe_str low, koe_en_tag_id tag, double stress, const koe_en_context *ctx)
{
    if (s->n < 2 || !s->letters || !s->has_upper || (tag == KOE_TAG_NNP && s->n <= 7)) return false;
    if (in_either(e, w) || !(!s->has_lower || s->rest_lower)) return false;
    return in_either(e, low) || by_ending(e, low, tag, stress, ctx).p;
}

static koe_str word_phonemes(koe_english *e, koe_str w, koe_en_tag_id tag, double stress, koe_en_context ctx)
{
    koe_str ph = special_case(e, w, tag, stress, ctx);
    if (ph.p) return ph;
    shape s = shape_of(w);
    if (s.has_upper) {
        koe_str low = to_lower(e, w);
        if (reads_as_lower(e, w, &s, low, tag, stress, &ctx)) w = low;
    }
    if (is_known(e, w)) return koe_en_dictionary(e, w, tag, stress, &ctx);
    if (koe_str_ends(w, KOE_STR("s'"))) {
        koe_str possessive = koe_en_printf(e, "%.*s's", KOE_STR_ARG(cut(w, 2)));
        if (is_known(e, possessive)) return koe_en_dictionary(e, possessive, tag, stress, &ctx);
    }
    if (koe_str_ends(w, KOE_STR("'")) && is_known(e, cut(w, 1))) return koe_en_dictionary(e, cut(w, 1), tag, stress, &ctx);
    return by_ending(e, w, tag, stress, &ctx);
}

/* Straight apostrophes, NFKC, ASCII digits. */
static koe_str plain_form(koe_english *e, koe_str w)
{
    bool ascii = true;
    for (size_t i = 0; i < w.n; i++) ascii &= (unsigned char)w.p[i] < 0x80;
    if (ascii) return w;
    UChar in[MAX_WORD + 1], out[4 * MAX_WORD];
    int32_t n_in = 0, n_out = 0;
    UErrorCode err = U_ZERO_ERROR;
    u_strFromUTF8(in, MAX_WORD + 1, &n_in, w.p, (int32_t)w.n, &err);
    if (U_SUCCESS(err)) n_out = unorm2_normalize(unorm2_getNFKCInstance(&err), in, n_in, out, 4 * MAX_WORD, &err);
    if (U_FAILURE(err)) return w;
    koe_buf b = { 0 };
    for (int32_t i = 0; i < n_out;) {
        uint32_t c = out[i++];
        if (c >= 0xd800 && c < 0xdc00 && i < n_out) c = 0x10000 + ((c - 0xd800) << 10) + (out[i++] - 0xdc00u);
        int32_t digit = u_charDigitValue((UChar32)c);
        if (c == 0x2018 || c == 0x2019) c = '\'';
        koe_utf8_put(&b, digit >= 0 ? (uint32_t)('0' + digit) : c);
    }
    koe_str r = koe_en_printf(e, "%.*s", KOE_STR_ARG(koe_buf_str(&b)));
    koe_buf_free(&b);
    return r.p ? r : w;
}

koe_str koe_en_lookup(koe_english *e, const koe_en_query *q, koe_en_context ctx)
{
    if (!q->text.n || q->text.n > MAX_WORD) return none;
    koe_str w = plain_form(e, q->text);
    shape s = shape_of(w);
    double stress = !s.has_upper ? KOE_NO_STRESS : s.has_lower ? 0.5 : 2;
    koe_str ph = word_phonemes(e, w, q->tag, stress, ctx);
    if (ph.p) return koe_en_stress(e, koe_en_append_currency(e, ph, q->currency), q->stress);
    if (koe_en_is_number(w, q->is_head)) return koe_en_stress(e, koe_en_number(e, q, w), q->stress);
    return none;
}
