/* move.c - operators that put elements in another order or other company: Transpose, Concat, Split, Tile, ... */
#include <inttypes.h>

#include "ops/bytes.h"
#include "ops/ops.h"

/* ---- Transpose ---- */

static koe_status read_perm(const koe_op_ctx *c, const koe_tensor *x, int perm[KOE_MAX_DIM], koe_error *err)
{
    const int64_t *list;
    size_t n = koe_node_ints(c->node, "perm", &list);
    unsigned seen = 0;
    if (!list) {
        for (int i = 0; i < x->n_dim; i++) perm[i] = x->n_dim - 1 - i;
        return KOE_OK;
    }
    if (n != (size_t)x->n_dim) return koe_fail(err, KOE_E_FORMAT, "perm names %zu axes of %d", n, x->n_dim);
    for (int i = 0; i < x->n_dim; i++) {
        koe_status st = koe_axis(&perm[i], list[i], x->n_dim, false, c->node, err);
        if (st != KOE_OK) return st;
        if (seen >> perm[i] & 1) return koe_fail(err, KOE_E_FORMAT, "perm names axis %d twice", perm[i]);
        seen |= 1u << perm[i];
    }
    return KOE_OK;
}

static koe_status run_transpose(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int perm[KOE_MAX_DIM];
    int64_t dim[KOE_MAX_DIM], in_stride[KOE_MAX_DIM], out_stride[KOE_MAX_DIM];
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = read_perm(c, x, perm, err);
    if (st != KOE_OK) return st;
    bool moves = false; /* an axis of more than one element passes another */
    for (int i = 0, last = -1; i < x->n_dim; i++) {
        dim[i] = x->dim[perm[i]];
        if (dim[i] == 1) continue;
        moves |= perm[i] < last;
        last = perm[i];
    }
    if (!moves) return koe_out_view(c, 0, 0, x->n_dim, dim, err);
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    koe_dense_strides(in_stride, x->n_dim, x->dim);
    koe_dense_strides(out_stride, x->n_dim, dim);
    koe_copy_axis axis[KOE_MAX_DIM];
    for (int i = 0; i < x->n_dim; i++) axis[i] = (koe_copy_axis){ dim[i], out_stride[i], in_stride[perm[i]] };
    koe_copy_strided(c->pool, y->data, x->data, koe_dtype_size(x->dtype), axis, x->n_dim);
    return KOE_OK;
}

/* [N, C, H, W] with C = b * b * c spread over [N, c, H * b, W * b], and back. `crd`: the channel is the outermost of the three
 * factors of C, else the innermost. `pack`: space to depth. */
static koe_status depth_space(koe_op_ctx *c, bool pack, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    bool crd = koe_str_is(koe_node_str(c->node, "mode", "DCR"), "CRD");
    int64_t b = koe_node_int(c->node, "blocksize", 0);
    if (x->n_dim != 4) return koe_fail(err, KOE_E_FORMAT, "the input has %d dimensions, not 4", x->n_dim);
    if (b <= 0 || b > INT32_MAX) return koe_fail(err, KOE_E_FORMAT, "blocksize is %" PRId64, b);
    const int64_t *d = x->dim;
    if (pack ? d[2] % b != 0 || d[3] % b != 0 : d[1] % (b * b) != 0)
        return koe_fail(err, KOE_E_FORMAT, "blocksize %" PRId64 " does not divide [.., %" PRId64 ", %" PRId64 ", %" PRId64 "]", b,
                        d[1], d[2], d[3]);
    /* The wide side is [n, ch, h * b, w * b], the deep one [n, ch * b * b, h, w]. */
    int64_t n = d[0], ch = pack ? d[1] : d[1] / (b * b), h = pack ? d[2] / b : d[2], w = pack ? d[3] / b : d[3];
    int64_t dim[4] = { n, ch, h, w };
    if (pack ? __builtin_mul_overflow(ch, b * b, &dim[1])
             : __builtin_mul_overflow(h, b, &dim[2]) || __builtin_mul_overflow(w, b, &dim[3]))
        return koe_fail(err, KOE_E_FORMAT, "blocksize is %" PRId64, b);
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, 4, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    int64_t plane = h * w, ch_step = crd ? b * b * plane : plane, by_step = crd ? b * plane : b * ch * plane,
            bx_step = crd ? plane : ch * plane;
    struct {
        int64_t n, wide, deep;
    } loop[6] = { { n, ch * h * b * w * b, ch * b * b * plane },
                  { ch, h * b * w * b, ch_step },
                  { h, b * w * b, w },
                  { b, w * b, by_step },
                  { w, b, 1 },
                  { b, 1, bx_step } };
    koe_copy_axis axis[6];
    for (int i = 0; i < 6; i++)
        axis[i] = (koe_copy_axis){ loop[i].n, pack ? loop[i].deep : loop[i].wide, pack ? loop[i].wide : loop[i].deep };
    koe_copy_strided(c->pool, y->data, x->data, koe_dtype_size(x->dtype), axis, 6);
    return KOE_OK;
}

