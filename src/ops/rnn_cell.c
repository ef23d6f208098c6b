/* rnn_cell.c - the recurrence of rnn.h: projection, steps, activations. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "kernels/kernels.h"
#include "ops/rnn.h"
#include "ops/tasks.h"

enum {
    PROJECT_ROWS = 128, /* times of one projection task: for each, the weights are read from memory */
    PROJECT_COLS = 512, /* gates of one, rounded up to whole panels */
    ITEMS = 8, /* batch items of one chain of steps */
};

/* ---- activations --------------------------------------------------------------------------------------------------------- */

#define DEFINE_ACT(name, expression)                                                                                             \
    static void name(float *y, size_t n, float alpha, float beta)                                                                \
    {                                                                                                                            \
        (void)alpha;                                                                                                             \
        (void)beta;                                                                                                              \
        for (size_t i = 0; i < n; i++) {                                                                                         \
            float x = y[i];                                                                                                      \
            y[i] = (expression);                                                                                                 \
        }                                                                                                                        \
    }
DEFINE_ACT(act_relu, x > 0 ? x : 0)
DEFINE_ACT(act_affine, alpha *x + beta)
DEFINE_ACT(act_leaky, x >= 0 ? x : alpha * x)
DEFINE_ACT(act_threshold, x >= alpha ? x : 0)
DEFINE_ACT(act_scaled_tanh, alpha *tanhf(beta *x))
DEFINE_ACT(act_hard_sigmoid, fminf(fmaxf(alpha *x + beta, 0), 1))
DEFINE_ACT(act_elu, x >= 0 ? x : alpha * (expf(x) - 1))
DEFINE_ACT(act_softsign, x / (1 + fabsf(x)))
DEFINE_ACT(act_softplus, x > 20 ? x : log1pf(expf(x)))

static void act_sigmoid(float *y, size_t n, float alpha, float beta)
{
    (void)alpha;
    (void)beta;
    koe_f32_sigmoid(y, y, n);
}
static void act_tanh(float *y, size_t n, float alpha, float beta)
{
    (void)alpha;
    (void)beta;
    koe_f32_tanh(y, y, n);
}

static const struct act_kind {
    const char *name;
    koe_rnn_act act; /* with ONNX's default alpha and beta */
    bool has_alpha, has_beta; /* takes the next of activation_alpha, activation_beta */
} act_kinds[] = {
    { "Sigmoid", { act_sigmoid, 0, 0 }, false, false },
    { "Tanh", { act_tanh, 0, 0 }, false, false },
    { "Relu", { act_relu, 0, 0 }, false, false },
    { "Affine", { act_affine, 1, 0 }, true, true },
    { "LeakyRelu", { act_leaky, 0.01f, 0 }, true, false },
    { "ThresholdedRelu", { act_threshold, 1, 0 }, true, false },
    { "ScaledTanh", { act_scaled_tanh, 1, 1 }, true, true },
    { "HardSigmoid", { act_hard_sigmoid, 0.2f, 0.5f }, true, true },
    { "Elu", { act_elu, 1, 0 }, true, false },
    { "Softsign", { act_softsign, 0, 0 }, false, false },
    { "Softplus", { act_softplus, 0, 0 }, false, false },
};

static const struct act_kind *find_act(koe_str name)
{
    for (size_t i = 0; i < sizeof act_kinds / sizeof *act_kinds; i++) {
        const char *n = act_kinds[i].name;
        if (strlen(n) == name.n && strncasecmp(n, name.p, name.n) == 0) return &act_kinds[i];
    }
    return NULL;
}

/* ---- attributes ---------------------------------------------------------------------------------------------------------- */

