/* cache.c - see cache.h. */
#include "server/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "server/redis.h"

enum { MAX_QUEUED_BYTES = 64 << 20 /* waiting to be written; more is not written */ };
enum { N_BUCKETS = 1 << 14, ENTRY_BYTES = 512 /* of bookkeeping, about */, KEY_DIGITS = 64, MAX_HEAD_BYTES = 2048 };
static const char magic[] = "KOEC1\n";

typedef struct entry {
    koe_answer *answer;
    size_t n_bytes;
    time_t made;
    struct entry *in_bucket, *newer, *older;
} entry;

struct koe_cache {
    koe_cache_setup setup;
    char *dir; /* NULL: no disk tier */
    pthread_mutex_t lock; /* guards all below */
    entry *bucket[N_BUCKETS];
    struct lru {
        entry *newest, *oldest;
        size_t n_bytes;
    } used[2]; /* answers, pieces */
    koe_cache_stats stats;
    struct written {
        koe_answer *answer;
        struct written *next;
    } *first, *last; /* to be written */
    size_t queued_bytes;
    bool stop, purge_far;
    unsigned n_purges;
    bool has_writer;
    pthread_cond_t work;
    pthread_t writer;
    bool sweeping; /* somebody removes old files */
    bool said_failed; /* that the disk cannot be written was logged */
};

/* ---- memory --------------------------------------------------------------------------------------------------------------------- */

static size_t bucket_of(const char *key)
{
    unsigned n = 0;
    for (size_t i = 0; i < 8 && key[i]; i++) n = n << 4 | (((unsigned)key[i] & 15) + (key[i] >= 'a' ? 9 : 0));
    return n % N_BUCKETS;
}

static entry **find_entry(koe_cache *c, const char *key)
{
    entry **at = &c->bucket[bucket_of(key)];
    while (*at && strcmp((*at)->answer->key, key) != 0) at = &(*at)->in_bucket;
    return at;
}

static struct lru *lru_of(koe_cache *c, const entry *e) { return &c->used[strcmp(e->answer->about.type, KOE_CACHE_PIECE) == 0]; }

static void unlink_used(struct lru *l, entry *e)
{
    *(e->newer ? &e->newer->older : &l->newest) = e->older;
    *(e->older ? &e->older->newer : &l->oldest) = e->newer;
}

static void link_newest(struct lru *l, entry *e)
{
    e->newer = NULL;
    e->older = l->newest;
    *(l->newest ? &l->newest->newer : &l->oldest) = e;
    l->newest = e;
}

/* The caller frees what comes back, without the lock. */
static entry *take_out(koe_cache *c, entry **at)
{
    entry *e = *at;
    struct lru *l = lru_of(c, e);
    *at = e->in_bucket;
    unlink_used(l, e);
    l->n_bytes -= e->n_bytes;
    c->stats.memory_bytes -= e->n_bytes;
    c->stats.memory_entries--;
    return e;
}

/* What goes first: the piece used longest ago while pieces have more than half of the room, else the answer. */
static entry *next_out(koe_cache *c)
{
    struct lru *answers = &c->used[0], *pieces = &c->used[1];
    const bool piece = pieces->oldest && (pieces->n_bytes > c->setup.memory_bytes / 2 || !answers->oldest);
    return piece ? pieces->oldest : answers->oldest;
}

static void free_entries(entry *e)
{
    while (e) {
        entry *next = e->in_bucket;
        koe_answer_unref(e->answer);
        free(e);
        e = next;
    }
}

static bool too_old(const koe_cache *c, time_t made) { return c->setup.age_s && time(NULL) - made > c->setup.age_s; }

static koe_answer *find_in_memory(koe_cache *c, const char *key)
{
    koe_answer *a = NULL;
    entry *old = NULL;
    pthread_mutex_lock(&c->lock);
    entry **at = find_entry(c, key);
    if (*at && too_old(c, (*at)->made)) {
        old = take_out(c, at);
        old->in_bucket = NULL;
    } else if (*at) {
        struct lru *l = lru_of(c, *at);
        unlink_used(l, *at);
        link_newest(l, *at);
        a = koe_answer_ref((*at)->answer);
        if (l == &c->used[0]) c->stats.hits_memory++;
    }
    pthread_mutex_unlock(&c->lock);
    free_entries(old);
    return a;
}

