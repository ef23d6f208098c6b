/* f32_toom.c - convolution with fewer multiplications (Toom and Cook; Winograd's minimal filtering).
 * m outputs of an r-tap filter need only n = m + r - 1 products when the products are taken of polynomials' values at n points:
 *     y = out [ (weights w) * (in x) ]        x: n inputs, w: r taps, y: m outputs
 * `weights` is applied once, when packing; `in` once for each input, whatever the number of output channels; `out` once for each output.
 * In between, each of the n points is a matrix product of its own. A filter of more than r taps is cut into pieces of r = m taps: the piece j
 * of tile i reads the transformed inputs of tile i + j, so that pieces are to a point what taps are to a direct convolution, and the
 * same tile kernel serves. With dilation d the d interleaved signals are transformed side by side: column c of a transformed row is tile
 * c / d of signal c % d, and piece j is a shift by j * d columns.
 *
 *     taps     2       3       4       5       6       7       8       9       10      11      12
 *     (m, r)   (4, 2)  (4, 3)  (4, 4)  (4, 5)  (6, 6)  (4, 7)  (4, 4)  (5, 5)  (5, 5)  (6, 6)  (6, 6)
 *     saving   1.6     2.0     2.3     2.5     3.3     2.8     2.3     2.5     2.8     3.0     3.3 times
 *
 * Rounding: values at the points cancel in `out`, the more the more points there are. The points are those that minimise the error predicted
 * from the sizes of the three matrices, found by descent from many starts; they come in pairs a, 1/a, as the sphere's symmetry suggests.
 * Error relative to the RMS of the result (128 channels; direct float32 summation 2.1e-7):
 *     (4, 3) 4.7e-7   (4, 4) 7.5e-7   (4, 5) 9.6e-7   (5, 5) 1.6e-6   (4, 7) 2.3e-6   (6, 6) 3.4e-6
 * An infinity or NaN in x reaches all outputs of its tiles, and not only those within the filter's length. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/conv_internal.h"

enum {
    SCRATCH = 17 * 1024 + 512, /* floats of transformed x in a task for each row of the tile kernel: with 8 rows half a 1 MiB second-level
                             cache; fewer rows read them more often, and so need them nearer */
    ROWS_MAX = 768, /* beyond, the transformed rows of even one tile leave the cache */
    WEIGHTS_MAX = 1 << 20, /* the transformed weights are up to twice as large: not for the few largest layers, which do little work */
};

typedef struct scheme {
    size_t m, r;
    double point[KOE_TOOM_MAX - 1]; /* m + r - 2; and infinity */
} scheme;

static const scheme schemes[] = {
    { 4, 2, { 0, 1, -1, 1. / 2 } },
    { 4, 3, { 0, 2. / 3, -2. / 3, 3. / 2, -3. / 2 } },
    { 4, 4, { 0, 1, -3. / 4, -4. / 3, 3. / 7, 7. / 3 } },
    { 4, 5, { 0, 1, -1, 1. / 2, -1. / 2, 2, -2 } },
    { 5, 5, { 0, -1, 2. / 5, 5. / 2, -11. / 20, -20. / 11, 4. / 5, 5. / 4 } },
    { 4, 7, { 0, 5. / 12, -5. / 12, 12. / 5, -12. / 5, 4. / 5, -4. / 5, 5. / 4, -5. / 4 } },
    { 6, 6, { 0, -1, -7. / 24, -24. / 7, -2. / 3, -3. / 2, 1. / 2, 2, 5. / 6, 6. / 5 } },
};
/* By number of taps: index into schemes. */
static const signed char scheme_of[] = { -1, -1, 0, 1, 2, 3, 6, 5, 2, 4, 4, 6, 6 };
enum { TAPS_MAX = sizeof scheme_of - 1, PIECES_MAX = 2 };

static void init(koe_toom *t, const scheme *s)
{
    const size_t m = s->m, r = s->r, n = m + r - 1, mr = koe_kernels()->mr;
    const double *points = s->point;
    double in[KOE_TOOM_MAX][KOE_TOOM_MAX], out[KOE_TOOM_MAX][KOE_TOOM_MAX];
    *t = (koe_toom){ .m = m, .r = r, .n = n };
    assert(n <= KOE_TOOM_MAX);
    for (size_t p = 0; p < n; p++) {
        /* Row p of `in`: coefficients of the product of (x - point) over all other points; the last point is infinity. */
        double norm = 1, size = 0, largest = 1;
        memset(in[p], 0, sizeof in[p]);
        in[p][0] = 1;
        for (size_t q = 0, degree = 0; q < n - 1; q++) {
            if (q == p) continue;
            if (p < n - 1) norm *= points[p] - points[q];
            for (size_t k = ++degree; k > 0; k--) in[p][k] = in[p][k - 1] - points[q] * in[p][k];
            in[p][0] *= -points[q];
        }
        for (size_t i = 0; i < m; i++) out[i][p] = p < n - 1 ? pow(points[p], (double)i) : i == m - 1;
        for (size_t k = 0; k < r; k++) t->weights[p][k] = p < n - 1 ? pow(points[p], (double)k) / norm : k == r - 1;
        /* Powers of two move between the three, exactly, until rows of `in` and columns of `out` are about 1 in size. */
        for (size_t k = 0; k < n; k++) size += in[p][k] * in[p][k];
        for (size_t i = 0; i < m; i++) largest = fmax(largest, fabs(out[i][p]));
        const double a = exp2(-nearbyint(log2(sqrt(size)))), b = exp2(-nearbyint(log2(largest)));
        for (size_t k = 0; k < n; k++) in[p][k] *= a;
        for (size_t i = 0; i < m; i++) out[i][p] *= b;
        for (size_t k = 0; k < r; k++) t->weights[p][k] /= a * b;
    }
    /* As left operands of the tile kernel: blocks of mr rows, each [column][row]. */
    float *at = t->in;
    for (size_t p = 0; p < n; p += mr)
        for (size_t k = 0; k < n; k++)
            for (size_t i = p; i < n && i < p + mr; i++) *at++ = (float)in[i][k];
    at = t->out;
    for (size_t i = 0; i < m; i += mr)
        for (size_t k = 0; k < n; k++)
            for (size_t q = i; q < m && q < i + mr; q++) *at++ = (float)out[q][k];
}

