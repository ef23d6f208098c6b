/* plan.c - the last steps before a graph can run: operators prepared, last readers found, so that memory is given back at once. */
#include "graph/internal.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Every slot that a subgraph reads, its own among them. */
static void plan_reads(const koe_plan *plan, void (*fn)(void *, int), void *arg)
{
    for (int i = 0; i < plan->n_node; i++) {
        const koe_node *node = plan->node[i];
        if (!node) continue;
        for (int k = 0; k < node->n_in; k++)
            if (node->in[k] >= 0) fn(arg, node->in[k]);
        for (int k = 0; k < node->n_body; k++) plan_reads(node->body[k], fn, arg);
    }
    for (int i = 0; i < plan->n_out; i++) fn(arg, plan->out[i]);
}

void koe_graph_reads(const koe_node *node, void (*fn)(void *arg, int slot), void *arg)
{
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k] >= 0) fn(arg, node->in[k]);
    for (int k = 0; k < node->n_body; k++) plan_reads(node->body[k], fn, arg);
}

/* ---- constants of a node ----------------------------------------------------------------------------------------------------- */

static bool is_aligned(const koe_tensor *t) { return (uintptr_t)t->data % koe_dtype_size(t->dtype) == 0; }

/* Moves the elements of *t to memory of the session, aligned. */
static koe_status align_constant(koe_session *s, koe_tensor *t, koe_error *err)
{
    size_t n = koe_tensor_bytes(t);
    void *p = koe_arena_alloc(&s->arena, n ? n : 1);
    if (!p) return koe_fail(err, KOE_E_NOMEM, "a constant of %zu bytes", n);
    memcpy(p, t->data, n);
    t->data = p;
    return KOE_OK;
}

koe_status koe_graph_widen(koe_session *s, int slot, koe_error *err)
{
    koe_tensor *t = &s->slot[slot].constant.t;
    float *f = koe_arena_array(&s->arena, koe_tensor_count(t) + 1, sizeof *f);
    if (!f) return koe_fail(err, KOE_E_NOMEM, "widened weights");
    koe_widen(f, t);
    t->data = f;
    t->dtype = KOE_DTYPE_F32;
    s->slot[slot].widens = false;
    return KOE_OK;
}

static bool in_file(const koe_session *s, const koe_tensor *t)
{
    const koe_mapping *f = &s->model->file;
    const uintptr_t p = (uintptr_t)t->data, map = (uintptr_t)f->p;
    return f->n && p >= map && p - map < f->n;
}

/* Input i as prepare() and run() may read it: aligned, and for an operator of the "widen" kind widened, once instead of at every run. */
static koe_status settle(koe_session *s, koe_node *node, int i, koe_error *err)
{
    enum { SMALL_BYTES = 16 * 1024 }; /* one read from the model file would bring in as much around it, for good */
    koe_tensor *t = &s->slot[node->in[i]].constant.t;
    koe_status st = s->slot[node->in[i]].widens ? koe_graph_widen(s, node->in[i], err) : KOE_OK;
    if (st != KOE_OK) return st;
    if (!is_aligned(t) || (koe_tensor_bytes(t) <= SMALL_BYTES && in_file(s, t))) st = align_constant(s, t, err);
    if (st != KOE_OK || !koe_dtype_is_half(t->dtype) || !(node->op->flags & KOE_OP_WIDEN_HALF)) {
        node->in_const[i] = t;
        return st;
    }
    size_t n = koe_tensor_count(t);
    koe_tensor *wide = koe_arena_alloc(&s->arena, sizeof *wide);
    float *f = koe_arena_array(&s->arena, n ? n : 1, sizeof *f);
    if (!wide || !f) return koe_fail(err, KOE_E_NOMEM, "widened weights");
    *wide = *t;
    wide->dtype = KOE_DTYPE_F32;
    wide->data = f;
    koe_widen(f, t);
    node->in_const[i] = wide;
    return KOE_OK;
}

/* Type and shape alone, until it is known whether the operator packs the input. */
static koe_status describe(koe_session *s, koe_node *node, int i, koe_error *err)
{
    koe_tensor *shape = koe_arena_alloc(&s->arena, sizeof *shape);
    if (!shape) return koe_fail(err, KOE_E_NOMEM, "node '%.*s'", KOE_STR_ARG(node->name));
    *shape = s->slot[node->in[i]].constant.t;
    shape->data = NULL;
    const bool widens = s->slot[node->in[i]].widens || (node->op->flags & KOE_OP_WIDEN_HALF);
    if (koe_dtype_is_half(shape->dtype) && widens) shape->dtype = KOE_DTYPE_F32;
    node->in_const[i] = shape;
    return KOE_OK;
}

