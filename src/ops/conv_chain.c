/* conv_chain.c - ConvChain of koe's own domain: several narrow convolutions along time in one sweep, such as all residual blocks of a stage
 * of a HiFi-GAN generator. The pass `chain` makes it.
 *     inputs   x [N, C, T], then for each convolution w [C, C, taps] and bias [C] or none, all w constant
 *     values   0 is x; convolution j makes value j + 1 = (conv(leaky(value from[j])) + bias + value add[j] + value add2[j]) * scale[j]
 *     output   the last value; all have the shape of x
 *     attributes, one number for each convolution: from, add, add2 (-1: none), dilation, pad (at the beginning), leaky (1: none), scale
 * A task makes one piece of the output in time. Backwards from there it finds which piece of each value is needed, a little longer each
 * time, and computes these one after the other in scratch that stays in the second-level cache: only x and the output pass through
 * memory. The pieces depend on the shape alone, so results do not depend on threads. */
#include <stdlib.h>
#include <string.h>

#include "ops/conv_state.h"
#include "ops/ops.h"
#include "ops/tasks.h"

enum {
    LINKS_MAX = 15, /* a node marks what it has packed in 32 bits */
    TAPS_MAX = 32,
    PIECE_FLOATS = 48 * 1024, /* of a value in a task: three or four, with a convolution's scratch, fit in a 1 MiB second-level cache */
    PIECE_MIN = 96, /* outputs of a task */
};

typedef struct link {
    koe_conv_geometry g;
    koe_conv_state *s;
    int from, add, add2;
    float leaky, scale;
} link;

typedef struct chain {
    size_t n, channels;
    int slot[LINKS_MAX]; /* of value j + 1: where in scratch it is kept */
    int n_slot;
    link link[LINKS_MAX];
} chain;

/* ---- prepare ------------------------------------------------------------------------------------------------------------ */

static koe_status bad(const koe_node *node, koe_error *err, const char *what)
{
    return koe_fail(err, KOE_E_FORMAT, "ConvChain %.*s: %s", KOE_STR_ARG(node->name), what);
}

static void release(void *state)
{
    chain *c = state;
    for (size_t j = 0; c && j < c->n; j++) koe_conv_release_state(c->link[j].s);
    free(c);
}

/* Attribute `name`, a number for each convolution, all in low..high. */
static koe_status read_numbers(const koe_node *node, const char *name, size_t n, int64_t low, int64_t high, const int64_t **out, koe_error *err)
{
    if (koe_node_ints(node, name, out) != n) return bad(node, err, "an attribute needs a number for each convolution");
    for (size_t j = 0; j < n; j++)
        if ((*out)[j] < low || (*out)[j] > high) return bad(node, err, "an attribute is out of range");
    return KOE_OK;
}

static koe_status read_links(chain *c, const koe_node *node, koe_error *err)
{
    const int64_t *from, *add, *add2, *dilation, *pad;
    const int64_t last = (int64_t)c->n - 1;
    const koe_onnx_attr *leaky = koe_node_attr(node, "leaky"), *scale = koe_node_attr(node, "scale");
    koe_status st = read_numbers(node, "from", c->n, 0, last, &from, err);
    if (st == KOE_OK) st = read_numbers(node, "add", c->n, -1, last, &add, err);
    if (st == KOE_OK) st = read_numbers(node, "add2", c->n, -1, last, &add2, err);
    if (st == KOE_OK) st = read_numbers(node, "dilation", c->n, 1, 512, &dilation, err);
    if (st == KOE_OK) st = read_numbers(node, "pad", c->n, 0, TAPS_MAX * 512, &pad, err);
    if (st != KOE_OK) return st;
    if (!leaky || leaky->type != KOE_ATTR_FLOATS || leaky->n != c->n || !scale || scale->type != KOE_ATTR_FLOATS || scale->n != c->n)
        return bad(node, err, "leaky and scale need a number for each convolution");
    for (size_t j = 0; j < c->n; j++) {
        const koe_tensor *w = node->in_const[1 + 2 * j];
        const int64_t now = (int64_t)j;
        if (!w || w->dtype != KOE_DTYPE_F32 || w->n_dim != 3 || w->dim[0] != w->dim[1] || w->dim[0] != node->in_const[1]->dim[0] || w->dim[0] < 1 ||
            w->dim[2] < 1 || w->dim[2] > TAPS_MAX)
            return bad(node, err, "weights must be constant float32 of C x C x taps");
        if (from[j] > now || add[j] > now || add2[j] > now) return bad(node, err, "a value is read before it is made");
        const size_t taps = (size_t)w->dim[2], d = (size_t)dilation[j];
        if ((size_t)pad[j] > (taps - 1) * d) return bad(node, err, "the pad is longer than the filter");
        c->channels = (size_t)w->dim[0];
        c->link[j] = (link){ .from = (int)from[j], .add = (int)add[j], .add2 = (int)add2[j], .leaky = leaky->floats[j], .scale = scale->floats[j] };
        if (add[j] < 0) c->link[j].add = (int)add2[j], c->link[j].add2 = -1;
        c->link[j].g = (koe_conv_geometry){ .no_toom = node->no_toom, .n_spatial = 1, .group = 1, .c_in = c->channels, .c_out = c->channels,
            .kernel = { taps }, .stride = { 1 }, .dilation = { d }, .pad = { pad[j] }, .outer_kernel = 1 };
    }
    return KOE_OK;
}

