/* live.c - see live.h. */
#include "server/live.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "audio/encode.h"
#include "base/base.h"
#include "server/choose.h"
#include "server/json.h"
#include "server/recall.h"
#include "server/wrap.h"

enum { OUTBOX_BYTES = 1 << 20, /* more waits for the client */ FIRST_SEGMENT_PHONEMES = 60 };

/* ---- outbox ------------------------------------------------------------------------------------------------------------------- */

struct koe_outbox {
    atomic_int refs;
    atomic_size_t n_bytes;
    int event_fd;
    pthread_mutex_t lock; /* guards: */
    koe_message *first, *last;
    bool failed;
};

koe_outbox *koe_outbox_create(void)
{
    koe_outbox *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    atomic_init(&o->refs, 1);
    o->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&o->lock, NULL);
    if (o->event_fd >= 0) return o;
    koe_outbox_unref(o);
    return NULL;
}

int koe_outbox_fd(const koe_outbox *o) { return o->event_fd; }

void koe_message_free(koe_message *m)
{
    if (!m) return;
    koe_buf_free(&m->bytes);
    free(m);
}

void koe_outbox_unref(koe_outbox *o)
{
    if (!o || atomic_fetch_sub(&o->refs, 1) != 1) return;
    for (koe_message *m = o->first, *next; m; m = next) {
        next = m->next;
        koe_message_free(m);
    }
    pthread_mutex_destroy(&o->lock);
    if (o->event_fd >= 0) close(o->event_fd);
    free(o);
}

