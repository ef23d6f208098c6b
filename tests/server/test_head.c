/* What careless and hostile clients put into the head of a request, and into the names that errors quote. */
#include "server.h"

static const char hello[] = "{\"input\": \"Hi.\", \"response_format\": \"pcm\"}";

/* Every path that a client builds from a base URL with or without /v1, twice, or with one slash too many. */
static void test_paths(void **state)
{
    (void)state;
    server s;
    static const char *const speech[] = { "//v1/audio/speech", "/v1//audio/speech", "/v1/v1/audio/speech", "/v1/audio/speech//", "/v1/v1/audio/speech/v1/audio/speech" };
    start_server(&s, NULL);
    for (size_t i = 0; i < sizeof speech / sizeof *speech; i++) expect_reply(post(&s, speech[i], hello), 200, NULL);
    expect_reply(get(&s, "http://localhost/v1/models"), 200, "\"object\":\"list\"");
    stop_server(&s);
}

/* What an error quotes may be no text, or be cut within a character: the client hears of it all the same. */
static void test_quotes(void **state)
{
    (void)state;
    server s;
    static const char *const fields[] = { "model", "response_format", "lang", "lang_code", "stream_format", "latency", "voice" };
    start_server(&s, NULL);
    expect_problem(get(&s, "/%ff"), 404, "not_found", NULL);
    expect_problem(get(&s, "/v1/models/%c3%28"), 404, "model_not_found", "model");
    expect_problem(ask(&s, "POST", "/v1/audio/speech", "Content-Type: text/\xff\r\n", "x"), 415, "unsupported_media_type", NULL);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (size_t shift = 0; shift < 4; shift++) {
            char body[600];
            size_t n = (size_t)snprintf(body, sizeof body, "{\"input\": \"x\", \"%s\": \"%.*s", fields[i], (int)shift, "aaa");
            for (size_t k = 0; k < 100; k++) n += (size_t)snprintf(body + n, sizeof body - n, "\xe2\x82\xac");
            snprintf(body + n, sizeof body - n, "\"}");
            reply r = speak(&s, body);
            assert_true(r.status == 400 || r.status == 404);
            expect_problem(r, r.status, r.status == 404 ? "model_not_found" : i == 6 ? "voice_not_found" : "invalid_value", fields[i]);
        }
    expect_problem(speak(&s, "{\"input\": \"x\", \"voice\": {\"id\": 5}}"), 400, "invalid_type", "voice");
    expect_problem(speak(&s, "{\"input\": \"x\", \"seed\": 1.5}"), 400, "invalid_type", "seed");
    stop_server(&s);
}

/* A document that is wrong is the client's business, and it hears where. */
static void test_ssml(void **state)
{
    (void)state;
    server s;
    start_server(&s, "--fallback", "missing,language,overloaded", NULL);
    reply r = speak(&s, "{\"input\": \"<speak>One <b>two</speak>\"}");
    assert_non_null(strstr(r.body.data, "line 1, column"));
    expect_problem(r, 400, "invalid_value", "input");
    expect_problem(speak(&s, "{\"input\": \"no document\", \"ssml\": true}"), 400, "invalid_value", "input");
    stop_server(&s);
}

/* Whether the log, of which more is read, has so many lines. */
static bool has_lines(const server *s, char *out, size_t cap, int lines)
{
    const size_t n = strlen(out);
    const ssize_t got = read(s->fd[2], out + n, cap - 1 - n);
    out[n + (got > 0 ? (size_t)got : 0)] = 0;
    for (const char *p = out; *p; p++) lines -= *p == '\n';
    return lines <= 0;
}

/* A request is one line of the log, whatever its path and method are. */
static void test_log(void **state)
{
    (void)state;
    static const char *const formats[] = { "text", "json" };
    static const char *const paths[] = { "/%0akoe:%20fake", "/%1b[31m%7f", "/%ff%fe", "/v1/models/%c2%9b31m" };
    char log[16384];
    for (size_t f = 0; f < 2; f++) {
        server s;
        start_server_in(&s, new_folder(), (const char *const[]){ "--log-format", formats[f], NULL });
        for (size_t i = 0; i < 4; i++) expect_problem(get(&s, paths[i]), 404, i == 3 ? "model_not_found" : "not_found", NULL);
        expect_reply(ask(&s, "G\x1b[1mT", "/health", NULL, NULL), 405, NULL);
        log[0] = 0; /* a line is written when the client has its reply */
        WAIT_UNTIL(has_lines(&s, log, sizeof log, 5)) {}
        pause_ms(200);
        has_lines(&s, log, sizeof log, 6);
        int lines = 0;
        for (const char *p = log; *p; p++) {
            lines += *p == '\n';
            if ((*p < ' ' && *p != '\n') || *p > '~') fail_msg("byte %02x in the log: %s", (unsigned char)*p, log);
        }
        if (lines != 5) fail_msg("%d lines, not 5: %s", lines, log);
        stop_server(&s);
    }
}

