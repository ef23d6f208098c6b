/* einsum.c - Einsum: sums of products over named dimensions, "bij,bjk->bik".
 *     operands -> VIEWS (labels with strides; a repeated label is a diagonal)
 *              -> labels that only one operand has and nobody needs are summed away
 *              -> operands are folded in from the left, two at a time, each time as a batch of matrix products
 *              -> the last one is brought to the output's order
 * Arithmetic is float32, float64 or, for integers, int64 (modulo 2^64, so results wrap as the type does). */
#include <inttypes.h>
#include <string.h>

#include "kernels/kernels.h"
#include "ops/bytes.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

/* A label is 0..51 for A..Z, a..z (in the order of ASCII, which implicit output follows), then one for each dimension that "..."
 * stands for, counted from the right so that operands of different rank align. */
enum { N_LETTERS = 52, N_LABELS = N_LETTERS + KOE_MAX_DIM, MAX_OPERANDS = 16, ROWS = 64 /* of one task of a product */ };

typedef struct label_list {
    int n, at[N_LABELS];
} label_list;

/* A tensor seen through labels; each label once. Strides in elements. */
typedef struct view {
    const void *data;
    label_list labels;
    int64_t stride[N_LABELS]; /* by label */
    bool has[N_LABELS];
} view;

typedef struct einsum {
    koe_op_ctx *c;
    koe_dtype type; /* of the arithmetic */
    int n_operand;
    view operand[MAX_OPERANDS];
    int64_t dim[N_LABELS]; /* size of each label */
    bool known[N_LABELS];
    label_list out;
} einsum;

/* ---- the equation -------------------------------------------------------------------------------------------------------- */

static int letter(char ch)
{
    if (ch >= 'A' && ch <= 'Z') return ch - 'A';
    if (ch >= 'a' && ch <= 'z') return ch - 'a' + 26;
    return -1;
}

/* One term of the equation as labels; -1 stands where the ellipsis was. */
typedef struct term {
    int n, at[N_LABELS];
    bool ellipsis;
} term;

static koe_status parse_term(koe_str text, term *out, koe_error *err)
{
    *out = (term){ 0 };
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ' ') continue;
        int l = letter(text.p[i]);
        if (l < 0 && text.n - i >= 3 && memcmp(text.p + i, "...", 3) == 0 && !out->ellipsis) {
            out->ellipsis = true;
            i += 2;
        } else if (l < 0) {
            return koe_fail(err, KOE_E_FORMAT, "unexpected character at '%.*s' in the equation",
                            KOE_STR_ARG(koe_str_sub(text, i, 8)));
        }
        if (out->n == N_LABELS) return koe_fail(err, KOE_E_FORMAT, "a term of the equation has too many labels");
        out->at[out->n++] = l;
    }
    return KOE_OK;
}

/* Splits at the first `mark`; false when there is none. */
static bool split(koe_str text, const char *mark, koe_str *before, koe_str *after)
{
    size_t n = strlen(mark);
    for (size_t i = 0; i + n <= text.n; i++)
        if (memcmp(text.p + i, mark, n) == 0) {
            *before = koe_str_sub(text, 0, i);
            *after = koe_str_sub(text, i + n, text.n);
            return true;
        }
    *before = text;
    *after = (koe_str){ 0 };
    return false;
}

/* Adds a dimension of an operand under a label. */
static koe_status add_dimension(einsum *e, view *v, int label, int64_t size, int64_t stride, koe_error *err)
{
    if (e->known[label] && e->dim[label] != size && e->dim[label] != 1 && size != 1)
        return koe_fail(err, KOE_E_FORMAT, "one label stands for sizes %" PRId64 " and %" PRId64, e->dim[label], size);
    if (!e->known[label] || e->dim[label] == 1) e->dim[label] = size;
    e->known[label] = true;
    if (!v->has[label]) {
        v->has[label] = true;
        v->stride[label] = 0;
        v->labels.at[v->labels.n++] = label;
    }
    if (size != 1) v->stride[label] += stride; /* size 1 broadcasts */
    return KOE_OK;
}

