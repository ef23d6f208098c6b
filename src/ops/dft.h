/* dft.h - the discrete Fourier transform of one vector of any length, in double. Inside the ops room.
 * Powers of two by the radix-2 transform, other lengths as a convolution with a chirp (Bluestein) on top of it. */
#ifndef KOE_OPS_DFT_H
#define KOE_OPS_DFT_H
#include "ops/op.h"

typedef struct koe_complex {
    double re, im;
} koe_complex;

/* Tables for one length; read-only once made. */
typedef struct koe_dft {
    size_t n; /* length */
    size_t m; /* power of two behind it: n itself, or at least 2n - 1 */
    const koe_complex *root; /* [m / 2] exp(-2 pi i k / m) */
    const koe_complex *chirp; /* [n] exp(-pi i k^2 / n); Bluestein only */
    const koe_complex *kernel; /* [m] transform of the chirp's conjugate, over m; Bluestein only */
} koe_dft;

enum { KOE_DFT_MAX = 1 << 26 };

/* n in 1..KOE_DFT_MAX; tables live in the context's scratch. KOE_E_LIMIT, KOE_E_NOMEM. */
koe_status koe_dft_init(koe_dft *out, koe_op_ctx *c, size_t n, koe_error *err);
/* Bytes of work memory that one transform needs. */
size_t koe_dft_work(const koe_dft *d);
/* x[k] = sum over t of x[t] exp(-2 pi i k t / n), in place; inverse: exp(+...) and 1/n. `work` of koe_dft_work() bytes. */
void koe_dft_transform(const koe_dft *d, koe_complex *x, bool inverse, void *work);
#endif
