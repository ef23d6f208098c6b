/* The life of the server: socket activation, what systemd hears, reload, certificates, draining. */
#include <sys/un.h>

#include "server.h"

/* ---- a supervisor ------------------------------------------------------------------------------------------------------------- */

typedef struct supervisor {
    char *folder;
    char path[100];
    int fd;
} supervisor;

static void supervise(supervisor *v)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    v->folder = new_folder();
    snprintf(v->path, sizeof v->path, "%s/notify", v->folder);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", v->path);
    v->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(v->fd, (struct sockaddr *)&a, sizeof a), 0);
    setsockopt(v->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = WAIT_S }, sizeof(struct timeval));
    setenv("NOTIFY_SOCKET", v->path, 1);
}

static void stop_supervising(supervisor *v)
{
    unsetenv("NOTIFY_SOCKET");
    close(v->fd);
    remove_folder(v->folder);
}

/* The next message but pings. */
static void expect_notice(supervisor *v, const char *text)
{
    char got[300];
    do {
        const ssize_t n = recv(v->fd, got, sizeof got - 1, 0);
        if (n < 0) fail_msg("nobody says %s", text);
        got[n] = 0;
    } while (strcmp(got, "WATCHDOG=1") == 0 && strcmp(text, "WATCHDOG=1") != 0);
    if (strncmp(got, text, strlen(text)) != 0) fail_msg("'%s', want '%s'", got, text);
}

static void test_notify(void **state)
{
    (void)state;
    server s;
    supervisor v;
    supervise(&v);
    setenv("WATCHDOG_USEC", "400000", 1);
    start_server(&s, NULL);
    unsetenv("WATCHDOG_USEC");
    expect_notice(&v, "READY=1");
    expect_notice(&v, "WATCHDOG=1");
    expect_notice(&v, "WATCHDOG=1");
    kill(s.pid, SIGHUP);
    expect_notice(&v, "RELOADING=1\nMONOTONIC_USEC=");
    expect_notice(&v, "READY=1");
    kill(s.pid, SIGTERM);
    expect_notice(&v, "STOPPING=1");
    assert_int_equal(wait_server(&s), 0);
    remove_folder(s.home);
    stop_supervising(&v);
}

/* The server with a socket that somebody else has opened; the settings name another port. Its announcement. */
static void activate(server *s, int fd, const char *const *options, char *announced, size_t cap)
{
    int out[2];
    assert_int_equal(pipe(out), 0);
    s->pid = fork();
    if (s->pid == 0) {
        char pid[20];
        const char *args[16] = { "koe", "serve", "--port", "1", "--home", s->home, "--preload", "off" };
        for (size_t i = 0; options && options[i]; i++) args[8 + i] = options[i];
        dup2(out[1], 1);
        if (fd != 3) dup2(fd, 3);
        snprintf(pid, sizeof pid, "%d", (int)getpid());
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
        execv(getenv("KOE_BIN"), (char **)(void *)args);
        _exit(127);
    }
    close(fd);
    close(out[1]);
    size_t n = 0;
    while (n + 1 < cap && read(out[0], announced + n, 1) == 1 && announced[n] != '\n') n++;
    announced[n] = 0;
    close(out[0]);
}

static void deactivate(const server *s)
{
    int status = 1;
    kill(s->pid, SIGTERM);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    assert_int_equal(status, 0);
    remove_folder(s->home);
}

/* Who connects before the server is there is served. */
static void test_activation(void **state)
{
    (void)state;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    char announced[200], wanted[200];
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    server s = { .port = ntohs(a.sin_port), .home = new_folder() };
    const int early = dial(&s);
    send_request(early, "GET", "/health", NULL, NULL);
    activate(&s, fd, NULL, announced, sizeof announced);
    snprintf(wanted, sizeof wanted, "koe: listening on http://127.0.0.1:%d", s.port);
    assert_string_equal(announced, wanted);
    reply r;
    read_reply(early, &r, false);
    expect_reply(r, 200, "healthy");
    close(early);
    expect_reply(speak(&s, "{\"input\": \"Hello.\"}"), 200, NULL);
    deactivate(&s);
}

/* The same with a Unix socket: a proxy that comes over it may be believed. */
static void test_local_socket(void **state)
{
    (void)state;
    char announced[200], wanted[200];
    const char *const options[] = { "--rate-requests", "1", "--trusted-proxies", "unix:", NULL };
    static const char *const from[] = { "X-Forwarded-For: 192.0.2.1\r\n", "X-Forwarded-For: 192.0.2.2\r\n", "X-Forwarded-For: 192.0.2.1\r\n", "" };
    static const int status[] = { 200, 200, 429, 200 };
    server s = { .home = new_folder() };
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    char *path = koe_path_join(s.home, "koe.sock");
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 10), 0);
    activate(&s, fd, options, announced, sizeof announced);
    snprintf(wanted, sizeof wanted, "koe: listening on unix:%s", path);
    assert_string_equal(announced, wanted);
    for (int i = 0; i < 4; i++) {
        reply r;
        const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof a), 0);
        send_request(client, "POST", "/v1/audio/speech", from[i], "{\"input\": \"Hello.\", \"response_format\": \"pcm\"}");
        read_reply(client, &r, false);
        if (r.status != status[i]) fail_msg("%s%d, want %d", from[i], r.status, status[i]);
        reply_free(&r);
        close(client);
    }
    free(path);
    deactivate(&s);
}

