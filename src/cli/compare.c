/* compare.c - tensors against expected ones. */
#include "cli/compare.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Element i as a double; unaligned data is fine. */
static double element(const koe_tensor *t, size_t i)
{
    const unsigned char *p = (const unsigned char *)t->data + i * koe_dtype_size(t->dtype);
#define KOE_READ(type)                                                                                                           \
    {                                                                                                                            \
        type x;                                                                                                                  \
        memcpy(&x, p, sizeof x);                                                                                                 \
        return (double)x;                                                                                                        \
    }
    switch (t->dtype) {
    case KOE_DTYPE_F32: KOE_READ(float)
    case KOE_DTYPE_F64: KOE_READ(double)
    case KOE_DTYPE_U8:
    case KOE_DTYPE_BOOL: return *p;
    case KOE_DTYPE_I8: KOE_READ(int8_t)
    case KOE_DTYPE_U16: KOE_READ(uint16_t)
    case KOE_DTYPE_I16: KOE_READ(int16_t)
    case KOE_DTYPE_U32: KOE_READ(uint32_t)
    case KOE_DTYPE_I32: KOE_READ(int32_t)
    case KOE_DTYPE_U64: KOE_READ(uint64_t)
    case KOE_DTYPE_I64: KOE_READ(int64_t)
    case KOE_DTYPE_F16:
    case KOE_DTYPE_BF16: {
        uint16_t h;
        memcpy(&h, p, sizeof h);
        return (double)(t->dtype == KOE_DTYPE_F16 ? koe_f16_to_f32(h) : koe_bf16_to_f32(h));
    }
    case KOE_DTYPE_NONE:
    case KOE_DTYPE_STRING: break;
    }
#undef KOE_READ
    return NAN;
}

static double peak_of(const koe_tensor *t)
{
    double peak = 0;
    for (size_t i = 0, n = koe_tensor_count(t); i < n; i++) {
        const double x = fabs(element(t, i));
        if (isfinite(x) && x > peak) peak = x;
    }
    return peak;
}

static bool element_close(double got, double want, const koe_tolerance *tol, double peak)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got)) return got == want;
    return fabs(got - want) <= fmax(tol->atol + tol->rtol * fabs(want), tol->peak * peak);
}

/* " at [1,2,3]" */
static void add_index(koe_buf *out, const koe_tensor *t, size_t i)
{
    int64_t at[KOE_MAX_DIM];
    for (int d = t->n_dim - 1; d >= 0; d--) {
        at[d] = (int64_t)(i % (size_t)t->dim[d]);
        i /= (size_t)t->dim[d];
    }
    koe_buf_adds(out, " at [");
    for (int d = 0; d < t->n_dim; d++) koe_buf_printf(out, "%s%" PRId64, d ? "," : "", at[d]);
    koe_buf_addc(out, ']');
}

static bool tensor_close(const koe_tensor *got, const koe_tensor *want, const koe_tolerance *tol, koe_buf *why)
{
    char a[160], b[160];
    if (got->dtype != want->dtype || got->n_dim != want->n_dim ||
        memcmp(got->dim, want->dim, sizeof *got->dim * (size_t)got->n_dim) != 0) {
        koe_buf_printf(why, "got %s, want %s", koe_tensor_describe(got, a, sizeof a), koe_tensor_describe(want, b, sizeof b));
        return false;
    }
    const size_t n = koe_tensor_count(want);
    const double peak = peak_of(want);
    size_t n_bad = 0, worst = 0;
    double worst_by = -1;
    for (size_t i = 0; i < n; i++) {
        const double x = element(got, i), y = element(want, i);
        if (element_close(x, y, tol, peak)) continue;
        const double by = isfinite(x) && isfinite(y) ? fabs(x - y) : INFINITY;
        if (by > worst_by) worst = i, worst_by = by;
        n_bad++;
    }
    if (n_bad == 0) return true;
    koe_buf_printf(why, "got %.9g, want %.9g", element(got, worst), element(want, worst));
    add_index(why, want, worst);
    koe_buf_printf(why, " of %s (%zu of %zu differ, peak %.6g)", koe_tensor_describe(want, a, sizeof a), n_bad, n, peak);
    return false;
}

static const char *kind_name(const koe_value *v)
{
    return v->kind == KOE_VALUE_TENSOR ? "a tensor" : v->kind == KOE_VALUE_SEQUENCE ? "a sequence" : "nothing";
}

bool koe_value_close(const koe_value *got, const koe_value *want, const koe_tolerance *tol, koe_buf *why)
{
    if (got->kind != want->kind) {
        koe_buf_printf(why, "got %s, want %s", kind_name(got), kind_name(want));
        return false;
    }
    if (got->kind == KOE_VALUE_TENSOR) return tensor_close(&got->t, &want->t, tol, why);
    if (got->n_item != want->n_item) {
        koe_buf_printf(why, "got a sequence of %zu, want %zu", got->n_item, want->n_item);
        return false;
    }
    for (size_t i = 0; i < want->n_item; i++) {
        const size_t mark = why->n;
        koe_buf_printf(why, "item %zu: ", i);
        if (!koe_value_close(&got->item[i], &want->item[i], tol, why)) return false;
        why->n = mark;
        if (why->data) why->data[mark] = 0;
    }
    return true;
}
