#include "text/spell.h"

#include <pthread.h>
#include <stdlib.h>
#include <unicode/unum.h>
#include <unicode/ustring.h>

#include "text/utf8.h"

struct koe_speller {
    const char *locale;
    pthread_mutex_t lock; /* a format changes while it is used */
    UNumberFormat *format[KOE_NUMBER_FORM_COUNT];
    bool missing[KOE_NUMBER_FORM_COUNT];
};

koe_speller *koe_speller_open(const char *locale)
{
    koe_speller *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->locale = locale;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void koe_speller_close(koe_speller *s)
{
    if (!s) return;
    for (int i = 0; i < KOE_NUMBER_FORM_COUNT; i++)
        if (s->format[i]) unum_close(s->format[i]);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* The first of its names that the language has. */
static UNumberFormat *open_form(const char *locale, koe_number_form form)
{
    static const char *const names[KOE_NUMBER_FORM_COUNT][3] = {
        [KOE_CARDINAL_MASCULINE] = { "%spellout-cardinal-masculine", "%spellout-cardinal" },
        [KOE_CARDINAL_FEMININE] = { "%spellout-cardinal-feminine", "%spellout-cardinal" },
        [KOE_CARDINAL_ALONE] = { "%spellout-numbering" },
        [KOE_ORDINAL_MASCULINE] = { "%spellout-ordinal-masculine", "%spellout-ordinal" },
        [KOE_ORDINAL_FEMININE] = { "%spellout-ordinal-feminine", "%spellout-ordinal" },
        [KOE_ORDINAL_BEFORE_NOUN] = { "%spellout-ordinal-masculine-adjective", "%spellout-ordinal-masculine", "%spellout-ordinal" },
    };
    UErrorCode e = U_ZERO_ERROR;
    UNumberFormat *f = unum_open(UNUM_SPELLOUT, NULL, 0, locale, NULL, &e);
    if (U_FAILURE(e)) return NULL;
    for (int i = 0; i < 3 && names[form][i]; i++) {
        UChar name[64];
        u_uastrcpy(name, names[form][i]);
        e = U_ZERO_ERROR;
        unum_setTextAttribute(f, UNUM_DEFAULT_RULESET, name, -1, &e);
        if (U_SUCCESS(e)) return f;
    }
    unum_close(f);
    return NULL;
}

bool koe_spell(koe_speller *s, koe_buf *out, int64_t value, koe_number_form form)
{
    UChar words[512];
    UErrorCode e = U_ZERO_ERROR;
    pthread_mutex_lock(&s->lock);
    if (!s->format[form] && !s->missing[form]) {
        s->format[form] = open_form(s->locale, form);
        s->missing[form] = !s->format[form];
    }
    int32_t n = s->format[form] ? unum_formatInt64(s->format[form], value, words, 512, NULL, &e) : 0;
    pthread_mutex_unlock(&s->lock);
    if (U_FAILURE(e) || n <= 0 || n > 512) return false;
    for (int32_t i = 0; i < n; i++) /* the formats speak of hyphenation too; no number is beyond the first plane */
        if (words[i] != 0xAD) koe_utf8_put(out, words[i]);
    return true;
}
