/* select.c - operators whose result depends on what the elements are: NonZero, OneHot, TopK, Unique. */
#include <inttypes.h>
#include <stdlib.h>

#include "ops/bytes.h"
#include "ops/ops.h"

/* ---- NonZero ---- */

/* Calls `use(i)` for every element that is not zero. T is an integer of the element's size; `mask` leaves out the sign of a
 * float, whose -0 is zero too. */
#define EACH_NONZERO(T, use)                                                                                                     \
    for (size_t i = 0; i < n; i++)                                                                                               \
        if (((const T *)data)[i] & (T)mask) use

typedef uint8_t __attribute__((may_alias)) bits8;
typedef uint16_t __attribute__((may_alias)) bits16;
typedef uint32_t __attribute__((may_alias)) bits32;
typedef uint64_t __attribute__((may_alias)) bits64;

/* Positions of the elements that are not zero into `out`, or only their number when out is NULL. */
static size_t nonzero_places(const koe_tensor *t, int64_t *out)
{
    size_t n = koe_tensor_count(t), found = 0, size = koe_dtype_size(t->dtype);
    const void *data = t->data;
    uint64_t mask = UINT64_MAX;
    if (koe_dtype_is_float(t->dtype)) mask = ((uint64_t)1 << (8 * size - 1)) - 1;
#define TAKE                                                                                                                     \
    {                                                                                                                            \
        if (out) out[found] = (int64_t)i;                                                                                        \
        found++;                                                                                                                 \
    }
    switch (size) {
    case 1: EACH_NONZERO(bits8, TAKE) break;
    case 2: EACH_NONZERO(bits16, TAKE) break;
    case 4: EACH_NONZERO(bits32, TAKE) break;
    default: EACH_NONZERO(bits64, TAKE) break;
    }
#undef TAKE
    return found;
}

static koe_status run_non_zero(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    size_t n = nonzero_places(x, NULL);
    int64_t dim[2] = { x->n_dim, (int64_t)n };
    koe_tensor *y;
    st = koe_out(c, 0, KOE_DTYPE_I64, 2, dim, &y, err);
    if (st != KOE_OK || x->n_dim == 0 || n == 0) return st;
    int64_t *out = y->data, *place = out + (size_t)(x->n_dim - 1) * n; /* the last row holds the places until they are cut up */
    nonzero_places(x, place);
    for (size_t i = 0; i < n; i++) {
        int64_t rest = place[i];
        for (int k = x->n_dim - 1; k >= 0; k--) {
            out[(size_t)k * n + i] = rest % x->dim[k];
            rest /= x->dim[k];
        }
    }
    return KOE_OK;
}

/* ---- OneHot ---- */

static koe_status run_one_hot(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *index, *depth_in, *values;
    int axis;
    koe_status st = koe_need(c, 0, &index, err);
    if (st == KOE_OK) st = koe_need(c, 1, &depth_in, err);
    if (st == KOE_OK) st = koe_need(c, 2, &values, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", -1), index->n_dim, true, c->node, err);
    if (st != KOE_OK) return st;
    if (koe_tensor_count(depth_in) != 1 || koe_tensor_count(values) != 2)
        return koe_fail(err, KOE_E_FORMAT, "depth has %zu elements, values %zu; 1 and 2 are needed", koe_tensor_count(depth_in),
                        koe_tensor_count(values));
    if (index->n_dim == KOE_MAX_DIM) return koe_fail(err, KOE_E_LIMIT, "more than %d dimensions", KOE_MAX_DIM);
    int64_t depth, dim[KOE_MAX_DIM];
    koe_elem_put(KOE_DTYPE_I64, &depth, koe_elem_get(depth_in->dtype, depth_in->data));
    for (int i = 0; i <= index->n_dim; i++) dim[i] = i < axis ? index->dim[i] : i == axis ? depth : index->dim[i - 1];
    koe_tensor *y;
    st = koe_out(c, 0, values->dtype, index->n_dim + 1, dim, &y, err);
    if (st != KOE_OK) return st;
    size_t size = koe_dtype_size(values->dtype), n = koe_tensor_count(index),
           inner = koe_dim_product(index->dim, axis, index->n_dim);
    size_t index_size = koe_dtype_size(index->dtype);
    koe_fill(y->data, values->data, size, koe_tensor_count(y));
    for (size_t i = 0; i < n; i++) {
        int64_t hot;
        koe_elem_put(KOE_DTYPE_I64, &hot, koe_elem_get(index->dtype, (const char *)index->data + i * index_size));
        if (!koe_wrap_index(&hot, depth)) continue; /* outside: all "off", says the specification */
        size_t at = (i / inner * (size_t)depth + (size_t)hot) * inner + i % inner;
        memcpy((char *)y->data + at * size, (const char *)values->data + size, size);
    }
    return KOE_OK;
}

/* ---- TopK ---- */

typedef struct ranked {
    uint64_t key; /* smaller is better */
    int64_t index;
} ranked;

static bool worse(ranked a, ranked b) { return a.key != b.key ? a.key > b.key : a.index > b.index; }

/* Lets the element at i sink in a heap of n whose worst is on top. */
static void sink(ranked *heap, size_t n, size_t i)
{
    ranked moving = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && worse(heap[child + 1], heap[child])) child++;
        if (!worse(heap[child], moving)) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moving;
}

