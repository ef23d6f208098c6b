/* en_token.c - spaCy's English tokenizer, its rules without its model: cut at white space; then, from each chunk, take prefixes and suffixes
 * off until nothing changes or an exception is left; cut the rest at infixes. And misaki's second split of a token. */
#include <stdlib.h>
#include <unicode/uchar.h>

#include "text/en.h"
#include "text/utf8.h"

#define PUNCT "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
#define QUOTES "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
#define CURRENCY "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
#define APOSTROPHES "'‘’"

static bool is_alpha(uint32_t c) { return c < 0x80 ? (c | 32) >= 'a' && (c | 32) <= 'z' : u_isalpha((UChar32)c); }
static bool is_lower(uint32_t c) { return c < 0x80 ? c >= 'a' && c <= 'z' : u_islower((UChar32)c); }
static bool is_upper(uint32_t c) { return c < 0x80 ? c >= 'A' && c <= 'Z' : u_isupper((UChar32)c); }
static bool is_digit(uint32_t c) { return c < 0x80 ? c >= '0' && c <= '9' : u_isdigit((UChar32)c); }
static bool is_icon(uint32_t c) { return c >= 0x80 && c != 0xb0 && u_charType((UChar32)c) == U_OTHER_SYMBOL; }

void koe_en_add_token(koe_en_tokens *t, koe_en_token token)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 256;
        koe_en_token *grown = reallocarray(t->token, cap, sizeof *grown);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->token = grown;
        t->cap = cap;
    }
    t->token[t->n++] = token;
}

/* ---- affixes ---- */

/* Bytes of the prefix to take off, 0: none. */
static size_t find_prefix(koe_str s)
{
    size_t n = 0;
    uint32_t c = koe_utf8_next(s, &n);
    if (koe_utf8_in(c, "§%=—–" PUNCT QUOTES CURRENCY) || is_icon(c)) return n;
    if (c == '+') return n < s.n && is_digit((unsigned char)s.p[n]) ? 0 : n;
    if (c == '.') {
        while (n < s.n && s.p[n] == '.') n++;
        return n > 1 ? n : 0;
    }
    if (s.n > 3 && s.p[2] == '$' && (koe_str_starts(s, KOE_STR("US$")))) return 3;
    if (s.n > 2 && s.p[1] == '$' && (s.p[0] == 'C' || s.p[0] == 'A')) return 2;
    return 0;
}

/* Longest first where one ends in another. */
static const char *const units[] = { "km²", "km³", "km/h", "km", "m²", "m³", "dm²", "dm³", "dm", "cm²", "cm³", "cm", "mm²", "mm³", "mm", "ha",
    "µm", "nm", "yd", "in", "ft", "kg", "mg", "µg", "g", "t", "lb", "oz", "m/s", "mph", "hPa", "Pa", "mbar", "mb", "MB", "kb", "KB", "gb",
    "GB", "tb", "TB", "T", "G", "M", "K", "m", "%" };

static size_t unit_suffix(koe_str s)
{
    size_t best = 0;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        koe_str u = koe_str_of(units[i]);
        if (u.n > best && u.n < s.n && koe_str_ends(s, u) && is_digit((unsigned char)s.p[s.n - u.n - 1])) best = u.n;
    }
    return best;
}

/* A final dot that is a token of its own. */
static bool dot_splits(koe_str before)
{
    size_t at = before.n;
    uint32_t c = koe_utf8_prev(before, &at), d = koe_utf8_prev(before, &at);
    if (is_digit(c) || is_lower(c) || koe_utf8_in(c, "%²-+" PUNCT QUOTES)) return true;
    if (d == 0xb0 && koe_utf8_in(c, "FfCcKk")) return true;
    return is_upper(c) && is_upper(d);
}

