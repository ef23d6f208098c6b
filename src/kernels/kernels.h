/* kernels.h - the arithmetic: portable C as the definition of each kernel, then one file per data type compiled for each
 * instruction set. Knows nothing of ONNX; allocates nothing, does no I/O. Matrices are row-major, time is the innermost dimension.
 *     elementwise  koe_f32_exp ... koe_f32_softmax        conv.h  convolution and its transpose
 *     matrices     koe_f32_gemm, packed operands          lstm    one step of the recurrence
 *     conversion   koe_f16_widen ...
 * Every function here picks its variant by koe_cpu_features(); koe_kernel_table() lists the variants for tests and benchmarks.
 * Every result is a function of the operands alone: not of alignment, position in the vector, or how work was split. */
#ifndef KOE_KERNELS_KERNELS_H
#define KOE_KERNELS_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "kernels/steps.h"

/* ---- elementwise ------------------------------------------------------------------------------------------------------- */

/* y[i] = f(x[i]); y may be x. Any alignment; nothing past n is read or written. NaN, infinities and denormals as in C's math.h.
 * Largest error against the exact result, in units of the last place, of the vector variants (tests/kernels/test_math.c):
 *     exp 2   tanh 3   sigmoid 3   sin, cos 2 (sin and cos beyond 4e5 in magnitude are the C library's)   erf 2   log 2 */
typedef void koe_f32_map_fn(float *y, const float *x, size_t n);
koe_f32_map_fn koe_f32_exp, koe_f32_tanh, koe_f32_sigmoid, koe_f32_sin, koe_f32_cos, koe_f32_erf, koe_f32_log;
/* Activations made of these: x / 2 * (1 + erf(x / sqrt(2))), its form with tanh, x * sigmoid(x), x * tanh(log(1 + e^x)). Their largest error is
 * 3 units of the last place of x: where the result is much smaller than x it has fewer correct digits. */
koe_f32_map_fn koe_f32_gelu, koe_f32_gelu_tanh, koe_f32_silu, koe_f32_mish;
/* y = tanh(a) * sigmoid(b); y may be a or b. */
typedef void koe_f32_gate_fn(float *y, const float *a, const float *b, size_t n);
koe_f32_gate_fn koe_f32_gate;

/* ---- matrix products --------------------------------------------------------------------------------------------------- */

typedef enum koe_act {
    KOE_ACT_NONE, KOE_ACT_RELU, KOE_ACT_LEAKY, KOE_ACT_TANH, KOE_ACT_SIGMOID, KOE_ACT_GELU, KOE_ACT_GELU_TANH, KOE_ACT_SILU
} koe_act;

/* What is done to a finished block of c while it is in cache: c = act(c + bias + residual + addend) * scale. Zero-initialise and set
 * scale = 1. Row i and column j are those of the call's c. */
typedef struct koe_f32_epilogue {
    const float *bias_row; /* bias[i], or NULL */
    const float *bias_col; /* bias[j], or NULL */
    const float *residual; /* residual[i * ld_residual + j], or NULL; not c, unless the function says so */
    size_t ld_residual;
    const float *addend; /* of convolutions only, and only beside a residual: addend[i * ld_addend + j], or NULL */
    size_t ld_addend;
    float scale;
    koe_act act;
    float alpha; /* of KOE_ACT_LEAKY */
} koe_f32_epilogue;

/* What is done to an input while it is packed: v = x * scale + shift, then v < 0 ? v * slope : v, or v + r * sin(alpha v)^2. One
 * number of each for each row (channel). The zeros of padding stay zeros. */
typedef enum koe_pre { KOE_PRE_NONE, KOE_PRE_LEAKY, KOE_PRE_SNAKE } koe_pre;
typedef struct koe_f32_prologue {
    koe_pre kind;
    const float *scale, *shift; /* NULL: 1 and 0 */
    const float *alpha, *r; /* of KOE_PRE_SNAKE */
    float slope; /* of KOE_PRE_LEAKY */
} koe_f32_prologue;

/* c[m][n] (+)= a[m][k] * b[k][n]; leading dimensions in elements. For matrices that are not packed ahead. c overlaps nothing. One
 * thread; takes up to 256 KiB of stack. k == 0 gives zeros (or leaves c, with accumulate). */
void koe_f32_gemm(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, size_t m, size_t n, size_t k,
                  int accumulate);
/* The same for operands with any two strides: element (i, p) of a is a[i * a_row + p * a_col], (p, j) of b is b[p * b_row + j * b_col].
 * ep may be NULL. */
typedef struct koe_f32_view {
    const float *p;
    size_t row, col;
} koe_f32_view;
void koe_f32_gemm_view(float *c, size_t ldc, koe_f32_view a, koe_f32_view b, size_t m, size_t n, size_t k, int accumulate,
                       const koe_f32_epilogue *ep);

