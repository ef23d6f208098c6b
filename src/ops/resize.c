/* resize.c - Resize and Upsample: every output element looks at places of the input, axis by axis.
 *     output coordinate -> coordinate in the input (coordinate_transformation_mode) -> elements around it, with weights (mode)
 * Both steps are the same for all rows of an axis, so each axis gets a table once a call: indices for `nearest`, which then moves
 * bytes of any type; indices and weights for `linear` and `cubic`, which are applied to one axis after the other. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "ops/bytes.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

typedef enum resize_mode { NEAREST, LINEAR, CUBIC } resize_mode;
typedef enum coord_mode {
    HALF_PIXEL,
    ASYMMETRIC,
    ALIGN_CORNERS,
    PYTORCH_HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    TF_CROP_AND_RESIZE,
    TF_HALF_PIXEL_FOR_NN,
} coord_mode;
typedef enum nearest_mode {
    ROUND_PREFER_FLOOR,
    ROUND_PREFER_CEIL,
    FLOOR,
    CEIL,
    BY_DIRECTION, /* before opset 11: up when shrinking, down when growing */
} nearest_mode;
typedef enum aspect_policy { STRETCH, NOT_LARGER, NOT_SMALLER } aspect_policy;

/* The attributes of a node. */
typedef struct resize {
    resize_mode mode;
    coord_mode coord;
    nearest_mode nearest;
    aspect_policy policy;
    bool antialias, exclude_outside;
    double cubic_a, extrapolation;
    int in_roi, in_scales, in_sizes; /* numbers of the inputs, -1 where the form has none */
} resize;

/* One axis of one call. */
typedef struct resize_axis {
    int64_t in, out;
    double scale, length; /* output elements for each input element; scale * in, which `out` rounds */
    double roi_start, roi_end;
} resize_axis;

/* ---- attributes ---- */

/* Number of the attribute's value in `names`. */
static koe_status read_choice(const koe_node *node, const char *attr, const char *const *names, int n, int *out, koe_error *err)
{
    koe_str value = koe_node_str(node, attr, names[0]);
    for (int i = 0; i < n; i++) {
        if (!koe_str_is(value, names[i])) continue;
        *out = i;
        return KOE_OK;
    }
    return koe_fail(err, KOE_E_UNSUPPORTED, "%s '%.*s' is unknown", attr, KOE_STR_ARG(value));
}

static koe_status read_attributes(const koe_node *node, resize *r, koe_error *err)
{
    static const char *const modes[] = { "nearest", "linear", "cubic" };
    static const char *const coords[] = { "half_pixel",          "asymmetric",           "align_corners",
                                          "pytorch_half_pixel",  "half_pixel_symmetric", "tf_crop_and_resize",
                                          "tf_half_pixel_for_nn" };
    static const char *const roundings[] = { "round_prefer_floor", "round_prefer_ceil", "floor", "ceil" };
    static const char *const policies[] = { "stretch", "not_larger", "not_smaller" };
    int mode = 0, coord = 0, rounding = 0, policy = 0;
    koe_status st = read_choice(node, "mode", modes, 3, &mode, err);
    if (st == KOE_OK) st = read_choice(node, "coordinate_transformation_mode", coords, 7, &coord, err);
    if (st == KOE_OK) st = read_choice(node, "nearest_mode", roundings, 4, &rounding, err);
    if (st == KOE_OK) st = read_choice(node, "keep_aspect_ratio_policy", policies, 3, &policy, err);
    if (st != KOE_OK) return st;
    *r = (resize){ .mode = (resize_mode)mode,
                   .coord = (coord_mode)coord,
                   .nearest = (nearest_mode)rounding,
                   .policy = (aspect_policy)policy,
                   .antialias = koe_node_int(node, "antialias", 0) != 0,
                   .exclude_outside = koe_node_int(node, "exclude_outside", 0) != 0,
                   .cubic_a = (double)koe_node_float(node, "cubic_coeff_a", -0.75f),
                   .extrapolation = (double)koe_node_float(node, "extrapolation_value", 0),
                   .in_roi = 1,
                   .in_scales = 2,
                   .in_sizes = 3 };
    return KOE_OK;
}

