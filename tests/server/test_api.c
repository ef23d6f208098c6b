/* The routes of koe serve as clients use them, with the built-in voice. */
#include "server.h"

#include "audio/wav.h"

static server s;

static int up(void **state)
{
    (void)state;
    start_server(&s, NULL);
    return 0;
}

static int down(void **state)
{
    (void)state;
    stop_server(&s);
    return 0;
}

static void test_formats(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type, *magic;
        size_t magic_at;
    } formats[] = {
        { "mp3", "audio/mpeg", "", 0 },   { "opus", "audio/opus", "OggS", 0 }, { "aac", "audio/aac", "\xff", 0 }, { "flac", "audio/flac", "fLaC", 0 },
        { "wav", "audio/wav", "WAVE", 8 }, { "pcm", "audio/pcm", "", 0 },       { "ogg", "audio/ogg", "OggS", 0 }, { "ulaw", "audio/basic", "", 0 },
        { "alaw", "audio/x-alaw-basic", "", 0 },
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        for (int whole = 0; whole < 2; whole++) {
            char body[200];
            snprintf(body, sizeof body, "{\"input\": \"Hello there, %d.\", \"response_format\": \"%s\", \"stream\": %s}", whole, formats[i].name,
                     whole ? "false" : "true");
            reply r = speak(&s, body);
            if (r.status == 400 && strstr(r.body.data, "FFmpeg")) { /* the libraries are not on this machine */
                reply_free(&r);
                continue;
            }
            assert_int_equal(r.status, 200);
            assert_string_equal(header(&r, "Content-Type"), formats[i].type);
            assert_string_equal(header(&r, "X-Koe-Engine"), "builtin");
            assert_non_null(header(&r, "X-Koe-Warning"));
            assert_non_null(header(&r, "X-Request-Id"));
            assert_true(r.whole);
            assert_true(r.body.n > 500);
            assert_memory_equal(r.body.data + formats[i].magic_at, formats[i].magic, strlen(formats[i].magic));
            if (whole) assert_non_null(header(&r, "Content-Length"));
            reply_free(&r);
        }
}

/* A whole WAV has exact sizes; PCM has no header. */
static void test_wav(void **state)
{
    (void)state;
    reply wav = speak(&s, "{\"input\": \"One two three.\", \"response_format\": \"wav\", \"stream\": false}");
    reply pcm = speak(&s, "{\"input\": \"One two three.\", \"response_format\": \"pcm\", \"sample_rate\": 22050, \"stream\": false}");
    uint32_t data = 0;
    assert_int_equal(wav.status, 200);
    memcpy(&data, wav.body.data + 40, 4);
    assert_int_equal(data, wav.body.n - KOE_WAV_HEADER_BYTES);
    assert_int_equal(pcm.body.n, data);
    reply_free(&wav);
    reply_free(&pcm);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const paths[] = { "/v1/audio/speech", "/audio/speech", "/v1/audio/speech/audio/speech", "/v1/audio/speech/v1/audio/speech",
                                         "/audio/speech/" };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        expect_reply(post(&s, paths[i], "{\"input\": \"Hi.\", \"response_format\": \"pcm\", \"unknown\": {}, \"speed\": null}"), 200, NULL);
    expect_problem(get(&s, "/v1/nothing"), 404, "not_found", NULL);
    expect_reply(get(&s, "/"), 200, "<title>koe studio</title>");
    expect_reply(get(&s, "/dashboard"), 200, "<title>koe dashboard</title>");
    expect_reply(get(&s, "/web/studio.js"), 200, "captioned_speech");
    expect_problem(get(&s, "/web/../etc/passwd"), 404, "not_found", NULL);
    reply r = ask(&s, "GET", "/v1/audio/speech", NULL, NULL);
    assert_string_equal(header(&r, "Allow"), "POST, OPTIONS");
    expect_problem(r, 405, "method_not_allowed", NULL);
    r = ask(&s, "OPTIONS", "/v1/audio/speech", "Access-Control-Request-Headers: x-stainless-lang\r\n", NULL);
    assert_string_equal(header(&r, "Access-Control-Allow-Headers"), "x-stainless-lang");
    assert_string_equal(header(&r, "Access-Control-Allow-Origin"), "*");
    expect_reply(r, 204, NULL);
    expect_reply(ask(&s, "HEAD", "/v1/models", NULL, NULL), 200, NULL);
    r = ask(&s, "GET", "/health", "X-Request-Id: abc-1\r\n", NULL);
    assert_string_equal(header(&r, "X-Request-Id"), "abc-1");
    expect_reply(r, 200, "{\"status\":\"healthy\"}");
}

