/* loop.c - the broadcasting loop behind every elementwise operator (elementwise.h). */
#include "ops/elementwise.h"

typedef struct loop {
    koe_loop_fn *fn;
    const void *arg;
    char *y;
    const char *x[KOE_LOOP_IN];
    size_t y_size; /* bytes of one element */
    int n_x, n_dim; /* n_dim >= 1 */
    int step[KOE_LOOP_IN]; /* of the innermost dimension: 0 or 1 */
    int64_t dim[KOE_MAX_DIM];
    int64_t stride[KOE_LOOP_IN][KOE_MAX_DIM]; /* bytes */
} loop;

/* Drops dimensions of 1 and merges neighbours that every input walks through evenly. An input's innermost remaining dimension is
 * then dense or repeated, for inputs are dense themselves. */
static void collapse(loop *l, const koe_tensor *y, const koe_tensor *const *x)
{
    int64_t stride[KOE_LOOP_IN][KOE_MAX_DIM] = { 0 };
    for (int k = 0; k < l->n_x; k++) koe_broadcast_strides(stride[k], x[k], y->n_dim, y->dim);
    int n = 0;
    for (int i = 0; i < y->n_dim; i++) {
        if (y->dim[i] == 1) continue;
        bool merge = n > 0;
        for (int k = 0; k < l->n_x && merge; k++) merge = l->stride[k][n - 1] == stride[k][i] * y->dim[i];
        if (merge) l->dim[n - 1] *= y->dim[i];
        else l->dim[n++] = y->dim[i];
        for (int k = 0; k < l->n_x; k++) l->stride[k][n - 1] = stride[k][i];
    }
    if (n == 0) l->dim[n++] = 1; /* a scalar */
    l->n_dim = n;
    for (int k = 0; k < l->n_x; k++) {
        l->step[k] = l->stride[k][n - 1] != 0;
        for (int i = 0; i < n; i++) l->stride[k][i] *= (int64_t)koe_dtype_size(x[k]->dtype);
    }
}

/* Elements from..to of y, in row-major order. */
static void run_range(void *arg, size_t from, size_t to)
{
    const loop *l = arg;
    const char *x[KOE_LOOP_IN];
    int64_t index[KOE_MAX_DIM];
    int last = l->n_dim - 1;
    size_t rest = from;
    for (int k = 0; k < l->n_x; k++) x[k] = l->x[k];
    for (int d = last; d >= 0; d--) {
        index[d] = (int64_t)(rest % (size_t)l->dim[d]);
        rest /= (size_t)l->dim[d];
        for (int k = 0; k < l->n_x; k++) x[k] += index[d] * l->stride[k][d];
    }
    while (from < to) {
        size_t n = (size_t)(l->dim[last] - index[last]);
        if (n > to - from) n = to - from;
        l->fn(l->y + from * l->y_size, (const void *const *)x, l->step, n, l->arg);
        from += n;
        index[last] += (int64_t)n;
        for (int k = 0; k < l->n_x; k++) x[k] += (int64_t)n * l->stride[k][last];
        for (int d = last; d > 0 && index[d] == l->dim[d]; d--) {
            index[d] = 0;
            index[d - 1]++;
            for (int k = 0; k < l->n_x; k++) x[k] += l->stride[k][d - 1] - l->dim[d] * l->stride[k][d];
        }
    }
}

void koe_loop(koe_op_ctx *c, koe_loop_fn *fn, const void *arg, koe_tensor *y, const koe_tensor *const *x, int n_x)
{
    loop l = { .fn = fn, .arg = arg, .y = y->data, .y_size = koe_dtype_size(y->dtype), .n_x = n_x };
    size_t n = koe_tensor_count(y);
    if (n == 0) return;
    for (int k = 0; k < n_x; k++) l.x[k] = x[k]->data;
    collapse(&l, y, x);
    koe_for_ranges(c->pool, n, KOE_LOOP_CHUNK, run_range, &l);
}

typedef struct ranges {
    koe_range_fn *fn;
    void *arg;
    size_t n, chunk;
} ranges;

static void run_task(void *arg, size_t task)
{
    const ranges *r = arg;
    size_t from = task * r->chunk, to = r->n - from < r->chunk ? r->n : from + r->chunk;
    r->fn(r->arg, from, to);
}

void koe_for_ranges(koe_pool *pool, size_t n, size_t chunk, koe_range_fn *fn, void *arg)
{
    ranges r = { fn, arg, n, chunk };
    size_t n_tasks = n / chunk + (n % chunk != 0);
    if (n_tasks == 1) run_task(&r, 0);
    else if (n_tasks) koe_pool_for(pool, n_tasks, run_task, &r);
}

koe_status koe_out_broadcast(koe_op_ctx *c, koe_dtype dtype, const koe_tensor *const *x, int n_x, int n_inplace, koe_tensor **y,
                             koe_error *err)
{
    int n_dim = x[0]->n_dim, from = -1;
    int64_t dim[KOE_MAX_DIM];
    memcpy(dim, x[0]->dim, sizeof dim);
    for (int k = 1; k < n_x; k++) {
        koe_status st = koe_broadcast(&n_dim, dim, n_dim, dim, x[k]->n_dim, x[k]->dim, err);
        if (st != KOE_OK) return st;
    }
    for (int k = 0; k < n_inplace && from < 0; k++) {
        bool dies = c->node->in_dies && c->node->in_dies[k];
        if (dies && x[k]->dtype == dtype && koe_tensor_count(x[k]) == koe_dim_product(dim, 0, n_dim)) from = k;
    }
    if (from >= 0) return koe_out_inplace(c, 0, from, dtype, n_dim, dim, y, err);
    return koe_out(c, 0, dtype, n_dim, dim, y, err);
}

koe_status koe_run_unary(koe_op_ctx *c, koe_loop_fn *const *table, const void *arg, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (!table[x->dtype]) return koe_type_error(c, x->dtype, err);
    st = koe_out_inplace(c, 0, 0, x->dtype, x->n_dim, x->dim, &y, err);
    if (st == KOE_OK) koe_loop(c, table[x->dtype], arg, y, &x, 1);
    return st;
}
