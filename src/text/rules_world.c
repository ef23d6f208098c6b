/* rules_world.c - rules for the languages with a table in reading.c: numbers with the gender of what they count, times, dates, money, units,
 * ordinals, Roman numerals, telephones, abbreviations, addresses, signs. What espeak-ng reads rightly by itself stays as it is: plain
 * cardinals, years, percent. A plain number before a noun keeps the reference's masculine hundreds; its last "one" agrees. */
#include <unicode/uchar.h>

#include "text/rules.h"
#include "text/utf8.h"

static koe_rule_fn rule_short, rule_hash, rule_phone, rule_iso_date, rule_date, rule_time, rule_money, rule_money_after, rule_unit, rule_ordinal,
    rule_fraction, rule_range, rule_agreement, rule_decimal, rule_grouped, rule_roman, rule_sign;

static const koe_rule rules[] = {
    { "entity", "&", KOE_RULES_MARKUP, koe_rule_entity }, /* &eacute; ... */
    { "html", "<", KOE_RULES_MARKUP, koe_rule_html }, /* <b>hola</b> -> hola */
    { "emphasis", "*_`~#>", KOE_RULES_MARKUP, koe_rule_emphasis }, /* **hola** -> hola */
    { "dash", "-", 0, koe_rule_dash }, /* sí--no -> sí—no */
    { "email", "a0", KOE_RULES_EMAIL, koe_rule_email }, /* yo@ejemplo.es -> yo arroba ejemplo punto es */
    { "url", "a0", KOE_RULES_URL, koe_rule_url }, /* www.ejemplo.es -> www punto ejemplo punto es */
    { "hashtag", "#@", 0, rule_hash }, /* #1 -> número 1 */
    { "phone", "0(+", KOE_RULES_PHONE, rule_phone }, /* +34 612 345 678 -> más 34, 6 1 2, ... */
    { "iso-date", "0", 0, rule_iso_date }, /* 2024-12-25 -> 25 de diciembre de 2024 */
    { "date", "0", 0, rule_date }, /* 25/12/2024 -> 25 de diciembre de 2024 */
    { "time", "0", 0, rule_time }, /* 15:30 -> quince y treinta */
    { "money", "$8aR", 0, rule_money }, /* €12,50 -> doce euros con cincuenta céntimos */
    { "money-after", "0", 0, rule_money_after }, /* 12,50 € */
    { "ordinal", "0", 0, rule_ordinal }, /* 2ª -> segunda */
    { "unit", "0-8", KOE_RULES_UNIT, rule_unit }, /* 21 kg -> veintiún kilos */
    { "fraction", "08", 0, rule_fraction }, /* 2½ -> 2 y medio */
    { "range", "0", 0, rule_range }, /* 10-12 -> 10 a 12 */
    { "grouped", "0", 0, rule_grouped }, /* 1.234.567 -> 1234567 */
    { "decimal", "0", 0, rule_decimal }, /* 3,14 -> 3 coma 14 */
    { "agreement", "0", 0, rule_agreement }, /* 21 casas -> veintiuna casas */
    { "roman", "a8", 0, rule_roman }, /* siglo XX -> siglo veinte */
    { "abbreviation", "a8", 0, rule_short }, /* Sra. -> señora */
    { "sign", "&+=<>8", KOE_RULES_SYMBOL, rule_sign }, /* 2 + 2 = 4 */
};

const koe_rule *koe_rules_world(size_t *n)
{
    *n = sizeof rules / sizeof *rules;
    return rules;
}

size_t koe_rule_digits(const koe_scan *c, koe_buf *out)
{
    size_t n = 0, len;
    for (uint32_t cp; c->at + n < c->s.n && (cp = koe_utf8_at(c->s, c->at + n, &len)) >= 0x966 && cp <= 0x96F; n += len) koe_buf_addc(out, (char)('0' + (cp - 0x966)));
    return n;
}

/* ---- what stands where ---- */

/* No letter or digit of any script at `at`. */
static bool ends_word(koe_str s, size_t at)
{
    if (at >= s.n) return true;
    size_t len;
    uint32_t cp = koe_utf8_at(s, at, &len);
    return !u_isalnum((UChar32)cp) && u_charType((UChar32)cp) != U_NON_SPACING_MARK && u_charType((UChar32)cp) != U_COMBINING_SPACING_MARK;
}

