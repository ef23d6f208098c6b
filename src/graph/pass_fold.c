/* pass_fold.c - a node whose inputs are all constant is computed once, here: weight norm (v * g / |v|), masks, tables, and loops and
 * conditions over constants.
 *
 *     constant, constant ─► op ─► y          y, a constant */
#include "graph/pass.h"

#include <limits.h>
#include <stdlib.h>

/* ---- what may be folded -------------------------------------------------------------------------------------------------- */

/* Nodes that folding a loop may run, all iterations together: a small hostile file can ask for any number. */
enum { FOLD_NODES_MAX = 100000 };

typedef struct captured {
    const koe_session *s;
    int first_plan, last_plan; /* ids of the node's own plans */
    bool constant;
} captured;

static void look(void *arg, int slot)
{
    captured *c = arg;
    const koe_slot *v = &c->s->slot[slot];
    if (v->constant.kind == KOE_VALUE_NONE && (v->plan < c->first_plan || v->plan > c->last_plan)) c->constant = false;
}

/* Walks the plans inside a node: their ids, the number of their nodes, and whether all of these give the same result every time. */
static bool is_pure(const koe_node *node, captured *c, int64_t *n_nodes)
{
    for (int k = 0; k < node->n_body; k++) {
        const koe_plan *body = node->body[k];
        if (body->id < c->first_plan) c->first_plan = body->id;
        if (body->id > c->last_plan) c->last_plan = body->id;
        *n_nodes += body->n_node;
        for (int i = 0; i < body->n_node; i++)
            if ((body->node[i]->op->flags & KOE_OP_IMPURE) || (body->node[i]->n_body && koe_str_is(body->node[i]->op_type, "Loop")) ||
                !is_pure(body->node[i], c, n_nodes))
                return false;
    }
    return true;
}

/* With constant inputs: may the plans inside be run now? A loop must say how often it runs, and run no other loop. */
static bool foldable_bodies(const koe_session *s, const koe_node *node)
{
    captured c = { .s = s, .first_plan = INT_MAX, .last_plan = -1, .constant = true };
    int64_t n_nodes = 0, n_rounds = 1;
    if (koe_str_is(node->op_type, "Loop")) {
        const koe_tensor *m = node->in[0] >= 0 ? &s->slot[node->in[0]].constant.t : NULL;
        if (!m || m->dtype != KOE_DTYPE_I64 || koe_tensor_count(m) != 1) return false;
        memcpy(&n_rounds, m->data, sizeof n_rounds);
    } else if (!koe_str_is(node->op_type, "If"))
        return false;
    if (!is_pure(node, &c, &n_nodes) || n_rounds < 0 || n_rounds > FOLD_NODES_MAX / (n_nodes + 1)) return false;
    koe_graph_reads(node, look, &c);
    return c.constant;
}

bool koe_pass_foldable(const koe_session *s, const koe_node *node)
{
    if (node->op->flags & KOE_OP_IMPURE || node->kept) return false;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0 && s->slot[node->in[i]].constant.kind == KOE_VALUE_NONE) return false;
    return !node->n_body || foldable_bodies(s, node);
}

/* ---- folding ------------------------------------------------------------------------------------------------------------- */

/* A copy of the value that lives as long as the session. */
static koe_status keep(koe_session *s, koe_value *to, const koe_value *from, koe_error *err)
{
    *to = (koe_value){ .kind = from->kind, .t = from->t, .n_item = from->n_item };
    if (from->kind == KOE_VALUE_TENSOR && from->buffer) {
        size_t n = koe_tensor_bytes(&from->t);
        to->t.data = koe_arena_alloc(&s->arena, n ? n : 1);
        if (!to->t.data) return koe_fail(err, KOE_E_NOMEM, "a constant of %zu bytes", n);
        memcpy(to->t.data, from->t.data, n);
    }
    if (from->kind == KOE_VALUE_SEQUENCE && from->n_item) {
        to->item = koe_arena_array(&s->arena, from->n_item, sizeof *to->item);
        if (!to->item) return koe_fail(err, KOE_E_NOMEM, "a constant sequence");
        for (size_t i = 0; i < from->n_item; i++) {
            koe_status st = keep(s, &to->item[i], &from->item[i], err);
            if (st != KOE_OK) return st;
        }
    }
    return KOE_OK;
}

