/* ws.c - GET /v1/audio/speech/ws: text in while audio comes out.
 *     client   {"type":"start", ...}  {"type":"text","text":"..."} ...  {"type":"flush"}  {"type":"end"}  {"type":"cancel"}
 *     server   {"type":"audio","seq","bytes","format"} and one binary message ...  {"type":"timestamps",...}  {"type":"done","usage"}
 *              {"type":"error","error":{...}}
 * After "done" or "error" the next "start" may come. A socket has a thread of its own, which only moves messages: wslay frames them,
 * live.c speaks. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "base/base.h"
#include "base/digest.h"
#include "server/head.h"
#include "server/live.h"
#include "server/wrap.h"
#include "text/utf8.h"

enum {
    STACK_BYTES = 256 << 10,
    MESSAGE_BYTES = 1 << 20, /* of a client's message */
    QUEUED_BYTES = 256 << 10, /* handed to wslay and not sent; the rest waits in the outbox */
    POLL_MS = 1000,
    PING_AFTER_MS = 30000,
    SILENT_MS = 90000, /* then the client is gone */
    FAREWELL_MS = 2000, /* for the client's answer to our close frame */
};

typedef struct koe_socket {
    koe_server *server;
    struct MHD_UpgradeResponseHandle *upgrade;
    int fd;
    koe_identity who;
    char address[64];
    koe_buf early; /* what came with the handshake */
    size_t early_at;
    koe_outbox *outbox;
    koe_live *live; /* NULL: before "start" */
    size_t n_chars; /* of the live text */
    wslay_event_context_ptr ws;
    double heard_ms, pinged_ms, closed_ms; /* closed_ms: when our close frame left; 0: it has not */
    bool closing, lost;
} session;

/* ---- handshake (RFC 6455, 4.2.2) ------------------------------------------------------------------------------------------------ */

static int hex_digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static void accept_of(const char *key, koe_buf *out)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KOE_DIGEST_TEXT];
    char sha1[20];
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_SHA1);
    koe_digest_add(&d, key, strlen(key));
    koe_digest_add(&d, guid, sizeof guid - 1);
    koe_digest_text(&d, text);
    for (size_t i = 0; i < sizeof sha1; i++) sha1[i] = (char)(hex_digit(text[2 * i]) << 4 | hex_digit(text[2 * i + 1]));
    koe_base64(out, (koe_str){ sha1, sizeof sha1 });
}

/* ---- messages out ----------------------------------------------------------------------------------------------------------------- */

static void say(session *s, json_t *j) { koe_outbox_put_json(s->outbox, j); }

static void say_problem(session *s, const koe_problem *p)
{
    json_t *j = koe_problem_json(p);
    if (j) json_object_set_new(j, "type", json_string("error"));
    say(s, j);
}

/* ---- messages in -------------------------------------------------------------------------------------------------------------------- */

static void on_start(session *s, const json_t *j)
{
    koe_problem p = { 0 };
    koe_utterance u;
    if (s->live && koe_live_is_over(s->live)) {
        koe_live_close(s->live);
        s->live = NULL;
        koe_keys_release(s->server->keys, &s->who);
    }
    if (s->live) {
        koe_problem_set(&p, 409, "already_started", "type", "a stream is running: send end or cancel first");
        say_problem(s, &p);
        return;
    }
    bool ok = koe_utterance_read(&u, s->server, j, NULL, &p);
    if (ok && (u.ssml || u.phonemes)) ok = koe_problem_set(&p, 400, "unsupported", "ssml", "SSML cannot be sent piece by piece");
    if (ok) ok = koe_keys_take(s->server->keys, &s->who, s->address, 1, 0, &p);
    if (ok) s->live = koe_live_start(s->server, &u, koe_keys_owner(&s->who, s->address), s->outbox, &p);
    else koe_utterance_deinit(&u);
    s->n_chars = 0;
    if (s->live) return;
    koe_keys_release(s->server->keys, &s->who);
    say_problem(s, &p);
}

