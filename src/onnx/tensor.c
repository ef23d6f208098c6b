/* tensor.c - types and shapes. */
#include "onnx/tensor.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    koe_dtype dtype;
    size_t size;
    const char *name;
} types[] = {
    { KOE_DTYPE_F32, 4, "float32" }, { KOE_DTYPE_U8, 1, "uint8" },       { KOE_DTYPE_I8, 1, "int8" },
    { KOE_DTYPE_U16, 2, "uint16" },  { KOE_DTYPE_I16, 2, "int16" },      { KOE_DTYPE_I32, 4, "int32" },
    { KOE_DTYPE_I64, 8, "int64" },   { KOE_DTYPE_STRING, 0, "string" },  { KOE_DTYPE_BOOL, 1, "bool" },
    { KOE_DTYPE_F16, 2, "float16" }, { KOE_DTYPE_F64, 8, "float64" },    { KOE_DTYPE_U32, 4, "uint32" },
    { KOE_DTYPE_U64, 8, "uint64" },  { KOE_DTYPE_BF16, 2, "bfloat16" },
};

size_t koe_dtype_size(koe_dtype dtype)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == dtype) return types[i].size;
    return 0;
}

const char *koe_dtype_name(koe_dtype dtype)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == dtype) return types[i].name;
    return "an unknown type";
}

koe_status koe_shape_bytes(size_t *out, koe_dtype dtype, int n_dim, const int64_t *dim, koe_error *err)
{
    size_t n = koe_dtype_size(dtype);
    if (n == 0) return koe_fail(err, KOE_E_UNSUPPORTED, "tensors of %s are not supported", koe_dtype_name(dtype));
    if (n_dim < 0 || n_dim > KOE_MAX_DIM)
        return koe_fail(err, KOE_E_LIMIT, "%d dimensions, at most %d are supported", n_dim, KOE_MAX_DIM);
    bool empty = false;
    for (int i = 0; i < n_dim; i++) {
        if (dim[i] == 0) empty = true;
        if (dim[i] < 0) return koe_fail(err, KOE_E_LIMIT, "dimension %d is %" PRId64, i, dim[i]);
        if (dim[i] > 0 && (__builtin_mul_overflow(n, (size_t)dim[i], &n) || n > SIZE_MAX / 2))
            return koe_fail(err, KOE_E_LIMIT, "the shape's size overflows at dimension %d, %" PRId64, i, dim[i]);
    }
    *out = empty ? 0 : n;
    return KOE_OK;
}

char *koe_tensor_describe(const koe_tensor *t, char *text, size_t cap)
{
    int at = snprintf(text, cap, "%s[", koe_dtype_name(t->dtype));
    for (int i = 0; i < t->n_dim && at > 0 && (size_t)at < cap; i++)
        at += snprintf(text + at, cap - (size_t)at, "%s%" PRId64, i ? "," : "", t->dim[i]);
    if (at > 0 && (size_t)at < cap) snprintf(text + at, cap - (size_t)at, "]");
    return text;
}
