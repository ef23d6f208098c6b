/* cast.c - from one type of element to another: Cast, CastLike, BitCast. */
#include "kernels/kernels.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

/* ---- every pair of types but the halves ------------------------------------------------------------------------------ */

typedef void cast_fn(void *y, const void *x, size_t n);

#define CAST(from, to, T, O, expr)                                                                                               \
    static void from##_to_##to(void *y_, const void *x_, size_t n)                                                               \
    {                                                                                                                            \
        O *restrict y = y_;                                                                                                      \
        const T *restrict x = x_;                                                                                                \
        for (size_t i = 0; i < n; i++) {                                                                                         \
            const T a = x[i];                                                                                                    \
            y[i] = (expr);                                                                                                       \
        }                                                                                                                        \
    }

/* A float as an integer of type O, towards zero; what lies outside becomes the nearest end, NaN 0. The bounds are powers of two,
 * which float represents. */
#define SATURATE(O, top, low, high) a != a ? (O)0 : a <= (low) ? (O)(low) : a >= (high) ? (O)(top) : (O)a
#define FROM_FLOAT(op, s, S, T, A)                                                                                               \
    CAST(s, i8, T, int8_t, SATURATE(int8_t, INT8_MAX, -0x1p7f, 0x1p7f))                                                          \
    CAST(s, i16, T, int16_t, SATURATE(int16_t, INT16_MAX, -0x1p15f, 0x1p15f))                                                    \
    CAST(s, i32, T, int32_t, SATURATE(int32_t, INT32_MAX, -0x1p31f, 0x1p31f))                                                    \
    CAST(s, i64, T, int64_t, SATURATE(int64_t, INT64_MAX, -0x1p63f, 0x1p63f))                                                    \
    CAST(s, u8, T, uint8_t, SATURATE(uint8_t, UINT8_MAX, 0.0f, 0x1p8f))                                                          \
    CAST(s, u16, T, uint16_t, SATURATE(uint16_t, UINT16_MAX, 0.0f, 0x1p16f))                                                     \
    CAST(s, u32, T, uint32_t, SATURATE(uint32_t, UINT32_MAX, 0.0f, 0x1p32f))                                                     \
    CAST(s, u64, T, uint64_t, SATURATE(uint64_t, UINT64_MAX, 0.0f, 0x1p64f))                                                     \
    CAST(s, f32, T, float, (float)a)                                                                                             \
    CAST(s, f64, T, double, (double)a)                                                                                           \
    CAST(s, boolean, T, uint8_t, a != 0)
#define FROM_INT(op, s, S, T, A)                                                                                                 \
    CAST(s, i8, T, int8_t, (int8_t)a)                                                                                            \
    CAST(s, i16, T, int16_t, (int16_t)a)                                                                                         \
    CAST(s, i32, T, int32_t, (int32_t)a)                                                                                         \
    CAST(s, i64, T, int64_t, (int64_t)a)                                                                                         \
    CAST(s, u8, T, uint8_t, (uint8_t)a)                                                                                          \
    CAST(s, u16, T, uint16_t, (uint16_t)a)                                                                                       \
    CAST(s, u32, T, uint32_t, (uint32_t)a)                                                                                       \
    CAST(s, u64, T, uint64_t, (uint64_t)a)                                                                                       \
    CAST(s, f32, T, float, (float)a)                                                                                             \
    CAST(s, f64, T, double, (double)a)                                                                                           \
    CAST(s, boolean, T, uint8_t, a != 0)
KOE_FLOATS(FROM_FLOAT, )
KOE_INTS(FROM_INT, )
KOE_BOOL(FROM_INT, )

