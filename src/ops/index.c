/* index.c - operators that pick or place elements by index tensors: Gather and Scatter in their several forms. An index may be
 * negative (counted from the end); one that is outside is KOE_E_FORMAT. */
#include <inttypes.h>

#include "ops/bytes.h"
#include "ops/ops.h"

static koe_status outside(int64_t index, int64_t n, koe_error *err)
{
    return koe_fail(err, KOE_E_FORMAT, "index %" PRId64 " is outside an axis of %" PRId64, index, n);
}

/* ---- Gather ---- */

static koe_status run_gather(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *index;
    int axis;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need_ints(c, 1, &index, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", 0), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    int n_dim = x->n_dim - 1 + index->n_dim;
    if (n_dim > KOE_MAX_DIM) return koe_fail(err, KOE_E_LIMIT, "%d dimensions, at most %d are supported", n_dim, KOE_MAX_DIM);
    int64_t dim[KOE_MAX_DIM], len = x->dim[axis];
    for (int i = 0; i < n_dim; i++)
        dim[i] = i < axis ? x->dim[i] : i < axis + index->n_dim ? index->dim[i - axis] : x->dim[i - index->n_dim + 1];
    size_t n = koe_tensor_count(index), outer = koe_dim_product(x->dim, 0, axis),
           inner = koe_dim_product(x->dim, axis + 1, x->n_dim);
    if (n == 1 && outer == 1) { /* one slice, e.g. a dimension taken from a shape: no copy */
        int64_t at = koe_int_at(index, 0);
        if (!koe_wrap_index(&at, len)) return outside(koe_int_at(index, 0), len, err);
        return koe_out_part(c, 0, 0, (size_t)at * inner, n_dim, dim, err);
    }
    int64_t *table = koe_scratch_array(c, n, sizeof *table);
    if (!table) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i < n; i++) {
        table[i] = koe_int_at(index, i);
        if (!koe_wrap_index(&table[i], len)) return outside(koe_int_at(index, i), len, err);
    }
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    int64_t from[3] = { (int64_t)outer, len, (int64_t)inner }, to[3] = { (int64_t)outer, (int64_t)n, (int64_t)inner };
    const int64_t *tables[3] = { NULL, table, NULL };
    koe_copy_indexed(c->pool, y->data, to, x->data, from, 3, tables, koe_dtype_size(x->dtype), NULL);
    return KOE_OK;
}

/* ---- GatherElements and ScatterElements ---- */

/* A walk over an index tensor that has as many dimensions as the data: along with each index goes the place in the data that the
 * index's own position names, but for `axis`, where the index stands. */
typedef struct element_walk {
    const koe_tensor *index;
    int axis, n_dim;
    int64_t len, step; /* of the data's axis */
    int64_t stride[KOE_MAX_DIM]; /* of the data, 0 on the axis */
    int64_t at[KOE_MAX_DIM], base; /* where the row that is being walked starts */
} element_walk;

