/* encode_aac.h - AAC frames of one size. Internal to encode.h. */
#ifndef KOE_AUDIO_ENCODE_AAC_H
#define KOE_AUDIO_ENCODE_AAC_H
#include <stddef.h>
#include <stdint.h>

/* Fills the raw_data_block of n bytes at `p`, which ends with ID_END, up to `padded` bytes, for which there is room: fill
 * elements in front of its end (ISO 14496-3, 4.4.2.1 and 4.4.2.7), which every decoder skips. A block of zeros, which is none, is
 * left alone. */
void koe_aac_fill(uint8_t *p, size_t n, size_t padded);
#endif
