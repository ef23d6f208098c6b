/* f32_gemm.c - matrix products from tiles: cuts k so that a panel of b stays in the second-level cache, copies rows of a into the
 * interleaved form that the tile kernel reads, and reads b from its packed panels, in place, or from a panel packed on the stack. */
#include <assert.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"

enum {
    K_CUT = 256, /* reduction steps in one pass; sums go on where they were, so it does not show in the result */
    M_CUT = 128, /* rows of a copied at once */
    NR_MAX = 48, /* of any variant */
    NARROW = 4, /* columns; rows of a tile in every variant */
};

typedef struct right {
    koe_f32_packed packed; /* panels; p NULL: bytes, or view */
    const koe_f32_bytes *bytes; /* NULL: view */
    koe_f32_view view;
    bool last_first; /* panels are taken from the last one to the first */
} right;

/* out[p][i] = a[i][p], m rows of k. */
static void interleave(const koe_kernel_set *set, float *out, koe_f32_view a, size_t m, size_t k)
{
    if (a.col == 1) {
        set->join(out, a.p, a.row, k, m);
        return;
    }
    for (size_t i = 0; i < m; i++)
        for (size_t p = 0; p < k; p++) out[p * m + i] = a.p[i * a.row + p * a.col];
}

/* out[p][j] = b[p][j], n <= nr columns of k rows, padded with zeros to nr. */
static void copy_panel(float *out, size_t nr, koe_f32_view b, size_t k, size_t n)
{
    for (size_t p = 0; p < k; p++) {
        const float *from = b.p + p * b.row;
        float *to = out + p * nr;
        if (b.col == 1) memcpy(to, from, n * sizeof *to);
        else
            for (size_t j = 0; j < n; j++) to[j] = from[j * b.col];
        memset(to + n, 0, (nr - n) * sizeof *to);
    }
}

/* Rows p0..p0+rows of the panel whose first column is j. */
static void widen_panel(const koe_kernel_set *set, float *out, const koe_f32_bytes *b, size_t j, size_t p0, size_t rows, size_t n, size_t k)
{
    const size_t nr = set->nr, pitch = koe_f32_bytes_columns(n);
    const uint8_t *q = b->p + j * (b->nibbles ? (k + 1) / 2 : k);
    for (size_t p = p0, part; p < p0 + rows; p += part, out += part * nr) {
        const size_t at = p / b->block * pitch + j, left = b->block - p % b->block;
        part = p0 + rows - p < left ? p0 + rows - p : left;
        (b->nibbles ? set->widen_nibbles : set->widen_bytes)(out, q + (b->nibbles ? p / 2 : p) * nr, b->scale + at, b->zero + at, part, nr);
    }
}

static void finish(const koe_kernel_set *set, float *c, size_t ldc, size_t i, size_t j, size_t m, size_t n, const koe_f32_epilogue *ep)
{
    koe_f32_epilogue part = *ep;
    if (part.bias_row) part.bias_row += i;
    if (part.bias_col) part.bias_col += j;
    if (part.residual) part.residual += i * part.ld_residual + j;
    set->finish(c + i * ldc + j, ldc, c + i * ldc + j, ldc, m, n, &part);
}

/* Rows i0.. of c, mc of them, a of which is in `block`, times rows p0.. of panel q. */
static void product_panel(const koe_kernel_set *set, float *c, size_t ldc, const float *block, koe_f32_packed panel, size_t mc, size_t nc,
                          size_t kc, bool accumulate, koe_f32_packed next)
{
    const size_t n_tile = (mc + set->mr - 1) / set->mr;
    const size_t bytes = kc * set->nr * (panel.bf16 ? sizeof(uint16_t) : sizeof(float));
    const size_t lines = next.p ? (bytes + KOE_CACHE_LINE - 1) / KOE_CACHE_LINE : 0, share = (lines + n_tile - 1) / n_tile;
    for (size_t i = 0, asked = 0; i < mc; i += set->mr, asked += share) {
        const size_t mb = mc - i < set->mr ? mc - i : set->mr, left = asked < lines ? lines - asked : 0;
        const koe_f32_ahead ahead = { (const char *)next.p + (left ? asked * KOE_CACHE_LINE : 0), left < share ? left : share };
        set->tile_panel(c + i * ldc, ldc, block + i * kc, panel, kc, mb, nc, accumulate, ahead);
    }
}

/* All of b's columns, few, for p0 <= p < p0 + k: out[p][j]. */
static void copy_columns(float *out, const right *b, size_t nr, size_t p0, size_t k, size_t n)
{
    for (size_t p = 0; p < k; p++)
        for (size_t j = 0; j < n; j++) {
            const size_t at = (p0 + p) * nr + j;
            if (!b->packed.p) out[p * n + j] = b->view.p[(p0 + p) * b->view.row + j * b->view.col];
            else out[p * n + j] = b->packed.bf16 ? koe_bf16_to_f32(((const uint16_t *)b->packed.p)[at]) : ((const float *)b->packed.p)[at];
        }
}

