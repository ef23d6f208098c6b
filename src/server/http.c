/* http.c - libmicrohttpd: connections in, routes found, replies out, and a line of log for each request. */
#include "server/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include "base/base.h"
#include "server/head.h"
#include "server/json.h"
#include "server/refuse.h"
#include "server/systemd.h"
#include "server/tls.h"

enum {
    CONNECTION_BYTES = 16 << 10, /* of a connection's buffers, the head of a request included */
    BLOCK_BYTES = 8 << 10, /* of a streamed answer */
    BACKLOG = 1024,
    LEAST_GZIP_BYTES = 1400, /* less fits one packet as it is */
    MOST_GZIP_BYTES = 16 << 20,
};
/* A body that is too large is still read up to here, so that the client hears why; then the connection is closed. */
static const size_t hopeless_bytes = 64 << 20;

/* ---- small helpers ------------------------------------------------------------------------------------------------------------ */

const char *koe_call_query(koe_call *c, const char *name) { return MHD_lookup_connection_value(c->conn, MHD_GET_ARGUMENT_KIND, name); }
const char *koe_call_header(koe_call *c, const char *name) { return MHD_lookup_connection_value(c->conn, MHD_HEADER_KIND, name); }

static void make_id(koe_call *c)
{
    const char *given = koe_call_header(c, "X-Request-Id");
    if (koe_head_is_id(given)) {
        snprintf(c->id, sizeof c->id, "%s", given);
        return;
    }
    unsigned char random[8] = { 0 };
    (void)!getrandom(random, sizeof random, GRND_NONBLOCK);
    for (size_t i = 0; i < sizeof random; i++) snprintf(c->id + 2 * i, 3, "%02x", random[i]);
}

/* The address as text, and its port. A v4 address inside v6 is the v4 address. */
static int address_of(const struct sockaddr *a, char *out, socklen_t cap)
{
    out[0] = 0;
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;
        inet_ntop(AF_INET, &in->sin_addr, out, cap);
        return ntohs(in->sin_port);
    }
    if (a->sa_family != AF_INET6) return 0;
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)a;
    if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) inet_ntop(AF_INET, in->sin6_addr.s6_addr + 12, out, cap);
    else inet_ntop(AF_INET6, &in->sin6_addr, out, cap);
    return ntohs(in->sin6_port);
}

static void peer_address(koe_call *c, char *out, socklen_t cap)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = info ? info->client_addr : NULL;
    out[0] = 0;
    if (a && a->sa_family == AF_UNIX) snprintf(out, cap, KOE_HEAD_UNIX);
    else if (a) address_of(a, out, cap);
}

/* ---- replies -------------------------------------------------------------------------------------------------------------------- */

static void add_common(koe_call *c, struct MHD_Response *r)
{
    const char *cors = c->server->config->cors;
    MHD_add_response_header(r, "X-Request-Id", c->id);
    if (*cors) {
        MHD_add_response_header(r, "Access-Control-Allow-Origin", cors);
        MHD_add_response_header(r, "Access-Control-Expose-Headers",
                                "X-Request-Id, X-Koe-Voice, X-Koe-Engine, X-Koe-Cache, X-Koe-Queue-Ms, X-Koe-Warning, Server-Timing, "
                                "Retry-After, ETag");
        if (strcmp(cors, "*") != 0) MHD_add_response_header(r, "Vary", "Origin");
    }
}

enum MHD_Result koe_reply(koe_call *c, int status, const char *type, struct MHD_Response *r)
{
    if (!r) return MHD_NO;
    if (type) MHD_add_response_header(r, "Content-Type", type);
    add_common(c, r);
    if (c->is_last || atomic_load(&c->server->draining)) MHD_add_response_header(r, "Connection", "close");
    c->status = status;
    c->replied = true;
    if (!c->head_ns) c->head_ns = koe_clock_ns();
    koe_watch_phase(c->server->watch, c->link, KOE_CONN_ANSWER);
    const enum MHD_Result result = koe_refuse_not(c->conn, (unsigned)status, r);
    MHD_destroy_response(r);
    return result;
}

