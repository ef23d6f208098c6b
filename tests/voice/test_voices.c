/* Who is installed, who is meant, and what is said when somebody is not there; then each network speaks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "home.h"
#include "onnx/onnx.h"
#include "voice/voice.h"

static koe_voices *open_voices(const char *model)
{
    koe_voices *v = NULL;
    koe_error err = { 0 };
    const koe_voices_setup setup = { .home = home, .model = model };
    if (koe_voices_open(&v, &setup, &err) != KOE_OK) fail_msg("%s", err.message);
    return v;
}

static void expect_voice(const koe_voices *v, const char *spelling, const char *name, const char *engine, const char *lang)
{
    koe_voice voice;
    koe_error err = { 0 };
    if (koe_voice_find(&voice, v, koe_str_of(spelling), &err) != KOE_OK) fail_msg("%s: %s", spelling, err.message);
    assert_string_equal(voice.name, name);
    assert_string_equal(voice.engine, engine);
    assert_string_equal(voice.lang, lang);
}

static void expect_error(const koe_voices *v, const char *spelling, koe_status want, const char *piece)
{
    koe_voice voice;
    koe_error err = { 0 };
    koe_status st = koe_voice_find(&voice, v, koe_str_of(spelling), &err);
    if (st != want || !strstr(err.message, piece)) fail_msg("'%s': %d, '%s' without '%s'", spelling, (int)st, err.message, piece);
    assert_int_equal(koe_voice_find(&voice, v, koe_str_of(spelling), NULL), want);
}

static void test_find(void **state)
{
    (void)state;
    make_home("kokoro_float.onnx");
    koe_voices *v = open_voices(NULL);
    expect_voice(v, "", "af_heart", "kokoro", "en-us");
    expect_voice(v, "bm_george", "bm_george", "kokoro", "en-gb");
    expect_voice(v, " af_bella + bm_george(3) ", "af_bella(0.25)+bm_george(0.75)", "kokoro", "en-us");
    expect_voice(v, "bm_george-af_bella", "bm_george(0.5)-af_bella(0.5)", "kokoro", "en-gb");
    expect_voice(v, "af_bella,af_bella", "af_bella", "kokoro", "en-us");
    expect_voice(v, "one", "one", "piper", "en-us");
    expect_voice(v, "en_GB-three-low", "en_GB-three-low", "piper", "en-us");
    expect_voice(v, "en_GB-three-low:spk2", "en_GB-three-low:spk2", "piper", "en-us");
    expect_voice(v, "en_GB-three-low#2", "en_GB-three-low#2", "piper", "en-us");
    expect_voice(v, "builtin", "builtin", "builtin", "en-us");
    expect_voice(v, "builtin:fr", "builtin:fr", "builtin", "fr");
    expect_voice(v, "builtin:German", "builtin:de", "builtin", "de");
    expect_error(v, "af_hart", KOE_E_NOT_FOUND, "af_heart");
    expect_error(v, "af_sky", KOE_E_NOT_FOUND, "not installed");
    expect_error(v, "af_heart+af_sky", KOE_E_NOT_FOUND, "'af_sky' is not installed");
    expect_error(v, "af_heart+one", KOE_E_ARGUMENT, "blended");
    expect_error(v, "en_GB-three-low#3", KOE_E_NOT_FOUND, "0 to 2");
    expect_error(v, "en_GB-three-low#", KOE_E_NOT_FOUND, "0 to 2");
    expect_error(v, "en_GB-tree-low", KOE_E_NOT_FOUND, "en_GB-three-low");
    expect_error(v, "builtin:klingonese", KOE_E_NOT_FOUND, "klingonese");
    expect_error(v, "xyzzy", KOE_E_NOT_FOUND, "no voice 'xyzzy'");
    size_t n, n_default = 0;
    const koe_voice_info *info = koe_voices_list(v, &n);
    for (size_t i = 0; i < n; i++) n_default += info[i].is_default;
    assert_int_equal(n_default, 1);
    assert_string_equal(info[1].name, "af_heart"); /* sorted by file */
    assert_string_equal(info[1].grade, "A");
    assert_string_equal(info[1].gender, "female");
    assert_true(info[1].is_default);
    koe_voices_close(v);
    remove_home();
}

