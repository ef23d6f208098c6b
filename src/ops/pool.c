/* pool.c - MaxPool, AveragePool, LpPool and their global forms, over any number of spatial dimensions; com.microsoft
 * QLinearAveragePool and QLinearGlobalAveragePool. A task is one plane (one channel of one batch item). */
#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "ops/ops.h"
#include "ops/quant.h"
#include "ops/window.h"

typedef struct pool_job {
    koe_window w;
    size_t in_plane, out_plane; /* elements */
    const koe_tensor *x;
    koe_tensor *y;
    int64_t *index; /* MaxPool's second output, or NULL */
    bool column_major; /* storage_order of those indices */
    bool include_pad;
    double p; /* of the Lp norm */
    koe_quant_param xq, yq; /* QLinear: of input and output */
    size_t n_last; /* QLinear: channels when they are the last dimension, else 1 */
} pool_job;

/* The window of one output, clipped to the input: per dimension first input position and number of kernel positions. */
typedef struct span {
    int64_t first[KOE_MAX_SPATIAL], n[KOE_MAX_SPATIAL];
    bool empty;
} span;

static span window_at(const koe_window *w, const int64_t *o)
{
    span s = { .empty = false };
    for (int d = 0; d < w->n; d++) {
        int64_t from, to;
        koe_window_inside(w, d, o[d], &from, &to);
        s.first[d] = o[d] * w->stride[d] - w->pad_begin[d] + from * w->dilation[d];
        s.n[d] = to - from;
        if (s.n[d] == 0) s.empty = true;
    }
    return s;
}

/* Offset in the plane of the first element of the row that `k` (kernel position, last entry unused) selects. */
static size_t row_offset(const koe_window *w, const span *s, const int64_t *k)
{
    int64_t at = 0;
    for (int d = 0; d < w->n - 1; d++) at = (at + s->first[d] + k[d] * w->dilation[d]) * w->in[d + 1];
    return (size_t)(at + s->first[w->n - 1]);
}

/* Flat index with the first dimension fastest. */
static int64_t column_major_index(const koe_window *w, int64_t at)
{
    int64_t pos[KOE_MAX_SPATIAL], index = 0;
    for (int d = w->n - 1; d >= 0; d--) {
        pos[d] = at % w->in[d];
        at /= w->in[d];
    }
    for (int d = w->n - 1; d >= 0; d--) index = index * w->in[d] + pos[d];
    return index;
}

/* Positions of the window that count for an average over padding too: those inside input plus padding. */
static double padded_count(const koe_window *w, const int64_t *o)
{
    double n = 1;
    for (int d = 0; d < w->n; d++) {
        int64_t left = w->in[d] + w->pad_end[d] - (o[d] * w->stride[d] - w->pad_begin[d]);
        int64_t k = (left + w->dilation[d] - 1) / w->dilation[d];
        n *= (double)(k < w->kernel[d] ? k : w->kernel[d]);
    }
    return n;
}

static double inside_count(const koe_window *w, const span *s)
{
    double n = 1;
    for (int d = 0; d < w->n; d++) n *= (double)s->n[d];
    return n;
}

/* Runs `body` with `at` the offset of each element of window s in its plane. */
#define EACH_ELEMENT(w, s, body)                                                                                                 \
    do {                                                                                                                         \
        int64_t k_[KOE_MAX_SPATIAL] = { 0 };                                                                                     \
        size_t step_ = (size_t)(w)->dilation[(w)->n - 1];                                                                        \
        do {                                                                                                                     \
            size_t at = row_offset((w), (s), k_);                                                                                \
            for (int64_t e_ = 0; e_ < (s)->n[(w)->n - 1]; e_++, at += step_) {                                                   \
                body                                                                                                             \
            }                                                                                                                    \
        } while (koe_next_index((w)->n - 1, k_, (s)->n));                                                                        \
    } while (0)

#define DEFINE_MAX(T, lowest)                                                                                                    \
    static void max_##T(void *arg, size_t plane)                                                                                 \
    {                                                                                                                            \
        const pool_job *j = arg;                                                                                                 \
        const T *x = (const T *)j->x->data + plane * j->in_plane;                                                                \
        T *y = (T *)j->y->data + plane * j->out_plane;                                                                           \
        int64_t o[KOE_MAX_SPATIAL] = { 0 };                                                                                      \
        for (size_t i = 0; i < j->out_plane; i++, koe_next_index(j->w.n, o, j->w.out)) {                                         \
            span s = window_at(&j->w, o);                                                                                        \
            T best = lowest;                                                                                                     \
            int64_t where = -1;                                                                                                  \
            if (!s.empty)                                                                                                        \
                EACH_ELEMENT(                                                                                                    \
                    &j->w, &s, if (where < 0 || x[at] > best) {                                                                  \
                        best = x[at];                                                                                            \
                        where = (int64_t)at;                                                                                     \
                    });                                                                                                          \
            y[i] = best;                                                                                                         \
            if (!j->index) continue;                                                                                             \
            if (where >= 0 && j->column_major) where = column_major_index(&j->w, where);                                         \
            j->index[plane * j->out_plane + i] = where < 0 ? -1 : (int64_t)(plane * j->in_plane) + where;                        \
        }                                                                                                                        \
    }