/* The same in front of the place. */
static bool starts_word(const koe_scan *c)
{
    if (!c->at || c->fresh) return true;
    size_t at = c->at;
    uint32_t cp = koe_utf8_prev(c->s, &at);
    return !u_isalnum((UChar32)cp) && u_charType((UChar32)cp) != U_COMBINING_SPACING_MARK && u_charType((UChar32)cp) != U_NON_SPACING_MARK;
}

/* The word at `at`, letters of any script, at most 60 bytes. */
static koe_str word_at(koe_str s, size_t at)
{
    size_t n = 0;
    while (at + n < s.n && n < 60) {
        size_t len;
        UChar32 cp = (UChar32)koe_utf8_at(s, at + n, &len);
        if (!u_isalpha(cp) && u_charType(cp) != U_NON_SPACING_MARK && u_charType(cp) != U_COMBINING_SPACING_MARK) break;
        n += len;
    }
    return koe_str_sub(s, at, n);
}

/* The word before the place, one space between. */
static koe_str word_before(const koe_scan *c)
{
    size_t end = c->at;
    if (!end || c->s.p[end - 1] != ' ') return (koe_str){ 0 };
    end--;
    size_t start = end;
    while (start && end - start < 60) {
        size_t at = start;
        UChar32 cp = (UChar32)koe_utf8_prev(c->s, &at);
        if (!u_isalpha(cp)) break;
        start = at;
    }
    return koe_str_sub(c->s, start, end - start);
}

static bool in_words_any_case(koe_str w, const char *list)
{
    if (koe_in_words(w, list)) return true;
    char small[64]; /* the first letter of a sentence; others are rare */
    if (!w.n || w.n >= sizeof small || !koe_is_capital(w.p[0])) return false;
    memcpy(small, w.p, w.n);
    small[0] = (char)(small[0] | 32);
    return koe_in_words((koe_str){ small, w.n }, list);
}

static size_t dash_at(koe_str s, size_t at)
{
    return koe_byte(s, at) == '-' ? 1 : koe_str_starts(koe_str_sub(s, at, 3), KOE_STR("–")) ? 3 : 0;
}

/* ---- numbers ---- */

typedef struct numeral {
    size_t n; /* bytes; 0: none */
    int64_t whole;
    koe_str part; /* digits of the decimals */
    bool grouped; /* has separators of thousands */
} numeral;

static numeral numeral_at(const koe_scan *c, size_t at)
{
    const koe_reading *r = c->reading;
    numeral v = { 0 };
    size_t n = koe_digits(c->s, at), first = n;
    if (!n || n > 15) return v;
    for (size_t i = 0; i < n; i++) v.whole = v.whole * 10 + (c->s.p[at + i] - '0');
    while (first <= 3 && koe_byte(c->s, at + n) == r->group && n < 20) {
        size_t d = koe_digits(c->s, at + n + 1);
        bool lakh = d == 2 && r->group == ',' && koe_byte(c->s, at + n + 3) == r->group; /* 12,34,567 */
        if (d != 3 && !lakh) break;
        for (size_t i = 0; i < d; i++) v.whole = v.whole * 10 + (c->s.p[at + n + 1 + i] - '0');
        n += 1 + d;
        v.grouped = true;
    }
    char mark = koe_byte(c->s, at + n);
    if (mark == r->decimal || (mark == '.' && !v.grouped && koe_digits(c->s, at + n + 1) != 3)) {
        v.part = koe_str_sub(c->s, at + n + 1, koe_digits(c->s, at + n + 1));
        if (v.part.n) n += 1 + v.part.n;
    }
    v.n = n;
    return v;
}

/* A count in words, or in digits where ICU has none. */
static void put_count(const koe_scan *c, koe_buf *out, int64_t value, char gender)
{
    if (!koe_spell(c->speller, out, value, gender == 'f' ? KOE_CARDINAL_FEMININE : gender == 'm' ? KOE_CARDINAL_MASCULINE : KOE_CARDINAL_ALONE))
        koe_buf_printf(out, "%lld", (long long)value);
}

/* "2 coma 5": digits, which espeak-ng reads; zeros in front one by one. */
static void put_decimals(const koe_scan *c, koe_buf *out, const numeral *v)
{
    koe_buf_printf(out, "%lld %s", (long long)v->whole, c->reading->point);
    size_t i = 0;
    bool singly = c->reading->decimal == '.' || v->part.n > 3;
    while (i < v->part.n && (singly || (v->part.p[i] == '0' && i + 1 < v->part.n))) koe_buf_printf(out, " %c", v->part.p[i++]);
    if (i < v->part.n) koe_buf_printf(out, " %.*s", (int)(v->part.n - i), v->part.p + i);
}

