/* pass_istft.c - the inverse STFT at the end of a vocoder, as exporters write it.
 *
 *     x ─┬► Slice(..F) ─► [Exp] ─ m ──┬► Mul(Cos(p)) ─► ConvTranspose(w_re) ─► Sub ─► [Slice: trimmed] ─►
 *        └► Slice(F..) ─► [Sin] ─ p ──┴► Mul(Sin(p)) ─► ConvTranspose(w_im) ────┘
 *     x ─► InverseSTFT(w_re, w_im) ─►
 *
 * Magnitude and phase may also be two values; without the products, what the transposed convolutions read is real and imaginary part. */
#include "graph/pass.h"

enum { A, B, W_RE, W_IM, N_IN };
enum { KERNEL_MAX = 4096, WEIGHTS_MAX = 1 << 16 }; /* what the operator takes (ops/istft.c) */

typedef struct match {
    int in[N_IN];
    int64_t stride, pads[2];
    float sign;
    bool polar, exp, sin;
} match;

static bool are_all(const koe_node *node, const char *name, int64_t x)
{
    const int64_t *v;
    const size_t n = koe_node_ints(node, name, &v);
    for (size_t i = 0; i < n; i++)
        if (v[i] != x) return false;
    return true;
}

/* A transposed convolution of several channels into one, by constant weights and without more; NULL when `slot` is none, or has other readers. */
static const koe_node *basis(const koe_pass *p, int slot, int64_t *stride, int64_t pads[2])
{
    const koe_node *n = koe_pass_inner(p, slot, "ConvTranspose");
    const koe_tensor *w = n ? koe_pass_constant(p, n->in[1]) : NULL;
    const int64_t *s, *given;
    if (!w || w->n_dim != 3 || w->dim[1] != 1 || !koe_pass_is_float(p, n->in[1]) || !koe_pass_is_float(p, n->in[0]) || n->in[2] >= 0) return NULL;
    if (w->dim[2] < 1 || w->dim[2] > KERNEL_MAX || w->dim[0] < 1 || w->dim[0] > WEIGHTS_MAX / 2 / w->dim[2]) return NULL;
    if (!koe_str_is(koe_node_str(n, "auto_pad", "NOTSET"), "NOTSET") || koe_node_attr(n, "output_shape") || koe_node_int(n, "group", 1) != 1) return NULL;
    if (!are_all(n, "output_padding", 0) || !are_all(n, "dilations", 1) || !are_all(n, "kernel_shape", w->dim[2])) return NULL;
    const size_t n_stride = koe_node_ints(n, "strides", &s), n_pads = koe_node_ints(n, "pads", &given);
    *stride = n_stride == 1 ? s[0] : 1;
    if (n_stride > 1 || *stride < 1 || *stride > w->dim[2] || (n_pads && n_pads != 2)) return NULL;
    for (int i = 0; i < 2; i++) {
        pads[i] = n_pads ? given[i] : 0;
        if (pads[i] < 0 || pads[i] > w->dim[2] / 2) return NULL; /* then something is left of any input */
    }
    return n;
}

/* Are both of one shape, with three dimensions? */
static bool alike(const koe_pass *p, int a, int b)
{
    koe_shape x, y;
    if (!koe_shape_of(p->shapes, a, &x) || !koe_shape_of(p->shapes, b, &y) || x.n_dim != 3 || y.n_dim != 3) return false;
    return koe_dim_same(x.dim[0], y.dim[0]) && koe_dim_same(x.dim[1], y.dim[1]) && koe_dim_same(x.dim[2], y.dim[2]);
}

/* in[A] and in[B] as magnitude and phase: re = m * cos(phase), im = m * sin(phase). */
static void find_polar(const koe_pass *p, match *m)
{
    const koe_node *re = koe_pass_inner(p, m->in[A], "Mul"), *im = koe_pass_inner(p, m->in[B], "Mul");
    for (int i = 0; re && im && i < 4; i++) {
        const koe_node *cos = koe_pass_inner(p, re->in[i % 2], "Cos"), *sin = koe_pass_inner(p, im->in[i / 2], "Sin");
        const int magnitude = re->in[1 - i % 2];
        if (!cos || !sin || cos->in[0] != sin->in[0] || im->in[1 - i / 2] != magnitude) continue;
        const int phase = cos->in[0];
        if (!alike(p, magnitude, phase) || !koe_pass_is_float(p, magnitude) || !koe_pass_is_float(p, phase)) return;
        const koe_node *exp = koe_pass_producer(p, magnitude, "Exp"), *wave = koe_pass_producer(p, phase, "Sin");
        m->polar = true;
        m->exp = exp && p->n_reads[magnitude] == 2;
        m->sin = wave && p->n_reads[phase] == 2;
        m->in[A] = m->exp ? exp->in[0] : magnitude;
        m->in[B] = m->sin ? wave->in[0] : phase;
        return;
    }
}

/* Reads one number of a Slice's input. */
static bool one_value(const koe_pass *p, int slot, int64_t missing, int64_t *out)
{
    koe_values v;
    *out = missing;
    if (slot < 0) return true;
    if (!koe_values_of(p->shapes, slot, &v) || v.n != 1 || v.v[0].symbol) return false;
    *out = v.v[0].v;
    return true;
}