static void on_text(session *s, const json_t *j)
{
    koe_problem p = { 0 };
    const json_t *text = json_object_get(j, "text");
    const koe_str t = { json_string_value(text), json_string_length(text) };
    const size_t n_chars = koe_utf8_count(t);
    s->n_chars += n_chars;
    bool ok = json_is_string(text) || koe_problem_set(&p, 400, "invalid_type", "text", "text must be a string");
    if (ok && t.n && memchr(t.p, 0, t.n)) ok = koe_problem_set(&p, 400, "invalid_value", "text", "text has a NUL in it");
    if (ok && s->n_chars > (size_t)s->server->config->max_text)
        ok = koe_problem_set(&p, 413, "text_too_long", "text", "the text has more than %lld characters", (long long)s->server->config->max_text);
    if (ok) ok = koe_keys_take(s->server->keys, &s->who, s->address, 0, (double)n_chars, &p);
    if (ok && !koe_live_text(s->live, t)) ok = koe_problem_set(&p, 503, "overloaded", NULL, "the server has no memory for this now");
    if (!ok) say_problem(s, &p);
}

static void on_json(session *s, const json_t *j)
{
    koe_problem p = { 0 };
    const char *type = json_string_value(json_object_get(j, "type"));
    if (!type) koe_problem_set(&p, 400, "missing_field", "type", "a message is an object with a type: start, text, flush, end or cancel");
    else if (strcmp(type, "start") == 0) on_start(s, j);
    else if (!s->live) koe_problem_set(&p, 409, "not_started", "type", "send {\"type\": \"start\"} first");
    else if (strcmp(type, "text") == 0) on_text(s, j);
    else if (strcmp(type, "flush") == 0) koe_live_flush(s->live);
    else if (strcmp(type, "end") == 0) koe_live_end(s->live);
    else if (strcmp(type, "cancel") == 0) koe_live_cancel(s->live);
    else koe_problem_set(&p, 400, "invalid_value", "type", "there is no message '%.40s'; there are start, text, flush, end and cancel", type);
    if (p.status) say_problem(s, &p);
}

