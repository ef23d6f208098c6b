/* elementwise.h - loops over the elements of tensors: what the elementwise families share.
 *     shapes -> LOOP (broadcast, dimensions collapsed, fixed chunks over the pool) -> a run of n elements of one type
 * A loop function sees only runs: dense outputs, and inputs that are either dense or one repeated element; that is all that
 * broadcasting leaves once dimensions are collapsed. Chunks do not depend on the number of threads. */
#ifndef KOE_OPS_ELEMENTWISE_H
#define KOE_OPS_ELEMENTWISE_H
#include "ops/op.h"

enum {
    KOE_LOOP_IN = 8, /* inputs of one loop at most */
    KOE_LOOP_CHUNK = 32768, /* elements of one task */
    KOE_DTYPES = 17, /* size of a table indexed by koe_dtype */
};

/* y[i] = f(x[0][i], ...) for n elements. x[k] is dense where step[k] is 1 and a single repeated element where it is 0. y may be
 * the memory of a dense x. */
typedef void koe_loop_fn(void *y, const void *const *x, const int *step, size_t n, const void *arg);

/* Runs fn over all elements of y; every x[0..n_x) must broadcast to y's shape. */
void koe_loop(koe_op_ctx *c, koe_loop_fn *fn, const void *arg, koe_tensor *y, const koe_tensor *const *x, int n_x);
/* A whole operator: output 0 from input 0, of one type and shape, by the table's function for the type. */
koe_status koe_run_unary(koe_op_ctx *c, koe_loop_fn *const *table, const void *arg, koe_error *err);

/* Cuts 0..n into tasks of `chunk` and calls fn(arg, from, to) for each. */
typedef void koe_range_fn(void *arg, size_t from, size_t to);
void koe_for_ranges(koe_pool *pool, size_t n, size_t chunk, koe_range_fn *fn, void *arg);

/* Output 0 for the elementwise result of inputs 0..n_x (x[k] is input k): broadcast shape, in the memory of one of the first
 * n_inplace inputs where that is possible. */
koe_status koe_out_broadcast(koe_op_ctx *c, koe_dtype dtype, const koe_tensor *const *x, int n_x, int n_inplace, koe_tensor **y,
                             koe_error *err);

/* y[i] = x[i] converted as Cast does: floats towards zero into integers, clamped to their range and NaN to 0; integers wrap. The
 * ranges do not overlap. Every type of tensor.h but strings. */
void koe_cast_elements(void *y, koe_dtype to, const void *x, koe_dtype from, size_t n);
/* t as `to` in scratch memory, or t->data itself when it is that type already; NULL when out of memory. */
const void *koe_as_type(koe_op_ctx *c, const koe_tensor *t, koe_dtype to);

/* The iterations of the next loop are independent although y may be x: gcc and clang would otherwise give up on equal pointers.
 * Clang warns of requests that it cannot fulfil, which is the case where the expression calls a function. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"
#define KOE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define KOE_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Types by class: X(op, suffix, KOE_DTYPE_ suffix, type, type of its arithmetic). Integers compute unsigned and wrap. */
#define KOE_FLOATS(X, op) X(op, f32, F32, float, float) X(op, f64, F64, double, double)
#define KOE_SIGNED(X, op)                                                                                                        \
    X(op, i8, I8, int8_t, uint32_t)                                                                                              \
    X(op, i16, I16, int16_t, uint32_t)                                                                                           \
    X(op, i32, I32, int32_t, uint32_t)                                                                                           \
    X(op, i64, I64, int64_t, uint64_t)
#define KOE_UNSIGNED(X, op)                                                                                                      \
    X(op, u8, U8, uint8_t, uint32_t)                                                                                             \
    X(op, u16, U16, uint16_t, uint32_t)                                                                                          \
    X(op, u32, U32, uint32_t, uint32_t)                                                                                          \
    X(op, u64, U64, uint64_t, uint64_t)
#define KOE_INTS(X, op) KOE_SIGNED(X, op) KOE_UNSIGNED(X, op)
#define KOE_NUMBERS(X, op) KOE_FLOATS(X, op) KOE_INTS(X, op)
#define KOE_BOOL(X, op) X(op, boolean, BOOL, uint8_t, uint8_t)

/* A row of a table indexed by koe_dtype, for use with the lists above. */
#define KOE_TYPE_ROW(op, s, S, T, A) [KOE_DTYPE_##S] = op##_##s,

/* static koe_loop_fn name: y = expr of a. */
#define KOE_UNARY(name, T, O, expr)                                                                                              \
    static void name(void *y_, const void *const *x_, const int *step, size_t n, const void *arg)                                \
    {                                                                                                                            \
        O *y = y_;                                                                                                               \
        const T *x = x_[0];                                                                                                      \
        (void)step, (void)arg;                                                                                                   \
        KOE_INDEPENDENT                                                                                                          \
        for (size_t i = 0; i < n; i++) {                                                                                         \
            const T a = x[i];                                                                                                    \
            y[i] = (O)(expr);                                                                                                    \
        }                                                                                                                        \
    }

/* static koe_loop_fn name: y = expr of a and b. */
#define KOE_BINARY(name, T, O, expr)                                                                                             \
    static void name(void *y_, const void *const *x_, const int *step, size_t n, const void *arg)                                \
    {                                                                                                                            \
        O *y = y_;                                                                                                               \
        const T *p = x_[0], *q = x_[1];                                                                                          \
        (void)arg;                                                                                                               \
        if (n == 0) return;                                                                                                      \
        if (step[0] && step[1]) {                                                                                                \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) {                                                                                     \
                const T a = p[i], b = q[i];                                                                                      \
                y[i] = (O)(expr);                                                                                                \
            }                                                                                                                    \
        } else if (step[0]) {                                                                                                    \
            const T b = *q;                                                                                                      \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) {                                                                                     \
                const T a = p[i];                                                                                                \
                y[i] = (O)(expr);                                                                                                \
            }                                                                                                                    \
        } else if (step[1]) {                                                                                                    \
            const T a = *p;                                                                                                      \
            KOE_INDEPENDENT                                                                                                      \
            for (size_t i = 0; i < n; i++) {                                                                                     \
                const T b = q[i];                                                                                                \
                y[i] = (O)(expr);                                                                                                \
            }                                                                                                                    \
        } else {                                                                                                                 \
            const T a = *p, b = *q;                                                                                              \
            const O value = (O)(expr);                                                                                           \
            for (size_t i = 0; i < n; i++) y[i] = value;                                                                         \
        }                                                                                                                        \
    }
#endif