static void put_amount(const koe_scan *c, koe_buf *out, const numeral *v, char gender)
{
    if (v->part.n) put_decimals(c, out, v);
    else put_count(c, out, v->whole, gender);
}

static bool is_one(const koe_scan *c, const numeral *v) { return v->whole == 1 && (!v->part.n || strcmp(c->reading->tag, "fr") == 0); }

/* What the word that a number counts has: 'm', 'f'. */
static char gender_of(const koe_reading *r, koe_str w)
{
    if (in_words_any_case(w, r->masculine)) return 'm';
    if (in_words_any_case(w, r->feminine)) return 'f';
    for (const char *p = r->feminine_ends; *p;) {
        while (*p == ' ') p++;
        size_t n = strcspn(p, " ");
        if (n && koe_str_ends(w, (koe_str){ p, n })) return 'f';
        p += n;
    }
    return 'm';
}

/* Italian's "una" before a vowel: un'ora. */
static bool elided(const koe_scan *c, const numeral *v, char gender, char next)
{
    return strcmp(c->reading->tag, "it") == 0 && v->whole == 1 && !v->part.n && gender == 'f' && strchr("aeiou", next);
}

/* A count and what it counts. */
static void put_counted(const koe_scan *c, koe_buf *out, const numeral *v, char gender, const char *noun)
{
    put_amount(c, out, v, gender);
    if (elided(c, v, gender, noun[0]) && !out->failed) out->data[out->n - 1] = '\'';
    else koe_buf_addc(out, ' ');
    koe_buf_adds(out, noun);
}

/* 1 casa, 21 libros: what ends in one (Portuguese: two) agrees with the noun. After a label ("capítulo 1 trata") nothing is counted. */
static size_t rule_agreement(const koe_scan *c, koe_buf *out)
{
    const koe_reading *r = c->reading;
    if (!r->agrees_to || !koe_starts_number(c)) return 0;
    numeral v = numeral_at(c, c->at);
    if (!v.n || v.part.n || v.n > 9 || koe_byte(c->s, c->at + v.n) != ' ') return 0;
    int64_t last = v.whole % 10, tens = v.whole / 10 % 10;
    if (last < 1 || last > r->agrees_to || tens == 1 || v.whole % 1000 >= 200) return 0;
    koe_str noun = word_at(c->s, c->at + v.n + 1), before = word_before(c);
    if (koe_utf8_count(noun) < 3 || in_words_any_case(noun, r->not_counted) || koe_in_words(noun, r->months) || koe_is_capital(noun.p[0])) return 0;
    if (in_words_any_case(before, r->labels) || (before.n && koe_is_capital(before.p[0]) && c->at > before.n + 1)) return 0;
    char gender = gender_of(r, noun);
    put_count(c, out, v.whole, gender);
    if (!elided(c, &v, gender, noun.p[0])) return v.n;
    out->data[out->n - 1] = '\'';
    return v.n + 1;
}

static size_t rule_grouped(const koe_scan *c, koe_buf *out)
{
    if (!koe_starts_number(c)) return 0;
    numeral v = numeral_at(c, c->at);
    if (!v.grouped || v.part.n || !koe_ends_number(c->s, c->at + v.n)) return 0;
    koe_buf_printf(out, "%lld", (long long)v.whole);
    return v.n;
}

/* Whether a currency's name follows: then the decimals are coins, and are read after a comma. */
static bool before_coin(const koe_scan *c, size_t at)
{
    koe_str w = koe_byte(c->s, at) == ' ' ? word_at(c->s, at + 1) : (koe_str){ 0 };
    for (const koe_coin *coin = c->reading->coin; w.n && coin->sign; coin++)
        if (koe_str_is(w, coin->one) || koe_str_is(w, coin->many)) return true;
    return false;
}

static size_t rule_decimal(const koe_scan *c, koe_buf *out)
{
    if (!koe_starts_number(c)) return 0;
    numeral v = numeral_at(c, c->at);
    if (!v.part.n || !koe_ends_number(c->s, c->at + v.n) || before_coin(c, c->at + v.n)) return 0;
    put_decimals(c, out, &v);
    return v.n;
}

