/* weights.h - constant data as prepare() packs it: one copy a session, shared by nodes that are the same, and kept in a file from
 * which the next start maps it.
 *     A packed file:  "KOEPACK1" | uint32 entries, 0 | 32 bytes key | entries x { uint32 node, uint32 part, uint64 offset, uint64 bytes }
 *     then the data, each part aligned to 64 bytes, and to a page from 64 KB on. Numbers are little-endian. The key is a hash of all that the content depends on:
 *     the model file, koe's packing version, instruction set, precision and passes. A file that does not fit is ignored.
 * Threads: one at a time while a session is made; afterwards read-only but for koe_weights_passed() and koe_weights_trim(). */
#ifndef KOE_GRAPH_WEIGHTS_H
#define KOE_GRAPH_WEIGHTS_H
#include "base/file.h"
#include "ops/op.h"

typedef struct koe_weights koe_weights;

koe_status koe_weights_create(koe_weights **out, koe_error *err);
void koe_weights_destroy(koe_weights *w);
/* What part `part` of `node` is to hold: *ready when it holds it already, from the mapped file or from an earlier call. */
koe_status koe_weights_get(koe_weights *w, unsigned node, unsigned part, size_t n_bytes, void **out, bool *ready, koe_error *err);
/* Forgets what a node has packed. */
void koe_weights_drop(koe_weights *w, unsigned node);
/* Memory until koe_weights_end(): for a constant that must be converted before it is packed. NULL when out of memory. */
void *koe_weights_temp(koe_weights *w, size_t n_bytes);
void koe_weights_end(koe_weights *w);
/* Uses a packed file from now on. False, with a line in the log at debug level, when it is missing or not for this key. */
bool koe_weights_map(koe_weights *w, const char *path, const unsigned char key[32]);
/* True when everything came from the file. */
bool koe_weights_all_mapped(const koe_weights *w);
/* A run has read what `node` packed, and can afford `most` bytes of mapped weights in memory. The first parts that fit stay for the next run,
 * also in place of later ones that stayed: layers that share their weights come first in speech networks. Pages of others go back to the
 * system, whose cache of the file gives them again when they are read (several ms for 25 MB). Threads: any. */
void koe_weights_passed(koe_weights *w, unsigned node, size_t most);
/* Gives back mapped weights that stay in memory, the last ones first, until they come to no more than `most` bytes. Threads: any. */
void koe_weights_trim(koe_weights *w, size_t most);
/* Bytes of mapped weights that stay in memory between their uses. Threads: any. */
size_t koe_weights_kept(koe_weights *w);
/* Writes all parts to a new file at `path`, atomically, and maps the large ones from it, where they are. No run may be reading. */
koe_status koe_weights_save(koe_weights *w, const char *path, const unsigned char key[32], koe_error *err);
#endif
