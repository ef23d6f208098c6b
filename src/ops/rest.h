/* rest.h - large tensors in 8 bits (rest.c), for operators that read one as it is. */
#ifndef KOE_OPS_REST_H
#define KOE_OPS_REST_H
#include "ops/op.h"

/* Whether input i is a tensor at rest, as the operator Rest makes them: its type and shape are then not those that the graph gives it. */
static inline bool koe_in_rests(const koe_op_ctx *c, int i) { return i < c->n_in && c->in[i] && c->in[i]->rests; }
/* Type and shape of a tensor at rest when it is awake; data is NULL. */
koe_tensor koe_rest_shape(const koe_tensor *r);
/* `to`, float16: what r holds, or (add) the sum of that and what `to` holds. */
void koe_rest_wake(koe_pool *pool, uint16_t *to, const koe_tensor *r, bool add);
#endif
