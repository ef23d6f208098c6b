/* process.h - the memory of this process: what it has resident, and what it should stay under. Threads: any. */
#ifndef KOE_BASE_PROCESS_H
#define KOE_BASE_PROCESS_H
#include <stddef.h>

/* Bytes resident now; 0 where the system does not say. */
size_t koe_process_bytes(void);
/* Bytes that this process should not exceed: what koe_process_limit_set() said, else $KOE_MEMORY_LIMIT (MB), else nine tenths of the cgroup's
 * memory.max; 0: no limit. Runs of models obey it: they keep fewer weights in memory, and fail with KOE_E_LIMIT rather than exceed it. */
size_t koe_process_limit(void);
/* 0: as if it had not been called. */
void koe_process_limit_set(size_t n_bytes);
#endif
