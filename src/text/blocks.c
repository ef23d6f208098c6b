/* blocks.c - cuts the input into paragraphs, long ones into parts, and finds where sentences start. */
#include <stdlib.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/utext.h>

#include "text/front.h"
#include "text/utf8.h"

enum { BLOCK_HARD = 8192 }; /* bytes: a block ends anywhere here */

static bool is_newline(uint32_t c) { return c == '\n' || c == '\r' || c == '\f' || c == '\v' || c == 0x85 || c == 0x2028 || c == 0x2029; }
static bool is_space(uint32_t c) { return c == ' ' || c == '\t' || is_newline(c) || u_isUWhiteSpace((UChar32)c); }

/* A line that was only wrapped goes on in the next one: it is long and has no end mark, or the next line starts in lower case. */
static bool is_soft_wrap(koe_str line, koe_str rest)
{
    line = koe_str_trim(line);
    uint32_t last = koe_utf8_last(line), next = koe_utf8_first(rest);
    if (!line.n || koe_utf8_in(last, ".!?:;…。！？।॥؟”\"*")) return false;
    if (u_islower((UChar32)next)) return true;
    return koe_utf8_count(koe_str_sub(line, line.n > 400 ? line.n - 400 : 0, 400)) >= 50 && u_isalnum((UChar32)next);
}

/* At a newline at `at`: the end of the white space run, and what kind of break the run is. */
static koe_break newline_break(koe_str input, size_t line_at, size_t at, size_t *after)
{
    size_t n_newline = 0, here = at;
    bool page = false;
    while (here < input.n) {
        size_t next = here;
        uint32_t c = koe_utf8_next(input, &next);
        if (!is_space(c)) break;
        if (c == '\n' || c == 0x85 || c == 0x2028 || (c == '\r' && !(next < input.n && input.p[next] == '\n'))) n_newline++;
        if (c == '\f' || c == '\v' || c == 0x2029) page = true;
        here = next;
    }
    *after = here;
    if (page || n_newline > 1 || here >= input.n) return KOE_BREAK_PARAGRAPH;
    return is_soft_wrap(koe_str_sub(input, line_at, at - line_at), koe_str_sub(input, here, 8)) ? KOE_BREAK_NONE : KOE_BREAK_LINE;
}

size_t koe_block_end(koe_str input, size_t at, size_t soft, koe_break *end)
{
    size_t start = at, line_at = at, last_space = 0;
    bool leading = true; /* white space before the first word ends nothing */
    uint32_t before = 0;
    *end = KOE_BREAK_PARAGRAPH;
    while (at < input.n) {
        size_t here = at;
        uint32_t c = koe_utf8_next(input, &at);
        if (is_newline(c) && !leading) {
            koe_break brk = newline_break(input, line_at, here, &at);
            line_at = at;
            if (brk != KOE_BREAK_NONE) return *end = brk, at;
            last_space = at;
        } else if (is_space(c)) {
            last_space = at;
            if (at - start > soft && koe_utf8_in(before, ".!?。！？।")) return *end = KOE_BREAK_SENTENCE, at;
            if (leading) line_at = at;
        } else leading = false;
        if (at - start >= BLOCK_HARD) {
            if (last_space > start) return *end = KOE_BREAK_WORD, last_space;
            return *end = KOE_BREAK_NONE, at;
        }
        before = c;
    }
    return input.n;
}

/* ---- sentences ---- */

/* Never the end of a sentence: titles and the like, which a name follows. */
static const char *const titles[] = { "mr", "mrs", "ms", "dr", "prof", "st", "mt", "gen", "gov", "rep", "sen", "lt", "col", "capt", "sgt",
    "cpl", "maj", "adm", "cmdr", "rev", "hon", "fr", "sr", "messrs", "mmes", "mme", "mlle", "m", "herr", "hr", "sra", "srta", "dra",
    "don", "vs", "cf", "e.g", "i.e", "viz", "approx", "ca", "fig", "figs", "eq", "ft", "u.s", "u.k" };
