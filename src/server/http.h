/* http.h - one request in service, and how a route answers it.
 * A route is called once, when the whole request has arrived, on one of libmicrohttpd's threads; it must not wait. It replies at once,
 * or joins an answer in the making (koe_reply_answer), which leaves as it is made. */
#ifndef KOE_SERVER_HTTP_H
#define KOE_SERVER_HTTP_H
#include <jansson.h>
#include <microhttpd.h>

#include "koe.h"
#include "server/answer.h"
#include "server/cache.h"
#include "server/config.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/models.h"
#include "server/sched.h"
#include "server/watch.h"

typedef struct koe_server {
    _Atomic(const koe_config *) config; /* another one after SIGHUP; all of them stay until the end */
    koe_models *models;
    koe_sched *sched;
    koe_cache *cache;
    struct koe_redis *redis; /* NULL: none */
    koe_keys *keys;
    koe_watch *watch;
    koe_metrics *metrics;
    struct koe_inflight *inflight; /* speech.c */
    struct koe_saved *saved; /* voices.c */
    struct MHD_Daemon *daemon;
    int listen_fd; /* until the daemon has it, and again from koe_http_quiesce() on; -1: none */
    bool inherited; /* it came from systemd */
    atomic_int n_sockets; /* WebSockets that are open */
    double start_ms;
    atomic_bool draining, loading;
    atomic_bool asked; /* somebody has asked for speech: what would be warmed is warmed by that */
} koe_server;

typedef struct koe_call koe_call;
typedef enum MHD_Result koe_route_fn(koe_call *c);

typedef struct koe_route {
    const char *method, *path; /* without /v1; a path that ends in * takes the rest as `tail` */
    koe_route_fn *run;
    bool open; /* needs no key */
    koe_scope scope; /* that the key must have; 0: speech */
} koe_route;

struct koe_call {
    koe_server *server;
    struct MHD_Connection *conn;
    koe_conn *link; /* in server->watch */
    char method[16];
    char id[65]; /* X-Request-Id */
    char address[64]; /* the client's, behind trusted proxies */
    char path[256]; /* without /v1 and the doubled part */
    koe_str tail;
    const koe_route *route;
    bool welcome; /* there is a route, and the client may take it; else refusal says why not, */
    koe_problem refusal; /* or, without a route, nothing */
    koe_buf body;
    size_t n_body; /* arrived, kept or not */
    koe_identity who;
    koe_reader reader;
    int64_t start_ns, head_ns; /* arrival, first byte of the answer */
    int status;
    uint64_t n_sent;
    struct koe_socket *socket; /* the WebSocket that this becomes, until it is one; NULL: none */
    bool replied;
    bool is_last; /* the connection ends with the reply */
    const char *cache_state; /* "hit", "partial", "miss"; NULL: not known yet, or not a matter of the cache */
    const char *format; /* of the sound; NULL: none */
    char voice[320]; /* for log and metrics */
    char warning[400]; /* what the client should know about who speaks; "": nothing */
};

/* The query's value of a name; NULL when there is none. Lives as long as the call. */
const char *koe_call_query(koe_call *c, const char *name);
const char *koe_call_header(koe_call *c, const char *name);

/* Each sends a reply and returns what the route returns. */
enum MHD_Result koe_reply(koe_call *c, int status, const char *type, struct MHD_Response *r); /* takes r */
enum MHD_Result koe_reply_json(koe_call *c, int status, json_t *j); /* takes j; NULL: out of memory */
enum MHD_Result koe_reply_text(koe_call *c, int status, const char *type, koe_buf *text); /* takes the text */
enum MHD_Result koe_reply_problem(koe_call *c, const koe_problem *p);
enum MHD_Result koe_reply_error(koe_call *c, int status, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Joins c to an answer; false as koe_reader_join(). From here on the answer hears when the client leaves. */
bool koe_call_join(koe_call *c, koe_answer *a);
/* Sends what c->reader reads, as it comes: now, or once there is a head. */
enum MHD_Result koe_reply_answer(koe_call *c);

/* What is JSON is read, and refused by who sees which field it is: numbers of any size, NULs in strings. */
enum { KOE_JSON_FLAGS = JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL };
/* The request's body as a JSON object, NULL after replying (to *result) that it is none. The caller decrefs. */
json_t *koe_call_json(koe_call *c, enum MHD_Result *result);
/* Whether the body says that it is JSON, as it is; false after replying. */
bool koe_call_takes_json(koe_call *c, enum MHD_Result *result);

/* The table of all routes, ended by a row without a path (routes.c). */
extern const koe_route koe_routes[];
koe_route_fn koe_route_speech, koe_route_captioned, koe_route_phonemize, koe_route_from_phonemes;
koe_route_fn koe_route_voices, koe_route_combine, koe_route_models, koe_route_model, koe_route_audio_models;
koe_route_fn koe_route_health, koe_route_live, koe_route_ready, koe_route_status, koe_route_metrics, koe_route_purge, koe_route_socket;
koe_route_fn koe_route_studio, koe_route_dashboard, koe_route_web;

/* Talks with a WebSocket's client, whose handshake is over, until it leaves or the server ends; early: bytes that came already. */
void koe_socket_talk(koe_server *s, int fd, koe_str early);
/* One whose handshake has not come to its end. */
void koe_socket_drop(struct koe_socket *s);

/* Opens the socket, or takes the one that systemd has opened, and reads the certificate: what may need more rights than the rest. where:
 * how clients find us, as text. */
koe_status koe_http_listen(koe_server *s, char *where, size_t cap, koe_error *err);
koe_status koe_http_start(koe_server *s, koe_error *err);
/* No new connections; those there are go on. */
void koe_http_quiesce(koe_server *s);
void koe_http_stop(koe_server *s);
#endif
