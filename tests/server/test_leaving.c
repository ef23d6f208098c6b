/* Clients that leave while nothing is written: noticed at once, and not mistaken for those who only have nothing more to say. */
#include "children.h"
#include "socket.h"

/* About 900 seconds of speech. */
static char *long_text(void)
{
    koe_buf b = { 0 };
    for (int i = 0; i < 400; i++) koe_buf_printf(&b, "This is sentence number %d of a text that takes its time. ", i);
    return b.data;
}

/* Reads what comes until there was some sound and nothing comes for a while. */
static size_t drain(int fd)
{
    char block[65536];
    size_t n = 0;
    struct pollfd p = { fd, POLLIN, 0 };
    while (poll(&p, 1, n > 1000 ? 300 : WAIT_S * 1000) > 0) {
        const ssize_t got = recv(fd, block, sizeof block, MSG_DONTWAIT);
        if (got <= 0) fail_msg("the stream ended after %zu bytes", n);
        n += (size_t)got;
    }
    return n;
}

static void ask_over_http(int fd, const char *more)
{
    char *text = long_text();
    koe_buf body = { 0 };
    koe_buf_printf(&body, "{%s\"response_format\": \"pcm\", \"voice\": \"builtin\", \"input\": \"%s\"}", more, text);
    send_request(fd, "POST", strstr(more, "captioned") ? "/dev/captioned_speech" : "/v1/audio/speech", NULL, body.data);
    koe_buf_free(&body);
    free(text);
}

static int ask_over_socket(const server *s)
{
    char *text = long_text(), *message = malloc(strlen(text) + 100);
    const int fd = open_socket(s);
    say_json(fd, "{\"type\": \"start\", \"voice\": \"builtin\", \"response_format\": \"pcm\"}");
    sprintf(message, "{\"type\": \"text\", \"text\": \"%s\"}", text);
    say_json(fd, message);
    free(text);
    free(message);
    return fd;
}

/* Milliseconds from close() to the end of the connection on the server's side, while its worker waits for a helper that does nothing. */
static double leave(const server *s, const char *way, bool reset)
{
    const bool socket = strcmp(way, "socket") == 0;
    const int fd = socket ? ask_over_socket(s) : dial(s);
    if (!socket) ask_over_http(fd, way);
    assert_true(recv(fd, (char[1]){ 0 }, 1, 0) == 1);
    signal_children(s, SIGSTOP);
    assert_true(drain(fd) > 1000);
    if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
    const double start_ms = koe_clock_ms();
    close(fd);
    while (status_of(s, "", "connections") > 1 && koe_clock_ms() - start_ms < 3000) {}
    const double took_ms = koe_clock_ms() - start_ms;
    signal_children(s, SIGCONT);
    if (!comes_to(s, "queue", "streams", 0)) fail_msg("%s: still at work", way);
    return took_ms;
}

static void test_noticed_at_once(void **state)
{
    (void)state;
    server s;
    static const char *const ways[] = { "", "\"stream_format\": \"sse\", ", "\"captioned\": 1, ", "socket" };
    start_server(&s, "--workers", "1", NULL);
    expect_reply(speak(&s, "{\"input\": \"Hi.\"}"), 200, NULL);
    if (signal_children(&s, 0) == 0) skip(); /* a kernel without the list of children */
    for (size_t i = 0; i < 2 * sizeof ways / sizeof *ways; i++) {
        double best = 1e9; /* of many, as the machine may be busy */
        for (int k = 0; k < 20 && best > 100; k++) {
            const double ms = leave(&s, ways[i / 2], i % 2);
            if (ms < best) best = ms;
        }
        if (best > 100) fail_msg("%s, %s: %.0f ms", ways[i / 2], i % 2 ? "reset" : "closed", best);
    }
    stop_server(&s);
}

/* A client that closes its own side in mid-stream and goes on listening gets all of it. */
static void test_half_closed(void **state)
{
    (void)state;
    server s;
    start_server(&s, "--workers", "1", NULL);
    static const char *const ways[] = { "\"response_format\": \"pcm\"", "\"response_format\": \"wav\"", "\"stream_format\": \"sse\"" };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        koe_buf body = { 0 };
        reply r, right;
        koe_buf_printf(&body, "{\"voice\": \"builtin\", %s, \"input\": \"", ways[i]);
        for (int k = 0; k < 40; k++) koe_buf_printf(&body, "Sentence %d of way %zu, which is no short one. ", k, i);
        koe_buf_adds(&body, "\"}");
        const int fd = dial(&s);
        send_request(fd, "POST", "/v1/audio/speech", NULL, body.data);
        assert_int_equal(recv(fd, (char[1]){ 0 }, 1, MSG_PEEK), 1);
        shutdown(fd, SHUT_WR);
        read_reply(fd, &r, false);
        assert_true(r.status == 200 && r.whole);
        right = speak(&s, body.data);
        if (i < 2) assert_int_equal(r.body.n, right.body.n);
        else assert_non_null(strstr(r.body.data, "speech.audio.done"));
        reply_free(&r);
        reply_free(&right);
        koe_buf_free(&body);
        close(fd);
    }
    stop_server(&s);
}

/* Who goes away in the middle of a request is let go of, long before the request is late. */
static void test_half_a_request(void **state)
{
    (void)state;
    server s;
    start_server(&s, "--request-timeout", "600", NULL);
    for (int i = 0; i < 40; i++) {
        const int fd = dial(&s);
        if (i % 2) send_request(fd, "POST", "/v1/audio/speech", "Content-Length: 100\r\n", NULL), send_all(fd, "{", 1);
        else send_all(fd, "POST /v1/audio/speech HTTP/1.1\r\nHost:", 38);
        close(fd);
    }
    assert_true(comes_to(&s, "", "connections", 1)); /* who asks */
    stop_server(&s);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_noticed_at_once), cmocka_unit_test(test_half_closed), cmocka_unit_test(test_half_a_request) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
