/* utf8.h - UTF-8 text, one code point at a time. Text is checked once where it enters (koe_utf8_check); the walkers below then take
 * valid text, and treat a byte that is not UTF-8 as U+FFFD of length 1 so that no walk can run away. */
#ifndef KOE_TEXT_UTF8_H
#define KOE_TEXT_UTF8_H
#include "base/str.h"

/* False when `s` is not UTF-8 (surrogates, overlong forms and code points beyond U+10FFFF included); *bad_at is then the offset in bytes. */
bool koe_utf8_check(koe_str s, size_t *bad_at);
/* The code point at s.p[at] (at < s.n) and its length in bytes. */
uint32_t koe_utf8_at(koe_str s, size_t at, size_t *len);
/* The code point at *at, which moves behind it; 0 at the end. */
uint32_t koe_utf8_next(koe_str s, size_t *at);
/* The code point before *at, which moves in front of it; 0 at the start. */
uint32_t koe_utf8_prev(koe_str s, size_t *at);
/* First and last code point; 0 when empty. */
uint32_t koe_utf8_first(koe_str s);
uint32_t koe_utf8_last(koe_str s);
/* Number of code points. */
size_t koe_utf8_count(koe_str s);
/* Bytes of the first n code points. */
size_t koe_utf8_offset(koe_str s, size_t n);
void koe_utf8_put(koe_buf *out, uint32_t cp);
/* Whether cp is one of the code points of a string. */
bool koe_utf8_in(uint32_t cp, const char *set);
#endif
