/* espeak_wire.h - what goes over the pipe between koe and its espeak-ng helper process, both ends of the same version.
 *     hello     u32 KOE_ESPEAK_HELLO                                                     helper -> koe, once
 *     request   koe_espeak_request, voice, text                                          koe -> helper
 *     response  koe_espeak_response, bytes (IPA or samples), words                helper -> koe */
#ifndef KOE_TEXT_ESPEAK_WIRE_H
#define KOE_TEXT_ESPEAK_WIRE_H
#include "text/espeak.h"

#define KOE_ESPEAK_HELLO 0x31656f6bu
#define KOE_ESPEAK_GUARD "KOE_ESPEAK_HELPER" /* set in the helper's environment: it must not start helpers */

enum { KOE_ESPEAK_PHONEMES = 1, KOE_ESPEAK_SPEAK };
enum {
    KOE_ESPEAK_MAX_VOICE = 128,
    KOE_ESPEAK_MAX_TEXT = 64 * 1024,
    KOE_ESPEAK_MAX_ANSWER = 512 * 1024 * 1024,
    KOE_ESPEAK_PHONEMES_S = 10, /* longest time for an answer */
    KOE_ESPEAK_SPEAK_S = 120,
};

typedef struct koe_espeak_request {
    uint32_t kind, n_voice, n_text, tie;
    double speed, pitch_semitones;
} koe_espeak_request;

typedef struct koe_espeak_response {
    uint32_t status; /* koe_status */
    int32_t rate_hz;
    uint32_t n_bytes, n_words;
} koe_espeak_response;
#endif
