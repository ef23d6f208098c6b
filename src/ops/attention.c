/* attention.c - Attention and RotaryEmbedding.
 *     scores = Q K^T * scale -> softcap -> + mask -> softmax -> times V
 * Q is [batch, heads, length, head size], or [batch, length, heads * head size] with the heads in attributes; K and V likewise,
 * with as many heads or fewer (each then serves a group of neighbouring query heads). past_key and past_value come before K and V
 * in time. A task is some queries of one head. float64 is computed in float32. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "ops/bytes.h"
#include "ops/elementwise.h"
#include "ops/ops.h"
#include "ops/tasks.h"

enum { QUERIES = 32 }; /* of one task */

/* ---- Attention ----------------------------------------------------------------------------------------------------------- */

/* A tensor of heads as float32: element (b, h, t, d) at p[b * batch + h * head + t * time + d]. */
typedef struct heads {
    const float *p;
    size_t n_batch, n_head, n_time, n_dim;
    size_t batch, head, time;
} heads;

/* What is taken from the scores as output 3. */
typedef enum score_stage { STAGE_PRODUCT, STAGE_SOFTCAP, STAGE_MASK, STAGE_SOFTMAX, STAGE_NONE } score_stage;

typedef struct attention_job {
    heads q, k, v; /* k, v: with the past in front */
    float scale, softcap;
    bool causal;
    const int64_t *n_valid; /* nonpad_kv_seqlen: keys of each batch item that count, or NULL */
    int64_t n_past; /* keys before the first query's own, for the causal mask */
    const void *mask; /* bool or float32, or NULL */
    bool mask_is_bool;
    size_t mask_step[3], mask_time; /* steps of batch, head and query; keys it covers (those after are masked) */
    float *y;
    size_t y_batch, y_head, y_time;
    float *scores; /* output 3: [batch][head][query][key], or NULL */
    score_stage stage;
    size_t blocks; /* tasks per head */
} attention_job;

static void keep(const attention_job *j, score_stage stage, const float *s, size_t at, size_t n)
{
    if (j->scores && j->stage == stage) memcpy(j->scores + at, s, n * sizeof *s);
}

/* Adds the mask to the scores of one query. */
static void mask_row(const attention_job *j, float *s, size_t b, size_t h, size_t query)
{
    size_t n = j->k.n_time, open = n; /* keys from `open` on are masked */
    if (j->mask) {
        size_t at = b * j->mask_step[0] + h * j->mask_step[1] + query * j->mask_step[2];
        if (j->mask_time < open) open = j->mask_time;
        if (j->mask_is_bool) {
            const uint8_t *m = (const uint8_t *)j->mask + at;
            for (size_t t = 0; t < open; t++)
                if (!m[t]) s[t] = -INFINITY;
        } else {
            const float *m = (const float *)j->mask + at;
            for (size_t t = 0; t < open; t++) s[t] += m[t];
        }
    }
    if (j->n_valid && (size_t)j->n_valid[b] < open) open = (size_t)j->n_valid[b];
    if (j->causal) {
        int64_t past = j->n_valid ? j->n_valid[b] - (int64_t)j->q.n_time : j->n_past, last = past + (int64_t)query + 1;
        if (last < (int64_t)open) open = last < 0 ? 0 : (size_t)last;
    }
    for (size_t t = open; t < n; t++) s[t] = -INFINITY;
}

static void attention_task(void *arg, size_t task, void *scratch)
{
    const attention_job *j = arg;
    size_t from = task % j->blocks * QUERIES, h = task / j->blocks % j->q.n_head, b = task / j->blocks / j->q.n_head;
    size_t rows = j->q.n_time - from < QUERIES ? j->q.n_time - from : QUERIES, n = j->k.n_time;
    size_t kv_head = h / (j->q.n_head / j->k.n_head);
    float *s = scratch;
    const float *q = j->q.p + b * j->q.batch + h * j->q.head + from * j->q.time;
    const float *k = j->k.p + b * j->k.batch + kv_head * j->k.head, *v = j->v.p + b * j->v.batch + kv_head * j->v.head;
    koe_f32_epilogue ep = { .scale = j->scale };
    koe_f32_gemm_view(s, n, (koe_f32_view){ q, j->q.time, 1 }, (koe_f32_view){ k, 1, j->k.time }, rows, n, j->q.n_dim, 0, &ep);
    size_t at = ((b * j->q.n_head + h) * j->q.n_time + from) * n;
    keep(j, STAGE_PRODUCT, s, at, rows * n);
    if (j->softcap > 0)
        for (size_t i = 0; i < rows * n; i++) s[i] = j->softcap * tanhf(s[i] / j->softcap);
    keep(j, STAGE_SOFTCAP, s, at, rows * n);
    for (size_t i = 0; i < rows; i++) mask_row(j, s + i * n, b, h, from + i);
    keep(j, STAGE_MASK, s, at, rows * n);
    for (size_t i = 0; i < rows; i++) koe_f32_softmax(s + i * n, s + i * n, n);
    keep(j, STAGE_SOFTMAX, s, at, rows * n);
    koe_f32_gemm(j->y + b * j->y_batch + h * j->y_head + from * j->y_time, j->y_time, s, n, v, j->v.time, rows, j->v.n_dim, n, 0);
}

