/* Keys, rates, admission, proxies, TLS, warming, settings. */
#include <curl/curl.h>
#include <math.h>
#include <zlib.h>

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
    expect_reply(speak_as(&s, "Authorization: bearer  sesame\r\n"), 200, NULL);
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
    start_server_at(&s, home, "--keys", path, NULL);
    const double start_ms = koe_clock_ms();
    for (int i = 0; i < 2; i++) expect_reply(speak_as(&s, "Authorization: Bearer alpha\r\n"), 200, NULL);
    reply r = speak_as(&s, "Authorization: Bearer alpha\r\n");
    assert_in_range(atoi(header(&r, "Retry-After")), fmax(29 - (koe_clock_ms() - start_ms) / 1000, 1), 30);
    expect_problem(r, 429, "rate_limit_exceeded", NULL);
    expect_reply(speak_as(&s, "Authorization: Bearer beta \r\n"), 200, NULL);
    expect_problem(ask(&s, "DELETE", "/cache", "Authorization: Bearer alpha\r\n", NULL), 403, "forbidden", NULL);
    expect_reply(ask(&s, "DELETE", "/cache", "Authorization: Bearer beta\r\n", NULL), 200, NULL);
    write_keys(home, key_line("web", "gamma", ""), key_line("boss", "beta", "")); /* read again at SIGHUP */
    kill(s.pid, SIGHUP);
    bool reloaded = false;
    WAIT_UNTIL(reloaded = gets(&s, "POST", "/v1/audio/speech", "Authorization: Bearer gamma\r\n", hello, 200)) {}
    assert_true(reloaded);
    expect_problem(speak_as(&s, "Authorization: Bearer alpha\r\n"), 401, "invalid_api_key", NULL);
    free(path);
    stop_server(&s);
}

static void test_scopes(void **state)
{
    (void)state;
    server s;
    char *home = new_folder(), *path = koe_path_join(home, "keys.json");
    write_keys(home, key_line("talk", "alpha", ""), key_line("look", "beta", ", \"scopes\": [\"status\"]"));
    start_server_at(&s, home, "--keys", path, NULL);
    expect_reply(speak_as(&s, "Authorization: Bearer alpha\r\n"), 200, NULL);
    expect_problem(speak_as(&s, "Authorization: Bearer beta\r\n"), 403, "forbidden", NULL);
    expect_problem(ask(&s, "GET", "/metrics", "Authorization: Bearer alpha\r\n", NULL), 403, "forbidden", NULL);
    expect_reply(ask(&s, "GET", "/metrics", "Authorization: Bearer beta\r\n", NULL), 200, "koe_uptime_seconds");
    expect_reply(ask(&s, "GET", "/status", "Authorization: Bearer beta\r\n", NULL), 200, NULL);
    expect_problem(ask(&s, "DELETE", "/cache", "Authorization: Bearer beta\r\n", NULL), 403, "forbidden", NULL);
    expect_problem(ask(&s, "DELETE", "/cache", "Authorization: Bearer alpha\r\n", NULL), 403, "forbidden", NULL);
    expect_problem(ask(&s, "DELETE", "/cache", NULL, NULL), 401, "missing_api_key", NULL);
    stop_server(&s);
    home = new_folder();
    static const char *const wrong[] = { ", \"scopes\": [\"speach\"]", ", \"scopes\": \"speech\"", ", \"streams\": -1", ", \"characters_per_day\": \"many\"" };
    free(path);
    path = koe_path_join(home, "keys.json");
    for (size_t i = 0; i < 4; i++) {
        write_keys(home, key_line("talk", "alpha", ""), key_line("look", "beta", wrong[i]));
        expect_error(run_koe("serve", "--port", "0", "--home", home, "--keys", path), 1, "of key 'look'");
    }
    free(path);
    remove_folder(home);
}