const void *koe_node_data(koe_node *node, int i)
{
    koe_session *s = node->session;
    const koe_tensor *t = &s->slot[node->in[i]].constant.t, *want = node->in_const[i];
    if (want->data) return want->data;
    if (want->dtype == t->dtype && is_aligned(t)) return t->data;
    void *p = koe_weights_temp(s->weights, koe_tensor_bytes(want));
    if (p && want->dtype == t->dtype) memcpy(p, t->data, koe_tensor_bytes(t));
    else if (p) koe_widen(p, t);
    return p;
}

koe_status koe_node_pack(koe_node *node, int i, unsigned part, size_t n_bytes, void **out, bool *ready, koe_error *err)
{
    node->packed |= 1u << i;
    return koe_weights_get(node->session->weights, node->pack_id, part, n_bytes, out, ready, err);
}

/* ---- nodes that are the same --------------------------------------------------------------------------------------------- */

bool koe_same_attr(const koe_onnx_attr *a, const koe_onnx_attr *b)
{
    if (!koe_str_eq(a->name, b->name) || a->type != b->type || a->n != b->n || a->t != b->t || a->g != b->g) return false;
    if (a->type == KOE_ATTR_FLOAT && a->f != b->f) return false;
    if (a->type == KOE_ATTR_INT && a->i != b->i) return false;
    if (a->type == KOE_ATTR_STRING && !koe_str_eq(a->s, b->s)) return false;
    if (a->type == KOE_ATTR_FLOATS && memcmp(a->floats, b->floats, a->n * sizeof *a->floats) != 0) return false;
    if (a->type == KOE_ATTR_INTS && memcmp(a->ints, b->ints, a->n * sizeof *a->ints) != 0) return false;
    return a->type != KOE_ATTR_STRINGS;
}

static const void *constant_data(const koe_session *s, const koe_node *n, int i)
{
    const koe_value *v = n->in[i] >= 0 ? &s->slot[n->in[i]].constant : NULL;
    return v && v->kind == KOE_VALUE_TENSOR ? v->t.data : NULL;
}

static bool same_work(const koe_session *s, const koe_node *a, const koe_node *b)
{
    if (a->op != b->op || a->precision != b->precision || a->n_in != b->n_in || a->n_attr != b->n_attr) return false;
    for (int i = 0; i < a->n_in; i++)
        if (constant_data(s, a, i) != constant_data(s, b, i)) return false;
    for (size_t i = 0; i < a->n_attr; i++)
        if (!koe_same_attr(&a->attr[i], &b->attr[i])) return false;
    return true;
}

/* The pack_id of an earlier node with the same weight input and everything else, or the node's own. Networks that share layers
 * (ALBERT's twelve) share their tensors. */
static unsigned shared_id(const koe_session *s, const koe_node *node)
{
    enum { LOOK_BACK = 10000 }; /* nodes: bounds the work on a hostile model */
    for (size_t i = s->n_all, end = i > LOOK_BACK ? i - LOOK_BACK : 0; i-- > end;) {
        const koe_node *other = s->all[i];
        if (other->op == node->op && other != node && other->packed && same_work(s, node, other)) return other->pack_id;
    }
    return node->id;
}

/* What loading has read of the model file goes back to the system: little of it is read again. */
static void release_file(const koe_session *s)
{
    const koe_mapping *f = &s->model->file;
    if (f->n) madvise((void *)(uintptr_t)f->p, f->n, MADV_DONTNEED);
}

/* Weights that every reader has packed are not read again: their pages of the model file go back to the system, which would read them
 * again from the file should anything ask. */
static void release_pages(const koe_session *s, const koe_tensor *t)
{
    const koe_mapping *f = &s->model->file;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)t->data, map = (uintptr_t)f->p;
    const uintptr_t from = (first + page - 1) / page * page, to = (first + koe_tensor_bytes(t)) / page * page;
    if (from < to && map <= from && to <= map + f->n) madvise((void *)from, to - from, MADV_DONTNEED);
}

