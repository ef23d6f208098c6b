#include "graph/weights.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

enum { HEADER_BYTES = 48, ENTRY_BYTES = 24, ALIGN = 64, LARGE = 64 * 1024 };
static const char magic[] = "KOEPACK1";

typedef struct entry {
    unsigned node, part;
    size_t n;
    void *p;
    bool mapped; /* in the file */
    bool own; /* LARGE, and whole pages of their own, which koe_weights_save() maps from the file that it writes */
    bool kept; /* counted in koe_weights.kept */
} entry;

struct koe_weights {
    entry *entry;
    size_t n, cap;
    koe_mapping file;
    void **temp;
    size_t n_temp, cap_temp;
    pthread_mutex_t lock; /* guards kept, of the entries too, once runs share the weights */
    size_t kept; /* bytes of mapped parts that stay in memory between their uses */
};

koe_status koe_weights_create(koe_weights **out, koe_error *err)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return koe_fail(err, KOE_E_NOMEM, "weights");
    pthread_mutex_init(&(*out)->lock, NULL);
    return KOE_OK;
}

/* Memory of a part that is not in the file mapped at the start. */
static void release(entry *e)
{
    if (e->own) munmap(e->p, e->n);
    else if (!e->mapped) free(e->p);
}

void koe_weights_destroy(koe_weights *w)
{
    if (!w) return;
    koe_weights_end(w);
    for (size_t i = 0; i < w->n; i++) release(&w->entry[i]);
    koe_file_unmap(&w->file);
    pthread_mutex_destroy(&w->lock);
    free(w->entry);
    free(w->temp);
    free(w);
}

/* Entries are sorted by node, then part: nodes are prepared in the order of their ids but for a few. */
static size_t find(const koe_weights *w, unsigned node, unsigned part)
{
    size_t lo = 0, hi = w->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const entry *e = &w->entry[mid];
        if (e->node < node || (e->node == node && e->part < part)) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static entry *insert(koe_weights *w, size_t at, entry e)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 256;
        entry *list = realloc(w->entry, cap * sizeof *list);
        if (!list) return NULL;
        w->entry = list;
        w->cap = cap;
    }
    memmove(&w->entry[at + 1], &w->entry[at], (w->n - at) * sizeof e);
    w->entry[at] = e;
    w->n++;
    return &w->entry[at];
}

static void *make_room(size_t n)
{
    if (n > SIZE_MAX - ALIGN) return NULL;
    if (n < LARGE) return aligned_alloc(ALIGN, n ? (n + ALIGN - 1) / ALIGN * ALIGN : ALIGN);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

koe_status koe_weights_get(koe_weights *w, unsigned node, unsigned part, size_t n_bytes, void **out, bool *ready, koe_error *err)
{
    size_t at = find(w, node, part);
    bool known = at < w->n && w->entry[at].node == node && w->entry[at].part == part;
    if (known && w->entry[at].n != n_bytes) /* a packed file made by other code; its key should have told */
        return koe_fail(err, KOE_E_FORMAT, "packed weights of node %u have %zu bytes, expected %zu", node, w->entry[at].n, n_bytes);
    *ready = known;
    if (!known) {
        entry fresh = { .node = node, .part = part, .n = n_bytes, .own = n_bytes >= LARGE };
        fresh.p = make_room(n_bytes);
        if (!fresh.p || !insert(w, at, fresh)) {
            if (fresh.p) release(&fresh);
            return koe_fail(err, KOE_E_NOMEM, "%zu bytes of packed weights", n_bytes);
        }
    }
    *out = w->entry[at].p;
    return KOE_OK;
}

void koe_weights_drop(koe_weights *w, unsigned node)
{
    size_t from = find(w, node, 0), to = from;
    for (; to < w->n && w->entry[to].node == node; to++)
        release(&w->entry[to]);
    if (to == from) return;
    memmove(&w->entry[from], &w->entry[to], (w->n - to) * sizeof *w->entry);
    w->n -= to - from;
}

void *koe_weights_temp(koe_weights *w, size_t n_bytes)
{
    if (w->n_temp == w->cap_temp) {
        size_t cap = w->cap_temp ? w->cap_temp * 2 : 16;
        void **list = realloc(w->temp, cap * sizeof *list);
        if (!list) return NULL;
        w->temp = list;
        w->cap_temp = cap;
    }
    void *p = n_bytes > SIZE_MAX - ALIGN ? NULL : aligned_alloc(ALIGN, (n_bytes + ALIGN) / ALIGN * ALIGN);
    if (p) w->temp[w->n_temp++] = p;
    return p;
}

void koe_weights_end(koe_weights *w)
{
    while (w->n_temp) free(w->temp[--w->n_temp]);
}

static uint64_t read_number(const unsigned char *p, int n_bytes)
{
    uint64_t v = 0;
    for (int i = n_bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static bool read_entries(koe_weights *w, const koe_mapping *f, const unsigned char key[32])
{
    if (f->n < HEADER_BYTES || memcmp(f->p, magic, 8) != 0 || memcmp(f->p + 16, key, 32) != 0) return false;
    size_t n = (size_t)read_number(f->p + 8, 4);
    if (n > (f->n - HEADER_BYTES) / ENTRY_BYTES) return false;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *e = f->p + HEADER_BYTES + i * ENTRY_BYTES;
        uint64_t offset = read_number(e + 8, 8), bytes = read_number(e + 16, 8);
        if (offset > f->n || bytes > f->n - offset || offset % ALIGN) return false;
        entry fresh = { .node = (unsigned)read_number(e, 4), .part = (unsigned)read_number(e + 4, 4), .n = (size_t)bytes,
                        .p = (void *)(uintptr_t)(f->p + offset), .mapped = true };
        size_t at = find(w, fresh.node, fresh.part);
        if (at < w->n || !insert(w, at, fresh)) return false; /* they are written in order */
    }
    return true;
}

bool koe_weights_map(koe_weights *w, const char *path, const unsigned char key[32])
{
    koe_mapping f;
    koe_error err = { 0 };
    if (koe_file_map(&f, path, &err) != KOE_OK) {
        koe_log(KOE_LOG_DEBUG, "no packed weights: %s", err.message);
        return false;
    }
    if (read_entries(w, &f, key)) {
        w->file = f;
        return true;
    }
    koe_log(KOE_LOG_DEBUG, "%s: packed for another model, machine or setting", path);
    w->n = 0;
    koe_file_unmap(&f);
    return false;
}

bool koe_weights_all_mapped(const koe_weights *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (!w->entry[i].mapped) return false;
    return w->file.n > 0;
}

/* The whole pages of a mapped part: read-only and private, so nothing is lost, not even for a run that reads them at this moment. */
static void give_back(koe_weights *w, entry *e)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)e->p;
    const uintptr_t from = (at + page - 1) / page * page, to = (at + e->n) / page * page;
    if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
    if (e->kept) w->kept -= e->n;
    e->kept = false;
}

