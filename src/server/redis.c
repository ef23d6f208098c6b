/* redis.c - see redis.h. */
#include "server/redis.h"

#include <curl/curl.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

enum { MAX_IDLE = 8, DEFAULT_PORT = 6379, KEY_BYTES = 192, SCAN_COUNT = 500 };
static const double least_pause_ms = 1000, most_pause_ms = 30000;

struct koe_redis {
    char *host, *user, *password, *prefix; /* host: a path for a Unix socket */
    int port, db;
    bool is_unix;
    struct timeval timeout;
    int64_t ttl_s;
    size_t max_value_bytes;
    pthread_mutex_t lock; /* guards: */
    redisContext *idle[MAX_IDLE];
    size_t n_idle;
    double pause_ms, closed_until_ms; /* after a failure */
    koe_redis_stats stats;
};

/* ---- the address ------------------------------------------------------------------------------------------------------------ */

/* malloc()ed; NULL when the URL has no such part. */
static char *part_of(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    if (curl_url_get(u, part, &text, part == CURLUPART_PORT || part == CURLUPART_SCHEME ? 0 : CURLU_URLDECODE) != CURLUE_OK) return NULL;
    char *copy = koe_str_dup(koe_str_of(text));
    curl_free(text);
    return copy;
}

static koe_status read_tcp(koe_redis *r, const char *url, koe_error *err)
{
    CURLU *u = curl_url();
    if (!u) return koe_fail(err, KOE_E_NOMEM, "redis");
    koe_status st = KOE_OK;
    if (curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        st = koe_fail(err, KOE_E_ARGUMENT, "redis: the URL cannot be read; write redis://[USER:PASSWORD@]HOST[:PORT][/DB]");
    char *port = part_of(u, CURLUPART_PORT), *path = part_of(u, CURLUPART_PATH);
    r->host = part_of(u, CURLUPART_HOST);
    r->user = part_of(u, CURLUPART_USER);
    r->password = part_of(u, CURLUPART_PASSWORD);
    r->port = port ? (int)strtol(port, NULL, 10) : DEFAULT_PORT;
    char *end = NULL;
    const long db = path && path[0] && path[1] ? strtol(path + 1, &end, 10) : 0;
    if (st == KOE_OK && (db < 0 || db > 1 << 16 || (end && *end))) st = koe_fail(err, KOE_E_ARGUMENT, "redis: '%s' is no number of a database", path + 1);
    if (st == KOE_OK && (!r->host || !*r->host)) st = koe_fail(err, KOE_E_ARGUMENT, "redis: the URL has no host");
    r->db = (int)db;
    free(port);
    free(path);
    curl_url_cleanup(u);
    return st;
}

static koe_status read_url(koe_redis *r, const char *url, koe_error *err)
{
    if (strncmp(url, "unix://", 7) == 0 && url[7] == '/') {
        r->is_unix = true;
        r->host = koe_str_dup(koe_str_of(url + 7));
        return r->host ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "redis");
    }
    if (strncmp(url, "rediss://", 9) == 0)
        return koe_fail(err, KOE_E_UNSUPPORTED, "redis: this build's hiredis has no TLS; use redis:// through a tunnel, or unix://");
    if (strncmp(url, "redis://", 8) != 0) return koe_fail(err, KOE_E_ARGUMENT, "redis: the URL must begin with redis:// or unix:///");
    return read_tcp(r, url, err);
}

koe_status koe_redis_open(koe_redis **out, const koe_redis_setup *setup, koe_error *err)
{
    koe_redis *r = calloc(1, sizeof *r);
    if (!r) return koe_fail(err, KOE_E_NOMEM, "redis");
    pthread_mutex_init(&r->lock, NULL);
    r->timeout = (struct timeval){ .tv_sec = setup->timeout_ms / 1000, .tv_usec = setup->timeout_ms % 1000 * 1000 };
    r->ttl_s = setup->ttl_s;
    r->max_value_bytes = setup->max_value_bytes;
    r->prefix = koe_str_dup(koe_str_of(setup->prefix));
    koe_status st = !r->prefix ? koe_fail(err, KOE_E_NOMEM, "redis") : read_url(r, setup->url, err);
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
    for (size_t i = 0; i < r->n_idle; i++) redisFree(r->idle[i]);
    pthread_mutex_destroy(&r->lock);
    free(r->host);
    free(r->user);
    free(r->password);
    free(r->prefix);
    free(r);
}

/* ---- connections ------------------------------------------------------------------------------------------------------------ */

/* NULL: a failure, as the connection will say. A reply that is an error is one too. */
static redisReply *command(redisContext *c, int n, const char **word, const size_t *length)
{
    redisReply *reply = redisCommandArgv(c, n, word, length);
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        koe_log(KOE_LOG_DEBUG, "redis: %s", reply->str);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

static bool say(redisContext *c, int n, const char **word)
{
    redisReply *reply = command(c, n, word, NULL);
    if (reply) freeReplyObject(reply);
    return reply != NULL;
}

static redisContext *connect_to(koe_redis *r)
{
    redisContext *c = r->is_unix ? redisConnectUnixWithTimeout(r->host, r->timeout) : redisConnectWithTimeout(r->host, r->port, r->timeout);
    bool ok = c && !c->err && redisSetTimeout(c, r->timeout) == REDIS_OK;
    if (ok && r->password && *r->password) {
        const bool named = r->user && *r->user;
        const char *auth[] = { "AUTH", named ? r->user : r->password, r->password };
        ok = say(c, named ? 3 : 2, auth);
    }
    if (ok && r->db) {
        char db[16];
        snprintf(db, sizeof db, "%d", r->db);
        ok = say(c, 2, (const char *[]){ "SELECT", db });
    }
    if (ok) return c;
    if (c) redisFree(c);
    return NULL;
}

/* Whether it may be asked now. After a failure only one caller in a while. */
static bool may_ask(koe_redis *r, redisContext **idle)
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
static void done(koe_redis *r, redisContext *c, bool ok)
{
    redisContext *gone = c;
    double said_ms = 0;
    bool back = false;
    pthread_mutex_lock(&r->lock);
    if (ok) {
        back = r->pause_ms > 0;
        r->pause_ms = r->closed_until_ms = 0;
        if (r->n_idle < MAX_IDLE) r->idle[r->n_idle++] = c, gone = NULL;
    } else {
        r->stats.failures++;
        if (r->pause_ms == 0) said_ms = least_pause_ms;
        r->pause_ms = r->pause_ms == 0 ? least_pause_ms : r->pause_ms * 2 > most_pause_ms ? most_pause_ms : r->pause_ms * 2;
        r->closed_until_ms = koe_clock_ms() + r->pause_ms;
    }
    r->stats.is_up = ok;
    pthread_mutex_unlock(&r->lock);
    if (gone) redisFree(gone);
    if (said_ms > 0) koe_log(KOE_LOG_WARN, "redis does not answer; going on without, and asking again later");
    if (back) koe_log(KOE_LOG_INFO, "redis answers again");
}

/* One command. An idle connection may have been closed by the other side: then once more with a new one. NULL: no. */
static redisReply *ask(koe_redis *r, int n, const char **word, const size_t *length)
{
    redisContext *c = NULL;
    if (!may_ask(r, &c)) return NULL;
    redisReply *reply = c ? command(c, n, word, length) : NULL;
    if (c && !reply && c->err == REDIS_ERR_EOF) {
        redisFree(c);
        c = NULL;
    }
    if (!c && (c = connect_to(r))) reply = command(c, n, word, length);
    done(r, c, reply != NULL);
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
