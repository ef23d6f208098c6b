/* memo.h - a spoken piece as bytes, so that it can be kept and need not be made again (koe_recall of koe.h).
 * The key is a digest of everything that decides about the sound. Samples are 16-bit: what is spoken anew is rounded to them as well where
 * pieces are kept, so that it makes no difference. Bytes, little endian:
 *     u32 magic, rate_hz, n, n_tail, said, seam, n_word, 0   n_word times u32 from, to   (n + n_tail) times i16 */
#ifndef KOE_SYNTH_MEMO_H
#define KOE_SYNTH_MEMO_H
#include "base/digest.h"
#include "voice/voice.h"

/* A piece of speech as the listener gets it, the pause after it left out. Zero-initialise; memory is kept from piece to piece. */
typedef struct koe_sound {
    float *audio; /* n samples, then n_tail that go over into the rest of the segment */
    size_t n, n_tail, cap;
    koe_word_time *word; /* from the start of the piece */
    size_t n_word, cap_word;
    size_t said, seam; /* words and samples of the segment's speech that have been handed over after this piece */
    int rate_hz;
} koe_sound;

void koe_sound_free(koe_sound *s);
/* Room for n samples in all and n_word words; keeps the samples that there are. */
koe_status koe_sound_reserve(koe_sound *s, size_t n, size_t n_word, koe_error *err);
/* Rounds the samples as koe_memo_write() does. */
void koe_sound_round(koe_sound *s);

/* What decides about a piece, besides the segment and who speaks. */
typedef struct koe_memo_of {
    const char *scope; /* koe_recall.scope */
    const koe_segment *segment;
    const koe_voice *voice;
    double speed, piece_s;
    uint64_t seed;
    bool zero_noise;
    size_t said, seam; /* before this piece */
    int rate_hz; /* of the request, where the voice has another; 0: the voice's */
    int known_hz; /* what a kept piece must have; 0: any. Not part of the key */
} koe_memo_of;

void koe_memo_key(const koe_memo_of *of, char key[KOE_DIGEST_TEXT]);
void koe_memo_write(koe_buf *out, const koe_sound *s);
/* False when the bytes are not a piece that begins with word of->said of this segment, or there is no memory: as if there were none. */
bool koe_memo_read(koe_sound *out, koe_str bytes, const koe_memo_of *of);
#endif
