/* pass_repeat.c - slices repeated by their counts: what PyTorch's exporter writes for repeat_interleave with a tensor of counts. The Loop
 * runs once for each slice; Kokoro gives each token its frames in this way.
 *
 *     values ─► SplitToSequence(1, 1, ...) ─► SequenceAt ─► Unsqueeze ─► Expand ─► Reshape ─► SequenceInsert │ Loop ─► ConcatFromSequence ─►
 *     counts ─► SplitToSequence(1, 1, ...) ─► SequenceAt ─► Concat(dimensions) ──┘                           │
 *
 *     values, counts ─► RepeatInterleave(axis) ─►
 *
 * A count of -1, which the exporter's Where between Concat and Expand would take for 1, is an error afterwards, as in PyTorch. */
#include "graph/pass.h"

enum { SLICES_MAX = 1 << 16 }; /* of a list of sizes that is a constant: many loops may read the same one */

/* The loop, and what it repeats. */
typedef struct repeat {
    const koe_pass *p;
    const koe_plan *body;
    const koe_node *value, *count; /* SequenceAt, in the body */
    const koe_node *values, *counts; /* SplitToSequence */
    koe_shape shape; /* of the values */
    int axis;
} repeat;

/* The node of the body that computes `slot`, if it is an `op`. */
static const koe_node *in_body(const koe_plan *body, int slot, const char *op)
{
    for (int i = 0; slot >= 0 && i < body->n_node; i++)
        if (body->node[i]->out[0] == slot) return koe_pass_is_op(body->node[i], "", op) ? body->node[i] : NULL;
    return NULL;
}

static bool is_axis(koe_dim d, int axis, int n_dim) { return koe_dim_is(d, axis) || koe_dim_is(d, axis - n_dim); }

/* One number or more, and all of them x. */
static bool all_are(const koe_values *v, int64_t x)
{
    for (int i = 0; i < v->n; i++)
        if (!koe_dim_is(v->v[i], x)) return false;
    return v->n > 0;
}

static bool is_number(const koe_pass *p, int slot, int64_t x)
{
    koe_values v;
    return koe_values_of(p->shapes, slot, &v) && v.n == 1 && all_are(&v, x);
}

/* Is the node a ConstantOfShape of int64 numbers x? */
static bool fills_with(const koe_node *fill, int64_t x)
{
    const koe_onnx_attr *value = fill ? koe_node_attr(fill, "value") : NULL;
    int64_t v;
    if (!value || !value->t || value->t->dtype != KOE_DTYPE_I64 || koe_tensor_count(value->t) != 1) return false;
    memcpy(&v, value->t->data, sizeof v);
    return v == x;
}

/* The sizes that SplitToSequence cuts `counts`, of one dimension, into: a list of ones? */
static bool is_ones(const koe_pass *p, int slot, int counts)
{
    const koe_tensor *t = koe_pass_constant(p, slot);
    if (!t) {
        const koe_node *fill = koe_pass_producer(p, slot, "ConstantOfShape"), *shape = fill ? koe_pass_producer(p, fill->in[0], "Shape") : NULL;
        koe_shape known;
        const bool as_counts = shape && shape->in[0] == counts && shape->n_attr == 0;
        return fills_with(fill, 1) && (as_counts || (koe_shape_of(p->shapes, slot, &known) && known.n_dim == 1));
    }
    bool ones = t->dtype == KOE_DTYPE_I64 && t->n_dim == 1 && t->dim[0] <= SLICES_MAX;
    for (size_t i = 0; ones && i < koe_tensor_count(t); i++) {
        int64_t v;
        memcpy(&v, (const char *)t->data + i * sizeof v, sizeof v);
        ones = v == 1;
    }
    return ones;
}

/* Both cut into single slices, as many of the one as of the other? The counts have one dimension, or joining them with others fails. */
static bool read_splits(repeat *r)
{
    r->values = koe_pass_inner(r->p, r->value->in[0], "SplitToSequence");
    r->counts = koe_pass_inner(r->p, r->count->in[0], "SplitToSequence");
    return r->values && r->counts && r->values->in[1] == r->counts->in[1] && is_ones(r->p, r->counts->in[1], r->counts->in[0]) &&
           is_axis(koe_number(koe_node_int(r->counts, "axis", 0)), 0, 1);
}

