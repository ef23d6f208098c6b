/* cache.h - what was made before, known by a digest of everything that matters: answers, whole and encoded, and pieces of speech
 * (recall.h), which are kept as answers of a type of their own.
 * Three tiers: memory; a folder that processes of one machine share; a Redis that machines share (redis.h), whose values are as the
 * files. In memory pieces take half of the room at most. An entry of the folder is one file, DIR/ab/abcdef...:
 *     "KOEC1\n"  sha256 of the rest, 64 hexadecimal digits, "\n"  one line of JSON: key, type, voice, engine, warning, made  "\n"  the answer
 * It is written beside and renamed, and checked when it is read: what is damaged, as a power cut may leave it, is removed.
 * Least recently used goes first, in both tiers; a file's time is the time of its last use.
 * A thread of its own writes to folder and Redis: nobody waits for them. Threads: any. */
#ifndef KOE_SERVER_CACHE_H
#define KOE_SERVER_CACHE_H
#include "server/answer.h"

typedef struct koe_cache koe_cache;

typedef struct koe_cache_setup {
    size_t memory_bytes; /* 0: no memory tier */
    const char *dir; /* "" : no disk tier */
    uint64_t disk_bytes;
    int64_t age_s; /* 0: no limit */
    struct koe_redis *redis; /* borrowed; NULL: none */
} koe_cache_setup;

typedef struct koe_cache_stats {
    size_t memory_bytes, memory_entries;
    uint64_t disk_bytes, disk_entries; /* as counted by this process */
    uint64_t hits_memory, hits_disk, hits_redis, misses, evictions_memory, evictions_disk, damaged, failed_writes;
    uint64_t piece_hits, piece_misses;
    size_t piece_bytes; /* of memory_bytes */
} koe_cache_stats;

/* Makes the folder and measures what is in it. */
koe_status koe_cache_create(koe_cache **out, const koe_cache_setup *setup, koe_error *err);
void koe_cache_destroy(koe_cache *c);
#define KOE_CACHE_PIECE "audio/x-koe-piece" /* the type of what is no answer to a client */
/* A whole answer, with a reference for the caller; NULL: in neither memory nor folder. */
koe_answer *koe_cache_find(koe_cache *c, const char *key);
/* The same of Redis, for which a worker may wait a moment. */
koe_answer *koe_cache_find_far(koe_cache *c, const char *key);
/* Whether memory or folder seem to have it. */
bool koe_cache_has(koe_cache *c, const char *key);
/* Counts an answer that no tier had. */
void koe_cache_count_miss(koe_cache *c);
/* Counts what became of looking for a piece. */
void koe_cache_count_piece(koe_cache *c, bool hit);
/* Keeps an answer in memory, to which its worker adds no more. False: it cannot be kept (no key, too long). */
bool koe_cache_keep(koe_cache *c, koe_answer *a);
/* Has a kept one written to folder and Redis, where there are any. A disk that is full is one line in the log, not an error. */
void koe_cache_write(koe_cache *c, koe_answer *a);
/* Forgets everything, in memory, on disk and (soon after) in Redis. */
void koe_cache_purge(koe_cache *c);
koe_cache_stats koe_cache_get_stats(koe_cache *c);
#endif
