/* rules_name.c - English rules about names and abbreviations: titles, months, saints and streets, Roman numerals. */
#include "text/rules.h"

/* The word at the place (letters and inner dots), and the byte behind it. */
static koe_str word_here(const koe_scan *c, bool dots)
{
    size_t n = 0;
    while (koe_is_letter(koe_byte(c->s, c->at + n)) || (dots && koe_byte(c->s, c->at + n) == '.' && koe_is_letter(koe_byte(c->s, c->at + n + 1)))) n++;
    return koe_str_sub(c->s, c->at, n);
}

/* After a space: does a capital, a digit follow? */
static bool capital_follows(koe_str s, size_t at) { return koe_byte(s, at) == ' ' && koe_is_capital(koe_byte(s, at + 1)); }
static bool digit_follows(koe_str s, size_t at) { return koe_is_digit(koe_byte(s, at + (koe_byte(s, at) == ' '))); }

/* "." when the sentence ends with this dot, "" when the dot was only the abbreviation's. */
static const char *closing_dot(koe_str s, size_t after) { return after >= s.n || (koe_byte(s, after) == '"' && after + 1 >= s.n) ? "." : ""; }

size_t koe_rule_title(const koe_scan *c, koe_buf *out)
{
    static const char *const titles[][2] = { { "Lt", "lieutenant" }, { "Capt", "captain" }, { "Sgt", "sergeant" }, { "Cpl", "corporal" }, { "Maj", "major" },
        { "Col", "colonel" }, { "Gen", "general" }, { "Adm", "admiral" }, { "Cmdr", "commander" }, { "Gov", "governor" }, { "Sen", "senator" },
        { "Rep", "representative" }, { "Rev", "reverend" }, { "Prof", "professor" }, { "Hon", "honorable" }, { "Pres", "president" }, { "Supt", "superintendent" },
        { "Mt", "mount" }, { "Ft", "fort" }, { "Messrs", "messieurs" }, { "Dr", "doctor" }, { "Drs", "doctors" } };
    koe_str w = word_here(c, false);
    if (koe_byte(c->s, c->at + w.n) != '.' || !koe_is_capital(w.p[0])) return 0;
    size_t after = c->at + w.n + 1;
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        if (!koe_str_is(w, titles[i][0])) continue;
        if (capital_follows(c->s, after)) {
            koe_buf_adds(out, titles[i][1]);
            return w.n + 1;
        }
        koe_str before = koe_word_before(c);
        if (koe_str_is(w, "Dr") && before.n && koe_is_capital(before.p[0])) { /* Maple Dr. */
            koe_buf_printf(out, "Drive%s", closing_dot(c->s, after));
            return w.n + 1;
        }
        return 0;
    }
    return 0;
}

/* What espeak-ng would end a sentence at. */
size_t koe_rule_mister(const koe_scan *c, koe_buf *out)
{
    static const char *const forms[][2] = { { "Mr", "Mister" }, { "Mrs", "Missus" }, { "Ms", "Miz" } };
    koe_str w = word_here(c, false);
    if (koe_byte(c->s, c->at + w.n) != '.') return 0;
    for (size_t i = 0; i < 3; i++)
        if (koe_str_is(w, forms[i][0])) return koe_buf_adds(out, forms[i][1]), w.n + 1;
    return 0;
}

size_t koe_rule_saint(const koe_scan *c, koe_buf *out)
{
    koe_str w = word_here(c, false);
    if (!koe_str_is(w, "St") && !koe_str_is(w, "Ste")) return 0;
    bool dot = koe_byte(c->s, c->at + 2) == '.' && w.n == 2;
    size_t after = c->at + w.n + dot;
    koe_str before = koe_word_before(c);
    bool name_before = before.n > 1 && koe_is_capital(before.p[0]) && !koe_in_words(before, " The In At On By To From Of And Near Visit Saw ");
    bool number_before = c->at > 1 && c->s.p[c->at - 1] == ' ' && (koe_is_digit(c->s.p[c->at - 2]) || (c->at > 3 && koe_is_digit(c->s.p[c->at - 4])));
    if (name_before || (number_before && !capital_follows(c->s, after))) {
        if (!dot) return 0;
        koe_buf_printf(out, "Street%s", closing_dot(c->s, after));
        return 3;
    }
    if (!capital_follows(c->s, after)) return 0;
    koe_buf_adds(out, "Saint");
    return w.n + dot;
}