static koe_status start_walk(const koe_op_ctx *c, const koe_tensor *data, const koe_tensor *index, element_walk *w,
                             koe_error *err)
{
    *w = (element_walk){ .index = index, .n_dim = data->n_dim };
    koe_status st = koe_axis(&w->axis, koe_node_int(c->node, "axis", 0), data->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    bool fits = data->n_dim == index->n_dim;
    for (int i = 0; fits && i < data->n_dim; i++) fits = i == w->axis || index->dim[i] <= data->dim[i];
    char a[96], b[96];
    if (!fits)
        return koe_fail(err, KOE_E_FORMAT, "indices %s do not fit data %s", koe_tensor_describe(index, a, sizeof a),
                        koe_tensor_describe(data, b, sizeof b));
    koe_dense_strides(w->stride, data->n_dim, data->dim);
    w->len = data->dim[w->axis];
    w->step = w->stride[w->axis];
    w->stride[w->axis] = 0;
    return KOE_OK;
}

/* To the next row of the innermost dimension. */
static void next_row(element_walk *w)
{
    for (int i = w->n_dim - 2; i >= 0; i--) {
        w->base += w->stride[i];
        if (++w->at[i] < w->index->dim[i]) return;
        w->base -= w->stride[i] * w->at[i];
        w->at[i] = 0;
    }
}

static koe_status run_gather_elements(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *index;
    element_walk w;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need_ints(c, 1, &index, err);
    if (st == KOE_OK) st = start_walk(c, x, index, &w, err);
    if (st == KOE_OK) st = koe_out(c, 0, x->dtype, index->n_dim, index->dim, &y, err);
    if (st != KOE_OK) return st;
    size_t n = koe_tensor_count(index), size = koe_dtype_size(x->dtype), row = (size_t)index->dim[w.n_dim - 1];
    int64_t inner = w.stride[w.n_dim - 1];
    for (size_t i = 0; i < n; next_row(&w)) {
        for (size_t k = 0; k < row; k++, i++) {
            int64_t at = koe_int_at(index, i);
            if (!koe_wrap_index(&at, w.len)) return outside(koe_int_at(index, i), w.len, err);
            const char *from = (const char *)x->data + (size_t)(w.base + (int64_t)k * inner + at * w.step) * size;
            char *to = (char *)y->data + i * size;
            if (size == 4) memcpy(to, from, 4);
            else if (size == 8) memcpy(to, from, 8);
            else memcpy(to, from, size);
        }
    }
    return KOE_OK;
}

static koe_status read_reduction(const koe_node *node, koe_combine *out, koe_error *err)
{
    static const char *const names[] = { "none", "add", "mul", "max", "min" }; /* in the order of koe_combine */
    koe_str name = koe_node_str(node, "reduction", "none");
    for (int i = 0; i < 5; i++) {
        if (!koe_str_is(name, names[i])) continue;
        *out = (koe_combine)i;
        return KOE_OK;
    }
    return koe_fail(err, KOE_E_FORMAT, "reduction %.*s is not none, add, mul, max or min", KOE_STR_ARG(name));
}

static koe_status prepare_scatter(koe_node *node, void **state, koe_error *err)
{
    (void)state;
    koe_combine how;
    return read_reduction(node, &how, err);
}

/* Inputs data, indices, updates, and the output as a copy of data (or data itself, where nobody else reads it). */
static koe_status open_scatter(koe_op_ctx *c, const koe_tensor **index, const koe_tensor **update, koe_tensor **y, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need_ints(c, 1, index, err);
    if (st == KOE_OK) st = koe_need(c, 2, update, err);
    if (st != KOE_OK) return st;
    if ((*update)->dtype != x->dtype)
        return koe_fail(err, KOE_E_FORMAT, "updates are %s, data is %s", koe_dtype_name((*update)->dtype),
                        koe_dtype_name(x->dtype));
    void *from = x->data;
    st = koe_out_inplace(c, 0, 0, x->dtype, x->n_dim, x->dim, y, err);
    if (st == KOE_OK && (*y)->data != from && koe_tensor_count(*y)) memcpy((*y)->data, from, koe_tensor_bytes(*y));
    return st;
}

static koe_status run_scatter_elements(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *index, *update;
    koe_tensor *y;
    element_walk w;
    koe_combine how = KOE_COMBINE_NONE;
    koe_status st = read_reduction(c->node, &how, err);
    if (st == KOE_OK) st = open_scatter(c, &index, &update, &y, err);
    if (st == KOE_OK) st = start_walk(c, y, index, &w, err);
    if (st != KOE_OK) return st;
    bool fits = update->n_dim == index->n_dim;
    for (int i = 0; fits && i < index->n_dim; i++) fits = update->dim[i] == index->dim[i];
    if (!fits) return koe_fail(err, KOE_E_FORMAT, "updates and indices have different shapes");
    size_t n = koe_tensor_count(index), size = koe_dtype_size(y->dtype), row = (size_t)index->dim[w.n_dim - 1];
    int64_t inner = w.stride[w.n_dim - 1];
    for (size_t i = 0; i < n; next_row(&w)) {
        for (size_t k = 0; k < row; k++, i++) {
            int64_t at = koe_int_at(index, i);
            if (!koe_wrap_index(&at, w.len)) return outside(koe_int_at(index, i), w.len, err);
            koe_elem_combine(y->dtype, how, (char *)y->data + (size_t)(w.base + (int64_t)k * inner + at * w.step) * size,
                             (const char *)update->data + i * size, 1);
        }
    }
    return KOE_OK;
}

/* ---- GatherND and ScatterND ---- */

/* The last dimension of `index` names the first `depth` axes of the data, behind `n_batch` that both have in common. */
typedef struct tuples {
    const koe_tensor *index;
    int n_batch, depth;
    int64_t dim[KOE_MAX_DIM], stride[KOE_MAX_DIM]; /* of the named axes */
    size_t n, per_batch; /* tuples in all, and in one batch */
    size_t batch_step, slice; /* elements of the data in a batch, and behind a tuple */
} tuples;

static koe_status read_tuples(const koe_tensor *data, const koe_tensor *index, int64_t n_batch, tuples *t, koe_error *err)
{
    int last = index->n_dim - 1;
    if (last < 0 || data->n_dim < 1) return koe_fail(err, KOE_E_FORMAT, "data and indices must have dimensions");
    if (n_batch < 0 || n_batch > last || n_batch >= data->n_dim || index->dim[last] > data->n_dim - n_batch)
        return koe_fail(err, KOE_E_FORMAT, "tuples of %" PRId64 " and %" PRId64 " batch dimensions for data of %d dimensions",
                        index->dim[last], n_batch, data->n_dim);
    *t = (tuples){ .index = index, .n_batch = (int)n_batch, .depth = (int)index->dim[last] };
    for (int i = 0; i < t->n_batch; i++)
        if (index->dim[i] != data->dim[i])
            return koe_fail(err, KOE_E_FORMAT, "batch dimension %d is %" PRId64 " and %" PRId64, i, data->dim[i], index->dim[i]);
    int64_t stride[KOE_MAX_DIM];
    koe_dense_strides(stride, data->n_dim, data->dim);
    for (int i = 0; i < t->depth; i++) {
        t->dim[i] = data->dim[t->n_batch + i];
        t->stride[i] = stride[t->n_batch + i];
    }
    t->n = koe_dim_product(index->dim, 0, last);
    t->per_batch = koe_dim_product(index->dim, t->n_batch, last);
    t->batch_step = koe_dim_product(data->dim, t->n_batch, data->n_dim);
    t->slice = koe_dim_product(data->dim, t->n_batch + t->depth, data->n_dim);
    return KOE_OK;
}

/* Element of the data where the slice of tuple i starts. */
static koe_status tuple_place(const tuples *t, size_t i, size_t *out, koe_error *err)
{
    int64_t at = 0;
    for (int k = 0; k < t->depth; k++) {
        int64_t given = koe_int_at(t->index, i * (size_t)t->depth + (size_t)k), v = given;
        if (!koe_wrap_index(&v, t->dim[k])) return outside(given, t->dim[k], err);
        at += v * t->stride[k];
    }
    *out = (t->n_batch ? i / t->per_batch * t->batch_step : 0) + (size_t)at;
    return KOE_OK;
}

static koe_status run_gather_nd(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *index;
    tuples t = { 0 };
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need_ints(c, 1, &index, err);
    if (st == KOE_OK) st = read_tuples(x, index, koe_node_int(c->node, "batch_dims", 0), &t, err);
    if (st != KOE_OK) return st;
    int head = index->n_dim - 1, tail = x->n_dim - t.n_batch - t.depth;
    if (head + tail > KOE_MAX_DIM)
        return koe_fail(err, KOE_E_LIMIT, "%d dimensions, at most %d are supported", head + tail, KOE_MAX_DIM);
    int64_t dim[KOE_MAX_DIM];
    for (int i = 0; i < head + tail; i++) dim[i] = i < head ? index->dim[i] : x->dim[x->n_dim - tail + i - head];
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, head + tail, dim, &y, err);
    if (st != KOE_OK) return st;
    size_t size = koe_dtype_size(x->dtype), bytes = t.slice * size;
    for (size_t i = 0; i < t.n; i++) {
        size_t at;
        st = tuple_place(&t, i, &at, err);
        if (st != KOE_OK) return st;
        char *to = (char *)y->data + i * bytes;
        const char *from = (const char *)x->data + at * size;
        if (bytes == 4) memcpy(to, from, 4);
        else if (bytes) memcpy(to, from, bytes);
    }
    return KOE_OK;
}

