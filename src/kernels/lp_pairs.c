/* lp_pairs.c - an 8-bit convolution with three products in place of four: outputs are made in pairs (the fast filter of two parallel
 * outputs; Toom and Cook with the points 0, 1 and infinity). Taps and inputs are taken apart into even and odd ones, H0, H1 and X0, X1:
 *     Y0 = H0 X0 + H1 X1  = H0 (X0 - X1) + (H0 + H1) X1
 *     Y1 = H0 X1 + H1 X0' = (H0 + H1) X1 - H1 (X1 - X0')          X0': X0 one place on
 * Each of the three filters and inputs is rounded to 8 bits by a range of its own and goes through the tile kernel; sums and differences of
 * inputs and of results are float32. A rounding error of an input or a weight now counts in two outputs: the error is 3 dB larger, whence only
 * layers take this form whose error matters little (graph/pass_pairs.c). With dilation d, column c stands for the pair of outputs
 * c / d * 2d + c % d and d later, and a place is d columns.
 *
 *     taps            5      7      9      11
 *     products        8/10   11/14  14/18  17/22     of those of the definition */
#include <math.h>

#include "kernels/lp_conv.h"
#include "kernels/conv_internal.h"

enum {
    COLUMNS = 144, /* pairs of a task: whole tiles of 3 vectors */
    TAPS_MIN = 5,
    TAPS_MAX = 24,
    DILATION_MAX = 16, /* of join_pairs() */
    ROWS_MIN = 32,
    ROWS_MAX = 512, /* the piece of x must stay in cache */
    PARTS = KOE_LP_PAIR_PARTS,
    MR_MAX = 16,
};

bool koe_lp_pairs_suit(const koe_lp_set *set, size_t co, size_t rows, size_t taps, size_t stride, size_t dilation)
{
    if (set->kind != KOE_LP_INT8 || set->x_max != UINT8_MAX || stride != 1 || taps < TAPS_MIN || taps > TAPS_MAX || dilation > DILATION_MAX) return false;
    if (rows < ROWS_MIN || rows > ROWS_MAX || co < ROWS_MIN) return false;
    /* Products of an output, and what putting pairs together and taking x apart costs, measured in products. Below a seventh the gain is not worth
     * the error. */
    const size_t even = (taps + 1) / 2, direct = rows * taps, pairs = rows * (2 * even + taps / 2) / 2 + 48 + 48 * rows / co;
    return direct > pairs + pairs / 7;
}

static size_t n_taps(size_t taps, size_t part) { return part < 2 ? (taps + 1) / 2 : taps / 2; }

size_t koe_lp_pairs_words(size_t co, size_t rows, size_t taps)
{
    size_t n = 0;
    for (size_t part = 0; part < PARTS; part++) n += (rows + 3) / 4 * co * n_taps(taps, part);
    return n;
}

void koe_lp_pairs_pack(const koe_lp_set *set, uint32_t *words, int32_t *sum, float *scale, const koe_conv_weights *w, size_t co, size_t rows,
                       size_t taps)
{
    for (size_t part = 0; part < PARTS; part++) {
        const size_t n = n_taps(taps, part);
        koe_conv_weights of = *w;
        size_t tap[TAPS_MAX];
        for (size_t t = 0; t < n; t++) tap[t] = 2 * t + (part == 2);
        of.n_pair = part == 1 ? taps : 0;
        koe_lp_conv_pack(set, words, sum + part * co, scale + part * co, &of, co, rows, tap, n);
        words += (rows + 3) / 4 * co * n;
    }
}

/* ---- a task ------------------------------------------------------------------------------------------------------------ */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* Regions of scratch, in floats; sizes are bounded by the limits above. */
typedef struct layout {
    size_t columns, whole; /* pairs of a task, and in whole vectors */
    size_t split, pitch; /* columns of X0 and X1, and the floats of a row of them */
    size_t n_strip, strip; /* strips of nr columns, and the words of a row of one, with those that its last taps read */
    size_t joined; /* floats of a finished row */
    size_t run, words, products, y, end; /* offsets; X0 and X1 of all rows come first */
} layout;

static layout lay_out(const koe_f32_conv *v)
{
    const size_t d = v->dilation;
    layout l = { .columns = v->tile / 2 };
    l.whole = round_up(l.columns, v->set->width);
    l.split = round_up(l.whole + v->taps / 2 * d, d);
    l.pitch = round_up(l.split + KOE_CONV_SLACK, 16);
    l.joined = round_up(v->tile + KOE_CONV_SLACK, 16);
    l.run = v->rows * 2 * l.pitch;
    l.n_strip = (l.whole + v->set->nr - 1) / v->set->nr;
    l.strip = round_up((l.n_strip > 1 ? v->set->nr : l.whole) + (v->taps - 1) / 2 * d, 16);
    l.words = l.run + round_up(2 * l.split + KOE_CONV_SLACK, 16);
    l.products = l.words + PARTS * l.n_strip * ((v->rows + 3) / 4) * l.strip;
    l.y = l.products + PARTS * v->set->mr * l.whole + 16;
    l.end = l.y + v->set->mr * l.joined;
    return l;
}

void koe_lp_pairs_plan(koe_f32_conv *v, size_t n_batch)
{
    const size_t d = v->dilation, most = COLUMNS / d * d, pairs = (v->n_out + 1) / 2;
    v->n_tile = (pairs + most - 1) / most;
    const size_t even = v->n_tile ? (pairs + v->n_tile - 1) / v->n_tile : 0;
    v->tile = 2 * round_up(even, d);
    koe_conv_share(v, n_batch);
    v->scratch = lay_out(v).end;
}