/* A Slice of one axis of a value with three dimensions, step 1: from..to as given. */
static bool read_slice(const koe_pass *p, const koe_node *slice, int axis, int64_t *from, int64_t *to)
{
    int64_t on, step;
    koe_shape x;
    if (slice->in[1] < 0 || slice->in[2] < 0 || !koe_shape_of(p->shapes, slice->in[0], &x) || x.n_dim != 3) return false;
    if (!one_value(p, slice->in[1], 0, from) || !one_value(p, slice->in[2], 0, to) || !one_value(p, slice->in[4], 1, &step)) return false;
    return one_value(p, slice->in[3], 0, &on) && step == 1 && (on == axis || on == axis - 3);
}

/* When in[A] and in[B] are the two halves of one value's channels, that takes the place of in[A]. */
static void join_halves(const koe_pass *p, match *m, int64_t n_bin)
{
    const koe_node *a = koe_pass_producer(p, m->in[A], "Slice"), *b = koe_pass_producer(p, m->in[B], "Slice");
    int64_t from[2], to[2];
    koe_shape x;
    if (!a || !b || a->in[0] != b->in[0] || !read_slice(p, a, 1, &from[0], &to[0]) || !read_slice(p, b, 1, &from[1], &to[1])) return;
    if (!koe_shape_of(p->shapes, a->in[0], &x) || !koe_dim_is(x.dim[1], 2 * n_bin)) return;
    if (from[0] != 0 || (to[0] != n_bin && to[0] != -n_bin) || (from[1] != n_bin && from[1] != -n_bin) || to[1] < 2 * n_bin) return;
    m->in[A] = a->in[0];
    m->in[B] = -1;
}

static bool find(const koe_pass *p, const koe_node *sum, match *m)
{
    int64_t stride, pads[2];
    *m = (match){ .sign = koe_pass_is_op(sum, "", "Sub") ? -1.0f : 1.0f };
    const koe_node *re = basis(p, sum->in[0], &m->stride, m->pads), *im = basis(p, sum->in[1], &stride, pads);
    if (!re || !im || re == im || stride != m->stride || memcmp(pads, m->pads, sizeof pads) != 0) return false;
    const koe_tensor *w_re = koe_pass_constant(p, re->in[1]), *w_im = koe_pass_constant(p, im->in[1]);
    if (memcmp(w_re->dim, w_im->dim, 3 * sizeof *w_re->dim) != 0 || !alike(p, re->in[0], im->in[0])) return false;
    m->in[A] = re->in[0];
    m->in[B] = im->in[0];
    m->in[W_RE] = re->in[1];
    m->in[W_IM] = im->in[1];
    find_polar(p, m);
    join_halves(p, m, w_re->dim[0]);
    return true;
}

/* `node`, the sum or what trims it, becomes the operator. */
static koe_status become(koe_pass *p, koe_node *node, const match *m, koe_error *err)
{
    koe_status st = koe_pass_replace(p, node, "InverseSTFT", m->in, N_IN, err);
    if (st == KOE_OK) st = koe_pass_set_int(p, node, "stride", m->stride, err);
    if (st == KOE_OK) st = koe_pass_set_ints(p, node, "trim", m->pads, 2, err);
    if (st == KOE_OK) st = koe_pass_set_float(p, node, "sign", m->sign, err);
    if (st == KOE_OK && m->polar) st = koe_pass_set_int(p, node, "polar", 1, err);
    if (st == KOE_OK && m->exp) st = koe_pass_set_int(p, node, "exp", 1, err);
    if (st == KOE_OK && m->sin) st = koe_pass_set_int(p, node, "sin", 1, err);
    return st;
}

static koe_status take_trimmed(koe_pass *p, koe_node *slice, koe_error *err)
{
    enum { TRIM_MAX = 1 << 20 };
    const koe_node *sum = koe_pass_inner(p, slice->in[0], "Sub");
    int64_t from, to;
    match m;
    if (!sum) sum = koe_pass_inner(p, slice->in[0], "Add");
    if (!sum || !read_slice(p, slice, 2, &from, &to) || from < 0 || from > TRIM_MAX || to < -TRIM_MAX || (to >= 0 && to < INT32_MAX)) return KOE_OK;
    if (!find(p, sum, &m)) return KOE_OK;
    m.pads[0] += from;
    m.pads[1] += to < 0 ? -to : 0;
    p->n_reads[slice->in[0]] = 0;
    return become(p, slice, &m, err);
}

koe_status koe_pass_istft(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    match m;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (koe_pass_is_op(p->plan->node[i], "", "Slice")) st = take_trimmed(p, p->plan->node[i], err);
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++) {
        koe_node *n = p->plan->node[i];
        if (!koe_pass_is_op(n, "", "Sub") && !koe_pass_is_op(n, "", "Add")) continue;
        if (n->out[0] >= 0 && p->n_reads[n->out[0]] > 0 && find(p, n, &m)) st = become(p, n, &m, err);
    }
    return st;
}
