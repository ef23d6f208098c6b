/* reader.h - private to the room: what the files that read ONNX share.
 *     wire.c     protobuf fields              tensor_proto.c  TensorProto, external data
 *     model.c    ModelProto and all below     sniff.c         what a file is that is no model */
#ifndef KOE_ONNX_READER_H
#define KOE_ONNX_READER_H
#include "onnx/onnx.h"
#include "onnx/wire.h"

/* State of one reading. */
typedef struct koe_reader {
    koe_arena *arena;
    koe_error *err;
    koe_onnx_model *model; /* NULL: a lone tensor; the bytes do not outlive the reading, so that all data goes to the arena */
    const char *folder; /* of external data; NULL: external data is refused */
    koe_str *location; /* of each of model->external, as the model spells it */
    size_t cap_external;
    int depth; /* of subgraphs */
} koe_reader;

/* For messages: a name that is long is cut. */
#define KOE_NAME_ARG(s) (int)((s).n > 100 ? 100 : (s).n), (s).p ? (s).p : ""

/* TensorProto. `name` gets its name; `out` must live as long as the model. KOE_E_UNSUPPORTED for types that tensors cannot have here. */
koe_status koe_read_tensor(koe_reader *r, koe_wire w, koe_tensor *out, koe_str *name);

/* Replaces the message with what the file seems to be instead of a model, if that can be seen. */
koe_status koe_onnx_sniff(const void *bytes, size_t n_bytes, koe_status st, koe_error *err);
#endif
