/* say_as.c - <say-as interpret-as="...">: characters, digits, numbers, dates and times in words that the front end then reads.
 * Numbers by ICU's spell-out rules of the language, dates by its written forms; what is none of these is read as it stands. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/udat.h>
#include <unicode/udatpg.h>
#include <unicode/unum.h>
#include <unicode/ustring.h>

#include "text/markup.h"
#include "text/utf8.h"

enum { MAX_SAID = 512 }; /* UTF-16 units of a number or a date */

void koe_sayer_deinit(koe_sayer *s)
{
    for (int i = 0; i < 2; i++)
        if (s->number[i]) unum_close(s->number[i]);
    if (s->patterns) udatpg_close(s->patterns);
    *s = (koe_sayer){ 0 };
}

/* Formatters of another language make way. */
static void set_locale(koe_sayer *s, koe_str lang)
{
    const koe_lang *l = koe_lang_find(lang);
    const char *locale = l ? l->locale : "en_US";
    if (s->locale && strcmp(s->locale, locale) == 0) return;
    koe_sayer_deinit(s);
    s->locale = locale;
}

static bool put_utf16(koe_buf *out, const UChar *s, int32_t n)
{
    UErrorCode e = U_ZERO_ERROR;
    char utf8[3 * MAX_SAID + 1];
    int32_t n_utf8 = 0;
    if (n <= 0 || n > MAX_SAID) return false;
    u_strToUTF8(utf8, sizeof utf8, &n_utf8, s, n, &e);
    if (U_FAILURE(e)) return false;
    for (int32_t i = 0; i < n_utf8; i++) /* soft hyphens of German numbers: U+00AD is c2 ad */
        if ((unsigned char)utf8[i] == 0xc2 && (unsigned char)utf8[i + 1] == 0xad) i++;
        else koe_buf_addc(out, utf8[i]);
    return true;
}

/* ---- numbers ---- */

/* The number as ICU takes it: sign, digits, one dot. False: it is none. */
static bool plain_number(char *out, size_t cap, koe_str text)
{
    size_t n = 0, n_digit = 0;
    bool dot = false;
    text = koe_str_trim(text);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (isdigit((unsigned char)c)) n_digit++;
        else if (c == '.' && !dot) dot = true;
        else if ((c == ',' || c == ' ') && n_digit && i + 1 < text.n && isdigit((unsigned char)text.p[i + 1])) continue;
        else if (!((c == '-' || c == '+') && i == 0)) break; /* "1st": what follows goes */
        if (c == '+') continue;
        if (n + 1 >= cap) return false;
        out[n++] = c;
    }
    if (n && out[n - 1] == '.') n--;
    out[n] = 0;
    return n_digit > 0 && n_digit <= 18;
}

/* The language's rules for ordinals: the plain ones, else the first of a gender. */
static void use_ordinals(UNumberFormat *f)
{
    static const char *const names[] = { "%spellout-ordinal", "%spellout-ordinal-masculine", "%spellout-ordinal-masculine-singular" };
    UChar name[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        UErrorCode e = U_ZERO_ERROR;
        u_uastrcpy(name, names[i]);
        unum_setTextAttribute(f, UNUM_DEFAULT_RULESET, name, -1, &e);
        if (U_SUCCESS(e)) return;
    }
}

static bool say_number(koe_sayer *s, koe_buf *out, koe_str text, bool ordinal)
{
    char number[64];
    UChar said[MAX_SAID];
    UErrorCode e = U_ZERO_ERROR;
    if (!plain_number(number, sizeof number, text)) return false;
    UNumberFormat *f = s->number[ordinal];
    if (!f && !(f = unum_open(UNUM_SPELLOUT, NULL, 0, s->locale, NULL, &e))) return false;
    if (!s->number[ordinal] && ordinal) use_ordinals(f);
    s->number[ordinal] = f;
    int32_t n = strchr(number, '.') ? unum_formatDouble(f, strtod(number, NULL), said, MAX_SAID, NULL, &e)
                                    : unum_formatInt64(f, strtoll(number, NULL, 10), said, MAX_SAID, NULL, &e);
    return U_SUCCESS(e) && put_utf16(out, said, n);
}

/* ---- characters ---- */

/* Letters one by one, as an English reader names them when a dot follows; digits as numbers. */
static bool say_characters(koe_buf *out, koe_str text, koe_str lang)
{
    const koe_lang *l = koe_lang_find(lang);
    const bool english = l && l->way == KOE_LANG_ENGLISH;
    for (size_t at = 0; at < text.n;) {
        uint32_t c = koe_utf8_next(text, &at);
        if (u_isUWhiteSpace((UChar32)c)) continue;
        if (out->n) koe_buf_addc(out, ' ');
        if (english && c < 0x80 && isalpha((int)c)) {
            static const char *const names[] = { "ay", "bee", "see", "dee", "ee", "eff", "gee", "aitch", "eye", "jay", "kay", "el", "em", "en",
                "oh", "pee", "cue", "ar", "ess", "tee", "you", "vee", "double you", "ex", "why", "zee" };
            koe_buf_adds(out, c == 'z' || c == 'Z' ? (strcmp(l->tag, "en-gb") == 0 ? "zed" : "zee") : names[tolower((int)c) - 'a']);
        } else koe_utf8_put(out, c);
    }
    return out->n > 0;
}

