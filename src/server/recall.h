/* recall.h - pieces of speech in the cache: an answer of which some sentences were spoken before needs only the others to be made. */
#ifndef KOE_SERVER_RECALL_H
#define KOE_SERVER_RECALL_H
#include "koe.h"
#include "server/cache.h"

/* scope: digest of the models and their precision; borrowed, as the cache. */
koe_recall koe_recall_of(koe_cache *c, const char *scope);
#endif
