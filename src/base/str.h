/* str.h - a slice of bytes that somebody else owns, and a growable buffer of bytes. */
#ifndef KOE_BASE_STR_H
#define KOE_BASE_STR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

/* Not NUL-terminated; p may be NULL when n is 0. */
typedef struct koe_str {
    const char *p;
    size_t n;
} koe_str;

#define KOE_STR(literal) ((koe_str){ "" literal, sizeof(literal) - 1 })
/* For printf("%.*s", KOE_STR_ARG(s)). */
#define KOE_STR_ARG(s) (int)((s).n > 0x7fffffff ? 0x7fffffff : (s).n), (s).p ? (s).p : ""

static inline koe_str koe_str_of(const char *c_string)
{
    return (koe_str){ c_string, c_string ? strlen(c_string) : 0 };
}
static inline bool koe_str_eq(koe_str a, koe_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool koe_str_is(koe_str a, const char *c_string) { return koe_str_eq(a, koe_str_of(c_string)); }
static inline bool koe_str_starts(koe_str a, koe_str prefix)
{
    return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}
static inline bool koe_str_ends(koe_str a, koe_str suffix)
{
    return a.n >= suffix.n && (suffix.n == 0 || memcmp(a.p + a.n - suffix.n, suffix.p, suffix.n) == 0);
}
static inline koe_str koe_str_sub(koe_str a, size_t from, size_t n)
{
    if (from > a.n) from = a.n;
    if (n > a.n - from) n = a.n - from;
    return (koe_str){ a.p ? a.p + from : NULL, n };
}
/* Without ASCII white space at both ends. */
koe_str koe_str_trim(koe_str a);
/* FNV-1a, for hash tables in memory (not for hostile keys, not for files). */
uint64_t koe_str_hash(koe_str a);
/* malloc()ed NUL-terminated copy, NULL when out of memory; the caller frees. */
char *koe_str_dup(koe_str a);

/* Growable bytes. Zero-initialise. A failed append sets `failed`, and every later append is then a no-op, so that a
 * writer checks once at the end. data is NUL-terminated (data[n] == 0) once anything was appended. */
typedef struct koe_buf {
    char *data;
    size_t n, cap;
    bool failed;
} koe_buf;

void koe_buf_free(koe_buf *b);
bool koe_buf_reserve(koe_buf *b, size_t extra);
void koe_buf_add(koe_buf *b, const void *bytes, size_t n);
void koe_buf_adds(koe_buf *b, const char *c_string);
void koe_buf_addc(koe_buf *b, char c);
void koe_buf_printf(koe_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void koe_buf_add_str(koe_buf *b, koe_str s) { koe_buf_add(b, s.p, s.n); }
static inline koe_str koe_buf_str(const koe_buf *b) { return (koe_str){ b->data, b->n }; }
/* Forgets the content, keeps the memory. */
static inline void koe_buf_clear(koe_buf *b)
{
    b->n = 0;
    if (b->data) b->data[0] = 0;
}
#endif
