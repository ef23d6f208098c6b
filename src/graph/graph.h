/* graph.h - model -> plan -> run.
 *     koe_onnx_model -> koe_session (values numbered, constants folded, nodes prepared, last readers known) -> koe_run
 * All values of a model, those of its subgraphs too, are slots of one flat table; a subgraph reads the values around it by their slots.
 * A session is read-only once created and is shared by any number of runs at a time; a run belongs to one thread at a time. */
#ifndef KOE_GRAPH_GRAPH_H
#define KOE_GRAPH_GRAPH_H
#include <stdatomic.h>

#include "onnx/onnx.h"
#include "ops/op.h"

typedef struct koe_session koe_session;

/* KOE_PRECISION_* of "f32", "bf16", "int8" or "auto"; -1 for another name. */
int koe_precision_of(const char *name);

typedef struct koe_session_options {
    koe_pool *pool; /* borrowed, may be NULL: one thread */
    int precision; /* KOE_PRECISION_* */
    const char *precision_only; /* extended regular expression: low precision only in nodes with such a name; NULL: in all that may */
    const char *passes; /* e.g. "-snake,-fold": passes to leave out, and "-toom": convolutions by their definition, "-narrow": no tensors
                         * stored as float16, "-rest": none of them in 8 bits between two readers; NULL: all */
    const char *const *taps; /* names of inner tensors to keep as extra outputs after the graph's own */
    size_t n_taps;
    bool keep_weights; /* packed weights stay in memory between their uses, as far as the process's limit allows; else only some megabytes */
    const char *packed; /* a file of packed weights, used when it fits the model, this machine and the options; NULL: none */
} koe_session_options;

/* Takes the model in every case (closes it on failure). opt may be NULL. KOE_E_UNSUPPORTED names operator, domain, opset and node. */
koe_status koe_session_create(koe_session **out, koe_onnx_model *model, const koe_session_options *opt, koe_error *err);
void koe_session_destroy(koe_session *s);
/* KOE_PRECISION_* in use; never AUTO. */
int koe_session_precision(const koe_session *s);
/* What the passes over the graph did when the session was made. */
typedef struct koe_pass_report {
    const char *name;
    int n; /* what it did, counted; -1: left out by the options */
    const char *unit; /* of n: "nodes folded", ... */
} koe_pass_report;
/* Sets *out to the list (it lives as long as the session) and returns its length. */
size_t koe_session_passes(const koe_session *s, const koe_pass_report **out);
/* Nodes that a run executes, subgraphs' included. */
size_t koe_session_n_nodes(const koe_session *s);
/* malloc()ed path of the packed file that belongs to a model file on this machine: beside it when its folder can be written, else in
 * $XDG_CACHE_HOME/koe (~/.cache/koe). NULL when out of memory. */
char *koe_packed_path(const char *model_path, int precision);
/* Opens a model with its packed file, which is written first when there is none that fits (a failure to write is a line in the log, no
 * more). `model` is taken as by koe_session_create(); it must come from a file. $KOE_PACK=off: no packed file is read or written. */
koe_status koe_session_create_packed(koe_session **out, koe_onnx_model *model, const koe_session_options *opt, koe_error *err);
/* True when all packed weights come from the file that the options named. */
bool koe_session_is_packed(const koe_session *s);
/* Writes the packed weights to `path`, atomically, for the next session's options. */
koe_status koe_session_save_packed(const koe_session *s, const char *path, koe_error *err);
const koe_onnx_model *koe_session_model(const koe_session *s);
size_t koe_session_n_in(const koe_session *s); /* graph inputs that are not initialisers come first, in order; the others follow */
size_t koe_session_n_out(const koe_session *s); /* the graph's outputs, then the taps */
const koe_onnx_value *koe_session_in(const koe_session *s, size_t i);
koe_str koe_session_out_name(const koe_session *s, size_t i);
/* Index of an input by name, -1 when there is none. */
int koe_session_find_in(const koe_session *s, const char *name);
/* Called right after tap `tap` (index into koe_session_options.taps) was computed; may change the elements of `t` in place, never its
 * type or shape. How durations, F0 and energy are scaled inside a known network. */
typedef koe_status koe_tap_fn(void *user, size_t tap, koe_tensor *t, koe_error *err);

/* Called after every node (a node with subgraphs: after all of it) with the time it took. `out` is its first output, NULL when absent;
 * `macs`: multiply-adds that its definition takes (macs.c). */
typedef void koe_profile_fn(void *user, const koe_node *node, const koe_value *out, double macs, int64_t ns);

/* The value of an output or tap, from an earlier execution with the same inputs and options, on this session or one like it. */
typedef struct koe_given {
    size_t out; /* as of koe_session_out_name() */
    koe_tensor t; /* data borrowed until the outputs of the execution are no longer read */
} koe_given;

typedef struct koe_run_options {
    uint64_t seed;
    bool zero_noise;
    const _Atomic bool *cancel; /* looked at between nodes; NULL: never cancelled */
    size_t memory_limit; /* bytes of tensors that this run may hold; 0: what koe_process_limit() leaves */
    size_t narrow_bytes; /* size from which on tensors are stored as float16 by the low precisions; 0: the preset */
    koe_tap_fn *on_tap; /* NULL: taps are only kept as outputs */
    koe_profile_fn *on_node; /* NULL: not timed */
    void *user; /* for on_tap and on_node */
    /* Not computed again: only nodes are executed that the graph's own outputs still need, and random ones. The other taps may have no value
     * then; on_tap does not see those that are given. What on_tap changed elsewhere it must change again. */
    const koe_given *given;
    size_t n_given;
} koe_run_options;

/* A run's memory is kept between executions. */
koe_status koe_run_create(koe_run **out, koe_session *s, koe_error *err);
void koe_run_destroy(koe_run *r);
/* The tensor's data is borrowed until the execution ends. Type and fixed dimensions are checked against the model's declaration. */
koe_status koe_run_set_in(koe_run *r, size_t i, const koe_tensor *t, koe_error *err);
koe_status koe_run_set_in_value(koe_run *r, size_t i, const koe_value *v, koe_error *err);
/* Executes; outputs stay valid until the next execution or koe_run_destroy(). opt may be NULL (seed 0). */
koe_status koe_run_execute(koe_run *r, const koe_run_options *opt, koe_error *err);
const koe_value *koe_run_out(const koe_run *r, size_t i);
/* Most bytes that tensors of this run have held at a time. */
size_t koe_run_peak_bytes(const koe_run *r);
#endif
