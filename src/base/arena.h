/* arena.h - memory with one lifetime: allocate piecemeal, free whole. */
#ifndef KOE_BASE_ARENA_H
#define KOE_BASE_ARENA_H
#include <stddef.h>

#include "base/str.h"

typedef struct koe_arena_block koe_arena_block;
/* Zero-initialise. Not thread-safe. */
typedef struct koe_arena {
    koe_arena_block *block;
    size_t n_bytes; /* asked for so far */
} koe_arena;

/* Zeroed, aligned to 64 bytes when n_bytes >= 64, else to 16. NULL when out of memory. */
void *koe_arena_alloc(koe_arena *a, size_t n_bytes);
/* n * size with overflow check. */
void *koe_arena_array(koe_arena *a, size_t n, size_t size);
/* NUL-terminated copy inside the arena; p is NULL when out of memory. */
koe_str koe_arena_str(koe_arena *a, koe_str s);
/* Frees everything; the arena may be used again. */
void koe_arena_free(koe_arena *a);
#endif
