/* conv_state.h - packed weights of a convolution, shared by conv.c, which makes them, and conv_chain.c. */
#ifndef KOE_OPS_CONV_STATE_H
#define KOE_OPS_CONV_STATE_H
#include "kernels/lp_conv.h"
#include "ops/op.h"

enum { KOE_CONV_SPATIAL_MAX = KOE_MAX_DIM - 2 };

/* What the shapes and attributes come to. */
typedef struct koe_conv_geometry {
    bool transposed, no_toom;
    int n_spatial;
    size_t batch, group, c_in, c_out; /* channels of one group */
    size_t in[KOE_CONV_SPATIAL_MAX], out[KOE_CONV_SPATIAL_MAX], kernel[KOE_CONV_SPATIAL_MAX], stride[KOE_CONV_SPATIAL_MAX],
        dilation[KOE_CONV_SPATIAL_MAX];
    int64_t pad[KOE_CONV_SPATIAL_MAX]; /* at the beginning */
    size_t outer_in, outer_out, outer_kernel; /* products over all but the innermost dimension */
} koe_conv_geometry;

/* One phase of a transposed convolution: outputs o with (o + pad) % stride == phase; for a plain one there is one, with every tap.
 * When all phases have as many taps and read the same inputs, they are one plain convolution with stride times the output channels, of
 * which channel co * stride + phase is phase `phase` of co: the input is then packed once. */
typedef struct koe_conv_phase {
    size_t first_tap, n_tap; /* in koe_conv_state.tap */
    size_t back; /* inputs from the first tap's to the one at the phase's base */
} koe_conv_phase;

/* Made by prepare() when the weights are constant, else by run(). */
typedef struct koe_conv_state {
    koe_toom toom;
    float *packed; /* [group][phase] */
    size_t group_count, packed_count; /* of one group: the model's weights, and the packed ones */
    size_t *tap; /* kernel taps by phase, earliest input first */
    size_t *pos; /* input offset of each from its phase's first */
    koe_conv_phase *phase;
    size_t n_phase;
    size_t merged; /* phases that are channels of the one convolution; 1: none */
    size_t channels; /* outputs of each phase's convolution */
    const koe_lp_set *lp; /* low precision; packed is then NULL */
    uint32_t *words; /* [group][phase] */
    int32_t *sum; /* int8: [group][phase][channel] */
    float *scale;
    size_t group_words;
    bool in_pairs; /* outputs are made in pairs (kernels/lp_pairs.c): words, sum and scale are those of three filters */
    bool owned; /* the weights are this state's, not the session's */
} koe_conv_state;

/* The low precision that a convolution of this shape gains by, if the node may have it; else NULL. Weights that are `bytes` in the model call
 * for a product of bytes whatever the precision, if this machine has one that takes 8-bit inputs. */
const koe_lp_set *koe_conv_choose_lp(const koe_node *node, const koe_conv_geometry *g, bool bytes);
/* Packs the weights w (type and shape: `of`). preparing: the node whose input `input` (odd) they are, in prepare(); NULL in run(), for weights
 * that were computed. */
koe_status koe_conv_make_state(koe_conv_state **out, const koe_conv_geometry *g, const koe_tensor *of, koe_node *preparing, int input,
                               const koe_lp_set *lp, koe_error *err);
void koe_conv_release_state(void *state);
#endif