#define ROW(op, s, S, T, A)                                                                                                      \
    [KOE_DTYPE_##S] = { [KOE_DTYPE_F32] = s##_to_f32, [KOE_DTYPE_F64] = s##_to_f64,     [KOE_DTYPE_I8] = s##_to_i8,              \
                        [KOE_DTYPE_I16] = s##_to_i16, [KOE_DTYPE_I32] = s##_to_i32,     [KOE_DTYPE_I64] = s##_to_i64,            \
                        [KOE_DTYPE_U8] = s##_to_u8,   [KOE_DTYPE_U16] = s##_to_u16,     [KOE_DTYPE_U32] = s##_to_u32,            \
                        [KOE_DTYPE_U64] = s##_to_u64, [KOE_DTYPE_BOOL] = s##_to_boolean },
static cast_fn *const cast_table[KOE_DTYPES][KOE_DTYPES] = { KOE_NUMBERS(ROW, ) KOE_BOOL(ROW, ) };

/* ---- the halves, by way of float ------------------------------------------------------------------------------------- */


static void widen(float *y, const uint16_t *x, koe_dtype half, size_t n)
{
    if (half == KOE_DTYPE_F16) koe_f16_widen(y, x, n);
    else
        for (size_t i = 0; i < n; i++) y[i] = koe_bf16_to_f32(x[i]);
}

static void narrow(uint16_t *y, const float *x, koe_dtype half, size_t n)
{
    if (half == KOE_DTYPE_F16) koe_f16_narrow(y, x, n);
    else
        for (size_t i = 0; i < n; i++) y[i] = koe_f32_to_bf16(x[i]);
}

static void cast_half(char *y, koe_dtype to, const char *x, koe_dtype from, size_t n)
{
    enum { BLOCK = 512 };
    float t[BLOCK];
    size_t x_size = koe_dtype_size(from), y_size = koe_dtype_size(to);
    while (n > 0) {
        size_t m = n < BLOCK ? n : BLOCK;
        if (koe_dtype_is_half(from)) widen(t, (const uint16_t *)(const void *)x, from, m);
        else cast_table[from][KOE_DTYPE_F32](t, x, m);
        if (koe_dtype_is_half(to)) narrow((uint16_t *)(void *)y, t, to, m);
        else cast_table[KOE_DTYPE_F32][to](y, t, m);
        x += m * x_size, y += m * y_size, n -= m;
    }
}

void koe_cast_elements(void *y, koe_dtype to, const void *x, koe_dtype from, size_t n)
{
    if (n == 0) return;
    if (from == to) memcpy(y, x, n * koe_dtype_size(to));
    else if (koe_dtype_is_half(from) || koe_dtype_is_half(to)) cast_half(y, to, x, from, n);
    else cast_table[from][to](y, x, n);
}

const void *koe_as_type(koe_op_ctx *c, const koe_tensor *t, koe_dtype to)
{
    if (t->dtype == to) return t->data;
    size_t n = koe_tensor_count(t);
    void *data = koe_scratch(c, n * koe_dtype_size(to));
    if (data) koe_cast_elements(data, to, t->data, t->dtype, n);
    return data;
}

/* ---- operators ------------------------------------------------------------------------------------------------------- */

typedef struct cast_job {
    const koe_tensor *x;
    koe_tensor *y;
} cast_job;

static void cast_range(void *arg, size_t from, size_t to)
{
    const cast_job *j = arg;
    const char *x = j->x->data;
    char *y = j->y->data;
    koe_cast_elements(y + from * koe_dtype_size(j->y->dtype), j->y->dtype, x + from * koe_dtype_size(j->x->dtype), j->x->dtype,
                      to - from);
}

static koe_status cast(koe_op_ctx *c, const koe_tensor *x, int64_t to, koe_error *err)
{
    if (to <= 0 || to >= KOE_DTYPES || koe_dtype_size((koe_dtype)to) == 0)
        return koe_fail(err, KOE_E_UNSUPPORTED, "conversion of %s to element type %lld", koe_dtype_name(x->dtype), (long long)to);
    if (x->dtype == (koe_dtype)to) return koe_out_view(c, 0, 0, x->n_dim, x->dim, err);
    cast_job j = { .x = x };
    koe_status st = koe_out(c, 0, (koe_dtype)to, x->n_dim, x->dim, &j.y, err);
    if (st == KOE_OK) koe_for_ranges(c->pool, koe_tensor_count(x), KOE_LOOP_CHUNK, cast_range, &j);
    return st;
}

static koe_status run_cast(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    return st == KOE_OK ? cast(c, x, koe_node_int(c->node, "to", 0), err) : st;
}

static koe_status run_cast_like(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *like;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &like, err);
    return st == KOE_OK ? cast(c, x, like->dtype, err) : st;
}

static koe_status run_bit_cast(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    int64_t to = koe_node_int(c->node, "to", 0);
    if (to <= 0 || to >= KOE_DTYPES || koe_dtype_size((koe_dtype)to) != koe_dtype_size(x->dtype))
        return koe_fail(err, KOE_E_UNSUPPORTED, "the bits of %s as element type %lld", koe_dtype_name(x->dtype), (long long)to);
    koe_tensor *y;
    st = koe_out(c, 0, (koe_dtype)to, x->n_dim, x->dim, &y, err);
    if (st == KOE_OK && koe_tensor_count(x)) memcpy(y->data, x->data, koe_tensor_bytes(x));
    return st;
}

static const koe_op ops[] = {
    { .name = "Cast", .since = 6, .run = run_cast },
    { .name = "CastLike", .since = 15, .run = run_cast_like },
    { .name = "BitCast", .since = 26, .run = run_bit_cast },
};

koe_op_table koe_ops_cast(void) { return KOE_OP_TABLE(ops); }
