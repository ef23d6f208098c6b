/* redis_link.h - one connection to a Redis: words out, a reply in, over TCP, TLS or a Unix socket.
 * hiredis speaks the protocol and the sockets; that of Debian 12 has no TLS, so GnuTLS carries the bytes between both.
 * Threads: a link belongs to one thread at a time; an address is read-only once open. */
#ifndef KOE_SERVER_REDIS_LINK_H
#define KOE_SERVER_REDIS_LINK_H
#include <hiredis/hiredis.h>

#include "base/status.h"
#include "base/str.h"

typedef struct koe_redis_address koe_redis_address;
typedef struct koe_redis_link koe_redis_link;

/* url: redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with rediss:// for TLS, or unix:///PATH. ca: a file of certificates (PEM) that a
 * rediss:// server's must come from; NULL or "": the system's. Asks nobody yet. KOE_E_ARGUMENT says what is wrong. */
koe_status koe_redis_address_open(koe_redis_address **out, const char *url, const char *ca, int64_t timeout_ms, koe_error *err);
/* NULL is fine. */
void koe_redis_address_close(koe_redis_address *a);

enum { KOE_REDIS_WHY = 160 };
/* Connects, logs in, selects the database: each waits at most timeout_ms, TLS half a second at least. NULL: `why` says why not. */
koe_redis_link *koe_redis_link_open(const koe_redis_address *a, char why[KOE_REDIS_WHY]);
void koe_redis_link_close(koe_redis_link *l);
/* One command; length NULL: the words end with a 0. NULL: `why` says why not, and the link is of no more use. A reply that is an error is
 * one too. */
redisReply *koe_redis_link_ask(koe_redis_link *l, int n, const char **word, const size_t *length, char why[KOE_REDIS_WHY]);
/* Whether the other side has closed it. */
bool koe_redis_link_ended(const koe_redis_link *l);
#endif