static size_t rule_ordinal(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_digits(c->s, c->at);
    if (!n || n > 4 || !koe_starts_number(c)) return 0;
    for (const koe_ordinal_mark *m = c->reading->ordinal; m->mark; m++) {
        koe_str mark = koe_str_of(m->mark);
        if (!koe_str_starts(koe_str_sub(c->s, c->at + n, mark.n), mark) || !ends_word(c->s, c->at + n + mark.n)) continue;
        size_t after = c->at + n + mark.n;
        koe_str noun = koe_byte(c->s, after) == ' ' ? word_at(c->s, after + 1) : (koe_str){ 0 };
        bool adjective = m->gender == 'b' || (m->gender == 'm' && noun.n && !in_words_any_case(noun, c->reading->not_counted));
        koe_number_form form = m->gender == 'f' ? KOE_ORDINAL_FEMININE : adjective ? KOE_ORDINAL_BEFORE_NOUN : KOE_ORDINAL_MASCULINE;
        bool suffix = strcmp(c->reading->tag, "hi") == 0; /* the ending is written out */
        if (!koe_spell(c->speller, out, koe_value(c->s, c->at, n), suffix ? KOE_CARDINAL_ALONE : form)) return 0;
        if (suffix) koe_buf_add_str(out, mark);
        return n + mark.n;
    }
    return 0;
}

static size_t rule_fraction(const koe_scan *c, koe_buf *out)
{
    static const char *const written[][2] = { { "½", "1/2" }, { "⅓", "1/3" }, { "⅔", "2/3" }, { "¼", "1/4" }, { "¾", "3/4" } };
    size_t whole = koe_digits(c->s, c->at), at = c->at + whole;
    if (whole && !koe_starts_number(c)) return 0;
    if (whole && koe_byte(c->s, at) == ' ') at++;
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        for (int k = 0; k < 2; k++) {
            bool plain = k == 1; /* "1/2": its digits are no whole number before it */
            size_t from = plain && koe_byte(c->s, c->at + whole) == '/' ? c->at : at;
            koe_str form = koe_str_of(written[i][k]);
            if (!koe_str_starts(koe_str_sub(c->s, from, form.n), form) || !koe_ends_number(c->s, from + form.n)) continue;
            const koe_word_pair *p = c->reading->fraction;
            while (p->from && strcmp(p->from, written[i][0]) != 0) p++;
            if (!p->from) return 0;
            if (from > c->at) {
                koe_buf_add(out, c->s.p + c->at, whole);
                const koe_word_pair *and = c->reading->sign; /* the first is "&" */
                koe_buf_printf(out, " %s ", and->to);
            }
            koe_buf_adds(out, p->to);
            size_t after = from + form.n;
            koe_str noun = koe_byte(c->s, after) == ' ' ? word_at(c->s, after + 1) : (koe_str){ 0 };
            if (i == 0 && noun.n && !out->failed && out->data[out->n - 1] == 'o' && gender_of(c->reading, noun) == 'f') out->data[out->n - 1] = 'a'; /* media */
            return from + form.n - c->at;
        }
    return 0;
}

static size_t rule_range(const koe_scan *c, koe_buf *out)
{
    size_t a = koe_digits(c->s, c->at), dash = a && a < 5 ? dash_at(c->s, c->at + a) : 0, b = dash ? koe_digits(c->s, c->at + a + dash) : 0;
    if (!b || b > 4 || !koe_starts_number(c) || !koe_ends_number(c->s, c->at + a + dash + b)) return 0;
    if (koe_value(c->s, c->at + a + dash, b) <= koe_value(c->s, c->at, a)) return 0;
    koe_buf_add(out, c->s.p + c->at, a);
    koe_buf_printf(out, " %s ", c->reading->to);
    return a + dash; /* the second number is read for itself */
}

/* ---- time and date ---- */