koe_status koe_graph_prepare(koe_session *s, koe_node *node, koe_error *err)
{
    if (!node->in_const) {
        node->in_const = koe_arena_array(&s->arena, (size_t)node->n_in, sizeof *node->in_const);
        if (!node->in_const) return koe_fail(err, KOE_E_NOMEM, "node '%.*s'", KOE_STR_ARG(node->name));
    }
    const bool packs = (node->op->flags & KOE_OP_PACKS) && node->n_in <= 32;
    koe_status st = KOE_OK;
    node->session = s;
    node->packed = 0;
    node->pack_id = packs ? shared_id(s, node) : node->id;
    for (int i = 0; i < node->n_in && st == KOE_OK; i++) {
        node->in_const[i] = NULL;
        if (node->in[i] >= 0 && s->slot[node->in[i]].constant.kind == KOE_VALUE_TENSOR)
            st = packs ? describe(s, node, i, err) : settle(s, node, i, err);
    }
    if (st == KOE_OK && node->op->prepare) st = node->op->prepare(node, &node->state, err);
    for (int i = 0; i < node->n_in && st == KOE_OK && packs; i++) {
        if (!node->in_const[i]) continue;
        if (!(node->packed & 1u << i)) st = settle(s, node, i, err);
        else if (s->n_reads && --s->n_reads[node->in[i]] == 0) release_pages(s, &s->slot[node->in[i]].constant.t);
    }
    koe_weights_end(s->weights);
    node->session = NULL;
    if (st != KOE_OK)
        return koe_error_wrap(err, st, "node '%.*s' (%.*s)", KOE_STR_ARG(node->name), KOE_STR_ARG(node->op_type));
    return KOE_OK;
}

void koe_graph_release(koe_node *node)
{
    if (node->state && node->op->release) node->op->release(node->state);
    node->state = NULL;
}

static koe_status prepare_all(koe_session *s, koe_plan *plan, koe_error *err)
{
    for (int i = 0; i < plan->n_node; i++) {
        koe_node *node = plan->node[i];
        if (s->n_all == s->cap_all) {
            size_t cap = s->cap_all ? s->cap_all * 2 : 1024;
            koe_node **all = realloc(s->all, cap * sizeof *all);
            if (!all) return koe_fail(err, KOE_E_NOMEM, "nodes");
            s->all = all;
            s->cap_all = cap;
        }
        s->all[s->n_all++] = node;
        for (int k = 0; k < node->n_out; k++) node->tapped |= node->out[k] >= 0 && s->slot[node->out[k]].tap >= 0;
        koe_status st = koe_graph_prepare(s, node, err);
        for (int k = 0; k < node->n_body && st == KOE_OK; k++) st = prepare_all(s, node->body[k], err);
        if (st != KOE_OK) return st;
    }
    return KOE_OK;
}

typedef struct reader {
    int *last; /* [n_slot]: index of the last node of the current plan that reads the slot, -1 none */
    int node;
} reader;

static void note_read(void *arg, int slot)
{
    reader *r = arg;
    r->last[slot] = r->node;
}

static koe_status add_release(koe_session *s, koe_node *node, const int *list, int n, koe_error *err)
{
    int *release = koe_arena_array(&s->arena, (size_t)n, sizeof *release);
    if (!release) return koe_fail(err, KOE_E_NOMEM, "plan");
    memcpy(release, list, (size_t)n * sizeof *release);
    node->release = release;
    node->n_release = n;
    return KOE_OK;
}

/* Outputs are the caller's to give back, and so are the inputs of the main graph, which serve the next execution too. */
static bool stays(const koe_plan *plan, int slot)
{
    for (int i = 0; i < plan->n_out; i++)
        if (plan->out[i] == slot) return true;
    for (int i = 0; plan->id == 0 && i < plan->n_in; i++)
        if (plan->in[i] == slot) return true;
    return false;
}

/* A node may give back the slots of its own plan that no later node of it reads; the plan's outputs stay for its caller. */
static koe_status find_last(koe_session *s, koe_plan *plan, int *last, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < plan->n_node && st == KOE_OK; i++)
        for (int k = 0; k < plan->node[i]->n_body && st == KOE_OK; k++) st = find_last(s, plan->node[i]->body[k], last, err);
    if (st != KOE_OK) return st;
    for (int i = 0; i < s->n_slot; i++) last[i] = -1;
    for (int i = 0; i < plan->n_node; i++) {
        reader r = { last, i };
        for (int k = 0; k < plan->node[i]->n_out; k++)
            if (plan->node[i]->out[k] >= 0) note_read(&r, plan->node[i]->out[k]); /* unread outputs die at once */
        koe_graph_reads(plan->node[i], note_read, &r);
    }
    bool *seen = calloc((size_t)s->n_slot + 1, sizeof *seen);
    int *list = calloc((size_t)s->n_slot + 1, sizeof *list);
    if (!seen || !list) st = koe_fail(err, KOE_E_NOMEM, "plan");
    for (int i = 0; i < plan->n_node && st == KOE_OK; i++) {
        koe_node *node = plan->node[i];
        int n = 0;
        for (int k = 0; k < node->n_in + node->n_out; k++) {
            int slot = k < node->n_in ? node->in[k] : node->out[k - node->n_in];
            if (slot < 0 || seen[slot] || last[slot] != i || s->slot[slot].plan != plan->id) continue;
            if (s->slot[slot].constant.kind != KOE_VALUE_NONE || stays(plan, slot)) continue;
            seen[slot] = true;
            list[n++] = slot;
        }
        /* Captured by the node's subgraphs for the last time. Rare: searched plainly. */
        for (int slot = 0; node->n_body && slot < s->n_slot; slot++) {
            if (last[slot] != i || seen[slot] || s->slot[slot].plan != plan->id) continue;
            if (s->slot[slot].constant.kind != KOE_VALUE_NONE || stays(plan, slot)) continue;
            seen[slot] = true;
            list[n++] = slot;
        }
        st = add_release(s, node, list, n, err);
        bool *dies = st == KOE_OK ? koe_arena_array(&s->arena, (size_t)node->n_in, sizeof *dies) : NULL;
        if (!dies) {
            if (st == KOE_OK) st = koe_fail(err, KOE_E_NOMEM, "plan");
            break;
        }
        for (int k = 0; k < node->n_in; k++) {
            int uses = 0;
            for (int j = 0; j < node->n_in; j++) uses += node->in[j] == node->in[k];
            dies[k] = node->in[k] >= 0 && uses == 1 && seen[node->in[k]] && last[node->in[k]] == i;
        }
        node->in_dies = dies;
    }
    free(seen);
    free(list);
    return st;
}

