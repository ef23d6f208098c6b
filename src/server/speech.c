/* speech.c - see speech.h. POST /v1/audio/speech is here too. */
#include "server/speech.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "audio/encode.h"
#include "base/base.h"
#include "base/digest.h"
#include "server/choose.h"
#include "server/head.h"
#include "server/recall.h"
#include "server/wrap.h"

/* Phonemes of the first segment of a stream: a clause, so that sound leaves soon. */
enum { FIRST_SEGMENT_PHONEMES = 60 };

typedef struct speech_job {
    koe_job job; /* first: the scheduler hands it back */
    koe_server *server;
    koe_answer *answer;
    koe_utterance *utterance;
    koe_request request;
    koe_recall recall;
    koe_speaking *speaking;
    koe_encoder *encoder;
    koe_wrap wrap;
    koe_answer_about about;
    char warning[600]; /* of the answer, for its end */
    koe_buf encoded, out;
    double start_ms, audio_s;
    double counted_s; /* of audio_s, in the deadline */
    size_t next, n_segments, n_handed_over;
    koe_buf held; /* made, but not let go yet: the stream would fall silent again */
    struct speech_job *link; /* of inflight */
} speech_job;

struct koe_inflight {
    pthread_mutex_t lock; /* guards the list; the jobs in it hold their answers */
    speech_job *jobs;
};

koe_inflight *koe_inflight_create(void)
{
    koe_inflight *f = calloc(1, sizeof *f);
    if (f) pthread_mutex_init(&f->lock, NULL);
    return f;
}