static koe_status run_depth_to_space(koe_op_ctx *c, koe_error *err) { return depth_space(c, false, err); }
static koe_status run_space_to_depth(koe_op_ctx *c, koe_error *err) { return depth_space(c, true, err); }

static koe_status prepare_depth_to_space(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    koe_str mode = koe_node_str(node, "mode", "DCR");
    if (koe_str_is(mode, "DCR") || koe_str_is(mode, "CRD")) return KOE_OK;
    return koe_fail(err, KOE_E_FORMAT, "mode %.*s is neither DCR nor CRD", KOE_STR_ARG(mode));
}

/* ---- Concat and Split ---- */

/* Checks that the inputs fit and sums up their sizes along the axis. */
static koe_status concat_shape(const koe_op_ctx *c, int *axis, int64_t dim[KOE_MAX_DIM], koe_error *err)
{
    const koe_tensor *first, *t;
    koe_status st = koe_need(c, 0, &first, err);
    if (st == KOE_OK) st = koe_axis(axis, koe_node_int(c->node, "axis", 0), first->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    memcpy(dim, first->dim, sizeof first->dim);
    for (int i = 1; i < c->n_in; i++) {
        st = koe_need(c, i, &t, err);
        if (st != KOE_OK) return st;
        bool fits = t->dtype == first->dtype && t->n_dim == first->n_dim;
        for (int k = 0; fits && k < t->n_dim; k++) fits = k == *axis || t->dim[k] == first->dim[k];
        char a[96], b[96];
        if (!fits || __builtin_add_overflow(dim[*axis], t->dim[*axis], &dim[*axis]))
            return koe_fail(err, KOE_E_FORMAT, "inputs 0 and %d do not fit on axis %d: %s and %s", i, *axis,
                            koe_tensor_describe(first, a, sizeof a), koe_tensor_describe(t, b, sizeof b));
    }
    return KOE_OK;
}

static koe_status run_concat(koe_op_ctx *c, koe_error *err)
{
    int axis;
    int64_t dim[KOE_MAX_DIM];
    koe_status st = concat_shape(c, &axis, dim, err);
    if (st != KOE_OK) return st;
    const koe_tensor *first = koe_in(c, 0);
    if (c->n_in == 1) return koe_out_view(c, 0, 0, first->n_dim, dim, err);
    koe_tensor *y;
    st = koe_out(c, 0, first->dtype, first->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    size_t size = koe_dtype_size(y->dtype);
    int64_t outer = (int64_t)koe_dim_product(dim, 0, axis), inner = (int64_t)koe_dim_product(dim, axis + 1, y->n_dim);
    char *to = y->data;
    for (int i = 0; i < c->n_in; i++) {
        const koe_tensor *t = koe_in(c, i);
        int64_t run = t->dim[axis] * inner;
        koe_copy_axis loop[2] = { { outer, dim[axis] * inner, run }, { run, 1, 1 } };
        koe_copy_strided(c->pool, to, t->data, size, loop, 2);
        if (run) to += (size_t)run * size;
    }
    return KOE_OK;
}

/* Sizes of the n parts of an axis of `len`: as listed, or equal with a shorter last one where the form allows it. */
static koe_status split_sizes(const koe_op_ctx *c, int64_t len, int n, int64_t *part, koe_error *err)
{
    const koe_tensor *list = NULL;
    const int64_t *attr;
    size_t n_list = koe_node_ints(c->node, "split", &attr);
    if (c->n_in > 1 && c->in[1]) {
        koe_status st = koe_need_ints(c, 1, &list, err);
        if (st != KOE_OK) return st;
        n_list = koe_tensor_count(list);
    }
    if (list || attr) {
        if (n_list != (size_t)n) return koe_fail(err, KOE_E_FORMAT, "%zu sizes for %d outputs", n_list, n);
        int64_t left = len;
        for (int i = 0; i < n; i++) {
            part[i] = list ? koe_int_at(list, (size_t)i) : attr[i];
            if (part[i] < 0 || part[i] > left) return koe_fail(err, KOE_E_FORMAT, "the sizes do not add up to %" PRId64, len);
            left -= part[i];
        }
        return left == 0 ? KOE_OK : koe_fail(err, KOE_E_FORMAT, "the sizes do not add up to %" PRId64, len);
    }
    int64_t want = koe_node_int(c->node, "num_outputs", n);
    if (want != n) return koe_fail(err, KOE_E_FORMAT, "num_outputs is %" PRId64 ", there are %d outputs", want, n);
    if (c->node->opset < 18 && len % n != 0)
        return koe_fail(err, KOE_E_FORMAT, "%" PRId64 " elements do not split into %d equal parts", len, n);
    int64_t each = len / n + (len % n != 0), left = len;
    for (int i = 0; i < n; i++) {
        part[i] = each < left ? each : left;
        left -= part[i];
    }
    return KOE_OK;
}

static koe_status run_split(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int axis;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", 0), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    if (c->n_out < 1) return koe_fail(err, KOE_E_FORMAT, "no outputs");
    int64_t *part = koe_scratch_array(c, (size_t)c->n_out, sizeof *part), dim[KOE_MAX_DIM];
    if (!part) return koe_fail(err, KOE_E_NOMEM, "its tables");
    st = split_sizes(c, x->dim[axis], c->n_out, part, err);
    size_t size = koe_dtype_size(x->dtype);
    int64_t outer = (int64_t)koe_dim_product(x->dim, 0, axis), inner = (int64_t)koe_dim_product(x->dim, axis + 1, x->n_dim),
            at = 0;
    memcpy(dim, x->dim, sizeof dim);
    for (int i = 0; st == KOE_OK && i < c->n_out; at += part[i++]) {
        if (!c->out[i]) continue;
        dim[axis] = part[i];
        if (outer == 1) {
            st = koe_out_part(c, i, 0, (size_t)(at * inner), x->n_dim, dim, err);
            continue;
        }
        koe_tensor *y;
        st = koe_out(c, i, x->dtype, x->n_dim, dim, &y, err);
        if (st != KOE_OK || koe_tensor_count(y) == 0) continue;
        koe_copy_axis loop[2] = { { outer, part[i] * inner, x->dim[axis] * inner }, { part[i] * inner, 1, 1 } };
        koe_copy_strided(c->pool, y->data, (const char *)x->data + (size_t)(at * inner) * size, size, loop, 2);
    }
    return st;
}

/* ---- Tile, Trilu, ReverseSequence, Compress ---- */

static koe_status run_tile(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int64_t repeat[KOE_MAX_DIM], dim[KOE_MAX_DIM], in_stride[KOE_MAX_DIM], out_stride[KOE_MAX_DIM];
    int n;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_ints_of(c, 1, "repeats", repeat, KOE_MAX_DIM, &n, err);
    if (st != KOE_OK) return st;
    if (n != x->n_dim) return koe_fail(err, KOE_E_FORMAT, "%d repeats for %d dimensions", n, x->n_dim);
    for (int i = 0; i < n; i++)
        if (repeat[i] < 0 || __builtin_mul_overflow(x->dim[i], repeat[i], &dim[i]))
            return koe_fail(err, KOE_E_FORMAT, "repeats %" PRId64 " times on axis %d", repeat[i], i);
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, n, dim, &y, err);
    if (st != KOE_OK) return st;
    koe_dense_strides(in_stride, n, x->dim);
    koe_dense_strides(out_stride, n, dim);
    koe_copy_axis axis[KOE_COPY_MAX_AXIS];
    for (int i = 0; i < n; i++) {
        axis[2 * i] = (koe_copy_axis){ repeat[i], x->dim[i] * out_stride[i], 0 };
        axis[2 * i + 1] = (koe_copy_axis){ x->dim[i], out_stride[i], in_stride[i] };
    }
    koe_copy_strided(c->pool, y->data, x->data, koe_dtype_size(x->dtype), axis, 2 * n);
    return KOE_OK;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

static koe_status run_trilu(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int64_t k = 0;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK && c->n_in > 1 && c->in[1]) st = koe_need_int(c, 1, &k, err);
    if (st != KOE_OK) return st;
    if (x->n_dim < 2) return koe_fail(err, KOE_E_FORMAT, "the input has %d dimensions, at least 2 are needed", x->n_dim);
    koe_tensor *y;
    st = koe_out_inplace(c, 0, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(x) == 0) return st;
    bool upper = koe_node_int(c->node, "upper", 1) != 0;
    int64_t rows = x->dim[x->n_dim - 2], cols = x->dim[x->n_dim - 1];
    k = clamp(k, -rows - 1, cols + 1); /* beyond these nothing changes any more */
    size_t size = koe_dtype_size(x->dtype), n_row = koe_dim_product(x->dim, 0, x->n_dim - 1);
    for (size_t i = 0; i < n_row; i++) {
        int64_t r = (int64_t)(i % (size_t)rows),
                edge = clamp(upper ? r + k : r + k + 1, 0, cols); /* first kept, or first cleared */
        size_t row = i * (size_t)cols * size, at = (size_t)edge * size, end = (size_t)cols * size;
        char *to = (char *)y->data + row;
        const char *from = (const char *)x->data + row;
        memset(to + (upper ? 0 : at), 0, upper ? at : end - at);
        if (to != from) memcpy(to + (upper ? at : 0), from + (upper ? at : 0), upper ? end - at : at);
    }
    return KOE_OK;
}

static koe_status run_reverse_sequence(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *lens;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need_ints(c, 1, &lens, err);
    if (st != KOE_OK) return st;
    int64_t batch_axis = koe_node_int(c->node, "batch_axis", 1), time_axis = koe_node_int(c->node, "time_axis", 0);
    if (x->n_dim < 2 || (batch_axis != 0 && batch_axis != 1) || time_axis != 1 - batch_axis)
        return koe_fail(err, KOE_E_FORMAT, "batch_axis %" PRId64 " and time_axis %" PRId64 " are not 0 and 1", batch_axis,
                        time_axis);
    int64_t n_batch = x->dim[batch_axis], n_time = x->dim[time_axis];
    if (koe_tensor_count(lens) != (size_t)n_batch)
        return koe_fail(err, KOE_E_FORMAT, "%zu lengths for a batch of %" PRId64, koe_tensor_count(lens), n_batch);
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st != KOE_OK) return st;
    size_t bytes = koe_dim_product(x->dim, 2, x->n_dim) * koe_dtype_size(x->dtype);
    size_t batch_step = batch_axis == 0 ? (size_t)n_time : 1, time_step = batch_axis == 0 ? 1 : (size_t)n_batch;
    for (int64_t b = 0; b < n_batch; b++) {
        int64_t len = koe_int_at(lens, (size_t)b);
        if (len < 0 || len > n_time) return koe_fail(err, KOE_E_FORMAT, "length %" PRId64 " of %" PRId64 " steps", len, n_time);
        for (int64_t t = 0; bytes && t < n_time; t++) {
            size_t from = (size_t)b * batch_step + (size_t)(t < len ? len - 1 - t : t) * time_step;
            memcpy((char *)y->data + ((size_t)b * batch_step + (size_t)t * time_step) * bytes,
                   (const char *)x->data + from * bytes, bytes);
        }
    }
    return KOE_OK;
}

