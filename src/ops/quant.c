/* quant.c - QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and the helpers of quant.h. */
#include "ops/quant.h"

#include <float.h>
#include <inttypes.h>
#include <stdlib.h>

#include "ops/elementwise.h"
#include "ops/ops.h"

enum { CHUNK = 32768 }; /* elements per task */

/* ---- helpers of the family --------------------------------------------------------------------------------------------- */

bool koe_quant_range(koe_dtype dtype, int32_t *lo, int32_t *hi)
{
    switch (dtype) {
    case KOE_DTYPE_U8: *lo = 0, *hi = UINT8_MAX; return true;
    case KOE_DTYPE_I8: *lo = INT8_MIN, *hi = INT8_MAX; return true;
    case KOE_DTYPE_U16: *lo = 0, *hi = UINT16_MAX; return true;
    case KOE_DTYPE_I16: *lo = INT16_MIN, *hi = INT16_MAX; return true;
    default: return false;
    }
}

/* Element i of an 8-, 16- or 32-bit integer tensor. */
static int32_t int_at(const koe_tensor *t, size_t i)
{
    switch (t->dtype) {
    case KOE_DTYPE_U8: return ((const uint8_t *)t->data)[i];
    case KOE_DTYPE_I8: return ((const int8_t *)t->data)[i];
    case KOE_DTYPE_U16: return ((const uint16_t *)t->data)[i];
    case KOE_DTYPE_I16: return ((const int16_t *)t->data)[i];
    default: return ((const int32_t *)t->data)[i];
    }
}

koe_status koe_quant_zeros(koe_op_ctx *c, int i, koe_dtype dtype, const int32_t **out, size_t *n, koe_error *err)
{
    static const int32_t none = 0;
    const koe_tensor *t = koe_in(c, i);
    *out = &none;
    *n = 1;
    if (!t) return KOE_OK;
    int32_t lo, hi;
    if (dtype != KOE_DTYPE_NONE && t->dtype != dtype)
        return koe_fail(err, KOE_E_FORMAT, "the zero point is %s, its tensor %s", koe_dtype_name(t->dtype),
                        koe_dtype_name(dtype));
    if (!koe_quant_range(t->dtype, &lo, &hi) && t->dtype != KOE_DTYPE_I32) return koe_type_error(c, t->dtype, err);
    size_t count = koe_tensor_count(t);
    if (count > SIZE_MAX / sizeof(int32_t)) return koe_fail(err, KOE_E_LIMIT, "%zu zero points", count);
    int32_t *v = koe_scratch(c, count * sizeof *v);
    if (!v) return koe_fail(err, KOE_E_NOMEM, "%zu zero points", count);
    for (size_t e = 0; e < count; e++) v[e] = int_at(t, e);
    *out = v;
    *n = count;
    return KOE_OK;
}

koe_status koe_quant_scales(koe_op_ctx *c, int i, const float **out, size_t *n, koe_error *err)
{
    const koe_tensor *t;
    koe_status st = koe_need(c, i, &t, err);
    if (st != KOE_OK) return st;
    if (t->dtype != KOE_DTYPE_F32) return koe_type_error(c, t->dtype, err);
    *out = t->data;
    *n = koe_tensor_count(t);
    return KOE_OK;
}

koe_status koe_quant_whole(koe_op_ctx *c, int i_scale, int i_zero, koe_dtype dtype, koe_quant_param *out, koe_error *err)
{
    const float *scale;
    const int32_t *zero;
    size_t n_scale, n_zero;
    koe_status st = koe_quant_scales(c, i_scale, &scale, &n_scale, err);
    if (st == KOE_OK) st = koe_quant_zeros(c, i_zero, dtype, &zero, &n_zero, err);
    if (st != KOE_OK) return st;
    if (n_scale != 1 || n_zero != 1)
        return koe_fail(err, KOE_E_FORMAT, "one scale and zero point expected for the whole tensor, got %zu and %zu", n_scale,
                        n_zero);
    *out = (koe_quant_param){ .scale = scale[0], .zero = zero[0] };
    return KOE_OK;
}

