#include "ops/stats.h"

enum { LANES = 16, BLOCK = 512 };

/* The body of a sum over x[0..n) of `expr`, in terms of the element a. */
#define BLOCKED_SUM(T, expr)                                                                                                     \
    double sum = 0;                                                                                                              \
    while (n > 0) {                                                                                                              \
        size_t m = n < BLOCK ? n : BLOCK, i = 0;                                                                                 \
        T lane[LANES] = { 0 };                                                                                                   \
        for (; i + LANES <= m; i += LANES)                                                                                       \
            for (size_t j = 0; j < LANES; j++) {                                                                                 \
                const T a = x[i + j];                                                                                            \
                lane[j] += (expr);                                                                                               \
            }                                                                                                                    \
        for (size_t j = 0; i < m; i++, j++) {                                                                                    \
            const T a = x[i];                                                                                                    \
            lane[j] += (expr);                                                                                                   \
        }                                                                                                                        \
        for (size_t half = LANES / 2; half > 0; half /= 2)                                                                       \
            for (size_t j = 0; j < half; j++) lane[j] += lane[j + half];                                                         \
        sum += (double)lane[0];                                                                                                  \
        x += m, n -= m;                                                                                                          \
    }                                                                                                                            \
    return sum;

#define STATS(s, T)                                                                                                              \
    T koe_max_##s(const T *x, size_t n)                                                                                          \
    {                                                                                                                            \
        T lane[LANES], max;                                                                                                      \
        size_t i = 0;                                                                                                            \
        for (size_t j = 0; j < LANES; j++) lane[j] = x[0];                                                                       \
        for (; i + LANES <= n; i += LANES)                                                                                       \
            for (size_t j = 0; j < LANES; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];                                \
        max = lane[0];                                                                                                           \
        for (size_t j = 1; j < LANES; j++) max = lane[j] > max ? lane[j] : max;                                                  \
        for (; i < n; i++) max = x[i] > max ? x[i] : max;                                                                        \
        return max;                                                                                                              \
    }                                                                                                                            \
    double koe_sum_##s(const T *x, size_t n) { BLOCKED_SUM(T, a) }                                                               \
    double koe_spread_##s(const T *x, size_t n, double mean)                                                                     \
    {                                                                                                                            \
        const T center = (T)mean;                                                                                                \
        BLOCKED_SUM(T, (a - center) * (a - center))                                                                              \
    }
STATS(f32, float)
STATS(f64, double)
