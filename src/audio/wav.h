/* wav.h - RIFF/WAVE files: a writer that streams, a reader that trusts nothing.
 *
 * A file is "RIFF" size "WAVE" and then chunks: 4 bytes of name, 4 of little-endian size, the data, a pad byte when the size is
 * odd.
 *     fmt   u16 format (1 PCM, 3 float, 0xFFFE extensible), u16 channels, u32 rate, u32 bytes a second, u16 bytes a frame, u16
 *           bits;
 *           extensible: u16 size, u16 valid bits, u32 speakers, 16 bytes whose first two are the real format
 *     data  the samples, frame by frame */
#ifndef KOE_AUDIO_WAV_H
#define KOE_AUDIO_WAV_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { KOE_WAV_HEADER_BYTES = 44 };

/* The header of 16-bit PCM with this many bytes of samples. What does not fit in 32 bits, and KOE_WAV_UNKNOWN, is written as
 * 0xFFFFFFFF: "until the end of the stream". */
#define KOE_WAV_UNKNOWN UINT64_MAX
void koe_wav_header(unsigned char out[KOE_WAV_HEADER_BYTES], int rate_hz, int n_channels, uint64_t data_bytes);

/* Writes 16-bit PCM. In a regular file the sizes are brought up to date after every write, so that the file is whole whenever the
 * program ends; in a pipe they are KOE_WAV_UNKNOWN. Threads: one at a time. */
typedef struct koe_wav koe_wav;

/* Replaces the file `path`; "-" is standard output. KOE_E_IO, KOE_E_NOT_FOUND (its folder): both name the path and the cause. */
koe_status koe_wav_create(koe_wav **out, const char *path, int rate_hz, int n_channels, koe_error *err);
/* n samples (frames times channels), clipped to 16 bits. After a failure (no space left) the file holds what came before. */
koe_status koe_wav_write(koe_wav *w, const float *samples, size_t n, koe_error *err);
/* Samples written so far. */
uint64_t koe_wav_samples(const koe_wav *w);
/* Frees in every case; reports a failure that only showed at the end. NULL is fine. */
koe_status koe_wav_close(koe_wav *w, koe_error *err);

/* A decoded file. */
typedef struct koe_wav_pcm {
    float *samples; /* interleaved, full scale is 1; malloc()ed, the caller frees */
    size_t n_frames;
    int n_channels, rate_hz;
    int bits; /* of a sample in the file */
    bool is_float;
} koe_wav_pcm;

/* PCM of 8, 16, 24 and 32 bits, float of 32 and 64. `what` names the source in messages. A data size of "unknown" takes all that
 * is there; any other size beyond the end is KOE_E_FORMAT. */
koe_status koe_wav_parse(koe_wav_pcm *out, const void *bytes, size_t n_bytes, const char *what, koe_error *err);
koe_status koe_wav_read(koe_wav_pcm *out, const char *path, koe_error *err);
#endif