/* Bytes from one packed matrix to the next, and of all; KOE_E_LIMIT when they overflow. */
static koe_status pack_size(const koe_quant_matrices *m, size_t *each, size_t *all, koe_error *err)
{
    size_t bytes = koe_i8_packed_bytes(m->k, m->n);
    *each = (bytes + 63) / 64 * 64;
    if (bytes == 0 || bytes > SIZE_MAX - 63 || m->n_matrix > SIZE_MAX / 2 / sizeof(koe_i8_packed) ||
        __builtin_mul_overflow(*each, m->n_matrix, all))
        return koe_fail(err, KOE_E_LIMIT, "%zu matrices of %zu by %zu", m->n_matrix, m->k, m->n);
    return KOE_OK;
}

typedef struct pack_job {
    koe_i8_packed *out;
    char *memory;
    size_t each;
    const char *data;
    bool is_signed;
    const koe_quant_matrices *m;
} pack_job;

static void pack_task(void *arg, size_t i)
{
    const pack_job *j = arg;
    const koe_quant_matrices *m = j->m;
    koe_i8_source b = {
        .data = j->data + i * m->distance, .is_signed = j->is_signed, .row_step = m->row_step, .col_step = m->col_step
    };
    koe_i8_pack(&j->out[i], j->memory + i * j->each, &b, m->k, m->n);
}

koe_status koe_quant_pack(koe_i8_packed **out, koe_node *node, int i, const koe_quant_matrices *m, koe_error *err)
{
    size_t all = 0;
    void *memory;
    bool ready = false;
    pack_job j = { .is_signed = node->in_const[i]->dtype == KOE_DTYPE_I8, .m = m };
    koe_status st = pack_size(m, &j.each, &all, err);
    if (st == KOE_OK) st = koe_node_pack(node, i, (unsigned)i, all ? all : 1, &memory, &ready, err);
    if (st != KOE_OK) return st;
    j.memory = memory;
    j.data = ready ? NULL : koe_node_data(node, i);
    j.out = calloc(m->n_matrix + 1, sizeof *j.out);
    if (!j.out || (!ready && !j.data)) {
        free(j.out);
        return koe_fail(err, KOE_E_NOMEM, "packed weights");
    }
    for (size_t k = 0; k < m->n_matrix; k++) {
        if (ready) koe_i8_open(&j.out[k], j.memory + k * j.each, j.is_signed, m->k, m->n);
        else pack_task(&j, k);
    }
    *out = j.out;
    return KOE_OK;
}

koe_status koe_quant_pack_now(const koe_i8_packed **out, koe_op_ctx *c, const koe_tensor *b, const koe_quant_matrices *m,
                              koe_error *err)
{
    size_t all = 0;
    pack_job j = { .data = b->data, .is_signed = b->dtype == KOE_DTYPE_I8, .m = m };
    koe_status st = pack_size(m, &j.each, &all, err);
    if (st != KOE_OK) return st;
    j.memory = koe_scratch(c, all);
    j.out = koe_scratch(c, m->n_matrix * sizeof *j.out);
    if (!j.memory || !j.out) return koe_fail(err, KOE_E_NOMEM, "%zu matrices of %zu by %zu", m->n_matrix, m->k, m->n);
    koe_pool_for(c->pool, m->n_matrix, pack_task, &j);
    *out = j.out;
    return KOE_OK;
}

/* ---- DynamicQuantizeLinear --------------------------------------------------------------------------------------------- */

typedef struct range_job {
    const float *x;
    size_t n, part; /* elements per task */
    float low[64], high[64];
} range_job;