/* The k best of a lane of n elements, `step` apart, into heap[0..k), best first. */
static void select_best(ranked *heap, size_t k, const koe_tensor *x, size_t at, size_t n, size_t step, bool largest)
{
    size_t size = koe_dtype_size(x->dtype);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = koe_elem_key(x->dtype, (const char *)x->data + (at + i * step) * size);
        ranked r = { largest ? ~key : key, (int64_t)i };
        if (i < k) {
            heap[i] = r;
            if (i + 1 == k)
                for (size_t p = k / 2; p-- > 0;) sink(heap, k, p);
        } else if (worse(heap[0], r)) {
            heap[0] = r;
            sink(heap, k, 0);
        }
    }
    for (size_t left = k; left > 1; left--) { /* the worst goes to the end */
        ranked top = heap[0];
        heap[0] = heap[left - 1];
        heap[left - 1] = top;
        sink(heap, left - 1, 0);
    }
}

static koe_status run_top_k(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int axis;
    int64_t k = koe_node_int(c->node, "k", 0), dim[KOE_MAX_DIM];
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK && c->n_in > 1) st = koe_need_int(c, 1, &k, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", -1), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    if (k < 0 || k > x->dim[axis])
        return koe_fail(err, KOE_E_FORMAT, "k is %" PRId64 ", the axis has %" PRId64 " elements", k, x->dim[axis]);
    memcpy(dim, x->dim, sizeof dim);
    dim[axis] = k;
    koe_tensor *values, *places;
    st = koe_out(c, 0, x->dtype, x->n_dim, dim, &values, err);
    if (st == KOE_OK) st = koe_out(c, 1, KOE_DTYPE_I64, x->n_dim, dim, &places, err);
    if (st != KOE_OK || koe_tensor_count(values) == 0) return st;
    bool largest = koe_node_int(c->node, "largest", 1) != 0;
    size_t size = koe_dtype_size(x->dtype), n = (size_t)x->dim[axis], inner = koe_dim_product(x->dim, axis + 1, x->n_dim);
    size_t n_lane = koe_tensor_count(x) / n;
    ranked *heap = koe_scratch_array(c, (size_t)k, sizeof *heap);
    if (!heap) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t lane = 0; lane < n_lane; lane++) {
        size_t from = lane / inner * n * inner + lane % inner, to = lane / inner * (size_t)k * inner + lane % inner;
        select_best(heap, (size_t)k, x, from, n, inner, largest);
        for (size_t i = 0; i < (size_t)k; i++) {
            size_t best = (size_t)heap[i].index;
            memcpy((char *)values->data + (to + i * inner) * size, (const char *)x->data + (from + best * inner) * size, size);
            ((int64_t *)places->data)[to + i * inner] = (int64_t)best;
        }
    }
    return KOE_OK;
}

/* ---- Unique ---- */

/* n things to compare, each `width` elements; key[i * width ..] are their keys in order. */
typedef struct unique {
    const uint64_t *key;
    size_t n, width, n_group;
    size_t *order; /* things sorted by key, equal ones by position */
    size_t *group; /* of each thing */
    size_t *first, *count; /* of each group: its first thing and how many it has */
} unique;

static int compare_keys(const unique *u, size_t a, size_t b)
{
    for (size_t i = 0; i < u->width; i++) {
        uint64_t ka = u->key[a * u->width + i], kb = u->key[b * u->width + i];
        if (ka != kb) return ka < kb ? -1 : 1;
    }
    return 0;
}

static int compare_things(const void *pa, const void *pb, void *arg)
{
    size_t a = *(const size_t *)pa, b = *(const size_t *)pb;
    int by_key = compare_keys(arg, a, b);
    return by_key ? by_key : a < b ? -1 : a > b;
}

static int compare_first(const void *pa, const void *pb, void *arg)
{
    const unique *u = arg;
    size_t a = u->first[*(const size_t *)pa], b = u->first[*(const size_t *)pb];
    return a < b ? -1 : a > b;
}