static koe_status bind_operand(einsum *e, int i, const term *t, int *n_ellipsis, koe_error *err)
{
    const koe_tensor *x = koe_in(e->c, i);
    view *v = &e->operand[i];
    int letters = t->n - (t->ellipsis ? 1 : 0), dots = x->n_dim - letters;
    if (dots < 0 || (dots > 0 && !t->ellipsis))
        return koe_fail(err, KOE_E_FORMAT, "operand %d has %d dimensions, its term %d labels", i, x->n_dim, letters);
    if (dots > *n_ellipsis) *n_ellipsis = dots;
    v->data = koe_as_type(e->c, x, e->type);
    if (!v->data) return koe_fail(err, KOE_E_NOMEM, "Einsum's operand %d", i);
    int64_t stride = 1;
    int d = x->n_dim - 1;
    for (int k = t->n - 1; k >= 0; k--) {
        int count = t->at[k] < 0 ? dots : 1;
        for (int q = 0; q < count; q++, d--) {
            koe_status st = add_dimension(e, v, t->at[k] < 0 ? N_LETTERS + q : t->at[k], x->dim[d], stride, err);
            if (st != KOE_OK) return st;
            stride *= x->dim[d];
        }
    }
    return KOE_OK;
}

/* The output's labels: as written, or the ellipsis and then every letter that occurs once. */
static koe_status bind_output(einsum *e, const term *written, const int *uses, int n_ellipsis, koe_error *err)
{
    bool seen[N_LABELS] = { false };
    term implicit = { .n = 1, .at = { -1 }, .ellipsis = true };
    if (!written) {
        for (int l = 0; l < N_LETTERS; l++)
            if (uses[l] == 1) implicit.at[implicit.n++] = l;
        written = &implicit;
    }
    e->out.n = 0;
    for (int i = 0; i < written->n; i++) {
        int count = written->at[i] < 0 ? n_ellipsis : 1;
        for (int q = count - 1; q >= 0; q--) {
            int l = written->at[i] < 0 ? N_LETTERS + q : written->at[i];
            if (!e->known[l]) return koe_fail(err, KOE_E_FORMAT, "the output has a label that no operand has");
            if (seen[l]) return koe_fail(err, KOE_E_FORMAT, "the output has a label twice");
            if (e->out.n == KOE_MAX_DIM)
                return koe_fail(err, KOE_E_FORMAT, "the output has more than %d dimensions", KOE_MAX_DIM);
            seen[l] = true;
            e->out.at[e->out.n++] = l;
        }
    }
    return KOE_OK;
}

static koe_status parse(einsum *e, koe_error *err)
{
    koe_str left, right, rest, text, equation = koe_node_str(e->c->node, "equation", "");
    bool is_explicit = split(equation, "->", &left, &right);
    int uses[N_LABELS] = { 0 }, n_ellipsis = 0;
    bool more = true;
    for (int i = 0; more; i++, left = rest) {
        more = split(left, ",", &text, &rest);
        if (i >= e->n_operand)
            return koe_fail(err, KOE_E_FORMAT, "the equation has more terms than the %d operands", e->n_operand);
        if (!more && i != e->n_operand - 1)
            return koe_fail(err, KOE_E_FORMAT, "the equation has %d terms for %d operands", i + 1, e->n_operand);
        term t;
        koe_status st = parse_term(text, &t, err);
        if (st == KOE_OK) st = bind_operand(e, i, &t, &n_ellipsis, err);
        if (st != KOE_OK) return st;
        for (int k = 0; k < t.n; k++)
            if (t.at[k] >= 0) uses[t.at[k]]++;
    }
    term out;
    koe_status st = is_explicit ? parse_term(right, &out, err) : KOE_OK;
    return st == KOE_OK ? bind_output(e, is_explicit ? &out : NULL, uses, n_ellipsis, err) : st;
}

