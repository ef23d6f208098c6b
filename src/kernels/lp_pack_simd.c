/* lp_pack_simd.c - rounding and interleaving rows of the input. */
#include "kernels/lp_variants.h"
#include "kernels/simd.h"

/* The upper half of a float32's bits, rounded to nearest even; the lower half of the result is rubbish. */
VF_INLINE vi round_bf16(vf x)
{
    const vi u = vi_bits(x), odd = vi_and(vi_sra(u, 16), vi_set(1));
    return vi_add(vi_add(u, vi_set(0x7fff)), odd);
}

VF_INLINE vi pair(vf low, vf high)
{
    const vi l = vi_and(vi_sra(round_bf16(low), 16), vi_set(0xffff)), h = vi_and(round_bf16(high), vi_set((int)0xffff0000));
    return vi_add(l, h);
}

VF_INLINE vf leaky(vf x, vf slope) { return vf_select(vf_lt(x, vf_zero()), vf_mul(x, slope), x); }

void VARIANT(koe_bf16_pack)(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero, float x_max)
{
    const vf vs = vf_set(slope);
    (void)less, (void)inverse, (void)zero, (void)x_max;
    for (size_t j = 0; j < n; j += VF_N) {
        const size_t k = n - j < VF_N ? n - j : VF_N;
        const vf low = rows > 0 ? leaky(vf_load_n(x + j, k), vs) : vf_zero(), high = rows > 1 ? leaky(vf_load_n(x + pitch + j, k), vs) : vf_zero();
        vf_store_n((float *)(void *)(out + j), vf_bits(pair(low, high)), k);
    }
}

#if defined(__AVX512BW__)
/* round(x * inverse) + zero, not yet clamped. */
VF_INLINE vi scaled(vf x, vf slope, vf inverse, vi zero) { return vi_add(vi_round(vf_mul(leaky(x, slope), inverse)), zero); }
#endif

VF_INLINE vi quantise(vf x, vf slope, vf inverse, vf zero, vf max)
{
    return vi_round(vf_min(max, vf_max(vf_zero(), vf_add(vf_round(vf_mul(leaky(x, slope), inverse)), zero))));
}

VF_INLINE vf load(const float *x, const float *less, size_t i) { return less ? vf_sub(vf_load(x + i), vf_load(less + i)) : vf_load(x + i); }
VF_INLINE vf load_n(const float *x, const float *less, size_t i, size_t n)
{
    return less ? vf_sub(vf_load_n(x + i, n), vf_load_n(less + i, n)) : vf_load_n(x + i, n);
}

/* Four rows of a whole vector each, with the largest byte as the limit: saturating packs clamp, and one shuffle puts the bytes of a column
 * together. */
VF_INLINE size_t pack_whole(uint32_t *out, const float *x, const float *less, size_t pitch, size_t n, float slope, float inverse, float zero)
{
    size_t j = 0;
#if defined(__AVX512BW__)
    const vf vs = vf_set(slope), vi_ = vf_set(inverse);
    const vi vz = vi_set((int)zero), bytes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (; j + VF_N <= n; j += VF_N) {
        vi q[4];
#pragma GCC unroll 4
        for (size_t r = 0; r < 4; r++) q[r] = scaled(load(x, less, r * pitch + j), vs, vi_, vz);
        const vi a = _mm512_packs_epi32(q[0], q[1]), b = _mm512_packs_epi32(q[2], q[3]);
        _mm512_storeu_si512(out + j, _mm512_shuffle_epi8(_mm512_packus_epi16(a, b), bytes));
    }
#else
    (void)out, (void)x, (void)less, (void)pitch, (void)n, (void)slope, (void)inverse, (void)zero;
#endif
    return j;
}

/* Words of four bytes, each with the bits of `flip` turned over. Whether there is something to subtract is known to the compiler. */
VF_INLINE void pack_bytes(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero,
                          float x_max, uint32_t flip)
{
    const vf vs = vf_set(slope), vi_ = vf_set(inverse), vz = vf_set(zero), vm_ = vf_set(x_max), turned = vf_bits(vi_set((int)flip));
    for (size_t j = rows == 4 && x_max == 255 && !flip ? pack_whole(out, x, less, pitch, n, slope, inverse, zero) : 0; j < n; j += VF_N) {
        const size_t k = n - j < VF_N ? n - j : VF_N;
        vi q[4];
        for (size_t r = 0; r < 4; r++) q[r] = r < rows ? quantise(load_n(x, less, r * pitch + j, k), vs, vi_, vz, vm_) : vi_round(vz);
        const vi w = vi_add(vi_add(q[0], vi_shl(q[1], 8)), vi_add(vi_shl(q[2], 16), vi_shl(q[3], 24)));
        vf_store_n((float *)(void *)(out + j), vf_xor(vf_bits(w), turned), k);
    }
}

void VARIANT(koe_i8_pack)(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero, float x_max)
{
    if (less) pack_bytes(out, x, less, pitch, rows, n, slope, inverse, zero, x_max, 0);
    else pack_bytes(out, x, NULL, pitch, rows, n, slope, inverse, zero, x_max, 0);
}

#if defined(__aarch64__)
/* x - 128 of every byte: the form that sdot takes. */
void VARIANT(koe_i8_pack_signed)(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero,
                                 float x_max)
{
    if (less) pack_bytes(out, x, less, pitch, rows, n, slope, inverse, zero, x_max, 0x80808080u);
    else pack_bytes(out, x, NULL, pitch, rows, n, slope, inverse, zero, x_max, 0x80808080u);
}
#endif

VF_INLINE void range(const float *x, const float *less, size_t n, float *low, float *high)
{
    vf lo = vf_set(*low), hi = vf_set(*high);
    size_t i = 0;
    for (; i + VF_N <= n; i += VF_N) {
        const vf v = load(x, less, i);
        lo = vf_min(v, lo);
        hi = vf_max(v, hi);
    }
    if (i < n) { /* zeros behind: always in range */
        const vf v = load_n(x, less, i, n - i);
        lo = vf_min(v, lo);
        hi = vf_max(v, hi);
    }
    *low = -vf_largest(vf_sub(vf_zero(), lo));
    *high = vf_largest(hi);
}

void VARIANT(koe_f32_range)(const float *x, const float *less, size_t n, float *low, float *high)
{
    if (less) range(x, less, n, low, high);
    else range(x, NULL, n, low, high);
}
