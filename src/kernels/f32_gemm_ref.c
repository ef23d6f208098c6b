/* The definition of the matrix product. */
#include "kernels/kernels.h"

void koe_f32_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, size_t m, size_t n, size_t k,
                  int accumulate)
{
    for (size_t i = 0; i < m; i++) {
        float *row = c + i * ldc;
        if (!accumulate)
            for (size_t j = 0; j < n; j++) row[j] = 0;
        for (size_t p = 0; p < k; p++)
            for (size_t j = 0; j < n; j++) row[j] += a[i * lda + p] * b[p * ldb + j];
    }
}
