/* dft.c - see dft.h. */
#include "ops/dft.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

static koe_complex mul(koe_complex a, koe_complex b)
{
    return (koe_complex){ a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re };
}

/* exp(-2 pi i k / n). Symmetry brings the angle below pi/4 first, so that quarter turns are exact. */
static koe_complex root_of_unity(size_t k, size_t n)
{
    size_t eighths = 8 * k / n;
    double at = (double)k / (double)n, c, s;
    switch (eighths) {
    case 0: c = cos(2 * PI * at), s = sin(2 * PI * at); break;
    case 1:
    case 2: at -= 0.25, c = -sin(2 * PI * at), s = cos(2 * PI * at); break;
    case 3:
    case 4: at -= 0.5, c = -cos(2 * PI * at), s = -sin(2 * PI * at); break;
    case 5:
    case 6: at -= 0.75, c = sin(2 * PI * at), s = -cos(2 * PI * at); break;
    default: at -= 1, c = cos(2 * PI * at), s = sin(2 * PI * at); break;
    }
    return (koe_complex){ c, -s };
}

/* Radix-2 transform of m values, m a power of two, root[k] = exp(-2 pi i k / m). */
static void radix2(koe_complex *x, size_t m, const koe_complex *root)
{
    for (size_t i = 1, j = 0; i < m; i++) { /* j is i with its bits reversed */
        size_t bit = m >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) {
            koe_complex t = x[i];
            x[i] = x[j];
            x[j] = t;
        }
    }
    for (size_t half = 1; half < m; half *= 2)
        for (size_t from = 0; from < m; from += 2 * half)
            for (size_t k = 0; k < half; k++) {
                koe_complex a = x[from + k], b = mul(x[from + half + k], root[k * (m / 2 / half)]);
                x[from + k] = (koe_complex){ a.re + b.re, a.im + b.im };
                x[from + half + k] = (koe_complex){ a.re - b.re, a.im - b.im };
            }
}

/* k^2 t / n has the form k t - (k-t)^2/2 + ...: the transform is a convolution of x[t] chirp[t] with conj(chirp), times chirp[k].
 */
static koe_status init_chirp(koe_dft *d, koe_op_ctx *c, koe_error *err)
{
    koe_complex *chirp = koe_scratch(c, d->n * sizeof *chirp), *kernel = koe_scratch(c, d->m * sizeof *kernel);
    if (!chirp || !kernel) return koe_fail(err, KOE_E_NOMEM, "Fourier transform of length %zu", d->n);
    memset(kernel, 0, d->m * sizeof *kernel);
    for (size_t k = 0; k < d->n; k++) {
        chirp[k] = root_of_unity(k * k % (2 * d->n), 2 * d->n);
        koe_complex v = { chirp[k].re / (double)d->m, -chirp[k].im / (double)d->m };
        kernel[k] = v;
        if (k > 0) kernel[d->m - k] = v;
    }
    radix2(kernel, d->m, d->root);
    d->chirp = chirp;
    d->kernel = kernel;
    return KOE_OK;
}

koe_status koe_dft_init(koe_dft *out, koe_op_ctx *c, size_t n, koe_error *err)
{
    if (n < 1 || n > KOE_DFT_MAX) return koe_fail(err, KOE_E_LIMIT, "Fourier transform of length %zu: 1 to %d", n, KOE_DFT_MAX);
    *out = (koe_dft){ .n = n, .m = 1 };
    bool power = (n & (n - 1)) == 0;
    while (out->m < (power ? n : 2 * n - 1)) out->m *= 2;
    koe_complex *root = koe_scratch(c, (out->m / 2 + 1) * sizeof *root);
    if (!root) return koe_fail(err, KOE_E_NOMEM, "Fourier transform of length %zu", n);
    for (size_t k = 0; k < out->m / 2; k++) root[k] = root_of_unity(k, out->m);
    out->root = root;
    return power ? KOE_OK : init_chirp(out, c, err);
}

size_t koe_dft_work(const koe_dft *d) { return d->chirp ? d->m * sizeof(koe_complex) : 0; }

static void forward(const koe_dft *d, koe_complex *x, koe_complex *work)
{
    if (!d->chirp) {
        radix2(x, d->m, d->root);
        return;
    }
    for (size_t k = 0; k < d->n; k++) work[k] = mul(x[k], d->chirp[k]);
    memset(work + d->n, 0, (d->m - d->n) * sizeof *work);
    radix2(work, d->m, d->root);
    for (size_t k = 0; k < d->m; k++) {
        work[k] = mul(work[k], d->kernel[k]);
        work[k].im = -work[k].im; /* the way back is conj(transform(conj)) */
    }
    radix2(work, d->m, d->root);
    for (size_t k = 0; k < d->n; k++) {
        work[k].im = -work[k].im;
        x[k] = mul(work[k], d->chirp[k]);
    }
}

void koe_dft_transform(const koe_dft *d, koe_complex *x, bool inverse, void *work)
{
    if (inverse)
        for (size_t k = 0; k < d->n; k++) x[k].im = -x[k].im;
    forward(d, x, work);
    if (inverse)
        for (size_t k = 0; k < d->n; k++) x[k] = (koe_complex){ x[k].re / (double)d->n, -x[k].im / (double)d->n };
}
