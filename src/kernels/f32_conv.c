/* f32_conv.c - see conv.h. A task is one tile of outputs in time for a range of output channels. */
#include <string.h>

#include "base/half.h"
#include "kernels/conv_internal.h"

enum {
    SCRATCH = 64 * 1024, /* floats of x packed at once: a quarter of a 1 MiB second-level cache */
    TILE = 240, /* outputs in time: long enough to pay for the copy, short enough to leave tasks for many threads */
    TASKS = 16, /* with fewer tasks than this, output channels are shared out too, unless there is one thread only */
    CO_MIN = 64, /* but not below this, as each task copies its piece of x */
};

void koe_f32_conv_choose(koe_toom *t, size_t co, size_t rows, size_t taps, size_t stride, size_t dilation)
{
    if (!koe_toom_choose(t, co, rows, taps, stride, dilation)) t->n = 0;
}

size_t koe_f32_conv_count(const koe_toom *t, size_t co, size_t rows, size_t n_tap)
{
    return t->n ? koe_toom_count(t, co, rows, n_tap) : co * rows * n_tap;
}

void koe_f32_conv_pack(const koe_toom *t, float *out, const koe_conv_weights *w, size_t co, size_t rows, const size_t *tap, size_t n_tap)
{
    if (t->n) {
        koe_toom_pack(t, out, w, co, rows, n_tap);
        return;
    }
    const size_t mr = koe_kernels()->mr;
    for (size_t c = 0; c < co; c += mr) {
        const size_t m = co - c < mr ? co - c : mr;
        for (size_t r = 0; r < rows; r++) {
            const float *row = w->w + c * w->s_co + r / w->n_inner * w->s_outer + r % w->n_inner * w->s_inner;
            for (size_t k = 0; k < n_tap; k++)
                for (size_t i = 0; i < m; i++) *out++ = row[i * w->s_co + tap[k] * w->s_tap];
        }
    }
}

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void koe_conv_share(koe_f32_conv *v, size_t n_batch)
{
    const bool in_parts = v->chunk && v->chunk < v->rows && !v->low; /* then unfinished outputs of all the task's channels wait in cache */
    const size_t least = v->one_thread && !in_parts ? 1 : TASKS;
    v->n_co = 1;
    while (v->n_tile * n_batch * v->n_co < least && v->co / (v->n_co * 2) >= CO_MIN) v->n_co *= 2;
    v->co_step = round_up((v->co + v->n_co - 1) / v->n_co, v->set->mr);
    v->n_co = v->co_step ? (v->co + v->co_step - 1) / v->co_step : 0;
}

bool koe_f32_conv_plan(koe_f32_conv *v, size_t *off, size_t n_batch)
{
    v->set = koe_kernels();
    v->off = off;
    if (v->rows_per_channel == 0) v->rows_per_channel = 1;
    if (v->in_pairs || v->toom->n) {
        if (v->in_pairs) koe_lp_pairs_plan(v, n_batch);
        else koe_toom_plan(v, n_batch);
        return true;
    }
    size_t n_tile = (v->n_out + TILE - 1) / TILE, span = 0, shared, each;
    if (n_tile == 0) n_tile = 1;
    v->tile = round_up((v->n_out + n_tile - 1) / n_tile, v->set->nr);
    v->n_tile = v->tile ? (v->n_out + v->tile - 1) / v->tile : 0;
    for (size_t t = 0; t < v->taps; t++)
        if (v->pos[t] > span) span = v->pos[t];

    /* One packed row for each phase of the stride, shared by the taps, or one for each tap, whichever is less. */
    const size_t reach = v->tile + span / v->stride + 1;
    if (reach < v->tile || __builtin_mul_overflow(v->tile, v->taps, &each)) return false;
    v->gathered = __builtin_mul_overflow(round_up(reach, 16), v->stride, &shared) || each <= shared;
    v->pitch = v->gathered ? v->tile : round_up(reach, 16);
    v->ldb = v->gathered ? each : shared;
    for (size_t t = 0; t < v->taps; t++)
        off[t] = v->gathered ? t * v->pitch : v->pos[t] % v->stride * v->pitch + v->pos[t] / v->stride;

    v->chunk = v->ldb ? SCRATCH / v->ldb : 1;
    if (v->chunk == 0) v->chunk = 1;
    if (v->chunk > v->rows) v->chunk = v->rows;
    koe_conv_share(v, n_batch);
    size_t sums = 0;
    if (v->chunk < v->rows && __builtin_mul_overflow(v->co_step, v->tile, &sums)) return false;
    if (__builtin_mul_overflow(v->chunk, v->ldb, &v->sums) || __builtin_add_overflow(v->sums, sums, &v->scratch)) return false;
    return v->scratch <= SIZE_MAX / sizeof(float);
}

