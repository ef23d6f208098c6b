/* keys.c - see keys.h. */
#include "server/keys.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"

enum { MAX_FILE_BYTES = 4 << 20, MAX_KEYS = 10000, N_ADDRESSES = 4096, DIGEST_DIGITS = 64 };

/* Filled evenly, up to what a minute (or a day) allows. */
typedef struct bucket {
    double level;
    double at_ms; /* when level was right; 0: never used, full */
} bucket;

typedef struct key {
    char name[64], sha256[KOE_DIGEST_TEXT];
    unsigned scopes; /* of KOE_SCOPE_* */
    double requests, characters, daily; /* characters a day; 0: no limit */
    int64_t streams; /* at a time; 0: no limit */
    bucket request, character, day;
    int64_t n_streams;
} key;

/* Clients without a key, by address. A new address takes the place of the one seen longest ago among the few it may stand in. */
typedef struct address {
    char text[64];
    bucket request, character;
    double seen_ms;
} address;

struct koe_keys {
    pthread_mutex_t lock; /* guards all below */
    const koe_config *config;
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

/* What a list of words allows; false: there is a word that says nothing. No list: speech. */
static bool read_scopes(const json_t *list, unsigned *out)
{
    static const char *const words[] = { "speech", "status", "admin" };
    *out = list ? 0 : KOE_SCOPE_SPEECH;
    if (list && !json_is_array(list)) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        size_t k = 0;
        while (k < 3 && (!word || strcmp(words[k], word) != 0)) k++;
        if (k == 3) return false;
        *out |= 1u << k;
    }
    if (*out & KOE_SCOPE_ADMIN) *out = KOE_SCOPE_SPEECH | KOE_SCOPE_STATUS | KOE_SCOPE_ADMIN;
    return true;
}

/* A limit: absent, or a number that is not negative. */
static bool read_limit(const json_t *object, const char *name, double *out)
{
    const json_t *j = json_object_get(object, name);
    *out = json_number_value(j);
    return !j || (json_is_number(j) && *out >= 0);
}

/* The key of an identity, which may have another number after a reload; NULL: none. Holds the lock. */
static key *key_of(koe_keys *k, const koe_identity *who)
{
    if (!who->key) return NULL;
    if (who->key <= k->n && strcmp(k->key[who->key - 1].name, who->name) == 0) return &k->key[who->key - 1];
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->key[i].name, who->name) == 0) return &k->key[i];
    return NULL;
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
    double streams = 0;
    *out = (key){ 0 };
    if (!read_scopes(json_object_get(j, "scopes"), &out->scopes))
        return koe_fail(err, KOE_E_FORMAT, "%s: the scopes of key '%s' must be an array of speech, status and admin", path, name);
    if (!read_limit(j, "requests_per_minute", &out->requests) || !read_limit(j, "characters_per_minute", &out->characters) ||
        !read_limit(j, "characters_per_day", &out->daily) || !read_limit(j, "streams", &streams))
        return koe_fail(err, KOE_E_FORMAT, "%s: the limits of key '%s' must be numbers, not negative", path, name);
    out->streams = (int64_t)fmin(streams, 1e9);
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

/* How full its buckets are, and how many streams are open, goes on under the same name. Holds the lock. */
static void carry_over(const koe_keys *k, key *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t old = 0; old < k->n; old++) {
            if (strcmp(list[i].name, k->key[old].name) != 0) continue;
            list[i].request = k->key[old].request;
            list[i].character = k->key[old].character;
            list[i].day = k->key[old].day;
            list[i].n_streams = k->key[old].n_streams;
        }
}

