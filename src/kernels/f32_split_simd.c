/* f32_split_simd.c - m interleaved signals apart and together again. */
#include "kernels/simd.h"
#include "kernels/variants.h"

/* Columns from..n one by one, with m known to the compiler. */
VF_INLINE void split_rest(float *to, size_t pitch, const float *from, size_t c, size_t n, const size_t m)
{
    for (; c < n; c++)
        for (size_t q = 0; q < m; q++) to[q * pitch + c] = from[c * m + q];
}

VF_INLINE void join_rest(float *to, const float *from, size_t pitch, size_t c, size_t n, const size_t m)
{
    for (; c < n; c++)
        for (size_t q = 0; q < m; q++) to[c * m + q] = from[q * pitch + c];
}

#if defined(__AVX512F__)

/* Sixteen columns at a time: their 16 * m elements are m vectors, two of which a permutation can read. Element e of them is in pair e / 32, and
 * the permutation takes e mod 32 as it is. */
VF_INLINE size_t split_blocks(float *to, size_t pitch, const float *from, size_t n, const size_t m)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (size_t q = 0; q < m; q++) {
        const __m512i e = _mm512_add_epi32(_mm512_mullo_epi32(lane, _mm512_set1_epi32((int)m)), _mm512_set1_epi32((int)q));
        const __m512i pair = _mm512_srli_epi32(e, 5);
        for (size_t c = 0; c + 16 <= n; c += 16) {
            const float *x = from + c * m;
            __m512 r = _mm512_setzero_ps();
#pragma GCC unroll 4
            for (size_t p = 0; 2 * p < m; p++) {
                const __m512 a = _mm512_loadu_ps(x + 32 * p), b = 2 * p + 1 < m ? _mm512_loadu_ps(x + 32 * p + 16) : a;
                r = _mm512_mask_blend_ps(_mm512_cmpeq_epi32_mask(pair, _mm512_set1_epi32((int)p)), r, _mm512_permutex2var_ps(a, e, b));
            }
            _mm512_storeu_ps(to + q * pitch + c, r);
        }
    }
    return n / 16 * 16;
}

/* The reverse: element e of a block is row e % m, column e / m; rows are read in pairs. */
VF_INLINE size_t join_blocks(float *to, const float *from, size_t pitch, size_t n, const size_t m)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (size_t v = 0; v < m; v++) {
        const __m512i e = _mm512_add_epi32(lane, _mm512_set1_epi32((int)(16 * v)));
        /* e / m by multiplication: exact for e < 16 * m. */
        const __m512i column = _mm512_srli_epi32(_mm512_mullo_epi32(e, _mm512_set1_epi32((int)(65536 / m + 1))), 16);
        const __m512i row = _mm512_sub_epi32(e, _mm512_mullo_epi32(column, _mm512_set1_epi32((int)m)));
        const __m512i at = _mm512_add_epi32(column, _mm512_slli_epi32(_mm512_and_si512(row, _mm512_set1_epi32(1)), 4));
        const __m512i pair = _mm512_srli_epi32(row, 1);
        for (size_t c = 0; c + 16 <= n; c += 16) {
            const float *x = from + c;
            __m512 r = _mm512_setzero_ps();
#pragma GCC unroll 4
            for (size_t p = 0; 2 * p < m; p++) {
                const __m512 a = _mm512_loadu_ps(x + 2 * p * pitch), b = 2 * p + 1 < m ? _mm512_loadu_ps(x + (2 * p + 1) * pitch) : a;
                r = _mm512_mask_blend_ps(_mm512_cmpeq_epi32_mask(pair, _mm512_set1_epi32((int)p)), r, _mm512_permutex2var_ps(a, at, b));
            }
            _mm512_storeu_ps(to + c * m + 16 * v, r);
        }
    }
    return n / 16 * 16;
}

