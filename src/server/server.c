/* server.c - the life of the server: its parts in order, signals, draining, and what systemd wants to hear. */
#include "server/server.h"

#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "audio/encode.h"
#include "base/base.h"
#include "base/digest.h"
#include "server/http.h"
#include "server/speech.h"
#include "server/voices.h"
#include "server/warm.h"

/* ---- systemd ------------------------------------------------------------------------------------------------------------------ */

/* sd_notify(3): a datagram to $NOTIFY_SOCKET, where there is one. */
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (!path || strlen(path) < 2 || strlen(path) >= sizeof a.sun_path) return;
    const size_t n = strlen(path);
    memcpy(a.sun_path, path, n);
    if (path[0] == '@') a.sun_path[0] = 0; /* an abstract name */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

/* ---- what is installed ------------------------------------------------------------------------------------------------------------ */

/* nftw() has no argument for its user. */
static _Thread_local koe_buf *listing;

static int list_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)at;
    if (kind == FTW_F && !strstr(path, "/blends.json"))
        koe_buf_printf(listing, "%s %" PRId64 " %" PRId64 ".%09ld\n", path, (int64_t)s->st_size, (int64_t)s->st_mtim.tv_sec, s->st_mtim.tv_nsec);
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

/* A digest of names, sizes and times of all models: what was cached of other models is not theirs. */
static void digest_models(koe_server *s)
{
    enum { MAX_OPEN_FOLDERS = 16 };
    koe_buf b = { 0 };
    koe_digest d;
    char *home = *s->config->home ? strdup(s->config->home) : koe_path_home();
    static const char *const parts[] = { "kokoro", "piper", "lexicon" };
    listing = &b;
    for (size_t i = 0; home && i < sizeof parts / sizeof *parts; i++) {
        char *path = koe_path_join(home, parts[i]);
        if (path) nftw(path, list_one, MAX_OPEN_FOLDERS, 0);
        free(path);
    }
    if (*s->config->model) nftw(s->config->model, list_one, MAX_OPEN_FOLDERS, 0);
    listing = NULL;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    koe_digest_add(&d, s->config->precision, strlen(s->config->precision));
    add_sorted(&d, &b);
    koe_digest_text(&d, s->models);
    koe_buf_free(&b);
    free(home);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------------ */

static void close_parts(koe_server *s)
{
    while (atomic_load(&s->n_sockets) > 0) nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    koe_http_stop(s);
    koe_sched_destroy(s->sched);
    koe_watch_destroy(s->watch);
    koe_inflight_destroy(s->inflight);
    koe_cache_destroy(s->cache);
    koe_keys_close(s->keys);
    koe_saved_close(s->saved);
    koe_metrics_destroy(s->metrics);
    koe_engine_close(s->engine);
}

static koe_status open_parts(koe_server *s, koe_error *err)
{
    const koe_config *c = s->config;
    const koe_engine_options engine = { .home = *c->home ? c->home : NULL, .model = *c->model ? c->model : NULL, .threads = (int)c->threads,
                                        .precision = c->precision, .memory_limit_mb = (size_t)c->memory_limit_mb,
                                        .lexicon = *c->lexicon ? c->lexicon : NULL };
    const koe_cache_setup cache = { .memory_bytes = (size_t)c->cache_memory_mb << 20, .dir = c->cache_dir,
                                    .disk_bytes = (uint64_t)c->cache_disk_mb << 20, .age_s = c->cache_age_h * 3600 };
    const int cores = c->threads ? (int)c->threads : koe_cpu_count(), workers = c->workers ? (int)c->workers : cores;
    s->metrics = koe_metrics_create();
    s->inflight = koe_inflight_create();
    koe_status st = s->metrics && s->inflight ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "server");
    if (st == KOE_OK) st = koe_keys_open(&s->keys, c, err);
    if (st == KOE_OK) st = koe_cache_create(&s->cache, &cache, err);
    if (st == KOE_OK) st = koe_saved_open(&s->saved, c->home, err);
    if (st == KOE_OK) st = koe_engine_open(&s->engine, &engine, err);
    if (st == KOE_OK) st = koe_sched_create(&s->sched, workers, cores, (size_t)c->max_jobs, err);
    if (st == KOE_OK) st = koe_watch_create(&s->watch, c->request_timeout_s, c->idle_timeout_s, err);
    return st;
}

static bool ignore_audio(void *user, const koe_audio *audio)
{
    (void)user, (void)audio;
    return true;
}

/* The default voice says a word to itself, so that its model is in memory before the first client comes; the encoders too. */
static void preload(koe_server *s)
{
    koe_error err = { 0 };
    const char *warning = NULL;
    koe_arena arena = { 0 };
    const char *model = strcmp(s->config->provider, "auto") == 0 ? "kokoro" : s->config->provider;
    const koe_request q = { .text = "Ready.", .voice = koe_voice_for(s, NULL, model, &arena, &warning) };
    if (koe_speak(s->engine, &q, ignore_audio, NULL, &err) != KOE_OK) koe_log(KOE_LOG_ERROR, "the default voice cannot speak: %s", err.message);
    koe_arena_free(&arena);
    if (koe_encode_load(&err) != KOE_OK) koe_log(KOE_LOG_WARN, "%s", err.message);
}

static void reload(koe_server *s)
{
    koe_error err = { 0 };
    if (koe_keys_reload(s->keys, &err) == KOE_OK) koe_log(KOE_LOG_INFO, "keys were read again");
    else koe_log(KOE_LOG_ERROR, "keys stay as they were: %s", err.message);
}

/* Until there is nothing to do, or time is over; then what is left is cut. */
static void drain(koe_server *s, koe_warmer *warmer)
{
    const int64_t end = koe_clock_ns() + s->config->drain_s * 1000000000;
    atomic_store(&s->draining, true);
    notify("STOPPING=1");
    koe_warm_stop(warmer);
    koe_http_quiesce(s);
    for (;;) {
        const koe_sched_load l = koe_sched_get_load(s->sched);
        const bool busy = l.n_streams + l.n_batch > 0 || koe_watch_busy(s->watch) > 0;
        if (!busy || koe_clock_ns() >= end) break;
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
    koe_watch_drop(s->watch);
    while (koe_watch_busy(s->watch) > 0 || koe_sched_get_load(s->sched).n_streams + koe_sched_get_load(s->sched).n_batch > 0)
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

static void wait_for_signals(koe_server *s, const sigset_t *set)
{
    for (;;) {
        int signal_number = 0;
        if (sigwait(set, &signal_number) != 0) continue;
        if (signal_number != SIGHUP) return;
        notify("RELOADING=1");
        reload(s);
        notify("READY=1");
    }
}

koe_status koe_serve(const koe_config *config, koe_error *err)
{
    koe_server s = { .config = config, .start_ms = koe_clock_ms(), .loading = config->preload };
    sigset_t set;
    int port = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread is started, so that all inherit it */
    koe_status st = open_parts(&s, err);
    if (st == KOE_OK) digest_models(&s);
    if (st == KOE_OK) st = koe_http_start(&s, &port, err);
    if (st == KOE_OK) {
        printf("koe: listening on %s://%s:%d\n", *config->tls_cert ? "https" : "http", config->host, port);
        fflush(stdout);
        if (config->preload) preload(&s);
        atomic_store(&s.loading, false);
        notify("READY=1");
        koe_warmer *warmer = koe_warm_start(&s);
        wait_for_signals(&s, &set);
        drain(&s, warmer);
    }
    close_parts(&s);
    return st;
}