static size_t rule_time(const koe_scan *c, koe_buf *out)
{
    const koe_reading *r = c->reading;
    size_t h = koe_digits(c->s, c->at), at = c->at + h;
    if (h < 1 || h > 2 || !koe_starts_number(c)) return 0;
    bool spaced = koe_byte(c->s, at) == ' ' && koe_byte(c->s, at + 1) && strchr(r->hour_mark, koe_byte(c->s, at + 1));
    char mark = koe_byte(c->s, at + spaced);
    bool letter = mark && strchr(r->hour_mark, mark);
    if (mark != ':' && !letter) return 0;
    at += spaced + 1;
    size_t space = letter && koe_byte(c->s, at) == ' ' && koe_digits(c->s, at + 1) == 2 && spaced, m = koe_digits(c->s, at + space);
    unsigned hour = koe_value(c->s, c->at, h), minute = m == 2 ? koe_value(c->s, at + space, 2) : 0;
    if (hour > 24 || minute > 59 || (m != 2 && (m || !letter))) return 0;
    if (m == 2) at += space + 2;
    if (!ends_word(c->s, at) || (koe_byte(c->s, at) == ':' && koe_digits(c->s, at + 1))) return 0;
    if (mark == ':' && koe_str_starts(koe_str_sub(c->s, at, 2), KOE_STR(" h")) && ends_word(c->s, at + 2)) at += 2; /* 15:30 h */
    koe_str next = koe_byte(c->s, at) == ' ' ? word_at(c->s, at + 1) : (koe_str){ 0 };
    bool named = koe_in_words(next, " horas hora ore ora heures heure बजे "); /* 15:30 horas */
    put_count(c, out, hour, r->hour_gender);
    const char *noun = hour == 1 ? r->hour : r->hours;
    if (letter && !noun && m != 2) koe_buf_adds(out, hour == 1 ? " hora" : " horas"); /* 9h */
    else if (minute == 0 && r->full_hour) koe_buf_printf(out, "%s%s", named ? "" : " ", named ? "" : r->full_hour);
    else if (noun && !named) koe_buf_printf(out, " %s", noun);
    if (minute) {
        koe_buf_adds(out, named && !*r->hour_mark && r->hour ? " " : r->minutes_join);
        put_count(c, out, minute, 0);
        if (r->minutes && !named) koe_buf_printf(out, " %s", r->minutes);
    }
    return at - c->at;
}

static koe_str month_name(const koe_reading *r, unsigned month)
{
    const char *p = r->months + 1;
    for (; month > 1; month--) p += strcspn(p, " ") + 1;
    return (koe_str){ p, strcspn(p, " ") };
}

static bool put_date(const koe_scan *c, koe_buf *out, unsigned y, unsigned m, unsigned d)
{
    const koe_reading *r = c->reading;
    if (m < 1 || m > 12 || d < 1 || d > 31) return false;
    for (const char *p = r->date; *p; p++) { /* a part stands alone between spaces */
        bool alone = (p == r->date || p[-1] == ' ') && (p[1] == ' ' || !p[1]);
        if (alone && *p == 'd' && d == 1 && r->first) koe_buf_adds(out, r->first);
        else if (alone && *p == 'd') koe_buf_printf(out, "%u", d);
        else if (alone && *p == 'm') koe_buf_add_str(out, month_name(r, m));
        else if (alone && *p == 'y') koe_buf_printf(out, "%u", y);
        else koe_buf_addc(out, *p);
    }
    return true;
}

static size_t rule_iso_date(const koe_scan *c, koe_buf *out)
{
    koe_str s = koe_str_sub(c->s, c->at, 11);
    if (koe_digits(s, 0) != 4 || koe_byte(s, 4) != '-' || koe_digits(s, 5) != 2 || koe_byte(s, 7) != '-' || koe_digits(s, 8) != 2 || !koe_starts_number(c)) return 0;
    return put_date(c, out, koe_value(s, 0, 4), koe_value(s, 5, 2), koe_value(s, 8, 2)) ? 10 : 0;
}

static size_t rule_date(const koe_scan *c, koe_buf *out)
{
    size_t a = koe_digits(c->s, c->at);
    char mark = koe_byte(c->s, c->at + a);
    if (a < 1 || a > 2 || !mark || !strchr("/.-", mark) || !koe_starts_number(c)) return 0;
    size_t b = koe_digits(c->s, c->at + a + 1), at = c->at + a + 1 + b;
    if (b < 1 || b > 2 || koe_byte(c->s, at) != mark || koe_digits(c->s, at + 1) != 4 || !koe_ends_number(c->s, at + 5)) return 0;
    return put_date(c, out, koe_value(c->s, at + 1, 4), koe_value(c->s, c->at + a + 1, b), koe_value(c->s, c->at, a)) ? a + b + 6 : 0;
}

/* ---- money, units ---- */

