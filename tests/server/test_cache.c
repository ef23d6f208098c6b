/* Pieces of speech that were made before, and a real Redis that is stopped, started, slow, or says nonsense. */
#include "server.h"

#include "../voice/home.h"

static char *text_of(reply *r, size_t *n)
{
    assert_int_equal(r->status, 200);
    assert_true(r->whole);
    *n = r->body.n;
    return r->body.data;
}

static void expect_cache(reply *r, const char *state)
{
    const char *got = header(r, "X-Koe-Cache");
    if (!got || strcmp(got, state) != 0) fail_msg("X-Koe-Cache: %s, want %s", got ? got : "(none)", state);
}

/* Sentences long enough to be segments of their own. */
#define FIRST "This is the first sentence of a text that is long enough to be cut into several segments, as every sentence here is rather long and winding, with commas, and clauses, and more commas, until at last it comes to its end, which it does. "
#define SECOND "The second one is no shorter, for it goes on about the weather, the price of apples, the state of the roads, and all the other things that one could talk about on a long evening, if there were anybody to talk to, which there is not."

/* An answer of which a part was made before has the same bytes as one that was made anew. */
static void test_pieces(void **state)
{
    (void)state;
    server s, fresh;
    size_t n, n_fresh;
    make_home("kokoro_pieces.onnx");
    start_server_at(&s, home, NULL);
    start_server_at(&fresh, home, "--cache-memory", "0", NULL);
    for (int i = 0; i < 2; i++) { /* a stream is cut into other segments than what leaves as a whole */
        reply r = speak(&s, i ? "{\"input\": \"" FIRST "\", \"stream\": false}" : "{\"input\": \"" FIRST "\"}");
        reply_free(&r);
    }
    static const char *const formats[] = { "pcm", "wav", "mp3", "opus" };
    for (size_t i = 0; i < 4; i++) {
        char body[2000];
        snprintf(body, sizeof body, "{\"input\": \"%s\", \"stream\": %s, \"response_format\": \"%s\"}", FIRST SECOND, i % 2 ? "true" : "false", formats[i]);
        reply a = speak(&s, body), b = speak(&fresh, body), again = speak(&s, body);
        const char *x = text_of(&a, &n), *y = text_of(&b, &n_fresh);
        expect_cache(&a, "partial");
        expect_cache(&b, "miss");
        expect_cache(&again, "hit");
        const bool ogg = strcmp(formats[i], "opus") == 0; /* has a serial number of its own, and a page for each piece of a stream */
        if (ogg) assert_true(llabs((long long)n - (long long)n_fresh) < 200);
        else assert_int_equal(n, n_fresh);
        if (!ogg) assert_memory_equal(x, y, n);
        reply_free(&a);
        reply_free(&b);
        reply_free(&again);
    }
    assert_true(status_of(&s, "cache", "misses") >= 5);
    reply other = speak(&s, "{\"input\": \"" FIRST "\", \"response_format\": \"pcm\", \"speed\": 1.2}");
    expect_cache(&other, "miss");
    reply_free(&other);
    expect_reply(ask(&s, "DELETE", "/v1/cache", NULL, NULL), 200, NULL);
    other = speak(&s, "{\"input\": \"" FIRST "\", \"response_format\": \"flac\"}");
    expect_cache(&other, "miss");
    reply_free(&other);
    expect_reply(get(&s, "/metrics"), 200, "koe_cache_bytes{tier=\"memory\"}");
    end_server(&s);
    end_server(&fresh);
    remove_home();
}

/* The tag of a stream's answer names its bytes, whether the machine was busy when it was made or not. */
static reply said_with_tag(const server *s, char tag[64])
{
    reply r = speak(s, "{\"input\": \"" FIRST "\", \"response_format\": \"pcm\"}");
    assert_true(r.status == 200 && r.whole);
    snprintf(tag, 64, "%.60s", header(&r, "ETag") ? header(&r, "ETag") : "");
    return r;
}

static void expect_not_modified(const server *s, const char *tag)
{
    char line[100];
    snprintf(line, sizeof line, "If-None-Match: %s\r\n", tag);
    expect_reply(ask(s, "POST", "/v1/audio/speech", line, "{\"input\": \"" FIRST "\", \"response_format\": \"pcm\"}"), 304, NULL);
}

