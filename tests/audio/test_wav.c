/* What is written is read back; a file is whole after every write; hostile files are errors. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "audio/wav.h"

static void test_round_trip(void **state)
{
    (void)state;
    char path[] = "/tmp/koe-wav-XXXXXX";
    close(mkstemp(path));
    koe_wav *w = NULL;
    koe_error err = { 0 };
    assert_int_equal(koe_wav_create(&w, path, 24000, 1, &err), KOE_OK);
    koe_wav_pcm pcm;
    assert_int_equal(koe_wav_read(&pcm, path, &err), KOE_OK); /* empty, but whole */
    assert_int_equal(pcm.n_frames, 0);
    free(pcm.samples);
    static float x[10000];
    for (size_t i = 0; i < 10000; i++) x[i] = (float)sin((double)i * 0.01) * 0.9f;
    for (size_t at = 0; at < 10000; at += 2500) {
        assert_int_equal(koe_wav_write(w, x + at, 2500, &err), KOE_OK);
        assert_int_equal(koe_wav_read(&pcm, path, &err), KOE_OK); /* still open: as if interrupted here */
        assert_int_equal(pcm.n_frames, at + 2500);
        assert_int_equal(pcm.rate_hz, 24000);
        assert_int_equal(pcm.bits, 16);
        for (size_t i = 0; i < pcm.n_frames; i++) assert_float_equal(pcm.samples[i], x[i], 1.0 / 16384);
        free(pcm.samples);
    }
    assert_int_equal(koe_wav_samples(w), 10000);
    assert_int_equal(koe_wav_close(w, &err), KOE_OK);
    unlink(path);
}

static void test_write_errors(void **state)
{
    (void)state;
    koe_wav *w = NULL;
    koe_error err = { 0 };
    assert_int_equal(koe_wav_create(&w, "/no/such/folder/x.wav", 24000, 1, &err), KOE_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "/no/such/folder/x.wav"));
    err = (koe_error){ 0 };
    assert_int_equal(koe_wav_create(&w, "/tmp", 24000, 1, &err), KOE_E_IO);
    if (access("/dev/full", W_OK) == 0) {
        err = (koe_error){ 0 };
        assert_int_equal(koe_wav_create(&w, "/dev/full", 24000, 1, &err), KOE_E_IO);
        assert_non_null(strstr(err.message, "No space left"));
    }
}

static void put(unsigned char *p, unsigned v, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)(v >> 8 * i);
}

/* A mono file with one chunk before the data; returns its size. */
static size_t make(unsigned char *f, unsigned format, unsigned bits, const void *data, size_t n)
{
    memcpy(f, "RIFF\0\0\0\0WAVELIST\3\0\0\0abc\0fmt ", 28);
    put(f + 28, format == 0xFFFE ? 40 : 16, 4);
    memset(f + 32, 0, 40);
    put(f + 32, format, 2);
    put(f + 34, 1, 2);
    put(f + 36, 8000, 4);
    put(f + 44, bits / 8, 2);
    put(f + 46, bits, 2);
    size_t at = 48;
    if (format == 0xFFFE) put(f + 56, bits >= 32 ? 3 : 1, 2), at = 72;
    memcpy(f + at, "data", 4);
    put(f + at + 4, (unsigned)n, 4);
    memcpy(f + at + 8, data, n);
    return at + 8 + n;
}

static void test_formats(void **state)
{
    (void)state;
    unsigned char f[256];
    float half[2] = { 0.5f, -0.5f };
    double half64[2] = { 0.5, -0.5 };
    const struct {
        unsigned format, bits;
        const void *data;
    } cases[] = {
        { 1, 8, "\300\100" }, { 1, 16, "\0\100\0\300" }, { 1, 24, "\0\0\100\0\0\300" },  { 1, 32, "\0\0\0\100\0\0\0\300" },
        { 3, 32, half },      { 3, 64, half64 },         { 0xFFFE, 16, "\0\100\0\300" }, { 0xFFFE, 32, half },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = make(f, cases[i].format, cases[i].bits, cases[i].data, cases[i].bits / 4);
        koe_wav_pcm pcm;
        koe_error err = { 0 };
        assert_int_equal(koe_wav_parse(&pcm, f, n, "case", &err), KOE_OK);
        assert_int_equal(pcm.n_frames, 2);
        assert_int_equal(pcm.rate_hz, 8000);
        assert_float_equal(pcm.samples[0], 0.5, 0);
        assert_float_equal(pcm.samples[1], -0.5, 0);
        free(pcm.samples);
        for (size_t k = 0; k < n; k++) { /* every truncation is an error, none a crash */
            unsigned char *copy = malloc(k ? k : 1);
            memcpy(copy, f, k);
            assert_int_not_equal(koe_wav_parse(&pcm, copy, k, "cut", NULL), KOE_OK);
            free(copy);
        }
    }
}

static void test_streamed(void **state)
{
    (void)state;
    unsigned char f[KOE_WAV_HEADER_BYTES + 5] = { 0 };
    koe_wav_header(f, 22050, 1, KOE_WAV_UNKNOWN);
    koe_wav_pcm pcm;
    assert_int_equal(koe_wav_parse(&pcm, f, sizeof f, "stream", NULL), KOE_OK);
    assert_int_equal(pcm.n_frames, 2); /* the odd byte is no sample */
    free(pcm.samples);
    f[22] = 0;
    assert_int_equal(koe_wav_parse(&pcm, f, sizeof f, "no channels", NULL), KOE_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_write_errors),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_streamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
