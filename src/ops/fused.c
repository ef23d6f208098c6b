/* fused.c - the operators of koe's own domain, which the passes of the graph room put in place of several of ONNX's.
 *     ChannelNorm(x, g, b)               layer norm of x [N,C,T] over C; g, b [C]
 *     Gate(a, b)                         tanh(a) * sigmoid(b); with one input [N,2C,T] its halves are a and b
 *     Snake(x, a, r)                     x + r * sin(a x)^2;                      a, r [1,C,1]
 *     AdaIN(x, w, b, g, h [, a, r])      act(g * InstanceNorm(x; w, b) + h);      w, b [C]; g, h broadcast to x, e.g. [1,C,1];
 *                                        act: Snake with a, r, LeakyRelu with attribute `leaky`, else none
 *     AdaINStyle(x, w, b, g, h)          scale and shift [N*C] such that g * InstanceNorm(x; w, b) + h = x * scale + shift: the norm of a
 *                                        convolution's input, which then needs no pass of its own
 *     Repeat(x)                          every element of the last dimension as often as attribute `times` says
 *     Sum(a, b)                          Add, where the result is stored as float16 (graph/narrow.c)
 *     Conv, ConvTranspose (conv.c)       x, w, b, addend, scale, shift, a, r, w_scale, w_zero, addend:
 *                                        act(conv(pre(x)) + b + addends) * attribute `scale`;
 *                                        pre: x * scale + shift (one for each row), then Snake or LeakyRelu (attribute `leaky`);
 *                                        inputs 8, 9 of Conv: scale and zero point of w, constants, when w is one in 8 bits
 * All float32; half precision is widened by the executor. */
#include <inttypes.h>
#include <math.h>

#include "base/half.h"
#include "kernels/kernels.h"
#include "ops/elementwise.h"
#include "ops/ops.h"
#include "ops/tasks.h"

/* x [n,C,...]: rows of n_inner elements, one per channel. */
typedef struct rows {
    size_t n_rows, n_channels, n_inner;
} rows;

static koe_status read_rows(const koe_tensor *x, rows *r, koe_error *err)
{
    if (x->dtype != KOE_DTYPE_F32) return koe_fail(err, KOE_E_UNSUPPORTED, "input of type %s", koe_dtype_name(x->dtype));
    if (x->n_dim < 3) return koe_fail(err, KOE_E_FORMAT, "%d dimensions, at least 3 are needed", x->n_dim);
    *r = (rows){ (size_t)x->dim[0] * (size_t)x->dim[1], (size_t)x->dim[1], koe_dim_product(x->dim, 2, x->n_dim) };
    return KOE_OK;
}

/* Input i as one number for each channel; NULL when absent, an error when it has another size or type. */
static koe_status per_channel(const koe_op_ctx *c, int i, size_t n, const float **out, koe_error *err)
{
    const koe_tensor *t = koe_in(c, i);
    *out = NULL;
    if (!t) return KOE_OK;
    if (t->dtype != KOE_DTYPE_F32 || koe_tensor_count(t) != n)
        return koe_fail(err, KOE_E_FORMAT, "input %d must have one float32 for each of %zu channels", i, n);
    *out = t->data;
    return KOE_OK;
}

typedef struct snake_job {
    float *y;
    const float *x, *a, *r;
    rows rows;
} snake_job;

static void snake_row(void *arg, size_t row)
{
    const snake_job *j = arg;
    size_t ch = row % j->rows.n_channels, n = j->rows.n_inner;
    koe_f32_affine_snake(j->y + row * n, j->x + row * n, n, 1, 0, j->a[ch], j->r[ch]);
}

static koe_status snake_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    snake_job j;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = read_rows(x, &j.rows, err);
    if (st == KOE_OK) st = per_channel(c, 1, j.rows.n_channels, &j.a, err);
    if (st == KOE_OK) st = per_channel(c, 2, j.rows.n_channels, &j.r, err);
    if (st == KOE_OK && (!j.a || !j.r)) st = koe_fail(err, KOE_E_FORMAT, "Snake needs a and r");
    if (st != KOE_OK) return st;
    j.x = x->data;
    st = koe_out_inplace(c, 0, 0, KOE_DTYPE_F32, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    j.y = y->data;
    koe_pool_for(c->pool, j.rows.n_rows, snake_row, &j);
    return KOE_OK;
}

typedef struct adain_job {
    float *y, *scale, *shift;
    const float *x, *w, *b, *g, *h, *a, *r;
    rows rows;
    bool half; /* x is float16 */
    size_t n_style; /* elements of g and h: 1, or one for each row */
    float epsilon, leaky;
} adain_job;

