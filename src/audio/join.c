/* join.c - makes segments of speech fit together: silence trimmed, peaks limited, edges faded. */
#include <math.h>
#include <stdlib.h>

#include "audio/audio.h"

size_t koe_audio_clean(float *x, size_t n)
{
    size_t bad = 0;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) x[i] = 0, bad++;
    return bad;
}

size_t koe_audio_samples(double seconds, int rate_hz)
{
    double n = seconds * rate_hz;
    return n > 0 && n < 1e15 ? (size_t)llround(n) : 0;
}

static float peak_of(const float *x, size_t n)
{
    float peak = 0;
    for (size_t i = 0; i < n; i++) peak = fmaxf(peak, fabsf(x[i]));
    return peak;
}

/* Mean square of the window-th stretch of `size` samples; the last one may be shorter. */
static double window_power(const float *x, size_t n, size_t size, size_t window)
{
    size_t from = window * size, count = n - from < size ? n - from : size;
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x[from + i] * (double)x[from + i];
    return sum / (double)count;
}

koe_audio_span koe_audio_trim(const float *x, size_t n, int rate_hz)
{
    size_t size = koe_audio_samples(0.010, rate_hz), before = koe_audio_samples(0.040, rate_hz);
    size_t after = koe_audio_samples(0.080, rate_hz);
    if (size == 0) size = 1;
    size_t n_windows = n / size + (n % size != 0);
    double loudest = 0;
    for (size_t w = 0; w < n_windows; w++) loudest = fmax(loudest, window_power(x, n, size, w));
    /* Below -80 dB of full scale there is nothing to keep. */
    if (loudest < 1e-8) return (koe_audio_span){ 0, 0 };
    size_t first = 0, last = n_windows - 1;
    while (window_power(x, n, size, first) < loudest * 1e-6) first++;
    while (window_power(x, n, size, last) < loudest * 1e-6) last--;
    size_t from = first * size, to = (last + 1) * size;
    from = from > before ? from - before : 0;
    to = to < n && n - to > after ? to + after : n;
    return (koe_audio_span){ from, to - from };
}

/* gain[b] = the least gain that blocks within `radius` of b need. The deque of candidates is a plain array: O(n). */
static void spread_minimum(float *out, const float *need, size_t n, size_t radius, size_t *queue)
{
    size_t head = 0, tail = 0, next = 0;
    for (size_t b = 0; b < n; b++) {
        for (; next < n && next <= b + radius; next++) {
            while (tail > head && need[queue[tail - 1]] >= need[next]) tail--;
            queue[tail++] = next;
        }
        while (queue[head] + radius < b) head++;
        out[b] = need[queue[head]];
    }
}

/* out[b] = mean of in over b-radius..b+radius, the edges repeated. */
static void smooth(float *out, const float *in, size_t n, size_t radius)
{
    double sum = 0;
    for (size_t i = 0; i < 2 * radius + 1; i++) {
        size_t j = i < radius ? 0 : i - radius;
        sum += in[j < n ? j : n - 1];
    }
    for (size_t b = 0; b < n; b++) {
        out[b] = (float)(sum / (double)(2 * radius + 1));
        size_t enter = b + radius + 1, leave = b < radius ? 0 : b - radius;
        sum += in[enter < n ? enter : n - 1] - in[leave];
    }
}

/* Blocks of 1 ms. The gain that a block needs is spread over its neighbours (minimum over radius + 1) and then averaged over
 * radius: both the value at a block and at its neighbours are then at most what it needs, so linear interpolation between block
 * centres never lets a sample through. */
koe_status koe_audio_limit(float *x, size_t n, int rate_hz, koe_error *err)
{
    if (n == 0 || peak_of(x, n) <= KOE_AUDIO_CEILING) return KOE_OK;
    size_t size = rate_hz >= 1000 ? (size_t)rate_hz / 1000 : 1, radius = 5;
    size_t n_blocks = n / size + (n % size != 0);
    float *need = calloc(n_blocks, sizeof *need), *least = calloc(n_blocks, sizeof *least);
    size_t *queue = calloc(n_blocks, sizeof *queue);
    koe_status st = KOE_OK;
    if (!need || !least || !queue) {
        st = koe_fail(err, KOE_E_NOMEM, "limiting %zu samples", n);
        goto done;
    }
    for (size_t b = 0; b < n_blocks; b++) {
        size_t from = b * size, count = n - from < size ? n - from : size;
        float peak = peak_of(x + from, count);
        need[b] = peak > KOE_AUDIO_CEILING ? KOE_AUDIO_CEILING / peak : 1.0f;
    }
    spread_minimum(least, need, n_blocks, radius + 1, queue);
    smooth(need, least, n_blocks, radius);
    for (size_t i = 0; i < n; i++) {
        double at = ((double)i + 0.5) / (double)size - 0.5; /* in blocks, centres at whole numbers */
        size_t b = at > 0 ? (size_t)at : 0, c = b + 1 < n_blocks ? b + 1 : b;
        double f = at > 0 ? at - (double)b : 0;
        x[i] *= (float)((1 - f) * need[b] + f * need[c]);
    }
done:
    free(need);
    free(least);
    free(queue);
    return st;
}

static float ramp_at(size_t i, size_t n) { return (float)(0.5 - 0.5 * cos(3.14159265358979323846 * (double)i / (double)n)); }

static size_t ramp_samples(size_t n, int rate_hz, double ms)
{
    const size_t ramp = koe_audio_samples(ms / 1000, rate_hz);
    return ramp > n / 2 ? n / 2 : ramp;
}

void koe_audio_fade_in(float *x, size_t n, int rate_hz, double ms)
{
    const size_t ramp = ramp_samples(n, rate_hz, ms);
    for (size_t i = 0; i < ramp; i++) x[i] *= ramp_at(i, ramp);
}

void koe_audio_fade_out(float *x, size_t n, int rate_hz, double ms)
{
    const size_t ramp = ramp_samples(n, rate_hz, ms);
    for (size_t i = 0; i < ramp; i++) x[n - 1 - i] *= ramp_at(i, ramp);
}

void koe_audio_cross(float *x, const float *tail, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = tail[i] + (x[i] - tail[i]) * ramp_at(i, n);
}

void koe_audio_to_s16(int16_t *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v = in[i] * 32767.0f;
        out[i] = v >= 32767.0f ? 32767 : v <= -32768.0f ? -32768 : (int16_t)lrintf(v == v ? v : 0.0f);
    }
}

void koe_audio_from_s16(float *out, const int16_t *in, size_t n)
{
    for (size_t i = 0; i < n; i++) out[i] = (float)in[i] * (1.0f / 32768.0f);
}
