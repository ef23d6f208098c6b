/* Another voice speaks: where the real scheduler has no time for the one asked for, and where its model fails in a session. */
#include "children.h"
#include "socket.h"

#include "models.h"

/* who was asked, who spoke, and why not the one between */
static const char busy[] = "voice 'af_heart' cannot speak now: the server is busy; voice 'en_GB-three-low' cannot speak now: the server is busy; builtin (builtin) speaks instead";

/* A stream by a helper that does not come on: the server has measured that it cannot keep two in real time. Its connection. */
static int overload(void)
{
    koe_buf body = { 0 };
    expect_reply(post(&s, "/dev/phonemize", "{\"text\": \"bonjour\", \"language\": \"fr\"}"), 200, NULL); /* starts the helper */
    if (signal_children(&s, SIGSTOP) == 0) skip();
    koe_buf_adds(&body, "{\"voice\": \"builtin\", \"response_format\": \"pcm\", \"input\": \"");
    for (int i = 0; i < 400; i++) koe_buf_printf(&body, "This is sentence number %d of a text that takes its time. ", i);
    koe_buf_adds(&body, "\"}");
    const int fd = dial(&s);
    send_request(fd, "POST", "/v1/audio/speech", NULL, body.data);
    koe_buf_free(&body);
    pause_ms(6000);
    signal_children(&s, SIGCONT);
    assert_int_equal(recv(fd, (char[1]){ 0 }, 1, 0), 1);
    signal_children(&s, SIGSTOP);
    double streams = 0;
    WAIT_UNTIL((streams = status_of(&s, "queue", "real_time_streams")) > 0) {}
    if (streams <= 0 || streams >= 2) fail_msg("room for %g streams", streams);
    return fd;
}

static void test_overloaded(void **state)
{
    (void)state;
    const char *body = "{\"input\": \"Who is it?\", \"voice\": \"af_heart\", \"response_format\": \"pcm\"}";
    const char *const options[] = { "--access-log", "off", "--threads", "1", "--workers", "2", "--preload", "off", NULL };
    const char *const falling[] = { "--access-log", "off", "--threads", "1", "--workers", "2", "--preload", "off", "--fallback", "overloaded", NULL };
    again(options);
    int fd = overload();
    expect_problem(speak(&s, body), 503, "overloaded", NULL);
    signal_children(&s, SIGCONT);
    close(fd);
    again(falling);
    fd = overload();
    const int other = dial(&s), socket = open_socket(&s);
    send_request(other, "POST", "/v1/audio/speech", NULL, body);
    say_json(socket, "{\"type\": \"start\", \"voice\": \"af_heart\", \"response_format\": \"pcm\"}");
    say_json(socket, "{\"type\": \"text\", \"text\": \"Who is it? \"}");
    say_json(socket, "{\"type\": \"end\"}");
    assert_true(comes_to(&s, "queue", "streams", 3));
    signal_children(&s, SIGCONT);
    reply r;
    read_reply(other, &r, false);
    assert_true(r.status == 200 && r.whole && r.body.n > 1000);
    assert_string_equal(header(&r, "X-Koe-Engine"), "builtin");
    assert_string_equal(header(&r, "X-Koe-Warning"), busy);
    assert_null(header(&r, "ETag"));
    reply_free(&r);
    koe_buf message = { 0 };
    while (read_frame(socket, &message) > 0 && !strstr(message.data, "\"done\"")) {}
    if (!message.data || !strstr(message.data, busy)) fail_msg("the session ends with %s", message.data);
    koe_buf_free(&message);
    close(fd), close(other), close(socket);
    assert_true(comes_to(&s, "queue", "streams", 0));
    for (int i = 0; i < 2; i++) expect_spoken("{\"input\": \"Not busy now.\", \"voice\": \"builtin\", \"response_format\": \"pcm\"}", "builtin", "builtin", NULL);
    expect_spoken(body, "af_heart", "kokoro", NULL); /* what the other one said was not kept */
}

/* The last message of a session that says these sentences, each when the one before was heard; the model is broken before number `breaks`. */
static void talk(const char *const *sentences, int breaks, const char *wanted)
{
    koe_buf message = { 0 };
    char *kept = strdup(in_home("kept.onnx"));
    const int fd = open_socket(&s);
    say_json(fd, "{\"type\": \"start\", \"voice\": \"af_heart\", \"response_format\": \"pcm\"}");
    for (int i = 0; sentences[i]; i++) {
        char text[200];
        if (i == breaks) {
            assert_true(comes_to(&s, "models", "loaded", 0));
            assert_int_equal(rename(in_home("kokoro/model.onnx"), kept), 0);
            write_file(home, "kokoro/model.onnx", "not a model", 11);
        }
        snprintf(text, sizeof text, "{\"type\": \"text\", \"text\": \"%s \"}", sentences[i]);
        say_json(fd, text);
        say_json(fd, "{\"type\": \"flush\"}");
        while (read_frame(fd, &message) > 0 && !strstr(message.data, "\"timestamps\"") && !strstr(message.data, "\"error\"")) {}
    }
    say_json(fd, "{\"type\": \"end\"}");
    while (!strstr(message.data, "\"done\"") && !strstr(message.data, "\"error\"") && read_frame(fd, &message) > 0) {}
    if (!strstr(message.data, wanted)) fail_msg("%s, want %s", message.data, wanted);
    close(fd);
    koe_buf_free(&message);
    assert_int_equal(rename(kept, in_home("kokoro/model.onnx")), 0);
    free(kept);
}

static void test_session(void **state)
{
    (void)state;
    const char *const one[] = { "Hello there.", NULL }, *const two[] = { "Hello there.", "And good bye.", NULL };
    const char *const options[] = { "--access-log", "off", "--preload", "off", "--unload-after", "1", "--watch", "0", NULL };
    const char *const falling[] = { "--access-log", "off", "--preload", "off", "--unload-after", "1", "--watch", "0", "--fallback", "missing", NULL };
    again(options);
    talk(one, 0, "\"code\":\"synthesis_failed\"");
    again(falling);
    talk(one, 0, "voice 'af_heart' cannot speak; en_GB-three-low (piper) speaks instead");
    again(falling);
    talk(two, 1, "\"code\":\"synthesis_failed\""); /* no other voice in mid-stream */
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_overloaded), cmocka_unit_test(test_session) };
    return cmocka_run_group_tests(tests, up, down);
}
