/* Keys, rates, admission, proxies, settings. */
#include "server.h"

#include "base/digest.h"

static const char hello[] = "{\"input\": \"Hi.\", \"response_format\": \"pcm\"}";

static reply speak_as(const server *s, const char *headers) { return ask(s, "POST", "/v1/audio/speech", headers, hello); }

static void test_api_key(void **state)
{
    (void)state;
    server s;
    start_server(&s, "--api-key", "sesame", NULL);
    expect_problem(speak(&s, hello), 401, "missing_api_key", NULL);
    expect_problem(speak_as(&s, "Authorization: Bearer wrong\r\n"), 401, "invalid_api_key", NULL);
    expect_reply(speak_as(&s, "Authorization: Bearer sesame\r\n"), 200, NULL);
    expect_reply(speak_as(&s, "X-Api-Key: sesame\r\n"), 200, NULL);
    expect_reply(get(&s, "/v1/audio/voices"), 200, NULL); /* Open WebUI sends no key there */
    expect_reply(get(&s, "/v1/models"), 200, NULL);
    expect_reply(get(&s, "/health"), 200, NULL);
    expect_problem(get(&s, "/status"), 401, "missing_api_key", NULL);
    stop_server(&s);
}

static char *key_line(const char *name, const char *token, const char *more)
{
    static char line[2][400];
    static int turn;
    char sha256[KOE_DIGEST_TEXT];
    koe_digest d;
    turn = !turn;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    koe_digest_add(&d, token, strlen(token));
    koe_digest_text(&d, sha256);
    snprintf(line[turn], sizeof line[turn], "{\"name\": \"%s\", \"sha256\": \"%s\"%s}", name, sha256, more);
    return line[turn];
}

static void write_keys(const char *home, const char *a, const char *b)
{
    char text[1000];
    snprintf(text, sizeof text, "{\"keys\": [%s, %s]}", a, b);
    write_file(home, "keys.json", text, strlen(text));
}

static void test_key_file(void **state)
{
    (void)state;
    server s;
    char *home = new_folder(), *path = koe_path_join(home, "keys.json");
    write_keys(home, key_line("web", "alpha", ", \"requests_per_minute\": 2"), key_line("boss", "beta", ", \"scopes\": [\"speech\", \"admin\"]"));
    start_server_in(&s, home, (const char *const[]){ "--keys", path, "--access-log", "off", NULL });
    for (int i = 0; i < 2; i++) expect_reply(speak_as(&s, "Authorization: Bearer alpha\r\n"), 200, NULL);
    reply r = speak_as(&s, "Authorization: Bearer alpha\r\n");
    assert_true(atoi(header(&r, "Retry-After")) >= 20 && atoi(header(&r, "Retry-After")) <= 30);
    expect_problem(r, 429, "rate_limit_exceeded", NULL);
    expect_reply(speak_as(&s, "Authorization: Bearer beta\r\n"), 200, NULL);
    expect_problem(ask(&s, "DELETE", "/cache", "Authorization: Bearer alpha\r\n", NULL), 403, "forbidden", NULL);
    expect_reply(ask(&s, "DELETE", "/cache", "Authorization: Bearer beta\r\n", NULL), 200, NULL);
    write_keys(home, key_line("web", "gamma", ""), key_line("boss", "beta", "")); /* read again at SIGHUP */
    kill(s.pid, SIGHUP);
    bool reloaded = false;
    for (int i = 0; i < 100 && !reloaded; i++) {
        r = speak_as(&s, "Authorization: Bearer gamma\r\n");
        reloaded = r.status == 200;
        reply_free(&r);
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
    assert_true(reloaded);
    expect_problem(speak_as(&s, "Authorization: Bearer alpha\r\n"), 401, "invalid_api_key", NULL);
    free(path);
    stop_server(&s);
}

static void test_rates(void **state)
{
    (void)state;
    server s;
    start_server(&s, "--rate-characters", "20", "--trusted-proxies", "127.0.0.1", NULL);
    const char *body = "{\"input\": \"Sixteen letters.\", \"response_format\": \"pcm\"}";
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 10.0.0.1\r\n", body), 200, NULL);
    expect_problem(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 10.0.0.1\r\n", body), 429, "rate_limit_exceeded", NULL);
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n", body), 200, NULL);
    expect_problem(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 10.0.0.9, 10.0.0.2\r\n", body), 429, "rate_limit_exceeded", NULL);
    stop_server(&s);
}

/* One job at a time: the second stream is refused at once, with the time to come again. */
static void test_admission(void **state)
{
    (void)state;
    server s;
    koe_buf body = { 0 };
    koe_buf_adds(&body, "{\"response_format\": \"wav\", \"input\": \"");
    for (int i = 0; i < 500; i++) koe_buf_printf(&body, "Sentence number %d is as long as the others. ", i);
    koe_buf_adds(&body, "\"}");
    start_server(&s, "--max-jobs", "1", NULL);
    const int fd = dial(&s);
    char first;
    send_request(fd, "POST", "/v1/audio/speech", NULL, body.data);
    assert_int_equal(recv(fd, &first, 1, MSG_PEEK), 1);
    reply r = speak(&s, hello);
    assert_true(r.all_ms < 1000);
    assert_true(atoi(header(&r, "Retry-After")) >= 1);
    expect_problem(r, 503, "overloaded", NULL);
    close(fd);
    bool again = false;
    for (int i = 0; i < 200 && !again; i++) {
        r = speak(&s, hello);
        again = r.status == 200;
        reply_free(&r);
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
    assert_true(again);
    koe_buf_free(&body);
    stop_server(&s);
}

static void test_settings(void **state)
{
    (void)state;
    char *home = new_folder(), *path = koe_path_join(home, "koe.json");
    write_file(home, "koe.json", "{\"port\": 1234, \"max_text\": 77}", 30);
    setenv("KOKORO_WORKERS", "3", 1);
    expect(run_koe("config", "--check", "--home", home, "--config", path), 0, "max-text                     77\n", NULL);
    expect(run_koe("config", "--check", "--home", home, "--config", path, "--max-text", "78"), 0, "max-text                     78\n", NULL);
    expect(run_koe("config", "--check", "--home", home), 0, "workers                      3\n", NULL);
    setenv("KOKORO_WORKERS", "many", 1);
    expect_error(run_koe("config", "--check", "--home", home), 1, "KOKORO_WORKERS is 'many'");
    unsetenv("KOKORO_WORKERS");
    write_file(home, "koe.json", "{\"prot\": 1}", 11);
    expect_error(run_koe("config", "--check", "--config", path), 1, "no setting 'prot'");
    write_file(home, "koe.json", "{\"port\": [1]}", 13);
    expect_error(run_koe("config", "--check", "--config", path), 1, "port must be a text");
    free(path);
    remove_folder(home);
}

static void test_document(void **state)
{
    (void)state;
    koe_buf text = { 0 };
    char *path = koe_path_join(getenv("KOE_TEST_DATA"), "../../docs/configuration.md");
    assert_int_equal(koe_file_read(&text, path, 1 << 20, NULL), KOE_OK);
    result r = run_koe("config", "--document");
    if (strcmp(r.out.data, text.data) != 0) fail_msg("docs/configuration.md is old: koe config --document > docs/configuration.md");
    result_free(&r);
    koe_buf_free(&text);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_key),   cmocka_unit_test(test_key_file), cmocka_unit_test(test_rates),
        cmocka_unit_test(test_admission), cmocka_unit_test(test_settings), cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
