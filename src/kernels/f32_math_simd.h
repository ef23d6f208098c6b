/* f32_math_simd.h - elementary functions of a vector, for the kernels that use them inside their loops.
 * Polynomials are minimax fits on the reduced range, made for this file (weighted least squares, Lawson iteration); their own error is
 * below 1e-8 relative, so that what remains is rounding. */
#ifndef KOE_KERNELS_F32_MATH_SIMD_H
#define KOE_KERNELS_F32_MATH_SIMD_H
#include <math.h>

#include "kernels/simd.h"

/* x = n * ln 2 + r, |r| <= ln(2)/2. */
VF_INLINE vf v_reduce_exp(vf x, vf *n)
{
    *n = vf_round(vf_mul(x, vf_set(0x1.715476p+0f)));
    vf r = vf_fnma(*n, vf_set(0x1.62e43p-1f), x);
    return vf_fnma(*n, vf_set(-0x1.05c61p-29f), r);
}

/* exp(r) - 1 on the reduced range. */
VF_INLINE vf v_expm1_poly(vf r)
{
    vf q = vf_fma(r, vf_set(0.0013813135f), vf_set(0.00836942f));
    q = vf_fma(r, q, vf_set(0.041668456f));
    q = vf_fma(r, q, vf_set(0.16666515f));
    q = vf_fma(r, q, vf_set(0.49999994f));
    return vf_fma(vf_mul(r, r), q, r);
}

/* 2^n for whole n in -126..127. */
VF_INLINE vf v_pow2(vi n) { return vf_bits(vi_shl(vi_add(n, vi_set(127)), 23)); }

VF_INLINE vf v_exp(vf x)
{
    vf n, r;
    x = vf_min(vf_set(89.0f), vf_max(vf_set(-104.0f), x)); /* beyond: infinity and zero all the same */
    r = v_reduce_exp(x, &n);
    const vf p = vf_add(v_expm1_poly(r), vf_set(1));
    /* Two factors, as 2^n alone may be denormal or infinite where the result is not. */
    const vi k = vi_round(n), half = vi_sra(k, 1);
    return vf_mul(vf_mul(p, v_pow2(half)), v_pow2(vi_sub(k, half)));
}

VF_INLINE vf v_sigmoid(vf x)
{
    /* exp(-|x|) cannot overflow, and as numerator it keeps small results exact. */
    const vf e = v_exp(vf_xor(vf_abs(x), vf_set(-0.0f)));
    return vf_div(vf_select(vf_lt(x, vf_zero()), e, vf_set(1)), vf_add(e, vf_set(1)));
}

/* tanh |x| = t / (t + 2), t = exp(2 |x|) - 1 without cancellation. */
VF_INLINE vf v_tanh(vf x)
{
    vf n;
    const vf a = vf_min(vf_set(20.0f), vf_mul(vf_set(2), vf_abs(x)));
    const vf p = v_expm1_poly(v_reduce_exp(a, &n)), s = v_pow2(vi_round(n));
    const vf t = vf_fma(p, s, vf_sub(s, vf_set(1)));
    return vf_xor(vf_div(t, vf_add(t, vf_set(2))), vf_sign(x));
}

/* Largest |x| that v_sincos() reduces with three terms of pi/2; beyond it the C library is asked. */
#define V_SINCOS_MAX 4e5f

/* sin and cos of |x| <= V_SINCOS_MAX. |x| = n * pi/2 + r; the quadrant n mod 4 says which polynomial is which, and the signs. */
VF_INLINE void v_sincos(vf x, vf *sin_x, vf *cos_x)
{
    const vf a = vf_abs(x), n = vf_round(vf_mul(a, vf_set(0x1.45f306p-1f)));
    const vi q = vi_round(n);
    vf r = vf_fnma(n, vf_set(0x1.921fb6p+0f), a); /* exact */
    r = vf_fnma(n, vf_set(-0x1.777a5cp-25f), r);
    r = vf_fnma(n, vf_set(-0x1.ee59dap-50f), r);
    const vf z = vf_mul(r, r);
    vf s = vf_fma(z, vf_set(2.7139722e-06f), vf_set(-0.00019838859f));
    s = vf_fma(z, s, vf_set(0.008333328f));
    s = vf_fma(z, s, vf_set(-0.16666667f));
    s = vf_fma(vf_mul(r, z), s, r);
    vf c = vf_fma(z, vf_set(2.4396362e-05f), vf_set(-0.0013886993f));
    c = vf_fma(z, c, vf_set(0.041666638f));
    c = vf_fma(vf_mul(z, z), c, vf_fnma(z, vf_set(0.5f), vf_set(1)));
    const vm even = vi_eq(vi_and(q, vi_set(1)), vi_set(0));
    /* Bit 1 of q negates the sine, bit 1 of q + 1 the cosine. */
    const vf sin_sign = vf_bits(vi_shl(vi_and(q, vi_set(2)), 30));
    const vf cos_sign = vf_bits(vi_shl(vi_and(vi_add(q, vi_set(1)), vi_set(2)), 30));
    *sin_x = vf_xor(vf_xor(vf_select(even, s, c), sin_sign), vf_sign(x));
    *cos_x = vf_xor(vf_select(even, c, s), cos_sign);
}

/* Where the vector code does not reach, element by element: the result of an element never depends on its neighbours. */
static inline vf v_patch(vf x, vf y, vm good, float (*f)(float))
{
    float in[VF_N], out[VF_N], keep[VF_N];
    vf_store(in, x);
    vf_store(out, y);
    vf_store(keep, vf_select(good, vf_set(1), vf_zero()));
    for (int i = 0; i < VF_N; i++)
        if (keep[i] == 0) out[i] = f(in[i]);
    return vf_load(out);
}