static bool reads(const link *l, int value) { return l->from == value || l->add == value || l->add2 == value; }

/* Gives every value but x and the last a place that no value still needed has. */
static void place_values(chain *c)
{
    for (size_t j = 0; j + 1 < c->n; j++) {
        int at = 0;
        for (bool taken = true; taken; at += taken) {
            taken = false;
            for (size_t i = 0; i < j; i++)
                for (size_t k = j; k < c->n && c->slot[i] == at && !taken; k++) taken = reads(&c->link[k], (int)i + 1);
        }
        c->slot[j] = at;
        if (at >= c->n_slot) c->n_slot = at + 1;
    }
}

static koe_status prepare(koe_node *node, void **state, koe_error *err)
{
    if (node->n_in < 3 || node->n_in % 2 == 0 || node->n_in > 2 * LINKS_MAX + 1) return bad(node, err, "1 to 15 convolutions are expected");
    chain *c = calloc(1, sizeof *c);
    if (!c) return koe_fail(err, KOE_E_NOMEM, "ConvChain");
    c->n = (size_t)node->n_in / 2;
    koe_status st = read_links(c, node, err);
    for (size_t j = 0; st == KOE_OK && j < c->n; j++) {
        link *l = &c->link[j];
        const int input = 1 + 2 * (int)j;
        st = koe_conv_make_state(&l->s, &l->g, node->in_const[input], node, input, koe_conv_choose_lp(node, &l->g, false), err);
    }
    if (st != KOE_OK) {
        release(c);
        return st;
    }
    place_values(c);
    *state = c;
    return KOE_OK;
}

/* ---- run ---------------------------------------------------------------------------------------------------------------- */

typedef struct call {
    const chain *c;
    const float *x, *bias[LINKS_MAX];
    float *y;
    size_t length; /* in time */
    size_t piece, n_piece; /* outputs of a task; tasks of one batch entry */
    size_t pitch; /* floats of a row of a value in scratch */
} call;

/* Piece from..to of a value in time; element t of row r is at p[r * ld + t - from]. */
typedef struct view {
    float *p;
    size_t ld, from, to;
} view;

/* What of each value the outputs from..to need: v[0 .. n], from and to only. */
static void find_needs(const call *k, size_t from, size_t to, view *v)
{
    const chain *c = k->c;
    for (size_t j = 0; j < c->n; j++) v[j] = (view){ .from = k->length, .to = 0 };
    v[c->n] = (view){ .from = from, .to = to };
    for (size_t j = c->n; j-- > 0;) {
        const link *l = &c->link[j];
        const size_t pad = (size_t)l->g.pad[0], ahead = (l->g.kernel[0] - 1) * l->g.dilation[0] - pad;
        const view out = v[j + 1];
        const int other[] = { l->add, l->add2 };
        if (out.from >= out.to) continue; /* nobody reads it */
        view *in = &v[l->from];
        const size_t first = out.from > pad ? out.from - pad : 0, end = out.to + ahead < k->length ? out.to + ahead : k->length;
        if (first < in->from) in->from = first;
        if (end > in->to) in->to = end;
        for (size_t i = 0; i < 2; i++)
            if (other[i] >= 0) {
                view *a = &v[other[i]];
                if (out.from < a->from) a->from = out.from;
                if (out.to > a->to) a->to = out.to;
            }
    }
}

/* Convolution j for the piece `out` from `in`; off has room for its taps. */
static bool plan_link(const link *l, const view *in, const view *out, size_t *off, koe_f32_conv *v)
{
    enum { MANY = 1024 }; /* convolutions at a time: output channels are not shared out */
    *v = (koe_f32_conv){ .co = l->g.c_out, .rows = l->g.c_in, .taps = l->g.kernel[0], .toom = &l->s->toom, .stride = 1,
        .dilation = l->g.dilation[0], .pad = l->g.pad[0] + (int64_t)in->from - (int64_t)out->from, .pos = l->s->pos, .n_in = in->to - in->from,
        .n_out = out->to - out->from, .y_step = 1, .rows_per_channel = 1 };
    return koe_f32_conv_plan(v, off, MANY) && (!l->s->lp || koe_lp_conv_plan(l->s->lp, v));
}

static const float *find_row(const void *arg, size_t r)
{
    const view *v = arg;
    return v->p + r * v->ld;
}

