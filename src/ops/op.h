/* op.h - operators: ONNX's rules of shape and type, and the arithmetic behind them.
 *     graph (plan) -> OPERATOR -> kernels
 * Each file of this room is one family and ends in a table of koe_op; ops.c lists the tables. An operator is written from the ONNX
 * specification, for every opset that koe reads: where a version changed its form, the table has one row for each form.
 * What is worth vector code calls the kernels room; what only moves or compares elements is plain C here.
 *
 * Life of a node:  prepare() once at load - checks attributes, packs constant weights - then run() any number of times, from
 * several threads at once: whatever prepare() made is read-only afterwards. */
#ifndef KOE_OPS_OP_H
#define KOE_OPS_OP_H
#include "base/pool.h"
#include "onnx/onnx.h"
#include "onnx/tensor.h"

typedef struct koe_node koe_node;
typedef struct koe_op_ctx koe_op_ctx;
typedef struct koe_run koe_run;
typedef struct koe_buffer koe_buffer; /* memory of a run, counted references */

typedef enum koe_value_kind { KOE_VALUE_NONE, KOE_VALUE_TENSOR, KOE_VALUE_SEQUENCE } koe_value_kind;

/* What a name holds while a graph runs. */
typedef struct koe_value koe_value;
struct koe_value {
    koe_value_kind kind;
    koe_tensor t;
    koe_buffer *buffer; /* owner of t.data; NULL when borrowed for the whole run (weights, graph inputs) */
    koe_value *item; /* sequences */
    size_t n_item;
    bool narrow; /* a float32 tensor whose elements are stored as float16 (graph/narrow.c); only operators that know of it see one */
    bool rests; /* a narrow tensor that is in 8 bits for now (ops/rest.h); only operators that know of it see one */
    koe_dtype stands_for; /* the half-precision type that the graph gives this float32 tensor, else KOE_DTYPE_NONE */
};

enum {
    /* float16 (and bfloat16) inputs are widened to float32 before run(), and float32 outputs narrowed after it, by the
     * executor: the operator itself then needs no code for half precision. Between two such operators the tensor stays float32. */
    KOE_OP_WIDEN_HALF = 1,
    /* Depends on more than its inputs (random numbers): never folded, never shared. */
    KOE_OP_IMPURE = 2,
    /* prepare() reads large constant inputs by koe_node_data() only, and those it has packed (koe_node_pack()) are not read by run():
     * their in_const has type and shape, and no data. */
    KOE_OP_PACKS = 4,
    /* Knows narrow values: narrow.c lists the inputs that may be such. To other operators they are widened before run(). */
    KOE_OP_NARROW = 8,
};

typedef struct koe_op {
    const char *name;
    int since, until; /* opset versions of this form, both inclusive; until 0: open */
    unsigned flags;
    /* *state is handed to run() and to release(). May be NULL. On failure it must leave nothing behind. */
    koe_status (*prepare)(koe_node *node, void **state, koe_error *err);
    void (*release)(void *state);
    koe_status (*run)(koe_op_ctx *c, koe_error *err);
    const char *domain; /* NULL: the default domain; else e.g. "com.microsoft" */
} koe_op;

typedef struct koe_op_table {
    const koe_op *op;
    size_t n;
} koe_op_table;
#define KOE_OP_TABLE(array) ((koe_op_table){ array, sizeof(array) / sizeof *(array) })

/* The operator for this domain, name and opset version; NULL when there is none. */
const koe_op *koe_op_find(koe_str domain, koe_str name, int64_t opset);

/* ---- a node, as prepare() and run() see it ---------------------------------------------------------------------------- */

enum { KOE_PRECISION_F32, KOE_PRECISION_BF16, KOE_PRECISION_INT8, KOE_PRECISION_AUTO };

