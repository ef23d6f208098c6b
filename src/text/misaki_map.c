/* misaki_map.c - espeak-ng's IPA, tied with '^', in misaki's symbols: one letter for each diphthong and affricate. */
#include "text/front.h"
#include "text/utf8.h"

typedef struct rule {
    const char *from, *to;
} rule;

/* Longest source first. */
static const rule english[] = { { "ʔˌn̩", "ʔn" }, { "ʔn̩", "ʔn" }, { "a^ɪ", "I" }, { "a^ʊ", "W" }, { "d^ʒ", "ʤ" }, { "e^ɪ", "A" },
    { "t^ʃ", "ʧ" }, { "ɔ^ɪ", "Y" }, { "ə^l", "ᵊl" }, { "ʲo", "jo" }, { "ʲə", "jə" }, { "e", "A" }, { "ʲ", "" }, { "ɚ", "əɹ" }, { "r", "ɹ" },
    { "x", "k" }, { "ç", "k" }, { "ɐ", "ə" }, { "ɬ", "l" }, { "\u0303", "" } };
static const rule american[] = { { "o^ʊ", "O" }, { "ə^ʊ", "O" }, { "ɜːɹ", "ɜɹ" }, { "ɜː", "ɜɹ" }, { "ɪə", "iə" }, { "ː", "" } };
static const rule british[] = { { "e^ə", "ɛː" }, { "iə", "ɪə" }, { "ə^ʊ", "Q" }, { "o^ʊ", "Q" } };
static const rule either[] = { { "o", "ɔ" }, { "ɾ", "T" }, { "ʔ", "t" }, { "^", "" } };
/* By code point, as misaki sorts them. */
static const rule other[] = { { "a^ɪ", "I" }, { "a^ʊ", "W" }, { "d^z", "ʣ" }, { "d^ʒ", "ʤ" }, { "e^ɪ", "A" }, { "o^ʊ", "O" }, { "ə^ʊ", "Q" },
    { "s^s", "S" }, { "t^s", "ʦ" }, { "t^ʃ", "ʧ" }, { "ɔ^ɪ", "Y" }, { "^", "" }, { "-", "" } };

/* All rules at each place, the first that fits: for these tables the same as one after the other over the whole string. */
static void apply(koe_buf *out, koe_str in, const rule *rules, size_t n)
{
    for (size_t at = 0; at < in.n;) {
        size_t i = 0;
        while (i < n && !koe_str_starts(koe_str_sub(in, at, in.n - at), koe_str_of(rules[i].from))) i++;
        if (i < n) {
            koe_buf_adds(out, rules[i].to);
            at += strlen(rules[i].from);
        } else koe_buf_addc(out, in.p[at++]);
    }
}

/* A syllabic consonant (U+0329 after it) gets a reduced schwa in front. */
static void open_syllabic(koe_buf *out, koe_str in)
{
    for (size_t at = 0; at < in.n;) {
        size_t start = at;
        uint32_t c = koe_utf8_next(in, &at), mark = koe_utf8_first(koe_str_sub(in, at, 4));
        if (c == 0x329) continue;
        if (mark == 0x329) koe_buf_adds(out, "ᵊ");
        koe_buf_add(out, in.p + start, at - start);
    }
}

#define APPLY(out, in, table) apply(out, in, table, sizeof table / sizeof *table)

void koe_misaki_english(koe_buf *out, koe_str ipa, bool is_british)
{
    koe_buf a = { 0 }, b = { 0 };
    APPLY(&a, ipa, english);
    open_syllabic(&b, koe_buf_str(&a));
    koe_buf_clear(&a);
    if (is_british) APPLY(&a, koe_buf_str(&b), british);
    else APPLY(&a, koe_buf_str(&b), american);
    APPLY(out, koe_buf_str(&a), either);
    out->failed |= a.failed | b.failed;
    koe_buf_free(&a);
    koe_buf_free(&b);
}

void koe_misaki_other(koe_buf *out, koe_str ipa) { APPLY(out, ipa, other); }

/* ---- phonemes that a writer gives ---- */

koe_str koe_link_phonemes(const koe_link *l)
{
    koe_str v = l->value;
    if (v.n < 2 || v.p[0] != '/' || v.p[v.n - 1] != '/') return (koe_str){ "", 0 };
    while (v.n && v.p[0] == '/') v.p++, v.n--;
    while (v.n && v.p[v.n - 1] == '/') v.n--;
    return v;
}

void koe_misaki_of_ipa(koe_buf *out, koe_str ipa, const koe_lang *lang)
{
    /* Ties as espeak-ng writes them; syllables' dots and brackets are no sounds. */
    static const rule tied[] = { { "t\u0361ʃ", "t^ʃ" }, { "d\u0361ʒ", "d^ʒ" }, { "t\u0361s", "t^s" }, { "d\u0361z", "d^z" }, { "tʃ", "t^ʃ" },
        { "dʒ", "d^ʒ" }, { "aɪ", "a^ɪ" }, { "aʊ", "a^ʊ" }, { "eɪ", "e^ɪ" }, { "oʊ", "o^ʊ" }, { "əʊ", "ə^ʊ" }, { "ɔɪ", "ɔ^ɪ" }, { "\u0361", "^" },
        { "'", "ˈ" }, { ",", "ˌ" }, { ":", "ː" }, { "g", "ɡ" }, { ".", "" }, { "[", "" }, { "]", "" } };
    koe_buf a = { 0 };
    APPLY(&a, ipa, tied);
    if (lang->way == KOE_LANG_ENGLISH) koe_misaki_english(out, koe_buf_str(&a), strcmp(lang->tag, "en-gb") == 0);
    else koe_misaki_other(out, koe_buf_str(&a));
    out->failed |= a.failed;
    koe_buf_free(&a);
}

void koe_misaki_to_ipa(koe_buf *out, koe_str misaki)
{
    static const rule letters[] = { { "A", "eɪ" }, { "I", "aɪ" }, { "O", "oʊ" }, { "Q", "əʊ" }, { "W", "aʊ" }, { "Y", "ɔɪ" }, { "ʤ", "dʒ" }, { "ʧ", "tʃ" },
        { "ʣ", "dz" }, { "ʦ", "ts" }, { "T", "ɾ" }, { "ᵊ", "ə" } };
    APPLY(out, misaki, letters);
}

void koe_add_english_s(koe_buf *out, bool is_british, koe_alphabet alphabet)
{
    const uint32_t last = koe_utf8_last(koe_buf_str(out));
    if (koe_utf8_in(last, "ptkfθ")) koe_buf_adds(out, "s");
    else if (koe_utf8_in(last, "szʃʒʧʤ")) koe_buf_adds(out, is_british || alphabet == KOE_ALPHABET_ESPEAK ? "ɪz" : "ᵻz");
    else koe_buf_adds(out, "z");
}
