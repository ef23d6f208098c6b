/* voice.h - what a voice is, and who can speak with it.
 *     name or blend --FIND--> koe_voice      koe_voice + segment of phonemes --SPEAK--> samples and the times of the words
 * Three providers stand behind one table (provider.h): `kokoro` (a network and packs of style vectors, voice/pack.h), `piper` (a
 * network for each voice) and `builtin` (espeak-ng's own synthesiser, always there). What is installed is found once, when the
 * room is opened; a network is loaded at the first use of one of its voices. Nothing is substituted: a voice that is missing is
 * an error saying what to install.
 * Threads: a koe_voices is shared; find and speak may run any number at a time. */
#ifndef KOE_VOICE_VOICE_H
#define KOE_VOICE_VOICE_H
#include "base/pool.h"
#include "koe.h"
#include "text/espeak.h"
#include "text/text.h"
#include "voice/blend.h"

typedef struct koe_voices koe_voices;

typedef struct koe_voices_setup {
    const char *home; /* folder of models: kokoro/{model.onnx,config.json,voices/}, piper/NAME.onnx{,.json} */
    const char *model; /* an .onnx to use as the main model; NULL: the installed ones */
    const char *piper_model; /* another of Piper's; NULL: none */
    const char *voices; /* folder or file of Kokoro's packs; NULL: beside the model */
    koe_pool *pool; /* borrowed */
    int precision; /* KOE_PRECISION_* */
    bool keep_weights; /* koe_engine_options */
    koe_espeak *espeak; /* borrowed; speaks the built-in voice */
} koe_voices_setup;

/* Missing parts (a model without voices, voices without a model) are a line in the log, not an error; a `model` that is not there
 * is. */
koe_status koe_voices_open(koe_voices **out, const koe_voices_setup *setup, koe_error *err);
void koe_voices_close(koe_voices *v);
/* The voices that can speak, the default one marked. Lives as long as `v`. */
const koe_voice_info *koe_voices_list(const koe_voices *v, size_t *n);

/* As koe_engine_unload(). */
koe_models_load koe_voices_unload(koe_voices *v, double idle_s);

/* A voice, or a blend of Kokoro's, ready to speak. Holds no memory of its own. */
typedef struct koe_voice {
    const struct koe_provider *provider;
    void *state; /* the provider's */
    size_t id[KOE_BLEND_MAX]; /* the provider's numbers of its parts */
    double weight[KOE_BLEND_MAX];
    size_t n;
    char name[320]; /* as resolved: "af_heart", "af_bella(0.67)+af_sky(0.33)" */
    const char *engine; /* "kokoro", "piper", "builtin" */
    const char *lang; /* canonical tag where the text room knows it */
    koe_alphabet alphabet; /* what segments to speak must be written in */
    const char *espeak_voice; /* for KOE_ALPHABET_ESPEAK */
    size_t max_phonemes; /* of a segment */
    int rate_hz;
    bool has_pitch; /* the pitch of single words can be changed */
    bool has_pieces; /* the beginning of a segment can be made on its own */
} koe_voice;

/* spelling: a name, a blend (voice/blend.h), NAME:SPEAKER or NAME#NUMBER of a Piper voice with several speakers,
 * builtin:LANGUAGE; empty: the default voice. KOE_E_NOT_FOUND names near matches, or says what to install. */
koe_status koe_voice_find(koe_voice *out, const koe_voices *v, koe_str spelling, koe_error *err);

/* Whether the voice has a sound for this code point of its alphabet. */
bool koe_voice_knows(const koe_voice *voice, uint32_t phoneme);

/* Loads the voice's network now instead of at its first use. */
koe_status koe_voice_load(const koe_voice *voice, koe_error *err);

/* How to speak one segment. */
typedef struct koe_voice_job {
    const koe_segment *segment; /* in the voice's alphabet */
    double speed;
    uint64_t seed;
    bool zero_noise;
    double piece_s; /* only the beginning, of at least about so many seconds, where the voice can; 0: all of it */
    /* What pieces of this segment, made for the same job and with this koe_speech last, have said already: words, the last one perhaps only
     * begun, and seconds of its sound; and
     * how much of that is still to be heard. 0: nothing. */
    size_t said;
    double said_s, in_hand_s;
    const atomic_bool *cancel; /* may be NULL */
} koe_voice_job;

typedef struct koe_word_time {
    size_t from, to; /* samples; from <= to; the last word of a piece may end behind it */
} koe_word_time;

/* What was said. Zero-initialise; memory is kept from segment to segment. */
typedef struct koe_speech {
    float *samples;
    size_t n_samples, cap_samples;
    int rate_hz;
    koe_word_time *word; /* as many as the segment has words, in their order */
    size_t n_word, cap_word;
    /* Of a piece: the words that begin in it or before, and its samples. What comes after the seam is there to be faded out. Else all. */
    size_t n_said, seam;
    struct koe_rest *rest; /* of a piece: what need not be computed again for more of the segment; NULL: nothing */
} koe_speech;

void koe_speech_free(koe_speech *s);
/* There will be no more of the segment. */
void koe_speech_drop_rest(koe_speech *s);
/* KOE_E_CANCELLED when job->cancel was set. The words' times come from the model's own durations: their sum is the audio's
 * length. */
koe_status koe_voice_speak(koe_speech *out, const koe_voice *voice, const koe_voice_job *job, koe_error *err);
#endif
