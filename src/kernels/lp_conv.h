/* lp_conv.h - the convolution of conv.h with 16- or 8-bit operands. The input is rounded while it is packed, the weights were when
 * they were; sums are float32 or exact int32.
 *     bf16   2 rows to a 32-bit word; float32 accumulation
 *     int8   4 rows to a word; weights signed, one scale for each output channel; inputs unsigned, one scale and zero point for each
 *            task's piece of x, taken from its smallest and largest element
 * A tile then is the float32 tile with another multiply-add, and everything else (plan, prologue, epilogue, phases) is shared. */
#ifndef KOE_KERNELS_LP_CONV_H
#define KOE_KERNELS_LP_CONV_H
#include "kernels/conv.h"

typedef enum koe_lp_kind { KOE_LP_BF16, KOE_LP_INT8 } koe_lp_kind;

/* c[i][j] = scale[i] * (init[i] + sum over row, tap of a[row][tap][i] . b[row * ldb + off[tap] + j]), i < m <= mr, j < n <= nr. A word of
 * a times a word of b is the sum over the rows that they hold. bf16: init and scale are not looked at (0 and 1). */
typedef void koe_lp_tile_fn(float *c, size_t ldc, const uint32_t *a, const uint32_t *b, size_t ldb, const size_t *off, size_t rows,
                            size_t taps, size_t m, size_t n, const int32_t *init, const float *scale);

typedef struct koe_lp_set {
    const char *name;
    koe_lp_kind kind;
    unsigned needs; /* KOE_CPU_* */
    size_t mr, nr;
    int x_max; /* int8: largest packed input, 255, or 127 where pairs of products are summed in 16 bits */
    int x_bias; /* int8: what pack() takes off every input at the end, 0, or 128 where the product wants signed ones */
    koe_lp_tile_fn *tile;
    /* Words of n columns from up to 2 (bf16) or 4 rows of x, pitch apart; the missing rows count as zero points. LeakyRelu comes first (slope 1:
     * none). int8: round(x * inverse) + zero, clamped to 0..x_max, with x - less in place of x where `less` (of the same pitch) is not NULL. */
    void (*pack)(uint32_t *out, const float *x, const float *less, size_t pitch, size_t rows, size_t n, float slope, float inverse, float zero, float x_max);
    void (*range)(const float *x, const float *less, size_t n, float *low, float *high); /* widens low..high to hold x, or x - less */
    bool widens; /* bf16 without instructions for it: saves memory, not time */
} koe_lp_set;

/* Variants, best first; of each kind the last is "ref". */
const koe_lp_set *koe_lp_table(size_t *n);
/* The one in use for a kind: NULL when this processor has nothing faster than float32 for it. With KOE_CPU=ref that is "ref". */
const koe_lp_set *koe_lp_kernels(koe_lp_kind kind);

static inline size_t koe_lp_group(koe_lp_kind kind) { return kind == KOE_LP_INT8 ? 4 : 2; }

/* Packed weights of one convolution: words in blocks of mr channels, each [row][tap][channel]; for int8 init and scale by channel (init
 * for a zero point of 1). words: co * ceil(rows / group) * n_tap. */
void koe_lp_conv_pack(const koe_lp_set *set, uint32_t *words, int32_t *sum, float *scale, const koe_conv_weights *w, size_t co, size_t rows,
                      const size_t *tap, size_t n_tap);
/* 8-bit convolutions whose outputs are made in pairs, with fewer products (lp_pairs.c): when that pays for a shape; words, sums and scales of
 * its weights (3 * co of the latter two), whose taps are all of w's, in order; and the parts of the functions below for v->in_pairs. */
bool koe_lp_pairs_suit(const koe_lp_set *set, size_t co, size_t rows, size_t taps, size_t stride, size_t dilation);
enum { KOE_LP_PAIR_PARTS = 3 };
size_t koe_lp_pairs_words(size_t co, size_t rows, size_t taps);
void koe_lp_pairs_pack(const koe_lp_set *set, uint32_t *words, int32_t *sum, float *scale, const koe_conv_weights *w, size_t co, size_t rows,
                       size_t taps);
/* Call after koe_f32_conv_plan(); changes the plan to this set's tile and scratch. False when the piece of x of a task would be too large:
 * then the float32 convolution must do it. */
bool koe_lp_conv_plan(const koe_lp_set *set, koe_f32_conv *v);
/* As koe_f32_conv_task(). */
typedef void koe_lp_task_fn(const koe_lp_set *set, const koe_f32_conv *v, size_t task, float *y, size_t ldy, const uint32_t *words,
                            const int32_t *sum, const float *scale, koe_conv_row_fn *row, const void *arg, const koe_f32_prologue *pre,
                            const koe_f32_epilogue *ep, float *scratch);
koe_lp_task_fn koe_lp_conv_task, koe_lp_pairs_task;
#endif
