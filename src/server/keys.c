/* keys.c - see keys.h. */
#include "server/keys.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"

enum { MAX_FILE_BYTES = 4 << 20, MAX_KEYS = 10000, N_ADDRESSES = 4096, DIGEST_DIGITS = 64 };

/* Filled evenly, up to a minute's worth. */
typedef struct bucket {
    double level;
    double at_ms; /* when level was right; 0: never used, full */
} bucket;

typedef struct key {
    char name[64], sha256[KOE_DIGEST_TEXT];
    bool admin;
    double requests, characters; /* a minute; 0: no limit */
    int64_t streams; /* at a time; 0: no limit */
    bucket request, character;
    int64_t n_streams;
} key;

/* Clients without a key, by address. A new address takes the place of the one seen longest ago among the few it may stand in. */
typedef struct address {
    char text[64];
    bucket request, character;
    double seen_ms;
} address;

struct koe_keys {
    const koe_config *config;
    pthread_mutex_t lock; /* guards all below */
    key *key;
    size_t n;
    address address[N_ADDRESSES];
};

static void digest_of(const char *text, size_t n, char out[KOE_DIGEST_TEXT])
{
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    koe_digest_add(&d, text, n);
    koe_digest_text(&d, out);
}

static bool has_scope(const json_t *scopes, const char *name)
{
    for (size_t i = 0; i < json_array_size(scopes); i++) {
        const char *s = json_string_value(json_array_get(scopes, i));
        if (s && strcmp(s, name) == 0) return true;
    }
    return false;
}

static bool is_digest(const char *text)
{
    return text && strlen(text) == DIGEST_DIGITS && strspn(text, "0123456789abcdef") == DIGEST_DIGITS;
}

static koe_status read_key(key *out, const json_t *j, const char *path, size_t i, koe_error *err)
{
    const char *name = json_string_value(json_object_get(j, "name")), *digest = json_string_value(json_object_get(j, "sha256"));
    if (!name || !*name || strlen(name) >= sizeof out->name) return koe_fail(err, KOE_E_FORMAT, "%s: key %zu has no name of 1 to 63 bytes", path, i + 1);
    if (!is_digest(digest)) return koe_fail(err, KOE_E_FORMAT, "%s: key '%s' has no sha256 of 64 hexadecimal digits in lower case", path, name);
    *out = (key){ .admin = has_scope(json_object_get(j, "scopes"), "admin"),
                  .requests = json_number_value(json_object_get(j, "requests_per_minute")),
                  .characters = json_number_value(json_object_get(j, "characters_per_minute")),
                  .streams = json_integer_value(json_object_get(j, "streams")) };
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->sha256, sizeof out->sha256, "%s", digest);
    return KOE_OK;
}

static koe_status read_keys(key *out, size_t *n, const char *path, koe_error *err)
{
    koe_buf text = { 0 };
    json_error_t why = { 0 };
    koe_status st = koe_file_read(&text, path, MAX_FILE_BYTES, err);
    if (st != KOE_OK) return st;
    json_t *j = json_loadb(text.data ? text.data : "", text.n, 0, &why);
    koe_buf_free(&text);
    const json_t *list = json_object_get(j, "keys");
    if (!json_is_array(list) || json_array_size(list) > MAX_KEYS)
        st = koe_fail(err, KOE_E_FORMAT, "%s, line %d: %s", path, why.line, j ? "an object with an array \"keys\" was expected" : why.text);
    for (size_t i = 0; st == KOE_OK && i < json_array_size(list); i++) st = read_key(&out[(*n)++], json_array_get(list, i), path, i, err);
    json_decref(j);
    return st;
}

koe_status koe_keys_reload(koe_keys *k, koe_error *err)
{
    const koe_config *c = k->config;
    key *list = calloc(MAX_KEYS + 1, sizeof *list);
    size_t n = 0;
    if (!list) return koe_fail(err, KOE_E_NOMEM, "keys");
    koe_status st = *c->keys ? read_keys(list, &n, c->keys, err) : KOE_OK;
    if (st == KOE_OK && *c->api_key) {
        list[n].admin = true;
        list[n].requests = (double)c->rate_requests;
        list[n].characters = (double)c->rate_characters;
        snprintf(list[n].name, sizeof list[n].name, "api-key");
        digest_of(c->api_key, strlen(c->api_key), list[n++].sha256);
    }
    if (st != KOE_OK) {
        free(list);
        return st;
    }
    pthread_mutex_lock(&k->lock);
    key *old = k->key;
    k->key = list;
    k->n = n;
    pthread_mutex_unlock(&k->lock);
    free(old);
    return KOE_OK;
}

koe_status koe_keys_open(koe_keys **out, const koe_config *config, koe_error *err)
{
    koe_keys *k = calloc(1, sizeof *k);
    if (!k) return koe_fail(err, KOE_E_NOMEM, "keys");
    pthread_mutex_init(&k->lock, NULL);
    k->config = config;
    const koe_status st = koe_keys_reload(k, err);
    if (st != KOE_OK) {
        koe_keys_close(k);
        return st;
    }
    *out = k;
    return KOE_OK;
}

