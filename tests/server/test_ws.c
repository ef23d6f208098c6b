/* The WebSocket: text in while audio comes out. */
#include <math.h>

#include "socket.h"

/* What a stream said until "done" or "error". */
typedef struct heard {
    size_t n_audio, n_bytes, n_words;
    char first_word[64], last[600];
    double end_s;
    int last_offset;
} heard;

static void add_words(heard *h, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *w = json_array_get(list, i);
        const double start = json_number_value(json_object_get(w, "start_time"));
        const int offset = (int)json_integer_value(json_object_get(w, "offset"));
        assert_true(start >= h->end_s - 0.3); /* in order, over all pieces */
        assert_true(h->n_words == 0 || offset > h->last_offset);
        if (h->n_words++ == 0) snprintf(h->first_word, sizeof h->first_word, "%s", json_string_value(json_object_get(w, "word")));
        h->end_s = json_number_value(json_object_get(w, "end_time"));
        h->last_offset = offset;
    }
}

/* As listen_all(), when this many messages of sound were heard before. */
static heard listen_after(int fd, size_t n_audio)
{
    heard h = { .n_audio = n_audio };
    koe_buf b = { 0 };
    for (;;) {
        const int opcode = read_frame(fd, &b);
        assert_int_equal(opcode, 1);
        json_t *j = json_loadb(b.data, b.n, 0, NULL);
        const char *type = json_string_value(json_object_get(j, "type"));
        assert_non_null(type);
        snprintf(h.last, sizeof h.last, "%s", b.data);
        const bool over = strcmp(type, "done") == 0 || strcmp(type, "error") == 0;
        if (strcmp(type, "audio") == 0) {
            assert_int_equal(json_integer_value(json_object_get(j, "seq")), h.n_audio++);
            assert_int_equal(read_frame(fd, &b), 2);
            assert_int_equal(json_integer_value(json_object_get(j, "bytes")), b.n);
            h.n_bytes += b.n;
        }
        add_words(&h, json_object_get(j, "timestamps"));
        json_decref(j);
        if (over) break;
    }
    koe_buf_free(&b);
    return h;
}

static heard listen_all(int fd) { return listen_after(fd, 0); }

/* The first sentence is spoken before the text has ended. */
static void test_text_in_audio_out(void **state)
{
    (void)state;
    server s;
    koe_buf b = { 0 };
    start_server(&s, NULL);
    const int fd = open_socket(&s);
    for (int round = 0; round < 2; round++) { /* and again on the same socket */
        say_json(fd, "{\"type\":\"start\",\"response_format\":\"pcm\",\"sample_rate\":24000,\"speed\":null}");
        say_json(fd, "{\"type\":\"text\",\"text\":\"Dr. Ito said hel\"}");
        say_json(fd, "{\"type\":\"text\",\"text\":\"lo. And th\"}");
        assert_int_equal(read_frame(fd, &b), 1);
        assert_non_null(strstr(b.data, "\"type\":\"audio\",\"seq\":0"));
        assert_int_equal(read_frame(fd, &b), 2);
        const size_t n_first = b.n;
        assert_true(n_first > 24000);
        assert_int_equal(read_frame(fd, &b), 1);
        assert_non_null(strstr(b.data, "hello."));
        say_json(fd, "{\"type\":\"text\",\"text\":\"en the rest\"}");
        say_json(fd, "{\"type\":\"flush\"}");
        assert_int_equal(read_frame(fd, &b), 1);
        assert_non_null(strstr(b.data, "\"type\":\"audio\",\"seq\":1"));
        assert_int_equal(read_frame(fd, &b), 2);
        assert_int_equal(read_frame(fd, &b), 1);
        assert_non_null(strstr(b.data, "{\"word\":\"then\""));
        assert_non_null(strstr(b.data, "\"offset\":24")); /* characters from the start of the text */
        say_json(fd, "{\"type\":\"end\"}");
        do assert_int_equal(read_frame(fd, &b), 1); /* the encoder's last bytes may come first */
        while (strstr(b.data, "\"audio\"") && read_frame(fd, &b) == 2);
        assert_non_null(strstr(b.data, "{\"type\":\"done\",\"cancelled\":false,\"usage\":{\"input_tokens\":37"));
    }
    close(fd);
    koe_buf_free(&b);
    stop_server(&s);
}