/* ---- SIGHUP -------------------------------------------------------------------------------------------------------------------- */

static void hang_up(const server *s, supervisor *v)
{
    kill(s->pid, SIGHUP);
    expect_notice(v, "RELOADING=1");
    expect_notice(v, "READY=1");
}

static void test_reload(void **state)
{
    (void)state;
    server s;
    supervisor v;
    char *home = new_folder(), *path = koe_path_join(home, "koe.json");
    const char *body = "{\"input\": \"Twenty letters here.\", \"response_format\": \"pcm\"}";
    static const char one[] = "{\"max_text\": 10}", two[] = "{\"max_text\": 100, \"cors\": \"https://a.example\", \"http_threads\": 7}",
                      broken[] = "{\"max_text\": 5, \"cors\": 1.5}";
    supervise(&v);
    write_file(home, "koe.json", one, strlen(one));
    start_server_at(&s, home, "--config", path, "--log-level", "info", NULL);
    expect_notice(&v, "READY=1");
    expect_problem(speak(&s, body), 413, "text_too_long", NULL);
    write_file(home, "koe.json", two, strlen(two));
    hang_up(&s, &v);
    reply r = speak(&s, body);
    assert_int_equal(r.status, 200);
    assert_string_equal(header(&r, "Access-Control-Allow-Origin"), "https://a.example");
    reply_free(&r);
    write_file(home, "koe.json", broken, strlen(broken)); /* all or nothing */
    hang_up(&s, &v);
    expect_reply(speak(&s, body), 200, NULL);
    char log[8192];
    const ssize_t n = read(s.fd[2], log, sizeof log - 1);
    log[n > 0 ? n : 0] = 0;
    assert_non_null(strstr(log, "http-threads has changed; that takes effect at the next start"));
    assert_non_null(strstr(log, "settings and keys stay as they were"));
    free(path);
    stop_server(&s);
    stop_supervising(&v);
}

/* ---- certificates -------------------------------------------------------------------------------------------------------------- */

static bool make_certificate(const char *cert, const char *key, const char *name, const char *kind)
{
    char command[9000];
    snprintf(command, sizeof command, "openssl req -x509 -newkey %s -nodes -subj /CN=%s -days 2 -keyout '%s.new' -out '%s.new' 2>/dev/null && mv '%s.new' '%s' && mv '%s.new' '%s'", kind,
             name, key, cert, key, key, cert, cert);
    return system(command) == 0;
}

/* Whose certificate a new connection gets. */
static bool is_certified(const server *s, const char *name)
{
    char command[300];
    snprintf(command, sizeof command, "openssl s_client -connect 127.0.0.1:%d </dev/null 2>/dev/null | grep -q 'subject=.*CN *= *%s'", s->port, name);
    return system(command) == 0;
}

static void test_certificates(void **state)
{
    (void)state;
    server s;
    supervisor v;
    char *home = new_folder(), *cert = koe_path_join(home, "cert.pem"), *key = koe_path_join(home, "key.pem");
    if (!make_certificate(cert, key, "one", "rsa:2048")) {
        remove_folder(home);
        skip(); /* no openssl program */
    }
    supervise(&v);
    start_server_at(&s, home, "--tls-cert", cert, "--tls-key", key, NULL);
    expect_notice(&v, "READY=1");
    assert_true(is_certified(&s, "one"));
    char command[1000]; /* a connection that lives through the change, and then asks for more */
    snprintf(command, sizeof command, "(printf 'GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'; sleep 3; printf 'GET /health HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'; sleep 1) "
             "| openssl s_client -quiet -connect 127.0.0.1:%d 2>/dev/null | grep -c healthy", s.port);
    FILE *old = popen(command, "r");
    pause_ms(500);
    assert_true(make_certificate(cert, key, "two", "ec -pkeyopt ec_paramgen_curve:prime256v1")); /* seen without a signal */
    bool changed = false;
    WAIT_UNTIL(changed = is_certified(&s, "two")) {}
    assert_true(changed);
    int answers = 0;
    assert_int_equal(fscanf(old, "%d", &answers), 1);
    pclose(old);
    assert_int_equal(answers, 2);
    write_file(home, "cert.pem", "nonsense", 8); /* what cannot be used is not taken */
    hang_up(&s, &v);
    assert_true(is_certified(&s, "two"));
    assert_true(make_certificate(cert, key, "three", "rsa:2048"));
    hang_up(&s, &v);
    assert_true(is_certified(&s, "three"));
    free(cert);
    free(key);
    stop_server(&s);
    stop_supervising(&v);
}

