/* peak_simd.c - as many independent multiply-adds as the registers hold: what the machine can do when nothing else is in the way. */
#include "kernels/simd.h"

float VARIANT(bench_peak)(long n);

/* n * 12 * VF_N multiply-adds. */
float VARIANT(bench_peak)(long n)
{
    vf acc[12];
    const vf a = vf_set(0.999f), b = vf_set(1e-3f);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) acc[i] = vf_set((float)i);
    for (long k = 0; k < n; k++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) acc[i] = vf_fma(acc[i], a, b);
    }
    vf sum = acc[0];
#pragma GCC unroll 12
    for (int i = 1; i < 12; i++) sum = vf_add(sum, acc[i]);
    return vf_sum(sum);
}
