/* conv.h - convolution and transposed convolution, float32, without im2col.
 * Along time, the innermost dimension, a convolution is a sum of shifted matrix products:
 *     y[co][t] += w[co][row][tap] * x[row][t * stride + pos[tap] - pad]
 * where a row is one input channel (in more dimensions: one channel at one tap of the outer dimensions). A task copies the piece of
 * x that a tile of outputs reads into scratch, padded with zeros - each element once for all output channels - and runs the tile
 * kernel over it: the taps are shifts of the packed rows. A transposed convolution with stride s is s such convolutions, one for each
 * output phase t mod s, over one packed piece of x.
 * Sums are built outside y: the residual of the epilogue may be y itself.
 * The caller plans once for each call, then runs the tasks in any order, on any threads, each with its own scratch. */
#ifndef KOE_KERNELS_CONV_H
#define KOE_KERNELS_CONV_H
#include "kernels/kernels.h"

/* Weights as the model has them: element (co, outer, inner, tap) is w[co * s_co + outer * s_outer + inner * s_inner + tap * s_tap].
 * Row r of the convolution is (outer, inner) = (r / n_inner, r % n_inner). */
typedef struct koe_conv_weights {
    const float *w;
    const float *step; /* [co] every weight of a channel is a whole multiple of this; NULL: not known */
    size_t s_co, s_outer, s_inner, s_tap;
    size_t n_inner;
    size_t n_pair; /* 8-bit weights only: every tap before the last of this many is its sum with the next; 0: itself */
} koe_conv_weights;

/* How a filter is evaluated with fewer multiplications (f32_toom.c); n == 0: directly. */
enum { KOE_TOOM_MAX = 11 };
typedef struct koe_toom {
    size_t m, r, n; /* outputs, taps and products of one piece */
    float in[KOE_TOOM_MAX * KOE_TOOM_MAX], out[KOE_TOOM_MAX * KOE_TOOM_MAX]; /* packed for the tile kernel */
    double weights[KOE_TOOM_MAX][KOE_TOOM_MAX];
} koe_toom;
/* The way for this shape: taps at 0, dilation, 2 * dilation, ... Packed weights and plan must have been made for the same. */
void koe_f32_conv_choose(koe_toom *t, size_t co, size_t rows, size_t taps, size_t stride, size_t dilation);
/* Floats of the packed weights; at most 4 times their number. */
size_t koe_f32_conv_count(const koe_toom *t, size_t co, size_t rows, size_t n_tap);
/* Packs the taps named in tap[n_tap] (with t->n != 0: all, in order): blocks of koe_kernels()->mr output channels, each [row][tap][channel]. */
void koe_f32_conv_pack(const koe_toom *t, float *out, const koe_conv_weights *w, size_t co, size_t rows, const size_t *tap, size_t n_tap);

/* Element i of an array of float32, or of float16 behind the same pointer. */
static inline float *koe_conv_at(const float *p, size_t i, bool half)
{
    return (float *)(uintptr_t)((const char *)p + i * (half ? sizeof(uint16_t) : sizeof(float)));
}

/* One convolution along time. Fill the first part, then koe_f32_conv_plan(). */
typedef struct koe_f32_conv {
    size_t co, rows, taps; /* output channels (of one group), reduction */
    const koe_toom *toom;
    bool in_pairs; /* lp_pairs.c */
    size_t stride, dilation; /* of x, for one output; of the taps (with toom->n != 0 or in pairs only) */
    int64_t pad; /* input index of output 0 at pos 0, negated */
    const size_t *pos; /* [taps] input offset of each tap */
    size_t n_in, n_out;
    size_t y_step; /* output t is y[t * y_step]; only 1 goes with a residual or a bias of columns */
    /* With phases > 1 the output channels are phases of fewer ones: channel c * phases + p has outputs t * phases + p - cut of y's row c, as
     * far as they are in 0..y_length. Then y_step = phases, and no residual or bias of columns. */
    size_t phases, cut, y_length;
    size_t rows_per_channel; /* of pre: row r is channel r / rows_per_channel */
    bool one_thread; /* runs all tasks: each packs its piece of x, so the fewer the better. Changes no bit of the result */
    bool low; /* lp_conv.c is to compute it */
    float x_scale, x_zero; /* of 8-bit operands: x is worth (byte - zero) * scale; x_scale 0: by the range of each piece */
    bool x_half, y_half, residual_half, addend_half; /* these are float16, and the pointers to float are to such numbers */
    /* planned */
    const koe_kernel_set *set;
    bool gathered; /* every tap has its own packed row; else one row per phase of the stride */
    size_t tile; /* outputs of one task, a multiple of set->nr except at the end */
    size_t pitch; /* floats of a packed row */
    size_t ldb; /* floats of all packed rows of one row of x */
    size_t chunk; /* rows that fit in scratch */
    size_t sums; /* where in scratch unfinished outputs wait when not all rows fit (chunk < rows) */
    size_t scratch; /* floats */
    size_t co_step; /* output channels of one task */
    size_t n_tile, n_co; /* tasks: n_tile * n_co */
    size_t *off; /* [taps], caller's */
} koe_f32_conv;

/* off has room for taps elements. False when sizes overflow. n_batch: how many such convolutions the caller has (groups, outer positions): with
 * many, the output channels are not cut. */
bool koe_f32_conv_plan(koe_f32_conv *v, size_t *off, size_t n_batch);
/* Row r of x, or NULL for a row of zeros. */
typedef const float *koe_conv_row_fn(const void *arg, size_t r);
/* Task 0 .. n_tile * n_co - 1. y has row stride ldy; bias is of the first of the co channels (ep: row pointers likewise). pre and ep may
 * be NULL. */
void koe_f32_conv_task(const koe_f32_conv *v, size_t task, float *y, size_t ldy, const float *packed, koe_conv_row_fn *row,
                       const void *arg, const koe_f32_prologue *pre, const koe_f32_epilogue *ep, float *scratch);
#endif
