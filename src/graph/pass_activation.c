/* pass_activation.c - activations that exporters write out become the operator they are, with one vector kernel.
 *
 *     x * 0.5 * (1 + Erf(x / sqrt(2)))                                Gelu
 *     x * 0.5 * (1 + Tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))       Gelu, approximate=tanh (or sqrt(2 / pi) * x * (1 + 0.044715 * x^2))
 *     x * Sigmoid(x)                                                  Silu
 *     x * Sigmoid(1.702 * x)                                          QuickGelu
 *     x * Tanh(Softplus(x))                                           Mish
 *     Tanh(a) * Sigmoid(b)                                            Gate(a, b): the gated unit of WaveNet,
 *     Tanh(Slice(x, 0, C)) * Sigmoid(Slice(x, C, 2 C))                Gate(x) over the channels of one tensor
 *
 * Products may be in any order and grouped in any way. */
#include "graph/pass.h"

enum { MAX_FACTORS = 4 };

/* The factors of a product, the products inside that nobody else reads taken apart. */
typedef struct factors {
    int slot[MAX_FACTORS];
    int n;
} factors;

static void collect(const koe_pass *p, int slot, int depth, factors *f)
{
    const koe_node *mul = depth ? koe_pass_inner(p, slot, "Mul") : NULL;
    if (mul) {
        collect(p, mul->in[0], depth - 1, f);
        collect(p, mul->in[1], depth - 1, f);
    } else if (f->n < MAX_FACTORS)
        f->slot[f->n++] = slot;
    else
        f->n = MAX_FACTORS + 1; /* too many */
}

static bool factors_of(const koe_pass *p, const koe_node *mul, factors *f)
{
    f->n = 0;
    collect(p, mul->in[0], 2, f);
    collect(p, mul->in[1], 2, f);
    return f->n <= MAX_FACTORS;
}

/* Takes out the factor equal to `slot`, or, with -1, one that is about `x`. */
static bool take(const koe_pass *p, factors *f, int slot, double x)
{
    for (int i = 0; i < f->n; i++)
        if (slot >= 0 ? f->slot[i] == slot : koe_pass_is_about(p, f->slot[i], x)) {
            f->slot[i] = f->slot[--f->n];
            return true;
        }
    return false;
}

static koe_node *inner_of(const koe_pass *p, const factors *f, const char *op)
{
    for (int i = 0; i < f->n; i++) {
        koe_node *n = koe_pass_inner(p, f->slot[i], op);
        if (n) return n;
    }
    return NULL;
}

/* Is `slot` u * factor, or u / divisor? Sets *u. */
static bool is_scaled(const koe_pass *p, int slot, double factor, int *u)
{
    const koe_node *mul = koe_pass_inner(p, slot, "Mul"), *div = koe_pass_inner(p, slot, "Div");
    for (int i = 0; mul && i < 2; i++)
        if (koe_pass_is_about(p, mul->in[1 - i], factor)) return *u = mul->in[i], true;
    return div && koe_pass_is_about(p, div->in[1], 1 / factor) ? (*u = div->in[0], true) : false;
}

/* The operand of an Add whose other one is 1. */
static int plus_one(const koe_pass *p, const koe_node *add)
{
    for (int i = 0; add && i < 2; i++)
        if (koe_pass_is_about(p, add->in[i], 1)) return add->in[1 - i];
    return -1;
}

/* x^n, n 2 or 3. */
static bool is_power(const koe_pass *p, int slot, int x, int n)
{
    const koe_node *pow = koe_pass_inner(p, slot, "Pow"), *mul = koe_pass_inner(p, slot, "Mul");
    if (pow) return pow->in[0] == x && koe_pass_is_about(p, pow->in[1], n);
    if (!mul) return false;
    if (n == 2) return mul->in[0] == x && mul->in[1] == x;
    return (mul->in[0] == x && is_power(p, mul->in[1], x, 2)) || (mul->in[1] == x && is_power(p, mul->in[0], x, 2));
}

static bool is_cubic_term(const koe_pass *p, int slot, int x, int n)
{
    const koe_node *mul = koe_pass_inner(p, slot, "Mul");
    factors f;
    if (!mul) return false;
    for (int i = 0; i < 2; i++)
        if (koe_pass_is_about(p, mul->in[i], 0.044715) && is_power(p, mul->in[1 - i], x, n)) return true;
    return factors_of(p, mul, &f) && f.n == n + 1 && take(p, &f, -1, 0.044715) && take(p, &f, x, 0) && take(p, &f, x, 0) && (n == 2 || take(p, &f, x, 0));
}

/* sqrt(2 / pi) * (x + 0.044715 x^3). */
static bool is_tanh_argument(const koe_pass *p, int slot, int x)
{
    const double root = 0.79788456080286535588;
    const koe_node *mul = koe_pass_inner(p, slot, "Mul");
    factors f;
    if (!mul || !factors_of(p, mul, &f) || !take(p, &f, -1, root)) return false;
    const bool times_x = f.n == 2;
    if (times_x && !take(p, &f, x, 0)) return false;
    const koe_node *add = f.n == 1 ? koe_pass_inner(p, f.slot[0], "Add") : NULL;
    for (int i = 0; add && i < 2; i++) {
        const bool first = times_x ? koe_pass_is_about(p, add->in[1 - i], 1) : add->in[1 - i] == x;
        if (first && is_cubic_term(p, add->in[i], x, times_x ? 2 : 3)) return true;
    }
    return false;
}