static koe_status run_scatter_nd(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *index, *update;
    koe_tensor *y;
    tuples t = { 0 };
    koe_combine how = KOE_COMBINE_NONE;
    koe_status st = read_reduction(c->node, &how, err);
    if (st == KOE_OK) st = open_scatter(c, &index, &update, &y, err);
    if (st == KOE_OK) st = read_tuples(y, index, 0, &t, err);
    if (st != KOE_OK) return st;
    int head = index->n_dim - 1, tail = y->n_dim - t.depth;
    bool fits = update->n_dim == head + tail;
    for (int i = 0; fits && i < update->n_dim; i++)
        fits = update->dim[i] == (i < head ? index->dim[i] : y->dim[t.depth + i - head]);
    char a[96], b[96];
    if (!fits)
        return koe_fail(err, KOE_E_FORMAT, "updates %s do not fit data %s and these indices",
                        koe_tensor_describe(update, a, sizeof a), koe_tensor_describe(y, b, sizeof b));
    size_t size = koe_dtype_size(y->dtype), bytes = t.slice * size;
    for (size_t i = 0; i < t.n && bytes; i++) {
        size_t at;
        st = tuple_place(&t, i, &at, err);
        if (st != KOE_OK) return st;
        char *to = (char *)y->data + at * size;
        const char *from = (const char *)update->data + i * bytes;
        if (how == KOE_COMBINE_NONE && bytes == 4) memcpy(to, from, 4);
        else koe_elem_combine(y->dtype, how, to, from, t.slice);
    }
    return KOE_OK;
}