size_t koe_rule_month(const koe_scan *c, koe_buf *out)
{
    static const char *const names[][2] = { { "Jan", "January" }, { "Feb", "February" }, { "Mar", "March" }, { "Apr", "April" }, { "Jun", "June" }, { "Jul", "July" },
        { "Aug", "August" }, { "Sep", "September" }, { "Sept", "September" }, { "Oct", "October" }, { "Nov", "November" }, { "Dec", "December" },
        { "Mon", "Monday" }, { "Tue", "Tuesday" }, { "Tues", "Tuesday" }, { "Wed", "Wednesday" }, { "Thu", "Thursday" }, { "Thur", "Thursday" },
        { "Thurs", "Thursday" }, { "Fri", "Friday" }, { "Sat", "Saturday" }, { "Sun", "Sunday" } };
    koe_str w = word_here(c, false);
    bool dot = koe_byte(c->s, c->at + w.n) == '.';
    size_t after = c->at + w.n + dot;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!koe_str_is(w, names[i][0])) continue;
        bool month = i < 12;
        if (!dot && !(month && digit_follows(c->s, after) && !koe_str_is(w, "Mar"))) return 0;
        if (dot && month && !digit_follows(c->s, after) && koe_byte(c->s, after) != ',' && after < c->s.n && koe_str_is(w, "Mar")) return 0;
        if (dot && !month && koe_in_words(w, " Sat Sun Wed Mon ") && capital_follows(c->s, after)) return 0; /* He sat. ... */
        koe_buf_printf(out, "%s%s", names[i][1], dot ? closing_dot(c->s, after) : "");
        return w.n + dot;
    }
    return 0;
}

size_t koe_rule_abbreviation(const koe_scan *c, koe_buf *out)
{
    enum { ANY, NUMBER }; /* what must follow */
    static const struct {
        const char *form, *words;
        int needs;
    } forms[] = { { "e.g", "for example", ANY }, { "i.e", "that is", ANY }, { "vs", "versus", ANY }, { "approx", "approximately", ANY }, { "dept", "department", ANY },
        { "govt", "government", ANY }, { "Inc", "incorporated", ANY }, { "Corp", "corporation", ANY }, { "Ltd", "limited", ANY }, { "Jr", "junior", ANY },
        { "Sr", "senior", ANY }, { "Bros", "brothers", ANY }, { "Vol", "volume", NUMBER }, { "vol", "volume", NUMBER }, { "Fig", "figure", NUMBER },
        { "fig", "figure", NUMBER }, { "figs", "figures", NUMBER }, { "Ch", "chapter", NUMBER }, { "ch", "chapter", NUMBER }, { "chap", "chapter", NUMBER },
        { "Sec", "section", NUMBER }, { "sec", "section", NUMBER }, { "p", "page", NUMBER }, { "pp", "pages", NUMBER }, { "Eq", "equation", NUMBER },
        { "no", "number", NUMBER }, { "nos", "numbers", NUMBER }, { "art", "article", NUMBER }, { "Art", "article", NUMBER }, { "min", "minimum", NUMBER },
        { "max", "maximum", NUMBER }, { "ca", "circa", NUMBER }, { "c", "circa", NUMBER }, { "Ave", "avenue", ANY }, { "Blvd", "boulevard", ANY },
        { "Rd", "road", ANY }, { "Apt", "apartment", ANY }, { "Hwy", "highway", ANY }, { "est", "estimated", ANY }, { "misc", "miscellaneous", ANY },
        { "Assn", "association", ANY }, { "Dept", "department", ANY }, { "Approx", "approximately", ANY }, { "Mass", "Massachusetts", ANY }, { "a.k.a", "also known as", ANY } };
    koe_str w = word_here(c, true);
    if (koe_byte(c->s, c->at + w.n) != '.') return 0;
    size_t after = c->at + w.n + 1;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!koe_str_is(w, forms[i].form)) continue;
        bool roman = koe_byte(c->s, after) == ' ' && koe_byte(c->s, after + 1) && strchr("IVX", koe_byte(c->s, after + 1));
        if (forms[i].needs == NUMBER && !digit_follows(c->s, after) && !roman) return 0;
        koe_buf_printf(out, "%s%s", forms[i].words, closing_dot(c->s, after));
        return w.n + 1;
    }
    return 0;
}

