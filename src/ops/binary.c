/* binary.c - arithmetic of two or more tensors: Add, Sub, Mul, Div, Mod, Pow, and Max, Min, Sum, Mean of any number.
 * Integers wrap; division by zero gives 0, so that no model can stop the process. */
#include <math.h>

#include "ops/elementwise.h"
#include "ops/ops.h"

/* ---- arithmetic per type --------------------------------------------------------------------------------------------- */

#define RING(op, s, S, T, A)                                                                                                     \
    KOE_BINARY(add_##s, T, T, (T)((A)a + (A)b))                                                                                  \
    KOE_BINARY(sub_##s, T, T, (T)((A)a - (A)b))                                                                                  \
    KOE_BINARY(mul_##s, T, T, (T)((A)a * (A)b))
KOE_NUMBERS(RING, )

/* NaN on either side wins, as in NumPy. */
#define FLOAT_OPS(op, s, S, T, A)                                                                                                \
    KOE_BINARY(div_##s, T, T, a / b)                                                                                             \
    KOE_BINARY(max_##s, T, T, a > b || a != a ? a : b)                                                                           \
    KOE_BINARY(min_##s, T, T, a < b || a != a ? a : b)
KOE_FLOATS(FLOAT_OPS, )

/* b == -1 apart: the quotient of the smallest number would not fit. */
#define SIGNED_OPS(op, s, S, T, A)                                                                                               \
    KOE_BINARY(div_##s, T, T, b == 0 ? 0 : b == -1 ? (T)(0 - (A)a) : (T)(a / b))                                                 \
    KOE_BINARY(fmod_##s, T, T, b == 0 || b == -1 ? 0 : (T)(a % b))                                                               \
    KOE_BINARY(mod_##s, T, T, b == 0 || b == -1 ? 0 : (T)((a % b) + ((a % b != 0 && (a % b < 0) != (b < 0)) ? b : 0)))
#define UNSIGNED_OPS(op, s, S, T, A)                                                                                             \
    KOE_BINARY(div_##s, T, T, b == 0 ? 0 : (T)(a / b))                                                                           \
    KOE_BINARY(fmod_##s, T, T, b == 0 ? 0 : (T)(a % b))                                                                          \
    KOE_BINARY(mod_##s, T, T, b == 0 ? 0 : (T)(a % b))
#define INT_OPS(op, s, S, T, A)                                                                                                  \
    KOE_BINARY(max_##s, T, T, a > b ? a : b)                                                                                     \
    KOE_BINARY(min_##s, T, T, a < b ? a : b)
KOE_SIGNED(SIGNED_OPS, )
KOE_UNSIGNED(UNSIGNED_OPS, )
KOE_INTS(INT_OPS, )

/* The remainder with the sign of the divisor. */
static double floor_mod(double a, double b)
{
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
KOE_BINARY(fmod_f32, float, float, fmodf(a, b))
KOE_BINARY(fmod_f64, double, double, fmod(a, b))
KOE_BINARY(mod_f32, float, float, (float)floor_mod((double)a, (double)b))
KOE_BINARY(mod_f64, double, double, floor_mod(a, b))

#define TABLE(op, types) static koe_loop_fn *const op##_table[KOE_DTYPES] = { types(KOE_TYPE_ROW, op) };
TABLE(add, KOE_NUMBERS)
TABLE(sub, KOE_NUMBERS)
TABLE(mul, KOE_NUMBERS)
TABLE(div, KOE_NUMBERS)
TABLE(max, KOE_NUMBERS)
TABLE(min, KOE_NUMBERS)
TABLE(mod, KOE_NUMBERS)
TABLE(fmod, KOE_NUMBERS)
static koe_loop_fn *const mean_table[KOE_DTYPES] = { KOE_FLOATS(KOE_TYPE_ROW, add) };

/* ---- two operands ---------------------------------------------------------------------------------------------------- */

static koe_status two_of_a_type(koe_op_ctx *c, const koe_tensor *x[2], koe_error *err)
{
    koe_status st = koe_need(c, 0, &x[0], err);
    if (st == KOE_OK) st = koe_need(c, 1, &x[1], err);
    if (st != KOE_OK || x[0]->dtype == x[1]->dtype) return st;
    return koe_fail(err, KOE_E_FORMAT, "operands of types %s and %s", koe_dtype_name(x[0]->dtype), koe_dtype_name(x[1]->dtype));
}

static koe_status binary(koe_op_ctx *c, koe_loop_fn *const *table, koe_error *err)
{
    const koe_tensor *x[2];
    koe_tensor *y;
    koe_status st = two_of_a_type(c, x, err);
    if (st != KOE_OK) return st;
    if (!table[x[0]->dtype]) return koe_type_error(c, x[0]->dtype, err);
    st = koe_out_broadcast(c, x[0]->dtype, x, 2, 2, &y, err);
    if (st == KOE_OK) koe_loop(c, table[y->dtype], NULL, y, x, 2);
    return st;
}

static koe_status run_add(koe_op_ctx *c, koe_error *err) { return binary(c, add_table, err); }
static koe_status run_sub(koe_op_ctx *c, koe_error *err) { return binary(c, sub_table, err); }
static koe_status run_mul(koe_op_ctx *c, koe_error *err) { return binary(c, mul_table, err); }
static koe_status run_div(koe_op_ctx *c, koe_error *err) { return binary(c, div_table, err); }
static koe_status run_mod(koe_op_ctx *c, koe_error *err)
{
    return binary(c, koe_node_int(c->node, "fmod", 0) ? fmod_table : mod_table, err);
}

/* ---- any number of operands ------------------------------------------------------------------------------------------ */

/* Folds inputs from the left; `divide`: by their number at the end. */
static koe_status variadic(koe_op_ctx *c, koe_loop_fn *const *table, bool divide, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (!table[x->dtype]) return koe_type_error(c, x->dtype, err);
    if (c->n_in == 1) return koe_out_view(c, 0, 0, x->n_dim, x->dim, err);
    const koe_tensor **in = koe_scratch(c, sizeof *in * (size_t)c->n_in);
    if (!in) return koe_fail(err, KOE_E_NOMEM, "%d inputs", c->n_in);
    for (int i = 0; i < c->n_in; i++) {
        st = koe_need(c, i, &in[i], err);
        if (st != KOE_OK) return st;
        if (in[i]->dtype != x->dtype) return koe_type_error(c, in[i]->dtype, err);
    }
    koe_tensor *y;
    st = koe_out_broadcast(c, x->dtype, in, c->n_in, 2, &y, err); /* the third is read after y is written */
    if (st != KOE_OK) return st;
    koe_loop(c, table[y->dtype], NULL, y, in, 2);
    for (int i = 2; i < c->n_in; i++) koe_loop(c, table[y->dtype], NULL, y, (const koe_tensor *[]){ y, in[i] }, 2);
    if (divide) {
        double scale = 1.0 / c->n_in;
        float scale_f32 = (float)scale;
        bool f32 = y->dtype == KOE_DTYPE_F32;
        const koe_tensor factor = { .dtype = y->dtype, .data = f32 ? (void *)&scale_f32 : (void *)&scale };
        koe_loop(c, f32 ? mul_f32 : mul_f64, NULL, y, (const koe_tensor *[]){ y, &factor }, 2);
    }
    return KOE_OK;
}

static koe_status run_max(koe_op_ctx *c, koe_error *err) { return variadic(c, max_table, false, err); }
static koe_status run_min(koe_op_ctx *c, koe_error *err) { return variadic(c, min_table, false, err); }
static koe_status run_sum(koe_op_ctx *c, koe_error *err) { return variadic(c, add_table, false, err); }
static koe_status run_mean(koe_op_ctx *c, koe_error *err) { return variadic(c, mean_table, true, err); }

/* ---- Pow: the result has the base's type, the exponent may have any -------------------------------------------------- */

KOE_UNARY(square_f32, float, float, a *a)
KOE_UNARY(square_f64, double, double, a *a)
KOE_UNARY(cube_f32, float, float, a *a *a)
KOE_UNARY(cube_f64, double, double, a *a *a)
KOE_BINARY(pow_f32, float, float, powf(a, b))
KOE_BINARY(pow_f64, double, double, pow(a, b))

/* By squaring, wrapping. A negative power of anything but 1 and -1 is a fraction: 0. */
static int64_t int_pow(int64_t base, int64_t exponent)
{
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    uint64_t result = 1, factor = (uint64_t)base;
    for (; exponent; exponent >>= 1, factor *= factor)
        if (exponent & 1) result *= factor;
    return (int64_t)result;
}
KOE_BINARY(pow_i64, int64_t, int64_t, int_pow(a, b))

/* The type that the power is computed in: a float base's own, else int64 or, for a fractional exponent, double. */
static koe_dtype pow_type(koe_dtype base, koe_dtype exponent)
{
    if (base == KOE_DTYPE_F64) return KOE_DTYPE_F64;
    if (koe_dtype_is_float(base)) return KOE_DTYPE_F32;
    return koe_dtype_is_float(exponent) ? KOE_DTYPE_F64 : KOE_DTYPE_I64;
}

/* Squares and cubes are what models mostly ask for. A function of the base alone, or NULL. */
static koe_loop_fn *pow_shortcut(koe_dtype dtype, const void *exponent)
{
    double e;
    if (dtype == KOE_DTYPE_I64) return NULL;
    koe_cast_elements(&e, KOE_DTYPE_F64, exponent, dtype, 1);
    if (e == 2) return dtype == KOE_DTYPE_F32 ? square_f32 : square_f64;
    if (e == 3) return dtype == KOE_DTYPE_F32 ? cube_f32 : cube_f64;
    return NULL;
}

static koe_status run_pow(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x[2];
    koe_status st = koe_need(c, 0, &x[0], err);
    if (st == KOE_OK) st = koe_need(c, 1, &x[1], err);
    if (st != KOE_OK) return st;
    koe_dtype type = pow_type(x[0]->dtype, x[1]->dtype);
    bool direct = type == x[0]->dtype;
    if (x[0]->dtype == KOE_DTYPE_BOOL) return koe_type_error(c, x[0]->dtype, err);
    koe_tensor operand[2] = { *x[0], *x[1] }, *y, result;
    for (int k = 0; k < 2; k++) {
        operand[k].data = (void *)koe_as_type(c, x[k], type); /* read only */
        operand[k].dtype = type;
        if (!operand[k].data) return koe_fail(err, KOE_E_NOMEM, "operands as %s", koe_dtype_name(type));
    }
    st = koe_out_broadcast(c, x[0]->dtype, x, 2, direct ? 2 : 0, &y, err);
    if (st != KOE_OK) return st;
    result = *y;
    result.dtype = type;
    if (!direct) result.data = koe_scratch(c, koe_tensor_bytes(&result));
    if (!result.data) return koe_fail(err, KOE_E_NOMEM, "operands as %s", koe_dtype_name(type));
    const koe_tensor *in[2] = { &operand[0], &operand[1] };
    koe_loop_fn *shortcut = koe_tensor_count(x[1]) == 1 ? pow_shortcut(type, operand[1].data) : NULL;
    if (shortcut) koe_loop(c, shortcut, NULL, &result, in, 1);
    else koe_loop(c, type == KOE_DTYPE_F32 ? pow_f32 : type == KOE_DTYPE_F64 ? pow_f64 : pow_i64, NULL, &result, in, 2);
    if (!direct) koe_cast_elements(y->data, y->dtype, result.data, type, koe_tensor_count(y));
    return KOE_OK;
}

static const koe_op ops[] = {
    { .name = "Add", .since = 7, .flags = KOE_OP_WIDEN_HALF, .run = run_add },
    { .name = "Sub", .since = 7, .flags = KOE_OP_WIDEN_HALF, .run = run_sub },
    { .name = "Mul", .since = 7, .flags = KOE_OP_WIDEN_HALF, .run = run_mul },
    { .name = "Div", .since = 7, .flags = KOE_OP_WIDEN_HALF, .run = run_div },
    { .name = "Mod", .since = 10, .flags = KOE_OP_WIDEN_HALF, .run = run_mod },
    { .name = "Max", .since = 6, .flags = KOE_OP_WIDEN_HALF, .run = run_max },
    { .name = "Min", .since = 6, .flags = KOE_OP_WIDEN_HALF, .run = run_min },
    { .name = "Sum", .since = 6, .flags = KOE_OP_WIDEN_HALF, .run = run_sum },
    { .name = "Mean", .since = 6, .flags = KOE_OP_WIDEN_HALF, .run = run_mean },
    { .name = "Pow", .since = 7, .run = run_pow },
};

koe_op_table koe_ops_binary(void) { return KOE_OP_TABLE(ops); }