static void test_missing_parts(void **state)
{
    (void)state;
    make_home(NULL); /* nothing at all */
    koe_voices *v = open_voices(NULL);
    expect_voice(v, "", "builtin", "builtin", "en-us");
    expect_error(v, "af_heart", KOE_E_NOT_FOUND, "koe pull kokoro");
    expect_error(v, "af_bella+af_sky", KOE_E_NOT_FOUND, "koe pull kokoro");
    koe_voices_close(v);

    link_data("kokoro_float.onnx", "kokoro/model.onnx"); /* a model without voices */
    v = open_voices(NULL);
    expect_voice(v, "", "builtin", "builtin", "en-us");
    expect_error(v, "af_heart", KOE_E_NOT_FOUND, "af_heart.bin");
    koe_voices_close(v);

    unlink(in_home("kokoro/model.onnx")); /* voices without a model */
    write_pack("kokoro/voices/af_own.bin", 0);
    v = open_voices(NULL);
    expect_voice(v, "", "builtin", "builtin", "en-us");
    expect_error(v, "af_own", KOE_E_NOT_FOUND, "model");
    koe_voices_close(v);

    link_data("piper_one.onnx", "piper/one.onnx"); /* a Piper voice without settings, another with broken ones */
    link_data("piper_one.onnx", "piper/two.onnx");
    assert_int_equal(koe_file_write_atomic(in_home("piper/two.onnx.json"), "{", 1, NULL), KOE_OK);
    assert_int_equal(koe_file_write_atomic(in_home("piper/three.onnx.json"), "{}", 2, NULL), KOE_OK);
    v = open_voices(NULL);
    expect_error(v, "one", KOE_E_NOT_FOUND, "one.onnx.json");
    expect_error(v, "two", KOE_E_FORMAT, "two.onnx.json cannot be read");
    expect_error(v, "three", KOE_E_NOT_FOUND, "lacks its model");
    koe_voices_close(v);
    koe_error err = { 0 };
    assert_int_equal(koe_voices_open(&v, &(koe_voices_setup){ .home = home, .model = in_home("none.onnx") }, &err),
                     KOE_E_NOT_FOUND);
    assert_int_equal(koe_voices_open(&v, &(koe_voices_setup){ .home = home, .model = home }, &err), KOE_E_FORMAT);
    unlink(in_home("kokoro/voices/af_own.bin"));
    link_data("kokoro_float.onnx", "alone.onnx"); /* asked for by name, and no voices anywhere: an error, not another voice */
    assert_int_equal(koe_voices_open(&v, &(koe_voices_setup){ .home = home, .model = in_home("alone.onnx") }, &err), KOE_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "no voices"));
    remove_home();
}

/* "həlˈO wˈɜɹld" and its two words. */
static const koe_word two_words[] = { { 0, 5, 0, 5 }, { 6, 5, 6, 6 } };
static const koe_segment hello = { .phonemes = { "h\xc9\x99l\xcb\x88O w\xcb\x88\xc9\x9c\xc9\xb9ld", 17 },
                                   .word = two_words,
                                   .n_word = 2 };

static size_t speak(const koe_voices *v, const char *spelling, double speed, koe_speech *out)
{
    koe_voice voice;
    koe_error err = { 0 };
    const koe_voice_job job = { .segment = &hello, .speed = speed };
    koe_status st = koe_voice_find(&voice, v, koe_str_of(spelling), &err);
    if (st == KOE_OK) st = koe_voice_speak(out, &voice, &job, &err);
    if (st != KOE_OK) fail_msg("%s: %s", spelling, err.message);
    assert_int_equal(out->rate_hz, voice.rate_hz);
    assert_int_equal(out->n_word, 2);
    assert_true(out->word[0].from < out->word[0].to && out->word[0].to == out->word[1].from);
    assert_true(out->word[1].from < out->word[1].to && out->word[1].to < out->n_samples);
    return out->n_samples;
}

/* Both exports give the same speech: with int32 speed and a duration output, and with float speed and none. */
static void test_kokoro(void **state)
{
    (void)state;
    size_t n_samples[2][3];
    koe_word_time last[2];
    for (int i = 0; i < 2; i++) {
        koe_speech s = { 0 };
        make_home(i ? "kokoro_float.onnx" : "kokoro_int.onnx");
        koe_voices *v = open_voices(NULL);
        n_samples[i][0] = speak(v, "af_heart", 1, &s);
        last[i] = s.word[1];
        n_samples[i][1] = speak(v, "af_heart", 0.5, &s);
        n_samples[i][2] = speak(v, "bm_george", 1, &s);
        size_t between = speak(v, "af_heart+bm_george", 1, &s);
        assert_true(n_samples[i][2] < between && between < n_samples[i][0]);
        for (int k = 0; k < 3; k++) assert_int_equal(n_samples[i][k] % 600, 0);
        assert_int_equal(last[i].to % 300, 0);
        assert_true(n_samples[i][1] > n_samples[i][0] * 3 / 2);
        koe_speech_free(&s);
        koe_voices_close(v);
        remove_home();
    }
    assert_memory_equal(n_samples[0], n_samples[1], sizeof n_samples[0]);
    assert_memory_equal(&last[0], &last[1], sizeof last[0]);
}