static void test_long_text_and_cancel(void **state)
{
    (void)state;
    server s;
    start_server(&s, NULL);
    const int fd = open_socket(&s);
    say_json(fd, "{\"type\":\"start\",\"response_format\":\"pcm\"}");
    for (int i = 0; i < 30; i++) say_json(fd, "{\"type\":\"text\",\"text\":\"One more sentence of this text! \"}");
    say_json(fd, "{\"type\":\"end\"}");
    heard h = listen_all(fd);
    assert_int_equal(h.n_words, 30 * 6);
    assert_string_equal(h.first_word, "One");
    assert_true(h.n_bytes > 30 * 24000);
    say_json(fd, "{\"type\":\"start\",\"response_format\":\"pcm\"}");
    for (int i = 0; i < 300; i++) say_json(fd, "{\"type\":\"text\",\"text\":\"One more sentence of this text! \"}");
    say_json(fd, "{\"type\":\"cancel\"}");
    h = listen_all(fd);
    assert_non_null(strstr(h.last, "\"cancelled\":true"));
    assert_true(h.n_words < 300 * 6);
    close(fd);
    stop_server(&s);
}

static void test_wrong_messages(void **state)
{
    (void)state;
    server s;
    koe_buf b = { 0 };
    static const char *const wrong[][2] = {
        { "no json", "invalid_json" },
        { "[]", "missing_field" },
        { "{\"type\":\"text\",\"text\":\"x\"}", "not_started" },
        { "{\"type\":\"start\",\"speed\":99}", "\"param\":\"speed\"" },
        { "{\"type\":\"start\",\"model\":\"x\"}", "model_not_found" },
        { "{\"type\":\"start\",\"voice\":\"nobody\"}", "voice_not_found" },
    };
    start_server(&s, NULL);
    expect_problem(get(&s, "/v1/audio/speech/ws"), 426, "upgrade_required", NULL);
    int fd = open_socket(&s);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        say_json(fd, wrong[i][0]);
        assert_int_equal(read_frame(fd, &b), 1);
        if (!strstr(b.data, "\"type\":\"error\"") || !strstr(b.data, wrong[i][1])) fail_msg("%s -> %s", wrong[i][0], b.data);
    }
    say_json(fd, "{\"type\":\"start\",\"response_format\":\"pcm\"}"); /* the socket lives on */
    say_json(fd, "{\"type\":\"start\"}");
    assert_int_equal(read_frame(fd, &b), 1);
    assert_non_null(strstr(b.data, "already_started"));
    say_json(fd, "{\"type\":\"text\",\"text\":\" ... \"}");
    say_json(fd, "{\"type\":\"end\"}");
    heard h = listen_all(fd);
    assert_non_null(strstr(h.last, "\"done\""));
    send_frame(fd, 9, "ping", 4);
    assert_int_equal(read_frame(fd, &b), 10);
    assert_memory_equal(b.data, "ping", 4);
    send_frame(fd, 8, "\x03\xe8", 2);
    assert_int_equal(read_frame(fd, &b), 8);
    close(fd);
    static const struct {
        const char *name, *frame;
        size_t n;
    } broken[] = { { "a long ping", "\x89\xfe\0\x80\1\2\3\4", 8 }, { "a ping in pieces", "\x09\x80\1\2\3\4", 6 },
                   { "an endless message", "\x81\xff\x80\0\0\0\0\0\0\0\1\2\3\4", 14 }, { "no mask", "\x81\x02{}", 4 } };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        fd = open_socket(&s);
        send_all(fd, broken[i].frame, broken[i].n);
        if (read_frame(fd, &b) != 8) fail_msg("%s: no close frame", broken[i].name);
        close(fd);
    }
    for (int i = 0; i < 20; i++) { /* rubbish, and leaving in mid-stream */
        fd = open_socket(&s);
        if (i % 2) {
            say_json(fd, "{\"type\":\"start\",\"response_format\":\"wav\"}");
            for (int k = 0; k < 50; k++) say_json(fd, "{\"type\":\"text\",\"text\":\"Nobody will hear the end of this. \"}");
        } else {
            send_all(fd, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
        }
        close(fd);
    }
    assert_true(comes_to(&s, "queue", "streams", 0));
    koe_buf_free(&b);
    stop_server(&s);
}