/* Starting with an empty list, without an end before the count: one round for each slice. */
static bool runs_over_all(const repeat *r, const koe_node *loop)
{
    const koe_pass *p = r->p;
    const koe_value *list = &p->s->slot[loop->in[2]].constant;
    koe_values rounds;
    const bool empty = list->kind == KOE_VALUE_SEQUENCE ? list->n_item == 0 : koe_pass_producer(p, loop->in[2], "SequenceEmpty") != NULL;
    return empty && koe_values_of(p->shapes, loop->in[0], &rounds) && rounds.n == 1 && koe_dim_same(rounds.v[0], r->shape.dim[r->axis]) &&
           (loop->in[1] < 0 || is_number(p, loop->in[1], true)) && is_number(p, r->body->out[0], true);
}

static bool same_length(const repeat *r, const koe_node *like, int slot)
{
    const koe_node *shape = like ? in_body(r->body, like->in[0], "Shape") : NULL;
    return shape && shape->in[0] == slot && shape->n_attr == 0;
}

/* Numbers x, as many as `slot` has, or one that broadcasts. */
static bool is_filled(const repeat *r, int filled, int64_t x, int slot)
{
    const koe_node *fill = in_body(r->body, filled, "ConstantOfShape"), *mul = in_body(r->body, filled, "Mul");
    if (fill) return fills_with(fill, x) && same_length(r, fill, slot);
    for (int i = 0; mul && i < 2; i++)
        if (is_number(r->p, mul->in[i], x)) {
            fill = in_body(r->body, mul->in[1 - i], "ConstantOfShape");
            return fill && fills_with(fill, 1) && same_length(r, fill, slot);
        }
    koe_values v;
    return koe_values_of(r->p->shapes, filled, &v) && v.n_dim <= 1 && all_are(&v, x) && (v.n == 1 || v.n == r->shape.n_dim + 1);
}

/* Where(dim == -1, 1, dim): the slot of `dim`, or `slot` itself when it is no such node. */
static int unguard(const repeat *r, int slot, bool *guarded)
{
    const koe_node *where = in_body(r->body, slot, "Where"), *equal = where ? in_body(r->body, where->in[0], "Equal") : NULL;
    *guarded = false;
    if (!equal || !is_filled(r, where->in[1], 1, where->in[2])) return slot;
    const int dims = where->in[2], other = equal->in[0] == dims ? equal->in[1] : equal->in[0];
    if ((equal->in[0] != dims && equal->in[1] != dims) || !is_filled(r, other, -1, dims)) return slot;
    *guarded = true;
    return dims;
}

/* Concat(dimensions, count, dimensions): does Expand to it repeat the slice [.., 1, 1, ..] along its new dimension only? */
static bool expands_by_count(repeat *r, int slot)
{
    bool guarded;
    const int n = r->shape.n_dim + 1;
    int at = 0;
    const koe_node *concat = in_body(r->body, unguard(r, slot, &guarded), "Concat");
    if (!concat) return false;
    for (int i = 0; i < concat->n_in; i++) {
        koe_values v;
        if (!r->count && at == r->axis + 1) {
            if ((r->count = in_body(r->body, concat->in[i], "SequenceAt")) == NULL) return false;
            at++;
            continue;
        }
        if (!koe_values_of(r->p->shapes, concat->in[i], &v) || at + v.n > n) return false;
        for (int k = 0; k < v.n; k++, at++) {
            const koe_dim own = at < r->axis ? r->shape.dim[at] : at == r->axis ? koe_number(1) : r->shape.dim[at - 1];
            if (at == r->axis + 1) return false;
            if (!koe_dim_is(v.v[k], 1) && !(guarded && koe_dim_is(v.v[k], -1)) && !koe_dim_same(v.v[k], own)) return false;
        }
    }
    return r->count && at == n;
}

