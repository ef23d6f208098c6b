/* bytes.h - what the operators that move elements share: strided copies, copies by index tables, and single elements of any type.
 * Strides, offsets and counts are in elements; `size` is the bytes of one, 1, 2, 4 or 8. Arrays are dense and row-major unless
 * strides say otherwise. Messages of errors leave out operator and node: the executor puts them in front. */
#ifndef KOE_OPS_BYTES_H
#define KOE_OPS_BYTES_H
#include "ops/op.h"

/* ---- copies (copy.c) ---- */

/* One loop of a copy: n steps of `dst` and `src` elements. */
typedef struct koe_copy_axis {
    int64_t n, dst, src;
} koe_copy_axis;
enum { KOE_COPY_MAX_AXIS = 2 * KOE_MAX_DIM };

/* The loops `axis`, outermost first, copy one element a step; a src stride may be 0 or negative. dst and src do not overlap.
 * Reorders `axis` as it likes. Large copies are shared among the threads of `pool`, which may be NULL. */
void koe_copy_strided(koe_pool *pool, void *dst, const void *src, size_t size, koe_copy_axis *axis, int n_axis);
/* dst[i0, i1, ...] = src[table[0][i0], table[1][i1], ...], or *fill where an entry is negative. A NULL table stands for the axis
 * as it is; entries are below src_dim. */
void koe_copy_indexed(koe_pool *pool, void *dst, const int64_t *dst_dim, const void *src, const int64_t *src_dim, int n_dim,
                      const int64_t *const *table, size_t size, const void *fill);
/* dst[0..n) = *value. */
void koe_fill(void *dst, const void *value, size_t size, size_t n);
/* Element strides of a dense array. */
void koe_dense_strides(int64_t stride[KOE_MAX_DIM], int n_dim, const int64_t *dim);
/* How many tasks are worth it for moving n_bytes in n_units independent pieces; at least 1. */
size_t koe_copy_tasks(const koe_pool *pool, size_t n_bytes, size_t n_units);
/* Makes output i the run of elements of input `from` that starts at element `at`, sharing memory. The caller has checked that it
 * is inside. */
koe_status koe_out_part(koe_op_ctx *c, int i, int from, size_t at, int n_dim, const int64_t *dim, koe_error *err);

/* ---- elements (elem.c) ---- */

typedef enum koe_combine { KOE_COMBINE_NONE, KOE_COMBINE_ADD, KOE_COMBINE_MUL, KOE_COMBINE_MAX, KOE_COMBINE_MIN } koe_combine;

/* dst[k] = dst[k] (how) src[k]. Integers wrap; NaN wins MAX and MIN; bool ADD and MAX are "or", MUL and MIN "and". */
void koe_elem_combine(koe_dtype dtype, koe_combine how, void *dst, const void *src, size_t n);
/* The element as a double; 64-bit integers beyond 2^53 lose their last bits. */
double koe_elem_get(koe_dtype dtype, const void *p);
/* Rounds towards zero and saturates for integers (NaN gives 0); 0 or 1 for bool. */
void koe_elem_put(koe_dtype dtype, void *p, double v);
/* A number that orders as the element does: all NaN are equal and last, -0 equals +0. */
uint64_t koe_elem_key(koe_dtype dtype, const void *p);

/* Input i must be a tensor of int32 or int64. */
koe_status koe_need_ints(const koe_op_ctx *c, int i, const koe_tensor **out, koe_error *err);
/* Input i must hold exactly one int32 or int64. */
koe_status koe_need_int(const koe_op_ctx *c, int i, int64_t *out, koe_error *err);
/* A short list of integers that newer opsets take as input i (-1: none does) and older ones as attribute `name`: *n values into
 * out[cap], KOE_E_LIMIT beyond. *n is -1 when there is neither. */
koe_status koe_ints_of(const koe_op_ctx *c, int i, const char *name, int64_t *out, int cap, int *n, koe_error *err);
/* Element i of a tensor that koe_need_ints() has let through. */
static inline int64_t koe_int_at(const koe_tensor *t, size_t i)
{
    return t->dtype == KOE_DTYPE_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
}
/* Scratch memory for n things of `size` bytes; NULL when they are too many. */
static inline void *koe_scratch_array(koe_op_ctx *c, size_t n, size_t size)
{
    size_t n_bytes;
    return __builtin_mul_overflow(n ? n : 1, size, &n_bytes) ? NULL : koe_scratch(c, n_bytes);
}
/* Brings an index of -n..n-1 to 0..n-1; false outside. */
static inline bool koe_wrap_index(int64_t *index, int64_t n)
{
    if (*index < 0) *index += n;
    return *index >= 0 && *index < n;
}
#endif
