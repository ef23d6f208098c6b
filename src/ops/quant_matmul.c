/* quant_matmul.c - matrix products of quantised tensors: MatMulInteger, QLinearMatMul; com.microsoft MatMulIntegerToFloat,
 * DynamicQuantizeMatMul, QGemm. All are one product of integers, cut into tiles, and differ in what they make of a tile of sums.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"
#include "ops/quant.h"

enum { TILE_ROWS = 32, TILE_COLS = 256 };

/* ---- the packed right side ----------------------------------------------------------------------------------------------- */

/* The matrices of b; a vector is one column. */
static koe_quant_matrices matrices_of(const koe_tensor *b, bool transposed)
{
    int r = b->n_dim;
    size_t rows = (size_t)b->dim[r >= 2 ? r - 2 : 0], cols = r >= 2 ? (size_t)b->dim[r - 1] : 1;
    koe_quant_matrices m = { .n_matrix = r > 2 ? koe_dim_product(b->dim, 0, r - 2) : 1, .distance = rows * cols };
    m.k = transposed ? cols : rows;
    m.n = transposed ? rows : cols;
    m.row_step = transposed ? 1 : cols;
    m.col_step = transposed ? cols : 1;
    return m;
}

/* Packs a constant input i_b of 8-bit integers: the state is its matrices, NULL when it is not constant. */
static koe_status prepare_b(koe_node *node, int i_b, bool transposed, void **state, koe_error *err)
{
    const koe_tensor *b = i_b < node->n_in ? node->in_const[i_b] : NULL;
    *state = NULL;
    if (!b || !koe_is_byte(b->dtype) || b->n_dim < 1) return KOE_OK;
    koe_quant_matrices m = matrices_of(b, transposed);
    return koe_quant_pack((koe_i8_packed **)state, node, i_b, &m, err);
}

static koe_status prepare_input_1(koe_node *node, void **state, koe_error *err) { return prepare_b(node, 1, false, state, err); }
static koe_status prepare_input_3(koe_node *node, void **state, koe_error *err) { return prepare_b(node, 3, false, state, err); }
static koe_status prepare_gemm(koe_node *node, void **state, koe_error *err)
{
    return prepare_b(node, 3, koe_node_int(node, "transB", 0) != 0, state, err);
}

static koe_status packed_b(koe_op_ctx *c, const koe_tensor *b, const koe_quant_matrices *m, const koe_i8_packed **out,
                           koe_error *err)
{
    *out = c->state;
    return c->state ? KOE_OK : koe_quant_pack_now(out, c, b, m, err);
}

/* ---- the product --------------------------------------------------------------------------------------------------------- */

typedef struct product product;
/* Takes the sums of rows row..row+rows of the output (rows of all matrices counted through) and columns col..col+cols. */
typedef void tile_fn(const product *p, const int32_t *c, size_t ldc, size_t row, size_t rows, size_t col, size_t cols);

struct product {
    size_t m, n, k; /* of each matrix */
    size_t n_mat; /* matrices of the output */
    size_t *a_mat, *b_mat; /* [n_mat] which matrix of a and b; NULL: all the first (n_mat is 1) */
    const uint8_t *a;
    bool a_signed;
    const koe_i8_packed *b;
    const int32_t *a_zero, *b_zero; /* counts: 1, one per row (column) of a matrix, or one per row (column) of all */
    size_t n_a_zero, n_b_zero, zero_rows; /* zero_rows: rows of one matrix of a before matrices were joined */
    int32_t *sums; /* [n_mat * m, n]: where the sums go; NULL: to `done`, tile by tile */
    tile_fn *done;
    /* for `done` */
    void *y;
    koe_dtype y_type;
    const float *row_factor,
        *col_factor; /* a sum is worth row * col factor; n_row_factor 1 or one per row of a, likewise columns */
    size_t n_row_factor, n_col_factor;
    int32_t y_zero;
    const float *bias; /* [n] or NULL */
    const int32_t *add; /* int32 to add before scaling, with steps; NULL: none */
    size_t add_row_step, add_col_step;
    int n_dim; /* output shape */
    int64_t dim[KOE_MAX_DIM];
};

static size_t tiles(size_t n, size_t tile) { return n / tile + (n % tile != 0); }

