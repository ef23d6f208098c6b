/* signal.c - DFT, STFT, HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix. All computed in double. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ops/bytes.h"
#include "ops/dft.h"
#include "ops/elementwise.h"
#include "ops/ops.h"
#include "ops/tasks.h"

#define PI 3.14159265358979323846

/* An integer scalar in input i, at least `low`. */
static koe_status int_in(koe_op_ctx *c, int i, int64_t low, int64_t *out, koe_error *err)
{
    const koe_tensor *t;
    size_t n;
    koe_status st = koe_need(c, i, &t, err);
    if (st == KOE_OK) st = koe_read_ints(t, out, 1, &n, err);
    if (st != KOE_OK) return st;
    if (n != 1) return koe_fail(err, KOE_E_FORMAT, "input %d should be one integer", i);
    return *out < low ? koe_fail(err, KOE_E_FORMAT, "input %d is %" PRId64 ", at least %" PRId64 " expected", i, *out, low)
                      : KOE_OK;
}

/* A number of a float tensor as double. */
static double real_at(const koe_tensor *t, size_t i)
{
    return t->dtype == KOE_DTYPE_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static void set_real(koe_tensor *t, size_t i, double v)
{
    if (t->dtype == KOE_DTYPE_F32) ((float *)t->data)[i] = (float)v;
    else ((double *)t->data)[i] = v;
}

static bool is_real_type(koe_dtype d) { return d == KOE_DTYPE_F32 || d == KOE_DTYPE_F64; }

/* ---- DFT ----------------------------------------------------------------------------------------------------------------- */

/* Lines of x along the axis, each transformed on its own. Element (o, k, i, part) of x is at ((o * n_in + k) * inner + i) * parts
 * + part. */
typedef struct dft_job {
    const koe_tensor *x;
    koe_tensor *y;
    koe_dft dft;
    size_t n_in, n_out, inner; /* length of the axis in x and y; product of the dimensions between it and the last */
    size_t parts_in, parts_out; /* 1: real, 2: complex */
    bool inverse, half_in; /* half_in: x holds the non-negative frequencies of a real signal */
} dft_job;

static void dft_task(void *arg, size_t task, void *scratch)
{
    const dft_job *j = arg;
    size_t o = task / j->inner, i = task % j->inner, n = j->dft.n;
    koe_complex *v = scratch;
    memset(v, 0, n * sizeof *v);
    size_t take = j->half_in ? n / 2 + 1 : n;
    if (take > j->n_in) take = j->n_in;
    for (size_t k = 0; k < take; k++) {
        size_t at = ((o * j->n_in + k) * j->inner + i) * j->parts_in;
        v[k] = (koe_complex){ real_at(j->x, at), j->parts_in == 2 ? real_at(j->x, at + 1) : 0 };
    }
    if (j->half_in) /* the other half mirrors it */
        for (size_t k = 1; k < (n + 1) / 2; k++) v[n - k] = (koe_complex){ v[k].re, -v[k].im };
    koe_dft_transform(&j->dft, v, j->inverse, v + n);
    for (size_t k = 0; k < j->n_out; k++) {
        size_t at = ((o * j->n_out + k) * j->inner + i) * j->parts_out;
        set_real(j->y, at, v[k].re);
        if (j->parts_out == 2) set_real(j->y, at + 1, v[k].im);
    }
}

static koe_status dft(koe_op_ctx *c, int64_t axis_value, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (!is_real_type(x->dtype)) return koe_type_error(c, x->dtype, err);
    int last = x->n_dim - 1, axis;
    if (last < 1 || (x->dim[last] != 1 && x->dim[last] != 2))
        return koe_fail(err, KOE_E_FORMAT, "the last dimension must be 1 (real) or 2 (complex)");
    st = koe_axis(&axis, axis_value, x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    if (axis == last) return koe_fail(err, KOE_E_FORMAT, "the axis is the dimension of real and imaginary part");
    bool onesided = koe_node_int(c->node, "onesided", 0) != 0;
    dft_job j = { .x = x, .inverse = koe_node_int(c->node, "inverse", 0) != 0 };
    j.half_in = j.inverse && onesided;
    j.n_in = (size_t)x->dim[axis];
    int64_t n = j.half_in ? 2 * (x->dim[axis] - 1) : x->dim[axis], dim[KOE_MAX_DIM];
    if (koe_in(c, 1)) st = int_in(c, 1, 1, &n, err);
    if (st == KOE_OK && n < 1) st = koe_fail(err, KOE_E_FORMAT, "there is nothing to transform");
    if (st == KOE_OK) st = koe_dft_init(&j.dft, c, (size_t)n, err);
    if (st != KOE_OK) return st;
    j.n_out = onesided && !j.inverse ? j.dft.n / 2 + 1 : j.dft.n;
    j.parts_in = (size_t)x->dim[last];
    j.parts_out = j.half_in ? 1 : 2;
    j.inner = koe_dim_product(x->dim, axis + 1, last);
    memcpy(dim, x->dim, sizeof dim);
    dim[axis] = (int64_t)j.n_out;
    dim[last] = (int64_t)j.parts_out;
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &j.y, err);
    if (st != KOE_OK) return st;
    size_t lines = koe_dim_product(x->dim, 0, axis) * j.inner;
    return koe_tasks_run(c, lines, j.dft.n * sizeof(koe_complex) + koe_dft_work(&j.dft), dft_task, &j, err);
}

/* Before opset 20 the axis was an attribute. */
static koe_status dft17_run(koe_op_ctx *c, koe_error *err) { return dft(c, koe_node_int(c->node, "axis", 1), err); }

static koe_status dft20_run(koe_op_ctx *c, koe_error *err)
{
    int64_t axis = -2;
    koe_status st = koe_in(c, 2) ? int_in(c, 2, INT64_MIN, &axis, err) : KOE_OK;
    return st == KOE_OK ? dft(c, axis, err) : st;
}

/* ---- STFT ---------------------------------------------------------------------------------------------------------------- */

typedef struct stft_job {
    const koe_tensor *x, *window; /* window: NULL for ones */
    koe_tensor *y;
    koe_dft dft;
    size_t length, parts, step, n_frame, n_window, n_out;
} stft_job;

static void stft_task(void *arg, size_t task, void *scratch)
{
    const stft_job *j = arg;
    size_t item = task / j->n_frame, frame = task % j->n_frame, n = j->dft.n;
    koe_complex *v = scratch;
    memset(v, 0, n * sizeof *v);
    for (size_t k = 0; k < n && k < j->n_window; k++) {
        size_t at = (item * j->length + frame * j->step + k) * j->parts;
        double w = j->window ? real_at(j->window, k) : 1;
        v[k] = (koe_complex){ w * real_at(j->x, at), j->parts == 2 ? w * real_at(j->x, at + 1) : 0 };
    }
    koe_dft_transform(&j->dft, v, false, v + n);
    for (size_t k = 0; k < j->n_out; k++) {
        size_t at = (task * j->n_out + k) * 2;
        set_real(j->y, at, v[k].re);
        set_real(j->y, at + 1, v[k].im);
    }
}

static koe_status stft_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *window = koe_in(c, 2);
    int64_t step, length;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = int_in(c, 1, 1, &step, err);
    if (st != KOE_OK) return st;
    if (!is_real_type(x->dtype)) return koe_type_error(c, x->dtype, err);
    if (window && !is_real_type(window->dtype)) return koe_type_error(c, window->dtype, err);
    if (x->n_dim < 2 || x->n_dim > 3 || (x->n_dim == 3 && x->dim[2] != 1 && x->dim[2] != 2))
        return koe_fail(err, KOE_E_FORMAT, "the signal must be [batch, length, 1 (real) or 2 (complex)]");
    if (window && window->n_dim != 1) return koe_fail(err, KOE_E_FORMAT, "the window must be a vector");
    length = window ? window->dim[0] : x->dim[1];
    if (koe_in(c, 3)) st = int_in(c, 3, 1, &length, err);
    if (st != KOE_OK) return st;
    if (length < 1 || length > x->dim[1])
        return koe_fail(err, KOE_E_FORMAT, "frames of %" PRId64 " in a signal of %" PRId64, length, x->dim[1]);
    stft_job j = { .x = x,
                   .window = window,
                   .length = (size_t)x->dim[1],
                   .parts = x->n_dim == 3 ? (size_t)x->dim[2] : 1,
                   .step = (size_t)step,
                   .n_window = (size_t)(window ? window->dim[0] : length) };
    st = koe_dft_init(&j.dft, c, (size_t)length, err);
    if (st != KOE_OK) return st;
    j.n_frame = (j.length - j.dft.n) / j.step + 1;
    j.n_out = koe_node_int(c->node, "onesided", 1) != 0 ? j.dft.n / 2 + 1 : j.dft.n;
    int64_t dim[4] = { x->dim[0], (int64_t)j.n_frame, (int64_t)j.n_out, 2 };
    st = koe_out(c, 0, x->dtype, 4, dim, &j.y, err);
    if (st != KOE_OK) return st;
    return koe_tasks_run(c, (size_t)x->dim[0] * j.n_frame, j.dft.n * sizeof(koe_complex) + koe_dft_work(&j.dft), stft_task, &j,
                         err);
}