/* In place; false when it is not worth it, or there is no memory: then the text is as it was. */
static bool gzip(koe_buf *text)
{
    enum { LEVEL = 1, GZIP_WINDOW = 15 + 16, MEMORY = 8, HEADROOM = 64 };
    z_stream z = { .next_in = (unsigned char *)text->data, .avail_in = (uInt)text->n };
    koe_buf out = { 0 };
    if (text->n < LEAST_GZIP_BYTES || text->n > MOST_GZIP_BYTES || !koe_buf_reserve(&out, text->n + HEADROOM)) return false;
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        koe_buf_free(&out);
        return false;
    }
    z.next_out = (unsigned char *)out.data;
    z.avail_out = (uInt)(text->n + HEADROOM);
    const bool ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
    out.n = z.total_out;
    deflateEnd(&z);
    if (ok) {
        koe_buf_free(text);
        *text = out;
    } else {
        koe_buf_free(&out);
    }
    return ok;
}

enum MHD_Result koe_reply_text(koe_call *c, int status, const char *type, koe_buf *text)
{
    if (text->failed) {
        koe_buf_free(text);
        return MHD_NO;
    }
    const bool zipped = koe_head_takes_gzip(koe_call_header(c, "Accept-Encoding")) && gzip(text);
    c->n_sent = text->n;
    struct MHD_Response *r = MHD_create_response_from_buffer(text->n, text->data, text->data ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!r) koe_buf_free(text);
    *text = (koe_buf){ 0 };
    if (r && zipped) MHD_add_response_header(r, "Content-Encoding", "gzip");
    if (r) MHD_add_response_header(r, "Vary", "Accept-Encoding");
    return koe_reply(c, status, type, r);
}

enum MHD_Result koe_reply_json(koe_call *c, int status, json_t *j)
{
    koe_buf text = { 0 };
    koe_json_add(&text, j);
    return koe_reply_text(c, status, "application/json", &text);
}

/* With a header of its own for this status, or NULL. */
static enum MHD_Result reply_problem_with(koe_call *c, const koe_problem *p, const char *name, const char *value)
{
    koe_buf text = { 0 };
    koe_json_add(&text, koe_problem_json(p));
    if (text.failed) {
        koe_buf_free(&text);
        return MHD_NO;
    }
    c->n_sent = text.n;
    struct MHD_Response *r = MHD_create_response_from_buffer(text.n, text.data, MHD_RESPMEM_MUST_FREE);
    if (!r) {
        koe_buf_free(&text);
        return MHD_NO;
    }
    if (p->retry_after_s) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", p->retry_after_s);
        MHD_add_response_header(r, "Retry-After", seconds);
    }
    if (name) MHD_add_response_header(r, name, value);
    return koe_reply(c, p->status, "application/json", r);
}

enum MHD_Result koe_reply_problem(koe_call *c, const koe_problem *p)
{
    if (p->status == 401) return reply_problem_with(c, p, "WWW-Authenticate", "Bearer");
    if (p->status == 426) return reply_problem_with(c, p, "Upgrade", "websocket");
    return reply_problem_with(c, p, NULL, NULL);
}

enum MHD_Result koe_reply_error(koe_call *c, int status, const char *code, const char *param, const char *format, ...)
{
    koe_problem p = { .status = status, .code = code, .param = param };
    va_list args;
    va_start(args, format);
    vsnprintf(p.message, sizeof p.message, format, args);
    va_end(args);
    return koe_reply_problem(c, &p);
}

/* ---- answers in the making -------------------------------------------------------------------------------------------------------- */

static void suspend_call(void *user) { MHD_suspend_connection(((koe_call *)user)->conn); }
static void resume_call(void *user) { MHD_resume_connection(((koe_call *)user)->conn); }

