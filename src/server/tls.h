/* tls.h - the certificate that new connections get. libmicrohttpd asks for it at each handshake, so another one takes effect at once, and
 * connections that are there go on with theirs. One server a process. Threads: any. */
#ifndef KOE_SERVER_TLS_H
#define KOE_SERVER_TLS_H
#include "base/status.h"
#include "server/watch.h"

/* Reads both PEM files; later calls put others in the place of what is there, which stays when they cannot be used. KOE_E_FORMAT: no
 * certificate or key, or they do not belong together. */
koe_status koe_tls_load(const char *cert, const char *key, koe_error *err);
/* Forgets all of it. No handshake may be running. */
void koe_tls_unload(void);
/* For MHD_OPTION_HTTPS_CERT_CALLBACK. */
void *koe_tls_callback(void);
/* A new connection, whose GnuTLS session this is. Both stay as long as the connection. */
void koe_tls_carry(void *session, koe_conn *c);
#endif
