/* pack.h - Kokoro voice packs: a file -> named tables of style vectors.
 * A pack has one row of 256 numbers for each length of utterance: row n-1 is the style of n phonemes; in the packs of v0.19,
 * which have 511 rows, it is row n. Read are
 *     NAME.bin        raw little-endian float32, no header
 *     *.npz, *.bin    a zip of NAME.npy arrays, stored or deflated (voices-v1.0.bin)
 *     *.json          {"NAME": [[[256 numbers]] ...], ...} (Kokoro v0.19)
 *     NAME.pt         PyTorch: a zip with a pickle, of which only one tensor is read and nothing is executed
 * What a file is shows in its first bytes, not in its name. Files are mapped and hostile until read.
 * Threads: one at a time per file; packs once loaded are read-only. */
#ifndef KOE_VOICE_PACK_H
#define KOE_VOICE_PACK_H
#include "base/status.h"
#include "base/str.h"

enum { KOE_STYLE_DIM = 256, KOE_PACK_ROWS_V019 = 511, KOE_PACK_MAX_ROWS = 4096, KOE_PACK_MAX_VOICES = 4096 };

typedef struct koe_pack {
    koe_str name;
    const float *row; /* [n_rows, 256]; borrowed from the file */
    size_t n_rows;
} koe_pack;

/* A file of one or more packs, opened lazily: names first, numbers when asked for. */
typedef struct koe_pack_file koe_pack_file;

koe_status koe_pack_file_open(koe_pack_file **out, const char *path, koe_error *err);
/* The same from memory, which stays the caller's and must outlive the file. `what` names it in messages, and names the voice
 * where the bytes do not: the last part of the path, without its ending. */
koe_status koe_pack_file_parse(koe_pack_file **out, const void *bytes, size_t n_bytes, const char *what, koe_error *err);
void koe_pack_file_close(koe_pack_file *f);

size_t koe_pack_file_count(const koe_pack_file *f);
koe_str koe_pack_file_name(const koe_pack_file *f, size_t i);
koe_status koe_pack_file_load(koe_pack_file *f, size_t i, koe_pack *out, koe_error *err);

/* The row for an utterance of n_phonemes, the longest one there is when it is longer. */
const float *koe_pack_style(const koe_pack *p, size_t n_phonemes);
#endif
