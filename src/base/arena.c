#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

struct koe_arena_block {
    koe_arena_block *next;
    size_t used, cap; /* bytes of the block, header included */
};

enum { BLOCK_BYTES = 64 * 1024, HEADER_BYTES = 64 };

static koe_arena_block *new_block(size_t cap)
{
    cap = (cap + 63) & ~(size_t)63; /* aligned_alloc wants a multiple */
    koe_arena_block *b = aligned_alloc(64, cap);
    if (!b) return NULL;
    *b = (koe_arena_block){ NULL, HEADER_BYTES, cap };
    return b;
}

void *koe_arena_alloc(koe_arena *a, size_t n_bytes)
{
    if (n_bytes > SIZE_MAX / 2) return NULL;
    size_t align = n_bytes >= 64 ? 64 : 16;
    koe_arena_block *b = a->block;
    size_t at = b ? (b->used + align - 1) & ~(align - 1) : 0;
    if (!b || at > b->cap || n_bytes > b->cap - at) {
        bool big = n_bytes > BLOCK_BYTES / 4;
        koe_arena_block *fresh = new_block(big ? n_bytes + HEADER_BYTES : BLOCK_BYTES);
        if (!fresh) return NULL;
        if (big && b) { /* keep filling the current block */
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            a->block = fresh;
        }
        b = fresh;
        at = HEADER_BYTES;
    }
    b->used = at + n_bytes;
    a->n_bytes += n_bytes;
    void *p = (char *)b + at;
    memset(p, 0, n_bytes);
    return p;
}

void *koe_arena_array(koe_arena *a, size_t n, size_t size)
{
    size_t n_bytes;
    if (__builtin_mul_overflow(n, size, &n_bytes)) return NULL;
    return koe_arena_alloc(a, n_bytes);
}

koe_str koe_arena_str(koe_arena *a, koe_str s)
{
    char *copy = s.n < SIZE_MAX ? koe_arena_alloc(a, s.n + 1) : NULL;
    if (!copy) return (koe_str){ 0 };
    if (s.n) memcpy(copy, s.p, s.n);
    return (koe_str){ copy, s.n };
}

void koe_arena_free(koe_arena *a)
{
    for (koe_arena_block *b = a->block, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (koe_arena){ 0 };
}