bool koe_toom_choose(koe_toom *t, size_t co, size_t rows, size_t taps, size_t stride, size_t dilation)
{
    size_t count;
    if (stride != 1 || taps < 2 || taps > TAPS_MAX || dilation > 32 || rows > ROWS_MAX) return false;
    if (__builtin_mul_overflow(co, rows * taps, &count) || count > WEIGHTS_MAX) return false;
    /* Transforms cost by the channel, products by the pair of channels. */
    const size_t least = taps < 3 ? 48 : 32;
    if (co < (taps < 5 ? least : 16) || rows < least) return false;
    init(t, &schemes[scheme_of[taps]]);
    return true;
}

static size_t pieces(const koe_toom *t, size_t taps) { return (taps + t->r - 1) / t->r; }

size_t koe_toom_count(const koe_toom *t, size_t co, size_t rows, size_t taps) { return co * rows * pieces(t, taps) * t->n; }

/* Blocks of mr channels; in each, for every point, [row][piece][channel]. */
void koe_toom_pack(const koe_toom *t, float *out, const koe_conv_weights *w, size_t co, size_t rows, size_t taps)
{
    const size_t mr = koe_kernels()->mr, n_piece = pieces(t, taps);
    for (size_t c = 0; c < co; c += mr) {
        const size_t m = co - c < mr ? co - c : mr;
        for (size_t p = 0; p < t->n; p++)
            for (size_t r = 0; r < rows; r++) {
                const float *row = w->w + c * w->s_co + r / w->n_inner * w->s_outer + r % w->n_inner * w->s_inner;
                for (size_t j = 0; j < n_piece; j++)
                    for (size_t i = 0; i < m; i++) {
                        double sum = 0;
                        for (size_t k = 0; k < t->r && j * t->r + k < taps; k++)
                            sum += t->weights[p][k] * (double)row[i * w->s_co + (j * t->r + k) * w->s_tap];
                        *out++ = (float)sum;
                    }
            }
    }
}

/* ---- a task ------------------------------------------------------------------------------------------------------------ */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* Regions of scratch, in floats, with room for KOE_CONV_SLACK where koe_conv_split() and _join() write; every size is bounded by the limits above. Transformed inputs
 * are laid out as the products read them, front to back: strips of nr columns, [strip][point][row][column]. Columns are whole vectors:
 * masks cost more than columns that nobody wants. */
typedef struct layout {
    size_t tile; /* columns of a tile */
    size_t n_strip, pitch; /* columns of a strip, with those that its last pieces read */
    size_t split_columns, split_pitch; /* of the input split by position in a tile: as far as the last strip reads */
    size_t joined; /* floats of a finished row */
    size_t v, split, run, products, y; /* offsets */
    size_t end;
} layout;

static layout lay_out(const koe_f32_conv *v)
{
    const koe_toom *t = v->toom;
    const size_t d = v->dilation, nr = v->set->nr, width = v->set->width;
    layout l = { .tile = round_up(v->tile / t->m, width) };
    l.n_strip = (l.tile + nr - 1) / nr;
    l.pitch = round_up((l.n_strip > 1 ? nr : l.tile) + (pieces(t, v->taps) - 1) * d, width);
    l.split_columns = round_up((l.n_strip - 1) * nr + l.pitch + (t->n - 1) / t->m * d, d);
    l.split_pitch = round_up(l.split_columns, 16);
    l.split = l.v + l.n_strip * t->n * v->rows * l.pitch;
    l.run = l.split + t->m * l.split_pitch + 16;
    l.products = l.run + round_up(l.split_columns * t->m + KOE_CONV_SLACK, 16);
    l.y = l.products + t->n * v->set->mr * l.tile;
    l.joined = round_up(v->tile + KOE_CONV_SLACK, 16);
    l.end = l.y + t->m * l.tile + KOE_CONV_SLACK + v->set->mr * l.joined;
    return l;
}

