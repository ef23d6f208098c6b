/* istft.c - InverseSTFT, koe's own: the last step of a vocoder that predicts a spectrogram, in one sweep over pieces of time.
 *     InverseSTFT(a, b, w_re, w_im)   a, b [N, F, T]: real and imaginary part, or, with attribute `polar`, magnitude and phase; without b,
 *                                     a [N, 2F, T] holds both. w_re, w_im [F, 1, K]: constant windowed bases
 *         polar: re = m cos(p), im = m sin(p), where m = a, with `exp` e^a, and p = b, with `sin` sin(b)
 *         y[n][0][o] = sum over f, t of re[f][t] * w_re[f][q] + `sign` * im[f][t] * w_im[f][q],   q = o + trim[0] - t * stride in 0..K
 *     attributes stride, and trim: samples left out at the start and at the end
 * Each frame is K samples that overlap with those of others. With K filled up with zeros to taps * stride, sample i * stride + phase is the sum of
 * frames i - taps + 1 .. i: a convolution with `stride` output channels, by the tile kernel; a piece of it reads re and im from cache. */
#include <inttypes.h>
#include <stdlib.h>

#include "ops/ops.h"
#include "ops/tasks.h"

enum { A, BINS, W_RE, W_IM };
enum { KERNEL_MAX = 4096, WEIGHTS_MAX = 1 << 16, PIECE_FLOATS = 8192, PIECE_MIN = 64 };

typedef struct istft {
    size_t n_bin, kernel, stride, taps;
    int64_t trim[2];
    bool polar, exp, sin;
    size_t *off; /* [taps] of the tile kernel: tap d reads d frames back */
    float *w; /* blocks of as many phases as a tile has rows: [2 * bin][tap][phase] */
} istft;

static koe_status bad(const koe_node *node, koe_error *err, const char *what)
{
    return koe_fail(err, KOE_E_FORMAT, "InverseSTFT %.*s: %s", KOE_STR_ARG(node->name), what);
}

static void release(void *state)
{
    istft *s = state;
    if (!s) return;
    free(s->off);
    free(s->w);
    free(s);
}

static koe_status read_attributes(istft *s, const koe_node *node, koe_error *err)
{
    const koe_tensor *re = node->n_in == 4 ? node->in_const[W_RE] : NULL, *im = node->n_in == 4 ? node->in_const[W_IM] : NULL;
    const int64_t *trim, stride = koe_node_int(node, "stride", 0);
    if (!re || !im || re->dtype != KOE_DTYPE_F32 || im->dtype != KOE_DTYPE_F32 || re->n_dim != 3 || im->n_dim != 3)
        return bad(node, err, "two constant bases of three dimensions are needed");
    for (int i = 0; i < 3; i++)
        if (re->dim[i] < 1 || re->dim[i] != im->dim[i] || (i == 1 && re->dim[i] != 1)) return bad(node, err, "the bases do not fit");
    if (koe_node_ints(node, "trim", &trim) != 2 || trim[0] < 0 || trim[1] < 0 || trim[0] > INT32_MAX || trim[1] > INT32_MAX)
        return bad(node, err, "trim must be two sizes");
    if (re->dim[2] > KERNEL_MAX || re->dim[0] > WEIGHTS_MAX / 2 / re->dim[2] || stride < 1 || stride > re->dim[2])
        return bad(node, err, "the bases are too large, or the stride does not fit them");
    s->n_bin = (size_t)re->dim[0];
    s->kernel = (size_t)re->dim[2];
    s->stride = (size_t)stride;
    s->taps = (s->kernel + s->stride - 1) / s->stride;
    memcpy(s->trim, trim, sizeof s->trim);
    s->polar = koe_node_int(node, "polar", 0) != 0;
    s->exp = koe_node_int(node, "exp", 0) != 0;
    s->sin = koe_node_int(node, "sin", 0) != 0;
    return KOE_OK;
}