static void range_task(void *arg, size_t task)
{
    range_job *j = arg;
    size_t from = task * j->part, n = j->n - from < j->part ? j->n - from : j->part;
    koe_f32_extremes(j->x + from, n, &j->low[task], &j->high[task]);
}

koe_quant_param koe_dynamic_param(koe_pool *pool, const float *x, size_t n)
{
    range_job j = { .x = x, .n = n, .part = n / 64 + 1 };
    if (j.part < CHUNK) j.part = CHUNK;
    size_t n_task = n / j.part + (n % j.part != 0);
    koe_pool_for(pool, n_task, range_task, &j);
    float low = 0, high = 0;
    for (size_t i = 0; i < n_task; i++) {
        low = j.low[i] < low ? j.low[i] : low;
        high = j.high[i] > high ? j.high[i] : high;
    }
    float scale = low == high ? 1.0f : (high - low) / 255.0f;
    return (koe_quant_param){ .scale = scale, .zero = koe_quant_round(0.0f - low / scale, 0, 255) };
}

typedef struct u8_job {
    uint8_t *y;
    const float *x;
    size_t n;
    koe_quant_param q;
} u8_job;

static void u8_task(void *arg, size_t task)
{
    const u8_job *j = arg;
    size_t from = task * CHUNK, n = j->n - from < CHUNK ? j->n - from : CHUNK;
    koe_f32_quantise_u8(j->y + from, j->x + from, n, j->q.scale, j->q.zero);
}

void koe_quantize_u8(koe_pool *pool, uint8_t *y, const float *x, size_t n, koe_quant_param q)
{
    u8_job j = { .y = y, .x = x, .n = n, .q = q };
    koe_pool_for(pool, n / CHUNK + (n % CHUNK != 0), u8_task, &j);
}

static koe_status dynamic_quantize_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y, *scale, *zero;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32) return koe_type_error(c, x->dtype, err);
    st = koe_out(c, 0, KOE_DTYPE_U8, x->n_dim, x->dim, &y, err);
    if (st == KOE_OK) st = koe_out(c, 1, KOE_DTYPE_F32, 0, NULL, &scale, err);
    if (st == KOE_OK) st = koe_out(c, 2, KOE_DTYPE_U8, 0, NULL, &zero, err);
    if (st != KOE_OK) return st;
    size_t n = koe_tensor_count(x);
    koe_quant_param q = koe_dynamic_param(c->pool, x->data, n);
    *(float *)scale->data = q.scale;
    *(uint8_t *)zero->data = (uint8_t)q.zero;
    koe_quantize_u8(c->pool, y->data, x->data, n, q);
    return KOE_OK;
}

/* ---- QuantizeLinear, DequantizeLinear ---------------------------------------------------------------------------------- */

/* Which scale each element takes. Per tensor: inner is everything. Per axis: `inner` elements in a row share one. Blocked: the
 * scale tensor has x's shape but for the axis, where `block` elements share one. */
typedef struct layout {
    size_t inner; /* product of the dimensions behind the axis */
    size_t n_axis, n_block; /* length of the axis in x, and in the scale tensor when blocked */
    size_t block; /* 0: not blocked */
} layout;