static ssize_t read_answer(void *user, uint64_t at, char *out, size_t max)
{
    (void)at;
    koe_call *c = user;
    const ssize_t n = koe_reader_take(&c->reader, out, max, suspend_call);
    if (n > 0) c->n_sent += (uint64_t)n;
    return n == -1 ? MHD_CONTENT_READER_END_OF_STREAM : n == -2 ? MHD_CONTENT_READER_END_WITH_ERROR : n;
}

static void release_answer(void *answer) { koe_answer_unref(answer); }

/* One that is whole leaves with its length, from where it lies. */
static struct MHD_Response *response_of(koe_call *c, bool complete)
{
    koe_answer *a = c->reader.answer;
    if (!complete) {
        struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_answer, c, NULL);
        if (r) MHD_add_response_header(r, "X-Accel-Buffering", "no"); /* nginx passes it on as it comes */
        return r;
    }
    c->n_sent = a->bytes.n;
    koe_answer_ref(a);
    struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback_cls(a->bytes.n, a->bytes.data, release_answer, a);
    if (!r) koe_answer_unref(a);
    return r;
}

/* What of it can stand in a header: names come from clients, texts from anywhere. */
static void add_warning(koe_call *c, struct MHD_Response *r, const koe_answer_about *about)
{
    char text[sizeof c->warning + sizeof about->warning + 2];
    const char *own = atomic_load(&c->reader.answer->passing) ? "" : c->warning; /* else the answer's says it, and who speaks at last */
    snprintf(text, sizeof text, "%s%s%s", own, *own && about->warning[0] ? "; " : "", about->warning);
    for (char *p = text; *p; p++)
        if (*p < ' ' || *p > '~') *p = '?';
    if (text[0]) MHD_add_response_header(r, "X-Koe-Warning", text);
}

static void add_about(koe_call *c, struct MHD_Response *r, const koe_answer_about *about)
{
    char text[64]; /* KOE_TAG_TEXT or longer */
    MHD_add_response_header(r, "X-Koe-Voice", about->voice);
    MHD_add_response_header(r, "X-Koe-Engine", about->engine);
    add_warning(c, r, about);
    if (!c->cache_state && about->cache[0]) {
        c->cache_state = strcmp(about->cache, "hit") == 0 ? "hit" : strcmp(about->cache, "partial") == 0 ? "partial" : "miss";
        koe_metrics_count(c->server->metrics, KOE_COUNTER_CACHE, c->cache_state);
    }
    if (c->cache_state) MHD_add_response_header(r, "X-Koe-Cache", c->cache_state);
    const bool is_hit = c->cache_state && strcmp(c->cache_state, "hit") == 0;
    snprintf(text, sizeof text, "%.0f", is_hit ? 0 : about->queue_ms);
    MHD_add_response_header(r, "X-Koe-Queue-Ms", text);
    if (c->reader.answer->key[0] && !atomic_load(&c->reader.answer->passing)) {
        koe_head_tag(text, c->reader.answer->key);
        MHD_add_response_header(r, "ETag", text);
    }
    const char *trace = koe_call_header(c, "X-Koe-Trace");
    if (trace && strcmp(trace, "1") == 0) {
        char timing[160];
        const double made = is_hit ? 0 : 1; /* the times of who had it made are not this client's */
        snprintf(timing, sizeof timing, "queue;dur=%.1f, text;dur=%.1f, synthesis;dur=%.1f, encode;dur=%.1f", made * about->queue_ms,
                 made * about->text_ms, made * about->synthesis_ms, made * about->encode_ms);
        MHD_add_response_header(r, "Server-Timing", timing);
    }
}

bool koe_call_join(koe_call *c, koe_answer *a)
{
    c->reader.wake = resume_call;
    if (!koe_reader_join(&c->reader, a)) return false;
    koe_watch_reader(c->server->watch, c->link, &c->reader);
    return true;
}

