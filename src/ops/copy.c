/* copy.c - moving elements between dense arrays: what Transpose, Slice, Pad, Tile, Expand and their kind have in common. */
#include "ops/bytes.h"

/* Elements are moved as integers of their size, whatever their type. */
typedef uint8_t __attribute__((may_alias)) elem1;
typedef uint16_t __attribute__((may_alias)) elem2;
typedef uint32_t __attribute__((may_alias)) elem4;
typedef uint64_t __attribute__((may_alias)) elem8;

enum { TILE = 16 }; /* of a transpose: 16 cache lines read, 16 written */

/* What the innermost loops do with elements of one size. */
#define DEFINE_LOOPS(T)                                                                                                          \
    static void fill_##T(T *dst, T value, size_t n)                                                                              \
    {                                                                                                                            \
        for (size_t i = 0; i < n; i++) dst[i] = value;                                                                           \
    }                                                                                                                            \
    static void strided_##T(T *dst, const T *src, koe_copy_axis a)                                                               \
    {                                                                                                                            \
        for (int64_t i = 0; i < a.n; i++) dst[i * a.dst] = src[i * a.src];                                                       \
    }                                                                                                                            \
    /* dst rows are dense, src columns are. */                                                                                   \
    static void transpose_##T(T *dst, const T *src, koe_copy_axis row, koe_copy_axis col)                                        \
    {                                                                                                                            \
        for (int64_t r0 = 0; r0 < row.n; r0 += TILE) {                                                                           \
            int64_t r1 = r0 + TILE < row.n ? r0 + TILE : row.n;                                                                  \
            for (int64_t c0 = 0; c0 < col.n; c0 += TILE) {                                                                       \
                int64_t c1 = c0 + TILE < col.n ? c0 + TILE : col.n;                                                              \
                for (int64_t r = r0; r < r1; r++)                                                                                \
                    for (int64_t k = c0; k < c1; k++) dst[r * row.dst + k] = src[r + k * col.src];                               \
            }                                                                                                                    \
        }                                                                                                                        \
    }                                                                                                                            \
    static void lookup_##T(T *dst, const T *src, const int64_t *index, int64_t n, const T *fill)                                 \
    {                                                                                                                            \
        for (int64_t i = 0; i < n; i++) dst[i] = index[i] < 0 ? *fill : src[index[i]];                                           \
    }
DEFINE_LOOPS(elem1)
DEFINE_LOOPS(elem2)
DEFINE_LOOPS(elem4)
DEFINE_LOOPS(elem8)

/* Calls the loop for the element's size. */
#define BY_SIZE(size, call)                                                                                                      \
    switch (size) {                                                                                                              \
    case 1: call(elem1); break;                                                                                                  \
    case 2: call(elem2); break;                                                                                                  \
    case 4: call(elem4); break;                                                                                                  \
    default: call(elem8); break;                                                                                                 \
    }

void koe_fill(void *dst, const void *value, size_t size, size_t n)
{
#define CALL(T) fill_##T(dst, *(const T *)value, n)
    BY_SIZE(size, CALL)
#undef CALL
}

void koe_dense_strides(int64_t stride[KOE_MAX_DIM], int n_dim, const int64_t *dim)
{
    int64_t step = 1;
    for (int i = n_dim - 1; i >= 0; i--) {
        stride[i] = step;
        step *= dim[i];
    }
}

size_t koe_copy_tasks(const koe_pool *pool, size_t n_bytes, size_t n_units)
{
    enum { WORTH_IT = 256 * 1024, PIECE = 64 * 1024 };
    size_t threads = pool ? (size_t)koe_pool_threads(pool) : 1;
    if (threads == 1 || n_bytes < WORTH_IT) return 1;
    size_t n = n_bytes / PIECE < 2 * threads ? n_bytes / PIECE : 2 * threads;
    return n < n_units ? n : n_units > 0 ? n_units : 1;
}

koe_status koe_out_part(koe_op_ctx *c, int i, int from, size_t at, int n_dim, const int64_t *dim, koe_error *err)
{
    koe_value part = *c->in[from];
    size_t size = koe_dtype_size(part.t.dtype);
    if (part.t.data) part.t.data = (char *)part.t.data + at * size;
    part.t.n_dim = n_dim;
    for (int k = 0; k < n_dim; k++) part.t.dim[k] = dim[k];
    return koe_out_share(c, i, &part, err);
}

/* ---- strided ---- */