/* ---- moving and summing -------------------------------------------------------------------------------------------------- */

/* Elements of a dense tensor with these labels; KOE_E_LIMIT when its bytes overflow. */
static koe_status count_of(const einsum *e, const label_list *l, size_t *out, koe_error *err)
{
    size_t n = 1;
    bool empty = false;
    *out = 0;
    for (int i = 0; i < l->n; i++) {
        size_t d = (size_t)e->dim[l->at[i]];
        if (d == 0) empty = true;
        else if (__builtin_mul_overflow(n, d, &n) || n > SIZE_MAX / 16)
            return koe_fail(err, KOE_E_LIMIT, "an intermediate result is too large");
    }
    *out = empty ? 0 : n;
    return KOE_OK;
}

/* The loop over all labels of an operand: y += x, with y's stride 0 along labels that are summed. */
typedef struct sum_loop {
    int n;
    int64_t dim[N_LABELS], from[N_LABELS], to[N_LABELS]; /* last one innermost */
} sum_loop;

#define DEFINE_SUM(name, T)                                                                                                      \
    static void name(T *y, const T *x, const sum_loop *l)                                                                        \
    {                                                                                                                            \
        int64_t at[N_LABELS] = { 0 }, ix = 0, iy = 0, last = l->n - 1;                                                           \
        for (;;) {                                                                                                               \
            const T *p = x + ix;                                                                                                 \
            T *q = y + iy;                                                                                                       \
            for (int64_t k = 0; k < l->dim[last]; k++) q[k * l->to[last]] += p[k * l->from[last]];                               \
            int64_t d = last - 1;                                                                                                \
            for (; d >= 0; d--) {                                                                                                \
                ix += l->from[d];                                                                                                \
                iy += l->to[d];                                                                                                  \
                if (++at[d] < l->dim[d]) break;                                                                                  \
                ix -= l->from[d] * l->dim[d];                                                                                    \
                iy -= l->to[d] * l->dim[d];                                                                                      \
                at[d] = 0;                                                                                                       \
            }                                                                                                                    \
            if (d < 0) return;                                                                                                   \
        }                                                                                                                        \
    }
DEFINE_SUM(sum_f32, float)
DEFINE_SUM(sum_f64, double)
DEFINE_SUM(sum_u64, uint64_t)

/* Writes v to `out`, dense in the order of `order`; labels of v that are not in it are summed, labels of it that v lacks repeat.
 */
static void write_dense(const einsum *e, void *out, const view *v, const label_list *order, size_t count)
{
    sum_loop l = { .n = 0 };
    bool placed[N_LABELS] = { false }, empty = false;
    int64_t stride = 1, to[N_LABELS];
    for (int i = order->n - 1; i >= 0; i--) {
        to[order->at[i]] = stride;
        stride *= e->dim[order->at[i]];
        placed[order->at[i]] = true;
    }
    for (int i = 0; i < order->n; i++) {
        int label = order->at[i];
        l.dim[l.n] = e->dim[label];
        l.from[l.n] = v->has[label] ? v->stride[label] : 0;
        l.to[l.n++] = to[label];
    }
    for (int i = 0; i < v->labels.n; i++) {
        int label = v->labels.at[i];
        if (placed[label]) continue;
        l.dim[l.n] = e->dim[label];
        l.from[l.n] = v->stride[label];
        l.to[l.n++] = 0;
    }
    if (l.n == 0) { /* a scalar: one step */
        l.dim[0] = 1;
        l.from[0] = l.to[0] = 0;
        l.n = 1;
    }
    for (int i = 0; i < l.n; i++) empty = empty || l.dim[i] == 0;
    memset(out, 0, count * koe_dtype_size(e->type));
    if (empty) return;
    if (e->type == KOE_DTYPE_F32) sum_f32(out, v->data, &l);
    else if (e->type == KOE_DTYPE_F64) sum_f64(out, v->data, &l);
    else sum_u64(out, v->data, &l);
}