static void test_lists(void **state)
{
    (void)state;
    expect_reply(get(&s, "/v1/models"), 200, "{\"object\":\"list\",\"data\":[{\"id\":\"builtin\",\"object\":\"model\"");
    expect_reply(get(&s, "/v1/models/tts-1"), 200, "\"id\":\"tts-1\"");
    expect_problem(get(&s, "/v1/models/gpt-5"), 404, "model_not_found", "model");
    expect_reply(get(&s, "/v1/audio/models"), 200, "{\"models\":[{\"id\":");
    expect_reply(get(&s, "/v1/audio/voices"), 200, "{\"id\":\"builtin\",\"name\":\"builtin\",\"language\":\"en-us\"");
    expect_reply(get(&s, "/v1/audio/voices?legacy=true"), 200, "{\"voices\":[\"builtin\"");
    expect_reply(get(&s, "/status"), 200, "\"version\"");
    expect_reply(get(&s, "/metrics"), 200, "koe_time_to_first_byte_seconds_bucket{le=\"+Inf\"}");
    expect_reply(get(&s, "/health/ready"), 200, "ready");
}

static void test_wrong_requests(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int status;
        const char *code, *param;
    } wrong[] = {
        { "", 400, "invalid_json", NULL },
        { "{\"input\": \"Hi\"", 400, "invalid_json", NULL },
        { "[1]", 400, "invalid_json", NULL },
        { "{\"input\": \"\xff\"}", 400, "invalid_json", NULL },
        { "{}", 400, "missing_field", "input" },
        { "{\"input\": null}", 400, "missing_field", "input" },
        { "{\"input\": 5}", 400, "invalid_type", "input" },
        { "{\"input\": \"  \"}", 400, "invalid_value", "input" },
        { "{\"input\": \"Hi\", \"speed\": 9}", 400, "invalid_value", "speed" },
        { "{\"input\": \"Hi\", \"speed\": \"fast\"}", 400, "invalid_type", "speed" },
        { "{\"input\": \"Hi\", \"voice\": \"nobody\"}", 400, "voice_not_found", "voice" },
        { "{\"input\": \"Hi\", \"voice\": {}}", 400, "invalid_value", "voice" },
        { "{\"input\": \"Hi\", \"model\": \"whisper-1\"}", 404, "model_not_found", "model" },
        { "{\"input\": \"Hi\", \"response_format\": \"midi\"}", 400, "invalid_value", "response_format" },
        { "{\"input\": \"Hi\", \"stream_format\": \"tar\"}", 400, "invalid_value", "stream_format" },
        { "{\"input\": \"Hi\", \"stream\": \"yes\"}", 400, "invalid_type", "stream" },
        { "{\"input\": \"Hi\", \"lang\": \"klingon\"}", 400, "invalid_value", "lang" },
        { "{\"input\": \"Hi\", \"sample_rate\": 1}", 400, "invalid_value", "sample_rate" },
        { "{\"input\": \"Hi\", \"sample_rate\": 16000.5}", 400, "invalid_type", "sample_rate" },
        { "{\"input\": \"Hi\", \"bitrate\": 1}", 400, "invalid_value", "bitrate" },
        { "{\"input\": \"Hi\", \"bitrate\": \"96k\"}", 400, "invalid_type", "bitrate" },
        { "{\"input\": \"Hi\", \"volume\": -1}", 400, "invalid_value", "volume" },
        { "{\"input\": \"Hi\", \"volume_multiplier\": \"loud\"}", 400, "invalid_type", "volume_multiplier" },
        { "{\"input\": \"Hi\", \"pause\": 11}", 400, "invalid_value", "pause" },
        { "{\"input\": \"Hi\", \"seed\": -1}", 400, "invalid_value", "seed" },
        { "{\"input\": \"Hi\", \"timestamps\": \"word\"}", 400, "invalid_type", "timestamps" },
        { "{\"input\": \"Hi\", \"voice\": {\"id\": 5}}", 400, "invalid_type", "voice" },
        { "{\"input\": \"Hi\", \"pitch\": 30}", 400, "invalid_value", "pitch" },
        { "{\"input\": \"Hi\", \"seed\": 18446744073709551615}", 400, "invalid_value", "seed" },
        { "{\"input\": \"Hi\", \"seed\": 1e400}", 400, "invalid_json", NULL },
        { "{\"input\": \"Hi\\u0000\"}", 400, "invalid_value", "input" },
        { "{\"input\": \"Hi\", \"voice\": \"af\\u0000\"}", 400, "invalid_value", "voice" },
        { "{\"input\": \"Hi\", \"lexicon\": \"../user\"}", 400, "invalid_value", "lexicon" },
        { "{\"input\": \"Hi\", \"lexicon\": \"a\\u0000\"}", 400, "invalid_value", "lexicon" },
        { "{\"input\": \"Hi\", \"lexicon\": 5}", 400, "invalid_type", "lexicon" },
        { "{\"input\": \"Hi\", \"lexicon\": {\"a\": 5}}", 400, "invalid_value", "lexicon" },
        { "{\"input\": \"Hi\", \"normalization_options\": {\"unit_normalization\": 1}}", 400, "invalid_type", "unit_normalization" },
        { "{\"input\": \"Hi\", \"allow_voice_tags\": \"no\"}", 400, "invalid_type", "allow_voice_tags" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) expect_problem(speak(&s, wrong[i].body), wrong[i].status, wrong[i].code, wrong[i].param);
    expect_problem(ask(&s, "POST", "/v1/audio/speech", "Content-Type: multipart/form-data\r\n", "{}"), 415, "unsupported_media_type", NULL);
}

