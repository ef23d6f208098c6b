/* recall.c - see recall.h. */
#include "server/recall.h"

static bool has(void *user, const char *key) { return koe_cache_has(user, key); }

static bool find(void *user, const char *key, koe_buf *out)
{
    koe_answer *a = koe_cache_find(user, key);
    if (!a) a = koe_cache_find_far(user, key);
    koe_cache_count_piece(user, a != NULL);
    if (!a) return false;
    koe_buf_add(out, a->bytes.data, a->bytes.n);
    koe_answer_unref(a);
    return true;
}

static void keep(void *user, const char *key, const void *bytes, size_t n)
{
    koe_answer *a = koe_answer_create(key, true);
    if (!a) return;
    memcpy(a->about.type, KOE_CACHE_PIECE, sizeof KOE_CACHE_PIECE);
    koe_buf_add(&a->bytes, bytes, n);
    a->has_head = a->done = true;
    if (!a->bytes.failed && koe_cache_keep(user, a)) koe_cache_write(user, a);
    koe_answer_unref(a);
}

koe_recall koe_recall_of(koe_cache *c, const char *scope) { return (koe_recall){ .scope = scope, .has = has, .find = find, .keep = keep, .user = c }; }
