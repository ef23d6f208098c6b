/* en_number.c - numbers in words, as num2words says them, and how misaki decides between year, digits and cardinal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/en.h"
#include "text/utf8.h"

enum { MAX_DIGITS = 36 }; /* of a cardinal; longer ones are read digit by digit */

static const char *const small[] = { "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen" };
static const char *const tens[] = { "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety" };
static const char *const scales[] = { "", "thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion",
    "septillion", "octillion", "nonillion", "decillion" };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool all_digits(koe_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_digit(s.p[i])) return false;
    return s.n > 0;
}

static void put_word(koe_buf *out, const char *w)
{
    if (out->n) koe_buf_addc(out, ' ');
    koe_buf_adds(out, w);
}

/* 1..999 */
static void put_group(koe_buf *out, unsigned v, bool and_before_rest)
{
    if (v >= 100) put_word(out, small[v / 100]), put_word(out, "hundred");
    if (v % 100 && (v >= 100 || and_before_rest)) put_word(out, "and");
    v %= 100;
    if (v >= 20) {
        put_word(out, tens[v / 10]);
        v %= 10;
    }
    if (v) put_word(out, small[v]);
}

/* Words of a whole number, "and" where num2words has it. */
static void put_cardinal(koe_buf *out, koe_str digits)
{
    while (digits.n > 1 && digits.p[0] == '0') digits.p++, digits.n--;
    if (koe_str_is(digits, "0")) {
        put_word(out, "zero");
        return;
    }
    if (digits.n > MAX_DIGITS) {
        for (size_t i = 0; i < digits.n; i++) put_word(out, small[digits.p[i] - '0']);
        return;
    }
    bool any = false;
    for (size_t group = (digits.n + 2) / 3; group-- > 0;) {
        size_t end = digits.n - group * 3, start = end < 3 ? 0 : end - 3;
        unsigned v = 0;
        for (size_t i = start; i < end; i++) v = v * 10 + (unsigned)(digits.p[i] - '0');
        if (!v) continue;
        put_group(out, v, any && group == 0 && v < 100);
        if (group) put_word(out, scales[group]);
        any = true;
    }
}

static void put_ordinal(koe_buf *out, koe_str digits)
{
    static const char *const irregular[][2] = { { "one", "first" }, { "two", "second" }, { "three", "third" }, { "five", "fifth" },
        { "eight", "eighth" }, { "nine", "ninth" }, { "twelve", "twelfth" } };
    put_cardinal(out, digits);
    if (out->failed) return;
    char *last = strrchr(out->data, ' ');
    last = last ? last + 1 : out->data;
    for (size_t i = 0; i < sizeof irregular / sizeof *irregular; i++)
        if (strcmp(last, irregular[i][0]) == 0) {
            out->n = (size_t)(last - out->data);
            koe_buf_adds(out, irregular[i][1]);
            return;
        }
    if (out->data[out->n - 1] == 'y') {
        out->n--;
        koe_buf_adds(out, "ie");
    }
    koe_buf_adds(out, "th");
}

/* Four digits. */
static void put_year(koe_buf *out, koe_str digits)
{
    unsigned high = (unsigned)(digits.p[0] - '0') * 10 + (unsigned)(digits.p[1] - '0');
    unsigned low = (unsigned)(digits.p[2] - '0') * 10 + (unsigned)(digits.p[3] - '0');
    if (high == 0 || (high % 10 == 0 && low < 10)) {
        put_cardinal(out, digits);
        return;
    }
    put_group(out, high, false);
    if (low == 0) put_word(out, "hundred");
    else if (low < 10) put_word(out, "oh"), put_word(out, small[low]);
    else put_group(out, low, false);
}

/* ---- misaki's choice of words ---- */

/* Words go to `out`, separated by spaces. "+a" and "+n" are the flags' weak "a" and "and". */
typedef struct speaker {
    koe_buf *out;
    const char *flags;
} speaker;

/* The words; without "and" unless the flags want it. first: a leading "one" may become "a". */
static void put_spoken(speaker *s, koe_str words, bool first)
{
    bool many = memchr(words.p, ' ', words.n) != NULL;
    for (size_t at = 0, i = 0; at < words.n; i++) {
        size_t start = at;
        while (at < words.n && words.p[at] != ' ') at++;
        koe_str w = koe_str_sub(words, start, at - start);
        at++;
        bool is_and = koe_str_is(w, "and") && !strchr(s->flags, '&');
        if (is_and && !(strchr(s->flags, 'n') && s->out->n)) continue;
        if (s->out->n) koe_buf_addc(s->out, ' ');
        if (is_and) koe_buf_adds(s->out, "+n");
        else if (first && i == 0 && many && koe_str_is(w, "one") && strchr(s->flags, 'a')) koe_buf_adds(s->out, "+a");
        else koe_buf_add_str(s->out, w);
    }
}

