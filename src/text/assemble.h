/* assemble.h - last stage: pieces to segments, each with its words as the user wrote them. */
#ifndef KOE_TEXT_ASSEMBLE_H
#define KOE_TEXT_ASSEMBLE_H
#include "text/front.h"

/* What is carried from block to block. Zero-initialise; koe_assembly_free() at the end. */
typedef struct koe_assembly {
    koe_segments *out;
    koe_buf segments; /* koe_segment */
    koe_buf silent; /* koe_word: words without sound, waiting for a segment that has some */
    size_t covered; /* input bytes that segments (and the waiting words) cover */
} koe_assembly;

/* Adds a phonemised block. */
koe_status koe_assemble(koe_assembly *a, koe_block *b, koe_error *err);
/* Publishes the segments in a->out. */
koe_status koe_assemble_end(koe_assembly *a, koe_str input, koe_error *err);
void koe_assembly_free(koe_assembly *a);
#endif