static koe_status prepare_resize(koe_node *node, void **state, koe_error *err)
{
    resize *r = malloc(sizeof *r);
    if (!r) return koe_fail(err, KOE_E_NOMEM, "its tables");
    koe_status st = read_attributes(node, r, err);
    if (st != KOE_OK) {
        free(r);
        return st;
    }
    *state = r;
    return KOE_OK;
}

/* Upsample, and Resize of opset 10: X and scales, coordinates that only divide. */
static koe_status prepare_simple(koe_node *node, void **state, koe_error *err)
{
    koe_status st = prepare_resize(node, state, err);
    if (st != KOE_OK) return st;
    resize *r = *state;
    r->coord = ASYMMETRIC;
    r->nearest = BY_DIRECTION;
    r->in_scales = 1;
    r->in_roi = r->in_sizes = -1;
    return KOE_OK;
}

/* ---- shapes ---- */

/* Numbers of an optional input, or of the attribute `scales` of Upsample 7, as doubles. An empty tensor stands for
 * an absent one. */
static koe_status read_numbers(const koe_op_ctx *c, int i, const char *attr, double *out, int cap, int *n, koe_error *err)
{
    const koe_tensor *t = i >= 0 ? koe_in(c, i) : NULL;
    const koe_onnx_attr *a = !t && attr ? koe_node_attr(c->node, attr) : NULL;
    size_t count = t ? koe_tensor_count(t) : a && a->type == KOE_ATTR_FLOATS ? a->n : 0;
    if (count > (size_t)cap)
        return koe_fail(err, KOE_E_FORMAT, "input %d has %zu elements, at most %d are possible", i, count, cap);
    for (size_t k = 0; k < count; k++)
        out[k] = t ? koe_elem_get(t->dtype, (const char *)t->data + k * koe_dtype_size(t->dtype)) : (double)a->floats[k];
    *n = (int)count;
    return KOE_OK;
}

/* What a float32 can be off by, where x came from one: enough to bring 2.9999998 to 3, too little to move anything else. */
static double slack(double x) { return fmin(1e-7 * (fabs(x) + 1), 1e-3); }

/* The listed axes, in the order in which roi, scales and sizes name them; all when the node lists none. */
static koe_status read_axes(const koe_op_ctx *c, int n_dim, int list[KOE_MAX_DIM], int *n, koe_error *err)
{
    const int64_t *axes;
    size_t count = koe_node_ints(c->node, "axes", &axes);
    unsigned seen = 0;
    *n = axes ? (int)count : n_dim;
    if (axes && count > (size_t)n_dim) return koe_fail(err, KOE_E_FORMAT, "%zu axes of %d", count, n_dim);
    for (int i = 0; i < *n; i++) {
        list[i] = i;
        if (!axes) continue;
        koe_status st = koe_axis(&list[i], axes[i], n_dim, false, c->node, err);
        if (st != KOE_OK) return st;
        if (seen >> list[i] & 1) return koe_fail(err, KOE_E_FORMAT, "axis %d is named twice", list[i]);
        seen |= 1u << list[i];
    }
    return KOE_OK;
}

static koe_status apply_scales(resize_axis *axis, const int *list, int n, const double *scale, koe_error *err)
{
    for (int i = 0; i < n; i++) {
        resize_axis *a = &axis[list[i]];
        if (!(scale[i] > 0) || scale[i] > 0x1p31)
            return koe_fail(err, KOE_E_FORMAT, "the scale of axis %d is %g", list[i], scale[i]);
        a->scale = scale[i];
        a->length = scale[i] * (double)a->in;
        if (a->length > 0x1p48) return koe_fail(err, KOE_E_FORMAT, "axis %d grows to %g elements", list[i], a->length);
        if (scale[i] != 1) a->out = (int64_t)floor(a->length + slack(a->length));
    }
    return KOE_OK;
}

