#include "text/utf8.h"

static bool is_tail(unsigned char c) { return (c & 0xc0) == 0x80; }

/* Length of the valid sequence at p (n bytes left), 0 when there is none. */
static size_t decode(const unsigned char *p, size_t n, uint32_t *cp)
{
    unsigned char c = p[0];
    *cp = 0xfffd;
    if (c < 0x80) return *cp = c, 1;
    if (c >= 0xc2 && c <= 0xdf && n >= 2 && is_tail(p[1])) return *cp = (uint32_t)(c & 0x1f) << 6 | (p[1] & 0x3f), 2;
    if ((c & 0xf0) == 0xe0 && n >= 3 && is_tail(p[1]) && is_tail(p[2])) {
        uint32_t v = (uint32_t)(c & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
        if (v < 0x800 || (v >= 0xd800 && v < 0xe000)) return 0;
        return *cp = v, 3;
    }
    if (c >= 0xf0 && c <= 0xf4 && n >= 4 && is_tail(p[1]) && is_tail(p[2]) && is_tail(p[3])) {
        uint32_t v = (uint32_t)(c & 7) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
        if (v < 0x10000 || v > 0x10ffff) return 0;
        return *cp = v, 4;
    }
    return 0;
}

bool koe_utf8_check(koe_str s, size_t *bad_at)
{
    uint32_t cp;
    for (size_t at = 0; at < s.n;) {
        size_t n = decode((const unsigned char *)s.p + at, s.n - at, &cp);
        if (!n) return *bad_at = at, false;
        at += n;
    }
    return true;
}

uint32_t koe_utf8_at(koe_str s, size_t at, size_t *len)
{
    uint32_t cp;
    size_t n = decode((const unsigned char *)s.p + at, s.n - at, &cp);
    *len = n ? n : 1;
    return cp;
}

uint32_t koe_utf8_next(koe_str s, size_t *at)
{
    if (*at >= s.n) return 0;
    size_t n;
    uint32_t cp = koe_utf8_at(s, *at, &n);
    *at += n;
    return cp;
}

uint32_t koe_utf8_prev(koe_str s, size_t *at)
{
    if (*at == 0) return 0;
    size_t start = *at - 1, n;
    while (start > 0 && *at - start < 4 && is_tail((unsigned char)s.p[start])) start--;
    uint32_t cp = koe_utf8_at((koe_str){ s.p, *at }, start, &n);
    if (start + n != *at) return *at -= 1, 0xfffd;
    *at = start;
    return cp;
}

uint32_t koe_utf8_first(koe_str s)
{
    size_t at = 0;
    return koe_utf8_next(s, &at);
}

uint32_t koe_utf8_last(koe_str s)
{
    size_t at = s.n;
    return koe_utf8_prev(s, &at);
}

size_t koe_utf8_count(koe_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += !is_tail((unsigned char)s.p[i]);
    return n;
}

size_t koe_utf8_offset(koe_str s, size_t n)
{
    size_t at = 0;
    while (n-- && at < s.n) koe_utf8_next(s, &at);
    return at;
}

/* The bytes of cp, at most 4; how many. */
static size_t put(char *c, uint32_t cp)
{
    if (cp < 0x80) return c[0] = (char)cp, 1;
    if (cp < 0x800) return c[0] = (char)(0xc0 | cp >> 6), c[1] = (char)(0x80 | (cp & 0x3f)), 2;
    if (cp < 0x10000)
        return c[0] = (char)(0xe0 | cp >> 12), c[1] = (char)(0x80 | (cp >> 6 & 0x3f)), c[2] = (char)(0x80 | (cp & 0x3f)), 3;
    c[0] = (char)(0xf0 | cp >> 18), c[1] = (char)(0x80 | (cp >> 12 & 0x3f)), c[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    return c[3] = (char)(0x80 | (cp & 0x3f)), 4;
}

void koe_utf8_put(koe_buf *out, uint32_t cp)
{
    char c[4];
    koe_buf_add(out, c, put(c, cp));
}

bool koe_utf8_in(uint32_t cp, const char *set)
{
    if (cp < 0x80) return cp && strchr(set, (int)cp); /* no part of a longer sequence is ASCII */
    char bytes[5];
    bytes[put(bytes, cp)] = 0;
    return strstr(set, bytes) != NULL; /* nor does one sequence start inside another */
}
