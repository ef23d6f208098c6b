/* rules_number.c - English rules about numbers: times, dates, money, units, fractions, ranges, telephones. */
#include "text/en.h"
#include "text/rules.h"
#include "text/utf8.h"

static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December" };

static bool is_month(koe_str w)
{
    if (w.n < 3 || !koe_is_capital(w.p[0])) return false;
    for (int i = 0; i < 12; i++)
        if (koe_str_is(w, months[i]) || (w.n == 3 && strncmp(months[i], w.p, 3) == 0) || koe_str_is(w, "Sept")) return true;
    return false;
}

static const char *ordinal_suffix(unsigned v) { return v % 10 == 1 && v != 11 ? "st" : v % 10 == 2 && v != 12 ? "nd" : v % 10 == 3 && v != 13 ? "rd" : "th"; }

/* A numeral as it is; four digits get their comma, so that they are no year. */
static void put_amount(koe_buf *out, koe_str n)
{
    if (n.n == 4 && koe_digits(n, 0) == 4) {
        koe_buf_addc(out, n.p[0]);
        koe_buf_addc(out, ',');
        koe_buf_add(out, n.p + 1, 3);
    } else koe_buf_add_str(out, n);
}

static bool is_one(koe_str n) { return koe_str_is(n, "1") || koe_str_is(n, "1.0") || koe_str_is(n, "1.00"); }

/* A hyphen or en dash at `at`; its length. */
static size_t dash_at(koe_str s, size_t at)
{
    return koe_byte(s, at) == '-' ? 1 : koe_str_starts(koe_str_sub(s, at, 3), KOE_STR("–")) ? 3 : 0;
}

/* Whether the amount stands before a noun: "a 5 km run", "a $1 coin". */
static bool before_noun(const koe_scan *c, size_t after)
{
    koe_str w = koe_word_before(c);
    size_t letters = koe_byte(c->s, after) == ' ' ? koe_letters(c->s, after + 1) : 0;
    return (koe_same_word(w, "a") || koe_same_word(w, "an")) && letters > 2;
}

/* ---- time ---- */

/* "am", "p.m.", "PM" at `at`, one space before it allowed. */
static bool meridiem(koe_str s, size_t at)
{
    if (koe_byte(s, at) == ' ') at++;
    char a = koe_byte(s, at), b = koe_byte(s, at + 1);
    if ((a | 32) != 'a' && (a | 32) != 'p') return false;
    if (b == '.') b = koe_byte(s, ++at + 1);
    return (b | 32) == 'm' && !koe_is_alnum(koe_byte(s, at + 2));
}

size_t koe_rule_time(const koe_scan *c, koe_buf *out)
{
    size_t h = koe_digits(c->s, c->at), m = h && koe_byte(c->s, c->at + h) == ':' ? koe_digits(c->s, c->at + h + 1) : 0;
    if (h < 1 || h > 2 || !m || !koe_starts_number(c)) return 0;
    unsigned hour = koe_value(c->s, c->at, h), minute = koe_value(c->s, c->at + h + 1, m);
    size_t n = h + 1 + m;
    if (m != 2 || minute > 59 || hour > 24) { /* 16:9 */
        if (!koe_ends_number(c->s, c->at + n) || m > 3) return 0;
        koe_buf_printf(out, "%u to %u", hour, minute);
        return n;
    }
    if (koe_byte(c->s, c->at + n) == ':' && koe_digits(c->s, c->at + n + 1) == 2) {
        unsigned second = koe_value(c->s, c->at + n + 1, 2);
        koe_buf_printf(out, "%u hour%s %u minute%s and %u second%s", hour, hour == 1 ? "" : "s", minute, minute == 1 ? "" : "s", second, second == 1 ? "" : "s");
        return n + 3;
    }
    bool half_day = meridiem(c->s, c->at + n);
    if (!half_day && koe_is_letter(koe_byte(c->s, c->at + n))) return 0;
    koe_buf_printf(out, "%u", hour);
    if (minute == 0 && !half_day) koe_buf_adds(out, hour == 0 ? " hundred hours" : " o'clock");
    else if (minute && minute < 10) koe_buf_printf(out, " oh %u", minute);
    else if (minute) koe_buf_printf(out, " %u", minute);
    if (half_day && koe_byte(c->s, c->at + n) != ' ') koe_buf_addc(out, ' ');
    size_t dash = dash_at(c->s, c->at + n), next = koe_digits(c->s, c->at + n + dash);
    if (dash && next && koe_byte(c->s, c->at + n + dash + next) == ':') return koe_buf_adds(out, " to "), n + dash; /* 9:00-17:00 */
    return n;
}

/* ---- dates ---- */

