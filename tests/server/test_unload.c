/* Models that nobody uses leave memory, and nothing of them stays. */
#include "models.h"

static void test_unload(void **state)
{
    (void)state;
    again((const char *const[]){ "--access-log", "off", "--unload-after", "1", NULL });
    assert_true(comes_to(&s, "models", "loaded", 0));
    expect_spoken("{\"input\": \"Loaded again.\", \"response_format\": \"pcm\"}", "af_heart", "kokoro", NULL);
    assert_true(status_of(&s, "models", "loaded") == 1);
    assert_true(comes_to(&s, "models", "loaded", 0));
    again((const char *const[]){ "--access-log", "off", "--preload", "off", NULL });
    assert_true(status_of(&s, "models", "loaded") == 0); /* loaded at its first use */
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

static double resident_mb(void) { return status_of(&s, "machine", "resident_bytes") / (1 << 20); }

/* Speaks some long texts at once. */
static void speak_at_once(int round)
{
    enum { N = 4 };
    int fd[N];
    koe_buf text = { 0 };
    for (int k = 0; k < 25; k++) koe_buf_printf(&text, "Sentence number %d is not the last one. ", k);
    for (int i = 0; i < N; i++) {
        koe_buf body = { 0 };
        koe_buf_printf(&body, "{\"input\": \"%d of %d. %s\", \"response_format\": \"wav\", \"stream\": false}", i, round, text.data);
        fd[i] = dial(&s);
        send_request(fd[i], "POST", "/v1/audio/speech", NULL, body.data);
        koe_buf_free(&body);
    }
    for (int i = 0; i < N; i++) {
        reply r;
        read_reply(fd[i], &r, false);
        assert_true(r.status == 200 && r.whole);
        reply_free(&r);
        close(fd[i]);
    }
    koe_buf_free(&text);
}

/* What the server takes after a model has gone is near what it took before it came, and does not grow. */
static void test_memory(void **state)
{
    (void)state;
    if (IS_SANITIZED) skip(); /* they keep what is freed */
    again((const char *const[]){ "--access-log", "off", "--unload-after", "1", "--preload", "off", "--cache-memory", "0", NULL });
    expect_spoken("{\"input\": \"Without a model.\", \"voice\": \"builtin\", \"response_format\": \"mp3\"}", "builtin", "builtin", NULL);
    const double before_mb = resident_mb();
    double after_mb[3];
    for (int round = 0; round < 3; round++) {
        speak_at_once(round);
        assert_true(comes_to(&s, "models", "loaded", 0));
        pause_ms(100); /* given back after it was unloaded */
        after_mb[round] = resident_mb();
    }
    if (after_mb[0] > before_mb + 16 || after_mb[2] > after_mb[0] + 4)
        fail_msg("before %.1f MB, after %.1f, %.1f, %.1f MB", before_mb, after_mb[0], after_mb[1], after_mb[2]);
    print_message("before %.1f MB, after %.1f, %.1f, %.1f MB\n", before_mb, after_mb[0], after_mb[1], after_mb[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_unload), cmocka_unit_test(test_memory) };
    return cmocka_run_group_tests(tests, up, down);
}
