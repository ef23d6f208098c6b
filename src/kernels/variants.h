/* variants.h - the functions of each instruction set, by name; for dispatch.c and the files that define them. */
#ifndef KOE_KERNELS_VARIANTS_H
#define KOE_KERNELS_VARIANTS_H
#include "kernels/kernels.h"

#define KOE_KERNEL_VARIANT(isa)                                                                                        \
    koe_f32_map_fn koe_f32_exp_##isa, koe_f32_tanh_##isa, koe_f32_sigmoid_##isa, koe_f32_sin_##isa, koe_f32_cos_##isa, \
        koe_f32_erf_##isa, koe_f32_log_##isa, koe_f32_gelu_##isa, koe_f32_gelu_tanh_##isa, koe_f32_silu_##isa,             \
        koe_f32_mish_##isa;                                                                                            \
    koe_f32_gate_fn koe_f32_gate_##isa;                                                                                \
    koe_f32_step_fn koe_f32_step_##isa;                                                                          \
    koe_f32_tile_fn koe_f32_tile_##isa;                                                                                \
    koe_f32_tile_panel_fn koe_f32_tile_panel_##isa;                                                                    \
    koe_f32_widen_panel_fn koe_f32_widen_bytes_##isa, koe_f32_widen_nibbles_##isa;                                     \
    koe_f32_finish_fn koe_f32_finish_##isa;                                                                            \
    void koe_f32_split_##isa(float *to, size_t pitch, const float *from, size_t n, size_t m);                          \
    void koe_f32_join_##isa(float *to, const float *from, size_t pitch, size_t n, size_t m);                           \
    void koe_f32_join_pairs_##isa(float *to, size_t ld_to, const float *p0, const float *p1, const float *p2, size_t pitch, size_t m, size_t n, \
                                  size_t d);                                                                           \
    void koe_f32_mean_var_##isa(const float *x, size_t n, float *mean, float *var);                                    \
    void koe_f32_affine_leaky_##isa(float *y, const float *x, size_t n, float a, float b, float slope);               \
    void koe_f32_affine_snake_##isa(float *y, const float *x, size_t n, float a, float b, float alpha, float r);      \
    void koe_f32_softmax_##isa(float *y, const float *x, size_t n);                                                    \
    void koe_f32_lstm_cell_##isa(float *gates, const float *peep, float *h, float *c, size_t hidden);                  \
    void koe_f16_widen_##isa(float *y, const uint16_t *x, size_t n);                                                   \
    void koe_f16_narrow_##isa(uint16_t *y, const float *x, size_t n);                                                  \
    void koe_bf16_widen_##isa(float *y, const uint16_t *x, size_t n);                                                  \
    void koe_bf16_narrow_##isa(uint16_t *y, const float *x, size_t n)

KOE_KERNEL_VARIANT(ref);
KOE_KERNEL_VARIANT(avx2);
KOE_KERNEL_VARIANT(avx512);
KOE_KERNEL_VARIANT(neon);
#endif
