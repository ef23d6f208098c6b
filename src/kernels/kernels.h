/* kernels.h - the arithmetic: portable C as the definition of each kernel, then one file per data type and instruction set.
 * Knows nothing of ONNX; allocates nothing, does no I/O. Matrices are row-major, time is the innermost dimension.
 * Every function here picks its variant by koe_cpu_features(); koe_kernel_table() lists the variants for tests and benchmarks. */
#ifndef KOE_KERNELS_KERNELS_H
#define KOE_KERNELS_KERNELS_H
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* y[i] = f(x[i]); y may be x. Any alignment; nothing past n is read or written. */
void koe_f32_exp(float *y, const float *x, size_t n);
void koe_f32_tanh(float *y, const float *x, size_t n);
void koe_f32_sigmoid(float *y, const float *x, size_t n);
void koe_f32_sin(float *y, const float *x, size_t n);
void koe_f32_cos(float *y, const float *x, size_t n);
void koe_f32_erf(float *y, const float *x, size_t n);

/* c[m][n] (+)= a[m][k] * b[k][n]; leading dimensions in elements. For matrices that are not packed ahead; see gemm.h for those
 * that are. c overlaps nothing. One thread. */
void koe_f32_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, size_t m, size_t n, size_t k,
                  int accumulate);

/* float16 <-> float32, n elements. */
void koe_f16_widen(float *y, const uint16_t *x, size_t n);
void koe_f16_narrow(uint16_t *y, const float *x, size_t n);
#endif