/* Gives back parts from entry `first` on, the last ones before the others, until no more than `most` bytes are kept. */
static void make_way(koe_weights *w, size_t first, size_t most)
{
    for (size_t i = w->n; i-- > first && w->kept > most;)
        if (w->entry[i].kept) give_back(w, &w->entry[i]);
}

void koe_weights_passed(koe_weights *w, unsigned node, size_t most)
{
    pthread_mutex_lock(&w->lock);
    for (size_t i = find(w, node, 0); i < w->n && w->entry[i].node == node; i++) {
        entry *e = &w->entry[i];
        if (!e->mapped || e->kept) continue;
        if (e->n <= most) make_way(w, i + 1, most - e->n);
        if (e->n > most || w->kept > most - e->n) give_back(w, e);
        else {
            e->kept = true;
            w->kept += e->n;
        }
    }
    make_way(w, 0, most);
    pthread_mutex_unlock(&w->lock);
}

void koe_weights_trim(koe_weights *w, size_t most)
{
    pthread_mutex_lock(&w->lock);
    make_way(w, 0, most);
    pthread_mutex_unlock(&w->lock);
}

size_t koe_weights_kept(koe_weights *w)
{
    pthread_mutex_lock(&w->lock);
    const size_t kept = w->kept;
    pthread_mutex_unlock(&w->lock);
    return kept;
}

static void put_number(koe_buf *b, uint64_t v, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++) koe_buf_addc(b, (char)(v >> (8 * i)));
}

static bool write_at(int fd, const void *data, size_t n, size_t at) { return lseek(fd, (off_t)at, SEEK_SET) >= 0 && koe_write_all(fd, data, n); }

/* Where part e goes that may begin at `at`: large ones on a page. */
static size_t place(const entry *e, size_t at)
{
    const size_t align = e->n >= LARGE ? (size_t)sysconf(_SC_PAGESIZE) : ALIGN;
    return (at + align - 1) / align * align;
}

/* Large parts from now on come from the file that holds them, in the place where they are, so that their pages can be given back. */
static void adopt(koe_weights *w, int fd, size_t at)
{
    for (size_t i = 0; i < w->n; at += w->entry[i++].n) {
        entry *e = &w->entry[i];
        at = place(e, at);
        if (e->own && !e->mapped && mmap(e->p, e->n, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, (off_t)at) == e->p) e->mapped = true;
    }
}

koe_status koe_weights_save(koe_weights *w, const char *path, const unsigned char key[32], koe_error *err)
{
    koe_buf head = { 0 };
    size_t at = (HEADER_BYTES + w->n * ENTRY_BYTES + ALIGN - 1) / ALIGN * ALIGN, first = at;
    koe_buf_adds(&head, magic);
    put_number(&head, w->n, 4);
    put_number(&head, 0, 4);
    koe_buf_add(&head, key, 32);
    for (size_t i = 0; i < w->n; i++) {
        const entry *e = &w->entry[i];
        put_number(&head, e->node, 4);
        put_number(&head, e->part, 4);
        at = place(e, at);
        put_number(&head, at, 8);
        put_number(&head, e->n, 8);
        at += e->n;
    }
    koe_file_draft file;
    koe_status st = head.failed ? koe_fail(err, KOE_E_NOMEM, "packed weights") : koe_file_begin(&file, path, err);
    if (st == KOE_OK) {
        bool ok = write_at(file.fd, head.data, head.n, 0);
        at = first;
        for (size_t i = 0; ok && i < w->n; i++) {
            at = place(&w->entry[i], at);
            ok = write_at(file.fd, w->entry[i].p, w->entry[i].n, at);
            at += w->entry[i].n;
        }
        ok = ok && ftruncate(file.fd, (off_t)at) == 0;
        if (ok) adopt(w, file.fd, first);
        st = koe_file_end(&file, ok, err);
    }
    koe_buf_free(&head);
    return st == KOE_OK ? st : koe_error_wrap(err, st, "packed weights");
}
