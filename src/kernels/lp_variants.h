/* lp_variants.h - the low-precision functions of each instruction set, by name. */
#ifndef KOE_KERNELS_LP_VARIANTS_H
#define KOE_KERNELS_LP_VARIANTS_H
#include "kernels/lp_conv.h"

koe_lp_tile_fn koe_bf16_tile_ref, koe_bf16_tile_avx2, koe_bf16_tile_avx512bf16, koe_bf16_tile_neon;
koe_lp_tile_fn koe_i8_tile_ref, koe_i8_tile_avx2, koe_i8_tile_avxvnni, koe_i8_tile_avx512vnni, koe_i8_tile_dotprod, koe_i8_tile_i8mm;

#define KOE_LP_VARIANT(isa)                                                                                                         \
    void koe_bf16_pack_##isa(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero, \
                            float max);                                                                                            \
    void koe_i8_pack_##isa(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero,   \
                          float max);                                                                                              \
    void koe_f32_range_##isa(const float *x, const float *less, size_t n, float *low, float *high)

KOE_LP_VARIANT(ref);
KOE_LP_VARIANT(avx2);
KOE_LP_VARIANT(avx512);
KOE_LP_VARIANT(neon);
void koe_i8_pack_signed_neon(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero,
                             float max);
#endif