/* Finds the groups, numbered in sorted order; then `order` becomes the order to put them out. */
static void find_groups(unique *u, bool sorted)
{
    for (size_t i = 0; i < u->n; i++) u->order[i] = i;
    qsort_r(u->order, u->n, sizeof *u->order, compare_things, u);
    for (size_t i = 0; i < u->n; i++) {
        if (i == 0 || compare_keys(u, u->order[i - 1], u->order[i]) != 0) {
            u->first[u->n_group] = u->order[i];
            u->count[u->n_group++] = 0;
        }
        u->group[u->order[i]] = u->n_group - 1;
        u->count[u->n_group - 1]++;
    }
    for (size_t g = 0; g < u->n_group; g++) u->order[g] = g;
    if (!sorted) qsort_r(u->order, u->n_group, sizeof *u->order, compare_first, u);
}

/* The tensor as [outer, n, inner] around the axis; things are slices along it, or single elements when there is no axis. */
static koe_status collect_keys(koe_op_ctx *c, const koe_tensor *x, size_t n, size_t inner, unique *u, koe_error *err)
{
    size_t total = koe_tensor_count(x), size = koe_dtype_size(x->dtype);
    *u = (unique){ .n = n, .width = n ? total / n : 0 };
    uint64_t *key = koe_scratch_array(c, total, sizeof *key);
    u->key = key;
    u->order = koe_scratch_array(c, n, sizeof(size_t));
    u->group = koe_scratch_array(c, n, sizeof(size_t));
    u->first = koe_scratch_array(c, n, sizeof(size_t));
    u->count = koe_scratch_array(c, n, sizeof(size_t));
    if (!key || !u->order || !u->group || !u->first || !u->count) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i < total; i++) {
        size_t o = i / inner / n, thing = i / inner % n;
        key[thing * u->width + o * inner + i % inner] = koe_elem_key(x->dtype, (const char *)x->data + i * size);
    }
    return KOE_OK;
}

/* Outputs 1 to 3: first places, the group of each thing, sizes of groups. */
static koe_status put_groups(koe_op_ctx *c, const unique *u, koe_error *err)
{
    koe_tensor *first, *inverse, *count;
    int64_t n_group = (int64_t)u->n_group, n = (int64_t)u->n;
    koe_status st = koe_out(c, 1, KOE_DTYPE_I64, 1, &n_group, &first, err);
    if (st == KOE_OK) st = koe_out(c, 2, KOE_DTYPE_I64, 1, &n, &inverse, err);
    if (st == KOE_OK) st = koe_out(c, 3, KOE_DTYPE_I64, 1, &n_group, &count, err);
    if (st != KOE_OK) return st;
    int64_t *rank = koe_scratch_array(c, u->n_group, sizeof *rank); /* of a group in the output */
    if (!rank) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i < u->n_group; i++) {
        size_t g = u->order[i];
        rank[g] = (int64_t)i;
        ((int64_t *)first->data)[i] = (int64_t)u->first[g];
        ((int64_t *)count->data)[i] = (int64_t)u->count[g];
    }
    for (size_t i = 0; i < u->n; i++) ((int64_t *)inverse->data)[i] = rank[u->group[i]];
    return KOE_OK;
}

static koe_status run_unique(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    koe_tensor lanes = *x; /* without an axis: one dimension */
    int axis = 0;
    if (koe_node_attr(c->node, "axis")) st = koe_axis(&axis, koe_node_int(c->node, "axis", 0), x->n_dim, false, c->node, err);
    else {
        lanes.n_dim = 1;
        lanes.dim[0] = (int64_t)koe_tensor_count(x);
    }
    if (st != KOE_OK) return st;
    size_t n = (size_t)lanes.dim[axis];
    unique u;
    st = collect_keys(c, x, n, koe_dim_product(lanes.dim, axis + 1, lanes.n_dim), &u, err);
    if (st != KOE_OK) return st;
    find_groups(&u, koe_node_int(c->node, "sorted", 1) != 0);
    int64_t *table = koe_scratch_array(c, u.n_group, sizeof *table), dim[KOE_MAX_DIM];
    if (!table) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i < u.n_group; i++) table[i] = (int64_t)u.first[u.order[i]];
    memcpy(dim, lanes.dim, sizeof dim);
    dim[axis] = (int64_t)u.n_group;
    koe_tensor *y;
    st = koe_out(c, 0, x->dtype, lanes.n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    const int64_t *tables[KOE_MAX_DIM] = { NULL };
    tables[axis] = table;
    koe_copy_indexed(c->pool, y->data, dim, x->data, lanes.dim, lanes.n_dim, tables, koe_dtype_size(x->dtype), NULL);
    return put_groups(c, &u, err);
}

koe_op_table koe_ops_select(void)
{
    static const koe_op table[] = {
        { .name = "NonZero", .since = 9, .run = run_non_zero },
        { .name = "OneHot", .since = 9, .run = run_one_hot },
        { .name = "TopK", .since = 1, .run = run_top_k },
        { .name = "Unique", .since = 11, .run = run_unique },
    };
    return KOE_OP_TABLE(table);
}
