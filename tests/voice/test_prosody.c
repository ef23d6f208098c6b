/* Rate, pitch and energy of single words: the curves are found in Kokoro's networks, scaled where the words are, and heard. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "home.h"
#include "koe.h"
#include "voice/acoustic.h"

static const char *model_path(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/models/%s.onnx", getenv("KOE_TEST_DATA"), name);
    return path;
}

static void test_curves_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bool found;
    } cases[] = { { "kokoro-tiny", true }, { "kokoro-v0-tiny", true }, { "kokoro-har-tiny", false }, { "piper-tiny", false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        koe_onnx_model *m;
        koe_error err = { 0 };
        koe_str pitch, energy;
        if (koe_onnx_open(&m, model_path(cases[i].model), &err) != KOE_OK) fail_msg("%s", err.message);
        assert_int_equal(koe_acoustic_find_curves(&m->graph, &pitch, &energy), cases[i].found);
        if (cases[i].found) { /* these exports have kept the names */
            assert_non_null(memmem(pitch.p, pitch.n, "F0_proj", 7));
            assert_non_null(memmem(energy.p, energy.n, "N_proj", 6));
        }
        koe_onnx_close(m);
    }
}

static koe_tensor curve_of(float *x, int64_t n) { return (koe_tensor){ .dtype = KOE_DTYPE_F32, .n_dim = 2, .dim = { 1, n }, .data = x }; }

/* Two words of two sounds each; the second one slower, higher and stronger. Frames come at twice the durations' rate, as Kokoro's. */
static void test_curves_are_scaled(void **state)
{
    (void)state;
    const koe_word words[] = { { .phoneme_at = 0, .phoneme_n = 2 }, { .phoneme_at = 3, .phoneme_n = 2 } };
    koe_prosody prosody[] = { KOE_PROSODY_PLAIN, { .rate = 0.5, .pitch_st = 12, .gain = 1, .energy = 2 } };
    const koe_segment segment = { .word = words, .n_word = 2, .prosody = prosody };
    koe_tokens tokens = { 0 };
    const size_t owners[] = { KOE_OWNER_LEAD, 0, 1, 2, 3, 4, KOE_OWNER_TAIL };
    for (size_t i = 0; i < 7; i++) assert_int_equal(koe_tokens_add(&tokens, 1, owners[i], NULL), KOE_OK);
    koe_shape s;
    assert_int_equal(koe_shape_init(&s, &tokens, &segment, NULL), KOE_OK);
    float d[7] = { 2, 2, 2, 2, 2, 2, 2 }, f0[36], energy[36];
    const float want_d[7] = { 2, 2, 2, 2, 4, 4, 2 };
    koe_tensor t = curve_of(d, 7);
    assert_int_equal(koe_shape_durations(&s, &t, 1, NULL), KOE_OK);
    assert_memory_equal(d, want_d, sizeof d);
    for (int i = 0; i < 36; i++) f0[i] = i % 2 ? 100 : 3, energy[i] = -1;
    t = curve_of(f0, 36), koe_shape_pitch(&s, &t);
    t = curve_of(energy, 36), koe_shape_energy(&s, &t);
    for (int i = 0; i < 36; i++) {
        const bool second = i >= 16 && i < 32;
        if (fabsf(f0[i] - (i % 2 ? second ? 200.f : 100.f : 3.f)) > 1e-3f) fail_msg("F0 of frame %d is %g", i, (double)f0[i]);
        if (fabsf(energy[i] - (second ? -1 + logf(2) : -1)) > 1e-5f) fail_msg("energy of frame %d is %g", i, (double)energy[i]);
    }
    koe_shape_deinit(&s);
    assert_int_equal(koe_shape_init(&s, &tokens, &segment, NULL), KOE_OK);
    t = curve_of(d, 3);
    assert_int_equal(koe_shape_durations(&s, &t, 1, NULL), KOE_E_FORMAT);
    koe_shape_deinit(&s);
    koe_tokens_deinit(&tokens);
}

