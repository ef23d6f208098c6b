/* pass_lstm.c - two recurrences over one input, one forwards and one backwards, side by side in the result: one recurrence with two directions,
 * which runs on two threads.
 *
 *     x ─┬► LSTM ──────────────────────────────────► Squeeze ─┐
 *        └► [reversed] ─► LSTM[(reverse)] ─► [reversed] ─► Squeeze ─┴► Concat ─►
 *     x ─► LSTM(bidirectional) ─► Transpose ─► Reshape ─►
 *
 * The second runs backwards by its direction, or between two reversals of time (Slice with step -1, ReverseSequence). Transposes may stand where
 * they like. The last states Y_h and Y_c may be joined in the same way, or be unread. GRU likewise. */
#include "graph/pass.h"

#include <stdlib.h>

enum { X, W, R, BIAS, LENGTHS, INITIAL_H, INITIAL_C, PEEPHOLES, N_IN };
enum { Y, Y_H, Y_C, N_OUT };
enum { WALK_MAX = 6, ATTR_MAX = 16 }; /* bounds the work on a hostile graph */

/* What a dimension is. */
typedef enum role { TIME, DIRECTION, ITEM, HIDDEN } role;

typedef struct axes {
    role at[4];
    int n;
} axes;

/* From an output of a recurrence to an operand of a Concat. */
typedef struct branch {
    const koe_node *rnn;
    int output; /* Y, Y_H or Y_C */
    axes axes; /* of the operand */
    bool reversed;
} branch;

/* Outputs that are joined: two nodes and the Concats of their outputs. */
typedef struct pair {
    const koe_node *forward, *backward;
    koe_node *concat[N_OUT];
    axes axes[N_OUT]; /* of the operands of each Concat */
    int at; /* place of the first Concat in the plan */
    bool broken; /* joined twice, or with others */
} pair;

/* ---- finding ------------------------------------------------------------------------------------------------------------- */

static bool is_rnn(const koe_node *n) { return koe_pass_is_op(n, "", "LSTM") || koe_pass_is_op(n, "", "GRU"); }

static bool batch_first(const koe_node *rnn) { return koe_node_int(rnn, "layout", 0) == 1; }

static axes axes_of(const koe_node *rnn, int output)
{
    static const axes plain = { { TIME, DIRECTION, ITEM, HIDDEN }, 4 }, turned = { { ITEM, TIME, DIRECTION, HIDDEN }, 4 };
    static const axes state = { { DIRECTION, ITEM, HIDDEN }, 3 }, turned_state = { { ITEM, DIRECTION, HIDDEN }, 3 };
    if (output == Y) return batch_first(rnn) ? turned : plain;
    return batch_first(rnn) ? turned_state : state;
}

static koe_node *producer(const koe_pass *p, int slot) { return slot >= 0 && slot < p->n_slot ? p->producer[slot] : NULL; }

/* One number, of an input or known ahead. */
static bool one_value(const koe_pass *p, int slot, int64_t *out)
{
    koe_values v;
    if (slot < 0 || !koe_values_of(p->shapes, slot, &v) || v.n != 1 || v.v[0].symbol) return false;
    *out = v.v[0].v;
    return true;
}

/* The same lengths, but for their type. */
static int uncast(const koe_pass *p, int slot)
{
    for (int i = 0; i < 4; i++) {
        const koe_node *cast = koe_pass_producer(p, slot, "Cast");
        const int64_t to = cast ? koe_node_int(cast, "to", 0) : 0;
        if (to != KOE_DTYPE_I32 && to != KOE_DTYPE_I64) break;
        slot = cast->in[0];
    }
    return slot;
}

static bool same_lengths(const koe_pass *p, int a, int b)
{
    koe_values x, y;
    if (a < 0 || b < 0 || uncast(p, a) == uncast(p, b)) return (a < 0) == (b < 0);
    if (!koe_values_of(p->shapes, a, &x) || !koe_values_of(p->shapes, b, &y) || x.n != y.n) return false;
    for (int i = 0; i < x.n; i++)
        if (!koe_dim_same(x.v[i], y.v[i])) return false;
    return true;
}

