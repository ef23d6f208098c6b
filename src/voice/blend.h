/* blend.h - a voice as a client spells it -> parts and weights. All of these are in use:
 *     af_bella   af_bella+af_sky   af_bella(2)+af_sky(1)   af_sky.4+af_nicole.5   a:60,b:40   a*0.6+b*0.4   a,b   a-b
 * A part is a name and a weight, 1 when it has none; `-` subtracts. Weights are divided by the sum of their sizes, so a-b is half
 * of a less half of b, as in Kokoro-FastAPI. */
#ifndef KOE_VOICE_BLEND_H
#define KOE_VOICE_BLEND_H
#include "base/status.h"
#include "base/str.h"

enum { KOE_BLEND_MAX = 16 };

typedef struct koe_blend_part {
    size_t voice; /* index of names[] */
    double weight; /* of either sign; the sizes of all add up to 1 */
} koe_blend_part;

typedef struct koe_blend {
    koe_blend_part part[KOE_BLEND_MAX];
    size_t n; /* a name that occurs twice is one part */
} koe_blend;

/* names: the voices that can be blended; they may hold any characters, the longest that fits is taken. KOE_E_NOT_FOUND names near
 * matches; KOE_E_ARGUMENT says at which character (counted from 1) what was expected. */
koe_status koe_blend_parse(koe_blend *out, koe_str spelling, const koe_str *names, size_t n_names, koe_error *err);
#endif