static koe_status apply_sizes(const resize *r, resize_axis *axis, const int *list, int n, const double *size, koe_error *err)
{
    double common = 0; /* scale of all listed axes when their proportions stay */
    for (int i = 0; i < n; i++) {
        resize_axis *a = &axis[list[i]];
        if (!(size[i] >= 0) || size[i] > 0x1p48 || a->in == 0)
            return koe_fail(err, KOE_E_FORMAT, "axis %d of %" PRId64 " elements cannot become %g", list[i], a->in, size[i]);
        a->out = (int64_t)size[i];
        a->length = size[i];
        a->scale = size[i] / (double)a->in;
        if (i == 0 || (r->policy == NOT_LARGER ? a->scale < common : a->scale > common)) common = a->scale;
    }
    for (int i = 0; i < n && r->policy != STRETCH; i++) {
        resize_axis *a = &axis[list[i]];
        a->scale = common;
        a->length = common * (double)a->in;
        if (a->length > 0x1p48) return koe_fail(err, KOE_E_FORMAT, "axis %d grows to %g elements", list[i], a->length);
        a->out = (int64_t)floor(a->length + 0.5);
    }
    return KOE_OK;
}

static koe_status read_geometry(const koe_op_ctx *c, const resize *r, const koe_tensor *x, resize_axis *axis, koe_error *err)
{
    int list[KOE_MAX_DIM], n, n_scales = 0, n_sizes = 0, n_roi = 0;
    double scales[KOE_MAX_DIM], sizes[KOE_MAX_DIM], roi[2 * KOE_MAX_DIM];
    koe_status st = read_axes(c, x->n_dim, list, &n, err);
    if (st == KOE_OK) st = read_numbers(c, r->in_scales, "scales", scales, KOE_MAX_DIM, &n_scales, err);
    if (st == KOE_OK) st = read_numbers(c, r->in_sizes, NULL, sizes, KOE_MAX_DIM, &n_sizes, err);
    if (st == KOE_OK) st = read_numbers(c, r->in_roi, NULL, roi, 2 * KOE_MAX_DIM, &n_roi, err);
    if (st != KOE_OK) return st;
    if ((n_scales != 0) == (n_sizes != 0) || n_scales + n_sizes != n)
        return koe_fail(err, KOE_E_FORMAT, "%d scales and %d sizes for %d axes; one of the two is needed", n_scales, n_sizes, n);
    bool crop = r->coord == TF_CROP_AND_RESIZE;
    if (crop && n_roi != 2 * n) return koe_fail(err, KOE_E_FORMAT, "roi has %d elements for %d axes", n_roi, n);
    for (int i = 0; i < x->n_dim; i++)
        axis[i] = (resize_axis){ .in = x->dim[i], .out = x->dim[i], .scale = 1, .length = (double)x->dim[i], .roi_end = 1 };
    for (int i = 0; i < n && crop; i++) {
        axis[list[i]].roi_start = roi[i];
        axis[list[i]].roi_end = roi[n + i];
    }
    return n_scales ? apply_scales(axis, list, n, scales, err) : apply_sizes(r, axis, list, n, sizes, err);
}

/* ---- coordinates ---- */

/* Where in the input output element i lies. */
static double source_of(const resize_axis *a, coord_mode mode, int64_t i)
{
    double x = (double)i, last = (double)(a->in - 1), center;
    switch (mode) {
    case ASYMMETRIC: return x / a->scale;
    case ALIGN_CORNERS: return a->length == 1 ? 0 : x * last / (a->length - 1);
    case PYTORCH_HALF_PIXEL: return a->length > 1 ? (x + 0.5) / a->scale - 0.5 : 0;
    case HALF_PIXEL_SYMMETRIC:
        center = (double)a->in / 2;
        return center * (1 - (double)a->out / a->length) + (x + 0.5) / a->scale - 0.5;
    case TF_CROP_AND_RESIZE:
        if (a->length <= 1) return 0.5 * (a->roi_start + a->roi_end) * last;
        return a->roi_start * last + x * (a->roi_end - a->roi_start) * last / (a->length - 1);
    case TF_HALF_PIXEL_FOR_NN: return (x + 0.5) / a->scale;
    case HALF_PIXEL: break;
    }
    return (x + 0.5) / a->scale - 0.5;
}

