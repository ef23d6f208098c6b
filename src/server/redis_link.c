/* redis_link.c - see redis_link.h. */
#include "server/redis_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/curl_lib.h"

enum { DEFAULT_PORT = 6379, LEAST_HANDSHAKE_MS = 500 };

struct koe_redis_address {
    char *host, *user, *password; /* host: a path for a Unix socket */
    int port, db;
    bool is_unix;
    gnutls_certificate_credentials_t trust; /* NULL: no TLS */
    int64_t timeout_ms;
};

struct koe_redis_link {
    redisContext *c;
    gnutls_session_t tls; /* NULL: none */
    int64_t timeout_ms;
    bool ended;
};

/* ---- the address ------------------------------------------------------------------------------------------------------------ */

/* malloc()ed; NULL when the URL has no such part. */
static char *part_of(const koe_curl_lib *lib, CURLU *u, CURLUPart part)
{
    char *text = NULL;
    if (lib->curl_url_get(u, part, &text, part == CURLUPART_PORT || part == CURLUPART_SCHEME ? 0 : CURLU_URLDECODE) != CURLUE_OK) return NULL;
    char *copy = koe_str_dup(koe_str_of(text));
    lib->curl_free(text);
    return copy;
}

/* "[::1]" -> "::1" */
static void strip_brackets(char *host)
{
    const size_t n = strlen(host);
    if (n < 2 || host[0] != '[' || host[n - 1] != ']') return;
    memmove(host, host + 1, n - 2);
    host[n - 2] = 0;
}

static koe_status read_tcp(koe_redis_address *a, const char *url, koe_error *err)
{
    const koe_curl_lib *lib;
    koe_status st = koe_curl_lib_get(&lib, err);
    if (st != KOE_OK) return st;
    CURLU *u = lib->curl_url();
    if (!u) return koe_fail(err, KOE_E_NOMEM, "redis");
    if (lib->curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
        st = koe_fail(err, KOE_E_ARGUMENT, "redis: the URL cannot be read; write redis://[USER:PASSWORD@]HOST[:PORT][/DB]");
    char *port = part_of(lib, u, CURLUPART_PORT), *path = part_of(lib, u, CURLUPART_PATH), *end = NULL;
    a->host = part_of(lib, u, CURLUPART_HOST);
    a->user = part_of(lib, u, CURLUPART_USER);
    a->password = part_of(lib, u, CURLUPART_PASSWORD);
    a->port = port ? (int)strtol(port, NULL, 10) : DEFAULT_PORT;
    const long db = path && path[0] && path[1] ? strtol(path + 1, &end, 10) : 0;
    if (st == KOE_OK && (db < 0 || db > 1 << 16 || (end && *end))) st = koe_fail(err, KOE_E_ARGUMENT, "redis: '%s' is no number of a database", path + 1);
    if (st == KOE_OK && (!a->host || !*a->host)) st = koe_fail(err, KOE_E_ARGUMENT, "redis: the URL has no host");
    if (st == KOE_OK) strip_brackets(a->host);
    a->db = (int)db;
    free(port);
    free(path);
    lib->curl_url_cleanup(u);
    return st;
}

static koe_status read_trust(koe_redis_address *a, const char *ca, koe_error *err)
{
    if (gnutls_certificate_allocate_credentials(&a->trust) < 0) return koe_fail(err, KOE_E_NOMEM, "redis");
    const int n = ca && *ca ? gnutls_certificate_set_x509_trust_file(a->trust, ca, GNUTLS_X509_FMT_PEM) : gnutls_certificate_set_x509_system_trust(a->trust);
    if (n > 0) return KOE_OK;
    if (ca && *ca) return koe_fail(err, KOE_E_ARGUMENT, "redis-ca: %s has no certificates: %s", ca, n < 0 ? gnutls_strerror(n) : "none of PEM");
    return koe_fail(err, KOE_E_ARGUMENT, "redis: this system trusts no certificates; name a file with redis-ca");
}

static koe_status read_url(koe_redis_address *a, const char *url, const char *ca, koe_error *err)
{
    if (strncmp(url, "unix://", 7) == 0 && url[7] == '/') {
        a->is_unix = true;
        a->host = koe_str_dup(koe_str_of(url + 7));
        return a->host ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "redis");
    }
    const bool tls = strncmp(url, "rediss://", 9) == 0;
    if (!tls && strncmp(url, "redis://", 8) != 0) return koe_fail(err, KOE_E_ARGUMENT, "redis: the URL must begin with redis://, rediss:// or unix:///");
    const koe_status st = read_tcp(a, url, err);
    return st == KOE_OK && tls ? read_trust(a, ca, err) : st;
}

