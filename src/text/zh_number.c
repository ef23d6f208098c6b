/* zh_number.c - Chinese normalisation: dates, fractions, percentages, temperatures, ranges and numbers become Chinese words.
 * 1977年12月3日 -> 一九七七年十二月三日    3/4 -> 四分之三    25% -> 百分之二十五    20℃ -> 二十摄氏度    1500 -> 一千五百 */
#include "text/rules.h"
#include "text/zh.h"

static const char *const digit_words[] = { "零", "一", "二", "三", "四", "五", "六", "七", "八", "九" };

enum { MAX_DIGITS = 16 };

static void put_each(koe_buf *out, koe_str digits)
{
    for (size_t i = 0; i < digits.n; i++) koe_buf_adds(out, digit_words[digits.p[i] - '0']);
}

/* Four digits at most, without leading zeros said. */
static void put_group(koe_buf *out, koe_str g, bool zero_first)
{
    static const char *const units[] = { "", "十", "百", "千" };
    bool zero = zero_first, any = false;
    for (size_t i = 0; i < g.n; i++) {
        int d = g.p[i] - '0';
        if (d == 0) {
            zero |= any;
            continue;
        }
        if (zero) koe_buf_adds(out, "零");
        zero = false;
        koe_buf_adds(out, digit_words[d]);
        koe_buf_adds(out, units[g.n - 1 - i]);
        any = true;
    }
}

static void put_whole(koe_buf *out, koe_str digits)
{
    static const char *const scales[] = { "", "万", "亿", "万亿" };
    while (digits.n > 1 && digits.p[0] == '0') digits.p++, digits.n--;
    if (digits.n > MAX_DIGITS) {
        put_each(out, digits);
        return;
    }
    if (koe_str_is(digits, "0")) {
        koe_buf_adds(out, "零");
        return;
    }
    koe_buf b = { 0 };
    bool gap = false;
    for (size_t group = (digits.n + 3) / 4; group-- > 0;) {
        size_t end = digits.n - group * 4, start = end < 4 ? 0 : end - 4;
        koe_str g = koe_str_sub(digits, start, end - start);
        bool zero = true;
        for (size_t i = 0; i < g.n; i++) zero &= g.p[i] == '0';
        if (zero) {
            gap = true;
            continue;
        }
        put_group(&b, g, b.n && (gap || g.p[0] == '0'));
        koe_buf_adds(&b, scales[group]);
        gap = false;
    }
    koe_str s = koe_buf_str(&b);
    if (koe_str_starts(s, KOE_STR("一十"))) s = koe_str_sub(s, 3, s.n); /* 十五, not 一十五 */
    koe_buf_add_str(out, s);
    koe_buf_free(&b);
}

/* [-]digits[.digits] */
static void put_number(koe_buf *out, koe_str s)
{
    if (s.n && s.p[0] == '-') {
        koe_buf_adds(out, "负");
        s = koe_str_sub(s, 1, s.n);
    }
    size_t n = koe_digits(s, 0);
    put_whole(out, koe_str_sub(s, 0, n));
    if (n < s.n) {
        koe_buf_adds(out, "点");
        put_each(out, koe_str_sub(s, n + 1, s.n));
    }
}

static bool follows(koe_str s, size_t at, const char *what) { return koe_str_starts(koe_str_sub(s, at, s.n - (at < s.n ? at : s.n)), koe_str_of(what)); }

static void put_without_commas(koe_buf *out, koe_str s)
{
    koe_buf plain = { 0 };
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ',') koe_buf_addc(&plain, s.p[i]);
    put_number(out, koe_buf_str(&plain));
    koe_buf_free(&plain);
}

/* What a number at `at` (n bytes) and the signs after it say; returns how much of the text that is. */
static size_t put_phrase(koe_buf *out, koe_str s, size_t at, size_t n)
{
    koe_str number = koe_str_sub(s, at, n);
    size_t after = at + n;
    bool whole = koe_digits(number, 0) == number.n;
    if (whole && (number.n == 4 || number.n == 2) && follows(s, after, "年")) return put_each(out, number), n;
    if (whole && follows(s, after, "/") && koe_digits(s, after + 1)) {
        size_t d = koe_digits(s, after + 1);
        put_whole(out, koe_str_sub(s, after + 1, d));
        koe_buf_adds(out, "分之");
        put_whole(out, number);
        return n + 1 + d;
    }
    if (follows(s, after, "%") || follows(s, after, "％")) {
        koe_buf_adds(out, "百分之");
        put_without_commas(out, number);
        return n + (s.p[after] == '%' ? 1 : 3);
    }
    if (whole && follows(s, after, ":") && koe_digits(s, after + 1) == 2 && number.n <= 2) { /* 7:05 -> 七点零五分 */
        koe_str minutes = koe_str_sub(s, after + 1, 2);
        put_whole(out, number);
        koe_buf_adds(out, "点");
        if (minutes.p[0] == '0' && minutes.p[1] != '0') koe_buf_adds(out, "零");
        if (!koe_str_is(minutes, "00")) put_whole(out, minutes), koe_buf_adds(out, "分");
        return n + 3;
    }
    put_without_commas(out, number);
    if (follows(s, after, "℃")) return koe_buf_adds(out, "摄氏度"), n + 3;
    if (follows(s, after, "°C")) return koe_buf_adds(out, "摄氏度"), n + 3;
    if (whole && (follows(s, after, "-") || follows(s, after, "~") || follows(s, after, "～")) && koe_digits(s, after + (s.p[after] == '-' || s.p[after] == '~' ? 1 : 3)))
        return koe_buf_adds(out, "到"), n + (s.p[after] == '-' || s.p[after] == '~' ? 1 : 3);
    return n;
}

/* A number, with its sign where it is none of a range or of a Latin word, and what stands around it. */
static size_t put_signed(koe_buf *out, koe_str s, size_t at)
{
    const size_t sign = s.p[at] == '-' && !(at > 0 && koe_is_alnum(s.p[at - 1])), n = koe_numeral(s, at + sign);
    return n ? put_phrase(out, s, at, sign + n) : 0;
}

void koe_zh_normalise(koe_normal *out, koe_str text) { koe_normal_rewrite(out, text, put_signed); }
