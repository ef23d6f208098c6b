/* grid.c - sampling at places that a tensor names: GridSample, and AffineGrid, which makes such places.
 * Coordinates run from -1 to 1 over an axis, and the last dimension of a grid names them innermost axis first. */
#include <inttypes.h>
#include <math.h>

#include "ops/bytes.h"
#include "ops/ops.h"

enum { SPACE_MAX = KOE_MAX_DIM - 2, TAP_MAX = 4 };
typedef enum sample_mode { LINEAR, NEAREST, CUBIC } sample_mode;
typedef enum outside_mode { ZEROS, BORDER, REFLECTION } outside_mode;

typedef struct sampler {
    sample_mode mode;
    outside_mode outside;
    bool align_corners;
} sampler;

static koe_status read_sampler(const koe_node *node, sampler *s, koe_error *err)
{
    static const struct {
        const char *name;
        sample_mode mode;
    } modes[] = {
        { "linear", LINEAR }, { "bilinear", LINEAR }, { "nearest", NEAREST }, { "cubic", CUBIC }, { "bicubic", CUBIC }
    };
    static const char *const paddings[] = { "zeros", "border", "reflection" };
    koe_str mode = koe_node_str(node, "mode", "linear"), padding = koe_node_str(node, "padding_mode", "zeros");
    size_t m = 0, p = 0;
    while (m < 5 && !koe_str_is(mode, modes[m].name)) m++;
    while (p < 3 && !koe_str_is(padding, paddings[p])) p++;
    if (m == 5 || p == 3)
        return koe_fail(err, KOE_E_UNSUPPORTED, "mode '%.*s' or padding_mode '%.*s' is unknown", KOE_STR_ARG(mode),
                        KOE_STR_ARG(padding));
    *s = (sampler){ modes[m].mode, (outside_mode)p, koe_node_int(node, "align_corners", 0) != 0 };
    return KOE_OK;
}

static koe_status prepare_grid_sample(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    sampler s;
    return read_sampler(node, &s, err);
}

/* Back and forth between low and high, like light between mirrors. */
static double reflect(double x, double low, double high)
{
    double span = high - low;
    if (span <= 0) return low;
    double r = fmod(fabs(x - low), 2 * span);
    return r <= span ? low + r : high - (r - span);
}

/* Elements of one axis that take part, -1 outside, and their weights. */
typedef struct taps {
    int n;
    int64_t index[TAP_MAX];
    double weight[TAP_MAX];
} taps;

static int64_t tap_index(const sampler *s, double place, int64_t len, double low, double high)
{
    if (s->outside == BORDER) place = fmin(fmax(place, 0), (double)(len - 1));
    else if (s->outside == REFLECTION && (place < low || place > high)) place = trunc(reflect(place, low, high));
    return place >= 0 && place < (double)len ? (int64_t)place : -1;
}

/* Keys' cubic convolution with A = -0.75. */
static double cubic(double x)
{
    const double a = -0.75;
    x = fabs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* `at` is -1..1 over len > 0 elements; n_dim is the number of spatial axes. */
static taps find_taps(const sampler *s, double at, int64_t len, int n_dim)
{
    double n = (double)len, low = s->align_corners ? 0 : -0.5, high = s->align_corners ? n - 1 : n - 0.5;
    double x = s->align_corners ? (at + 1) / 2 * (n - 1) : ((at + 1) * n - 1) / 2;
    x = isnan(x) ? low : (double)(float)x; /* coordinates are float32: a double would break ties that they do not */
    if (s->mode == NEAREST) x = n_dim == 3 ? round(x) : nearbyint(x); /* as PyTorch, which rounds halves away in 3-D only */
    if (x < low || x > high) {
        if (s->outside == BORDER) x = fmin(fmax(x, 0), n - 1);
        else if (s->outside == REFLECTION) x = reflect(x, low, high);
        else x = fmin(fmax(x, low - 8), high + 8); /* far enough for every tap to be outside */
    }
    double base = s->mode == NEAREST ? trunc(x) : floor(x);
    taps t = { .n = s->mode == NEAREST ? 1 : s->mode == LINEAR ? 2 : 4 };
    for (int i = 0; i < t.n; i++) {
        double place = base + i - (s->mode == CUBIC);
        t.index[i] = tap_index(s, place, len, low, high);
        t.weight[i] = s->mode == NEAREST ? 1 : s->mode == LINEAR ? 1 - fabs(x - place) : cubic(x - place);
    }
    return t;
}

/* The sum over all combinations of the axes' taps in one channel. */
static double sample(const taps *t, int n_dim, const int64_t *dim, koe_dtype dtype, const char *plane)
{
    int at[SPACE_MAX] = { 0 };
    double sum = 0;
    for (;;) {
        double weight = 1;
        int64_t place = 0;
        for (int k = 0; k < n_dim && place >= 0; k++) {
            weight *= t[k].weight[at[k]];
            place = t[k].index[at[k]] < 0 ? -1 : place * dim[k] + t[k].index[at[k]];
        }
        if (place >= 0) sum += weight * koe_elem_get(dtype, plane + (size_t)place * koe_dtype_size(dtype));
        int k = n_dim - 1;
        while (k >= 0 && ++at[k] == t[k].n) at[k--] = 0;
        if (k < 0) return sum;
    }
}

static koe_status run_grid_sample(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *grid;
    sampler s;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &grid, err);
    if (st == KOE_OK) st = read_sampler(c->node, &s, err);
    if (st != KOE_OK) return st;
    int n_dim = x->n_dim - 2;
    if (n_dim < 1 || grid->n_dim != x->n_dim || grid->dim[0] != x->dim[0] || grid->dim[grid->n_dim - 1] != n_dim)
        return koe_fail(err, KOE_E_FORMAT, "the grid does not fit an input of %d dimensions", x->n_dim);
    int64_t dim[KOE_MAX_DIM] = { x->dim[0], x->dim[1] };
    for (int k = 0; k < n_dim; k++) dim[2 + k] = grid->dim[1 + k];
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    if (koe_tensor_count(x) == 0) return koe_fail(err, KOE_E_FORMAT, "there is nothing to sample");
    size_t size = koe_dtype_size(x->dtype), grid_size = koe_dtype_size(grid->dtype);
    size_t n_point = koe_dim_product(dim, 2, x->n_dim), plane = koe_dim_product(x->dim, 2, x->n_dim) * size,
           n_channel = (size_t)x->dim[1];
    const char *place = grid->data;
    for (size_t i = 0; i < (size_t)x->dim[0] * n_point; i++) {
        taps t[SPACE_MAX];
        for (int k = n_dim - 1; k >= 0; k--, place += grid_size)
            t[k] = find_taps(&s, koe_elem_get(grid->dtype, place), x->dim[2 + k], n_dim);
        for (size_t ch = 0; ch < n_channel; ch++) {
            size_t image = i / n_point * n_channel + ch;
            koe_elem_put(x->dtype, (char *)y->data + (image * n_point + i % n_point) * size,
                         sample(t, n_dim, x->dim + 2, x->dtype, (const char *)x->data + image * plane));
        }
    }
    return KOE_OK;
}