/* ---- TensorScatter ---- */

/* Writes `update` into a cache [batch, .., length, ..] from each batch's own position on `axis`. */
static koe_status run_tensor_scatter(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *cache, *update, *start = NULL;
    int axis;
    koe_status st = koe_need(c, 0, &cache, err);
    if (st == KOE_OK) st = koe_need(c, 1, &update, err);
    if (st == KOE_OK && c->n_in > 2 && c->in[2]) st = koe_need_ints(c, 2, &start, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", -2), cache->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    bool fits = update->dtype == cache->dtype && update->n_dim == cache->n_dim && axis > 0;
    for (int i = 0; fits && i < cache->n_dim; i++)
        fits = i == axis ? update->dim[i] <= cache->dim[i] : update->dim[i] == cache->dim[i];
    if (!fits || (start && koe_tensor_count(start) != (size_t)cache->dim[0]))
        return koe_fail(err, KOE_E_FORMAT, "the update or the write indices do not fit the cache on axis %d", axis);
    bool circular = koe_str_is(koe_node_str(c->node, "mode", "linear"), "circular");
    size_t size = koe_dtype_size(cache->dtype), inner = koe_dim_product(cache->dim, axis + 1, cache->n_dim) * size;
    size_t outer = koe_dim_product(cache->dim, 0, axis), per_batch = koe_dim_product(cache->dim, 1, axis);
    int64_t len = cache->dim[axis], n = update->dim[axis];
    const void *from = cache->data;
    koe_tensor *y;
    st = koe_out_inplace(c, 0, 0, cache->dtype, cache->n_dim, cache->dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    if (y->data != from) memcpy(y->data, from, koe_tensor_bytes(y));
    for (size_t i = 0; i < outer; i++) {
        int64_t first = start ? koe_int_at(start, i / per_batch) : 0;
        if (first < 0 || first > (circular ? len - 1 : len - n)) return outside(first, len, err);
        for (int64_t k = 0; k < n; k++)
            memcpy((char *)y->data + (i * (size_t)len + (size_t)((first + k) % len)) * inner,
                   (const char *)update->data + (i * (size_t)n + (size_t)k) * inner, inner);
    }
    return KOE_OK;
}

koe_op_table koe_ops_index(void)
{
    static const koe_op table[] = {
        { .name = "Gather", .since = 1, .run = run_gather },
        { .name = "GatherElements", .since = 11, .run = run_gather_elements },
        { .name = "GatherND", .since = 11, .run = run_gather_nd },
        { .name = "Scatter", .since = 9, .until = 10, .prepare = prepare_scatter, .run = run_scatter_elements },
        { .name = "ScatterElements", .since = 11, .prepare = prepare_scatter, .run = run_scatter_elements },
        { .name = "ScatterND", .since = 11, .prepare = prepare_scatter, .run = run_scatter_nd },
        { .name = "TensorScatter", .since = 24, .run = run_tensor_scatter },
    };
    return KOE_OP_TABLE(table);
}