enum MHD_Result koe_reply_answer(koe_call *c)
{
    koe_answer *a = c->reader.answer;
    if (!koe_reader_wait(&c->reader, suspend_call)) return MHD_YES;
    if (atomic_load(&c->reader.gone)) return MHD_NO;
    pthread_mutex_lock(&a->lock);
    const koe_answer_about about = a->about;
    const koe_problem problem = a->problem;
    const bool complete = a->done && a->n_dropped == 0, has_head = a->has_head;
    pthread_mutex_unlock(&a->lock);
    snprintf(c->voice, sizeof c->voice, "%s", about.voice);
    if (problem.status && !has_head) return koe_reply_problem(c, &problem);
    struct MHD_Response *r = response_of(c, complete && !problem.status);
    if (!r) return MHD_NO;
    add_about(c, r, &about);
    return koe_reply(c, 200, about.type, r);
}

bool koe_call_takes_json(koe_call *c, enum MHD_Result *result)
{
    const char *type = koe_call_header(c, "Content-Type");
    if (!koe_head_is_json(type)) {
        *result = koe_reply_error(c, 415, "unsupported_media_type", NULL, "the body is %.100s; send JSON with Content-Type: application/json", type);
        return false;
    }
    const char *coding = koe_call_header(c, "Content-Encoding");
    if (coding && strcasecmp(coding, "identity") != 0) {
        *result = koe_reply_error(c, 415, "unsupported_encoding", NULL, "the body's Content-Encoding is %.40s; send it as it is", coding);
        return false;
    }
    return true;
}

json_t *koe_call_json(koe_call *c, enum MHD_Result *result)
{
    json_error_t why = { 0 };
    if (!koe_call_takes_json(c, result)) return NULL;
    const size_t mark = c->body.n >= 3 && memcmp(c->body.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* some clients begin with a byte order mark */
    json_t *j = json_loadb(c->body.data ? c->body.data + mark : "", c->body.n - mark, KOE_JSON_FLAGS, &why);
    if (!j) *result = koe_reply_error(c, 400, "invalid_json", NULL, "the body is not JSON: line %d, column %d: %.200s", why.line, why.column, why.text);
    else if (!json_is_object(j)) {
        json_decref(j);
        j = NULL;
        *result = koe_reply_error(c, 400, "invalid_json", NULL, "the body must be a JSON object");
    }
    return j;
}

/* ---- requests ------------------------------------------------------------------------------------------------------------------------ */

static bool path_fits(const koe_route *r, const char *path, koe_str *tail)
{
    const size_t n = strlen(r->path);
    if (r->path[n - 1] != '*') return strcmp(r->path, path) == 0;
    if (strncmp(r->path, path, n - 1) != 0 || !path[n - 1]) return false;
    *tail = koe_str_of(path + n - 1);
    return true;
}

static bool method_fits(const koe_route *r, const char *method)
{
    return strcmp(r->method, method) == 0 || (strcmp(method, "HEAD") == 0 && strcmp(r->method, "GET") == 0);
}

/* "GET, HEAD, OPTIONS": what the path takes; empty for a path that does not exist. */
static void allowed_methods(const char *path, char *out, size_t cap)
{
    size_t n = 0;
    koe_str tail;
    out[0] = 0;
    for (const koe_route *r = koe_routes; r->path; r++)
        if (path_fits(r, path, &tail)) n += (size_t)snprintf(out + n, cap - n, "%s%s", r->method, strcmp(r->method, "GET") == 0 ? ", HEAD, " : ", ");
    if (n) snprintf(out + n, cap - n, "OPTIONS");
}

static enum MHD_Result reply_options(koe_call *c, const char *allow)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Allow", allow);
    if (*c->server->config->cors) {
        MHD_add_response_header(r, "Access-Control-Allow-Methods", allow);
        const char *asked = koe_call_header(c, "Access-Control-Request-Headers");
        MHD_add_response_header(r, "Access-Control-Allow-Headers",
                                asked && strlen(asked) < 1000 ? asked : "Authorization, Content-Type, X-Request-Id, X-Api-Key, If-None-Match");
        MHD_add_response_header(r, "Access-Control-Max-Age", "86400");
    }
    return koe_reply(c, 204, NULL, r);
}

