/* ops.h - the families of operators; koe_op_find() searches these tables. */
#ifndef KOE_OPS_OPS_H
#define KOE_OPS_OPS_H
#include "ops/op.h"

koe_op_table koe_ops_unary(void); /* Abs, Sqrt, Sin, Tanh, Not, ... */
koe_op_table koe_ops_activation(void); /* LeakyRelu, Gelu, Clip, PRelu, Dropout, ... */
koe_op_table koe_ops_binary(void); /* Add ... Pow, Max, Min, Sum, Mean */
koe_op_table koe_ops_compare(void); /* Equal, And, BitShift, IsNaN, Where, ... */
koe_op_table koe_ops_cast(void); /* Cast, CastLike, BitCast */
koe_op_table koe_ops_random(void); /* RandomNormalLike ... */
koe_op_table koe_ops_shape(void); /* Reshape, Shape, Squeeze, Expand, Range, ... */
koe_op_table koe_ops_move(void); /* Transpose, Concat, Split, Tile, ... */
koe_op_table koe_ops_slice(void); /* Slice, Pad, ... */
koe_op_table koe_ops_index(void); /* Gather, Scatter, ... */
koe_op_table koe_ops_select(void); /* OneHot, NonZero, TopK, Unique */
koe_op_table koe_ops_sequence(void); /* SequenceAt ... */
koe_op_table koe_ops_resize(void); /* Resize, Upsample */
koe_op_table koe_ops_grid(void); /* GridSample, AffineGrid */
koe_op_table koe_ops_reduce(void); /* ReduceSum ... ArgMax, ArgMin */
koe_op_table koe_ops_cumulative(void); /* CumSum, CumProd */
koe_op_table koe_ops_softmax(void); /* Softmax, LogSoftmax, Hardmax */
koe_op_table koe_ops_norm(void); /* InstanceNormalization, GroupNormalization, BatchNormalization, ... */
koe_op_table koe_ops_layer_norm(void); /* LayerNormalization, RMSNormalization, SkipLayerNormalization, ... */
koe_op_table koe_ops_pool(void); /* MaxPool, AveragePool, ... */
koe_op_table koe_ops_signal(void); /* DFT, STFT, windows */
koe_op_table koe_ops_matmul(void); /* MatMul, Gemm */
koe_op_table koe_ops_matmul_bytes(void); /* MatMulBytes, koe's own */
koe_op_table koe_ops_conv(void); /* Conv, ConvTranspose */
koe_op_table koe_ops_conv_chain(void); /* ConvChain, koe's own */
koe_op_table koe_ops_rnn(void); /* LSTM, GRU, RNN */
koe_op_table koe_ops_quant(void); /* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear */
koe_op_table koe_ops_quant_matmul(void); /* MatMulInteger, QLinearMatMul, QGemm, ... */
koe_op_table koe_ops_quant_conv(void); /* ConvInteger, QLinearConv */
koe_op_table koe_ops_quant_nbits(void); /* MatMulNBits */
koe_op_table koe_ops_quant_math(void); /* QLinearAdd ... QLinearSoftmax */
koe_op_table koe_ops_einsum(void);
koe_op_table koe_ops_attention(void); /* Attention, RotaryEmbedding */
koe_op_table koe_ops_sweep(void);
koe_op_table koe_ops_repeat(void); /* koe's own: RepeatInterleave */
koe_op_table koe_ops_rest(void); /* koe's own: graph/rest.c */
koe_op_table koe_ops_istft(void); /* InverseSTFT, koe's own */
koe_op_table koe_ops_fused(void); /* koe's own: what the graph room's passes make */
koe_op_table koe_ops_control(void); /* If, Loop, Scan, SequenceMap; defined in the graph room, which owns subgraphs */
#endif