/* True when the crop leaves the input there: the output is then the extrapolation value. */
static bool is_outside(const resize_axis *a, coord_mode mode, double x)
{
    return mode == TF_CROP_AND_RESIZE && !(x >= -slack(x) && x <= (double)(a->in - 1) + slack(x));
}

static bool is_untouched(const resize_axis *a, coord_mode mode)
{
    return a->in == a->out && a->scale == 1 && (mode != TF_CROP_AND_RESIZE || (a->roi_start == 0 && a->roi_end == 1));
}

static int64_t clamp_index(double x, int64_t n) { return x > 0 ? x < (double)n ? (int64_t)x : n - 1 : 0; }

static int64_t nearest_index(const resize_axis *a, nearest_mode mode, double x)
{
    double half = nearbyint(2 * x) / 2; /* the places where a rounding may turn */
    if (fabs(x - half) <= slack(x)) x = half;
    switch (mode) {
    case ROUND_PREFER_FLOOR: x = ceil(x - 0.5); break;
    case ROUND_PREFER_CEIL: x = floor(x + 0.5); break;
    case FLOOR: x = floor(x); break;
    case CEIL: x = ceil(x); break;
    case BY_DIRECTION: x = a->scale < 1 ? ceil(x) : floor(x); break;
    }
    return clamp_index(x, a->in);
}

static koe_status resize_nearest(koe_op_ctx *c, const resize *r, const koe_tensor *x, const resize_axis *axis, koe_tensor *y,
                                 koe_error *err)
{
    const int64_t *table[KOE_MAX_DIM] = { NULL };
    uint64_t fill = 0;
    koe_elem_put(x->dtype, &fill, r->extrapolation);
    for (int k = 0; k < x->n_dim; k++) {
        if (is_untouched(&axis[k], r->coord)) continue;
        int64_t *index = koe_scratch_array(c, (size_t)axis[k].out, sizeof *index);
        if (!index) return koe_fail(err, KOE_E_NOMEM, "its tables");
        for (int64_t i = 0; i < axis[k].out; i++) {
            double at = source_of(&axis[k], r->coord, i);
            index[i] = is_outside(&axis[k], r->coord, at) ? -1 : nearest_index(&axis[k], r->nearest, at);
        }
        table[k] = index;
    }
    koe_copy_indexed(c->pool, y->data, y->dim, x->data, x->dim, x->n_dim, table, koe_dtype_size(x->dtype), &fill);
    return KOE_OK;
}

/* ---- weights ---- */

/* For each output element n_tap input elements and their weights; a first index of -1 stands for the extrapolation value. */
typedef struct tap_table {
    size_t n_tap;
    int64_t *index; /* [out, n_tap] */
    double *weight; /* [out, n_tap] */
} tap_table;