/* ---- windows ------------------------------------------------------------------------------------------------------------- */

/* Output 0 from doubles, as the type that attribute output_datatype names. */
static koe_status out_as(koe_op_ctx *c, const double *v, int n_dim, const int64_t *dim, koe_error *err)
{
    koe_dtype type = (koe_dtype)koe_node_int(c->node, "output_datatype", KOE_DTYPE_F32);
    koe_tensor *y;
    if (koe_dtype_size(type) == 0 || type == KOE_DTYPE_BOOL) return koe_type_error(c, type, err);
    koe_status st = koe_out(c, 0, type, n_dim, dim, &y, err);
    if (st == KOE_OK) koe_cast_elements(y->data, type, v, KOE_DTYPE_F64, koe_tensor_count(y));
    return st;
}

/* a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N), N the size, or one less when the window is symmetric. */
static koe_status window(koe_op_ctx *c, double a0, double a1, double a2, koe_error *err)
{
    int64_t n;
    size_t bytes;
    koe_status st = int_in(c, 0, 0, &n, err);
    if (st == KOE_OK) st = koe_shape_bytes(&bytes, KOE_DTYPE_F64, 1, &n, err);
    if (st != KOE_OK) return st;
    double *v = koe_scratch(c, bytes), whole = (double)(koe_node_int(c->node, "periodic", 1) ? n : n - 1);
    if (!v) return koe_fail(err, KOE_E_NOMEM, "window of %" PRId64, n);
    for (int64_t i = 0; i < n; i++) {
        double angle = 2 * PI * (double)i / whole;
        v[i] = whole > 0 ? a0 - a1 * cos(angle) + a2 * cos(2 * angle) : 1;
    }
    return out_as(c, v, 1, &n, err);
}