/* The norm and the style of one row as x * scale + shift; x is that row. */
static void row_affine(const adain_job *j, size_t row, const float *x, float *scale, float *shift)
{
    size_t ch = row % j->rows.n_channels, style = j->n_style == 1 ? 0 : row % j->n_style;
    float mean, var;
    koe_f32_mean_var(x, j->rows.n_inner, &mean, &var);
    float s = j->w[ch] / sqrtf(var + j->epsilon);
    *scale = s * j->g[style];
    *shift = (j->b[ch] - mean * s) * j->g[style] + j->h[style];
}

static void adain_row(void *arg, size_t row)
{
    const adain_job *j = arg;
    size_t ch = row % j->rows.n_channels, n = j->rows.n_inner;
    const float *x = j->x + row * n;
    float *y = j->y + row * n, scale, shift;
    row_affine(j, row, x, &scale, &shift);
    if (j->a) koe_f32_affine_snake(y, x, n, scale, shift, j->a[ch], j->r[ch]);
    else koe_f32_affine_leaky(y, x, n, scale, shift, j->leaky);
}

static void style_row(void *arg, size_t row, void *scratch)
{
    const adain_job *j = arg;
    const size_t n = j->rows.n_inner;
    const float *x = j->x + row * n;
    if (j->half) {
        koe_f16_widen(scratch, (const uint16_t *)(const void *)j->x + row * n, n);
        x = scratch;
    }
    row_affine(j, row, x, &j->scale[row], &j->shift[row]);
}

/* True when t holds one number for each channel, or for each row, of x, in the order of the rows: [1,C,1,...] or [N,C,1,...]. */
static bool is_style(const koe_tensor *t, const koe_tensor *x, size_t n_rows)
{
    if (t->dtype != KOE_DTYPE_F32 || t->n_dim != x->n_dim) return false;
    for (int i = 2; i < t->n_dim; i++)
        if (t->dim[i] != 1) return false;
    return t->dim[1] == x->dim[1] && (t->dim[0] == 1 || koe_tensor_count(t) == n_rows);
}

static koe_status read_adain(const koe_op_ctx *c, adain_job *j, const koe_tensor **x, koe_error *err)
{
    const koe_tensor *g, *h;
    *j = (adain_job){ .epsilon = koe_node_float(c->node, "epsilon", 1e-5f), .leaky = koe_node_float(c->node, "leaky", 1) };
    koe_status st = koe_need(c, 0, x, err);
    if (st == KOE_OK) st = koe_need(c, 3, &g, err);
    if (st == KOE_OK) st = koe_need(c, 4, &h, err);
    if (st == KOE_OK) st = read_rows(*x, &j->rows, err);
    if (st == KOE_OK) st = per_channel(c, 1, j->rows.n_channels, &j->w, err);
    if (st == KOE_OK) st = per_channel(c, 2, j->rows.n_channels, &j->b, err);
    if (st == KOE_OK) st = per_channel(c, 5, j->rows.n_channels, &j->a, err);
    if (st == KOE_OK) st = per_channel(c, 6, j->rows.n_channels, &j->r, err);
    if (st != KOE_OK) return st;
    if (!j->w || !j->b || (j->a && !j->r)) return koe_fail(err, KOE_E_FORMAT, "AdaIN: inputs are missing");
    if (!is_style(g, *x, j->rows.n_rows) || !is_style(h, *x, j->rows.n_rows) || g->dim[0] != h->dim[0])
        return koe_fail(err, KOE_E_UNSUPPORTED, "AdaIN: the style is not one number for each channel (run with --passes=-adain)");
    j->x = (*x)->data;
    j->g = g->data;
    j->h = h->data;
    j->n_style = koe_tensor_count(g);
    return KOE_OK;
}

static koe_status adain_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    adain_job j;
    koe_status st = read_adain(c, &j, &x, err);
    if (st == KOE_OK) st = koe_out_inplace(c, 0, 0, KOE_DTYPE_F32, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    j.y = y->data;
    koe_pool_for(c->pool, j.rows.n_rows, adain_row, &j);
    return KOE_OK;
}

static koe_status style_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *scale, *shift;
    adain_job j;
    koe_status st = read_adain(c, &j, &x, err);
    const int64_t n_rows = (int64_t)j.rows.n_rows;
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_F32, 1, &n_rows, &scale, err);
    if (st == KOE_OK) st = koe_out(c, 1, KOE_DTYPE_F32, 1, &n_rows, &shift, err);
    if (st != KOE_OK) return st;
    j.scale = scale->data;
    j.shift = shift->data;
    j.half = koe_in_narrow(c, 0);
    return koe_tasks_run(c, j.rows.n_rows, j.half ? j.rows.n_inner * sizeof(float) : 0, style_row, &j, err);
}