static koe_status read_acts(koe_rnn_config *cfg, const koe_node *node, koe_error *err)
{
    static const char *const defaults[][3] = { { "Tanh" }, { "Sigmoid", "Tanh" }, { "Sigmoid", "Tanh", "Tanh" } };
    const koe_onnx_attr *names = koe_node_attr(node, "activations"), *alpha = koe_node_attr(node, "activation_alpha");
    const koe_onnx_attr *beta = koe_node_attr(node, "activation_beta");
    size_t per_dir = (size_t)cfg->cell + 1, n = names && names->type == KOE_ATTR_STRINGS ? names->n : 0, n_alpha = 0, n_beta = 0;
    if (n != 0 && n != per_dir * cfg->n_dir)
        return koe_fail(err, KOE_E_FORMAT, "%zu activations, %zu expected", n, per_dir * cfg->n_dir);
    cfg->default_acts = cfg->clip == 0;
    for (size_t i = 0; i < per_dir * cfg->n_dir; i++) {
        koe_str fallback = koe_str_of(defaults[cfg->cell][i % per_dir]), name = n ? names->strings[i] : fallback;
        const struct act_kind *kind = find_act(name);
        if (!kind) return koe_fail(err, KOE_E_UNSUPPORTED, "unknown activation '%.*s'", KOE_STR_ARG(name));
        koe_rnn_act *act = &cfg->act[i / per_dir][i % per_dir];
        *act = kind->act;
        if (kind->has_alpha && alpha && alpha->type == KOE_ATTR_FLOATS && n_alpha < alpha->n)
            act->alpha = alpha->floats[n_alpha++];
        if (kind->has_beta && beta && beta->type == KOE_ATTR_FLOATS && n_beta < beta->n) act->beta = beta->floats[n_beta++];
        if (kind != find_act(fallback)) cfg->default_acts = false;
    }
    return KOE_OK;
}

koe_status koe_rnn_read_config(koe_rnn_config *out, const koe_node *node, koe_cell cell, koe_error *err)
{
    static const size_t n_gates[] = { 1, 3, 4 };
    koe_str direction = koe_node_str(node, "direction", "forward");
    *out = (koe_rnn_config){ .cell = cell, .n_gate = n_gates[cell], .n_dir = 1 };
    if (koe_str_is(direction, "bidirectional")) out->n_dir = 2;
    else if (koe_str_is(direction, "reverse")) out->backward_only = true;
    else if (!koe_str_is(direction, "forward")) return koe_fail(err, KOE_E_FORMAT, "direction '%.*s'", KOE_STR_ARG(direction));
    out->clip = koe_node_float(node, "clip", 0);
    if (!(out->clip >= 0)) out->clip = 0;
    out->batch_first = koe_node_int(node, "layout", 0) != 0;
    out->input_forget = koe_node_int(node, "input_forget", 0) != 0;
    out->linear_before_reset = koe_node_int(node, "linear_before_reset", 0) != 0;
    out->hidden = koe_node_int(node, "hidden_size", 0);
    return read_acts(out, node, err);
}

/* ---- projection ---------------------------------------------------------------------------------------------------------- */

/* What the steps work with, beside the job. */
typedef struct run_state {
    koe_rnn_job *j;
    size_t n_gates; /* n_gate * hidden: the width of a row of gates */
    size_t n_row; /* rows of x: n_time * n_item */
    float *gates; /* [dir][row][n_gates] */
    size_t row_tasks, col_tasks, task_cols; /* of the projection of one direction; columns of a task, whole panels */
    size_t items; /* batch items per chain */
} run_state;

/* y[m][n] = sums scaled, plus bias (NULL: plus what y holds). */
static void scale_sums(float *y, size_t ldy, const int32_t *sum, size_t m, size_t n, float scale, const float *col_scale,
                       const float *bias)
{
    for (size_t i = 0; i < m; i++)
        for (size_t k = 0; k < n; k++) {
            float v = (float)sum[i * n + k] * (scale * col_scale[k]);
            y[i * ldy + k] = v + (bias ? bias[k] : y[i * ldy + k]);
        }
}