static void test_voices(void **state)
{
    (void)state;
    reply r = speak(&s, "{\"input\": \"Hi.\", \"voice\": \"alloy\", \"model\": \"tts-1\", \"response_format\": \"pcm\"}");
    assert_non_null(strstr(header(&r, "X-Koe-Warning"), "af_alloy is not installed"));
    expect_reply(r, 200, NULL);
    r = speak(&s, "{\"input\": \"Salut.\", \"voice\": {\"id\": \"fr\"}, \"voice_aliases\": {\"fr\": \"builtin:fr\"}, \"response_format\": \"pcm\"}");
    assert_string_equal(header(&r, "X-Koe-Voice"), "builtin:fr");
    expect_reply(r, 200, NULL);
    /* the names hold in the text, too, and what they stand for makes another answer */
    char tag[2][40];
    for (int i = 0; i < 2; i++) {
        r = speak(&s, i ? "{\"input\": \"[voice:Ann]Salut.\", \"voice\": \"builtin\", \"voice_aliases\": {\"Ann\": \"builtin:de\"}, \"response_format\": \"pcm\"}"
                        : "{\"input\": \"[voice:Ann]Salut.\", \"voice\": \"builtin\", \"voice_aliases\": {\"Ann\": \"builtin:fr\"}, \"response_format\": \"pcm\"}");
        snprintf(tag[i], sizeof tag[i], "%.38s", header(&r, "ETag"));
        assert_null(header(&r, "X-Koe-Warning"));
        expect_reply(r, 200, NULL);
    }
    assert_string_not_equal(tag[0], tag[1]);
    expect_problem(speak(&s, "{\"input\": \"Hi.\", \"voice_aliases\": {\"Ann\": 5}}"), 400, "invalid_type", "voice_aliases");
    expect_problem(post(&s, "/v1/audio/voices/combine", "{\"name\": 5, \"voices\": \"af_a\"}"), 400, "invalid_value", "name");
    expect_problem(post(&s, "/v1/audio/voices/combine", "\"af_a+af_b\""), 400, "voice_not_found", "voices");
}

static void test_sse(void **state)
{
    (void)state;
    reply r = speak(&s, "{\"input\": \"One thing. Another thing.\", \"stream_format\": \"sse\", \"timestamps\": true, \"response_format\": \"pcm\"}");
    assert_int_equal(r.status, 200);
    assert_string_equal(header(&r, "Content-Type"), "text/event-stream");
    assert_int_equal(strncmp(r.body.data, "data: {\"type\":\"speech.audio.delta\",\"audio\":\"", 43), 0);
    assert_non_null(strstr(r.body.data, "{\"type\":\"speech.audio.timestamps\",\"timestamps\":[{\"word\":\"One\",\"start_time\":"));
    assert_non_null(strstr(r.body.data, "{\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":25,\"output_tokens\":"));
    assert_int_equal(strcmp(r.body.data + r.body.n - 2, "\n\n"), 0);
    reply_free(&r);
}

