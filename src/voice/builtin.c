/* builtin.c - espeak-ng's own synthesiser: a formant voice in a hundred languages, there when nothing is downloaded. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "audio/audio.h"
#include "text/lang.h"
#include "text/utf8.h"
#include "voice/provider.h"

enum { RATE_HZ = 22050, MAX_PHONEMES = 400 };

/* id 0 is `builtin`, which speaks English; id n + 1 is builtin:TAG for row n of the languages. */
typedef struct builtin {
    koe_espeak *espeak;
    char **name; /* one for each id */
    size_t n;
} builtin;

static void builtin_close(void *state)
{
    builtin *b = state;
    if (!b) return;
    for (size_t i = 0; b->name && i < b->n; i++) free(b->name[i]);
    free(b->name);
    free(b);
}

static koe_status builtin_open(void **state, const koe_voices_setup *setup, koe_error *err)
{
    size_t n_lang;
    const koe_lang *lang = koe_lang_table(&n_lang);
    builtin *b = calloc(1, sizeof *b);
    if (b) b->name = calloc(n_lang + 1, sizeof *b->name);
    bool failed = !b || !b->name;
    for (; !failed && b->n <= n_lang; b->n++) {
        koe_buf name = { 0 };
        koe_buf_printf(&name, "builtin%s%s", b->n ? ":" : "", b->n ? lang[b->n - 1].tag : "");
        b->name[b->n] = name.data;
        failed = name.failed;
    }
    if (failed) {
        builtin_close(b);
        return koe_fail(err, KOE_E_NOMEM, "voices");
    }
    b->espeak = setup->espeak;
    *state = b;
    return KOE_OK;
}

static const koe_lang *lang_of(size_t id)
{
    size_t n;
    return id ? koe_lang_table(&n) + (id - 1) : koe_lang_find(KOE_STR("en-us"));
}

static void builtin_list(void *state, koe_voice_table *t)
{
    builtin *b = state;
    for (size_t i = 0; i < b->n; i++)
        koe_voice_table_add(t, &(koe_voice_entry){ .info = { .name = b->name[i],
                                                             .lang = lang_of(i)->tag,
                                                             .gender = "",
                                                             .grade = "",
                                                             .engine = "builtin",
                                                             .rate_hz = RATE_HZ },
                                                   .provider = &koe_provider_builtin,
                                                   .state = b,
                                                   .id = i });
}

static void builtin_describe(void *state, size_t id, koe_voice *out)
{
    const builtin *b = state;
    out->lang = lang_of(id)->tag;
    out->alphabet = KOE_ALPHABET_NONE;
    out->max_phonemes = MAX_PHONEMES;
    out->rate_hz = RATE_HZ;
    snprintf(out->name, sizeof out->name, "%s", b->name[id]);
}

/* builtin:LANGUAGE in any spelling of the language. */
static bool builtin_find(void *state, size_t *id, koe_str spelling, koe_status *st, koe_error *err)
{
    (void)state;
    if (!koe_str_starts(spelling, KOE_STR("builtin:"))) return false;
    koe_str tag = koe_str_sub(spelling, strlen("builtin:"), spelling.n);
    const koe_lang *lang = koe_lang_find(tag);
    size_t n;
    if (lang) *id = (size_t)(lang - koe_lang_table(&n)) + 1;
    *st = lang ? KOE_OK
               : koe_fail(err, KOE_E_NOT_FOUND, "the built-in voice has no language '%.*s'; `koe voices` lists them",
                          KOE_STR_ARG(tag));
    return true;
}

/* The segment's words are its "phonemes"; espeak-ng says where in them each word that it spoke begins, and when. Between two such
 * places time runs evenly. */
static void lay_times(koe_timeline *t, koe_str text, const koe_espeak_word *word, size_t n_words, size_t n_samples)
{
    size_t done = 0, done_at = 0, at = 0, next = 0; /* code point and sample of the last anchor; the walk in bytes */
    for (size_t i = 0; i <= n_words; i++) {
        size_t goal = i < n_words ? word[i].text_at : text.n, sample = i < n_words ? word[i].sample : n_samples;
        while (at < goal && next < t->n) koe_utf8_next(text, &at), next++;
        if (sample > n_samples) sample = n_samples;
        if (sample < done_at || (next == done && i < n_words)) continue;
        for (size_t c = done; c <= next; c++) {
            double f = next > done ? (double)(c - done) / (double)(next - done) : 1;
            t->at[c] = done_at + (size_t)(f * (double)(sample - done_at));
        }
        done = next;
        done_at = sample;
    }
}

/* espeak-ng speaks a segment at one speed: the mean of what its words are asked for. */
static double speed_of(const koe_voice_job *job)
{
    const koe_segment *s = job->segment;
    double sum = 0, n = 0;
    for (size_t i = 0; s->prosody && i < s->n_word; i++) {
        sum += s->prosody[i].rate * (double)s->word[i].phoneme_n;
        n += (double)s->word[i].phoneme_n;
    }
    return n > 0 ? fmin(fmax(job->speed * sum / n, 0.25), 4) : job->speed;
}

static koe_status builtin_speak(koe_speech *out, const koe_voice *voice, const koe_voice_job *job, koe_error *err)
{
    builtin *b = voice->state;
    koe_str text = job->segment->phonemes;
    /* The segment's language may be another than the voice's. */
    const koe_lang *lang = koe_lang_find(job->segment->lang);
    koe_str speaker = koe_str_of(lang ? lang->espeak : lang_of(voice->id[0])->espeak);
    koe_buf samples = { 0 }, words = { 0 };
    koe_timeline t = { 0 };
    out->rate_hz = RATE_HZ;
    koe_status st = koe_espeak_speak(b->espeak, &samples, &words, &out->rate_hz, speaker, text, speed_of(job), 0, err);
    if (st == KOE_OK) st = koe_timeline_init(&t, text, err);
    if (st == KOE_OK) st = koe_speech_reserve(out, samples.n / 2, err);
    if (st == KOE_OK) {
        out->n_samples = samples.n / 2;
        koe_audio_from_s16(out->samples, (const int16_t *)(const void *)samples.data, out->n_samples);
        lay_times(&t, text, (const koe_espeak_word *)(const void *)words.data, words.n / sizeof(koe_espeak_word), out->n_samples);
        st = koe_timeline_words(out, &t, job->segment, err);
    }
    koe_timeline_deinit(&t);
    koe_buf_free(&samples);
    koe_buf_free(&words);
    return st;
}

const koe_provider koe_provider_builtin = {
    .name = "builtin",
    .open = builtin_open,
    .close = builtin_close,
    .list = builtin_list,
    .describe = builtin_describe,
    .find = builtin_find,
    .speak = builtin_speak,
};