static void project_task(void *arg, size_t task, void *scratch)
{
    const run_state *s = arg;
    const koe_rnn_job *j = s->j;
    size_t col = task % s->col_tasks * s->task_cols, row = task / s->col_tasks % s->row_tasks * PROJECT_ROWS;
    size_t dir = task / s->col_tasks / s->row_tasks;
    size_t rows = s->n_row - row < PROJECT_ROWS ? s->n_row - row : PROJECT_ROWS;
    size_t cols = s->n_gates - col < s->task_cols ? s->n_gates - col : s->task_cols;
    const koe_rnn_side *side = &j->side[dir];
    float *gates = s->gates + (dir * s->n_row + row) * s->n_gates;
    if (!j->quantised) {
        koe_f32_epilogue ep = { .bias_col = side->bias, .scale = 1 };
        size_t panel = koe_f32_panel(), first = col / panel, last = (col + cols + panel - 1) / panel;
        koe_f32_gemm_packed(gates, s->n_gates, (koe_f32_view){ j->x + row * j->n_in, j->n_in, 1 }, side->w, rows, s->n_gates,
                            j->n_in, first, last, &ep);
        return;
    }
    koe_i8_rows a = { .data = j->x8 + row * j->n_in, .ld = j->n_in, .zero = j->xq.zero };
    koe_i8_packed w = koe_i8_columns(&side->qw, col, cols);
    koe_i8_gemm(scratch, cols, &a, &w, side->w_zero + col, rows);
    scale_sums(gates + col, s->n_gates, scratch, rows, cols, j->xq.scale, side->w_scale + col, side->bias + col);
}

/* ---- steps --------------------------------------------------------------------------------------------------------------- */

/* One chain: `n` batch items from `item` on in one direction, and its scratch. */
typedef struct chain {
    const run_state *s;
    const koe_rnn_job *j;
    const koe_rnn_side *side;
    const koe_rnn_act *act;
    size_t dir, item, n;
    float *h, *c; /* [n][hidden] */
    float *tmp; /* [n][n_gates] */
    float *aux; /* GRU: [n][2 * hidden] */
    uint8_t *h8; /* quantised: [n][hidden] */
    int32_t *sum; /* quantised: [n][n_gates] */
} chain;

static void activate(const chain *k, const koe_rnn_act *act, float *v, size_t n)
{
    float clip = k->j->cfg->clip;
    if (clip > 0)
        for (size_t i = 0; i < n; i++) v[i] = fminf(fmaxf(v[i], -clip), clip);
    act->fn(v, n, act->alpha, act->beta);
}

/* tmp = gates + h R^T, n_col columns. */
static void recur(const chain *k, float *tmp, const float *h, koe_f32_packed packed, const float *gates, size_t ld_gates,
                  size_t n_col)
{
    size_t panels = (n_col + koe_f32_panel() - 1) / koe_f32_panel(), hidden = k->j->n_hidden;
    koe_f32_epilogue ep = { .residual = gates, .ld_residual = ld_gates, .scale = 1 };
    koe_f32_gemm_packed(tmp, n_col, (koe_f32_view){ h, hidden, 1 }, packed, k->n, n_col, hidden, 0, panels, &ep);
}

/* The same with R in bytes: h is quantised anew at each step. */
static void recur_quantised(const chain *k, float *tmp, const float *gates, size_t ld_gates)
{
    size_t hidden = k->j->n_hidden, n_gates = k->s->n_gates;
    koe_quant_param q = koe_dynamic_param(NULL, k->h, k->n * hidden);
    koe_quantize_u8(NULL, k->h8, k->h, k->n * hidden, q);
    koe_i8_rows a = { .data = k->h8, .ld = hidden, .zero = q.zero };
    koe_i8_gemm(k->sum, n_gates, &a, &k->side->qr, k->side->r_zero, k->n);
    for (size_t b = 0; b < k->n; b++) memcpy(tmp + b * n_gates, gates + b * ld_gates, n_gates * sizeof *tmp);
    scale_sums(tmp, n_gates, k->sum, k->n, n_gates, q.scale, k->side->r_scale, NULL);
}

static void step_rnn(const chain *k, float *gates, size_t ld)
{
    recur(k, k->tmp, k->h, k->side->r, gates, ld, k->j->n_hidden);
    activate(k, &k->act[0], k->tmp, k->n * k->j->n_hidden);
    memcpy(k->h, k->tmp, k->n * k->j->n_hidden * sizeof *k->h);
}

/*  z = f(x Wz + h Rz)   r = f(x Wr + h Rr)   n = g(x Wh + (r h) Rh), or with linear_before_reset g(x Wh + r (h Rh + Rbh))
 *  h = (1 - z) n + z h */