static koe_status float_in(koe_op_ctx *c, int i, const koe_tensor **t, const float **p, koe_error *err)
{
    koe_status st = koe_need(c, i, t, err);
    if (st != KOE_OK) return st;
    if (!koe_dtype_is_float((*t)->dtype)) return koe_type_error(c, (*t)->dtype, err);
    *p = koe_as_type(c, *t, KOE_DTYPE_F32);
    return *p ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "input %d", i);
}

/* Input i as heads; a tensor of 3 dimensions has `n_head` of them. */
static koe_status heads_in(koe_op_ctx *c, int i, int64_t n_head, heads *out, koe_error *err)
{
    const koe_tensor *t;
    koe_status st = float_in(c, i, &t, &out->p, err);
    if (st != KOE_OK) return st;
    char s[96];
    if (t->n_dim == 4) {
        *out = (heads){ .p = out->p,
                        .n_batch = (size_t)t->dim[0],
                        .n_head = (size_t)t->dim[1],
                        .n_time = (size_t)t->dim[2],
                        .n_dim = (size_t)t->dim[3] };
        out->time = out->n_dim;
        out->head = out->n_time * out->time;
        out->batch = out->n_head * out->head;
        return KOE_OK;
    }
    if (t->n_dim != 3 || n_head < 1 || t->dim[2] % n_head != 0)
        return koe_fail(err, KOE_E_FORMAT, "input %d is %s, with %" PRId64 " heads", i, koe_tensor_describe(t, s, sizeof s),
                        n_head);
    *out = (heads){ .p = out->p,
                    .n_batch = (size_t)t->dim[0],
                    .n_head = (size_t)n_head,
                    .n_time = (size_t)t->dim[1],
                    .n_dim = (size_t)(t->dim[2] / n_head) };
    out->head = out->n_dim;
    out->time = (size_t)t->dim[2];
    out->batch = out->n_time * out->time;
    return KOE_OK;
}

/* Copies `from` into `to` from time `at` on; `to` is dense. */
static void copy_heads(float *to, size_t to_time, const heads *from, size_t at)
{
    for (size_t b = 0; b < from->n_batch; b++)
        for (size_t h = 0; h < from->n_head; h++)
            for (size_t t = 0; t < from->n_time; t++)
                memcpy(to + ((b * from->n_head + h) * to_time + at + t) * from->n_dim,
                       from->p + b * from->batch + h * from->head + t * from->time, from->n_dim * sizeof *to);
}

/* Output i of the type of input 0 and float32 memory to fill it from: its own, or scratch. */
static koe_status float_out(koe_op_ctx *c, int i, int n_dim, const int64_t *dim, koe_tensor **t, float **p, koe_error *err)
{
    koe_dtype type = koe_in(c, 0)->dtype;
    koe_status st = koe_out(c, i, type, n_dim, dim, t, err);
    if (st != KOE_OK) return st;
    *p = type == KOE_DTYPE_F32 ? (*t)->data : koe_scratch(c, koe_tensor_count(*t) * sizeof(float));
    return *p ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "output %d", i);
}

static void store(const koe_tensor *t, const float *p)
{
    if (t->dtype != KOE_DTYPE_F32) koe_cast_elements(t->data, t->dtype, p, KOE_DTYPE_F32, koe_tensor_count(t));
}

static bool wanted(const koe_op_ctx *c, int i) { return i < c->n_out && c->out[i]; }