/* Is every element, of a list or of one number repeated, this one? */
static bool all_are(const koe_pass *p, int slot, koe_dim x)
{
    koe_values v;
    const int plain = uncast(p, slot);
    const koe_node *repeat = koe_pass_producer(p, plain, "Expand");
    if (!repeat) repeat = koe_pass_producer(p, plain, "Tile");
    if (repeat && koe_values_of(p->shapes, repeat->in[0], &v) && v.n == 1) return koe_dim_same(v.v[0], x);
    if (!koe_values_of(p->shapes, slot, &v) || v.n == 0) return false;
    for (int i = 0; i < v.n; i++)
        if (!koe_dim_same(v.v[i], x)) return false;
    return true;
}

/* Does the node reverse dimension `time` of its input, for each item as far as the recurrence looks? `rank`: number of dimensions. */
static bool reverses(const koe_pass *p, const koe_node *n, int time, int item, int rank, const koe_node *rnn)
{
    enum { FAR = 1 << 30 };
    int64_t from, to, on, step;
    koe_shape x;
    if (koe_pass_is_op(n, "", "Slice")) {
        if (rnn->in[LENGTHS] >= 0 || !one_value(p, n->in[1], &from) || !one_value(p, n->in[2], &to) || !one_value(p, n->in[3], &on)) return false;
        return one_value(p, n->in[4], &step) && step == -1 && (on == time || on == time - rank) && (from == -1 || from >= FAR) && to <= -FAR;
    }
    if (!koe_pass_is_op(n, "", "ReverseSequence")) return false;
    if (koe_node_int(n, "time_axis", 0) != time || koe_node_int(n, "batch_axis", 1) != item) return false;
    if (rnn->in[LENGTHS] >= 0) return same_lengths(p, rnn->in[LENGTHS], n->in[1]);
    return koe_shape_of(p->shapes, n->in[0], &x) && x.n_dim == rank && all_are(p, n->in[1], x.dim[time]);
}

static int find_axis(const axes *a, role which)
{
    for (int i = 0; i < a->n; i++)
        if (a->at[i] == which) return i;
    return -1;
}

static bool drop_direction(axes *a)
{
    const int at = find_axis(a, DIRECTION);
    if (at < 0) return false;
    a->n--;
    for (int i = at; i < a->n; i++) a->at[i] = a->at[i + 1];
    return true;
}

static bool apply_squeeze(const koe_pass *p, const koe_node *n, axes *a)
{
    const int64_t *list;
    int64_t on = 0;
    const int at = find_axis(a, DIRECTION);
    if (koe_node_ints(n, "axes", &list) == 1) on = list[0];
    else if (!one_value(p, n->in[1], &on)) return false;
    return (on == at || on == at - a->n) && drop_direction(a);
}

static bool apply_transpose(const koe_node *n, axes *a)
{
    const int64_t *perm;
    const axes was = *a;
    if (koe_node_ints(n, "perm", &perm) != (size_t)a->n) return false;
    for (int i = 0; i < a->n; i++) {
        if (perm[i] < 0 || perm[i] >= a->n) return false;
        a->at[i] = was.at[perm[i]];
    }
    return true;
}

/* A Reshape that only drops the direction. */
static bool apply_reshape(const koe_pass *p, const koe_node *n, axes *a)
{
    koe_shape x, y;
    const int at = find_axis(a, DIRECTION);
    if (at < 0 || !koe_shape_of(p->shapes, n->in[0], &x) || !koe_shape_of(p->shapes, n->out[0], &y) || x.n_dim != a->n || y.n_dim != a->n - 1) return false;
    for (int i = 0; i < y.n_dim; i++)
        if (!koe_dim_same(y.dim[i], x.dim[i < at ? i : i + 1])) return false;
    return drop_direction(a);
}