static bool is_date(unsigned y, unsigned m, unsigned d) { return m >= 1 && m <= 12 && d >= 1 && d <= 31 && y < 10000; }

static void put_date(koe_buf *out, unsigned y, unsigned m, unsigned d) { koe_buf_printf(out, "%s %u%s, %u", months[m - 1], d, ordinal_suffix(d), y); }

size_t koe_rule_iso_date(const koe_scan *c, koe_buf *out)
{
    koe_str s = koe_str_sub(c->s, c->at, 11);
    if (koe_digits(s, 0) != 4 || koe_byte(s, 4) != '-' || koe_digits(s, 5) != 2 || koe_byte(s, 7) != '-' || koe_digits(s, 8) != 2) return 0;
    unsigned y = koe_value(s, 0, 4), m = koe_value(s, 5, 2), d = koe_value(s, 8, 2);
    if (!is_date(y, m, d)) return 0;
    put_date(out, y, m, d);
    if (koe_byte(s, 10) == 'T') koe_buf_addc(out, ' ');
    return koe_byte(s, 10) == 'T' ? 11 : 10;
}

size_t koe_rule_slash_date(const koe_scan *c, koe_buf *out)
{
    size_t a = koe_digits(c->s, c->at);
    char sep = koe_byte(c->s, c->at + a);
    if (a < 1 || a > 2 || (sep != '/' && sep != '.') || !koe_starts_number(c)) return 0;
    size_t b = koe_digits(c->s, c->at + a + 1), at_year = c->at + a + 1 + b + 1;
    if (b < 1 || b > 2 || koe_byte(c->s, at_year - 1) != sep) return 0;
    size_t y = koe_digits(c->s, at_year);
    if (y != 4 || !koe_ends_number(c->s, at_year + 4)) return 0;
    unsigned first = koe_value(c->s, c->at, a), second = koe_value(c->s, c->at + a + 1, b), year = koe_value(c->s, at_year, 4);
    bool day_first = c->british || sep == '.' || first > 12;
    unsigned m = day_first ? second : first, d = day_first ? first : second;
    if (!is_date(year, m, d)) return 0;
    put_date(out, year, m, d);
    return a + b + 6;
}

size_t koe_rule_day(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_digits(c->s, c->at);
    if (n < 1 || n > 2 || koe_before(c) != ' ' || !is_month(koe_word_before(c))) return 0;
    unsigned d = koe_value(c->s, c->at, n);
    if (d < 1 || d > 31 || !koe_ends_number(c->s, c->at + n) || koe_byte(c->s, c->at + n) == '%') return 0;
    koe_buf_printf(out, "%u%s", d, ordinal_suffix(d));
    return n;
}

size_t koe_rule_day_month(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_digits(c->s, c->at);
    if (n < 1 || n > 2 || koe_byte(c->s, c->at + n) != ' ' || !koe_starts_number(c)) return 0;
    size_t letters = koe_letters(c->s, c->at + n + 1);
    unsigned d = koe_value(c->s, c->at, n);
    if (d < 1 || d > 31 || !is_month(koe_str_sub(c->s, c->at + n + 1, letters))) return 0;
    koe_str before = koe_word_before(c);
    size_t comma = c->at > 2 && c->s.p[c->at - 2] == ',' ? c->at - 2 : c->at;
    bool weekday = comma >= 3 && koe_str_ends((koe_str){ c->s.p, comma - (comma == c->at) }, KOE_STR("day"));
    if (weekday) koe_buf_printf(out, "%u%s", d, ordinal_suffix(d)); /* Monday, 23rd March */
    else koe_buf_printf(out, "%s%u%s of", koe_same_word(before, "the") ? "" : "the ", d, ordinal_suffix(d));
    return n;
}

/* ---- money ---- */

typedef struct currency {
    const char *sign, *code, *one, *many, *cent, *cents; /* cent NULL: none */
} currency;

static const currency currencies[] = {
    { "$", "USD", "dollar", "dollars", "cent", "cents" }, { "£", "GBP", "pound", "pounds", "penny", "pence" },
    { "€", "EUR", "euro", "euros", "cent", "cents" }, { "¥", "JPY", "yen", "yen", NULL, NULL }, { "₹", "INR", "rupee", "rupees", "paisa", "paise" },
    { "₩", "KRW", "won", "won", NULL, NULL }, { "₽", "RUB", "ruble", "rubles", "kopeck", "kopecks" }, { "₺", "TRY", "lira", "lira", "kuruş", "kuruş" },
    { "₪", "ILS", "shekel", "shekels", "agora", "agorot" }, { "฿", "THB", "baht", "baht", NULL, NULL }, { "₫", "VND", "dong", "dong", NULL, NULL },
    { "₿", "BTC", "bitcoin", "bitcoin", NULL, NULL }, { "US$", "USD", "US dollar", "US dollars", "cent", "cents" },
    { "A$", "AUD", "Australian dollar", "Australian dollars", "cent", "cents" }, { "C$", "CAD", "Canadian dollar", "Canadian dollars", "cent", "cents" },
    { "NZ$", "NZD", "New Zealand dollar", "New Zealand dollars", "cent", "cents" }, { "HK$", "HKD", "Hong Kong dollar", "Hong Kong dollars", "cent", "cents" },
    { "CHF", "CHF", "Swiss franc", "Swiss francs", NULL, NULL }, { "R$", "BRL", "real", "reals", NULL, NULL }, { "zł", "PLN", "zloty", "zlotys", NULL, NULL } };