static void keep_in_memory(koe_cache *c, koe_answer *a, time_t made)
{
    const size_t n = a->bytes.cap + ENTRY_BYTES;
    entry *gone = NULL, *e = n <= c->setup.memory_bytes ? calloc(1, sizeof *e) : NULL;
    if (!e) return;
    *e = (entry){ .answer = koe_answer_ref(a), .n_bytes = n, .made = made };
    pthread_mutex_lock(&c->lock);
    entry **at = find_entry(c, a->key);
    if (*at) {
        gone = e; /* somebody was faster */
    } else {
        e->in_bucket = *at;
        *at = e;
        link_newest(lru_of(c, e), e);
        lru_of(c, e)->n_bytes += n;
        c->stats.memory_bytes += n;
        c->stats.memory_entries++;
        while (c->stats.memory_bytes > c->setup.memory_bytes && next_out(c) != e) {
            entry *out = take_out(c, find_entry(c, next_out(c)->answer->key));
            out->in_bucket = gone;
            gone = out;
            c->stats.evictions_memory++;
        }
    }
    pthread_mutex_unlock(&c->lock);
    free_entries(gone);
}

/* ---- disk -------------------------------------------------------------------------------------------------------------------------- */

static void path_of(const koe_cache *c, const char *key, char *out, size_t cap) { snprintf(out, cap, "%s/%.2s/%s", c->dir, key, key); }

static void count_disk(koe_cache *c, int64_t bytes, int64_t entries)
{
    pthread_mutex_lock(&c->lock);
    c->stats.disk_bytes = bytes < 0 && c->stats.disk_bytes < (uint64_t)-bytes ? 0 : c->stats.disk_bytes + (uint64_t)bytes;
    c->stats.disk_entries = entries < 0 && !c->stats.disk_entries ? 0 : c->stats.disk_entries + (uint64_t)entries;
    pthread_mutex_unlock(&c->lock);
}

static void text_field(char *out, size_t cap, const json_t *j, const char *name)
{
    const char *text = json_string_value(json_object_get(j, name));
    snprintf(out, cap, "%s", text ? text : "");
}

/* The answer in an entry's bytes; NULL when it is damaged. */
static koe_answer *decode(const koe_buf *file, const char *key, time_t *made)
{
    char digest[KOE_DIGEST_TEXT];
    const size_t head_at = sizeof magic - 1 + KEY_DIGITS + 1;
    if (file->n < head_at || memcmp(file->data, magic, sizeof magic - 1) != 0) return NULL;
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    koe_digest_add(&d, file->data + head_at, file->n - head_at);
    koe_digest_text(&d, digest);
    if (memcmp(digest, file->data + sizeof magic - 1, KEY_DIGITS) != 0) return NULL;
    const char *end = memchr(file->data + head_at, '\n', file->n - head_at);
    json_t *j = end ? json_loadb(file->data + head_at, (size_t)(end - file->data) - head_at, 0, NULL) : NULL;
    koe_answer *a = j && strcmp(key, json_string_value(json_object_get(j, "key")) ? json_string_value(json_object_get(j, "key")) : "") == 0
                        ? koe_answer_create(key, true)
                        : NULL;
    if (a) {
        koe_answer_about *about = &a->about;
        text_field(about->type, sizeof about->type, j, "type");
        text_field(about->voice, sizeof about->voice, j, "voice");
        text_field(about->engine, sizeof about->engine, j, "engine");
        text_field(about->warning, sizeof about->warning, j, "warning");
        *made = (time_t)json_integer_value(json_object_get(j, "made"));
        koe_buf_add(&a->bytes, end + 1, file->n - (size_t)(end + 1 - file->data));
        a->has_head = a->done = true;
        if (a->bytes.failed) {
            koe_answer_unref(a);
            a = NULL;
        }
    }
    json_decref(j);
    return a;
}

static void remove_file(koe_cache *c, const char *path, uint64_t n_bytes)
{
    if (unlink(path) == 0) count_disk(c, -(int64_t)n_bytes, -1);
}

