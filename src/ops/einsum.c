/* einsum.c - Einsum: "bhid,bhjd->bhij".
 * Every letter is a dimension; an operand is read with one stride for each letter (the sum of its strides where a letter repeats, 0 where it
 * does not occur), "..." stands for dimensions that broadcast. Two float32 operands whose letters fall into batch, rows, columns and
 * reduction are matrix products; everything else is one nest of loops over all letters. */
#include <inttypes.h>

#include "kernels/kernels.h"
#include "ops/ops.h"

enum { MAX_LABEL = 24, MAX_OPERAND = 8, ELLIPSIS = 128 /* labels of its dimensions, innermost first, from here on */ };

typedef struct label {
    int name;
    int64_t dim;
    int64_t stride[MAX_OPERAND]; /* in each operand */
    int64_t out; /* stride in the output; 0 where `summed` */
    bool summed;
} label;

typedef struct equation {
    label label[MAX_LABEL]; /* output letters in order, then the summed ones */
    int n_label, n_out;
    int n_operand;
} equation;

static koe_status bad(const koe_op_ctx *c, koe_error *err, const char *what)
{
    const koe_str e = koe_node_str(c->node, "equation", "");
    return koe_fail(err, KOE_E_FORMAT, "Einsum %.*s: %s in '%.*s'", KOE_STR_ARG(c->node->name), what, KOE_STR_ARG(e));
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* The labels of one term ("b...d") into name[KOE_MAX_DIM], spaces skipped. n_ellipsis: dimensions that "..." stands for. -1 when malformed. */
static int read_term(const char *p, const char *end, int n_ellipsis, int *name)
{
    int n = 0;
    bool dots = false;
    for (; p < end; p++) {
        if (*p == ' ') continue;
        if (is_letter(*p)) {
            if (n == KOE_MAX_DIM) return -1;
            name[n++] = *p;
        } else if (!dots && end - p >= 3 && p[0] == '.' && p[1] == '.' && p[2] == '.') {
            if (n + n_ellipsis > KOE_MAX_DIM) return -1;
            for (int i = n_ellipsis; i-- > 0;) name[n++] = ELLIPSIS + i;
            dots = true;
            p += 2;
        } else
            return -1;
    }
    return n;
}

static int count_letters(const char *p, const char *end)
{
    int n = 0;
    for (; p < end; p++) n += is_letter(*p);
    return n;
}

static label *find(equation *e, int name)
{
    for (int i = 0; i < e->n_label; i++)
        if (e->label[i].name == name) return &e->label[i];
    return NULL;
}

static label *add(equation *e, int name)
{
    if (e->n_label == MAX_LABEL) return NULL;
    label *l = &e->label[e->n_label++];
    *l = (label){ .name = name, .dim = 1, .summed = true };
    return l;
}

static koe_status read_operand(equation *e, const koe_op_ctx *c, int k, const char *p, const char *end, koe_error *err)
{
    const koe_tensor *t = koe_in(c, k);
    int name[KOE_MAX_DIM];
    const int letters = count_letters(p, end);
    const int n = letters <= t->n_dim ? read_term(p, end, t->n_dim - letters, name) : -1;
    if (n != t->n_dim) return bad(c, err, "a term does not fit its operand");
    int64_t step = 1;
    for (int i = n - 1; i >= 0; i--) {
        label *l = find(e, name[i]);
        if (!l && !(l = add(e, name[i]))) return bad(c, err, "too many letters");
        if (l->dim != 1 && t->dim[i] != 1 && l->dim != t->dim[i]) return bad(c, err, "dimensions of one letter differ");
        if (l->dim == 1) l->dim = t->dim[i];
        if (t->dim[i] != 1) l->stride[k] += step;
        step *= t->dim[i];
    }
    return KOE_OK;
}

static int compare(const label *a, const label *b)
{
    const bool a_dots = a->name >= ELLIPSIS, b_dots = b->name >= ELLIPSIS;
    if (a_dots != b_dots) return a_dots ? -1 : 1;
    return a_dots ? b->name - a->name : a->name - b->name;
}

/* Without "->": the ellipsis, then every letter that occurs once, in alphabetical order. */
static int implicit_output(equation *e, koe_str s, int *name)
{
    label *once[MAX_LABEL];
    int n = 0;
    for (int i = 0; i < e->n_label; i++) {
        int seen = 0;
        for (size_t k = 0; k < s.n; k++) seen += s.p[k] == e->label[i].name;
        if (e->label[i].name < ELLIPSIS && seen != 1) continue;
        int at = n++;
        for (; at > 0 && compare(&e->label[i], once[at - 1]) < 0; at--) once[at] = once[at - 1];
        once[at] = &e->label[i];
    }
    if (n > KOE_MAX_DIM) return -1;
    for (int i = 0; i < n; i++) name[i] = once[i]->name;
    return n;
}

static koe_status read_equation(equation *e, const koe_op_ctx *c, int64_t *dim, koe_error *err)
{
    const koe_str s = koe_node_str(c->node, "equation", "");
    size_t arrow = 0;
    *e = (equation){ .n_operand = c->n_in };
    if (c->n_in < 1 || c->n_in > MAX_OPERAND) return bad(c, err, "unsupported number of operands");
    while (arrow + 1 < s.n && !(s.p[arrow] == '-' && s.p[arrow + 1] == '>')) arrow++;
    const bool explicit = arrow + 1 < s.n;
    const koe_str left = { s.p, explicit ? arrow : s.n };
    const char *p = left.p, *end = left.p + left.n;
    int name[KOE_MAX_DIM], n_ellipsis = 0;
    for (int k = 0; k < c->n_in; k++) {
        const char *stop = p;
        while (stop < end && *stop != ',') stop++;
        if ((stop == end) != (k == c->n_in - 1)) return bad(c, err, "terms and operands differ in number");
        koe_status st = read_operand(e, c, k, p, stop, err);
        if (st != KOE_OK) return st;
        p = stop + 1;
    }
    for (int i = 0; i < e->n_label; i++)
        if (e->label[i].name >= ELLIPSIS && e->label[i].name - ELLIPSIS >= n_ellipsis) n_ellipsis = e->label[i].name - ELLIPSIS + 1;
    const int n = explicit ? read_term(s.p + arrow + 2, s.p + s.n, n_ellipsis, name) : implicit_output(e, left, name);
    if (n < 0) return bad(c, err, "malformed output");
    for (int i = 0; i < n; i++) {
        label *l = find(e, name[i]);
        if (!l || l < e->label + i) return bad(c, err, "an output letter is unknown or repeated");
        const label swap = e->label[i];
        e->label[i] = *l;
        *l = swap;
        dim[i] = e->label[i].dim;
        e->label[i].summed = false;
    }
    int64_t step = 1;
    for (int i = n - 1; i >= 0; i--) e->label[i].out = step, step *= dim[i];
    e->n_out = n;
    return KOE_OK;
}

/* ---- as matrix products ------------------------------------------------------------------------------------------------ */

typedef enum role { BATCH, ROW, COLUMN, REDUCED, N_ROLE } role;

/* Letters of one role, seen as a single index; strides in a, b and the output. */
typedef struct group {
    size_t n;
    int64_t a, b, out;
} group;

/* Appends a letter that runs faster than those before; false when the two are not one run in memory. */
static bool append(group *g, const label *l)
{
    if (l->dim == 1) return true;
    if (g->n != 1 && (g->a != l->stride[0] * l->dim || g->b != l->stride[1] * l->dim || g->out != l->out * l->dim)) return false;
    *g = (group){ g->n * (size_t)l->dim, l->stride[0], l->stride[1], l->out };
    return true;
}

/* c[i][m][n] = a * b for each i when the letters allow it. */
static bool as_products(const equation *e, const float *a, const float *b, float *y)
{
    group g[N_ROLE] = { { .n = 1 }, { .n = 1 }, { .n = 1 }, { .n = 1 } };
    for (int i = 0; i < e->n_label; i++) {
        const label *l = &e->label[i];
        const bool in_a = l->stride[0] != 0, in_b = l->stride[1] != 0;
        if (l->summed && l->dim != 1 && (!in_a || !in_b)) return false;
        if (!append(&g[l->summed ? REDUCED : in_a && in_b ? BATCH : in_b ? COLUMN : ROW], l)) return false;
    }
    const group *m = &g[ROW], *n = &g[COLUMN], *k = &g[REDUCED];
    if (n->n != 1 && n->out != 1) return false;
    for (size_t i = 0; i < g[BATCH].n; i++)
        koe_f32_gemm_view(y + i * (size_t)g[BATCH].out, m->n == 1 ? n->n : (size_t)m->out,
                          (koe_f32_view){ a + i * (size_t)g[BATCH].a, (size_t)m->a, (size_t)k->a },
                          (koe_f32_view){ b + i * (size_t)g[BATCH].b, (size_t)k->b, (size_t)n->b }, m->n, n->n, k->n, 0, NULL);
    return true;
}

/* ---- as loops ---------------------------------------------------------------------------------------------------------- */

/* y, dense over the output letters, is the sum over the others of the product of all operands. */
#define LOOPS(name, type, sum_type)                                                                                              \
    static void name(const equation *e, const void *const *operand, void *out, size_t n_out, size_t n_sum)                       \
    {                                                                                                                            \
        for (size_t i = 0; i < n_out; i++) {                                                                                     \
            sum_type sum = 0;                                                                                                    \
            for (size_t j = 0; j < n_sum; j++) {                                                                                 \
                int64_t at[MAX_OPERAND] = { 0 };                                                                                 \
                size_t rest_out = i, rest_sum = j;                                                                               \
                for (int l = e->n_label - 1; l >= 0; l--) {                                                                      \
                    const size_t d = (size_t)e->label[l].dim;                                                                    \
                    size_t *rest = l < e->n_out ? &rest_out : &rest_sum;                                                         \
                    for (int k = 0; k < e->n_operand; k++) at[k] += (int64_t)(*rest % d) * e->label[l].stride[k];                \
                    *rest /= d;                                                                                                  \
                }                                                                                                                \
                sum_type product = 1;                                                                                            \
                for (int k = 0; k < e->n_operand; k++) product *= (sum_type)((const type *)operand[k])[at[k]];                   \
                sum += product;                                                                                                  \
            }                                                                                                                    \
            ((type *)out)[i] = (type)sum;                                                                                        \
        }                                                                                                                        \
    }
LOOPS(loops_f32, float, double)
LOOPS(loops_f64, double, double)
LOOPS(loops_u32, uint32_t, uint32_t) /* signed integers wrap alike */
LOOPS(loops_u64, uint64_t, uint64_t)

static koe_status run_einsum(koe_op_ctx *c, koe_error *err)
{
    equation e;
    const koe_tensor *first;
    const void *operand[MAX_OPERAND];
    int64_t dim[KOE_MAX_DIM];
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &first, err);
    for (int i = 1; st == KOE_OK && i < c->n_in; i++) {
        const koe_tensor *t;
        st = koe_need(c, i, &t, err);
        if (st == KOE_OK && t->dtype != first->dtype) st = bad(c, err, "operands of different types");
    }
    if (st == KOE_OK) st = read_equation(&e, c, dim, err);
    if (st == KOE_OK) st = koe_out(c, 0, first->dtype, e.n_out, dim, &y, err);
    if (st != KOE_OK) return st;
    const size_t n_out = koe_tensor_count(y);
    size_t n_sum = 1;
    for (int i = e.n_out; i < e.n_label; i++)
        if (__builtin_mul_overflow(n_sum, (size_t)e.label[i].dim, &n_sum)) return bad(c, err, "too many terms");
    for (int i = 0; i < c->n_in; i++) operand[i] = koe_in(c, i)->data;
    if (n_out == 0) return KOE_OK;
    switch (first->dtype) {
    case KOE_DTYPE_F32:
        if (c->n_in != 2 || !as_products(&e, operand[0], operand[1], y->data)) loops_f32(&e, operand, y->data, n_out, n_sum);
        return KOE_OK;
    case KOE_DTYPE_F64: loops_f64(&e, operand, y->data, n_out, n_sum); return KOE_OK;
    case KOE_DTYPE_I32:
    case KOE_DTYPE_U32: loops_u32(&e, operand, y->data, n_out, n_sum); return KOE_OK;
    case KOE_DTYPE_I64:
    case KOE_DTYPE_U64: loops_u64(&e, operand, y->data, n_out, n_sum); return KOE_OK;
    default: return koe_type_error(c, first->dtype, err);
    }
}

static const koe_op ops[] = { { "Einsum", 12, 0, KOE_OP_WIDEN_HALF, NULL, NULL, run_einsum, NULL } };

koe_op_table koe_ops_einsum(void) { return KOE_OP_TABLE(ops); }