/* Words that are to last together as long as their element says, whatever they would; the others as they would. */
static void test_group_lasts(void **state)
{
    (void)state;
    const koe_word words[] = { { .phoneme_at = 0, .phoneme_n = 2 }, { .phoneme_at = 2, .phoneme_n = 1 }, { .phoneme_at = 3, .phoneme_n = 2 } };
    koe_prosody prosody[] = { KOE_PROSODY_PLAIN, KOE_PROSODY_PLAIN, KOE_PROSODY_PLAIN };
    prosody[1].duration_s = prosody[2].duration_s = 0.15;
    prosody[1].group = prosody[2].group = 1;
    const koe_segment segment = { .word = words, .n_word = 3, .prosody = prosody };
    const size_t owners[] = { KOE_OWNER_LEAD, 0, 1, 2, 3, 4, KOE_OWNER_TAIL };
    koe_tokens tokens = { 0 };
    for (size_t i = 0; i < 7; i++) assert_int_equal(koe_tokens_add(&tokens, 1, owners[i], NULL), KOE_OK);
    koe_shape s;
    assert_int_equal(koe_shape_init(&s, &tokens, &segment, NULL), KOE_OK);
    s.frame_s = 0.025;
    float d[7] = { 2, 2, 2, 1, 3, 2, 2 };
    koe_tensor t = curve_of(d, 7);
    assert_int_equal(koe_shape_durations(&s, &t, 1, NULL), KOE_OK);
    assert_true(d[0] == 2 && d[1] == 2 && d[2] == 2 && d[6] == 2);
    if (fabsf(d[3] + d[4] + d[5] - 12) > 1e-3f) fail_msg("%g frames, want 12: 0.3 s", (double)(d[3] + d[4] + d[5]));
    koe_shape_deinit(&s);
    prosody[1].duration_s = prosody[2].duration_s = 0;
    prosody[1].range_pct = -100; /* monotone */
    assert_int_equal(koe_shape_init(&s, &tokens, &segment, NULL), KOE_OK);
    float f0[14];
    assert_int_equal(koe_shape_durations(&s, &t, 1, NULL), KOE_OK);
    for (int i = 0; i < 14; i++) f0[i] = i % 2 ? 100 : 200;
    t = curve_of(f0, 14), koe_shape_pitch(&s, &t);
    size_t n_flat = 0;
    for (int i = 0; i < 14; i++) n_flat += fabsf(f0[i] - 150) < 1e-3f;
    assert_true(n_flat > 0 && n_flat < 14);
    koe_shape_deinit(&s);
    koe_tokens_deinit(&tokens);
}

typedef struct times {
    double length_s[4]; /* of words */
    size_t n;
    double power, rough; /* of the samples, and of their differences: higher is rougher */
} times;

static bool listen(void *user, const koe_audio *a)
{
    times *t = user;
    for (size_t i = 0; i < a->n_words && t->n < 4; i++) t->length_s[t->n++] = a->words[i].end_s - a->words[i].start_s;
    for (size_t i = 1; i < a->n_samples; i++) t->power += (double)(a->samples[i] * a->samples[i]), t->rough += fabs((double)(a->samples[i] - a->samples[i - 1]));
    return true;
}

static times hear(koe_engine *e, const char *text, const char *voice)
{
    times t = { 0 };
    koe_error err = { 0 };
    if (koe_speak(e, &(koe_request){ .text = text, .voice = voice, .zero_noise = true }, listen, &t, &err) != KOE_OK) fail_msg("%s: %s", text, err.message);
    assert_int_equal(t.n, 4);
    return t;
}

/* Through the whole engine: one slow word takes twice its time (frames are whole), the others theirs; pitch changes the sound alone. */
static void test_words_are_heard(void **state)
{
    (void)state;
    static const char *const models[] = { "kokoro-tiny", "piper-tiny" };
    for (size_t m = 0; m < 2; m++) {
        make_home(NULL);
        if (m == 0) write_pack("kokoro/voices/af_heart.bin", 0);
        koe_engine *e = NULL;
        koe_error err = { 0 };
        const koe_engine_options opt = { .home = home, .model = model_path(models[m]), .threads = 1, .precision = "f32" };
        if (koe_engine_open(&e, &opt, &err) != KOE_OK) fail_msg("%s", err.message);
        const times plain = hear(e, "one two seven four", NULL), slow = hear(e, "one two [rate:0.5]seven[/rate] four", NULL);
        const times fast = hear(e, "one two [rate:4]seven[/rate] four", NULL), loud = hear(e, "one two [volume:50]seven[/volume] four", NULL);
        const double around = 0.08; /* half of a space is the word's, and tokens are whole frames of 25 ms */
        if (fabs(slow.length_s[2] - 2 * plain.length_s[2]) > 2 * around) fail_msg("%s: %g s, was %g s", models[m], slow.length_s[2], plain.length_s[2]);
        if (fast.length_s[2] > plain.length_s[2] / 1.5) fail_msg("%s: %g s, was %g s", models[m], fast.length_s[2], plain.length_s[2]);
        for (size_t i = 0; i < 2; i++)
            if (fabs(slow.length_s[i] - plain.length_s[i]) > around) fail_msg("%s: word %zu %g s, was %g s", models[m], i, slow.length_s[i], plain.length_s[i]);
        assert_true(loud.power < plain.power);
        const times high = hear(e, "one two [pitch:+12st]seven[/pitch] four", NULL);
        for (size_t i = 0; i < 4; i++) assert_true(fabs(high.length_s[i] - plain.length_s[i]) < 1e-9);
        assert_true((high.rough != plain.rough) == (m == 0)); /* Piper has no control of pitch */
        koe_engine_close(e);
        remove_home();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_curves_are_found), cmocka_unit_test(test_curves_are_scaled),
                                        cmocka_unit_test(test_group_lasts),
                                        cmocka_unit_test(test_words_are_heard) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
