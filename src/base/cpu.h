/* cpu.h - what this processor can do, and what the operating system lets us use of it. */
#ifndef KOE_BASE_CPU_H
#define KOE_BASE_CPU_H
#include <stddef.h>

#include "base/status.h"

enum {
    KOE_CPU_AVX2 = 1 << 0, /* with FMA and F16C */
    KOE_CPU_AVX512 = 1 << 1, /* F, BW, DQ, VL */
    KOE_CPU_VNNI = 1 << 2, /* AVX512-VNNI */
    KOE_CPU_BF16 = 1 << 3, /* AVX512-BF16 */
    KOE_CPU_AVX_VNNI = 1 << 4,
    KOE_CPU_NEON = 1 << 5,
    KOE_CPU_DOTPROD = 1 << 6, /* sdot, udot */
    KOE_CPU_I8MM = 1 << 7, /* usdot; with dotprod */
    KOE_CPU_NEON_BF16 = 1 << 8, /* bfdot */
};

/* Set of KOE_CPU_*, after the restriction that $KOE_CPU (a name as below) or koe_cpu_restrict() asks for.
 * Threads: any. Reads the environment once. */
unsigned koe_cpu_features(void);
/* `name`: ref; avx2, avxvnni or avx512; neon, dotprod or i8mm. KOE_E_ARGUMENT when unknown, KOE_E_UNSUPPORTED when this machine has not
 * got it. Must come before the first model is loaded: packed weights are laid out for one instruction set. */
koe_status koe_cpu_restrict(const char *name, koe_error *err);
/* The names that koe_cpu_restrict() knows here, widest first; NULL past the last, which is "ref". */
const char *koe_cpu_level(size_t i);
/* The widest of them in use. */
const char *koe_cpu_name(void);
/* Cores this process may use: affinity mask and cgroup cpu.max (rounded up) considered; at least 1. */
int koe_cpu_count(void);
#endif
