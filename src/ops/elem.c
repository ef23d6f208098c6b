/* elem.c - single elements of any type. */
#include <math.h>

#include "ops/bytes.h"

koe_status koe_need_ints(const koe_op_ctx *c, int i, const koe_tensor **out, koe_error *err)
{
    koe_status st = koe_need(c, i, out, err);
    if (st == KOE_OK && (*out)->dtype != KOE_DTYPE_I64 && (*out)->dtype != KOE_DTYPE_I32)
        return koe_fail(err, KOE_E_FORMAT, "input %d is %s, not int32 or int64", i, koe_dtype_name((*out)->dtype));
    return st;
}

koe_status koe_need_int(const koe_op_ctx *c, int i, int64_t *out, koe_error *err)
{
    const koe_tensor *t;
    koe_status st = koe_need_ints(c, i, &t, err);
    if (st != KOE_OK) return st;
    if (koe_tensor_count(t) != 1)
        return koe_fail(err, KOE_E_FORMAT, "input %d has %zu elements, not one", i, koe_tensor_count(t));
    *out = koe_int_at(t, 0);
    return KOE_OK;
}

koe_status koe_ints_of(const koe_op_ctx *c, int i, const char *name, int64_t *out, int cap, int *n, koe_error *err)
{
    *n = -1;
    if (i >= 0 && i < c->n_in && c->in[i]) {
        const koe_tensor *t;
        size_t count = 0;
        koe_status st = koe_need_ints(c, i, &t, err);
        if (st == KOE_OK) st = koe_read_ints(t, out, (size_t)cap, &count, err);
        if (st == KOE_OK) *n = (int)count;
        return st;
    }
    const koe_onnx_attr *a = koe_node_attr(c->node, name);
    if (!a || a->type != KOE_ATTR_INTS) return KOE_OK;
    if (a->n > (size_t)cap) return koe_fail(err, KOE_E_FORMAT, "%s holds %zu integers, at most %d are possible", name, a->n, cap);
    for (size_t k = 0; k < a->n; k++) out[k] = a->ints[k];
    *n = (int)a->n;
    return KOE_OK;
}

/* ---- combine ---- */

#define LARGER(a, b) ((a) > (b) || (a) != (a) ? (a) : (b))
#define SMALLER(a, b) ((a) < (b) || (a) != (a) ? (a) : (b))

/* T is the element, A the type that adds and multiplies without undefined overflow. */
#define DEFINE_COMBINE(T, A)                                                                                                     \
    static void combine_##T(koe_combine how, T *dst, const T *src, size_t n)                                                     \
    {                                                                                                                            \
        switch (how) {                                                                                                           \
        case KOE_COMBINE_NONE: memcpy(dst, src, n * sizeof *dst); break;                                                         \
        case KOE_COMBINE_ADD:                                                                                                    \
            for (size_t i = 0; i < n; i++) dst[i] = (T)((A)dst[i] + (A)src[i]);                                                  \
            break;                                                                                                               \
        case KOE_COMBINE_MUL:                                                                                                    \
            for (size_t i = 0; i < n; i++) dst[i] = (T)((A)dst[i] * (A)src[i]);                                                  \
            break;                                                                                                               \
        case KOE_COMBINE_MAX:                                                                                                    \
            for (size_t i = 0; i < n; i++) dst[i] = LARGER(dst[i], src[i]);                                                      \
            break;                                                                                                               \
        case KOE_COMBINE_MIN:                                                                                                    \
            for (size_t i = 0; i < n; i++) dst[i] = SMALLER(dst[i], src[i]);                                                     \
            break;                                                                                                               \
        }                                                                                                                        \
    }
DEFINE_COMBINE(float, float)
DEFINE_COMBINE(double, double)
DEFINE_COMBINE(int8_t, uint32_t)
DEFINE_COMBINE(int16_t, uint32_t)
DEFINE_COMBINE(int32_t, uint32_t)
DEFINE_COMBINE(int64_t, uint64_t)
DEFINE_COMBINE(uint8_t, uint32_t)
DEFINE_COMBINE(uint16_t, uint32_t)
DEFINE_COMBINE(uint32_t, uint32_t)
DEFINE_COMBINE(uint64_t, uint64_t)

static void combine_half(koe_dtype dtype, koe_combine how, uint16_t *dst, const uint16_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool f16 = dtype == KOE_DTYPE_F16;
        float a = f16 ? koe_f16_to_f32(dst[i]) : koe_bf16_to_f32(dst[i]),
              b = f16 ? koe_f16_to_f32(src[i]) : koe_bf16_to_f32(src[i]);
        combine_float(how, &a, &b, 1);
        dst[i] = f16 ? koe_f32_to_f16(a) : koe_f32_to_bf16(a);
    }
}

static void combine_bool(koe_combine how, uint8_t *dst, const uint8_t *src, size_t n)
{
    bool either = how == KOE_COMBINE_ADD || how == KOE_COMBINE_MAX;
    for (size_t i = 0; i < n; i++) dst[i] = either ? (dst[i] || src[i]) : (dst[i] && src[i]);
}

