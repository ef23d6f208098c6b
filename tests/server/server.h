/* server.h - the real `koe serve` on a loopback port of the kernel's choice, and an HTTP client that sees every byte. For tests with
 * cmocka. Every wait is bounded. */
#ifndef TESTS_SERVER_SERVER_H
#define TESTS_SERVER_SERVER_H
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>

#include "../cli/command.h"
#include "base/clock.h"

enum { WAIT_S = 60 }; /* longer than anything takes on a machine that has little time for us */

typedef struct server {
    pid_t pid;
    int fd[3];
    int port;
    char *home; /* of models; a new folder */
} server;

/* A reply as it came. */
typedef struct reply {
    int status; /* 0: the connection ended without one */
    char head[8192];
    koe_buf body; /* without the chunks' framing */
    bool whole; /* has the end that it promised */
    double first_ms, all_ms; /* from sending to the head, and to the end */
} reply;

static inline void reply_free(reply *r) { koe_buf_free(&r->body); }
static inline bool same_body(const reply *a, const reply *b) { return koe_str_eq((koe_str){ a->body.data, a->body.n }, (koe_str){ b->body.data, b->body.n }); }

/* Starts koe serve with the NULL-terminated options; waits until it listens. */
static inline void start_server_in(server *s, char *home, const char *const *options)
{
    const char *args[48] = { "serve", "--port", "0", "--home", home };
    size_t n = 5;
    bool is_sandboxed = false;
    for (size_t i = 0; options && options[i]; i++) {
        is_sandboxed |= strcmp(options[i], "--sandbox") == 0;
        args[n++] = options[i];
    }
    if (is_sandboxed) setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* the detector wants to be a debugger */
    s->home = home;
    s->pid = start_koe(args, s->fd);
    if (is_sandboxed) unsetenv("ASAN_OPTIONS");
    char line[256] = "";
    for (size_t at = 0; at + 1 < sizeof line && !strchr(line, '\n'); at++) {
        struct pollfd p = { s->fd[1], POLLIN, 0 };
        if (poll(&p, 1, WAIT_S * 1000) <= 0 || read(s->fd[1], line + at, 1) != 1) break;
    }
    const char *colon = strrchr(line, ':');
    s->port = colon ? atoi(colon + 1) : 0;
    if (s->port == 0) {
        char why[1000] = "";
        (void)!read(s->fd[2], why, sizeof why - 1);
        fail_msg("koe serve did not start: %s", why);
    }
    fcntl(s->fd[2], F_SETFL, O_NONBLOCK); /* what it logs is read at the end */
    fcntl(s->fd[2], F_SETPIPE_SZ, 1 << 20);
}
/* start_server(&s, "--max-jobs", "2", NULL), and the same with a folder that is there */
#define start_server(s, ...) start_server_at(s, new_folder(), __VA_ARGS__)
#define start_server_at(s, home, ...) start_server_in(s, home, (const char *const[]){ "--access-log", "off", __VA_ARGS__ })

/* Waits for its end and returns the exit status, 128 + n after signal n. */
static inline int wait_server(server *s)
{
    int status = 0;
    pid_t got = 0;
    for (int i = 0; i < WAIT_S * 100 && got == 0; i++) {
        got = waitpid(s->pid, &status, WNOHANG);
        if (got == 0) nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    }
    if (got == 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, &status, 0);
        fail_msg("the server does not end");
    }
    char log[4096];
    const ssize_t n = read(s->fd[2], log, sizeof log - 1);
    log[n > 0 ? n : 0] = 0;
    if (strstr(log, "Sanitizer") || (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)) fail_msg("%s", log);
    for (int i = 0; i < 3; i++) close(s->fd[i]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Its folder stays. */
static inline void end_server(server *s)
{
    kill(s->pid, SIGTERM);
    assert_int_equal(wait_server(s), 0);
}

static inline void stop_server(server *s)
{
    end_server(s);
    remove_folder(s->home);
}

static inline int dial(const server *s)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = { .tv_sec = WAIT_S };
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) fail_msg("connect: %s", strerror(errno));
    return fd;
}

