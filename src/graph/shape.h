/* shape.h - what can be said of shapes before a run: of each value its dimensions, and of small integer tensors, which mostly hold
 * dimensions, their elements. A number that is not known has a symbol instead; two numbers with the same symbol are equal in every run.
 *     declared inputs, constants -> RULE of each operator, in the order of the nodes -> shapes of all values
 * A rule may say nothing, but never something that a run could contradict, unless that run fails. */
#ifndef KOE_GRAPH_SHAPE_H
#define KOE_GRAPH_SHAPE_H
#include "graph/internal.h"

/* A number, or an unknown one. */
typedef struct koe_dim {
    int64_t v; /* when symbol is 0 */
    int symbol; /* > 0: not negative, as dimensions are; < 0: may be anything */
} koe_dim;

typedef struct koe_shape {
    int n_dim; /* -1: not even that is known */
    koe_dim dim[KOE_MAX_DIM];
} koe_shape;

enum { KOE_VALUES_MAX = 2 * KOE_MAX_DIM };

/* A tensor of at most one dimension. */
typedef struct koe_values {
    koe_dtype dtype; /* int64, int32 or bool */
    int n_dim, n;
    koe_dim v[KOE_VALUES_MAX];
} koe_values;

/* What is known, by slot. */
typedef struct koe_shapes {
    koe_session *s;
    struct koe_known *known; /* [cap_slot] */
    int cap_slot;
    int n_symbol;
    struct { int part, whole; } cut[64]; /* symbols: part is the first `whole` elements of something, or all of it when that is shorter */
    int n_cut;
    koe_arena arena;
    bool learnt; /* all nodes */
} koe_shapes;

koe_status koe_shapes_init(koe_shapes *k, koe_session *s, koe_error *err);
void koe_shapes_deinit(koe_shapes *k);
/* Learns the outputs of a node whose inputs have been learnt. */
void koe_shapes_learn(koe_shapes *k, const koe_node *node);
/* All nodes of a plan and of the plans inside, in their order. */
void koe_shapes_learn_all(koe_shapes *k, const koe_plan *plan);
/* KOE_DTYPE_NONE when it is not known. */
koe_dtype koe_dtype_of(const koe_shapes *k, int slot);
/* False when nothing is known. */
bool koe_shape_of(const koe_shapes *k, int slot, koe_shape *out);
bool koe_values_of(const koe_shapes *k, int slot, koe_values *out);

static inline koe_dim koe_number(int64_t v) { return (koe_dim){ v, 0 }; }
static inline bool koe_dim_same(koe_dim a, koe_dim b) { return a.symbol == b.symbol && (a.symbol || a.v == b.v); }
static inline bool koe_dim_is(koe_dim a, int64_t v) { return !a.symbol && a.v == v; }
#endif
