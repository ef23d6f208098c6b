/* keys.h - who may, and how much. Keys are kept as SHA-256 only, in a JSON file:
 *     {"keys": [{"name": "web", "sha256": "64 hexadecimal digits", "scopes": ["speech", "admin"], "requests_per_minute": 60,
 *                "characters_per_minute": 20000, "characters_per_day": 500000, "streams": 4}]}
 * scopes: speech (what a key without scopes has), status (GET /status and /metrics), admin (everything). characters_per_day is a quota
 * beside the rate. Limits are token buckets: all of it may come at once, then it refills evenly; they are not kept across restarts.
 * streams: at a time. Without a key the address stands for the client. Threads: any. */
#ifndef KOE_SERVER_KEYS_H
#define KOE_SERVER_KEYS_H
#include <stdbool.h>
#include <stdint.h>

#include "server/config.h"
#include "server/problem.h"

typedef struct koe_keys koe_keys;

typedef enum koe_scope { KOE_SCOPE_SPEECH = 1, KOE_SCOPE_STATUS = 2, KOE_SCOPE_ADMIN = 4 } koe_scope;

/* Who sent a request. Valid as long as the koe_keys, across reloads. */
typedef struct koe_identity {
    size_t key; /* 0: no key */
    bool stream_counted;
    char name[64]; /* of the key; "" without one */
} koe_identity;

/* KOE_E_FORMAT names the file and what is wrong. `config` is borrowed. */
koe_status koe_keys_open(koe_keys **out, const koe_config *config, koe_error *err);
void koe_keys_close(koe_keys *k);
/* Reads the file of these settings; on failure what was there stays. Keys of the same name go on with their limits as they stand. */
koe_status koe_keys_reload(koe_keys *k, const koe_config *config, koe_error *err);
/* token: what the client sent, or NULL; scope 0: speech. False: *p says why (401, 403). */
bool koe_keys_check(koe_keys *k, const char *token, koe_scope scope, koe_identity *who, koe_problem *p);
/* Appends a new random key, and on the next line what stands for it in the file. name: 1 to 63 bytes. */
koe_status koe_keys_make(koe_buf *out, const char *name, koe_error *err);
/* Takes requests (0 or 1) and characters out of the client's buckets; a request is also a stream, until koe_keys_release(). False: 429,
 * with when to come again. */
bool koe_keys_take(koe_keys *k, koe_identity *who, const char *address, int requests, double characters, koe_problem *p);
/* What stands for the client where work is shared out: the key, without one the address. */
uint64_t koe_keys_owner(const koe_identity *who, const char *from);
/* Ends the stream; nothing happens without one. */
void koe_keys_release(koe_keys *k, koe_identity *who);
#endif