VF_INLINE vf v_sin(vf x)
{
    vf s, c;
    const vm good = vf_le(vf_abs(x), vf_set(V_SINCOS_MAX));
    v_sincos(x, &s, &c);
    return __builtin_expect(vm_all(good), 1) ? s : v_patch(x, s, good, sinf);
}

VF_INLINE vf v_cos(vf x)
{
    vf s, c;
    const vm good = vf_le(vf_abs(x), vf_set(V_SINCOS_MAX));
    v_sincos(x, &s, &c);
    return __builtin_expect(vm_all(good), 1) ? c : v_patch(x, c, good, cosf);
}

/* sin(pi t)^2, which has the period 1 and no sign: t less the nearest whole number, |.| <= 1/2, and one polynomial. Beyond 2^23 a float is
 * whole: 0. Infinity gives NaN. */
VF_INLINE vf v_sin_pi_squared(vf t)
{
    const vf r = vf_sub(t, vf_round(t)), z = vf_mul(r, r);
    vf s = vf_fma(z, vf_set(0.077675931f), vf_set(-0.598308068f));
    s = vf_fma(z, s, vf_set(2.55008238f));
    s = vf_fma(z, s, vf_set(-5.16771071f));
    s = vf_mul(r, vf_fma(z, s, vf_set(3.14159265f)));
    return vf_mul(s, s);
}

/* Near zero an odd polynomial; further out 1 - exp(t * Q(t) - t), whose absolute error is what counts. */
VF_INLINE vf v_erf(vf x)
{
    const vf a = vf_abs(x), z = vf_mul(x, x), t = vf_min(vf_set(4), a);
    vf p = vf_fma(z, vf_set(8.215415e-05f), vf_set(-0.0008105963f));
    p = vf_fma(z, p, vf_set(0.005197797f));
    p = vf_fma(z, p, vf_set(-0.026858104f));
    p = vf_fma(z, p, vf_set(0.112836726f));
    p = vf_fma(z, p, vf_set(-0.37612632f));
    p = vf_fma(z, p, vf_set(0.12837917f));
    vf q = vf_fma(t, vf_set(-1.0764005e-05f), vf_set(0.0003180676f));
    q = vf_fma(t, q, vf_set(-0.0036229494f));
    q = vf_fma(t, q, vf_set(0.023720248f));
    q = vf_fma(t, q, vf_set(-0.10618768f));
    q = vf_fma(t, q, vf_set(-0.6351815f));
    q = vf_fma(t, q, vf_set(-0.12864098f));
    const vf far = vf_sub(vf_set(1), v_exp(vf_fma(t, q, vf_xor(t, vf_set(-0.0f)))));
    return vf_select(vf_lt(vf_set(0.93f), a), vf_xor(far, vf_sign(x)), vf_fma(x, p, x));
}

VF_INLINE vf v_gelu(vf x)
{
    return vf_mul(vf_mul(vf_set(0.5f), x), vf_add(v_erf(vf_mul(x, vf_set(0.70710678f))), vf_set(1)));
}

/* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
VF_INLINE vf v_gelu_tanh(vf x)
{
    const vf cube = vf_mul(vf_mul(x, x), x), u = vf_mul(vf_set(0.79788456f), vf_fma(vf_set(0.044715f), cube, x));
    return vf_mul(vf_mul(vf_set(0.5f), x), vf_add(v_tanh(u), vf_set(1)));
}

VF_INLINE vf v_silu(vf x) { return vf_mul(x, v_sigmoid(x)); }

/* x * tanh(log(1 + e^x)) = x * n / (n + 2), n = e^x * (e^x + 2); from 20 on that is x. */
VF_INLINE vf v_mish(vf x)
{
    const vf e = v_exp(vf_min(vf_set(20), x)), n = vf_mul(e, vf_add(e, vf_set(2)));
    return vf_mul(x, vf_div(n, vf_add(n, vf_set(2))));
}

/* x = 2^e * m, sqrt(1/2) <= m < sqrt(2). */
VF_INLINE vf v_log(vf x)
{
    const vm tiny = vf_lt(x, vf_set(0x1p-126f));
    const vf scaled = vf_select(tiny, vf_mul(x, vf_set(0x1p+23f)), x);
    const vi bits = vi_sub(vi_bits(scaled), vi_set(0x3f3504f3)), exponent = vi_sra(bits, 23);
    const vf e = vf_add(vf_of_vi(exponent), vf_select(tiny, vf_set(-23), vf_zero()));
    const vf f = vf_sub(vf_bits(vi_sub(vi_bits(scaled), vi_shl(exponent, 23))), vf_set(1)), z = vf_mul(f, f);
    vf p = vf_fma(f, vf_set(0.06915147f), vf_set(-0.11789696f));
    p = vf_fma(f, p, vf_set(0.118730165f));
    p = vf_fma(f, p, vf_set(-0.1238437f));
    p = vf_fma(f, p, vf_set(0.14218655f));
    p = vf_fma(f, p, vf_set(-0.1666925f));
    p = vf_fma(f, p, vf_set(0.20002227f));
    p = vf_fma(f, p, vf_set(-0.24999987f));
    p = vf_fma(f, p, vf_set(0.3333331f));
    vf r = vf_fma(vf_mul(f, z), p, vf_mul(e, vf_set(-0x1.05c61p-29f)));
    r = vf_add(vf_fnma(z, vf_set(0.5f), r), f);
    r = vf_fma(e, vf_set(0x1.62e43p-1f), r);
    r = vf_select(vf_lt(x, vf_set(INFINITY)), r, x); /* infinity and NaN stay */
    r = vf_select(vf_eq(x, vf_zero()), vf_set(-INFINITY), r);
    return vf_select(vf_lt(x, vf_zero()), vf_set(NAN), r);
}
#endif