/* From an operand of a Concat up to a recurrence, through what nobody else reads. */
static bool find_branch(const koe_pass *p, int slot, branch *b)
{
    const koe_node *path[WALK_MAX];
    int n_path = 0;
    for (;; n_path++) {
        const koe_node *n = producer(p, slot);
        if (!n || p->n_reads[slot] != 1) return false;
        b->rnn = n;
        if (is_rnn(n)) break;
        if (n_path == WALK_MAX || n->n_in == 0) return false;
        path[n_path] = n;
        slot = n->in[0];
    }
    for (b->output = 0; b->output < b->rnn->n_out && b->rnn->out[b->output] != slot;) b->output++;
    b->axes = axes_of(b->rnn, b->output);
    b->reversed = false;
    while (n_path-- > 0) {
        const koe_node *n = path[n_path];
        const int time = find_axis(&b->axes, TIME), item = find_axis(&b->axes, ITEM);
        bool fits;
        if (koe_pass_is_op(n, "", "Squeeze")) fits = apply_squeeze(p, n, &b->axes);
        else if (koe_pass_is_op(n, "", "Transpose")) fits = apply_transpose(n, &b->axes);
        else if (koe_pass_is_op(n, "", "Reshape")) fits = apply_reshape(p, n, &b->axes);
        else {
            fits = time >= 0 && !b->reversed && reverses(p, n, time, item, b->axes.n, b->rnn);
            b->reversed = true;
        }
        if (!fits) return false;
    }
    return true;
}

static bool is_direction(const koe_node *n, const char *x) { return koe_str_is(koe_node_str(n, "direction", "forward"), x); }

/* Attribute that says the direction, or the functions, which have_defaults() looks at. */
static bool is_special(const koe_onnx_attr *a) { return koe_str_is(a->name, "direction") || koe_str_is(a->name, "activations"); }

/* The activations that the operator has when it names none. */
static bool have_defaults(const koe_node *n)
{
    static const char *const lstm[] = { "Sigmoid", "Tanh", "Tanh" };
    const koe_onnx_attr *a = koe_node_attr(n, "activations");
    if (koe_node_attr(n, "activation_alpha") || koe_node_attr(n, "activation_beta")) return false;
    if (a && (a->type != KOE_ATTR_STRINGS || a->n != (koe_str_is(n->op_type, "LSTM") ? 3 : 2))) return false;
    for (size_t i = 0; a && i < a->n; i++)
        if (!koe_str_is(a->strings[i], lstm[i])) return false;
    return true;
}

/* Is x of `backward` that of `forward`, reversed in time? Both may be transposed alike behind the reversal. */
static bool reads_reversed(const koe_pass *p, const koe_node *forward, const koe_node *backward)
{
    const int64_t *perm, *other;
    int time = batch_first(forward) ? 1 : 0, item = 1 - time;
    const koe_node *n = producer(p, backward->in[X]), *plain;
    if (!n) return false;
    if (!koe_pass_is_op(n, "", "Transpose")) return n->in[0] == forward->in[X] && reverses(p, n, time, item, 3, backward);
    plain = koe_pass_producer(p, forward->in[X], "Transpose");
    if (!plain || koe_node_ints(n, "perm", &perm) != 3 || koe_node_ints(plain, "perm", &other) != 3 || memcmp(perm, other, 3 * sizeof *perm) != 0) return false;
    time = (int)perm[time];
    item = (int)perm[item];
    n = producer(p, n->in[0]);
    return n && n->n_in && n->in[0] == plain->in[0] && reverses(p, n, time, item, 3, backward);
}