static const koe_coin *coin_at(const koe_scan *c, size_t at, size_t *n)
{
    const koe_coin *best = NULL;
    *n = 0;
    for (const koe_coin *coin = c->reading->coin; coin->sign; coin++) {
        koe_str sign = koe_str_of(coin->sign), code = koe_str_of(coin->code);
        if (sign.n > *n && koe_str_starts(koe_str_sub(c->s, at, sign.n), sign)) best = coin, *n = sign.n;
        if (code.n > *n && koe_str_starts(koe_str_sub(c->s, at, 3), code) && ends_word(c->s, at + 3)) best = coin, *n = 3;
    }
    return best;
}

/* "millones", "M" behind an amount; its word, NULL when there is none. */
static const char *magnitude_at(const koe_scan *c, size_t at, size_t *n)
{
    size_t n_coin, space = koe_byte(c->s, at) == ' ';
    koe_str w = word_at(c->s, at + space);
    for (const koe_word_pair *m = c->reading->magnitude; w.n && m < c->reading->magnitude + 8 && m->from; m++)
        if (koe_str_is(w, m->from) && (!space || w.n > 1 || coin_at(c, at + 2, &n_coin))) return *n = space + w.n, m->to;
    *n = 0;
    return NULL;
}

static void put_money(const koe_scan *c, koe_buf *out, const numeral *v, const koe_coin *coin, const char *magnitude)
{
    const koe_reading *r = c->reading;
    if (magnitude) {
        bool of = *r->of && strlen(magnitude) > 4; /* "mil euros", "2 millones de euros" */
        bool short_of = of && strcmp(r->tag, "fr") == 0 && strchr("aeiou", coin->many[0]); /* "d'euros" */
        put_amount(c, out, v, 'm');
        koe_buf_printf(out, " %s %s%s", magnitude, short_of ? "d'" : of ? r->of : "", of && !short_of ? " " : "");
        koe_buf_adds(out, coin->many);
        return;
    }
    if (!coin->cent || v->part.n > 2) {
        put_counted(c, out, v, coin->gender, is_one(c, v) ? coin->one : coin->many);
        return;
    }
    unsigned cents = v->part.n ? koe_value(v->part, 0, v->part.n) * (v->part.n == 1 ? 10 : 1) : 0;
    if (v->whole || !cents) {
        put_count(c, out, v->whole, coin->gender);
        koe_buf_printf(out, " %s", v->whole == 1 ? coin->one : coin->many);
        if (!cents) return;
        koe_buf_printf(out, " %s%s", r->money_join, *r->money_join ? " " : "");
    }
    put_count(c, out, cents, r->name_cents || !v->whole ? coin->cent_gender : 0);
    if (r->name_cents || !v->whole) koe_buf_printf(out, " %s", cents == 1 ? coin->cent : coin->cents);
}

static size_t rule_money(const koe_scan *c, koe_buf *out)
{
    size_t n_sign, n_size;
    const koe_coin *coin = starts_word(c) ? coin_at(c, c->at, &n_sign) : NULL;
    if (!coin) return 0;
    size_t space = koe_byte(c->s, c->at + n_sign) == ' ', at = c->at + n_sign + space;
    numeral v = numeral_at(c, at);
    if (!v.n) return 0;
    const char *size = magnitude_at(c, at + v.n, &n_size);
    if (!ends_word(c->s, at + v.n + n_size)) return 0;
    put_money(c, out, &v, coin, size);
    return at + v.n + n_size - c->at;
}

static size_t rule_money_after(const koe_scan *c, koe_buf *out)
{
    size_t n_sign, n_size;
    if (!koe_starts_number(c)) return 0;
    numeral v = numeral_at(c, c->at);
    if (!v.n) return 0;
    const char *size = magnitude_at(c, c->at + v.n, &n_size);
    size_t at = c->at + v.n + n_size, space = koe_byte(c->s, at) == ' ', of = strlen(c->reading->of);
    if (size && space && of && koe_str_starts(koe_str_sub(c->s, at + 1, of), koe_str_of(c->reading->of)) && koe_byte(c->s, at + 1 + of) == ' ') at += of + 1; /* de */
    const koe_coin *coin = coin_at(c, at + space, &n_sign);
    if (!coin || !ends_word(c->s, at + space + n_sign)) return 0;
    put_money(c, out, &v, coin, size);
    return at + space + n_sign - c->at;
}