static void pack(istft *s, const float *re, const float *im, float sign)
{
    const size_t mr = koe_kernels()->mr, rows = 2 * s->n_bin;
    for (size_t first = 0; first < s->stride; first += mr) {
        const size_t m = s->stride - first < mr ? s->stride - first : mr;
        float *w = s->w + rows * s->taps * first;
        for (size_t r = 0; r < rows; r++)
            for (size_t d = 0; d < s->taps; d++)
                for (size_t i = 0; i < m; i++) {
                    const size_t q = d * s->stride + first + i;
                    const float x = q >= s->kernel ? 0 : r < s->n_bin ? re[r * s->kernel + q] : sign * im[(r - s->n_bin) * s->kernel + q];
                    w[(r * s->taps + d) * m + i] = x;
                }
    }
    for (size_t d = 0; d < s->taps; d++) s->off[d] = s->taps - 1 - d;
}

static koe_status prepare(koe_node *node, void **state, koe_error *err)
{
    istft *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "InverseSTFT");
    koe_status st = read_attributes(s, node, err);
    if (st == KOE_OK) {
        s->off = calloc(s->taps, sizeof *s->off);
        s->w = koe_weights_alloc(2 * s->n_bin * s->taps * s->stride);
        if (!s->off || !s->w) st = koe_fail(err, KOE_E_NOMEM, "InverseSTFT");
    }
    if (st != KOE_OK) {
        release(s);
        return st;
    }
    pack(s, node->in_const[W_RE]->data, node->in_const[W_IM]->data, koe_node_float(node, "sign", 1));
    *state = s;
    return KOE_OK;
}

/* A call: everything that its tasks read. */
typedef struct call {
    const istft *s;
    const koe_kernel_set *set;
    const float *a, *b; /* of the first batch entry */
    size_t entry; /* elements from one to the next */
    float *y;
    size_t n_frame, n_out;
    size_t first, n_group; /* groups of `stride` samples that there are outputs of */
    size_t piece, n_piece; /* groups of a task, tasks of an entry */
    size_t pitch;
} call;

/* Frames from..to of bin f as re and im; tmp holds two rows. */
static void spectrum(const call *k, float *re, float *im, const float *a, const float *b, size_t n, float *tmp)
{
    const istft *s = k->s;
    if (!s->polar) {
        memcpy(re, a, n * sizeof *re);
        memcpy(im, b, n * sizeof *im);
        return;
    }
    float *phase = tmp, *magnitude = tmp + k->pitch;
    if (s->sin) k->set->sin(phase, b, n);
    else memcpy(phase, b, n * sizeof *phase);
    if (s->exp) k->set->exp(magnitude, a, n);
    else memcpy(magnitude, a, n * sizeof *magnitude);
    k->set->cos(re, phase, n);
    k->set->sin(im, phase, n);
    for (size_t i = 0; i < n; i++) {
        re[i] *= magnitude[i];
        im[i] *= magnitude[i];
    }
}

/* Samples of groups from..from+n, in order, into y as far as they are outputs. */
static void overlap(const call *k, float *y, const float *rows, size_t from, size_t n, float *sums, float *joined)
{
    const istft *s = k->s;
    const size_t nr = k->set->nr, mr = k->set->mr, trim = (size_t)s->trim[0];
    for (size_t j = 0; j < n; j += nr) {
        const size_t columns = n - j < nr ? n - j : nr;
        for (size_t p = 0; p < s->stride; p += mr)
            k->set->tile(sums + p * nr, nr, s->w + 2 * s->n_bin * s->taps * p, rows + j, k->pitch, s->off, 2 * s->n_bin, s->taps,
                         s->stride - p < mr ? s->stride - p : mr, columns, false);
        k->set->join(joined, sums, nr, columns, s->stride);
        const size_t at = (from + j) * s->stride, skip = at < trim ? trim - at : 0; /* at the first group only */
        size_t end = columns * s->stride;
        if (at + end > trim + k->n_out) end = trim + k->n_out - at;
        if (skip < end) memcpy(y + at + skip - trim, joined + skip, (end - skip) * sizeof *y);
    }
}

