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
    const float *x = w->w + co * w->s_co + row / w->n_inner * w->s_outer + row % w->n_inner * w->s_inner + tap * w->s_tap;
    return tap + 1 < w->n_pair ? x[0] + x[w->s_tap] : x[0];
}

/* One output channel's scale: the weights' own step when they then fit in 8 bits, which keeps them exact, else their largest magnitude
 * over 127. */
static float channel_scale(const koe_conv_weights *w, size_t co, size_t rows, const size_t *tap, size_t n_tap)
{
    float low = 0, high = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < n_tap; t++) {
            const float x = weight(w, co, r, tap[t]);
            low = fminf(low, x);
            high = fmaxf(high, x);
        }
    return w->step && high <= INT8_MAX * w->step[co] && low >= INT8_MIN * w->step[co] ? w->step[co] : fmaxf(high, -low) / 127;
}

static int8_t quantise(float x, float scale)
{
    const float q = scale > 0 ? rintf(x / scale) : 0;
    return (int8_t)(q > INT8_MAX ? INT8_MAX : q < INT8_MIN ? INT8_MIN : q);
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
    if (v->in_pairs) return v->set->nr % set->nr == 0 && v->set->mr % set->mr == 0;
    /* In floats: all rows of x for int8, whose range must be known before the first is packed, else one group; then the words. */
    const size_t held = set->kind == KOE_LP_INT8 ? v->rows : group;
    size_t wide, words;
    if (__builtin_mul_overflow(held, v->ldb, &wide) || __builtin_mul_overflow(n_words, v->ldb, &words)) return false;
    if (wide > SCRATCH_MAX || words > SCRATCH_MAX || v->set->nr % set->nr || v->set->mr % set->mr) return false;
    v->chunk = wide; /* where the words start */
    v->scratch = wide + words;
    return true;
}

/* The piece of x that a task reads: columns from.. of every row, of which the first `skip` and those behind `skip + count` are padding. */
typedef struct piece {
    const koe_f32_conv *v;
    koe_conv_row_fn *row;
    const void *arg;
    const koe_f32_prologue *pre;
    int64_t from;
    size_t t0, skip, count;
    bool in_place; /* packed from where it is, with no copy; `slope` is LeakyRelu's */
    ptrdiff_t pitch;
    float slope;
} piece;

/* No copy is needed when the rows are float32, evenly spaced, and nothing is done to them but LeakyRelu, which keeps the order of values. */
static bool is_in_place(piece *p)
{
    const koe_f32_conv *v = p->v;
    const koe_f32_prologue *pre = p->pre;
    if (v->gathered || v->stride != 1 || v->x_half || (pre && (pre->kind == KOE_PRE_SNAKE || pre->scale || pre->shift))) return false;
    p->slope = pre && pre->kind == KOE_PRE_LEAKY ? pre->slope : 1;
    const float *first = p->row(p->arg, 0);
    p->pitch = v->rows > 1 && first && p->row(p->arg, 1) ? p->row(p->arg, 1) - first : 0;
    for (size_t r = 0; r < v->rows; r++) {
        const float *x = p->row(p->arg, r);
        if (!x || x - first != (ptrdiff_t)r * p->pitch) return false;
    }
    return p->slope >= 0 && p->pitch >= 0;
}

static void find_padding(piece *p)
{
    const size_t n = p->v->ldb, n_in = p->v->n_in;
    const int64_t begin = p->from < 0 ? -p->from : 0, end = (int64_t)n_in - p->from;
    p->skip = begin < (int64_t)n ? (size_t)begin : n;
    p->count = end <= begin ? 0 : end < (int64_t)n ? (size_t)(end - begin) : n - p->skip;
    if (p->count > n - p->skip) p->count = n - p->skip;
}

static float leaky(float x, float slope) { return x < 0 ? x * slope : x; }

