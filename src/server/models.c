/* models.c - see models.h. */
#include "server/models.h"

#include <ftw.h>
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "base/digest.h"

enum { MAX_OPEN_FOLDERS = 16, TICK_S = 1 };

struct koe_models {
    const koe_config *config;
    koe_models_voice_fn *voice;
    void *user;
    pthread_mutex_t change; /* one change at a time; taken before `lock`, which it does not need to be held with */
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t stopping;
    koe_edition *now;
    koe_edition *old; /* editions that are not in service any more */
    char trouble[300]; /* "": none */
    bool stop, started;
    pthread_t thread;
    /* the thread's, and of who holds `change` */
    char waiting[65]; /* what the files looked like when they were seen to have changed; taken when they still do at the next look */
    char refused[65]; /* what the files looked like when they were not taken */
};

/* ---- what is on disk ---------------------------------------------------------------------------------------------------------- */

/* nftw() has no argument for its user. */
static _Thread_local struct {
    koe_buf lines;
    bool identities; /* which file it is too, not only what it looks like */
} listing;

static int list_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    if (kind != FTW_F || path[at->base] == '.' || strstr(path, ".koepack")) return 0;
    if (strstr(path, "/lexicon/user")) return 0; /* the engine looks at them by itself */
    koe_buf_printf(&listing.lines, "%s %" PRId64 " %" PRId64 ".%09ld", path, (int64_t)s->st_size, (int64_t)s->st_mtim.tv_sec, s->st_mtim.tv_nsec);
    if (listing.identities) koe_buf_printf(&listing.lines, " %" PRIu64, (uint64_t)s->st_ino);
    koe_buf_addc(&listing.lines, '\n');
    return 0;
}

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The lines in one order, as nftw() gives them in any. */
static void add_sorted(koe_digest *d, koe_buf *b)
{
    size_t n = 0, i = 0;
    for (size_t k = 0; k < b->n; k++) n += b->data[k] == '\n';
    const char **line = calloc(n + 1, sizeof *line);
    for (char *p = b->data; line && p && *p; i++) {
        line[i] = p;
        p += strcspn(p, "\n");
        if (*p) *p++ = 0;
    }
    if (line) qsort(line, i, sizeof *line, by_text);
    for (size_t k = 0; line && k < i; k++) koe_digest_add(d, line[k], strlen(line[k]));
    free(line);
}

static void list_path(const char *path)
{
    if (*path) nftw(path, list_one, MAX_OPEN_FOLDERS, 0);
}

/* A digest of names, sizes and times of all models, voices and dictionaries. */
static void digest_files(const koe_config *c, bool identities, char out[KOE_DIGEST_TEXT])
{
    static const char *const parts[] = { "kokoro", "piper", "lexicon" };
    koe_digest d;
    char *home = *c->home ? strdup(c->home) : koe_path_home();
    listing.identities = identities;
    for (size_t i = 0; home && i < sizeof parts / sizeof *parts; i++) {
        char *path = koe_path_join(home, parts[i]);
        if (path) list_path(path);
        free(path);
    }
    free(home);
    list_path(c->model);
    list_path(c->piper_model);
    list_path(c->voices);
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    koe_digest_add(&d, c->precision, strlen(c->precision));
    add_sorted(&d, &listing.lines);
    koe_digest_text(&d, out);
    koe_buf_free(&listing.lines);
}

/* ---- editions --------------------------------------------------------------------------------------------------------------------- */

static koe_status open_edition(koe_edition **out, const koe_config *c, koe_error *err)
{
    const koe_engine_options o = { .home = *c->home ? c->home : NULL, .model = *c->model ? c->model : NULL,
                                   .piper_model = *c->piper_model ? c->piper_model : NULL, .voices = *c->voices ? c->voices : NULL,
                                   .threads = (int)c->threads, .precision = c->precision,
                                   .memory_limit_mb = (size_t)c->memory_limit_mb, .keep_weights = true, .lexicon = *c->lexicon ? c->lexicon : NULL };
    koe_edition *e = calloc(1, sizeof *e);
    if (!e) return koe_fail(err, KOE_E_NOMEM, "models");
    atomic_init(&e->refs, 1);
    digest_files(c, false, e->digest); /* before they are opened: what changes meanwhile is seen at the next look */
    digest_files(c, true, e->seen);
    const koe_status st = koe_engine_open(&e->engine, &o, err);
    if (st == KOE_OK) *out = e;
    else free(e);
    return st;
}