/* Keys' cubic convolution kernel. */
static double cubic(double x, double a)
{
    x = fabs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double triangle(double x) { return fmax(0, 1 - fabs(x)); }

/* Weights of one output element at `at`; `stretch` (at most 1) narrows the kernel's argument, which widens the kernel. */
static void fill_taps(const resize *r, const resize_axis *a, double at, double stretch, size_t n_tap, int64_t *index,
                      double *weight)
{
    double base = floor(at), sum = 0;
    int64_t first = 1 - (int64_t)(n_tap / 2);
    for (size_t k = 0; k < n_tap; k++) {
        double place = base + (double)(first + (int64_t)k), x = (place - at) * stretch;
        bool outside = place < 0 || place >= (double)a->in;
        weight[k] = r->exclude_outside && outside ? 0 : r->mode == CUBIC ? cubic(x, r->cubic_a) : triangle(x);
        index[k] = clamp_index(place, a->in);
        sum += weight[k];
    }
    for (size_t k = 0; k < n_tap && sum != 0; k++) weight[k] /= sum;
}

typedef struct table_job {
    const resize *r;
    const resize_axis *a;
    tap_table *t;
    double stretch;
} table_job;

enum { TABLE_CHUNK = 8192 };

static void fill_range(void *arg, size_t from, size_t to)
{
    const table_job *j = arg;
    const tap_table *t = j->t;
    for (size_t i = from; i < to; i++) {
        const double at = source_of(j->a, j->r->coord, (int64_t)i);
        const size_t row = i * t->n_tap;
        if (is_outside(j->a, j->r->coord, at)) t->index[row] = -1;
        else fill_taps(j->r, j->a, at, j->stretch, t->n_tap, &t->index[row], &t->weight[row]);
    }
}

static koe_status make_taps(koe_op_ctx *c, const resize *r, const resize_axis *a, tap_table *t, koe_error *err)
{
    double radius = r->mode == CUBIC ? 2 : 1, stretch = r->antialias && a->scale < 1 ? a->scale : 1;
    if (ceil(radius / stretch) > 0x1p40) return koe_fail(err, KOE_E_LIMIT, "a scale of %g", a->scale);
    t->n_tap = 2 * (size_t)ceil(radius / stretch);
    size_t n;
    if (__builtin_mul_overflow((size_t)a->out, t->n_tap, &n)) return koe_fail(err, KOE_E_LIMIT, "a scale of %g", a->scale);
    t->index = koe_scratch_array(c, n, sizeof *t->index);
    t->weight = koe_scratch_array(c, n, sizeof *t->weight);
    if (!t->index || !t->weight) return koe_fail(err, KOE_E_NOMEM, "its tables");
    table_job j = { r, a, t, stretch };
    koe_for_ranges(c->pool, (size_t)a->out, TABLE_CHUNK, fill_range, &j);
    return KOE_OK;
}

/* One axis of [outer, in, inner] made [outer, out, inner]. */
typedef struct tap_job {
    const void *src;
    void *dst;
    const tap_table *taps;
    size_t in, out, inner, n_row, n_task; /* n_row = outer * out */
    double extrapolation;
    bool crops; /* some outputs are the extrapolation value */
} tap_job;

#define DEFINE_APPLY(T)                                                                                                          \
    static void apply_##T(void *arg, size_t task)                                                                                \
    {                                                                                                                            \
        const tap_job *j = arg;                                                                                                  \
        size_t n_tap = j->taps->n_tap;                                                                                           \
        for (size_t row = j->n_row * task / j->n_task; row < j->n_row * (task + 1) / j->n_task; row++) {                         \
            const int64_t *index = j->taps->index + row % j->out * n_tap;                                                        \
            const double *weight = j->taps->weight + row % j->out * n_tap;                                                       \
            const T *src = (const T *)j->src + row / j->out * j->in * j->inner;                                                  \
            T *dst = (T *)j->dst + row * j->inner;                                                                               \
            if (n_tap == 2 && j->inner == 1 && !j->crops) { /* a line in time: up to its end at once */                           \
                const size_t left = j->out - row % j->out, mine = j->n_row * (task + 1) / j->n_task - row;                        \
                const size_t n = left < mine ? left : mine;                                                                      \
                for (size_t i = 0; i < n; i++)                                                                                   \
                    dst[i] = (T)(weight[2 * i] * (double)src[index[2 * i]] + weight[2 * i + 1] * (double)src[index[2 * i + 1]]);   \
                row += n - 1;                                                                                                    \
                continue;                                                                                                        \
            }                                                                                                                    \
            for (size_t i = 0; i < j->inner; i++) {                                                                              \
                double sum = index[0] < 0 ? j->extrapolation : 0;                                                                \
                for (size_t k = 0; k < n_tap && index[0] >= 0; k++)                                                              \
                    sum += weight[k] * (double)src[(size_t)index[k] * j->inner + i];                                             \
                dst[i] = (T)sum;                                                                                                 \
            }                                                                                                                    \
        }                                                                                                                        \
    }
DEFINE_APPLY(float)
DEFINE_APPLY(double)

/* Axis after axis, between buffers of float (for float32) or double (for the rest). The last step writes to *out, which the
 * caller has made as large as the output in that type. */
static koe_status resize_weighted(koe_op_ctx *c, const resize *r, int n_dim, const resize_axis *axis, bool single, const void *in,
                                  void *out, koe_error *err)
{
    size_t size = single ? sizeof(float) : sizeof(double);
    int last = n_dim - 1;
    int64_t dim[KOE_MAX_DIM];
    for (int k = 0; k < n_dim; k++) dim[k] = axis[k].in;
    while (last >= 0 && is_untouched(&axis[last], r->coord)) last--;
    if (last < 0) {
        memcpy(out, in, koe_dim_product(dim, 0, n_dim) * size);
        return KOE_OK;
    }
    for (int k = 0; k <= last; k++) {
        if (is_untouched(&axis[k], r->coord)) continue;
        tap_table taps;
        koe_status st = make_taps(c, r, &axis[k], &taps, err);
        if (st != KOE_OK) return st;
        dim[k] = axis[k].out;
        tap_job j = { .src = in,
                      .taps = &taps,
                      .in = (size_t)axis[k].in,
                      .out = (size_t)axis[k].out,
                      .extrapolation = r->extrapolation,
                      .crops = r->coord == TF_CROP_AND_RESIZE,
                      .inner = koe_dim_product(dim, k + 1, n_dim),
                      .n_row = koe_dim_product(dim, 0, k + 1) };
        j.dst = k == last ? out : koe_scratch_array(c, j.n_row * j.inner, size);
        if (!j.dst) return koe_fail(err, KOE_E_NOMEM, "its tables");
        j.n_task = koe_copy_tasks(c->pool, j.n_row * j.inner * size * taps.n_tap, j.n_row);
        koe_pool_for(c->pool, j.n_task, single ? apply_float : apply_double, &j);
        in = j.dst;
    }
    return KOE_OK;
}

/* Integers go through double. */
static koe_status resize_converted(koe_op_ctx *c, const resize *r, const koe_tensor *x, const resize_axis *axis, koe_tensor *y,
                                   koe_error *err)
{
    size_t n_in = koe_tensor_count(x), n_out = koe_tensor_count(y), size = koe_dtype_size(x->dtype);
    double *in = koe_scratch_array(c, n_in, sizeof *in), *out = koe_scratch_array(c, n_out, sizeof *out);
    if (!in || !out) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i < n_in; i++) in[i] = koe_elem_get(x->dtype, (const char *)x->data + i * size);
    koe_status st = resize_weighted(c, r, x->n_dim, axis, false, in, out, err);
    for (size_t i = 0; i < n_out && st == KOE_OK; i++) koe_elem_put(x->dtype, (char *)y->data + i * size, out[i]);
    return st;
}