static void step_gru(const chain *k, float *gates, size_t ld)
{
    size_t hidden = k->j->n_hidden;
    float *zr = k->tmp, *fresh = k->aux, *reset = k->aux + k->n * hidden;
    recur(k, zr, k->h, k->side->r, gates, ld, 2 * hidden);
    activate(k, &k->act[0], zr, k->n * 2 * hidden);
    if (k->j->cfg->linear_before_reset) {
        recur(k, fresh, k->h, k->side->r_new, k->side->bias_new, 0, hidden);
        for (size_t b = 0; b < k->n; b++)
            for (size_t i = 0; i < hidden; i++)
                fresh[b * hidden + i] = gates[b * ld + 2 * hidden + i] + zr[b * 2 * hidden + hidden + i] * fresh[b * hidden + i];
    } else {
        for (size_t b = 0; b < k->n; b++)
            for (size_t i = 0; i < hidden; i++) reset[b * hidden + i] = zr[b * 2 * hidden + hidden + i] * k->h[b * hidden + i];
        recur(k, fresh, reset, k->side->r_new, gates + 2 * hidden, ld, hidden);
    }
    activate(k, &k->act[1], fresh, k->n * hidden);
    for (size_t b = 0; b < k->n; b++)
        for (size_t i = 0; i < hidden; i++) {
            float z = zr[b * 2 * hidden + i], *h = &k->h[b * hidden + i];
            *h = (1 - z) * fresh[b * hidden + i] + z * *h;
        }
}

/* One item's gates (i, o, f, c, recurrence added) to its new c and h. */
static void lstm_cell(const chain *k, float *gates, float *h, float *c)
{
    size_t hidden = k->j->n_hidden;
    float *in = gates, *out = gates + hidden, *forget = gates + 2 * hidden, *cell = gates + 3 * hidden;
    const float *p = k->side->peep;
    for (size_t i = 0; p && i < hidden; i++) {
        in[i] += p[i] * c[i];
        forget[i] += p[2 * hidden + i] * c[i];
    }
    activate(k, &k->act[0], in, hidden);
    activate(k, &k->act[1], cell, hidden);
    if (k->j->cfg->input_forget)
        for (size_t i = 0; i < hidden; i++) forget[i] = 1 - in[i];
    else activate(k, &k->act[0], forget, hidden);
    for (size_t i = 0; i < hidden; i++) c[i] = forget[i] * c[i] + in[i] * cell[i];
    for (size_t i = 0; p && i < hidden; i++) out[i] += p[hidden + i] * c[i];
    activate(k, &k->act[0], out, hidden);
    memcpy(h, c, hidden * sizeof *h);
    k->act[2].fn(h, hidden, k->act[2].alpha, k->act[2].beta);
    for (size_t i = 0; i < hidden; i++) h[i] *= out[i];
}

static void step_lstm(const chain *k, float *gates, size_t ld, size_t step)
{
    size_t hidden = k->j->n_hidden;
    if (k->j->cfg->default_acts && !k->j->cfg->input_forget && !k->j->quantised) {
        koe_f32_lstm_step(gates, ld, k->side->r, k->side->peep, k->h, k->c, hidden, k->n, hidden, step % 2 != 0);
        return;
    }
    if (k->j->quantised) recur_quantised(k, k->tmp, gates, ld);
    else recur(k, k->tmp, k->h, k->side->r, gates, ld, k->s->n_gates);
    for (size_t b = 0; b < k->n; b++) lstm_cell(k, k->tmp + b * k->s->n_gates, k->h + b * hidden, k->c + b * hidden);
}

/* Row of x (and of gates) for one time and item. */
static size_t row_of(const koe_rnn_job *j, size_t time, size_t item)
{
    return j->cfg->batch_first ? item * j->n_time + time : time * j->n_item + item;
}

/* Where Y keeps h of one time, direction and item: [time][dir][item], or [item][time][dir] with batch_first. */
static float *output_at(const koe_rnn_job *j, size_t time, size_t dir, size_t item)
{
    size_t n_dir = j->cfg->n_dir;
    size_t at = j->cfg->batch_first ? (item * j->n_time + time) * n_dir + dir : (time * n_dir + dir) * j->n_item + item;
    return j->y + at * j->n_hidden;
}

