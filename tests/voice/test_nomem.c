/* Memory runs out at the k-th allocation, k = 0, 1, 2, ...: always one clear error, never a crash or a leak (ASan looks on). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../failing_alloc.h"
#include "home.h"
#include "voice/pack.h"
#include "voice/voice.h"

static void test_open(void **state)
{
    (void)state;
    make_home("kokoro_int.onnx");
    long k = 0;
    for (;; k++) {
        koe_voices *v = NULL;
        koe_error err = { 0 };
        allocations_left = k;
        koe_status st = koe_voices_open(&v, &(koe_voices_setup){ .home = home }, &err);
        allocations_left = -1;
        if (st == KOE_OK) {
            size_t n;
            koe_voices_list(v, &n);
            assert_true(n > 8);
            koe_voices_close(v);
            break;
        }
        if (st != KOE_E_NOMEM) fail_msg("allocation %ld: %d, %s", k, (int)st, err.message);
        assert_null(v);
    }
    assert_true(k > 50);
    remove_home();
}

static void test_packs(void **state)
{
    (void)state;
    static const char *const files[] = { "npz/stored.npz", "npz/half.npz", "pt/dict.pt", "json/voices.json" };
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/../../fuzz/corpus/%s", getenv("KOE_TEST_DATA"), files[f]);
        for (long k = 0;; k++) {
            koe_pack_file *file = NULL;
            koe_pack pack;
            allocations_left = k;
            koe_status st = koe_pack_file_open(&file, path, NULL);
            if (st == KOE_OK) st = koe_pack_file_load(file, 0, &pack, NULL);
            allocations_left = -1;
            koe_pack_file_close(file);
            if (st == KOE_OK) break;
            assert_int_equal(st, KOE_E_NOMEM);
        }
    }
}

static void test_speak(void **state)
{
    (void)state;
    static const koe_word words[] = { { 0, 2, 0, 2 } };
    const koe_segment hi = { .phonemes = KOE_STR("hi"), .word = words, .n_word = 1 };
    make_home("kokoro_int.onnx");
    const char *const names[] = { "af_heart+af_bella", "one" };
    for (size_t i = 0; i < 2; i++)
        for (long k = 0;; k++) {
            koe_voices *v = NULL;
            koe_voice voice;
            koe_speech s = { 0 };
            koe_error err = { 0 };
            assert_int_equal(koe_voices_open(&v, &(koe_voices_setup){ .home = home }, NULL), KOE_OK);
            assert_int_equal(koe_voice_find(&voice, v, koe_str_of(names[i]), NULL), KOE_OK);
            allocations_left = k;
            koe_status st = koe_voice_speak(&s, &voice, &(koe_voice_job){ .segment = &hi, .speed = 1 }, &err);
            allocations_left = -1;
            koe_speech_free(&s);
            koe_voices_close(v);
            if (st == KOE_OK) break;
            if (st != KOE_E_NOMEM) fail_msg("%s, allocation %ld: %d, %s", names[i], k, (int)st, err.message);
        }
    remove_home();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_open), cmocka_unit_test(test_packs), cmocka_unit_test(test_speak) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