/* May both be one, the first forwards and the second backwards? */
static bool fit(const koe_pass *p, const branch *f, const branch *b)
{
    const koe_node *m = f->rnn, *n = b->rnn;
    size_t n_same[2] = { 0, 0 };
    if (m == n || f->output != b->output || !koe_str_eq(m->op_type, n->op_type) || m->opset != n->opset || f->reversed || !is_direction(m, "forward"))
        return false;
    if (f->axes.n != b->axes.n || memcmp(f->axes.at, b->axes.at, (size_t)f->axes.n * sizeof *f->axes.at) != 0) return false;
    for (int i = W; i < N_IN; i++)
        if ((m->in[i] < 0) != (n->in[i] < 0) || m->n_in > N_IN || n->n_in > N_IN) return false;
    if (!same_lengths(p, m->in[LENGTHS], n->in[LENGTHS])) return false;
    if (m->n_attr > ATTR_MAX || n->n_attr > ATTR_MAX || !have_defaults(m) || !have_defaults(n)) return false;
    for (size_t i = 0; i < m->n_attr; i++) {
        const koe_onnx_attr *other = NULL;
        if (is_special(&m->attr[i])) continue;
        for (size_t k = 0; k < n->n_attr; k++)
            if (koe_str_eq(n->attr[k].name, m->attr[i].name)) other = &n->attr[k];
        if (!other || !koe_same_attr(&m->attr[i], other)) return false;
        n_same[0]++;
    }
    for (size_t k = 0; k < n->n_attr; k++) n_same[1] += !is_special(&n->attr[k]);
    if (n_same[0] != n_same[1]) return false;
    koe_shape r, s;
    if (!koe_shape_of(p->shapes, m->in[R], &r) || !koe_shape_of(p->shapes, n->in[R], &s) || r.n_dim != 3 || s.n_dim != 3 || r.dim[2].symbol ||
        !koe_dim_same(r.dim[2], s.dim[2]))
        return false;
    if (is_direction(n, "reverse")) return m->in[X] == n->in[X] && !b->reversed;
    return is_direction(n, "forward") && b->reversed == (b->output == Y) && reads_reversed(p, m, n);
}

/* ---- replacing ----------------------------------------------------------------------------------------------------------- */

typedef struct builder {
    koe_pass *p;
    koe_fold fold;
    bool folds; /* `fold` is ready */
    koe_node **list; /* the plan as it will be */
    int n;
} builder;

/* A node of the default domain with n_out new outputs; NULL when out of memory. */
static koe_node *new_node(koe_pass *p, const char *op, int64_t opset, const int *in, int n_in, int n_out)
{
    koe_node *node = koe_arena_alloc(&p->s->arena, sizeof *node);
    int *from = koe_graph_slots(p->s, (size_t)n_in), *to = koe_graph_slots(p->s, (size_t)n_out);
    if (!node || !from || !to) return NULL;
    memcpy(from, in, (size_t)n_in * sizeof *from);
    for (int i = 0; i < n_out; i++) {
        to[i] = koe_graph_add_slot(p->s, KOE_STR(""), p->plan->id);
        if (to[i] < 0) return NULL;
    }
    *node = (koe_node){ .op = koe_op_find(KOE_STR(""), koe_str_of(op), opset), .op_type = koe_str_of(op), .opset = opset, .n_in = n_in, .n_out = n_out,
                        .in = from, .out = to, .id = p->s->n_node++ };
    if (n_in > p->s->n_in_max) p->s->n_in_max = n_in;
    if (n_out > p->s->n_out_max) p->s->n_out_max = n_out;
    return node;
}

/* Both inputs one behind the other along `axis`: ahead when they are constant. */
static koe_status join(builder *b, int first, int second, int64_t axis, int *out, koe_error *err)
{
    koe_session *s = b->p->s;
    koe_node *node = new_node(b->p, "Concat", 13, (int[]){ first, second }, 2, 1);
    koe_status st = node ? koe_pass_set_int(b->p, node, "axis", axis, err) : koe_fail(err, KOE_E_NOMEM, "a recurrence");
    if (st != KOE_OK) return st;
    *out = node->out[0];
    if (koe_pass_foldable(s, node)) {
        if (!b->folds) st = koe_fold_init(&b->fold, s, err);
        b->folds = true;
        if (st == KOE_OK) st = koe_fold_node(&b->fold, node, err);
        if (st != KOE_E_LIMIT && st != KOE_E_NOMEM) return st;
    }
    b->list[b->n++] = node;
    return KOE_OK;
}