koe_status koe_keys_reload(koe_keys *k, const koe_config *c, koe_error *err)
{
    key *list = calloc(MAX_KEYS + 1, sizeof *list);
    size_t n = 0;
    if (!list) return koe_fail(err, KOE_E_NOMEM, "keys");
    koe_status st = *c->keys ? read_keys(list, &n, c->keys, err) : KOE_OK;
    if (st == KOE_OK && *c->api_key) {
        list[n].scopes = KOE_SCOPE_SPEECH | KOE_SCOPE_STATUS | KOE_SCOPE_ADMIN;
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
    carry_over(k, list, n);
    k->config = c;
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
    const koe_status st = koe_keys_reload(k, config, err);
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

/* In the same time whatever the first difference is. */
static bool same_digest(const char *a, const char *b)
{
    unsigned different = 0;
    for (size_t i = 0; i < DIGEST_DIGITS; i++) different |= (unsigned)(a[i] ^ b[i]);
    return different == 0;
}

koe_status koe_keys_make(koe_buf *out, const char *name, koe_error *err)
{
    unsigned char random[24];
    char token[4 + 2 * sizeof random + 1] = "koe_", digest[KOE_DIGEST_TEXT];
    if (!*name || strlen(name) >= sizeof((key *)0)->name) return koe_fail(err, KOE_E_ARGUMENT, "the name of a key has 1 to 63 bytes");
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) return koe_fail(err, KOE_E_IO, "no random numbers");
    for (size_t i = 0; i < sizeof random; i++) snprintf(token + 4 + 2 * i, 3, "%02x", random[i]);
    digest_of(token, strlen(token), digest);
    json_t *j = json_pack("{s:s, s:s, s:[s]}", "name", name, "sha256", digest, "scopes", "speech");
    char *line = j ? json_dumps(j, 0) : NULL;
    if (line) koe_buf_printf(out, "%s\n%s\n", token, line);
    else koe_fail(err, KOE_E_ARGUMENT, "the name of a key is UTF-8");
    free(line);
    json_decref(j);
    return line ? KOE_OK : KOE_E_ARGUMENT;
}

bool koe_keys_check(koe_keys *k, const char *token, koe_scope scope, koe_identity *who, koe_problem *p)
{
    static const char *const words[] = { [KOE_SCOPE_SPEECH] = "speech", [KOE_SCOPE_STATUS] = "status", [KOE_SCOPE_ADMIN] = "admin" };
    char digest[KOE_DIGEST_TEXT];
    size_t found = 0;
    unsigned scopes = 0;
    if (!scope) scope = KOE_SCOPE_SPEECH;
    const koe_str given = koe_str_trim(koe_str_of(token ? token : "")); /* space around a header's value is not part of it */
    digest_of(given.p, given.n, digest);
    pthread_mutex_lock(&k->lock);
    const size_t n = k->n;
    for (size_t i = 0; i < n; i++)
        if (same_digest(k->key[i].sha256, digest)) found = i + 1;
    if (found) {
        who->key = found;
        scopes = k->key[found - 1].scopes;
        memcpy(who->name, k->key[found - 1].name, sizeof who->name);
    }
    pthread_mutex_unlock(&k->lock);
    if (n == 0) return true;
    if (!token) return koe_problem_set(p, 401, "missing_api_key", NULL, "an API key is needed: Authorization: Bearer KEY");
    if (!found) return koe_problem_set(p, 401, "invalid_api_key", NULL, "the API key is not known here");
    if (!(scopes & scope)) return koe_problem_set(p, 403, "forbidden", NULL, "the API key has not the scope %s", words[scope]);
    return true;
}

static const double minute_ms = 60e3, day_ms = 86400e3;

static void fill(bucket *b, double most, double period_ms, double now_ms)
{
    b->level = b->at_ms == 0 ? most : fmin(most, b->level + (now_ms - b->at_ms) * most / period_ms);
    b->at_ms = now_ms;
}

/* Seconds until `amount` may be taken; 0: now. More than a period's worth waits for a full bucket, and then empties it. */
static double wait_s(bucket *b, double amount, double most, double period_ms, double now_ms)
{
    if (most <= 0) return 0;
    fill(b, most, period_ms, now_ms);
    const double needed = fmin(amount, most);
    return b->level >= needed ? 0 : (needed - b->level) * period_ms / 1000 / most;
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
    key *own = key_of(k, who);
    address *a = own ? NULL : find_address(k, from, now_ms);
    const double requests_a_minute = own ? own->requests : (double)k->config->rate_requests;
    const double a_minute = own ? own->characters : (double)k->config->rate_characters;
    bucket *request = own ? &own->request : &a->request, *character = own ? &own->character : &a->character;
    const double wait_day = own ? wait_s(&own->day, characters, own->daily, day_ms, now_ms) : 0;
    const double wait = fmax(wait_day, fmax(wait_s(request, requests, requests_a_minute, minute_ms, now_ms),
                                            wait_s(character, characters, a_minute, minute_ms, now_ms)));
    if (requests && own && own->streams && own->n_streams >= own->streams) {
        too_many_streams = true;
    } else if (wait <= 0) {
        request->level -= requests;
        character->level = fmax(0, character->level - characters);
        if (own) own->day.level = fmax(0, own->day.level - characters);
        if (own && requests) own->n_streams++, who->stream_counted = true;
    }
    pthread_mutex_unlock(&k->lock);
    if (too_many_streams) koe_problem_set(p, 429, "too_many_streams", NULL, "as many streams as this key may have are open already");
    else if (wait_day > 0) koe_problem_set(p, 429, "insufficient_quota", NULL, "the key's characters of a day are used up");
    else if (wait > 0) koe_problem_set(p, 429, "rate_limit_exceeded", NULL, "too many requests or characters within a minute");
    else return true;
    p->retry_after_s = too_many_streams ? 1 : (int)ceil(wait);
    return false;
}

uint64_t koe_keys_owner(const koe_identity *who, const char *from)
{
    return who->key ? koe_str_hash(koe_str_of(who->name)) : ~koe_str_hash(koe_str_of(from));
}

void koe_keys_release(koe_keys *k, koe_identity *who)
{
    if (!who->stream_counted) return;
    who->stream_counted = false;
    pthread_mutex_lock(&k->lock);
    key *own = key_of(k, who);
    if (own && own->n_streams > 0) own->n_streams--;
    pthread_mutex_unlock(&k->lock);
}
