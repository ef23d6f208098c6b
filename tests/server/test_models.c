/* The server with models: the small networks of tests/data/voice. */
#include "models.h"

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
    expect_problem(post(&s, "/v1/audio/voices/combine", "{\"name\": \"x\", \"voices\": \"one+af_bella\"}"), 400, "invalid_value", "voices");
    expect_problem(post(&s, "/v1/audio/voices/combine", "{}"), 400, "invalid_value", "voices");
    end_server(&s); /* and it is there after a restart */
    start_server_at(&s, home, NULL);
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
    expect_problem(post(&s, "/dev/generate_from_phonemes", "{\"phonemes\": \"\xe6\xbc\xa2\", \"voice\": \"af_heart\"}"), 400, "invalid_value", "phonemes"); /* no sound */
    expect_problem(post(&s, "/dev/generate_from_phonemes", "{\"phonemes\": \"o\", \"voice\": \"af_heart\", \"bitrate\": 64000}"), 400, "invalid_value", "bitrate"); /* of WAV */
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

/* A pack that is put into the folder speaks, and one that is taken out does not. */
static void test_new_voice(void **state)
{
    (void)state;
    again((const char *const[]){ "--access-log", "off", "--watch", "1", NULL });
    expect_problem(speak(&s, "{\"input\": \"Hello.\", \"voice\": \"af_nicole\"}"), 400, "voice_not_found", "voice");
    write_pack("kokoro/voices/af_nicole.bin", 1);
    expect_soon("/v1/audio/voices", "af_nicole");
    expect_spoken("{\"input\": \"Hello.\", \"voice\": \"af_nicole\", \"response_format\": \"pcm\"}", "af_nicole", "kokoro", NULL);
    assert_int_equal(unlink(in_home("kokoro/voices/af_nicole.bin")), 0);
    kill(s.pid, SIGHUP); /* does not wait for the next look */
    bool there = true;
    WAIT_UNTIL(!(there = says(&s, "/v1/audio/voices", "af_nicole"))) {}
    assert_false(there);
}

/* Models are replaced under streams: every one of them is whole, or was refused because a slow machine would not keep it. */
static void test_replaced_in_mid_stream(void **state)
{
    (void)state;
    enum { N = 4 };
    int fd[N];
    koe_buf text = { 0 };
    again((const char *const[]){ "--access-log", "off", NULL });
    for (int k = 0; k < 40; k++) koe_buf_printf(&text, "Sentence number %d is not the last one. ", k);
    for (int i = 0; i < N; i++) {
        koe_buf body = { 0 };
        koe_buf_printf(&body, "{\"input\": \"%d. %s\", \"response_format\": \"pcm\"}", i, text.data);
        fd[i] = dial(&s);
        send_request(fd[i], "POST", "/v1/audio/speech", NULL, body.data);
        koe_buf_free(&body);
        if (i == N / 2) {
            write_pack("kokoro/voices/af_sky.bin", 1.5f);
            kill(s.pid, SIGHUP);
            pause_ms(100);
        }
    }
    for (int i = 0; i < N; i++) {
        reply r;
        read_reply(fd[i], &r, false);
        if (i > 0 && r.status == 503) assert_non_null(strstr(r.body.data, "real time"));
        else assert_true(r.status == 200 && r.whole && r.body.n > 100000);
        reply_free(&r);
        close(fd[i]);
    }
    expect_soon("/v1/audio/voices", "af_sky");
    assert_int_equal(unlink(in_home("kokoro/voices/af_sky.bin")), 0);
    koe_buf_free(&text);
}

/* Another voice speaks only where it is configured, and then the answer says so, in every shape. */
static void test_fallback(void **state)
{
    (void)state;
    const char *missing = "{\"input\": \"Hello.\", \"voice\": \"af_sky\", \"response_format\": \"pcm\"}";
    const char *german = "{\"input\": \"Guten Tag.\", \"lang\": \"de\", \"response_format\": \"pcm\"}";
    again((const char *const[]){ "--access-log", "off", NULL });
    expect_problem(speak(&s, missing), 400, "voice_not_found", "voice");
    expect_spoken(german, "af_heart", "kokoro", NULL);
    again((const char *const[]){ "--access-log", "off", "--fallback", "missing, language", NULL });
    expect_spoken(missing, "af_heart", "kokoro", "voice 'af_sky' cannot speak; af_heart (kokoro) speaks instead");
    expect_spoken(german, "builtin:de", "builtin", "does not speak the language; builtin:de (builtin) speaks instead");
    expect_reply(speak(&s, "{\"input\": \"Hello.\", \"voice\": \"af_sky\", \"response_format\": \"pcm\", \"stream_format\": \"sse\"}"), 200,
                 "\"warning\":\"voice 'af_sky' cannot speak");
    expect_reply(post(&s, "/dev/captioned_speech", "{\"input\": \"Hello.\", \"voice\": \"af_sky\", \"response_format\": \"pcm\", \"stream\": false}"), 200,
                 "\"warning\":\"voice 'af_sky' cannot speak");
    reply r = speak(&s, "{\"input\": \"Hello.\", \"voice\": \"af_heart\", \"response_format\": \"pcm\"}"); /* asked for as such: the same bytes, no warning */
    assert_string_equal(header(&r, "X-Koe-Cache"), "hit");
    assert_null(header(&r, "X-Koe-Warning"));
    reply_free(&r);
    expect_reply(get(&s, "/metrics"), 200, "koe_fallbacks_total{reason=\"missing\"}");
}

