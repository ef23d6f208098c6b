/* clean.h - the first step of normalisation, the same for all languages. */
#ifndef KOE_TEXT_CLEAN_H
#define KOE_TEXT_CLEAN_H
#include "text/front.h"

typedef struct koe_clean_options {
    bool as_written; /* emoji stay */
    bool emoji_names; /* emoji become their English names; false: they are silent */
    bool plain_letters; /* full-width and mathematical letters become plain ones */
    bool joiners; /* zero width joiners matter to this script */
} koe_clean_options;

/* Appends input[at, at + n): white space of any kind and length becomes one space, none at the ends; what is neither seen nor heard goes;
 * combining marks are composed with their letter (NFC). */
void koe_clean(koe_normal *out, koe_str input, size_t at, size_t n, const koe_clean_options *opt);
#endif
