#include "base/process.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic size_t limit_set;

/* Whole numbers of a file's first line: how many of at most n were read. */
static int read_numbers(const char *path, unsigned long long *out, int n)
{
    FILE *f = fopen(path, "re");
    int done = 0;
    while (f && done < n && fscanf(f, "%llu", &out[done]) == 1) done++;
    if (f) fclose(f);
    return done;
}

size_t koe_process_bytes(void)
{
    unsigned long long pages[2]; /* of addresses, and resident */
    return read_numbers("/proc/self/statm", pages, 2) == 2 ? (size_t)pages[1] * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* "max" is no number. Version 1 writes a huge one for no limit. */
static size_t cgroup_limit(void)
{
    static const char *const files[] = { "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        unsigned long long n;
        if (read_numbers(files[i], &n, 1) == 1 && n < (unsigned long long)1 << 60) return (size_t)(n / 10 * 9);
    }
    return 0;
}

size_t koe_process_limit(void)
{
    enum { MB_MAX = 1 << 30 };
    const size_t set = atomic_load(&limit_set);
    if (set) return set;
    const char *text = getenv("KOE_MEMORY_LIMIT");
    char *end = NULL;
    const unsigned long long mb = text ? strtoull(text, &end, 10) : 0;
    return text && end != text && !*end && mb > 0 && mb <= MB_MAX ? (size_t)mb << 20 : cgroup_limit();
}

void koe_process_limit_set(size_t n_bytes) { atomic_store(&limit_set, n_bytes); }
