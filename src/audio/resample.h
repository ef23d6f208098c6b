/* resample.h - a stream of samples at another rate, by a windowed sinc: flat to 88 % of the lower Nyquist frequency, images and
 * aliases 80 dB down, no delay: sample k of the output is the sound at k / out_rate_hz. n samples become ceil(n * out / in).
 * Threads: a resampler belongs to one at a time. Dependencies: base. */
#ifndef KOE_AUDIO_RESAMPLE_H
#define KOE_AUDIO_RESAMPLE_H
#include <stddef.h>

#include "base/status.h"

typedef struct koe_resampler koe_resampler;

enum { KOE_RESAMPLE_LEAST_HZ = 1000, KOE_RESAMPLE_MOST_HZ = 192000 };

/* KOE_E_ARGUMENT for a rate outside those two, KOE_E_NOMEM. */
koe_status koe_resampler_open(koe_resampler **out, int in_rate_hz, int out_rate_hz, koe_error *err);
/* Takes as many of the n samples as there is room for, and returns how many. Once koe_resampler_read() has returned less than it
 * was asked for, there is room for at least one. */
size_t koe_resampler_put(koe_resampler *r, const float *in, size_t n);
/* Up to `cap` samples of the output; fewer when more input is needed. */
size_t koe_resampler_read(koe_resampler *r, float *out, size_t cap);
/* No more input: the rest can be read. */
void koe_resampler_end(koe_resampler *r);
/* NULL is fine. */
void koe_resampler_close(koe_resampler *r);
#endif
