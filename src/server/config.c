/* config.c - see config.h. */
#include "server/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "server/head.h"

#define AT(field) offsetof(koe_config, field)
#define TEXT(name, value, help, field, preset) { name, value, help, KOE_SETTING_TEXT, AT(field), preset, 0, 0, NULL, NULL }
#define TEXT_ALSO(name, value, help, field, also) { name, value, help, KOE_SETTING_TEXT, AT(field), "", 0, 0, NULL, also }
#define ONE_OF(name, help, field, preset, choices) { name, "WORD", help, KOE_SETTING_TEXT, AT(field), preset, 0, 0, choices, NULL }
#define NUMBER(name, help, field, preset, least, most) { name, "N", help, KOE_SETTING_NUMBER, AT(field), preset, least, most, NULL, NULL }
#define NUMBER_ALSO(name, help, field, preset, least, most, also) \
    { name, "N", help, KOE_SETTING_NUMBER, AT(field), preset, least, most, NULL, also }
#define SWITCH(name, help, field, preset) { name, "on|off", help, KOE_SETTING_SWITCH, AT(field), preset, 0, 0, NULL, NULL }

static const koe_setting table[] = {
    TEXT("host", "H", "address to listen on; 0.0.0.0 or :: for all", host, "127.0.0.1"),
    NUMBER_ALSO("port", "port to listen on; 0: any free one", port, "8880", 0, 65535, "PORT"),
    TEXT("config", "FILE", "a JSON file of settings, named as here with _ for -", config, ""),
    TEXT("home", "DIR", "folder of models; empty: ~/.local/share/koe", home, ""),
    TEXT_ALSO("model", "FILE", "a Kokoro or Piper .onnx to speak with instead of the installed one", model, "KOKORO_MODEL_PATH"),
    TEXT_ALSO("piper-model", "FILE", "a Piper .onnx to have beside it", piper_model, "PIPER_MODEL_PATH"),
    TEXT_ALSO("voices", "PATH", "folder or file of Kokoro's voice packs; empty: beside the model, or the installed ones", voices, "KOKORO_VOICES_PATH"),
    ONE_OF("precision", "of the model's arithmetic", precision, "auto", "f32|bf16|int8|auto"),
    { "provider", "WORD", "who speaks when a request names neither voice nor model", KOE_SETTING_TEXT, AT(provider), "auto", 0, 0,
      "auto|kokoro|piper|builtin", "TTS_PROVIDER" },
    TEXT_ALSO("voice", "NAME", "the voice when a request names none; empty: the best installed", voice, "KOKORO_SPEAKER"),
    NUMBER_ALSO("threads", "threads that make speech; 0: all cores", threads, "0", 0, 1024, "KOKORO_THREADS,PIPER_THREADS"),
    NUMBER_ALSO("workers", "segments of speech made at a time; 0: as many as threads", workers, "0", 0, 1024, "KOKORO_WORKERS"),
    NUMBER("first-piece", "milliseconds of sound that a stream at least begins with: made on their own, and as much as the rest of the "
           "clause takes to make; 0: whole clauses", first_piece_ms, "200", 0, 10000),
    NUMBER_ALSO("max-jobs", "requests in work or waiting; more are refused", max_jobs, "256", 1, 100000, "MAX_CONCURRENT_JOBS"),
    NUMBER("memory-limit", "MB that the program should stay under; 0: what the cgroup allows", memory_limit_mb, "0", 0, 1 << 30),
    TEXT("fallback", "LIST", "when another voice may speak, and the answer says so: missing, language, overloaded; empty: never", fallback, ""),
    NUMBER("unload-after", "seconds after which a model that nobody uses is unloaded; 0: never", unload_s, "0", 0, 1 << 30),
    NUMBER("watch", "seconds between looks for new voices and changed models; 0: only at SIGHUP", watch_s, "5", 0, 86400),
    SWITCH("preload", "load the default voice's model at the start, not at its first use", preload, "on"),
    TEXT("lexicon", "PATH", "how words are spoken, besides lexicon/user* of home: files or folders of JSON and PLS, : between", lexicon, ""),
    TEXT("warm", "FILE", "phrases to make and cache at the start: a line is a text, or a JSON body of /v1/audio/speech", warm, ""),
    NUMBER("max-body", "bytes of a request's body", max_body, "4194304", 1024, 1 << 30),
    NUMBER("max-text", "characters of a request's text", max_text, "1000000", 1, 16 << 20),
    NUMBER("max-connections", "connections at a time", max_connections, "4096", 1, 1000000),
    NUMBER("max-connections-per-address", "connections at a time from one address; 0: no limit", max_connections_per_address, "0", 0, 1000000),
    NUMBER("max-sockets", "WebSockets at a time; each has a thread", max_sockets, "64", 0, 10000),
    NUMBER("http-threads", "threads that hold connections", http_threads, "2", 1, 64),
    NUMBER("request-timeout", "seconds in which a request must have arrived", request_timeout_s, "30", 1, 3600),
    NUMBER("idle-timeout", "seconds after which a connection without traffic is closed", idle_timeout_s, "75", 1, 86400),
    NUMBER("drain-timeout", "seconds that running streams are given when the server ends", drain_s, "30", 0, 86400),
    TEXT("keys", "FILE", "API keys, hashed; with keys, every request that costs something needs one", keys, ""),
    TEXT("api-key", "KEY", "one API key, for a small installation", api_key, ""),
    NUMBER("rate-requests", "requests a minute from one address or key; 0: no limit", rate_requests, "0", 0, 1000000),
    NUMBER("rate-characters", "characters a minute from one address or key; 0: no limit", rate_characters, "0", 0, 1000000000),
    TEXT("trusted-proxies", "LIST", "addresses and networks (10.0.0.0/8) whose X-Forwarded-For is believed, with commas; unix: for who comes over a Unix socket", trusted_proxies, ""),
    TEXT("cors", "ORIGIN", "the web origin that may call and open WebSockets; * for any, empty for none but our own", cors, "*"),
    TEXT("user", "NAME", "whom to become when the socket is open, if started as root", user, ""),
    ONE_OF("sandbox", "no files and system calls but those that are needed; auto: as far as the kernel has it", sandbox, "off", "off|on|auto"),
    TEXT("tls-cert", "FILE", "certificate chain, PEM; with tls-key: HTTPS", tls_cert, ""),
    TEXT("tls-key", "FILE", "private key, PEM", tls_key, ""),
    NUMBER("cache-memory", "MB of answers kept in memory; 0: none", cache_memory_mb, "64", 0, 1 << 20),
    TEXT("cache-dir", "DIR", "folder of answers kept on disk, shared by processes; empty: none", cache_dir, ""),
    NUMBER("cache-disk", "MB of answers kept on disk", cache_disk_mb, "1024", 1, 1 << 30),
    NUMBER("cache-age", "hours that an answer is kept; 0: no limit", cache_age_h, "0", 0, 1 << 20),
    TEXT("redis", "URL", "a Redis that shares what is cached between machines: redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or unix:///PATH", redis, ""),
    TEXT("redis-ca", "FILE", "certificates (PEM) that a rediss:// server's must come from; empty: the system's", redis_ca, ""),
    TEXT("redis-prefix", "NAME", "what the keys in Redis begin with", redis_prefix, "koe"),
    NUMBER("redis-timeout", "milliseconds that Redis is waited for", redis_timeout_ms, "50", 1, 10000),
    NUMBER("redis-ttl", "hours after which Redis forgets; 0: never", redis_ttl_h, "168", 0, 1 << 20),
    NUMBER("redis-value", "KB of the largest value that is put into Redis", redis_value_kb, "4096", 1, 1 << 18),
    ONE_OF("log-level", "what is logged", log_level, "info", "error|warning|info|debug"),
    ONE_OF("log-format", "of the log", log_format, "text", "text|json"),
    SWITCH("access-log", "one line for each request, on stderr", access_log, "on"),
};
enum { N_SETTINGS = sizeof table / sizeof *table, MAX_FILE_BYTES = 1 << 20 };