/* Takes the bytes. */
static void put_bytes(koe_outbox *o, bool binary, koe_buf *bytes)
{
    koe_message *m = bytes->failed ? NULL : calloc(1, sizeof *m);
    if (m) *m = (koe_message){ .binary = binary, .bytes = *bytes };
    else koe_buf_free(bytes);
    *bytes = (koe_buf){ 0 };
    pthread_mutex_lock(&o->lock);
    if (!m) {
        o->failed = true;
    } else {
        *(o->last ? &o->last->next : &o->first) = m;
        o->last = m;
        atomic_fetch_add(&o->n_bytes, m->bytes.n);
    }
    (void)!write(o->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    pthread_mutex_unlock(&o->lock);
}

void koe_outbox_put_json(koe_outbox *o, json_t *j)
{
    koe_buf b = { 0 };
    koe_json_add(&b, j);
    put_bytes(o, false, &b);
}

koe_message *koe_outbox_take(koe_outbox *o)
{
    pthread_mutex_lock(&o->lock);
    koe_message *m = o->first;
    if (m) {
        o->first = m->next;
        if (!o->first) o->last = NULL;
        atomic_fetch_sub(&o->n_bytes, m->bytes.n);
    }
    pthread_mutex_unlock(&o->lock);
    return m;
}

bool koe_outbox_is_empty(koe_outbox *o)
{
    pthread_mutex_lock(&o->lock);
    const bool empty = !o->first;
    pthread_mutex_unlock(&o->lock);
    return empty;
}

bool koe_outbox_failed(koe_outbox *o)
{
    pthread_mutex_lock(&o->lock);
    const bool failed = o->failed;
    pthread_mutex_unlock(&o->lock);
    return failed;
}

/* ---- the text ------------------------------------------------------------------------------------------------------------------ */

struct koe_live {
    koe_job job; /* first: the scheduler hands it back */
    atomic_int refs;
    atomic_bool cancel, told;
    koe_server *server;
    koe_outbox *outbox;
    /* the worker's */
    koe_utterance utterance; /* .input is the piece being spoken */
    koe_buf piece;
    koe_request request;
    koe_recall recall;
    koe_speaking *speaking;
    koe_encoder *encoder;
    koe_wrap wrap;
    double start_ms;
    bool queued; /* its time in the queue was counted */
    double audio_s, piece_at_s; /* sound so far, and where the piece began */
    char warning[600]; /* "": none */
    size_t n_chars, piece_at_chars, seq;
    pthread_mutex_t lock; /* guards: */
    koe_buf text; /* not yet spoken */
    bool flush, ended, parked, over;
};

static void live_unref(koe_live *l)
{
    if (atomic_fetch_sub(&l->refs, 1) != 1) return;
    koe_speaking_close(l->speaking);
    koe_encoder_close(l->encoder);
    koe_wrap_deinit(&l->wrap);
    koe_utterance_deinit(&l->utterance);
    koe_buf_free(&l->piece);
    koe_buf_free(&l->text);
    koe_outbox_unref(l->outbox);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* "Dr." and "J." do not end a sentence; p[at] is the full stop. */
static bool is_abbreviation(const char *p, size_t at)
{
    size_t n = 0;
    while (n < at && n < 4 && isalpha((unsigned char)p[at - n - 1])) n++;
    return n > 0 && n <= 3 && isupper((unsigned char)p[at - n]);
}

/* Whether the sentence ends with the character that ends before byte `at`: . ! ? or the full-width forms. */
static size_t sentence_end(koe_str s, size_t at)
{
    static const char *const wide[] = { "\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f", "\xe2\x80\xa6" };
    for (size_t i = 0; i < 4; i++)
        if (s.n - at >= 3 && memcmp(s.p + at, wide[i], 3) == 0) return at + 3;
    if (s.p[at] == '\n') return at + 1;
    if (!strchr(".!?", s.p[at]) || (s.p[at] == '.' && is_abbreviation(s.p, at))) return 0;
    size_t end = at + 1;
    while (end < s.n && strchr("\"')]", s.p[end])) end++;
    return end < s.n && isspace((unsigned char)s.p[end]) ? end + 1 : 0;
}

/* Bytes of the text that are whole sentences. */
static size_t complete(koe_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        const size_t end = s.p[i] ? sentence_end(s, i) : 0;
        if (end) n = end;
    }
    return n;
}

/* Bytes of text to speak now. Holding the lock. */
static size_t ready_bytes(const koe_live *l)
{
    if (l->flush || l->ended) return l->text.n;
    return complete(koe_buf_str(&l->text));
}

/* The next piece, moved from l->text to l->piece. */
typedef enum next_piece { PIECE, NOTHING_YET, NOTHING_MORE } next_piece;

static next_piece take_piece(koe_live *l)
{
    pthread_mutex_lock(&l->lock);
    const size_t n = ready_bytes(l);
    const next_piece next = n ? PIECE : l->ended ? NOTHING_MORE : NOTHING_YET;
    koe_buf_clear(&l->piece);
    koe_buf_add(&l->piece, l->text.data, n);
    if (n) {
        memmove(l->text.data, l->text.data + n, l->text.n - n);
        l->text.n -= n;
        if (l->text.n == 0) l->flush = false;
    } else {
        l->flush = false;
    }
    if (next == NOTHING_YET) l->parked = true;
    pthread_mutex_unlock(&l->lock);
    return next;
}

/* ---- turns ------------------------------------------------------------------------------------------------------------------------- */

static void put_audio(koe_live *l, koe_buf *sound)
{
    if (!sound->n) return;
    koe_outbox_put_json(l->outbox, json_pack("{s:s, s:I, s:I, s:s}", "type", "audio", "seq", (json_int_t)l->seq++, "bytes", (json_int_t)sound->n, "format",
                                             l->utterance.format));
    put_bytes(l->outbox, true, sound);
}

static koe_turn end_live(koe_live *l, koe_status st, const koe_error *err)
{
    koe_buf sound = { 0 };
    const json_int_t input = (json_int_t)l->n_chars, output = (json_int_t)ceil(l->audio_s * 50);
    if (st == KOE_OK && l->encoder && koe_encoder_finish(l->encoder, &sound, NULL) == KOE_OK) put_audio(l, &sound);
    koe_buf_free(&sound);
    koe_problem p = { 0 };
    if (st != KOE_OK && st != KOE_E_CANCELLED) koe_problem_of(&p, err);
    json_t *j = p.status ? koe_problem_json(&p)
                         : json_pack("{s:s, s:b, s:{s:I, s:I, s:I}}", "type", "done", "cancelled", st != KOE_OK, "usage", "input_tokens", input,
                                     "output_tokens", output, "total_tokens", input + output);
    if (j && p.status) json_object_set_new(j, "type", json_string("error"));
    if (j && !p.status && l->warning[0]) json_object_set_new(j, "warning", json_string(l->warning));
    pthread_mutex_lock(&l->lock);
    l->over = true; /* before the client hears of it, and starts the next */
    pthread_mutex_unlock(&l->lock);
    koe_sched_last_turn(l->server->sched, &l->job); /* nor must that be refused for it */
    koe_outbox_put_json(l->outbox, j);
    atomic_store(&l->told, true);
    (void)!write(l->outbox->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    live_unref(l);
    return KOE_TURN_DONE;
}

static bool has_words(koe_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (isalnum((unsigned char)s.p[i]) || (unsigned char)s.p[i] >= 0x80) return true;
    return false;
}

/* Once each. */
static void note_warning(koe_live *l, const char *text)
{
    const size_t n = strlen(l->warning);
    if (*text && !strstr(l->warning, text)) snprintf(l->warning + n, sizeof l->warning - n, "%s%s", n ? "; " : "", text);
}

static koe_status open_speech(koe_live *l, koe_error *err)
{
    koe_utterance *u = &l->utterance;
    const double start_ms = koe_clock_ms();
    l->request = koe_utterance_request(u, &l->cancel);
    l->request.ssml = l->request.phonemes = false; /* the text comes in pieces */
    l->request.first_segment_phonemes = l->audio_s == 0 ? FIRST_SEGMENT_PHONEMES : 0;
    l->request.first_piece_s = l->audio_s == 0 ? u->first_piece_s : 0;
    l->request.recall = &l->recall;
    const koe_status st = koe_speaking_open(&l->speaking, u->edition->engine, &l->request, err);
    if (st == KOE_OK) koe_metrics_observe(l->server->metrics, KOE_HISTOGRAM_PHONEMISE, (koe_clock_ms() - start_ms) / 1000);
    return st;
}

/* The voice cannot speak, and nobody has heard it yet: another one speaks the piece, when the setting `fallback` says so. In mid-stream
 * nothing but an error is honest. */
static bool fall_back(koe_live *l, const koe_error *err)
{
    koe_utterance *u = &l->utterance;
    const char *voice = NULL;
    if (l->audio_s > 0 || !koe_choose_may_help(err)) return false;
    if (!koe_choose_instead(&voice, &u->warning, l->server, u->edition, u->voice, u->lang, KOE_LACK_VOICE, &u->arena)) return false;
    koe_log(KOE_LOG_ERROR, "voice %s: %s", u->voice ? u->voice : "", err->message);
    koe_speaking_close(l->speaking);
    l->speaking = NULL;
    u->voice = voice;
    snprintf(l->warning, sizeof l->warning, "%s", u->warning); /* nothing of the text was spoken, so that nothing else is said of it */
    return true;
}

static koe_status open_piece(koe_live *l, koe_error *err)
{
    koe_utterance *u = &l->utterance;
    u->input = koe_buf_str(&l->piece);
    if (l->piece.failed) return koe_fail(err, KOE_E_NOMEM, "text");
    l->piece_at_s = l->audio_s;
    l->piece_at_chars = l->n_chars;
    for (size_t i = 0; i < u->input.n; i++) l->n_chars += ((unsigned char)u->input.p[i] & 0xC0) != 0x80;
    l->wrap.at_bytes = l->wrap.at_chars = 0;
    if (!has_words(u->input)) return KOE_OK;
    if (!l->queued) koe_metrics_observe(l->server->metrics, KOE_HISTOGRAM_QUEUE, (koe_clock_ms() - l->start_ms) / 1000);
    l->queued = true;
    return open_speech(l, err);
}

static koe_status encode(koe_live *l, const koe_audio *audio, koe_buf *out, koe_error *err)
{
    const koe_utterance *u = &l->utterance;
    const koe_encode_options o = { .format = koe_str_of(u->format), .in_rate_hz = audio->rate_hz, .out_rate_hz = u->sample_rate, .bitrate = u->bitrate };
    const double start_ms = koe_clock_ms();
    koe_status st = l->encoder ? KOE_OK : koe_encoder_open(&l->encoder, &o, err);
    const float *samples = koe_wrap_samples(&l->wrap, audio);
    if (st == KOE_OK && !samples && audio->n_samples) st = koe_fail(err, KOE_E_NOMEM, "%zu samples", audio->n_samples);
    if (st == KOE_OK) st = koe_encoder_write(l->encoder, samples, audio->n_samples, out, err);
    if (st == KOE_OK && out->failed) st = koe_fail(err, KOE_E_NOMEM, "encoder");
    koe_metrics_observe(l->server->metrics, KOE_HISTOGRAM_ENCODE, (koe_clock_ms() - start_ms) / 1000);
    return st;
}

static koe_status speak_segment(koe_live *l, double *made_s, koe_error *err)
{
    koe_audio audio;
    koe_buf sound = { 0 };
    koe_metrics *m = l->server->metrics;
    const double start_ms = koe_clock_ms();
    koe_status st = koe_speaking_next(l->speaking, &audio, err);
    const double took_s = (koe_clock_ms() - start_ms) / 1000;
    if (st == KOE_OK) st = encode(l, &audio, &sound, err);
    if (st == KOE_OK) {
        put_audio(l, &sound);
        const double sound_s = (double)audio.n_samples / audio.rate_hz;
        *made_s = audio.recalled ? 0 : sound_s;
        l->audio_s += sound_s;
        note_warning(l, audio.warnings);
        koe_metrics_observe(m, KOE_HISTOGRAM_SYNTHESIS, took_s);
        if (sound_s > 0) koe_metrics_observe(m, KOE_HISTOGRAM_REALTIME, took_s / sound_s);
        if (l->audio_s == sound_s) {
            koe_metrics_count(m, KOE_COUNTER_VOICES, audio.voice);
            koe_metrics_count(m, KOE_COUNTER_FORMATS, l->utterance.format);
        }
        koe_metrics_spoke(m, sound_s);
        koe_outbox_put_json(l->outbox, json_pack("{s:s, s:o}", "type", "timestamps", "timestamps",
                                                 koe_wrap_words(&l->wrap, &audio, l->piece_at_s, l->piece_at_chars)));
        if (audio.n_marks) {
            json_t *marks = koe_wrap_marks(&l->wrap, &audio, l->piece_at_s, l->piece_at_chars);
            for (size_t i = 0; i < json_array_size(marks); i++) koe_outbox_put_json(l->outbox, json_incref(json_array_get(marks, i)));
            json_decref(marks);
        }
        if (audio.segment + 1 == audio.n_segments) {
            koe_speaking_close(l->speaking);
            l->speaking = NULL;
        }
    }
    koe_buf_free(&sound);
    return st;
}

/* Parks the job while the outbox is full. */
static bool park_if_full(koe_live *l)
{
    pthread_mutex_lock(&l->lock);
    const bool full = atomic_load(&l->outbox->n_bytes) >= OUTBOX_BYTES && !atomic_load(&l->cancel);
    if (full) l->parked = true;
    pthread_mutex_unlock(&l->lock);
    return full;
}

static koe_turn run_turn(koe_job *job, double *made_s)
{
    koe_live *l = (koe_live *)(void *)job;
    koe_error err = { 0 };
    const double before_s = l->audio_s;
    if (atomic_load(&l->cancel)) return end_live(l, KOE_E_CANCELLED, &err);
    if (park_if_full(l)) return KOE_TURN_PARKED;
    koe_status st = KOE_OK;
    while (st == KOE_OK && !l->speaking) {
        const next_piece next = take_piece(l);
        if (next == NOTHING_YET) return KOE_TURN_PARKED;
        if (next == NOTHING_MORE) return end_live(l, KOE_OK, &err);
        st = open_piece(l, &err);
    }
    if (st == KOE_OK) st = speak_segment(l, made_s, &err);
    while (st != KOE_OK && fall_back(l, &err)) {
        err = (koe_error){ 0 };
        st = open_speech(l, &err);
        if (st == KOE_OK) st = speak_segment(l, made_s, &err);
    }
    if (st != KOE_OK) return end_live(l, st, &err);
    job->deadline_ms = fmax(job->deadline_ms, koe_clock_ms()) + (l->audio_s - before_s) * 1000;
    job->begun |= l->audio_s > 0;
    return KOE_TURN_AGAIN;
}

/* ---- the client's side ------------------------------------------------------------------------------------------------------------- */

/* The machine has no time for the voice: one that costs less speaks, when the setting `fallback` says so. */
static bool speak_cheaper(koe_live *l)
{
    koe_utterance *u = &l->utterance;
    if (!koe_choose_instead(&u->voice, &u->warning, l->server, u->edition, u->voice, u->lang, KOE_LACK_TIME, &u->arena)) return false;
    snprintf(l->warning, sizeof l->warning, "%s", u->warning);
    l->job.light = koe_choose_is_light(u->edition, u->voice);
    return true;
}

koe_live *koe_live_start(koe_server *s, koe_utterance *u, uint64_t owner, koe_outbox *o, koe_problem *p)
{
    koe_error err = { 0 };
    int retry_s = 0;
    koe_live *l = calloc(1, sizeof *l);
    if (!l) {
        koe_utterance_deinit(u);
        koe_problem_set(p, 503, "overloaded", NULL, "the server has no memory for this now");
        return NULL;
    }
    l->job = (koe_job){ .turn = run_turn, .deadline_ms = koe_clock_ms(), .owner = owner };
    atomic_init(&l->refs, 2);
    pthread_mutex_init(&l->lock, NULL);
    l->server = s;
    l->start_ms = koe_clock_ms();
    l->outbox = o;
    atomic_fetch_add(&o->refs, 1);
    l->utterance = *u;
    *u = (koe_utterance){ 0 };
    atomic_store(&s->asked, true);
    l->recall = koe_recall_of(s->cache, l->utterance.edition->digest);
    koe_wrap_init(&l->wrap, &l->utterance);
    if (l->utterance.warning) snprintf(l->warning, sizeof l->warning, "%s", l->utterance.warning);
    do {
        if (koe_sched_add(s->sched, &l->job, &retry_s, &err) == KOE_OK) return l;
    } while (speak_cheaper(l));
    koe_problem_set(p, 503, "overloaded", NULL, "%s; come again in %d s", err.message, retry_s);
    koe_metrics_count(s->metrics, KOE_COUNTER_REFUSED, "overloaded");
    live_unref(l);
    live_unref(l);
    return NULL;
}

/* Something has changed: a parked job looks again. */
static void wake(koe_live *l)
{
    pthread_mutex_lock(&l->lock);
    const bool wake_job = l->parked;
    l->parked = false;
    pthread_mutex_unlock(&l->lock);
    if (wake_job) koe_sched_wake(l->server->sched, &l->job);
}

bool koe_live_text(koe_live *l, koe_str text)
{
    pthread_mutex_lock(&l->lock);
    if (!l->ended) koe_buf_add(&l->text, text.p, text.n);
    const bool ok = !l->text.failed;
    pthread_mutex_unlock(&l->lock);
    wake(l);
    return ok;
}

void koe_live_flush(koe_live *l)
{
    pthread_mutex_lock(&l->lock);
    l->flush = true;
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

void koe_live_end(koe_live *l)
{
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

void koe_live_cancel(koe_live *l)
{
    atomic_store(&l->cancel, true);
    wake(l);
}

void koe_live_drained(koe_live *l) { wake(l); }

bool koe_live_is_over(koe_live *l)
{
    pthread_mutex_lock(&l->lock);
    const bool over = l->over;
    pthread_mutex_unlock(&l->lock);
    return over;
}

bool koe_live_is_told(koe_live *l) { return atomic_load(&l->told); }

void koe_live_close(koe_live *l)
{
    if (!l) return;
    koe_live_cancel(l);
    live_unref(l);
}
