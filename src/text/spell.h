/* spell.h - numbers in words by ICU's rule-based number formats, with the gender that what is counted asks for. */
#ifndef KOE_TEXT_SPELL_H
#define KOE_TEXT_SPELL_H
#include "base/str.h"

typedef enum koe_number_form {
    KOE_CARDINAL_MASCULINE,
    KOE_CARDINAL_FEMININE,
    KOE_CARDINAL_ALONE, /* nothing counted follows: "uno" */
    KOE_ORDINAL_MASCULINE,
    KOE_ORDINAL_FEMININE,
    KOE_ORDINAL_BEFORE_NOUN, /* "primer" */
    KOE_NUMBER_FORM_COUNT,
} koe_number_form;

/* The formats of one language, each opened at its first use. Any thread; owned by whoever called koe_speller_open(). */
typedef struct koe_speller koe_speller;

/* NULL: out of memory. locale: ICU's, "pt"; must outlive the speller. */
koe_speller *koe_speller_open(const char *locale);
void koe_speller_close(koe_speller *s);
/* Appends `value` in words. False when the language has no such form or ICU has no data for it; nothing is appended then. */
bool koe_spell(koe_speller *s, koe_buf *out, int64_t value, koe_number_form form);
#endif