void koe_inflight_destroy(koe_inflight *f)
{
    if (!f) return;
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* Holding the lock. Borrowed; NULL: nobody makes it. */
static koe_answer *find_making(const koe_inflight *f, const char *key)
{
    for (const speech_job *j = f->jobs; j; j = j->link)
        if (strcmp(j->answer->key, key) == 0 && !atomic_load(&j->answer->passing)) return j->answer;
    return NULL;
}

static void inflight_add(koe_inflight *f, speech_job *j)
{
    pthread_mutex_lock(&f->lock);
    j->link = f->jobs;
    f->jobs = j;
    pthread_mutex_unlock(&f->lock);
}

/* The call joins what another job makes already: true. Else it joins the answer of this job, which is added. One step, under the lock of the
 * list: of equal requests that come at the same time one is spoken. */
static bool inflight_join(koe_inflight *f, speech_job *j, koe_call *c)
{
    pthread_mutex_lock(&f->lock);
    koe_answer *made = find_making(f, j->answer->key);
    const bool joined = made && koe_call_join(c, made);
    if (!joined) {
        koe_call_join(c, j->answer);
        j->link = f->jobs;
        f->jobs = j;
    }
    pthread_mutex_unlock(&f->lock);
    return joined;
}

static void inflight_remove(koe_inflight *f, const speech_job *j)
{
    pthread_mutex_lock(&f->lock);
    for (speech_job **at = &f->jobs; *at; at = &(*at)->link)
        if (*at == j) {
            *at = j->link;
            break;
        }
    pthread_mutex_unlock(&f->lock);
}

static koe_answer *inflight_find(koe_inflight *f, const char *key)
{
    pthread_mutex_lock(&f->lock);
    koe_answer *a = find_making(f, key);
    if (a) koe_answer_ref(a);
    pthread_mutex_unlock(&f->lock);
    return a;
}

/* ---- turns ---------------------------------------------------------------------------------------------------------------------- */

static void job_destroy(speech_job *j)
{
    koe_speaking_close(j->speaking);
    koe_encoder_close(j->encoder);
    koe_wrap_deinit(&j->wrap);
    koe_utterance_deinit(j->utterance);
    free(j->utterance);
    koe_buf_free(&j->encoded);
    koe_buf_free(&j->out);
    koe_buf_free(&j->held);
    koe_answer_unref(j->answer);
    free(j);
}

/* Before its readers hear of the end: what they ask for next must not be refused for it, nor find it. */
static void leave_work(speech_job *j)
{
    inflight_remove(j->server->inflight, j);
    koe_sched_last_turn(j->server->sched, &j->job);
}

static koe_turn end_job(speech_job *j)
{
    job_destroy(j);
    return KOE_TURN_DONE;
}

/* Before the first byte the client gets an error. After it, an event where the answer has events; else the answer breaks off, so that
 * nobody takes it for a whole one. */
static koe_turn fail_job(speech_job *j, const koe_error *err)
{
    koe_problem p = { 0 };
    koe_error why = *err;
    if (j->speaking && why.status == KOE_E_NOT_FOUND) why.status = KOE_E_IO; /* not the voice: a file of ours */
    koe_problem_of(&p, &why);
    if (j->utterance->phonemes && p.param && strcmp(p.param, "input") == 0) p.param = "phonemes";
    koe_buf_clear(&j->out);
    if (err->status != KOE_E_CANCELLED && j->n_handed_over) koe_wrap_problem(&j->wrap, &j->out, &p);
    leave_work(j);
    if (j->out.n && koe_answer_add(j->answer, j->out.data, j->out.n, true, NULL) == KOE_OK) koe_answer_finish(j->answer);
    else koe_answer_fail(j->answer, &p);
    return end_job(j);
}

static koe_status open_speech(speech_job *j, koe_error *err)
{
    const koe_utterance *u = j->utterance;
    const double start_ms = koe_clock_ms();
    koe_audio about;
    if (!atomic_load(&j->answer->passing)) {
        j->about.queue_ms = start_ms - j->start_ms;
        koe_metrics_observe(j->server->metrics, KOE_HISTOGRAM_QUEUE, j->about.queue_ms / 1000);
    }
    j->request = koe_utterance_request(u, &j->answer->cancel);
    j->request.first_segment_phonemes = u->whole ? 0 : FIRST_SEGMENT_PHONEMES;
    j->request.first_piece_s = u->first_piece_s;
    j->request.recall = &j->recall;
    koe_status st = koe_speaking_open(&j->speaking, u->edition->engine, &j->request, err);
    if (st != KOE_OK) return st;
    koe_speaking_about(j->speaking, &about);
    j->about.text_ms = koe_clock_ms() - start_ms;
    koe_metrics_observe(j->server->metrics, KOE_HISTOGRAM_PHONEMISE, j->about.text_ms / 1000);
    j->n_segments = about.n_segments;
    snprintf(j->about.type, sizeof j->about.type, "%s", koe_wrap_type(&j->wrap));
    snprintf(j->about.voice, sizeof j->about.voice, "%s", about.voice);
    snprintf(j->about.engine, sizeof j->about.engine, "%s", about.engine);
    return KOE_OK;
}

/* What is to be said about the sound: that another voice speaks, and what of the text it could not do. */
static void note_warnings(speech_job *j, const char *of_text)
{
    const char *instead = j->utterance->warning ? j->utterance->warning : "";
    const char *own = atomic_load(&j->answer->passing) ? instead : ""; /* else the client's own, who may have asked by another name */
    snprintf(j->about.warning, sizeof j->about.warning, "%s%s%s", own, *own && *of_text ? "; " : "", of_text);
    snprintf(j->warning, sizeof j->warning, "%s%s%s", instead, *instead && *of_text ? "; " : "", of_text);
    j->wrap.warning = j->warning;
}

/* The voice cannot speak, and nobody has heard anything yet: another one speaks, when the setting `fallback` says so. */
static bool fall_back(speech_job *j, const koe_error *err)
{
    koe_utterance *u = j->utterance;
    const char *voice = NULL, *warning = u->warning;
    if (!koe_choose_may_help(err) || j->next || !koe_choose_instead(&voice, &warning, j->server, u->edition, u->voice, u->lang, KOE_LACK_VOICE, &u->arena)) return false;
    koe_log(KOE_LOG_ERROR, "voice %s: %s", u->voice ? u->voice : "", err->message);
    koe_speaking_close(j->speaking);
    j->speaking = NULL;
    u->voice = voice;
    u->warning = warning;
    atomic_store(&j->answer->passing, true);
    return true;
}

static koe_status open_encoder(speech_job *j, int rate_hz, koe_error *err)
{
    const koe_utterance *u = j->utterance;
    const koe_encode_options o = { .format = koe_str_of(u->format), .in_rate_hz = rate_hz, .out_rate_hz = u->sample_rate, .bitrate = u->bitrate,
                                   .whole = u->whole };
    return koe_encoder_open(&j->encoder, &o, err);
}

static koe_status encode(speech_job *j, const koe_audio *audio, koe_error *err)
{
    const double start_ms = koe_clock_ms();
    koe_status st = j->encoder ? KOE_OK : open_encoder(j, audio->rate_hz, err);
    if (st != KOE_OK) return st;
    const float *samples = koe_wrap_samples(&j->wrap, audio);
    if (!samples && audio->n_samples) return koe_fail(err, KOE_E_NOMEM, "%zu samples", audio->n_samples);
    koe_buf_clear(&j->encoded);
    st = koe_encoder_write(j->encoder, samples, audio->n_samples, &j->encoded, err);
    if (st == KOE_OK && audio->segment + 1 == audio->n_segments) st = koe_encoder_finish(j->encoder, &j->encoded, err);
    if (st == KOE_OK && j->encoded.failed) st = koe_fail(err, KOE_E_NOMEM, "encoder");
    const double took_ms = koe_clock_ms() - start_ms;
    j->about.encode_ms += took_ms;
    koe_metrics_observe(j->server->metrics, KOE_HISTOGRAM_ENCODE, took_ms / 1000);
    return st;
}

/* Once the first piece is there, the head can say whether some of the sound need not be made. */
static void note_cache(speech_job *j, bool recalled)
{
    koe_audio ahead = { 0 };
    if (!recalled && j->n_segments > 1) koe_speaking_about(j->speaking, &ahead);
    snprintf(j->about.cache, sizeof j->about.cache, "%s", recalled || ahead.recalled ? "partial" : "miss");
}

/* Whether what there is may leave: the listener starts with the first byte, and must not fall silent before the next turn. Until then it is
 * put aside. */
static bool may_leave(speech_job *j, bool last)
{
    if (j->n_handed_over || last || j->answer->whole || koe_sched_may_begin(j->server->sched, j->audio_s)) {
        if (!j->held.n) return true;
        koe_buf_add_str(&j->held, koe_buf_str(&j->out));
        const koe_buf all = j->held;
        j->held = j->out;
        j->out = all;
        koe_buf_clear(&j->held);
        return true;
    }
    koe_buf_add_str(&j->held, koe_buf_str(&j->out));
    return false;
}

/* Lets j->out go, if it may; KOE_E_FULL as koe_answer_add(). */
static koe_status hand_over(speech_job *j, bool last, koe_error *err)
{
    koe_job *job = &j->job;
    const bool leaves = may_leave(j, last);
    if (j->out.failed || j->held.failed) return koe_fail(err, KOE_E_NOMEM, "answer");
    if (!leaves) return KOE_OK;
    if (!j->n_handed_over) koe_answer_head(j->answer, &j->about);
    job->deadline_ms = (j->n_handed_over ? fmax(job->deadline_ms, koe_clock_ms()) : koe_clock_ms()) + (j->audio_s - j->counted_s) * 1000;
    j->counted_s = j->audio_s;
    j->n_handed_over++;
    job->begun = !job->batch;
    return koe_answer_add(j->answer, j->out.data, j->out.n, last, err);
}

/* The first sound leaves before all of its piece is encoded: Opus and AAC take milliseconds for that. What is left of the piece in *audio. */
static koe_status hand_over_beginning(speech_job *j, koe_audio *audio, koe_error *err)
{
    const double beginning_s = 0.08; /* MP3 has its first bytes after 75 ms */
    const size_t n = (size_t)(beginning_s * audio->rate_hz);
    if (j->next != 1 || j->answer->whole || j->utterance->shape != KOE_SHAPE_AUDIO || audio->n_samples <= n) return KOE_OK;
    koe_audio beginning = *audio;
    beginning.n_samples = n;
    beginning.n_segments++; /* there is more to come */
    audio->samples += n;
    audio->n_samples -= n;
    koe_status st = encode(j, &beginning, err);
    if (st != KOE_OK || !j->encoded.n) return st;
    koe_wrap_add(&j->wrap, &j->out, koe_buf_str(&j->encoded), &beginning);
    st = hand_over(j, false, err);
    koe_buf_clear(&j->out);
    return st == KOE_E_FULL ? KOE_OK : st; /* the rest of the piece is said to be too much again */
}

/* One segment, from text to bytes in j->out. */
static koe_status speak_segment(speech_job *j, double *made_s, koe_error *err)
{
    koe_audio audio;
    koe_metrics *m = j->server->metrics;
    const double start_ms = koe_clock_ms();
    koe_status st = koe_speaking_next(j->speaking, &audio, err);
    if (st != KOE_OK) return st;
    const double took_ms = koe_clock_ms() - start_ms;
    const double sound_s = (double)audio.n_samples / audio.rate_hz;
    *made_s = audio.recalled ? 0 : sound_s;
    j->audio_s += sound_s;
    if (j->next == 0) note_cache(j, audio.recalled);
    j->next++;
    j->n_segments = audio.n_segments; /* of a long text more become known */
    j->about.synthesis_ms += took_ms;
    koe_metrics_observe(m, KOE_HISTOGRAM_SYNTHESIS, took_ms / 1000);
    if (sound_s > 0) koe_metrics_observe(m, KOE_HISTOGRAM_REALTIME, took_ms / 1000 / sound_s);
    koe_metrics_spoke(m, sound_s);
    note_warnings(j, audio.warnings);
    koe_buf_clear(&j->out);
    if (j->next == j->n_segments && j->audio_s == 0) /* an empty answer would look like a broken one */
        return koe_fail(err, KOE_E_ARGUMENT, "there is nothing in it that has a sound%s%s", audio.warnings[0] ? ": " : "", audio.warnings);
    st = hand_over_beginning(j, &audio, err);
    if (st == KOE_OK) st = encode(j, &audio, err);
    if (st == KOE_OK) koe_wrap_add(&j->wrap, &j->out, koe_buf_str(&j->encoded), &audio);
    if (st == KOE_OK && j->next == j->n_segments) koe_wrap_end(&j->wrap, &j->out, j->audio_s);
    if (st == KOE_OK && (j->out.failed || j->wrap.failed)) st = koe_fail(err, KOE_E_NOMEM, "answer");
    return st;
}

/* The whole answer from Redis, which connections do not ask because they must not wait. */
static bool find_far(speech_job *j)
{
    koe_answer *a = j->server->redis ? koe_cache_find_far(j->server->cache, j->answer->key) : NULL;
    if (!a) return false;
    koe_answer_about about = a->about;
    about.queue_ms = koe_clock_ms() - j->start_ms;
    memcpy(about.cache, "hit", sizeof "hit");
    koe_answer_head(j->answer, &about);
    const bool found = koe_answer_add(j->answer, a->bytes.data, a->bytes.n, true, NULL) == KOE_OK;
    if (found) {
        leave_work(j);
        koe_answer_finish(j->answer);
    }
    koe_answer_unref(a);
    return found;
}

static koe_turn run_turn(koe_job *job, double *made_s)
{
    speech_job *j = (speech_job *)(void *)job;
    koe_error err = { 0 };
    koe_status st = atomic_load(&j->answer->cancel) ? koe_fail(&err, KOE_E_CANCELLED, "the client has left") : KOE_OK;
    if (st == KOE_OK && !j->speaking) {
        if (find_far(j)) return end_job(j);
        koe_cache_count_miss(j->server->cache);
        st = open_speech(j, &err);
    }
    if (st == KOE_OK) st = speak_segment(j, made_s, &err);
    if (st != KOE_OK && fall_back(j, &err)) return KOE_TURN_AGAIN;
    if (st != KOE_OK) return fail_job(j, &err);
    const bool last = j->next == j->n_segments;
    st = hand_over(j, last, &err);
    if (st == KOE_E_FULL) return KOE_TURN_PARKED;
    if (st != KOE_OK) return fail_job(j, &err);
    if (!last) return KOE_TURN_AGAIN;
    const bool kept = !atomic_load(&j->answer->passing) && koe_cache_keep(j->server->cache, j->answer); /* before its readers hear of the end and ask again */
    leave_work(j);
    if (kept) koe_cache_write(j->server->cache, j->answer); /* before, too: a purge that comes after the end forgets it */
    koe_answer_finish(j->answer);
    return end_job(j);
}

static void wake_job(koe_answer *a)
{
    speech_job *j = a->job;
    koe_sched_wake(j->server->sched, &j->job);
}

/* ---- starting --------------------------------------------------------------------------------------------------------------------- */

/* Seconds of sound of an utterance, about. */
static double expected_s(const koe_utterance *u)
{
    const double chars_a_second = 15;
    return (double)u->n_chars / chars_a_second / (u->speed > 0 ? u->speed : 1);
}

static speech_job *job_create(koe_server *s, koe_utterance *u, const char *key)
{
    speech_job *j = calloc(1, sizeof *j);
    koe_utterance *kept = calloc(1, sizeof *kept);
    koe_answer *a = koe_answer_create(key, u->whole || u->shape == KOE_SHAPE_JSON);
    if (!j || !kept || !a) {
        free(j);
        free(kept);
        koe_answer_unref(a);
        return NULL;
    }
    *kept = *u;
    *u = (koe_utterance){ 0 };
    j->job = (koe_job){ .turn = run_turn, .deadline_ms = koe_clock_ms(), .batch = a->whole,
                        .sound_s = expected_s(kept) };
    j->server = s;
    j->recall = koe_recall_of(s->cache, kept->edition->digest);
    j->answer = a;
    j->utterance = kept;
    j->start_ms = koe_clock_ms();
    koe_wrap_init(&j->wrap, kept);
    a->wake = wake_job;
    a->filler = koe_wrap_filler(&j->wrap);
    a->job = j;
    return j;
}

/* The machine has no time for the voice: one that costs less speaks, when the setting `fallback` says so. */
static bool speak_cheaper(speech_job *j)
{
    koe_utterance *u = j->utterance;
    const char *voice = NULL, *warning = u->warning;
    if (!koe_choose_instead(&voice, &warning, j->server, u->edition, u->voice, u->lang, KOE_LACK_TIME, &u->arena)) return false;
    u->voice = voice;
    u->warning = warning;
    j->job.light = koe_choose_is_light(u->edition, voice);
    atomic_store(&j->answer->passing, true);
    return true;
}

/* The answer of a new job, or of one that somebody else has started meanwhile, joined by the call; false after replying why not. */
static bool start(koe_call *c, koe_utterance *u, const char *key, enum MHD_Result *result)
{
    koe_server *s = c->server;
    koe_error err = { 0 };
    koe_problem p = { 0 };
    speech_job *j = job_create(s, u, key);
    if (!j) {
        *result = koe_reply_error(c, 503, "overloaded", NULL, "the server has no memory for this now");
        return false;
    }
    j->job.owner = koe_keys_owner(&c->who, c->address);
    atomic_store(&s->asked, true);
    if (inflight_join(s->inflight, j, c)) {
        job_destroy(j);
        return true;
    }
    do {
        if (koe_sched_add(s->sched, &j->job, &p.retry_after_s, &err) == KOE_OK) return true;
    } while (speak_cheaper(j));
    const int retry_after_s = p.retry_after_s;
    koe_problem_set(&p, 503, "overloaded", NULL, "%s; come again in %d s", err.message, retry_after_s);
    p.retry_after_s = retry_after_s;
    koe_metrics_count(s->metrics, KOE_COUNTER_REFUSED, "overloaded");
    koe_answer_fail(j->answer, &p); /* others may have joined */
    inflight_remove(s->inflight, j);
    job_destroy(j);
    return true;
}

koe_status koe_speech_warm(koe_server *s, koe_utterance *u, koe_error *err)
{
    char key[KOE_DIGEST_TEXT];
    int retry_s = 0;
    koe_utterance_key(u, key);
    koe_answer *a = koe_cache_find(s->cache, key);
    speech_job *j = a ? NULL : job_create(s, u, key);
    koe_utterance_deinit(u);
    koe_answer_unref(a);
    if (!j) return a ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "a phrase to warm");
    j->job.batch = true;
    inflight_add(s->inflight, j);
    const koe_status st = koe_sched_add(s->sched, &j->job, &retry_s, err);
    if (st != KOE_OK) {
        inflight_remove(s->inflight, j);
        job_destroy(j);
    }
    return st;
}

