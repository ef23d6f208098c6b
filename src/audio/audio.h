/* audio.h - samples between the model and the listener:
 *     segment of speech -> CLEAN -> TRIM -> LIMIT -> FADE -> (pause) -> pcm -> wav.h
 * Works on one segment at a time, so that a text of any length needs the memory of one segment. Every length is exact to the
 * sample. Threads: reentrant. Dependencies: base. */
#ifndef KOE_AUDIO_AUDIO_H
#define KOE_AUDIO_AUDIO_H
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Replaces NaN and infinities by silence; returns how many there were. */
size_t koe_audio_clean(float *x, size_t n);

/* What remains of a segment without the silence at its ends. */
typedef struct koe_audio_span {
    size_t at, n; /* samples */
} koe_audio_span;

/* The part between the first and the last sound: 10 ms windows above -60 dB of the loudest one, plus 40 ms before the first, so
 * that soft onsets live, and 80 ms after the last, so that they ring out. Pure silence gives n == 0. */
koe_audio_span koe_audio_trim(const float *x, size_t n, int rate_hz);

/* The level that limited speech does not exceed: -0.2 dB, so that 16-bit rounding and resampling stay below full scale. */
#define KOE_AUDIO_CEILING 0.977f

/* Look-ahead limiter: the gain is 1 except within a few milliseconds of samples beyond KOE_AUDIO_CEILING, where it moves down and
 * up smoothly. The level of everything else is kept, so segments of one voice join without a jump. KOE_E_NOMEM. */
koe_status koe_audio_limit(float *x, size_t n, int rate_hz, koe_error *err);

/* Raised-cosine ramps over the first or the last `ms` milliseconds (at most half of the samples): edges start and end at zero. */
void koe_audio_fade_in(float *x, size_t n, int rate_hz, double ms);
void koe_audio_fade_out(float *x, size_t n, int rate_hz, double ms);
/* The first n samples of x take over from tail, which says the same. */
void koe_audio_cross(float *x, const float *tail, size_t n);

/* Samples of a duration, rounded; 0 for a negative one. */
size_t koe_audio_samples(double seconds, int rate_hz);

/* Nearest 16-bit sample; beyond full scale clipped, NaN 0. in and out do not overlap. */
void koe_audio_to_s16(int16_t *out, const float *in, size_t n);
void koe_audio_from_s16(float *out, const int16_t *in, size_t n);
#endif
