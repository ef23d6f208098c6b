/* koe.h - the public C API of libkoe: text to natural speech.
 *
 *     koe_engine *e;
 *     koe_error err = { 0 };
 *     if (koe_engine_open(&e, NULL, &err)) ...                             models of $KOE_HOME, all cores
 *     koe_request q = { .text = "Hello, world.", .voice = "af_heart" };
 *     koe_speak(e, &q, on_audio, file, &err);                               calls on_audio() segment by segment, in order
 *     koe_engine_close(e);
 *
 * What flows:  request -> segments (text) -> phonemes -> tokens -> acoustic model -> samples -> on_audio
 * Threads: an engine is shared; any number of koe_speak() calls may run at a time. */
#ifndef KOE_H
#define KOE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

typedef struct koe_engine koe_engine;

typedef struct koe_engine_options {
    const char *home; /* folder of models; NULL: $KOE_HOME, else ~/.local/share/koe */
    const char *model; /* a Kokoro or Piper .onnx to use as the main model instead of the installed one; NULL: installed */
    const char *piper_model; /* a Piper .onnx to have beside it, or first when `model` is NULL; NULL: the installed ones */
    const char *voices; /* folder or file of Kokoro's voice packs; NULL: where the model is, or the installed ones */
    int threads; /* 0: as many as this process may use */
    const char *precision; /* "f32", "bf16", "int8", "auto"; NULL: $KOE_PRECISION, else auto: the fastest that nobody
                            * could hear (docs/speed.md) */
    size_t memory_limit_mb; /* what the process should stay under: segments become shorter, fewer are made at a time, and what does not fit is
                             * KOE_E_LIMIT; 0: $KOE_MEMORY_LIMIT, else nine tenths of the cgroup's memory.max, if it has one */
    bool keep_weights; /* for who speaks often: all of a model's weights stay in memory between two requests; they are pages of a file, which the
                        * system may take back, and count towards the limit. False: some of them are read again each time */
    const char *lexicon; /* the writer's own words for all requests: files and folders of JSON or PLS, ':' between; NULL: only those of home
                          * (docs/text.md) */
    const char *helper; /* path of the koe binary, for the espeak-ng helper process; NULL: $KOE_BIN, else the koe of $PATH */
} koe_engine_options;

/* Opens what is installed; a model is loaded at its first use. opt may be NULL. With nothing installed the built-in espeak-ng voice
 * remains. *out is set only on success. */
koe_status koe_engine_open(koe_engine **out, const koe_engine_options *opt, koe_error *err);
/* No call may be running. NULL is fine. */
void koe_engine_close(koe_engine *e);

/* Groups of normalisation rules that a request may switch off. */
enum {
    KOE_RULES_MARKUP = 1 << 0, /* HTML and Markdown remains */
    KOE_RULES_URL = 1 << 1, /* addresses and file names */
    KOE_RULES_EMAIL = 1 << 2,
    KOE_RULES_PHONE = 1 << 3,
    KOE_RULES_UNIT = 1 << 4,
    KOE_RULES_PLURAL = 1 << 5, /* "file(s)" */
    KOE_RULES_SYMBOL = 1 << 6, /* remaining symbols by name */
    KOE_RULES_EMOJI = 1 << 7, /* off: emoji are silent */
};

/* Where a caller keeps pieces of speech, so that those that come again need not be made again. The calls come from the thread that speaks.
 * What find() appended and cannot be read is as if it were not there. */
typedef struct koe_recall {
    const char *scope; /* whatever decides about the sound and an engine cannot see: which models these are */
    bool (*has)(void *user, const char *key); /* a quick look; key has 64 hexadecimal digits */
    bool (*find)(void *user, const char *key, koe_buf *out);
    void (*keep)(void *user, const char *key, const void *bytes, size_t n);
    void *user;
} koe_recall;

typedef struct koe_request {
    const char *text; /* UTF-8 */
    size_t text_n; /* bytes; 0: NUL-terminated */
    const char *voice; /* a voice, a blend ("af_bella(2)+af_sky(1)", "a:60,b:40", ...), or NULL: the engine's default */
    const char *lang; /* language tag or Kokoro letter; NULL: the voice's */
    double speed; /* 0.25 to 4.0; 0: 1.0 */
    uint64_t seed; /* of the model's random nodes */
    bool zero_noise; /* no randomness at all, for comparisons */
    bool ssml; /* text is an SSML 1.1 document */
    bool no_tags; /* brackets are text; else [pause:1.5s], [word](/phonemes/), [voice:NAME], [rate:1.2] ... direct the speaker */
    bool no_voice_tags; /* the text must not choose who speaks: [voice:NAME] and <voice name> are passed over */
    const char *(*voice_alias)(const void *user, const char *name); /* the voice that a name in the text stands for, NULL: the one of that
                           * name; the result is borrowed until the next call. NULL: there are no such names */
    const void *voice_alias_user;
    bool phonemes; /* text is phonemes */
    bool no_normalize;
    unsigned rules_off; /* set of KOE_RULES_*: what is not rewritten before it is read */
    const char *lexicon; /* the request's own words: JSON, or PLS, or the name of an installed one; NULL: none */
    size_t lexicon_n; /* bytes; 0: NUL-terminated */
    double pitch_st; /* semitones by which all is higher; 0: as the voice is */
    double pause_scale; /* of the pauses between sentences and clauses, up to 10; 0: 1.0 */
    size_t first_segment_phonemes; /* shorter first segment for streaming; 0: off */
    double first_piece_s; /* for streaming: of the first segment at least about so many seconds are made first, then as much as lasts until the
                           * rest is made, then the rest, where the voice can; 0: off. Where it is cut depends on how fast this machine is, and
                           * the sound of the beginning a little on that. A word is told of with the piece it begins in; it may end in the next */
    const koe_recall *recall; /* NULL: nothing is kept */
    const atomic_bool *cancel; /* set by another thread to stop: KOE_E_CANCELLED; may be NULL */
} koe_request;

