/* symbols.h - a voice's alphabet: code points -> the ids that its network knows them by. */
#ifndef KOE_VOICE_SYMBOLS_H
#define KOE_VOICE_SYMBOLS_H
#include <jansson.h>

#include "base/status.h"
#include "base/str.h"

typedef struct koe_symbol {
    uint32_t cp;
    uint32_t first, n; /* of koe_symbols.id */
} koe_symbol;

/* Zero-initialise. Read-only once read. */
typedef struct koe_symbols {
    koe_symbol *symbol; /* by cp */
    int64_t *id;
    size_t n, n_id;
} koe_symbols;

/* From {"symbol": id, ...} or {"symbol": [id, ...], ...}. Keys of more than one code point cannot occur in phonemes; they are
 * left out, once in the log. `what` names the source in messages. */
koe_status koe_symbols_read(koe_symbols *out, const json_t *object, const char *what, koe_error *err);
/* The same from JSON text; the object is the member `key` of the root, or the root itself when key is NULL. */
koe_status koe_symbols_parse(koe_symbols *out, koe_str json, const char *key, const char *what, koe_error *err);
void koe_symbols_deinit(koe_symbols *s);
/* NULL when there is none. */
const koe_symbol *koe_symbols_find(const koe_symbols *s, uint32_t cp);
#endif
