/* repeat.c - koe's own RepeatInterleave(values, counts): each slice of `values` along attribute `axis`, as many times as its count says.
 * It stands for the loop that PyTorch's exporter writes for repeat_interleave (graph/pass_repeat.c). */
#include <inttypes.h>

#include "ops/bytes.h"
#include "ops/ops.h"

static koe_status sum_counts(const koe_tensor *counts, int64_t *sum, koe_error *err)
{
    *sum = 0;
    for (size_t i = 0; i < koe_tensor_count(counts); i++) {
        const int64_t n = koe_int_at(counts, i);
        if (n < 0) return koe_fail(err, KOE_E_FORMAT, "count %zu is %" PRId64, i, n);
        if (__builtin_add_overflow(*sum, n, sum)) return koe_fail(err, KOE_E_LIMIT, "the counts add up to more than %" PRId64, INT64_MAX);
    }
    return KOE_OK;
}

static koe_status run_repeat_interleave(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x, *counts;
    koe_tensor *y;
    int axis;
    int64_t dim[KOE_MAX_DIM];
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_need_ints(c, 1, &counts, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", 0), x->n_dim, false, c->node, err);
    if (st != KOE_OK) return st;
    memcpy(dim, x->dim, sizeof dim);
    if (counts->n_dim != 1 || counts->dim[0] != x->dim[axis])
        return koe_fail(err, KOE_E_FORMAT, "%zu counts for %" PRId64 " slices", koe_tensor_count(counts), x->dim[axis]);
    st = sum_counts(counts, &dim[axis], err);
    if (st == KOE_OK) st = koe_out(c, 0, x->dtype, x->n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    int64_t *table = koe_scratch_array(c, (size_t)dim[axis], sizeof *table);
    if (!table) return koe_fail(err, KOE_E_NOMEM, "a table of %" PRId64 " slices", dim[axis]);
    size_t at = 0;
    for (int64_t i = 0; i < x->dim[axis]; i++)
        for (int64_t n = koe_int_at(counts, (size_t)i); n > 0; n--) table[at++] = i;
    const int64_t outer = (int64_t)koe_dim_product(dim, 0, axis), inner = (int64_t)koe_dim_product(dim, axis + 1, x->n_dim);
    const int64_t from[3] = { outer, x->dim[axis], inner }, to[3] = { outer, dim[axis], inner };
    koe_copy_indexed(c->pool, y->data, to, x->data, from, 3, (const int64_t *const[3]){ NULL, table, NULL }, koe_dtype_size(x->dtype), NULL);
    return KOE_OK;
}

koe_op_table koe_ops_repeat(void)
{
    static const koe_op table[] = { { .name = "RepeatInterleave", .since = 1, .run = run_repeat_interleave, .domain = "koe" } };
    return KOE_OP_TABLE(table);
}