/* ---- AffineGrid ---- */

/* Coordinate of element i of n: from corner to corner, or from the middle of the first element to that of the last. */
static double grid_coordinate(int64_t i, int64_t n, bool align_corners)
{
    if (!align_corners) return ((double)(2 * i + 1)) / (double)n - 1;
    return n > 1 ? (double)(2 * i) / (double)(n - 1) - 1 : -1;
}

static koe_status run_affine_grid(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *theta;
    int64_t size[KOE_MAX_DIM];
    int n_size;
    koe_status st = koe_need(c, 0, &theta, err);
    if (st == KOE_OK) st = koe_ints_of(c, 1, "size", size, KOE_MAX_DIM, &n_size, err);
    if (st != KOE_OK) return st;
    int n_dim = n_size - 2;
    if ((n_dim != 2 && n_dim != 3) || theta->n_dim != 3 || theta->dim[0] != size[0] || theta->dim[1] != n_dim ||
        theta->dim[2] != n_dim + 1)
        return koe_fail(err, KOE_E_FORMAT, "theta must be [N, 2, 3] for a size of 4, or [N, 3, 4] for one of 5");
    if (!koe_dtype_is_float(theta->dtype)) return koe_type_error(c, theta->dtype, err);
    int64_t dim[5] = { size[0] };
    for (int k = 0; k < n_dim; k++) dim[1 + k] = size[2 + k];
    dim[1 + n_dim] = n_dim;
    koe_tensor *y;
    st = koe_out(c, 0, theta->dtype, n_dim + 2, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    bool align_corners = koe_node_int(c->node, "align_corners", 0) != 0;
    size_t elem = koe_dtype_size(theta->dtype), n_point = koe_dim_product(dim, 1, 1 + n_dim);
    char *out = y->data;
    for (size_t i = 0; i < (size_t)dim[0] * n_point; i++) {
        const char *matrix = (const char *)theta->data + i / n_point * (size_t)(n_dim * (n_dim + 1)) * elem;
        double at[4] = { 0 }; /* innermost axis first, then 1 */
        int64_t rest = (int64_t)(i % n_point);
        for (int k = 0; k < n_dim; k++) {
            int64_t n = dim[n_dim - k];
            at[k] = grid_coordinate(rest % n, n, align_corners);
            rest /= n;
        }
        at[n_dim] = 1;
        for (int row = 0; row < n_dim; row++, out += elem) {
            double sum = 0;
            for (int k = 0; k <= n_dim; k++, matrix += elem) sum += at[k] * koe_elem_get(theta->dtype, matrix);
            koe_elem_put(theta->dtype, out, sum);
        }
    }
    return KOE_OK;
}

koe_op_table koe_ops_grid(void)
{
    static const koe_op table[] = {
        { .name = "GridSample", .since = 16, .prepare = prepare_grid_sample, .run = run_grid_sample },
        { .name = "AffineGrid", .since = 20, .run = run_affine_grid },
    };
    return KOE_OP_TABLE(table);
}