static enum MHD_Result reply_no_route(koe_call *c, const char *allow)
{
    if (!*allow) return koe_reply_error(c, 404, "not_found", NULL, "there is no %s %.150s", c->method, c->path);
    koe_problem p = { 0 };
    koe_problem_set(&p, 405, "method_not_allowed", NULL, "%.150s takes %s", c->path, allow);
    return reply_problem_with(c, &p, "Allow", allow);
}

/* The key that the client sent, NULL: none. */
static const char *token_of(koe_call *c)
{
    const char *h = koe_call_header(c, "Authorization");
    if (h && strncasecmp(h, "Bearer ", 7) == 0) return h + 7 + strspn(h + 7, " ");
    return koe_call_header(c, "X-Api-Key");
}

/* Finds the route, and whether the client may: before the body comes, of which nothing is kept for those who may not. */
static void look_up(koe_call *c)
{
    for (const koe_route *r = koe_routes; r->path; r++)
        if (method_fits(r, c->method) && path_fits(r, c->path, &c->tail)) {
            c->route = r;
            break;
        }
    c->welcome = c->route && (c->route->open || koe_keys_check(c->server->keys, token_of(c), c->route->scope, &c->who, &c->refusal));
    if (!c->welcome || c->route->open || c->route->scope || !atomic_load(&c->server->draining)) return;
    c->welcome = koe_problem_set(&c->refusal, 503, "draining", NULL, "the server is about to end; come again"); /* new speech would hold that up */
    c->refusal.retry_after_s = 1;
}

static enum MHD_Result reply_unwelcome(koe_call *c)
{
    char allow[128];
    if (c->route) return koe_reply_problem(c, &c->refusal);
    allowed_methods(c->path, allow, sizeof allow);
    return *allow && strcmp(c->method, "OPTIONS") == 0 ? reply_options(c, allow) : reply_no_route(c, allow);
}

static enum MHD_Result reply_too_large(koe_call *c)
{
    return koe_reply_error(c, 413, "body_too_large", NULL, "the body is larger than %" PRId64 " bytes", c->server->config->max_body);
}

/* The body was announced to be too large and the client waits for our word. */
static bool refuse_early(koe_call *c)
{
    const char *length = koe_call_header(c, "Content-Length"), *expects = koe_call_header(c, "Expect");
    return length && strtoull(length, NULL, 10) > (uint64_t)c->server->config->max_body &&
           (expects || strtoull(length, NULL, 10) > hopeless_bytes);
}

/* MHD_KeyValueIterator */
static enum MHD_Result add_framing(void *framing, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    koe_head_add_framing(framing, name, value);
    return MHD_YES;
}

/* What must be said before the body comes, as it may not be one. Then the connection ends. False after replying. */
static bool look_at_head(koe_call *c, enum MHD_Result *result)
{
    koe_head_framing framing = { 0 };
    MHD_get_connection_values(c->conn, MHD_HEADER_KIND, add_framing, &framing);
    c->is_last = true;
    if (!koe_head_is_clear(&framing))
        *result = koe_reply_error(c, 400, "bad_request", NULL,
                                  "the request is not clear: send one Content-Length, or Transfer-Encoding: chunked, one Host, and names without spaces");
    else if (!*c->path) *result = koe_reply_error(c, 414, "uri_too_long", NULL, "the path is longer than %zu bytes", sizeof c->path - 1);
    else if (refuse_early(c)) *result = reply_too_large(c);
    else if (!c->welcome && koe_call_header(c, "Expect")) *result = reply_unwelcome(c);
    else return !(c->is_last = false);
    return false;
}

/* MHD_KeyValueIterator */
static enum MHD_Result add_forwarded(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    koe_buf *all = user;
    if (strcasecmp(name, "X-Forwarded-For") == 0 && value) koe_buf_printf(all, "%s%s", all->n ? "," : "", value);
    return MHD_YES;
}