static void product_task(void *arg, size_t task)
{
    const product *p = arg;
    size_t n_row_tiles = tiles(p->m, TILE_ROWS), n_col_tiles = tiles(p->n, TILE_COLS);
    size_t col = task % n_col_tiles * TILE_COLS, row = task / n_col_tiles % n_row_tiles * TILE_ROWS,
           mat = task / n_col_tiles / n_row_tiles;
    size_t rows = p->m - row < TILE_ROWS ? p->m - row : TILE_ROWS, cols = p->n - col < TILE_COLS ? p->n - col : TILE_COLS;
    size_t a_row = (p->a_mat ? p->a_mat[mat] : 0) * p->m + row, b_mat = p->b_mat ? p->b_mat[mat] : 0;
    int32_t row_zero[TILE_ROWS], col_zero[TILE_COLS], local[TILE_ROWS * TILE_COLS];
    koe_i8_rows a = { .data = p->a + a_row * p->k, .ld = p->k, .is_signed = p->a_signed, .zero = p->a_zero[0] };
    if (p->n_a_zero > 1) {
        for (size_t i = 0; i < rows; i++)
            row_zero[i] = p->a_zero[p->n_a_zero == p->zero_rows ? (a_row + i) % p->zero_rows : a_row + i];
        a.row_zero = row_zero;
    }
    const int32_t *b_zero = NULL;
    if (p->n_b_zero > 1) b_zero = p->b_zero + (p->n_b_zero == p->n ? 0 : b_mat * p->n) + col;
    else if (p->b_zero[0] != 0) {
        for (size_t i = 0; i < cols; i++) col_zero[i] = p->b_zero[0];
        b_zero = col_zero;
    }
    koe_i8_packed b = koe_i8_columns(&p->b[b_mat], col, cols);
    size_t out_row = mat * p->m + row;
    if (p->sums) {
        koe_i8_gemm(p->sums + out_row * p->n + col, p->n, &a, &b, b_zero, rows);
    } else {
        koe_i8_gemm(local, cols, &a, &b, b_zero, rows);
        p->done(p, local, cols, out_row, rows, col, cols);
    }
}

static void run_product(koe_op_ctx *c, product *p)
{
    koe_pool_for(c->pool, p->n_mat * tiles(p->m, TILE_ROWS) * tiles(p->n, TILE_COLS), product_task, p);
}

static koe_status shape_error(const koe_tensor *a, const koe_tensor *b, koe_error *err)
{
    char as[96], bs[96];
    return koe_fail(err, KOE_E_FORMAT, "%s times %s does not fit", koe_tensor_describe(a, as, sizeof as),
                    koe_tensor_describe(b, bs, sizeof bs));
}

/* Lists which matrix of a and b each matrix of the output multiplies. */
static koe_status pair_matrices(koe_op_ctx *c, product *p, const koe_tensor *a, const koe_tensor *b, int n_batch,
                                const int64_t *batch, koe_error *err)
{
    int64_t a_step[KOE_MAX_DIM], b_step[KOE_MAX_DIM], at[KOE_MAX_DIM] = { 0 };
    koe_tensor a_batch = *a, b_batch = *b;
    a_batch.n_dim = a->n_dim > 2 ? a->n_dim - 2 : 0;
    b_batch.n_dim = b->n_dim > 2 ? b->n_dim - 2 : 0;
    koe_broadcast_strides(a_step, &a_batch, n_batch, batch);
    koe_broadcast_strides(b_step, &b_batch, n_batch, batch);
    if (p->n_mat > SIZE_MAX / sizeof(size_t)) return koe_fail(err, KOE_E_LIMIT, "%zu matrices", p->n_mat);
    p->a_mat = koe_scratch(c, p->n_mat * sizeof(size_t));
    p->b_mat = koe_scratch(c, p->n_mat * sizeof(size_t));
    if (!p->a_mat || !p->b_mat) return koe_fail(err, KOE_E_NOMEM, "%zu matrices", p->n_mat);
    for (size_t i = 0; i < p->n_mat; i++) {
        int64_t ia = 0, ib = 0;
        for (int d = 0; d < n_batch; d++) {
            ia += at[d] * a_step[d];
            ib += at[d] * b_step[d];
        }
        p->a_mat[i] = (size_t)ia;
        p->b_mat[i] = (size_t)ib;
        for (int d = n_batch - 1; d >= 0 && ++at[d] == batch[d]; d--) at[d] = 0;
    }
    return KOE_OK;
}