static koe_answer *find_on_disk(koe_cache *c, const char *key, time_t *made)
{
    char path[4096];
    koe_buf file = { 0 };
    path_of(c, key, path, sizeof path);
    if (koe_file_read(&file, path, KOE_ANSWER_KEEP_BYTES + MAX_HEAD_BYTES, NULL) != KOE_OK) {
        koe_buf_free(&file);
        return NULL;
    }
    koe_answer *a = decode(&file, key, made);
    if (!a) {
        koe_log(KOE_LOG_WARN, "cache: an entry was damaged and is removed");
        remove_file(c, path, file.n);
    } else if (too_old(c, *made)) {
        remove_file(c, path, file.n);
        koe_answer_unref(a);
        koe_buf_free(&file);
        return NULL;
    } else {
        utimensat(AT_FDCWD, path, NULL, 0); /* used now */
    }
    koe_buf_free(&file);
    pthread_mutex_lock(&c->lock);
    if (a && strcmp(a->about.type, KOE_CACHE_PIECE) != 0) c->stats.hits_disk++;
    if (!a) c->stats.damaged++;
    pthread_mutex_unlock(&c->lock);
    return a;
}

static void encode(koe_buf *out, const koe_answer *a)
{
    char digest[KOE_DIGEST_TEXT];
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "key", a->key, "type", a->about.type, "voice", a->about.voice, "engine",
                          a->about.engine, "warning", a->about.warning, "made", (json_int_t)time(NULL));
    char *head = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (!head) {
        out->failed = true;
        return;
    }
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    koe_digest_add(&d, head, strlen(head));
    koe_digest_add(&d, "\n", 1);
    koe_digest_add(&d, a->bytes.data, a->bytes.n);
    koe_digest_text(&d, digest);
    koe_buf_printf(out, "%s%s\n%s\n", magic, digest, head);
    koe_buf_add(out, a->bytes.data, a->bytes.n);
    free(head);
}

/* Its digest tells a torn entry. */
static koe_status write_file(const char *path, const koe_buf *b, koe_error *err)
{
    koe_file_draft d;
    if (b->failed) return koe_fail(err, KOE_E_NOMEM, "cannot write %s: out of memory", path);
    const koe_status st = koe_file_begin(&d, path, err);
    if (st != KOE_OK) return st;
    d.unsynced = true;
    return koe_file_end(&d, koe_write_all(d.fd, b->data, b->n), err);
}

typedef struct old_file {
    time_t used;
    uint64_t n_bytes;
    char name[72]; /* "ab/abcdef..." */
} old_file;

static int by_use(const void *a, const void *b)
{
    const old_file *x = a, *y = b;
    return x->used < y->used ? -1 : x->used > y->used;
}

/* The entries of the folder, into a koe_buf of old_file. What a crash left half-written an hour ago is removed. */
static void list_files(const koe_cache *c, koe_buf *out)
{
    for (unsigned i = 0; i < 256; i++) {
        char sub[4096];
        snprintf(sub, sizeof sub, "%s/%02x", c->dir, i);
        DIR *dir = opendir(sub);
        for (struct dirent *d = dir ? readdir(dir) : NULL; d; d = readdir(dir)) {
            struct stat s;
            if (d->d_name[0] == '.' || fstatat(dirfd(dir), d->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode)) continue;
            old_file f = { .used = s.st_mtime, .n_bytes = (uint64_t)s.st_size };
            if (strlen(d->d_name) == KEY_DIGITS) {
                snprintf(f.name, sizeof f.name, "%02x/%.64s", i, d->d_name);
                koe_buf_add(out, &f, sizeof f);
            } else if (strstr(d->d_name, ".part") && time(NULL) - s.st_mtime > 3600) {
                unlinkat(dirfd(dir), d->d_name, 0);
            }
        }
        if (dir) closedir(dir);
    }
}

/* Removes what was used longest ago until the folder takes at most `keep` bytes; counts anew, as other processes write there too. */
static void sweep(koe_cache *c, uint64_t keep)
{
    koe_buf list = { 0 };
    uint64_t total = 0, removed = 0;
    list_files(c, &list);
    old_file *f = (old_file *)(void *)list.data;
    size_t n = list.n / sizeof *f, gone = 0;
    for (size_t i = 0; i < n; i++) total += f[i].n_bytes;
    if (n) qsort(f, n, sizeof *f, by_use);
    for (; gone < n && total > keep; gone++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", c->dir, f[gone].name);
        if (unlink(path) == 0) removed++;
        total -= f[gone].n_bytes;
    }
    koe_buf_free(&list);
    pthread_mutex_lock(&c->lock);
    c->stats.disk_bytes = total;
    c->stats.disk_entries = n - gone;
    c->stats.evictions_disk += removed;
    c->sweeping = false;
    pthread_mutex_unlock(&c->lock);
}

