/* f32_math_simd.c - the elementwise functions over arrays. The tail is a whole vector padded with zeros, so that an element's result does not
 * depend on its place. */
#include "kernels/f32_math_simd.h"
#include "kernels/variants.h"

#define MAP(name)                                                                  \
    void VARIANT(koe_f32_##name)(float *y, const float *x, size_t n)               \
    {                                                                              \
        size_t i = 0;                                                              \
        for (; i + VF_N <= n; i += VF_N) vf_store(y + i, v_##name(vf_load(x + i))); \
        if (i < n) vf_store_n(y + i, v_##name(vf_load_n(x + i, n - i)), n - i);    \
    }

MAP(exp)
MAP(tanh)
MAP(sigmoid)
MAP(sin)
MAP(cos)
MAP(erf)
MAP(log)
MAP(gelu)
MAP(gelu_tanh)
MAP(silu)
MAP(mish)

void VARIANT(koe_f32_gate)(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += VF_N) {
        const size_t m = n - i < VF_N ? n - i : VF_N;
        vf_store_n(y + i, vf_mul(v_tanh(vf_load_n(a + i, m)), v_sigmoid(vf_load_n(b + i, m))), m);
    }
}