/* Shapes of a MatMul as numpy has them, zero points (inputs i_az, i_bz) and packing. */
static koe_status set_up(koe_op_ctx *c, product *p, const koe_tensor *a, const koe_tensor *b, int i_az, int i_bz, koe_error *err)
{
    if (!koe_is_byte(a->dtype)) return koe_type_error(c, a->dtype, err);
    if (!koe_is_byte(b->dtype)) return koe_type_error(c, b->dtype, err);
    if (a->n_dim < 1 || b->n_dim < 1) return shape_error(a, b, err);
    koe_quant_matrices mb = matrices_of(b, false);
    int n_batch, a_batch = a->n_dim > 2 ? a->n_dim - 2 : 0, b_batch = b->n_dim > 2 ? b->n_dim - 2 : 0;
    int64_t batch[KOE_MAX_DIM];
    p->n = mb.n;
    p->m = a->n_dim >= 2 ? (size_t)a->dim[a->n_dim - 2] : 1;
    p->k = (size_t)a->dim[a->n_dim - 1];
    if (p->k != mb.k) return shape_error(a, b, err);
    koe_status st = koe_broadcast(&n_batch, batch, a_batch, a->dim, b_batch, b->dim, err);
    if (st == KOE_OK) st = koe_quant_zeros(c, i_az, a->dtype, &p->a_zero, &p->n_a_zero, err);
    if (st == KOE_OK) st = koe_quant_zeros(c, i_bz, b->dtype, &p->b_zero, &p->n_b_zero, err);
    if (st == KOE_OK) st = packed_b(c, b, &mb, &p->b, err);
    if (st != KOE_OK) return st;
    p->n_dim = n_batch;
    memcpy(p->dim, batch, sizeof batch);
    if (a->n_dim >= 2) p->dim[p->n_dim++] = a->dim[a->n_dim - 2];
    if (b->n_dim >= 2) p->dim[p->n_dim++] = b->dim[b->n_dim - 1];
    size_t a_rows = koe_dim_product(a->dim, 0, a_batch) * p->m;
    if ((p->n_a_zero != 1 && p->n_a_zero != p->m && p->n_a_zero != a_rows) ||
        (p->n_b_zero != 1 && p->n_b_zero != p->n && p->n_b_zero != mb.n_matrix * p->n))
        return koe_fail(err, KOE_E_FORMAT, "%zu and %zu zero points for %zu rows and %zu columns", p->n_a_zero, p->n_b_zero, p->m,
                        p->n);
    p->a = a->data;
    p->a_signed = a->dtype == KOE_DTYPE_I8;
    p->zero_rows = p->m;
    p->n_mat = koe_dim_product(batch, 0, n_batch);
    if (mb.n_matrix == 1 && p->n_mat * p->m == a_rows) { /* one b for all: one tall matrix */
        p->m = a_rows;
        p->n_mat = 1;
        return KOE_OK;
    }
    return pair_matrices(c, p, a, b, n_batch, batch, err);
}

/* ---- what becomes of the sums -------------------------------------------------------------------------------------------- */

static float row_factor(const product *p, size_t row)
{
    return p->row_factor[p->n_row_factor == 1 ? 0 : p->n_row_factor == p->zero_rows ? row % p->zero_rows : row];
}

static float col_factor(const product *p, size_t col) { return p->col_factor[p->n_col_factor == 1 ? 0 : col]; }

static void to_float(const product *p, const int32_t *c, size_t ldc, size_t row, size_t rows, size_t col, size_t cols)
{
    for (size_t i = 0; i < rows; i++) {
        float *y = (float *)p->y + (row + i) * p->n + col, factor = row_factor(p, row + i);
        for (size_t j = 0; j < cols; j++) y[j] = (float)c[i * ldc + j] * (factor * col_factor(p, col + j));
        if (p->bias)
            for (size_t j = 0; j < cols; j++) y[j] += p->bias[col + j];
    }
}

