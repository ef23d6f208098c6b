/* warm.h - what is done when the server is ready and nobody asks yet: a word by the default voice, the encoders, then the phrases of the file
 * of --warm, which the cache keeps: a line is a text, or a JSON body of /v1/audio/speech. They are made one at a time, as batch jobs, when
 * no client waits. */
#ifndef KOE_SERVER_WARM_H
#define KOE_SERVER_WARM_H
#include "server/http.h"

typedef struct koe_warmer koe_warmer;
/* NULL when there are no means; the log says so. */
koe_warmer *koe_warm_start(koe_server *s);
/* Ends after the phrase at hand, and cuts the word short. NULL is fine. */
void koe_warm_stop(koe_warmer *w);
#endif