/* A body that does not come is said to be late, in TLS too. */
static void test_late_in_tls(void **state)
{
    (void)state;
    server s;
    char *home = new_folder(), *cert = koe_path_join(home, "cert.pem"), *key = koe_path_join(home, "key.pem");
    if (!make_certificate(cert, key, "late", "rsa:2048")) {
        remove_folder(home);
        skip(); /* no openssl program */
    }
    start_server_at(&s, home, "--tls-cert", cert, "--tls-key", key, "--request-timeout", "1", NULL);
    char command[1000], got[2000] = "";
    snprintf(command, sizeof command, "(printf 'POST /v1/audio/speech HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 100\\r\\n\\r\\n{'; sleep 5) "
             "| timeout 20 openssl s_client -quiet -connect 127.0.0.1:%d 2>/dev/null", s.port);
    FILE *f = popen(command, "r");
    (void)!fread(got, 1, sizeof got - 1, f);
    pclose(f);
    if (strncmp(got, "HTTP/1.1 408 ", 13) != 0 || !strstr(got, "\"code\":\"request_timeout\"}}")) fail_msg("'%s'", got);
    free(cert);
    free(key);
    stop_server(&s);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------- */

/* A stream whose reader is slow is given the time that is allowed, and not more. */
static void test_drain_in_time(void **state)
{
    (void)state;
    server s;
    koe_buf body = { 0 };
    koe_buf_adds(&body, "{\"response_format\": \"wav\", \"input\": \"");
    for (int i = 0; i < 1000; i++) koe_buf_printf(&body, "Sentence number %d is as long as the others. ", i);
    koe_buf_adds(&body, "\"}");
    double took_ms = 1e9;
    for (int i = 0; i < 5 && took_ms > 10000; i++) { /* not the first time on a busy machine */
        start_server(&s, "--drain-timeout", "1", NULL);
        const int fd = dial(&s);
        char first;
        send_request(fd, "POST", "/v1/audio/speech", NULL, body.data);
        assert_int_equal(recv(fd, &first, 1, MSG_PEEK), 1);
        const double start_ms = koe_clock_ms();
        end_server(&s);
        took_ms = koe_clock_ms() - start_ms;
        if (took_ms < 900) fail_msg("the end took %.0f ms", took_ms);
        reply r;
        read_reply(fd, &r, false);
        assert_false(r.whole); /* cut, and it shows */
        reply_free(&r);
        close(fd);
        remove_folder(s.home);
    }
    if (took_ms > 10000) fail_msg("the end took %.0f ms", took_ms);
    koe_buf_free(&body);
}

static bool accepts(const server *s)
{
    const struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool ok = connect(fd, (const struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return ok;
}

/* A connection that was there before gets no new speech once the end has begun, and is closed; who looks at the server is still answered. */
static void test_drain_refuses(void **state)
{
    (void)state;
    server s;
    reply r;
    koe_buf body = { 0 };
    start_server(&s, "--drain-timeout", "200", "--cache-memory", "0", NULL);
    koe_buf_adds(&body, "{\"response_format\": \"pcm\", \"input\": \"");
    for (int i = 0; i < 400; i++) koe_buf_printf(&body, "Sentence number %d is as long as the others. ", i);
    koe_buf_adds(&body, "\"}");
    int early[2];
    for (int i = 0; i < 2; i++) {
        early[i] = dial(&s);
        send_request(early[i], "GET", "/health", NULL, NULL);
        read_reply(early[i], &r, false);
        assert_null(header(&r, "Connection"));
        expect_reply(r, 200, NULL);
    }
    const int fd = dial(&s);
    char first;
    send_request(fd, "POST", "/v1/audio/speech", NULL, body.data);
    assert_int_equal(recv(fd, &first, 1, MSG_PEEK), 1);
    kill(s.pid, SIGTERM);
    WAIT_UNTIL(!accepts(&s)) {}
    send_request(early[0], "POST", "/v1/audio/speech", NULL, "{\"input\": \"New.\", \"response_format\": \"pcm\"}");
    read_reply(early[0], &r, false);
    assert_string_equal(header(&r, "Connection"), "close");
    assert_string_equal(header(&r, "Retry-After"), "1");
    expect_problem(r, 503, "draining", NULL);
    send_request(early[1], "GET", "/status", NULL, NULL);
    read_reply(early[1], &r, false);
    expect_reply(r, 200, "\"draining\":true");
    read_reply(fd, &r, false);
    assert_true(r.status == 200 && r.whole);
    reply_free(&r);
    assert_int_equal(wait_server(&s), 0);
    for (int i = 0; i < 2; i++) close(early[i]);
    close(fd);
    koe_buf_free(&body);
    remove_folder(s.home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify),       cmocka_unit_test(test_activation),    cmocka_unit_test(test_reload), cmocka_unit_test(test_local_socket), cmocka_unit_test(test_late_in_tls),
        cmocka_unit_test(test_certificates), cmocka_unit_test(test_drain_in_time), cmocka_unit_test(test_drain_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
