/* rnn.c - LSTM, GRU, RNN, and com.microsoft DynamicQuantizeLSTM: shapes, weights and outputs around the recurrence of rnn.h.
 * Inputs: 0 X, 1 W, 2 R, 3 B, 4 sequence_lens, 5 initial_h, 6 initial_c, 7 P; DynamicQuantizeLSTM then 8 W_scale, 9 W_zero_point,
 * 10 R_scale, 11 R_zero_point, and its W and R are transposed, [dir][in or hidden][4 * hidden].
 * float64 is computed in float32. */
#include "ops/rnn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "ops/elementwise.h"
#include "ops/ops.h"
#include "ops/tasks.h"

/* ---- weights ------------------------------------------------------------------------------------------------------------- */

/* Packed weights of a direction. */
typedef struct packed_side {
    void *w, *r, *r_new;
} packed_side;

typedef struct rnn_state {
    koe_rnn_config cfg;
    bool packed; /* W and R are constant and packed in `side` */
    bool owned; /* the floats of `side` are this state's, not the session's */
    bool bf16; /* what `side` is made of */
    packed_side side[2];
    koe_i8_packed *qw, *qr; /* DynamicQuantizeLSTM: in place of `side`, one for each direction */
} rnn_state;

static void free_weights(rnn_state *s)
{
    for (int d = 0; d < 2 && s->owned; d++) {
        free(s->side[d].w);
        free(s->side[d].r);
        free(s->side[d].r_new);
    }
}

static void rnn_release(void *state)
{
    rnn_state *s = state;
    if (!s) return;
    free_weights(s);
    free(s->qw);
    free(s->qr);
    free(s);
}

static koe_status wrong_shape(const char *what, const koe_tensor *t, koe_error *err)
{
    char s[96];
    return koe_fail(err, KOE_E_FORMAT, "%s is %s, which does not fit the other inputs", what,
                    koe_tensor_describe(t, s, sizeof s));
}

static bool has_shape(const koe_tensor *t, int n_dim, size_t a, size_t b, size_t c)
{
    size_t want[3] = { a, b, c };
    if (t->n_dim != n_dim) return false;
    for (int i = 0; i < n_dim; i++)
        if ((size_t)t->dim[i] != want[i]) return false;
    return true;
}

/* Sizes of input and hidden state, from the shapes of W and R. */
static koe_status weight_sizes(const koe_rnn_config *cfg, bool transposed, const koe_tensor *w, const koe_tensor *r, size_t *n_in,
                               size_t *n_hidden, koe_error *err)
{
    if (r->n_dim != 3) return wrong_shape("R", r, err);
    if (w->n_dim != 3) return wrong_shape("W", w, err);
    *n_hidden = (size_t)r->dim[transposed ? 1 : 2];
    *n_in = (size_t)w->dim[transposed ? 1 : 2];
    size_t gates;
    if (*n_hidden == 0 || __builtin_mul_overflow(cfg->n_gate, *n_hidden, &gates) ||
        !has_shape(r, 3, cfg->n_dir, transposed ? *n_hidden : gates, transposed ? gates : *n_hidden) ||
        (cfg->hidden != 0 && (size_t)cfg->hidden != *n_hidden))
        return wrong_shape("R", r, err);
    if (*n_in == 0 || !has_shape(w, 3, cfg->n_dir, transposed ? *n_in : gates, transposed ? gates : *n_in))
        return wrong_shape("W", w, err);
    return KOE_OK;
}

/* W or R as float32: itself, or converted into malloc()ed memory, which *owned then holds. */
static const float *as_float(const koe_tensor *t, const void *data, float **owned)
{
    *owned = NULL;
    if (t->dtype == KOE_DTYPE_F32 || !data) return data;
    size_t n = koe_tensor_count(t);
    float *v = koe_weights_alloc(n);
    if (v) koe_cast_elements(v, KOE_DTYPE_F32, data, t->dtype, n);
    return *owned = v;
}

/* What is packed for one direction: a product's right operand, from rows at `from` of W (input 1) or R (input 2). */
typedef struct matrix {
    void **to;
    int input;
    unsigned part;
    size_t from, n_in, n_row; /* elements */
    bool ready;
} matrix;

