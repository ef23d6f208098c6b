/* warm.c - see warm.h. */
#include "server/warm.h"

#include <stdlib.h>
#include <time.h>

#include "audio/encode.h"
#include "base/base.h"
#include "server/speech.h"

enum { MAX_FILE_BYTES = 64 << 20, WAIT_MS = 20 };

struct koe_warmer {
    koe_server *server;
    koe_buf text;
    atomic_bool stop;
    pthread_t thread;
};

static json_t *body_of(koe_str line)
{
    if (line.p[0] == '{') return json_loadb(line.p, line.n, 0, NULL);
    return json_pack("{s:o}", "input", json_stringn(line.p, line.n));
}

/* Waits until nobody else wants the machine. */
static void wait_for_quiet(koe_warmer *w)
{
    for (;;) {
        const koe_sched_load l = koe_sched_get_load(w->server->sched);
        if (l.n_streams + l.n_batch == 0 || atomic_load(&w->stop)) return;
        nanosleep(&(struct timespec){ .tv_nsec = WAIT_MS * 1000000L }, NULL);
    }
}

static void warm_line(koe_warmer *w, koe_str line, size_t number)
{
    koe_utterance u = { 0 };
    koe_problem p = { 0 };
    koe_error err = { 0 };
    json_t *body = body_of(line);
    if (!body) koe_problem_set(&p, 400, "invalid_json", NULL, "not JSON, or not UTF-8");
    if (body && koe_utterance_read(&u, w->server, body, "input", &p)) {
        wait_for_quiet(w);
        if (koe_speech_warm(w->server, &u, &err) != KOE_OK) koe_problem_set(&p, 503, "overloaded", NULL, "%s", err.message);
    } else {
        koe_utterance_deinit(&u);
    }
    if (p.status) koe_log(KOE_LOG_WARN, "%s, line %zu: %s", w->server->config->warm, number, p.message);
    json_decref(body);
}

static void *warm_all(void *arg)
{
    koe_warmer *w = arg;
    koe_error err = { 0 };
    if (w->server->config->preload) koe_models_warm(w->server->models, &w->server->asked);
    if (koe_encode_load(&err) != KOE_OK) koe_log(KOE_LOG_WARN, "%s", err.message);
    koe_str text = koe_buf_str(&w->text);
    for (size_t number = 1; text.n && !atomic_load(&w->stop); number++) {
        const char *end = memchr(text.p, '\n', text.n);
        const size_t n = end ? (size_t)(end - text.p) : text.n;
        const koe_str line = koe_str_trim((koe_str){ text.p, n });
        if (line.n) warm_line(w, line, number);
        text = koe_str_sub(text, n + 1, text.n);
    }
    return NULL;
}

koe_warmer *koe_warm_start(koe_server *s)
{
    koe_error err = { 0 };
    koe_warmer *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    w->server = s;
    if (*s->config->warm && koe_file_read(&w->text, s->config->warm, MAX_FILE_BYTES, &err) != KOE_OK) koe_log(KOE_LOG_ERROR, "no phrases are warmed: %s", err.message);
    if (pthread_create(&w->thread, NULL, warm_all, w) == 0) return w;
    koe_log(KOE_LOG_ERROR, "nothing is warmed: no thread");
    koe_buf_free(&w->text);
    free(w);
    return NULL;
}

void koe_warm_stop(koe_warmer *w)
{
    if (!w) return;
    atomic_store(&w->stop, true);
    atomic_store(&w->server->asked, true);
    pthread_join(w->thread, NULL);
    koe_buf_free(&w->text);
    free(w);
}
