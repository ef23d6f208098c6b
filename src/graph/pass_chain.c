/* pass_chain.c - narrow convolutions that feed each other become one node, which computes them piece by piece in time, within the cache.
 * The residual blocks of a stage of a HiFi-GAN generator, of which there are two or three side by side:
 *
 *     x ─┬► Conv(+x) ─► Conv(+) ─────────────┐
 *        ├► Conv(+x) ─► Conv(+) ─► [sum] ────┤         x ─► ConvChain(w, b, w, b, ...) ─►
 *        └► Conv(+x) ─► Conv(+) ─► [sum, / 3] ─►
 *
 * after the pass `conv`, whose convolutions hold LeakyRelu, sums and scale. Each piece needs a little more of the inner values than it makes
 * of the output, so the filters must be short in comparison with the piece: `reach` limits that. */
#include "graph/pass.h"

enum { X, W, B, Z, SCALE, W_ZERO = 9, Z2 }; /* inputs of Conv */
enum {
    LINKS_MAX = 15,
    TAPS_MAX = 32,
    STEP_MAX = 512, /* the dilation that ConvChain takes */
    REACH_MAX = 4096, /* channels times the outputs' distance to the first or last input that they depend on */
    CHANNELS_MAX = 96,
};

typedef struct group {
    koe_node *node[LINKS_MAX]; /* latest first */
    int n;
    int x; /* the one value that comes from outside; -1: none yet */
} group;

static int input(const koe_node *n, int i) { return i < n->n_in ? n->in[i] : -1; }

static bool is_own_conv(const koe_node *n)
{
    return koe_str_is(n->op_type, "Conv") && (n->domain.n == 0 || koe_str_is(n->domain, "koe"));
}

static int64_t dilation(const koe_node *n)
{
    const int64_t *d;
    return koe_node_ints(n, "dilations", &d) ? d[0] : 1;
}

/* A convolution along time that keeps channels and length, and that nothing but LeakyRelu, sums and scale have become part of. */
static bool is_link(const koe_pass *p, const koe_node *n)
{
    if (!n || !is_own_conv(n) || n->n_out != 1) return false;
    const koe_tensor *w = koe_pass_constant(p, input(n, W));
    const int64_t *pads, *strides;
    if (!w || w->n_dim != 3 || w->dim[0] != w->dim[1] || w->dim[0] > CHANNELS_MAX || w->dim[2] > TAPS_MAX || (w->dtype != KOE_DTYPE_F32 && !koe_dtype_is_half(w->dtype))) return false;
    for (int i = SCALE; i <= W_ZERO; i++)
        if (input(n, i) >= 0) return false;
    if (input(n, B) >= 0 && !koe_pass_constant(p, n->in[B])) return false;
    if (koe_node_attr(n, "activation") || koe_node_int(n, "group", 1) != 1 || koe_node_attr(n, "auto_pad")) return false;
    if (koe_node_ints(n, "strides", &strides) && strides[0] != 1) return false;
    const int64_t step = dilation(n);
    if (step < 1 || step > STEP_MAX) return false; /* before it is multiplied: a file may say anything */
    const int64_t span = (w->dim[2] - 1) * step;
    const size_t n_pad = koe_node_ints(n, "pads", &pads);
    return span <= REACH_MAX && (n_pad == 2 ? pads[0] >= 0 && pads[0] <= span && pads[1] == span - pads[0] : span == 0);
}

static int find(const group *g, int slot)
{
    for (int i = 0; i < g->n; i++)
        if (g->node[i]->out[0] == slot) return i;
    return -1;
}

/* Reads of `slot` by the group. */
static int count_reads(const group *g, int slot)
{
    int n = 0;
    for (int i = 0; i < g->n; i++) n += (input(g->node[i], X) == slot) + (input(g->node[i], Z) == slot) + (input(g->node[i], Z2) == slot);
    return n;
}