static void write_to_disk(koe_cache *c, const koe_answer *a, const koe_buf *b)
{
    char path[4096];
    koe_error err = { 0 };
    path_of(c, a->key, path, sizeof path);
    const bool is_new = access(path, F_OK) != 0;
    char *slash = strrchr(path, '/');
    *slash = 0;
    mkdir(path, 0700);
    *slash = '/';
    const bool ok = write_file(path, b, &err) == KOE_OK;
    if (ok && is_new) count_disk(c, (int64_t)b->n, 1);
    pthread_mutex_lock(&c->lock);
    const bool say = !ok && !c->said_failed;
    if (!ok) c->stats.failed_writes++;
    c->said_failed = !ok;
    const bool full = c->stats.disk_bytes > c->setup.disk_bytes && !c->sweeping;
    if (full) c->sweeping = true;
    pthread_mutex_unlock(&c->lock);
    if (say) koe_log(KOE_LOG_WARN, "cache: %s; going on without", err.message);
    if (full) sweep(c, c->setup.disk_bytes - c->setup.disk_bytes / 10);
}

/* ---- writing ------------------------------------------------------------------------------------------------------------------------- */

static void write_out(koe_cache *c, const koe_answer *a)
{
    koe_buf b = { 0 };
    encode(&b, a);
    if (c->dir) write_to_disk(c, a, &b);
    if (c->setup.redis && !b.failed) koe_redis_put(c->setup.redis, a->key, koe_buf_str(&b));
    koe_buf_free(&b);
}

/* It was on its way to folder and Redis when all was to be forgotten. Holding the lock. */
static void forget_written(koe_cache *c, const char *key)
{
    char path[4096];
    if (c->setup.redis) c->purge_far = true;
    if (!c->dir) return;
    path_of(c, key, path, sizeof path);
    unlink(path);
}

static void *write_all(void *arg)
{
    koe_cache *c = arg;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->first && !c->stop && !c->purge_far) pthread_cond_wait(&c->work, &c->lock);
        struct written *w = c->first;
        const bool purge = c->purge_far;
        const unsigned n_purges = c->n_purges;
        if (!w && !purge) break;
        c->purge_far = false;
        if (w && !(c->first = w->next)) c->last = NULL;
        if (w) c->queued_bytes -= w->answer->bytes.n;
        pthread_mutex_unlock(&c->lock);
        if (purge && c->setup.redis) koe_redis_purge(c->setup.redis);
        if (w) write_out(c, w->answer);
        pthread_mutex_lock(&c->lock);
        if (!w) continue;
        if (c->n_purges != n_purges) forget_written(c, w->answer->key);
        koe_answer_unref(w->answer);
        free(w);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

void koe_cache_write(koe_cache *c, koe_answer *a)
{
    struct written *w = c->has_writer ? calloc(1, sizeof *w) : NULL;
    if (!w) return;
    pthread_mutex_lock(&c->lock);
    const bool room = c->queued_bytes + a->bytes.n <= MAX_QUEUED_BYTES;
    if (room) {
        w->answer = koe_answer_ref(a);
        *(c->last ? &c->last->next : &c->first) = w;
        c->last = w;
        c->queued_bytes += a->bytes.n;
        pthread_cond_signal(&c->work);
    } else {
        c->stats.failed_writes++;
    }
    pthread_mutex_unlock(&c->lock);
    if (!room) free(w);
}

/* ---- both ---------------------------------------------------------------------------------------------------------------------------- */

koe_status koe_cache_create(koe_cache **out, const koe_cache_setup *setup, koe_error *err)
{
    koe_cache *c = calloc(1, sizeof *c);
    if (!c) return koe_fail(err, KOE_E_NOMEM, "cache");
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    c->setup = *setup;
    koe_status st = KOE_OK;
    if (*setup->dir) {
        c->dir = strdup(setup->dir);
        st = c->dir ? koe_file_make_dirs(c->dir, err) : koe_fail(err, KOE_E_NOMEM, "cache");
        if (st == KOE_OK) sweep(c, setup->disk_bytes);
    }
    c->has_writer = st == KOE_OK && (c->dir || setup->redis) && pthread_create(&c->writer, NULL, write_all, c) == 0;
    if (st == KOE_OK && (c->dir || setup->redis) && !c->has_writer) st = koe_fail(err, KOE_E_LIMIT, "no thread for the cache");
    if (st != KOE_OK) {
        koe_cache_destroy(c);
        return st;
    }
    *out = c;
    return KOE_OK;
}

