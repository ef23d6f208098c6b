/* script.h - which language a stretch of text is in, by its script. */
#ifndef KOE_TEXT_SCRIPT_H
#define KOE_TEXT_SCRIPT_H
#include "text/front.h"

/* Nothing but ASCII in a language written with it: one run. */
bool koe_script_is_plain(koe_str text, const koe_lang *lang);
/* Whether there are kana in the text: then its Chinese characters are Japanese. */
bool koe_script_has_kana(koe_str text);
/* From text[*at]: the longest stretch in one language, which is `lang` unless the script is foreign to it. *at moves behind it. */
koe_str koe_script_run(koe_str text, size_t *at, const koe_lang *lang, bool kana, const koe_lang **run_lang);
/* A character of a script that is written without spaces between words. */
bool koe_script_unspaced(uint32_t c);
#endif
