/* lp_conv.c - see lp_conv.h. */
#include "kernels/lp_conv.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/conv_internal.h"

enum {
    SCRATCH_MAX = 1024 * 1024, /* floats of a task: beyond it the input no longer fits any cache */
    MR_MAX = 16,
};

static float weight(const koe_conv_weights *w, size_t co, size_t row, size_t tap)
{
    return w->w[co * w->s_co + row / w->n_inner * w->s_outer + row % w->n_inner * w->s_inner + tap * w->s_tap];
}

/* One output channel's scale: the weights' own step when they then fit in 8 bits, which keeps them exact, else their largest magnitude
 * over 127. */
static float channel_scale(const koe_conv_weights *w, size_t co, size_t rows, const size_t *tap, size_t n_tap)
{
    float largest = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < n_tap; t++) largest = fmaxf(largest, fabsf(weight(w, co, r, tap[t])));
    return w->step && largest <= 127 * w->step[co] ? w->step[co] : largest / 127;
}

static int8_t quantise(float x, float scale)
{
    const float q = scale > 0 ? rintf(x / scale) : 0;
    return (int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
}

void koe_lp_conv_pack(const koe_lp_set *set, uint32_t *words, int32_t *sum, float *scale, const koe_conv_weights *w, size_t co, size_t rows,
                      const size_t *tap, size_t n_tap)
{
    const size_t group = koe_lp_group(set->kind);
    const bool int8 = set->kind == KOE_LP_INT8;
    for (size_t c = 0; int8 && c < co; c++) {
        scale[c] = channel_scale(w, c, rows, tap, n_tap);
        sum[c] = 0;
    }
    for (size_t c = 0; c < co; c += set->mr) {
        const size_t m = co - c < set->mr ? co - c : set->mr;
        for (size_t r = 0; r < rows; r += group)
            for (size_t t = 0; t < n_tap; t++)
                for (size_t i = 0; i < m; i++) {
                    uint32_t word = 0;
                    for (size_t k = 0; k < group && r + k < rows; k++) {
                        const float x = weight(w, c + i, r + k, tap[t]);
                        if (int8) {
                            const int8_t q = quantise(x, scale[c + i]);
                            sum[c + i] += q;
                            word |= (uint32_t)(uint8_t)q << (8 * k);
                        } else
                            word |= (uint32_t)koe_f32_to_bf16(x) << (16 * k);
                    }
                    *words++ = word;
                }
    }
}

bool koe_lp_conv_plan(const koe_lp_set *set, koe_f32_conv *v)
{
    const size_t group = koe_lp_group(set->kind), n_words = (v->rows + group - 1) / group;
    /* In floats: all rows of x for int8, whose range must be known before the first is packed, else one group; then the words. */
    const size_t held = set->kind == KOE_LP_INT8 ? v->rows : group;
    size_t wide, words;
    if (__builtin_mul_overflow(held, v->ldb, &wide) || __builtin_mul_overflow(n_words, v->ldb, &words)) return false;
    if (wide > SCRATCH_MAX || words > SCRATCH_MAX || v->set->nr % set->nr || v->set->mr % set->mr) return false;
    v->chunk = wide; /* where the words start */
    v->scratch = wide + words;
    return true;
}

/* Packs the whole piece of x; fills scale and zero of int8. */
static const uint32_t *pack_input(const koe_lp_set *set, const koe_f32_conv *v, size_t t0, koe_conv_row_fn *row, const void *arg,
                                  const koe_f32_prologue *pre, float *scratch, float *scale, float *zero)
{
    const size_t group = koe_lp_group(set->kind);
    uint32_t *words = (uint32_t *)(void *)(scratch + v->chunk), *to = words;
    float inverse = 1;
    if (set->kind == KOE_LP_INT8) {
        float low = 0, high = 0; /* zero, which pads, is always in range */
        for (size_t r = 0; r < v->rows; r++) {
            if (r + 1 < v->rows) koe_conv_prefetch(v, row(arg, r + 1), (int64_t)(t0 * v->stride) - v->pad, v->ldb);
            koe_conv_copy_row(v, pre, r, scratch + r * v->ldb, row(arg, r), t0);
            set->range(scratch + r * v->ldb, v->ldb, &low, &high);
        }
        *scale = (high - low) / (float)set->x_max;
        inverse = *scale > 0 ? 1 / *scale : 0;
        *zero = rintf(-low * inverse);
    }
    for (size_t r = 0; r < v->rows; r += group, to += v->ldb) {
        const size_t n = v->rows - r < group ? v->rows - r : group;
        float *from = scratch;
        if (set->kind == KOE_LP_INT8) from += r * v->ldb;
        else
            for (size_t k = 0; k < n; k++) {
                if (r + k + 1 < v->rows) koe_conv_prefetch(v, row(arg, r + k + 1), (int64_t)(t0 * v->stride) - v->pad, v->ldb);
                koe_conv_copy_row(v, pre, r + k, from + k * v->ldb, row(arg, r + k), t0);
            }
        set->pack(to, from, v->ldb, n, v->ldb, inverse, *zero, (float)set->x_max);
    }
    return words;
}

void koe_lp_conv_task(const koe_lp_set *set, const koe_f32_conv *v, size_t task, float *y, size_t ldy, const uint32_t *words,
                      const int32_t *sum, const float *scale, koe_conv_row_fn *row, const void *arg, const koe_f32_prologue *pre,
                      const koe_f32_epilogue *ep, float *scratch)
{
    const size_t t0 = task % v->n_tile * v->tile, co0 = task / v->n_tile * v->co_step;
    const size_t n = v->n_out - t0 < v->tile ? v->n_out - t0 : v->tile;
    const size_t co1 = v->co - co0 < v->co_step ? v->co : co0 + v->co_step;
    const size_t group = koe_lp_group(set->kind), rows = (v->rows + group - 1) / group;
    float block[KOE_CONV_BLOCK], x_scale = 1, zero = 0;
    const uint32_t *x = pack_input(set, v, t0, row, arg, pre, scratch, &x_scale, &zero);
    for (size_t c = co0; c < co1; c += set->mr) {
        const size_t m = v->co - c < set->mr ? v->co - c : set->mr;
        int32_t init[MR_MAX] = { 0 };
        float product[MR_MAX];
        for (size_t i = 0; set->kind == KOE_LP_INT8 && i < m; i++) {
            init[i] = -(int32_t)zero * sum[c + i];
            product[i] = x_scale * scale[c + i];
        }
        for (size_t j = 0; j < n; j += set->nr) {
            const size_t nc = n - j < set->nr ? n - j : set->nr;
            koe_conv_expect(v, y, ldy, c, t0 + j, m, nc, ep);
            set->tile(block, set->nr, words + c * rows * v->taps, x + j, v->ldb, v->off, rows, v->taps, m, nc, init, product);
            koe_conv_finish(v, y, ldy, block, set->nr, c, t0 + j, m, nc, ep);
        }
    }
}