/* Drops loops of one step and joins those that run on into each other. Returns how many are left, -1 when there is nothing
 * to do. */
static int simplify(koe_copy_axis *axis, int n)
{
    int m = 0;
    for (int i = 0; i < n; i++) {
        if (axis[i].n <= 0) return -1;
        if (axis[i].n == 1) continue;
        koe_copy_axis *last = m ? &axis[m - 1] : NULL;
        if (last && last->dst == axis[i].dst * axis[i].n && last->src == axis[i].src * axis[i].n)
            *last = (koe_copy_axis){ last->n * axis[i].n, axis[i].dst, axis[i].src };
        else axis[m++] = axis[i];
    }
    return m;
}

/* A copy cut down to its one or two innermost loops and the loops around them. */
typedef struct copy_job {
    char *dst;
    const char *src;
    size_t size;
    koe_copy_axis outer[KOE_COPY_MAX_AXIS], row, inner; /* row.n == 0: only `inner` */
    int n_outer;
    koe_copy_axis *cut; /* the loop that tasks share, one of those above */
    size_t n_task;
} copy_job;

static void copy_inner(const copy_job *j, char *dst, const char *src)
{
    if (j->row.n) {
#define CALL(T) transpose_##T((T *)(void *)dst, (const T *)(const void *)src, j->row, j->inner)
        BY_SIZE(j->size, CALL)
#undef CALL
    } else if (j->inner.dst == 1 && j->inner.src == 1) {
        memcpy(dst, src, (size_t)j->inner.n * j->size);
    } else if (j->inner.dst == 1 && j->inner.src == 0) {
        koe_fill(dst, src, j->size, (size_t)j->inner.n);
    } else {
#define CALL(T) strided_##T((T *)(void *)dst, (const T *)(const void *)src, j->inner)
        BY_SIZE(j->size, CALL)
#undef CALL
    }
}

static void copy_loops(const copy_job *j)
{
    int64_t at[KOE_COPY_MAX_AXIS] = { 0 };
    char *dst = j->dst;
    const char *src = j->src;
    int64_t size = (int64_t)j->size;
    for (;;) {
        copy_inner(j, dst, src);
        int k = j->n_outer - 1;
        for (; k >= 0; k--) {
            const koe_copy_axis *a = &j->outer[k];
            if (++at[k] < a->n) {
                dst += a->dst * size;
                src += a->src * size;
                break;
            }
            at[k] = 0;
            dst -= a->dst * (a->n - 1) * size;
            src -= a->src * (a->n - 1) * size;
        }
        if (k < 0) return;
    }
}

static void copy_task(void *arg, size_t task)
{
    const copy_job *whole = arg;
    copy_job part = *whole;
    koe_copy_axis *cut = whole->cut == &whole->row     ? &part.row
                         : whole->cut == &whole->inner ? &part.inner
                                                       : &part.outer[whole->cut - whole->outer];
    size_t n = (size_t)cut->n, from = n * task / whole->n_task, to = n * (task + 1) / whole->n_task;
    part.dst += (int64_t)from * cut->dst * (int64_t)part.size;
    part.src += (int64_t)from * cut->src * (int64_t)part.size;
    cut->n = (int64_t)(to - from);
    if (cut->n > 0) copy_loops(&part);
}

void koe_copy_strided(koe_pool *pool, void *dst, const void *src, size_t size, koe_copy_axis *axis, int n_axis)
{
    int n = simplify(axis, n_axis);
    if (n < 0) return;
    if (n == 0) {
        memcpy(dst, src, size);
        return;
    }
    copy_job j = { .dst = dst, .src = src, .size = size, .inner = axis[n - 1] };
    size_t n_bytes = size * (size_t)j.inner.n;
    for (int i = 0; i < n - 1; i++) {
        n_bytes *= (size_t)axis[i].n;
        if (axis[i].src == 1 && j.inner.dst == 1 && j.inner.src != 0 && !j.row.n) j.row = axis[i];
        else j.outer[j.n_outer++] = axis[i];
    }
    j.cut = j.row.n ? &j.row : &j.inner;
    if (j.n_outer) j.cut = &j.outer[0];
    for (int i = 1; i < j.n_outer; i++)
        if (j.outer[i].n > j.cut->n) j.cut = &j.outer[i];
    j.n_task = koe_copy_tasks(pool, n_bytes, (size_t)j.cut->n);
    if (j.n_task == 1) copy_loops(&j);
    else koe_pool_for(pool, j.n_task, copy_task, &j);
}

