/* tls.c - see tls.h. */
#include "server/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/file.h"

enum { MAX_PEM_BYTES = 1 << 20, MAX_CHAIN = 16 };

/* A handshake may still use what was replaced, and nobody says when it ends: all are kept. One is some kilobytes, and comes once in weeks. */
typedef struct identity {
    gnutls_pcert_st chain[MAX_CHAIN];
    unsigned n;
    gnutls_privkey_t key;
    struct identity *older;
} identity;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards: */
static identity *newest;

static void destroy(identity *i)
{
    if (!i) return;
    for (unsigned k = 0; k < i->n; k++) gnutls_pcert_deinit(&i->chain[k]);
    if (i->key) gnutls_privkey_deinit(i->key);
    free(i);
}

static koe_status read_pem(gnutls_datum_t *out, koe_buf *text, const char *path, koe_error *err)
{
    const koe_status st = koe_file_read(text, path, MAX_PEM_BYTES, err);
    *out = (gnutls_datum_t){ (unsigned char *)text->data, (unsigned)text->n };
    return st;
}

static koe_status load_chain(identity *i, const char *path, koe_error *err)
{
    koe_buf text = { 0 };
    gnutls_datum_t pem;
    koe_status st = read_pem(&pem, &text, path, err);
    unsigned n = MAX_CHAIN;
    const int rc = st == KOE_OK ? gnutls_pcert_list_import_x509_raw(i->chain, &n, &pem, GNUTLS_X509_FMT_PEM, GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED) : 0;
    if (st == KOE_OK && rc < 0) st = koe_fail(err, KOE_E_FORMAT, "%s is no chain of certificates in PEM: %s", path, gnutls_strerror(rc));
    if (st == KOE_OK) i->n = n;
    koe_buf_free(&text);
    return st;
}

static koe_status load_key(identity *i, const char *path, koe_error *err)
{
    koe_buf text = { 0 };
    gnutls_datum_t pem;
    koe_status st = read_pem(&pem, &text, path, err);
    int rc = st == KOE_OK ? gnutls_privkey_init(&i->key) : 0;
    if (st == KOE_OK && rc >= 0) rc = gnutls_privkey_import_x509_raw(i->key, &pem, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (st == KOE_OK && rc < 0) st = koe_fail(err, KOE_E_FORMAT, "%s is no private key in PEM without a password: %s", path, gnutls_strerror(rc));
    if (text.data) gnutls_memset(text.data, 0, text.n);
    koe_buf_free(&text);
    return st;
}

/* What the key signs, the certificate's public key accepts. */
static koe_status check_pair(identity *i, const char *cert, const char *key, koe_error *err)
{
    static unsigned char words[] = "koe";
    const gnutls_datum_t data = { words, sizeof words };
    gnutls_datum_t signature = { NULL, 0 };
    const gnutls_sign_algorithm_t sign =
        gnutls_pk_to_sign((gnutls_pk_algorithm_t)gnutls_privkey_get_pk_algorithm(i->key, NULL), GNUTLS_DIG_SHA256);
    int rc = sign == GNUTLS_SIGN_UNKNOWN ? 0 : gnutls_privkey_sign_data2(i->key, sign, 0, &data, &signature);
    if (rc >= 0 && signature.data) rc = gnutls_pubkey_verify_data2(i->chain[0].pubkey, sign, 0, &data, &signature);
    gnutls_free(signature.data);
    return rc >= 0 ? KOE_OK : koe_fail(err, KOE_E_FORMAT, "%s is not the key of %s", key, cert);
}

koe_status koe_tls_load(const char *cert, const char *key, koe_error *err)
{
    identity *i = calloc(1, sizeof *i);
    if (!i) return koe_fail(err, KOE_E_NOMEM, "%s", cert);
    koe_status st = load_chain(i, cert, err);
    if (st == KOE_OK) st = load_key(i, key, err);
    if (st == KOE_OK) st = check_pair(i, cert, key, err);
    if (st != KOE_OK) {
        destroy(i);
        return st;
    }
    pthread_mutex_lock(&lock);
    i->older = newest;
    newest = i;
    pthread_mutex_unlock(&lock);
    return KOE_OK;
}

void koe_tls_unload(void)
{
    pthread_mutex_lock(&lock);
    identity *i = newest;
    newest = NULL;
    pthread_mutex_unlock(&lock);
    while (i) {
        identity *older = i->older;
        destroy(i);
        i = older;
    }
}

/* gnutls_certificate_retrieve_function2 */
static int retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities, const gnutls_pk_algorithm_t *algorithms,
                    int n_algorithms, gnutls_pcert_st **chain, unsigned *n, gnutls_privkey_t *key)
{
    (void)session, (void)authorities, (void)n_authorities, (void)algorithms, (void)n_algorithms;
    pthread_mutex_lock(&lock);
    identity *i = newest;
    pthread_mutex_unlock(&lock);
    if (!i) return -1;
    *chain = i->chain;
    *n = i->n;
    *key = i->key;
    return 0;
}

void *koe_tls_callback(void)
{
    gnutls_certificate_retrieve_function2 *f = retrieve;
    void *p;
    _Static_assert(sizeof p == sizeof f, "a function's address");
    __builtin_memcpy(&p, &f, sizeof p); /* ISO C has no cast for it */
    return p;
}

/* ---- a connection's bytes ----------------------------------------------------------------------------------------------------- */

/* Called by libmicrohttpd's thread, so that nobody else is at the session: a request that is too late is told so while it is read. */
static ssize_t pull(gnutls_transport_ptr_t conn, void *out, size_t n)
{
    koe_conn *c = conn;
    const ssize_t got = recv(koe_conn_fd(c), out, n, 0);
    if (got == 0 && koe_conn_is_late(c)) {
        const koe_str page = koe_watch_late_page();
        (void)!gnutls_record_send(koe_conn_tls(c), page.p, page.n);
    }
    return got;
}

static ssize_t push(gnutls_transport_ptr_t conn, const void *bytes, size_t n) { return send(koe_conn_fd(conn), bytes, n, MSG_NOSIGNAL); }

void koe_tls_carry(void *session, koe_conn *c)
{
    koe_conn_set_tls(c, session);
    gnutls_transport_set_ptr(session, c);
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_push_function(session, push);
}
