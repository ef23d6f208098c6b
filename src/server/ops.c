/* ops.c - for those who run the server: health, status, metrics, purging the cache. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"
#include "base/version.h"
#include "server/http.h"
#include "server/redis.h"

enum MHD_Result koe_route_health(koe_call *c) { return koe_reply_json(c, 200, json_pack("{s:s}", "status", "healthy")); }
enum MHD_Result koe_route_live(koe_call *c) { return koe_reply_json(c, 200, json_pack("{s:s}", "status", "alive")); }

enum MHD_Result koe_route_ready(koe_call *c)
{
    if (atomic_load(&c->server->loading)) return koe_reply_error(c, 503, "loading", NULL, "the model is being loaded");
    if (atomic_load(&c->server->draining)) return koe_reply_error(c, 503, "draining", NULL, "the server is about to end");
    char trouble[300];
    json_t *j = json_pack("{s:s}", "status", "ready");
    if (koe_models_trouble(c->server->models, trouble, sizeof trouble)) json_object_set_new(j, "warning", json_string(trouble));
    return koe_reply_json(c, 200, j);
}

static json_t *count_json(uint64_t n) { return json_integer((json_int_t)n); }

static json_t *redis_json(koe_server *s, const koe_cache_stats *t)
{
    if (!s->redis) return json_null();
    const koe_redis_stats r = koe_redis_get_stats(s->redis);
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "up", r.is_up, "hits", count_json(t->hits_redis), "reads_found", count_json(r.hits),
                     "reads_missing", count_json(r.misses), "writes", count_json(r.writes), "failures", count_json(r.failures), "skipped",
                     count_json(r.skipped));
}

static json_t *cache_json(koe_server *s)
{
    const koe_cache_stats t = koe_cache_get_stats(s->cache);
    json_t *memory = json_pack("{s:o, s:o, s:o, s:o}", "bytes", count_json(t.memory_bytes), "entries", count_json(t.memory_entries), "hits",
                               count_json(t.hits_memory), "evictions", count_json(t.evictions_memory));
    json_t *disk = json_pack("{s:o, s:o, s:o, s:o}", "bytes", count_json(t.disk_bytes), "entries", count_json(t.disk_entries), "hits",
                             count_json(t.hits_disk), "evictions", count_json(t.evictions_disk));
    json_t *pieces = json_pack("{s:o, s:o, s:o}", "bytes", count_json(t.piece_bytes), "hits", count_json(t.piece_hits), "misses", count_json(t.piece_misses));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "memory", memory, "disk", disk, "redis", redis_json(s, &t), "pieces", pieces,
                     "misses", count_json(t.misses), "evictions", count_json(t.evictions_memory + t.evictions_disk), "damaged", count_json(t.damaged),
                     "failed_writes", count_json(t.failed_writes));
}

static json_t *queue_json(koe_server *s)
{
    const koe_sched_load l = koe_sched_get_load(s->sched);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "streams", (json_int_t)l.n_streams, "batch", (json_int_t)l.n_batch, "waiting",
                     (json_int_t)l.n_waiting, "running", (json_int_t)l.n_running, "parked", (json_int_t)l.n_parked, "core_seconds_per_audio_second",
                     l.core_s_per_audio_s, "real_time_streams", l.capacity);
}

static size_t resident_bytes(void)
{
    unsigned long all = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu %lu", &all, &resident) != 2) resident = 0;
    if (f) fclose(f);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* How many voices each engine has. */
static json_t *engines_json(koe_server *s)
{
    size_t n;
    json_t *engines = json_object();
    koe_edition *e = koe_models_take(s->models);
    const koe_voice_info *v = koe_engine_voices(e->engine, &n);
    for (size_t i = 0; i < n; i++)
        json_object_set_new(engines, v[i].engine, json_integer(json_integer_value(json_object_get(engines, v[i].engine)) + 1));
    koe_edition_drop(e);
    return engines;
}

static json_t *models_json(koe_server *s)
{
    char trouble[300];
    koe_edition *e = koe_models_take(s->models);
    const koe_models_load load = koe_engine_unload(e->engine, INFINITY);
    koe_edition_drop(e);
    koe_models_trouble(s->models, trouble, sizeof trouble);
    return json_pack("{s:I, s:s}", "loaded", (json_int_t)load.loaded, "trouble", trouble);
}

