/* refuse.c - see refuse.h. */
#include "server/refuse.h"

#include <dlfcn.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/str.h"
#include "server/json.h"
#include "server/problem.h"

typedef enum MHD_Result queue_fn(struct MHD_Connection *conn, unsigned status, struct MHD_Response *r);

static queue_fn *theirs;

static void find_theirs(void) { *(void **)&theirs = dlsym(RTLD_NEXT, "MHD_queue_response"); }

enum MHD_Result koe_refuse_not(struct MHD_Connection *conn, unsigned status, struct MHD_Response *r)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_theirs);
    return theirs ? theirs(conn, status, r) : MHD_NO;
}

/* What can be said of a request of which nothing is known but that it was not taken. */
static const struct {
    unsigned status;
    const char *code, *message;
} words[] = {
    { 400, "bad_request", "this is not HTTP as it should be: the request's line, a line of its head, its Content-Length or its chunks are malformed" },
    { 413, "body_too_large", "the body is larger than this server takes" },
    { 414, "uri_too_long", "the request's path and query are longer than this server takes" },
    { 431, "headers_too_large", "the request's head is larger than this server takes" },
    { 505, "http_version_not_supported", "this server speaks HTTP/1.1 and HTTP/1.0" },
    { 0, "internal", "the server could not answer" },
};

static void write_page(koe_buf *out, unsigned status)
{
    size_t i = 0;
    char date[40];
    struct tm t;
    koe_problem p = { 0 };
    while (words[i].status && words[i].status != status) i++;
    koe_problem_set(&p, (int)status, words[i].code, NULL, "%s", words[i].message);
    koe_buf page = { 0 };
    koe_json_add(&page, koe_problem_json(&p));
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&(time_t){ time(NULL) }, &t));
    koe_buf_printf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
                   MHD_get_reason_phrase_for(status), date, page.n, page.n ? page.data : "");
    koe_buf_free(&page);
}

/* What has come is read away: a connection that is closed with bytes unread is reset, and the client may not see the page. */
static void read_away(int fd)
{
    enum { MOST_BLOCKS = 64 };
    char block[16384];
    for (int i = 0; i < MOST_BLOCKS && recv(fd, block, sizeof block, MSG_DONTWAIT) > 0; i++) {}
}

/* libmicrohttpd's earlier answers on this connection have left. Its own page goes nowhere, as the connection is shut before: it would send
 * some of them twice (a wrong Content-Length), others not at all (a query of very many names), and is not prepared for a refusal here. */
enum MHD_Result MHD_queue_response(struct MHD_Connection *conn, unsigned status, struct MHD_Response *html)
{
    koe_buf page = { 0 };
    const union MHD_ConnectionInfo *fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *tls = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    write_page(&page, status);
    if (fd && !page.failed) {
        if (tls && tls->tls_session) (void)!gnutls_record_send(tls->tls_session, page.data, page.n);
        else (void)!send(fd->connect_fd, page.data, page.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        shutdown(fd->connect_fd, SHUT_WR);
        read_away(fd->connect_fd);
        shutdown(fd->connect_fd, SHUT_RD); /* so that libmicrohttpd looks at the connection again, and closes it */
    }
    koe_buf_free(&page);
    return koe_refuse_not(conn, status, html);
}