/* Read anew for each request, or told to who keeps them. */
static const size_t live[] = {
    AT(voice), AT(provider), AT(fallback), AT(max_body), AT(max_text), AT(max_sockets), AT(drain_s), AT(keys), AT(api_key), AT(rate_requests),
    AT(rate_characters), AT(trusted_proxies), AT(cors), AT(tls_cert), AT(tls_key), AT(log_level), AT(log_format), AT(access_log),
};

/* Whether a change of the setting takes effect at SIGHUP, not at the next start. */
static bool is_live(const koe_setting *s)
{
    for (size_t i = 0; i < sizeof live / sizeof *live; i++)
        if (live[i] == s->offset) return true;
    return false;
}

const koe_setting *koe_settings(size_t *n)
{
    *n = N_SETTINGS;
    return table;
}

/* "idle-timeout" -> "idle_timeout", or with `upper` "KOE_IDLE_TIMEOUT" */
static const char *spelled(const koe_setting *s, bool upper, char *out, size_t cap)
{
    snprintf(out, cap, "%s%s", upper ? "KOE_" : "", s->name);
    for (char *p = out; *p; p++) *p = *p == '-' ? '_' : upper ? (char)toupper((unsigned char)*p) : *p;
    return out;
}

static bool is_listed(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, '|'), p = p ? p + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == '|' || !p[n])) return true;
    return false;
}