static const currency *currency_at(koe_str s, size_t at, size_t *n, bool codes)
{
    koe_str here = koe_str_sub(s, at, 4);
    for (size_t i = 0; i < sizeof currencies / sizeof *currencies; i++) {
        koe_str sign = koe_str_of(currencies[i].sign), code = koe_str_of(currencies[i].code);
        if (koe_str_starts(here, sign)) return *n = sign.n, &currencies[i];
        if (codes && koe_str_starts(here, code) && !koe_is_alnum(koe_byte(here, 3))) return *n = 3, &currencies[i];
    }
    return NULL;
}

/* "million", "M", "bn" behind an amount, one space before a word allowed; "" and 0 when there is none. */
static const char *magnitude_at(koe_str s, size_t at, size_t *n)
{
    static const struct {
        const char *form, *word;
    } glued[] = { { "bn", "billion" }, { "mn", "million" }, { "mm", "million" }, { "tn", "trillion" }, { "k", "thousand" }, { "K", "thousand" },
        { "m", "million" }, { "M", "million" }, { "b", "billion" }, { "B", "billion" }, { "T", "trillion" } };
    size_t space = koe_byte(s, at) == ' ', letters = koe_letters(s, at + space);
    koe_str w = koe_str_sub(s, at + space, letters);
    static const char *const words[] = { "hundred", "thousand", "million", "billion", "trillion" };
    *n = 0;
    for (size_t i = 0; i < 5; i++)
        if (koe_str_is(w, words[i])) return *n = space + letters, words[i];
    for (size_t i = 0; i < sizeof glued / sizeof *glued; i++)
        if (koe_str_is(w, glued[i].form) && (!space || letters == 2) && !koe_is_digit(koe_byte(s, at + space + letters)))
            return *n = space + letters, glued[i].word;
    return "";
}

/* Whole units and hundredths: "3 dollars and 50 cents". */
static void put_sum(koe_buf *out, koe_str amount, const currency *cur, bool one)
{
    const char *dot = memchr(amount.p, '.', amount.n);
    size_t n_whole = dot ? (size_t)(dot - amount.p) : amount.n, n_part = dot ? amount.n - n_whole - 1 : 0;
    koe_str whole = koe_str_sub(amount, 0, n_whole), part = koe_str_sub(amount, n_whole + 1, n_part);
    bool zero_whole = koe_str_is(whole, "0"), zero_part = true;
    for (size_t i = 0; i < part.n; i++) zero_part &= part.p[i] == '0';
    if (!cur->cent || n_part > 2) {
        put_amount(out, zero_part ? whole : amount);
        koe_buf_printf(out, " %s", one || is_one(zero_part ? whole : amount) ? cur->one : cur->many);
        return;
    }
    if (!zero_whole || zero_part) {
        put_amount(out, whole);
        koe_buf_printf(out, " %s", (one && zero_part) || is_one(whole) ? cur->one : cur->many);
    }
    if (zero_part) return;
    unsigned hundredths = koe_value(part, 0, part.n) * (part.n == 1 ? 10 : 1);
    koe_buf_printf(out, "%s%u %s", zero_whole ? "" : " and ", hundredths, hundredths == 1 ? cur->cent : cur->cents);
}

size_t koe_rule_money(const koe_scan *c, koe_buf *out)
{
    size_t n_sign, n_size;
    if (koe_is_alnum(koe_before(c))) return 0;
    const currency *cur = currency_at(c->s, c->at, &n_sign, true);
    if (!cur) return 0;
    size_t space = koe_byte(c->s, c->at + n_sign) == ' ' && koe_is_letter(c->s.p[c->at + n_sign - 1]), at = c->at + n_sign + space, n = koe_numeral(c->s, at);
    if (!n) return 0;
    koe_str amount = koe_str_sub(c->s, at, n);
    const char *size = magnitude_at(c->s, at + n, &n_size);
    if (*size) {
        koe_buf_add_str(out, amount);
        koe_buf_printf(out, " %s %s", size, before_noun(c, at + n + n_size) ? cur->one : cur->many);
    } else if (koe_is_alnum(koe_byte(c->s, at + n))) return 0;
    else put_sum(out, amount, cur, before_noun(c, at + n));
    return n_sign + space + n + n_size;
}