/* Most bytes that folding may hold while it computes a node, and that it may leave as constants: a small hostile file can ask for any
 * amount. Kokoro's float16 weights, widened, are 330 MB. */
#define FOLD_MAX ((size_t)256 << 20)
#define FOLD_TOTAL_MAX ((size_t)1 << 30)

/* Memory of its own that a value holds. */
static size_t value_bytes(const koe_value *v)
{
    size_t n = v->kind == KOE_VALUE_TENSOR && v->buffer ? koe_tensor_bytes(&v->t) : 0;
    for (size_t i = 0; v->kind == KOE_VALUE_SEQUENCE && i < v->n_item; i++) n += value_bytes(&v->item[i]);
    return n;
}

static koe_status prepare(koe_session *s, koe_node *node, koe_error *err)
{
    koe_status st = koe_graph_prepare(s, node, err);
    for (int k = 0; k < node->n_body; k++)
        for (int i = 0; i < node->body[k]->n_node && st == KOE_OK; i++) st = prepare(s, node->body[k]->node[i], err);
    return st;
}

static void clear(koe_run *r, const int *slot, int n)
{
    for (int i = 0; i < n; i++)
        if (slot[i] >= 0 && r->session->slot[slot[i]].constant.kind == KOE_VALUE_NONE) koe_value_clear(&r->value[slot[i]]);
}

/* Undoes prepare() and forgets what the plans inside have computed. */
static void release(koe_run *r, koe_node *node)
{
    koe_graph_release(node);
    koe_weights_drop(r->session->weights, node->pack_id);
    for (int k = 0; k < node->n_body; k++) {
        const koe_plan *body = node->body[k];
        clear(r, body->in, body->n_in);
        for (int i = 0; i < body->n_node; i++) {
            release(r, body->node[i]);
            clear(r, body->node[i]->out, body->node[i]->n_out);
        }
    }
}

/* The run's values, for the slots that there are now. */
static koe_status grow(koe_fold *f, koe_error *err)
{
    const int n = f->s->n_slot;
    if (n <= f->cap_slot) return KOE_OK;
    const int cap = n + n / 2;
    koe_value *value = realloc(f->r->value, ((size_t)cap + 1) * sizeof *value);
    if (!value) return koe_fail(err, KOE_E_NOMEM, "passes");
    memset(value + f->cap_slot, 0, (size_t)(cap - f->cap_slot + 1) * sizeof *value);
    f->r->value = value;
    f->cap_slot = cap;
    return KOE_OK;
}

koe_status koe_fold_init(koe_fold *f, koe_session *s, koe_error *err)
{
    *f = (koe_fold){ .s = s, .cap_slot = s->n_slot };
    koe_status st = koe_run_create(&f->r, s, err);
    if (st == KOE_OK) koe_memory_set_limit(f->r->memory, FOLD_MAX);
    return st;
}

void koe_fold_deinit(koe_fold *f)
{
    if (f->r && grow(f, NULL) == KOE_OK) koe_run_destroy(f->r);
}

static void lend(void *run, int slot)
{
    koe_run *r = run;
    const koe_value *constant = &r->session->slot[slot].constant;
    if (constant->kind != KOE_VALUE_NONE) r->value[slot] = *constant;
}

/* A Cast of large half-precision weights to float32: who packs them widens them one at a time, and nobody else needs all of them wide. */
static bool is_widening(const koe_session *s, const koe_node *node)
{
    enum { LARGE_BYTES = 16 * 1024 };
    if (node->domain.n || !koe_str_is(node->op_type, "Cast") || node->n_in != 1 || node->n_out != 1 || node->out[0] < 0) return false;
    const koe_slot *from = &s->slot[node->in[0]];
    const koe_tensor *t = from->constant.kind == KOE_VALUE_TENSOR ? &from->constant.t : NULL;
    return t && koe_dtype_is_half(t->dtype) && !from->widens && koe_node_int(node, "to", 0) == KOE_DTYPE_F32 &&
           koe_tensor_bytes(t) > LARGE_BYTES && s->slot[node->out[0]].tap < 0;
}