static void forget_memory(koe_cache *c)
{
    entry *gone = NULL;
    pthread_mutex_lock(&c->lock);
    while (next_out(c)) {
        entry *e = take_out(c, find_entry(c, next_out(c)->answer->key));
        e->in_bucket = gone;
        gone = e;
    }
    pthread_mutex_unlock(&c->lock);
    free_entries(gone);
}

void koe_cache_destroy(koe_cache *c)
{
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->stop = true; /* what is queued is written first */
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
    if (c->has_writer) pthread_join(c->writer, NULL);
    forget_memory(c);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    free(c->dir);
    free(c);
}

koe_answer *koe_cache_find(koe_cache *c, const char *key)
{
    time_t made = 0;
    koe_answer *a = find_in_memory(c, key);
    if (a) return a;
    if (c->dir) a = find_on_disk(c, key, &made);
    if (a) {
        keep_in_memory(c, a, made);
        return a;
    }
    return NULL;
}

koe_answer *koe_cache_find_far(koe_cache *c, const char *key)
{
    koe_buf value = { 0 };
    time_t made = 0;
    if (!c->setup.redis || !koe_redis_get(c->setup.redis, key, &value)) return NULL;
    koe_answer *a = decode(&value, key, &made);
    koe_buf_free(&value);
    const bool old = a && too_old(c, made), answer = a && strcmp(a->about.type, KOE_CACHE_PIECE) != 0;
    pthread_mutex_lock(&c->lock);
    if (!a) c->stats.damaged++;
    else if (!old && answer) c->stats.hits_redis++;
    pthread_mutex_unlock(&c->lock);
    if (!a) koe_log(KOE_LOG_WARN, "cache: a value in Redis was damaged and is not used");
    if (a && !old) keep_in_memory(c, a, made);
    if (!old) return a;
    koe_answer_unref(a);
    return NULL;
}

bool koe_cache_has(koe_cache *c, const char *key)
{
    char path[4096];
    pthread_mutex_lock(&c->lock);
    const bool here = *find_entry(c, key) != NULL;
    pthread_mutex_unlock(&c->lock);
    if (here || !c->dir) return here;
    path_of(c, key, path, sizeof path);
    return access(path, R_OK) == 0;
}

void koe_cache_count_piece(koe_cache *c, bool hit)
{
    pthread_mutex_lock(&c->lock);
    (*(hit ? &c->stats.piece_hits : &c->stats.piece_misses))++;
    pthread_mutex_unlock(&c->lock);
}

void koe_cache_count_miss(koe_cache *c)
{
    pthread_mutex_lock(&c->lock);
    c->stats.misses++;
    pthread_mutex_unlock(&c->lock);
}

bool koe_cache_keep(koe_cache *c, koe_answer *a)
{
    pthread_mutex_lock(&a->lock);
    const bool whole = a->n_dropped == 0 && a->bytes.n <= KOE_ANSWER_KEEP_BYTES && a->key[0];
    pthread_mutex_unlock(&a->lock);
    if (whole) keep_in_memory(c, a, time(NULL));
    return whole;
}

void koe_cache_purge(koe_cache *c)
{
    struct written *waiting;
    forget_memory(c);
    pthread_mutex_lock(&c->lock);
    waiting = c->first;
    c->first = c->last = NULL;
    c->queued_bytes = 0;
    c->n_purges++;
    pthread_mutex_unlock(&c->lock);
    while (waiting) {
        struct written *next = waiting->next;
        koe_answer_unref(waiting->answer);
        free(waiting);
        waiting = next;
    }
    if (c->dir) sweep(c, 0);
    pthread_mutex_lock(&c->lock);
    c->purge_far = c->has_writer;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
}

koe_cache_stats koe_cache_get_stats(koe_cache *c)
{
    pthread_mutex_lock(&c->lock);
    koe_cache_stats stats = c->stats;
    stats.piece_bytes = c->used[1].n_bytes;
    pthread_mutex_unlock(&c->lock);
    return stats;
}
