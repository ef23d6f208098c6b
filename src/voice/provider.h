/* provider.h - what stands behind voice.h, and the parts that providers share. For the voice room only. */
#ifndef KOE_VOICE_PROVIDER_H
#define KOE_VOICE_PROVIDER_H
#include "voice/voice.h"

/* acoustic.h */
typedef struct koe_rest koe_rest;
/* NULL is fine. */
void koe_rest_destroy(koe_rest *r);

/* Voices that can speak now, in the order of preference. Strings live as long as the provider. */
typedef struct koe_voice_entry {
    koe_voice_info info;
    const struct koe_provider *provider;
    void *state;
    size_t id;
} koe_voice_entry;

typedef struct koe_voice_table {
    koe_voice_entry *entry;
    size_t n, cap;
    bool failed; /* out of memory */
} koe_voice_table;

void koe_voice_table_add(koe_voice_table *t, const koe_voice_entry *entry);

typedef struct koe_provider {
    const char *name;
    bool can_blend;
    koe_status (*open)(void **state, const koe_voices_setup *setup, koe_error *err);
    void (*close)(void *state);
    void (*list)(void *state, koe_voice_table *t);
    /* Fills in what voice.h promises about voice `id`, its name too. */
    void (*describe)(void *state, size_t id, koe_voice *out);
    /* Spellings that are not listed: the number of the voice in *id. False: it is not this provider's. May be NULL. */
    bool (*find)(void *state, size_t *id, koe_str spelling, koe_status *st, koe_error *err);
    /* Says why `name` cannot speak although this provider knows it; KOE_OK: it does not. May be NULL. */
    koe_status (*missing)(void *state, koe_str name, koe_error *err);
    /* Whether voice `id` has a sound for a phoneme. NULL: it has one for all. */
    bool (*knows)(void *state, size_t id, uint32_t phoneme);
    /* out->rest is of this segment's pieces before, or NULL. */
    koe_status (*speak)(koe_speech *out, const koe_voice *voice, const koe_voice_job *job, koe_error *err);
    /* Loads what voice `id` needs, if it is not. NULL: it needs nothing. */
    koe_status (*load)(void *state, size_t id, koe_error *err);
    /* As koe_engine_unload(). NULL: there is nothing to free. */
    koe_models_load (*unload)(void *state, double idle_s);
} koe_provider;

extern const koe_provider koe_provider_kokoro, koe_provider_piper, koe_provider_builtin;

/* Whether a .onnx file is a Piper voice: its settings stand beside it, in FILE.json. */
bool koe_piper_is_model(const char *path);

/* ---- timing.c: durations -> samples -> words ---- */

/* The code points of a segment's phonemes and the sample where each begins. */
typedef struct koe_timeline {
    uint32_t *cp;
    size_t *at; /* [n + 1] */
    size_t n;
} koe_timeline;

koe_status koe_timeline_init(koe_timeline *t, koe_str phonemes, koe_error *err);
void koe_timeline_deinit(koe_timeline *t);

/* Owner of a token that stands before the first and behind the last code point. */
#define KOE_OWNER_LEAD SIZE_MAX
#define KOE_OWNER_TAIL (SIZE_MAX - 1)
/* A token for each id that goes into a network. */
typedef struct koe_tokens {
    int64_t *id;
    size_t *owner; /* the code point it belongs to, ascending */
    size_t n, cap;
} koe_tokens;
koe_status koe_tokens_add(koe_tokens *t, int64_t id, size_t owner, koe_error *err);
void koe_tokens_deinit(koe_tokens *t);

/* Lays the durations of tokens (any unit) over n_samples. duration NULL: every code point lasts equally long. A code point
 * without a token takes no time. */
koe_status koe_timeline_spread(koe_timeline *t, const koe_tokens *tokens, const double *duration, size_t n_samples,
                               koe_error *err);
/* The words' times; a space between two words belongs half to each. */
koe_status koe_timeline_words(koe_speech *out, const koe_timeline *t, const koe_segment *segment, koe_error *err);

/* Room for n samples; keeps nothing of the old ones. */
koe_status koe_speech_reserve(koe_speech *s, size_t n, koe_error *err);
#endif