/* Gives the server something long to do, until the connection is closed. */
static int keep_busy(const server *s)
{
    koe_buf b = { 0 };
    const int fd = dial(s);
    koe_buf_adds(&b, "{\"voice\": \"builtin\", \"stream\": false, \"response_format\": \"wav\", \"input\": \"");
    for (int i = 0; i < 1500; i++) koe_buf_printf(&b, "This is sentence number %d of a text that takes its time. ", i);
    koe_buf_adds(&b, "\"}");
    send_request(fd, "POST", "/v1/audio/speech", NULL, b.data);
    koe_buf_free(&b);
    assert_true(comes_to(s, "queue", "batch", 1));
    return fd;
}

static void test_tags_name_bytes(void **state)
{
    (void)state;
    server s;
    char alone_tag[64], busy_tag[64], tag[64];
    make_home("kokoro_pieces.onnx");
    start_server_in(&s, home, (const char *const[]){ "--access-log", "off", "--workers", "2", NULL });
    reply alone = said_with_tag(&s, alone_tag);
    expect_reply(ask(&s, "DELETE", "/v1/cache", NULL, NULL), 200, NULL);
    const int fd = keep_busy(&s);
    reply busy = said_with_tag(&s, busy_tag);
    expect_cache(&busy, "miss");
    close(fd);
    assert_true(comes_to(&s, "queue", "batch", 0));
    assert_string_not_equal(alone_tag, busy_tag); /* this small network speaks both the same; a real one does not */
    reply again = said_with_tag(&s, tag);
    expect_cache(&again, "hit");
    assert_string_equal(tag, busy_tag);
    assert_int_equal(again.body.n, busy.body.n);
    assert_memory_equal(again.body.data, busy.body.data, busy.body.n);
    expect_not_modified(&s, alone_tag);
    expect_not_modified(&s, busy_tag);
    reply_free(&alone), reply_free(&busy), reply_free(&again);
    kill(s.pid, SIGTERM);
    assert_int_equal(wait_server(&s), 0);
    remove_home();
}

/* What is on its way to the disk is forgotten too. */
static void test_purge(void **state)
{
    (void)state;
    server s;
    char *dir = new_folder();
    start_server(&s, "--cache-dir", dir, NULL);
    for (int i = 0; i < 30; i++) {
        reply r = speak(&s, "{\"input\": \"Forget this.\", \"response_format\": \"pcm\"}");
        expect_cache(&r, "miss");
        reply_free(&r);
        if (i % 2) pause_ms(i);
        expect_reply(ask(&s, "DELETE", "/v1/cache", NULL, NULL), 200, "\"purged\":true");
        if (i % 3) pause_ms(i);
    }
    stop_server(&s);
    remove_folder(dir);
}

/* ---- Redis -------------------------------------------------------------------------------------------------------------------- */

static char *redis_folder;
static pid_t redis_pid;
static char redis_url[4200];

static void start_redis(void)
{
    char socket_path[4096];
    snprintf(socket_path, sizeof socket_path, "%s/redis.sock", redis_folder);
    snprintf(redis_url, sizeof redis_url, "unix://%s", socket_path);
    redis_pid = fork();
    if (redis_pid == 0) {
        const int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket_path, "--save", "", "--dir", redis_folder, (char *)NULL);
        _exit(127);
    }
    char command[4200];
    int answers = 1;
    snprintf(command, sizeof command, "redis-cli -s '%s' ping 2>/dev/null | grep -q PONG", socket_path);
    WAIT_UNTIL((answers = system(command)) == 0) {}
    assert_int_equal(answers, 0);
}

static void stop_redis(void)
{
    kill(redis_pid, SIGKILL);
    waitpid(redis_pid, NULL, 0);
    char path[4096];
    snprintf(path, sizeof path, "%s/redis.sock", redis_folder);
    unlink(path);
}

static double redis_of(const server *s, const char *name) { return status_of(s, "cache.redis", name); }

static void wait_for(const server *s, const char *name, double least)
{
    WAIT_UNTIL(redis_of(s, name) >= least) {}
    if (redis_of(s, name) < least) fail_msg("redis %s is %g, want %g", name, redis_of(s, name), least);
}

