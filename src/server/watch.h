/* watch.h - connections as the kernel sees them: who has left while we were making speech, and who dawdles with a request.
 * libmicrohttpd does not look at a suspended connection, and its timeout starts anew with every byte; the watcher's thread does both.
 * Threads: any. */
#ifndef KOE_SERVER_WATCH_H
#define KOE_SERVER_WATCH_H
#include "server/answer.h"

typedef struct koe_watch koe_watch;
typedef struct koe_conn koe_conn; /* one connection */

typedef enum koe_conn_phase {
    KOE_CONN_IDLE, /* the next request's head has not arrived: idle + request seconds */
    KOE_CONN_BODY, /* the body is on its way: request seconds */
    KOE_CONN_ANSWER, /* ours to do: no limit here */
} koe_conn_phase;

koe_status koe_watch_create(koe_watch **out, int64_t request_s, int64_t idle_s, koe_error *err);
/* After the last connection has been removed. NULL is fine. */
void koe_watch_destroy(koe_watch *w);

/* NULL when out of memory. */
koe_conn *koe_watch_add(koe_watch *w, int fd);
int koe_conn_fd(const koe_conn *c);
/* The session of a connection with TLS (tls.c), before its first request; NULL: plain. */
void koe_conn_set_tls(koe_conn *c, void *session);
void *koe_conn_tls(const koe_conn *c);
/* Whether a body has not come in time, and who reads from the session must say so: koe_watch_late_page(), until this thread's next call. */
bool koe_conn_is_late(const koe_conn *c);
koe_str koe_watch_late_page(void);
/* Before fd is closed. NULL is fine. */
void koe_watch_remove(koe_watch *w, koe_conn *c);
void koe_watch_phase(koe_watch *w, koe_conn *c, koe_conn_phase phase);
/* From now on r->gone and r->half_closed are set as the connection's client leaves; r == NULL ends that, and *r may go. */
void koe_watch_reader(koe_watch *w, koe_conn *c, koe_reader *r);
size_t koe_watch_count(koe_watch *w);
/* Connections whose answer is ours to send. */
size_t koe_watch_busy(koe_watch *w);
/* Ends them all, as if their clients had left. */
void koe_watch_drop(koe_watch *w);
#endif
