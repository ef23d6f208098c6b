/* i8_gemm.h - products of matrices of 8-bit integers, exact in int32 (modulo 2^32, as ONNX's integer products are):
 *     c[m][n] = sum over k of (a[m][k] - a_zero[m]) * (b[k][n] - b_zero[n])
 * Inside, `a` is always unsigned and `b` always signed, the pair that VNNI multiplies: the other sign is the same number shifted
 * by 128, and a shift is no more than another zero point. Zero points are taken out by sums:
 *     sum (a - za)(b - zb) = sum ab - za sum b - zb (sum a - k za)
 * so the inner kernel knows nothing of them. `b`, usually weights, is packed once:
 *     panel p holds columns 16p..16p+15; in it, group g holds rows 4g..4g+3 as 16 columns of 4 bytes (64 bytes). Rows and columns
 *     past the end are 0. */
#ifndef KOE_KERNELS_I8_GEMM_H
#define KOE_KERNELS_I8_GEMM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/i8_conv.h"

enum { KOE_I8_PANEL = 16, KOE_I8_GROUP = 4 };

typedef struct koe_i8_packed {
    const int8_t *panel;
    const int32_t *sum; /* [n] of each column, in signed form */
    size_t k, n;
    bool was_unsigned;
} koe_i8_packed;

/* The left side, row-major and not packed. */
typedef struct koe_i8_rows {
    const void *data;
    size_t ld; /* bytes from row to row */
    bool is_signed;
    int32_t zero; /* of every row ... */
    const int32_t *row_zero; /* ... or one for each; NULL: `zero` */
} koe_i8_rows;

/* Bytes that koe_i8_pack() needs, 0 when they overflow size_t. */
size_t koe_i8_packed_bytes(size_t k, size_t n);
/* Where the elements of b are: (p, j) at data[p * row_step + j * col_step]. */
typedef struct koe_i8_source {
    const void *data;
    bool is_signed;
    size_t row_step, col_step;
} koe_i8_source;
/* Packs b[k][n] into `memory` (64-byte aligned), which *out then borrows. */
void koe_i8_pack(koe_i8_packed *out, void *memory, const koe_i8_source *b, size_t k, size_t n);
/* The same without packing: `memory` was filled by koe_i8_pack() before. */
void koe_i8_open(koe_i8_packed *out, const void *memory, bool is_signed, size_t k, size_t n);
/* Columns from..from+n of b, which must be a multiple of KOE_I8_PANEL unless they reach the end; borrows from b. */
koe_i8_packed koe_i8_columns(const koe_i8_packed *b, size_t from, size_t n);

/* c[m][n] = (a - zero) * (b - b_zero); b_zero: one for each column, NULL: 0. c overlaps nothing. One thread. */
void koe_i8_gemm(int32_t *c, size_t ldc, const koe_i8_rows *a, const koe_i8_packed *b, const int32_t *b_zero, size_t m);

/* y[i] = round(x[i] / scale) + zero, held to 0..255 (zero too); half to even, NaN gives 0. */
void koe_f32_quantise_u8(uint8_t *y, const float *x, size_t n, float scale, int32_t zero);
/* Smallest and largest of x and 0; NaN is passed over. */
void koe_f32_extremes(const float *x, size_t n, float *low, float *high);

/* ---- variants ---------------------------------------------------------------------------------------------------------- */

/* The inner kernel: c[m][n] += (a ^ flip) * b, where flip is 0x80808080 for signed `a`, else 0. */
typedef void koe_i8_gemm_fn(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, uint32_t flip, const koe_i8_packed *b,
                            size_t m);
typedef void koe_f32_quantise_fn(uint8_t *y, const float *x, size_t n, float scale, int32_t zero);
typedef void koe_f32_extremes_fn(const float *x, size_t n, float *low, float *high);
typedef struct koe_i8_variant {
    const char *name;
    unsigned needs; /* KOE_CPU_* */
    koe_i8_gemm_fn *gemm;
    koe_i8_conv_fn *conv;
    koe_f32_quantise_fn *quantise;
    koe_f32_extremes_fn *extremes;
} koe_i8_variant;
/* All variants, best first; the last is the portable one. */
extern const koe_i8_variant koe_i8_variants[];
extern const size_t koe_i8_n_variants;

koe_i8_gemm_fn koe_i8_gemm_ref;
koe_f32_quantise_fn koe_f32_quantise_u8_ref;
koe_f32_extremes_fn koe_f32_extremes_ref;
#if defined(__x86_64__)
koe_i8_gemm_fn koe_i8_gemm_avx2, koe_i8_gemm_avxvnni, koe_i8_gemm_vnni;
koe_f32_quantise_fn koe_f32_quantise_u8_avx2, koe_f32_quantise_u8_avx512;
koe_f32_extremes_fn koe_f32_extremes_avx2, koe_f32_extremes_avx512;
#elif defined(__aarch64__)
koe_i8_gemm_fn koe_i8_gemm_dotprod, koe_i8_gemm_i8mm;
koe_f32_quantise_fn koe_f32_quantise_u8_neon;
koe_f32_extremes_fn koe_f32_extremes_neon;
#endif
#endif
