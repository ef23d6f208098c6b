/* ja_number.c - Japanese normalisation: numbers in kana, half-width kana and full-width letters in their usual forms. */
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/ja.h"
#include "text/rules.h"
#include "text/utf8.h"

static const char *const digits_kana[] = { "ぜろ", "いち", "に", "さん", "よん", "ご", "ろく", "なな", "はち", "きゅう" };

static void put_group(koe_buf *out, unsigned v)
{
    static const char *const hundreds[] = { "", "ひゃく", "にひゃく", "さんびゃく", "よんひゃく", "ごひゃく", "ろっぴゃく", "ななひゃく", "はっぴゃく", "きゅうひゃく" };
    static const char *const thousands[] = { "", "せん", "にせん", "さんぜん", "よんせん", "ごせん", "ろくせん", "ななせん", "はっせん", "きゅうせん" };
    koe_buf_adds(out, thousands[v / 1000]);
    koe_buf_adds(out, hundreds[v / 100 % 10]);
    if (v / 10 % 10) {
        if (v / 10 % 10 > 1) koe_buf_adds(out, digits_kana[v / 10 % 10]);
        koe_buf_adds(out, "じゅう");
    }
    if (v % 10) koe_buf_adds(out, digits_kana[v % 10]);
}

static void put_digits(koe_buf *out, koe_str s)
{
    for (size_t i = 0; i < s.n; i++) koe_buf_adds(out, digits_kana[s.p[i] - '0']);
}

/* A whole number; from 10^12 on and with a leading zero digit by digit. */
static void put_whole(koe_buf *out, koe_str s)
{
    if (s.n > 12 || (s.n > 1 && s.p[0] == '0')) {
        put_digits(out, s);
        return;
    }
    unsigned long long v = 0;
    for (size_t i = 0; i < s.n; i++) v = v * 10 + (unsigned)(s.p[i] - '0');
    if (v == 0) koe_buf_adds(out, "ぜろ");
    if (v >= 100000000) put_group(out, (unsigned)(v / 100000000)), koe_buf_adds(out, "おく");
    if (v / 10000 % 10000) put_group(out, (unsigned)(v / 10000 % 10000)), koe_buf_adds(out, "まん");
    put_group(out, (unsigned)(v % 10000));
}

/* What is counted, right after a number whose last digit is given (-1: a fraction): its reading, with the few that change by digit.
 * Returns the bytes taken, 0 when MeCab may read it. */
static size_t put_counter(koe_buf *out, koe_str s, int last)
{
    static const struct {
        const char *sign, *kana, *four, *seven, *nine; /* the digit's other readings before it, in place of よん なな きゅう */
    } counters[] = { { "時間", "じかん", "よ", NULL, "く" }, { "歳", "さい", NULL, NULL, NULL }, { "才", "さい", NULL, NULL, NULL },
        { "時", "じ", "よ", "しち", "く" }, { "月", "がつ", "し", "しち", "く" }, { "年", "ねん", "よ", NULL, NULL }, { "円", "えん", "よ", NULL, NULL },
        { "人", "にん", "よ", NULL, NULL }, { "度", "ど", NULL, NULL, NULL }, { "秒", "びょう", NULL, NULL, NULL }, { "番", "ばん", NULL, NULL, NULL } };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        koe_str sign = koe_str_of(counters[i].sign);
        if (!koe_str_starts(s, sign)) continue;
        const char *other = last == 4 ? counters[i].four : last == 7 ? counters[i].seven : last == 9 ? counters[i].nine : NULL;
        if (other) {
            out->n -= strlen(digits_kana[last]);
            koe_buf_adds(out, other);
        }
        koe_buf_addc(out, ' ');
        koe_buf_adds(out, counters[i].kana);
        koe_buf_addc(out, ' ');
        return sign.n;
    }
    return 0;
}

/* A number with its separators, decimals and what it counts. */
static size_t put_number(koe_buf *out, koe_str s, size_t at)
{
    const size_t n = koe_numeral(s, at);
    koe_buf whole = { 0 };
    size_t point = 0;
    if (!n) return 0;
    for (; point < n && s.p[at + point] != '.'; point++)
        if (s.p[at + point] != ',') koe_buf_addc(&whole, s.p[at + point]);
    koe_buf_addc(out, ' ');
    put_whole(out, koe_buf_str(&whole));
    out->failed |= whole.failed;
    koe_buf_free(&whole);
    if (point < n) {
        koe_buf_adds(out, "てん");
        put_digits(out, koe_str_sub(s, at + point + 1, n - point - 1));
    }
    if (koe_byte(s, at + n) == '%') return koe_buf_adds(out, "ぱーせんと"), n + 1;
    return n + put_counter(out, koe_str_sub(s, at + n, 8), point < n ? -1 : s.p[at + n - 1] - '0');
}

static bool is_wide_form(uint32_t c) { return (c >= 0xff01 && c <= 0xff9f) || (c >= 0x3300 && c <= 0x33ff) || (c >= 0x2460 && c <= 0x24ff); }

/* NFKC of a stretch of full-width and half-width forms; a voiced mark belongs to the kana before it. */
static size_t put_plain(koe_buf *out, koe_str s, size_t at)
{
    enum { MAX_FORMS = 50 };
    UChar in[MAX_FORMS], plain[8 * MAX_FORMS];
    char utf8[3 * 8 * MAX_FORMS];
    int32_t n_in = 0, n_plain = 0, n_out = 0;
    UErrorCode e = U_ZERO_ERROR;
    size_t end = at;
    for (size_t next = at, n = 0; next < s.n && n < MAX_FORMS && is_wide_form(koe_utf8_next(s, &next)); n++) end = next;
    if (end == at) return 0;
    u_strFromUTF8(in, MAX_FORMS, &n_in, s.p + at, (int32_t)(end - at), &e);
    if (U_SUCCESS(e)) n_plain = unorm2_normalize(unorm2_getNFKCInstance(&e), in, n_in, plain, sizeof plain / sizeof *plain, &e);
    if (U_SUCCESS(e)) u_strToUTF8(utf8, sizeof utf8, &n_out, plain, n_plain, &e);
    if (U_FAILURE(e)) return 0;
    koe_buf_add(out, utf8, (size_t)n_out);
    return end - at;
}

void koe_ja_normalise(koe_normal *out, koe_str text)
{
    koe_normal plain = { 0 };
    koe_normal_rewrite(&plain, text, put_plain);
    koe_normal_rewrite(out, koe_buf_str(&plain.text), put_number);
    koe_normal_compose(out, &plain);
    out->failed |= plain.failed;
    koe_normal_free(&plain);
}