/* Says one thing; returns the state of the cache and how long it took. */
static double say_one(const server *s, const char *text, const char *wanted)
{
    char body[200];
    snprintf(body, sizeof body, "{\"input\": \"%s\", \"response_format\": \"pcm\"}", text);
    reply r = speak(s, body);
    assert_int_equal(r.status, 200);
    assert_true(r.whole && r.body.n > 10000);
    expect_cache(&r, wanted);
    const double ms = r.all_ms;
    reply_free(&r);
    return ms;
}

/* Overwrites all values with one command of a client of ours. */
static void damage_redis(void)
{
    char path[4096], command[9000];
    snprintf(path, sizeof path, "%s/redis.sock", redis_folder);
    snprintf(command, sizeof command,
             "redis-cli -s '%s' --scan --pattern 'koe:1:*' | while read k; do redis-cli -s '%s' setrange $k 400 XXXX; done >/dev/null", path, path);
    assert_int_equal(system(command), 0);
}

static void test_redis(void **state)
{
    (void)state;
    if (system("command -v redis-server redis-cli >/dev/null 2>&1") != 0) {
        print_message("redis-server is not here: apt-get install redis-server\n");
        skip();
    }
    server a, b;
    redis_folder = new_folder();
    start_redis();
    start_server(&a, "--redis", redis_url, "--redis-timeout", "2000", NULL);
    start_server(&b, "--redis", redis_url, "--redis-timeout", "10000", "--sandbox", "auto", NULL);
    say_one(&a, "Known to both of them.", "miss");
    wait_for(&a, "writes", 2); /* the answer and its piece */
    say_one(&b, "Known to both of them.", "hit"); /* another process */
    say_one(&b, "Known to both of them.", "hit"); /* and now from its memory */
    assert_true(redis_of(&b, "hits") == 1);
    say_one(&a, "To be damaged.", "miss");
    wait_for(&a, "writes", 4);
    damage_redis();
    say_one(&b, "To be damaged.", "miss");
    assert_true(status_of(&b, "cache", "damaged") >= 1);
    /* a Redis that hangs costs each server a moment, once */
    kill(redis_pid, SIGSTOP);
    assert_true(say_one(&a, "While Redis hangs.", "miss") < 10000);
    wait_for(&a, "failures", 1);
    assert_true(redis_of(&a, "up") == 0);
    const double skipped = redis_of(&a, "skipped");
    say_one(&a, "While nobody asks it.", "miss");
    assert_true(redis_of(&a, "skipped") > skipped || redis_of(&a, "failures") > 1);
    kill(redis_pid, SIGCONT);
    stop_redis();
    say_one(&a, "While there is none.", "miss");
    start_redis();
    int number = 0;
    WAIT_UNTIL(redis_of(&a, "up") == 1) {
        char text[64];
        snprintf(text, sizeof text, "It is back, number %d.", number++);
        say_one(&a, text, "miss");
    }
    assert_true(redis_of(&a, "up") == 1);
    /* purging empties it */
    expect_reply(ask(&a, "DELETE", "/v1/cache", NULL, NULL), 200, NULL);
    char command[9000];
    snprintf(command, sizeof command, "test \"$(redis-cli -s '%s' dbsize)\" = 0", redis_url + 7);
    int left = 1;
    WAIT_UNTIL((left = system(command)) == 0) {}
    assert_int_equal(left, 0);
    stop_server(&a);
    stop_server(&b);
    stop_redis();
    remove_folder(redis_folder);
}

static void test_redis_url(void **state)
{
    (void)state;
    static const char *const bad[] = { "http://x", "redis://", "redis://h/abc", "rediss://", "redis" };
    char *none = new_folder();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const args[] = { "serve", "--port", "0", "--home", none, "--redis", bad[i], NULL };
        server s = { 0 };
        s.pid = start_koe(args, s.fd);
        fcntl(s.fd[2], F_SETFL, O_NONBLOCK);
        if (wait_server(&s) == 0) fail_msg("%s was taken", bad[i]);
    }
    remove_folder(none);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_pieces), cmocka_unit_test(test_tags_name_bytes), cmocka_unit_test(test_purge), cmocka_unit_test(test_redis), cmocka_unit_test(test_redis_url) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
