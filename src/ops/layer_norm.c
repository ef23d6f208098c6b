/* layer_norm.c - normalisations of whole rows: LayerNormalization, RMSNormalization, and the same after a residual sum
 * (SkipLayerNormalization). A row is everything from `axis` on. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/ops.h"
#include "ops/stats.h"

typedef struct row_job {
    const void *x, *scale, *bias; /* bias may be NULL */
    void *y; /* may be x */
    void *mean, *unit; /* one for each row, of x's type; NULL when nobody asks. unit: 1 / standard deviation */
    size_t n, scale_step, bias_step; /* steps from row to row: 0 or n */
    bool centered; /* subtract the mean first */
    double epsilon;
} row_job;

#define ROWS(op, s, S, T, A)                                                                                                     \
    static void rows_##s(void *arg, size_t from, size_t to)                                                                      \
    {                                                                                                                            \
        const row_job *j = arg;                                                                                                  \
        const size_t n = j->n;                                                                                                   \
        for (size_t r = from; r < to; r++) {                                                                                     \
            const T *x = (const T *)j->x + r * n, *scale = (const T *)j->scale + r * j->scale_step;                              \
            T *y = (T *)j->y + r * n;                                                                                            \
            double center = j->centered ? koe_sum_##s(x, n) / (double)n : 0;                                                     \
            const T mean = (T)center, unit = (T)(1 / sqrt(koe_spread_##s(x, n, center) / (double)n + j->epsilon));               \
            if (j->mean) ((T *)j->mean)[r] = mean;                                                                               \
            if (j->unit) ((T *)j->unit)[r] = unit;                                                                               \
            if (j->bias) {                                                                                                       \
                const T *bias = (const T *)j->bias + r * j->bias_step;                                                           \
                KOE_INDEPENDENT                                                                                                  \
                for (size_t i = 0; i < n; i++) y[i] = (x[i] - mean) * unit * scale[i] + bias[i];                                 \
            } else {                                                                                                             \
                KOE_INDEPENDENT                                                                                                  \
                for (size_t i = 0; i < n; i++) y[i] = (x[i] - mean) * unit * scale[i];                                           \
            }                                                                                                                    \
        }                                                                                                                        \
    }
KOE_FLOATS(ROWS, )

#define REPEAT(op, s, S, T, A)                                                                                                   \
    static void repeat_##s(void *y_, const void *const *x, const int *step, size_t n, const void *arg)                           \
    {                                                                                                                            \
        T *y = y_;                                                                                                               \
        (void)arg;                                                                                                               \
        if (step[0]) memcpy(y, x[0], n * sizeof *y);                                                                             \
        else                                                                                                                     \
            for (size_t i = 0; i < n; i++) y[i] = *(const T *)x[0];                                                              \
    }
KOE_FLOATS(REPEAT, )

/* Scale or bias of type `type`, brought to the shape of a row (*step 0), or of all of x (*step: a row) when it differs from row
 * to row. */
static koe_status read_param(const void **out, size_t *step, koe_op_ctx *c, const koe_tensor *t, const koe_tensor *x, int axis,
                             koe_dtype type, koe_error *err)
{
    int n_dim;
    int64_t dim[KOE_MAX_DIM];
    if (!koe_dtype_is_float(t->dtype)) return koe_type_error(c, t->dtype, err);
    koe_status st = koe_broadcast(&n_dim, dim, x->n_dim, x->dim, t->n_dim, t->dim, err);
    if (st == KOE_OK && (n_dim != x->n_dim || memcmp(dim, x->dim, sizeof *dim * (size_t)n_dim) != 0))
        st = koe_fail(err, KOE_E_FORMAT, "scale or bias does not fit the input");
    if (st != KOE_OK) return st;
    koe_tensor source = *t, target = { .dtype = type };
    source.data = (void *)koe_as_type(c, t, type); /* read only */
    source.dtype = type;
    if (!source.data) return koe_fail(err, KOE_E_NOMEM, "normalised rows");
    int n_lead = t->n_dim - (x->n_dim - axis); /* dimensions of t in front of a row */
    bool per_row = n_lead > 0 && koe_dim_product(t->dim, 0, n_lead) != 1;
    *step = per_row ? koe_dim_product(x->dim, axis, x->n_dim) : 0;
    *out = source.data;
    int from = per_row ? 0 : axis;
    if (koe_tensor_count(t) == koe_dim_product(x->dim, from, x->n_dim)) return KOE_OK; /* it has that shape already */
    target.n_dim = x->n_dim - from;
    memcpy(target.dim, x->dim + from, sizeof *target.dim * (size_t)target.n_dim);
    if (!per_row && n_lead > 0) {
        source.n_dim = target.n_dim;
        memmove(source.dim, source.dim + n_lead, sizeof *source.dim * (size_t)source.n_dim);
    }
    target.data = koe_scratch(c, koe_tensor_bytes(&target));
    if (!target.data) return koe_fail(err, KOE_E_NOMEM, "normalised rows");
    koe_loop(c, type == KOE_DTYPE_F32 ? repeat_f32 : repeat_f64, NULL, &target, (const koe_tensor *[]){ &source }, 1);
    *out = target.data;
    return KOE_OK;
}

/* Statistics of the rows as output i, with the row's dimensions 1. */
static koe_status put_stat(koe_op_ctx *c, int i, const void *values, const koe_tensor *x, int axis, koe_dtype type,
                           koe_error *err)
{
    koe_tensor *t;
    koe_dtype stash = (koe_dtype)koe_node_int(c->node, "stash_type", KOE_DTYPE_F32);
    int64_t dim[KOE_MAX_DIM];
    for (int d = 0; d < x->n_dim; d++) dim[d] = d < axis ? x->dim[d] : 1;
    if (!koe_dtype_is_float(stash)) return koe_type_error(c, stash, err);
    koe_status st = koe_out(c, i, stash, x->n_dim, dim, &t, err);
    if (st == KOE_OK) koe_cast_elements(t->data, t->dtype, values, type, koe_tensor_count(t));
    return st;
}

static bool wanted(const koe_op_ctx *c, int i) { return i >= 0 && i < c->n_out && c->out[i]; }

/* Which outputs take the statistics; -1: none. */
typedef struct stat_outputs {
    int mean, unit;
} stat_outputs;

/* Normalises the rows of x into y, which has x's shape and may be x when the types agree. Half precision is computed in float. */
static koe_status normalize_rows(koe_op_ctx *c, koe_tensor *y, const koe_tensor *x, int axis, const koe_tensor *scale,
                                 const koe_tensor *bias, bool centered, stat_outputs out, koe_error *err)
{
    koe_dtype type = x->dtype == KOE_DTYPE_F64 ? KOE_DTYPE_F64 : KOE_DTYPE_F32;
    size_t n_row = koe_dim_product(x->dim, 0, axis), size = koe_dtype_size(type);
    row_job j = { .n = koe_dim_product(x->dim, axis, x->n_dim),
                  .centered = centered,
                  .epsilon = (double)koe_node_float(c->node, "epsilon", 1e-5f) };
    koe_status st = read_param(&j.scale, &j.scale_step, c, scale, x, axis, type, err);
    if (st == KOE_OK && bias) st = read_param(&j.bias, &j.bias_step, c, bias, x, axis, type, err);
    if (st != KOE_OK) return st;
    j.x = koe_as_type(c, x, type);
    j.y = y->dtype == type ? y->data : koe_scratch(c, koe_tensor_count(y) * size);
    if (wanted(c, out.mean)) j.mean = koe_scratch(c, n_row * size);
    if (wanted(c, out.unit)) j.unit = koe_scratch(c, n_row * size);
    if (!j.x || !j.y || (wanted(c, out.mean) && !j.mean) || (wanted(c, out.unit) && !j.unit))
        return koe_fail(err, KOE_E_NOMEM, "normalised rows");
    size_t per_task = j.n < KOE_LOOP_CHUNK ? KOE_LOOP_CHUNK / (j.n ? j.n : 1) : 1;
    koe_for_ranges(c->pool, n_row, per_task, type == KOE_DTYPE_F32 ? rows_f32 : rows_f64, &j);
    if (j.mean) st = put_stat(c, out.mean, j.mean, x, axis, type, err);
    if (st == KOE_OK && j.unit) st = put_stat(c, out.unit, j.unit, x, axis, type, err);
    if (st == KOE_OK && j.y != y->data) koe_cast_elements(y->data, y->dtype, j.y, type, koe_tensor_count(y));
    return st;
}

/* LayerNormalization and RMSNormalization: X, Scale, optional B. */
static koe_status layer_norm(koe_op_ctx *c, bool centered, stat_outputs out, koe_error *err)
{
    const koe_tensor *x, *scale;
    koe_tensor *y;
    int axis;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &scale, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", -1), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    if (!koe_dtype_is_float(x->dtype)) return koe_type_error(c, x->dtype, err);
    if (!koe_dtype_is_float(scale->dtype)) return koe_type_error(c, scale->dtype, err);
    /* Without a mean to subtract, the result has the scale's type. */
    st = koe_out_inplace(c, 0, 0, centered ? x->dtype : scale->dtype, x->n_dim, x->dim, &y, err);
    return st == KOE_OK ? normalize_rows(c, y, x, axis, scale, centered ? koe_in(c, 2) : NULL, centered, out, err) : st;
}

static koe_status run_layer(koe_op_ctx *c, koe_error *err) { return layer_norm(c, true, (stat_outputs){ 1, 2 }, err); }
static koe_status run_rms(koe_op_ctx *c, koe_error *err) { return layer_norm(c, false, (stat_outputs){ -1, -1 }, err); }
static koe_status run_simplified(koe_op_ctx *c, koe_error *err) { return layer_norm(c, false, (stat_outputs){ -1, 1 }, err); }

KOE_BINARY(add_f32, float, float, a + b)
KOE_BINARY(add_f64, double, double, a + b)

/* input + skip + bias, normalised. Inputs: input, skip, gamma, then beta (when centered), then bias. Outputs: the result, mean,
 * 1 / standard deviation, the sum. */
static koe_status skip_layer_norm(koe_op_ctx *c, bool centered, koe_error *err)
{
    const koe_tensor *x, *skip, *scale, *beta = centered ? koe_in(c, 3) : NULL, *bias = koe_in(c, centered ? 4 : 3);
    koe_tensor *y, *sum;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &skip, err);
    if (st == KOE_OK) st = koe_need(c, 2, &scale, err);
    if (st != KOE_OK) return st;
    if ((x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) || x->n_dim < 1) return koe_type_error(c, x->dtype, err);
    const koe_tensor *term[3] = { x, skip, bias };
    int n_term = bias ? 3 : 2;
    for (int i = 1; i < n_term; i++) {
        int n_dim;
        int64_t dim[KOE_MAX_DIM];
        st = koe_broadcast(&n_dim, dim, x->n_dim, x->dim, term[i]->n_dim, term[i]->dim, err);
        if (st != KOE_OK) return st;
        if (term[i]->dtype != x->dtype) return koe_type_error(c, term[i]->dtype, err);
        if (n_dim != x->n_dim || memcmp(dim, x->dim, sizeof *dim * (size_t)n_dim) != 0)
            return koe_fail(err, KOE_E_FORMAT, "skip or bias does not fit the input");
    }
    st = koe_out(c, 0, x->dtype, x->n_dim, x->dim, &y, err);
    sum = y;
    if (st == KOE_OK && wanted(c, 3)) st = koe_out(c, 3, x->dtype, x->n_dim, x->dim, &sum, err);
    if (st != KOE_OK) return st;
    for (int i = 1; i < n_term; i++)
        koe_loop(c, x->dtype == KOE_DTYPE_F32 ? add_f32 : add_f64, NULL, sum, (const koe_tensor *[]){ i == 1 ? x : sum, term[i] },
                 2);
    return normalize_rows(c, y, sum, x->n_dim - 1, scale, beta, centered, (stat_outputs){ centered ? 1 : -1, 2 }, err);
}

static koe_status run_skip(koe_op_ctx *c, koe_error *err) { return skip_layer_norm(c, true, err); }
static koe_status run_skip_simplified(koe_op_ctx *c, koe_error *err) { return skip_layer_norm(c, false, err); }

#define MS "com.microsoft"
static const koe_op ops[] = {
    { .name = "LayerNormalization", .since = 1, .run = run_layer },
    { .name = "LayerNormalization", .since = 1, .run = run_layer, .domain = "koe" },
    { .name = "RMSNormalization", .since = 23, .run = run_rms },
    { .name = "SimplifiedLayerNormalization", .since = 1, .run = run_simplified },
    { .name = "SimplifiedLayerNormalization", .since = 1, .run = run_simplified, .domain = MS },
    { .name = "SkipLayerNormalization", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_skip, .domain = MS },
    { .name = "SkipSimplifiedLayerNormalization",
      .since = 1,
      .flags = KOE_OP_WIDEN_HALF,
      .run = run_skip_simplified,
      .domain = MS },
};

koe_op_table koe_ops_layer_norm(void) { return KOE_OP_TABLE(ops); }
