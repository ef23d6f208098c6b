/* cache.h - answers that were made before: whole, encoded, known by a digest of everything that matters.
 * Two tiers: memory, and a folder that processes of one machine share. An entry of the folder is one file, DIR/ab/abcdef...:
 *     "KOEC1\n"  sha256 of the rest, 64 hexadecimal digits, "\n"  one line of JSON: key, type, voice, engine, made  "\n"  the answer
 * It is written beside and renamed, so it is there whole or not at all, and checked when it is read: what is damaged is removed.
 * Least recently used goes first, in both tiers; a file's time is the time of its last use.
 * Threads: any. */
#ifndef KOE_SERVER_CACHE_H
#define KOE_SERVER_CACHE_H
#include "server/answer.h"

typedef struct koe_cache koe_cache;

typedef struct koe_cache_setup {
    size_t memory_bytes; /* 0: no memory tier */
    const char *dir; /* "" : no disk tier */
    uint64_t disk_bytes;
    int64_t age_s; /* 0: no limit */
} koe_cache_setup;

typedef struct koe_cache_stats {
    size_t memory_bytes, memory_entries;
    uint64_t disk_bytes, disk_entries; /* as counted by this process */
    uint64_t hits_memory, hits_disk, misses, evictions, damaged, failed_writes;
} koe_cache_stats;

/* Makes the folder and measures what is in it. */
koe_status koe_cache_create(koe_cache **out, const koe_cache_setup *setup, koe_error *err);
void koe_cache_destroy(koe_cache *c);
/* A whole answer, with a reference for the caller; NULL: not there. */
koe_answer *koe_cache_find(koe_cache *c, const char *key);
/* Keeps an answer in memory, to which its worker adds no more. False: it cannot be kept (no key, too long). */
bool koe_cache_keep(koe_cache *c, koe_answer *a);
/* Writes a finished one to the folder, if there is one. A disk that is full is one line in the log, not an error. */
void koe_cache_write(koe_cache *c, koe_answer *a);
/* Forgets everything, in memory and on disk. */
void koe_cache_purge(koe_cache *c);
koe_cache_stats koe_cache_get_stats(koe_cache *c);
#endif
