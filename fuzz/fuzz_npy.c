/* Any bytes as a NumPy array. Seeds: fuzz/corpus/npy. */
#include "onnx/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static volatile unsigned sink;
    koe_arena arena = { 0 };
    koe_tensor t;
    koe_error err = { 0 };
    if (koe_npy_parse(&t, &arena, data, n, "fuzz", &err) == KOE_OK)
        for (size_t i = 0; i < koe_tensor_bytes(&t); i++) sink = sink + ((unsigned char *)t.data)[i];
    koe_arena_free(&arena);
    return 0;
}