DEFINE_MAX(float, -FLT_MAX)
DEFINE_MAX(double, -DBL_MAX)
DEFINE_MAX(int8_t, INT8_MIN)
DEFINE_MAX(uint8_t, 0)

static double average_of(const pool_job *j, const int64_t *o, const span *s, double sum)
{
    const double n = j->include_pad ? padded_count(&j->w, o) : inside_count(&j->w, s);
    return sum / (n > 0 ? n : 1);
}

static double lp_term(double v, double p) { return p == 2 ? v * v : p == 1 ? fabs(v) : pow(fabs(v), p); }
static double lp_root(double s, double p) { return p == 2 ? sqrt(s) : p == 1 ? s : pow(s, 1 / p); }

/* y = result, of the sum of `term` for each element x[at] of the window. */
#define DEFINE_SUM(name, T, term, result)                                                                                        \
    static void name##_##T(void *arg, size_t plane)                                                                              \
    {                                                                                                                            \
        const pool_job *j = arg;                                                                                                 \
        const T *x = (const T *)j->x->data + plane * j->in_plane;                                                                \
        T *y = (T *)j->y->data + plane * j->out_plane;                                                                           \
        int64_t o[KOE_MAX_SPATIAL] = { 0 };                                                                                      \
        for (size_t i = 0; i < j->out_plane; i++, koe_next_index(j->w.n, o, j->w.out)) {                                         \
            span s = window_at(&j->w, o);                                                                                        \
            double sum = 0;                                                                                                      \
            if (!s.empty) EACH_ELEMENT(&j->w, &s, sum += (term););                                                               \
            y[i] = (T)(result);                                                                                                  \
        }                                                                                                                        \
    }
DEFINE_SUM(average, float, (double)x[at], average_of(j, o, &s, sum))
DEFINE_SUM(average, double, x[at], average_of(j, o, &s, sum))
DEFINE_SUM(lp, float, lp_term((double)x[at], j->p), lp_root(sum, j->p))
DEFINE_SUM(lp, double, lp_term(x[at], j->p), lp_root(sum, j->p))

/* Integers in, integers out, averaged as the reals they stand for: padding is a real 0, so it does not add to the sum. When
 * padding counts, ONNX Runtime counts the whole kernel, even what ceil_mode puts beyond the padding. Element `at` of a plane is
 * n_last elements after the one before. */
#define DEFINE_QUANT_AVERAGE(T, low, high)                                                                                       \
    static void quant_average_##T(void *arg, size_t plane)                                                                       \
    {                                                                                                                            \
        const pool_job *j = arg;                                                                                                 \
        size_t item = plane / j->n_last, channel = plane % j->n_last;                                                            \
        const T *x = (const T *)j->x->data + item * j->in_plane * j->n_last + channel;                                           \
        T *y = (T *)j->y->data + item * j->out_plane * j->n_last + channel;                                                      \
        float lo = (float)(low - j->yq.zero), hi = (float)(high - j->yq.zero);                                                   \
        double scale = (double)j->xq.scale / (double)j->yq.scale;                                                                \
        int64_t o[KOE_MAX_SPATIAL] = { 0 };                                                                                      \
        for (size_t i = 0; i < j->out_plane; i++, koe_next_index(j->w.n, o, j->w.out)) {                                         \
            span s = window_at(&j->w, o);                                                                                        \
            double n = j->include_pad ? (double)koe_dim_product(j->w.kernel, 0, j->w.n) : inside_count(&j->w, &s);               \
            int64_t sum = 0;                                                                                                     \
            if (!s.empty) EACH_ELEMENT(&j->w, &s, sum += x[at * j->n_last] - j->xq.zero;);                                       \
            y[i * j->n_last] = (T)(koe_quant_round((float)((double)sum * scale / (n > 0 ? n : 1)), lo, hi) + j->yq.zero);        \
        }                                                                                                                        \
    }
DEFINE_QUANT_AVERAGE(int8_t, INT8_MIN, INT8_MAX)
DEFINE_QUANT_AVERAGE(uint8_t, 0, UINT8_MAX)

typedef struct pool_kernels {
    koe_pool_fn *f32, *f64, *i8, *u8;
} pool_kernels;
static const pool_kernels max_kernels = { max_float, max_double, max_int8_t, max_uint8_t };
static const pool_kernels average_kernels = { average_float, average_double, NULL, NULL };
static const pool_kernels lp_kernels = { lp_float, lp_double, NULL, NULL };
static const pool_kernels quant_kernels = { NULL, NULL, quant_average_int8_t, quant_average_uint8_t };

static koe_pool_fn *kernel_for(const pool_kernels *k, koe_dtype dtype)
{
    switch (dtype) {
    case KOE_DTYPE_F32: return k->f32;
    case KOE_DTYPE_F64: return k->f64;
    case KOE_DTYPE_I8: return k->i8;
    case KOE_DTYPE_U8: return k->u8;
    default: return NULL;
    }
}

