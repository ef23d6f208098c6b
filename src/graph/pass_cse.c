/* pass_cse.c - the same operator with the same attributes on the same inputs gives the same result: it is computed once.
 *
 *     x ─► Shape ─► Gather(1) ─► a          x ─► Shape ─► Gather(1) ─► a, b
 *     └──► Shape ─► Gather(1) ─► b
 *
 * Small constants with the same content are made one first, as exporters write one for each use. */
#include <stdlib.h>

#include "graph/pass.h"

enum { SMALL_BYTES = 256, CHAIN_MAX = 32 };

typedef struct cse {
    koe_session *s;
    int *same; /* [n_slot]: the slot to read instead */
    bool *fixed; /* [n_slot]: its own node must compute it */
    unsigned *bucket; /* [1 << n_bits]: entry + 1 */
    struct entry *entry;
    size_t n_entry, cap_entry;
    int n_bits;
    int n_done;
} cse;

/* A node of the current plan, or a constant. */
typedef struct entry {
    const koe_node *node; /* NULL: constant `slot` */
    int slot, plan;
    uint64_t hash;
    unsigned next;
} entry;

static uint64_t mix(uint64_t h, uint64_t x) { return (h ^ x) * 0x9e3779b97f4a7c15u ^ h >> 29; }
static uint64_t mix_bytes(uint64_t h, const void *p, size_t n) { return mix(h, koe_str_hash((koe_str){ p, n })); }

static bool same_tensor(const koe_tensor *a, const koe_tensor *b)
{
    if (a == b) return true;
    if (!a || !b || a->dtype != b->dtype || a->n_dim != b->n_dim) return false;
    for (int i = 0; i < a->n_dim; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return koe_tensor_bytes(a) <= SMALL_BYTES && memcmp(a->data, b->data, koe_tensor_bytes(a)) == 0;
}

static bool same_attr(const koe_onnx_attr *a, const koe_onnx_attr *b)
{
    return koe_str_eq(a->name, b->name) && (a->type == KOE_ATTR_TENSOR && b->type == KOE_ATTR_TENSOR ? same_tensor(a->t, b->t) : koe_same_attr(a, b));
}

/* The attributes of a node are compared in their order: exporters write them in one. */
static bool same_work(const koe_node *a, const koe_node *b)
{
    if (a->op != b->op || a->opset != b->opset || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attr != b->n_attr) return false;
    for (int i = 0; i < a->n_in; i++)
        if (a->in[i] != b->in[i]) return false;
    for (int i = 0; i < a->n_out; i++)
        if (a->out[i] < 0 && b->out[i] >= 0) return false;
    for (size_t i = 0; i < a->n_attr; i++)
        if (!same_attr(&a->attr[i], &b->attr[i])) return false;
    return true;
}

static entry *find(cse *c, uint64_t hash, const koe_node *node, const koe_tensor *t, int plan)
{
    int looked = 0;
    for (unsigned e = c->bucket[hash >> (64 - c->n_bits)]; e && looked < CHAIN_MAX; e = c->entry[e - 1].next, looked++) {
        entry *x = &c->entry[e - 1];
        if (x->hash != hash || x->plan != plan || (x->node != NULL) != (node != NULL)) continue;
        if (node ? same_work(x->node, node) : same_tensor(&c->s->slot[x->slot].constant.t, t)) return x;
    }
    return NULL;
}

static koe_status add(cse *c, entry x, koe_error *err)
{
    if (c->n_entry == c->cap_entry) {
        const size_t cap = c->cap_entry ? c->cap_entry * 2 : 1024;
        entry *more = realloc(c->entry, cap * sizeof *more);
        if (!more) return koe_fail(err, KOE_E_NOMEM, "passes");
        c->entry = more;
        c->cap_entry = cap;
    }
    unsigned *first = &c->bucket[x.hash >> (64 - c->n_bits)];
    x.next = *first;
    c->entry[c->n_entry++] = x;
    *first = (unsigned)c->n_entry;
    return KOE_OK;
}

static koe_status share_constants(cse *c, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < c->s->n_slot && st == KOE_OK; i++) {
        const koe_value *v = &c->s->slot[i].constant;
        if (v->kind != KOE_VALUE_TENSOR || koe_tensor_bytes(&v->t) > SMALL_BYTES) continue;
        uint64_t h = mix(mix(1, (uint64_t)v->t.dtype), (uint64_t)v->t.n_dim);
        h = mix_bytes(mix_bytes(h, v->t.dim, (size_t)v->t.n_dim * sizeof *v->t.dim), v->t.data, koe_tensor_bytes(&v->t));
        entry *known = find(c, h, NULL, &v->t, -1);
        if (known) c->same[i] = known->slot;
        else st = add(c, (entry){ .slot = i, .plan = -1, .hash = h }, err);
    }
    return st;
}