/* ---- Sum ---- */

typedef struct sum_job {
    const void *x[2];
    uint16_t *y;
    bool half[2];
    size_t n;
} sum_job;

enum { SUM_PIECE = 2048, SUM_TASK = 64 * SUM_PIECE };

static void sum_task(void *arg, size_t task)
{
    const sum_job *j = arg;
    float piece[2][SUM_PIECE];
    const size_t end = j->n - task * SUM_TASK < SUM_TASK ? j->n : (task + 1) * SUM_TASK;
    for (size_t at = task * SUM_TASK; at < end; at += SUM_PIECE) {
        const size_t n = end - at < SUM_PIECE ? end - at : SUM_PIECE;
        for (int k = 0; k < 2; k++) {
            if (j->half[k]) koe_f16_widen(piece[k], (const uint16_t *)j->x[k] + at, n);
            else memcpy(piece[k], (const float *)j->x[k] + at, n * sizeof(float));
        }
        for (size_t i = 0; i < n; i++) piece[0][i] += piece[1][i];
        koe_f16_narrow(j->y + at, piece[0], n);
        for (size_t i = at; i < at + n; i++) j->y[i] = koe_f16_finite(j->y[i]);
    }
}

/* ONNX's Add, where it is to make a narrow value of two that are alike. */
static koe_status sum_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 1, &b, err);
    if (st != KOE_OK) return st;
    const bool alike = a->dtype == KOE_DTYPE_F32 && b->dtype == KOE_DTYPE_F32 && a->n_dim == b->n_dim &&
                       memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->n_dim) == 0;
    if (!alike || !koe_is_narrow(c, a->n_dim, a->dim)) return koe_run_widely(c, koe_op_find(KOE_STR(""), KOE_STR("Add"), c->node->opset), err);
    sum_job j = { .x = { a->data, b->data }, .half = { koe_in_narrow(c, 0), koe_in_narrow(c, 1) }, .n = koe_tensor_count(a) };
    st = koe_out_narrow(c, j.half[0] ? 0 : 1, a->n_dim, a->dim, &y, err);
    if (st != KOE_OK) return st;
    j.y = y->data;
    koe_pool_for(c->pool, (j.n + SUM_TASK - 1) / SUM_TASK, sum_task, &j);
    return KOE_OK;
}

typedef struct channel_job {
    float *y;
    const float *x, *g, *b;
    size_t n_channels, n_inner, n_blocks;
    float epsilon;
} channel_job;

enum { CHANNEL_BLOCK = 64 }; /* columns that a task walks down together */

static void channel_block(void *arg, size_t task)
{
    const channel_job *j = arg;
    const size_t from = task % j->n_blocks * CHANNEL_BLOCK, n = j->n_inner - from < CHANNEL_BLOCK ? j->n_inner - from : CHANNEL_BLOCK;
    const size_t at = task / j->n_blocks * j->n_channels * j->n_inner + from;
    const float *x = j->x + at, over = 1 / (float)j->n_channels;
    float *y = j->y + at, mean[CHANNEL_BLOCK] = { 0 }, unit[CHANNEL_BLOCK] = { 0 };
    for (size_t ch = 0; ch < j->n_channels; ch++)
        for (size_t i = 0; i < n; i++) mean[i] += x[ch * j->n_inner + i];
    for (size_t i = 0; i < n; i++) mean[i] *= over;
    for (size_t ch = 0; ch < j->n_channels; ch++)
        for (size_t i = 0; i < n; i++) {
            const float d = x[ch * j->n_inner + i] - mean[i];
            unit[i] += d * d;
        }
    for (size_t i = 0; i < n; i++) unit[i] = 1 / sqrtf(unit[i] * over + j->epsilon);
    for (size_t ch = 0; ch < j->n_channels; ch++)
        for (size_t i = 0; i < n; i++) y[ch * j->n_inner + i] = (x[ch * j->n_inner + i] - mean[i]) * unit[i] * j->g[ch] + j->b[ch];
}

