/* quant.h - what the operators on quantised tensors share: a real number is (integer - zero point) * scale.
 * Inside the ops room. */
#ifndef KOE_OPS_QUANT_H
#define KOE_OPS_QUANT_H
#include "kernels/i8_gemm.h"
#include "kernels/kernels.h"
#include "ops/op.h"

static inline bool koe_is_byte(koe_dtype d) { return d == KOE_DTYPE_U8 || d == KOE_DTYPE_I8; }

/* Smallest and largest integer of an 8- or 16-bit type; false for other types. */
bool koe_quant_range(koe_dtype dtype, int32_t *lo, int32_t *hi);

/* Round half to even of v held to lo..hi (integers, |lo|, |hi| < 2^22); NaN gives lo. Adding 1.5 * 2^23 pushes the fraction out
 * of a float's mantissa, which vectorises where a call of rintf() does not. */
static inline int32_t koe_quant_round(float v, float lo, float hi)
{
    v = v > lo ? v : lo;
    v = v < hi ? v : hi;
    return (int32_t)((v + 12582912.0f) - 12582912.0f);
}

/* Input i as int32 in scratch (or the tensor itself): *n elements. Absent: one 0. It must have type `dtype` unless that is
 * KOE_DTYPE_NONE, and be of 8, 16 or 32 bits. */
koe_status koe_quant_zeros(koe_op_ctx *c, int i, koe_dtype dtype, const int32_t **out, size_t *n, koe_error *err);
/* Input i, which must be float32 (float16 is widened by the executor): borrowed. */
koe_status koe_quant_scales(koe_op_ctx *c, int i, const float **out, size_t *n, koe_error *err);

/* Scale and zero point of a whole tensor of type `dtype`, in inputs i_scale and i_zero (which may be absent). */
typedef struct koe_quant_param {
    float scale;
    int32_t zero;
} koe_quant_param;
koe_status koe_quant_whole(koe_op_ctx *c, int i_scale, int i_zero, koe_dtype dtype, koe_quant_param *out, koe_error *err);

/* ONNX's DynamicQuantizeLinear: the range of x, stretched to hold 0, onto 0..255. */
koe_quant_param koe_dynamic_param(koe_pool *pool, const float *x, size_t n);
void koe_quantize_u8(koe_pool *pool, uint8_t *y, const float *x, size_t n, koe_quant_param q);

/* Equal matrices of bytes inside one tensor, packed one after the other: matrix i starts i * distance into the tensor. */
typedef struct koe_quant_matrices {
    size_t n_matrix, distance;
    size_t k, n, row_step, col_step; /* of each, as in koe_i8_source */
} koe_quant_matrices;
/* Packs constant input i in prepare(), as part i: *out is malloc()ed, for free(), its matrices are the session's. */
koe_status koe_quant_pack(koe_i8_packed **out, koe_node *node, int i, const koe_quant_matrices *m, koe_error *err);
/* y[m][n] = ep of x[m][k] b, on the context's pool. */
void koe_bytes_product(koe_op_ctx *c, float *y, const float *x, const koe_f32_bytes *b, size_t m, size_t n, size_t k, const koe_f32_epilogue *ep);
/* x rounded to the steps of a quantised file: y = (byte - zero) * scale, byte = round(x / scale) + zero held to 0..255. y may be x. */
void koe_requantise(koe_pool *pool, float *y, const float *x, size_t n, koe_quant_param q);
/* Attributes x_scale, x_zero: how a node rounds its input; scale 0 where it does not. KOE_E_FORMAT when they make no sense. */
koe_status koe_quant_steps(koe_quant_param *out, const koe_node *node, koe_error *err);
/* Packs b in run(), into scratch. */
koe_status koe_quant_pack_now(const koe_i8_packed **out, koe_op_ctx *c, const koe_tensor *b, const koe_quant_matrices *m,
                              koe_error *err);
#endif
