/* Clients that leave, stop reading or send rubbish; caches that break; signals under load. */
#include <dirent.h>
#include <sys/mount.h>

#include "server.h"

/* About n_sentences * 2.5 seconds of speech; `tag` makes it a text of its own. */
static char *long_body(int n_sentences, const char *tag, const char *more)
{
    koe_buf b = { 0 };
    koe_buf_printf(&b, "{\"response_format\": \"wav\", %s\"input\": \"%s. ", more, tag);
    for (int i = 0; i < n_sentences; i++) koe_buf_printf(&b, "This is sentence number %d of a text that takes its time. ", i);
    koe_buf_adds(&b, "\"}");
    return b.data;
}

static void reset_connection(int fd)
{
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1, .l_linger = 0 }, sizeof(struct linger));
    close(fd);
}

static void test_client_leaves(void **state)
{
    (void)state;
    server s;
    char bytes[4000];
    start_server(&s, NULL);
    for (int way = 0; way < 4; way++) {
        char tag[16];
        snprintf(tag, sizeof tag, "Way %d", way);
        char *body = long_body(400, tag, way == 3 ? "\"stream\": false, " : "");
        const int fd = dial(&s);
        send_request(fd, "POST", "/v1/audio/speech", NULL, body);
        if (way < 2) assert_true(recv(fd, bytes, sizeof bytes, 0) > 0); /* in mid-stream */
        else pause_ms(30); /* before the first byte, or nearly */
        if (way % 2) close(fd);
        else reset_connection(fd);
        if (!comes_to(&s, "queue", "streams", 0) || !comes_to(&s, "queue", "batch", 0)) fail_msg("way %d: still at work", way);
        free(body);
    }
    stop_server(&s);
}

/* A reader that stops is parked, holds no worker, and gets all of it when it goes on. */
static void test_slow_reader(void **state)
{
    (void)state;
    server s;
    reply r, whole;
    start_server(&s, "--workers", "1", "--cache-memory", "0", NULL);
    char *body = long_body(300, "Slow", "");
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){ 4096 }, sizeof(int));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    send_request(fd, "POST", "/v1/audio/speech", NULL, body);
    assert_true(comes_to(&s, "queue", "parked", 1));
    whole = speak(&s, "{\"input\": \"Somebody else.\", \"response_format\": \"wav\", \"stream\": false}"); /* as two streams a slow machine would not keep */
    assert_true(whole.status == 200 && whole.whole);
    reply_free(&whole);
    read_reply(fd, &r, false);
    assert_int_equal(r.status, 200);
    assert_true(r.whole);
    assert_true(r.body.n > (size_t)300 * 2 * 22050 * 2);
    reply_free(&r);
    close(fd);
    assert_true(comes_to(&s, "queue", "streams", 0));
    free(body);
    stop_server(&s);
}