void koe_elem_combine(koe_dtype dtype, koe_combine how, void *dst, const void *src, size_t n)
{
    if (how == KOE_COMBINE_NONE) {
        memcpy(dst, src, n * koe_dtype_size(dtype));
        return;
    }
    switch (dtype) {
    case KOE_DTYPE_F32: combine_float(how, dst, src, n); break;
    case KOE_DTYPE_F64: combine_double(how, dst, src, n); break;
    case KOE_DTYPE_I8: combine_int8_t(how, dst, src, n); break;
    case KOE_DTYPE_I16: combine_int16_t(how, dst, src, n); break;
    case KOE_DTYPE_I32: combine_int32_t(how, dst, src, n); break;
    case KOE_DTYPE_I64: combine_int64_t(how, dst, src, n); break;
    case KOE_DTYPE_U8: combine_uint8_t(how, dst, src, n); break;
    case KOE_DTYPE_U16: combine_uint16_t(how, dst, src, n); break;
    case KOE_DTYPE_U32: combine_uint32_t(how, dst, src, n); break;
    case KOE_DTYPE_U64: combine_uint64_t(how, dst, src, n); break;
    case KOE_DTYPE_BOOL: combine_bool(how, dst, src, n); break;
    case KOE_DTYPE_F16:
    case KOE_DTYPE_BF16: combine_half(dtype, how, dst, src, n); break;
    case KOE_DTYPE_NONE:
    case KOE_DTYPE_STRING: break; /* no tensor has these */
    }
}

/* ---- get, put, order ---- */

double koe_elem_get(koe_dtype dtype, const void *p)
{
    switch (dtype) {
    case KOE_DTYPE_F32: return (double)*(const float *)p;
    case KOE_DTYPE_F64: return *(const double *)p;
    case KOE_DTYPE_F16: return (double)koe_f16_to_f32(*(const uint16_t *)p);
    case KOE_DTYPE_BF16: return (double)koe_bf16_to_f32(*(const uint16_t *)p);
    case KOE_DTYPE_I8: return *(const int8_t *)p;
    case KOE_DTYPE_I16: return *(const int16_t *)p;
    case KOE_DTYPE_I32: return *(const int32_t *)p;
    case KOE_DTYPE_I64: return (double)*(const int64_t *)p;
    case KOE_DTYPE_U8:
    case KOE_DTYPE_BOOL: return *(const uint8_t *)p;
    case KOE_DTYPE_U16: return *(const uint16_t *)p;
    case KOE_DTYPE_U32: return *(const uint32_t *)p;
    case KOE_DTYPE_U64: return (double)*(const uint64_t *)p;
    case KOE_DTYPE_NONE:
    case KOE_DTYPE_STRING: break;
    }
    return 0;
}

static int64_t to_signed(double v, int64_t low, int64_t high)
{
    if (isnan(v)) return 0;
    return v <= (double)low ? low : v >= (double)high ? high : (int64_t)v;
}

static uint64_t to_unsigned(double v, uint64_t high) { return !(v > 0) ? 0 : v >= (double)high ? high : (uint64_t)v; }

void koe_elem_put(koe_dtype dtype, void *p, double v)
{
    switch (dtype) {
    case KOE_DTYPE_F32: *(float *)p = (float)v; break;
    case KOE_DTYPE_F64: *(double *)p = v; break;
    case KOE_DTYPE_F16: *(uint16_t *)p = koe_f32_to_f16((float)v); break;
    case KOE_DTYPE_BF16: *(uint16_t *)p = koe_f32_to_bf16((float)v); break;
    case KOE_DTYPE_I8: *(int8_t *)p = (int8_t)to_signed(v, INT8_MIN, INT8_MAX); break;
    case KOE_DTYPE_I16: *(int16_t *)p = (int16_t)to_signed(v, INT16_MIN, INT16_MAX); break;
    case KOE_DTYPE_I32: *(int32_t *)p = (int32_t)to_signed(v, INT32_MIN, INT32_MAX); break;
    case KOE_DTYPE_I64: *(int64_t *)p = to_signed(v, INT64_MIN, INT64_MAX); break;
    case KOE_DTYPE_U8: *(uint8_t *)p = (uint8_t)to_unsigned(v, UINT8_MAX); break;
    case KOE_DTYPE_U16: *(uint16_t *)p = (uint16_t)to_unsigned(v, UINT16_MAX); break;
    case KOE_DTYPE_U32: *(uint32_t *)p = (uint32_t)to_unsigned(v, UINT32_MAX); break;
    case KOE_DTYPE_U64: *(uint64_t *)p = to_unsigned(v, UINT64_MAX); break;
    case KOE_DTYPE_BOOL: *(uint8_t *)p = v != 0; break;
    case KOE_DTYPE_NONE:
    case KOE_DTYPE_STRING: break;
    }
}

static uint64_t float_key(double v)
{
    if (isnan(v)) return UINT64_MAX;
    uint64_t bits, sign = (uint64_t)1 << 63;
    v += 0.0; /* -0 becomes +0 */
    memcpy(&bits, &v, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

uint64_t koe_elem_key(koe_dtype dtype, const void *p)
{
    switch (dtype) {
    case KOE_DTYPE_I64: return (uint64_t) * (const int64_t *)p ^ (uint64_t)1 << 63;
    case KOE_DTYPE_U64: return *(const uint64_t *)p;
    default: return float_key(koe_elem_get(dtype, p)); /* exact: every other type fits a double */
    }
}
