/* ops.c - for those who run the server: health, status, metrics, purging the cache. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"
#include "base/version.h"
#include "server/http.h"

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

static json_t *cache_json(koe_server *s)
{
    const koe_cache_stats t = koe_cache_get_stats(s->cache);
    return json_pack("{s:{s:I, s:I, s:I}, s:{s:I, s:I, s:I}, s:I, s:I, s:I, s:I}", "memory", "bytes", (json_int_t)t.memory_bytes, "entries",
                     (json_int_t)t.memory_entries, "hits", (json_int_t)t.hits_memory, "disk", "bytes", (json_int_t)t.disk_bytes, "entries",
                     (json_int_t)t.disk_entries, "hits", (json_int_t)t.hits_disk, "misses", (json_int_t)t.misses, "evictions",
                     (json_int_t)t.evictions, "damaged", (json_int_t)t.damaged, "failed_writes", (json_int_t)t.failed_writes);
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

enum MHD_Result koe_route_metrics(koe_call *c)
{
    koe_server *s = c->server;
    koe_buf out = { 0 };
    const koe_sched_load l = koe_sched_get_load(s->sched);
    const koe_cache_stats t = koe_cache_get_stats(s->cache);
    koe_metrics_write(s->metrics, &out);
    gauge(&out, "koe_connections", "open connections", "gauge", (double)koe_watch_count(s->watch));
    gauge(&out, "koe_streams", "streams in work", "gauge", (double)l.n_streams);
    gauge(&out, "koe_batch_jobs", "answers in work that leave as a whole", "gauge", (double)l.n_batch);
    gauge(&out, "koe_jobs_waiting", "jobs waiting for a worker", "gauge", (double)l.n_waiting);
    gauge(&out, "koe_jobs_parked", "jobs waiting for a slow client", "gauge", (double)l.n_parked);
    gauge(&out, "koe_cache_memory_bytes", "answers kept in memory", "gauge", (double)t.memory_bytes);
    gauge(&out, "koe_cache_disk_bytes", "answers kept on disk", "gauge", (double)t.disk_bytes);
    gauge(&out, "koe_cache_evictions_total", "answers that made room for others", "counter", (double)t.evictions);
    gauge(&out, "koe_resident_bytes", "memory of the process", "gauge", (double)resident_bytes());
    gauge(&out, "koe_uptime_seconds", "since the start", "gauge", (koe_clock_ms() - s->start_ms) / 1000);
    return koe_reply_text(c, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

enum MHD_Result koe_route_purge(koe_call *c)
{
    koe_cache_purge(c->server->cache);
    return koe_reply_json(c, 200, json_pack("{s:b}", "purged", 1));
}
