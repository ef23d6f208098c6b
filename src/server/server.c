/* server.c - the life of the server: its parts in order, signals, draining, and what systemd wants to hear. */
#include "server/server.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/base.h"
#include "server/choose.h"
#include "server/guard.h"
#include "server/http.h"
#include "server/redis.h"
#include "server/speech.h"
#include "server/systemd.h"
#include "server/tls.h"
#include "server/voices.h"
#include "server/warm.h"

/* ---- life ------------------------------------------------------------------------------------------------------------------------------ */

static void close_parts(koe_server *s)
{
    while (atomic_load(&s->n_sockets) > 0) nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
    koe_http_stop(s);
    koe_sched_destroy(s->sched);
    koe_watch_destroy(s->watch);
    koe_inflight_destroy(s->inflight);
    koe_cache_destroy(s->cache);
    koe_redis_close(s->redis);
    koe_keys_close(s->keys);
    koe_saved_close(s->saved);
    koe_metrics_destroy(s->metrics);
    koe_models_close(s->models);
}

/* koe_models_voice_fn */
static char *default_voice(void *user, koe_edition *e)
{
    const koe_server *s = user;
    koe_arena arena = { 0 };
    koe_problem p = { 0 };
    const char *voice = NULL, *warning = NULL;
    char *copy = koe_choose_voice(&voice, &warning, s, e, &(koe_wish){ 0 }, &arena, &p) ? strdup(voice) : NULL;
    koe_arena_free(&arena);
    return copy;
}

static koe_status open_parts(koe_server *s, koe_error *err)
{
    const koe_config *c = s->config;
    const koe_redis_setup redis = { .url = c->redis, .ca = c->redis_ca, .prefix = c->redis_prefix, .timeout_ms = c->redis_timeout_ms, .ttl_s = c->redis_ttl_h * 3600,
                                    .max_value_bytes = (size_t)c->redis_value_kb << 10 };
    koe_cache_setup cache = { .memory_bytes = (size_t)c->cache_memory_mb << 20, .dir = c->cache_dir,
                                    .disk_bytes = (uint64_t)c->cache_disk_mb << 20, .age_s = c->cache_age_h * 3600 };
    const int cores = c->threads ? (int)c->threads : koe_cpu_count(), workers = c->workers ? (int)c->workers : cores;
    s->metrics = koe_metrics_create();
    s->inflight = koe_inflight_create();
    koe_status st = s->metrics && s->inflight ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "server");
    if (st == KOE_OK) st = koe_keys_open(&s->keys, c, err);
    if (st == KOE_OK && *c->redis) st = koe_redis_open(&s->redis, &redis, err);
    cache.redis = s->redis;
    if (st == KOE_OK) st = koe_cache_create(&s->cache, &cache, err);
    if (st == KOE_OK) st = koe_saved_open(&s->saved, c->home, err);
    if (st == KOE_OK) st = koe_models_open(&s->models, c, default_voice, s, err);
    if (st == KOE_OK) st = koe_sched_create(&s->sched, workers, cores, (size_t)c->max_jobs, err);
    if (st == KOE_OK) st = koe_watch_create(&s->watch, c->request_timeout_s, c->idle_timeout_s, err);
    return st;
}

/* A voice of the settings that is not there would be found by the first client. */
static void check_default_voice(koe_server *s)
{
    koe_edition *e = koe_models_take(s->models);
    char *voice = default_voice(s, e);
    if (!voice) koe_log(KOE_LOG_ERROR, "no voice '%s': requests that name none are refused; see koe voices", s->config->voice);
    free(voice);
    koe_edition_drop(e);
}

/* What the first client would wait for. */
static void prepare(koe_server *s)
{
    koe_error err = { 0 };
    check_default_voice(s);
    if (s->config->preload) koe_models_preload(s->models);
    if (koe_models_start(s->models, &err) != KOE_OK) koe_log(KOE_LOG_ERROR, "%s", err.message);
}

/* ---- SIGHUP, and files that change ------------------------------------------------------------------------------------------------------- */

/* Settings of before: requests may still look at them. */
typedef struct old_config {
    koe_config config;
    struct old_config *next;
} old_config;

typedef struct life {
    koe_server *server;
    old_config *configs; /* newest first, the one in force too, but not the first of all */
    struct timespec tls_changed[2]; /* certificate, key: as they were read */
} life;

