#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>

koe_str koe_str_trim(koe_str a)
{
    while (a.n && strchr(" \t\r\n\f\v", a.p[0]) && a.p[0]) a.p++, a.n--;
    while (a.n && strchr(" \t\r\n\f\v", a.p[a.n - 1]) && a.p[a.n - 1]) a.n--;
    return a;
}

uint64_t koe_str_hash(koe_str a)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < a.n; i++) h = (h ^ (unsigned char)a.p[i]) * 0x100000001b3u;
    return h;
}

char *koe_str_dup(koe_str a)
{
    char *copy = malloc(a.n + 1);
    if (!copy) return NULL;
    if (a.n) memcpy(copy, a.p, a.n);
    copy[a.n] = 0;
    return copy;
}

void koe_buf_free(koe_buf *b)
{
    if (!b) return;
    free(b->data);
    *b = (koe_buf){ 0 };
}

bool koe_buf_reserve(koe_buf *b, size_t extra)
{
    size_t need;
    if (b->failed) return false;
    if (__builtin_add_overflow(b->n, extra, &need) || __builtin_add_overflow(need, (size_t)1, &need)) goto fail;
    if (need <= b->cap) return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        if (__builtin_mul_overflow(cap, (size_t)2, &cap)) goto fail;
    char *data = realloc(b->data, cap);
    if (!data) goto fail;
    b->data = data;
    b->cap = cap;
    return true;
fail:
    b->failed = true;
    return false;
}

void koe_buf_add(koe_buf *b, const void *bytes, size_t n)
{
    if (!koe_buf_reserve(b, n)) return;
    if (n) memcpy(b->data + b->n, bytes, n);
    b->n += n;
    b->data[b->n] = 0;
}

void koe_buf_adds(koe_buf *b, const char *c_string) { koe_buf_add(b, c_string, strlen(c_string)); }
void koe_buf_addc(koe_buf *b, char c) { koe_buf_add(b, &c, 1); }

void koe_buf_printf(koe_buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) b->failed = true;
    else if (koe_buf_reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
}
