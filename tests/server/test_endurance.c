/* What takes its time: clients that dawdle, a thousand at once, memory over many requests. */
#include <sys/resource.h>

#include "server.h"

/* Whether the server has closed the connection. */
static bool is_closed(int fd)
{
    char c;
    struct pollfd p = { fd, POLLIN, 0 };
    return poll(&p, 1, 0) > 0 && recv(fd, &c, 1, 0) <= 0;
}

static void test_slow_loris(void **state)
{
    (void)state;
    server s;
    start_server(&s, "--request-timeout", "1", "--idle-timeout", "1", NULL);
    static const char *const starts[] = { "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                                          "POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" };
    for (size_t i = 0; i < 2; i++) {
        const int fd = dial(&s);
        assert_true(send_all(fd, starts[i], strlen(starts[i])));
        bool closed = false;
        WAIT_UNTIL(closed = !send_all(fd, "a", 1) || is_closed(fd)) pause_ms(100);
        assert_true(closed);
        close(fd);
    }
    expect_reply(get(&s, "/health"), 200, NULL);
    stop_server(&s);
}

/* A thousand at once: each is spoken or refused, whole in either case. */
static void test_thousand(void **state)
{
    (void)state;
    enum { N = 1000 };
    static int fd[N];
    server s;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const int n = limit.rlim_cur > N + 100 ? N : (int)limit.rlim_cur - 100;
    int spoken = 0, refused = 0;
    start_server(&s, "--max-jobs", "300", NULL);
    for (int i = 0; i < n; i++) {
        char body[128];
        fd[i] = dial(&s);
        snprintf(body, sizeof body, "{\"input\": \"Number %d.\", \"response_format\": \"pcm\"}", i);
        send_request(fd[i], "POST", "/v1/audio/speech", NULL, body);
    }
    for (int i = 0; i < n; i++) {
        reply r;
        read_reply(fd[i], &r, false);
        assert_true(r.whole);
        if (r.status == 200 && r.body.n > 1000) spoken++;
        else if (r.status == 503 && header(&r, "Retry-After")) refused++;
        else fail_msg("%d: %s", r.status, r.body.data);
        reply_free(&r);
        close(fd[i]);
    }
    assert_int_equal(spoken + refused, n);
    assert_true(spoken > 0);
    stop_server(&s);
}

/* Memory does not grow with the number of requests. */
static void test_no_leak(void **state)
{
    (void)state;
    server s;
    enum { N = 20000 };
    double before = 0;
    start_server(&s, "--cache-memory", "1", NULL);
    for (int i = 0; i < N; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"input\": \"Hi %d.\", \"response_format\": \"%s\"%s}", i % 500, i % 3 ? "pcm" : "wav",
                 i % 7 ? "" : ", \"stream_format\": \"sse\"");
        reply r = i % 5 ? speak(&s, body) : speak(&s, "{\"input\": ");
        assert_true(r.status == 200 || r.status == 400);
        reply_free(&r);
        if (i == N / 4) before = status_of(&s, "machine", "resident_bytes");
    }
    const double after = status_of(&s, "machine", "resident_bytes");
    if (!getenv("ASAN_OPTIONS") && after > before + 8e6) fail_msg("%.1f MB, then %.1f MB", before / 1e6, after / 1e6);
    stop_server(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_slow_loris), cmocka_unit_test(test_thousand), cmocka_unit_test(test_no_leak) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
