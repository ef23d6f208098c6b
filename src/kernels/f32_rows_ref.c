/* f32_rows_ref.c - the definition of the kernels on rows: statistics, affine, softmax, the LSTM cell. */
#include <math.h>

#include "kernels/variants.h"

void koe_f32_mean_var_ref(const float *x, size_t n, float *mean, float *var)
{
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    double m = n ? sum / (double)n : 0;
    for (size_t i = 0; i < n; i++) square += ((double)x[i] - m) * ((double)x[i] - m);
    *mean = (float)m;
    *var = n ? (float)(square / (double)n) : 0;
}

void koe_f32_affine_leaky_ref(float *y, const float *x, size_t n, float a, float b, float slope)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * a + b;
        y[i] = v < 0 ? v * slope : v;
    }
}

void koe_f32_affine_snake_ref(float *y, const float *x, size_t n, float a, float b, float alpha, float r)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * a + b, s = sinf(alpha * v);
        y[i] = v + r * (s * s);
    }
}

void koe_f32_softmax_ref(float *y, const float *x, size_t n)
{
    float max = -INFINITY;
    double sum = 0;
    for (size_t i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++) sum += (double)(y[i] = expf(x[i] - max));
    for (size_t i = 0; i < n; i++) y[i] = (float)((double)y[i] / sum);
}

void koe_f32_lstm_cell_ref(float *gates, const float *peep, float *h, float *c, size_t hidden)
{
    float *gi = gates, *go = gates + hidden, *gf = gates + 2 * hidden, *gc = gates + 3 * hidden;
    if (peep)
        for (size_t j = 0; j < hidden; j++) {
            gi[j] += peep[j] * c[j];
            gf[j] += peep[2 * hidden + j] * c[j];
        }
    koe_f32_sigmoid_ref(gi, gi, hidden);
    koe_f32_sigmoid_ref(gf, gf, hidden);
    koe_f32_tanh_ref(gc, gc, hidden);
    for (size_t j = 0; j < hidden; j++) c[j] = gf[j] * c[j] + gi[j] * gc[j];
    if (peep)
        for (size_t j = 0; j < hidden; j++) go[j] += peep[hidden + j] * c[j];
    koe_f32_sigmoid_ref(go, go, hidden);
    koe_f32_tanh_ref(h, c, hidden);
    for (size_t j = 0; j < hidden; j++) h[j] *= go[j];
}
