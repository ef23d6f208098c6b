/* wrap.h - what the sound of an answer is wrapped in: nothing, OpenAI's server-sent events, Kokoro-FastAPI's captioned JSON.
 *     SSE      data: {"type":"speech.audio.delta","audio":"<base64>"}  ... speech.audio.timestamps ... speech.audio.done with usage
 *              speech.audio.mark {"name","time","offset"} for each mark of the text
 *     LINES    {"audio","audio_format","timestamps":[{"word","start_time","end_time","offset"}]} for each segment; "marks" where there are any
 *     JSON     the same for all of it
 * usage: input_tokens are characters, output_tokens 20 ms frames of sound. offset counts characters of the input. */
#ifndef KOE_SERVER_WRAP_H
#define KOE_SERVER_WRAP_H
#include "server/request.h"

typedef struct koe_wrap {
    const koe_utterance *u; /* borrowed */
    koe_buf sound; /* of KOE_SHAPE_JSON, all of it */
    json_t *words, *marks; /* of KOE_SHAPE_JSON */
    size_t at_bytes, at_chars; /* a place in the input as bytes and as characters, to count on from */
    const char *warning; /* what the client should know about the sound, borrowed; "": nothing */
    float *scaled; /* samples at the utterance's volume */
    bool failed; /* out of memory */
} koe_wrap;

void koe_wrap_init(koe_wrap *w, const koe_utterance *u);
void koe_wrap_deinit(koe_wrap *w);
/* The samples at the volume asked for, until the next call; the encoder clips. NULL when out of memory. */
const float *koe_wrap_samples(koe_wrap *w, const koe_audio *audio);
/* Content-Type of the answer; static. */
const char *koe_wrap_type(const koe_wrap *w);
/* What may stand between two pieces of the answer and says nothing; static. NULL: there is nothing. */
const char *koe_wrap_filler(const koe_wrap *w);
/* Appends a segment. */
void koe_wrap_add(koe_wrap *w, koe_buf *out, koe_str sound, const koe_audio *audio);
void koe_wrap_end(koe_wrap *w, koe_buf *out, double audio_s);
/* Something failed after the first byte: appends an event where the shape has one, and nothing otherwise. */
void koe_wrap_problem(koe_wrap *w, koe_buf *out, const koe_problem *p);
/* [{"word", "start_time", "end_time", "offset"}] of a segment, whose sound and text come after so much of both. NULL when out of memory. */
json_t *koe_wrap_words(koe_wrap *w, const koe_audio *audio, double after_s, size_t after_chars);
/* [{"type": "speech.audio.mark", "name", "time", "offset"}] in the same way. */
json_t *koe_wrap_marks(koe_wrap *w, const koe_audio *audio, double after_s, size_t after_chars);
/* Appends base64 (RFC 4648). */
void koe_base64(koe_buf *out, koe_str bytes);
#endif