static void to_bytes(const product *p, const int32_t *c, size_t ldc, size_t row, size_t rows, size_t col, size_t cols)
{
    int32_t lo, hi;
    koe_quant_range(p->y_type, &lo, &hi);
    float low = (float)(lo - p->y_zero), high = (float)(hi - p->y_zero);
    for (size_t i = 0; i < rows; i++) {
        uint8_t *y = (uint8_t *)p->y + (row + i) * p->n + col;
        float factor = row_factor(p, row + i);
        for (size_t j = 0; j < cols; j++)
            y[j] = (uint8_t)(koe_quant_round((float)c[i * ldc + j] * (factor * col_factor(p, col + j)), low, high) + p->y_zero);
    }
}

/* QGemm's C comes before the scaling. */
static void add_then(const product *p, tile_fn *next, const int32_t *c, size_t ldc, size_t row, size_t rows, size_t col,
                     size_t cols)
{
    int32_t sum[TILE_COLS];
    for (size_t i = 0; i < rows; i++) {
        const int32_t *add = p->add + (row + i) * p->add_row_step + col * p->add_col_step;
        for (size_t j = 0; j < cols; j++) sum[j] = (int32_t)((uint32_t)c[i * ldc + j] + (uint32_t)add[j * p->add_col_step]);
        next(p, sum, cols, row + i, 1, col, cols);
    }
}
static void add_to_float(const product *p, const int32_t *c, size_t ldc, size_t row, size_t rows, size_t col, size_t cols)
{
    add_then(p, to_float, c, ldc, row, rows, col, cols);
}
static void add_to_bytes(const product *p, const int32_t *c, size_t ldc, size_t row, size_t rows, size_t col, size_t cols)
{
    add_then(p, to_bytes, c, ldc, row, rows, col, cols);
}

/* Scales of a (input i_a) and b (input i_b) and, when i_y >= 0, of y, as the factors of a sum. */
static koe_status read_factors(koe_op_ctx *c, product *p, int i_a, int i_b, float y_scale, koe_error *err)
{
    const float *a;
    koe_status st = koe_quant_scales(c, i_a, &a, &p->n_row_factor, err);
    if (st == KOE_OK) st = koe_quant_scales(c, i_b, &p->col_factor, &p->n_col_factor, err);
    if (st != KOE_OK) return st;
    size_t rows = p->n_mat * p->m;
    if ((p->n_row_factor != 1 && p->n_row_factor != p->zero_rows && p->n_row_factor != rows) ||
        (p->n_col_factor != 1 && p->n_col_factor != p->n))
        return koe_fail(err, KOE_E_FORMAT, "%zu and %zu scales for %zu rows and %zu columns", p->n_row_factor, p->n_col_factor,
                        rows, p->n);
    float *factor = koe_scratch(c, p->n_row_factor * sizeof *factor);
    if (!factor) return koe_fail(err, KOE_E_NOMEM, "%zu scales", p->n_row_factor);
    for (size_t i = 0; i < p->n_row_factor; i++) factor[i] = a[i] / y_scale;
    p->row_factor = factor;
    return KOE_OK;
}

static koe_status read_bias(koe_op_ctx *c, product *p, int i, koe_error *err)
{
    const koe_tensor *bias = koe_in(c, i);
    if (!bias) return KOE_OK;
    if (bias->dtype != KOE_DTYPE_F32) return koe_type_error(c, bias->dtype, err);
    if (koe_tensor_count(bias) != p->n)
        return koe_fail(err, KOE_E_FORMAT, "bias of %zu for %zu columns", koe_tensor_count(bias), p->n);
    p->bias = bias->data;
    return KOE_OK;
}

/* ---- the operators ------------------------------------------------------------------------------------------------------- */

static koe_status matmul_integer_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b;
    koe_tensor *y;
    product p = { 0 };
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 1, &b, err);
    if (st == KOE_OK) st = set_up(c, &p, a, b, 2, 3, err);
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_I32, p.n_dim, p.dim, &y, err);
    if (st != KOE_OK) return st;
    p.sums = y->data;
    run_product(c, &p);
    return KOE_OK;
}