static koe_status run_resize(koe_op_ctx *c, koe_error *err)
{
    const resize *r = c->state;
    const koe_tensor *x;
    resize_axis axis[KOE_MAX_DIM];
    int64_t dim[KOE_MAX_DIM];
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = read_geometry(c, r, x, axis, err);
    if (st != KOE_OK) return st;
    for (int i = 0; i < x->n_dim; i++) dim[i] = axis[i].out;
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    if (koe_tensor_count(x) == 0) return koe_fail(err, KOE_E_FORMAT, "there is nothing to enlarge");
    if (r->mode == NEAREST) return resize_nearest(c, r, x, axis, y, err);
    if (x->dtype != KOE_DTYPE_F32 && x->dtype != KOE_DTYPE_F64) return resize_converted(c, r, x, axis, y, err);
    return resize_weighted(c, r, x->n_dim, axis, x->dtype == KOE_DTYPE_F32, x->data, y->data, err);
}

koe_op_table koe_ops_resize(void)
{
    static const koe_op table[] = {
        { "Resize", 11, 0, KOE_OP_WIDEN_HALF, prepare_resize, free, run_resize, NULL },
        { "Resize", 10, 10, KOE_OP_WIDEN_HALF, prepare_simple, free, run_resize, NULL },
        { "Upsample", 7, 0, KOE_OP_WIDEN_HALF, prepare_simple, free, run_resize, NULL },
    };
    return KOE_OP_TABLE(table);
}
