/* speak.c - a request from its text to its last sample. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "audio/audio.h"
#include "audio/resample.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "synth/engine.h"
#include "synth/memo.h"
#include "text/lang.h"
#include "text/utf8.h"

enum {
    MAX_TEXT_BYTES = 64 << 20,
    /* Of a segment, though Kokoro would take 510: memory grows with the longest segment (docs/speed.md), the voice gains nothing. */
    SEGMENT_PHONEMES = 250,
    SEGMENT_LEAST = 40, /* with little memory */
    BASE_BYTES = 96 << 20, /* of the program, and a phoneme's share of Kokoro's largest tensors */
    PHONEME_BYTES = 1100 << 10,
    MAX_VOICES = 64, /* of one text */
    MAX_WARNING_BYTES = 4000,
};
static const double min_speed = 0.25, max_speed = 4, max_pause_scale = 10;
/* Edges of a segment: short enough for a plosive at the very start, long enough not to click. */
static const double fade_ms = 3;
static const double seam_ms = 10; /* a first piece goes over into the rest */
static const double ramp_ms = 8; /* from silence to full volume, when the text changes it */

/* A voice that the text asks for. */
typedef struct other_voice {
    char *name; /* as written */
    koe_voice voice; /* the request's when there is no such one */
} other_voice;

struct koe_speaking {
    const koe_request *q;
    koe_engine *engine;
    double start_ms;
    bool only_reads; /* no speech is wanted, but its phonemes, also of a voice that takes none */
    size_t next; /* segment of all */
    size_t n_handed; /* pieces that koe_speaking_next() gave */
    koe_sound sound; /* the last piece; .said is 0 when its segment is over */
    koe_buf memo; /* its bytes, where pieces are kept */
    bool has_piece; /* the first segment may come in pieces */
    size_t n_extra; /* pieces handed over that did not end their segment */
    double heard_from_ms; /* when the first piece was handed over */
    koe_str text;
    double speed;
    koe_voice voice; /* the request's */
    other_voice *other;
    size_t n_other;
    koe_buf warnings;
    koe_passage *passage;
    koe_segments segments; /* the part of the text in hand */
    size_t first; /* of them, counted from the text's start */
    bool is_last; /* there are no more behind them */
    koe_speech speech;
    koe_timed_word *word;
    size_t cap_word;
    koe_timed_mark *mark;
    size_t n_mark, cap_mark;
    uint64_t n_done; /* samples handed over */
    int rate_hz; /* 0 until something was spoken */
    size_t n_bad; /* samples that were no numbers */
};

void koe_speaking_close(koe_speaking *s)
{
    if (!s) return;
    koe_segments_free(&s->segments);
    koe_passage_close(s->passage);
    koe_speech_free(&s->speech);
    for (size_t i = 0; i < s->n_other; i++) free(s->other[i].name);
    free(s->other);
    koe_buf_free(&s->warnings);
    koe_sound_free(&s->sound);
    koe_buf_free(&s->memo);
    free(s->word);
    free(s->mark);
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
    return KOE_OK;
}

/* ---- voices ---- */