/* A handshake that libmicrohttpd does not finish takes no place, and does not hold up the end. */
static void test_no_handshake(void **state)
{
    (void)state;
    server s;
    reply r;
    static const char asks[] = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    char old[400];
    snprintf(old, sizeof old, "GET /v1/audio/speech/ws HTTP/1.0\r\n%s\r\n", asks);
    start_server(&s, "--max-sockets", "2", NULL);
    for (int i = 0; i < 5; i++) {
        const int fd = dial(&s);
        send_all(fd, old, strlen(old));
        read_reply(fd, &r, false);
        expect_problem(r, 426, "upgrade_required", NULL);
        close(fd);
        expect_reply(ask(&s, "HEAD", "/v1/audio/speech/ws", asks, NULL), 426, NULL);
    }
    for (int i = 0; i < 50; i++) { /* who leaves at once, by a reset */
        const int fd = dial(&s);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
        send_request(fd, "GET", "/v1/audio/speech/ws", asks, NULL);
        close(fd);
    }
    bool found = false;
    WAIT_UNTIL(found) {
        char line[13] = "";
        const int fd = dial(&s);
        send_request(fd, "GET", "/v1/audio/speech/ws", asks, NULL);
        assert_int_equal(recv(fd, line, 12, MSG_WAITALL), 12);
        found = strcmp(line, "HTTP/1.1 101") == 0;
        close(fd);
    }
    assert_true(found);
    stop_server(&s);
}

/* --cors holds for pages that open a WebSocket; who sends no Origin is no page. */
static void test_origins(void **state)
{
    (void)state;
    server s;
    static const char asks[] = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    static const struct {
        const char *origin;
        int status;
    } from[] = { { "", 101 }, { "Origin: https://ours.example\r\n", 101 }, { "Origin: http://localhost\r\n", 101 }, { "Origin: https://theirs.example\r\n", 403 },
                 { "Origin: null\r\n", 403 } };
    start_server(&s, "--cors", "https://ours.example", NULL);
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        char headers[400], line[13] = "";
        const int fd = dial(&s);
        snprintf(headers, sizeof headers, "%s%s", asks, from[i].origin);
        send_request(fd, "GET", "/v1/audio/speech/ws", headers, NULL);
        assert_int_equal(recv(fd, line, 12, MSG_WAITALL), 12);
        if (atoi(line + 9) != from[i].status) fail_msg("%s: %s, want %d", from[i].origin, line, from[i].status);
        close(fd);
    }
    stop_server(&s);
}

/* An idle socket does not hold up the end of the server; it is told. */
static void test_drain(void **state)
{
    (void)state;
    server s;
    koe_buf b = { 0 };
    start_server(&s, "--max-sockets", "1", NULL);
    const int fd = open_socket(&s);
    expect_problem(ask(&s, "GET", "/v1/audio/speech/ws",
                       "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", NULL),
                   503, "overloaded", NULL);
    kill(s.pid, SIGTERM);
    assert_int_equal(read_frame(fd, &b), 8);
    assert_memory_equal(b.data, "\x03\xe9", 2); /* 1001, going away */
    close(fd);
    assert_int_equal(wait_server(&s), 0);
    remove_folder(s.home);
    koe_buf_free(&b);
}

/* The server ends while a text is being written: its sound, and "done", come before the close frame. */
static void test_last_words(void **state)
{
    (void)state;
    server s;
    koe_buf b = { 0 };
    for (int i = 0; i < 5; i++) {
        start_server(&s, "--drain-timeout", "60", NULL);
        const int fd = open_socket(&s);
        say_json(fd, "{\"type\":\"start\",\"response_format\":\"pcm\"}");
        say_json(fd, "{\"type\":\"text\",\"text\":\"Before the signal. \"}");
        while (read_frame(fd, &b) != 2) {}
        kill(s.pid, SIGTERM);
        pause_ms(i * 20);
        say_json(fd, "{\"type\":\"text\",\"text\":\"And after it. \"}");
        say_json(fd, "{\"type\":\"end\"}");
        heard h = listen_after(fd, 1);
        if (!strstr(h.last, "\"done\"") || h.n_words != 6) fail_msg("%zu words, at last %s", h.n_words, h.last);
        assert_int_equal(read_frame(fd, &b), 8);
        close(fd);
        assert_int_equal(wait_server(&s), 0);
        remove_folder(s.home);
    }
    koe_buf_free(&b);
}

