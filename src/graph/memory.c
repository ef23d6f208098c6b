#include "graph/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define PLAIN_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLAIN_MALLOC 1
#endif
#endif
#ifndef PLAIN_MALLOC
#define PLAIN_MALLOC 0
#endif

enum { ALIGN = 64, SMALL_MAX = 4096, N_CLASS = 7, CHUNK = 64 * 1024 };
#define HUGE_PAGE ((size_t)2 << 20) /* one fault instead of 512, where the system has them */
#define GRAIN ((size_t)256 << 10) /* pages are given back in these */
#define GROW_BYTES ((size_t)4 << 20)
#define SLACK_BYTES ((size_t)2 << 20) /* that may be resident beyond the peak of live bytes */
#define MIDDLE_SLACK_BYTES ((size_t)16 << 20) /* the same for a run of middling size: huge pages that stay whole are worth 3 % of its time */
#define LARGE_RUN_BYTES ((size_t)128 << 20)
/* A run with a smaller peak may hold twice the peak, if it has no limit that forbids it: pages that come and go cost Piper 8 to 12 % of its time. */
#define SMALL_RUN_BYTES ((size_t)48 << 20)

/* n bytes of addresses, a multiple of HUGE_PAGE, from a multiple of it on; NULL when there are none. */
static char *reserve(size_t n)
{
    char *p = mmap(NULL, n + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    const size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before) munmap(p, before);
    munmap(p + before + n, HUGE_PAGE - before);
    return p + before;
}

/* A free range of the reservation. */
typedef struct range {
    size_t at, n;
} range;

struct koe_memory {
    char *base; /* reserved addresses */
    size_t reserved, committed, top; /* [0, committed) may be touched, [top, reserved) was never handed out */
    range *free; /* sorted by address, no two adjacent */
    size_t n_free, cap_free;
    void *small[N_CLASS]; /* free blocks of 64 << class bytes, linked through their first word */
    struct koe_buffer *headers;
    struct koe_buffer **header_block;
    size_t n_header_block;
    size_t live, peak, limit;
    unsigned char *touched; /* [reserved / GRAIN]: holds pages */
    size_t resident; /* bytes of touched grains */
};

koe_status koe_memory_create(koe_memory **out, koe_error *err)
{
    koe_memory *m = calloc(1, sizeof *m);
    if (!m) return koe_fail(err, KOE_E_NOMEM, "memory of a run");
    if (!PLAIN_MALLOC) {
        for (m->reserved = (size_t)64 << 30; !(m->base = reserve(m->reserved)) && m->reserved > (size_t)64 << 20;) m->reserved /= 2;
        m->touched = m->base ? calloc(m->reserved / GRAIN, 1) : NULL;
        if (!m->touched) {
            koe_memory_destroy(m);
            return koe_fail(err, KOE_E_NOMEM, "no address space for a run");
        }
    }
    *out = m;
    return KOE_OK;
}

void koe_memory_destroy(koe_memory *m)
{
    if (!m) return;
    if (m->base) munmap(m->base, m->reserved);
    for (size_t i = 0; i < m->n_header_block; i++) free(m->header_block[i]);
    free(m->header_block);
    free(m->free);
    free(m->touched);
    free(m);
}

void koe_memory_set_limit(koe_memory *m, size_t n_bytes) { m->limit = n_bytes; }
size_t koe_memory_peak(const koe_memory *m) { return m->peak; }
size_t koe_memory_resident(const koe_memory *m) { return PLAIN_MALLOC ? m->live : m->resident; }

static struct koe_buffer *take_header(koe_memory *m)
{
    enum { PER_BLOCK = 256 };
    if (!m->headers) {
        struct koe_buffer **list = realloc(m->header_block, (m->n_header_block + 1) * sizeof *list);
        if (!list) return NULL;
        m->header_block = list;
        struct koe_buffer *block = calloc(PER_BLOCK, sizeof *block);
        if (!block) return NULL;
        m->header_block[m->n_header_block++] = block;
        for (int i = 0; i < PER_BLOCK; i++) {
            block[i].next = m->headers;
            m->headers = &block[i];
        }
    }
    struct koe_buffer *b = m->headers;
    m->headers = b->next;
    return b;
}

