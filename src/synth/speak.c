/* speak.c - a request from its text to its last sample. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "audio/audio.h"
#include "base/clock.h"
#include "base/log.h"
#include "synth/engine.h"
#include "text/lang.h"

enum {
    MAX_TEXT_BYTES = 64 << 20,
    /* Of a segment, though Kokoro would take 510: memory grows with the longest segment (docs/speed.md), the voice gains nothing. */
    SEGMENT_PHONEMES = 250,
};
static const double min_speed = 0.25, max_speed = 4, max_pause_scale = 10;
/* Edges of a segment: short enough for a plosive at the very start, long enough not to click. */
static const double fade_ms = 3;

struct koe_speaking {
    const koe_request *q;
    koe_engine *engine;
    double start_ms;
    size_t next; /* segment */
    koe_str text;
    double speed;
    koe_voice voice;
    koe_segments segments;
    koe_speech speech;
    float *audio; /* a segment as it is handed over */
    size_t cap_audio;
    koe_timed_word *word;
    size_t cap_word;
    uint64_t n_done; /* samples handed over */
    int rate_hz; /* 0 until something was spoken */
    size_t n_bad; /* samples that were no numbers */
};

void koe_speaking_close(koe_speaking *s)
{
    if (!s) return;
    koe_segments_free(&s->segments);
    koe_speech_free(&s->speech);
    free(s->audio);
    free(s->word);
    free(s);
}

static koe_status check_request(koe_speaking *s, const koe_request *q, koe_error *err)
{
    if (!q->text) return koe_fail(err, KOE_E_ARGUMENT, "a request without text");
    s->q = q;
    s->text = (koe_str){ q->text, q->text_n ? q->text_n : strlen(q->text) };
    s->speed = q->speed == 0 ? 1 : q->speed;
    if (!(s->speed >= min_speed && s->speed <= max_speed))
        return koe_fail(err, KOE_E_ARGUMENT, "speed %g is not within %g to %g", q->speed, min_speed, max_speed);
    if (s->text.n > MAX_TEXT_BYTES)
        return koe_fail(err, KOE_E_LIMIT, "a text of %zu bytes, the limit of one request is %d", s->text.n, MAX_TEXT_BYTES);
    if (!(q->pause_scale >= 0 && q->pause_scale <= max_pause_scale))
        return koe_fail(err, KOE_E_ARGUMENT, "pauses times %g are not within 0 to %g", q->pause_scale, max_pause_scale);
    if (q->ssml) return koe_fail(err, KOE_E_UNSUPPORTED, "SSML is not read yet; send plain text");
    return KOE_OK;
}

static koe_status make_segments(koe_speaking *s, koe_engine *e, koe_error *err)
{
    const koe_request *q = s->q;
    koe_str asked = koe_str_of(q->lang);
    const koe_lang *lang = asked.n ? koe_lang_find(asked) : NULL;
    const koe_text_options opt = {
        .lang = asked.n ? asked : koe_str_of(s->voice.lang),
        .alphabet = s->voice.alphabet,
        .espeak_voice = koe_str_of(lang ? lang->espeak : s->voice.espeak_voice),
        .max_phonemes = s->voice.max_phonemes < SEGMENT_PHONEMES ? s->voice.max_phonemes : SEGMENT_PHONEMES,
        .first_max_phonemes = q->first_segment_phonemes,
        .no_normalize = q->no_normalize,
        .pause_scale = q->pause_scale,
        .phonemes = q->phonemes,
    };
    if (q->phonemes && s->voice.alphabet == KOE_ALPHABET_NONE)
        return koe_fail(err, KOE_E_ARGUMENT, "voice '%s' speaks text, not phonemes", s->voice.name);
    return koe_text_segments(&s->segments, e->text, s->text, &opt, err);
}

static koe_status prepare(koe_speaking *s, koe_engine *e, const koe_request *q, koe_error *err)
{
    koe_status st = check_request(s, q, err);
    if (st == KOE_OK) st = koe_voice_find(&s->voice, e->voices, koe_str_of(q->voice), err);
    if (st == KOE_OK) st = make_segments(s, e, err);
    if (st == KOE_OK && s->segments.n == 0) st = koe_fail(err, KOE_E_ARGUMENT, "the text has nothing to say");
    return st;
}

static koe_status reserve(koe_speaking *s, size_t n_audio, size_t n_words, koe_error *err)
{
    if (n_audio > s->cap_audio) {
        float *audio = n_audio <= SIZE_MAX / sizeof *audio ? realloc(s->audio, n_audio * sizeof *audio) : NULL;
        if (!audio) return koe_fail(err, KOE_E_NOMEM, "%zu samples", n_audio);
        s->audio = audio;
        s->cap_audio = n_audio;
    }
    if (n_words > s->cap_word) {
        koe_timed_word *word = realloc(s->word, n_words * sizeof *word);
        if (!word) return koe_fail(err, KOE_E_NOMEM, "%zu words", n_words);
        s->word = word;
        s->cap_word = n_words;
    }
    return KOE_OK;
}

/* A place in the segment's speech as a place in the whole audio. */
static double place(const koe_speaking *s, koe_audio_span span, size_t sample)
{
    size_t inside = sample < span.at ? 0 : sample - span.at < span.n ? sample - span.at : span.n;
    return (double)(s->n_done + inside) / s->rate_hz;
}