/* The server ends: a client that does not answer the close frame is not waited for. */
static void test_no_farewell(void **state)
{
    (void)state;
    koe_buf b = { 0 };
    double least_ms = 1e9; /* of some: the machine may be busy */
    for (int i = 0; i < 5 && least_ms > 10000; i++) {
        server s;
        start_server(&s, "--drain-timeout", "200", NULL);
        const int fd = open_socket(&s);
        const double start_ms = koe_clock_ms();
        kill(s.pid, SIGTERM);
        assert_int_equal(read_frame(fd, &b), 8);
        assert_int_equal(wait_server(&s), 0);
        least_ms = fmin(least_ms, koe_clock_ms() - start_ms);
        close(fd);
        remove_folder(s.home);
    }
    if (least_ms > 10000) fail_msg("it took %.0f ms to end", least_ms);
    koe_buf_free(&b);
}

static size_t loudest(const koe_buf *pcm)
{
    size_t most = 0;
    for (size_t i = 0; i + 1 < pcm->n; i += 2) {
        int16_t x;
        memcpy(&x, pcm->data + i, 2);
        if ((size_t)abs(x) > most) most = (size_t)abs(x);
    }
    return most;
}

/* What is asked for at the start holds for the sound. */
static void test_volume(void **state)
{
    (void)state;
    server s;
    koe_buf b = { 0 };
    size_t peak[2];
    start_server(&s, NULL);
    const int fd = open_socket(&s);
    for (int i = 0; i < 2; i++) {
        say_json(fd, i ? "{\"type\":\"start\",\"response_format\":\"pcm\",\"volume\":0.25}" : "{\"type\":\"start\",\"response_format\":\"pcm\"}");
        say_json(fd, "{\"type\":\"text\",\"text\":\"How loud is this?\"}");
        say_json(fd, "{\"type\":\"end\"}");
        while (read_frame(fd, &b) != 2) {}
        peak[i] = loudest(&b);
        while (read_frame(fd, &b) > 0 && (!b.data || !strstr(b.data, "\"done\""))) {}
    }
    if (peak[1] > peak[0] / 3 || peak[1] < peak[0] / 5) fail_msg("%zu and, at a quarter, %zu", peak[0], peak[1]);
    close(fd);
    koe_buf_free(&b);
    stop_server(&s);
}

/* The limit of a text counts characters, here as everywhere. */
static void test_limit(void **state)
{
    (void)state;
    server s;
    start_server(&s, "--max-text", "12", NULL);
    const int fd = open_socket(&s);
    say_json(fd, "{\"type\": \"start\", \"response_format\": \"pcm\"}");
    say_json(fd, "{\"type\": \"text\", \"text\": \"\u00e9\u00e9 \u00e9\u00e9 \u00e9\u00e9\u00e9. \"}");
    say_json(fd, "{\"type\": \"end\"}");
    heard h = listen_all(fd);
    assert_non_null(strstr(h.last, "\"done\""));
    say_json(fd, "{\"type\": \"start\", \"response_format\": \"pcm\"}");
    say_json(fd, "{\"type\": \"text\", \"text\": \"One, two, three.\"}");
    h = listen_all(fd);
    assert_non_null(strstr(h.last, "12 characters"));
    close(fd);
    stop_server(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_farewell), cmocka_unit_test(test_limit), cmocka_unit_test(test_origins), cmocka_unit_test(test_last_words), cmocka_unit_test(test_volume), cmocka_unit_test(test_text_in_audio_out),
        cmocka_unit_test(test_long_text_and_cancel),
        cmocka_unit_test(test_wrong_messages), cmocka_unit_test(test_no_handshake),
        cmocka_unit_test(test_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