/* Not the end before a number or a small letter. */
static const char *const counted[] = { "no", "nos", "p", "pp", "vol", "ch", "chap", "sec", "art", "par", "jan", "feb", "mar", "apr", "jun",
    "jul", "aug", "sep", "sept", "oct", "nov", "dec", "nr", "núm", "num", "pág", "n", "ed", "v", "op" };

static bool in_list(koe_str word, const char *const *list, size_t n)
{
    char low[16];
    if (word.n == 0 || word.n >= sizeof low) return false;
    for (size_t i = 0; i < word.n; i++) low[i] = (char)(word.p[i] >= 'A' && word.p[i] <= 'Z' ? word.p[i] + 32 : word.p[i]);
    for (size_t i = 0; i < n; i++)
        if (koe_str_is((koe_str){ low, word.n }, list[i])) return true;
    return false;
}

/* Whether the sentence really ends before text[at], where ICU thinks so. */
static bool ends_sentence(koe_str text, size_t at, const koe_lang *lang)
{
    uint32_t next = koe_utf8_first(koe_str_sub(text, at, 4));
    koe_str before = koe_str_trim((koe_str){ text.p, at });
    bool quoted = false;
    uint32_t last;
    while (koe_utf8_in(last = koe_utf8_last(before), "\"'”’»)]")) {
        size_t n = before.n;
        koe_utf8_prev(before, &n);
        before.n = n;
        quoted = true;
    }
    if (quoted && u_islower((UChar32)next)) return false; /* "Stop!" he said. */
    if (last != '.') return true;
    before.n--;
    size_t word_at = before.n;
    while (word_at > 0 && before.n - word_at < 16) {
        size_t prev = word_at;
        uint32_t c = koe_utf8_prev(before, &prev);
        if (is_space(c) || koe_utf8_in(c, "\"'“‘([—-")) break;
        word_at = prev;
    }
    koe_str word = koe_str_sub(before, word_at, before.n - word_at);
    if (in_list(word, titles, sizeof titles / sizeof *titles)) return false;
    if (in_list(word, counted, sizeof counted / sizeof *counted) && (u_isdigit((UChar32)next) || u_islower((UChar32)next))) return false;
    if (koe_utf8_count(word) == 1 && u_isalpha((UChar32)koe_utf8_first(word)) && !koe_str_is(word, "I")) return false; /* J. Smith */
    if (strcmp(lang->tag, "de") == 0 && word.n <= 2 && u_isdigit((UChar32)koe_utf8_first(word))) return false; /* 3. Mai */
    return true;
}

koe_status koe_sentences(koe_buf *out, koe_str text, const koe_lang *lang, koe_error *err)
{
    UErrorCode e = U_ZERO_ERROR;
    UText ut = UTEXT_INITIALIZER;
    UBreakIterator *it = ubrk_open(UBRK_SENTENCE, lang->locale, NULL, 0, &e);
    utext_openUTF8(&ut, text.p ? text.p : "", (int64_t)text.n, &e);
    if (U_SUCCESS(e)) ubrk_setUText(it, &ut, &e);
    if (U_SUCCESS(e)) {
        int32_t at = ubrk_first(it);
        while ((at = ubrk_next(it)) != UBRK_DONE)
            if (at > 0 && (size_t)at < text.n && ends_sentence(text, (size_t)at, lang)) {
                size_t start = (size_t)at;
                koe_buf_add(out, &start, sizeof start);
            }
    }
    if (it) ubrk_close(it);
    utext_close(&ut);
    if (U_FAILURE(e)) return koe_fail(err, KOE_E_UNSUPPORTED, "ICU sentence boundaries: %s", u_errorName(e));
    return out->failed ? koe_fail(err, KOE_E_NOMEM, "sentences") : KOE_OK;
}