size_t koe_rule_money_range(const koe_scan *c, koe_buf *out)
{
    size_t n_sign, again, n_size;
    if (koe_is_alnum(koe_before(c))) return 0;
    const currency *cur = currency_at(c->s, c->at, &n_sign, false);
    size_t n = cur ? koe_numeral(c->s, c->at + n_sign) : 0, at = c->at + n_sign + n;
    if (!n) return 0;
    size_t dash = dash_at(c->s, at);
    if (!dash) return 0;
    size_t to_at = at + dash;
    if (currency_at(c->s, to_at, &again, false) == cur) to_at += again;
    size_t n_to = koe_numeral(c->s, to_at);
    if (!n_to) return 0;
    const char *size = magnitude_at(c->s, to_at + n_to, &n_size);
    if (!*size && koe_is_alnum(koe_byte(c->s, to_at + n_to))) return 0;
    put_amount(out, koe_str_sub(c->s, c->at + n_sign, n));
    koe_buf_adds(out, " to ");
    put_amount(out, koe_str_sub(c->s, to_at, n_to));
    koe_buf_printf(out, "%s%s %s", *size ? " " : "", size, cur->many);
    return to_at + n_to + n_size - c->at;
}

size_t koe_rule_money_after(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_numeral(c->s, c->at), n_sign, n_size;
    if (!n || !koe_starts_number(c)) return 0;
    koe_str amount = koe_str_sub(c->s, c->at, n);
    if (koe_str_starts(koe_str_sub(c->s, c->at + n, 2), KOE_STR("¢"))) {
        put_amount(out, amount);
        koe_buf_adds(out, is_one(amount) ? " cent" : " cents");
        return n + 2;
    }
    const char *size = magnitude_at(c->s, c->at + n, &n_size);
    size_t at = c->at + n + n_size, space = koe_byte(c->s, at) == ' ';
    const currency *cur = currency_at(c->s, at + space, &n_sign, true);
    if (!cur || koe_is_digit(koe_byte(c->s, at + space + n_sign)) || koe_is_letter(koe_byte(c->s, at + space + n_sign))) return 0;
    if (space && cur->sign[0] == c->s.p[at + space] && !koe_is_letter(cur->sign[0]) && koe_byte(c->s, at + space + n_sign) != ' ' &&
        koe_byte(c->s, at + space + n_sign) != 0 && !strchr(".,;:!?)", koe_byte(c->s, at + space + n_sign)))
        return 0;
    if (*size) {
        koe_buf_add_str(out, amount);
        koe_buf_printf(out, " %s %s", size, cur->many);
    } else put_sum(out, amount, cur, before_noun(c, at + space + n_sign));
    return n + n_size + space + n_sign;
}

size_t koe_rule_magnitude(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_numeral(c->s, c->at);
    if (!n || !koe_starts_number(c) || koe_byte(c->s, c->at + n) != 'k' || koe_is_alnum(koe_byte(c->s, c->at + n + 1))) return 0;
    koe_buf_add(out, c->s.p + c->at, n);
    koe_buf_adds(out, " thousand");
    return n + 1;
}

/* ---- units ---- */

