/* zh.h - Mandarin from tables alone: words by jieba's dictionary and hidden Markov model, readings by phrase and by character, then the
 * syllables' symbols with their tones. Tables are read at first use and kept. Threads: a koe_zh is read-only once opened. */
#ifndef KOE_TEXT_ZH_H
#define KOE_TEXT_ZH_H
#include "text/front.h"

/* dir: lexicon/zh. KOE_E_NOT_FOUND when the tables are not there. */
koe_status koe_zh_open(koe_zh **out, const char *dir, koe_error *err);
void koe_zh_close(koe_zh *z);
/* Appends pieces for text (bytes [at, ...) of the normal text): characters by the tables, the rest as it is. */
koe_status koe_zh_phonemise(koe_block *b, const koe_zh *z, koe_str text, size_t at, koe_error *err);
/* Numbers, dates, percentages in Chinese words: appends input text to `out`. */
void koe_zh_normalise(koe_normal *out, koe_str text);
#endif