/* Some proxies append to the line that the client sent, others send one of their own behind it: all of them are one list. */
static void find_client(koe_call *c, const char *peer)
{
    koe_buf all = { 0 };
    const char *trusted = c->server->config->trusted_proxies;
    if (*trusted) MHD_get_connection_values(c->conn, MHD_HEADER_KIND, add_forwarded, &all);
    koe_head_client(trusted, peer, all.failed ? NULL : all.data, c->address);
    koe_buf_free(&all);
}

static koe_call *new_call(koe_server *s, struct MHD_Connection *conn, const char *url, const char *method)
{
    char peer[64];
    koe_call *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    const union MHD_ConnectionInfo *context = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    const union MHD_ConnectionInfo *fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    c->server = s;
    c->conn = conn;
    c->link = context ? context->socket_context : NULL;
    c->start_ns = koe_clock_ns();
    snprintf(c->method, sizeof c->method, "%s", method);
    c->reader = (koe_reader){ .user = c, .fd = fd && !*s->config->tls_cert ? fd->connect_fd : -1 };
    make_id(c);
    peer_address(c, peer, sizeof peer);
    find_client(c, peer);
    koe_head_path(url, c->path, sizeof c->path);
    koe_head_make_plain(c->method);
    koe_watch_phase(s->watch, c->link, KOE_CONN_BODY);
    return c;
}

static void take_body(koe_call *c, const char *data, size_t n)
{
    c->n_body += n;
    if (c->welcome && c->n_body <= (size_t)c->server->config->max_body) koe_buf_add(&c->body, data, n);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
                                  const char *data, size_t *n_data, void **slot)
{
    (void)version;
    koe_call *c = *slot;
    if (!c) {
        if (!(c = new_call(user, conn, url, method))) return MHD_NO;
        *slot = c;
        enum MHD_Result result = MHD_YES;
        look_up(c);
        look_at_head(c, &result);
        return result;
    }
    if (*n_data) {
        if (c->n_body + *n_data > hopeless_bytes) return MHD_NO;
        take_body(c, data, *n_data);
        *n_data = 0;
        return MHD_YES;
    }
    if (c->replied) return MHD_YES;
    if (c->reader.answer) return koe_reply_answer(c);
    koe_watch_phase(c->server->watch, c->link, KOE_CONN_ANSWER);
    if (!c->welcome) return reply_unwelcome(c);
    if (c->n_body > (size_t)c->server->config->max_body) return reply_too_large(c);
    if (c->body.failed) return koe_reply_error(c, 503, "overloaded", NULL, "the server has no memory for this now");
    return c->route->run(c);
}

/* ---- the end of a request ----------------------------------------------------------------------------------------------------------------- */

static void log_access(const koe_call *c, double ms, bool cut)
{
    const koe_config *config = c->server->config;
    const char *end = cut ? "cut" : "done";
    if (!config->access_log) return;
    if (strcmp(config->log_format, "json") == 0) {
        char time[32];
        koe_log_time(time);
        json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:f, s:s, s:s, s:s, s:s, s:s}", "time", time, "id", c->id, "address", c->address, "method",
                              c->method, "path", c->path, "status", c->status, "bytes", (json_int_t)c->n_sent, "ms", ms, "end", end, "voice",
                              c->voice, "format", c->format ? c->format : "", "cache", c->cache_state ? c->cache_state : "", "key", c->who.name);
        char *text = json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(6));
        if (text) fprintf(stderr, "%s\n", text);
        free(text);
        json_decref(j);
        return;
    }
    fprintf(stderr, "koe: %s %s %s %s %d %" PRIu64 " %.1f ms%s%s%s%s%s%s\n", c->id, c->address, c->method, c->path, c->status, c->n_sent, ms,
            c->voice[0] ? " " : "", c->voice, c->format ? " " : "", c->format ? c->format : "", c->cache_state ? " " : "",
            c->cache_state ? c->cache_state : "");
    if (cut) fprintf(stderr, "koe: %s the client left\n", c->id);
}