/* out = pre(x) for n elements of one channel; out may be x. */
static void apply(const koe_kernel_set *set, const koe_f32_prologue *pre, size_t channel, float *out, const float *x, size_t n)
{
    const float a = pre->scale ? pre->scale[channel] : 1, b = pre->shift ? pre->shift[channel] : 0;
    if (pre->kind == KOE_PRE_SNAKE) set->affine_snake(out, x, n, a, b, pre->alpha[channel], pre->r[channel]);
    else set->affine_leaky(out, x, n, a, b, pre->kind == KOE_PRE_LEAKY ? pre->slope : 1);
}

void koe_conv_copy_run(const koe_f32_conv *v, const koe_f32_prologue *pre, size_t channel, float *out, size_t n, const float *x,
                       int64_t from, size_t step)
{
    const size_t n_in = v->n_in;
    size_t skip = 0, count = 0;
    if (from < 0) {
        skip = ((size_t)-from + step - 1) / step;
        if (skip > n) skip = n;
        from += (int64_t)(skip * step);
    }
    if (x && skip < n && (size_t)from < n_in) {
        count = (n_in - (size_t)from + step - 1) / step;
        if (count > n - skip) count = n - skip;
    }
    memset(out, 0, skip * sizeof *out);
    if (count && v->x_half) {
        const uint16_t *half = (const uint16_t *)(const void *)x + from;
        if (step == 1) v->set->f16_widen(out + skip, half, count);
        else
            for (size_t j = 0; j < count; j++) out[skip + j] = koe_f16_to_f32(half[j * step]);
        if (pre) apply(v->set, pre, channel, out + skip, out + skip, count);
    } else if (count && step == 1) {
        if (pre) apply(v->set, pre, channel, out + skip, x + from, count);
        else memcpy(out + skip, x + from, count * sizeof *out);
    } else if (count) {
        for (size_t j = 0; j < count; j++) out[skip + j] = x[(size_t)from + j * step];
        if (pre) apply(v->set, pre, channel, out + skip, out + skip, count);
    }
    memset(out + skip + count, 0, (n - skip - count) * sizeof *out);
}

void koe_conv_prefetch(const koe_f32_conv *v, const float *x, int64_t from, size_t n)
{
    const int64_t end = from + (int64_t)n < (int64_t)v->n_in ? from + (int64_t)n : (int64_t)v->n_in;
    const int64_t line = v->x_half ? 32 : 16;
    for (int64_t i = from > 0 ? from : 0; x && i < end; i += line) __builtin_prefetch(koe_conv_at(x, (size_t)i, v->x_half));
}

/* v->set->finish() where the output or an addend is float16: row by row, widened and narrowed in pieces on the stack. What float16 cannot hold
 * becomes its largest number. */
static void finish_half(const koe_f32_conv *v, float *y, size_t ldy, const float *from, size_t ld, size_t m, size_t n, const koe_f32_epilogue *ep)
{
    enum { PIECE = 512 };
    float out[PIECE], residual[PIECE], addend[PIECE];
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j += PIECE) {
            const size_t k = n - j < PIECE ? n - j : PIECE;
            koe_f32_epilogue part = *ep;
            if (part.bias_row) part.bias_row += i;
            if (part.bias_col) part.bias_col += j;
            if (part.residual) part.residual = koe_conv_at(part.residual, i * part.ld_residual + j, v->residual_half);
            if (part.addend) part.addend = koe_conv_at(part.addend, i * part.ld_addend + j, v->addend_half);
            if (part.residual && v->residual_half) {
                v->set->f16_widen(residual, (const uint16_t *)(const void *)part.residual, k);
                part.residual = residual;
            }
            if (part.addend && v->addend_half) {
                v->set->f16_widen(addend, (const uint16_t *)(const void *)part.addend, k);
                part.addend = addend;
            }
            float *to = v->y_half ? out : y + i * ldy + j;
            v->set->finish(to, 0, from + i * ld + j, 0, 1, k, &part);
            if (!v->y_half) continue;
            uint16_t *half = (uint16_t *)(void *)koe_conv_at(y, i * ldy + j, true);
            v->set->f16_narrow(half, out, k);
            for (size_t c = 0; c < k; c++) half[c] = koe_f16_finite(half[c]);
        }
}

