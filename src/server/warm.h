/* warm.h - phrases that are made at the start and kept by the cache, from the file of --warm: a line is a text, or a JSON body of
 * /v1/audio/speech. They are made one at a time, as batch jobs, when no client waits. */
#ifndef KOE_SERVER_WARM_H
#define KOE_SERVER_WARM_H
#include "server/http.h"

typedef struct koe_warmer koe_warmer;
/* NULL when there is nothing to warm, or no means; the log says which. */
koe_warmer *koe_warm_start(koe_server *s);
/* Ends after the phrase at hand. NULL is fine. */
void koe_warm_stop(koe_warmer *w);
#endif