/* Puts the recurrence of two directions into the plan. */
static koe_status add_rnn(builder *b, const pair *q, koe_node **out, koe_error *err)
{
    koe_pass *p = b->p;
    const koe_node *m = q->forward, *n = q->backward;
    int in[N_IN] = { m->in[X] };
    koe_status st = KOE_OK;
    for (int i = W; i < N_IN && st == KOE_OK; i++) {
        in[i] = i == LENGTHS ? m->in[i] : -1;
        if (i != LENGTHS && m->in[i] >= 0) st = join(b, m->in[i], n->in[i], batch_first(m) && (i == INITIAL_H || i == INITIAL_C), &in[i], err);
    }
    if (st != KOE_OK) return st;
    const int n_in = m->n_in > n->n_in ? m->n_in : n->n_in;
    koe_node *node = new_node(p, koe_str_is(m->op_type, "LSTM") ? "LSTM" : "GRU", m->opset, in, n_in, koe_str_is(m->op_type, "LSTM") ? 3 : 2);
    koe_onnx_attr *attr = koe_arena_array(&p->s->arena, m->n_attr + 1, sizeof *attr);
    if (!node || !attr) return koe_fail(err, KOE_E_NOMEM, "a recurrence");
    node->name = m->name;
    node->attr = attr;
    for (size_t i = 0; i < m->n_attr; i++)
        if (!is_special(&m->attr[i])) attr[node->n_attr++] = m->attr[i];
    attr[node->n_attr++] = (koe_onnx_attr){ .name = KOE_STR("direction"), .type = KOE_ATTR_STRING, .s = KOE_STR("bidirectional") };
    b->list[b->n++] = *out = node;
    return KOE_OK;
}

/* A constant list. */
static int list_slot(koe_pass *p, const int64_t *v, int n)
{
    int64_t *data = koe_arena_array(&p->s->arena, (size_t)n, sizeof *data);
    const int slot = koe_graph_add_slot(p->s, KOE_STR(""), p->plan->id);
    if (!data || slot < 0) return -1;
    memcpy(data, v, (size_t)n * sizeof *data);
    p->s->slot[slot].constant = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = { KOE_DTYPE_I64, 1, { n }, data } };
    return slot;
}

/* The Concat computes its output as `node` would. */
static void become(koe_node *concat, const koe_node *node)
{
    const koe_node was = *concat;
    *concat = *node;
    concat->name = was.name;
    concat->id = was.id;
    concat->out = was.out;
}

/* The Concat of output k becomes a Transpose of rnn's, and a Reshape when it joined the features. */
static koe_status arrange(builder *b, const pair *q, int k, const koe_node *rnn, int64_t hidden, koe_error *err)
{
    koe_pass *p = b->p;
    const axes from = axes_of(q->forward, k), *given = &q->axes[k];
    int64_t perm[4], shape[4] = { 0, 0, 0, 0 };
    int n = 0;
    for (int i = 0; i < given->n; i++) {
        if (given->n < from.n && given->at[i] == HIDDEN) perm[n++] = find_axis(&from, DIRECTION);
        perm[n++] = find_axis(&from, given->at[i]);
    }
    koe_node *turn = new_node(p, "Transpose", 13, &rnn->out[k], 1, 1);
    koe_status st = turn ? koe_pass_set_ints(p, turn, "perm", perm, (size_t)n, err) : koe_fail(err, KOE_E_NOMEM, "a recurrence");
    if (st != KOE_OK) return st;
    if (given->n == from.n) {
        become(q->concat[k], turn);
        return KOE_OK;
    }
    shape[given->n - 1] = 2 * hidden;
    const int to = list_slot(p, shape, given->n);
    koe_node *flat = to < 0 ? NULL : new_node(p, "Reshape", 13, (int[]){ turn->out[0], to }, 2, 1);
    if (!flat) return koe_fail(err, KOE_E_NOMEM, "a recurrence");
    b->list[b->n++] = turn;
    become(q->concat[k], flat);
    return KOE_OK;
}

/* Are all outputs of both joined here, as far as they are read? */
static bool complete(const koe_pass *p, const pair *q)
{
    for (int k = 0; k < N_OUT; k++) {
        const int reads = (q->forward->out[k] >= 0 ? p->n_reads[q->forward->out[k]] : 0) + (q->backward->out[k] >= 0 ? p->n_reads[q->backward->out[k]] : 0);
        if (!q->concat[k] && reads) return false;
    }
    return !q->broken;
}

