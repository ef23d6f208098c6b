/* config.h - every setting of the server, from one table: the command line's options, the environment, the file, the defaults,
 * `koe serve --help`, `koe config --check` and docs/configuration.md all come from it.
 *     --idle-timeout 60  >  KOE_IDLE_TIMEOUT=60  >  {"idle_timeout": 60} in --config FILE  >  the default
 * Names that other servers' deployments use (KOKORO_THREADS, ...) stand where the environment does, after our own. */
#ifndef KOE_SERVER_CONFIG_H
#define KOE_SERVER_CONFIG_H
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* Zero-initialise; texts are "" when not set. */
typedef struct koe_config {
    /* where */
    const char *host, *config;
    int64_t port;
    /* speech */
    const char *home, *model, *piper_model, *voices, *precision, *voice, *provider, *fallback, *warm, *lexicon;
    bool preload;
    int64_t threads, workers, first_piece_ms, memory_limit_mb, unload_s, watch_s;
    /* limits */
    int64_t max_body, max_text, max_connections, max_connections_per_address, max_jobs, max_sockets;
    int64_t request_timeout_s, idle_timeout_s, drain_s;
    int64_t http_threads;
    /* who may */
    const char *keys, *api_key, *trusted_proxies, *cors;
    int64_t rate_requests, rate_characters;
    const char *tls_cert, *tls_key;
    /* cache */
    const char *cache_dir, *redis, *redis_ca, *redis_prefix;
    int64_t cache_memory_mb, cache_disk_mb, cache_age_h, redis_timeout_ms, redis_ttl_h, redis_value_kb;
    /* what is said about it */
    const char *log_level, *log_format;
    bool access_log;
    /* what it may do */
    const char *user, *sandbox;
    const char *const *given; /* as for koe_config_load() */
    koe_arena arena; /* owns the texts */
} koe_config;

typedef enum koe_setting_kind { KOE_SETTING_TEXT, KOE_SETTING_NUMBER, KOE_SETTING_SWITCH } koe_setting_kind;

typedef struct koe_setting {
    const char *name; /* "idle-timeout": --idle-timeout, KOE_IDLE_TIMEOUT, "idle_timeout" */
    const char *value; /* what the help calls the value */
    const char *help;
    koe_setting_kind kind;
    size_t offset; /* in koe_config */
    const char *preset; /* the default, "" for none */
    int64_t least, most; /* of a number */
    const char *one_of; /* "text|json": a text is one of these; NULL: any */
    const char *also; /* "KOKORO_THREADS,PIPER_THREADS": other names in the environment; NULL: none */
} koe_setting;

const koe_setting *koe_settings(size_t *n);

/* given[i]: the value of row i from the command line or its KOE_ variable, NULL when not given; must outlive *out. Reads the other names of the environment
 * and the file. KOE_E_ARGUMENT names the setting, where it came from, and what would be right. koe_config_free() in every case. */
koe_status koe_config_load(koe_config *out, const char *const *given, koe_error *err);
/* The same once more, of an environment and a file that may have changed: rows that say `live` are as they are now, the others as in `old`,
 * whose texts they borrow; what differs there is a line in the log. On failure *out is to be freed all the same. */
koe_status koe_config_reload(koe_config *out, const koe_config *old, koe_error *err);
void koe_config_free(koe_config *c);
/* Lets the log be as log_level and log_format say. */
void koe_config_apply_log(const koe_config *c);
/* Whether the word stands in a list with commas. */
bool koe_config_lists(const char *list, const char *word);
/* Appends "name  value  (where from)" for each setting; secrets are not shown. */
void koe_config_show(koe_buf *out, const koe_config *c);
/* Appends docs/configuration.md. */
void koe_config_document(koe_buf *out);
#endif