static void close_edition(koe_edition *e)
{
    if (!e) return;
    koe_engine_close(e->engine);
    free(e);
}

void koe_edition_drop(koe_edition *e)
{
    if (e) atomic_fetch_sub(&e->refs, 1); /* closed by sweep(): that takes a while */
}

koe_edition *koe_models_take(koe_models *m)
{
    pthread_mutex_lock(&m->lock);
    koe_edition *e = m->now;
    atomic_fetch_add(&e->refs, 1);
    pthread_mutex_unlock(&m->lock);
    return e;
}

/* Closes the old editions that nobody uses. */
static void sweep(koe_models *m)
{
    koe_edition *gone = NULL;
    pthread_mutex_lock(&m->lock);
    for (koe_edition **at = &m->old; *at;) {
        koe_edition *e = *at;
        if (atomic_load(&e->refs) > 0) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        e->next = gone;
        gone = e;
    }
    pthread_mutex_unlock(&m->lock);
    if (!gone) return;
    while (gone) {
        koe_edition *next = gone->next;
        close_edition(gone);
        gone = next;
    }
    malloc_trim(0);
}

/* ---- a new edition ---------------------------------------------------------------------------------------------------------------- */

static bool ignore_audio(void *user, const koe_audio *audio)
{
    (void)user, (void)audio;
    return true;
}

/* The default voice says a word to itself. */
static koe_status try_edition(koe_models *m, koe_edition *e, const atomic_bool *cancel, koe_error *err)
{
    char *voice = m->voice ? m->voice(m->user, e) : NULL;
    if (!voice) return KOE_OK;
    const koe_request q = { .text = "Ready.", .voice = voice, .cancel = cancel };
    const koe_status st = koe_speak(e->engine, &q, ignore_audio, NULL, err);
    free(voice);
    return st;
}

static size_t count_voices(koe_edition *e, const char *engine)
{
    size_t n, count = 0;
    const koe_voice_info *v = koe_engine_voices(e->engine, &n);
    for (size_t i = 0; i < n; i++) count += strcmp(v[i].engine, engine) == 0;
    return count;
}

/* An engine that speaks now must not be lost because its file is gone. */
static koe_status check_complete(koe_edition *old, koe_edition *new, koe_error *err)
{
    static const char *const engines[] = { "kokoro", "piper" };
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (count_voices(old, engines[i]) && !count_voices(new, engines[i]))
            return koe_fail(err, KOE_E_NOT_FOUND, "%s is no longer installed; what was installed goes on speaking", engines[i]);
    return KOE_OK;
}

static void set_trouble(koe_models *m, const char *text)
{
    pthread_mutex_lock(&m->lock);
    snprintf(m->trouble, sizeof m->trouble, "%.*s", (int)sizeof m->trouble - 1, text);
    pthread_mutex_unlock(&m->lock);
}

/* Holding `change`. */
static void put_in_service(koe_models *m, koe_edition *e)
{
    pthread_mutex_lock(&m->lock);
    koe_edition *old = m->now;
    old->next = m->old;
    m->old = old;
    m->now = e;
    m->trouble[0] = 0;
    pthread_mutex_unlock(&m->lock);
    koe_edition_drop(old);
    koe_log(KOE_LOG_INFO, "models, voices or dictionaries have changed: the new ones are in service");
}

/* Holding `change`. */
static void replace(koe_models *m)
{
    koe_error err = { 0 };
    koe_edition *e = NULL, *old = koe_models_take(m);
    const bool loaded = koe_engine_unload(old->engine, INFINITY).loaded > 0;
    koe_status st = open_edition(&e, m->config, &err);
    if (st == KOE_OK) st = check_complete(old, e, &err);
    if (st == KOE_OK && (loaded || m->config->preload)) st = try_edition(m, e, NULL, &err);
    koe_edition_drop(old);
    if (st == KOE_OK) {
        put_in_service(m, e);
        return;
    }
    koe_log(KOE_LOG_ERROR, "the changed models are not taken: %s", err.message);
    set_trouble(m, st == KOE_E_NOT_FOUND && e ? err.message : "the changed models cannot be used; what was loaded goes on speaking");
    close_edition(e);
}

/* now: else only what has not changed since the last look, as it may be still in the making. */
static void look(koe_models *m, bool now)
{
    char seen[KOE_DIGEST_TEXT];
    koe_edition *e = koe_models_take(m);
    digest_files(m->config, true, seen);
    const bool same = strcmp(seen, e->seen) == 0;
    koe_edition_drop(e);
    const bool steady = now || strcmp(seen, m->waiting) == 0, was_refused = strcmp(seen, m->refused) == 0;
    snprintf(m->waiting, sizeof m->waiting, "%s", seen);
    if (same) {
        m->refused[0] = 0;
        set_trouble(m, "");
    } else if (steady && (now || !was_refused)) {
        snprintf(m->refused, sizeof m->refused, "%s", seen);
        replace(m);
    }
}

