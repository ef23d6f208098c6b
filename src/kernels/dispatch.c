/* dispatch.c - the variants, best first, and the functions that pick one. */
#include "kernels/kernels.h"

#include "kernels/variants.h"

#define SET(isa, needs_, width_, mr_, nr_)                                                                                              \
    {                                                                                                                           \
        .name = #isa, .needs = needs_, .width = width_, .mr = mr_, .nr = nr_, .exp = koe_f32_exp_##isa, .tanh = koe_f32_tanh_##isa,              \
        .sigmoid = koe_f32_sigmoid_##isa, .sin = koe_f32_sin_##isa, .cos = koe_f32_cos_##isa, .erf = koe_f32_erf_##isa,         \
        .log = koe_f32_log_##isa, .gelu = koe_f32_gelu_##isa, .gelu_tanh = koe_f32_gelu_tanh_##isa, .silu = koe_f32_silu_##isa,                 \
        .mish = koe_f32_mish_##isa, .gate = koe_f32_gate_##isa, .step = koe_f32_step_##isa, .tile = koe_f32_tile_##isa, .tile_panel = koe_f32_tile_panel_##isa, .finish = koe_f32_finish_##isa,                                   \
        .split = koe_f32_split_##isa, .join = koe_f32_join_##isa, .join_pairs = koe_f32_join_pairs_##isa, .mean_var = koe_f32_mean_var_##isa,   \
        .softmax = koe_f32_softmax_##isa,                                                                                       \
        .affine_leaky = koe_f32_affine_leaky_##isa, .affine_snake = koe_f32_affine_snake_##isa,                                 \
        .widen_bytes = koe_f32_widen_bytes_##isa, .widen_nibbles = koe_f32_widen_nibbles_##isa,                                 \
        .lstm_cell = koe_f32_lstm_cell_##isa, .f16_widen = koe_f16_widen_##isa, .f16_narrow = koe_f16_narrow_##isa,             \
        .bf16_widen = koe_bf16_widen_##isa, .bf16_narrow = koe_bf16_narrow_##isa,                                               \
    }

static const koe_kernel_set table[] = {
#if defined(__x86_64__)
    SET(avx512, KOE_CPU_AVX512, 16, 8, 48),
    SET(avx2, KOE_CPU_AVX2, 8, 4, 24),
#elif defined(__aarch64__)
    SET(neon, KOE_CPU_NEON, 4, 8, 12),
#endif
    SET(ref, 0, 16, 4, 16),
};

const koe_kernel_set *koe_kernel_table(size_t *n)
{
    *n = sizeof table / sizeof *table;
    return table;
}

const koe_kernel_set *koe_kernels(void)
{
    unsigned have = koe_cpu_features();
    const koe_kernel_set *set = table;
    while ((have & set->needs) != set->needs) set++;
    return set;
}

void koe_f32_exp(float *y, const float *x, size_t n) { koe_kernels()->exp(y, x, n); }
void koe_f32_tanh(float *y, const float *x, size_t n) { koe_kernels()->tanh(y, x, n); }
void koe_f32_sigmoid(float *y, const float *x, size_t n) { koe_kernels()->sigmoid(y, x, n); }
void koe_f32_sin(float *y, const float *x, size_t n) { koe_kernels()->sin(y, x, n); }
void koe_f32_cos(float *y, const float *x, size_t n) { koe_kernels()->cos(y, x, n); }
void koe_f32_erf(float *y, const float *x, size_t n) { koe_kernels()->erf(y, x, n); }
void koe_f32_log(float *y, const float *x, size_t n) { koe_kernels()->log(y, x, n); }
void koe_f32_gelu(float *y, const float *x, size_t n) { koe_kernels()->gelu(y, x, n); }
void koe_f32_gelu_tanh(float *y, const float *x, size_t n) { koe_kernels()->gelu_tanh(y, x, n); }
void koe_f32_silu(float *y, const float *x, size_t n) { koe_kernels()->silu(y, x, n); }
void koe_f32_mish(float *y, const float *x, size_t n) { koe_kernels()->mish(y, x, n); }
void koe_f32_gate(float *y, const float *a, const float *b, size_t n) { koe_kernels()->gate(y, a, b, n); }
void koe_f32_step(koe_step step, float *y, const float *a, const float *b, const float *c, float k, size_t n)
{
    const koe_kernel_set *set = koe_kernels();
    switch (step) {
#define CASE_MAPPED(name, kernel) case KOE_STEP_##name: set->kernel(y, a, n); break;
        KOE_STEPS_MAPPED(CASE_MAPPED)
    default: set->step(step, y, a, b, c, k, n);
    }
}
void koe_f32_mean_var(const float *x, size_t n, float *mean, float *var) { koe_kernels()->mean_var(x, n, mean, var); }
void koe_f32_affine_leaky(float *y, const float *x, size_t n, float a, float b, float slope)
{
    koe_kernels()->affine_leaky(y, x, n, a, b, slope);
}
void koe_f32_affine_snake(float *y, const float *x, size_t n, float a, float b, float alpha, float r)
{
    koe_kernels()->affine_snake(y, x, n, a, b, alpha, r);
}
void koe_f32_softmax(float *y, const float *x, size_t n) { koe_kernels()->softmax(y, x, n); }
void koe_f16_widen(float *y, const uint16_t *x, size_t n) { koe_kernels()->f16_widen(y, x, n); }
void koe_f16_narrow(uint16_t *y, const float *x, size_t n) { koe_kernels()->f16_narrow(y, x, n); }
void koe_bf16_widen(float *y, const uint16_t *x, size_t n) { koe_kernels()->bf16_widen(y, x, n); }
void koe_bf16_narrow(uint16_t *y, const float *x, size_t n) { koe_kernels()->bf16_narrow(y, x, n); }
