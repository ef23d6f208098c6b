/* quant_nbits.c - com.microsoft MatMulNBits: Y[.., N] = A[.., K] * W^T, W of 2, 4 or 8 bits in blocks along K.
 *     B            uint8 [N][blocks][block_size * bits / 8], low bits first
 *     scales       [N][blocks]
 *     zero_points  packed as B ([N][ceil(blocks * bits / 8)]) or as floats [N][blocks]; absent: 2^(bits-1)
 *     g_idx        int32 [K]: the block whose scale each row takes, in place of k / block_size
 * W is 4 to 16 times larger as float32, so it is widened tile by tile inside the product and never kept. Constant W of 4 or 8 bits is packed for
 * that when the model is loaded, in as many bits; else the tiles are made from the model's own layout. */
#include <inttypes.h>

#include <stdlib.h>

#include "kernels/kernels.h"
#include "ops/ops.h"
#include "ops/quant.h"

enum { TILE_K = 128, TILE_N = 64 };

typedef struct nbits_job {
    size_t m, n, k;
    size_t bits, block, n_block, blob; /* blob: bytes of a block */
    const float *a, *scale, *bias;
    const uint8_t *b;
    const uint8_t *zero_packed; /* one of these, or neither */
    const float *zero_float;
    const int32_t *group; /* g_idx or NULL */
    float *y;
} nbits_job;

/* Number `i` of a row of packed numbers. */
static unsigned unpack(const uint8_t *row, size_t i, size_t bits)
{
    size_t per_byte = 8 / bits;
    return (row[i / per_byte] >> (i % per_byte * bits)) & ((1u << bits) - 1u);
}

static float zero_of(const nbits_job *j, size_t col, size_t block)
{
    if (j->zero_float) return j->zero_float[col * j->n_block + block];
    if (!j->zero_packed) return (float)(1u << (j->bits - 1));
    size_t row_bytes = (j->n_block * j->bits + 7) / 8;
    return (float)unpack(j->zero_packed + col * row_bytes, block, j->bits);
}

/* Numbers k0..k0+n of one packed row, n of them in whole bytes. */
static void unpack_run(float *out, const uint8_t *row, size_t n, size_t bits)
{
    switch (bits) {
    case 8:
        for (size_t i = 0; i < n; i++) out[i] = (float)row[i];
        break;
    case 4:
        for (size_t i = 0; i < n / 2; i++) {
            out[2 * i] = (float)(row[i] & 15);
            out[2 * i + 1] = (float)(row[i] >> 4);
        }
        break;
    default:
        for (size_t i = 0; i < n; i++) out[i] = (float)(row[i / 4] >> (i % 4 * 2) & 3);
        break;
    }
}

/* W[col][k0..k0+n) as floats; k0 is a multiple of TILE_K, n at most that. Sizes of blocks are powers of two of at least 16, so a
 * block's part of a tile is whole bytes; `out` has room for the padding of the last block. */
static void widen_row(const nbits_job *j, float *out, size_t col, size_t k0, size_t n)
{
    size_t run = j->block < TILE_K ? j->block : TILE_K;
    for (size_t p = 0; p < n; p += run) {
        size_t at = k0 + p, block = at / j->block;
        unpack_run(out + p, j->b + (col * j->n_block + block) * j->blob + at % j->block * j->bits / 8, run, j->bits);
        if (j->group) continue;
        float scale = j->scale[col * j->n_block + block], zero = zero_of(j, col, block);
        for (size_t i = 0; i < run; i++) out[p + i] = (out[p + i] - zero) * scale;
    }
    for (size_t i = 0; j->group && i < n; i++) {
        size_t block = (size_t)j->group[k0 + i];
        out[i] = (out[i] - zero_of(j, col, block)) * j->scale[col * j->n_block + block];
    }
}

/* TILE_N columns of the output. */
static void nbits_task(void *arg, size_t task)
{
    const nbits_job *j = arg;
    size_t col = task * TILE_N, cols = j->n - col < TILE_N ? j->n - col : TILE_N;
    float w[TILE_N][TILE_K];
    koe_f32_epilogue ep = { .bias_col = j->bias ? j->bias + col : NULL, .scale = 1 };
    for (size_t k0 = 0; k0 < j->k; k0 += TILE_K) {
        size_t n = j->k - k0 < TILE_K ? j->k - k0 : TILE_K;
        for (size_t c = 0; c < cols; c++) widen_row(j, w[c], col + c, k0, n);
        koe_f32_gemm_view(j->y + col, j->n, (koe_f32_view){ j->a + k0, j->k, 1 }, (koe_f32_view){ w[0], 1, TILE_K }, j->m, cols,
                          n, k0 > 0, k0 + n == j->k ? &ep : NULL);
    }
}

static koe_status wrong(const char *what, koe_error *err)
{
    return koe_fail(err, KOE_E_FORMAT, "%s does not fit K, N, bits and block_size", what);
}

