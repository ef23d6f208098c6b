/* rules.c - walks over a text and applies the table of rules. */
#include "text/rules.h"

#include "text/utf8.h"

size_t koe_digits(koe_str s, size_t at)
{
    size_t n = 0;
    while (koe_is_digit(koe_byte(s, at + n))) n++;
    return n;
}

size_t koe_letters(koe_str s, size_t at)
{
    size_t n = 0;
    while (koe_is_letter(koe_byte(s, at + n))) n++;
    return n;
}

size_t koe_numeral(koe_str s, size_t at)
{
    size_t n = koe_digits(s, at);
    if (!n) return 0;
    if (n <= 3)
        while (koe_byte(s, at + n) == ',' && koe_digits(s, at + n + 1) == 3) n += 4;
    if (koe_byte(s, at + n) == '.' && koe_digits(s, at + n + 1)) n += 1 + koe_digits(s, at + n + 1);
    return n;
}

unsigned koe_value(koe_str s, size_t at, size_t n)
{
    unsigned v = 0;
    for (size_t i = 0; i < n && i < 9; i++) v = v * 10 + (unsigned)(koe_byte(s, at + i) - '0');
    return v;
}

koe_str koe_word_before(const koe_scan *c)
{
    size_t end = c->at;
    if (end && c->s.p[end - 1] == ' ') end--;
    if (end && c->s.p[end - 1] == '.') end--;
    size_t start = end;
    while (start && koe_is_letter(c->s.p[start - 1]) && end - start < 40) start--;
    return koe_str_sub(c->s, start, end - start);
}

bool koe_same_word(koe_str a, const char *b)
{
    if (strlen(b) != a.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if ((a.p[i] | 32) != (b[i] | 32)) return false;
    return true;
}

bool koe_in_words(koe_str w, const char *list)
{
    if (!w.n) return false;
    for (const char *p = list; *p;) {
        while (*p == ' ') p++;
        size_t n = strcspn(p, " ");
        if (n == w.n && memcmp(p, w.p, n) == 0) return true;
        p += n;
    }
    return false;
}

bool koe_ends_number(koe_str s, size_t at)
{
    char c = koe_byte(s, at);
    return !koe_is_alnum(c) && !((c == '.' || c == ',' || c == ':' || c == '/' || c == '-') && koe_is_digit(koe_byte(s, at + 1)));
}

bool koe_starts_number(const koe_scan *c)
{
    char b = koe_before(c);
    return !koe_is_alnum(b) && !(b && strchr("./:,-", b) && c->at > 1 && koe_is_digit(c->s.p[c->at - 2]));
}

static char class_of(char c)
{
    return koe_is_digit(c) ? '0' : koe_is_letter(c) ? 'a' : (unsigned char)c >= 0x80 ? '8' : c;
}

/* The first rule that applies here; returns the bytes it replaces. */
static size_t apply_one(const koe_scan *c, const koe_rule *rule, size_t n_rule, unsigned off, koe_buf *out, const char **name)
{
    char class = class_of(c->s.p[c->at]);
    for (size_t i = 0; i < n_rule; i++) {
        if (!strchr(rule[i].starts, class) || (rule[i].group & off)) continue;
        koe_buf_clear(out);
        size_t n = rule[i].fn(c, out);
        if (!n) continue;
        *name = rule[i].name;
        return n;
    }
    return 0;
}

bool koe_link_is_fixed(const koe_link *l) { return l->n && !l->is_alias && (koe_link_phonemes(l).n || (l->value.n && l->value.p[0] == '#')); }

/* Links that the rules leave alone, in order. */
typedef struct fixed {
    const koe_link *link;
    size_t n;
} fixed;

/* Where the next one begins, at or behind `at`, or where the one ends that holds it. */
static size_t next_fixed(fixed *f, size_t at, size_t *end)
{
    while (f->n && (!koe_link_is_fixed(f->link) || f->link->at + f->link->n <= at)) f->link++, f->n--;
    *end = f->n ? f->link->at + f->link->n : SIZE_MAX;
    return f->n ? f->link->at : SIZE_MAX;
}

static void walk(koe_normal *out, koe_buf *log, koe_scan c, const koe_rule *rule, size_t n_rule, unsigned off, fixed f)
{
    koe_str s = c.s;
    koe_buf by = { 0 };
    size_t kept = 0, end;
    while (c.at < s.n) {
        const size_t fixed_at = next_fixed(&f, c.at, &end);
        if (c.at >= fixed_at) {
            c.at = end;
            c.fresh = false;
            continue;
        }
        bool inside = !c.fresh && c.at && koe_is_alnum(s.p[c.at]) && (koe_is_alnum(s.p[c.at - 1]) || (unsigned char)s.p[c.at - 1] >= 0x80);
        const char *name = NULL;
        size_t n = s.p[c.at] == ' ' || inside ? 0 : apply_one(&c, rule, n_rule, off, &by, &name);
        if (n > fixed_at - c.at) n = 0;
        c.fresh = n > 0;
        if (!n) {
            size_t len;
            koe_utf8_at(s, c.at, &len);
            c.at += len;
            continue;
        }
        koe_normal_keep(out, s, kept, c.at - kept);
        koe_str words = koe_buf_str(&by);
        if (words.n && words.p[0] == ' ' && (!out->text.n || out->text.data[out->text.n - 1] == ' ')) words.p++, words.n--;
        if (words.n && words.p[words.n - 1] == ' ' && (c.at + n >= s.n || s.p[c.at + n] == ' ')) words.n--;
        if (!words.n && koe_byte(s, c.at + n) == ' ' && (!out->text.n || out->text.data[out->text.n - 1] == ' ')) n++; /* no two spaces */
        koe_applied a = { out->text.n, words.n, name };
        koe_normal_replace(out, c.at, n, words);
        if (log) koe_buf_add(log, &a, sizeof a);
        c.at += n;
        kept = c.at;
    }
    koe_normal_keep(out, s, kept, s.n - kept);
    out->failed |= by.failed || (log && log->failed);
    koe_buf_free(&by);
}

void koe_rules_apply(koe_normal *out, koe_buf *log, koe_str s, const koe_rules *by, unsigned off, const koe_link *link, size_t n_link)
{
    size_t n_rule;
    const koe_rule *rule = by->reading ? koe_rules_world(&n_rule) : koe_rules_english(&n_rule);
    const koe_scan scan = { .s = s, .british = by->british, .reading = by->reading, .speller = by->speller };
    walk(out, log, scan, rule, n_rule, off, (fixed){ link, n_link });
}

void koe_rules_spell_numbers(koe_normal *out, koe_str s, const koe_link *link, size_t n_link)
{
    static const koe_rule rules[] = { { "number", "0-.", 0, koe_rule_number }, { "mister", "a", 0, koe_rule_mister } };
    walk(out, NULL, (koe_scan){ .s = s }, rules, 2, 0, (fixed){ link, n_link });
}

void koe_rules_plain_digits(koe_normal *out, koe_str s)
{
    static const koe_rule rules[] = { { "digits", "8", 0, koe_rule_digits } };
    walk(out, NULL, (koe_scan){ .s = s }, rules, 1, 0, (fixed){ NULL, 0 });
}