static size_t find_suffix(koe_str s)
{
    size_t at = s.n;
    uint32_t c = koe_utf8_prev(s, &at);
    size_t n = s.n - at, unit = unit_suffix(s);
    if (unit) return unit;
    static const char *const possessive[] = { "'s", "'S", "’s", "’S" };
    for (size_t i = 0; i < 4; i++)
        if (koe_str_ends(s, koe_str_of(possessive[i]))) return strlen(possessive[i]);
    if (c == '.') {
        size_t dots = 0;
        while (dots < s.n && s.p[s.n - 1 - dots] == '.') dots++;
        if (dots > 1) return dots;
        return at && dot_splits((koe_str){ s.p, at }) ? 1 : 0;
    }
    if (koe_utf8_in(c, "—–" PUNCT QUOTES) || is_icon(c)) return n;
    uint32_t before = at ? koe_utf8_prev(s, &at) : 0;
    if (is_digit(before) && (c == '+' || koe_utf8_in(c, CURRENCY))) return n;
    return 0;
}

/* Length of the infix at s[at], 0: none. `before` is the code point in front of it. */
static size_t infix_at(koe_str s, size_t at, uint32_t before)
{
    size_t n = at;
    uint32_t c = koe_utf8_next(s, &n), next = koe_utf8_first(koe_str_sub(s, n, 4));
    if (c == '.') {
        size_t dots = at;
        while (dots < s.n && s.p[dots] == '.') dots++;
        if (dots - at > 1) return dots - at;
        bool left = is_lower(before) || koe_utf8_in(before, QUOTES), right = is_upper(next) || koe_utf8_in(next, QUOTES);
        return left && right ? 1 : 0;
    }
    if (c == 0x2026 || is_icon(c)) return n - at;
    bool alnum = is_alpha(before) || is_digit(before);
    if (koe_utf8_in(c, "+-*^") && is_digit(before) && (is_digit(next) || next == '-')) return n - at;
    if (c == ',' && is_alpha(before) && is_alpha(next)) return 1;
    if (alnum && koe_utf8_in(c, ":<>=/") && is_alpha(next)) return 1;
    if (alnum && koe_utf8_in(c, "-–—~")) {
        size_t end = n;
        if (c == '-') while (end < s.n && end - at < 3 && s.p[end] == '-') end++;
        if (c == 0x2014 && koe_utf8_first(koe_str_sub(s, n, 4)) == 0x2014) koe_utf8_next(s, &end);
        if (is_alpha(koe_utf8_first(koe_str_sub(s, end, 4)))) return end - at;
    }
    return 0;
}

/* Something like example.com/x, me@example.com, http://...: one token. */
static bool is_url(koe_str s)
{
    for (size_t i = 1; i + 2 < s.n; i++)
        if (s.p[i] == ':' && s.p[i + 1] == '/' && s.p[i + 2] == '/') return true;
    size_t n_host = 0;
    for (; n_host < s.n; n_host++) {
        unsigned char c = (unsigned char)s.p[n_host];
        if (!(is_alpha(c) || is_digit(c) || c == '.' || c == '-' || c == '@' || c == '_')) break;
    }
    if (n_host < s.n && s.p[n_host] != '/' && s.p[n_host] != ':' && s.p[n_host] != '?' && s.p[n_host] != '#') return false;
    size_t dot = n_host;
    while (dot > 0 && s.p[dot - 1] != '.') dot--;
    if (dot < 2 || n_host - dot < 2 || s.p[dot - 2] == '.') return false;
    for (size_t i = dot; i < n_host; i++)
        if (!is_lower((unsigned char)s.p[i])) return false;
    return true;
}

/* ---- tokens ---- */

static void add(koe_english *e, koe_en_tokens *out, koe_str s)
{
    if (!s.n) return;
    koe_en_add_token(out, (koe_en_token){ .at = (size_t)(s.p - e->text.p), .text = s, .is_head = true, .stress = KOE_NO_STRESS, .num_flags = "" });
}

/* A form of the table, in its pieces. The table's pieces spell the form, so they are cut from the text itself. */
static void add_pieces(koe_english *e, koe_en_tokens *out, koe_str s, koe_str pieces)
{
    size_t at = 0;
    for (size_t i = 0; i < pieces.n;) {
        size_t start = i;
        while (i < pieces.n && pieces.p[i] != ' ') i++;
        size_t n = i - start;
        if (i >= pieces.n) n = s.n - at;
        add(e, out, koe_str_sub(s, at, n));
        at += n;
        i++;
    }
}

