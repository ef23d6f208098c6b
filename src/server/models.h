/* models.h - what speaks: the engine in service, and its successors.
 *     koe_models_take -> an edition: an engine, and a digest of what was installed when it was opened -> koe_edition_drop
 * A request keeps the edition that it began with. When models, voices or dictionaries on disk change, a new edition is opened beside the
 * old one and, once it can speak, takes its place; the old one ends with its last request. When what is loaded is no longer there, or
 * its successor cannot speak, the old one goes on, and koe_models_trouble() says so. A model that nobody uses for a while is unloaded.
 * Files must be replaced by renaming, as `koe pull` does: what was loaded is still mapped. Threads: any. */
#ifndef KOE_SERVER_MODELS_H
#define KOE_SERVER_MODELS_H
#include <stdatomic.h>

#include "koe.h"
#include "server/config.h"

typedef struct koe_models koe_models;

typedef struct koe_edition {
    koe_engine *engine;
    char digest[65]; /* of names, sizes and times of all files, and of the precision */
    /* koe_models's */
    char seen[65];
    atomic_int refs;
    struct koe_edition *next;
} koe_edition;

/* A voice that speaks a word to itself so that its model is in memory; NULL: none. The text is malloc()ed. */
typedef char *koe_models_voice_fn(void *user, koe_edition *e);

/* voice, user: as whom to speak when a new edition is tried; voice may be NULL. `config` is borrowed. */
koe_status koe_models_open(koe_models **out, const koe_config *config, koe_models_voice_fn *voice, void *user, koe_error *err);
/* Looks at the files and for idle models from now on, on a thread of its own. */
koe_status koe_models_start(koe_models *m, koe_error *err);
/* All editions must have been dropped. NULL is fine. */
void koe_models_close(koe_models *m);

/* The edition in service, with a reference for the caller. */
koe_edition *koe_models_take(koe_models *m);
/* NULL is fine. */
void koe_edition_drop(koe_edition *e);

/* Loads the default voice's model of the edition in service. */
void koe_models_preload(koe_models *m);
/* The default voice says a word to itself, so that the first client does not wait for memory and code to come; ends soon when *cancel is set. */
void koe_models_warm(koe_models *m, const atomic_bool *cancel);
/* Looks at the files now; the new edition, if there is one, is in service on return. */
void koe_models_refresh(koe_models *m);
/* Why the edition in service is not what the files say; false: it is. */
bool koe_models_trouble(koe_models *m, char *out, size_t cap);
#endif