/* Gives pages of free ranges back to the system until at most `most` bytes are resident, or no more can be given. */
static void trim(koe_memory *m, size_t most)
{
    for (size_t i = m->n_free; i-- > 0 && m->resident > most;) {
        const size_t first = (m->free[i].at + GRAIN - 1) / GRAIN, end = (m->free[i].at + m->free[i].n) / GRAIN;
        for (size_t g = first, run; g < end && m->resident > most; g += run) {
            for (run = 0; g + run < end && m->touched[g + run]; run++) m->touched[g + run] = 0;
            if (run) madvise(m->base + g * GRAIN, run * GRAIN, MADV_DONTNEED);
            if (run && m->peak >= LARGE_RUN_BYTES) madvise(m->base + g * GRAIN, run * GRAIN, MADV_NOHUGEPAGE); /* what comes back is no more than what is used */
            m->resident -= run * GRAIN;
            while (g + run < end && !m->touched[g + run]) run++;
        }
    }
}

void koe_memory_trim(koe_memory *m, size_t most)
{
    if (!PLAIN_MALLOC) trim(m, most);
}

/* A range is about to be written to. Its pages take the place of others that lie in free ranges too small for it: what is resident
 * stays near the peak of live bytes, whatever the gaps. */
static void touch(koe_memory *m, size_t at, size_t n)
{
    for (size_t g = at / GRAIN; g <= (at + n - 1) / GRAIN; g++) {
        m->resident += m->touched[g] ? 0 : GRAIN;
        m->touched[g] = 1;
    }
    const size_t live = m->live + n, peak = live > m->peak ? live : m->peak;
    const bool roomy = peak > SLACK_BYTES && peak < SMALL_RUN_BYTES && (!m->limit || 2 * peak < m->limit);
    const size_t slack = roomy ? peak : peak < LARGE_RUN_BYTES && peak > SMALL_RUN_BYTES && !m->limit ? MIDDLE_SLACK_BYTES : SLACK_BYTES;
    if (m->resident > peak + slack) trim(m, peak);
}

/* Best fit among the free ranges; else the top, which grows. Returns SIZE_MAX when out of memory. n is a multiple of ALIGN. */
static size_t take_range(koe_memory *m, size_t n)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < m->n_free; i++)
        if (m->free[i].n >= n && (best == SIZE_MAX || m->free[i].n < m->free[best].n)) best = i;
    if (best != SIZE_MAX) {
        size_t at = m->free[best].at;
        m->free[best].at += n;
        m->free[best].n -= n;
        if (m->free[best].n == 0) {
            m->n_free--;
            memmove(&m->free[best], &m->free[best + 1], (m->n_free - best) * sizeof *m->free);
        }
        touch(m, at, n);
        return at;
    }
    size_t at = m->top;
    if (m->n_free && m->free[m->n_free - 1].at + m->free[m->n_free - 1].n == m->top) at = m->free[--m->n_free].at;
    if (n > m->reserved - at) return SIZE_MAX;
    size_t end = at + n;
    if (end > m->committed) {
        size_t grow = ((end - m->committed) + GROW_BYTES - 1) & ~(GROW_BYTES - 1);
        if (grow > m->reserved - m->committed) grow = m->reserved - m->committed;
        if (mprotect(m->base + m->committed, grow, PROT_READ | PROT_WRITE) != 0) return SIZE_MAX;
        madvise(m->base + m->committed, grow, MADV_HUGEPAGE); /* where there are none: no harm */
        m->committed += grow;
    }
    m->top = end;
    touch(m, at, n);
    return at;
}