void koe_keys_close(koe_keys *k)
{
    if (!k) return;
    pthread_mutex_destroy(&k->lock);
    free(k->key);
    free(k);
}

bool koe_keys_needed(koe_keys *k)
{
    pthread_mutex_lock(&k->lock);
    const bool needed = k->n > 0;
    pthread_mutex_unlock(&k->lock);
    return needed;
}

/* In the same time whatever the first difference is. */
static bool same_digest(const char *a, const char *b)
{
    unsigned different = 0;
    for (size_t i = 0; i < DIGEST_DIGITS; i++) different |= (unsigned)(a[i] ^ b[i]);
    return different == 0;
}

bool koe_keys_check(koe_keys *k, const char *token, bool needs_admin, koe_identity *who, koe_problem *p)
{
    char digest[KOE_DIGEST_TEXT];
    size_t found = 0;
    digest_of(token ? token : "", token ? strlen(token) : 0, digest);
    pthread_mutex_lock(&k->lock);
    const size_t n = k->n;
    for (size_t i = 0; i < n; i++)
        if (same_digest(k->key[i].sha256, digest)) found = i + 1;
    if (found) {
        who->key = found;
        who->admin = k->key[found - 1].admin;
        memcpy(who->name, k->key[found - 1].name, sizeof who->name);
    }
    pthread_mutex_unlock(&k->lock);
    if (n == 0) return true;
    if (!token) return koe_problem_set(p, 401, "missing_api_key", NULL, "an API key is needed: Authorization: Bearer KEY");
    if (!found) return koe_problem_set(p, 401, "invalid_api_key", NULL, "the API key is not known here");
    if (needs_admin && !who->admin) return koe_problem_set(p, 403, "forbidden", NULL, "the API key has not the scope admin");
    return true;
}

static void fill(bucket *b, double a_minute, double now_ms)
{
    b->level = b->at_ms == 0 ? a_minute : fmin(a_minute, b->level + (now_ms - b->at_ms) * a_minute / 60000);
    b->at_ms = now_ms;
}

/* Seconds until `amount` may be taken; 0: now. More than a minute's worth waits for a full bucket, and then empties it. */
static double wait_s(bucket *b, double amount, double a_minute, double now_ms)
{
    if (a_minute <= 0) return 0;
    fill(b, a_minute, now_ms);
    const double needed = fmin(amount, a_minute);
    return b->level >= needed ? 0 : (needed - b->level) * 60 / a_minute;
}

static address *find_address(koe_keys *k, const char *text, double now_ms)
{
    enum { PLACES = 8 };
    const size_t from = (size_t)(koe_str_hash(koe_str_of(text)) % N_ADDRESSES);
    address *oldest = NULL;
    for (size_t i = 0; i < PLACES; i++) {
        address *a = &k->address[(from + i) % N_ADDRESSES];
        if (strcmp(a->text, text) == 0) {
            a->seen_ms = now_ms;
            return a;
        }
        if (!oldest || a->seen_ms < oldest->seen_ms) oldest = a;
    }
    *oldest = (address){ .seen_ms = now_ms };
    snprintf(oldest->text, sizeof oldest->text, "%s", text);
    return oldest;
}

bool koe_keys_take(koe_keys *k, koe_identity *who, const char *from, int requests, double characters, koe_problem *p)
{
    const double now_ms = koe_clock_ms();
    bool too_many_streams = false;
    pthread_mutex_lock(&k->lock);
    key *own = who->key && who->key <= k->n && strcmp(k->key[who->key - 1].name, who->name) == 0 ? &k->key[who->key - 1] : NULL;
    address *a = own ? NULL : find_address(k, from, now_ms);
    const double requests_a_minute = own ? own->requests : (double)k->config->rate_requests;
    const double a_minute = own ? own->characters : (double)k->config->rate_characters;
    bucket *request = own ? &own->request : &a->request, *character = own ? &own->character : &a->character;
    const double wait = fmax(wait_s(request, requests, requests_a_minute, now_ms), wait_s(character, characters, a_minute, now_ms));
    if (requests && own && own->streams && own->n_streams >= own->streams) {
        too_many_streams = true;
    } else if (wait <= 0) {
        request->level -= requests;
        character->level = fmax(0, character->level - characters);
        if (own && requests) own->n_streams++, who->stream_counted = true;
    }
    pthread_mutex_unlock(&k->lock);
    if (too_many_streams) koe_problem_set(p, 429, "too_many_streams", NULL, "as many streams as this key may have are open already");
    else if (wait > 0) koe_problem_set(p, 429, "rate_limit_exceeded", NULL, "too many requests or characters within a minute");
    else return true;
    p->retry_after_s = too_many_streams ? 1 : (int)ceil(wait);
    return false;
}

void koe_keys_release(koe_keys *k, koe_identity *who)
{
    if (!who->stream_counted) return;
    who->stream_counted = false;
    pthread_mutex_lock(&k->lock);
    if (who->key <= k->n && strcmp(k->key[who->key - 1].name, who->name) == 0 && k->key[who->key - 1].n_streams > 0)
        k->key[who->key - 1].n_streams--;
    pthread_mutex_unlock(&k->lock);
}
