/* Integer matrix products: packing, zero points, the portable kernel, and the choice of a faster one. */
#include <string.h>

#include "base/cpu.h"
#include "kernels/i8_gemm.h"

const koe_i8_variant koe_i8_variants[] = {
#if defined(__x86_64__)
    { "vnni", KOE_CPU_AVX512 | KOE_CPU_VNNI, koe_i8_gemm_vnni, koe_i8_conv_vnni, koe_f32_quantise_u8_avx512,
      koe_f32_extremes_avx512 },
    { "avx512", KOE_CPU_AVX512, koe_i8_gemm_avx2, koe_i8_conv_avx2, koe_f32_quantise_u8_avx512, koe_f32_extremes_avx512 },
    { "avxvnni", KOE_CPU_AVX2 | KOE_CPU_AVX_VNNI, koe_i8_gemm_avxvnni, koe_i8_conv_avxvnni, koe_f32_quantise_u8_avx2, koe_f32_extremes_avx2 },
    { "avx2", KOE_CPU_AVX2, koe_i8_gemm_avx2, koe_i8_conv_avx2, koe_f32_quantise_u8_avx2, koe_f32_extremes_avx2 },
#elif defined(__aarch64__)
    { "i8mm", KOE_CPU_NEON | KOE_CPU_I8MM, koe_i8_gemm_i8mm, koe_i8_conv_i8mm, koe_f32_quantise_u8_neon, koe_f32_extremes_neon },
    { "dotprod", KOE_CPU_NEON | KOE_CPU_DOTPROD, koe_i8_gemm_dotprod, koe_i8_conv_dotprod, koe_f32_quantise_u8_neon, koe_f32_extremes_neon },
    { "neon", KOE_CPU_NEON, koe_i8_gemm_ref, koe_i8_conv_ref, koe_f32_quantise_u8_neon, koe_f32_extremes_neon },
#endif
    { "ref", 0, koe_i8_gemm_ref, koe_i8_conv_ref, koe_f32_quantise_u8_ref, koe_f32_extremes_ref },
};
const size_t koe_i8_n_variants = sizeof koe_i8_variants / sizeof *koe_i8_variants;

static const koe_i8_variant *pick(void)
{
    unsigned have = koe_cpu_features();
    size_t i = 0;
    while ((have & koe_i8_variants[i].needs) != koe_i8_variants[i].needs) i++;
    return &koe_i8_variants[i];
}

void koe_f32_quantise_u8(uint8_t *y, const float *x, size_t n, float scale, int32_t zero)
{
    pick()->quantise(y, x, n, scale, zero);
}
void koe_i8_conv(int32_t *c, size_t ldc, const uint32_t *weights, const uint32_t *x, size_t ldx, const size_t *off, size_t rows,
                 size_t taps, size_t m, size_t n)
{
    pick()->conv(c, ldc, weights, x, ldx, off, rows, taps, m, n);
}
void koe_f32_extremes(const float *x, size_t n, float *low, float *high) { pick()->extremes(x, n, low, high); }

static size_t n_groups(size_t k) { return k / KOE_I8_GROUP + (k % KOE_I8_GROUP != 0); }
static size_t n_panels(size_t n) { return n / KOE_I8_PANEL + (n % KOE_I8_PANEL != 0); }

size_t koe_i8_packed_bytes(size_t k, size_t n)
{
    size_t bytes;
    if (__builtin_mul_overflow(n_groups(k), (size_t)KOE_I8_GROUP * KOE_I8_PANEL, &bytes) ||
        __builtin_add_overflow(bytes, KOE_I8_PANEL * sizeof(int32_t), &bytes) ||
        __builtin_mul_overflow(bytes, n_panels(n), &bytes))
        return 0;
    return bytes ? bytes : 1;
}

static size_t panels_bytes(size_t k, size_t n) { return n_panels(n) * n_groups(k) * KOE_I8_GROUP * KOE_I8_PANEL; }

void koe_i8_open(koe_i8_packed *out, const void *memory, bool is_signed, size_t k, size_t n)
{
    const int8_t *panel = memory;
    *out = (koe_i8_packed){ .panel = panel,
                            .sum = (const int32_t *)(const void *)(panel + panels_bytes(k, n)),
                            .k = k,
                            .n = n,
                            .was_unsigned = !is_signed };
}

