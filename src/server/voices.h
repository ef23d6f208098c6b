/* voices.h - blends that were saved under a name: $KOE_HOME/saved/blends.json, {"NAME": "af_bella(2)+af_sky(1)"}. Threads: any. */
#ifndef KOE_SERVER_VOICES_H
#define KOE_SERVER_VOICES_H
#include "base/arena.h"

typedef struct koe_saved koe_saved;

/* A file that is not there is empty; one that is damaged is an error. */
koe_status koe_saved_open(koe_saved **out, const char *home, koe_error *err);
void koe_saved_close(koe_saved *s);
/* The blend in the arena; NULL when there is none of that name. */
const char *koe_saved_find(koe_saved *s, const char *name, koe_arena *arena);
#endif