static void test_large_bodies(void **state)
{
    (void)state;
    server s;
    start_server(&s, NULL);
    const size_t n = 10 << 20;
    char *body = malloc(n + 1);
    memset(body, 'a', n);
    body[n] = 0;
    expect_problem(speak(&s, body), 413, "body_too_large", NULL);
    body[n / 2] = 0;
    memcpy(body, "{\"input\": \"", 11);
    memcpy(body + (3 << 20), "\"}", 3);
    expect_problem(speak(&s, body), 413, "text_too_long", "input");
    free(body);
    reply r; /* a client that asks first need not send it */
    int fd = dial(&s);
    send_request(fd, "POST", "/v1/audio/speech", "Expect: 100-continue\r\nContent-Length: 10485760\r\n", NULL);
    read_reply(fd, &r, false);
    expect_problem(r, 413, "body_too_large", NULL);
    close(fd);
    fd = dial(&s);
    const char *small = "{\"input\": \"Asked first.\", \"response_format\": \"pcm\"}";
    char head[128], interim[25];
    snprintf(head, sizeof head, "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n", strlen(small));
    send_request(fd, "POST", "/v1/audio/speech", head, NULL);
    assert_int_equal(recv(fd, interim, sizeof interim, MSG_WAITALL), 25);
    assert_memory_equal(interim, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    send_all(fd, small, strlen(small));
    read_reply(fd, &r, false);
    expect_reply(r, 200, NULL);
    close(fd);
    stop_server(&s);
}

/* Every beginning of a good body, deep nesting, and bytes that are no JSON. */
static void test_malformed(void **state)
{
    (void)state;
    server s;
    static const char good[] = "{\"input\":\"Hi \\u00e9\\ud83d\\ude00\",\"voice\":{\"id\":\"builtin\"},\"speed\":1.5e0}";
    char body[4096];
    start_server(&s, NULL);
    for (size_t n = 0; n + 1 < sizeof good; n++) {
        snprintf(body, sizeof body, "%.*s", (int)n, good);
        expect_problem(speak(&s, body), 400, "invalid_json", NULL);
    }
    memset(body, '[', sizeof body - 1);
    body[sizeof body - 1] = 0;
    expect_problem(speak(&s, body), 400, "invalid_json", NULL);
    static const char *const bad[] = { "{\"input\":\"\\ud800\"}", "{'input':'x'}", "{\"input\":NaN}", "{\"input\":\"a\"}}", "nul", "\x01" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) expect_problem(speak(&s, bad[i]), 400, "invalid_json", NULL);
    unsigned seed = 7;
    for (int i = 0; i < 50; i++) {
        const int fd = dial(&s);
        for (size_t k = 0; k + 1 < sizeof body; k++) body[k] = (char)((seed = seed * 1103515245 + 12345) >> 16 | 1);
        send_all(fd, body, 200); /* not even HTTP */
        close(fd);
    }
    expect_reply(get(&s, "/health"), 200, NULL);
    stop_server(&s);
}

/* Running streams are finished, new ones refused. */
static void test_sigterm(void **state)
{
    (void)state;
    server s;
    reply r;
    start_server(&s, "--drain-timeout", "200", NULL);
    char *body = long_body(100, "Term", "");
    const int fd = dial(&s), idle = dial(&s);
    send_request(fd, "POST", "/v1/audio/speech", NULL, body);
    char first;
    assert_int_equal(recv(fd, &first, 1, MSG_PEEK), 1);
    kill(s.pid, SIGTERM);
    read_reply(fd, &r, false);
    assert_true(r.status == 200 && r.whole);
    assert_true(r.body.n > (size_t)100 * 2 * 22050 * 2);
    reply_free(&r);
    close(fd);
    assert_int_equal(wait_server(&s), 0);
    close(idle);
    remove_folder(s.home);
    /* and when time is over, what is left is cut, and does not look whole */
    start_server(&s, "--drain-timeout", "0", "--cache-memory", "0", NULL);
    const int slow = dial(&s);
    free(body);
    body = long_body(1500, "Long", "");
    send_request(slow, "POST", "/v1/audio/speech", NULL, body);
    assert_int_equal(recv(slow, &first, 1, MSG_PEEK), 1);
    kill(s.pid, SIGTERM);
    read_reply(slow, &r, false);
    assert_false(r.whole);
    reply_free(&r);
    close(slow);
    assert_int_equal(wait_server(&s), 0);
    remove_folder(s.home);
    free(body);
}

/* Runs fn on every file below a folder. */
static void each_file(const char *folder, void (*fn)(const char *path))
{
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        if (e->d_name[0] == '.') continue;
        char *path = koe_path_join(folder, e->d_name);
        if (koe_file_is_dir(path)) each_file(path, fn);
        else fn(path);
        free(path);
    }
    if (d) closedir(d);
}

static void damage(const char *path)
{
    const int fd = open(path, O_RDWR);
    char c;
    assert_int_equal(pread(fd, &c, 1, 500), 1);
    c ^= 1;
    assert_int_equal(pwrite(fd, &c, 1, 500), 1);
    close(fd);
}

static void cut(const char *path) { assert_int_equal(truncate(path, 300), 0); }

static void say_cached(const server *s, const char *state, size_t *n)
{
    reply r = speak(s, "{\"input\": \"Kept on disk.\", \"response_format\": \"pcm\"}");
    assert_int_equal(r.status, 200);
    assert_string_equal(header(&r, "X-Koe-Cache"), state);
    *n = r.body.n;
    reply_free(&r);
}

/* What was made is there after kill -9; what is damaged is made anew; a folder that cannot be written does no harm. */
static void test_disk_cache(void **state)
{
    (void)state;
    server s;
    size_t n, again;
    char *dir = new_folder(), *home = new_folder();
    const char *const options[] = { "--cache-dir", dir, "--access-log", "off", NULL };
    static void (*const breaks[])(const char *) = { NULL, damage, cut };
    for (size_t i = 0; i < 3; i++) {
        if (breaks[i]) each_file(dir, breaks[i]);
        start_server_in(&s, home, options);
        say_cached(&s, "miss", &n);
        assert_true(comes_to(&s, "cache.disk", "entries", 2)); /* the answer and its piece: written after the answer has left */
        kill(s.pid, SIGKILL);
        assert_int_equal(wait_server(&s), 128 + SIGKILL);
        start_server_in(&s, home, options);
        say_cached(&s, "hit", &again);
        assert_int_equal(n, again);
        end_server(&s);
    }
    start_server_in(&s, home, options);
    char moved[4200];
    snprintf(moved, sizeof moved, "%s.gone", dir);
    assert_int_equal(rename(dir, moved), 0);
    for (int i = 0; i < 3; i++) {
        char body[100];
        snprintf(body, sizeof body, "{\"input\": \"No folder %d.\", \"response_format\": \"pcm\"}", i);
        expect_reply(speak(&s, body), 200, NULL);
    }
    assert_int_equal(rename(moved, dir), 0);
    stop_server(&s);
    remove_folder(dir);
}