static koe_status read_layout(koe_op_ctx *c, const koe_tensor *x, const koe_tensor *scale, layout *l, koe_error *err)
{
    size_t n_scale = koe_tensor_count(scale);
    int64_t block = koe_node_int(c->node, "block_size", 0);
    *l = (layout){ .inner = koe_tensor_count(x), .n_axis = 1, .n_block = 1 };
    if (block < 0) return koe_fail(err, KOE_E_FORMAT, "block_size is %" PRId64, block);
    if (n_scale == 1 && (scale->n_dim == 0 || (scale->n_dim == 1 && block == 0))) return KOE_OK;
    int axis;
    koe_status st = koe_axis(&axis, koe_node_int(c->node, "axis", 1), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    l->inner = koe_dim_product(x->dim, axis + 1, x->n_dim);
    l->n_axis = (size_t)x->dim[axis];
    bool fits;
    if (block == 0) {
        fits = scale->n_dim == 1 && n_scale == l->n_axis;
    } else {
        l->block = (size_t)block;
        l->n_block = l->n_axis / l->block + (l->n_axis % l->block != 0);
        fits = scale->n_dim == x->n_dim;
        for (int i = 0; fits && i < x->n_dim; i++)
            fits = i == axis ? (size_t)scale->dim[i] == l->n_block : scale->dim[i] == x->dim[i];
    }
    if (fits) return KOE_OK;
    char xs[96], ss[96];
    return koe_fail(err, KOE_E_FORMAT, "scale %s does not fit %s on axis %d, block size %" PRId64 "",
                    koe_tensor_describe(scale, ss, sizeof ss), koe_tensor_describe(x, xs, sizeof xs), axis, block);
}

/* Index of element i's scale, and how many elements from i on surely share it (at least 1). */
static size_t scale_of(const layout *l, size_t i, size_t *run)
{
    size_t row = i / l->inner, in_row = i % l->inner, at = row % l->n_axis;
    if (l->block == 0) {
        *run = l->inner - in_row;
        return at;
    }
    *run = 1;
    return (row / l->n_axis * l->n_block + at / l->block) * l->inner + in_row;
}

typedef struct convert_job {
    layout l;
    const void *from;
    void *to;
    koe_dtype from_type, to_type;
    size_t n;
    const float *scale;
    const int32_t *zero; /* as many as scales, or NULL: all 0 */
    int32_t lo, hi;
} convert_job;

/* Reads n float32 or int32 from element i on, as float. */
static const float *as_floats(const convert_job *j, size_t i, size_t n, float *buffer)
{
    if (j->from_type == KOE_DTYPE_F32) return (const float *)j->from + i;
    for (size_t e = 0; e < n; e++) buffer[e] = (float)((const int32_t *)j->from)[i + e];
    return buffer;
}

static void quantize_run_of(const convert_job *j, size_t i, size_t n, float scale, int32_t zero)
{
    float buffer[256], lo = (float)(j->lo - zero), hi = (float)(j->hi - zero);
    for (size_t part; n > 0; i += part, n -= part) {
        part = n < 256 ? n : 256;
        const float *x = as_floats(j, i, part, buffer);
#define QUANTIZE_AS(T)                                                                                                           \
    for (size_t e = 0; e < part; e++) ((T *)j->to)[i + e] = (T)(koe_quant_round(x[e] / scale, lo, hi) + zero)
        switch (j->to_type) {
        case KOE_DTYPE_U8: QUANTIZE_AS(uint8_t); break;
        case KOE_DTYPE_I8: QUANTIZE_AS(int8_t); break;
        case KOE_DTYPE_U16: QUANTIZE_AS(uint16_t); break;
        default: QUANTIZE_AS(int16_t); break;
        }
    }
}

static void dequantize_run_of(const convert_job *j, size_t i, size_t n, float scale, int32_t zero)
{
    float *y = (float *)j->to + i;
#define DEQUANTIZE_FROM(T, difference)                                                                                           \
    for (size_t e = 0; e < n; e++) y[e] = (float)((difference)((const T *)j->from)[i + e] - zero) * scale
    switch (j->from_type) {
    case KOE_DTYPE_U8: DEQUANTIZE_FROM(uint8_t, int32_t); break;
    case KOE_DTYPE_I8: DEQUANTIZE_FROM(int8_t, int32_t); break;
    case KOE_DTYPE_U16: DEQUANTIZE_FROM(uint16_t, int32_t); break;
    case KOE_DTYPE_I16: DEQUANTIZE_FROM(int16_t, int32_t); break;
    default: DEQUANTIZE_FROM(int32_t, int64_t); break;
    }
}

static void convert_task(void *arg, size_t task)
{
    const convert_job *j = arg;
    size_t i = task * CHUNK, end = j->n - i < CHUNK ? j->n : i + CHUNK;
    while (i < end) {
        size_t run, at = scale_of(&j->l, i, &run);
        if (run > end - i) run = end - i;
        int32_t zero = j->zero ? j->zero[at] : 0;
        if (j->to_type == KOE_DTYPE_F32) dequantize_run_of(j, i, run, j->scale[at], zero);
        else quantize_run_of(j, i, run, j->scale[at], zero);
        i += run;
    }
}

/* Scale, zero point and layout of a node; the zero point's type must be `zero_type`. */
static koe_status read_params(koe_op_ctx *c, convert_job *j, const koe_tensor *x, koe_dtype zero_type, koe_error *err)
{
    const koe_tensor *scale;
    size_t n_scale, n_zero;
    koe_status st = koe_need(c, 1, &scale, err);
    if (st == KOE_OK) st = koe_quant_scales(c, 1, &j->scale, &n_scale, err);
    if (st == KOE_OK) st = read_layout(c, x, scale, &j->l, err);
    if (st != KOE_OK || !koe_in(c, 2)) return st;
    st = koe_quant_zeros(c, 2, zero_type, &j->zero, &n_zero, err);
    if (st == KOE_OK && n_zero != n_scale) st = koe_fail(err, KOE_E_FORMAT, "%zu scales and %zu zero points", n_scale, n_zero);
    return st;
}

static void convert(koe_op_ctx *c, convert_job *j) { koe_pool_for(c->pool, j->n / CHUNK + (j->n % CHUNK != 0), convert_task, j); }

static koe_status quantize_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *zero = koe_in(c, 2);
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_I32) return koe_type_error(c, x->dtype, err);
    koe_dtype want = (koe_dtype)koe_node_int(c->node, "output_dtype", KOE_DTYPE_NONE);
    koe_dtype type = zero ? zero->dtype : want != KOE_DTYPE_NONE ? want : KOE_DTYPE_U8;
    convert_job j = { .from = x->data, .from_type = x->dtype, .to_type = type, .n = koe_tensor_count(x) };
    if (!koe_quant_range(type, &j.lo, &j.hi)) return koe_type_error(c, type, err);
    if (want != KOE_DTYPE_NONE && want != type)
        return koe_fail(err, KOE_E_FORMAT, "output_dtype is %s but the zero point %s", koe_dtype_name(want),
                        koe_dtype_name(type));
    st = read_params(c, &j, x, type, err);
    if (st == KOE_OK) st = koe_out(c, 0, type, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    j.to = y->data;
    convert(c, &j);
    return KOE_OK;
}