static void warn(koe_speaking *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* To the log and to the listener, once. */
static void warn(koe_speaking *s, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (s->warnings.n && strstr(s->warnings.data, text)) return;
    koe_log(KOE_LOG_WARN, "%s", text);
    if (s->warnings.n > MAX_WARNING_BYTES) return;
    if (s->warnings.n) koe_buf_adds(&s->warnings, "; ");
    koe_buf_adds(&s->warnings, text);
}

static const char *warnings_of(const koe_speaking *s) { return s->warnings.data ? s->warnings.data : ""; }

/* Phonemes of a segment that the memory limit leaves room for. */
static size_t longest_segment(void)
{
    const size_t limit = koe_process_limit(), room = limit > BASE_BYTES ? (limit - BASE_BYTES) / PHONEME_BYTES : 0;
    if (!limit || room >= SEGMENT_PHONEMES) return SEGMENT_PHONEMES;
    return room > SEGMENT_LEAST ? room : SEGMENT_LEAST;
}

/* What of the options depends on who speaks which language; lang n == 0: the voice's own. */
static koe_status describe_voice(koe_text_options *opt, const koe_speaking *s, const koe_voice *v, koe_str lang, koe_error *err)
{
    const koe_lang *l = lang.n ? koe_lang_find(lang) : NULL;
    opt->lang = lang.n ? lang : koe_str_of(v->lang);
    opt->alphabet = s->only_reads && v->alphabet == KOE_ALPHABET_NONE ? KOE_ALPHABET_MISAKI : v->alphabet;
    opt->espeak_voice = koe_str_of(l ? l->espeak : v->espeak_voice);
    const size_t most = longest_segment();
    opt->max_phonemes = v->max_phonemes < most ? v->max_phonemes : most;
    if (opt->phonemes && v->alphabet == KOE_ALPHABET_NONE)
        return koe_fail(err, KOE_E_ARGUMENT, "voice '%s' speaks text, not phonemes", v->name);
    return KOE_OK;
}

static const koe_voice *known_voice(const koe_speaking *s, koe_str name)
{
    if (!name.n || s->q->no_voice_tags) return &s->voice;
    for (size_t i = 0; i < s->n_other; i++)
        if (koe_str_is(name, s->other[i].name)) return &s->other[i].voice;
    return NULL;
}

/* A voice that is missing is not worth losing the speech for: the request's own goes on, and a warning says so. */
static koe_status add_voice(koe_speaking *s, koe_str name, koe_error *err)
{
    koe_error why = { 0 };
    if (s->n_other == MAX_VOICES) return koe_fail(err, KOE_E_LIMIT, "more than %d voices in one text", MAX_VOICES);
    other_voice *other = reallocarray(s->other, s->n_other + 1, sizeof *other);
    if (!other) return koe_fail(err, KOE_E_NOMEM, "voices");
    s->other = other;
    other += s->n_other;
    if (!(other->name = koe_str_dup(name))) return koe_fail(err, KOE_E_NOMEM, "voices");
    s->n_other++;
    const char *alias = s->q->voice_alias ? s->q->voice_alias(s->q->voice_alias_user, other->name) : NULL;
    koe_status st = koe_voice_find(&other->voice, s->engine->voices, alias ? koe_str_of(alias) : name, &why);
    if (st == KOE_E_NOMEM) return koe_fail(err, st, "%s", why.message);
    if (st != KOE_OK) other->voice = s->voice;
    if (st != KOE_OK) warn(s, "%s: voice '%s' goes on", why.message, s->voice.name);
    return KOE_OK;
}

/* koe_text_voice_fn */
static koe_status change_voice(void *user, koe_str name, koe_str lang, koe_text_options *opt, koe_error *err)
{
    koe_speaking *s = user;
    if (name.n && s->q->no_voice_tags) warn(s, "the request does not allow the text to choose the voice");
    koe_status st = known_voice(s, name) ? KOE_OK : add_voice(s, name, err);
    if (st != KOE_OK) return st;
    const koe_voice *v = known_voice(s, name);
    if (!lang.n && v == &s->voice) lang = koe_str_of(s->q->lang);
    return describe_voice(opt, s, v, lang, err);
}

/* koe_text_warn_fn */
static void warn_of_text(void *user, const char *message) { warn(user, "%s", message); }

static koe_status open_text(koe_speaking *s, koe_engine *e, koe_error *err)
{
    const koe_request *q = s->q;
    koe_text_options opt = {
        .first_max_phonemes = q->first_segment_phonemes,
        .no_normalize = q->no_normalize,
        .rules_off = q->rules_off,
        .pause_scale = q->pause_scale,
        .phonemes = q->phonemes,
        .markup = q->ssml ? KOE_MARKUP_SSML : q->no_tags ? KOE_MARKUP_NONE : KOE_MARKUP_TAGS,
        .for_voice = change_voice,
        .warn = warn_of_text,
        .user = s,
        .lexicon = { q->lexicon, q->lexicon_n ? q->lexicon_n : q->lexicon ? strlen(q->lexicon) : 0 },
        .pitch_st = q->pitch_st,
    };
    koe_status st = describe_voice(&opt, s, &s->voice, koe_str_of(q->lang), err);
    return st == KOE_OK ? koe_passage_open(&s->passage, e->text, s->text, &opt, err) : st;
}

/* Says what of the text's prosody the voices cannot do. */
static void check_prosody(koe_speaking *s, const koe_segment *g, const koe_voice *v)
{
    bool pitch = false;
    for (size_t k = 0; g->prosody && k < g->n_word && !pitch; k++)
        pitch = g->prosody[k].pitch_st != 0 || g->prosody[k].pitch_hz != 0 || g->prosody[k].pitch_to_hz != 0 || g->prosody[k].range_pct != 0;
    if (pitch && !v->has_pitch) warn(s, "the pitch of voice '%s' cannot be changed: its engine, %s, has no control of it", v->name, v->engine);
}

/* Says which of the phonemes that the writer gave the voice has no sound for. */
static void check_phonemes(koe_speaking *s, const koe_segment *g, const koe_voice *v)
{
    for (size_t k = 0; k < g->n_word; k++) {
        const char *rule = g->word_rule ? g->word_rule[k] : NULL;
        if (!s->q->phonemes && !(rule && (strcmp(rule, "lexicon") == 0 || strcmp(rule, "phonemes") == 0))) continue;
        const koe_word *w = &g->word[k];
        size_t at = koe_utf8_offset(g->phonemes, w->phoneme_at);
        for (size_t i = 0; i < w->phoneme_n && at < g->phonemes.n; i++) {
            const size_t start = at;
            const uint32_t cp = koe_utf8_next(g->phonemes, &at);
            if (koe_voice_knows(v, cp)) continue;
            warn(s, "voice '%s' has no sound for '%.*s' in the phonemes given for '%.*s'", v->name, (int)(at - start), g->phonemes.p + start,
                 KOE_STR_ARG(koe_str_sub(s->text, w->text_at, w->text_n < 60 ? w->text_n : 60)));
        }
    }
}

/* The next part of the text. */
static koe_status read_part(koe_speaking *s, koe_error *err)
{
    s->first += s->segments.n;
    koe_segments_free(&s->segments);
    const koe_status st = koe_passage_next(s->passage, &s->segments, &s->is_last, err);
    for (size_t i = 0; st == KOE_OK && i < s->segments.n; i++) {
        const koe_segment *g = &s->segments.segment[i];
        const koe_voice *v = known_voice(s, g->voice);
        check_prosody(s, g, v);
        check_phonemes(s, g, v);
    }
    return st;
}

/* How many pieces there are; while the text is not read to its end, one more than are known. */
static size_t count_pieces(const koe_speaking *s) { return s->first + s->segments.n + !s->is_last + s->n_extra; }

/* Whether the first segment is long enough, and spoken by a voice, to come in pieces. */
static bool comes_in_pieces(const koe_speaking *s)
{
    enum { LEAST_WORDS = 3, LEAST_PHONEMES = 16 };
    const koe_segment *g = s->segments.segment;
    return s->q->first_piece_s > 0 && s->voice.has_pieces && known_voice(s, g->voice) == &s->voice && g->n_word >= LEAST_WORDS && g->phonemes.n >= LEAST_PHONEMES;
}

static koe_status prepare(koe_speaking *s, koe_engine *e, const koe_request *q, koe_error *err)
{
    koe_status st = check_request(s, q, err);
    if (st == KOE_OK) st = koe_voice_find(&s->voice, e->voices, koe_str_of(q->voice), err);
    if (st == KOE_OK) st = open_text(s, e, err);
    if (st == KOE_OK) st = read_part(s, err);
    if (st == KOE_OK && s->segments.n == 0) st = koe_fail(err, KOE_E_ARGUMENT, "the text has nothing to say");
    if (st != KOE_OK) return st;
    s->has_piece = comes_in_pieces(s);
    return KOE_OK;
}

/* ---- samples ---- */

/* The speech at the rate of the request: a voice inside the text may have another. */
static koe_status change_rate(koe_speech *speech, int rate_hz, koe_error *err)
{
    koe_resampler *r = NULL;
    const double ratio = (double)rate_hz / speech->rate_hz;
    const size_t cap = (size_t)((double)speech->n_samples * ratio) + 2;
    float *out = malloc(cap * sizeof *out);
    koe_status st = out ? koe_resampler_open(&r, speech->rate_hz, rate_hz, err) : koe_fail(err, KOE_E_NOMEM, "%zu samples", cap);
    size_t n = 0, taken = 0;
    while (st == KOE_OK && taken < speech->n_samples) {
        taken += koe_resampler_put(r, speech->samples + taken, speech->n_samples - taken);
        if (taken == speech->n_samples) koe_resampler_end(r);
        n += koe_resampler_read(r, out + n, cap - n);
    }
    koe_resampler_close(r);
    if (st != KOE_OK) {
        free(out);
        return st;
    }
    free(speech->samples);
    for (size_t i = 0; i < speech->n_word; i++) {
        const size_t from = (size_t)((double)speech->word[i].from * ratio), to = (size_t)((double)speech->word[i].to * ratio);
        speech->word[i] = (koe_word_time){ from < n ? from : n, to < n ? to : n };
    }
    speech->samples = out;
    speech->n_samples = n;
    speech->cap_samples = cap;
    speech->rate_hz = rate_hz;
    return KOE_OK;
}

/* The loudness that the text asks for, word by word, in ramps that do not click. */
static void apply_gain(koe_speech *speech, const koe_segment *segment)
{
    if (!segment->prosody || !speech->n_samples) return;
    const double step = 1 / (ramp_ms / 1000 * speech->rate_hz);
    double gain = segment->prosody[0].gain;
    size_t word = 0;
    for (size_t i = 0; i < speech->n_samples; i++) {
        while (word + 1 < speech->n_word && speech->word[word + 1].from <= i) word++;
        const double want = segment->prosody[word].gain;
        gain = want > gain ? fmin(want, gain + step) : fmax(want, gain - step);
        speech->samples[i] = (float)(speech->samples[i] * gain);
    }
}

/* From what was handed over already, or from the first sound, to the seam, or to the last sound. */
static koe_audio_span listen(const koe_speaking *s, size_t n_word)
{
    const koe_speech *speech = &s->speech;
    koe_audio_span span = koe_audio_trim(speech->samples, speech->n_samples, s->rate_hz);
    const size_t from = s->sound.said ? s->sound.seam : span.at, to = speech->n_said < n_word ? speech->seam : span.at + span.n;
    return (koe_audio_span){ from, to > from ? to - from : 0 };
}

static size_t after_start(koe_audio_span span, size_t sample) { return sample < span.at ? 0 : sample - span.at; }

/* Speech -> the piece that the listener gets: s->sound. What a piece has beyond its seam is kept for the rest to be faded in over it. */
static koe_status finish_piece(koe_speaking *s, const koe_segment *segment, koe_error *err)
{
    koe_speech *speech = &s->speech;
    koe_sound *sound = &s->sound;
    s->n_bad += koe_audio_clean(speech->samples, speech->n_samples);
    koe_status st = speech->rate_hz == s->rate_hz || !speech->n_samples ? KOE_OK : change_rate(speech, s->rate_hz, err);
    if (st != KOE_OK) return st;
    const bool begins = sound->said == 0, ends = speech->n_said >= segment->n_word;
    const koe_audio_span span = listen(s, segment->n_word);
    const size_t left = speech->n_samples - span.at - span.n, most = koe_audio_samples(seam_ms / 1000, s->rate_hz);
    const size_t n_tail = ends ? 0 : left < most ? left : most;
    float *samples = speech->samples + span.at;
    apply_gain(speech, segment);
    st = koe_audio_limit(samples, begins && ends ? span.n : span.n + left, s->rate_hz, err);
    if (st == KOE_OK && !begins) koe_audio_cross(samples, sound->audio + sound->n, sound->n_tail < span.n ? sound->n_tail : span.n);
    if (st == KOE_OK) st = koe_sound_reserve(sound, span.n + n_tail, segment->n_word, err);
    if (st != KOE_OK) return st;
    if (begins) koe_audio_fade_in(samples, span.n, s->rate_hz, fade_ms);
    if (ends) koe_audio_fade_out(samples, span.n, s->rate_hz, fade_ms);
    if (span.n + n_tail) memcpy(sound->audio, samples, (span.n + n_tail) * sizeof *samples);
    sound->n = span.n;
    sound->n_tail = n_tail;
    sound->n_word = 0;
    const size_t latest = ends ? span.n : SIZE_MAX; /* the last word of a piece goes on in the next */
    for (size_t i = sound->said; i < speech->n_said; i++) {
        const size_t from = after_start(span, speech->word[i].from), to = after_start(span, speech->word[i].to);
        sound->word[sound->n_word++] = (koe_word_time){ from < latest ? from : latest, to < latest ? to : latest };
    }
    sound->said = speech->n_said;
    sound->seam = speech->seam;
    sound->rate_hz = s->rate_hz;
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
    koe_log(KOE_LOG_INFO, "%s, voice %s: %zu segments, %.2f s of audio in %.2f s", s->voice.engine, s->voice.name, s->next,
            spoken_s, took_s);
    if (s->n_bad)
        koe_log(KOE_LOG_WARN, "the model of voice %s gave %zu samples that are no numbers; they are silent", s->voice.name,
                s->n_bad);
}

static koe_status open_speaking(koe_speaking **out, koe_engine *e, const koe_request *q, bool only_reads, koe_error *err)
{
    koe_speaking *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "request");
    s->engine = e;
    s->only_reads = only_reads;
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

koe_status koe_speaking_open(koe_speaking **out, koe_engine *e, const koe_request *q, koe_error *err) { return open_speaking(out, e, q, false, err); }

/* The first segment's first piece, and a second one where the network need not begin anew; the third is the rest. */
static double piece_s(const koe_speaking *s)
{
    const bool may = s->has_piece && (s->n_handed == 0 || (s->n_handed == 1 && s->n_extra == 1 && s->speech.rest));
    return may ? s->q->first_piece_s : 0;
}

/* What the listener, who began with the first piece, has still to hear. */
static double in_hand_s(const koe_speaking *s)
{
    return s->n_handed ? fmax(0, (double)s->n_done / s->rate_hz - (koe_clock_ms() - s->heard_from_ms) / 1000) : 0;
}

static koe_status make_speech(koe_speaking *s, const koe_segment *segment, const koe_voice *voice, koe_error *err)
{
    const koe_voice_job job = { .segment = segment,
                                .speed = s->speed,
                                .seed = s->q->seed,
                                .zero_noise = s->q->zero_noise,
                                .piece_s = piece_s(s),
                                .said = s->sound.said,
                                .said_s = s->sound.said ? (double)s->sound.seam / s->rate_hz : 0,
                                .in_hand_s = in_hand_s(s),
                                .cancel = s->q->cancel };
    if (segment->phonemes.n || segment->n_word) return koe_voice_speak(&s->speech, voice, &job, err);
    s->speech.n_samples = s->speech.n_word = s->speech.n_said = s->speech.seam = 0; /* only a pause */
    return KOE_OK;
}

static koe_status make_piece(koe_speaking *s, const koe_segment *segment, const koe_voice *voice, koe_error *err)
{
    koe_status st = make_speech(s, segment, voice, err);
    if (st == KOE_OK && !s->rate_hz) s->rate_hz = segment->phonemes.n && voice == &s->voice ? s->speech.rate_hz : s->voice.rate_hz;
    return st == KOE_OK ? finish_piece(s, segment, err) : st;
}

/* ---- pieces that were kept ---- */

/* Whether a piece can be kept at all, and under which key. */
static bool memo_of(const koe_speaking *s, size_t segment, koe_memo_of *of, char key[KOE_DIGEST_TEXT])
{
    const koe_segment *g = &s->segments.segment[segment - s->first];
    const koe_voice *voice = known_voice(s, g->voice);
    const bool now = segment == s->next;
    if (!s->q->recall || !g->phonemes.n) return false;
    *of = (koe_memo_of){ .scope = s->q->recall->scope, .segment = g, .voice = voice, .speed = s->speed, .seed = s->q->seed,
                         .zero_noise = s->q->zero_noise, .piece_s = segment == 0 && s->has_piece ? s->q->first_piece_s : 0,
                         .said = now ? s->sound.said : 0, .seam = now && s->sound.said ? s->sound.seam : 0,
                         .rate_hz = voice == &s->voice ? 0 : s->rate_hz ? s->rate_hz : s->voice.rate_hz, .known_hz = s->rate_hz };
    koe_memo_key(of, key);
    return true;
}

static bool recall_piece(koe_speaking *s, const koe_memo_of *of, const char *key)
{
    const koe_recall *r = s->q->recall;
    koe_buf_clear(&s->memo);
    if (!r->find(r->user, key, &s->memo) || s->memo.failed || !koe_memo_read(&s->sound, koe_buf_str(&s->memo), of)) return false;
    s->rate_hz = s->sound.rate_hz;
    return true;
}

static void keep_piece(koe_speaking *s, const char *key)
{
    const koe_recall *r = s->q->recall;
    koe_sound_round(&s->sound);
    koe_buf_clear(&s->memo);
    koe_memo_write(&s->memo, &s->sound);
    if (!s->memo.failed) r->keep(r->user, key, s->memo.data, s->memo.n);
}

/* Whether one of the next pieces is there already; of a long text only the beginning is looked at. */
static bool knows_some(const koe_speaking *s)
{
    enum { LOOK_AHEAD = 64 };
    koe_memo_of of;
    char key[KOE_DIGEST_TEXT];
    for (size_t i = s->next; i < s->first + s->segments.n && i < s->next + LOOK_AHEAD; i++)
        if (memo_of(s, i, &of, key) && s->q->recall->has(s->q->recall->user, key)) return true;
    return false;
}

void koe_speaking_about(const koe_speaking *s, koe_audio *out)
{
    *out = (koe_audio){ .rate_hz = s->rate_hz ? s->rate_hz : s->voice.rate_hz,
                        .segment = s->n_handed,
                        .n_segments = count_pieces(s),
                        .recalled = knows_some(s),
                        .engine = s->voice.engine,
                        .voice = s->voice.name,
                        .warnings = warnings_of(s) };
}

/* ---- handing over ---- */

/* Times the marks of a piece, whose words are timed and which has n samples with its pause; behind its last word only when it `ends` the
 * segment. */
static void time_marks(koe_speaking *s, const koe_segment *segment, size_t first_word, bool ends, size_t n)
{
    s->n_mark = 0;
    for (size_t i = 0; i < segment->n_mark; i++) {
        const koe_mark *m = &segment->mark[i];
        const bool at_word = m->word < segment->n_word;
        if (at_word ? m->word < first_word || m->word >= s->sound.said : !ends) continue;
        double time_s = (double)(s->n_done + (m->after_pause ? n : 0)) / s->rate_hz;
        if (at_word) time_s = m->is_behind ? s->word[m->word - first_word].end_s : s->word[m->word - first_word].start_s;
        s->mark[s->n_mark++] = (koe_timed_mark){ .name = m->name.p, .text_at = m->text_at, .time_s = time_s };
    }
}

/* The piece with the pause after it, and its words and marks as the listener counts time. */
static koe_status lay_out(koe_speaking *s, const koe_segment *segment, size_t first_word, size_t *n, koe_error *err)
{
    koe_sound *sound = &s->sound;
    const bool ends = sound->said >= segment->n_word;
    const size_t n_pause = ends ? koe_audio_samples(segment->pause_exact ? segment->pause_s : segment->pause_s / s->speed, s->rate_hz) : 0;
    koe_status st = koe_sound_reserve(sound, sound->n + sound->n_tail + n_pause, sound->n_word, err);
    if (st == KOE_OK && sound->n_word > s->cap_word) {
        koe_timed_word *word = realloc(s->word, sound->n_word * sizeof *word);
        if (!word) return koe_fail(err, KOE_E_NOMEM, "%zu words", sound->n_word);
        s->word = word;
        s->cap_word = sound->n_word;
    }
    if (st == KOE_OK && segment->n_mark > s->cap_mark) {
        koe_timed_mark *mark = realloc(s->mark, segment->n_mark * sizeof *mark);
        if (!mark) return koe_fail(err, KOE_E_NOMEM, "%zu marks", segment->n_mark);
        s->mark = mark;
        s->cap_mark = segment->n_mark;
    }
    if (st != KOE_OK) return st;
    for (size_t i = 0; i < n_pause; i++) sound->audio[sound->n + i] = 0;
    for (size_t i = 0; i < sound->n_word; i++) {
        const koe_word *w = &segment->word[first_word + i];
        s->word[i] = (koe_timed_word){ .text_at = w->text_at,
                                       .text_n = w->text_n,
                                       .start_s = (double)(s->n_done + sound->word[i].from) / s->rate_hz,
                                       .end_s = (double)(s->n_done + sound->word[i].to) / s->rate_hz };
    }
    *n = sound->n + n_pause;
    time_marks(s, segment, first_word, ends, *n);
    return KOE_OK;
}

/* Where in the text a piece begins whose first word this is, and ends where `word` would be the next. */
static size_t begin_of(const koe_segment *segment, size_t word) { return word ? segment->word[word].text_at : segment->text_at; }
static size_t end_of(const koe_segment *segment, size_t word)
{
    return word < segment->n_word ? segment->word[word].text_at : segment->text_at + segment->text_n;
}

static koe_status hand_over_piece(koe_speaking *s, const koe_segment *segment, koe_audio *out, koe_error *err)
{
    const koe_voice *voice = known_voice(s, segment->voice);
    const size_t first_word = s->sound.said;
    koe_memo_of of;
    char key[KOE_DIGEST_TEXT];
    size_t n = 0;
    const bool kept = memo_of(s, s->next, &of, key), recalled = kept && recall_piece(s, &of, key);
    koe_status st = recalled ? KOE_OK : make_piece(s, segment, voice, err);
    if (st == KOE_OK && kept && !recalled) keep_piece(s, key);
    if (st == KOE_OK) st = lay_out(s, segment, first_word, &n, err);
    if (st != KOE_OK) return st;
    s->n_extra += s->sound.said < segment->n_word;
    *out = (koe_audio){
        .samples = s->sound.audio,
        .n_samples = n,
        .rate_hz = s->rate_hz,
        .words = s->word,
        .n_words = s->sound.n_word,
        .marks = s->mark,
        .n_marks = s->n_mark,
        .segment = s->n_handed,
        .n_segments = count_pieces(s),
        .recalled = recalled,
        .text_at = begin_of(segment, first_word),
        .text_n = end_of(segment, s->sound.said) - begin_of(segment, first_word),
        .engine = voice->engine,
        .voice = voice->name,
        .warnings = warnings_of(s),
    };
    s->n_done += n;
    return KOE_OK;
}

koe_status koe_speaking_next(koe_speaking *s, koe_audio *out, koe_error *err)
{
    assert(!s->is_last || s->next < s->first + s->segments.n);
    koe_status st = s->next == s->first + s->segments.n ? read_part(s, err) : KOE_OK;
    if (st != KOE_OK) return st;
    assert(s->next < s->first + s->segments.n);
    const koe_segment *segment = &s->segments.segment[s->next - s->first];
    st = hand_over_piece(s, segment, out, err);
    if (st != KOE_OK) return st;
    if (!s->n_handed++) s->heard_from_ms = koe_clock_ms();
    if (s->sound.said < segment->n_word) return KOE_OK;
    s->sound.said = s->sound.seam = 0;
    if (++s->next == s->first + s->segments.n && s->is_last) log_result(s);
    return KOE_OK;
}

koe_status koe_speak(koe_engine *e, const koe_request *q, koe_audio_fn *on_audio, void *user, koe_error *err)
{
    koe_speaking *s = NULL;
    koe_status st = koe_speaking_open(&s, e, q, err);
    for (bool more = true; st == KOE_OK && more;) {
        koe_audio audio;
        st = koe_speaking_next(s, &audio, err);
        if (st == KOE_OK && !on_audio(user, &audio)) st = koe_fail(err, KOE_E_CANCELLED, "stopped by the listener");
        more = st == KOE_OK && audio.segment + 1 < audio.n_segments;
    }
    koe_speaking_close(s);
    return st;
}

koe_status koe_phonemes(koe_engine *e, const koe_request *q, char **out, koe_error *err)
{
    koe_speaking *s = NULL;
    koe_buf b = { 0 };
    koe_status st = open_speaking(&s, e, q, true, err);
    while (st == KOE_OK && s->segments.n) {
        for (size_t i = 0; i < s->segments.n; i++) {
            if (s->first + i) koe_buf_addc(&b, '\n');
            koe_buf_add_str(&b, s->segments.segment[i].phonemes);
        }
        if (s->is_last) break;
        st = read_part(s, err);
    }
    if (st == KOE_OK && (b.failed || !koe_buf_reserve(&b, 1))) st = koe_fail(err, KOE_E_NOMEM, "phonemes");
    if (st == KOE_OK) {
        b.data[b.n] = 0;
        *out = b.data;
    } else koe_buf_free(&b);
    koe_speaking_close(s);
    return st;
}

void koe_engine_lexicon_key(koe_engine *e, char out[65]) { koe_text_user_key(e->text, out); }
bool koe_engine_has_lexicon(koe_engine *e, const char *name) { return koe_text_user_has(e->text, koe_str_of(name)); }