/* A constant right operand, packed once: panels of koe_f32_panel() columns, each [k][panel], the last padded with zeros. The layout is
 * that of the instruction set in use. Elements are float32, or, to take half the memory, bfloat16 (rounded to nearest even), which are
 * widened when they are read: sums are float32 either way. koe_f32_packed_count(): elements, 0 when that does not fit in size_t.
 * 64-byte alignment is best, that of the elements works. */
typedef struct koe_f32_packed {
    const void *p; /* float or uint16_t */
    bool bf16;
} koe_f32_packed;
static inline koe_f32_packed koe_f32_packed_at(koe_f32_packed b, size_t element)
{
    return (koe_f32_packed){ (const char *)b.p + element * (b.bf16 ? sizeof(uint16_t) : sizeof(float)), b.bf16 };
}
size_t koe_f32_panel(void);
size_t koe_f32_packed_count(size_t k, size_t n);
void koe_f32_pack(void *out, bool bf16, koe_f32_view b, size_t k, size_t n);
/* c[m][n] = a * b for the columns of panels from..to (to exclusive; clipped to n); c, ep and n are those of the whole product. */
void koe_f32_gemm_packed(float *c, size_t ldc, koe_f32_view a, koe_f32_packed b, size_t m, size_t n, size_t k, size_t from,
                         size_t to, const koe_f32_epilogue *ep);

/* A constant right operand of 8- or 4-bit integers q that stand for (q - zero) * scale. In the same panels, each [k][panel] bytes, or, as
 * `nibbles`, [(k + 1) / 2][panel], the first of two rows in the low half. `scale` and `zero` are [blocks][columns, rounded up to whole panels];
 * a block is `block` rows, an even number unless it is k or more. A panel is widened inside the product, whose result is bit for bit that of
 * the same numbers packed as float32. */
typedef struct koe_f32_bytes {
    const uint8_t *p;
    bool nibbles;
    size_t block;
    const float *scale, *zero;
} koe_f32_bytes;
/* Bytes of p, and columns of scale and zero; 0 when they do not fit in size_t. */
size_t koe_f32_bytes_count(size_t k, size_t n, bool nibbles);
size_t koe_f32_bytes_columns(size_t n);
/* Element (i, j) is q[i * row + j * col] ^ flip (0x80 for signed bytes, whose zero is then 128 more); below 16 when `nibbles`. */
void koe_f32_bytes_pack(uint8_t *out, bool nibbles, const uint8_t *q, size_t row, size_t col, uint8_t flip, size_t k, size_t n);
/* As koe_f32_gemm_packed(). */
void koe_f32_gemm_bytes(float *c, size_t ldc, koe_f32_view a, const koe_f32_bytes *b, size_t m, size_t n, size_t k, size_t from, size_t to,
                        const koe_f32_epilogue *ep);

/* ---- rows -------------------------------------------------------------------------------------------------------------- */

/* Mean and population variance, in two passes over each block; the order of summation depends on n alone. n == 0 gives 0, 0. */
void koe_f32_mean_var(const float *x, size_t n, float *mean, float *var);
/* v = x[i] * a + b, then y[i] = v < 0 ? v * slope : v (slope 1: none), or y[i] = v + r * sin(alpha v)^2; y may be x. */
void koe_f32_affine_leaky(float *y, const float *x, size_t n, float a, float b, float slope);
void koe_f32_affine_snake(float *y, const float *x, size_t n, float a, float b, float alpha, float r);
/* y = exp(x - max) / sum; y may be x. All -inf gives NaN, as in ONNX Runtime. */
void koe_f32_softmax(float *y, const float *x, size_t n);

/* ---- recurrence -------------------------------------------------------------------------------------------------------- */

/* One step of an LSTM for `batch` sequences, gates in ONNX's order i, o, f, c, default activations.
 *   gates  [batch][4 * hidden]   in: W x + Wb + Rb; out: scratch (row stride ld_gates)
 *   r      R transposed, packed: koe_f32_pack(p, bf16, (koe_f32_view){ R, 1, hidden }, hidden, 4 * hidden)
 *   peep   P [3 * hidden] (i, o, f) or NULL
 *   h, c   [batch][hidden], updated in place (row stride ld_state)
 *   odd    at every second step: r is then read from its end, of which the step before has left something in cache; the result is the same */
void koe_f32_lstm_step(float *gates, size_t ld_gates, koe_f32_packed r, const float *peep, float *h, float *c, size_t ld_state,
                       size_t batch, size_t hidden, bool odd);

/* ---- conversion -------------------------------------------------------------------------------------------------------- */

