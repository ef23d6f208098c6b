/* ja.h - Japanese: MeCab finds the words and their pronunciation in kana, kana become symbols.
 * The best dictionary that is installed is used: UniDic, then naist-jdic, then ipadic. Threads: a koe_ja is shared; calls are reentrant. */
#ifndef KOE_TEXT_JA_H
#define KOE_TEXT_JA_H
#include "text/front.h"

/* kana TAB symbols, a line each. */
extern const char koe_ja_kana[];

/* dir: lexicon/ja; without its list of words, words that MeCab splits stay apart. KOE_E_UNSUPPORTED when koe was built without MeCab, KOE_E_NOT_FOUND without its dictionary. */
koe_status koe_ja_open(koe_ja **out, const char *dir, koe_error *err);
void koe_ja_close(koe_ja *j);
koe_status koe_ja_phonemise(koe_block *b, const koe_ja *j, koe_str text, size_t at, koe_error *err);
/* Numbers in kana, half-width kana in full: appends input text to `out`. */
void koe_ja_normalise(koe_normal *out, koe_str text);
#endif
