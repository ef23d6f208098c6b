/* stats.h - sums, means and variances of a dense run, for Softmax and the normalisations.
 * Floats are added in 16 lanes over short blocks, blocks in double: as accurate as a double sum for what follows, and vectorised.
 * The order depends on n alone. */
#ifndef KOE_OPS_STATS_H
#define KOE_OPS_STATS_H
#include <stddef.h>

/* NaN in x may or may not show in the maximum; n >= 1. */
float koe_max_f32(const float *x, size_t n);
double koe_max_f64(const double *x, size_t n);
double koe_sum_f32(const float *x, size_t n);
double koe_sum_f64(const double *x, size_t n);
/* sum of (x[i] - mean)^2 */
double koe_spread_f32(const float *x, size_t n, double mean);
double koe_spread_f64(const double *x, size_t n, double mean);
#endif
