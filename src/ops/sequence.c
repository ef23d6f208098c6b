/* sequence.c - lists of tensors. Items share memory with what they came from; nothing is copied but to cut or to join. */
#include <inttypes.h>

#include "ops/bytes.h"
#include "ops/ops.h"

static koe_status need_sequence(const koe_op_ctx *c, int i, const koe_value **out, koe_error *err)
{
    *out = i < c->n_in ? c->in[i] : NULL;
    if (*out && (*out)->kind == KOE_VALUE_SEQUENCE) return KOE_OK;
    return koe_fail(err, KOE_E_FORMAT, "input %d is not a sequence", i);
}

/* The position that input i names among n, the last when it is absent; negative ones count from the end. `insert`: n itself,
 * behind the last, is a position too, and the default. */
static koe_status read_position(const koe_op_ctx *c, int i, size_t n, bool insert, size_t *out, koe_error *err)
{
    int64_t given = insert ? (int64_t)n : -1;
    if (i < c->n_in && c->in[i]) {
        koe_status st = koe_need_int(c, i, &given, err);
        if (st != KOE_OK) return st;
    }
    int64_t at = given < 0 ? given + (int64_t)n : given;
    if (at < 0 || at >= (int64_t)n + insert)
        return koe_fail(err, KOE_E_FORMAT, "position %" PRId64 " in a sequence of %zu", given, n);
    *out = (size_t)at;
    return KOE_OK;
}

static koe_status run_sequence_construct(koe_op_ctx *c, koe_error *err)
{
    for (int i = 0; i < c->n_in; i++) {
        const koe_tensor *t;
        koe_status st = koe_need(c, i, &t, err);
        if (st != KOE_OK) return st;
    }
    return koe_out_sequence(c, 0, c->in, (size_t)c->n_in, err);
}

static koe_status run_sequence_empty(koe_op_ctx *c, koe_error *err) { return koe_out_sequence(c, 0, NULL, 0, err); }

static koe_status run_sequence_at(koe_op_ctx *c, koe_error *err)
{
    const koe_value *s;
    size_t at = 0;
    koe_status st = need_sequence(c, 0, &s, err);
    if (st == KOE_OK) st = read_position(c, 1, s->n_item, false, &at, err);
    return st == KOE_OK ? koe_out_share(c, 0, &s->item[at], err) : st;
}

static koe_status run_sequence_insert(koe_op_ctx *c, koe_error *err)
{
    const koe_value *s;
    const koe_tensor *t;
    size_t at = 0;
    koe_status st = need_sequence(c, 0, &s, err);
    if (st == KOE_OK) st = koe_need(c, 1, &t, err);
    if (st == KOE_OK) st = read_position(c, 2, s->n_item, true, &at, err);
    if (st != KOE_OK) return st;
    const koe_value **list = koe_scratch_array(c, s->n_item + 1, sizeof *list);
    if (!list) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i <= s->n_item; i++) list[i] = i < at ? &s->item[i] : i == at ? c->in[1] : &s->item[i - 1];
    return koe_out_sequence(c, 0, list, s->n_item + 1, err);
}

static koe_status run_sequence_erase(koe_op_ctx *c, koe_error *err)
{
    const koe_value *s;
    size_t at = 0;
    koe_status st = need_sequence(c, 0, &s, err);
    if (st == KOE_OK) st = read_position(c, 1, s->n_item, false, &at, err);
    if (st != KOE_OK) return st;
    const koe_value **list = koe_scratch_array(c, s->n_item, sizeof *list);
    if (!list) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i + 1 < s->n_item; i++) list[i] = &s->item[i < at ? i : i + 1];
    return koe_out_sequence(c, 0, list, s->n_item - 1, err);
}

static koe_status run_sequence_length(koe_op_ctx *c, koe_error *err)
{
    const koe_value *s;
    koe_tensor *y;
    koe_status st = need_sequence(c, 0, &s, err);
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_I64, 0, NULL, &y, err);
    if (st == KOE_OK) *(int64_t *)y->data = (int64_t)s->n_item;
    return st;
}

