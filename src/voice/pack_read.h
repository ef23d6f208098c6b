/* pack_read.h - what the readers of the pack formats share; for pack*.c only. */
#ifndef KOE_VOICE_PACK_READ_H
#define KOE_VOICE_PACK_READ_H
#include <zip.h>

#include "onnx/tensor.h"
#include "voice/pack.h"

/* A number of packs found in a file. row is NULL until loaded. */
typedef struct pack_entry {
    koe_str name;
    const float *row;
    size_t n_rows;
    uint64_t zip_index;
} pack_entry;

/* One whole entry of a zip, unpacked into the arena. KOE_E_LIMIT beyond max_bytes. */
koe_status koe_pack_unzip(koe_str *out, koe_arena *arena, zip_t *zip, uint64_t index, size_t max_bytes, const char *what,
                          koe_error *err);

/* pack_json.c: all voices of a voices.json. *out and the rows are in the arena. */
koe_status koe_pack_read_json(pack_entry **out, size_t *n, koe_arena *arena, koe_str bytes, const char *what, koe_error *err);

/* pack_pt.c: the tensor of a PyTorch file whose pickle is the zip's entry `pickle`. */
koe_status koe_pack_read_pt(koe_tensor *out, koe_arena *arena, zip_t *zip, uint64_t pickle, const char *what, koe_error *err);
#endif