/* A model that cannot be loaded: found out when it is to speak. */
static void test_broken_model(void **state)
{
    (void)state;
    char *kept = strdup(in_home("kept.onnx"));
    assert_int_equal(rename(in_home("kokoro/model.onnx"), kept), 0);
    write_file(home, "kokoro/model.onnx", "not a model", 11);
    again((const char *const[]){ "--access-log", "off", "--preload", "off", NULL });
    expect_problem(speak(&s, "{\"input\": \"Hello.\"}"), 500, "synthesis_failed", NULL);
    again((const char *const[]){ "--access-log", "off", "--preload", "off", "--fallback", "missing", NULL });
    for (int i = 0; i < 2; i++) { /* not kept under the name of the other */
        reply r = speak(&s, "{\"input\": \"Hello.\", \"response_format\": \"pcm\"}");
        assert_int_equal(r.status, 200);
        assert_string_equal(header(&r, "X-Koe-Engine"), "piper");
        assert_string_equal(header(&r, "X-Koe-Cache"), i ? "partial" : "miss"); /* the piece of speech is Piper's own */
        assert_null(header(&r, "ETag"));
        assert_non_null(strstr(header(&r, "X-Koe-Warning"), "voice 'af_heart' cannot speak"));
        reply_free(&r);
    }
    assert_int_equal(rename(kept, in_home("kokoro/model.onnx")), 0);
    free(kept);
}

/* A deployment of other servers: models and voices by their paths, none of them in the folder of models. */
static void test_paths_of_others(void **state)
{
    (void)state;
    char *empty = new_folder(), *voices = new_folder(), *old = s.home;
    static const float rows[510 * 256];
    write_file(voices, "af_river.bin", rows, sizeof rows);
    end_server(&s);
    setenv("KOKORO_MODEL_PATH", in_home("kokoro/model.onnx"), 1);
    setenv("KOKORO_VOICES_PATH", voices, 1);
    setenv("PIPER_MODEL_PATH", in_home("piper/one.onnx"), 1);
    start_server_at(&s, empty, NULL);
    expect_spoken("{\"input\": \"Hello.\", \"response_format\": \"pcm\"}", "af_river", "kokoro", NULL);
    expect_spoken("{\"input\": \"Hello.\", \"model\": \"piper\", \"response_format\": \"pcm\"}", "one", "piper", NULL);
    setenv("TTS_PROVIDER", "piper", 1);
    end_server(&s);
    start_server_at(&s, empty, NULL);
    expect_spoken("{\"input\": \"Hello.\", \"response_format\": \"pcm\"}", "one", "piper", NULL);
    unsetenv("KOKORO_MODEL_PATH");
    unsetenv("KOKORO_VOICES_PATH");
    unsetenv("PIPER_MODEL_PATH");
    unsetenv("TTS_PROVIDER");
    s.home = old;
    again((const char *const[]){ "--access-log", "off", NULL });
    remove_folder(empty);
    remove_folder(voices);
}

/* What the text asks for and the voice cannot do is said. */
static void test_text_warnings(void **state)
{
    (void)state;
    again((const char *const[]){ "--access-log", "off", NULL });
    const char *body = "{\"input\": \"Hello [voice:nobody] there.\", \"response_format\": \"pcm\"}";
    for (int i = 0; i < 2; i++) { /* made, and from the cache */
        reply r = speak(&s, body);
        const char *said = header(&r, "X-Koe-Warning");
        if (!said || !strstr(said, "nobody")) fail_msg("warning: %s", said ? said : "none");
        reply_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_speaks),
        cmocka_unit_test(test_combine),
        cmocka_unit_test(test_phonemes),
        cmocka_unit_test(test_reproducible),
        cmocka_unit_test(test_new_voice),
        cmocka_unit_test(test_replaced_in_mid_stream),
        cmocka_unit_test(test_fallback),
        cmocka_unit_test(test_broken_model),
        cmocka_unit_test(test_paths_of_others),
        cmocka_unit_test(test_text_warnings),
    };
    return cmocka_run_group_tests(tests, up, down);
}