/* What the model said -> what the listener gets: s->audio, *n samples with the pause, and s->word. */
static koe_status finish_segment(koe_speaking *s, const koe_segment *segment, size_t *n, koe_error *err)
{
    koe_speech *speech = &s->speech;
    s->n_bad += koe_audio_clean(speech->samples, speech->n_samples);
    koe_audio_span span = koe_audio_trim(speech->samples, speech->n_samples, s->rate_hz);
    size_t n_pause = koe_audio_samples(segment->pause_s / s->speed, s->rate_hz);
    *n = span.n + n_pause;
    koe_status st = koe_audio_limit(speech->samples + span.at, span.n, s->rate_hz, err);
    if (st == KOE_OK) st = reserve(s, *n, segment->n_word, err);
    if (st != KOE_OK) return st;
    koe_audio_fade(speech->samples + span.at, span.n, s->rate_hz, fade_ms);
    if (span.n) memcpy(s->audio, speech->samples + span.at, span.n * sizeof *s->audio);
    for (size_t i = 0; i < n_pause; i++) s->audio[span.n + i] = 0;
    for (size_t i = 0; i < segment->n_word; i++)
        s->word[i] = (koe_timed_word){ .text_at = segment->word[i].text_at,
                                       .text_n = segment->word[i].text_n,
                                       .start_s = place(s, span, speech->word[i].from),
                                       .end_s = place(s, span, speech->word[i].to) };
    return KOE_OK;
}

static void say_who(const koe_speaking *s)
{
    if (!s->q->voice && strcmp(s->voice.engine, "builtin") == 0 && !atomic_exchange(&s->engine->said_builtin, true))
        koe_log(KOE_LOG_WARN, "no voice is installed: the built-in one speaks; `koe pull kokoro` gets a natural one");
}

static void log_result(const koe_speaking *s)
{
    double took_s = (koe_clock_ms() - s->start_ms) / 1000, spoken_s = s->rate_hz ? (double)s->n_done / s->rate_hz : 0;
    koe_log(KOE_LOG_INFO, "%s, voice %s: %zu segments, %.2f s of audio in %.2f s", s->voice.engine, s->voice.name, s->segments.n,
            spoken_s, took_s);
    if (s->n_bad)
        koe_log(KOE_LOG_WARN, "the model of voice %s gave %zu samples that are no numbers; they are silent", s->voice.name,
                s->n_bad);
}

koe_status koe_speaking_open(koe_speaking **out, koe_engine *e, const koe_request *q, koe_error *err)
{
    koe_speaking *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "request");
    s->engine = e;
    s->start_ms = koe_clock_ms();
    koe_status st = prepare(s, e, q, err);
    if (st != KOE_OK) {
        koe_speaking_close(s);
        return st;
    }
    say_who(s);
    *out = s;
    return KOE_OK;
}

void koe_speaking_about(const koe_speaking *s, koe_audio *out)
{
    *out = (koe_audio){ .rate_hz = s->rate_hz ? s->rate_hz : s->voice.rate_hz,
                        .segment = s->next,
                        .n_segments = s->segments.n,
                        .engine = s->voice.engine,
                        .voice = s->voice.name };
}

koe_status koe_speaking_next(koe_speaking *s, koe_audio *out, koe_error *err)
{
    assert(s->next < s->segments.n);
    const size_t i = s->next;
    const koe_segment *segment = &s->segments.segment[i];
    const koe_voice_job job = {
        .segment = segment, .speed = s->speed, .seed = s->q->seed, .zero_noise = s->q->zero_noise, .cancel = s->q->cancel
    };
    size_t n = 0;
    koe_status st = koe_voice_speak(&s->speech, &s->voice, &job, err);
    if (st == KOE_OK && s->rate_hz && s->rate_hz != s->speech.rate_hz)
        st = koe_fail(err, KOE_E_FORMAT, "the voice went from %d Hz to %d Hz", s->rate_hz, s->speech.rate_hz);
    if (st == KOE_OK) {
        s->rate_hz = s->speech.rate_hz;
        st = finish_segment(s, segment, &n, err);
    }
    if (st != KOE_OK) return st;
    *out = (koe_audio){
        .samples = s->audio,
        .n_samples = n,
        .rate_hz = s->rate_hz,
        .words = s->word,
        .n_words = segment->n_word,
        .segment = i,
        .n_segments = s->segments.n,
        .text_at = segment->text_at,
        .text_n = segment->text_n,
        .engine = s->voice.engine,
        .voice = s->voice.name,
    };
    s->n_done += n;
    if (++s->next == s->segments.n) log_result(s);
    return KOE_OK;
}

koe_status koe_speak(koe_engine *e, const koe_request *q, koe_audio_fn *on_audio, void *user, koe_error *err)
{
    koe_speaking *s = NULL;
    koe_status st = koe_speaking_open(&s, e, q, err);
    for (size_t i = 0; st == KOE_OK && i < s->segments.n; i++) {
        koe_audio audio;
        st = koe_speaking_next(s, &audio, err);
        if (st == KOE_OK && !on_audio(user, &audio)) st = koe_fail(err, KOE_E_CANCELLED, "stopped by the listener");
    }
    koe_speaking_close(s);
    return st;
}

koe_status koe_phonemes(koe_engine *e, const koe_request *q, char **out, koe_error *err)
{
    koe_speaking *s = NULL;
    koe_buf b = { 0 };
    koe_status st = koe_speaking_open(&s, e, q, err);
    for (size_t i = 0; st == KOE_OK && i < s->segments.n; i++) {
        if (i) koe_buf_addc(&b, '\n');
        koe_buf_add_str(&b, s->segments.segment[i].phonemes);
    }
    if (st == KOE_OK && (b.failed || !koe_buf_reserve(&b, 1))) st = koe_fail(err, KOE_E_NOMEM, "phonemes");
    if (st == KOE_OK) {
        b.data[b.n] = 0;
        *out = b.data;
    } else koe_buf_free(&b);
    koe_speaking_close(s);
    return st;
}
