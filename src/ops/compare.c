/* compare.c - comparisons, logic, bits, and Where. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/ops.h"

/* ---- two operands of one type; the result is of that type (bits) or bool --------------------------------------------- */

#define COMPARE(op, s, S, T, A)                                                                                                  \
    KOE_BINARY(equal_##s, T, uint8_t, a == b)                                                                                    \
    KOE_BINARY(less_##s, T, uint8_t, a < b)                                                                                      \
    KOE_BINARY(greater_##s, T, uint8_t, a > b)                                                                                   \
    KOE_BINARY(less_equal_##s, T, uint8_t, a <= b)                                                                               \
    KOE_BINARY(greater_equal_##s, T, uint8_t, a >= b)
KOE_NUMBERS(COMPARE, )
KOE_BINARY(equal_boolean, uint8_t, uint8_t, a == b)
KOE_BINARY(and_boolean, uint8_t, uint8_t, a &b)
KOE_BINARY(or_boolean, uint8_t, uint8_t, a | b)
KOE_BINARY(xor_boolean, uint8_t, uint8_t, a ^ b)

#define BITS(op, s, S, T, A)                                                                                                     \
    KOE_BINARY(bitand_##s, T, T, (T)(a & b))                                                                                     \
    KOE_BINARY(bitor_##s, T, T, (T)(a | b))                                                                                      \
    KOE_BINARY(bitxor_##s, T, T, (T)(a ^ b))
KOE_INTS(BITS, )

/* A shift by the width or more moves everything out. */
#define SHIFT(op, s, S, T, A)                                                                                                    \
    KOE_BINARY(shift_left_##s, T, T, b < 8 * sizeof(T) ? (T)((A)a << b) : 0)                                                     \
    KOE_BINARY(shift_right_##s, T, T, b < 8 * sizeof(T) ? (T)((A)a >> b) : 0)
KOE_UNSIGNED(SHIFT, )

static koe_status compare(koe_op_ctx *c, koe_loop_fn *const *table, bool to_bool, koe_error *err)
{
    const koe_tensor *x[2];
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x[0], err);
    if (st == KOE_OK) st = koe_need(c, 1, &x[1], err);
    if (st != KOE_OK) return st;
    if (!table[x[0]->dtype] || x[1]->dtype != x[0]->dtype) return koe_type_error(c, x[1]->dtype, err);
    st = koe_out_broadcast(c, to_bool ? KOE_DTYPE_BOOL : x[0]->dtype, x, 2, 2, &y, err);
    if (st == KOE_OK) koe_loop(c, table[x[0]->dtype], NULL, y, x, 2);
    return st;
}

/* X(operator, its name above, first opset, class of types, result is bool) */
#define EQUAL_TYPES(X, op) KOE_NUMBERS(X, op) KOE_BOOL(X, op)
#define COMPARE_OPS(X)                                                                                                           \
    X("Equal", equal, 7, EQUAL_TYPES, true)                                                                                      \
    X("Less", less, 7, KOE_NUMBERS, true)                                                                                        \
    X("Greater", greater, 7, KOE_NUMBERS, true)                                                                                  \
    X("LessOrEqual", less_equal, 12, KOE_NUMBERS, true)                                                                          \
    X("GreaterOrEqual", greater_equal, 12, KOE_NUMBERS, true)                                                                    \
    X("And", and, 7, KOE_BOOL, true)                                                                                             \
    X("Or", or, 7, KOE_BOOL, true)                                                                                               \
    X("Xor", xor, 7, KOE_BOOL, true)                                                                                             \
    X("BitwiseAnd", bitand, 18, KOE_INTS, false)                                                                                 \
    X("BitwiseOr", bitor, 18, KOE_INTS, false)                                                                                   \
    X("BitwiseXor", bitxor, 18, KOE_INTS, false)

#define DEFINE_RUN(name, op, since, types, to_bool)                                                                              \
    static koe_loop_fn *const op##_table[KOE_DTYPES] = { types(KOE_TYPE_ROW, op) };                                              \
    static koe_status run_##op(koe_op_ctx *c, koe_error *err) { return compare(c, op##_table, to_bool, err); }
COMPARE_OPS(DEFINE_RUN)

static koe_status run_bitshift(koe_op_ctx *c, koe_error *err)
{
    static koe_loop_fn *const left[KOE_DTYPES] = { KOE_UNSIGNED(KOE_TYPE_ROW, shift_left) };
    static koe_loop_fn *const right[KOE_DTYPES] = { KOE_UNSIGNED(KOE_TYPE_ROW, shift_right) };
    koe_str direction = koe_node_str(c->node, "direction", "");
    if (koe_str_is(direction, "LEFT")) return compare(c, left, false, err);
    if (koe_str_is(direction, "RIGHT")) return compare(c, right, false, err);
    return koe_fail(err, KOE_E_FORMAT, "direction is \"%.*s\", not LEFT or RIGHT", KOE_STR_ARG(direction));
}

/* ---- IsNaN, IsInf ---------------------------------------------------------------------------------------------------- */

#define CLASSIFY(op, s, S, T, A)                                                                                                 \
    KOE_UNARY(isnan_##s, T, uint8_t, a != a)                                                                                     \
    KOE_UNARY(ispos_##s, T, uint8_t, a == (T)INFINITY)                                                                           \
    KOE_UNARY(isneg_##s, T, uint8_t, a == -(T)INFINITY)                                                                          \
    KOE_UNARY(isinf_##s, T, uint8_t, a == (T)INFINITY || a == -(T)INFINITY)                                                      \
    KOE_UNARY(never_##s, T, uint8_t, ((void)a, 0))
KOE_FLOATS(CLASSIFY, )

static koe_status classify(koe_op_ctx *c, koe_loop_fn *f32, koe_loop_fn *f64, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) return koe_type_error(c, x->dtype, err);
    st = koe_out(c, 0, KOE_DTYPE_BOOL, x->n_dim, x->dim, &y, err);
    if (st == KOE_OK) koe_loop(c, x->dtype == KOE_DTYPE_F32 ? f32 : f64, NULL, y, &x, 1);
    return st;
}

static koe_status run_isnan(koe_op_ctx *c, koe_error *err) { return classify(c, isnan_f32, isnan_f64, err); }
static koe_status run_isinf(koe_op_ctx *c, koe_error *err)
{
    bool positive = koe_node_int(c->node, "detect_positive", 1), negative = koe_node_int(c->node, "detect_negative", 1);
    if (positive && negative) return classify(c, isinf_f32, isinf_f64, err);
    if (positive) return classify(c, ispos_f32, ispos_f64, err);
    return negative ? classify(c, isneg_f32, isneg_f64, err) : classify(c, never_f32, never_f64, err);
}

/* ---- Where: of any type, by the size of its elements ----------------------------------------------------------------- */

#define WHERE(T, bits)                                                                                                           \
    static void where_##bits(void *y_, const void *const *x_, const int *step, size_t n, const void *arg)                        \
    {                                                                                                                            \
        T *y = y_;                                                                                                               \
        const uint8_t *condition = x_[0];                                                                                        \
        const T *p = x_[1], *q = x_[2];                                                                                          \
        const size_t sp = (size_t)step[1], sq = (size_t)step[2];                                                                 \
        (void)arg;                                                                                                               \
        if (n == 0) return;                                                                                                      \
        if (!step[0]) {                                                                                                          \
            const T *chosen = *condition ? p : q;                                                                                \
            const size_t s = *condition ? sp : sq;                                                                               \
            for (size_t i = 0; i < n; i++) y[i] = chosen[i * s];                                                                 \
        } else if (sp && sq) {                                                                                                   \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) y[i] = condition[i] ? p[i] : q[i];                                                    \
        } else if (sp) {                                                                                                         \
            const T b = *q;                                                                                                      \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) y[i] = condition[i] ? p[i] : b;                                                       \
        } else if (sq) {                                                                                                         \
            const T a = *p;                                                                                                      \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) y[i] = condition[i] ? a : q[i];                                                       \
        } else {                                                                                                                 \
            const T a = *p, b = *q;                                                                                              \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) y[i] = condition[i] ? a : b;                                                          \
        }                                                                                                                        \
    }
WHERE(uint8_t, 8)
WHERE(uint16_t, 16)
WHERE(uint32_t, 32)
WHERE(uint64_t, 64)

static koe_status run_where(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x[3];
    koe_tensor *y;
    koe_status st = KOE_OK;
    for (int i = 0; i < 3 && st == KOE_OK; i++) st = koe_need(c, i, &x[i], err);
    if (st != KOE_OK) return st;
    if (x[0]->dtype != KOE_DTYPE_BOOL) return koe_type_error(c, x[0]->dtype, err);
    if (x[1]->dtype != x[2]->dtype) return koe_type_error(c, x[2]->dtype, err);
    st = koe_out_broadcast(c, x[1]->dtype, x, 3, 3, &y, err);
    if (st != KOE_OK) return st;
    size_t size = koe_dtype_size(y->dtype);
    koe_loop(c, size == 1 ? where_8 : size == 2 ? where_16 : size == 4 ? where_32 : where_64, NULL, y, x, 3);
    return KOE_OK;
}

#define COMPARE_ROW(name_, op_, since_, types, to_bool)                                                                          \
    { .name = name_, .since = since_, .flags = KOE_OP_WIDEN_HALF, .run = run_##op_ },
static const koe_op ops[] = { { .name = "BitShift", .since = 11, .run = run_bitshift },
                              { .name = "IsNaN", .since = 9, .flags = KOE_OP_WIDEN_HALF, .run = run_isnan },
                              { .name = "IsInf", .since = 10, .flags = KOE_OP_WIDEN_HALF, .run = run_isinf },
                              { .name = "Where", .since = 9, .run = run_where },
                              COMPARE_OPS(COMPARE_ROW) };

koe_op_table koe_ops_compare(void) { return KOE_OP_TABLE(ops); }