static koe_str exception(koe_english *e, koe_str s)
{
    return s.n && s.n < 24 ? koe_lexicon_pieces(e->lexicon, s) : (koe_str){ "", 0 };
}

static void split_infixes(koe_english *e, koe_en_tokens *out, koe_str s)
{
    size_t start = 0;
    uint32_t before = 0;
    for (size_t at = 0; at < s.n;) {
        size_t n = at ? infix_at(s, at, before) : 0, len;
        if (!n) {
            before = koe_utf8_at(s, at, &len);
            at += len;
            continue;
        }
        add(e, out, koe_str_sub(s, start, at - start));
        add(e, out, koe_str_sub(s, at, n));
        at += n;
        start = at;
        before = koe_utf8_last((koe_str){ s.p, at });
    }
    add(e, out, koe_str_sub(s, start, s.n - start));
}

static void split_chunk(koe_english *e, koe_en_tokens *out, koe_str s)
{
    koe_en_tokens suffixes = { 0 };
    koe_str pieces = { "", 0 };
    for (size_t last = 0; s.n && s.n != last;) {
        last = s.n;
        if ((pieces = exception(e, s)).n) break;
        size_t pre = find_prefix(s);
        koe_str rest = koe_str_sub(s, pre, s.n - pre);
        if (pre) {
            add(e, out, koe_str_sub(s, 0, pre));
            s = rest;
            if (!rest.n || (pieces = exception(e, rest)).n) break;
        }
        size_t suf = find_suffix(s);
        if (suf) {
            add(e, &suffixes, koe_str_sub(s, s.n - suf, suf));
            s.n -= suf;
            if (s.n && (pieces = exception(e, s)).n) break;
        }
    }
    if (s.n && pieces.n) add_pieces(e, out, s, pieces);
    else if (s.n && is_url(s)) {
        add(e, out, s);
        if (out->n) out->token[out->n - 1].tag = KOE_TAG_ADD;
    } else split_infixes(e, out, s);
    for (size_t i = suffixes.n; i-- > 0;) koe_en_add_token(out, suffixes.token[i]);
    out->failed |= suffixes.failed;
    free(suffixes.token);
}

/* A dash ends a chunk as white space does, so that quotes beside it come off: ”—it. spaCy keeps such a chunk whole. */
static void split_at_dashes(koe_english *e, koe_en_tokens *out, koe_str s)
{
    for (;;) {
        const char *dash = memmem(s.p, s.n, "—", 3);
        size_t n = dash ? (size_t)(dash - s.p) : s.n;
        if (n) split_chunk(e, out, koe_str_sub(s, 0, n));
        if (!dash) return;
        add(e, out, koe_str_sub(s, n, 3));
        s = koe_str_sub(s, n + 3, s.n);
    }
}

/* Runs of tokens that together spell a form of the table, such as emoticons, become that form. */
static void join_exceptions(koe_english *e, koe_en_tokens *t, size_t from)
{
    size_t to = from;
    for (size_t i = from; i < t->n;) {
        size_t best = 0;
        koe_str form = { "", 0 };
        for (size_t j = i + 1; j < t->n && j < i + 6; j++) {
            koe_str s = { t->token[i].text.p, t->token[j].text.n + (size_t)(t->token[j].text.p - t->token[i].text.p) };
            koe_str pieces = exception(e, s);
            if (pieces.n) best = j, form = s;
        }
        koe_en_token token = t->token[i];
        if (best && !memchr(koe_lexicon_pieces(e->lexicon, form).p, ' ', koe_lexicon_pieces(e->lexicon, form).n)) {
            token.text = form;
            i = best;
        }
        t->token[to++] = token;
        i++;
    }
    t->n = to;
}

void koe_en_tokenize(koe_english *e, koe_en_tokens *out, koe_str text)
{
    for (size_t at = 0; at < text.n;) {
        while (at < text.n && text.p[at] == ' ') at++;
        size_t start = at;
        while (at < text.n && text.p[at] != ' ') at++;
        size_t from = out->n;
        split_at_dashes(e, out, koe_str_sub(text, start, at - start));
        if (out->n > from + 1) join_exceptions(e, out, from);
        if (out->n > from && at < text.n) out->token[out->n - 1].space = true;
    }
}

