/* quant_math.c - com.microsoft operators from bytes to bytes: QLinearAdd, QLinearMul, QLinearSigmoid, QLinearLeakyRelu,
 * QLinearConcat, QLinearSoftmax. A byte has 256 values, so every function of one is a table. */
#include <inttypes.h>
#include <math.h>

#include "ops/ops.h"
#include "ops/quant.h"

enum { CHUNK = 16384 }; /* elements per task */

/* The integer behind each byte of a type. */
static int32_t value_of(koe_dtype type, int byte) { return type == KOE_DTYPE_I8 ? (int8_t)byte : byte; }

/* The byte for a real number. */
typedef struct quantiser {
    float scale, lo, hi;
    int32_t zero;
} quantiser;

static quantiser quantiser_for(koe_dtype type, koe_quant_param q)
{
    int32_t lo, hi;
    koe_quant_range(type, &lo, &hi);
    return (quantiser){ .scale = q.scale, .lo = (float)(lo - q.zero), .hi = (float)(hi - q.zero), .zero = q.zero };
}

static uint8_t to_byte(const quantiser *q, float v) { return (uint8_t)(koe_quant_round(v / q->scale, q->lo, q->hi) + q->zero); }

/* The real number behind each byte. */
static void reals(float table[256], koe_dtype type, koe_quant_param q)
{
    for (int i = 0; i < 256; i++) table[i] = (float)(value_of(type, i) - q.zero) * q.scale;
}

static koe_status need_bytes(koe_op_ctx *c, int i, const koe_tensor **t, koe_error *err)
{
    koe_status st = koe_need(c, i, t, err);
    return st == KOE_OK && !koe_is_byte((*t)->dtype) ? koe_type_error(c, (*t)->dtype, err) : st;
}

/* ---- functions of one byte ----------------------------------------------------------------------------------------------- */

typedef struct map_job {
    const uint8_t *x;
    uint8_t *y;
    size_t n;
    uint8_t table[256];
} map_job;

static void map_task(void *arg, size_t task)
{
    const map_job *j = arg;
    size_t from = task * CHUNK, to = j->n - from < CHUNK ? j->n : from + CHUNK;
    for (size_t i = from; i < to; i++) j->y[i] = j->table[j->x[i]];
}