/* Fills the window of a global pool: everything, once. */
static void whole_window(koe_window *w, int n, const int64_t *in)
{
    *w = (koe_window){ .n = n };
    for (int d = 0; d < n; d++) {
        w->in[d] = w->kernel[d] = in[d];
        w->out[d] = w->stride[d] = w->dilation[d] = 1;
    }
}

/* LpPool before opset 2 had a float p. */
static double lp_exponent(const koe_node *node)
{
    const koe_onnx_attr *a = koe_node_attr(node, "p");
    return !a ? 2 : a->type == KOE_ATTR_FLOAT ? (double)a->f : (double)a->i;
}

static koe_status pool(koe_op_ctx *c, const pool_kernels *kernels, bool global, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    koe_pool_fn *fn = kernel_for(kernels, x->dtype);
    if (!fn) return koe_type_error(c, x->dtype, err);
    if (x->n_dim < 3 && !(global && x->n_dim == 2)) return koe_fail(err, KOE_E_FORMAT, "input of %d dimensions", x->n_dim);
    pool_job j = { .x = x,
                   .p = lp_exponent(c->node),
                   .include_pad = koe_node_int(c->node, "count_include_pad", 0) != 0,
                   .column_major = koe_node_int(c->node, "storage_order", 0) != 0,
                   .n_last = 1 };
    bool channels_last = kernels == &quant_kernels && koe_node_int(c->node, "channels_last", 0) != 0;
    const int64_t *in = x->dim + (channels_last ? 1 : 2);
    int n = x->n_dim - 2;
    int64_t point = 1;
    if (n == 0) whole_window(&j.w, 1, &point);
    else if (global) whole_window(&j.w, n, in);
    else st = koe_window_read(&j.w, c->node, n, in, NULL, err);
    if (st == KOE_OK && kernels == &quant_kernels) st = koe_quant_whole(c, 1, 2, x->dtype, &j.xq, err);
    if (st == KOE_OK && kernels == &quant_kernels) st = koe_quant_whole(c, 3, 4, x->dtype, &j.yq, err);
    if (st != KOE_OK) return st;
    if (!(j.p > 0)) return koe_fail(err, KOE_E_FORMAT, "p is %g", j.p);
    int64_t dim[KOE_MAX_DIM];
    memcpy(dim, x->dim, sizeof dim);
    for (int d = 0; d < n; d++) dim[d + (channels_last ? 1 : 2)] = j.w.out[d];
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &j.y, err);
    if (st == KOE_OK && kernels == &max_kernels && c->n_out > 1 && c->out[1]) {
        koe_tensor *index;
        st = koe_out(c, 1, KOE_DTYPE_I64, x->n_dim, dim, &index, err);
        if (st == KOE_OK) j.index = index->data;
    }
    if (st != KOE_OK) return st;
    j.in_plane = koe_dim_product(j.w.in, 0, j.w.n);
    j.out_plane = koe_dim_product(j.w.out, 0, j.w.n);
    size_t n_channel = (size_t)x->dim[channels_last ? x->n_dim - 1 : 1];
    if (channels_last) j.n_last = n_channel;
    koe_pool_for(c->pool, (size_t)x->dim[0] * n_channel, fn, &j);
    return KOE_OK;
}

static koe_status max_run(koe_op_ctx *c, koe_error *err) { return pool(c, &max_kernels, false, err); }
static koe_status average_run(koe_op_ctx *c, koe_error *err) { return pool(c, &average_kernels, false, err); }
static koe_status lp_run(koe_op_ctx *c, koe_error *err) { return pool(c, &lp_kernels, false, err); }
static koe_status global_max_run(koe_op_ctx *c, koe_error *err) { return pool(c, &max_kernels, true, err); }
static koe_status global_average_run(koe_op_ctx *c, koe_error *err) { return pool(c, &average_kernels, true, err); }
static koe_status global_lp_run(koe_op_ctx *c, koe_error *err) { return pool(c, &lp_kernels, true, err); }
static koe_status quant_average_run(koe_op_ctx *c, koe_error *err) { return pool(c, &quant_kernels, false, err); }
static koe_status quant_global_run(koe_op_ctx *c, koe_error *err) { return pool(c, &quant_kernels, true, err); }

static const koe_op table[] = {
    { "MaxPool", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, max_run, NULL },
    { "AveragePool", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, average_run, NULL },
    { "LpPool", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, lp_run, NULL },
    { "GlobalMaxPool", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, global_max_run, NULL },
    { "GlobalAveragePool", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, global_average_run, NULL },
    { "GlobalLpPool", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, global_lp_run, NULL },
    { "QLinearAveragePool", 1, 0, 0, NULL, NULL, quant_average_run, "com.microsoft" },
    { "QLinearGlobalAveragePool", 1, 0, 0, NULL, NULL, quant_global_run, "com.microsoft" },
};

koe_op_table koe_ops_pool(void) { return KOE_OP_TABLE(table); }