static void finish(const koe_f32_conv *v, float *y, size_t ldy, const float *from, size_t ld, size_t m, size_t n, const koe_f32_epilogue *ep)
{
    if (v->y_half || v->residual_half || v->addend_half) finish_half(v, y, ldy, from, ld, m, n, ep);
    else v->set->finish(y, ldy, from, ld, m, n, ep);
}

static void put(const koe_f32_conv *v, float *y, size_t at, float x)
{
    if (v->y_half) ((uint16_t *)(void *)y)[at] = koe_f16_finite(koe_f32_to_f16(x));
    else y[at] = x;
}

void koe_conv_copy_row(const koe_f32_conv *v, const koe_f32_prologue *pre, size_t row, float *out, const float *x, size_t t0)
{
    const size_t channel = row / v->rows_per_channel;
    const int64_t from = (int64_t)(t0 * v->stride) - v->pad;
    if (v->gathered)
        for (size_t t = 0; t < v->taps; t++)
            koe_conv_copy_run(v, pre, channel, out + t * v->pitch, v->pitch, x, from + (int64_t)v->pos[t], v->stride);
    else
        for (size_t p = 0; p < v->stride; p++)
            koe_conv_copy_run(v, pre, channel, out + p * v->pitch, v->pitch, x, from + (int64_t)p, v->stride);
}

void koe_conv_expect(const koe_f32_conv *v, float *y, size_t ldy, size_t row, size_t t, size_t m, size_t n, const koe_f32_epilogue *ep)
{
    enum { LINE = 16 };
    const float *residual = ep ? ep->residual : NULL;
    for (size_t i = row; i < row + m && v->y_step == 1; i++)
        for (size_t j = t; j < t + n; j += LINE) {
            __builtin_prefetch(koe_conv_at(y, i * ldy + j, v->y_half), 1);
            if (residual && residual != y) __builtin_prefetch(koe_conv_at(residual, i * ep->ld_residual + j, v->residual_half));
        }
}

/* koe_conv_finish() for m rows that are all phases of channels, interleaved again. */
static void finish_phases(const koe_f32_conv *v, float *y, size_t ldy, const float *from, size_t ld, size_t row, size_t t, size_t m, size_t n,
                          const koe_f32_epilogue *ep)
{
    enum { ROOM = 1024 };
    float joined[ROOM];
    const size_t p = v->phases, step = ROOM / p;
    koe_f32_epilogue part = *ep;
    for (size_t i = 0; i < m; i += p) {
        const size_t channel = (row + i) / p;
        if (ep->bias_row) part.bias_row = ep->bias_row + channel;
        for (size_t j = 0; j < n; j += step) {
            const size_t columns = n - j < step ? n - j : step, at = (t + j) * p;
            const size_t skip = at < v->cut ? v->cut - at : 0, room = v->y_length + v->cut - at;
            const size_t end = columns * p < room ? columns * p : room;
            v->set->join(joined, from + i * ld + j, ld, columns, p);
            if (skip < end)
                finish(v, koe_conv_at(y, channel * ldy + at + skip - v->cut, v->y_half), ldy, joined + skip, ROOM, 1, end - skip, &part);
        }
    }
}

/* The same when a block has some of the phases only. */
static void finish_phase(const koe_f32_conv *v, float *y, size_t ldy, float *from, size_t row, size_t t, size_t n, const koe_f32_epilogue *ep)
{
    const size_t channel = row / v->phases;
    koe_f32_epilogue part = *ep;
    if (ep->bias_row) part.bias_row = ep->bias_row + channel;
    v->set->finish(from, n, from, n, 1, n, &part);
    for (size_t j = 0; j < n; j++) {
        const size_t at = (t + j) * v->phases + row % v->phases;
        if (at >= v->cut && at - v->cut < v->y_length) put(v, y, channel * ldy + at - v->cut, from[j]);
    }
}