static const struct {
    const char *sign, *one, *many;
} units[] = { { "km/h", "kilometer per hour", "kilometers per hour" }, { "kph", "kilometer per hour", "kilometers per hour" },
    { "mph", "mile per hour", "miles per hour" }, { "m/s", "meter per second", "meters per second" }, { "km²", "square kilometer", "square kilometers" },
    { "km2", "square kilometer", "square kilometers" }, { "m²", "square meter", "square meters" }, { "m2", "square meter", "square meters" },
    { "cm²", "square centimeter", "square centimeters" }, { "m³", "cubic meter", "cubic meters" }, { "cm³", "cubic centimeter", "cubic centimeters" },
    { "ft²", "square foot", "square feet" }, { "sq ft", "square foot", "square feet" }, { "km", "kilometer", "kilometers" }, { "cm", "centimeter", "centimeters" },
    { "mm", "millimeter", "millimeters" }, { "nm", "nanometer", "nanometers" }, { "µm", "micrometer", "micrometers" }, { "m", "meter", "meters" },
    { "kg", "kilogram", "kilograms" }, { "mg", "milligram", "milligrams" }, { "µg", "microgram", "micrograms" }, { "g", "gram", "grams" },
    { "lbs", "pound", "pounds" }, { "lb", "pound", "pounds" }, { "oz", "ounce", "ounces" }, { "tbsp", "tablespoon", "tablespoons" }, { "tsp", "teaspoon", "teaspoons" }, { "ft", "foot", "feet" }, { "in", "inch", "inches" }, { "yd", "yard", "yards" },
    { "mi", "mile", "miles" }, { "ml", "milliliter", "milliliters" }, { "mL", "milliliter", "milliliters" }, { "cl", "centiliter", "centiliters" },
    { "L", "liter", "liters" }, { "gal", "gallon", "gallons" }, { "kB", "kilobyte", "kilobytes" }, { "KB", "kilobyte", "kilobytes" },
    { "MB", "megabyte", "megabytes" }, { "GB", "gigabyte", "gigabytes" }, { "TB", "terabyte", "terabytes" }, { "Mbps", "megabit per second", "megabits per second" },
    { "Gbps", "gigabit per second", "gigabits per second" }, { "Hz", "hertz", "hertz" }, { "kHz", "kilohertz", "kilohertz" }, { "MHz", "megahertz", "megahertz" },
    { "GHz", "gigahertz", "gigahertz" }, { "kWh", "kilowatt hour", "kilowatt hours" }, { "kW", "kilowatt", "kilowatts" }, { "MW", "megawatt", "megawatts" },
    { "W", "watt", "watts" }, { "V", "volt", "volts" }, { "mAh", "milliamp hour", "milliamp hours" }, { "kJ", "kilojoule", "kilojoules" },
    { "kcal", "kilocalorie", "kilocalories" }, { "hPa", "hectopascal", "hectopascals" }, { "kPa", "kilopascal", "kilopascals" }, { "dB", "decibel", "decibels" },
    { "ms", "millisecond", "milliseconds" }, { "sec", "second", "seconds" }, { "min", "minute", "minutes" }, { "hrs", "hour", "hours" }, { "hr", "hour", "hours" },
    { "yrs", "year", "years" }, { "yr", "year", "years" }, { "rpm", "R P M", "R P M" }, { "ppm", "part per million", "parts per million" },
    { "px", "pixel", "pixels" }, { "pt", "point", "points" }, { "ha", "hectare", "hectares" }, { "°", "degree", "degrees" } };

size_t koe_rule_unit(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_numeral(c->s, c->at), best = 0, which = 0;
    if (!n || !koe_starts_number(c)) return 0;
    size_t at = c->at + n, space = koe_byte(c->s, at) == ' ' || (koe_byte(c->s, at) == '-' && koe_is_letter(koe_byte(c->s, at + 1)));
    koe_str here = koe_str_sub(c->s, at + space, 8);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        koe_str sign = koe_str_of(units[i].sign);
        if (sign.n > best && koe_str_starts(here, sign) && !koe_is_alnum(koe_byte(c->s, at + space + sign.n))) best = sign.n, which = i;
    }
    if (!best) return 0;
    char after = koe_byte(c->s, at + space + best);
    if (strcmp(units[which].sign, "in") == 0 && after != '.') return 0; /* 5 in 10 */
    if (best == 1 && (after == '\'' || after == '&' || after == '/')) return 0; /* 10 m's, 5 G&T */
    koe_str amount = koe_str_sub(c->s, c->at, n);
    bool hyphen = space && c->s.p[at] == '-';
    put_amount(out, amount);
    koe_buf_printf(out, " %s", is_one(amount) || hyphen || before_noun(c, at + space + best) ? units[which].one : units[which].many);
    /* The dot of "lbs." is the unit's when the sentence goes on. */
    bool dot = after == '.' && strchr("lmyhgsofi", units[which].sign[0]) && koe_byte(c->s, at + space + best + 1) == ' ' && !koe_is_capital(koe_byte(c->s, at + space + best + 2));
    return n + space + best + dot;
}

size_t koe_rule_degrees(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_numeral(c->s, c->at);
    if (!n || !koe_starts_number(c)) return 0;
    size_t at = c->at + n, space = koe_byte(c->s, at) == ' ';
    koe_str here = koe_str_sub(c->s, at + space, 4);
    const char *scale = NULL;
    size_t sign = 0;
    if (koe_str_starts(here, KOE_STR("°C"))) scale = "Celsius", sign = 3;
    else if (koe_str_starts(here, KOE_STR("°F"))) scale = "Fahrenheit", sign = 3;
    else if (koe_str_starts(here, KOE_STR("℃"))) scale = "Celsius", sign = 3;
    else if (koe_str_starts(here, KOE_STR("℉"))) scale = "Fahrenheit", sign = 3;
    if (!scale || koe_is_alnum(koe_byte(c->s, at + space + sign))) return 0;
    koe_str amount = koe_str_sub(c->s, c->at, n);
    koe_buf_add_str(out, amount);
    koe_buf_printf(out, " degree%s %s", is_one(amount) ? "" : "s", scale);
    return n + space + sign;
}