/* ---- misaki's split ---- */


static uint32_t peek(koe_str s, size_t at) { return koe_utf8_first(koe_str_sub(s, at, 4)); }
static bool is_apostrophe(uint32_t c) { return koe_utf8_in(c, APOSTROPHES) && c; }

static size_t run_of(koe_str s, size_t at, const char *set)
{
    size_t end = at;
    for (size_t next = at; next < s.n; end = next)
        if (!koe_utf8_in(koe_utf8_next(s, &next), set)) break;
    return end;
}

/* (\d?[,.]?\d)+ from `at`; `at` when it does not fit. */
static size_t match_digits(koe_str s, size_t at)
{
    size_t end = at;
    for (;;) {
        size_t next = end;
        uint32_t c = koe_utf8_next(s, &next);
        if (c == ',' || c == '.') c = koe_utf8_next(s, &next);
        if (next > s.n || !is_digit(c)) return end;
        end = next;
    }
}

/* \p{L}*?(?:['‘’]\p{L})*?\p{Ll}(?=\p{Lu}): up to a small letter that a capital follows. */
static size_t match_camel(koe_str s, size_t at)
{
    for (size_t head = at;;) {
        for (size_t here = head;;) { /* groups of an apostrophe and a letter */
            size_t next = here;
            uint32_t c = koe_utf8_next(s, &next);
            if (is_lower(c) && is_upper(peek(s, next))) return next;
            if (!is_apostrophe(c) || next >= s.n || !is_alpha(koe_utf8_next(s, &next))) break;
            here = next;
        }
        size_t next = head;
        if (next >= s.n || !is_alpha(koe_utf8_next(s, &next))) return at;
        head = next;
    }
}

static size_t match_word(koe_str s, size_t at)
{
    size_t end = at;
    for (size_t next = at; next < s.n; end = next)
        if (!is_alpha(koe_utf8_next(s, &next))) break;
    if (end == at) return at;
    for (;;) {
        size_t next = end;
        if (!is_apostrophe(koe_utf8_next(s, &next)) || next >= s.n || !is_alpha(koe_utf8_next(s, &next))) return end;
        end = next;
    }
}

/* The end of the piece that starts at `at`; `at` itself for a character that belongs to none. */
static size_t match_piece(koe_str s, size_t at)
{
    size_t next = at;
    uint32_t c = koe_utf8_next(s, &next);
    size_t quotes = run_of(s, at, APOSTROPHES);
    if (at == 0 && quotes > at) return quotes;
    if (is_upper(c) && is_upper(peek(s, next))) {
        size_t after = next;
        koe_utf8_next(s, &after);
        if (is_lower(peek(s, after))) return next;
    }
    size_t digits = at == 0 && c == '-' ? match_digits(s, next) : match_digits(s, at);
    if (digits > (at == 0 && c == '-' ? next : at)) return digits;
    if (c == '-' || c == '_') return run_of(s, at, "-_");
    if (quotes > next) return quotes;
    size_t word = match_camel(s, at);
    if (word == at) word = match_word(s, at);
    if (word > at) return word;
    if (!is_apostrophe(c) && !is_digit(c)) return next;
    return quotes == s.n && quotes > at ? quotes : at;
}

void koe_en_split(koe_en_tokens *out, const koe_en_token *token)
{
    size_t from = out->n;
    for (size_t at = 0; at < token->text.n;) {
        size_t end = match_piece(token->text, at);
        if (end == at) { /* a lone apostrophe inside */
            koe_utf8_next(token->text, &at);
            continue;
        }
        koe_en_token piece = *token;
        piece.at = token->at + at;
        piece.text = koe_str_sub(token->text, at, end - at);
        piece.space = false;
        koe_en_add_token(out, piece);
        at = end;
    }
    if (out->n > from) out->token[out->n - 1].space = token->space;
    else {
        koe_en_add_token(out, *token);
        if (out->n > from) out->token[out->n - 1].done = true, out->token[out->n - 1].phonemes = KOE_STR("");
    }
}