void koe_models_refresh(koe_models *m)
{
    pthread_mutex_lock(&m->change);
    look(m, true);
    pthread_mutex_unlock(&m->change);
    sweep(m);
}

void koe_models_preload(koe_models *m)
{
    koe_error err = { 0 };
    koe_edition *e = koe_models_take(m);
    char *voice = m->voice ? m->voice(m->user, e) : NULL;
    if (voice && koe_engine_load(e->engine, voice, &err) != KOE_OK) koe_log(KOE_LOG_ERROR, "the default voice cannot speak: %s", err.message);
    free(voice);
    koe_edition_drop(e);
}

void koe_models_warm(koe_models *m, const atomic_bool *cancel)
{
    koe_error err = { 0 };
    koe_edition *e = koe_models_take(m);
    const koe_status st = try_edition(m, e, cancel, &err);
    if (st != KOE_OK && st != KOE_E_CANCELLED) koe_log(KOE_LOG_ERROR, "the default voice cannot speak: %s", err.message);
    koe_edition_drop(e);
}

bool koe_models_trouble(koe_models *m, char *out, size_t cap)
{
    pthread_mutex_lock(&m->lock);
    snprintf(out, cap, "%s", m->trouble);
    pthread_mutex_unlock(&m->lock);
    return *out;
}

/* ---- the thread ---------------------------------------------------------------------------------------------------------------------- */

/* What is loaded stays when its file is gone, or is another. */
static void unload_idle(koe_models *m)
{
    char seen[KOE_DIGEST_TEXT];
    koe_models_load load = { 0 };
    if (m->config->unload_s <= 0) return;
    koe_edition *e = koe_models_take(m);
    if (koe_engine_unload(e->engine, INFINITY).loaded) {
        digest_files(m->config, true, seen);
        if (strcmp(seen, e->seen) == 0) load = koe_engine_unload(e->engine, (double)m->config->unload_s);
    }
    koe_edition_drop(e);
    if (load.unloaded) malloc_trim(0);
}

static void *tend(void *arg)
{
    koe_models *m = arg;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    pthread_mutex_lock(&m->lock);
    for (int64_t tick = 1; !m->stop; tick++) {
        t.tv_sec += TICK_S;
        while (!m->stop && pthread_cond_timedwait(&m->stopping, &m->lock, &t) == 0) {}
        if (m->stop) break;
        pthread_mutex_unlock(&m->lock);
        const int64_t every_s = m->config->watch_s;
        if (every_s > 0 && tick % every_s == 0) {
            pthread_mutex_lock(&m->change);
            look(m, false);
            pthread_mutex_unlock(&m->change);
        }
        unload_idle(m);
        sweep(m);
        clock_gettime(CLOCK_MONOTONIC, &t);
        pthread_mutex_lock(&m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

koe_status koe_models_start(koe_models *m, koe_error *err)
{
    m->started = pthread_create(&m->thread, NULL, tend, m) == 0;
    return m->started ? KOE_OK : koe_fail(err, KOE_E_LIMIT, "models cannot be watched");
}

koe_status koe_models_open(koe_models **out, const koe_config *config, koe_models_voice_fn *voice, void *user, koe_error *err)
{
    koe_models *m = calloc(1, sizeof *m);
    if (!m) return koe_fail(err, KOE_E_NOMEM, "models");
    m->config = config;
    m->voice = voice;
    m->user = user;
    pthread_mutex_init(&m->change, NULL);
    pthread_mutex_init(&m->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&m->stopping, &monotonic);
    pthread_condattr_destroy(&monotonic);
    const koe_status st = open_edition(&m->now, config, err);
    if (st == KOE_OK) *out = m;
    else koe_models_close(m);
    return st;
}

void koe_models_close(koe_models *m)
{
    if (!m) return;
    if (m->started) {
        pthread_mutex_lock(&m->lock);
        m->stop = true;
        pthread_cond_signal(&m->stopping);
        pthread_mutex_unlock(&m->lock);
        pthread_join(m->thread, NULL);
    }
    sweep(m);
    close_edition(m->now);
    pthread_cond_destroy(&m->stopping);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->change);
    free(m);
}