static void on_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *m, void *user)
{
    (void)ws;
    session *s = user;
    koe_problem p = { 0 };
    json_error_t why = { 0 };
    s->heard_ms = koe_clock_ms();
    if (m->opcode == WSLAY_CONNECTION_CLOSE) s->closing = true;
    if (wslay_is_ctrl_frame(m->opcode)) return;
    if (m->opcode != WSLAY_TEXT_FRAME) {
        koe_problem_set(&p, 400, "invalid_type", NULL, "messages are JSON in text frames");
        say_problem(s, &p);
        return;
    }
    json_t *j = json_loadb(m->msg_length ? (const char *)m->msg : "", m->msg_length, KOE_JSON_FLAGS, &why);
    if (j) {
        on_json(s, j);
    } else {
        koe_problem_set(&p, 400, "invalid_json", NULL, "the message is not JSON: line %d, column %d: %.200s", why.line, why.column, why.text);
        say_problem(s, &p);
    }
    json_decref(j);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------------------------ */

static ssize_t receive(wslay_event_context_ptr ws, uint8_t *out, size_t n, int flags, void *user)
{
    (void)flags;
    session *s = user;
    if (s->early_at < s->early.n) {
        const size_t some = s->early.n - s->early_at < n ? s->early.n - s->early_at : n;
        memcpy(out, s->early.data + s->early_at, some);
        s->early_at += some;
        return (ssize_t)some;
    }
    const ssize_t got = recv(s->fd, out, n, MSG_DONTWAIT);
    if (got > 0) return got;
    const bool later = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (!later) s->lost = true;
    wslay_event_set_error(ws, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t transmit(wslay_event_context_ptr ws, const uint8_t *bytes, size_t n, int flags, void *user)
{
    (void)flags;
    session *s = user;
    const ssize_t sent = send(s->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    const bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    if (!later) s->lost = true;
    wslay_event_set_error(ws, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

/* From the outbox to wslay, as much as the client keeps up with. */
static void move_messages(session *s)
{
    bool moved = false;
    uint64_t n;
    (void)!read(koe_outbox_fd(s->outbox), &n, sizeof n);
    while (wslay_event_get_queued_msg_length(s->ws) < QUEUED_BYTES) {
        koe_message *m = koe_outbox_take(s->outbox);
        if (!m) break;
        const struct wslay_event_msg out = { .opcode = m->binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME, .msg = (const uint8_t *)m->bytes.data,
                                             .msg_length = m->bytes.n };
        if (wslay_event_queue_msg(s->ws, &out) != 0) s->lost = true;
        koe_message_free(m);
        moved = true;
    }
    if (moved && s->live) koe_live_drained(s->live);
    if (koe_outbox_failed(s->outbox)) s->lost = true;
}

static void keep_alive(session *s)
{
    const double now_ms = koe_clock_ms();
    if (s->closed_ms == 0 && wslay_event_get_close_sent(s->ws)) s->closed_ms = now_ms;
    if (now_ms - s->heard_ms > SILENT_MS || (s->closed_ms > 0 && now_ms - s->closed_ms > FAREWELL_MS)) s->lost = true;
    if (now_ms - s->heard_ms < PING_AFTER_MS || now_ms - s->pinged_ms < PING_AFTER_MS) return;
    s->pinged_ms = now_ms;
    wslay_event_queue_msg(s->ws, &(struct wslay_event_msg){ .opcode = WSLAY_PING });
}

/* The server ends: a socket without a running stream is told so, when it has heard the end of the last one. */
static void leave_when_draining(session *s)
{
    if (s->closing || !atomic_load(&s->server->draining) || (s->live && !koe_live_is_told(s->live))) return;
    if (!koe_outbox_is_empty(s->outbox) || wslay_event_get_queued_msg_count(s->ws) > 0) return; /* a close frame would overtake them */
    s->closing = true;
    wslay_event_queue_close(s->ws, WSLAY_CODE_GOING_AWAY, NULL, 0);
}

/* Reads; false: the client broke the protocol, or is lost. wslay has queued a close frame then, which has no code for frames that cannot even be read. */
static bool hear(session *s)
{
    if (wslay_event_recv(s->ws) == 0) return true;
    if (!s->lost) (void)!wslay_event_send(s->ws);
    return false;
}

static void talk(session *s)
{
    while (!s->lost) {
        move_messages(s);
        keep_alive(s);
        leave_when_draining(s);
        if (wslay_event_want_write(s->ws) && wslay_event_send(s->ws) != 0) return;
        const bool reads = wslay_event_want_read(s->ws), writes = wslay_event_want_write(s->ws);
        if (!reads && !writes) return; /* the closing handshake is over */
        if (s->early_at < s->early.n) {
            if (!hear(s)) return;
            continue;
        }
        const short events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
        /* With the outbox held back by a slow client only the socket counts. */
        const bool full = wslay_event_get_queued_msg_length(s->ws) >= QUEUED_BYTES;
        struct pollfd p[2] = { { s->fd, events, 0 }, { full ? -1 : koe_outbox_fd(s->outbox), POLLIN, 0 } };
        poll(p, 2, POLL_MS);
        if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && reads && !hear(s)) return;
    }
}

static void session_destroy(session *s)
{
    koe_server *server = s->server;
    koe_live_close(s->live);
    koe_keys_release(server->keys, &s->who);
    if (s->ws) wslay_event_context_free(s->ws);
    if (s->upgrade) MHD_upgrade_action(s->upgrade, MHD_UPGRADE_ACTION_CLOSE);
    koe_outbox_unref(s->outbox);
    koe_buf_free(&s->early);
    free(s);
    atomic_fetch_sub(&server->n_sockets, 1);
}

static void *run_session(void *arg)
{
    session *s = arg;
    static const struct wslay_event_callbacks callbacks = { .recv_callback = receive, .send_callback = transmit, .on_msg_recv_callback = on_message };
    s->heard_ms = koe_clock_ms();
    if (wslay_event_context_server_init(&s->ws, &callbacks, s) == 0) {
        wslay_event_config_set_max_recv_msg_length(s->ws, MESSAGE_BYTES);
        talk(s);
    }
    session_destroy(s);
    return NULL;
}

/* A place among the sockets, if there is one. */
static bool take_place(koe_server *s)
{
    if (atomic_fetch_add(&s->n_sockets, 1) < s->config->max_sockets) return true;
    atomic_fetch_sub(&s->n_sockets, 1);
    return false;
}

void koe_socket_talk(koe_server *server, int fd, koe_str early)
{
    session *s = take_place(server) ? calloc(1, sizeof *s) : NULL;
    if (!s) return;
    s->server = server;
    s->fd = fd;
    s->outbox = koe_outbox_create();
    koe_buf_add(&s->early, early.p, early.n);
    if (s->outbox && !s->early.failed) run_session(s);
    else session_destroy(s);
}

static void on_upgrade(void *user, struct MHD_Connection *conn, void *context, const char *early, size_t n_early, MHD_socket fd,
                       struct MHD_UpgradeResponseHandle *upgrade)
{
    (void)conn;
    session *s = user;
    pthread_t thread;
    pthread_attr_t a;
    ((koe_call *)context)->socket = NULL; /* the session is its own from here */
    s->fd = fd;
    s->upgrade = upgrade;
    koe_buf_add(&s->early, early, n_early);
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, STACK_BYTES);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    if (s->early.failed || pthread_create(&thread, &a, run_session, s) != 0) session_destroy(s);
    pthread_attr_destroy(&a);
}

void koe_socket_drop(struct koe_socket *s) { session_destroy(s); }

static enum MHD_Result reply_no_socket(koe_call *c) { return koe_reply_error(c, 426, "upgrade_required", NULL, "this is a WebSocket, version 13, of HTTP/1.1"); }

/* Browsers do not ask before they open a WebSocket: what --cors does not let a page do is refused here. No Origin: no page. */
static bool may_come(koe_call *c)
{
    const char *origin = koe_call_header(c, "Origin"), *host = koe_call_header(c, "Host"), *cors = c->server->config->cors;
    if (!origin || strcmp(cors, "*") == 0 || strcmp(cors, origin) == 0) return true;
    const char *of = strstr(origin, "://");
    return of && host && strcasecmp(of + 3, host) == 0;
}

enum MHD_Result koe_route_socket(koe_call *c)
{
    const char *key = koe_call_header(c, "Sec-WebSocket-Key"), *version = koe_call_header(c, "Sec-WebSocket-Version");
    if (!koe_head_lists(koe_call_header(c, "Upgrade"), "websocket") || !koe_head_lists(koe_call_header(c, "Connection"), "upgrade") || !key ||
        strlen(key) != 24 || !version || strcmp(version, "13") != 0 || strcmp(c->method, "GET") != 0)
        return reply_no_socket(c);
    if (!may_come(c)) return koe_reply_error(c, 403, "forbidden", NULL, "pages of this origin may not call this server");
    if (!take_place(c->server)) return koe_reply_error(c, 503, "overloaded", NULL, "as many WebSockets as there may be are open already");
    session *s = calloc(1, sizeof *s);
    koe_buf accept = { 0 };
    struct MHD_Response *r = NULL;
    if (s) {
        s->server = c->server;
        s->who = c->who;
        s->fd = -1;
        memcpy(s->address, c->address, sizeof s->address);
        s->outbox = koe_outbox_create();
        accept_of(key, &accept);
        if (s->outbox && !accept.failed) r = MHD_create_response_for_upgrade(on_upgrade, s);
    }
    if (!r) {
        koe_buf_free(&accept);
        if (s) session_destroy(s);
        else atomic_fetch_sub(&c->server->n_sockets, 1);
        return koe_reply_error(c, 503, "overloaded", NULL, "the server has no memory for this now");
    }
    MHD_add_response_header(r, "Upgrade", "websocket");
    MHD_add_response_header(r, "Sec-WebSocket-Accept", accept.data);
    koe_buf_free(&accept);
    c->socket = s;
    if (koe_reply(c, 101, NULL, r) == MHD_YES) return MHD_YES;
    c->socket = NULL; /* libmicrohttpd does not upgrade HTTP/1.0 */
    session_destroy(s);
    return reply_no_socket(c);
}
