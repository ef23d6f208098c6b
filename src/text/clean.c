/* clean.c - the first step of normalisation, the same for all languages: characters that are not speech become white space or nothing,
 * letters are composed (NFC), look-alike letters become plain ones, emoji become their names. */
#include <unicode/uchar.h>
#include <unicode/uloc.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/clean.h"
#include "text/utf8.h"

enum { MAX_MARKS = 8 }; /* combining marks on one letter that are kept; more are decoration */

static bool is_space(uint32_t c) { return c < 0x21 || c == 0x7f || (c >= 0x80 && c < 0xa1) || u_isUWhiteSpace((UChar32)c); }

/* Has neither width nor sound: soft hyphen, zero width space, byte order mark, direction marks, variation selectors. */
static bool is_invisible(uint32_t c)
{
    return c == 0xad || c == 0x200b || (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           c == 0xfeff || (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff) || c == 0x20e3;
}

/* Letters in fancy dress: full-width forms, ligatures, mathematical and circled letters. */
static bool is_styled(uint32_t c)
{
    return (c >= 0xff01 && c <= 0xff5e) || (c >= 0xfb00 && c <= 0xfb06) || (c >= 0x1d400 && c <= 0x1d7ff) || (c >= 0x24b6 && c <= 0x24e9);
}

static bool is_mark(uint32_t c) { return c >= 0x300 && u_getCombiningClass((UChar32)c) != 0; }
static bool is_regional(uint32_t c) { return c >= 0x1f1e6 && c <= 0x1f1ff; }
static bool is_skin_tone(uint32_t c) { return c >= 0x1f3fb && c <= 0x1f3ff; }

static bool is_emoji(uint32_t c)
{
    if (c < 0x2600) return c == 0x231a || c == 0x231b || c == 0x23f0 || c == 0x23f3;
    if (c >= 0x3000 && c < 0x1f000) return false;
    return u_hasBinaryProperty((UChar32)c, UCHAR_EXTENDED_PICTOGRAPHIC) || is_regional(c);
}

/* NFC or NFKC of a few code points. */
static void put_normalised(koe_buf *out, koe_str s, bool compatibility)
{
    UErrorCode e = U_ZERO_ERROR;
    const UNormalizer2 *nf = compatibility ? unorm2_getNFKCInstance(&e) : unorm2_getNFCInstance(&e);
    UChar in[64], composed[256];
    char utf8[512];
    int32_t n_in = 0, n_out = 0, n = 0;
    u_strFromUTF8(in, 64, &n_in, s.p, (int32_t)s.n, &e);
    if (U_SUCCESS(e)) n = unorm2_normalize(nf, in, n_in, composed, 256, &e);
    if (U_SUCCESS(e)) u_strToUTF8(utf8, sizeof utf8, &n_out, composed, n, &e);
    if (U_SUCCESS(e)) koe_buf_add(out, utf8, (size_t)n_out);
    else koe_buf_add_str(out, s);
}

/* A letter with its combining marks, from *at on. */
static void put_marked(koe_normal *out, koe_buf *scratch, koe_str in, size_t start, size_t *at)
{
    size_t keep = *at, n_marks = 0;
    while (*at < in.n) {
        size_t next = *at;
        uint32_t c = koe_utf8_next(in, &next);
        if (!is_mark(c)) break;
        *at = next;
        if (++n_marks <= MAX_MARKS) keep = next;
    }
    koe_buf_clear(scratch);
    put_normalised(scratch, koe_str_sub(in, start, keep - start), false);
    if (keep == *at && koe_str_eq(koe_buf_str(scratch), koe_str_sub(in, start, keep - start))) koe_normal_keep(out, in, start, keep - start);
    else koe_normal_replace(out, start, *at - start, koe_buf_str(scratch));
}

static void put_name(koe_buf *out, uint32_t c)
{
    char name[128];
    UErrorCode e = U_ZERO_ERROR;
    int32_t n = u_charName((UChar32)c, U_UNICODE_CHAR_NAME, name, sizeof name, &e);
    if (U_FAILURE(e)) return;
    static const struct {
        uint32_t c;
        const char *name;
    } usual[] = { { 0x2764, "red heart" }, { 0x1f44d, "thumbs up" }, { 0x1f44e, "thumbs down" }, { 0x1f389, "party popper" }, { 0x1f525, "fire" } };
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (usual[i].c == c) {
            koe_buf_adds(out, usual[i].name);
            return;
        }
    if (n > 5 && strcmp(name + n - 5, " SIGN") == 0) n -= 5;
    for (int32_t i = 0; i < n; i++) koe_buf_addc(out, name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i] == '-' ? ' ' : name[i]);
}