/* A dense tensor in scratch from v, with the labels of `order`. */
static koe_status make_dense(const einsum *e, const view *v, const label_list *order, view *out, koe_error *err)
{
    size_t count;
    koe_status st = count_of(e, order, &count, err);
    if (st != KOE_OK) return st;
    void *data = koe_scratch(e->c, count * koe_dtype_size(e->type));
    if (!data) return koe_fail(err, KOE_E_NOMEM, "an intermediate result");
    write_dense(e, data, v, order, count);
    *out = (view){ .data = data, .labels = *order };
    int64_t stride = 1;
    for (int i = order->n - 1; i >= 0; i--) {
        int label = order->at[i];
        out->has[label] = true;
        out->stride[label] = e->dim[label] == 1 ? 0 : stride;
        stride *= e->dim[label];
    }
    return KOE_OK;
}

/* ---- two operands -------------------------------------------------------------------------------------------------------- */

typedef struct product_job {
    koe_dtype type;
    size_t m, n, k;
    const char *a, *b; /* [batch][m][k], [batch][k][n] */
    char *y; /* [batch][m][n] */
} product_job;

#define DEFINE_PRODUCT(name, T)                                                                                                  \
    static void name(T *y, const T *a, const T *b, size_t m, size_t n, size_t k)                                                 \
    {                                                                                                                            \
        for (size_t i = 0; i < m; i++) {                                                                                         \
            memset(y + i * n, 0, n * sizeof *y);                                                                                 \
            for (size_t p = 0; p < k; p++)                                                                                       \
                for (size_t j = 0; j < n; j++) y[i * n + j] += a[i * k + p] * b[p * n + j];                                      \
        }                                                                                                                        \
    }
DEFINE_PRODUCT(product_f64, double)
DEFINE_PRODUCT(product_u64, uint64_t)

static void product_task(void *arg, size_t task)
{
    const product_job *j = arg;
    size_t blocks = (j->m + ROWS - 1) / ROWS, batch = task / blocks, row = task % blocks * ROWS, size = koe_dtype_size(j->type);
    size_t m = j->m - row < ROWS ? j->m - row : ROWS;
    const void *a = j->a + (batch * j->m + row) * j->k * size, *b = j->b + batch * j->k * j->n * size;
    void *y = j->y + (batch * j->m + row) * j->n * size;
    if (j->type == KOE_DTYPE_F32) koe_f32_gemm(y, j->n, a, j->k, b, j->n, m, j->n, j->k, 0);
    else if (j->type == KOE_DTYPE_F64) product_f64(y, a, b, m, j->n, j->k);
    else product_u64(y, a, b, m, j->n, j->k);
}

static void append(label_list *l, int label) { l->at[l->n++] = label; }

static void append_all(label_list *l, const label_list *more)
{
    for (int i = 0; i < more->n; i++) append(l, more->at[i]);
}

