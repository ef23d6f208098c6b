/* A real Redis behind a password, on TCP, TLS and a Unix socket, from inside the sandbox; stopped and started while koe serves; one that is
 * not whom it says it is. */
#include "server.h"

#include "base/sandbox.h"

typedef struct redis {
    pid_t pid;
    int port; /* 0: only the Unix socket */
    char *folder, *socket;
    bool tls;
} redis;

/* A port that nobody listens at, and that the kernel gives to no one of its own choice: it stays free while Redis is stopped. */
static int free_port(void)
{
    enum { FIRST = 10000, END = 32768 };
    static unsigned turn;
    int port = 0;
    for (int i = 0; i < END - FIRST && port == 0; i++) {
        const int at = FIRST + (int)(((unsigned)getpid() * 7919u + turn++ * 613u) % (END - FIRST));
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)at), .sin_addr.s_addr = htonl(INADDR_ANY) };
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0) port = at;
        close(fd);
    }
    assert_true(port > 0);
    return port;
}

/* One user, koe with the password "a:b@c", who must name both. */
static void write_settings(const redis *r)
{
    koe_buf b = { 0 };
    koe_buf_printf(&b, "save \"\"\ndir %s\nunixsocket %s\nuser default off\nuser koe on >a:b@c ~koe:* +@all\nuser admin on >admin ~* +@all\n", r->folder, r->socket);
    if (r->tls) koe_buf_printf(&b, "port 0\ntls-port %d\ntls-cert-file %s/cert.pem\ntls-key-file %s/key.pem\ntls-auth-clients no\n", r->port, r->folder, r->folder);
    else koe_buf_printf(&b, "port %d\n", r->port);
    write_file(r->folder, "redis.conf", b.data, b.n);
    koe_buf_free(&b);
}

/* Runs redis-cli as admin; whether it printed what grep finds. */
static bool client(const redis *r, const char *words, const char *wanted)
{
    char command[9000];
    snprintf(command, sizeof command, "redis-cli -s '%s' --user admin --pass admin --no-auth-warning %s 2>/dev/null | grep -qE '%s'", r->socket, words, wanted);
    return system(command) == 0;
}

static void run_redis(redis *r)
{
    char *settings = koe_path_join(r->folder, "redis.conf");
    r->pid = fork();
    if (r->pid == 0) {
        const int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execlp("redis-server", "redis-server", settings, (char *)NULL);
        _exit(127);
    }
    free(settings);
    bool answers = false;
    WAIT_UNTIL(answers = client(r, "ping", "PONG")) {}
    assert_true(answers);
}

static void halt_redis(redis *r)
{
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    unlink(r->socket);
}

static bool start_redis(redis *r, bool tls)
{
    if (system("command -v redis-server redis-cli openssl >/dev/null 2>&1") != 0) return false;
    *r = (redis){ .folder = new_folder(), .port = free_port(), .tls = tls };
    r->socket = koe_path_join(r->folder, "redis.sock");
    if (tls) {
        char command[9000];
        snprintf(command, sizeof command,
                 "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=koe-test -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -days 2"
                 " -keyout '%s/key.pem' -out '%s/cert.pem' 2>/dev/null", r->folder, r->folder);
        if (system(command) != 0) fail_msg("openssl makes no certificate");
    }
    write_settings(r);
    run_redis(r);
    return true;
}

static void stop_redis(redis *r)
{
    halt_redis(r);
    free(r->socket);
    remove_folder(r->folder);
}

static double redis_of(const server *s, const char *name) { return status_of(s, "cache.redis", name); }

static void say(const server *s, const char *text, const char *wanted)
{
    char body[200];
    snprintf(body, sizeof body, "{\"input\": \"%s\", \"response_format\": \"pcm\"}", text);
    reply r = speak(s, body);
    const char *got = header(&r, "X-Koe-Cache");
    if (r.status != 200 || !r.whole || !got || strcmp(got, wanted) != 0) fail_msg("%s: %d, X-Koe-Cache: %s, want %s", text, r.status, got ? got : "(none)", wanted);
    reply_free(&r);
}

/* Speaks until Redis is up (or down). */
static void say_until(const server *s, bool up)
{
    static int number;
    WAIT_UNTIL((redis_of(s, "up") == 1) == up) {
        char text[64];
        snprintf(text, sizeof text, "Are you there, number %d?", number++);
        say(s, text, "miss");
    }
    if ((redis_of(s, "up") == 1) != up) fail_msg("redis is %s", up ? "down" : "up");
}

static void start_with(server *s, const char *url, const char *ca)
{
    const char *sandbox = koe_sandbox_has_calls() && koe_sandbox_has_files() ? "on" : "auto";
    start_server_in(s, new_folder(), (const char *const[]){ "--access-log", "off", "--log-level", "warning", "--sandbox", sandbox, "--redis-timeout", "10000", "--redis", url, "--redis-ca", ca, NULL });
}

