/* Models that nobody uses leave memory, and nothing of them stays. */
#include "models.h"

#include "base/file.h"

static void test_unload(void **state)
{
    (void)state;
    again((const char *const[]){ "--access-log", "off", "--unload-after", "1", NULL });
    assert_true(comes_to(&s, "models", "loaded", 0));
    bool loaded = false; /* when somebody looks within a second */
    for (int i = 0; i < 20 && !loaded; i++) {
        char body[100];
        snprintf(body, sizeof body, "{\"input\": \"Loaded again, %d.\", \"response_format\": \"pcm\"}", i);
        expect_spoken(body, "af_heart", "kokoro", NULL);
        loaded = status_of(&s, "models", "loaded") == 1;
    }
    assert_true(loaded);
    assert_true(comes_to(&s, "models", "loaded", 0));
    again((const char *const[]){ "--access-log", "off", "--preload", "off", NULL });
    assert_true(status_of(&s, "models", "loaded") == 0); /* loaded at its first use */
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

/* Memory of its own, without what it maps. */
static double memory_mb(void)
{
    char path[64];
    koe_buf text = { 0 };
    snprintf(path, sizeof path, "/proc/%d/status", (int)s.pid);
    assert_int_equal(koe_file_read(&text, path, 1 << 16, NULL), KOE_OK);
    const char *at = strstr(text.data, "RssAnon:");
    const double mb = at ? strtod(at + 8, NULL) / 1024 : 0;
    koe_buf_free(&text);
    return mb;
}

/* Its memory once it has come down to so much, or when time is over. */
static double settled_mb(double wanted)
{
    double mb = memory_mb();
    for (int i = 0; i < 400 && mb > wanted; i++, mb = memory_mb()) pause_ms(50);
    return mb;
}

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
    const double before_mb = memory_mb();
    double after_mb[3];
    for (int round = 0; round < 3; round++) {
        speak_at_once(round);
        assert_true(comes_to(&s, "models", "loaded", 0));
        after_mb[round] = settled_mb(before_mb + 4);
    }
    const double most_mb = before_mb + 8;
    if (after_mb[0] > most_mb || after_mb[1] > most_mb || after_mb[2] > most_mb)
        fail_msg("before %.1f MB, after %.1f, %.1f, %.1f MB", before_mb, after_mb[0], after_mb[1], after_mb[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_unload), cmocka_unit_test(test_memory) };
    return cmocka_run_group_tests(tests, up, down);
}