static void run_link(const link *l, const float *bias, const view *value, const view *out, float *scratch)
{
    size_t off[TAPS_MAX];
    koe_f32_conv v;
    const view *in = &value[l->from];
    const koe_f32_prologue pre = { .kind = KOE_PRE_LEAKY, .slope = l->leaky };
    koe_f32_epilogue ep = { .bias_row = bias, .scale = l->scale };
    if (l->add >= 0) ep.residual = value[l->add].p + (out->from - value[l->add].from), ep.ld_residual = value[l->add].ld;
    if (l->add2 >= 0) ep.addend = value[l->add2].p + (out->from - value[l->add2].from), ep.ld_addend = value[l->add2].ld;
    plan_link(l, in, out, off, &v);
    for (size_t t = 0; t < v.n_tile * v.n_co; t++) {
        if (l->s->lp)
            koe_lp_conv_task(l->s->lp, &v, t, out->p, out->ld, l->s->words, l->s->sum, l->s->scale, find_row, in, l->leaky != 1 ? &pre : NULL, &ep,
                             scratch);
        else koe_f32_conv_task(&v, t, out->p, out->ld, l->s->packed, find_row, in, l->leaky != 1 ? &pre : NULL, &ep, scratch);
    }
}

static void run_piece(void *arg, size_t task, void *memory)
{
    const call *k = arg;
    const chain *c = k->c;
    const size_t entry = task / k->n_piece * c->channels * k->length, from = task % k->n_piece * k->piece;
    const size_t to = k->length - from < k->piece ? k->length : from + k->piece;
    float *scratch = memory;
    view v[LINKS_MAX + 1];
    find_needs(k, from, to, v);
    v[0] = (view){ .p = (float *)(uintptr_t)(k->x + entry), .ld = k->length, .to = k->length };
    v[c->n].p = k->y + entry + from;
    v[c->n].ld = k->length;
    for (size_t j = 1; j < c->n; j++) v[j].p = scratch + (size_t)c->slot[j - 1] * c->channels * k->pitch, v[j].ld = k->pitch;
    scratch += (size_t)c->n_slot * c->channels * k->pitch;
    for (size_t j = 0; j < c->n; j++)
        if (v[j + 1].from < v[j + 1].to) run_link(&c->link[j], k->bias[j], v, &v[j + 1], scratch);
}

/* Sets pitch and returns the bytes of scratch that the largest task needs; SIZE_MAX when there is no plan. */
static size_t measure(call *k)
{
    const chain *c = k->c;
    size_t widest = 0, most = 0, off[TAPS_MAX], total;
    for (size_t from = 0; from < k->length; from += k->piece) {
        view v[LINKS_MAX + 1];
        koe_f32_conv plan;
        find_needs(k, from, k->length - from < k->piece ? k->length : from + k->piece, v);
        v[0] = (view){ .to = k->length };
        for (size_t j = 0; j < c->n; j++) {
            if (v[j + 1].from >= v[j + 1].to) continue;
            if (!plan_link(&c->link[j], &v[c->link[j].from], &v[j + 1], off, &plan)) return SIZE_MAX;
            if (plan.scratch > most) most = plan.scratch;
            if (v[j + 1].to - v[j + 1].from > widest) widest = v[j + 1].to - v[j + 1].from;
        }
    }
    k->pitch = (widest + 15) / 16 * 16;
    if (k->pitch % 256 == 0) k->pitch += 16; /* rows a multiple of 1 KiB apart compete for the same lines of cache */
    if (__builtin_mul_overflow((size_t)c->n_slot * c->channels, k->pitch, &total) || __builtin_add_overflow(total, most, &total) ||
        __builtin_mul_overflow(total, sizeof(float), &total))
        return SIZE_MAX;
    return total;
}

static koe_status run(koe_op_ctx *ctx, koe_error *err)
{
    const chain *c = ctx->state;
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(ctx, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_F32) return koe_type_error(ctx, x->dtype, err);
    if (x->n_dim != 3 || x->dim[1] != (int64_t)c->channels) return bad(ctx->node, err, "the input's channels are not those of the weights");
    call k = { .c = c, .length = (size_t)x->dim[2] };
    for (size_t j = 0; j < c->n; j++) {
        const koe_tensor *b = koe_in(ctx, 2 + 2 * (int)j);
        if (b && (b->dtype != KOE_DTYPE_F32 || koe_tensor_count(b) != c->channels)) return bad(ctx->node, err, "a bias needs a number for each channel");
        k.bias[j] = b ? b->data : NULL;
    }
    st = koe_out(ctx, 0, KOE_DTYPE_F32, 3, x->dim, &y, err);
    if (st != KOE_OK || koe_tensor_count(y) == 0) return st;
    k.x = x->data;
    k.y = y->data;
    const size_t most = PIECE_FLOATS / c->channels > PIECE_MIN ? PIECE_FLOATS / c->channels : PIECE_MIN;
    k.n_piece = (k.length + most - 1) / most;
    k.piece = (k.length + k.n_piece - 1) / k.n_piece;
    k.n_piece = (k.length + k.piece - 1) / k.piece;
    const size_t n_bytes = measure(&k);
    if (n_bytes == SIZE_MAX) return bad(ctx->node, err, "the convolutions are too large");
    return koe_tasks_run(ctx, (size_t)x->dim[0] * k.n_piece, n_bytes, run_piece, &k, err);
}

static const koe_op ops[] = { { "ConvChain", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare, release, run, "koe" } };

koe_op_table koe_ops_conv_chain(void) { return KOE_OP_TABLE(ops); }