static size_t list_matrices(matrix out[6], rnn_state *s, size_t n_in, size_t n_hidden)
{
    const bool gru = s->cfg.cell == KOE_CELL_GRU;
    const size_t gates = s->cfg.n_gate * n_hidden, r_gates = gru ? 2 * n_hidden : gates;
    size_t n = 0;
    for (size_t d = 0; d < s->cfg.n_dir; d++) {
        const size_t r = d * gates * n_hidden;
        const unsigned part = (unsigned)d * 3;
        out[n++] = (matrix){ &s->side[d].w, 1, part, d * gates * n_in, n_in, gates, false };
        out[n++] = (matrix){ &s->side[d].r, 2, part + 1, r, n_hidden, r_gates, false };
        if (gru) out[n++] = (matrix){ &s->side[d].r_new, 2, part + 2, r + r_gates * n_hidden, n_hidden, n_hidden, false };
    }
    return n;
}

/* Packs both directions of W and R, already checked by weight_sizes(). Failure leaves what rnn_release() frees. */
static koe_status pack_floats(rnn_state *s, koe_node *preparing, const koe_tensor *w, const koe_tensor *r, size_t n_in,
                              size_t n_hidden, koe_error *err)
{
    matrix list[6];
    const size_t n = list_matrices(list, s, n_in, n_hidden);
    bool ready = true;
    koe_status st = KOE_OK;
    s->owned = !preparing;
    s->bf16 = preparing && koe_weights_half(preparing);
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        matrix *m = &list[i];
        const size_t count = koe_f32_packed_count(m->n_in, m->n_row);
        st = count ? koe_weights_room(preparing, m->input, m->part, s->bf16 ? (count + 1) / 2 : count, m->to, &m->ready, err)
                   : koe_fail(err, KOE_E_LIMIT, "the weights are too large");
        ready = ready && m->ready;
    }
    if (st != KOE_OK || ready) return st;
    float *own_w, *own_r;
    const float *wf = as_float(w, preparing ? koe_node_data(preparing, 1) : w->data, &own_w);
    const float *rf = as_float(r, preparing ? koe_node_data(preparing, 2) : r->data, &own_r);
    if (!wf || !rf) st = koe_fail(err, KOE_E_NOMEM, "packed weights of an RNN");
    for (size_t i = 0; i < n && st == KOE_OK; i++)
        if (!list[i].ready)
            koe_f32_pack(*list[i].to, s->bf16, (koe_f32_view){ (list[i].input == 1 ? wf : rf) + list[i].from, 1, list[i].n_in },
                         list[i].n_in, list[i].n_row);
    free(own_w);
    free(own_r);
    return st;
}

/* W or R of bytes: one matrix for each direction. */
static koe_quant_matrices byte_matrices(const koe_tensor *t)
{
    size_t k = (size_t)t->dim[1], n = (size_t)t->dim[2];
    return (koe_quant_matrices){ .n_matrix = (size_t)t->dim[0], .distance = k * n, .k = k, .n = n, .row_step = n, .col_step = 1 };
}

/* In prepare(). */
static koe_status pack_bytes(rnn_state *s, koe_node *node, koe_error *err)
{
    koe_quant_matrices w = byte_matrices(node->in_const[1]), r = byte_matrices(node->in_const[2]);
    koe_status st = koe_quant_pack(&s->qw, node, 1, &w, err);
    return st == KOE_OK ? koe_quant_pack(&s->qr, node, 2, &r, err) : st;
}

static bool weights_ok(bool quantised, const koe_tensor *t)
{
    return quantised ? koe_is_byte(t->dtype) : t->dtype == KOE_DTYPE_F32 || t->dtype == KOE_DTYPE_F64;
}