/* ---- by tables ---- */

/* dst is n_row rows of n_entry blocks; a row's place in src comes from the tables of the axes before `last`. */
typedef struct index_job {
    char *dst;
    const char *src;
    size_t size, block; /* elements that stay together: the axes behind `last` */
    const void *fill;
    const int64_t *const *table;
    const int64_t *dst_dim;
    int64_t src_stride[KOE_MAX_DIM];
    int last; /* innermost axis that has a table */
    int64_t n_entry, run_from, run_to; /* entries run_from..run_to-1 of its table count up by one */
    size_t n_row, n_task;
} index_job;

/* The longest stretch of a table that counts up by one: a copy of whole memory. */
static void find_run(index_job *j)
{
    const int64_t *table = j->table[j->last];
    for (int64_t from = 0, to; from < j->n_entry; from = to) {
        for (to = from + 1; to < j->n_entry && table[from] >= 0 && table[to] == table[to - 1] + 1; to++) {
        }
        if (table[from] >= 0 && to - from > j->run_to - j->run_from) {
            j->run_from = from;
            j->run_to = to;
        }
    }
}

static void copy_entries(const index_job *j, char *dst, const char *src, int64_t from, int64_t to)
{
    const int64_t *table = j->table[j->last];
    size_t bytes = j->block * j->size;
    if (j->block == 1) {
#define CALL(T) lookup_##T((T *)(void *)dst + from, (const T *)(const void *)src, table + from, to - from, j->fill)
        BY_SIZE(j->size, CALL)
#undef CALL
        return;
    }
    for (int64_t i = from; i < to; i++) {
        char *d = dst + (size_t)i * bytes;
        if (table[i] < 0) koe_fill(d, j->fill, j->size, j->block);
        else memcpy(d, src + (size_t)table[i] * bytes, bytes);
    }
}

/* Offset in src of a row of dst, -1 when one of its entries is negative. */
static int64_t row_source(const index_job *j, size_t row)
{
    int64_t at = 0;
    for (int k = j->last - 1; k >= 0; k--) {
        size_t n = (size_t)j->dst_dim[k];
        int64_t i = (int64_t)(row % n);
        row /= n;
        if (j->table[k]) i = j->table[k][i];
        if (i < 0) return -1;
        at += i * j->src_stride[k];
    }
    return at;
}

static void index_task(void *arg, size_t task)
{
    const index_job *j = arg;
    size_t row_bytes = (size_t)j->n_entry * j->block * j->size, bytes = j->block * j->size;
    for (size_t row = j->n_row * task / j->n_task; row < j->n_row * (task + 1) / j->n_task; row++) {
        char *dst = j->dst + row * row_bytes;
        int64_t at = row_source(j, row);
        if (at < 0) {
            koe_fill(dst, j->fill, j->size, (size_t)j->n_entry * j->block);
            continue;
        }
        const char *src = j->src + (size_t)at * j->size;
        copy_entries(j, dst, src, 0, j->run_from);
        if (j->run_to > j->run_from)
            memcpy(dst + (size_t)j->run_from * bytes, src + (size_t)j->table[j->last][j->run_from] * bytes,
                   (size_t)(j->run_to - j->run_from) * bytes);
        copy_entries(j, dst, src, j->run_to, j->n_entry);
    }
}

void koe_copy_indexed(koe_pool *pool, void *dst, const int64_t *dst_dim, const void *src, const int64_t *src_dim, int n_dim,
                      const int64_t *const *table, size_t size, const void *fill)
{
    index_job j = { .dst = dst, .src = src, .size = size, .fill = fill, .table = table, .dst_dim = dst_dim, .last = n_dim - 1 };
    while (j.last >= 0 && !table[j.last]) j.last--;
    size_t n = koe_dim_product(dst_dim, 0, n_dim);
    if (n == 0) return;
    if (j.last < 0) {
        memcpy(dst, src, n * size);
        return;
    }
    koe_dense_strides(j.src_stride, n_dim, src_dim);
    j.block = koe_dim_product(dst_dim, j.last + 1, n_dim);
    j.n_entry = dst_dim[j.last];
    j.n_row = koe_dim_product(dst_dim, 0, j.last);
    find_run(&j);
    j.n_task = koe_copy_tasks(pool, n * size, j.n_row);
    koe_pool_for(pool, j.n_task, index_task, &j);
}