/* v0.19: packs of 511 rows in one voices.json, row n for n phonemes, its own ids, espeak-ng's phonemes. */
static void test_kokoro_v019(void **state)
{
    (void)state;
    koe_buf json = { 0 };
    koe_buf_adds(&json, "{\"af\":[");
    for (int row = 0; row < 511; row++) {
        koe_buf_adds(&json, row ? ",[[" : "[[");
        for (int i = 0; i < 256; i++) koe_buf_adds(&json, i ? row == 12 ? ",9" : ",-9" : row == 12 ? "9" : "-9");
        koe_buf_adds(&json, "]]");
    }
    koe_buf_adds(&json, "]}");
    make_home(NULL);
    link_data("kokoro_float.onnx", "kokoro/model.onnx");
    assert_int_equal(koe_file_write_atomic(in_home("kokoro/voices.json"), json.data, json.n, NULL), KOE_OK);
    koe_buf_free(&json);
    koe_voices *v = open_voices(NULL);
    koe_voice voice;
    koe_speech s = { 0 };
    koe_error err = { 0 };
    assert_int_equal(koe_voice_find(&voice, v, KOE_STR("af"), &err), KOE_OK);
    assert_int_equal(voice.alphabet, KOE_ALPHABET_ESPEAK);
    assert_string_equal(voice.espeak_voice, "en-us");
    /* A style of 9 drives every sigmoid to 1: 8 frames a token; -9 to almost none: 1 frame, the least. */
    const koe_segment twelve = { .phonemes = KOE_STR("hihihihihihi") }, thirteen = { .phonemes = KOE_STR("hihihihihihi!") };
    assert_int_equal(koe_voice_speak(&s, &voice, &(koe_voice_job){ .segment = &twelve, .speed = 1 }, &err), KOE_OK);
    assert_int_equal(s.n_samples, 14 * 8 * 600);
    assert_int_equal(koe_voice_speak(&s, &voice, &(koe_voice_job){ .segment = &thirteen, .speed = 1 }, &err), KOE_OK);
    assert_int_equal(s.n_samples, 15 * 1 * 600);
    koe_speech_free(&s);
    koe_voices_close(v);
    remove_home();
}

/* ^ _ a _ x x' _ $: the ids as Piper lays them out, read off the frames that the network gives to each. */
static void test_piper_ids(void **state)
{
    (void)state;
    static const int64_t ids[] = {
        1, 0, 14, 0, 14, 18, 0, 2
    }; /* of "a", of what has no id (0x1F600), and of "æ", which has two */
    const koe_segment segment = { .phonemes = KOE_STR("a\xf0\x9f\x98\x80\xc3\xa6") };
    make_home("kokoro_float.onnx");
    koe_onnx_model *m = NULL;
    assert_int_equal(koe_onnx_open(&m, in_home("piper/one.onnx"), NULL), KOE_OK);
    size_t frames = 0;
    for (size_t i = 0; i < m->graph.n_initializer; i++)
        for (size_t k = 0; koe_str_is(m->graph.initializer[i].name, "embedding") && k < sizeof ids / sizeof *ids; k++) {
            float w;
            memcpy(&w, (const char *)m->graph.initializer[i].t.data + 4 * ids[k], 4);
            frames += (size_t)ceilf(w);
        }
    koe_onnx_close(m);
    koe_voices *v = open_voices(NULL);
    koe_voice voice;
    koe_speech s = { 0 };
    koe_error err = { 0 };
    assert_int_equal(koe_voice_find(&voice, v, KOE_STR("one"), &err), KOE_OK);
    assert_int_equal(koe_voice_speak(&s, &voice, &(koe_voice_job){ .segment = &segment, .speed = 1 }, &err), KOE_OK);
    assert_int_equal(s.n_samples, frames * 256);
    koe_speech_free(&s);
    koe_voices_close(v);
    remove_home();
}

static void test_piper(void **state)
{
    (void)state;
    koe_speech s = { 0 };
    make_home("kokoro_float.onnx");
    koe_voices *v = open_voices(NULL);
    size_t normal = speak(v, "one", 1, &s);
    assert_int_equal(normal % 256, 0);
    assert_true(speak(v, "one", 0.5, &s) > normal * 3 / 2);
    size_t first = speak(v, "en_GB-three-low", 1, &s), third = speak(v, "en_GB-three-low:spk2", 1, &s);
    assert_int_equal(speak(v, "en_GB-three-low#2", 1, &s), third);
    assert_true(third > first);
    koe_speech_free(&s);
    koe_voices_close(v);
    v = open_voices(in_home("piper/one.onnx")); /* asked for by path: the default */
    expect_voice(v, "", "one", "piper", "en-us");
    koe_voices_close(v);
    remove_home();
}

/* Files of the wrong kind are refused when they are loaded, by name. */
static void test_wrong_model(void **state)
{
    (void)state;
    koe_voice voice;
    koe_speech s = { 0 };
    make_home("piper_one.onnx");
    koe_voices *v = open_voices(NULL);
    koe_error err = { 0 };
    assert_int_equal(koe_voice_find(&voice, v, KOE_STR("af_heart"), &err), KOE_OK);
    assert_int_equal(koe_voice_speak(&s, &voice, &(koe_voice_job){ .segment = &hello, .speed = 1 }, &err), KOE_E_FORMAT);
    assert_non_null(strstr(err.message, "model.onnx"));
    assert_non_null(strstr(err.message, "not a Kokoro model"));
    koe_voices_close(v);
    koe_speech_free(&s);
    remove_home();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),        cmocka_unit_test(test_missing_parts), cmocka_unit_test(test_kokoro),
        cmocka_unit_test(test_kokoro_v019), cmocka_unit_test(test_piper_ids),     cmocka_unit_test(test_piper),
        cmocka_unit_test(test_wrong_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