void koe_toom_plan(koe_f32_conv *v, size_t n_batch)
{
    const koe_toom *t = v->toom;
    const size_t d = v->dilation, nr = v->set->nr;
    /* Two strips when that leaves the transformed rows in cache, else one; a whole number of dilated tiles. */
    for (size_t wide = 2 * nr; wide >= nr; wide -= nr) {
        const size_t most = wide < d ? d : wide / d * d;
        v->n_tile = (v->n_out + most * t->m - 1) / (most * t->m);
        const size_t even = v->n_tile ? ((v->n_out + t->m - 1) / t->m + v->n_tile - 1) / v->n_tile : 0;
        v->tile = (even + d - 1) / d * d * t->m;
        if (t->n * v->rows * v->tile / t->m <= SCRATCH * v->set->mr) break;
    }
    koe_conv_share(v, n_batch);
    v->scratch = lay_out(v).end;
}

/* c[rows of the matrix][n] = matrix * b, with row k of b at b + off[k]. */
static void transform(const koe_kernel_set *set, float *c, size_t ldc, const float *matrix, size_t m, size_t k, const float *b, const size_t *off,
                      size_t n)
{
    for (size_t i = 0; i < m; i += set->mr) {
        const size_t mb = m - i < set->mr ? m - i : set->mr;
        for (size_t j = 0; j < n; j += set->nr)
            set->tile(c + i * ldc + j, ldc, matrix + i * k, b + j, 0, off, 1, k, mb, n - j < set->nr ? n - j : set->nr, false);
    }
}

static void transform_rows(const koe_f32_conv *v, const layout *l, size_t t0, koe_conv_row_fn *row, const void *arg,
                           const koe_f32_prologue *pre, float *scratch)
{
    const koe_toom *t = v->toom;
    size_t off[KOE_TOOM_MAX];
    for (size_t q = 0; q < t->n; q++) off[q] = q % t->m * l->split_pitch + q / t->m * v->dilation;
    for (size_t r = 0; r < v->rows; r++) {
        if (r + 1 < v->rows) koe_conv_prefetch(v, row(arg, r + 1), (int64_t)t0 - v->pad, l->split_columns * t->m);
        koe_conv_copy_run(v, pre, r / v->rows_per_channel, scratch + l->run, l->split_columns * t->m, row(arg, r), (int64_t)t0 - v->pad, 1);
        koe_conv_split(v->set, scratch + l->split, l->split_pitch, scratch + l->run, l->split_columns, t->m, v->dilation);
        for (size_t s = 0; s < l->n_strip; s++)
            transform(v->set, scratch + l->v + (s * t->n * v->rows + r) * l->pitch, v->rows * l->pitch, t->in, t->n, t->n,
                      scratch + l->split + s * v->set->nr, off, l->pitch);
    }
}

void koe_toom_task(const koe_f32_conv *v, size_t task, float *y, size_t ldy, const float *packed, koe_conv_row_fn *row, const void *arg,
                   const koe_f32_prologue *pre, const koe_f32_epilogue *ep, float *scratch)
{
    const koe_toom *t = v->toom;
    const koe_kernel_set *set = v->set;
    const layout l = lay_out(v);
    const size_t t0 = task % v->n_tile * v->tile, co0 = task / v->n_tile * v->co_step, n_piece = pieces(t, v->taps);
    const size_t co1 = v->co - co0 < v->co_step ? v->co : co0 + v->co_step, n = v->n_out - t0 < v->tile ? v->n_out - t0 : v->tile;
    const size_t columns = (n + t->m * v->dilation - 1) / (t->m * v->dilation) * v->dilation, whole = round_up(columns, set->width);
    float *products = scratch + l.products, *out = scratch + l.y, *joined = out + t->m * l.tile + KOE_CONV_SLACK;
    size_t shift[PIECES_MAX], off[KOE_TOOM_MAX];
    for (size_t j = 0; j < n_piece; j++) shift[j] = j * v->dilation;
    for (size_t p = 0; p < t->n; p++) off[p] = p * set->mr * l.tile;
    transform_rows(v, &l, t0, row, arg, pre, scratch);
    for (size_t c = co0; c < co1; c += set->mr) {
        const size_t m = v->co - c < set->mr ? v->co - c : set->mr, steps = v->rows * n_piece;
        koe_conv_expect(v, y, ldy, c, t0, m, n, ep);
        for (size_t p = 0; p < t->n; p++)
            for (size_t j = 0; j < whole; j += set->nr)
                set->tile(products + off[p] + j, l.tile, packed + (c * t->n + p * m) * steps,
                          scratch + l.v + (j / set->nr * t->n + p) * v->rows * l.pitch, l.pitch, shift, v->rows, n_piece, m,
                          whole - j < set->nr ? whole - j : set->nr, false);
        for (size_t i = 0; i < m; i++) {
            transform(set, out, l.tile, t->out, t->m, t->n, products + i * l.tile, off, whole);
            koe_conv_join(set, joined + i * l.joined, out, l.tile, columns, t->m, v->dilation);
        }
        koe_conv_finish(v, y, ldy, joined, l.joined, c, t0, m, n, ep);
    }
}