typedef void put_words_fn(koe_buf *out, koe_str digits);

static void put_number(speaker *s, put_words_fn *put, koe_str digits, bool first)
{
    koe_buf words = { 0 };
    put(&words, digits);
    if (words.n) put_spoken(s, koe_buf_str(&words), first);
    koe_buf_free(&words);
}

static void put_each_digit(speaker *s, koe_str digits)
{
    for (size_t i = 0; i < digits.n; i++) put_number(s, put_cardinal, koe_str_sub(digits, i, 1), false);
}

/* A number glued to something in front: "747", "404", "0042". */
static void put_inner(speaker *s, koe_str num)
{
    if (num.p[0] == '0' || num.n > 3) put_each_digit(s, num);
    else if (num.n == 3 && !koe_str_ends(num, KOE_STR("00"))) {
        put_number(s, put_cardinal, koe_str_sub(num, 0, 1), true);
        if (num.p[1] == '0') {
            put_word(s->out, "oh");
            put_number(s, put_cardinal, koe_str_sub(num, 2, 1), false);
        } else put_number(s, put_cardinal, koe_str_sub(num, 1, 2), false);
    } else put_number(s, put_cardinal, num, true);
}

/* "1.2.3" */
static void put_dotted(speaker *s, koe_str num)
{
    bool first = true;
    for (size_t at = 0; at <= num.n;) {
        size_t start = at;
        while (at < num.n && num.p[at] != '.') at++;
        koe_str part = koe_str_sub(num, start, at - start);
        at++;
        bool round = true;
        for (size_t i = 1; i < part.n; i++) round &= part.p[i] == '0';
        if (part.n && (part.p[0] == '0' || (part.n != 2 && !round))) put_each_digit(s, part);
        else if (part.n) put_number(s, put_cardinal, part, first);
        first = false;
    }
}

static void put_money(speaker *s, koe_str num, char currency)
{
    const char *unit[] = { currency == '$' ? "dollar" : currency == 'L' ? "pound" : "euro", currency == 'L' ? "pence" : "cent" };
    const char *dot = memchr(num.p, '.', num.n);
    koe_str part[2] = { num, { "", 0 } };
    if (dot) part[0].n = (size_t)(dot - num.p), part[1] = (koe_str){ dot + 1, num.n - part[0].n - 1 };
    bool zero[2], one[2];
    for (int i = 0; i < 2; i++) {
        while (part[i].n && part[i].p[0] == '0') part[i].p++, part[i].n--;
        zero[i] = part[i].n == 0;
        one[i] = koe_str_is(part[i], "1");
    }
    bool said = false;
    for (int i = 0; i < 2; i++) {
        if (i == 1 ? !dot || zero[1] : dot && zero[0] && !zero[1]) continue;
        if (said) put_word(s->out, "and");
        put_number(s, put_cardinal, zero[i] ? KOE_STR("0") : part[i], !said);
        put_word(s->out, unit[i]);
        if (!one[i] && strcmp(unit[i], "pence") != 0) koe_buf_addc(s->out, 's');
        said = true;
    }
}

/* A plain number, with a dot perhaps. Trailing zeros after it are not said. */
static void put_plain(speaker *s, koe_str num, bool ordinal)
{
    const char *dot = memchr(num.p, '.', num.n);
    if (!dot) {
        put_number(s, ordinal ? put_ordinal : put_cardinal, num, true);
        return;
    }
    size_t n_int = (size_t)(dot - num.p);
    koe_str frac = { dot + 1, num.n - n_int - 1 };
    if (n_int) {
        while (frac.n && frac.p[frac.n - 1] == '0') frac.n--;
        put_number(s, put_cardinal, (koe_str){ num.p, n_int }, true);
        if (!frac.n) return;
    }
    put_spoken(s, KOE_STR("point"), false);
    put_each_digit(s, frac);
}

/* Letters and apostrophes at the end. */
static koe_str suffix_of(koe_str word)
{
    size_t n = word.n;
    while (n && ((word.p[n - 1] >= 'a' && word.p[n - 1] <= 'z') || word.p[n - 1] == '\'')) n--;
    return koe_str_sub(word, n, word.n - n);
}

static bool is_ordinal_suffix(koe_str s) { return koe_str_is(s, "st") || koe_str_is(s, "nd") || koe_str_is(s, "rd") || koe_str_is(s, "th"); }