static koe_status read_attributes(const koe_node *node, nbits_job *j, koe_error *err)
{
    int64_t k = koe_node_int(node, "K", 0), n = koe_node_int(node, "N", 0), bits = koe_node_int(node, "bits", 4);
    int64_t block = koe_node_int(node, "block_size", 0);
    if (bits != 2 && bits != 4 && bits != 8)
        return koe_fail(err, KOE_E_UNSUPPORTED, "MatMulNBits with %" PRId64 " bits: 2, 4, 8", bits);
    if (k < 1 || n < 1 || block < 16 || (block & (block - 1)) != 0 || block > (1 << 20) || k > INT32_MAX || n > INT32_MAX)
        return koe_fail(err, KOE_E_FORMAT, "K %" PRId64 ", N %" PRId64 ", block_size %" PRId64 "", k, n, block);
    j->k = (size_t)k;
    j->n = (size_t)n;
    j->bits = (size_t)bits;
    j->block = (size_t)block;
    j->n_block = (j->k + j->block - 1) / j->block;
    j->blob = j->block * j->bits / 8;
    return KOE_OK;
}

static koe_status read_zeros(koe_op_ctx *c, nbits_job *j, koe_error *err)
{
    const koe_tensor *t = koe_in(c, 3);
    if (!t) return KOE_OK;
    size_t count = koe_tensor_count(t);
    if (t->dtype == KOE_DTYPE_U8) {
        j->zero_packed = t->data;
        return count == j->n * ((j->n_block * j->bits + 7) / 8) ? KOE_OK : wrong("zero_points", err);
    }
    if (t->dtype != KOE_DTYPE_F32) return koe_type_error(c, t->dtype, err);
    j->zero_float = t->data;
    return count == j->n * j->n_block ? KOE_OK : wrong("zero_points", err);
}

static koe_status read_groups(koe_op_ctx *c, nbits_job *j, koe_error *err)
{
    const koe_tensor *t = koe_in(c, 4);
    if (!t) return KOE_OK;
    if (t->dtype != KOE_DTYPE_I32) return koe_type_error(c, t->dtype, err);
    if (koe_tensor_count(t) < j->k) return wrong("g_idx", err);
    j->group = t->data;
    for (size_t i = 0; i < j->k; i++)
        if (j->group[i] < 0 || (size_t)j->group[i] >= j->n_block)
            return koe_fail(err, KOE_E_FORMAT, "g_idx[%zu] is %" PRId32 ", there are %zu blocks", i, j->group[i], j->n_block);
    return KOE_OK;
}

/* ---- packed when the model is loaded --------------------------------------------------------------------------------------- */

enum { PART_W, PART_SCALE, PART_ZERO };

/* The columns of a few panels, a byte an element: [col][k]. */
static void unpack_columns(uint8_t *out, const nbits_job *j, size_t col, size_t cols)
{
    for (size_t c = 0; c < cols; c++) {
        const uint8_t *row = j->b + (col + c) * j->n_block * j->blob;
        for (size_t i = 0; i < j->k; i++) out[c * j->k + i] = (uint8_t)unpack(row, i, j->bits);
    }
}

static koe_status pack_weights(uint8_t *out, const nbits_job *j, koe_error *err)
{
    const size_t panel = koe_f32_panel(), bytes = koe_f32_bytes_count(j->k, panel, j->bits == 4);
    uint8_t *columns = panel <= SIZE_MAX / j->k ? malloc(panel * j->k) : NULL;
    if (!columns) return koe_fail(err, KOE_E_NOMEM, "packed weights");
    for (size_t col = 0; col < j->n; col += panel, out += bytes) {
        const size_t cols = j->n - col < panel ? j->n - col : panel;
        unpack_columns(columns, j, col, cols);
        koe_f32_bytes_pack(out, j->bits == 4, columns, 1, j->k, 0, j->k, cols);
    }
    free(columns);
    return KOE_OK;
}

/* The constant inputs of a node that can be packed into *j; false when it cannot. */
static bool read_constants(koe_node *node, nbits_job *j, koe_error *err, koe_status *st)
{
    const koe_tensor *const *in = node->in_const;
    const bool has_zero = node->n_in > 3 && node->in[3] >= 0, has_group = node->n_in > 4 && node->in[4] >= 0;
    if (node->n_in < 3 || !in[1] || !in[2] || (has_zero && !in[3]) || has_group || in[1]->dtype != KOE_DTYPE_U8 || in[2]->dtype != KOE_DTYPE_F32) return false;
    *st = read_attributes(node, j, err);
    if (*st != KOE_OK || j->bits == 2) return false;
    if (koe_tensor_count(in[1]) != j->n * j->n_block * j->blob || koe_tensor_count(in[2]) != j->n * j->n_block) return false;
    const bool packed = has_zero && in[3]->dtype == KOE_DTYPE_U8;
    if (has_zero && !packed && in[3]->dtype != KOE_DTYPE_F32) return false;
    if (has_zero && koe_tensor_count(in[3]) != (packed ? j->n * ((j->n_block * j->bits + 7) / 8) : j->n * j->n_block)) return false;
    j->b = koe_node_data(node, 1);
    j->scale = koe_node_data(node, 2);
    const void *zero = has_zero ? koe_node_data(node, 3) : NULL;
    if (packed) j->zero_packed = zero;
    else j->zero_float = zero;
    if (!j->b || !j->scale || (has_zero && !zero)) *st = koe_fail(err, KOE_E_NOMEM, "weights");
    return *st == KOE_OK;
}