static void count(koe_call *c, bool cut)
{
    koe_metrics *m = c->server->metrics;
    char status[16];
    snprintf(status, sizeof status, "%d", c->status);
    koe_metrics_count(m, KOE_COUNTER_REQUESTS, status);
    if (cut) koe_metrics_count(m, KOE_COUNTER_CANCELLED, c->replied ? "body" : "waiting");
    if (!c->format || c->status != 200) return;
    koe_metrics_count(m, KOE_COUNTER_FORMATS, c->format);
    koe_metrics_count(m, KOE_COUNTER_VOICES, c->voice);
    koe_metrics_observe(m, KOE_HISTOGRAM_FIRST_BYTE, (double)(c->head_ns - c->start_ns) / 1e9);
    koe_metrics_observe(m, KOE_HISTOGRAM_REQUEST, (double)(koe_clock_ns() - c->start_ns) / 1e9);
}

static void on_completed(void *user, struct MHD_Connection *conn, void **slot, enum MHD_RequestTerminationCode code)
{
    (void)user, (void)conn;
    koe_call *c = *slot;
    if (!c) return;
    *slot = NULL;
    const bool cut = code != MHD_REQUEST_TERMINATED_COMPLETED_OK;
    koe_watch_reader(c->server->watch, c->link, NULL);
    koe_watch_phase(c->server->watch, c->link, KOE_CONN_IDLE);
    koe_reader_leave(&c->reader);
    koe_keys_release(c->server->keys, &c->who);
    if (c->socket) koe_socket_drop(c->socket);
    count(c, cut);
    log_access(c, (double)(koe_clock_ns() - c->start_ns) / 1e6, cut);
    koe_buf_free(&c->body);
    free(c);
}

static void on_connection(void *user, struct MHD_Connection *conn, void **context, enum MHD_ConnectionNotificationCode code)
{
    koe_server *s = user;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *tls = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        *context = fd ? koe_watch_add(s->watch, fd->connect_fd) : NULL;
        if (*context && tls && tls->tls_session) koe_tls_carry(tls->tls_session, *context);
        if (fd) setsockopt(fd->connect_fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    } else {
        koe_watch_remove(s->watch, *context);
        *context = NULL;
    }
}


/* ---- the daemon ------------------------------------------------------------------------------------------------------------------------------- */

static int open_socket(const koe_config *config, koe_error *err)
{
    char port[16];
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list = NULL;
    snprintf(port, sizeof port, "%" PRId64, config->port);
    const int failed = getaddrinfo(config->host, port, &hints, &list);
    if (failed || !list) {
        koe_fail(err, KOE_E_ARGUMENT, "host %s: %s", config->host, gai_strerror(failed));
        return -1;
    }
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        koe_fail(err, KOE_E_IO, "cannot listen on %s port %s: %s", config->host, port, strerror(errno));
        if (fd >= 0) close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

/* Where clients find us: "http://127.0.0.1:8880", "unix:/run/koe.sock". A socket of systemd's is elsewhere than the settings say. */
static void say_where(const koe_server *s, char *out, size_t cap)
{
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_storage all;
    } a = { .all = { 0 } };
    socklen_t n = sizeof a;
    char address[INET6_ADDRSTRLEN];
    (void)!getsockname(s->listen_fd, &a.any, &n);
    if (a.any.sa_family == AF_UNIX) {
        const size_t length = n > offsetof(struct sockaddr_un, sun_path) ? n - offsetof(struct sockaddr_un, sun_path) : 0;
        const bool is_abstract = length && !a.local.sun_path[0];
        snprintf(out, cap, "unix:%s%.*s", is_abstract ? "@" : "", (int)length - is_abstract, a.local.sun_path + is_abstract);
        return;
    }
    const int port = address_of(&a.any, address, sizeof address);
    const char *host = s->inherited ? address : s->config->host;
    const bool v6 = strchr(host, ':') != NULL;
    snprintf(out, cap, "%s://%s%s%s:%d", *s->config->tls_cert ? "https" : "http", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

__attribute__((format(printf, 2, 0))) static void log_mhd(void *user, const char *format, va_list args)
{
    char line[512];
    (void)user;
    if (koe_log_get_level() < KOE_LOG_DEBUG) return;
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = 0;
    koe_log(KOE_LOG_DEBUG, "http: %s", line);
}

static koe_status start_daemon(koe_server *s, int fd, koe_error *err)
{
    const koe_config *config = s->config;
    struct MHD_OptionItem options[16] = { { 0 } };
    size_t n = 0;
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_mhd, NULL };
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, s };
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, s };
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_LISTEN_SOCKET, fd, NULL };
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_CONNECTION_LIMIT, (intptr_t)config->max_connections, NULL };
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_PER_IP_CONNECTION_LIMIT, (intptr_t)config->max_connections_per_address, NULL };
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)config->idle_timeout_s, NULL };
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, NULL };
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, NULL };
    if (config->http_threads > 1) options[n++] = (struct MHD_OptionItem){ MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)config->http_threads, NULL };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG;
    if (*config->tls_cert) {
        flags |= MHD_USE_TLS;
        static char versions[] = "NORMAL:-VERS-TLS1.0:-VERS-TLS1.1"; /* RFC 8996 */
        options[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, koe_tls_callback() };
        options[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0, versions };
    }
    options[n++] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, s, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    return s->daemon ? KOE_OK : koe_fail(err, KOE_E_IO, "the HTTP server does not start");
}