static koe_status prepare(koe_node *node, void **state, koe_cell cell, bool quantised, koe_error *err)
{
    rnn_state *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "out of memory");
    koe_status st = koe_rnn_read_config(&s->cfg, node, cell, err);
    const koe_tensor *w = node->n_in > 1 ? node->in_const[1] : NULL, *r = node->n_in > 2 ? node->in_const[2] : NULL;
    if (st == KOE_OK && w && r && weights_ok(quantised, w) && weights_ok(quantised, r)) {
        size_t n_in, n_hidden;
        st = weight_sizes(&s->cfg, quantised, w, r, &n_in, &n_hidden, err);
        if (st == KOE_OK) st = quantised ? pack_bytes(s, node, err) : pack_floats(s, node, w, r, n_in, n_hidden, err);
        s->packed = true;
    }
    if (st != KOE_OK) {
        rnn_release(s);
        return st;
    }
    *state = s;
    return KOE_OK;
}

static koe_status prepare_rnn(koe_node *node, void **state, koe_error *err)
{
    return prepare(node, state, KOE_CELL_RNN, false, err);
}
static koe_status prepare_gru(koe_node *node, void **state, koe_error *err)
{
    return prepare(node, state, KOE_CELL_GRU, false, err);
}
static koe_status prepare_lstm(koe_node *node, void **state, koe_error *err)
{
    return prepare(node, state, KOE_CELL_LSTM, false, err);
}
static koe_status prepare_quant(koe_node *node, void **state, koe_error *err)
{
    return prepare(node, state, KOE_CELL_LSTM, true, err);
}

/* ---- inputs of a run ----------------------------------------------------------------------------------------------------- */

/* A float input of the run as float32, in scratch when it is float64; NULL when absent. */
static koe_status float_in(koe_op_ctx *c, int i, const koe_tensor **t, const float **out, koe_error *err)
{
    *t = koe_in(c, i);
    *out = NULL;
    if (!*t) return KOE_OK;
    if ((*t)->dtype != KOE_DTYPE_F32 && (*t)->dtype != KOE_DTYPE_F64) return koe_type_error(c, (*t)->dtype, err);
    *out = koe_as_type(c, *t, KOE_DTYPE_F32);
    return *out ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "%zu numbers", koe_tensor_count(*t));
}

static koe_status read_lengths(koe_op_ctx *c, koe_rnn_job *j, koe_error *err)
{
    const koe_tensor *t = koe_in(c, 4);
    if (!t) return KOE_OK;
    if (t->dtype != KOE_DTYPE_I32) return koe_type_error(c, t->dtype, err);
    if (!has_shape(t, 1, j->n_item, 0, 0)) return wrong_shape("sequence_lens", t, err);
    const int32_t *len = t->data;
    bool all = true;
    for (size_t i = 0; i < j->n_item; i++) {
        if (len[i] < 0 || (size_t)len[i] > j->n_time)
            return koe_fail(err, KOE_E_FORMAT, "sequence_lens[%zu] is %" PRId32 " of %zu", i, len[i], j->n_time);
        if ((size_t)len[i] != j->n_time) all = false;
    }
    if (!all) j->length = len;
    return KOE_OK;
}

/* Wb + Rb of each direction, but for the part of a GRU that keeps them apart. */
static koe_status read_bias(koe_op_ctx *c, koe_rnn_job *j, koe_error *err)
{
    const koe_tensor *t;
    const float *b;
    size_t hidden = j->n_hidden, gates = j->cfg->n_gate * hidden;
    koe_status st = float_in(c, 3, &t, &b, err);
    if (st != KOE_OK) return st;
    if (t && !has_shape(t, 2, j->cfg->n_dir, 2 * gates, 0)) return wrong_shape("B", t, err);
    float *sum = koe_scratch(c, j->cfg->n_dir * (gates + hidden) * sizeof *sum);
    if (!sum) return koe_fail(err, KOE_E_NOMEM, "bias");
    bool apart = j->cfg->cell == KOE_CELL_GRU && j->cfg->linear_before_reset;
    for (size_t d = 0; d < j->cfg->n_dir; d++) {
        const float *wb = b ? b + d * 2 * gates : NULL;
        float *to = sum + d * (gates + hidden);
        for (size_t i = 0; i < gates; i++) to[i] = !wb ? 0 : apart && i >= 2 * hidden ? wb[i] : wb[i] + wb[gates + i];
        for (size_t i = 0; i < hidden; i++) to[gates + i] = wb ? wb[2 * gates - hidden + i] : 0;
        j->side[d].bias = to;
        j->side[d].bias_new = to + gates;
    }
    return KOE_OK;
}

