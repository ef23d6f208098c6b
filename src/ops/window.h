/* window.h - sliding windows over the spatial dimensions of [N, C, D1, D2, ...]: what pooling and convolution share.
 * Output o of a dimension looks at inputs o * stride - pad_begin + k * dilation, k = 0..kernel-1. Inside the ops room. */
#ifndef KOE_OPS_WINDOW_H
#define KOE_OPS_WINDOW_H
#include "ops/op.h"

enum { KOE_MAX_SPATIAL = KOE_MAX_DIM - 2 };

typedef struct koe_window {
    int n; /* spatial dimensions */
    int64_t in[KOE_MAX_SPATIAL], out[KOE_MAX_SPATIAL], kernel[KOE_MAX_SPATIAL];
    int64_t stride[KOE_MAX_SPATIAL], dilation[KOE_MAX_SPATIAL], pad_begin[KOE_MAX_SPATIAL], pad_end[KOE_MAX_SPATIAL];
} koe_window;

/* Reads kernel_shape, strides, dilations, pads, auto_pad and ceil_mode of the node. in[n]: the spatial dimensions of the input;
 * kernel[n]: those of a convolution's weights, which kernel_shape must equal when given, and whose windows all lie inside the
 * padded input; NULL: pooling, kernel_shape is required. KOE_E_FORMAT when something does not fit, or no output is left of an
 * input that is not empty. */
koe_status koe_window_read(koe_window *w, const koe_node *node, int n, const int64_t *in, const int64_t *kernel, koe_error *err);

/* The part of the window of output o, dimension d, that lies inside the input: kernel positions *from..*to-1 (empty when equal).
 */
static inline void koe_window_inside(const koe_window *w, int d, int64_t o, int64_t *from, int64_t *to)
{
    int64_t start = o * w->stride[d] - w->pad_begin[d], dil = w->dilation[d], left = w->in[d] - start;
    int64_t a = start < 0 ? (-start + dil - 1) / dil : 0, b = left <= 0 ? 0 : (left + dil - 1) / dil;
    if (b > w->kernel[d]) b = w->kernel[d];
    *from = a;
    *to = b > a ? b : a;
}

/* Counts index[n] up, last dimension fastest; false after the last one. */
static inline bool koe_next_index(int n, int64_t *index, const int64_t *dim)
{
    for (int i = n - 1; i >= 0; i--) {
        if (++index[i] < dim[i]) return true;
        index[i] = 0;
    }
    return false;
}
#endif
