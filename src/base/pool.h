/* pool.h - one set of worker threads for the process.
 * koe_pool_for() cuts a loop into n tasks; the caller works too. Which thread runs which task varies, so a task must write
 * only what is its own and must not depend on the others: then results are the same on any number of threads. */
#ifndef KOE_BASE_POOL_H
#define KOE_BASE_POOL_H
#include <stddef.h>

#include "base/status.h"

typedef struct koe_pool koe_pool;
typedef void koe_pool_fn(void *arg, size_t task);

/* n_threads counts the caller: 1 starts no thread. n_threads <= 0: koe_cpu_count(). */
koe_status koe_pool_create(koe_pool **out, int n_threads, koe_error *err);
/* No loop may be running. NULL is fine. */
void koe_pool_destroy(koe_pool *pool);
int koe_pool_threads(const koe_pool *pool);
/* Runs fn(arg, 0) ... fn(arg, n_tasks-1) and returns when all are done. pool may be NULL: runs here, in order. Threads: any
 * number of loops may be in flight at once; a task must not start a loop on the same pool. */
void koe_pool_for(koe_pool *pool, size_t n_tasks, koe_pool_fn *fn, void *arg);
#endif