/* a times b; labels not in `needed` are summed. */
static koe_status contract(const einsum *e, const view *a, const view *b, const bool *needed, view *out, koe_error *err)
{
    label_list batch = { 0 }, rows = { 0 }, cols = { 0 }, inner = { 0 };
    for (int i = 0; i < a->labels.n; i++) {
        int l = a->labels.at[i];
        if (b->has[l]) append(needed[l] ? &batch : &inner, l);
        else if (needed[l]) append(&rows, l);
    }
    for (int i = 0; i < b->labels.n; i++)
        if (needed[b->labels.at[i]] && !a->has[b->labels.at[i]]) append(&cols, b->labels.at[i]);
    label_list a_order = batch, b_order = batch, y_order = batch;
    append_all(&a_order, &rows);
    append_all(&a_order, &inner);
    append_all(&b_order, &inner);
    append_all(&b_order, &cols);
    append_all(&y_order, &rows);
    append_all(&y_order, &cols);
    view da, db;
    size_t n_batch, count;
    product_job j = { .type = e->type };
    koe_status st = make_dense(e, a, &a_order, &da, err);
    if (st == KOE_OK) st = make_dense(e, b, &b_order, &db, err);
    if (st == KOE_OK) st = count_of(e, &batch, &n_batch, err);
    if (st == KOE_OK) st = count_of(e, &rows, &j.m, err);
    if (st == KOE_OK) st = count_of(e, &cols, &j.n, err);
    if (st == KOE_OK) st = count_of(e, &inner, &j.k, err);
    if (st == KOE_OK) st = count_of(e, &y_order, &count, err);
    if (st != KOE_OK) return st;
    j.a = da.data;
    j.b = db.data;
    j.y = koe_scratch(e->c, count * koe_dtype_size(e->type));
    if (!j.y) return koe_fail(err, KOE_E_NOMEM, "an intermediate result");
    if (count > 0) koe_pool_for(e->c->pool, n_batch * ((j.m + ROWS - 1) / ROWS), product_task, &j);
    *out = (view){ .data = j.y, .labels = y_order };
    int64_t stride = 1;
    for (int i = y_order.n - 1; i >= 0; i--) {
        out->has[y_order.at[i]] = true;
        out->stride[y_order.at[i]] = stride;
        stride *= e->dim[y_order.at[i]];
    }
    return KOE_OK;
}

/* Labels that operands from..n or the output have. */
static void find_needed(const einsum *e, int from, bool *needed)
{
    memset(needed, 0, N_LABELS * sizeof *needed);
    for (int i = 0; i < e->out.n; i++) needed[e->out.at[i]] = true;
    for (int i = from; i < e->n_operand; i++)
        for (int l = 0; l < N_LABELS; l++) needed[l] = needed[l] || e->operand[i].has[l];
}

static koe_status einsum_run(koe_op_ctx *c, koe_error *err)
{
    einsum e = { .c = c, .n_operand = c->n_in };
    if (c->n_in < 1 || c->n_in > MAX_OPERANDS)
        return koe_fail(err, KOE_E_FORMAT, "%d operands, 1 to %d are supported", c->n_in, MAX_OPERANDS);
    const koe_tensor *first = NULL, *x;
    for (int i = 0; i < c->n_in; i++) {
        koe_status st = koe_need(c, i, &x, err);
        if (st != KOE_OK) return st;
        if (!first) first = x;
        if (x->dtype != first->dtype || x->dtype == KOE_DTYPE_BOOL) return koe_type_error(c, x->dtype, err);
    }
    e.type = koe_dtype_is_float(first->dtype) ? first->dtype : KOE_DTYPE_I64;
    koe_status st = parse(&e, err);
    if (st != KOE_OK) return st;
    view y = e.operand[0];
    for (int i = 1; i < e.n_operand; i++) {
        bool needed[N_LABELS];
        find_needed(&e, i + 1, needed);
        st = contract(&e, &y, &e.operand[i], needed, &y, err);
        if (st != KOE_OK) return st;
    }
    int64_t dim[KOE_MAX_DIM];
    for (int i = 0; i < e.out.n; i++) dim[i] = e.dim[e.out.at[i]];
    koe_tensor *out;
    st = koe_out(c, 0, first->dtype, e.out.n, dim, &out, err);
    if (st != KOE_OK) return st;
    size_t count = koe_tensor_count(out);
    void *result = first->dtype == e.type ? out->data : koe_scratch(c, count * koe_dtype_size(e.type));
    if (!result) return koe_fail(err, KOE_E_NOMEM, "Einsum's result");
    write_dense(&e, result, &y, &e.out, count);
    if (result != out->data) koe_cast_elements(out->data, first->dtype, result, e.type, count);
    return KOE_OK;
}

static const koe_op table[] = {
    { "Einsum", 12, 0, KOE_OP_WIDEN_HALF, NULL, NULL, einsum_run, NULL },
};

koe_op_table koe_ops_einsum(void) { return KOE_OP_TABLE(table); }
