/* reduce.c - many elements into one: ReduceSum, ReduceMean, ReduceMax, ..., ArgMax, ArgMin.
 *     shape -> dimensions collapsed into alternating kept and reduced ones -> rows or columns -> accumulator -> finish
 * Where the innermost dimension is reduced, whole rows are folded into one accumulator; where it is kept, a block of columns is
 * folded side by side. The order of the additions depends on the shape alone. Floats are summed in short float lanes that end in
 * a double. */
#include <float.h>
#include <math.h>

#include "ops/elementwise.h"
#include "ops/ops.h"
#include "ops/reduce.h"

/* ---- accumulators ---------------------------------------------------------------------------------------------------- */

typedef struct reducer {
    size_t acc_size;
    void (*init)(void *acc, size_t n);
    void (*row)(void *acc, const void *x, size_t n); /* *acc takes all of x */
    void (*columns)(void *acc, const void *x, size_t n); /* acc[i] takes x[i] */
} reducer;
/* y[i] from acc[i], each of which took n_group elements. */
typedef void finish_fn(void *y, const void *acc, size_t n, size_t n_group);

enum { LANES = 16, LANE_BLOCK = 512, COLUMNS = 256, ACC_MAX = 16 };

/* static const reducer name: STEP(L, r, a) takes an element a of T into r, JOIN(r, s) joins two. r is a lane (LANE) or a whole
 * accumulator (ACC). */
