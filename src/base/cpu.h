/* cpu.h - what this processor can do, and what the operating system lets us use of it. */
#ifndef KOE_BASE_CPU_H
#define KOE_BASE_CPU_H
#include "base/status.h"

enum {
    KOE_CPU_AVX2 = 1 << 0, /* with FMA and F16C */
    KOE_CPU_AVX512 = 1 << 1, /* F, BW, DQ, VL */
    KOE_CPU_VNNI = 1 << 2, /* AVX512-VNNI */
    KOE_CPU_BF16 = 1 << 3, /* AVX512-BF16 */
    KOE_CPU_AVX_VNNI = 1 << 4,
    KOE_CPU_NEON = 1 << 5,
};

/* Set of KOE_CPU_*, after the restriction that $KOE_CPU (ref, avx2, avx512) or koe_cpu_restrict() asks for.
 * Threads: any. Reads the environment once. */
unsigned koe_cpu_features(void);
/* `name`: ref, avx2 or avx512; KOE_E_ARGUMENT when unknown, KOE_E_UNSUPPORTED when this machine has not got it. Must come
 * before the first model is loaded: packed weights are laid out for one instruction set. */
koe_status koe_cpu_restrict(const char *name, koe_error *err);
/* "avx512", "avx2" or "ref": the widest set in use. */
const char *koe_cpu_name(void);
/* Cores this process may use: affinity mask and cgroup cpu.max (rounded up) considered; at least 1. */
int koe_cpu_count(void);
#endif
