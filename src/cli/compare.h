/* compare.h - is this tensor the expected one? */
#ifndef KOE_CLI_COMPARE_H
#define KOE_CLI_COMPARE_H
#include "ops/op.h"

/* An element passes when |got - want| <= max(atol + rtol * |want|, peak * largest finite |want| of the tensor).
 * NaN equals NaN; an infinity equals only itself. */
typedef struct koe_tolerance {
    double rtol, atol, peak;
} koe_tolerance;

/* True when kind, type, shape and all elements agree; otherwise `why` says what differs, with both values. */
bool koe_value_close(const koe_value *got, const koe_value *want, const koe_tolerance *tol, koe_buf *why);
#endif