static koe_status qlinear_matmul_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b, *zero;
    koe_tensor *y;
    koe_quant_param q;
    product p = { .done = to_bytes };
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 3, &b, err);
    if (st == KOE_OK) st = koe_need(c, 7, &zero, err);
    if (st != KOE_OK) return st;
    p.y_type = zero->dtype;
    if (!koe_is_byte(p.y_type)) return koe_type_error(c, p.y_type, err);
    st = set_up(c, &p, a, b, 2, 5, err);
    if (st == KOE_OK) st = koe_quant_whole(c, 6, 7, p.y_type, &q, err);
    if (st == KOE_OK) st = read_factors(c, &p, 1, 4, q.scale, err);
    if (st == KOE_OK) st = koe_out(c, 0, p.y_type, p.n_dim, p.dim, &y, err);
    if (st != KOE_OK) return st;
    p.y_zero = q.zero;
    p.y = y->data;
    run_product(c, &p);
    return KOE_OK;
}

static koe_status to_float_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b;
    koe_tensor *y;
    product p = { .done = to_float };
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 1, &b, err);
    if (st == KOE_OK) st = set_up(c, &p, a, b, 4, 5, err);
    if (st == KOE_OK) st = read_factors(c, &p, 2, 3, 1.0f, err);
    if (st == KOE_OK) st = read_bias(c, &p, 6, err);
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_F32, p.n_dim, p.dim, &y, err);
    if (st != KOE_OK) return st;
    p.y = y->data;
    run_product(c, &p);
    return KOE_OK;
}

static koe_status dynamic_matmul_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b;
    koe_tensor *y;
    product p = { .done = to_float, .n_row_factor = 1 };
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 1, &b, err);
    if (st != KOE_OK) return st;
    if (a->dtype != KOE_DTYPE_F32) return koe_type_error(c, a->dtype, err);
    size_t n = koe_tensor_count(a);
    uint8_t *bytes = koe_scratch(c, n);
    if (!bytes) return koe_fail(err, KOE_E_NOMEM, "DynamicQuantizeMatMul of %zu elements", n);
    koe_quant_param q = koe_dynamic_param(c->pool, a->data, n);
    koe_quantize_u8(c->pool, bytes, a->data, n, q);
    koe_tensor a8 = *a;
    a8.dtype = KOE_DTYPE_U8;
    a8.data = bytes;
    st = set_up(c, &p, &a8, b, c->n_in, 3, err); /* no such input: the zero point is q.zero */
    if (st != KOE_OK) return st;
    p.a_zero = &q.zero;
    p.row_factor = &q.scale;
    st = koe_quant_scales(c, 2, &p.col_factor, &p.n_col_factor, err);
    if (st == KOE_OK && p.n_col_factor != 1 && p.n_col_factor != p.n)
        st = koe_fail(err, KOE_E_FORMAT, "%zu scales for %zu columns", p.n_col_factor, p.n);
    if (st == KOE_OK) st = read_bias(c, &p, 4, err);
    if (st == KOE_OK) st = koe_out(c, 0, KOE_DTYPE_F32, p.n_dim, p.dim, &y, err);
    if (st != KOE_OK) return st;
    p.y = y->data;
    run_product(c, &p);
    return KOE_OK;
}

/* a transposed into scratch when transA asks for it. */
static koe_status gemm_a(koe_op_ctx *c, product *p, const koe_tensor *a, koe_error *err)
{
    bool trans = koe_node_int(c->node, "transA", 0) != 0;
    p->m = (size_t)a->dim[trans ? 1 : 0];
    p->k = (size_t)a->dim[trans ? 0 : 1];
    p->a = a->data;
    p->a_signed = a->dtype == KOE_DTYPE_I8;
    p->zero_rows = p->m;
    if (!trans) return KOE_OK;
    uint8_t *t = koe_scratch(c, p->m * p->k);
    if (!t) return koe_fail(err, KOE_E_NOMEM, "QGemm's transposed A");
    for (size_t i = 0; i < p->m; i++)
        for (size_t q = 0; q < p->k; q++) t[i * p->k + q] = p->a[q * p->m + i];
    p->a = t;
    return KOE_OK;
}

