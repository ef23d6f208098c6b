/* rest.c - operators of koe's own domain for a large tensor that nobody reads for long (graph/rest.c):
 *     Rest(x)   x, a narrow tensor, in 8 bits: rows of blocks of 64 elements, each a float32 scale and its elements as multiples of it
 *     Wake(r)   the narrow tensor again, to within half of a 127th of each block's largest element
 * What is not narrow, or not large enough, passes through both as it is. A convolution may add a tensor at rest without waking it. */
#include "ops/rest.h"

#include "base/half.h"
#include "kernels/kernels.h"
#include "ops/ops.h"

enum { BLOCK = 64, BLOCK_BYTES = BLOCK + sizeof(float), STRIP = 16 * BLOCK, WORTH = 4 /* times what makes a tensor narrow */ };

/* Bytes of a row of n elements, and the way back. */
static size_t rest_bytes(size_t n) { return n + (n + BLOCK - 1) / BLOCK * sizeof(float); }
static size_t rest_count(size_t n_bytes) { return n_bytes - (n_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * sizeof(float); }

typedef struct rest_job {
    uint16_t *wide;
    uint8_t *packed;
    size_t n; /* elements of a row */
    bool add; /* to what `wide` holds */
} rest_job;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Largest magnitude of n numbers; as float16 are, magnitudes are ordered like their bits. */
static float largest(const uint16_t *x, size_t n)
{
    int16_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const int16_t magnitude = (int16_t)(x[i] & 0x7fff);
        most = magnitude > most ? magnitude : most;
    }
    return koe_f16_to_f32(most < 0x7c00 ? (uint16_t)most : 0x7bff);
}

/* x: the elements of `half`, widened. */
static void rest_block(uint8_t *to, const float *x, const uint16_t *half, size_t n)
{
    const float most = largest(half, n), scale = most / 127, back = most > 0 ? 127 / most : 0;
    memcpy(to, &scale, sizeof scale);
    int8_t *q = (int8_t *)to + sizeof scale;
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * back;
        v = v < 127 ? v : 127; /* infinities */
        v = v > -127 ? v : -127;
        q[i] = (int8_t)(int)(v + (v < 0 ? -0.5f : 0.5f));
    }
}

static void wake_block(float *x, const uint8_t *from, size_t n, bool add)
{
    float scale;
    memcpy(&scale, from, sizeof scale);
    const int8_t *q = (const int8_t *)from + sizeof scale;
    if (add)
        for (size_t i = 0; i < n; i++) x[i] += scale * (float)q[i];
    else
        for (size_t i = 0; i < n; i++) x[i] = scale * (float)q[i];
}

static void rest_row(void *arg, size_t row)
{
    const rest_job *j = arg;
    const uint16_t *half = j->wide + row * j->n;
    uint8_t *packed = j->packed + row * rest_bytes(j->n);
    float x[STRIP];
    for (size_t at = 0; at < j->n; at += STRIP) {
        const size_t n = least(j->n - at, STRIP);
        koe_f16_widen(x, half + at, n);
        for (size_t i = 0; i < n; i += BLOCK, packed += BLOCK_BYTES) rest_block(packed, x + i, half + at + i, least(n - i, BLOCK));
    }
}

static void wake_row(void *arg, size_t row)
{
    const rest_job *j = arg;
    uint16_t *half = j->wide + row * j->n;
    const uint8_t *packed = j->packed + row * rest_bytes(j->n);
    float x[STRIP];
    for (size_t at = 0; at < j->n; at += STRIP) {
        const size_t n = least(j->n - at, STRIP);
        if (j->add) koe_f16_widen(x, half + at, n);
        for (size_t i = 0; i < n; i += BLOCK, packed += BLOCK_BYTES) wake_block(x + i, packed, least(n - i, BLOCK), j->add);
        koe_f16_narrow(half + at, x, n);
    }
}

static koe_status rest_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    const size_t count = koe_tensor_count(x);
    const int64_t quarter = (int64_t)(count / WORTH);
    if (!koe_in_narrow(c, 0) || x->n_dim < 1 || count == 0 || !koe_is_narrow(c, 1, &quarter)) return koe_out_share(c, 0, c->in[0], err);
    int64_t dim[KOE_MAX_DIM];
    memcpy(dim, x->dim, sizeof dim);
    const size_t n = (size_t)dim[x->n_dim - 1];
    dim[x->n_dim - 1] = (int64_t)rest_bytes(n);
    st = koe_out(c, 0, KOE_DTYPE_U8, x->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    c->out[0]->rests = true;
    rest_job j = { .wide = x->data, .packed = y->data, .n = n };
    koe_pool_for(c->pool, count / n, rest_row, &j);
    return KOE_OK;
}

koe_tensor koe_rest_shape(const koe_tensor *r)
{
    koe_tensor t = *r;
    t.dtype = KOE_DTYPE_F32;
    t.data = NULL;
    t.dim[t.n_dim - 1] = (int64_t)rest_count((size_t)t.dim[t.n_dim - 1]);
    return t;
}

void koe_rest_wake(koe_pool *pool, uint16_t *to, const koe_tensor *r, bool add)
{
    const size_t n_bytes = (size_t)r->dim[r->n_dim - 1];
    rest_job j = { .wide = to, .packed = r->data, .n = rest_count(n_bytes), .add = add };
    koe_pool_for(pool, koe_dim_product(r->dim, 0, r->n_dim - 1), wake_row, &j);
}

static koe_status wake_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (!koe_in_rests(c, 0)) return koe_out_share(c, 0, c->in[0], err);
    const koe_tensor awake = koe_rest_shape(x);
    st = koe_out_narrow(c, -1, awake.n_dim, awake.dim, &y, err);
    if (st == KOE_OK) koe_rest_wake(c->pool, y->data, x, false);
    return st;
}

static const koe_op table[] = {
    { "Rest", 1, 0, KOE_OP_NARROW, NULL, NULL, rest_run, "koe" },
    { "Wake", 1, 0, KOE_OP_NARROW, NULL, NULL, wake_run, "koe" },
};

koe_op_table koe_ops_rest(void) { return KOE_OP_TABLE(table); }
