/* tensor.h - a dense, row-major array of numbers: what flows through a graph, and what files hold. */
#ifndef KOE_ONNX_TENSOR_H
#define KOE_ONNX_TENSOR_H
#include <stdint.h>

#include "base/arena.h"
#include "base/half.h"
#include "base/status.h"
#include "base/str.h"

/* Numbered as ONNX's TensorProto.DataType. */
typedef enum koe_dtype {
    KOE_DTYPE_NONE = 0,
    KOE_DTYPE_F32 = 1,
    KOE_DTYPE_U8 = 2,
    KOE_DTYPE_I8 = 3,
    KOE_DTYPE_U16 = 4,
    KOE_DTYPE_I16 = 5,
    KOE_DTYPE_I32 = 6,
    KOE_DTYPE_I64 = 7,
    KOE_DTYPE_STRING = 8, /* named so that errors can say it; tensors of strings are not supported */
    KOE_DTYPE_BOOL = 9, /* one byte, 0 or 1 */
    KOE_DTYPE_F16 = 10,
    KOE_DTYPE_F64 = 11,
    KOE_DTYPE_U32 = 12,
    KOE_DTYPE_U64 = 13,
    KOE_DTYPE_BF16 = 16,
} koe_dtype;

enum { KOE_MAX_DIM = 8 };

/* dim is outermost first; n_dim 0 is a scalar with one element. data is borrowed: who made the tensor says from whom. It is
 * aligned to its element unless the tensor came straight from a mapped file (koe_tensor_aligned()). */
typedef struct koe_tensor {
    koe_dtype dtype;
    int n_dim;
    int64_t dim[KOE_MAX_DIM];
    void *data;
} koe_tensor;

/* Bytes of one element, 0 for types that tensors cannot have here. */
size_t koe_dtype_size(koe_dtype dtype);
/* "float32", "int64", ... as numpy calls them. */
const char *koe_dtype_name(koe_dtype dtype);
static inline int koe_dtype_is_half(koe_dtype d) { return d == KOE_DTYPE_F16 || d == KOE_DTYPE_BF16; }
static inline int koe_dtype_is_float(koe_dtype d)
{
    return d == KOE_DTYPE_F32 || d == KOE_DTYPE_F64 || d == KOE_DTYPE_F16 || d == KOE_DTYPE_BF16;
}

/* Product of dim. The dimensions of a live tensor are already checked: cannot overflow. */
static inline size_t koe_tensor_count(const koe_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i < t->n_dim; i++) n *= (size_t)t->dim[i];
    return n;
}
static inline size_t koe_tensor_bytes(const koe_tensor *t) { return koe_tensor_count(t) * koe_dtype_size(t->dtype); }
/* False only for large tensors (over 64 KiB) of a model file that lie at an odd offset. */
static inline bool koe_tensor_aligned(const koe_tensor *t)
{
    size_t size = koe_dtype_size(t->dtype);
    return size == 0 || (uintptr_t)t->data % size == 0;
}
/* For dimensions from a file or from arithmetic: KOE_E_LIMIT when one is negative or the bytes exceed SSIZE_MAX. */
koe_status koe_shape_bytes(size_t *out, koe_dtype dtype, int n_dim, const int64_t *dim, koe_error *err);
/* "float32[1,256]" into `text` (at most cap bytes, NUL-terminated); returns text. */
char *koe_tensor_describe(const koe_tensor *t, char *text, size_t cap);

/* NumPy's .npy, version 1 to 3, C order (Fortran order is transposed), little endian, the types above. *out is allocated
 * from the arena. `what` names the source in messages. */
koe_status koe_npy_parse(koe_tensor *out, koe_arena *arena, const void *bytes, size_t n_bytes, const char *what, koe_error *err);
koe_status koe_npy_read(koe_tensor *out, koe_arena *arena, const char *path, koe_error *err);
koe_status koe_npy_write(const koe_tensor *t, const char *path, koe_error *err);
#endif
