/* tasks.h - what the operators that do matrix work share: loops whose tasks need scratch memory, and constant weights. */
#ifndef KOE_OPS_TASKS_H
#define KOE_OPS_TASKS_H
#include "ops/op.h"

/* As koe_pool_fn, with n_bytes of scratch (64-byte aligned) that no other running task uses. */
typedef void koe_task_fn(void *arg, size_t task, void *scratch);
/* Runs tasks 0..n_tasks-1 on the context's pool. KOE_E_NOMEM when there is no memory for the scratch. */
koe_status koe_tasks_run(koe_op_ctx *c, size_t n_tasks, size_t n_bytes, koe_task_fn *fn, void *arg, koe_error *err);

/* Weights in a form made from constant data, once for all nodes that ask for the same form of the same data (exporters give one matrix to many
 * nodes). `form` tells the forms apart: kind, sizes. fill() writes `count` floats, 64-byte aligned. NULL when out of memory. The source must stay
 * where it is until the last release. Threads: any. */
typedef struct koe_form {
    char kind[8];
    size_t a, b, c, d;
} koe_form;
typedef void koe_fill_fn(void *arg, float *out);
const float *koe_shared_acquire(const void *source, const koe_form *form, size_t count, koe_fill_fn *fill, void *arg);
/* NULL is fine. */
void koe_shared_release(const float *weights);

/* Room for n floats (at least one), 64-byte aligned, for free(); NULL when out of memory. */
float *koe_weights_alloc(size_t n);
#endif