/* Eight rows, as the tiles of a product want them: pairs, fours, then the quarters of four vectors across. */
VF_INLINE size_t join_eight(float *to, const float *from, size_t pitch, size_t n)
{
    for (size_t c = 0; c + 16 <= n; c += 16) {
        __m512 two[8], four[8]; /* four[4 * half + k]: in quarter l, rows 4 * half .. + 3 of column 4 * l + k */
#pragma GCC unroll 4
        for (size_t q = 0; q < 4; q++) {
            const __m512 a = _mm512_loadu_ps(from + 2 * q * pitch + c), b = _mm512_loadu_ps(from + (2 * q + 1) * pitch + c);
            two[2 * q] = _mm512_unpacklo_ps(a, b);
            two[2 * q + 1] = _mm512_unpackhi_ps(a, b);
        }
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++) {
            const __m512d a = _mm512_castps_pd(two[k / 2 * 4 + k % 2]), b = _mm512_castps_pd(two[k / 2 * 4 + k % 2 + 2]);
            four[k / 2 * 4 + k % 2 * 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            four[k / 2 * 4 + k % 2 * 2 + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
#pragma GCC unroll 2
        for (size_t k = 0; k < 4; k += 2) {
            const __m512 a = _mm512_shuffle_f32x4(four[k], four[k + 4], 0x44), b = _mm512_shuffle_f32x4(four[k + 1], four[k + 5], 0x44);
            const __m512 d = _mm512_shuffle_f32x4(four[k], four[k + 4], 0xee), e = _mm512_shuffle_f32x4(four[k + 1], four[k + 5], 0xee);
            float *y = to + (c + k) * 8;
            _mm512_storeu_ps(y, _mm512_shuffle_f32x4(a, b, 0x88));
            _mm512_storeu_ps(y + 32, _mm512_shuffle_f32x4(a, b, 0xdd));
            _mm512_storeu_ps(y + 64, _mm512_shuffle_f32x4(d, e, 0x88));
            _mm512_storeu_ps(y + 96, _mm512_shuffle_f32x4(d, e, 0xdd));
        }
    }
    return n / 16 * 16;
}

#else

VF_INLINE size_t split_blocks(float *to, size_t pitch, const float *from, size_t n, const size_t m)
{
    split_rest(to, pitch, from, 0, n, m);
    return n;
}

#if defined(__AVX2__)
/* Eight columns of four rows, as the tiles of a product want them: pairs, fours, then the halves of two vectors across. */
VF_INLINE size_t join_blocks(float *to, const float *from, size_t pitch, size_t n, const size_t m)
{
    size_t c = 0;
    for (; m == 4 && c + 8 <= n; c += 8) {
        const __m256 r0 = _mm256_loadu_ps(from + c), r1 = _mm256_loadu_ps(from + pitch + c);
        const __m256 r2 = _mm256_loadu_ps(from + 2 * pitch + c), r3 = _mm256_loadu_ps(from + 3 * pitch + c);
        const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1)), b = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
        const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1)), e = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
        const __m256 k0 = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), k1 = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        const __m256 k2 = _mm256_castpd_ps(_mm256_unpacklo_pd(d, e)), k3 = _mm256_castpd_ps(_mm256_unpackhi_pd(d, e));
        _mm256_storeu_ps(to + c * 4, _mm256_permute2f128_ps(k0, k1, 0x20));
        _mm256_storeu_ps(to + c * 4 + 8, _mm256_permute2f128_ps(k2, k3, 0x20));
        _mm256_storeu_ps(to + c * 4 + 16, _mm256_permute2f128_ps(k0, k1, 0x31));
        _mm256_storeu_ps(to + c * 4 + 24, _mm256_permute2f128_ps(k2, k3, 0x31));
    }
    join_rest(to, from, pitch, c, n, m);
    return n;
}
#else
VF_INLINE size_t join_blocks(float *to, const float *from, size_t pitch, size_t n, const size_t m)
{
    join_rest(to, from, pitch, 0, n, m);
    return n;
}
#endif

VF_INLINE size_t join_eight(float *to, const float *from, size_t pitch, size_t n) { return join_blocks(to, from, pitch, n, 8); }

#endif

#define SPLIT(m_) split_rest(to, pitch, from, split_blocks(to, pitch, from, n, m_), n, m_)
#define JOIN(m_) join_rest(to, from, pitch, join_blocks(to, from, pitch, n, m_), n, m_)

void VARIANT(koe_f32_split)(float *to, size_t pitch, const float *from, size_t n, size_t m)
{
    switch (m) {
    case 2: SPLIT(2); break;
    case 4: SPLIT(4); break;
    case 5: SPLIT(5); break;
    case 6: SPLIT(6); break;
    default: split_rest(to, pitch, from, 0, n, m);
    }
}

void VARIANT(koe_f32_join)(float *to, const float *from, size_t pitch, size_t n, size_t m)
{
    switch (m) {
    case 2: JOIN(2); break;
    case 3: JOIN(3); break;
    case 4: JOIN(4); break;
    case 5: JOIN(5); break;
    case 6: JOIN(6); break;
    case 7: JOIN(7); break;
    case 8: join_rest(to, from, pitch, join_eight(to, from, pitch, n), n, 8); break;
    default: join_rest(to, from, pitch, 0, n, m);
    }
}

#if defined(__AVX512F__)

/* Sixteen outputs come from at most sixteen columns, from the first one's on, as d <= 16. */
void VARIANT(koe_f32_join_pairs)(float *to, size_t ld_to, const float *p0, const float *p1, const float *p2, size_t pitch, size_t m, size_t n, size_t d)
{
    for (size_t o = 0; o < 2 * n; o += 16) {
        const size_t block = o / (2 * d), rest = o % (2 * d), first = block * d + (rest < d ? 0 : rest - d);
        int32_t at[16];
        for (size_t k = 0, b = block, r = rest; k < 16; k++) {
            at[k] = (int32_t)(r < d ? b * d + r - first : b * d + r - d - first + 16);
            if (++r == 2 * d) r = 0, b++;
        }
        const __m512i lanes = _mm512_loadu_si512(at);
        for (size_t i = 0; i < m; i++) {
            const float *x = p1 + i * pitch + first;
            const __m512 a = _mm512_loadu_ps(p0 + i * pitch + first), b = _mm512_loadu_ps(x), c = _mm512_loadu_ps(p2 + i * pitch + first);
            const __m512 y = _mm512_permutex2var_ps(_mm512_add_ps(a, b), lanes, _mm512_sub_ps(b, c));
            if (2 * n - o >= 16) _mm512_storeu_ps(to + i * ld_to + o, y);
            else vf_store_n(to + i * ld_to + o, y, 2 * n - o);
        }
    }
}

#else

void VARIANT(koe_f32_join_pairs)(float *to, size_t ld_to, const float *p0, const float *p1, const float *p2, size_t pitch, size_t m, size_t n, size_t d)
{
    for (size_t i = 0; i < m; i++, p0 += pitch, p1 += pitch, p2 += pitch)
        for (size_t c = 0; c < n; c += d) {
            float *y = to + i * ld_to + 2 * c;
            for (size_t k = 0; k < d; k++) y[k] = p0[c + k] + p1[c + k], y[d + k] = p1[c + k] - p2[c + k];
        }
}

#endif
