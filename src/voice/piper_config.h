/* piper_config.h - the settings beside a Piper voice, NAME.onnx.json. */
#ifndef KOE_VOICE_PIPER_CONFIG_H
#define KOE_VOICE_PIPER_CONFIG_H
#include "text/text.h"
#include "voice/symbols.h"

enum { KOE_PIPER_MAX_SPEAKERS = 16384 };

typedef struct koe_piper_speaker {
    char *name;
    size_t number;
} koe_piper_speaker;

/* Zero-initialise. */
typedef struct koe_piper_config {
    koe_symbols symbols; /* phoneme_id_map; has ^ _ $ */
    koe_alphabet alphabet;
    char *espeak_voice;
    const char *lang; /* canonical tag; static memory */
    int rate_hz;
    double noise_scale, length_scale, noise_w;
    size_t n_speakers; /* at least 1 */
    koe_piper_speaker *named; /* speaker_id_map, when there are several */
    size_t n_named;
} koe_piper_config;

/* `what` names the source in messages. KOE_E_UNSUPPORTED for a phoneme_type or a language that koe does not know. */
koe_status koe_piper_config_parse(koe_piper_config *out, koe_str json, const char *what, koe_error *err);
void koe_piper_config_deinit(koe_piper_config *c);
#endif