void koe_i8_pack(koe_i8_packed *out, void *memory, const koe_i8_source *b, size_t k, size_t n)
{
    int8_t *panel = memory;
    size_t panel_bytes = n_groups(k) * KOE_I8_GROUP * KOE_I8_PANEL;
    int32_t *sum = (int32_t *)(void *)(panel + panels_bytes(k, n));
    uint8_t flip = b->is_signed ? 0 : 0x80;
    memset(panel, 0, panels_bytes(k, n));
    for (size_t j0 = 0; j0 < n; j0 += KOE_I8_PANEL, panel += panel_bytes) {
        size_t n_col = n - j0 < KOE_I8_PANEL ? n - j0 : KOE_I8_PANEL;
        int32_t s[KOE_I8_PANEL] = { 0 };
        for (size_t p = 0; p < k; p++) {
            const uint8_t *row = (const uint8_t *)b->data + p * b->row_step + j0 * b->col_step;
            int8_t *to = panel + p / KOE_I8_GROUP * (KOE_I8_GROUP * KOE_I8_PANEL) + p % KOE_I8_GROUP;
            for (size_t j = 0; j < n_col; j++) {
                int32_t v = (int8_t)(row[j * b->col_step] ^ flip);
                to[j * KOE_I8_GROUP] = (int8_t)v;
                s[j] = (int32_t)((uint32_t)s[j] + (uint32_t)v);
            }
        }
        memcpy(sum + j0, s, n_col * sizeof *sum);
    }
    koe_i8_open(out, memory, b->is_signed, k, n);
}

koe_i8_packed koe_i8_columns(const koe_i8_packed *b, size_t from, size_t n)
{
    koe_i8_packed part = *b;
    part.panel += from / KOE_I8_PANEL * n_groups(b->k) * KOE_I8_GROUP * KOE_I8_PANEL;
    part.sum += from;
    part.n = n;
    return part;
}

static uint32_t row_sum(const uint8_t *a, uint8_t flip, size_t k)
{
    uint32_t s = 0;
    for (size_t p = 0; p < k; p++) s += (uint32_t)(a[p] ^ flip);
    return s;
}

/* What the zero points contribute to one row of c. All arithmetic is modulo 2^32. */
static void start_row(int32_t *c, const koe_i8_packed *b, const int32_t *b_zero, uint32_t a_zero, uint32_t a_sum)
{
    uint32_t shift = b->was_unsigned ? 128 : 0, rest = a_sum - (uint32_t)b->k * a_zero;
    for (size_t j = 0; j < b->n; j++) {
        uint32_t bz = (b_zero ? (uint32_t)b_zero[j] : 0) - shift;
        uint32_t v = (uint32_t)0 - a_zero * (uint32_t)b->sum[j] - bz * rest;
        c[j] = (int32_t)v;
    }
}

void koe_i8_gemm(int32_t *c, size_t ldc, const koe_i8_rows *a, const koe_i8_packed *b, const int32_t *b_zero, size_t m)
{
    uint8_t flip = a->is_signed ? 0x80 : 0;
    bool need_sums = b_zero || b->was_unsigned;
    for (size_t i = 0; i < m; i++) {
        uint32_t zero = (uint32_t)(a->row_zero ? a->row_zero[i] : a->zero) + flip;
        uint32_t sum = need_sums ? row_sum((const uint8_t *)a->data + i * a->ld, flip, b->k) : 0;
        start_row(c + i * ldc, b, b_zero, zero, sum);
    }
    pick()->gemm(c, ldc, a->data, a->ld, flip * 0x01010101u, b, m);
}

void koe_i8_gemm_ref(int32_t *c, size_t ldc, const uint8_t *a, size_t lda, uint32_t flip, const koe_i8_packed *b, size_t m)
{
    size_t panel_bytes = n_groups(b->k) * KOE_I8_GROUP * KOE_I8_PANEL;
    for (size_t i = 0; i < m; i++)
        for (size_t j0 = 0; j0 < b->n; j0 += KOE_I8_PANEL) {
            const int8_t *panel = b->panel + j0 / KOE_I8_PANEL * panel_bytes;
            uint32_t sum[KOE_I8_PANEL] = { 0 };
            for (size_t p = 0; p < b->k; p++) {
                int32_t v = a[i * lda + p] ^ (uint8_t)flip;
                const int8_t *row = panel + p / KOE_I8_GROUP * (KOE_I8_GROUP * KOE_I8_PANEL) + p % KOE_I8_GROUP;
                for (size_t j = 0; j < KOE_I8_PANEL; j++) sum[j] += (uint32_t)(v * row[j * KOE_I8_GROUP]);
            }
            for (size_t j = 0; j < KOE_I8_PANEL && j0 + j < b->n; j++)
                c[i * ldc + j0 + j] = (int32_t)((uint32_t)c[i * ldc + j0 + j] + sum[j]);
        }
}
