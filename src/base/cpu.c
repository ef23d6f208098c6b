#include "base/cpu.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

static unsigned long long xgetbv0(void)
{
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((unsigned long long)hi << 32) | lo;
}

/* CPUID says what the processor has, XGETBV what the operating system saves on a switch; both are needed. */
static unsigned detect(void)
{
    unsigned a, b, c, d, f = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    bool osxsave = c & (1u << 27), fma = c & (1u << 12), f16c = c & (1u << 29);
    if (!osxsave) return 0;
    unsigned long long xcr0 = xgetbv0();
    bool ymm = (xcr0 & 0x6) == 0x6, zmm = (xcr0 & 0xe6) == 0xe6;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (ymm && fma && f16c && (b & (1u << 5))) f |= KOE_CPU_AVX2;
    const unsigned avx512 = (1u << 16) | (1u << 17) | (1u << 30) | (1u << 31); /* F DQ BW VL */
    if ((f & KOE_CPU_AVX2) && zmm && (b & avx512) == avx512) {
        f |= KOE_CPU_AVX512;
        if (c & (1u << 11)) f |= KOE_CPU_VNNI;
    }
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        if ((f & KOE_CPU_AVX512) && (a & (1u << 5))) f |= KOE_CPU_BF16;
        if ((f & KOE_CPU_AVX2) && (a & (1u << 4))) f |= KOE_CPU_AVX_VNNI;
    }
    return f;
}
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

/* NEON is part of the architecture; the kernel names the rest. */
static unsigned detect(void)
{
    const unsigned long one = getauxval(AT_HWCAP), two = getauxval(AT_HWCAP2);
    unsigned f = KOE_CPU_NEON;
    if (one & HWCAP_ASIMDDP) f |= KOE_CPU_DOTPROD;
    if ((f & KOE_CPU_DOTPROD) && (two & HWCAP2_I8MM)) f |= KOE_CPU_I8MM;
    if (two & HWCAP2_BF16) f |= KOE_CPU_NEON_BF16;
    return f;
}
#else
static unsigned detect(void) { return 0; }
#endif

/* Widest first. `mask`: what a level leaves in use. */
static const struct {
    const char *name;
    unsigned mask, needs;
} levels[] = {
#if defined(__x86_64__)
    { "avx512", ~0u, KOE_CPU_AVX512 },
    { "avxvnni", KOE_CPU_AVX2 | KOE_CPU_AVX_VNNI, KOE_CPU_AVX2 | KOE_CPU_AVX_VNNI },
    { "avx2", KOE_CPU_AVX2, KOE_CPU_AVX2 },
#elif defined(__aarch64__)
    { "i8mm", ~0u, KOE_CPU_NEON | KOE_CPU_DOTPROD | KOE_CPU_I8MM },
    { "dotprod", KOE_CPU_NEON | KOE_CPU_DOTPROD, KOE_CPU_NEON | KOE_CPU_DOTPROD },
    { "neon", KOE_CPU_NEON, KOE_CPU_NEON },
#endif
    { "ref", 0, 0 },
};
enum { N_LEVELS = sizeof levels / sizeof *levels };

static _Atomic long features = -1;

koe_status koe_cpu_restrict(const char *name, koe_error *err)
{
    unsigned have = detect();
    for (int i = 0; i < N_LEVELS; i++) {
        if (strcmp(name, levels[i].name) != 0) continue;
        if ((have & levels[i].needs) != levels[i].needs)
            return koe_fail(err, KOE_E_UNSUPPORTED, "this processor has no %s", name);
        features = (long)(have & levels[i].mask);
        return KOE_OK;
    }
    char names[64] = "";
    for (int i = 0; i < N_LEVELS; i++) snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", levels[i].name);
    return koe_fail(err, KOE_E_ARGUMENT, "unknown instruction set '%s': use one of %s", name, names);
}

const char *koe_cpu_level(size_t i) { return i < N_LEVELS ? levels[i].name : NULL; }

unsigned koe_cpu_features(void)
{
    long f = features;
    if (f >= 0) return (unsigned)f;
    const char *env = getenv("KOE_CPU");
    koe_error err = { 0 };
    if (env && *env && koe_cpu_restrict(env, &err) == KOE_OK) return (unsigned)features;
    if (err.status) fprintf(stderr, "koe: KOE_CPU: %s\n", err.message);
    features = (long)detect();
    return (unsigned)features;
}

const char *koe_cpu_name(void)
{
    unsigned f = koe_cpu_features();
    for (int i = 0; i < N_LEVELS; i++)
        if ((f & levels[i].needs) == levels[i].needs) return levels[i].name;
    return "ref";
}

/* cpu.max of one folder of cgroup v2 in processors, rounded up; INT_MAX when it sets no limit. */
static int quota_of(const char *folder)
{
    char path[4200];
    double quota, period;
    int limit = INT_MAX;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder);
    FILE *f = fopen(path, "r");
    if (!f) return limit;
    if (fscanf(f, "%lf %lf", &quota, &period) == 2 && period > 0 && quota > 0 && quota / period < 1e6)
        limit = (int)((quota + period - 1) / period);
    fclose(f);
    return limit;
}

/* The least of this process's own cgroup and those around it: a systemd service has its own below the root. */
static int quota(void)
{
    char line[4200], *path = NULL;
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && !path && fgets(line, sizeof line, f))
        if (strncmp(line, "0::/", 4) == 0) path = line + 3;
    if (f) fclose(f);
    int least = quota_of("");
    if (path) path[strcspn(path, "\n")] = 0;
    for (char *slash; path && (slash = strrchr(path, '/')); *slash = 0) {
        const int limit = quota_of(path);
        if (limit < least) least = limit;
    }
    return least;
}

int koe_cpu_count(void)
{
    int n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    const int limit = quota();
    if (limit < n) n = limit;
    return n > 0 ? n : 1;
}
