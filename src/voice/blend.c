#include "voice/blend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_SPELLING = 1024, MAX_NAME = 128 };

static unsigned char lower(char c) { return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c); }

/* Levenshtein's distance without regard to case, one row of the table at a time. */
static size_t distance(koe_str a, koe_str b)
{
    size_t row[MAX_NAME + 1];
    if (a.n > MAX_NAME || b.n > MAX_NAME) return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++) row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t change = diagonal + (lower(a.p[i - 1]) != lower(b.p[j - 1]));
            size_t one = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < one ? change : one;
        }
    }
    return row[b.n];
}

/* "; did you mean X, Y or Z?" for the up to three names that are a few letters away, "" when there are none. Returns text. */
static char *near_names(char *text, size_t cap, koe_str wanted, const koe_str *names, size_t n_names)
{
    size_t best[3] = { 0 }, best_distance[3] = { 0 }, n = 0, limit = wanted.n / 3 > 2 ? wanted.n / 3 : 2;
    if (limit >= wanted.n && wanted.n) limit = wanted.n - 1; /* one letter of a short name must be right */
    for (size_t i = 0; i < n_names; i++) {
        size_t d = distance(wanted, names[i]), at = n;
        if (d > limit) continue;
        while (at > 0 && best_distance[at - 1] > d) at--;
        if (at == 3) continue;
        if (n < 3) n++;
        for (size_t k = n - 1; k > at; k--) best[k] = best[k - 1], best_distance[k] = best_distance[k - 1];
        best[at] = i;
        best_distance[at] = d;
    }
    koe_buf b = { 0 };
    for (size_t k = 0; k < n; k++)
        koe_buf_printf(&b, "%s%.*s", k == 0 ? "; did you mean " : k + 1 == n ? " or " : ", ", KOE_STR_ARG(names[best[k]]));
    snprintf(text, cap, "%s%s", b.data ? b.data : "", n ? "?" : "");
    koe_buf_free(&b);
    return text;
}

typedef struct parser {
    koe_str s;
    size_t at;
    const koe_str *names;
    size_t n_names;
    koe_error *err;
} parser;

static koe_status expected(const parser *p, const char *what)
{
    return koe_fail(p->err, KOE_E_ARGUMENT, "voice '%.*s': %s expected at character %zu", KOE_STR_ARG(p->s), what, p->at + 1);
}

static void skip_space(parser *p)
{
    while (p->at < p->s.n && p->s.p[p->at] == ' ') p->at++;
}

static bool take(parser *p, char c)
{
    skip_space(p);
    if (p->at == p->s.n || p->s.p[p->at] != c) return false;
    p->at++;
    return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_name(char c)
{
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

static koe_status not_found(parser *p)
{
    size_t n = 0;
    while (p->at + n < p->s.n && is_name(p->s.p[p->at + n])) n++;
    if (n == 0) return expected(p, "a voice");
    /* Names of other engines' voices hold hyphens: without any other sign of a blend, the whole is one wrong name. */
    bool whole = p->at == 0 && strcspn(p->s.p, "+,(*:") >= p->s.n;
    koe_str name = whole ? p->s : koe_str_sub(p->s, p->at, n);
    char near[400], where[64] = "";
    if (name.n < p->s.n) snprintf(where, sizeof where, " at character %zu of the blend", p->at + 1);
    return koe_fail(p->err, KOE_E_NOT_FOUND, "no voice '%.*s'%s%s", KOE_STR_ARG(name), where,
                    near_names(near, sizeof near, name, p->names, p->n_names));
}

/* The longest installed name that stands here as a whole word. */
static koe_status take_voice(parser *p, size_t *voice)
{
    koe_str rest = koe_str_sub(p->s, p->at, p->s.n);
    size_t longest = 0;
    for (size_t i = 0; i < p->n_names; i++) {
        koe_str name = p->names[i];
        if (name.n <= longest || !koe_str_starts(rest, name)) continue;
        if (name.n < rest.n && is_name(rest.p[name.n])) continue;
        longest = name.n;
        *voice = i;
    }
    if (longest == 0) return not_found(p);
    p->at += longest;
    return KOE_OK;
}

/* A plain decimal number; strtod() alone would also take "nan", "inf" and hexadecimal. */
static koe_status take_number(parser *p, double *out)
{
    char text[32];
    size_t n = strspn(p->s.p + p->at, "0123456789.eE");
    if (n == 0 || n >= sizeof text) return expected(p, "a weight");
    memcpy(text, p->s.p + p->at, n);
    text[n] = 0;
    char *end;
    *out = strtod(text, &end);
    if (*end || !isfinite(*out)) return expected(p, "a weight");
    p->at += n;
    return KOE_OK;
}

static koe_status take_weight(parser *p, double *out)
{
    *out = 1;
    bool closed = take(p, '(');
    if (!closed && !take(p, ':') && !take(p, '*')) {
        bool fraction = p->at + 1 < p->s.n && p->s.p[p->at] == '.' && is_digit(p->s.p[p->at + 1]);
        return fraction ? take_number(p, out) : KOE_OK;
    }
    skip_space(p);
    koe_status st = take_number(p, out);
    if (st == KOE_OK && closed && !take(p, ')')) st = expected(p, "')'");
    return st;
}

static koe_status add_part(koe_blend *b, size_t voice, double weight, const parser *p)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->part[i].voice == voice) {
            b->part[i].weight += weight;
            return KOE_OK;
        }
    if (b->n == KOE_BLEND_MAX) return koe_fail(p->err, KOE_E_LIMIT, "a blend of more than %d voices", KOE_BLEND_MAX);
    b->part[b->n++] = (koe_blend_part){ voice, weight };
    return KOE_OK;
}

static koe_status parse_parts(koe_blend *out, parser *p)
{
    double sign = 1, total = 0;
    for (;;) {
        size_t voice = 0;
        double weight = 0;
        skip_space(p);
        koe_status st = take_voice(p, &voice);
        if (st == KOE_OK) st = take_weight(p, &weight);
        if (st == KOE_OK) st = add_part(out, voice, sign * weight, p);
        if (st != KOE_OK) return st;
        skip_space(p);
        if (p->at == p->s.n) break;
        if (take(p, '-')) sign = -1;
        else if (take(p, '+') || take(p, ',')) sign = 1;
        else return expected(p, "'+', '-', ',' or a weight");
    }
    for (size_t i = 0; i < out->n; i++) total += fabs(out->part[i].weight);
    if (!(total > 0)) return koe_fail(p->err, KOE_E_ARGUMENT, "voice '%.*s': every weight is 0", KOE_STR_ARG(p->s));
    for (size_t i = 0; i < out->n; i++) out->part[i].weight /= total;
    return KOE_OK;
}

koe_status koe_blend_parse(koe_blend *out, koe_str spelling, const koe_str *names, size_t n_names, koe_error *err)
{
    char text[MAX_SPELLING + 1]; /* NUL-terminated for strspn() */
    koe_str s = koe_str_trim(spelling);
    if (s.n > MAX_SPELLING) return koe_fail(err, KOE_E_LIMIT, "a voice of %zu bytes, the limit is %d", s.n, MAX_SPELLING);
    if (s.n) memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *out = (koe_blend){ 0 };
    parser p = { { text, s.n }, 0, names, n_names, err };
    return parse_parts(out, &p);
}
