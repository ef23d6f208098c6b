/* rnn.h - the recurrence behind LSTM, GRU, RNN and DynamicQuantizeLSTM. Inside the ops room.
 * In two steps:  PROJECT  gates = x W^T + bias, all times at once, one matrix product
 *                STEP     for each time: gates += h R^T, activations, new h (and c)
 * A direction, and a block of batch items in it, is a chain of steps of its own: that is what runs in parallel. */
#ifndef KOE_OPS_RNN_H
#define KOE_OPS_RNN_H
#include "kernels/kernels.h"
#include "ops/op.h"
#include "ops/quant.h"

typedef enum koe_cell { KOE_CELL_RNN, KOE_CELL_GRU, KOE_CELL_LSTM } koe_cell;

/* y = f(y), n elements. */
typedef void koe_rnn_act_fn(float *y, size_t n, float alpha, float beta);
typedef struct koe_rnn_act {
    koe_rnn_act_fn *fn;
    float alpha, beta;
} koe_rnn_act;

/* What the attributes say. */
typedef struct koe_rnn_config {
    koe_cell cell;
    size_t n_gate; /* 1, 3 (z, r, h) or 4 (i, o, f, c) */
    size_t n_dir;
    bool backward_only; /* direction "reverse" */
    bool batch_first; /* layout 1 */
    bool input_forget, linear_before_reset;
    float clip; /* 0: none */
    koe_rnn_act act[2][3]; /* per direction */
    bool default_acts; /* the cell's own, and no clip: the kernels' step can be used */
    int64_t hidden; /* attribute hidden_size, or 0 */
} koe_rnn_config;

koe_status koe_rnn_read_config(koe_rnn_config *out, const koe_node *node, koe_cell cell, koe_error *err);

/* Weights of one direction. */
typedef struct koe_rnn_side {
    koe_f32_packed w, r; /* W^T and R^T packed (koe_f32_pack); GRU: R's z and r gates only */
    koe_f32_packed r_new; /* GRU: R^T of the h gate, packed */
    float *bias; /* [n_gate * hidden] Wb + Rb, but for the h gate of a GRU with linear_before_reset: Wb */
    const float *bias_new; /* that GRU's Rb of the h gate */
    const float *peep; /* LSTM: P, or NULL */
    /* DynamicQuantizeLSTM: in place of w and r */
    koe_i8_packed qw, qr;
    const float *w_scale, *r_scale; /* [n_gate * hidden] */
    const int32_t *w_zero, *r_zero; /* likewise */
} koe_rnn_side;

typedef struct koe_rnn_job {
    const koe_rnn_config *cfg;
    bool quantised;
    size_t n_time, n_item, n_in, n_hidden;
    const float *x; /* [time][item][in], or [item][time][in] with batch_first */
    const uint8_t *x8; /* DynamicQuantizeLSTM: x, and what its bytes mean */
    koe_quant_param xq;
    const int32_t *length; /* [item], or NULL: all n_time */
    koe_rnn_side side[2];
    float *h, *c; /* [dir][item][hidden]: initial state in, last state out; c: LSTM only */
    float *y; /* outputs, shaped as ONNX's Y for the layout; never NULL */
} koe_rnn_job;

/* Runs it; memory comes from the context's scratch. */
koe_status koe_rnn_run(koe_op_ctx *c, koe_rnn_job *j, koe_error *err);
#endif