typedef struct widening {
    koe_session *s;
    koe_status st;
    koe_error *err;
} widening;

static void widen(void *arg, int slot)
{
    widening *w = arg;
    if (w->st == KOE_OK && w->s->slot[slot].widens) w->st = koe_graph_widen(w->s, slot, w->err);
}

koe_status koe_fold_node(koe_fold *f, koe_node *node, koe_error *err)
{
    koe_session *s = f->s;
    if (node->domain.n == 0 && koe_str_is(node->op_type, "Identity") && node->n_in == 1 && node->n_out == 1 && node->in[0] >= 0 && node->out[0] >= 0) {
        s->slot[node->out[0]].constant = s->slot[node->in[0]].constant; /* exporters name shared weights so: never copied */
        s->slot[node->out[0]].widens = s->slot[node->in[0]].widens;
        return KOE_OK;
    }
    if (is_widening(s, node)) {
        s->slot[node->out[0]].constant = s->slot[node->in[0]].constant;
        s->slot[node->out[0]].widens = true;
        return KOE_OK;
    }
    widening w = { s, KOE_OK, err };
    koe_graph_reads(node, widen, &w);
    koe_status st = w.st == KOE_OK ? grow(f, err) : w.st;
    if (st != KOE_OK) return st;
    koe_run *r = f->r;
    st = prepare(s, node, err);
    if (st == KOE_OK) {
        koe_graph_reads(node, lend, r);
        st = koe_run_node(r, node, err);
    }
    size_t n_bytes = 0;
    for (int i = 0; i < node->n_out && st == KOE_OK; i++)
        if (node->out[i] >= 0) n_bytes += value_bytes(&r->value[node->out[i]]);
    if (st == KOE_OK && n_bytes > FOLD_TOTAL_MAX - s->n_folded_bytes) st = koe_fail(err, KOE_E_LIMIT, "too many constants");
    if (st == KOE_OK) s->n_folded_bytes += n_bytes;
    for (int i = 0; i < node->n_out; i++) {
        const int slot = node->out[i];
        if (slot < 0) continue;
        koe_value kept = { 0 };
        if (st == KOE_OK) st = keep(s, &kept, &r->value[slot], err);
        koe_value_clear(&r->value[slot]);
        if (st == KOE_OK) s->slot[slot].constant = kept;
    }
    release(r, node);
    return st;
}

float *koe_fold_room(koe_session *s, size_t n, size_t each)
{
    size_t n_bytes;
    if (__builtin_mul_overflow(n, each, &n_bytes) || __builtin_mul_overflow(n_bytes, sizeof(float), &n_bytes)) return NULL;
    if (n_bytes > FOLD_MAX || n_bytes > FOLD_TOTAL_MAX - s->n_folded_bytes) return NULL;
    s->n_folded_bytes += n_bytes;
    return koe_arena_alloc(&s->arena, n_bytes ? n_bytes : 1);
}

static koe_status fold(koe_fold *f, koe_plan *plan, int *n_done, koe_error *err)
{
    int n = 0;
    for (int i = 0; i < plan->n_node; i++) {
        koe_node *node = plan->node[i];
        for (int k = 0; k < node->n_body; k++) {
            koe_status st = fold(f, node->body[k], n_done, err);
            if (st != KOE_OK) return st;
        }
        if (koe_pass_foldable(f->s, node)) {
            koe_status st = koe_fold_node(f, node, err);
            if (st == KOE_E_LIMIT || st == KOE_E_NOMEM) plan->node[n++] = node; /* too large: computed by every run, within its limit */
            else if (st != KOE_OK) return koe_error_wrap(err, st, "node '%.*s'", KOE_STR_ARG(node->name));
            else ++*n_done;
        } else
            plan->node[n++] = node;
    }
    plan->n_node = n;
    return KOE_OK;
}

koe_status koe_pass_fold(koe_session *s, int *n_done, koe_error *err)
{
    koe_fold f;
    koe_status st = koe_fold_init(&f, s, err);
    if (st == KOE_OK) st = fold(&f, s->plan, n_done, err);
    koe_fold_deinit(&f);
    return st;
}