static size_t rule_unit(const koe_scan *c, koe_buf *out)
{
    size_t sign = koe_byte(c->s, c->at) == '-' ? 1 : koe_str_starts(koe_str_sub(c->s, c->at, 3), KOE_STR("−")) ? 3 : 0;
    if (sign ? !starts_word(c) : !koe_starts_number(c)) return 0;
    numeral v = numeral_at(c, c->at + sign);
    if (!v.n) return 0;
    size_t at = c->at + sign + v.n, space = koe_byte(c->s, at) == ' ', best = 0;
    const koe_counted *unit = NULL;
    for (const koe_counted *u = c->reading->unit; u->sign; u++) {
        koe_str name = koe_str_of(u->sign);
        if (name.n > best && koe_str_starts(koe_str_sub(c->s, at + space, name.n), name) && ends_word(c->s, at + space + name.n)) best = name.n, unit = u;
    }
    if (!unit || koe_byte(c->s, at + space + best) == '/') return 0;
    if (best == 1 && koe_byte(c->s, at + space + 1) == '\'') return 0; /* "5 l'eau" */
    if (sign) koe_buf_printf(out, "%s ", c->reading->minus);
    put_counted(c, out, &v, unit->gender, is_one(c, &v) ? unit->one : unit->many);
    return at + space + best - c->at;
}

/* ---- telephones ---- */

static size_t rule_phone(const koe_scan *c, koe_buf *out)
{
    size_t n = 0, total = 0, groups = 0, longest = 0;
    char first = c->s.p[c->at];
    if (!starts_word(c) || !koe_starts_number(c)) return 0;
    koe_str s = koe_str_sub(c->s, c->at, 30);
    for (;;) { /* groups with one sign between */
        if (koe_byte(s, n) == '+' && !n) n++;
        bool bracket = koe_byte(s, n) == '(';
        size_t d = koe_digits(s, n + bracket);
        if (!d || (bracket && koe_byte(s, n + 1 + d) != ')')) break;
        n += d + 2 * (size_t)bracket;
        total += d;
        groups++;
        if (d > longest) longest = d;
        char sep = koe_byte(s, n);
        if ((sep == ' ' || sep == '-' || sep == '.') && (koe_is_digit(koe_byte(s, n + 1)) || koe_byte(s, n + 1) == '(')) n++;
        else break;
    }
    bool trunk = first == '+' || first == '(' || (first == '0' && groups >= 4) || (groups == 3 && total == 9 && longest == 3 && c->reading->group == '.');
    if (!trunk || total < 8 || total > 15 || !ends_word(c->s, c->at + n) || memchr(s.p, '.', n)) return 0;
    bool open = false;
    for (size_t i = 0; i < n; i++) {
        if (s.p[i] == '+') koe_buf_adds(out, c->reading->plus);
        if (!koe_is_digit(s.p[i])) {
            open = out->n && s.p[i] != '+';
            continue;
        }
        if (open && koe_is_digit(out->data[out->n - 1])) koe_buf_addc(out, ',');
        if (out->n) koe_buf_addc(out, ' ');
        open = false;
        koe_buf_addc(out, s.p[i]);
    }
    return n;
}

/* ---- words ---- */

/* The value of a Roman numeral, 0 when it is none. Only the shortest spelling is one: "IIII" is not. */
static unsigned roman_value(koe_str w)
{
    static const struct {
        const char *sign;
        unsigned value;
    } parts[] = { { "M", 1000 }, { "CM", 900 }, { "D", 500 }, { "CD", 400 }, { "C", 100 }, { "XC", 90 }, { "L", 50 }, { "XL", 40 }, { "X", 10 }, { "IX", 9 },
        { "V", 5 }, { "IV", 4 }, { "I", 1 } };
    unsigned value = 0;
    size_t at = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        koe_str sign = koe_str_of(parts[i].sign);
        int most = sign.n == 2 || parts[i].sign[0] == 'V' || parts[i].sign[0] == 'L' || parts[i].sign[0] == 'D' ? 1 : 3;
        for (int k = 0; k < most && koe_str_starts(koe_str_sub(w, at, sign.n), sign); k++) at += sign.n, value += parts[i].value;
    }
    return w.n && at == w.n && value < 3000 ? value : 0;
}