static void test_captioned(void **state)
{
    (void)state;
    reply r = post(&s, "/dev/captioned_speech", "{\"input\": \"Caf\xc3\xa9 one. Two.\", \"stream\": false, \"response_format\": \"pcm\"}");
    assert_int_equal(r.status, 200);
    json_t *j = json_loads(r.body.data, 0, NULL), *words = json_object_get(j, "timestamps");
    assert_int_equal(json_array_size(words), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(words, 0), "word")), "Caf\xc3\xa9");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(words, 1), "offset")), 5); /* characters */
    assert_string_equal(json_string_value(json_object_get(j, "audio_format")), "audio/pcm");
    json_decref(j);
    reply_free(&r);
    r = post(&s, "/dev/captioned_speech", "{\"input\": \"One. Two.\", \"response_format\": \"pcm\"}");
    for (char *line = r.body.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        j = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_non_null(json_object_get(j, "audio"));
        json_decref(j);
    }
    expect_reply(r, 200, NULL);
    expect_reply(post(&s, "/dev/captioned_speech", "{\"input\": 1}"), 400, "input");
}

static void test_phonemes(void **state)
{
    (void)state;
    expect_reply(post(&s, "/dev/phonemize", "{\"text\": \"Hello\", \"language\": \"a\"}"), 200, "{\"phonemes\":\"h\xc9\x99l\xcb\x88O\",\"tokens\":["); /* the built-in voice reads text itself */
    expect_problem(post(&s, "/dev/phonemize", "{\"text\": \"\"}"), 400, "invalid_value", "text");
    expect_problem(post(&s, "/dev/phonemize", "{\"language\": null}"), 400, "missing_field", "text");
    expect_problem(post(&s, "/dev/phonemize", "{\"text\": \"Hello\", \"language\": 5}"), 400, "invalid_type", "language");
    expect_problem(post(&s, "/v1/audio/voices/combine", "[\"nobody\", \"builtin\"]"), 400, "voice_not_found", "voices");
    expect_problem(ask(&s, "POST", "/v1/audio/voices/combine", "Content-Type: text/plain\r\n", "\"af_bella+af_heart\""), 415, "unsupported_media_type", NULL);
    expect_problem(post(&s, "/dev/generate_from_phonemes", "{\"phonemes\": 1}"), 400, "invalid_type", "phonemes");
}

/* The second time it comes from the cache, and a client that has it is told so. */
static void test_cache(void **state)
{
    (void)state;
    const char *body = "{\"input\": \"Said twice.\", \"response_format\": \"flac\"}";
    char line[1100];
    reply first = speak(&s, body);
    assert_string_equal(header(&first, "X-Koe-Cache"), "miss");
    reply second = speak(&s, body);
    assert_string_equal(header(&second, "X-Koe-Cache"), "hit");
    assert_int_equal(first.body.n, second.body.n);
    assert_memory_equal(first.body.data, second.body.data, first.body.n);
    snprintf(line, sizeof line, "If-None-Match: %s\r\n", header(&second, "ETag"));
    expect_reply(ask(&s, "POST", "/v1/audio/speech", line, body), 304, NULL);
    expect_reply(get(&s, "/status"), 200, "\"hits\":");
    expect_reply(ask(&s, "DELETE", "/cache", NULL, NULL), 200, "true");
    reply third = speak(&s, body);
    assert_string_equal(header(&third, "X-Koe-Cache"), "miss");
    reply_free(&first);
    reply_free(&second);
    reply_free(&third);
}

static void test_trace(void **state)
{
    (void)state;
    reply r = ask(&s, "POST", "/v1/audio/speech", "X-Koe-Trace: 1\r\n", "{\"input\": \"Trace me.\", \"response_format\": \"pcm\"}");
    assert_non_null(strstr(header(&r, "Server-Timing"), "synthesis;dur="));
    expect_reply(r, 200, NULL);
}

/* Two requests in one packet, then the client closes its half: both are answered, in order. */
static void test_pipelined_and_half_closed(void **state)
{
    (void)state;
    reply r;
    const int fd = dial(&s);
    send_request(fd, "GET", "/health", NULL, NULL);
    send_request(fd, "POST", "/v1/audio/speech", "Connection: close\r\n", "{\"input\": \"Half closed.\", \"response_format\": \"wav\"}");
    shutdown(fd, SHUT_WR);
    read_reply(fd, &r, false);
    expect_reply(r, 200, "healthy");
    read_reply(fd, &r, false);
    assert_true(r.whole);
    assert_true(r.body.n > 5000);
    expect_reply(r, 200, NULL);
    close(fd);
}