static void read_as_it_is(void *arg, int slot) { ((koe_slot *)arg)[slot].stays_wide = false; }

/* Which results may stay float32 where the graph says float16: those that only operators of the "widen" kind read. */
static void find_wide(koe_session *s, const koe_plan *plan)
{
    for (int i = 0; i < plan->n_node; i++) {
        const koe_node *node = plan->node[i];
        if (!(node->op->flags & KOE_OP_WIDEN_HALF)) koe_graph_reads(node, read_as_it_is, s->slot);
        for (int k = 0; k < node->n_body; k++) find_wide(s, node->body[k]);
    }
    for (int i = 0; i < plan->n_out; i++) s->slot[plan->out[i]].stays_wide = false;
}

static koe_status widen_outputs(koe_session *s, const koe_plan *plan, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < plan->n_out && st == KOE_OK; i++)
        if (s->slot[plan->out[i]].widens) st = koe_graph_widen(s, plan->out[i], err);
    for (int i = 0; i < plan->n_node && st == KOE_OK; i++)
        for (int k = 0; k < plan->node[i]->n_body && st == KOE_OK; k++) st = widen_outputs(s, plan->node[i]->body[k], err);
    return st;
}

/* What still widens now was packed by all of its readers: to a run it is a type and a shape. */
static koe_status settle_casts(koe_session *s, koe_error *err)
{
    koe_status st = widen_outputs(s, s->plan, err);
    for (int i = 0; i < s->n_slot && st == KOE_OK; i++) {
        if (!s->slot[i].widens) continue;
        s->slot[i].constant.t.dtype = KOE_DTYPE_F32;
        s->slot[i].constant.t.data = NULL;
        s->slot[i].widens = false;
    }
    return st;
}

static void count_read(void *arg, int slot) { ((int *)arg)[slot]++; }

koe_status koe_graph_finish(koe_session *s, koe_error *err)
{
    s->n_reads = calloc((size_t)s->n_slot + 1, sizeof *s->n_reads);
    if (!s->n_reads) return koe_fail(err, KOE_E_NOMEM, "plan");
    for (int i = 0; i < s->plan->n_node; i++) koe_graph_reads(s->plan->node[i], count_read, s->n_reads);
    for (int i = 0; i < s->plan->n_out; i++) s->n_reads[s->plan->out[i]]++;
    koe_status st = prepare_all(s, s->plan, err);
    free(s->n_reads);
    s->n_reads = NULL;
    if (st == KOE_OK) st = settle_casts(s, err);
    for (int i = 0; i < s->plan->n_out && st == KOE_OK; i++) {
        koe_value *v = &s->slot[s->plan->out[i]].constant;
        if (v->kind == KOE_VALUE_TENSOR && !is_aligned(&v->t)) st = align_constant(s, &v->t, err);
    }
    if (st != KOE_OK) return st;
    for (int i = 0; i < s->n_slot; i++) s->slot[i].stays_wide = s->slot[i].tap < 0;
    find_wide(s, s->plan);
    int *last = calloc((size_t)s->n_slot + 1, sizeof *last);
    if (!last) return koe_fail(err, KOE_E_NOMEM, "plan");
    st = find_last(s, s->plan, last, err);
    free(last);
    release_file(s);
    return st;
}
