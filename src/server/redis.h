/* redis.h - the cache's values in a Redis that machines share. A value is what cache.h describes as a file, checksum and all.
 * Whoever asks waits at most a few times timeout_ms. After a failure nobody asks for a while (1 s, doubled up to 30 s), so that a Redis
 * that is down or slow costs next to nothing; then one call tries again. Keys are PREFIX:1:DIGEST and expire.
 * Threads: any. */
#ifndef KOE_SERVER_REDIS_H
#define KOE_SERVER_REDIS_H
#include "base/status.h"
#include "base/str.h"

typedef struct koe_redis koe_redis;

typedef struct koe_redis_setup {
    const char *url, *ca; /* as koe_redis_address_open() */
    const char *prefix;
    int64_t timeout_ms, ttl_s /* 0: for ever */;
    size_t max_value_bytes;
} koe_redis_setup;

typedef struct koe_redis_stats {
    uint64_t hits, misses, writes, failures, skipped; /* skipped: not asked after a failure, or too large */
    bool is_up; /* the last call that was tried went well */
} koe_redis_stats;

/* Reads the URL and asks nobody yet. KOE_E_ARGUMENT says what is wrong with it. */
koe_status koe_redis_open(koe_redis **out, const koe_redis_setup *setup, koe_error *err);
void koe_redis_close(koe_redis *r);
/* Appends the value; false: none, or no Redis. */
bool koe_redis_get(koe_redis *r, const char *key, koe_buf *out);
void koe_redis_put(koe_redis *r, const char *key, koe_str value);
/* Removes all keys of this prefix. Takes as long as it takes. */
void koe_redis_purge(koe_redis *r);
koe_redis_stats koe_redis_get_stats(koe_redis *r);
#endif