/* With only a few columns, a tile would be mostly empty: c^T = b^T a^T instead, which multiplies and adds the same in the same order. */
static void product_narrow(const koe_kernel_set *set, float *c, size_t ldc, koe_f32_view a, const right *b, size_t m, size_t n, size_t k,
                           const koe_f32_epilogue *ep)
{
    static const size_t no_shift[1] = { 0 };
    const size_t nr = set->nr;
    float columns[K_CUT * NARROW], rows[K_CUT * NR_MAX], block[NARROW * NR_MAX];
    const bool across = ep && !ep->residual && !(ep->bias_row && ep->bias_col); /* can be finished before it is turned round */
    for (size_t i0 = 0; i0 < m; i0 += nr) {
        const size_t mc = m - i0 < nr ? m - i0 : nr;
        for (size_t p0 = 0; p0 == 0 || p0 < k; p0 += K_CUT) {
            const size_t kc = k - p0 < K_CUT ? k - p0 : K_CUT;
            if (b->bytes) {
                widen_panel(set, rows, b->bytes, 0, p0, kc, n, k);
                copy_columns(columns, &(right){ .packed = { rows, false } }, nr, 0, kc, n);
            } else if (i0 == 0 || k > K_CUT) copy_columns(columns, b, nr, p0, kc, n);
            interleave(set, rows, (koe_f32_view){ a.p + i0 * a.row + p0 * a.col, a.row, a.col }, mc, kc);
            set->tile(block, nr, columns, rows, mc, no_shift, kc, 1, n, mc, p0 > 0);
        }
        if (across) {
            koe_f32_epilogue turned = *ep;
            turned.bias_row = ep->bias_col;
            turned.bias_col = ep->bias_row ? ep->bias_row + i0 : NULL;
            set->finish(block, nr, block, nr, n, mc, &turned);
        }
        for (size_t i = 0; i < mc; i++)
            for (size_t j = 0; j < n; j++) c[(i0 + i) * ldc + j] = block[j * nr + i];
        if (ep && !across) finish(set, c, ldc, i0, 0, mc, n, ep);
    }
}

static void product(float *c, size_t ldc, koe_f32_view a, const right *b, size_t m, size_t n, size_t k, size_t from, size_t to,
                    bool accumulate, const koe_f32_epilogue *ep)
{
    static const size_t no_shift[1] = { 0 };
    const koe_kernel_set *set = koe_kernels();
    const size_t mr = set->mr, nr = set->nr;
    _Alignas(64) float rows[M_CUT * K_CUT], copy[K_CUT * NR_MAX];
    assert(nr <= NR_MAX && M_CUT % mr == 0);
    if (to > (n + nr - 1) / nr) to = (n + nr - 1) / nr;
    if (n <= NARROW && m >= nr && !accumulate && from < to) {
        product_narrow(set, c, ldc, a, b, m, n, k, ep);
        return;
    }
    for (size_t p0 = 0; p0 == 0 || p0 < k; p0 += K_CUT) {
        const size_t kc = k - p0 < K_CUT ? k - p0 : K_CUT;
        for (size_t i0 = 0; i0 < m; i0 += M_CUT) {
            const size_t mc = m - i0 < M_CUT ? m - i0 : M_CUT;
            const koe_f32_view part = { a.p + i0 * a.row + p0 * a.col, a.row, a.col };
            const float *block = rows;
            if (mc == 1 && a.col == 1) block = part.p; /* a single row is interleaved as it is */
            else
                for (size_t i = 0; i < mc; i += mr)
                    interleave(set, rows + i * kc, (koe_f32_view){ part.p + i * a.row, a.row, a.col }, mc - i < mr ? mc - i : mr, kc);
            for (size_t s = from; s < to; s++) {
                const size_t q = b->last_first ? from + to - 1 - s : s;
                const size_t j = q * nr, nc = n - j < nr ? n - j : nr;
                float *at = c + i0 * ldc + j;
                if (b->packed.p) {
                    koe_f32_packed next = { 0 };
                    if (s + 1 < to) next = koe_f32_packed_at(b->packed, (b->last_first ? q - 1 : q + 1) * k * nr + p0 * nr);
                    else if (p0 + kc < k) next = koe_f32_packed_at(b->packed, (b->last_first ? to - 1 : from) * k * nr + (p0 + kc) * nr);
                    product_panel(set, at, ldc, block, koe_f32_packed_at(b->packed, q * k * nr + p0 * nr), mc, nc, kc, accumulate || p0 > 0, next);
                } else if (b->bytes) {
                    widen_panel(set, copy, b->bytes, j, p0, kc, n, k);
                    product_panel(set, at, ldc, block, (koe_f32_packed){ .p = copy }, mc, nc, kc, accumulate || p0 > 0, (koe_f32_packed){ 0 });
                } else {
                    const koe_f32_view v = { b->view.p + p0 * b->view.row + j * b->view.col, b->view.row, b->view.col };
                    const bool in_place = v.col == 1 && mc <= 2 * mr;
                    if (!in_place) copy_panel(copy, nr, v, kc, nc);
                    for (size_t i = 0; i < mc; i += mr)
                        set->tile(at + i * ldc, ldc, block + i * kc, in_place ? v.p : copy, in_place ? v.row : nr, no_shift, kc, 1, mc - i < mr ? mc - i : mr,
                                  nc, accumulate || p0 > 0);
                }
                if (ep && p0 + kc >= k) finish(set, c, ldc, i0, j, mc, nc, ep);
            }
        }
    }
}

