/* clock.h - monotonic time, for measuring and for deadlines. */
#ifndef KOE_BASE_CLOCK_H
#define KOE_BASE_CLOCK_H
#include <stdint.h>
#include <time.h>

static inline int64_t koe_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline double koe_clock_ms(void) { return (double)koe_clock_ns() / 1e6; }
#endif