/* What koe config makes is a key: the first line is sent by clients, the second stands in the file. */
static void test_new_key(void **state)
{
    (void)state;
    server s;
    char *home = new_folder(), *path = koe_path_join(home, "keys.json"), headers[200];
    result made = run_koe("config", "--new-key", "web");
    assert_int_equal(made.status, 0);
    char *line = strchr(made.out.data, '\n');
    assert_non_null(line);
    *line++ = 0;
    assert_int_equal(strlen(made.out.data), 4 + 48);
    assert_null(strstr(line, made.out.data)); /* only its digest is kept */
    write_keys(home, line, key_line("other", "x", ""));
    start_server_at(&s, home, "--keys", path, NULL);
    snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", made.out.data);
    expect_reply(speak_as(&s, headers), 200, NULL);
    expect_problem(speak_as(&s, "Authorization: Bearer koe_0\r\n"), 401, "invalid_api_key", NULL);
    result_free(&made);
    free(path);
    stop_server(&s);
}

/* A quota of characters a day is not refilled by the minute, nor by a reload. */
static void test_quota(void **state)
{
    (void)state;
    server s;
    char *home = new_folder(), *path = koe_path_join(home, "keys.json");
    const char *body = "{\"input\": \"Sixteen letters.\", \"response_format\": \"pcm\"}";
    write_keys(home, key_line("web", "alpha", ", \"characters_per_day\": 20"), key_line("x", "y", ""));
    start_server_at(&s, home, "--keys", path, NULL);
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "Authorization: Bearer alpha\r\n", body), 200, NULL);
    reply r = ask(&s, "POST", "/v1/audio/speech", "Authorization: Bearer alpha\r\n", body);
    assert_true(atoi(header(&r, "Retry-After")) > 10000);
    expect_problem(r, 429, "insufficient_quota", NULL);
    kill(s.pid, SIGHUP);
    pause_ms(300);
    expect_problem(ask(&s, "POST", "/v1/audio/speech", "Authorization: Bearer alpha\r\n", body), 429, "insufficient_quota", NULL);
    free(path);
    stop_server(&s);
}

/* As many streams of a key at a time as it may have, and one more when one of them has ended. */
static void test_streams(void **state)
{
    (void)state;
    server s;
    koe_buf body = { 0 };
    char *home = new_folder(), *path = koe_path_join(home, "keys.json");
    koe_buf_adds(&body, "{\"response_format\": \"wav\", \"input\": \"");
    for (int i = 0; i < 500; i++) koe_buf_printf(&body, "Sentence number %d is as long as the others. ", i);
    koe_buf_adds(&body, "\"}");
    write_keys(home, key_line("web", "alpha", ", \"streams\": 1"), key_line("x", "y", ""));
    start_server_at(&s, home, "--keys", path, NULL);
    const int fd = dial(&s);
    char first;
    send_request(fd, "POST", "/v1/audio/speech", "Authorization: Bearer alpha\r\n", body.data);
    assert_int_equal(recv(fd, &first, 1, MSG_PEEK), 1);
    expect_problem(speak_as(&s, "Authorization: Bearer alpha\r\n"), 429, "too_many_streams", NULL);
    /* no stream: a slow machine would not keep two */
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "Authorization: Bearer y\r\n", "{\"input\": \"Hi.\", \"stream\": false}"), 200, NULL);
    close(fd);
    bool again = false;
    WAIT_UNTIL(again = gets(&s, "POST", "/v1/audio/speech", "Authorization: Bearer alpha\r\n", hello, 200)) {}
    assert_true(again);
    koe_buf_free(&body);
    free(path);
    stop_server(&s);
}

