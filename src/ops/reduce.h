/* reduce.h - means over dimensions, for operators that are made of them. */
#ifndef KOE_OPS_REDUCE_H
#define KOE_OPS_REDUCE_H
#include "ops/op.h"

/* *out: the means of x, or of its squares, over the marked dimensions, which become 1; in scratch memory. float32 and float64. */
koe_status koe_reduce_mean(koe_op_ctx *c, koe_tensor *out, const koe_tensor *x, const bool *is_reduced, bool squares,
                           koe_error *err);
#endif
