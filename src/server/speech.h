/* speech.h - the job that turns a request into the bytes of its answer, turn by turn:
 *     koe_speaking_open -> { koe_speaking_next -> volume -> encoder -> wrapping -> koe_answer_add } -> koe_answer_finish -> cache */
#ifndef KOE_SERVER_SPEECH_H
#define KOE_SERVER_SPEECH_H
#include "server/request.h"

typedef struct koe_inflight koe_inflight;
/* Answers in the making by key: the same request at the same time is synthesised once. NULL when out of memory. */
koe_inflight *koe_inflight_create(void);
void koe_inflight_destroy(koe_inflight *f);

/* Makes an answer for the cache, for nobody: takes *u in every case. KOE_E_FULL: later. */
koe_status koe_speech_warm(koe_server *s, koe_utterance *u, koe_error *err);
/* A request whose body holds its text in `field`: finds or starts the answer, and replies with it. adjust: changes what was read; NULL: nothing. */
enum MHD_Result koe_speech_route(koe_call *c, const char *field, void (*adjust)(koe_utterance *u, const json_t *body));
#endif
