/* Integer convolutions: packing, and the portable kernel. */
#include "kernels/i8_conv.h"

#include <string.h>

enum { ROWS = KOE_I8_CONV_ROWS };

static size_t words_of(size_t channels) { return channels / 4 + (channels % 4 != 0); }

size_t koe_i8_conv_words(size_t n_out, size_t n_in, size_t taps)
{
    size_t n;
    if (n_out > SIZE_MAX - ROWS || __builtin_mul_overflow((n_out + ROWS - 1) / ROWS * ROWS, words_of(n_in), &n) ||
        __builtin_mul_overflow(n, taps, &n) || n > SIZE_MAX / sizeof(uint32_t))
        return 0;
    return n;
}

void koe_i8_conv_pack(uint32_t *words, int32_t *sum, const void *w, bool is_signed, size_t n_out, size_t n_in, size_t taps)
{
    const uint8_t *from = w, flip = is_signed ? 0 : 0x80;
    size_t rows = words_of(n_in);
    memset(words, 0, koe_i8_conv_words(n_out, n_in, taps) * sizeof *words);
    for (size_t o = 0; o < n_out; o++) {
        uint32_t *block = words + o / ROWS * rows * taps * ROWS + o % ROWS;
        int32_t s = 0;
        for (size_t i = 0; i < n_in; i++)
            for (size_t t = 0; t < taps; t++) {
                uint8_t v = (uint8_t)(*from++ ^ flip);
                block[(i / 4 * taps + t) * ROWS] |= (uint32_t)v << (i % 4 * 8);
                s = (int32_t)((uint32_t)s + (uint32_t)(int32_t)(int8_t)v);
            }
        sum[o] = s;
    }
}

static int32_t dot(uint32_t w, uint32_t x)
{
    int32_t s = 0;
    for (int k = 0; k < 32; k += 8) s += (int8_t)(w >> k) * (uint8_t)(x >> k);
    return s;
}

void koe_i8_conv_ref(int32_t *c, size_t ldc, const uint32_t *weights, const uint32_t *x, size_t ldx, const size_t *off,
                     size_t rows, size_t taps, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++) {
        const uint32_t *w = weights + i / ROWS * rows * taps * ROWS + i % ROWS;
        for (size_t r = 0; r < rows; r++)
            for (size_t t = 0; t < taps; t++) {
                const uint32_t *from = x + r * ldx + off[t], v = w[(r * taps + t) * ROWS];
                for (size_t j = 0; j < n; j++) c[i * ldc + j] = (int32_t)((uint32_t)c[i * ldc + j] + (uint32_t)dot(v, from[j]));
            }
    }
}