static koe_status hann_run(koe_op_ctx *c, koe_error *err) { return window(c, 0.5, 0.5, 0, err); }
static koe_status hamming_run(koe_op_ctx *c, koe_error *err) { return window(c, 25.0 / 46, 21.0 / 46, 0, err); }
static koe_status blackman_run(koe_op_ctx *c, koe_error *err) { return window(c, 0.42, 0.5, 0.08, err); }

/* ---- MelWeightMatrix ----------------------------------------------------------------------------------------------------- */

static double mel_of(double hz) { return 2595 * log10(1 + hz / 700); }
static double hz_of(double mel) { return 700 * (pow(10, mel / 2595) - 1); }

static koe_status real_in(koe_op_ctx *c, int i, double *out, koe_error *err)
{
    const koe_tensor *t;
    koe_status st = koe_need(c, i, &t, err);
    if (st != KOE_OK) return st;
    if (!koe_dtype_is_float(t->dtype)) return koe_type_error(c, t->dtype, err);
    if (koe_tensor_count(t) != 1) return koe_fail(err, KOE_E_FORMAT, "input %d should be one number", i);
    koe_cast_elements(out, KOE_DTYPE_F64, t->data, t->dtype, 1);
    return *out >= 0 && *out < 1e9 ? KOE_OK : koe_fail(err, KOE_E_FORMAT, "input %d is %g Hz", i, *out);
}