/* ---- SplitToSequence ---- */

/* Sizes of the parts along an axis of `len`: a list, equal parts of one size with a shorter last one, or single elements. */
static koe_status split_sizes(koe_op_ctx *c, int64_t len, int64_t **out, size_t *n, koe_error *err)
{
    const koe_tensor *split = NULL;
    if (c->n_in > 1 && c->in[1]) {
        koe_status st = koe_need_ints(c, 1, &split, err);
        if (st != KOE_OK) return st;
    }
    bool listed = split && split->n_dim > 0;
    int64_t each = split && !listed ? koe_int_at(split, 0) : 1;
    if (each <= 0) return koe_fail(err, KOE_E_FORMAT, "parts of %" PRId64, each);
    *n = listed ? koe_tensor_count(split) : (size_t)(len / each + (len % each != 0));
    int64_t *part = *out = koe_scratch_array(c, *n, sizeof *part), left = len;
    if (!part) return koe_fail(err, KOE_E_NOMEM, "its tables");
    for (size_t i = 0; i < *n; i++) {
        part[i] = listed ? koe_int_at(split, i) : each < left ? each : left;
        if (part[i] < 0 || part[i] > left) return koe_fail(err, KOE_E_FORMAT, "the sizes do not add up to %" PRId64, len);
        left -= part[i];
    }
    return left == 0 ? KOE_OK : koe_fail(err, KOE_E_FORMAT, "the sizes do not add up to %" PRId64, len);
}

/* Puts the parts of x, each made dense, one behind the other into output 0. */
static koe_status pack_parts(koe_op_ctx *c, const koe_tensor *x, int axis, const int64_t *part, size_t n, koe_error *err)
{
    koe_tensor *packed;
    koe_status st = koe_out(c, 0, x->dtype, x->n_dim, x->dim, &packed, err);
    if (st != KOE_OK) return st;
    size_t size = koe_dtype_size(x->dtype), at = 0;
    int64_t outer = (int64_t)koe_dim_product(x->dim, 0, axis), inner = (int64_t)koe_dim_product(x->dim, axis + 1, x->n_dim),
            row = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t run = part[i] * inner;
        koe_copy_axis loop[2] = { { outer, run, x->dim[axis] * inner }, { run, 1, 1 } };
        koe_copy_strided(c->pool, (char *)packed->data + at * size, (const char *)x->data + (size_t)row * size, size, loop, 2);
        at += (size_t)(outer * run);
        row += run;
    }
    return KOE_OK;
}

static koe_status run_split_to_sequence(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    int axis;
    int64_t *part = NULL;
    size_t n = 0;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = koe_axis(&axis, koe_node_int(c->node, "axis", 0), x->n_dim, false, c->node, err);
    if (st == KOE_OK) st = split_sizes(c, x->dim[axis], &part, &n, err);
    if (st != KOE_OK || !c->out[0]) return st;
    koe_value *item = koe_scratch_array(c, n, sizeof *item);
    const koe_value **list = koe_scratch_array(c, n, sizeof *list);
    if (!item || !list) return koe_fail(err, KOE_E_NOMEM, "its tables");
    koe_value whole = *c->in[0];
    if (koe_dim_product(x->dim, 0, axis) != 1) {
        st = pack_parts(c, x, axis, part, n, err);
        if (st != KOE_OK) return st;
        whole = *c->out[0];
    }
    bool drop_axis = !(c->n_in > 1 && c->in[1]) && koe_node_int(c->node, "keepdims", 1) == 0;
    size_t rest = koe_dim_product(x->dim, 0, axis) * koe_dim_product(x->dim, axis + 1, x->n_dim) * koe_dtype_size(x->dtype),
           at = 0;
    for (size_t i = 0; i < n; i++) {
        item[i] = whole;
        koe_tensor *t = &item[i].t;
        t->dim[axis] = part[i];
        if (rest) t->data = (char *)whole.t.data + at;
        at += (size_t)part[i] * rest;
        if (drop_axis) {
            for (int k = axis; k + 1 < t->n_dim; k++) t->dim[k] = t->dim[k + 1];
            t->n_dim--;
        }
        list[i] = &item[i];
    }
    return koe_out_sequence(c, 0, list, n, err); /* takes its own references before it drops the packed tensor */
}