/* Puts the past (input i_past) before *kv; the whole is output i_present. */
static koe_status with_past(koe_op_ctx *c, heads *kv, int i_past, int i_present, size_t *n_past, koe_error *err)
{
    heads past = { .n_time = 0 };
    koe_status st = koe_in(c, i_past) ? heads_in(c, i_past, 0, &past, err) : KOE_OK;
    *n_past = past.n_time;
    if (st != KOE_OK || (!koe_in(c, i_past) && !wanted(c, i_present))) return st;
    if (koe_in(c, i_past) && (past.n_batch != kv->n_batch || past.n_head != kv->n_head || past.n_dim != kv->n_dim))
        return koe_fail(err, KOE_E_FORMAT, "input %d does not fit its present", i_past);
    int64_t dim[4] = { (int64_t)kv->n_batch, (int64_t)kv->n_head, (int64_t)(past.n_time + kv->n_time), (int64_t)kv->n_dim };
    koe_tensor *t;
    float *p;
    st = float_out(c, i_present, 4, dim, &t, &p, err);
    if (st != KOE_OK) return st;
    size_t whole = past.n_time + kv->n_time;
    if (past.n_time) copy_heads(p, whole, &past, 0);
    copy_heads(p, whole, kv, past.n_time);
    store(t, p);
    *kv = (heads){ .p = p,
                   .n_batch = kv->n_batch,
                   .n_head = kv->n_head,
                   .n_time = whole,
                   .n_dim = kv->n_dim,
                   .time = kv->n_dim,
                   .head = whole * kv->n_dim,
                   .batch = kv->n_head * whole * kv->n_dim };
    return KOE_OK;
}

/* attn_mask: broadcasts to [batch, heads, queries, keys], but for the keys, of which it may have fewer. */
static koe_status read_mask(koe_op_ctx *c, attention_job *j, koe_error *err)
{
    const koe_tensor *t = koe_in(c, 3);
    if (!t) return KOE_OK;
    size_t want[4] = { j->q.n_batch, j->q.n_head, j->q.n_time, j->k.n_time };
    char s[96];
    if (t->n_dim < 2 || t->n_dim > 4 || (size_t)t->dim[t->n_dim - 1] > want[3])
        return koe_fail(err, KOE_E_FORMAT, "the mask is %s", koe_tensor_describe(t, s, sizeof s));
    j->mask_time = (size_t)t->dim[t->n_dim - 1];
    size_t step = j->mask_time;
    for (int d = t->n_dim - 2, k = 2; d >= 0; d--, k--) {
        if (t->dim[d] != 1 && (size_t)t->dim[d] != want[k])
            return koe_fail(err, KOE_E_FORMAT, "the mask is %s", koe_tensor_describe(t, s, sizeof s));
        j->mask_step[k] = t->dim[d] == 1 ? 0 : step;
        step *= (size_t)t->dim[d];
    }
    j->mask_is_bool = t->dtype == KOE_DTYPE_BOOL;
    if (j->mask_is_bool) {
        j->mask = t->data;
        return KOE_OK;
    }
    const float *p;
    koe_status st = float_in(c, 3, &t, &p, err);
    j->mask = p;
    return st;
}

static koe_status read_valid(koe_op_ctx *c, attention_job *j, koe_error *err)
{
    const koe_tensor *t = koe_in(c, 6);
    size_t n;
    if (!t) return KOE_OK;
    int64_t *v = koe_scratch(c, j->q.n_batch * sizeof *v);
    if (!v) return koe_fail(err, KOE_E_NOMEM, "nonpad_kv_seqlen");
    koe_status st = koe_read_ints(t, v, j->q.n_batch, &n, err);
    if (st != KOE_OK) return st;
    if (n != j->q.n_batch)
        return koe_fail(err, KOE_E_FORMAT, "%zu entries of nonpad_kv_seqlen for %zu batch items", n, j->q.n_batch);
    for (size_t i = 0; i < n; i++)
        if (v[i] < 0 || (size_t)v[i] > j->k.n_time)
            return koe_fail(err, KOE_E_FORMAT, "nonpad_kv_seqlen is %" PRId64 " of %zu keys", v[i], j->k.n_time);
    j->n_valid = v;
    return KOE_OK;
}