bool koe_en_is_number(koe_str word, bool is_head)
{
    static const char *const suffixes[] = { "ing", "'d", "ed", "'s", "st", "nd", "rd", "th", "s" };
    bool digit = false;
    for (size_t i = 0; i < word.n; i++) digit |= is_digit(word.p[i]);
    if (!digit) return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (koe_str_ends(word, koe_str_of(suffixes[i]))) {
            word.n -= strlen(suffixes[i]);
            break;
        }
    for (size_t i = 0; i < word.n; i++)
        if (!is_digit(word.p[i]) && word.p[i] != ',' && word.p[i] != '.' && !(is_head && i == 0 && word.p[i] == '-')) return false;
    return true;
}

static size_t count_dots(koe_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += s.p[i] == '.';
    return n;
}

/* At most two digits after the dot, or only zeros. */
static bool fits_currency(koe_str num)
{
    const char *dot = memchr(num.p, '.', num.n);
    if (!dot) return true;
    return count_dots(num) == 1 && num.n - (size_t)(dot - num.p) - 1 < 3;
}

void koe_en_number_words(koe_buf *out, koe_str word, bool is_head, char currency, const char *flags)
{
    speaker s = { out, flags };
    koe_str suffix = suffix_of(word);
    word.n -= suffix.n;
    bool minus = word.n && word.p[0] == '-';
    if (minus) {
        put_word(out, "minus");
        word.p++, word.n--;
    }
    bool plain = all_digits(word), ordinal = is_ordinal_suffix(suffix), year = !minus && word.n == 4 && !currency && plain && !ordinal;
    koe_buf digits = { 0 }; /* without thousands separators */
    for (size_t i = 0; i < word.n; i++)
        if (word.p[i] != ',') koe_buf_addc(&digits, word.p[i]);
    koe_str num = koe_buf_str(&digits);
    size_t dots = count_dots(num);
    if (num.n > dots && !digits.failed) {
        if (plain && ordinal) put_number(&s, put_ordinal, num, true);
        else if (year) put_number(&s, put_year, num, true);
        else if (!is_head && !dots) put_inner(&s, num);
        else if (dots > 1 || !is_head) put_dotted(&s, num);
        else if (currency && fits_currency(num)) put_money(&s, num, currency);
        else put_plain(&s, num, ordinal);
    }
    out->failed |= digits.failed;
    koe_buf_free(&digits);
}

/* One number word; "point" is without stress. */
static koe_str word_phonemes(koe_english *e, koe_str w)
{
    static const char *const units[] = { "dollars", "cents", "pounds", "euros" };
    if (koe_str_is(w, "+a")) return KOE_STR("ə");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (koe_str_is(w, units[i])) return koe_en_stem_s(e, w, KOE_TAG_XX, KOE_NO_STRESS, NULL);
    return koe_en_dictionary(e, w, KOE_TAG_XX, koe_str_is(w, "point") ? -2 : KOE_NO_STRESS, NULL);
}

koe_str koe_en_number(koe_english *e, const koe_en_query *q, koe_str word)
{
    koe_buf words = { 0 }, sound = { 0 };
    koe_en_number_words(&words, word, q->is_head, q->currency, q->num_flags);
    koe_str w = koe_buf_str(&words), suffix = suffix_of(word), r = { NULL, 0 };
    for (size_t at = 0; at < w.n; at++) {
        size_t start = at;
        while (at < w.n && w.p[at] != ' ') at++;
        koe_str one = koe_str_sub(w, start, at - start);
        if (koe_str_is(one, "+n")) koe_buf_adds(&sound, "ən");
        else {
            if (sound.n) koe_buf_addc(&sound, ' ');
            koe_buf_add_str(&sound, word_phonemes(e, one));
        }
    }
    if (sound.n) r = koe_en_printf(e, "%.*s", KOE_STR_ARG(koe_buf_str(&sound)));
    if ((words.failed || sound.failed) && e->st == KOE_OK) e->st = koe_fail(e->err, KOE_E_NOMEM, "number");
    koe_buf_free(&words);
    koe_buf_free(&sound);
    if (!r.p) return r;
    if (koe_str_is(suffix, "s") || koe_str_is(suffix, "'s")) return koe_en_add_s(e, r);
    if (koe_str_is(suffix, "ed") || koe_str_is(suffix, "'d")) return koe_en_add_ed(e, r);
    if (koe_str_is(suffix, "ing")) return koe_en_add_ing(e, r);
    return r;
}

koe_str koe_en_append_currency(koe_english *e, koe_str phonemes, char currency)
{
    if (!currency || !phonemes.p) return phonemes;
    const char *unit = currency == '$' ? "dollars" : currency == 'L' ? "pounds" : "euros";
    koe_str ph = koe_en_stem_s(e, koe_str_of(unit), KOE_TAG_XX, KOE_NO_STRESS, NULL);
    return ph.p ? koe_en_printf(e, "%.*s %.*s", KOE_STR_ARG(phonemes), KOE_STR_ARG(ph)) : phonemes;
}