static void chain_task(void *arg, size_t task, void *scratch)
{
    const run_state *s = arg;
    const koe_rnn_job *j = s->j;
    size_t chains = (j->n_item + s->items - 1) / s->items, hidden = j->n_hidden;
    chain k = { .s = s, .j = j, .dir = task / chains, .item = task % chains * s->items };
    k.n = j->n_item - k.item < s->items ? j->n_item - k.item : s->items;
    k.side = &j->side[k.dir];
    k.act = j->cfg->act[k.dir];
    k.h = j->h + (k.dir * j->n_item + k.item) * hidden;
    k.c = j->c ? j->c + (k.dir * j->n_item + k.item) * hidden : NULL;
    k.tmp = scratch;
    k.aux = k.tmp + s->items * s->n_gates;
    k.sum = (int32_t *)(void *)k.aux; /* a quantised chain has no aux */
    k.h8 = (uint8_t *)(k.sum + s->items * s->n_gates);
    bool backward = j->cfg->backward_only || k.dir == 1;
    size_t n_step = j->length ? (size_t)j->length[k.item] : j->n_time; /* with lengths, a chain is one item */
    for (size_t step = 0; step < n_step; step++) {
        size_t time = backward ? n_step - 1 - step : step, ld = j->cfg->batch_first ? j->n_time * s->n_gates : s->n_gates;
        float *gates = s->gates + (k.dir * s->n_row + row_of(j, time, k.item)) * s->n_gates;
        switch (j->cfg->cell) {
        case KOE_CELL_RNN: step_rnn(&k, gates, ld); break;
        case KOE_CELL_GRU: step_gru(&k, gates, ld); break;
        case KOE_CELL_LSTM: step_lstm(&k, gates, ld, step); break;
        }
        for (size_t b = 0; b < k.n; b++) memcpy(output_at(j, time, k.dir, k.item + b), k.h + b * hidden, hidden * sizeof(float));
    }
    for (size_t time = n_step; time < j->n_time; time++) memset(output_at(j, time, k.dir, k.item), 0, hidden * sizeof(float));
}

koe_status koe_rnn_run(koe_op_ctx *c, koe_rnn_job *j, koe_error *err)
{
    const koe_rnn_config *cfg = j->cfg;
    run_state s = { .j = j, .n_gates = cfg->n_gate * j->n_hidden, .n_row = j->n_time * j->n_item };
    size_t n_gate_values, chain_floats;
    if (__builtin_mul_overflow(s.n_row, s.n_gates, &n_gate_values) || n_gate_values > SIZE_MAX / 8 / sizeof(float))
        return koe_fail(err, KOE_E_LIMIT, "%zu rows of %zu gates", s.n_row, s.n_gates);
    s.gates = koe_scratch(c, cfg->n_dir * n_gate_values * sizeof(float));
    if (!s.gates) return koe_fail(err, KOE_E_NOMEM, "%zu rows of %zu gates", s.n_row, s.n_gates);
    s.row_tasks = (s.n_row + PROJECT_ROWS - 1) / PROJECT_ROWS;
    size_t panel = j->quantised ? KOE_I8_PANEL : koe_f32_panel();
    s.task_cols = (PROJECT_COLS + panel - 1) / panel * panel;
    s.col_tasks = (s.n_gates + s.task_cols - 1) / s.task_cols;
    koe_status st = koe_tasks_run(c, cfg->n_dir * s.row_tasks * s.col_tasks,
                                  j->quantised ? PROJECT_ROWS * s.task_cols * sizeof(int32_t) : 0, project_task, &s, err);
    if (st != KOE_OK) return st;
    /* ONNX Runtime quantises the states of a whole batch with one scale; its float chains are independent. */
    s.items = j->length ? 1 : j->quantised || j->n_item < ITEMS ? j->n_item : ITEMS;
    if (s.items == 0) return KOE_OK;
    size_t aux = j->quantised ? s.n_gates + j->n_hidden : 2 * j->n_hidden;
    if (__builtin_mul_overflow(s.items, (s.n_gates + aux) * sizeof(float), &chain_floats))
        return koe_fail(err, KOE_E_LIMIT, "%zu sequences", s.items);
    return koe_tasks_run(c, cfg->n_dir * ((j->n_item + s.items - 1) / s.items), chain_floats, chain_task, &s, err);
}