/* Bytes of sound of a request, whose body is { MORE "response_format": "pcm" }. */
static size_t sound_of(const char *more)
{
    koe_buf body = { 0 };
    koe_buf_printf(&body, "{%s, \"response_format\": \"pcm\"}", more);
    reply r = speak(&s, body.data);
    if (r.status != 200) fail_msg("%s: %d %s", more, r.status, r.body.data);
    const size_t n = r.body.n;
    reply_free(&r);
    koe_buf_free(&body);
    return n;
}

static int peak_of(const char *more)
{
    koe_buf body = { 0 };
    int peak = 0;
    koe_buf_printf(&body, "{\"input\": \"How loud is this?\", \"response_format\": \"pcm\"%s}", more);
    reply r = speak(&s, body.data);
    if (r.status != 200) fail_msg("%s: %d %s", more, r.status, r.body.data);
    for (size_t i = 0; i + 1 < r.body.n; i += 2) {
        int16_t x;
        memcpy(&x, r.body.data + i, 2);
        if (abs(x) > peak) peak = abs(x);
    }
    reply_free(&r);
    koe_buf_free(&body);
    return peak;
}

/* What a request says about the sound is in the sound; null says nothing. */
static void test_sound_options(void **state)
{
    (void)state;
    const char *text = "\"input\": \"One is said. Two is said.\"", *nulls =
        "\"input\": \"One is said. Two is said.\", \"voice\": null, \"model\": null, \"speed\": null, \"stream\": null, \"stream_format\": null, "
        "\"instructions\": null, \"lang\": null, \"lang_code\": null, \"seed\": null, \"sample_rate\": null, \"bitrate\": null, \"volume\": null, "
        "\"volume_multiplier\": null, \"pitch\": null, \"normalize\": null, \"lexicon\": null, \"timestamps\": null, \"return_timing\": null, "
        "\"pause\": null, \"ssml\": null, \"voice_aliases\": null, \"allow_voice_tags\": null, \"normalization_options\": null";
    char more[300];
    const size_t plain = sound_of(text);
    assert_int_equal(sound_of(nulls), plain);
    snprintf(more, sizeof more, "%s, \"voice\": {\"id\": \"builtin\"}", text);
    assert_int_equal(sound_of(more), plain);
    snprintf(more, sizeof more, "%s, \"sample_rate\": 48000", text);
    assert_true(llabs((long long)sound_of(more) - 2 * (long long)plain) < 200);
    const size_t apart = sound_of("\"input\": \"One is said.\\n\\nTwo is said.\"");
    const size_t far_apart = sound_of("\"input\": \"One is said.\\n\\nTwo is said.\", \"pause\": 3");
    if (far_apart < apart + 4800) fail_msg("paragraphs: %zu bytes, with three times the pause %zu", apart, far_apart); /* a tenth of a second */
    assert_true(sound_of("\"input\": \"One is said.\\n\\nTwo is said.\", \"pause\": 0") + 4800 < apart);
    const int peak = peak_of("");
    assert_true(peak > 1000);
    assert_true(abs(2 * peak_of(", \"volume\": 0.5") - peak) <= peak / 50);
    assert_true(abs(2 * peak_of(", \"volume_multiplier\": 0.5") - peak) <= peak / 50);
    assert_int_equal(peak_of(", \"volume\": 0"), 0);
}

/* HEAD has the head of GET, and the connection goes on behind it. */
static void test_head(void **state)
{
    (void)state;
    static const char *const paths[] = { "/v1/models", "/v1/audio/voices", "/health", "/v1/nothing" };
    reply r;
    const int fd = dial(&s);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        reply whole = get(&s, paths[i]);
        const size_t n = strtoul(header(&whole, "Content-Length"), NULL, 10);
        send_request(fd, "HEAD", paths[i], NULL, NULL);
        read_reply(fd, &r, true);
        assert_int_equal(r.status, whole.status);
        assert_int_equal(strtoul(header(&r, "Content-Length"), NULL, 10), n + (size_t)(r.status == 404)); /* which names the method */
        reply_free(&r);
        reply_free(&whole);
    }
    close(fd);
}