typedef struct koe_timed_word {
    size_t text_at, text_n; /* bytes of the request's text: the word as written */
    double start_s, end_s; /* from the start of the whole audio */
} koe_timed_word;

/* A place with a name: <mark name="..."/>, [mark:...]. */
typedef struct koe_timed_mark {
    const char *name;
    size_t text_at; /* byte of the request's text */
    double time_s; /* from the start of the whole audio */
} koe_timed_mark;

/* One segment's audio, the pause after it included. Valid during the callback. */
typedef struct koe_audio {
    const float *samples; /* mono, |x| < 1 */
    size_t n_samples;
    int rate_hz; /* the same for the whole request */
    const koe_timed_word *words;
    size_t n_words;
    const koe_timed_mark *marks;
    size_t n_marks;
    size_t segment, n_segments; /* this one, counted from 0, and how many there are; of a long text, which is read part by part, at least
                                 * segment + 2 until the last one is reached */
    bool recalled; /* it was not made now; in koe_speaking_about(): some of the next ones will not be */
    size_t text_at, text_n; /* bytes of the text it covers */
    const char *engine; /* "kokoro", "piper" or "builtin": who spoke */
    const char *voice; /* the voice as resolved */
    const char *warnings; /* what could not be done as the text asks, "; " between; "": nothing. Of the whole request */
} koe_audio;

/* Returns false to stop: koe_speak() then returns KOE_E_CANCELLED. */
typedef bool koe_audio_fn(void *user, const koe_audio *audio);

/* Speaks; returns when all audio has been handed over. Errors: KOE_E_NOT_FOUND (no such voice; names near matches), KOE_E_ENCODING,
 * KOE_E_ARGUMENT, KOE_E_LIMIT, ... Text with nothing to say is KOE_E_ARGUMENT. */
koe_status koe_speak(koe_engine *e, const koe_request *q, koe_audio_fn *on_audio, void *user, koe_error *err);

/* The same one segment at a time, for a caller with its own idea of who is next (src/server/sched.h).
 *     koe_speaking_open -> koe_speaking_next until audio.segment + 1 == audio.n_segments, which is at least once -> koe_speaking_close
 * Threads: one at a time, any. */
typedef struct koe_speaking koe_speaking;
/* Finds the voice and reads the text; errors as koe_speak(). Borrows q, its strings and e until koe_speaking_close(). */
koe_status koe_speaking_open(koe_speaking **out, koe_engine *e, const koe_request *q, koe_error *err);
/* Who will speak, in how many segments (of a long text: at least so many) and at what rate; samples and words are empty. */
void koe_speaking_about(const koe_speaking *s, koe_audio *out);
/* Speaks the next segment into *out, which is valid until the next call. */
koe_status koe_speaking_next(koe_speaking *s, koe_audio *out, koe_error *err);
/* NULL is fine. */
void koe_speaking_close(koe_speaking *s);

typedef struct koe_voice_info {
    const char *name, *lang, *gender, *grade; /* gender "female", "male" or ""; grade "A-" or "" */
    const char *engine;
    int rate_hz;
    bool is_default;
} koe_voice_info;

/* The voices that can speak now. The array lives as long as the engine; *n is its length. */
const koe_voice_info *koe_engine_voices(koe_engine *e, size_t *n);

/* A digest of the lexicons that are installed now, for the keys of caches: "" when there are none. */
void koe_engine_lexicon_key(koe_engine *e, char out[65]);
/* Whether koe_request.lexicon may name this one: it is in the folder lexicon/named. */
bool koe_engine_has_lexicon(koe_engine *e, const char *name);

/* Who would speak for a spelling of koe_request.voice: language, engine and rate in *out, the name as spelled. Errors as koe_speak(). */
koe_status koe_engine_find_voice(koe_engine *e, const char *spelling, koe_voice_info *out, koe_error *err);

/* Loads the model of a voice now instead of at its first use. Errors as koe_speak(). */
koe_status koe_engine_load(koe_engine *e, const char *voice, koe_error *err);

typedef struct koe_models_load {
    size_t loaded, unloaded; /* models: still in memory, and those that this call has freed */
} koe_models_load;
/* Frees the models that nobody has used for so long; each is loaded again at its next use. An infinite idle_s only counts. */
koe_models_load koe_engine_unload(koe_engine *e, double idle_s);

/* Phonemes of a text as the voice's engine would get them (of one that reads text itself: misaki's), one malloc()ed UTF-8 string with '\n' between segments. */
koe_status koe_phonemes(koe_engine *e, const koe_request *q, char **out, koe_error *err);
#endif