/* A cache folder without room: every answer is right all the same, and what could not be written is counted. */
static void test_disk_full(void **state)
{
    (void)state;
    server s;
    char *dir = new_folder();
    if (mount("tmpfs", dir, "tmpfs", 0, "size=64k") != 0) { /* needs root */
        remove_folder(dir);
        skip();
    }
    start_server(&s, "--cache-dir", dir, "--cache-memory", "0", NULL);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 6; i++) {
            char body[100];
            snprintf(body, sizeof body, "{\"input\": \"There is no room for number %d.\", \"response_format\": \"pcm\"}", i);
            reply r = speak(&s, body);
            if (r.status != 200 || !r.whole || r.body.n < 40000) fail_msg("%d: %d, %zu bytes", i, r.status, r.body.n);
            reply_free(&r);
        }
    WAIT_UNTIL(status_of(&s, "cache", "failed_writes") >= 1) {}
    assert_true(status_of(&s, "cache", "failed_writes") >= 1);
    stop_server(&s);
    assert_int_equal(umount2(dir, MNT_DETACH), 0);
    remove_folder(dir);
}

/* kill -9, or an end without patience, while many are being answered: what the next server finds in the cache folder is whole and right. */
static void test_killed_under_load(void **state)
{
    (void)state;
    enum { N = 24 };
    server s;
    char *dir = new_folder(), *home = new_folder();
    const char *const kept[] = { "--cache-dir", dir, "--drain-timeout", "0", "--access-log", "off", NULL }, *const fresh[] = { "--cache-memory", "0", "--access-log", "off", NULL };
    char body[N][120];
    reply right[N];
    for (int i = 0; i < N; i++) snprintf(body[i], sizeof body[i], "{\"input\": \"Number %d is in the making.\", \"response_format\": \"pcm\"}", i);
    start_server_in(&s, home, fresh);
    for (int i = 0; i < N; i++) {
        right[i] = speak(&s, body[i]);
        assert_true(right[i].status == 200 && right[i].whole);
    }
    end_server(&s);
    for (int round = 0; round < 4; round++) {
        const int how = round % 2 ? SIGTERM : SIGKILL;
        int fd[N];
        start_server_in(&s, home, kept);
        for (int i = 0; i < N; i++) {
            fd[i] = dial(&s);
            send_request(fd[i], "POST", "/v1/audio/speech", NULL, body[i]);
        }
        pause_ms(20 + 60 * (round / 2));
        kill(s.pid, how);
        assert_int_equal(wait_server(&s), how == SIGKILL ? 128 + SIGKILL : 0);
        for (int i = 0; i < N; i++) {
            reply r;
            read_reply(fd[i], &r, false);
            if (r.whole && r.status == 200 && !same_body(&r, &right[i])) fail_msg("number %d: %zu bytes, not %zu, look whole", i, r.body.n, right[i].body.n);
            reply_free(&r);
            close(fd[i]);
        }
    }
    start_server_in(&s, home, kept);
    for (int i = 0; i < N; i++) {
        reply r = speak(&s, body[i]);
        assert_true(r.status == 200 && r.whole);
        if (!same_body(&r, &right[i])) fail_msg("number %d: %zu bytes, not %zu", i, r.body.n, right[i].body.n);
        reply_free(&r);
        reply_free(&right[i]);
    }
    stop_server(&s);
    remove_folder(dir);
}

/* Equal requests at the same time are one job. */
static void test_same_at_once(void **state)
{
    (void)state;
    enum { N = 8 };
    int fd[N];
    server s;
    reply first = { 0 };
    start_server(&s, "--workers", "1", NULL);
    char *body = long_body(60, "Same", "");
    for (int i = 0; i < N; i++) {
        fd[i] = dial(&s);
        send_request(fd[i], "POST", "/v1/audio/speech", NULL, body);
    }
    assert_true(status_of(&s, "queue", "streams") <= 1);
    for (int i = 0; i < N; i++) {
        reply r;
        read_reply(fd[i], &r, false);
        assert_true(r.status == 200 && r.whole);
        assert_true(i == 0 || same_body(&r, &first));
        if (i == 0) first = r;
        else reply_free(&r);
        close(fd[i]);
    }
    assert_true(status_of(&s, "cache", "misses") == 1);
    reply_free(&first);
    free(body);
    stop_server(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_leaves), cmocka_unit_test(test_slow_reader), cmocka_unit_test(test_large_bodies),
        cmocka_unit_test(test_malformed),     cmocka_unit_test(test_sigterm),     cmocka_unit_test(test_disk_cache), cmocka_unit_test(test_disk_full), cmocka_unit_test(test_killed_under_load),
        cmocka_unit_test(test_same_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
