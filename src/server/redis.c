/* redis.c - see redis.h. */
#include "server/redis.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/redis_link.h"

enum { MAX_IDLE = 8, KEY_BYTES = 192, SCAN_COUNT = 500 };
static const double least_pause_ms = 1000, most_pause_ms = 30000;

struct koe_redis {
    koe_redis_address *address;
    char *prefix;
    int64_t ttl_s;
    size_t max_value_bytes;
    pthread_mutex_t lock; /* guards: */
    koe_redis_link *idle[MAX_IDLE];
    size_t n_idle;
    double pause_ms, closed_until_ms; /* after a failure */
    koe_redis_stats stats;
};

koe_status koe_redis_open(koe_redis **out, const koe_redis_setup *setup, koe_error *err)
{
    koe_redis *r = calloc(1, sizeof *r);
    if (!r) return koe_fail(err, KOE_E_NOMEM, "redis");
    pthread_mutex_init(&r->lock, NULL);
    r->ttl_s = setup->ttl_s;
    r->max_value_bytes = setup->max_value_bytes;
    r->prefix = koe_str_dup(koe_str_of(setup->prefix));
    koe_status st = !r->prefix ? koe_fail(err, KOE_E_NOMEM, "redis")
                              : koe_redis_address_open(&r->address, setup->url, setup->ca, setup->timeout_ms, err);
    if (st == KOE_OK && strlen(r->prefix) > KEY_BYTES / 2) st = koe_fail(err, KOE_E_ARGUMENT, "redis: the prefix is longer than %d bytes", KEY_BYTES / 2);
    if (st != KOE_OK) {
        koe_redis_close(r);
        return st;
    }
    *out = r;
    return KOE_OK;
}

void koe_redis_close(koe_redis *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->n_idle; i++) koe_redis_link_close(r->idle[i]);
    pthread_mutex_destroy(&r->lock);
    koe_redis_address_close(r->address);
    free(r->prefix);
    free(r);
}

/* ---- connections ------------------------------------------------------------------------------------------------------------ */

/* Whether it may be asked now. After a failure only one caller in a while. */
static bool may_ask(koe_redis *r, koe_redis_link **idle)
{
    const double now_ms = koe_clock_ms();
    pthread_mutex_lock(&r->lock);
    const bool may = now_ms >= r->closed_until_ms;
    if (may && r->pause_ms > 0) r->closed_until_ms = now_ms + r->pause_ms;
    *idle = may && r->n_idle ? r->idle[--r->n_idle] : NULL;
    if (!may) r->stats.skipped++;
    pthread_mutex_unlock(&r->lock);
    return may;
}

/* Takes the connection: it went well, or it did not. */
static void done(koe_redis *r, koe_redis_link *l, bool ok, const char *why)
{
    koe_redis_link *gone = l;
    bool back = false, lost = false;
    pthread_mutex_lock(&r->lock);
    if (ok) {
        back = r->pause_ms > 0;
        r->pause_ms = r->closed_until_ms = 0;
        if (r->n_idle < MAX_IDLE) r->idle[r->n_idle++] = l, gone = NULL;
    } else {
        r->stats.failures++;
        lost = r->pause_ms == 0;
        r->pause_ms = r->pause_ms == 0 ? least_pause_ms : r->pause_ms * 2 > most_pause_ms ? most_pause_ms : r->pause_ms * 2;
        r->closed_until_ms = koe_clock_ms() + r->pause_ms;
    }
    r->stats.is_up = ok;
    pthread_mutex_unlock(&r->lock);
    koe_redis_link_close(gone);
    if (lost) koe_log(KOE_LOG_WARN, "redis does not answer (%s); going on without, and asking again later", why);
    if (back) koe_log(KOE_LOG_INFO, "redis answers again");
}

