/* failing_alloc.h - allocations that fail on demand, for tests linked with
 * --wrap=malloc,--wrap=calloc,--wrap=aligned_alloc,--wrap=realloc (as tests/voice/meson.build does). Libraries keep theirs. */
#ifndef KOE_TESTS_FAILING_ALLOC_H
#define KOE_TESTS_FAILING_ALLOC_H
#include <stdbool.h>
#include <stddef.h>

static long allocations_left = -1; /* until one fails, and every later one; -1: no limit */

static bool may_allocate(void) { return allocations_left < 0 || (allocations_left > 0 && allocations_left-- > 0); }

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n) { return may_allocate() ? __real_malloc(n) : NULL; }
void *__wrap_calloc(size_t n, size_t size) { return may_allocate() ? __real_calloc(n, size) : NULL; }
void *__wrap_aligned_alloc(size_t align, size_t n) { return may_allocate() ? __real_aligned_alloc(align, n) : NULL; }
void *__wrap_realloc(void *p, size_t n) { return may_allocate() ? __real_realloc(p, n) : NULL; }
#endif