static bool etag_matches(koe_call *c, const char *key)
{
    char tag[KOE_TAG_TEXT];
    koe_head_tag(tag, key);
    const char *list = koe_call_header(c, "If-None-Match");
    return *key && list && !strchr(list, '*') && koe_head_matches_tag(list, tag); /* "*" asks whether there is any, which is always so */
}

/* Keys of the answers that do: one that begins with a short piece has other bytes than one of whole clauses. A short piece pays only for who
 * has the machine alone; what was made before is welcome either way. key[0] is to be made, and *u says so; key[1]: "" when there is no other. */
static void choose_variant(const koe_server *s, koe_utterance *u, char key[2][KOE_DIGEST_TEXT])
{
    const koe_sched_load load = koe_sched_get_load(s->sched);
    const bool busy = load.n_streams > load.n_parked || load.n_batch;
    const double piece_s = u->first_piece_s;
    key[1][0] = 0;
    if (piece_s > 0) {
        u->first_piece_s = busy ? piece_s : 0;
        koe_utterance_key(u, key[1]);
    }
    u->first_piece_s = busy ? 0 : piece_s;
    koe_utterance_key(u, key[0]);
}

/* The answer to one of the keys, whole or in the making. */
static koe_answer *find_answer(koe_call *c, char key[2][KOE_DIGEST_TEXT])
{
    koe_server *s = c->server;
    koe_answer *a = koe_cache_find(s->cache, key[0]);
    if (!a && *key[1]) a = koe_cache_find(s->cache, key[1]);
    if (a) koe_metrics_count(s->metrics, KOE_COUNTER_CACHE, c->cache_state = "hit");
    for (int i = 0; i < 2 && !a && *key[i]; i++) a = inflight_find(s->inflight, key[i]);
    return a;
}