/* float16 and bfloat16 <-> float32, n elements, round to nearest even; NaN stays NaN. */
void koe_f16_widen(float *y, const uint16_t *x, size_t n);
void koe_f16_narrow(uint16_t *y, const float *x, size_t n);
void koe_bf16_widen(float *y, const uint16_t *x, size_t n);
void koe_bf16_narrow(uint16_t *y, const float *x, size_t n);

/* ---- variants ---------------------------------------------------------------------------------------------------------- */

/* A block of a product whose right operand is read in place: with a packed as [row][tap][m],
 *     c[i][j] (+)= sum over row < rows, tap < taps of a[row][tap][i] * b[row * ldb + off[tap] + j],   i < m <= mr, j < n <= nr.
 * A plain matrix product has one tap; a convolution in time has its kernel's, each a shift of the same row. Rows outer, taps inner, one
 * fused multiply-add each (ref: rounded twice). Nothing past column n is read or written. */
typedef void koe_f32_tile_fn(float *c, size_t ldc, const float *a, const float *b, size_t ldb, const size_t *off, size_t rows,
                             size_t taps, size_t m, size_t n, bool accumulate);
/* Memory that will be read soon: n_line cache lines from p on. Asked for as a tile is computed, at most one for each row. */
enum { KOE_CACHE_LINE = 64 };
typedef struct koe_f32_ahead {
    const void *p;
    size_t n_line;
} koe_f32_ahead;
/* The same with one tap and b a packed panel, [rows][nr], read whole. */
typedef void koe_f32_tile_panel_fn(float *c, size_t ldc, const float *a, koe_f32_packed b, size_t rows, size_t m, size_t n, bool accumulate,
                                   koe_f32_ahead ahead);
/* y[r][j] = (q[r][j] - zero[j]) * scale[j], n columns; nibbles: two rows of y to one of q. */
typedef void koe_f32_widen_panel_fn(float *y, const uint8_t *q, const float *scale, const float *zero, size_t rows, size_t n);
/* c[m][n] = ep of from[m][n]; pointers in ep are already those of c's first row and column. c may be `from`, and may be the residual or the addend. */
typedef void koe_f32_finish_fn(float *c, size_t ldc, const float *from, size_t ld_from, size_t m, size_t n, const koe_f32_epilogue *ep);

typedef struct koe_kernel_set {
    const char *name;
    unsigned needs; /* KOE_CPU_* */
    koe_f32_map_fn *exp, *tanh, *sigmoid, *sin, *cos, *erf, *log, *gelu, *gelu_tanh, *silu, *mish;
    koe_f32_gate_fn *gate;
    koe_f32_step_fn *step;
    size_t width; /* floats of a vector */
    size_t mr, nr; /* largest tile; nr is a multiple of width */
    koe_f32_tile_fn *tile;
    koe_f32_tile_panel_fn *tile_panel;
    koe_f32_widen_panel_fn *widen_bytes, *widen_nibbles;
    koe_f32_finish_fn *finish;
    /* to[q][c] = from[c * m + q] for c < n, q < m, and the reverse; `pitch` between the rows of the split side. */
    void (*split)(float *to, size_t pitch, const float *from, size_t n, size_t m);
    void (*join)(float *to, const float *from, size_t pitch, size_t n, size_t m);
    /* For m rows, `pitch` apart, of n columns c, a multiple of d: to[c / d * 2d + c % d] = p0[c] + p1[c], and d later p1[c] - p2[c]. May read 16
     * floats past a row. d <= 16. */
    void (*join_pairs)(float *to, size_t ld_to, const float *p0, const float *p1, const float *p2, size_t pitch, size_t m, size_t n, size_t d);
    void (*mean_var)(const float *x, size_t n, float *mean, float *var);
    void (*affine_leaky)(float *y, const float *x, size_t n, float a, float b, float slope);
    void (*affine_snake)(float *y, const float *x, size_t n, float a, float b, float alpha, float r);
    void (*softmax)(float *y, const float *x, size_t n);
    void (*lstm_cell)(float *gates, const float *peep, float *h, float *c, size_t hidden);
    void (*f16_widen)(float *y, const uint16_t *x, size_t n);
    void (*f16_narrow)(uint16_t *y, const float *x, size_t n);
    void (*bf16_widen)(float *y, const uint16_t *x, size_t n);
    void (*bf16_narrow)(uint16_t *y, const float *x, size_t n);
} koe_kernel_set;

/* All variants that were compiled in, best first; the last is "ref" and runs anywhere. */
const koe_kernel_set *koe_kernel_table(size_t *n);
/* The one in use: the first whose needs koe_cpu_features() meets. */
const koe_kernel_set *koe_kernels(void);
#endif