enum MHD_Result koe_route_status(koe_call *c)
{
    koe_server *s = c->server;
    json_t *j = json_pack("{s:s, s:f, s:b, s:o, s:o, s:o, s:o, s:I, s:f}", "version", KOE_VERSION, "uptime_seconds", (koe_clock_ms() - s->start_ms) / 1000,
                          "draining", atomic_load(&s->draining), "voices", engines_json(s), "models", models_json(s), "queue", queue_json(s), "cache", cache_json(s),
                          "connections", (json_int_t)koe_watch_count(s->watch), "audio_seconds", koe_metrics_audio_s(s->metrics));
    json_t *machine = json_pack("{s:s, s:i, s:I}", "processor", koe_cpu_name(), "cores", koe_cpu_count(), "resident_bytes", (json_int_t)resident_bytes());
    if (j && machine) json_object_set_new(j, "machine", machine);
    return koe_reply_json(c, 200, j);
}

static void gauge(koe_buf *out, const char *name, const char *help, const char *type, double value)
{
    koe_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.6g\n", name, help, name, type, name, value);
}

/* One metric with a value for each tier. */
static void by_tier(koe_buf *out, const char *name, const char *help, const char *type, uint64_t memory, uint64_t disk, const uint64_t *redis)
{
    koe_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s{tier=\"memory\"} %" PRIu64 "\n%s{tier=\"disk\"} %" PRIu64 "\n", name, help, name, type, name,
                   memory, name, disk);
    if (redis) koe_buf_printf(out, "%s{tier=\"redis\"} %" PRIu64 "\n", name, *redis);
}

static void write_cache(koe_server *s, koe_buf *out)
{
    const koe_cache_stats t = koe_cache_get_stats(s->cache);
    by_tier(out, "koe_cache_bytes", "what is kept", "gauge", t.memory_bytes, t.disk_bytes, NULL);
    by_tier(out, "koe_cache_hits_total", "whole answers that were there", "counter", t.hits_memory, t.hits_disk, s->redis ? &t.hits_redis : NULL);
    by_tier(out, "koe_cache_evictions_total", "what made room for others", "counter", t.evictions_memory, t.evictions_disk, NULL);
    gauge(out, "koe_cache_misses_total", "whole answers that were not there", "counter", (double)t.misses);
    gauge(out, "koe_cache_piece_hits_total", "pieces of speech that were there", "counter", (double)t.piece_hits);
    gauge(out, "koe_cache_piece_misses_total", "pieces of speech that had to be made", "counter", (double)t.piece_misses);
    gauge(out, "koe_cache_damaged_total", "entries that were damaged", "counter", (double)t.damaged);
    gauge(out, "koe_cache_failed_writes_total", "entries that could not be written", "counter", (double)t.failed_writes);
    if (!s->redis) return;
    const koe_redis_stats r = koe_redis_get_stats(s->redis);
    gauge(out, "koe_redis_up", "Redis answered the last call", "gauge", r.is_up);
    gauge(out, "koe_redis_failures_total", "calls that Redis did not answer in time", "counter", (double)r.failures);
}

enum MHD_Result koe_route_metrics(koe_call *c)
{
    koe_server *s = c->server;
    koe_buf out = { 0 };
    const koe_sched_load l = koe_sched_get_load(s->sched);
    koe_metrics_write(s->metrics, &out);
    gauge(&out, "koe_connections", "open connections", "gauge", (double)koe_watch_count(s->watch));
    gauge(&out, "koe_streams", "streams in work", "gauge", (double)l.n_streams);
    gauge(&out, "koe_batch_jobs", "answers in work that leave as a whole", "gauge", (double)l.n_batch);
    gauge(&out, "koe_jobs_waiting", "jobs waiting for a worker", "gauge", (double)l.n_waiting);
    gauge(&out, "koe_jobs_parked", "jobs waiting for a slow client", "gauge", (double)l.n_parked);
    write_cache(s, &out);
    gauge(&out, "koe_resident_bytes", "memory of the process", "gauge", (double)resident_bytes());
    gauge(&out, "koe_uptime_seconds", "since the start", "gauge", (koe_clock_ms() - s->start_ms) / 1000);
    return koe_reply_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

enum MHD_Result koe_route_purge(koe_call *c)
{
    koe_cache_purge(c->server->cache);
    return koe_reply_json(c, 200, json_pack("{s:b}", "purged", 1));
}