/* Smallest and largest packed value, zero among them; rows that need a copy are copied to scratch. */
static void find_range(const koe_lp_set *set, const piece *p, float *scratch, float *low, float *high)
{
    const koe_f32_conv *v = p->v;
    *low = *high = 0;
    for (size_t r = 0; r < v->rows; r++) {
        if (r + 1 < v->rows) koe_conv_prefetch(v, p->row(p->arg, r + 1), p->from, v->ldb);
        if (p->in_place) {
            if (p->count) set->range(p->row(p->arg, r) + (p->from + (int64_t)p->skip), NULL, p->count, low, high);
            continue;
        }
        koe_conv_copy_row(v, p->pre, r, scratch + r * v->ldb, p->row(p->arg, r), p->t0);
        set->range(scratch + r * v->ldb, NULL, v->ldb, low, high);
    }
    if (p->in_place) *low = leaky(*low, p->slope);
}

/* Packs the whole piece of x; fills scale and zero of int8. */
static const uint32_t *pack_input(const koe_lp_set *set, piece *p, float *scratch, float *scale, float *zero)
{
    const koe_f32_conv *v = p->v;
    const size_t group = koe_lp_group(set->kind), n = v->ldb;
    const float x_max = (float)set->x_max;
    uint32_t *words = (uint32_t *)(void *)(scratch + v->chunk), *to = words;
    float inverse = 1;
    p->from = (int64_t)(p->t0 * v->stride) - v->pad;
    p->in_place = is_in_place(p);
    if (p->in_place) find_padding(p);
    if (set->kind == KOE_LP_INT8) {
        float low, high;
        if (!p->in_place || v->x_scale <= 0) find_range(set, p, scratch, &low, &high); /* which copies, too */
        *scale = v->x_scale > 0 ? v->x_scale : (high - low) / x_max;
        inverse = *scale > 0 ? 1 / *scale : 0;
        *zero = v->x_scale > 0 ? v->x_zero : rintf(-low * inverse);
    }
    for (size_t r = 0; r < v->rows; r += group, to += n) {
        const size_t m = v->rows - r < group ? v->rows - r : group;
        if (p->in_place) {
            const float *x = p->row(p->arg, r);
            set->pack(to, NULL, NULL, 0, 0, p->skip, 1, inverse, *zero, x_max);
            if (p->count) set->pack(to + p->skip, x + (p->from + (int64_t)p->skip), NULL, (size_t)p->pitch, m, p->count, p->slope, inverse, *zero, x_max);
            set->pack(to + p->skip + p->count, NULL, NULL, 0, 0, n - p->skip - p->count, 1, inverse, *zero, x_max);
            continue;
        }
        float *from = scratch + (set->kind == KOE_LP_INT8 ? r * n : 0);
        for (size_t k = 0; k < m && set->kind != KOE_LP_INT8; k++) koe_conv_copy_row(v, p->pre, r + k, from + k * n, p->row(p->arg, r + k), p->t0);
        set->pack(to, from, NULL, n, m, n, 1, inverse, *zero, x_max);
    }
    return words;
}

void koe_lp_conv_task(const koe_lp_set *set, const koe_f32_conv *v, size_t task, float *y, size_t ldy, const uint32_t *words,
                      const int32_t *sum, const float *scale, koe_conv_row_fn *row, const void *arg, const koe_f32_prologue *pre,
                      const koe_f32_epilogue *ep, float *scratch)
{
    if (v->in_pairs) {
        koe_lp_pairs_task(set, v, task, y, ldy, words, sum, scale, row, arg, pre, ep, scratch);
        return;
    }
    const size_t t0 = task % v->n_tile * v->tile, co0 = task / v->n_tile * v->co_step;
    const size_t n = v->n_out - t0 < v->tile ? v->n_out - t0 : v->tile;
    const size_t co1 = v->co - co0 < v->co_step ? v->co : co0 + v->co_step;
    const size_t group = koe_lp_group(set->kind), rows = (v->rows + group - 1) / group;
    float block[KOE_CONV_BLOCK], x_scale = 1, zero = 0;
    piece p = { .v = v, .row = row, .arg = arg, .pre = pre, .t0 = t0 };
    const uint32_t *x = pack_input(set, &p, scratch, &x_scale, &zero);
    for (size_t c = co0; c < co1; c += set->mr) {
        const size_t m = v->co - c < set->mr ? v->co - c : set->mr;
        int32_t init[MR_MAX] = { 0 };
        float product[MR_MAX];
        for (size_t i = 0; set->kind == KOE_LP_INT8 && i < m; i++) {
            init[i] = (set->x_bias - (int32_t)zero) * sum[c + i];
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