/* ---- Roman numerals ---- */

/* The value of a canonical Roman numeral up to 89, 0 when it is none. */
static unsigned roman_value(koe_str w)
{
    static const struct {
        const char *sign;
        unsigned value;
    } signs[] = { { "L", 50 }, { "XL", 40 }, { "X", 10 }, { "IX", 9 }, { "V", 5 }, { "IV", 4 }, { "I", 1 } };
    unsigned v = 0;
    size_t at = 0;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t n = strlen(signs[i].sign), times = 0, most = n == 1 && (signs[i].value == 10 || signs[i].value == 1) ? 3 : 1;
        while (times < most && koe_str_starts(koe_str_sub(w, at, w.n), koe_str_of(signs[i].sign))) v += signs[i].value, at += n, times++;
    }
    return at == w.n ? v : 0;
}

static const char *suffix_of(unsigned v) { return v % 10 == 1 && v != 11 ? "st" : v % 10 == 2 && v != 12 ? "nd" : v % 10 == 3 && v != 13 ? "rd" : "th"; }

size_t koe_rule_roman(const koe_scan *c, koe_buf *out)
{
    static const char counted[] = " Chapter chapter Part part Volume volume Vol vol Act act Scene scene Section section Book book Type type Phase phase Class class Stage "
                                  "stage Level level Mark Article article Title Appendix appendix War Bowl Rocky Unit Lesson Canto Canon Table Figure Rule Group Annex ";
    static const char rulers[] = " Henry Louis George Edward Charles James William Richard Philip John Paul Pius Benedict Elizabeth Mary Catherine Alexander Nicholas "
                                 "Peter Frederick Napoleon Leo Gregory Francis Ferdinand Otto Clement Innocent Urban Leopold Ivan Gustav Christian Ramses Ramesses "
                                 "Darius Xerxes Ptolemy Cleopatra Wilhelm Felipe Juan Carlos Robert Malcolm David Stephen Sixtus Julius Boniface Adrian Haakon Harald ";
    /* "Charles I was ...", not "Charles, I think" */
    static const char reigns[] = " was is had ruled reigned died became of and in married succeeded who ";
    koe_str w = word_here(c, false);
    unsigned v = w.n && w.n <= 7 ? roman_value(w) : 0;
    char after = koe_byte(c->s, c->at + w.n);
    if (!v || after == '\'' || (after == '-' && koe_is_letter(koe_byte(c->s, c->at + w.n + 1)))) return 0;
    if (koe_before(c) != ' ') return 0;
    koe_str before = koe_word_before(c);
    if (c->at > 1 && c->s.p[c->at - 2] == '.' && !koe_str_is(before, "Vol")) return 0;
    if (koe_in_words(before, counted)) koe_buf_printf(out, "%u", v);
    else if (koe_in_words(before, rulers) && (w.n > 1 || after != ' ' || koe_in_words(koe_str_sub(c->s, c->at + 2, koe_letters(c->s, c->at + 2)), reigns)))
        koe_buf_printf(out, "the %u%s", v, suffix_of(v));
    else if (before.n > 1 && koe_is_capital(before.p[0]) && w.n > 1 && !koe_in_words(before, " The And Or If ")) koe_buf_printf(out, "%u", v);
    else return 0;
    return w.n;
}

size_t koe_rule_world_war(const koe_scan *c, koe_buf *out)
{
    koe_str w = word_here(c, false);
    if (koe_str_is(w, "WWI")) koe_buf_adds(out, "World War One");
    else if (koe_str_is(w, "WWII")) koe_buf_adds(out, "World War Two");
    else return 0;
    return w.n;
}