static koe_status run_compress(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *cond;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need(c, 1, &cond, err);
    if (st != KOE_OK) return st;
    if (cond->dtype != KOE_DTYPE_BOOL)
        return koe_fail(err, KOE_E_FORMAT, "the condition is %s, not bool", koe_dtype_name(cond->dtype));
    bool flat = !koe_node_attr(c->node, "axis");
    koe_tensor whole = *x;
    int axis = 0;
    if (flat) {
        whole.n_dim = 1;
        whole.dim[0] = (int64_t)koe_tensor_count(x);
    } else st = koe_axis(&axis, koe_node_int(c->node, "axis", 0), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    size_t n_cond = koe_tensor_count(cond), n_kept = 0;
    const uint8_t *keep = cond->data;
    if (n_cond > (size_t)whole.dim[axis])
        return koe_fail(err, KOE_E_FORMAT, "%zu conditions for %" PRId64 " elements", n_cond, whole.dim[axis]);
    int64_t *kept = koe_scratch_array(c, n_cond, sizeof *kept), dim[KOE_MAX_DIM];
    if (!kept) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i < n_cond; i++)
        if (keep[i]) kept[n_kept++] = (int64_t)i;
    memcpy(dim, whole.dim, sizeof dim);
    dim[axis] = (int64_t)n_kept;
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, whole.n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    const int64_t *table[KOE_MAX_DIM] = { NULL };
    table[axis] = kept;
    koe_copy_indexed(c->pool, y->data, dim, x->data, whole.dim, whole.n_dim, table, koe_dtype_size(x->dtype), NULL);
    return KOE_OK;
}

koe_op_table koe_ops_move(void)
{
    static const koe_op table[] = {
        { .name = "Transpose", .since = 1, .run = run_transpose },
        { .name = "DepthToSpace", .since = 1, .prepare = prepare_depth_to_space, .run = run_depth_to_space },
        { .name = "SpaceToDepth", .since = 1, .run = run_space_to_depth },
        { .name = "Concat", .since = 4, .run = run_concat },
        { .name = "Split", .since = 2, .run = run_split },
        { .name = "Tile", .since = 6, .run = run_tile },
        { .name = "Trilu", .since = 14, .run = run_trilu },
        { .name = "ReverseSequence", .since = 10, .run = run_reverse_sequence },
        { .name = "Compress", .since = 9, .run = run_compress },
    };
    return KOE_OP_TABLE(table);
}