static koe_status unary(koe_pass *p, koe_node *node, const char *op, int x, koe_error *err)
{
    return koe_pass_replace(p, node, op, &x, 1, err);
}

/* 0.5 * x * (1 + f(x)): sets *done. */
static koe_status take_gelu(koe_pass *p, koe_node *mul, const factors *all, bool *done, koe_error *err)
{
    factors f = *all;
    const koe_node *add = inner_of(p, &f, "Add");
    const int core = plus_one(p, add);
    if (core < 0 || f.n != 3 || !take(p, &f, add->out[0], 0) || !take(p, &f, -1, 0.5)) return KOE_OK;
    const int x = f.slot[0];
    const koe_node *erf = koe_pass_inner(p, core, "Erf"), *tanh = koe_pass_inner(p, core, "Tanh");
    int u;
    if (!koe_pass_is_float(p, x)) return KOE_OK;
    if (erf && is_scaled(p, erf->in[0], 0.70710678118654752440, &u) && u == x) {
        *done = true;
        return unary(p, mul, "Gelu", x, err);
    }
    if (!tanh || !is_tanh_argument(p, tanh->in[0], x)) return KOE_OK;
    *done = true;
    koe_status st = unary(p, mul, "Gelu", x, err);
    return st == KOE_OK ? koe_pass_set_str(p, mul, "approximate", "tanh", err) : st;
}

/* The channels [from, to) of a tensor with 2 * C of them, [0, C) or [C, 2 C); -1 when `slot` is nothing of the kind. */
static int half_of(const koe_pass *p, int slot, bool second)
{
    const koe_node *slice = koe_pass_inner(p, slot, "Slice");
    koe_values from, to, axes, steps;
    koe_shape x;
    if (!slice || !koe_shape_of(p->shapes, slice->in[0], &x) || x.n_dim != 3 || x.dim[1].symbol || x.dim[1].v % 2) return -1;
    if (!koe_values_of(p->shapes, slice->in[1], &from) || !koe_values_of(p->shapes, slice->in[2], &to) || from.n != 1 || to.n != 1) return -1;
    if (!koe_values_of(p->shapes, slice->in[3], &axes) || axes.n != 1 || !(koe_dim_is(axes.v[0], 1) || koe_dim_is(axes.v[0], -2))) return -1;
    if (slice->in[4] >= 0 && (!koe_values_of(p->shapes, slice->in[4], &steps) || !koe_dim_is(steps.v[0], 1))) return -1;
    if (from.v[0].symbol || to.v[0].symbol) return -1;
    const int64_t half = x.dim[1].v / 2, first = from.v[0].v < 0 ? from.v[0].v + 2 * half : from.v[0].v;
    const int64_t last = to.v[0].v < 0 ? to.v[0].v + 2 * half : to.v[0].v;
    if (first != (second ? half : 0)) return -1;
    return (second ? last >= 2 * half : last == half) ? slice->in[0] : -1;
}

static koe_status take_gate(koe_pass *p, koe_node *mul, const koe_node *tanh, const koe_node *sigmoid, koe_error *err)
{
    koe_shape a, b;
    const int x = half_of(p, tanh->in[0], false);
    if (x >= 0 && half_of(p, sigmoid->in[0], true) == x && koe_pass_is_float(p, x)) return koe_pass_replace(p, mul, "Gate", &x, 1, err);
    if (!koe_shape_of(p->shapes, tanh->in[0], &a) || !koe_shape_of(p->shapes, sigmoid->in[0], &b) || a.n_dim != b.n_dim) return KOE_OK;
    for (int i = 0; i < a.n_dim; i++)
        if (!koe_dim_same(a.dim[i], b.dim[i])) return KOE_OK;
    if (!koe_pass_is_float(p, tanh->in[0])) return KOE_OK;
    return koe_pass_replace(p, mul, "Gate", (int[]){ tanh->in[0], sigmoid->in[0] }, 2, err);
}

static koe_status take_product(koe_pass *p, koe_node *mul, koe_error *err)
{
    factors f;
    bool done = false;
    int u;
    if (!factors_of(p, mul, &f)) return KOE_OK;
    koe_status st = take_gelu(p, mul, &f, &done, err);
    if (st != KOE_OK || done || f.n != 2) return st;
    for (int i = 0; i < 2; i++) {
        const int x = f.slot[1 - i];
        const koe_node *sigmoid = koe_pass_inner(p, f.slot[i], "Sigmoid"), *tanh = koe_pass_inner(p, f.slot[i], "Tanh");
        const koe_node *other = sigmoid ? koe_pass_inner(p, x, "Tanh") : NULL;
        const koe_node *softplus = tanh ? koe_pass_inner(p, tanh->in[0], "Softplus") : NULL;
        if (other) return take_gate(p, mul, other, sigmoid, err);
        if (!koe_pass_is_float(p, x)) continue;
        if (sigmoid && sigmoid->in[0] == x) return unary(p, mul, "Silu", x, err);
        if (sigmoid && is_scaled(p, sigmoid->in[0], 1.702, &u) && u == x) return unary(p, mul, "QuickGelu", x, err);
        if (softplus && softplus->in[0] == x) return unary(p, mul, "Mish", x, err);
    }
    return KOE_OK;
}

koe_status koe_pass_activation(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (koe_pass_is_op(p->plan->node[i], "", "Mul")) st = take_product(p, p->plan->node[i], err);
    return st;
}