/* The input of part 0, 1, 2 - X0 - X1, X1, X1 - X0' - of row r: the result less *less (NULL: nothing). Rows are 2 * pitch apart. */
static const float *input(const koe_f32_conv *v, const layout *l, const float *scratch, size_t r, size_t part, const float **less)
{
    const float *x0 = scratch + 2 * r * l->pitch, *x1 = x0 + l->pitch;
    *less = part == 0 ? x1 : part == 1 ? NULL : x0 + v->dilation;
    return part == 0 ? x0 : x1;
}

static size_t n_columns(const koe_f32_conv *v, const layout *l, size_t part) { return l->whole + (n_taps(v->taps, part) - 1) * v->dilation; }

/* Packs the piece of x for the three products. */
static void pack_inputs(const koe_lp_set *set, const koe_f32_conv *v, const layout *l, size_t t0, koe_conv_row_fn *row, const void *arg,
                        const koe_f32_prologue *pre, float *scratch, float *scale, float *zero)
{
    const int64_t from = (int64_t)t0 - v->pad;
    const size_t groups = (v->rows + 3) / 4;
    float low[PARTS] = { 0 }, high[PARTS] = { 0 };
    const float *less;
    for (size_t r = 0; r < v->rows; r++) {
        if (r + 1 < v->rows) koe_conv_prefetch(v, row(arg, r + 1), from, 2 * l->split);
        koe_conv_copy_run(v, pre, r / v->rows_per_channel, scratch + l->run, 2 * l->split, row(arg, r), from, 1);
        koe_conv_split(v->set, scratch + 2 * r * l->pitch, l->pitch, scratch + l->run, l->split, 2, v->dilation);
        for (size_t part = 0; part < PARTS; part++) {
            const float *x = input(v, l, scratch, r, part, &less);
            set->range(x, less, n_columns(v, l, part), &low[part], &high[part]);
        }
    }
    uint32_t *to = (uint32_t *)(void *)(scratch + l->words);
    for (size_t part = 0; part < PARTS; part++) {
        const size_t n = n_columns(v, l, part);
        scale[part] = (high[part] - low[part]) / (float)set->x_max;
        const float inverse = scale[part] > 0 ? 1 / scale[part] : 0;
        zero[part] = rintf(-low[part] * inverse);
        for (size_t r = 0; r < v->rows; r += 4, to += l->strip) {
            const size_t m = v->rows - r < 4 ? v->rows - r : 4;
            const float *x = input(v, l, scratch, r, part, &less);
            for (size_t at = 0, s = 0; s < l->n_strip; s++, at += v->set->nr)
                set->pack(to + s * groups * l->strip, x + at, less ? less + at : NULL, 2 * l->pitch, m, n - at < l->strip ? n - at : l->strip, 1, inverse,
                          zero[part], (float)set->x_max);
        }
        to += (l->n_strip - 1) * groups * l->strip;
    }
}

void koe_lp_pairs_task(const koe_lp_set *set, const koe_f32_conv *v, size_t task, float *y, size_t ldy, const uint32_t *words,
                       const int32_t *sum, const float *scale, koe_conv_row_fn *row, const void *arg, const koe_f32_prologue *pre,
                       const koe_f32_epilogue *ep, float *scratch)
{
    const layout l = lay_out(v);
    const size_t t0 = task % v->n_tile * v->tile, co0 = task / v->n_tile * v->co_step, d = v->dilation, groups = (v->rows + 3) / 4;
    const size_t n = v->n_out - t0 < v->tile ? v->n_out - t0 : v->tile;
    const size_t co1 = v->co - co0 < v->co_step ? v->co : co0 + v->co_step;
    const size_t columns = (n + 2 * d - 1) / (2 * d) * d, whole = round_up(columns, v->set->width);
    float x_scale[PARTS], zero[PARTS], *products = scratch + l.products, *joined = scratch + l.y;
    size_t off[TAPS_MAX];
    for (size_t t = 0; t < (v->taps + 1) / 2; t++) off[t] = t * d;
    pack_inputs(set, v, &l, t0, row, arg, pre, scratch, x_scale, zero);
    for (size_t c = co0; c < co1; c += set->mr) {
        const size_t m = v->co - c < set->mr ? v->co - c : set->mr, each = m * whole;
        const uint32_t *w = words, *x = (const uint32_t *)(const void *)(scratch + l.words);
        koe_conv_expect(v, y, ldy, c, t0, m, n, ep);
        for (size_t part = 0; part < PARTS; part++, x += l.n_strip * groups * l.strip) {
            const size_t taps = n_taps(v->taps, part);
            int32_t init[MR_MAX] = { 0 };
            float product[MR_MAX];
            for (size_t i = 0; i < m; i++) {
                init[i] = (set->x_bias - (int32_t)zero[part]) * sum[part * v->co + c + i];
                product[i] = x_scale[part] * scale[part * v->co + c + i];
            }
            for (size_t j = 0; j < whole; j += set->nr)
                set->tile(products + part * each + j, whole, w + c * groups * taps, x + j / v->set->nr * groups * l.strip, l.strip, off, groups, taps, m,
                          whole - j < set->nr ? whole - j : set->nr, init, product);
            w += groups * v->co * taps;
        }
        v->set->join_pairs(joined, l.joined, products, products + each, products + 2 * each, whole, m, columns, d);
        koe_conv_finish(v, y, ldy, joined, l.joined, c, t0, m, n, ep);
    }
}