static koe_status set_number(int64_t *out, const koe_setting *s, const char *text, const char *what, koe_error *err)
{
    char *end = NULL;
    errno = 0;
    const long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < s->least || n > s->most)
        return koe_fail(err, KOE_E_ARGUMENT, "%s is '%s', it must be a whole number from %" PRId64 " to %" PRId64, what, text,
                        s->least, s->most);
    *out = n;
    return KOE_OK;
}

static koe_status set(koe_config *c, const koe_setting *s, const char *text, const char *what, koe_error *err)
{
    char *at = (char *)c + s->offset;
    if (s->kind == KOE_SETTING_NUMBER) return set_number((int64_t *)(void *)at, s, text, what, err);
    if (s->kind == KOE_SETTING_SWITCH) {
        const bool on = is_listed("on|true|yes|1", text);
        if (!on && !is_listed("off|false|no|0", text))
            return koe_fail(err, KOE_E_ARGUMENT, "%s is '%s', it must be on or off", what, text);
        *(bool *)(void *)at = on;
        return KOE_OK;
    }
    if (s->one_of && !is_listed(s->one_of, text))
        return koe_fail(err, KOE_E_ARGUMENT, "%s is '%s', it must be one of %s", what, text, s->one_of);
    const koe_str copy = koe_arena_str(&c->arena, koe_str_of(text));
    if (!copy.p) return koe_fail(err, KOE_E_NOMEM, "settings");
    *(const char **)(void *)at = copy.p;
    return KOE_OK;
}

/* The first of the other names that is set and not empty. */
static const char *from_elsewhere(const koe_setting *s, char *name, size_t cap)
{
    for (const char *p = s->also; p && *p; p += strcspn(p, ","), p += *p == ',') {
        snprintf(name, cap, "%.*s", (int)strcspn(p, ","), p);
        const char *text = getenv(name);
        if (text && *text) return text;
    }
    return NULL;
}

static koe_status set_from_json(koe_config *c, const koe_setting *s, const json_t *j, koe_error *err)
{
    char number[32], what[4200], name[64];
    snprintf(what, sizeof what, "%s: %s", c->config, spelled(s, false, name, sizeof name));
    if (json_is_string(j)) return set(c, s, json_string_value(j), what, err);
    if (json_is_boolean(j)) return set(c, s, json_is_true(j) ? "on" : "off", what, err);
    if (!json_is_integer(j)) return koe_fail(err, KOE_E_ARGUMENT, "%s must be a text, a whole number, true or false", what);
    snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
    return set(c, s, number, what, err);
}

static const koe_setting *by_file_name(const char *key)
{
    char name[64];
    for (size_t i = 0; i < N_SETTINGS; i++)
        if (strcmp(spelled(&table[i], false, name, sizeof name), key) == 0) return &table[i];
    return NULL;
}