static void put_flag(koe_buf *out, uint32_t a, uint32_t b)
{
    char locale[4] = { '_', (char)('A' + (a - 0x1f1e6)), (char)('A' + (b - 0x1f1e6)), 0 };
    UChar country[128];
    char utf8[256];
    UErrorCode e = U_ZERO_ERROR;
    int32_t n = uloc_getDisplayCountry(locale, "en", country, 128, &e), n_utf8 = 0;
    if (U_SUCCESS(e)) u_strToUTF8(utf8, sizeof utf8, &n_utf8, country, n, &e);
    if (U_FAILURE(e)) return;
    koe_buf_adds(out, "flag of ");
    koe_buf_add(out, utf8, (size_t)n_utf8);
}

/* One emoji, joined and coloured as it may be, named by its first sign; the same one again and again is named once. */
static void put_emoji(koe_normal *out, koe_buf *scratch, koe_str in, size_t start, size_t *at, uint32_t c, bool by_name)
{
    size_t end = *at;
    uint32_t second = 0;
    bool joined = false;
    while (end < in.n) {
        size_t next = end;
        uint32_t d = koe_utf8_next(in, &next);
        if (d == 0x200d) joined = true;
        else if (is_regional(c) && is_regional(d) && !second) second = d;
        else if (joined && (is_emoji(d) || d == 0x2640 || d == 0x2642)) joined = false;
        else if (d != c && !is_skin_tone(d) && !is_invisible(d)) break;
        end = next;
    }
    *at = end;
    koe_buf_clear(scratch);
    bool spaced = out->text.n && out->text.data[out->text.n - 1] == ' ';
    koe_buf_adds(scratch, spaced ? "" : " ");
    if (by_name && second) put_flag(scratch, c, second);
    else if (by_name && !is_skin_tone(c)) put_name(scratch, c);
    koe_buf_addc(scratch, ' ');
    koe_normal_replace(out, start, end - start, koe_str_trim(koe_buf_str(scratch)).n ? koe_buf_str(scratch) : spaced ? KOE_STR("") : KOE_STR(" "));
}

static void put_space(koe_normal *out, koe_str in, size_t start, size_t *at, size_t end)
{
    while (*at < end) {
        size_t next = *at;
        uint32_t c = koe_utf8_next(in, &next);
        if (!is_space(c) && !is_invisible(c)) break;
        *at = next;
    }
    bool edge = out->text.n == 0 || *at >= end || out->text.data[out->text.n - 1] == ' ';
    if (edge) koe_normal_replace(out, start, *at - start, KOE_STR(""));
    else if (*at - start == 1 && in.p[start] == ' ') koe_normal_keep(out, in, start, 1);
    else koe_normal_replace(out, start, *at - start, KOE_STR(" "));
}

void koe_clean(koe_normal *out, koe_str input, size_t at, size_t n, const koe_clean_options *opt)
{
    koe_buf scratch = { 0 };
    koe_str in = { input.p, at + n };
    while (at < in.n) {
        size_t start = at;
        while (at < in.n && in.p[at] > 0x20 && in.p[at] < 0x7f) at++; /* plain ASCII, as it is */
        if (at < in.n && at > start) { /* a mark may follow its last letter */
            size_t next = at;
            if (is_mark(koe_utf8_next(in, &next))) at--;
        }
        koe_normal_keep(out, in, start, at - start);
        if (at >= in.n) break;
        start = at;
        uint32_t c = koe_utf8_next(in, &at);
        if (is_space(c)) put_space(out, in, start, &at, in.n);
        else if (is_invisible(c)) koe_normal_replace(out, start, at - start, KOE_STR(""));
        else if ((c == 0x200c || c == 0x200d) && (!opt->joiners || start == 0)) koe_normal_replace(out, start, at - start, KOE_STR(""));
        else if (!opt->as_written && is_emoji(c)) put_emoji(out, &scratch, in, start, &at, c, opt->emoji_names);
        else if (opt->plain_letters && is_styled(c)) {
            koe_buf_clear(&scratch);
            put_normalised(&scratch, koe_str_sub(in, start, at - start), true);
            koe_normal_replace(out, start, at - start, koe_buf_str(&scratch));
        } else put_marked(out, &scratch, in, start, &at);
    }
    out->failed |= scratch.failed;
    koe_buf_free(&scratch);
}