void koe_f32_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, size_t m, size_t n, size_t k,
                  int accumulate)
{
    koe_f32_gemm_view(c, ldc, (koe_f32_view){ a, lda, 1 }, (koe_f32_view){ b, ldb, 1 }, m, n, k, accumulate, NULL);
}

void koe_f32_gemm_view(float *c, size_t ldc, koe_f32_view a, koe_f32_view b, size_t m, size_t n, size_t k, int accumulate,
                       const koe_f32_epilogue *ep)
{
    product(c, ldc, a, &(right){ .view = b }, m, n, k, 0, SIZE_MAX, accumulate, ep);
}

size_t koe_f32_panel(void) { return koe_kernels()->nr; }

size_t koe_f32_packed_count(size_t k, size_t n)
{
    const size_t nr = koe_kernels()->nr;
    size_t count;
    if (n > SIZE_MAX - nr || __builtin_mul_overflow((n + nr - 1) / nr * nr, k, &count) || count > SIZE_MAX / sizeof(float)) return 0;
    return count;
}

void koe_f32_pack(void *out, bool bf16, koe_f32_view b, size_t k, size_t n)
{
    const koe_kernel_set *set = koe_kernels();
    const size_t nr = set->nr;
    for (size_t j = 0, at = 0; j < n; j += nr, at += k * nr) {
        const koe_f32_view panel = { b.p + j * b.col, b.row, b.col };
        const size_t width = n - j < nr ? n - j : nr;
        if (!bf16) copy_panel((float *)out + at, nr, panel, k, width);
        for (size_t p = 0; bf16 && p < k; p++) {
            float row[NR_MAX];
            copy_panel(row, nr, (koe_f32_view){ panel.p + p * b.row, b.row, b.col }, 1, width);
            set->bf16_narrow((uint16_t *)out + at + p * nr, row, nr);
        }
    }
}

void koe_f32_gemm_packed(float *c, size_t ldc, koe_f32_view a, koe_f32_packed b, size_t m, size_t n, size_t k, size_t from,
                         size_t to, const koe_f32_epilogue *ep)
{
    product(c, ldc, a, &(right){ .packed = b }, m, n, k, from, to, false, ep);
}

size_t koe_f32_bytes_columns(size_t n)
{
    const size_t nr = koe_kernels()->nr;
    return n > SIZE_MAX - nr ? 0 : (n + nr - 1) / nr * nr;
}

size_t koe_f32_bytes_count(size_t k, size_t n, bool nibbles)
{
    size_t count;
    return __builtin_mul_overflow(koe_f32_bytes_columns(n), nibbles ? k / 2 + k % 2 : k, &count) ? 0 : count;
}

void koe_f32_bytes_pack(uint8_t *out, bool nibbles, const uint8_t *q, size_t row, size_t col, uint8_t flip, size_t k, size_t n)
{
    const size_t nr = koe_kernels()->nr, rows = nibbles ? (k + 1) / 2 : k;
    for (size_t j = 0; j < n; j += nr)
        for (size_t p = 0; p < rows; p++, out += nr)
            for (size_t i = 0; i < nr; i++) {
                const uint8_t *at = q + (nibbles ? 2 * p : p) * row + (j + i) * col;
                if (j + i >= n) out[i] = 0;
                else if (!nibbles) out[i] = *at ^ flip;
                else out[i] = (uint8_t)(at[0] | (2 * p + 1 < k ? at[row] << 4 : 0));
            }
}

void koe_f32_gemm_bytes(float *c, size_t ldc, koe_f32_view a, const koe_f32_bytes *b, size_t m, size_t n, size_t k, size_t from, size_t to,
                        const koe_f32_epilogue *ep)
{
    product(c, ldc, a, &(right){ .bytes = b }, m, n, k, from, to, false, ep);
}

void koe_f32_lstm_step(float *gates, size_t ld_gates, koe_f32_packed r, const float *peep, float *h, float *c, size_t ld_state,
                       size_t batch, size_t hidden, bool odd)
{
    const koe_kernel_set *set = koe_kernels();
    product(gates, ld_gates, (koe_f32_view){ h, ld_state, 1 }, &(right){ .packed = r, .last_first = odd }, batch, 4 * hidden, hidden, 0, SIZE_MAX,
            true, NULL);
    for (size_t i = 0; i < batch; i++) set->lstm_cell(gates + i * ld_gates, peep, h + i * ld_state, c + i * ld_state, hidden);
}
