/* internal.h - what the files of the graph room share.
 *     build.c    model -> nodes over slots (names resolved, functions inlined, subgraphs nested)
 *     passes.c   nodes -> fewer nodes: the list of passes
 *     pass_*.c   one pass each; shape.c what is known of shapes
 *     precision.c  which nodes may use low precision
 *     narrow.c   which tensors are stored as float16
 *     rest.c     which of them rest in 8 bits between two readers
 *     plan.c     last readers, prepared operators
 *     weights.c  what operators pack, and the file it is kept in
 *     session.c  the public face of a loaded graph
 *     resume.c   which nodes an execution needs that has some values already
 *     run.c      executes a plan; what an operator may ask of a run
 *     control.c  If, Loop, Scan, SequenceMap */
#ifndef KOE_GRAPH_INTERNAL_H
#define KOE_GRAPH_INTERNAL_H
#include "graph/graph.h"
#include "graph/memory.h"
#include "graph/weights.h"

/* A graph or subgraph, ready to run: nodes in order. */
typedef struct koe_plan {
    koe_node **node;
    int n_node, cap_node;
    int *in, *out; /* slots */
    int n_in, n_out;
    int id; /* 0: the main graph */
} koe_plan;

/* What is known of a slot before any run. */
typedef struct koe_slot {
    koe_str name;
    koe_value constant; /* kind KOE_VALUE_NONE when it changes */
    int plan; /* id of the plan that defines it */
    int tap; /* index of the tap that it is, -1: none */
    bool widens; /* `constant` is of half precision and stands for the float32 that a Cast makes of it: see koe_graph_widen() */
    bool stays_wide; /* a half-precision result need not be narrowed: all of its readers would widen it again */
} koe_slot;

struct koe_session {
    koe_onnx_model *model;
    koe_pool *pool;
    int precision;
    bool no_toom, narrow, rest; /* passes */
    bool keep_weights;
    _Atomic int n_running; /* executions at this moment */
    koe_plan *plan; /* the main graph */
    koe_slot *slot;
    int n_slot, cap_slot;
    int n_plan;
    unsigned n_node; /* ids given out */
    int n_in_max, n_out_max; /* widest node */
    koe_node **all; /* every prepared node, for release() */
    size_t n_all, cap_all;
    const koe_onnx_value **in; /* declared inputs in the order of koe_session_in() */
    int *in_slot;
    bool *in_optional; /* has an initialiser as default */
    int n_in;
    int n_graph_out; /* outputs of the graph; taps follow */
    koe_pass_report *report; /* [n_report] */
    size_t n_report;
    struct koe_shapes *shapes; /* while passes run: what is known, from the shape pass on */
    size_t n_folded_bytes; /* of constants that folding made */
    koe_weights *weights;
    int *n_reads; /* [n_slot] while nodes are prepared: readers that have not packed the value */
    unsigned char key[32]; /* of the packed file that would fit */
    koe_arena arena; /* nodes, slots' lists, folded constants */
};

/* build.c: fills s->plan, s->slot and the inputs. */
koe_status koe_graph_build(koe_session *s, const koe_session_options *opt, koe_error *err);
/* New slot; -1 when out of memory. */
int koe_graph_add_slot(koe_session *s, koe_str name, int plan);
/* A list of n inputs, to be filled. Passes may read node->in[i] for i < KOE_INPUTS_MIN of any node: what is absent is -1, and so are its
 * outputs. NULL when out of memory. */
enum { KOE_INPUTS_MIN = 12 };
int *koe_graph_slots(koe_session *s, size_t n);
/* passes.c */
koe_status koe_graph_passes(koe_session *s, const char *passes, koe_error *err);
/* macs.c: multiply-adds of a node with first inputs x and y; NULL where absent. */
double koe_node_macs(const koe_node *node, const koe_tensor *x, const koe_tensor *y, const koe_tensor *out);
/* precision.c: sets every node's precision from the session's; `only`: as koe_session_options.precision_only. */
koe_status koe_graph_set_precision(koe_session *s, const char *only, koe_error *err);
/* narrow.c: sets every node's `narrow`. */
koe_status koe_graph_set_narrow(koe_session *s, koe_error *err);
/* rest.c: large tensors that nobody reads for long, in 8 bits. */
koe_status koe_graph_set_rest(koe_session *s, koe_error *err);
/* plan.c: prepares every node and finds last readers. */
koe_status koe_graph_finish(koe_session *s, koe_error *err);
koe_status koe_graph_prepare(koe_session *s, koe_node *node, koe_error *err);
void koe_graph_release(koe_node *node);
/* Same name, type and content; tensors and graphs by identity, lists of strings never. */
bool koe_same_attr(const koe_onnx_attr *a, const koe_onnx_attr *b);
/* Gives a slot that widens its float32 elements, in memory of the session. */
koe_status koe_graph_widen(koe_session *s, int slot, koe_error *err);
/* Calls fn for every slot that the node reads: its inputs, and what its subgraphs capture from plans around them. */
void koe_graph_reads(const koe_node *node, void (*fn)(void *arg, int slot), void *arg);

/* run.c */
struct koe_run {
    koe_session *session;
    koe_memory *memory;
    koe_value *value; /* [n_slot] */
    const koe_value **in_stack; /* inputs and outputs of the nodes that run now, innermost subgraph last */
    koe_value **out_stack;
    size_t n_in_stack, n_out_stack;
    koe_run_options opt;
    struct koe_buffer **scratch; /* of the node that runs now */
    size_t n_scratch, cap_scratch;
    size_t resident_max; /* what tensors and packed weights that stay in memory may come to, as far as the tensors leave room */
    size_t resident_limit; /* the same while other runs of the session are under way, which read the same weights: more, if there is no limit */
    bool has_company; /* another run was under way at some time of this execution */
    uint64_t n_random; /* random nodes executed so far: keys their streams */
    bool executed;
    bool *skip; /* [nodes of the main graph] that are left out, when opt.n_given > 0; NULL before */
};

/* resume.c: what is given for a slot, or NULL; the given outputs of a node take their values; which nodes are left out, whose given outputs
 * have theirs on return. */
const koe_given *koe_run_given(const koe_run *r, int slot);
void koe_run_give(koe_run *r, const koe_node *node);
koe_status koe_run_find_skipped(koe_run *r, koe_error *err);

koe_status koe_run_plan(koe_run *r, const koe_plan *plan, koe_error *err);
/* Runs one prepared node on the run's own slots. */
koe_status koe_run_node(koe_run *r, const koe_node *node, koe_error *err);
/* float16 or bfloat16 elements of `t` as float32. */
void koe_widen(float *out, const koe_tensor *t);
void koe_value_clear(koe_value *v);
/* *to (empty) becomes what *from is, sharing memory. */
koe_status koe_value_share(koe_value *to, const koe_value *from, koe_error *err);
#endif