/* What a request says about how its text is read is heard, and is part of the cache's key. */
static void test_reading_options(void **state)
{
    (void)state;
    static const struct {
        const char *text, *options; /* what the options make longer or shorter */
    } cases[] = {
        { "It weighs 5 kg.", "\"normalization_options\": {\"unit_normalization\": false}" },
        { "See www.example.com/a_b now.", "\"normalization_options\": {\"url_normalization\": false}" },
        { "Ask me@example.org now.", "\"normalization_options\": {\"email_normalization\": false, \"url_normalization\": false}" },
        { "Your file(s).", "\"normalization_options\": {\"optional_pluralization_normalization\": false}" },
        { "Call 555-0123 now.", "\"normalization_options\": {\"phone_normalization\": false}" },
        { "It is \u00ae \u00ae \u00ae koe.", "\"normalization_options\": {\"replace_remaining_symbols\": false}" },
        { "It weighs 5 kg.", "\"normalize\": false" },
        { "Hello koe.", "\"lexicon\": {\"koe\": {\"alias\": \"a much longer thing\"}}" },
        { "Hello koe.", "\"lexicon\": [{\"word\": \"koe\", \"alias\": \"another quite long thing\"}]" },
        { "Hello koe.", "\"lexicon\": \"<lexicon><lexeme><grapheme>koe</grapheme><alias>a thing of PLS</alias></lexeme></lexicon>\"" },
        { "[voice:builtin:ja]Hello to you all.", "\"allow_voice_tags\": false" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char plain[400], with[800];
        snprintf(plain, sizeof plain, "\"input\": \"%s\"", cases[i].text);
        snprintf(with, sizeof with, "%s, %s", plain, cases[i].options);
        const long long difference = llabs((long long)sound_of(plain) - (long long)sound_of(with));
        if (difference < 4000) fail_msg("%s: %lld bytes are no difference", with, difference);
    }
    expect_problem(speak(&s, "{\"input\": \"Hi.\", \"lexicon\": \"nobody\"}"), 400, "invalid_value", "lexicon");
}

/* A lexicon that changes while the server runs is heard in the next answer, cached or not. */
static void test_installed_lexicon(void **state)
{
    (void)state;
    char path[4096];
    const char *before = "{\"zounds\": {\"alias\": \"a much longer thing than that\"}}";
    const size_t plain = sound_of("\"input\": \"zounds\"");
    snprintf(path, sizeof path, "%s/lexicon", s.home);
    assert_int_equal(koe_file_make_dirs(path, NULL), KOE_OK);
    snprintf(path, sizeof path, "%s/lexicon/user.json", s.home);
    assert_int_equal(koe_file_write_atomic(path, before, strlen(before), NULL), KOE_OK);
    assert_true(sound_of("\"input\": \"zounds\"") > plain);
    remove(path);
    assert_int_equal(sound_of("\"input\": \"zounds\""), plain);
}

static void test_marks(void **state)
{
    (void)state;
    reply r = speak(&s, "{\"input\": \"<speak><mark name='a'/>One. <mark name='b'/><break time='2s'/>Two.<mark name='c'/></speak>\", "
                        "\"stream_format\": \"sse\", \"response_format\": \"pcm\"}");
    assert_non_null(strstr(r.body.data, "data: {\"type\":\"speech.audio.mark\",\"name\":\"a\",\"time\":0"));
    assert_non_null(strstr(r.body.data, "\"name\":\"b\",\"time\":"));
    assert_non_null(strstr(r.body.data, "\"name\":\"c\",\"time\":"));
    expect_reply(r, 200, NULL);
    expect_reply(post(&s, "/dev/captioned_speech", "{\"input\": \"[mark:x]One.\", \"stream\": false, \"response_format\": \"pcm\"}"), 200,
                 "\"marks\":[{\"type\":\"speech.audio.mark\",\"name\":\"x\",\"time\":");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading_options), cmocka_unit_test(test_installed_lexicon), cmocka_unit_test(test_marks),
        cmocka_unit_test(test_formats),  cmocka_unit_test(test_wav),       cmocka_unit_test(test_paths),    cmocka_unit_test(test_lists),
        cmocka_unit_test(test_wrong_requests), cmocka_unit_test(test_voices), cmocka_unit_test(test_sse),   cmocka_unit_test(test_captioned),
        cmocka_unit_test(test_phonemes), cmocka_unit_test(test_cache),     cmocka_unit_test(test_trace),    cmocka_unit_test(test_pipelined_and_half_closed),
        cmocka_unit_test(test_sound_options), cmocka_unit_test(test_head),
    };
    return cmocka_run_group_tests(tests, up, down);
}