static koe_status read_inputs(koe_op_ctx *c, attention_job *j, koe_error *err)
{
    int64_t kv_heads = koe_node_int(c->node, "kv_num_heads", 0);
    size_t past_k = 0, past_v = 0;
    koe_status st = heads_in(c, 0, koe_node_int(c->node, "q_num_heads", 0), &j->q, err);
    if (st == KOE_OK) st = heads_in(c, 1, kv_heads, &j->k, err);
    if (st == KOE_OK) st = heads_in(c, 2, kv_heads, &j->v, err);
    if (st == KOE_OK) st = with_past(c, &j->k, 4, 1, &past_k, err);
    if (st == KOE_OK) st = with_past(c, &j->v, 5, 2, &past_v, err);
    if (st != KOE_OK) return st;
    if (j->k.n_head == 0 || j->q.n_head % j->k.n_head != 0 || j->v.n_head != j->k.n_head || j->k.n_dim != j->q.n_dim ||
        j->k.n_batch != j->q.n_batch || j->v.n_batch != j->q.n_batch || j->k.n_time != j->v.n_time)
        return koe_fail(err, KOE_E_FORMAT,
                        "query, key and value do not fit: heads %zu, %zu, %zu, lengths of key and value %zu, %zu", j->q.n_head,
                        j->k.n_head, j->v.n_head, j->k.n_time, j->v.n_time);
    j->n_past = (int64_t)past_k;
    st = read_mask(c, j, err);
    return st == KOE_OK ? read_valid(c, j, err) : st;
}

static koe_status attention_run(koe_op_ctx *c, koe_error *err)
{
    attention_job j = { .softcap = koe_node_float(c->node, "softcap", 0), .causal = koe_node_int(c->node, "is_causal", 0) != 0 };
    koe_tensor *y, *scores = NULL;
    koe_status st = read_inputs(c, &j, err);
    if (st != KOE_OK) return st;
    j.scale = koe_node_float(c->node, "scale", 1.0f / sqrtf((float)j.q.n_dim));
    bool flat = koe_in(c, 0)->n_dim == 3;
    int64_t batch = (int64_t)j.q.n_batch, head = (int64_t)j.q.n_head, time = (int64_t)j.q.n_time, size = (int64_t)j.v.n_dim;
    int64_t keys = (int64_t)j.k.n_time, dim4[4] = { batch, head, time, size }, dim_scores[4] = { batch, head, time, keys }, width;
    if (__builtin_mul_overflow(head, size, &width)) return koe_fail(err, KOE_E_LIMIT, "%" PRId64 " heads", head);
    int64_t dim3[3] = { batch, time, width };
    st = float_out(c, 0, flat ? 3 : 4, flat ? dim3 : dim4, &y, &j.y, err);
    if (st == KOE_OK && wanted(c, 3)) st = float_out(c, 3, 4, dim_scores, &scores, &j.scores, err);
    if (st != KOE_OK) return st;
    int64_t stage = koe_node_int(c->node, "qk_matmul_output_mode", 0);
    if (stage < 0 || stage >= STAGE_NONE) return koe_fail(err, KOE_E_FORMAT, "qk_matmul_output_mode is %" PRId64, stage);
    j.stage = (score_stage)stage;
    j.y_time = flat ? (size_t)width : j.v.n_dim;
    j.y_head = flat ? j.v.n_dim : j.q.n_time * j.v.n_dim;
    j.y_batch = j.q.n_time * (size_t)width;
    j.blocks = (j.q.n_time + QUERIES - 1) / QUERIES;
    if (j.k.n_time > SIZE_MAX / QUERIES / sizeof(float)) return koe_fail(err, KOE_E_LIMIT, "Attention over %zu keys", j.k.n_time);
    st = koe_tasks_run(c, j.q.n_batch * j.q.n_head * j.blocks, QUERIES * j.k.n_time * sizeof(float), attention_task, &j, err);
    if (st != KOE_OK) return st;
    store(y, j.y);
    if (scores) store(scores, j.scores);
    return KOE_OK;
}

/* ---- RotaryEmbedding ----------------------------------------------------------------------------------------------------- */

typedef struct rotary_job {
    heads x;
    float *y; /* laid out as x */
    size_t n_rotated; /* leading elements of a head that turn */
    bool interleaved; /* pairs are neighbours, else halves */
    const float *cos, *sin; /* rows of n_rotated / 2 */
    const int64_t *position; /* [batch][time] row for each, or NULL: row b * n_time + t */
} rotary_job;

