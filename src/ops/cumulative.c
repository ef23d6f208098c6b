/* cumulative.c - CumSum, CumProd: running results along an axis. Added up in order and in the tensor's own type, as other engines
 * do: what follows in speech models is the phase of a sine, where the last bit shows. */
#include "ops/elementwise.h"
#include "ops/ops.h"

typedef struct scan_job {
    const char *x;
    char *y;
    size_t n, n_inner, n_block; /* x is [n_outer, n, n_inner] */
    bool exclusive, reverse;
} scan_job;

enum { BLOCK = 256 };

/* static koe_range_fn name: blocks of columns from..to. */
#define SCAN(name, T, A, start, OP)                                                                                              \
    static void name(void *arg, size_t from, size_t to)                                                                          \
    {                                                                                                                            \
        const scan_job *s = arg;                                                                                                 \
        for (size_t b = from; b < to; b++) {                                                                                     \
            size_t column = b % s->n_block * BLOCK, at = b / s->n_block * s->n * s->n_inner + column;                            \
            size_t m = s->n_inner - column < BLOCK ? s->n_inner - column : BLOCK;                                                \
            A acc[BLOCK];                                                                                                        \
            for (size_t j = 0; j < m; j++) acc[j] = start;                                                                       \
            for (size_t k = 0; k < s->n; k++) {                                                                                  \
                size_t i = s->reverse ? s->n - 1 - k : k;                                                                        \
                const T *x = (const T *)(const void *)s->x + at + i * s->n_inner;                                                \
                T *y = (T *)(void *)s->y + at + i * s->n_inner;                                                                  \
                for (size_t j = 0; j < m; j++) {                                                                                 \
                    const A next = acc[j] OP(A) x[j];                                                                            \
                    y[j] = (T)(s->exclusive ? acc[j] : next);                                                                    \
                    acc[j] = next;                                                                                               \
                }                                                                                                                \
            }                                                                                                                    \
        }                                                                                                                        \
    }
#define SCANS(op, s, S, T, A) SCAN(sum_##s, T, A, 0, +) SCAN(product_##s, T, A, 1, *)
#define TYPES(X, op)                                                                                                             \
    KOE_FLOATS(X, op)                                                                                                            \
    X(op, i32, I32, int32_t, uint32_t)                                                                                           \
    X(op, i64, I64, int64_t, uint64_t)                                                                                           \
    X(op, u32, U32, uint32_t, uint32_t)                                                                                          \
    X(op, u64, U64, uint64_t, uint64_t)
TYPES(SCANS, )
static koe_range_fn *const sum_table[KOE_DTYPES] = { TYPES(KOE_TYPE_ROW, sum) };
static koe_range_fn *const product_table[KOE_DTYPES] = { TYPES(KOE_TYPE_ROW, product) };

static koe_status scan(koe_op_ctx *c, koe_range_fn *const *table, koe_error *err)
{
    const koe_tensor *x, *axis_in;
    koe_tensor *y;
    int64_t axis_value;
    size_t n;
    int axis;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &axis_in, err);
    if (st == KOE_OK) st = koe_read_ints(axis_in, &axis_value, 1, &n, err);
    if (st == KOE_OK && n != 1) st = koe_fail(err, KOE_E_FORMAT, "axis is empty");
    if (st == KOE_OK) st = koe_axis(&axis, axis_value, x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    if (!table[x->dtype]) return koe_type_error(c, x->dtype, err);
    st = koe_out_inplace(c, 0, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    scan_job s = { .x = x->data,
                   .y = y->data,
                   .n = (size_t)x->dim[axis],
                   .n_inner = koe_dim_product(x->dim, axis + 1, x->n_dim),
                   .exclusive = koe_node_int(c->node, "exclusive", 0),
                   .reverse = koe_node_int(c->node, "reverse", 0) };
    s.n_block = (s.n_inner + BLOCK - 1) / BLOCK;
    size_t work = s.n * (s.n_inner < BLOCK ? s.n_inner : BLOCK);
    koe_for_ranges(c->pool, koe_dim_product(x->dim, 0, axis) * s.n_block, work < KOE_LOOP_CHUNK ? KOE_LOOP_CHUNK / work : 1,
                   table[x->dtype], &s);
    return KOE_OK;
}

static koe_status run_cumsum(koe_op_ctx *c, koe_error *err) { return scan(c, sum_table, err); }
static koe_status run_cumprod(koe_op_ctx *c, koe_error *err) { return scan(c, product_table, err); }

static const koe_op ops[] = {
    { .name = "CumSum", .since = 11, .flags = KOE_OP_WIDEN_HALF, .run = run_cumsum },
    { .name = "CumProd", .since = 26, .flags = KOE_OP_WIDEN_HALF, .run = run_cumprod },
};

koe_op_table koe_ops_cumulative(void) { return KOE_OP_TABLE(ops); }