/* X-Forwarded-For counts only from a trusted proxy, one address or a network of them. */
static void test_proxies(void **state)
{
    (void)state;
    server s;
    const char *body = "{\"input\": \"Sixteen letters.\", \"response_format\": \"pcm\"}";
    start_server(&s, "--rate-characters", "20", NULL); /* nobody is trusted: another name does not help */
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 10.0.0.1\r\n", body), 200, NULL);
    expect_problem(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 10.0.0.2\r\n", body), 429, "rate_limit_exceeded", NULL);
    stop_server(&s);
    start_server(&s, "--rate-characters", "20", "--trusted-proxies", "192.0.2.1, 127.0.0.0/8, 10.9.0.0/16", NULL);
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 203.0.113.5, 10.9.1.1\r\n", body), 200, NULL);
    expect_problem(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 1.1.1.1, 203.0.113.5, 10.9.2.2\r\n", body), 429, "rate_limit_exceeded", NULL);
    expect_reply(ask(&s, "POST", "/v1/audio/speech", "X-Forwarded-For: 203.0.113.6, 10.9.1.1\r\n", body), 200, NULL);
    stop_server(&s);
}

/* The names that other servers' deployments set. */
static void test_env_names(void **state)
{
    (void)state;
    static const char *const names[][3] = {
        { "TTS_PROVIDER", "piper", "provider                     piper\n" },
        { "KOKORO_MODEL_PATH", "/m/k.onnx", "model                        /m/k.onnx\n" },
        { "KOKORO_VOICES_PATH", "/m/voices", "voices                       /m/voices\n" },
        { "KOKORO_SPEAKER", "af_sky", "voice                        af_sky\n" },
        { "KOKORO_THREADS", "3", "threads                      3\n" },
        { "PIPER_MODEL_PATH", "/m/p.onnx", "piper-model                  /m/p.onnx\n" },
        { "PIPER_THREADS", "4", "threads                      4\n" },
        { "MAX_CONCURRENT_JOBS", "9", "max-jobs                     9\n" },
        { "KOKORO_WORKERS", "2", "workers                      2\n" },
        { "KOKORO_CACHE_ENABLED", "false", "cache-memory                 0\n" },
    };
    char *home = new_folder();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv(names[i][0], names[i][1], 1);
        const bool is_missing = strstr(names[i][1], ".onnx") != NULL; /* koe serve would not start */
        expect(run_koe("config", "--check", "--home", home), is_missing, names[i][2], is_missing ? names[i][1] : NULL);
        unsetenv(names[i][0]);
    }
    setenv("KOKORO_THREADS", "3", 1); /* our own name comes before theirs, and the command line before both */
    setenv("KOE_THREADS", "5", 1);
    expect(run_koe("config", "--check", "--home", home), 0, "threads                      5\n", NULL);
    expect(run_koe("config", "--check", "--home", home, "--threads", "6"), 0, "threads                      6\n", NULL);
    unsetenv("KOKORO_THREADS");
    unsetenv("KOE_THREADS");
    remove_folder(home);
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
    double least_ms = r.all_ms; /* of some: other programs may have the cores */
    for (int i = 0; i < 200 && least_ms >= 20; i++) {
        reply_free(&r);
        r = speak(&s, hello);
        if (r.all_ms < least_ms) least_ms = r.all_ms;
    }
    assert_true(least_ms < 20);
    assert_true(atoi(header(&r, "Retry-After")) >= 1);
    expect_problem(r, 503, "overloaded", NULL);
    close(fd);
    bool again = false;
    WAIT_UNTIL(again = gets(&s, "POST", "/v1/audio/speech", NULL, hello, 200)) {}
    assert_true(again);
    koe_buf_free(&body);
    stop_server(&s);
}

static size_t keep(char *bytes, size_t size, size_t n, void *user)
{
    koe_buf_add(user, bytes, size * n);
    return size * n;
}

/* HTTPS by a certificate made here; the client is libcurl. */
static void test_tls(void **state)
{
    (void)state;
    server s;
    char *home = new_folder(), *cert = koe_path_join(home, "cert.pem"), *key = koe_path_join(home, "key.pem"), command[9000], url[100];
    snprintf(command, sizeof command, "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout '%s' -out '%s' 2>/dev/null", key, cert);
    if (system(command) != 0) {
        remove_folder(home);
        skip(); /* no openssl program */
    }
    start_server_at(&s, home, "--tls-cert", cert, "--tls-key", key, NULL);
    koe_buf got = { 0 };
    CURL *c = curl_easy_init();
    snprintf(url, sizeof url, "https://127.0.0.1:%d/v1/audio/speech", s.port);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, "{\"input\": \"Nobody else hears this. Not a word of it.\", \"response_format\": \"wav\"}");
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &got);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)WAIT_S);
    assert_int_equal(curl_easy_perform(c), CURLE_OK);
    assert_true(got.n > 10000);
    assert_memory_equal(got.data, "RIFF", 4);
    curl_easy_setopt(c, CURLOPT_SSL_CIPHER_LIST, "DEFAULT@SECLEVEL=0"); /* what this machine would not do of its own */
    curl_easy_setopt(c, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    assert_int_equal(curl_easy_perform(c), CURLE_OK);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_1 | CURL_SSLVERSION_MAX_TLSv1_1);
    assert_int_equal(curl_easy_perform(c), CURLE_SSL_CONNECT_ERROR);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    koe_buf_free(&got);
    free(cert);
    free(key);
    stop_server(&s);
}