/* Without a key nothing of a body is kept, and who asks first need not send it. */
static void test_strangers(void **state)
{
    (void)state;
    server s;
    reply r;
    start_server(&s, "--api-key", "sesame", NULL);
    int fd = dial(&s);
    send_request(fd, "POST", "/v1/audio/speech", "Expect: 100-continue\r\nContent-Length: 1000\r\n", NULL);
    read_reply(fd, &r, false);
    expect_problem(r, 401, "missing_api_key", NULL);
    close(fd);
    fd = dial(&s);
    send_request(fd, "POST", "/v1/nothing", "Expect: 100-continue\r\nContent-Length: 1000\r\n", NULL);
    read_reply(fd, &r, false);
    expect_problem(r, 404, "not_found", NULL);
    close(fd);
    enum { N = 12, BYTES = 3 << 20 };
    int many[N];
    char *block = calloc(1, BYTES);
    for (int i = 0; i < N; i++) {
        many[i] = dial(&s);
        send_request(many[i], "POST", "/v1/audio/speech", "Content-Type: application/json\r\nContent-Length: 4000000\r\n", NULL);
        send_all(many[i], block, BYTES);
    }
    pause_ms(200);
    r = ask(&s, "GET", "/status", "Authorization: Bearer sesame\r\n", NULL);
    json_t *j = json_loads(r.body.data, 0, NULL);
    const double resident = json_number_value(json_object_get(json_object_get(j, "machine"), "resident_bytes"));
    json_decref(j);
    reply_free(&r);
    static bool sanitized;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    sanitized = true; /* their shadow is resident, too */
#endif
    if (!sanitized && resident > 70e6) fail_msg("%g MB resident with %d bodies of 3 MB that nobody wants", resident / 1e6, N);
    for (int i = 0; i < N; i++) close(many[i]);
    free(block);
    stop_server(&s);
}

/* A proxy that sends its X-Forwarded-For behind the client's own: the client cannot choose its address. */
static void test_forwarded_twice(void **state)
{
    (void)state;
    server s;
    start_server(&s, "--trusted-proxies", "127.0.0.1", "--rate-requests", "1", NULL);
    for (int i = 0; i < 2; i++) {
        char head[200];
        snprintf(head, sizeof head, "X-Forwarded-For: 10.0.0.%d\r\nX-Forwarded-For: 192.0.2.7\r\n", i + 1);
        reply r = ask(&s, "POST", "/v1/audio/speech", head, hello);
        if (i == 0) expect_reply(r, 200, NULL);
        else expect_problem(r, 429, "rate_limit_exceeded", NULL);
    }
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 192.0.2.8\r\n", hello), 200, NULL);
    stop_server(&s);
}

/* What a format does not have is said with its name, before any speech is made. */
static void test_rates(void **state)
{
    (void)state;
    server s;
    static const struct {
        const char *more, *param;
    } wrong[] = { { "\"response_format\": \"opus\", \"sample_rate\": 22050", "sample_rate" }, { "\"response_format\": \"mp3\", \"bitrate\": 512000", "bitrate" },
                  { "\"response_format\": \"wav\", \"bitrate\": 64000", "bitrate" }, { "\"response_format\": \"mp3\", \"sample_rate\": 37000", "sample_rate" } };
    char body[200];
    start_server(&s, NULL);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(body, sizeof body, "{\"input\": \"Not a word of it.\", %s}", wrong[i].more);
        expect_problem(speak(&s, body), 400, "invalid_value", wrong[i].param);
    }
    assert_true(status_of(&s, "cache", "misses") == 0); /* no job was made */
    expect_reply(speak(&s, "{\"input\": \"Hi.\", \"response_format\": \"wav\", \"sample_rate\": 37000}"), 200, NULL);
    stop_server(&s);
}

/* A body that does not come is not waited for, and the client hears so. */
static void test_timeout(void **state)
{
    (void)state;
    server s;
    reply r;
    start_server(&s, "--request-timeout", "1", NULL);
    const int fd = dial(&s);
    send_request(fd, "POST", "/v1/audio/speech", "Content-Type: application/json\r\nContent-Length: 100\r\n", NULL);
    send_all(fd, "{", 1);
    read_reply(fd, &r, false);
    assert_true(r.whole);
    assert_string_equal(header(&r, "Connection"), "close");
    expect_problem(r, 408, "request_timeout", NULL);
    char c;
    assert_true(recv(fd, &c, 1, 0) <= 0);
    close(fd);
    stop_server(&s);
}

/* A body may begin with a byte order mark; it may not be packed. */
static void test_body(void **state)
{
    (void)state;
    server s;
    start_server(&s, NULL);
    expect_reply(speak(&s, "\xef\xbb\xbf{\"input\": \"Hi.\", \"response_format\": \"pcm\"}"), 200, NULL);
    expect_problem(speak(&s, "\xef\xbb\xbf"), 400, "invalid_json", NULL);
    expect_problem(ask(&s, "POST", "/v1/audio/speech", "Content-Encoding: gzip\r\n", "\x1f\x8b\b"), 415, "unsupported_encoding", NULL);
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "Content-Encoding: identity\r\n", hello), 200, NULL);
    stop_server(&s);
}

/* "*" matches what there is; no answer is there before it was made. */
static void test_any_tag(void **state)
{
    (void)state;
    server s;
    start_server(&s, NULL);
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "If-None-Match: *\r\n", hello), 200, NULL);
    reply r = speak(&s, hello);
    char head[100];
    snprintf(head, sizeof head, "If-None-Match: \"x\", %.60s\r\n", header(&r, "ETag") + strlen("W/")); /* compared weakly */
    reply_free(&r);
    expect_reply(ask(&s, "POST", "/v1/audio/speech", head, hello), 304, NULL);
    r = get(&s, "/v1/audio/speech/ws");
    assert_string_equal(header(&r, "Upgrade"), "websocket");
    expect_problem(r, 426, "upgrade_required", NULL);
    stop_server(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),   cmocka_unit_test(test_quotes),    cmocka_unit_test(test_ssml),            cmocka_unit_test(test_log),
        cmocka_unit_test(test_strangers), cmocka_unit_test(test_forwarded_twice), cmocka_unit_test(test_rates), cmocka_unit_test(test_body), cmocka_unit_test(test_timeout), cmocka_unit_test(test_any_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
