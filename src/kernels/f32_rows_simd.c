/* f32_rows_simd.c - kernels on rows: statistics, affine, softmax, the LSTM cell. */
#include "kernels/f32_math_simd.h"
#include "kernels/variants.h"

enum {
    LANES = 4, /* vectors summed side by side: hides the latency of an addition */
    BLOCK = 4096, /* summed in single precision; across blocks in double, so that rounding does not grow with the length */
};

/* Sum of x - shift, or of its square, over one block. */
VF_INLINE float sum_block(const float *x, size_t n, float shift, bool square)
{
    const vf origin = vf_set(shift);
    vf sum[LANES];
    size_t i = 0;
    for (size_t l = 0; l < LANES; l++) sum[l] = vf_zero();
    for (; i + LANES * VF_N <= n; i += LANES * VF_N)
        for (size_t l = 0; l < LANES; l++) {
            const vf d = vf_sub(vf_load(x + i + l * VF_N), origin);
            sum[l] = square ? vf_fma(d, d, sum[l]) : vf_add(sum[l], d);
        }
    for (size_t l = 0; i < n; i += VF_N, l++) {
        float last[VF_N];
        for (size_t j = 0; j < VF_N; j++) last[j] = i + j < n ? x[i + j] : shift;
        const vf d = vf_sub(vf_load(last), origin);
        sum[l] = square ? vf_fma(d, d, sum[l]) : vf_add(sum[l], d);
    }
    return vf_sum(vf_add(vf_add(sum[0], sum[1]), vf_add(sum[2], sum[3])));
}

/* Block by block, mean first, while the block is in the first-level cache; what the blocks' means differ by is added (Chan, Golub, LeVeque). */
void VARIANT(koe_f32_mean_var)(const float *x, size_t n, float *mean, float *var)
{
    double m = 0, square = 0; /* of the elements so far */
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t block = n - i < BLOCK ? n - i : BLOCK;
        const float own = (float)((double)sum_block(x + i, block, 0, false) / (double)block);
        const double apart = (double)own - m, share = (double)block / (double)(i + block);
        square += (double)sum_block(x + i, block, own, true) + apart * apart * (double)i * share;
        m += apart * share;
    }
    *mean = (float)m;
    *var = n ? (float)(square / (double)n) : 0;
}

VF_INLINE vf leaky(vf x, vf a, vf b, vf slope)
{
    const vf v = vf_fma(x, a, b);
    return vf_select(vf_lt(v, vf_zero()), vf_mul(v, slope), v);
}

void VARIANT(koe_f32_affine_leaky)(float *y, const float *x, size_t n, float a, float b, float slope)
{
    const vf va = vf_set(a), vb = vf_set(b), vs = vf_set(slope);
    size_t i = 0;
    for (; i + VF_N <= n; i += VF_N) vf_store(y + i, leaky(vf_load(x + i), va, vb, vs));
    if (i < n) vf_store_n(y + i, leaky(vf_load_n(x + i, n - i), va, vb, vs), n - i);
}

/* turns: alpha / pi */
VF_INLINE vf snake(vf x, vf a, vf b, vf turns, vf r)
{
    const vf v = vf_fma(x, a, b);
    return vf_fma(r, v_sin_pi_squared(vf_mul(turns, v)), v);
}

void VARIANT(koe_f32_affine_snake)(float *y, const float *x, size_t n, float a, float b, float alpha, float r)
{
    const vf va = vf_set(a), vb = vf_set(b), vturns = vf_set((float)((double)alpha * 0.318309886183790672)), vr = vf_set(r);
    size_t i = 0;
    for (; i + VF_N <= n; i += VF_N) vf_store(y + i, snake(vf_load(x + i), va, vb, vturns, vr));
    if (i < n) vf_store_n(y + i, snake(vf_load_n(x + i, n - i), va, vb, vturns, vr), n - i);
}

void VARIANT(koe_f32_softmax)(float *y, const float *x, size_t n)
{
    vf max = vf_set(-INFINITY), sum = vf_zero();
    size_t i = 0;
    float largest;
    for (; i + VF_N <= n; i += VF_N) max = vf_max(max, vf_load(x + i));
    largest = vf_largest(max);
    for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    const vf top = vf_set(largest);
    for (i = 0; i + VF_N <= n; i += VF_N) {
        const vf e = v_exp(vf_sub(vf_load(x + i), top));
        sum = vf_add(sum, e);
        vf_store(y + i, e);
    }
    if (i < n) {
        float last[VF_N];
        for (size_t j = 0; j < VF_N; j++) last[j] = i + j < n ? x[i + j] - largest : -INFINITY;
        const vf e = v_exp(vf_load(last));
        sum = vf_add(sum, e);
        vf_store_n(y + i, e, n - i);
    }
    const vf scale = vf_set(1.0f / vf_sum(sum));
    for (i = 0; i + VF_N <= n; i += VF_N) vf_store(y + i, vf_mul(vf_load(y + i), scale));
    if (i < n) vf_store_n(y + i, vf_mul(vf_load_n(y + i, n - i), scale), n - i);
}

/* One vector of cells; j is where it starts in each array, n how many are there. */
VF_INLINE void cells(const float *gates, const float *peep, float *h, float *c, size_t hidden, size_t j, size_t n)
{
    const vf was = vf_load_n(c + j, n);
    vf i = vf_load_n(gates + j, n), o = vf_load_n(gates + hidden + j, n), f = vf_load_n(gates + 2 * hidden + j, n);
    if (peep) {
        i = vf_fma(vf_load_n(peep + j, n), was, i);
        f = vf_fma(vf_load_n(peep + 2 * hidden + j, n), was, f);
    }
    const vf now = vf_fma(v_sigmoid(f), was, vf_mul(v_sigmoid(i), v_tanh(vf_load_n(gates + 3 * hidden + j, n))));
    if (peep) o = vf_fma(vf_load_n(peep + hidden + j, n), now, o);
    vf_store_n(c + j, now, n);
    vf_store_n(h + j, vf_mul(v_sigmoid(o), v_tanh(now)), n);
}

void VARIANT(koe_f32_lstm_cell)(float *gates, const float *peep, float *h, float *c, size_t hidden)
{
    for (size_t j = 0; j < hidden; j += VF_N) cells(gates, peep, h, c, hidden, j, hidden - j < VF_N ? hidden - j : VF_N);
}
