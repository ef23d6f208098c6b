/* Trimming, limiting and fading: nothing audible is lost, nothing clicks, nothing exceeds full scale. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "audio/audio.h"

enum { RATE = 24000 };

static float tone(size_t i, float amplitude) { return amplitude * (float)sin(0.1 * (double)i); }

static void test_trim_keeps_sound(void **state)
{
    (void)state;
    static float x[RATE];
    for (size_t i = 8000; i < 16000; i++) x[i] = tone(i, 0.5f);
    for (size_t i = 7000; i < 8000; i++) x[i] = tone(i, 0.002f); /* a soft onset, 48 dB down */
    koe_audio_span s = koe_audio_trim(x, RATE, RATE);
    assert_true(s.at <= 7000 - 960 + 240 && s.at >= 7000 - 960 - 240);
    assert_true(s.at + s.n >= 16000 + 1920 - 240 && s.at + s.n <= 16000 + 1920 + 240);
}

static void test_trim_edges(void **state)
{
    (void)state;
    float silence[500] = { 0 }, one[1] = { 0.3f };
    assert_int_equal(koe_audio_trim(silence, 500, RATE).n, 0);
    assert_int_equal(koe_audio_trim(silence, 0, RATE).n, 0);
    koe_audio_span s = koe_audio_trim(one, 1, RATE);
    assert_int_equal(s.at, 0);
    assert_int_equal(s.n, 1);
    float x[500];
    for (size_t i = 0; i < 500; i++) x[i] = tone(i, 0.3f);
    s = koe_audio_trim(x, 500, RATE);
    assert_int_equal(s.at, 0);
    assert_int_equal(s.n, 500);
}

static void test_limit(void **state)
{
    (void)state;
    static float x[RATE], before[RATE];
    for (size_t n = 1; n <= RATE; n = n * 3 + 1) {
        srand(7);
        for (size_t i = 0; i < n; i++) {
            x[i] = tone(i, 0.8f);
            if (rand() % 4000 == 0 || i == n / 2) x[i] *= 1.0f + (float)(rand() % 100) / 5;
            before[i] = x[i];
        }
        assert_int_equal(koe_audio_limit(x, n, RATE, NULL), KOE_OK);
        for (size_t i = 0; i < n; i++) {
            assert_true(fabsf(x[i]) <= KOE_AUDIO_CEILING * 1.0001f);
            assert_true(fabsf(x[i]) <= fabsf(before[i]) * 1.00001f);
        }
    }
}

static void test_limit_leaves_the_rest_alone(void **state)
{
    (void)state;
    static float x[RATE];
    for (size_t i = 0; i < RATE; i++) x[i] = tone(i, 0.5f);
    x[12000] = 3;
    assert_int_equal(koe_audio_limit(x, RATE, RATE, NULL), KOE_OK);
    for (size_t i = 0; i < RATE; i++)
        if (i < 12000 - 600 || i > 12000 + 600) assert_float_equal(x[i], tone(i, 0.5f), 1e-6);
    /* The gain moves slowly enough not to click: neighbours of a slow tone stay neighbours. */
    for (size_t i = 1; i < RATE; i++)
        if (i != 12000 && i != 12001) assert_true(fabsf(x[i] - x[i - 1]) < 0.06f);
}

static void test_fade_and_clean(void **state)
{
    (void)state;
    float x[1000];
    for (size_t i = 0; i < 1000; i++) x[i] = 1;
    koe_audio_fade_in(x, 1000, RATE, 5);
    koe_audio_fade_out(x, 1000, RATE, 5);
    assert_float_equal(x[0], 0, 0);
    assert_float_equal(x[999], 0, 0);
    assert_float_equal(x[500], 1, 0);
    assert_float_equal(x[60], 0.5, 0.01);
    float y[3] = { NAN, 1, -INFINITY };
    assert_int_equal(koe_audio_clean(y, 3), 2);
    assert_float_equal(y[0], 0, 0);
    assert_float_equal(y[1], 1, 0);
    koe_audio_fade_in(y, 0, RATE, 5);
    koe_audio_fade_out(y, 0, RATE, 5);
    koe_audio_fade_in(y + 1, 1, RATE, 5);
    koe_audio_fade_out(y + 1, 1, RATE, 5);
    assert_float_equal(y[1], 1, 0); /* half of one sample is none */
}

static void test_s16(void **state)
{
    (void)state;
    float in[] = { 0, 1, -1, 2, -2, 0.5f, 1.4f / 32767, 1.6f / 32767, NAN };
    int16_t expect[] = { 0, 32767, -32767, 32767, -32768, 16384, 1, 2, 0 }, out[9];
    koe_audio_to_s16(out, in, 9);
    for (size_t i = 0; i < 9; i++) assert_int_equal(out[i], expect[i]);
    assert_int_equal(koe_audio_samples(0.25, 22050), 5513);
    assert_int_equal(koe_audio_samples(-1, 22050), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trim_keeps_sound),
        cmocka_unit_test(test_trim_edges),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_limit_leaves_the_rest_alone),
        cmocka_unit_test(test_fade_and_clean),
        cmocka_unit_test(test_s16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