/* One command. An idle connection may have been closed by the other side: then once more with a new one. NULL: no. */
static redisReply *ask(koe_redis *r, int n, const char **word, const size_t *length)
{
    char why[KOE_REDIS_WHY] = "";
    koe_redis_link *l = NULL;
    if (!may_ask(r, &l)) return NULL;
    redisReply *reply = l ? koe_redis_link_ask(l, n, word, length, why) : NULL;
    if (l && !reply && koe_redis_link_ended(l)) {
        koe_redis_link_close(l);
        l = NULL;
    }
    if (!l && (l = koe_redis_link_open(r->address, why))) reply = koe_redis_link_ask(l, n, word, length, why);
    done(r, l, reply != NULL, why);
    return reply;
}

/* ---- values ----------------------------------------------------------------------------------------------------------------- */

static void count(koe_redis *r, uint64_t *counter)
{
    pthread_mutex_lock(&r->lock);
    (*counter)++;
    pthread_mutex_unlock(&r->lock);
}

static void full_key(const koe_redis *r, const char *key, char *out) { snprintf(out, KEY_BYTES, "%s:1:%s", r->prefix, key); }

bool koe_redis_get(koe_redis *r, const char *key, koe_buf *out)
{
    char name[KEY_BYTES], last[32];
    full_key(r, key, name);
    snprintf(last, sizeof last, "%zu", r->max_value_bytes); /* one byte more than is taken */
    redisReply *reply = ask(r, 4, (const char *[]){ "GETRANGE", name, "0", last }, NULL);
    if (!reply) return false;
    const bool found = reply->type == REDIS_REPLY_STRING && reply->len > 0 && (size_t)reply->len <= r->max_value_bytes;
    if (found) koe_buf_add(out, reply->str, (size_t)reply->len);
    freeReplyObject(reply);
    count(r, found ? &r->stats.hits : &r->stats.misses);
    return found && !out->failed;
}

void koe_redis_put(koe_redis *r, const char *key, koe_str value)
{
    char name[KEY_BYTES], ttl[32];
    if (value.n > r->max_value_bytes) {
        count(r, &r->stats.skipped);
        return;
    }
    full_key(r, key, name);
    snprintf(ttl, sizeof ttl, "%lld", (long long)r->ttl_s);
    const char *word[] = { "SET", name, value.p, "EX", ttl };
    const size_t length[] = { 3, strlen(name), value.n, 2, strlen(ttl) };
    redisReply *reply = ask(r, r->ttl_s ? 5 : 3, word, length);
    if (!reply) return;
    freeReplyObject(reply);
    count(r, &r->stats.writes);
}

/* Deletes the keys of one page of SCAN. */
static bool unlink_keys(koe_redis *r, const redisReply *keys)
{
    const char **word = keys->elements ? calloc(keys->elements + 1, sizeof *word) : NULL;
    if (!word) return keys->elements == 0;
    word[0] = "DEL";
    for (size_t i = 0; i < keys->elements; i++) word[i + 1] = keys->element[i]->str;
    redisReply *reply = ask(r, (int)keys->elements + 1, word, NULL);
    free(word);
    if (reply) freeReplyObject(reply);
    return reply != NULL;
}

void koe_redis_purge(koe_redis *r)
{
    char pattern[KEY_BYTES], count[16], cursor[32] = "0";
    full_key(r, "*", pattern);
    snprintf(count, sizeof count, "%d", SCAN_COUNT);
    for (bool ok = true; ok;) {
        redisReply *page = ask(r, 6, (const char *[]){ "SCAN", cursor, "MATCH", pattern, "COUNT", count }, NULL);
        ok = page && page->type == REDIS_REPLY_ARRAY && page->elements == 2 && page->element[0]->str && unlink_keys(r, page->element[1]);
        if (ok) snprintf(cursor, sizeof cursor, "%s", page->element[0]->str);
        else koe_log(KOE_LOG_WARN, "redis: not everything could be removed");
        if (page) freeReplyObject(page);
        if (strcmp(cursor, "0") == 0) return;
    }
}

koe_redis_stats koe_redis_get_stats(koe_redis *r)
{
    pthread_mutex_lock(&r->lock);
    const koe_redis_stats stats = r->stats;
    pthread_mutex_unlock(&r->lock);
    return stats;
}
