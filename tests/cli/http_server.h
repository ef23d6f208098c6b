/* http_server.h - a small HTTP/1.1 server on a loopback port of the kernel's choice, for tests of downloads. It serves a table of
 * pages and can misbehave in the ways networks do. One request at a time, one request for each connection. */
#ifndef TESTS_CLI_HTTP_SERVER_H
#define TESTS_CLI_HTTP_SERVER_H
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "command.h"

typedef struct page {
    const char *path; /* "/example.org/file" */
    const char *body;
    size_t n;
    const char *redirect; /* Location: of a 302 */
    int status; /* 0: 200 */
    int n_cut; /* so many answers break off in the middle */
    bool no_range; /* resuming is refused by sending all of it */
    bool no_length; /* no Content-Length: the end of the connection is the end */
    int n_failing; /* so many answers are 503 */
} page;

typedef struct http_server {
    page *page;
    size_t n_page;
    int fd;
    int port;
    atomic_int n_requests, n_ranges; /* all, and those that asked for a part */
    pthread_t thread;
} http_server;

static inline void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        const ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w <= 0) return;
        p += w;
        n -= (size_t)w;
    }
}

static inline void send_text(int fd, const char *text) { send_all(fd, text, strlen(text)); }

static inline void send_page(http_server *s, int fd, page *p, const char *request)
{
    char head[600];
    size_t from = 0;
    const char *range = strcasestr(request, "\r\nRange: bytes=");
    if (p->n_failing > 0) {
        p->n_failing--;
        send_text(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    if (p->redirect || p->status >= 400) {
        snprintf(head, sizeof head, "HTTP/1.1 %d X\r\n%s%s%sContent-Length: 5\r\nConnection: close\r\n\r\noops\n",
                 p->redirect ? 302 : p->status, p->redirect ? "Location: " : "", p->redirect ? p->redirect : "",
                 p->redirect ? "\r\n" : "");
        send_text(fd, head);
        return;
    }
    if (range && !p->no_range) {
        from = (size_t)strtoull(range + strlen("\r\nRange: bytes="), NULL, 10);
        s->n_ranges++;
        if (from >= p->n) {
            send_text(fd, "HTTP/1.1 416 Range\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        snprintf(head, sizeof head, "HTTP/1.1 206 Partial\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n", from,
                 p->n - 1, p->n, p->n - from);
    } else if (p->no_length) {
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\n");
    } else {
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n", p->n);
    }
    send_text(fd, head);
    send_text(fd, "Connection: close\r\n\r\n");
    size_t n = p->n - from;
    if (p->n_cut > 0) {
        p->n_cut--;
        n = n / 2;
    }
    send_all(fd, p->body + from, n);
}

static inline void answer(http_server *s, int fd)
{
    char request[8192];
    size_t n = 0;
    while (n + 1 < sizeof request) {
        const ssize_t r = recv(fd, request + n, sizeof request - n - 1, 0);
        if (r <= 0) return;
        n += (size_t)r;
        request[n] = 0;
        if (strstr(request, "\r\n\r\n")) break;
    }
    s->n_requests++;
    char path[1024] = "";
    if (sscanf(request, "GET %1023s HTTP/1.1", path) != 1) return;
    for (size_t i = 0; i < s->n_page; i++)
        if (strcmp(s->page[i].path, path) == 0) {
            send_page(s, fd, &s->page[i], request);
            return;
        }
    send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

static inline void *serve_pages(void *arg)
{
    http_server *s = arg;
    for (;;) {
        const int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) return NULL; /* server_stop() has shut the socket down */
        answer(s, fd);
        shutdown(fd, SHUT_WR);
        close(fd);
    }
}

/* Serves the pages (which stay the caller's) until server_stop(). */
static inline void server_start(http_server *s, page *pages, size_t n)
{
    *s = (http_server){ .page = pages, .n_page = n };
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &size), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve_pages, s), 0);
}

static inline void server_stop(http_server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}
#endif
