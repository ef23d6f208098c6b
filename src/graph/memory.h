/* memory.h - where the tensors of one run live. One reserved range of addresses; blocks are placed best-fit and given back as soon as
 * their last reader is done; pages in the gaps between them go back to the system when others are needed, so that what a run has
 * resident stays near its peak of live bytes. Under AddressSanitizer every block is its own malloc(), so that a kernel reading past a
 * tensor is caught.
 * Threads: one at a time. */
#ifndef KOE_GRAPH_MEMORY_H
#define KOE_GRAPH_MEMORY_H
#include "base/status.h"
#include "base/str.h"

typedef struct koe_memory koe_memory;

struct koe_buffer {
    int refs;
    size_t n_bytes; /* as asked for */
    void *p; /* aligned to 64 bytes */
    koe_memory *memory;
    struct koe_buffer *next; /* of the free headers */
};

koe_status koe_memory_create(koe_memory **out, koe_error *err);
void koe_memory_destroy(koe_memory *m);
/* 0: no limit. */
void koe_memory_set_limit(koe_memory *m, size_t n_bytes);
size_t koe_memory_peak(const koe_memory *m);
size_t koe_memory_resident(const koe_memory *m);
/* Gives pages that nobody uses back to the system, until `most` bytes are resident. */
void koe_memory_trim(koe_memory *m, size_t most);
/* One reference; KOE_E_LIMIT over the limit, KOE_E_NOMEM. */
koe_status koe_memory_alloc(koe_memory *m, size_t n_bytes, struct koe_buffer **out, koe_error *err);
static inline struct koe_buffer *koe_buffer_ref(struct koe_buffer *b)
{
    if (b) b->refs++;
    return b;
}
/* NULL is fine. */
void koe_buffer_unref(struct koe_buffer *b);
#endif