/* C is int32 and broadcasts to [m, n]. */
static koe_status gemm_c(koe_op_ctx *c, product *p, koe_error *err)
{
    const koe_tensor *t = koe_in(c, 6);
    if (!t) return KOE_OK;
    if (t->dtype != KOE_DTYPE_I32) return koe_type_error(c, t->dtype, err);
    size_t cols = t->n_dim >= 1 ? (size_t)t->dim[t->n_dim - 1] : 1, rows = t->n_dim == 2 ? (size_t)t->dim[0] : 1;
    if (t->n_dim > 2 || (cols != 1 && cols != p->n) || (rows != 1 && rows != p->m))
        return koe_fail(err, KOE_E_FORMAT, "C of %zu by %zu does not broadcast to %zu by %zu", rows, cols, p->m, p->n);
    p->add = t->data;
    p->add_col_step = cols == 1 ? 0 : 1;
    p->add_row_step = rows == 1 ? 0 : cols;
    return KOE_OK;
}

static koe_status gemm_run(koe_op_ctx *c, koe_error *err)
{
    const koe_tensor *a, *b;
    koe_tensor *y;
    koe_status st = koe_need(c, 0, &a, err);
    if (st == KOE_OK) st = koe_need(c, 3, &b, err);
    if (st != KOE_OK) return st;
    if (!koe_is_byte(a->dtype)) return koe_type_error(c, a->dtype, err);
    if (!koe_is_byte(b->dtype)) return koe_type_error(c, b->dtype, err);
    if (a->n_dim != 2 || b->n_dim != 2) return shape_error(a, b, err);
    bool trans_b = koe_node_int(c->node, "transB", 0) != 0, to_int = koe_in(c, 7) != NULL;
    koe_quant_matrices mb = matrices_of(b, trans_b);
    product p = { .n_mat = 1, .n = mb.n, .y_type = KOE_DTYPE_F32 };
    st = gemm_a(c, &p, a, err);
    if (st == KOE_OK && p.k != mb.k) st = shape_error(a, b, err);
    if (st == KOE_OK) st = packed_b(c, b, &mb, &p.b, err);
    if (st == KOE_OK) st = koe_quant_zeros(c, 2, a->dtype, &p.a_zero, &p.n_a_zero, err);
    if (st == KOE_OK) st = koe_quant_zeros(c, 5, b->dtype, &p.b_zero, &p.n_b_zero, err);
    if (st == KOE_OK) st = gemm_c(c, &p, err);
    if (st != KOE_OK) return st;
    if (p.n_a_zero != 1 || (p.n_b_zero != 1 && p.n_b_zero != p.n))
        return koe_fail(err, KOE_E_FORMAT, "%zu and %zu zero points for %zu columns", p.n_a_zero, p.n_b_zero, p.n);
    koe_quant_param q = { .scale = 1.0f };
    if (to_int) {
        const koe_tensor *zero = koe_in(c, 8);
        p.y_type = zero ? zero->dtype : KOE_DTYPE_U8;
        if (!koe_is_byte(p.y_type)) return koe_type_error(c, p.y_type, err);
        st = koe_quant_whole(c, 7, 8, p.y_type, &q, err);
    }
    if (st == KOE_OK) st = read_factors(c, &p, 1, 4, q.scale / koe_node_float(c->node, "alpha", 1.0f), err);
    int64_t dim[2] = { (int64_t)p.m, (int64_t)p.n };
    if (st == KOE_OK) st = koe_out(c, 0, p.y_type, 2, dim, &y, err);
    if (st != KOE_OK) return st;
    p.y = y->data;
    p.y_zero = q.zero;
    p.done = p.add ? (to_int ? add_to_bytes : add_to_float) : (to_int ? to_bytes : to_float);
    run_product(c, &p);
    return KOE_OK;
}

static const koe_op table[] = {
    { "MatMulInteger", 10, 0, KOE_OP_PACKS, prepare_input_1, free, matmul_integer_run, NULL },
    { "QLinearMatMul", 10, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_input_3, free, qlinear_matmul_run, NULL },
    { "MatMulIntegerToFloat", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_input_1, free, to_float_run, "com.microsoft" },
    { "DynamicQuantizeMatMul", 1, 0, KOE_OP_WIDEN_HALF | KOE_OP_PACKS, prepare_input_1, free, dynamic_matmul_run,
      "com.microsoft" },
    { "QGemm", 1, 0, KOE_OP_PACKS, prepare_gemm, free, gemm_run, "com.microsoft" },
};

koe_op_table koe_ops_quant_matmul(void) { return KOE_OP_TABLE(table); }
