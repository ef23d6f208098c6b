/* pass_shape.c - exporters compute shapes as the graph runs, though most of their numbers are known ahead:
 *
 *     x [1, T, 768] ─► Shape ─► Gather(0) ─► Unsqueeze ─┐
 *                  └─► Shape ─► Gather(1) ─► Unsqueeze ─┴► Concat(.., 12, 64) ─► Reshape(x)        Reshape(x, [1, -1, 12, 64])
 *
 * - A tensor all of whose numbers are known becomes a constant, and with it everything that is computed from constants only.
 * - One whose numbers are those of an earlier tensor, known or not, is read from there: the same T in every layer.
 * - A Reshape with one unknown number infers it, or copies it from x where it is x's own.
 * - A Reshape, Expand or Identity that changes nothing, and an If whose condition is known, go. */
#include <stdlib.h>

#include "graph/pass.h"
#include "graph/shape.h"

typedef struct walk {
    koe_session *s;
    koe_shapes *shapes;
    koe_fold fold;
    int *same; /* [n_slot]: the slot to read instead */
    bool *fixed; /* [n_slot]: its own node must compute it: a tap, or an output of a graph */
    int n_slot; /* of the two */
    int *bucket, *next; /* hash of slots by their values: [1 << N_BITS], [n_slot] */
    int n_done;
} walk;

enum { N_BITS = 12, CHAIN_MAX = 16 };

static bool is_op(const koe_node *n, const char *op) { return n->domain.n == 0 && koe_str_is(n->op_type, op); }

/* ---- the plan that is being rebuilt ----------------------------------------------------------------------------------------- */

typedef struct node_list {
    koe_node **node;
    int n, cap;
} node_list;

static koe_status append(walk *w, node_list *list, koe_node *node, koe_error *err)
{
    if (list->n == list->cap) {
        const int cap = list->cap ? list->cap * 2 : 64;
        koe_node **more = koe_arena_array(&w->s->arena, (size_t)cap, sizeof *more);
        if (!more) return koe_fail(err, KOE_E_NOMEM, "passes");
        if (list->n) memcpy(more, list->node, (size_t)list->n * sizeof *more);
        list->node = more;
        list->cap = cap;
    }
    list->node[list->n++] = node;
    return KOE_OK;
}

static int resolve(const walk *w, int slot) { return slot >= 0 && slot < w->n_slot ? w->same[slot] : slot; }

/* `slot` is not computed any more: its readers, all of them later, read `other`. False when it must be computed. */
static bool read_instead(walk *w, int slot, int other)
{
    if (slot < 0 || slot >= w->n_slot || w->fixed[slot] || other < 0) return false;
    w->same[slot] = resolve(w, other);
    return true;
}

/* ---- values -------------------------------------------------------------------------------------------------------------- */

static bool all_numbers(const koe_values *v)
{
    for (int i = 0; i < v->n; i++)
        if (v->v[i].symbol) return false;
    return true;
}

static koe_status make_constant(walk *w, int slot, const koe_values *v, koe_error *err)
{
    const size_t size = koe_dtype_size(v->dtype);
    koe_value *c = &w->s->slot[slot].constant;
    char *p = koe_arena_alloc(&w->s->arena, (size_t)v->n * size + 1);
    if (!p) return koe_fail(err, KOE_E_NOMEM, "a constant");
    *c = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = { .dtype = v->dtype, .n_dim = v->n_dim, .dim = { v->n }, .data = p } };
    for (int i = 0; i < v->n; i++) {
        const int64_t x = v->v[i].v;
        if (size == 8) ((int64_t *)(void *)p)[i] = x;
        else if (size == 4) ((int32_t *)(void *)p)[i] = (int32_t)x;
        else p[i] = x != 0;
    }
    return KOE_OK;
}

static unsigned hash(const koe_values *v, int plan)
{
    uint64_t h = (uint64_t)plan * 31 + (uint64_t)v->dtype * 7 + (uint64_t)v->n_dim;
    for (int i = 0; i < v->n; i++) h = (h ^ (uint64_t)v->v[i].v ^ (uint64_t)(int64_t)v->v[i].symbol << 20) * 0x9e3779b97f4a7c15u;
    return (unsigned)(h >> (64 - N_BITS));
}

static bool same_values(const koe_values *a, const koe_values *b)
{
    if (a->dtype != b->dtype || a->n_dim != b->n_dim || a->n != b->n) return false;
    for (int i = 0; i < a->n; i++)
        if (!koe_dim_same(a->v[i], b->v[i])) return false;
    return true;
}