void koe_conv_finish(const koe_f32_conv *v, float *y, size_t ldy, float *from, size_t ld, size_t row, size_t t, size_t m, size_t n,
                     const koe_f32_epilogue *ep)
{
    koe_f32_epilogue part = ep ? *ep : (koe_f32_epilogue){ .scale = 1 };
    if (v->phases > 1) {
        if (row % v->phases == 0 && m % v->phases == 0 && v->phases <= 16) finish_phases(v, y, ldy, from, ld, row, t, m, n, &part);
        else
            for (size_t i = 0; i < m; i++) finish_phase(v, y, ldy, from + i * ld, row + i, t, n, &part);
        return;
    }
    if (part.bias_row) part.bias_row += row;
    if (part.bias_col) part.bias_col += t;
    if (part.residual) part.residual = koe_conv_at(part.residual, row * part.ld_residual + t, v->residual_half);
    if (part.addend) part.addend = koe_conv_at(part.addend, row * part.ld_addend + t, v->addend_half);
    y = koe_conv_at(y, row * ldy + t * v->y_step, v->y_half);
    if (v->y_step == 1) {
        finish(v, y, ldy, from, ld, m, n, &part);
        return;
    }
    v->set->finish(from, ld, from, ld, m, n, &part);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) put(v, y, i * ldy + j * v->y_step, from[i * ld + j]);
}

/* to[i * to_step ..] = from[i * from_step ..], runs of d floats, for i = 0, 1, ... n - 1. Copies whole vectors: each overwrites what the one
 * before wrote too far, and the last writes up to KOE_CONV_SLACK floats past its run, and reads as far. */
static inline void copy_runs(float *to, size_t to_step, const float *from, size_t from_step, size_t n, size_t d)
{
    if (d <= 4)
        for (size_t i = 0; i < n; i++) memcpy(to + i * to_step, from + i * from_step, 4 * sizeof *to);
    else if (d <= 8)
        for (size_t i = 0; i < n; i++) memcpy(to + i * to_step, from + i * from_step, 8 * sizeof *to);
    else
        for (size_t i = 0; i < n; i++) memcpy(to + i * to_step, from + i * from_step, d * sizeof *to);
}

void koe_conv_split(const koe_kernel_set *set, float *split, size_t pitch, const float *x, size_t n_columns, size_t m, size_t d)
{
    if (d == 1) set->split(split, pitch, x, n_columns, m);
    else
        for (size_t q = 0; q < m; q++) copy_runs(split + q * pitch, d, x + q * d, m * d, n_columns / d, d);
}

void koe_conv_join(const koe_kernel_set *set, float *y, const float *split, size_t pitch, size_t n_columns, size_t m, size_t d)
{
    if (d == 1) set->join(y, split, pitch, n_columns, m);
    else
        for (size_t c = 0; c < n_columns; c += d, y += m * d) copy_runs(y, d, split + c, pitch, m, d);
}

void koe_f32_conv_task(const koe_f32_conv *v, size_t task, float *y, size_t ldy, const float *packed, koe_conv_row_fn *row,
                       const void *arg, const koe_f32_prologue *pre, const koe_f32_epilogue *ep, float *scratch)
{
    if (v->toom->n) {
        koe_toom_task(v, task, y, ldy, packed, row, arg, pre, ep, scratch);
        return;
    }
    const koe_kernel_set *set = v->set;
    const size_t t0 = task % v->n_tile * v->tile, co0 = task / v->n_tile * v->co_step;
    const size_t n = v->n_out - t0 < v->tile ? v->n_out - t0 : v->tile;
    const size_t co1 = v->co - co0 < v->co_step ? v->co : co0 + v->co_step;
    const bool once = v->chunk >= v->rows;
    float block[KOE_CONV_BLOCK];
    for (size_t r0 = 0; r0 == 0 || r0 < v->rows; r0 += v->chunk) {
        const size_t rows = v->rows - r0 < v->chunk ? v->rows - r0 : v->chunk;
        for (size_t r = 0; r < rows; r++) koe_conv_copy_row(v, pre, r0 + r, scratch + r * v->ldb, row(arg, r0 + r), t0);
        for (size_t c = co0; c < co1; c += set->mr) {
            const size_t m = v->co - c < set->mr ? v->co - c : set->mr;
            const float *a = packed + c * v->rows * v->taps + r0 * v->taps * m;
            for (size_t j = 0; j < n; j += set->nr) {
                const size_t nc = n - j < set->nr ? n - j : set->nr;
                const bool last = r0 + rows >= v->rows;
                float *sums = once ? block : scratch + v->sums + (c - co0) * v->tile + j;
                const size_t ld = once ? set->nr : v->tile;
                if (last) koe_conv_expect(v, y, ldy, c, t0 + j, m, nc, ep);
                set->tile(sums, ld, a, scratch + j, v->ldb, v->off, rows, v->taps, m, nc, r0 > 0);
                if (last) koe_conv_finish(v, y, ldy, sums, ld, c, t0 + j, m, nc, ep);
            }
        }
        if (v->rows == 0) break;
    }
}