/* Column `mel` of w[n_bin][n_mel] rises from 0 at bin left to 1 at centre and falls to 0 at right; bins past the end are dropped.
 */
static void triangle(double *w, int64_t n_bin, int64_t n_mel, int64_t mel, int64_t left, int64_t centre, int64_t right)
{
    for (int64_t b = left; b <= centre && b < n_bin; b++)
        w[b * n_mel + mel] = centre == left ? 1 : (double)(b - left) / (double)(centre - left);
    for (int64_t b = centre; b < right && b < n_bin; b++) w[b * n_mel + mel] = (double)(right - b) / (double)(right - centre);
}

static koe_status mel_run(koe_op_ctx *c, koe_error *err)
{
    int64_t n_mel, n_dft, rate;
    double low, high;
    size_t bytes;
    koe_status st = int_in(c, 0, 1, &n_mel, err);
    if (st == KOE_OK) st = int_in(c, 1, 1, &n_dft, err);
    if (st == KOE_OK) st = int_in(c, 2, 1, &rate, err);
    if (st == KOE_OK) st = real_in(c, 3, &low, err);
    if (st == KOE_OK) st = real_in(c, 4, &high, err);
    int64_t dim[2] = { st == KOE_OK ? n_dft / 2 + 1 : 0, st == KOE_OK ? n_mel : 0 };
    if (st == KOE_OK) st = koe_shape_bytes(&bytes, KOE_DTYPE_F64, 2, dim, err);
    if (st != KOE_OK) return st;
    if (n_dft > INT32_MAX || n_mel > INT32_MAX)
        return koe_fail(err, KOE_E_FORMAT, "%" PRId64 " mel bins of %" PRId64, n_mel, n_dft);
    double *w = koe_scratch(c, bytes), from = mel_of(low), step = (mel_of(high) - from) / (double)(n_mel + 2);
    if (!w) return koe_fail(err, KOE_E_NOMEM, "mel weights");
    memset(w, 0, bytes);
    int64_t edge[3] = { 0, 0, 0 }; /* bins of the last three points on the mel scale */
    for (int64_t i = 0; i < n_mel + 2; i++) {
        edge[0] = edge[1];
        edge[1] = edge[2];
        double bin = floor((double)(n_dft + 1) * hz_of(from + (double)i * step) / (double)rate);
        edge[2] = bin > 0 ? (int64_t)bin : 0;
        if (i >= 2) triangle(w, dim[0], n_mel, i - 2, edge[0], edge[1], edge[2]);
    }
    return out_as(c, w, 2, dim, err);
}

static const koe_op table[] = {
    { "DFT", 17, 19, KOE_OP_WIDEN_HALF, NULL, NULL, dft17_run, NULL },
    { "DFT", 20, 0, KOE_OP_WIDEN_HALF, NULL, NULL, dft20_run, NULL },
    { "STFT", 17, 0, KOE_OP_WIDEN_HALF, NULL, NULL, stft_run, NULL },
    { "HannWindow", 17, 0, 0, NULL, NULL, hann_run, NULL },
    { "HammingWindow", 17, 0, 0, NULL, NULL, hamming_run, NULL },
    { "BlackmanWindow", 17, 0, 0, NULL, NULL, blackman_run, NULL },
    { "MelWeightMatrix", 17, 0, 0, NULL, NULL, mel_run, NULL },
};

koe_op_table koe_ops_signal(void) { return KOE_OP_TABLE(table); }
