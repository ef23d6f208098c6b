/* assemble.h - last stage: pieces to segments, each with its words as the user wrote them. */
#ifndef KOE_TEXT_ASSEMBLE_H
#define KOE_TEXT_ASSEMBLE_H
#include "text/front.h"

/* What is carried from block to block. Zero-initialise; koe_assembly_free() at the end. */
typedef struct koe_assembly {
    koe_arena arena; /* owns what the segments point to */
    koe_buf segments; /* koe_segment, waiting to be taken */
    koe_buf silent; /* koe_word: words without sound, waiting for a segment that has some */
    size_t n_emitted; /* segments so far, with those that were taken away */
    size_t covered; /* input bytes that segments (and the waiting words) cover */
} koe_assembly;

/* Adds a phonemised block. */
koe_status koe_assemble(koe_assembly *a, koe_block *b, koe_error *err);
/* There are no more blocks: the last segment takes what is left, and no pause. */
koe_status koe_assemble_end(koe_assembly *a, koe_str input, koe_error *err);
/* The segments that are waiting, *n of them, to be changed in place. */
koe_segment *koe_assemble_waiting(koe_assembly *a, size_t *n);
/* Moves the first n of them and their memory to *out; the others are copied, and wait on. */
koe_status koe_assemble_take(koe_assembly *a, size_t n, koe_segments *out, koe_error *err);
void koe_assembly_free(koe_assembly *a);
#endif
