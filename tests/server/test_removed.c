/* Models that disappear, are broken and come back while the server runs. */
#include "models.h"

/* The model is removed: what is loaded goes on, and readiness says so. It comes back, and all is well. */
static void test_model_removed(void **state)
{
    (void)state;
    char *kept = strdup(in_home("kept.onnx"));
    again((const char *const[]){ "--access-log", "off", "--watch", "1", "--unload-after", "1", NULL });
    bool loaded = false; /* when its file goes: not unloaded before, should we have slept for a second */
    for (int i = 0; i < 20 && !loaded; i++) {
        char body[100];
        snprintf(body, sizeof body, "{\"input\": \"Before, %d.\", \"response_format\": \"pcm\"}", i);
        if (i > 0) assert_int_equal(rename(kept, in_home("kokoro/model.onnx")), 0);
        expect_spoken(body, "af_heart", "kokoro", NULL);
        assert_int_equal(rename(in_home("kokoro/model.onnx"), kept), 0);
        loaded = status_of(&s, "models", "loaded") == 1;
    }
    assert_true(loaded);
    expect_soon("/health/ready", "kokoro is no longer installed");
    reply r = get(&s, "/health/ready");
    assert_int_equal(r.status, 200);
    reply_free(&r);
    expect_spoken("{\"input\": \"Meanwhile.\", \"response_format\": \"pcm\"}", "af_heart", "kokoro", NULL);
    write_file(home, "kokoro/model.onnx", "not a model", 11); /* nor is this taken */
    expect_soon("/health/ready", "the changed models cannot be used");
    expect_spoken("{\"input\": \"Still.\", \"response_format\": \"pcm\"}", "af_heart", "kokoro", NULL);
    assert_int_equal(rename(kept, in_home("kokoro/model.onnx")), 0);
    expect_soon("/health/ready", "{\"status\":\"ready\"}");
    expect_spoken("{\"input\": \"After.\", \"response_format\": \"pcm\"}", "af_heart", "kokoro", NULL);
    free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_model_removed) };
    return cmocka_run_group_tests(tests, up, down);
}