struct koe_node {
    const koe_op *op;
    koe_str name, op_type, domain;
    int64_t opset; /* version imported for its domain */
    const koe_onnx_attr *attr;
    size_t n_attr;
    int n_in, n_out;
    int *in, *out; /* value slots; -1 for an absent optional */
    const koe_tensor **in_const; /* [n_in]; not NULL where the input never changes (weights, folded constants) */
    void *state;
    unsigned id; /* unique in the model; keys random streams */
    unsigned pack_id; /* id of the first node with the same operator, attributes and constants: what they pack is shared */
    unsigned packed; /* bit i: constant input i was packed */
    struct koe_session *session; /* while prepare() runs */
    int precision; /* KOE_PRECISION_*: what prepare() should pack weights for */
    bool narrow; /* output 0, if it is float32 and large, is to be made by koe_out_narrow(): koe_is_narrow() */
    bool kept; /* a DequantizeLinear of weights, which is left for the pass `dequantise` */
    bool no_toom; /* convolutions as the sums that define them: passes "-toom" */
    struct koe_plan **body; /* compiled subgraphs, in the order of the graph attributes */
    int n_body;
    const int *release; /* value slots that nobody reads after this node */
    int n_release;
    bool tapped; /* an output is one of the session's taps */
    const bool *in_dies; /* [n_in]; the input is read here for the last time, and nowhere else in this node */
};

/* For prepare() only. Memory of n_bytes (64-byte aligned) that the session owns, for what input i is packed into; parts are numbered by the
 * operator. *ready: it holds the packed data already - from an identical node or from a packed file - and must not be written. */
koe_status koe_node_pack(koe_node *node, int i, unsigned part, size_t n_bytes, void **out, bool *ready, koe_error *err);
/* Elements of constant input i in the type that in_const[i] has (half precision widened, for operators that ask for it), aligned; valid
 * until prepare() returns. NULL when out of memory. */
const void *koe_node_data(koe_node *node, int i);

const koe_onnx_attr *koe_node_attr(const koe_node *node, const char *name); /* NULL when absent */
int64_t koe_node_int(const koe_node *node, const char *name, int64_t missing);
float koe_node_float(const koe_node *node, const char *name, float missing);
koe_str koe_node_str(const koe_node *node, const char *name, const char *missing);
/* Sets *ints to the attribute's own array (borrowed) and returns its length; 0 and NULL when absent. */
size_t koe_node_ints(const koe_node *node, const char *name, const int64_t **ints);

/* ---- a run, as run() sees it ------------------------------------------------------------------------------------------- */

struct koe_op_ctx {
    const koe_node *node;
    const koe_value **in; /* [n_in]; NULL: absent */
    koe_value **out; /* [n_out]; NULL: nobody wants it */
    int n_in, n_out;
    void *state; /* what prepare() made; read-only */
    koe_pool *pool; /* for koe_pool_for(); may be NULL */
    koe_run *run;
    bool narrow; /* node->narrow, and this run() may obey it */
};

/* Input i, or NULL when absent. A sequence where a tensor is due is refused before run() by koe_op_need(). */
static inline const koe_tensor *koe_in(const koe_op_ctx *c, int i)
{
    return i < c->n_in && c->in[i] && c->in[i]->kind == KOE_VALUE_TENSOR ? &c->in[i]->t : NULL;
}
/* Input i must be a tensor: KOE_E_FORMAT naming node and input otherwise. */
koe_status koe_need(const koe_op_ctx *c, int i, const koe_tensor **out, koe_error *err);

/* Makes output i a tensor with uninitialised memory (aligned to 64 bytes) and sets *out to it. When nobody wants the output it is
 * made all the same, in scratch memory, so an operator need not ask. KOE_E_LIMIT or KOE_E_NOMEM. dim may alias an input's. */
koe_status koe_out(koe_op_ctx *c, int i, koe_dtype dtype, int n_dim, const int64_t *dim, koe_tensor **out, koe_error *err);
/* The same, but in the memory of input `from` when that is exactly as large and this node is its last reader: then *out's data is the
 * input's. Only for operators that read element k of `from` before they write element k and never after. */