/* Copies a state [dir][item][hidden] to the other order of its first two dimensions, [item][dir][hidden], or back. */
static void swap_state(float *to, const float *from, size_t n_first, size_t n_second, size_t hidden)
{
    for (size_t a = 0; a < n_first; a++)
        for (size_t b = 0; b < n_second; b++)
            memcpy(to + (b * n_first + a) * hidden, from + (a * n_second + b) * hidden, hidden * sizeof *to);
}

/* Initial h or c, [dir][item][hidden] in scratch; zeros when absent. */
static koe_status initial_state(koe_op_ctx *c, const koe_rnn_job *j, int i, const char *name, float **out, koe_error *err)
{
    const koe_tensor *t;
    const float *v;
    size_t n_dir = j->cfg->n_dir, n = n_dir * j->n_item * j->n_hidden;
    bool first = j->cfg->batch_first;
    koe_status st = float_in(c, i, &t, &v, err);
    if (st != KOE_OK) return st;
    if (t && !has_shape(t, 3, first ? j->n_item : n_dir, first ? n_dir : j->n_item, j->n_hidden))
        return wrong_shape(name, t, err);
    float *state = koe_scratch(c, n * sizeof *state);
    if (!state) return koe_fail(err, KOE_E_NOMEM, "%s", name);
    if (!v) memset(state, 0, n * sizeof *state);
    else if (first) swap_state(state, v, j->n_item, n_dir, j->n_hidden);
    else memcpy(state, v, n * sizeof *state);
    *out = state;
    return KOE_OK;
}

static koe_status read_inputs(koe_op_ctx *c, koe_rnn_job *j, koe_error *err)
{
    const koe_tensor *x, *p;
    const float *peep = NULL;
    koe_status st = koe_need(c, 0, &x, err);
    if (st == KOE_OK) st = float_in(c, 0, &x, &j->x, err);
    if (st != KOE_OK) return st;
    if (x->n_dim != 3 || (size_t)x->dim[2] != j->n_in) return wrong_shape("X", x, err);
    j->n_time = (size_t)x->dim[j->cfg->batch_first ? 1 : 0];
    j->n_item = (size_t)x->dim[j->cfg->batch_first ? 0 : 1];
    size_t state_bytes;
    int64_t state[3] = { 2, (int64_t)j->n_item, (int64_t)j->n_hidden };
    st = koe_shape_bytes(&state_bytes, KOE_DTYPE_F64, 3, state, err);
    if (st == KOE_OK) st = read_lengths(c, j, err);
    if (st == KOE_OK) st = read_bias(c, j, err);
    if (st == KOE_OK) st = initial_state(c, j, 5, "initial_h", &j->h, err);
    if (st != KOE_OK || j->cfg->cell != KOE_CELL_LSTM) return st;
    st = initial_state(c, j, 6, "initial_c", &j->c, err);
    if (st == KOE_OK) st = float_in(c, 7, &p, &peep, err);
    if (st != KOE_OK || !p) return st;
    if (!has_shape(p, 2, j->cfg->n_dir, 3 * j->n_hidden, 0)) return wrong_shape("P", p, err);
    for (size_t d = 0; d < j->cfg->n_dir; d++) j->side[d].peep = peep + d * 3 * j->n_hidden;
    return KOE_OK;
}

/* Scale and zero point of bytes in inputs i and i + 1, which come per direction or per direction and gate, as one for each gate:
 * [n_dir][n_gates]. */