/* *state: koe_f32_bytes, or NULL where run() works from the inputs; run() says what is wrong with them, too. */
static koe_status nbits_prepare(koe_node *node, void **state, koe_error *err)
{
    nbits_job j = { 0 };
    koe_status st = KOE_OK;
    void *q, *scale, *zero;
    bool ready[3];
    size_t n_scale;
    if (!read_constants(node, &j, err, &st)) return st;
    const bool nibbles = j.bits == 4;
    const size_t bytes = koe_f32_bytes_count(j.k, j.n, nibbles), columns = koe_f32_bytes_columns(j.n);
    if (!bytes || __builtin_mul_overflow(columns, j.n_block, &n_scale) || n_scale > SIZE_MAX / sizeof(float))
        return koe_fail(err, KOE_E_LIMIT, "the weights are too large");
    st = koe_node_pack(node, 1, PART_W, bytes, &q, &ready[0], err);
    if (st == KOE_OK) st = koe_node_pack(node, 2, PART_SCALE, n_scale * sizeof(float), &scale, &ready[1], err);
    if (st == KOE_OK) st = koe_node_pack(node, 2, PART_ZERO, n_scale * sizeof(float), &zero, &ready[2], err);
    if (st == KOE_OK && !ready[0]) st = pack_weights(q, &j, err);
    if (st != KOE_OK) return st;
    for (size_t i = 0; i < n_scale; i++) {
        const size_t block = i / columns, col = i % columns;
        if (!ready[1]) ((float *)scale)[i] = col < j.n ? j.scale[col * j.n_block + block] : 0;
        if (!ready[2]) ((float *)zero)[i] = col < j.n ? zero_of(&j, col, block) : 0;
    }
    koe_f32_bytes *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "weights");
    *s = (koe_f32_bytes){ .p = q, .nibbles = nibbles, .block = j.block, .scale = scale, .zero = zero };
    *state = s;
    return KOE_OK;
}

/* ---- a run ------------------------------------------------------------------------------------------------------------------ */

static koe_status nbits_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b, *scale, *bias = koe_in(c, 5);
    koe_tensor *y;
    nbits_job j = { 0 };
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 1, &b, err);
    if (st == KOE_OK) st = koe_need(c, 2, &scale, err);
    if (st == KOE_OK) st = read_attributes(c->node, &j, err);
    if (st != KOE_OK) return st;
    if (a->dtype != KOE_DTYPE_F32) return koe_type_error(c, a->dtype, err);
    if (b->dtype != KOE_DTYPE_U8) return koe_type_error(c, b->dtype, err);
    if (scale->dtype != KOE_DTYPE_F32) return koe_type_error(c, scale->dtype, err);
    if (bias && bias->dtype != KOE_DTYPE_F32) return koe_type_error(c, bias->dtype, err);
    if (a->n_dim < 1 || (size_t)a->dim[a->n_dim - 1] != j.k) return wrong("A", err);
    if (koe_tensor_count(b) != j.n * j.n_block * j.blob) return wrong("B", err);
    if (koe_tensor_count(scale) != j.n * j.n_block) return wrong("scales", err);
    if (bias && koe_tensor_count(bias) != j.n) return wrong("bias", err);
    st = read_zeros(c, &j, err);
    if (st == KOE_OK) st = read_groups(c, &j, err);
    if (st != KOE_OK) return st;
    int64_t dim[KOE_MAX_DIM];
    for (int d = 0; d < a->n_dim; d++) dim[d] = a->dim[d];
    dim[a->n_dim - 1] = (int64_t)j.n;
    st = koe_out(c, 0, KOE_DTYPE_F32, a->n_dim, dim, &y, err);
    if (st != KOE_OK) return st;
    j.m = koe_tensor_count(a) / j.k;
    j.a = a->data;
    j.b = b->data;
    j.scale = scale->data;
    j.bias = bias ? bias->data : NULL;
    j.y = y->data;
    if (c->state) {
        koe_bytes_product(c, j.y, j.a, c->state, j.m, j.n, j.k, &(koe_f32_epilogue){ .bias_col = j.bias, .scale = 1 });
        return KOE_OK;
    }
    koe_pool_for(c->pool, (j.n + TILE_N - 1) / TILE_N, nbits_task, &j);
    return KOE_OK;
}

static const koe_op table[] = {
    { "MatMulNBits", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, nbits_prepare, free, nbits_run, "com.microsoft" },
};

koe_op_table koe_ops_quant_nbits(void) { return KOE_OP_TABLE(table); }