static koe_status dequantize_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *scale;
    koe_tensor *y;
    int32_t lo, hi;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &scale, err);
    if (st != KOE_OK) return st;
    if (!koe_quant_range(x->dtype, &lo, &hi) && x->dtype != KOE_DTYPE_I32) return koe_type_error(c, x->dtype, err);
    convert_job j = { .from = x->data, .from_type = x->dtype, .to_type = KOE_DTYPE_F32, .n = koe_tensor_count(x) };
    /* The scale may be half precision, and output_dtype may ask for another type than the scale's: so this operator sees the
     * scale as it is, rather than widened by the executor. */
    if (!koe_dtype_is_float(scale->dtype) || scale->dtype == KOE_DTYPE_F64) return koe_type_error(c, scale->dtype, err);
    j.scale = koe_as_type(c, scale, KOE_DTYPE_F32);
    if (!j.scale) return koe_fail(err, KOE_E_NOMEM, "%zu scales", koe_tensor_count(scale));
    st = read_layout(c, x, scale, &j.l, err);
    size_t n_zero = koe_tensor_count(scale);
    if (st == KOE_OK && koe_in(c, 2)) st = koe_quant_zeros(c, 2, x->dtype, &j.zero, &n_zero, err);
    if (st != KOE_OK) return st;
    if (n_zero != koe_tensor_count(scale))
        return koe_fail(err, KOE_E_FORMAT, "%zu scales and %zu zero points", koe_tensor_count(scale), n_zero);
    koe_dtype type = (koe_dtype)koe_node_int(c->node, "output_dtype", KOE_DTYPE_NONE);
    if (type == KOE_DTYPE_NONE) type = scale->dtype;
    if (type != KOE_DTYPE_F32 && type != KOE_DTYPE_F16 && type != KOE_DTYPE_BF16) return koe_type_error(c, type, err);
    st = koe_out(c, 0, type, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    j.to = type == KOE_DTYPE_F32 ? y->data : j.n <= SIZE_MAX / sizeof(float) ? koe_scratch(c, j.n * sizeof(float)) : NULL;
    if (!j.to) return koe_fail(err, KOE_E_NOMEM, "DequantizeLinear of %zu elements", j.n);
    convert(c, &j);
    if (type != KOE_DTYPE_F32) koe_cast_elements(y->data, type, j.to, KOE_DTYPE_F32, j.n);
    return KOE_OK;
}