static koe_status map_bytes(koe_op_ctx *c, float (*f)(float x, float alpha), koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_quant_param xq, yq;
    koe_status st = need_bytes(c, 0, &x, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 1, 2, x->dtype, &xq, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 3, 4, x->dtype, &yq, err);
    if (st == KOE_OK) st = koe_out(c, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    map_job j = { .x = x->data, .y = y->data, .n = koe_tensor_count(x) };
    float real[256], alpha = koe_node_float(c->node, "alpha", 0.01f);
    reals(real, x->dtype, xq);
    quantiser q = quantiser_for(x->dtype, yq);
    for (int i = 0; i < 256; i++) j.table[i] = to_byte(&q, f(real[i], alpha));
    koe_pool_for(c->pool, j.n / CHUNK + (j.n % CHUNK != 0), map_task, &j);
    return KOE_OK;
}

static float sigmoid(float x, float alpha)
{
    (void)alpha;
    return 1.0f / (1.0f + expf(-x));
}
static float leaky_relu(float x, float alpha) { return x < 0 ? alpha * x : x; }

static koe_status sigmoid_run(koe_op_ctx *c, koe_error *err) { return map_bytes(c, sigmoid, err); }
static koe_status leaky_run(koe_op_ctx *c, koe_error *err) { return map_bytes(c, leaky_relu, err); }

/* ---- functions of two bytes ---------------------------------------------------------------------------------------------- */

typedef struct pair_job {
    const uint8_t *a, *b;
    uint8_t *y;
    bool multiply;
    int n_dim;
    int64_t dim[KOE_MAX_DIM], a_step[KOE_MAX_DIM], b_step[KOE_MAX_DIM];
    size_t row; /* length of the last dimension */
    float a_real[256], b_real[256];
    quantiser q;
} pair_job;

/* One row of the last dimension. */
static void pair_task(void *arg, size_t task)
{
    const pair_job *j = arg;
    size_t left = task, at_a = 0, at_b = 0;
    for (int d = j->n_dim - 2; d >= 0; d--) {
        size_t at = left % (size_t)j->dim[d];
        left /= (size_t)j->dim[d];
        at_a += at * (size_t)j->a_step[d];
        at_b += at * (size_t)j->b_step[d];
    }
    size_t a_step = (size_t)j->a_step[j->n_dim - 1], b_step = (size_t)j->b_step[j->n_dim - 1];
    for (size_t i = 0; i < j->row; i++) {
        float a = j->a_real[j->a[at_a + i * a_step]], b = j->b_real[j->b[at_b + i * b_step]];
        j->y[task * j->row + i] = to_byte(&j->q, j->multiply ? a * b : a + b);
    }
}

static koe_status pair(koe_op_ctx *c, bool multiply, koe_error *err)
{
    const koe_tensor *a, *b;
    koe_tensor *y;
    koe_quant_param aq, bq, yq;
    pair_job j = { .multiply = multiply };
    koe_status st = need_bytes(c, 0, &a, err);
    if (st == KOE_OK) st = need_bytes(c, 3, &b, err);
    if (st == KOE_OK && a->dtype != b->dtype) st = koe_type_error(c, b->dtype, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 1, 2, a->dtype, &aq, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 4, 5, a->dtype, &bq, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 6, 7, a->dtype, &yq, err);
    if (st == KOE_OK) st = koe_broadcast(&j.n_dim, j.dim, a->n_dim, a->dim, b->n_dim, b->dim, err);
    if (st == KOE_OK) st = koe_out(c, 0, a->dtype, j.n_dim, j.dim, &y, err);
    if (st != KOE_OK) return st;
    if (j.n_dim == 0) j.dim[j.n_dim++] = 1;
    koe_broadcast_strides(j.a_step, a, j.n_dim, j.dim);
    koe_broadcast_strides(j.b_step, b, j.n_dim, j.dim);
    reals(j.a_real, a->dtype, aq);
    reals(j.b_real, b->dtype, bq);
    j.q = quantiser_for(a->dtype, yq);
    j.a = a->data;
    j.b = b->data;
    j.y = y->data;
    j.row = (size_t)j.dim[j.n_dim - 1];
    koe_pool_for(c->pool, koe_dim_product(j.dim, 0, j.n_dim - 1), pair_task, &j);
    return KOE_OK;
}

static koe_status add_run(koe_op_ctx *c, koe_error *err) { return pair(c, false, err); }
static koe_status mul_run(koe_op_ctx *c, koe_error *err) { return pair(c, true, err); }

/* ---- QLinearConcat: inputs are y_scale, y_zero_point, then (tensor, scale, zero point) of each part ----------------------- */

static koe_status concat_shape(koe_op_ctx *c, int *axis, int64_t *dim, const koe_tensor *first, koe_error *err)
{
    koe_status st = koe_axis(axis, koe_node_int(c->node, "axis", 0), first->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    for (int d = 0; d < first->n_dim; d++) dim[d] = d == *axis ? 0 : first->dim[d];
    for (int i = 2; i < c->n_in; i += 3) {
        const koe_tensor *t;
        st = need_bytes(c, i, &t, err);
        if (st != KOE_OK) return st;
        bool fits = t->n_dim == first->n_dim && t->dtype == first->dtype;
        for (int d = 0; fits && d < t->n_dim; d++) fits = d == *axis || t->dim[d] == dim[d];
        if (!fits || __builtin_add_overflow(dim[*axis], t->dim[*axis], &dim[*axis])) {
            char s[96];
            return koe_fail(err, KOE_E_FORMAT, "%s does not fit the first part", koe_tensor_describe(t, s, sizeof s));
        }
    }
    return KOE_OK;
}

static koe_status concat_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *first;
    koe_tensor *y;
    koe_quant_param xq, yq;
    int axis = 0;
    int64_t dim[KOE_MAX_DIM];
    koe_status st = need_bytes(c, 2, &first, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 0, 1, first->dtype, &yq, err);
    if (st == KOE_OK) st = concat_shape(c, &axis, dim, first, err);
    if (st == KOE_OK) st = koe_out(c, 0, first->dtype, first->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    quantiser q = quantiser_for(first->dtype, yq);
    size_t outer = koe_dim_product(dim, 0, axis), out_row = koe_dim_product(dim, axis, first->n_dim), at = 0;
    for (int i = 2; i < c->n_in; i += 3) {
        const koe_tensor *t = koe_in(c, i);
        float real[256];
        uint8_t table[256];
        st = koe_quant_whole(c, i + 1, i + 2, t->dtype, &xq, err);
        if (st != KOE_OK) return st;
        reals(real, t->dtype, xq);
        for (int e = 0; e < 256; e++) table[e] = to_byte(&q, real[e]);
        size_t row = koe_dim_product(t->dim, axis, t->n_dim);
        for (size_t o = 0; o < outer; o++) {
            uint8_t *to = (uint8_t *)y->data + o * out_row + at;
            const uint8_t *from = (const uint8_t *)t->data + o * row;
            for (size_t e = 0; e < row; e++) to[e] = table[from[e]];
        }
        at += row;
    }
    return KOE_OK;
}

/* ---- QLinearSoftmax ------------------------------------------------------------------------------------------------------ */

typedef struct softmax_job {
    const uint8_t *x;
    uint8_t *y;
    koe_dtype type;
    size_t n, inner; /* length along the axis; elements behind it */
    float exp_of[256]; /* of (i - 255) * scale: a value's distance below the largest */
    quantiser q;
} softmax_job;

static void softmax_task(void *arg, size_t task)
{
    const softmax_job *j = arg;
    size_t base = task / j->inner * j->n * j->inner + task % j->inner;
    const uint8_t *x = j->x + base;
    uint8_t *y = j->y + base;
    int32_t top = INT8_MIN;
    for (size_t i = 0; i < j->n; i++) {
        int32_t v = value_of(j->type, x[i * j->inner]);
        if (v > top) top = v;
    }
    float sum = 0;
    for (size_t i = 0; i < j->n; i++) sum += j->exp_of[255 - (top - value_of(j->type, x[i * j->inner]))];
    for (size_t i = 0; i < j->n; i++)
        y[i * j->inner] = to_byte(&j->q, j->exp_of[255 - (top - value_of(j->type, x[i * j->inner]))] / sum);
}

static koe_status softmax_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_quant_param xq, yq;
    int axis = 0;
    koe_status st = need_bytes(c, 0, &x, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 1, 2, x->dtype, &xq, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 3, 4, x->dtype, &yq, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", -1), x->n_dim, false, c->node, err);
    if (st == KOE_OK) st = koe_out(c, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    /* Before opset 13, Softmax runs over all dimensions from the axis on. */
    bool flat = koe_node_int(c->node, "opset", 13) < 13;
    softmax_job j = { .x = x->data, .y = y->data, .type = x->dtype, .q = quantiser_for(x->dtype, yq) };
    j.n = koe_dim_product(x->dim, axis, flat ? x->n_dim : axis + 1);
    j.inner = flat ? 1 : koe_dim_product(x->dim, axis + 1, x->n_dim);
    for (int i = 0; i < 256; i++) j.exp_of[i] = expf((float)(i - 255) * xq.scale);
    if (j.n > 0) koe_pool_for(c->pool, koe_tensor_count(x) / j.n, softmax_task, &j);
    return KOE_OK;
}

static const koe_op table[] = {
    { "QLinearAdd", 1, 0, 0, NULL, NULL, add_run, "com.microsoft" },
    { "QLinearMul", 1, 0, 0, NULL, NULL, mul_run, "com.microsoft" },
    { "QLinearSigmoid", 1, 0, 0, NULL, NULL, sigmoid_run, "com.microsoft" },
    { "QLinearLeakyRelu", 1, 0, 0, NULL, NULL, leaky_run, "com.microsoft" },
    { "QLinearConcat", 1, 0, 0, NULL, NULL, concat_run, "com.microsoft" },
    { "QLinearSoftmax", 1, 0, 0, NULL, NULL, softmax_run, "com.microsoft" },
};

koe_op_table koe_ops_quant_math(void) { return KOE_OP_TABLE(table); }