static void run_piece(void *arg, size_t task, void *scratch)
{
    const call *k = arg;
    const istft *s = k->s;
    const size_t entry = task / k->n_piece, from = k->first + task % k->n_piece * k->piece, last = k->first + k->n_group;
    const size_t n = last - from < k->piece ? last - from : k->piece, back = s->taps - 1;
    float *rows = scratch, *tmp = rows + 2 * s->n_bin * k->pitch, *sums = tmp + 2 * k->pitch, *joined = sums + s->stride * k->set->nr;
    /* Column c of a row is frame from + c - back. */
    const size_t skip = from < back ? back - from : 0, start = from + skip - back;
    const size_t n_there = start < k->n_frame ? (k->n_frame - start < n + back - skip ? k->n_frame - start : n + back - skip) : 0;
    for (size_t f = 0; f < s->n_bin; f++) {
        float *re = rows + f * k->pitch, *im = rows + (s->n_bin + f) * k->pitch;
        if (n_there < n + back) {
            memset(re, 0, k->pitch * sizeof *re);
            memset(im, 0, k->pitch * sizeof *im);
        }
        const size_t at = entry * k->entry + f * k->n_frame + start;
        if (n_there) spectrum(k, re + skip, im + skip, k->a + at, k->b + at, n_there, tmp);
    }
    overlap(k, k->y + entry * k->n_out, rows, from, n, sums, joined);
}

/* Completes k for inputs of n_frame frames; KOE_E_LIMIT when sizes do not fit. */
static koe_status plan(call *k, koe_error *err)
{
    const istft *s = k->s;
    size_t full = 0;
    if (k->n_frame && (__builtin_mul_overflow(k->n_frame - 1, s->stride, &full) || full > (size_t)INT64_MAX / 2))
        return koe_fail(err, KOE_E_LIMIT, "%zu frames", k->n_frame);
    if (k->n_frame) full += s->kernel;
    const size_t trim = (size_t)s->trim[0], gone = trim + (size_t)s->trim[1];
    k->n_out = full > gone ? full - gone : 0;
    if (k->n_out == 0) return KOE_OK;
    k->first = trim / s->stride;
    k->n_group = (trim + k->n_out - 1) / s->stride + 1 - k->first;
    const size_t most = PIECE_FLOATS / (2 * s->n_bin), nr = k->set->nr;
    k->piece = ((most > PIECE_MIN ? most : PIECE_MIN) + nr - 1) / nr * nr;
    k->n_piece = (k->n_group + k->piece - 1) / k->piece;
    k->pitch = (k->piece + s->taps - 1 + 15) / 16 * 16;
    if (k->pitch % 256 == 0) k->pitch += 16; /* rows a multiple of 1 KiB apart compete for the same lines of cache */
    return KOE_OK;
}

static koe_status run(koe_op_ctx *c, koe_error *err)
{
    const istft *s = c->state;
    const koe_tensor *a, *b = koe_in(c, BINS);
    koe_tensor *y;
    koe_status st = koe_need(c, A, &a, err);
    if (st != KOE_OK) return st;
    if (a->dtype != KOE_DTYPE_F32 || (b && b->dtype != KOE_DTYPE_F32)) return koe_type_error(c, b && a->dtype == KOE_DTYPE_F32 ? b->dtype : a->dtype, err);
    if (a->n_dim != 3 || a->dim[1] != (int64_t)(s->n_bin * (b ? 1 : 2))) return bad(c->node, err, "the input's bins are not those of the bases");
    if (b && (b->n_dim != 3 || memcmp(a->dim, b->dim, 3 * sizeof *a->dim) != 0)) return bad(c->node, err, "its two inputs differ in shape");
    call k = { .s = s, .set = koe_kernels(), .n_frame = (size_t)a->dim[2], .a = a->data };
    k.entry = (size_t)a->dim[1] * k.n_frame;
    k.b = b ? b->data : k.a + s->n_bin * k.n_frame;
    st = plan(&k, err);
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_F32, 3, (int64_t[]){ a->dim[0], 1, (int64_t)k.n_out }, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    k.y = y->data;
    const size_t floats = (2 * s->n_bin + 2) * k.pitch + 2 * s->stride * k.set->nr; /* all of them bounded by the bases' limits */
    return koe_tasks_run(c, (size_t)a->dim[0] * k.n_piece, floats * sizeof(float), run_piece, &k, err);
}

static const koe_op table[] = { { "InverseSTFT", 1, 0, KOE_OP_WIDEN_HALF, prepare, release, run, "koe" } };

koe_op_table koe_ops_istft(void) { return KOE_OP_TABLE(table); }
