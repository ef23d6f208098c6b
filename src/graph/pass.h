/* pass.h - what a pass over the graph is made of. A pass looks at the nodes of one plan, and where it finds its pattern it puts one new
 * node in the place of the pattern's last one; what the others computed is then read by nobody and the `dead` pass removes it.
 * Each pass is one file, pass_<name>.c, with a sketch of before and after at its top; passes.c lists them in their order. */
#ifndef KOE_GRAPH_PASS_H
#define KOE_GRAPH_PASS_H
#include "graph/shape.h"

/* Who computes and who reads each value, for one plan; made anew for every pass. */
typedef struct koe_pass {
    koe_session *s;
    koe_plan *plan;
    koe_node **producer; /* [n_slot]; NULL: not computed in this plan */
    int *n_reads; /* [n_slot]; readers anywhere, outputs of plans included */
    int n_slot; /* slots at the time of the index */
    int n_done; /* patterns replaced */
    const koe_shapes *shapes; /* of the slots that there were before the first pattern */
} koe_pass;

typedef koe_status koe_pass_fn(koe_pass *p, koe_error *err);
koe_pass_fn koe_pass_dynamic, koe_pass_snake, koe_pass_adain, koe_pass_conv, koe_pass_chain, koe_pass_norm, koe_pass_activation, koe_pass_pad, koe_pass_attention, koe_pass_transpose, koe_pass_matmul, koe_pass_elementwise, koe_pass_upsample, koe_pass_istft, koe_pass_lstm;

koe_pass_fn koe_pass_repeat;
koe_pass_fn koe_pass_dequantise, koe_pass_qdq, koe_pass_pairs;

/* Passes over all plans of a graph, which look for no pattern; they count what they did into *n_done. */
typedef koe_status koe_graph_fn(koe_session *s, int *n_done, koe_error *err);
koe_graph_fn koe_pass_fold, koe_pass_dead, koe_pass_shape, koe_pass_cse;

/* Marks the dequantised weights that koe_pass_dequantise() may want: before anything is folded. */
koe_status koe_pass_keep_weights(koe_session *s, koe_error *err);

/* ---- computing nodes ahead (pass_fold.c) --------------------------------------------------------------------------------- */

typedef struct koe_fold {
    koe_session *s;
    koe_run *r;
    int cap_slot; /* of the run's values: slots may be added while it lasts */
} koe_fold;

/* On failure deinit() is due all the same. */
koe_status koe_fold_init(koe_fold *f, koe_session *s, koe_error *err);
void koe_fold_deinit(koe_fold *f);
/* Are all inputs of the node constant, and what it does with them always the same? */
bool koe_pass_foldable(const koe_session *s, const koe_node *node);
/* Runs such a node; its outputs become constants and it need not run again. KOE_E_LIMIT: they would be too large. */
koe_status koe_fold_node(koe_fold *f, koe_node *node, koe_error *err);
/* Memory of the session for a constant of n * each floats that a pass computes itself. NULL when there is none, or constants would take too much. */
float *koe_fold_room(koe_session *s, size_t n, size_t each);

/* Marks the slots that a plan and its subgraphs put out: their own nodes must compute them. fixed: [n_slot]. */
void koe_pass_mark_outputs(bool *fixed, const koe_plan *plan);

/* ---- patterns ------------------------------------------------------------------------------------------------------------ */

/* The node that computes `slot`, if it is an `op` of the default domain with the right number of inputs given; else NULL. */
koe_node *koe_pass_producer(const koe_pass *p, int slot, const char *op);
/* The same, and nobody but the caller's pattern reads the value. */
koe_node *koe_pass_inner(const koe_pass *p, int slot, const char *op);
const koe_tensor *koe_pass_constant(const koe_pass *p, int slot);
/* True when the slot is a float32 constant with one element equal to x. */
bool koe_pass_is_scalar(const koe_pass *p, int slot, float x);
/* The same, but for rounding: exporters write sqrt(2) in many ways. */
bool koe_pass_is_about(const koe_pass *p, int slot, double x);
/* Sets *x to a float32 constant with one element. */
bool koe_pass_scalar(const koe_pass *p, int slot, float *x);
/* float32, or a half type, which is computed in float32. */
bool koe_pass_is_float(const koe_pass *p, int slot);
static inline bool koe_pass_is_op(const koe_node *n, const char *domain, const char *op)
{
    return n && koe_str_is(n->domain, domain) && koe_str_is(n->op_type, op);
}
/* Turns `node` into `op` of koe's own domain, with these inputs and the node's old outputs and name. Attributes are dropped. */
koe_status koe_pass_replace(koe_pass *p, koe_node *node, const char *op, const int *in, int n_in, koe_error *err);
/* The same, with the name and the attributes of `from`, which it takes the place of; that may be `node` itself. */
koe_status koe_pass_take_over(koe_pass *p, koe_node *node, const koe_node *from, const char *op, const int *in, int n_in, koe_error *err);
/* Adds a float attribute to a node that koe_pass_replace() made. */
koe_status koe_pass_set_float(koe_pass *p, koe_node *node, const char *name, float x, koe_error *err);
/* Adds a list; x is copied. */
koe_status koe_pass_set_ints(koe_pass *p, koe_node *node, const char *name, const int64_t *x, size_t n, koe_error *err);
koe_status koe_pass_set_floats(koe_pass *p, koe_node *node, const char *name, const float *x, size_t n, koe_error *err);
koe_status koe_pass_set_int(koe_pass *p, koe_node *node, const char *name, int64_t x, koe_error *err);
koe_status koe_pass_set_str(koe_pass *p, koe_node *node, const char *name, const char *x, koe_error *err);
/* Adds FusedConv's attributes `activation` and `activation_params`. */
koe_status koe_pass_set_activation(koe_pass *p, koe_node *node, const char *name, float alpha, koe_error *err);
#endif
