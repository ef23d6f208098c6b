/* rest.c - operators of koe's own domain for a large tensor that nobody reads for long (graph/rest.c):
 *     Rest(x)   x, a narrow tensor, in 8 bits: rows of blocks of 64 elements, each a float32 scale and its elements as multiples of it
 *     Wake(r)   the narrow tensor again, to within half of a 127th of each block's largest element
 * What is not narrow, or not large enough, passes through both as it is. */
#include <math.h>

#include "base/half.h"
#include "kernels/kernels.h"
#include "ops/ops.h"
#include "ops/tasks.h"

enum { BLOCK = 64, BLOCK_BYTES = BLOCK + sizeof(float), WORTH = 4 /* times what makes a tensor narrow */ };

/* Bytes of a row of n elements, and the way back. */
static size_t rest_bytes(size_t n) { return n + (n + BLOCK - 1) / BLOCK * sizeof(float); }
static size_t rest_count(size_t n_bytes) { return n_bytes - (n_bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * sizeof(float); }

typedef struct rest_job {
    uint16_t *wide;
    uint8_t *packed;
    size_t n; /* elements of a row */
} rest_job;

static void rest_block(uint8_t *to, const uint16_t *from, size_t n)
{
    float x[BLOCK], most = 0;
    koe_f16_widen(x, from, n);
    for (size_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
    const float scale = most / 127, back = most > 0 ? 127 / most : 0;
    memcpy(to, &scale, sizeof scale);
    int8_t *q = (int8_t *)to + sizeof scale;
    for (size_t i = 0; i < n; i++) {
        const float v = x[i] * back;
        q[i] = (int8_t)(int)(v + copysignf(0.5f, v));
    }
}

static void wake_block(uint16_t *to, const uint8_t *from, size_t n)
{
    float x[BLOCK], scale;
    memcpy(&scale, from, sizeof scale);
    const int8_t *q = (const int8_t *)from + sizeof scale;
    for (size_t i = 0; i < n; i++) x[i] = scale * (float)q[i];
    koe_f16_narrow(to, x, n);
}

static void rest_row(void *arg, size_t row)
{
    const rest_job *j = arg;
    uint8_t *packed = j->packed + row * rest_bytes(j->n);
    for (size_t at = 0; at < j->n; at += BLOCK, packed += BLOCK_BYTES) rest_block(packed, j->wide + row * j->n + at, j->n - at < BLOCK ? j->n - at : BLOCK);
}

static void wake_row(void *arg, size_t row)
{
    const rest_job *j = arg;
    const uint8_t *packed = j->packed + row * rest_bytes(j->n);
    for (size_t at = 0; at < j->n; at += BLOCK, packed += BLOCK_BYTES) wake_block(j->wide + row * j->n + at, packed, j->n - at < BLOCK ? j->n - at : BLOCK);
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
    rest_job j = { .wide = x->data, .packed = y->data, .n = n };
    koe_pool_for(c->pool, count / n, rest_row, &j);
    return KOE_OK;
}

static koe_status wake_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *x;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &x, err);
    if (st != KOE_OK) return st;
    if (x->dtype != KOE_DTYPE_U8) return koe_out_share(c, 0, c->in[0], err);
    int64_t dim[KOE_MAX_DIM];
    memcpy(dim, x->dim, sizeof dim);
    const size_t n = rest_count((size_t)dim[x->n_dim - 1]), n_rows = koe_dim_product(dim, 0, x->n_dim - 1);
    dim[x->n_dim - 1] = (int64_t)n;
    st = koe_out_narrow(c, -1, x->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    rest_job j = { .wide = y->data, .packed = x->data, .n = n };
    koe_pool_for(c->pool, n_rows, wake_row, &j);
    return KOE_OK;
}

static const koe_op table[] = {
    { "Rest", 1, 0, KOE_OP_NARROW, NULL, NULL, rest_run, "koe" },
    { "Wake", 1, 0, KOE_OP_NARROW, NULL, NULL, wake_run, "koe" },
};

koe_op_table koe_ops_rest(void) { return KOE_OP_TABLE(table); }
