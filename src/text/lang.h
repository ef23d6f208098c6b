/* lang.h - the languages that koe reads: one row each. */
#ifndef KOE_TEXT_LANG_H
#define KOE_TEXT_LANG_H
#include "base/str.h"

/* Whose rules make a language's phonemes. */
typedef enum koe_lang_way {
    KOE_LANG_ENGLISH, /* misaki's lexicon and rules, espeak-ng for the rest */
    KOE_LANG_ESPEAK, /* espeak-ng */
    KOE_LANG_CHINESE, /* tables: segmentation, pinyin, tones */
    KOE_LANG_JAPANESE, /* MeCab and kana */
} koe_lang_way;

typedef struct koe_lang {
    const char *tag; /* canonical: "en-us" */
    char letter; /* Kokoro's: 'a'; 0: none */
    koe_lang_way way;
    const char *espeak; /* voice of espeak-ng */
    const char *locale; /* ICU's: "en_US" */
    const char *names; /* loose spellings, '|' before and after each */
} koe_lang;

/* NULL when unknown. A region that has no row of its own is left off: "de-AT" is "de". Static memory. */
const koe_lang *koe_lang_find(koe_str lang);
/* All rows, *n of them. */
const koe_lang *koe_lang_table(size_t *n);
#endif