/* ---- ConcatFromSequence ---- */

/* Shape of the items joined on `axis`, or stacked on a new one. */
static koe_status joined_shape(const koe_value *s, int axis, bool stack, int64_t dim[KOE_MAX_DIM], koe_error *err)
{
    const koe_tensor *first = &s->item[0].t;
    for (int k = 0; k < first->n_dim; k++) dim[stack && k >= axis ? k + 1 : k] = first->dim[k];
    dim[axis] = stack ? (int64_t)s->n_item : 0;
    for (size_t i = 0; i < s->n_item; i++) {
        const koe_tensor *t = &s->item[i].t;
        bool fits = s->item[i].kind == KOE_VALUE_TENSOR && t->dtype == first->dtype && t->n_dim == first->n_dim;
        for (int k = 0; fits && k < t->n_dim; k++) fits = (!stack && k == axis) || t->dim[k] == first->dim[k];
        char a[96], b[96];
        if (!fits || (!stack && __builtin_add_overflow(dim[axis], t->dim[axis], &dim[axis])))
            return koe_fail(err, KOE_E_FORMAT, "items 0 and %zu do not fit: %s and %s", i,
                            koe_tensor_describe(first, a, sizeof a), koe_tensor_describe(t, b, sizeof b));
    }
    return KOE_OK;
}

static koe_status run_concat_from_sequence(koe_op_ctx *c, koe_error *err)
{
    const koe_value *s;
    int axis;
    int64_t dim[KOE_MAX_DIM];
    koe_status st = need_sequence(c, 0, &s, err);
    if (st != KOE_OK) return st;
    if (s->n_item == 0) return koe_fail(err, KOE_E_FORMAT, "the sequence is empty");
    bool stack = koe_node_int(c->node, "new_axis", 0) != 0;
    int n_dim = s->item[0].t.n_dim + stack;
    if (n_dim > KOE_MAX_DIM) return koe_fail(err, KOE_E_LIMIT, "more than %d dimensions", KOE_MAX_DIM);
    st = koe_axis(&axis, koe_node_int(c->node, "axis", 0), n_dim, false, c->node, err);
    if (st == KOE_OK) st = joined_shape(s, axis, stack, dim, err);
    koe_tensor *y;
    if (st == KOE_OK) st = koe_out(c, 0, s->item[0].t.dtype, n_dim, dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    size_t size = koe_dtype_size(y->dtype);
    int64_t outer = (int64_t)koe_dim_product(dim, 0, axis), inner = (int64_t)koe_dim_product(dim, axis + 1, n_dim);
    char *to = y->data;
    for (size_t i = 0; i < s->n_item; i++) {
        const koe_tensor *t = &s->item[i].t;
        int64_t run = (stack ? 1 : t->dim[axis]) * inner;
        koe_copy_axis loop[2] = { { outer, dim[axis] * inner, run }, { run, 1, 1 } };
        koe_copy_strided(c->pool, to, t->data, size, loop, 2);
        to += (size_t)run * size;
    }
    return KOE_OK;
}

koe_op_table koe_ops_sequence(void)
{
    static const koe_op table[] = {
        { .name = "SequenceConstruct", .since = 11, .run = run_sequence_construct },
        { .name = "SequenceEmpty", .since = 11, .run = run_sequence_empty },
        { .name = "SequenceAt", .since = 11, .run = run_sequence_at },
        { .name = "SequenceInsert", .since = 11, .run = run_sequence_insert },
        { .name = "SequenceErase", .since = 11, .run = run_sequence_erase },
        { .name = "SequenceLength", .since = 11, .run = run_sequence_length },
        { .name = "SplitToSequence", .since = 11, .run = run_split_to_sequence },
        { .name = "ConcatFromSequence", .since = 11, .run = run_concat_from_sequence },
    };
    return KOE_OP_TABLE(table);
}
