/* pass_elementwise.c - elementwise operators that other passes have left are run together, in one sweep over tiles that stay in cache.
 *
 *     x ─► Add(z) ─► Div(3) ─► Sin ─┐
 *     └────► Greater(0) ─► Cast ────┴► Mul ─►          x, z ─► Elementwise(add, div, sin, gt, mul) ─►
 *
 * Together are operators whose results only each other read, and which have the shape of the last one's; their inputs may broadcast.
 * Comparisons stay inside: their truth is 1 and 0 there. */
#include <stdlib.h>

#include "graph/pass.h"
#include "kernels/steps.h"

enum { MAX_STEPS = 24, MAX_IN = 8 }; /* of those that the operator takes */

/* The step of a node: -1 when it has none. *k is its constant. */
static int step_of(const koe_pass *p, const koe_node *n, float *k)
{
    static const struct {
        const char *op;
        int n_in;
        koe_step step;
    } plain[] = { { "Add", 2, KOE_STEP_ADD }, { "Sub", 2, KOE_STEP_SUB }, { "Mul", 2, KOE_STEP_MUL }, { "Div", 2, KOE_STEP_DIV },
                  { "Max", 2, KOE_STEP_MAX }, { "Min", 2, KOE_STEP_MIN }, { "Less", 2, KOE_STEP_LT }, { "LessOrEqual", 2, KOE_STEP_LE },
                  { "Greater", 2, KOE_STEP_GT }, { "GreaterOrEqual", 2, KOE_STEP_GE }, { "Equal", 2, KOE_STEP_EQ }, { "And", 2, KOE_STEP_AND },
                  { "Or", 2, KOE_STEP_OR }, { "Not", 1, KOE_STEP_NOT }, { "Neg", 1, KOE_STEP_NEG }, { "Abs", 1, KOE_STEP_ABS },
                  { "Sqrt", 1, KOE_STEP_SQRT }, { "Reciprocal", 1, KOE_STEP_INVERSE }, { "Relu", 1, KOE_STEP_RELU },
                  { "LeakyRelu", 1, KOE_STEP_LEAKY }, { "Floor", 1, KOE_STEP_FLOOR }, { "Exp", 1, KOE_STEP_EXP }, { "Sin", 1, KOE_STEP_SIN },
                  { "Cos", 1, KOE_STEP_COS }, { "Tanh", 1, KOE_STEP_TANH }, { "Sigmoid", 1, KOE_STEP_SIGMOID }, { "Erf", 1, KOE_STEP_ERF },
                  { "Where", 3, KOE_STEP_SELECT } };
    if (koe_str_is(n->domain, "koe") && n->n_in == 1) {
        if (koe_str_is(n->op_type, "Gelu")) return koe_str_is(koe_node_str(n, "approximate", ""), "tanh") ? KOE_STEP_GELU_TANH : KOE_STEP_GELU;
        if (koe_str_is(n->op_type, "Silu")) return KOE_STEP_SILU;
        return koe_str_is(n->op_type, "Mish") ? KOE_STEP_MISH : -1;
    }
    if (n->domain.n || n->n_out != 1) return -1;
    if (koe_str_is(n->op_type, "LeakyRelu")) *k = koe_node_float(n, "alpha", 0.01f);
    if (koe_str_is(n->op_type, "Pow") && n->n_in == 2)
        return koe_pass_is_scalar(p, n->in[1], 2) ? KOE_STEP_SQUARE : koe_pass_is_scalar(p, n->in[1], 3) ? KOE_STEP_CUBE : -1;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (koe_str_is(n->op_type, plain[i].op) && n->n_in == plain[i].n_in) return (int)plain[i].step;
    return -1;
}

/* A bool as the number it is. */
static bool is_truth_cast(const koe_pass *p, const koe_node *n)
{
    const koe_dtype to = (koe_dtype)koe_node_int(n, "to", 0);
    return koe_pass_is_op(n, "", "Cast") && n->n_in == 1 && n->n_out == 1 && koe_dtype_of(p->shapes, n->in[0]) == KOE_DTYPE_BOOL &&
           (to == KOE_DTYPE_BOOL || to == KOE_DTYPE_F32);
}

static bool is_truth_op(koe_step s) { return s == KOE_STEP_AND || s == KOE_STEP_OR || s == KOE_STEP_NOT; }

/* Does the node compute with float32 (or half) numbers, and truths? */
static bool is_elementwise(const koe_pass *p, const koe_node *n)
{
    float k = 0;
    if (!n || n->n_out != 1 || n->out[0] < 0) return false;
    if (is_truth_cast(p, n)) return true;
    const int s = step_of(p, n, &k);
    if (s < 0) return false;
    for (int i = 0; i < n->n_in; i++) {
        const bool truth = is_truth_op((koe_step)s) || (s == KOE_STEP_SELECT && i == 0);
        if (s == KOE_STEP_SQUARE || s == KOE_STEP_CUBE) return koe_pass_is_float(p, n->in[0]);
        if (truth ? koe_dtype_of(p->shapes, n->in[i]) != KOE_DTYPE_BOOL : !koe_pass_is_float(p, n->in[i])) return false;
    }
    return true;
}

