/* script.c - which language a stretch of text is in, by its script: English words within Japanese, Japanese names within English. */
#include "text/script.h"

#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include "text/utf8.h"

static const struct {
    UScriptCode script;
    const char *lang;
} scripts[] = { { USCRIPT_LATIN, "en-us" }, { USCRIPT_HAN, "zh" }, { USCRIPT_HIRAGANA, "ja" }, { USCRIPT_KATAKANA, "ja" }, { USCRIPT_HANGUL, "ko" },
    { USCRIPT_CYRILLIC, "ru" }, { USCRIPT_GREEK, "el" }, { USCRIPT_ARABIC, "ar" }, { USCRIPT_HEBREW, "he" }, { USCRIPT_DEVANAGARI, "hi" },
    { USCRIPT_THAI, "th" }, { USCRIPT_BENGALI, "bn" }, { USCRIPT_TAMIL, "ta" }, { USCRIPT_TELUGU, "te" }, { USCRIPT_GUJARATI, "gu" },
    { USCRIPT_KANNADA, "kn" }, { USCRIPT_MALAYALAM, "ml" }, { USCRIPT_GURMUKHI, "pa" }, { USCRIPT_GEORGIAN, "ka" }, { USCRIPT_ARMENIAN, "hy" },
    { USCRIPT_SINHALA, "si" }, { USCRIPT_MYANMAR, "my" }, { USCRIPT_ETHIOPIC, "am" }, { USCRIPT_BOPOMOFO, "zh" } };

static UScriptCode script_of(uint32_t c)
{
    if (c < 0x80) return (c | 32) >= 'a' && (c | 32) <= 'z' ? USCRIPT_LATIN : USCRIPT_COMMON;
    if (c == 0x30fc) return USCRIPT_KATAKANA; /* the long vowel mark of both kana */
    UErrorCode e = U_ZERO_ERROR;
    UScriptCode s = uscript_getScript((UChar32)c, &e);
    return U_FAILURE(e) || s == USCRIPT_INHERITED ? USCRIPT_COMMON : s;
}

static bool is_kana(UScriptCode s) { return s == USCRIPT_HIRAGANA || s == USCRIPT_KATAKANA; }

/* Whether the language itself is written in this script. */
static bool at_home(const koe_lang *l, UScriptCode s)
{
    if (l->way == KOE_LANG_CHINESE) return s == USCRIPT_HAN || s == USCRIPT_BOPOMOFO;
    if (l->way == KOE_LANG_JAPANESE) return s == USCRIPT_HAN || is_kana(s);
    if (l->way == KOE_LANG_ENGLISH) return s == USCRIPT_LATIN;
    if (s == USCRIPT_LATIN) return true; /* espeak-ng's voices read Latin letters by themselves */
    UScriptCode own[8];
    UErrorCode e = U_ZERO_ERROR;
    int32_t n = uscript_getCode(l->locale, own, 8, &e);
    for (int32_t i = 0; U_SUCCESS(e) && i < n; i++)
        if (own[i] == s) return true;
    return false;
}

static const koe_lang *foreign(const koe_lang *l, UScriptCode s, bool kana_near)
{
    if (at_home(l, s)) return l;
    if (s == USCRIPT_HAN && (kana_near || strcmp(l->tag, "ja") == 0)) return koe_lang_find(KOE_STR("ja"));
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        if (scripts[i].script == s) return koe_lang_find(koe_str_of(scripts[i].lang));
    return l;
}

bool koe_script_has_kana(koe_str text)
{
    for (size_t at = 0; at < text.n;)
        if (is_kana(script_of(koe_utf8_next(text, &at)))) return true;
    return false;
}

bool koe_script_is_plain(koe_str text, const koe_lang *lang)
{
    bool ascii = true;
    for (size_t i = 0; i < text.n && ascii; i++) ascii = (unsigned char)text.p[i] < 0x80;
    return ascii && lang->way != KOE_LANG_CHINESE && lang->way != KOE_LANG_JAPANESE;
}

koe_str koe_script_run(koe_str text, size_t *at, const koe_lang *lang, bool kana, const koe_lang **run_lang)
{
    size_t start = *at, end = *at, last_letter = *at;
    UScriptCode seen = USCRIPT_COMMON;
    const koe_lang *current = NULL;
    while (end < text.n) {
        size_t next = end;
        UScriptCode s = script_of(koe_utf8_next(text, &next));
        if (s != USCRIPT_COMMON && s != seen) {
            const koe_lang *l = foreign(lang, s, kana);
            if (current && l != current) break;
            current = l;
            seen = s;
        }
        end = next;
        if (s != USCRIPT_COMMON) last_letter = end;
    }
    /* Marks between two languages belong to the text's own, so that a run of it keeps its punctuation. */
    if (end < text.n && current && current != lang) end = last_letter;
    *at = end;
    *run_lang = current ? current : lang;
    return koe_str_sub(text, start, end - start);
}

bool koe_script_unspaced(uint32_t c)
{
    if (c < 0xe00) return false;
    UErrorCode e = U_ZERO_ERROR;
    UScriptCode s = uscript_getScript((UChar32)c, &e);
    return s == USCRIPT_HAN || s == USCRIPT_HIRAGANA || s == USCRIPT_KATAKANA || s == USCRIPT_THAI || s == USCRIPT_LAO || s == USCRIPT_KHMER ||
           s == USCRIPT_MYANMAR || s == USCRIPT_BOPOMOFO || c == 0x30fc;
}