static koe_status replace(builder *b, const pair *q, koe_error *err)
{
    koe_shape r;
    koe_node *rnn = NULL;
    koe_shape_of(b->p->shapes, q->forward->in[R], &r);
    koe_status st = add_rnn(b, q, &rnn, err);
    for (int k = 0; k < N_OUT && st == KOE_OK; k++)
        if (q->concat[k]) st = arrange(b, q, k, rnn, r.dim[2].v, err);
    if (st == KOE_OK) b->p->n_done++;
    return st;
}

/* Notes the pair whose outputs a Concat joins. of: [n_slot] number of the pair that an output belongs to, from 1. */
static void note(const koe_pass *p, koe_node *concat, int at, pair *list, int *n, int *of)
{
    branch f, b;
    if (concat->n_in != 2 || !find_branch(p, concat->in[0], &f) || !find_branch(p, concat->in[1], &b) || !fit(p, &f, &b)) return;
    const int64_t axis = koe_node_int(concat, "axis", 0), on = axis < 0 ? axis + f.axes.n : axis;
    const int whole = axes_of(f.rnn, f.output).n;
    if (on < 0 || on >= f.axes.n || (f.axes.n == whole ? f.axes.at[on] != DIRECTION : f.axes.at[on] != HIDDEN || on != f.axes.n - 1)) return;
    int *mine = NULL, *other = NULL; /* what each belongs to: noted at its first output that there is */
    for (int k = N_OUT - 1; k >= 0; k--) {
        if (f.rnn->out[k] >= 0) mine = &of[f.rnn->out[k]];
        if (b.rnn->out[k] >= 0) other = &of[b.rnn->out[k]];
    }
    if (*mine != *other || (*mine && list[*mine - 1].concat[f.output])) {
        if (*mine) list[*mine - 1].broken = true;
        if (*other) list[*other - 1].broken = true;
        return;
    }
    if (!*mine) {
        list[*n] = (pair){ .forward = f.rnn, .backward = b.rnn, .at = at };
        *mine = *other = ++*n;
    }
    pair *q = &list[*mine - 1];
    q->concat[f.output] = concat;
    q->axes[f.output] = f.axes;
}

koe_status koe_pass_lstm(koe_pass *p, koe_error *err)
{
    enum { NEW_MAX = 12 }; /* nodes of a pair: six joined inputs, itself, three transposes */
    const koe_plan *was = p->plan;
    int n_pair = 0, n_concat = 0;
    for (int i = 0; i < was->n_node; i++) n_concat += koe_pass_is_op(was->node[i], "", "Concat");
    pair *list = calloc((size_t)n_concat + 1, sizeof *list);
    int *of = calloc((size_t)p->n_slot + 1, sizeof *of);
    builder b = { .p = p };
    koe_status st = list && of ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "recurrences");
    for (int i = 0; i < was->n_node && st == KOE_OK; i++)
        if (koe_pass_is_op(was->node[i], "", "Concat")) note(p, was->node[i], i, list, &n_pair, of);
    if (st == KOE_OK && n_pair) {
        b.list = koe_arena_array(&p->s->arena, (size_t)was->n_node + NEW_MAX * (size_t)n_pair, sizeof *b.list);
        if (!b.list) st = koe_fail(err, KOE_E_NOMEM, "recurrences");
        for (int i = 0, next = 0; i < was->n_node && st == KOE_OK; i++) {
            if (next < n_pair && list[next].at == i && complete(p, &list[next])) st = replace(&b, &list[next], err);
            if (next < n_pair && list[next].at == i) next++;
            b.list[b.n++] = was->node[i];
        }
        if (st == KOE_OK) {
            p->plan->node = b.list;
            p->plan->n_node = p->plan->cap_node = b.n;
        }
    }
    if (b.folds) koe_fold_deinit(&b.fold);
    free(list);
    free(of);
    return st;
}