/* ---- a group ------------------------------------------------------------------------------------------------------------- */

typedef struct group {
    koe_node *node[MAX_STEPS]; /* the last one's result is the group's */
    int n;
    int in[MAX_IN]; /* slots from outside */
    int n_in;
} group;

static bool has(const group *g, const koe_node *n)
{
    for (int i = 0; i < g->n; i++)
        if (g->node[i] == n) return true;
    return false;
}

static int reads_inside(const group *g, int slot)
{
    int n = 0;
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->node[i]->n_in; k++) n += g->node[i]->in[k] == slot;
    return n;
}

static koe_node *producer(const koe_pass *p, int slot) { return slot >= 0 && slot < p->n_slot ? p->producer[slot] : NULL; }

static bool same_shape(const koe_pass *p, int a, int b)
{
    koe_shape x, y;
    if (!koe_shape_of(p->shapes, a, &x) || !koe_shape_of(p->shapes, b, &y) || x.n_dim != y.n_dim) return false;
    for (int i = 0; i < x.n_dim; i++)
        if (!koe_dim_same(x.dim[i], y.dim[i])) return false;
    return true;
}

/* A constant that a step holds itself: one number, which adds no dimensions to the other operand. */
static bool is_number(const koe_pass *p, int slot, int other)
{
    koe_shape x;
    float k;
    const koe_tensor *t = koe_pass_constant(p, slot);
    return t && !koe_pass_constant(p, other) && koe_pass_scalar(p, slot, &k) && koe_shape_of(p->shapes, other, &x) && t->n_dim <= x.n_dim;
}

/* Fills g->in; false when there are too many, or one is no number. */
static bool find_inputs(const koe_pass *p, group *g)
{
    g->n_in = 0;
    for (int i = 0; i < g->n; i++) {
        const koe_node *n = g->node[i];
        const bool power = koe_str_is(n->op_type, "Pow");
        for (int j = 0; j < (power ? 1 : n->n_in); j++) {
            const int slot = n->in[j];
            bool known = has(g, producer(p, slot)) || (n->n_in == 2 && is_number(p, slot, n->in[1 - j]));
            for (int m = 0; m < g->n_in; m++) known |= g->in[m] == slot;
            if (known) continue;
            if (g->n_in == MAX_IN || !koe_pass_is_float(p, slot)) return false;
            g->in[g->n_in++] = slot;
        }
    }
    return g->n_in > 0;
}

/* Adds what only the group reads, as long as something is found; the sink stays last. */
static void grow(const koe_pass *p, group *g)
{
    const int out = g->node[0]->out[0];
    int budget = 128; /* bounds the work on a hostile graph */
    for (int i = 0; i < g->n && g->n < MAX_STEPS; i++) /* node[0] is the sink here */
        for (int k = 0; k < g->node[i]->n_in && g->n < MAX_STEPS; k++) {
            const int slot = g->node[i]->in[k];
            koe_node *n = producer(p, slot);
            if (!n || has(g, n) || budget-- <= 0 || !is_elementwise(p, n) || !same_shape(p, slot, out)) continue;
            if (reads_inside(g, slot) != p->n_reads[slot]) continue;
            g->node[g->n++] = n;
            i = -1; /* others may have all of their readers inside now */
            break;
        }
}

/* Takes out nodes that read a truth from outside, or, failing that, those found last, until the inputs are as they should be. */
static bool settle(const koe_pass *p, group *g)
{
    while (g->n > 1) {
        int bad = -1;
        for (int i = 0; i < g->n && bad < 0; i++)
            for (int k = 0; k < g->node[i]->n_in; k++)
                if (koe_dtype_of(p->shapes, g->node[i]->in[k]) == KOE_DTYPE_BOOL && !has(g, producer(p, g->node[i]->in[k]))) bad = i;
        if (bad < 0 && find_inputs(p, g)) return true;
        if (bad < 0) bad = 0; /* the earliest in the order of the plan */
        if (bad == g->n - 1) return false;
        /* Without it those that only it read have a reader outside. */
        bool gone[MAX_STEPS] = { false };
        gone[bad] = true;
        for (int i = bad; i >= 0; i--) {
            int reads = 0;
            for (int m = 0; m < g->n; m++)
                for (int k = 0; k < g->node[m]->n_in; k++) reads += !gone[m] && g->node[m]->in[k] == g->node[i]->out[0];
            if (i != g->n - 1 && reads != p->n_reads[g->node[i]->out[0]]) gone[i] = true;
        }
        int n = 0;
        for (int i = 0; i < g->n; i++)
            if (!gone[i]) g->node[n++] = g->node[i];
        g->n = n;
    }
    return false;
}