/* A prime or double prime, however it is written; its length. */
static size_t prime_at(koe_str s, size_t at, bool twice)
{
    static const char *const one[] = { "'", "’", "′" }, *const two[] = { "\"", "”", "″", "''" };
    koe_str here = koe_str_sub(s, at, 4);
    for (size_t i = 0; i < (twice ? 4u : 3u); i++)
        if (koe_str_starts(here, koe_str_of(twice ? two[i] : one[i]))) return strlen(twice ? two[i] : one[i]);
    return 0;
}

size_t koe_rule_feet(const koe_scan *c, koe_buf *out)
{
    size_t feet = koe_digits(c->s, c->at), mark = feet && feet < 3 ? prime_at(c->s, c->at + feet, false) : 0;
    if (!mark || !koe_starts_number(c)) return 0;
    size_t at = c->at + feet + mark, space = koe_byte(c->s, at) == ' ', inches = koe_digits(c->s, at + space);
    size_t close = inches && inches < 3 ? prime_at(c->s, at + space + inches, true) : 0;
    if (!close) return 0;
    koe_str f = koe_str_sub(c->s, c->at, feet), i = koe_str_sub(c->s, at + space, inches);
    koe_buf_printf(out, "%.*s %s %.*s inch%s", KOE_STR_ARG(f), is_one(f) ? "foot" : "feet", KOE_STR_ARG(i), is_one(i) ? "" : "es");
    return feet + mark + space + inches + close;
}

/* ---- fractions, ranges ---- */

static const char *const parts[][2] = { { "half", "halves" }, { "third", "thirds" }, { "quarter", "quarters" }, { "fifth", "fifths" }, { "sixth", "sixths" },
    { "seventh", "sevenths" }, { "eighth", "eighths" } };

static void put_fraction(koe_buf *out, unsigned n, unsigned d, bool mixed)
{
    static const char *const counts[] = { "zero", "one", "two", "three", "four", "five", "six", "seven" };
    if (mixed && n == 1) koe_buf_printf(out, "a %s", parts[d - 2][0]);
    else koe_buf_printf(out, "%s %s", counts[n], parts[d - 2][n != 1]);
}

size_t koe_rule_fraction(const koe_scan *c, koe_buf *out)
{
    size_t whole = 0, at = c->at;
    if (!koe_starts_number(c)) return 0;
    size_t n = koe_digits(c->s, at);
    if (n && n < 4 && koe_byte(c->s, at + n) == ' ' && koe_digits(c->s, at + n + 1) == 1 && koe_byte(c->s, at + n + 2) == '/') { /* 2 1/2 */
        whole = n;
        at += n + 1;
        n = 1;
    }
    if (n != 1 || koe_byte(c->s, at + 1) != '/' || koe_digits(c->s, at + 2) != 1 || !koe_ends_number(c->s, at + 3)) return 0;
    unsigned a = koe_value(c->s, at, 1), b = koe_value(c->s, at + 2, 1);
    if (b < 2 || b > 8 || a < 1 || a >= b || a > 7) return 0;
    if (whole) {
        koe_buf_add(out, c->s.p + c->at, whole);
        koe_buf_adds(out, " and ");
    }
    put_fraction(out, a, b, whole > 0);
    return at + 3 - c->at;
}

size_t koe_rule_vulgar(const koe_scan *c, koe_buf *out)
{
    static const struct {
        const char *sign;
        unsigned n, d;
    } signs[] = { { "½", 1, 2 }, { "⅓", 1, 3 }, { "⅔", 2, 3 }, { "¼", 1, 4 }, { "¾", 3, 4 }, { "⅕", 1, 5 }, { "⅖", 2, 5 }, { "⅗", 3, 5 }, { "⅘", 4, 5 },
        { "⅙", 1, 6 }, { "⅚", 5, 6 }, { "⅛", 1, 8 }, { "⅜", 3, 8 }, { "⅝", 5, 8 }, { "⅞", 7, 8 } };
    size_t whole = koe_digits(c->s, c->at), space = whole && koe_byte(c->s, c->at + whole) == ' ';
    koe_str here = koe_str_sub(c->s, c->at + whole + space, 3);
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        koe_str sign = koe_str_of(signs[i].sign);
        if (!koe_str_starts(here, sign)) continue;
        if (whole) {
            koe_buf_add(out, c->s.p + c->at, whole);
            koe_buf_adds(out, " and ");
        }
        put_fraction(out, signs[i].n, signs[i].d, whole > 0);
        return whole + space + sign.n;
    }
    return 0;
}