static void give_range(koe_memory *m, size_t at, size_t n)
{
    size_t lo = 0, hi = m->n_free; /* first range behind `at` */
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (m->free[mid].at < at) lo = mid + 1;
        else hi = mid;
    }
    bool joins_left = lo > 0 && m->free[lo - 1].at + m->free[lo - 1].n == at;
    bool joins_right = lo < m->n_free && at + n == m->free[lo].at;
    if (joins_left && joins_right) {
        m->free[lo - 1].n += n + m->free[lo].n;
        m->n_free--;
        memmove(&m->free[lo], &m->free[lo + 1], (m->n_free - lo) * sizeof *m->free);
    } else if (joins_left) m->free[lo - 1].n += n;
    else if (joins_right) {
        m->free[lo].at = at;
        m->free[lo].n += n;
    } else {
        if (m->n_free == m->cap_free) {
            size_t cap = m->cap_free ? m->cap_free * 2 : 64;
            range *list = realloc(m->free, cap * sizeof *list);
            if (!list) return; /* the range is lost until the run ends, nothing else */
            m->free = list;
            m->cap_free = cap;
        }
        memmove(&m->free[lo + 1], &m->free[lo], (m->n_free - lo) * sizeof *m->free);
        m->free[lo] = (range){ at, n };
        m->n_free++;
    }
}

static int size_class(size_t n)
{
    int k = 0;
    while (((size_t)ALIGN << k) < n) k++;
    return k;
}

static void *take_small(koe_memory *m, size_t n)
{
    int k = size_class(n);
    if (!m->small[k]) {
        size_t at = take_range(m, CHUNK), step = (size_t)ALIGN << k;
        if (at == SIZE_MAX) return NULL;
        for (size_t i = 0; i < CHUNK / step; i++) {
            void *p = m->base + at + i * step;
            *(void **)p = m->small[k];
            m->small[k] = p;
        }
    }
    void *p = m->small[k];
    m->small[k] = *(void **)p;
    return p;
}

static void *take(koe_memory *m, size_t n)
{
    if (PLAIN_MALLOC) return aligned_alloc(ALIGN, (n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
    if (n <= SMALL_MAX) return take_small(m, n);
    size_t at = take_range(m, (n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
    return at == SIZE_MAX ? NULL : m->base + at;
}

koe_status koe_memory_alloc(koe_memory *m, size_t n_bytes, struct koe_buffer **out, koe_error *err)
{
    if (n_bytes > SIZE_MAX / 4) return koe_fail(err, KOE_E_LIMIT, "a tensor of %zu bytes", n_bytes);
    if (m->limit && n_bytes > m->limit - (m->live < m->limit ? m->live : m->limit))
        return koe_fail(err, KOE_E_LIMIT, "the memory limit of %zu MB is reached: %zu bytes more are needed", m->limit >> 20, n_bytes);
    struct koe_buffer *b = take_header(m);
    void *p = b ? take(m, n_bytes ? n_bytes : 1) : NULL;
    if (!p) {
        if (b) {
            b->next = m->headers;
            m->headers = b;
        }
        return koe_fail(err, KOE_E_NOMEM, "no memory for a tensor of %zu bytes", n_bytes);
    }
    *b = (struct koe_buffer){ .refs = 1, .n_bytes = n_bytes, .p = p, .memory = m };
    m->live += n_bytes;
    if (m->live > m->peak) m->peak = m->live;
    *out = b;
    return KOE_OK;
}

void koe_buffer_unref(struct koe_buffer *b)
{
    if (!b || --b->refs > 0) return;
    koe_memory *m = b->memory;
    size_t n = b->n_bytes ? b->n_bytes : 1;
    m->live -= b->n_bytes;
    if (PLAIN_MALLOC) free(b->p);
    else if (n <= SMALL_MAX) {
        int k = size_class(n);
        *(void **)b->p = m->small[k];
        m->small[k] = b->p;
    } else
        give_range(m, (size_t)((char *)b->p - m->base), (n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
    b->next = m->headers;
    m->headers = b;
}