koe_status koe_redis_address_open(koe_redis_address **out, const char *url, const char *ca, int64_t timeout_ms, koe_error *err)
{
    koe_redis_address *a = calloc(1, sizeof *a);
    if (!a) return koe_fail(err, KOE_E_NOMEM, "redis");
    a->timeout_ms = timeout_ms;
    const koe_status st = read_url(a, url, ca, err);
    if (st == KOE_OK) *out = a;
    else koe_redis_address_close(a);
    return st;
}

void koe_redis_address_close(koe_redis_address *a)
{
    if (!a) return;
    if (a->trust) gnutls_certificate_free_credentials(a->trust);
    free(a->host);
    free(a->user);
    free(a->password);
    free(a);
}

/* ---- connecting ------------------------------------------------------------------------------------------------------------- */

static struct timeval time_of(int64_t ms) { return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 }; }

static bool say_why(char why[KOE_REDIS_WHY], const char *text)
{
    snprintf(why, KOE_REDIS_WHY, "%s", text);
    return false;
}

static bool is_number(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* What was wrong with the server's certificate. */
static void say_untrusted(const koe_redis_link *l, char why[KOE_REDIS_WHY])
{
    gnutls_datum_t text = { 0 };
    if (gnutls_certificate_verification_status_print(gnutls_session_get_verify_cert_status(l->tls), GNUTLS_CRT_X509, &text, 0) < 0) return;
    snprintf(why, KOE_REDIS_WHY, "its certificate is not trusted: %s", (const char *)text.data);
    gnutls_free(text.data);
}

static bool shake_hands(koe_redis_link *l, const koe_redis_address *a, char why[KOE_REDIS_WHY])
{
    if (gnutls_init(&l->tls, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) < 0) {
        l->tls = NULL;
        return say_why(why, "no memory for TLS");
    }
    redisSetTimeout(l->c, time_of(a->timeout_ms < LEAST_HANDSHAKE_MS ? LEAST_HANDSHAKE_MS : a->timeout_ms));
    if (!is_number(a->host)) gnutls_server_name_set(l->tls, GNUTLS_NAME_DNS, a->host, strlen(a->host));
    gnutls_set_default_priority(l->tls);
    gnutls_credentials_set(l->tls, GNUTLS_CRD_CERTIFICATE, a->trust);
    gnutls_session_set_verify_cert(l->tls, a->host, 0);
    gnutls_transport_set_int(l->tls, l->c->fd);
    int n;
    do n = gnutls_handshake(l->tls);
    while (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_WARNING_ALERT_RECEIVED);
    if (n == GNUTLS_E_SUCCESS) return true;
    say_why(why, n == GNUTLS_E_AGAIN ? "no TLS in time" : gnutls_strerror(n));
    if (n == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR) say_untrusted(l, why);
    return false;
}

static bool say(koe_redis_link *l, int n, const char **word, char why[KOE_REDIS_WHY])
{
    redisReply *reply = koe_redis_link_ask(l, n, word, NULL, why);
    if (reply) freeReplyObject(reply);
    return reply != NULL;
}

static bool log_in(koe_redis_link *l, const koe_redis_address *a, char why[KOE_REDIS_WHY])
{
    char db[16];
    const bool named = a->user && *a->user;
    snprintf(db, sizeof db, "%d", a->db);
    if (a->password && *a->password && !say(l, named ? 3 : 2, (const char *[]){ "AUTH", named ? a->user : a->password, a->password }, why)) return false;
    return !a->db || say(l, 2, (const char *[]){ "SELECT", db }, why);
}

koe_redis_link *koe_redis_link_open(const koe_redis_address *a, char why[KOE_REDIS_WHY])
{
    koe_redis_link *l = calloc(1, sizeof *l);
    say_why(why, "no memory");
    if (!l) return NULL;
    l->timeout_ms = a->timeout_ms;
    l->c = a->is_unix ? redisConnectUnixWithTimeout(a->host, time_of(a->timeout_ms)) : redisConnectWithTimeout(a->host, a->port, time_of(a->timeout_ms));
    bool ok = l->c && !l->c->err;
    if (l->c && !ok) say_why(why, l->c->errstr);
    if (ok && a->trust) ok = shake_hands(l, a, why);
    if (ok) ok = redisSetTimeout(l->c, time_of(a->timeout_ms)) == REDIS_OK || say_why(why, "no timeout");
    if (ok && log_in(l, a, why)) return l;
    koe_redis_link_close(l);
    return NULL;
}

void koe_redis_link_close(koe_redis_link *l)
{
    if (!l) return;
    if (l->tls) gnutls_deinit(l->tls);
    if (l->c) redisFree(l->c);
    free(l);
}

/* ---- asking ----------------------------------------------------------------------------------------------------------------- */

static bool send_all(koe_redis_link *l, const char *p, size_t n, char why[KOE_REDIS_WHY])
{
    while (n) {
        const ssize_t sent = gnutls_record_send(l->tls, p, n);
        if (sent == GNUTLS_E_INTERRUPTED) continue;
        if (sent < 0) {
            l->ended = sent == GNUTLS_E_PUSH_ERROR;
            return say_why(why, sent == GNUTLS_E_AGAIN ? "timed out" : gnutls_strerror((int)sent));
        }
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static redisReply *receive(koe_redis_link *l, char why[KOE_REDIS_WHY])
{
    static const char ended[] = "it has closed the connection";
    char block[16384];
    void *reply = NULL;
    const double end_ms = koe_clock_ms() + (double)l->timeout_ms;
    while (!reply) {
        const ssize_t n = gnutls_record_recv(l->tls, block, sizeof block);
        if (n == GNUTLS_E_INTERRUPTED || (n == GNUTLS_E_AGAIN && koe_clock_ms() < end_ms)) continue; /* a message of TLS itself */
        if (n <= 0) {
            l->ended = n != GNUTLS_E_AGAIN;
            say_why(why, n == GNUTLS_E_AGAIN ? "timed out" : n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION ? ended : gnutls_strerror((int)n));
            return NULL;
        }
        if (redisReaderFeed(l->c->reader, block, (size_t)n) != REDIS_OK || redisReaderGetReply(l->c->reader, &reply) != REDIS_OK) {
            say_why(why, "what it says is not Redis");
            return NULL;
        }
    }
    return reply;
}

static redisReply *ask_secretly(koe_redis_link *l, int n, const char **word, const size_t *length, char why[KOE_REDIS_WHY])
{
    char *text = NULL;
    const int n_text = redisFormatCommandArgv(&text, n, word, length);
    redisReply *reply = NULL;
    if (n_text < 0) say_why(why, "no memory");
    else if (send_all(l, text, (size_t)n_text, why)) reply = receive(l, why);
    if (n_text >= 0) redisFreeCommand(text);
    return reply;
}

redisReply *koe_redis_link_ask(koe_redis_link *l, int n, const char **word, const size_t *length, char why[KOE_REDIS_WHY])
{
    redisReply *reply = l->tls ? ask_secretly(l, n, word, length, why) : redisCommandArgv(l->c, n, word, length);
    if (!l->tls && !reply) {
        const int no = l->c->err == REDIS_ERR_IO ? errno : 0;
        l->ended = l->c->err == REDIS_ERR_EOF || no == EPIPE || no == ECONNRESET;
        say_why(why, no == EAGAIN ? "timed out" : l->c->errstr);
    }
    if (!reply || reply->type != REDIS_REPLY_ERROR) return reply;
    say_why(why, reply->str);
    freeReplyObject(reply);
    return NULL;
}

bool koe_redis_link_ended(const koe_redis_link *l) { return l->ended; }