/* Digits one by one; what stands between groups of them is a short pause. */
static bool say_digits(koe_buf *out, koe_str text, bool groups)
{
    bool gap = false;
    for (size_t at = 0; at < text.n;) {
        uint32_t c = koe_utf8_next(text, &at);
        if (!u_isalnum((UChar32)c) && c != '+') {
            gap = out->n > 0;
            continue;
        }
        if (gap && groups) koe_buf_addc(out, ',');
        if (out->n) koe_buf_addc(out, ' ');
        koe_utf8_put(out, c);
        gap = false;
    }
    return out->n > 0;
}

/* ---- dates ---- */

/* Day, month and year in the order of `format`; 0: not given. Without a format: a number of four digits is the year, and the order is
 * that of the language's short dates, month first only in American English. */
static bool split_date(int part[3], koe_str text, koe_str format, koe_str lang)
{
    char order[4] = "";
    int number[3] = { 0 };
    size_t n = 0, n_first = 0;
    for (size_t at = 0; at < text.n && n < 3;) {
        if (!isdigit((unsigned char)text.p[at])) {
            at++;
            continue;
        }
        size_t from = at;
        for (; at < text.n && isdigit((unsigned char)text.p[at]); at++)
            if (at - from < 4) number[n] = number[n] * 10 + (text.p[at] - '0');
        if (n++ == 0) n_first = at - from;
    }
    if (format.n && format.n <= 3) memcpy(order, format.p, format.n);
    else if (n_first == 8 && n == 1) return false;
    else memcpy(order, n_first == 4 ? "ymd" : koe_str_is(lang, "en-us") ? "mdy" : "dmy", 4);
    if (strlen(order) < n) return false;
    for (size_t i = 0; i < n; i++) {
        const char *kind = strchr("dmy", tolower((unsigned char)order[i]));
        if (!kind || !*kind) return false;
        part[kind - "dmy"] = number[i];
    }
    return n > 0 && part[0] <= 31 && part[1] <= 12;
}

static bool say_date(koe_sayer *s, koe_buf *out, koe_str text, koe_str format, koe_str lang)
{
    int part[3] = { 0 };
    UErrorCode e = U_ZERO_ERROR;
    UChar skeleton[16], pattern[64], said[MAX_SAID];
    char wanted[16];
    const koe_lang *l = koe_lang_find(lang);
    if (!split_date(part, text, format, l ? koe_str_of(l->tag) : lang) || !part[1]) return false;
    snprintf(wanted, sizeof wanted, "%s%s%s", part[2] ? "y" : "", "MMMM", part[0] ? "d" : "");
    u_uastrcpy(skeleton, wanted);
    if (!s->patterns) s->patterns = udatpg_open(s->locale, &e);
    int32_t n = U_SUCCESS(e) ? udatpg_getBestPattern(s->patterns, skeleton, -1, pattern, 64, &e) : 0;
    UChar utc[4];
    u_uastrcpy(utc, "UTC");
    UDateFormat *f = U_SUCCESS(e) ? udat_open(UDAT_PATTERN, UDAT_PATTERN, s->locale, utc, 3, pattern, n, &e) : NULL;
    UCalendar *day = U_SUCCESS(e) ? ucal_open(utc, 3, s->locale, UCAL_GREGORIAN, &e) : NULL;
    if (U_SUCCESS(e)) {
        ucal_clear(day);
        ucal_setDateTime(day, part[2] ? part[2] : 2000, part[1] - 1, part[0] ? part[0] : 1, 12, 0, 0, &e);
        n = udat_formatCalendar(f, day, said, MAX_SAID, NULL, &e);
    }
    if (f) udat_close(f);
    if (day) ucal_close(day);
    return U_SUCCESS(e) && put_utf16(out, said, n);
}

/* ---- all ---- */

static bool is_one_of(koe_str s, const char *list)
{
    for (const char *p = list; *p; p += strcspn(p, " "), p += strspn(p, " "))
        if (s.n && strcspn(p, " ") == s.n && strncasecmp(p, s.p, s.n) == 0) return true;
    return false;
}

void koe_say_as(koe_sayer *s, koe_buf *out, koe_str text, koe_str as, koe_str format, koe_str lang)
{
    bool said = false;
    const size_t from = out->n;
    text = koe_str_trim(text);
    set_locale(s, lang);
    if (is_one_of(as, "characters character spell-out letters verbatim")) said = say_characters(out, text, lang);
    else if (is_one_of(as, "digits number_digit")) said = say_digits(out, text, false);
    else if (is_one_of(as, "telephone phone")) said = say_digits(out, text, true);
    else if (is_one_of(as, "cardinal number")) said = say_number(s, out, text, is_one_of(format, "ordinal"));
    else if (is_one_of(as, "ordinal")) said = say_number(s, out, text, true);
    else if (is_one_of(as, "date")) said = say_date(s, out, text, format, lang);
    if (said) return;
    out->n = from;
    koe_buf_add_str(out, text); /* time, currency, unit, address, name, ...: the front end's own rules know them */
}