/* An earlier slot of the same plan with these values, or -1; then `slot` is remembered for later ones. */
static int find_values(walk *w, int slot, const koe_values *v)
{
    const int plan = w->s->slot[slot].plan;
    int *first = &w->bucket[hash(v, plan)], looked = 0;
    for (int k = *first; k >= 0 && looked < CHAIN_MAX; k = w->next[k], looked++) {
        koe_values other;
        if (w->s->slot[k].plan == plan && koe_values_of(w->shapes, k, &other) && same_values(v, &other)) return k;
    }
    w->next[slot] = *first;
    *first = slot;
    return -1;
}

/* ---- one node ------------------------------------------------------------------------------------------------------------ */

/* The shape input of a Reshape as a constant with -1 for the number that is not known and 0 for those of x itself. */
static koe_status fix_reshape(walk *w, koe_node *node, koe_error *err)
{
    koe_values to;
    koe_shape x;
    if (!is_op(node, "Reshape") || node->n_in != 2 || !koe_values_of(w->shapes, node->in[1], &to)) return KOE_OK;
    if (to.dtype != KOE_DTYPE_I64 || to.n_dim != 1 || w->s->slot[node->in[1]].constant.kind != KOE_VALUE_NONE) return KOE_OK;
    const bool has_x = koe_shape_of(w->shapes, node->in[0], &x), zero_copies = koe_node_int(node, "allowzero", 0) == 0;
    bool inferred = false;
    for (int i = 0; i < to.n; i++) inferred |= koe_dim_is(to.v[i], -1);
    for (int i = 0; i < to.n; i++) {
        if (!to.v[i].symbol) continue;
        const bool copied = has_x && zero_copies && i < x.n_dim && koe_dim_same(to.v[i], x.dim[i]);
        if (!copied && (inferred || to.v[i].symbol < 0)) return KOE_OK;
        inferred |= !copied;
        to.v[i] = koe_number(copied ? 0 : -1);
    }
    const int slot = koe_graph_add_slot(w->s, KOE_STR(""), 0);
    int *in = koe_graph_slots(w->s, 2);
    if (slot < 0 || !in) return koe_fail(err, KOE_E_NOMEM, "passes");
    memcpy(in, (int[]){ node->in[0], slot }, 2 * sizeof *in);
    node->in = in;
    return make_constant(w, slot, &to, err);
}

/* Does the node hand on its first input as it is? */
static bool changes_nothing(const walk *w, const koe_node *node)
{
    koe_shape x, y;
    if (node->n_out != 1 || node->n_in < 1 || node->in[0] < 0 || node->out[0] < 0) return false;
    if (is_op(node, "Identity")) return true;
    if (!is_op(node, "Reshape") && !is_op(node, "Expand")) return false;
    if (!koe_shape_of(w->shapes, node->in[0], &x) || !koe_shape_of(w->shapes, node->out[0], &y) || x.n_dim != y.n_dim) return false;
    for (int i = 0; i < x.n_dim; i++)
        if (!koe_dim_same(x.dim[i], y.dim[i])) return false;
    return true;
}

static koe_status walk_nodes(walk *w, koe_node **node, int n, node_list *out, koe_error *err);

static koe_status walk_plan(walk *w, koe_plan *plan, koe_error *err)
{
    node_list out = { 0 };
    koe_status st = walk_nodes(w, plan->node, plan->n_node, &out, err);
    if (st != KOE_OK) return st;
    plan->node = out.node;
    plan->n_node = plan->cap_node = out.n;
    return KOE_OK;
}

/* The branch that an If with a constant condition takes; NULL: not known, or it cannot take the If's place. */
static koe_plan *known_branch(const walk *w, const koe_node *node)
{
    const koe_value *c = node->n_in == 1 && node->in[0] >= 0 ? &w->s->slot[node->in[0]].constant : NULL;
    if (!is_op(node, "If") || node->n_body != 2 || !c || c->kind != KOE_VALUE_TENSOR) return NULL;
    if (c->t.dtype != KOE_DTYPE_BOOL || koe_tensor_count(&c->t) != 1) return NULL;
    int k = 0;
    for (size_t i = 0; i < node->n_attr; i++) {
        if (node->attr[i].type != KOE_ATTR_GRAPH) continue;
        koe_plan *body = node->body[k++];
        if (!koe_str_is(node->attr[i].name, *(const uint8_t *)c->t.data ? "then_branch" : "else_branch")) continue;
        bool fits = body->n_in == 0 && body->n_out == node->n_out;
        for (int o = 0; fits && o < node->n_out; o++) fits = node->out[o] >= 0 && node->out[o] < w->n_slot && !w->fixed[node->out[o]];
        return fits ? body : NULL;
    }
    return NULL;
}

