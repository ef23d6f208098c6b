/* engine.h - inside of include/koe.h: what a koe_engine is made of, for the synth room.
 *     request --koe_voice_find--> voice --koe_text_segments--> segments
 *     segment --koe_voice_speak--> speech --> CLEAN TRIM LIMIT FADE + pause --> koe_audio
 * One pool of threads serves all requests; a segment's network uses all of it. Of a request's audio only one segment is held. */
#ifndef KOE_SYNTH_ENGINE_H
#define KOE_SYNTH_ENGINE_H
#include "koe.h"
#include "text/text.h"
#include "voice/voice.h"

struct koe_engine {
    koe_pool *pool;
    koe_text *text;
    koe_voices *voices;
    atomic_bool said_builtin; /* that the built-in voice speaks for want of another was logged */
};
#endif
