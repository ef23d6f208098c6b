/* rest.c - large narrow tensors that nobody reads for long rest in 8 bits. The input of a vocoder's residual blocks is read by each of them:
 *     x ─► block 1, block 2, block 3          x ─► block 1 ─► Rest(x) = r, x ─► block 2 (in the place of x) ─► Wake(r) ─► block 3
 * While the second block runs its tensor, its sum and the input would else be there in full. Small tensors pass through (ops/rest.c). */
#include <stdlib.h>

#include "graph/internal.h"

enum { FAR = 8 /* nodes: what reads it next is another block */, BURSTS = 3, MOST = 64 /* tensors; no real network has as many */ };

/* How a narrow slot is read: in bursts, of which the last two start at these places of the plan. */
typedef struct readers {
    int last, n_bursts, start[2];
    bool narrow;
} readers;

typedef struct survey {
    readers *slot; /* [n_slot] */
    int at; /* place in the plan */
    bool inside; /* a subgraph reads it as well */
} survey;

static void look(void *arg, int slot)
{
    const survey *v = arg;
    readers *r = &v->slot[slot];
    if (v->inside) r->narrow = false;
    if (r->n_bursts == 0 || v->at - r->last >= FAR) {
        r->start[0] = r->start[1];
        r->start[1] = v->at;
        r->n_bursts++;
    }
    r->last = v->at;
}

static koe_node *new_node(koe_session *s, const char *op, int in, int *out)
{
    koe_node *node = koe_arena_alloc(&s->arena, sizeof *node);
    int *from = koe_graph_slots(s, 1), *to = koe_graph_slots(s, 1);
    *out = koe_graph_add_slot(s, KOE_STR(""), 0);
    if (!node || !from || !to || *out < 0) return NULL;
    from[0] = in;
    to[0] = *out;
    *node = (koe_node){ .op = koe_op_find(KOE_STR("koe"), koe_str_of(op), 1), .op_type = koe_str_of(op), .domain = KOE_STR("koe"), .opset = 1, .n_in = 1,
                        .n_out = 1, .in = from, .out = to, .id = s->n_node++, .precision = KOE_PRECISION_F32, .narrow = true };
    return node;
}

/* Lists of inputs may be shared: a node that reads another slot gets one of its own. */
static bool redirect(koe_session *s, koe_node *node, int slot, int to)
{
    bool reads = false;
    for (int k = 0; k < node->n_in; k++) reads |= node->in[k] == slot;
    if (!reads) return true;
    int *in = koe_graph_slots(s, (size_t)node->n_in);
    for (int k = 0; in && k < node->n_in; k++) in[k] = node->in[k] == slot ? to : node->in[k];
    if (in) node->in = in;
    return in != NULL;
}

/* Finds the slots that are read in bursts; returns how many. */
static int find(koe_session *s, survey *v, int found[MOST])
{
    const koe_plan *plan = s->plan;
    int n = 0;
    for (v->at = 0; v->at < plan->n_node; v->at++) {
        const koe_node *node = plan->node[v->at];
        v->inside = node->n_body > 0;
        koe_graph_reads(node, look, v);
        if (node->narrow) v->slot[node->out[0]].narrow = true;
    }
    for (int i = 0; i < plan->n_out; i++) v->slot[plan->out[i]].narrow = false;
    for (int i = 0; i < s->n_slot && n < MOST; i++)
        if (v->slot[i].narrow && v->slot[i].n_bursts >= BURSTS) found[n++] = i;
    return n;
}

static koe_status put_to_rest(koe_session *s, const survey *v, const int *found, int n_found)
{
    koe_plan *plan = s->plan;
    koe_node *rest[MOST], *wake[MOST];
    koe_node **list = koe_arena_array(&s->arena, (size_t)(plan->n_node + 2 * n_found), sizeof *list);
    int n = 0, resting = 0, awake = 0;
    if (!list) return KOE_E_NOMEM;
    for (int i = 0; i < n_found; i++) {
        rest[i] = new_node(s, "Rest", found[i], &resting);
        wake[i] = rest[i] ? new_node(s, "Wake", resting, &awake) : NULL;
        if (!wake[i]) return KOE_E_NOMEM;
        for (int k = v->slot[found[i]].start[1]; k < plan->n_node; k++)
            if (!redirect(s, plan->node[k], found[i], awake)) return KOE_E_NOMEM;
    }
    for (int at = 0; at < plan->n_node; at++) {
        for (int i = 0; i < n_found; i++) {
            if (v->slot[found[i]].start[0] == at) list[n++] = rest[i];
            if (v->slot[found[i]].start[1] == at) list[n++] = wake[i];
        }
        list[n++] = plan->node[at];
    }
    plan->node = list;
    plan->n_node = plan->cap_node = n;
    return KOE_OK;
}

/* Moves node `from` of the plan to the earlier place `to`. */
static void move_up(koe_plan *plan, int from, int to)
{
    koe_node *node = plan->node[from];
    memmove(plan->node + to + 1, plan->node + to, (size_t)(from - to) * sizeof(koe_node *));
    plan->node[to] = node;
}

/* Place behind the last of those that compute what the node reads; `at`: its own. */
static int earliest(const koe_plan *plan, const int *producer, int at)
{
    const koe_node *node = plan->node[at];
    int place = 0;
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k] >= 0 && producer[node->in[k]] + 1 > place) place = producer[node->in[k]] + 1;
    return place;
}

/* A tensor that is made only to be moved by a Pad is there twice for a moment. Exporters put both next to what reads the result, where a
 * residual block's tensors are alive; they go as far up as their inputs allow. */
static void hoist_pads(const koe_session *s, int *producer)
{
    koe_plan *plan = s->plan;
    for (int i = 0; i < s->n_slot; i++) producer[i] = -1;
    for (int at = 0, n = 0; at < plan->n_node; at++) {
        const koe_node *node = plan->node[at];
        for (int k = 0; k < node->n_out; k++)
            if (node->out[k] >= 0) producer[node->out[k]] = at;
        if (!node->narrow || node->n_body || !koe_str_is(node->op_type, "Pad") || node->in[0] < 0 || n == MOST) continue;
        const int from = producer[node->in[0]], to = from >= 0 && !plan->node[from]->n_body ? earliest(plan, producer, from) : from;
        if (from < 0 || to >= from || earliest(plan, producer, at) != from + 1) continue;
        n++;
        move_up(plan, from, to);
        move_up(plan, at, to + 1);
        for (int i = to; i <= at; i++)
            for (int k = 0; k < plan->node[i]->n_out; k++)
                if (plan->node[i]->out[k] >= 0) producer[plan->node[i]->out[k]] = i;
    }
}

koe_status koe_graph_set_rest(koe_session *s, koe_error *err)
{
    int found[MOST], *producer = calloc((size_t)s->n_slot + 1, sizeof *producer);
    survey v = { .slot = calloc((size_t)s->n_slot + 1, sizeof *v.slot) };
    koe_status st = v.slot && producer ? KOE_OK : KOE_E_NOMEM;
    if (st == KOE_OK) hoist_pads(s, producer);
    const int n = st == KOE_OK ? find(s, &v, found) : 0;
    if (st == KOE_OK && n) st = put_to_rest(s, &v, found, n);
    free(v.slot);
    free(producer);
    return st == KOE_OK ? st : koe_fail(err, st, "resting tensors");
}