static koe_status quant_params(koe_op_ctx *c, const koe_rnn_job *j, int i, koe_dtype type, const float **scale,
                               const int32_t **zero, koe_error *err)
{
    const float *s;
    const int32_t *z;
    size_t n_s, n_z, n_dir = j->cfg->n_dir, gates = j->cfg->n_gate * j->n_hidden;
    koe_status st = koe_quant_scales(c, i, &s, &n_s, err);
    if (st == KOE_OK) st = koe_quant_zeros(c, i + 1, type, &z, &n_z, err);
    if (st != KOE_OK) return st;
    if ((n_s != 1 && n_s != n_dir && n_s != n_dir * gates) || (n_z != 1 && n_z != n_dir && n_z != n_dir * gates))
        return koe_fail(err, KOE_E_FORMAT, "%zu scales and %zu zero points", n_s, n_z);
    float *scales = koe_scratch(c, n_dir * gates * sizeof *scales);
    int32_t *zeros = koe_scratch(c, n_dir * gates * sizeof *zeros);
    if (!scales || !zeros) return koe_fail(err, KOE_E_NOMEM, "%zu scales", n_dir * gates);
    for (size_t e = 0; e < n_dir * gates; e++) {
        scales[e] = s[n_s == 1 ? 0 : n_s == n_dir ? e / gates : e];
        zeros[e] = z[n_z == 1 ? 0 : n_z == n_dir ? e / gates : e];
    }
    *scale = scales;
    *zero = zeros;
    return KOE_OK;
}

static koe_status read_quantised(koe_op_ctx *c, koe_rnn_job *j, const koe_tensor *w, const koe_tensor *r, koe_error *err)
{
    const float *w_scale, *r_scale;
    const int32_t *w_zero, *r_zero;
    size_t n = j->n_time * j->n_item * j->n_in, gates = j->cfg->n_gate * j->n_hidden;
    koe_status st = quant_params(c, j, 8, w->dtype, &w_scale, &w_zero, err);
    if (st == KOE_OK) st = quant_params(c, j, 10, r->dtype, &r_scale, &r_zero, err);
    if (st != KOE_OK) return st;
    for (size_t d = 0; d < j->cfg->n_dir; d++) {
        j->side[d].w_scale = w_scale + d * gates;
        j->side[d].w_zero = w_zero + d * gates;
        j->side[d].r_scale = r_scale + d * gates;
        j->side[d].r_zero = r_zero + d * gates;
    }
    uint8_t *bytes = koe_scratch(c, n);
    if (!bytes) return koe_fail(err, KOE_E_NOMEM, "%zu bytes", n);
    j->xq = koe_dynamic_param(c->pool, j->x, n);
    koe_quantize_u8(c->pool, bytes, j->x, n, j->xq);
    j->x8 = bytes;
    return KOE_OK;
}

/* ---- outputs ------------------------------------------------------------------------------------------------------------- */

/* Output i of the type of X, and float32 memory to compute it in: its own, or scratch for float64. */
static koe_status float_out(koe_op_ctx *c, int i, koe_dtype type, int n_dim, const int64_t *dim, koe_tensor **t, float **v,
                            koe_error *err)
{
    koe_status st = koe_out(c, i, type, n_dim, dim, t, err);
    if (st != KOE_OK) return st;
    *v = type == KOE_DTYPE_F32 ? (*t)->data : koe_scratch(c, koe_tensor_count(*t) * sizeof(float));
    return *v ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "output %d", i);
}

static void store_f64(const koe_tensor *t, const float *v)
{
    if (t->dtype == KOE_DTYPE_F64) koe_cast_elements(t->data, KOE_DTYPE_F64, v, KOE_DTYPE_F32, koe_tensor_count(t));
}

static koe_status state_out(koe_op_ctx *c, const koe_rnn_job *j, int i, koe_dtype type, const float *state, koe_error *err)
{
    if (i >= c->n_out || !c->out[i]) return KOE_OK;
    int64_t dir = (int64_t)j->cfg->n_dir, item = (int64_t)j->n_item, hidden = (int64_t)j->n_hidden;
    bool first = j->cfg->batch_first;
    int64_t dim[3] = { first ? item : dir, first ? dir : item, hidden };
    koe_tensor *t;
    float *v;
    koe_status st = float_out(c, i, type, 3, dim, &t, &v, err);
    if (st != KOE_OK) return st;
    if (first) swap_state(v, state, j->cfg->n_dir, j->n_item, j->n_hidden);
    else memcpy(v, state, j->cfg->n_dir * j->n_item * j->n_hidden * sizeof *v);
    store_f64(t, v);
    return KOE_OK;
}