/* ---- koe's Requantise: QuantizeLinear and DequantizeLinear of a whole tensor ------------------------------------------------- */

typedef struct requantise_job {
    float *y;
    const float *x;
    size_t n;
    koe_quant_param q;
} requantise_job;

static void requantise_task(void *arg, size_t task)
{
    const requantise_job *j = arg;
    const size_t from = task * CHUNK, end = j->n - from < CHUNK ? j->n : from + CHUNK;
    const float lo = (float)-j->q.zero, hi = (float)(255 - j->q.zero), scale = j->q.scale;
    for (size_t i = from; i < end; i++) j->y[i] = (float)koe_quant_round(j->x[i] / scale, lo, hi) * scale;
}

void koe_requantise(koe_pool *pool, float *y, const float *x, size_t n, koe_quant_param q)
{
    requantise_job j = { .y = y, .x = x, .n = n, .q = q };
    koe_pool_for(pool, n / CHUNK + (n % CHUNK != 0), requantise_task, &j);
}

koe_status koe_quant_steps(koe_quant_param *out, const koe_node *node, koe_error *err)
{
    const float scale = koe_node_float(node, "x_scale", 0);
    const int64_t zero = koe_node_int(node, "x_zero", 0);
    if (!(scale >= 0 && scale <= FLT_MAX) || zero < 0 || zero > UINT8_MAX) return koe_fail(err, KOE_E_FORMAT, "scale %g, zero point %" PRId64 "", (double)scale, zero);
    *out = (koe_quant_param){ .scale = scale, .zero = (int32_t)zero };
    return KOE_OK;
}

static koe_status requantise_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_quant_param q;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_quant_steps(&q, c->node, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32) return koe_type_error(c, x->dtype, err);
    st = koe_out_inplace(c, 0, 0, KOE_DTYPE_F32, x->n_dim, x->dim, &y, err);
    if (st == KOE_OK) koe_requantise(c->pool, y->data, x->data, koe_tensor_count(x), q);
    return st;
}

static const koe_op table[] = {
    { "Requantise", 1, 0, 0, NULL, NULL, requantise_run, "koe" },
    { "QuantizeLinear", 10, 0, KOE_OP_WIDEN_HALF, NULL, NULL, quantize_run, NULL },
    { "DequantizeLinear", 10, 0, 0, NULL, NULL, dequantize_run, NULL },
    { "DynamicQuantizeLinear", 11, 0, 0, NULL, NULL, dynamic_quantize_run, NULL },
    { "QuantizeLinear", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, quantize_run, "com.microsoft" },
    { "DequantizeLinear", 1, 0, 0, NULL, NULL, dequantize_run, "com.microsoft" },
};

koe_op_table koe_ops_quant(void) { return KOE_OP_TABLE(table); }
