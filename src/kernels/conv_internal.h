/* conv_internal.h - what f32_conv.c, f32_toom.c and lp_conv.c share: the steps of a task that do not depend on how its products are
 * formed. */
#ifndef KOE_KERNELS_CONV_INTERNAL_H
#define KOE_KERNELS_CONV_INTERNAL_H
#include "kernels/conv.h"

/* out[j] = pre(x[from + j * step]) for j < n, zero outside 0..v->n_in and when x is NULL. pre may be NULL. */
void koe_conv_copy_run(const koe_f32_conv *v, const koe_f32_prologue *pre, size_t channel, float *out, size_t n, const float *x,
                       int64_t from, size_t step);
/* The piece of row r of x (NULL: zeros) that outputs t0.. read, with pre applied: v->ldb floats. */
void koe_conv_copy_row(const koe_f32_conv *v, const koe_f32_prologue *pre, size_t r, float *out, const float *x, size_t t0);
/* Asks for x[from .. from + n), as far as it exists: the next row is far from this one, so the processor does not foresee it. */
void koe_conv_prefetch(const koe_f32_conv *v, const float *x, int64_t from, size_t n);
/* Asks for the memory that koe_conv_finish() will write and read: rows lie far apart, so the processor does not foresee them. */
void koe_conv_expect(const koe_f32_conv *v, float *y, size_t ldy, size_t row, size_t t, size_t m, size_t n, const koe_f32_epilogue *ep);
/* Applies ep (NULL: nothing) to the block `from`, the sums of outputs (row, t) on, and puts it into its place in y, which may be where it
 * is already. `from` may be overwritten. */
void koe_conv_finish(const koe_f32_conv *v, float *y, size_t ldy, float *from, size_t ld, size_t row, size_t t, size_t m, size_t n,
                     const koe_f32_epilogue *ep);
enum { KOE_CONV_BLOCK = 16 * 48 }; /* floats of the largest tile of any variant */
/* Sets n_co and co_step from n_tile. */
void koe_conv_share(koe_f32_conv *v, size_t n_batch);

/* lp_pairs.c: the parts of koe_f32_conv_plan() and koe_lp_conv_task() for a convolution with v->in_pairs. */
void koe_lp_pairs_plan(koe_f32_conv *v, size_t n_batch);

enum { KOE_CONV_SLACK = 8 }; /* floats that the next two may read and write too far */
/* split[q][c] = x[position q of column c]: column c stands for inputs c / d * m * d + c % d + q * d, q = 0 .. m - 1. n_columns is a multiple of d. */
void koe_conv_split(const koe_kernel_set *set, float *split, size_t pitch, const float *x, size_t n_columns, size_t m, size_t d);
/* The reverse, for outputs. */
void koe_conv_join(const koe_kernel_set *set, float *y, const float *split, size_t pitch, size_t n_columns, size_t m, size_t d);

/* f32_toom.c: the parts of koe_f32_conv_*() for a convolution with v->toom->n != 0. */
bool koe_toom_choose(koe_toom *t, size_t co, size_t rows, size_t taps, size_t stride, size_t dilation);
size_t koe_toom_count(const koe_toom *t, size_t co, size_t rows, size_t taps);
void koe_toom_pack(const koe_toom *t, float *out, const koe_conv_weights *w, size_t co, size_t rows, size_t taps);
void koe_toom_plan(koe_f32_conv *v, size_t n_batch);
void koe_toom_task(const koe_f32_conv *v, size_t task, float *y, size_t ldy, const float *packed, koe_conv_row_fn *row, const void *arg,
                   const koe_f32_prologue *pre, const koe_f32_epilogue *ep, float *scratch);
#endif