size_t koe_rule_range(const koe_scan *c, koe_buf *out)
{
    size_t a = koe_numeral(c->s, c->at), at = c->at + a;
    if (!a || a > 7 || !koe_starts_number(c)) return 0;
    size_t dash = dash_at(c->s, at);
    size_t b = dash ? koe_numeral(c->s, at + dash) : 0;
    char after = koe_byte(c->s, at + dash + b);
    if (!b || b > 7 || after == '-' || after == '/') return 0;
    koe_buf_add(out, c->s.p + c->at, a);
    koe_buf_adds(out, " to ");
    return a + dash; /* the second number may be money or have a unit */
}

size_t koe_rule_percent(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_numeral(c->s, c->at), space = koe_byte(c->s, c->at + n) == ' ';
    if (!n || !koe_starts_number(c) || koe_byte(c->s, c->at + n + space) != '%' || koe_is_alnum(koe_byte(c->s, c->at + n + space + 1))) return 0;
    put_amount(out, koe_str_sub(c->s, c->at, n));
    koe_buf_adds(out, " percent");
    return n + space + 1;
}

/* 9/10, 24/7 */
size_t koe_rule_slash(const koe_scan *c, koe_buf *out)
{
    size_t a = koe_digits(c->s, c->at), b = koe_byte(c->s, c->at + a) == '/' ? koe_digits(c->s, c->at + a + 1) : 0;
    if (!a || !b || a > 4 || b > 4 || !koe_starts_number(c) || !koe_ends_number(c->s, c->at + a + 1 + b)) return 0;
    koe_str of = koe_str_sub(c->s, c->at + a + 1, b);
    koe_buf_add(out, c->s.p + c->at, a);
    koe_buf_adds(out, koe_str_is(of, "10") || koe_str_is(of, "100") ? " out of " : " ");
    koe_buf_add_str(out, of);
    return a + 1 + b;
}

/* 007, 0042: digit by digit. */
size_t koe_rule_zeros(const koe_scan *c, koe_buf *out)
{
    size_t n = koe_digits(c->s, c->at);
    if (n < 2 || c->s.p[c->at] != '0' || !koe_starts_number(c) || !koe_ends_number(c->s, c->at + n)) return 0;
    for (size_t i = 0; i < n; i++) {
        if (i) koe_buf_addc(out, ' ');
        koe_buf_addc(out, c->s.p[c->at + i]);
    }
    return n;
}

size_t koe_rule_decade(const koe_scan *c, koe_buf *out)
{
    size_t mark = prime_at(c->s, c->at, false);
    if (!mark && koe_str_starts(koe_str_sub(c->s, c->at, 3), KOE_STR("‘"))) mark = 3;
    if (!mark || koe_is_alnum(koe_before(c)) || koe_digits(c->s, c->at + mark) != 2) return 0;
    if (koe_before(c) == ' ' && koe_ends_number(c->s, c->at + mark + 2) && !prime_at(c->s, c->at + mark + 2, false)) { /* '69 */
        koe_buf_add(out, c->s.p + c->at + mark, 2);
        return mark + 2;
    }
    if (koe_byte(c->s, c->at + mark + 1) != '0') return 0;
    if (koe_byte(c->s, c->at + mark + 2) != 's' || koe_is_alnum(koe_byte(c->s, c->at + mark + 3))) return 0;
    koe_buf_add(out, c->s.p + c->at + mark, 3);
    return mark + 3;
}

/* #1, No. 1, № 1 */
size_t koe_rule_number_sign(const koe_scan *c, koe_buf *out)
{
    koe_str here = koe_str_sub(c->s, c->at, 6);
    size_t n = koe_str_starts(here, KOE_STR("№")) ? 3 : koe_str_starts(here, KOE_STR("No.")) ? 3 : koe_str_starts(here, KOE_STR("Nos.")) ? 4 : here.p[0] == '#' ? 1 : 0;
    bool many = n == 4;
    if (!n || koe_is_alnum(koe_before(c))) return 0;
    size_t space = n > 1 && koe_byte(c->s, c->at + n) == ' ';
    if (!koe_is_digit(koe_byte(c->s, c->at + n + space))) return 0;
    koe_buf_adds(out, many ? "numbers " : "number ");
    return n + space;
}

/* ---- telephones ---- */

/* A shape of digits: '9' any digit, other characters themselves. Its length when the text has it. */
static size_t match_shape(koe_str s, size_t at, const char *shape)
{
    size_t n = 0;
    for (; shape[n]; n++)
        if (shape[n] == '9' ? !koe_is_digit(koe_byte(s, at + n)) : koe_byte(s, at + n) != shape[n]) return 0;
    return koe_is_alnum(koe_byte(s, at + n)) || (koe_byte(s, at + n) == '-' && koe_is_digit(koe_byte(s, at + n + 1))) ? 0 : n;
}