static void look_at_tls(const koe_config *c, struct timespec changed[2])
{
    const char *const path[2] = { c->tls_cert, c->tls_key };
    for (int i = 0; i < 2; i++) {
        struct stat st;
        changed[i] = *path[i] && stat(path[i], &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
    }
}

static void reload_tls(life *l)
{
    koe_error err = { 0 };
    const koe_config *c = l->server->config;
    if (!*c->tls_cert) return;
    look_at_tls(c, l->tls_changed);
    if (koe_tls_load(c->tls_cert, c->tls_key, &err) == KOE_OK) koe_log(KOE_LOG_INFO, "new connections get the certificate of %s", c->tls_cert);
    else koe_log(KOE_LOG_ERROR, "the certificate stays as it was: %s", err.message);
}

static void reload_config(life *l)
{
    koe_error err = { 0 };
    old_config *next = calloc(1, sizeof *next);
    if (!next) return;
    koe_status st = koe_config_reload(&next->config, l->server->config, &err);
    if (st == KOE_OK && !*next->config.tls_cert != !*((const koe_config *)l->server->config)->tls_cert)
        st = koe_fail(&err, KOE_E_ARGUMENT, "TLS cannot be switched on or off while the server runs");
    if (st == KOE_OK) st = koe_keys_reload(l->server->keys, &next->config, &err);
    if (st != KOE_OK) {
        koe_log(KOE_LOG_ERROR, "settings and keys stay as they were: %s", err.message);
        koe_config_free(&next->config);
        free(next);
        return;
    }
    next->next = l->configs;
    l->configs = next;
    l->server->config = &next->config;
    koe_config_apply_log(&next->config);
    koe_log(KOE_LOG_INFO, "settings and keys were read again");
}

static void reload(life *l)
{
    koe_systemd_reloading();
    reload_config(l);
    reload_tls(l);
    koe_models_refresh(l->server->models);
    koe_systemd_notify("READY=1");
}

/* Once a second. */
static void look_at_files(life *l)
{
    struct timespec now[2];
    const koe_config *c = l->server->config;
    if (!*c->tls_cert) return;
    look_at_tls(c, now);
    if (now[0].tv_sec && now[1].tv_sec && memcmp(now, l->tls_changed, sizeof now) != 0) reload_tls(l);
}

static void free_configs(life *l)
{
    while (l->configs) {
        old_config *next = l->configs->next;
        koe_config_free(&l->configs->config);
        free(l->configs);
        l->configs = next;
    }
}

/* Until there is nothing to do, or time is over; then what is left is cut. */
static void drain(koe_server *s, koe_warmer *warmer)
{
    const int64_t end = koe_clock_ns() + s->config->drain_s * 1000000000;
    atomic_store(&s->draining, true);
    koe_systemd_notify("STOPPING=1");
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

static void wait_for_signals(life *l, const sigset_t *set)
{
    const int64_t watchdog_ms = koe_systemd_watchdog_ms(), tick_ms = watchdog_ms && watchdog_ms < 1000 ? watchdog_ms : 1000;
    const struct timespec tick = { .tv_sec = tick_ms / 1000, .tv_nsec = tick_ms % 1000 * 1000000 };
    for (double fed_ms = 0;;) {
        const int signal_number = sigtimedwait(set, NULL, &tick);
        if (signal_number == SIGHUP) reload(l);
        else if (signal_number > 0) return;
        look_at_files(l);
        if (watchdog_ms && koe_clock_ms() - fed_ms >= (double)watchdog_ms) {
            koe_systemd_notify("WATCHDOG=1");
            fed_ms = koe_clock_ms();
        }
    }
}

/* Large blocks that are freed go back to the system at once. glibc would raise both limits with the largest one ever freed, up to 64 MB, and
 * keep so much at the end of each thread's memory, which malloc_trim() does not reach. */
static void keep_little(void)
{
    enum { LARGE_BYTES = 1 << 20 };
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
}

koe_status koe_serve(const koe_config *config, koe_error *err)
{
    koe_server s = { .config = config, .start_ms = koe_clock_ms(), .loading = config->preload, .listen_fd = -1 };
    life l = { .server = &s };
    sigset_t set;
    char where[300] = "";
    keep_little();
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* before any thread is started, so that all inherit it */
    koe_status st = koe_http_listen(&s, where, sizeof where, err);
    if (st == KOE_OK) st = koe_guard_enter(config, err); /* before any thread is started, too */
    if (st == KOE_OK) look_at_tls(config, l.tls_changed);
    if (st == KOE_OK) st = open_parts(&s, err);
    if (st == KOE_OK) st = koe_http_start(&s, err);
    if (st == KOE_OK) {
        printf("koe: listening on %s\n", where);
        fflush(stdout);
        prepare(&s);
        atomic_store(&s.loading, false);
        koe_systemd_notify("READY=1");
        koe_warmer *warmer = koe_warm_start(&s);
        wait_for_signals(&l, &set);
        drain(&s, warmer);
    }
    close_parts(&s);
    free_configs(&l);
    return st;
}
