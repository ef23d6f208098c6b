/* Requests that are none: whoever notices, libmicrohttpd or we, the answer is an error as clients know it, and the connection ends. */
#include "server.h"

enum { LARGE = 100000, NAMES = 5000 };

typedef struct broken {
    const char *request; /* @: LARGE letters, #: as many as names of a query fit 16 KB */
    int status;
    const char *code;
} broken;

#define POST "POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
#define BODY "{\"input\": \"Hi.\"}" /* 16 bytes */

static const broken cases[] = {
    { "NONSENSE / \r\n\r\n", 400, "bad_request" },
    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http_version_not_supported" },
    { "GET /health HTTP/9.9\r\nHost: x\r\n\r\n", 505, "http_version_not_supported" },
    { "GET /health HTTP/1.1\r\nHost: x\r\nNoColon\r\n\r\n", 400, "bad_request" },
    { "GET /health HTTP/1.1\r\nHost: x\r\nName : value\r\n\r\n", 400, "bad_request" },
    { "GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "bad_request" },
    { "GET /@ HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long" },
    { "GET /health HTTP/1.1\r\nHost: x\r\nX: @\r\n\r\n", 431, "headers_too_large" },
    { "GET /health?# HTTP/1.1\r\nHost: x\r\n\r\n", 431, "headers_too_large" },
    { POST "Content-Length: abc\r\n\r\n" BODY, 400, "bad_request" },
    { POST "Content-Length: -16\r\n\r\n" BODY, 400, "bad_request" },
    { POST "Content-Length: 99999999999999999999999\r\n\r\n" BODY, 413, "body_too_large" },
    { POST "Content-Length: 2\r\nContent-Length: 16\r\n\r\n" BODY, 400, "bad_request" },
    { POST "Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" BODY "\r\n0\r\n\r\n", 400, "bad_request" },
    { POST "Content-Length: 16\r\nTransfer-Encoding : chunked\r\n\r\n" BODY, 400, "bad_request" },
    { POST "Transfer-Encoding: gzip\r\n\r\n" BODY, 400, "bad_request" },
    { POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n" BODY, 400, "bad_request" },
    { POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}more\r\n0\r\n\r\n", 400, "bad_request" },
};

static void send_case(int fd, const char *request)
{
    koe_buf b = { 0 };
    for (const char *p = request; *p; p++)
        for (int i = 0; i < (*p == '@' ? LARGE : *p == '#' ? NAMES : 1); i++) koe_buf_adds(&b, *p == '@' ? "a" : *p == '#' ? "a&" : (char[]){ *p, 0 });
    send_all(fd, b.data, b.n); /* the server may have heard enough before all of it */
    koe_buf_free(&b);
}

static void check_case(const server *s, const broken *c)
{
    reply r;
    const int fd = dial(s);
    send_case(fd, c->request);
    read_reply(fd, &r, false);
    const char *type = header(&r, "Content-Type");
    if (!type || strcmp(type, "application/json") != 0 || !r.whole) fail_msg("%zu: %d, Content-Type: %s", (size_t)(c - cases), r.status, type ? type : "(none)");
    const char *connection = header(&r, "Connection");
    if (!connection || strcasecmp(connection, "close") != 0) fail_msg("%zu: Connection: %s", (size_t)(c - cases), connection ? connection : "(none)");
    if (recv(fd, (char[1]){ 0 }, 1, 0) > 0) fail_msg("%zu: more than one answer", (size_t)(c - cases));
    expect_problem(r, c->status, c->code, NULL);
    close(fd);
}

static void test_broken(void **state)
{
    (void)state;
    server s;
    start_server(&s, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_case(&s, &cases[i]);
    stop_server(&s);
}

/* After a good request on the same connection too. */
static void test_broken_later(void **state)
{
    (void)state;
    server s;
    start_server(&s, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reply r;
        const int fd = dial(&s);
        send_request(fd, "GET", "/health", NULL, NULL);
        read_reply(fd, &r, false);
        expect_reply(r, 200, "healthy");
        send_case(fd, cases[i].request);
        read_reply(fd, &r, false);
        expect_problem(r, cases[i].status, cases[i].code, NULL);
        close(fd);
    }
    stop_server(&s);
}

/* What is odd but allowed. */
static void test_odd(void **state)
{
    (void)state;
    server s;
    static const char *const good[] = {
        "GET http://somewhere:80/v1/health HTTP/1.1\r\nHost: somewhere\r\n\r\n",
        "\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /health HTTP/1.0\r\n\r\n",
        "POST /dev/phonemize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n1C\r\n{\"text\":\"a\",\"language\":\"en\"}\r\n0\r\n\r\n",
    };
    start_server(&s, NULL);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        reply r;
        const int fd = dial(&s);
        send_all(fd, good[i], strlen(good[i]));
        read_reply(fd, &r, false);
        expect_reply(r, 200, NULL);
        close(fd);
    }
    stop_server(&s);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_broken), cmocka_unit_test(test_broken_later), cmocka_unit_test(test_odd) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