/* Phrases of a file are in the cache before anybody asks. */
static void test_warm(void **state)
{
    (void)state;
    server s;
    char *home = new_folder(), *path = koe_path_join(home, "phrases");
    static const char phrases[] = "Good morning.\n\n{\"input\": \"Good night.\", \"response_format\": \"pcm\"}\n{\"input\": 5}\n";
    write_file(home, "phrases", phrases, sizeof phrases - 1);
    start_server_at(&s, home, "--warm", path, "--provider", "builtin", NULL);
    assert_true(comes_to(&s, "cache.memory", "entries", 4)); /* with their speech */
    reply r = speak(&s, "{\"input\": \"Good night.\", \"response_format\": \"pcm\"}");
    assert_string_equal(header(&r, "X-Koe-Cache"), "hit");
    assert_null(header(&r, "X-Koe-Warning"));
    reply_free(&r);
    r = speak(&s, "{\"input\": \"Good morning.\"}");
    assert_string_equal(header(&r, "X-Koe-Cache"), "hit");
    reply_free(&r);
    free(path);
    stop_server(&s);
}

static void test_gzip(void **state)
{
    (void)state;
    server s;
    start_server(&s, NULL);
    reply plain = get(&s, "/v1/audio/voices"), zipped = ask(&s, "GET", "/v1/audio/voices", "Accept-Encoding: gzip, br\r\n", NULL);
    assert_string_equal(header(&zipped, "Content-Encoding"), "gzip");
    assert_null(header(&plain, "Content-Encoding"));
    assert_true(zipped.whole && zipped.body.n < plain.body.n / 2);
    koe_buf out = { 0 };
    assert_true(koe_buf_reserve(&out, plain.body.n + 1));
    z_stream z = { .next_in = (unsigned char *)zipped.body.data, .avail_in = (unsigned)zipped.body.n, .next_out = (unsigned char *)out.data,
                   .avail_out = (unsigned)plain.body.n + 1 };
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.total_out, plain.body.n);
    assert_memory_equal(out.data, plain.body.data, plain.body.n);
    inflateEnd(&z);
    koe_buf_free(&out);
    reply_free(&plain);
    reply_free(&zipped);
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
    expect_error(run_koe("config", "--check", "--trusted-proxies", "127.0.0.1, 10.0.0.300"), 1, "'10.0.0.300'");
    expect_error(run_koe("config", "--check", "--home", home, "--keys", "/nowhere/keys.json"), 1, "/nowhere/keys.json");
    expect_error(run_koe("config", "--check", "--home", home, "--tls-cert", path, "--tls-key", path), 1, "no chain of certificates");
    expect_error(run_koe("config", "--check", "--home", home, "--redis", "http://h"), 1, "redis://");
    expect_error(run_koe("config", "--check", "--home", home, "--warm", "/nowhere/phrases"), 1, "/nowhere/phrases");
    expect_error(run_koe("config", "--check", "--home", home, "--lexicon", "/nowhere/words.json"), 1, "/nowhere/words.json");
    expect_error(run_koe("config", "--check", "--trusted-proxies", "10.0.0.0/33"), 1, "10.0.0.0/33");
    expect_error(run_koe("config", "--check", "--fallback", "missing,language,overlod"), 1, "'overlod'");
    expect(run_koe("config", "--check", "--trusted-proxies", "127.0.0.1, ::1,fd00::/8,", "--fallback", "missing, overloaded"), 0, "fd00::/8", NULL);
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
        cmocka_unit_test(test_scopes),    cmocka_unit_test(test_new_key),  cmocka_unit_test(test_quota),
        cmocka_unit_test(test_streams),   cmocka_unit_test(test_proxies),  cmocka_unit_test(test_env_names),
        cmocka_unit_test(test_api_key),   cmocka_unit_test(test_key_file), cmocka_unit_test(test_rates),
        cmocka_unit_test(test_admission), cmocka_unit_test(test_tls),      cmocka_unit_test(test_warm),
        cmocka_unit_test(test_gzip),      cmocka_unit_test(test_settings), cmocka_unit_test(test_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
