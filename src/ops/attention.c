#include "ops/ops.h"

koe_op_table koe_ops_attention(void) { return (koe_op_table){ 0 }; }
