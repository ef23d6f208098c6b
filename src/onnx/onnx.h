/* onnx.h - bytes -> model. Reads the ONNX protobuf wire format over a mapped file.
 *     file -> MODEL -> graph (plan) -> run
 * Names, tensors and lists point into the mapping wherever the format allows (raw_data, aligned); what must be unpacked lives
 * in the model's arena. The file is hostile until read: every length, offset, dimension and nesting is checked, and what is
 * not an ONNX model (a git-lfs pointer, HTML, an empty file) is one clear error.
 * Threads: a loaded model is read-only. */
#ifndef KOE_ONNX_ONNX_H
#define KOE_ONNX_ONNX_H
#include "base/arena.h"
#include "base/file.h"
#include "onnx/tensor.h"

typedef struct koe_onnx_graph koe_onnx_graph;

/* Numbered as AttributeProto.AttributeType. */
typedef enum koe_attr_type {
    KOE_ATTR_NONE = 0,
    KOE_ATTR_FLOAT = 1,
    KOE_ATTR_INT = 2,
    KOE_ATTR_STRING = 3,
    KOE_ATTR_TENSOR = 4,
    KOE_ATTR_GRAPH = 5,
    KOE_ATTR_FLOATS = 6,
    KOE_ATTR_INTS = 7,
    KOE_ATTR_STRINGS = 8,
    KOE_ATTR_TYPE_PROTO = 13,
} koe_attr_type;

typedef struct koe_onnx_attr {
    koe_str name;
    koe_attr_type type; /* files before IR version 2 omit it: then inferred from the field that is set */
    float f;
    int64_t i;
    koe_str s;
    const koe_tensor *t;
    const koe_onnx_graph *g;
    const float *floats;
    const int64_t *ints;
    const koe_str *strings;
    size_t n; /* of floats, ints or strings */
    koe_str ref; /* inside a function body: the function's attribute to take instead */
} koe_onnx_attr;

typedef struct koe_onnx_node {
    koe_str name, op_type, domain; /* domain "" is the default one ("ai.onnx" is read as "") */
    const koe_str *in, *out; /* an empty name is an absent optional */
    size_t n_in, n_out;
    const koe_onnx_attr *attr;
    size_t n_attr;
} koe_onnx_node;

typedef enum koe_onnx_kind { KOE_ONNX_UNKNOWN, KOE_ONNX_TENSOR, KOE_ONNX_SEQUENCE, KOE_ONNX_OPTIONAL } koe_onnx_kind;

/* A declared input or output. */
typedef struct koe_onnx_value {
    koe_str name;
    koe_onnx_kind kind;
    koe_dtype dtype; /* of the tensor, or of the sequence's elements */
    int n_dim; /* -1: rank unknown */
    int64_t dim[KOE_MAX_DIM]; /* -1: not fixed */
    koe_str dim_param[KOE_MAX_DIM]; /* its symbol, if it has one */
} koe_onnx_value;

typedef struct koe_onnx_initializer {
    koe_str name;
    koe_tensor t; /* data borrowed from the mapping, an external file or the arena */
} koe_onnx_initializer;

struct koe_onnx_graph {
    koe_str name;
    const koe_onnx_node *node;
    const koe_onnx_initializer *initializer;
    const koe_onnx_value *in, *out;
    size_t n_node, n_initializer, n_in, n_out;
};

typedef struct koe_onnx_opset {
    koe_str domain; /* "" for the default */
    int64_t version;
} koe_onnx_opset;

/* A model-local function (ModelProto.functions): nodes over named inputs, outputs and attributes. */
typedef struct koe_onnx_function {
    koe_str domain, name;
    const koe_str *in, *out, *attr;
    size_t n_in, n_out, n_attr;
    const koe_onnx_attr *default_attr;
    size_t n_default_attr;
    const koe_onnx_node *node;
    size_t n_node;
    const koe_onnx_opset *opset; /* that its nodes are written for */
    size_t n_opset;
} koe_onnx_function;

typedef struct koe_onnx_metadata {
    koe_str key, value;
} koe_onnx_metadata;

typedef struct koe_onnx_model {
    int64_t ir_version;
    koe_str producer_name, producer_version, domain, doc;
    const koe_onnx_opset *opset;
    const koe_onnx_metadata *metadata;
    const koe_onnx_function *function;
    size_t n_opset, n_metadata, n_function;
    koe_onnx_graph graph;
    char *path; /* NULL when opened from memory */
    size_t n_weight_bytes; /* of all initialisers and constants */
    koe_arena arena;
    koe_mapping file;
    koe_mapping *external; /* data files beside the model, each mapped once */
    size_t n_external;
} koe_onnx_model;

/* Opset versions a graph may import from the default domain. Below 7 only operators that have kept their form (ops/ops.c). */
enum { KOE_ONNX_OPSET_MIN = 1, KOE_ONNX_OPSET_MAX = 27 };

/* Opening does not touch the pages of large tensors: those that lie at odd offsets stay there (koe_tensor_aligned()).
 * *out is set only on success; close with koe_onnx_close(). KOE_E_NOT_FOUND, KOE_E_FORMAT (the message says where), KOE_E_LIMIT. */
koe_status koe_onnx_open(koe_onnx_model **out, const char *path, koe_error *err);
/* The bytes stay the caller's and must outlive the model. External data is refused. */
koe_status koe_onnx_open_memory(koe_onnx_model **out, const void *bytes, size_t n_bytes, koe_error *err);
void koe_onnx_close(koe_onnx_model *m);

/* A serialised TensorProto or SequenceProto of tensors (the `.pb` files of ONNX's test cases). `as_sequence` says which of the two
 * to expect. *out is an array of *n_out tensors (1 for a TensorProto), all in the arena. */
koe_status koe_onnx_read_pb(koe_tensor **out, size_t *n_out, bool as_sequence, koe_arena *arena, const char *path, koe_error *err);
#endif