/* Digits one by one, a comma where they are grouped. */
static void put_phone(koe_buf *out, koe_str s)
{
    bool group = false;
    for (size_t i = 0; i < s.n; i++) {
        if (!koe_is_digit(s.p[i])) {
            group |= out->n > 0;
            if (s.p[i] == '+') koe_buf_adds(out, "plus");
            continue;
        }
        if (group && koe_is_digit(out->data[out->n - 1])) koe_buf_addc(out, ',');
        group = false;
        if (out->n) koe_buf_addc(out, ' ');
        koe_buf_addc(out, s.p[i]);
    }
}

size_t koe_rule_phone(const koe_scan *c, koe_buf *out)
{
    static const char *const shapes[] = { "(999) 999-9999", "(999)999-9999", "1-999-999-9999", "999-999-9999", "999.999.9999", "+1 999-999-9999",
        "+1 (999) 999-9999", "+1-999-999-9999", "+1 999 999 9999", "+99 99 9999 9999", "+99 9999 999999", "+99 999 9999 9999", "+99 9 99 99 99 99", "999 999 9999",
        "999-9999" };
    if (koe_is_alnum(koe_before(c)) || !koe_starts_number(c)) return 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t n = match_shape(c->s, c->at, shapes[i]);
        if (!n) continue;
        put_phone(out, koe_str_sub(c->s, c->at, n));
        return n;
    }
    size_t digits = koe_digits(c->s, c->at);
    koe_str before = koe_word_before(c);
    if (digits == 3 && koe_ends_number(c->s, c->at + 3) && (koe_same_word(before, "call") || koe_same_word(before, "dial"))) { /* call 911 */
        put_phone(out, koe_str_sub(c->s, c->at, 3));
        return 3;
    }
    if (c->s.p[c->at] == '+' && koe_digits(c->s, c->at + 1) >= 9 && koe_digits(c->s, c->at + 1) <= 15) { /* +12025550123 */
        size_t n = 1 + koe_digits(c->s, c->at + 1);
        put_phone(out, koe_str_sub(c->s, c->at, n));
        return n;
    }
    return 0;
}

/* ---- numbers in words ---- */

size_t koe_rule_number(const koe_scan *c, koe_buf *out)
{
    static const char *const suffixes[] = { "st", "nd", "rd", "th", "'s", "s" };
    size_t at = c->at, sign = koe_byte(c->s, at) == '-';
    if (sign && (koe_is_alnum(koe_before(c)) || !koe_is_digit(koe_byte(c->s, at + 1)))) return 0;
    if (koe_byte(c->s, at) == '.' && (koe_is_alnum(koe_before(c)) || !koe_is_digit(koe_byte(c->s, at + 1)))) return 0;
    if (!sign && koe_byte(c->s, at) != '.' && !koe_is_digit(koe_byte(c->s, at))) return 0;
    size_t n = sign;
    while (koe_is_digit(koe_byte(c->s, at + n)) || (koe_byte(c->s, at + n) && strchr(",.", koe_byte(c->s, at + n)) && koe_is_digit(koe_byte(c->s, at + n + 1)))) n++;
    size_t suffix = 0;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes && !suffix; i++)
        if (koe_str_starts(koe_str_sub(c->s, at + n, 2), koe_str_of(suffixes[i])) && !koe_is_alnum(koe_byte(c->s, at + n + strlen(suffixes[i]))))
            suffix = strlen(suffixes[i]);
    koe_str word = koe_str_sub(c->s, at, n + suffix);
    char before = koe_before(c);
    koe_en_number_words(out, word, !koe_is_alnum(before) && before != '-', 0, "");
    if (!out->n) return 0;
    if (suffix && word.p[word.n - 1] == 's' && !out->failed) { /* nineties, hundreds */
        if (out->data[out->n - 1] == 'y') {
            out->n--;
            koe_buf_adds(out, "ie");
        }
        koe_buf_adds(out, out->data[out->n - 1] == 'x' ? "es" : "s");
    }
    if (koe_is_letter(before)) { /* B12 -> B twelve */
        koe_str words = koe_buf_str(out);
        koe_buf spaced = { 0 };
        koe_buf_printf(&spaced, " %.*s", KOE_STR_ARG(words));
        koe_buf_free(out);
        *out = spaced;
    }
    if (koe_is_letter(koe_byte(c->s, at + n + suffix))) koe_buf_addc(out, ' ');
    return n + suffix;
}