static size_t rule_roman(const koe_scan *c, koe_buf *out)
{
    const koe_reading *r = c->reading;
    size_t n = 0;
    if (!starts_word(c)) return 0;
    while (koe_byte(c->s, c->at + n) && strchr("IVXLCDM", koe_byte(c->s, c->at + n))) n++;
    unsigned value = roman_value(koe_str_sub(c->s, c->at, n));
    if (!value) return 0;
    static const koe_ordinal_mark marks[] = { { "er", 'm' }, { "re", 'f' }, { "ème", 'm' }, { "e", 'm' } };
    bool lone_word = n == 1 && !strchr("IVX", c->s.p[c->at]); /* "Le", "Ce" */
    for (size_t i = 0; r->century_mark && !lone_word && i < sizeof marks / sizeof *marks; i++) { /* XXe siècle, Ier */
        koe_str mark = koe_str_of(marks[i].mark);
        if (!koe_str_starts(koe_str_sub(c->s, c->at + n, mark.n), mark) || !ends_word(c->s, c->at + n + mark.n)) continue;
        return koe_spell(c->speller, out, value, marks[i].gender == 'f' ? KOE_ORDINAL_FEMININE : KOE_ORDINAL_MASCULINE) ? n + mark.n : 0;
    }
    koe_str before = word_before(c);
    bool counts = in_words_any_case(before, r->numbered), rules_over = koe_in_words(before, r->ruled);
    if (!ends_word(c->s, c->at + n) || (!counts && !rules_over)) return 0;
    bool feminine = counts ? gender_of(r, before) == 'f' : koe_str_ends(before, KOE_STR("a")) || koe_in_words(before, " Isabel Élisabeth Elizabeth ");
    bool ordinal = (int)value <= r->ordinal_rulers;
    if (!koe_spell(c->speller, out, value, !ordinal ? KOE_CARDINAL_ALONE : feminine ? KOE_ORDINAL_FEMININE : KOE_ORDINAL_MASCULINE)) return 0;
    return n;
}

static size_t rule_short(const koe_scan *c, koe_buf *out)
{
    if (!starts_word(c)) return 0;
    const koe_word_pair *best = NULL;
    size_t n = 0;
    for (const koe_word_pair *p = c->reading->shorts; p->from; p++) {
        koe_str form = koe_str_of(p->from);
        bool letter = form.p[form.n - 1] != '.' && form.p[form.n - 1] != '/';
        if (form.n <= n || !koe_str_starts(koe_str_sub(c->s, c->at, form.n), form)) continue;
        if (letter && !ends_word(c->s, c->at + form.n)) continue;
        best = p;
        n = form.n;
    }
    if (!best) return 0;
    koe_buf_adds(out, best->to);
    char after = koe_byte(c->s, c->at + n);
    bool title = koe_is_capital(best->from[0]), ends = !after || (after == ' ' && koe_is_capital(koe_byte(c->s, c->at + n + 1)) && !title);
    if (best->from[n - 1] == '.' && ends) koe_buf_addc(out, '.'); /* the sentence's too */
    if (best->from[n - 1] == '/' && after != ' ') koe_buf_addc(out, ' ');
    return n;
}

static size_t rule_hash(const koe_scan *c, koe_buf *out)
{
    if (!starts_word(c)) return 0;
    char next = koe_byte(c->s, c->at + 1);
    if (c->s.p[c->at] == '#' && koe_is_digit(next)) koe_buf_printf(out, "%s ", c->reading->number);
    else if (c->s.p[c->at] == '#' && !ends_word(c->s, c->at + 1)) koe_buf_adds(out, "hashtag ");
    else if (c->s.p[c->at] == '@' && !ends_word(c->s, c->at + 1)) {
        const koe_word_pair *p = c->reading->address;
        while (p->from && p->from[0] != '@') p++;
        koe_buf_printf(out, "%s ", p->from ? p->to : "");
    } else return 0;
    return 1;
}

static size_t rule_sign(const koe_scan *c, koe_buf *out)
{
    for (const koe_word_pair *p = c->reading->sign; p->from; p++) {
        koe_str sign = koe_str_of(p->from);
        if (!koe_str_starts(koe_str_sub(c->s, c->at, sign.n), sign)) continue;
        char before = koe_before(c), after = koe_byte(c->s, c->at + sign.n);
        bool ascii = (unsigned char)sign.p[0] < 0x80, spaced = before == ' ' && after == ' ', digits = koe_is_digit(after) && (before == ' ' || koe_is_digit(before));
        if (ascii && !spaced && !digits) return 0;
        koe_buf_printf(out, "%s%s%s", before && before != ' ' ? " " : "", p->to, after && after != ' ' && !strchr(".,;:!?)", after) ? " " : "");
        return sign.n;
    }
    return 0;
}