koe_status koe_out_inplace(koe_op_ctx *c, int i, int from, koe_dtype dtype, int n_dim, const int64_t *dim, koe_tensor **out,
                           koe_error *err);
/* Whether the memory of input i may be written to: this node is its last reader and nothing else shares it. */
bool koe_in_is_ours(const koe_op_ctx *c, int i);
/* Whether output 0, of this shape, should be narrow: the node may, and it is large. */
bool koe_is_narrow(const koe_op_ctx *c, int n_dim, const int64_t *dim);
/* Makes output 0 a narrow float32 tensor, in the memory of input `from` (-1: none) when that is narrow, as large, and read here for the last
 * time. */
koe_status koe_out_narrow(koe_op_ctx *c, int from, int n_dim, const int64_t *dim, koe_tensor **out, koe_error *err);
/* Runs `op` in the place of the node's own, with its narrow inputs widened. For a table of the operators that know narrow values, but not these. */
koe_status koe_run_widely(koe_op_ctx *c, const koe_op *op, koe_error *err);
/* Whether input i is a narrow value: then its data is uint16_t. */
static inline bool koe_in_narrow(const koe_op_ctx *c, int i) { return i < c->n_in && c->in[i] && c->in[i]->narrow; }
/* Makes output i the same bytes as input `from` under another shape with as many elements (Reshape, Identity, ...). */
koe_status koe_out_view(koe_op_ctx *c, int i, int from, int n_dim, const int64_t *dim, koe_error *err);
/* Makes output i the very value of `v` (tensor or sequence), sharing its memory. */
koe_status koe_out_share(koe_op_ctx *c, int i, const koe_value *v, koe_error *err);
/* Makes output i a sequence of n items that share the memory of items[0..n). */
koe_status koe_out_sequence(koe_op_ctx *c, int i, const koe_value *const *items, size_t n, koe_error *err);
/* Memory for the length of this run() call, aligned to 64 bytes, uninitialised. NULL when out of memory (then return
 * koe_fail(err, KOE_E_NOMEM, ...)). Freed by the executor. */
void *koe_scratch(koe_op_ctx *c, size_t n_bytes);

/* Random streams: reproducible, whatever the thread count; each node and each execution of it draws from its own stream, keyed by the
 * run's seed. `zero` noise (koe_run_options) fills zeros for normal, and the middle of the interval for uniform. */
void koe_random_normal(koe_op_ctx *c, float *out, size_t n, float mean, float scale);
void koe_random_uniform(koe_op_ctx *c, float *out, size_t n, float low, float high);

/* ---- shapes -------------------------------------------------------------------------------------------------------------- */

/* ONNX multidirectional broadcasting of two shapes; KOE_E_FORMAT when they do not fit. */
koe_status koe_broadcast(int *n_out, int64_t out[KOE_MAX_DIM], int n_a, const int64_t *a, int n_b, const int64_t *b, koe_error *err);
/* Element strides of `t` seen as a tensor of shape dim[n_dim] (leading and broadcast dimensions get stride 0). */
void koe_broadcast_strides(int64_t stride[KOE_MAX_DIM], const koe_tensor *t, int n_dim, const int64_t *dim);
/* Brings an axis of -n..n-1 (or -n..n when `end_ok`) to 0..; KOE_E_FORMAT outside. */
koe_status koe_axis(int *out, int64_t axis, int n_dim, bool end_ok, const koe_node *node, koe_error *err);
/* Reads a small integer tensor (int32 or int64, any shape) as int64: *n values into out[cap]. */
koe_status koe_read_ints(const koe_tensor *t, int64_t *out, size_t cap, size_t *n, koe_error *err);
/* Product of dim[from..to). */
static inline size_t koe_dim_product(const int64_t *dim, int from, int to)
{
    size_t n = 1;
    for (int i = from; i < to; i++) n *= (size_t)dim[i];
    return n;
}
/* "type X is not supported by <op> (node <name>)". */
koe_status koe_type_error(const koe_op_ctx *c, koe_dtype dtype, koe_error *err);
#endif