static koe_status read_file(koe_config *c, koe_error *err)
{
    koe_buf text = { 0 };
    koe_status st = koe_file_read(&text, c->config, MAX_FILE_BYTES, err);
    if (st != KOE_OK) return st;
    json_error_t why;
    json_t *j = json_loadb(text.data ? text.data : "", text.n, JSON_REJECT_DUPLICATES, &why);
    koe_buf_free(&text);
    if (!json_is_object(j)) {
        json_decref(j);
        return koe_fail(err, KOE_E_FORMAT, "%s, line %d: %s", c->config, j ? 1 : why.line, j ? "a JSON object was expected" : why.text);
    }
    const char *key;
    json_t *value;
    json_object_foreach(j, key, value) {
        const koe_setting *s = by_file_name(key);
        if (!s || s->offset == AT(config)) st = koe_fail(err, KOE_E_ARGUMENT, "%s: there is no setting '%s'", c->config, key);
        else if (!json_is_null(value)) st = set_from_json(c, s, value, err);
        if (st != KOE_OK) break;
    }
    json_decref(j);
    return st;
}

/* What the command line or the environment says. */
static koe_status set_given(koe_config *c, size_t i, const char *text, koe_error *err)
{
    char what[80];
    if (text == getenv(spelled(&table[i], true, what, sizeof what))) return set(c, &table[i], text, what, err);
    snprintf(what, sizeof what, "--%s", table[i].name);
    return set(c, &table[i], text, what, err);
}

static koe_status apply_given(koe_config *c, const char *const *given, koe_error *err)
{
    koe_status st = KOE_OK;
    for (size_t i = 0; st == KOE_OK && i < N_SETTINGS; i++) {
        char name[64];
        const char *elsewhere = given[i] ? NULL : from_elsewhere(&table[i], name, sizeof name);
        if (given[i]) st = set_given(c, i, given[i], err);
        else if (elsewhere) st = set(c, &table[i], elsewhere, name, err);
    }
    return st;
}

bool koe_config_lists(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *p = list; *p;) {
        p += strspn(p, " ,");
        const size_t m = strcspn(p, " ,");
        if (m == n && n && memcmp(p, word, n) == 0) return true;
        p += m;
    }
    return false;
}

/* What other servers' deployments say by switches of their own. */
static void apply_legacy(koe_config *c)
{
    const char *cache = getenv("KOKORO_CACHE_ENABLED");
    if (cache && is_listed("0|false|no|off|False", cache)) c->cache_memory_mb = 0;
}

/* What would be ignored in silence: words and addresses that are none. */
static koe_status check_lists(const koe_config *c, koe_error *err)
{
    size_t n;
    const char *wrong = koe_head_wrong_network(c->trusted_proxies, &n);
    if (wrong)
        return koe_fail(err, KOE_E_ARGUMENT, "trusted-proxies: '%.*s' is neither an address nor a network, as 10.0.0.0/8", n < 80 ? (int)n : 80, wrong);
    for (const char *p = c->fallback + strspn(c->fallback, " ,"); *p; p += strcspn(p, " ,"), p += strspn(p, " ,")) {
        char word[32];
        n = strcspn(p, " ,");
        snprintf(word, sizeof word, "%.*s", n < sizeof word ? (int)n : (int)sizeof word - 1, p);
        if (!is_listed("missing|language|overloaded", word))
            return koe_fail(err, KOE_E_ARGUMENT, "fallback: '%s' is not one of missing, language, overloaded", word);
    }
    return KOE_OK;
}

koe_status koe_config_load(koe_config *out, const char *const *given, koe_error *err)
{
    *out = (koe_config){ .given = given };
    koe_status st = KOE_OK;
    for (size_t i = 0; st == KOE_OK && i < N_SETTINGS; i++) st = set(out, &table[i], table[i].preset, "default", err);
    if (st == KOE_OK) apply_legacy(out);
    for (size_t i = 0; st == KOE_OK && i < N_SETTINGS; i++)
        if (table[i].offset == AT(config) && given[i]) st = set_given(out, i, given[i], err);
    if (st == KOE_OK && *out->config) st = read_file(out, err);
    if (st == KOE_OK) st = apply_given(out, given, err);
    if (st == KOE_OK && !*out->tls_cert != !*out->tls_key) st = koe_fail(err, KOE_E_ARGUMENT, "tls-cert and tls-key go together");
    return st == KOE_OK ? check_lists(out, err) : st;
}

