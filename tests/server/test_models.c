/* The server with models: the small networks of tests/data/voice. */
#include "server.h"

#include "../voice/home.h"

static server s;

static int up(void **state)
{
    (void)state;
    make_home("kokoro_int.onnx");
    start_server_in(&s, home, (const char *const[]){ "--access-log", "off", NULL });
    return 0;
}

static int down(void **state)
{
    (void)state;
    kill(s.pid, SIGTERM);
    assert_int_equal(wait_server(&s), 0);
    remove_home();
    return 0;
}

static void expect_spoken(const char *body, const char *voice, const char *engine, const char *warning)
{
    reply r = speak(&s, body);
    if (r.status != 200) fail_msg("%s: %s", body, r.body.data);
    assert_string_equal(header(&r, "X-Koe-Voice"), voice);
    assert_string_equal(header(&r, "X-Koe-Engine"), engine);
    const char *said = header(&r, "X-Koe-Warning");
    if (!said != !warning || (said && !strstr(said, warning))) fail_msg("%s: warning '%s'", body, said ? said : "none");
    assert_true(r.whole && r.body.n > 1000);
    reply_free(&r);
}

static void test_who_speaks(void **state)
{
    (void)state;
    expect_spoken("{\"input\": \"Hello.\", \"response_format\": \"pcm\"}", "af_heart", "kokoro", NULL);
    expect_spoken("{\"input\": \"Hello.\", \"voice\": \"marin\", \"response_format\": \"pcm\"}", "af_heart", "kokoro", NULL);
    expect_spoken("{\"input\": \"Hello.\", \"voice\": \"ballad\", \"response_format\": \"pcm\"}", "bm_george", "kokoro", NULL);
    expect_spoken("{\"input\": \"Hello.\", \"voice\": \"alloy\", \"response_format\": \"pcm\"}", "af_heart", "kokoro", "af_alloy is not installed");
    expect_spoken("{\"input\": \"Hello.\", \"model\": \"piper\", \"voice\": \"one\", \"response_format\": \"pcm\"}", "one", "piper", NULL);
    expect_spoken("{\"input\": \"Hello.\", \"model\": \"builtin\", \"response_format\": \"pcm\"}", "builtin", "builtin", NULL);
    expect_spoken("{\"input\": \"Hello.\", \"voice\": \"af_bella(2)+af_heart(1)\", \"response_format\": \"pcm\"}", "af_bella(0.667)+af_heart(0.333)",
                  "kokoro", NULL);
    expect_reply(get(&s, "/v1/models"), 200, "\"id\":\"kokoro\"");
    expect_reply(get(&s, "/v1/audio/voices"), 200, "{\"id\":\"af_heart\",\"name\":\"af_heart\",\"language\":\"en-us\",\"gender\":\"female\",\"engine\":\"kokoro\"");
}

static void test_combine(void **state)
{
    (void)state;
    expect_reply(post(&s, "/v1/audio/voices/combine", "{\"name\": \"mine\", \"voices\": \"af_bella(3)+bm_george(1)\"}"), 200, "\"id\":\"mine\"");
    expect_reply(post(&s, "/v1/audio/voices/combine", "[\"af_bella\", \"bm_george\"]"), 200, "\"id\":\"af_bella_bm_george\"");
    expect_reply(post(&s, "/v1/audio/voices/combine", "\"af_bella+af_heart\""), 200, "\"id\":\"af_bella_af_heart\"");
    expect_spoken("{\"input\": \"Hello.\", \"voice\": \"mine\", \"response_format\": \"pcm\"}", "af_bella(0.75)+bm_george(0.25)", "kokoro", NULL);
    expect_reply(get(&s, "/v1/audio/voices"), 200, "\"blend\":\"af_bella(3)+bm_george(1)\"");
    expect_problem(post(&s, "/v1/audio/voices/combine", "{\"name\": \"af_heart\", \"voices\": \"af_bella+bm_george\"}"), 409, "name_taken", "name");
    expect_problem(post(&s, "/v1/audio/voices/combine", "{\"name\": \"a b\", \"voices\": \"af_bella\"}"), 400, "invalid_value", "name");
    expect_problem(post(&s, "/v1/audio/voices/combine", "{\"name\": \"x\", \"voices\": \"one+af_bella\"}"), 400, "voice_not_found", "voice");
    expect_problem(post(&s, "/v1/audio/voices/combine", "{}"), 400, "invalid_value", "voices");
    kill(s.pid, SIGTERM); /* and it is there after a restart */
    assert_int_equal(wait_server(&s), 0);
    start_server_in(&s, home, (const char *const[]){ "--access-log", "off", NULL });
    expect_reply(get(&s, "/v1/audio/voices?legacy=true"), 200, "\"mine\"");
}

static void test_phonemes(void **state)
{
    (void)state;
    reply r = post(&s, "/dev/generate_from_phonemes", "{\"phonemes\": \"h\xc9\x99l\xcb\x88O.\", \"voice\": \"af_heart\"}");
    assert_int_equal(r.status, 200);
    assert_memory_equal(r.body.data, "RIFF", 4);
    assert_string_equal(header(&r, "Content-Type"), "audio/wav");
    reply_free(&r);
    expect_reply(post(&s, "/dev/phonemize", "{\"text\": \"Hello\"}"), 200, "{\"phonemes\":\"h\xc9\x99l\xcb\x88O\",\"tokens\":[\"h\",\"\xc9\x99\"");
}

/* The same request gives the same bytes, from the cache or not; another seed, others. */
static void test_reproducible(void **state)
{
    (void)state;
    const char *body = "{\"input\": \"The same again.\", \"response_format\": \"wav\", \"stream\": false}";
    reply a = speak(&s, body);
    expect_reply(ask(&s, "DELETE", "/cache", NULL, NULL), 200, NULL);
    reply b = speak(&s, body);
    assert_string_equal(header(&b, "X-Koe-Cache"), "miss");
    assert_int_equal(a.body.n, b.body.n);
    assert_memory_equal(a.body.data, b.body.data, a.body.n);
    reply_free(&a);
    reply_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_speaks),
        cmocka_unit_test(test_combine),
        cmocka_unit_test(test_phonemes),
        cmocka_unit_test(test_reproducible),
    };
    return cmocka_run_group_tests(tests, up, down);
}
