/* i8_conv.h - convolutions of 8-bit integers, exact in int32 (modulo 2^32). For operators whose results are integers; lp_conv.h
 * is the one that rounds floats. As in i8_gemm.h, inputs are unsigned and weights signed inside, and zero points are the caller's
 * affair.
 *     x        words of 4 channels (one byte each, first channel lowest), rows of words: one row for each 4 channels
 *     weights  [block of 8 outputs][row of x][tap][8] words of the same 4 channels
 *     c[i][j] += sum over row, tap of weights[row][tap][i] . x[row * ldx + off[tap] + j]
 * A tap is an offset into the rows: strides, dilations and more dimensions are a matter of how x was laid out. */
#ifndef KOE_KERNELS_I8_CONV_H
#define KOE_KERNELS_I8_CONV_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KOE_I8_CONV_ROWS = 8 /* outputs of a block */, KOE_I8_CONV_SLACK = 16 /* words behind x that may be read */ };

/* i < m, j < n; m outputs from the first of a block on. Nothing of c past m and n is touched. c overlaps nothing. One thread. */
typedef void koe_i8_conv_fn(int32_t *c, size_t ldc, const uint32_t *weights, const uint32_t *x, size_t ldx, const size_t *off,
                            size_t rows, size_t taps, size_t m, size_t n);
koe_i8_conv_fn koe_i8_conv, koe_i8_conv_ref;
#if defined(__x86_64__)
koe_i8_conv_fn koe_i8_conv_avx2, koe_i8_conv_avxvnni, koe_i8_conv_vnni;
#elif defined(__aarch64__)
koe_i8_conv_fn koe_i8_conv_dotprod, koe_i8_conv_i8mm;
#endif

/* Words of the weights of n_out outputs over n_in channels, 0 when they overflow. */
size_t koe_i8_conv_words(size_t n_out, size_t n_in, size_t taps);
/* Packs w[n_out][n_in][taps]; sum[o]: all weights of an output, in signed form. */
void koe_i8_conv_pack(uint32_t *words, int32_t *sum, const void *w, bool is_signed, size_t n_out, size_t n_in, size_t taps);
#endif