/* The nodes of a branch become nodes of the plan around it. Its outputs are values like others then. */
static koe_status take_branch(walk *w, const koe_node *node, koe_plan *body, node_list *out, koe_error *err)
{
    const int plan = w->s->slot[node->out[0]].plan;
    for (int i = 0; i < body->n_node; i++)
        for (int k = 0; k < body->node[i]->n_out; k++)
            if (body->node[i]->out[k] >= 0) w->s->slot[body->node[i]->out[k]].plan = plan;
    koe_status st = walk_nodes(w, body->node, body->n_node, out, err);
    for (int i = 0; i < node->n_out && st == KOE_OK; i++) read_instead(w, node->out[i], body->out[i]);
    w->n_done++;
    return st;
}

static koe_status walk_node(walk *w, koe_node *node, node_list *out, koe_error *err)
{
    koe_error why;
    koe_values v;
    int *in = koe_graph_slots(w->s, (size_t)node->n_in);
    if (!in && node->n_in) return koe_fail(err, KOE_E_NOMEM, "passes");
    for (int i = 0; i < node->n_in; i++) in[i] = resolve(w, node->in[i]);
    node->in = in;
    koe_plan *branch = known_branch(w, node);
    if (branch) return take_branch(w, node, branch, out, err);
    for (int k = 0; k < node->n_body; k++) {
        koe_status st = walk_plan(w, node->body[k], err);
        if (st != KOE_OK) return st;
    }
    bool tapped = false;
    for (int i = 0; i < node->n_out; i++) tapped |= node->out[i] >= 0 && w->s->slot[node->out[i]].tap >= 0;
    if (!tapped && koe_pass_foldable(w->s, node) && koe_fold_node(&w->fold, node, &why) == KOE_OK) {
        w->n_done++;
        return KOE_OK; /* a node that fails may still never run: it is kept */
    }
    koe_shapes_learn(w->shapes, node);
    koe_status st = fix_reshape(w, node, err);
    const int slot = node->n_out == 1 ? node->out[0] : -1;
    if (st == KOE_OK && slot >= 0 && !tapped && !node->n_body && koe_values_of(w->shapes, slot, &v)) {
        if (all_numbers(&v)) {
            w->n_done++;
            return make_constant(w, slot, &v, err);
        }
        if (read_instead(w, slot, find_values(w, slot, &v))) {
            w->n_done++;
            return KOE_OK;
        }
    }
    if (st == KOE_OK && changes_nothing(w, node) && read_instead(w, slot, node->in[0])) {
        w->n_done++;
        return KOE_OK;
    }
    return st == KOE_OK ? append(w, out, node, err) : st;
}

static koe_status walk_nodes(walk *w, koe_node **node, int n, node_list *out, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < n && st == KOE_OK; i++) st = walk_node(w, node[i], out, err);
    return st;
}

koe_status koe_pass_shape(koe_session *s, int *n_done, koe_error *err)
{
    walk w = { .s = s, .shapes = s->shapes, .n_slot = s->n_slot };
    const size_t n = (size_t)s->n_slot + 1;
    w.same = calloc(n, sizeof *w.same);
    w.fixed = calloc(n, sizeof *w.fixed);
    w.next = calloc(n, sizeof *w.next);
    w.bucket = calloc((size_t)1 << N_BITS, sizeof *w.bucket);
    koe_status st = w.same && w.fixed && w.next && w.bucket ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "passes");
    if (st == KOE_OK) st = koe_fold_init(&w.fold, s, err);
    if (st == KOE_OK) {
        for (int i = 0; i < s->n_slot; i++) {
            w.same[i] = i;
            w.fixed[i] = s->slot[i].tap >= 0;
        }
        for (int i = 0; i < 1 << N_BITS; i++) w.bucket[i] = -1;
        koe_pass_mark_outputs(w.fixed, s->plan);
        st = walk_plan(&w, s->plan, err);
    }
    s->shapes->learnt = true;
    *n_done += w.n_done;
    koe_fold_deinit(&w.fold);
    free(w.same);
    free(w.fixed);
    free(w.next);
    free(w.bucket);
    return st;
}