/* The group that ends with node `last`: whatever only the group reads. */
static void gather(const koe_pass *p, int last, group *g)
{
    *g = (group){ .node = { p->plan->node[last] }, .n = 1, .x = -1 };
    const koe_tensor *w = koe_pass_constant(p, g->node[0]->in[W]);
    for (int i = last - 1; i >= 0 && g->n < LINKS_MAX; i--) {
        koe_node *n = p->plan->node[i];
        if (!is_link(p, n) || n->out[0] < 0 || n->out[0] >= p->n_slot) continue;
        if (koe_pass_constant(p, n->in[W])->dim[0] != w->dim[0]) continue;
        const int reads = count_reads(g, n->out[0]);
        if (reads > 0 && reads == p->n_reads[n->out[0]]) g->node[g->n++] = n;
    }
}

static bool take_outside(group *g, int slot)
{
    if (slot < 0 || find(g, slot) >= 0) return true;
    if (g->x < 0) g->x = slot;
    return g->x == slot;
}

/* Two convolutions or more, one input, and short filters. */
static bool pays(const koe_pass *p, group *g)
{
    const koe_tensor *w = koe_pass_constant(p, g->node[0]->in[W]);
    int64_t reach[LINKS_MAX] = { 0 };
    for (int i = 0; i < g->n; i++) {
        const koe_node *n = g->node[i];
        if (!take_outside(g, n->in[X]) || !take_outside(g, input(n, Z)) || !take_outside(g, input(n, Z2))) return false;
        const int64_t far = reach[i] + (koe_pass_constant(p, n->in[W])->dim[2] - 1) * dilation(n) / 2;
        const int x = find(g, n->in[X]), z = find(g, input(n, Z)), z2 = find(g, input(n, Z2));
        if (far * w->dim[0] > REACH_MAX) return false;
        if (x >= 0 && far > reach[x]) reach[x] = far;
        if (z >= 0 && reach[i] > reach[z]) reach[z] = reach[i];
        if (z2 >= 0 && reach[i] > reach[z2]) reach[z2] = reach[i];
    }
    return g->n >= 2 && g->x >= 0;
}

/* Number of the value in the chain: 0 is x. */
static int64_t value(const group *g, int slot)
{
    const int i = slot < 0 ? -1 : find(g, slot);
    return slot < 0 ? -1 : i < 0 ? 0 : g->n - i;
}

static koe_status replace(koe_pass *p, const group *g, koe_error *err)
{
    int in[1 + 2 * LINKS_MAX] = { g->x };
    int64_t from[LINKS_MAX], add[LINKS_MAX], add2[LINKS_MAX], step[LINKS_MAX], pad[LINKS_MAX];
    float leaky[LINKS_MAX], scale[LINKS_MAX];
    const size_t n = (size_t)g->n;
    for (int j = 0; j < g->n; j++) {
        const koe_node *conv = g->node[g->n - 1 - j];
        const int64_t *pads;
        in[1 + 2 * j] = conv->in[W];
        in[2 + 2 * j] = input(conv, B);
        from[j] = value(g, conv->in[X]);
        add[j] = value(g, input(conv, Z));
        add2[j] = value(g, input(conv, Z2));
        step[j] = dilation(conv);
        pad[j] = koe_node_ints(conv, "pads", &pads) ? pads[0] : 0;
        leaky[j] = koe_node_float(conv, "leaky", 1);
        scale[j] = koe_node_float(conv, "scale", 1);
    }
    koe_node *node = g->node[0];
    koe_status st = koe_pass_replace(p, node, "ConvChain", in, 1 + 2 * g->n, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, node, "from", from, n, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, node, "add", add, n, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, node, "add2", add2, n, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, node, "dilation", step, n, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, node, "pad", pad, n, err);
    if (st == KOE_OK) st = koe_pass_set_floats(p, node, "leaky", leaky, n, err);
    return st == KOE_OK ? koe_pass_set_floats(p, node, "scale", scale, n, err) : st;
}

koe_status koe_pass_chain(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = p->plan->n_node - 1; i >= 0 && st == KOE_OK; i--) {
        group g;
        koe_node *last = p->plan->node[i];
        /* The inner nodes of a group that was replaced are read by nobody any more. */
        if (!is_link(p, last) || last->out[0] < 0 || last->out[0] >= p->n_slot || p->n_reads[last->out[0]] == 0) continue;
        gather(p, i, &g);
        if (!pays(p, &g)) continue;
        for (int k = 1; k < g.n; k++) p->n_reads[g.node[k]->out[0]] = 0;
        st = replace(p, &g, err);
    }
    return st;
}