static inline bool send_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        const ssize_t w = send(fd, at, n, MSG_NOSIGNAL);
        if (w <= 0) return false;
        at += w;
        n -= (size_t)w;
    }
    return true;
}

/* "METHOD path" with a body (NULL: none) and more header lines ("A: b\r\n", or ""). */
static inline bool send_request(int fd, const char *method, const char *path, const char *headers, const char *body)
{
    koe_buf b = { 0 };
    koe_buf_printf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path, headers ? headers : "");
    if (body) {
        if (!headers || !strstr(headers, "Content-Type")) koe_buf_adds(&b, "Content-Type: application/json\r\n");
        koe_buf_printf(&b, "Content-Length: %zu\r\n", strlen(body));
    }
    koe_buf_printf(&b, "\r\n%s", body ? body : "");
    const bool ok = send_all(fd, b.data, b.n);
    koe_buf_free(&b);
    return ok;
}

/* The value of a header of the reply, in a static buffer; NULL when it has none. */
static inline const char *header(const reply *r, const char *name)
{
    static char value[1024];
    char line[128];
    snprintf(line, sizeof line, "\r\n%s:", name);
    const char *p = strcasestr(r->head, line);
    if (!p) return NULL;
    p += strlen(line);
    p += strspn(p, " ");
    snprintf(value, sizeof value, "%.*s", (int)strcspn(p, "\r"), p);
    return value;
}

/* Undoes the chunks in place; whether the last one was there. */
static inline bool dechunk(koe_buf *b)
{
    size_t from = 0, to = 0;
    for (;;) {
        char *end = NULL;
        if (from >= b->n) return false;
        const size_t n = strtoul(b->data + from, &end, 16);
        const size_t at = (size_t)(end - b->data) + 2;
        if (end == b->data + from || at > b->n) return b->n = to, false;
        if (n == 0) return b->n = to, true;
        const size_t have = b->n - at < n ? b->n - at : n;
        memmove(b->data + to, b->data + at, have);
        to += have;
        if (have < n) return b->n = to, false;
        from = at + n + 2;
    }
}

static inline bool ends_chunks(const koe_buf *b) { return b->n >= 5 && memcmp(b->data + b->n - 5, "0\r\n\r\n", 5) == 0; }

/* Reads one reply (interim ones left out) to a request sent at start_ms from the connection. `is_head`: to a HEAD request. */
static inline void read_reply_since(int fd, reply *r, bool is_head, double start_ms)
{
    *r = (reply){ 0 };
    size_t n = 0;
    for (;;) {
        while (n + 1 < sizeof r->head && !strstr(r->head, "\r\n\r\n") && recv(fd, r->head + n, 1, 0) == 1) r->head[++n] = 0;
        if (!strstr(r->head, "\r\n\r\n")) return;
        r->status = atoi(r->head + 9);
        if (r->status >= 200) break;
        memset(r->head, 0, sizeof r->head);
        n = 0;
    }
    r->first_ms = koe_clock_ms() - start_ms;
    const char *length = header(r, "Content-Length");
    const size_t wanted = length ? strtoul(length, NULL, 10) : SIZE_MAX;
    const bool chunked = header(r, "Transfer-Encoding") != NULL;
    char block[65536];
    const bool bodyless = is_head || r->status == 204 || r->status == 304;
    while (!bodyless && r->body.n < wanted && !(chunked && ends_chunks(&r->body))) {
        const size_t room = wanted - r->body.n < sizeof block ? wanted - r->body.n : sizeof block;
        const ssize_t got = recv(fd, block, room, 0);
        if (got <= 0) break;
        koe_buf_add(&r->body, block, (size_t)got);
    }
    r->all_ms = koe_clock_ms() - start_ms;
    r->whole = bodyless || (chunked ? dechunk(&r->body) : length && r->body.n == wanted);
    koe_buf_addc(&r->body, 0);
    r->body.n--;
}

static inline void read_reply(int fd, reply *r, bool is_head) { read_reply_since(fd, r, is_head, koe_clock_ms()); }

