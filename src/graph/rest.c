/* rest.c - large narrow tensors that nobody reads for long rest in 8 bits. The input of a vocoder's residual blocks is read by each of them:
 *     x ─► block 1, block 2, block 3          x ─► block 1 ─► Rest(x) = r, x ─► block 2 (in the place of x) ─► Wake(r) ─► block 3
 * While the second block runs its tensors, the sum so far and the input would else be there in full. So does the sum: a convolution at the end
 * of the block adds it, which can read it as it rests.
 *     sum ─► Rest(sum) = q ... Conv(.., residual, sum) ─► Conv(.., residual, q)
 * Small tensors pass through (ops/rest.c). */
#include <stdlib.h>

#include "graph/internal.h"

enum { FAR = 8 /* nodes: what reads it next is another block */, BURSTS = 3, MOST = 64 /* tensors; no real network has as many */ };

/* How a narrow slot is read: in bursts, of which the last two start at these places of the plan. */
typedef struct readers {
    int last, n, n_bursts, start[2];
    bool narrow;
} readers;

typedef struct survey {
    readers *slot; /* [n_slot] */
    int at; /* place in the plan */
    bool inside; /* a subgraph reads it as well */
} survey;

/* The slot rests from before node `from` of the plan on; node `until` and those behind it read what a Wake in front of them makes, or, `asleep`,
 * that node alone reads it, as it rests. */
typedef struct nap {
    int slot, from, until;
    bool asleep;
} nap;

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
    r->n++;
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

static void survey_plan(const koe_session *s, survey *v)
{
    const koe_plan *plan = s->plan;
    for (v->at = 0; v->at < plan->n_node; v->at++) {
        const koe_node *node = plan->node[v->at];
        v->inside = node->n_body > 0;
        koe_graph_reads(node, look, v);
        if (node->narrow) v->slot[node->out[0]].narrow = true;
    }
    for (int i = 0; i < plan->n_out; i++) v->slot[plan->out[i]].narrow = false;
}

/* Does the slot live while another naps, until a convolution adds it to another addend? */
static bool is_sum(const koe_session *s, const readers *r, int slot, int producer, const nap *other)
{
    enum { ADDEND = 3, ADDEND_2 = 10 };
    const koe_node *node = r->n == 1 ? s->plan->node[r->last] : NULL;
    if (!node || producer < 0 || producer >= other->from || r->last - other->from < FAR || r->last >= other->until) return false;
    return koe_str_is(node->domain, "koe") && koe_str_is(node->op_type, "Conv") && node->narrow && node->n_in > ADDEND_2 && node->in[ADDEND] >= 0 &&
           node->in[ADDEND_2] >= 0 && (node->in[ADDEND] == slot || node->in[ADDEND_2] == slot);
}

/* Slots that are read in bursts, and sums that wait meanwhile; returns how many. */
static int find(const koe_session *s, const survey *v, const int *producer, nap found[MOST])
{
    int n = 0;
    for (int i = 0; i < s->n_slot && n < MOST; i++)
        if (v->slot[i].narrow && v->slot[i].n_bursts >= BURSTS) found[n++] = (nap){ i, v->slot[i].start[0], v->slot[i].start[1], false };
    const int n_inputs = n;
    for (int i = 0; i < s->n_slot; i++)
        for (int k = 0; k < n_inputs && n < MOST && v->slot[i].narrow; k++)
            if (is_sum(s, &v->slot[i], i, producer[i], &found[k])) {
                found[n++] = (nap){ i, found[k].from, v->slot[i].last, true };
                break;
            }
    return n;
}

/* The convolution reads the sum as it rests: as its second addend, so that it may join the first one. */
static bool read_asleep(koe_session *s, koe_node *conv, int slot, int resting)
{
    enum { ADDEND = 3, ADDEND_2 = 10 };
    if (!redirect(s, conv, slot, resting)) return false;
    if (conv->in[ADDEND] == resting) {
        conv->in[ADDEND] = conv->in[ADDEND_2];
        conv->in[ADDEND_2] = resting;
    }
    return true;
}

static koe_status put_to_rest(koe_session *s, const nap *found, int n_found)
{
    koe_plan *plan = s->plan;
    koe_node *rest[MOST], *wake[MOST] = { 0 };
    koe_node **list = koe_arena_array(&s->arena, (size_t)(plan->n_node + 2 * n_found), sizeof *list);
    int n = 0, resting = 0, awake = 0;
    if (!list) return KOE_E_NOMEM;
    for (int i = 0; i < n_found; i++) {
        const nap *f = &found[i];
        rest[i] = new_node(s, "Rest", f->slot, &resting);
        if (!rest[i]) return KOE_E_NOMEM;
        if (f->asleep) {
            if (!read_asleep(s, plan->node[f->until], f->slot, resting)) return KOE_E_NOMEM;
            continue;
        }
        wake[i] = new_node(s, "Wake", resting, &awake);
        if (!wake[i]) return KOE_E_NOMEM;
        for (int k = f->until; k < plan->n_node; k++)
            if (!redirect(s, plan->node[k], f->slot, awake)) return KOE_E_NOMEM;
    }
    for (int at = 0; at < plan->n_node; at++) {
        for (int i = 0; i < n_found; i++) {
            if (found[i].from == at) list[n++] = rest[i];
            if (found[i].until == at && wake[i]) list[n++] = wake[i];
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
    nap found[MOST];
    int *producer = calloc((size_t)s->n_slot + 1, sizeof *producer);
    survey v = { .slot = calloc((size_t)s->n_slot + 1, sizeof *v.slot) };
    koe_status st = v.slot && producer ? KOE_OK : KOE_E_NOMEM;
    if (st == KOE_OK) {
        hoist_pads(s, producer);
        survey_plan(s, &v);
        const int n = find(s, &v, producer, found);
        if (n) st = put_to_rest(s, found, n);
    }
    free(v.slot);
    free(producer);
    return st == KOE_OK ? st : koe_fail(err, st, "resting tensors");
}
