/* request.h - a JSON body -> what to speak and how. Everything that can be wrong with a request by itself is found here, before any work:
 * types, ranges, formats, languages. null is absent; fields that nobody knows are ignored, because clients send them. */
#ifndef KOE_SERVER_REQUEST_H
#define KOE_SERVER_REQUEST_H
#include "base/arena.h"
#include "server/http.h"

/* What the request calls a voice, in `voice` and in the text's tags. */
typedef struct koe_alias {
    const char *name, *voice;
} koe_alias;

/* What the sound is wrapped in. */
typedef enum koe_shape {
    KOE_SHAPE_AUDIO, /* nothing */
    KOE_SHAPE_SSE, /* server-sent events of OpenAI's kind */
    KOE_SHAPE_LINES, /* one JSON object a line, with sound and timestamps */
    KOE_SHAPE_JSON, /* one JSON object */
} koe_shape;

typedef struct koe_utterance {
    koe_str input;
    const char *voice; /* NULL: the default */
    const char *lang; /* NULL: the voice's */
    const char *format; /* of koe_encode_names(); static */
    const char *warning; /* that another voice speaks than was asked for; NULL: none */
    koe_edition *edition; /* its engine speaks */
    koe_shape shape;
    bool whole; /* leaves when all of it is there */
    bool ssml, phonemes, no_normalize, no_voice_tags, timestamps;
    unsigned rules_off; /* set of KOE_RULES_* */
    koe_alias *alias; /* of the arena */
    size_t n_alias;
    koe_str lexicon; /* inline, or a name; n == 0: none */
    double speed, volume, pause, pitch;
    double first_piece_s; /* of a stream; 0: whole clauses */
    uint64_t seed;
    int sample_rate, bitrate; /* 0: the format's */
    size_t n_chars; /* code points of input */
    koe_arena arena; /* owns the texts */
} koe_utterance;

/* False: *p says which field is wrong and what would be right. koe_utterance_deinit() in every case. input: the field that has the text;
 * "phonemes" says what it is; NULL: the text comes later. */
bool koe_utterance_read(koe_utterance *out, const koe_server *s, const json_t *body, const char *input, koe_problem *p);
void koe_utterance_deinit(koe_utterance *r);
/* The request to the engine, which borrows the utterance. */
koe_request koe_utterance_request(const koe_utterance *r, const atomic_bool *cancel);
/* Digest of everything that decides about the answer's bytes; `out` has 65 bytes. */
void koe_utterance_key(const koe_utterance *r, char *out);
#endif