static size_t size_of(const koe_setting *s)
{
    return s->kind == KOE_SETTING_NUMBER ? sizeof(int64_t) : s->kind == KOE_SETTING_SWITCH ? sizeof(bool) : sizeof(const char *);
}

static bool same(const koe_setting *s, const void *a, const void *b)
{
    if (s->kind != KOE_SETTING_TEXT) return memcmp(a, b, size_of(s)) == 0;
    return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
}

koe_status koe_config_reload(koe_config *out, const koe_config *old, koe_error *err)
{
    const koe_status st = koe_config_load(out, old->given, err);
    for (size_t i = 0; st == KOE_OK && i < N_SETTINGS; i++) {
        const koe_setting *s = &table[i];
        char *to = (char *)out + s->offset;
        const char *from = (const char *)old + s->offset;
        if (is_live(s) || same(s, from, to)) continue;
        koe_log(KOE_LOG_WARN, "%s has changed; that takes effect at the next start", s->name);
        memcpy(to, from, size_of(s));
    }
    return st;
}

void koe_config_apply_log(const koe_config *c)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    for (int i = 0; i <= KOE_LOG_DEBUG; i++)
        if (strcmp(names[i], c->log_level) == 0) koe_log_set_level((koe_log_level)i);
    koe_log_set_json(strcmp(c->log_format, "json") == 0);
}

void koe_config_free(koe_config *c)
{
    koe_arena_free(&c->arena);
    *c = (koe_config){ 0 };
}

void koe_config_show(koe_buf *out, const koe_config *c)
{
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const koe_setting *s = &table[i];
        const char *at = (const char *)c + s->offset;
        koe_buf_printf(out, "%-28s ", s->name);
        if (s->kind == KOE_SETTING_NUMBER) {
            koe_buf_printf(out, "%" PRId64 "\n", *(const int64_t *)(const void *)at);
        } else if (s->kind == KOE_SETTING_SWITCH) {
            koe_buf_printf(out, "%s\n", *(const bool *)(const void *)at ? "on" : "off");
        } else {
            const char *text = *(const char *const *)(const void *)at;
            koe_buf_printf(out, "%s\n", !*text ? "-" : s->offset == AT(api_key) || s->offset == AT(redis) ? "(set)" : text);
        }
    }
}

void koe_config_document(koe_buf *out)
{
    koe_buf_adds(out, "# Settings of koe serve\n\n"
                      "Written by `koe config --document` from the table in `src/server/config.c`; a test compares them.\n\n"
                      "Each can be given as an option (`--idle-timeout 60`), in the environment (`KOE_IDLE_TIMEOUT=60`) and in the JSON\n"
                      "file of `--config` (`{\"idle_timeout\": 60}`), in this order of precedence. Switches are on or off. At SIGHUP file and\n"
                      "environment are read again; what has changed takes effect at once where the table says so, else at the next start.\n\n"
                      "| option | environment | default | SIGHUP | what it is |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < N_SETTINGS; i++) {
        const koe_setting *s = &table[i];
        char name[64];
        koe_buf_printf(out, "| `--%s` | `%s`", s->name, spelled(s, true, name, sizeof name));
        for (const char *p = s->also; p && *p; p += strcspn(p, ","), p += *p == ',')
            koe_buf_printf(out, ", `%.*s`", (int)strcspn(p, ","), p);
        koe_buf_printf(out, " | %s%s%s | %s | %s", *s->preset ? "`" : "", s->preset, *s->preset ? "`" : "", is_live(s) ? "yes" : "", s->help);
        for (const char *p = s->one_of; p && *p; p += strcspn(p, "|"), p += *p == '|')
            koe_buf_printf(out, "%s`%.*s`", p == s->one_of ? ": " : ", ", (int)strcspn(p, "|"), p);
        if (s->kind == KOE_SETTING_NUMBER) koe_buf_printf(out, " (%" PRId64 " to %" PRId64 ")", s->least, s->most);
        koe_buf_adds(out, " |\n");
    }
    koe_buf_adds(out, "\n`KOKORO_CACHE_ENABLED=false` is understood as `--cache-memory 0`.\n");
}