/* ---- its program ---------------------------------------------------------------------------------------------------------- */

typedef struct code {
    int64_t step[4 * MAX_STEPS];
    float k[MAX_STEPS];
    int n;
    bool decides;
} code;

/* The operand that a slot is: an input, or the result of a step. */
static int operand(const koe_pass *p, const group *g, const int *result, int slot)
{
    for (int i = 0; i < g->n_in; i++)
        if (g->in[i] == slot) return i;
    for (int i = 0; i < g->n; i++)
        if (g->node[i] == producer(p, slot)) return result[i];
    return -1;
}

static void add_step(code *c, koe_step step, int a, int b, int d, float k)
{
    const int64_t s[4] = { step, a, b, d };
    memcpy(c->step + 4 * c->n, s, sizeof s);
    c->k[c->n++] = k;
}

static void compile(const koe_pass *p, const group *g, code *c)
{
    int result[MAX_STEPS];
    *c = (code){ .n = 0 };
    for (int i = 0; i < g->n; i++) {
        const koe_node *n = g->node[i];
        float k = 0;
        int step = step_of(p, n, &k), a = operand(p, g, result, n->in[0]), b = operand(p, g, result, n->in[1]);
        const int d = n->n_in == 3 ? operand(p, g, result, n->in[2]) : -1;
        result[i] = a; /* a Cast hands its operand on */
        if (step < 0) continue;
        if (n->n_in == 2 && step != KOE_STEP_SQUARE && step != KOE_STEP_CUBE) {
            static const koe_step turned[KOE_STEP_EQ + 1] = { [KOE_STEP_ADD] = KOE_STEP_ADD, [KOE_STEP_SUB] = KOE_STEP_RSUB, [KOE_STEP_MUL] = KOE_STEP_MUL,
                                                              [KOE_STEP_DIV] = KOE_STEP_RDIV, [KOE_STEP_MAX] = KOE_STEP_MAX, [KOE_STEP_MIN] = KOE_STEP_MIN,
                                                              [KOE_STEP_LT] = KOE_STEP_GT, [KOE_STEP_LE] = KOE_STEP_GE, [KOE_STEP_GT] = KOE_STEP_LT,
                                                              [KOE_STEP_GE] = KOE_STEP_LE, [KOE_STEP_EQ] = KOE_STEP_EQ };
            if (b < 0) koe_pass_scalar(p, n->in[1], &k);
            else if (a < 0) {
                koe_pass_scalar(p, n->in[0], &k);
                a = b;
                b = -1;
                step = (int)turned[step];
            }
        }
        result[i] = g->n_in + c->n;
        c->decides |= step == KOE_STEP_FLOOR || (step >= KOE_STEP_LT && step <= KOE_STEP_EQ);
        add_step(c, (koe_step)step, a, step == KOE_STEP_SQUARE || step == KOE_STEP_CUBE ? -1 : b, d, k);
    }
}

/* Nodes are numbered in the order of the model. */
static int by_place(const void *a, const void *b)
{
    const koe_node *const *x = a, *const *y = b;
    return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static koe_status take_group(koe_pass *p, koe_node *sink, koe_error *err)
{
    group g = { .node = { sink }, .n = 1 };
    code c;
    if (!is_elementwise(p, sink) || !koe_pass_is_float(p, sink->out[0])) return KOE_OK;
    grow(p, &g);
    qsort(g.node, (size_t)g.n, sizeof *g.node, by_place);
    if (g.node[g.n - 1] != sink || !settle(p, &g)) return KOE_OK;
    compile(p, &g, &c);
    if (c.n < 2) return KOE_OK;
    for (int i = 0; i < g.n - 1; i++) p->n_reads[g.node[i]->out[0]] = 0; /* read by nobody from now on */
    koe_status st = koe_pass_replace(p, sink, "Elementwise", g.in, g.n_in, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, sink, "steps", c.step, (size_t)(4 * c.n), err);
    if (st == KOE_OK) st = koe_pass_set_floats(p, sink, "constants", c.k, (size_t)c.n, err);
    if (st == KOE_OK && c.decides) st = koe_pass_set_float(p, sink, "decides", 1, err);
    return st;
}

koe_status koe_pass_elementwise(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    /* From the end: a group is as large as can be before one of its inner nodes could begin its own. */
    for (int i = p->plan->n_node - 1; i >= 0 && st == KOE_OK; i--) {
        koe_node *n = p->plan->node[i];
        const int slot = n->n_out == 1 ? n->out[0] : -1;
        if (slot >= 0 && slot < p->n_slot && p->n_reads[slot] > 0) st = take_group(p, n, err);
    }
    return st;
}