static enum MHD_Result reply_not_modified(koe_call *c, const char *key)
{
    char tag[KOE_TAG_TEXT];
    struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    koe_head_tag(tag, key);
    MHD_add_response_header(r, "ETag", tag);
    return koe_reply(c, 304, NULL, r);
}

/* Finds or starts the answer to a request, which it takes in every case, and replies with it. */
static enum MHD_Result reply(koe_call *c, koe_utterance *u)
{
    koe_server *s = c->server;
    koe_problem p = { 0 };
    char key[2][KOE_DIGEST_TEXT];
    enum MHD_Result result = MHD_YES;
    choose_variant(s, u, key);
    c->format = u->format;
    snprintf(c->warning, sizeof c->warning, "%s", u->warning ? u->warning : "");
    if (!koe_keys_take(s->keys, &c->who, c->address, 1, (double)u->n_chars, &p)) {
        koe_metrics_count(s->metrics, KOE_COUNTER_REFUSED, "limit");
        result = koe_reply_problem(c, &p);
    } else if (etag_matches(c, key[0]) || etag_matches(c, key[1])) {
        result = reply_not_modified(c, key[!etag_matches(c, key[0])]);
    } else {
        koe_answer *a = find_answer(c, key);
        const bool joined = (a && koe_call_join(c, a)) || start(c, u, key[0], &result);
        koe_answer_unref(a);
        if (joined) result = koe_reply_answer(c);
    }
    koe_utterance_deinit(u);
    return result;
}

enum MHD_Result koe_speech_route(koe_call *c, const char *field, void (*adjust)(koe_utterance *u, const json_t *body))
{
    enum MHD_Result result = MHD_YES;
    koe_problem p = { 0 };
    koe_utterance u = { 0 };
    json_t *body = koe_call_json(c, &result);
    if (!body) return result;
    const bool ok = koe_utterance_read(&u, c->server, body, field, &p);
    if (ok && adjust) adjust(&u, body);
    json_decref(body);
    if (ok) return reply(c, &u);
    koe_utterance_deinit(&u);
    return koe_reply_problem(c, &p);
}

enum MHD_Result koe_route_speech(koe_call *c) { return koe_speech_route(c, "input", NULL); }
