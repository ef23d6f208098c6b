/* tasks.h - what the operators that do matrix work share: loops whose tasks need scratch memory, constant weights, activations. */
#ifndef KOE_OPS_TASKS_H
#define KOE_OPS_TASKS_H
#include "kernels/kernels.h"
#include "ops/op.h"

/* As koe_pool_fn, with n_bytes of scratch (64-byte aligned) that no other running task uses. */
typedef void koe_task_fn(void *arg, size_t task, void *scratch);
/* Runs tasks 0..n_tasks-1 on the context's pool. KOE_E_NOMEM when there is no memory for the scratch. */
koe_status koe_tasks_run(koe_op_ctx *c, size_t n_tasks, size_t n_bytes, koe_task_fn *fn, void *arg, koe_error *err);

/* Whether prepare() should keep the constant operand of a matrix product in bfloat16. */
static inline bool koe_weights_half(const koe_node *node)
{
    return node->precision == KOE_PRECISION_BF16 || node->precision == KOE_PRECISION_INT8;
}

/* Room for n floats (at least one), 64-byte aligned, for free(); NULL when out of memory. */
float *koe_weights_alloc(size_t n);
/* Room for n floats (or as many words) that input i is packed into: the session's when `preparing` is the node that is being prepared
 * (koe_node_pack()), else malloc()ed. */
koe_status koe_weights_room(koe_node *preparing, int i, unsigned part, size_t n, void **out, bool *ready, koe_error *err);
/* Attribute `activation` of Microsoft's fused operators; none when it is absent. KOE_E_UNSUPPORTED for one that the kernels lack. */
koe_status koe_read_activation(koe_act *out, const koe_node *node, koe_error *err);
#endif