/* The packed weights for a run: the node's, or, of weights that the graph computes, `own`, which the caller frees. */
static koe_status run_weights(koe_op_ctx *c, koe_rnn_job *j, rnn_state *own, const koe_tensor *w, const koe_tensor *r,
                              koe_error *err)
{
    const rnn_state *s = c->state;
    const koe_i8_packed *qw = s->qw, *qr = s->qr;
    koe_status st = weight_sizes(&s->cfg, j->quantised, w, r, &j->n_in, &j->n_hidden, err);
    if (st != KOE_OK) return st;
    if (!s->packed && j->quantised) {
        koe_quant_matrices mw = byte_matrices(w), mr = byte_matrices(r);
        st = koe_quant_pack_now(&qw, c, w, &mw, err);
        if (st == KOE_OK) st = koe_quant_pack_now(&qr, c, r, &mr, err);
    } else if (!s->packed) {
        st = pack_floats(own, NULL, w, r, j->n_in, j->n_hidden, err);
    }
    if (st != KOE_OK) return st;
    for (size_t d = 0; d < s->cfg.n_dir; d++) {
        const packed_side *side = s->packed ? &s->side[d] : &own->side[d];
        j->side[d] = (koe_rnn_side){ .w = { side->w, s->bf16 }, .r = { side->r, s->bf16 }, .r_new = { side->r_new, s->bf16 } };
        if (!j->quantised) continue;
        j->side[d].qw = qw[d];
        j->side[d].qr = qr[d];
    }
    return KOE_OK;
}

/* All but the weights. */
static koe_status compute(koe_op_ctx *c, koe_rnn_job *j, const koe_tensor *w, const koe_tensor *r, koe_error *err)
{
    koe_tensor *y;
    koe_status st = read_inputs(c, j, err);
    if (st == KOE_OK && j->quantised) st = read_quantised(c, j, w, r, err);
    if (st != KOE_OK) return st;
    koe_dtype type = koe_in(c, 0)->dtype;
    int64_t time = (int64_t)j->n_time, item = (int64_t)j->n_item, dir = (int64_t)j->cfg->n_dir, hidden = (int64_t)j->n_hidden;
    int64_t plain[4] = { time, dir, item, hidden }, batch_first[4] = { item, time, dir, hidden };
    st = float_out(c, 0, type, 4, j->cfg->batch_first ? batch_first : plain, &y, &j->y, err);
    if (st == KOE_OK) st = koe_rnn_run(c, j, err);
    if (st != KOE_OK) return st;
    store_f64(y, j->y);
    st = state_out(c, j, 1, type, j->h, err);
    return st == KOE_OK && j->c ? state_out(c, j, 2, type, j->c, err) : st;
}

static koe_status run(koe_op_ctx *c, bool quantised, koe_error *err)
{
    const rnn_state *s = c->state;
    koe_rnn_job j = { .cfg = &s->cfg, .quantised = quantised };
    rnn_state own = { .cfg = s->cfg };
    const koe_tensor *w, *r;
    koe_status st = koe_need(c, 1, &w, err);
    if (st == KOE_OK) st = koe_need(c, 2, &r, err);
    if (st != KOE_OK) return st;
    if (!weights_ok(quantised, w)) return koe_type_error(c, w->dtype, err);
    if (!weights_ok(quantised, r)) return koe_type_error(c, r->dtype, err);
    st = run_weights(c, &j, &own, w, r, err);
    if (st == KOE_OK) st = compute(c, &j, w, r, err);
    free_weights(&own);
    return st;
}

static koe_status run_float(koe_op_ctx *c, koe_error *err) { return run(c, false, err); }
static koe_status run_quant(koe_op_ctx *c, koe_error *err) { return run(c, true, err); }

static const koe_op table[] = {
    { "RNN", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_rnn, rnn_release, run_float, NULL },
    { "GRU", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_gru, rnn_release, run_float, NULL },
    { "LSTM", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_lstm, rnn_release, run_float, NULL },
    { "DynamicQuantizeLSTM", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_quant, rnn_release, run_quant, "com.microsoft" },
};

koe_op_table koe_ops_rnn(void) { return KOE_OP_TABLE(table); }
