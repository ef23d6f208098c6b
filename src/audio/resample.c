/* resample.c - out[k] = sum over i of in[i] * h(k * in_rate / out_rate - i), where h is a sinc under a Kaiser window.
 *
 * With the rates reduced to in : out = step : n_phases, output k lies n_phases-ths of an input sample apart, so a table of the
 * filter at those fractions is all there is to know. Odd pairs of rates would need huge tables: beyond MAX_ROWS the table has
 * that many fractions and what lies between is interpolated linearly (an error below -90 dB). */
#include "audio/resample.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 512, ZERO_CROSSINGS = 48, BLOCK = 4096, LANES = 8 };

struct koe_resampler {
    float *filter; /* [n_rows + 1, n_taps]: row p is for samples p / n_rows after an input sample */
    float *x; /* the input from sample x_at on; before the first one there are zeros */
    size_t n_rows, n_taps, half; /* n_taps = 2 * half, a multiple of LANES */
    size_t n_x, cap_x;
    int64_t x_at, n_in; /* n_in: samples taken so far */
    int64_t at; /* the next output lies at + phase / n_phases */
    size_t phase, n_phases, step;
    bool ended;
};

static size_t gcd(size_t a, size_t b)
{
    while (b) {
        const size_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* Modified Bessel function of order 0, by its power series. */
static double bessel_i0(double x)
{
    double sum = 1, term = 1;
    for (int k = 1; term > sum * 1e-12; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

/* t in input samples; cutoff relative to the input's Nyquist frequency. Kaiser's beta of 8 gives 80 dB. */
static double filter_at(double t, double cutoff, double half)
{
    const double beta = 8, u = t / half, a = 3.14159265358979323846 * cutoff * t;
    if (u * u >= 1) return 0;
    return (fabs(a) < 1e-9 ? 1 : sin(a) / a) * bessel_i0(beta * sqrt(1 - u * u)) / bessel_i0(beta);
}

/* Tap j of row p weighs the input sample at - half + 1 + j. Each row sums to 1, so that a constant stays what it is. */
static void fill_filter(koe_resampler *r, double cutoff)
{
    for (size_t p = 0; p <= r->n_rows; p++) {
        float *row = r->filter + p * r->n_taps;
        const double fraction = (double)p / (double)r->n_rows;
        double sum = 0;
        for (size_t j = 0; j < r->n_taps; j++) {
            const double h = filter_at((double)j - (double)r->half + 1 - fraction, cutoff, (double)r->half);
            row[j] = (float)h;
            sum += h;
        }
        for (size_t j = 0; j < r->n_taps; j++) row[j] = (float)((double)row[j] / sum);
    }
}

koe_status koe_resampler_open(koe_resampler **out, int in_rate_hz, int out_rate_hz, koe_error *err)
{
    const int rates[] = { in_rate_hz, out_rate_hz };
    for (size_t i = 0; i < 2; i++)
        if (rates[i] < KOE_RESAMPLE_LEAST_HZ || rates[i] > KOE_RESAMPLE_MOST_HZ)
            return koe_fail(err, KOE_E_ARGUMENT, "a sample rate of %d Hz; %d to %d can be converted", rates[i],
                            KOE_RESAMPLE_LEAST_HZ, KOE_RESAMPLE_MOST_HZ);
    koe_resampler *r = calloc(1, sizeof *r);
    if (!r) return koe_fail(err, KOE_E_NOMEM, "resampling");
    const size_t common = gcd((size_t)in_rate_hz, (size_t)out_rate_hz);
    r->n_phases = (size_t)out_rate_hz / common;
    r->step = (size_t)in_rate_hz / common;
    r->n_rows = r->n_phases < MAX_ROWS ? r->n_phases : MAX_ROWS;
    /* The middle of the transition band, whose upper end is the lower Nyquist frequency. */
    const double cutoff = 0.94 * (r->step > r->n_phases ? (double)r->n_phases / (double)r->step : 1.0);
    r->half = ((size_t)ceil(ZERO_CROSSINGS / cutoff) + LANES / 2 - 1) / (LANES / 2) * (LANES / 2);
    r->n_taps = 2 * r->half;
    r->cap_x = r->n_taps + BLOCK;
    r->filter = calloc((r->n_rows + 1) * r->n_taps, sizeof *r->filter);
    r->x = calloc(r->cap_x, sizeof *r->x);
    if (!r->filter || !r->x) {
        koe_resampler_close(r);
        return koe_fail(err, KOE_E_NOMEM, "resampling from %d to %d Hz", in_rate_hz, out_rate_hz);
    }
    fill_filter(r, cutoff);
    r->n_x = r->half - 1;
    r->x_at = 1 - (int64_t)r->half;
    *out = r;
    return KOE_OK;
}

void koe_resampler_close(koe_resampler *r)
{
    if (!r) return;
    free(r->filter);
    free(r->x);
    free(r);
}

/* Moves what is still needed to the front. */
static void forget_old(koe_resampler *r)
{
    int64_t old = r->at - (int64_t)r->half + 1 - r->x_at;
    if (old <= 0) return;
    const size_t n = (uint64_t)old < r->n_x ? (size_t)old : r->n_x;
    memmove(r->x, r->x + n, (r->n_x - n) * sizeof *r->x);
    r->n_x -= n;
    r->x_at += (int64_t)n;
}

size_t koe_resampler_put(koe_resampler *r, const float *in, size_t n)
{
    if (n > r->cap_x - r->n_x) forget_old(r);
    if (n > r->cap_x - r->n_x) n = r->cap_x - r->n_x;
    if (n) memcpy(r->x + r->n_x, in, n * sizeof *in);
    r->n_x += n;
    r->n_in += (int64_t)n;
    return n;
}

void koe_resampler_end(koe_resampler *r) { r->ended = true; }

/* Sums in LANES columns, which compilers turn into vectors. */
static float dot(const float *restrict a, const float *restrict b, size_t n)
{
    float sum[LANES] = { 0 };
    for (size_t i = 0; i < n; i += LANES)
        for (size_t l = 0; l < LANES; l++) sum[l] += a[i + l] * b[i + l];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

/* The output at at + phase / n_phases; x points to its first tap's sample. */
static float filtered(const koe_resampler *r, const float *x)
{
    const size_t scaled = r->phase * r->n_rows, row = scaled / r->n_phases, rest = scaled % r->n_phases;
    const float *h = r->filter + row * r->n_taps;
    const float y = dot(x, h, r->n_taps);
    if (rest == 0) return y;
    const float fraction = (float)rest / (float)r->n_phases;
    return y + fraction * (dot(x, h + r->n_taps, r->n_taps) - y);
}

size_t koe_resampler_read(koe_resampler *r, float *out, size_t cap)
{
    size_t n = 0;
    while (n < cap) {
        int64_t first = r->at - (int64_t)r->half + 1 - r->x_at; /* the place of the first tap in x */
        if (r->ended && r->at >= r->n_in) break;
        if (first + (int64_t)r->n_taps > (int64_t)r->n_x) {
            if (!r->ended) break;
            forget_old(r); /* after the end: silence */
            memset(r->x + r->n_x, 0, (r->cap_x - r->n_x) * sizeof *r->x);
            r->n_x = r->cap_x;
            continue;
        }
        out[n++] = filtered(r, r->x + first);
        r->phase += r->step;
        r->at += (int64_t)(r->phase / r->n_phases);
        r->phase %= r->n_phases;
    }
    return n;
}