static inline reply ask(const server *s, const char *method, const char *path, const char *headers, const char *body)
{
    reply r;
    const int fd = dial(s);
    const double start_ms = koe_clock_ms();
    send_request(fd, method, path, headers, body);
    read_reply_since(fd, &r, strcmp(method, "HEAD") == 0, start_ms);
    close(fd);
    return r;
}
#define get(s, path) ask(s, "GET", path, NULL, NULL)
#define post(s, path, body) ask(s, "POST", path, NULL, body)
#define speak(s, body) ask(s, "POST", "/v1/audio/speech", NULL, body)

/* Fails unless the reply has this status and, if it is not NULL, this text in its body. Frees it. */
static inline void expect_reply_at(const char *file, int line, reply r, int status, const char *piece)
{
    if (r.status != status || (piece && (!r.body.data || !strstr(r.body.data, piece)))) {
        print_error("%s:%d: %d, want %d; body: %.600s; want: %s\n", file, line, r.status, status, r.body.data ? r.body.data : "", piece ? piece : "");
        reply_free(&r);
        fail();
    }
    reply_free(&r);
}
#define expect_reply(r, status, piece) expect_reply_at(__FILE__, __LINE__, r, status, piece)

/* The same for an error: OpenAI's shape with all four keys, this code and, if it is not NULL, this param. */
static inline void expect_problem_at(const char *file, int line, reply r, int status, const char *code, const char *param)
{
    json_t *j = json_loads(r.body.data ? r.body.data : "", 0, NULL), *e = json_object_get(j, "error");
    const char *got_code = json_string_value(json_object_get(e, "code")), *got_param = json_string_value(json_object_get(e, "param"));
    const bool shape = json_is_string(json_object_get(e, "message")) && json_is_string(json_object_get(e, "type")) &&
                       json_object_get(e, "param") && json_object_get(e, "code");
    const bool right = r.status == status && shape && got_code && strcmp(got_code, code) == 0 && (!param || (got_param && strcmp(got_param, param) == 0));
    if (!right) print_error("%s:%d: %d %s, want %d %s %s\n", file, line, r.status, r.body.data ? r.body.data : "", status, code, param ? param : "");
    json_decref(j);
    reply_free(&r);
    if (!right) fail();
}
#define expect_problem(r, status, code, param) expect_problem_at(__FILE__, __LINE__, r, status, code, param)
static inline void pause_ms(int ms) { nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000L }, NULL); }
/* A loop without a body that ends when the condition holds, or when time is over: what is wanted is asserted behind it. */
#define WAIT_UNTIL(condition) for (const double end_ms_ = koe_clock_ms() + WAIT_S * 1000; koe_clock_ms() < end_ms_ && !(condition); pause_ms(10))

/* A number in the JSON of GET /status, by the names on the way: "queue", "parked"; "cache.redis", "hits". true is 1. */
static inline double status_of(const server *s, const char *part, const char *name)
{
    char parts[64];
    reply r = get(s, "/status");
    json_t *j = json_loads(r.body.data ? r.body.data : "", 0, NULL);
    const json_t *v = j;
    char *rest = NULL;
    snprintf(parts, sizeof parts, "%s", part);
    for (const char *p = strtok_r(parts, ".", &rest); p; p = strtok_r(NULL, ".", &rest)) v = json_object_get(v, p);
    v = json_object_get(v, name);
    const double value = json_is_true(v) ? 1 : json_number_value(v);
    json_decref(j);
    reply_free(&r);
    return value;
}

static inline bool comes_to(const server *s, const char *part, const char *name, double wanted)
{
    bool is = false;
    WAIT_UNTIL(is = status_of(s, part, name) == wanted) {}
    return is;
}

/* Whether a request of these headers gets this status. */
static inline bool gets(const server *s, const char *method, const char *path, const char *headers, const char *body, int status)
{
    reply r = ask(s, method, path, headers, body);
    const bool is = r.status == status;
    reply_free(&r);
    return is;
}

/* Whether the answer to GET has this piece. */
static inline bool says(const server *s, const char *path, const char *piece)
{
    reply r = get(s, path);
    const bool there = r.body.data && strstr(r.body.data, piece);
    reply_free(&r);
    return there;
}

#endif
