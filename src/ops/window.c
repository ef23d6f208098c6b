/* window.c - the attributes of pooling and convolution, and the output shape that follows from them. */
#include "ops/window.h"

#include <inttypes.h>

/* Attributes beyond this are refused; the arithmetic below then stays far from the end of int64. */
#define MAX_STEP ((int64_t)1 << 30)
#define MAX_IN ((int64_t)1 << 48)

static koe_status read_list(int64_t *out, const koe_node *node, const char *name, int n, int64_t low, int64_t missing,
                            koe_error *err)
{
    const int64_t *v;
    size_t count = koe_node_ints(node, name, &v);
    if (count != 0 && count != (size_t)n) return koe_fail(err, KOE_E_FORMAT, "%s has %zu entries, %d expected", name, count, n);
    for (int i = 0; i < n; i++) {
        out[i] = count ? v[i] : missing;
        if (out[i] < low || out[i] > MAX_STEP) return koe_fail(err, KOE_E_FORMAT, "%s[%d] is %" PRId64 "", name, i, out[i]);
    }
    return KOE_OK;
}

static koe_status read_kernel(koe_window *w, const koe_node *node, const int64_t *kernel, koe_error *err)
{
    const int64_t *v;
    size_t count = koe_node_ints(node, "kernel_shape", &v);
    if (count == 0 && !kernel) return koe_fail(err, KOE_E_FORMAT, "kernel_shape is missing");
    koe_status st = read_list(w->kernel, node, "kernel_shape", w->n, 1, 1, err);
    for (int i = 0; st == KOE_OK && kernel && i < w->n; i++) {
        if (count && v[i] != kernel[i])
            st = koe_fail(err, KOE_E_FORMAT, "kernel_shape[%d] is %" PRId64 ", the weights have %" PRId64 "", i, v[i], kernel[i]);
        else if (kernel[i] < 1 || kernel[i] > MAX_STEP)
            st = koe_fail(err, KOE_E_FORMAT, "weights of size %" PRId64 "", kernel[i]);
        else w->kernel[i] = kernel[i];
    }
    return st;
}

/* Inputs that a window spans. */
static int64_t extent(const koe_window *w, int d) { return (w->kernel[d] - 1) * w->dilation[d] + 1; }

/* Output length for the padding set, in ceil mode without windows that would begin in the padding at the end. */
static int64_t out_length(const koe_window *w, int d, bool ceil_mode)
{
    int64_t room = w->in[d] + w->pad_begin[d] + w->pad_end[d] - extent(w, d), step = w->stride[d];
    if (room < 0) return ceil_mode && room > -step && w->in[d] + w->pad_begin[d] > 0 ? 1 : 0;
    int64_t out = (ceil_mode ? (room + step - 1) / step : room / step) + 1;
    if (ceil_mode && (out - 1) * step >= w->in[d] + w->pad_begin[d]) out--;
    return out;
}

koe_status koe_window_read(koe_window *w, const koe_node *node, int n, const int64_t *in, const int64_t *kernel, koe_error *err)
{
    if (n < 1 || n > KOE_MAX_SPATIAL) return koe_fail(err, KOE_E_FORMAT, "%d spatial dimensions", n);
    w->n = n;
    koe_status st = read_kernel(w, node, kernel, err);
    if (st == KOE_OK) st = read_list(w->stride, node, "strides", n, 1, 1, err);
    if (st == KOE_OK) st = read_list(w->dilation, node, "dilations", n, 1, 1, err);
    int64_t pads[2 * KOE_MAX_SPATIAL];
    if (st == KOE_OK) st = read_list(pads, node, "pads", 2 * n, 0, 0, err);
    if (st != KOE_OK) return st;
    koe_str pad = koe_node_str(node, "auto_pad", "NOTSET");
    bool lower = koe_str_is(pad, "SAME_LOWER"), same = lower || koe_str_is(pad, "SAME_UPPER"), valid = koe_str_is(pad, "VALID");
    if (!same && !valid && !koe_str_is(pad, "NOTSET") && pad.n != 0)
        return koe_fail(err, KOE_E_FORMAT, "auto_pad is '%.*s'", KOE_STR_ARG(pad));
    bool ceil_mode = !kernel && koe_node_int(node, "ceil_mode", 0) != 0; /* an attribute of pooling only */
    for (int d = 0; d < n; d++) {
        if (in[d] > MAX_IN) return koe_fail(err, KOE_E_LIMIT, "input of length %" PRId64, in[d]);
        w->in[d] = in[d];
        w->pad_begin[d] = same || valid ? 0 : pads[d];
        w->pad_end[d] = same || valid ? 0 : pads[n + d];
        if (same) {
            w->out[d] = (in[d] + w->stride[d] - 1) / w->stride[d];
            int64_t total = (w->out[d] - 1) * w->stride[d] + extent(w, d) - in[d];
            if (total < 0 || in[d] == 0) total = 0;
            w->pad_begin[d] = lower ? total - total / 2 : total / 2;
            w->pad_end[d] = total - w->pad_begin[d];
        } else {
            w->out[d] = out_length(w, d, ceil_mode);
        }
        if (w->out[d] < 1 && in[d] > 0)
            return koe_fail(err, KOE_E_FORMAT,
                            "a window of %" PRId64 " does not fit %" PRId64 " inputs with padding %" PRId64 "+%" PRId64 "",
                            extent(w, d), in[d], w->pad_begin[d], w->pad_end[d]);
    }
    return KOE_OK;
}