/* All heads at one batch item and time. */
static void rotary_task(void *arg, size_t task)
{
    const rotary_job *j = arg;
    size_t b = task / j->x.n_time, t = task % j->x.n_time, half = j->n_rotated / 2;
    size_t row = j->position ? (size_t)j->position[task] : task;
    const float *cos = j->cos + row * half, *sin = j->sin + row * half;
    for (size_t h = 0; h < j->x.n_head; h++) {
        size_t at = b * j->x.batch + h * j->x.head + t * j->x.time;
        const float *x = j->x.p + at;
        float *y = j->y + at;
        for (size_t i = 0; i < half; i++) {
            size_t first = j->interleaved ? 2 * i : i, second = j->interleaved ? 2 * i + 1 : half + i;
            float real = x[first], imag = x[second];
            y[first] = cos[i] * real - sin[i] * imag;
            y[second] = sin[i] * real + cos[i] * imag;
        }
        memcpy(y + j->n_rotated, x + j->n_rotated, (j->x.n_dim - j->n_rotated) * sizeof *y);
    }
}

/* Caches are [max position, half] with position_ids, else [batch, time, half]. */
static koe_status read_caches(koe_op_ctx *c, rotary_job *j, const koe_tensor *ids, koe_error *err)
{
    const koe_tensor *cos, *sin;
    size_t half = j->n_rotated / 2, rows = j->x.n_batch * j->x.n_time, n_ids;
    koe_status st = float_in(c, 1, &cos, &j->cos, err);
    if (st == KOE_OK) st = float_in(c, 2, &sin, &j->sin, err);
    if (st != KOE_OK) return st;
    bool fits = cos->n_dim == sin->n_dim && cos->n_dim == (ids ? 2 : 3);
    for (int d = 0; fits && d < cos->n_dim; d++) fits = cos->dim[d] == sin->dim[d];
    if (!fits || (size_t)cos->dim[cos->n_dim - 1] != half || (!ids && koe_tensor_count(cos) != rows * half))
        return koe_fail(err, KOE_E_FORMAT, "the caches do not fit %zu angles at %zu positions", half, rows);
    if (!ids) return KOE_OK;
    int64_t *position = koe_scratch(c, rows * sizeof *position);
    if (!position) return koe_fail(err, KOE_E_NOMEM, "position_ids");
    st = koe_read_ints(ids, position, rows, &n_ids, err);
    if (st != KOE_OK) return st;
    if (n_ids != rows) return koe_fail(err, KOE_E_FORMAT, "%zu position_ids for %zu positions", n_ids, rows);
    for (size_t i = 0; i < rows; i++)
        if (position[i] < 0 || position[i] >= cos->dim[0])
            return koe_fail(err, KOE_E_FORMAT, "position %" PRId64 " of %" PRId64, position[i], cos->dim[0]);
    j->position = position;
    return KOE_OK;
}

static koe_status rotary_run(koe_op_ctx *c, koe_error *err)
{
    rotary_job j = { .interleaved = koe_node_int(c->node, "interleaved", 0) != 0 };
    koe_tensor *y;
    koe_status st = heads_in(c, 0, koe_node_int(c->node, "num_heads", 0), &j.x, err);
    if (st != KOE_OK) return st;
    int64_t rotated = koe_node_int(c->node, "rotary_embedding_dim", 0);
    if (rotated == 0) rotated = (int64_t)j.x.n_dim;
    if (rotated < 0 || (size_t)rotated > j.x.n_dim || rotated % 2 != 0)
        return koe_fail(err, KOE_E_FORMAT, "%" PRId64 " of %zu elements of a head turn", rotated, j.x.n_dim);
    j.n_rotated = (size_t)rotated;
    st = read_caches(c, &j, koe_in(c, 3), err);
    if (st == KOE_OK) st = float_out(c, 0, koe_in(c, 0)->n_dim, koe_in(c, 0)->dim, &y, &j.y, err);
    if (st != KOE_OK) return st;
    koe_pool_for(c->pool, j.x.n_batch * j.x.n_time, rotary_task, &j);
    store(y, j.y);
    return KOE_OK;
}

static const koe_op table[] = {
    { "Attention", 23, 0, KOE_OP_WIDEN_HALF, NULL, NULL, attention_run, NULL },
    { "Attention", 1, 0, KOE_OP_WIDEN_HALF, NULL, NULL, attention_run, "koe" },
    { "RotaryEmbedding", 23, 0, KOE_OP_WIDEN_HALF, NULL, NULL, rotary_run, NULL },
};

koe_op_table koe_ops_attention(void) { return KOE_OP_TABLE(table); }