/* Does Reshape join the two dimensions again? */
static bool joins(const repeat *r, const koe_node *reshape)
{
    koe_values to;
    if (!koe_values_of(r->p->shapes, reshape->in[1], &to) || to.n != r->shape.n_dim) return false;
    for (int i = 0; i < to.n; i++) {
        const bool copies = i < r->axis && koe_dim_is(to.v[i], 0) && !koe_node_int(reshape, "allowzero", 0);
        const bool same = !to.v[i].symbol && to.v[i].v > 0 && koe_dim_same(to.v[i], r->shape.dim[i]);
        if (i == r->axis ? !koe_dim_is(to.v[i], -1) : !copies && !same) return false;
    }
    return true;
}

static bool unsqueezes(const repeat *r, const koe_node *unsqueeze)
{
    const int64_t *list;
    koe_values axes;
    if (unsqueeze->in[1] >= 0) return koe_values_of(r->p->shapes, unsqueeze->in[1], &axes) && axes.n == 1 && is_axis(axes.v[0], r->axis + 1, r->shape.n_dim + 1);
    return koe_node_ints(unsqueeze, "axes", &list) == 1 && is_axis(koe_number(list[0]), r->axis + 1, r->shape.n_dim + 1);
}

/* The slices that the loop repeats, their axis and shape. */
static bool read_values(repeat *r)
{
    const koe_node *split = koe_pass_producer(r->p, r->value->in[0], "SplitToSequence");
    if (!split || !koe_shape_of(r->p->shapes, split->in[0], &r->shape) || r->shape.n_dim >= KOE_MAX_DIM) return false;
    const int64_t given = koe_node_int(split, "axis", 0), axis = given < 0 ? given + r->shape.n_dim : given;
    r->axis = (int)axis;
    return axis >= 0 && axis < r->shape.n_dim;
}

static bool read_loop(repeat *r, const koe_node *loop)
{
    const koe_plan *body = r->body = loop->n_body == 1 ? loop->body[0] : NULL;
    if (!body || loop->n_in != 3 || loop->n_out != 1 || loop->in[2] < 0 || body->n_in != 3 || body->n_out != 2) return false;
    const koe_node *insert = in_body(body, body->out[1], "SequenceInsert");
    const koe_node *reshape = insert ? in_body(body, insert->in[1], "Reshape") : NULL;
    const koe_node *expand = reshape ? in_body(body, reshape->in[0], "Expand") : NULL;
    const koe_node *unsqueeze = expand ? in_body(body, expand->in[0], "Unsqueeze") : NULL;
    r->value = unsqueeze ? in_body(body, unsqueeze->in[0], "SequenceAt") : NULL;
    if (!r->value || insert->in[0] != body->in[2] || insert->in[2] >= 0 || !read_values(r)) return false;
    if (!unsqueezes(r, unsqueeze) || !expands_by_count(r, expand->in[1]) || !joins(r, reshape) || !read_splits(r)) return false;
    return r->value->in[1] == body->in[0] && r->count->in[1] == body->in[0] && runs_over_all(r, loop);
}

static koe_status take(koe_pass *p, koe_node *concat, koe_error *err)
{
    const koe_node *loop = koe_pass_inner(p, concat->in[0], "Loop");
    repeat r = { .p = p };
    if (!loop || !read_loop(&r, loop) || koe_node_int(concat, "new_axis", 0)) return KOE_OK;
    if (!is_axis(koe_number(koe_node_int(concat, "axis", 0)), r.axis, r.shape.n_dim)) return KOE_OK;
    koe_status st = koe_pass_replace(p, concat, "RepeatInterleave", (int[]){ r.values->in[0], r.counts->in[0] }, 2, err);
    return st == KOE_OK ? koe_pass_set_int(p, concat, "axis", r.axis, err) : st;
}

koe_status koe_pass_repeat(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (koe_pass_is_op(p->plan->node[i], "", "ConcatFromSequence")) st = take(p, p->plan->node[i], err);
    return st;
}