static koe_status channel_norm_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    rows r = { 0 };
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = read_rows(x, &r, err);
    if (st != KOE_OK) return st;
    channel_job j = { .x = x->data, .n_channels = r.n_channels, .n_inner = r.n_inner, .epsilon = koe_node_float(c->node, "epsilon", 1e-5f) };
    st = per_channel(c, 1, r.n_channels, &j.g, err);
    if (st == KOE_OK) st = per_channel(c, 2, r.n_channels, &j.b, err);
    if (st == KOE_OK && (!j.g || !j.b)) st = koe_fail(err, KOE_E_FORMAT, "ChannelNorm needs g and b");
    if (st == KOE_OK) st = koe_out_inplace(c, 0, 0, KOE_DTYPE_F32, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(x) == 0) return st;
    j.y = y->data;
    j.n_blocks = (j.n_inner + CHANNEL_BLOCK - 1) / CHANNEL_BLOCK;
    koe_pool_for(c->pool, (size_t)x->dim[0] * j.n_blocks, channel_block, &j);
    return KOE_OK;
}

typedef struct gate_job {
    float *y;
    const float *a, *b;
    size_t n, pitch, chunk, n_chunks; /* n elements of y in a row of `pitch` of a and of b */
} gate_job;

static void gate_task(void *arg, size_t task)
{
    const gate_job *j = arg;
    const size_t row = task / j->n_chunks, from = task % j->n_chunks * j->chunk, n = j->n - from < j->chunk ? j->n - from : j->chunk;
    koe_f32_gate(j->y + row * j->n + from, j->a + row * j->pitch + from, j->b + row * j->pitch + from, n);
}

static koe_status gate_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b = koe_in(c, 1);
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &a, err);
    if (st != KOE_OK) return st;
    if (a->dtype != KOE_DTYPE_F32 || (b && b->dtype != KOE_DTYPE_F32)) return koe_type_error(c, a->dtype, err);
    if (b ? koe_tensor_count(a) != koe_tensor_count(b) : a->n_dim < 2 || a->dim[1] % 2)
        return koe_fail(err, KOE_E_FORMAT, "the gate does not fit");
    int64_t dim[KOE_MAX_DIM];
    memcpy(dim, a->dim, sizeof dim);
    if (!b) dim[1] /= 2;
    if (b) st = koe_out_inplace(c, 0, 0, KOE_DTYPE_F32, a->n_dim, dim, &y, err);
    else st = koe_out(c, 0, KOE_DTYPE_F32, a->n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    const size_t n_rows = b ? 1 : (size_t)a->dim[0];
    gate_job j = { .y = y->data, .a = a->data, .n = koe_tensor_count(y) / n_rows, .pitch = koe_tensor_count(a) / n_rows, .chunk = 4096 };
    j.b = b ? b->data : j.a + j.n;
    j.n_chunks = (j.n + j.chunk - 1) / j.chunk;
    koe_pool_for(c->pool, n_rows * j.n_chunks, gate_task, &j);
    return KOE_OK;
}

typedef struct repeat_job {
    float *y;
    const float *x;
    size_t times;
} repeat_job;

static void repeat_range(void *arg, size_t from, size_t to)
{
    const repeat_job *j = arg;
    if (j->times == 2) { /* by far the most frequent: one that compilers make vectors of */
        for (size_t i = from; i < to; i++) j->y[2 * i] = j->y[2 * i + 1] = j->x[i];
        return;
    }
    for (size_t i = from; i < to; i++)
        for (size_t k = 0; k < j->times; k++) j->y[i * j->times + k] = j->x[i];
}

static koe_status repeat_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    int64_t dim[KOE_MAX_DIM];
    const int64_t times = koe_node_int(c->node, "times", 1);
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32) return koe_type_error(c, x->dtype, err);
    if (x->n_dim < 1 || times < 1) return koe_fail(err, KOE_E_FORMAT, "nothing to repeat");
    memcpy(dim, x->dim, sizeof dim);
    if (__builtin_mul_overflow(dim[x->n_dim - 1], times, &dim[x->n_dim - 1])) return koe_fail(err, KOE_E_LIMIT, "repeated %" PRId64 " times", times);
    st = koe_out(c, 0, KOE_DTYPE_F32, x->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    repeat_job j = { .y = y->data, .x = x->data, .times = (size_t)times };
    koe_for_ranges(c->pool, koe_tensor_count(x), KOE_LOOP_CHUNK, repeat_range, &j);
    return KOE_OK;
}

static const koe_op table[] = {
    { "ChannelNorm", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, channel_norm_run, "koe" },
    { "Gate", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, gate_run, "koe" },
    { "Repeat", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, repeat_run, "koe" },
    { "Snake", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, snake_run, "koe" },
    { "AdaIN", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, adain_run, "koe" },
    { "AdaINStyle", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_NARROW, NULL, NULL, style_run, "koe" },
    { "Sum", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_NARROW, NULL, NULL, sum_run, "koe" },
};

koe_op_table koe_ops_fused(void) { return KOE_OP_TABLE(table); }