#define REDUCER(name, T, LANE, ACC, start, STEP, JOIN)                                                                           \
    static void name##_init(void *acc_, size_t n)                                                                                \
    {                                                                                                                            \
        ACC *acc = acc_;                                                                                                         \
        for (size_t i = 0; i < n; i++) acc[i] = start;                                                                           \
    }                                                                                                                            \
    static void name##_row(void *acc_, const void *x_, size_t n)                                                                 \
    {                                                                                                                            \
        const T *x = x_;                                                                                                         \
        ACC acc = *(ACC *)acc_;                                                                                                  \
        while (n >= LANES) {                                                                                                     \
            size_t m = n < LANE_BLOCK ? n - n % LANES : LANE_BLOCK;                                                              \
            LANE lane[LANES];                                                                                                    \
            for (size_t j = 0; j < LANES; j++) lane[j] = start;                                                                  \
            for (size_t i = 0; i < m; i += LANES)                                                                                \
                for (size_t j = 0; j < LANES; j++) lane[j] = STEP(LANE, lane[j], x[i + j]);                                      \
            for (size_t j = 0; j < LANES; j++) acc = JOIN(acc, (ACC)lane[j]);                                                    \
            x += m, n -= m;                                                                                                      \
        }                                                                                                                        \
        for (size_t i = 0; i < n; i++) acc = STEP(ACC, acc, x[i]);                                                               \
        *(ACC *)acc_ = acc;                                                                                                      \
    }                                                                                                                            \
    static void name##_columns(void *acc_, const void *x_, size_t n)                                                             \
    {                                                                                                                            \
        const T *restrict x = x_;                                                                                                \
        ACC *restrict acc = acc_;                                                                                                \
        for (size_t i = 0; i < n; i++) acc[i] = STEP(ACC, acc[i], x[i]);                                                         \
    }                                                                                                                            \
    static const reducer name = { sizeof(ACC), name##_init, name##_row, name##_columns };

#define ADD(r, s) ((r) + (s))
#define MULTIPLY(r, s) ((r) * (s))
#define ADD_STEP(L, r, a) ((r) + (L)(a))
#define ADD_ABS_STEP(L, r, a) ((r) + ((a) < 0 ? 0 - (L)(a) : (L)(a)))
#define ADD_UNSIGNED_ABS_STEP(L, r, a) ((r) + (L)(a))
#define ADD_SQUARE_STEP(L, r, a) ((r) + (L)(a) * (L)(a))
#define MULTIPLY_STEP(L, r, a) ((r) * (L)(a))
/* A NaN, once met, stays. */
#define MAX_FLOAT(r, s) ((s) > (r) || (s) != (s) ? (s) : (r))
#define MIN_FLOAT(r, s) ((s) < (r) || (s) != (s) ? (s) : (r))
#define MAX_INT(r, s) ((s) > (r) ? (s) : (r))
#define MIN_INT(r, s) ((s) < (r) ? (s) : (r))
#define MAX_FLOAT_STEP(L, r, a) MAX_FLOAT(r, a)
#define MIN_FLOAT_STEP(L, r, a) MIN_FLOAT(r, a)
#define MAX_INT_STEP(L, r, a) MAX_INT(r, a)
#define MIN_INT_STEP(L, r, a) MIN_INT(r, a)

#define FLOAT_REDUCERS(op, s, S, T, A)                                                                                           \
    REDUCER(sum_##s, T, T, double, 0, ADD_STEP, ADD)                                                                             \
    REDUCER(abs_sum_##s, T, T, double, 0, ADD_ABS_STEP, ADD)                                                                     \
    REDUCER(square_sum_##s, T, double, double, 0, ADD_SQUARE_STEP, ADD)                                                          \
    REDUCER(product_##s, T, double, double, 1, MULTIPLY_STEP, MULTIPLY)                                                          \
    REDUCER(max_##s, T, T, T, -(T)INFINITY, MAX_FLOAT_STEP, MAX_FLOAT)                                                           \
    REDUCER(min_##s, T, T, T, (T)INFINITY, MIN_FLOAT_STEP, MIN_FLOAT)
KOE_FLOATS(FLOAT_REDUCERS, )

#define INT_REDUCERS(s, T, abs_step)                                                                                             \
    REDUCER(sum_##s, T, uint64_t, uint64_t, 0, ADD_STEP, ADD)                                                                    \
    REDUCER(abs_sum_##s, T, uint64_t, uint64_t, 0, abs_step, ADD)                                                                \
    REDUCER(square_sum_##s, T, uint64_t, uint64_t, 0, ADD_SQUARE_STEP, ADD)                                                      \
    REDUCER(product_##s, T, uint64_t, uint64_t, 1, MULTIPLY_STEP, MULTIPLY)
INT_REDUCERS(i32, int32_t, ADD_ABS_STEP)
INT_REDUCERS(i64, int64_t, ADD_ABS_STEP)
INT_REDUCERS(u32, uint32_t, ADD_UNSIGNED_ABS_STEP)
INT_REDUCERS(u64, uint64_t, ADD_UNSIGNED_ABS_STEP)

#define EXTREMES(s, T, low, high)                                                                                                \
    REDUCER(max_##s, T, T, T, low, MAX_INT_STEP, MAX_INT)                                                                        \
    REDUCER(min_##s, T, T, T, high, MIN_INT_STEP, MIN_INT)
EXTREMES(i8, int8_t, INT8_MIN, INT8_MAX)
EXTREMES(i16, int16_t, INT16_MIN, INT16_MAX)
EXTREMES(i32, int32_t, INT32_MIN, INT32_MAX)
EXTREMES(i64, int64_t, INT64_MIN, INT64_MAX)
EXTREMES(u8, uint8_t, 0, UINT8_MAX)
EXTREMES(u16, uint16_t, 0, UINT16_MAX)
EXTREMES(u32, uint32_t, 0, UINT32_MAX)
EXTREMES(u64, uint64_t, 0, UINT64_MAX)
EXTREMES(boolean, uint8_t, 0, 1)

/* log(sum(exp(x))) as the largest x so far, and the sum of exp(x - largest). */
typedef struct exp_sum {
    double largest, sum;
} exp_sum;

static void exp_sum_init(void *acc_, size_t n)
{
    exp_sum *acc = acc_;
    for (size_t i = 0; i < n; i++) acc[i] = (exp_sum){ (double)-INFINITY, 0 };
}

static inline void exp_sum_add(exp_sum *e, double a)
{
    if (a == e->largest) e->sum += 1; /* both may be infinite */
    else if (a < e->largest) e->sum += exp(a - e->largest);
    else {
        e->sum = e->sum * exp(e->largest - a) + 1;
        e->largest = a;
    }
}

#define EXP_SUM(op, s, S, T, A)                                                                                                  \
    static void exp_sum_row_##s(void *acc, const void *x, size_t n)                                                              \
    {                                                                                                                            \
        for (size_t i = 0; i < n; i++) exp_sum_add(acc, (double)((const T *)x)[i]);                                              \
    }                                                                                                                            \
    static void exp_sum_columns_##s(void *acc, const void *x, size_t n)                                                          \
    {                                                                                                                            \
        for (size_t i = 0; i < n; i++) exp_sum_add((exp_sum *)acc + i, (double)((const T *)x)[i]);                               \
    }                                                                                                                            \
    static const reducer exp_sum_##s = { sizeof(exp_sum), exp_sum_init, exp_sum_row_##s, exp_sum_columns_##s };
KOE_FLOATS(EXP_SUM, )

/* ---- from accumulators to results ------------------------------------------------------------------------------------ */

#define FINISH(name, T, ACC, expr)                                                                                               \
    static void name(void *y, const void *acc, size_t n, size_t n_group)                                                         \
    {                                                                                                                            \
        (void)n_group;                                                                                                           \
        for (size_t i = 0; i < n; i++) {                                                                                         \
            const ACC a = ((const ACC *)acc)[i];                                                                                 \
            ((T *)y)[i] = (T)(expr);                                                                                             \
        }                                                                                                                        \
    }
#define FLOAT_FINISH(op, s, S, T, A)                                                                                             \
    FINISH(plain_##s, T, double, a)                                                                                              \
    FINISH(mean_##s, T, double, a / (double)n_group)                                                                             \
    FINISH(root_##s, T, double, sqrt(a))                                                                                         \
    FINISH(log_##s, T, double, log(a))                                                                                           \
    FINISH(exp_log_##s, T, exp_sum, a.largest + log(a.sum))
KOE_FLOATS(FLOAT_FINISH, )

/* SUM: the accumulator's bits as a number of the right sign. */
#define INT_FINISH(s, T, SUM)                                                                                                    \
    FINISH(plain_##s, T, SUM, a)                                                                                                 \
    FINISH(mean_##s, T, SUM, n_group ? a / (SUM)n_group : 0)
INT_FINISH(i32, int32_t, int64_t)
INT_FINISH(i64, int64_t, int64_t)
INT_FINISH(u32, uint32_t, uint64_t)
INT_FINISH(u64, uint64_t, uint64_t)

#define COPY(name, T)                                                                                                            \
    static void name(void *y, const void *acc, size_t n, size_t n_group)                                                         \
    {                                                                                                                            \
        (void)n_group;                                                                                                           \
        memcpy(y, acc, n * sizeof(T));                                                                                           \
    }
COPY(copy_8, uint8_t)
COPY(copy_16, uint16_t)
COPY(copy_32, uint32_t)
COPY(copy_64, uint64_t)

/* ---- shape ----------------------------------------------------------------------------------------------------------- */

/* Dimensions to walk: the element offset of the i-th combination, innermost fastest. */
typedef struct walk {
    int n_dim;
    size_t count;
    int64_t dim[KOE_MAX_DIM], stride[KOE_MAX_DIM];
} walk;

static size_t walk_offset(const walk *w, size_t i)
{
    size_t offset = 0;
    for (int d = w->n_dim - 1; d >= 0; d--) {
        offset += i % (size_t)w->dim[d] * (size_t)w->stride[d];
        i /= (size_t)w->dim[d];
    }
    return offset;
}

static void walk_add(walk *w, int64_t dim, int64_t stride)
{
    w->dim[w->n_dim] = dim;
    w->stride[w->n_dim++] = stride;
    w->count *= (size_t)dim;
}

/* kept and reduced are the dimensions outside the innermost run of n_inner elements, which is reduced as a whole or kept as a
 * whole. */
typedef struct reduction {
    const reducer *reducer;
    finish_fn *finish;
    walk kept, reduced;
    size_t n_inner, n_group; /* n_group: elements for each result */
    bool inner_reduced;
    const char *x;
    char *y;
    size_t x_size, y_size;
    size_t n_block; /* blocks of columns in a run; 1 when it is reduced */
} reduction;

static void split_dims(reduction *r, int n_dim, const int64_t *dim, const bool *is_reduced)
{
    int64_t merged[KOE_MAX_DIM];
    bool kind[KOE_MAX_DIM];
    int n = 0;
    for (int i = 0; i < n_dim; i++) {
        if (dim[i] == 1) continue;
        if (n > 0 && kind[n - 1] == is_reduced[i]) merged[n - 1] *= dim[i];
        else {
            kind[n] = is_reduced[i];
            merged[n++] = dim[i];
        }
    }
    r->kept.count = r->reduced.count = 1;
    r->n_inner = n ? (size_t)merged[n - 1] : 1;
    r->inner_reduced = n > 0 && kind[n - 1];
    int64_t stride[KOE_MAX_DIM], step = 1;
    for (int i = n - 1; i >= 0; i--) {
        stride[i] = step;
        step *= merged[i];
    }
    for (int i = 0; i < n - 1; i++) walk_add(kind[i] ? &r->reduced : &r->kept, merged[i], stride[i]);
    r->n_group = r->reduced.count * (r->inner_reduced ? r->n_inner : 1);
    r->n_block = r->inner_reduced ? 1 : (r->n_inner + COLUMNS - 1) / COLUMNS;
}

/* ---- the loops ------------------------------------------------------------------------------------------------------- */

static void reduce_row(const reduction *r, size_t item)
{
    _Alignas(16) char acc[ACC_MAX];
    const char *x = r->x + walk_offset(&r->kept, item) * r->x_size;
    r->reducer->init(acc, 1);
    for (size_t i = 0; i < r->reduced.count; i++) r->reducer->row(acc, x + walk_offset(&r->reduced, i) * r->x_size, r->n_inner);
    r->finish(r->y + item * r->y_size, acc, 1, r->n_group);
}

static void reduce_columns(const reduction *r, size_t item)
{
    _Alignas(16) char acc[COLUMNS * ACC_MAX];
    size_t outer = item / r->n_block, from = item % r->n_block * COLUMNS;
    size_t n = r->n_inner - from < COLUMNS ? r->n_inner - from : COLUMNS;
    const char *x = r->x + (walk_offset(&r->kept, outer) + from) * r->x_size;
    r->reducer->init(acc, n);
    for (size_t i = 0; i < r->reduced.count; i++) r->reducer->columns(acc, x + walk_offset(&r->reduced, i) * r->x_size, n);
    r->finish(r->y + (outer * r->n_inner + from) * r->y_size, acc, n, r->n_group);
}

static void reduce_items(void *arg, size_t from, size_t to)
{
    const reduction *r = arg;
    for (size_t i = from; i < to; i++) r->inner_reduced ? reduce_row(r, i) : reduce_columns(r, i);
}

/* Items of at most this much work go into one task. */
static size_t items_per_task(size_t work) { return work >= KOE_LOOP_CHUNK ? 1 : KOE_LOOP_CHUNK / (work ? work : 1); }

static void reduce(koe_pool *pool, reduction *r)
{
    size_t n_items = r->kept.count * r->n_block, columns = r->n_inner < COLUMNS ? r->n_inner : COLUMNS;
    koe_for_ranges(pool, n_items, items_per_task(r->inner_reduced ? r->n_group : r->n_group * columns), reduce_items, r);
}

/* ---- operators ------------------------------------------------------------------------------------------------------- */

typedef struct reduce_op {
    const reducer *reducer[KOE_DTYPES];
    finish_fn *finish[KOE_DTYPES];
    bool real; /* integers are reduced as doubles, and the result is converted back */
} reduce_op;

#define FLOAT_ROWS(reducer_, finish_)                                                                                            \
    .reducer = { [KOE_DTYPE_F32] = &reducer_##_f32, [KOE_DTYPE_F64] = &reducer_##_f64 },                                         \
    .finish = { [KOE_DTYPE_F32] = finish_##_f32, [KOE_DTYPE_F64] = finish_##_f64 }
#define WIDE_ROWS(reducer_, finish_)                                                                                             \
    .reducer = { [KOE_DTYPE_F32] = &reducer_##_f32, [KOE_DTYPE_F64] = &reducer_##_f64, [KOE_DTYPE_I32] = &reducer_##_i32,        \
                 [KOE_DTYPE_I64] = &reducer_##_i64, [KOE_DTYPE_U32] = &reducer_##_u32, [KOE_DTYPE_U64] = &reducer_##_u64 },      \
    .finish = { [KOE_DTYPE_F32] = finish_##_f32, [KOE_DTYPE_F64] = finish_##_f64, [KOE_DTYPE_I32] = finish_##_i32,               \
                [KOE_DTYPE_I64] = finish_##_i64, [KOE_DTYPE_U32] = finish_##_u32, [KOE_DTYPE_U64] = finish_##_u64 }
#define EXTREME_ROW(op, s, S, T, A) [KOE_DTYPE_##S] = &op##_##s,
#define EXTREME_ROWS(reducer_)                                                                                                   \
    .reducer = { KOE_NUMBERS(EXTREME_ROW, reducer_) KOE_BOOL(EXTREME_ROW, reducer_) },                                           \
    .finish = { [KOE_DTYPE_F32] = copy_32, [KOE_DTYPE_F64] = copy_64, [KOE_DTYPE_I8] = copy_8,  [KOE_DTYPE_I16] = copy_16,       \
                [KOE_DTYPE_I32] = copy_32, [KOE_DTYPE_I64] = copy_64, [KOE_DTYPE_U8] = copy_8,  [KOE_DTYPE_U16] = copy_16,       \
                [KOE_DTYPE_U32] = copy_32, [KOE_DTYPE_U64] = copy_64, [KOE_DTYPE_BOOL] = copy_8 }

static const reduce_op sum_op = { WIDE_ROWS(sum, plain) }, mean_op = { WIDE_ROWS(sum, mean) };
static const reduce_op product_op = { WIDE_ROWS(product, plain) }, l1_op = { WIDE_ROWS(abs_sum, plain) };
static const reduce_op square_op = { WIDE_ROWS(square_sum, plain) };
static const reduce_op mean_square_op = { FLOAT_ROWS(square_sum, mean) };
static const reduce_op max_op = { EXTREME_ROWS(max) }, min_op = { EXTREME_ROWS(min) };
static const reduce_op l2_op = { FLOAT_ROWS(square_sum, root), .real = true };
static const reduce_op log_sum_op = { FLOAT_ROWS(sum, log), .real = true };
static const reduce_op log_sum_exp_op = { FLOAT_ROWS(exp_sum, exp_log), .real = true };

static void reduce_as(koe_op_ctx *c, const reduce_op *op, koe_dtype type, void *y, const void *x, int n_dim, const int64_t *dim,
                      const bool *is_reduced)
{
    size_t size = koe_dtype_size(type);
    reduction r = { .reducer = op->reducer[type], .finish = op->finish[type], .x = x, .y = y, .x_size = size, .y_size = size };
    split_dims(&r, n_dim, dim, is_reduced);
    reduce(c->pool, &r);
}

koe_status koe_reduce_mean(koe_op_ctx *c, koe_tensor *out, const koe_tensor *x, const bool *is_reduced, bool squares,
                           koe_error *err)
{
    *out = *x;
    for (int i = 0; i < x->n_dim; i++)
        if (is_reduced[i]) out->dim[i] = 1;
    out->data = koe_scratch(c, koe_tensor_bytes(out));
    if (!out->data) return koe_fail(err, KOE_E_NOMEM, "reduction");
    reduce_as(c, squares ? &mean_square_op : &mean_op, x->dtype, out->data, x->data, x->n_dim, x->dim, is_reduced);
    return KOE_OK;
}

/* Which dimensions go: the axes attribute or input; all when there are none, unless noop_with_empty_axes. */
static koe_status read_axes(bool is_reduced[KOE_MAX_DIM], koe_op_ctx *c, const koe_tensor *x, bool axes_in, koe_error *err)
{
    int64_t axes[4 * KOE_MAX_DIM];
    const int64_t *axis = axes;
    size_t n = 0;
    koe_status st = KOE_OK;
    const koe_tensor *t = axes_in ? koe_in(c, 1) : NULL;
    if (t) st = koe_read_ints(t, axes, sizeof axes / sizeof *axes, &n, err);
    else if (!axes_in) n = koe_node_ints(c->node, "axes", &axis);
    bool all = n == 0 && !koe_node_int(c->node, "noop_with_empty_axes", 0);
    for (int d = 0; d < KOE_MAX_DIM; d++) is_reduced[d] = all;
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        int d;
        st = koe_axis(&d, axis[i], x->n_dim, false, c->node, err);
        if (st == KOE_OK) is_reduced[d] = true;
    }
    return st;
}

static koe_status run_reduce(koe_op_ctx *c, const reduce_op *op, bool axes_in, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    bool is_reduced[KOE_MAX_DIM], keep = koe_node_int(c->node, "keepdims", 1);
    koe_dtype type = op->real && x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_BOOL ? KOE_DTYPE_F64 : x->dtype;
    if (!op->reducer[type]) return koe_type_error(c, x->dtype, err);
    st = read_axes(is_reduced, c, x, axes_in, err);
    if (st != KOE_OK) return st;
    int n_dim = 0;
    int64_t dim[KOE_MAX_DIM];
    for (int i = 0; i < x->n_dim; i++)
        if (!is_reduced[i] || keep) dim[n_dim++] = is_reduced[i] ? 1 : x->dim[i];
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    size_t n_out = koe_tensor_count(y);
    const void *from = koe_as_type(c, x, type);
    void *to = type == x->dtype ? y->data : koe_scratch(c, n_out * koe_dtype_size(type));
    if (!from || !to) return koe_fail(err, KOE_E_NOMEM, "reduction");
    reduce_as(c, op, type, to, from, x->n_dim, x->dim, is_reduced);
    if (type != x->dtype) koe_cast_elements(y->data, x->dtype, to, type, n_out);
    return KOE_OK;
}

/* X(operator, its name above, last opset with axes as an attribute) */
#define REDUCE_OPS(X)                                                                                                            \
    X("ReduceSum", sum, 12)                                                                                                      \
    X("ReduceMean", mean, 17)                                                                                                    \
    X("ReduceMax", max, 17)                                                                                                      \
    X("ReduceMin", min, 17)                                                                                                      \
    X("ReduceProd", product, 17)                                                                                                 \
    X("ReduceL1", l1, 17)                                                                                                        \
    X("ReduceL2", l2, 17)                                                                                                        \
    X("ReduceLogSum", log_sum, 17)                                                                                               \
    X("ReduceLogSumExp", log_sum_exp, 17)                                                                                        \
    X("ReduceSumSquare", square, 17)

#define DEFINE_RUN(name, op, last)                                                                                               \
    static koe_status run_##op##_attr(koe_op_ctx *c, koe_error *err) { return run_reduce(c, &op##_op, false, err); }             \
    static koe_status run_##op(koe_op_ctx *c, koe_error *err) { return run_reduce(c, &op##_op, true, err); }
REDUCE_OPS(DEFINE_RUN)

/* ---- ArgMax, ArgMin -------------------------------------------------------------------------------------------------- */

typedef struct arg_job {
    const char *x;
    int64_t *y;
    size_t n, n_inner; /* x is [n_outer, n, n_inner] */
    bool last; /* of equals, the last wins */
} arg_job;

/* static koe_range_fn name: results from..to. BETTER(a, b): a is a new best in place of b. */
#define ARG(name, T, BETTER)                                                                                                     \
    static void name(void *arg, size_t from, size_t to)                                                                          \
    {                                                                                                                            \
        const arg_job *j = arg;                                                                                                  \
        const bool last = j->last;                                                                                               \
        for (size_t r = from; r < to; r++) {                                                                                     \
            const T *x = (const T *)(const void *)j->x + r / j->n_inner * j->n * j->n_inner + r % j->n_inner;                    \
            T best = x[0];                                                                                                       \
            size_t at = 0;                                                                                                       \
            for (size_t i = 1; i < j->n; i++) {                                                                                  \
                const T a = x[i * j->n_inner];                                                                                   \
                if (BETTER(a, best) || (last && !BETTER(best, a))) best = a, at = i;                                             \
            }                                                                                                                    \
            j->y[r] = (int64_t)at;                                                                                               \
        }                                                                                                                        \
    }
/* NaN is better than any number, as in NumPy. */
#define GREATER_FLOAT(a, b) ((a) > (b) || ((a) != (a) && (b) == (b)))
#define LESS_FLOAT(a, b) ((a) < (b) || ((a) != (a) && (b) == (b)))
#define GREATER_INT(a, b) ((a) > (b))
#define LESS_INT(a, b) ((a) < (b))
#define ARG_FLOAT(op, s, S, T, A) ARG(argmax_##s, T, GREATER_FLOAT) ARG(argmin_##s, T, LESS_FLOAT)
#define ARG_INT(op, s, S, T, A) ARG(argmax_##s, T, GREATER_INT) ARG(argmin_##s, T, LESS_INT)
KOE_FLOATS(ARG_FLOAT, )
KOE_INTS(ARG_INT, )

static koe_status run_arg(koe_op_ctx *c, koe_range_fn *const *table, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    int axis;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", 0), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    if (!table[x->dtype]) return koe_type_error(c, x->dtype, err);
    int n_dim = 0;
    int64_t dim[KOE_MAX_DIM];
    bool keep = koe_node_int(c->node, "keepdims", 1);
    for (int i = 0; i < x->n_dim; i++)
        if (i != axis || keep) dim[n_dim++] = i == axis ? 1 : x->dim[i];
    st = koe_out(c, 0, KOE_DTYPE_I64, n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    if (x->dim[axis] == 0) return koe_fail(err, KOE_E_FORMAT, "axis %d has no elements", axis);
    arg_job j = { x->data, y->data, (size_t)x->dim[axis], koe_dim_product(x->dim, axis + 1, x->n_dim),
                  koe_node_int(c->node, "select_last_index", 0) };
    koe_for_ranges(c->pool, koe_tensor_count(y), items_per_task(j.n), table[x->dtype], &j);
    return KOE_OK;
}

static koe_range_fn *const argmax_table[KOE_DTYPES] = { KOE_NUMBERS(KOE_TYPE_ROW, argmax) };
static koe_range_fn *const argmin_table[KOE_DTYPES] = { KOE_NUMBERS(KOE_TYPE_ROW, argmin) };
static koe_status run_argmax(koe_op_ctx *c, koe_error *err) { return run_arg(c, argmax_table, err); }
static koe_status run_argmin(koe_op_ctx *c, koe_error *err) { return run_arg(c, argmin_table, err); }

/* ---------------------------------------------------------------------------------------------------------------------- */

#define REDUCE_ROWS(name_, op_, last)                                                                                            \
    { .name = name_, .since = 1, .until = last, .flags = KOE_OP_WIDEN_HALF, .run = run_##op_##_attr },                           \
        { .name = name_, .since = last + 1, .flags = KOE_OP_WIDEN_HALF, .run = run_##op_ },
static const koe_op ops[] = { { .name = "ArgMax", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_argmax },
                              { .name = "ArgMin", .since = 1, .flags = KOE_OP_WIDEN_HALF, .run = run_argmin },
                              REDUCE_OPS(REDUCE_ROWS) };

koe_op_table koe_ops_reduce(void) { return KOE_OP_TABLE(ops); }