static bool shareable(const cse *c, const koe_node *node)
{
    if (node->n_body || (node->op->flags & KOE_OP_IMPURE)) return false;
    for (int i = 0; i < node->n_out; i++)
        if (node->out[i] >= 0 && c->fixed[node->out[i]]) return false;
    return true;
}

static uint64_t hash_of(const koe_node *node)
{
    uint64_t h = mix_bytes(mix(2, (uint64_t)(uintptr_t)node->op), node->in, (size_t)node->n_in * sizeof *node->in);
    for (size_t i = 0; i < node->n_attr; i++) {
        const koe_onnx_attr *a = &node->attr[i];
        h = mix(mix(h, (uint64_t)a->i), (uint64_t)a->n);
        if (a->type == KOE_ATTR_INTS) h = mix_bytes(h, a->ints, a->n * sizeof *a->ints);
    }
    return h;
}

static koe_status walk(cse *c, koe_plan *plan, koe_error *err)
{
    int n = 0;
    for (int i = 0; i < plan->n_node; i++) {
        koe_node *node = plan->node[i];
        int *in = koe_graph_slots(c->s, (size_t)node->n_in);
        if (!in && node->n_in) return koe_fail(err, KOE_E_NOMEM, "passes");
        for (int k = 0; k < node->n_in; k++) in[k] = node->in[k] >= 0 ? c->same[node->in[k]] : -1;
        node->in = in;
        koe_status st = KOE_OK;
        for (int k = 0; k < node->n_body && st == KOE_OK; k++) st = walk(c, node->body[k], err);
        const uint64_t h = hash_of(node);
        entry *known = st == KOE_OK && shareable(c, node) ? find(c, h, node, NULL, plan->id) : NULL;
        if (known) {
            for (int k = 0; k < node->n_out; k++)
                if (node->out[k] >= 0) c->same[node->out[k]] = known->node->out[k];
            c->n_done++;
            continue;
        }
        if (st == KOE_OK && !node->n_body && !(node->op->flags & KOE_OP_IMPURE))
            st = add(c, (entry){ .node = node, .plan = plan->id, .hash = h }, err);
        if (st != KOE_OK) return st;
        plan->node[n++] = node;
    }
    plan->n_node = n;
    return KOE_OK;
}

koe_status koe_pass_cse(koe_session *s, int *n_done, koe_error *err)
{
    cse c = { .s = s, .n_bits = 8 };
    const size_t n = (size_t)s->n_slot + 1;
    while (c.n_bits < 20 && (size_t)1 << c.n_bits < n) c.n_bits++;
    c.same = calloc(n, sizeof *c.same);
    c.fixed = calloc(n, sizeof *c.fixed);
    c.bucket = calloc((size_t)1 << c.n_bits, sizeof *c.bucket);
    koe_status st = c.same && c.fixed && c.bucket ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "passes");
    if (st == KOE_OK) {
        for (int i = 0; i < s->n_slot; i++) {
            c.same[i] = i;
            c.fixed[i] = s->slot[i].tap >= 0;
        }
        koe_pass_mark_outputs(c.fixed, s->plan);
        st = share_constants(&c, err);
    }
    if (st == KOE_OK) st = walk(&c, s->plan, err);
    *n_done += c.n_done;
    free(c.same);
    free(c.fixed);
    free(c.bucket);
    free(c.entry);
    return st;
}