koe_status koe_http_listen(koe_server *s, char *where, size_t cap, koe_error *err)
{
    const koe_config *config = s->config;
    s->listen_fd = koe_systemd_socket();
    s->inherited = s->listen_fd >= 0;
    if (s->listen_fd < 0) s->listen_fd = open_socket(config, err);
    if (s->listen_fd < 0) return err ? err->status : KOE_E_IO;
    say_where(s, where, cap);
    return *config->tls_cert ? koe_tls_load(config->tls_cert, config->tls_key, err) : KOE_OK;
}

koe_status koe_http_start(koe_server *s, koe_error *err)
{
    const koe_status st = start_daemon(s, s->listen_fd, err);
    if (st == KOE_OK) s->listen_fd = -1; /* the daemon's */
    return st;
}

/* MHD_quiesce_daemon() takes the listening socket out of each thread's epoll set, and panics when that thread, awake at the moment, was
 * quicker. Nothing is locked then, and asked again it goes on where it was. */
static _Thread_local jmp_buf *quiescing;

static void on_panic(void *user, const char *file, unsigned line, const char *why)
{
    (void)user;
    if (quiescing && strstr(why, "listen FD")) longjmp(*quiescing, 1);
    koe_log(KOE_LOG_ERROR, "libmicrohttpd, %s:%u: %s", file, line, why);
    abort();
}

static int quiesce(struct MHD_Daemon *daemon)
{
    enum { MOST_TRIES = 1000 };
    jmp_buf again;
    volatile int n = 0;
    MHD_set_panic_func(on_panic, NULL);
    if (setjmp(again)) sched_yield();
    quiescing = ++n < MOST_TRIES ? &again : NULL;
    const int fd = MHD_quiesce_daemon(daemon);
    quiescing = NULL;
    return fd;
}

void koe_http_quiesce(koe_server *s)
{
    const int fd = s->daemon ? quiesce(s->daemon) : -1;
    if (fd < 0) return;
    s->listen_fd = fd; /* libmicrohttpd's threads may still look at it, and abort when it is closed: koe_http_stop() closes it */
    if (!s->inherited) shutdown(fd, SHUT_RDWR); /* who comes now is refused; systemd goes on listening with its own */
}

void koe_http_stop(koe_server *s)
{
    if (s->daemon) MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
    if (s->listen_fd >= 0) close(s->listen_fd);
    s->listen_fd = -1;
    koe_tls_unload();
}