/* What one wrote the other finds. */
static void check_shared(const redis *r, const char *url, const char *ca, const char *db)
{
    char words[100];
    server a, b;
    start_with(&a, url, ca);
    say(&a, "Shared by both.", "miss");
    WAIT_UNTIL(redis_of(&a, "writes") >= 2) {}
    start_with(&b, url, ca);
    say(&b, "Shared by both.", "hit");
    assert_true(redis_of(&b, "up") == 1);
    snprintf(words, sizeof words, "-n %s dbsize", db);
    assert_true(client(r, words, "^[2-9]"));
    stop_server(&a);
    stop_server(&b);
}

static void test_ways(void **state)
{
    (void)state;
    redis r;
    char url[4200];
    if (!start_redis(&r, false)) skip();
    snprintf(url, sizeof url, "redis://koe:a%%3Ab%%40c@127.0.0.1:%d/3", r.port);
    check_shared(&r, url, "", "3");
    snprintf(url, sizeof url, "redis://koe:a%%3Ab%%40c@localhost:%d", r.port);
    check_shared(&r, url, "", "0");
    stop_redis(&r);
}

/* The log of the server so far. */
static const char *log_of(const server *s)
{
    static char text[1 << 16];
    const ssize_t n = read(s->fd[2], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void expect_refused(const char *url, const char *ca, const char *why)
{
    server s;
    start_with(&s, url, ca);
    say(&s, "Spoken all the same.", "miss");
    say(&s, "Spoken all the same.", "hit");
    assert_true(redis_of(&s, "up") == 0 && redis_of(&s, "failures") >= 1);
    const char *log = log_of(&s);
    if (!strstr(log, why) || strstr(log, "secret")) fail_msg("want %s and no password: %s", why, log);
    stop_server(&s);
}

static void test_wrong_password(void **state)
{
    (void)state;
    redis r;
    char url[100];
    if (!start_redis(&r, false)) skip();
    snprintf(url, sizeof url, "redis://koe:secret@127.0.0.1:%d", r.port);
    expect_refused(url, "", "WRONGPASS");
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", r.port);
    expect_refused(url, "", "NOAUTH");
    snprintf(url, sizeof url, "redis://koe:a%%3Ab%%40c@127.0.0.1:%d/99", r.port);
    expect_refused(url, "", "DB index is out of range");
    stop_redis(&r);
}

static void check_restart(redis *r, const char *url, const char *ca)
{
    server s;
    start_with(&s, url, ca);
    say_until(&s, true);
    halt_redis(r);
    say_until(&s, false);
    run_redis(r);
    say_until(&s, true);
    stop_server(&s);
}

static void test_restart(void **state)
{
    (void)state;
    redis r;
    char url[4200];
    if (!start_redis(&r, false)) skip();
    snprintf(url, sizeof url, "redis://koe:a%%3Ab%%40c@127.0.0.1:%d/1", r.port);
    check_restart(&r, url, "");
    stop_redis(&r);
}

static void test_tls(void **state)
{
    (void)state;
    redis r, other;
    char url[100];
    if (!start_redis(&r, true)) skip();
    assert_true(start_redis(&other, true));
    char *ca = koe_path_join(r.folder, "cert.pem"), *wrong = koe_path_join(other.folder, "cert.pem"), *none = koe_path_join(r.folder, "redis.conf");
    snprintf(url, sizeof url, "rediss://koe:a%%3Ab%%40c@localhost:%d/2", r.port);
    check_shared(&r, url, ca, "2");
    expect_refused(url, wrong, "not trusted");
    expect_refused(url, "", "not trusted"); /* the system knows nothing of it */
    snprintf(url, sizeof url, "rediss://koe:a%%3Ab%%40c@127.0.0.1:%d", r.port);
    check_shared(&r, url, ca, "0");
    check_restart(&r, url, ca);
    snprintf(url, sizeof url, "rediss://koe:a%%3Ab%%40c@127.0.0.2:%d", r.port);
    expect_refused(url, ca, "redis does not answer");
    server s = { 0 };
    char *models = new_folder();
    s.pid = start_koe((const char *const[]){ "serve", "--port", "0", "--home", models, "--redis", url, "--redis-ca", none, NULL }, s.fd);
    fcntl(s.fd[2], F_SETFL, O_NONBLOCK);
    assert_true(wait_server(&s) != 0); /* no certificates in it */
    remove_folder(models);
    free(ca), free(wrong), free(none);
    stop_redis(&r);
    stop_redis(&other);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ways), cmocka_unit_test(test_wrong_password), cmocka_unit_test(test_restart), cmocka_unit_test(test_tls) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
