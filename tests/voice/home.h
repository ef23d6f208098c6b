/* home.h - a folder of models for tests: the small networks of tests/data/voice and voice packs made here. */
#ifndef KOE_TESTS_VOICE_HOME_H
#define KOE_TESTS_VOICE_HOME_H
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

static char home[] = "/tmp/koe-home-XXXXXX";

static const char *in_home(const char *name)
{
    static char path[2][4096];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", home, name);
    return path[turn];
}

static void link_data(const char *data, const char *name)
{
    char from[4096];
    snprintf(from, sizeof from, "%s/voice/%s", getenv("KOE_TEST_DATA"), data);
    assert_int_equal(symlink(from, in_home(name)), 0);
}

/* A pack of 510 rows whose values are all `value`. */
static void write_pack(const char *name, float value)
{
    static float rows[510 * 256];
    for (size_t i = 0; i < 510 * 256; i++) rows[i] = value;
    assert_int_equal(koe_file_write_atomic(in_home(name), rows, sizeof rows, NULL), KOE_OK);
}

static void make_home(const char *kokoro_model)
{
    memcpy(home + strlen(home) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(home));
    assert_int_equal(koe_file_make_dirs(in_home("kokoro/voices"), NULL), KOE_OK);
    assert_int_equal(koe_file_make_dirs(in_home("piper"), NULL), KOE_OK);
    if (!kokoro_model) return;
    link_data(kokoro_model, "kokoro/model.onnx");
    write_pack("kokoro/voices/af_heart.bin", 0);
    write_pack("kokoro/voices/af_bella.bin", 0.5f);
    write_pack("kokoro/voices/bm_george.bin", -2);
    link_data("piper_one.onnx", "piper/one.onnx");
    link_data("piper_one.onnx.json", "piper/one.onnx.json");
    link_data("piper_three.onnx", "piper/en_GB-three-low.onnx");
    link_data("piper_three.onnx.json", "piper/en_GB-three-low.onnx.json");
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

static void remove_home(void) { assert_int_equal(nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0); }
#endif
