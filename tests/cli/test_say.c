/* test_say.c - koe say, voices and phonemes with nothing installed: the built-in voice speaks. */
#include <pty.h>
#include <signal.h>
#include <sys/mount.h>

#include "audio/wav.h"
#include "command.h"

/* 40 sentences, half a minute of speech and more. */
static char *long_text(size_t n_sentences)
{
    koe_buf b = { 0 };
    for (size_t i = 0; i < n_sentences; i++)
        koe_buf_printf(&b, "This is sentence number %zu, and it is not the last one. ", i + 1);
    assert_false(b.failed);
    return b.data;
}

static int set_up(void **state)
{
    char *folder = new_folder();
    *state = folder;
    setenv("KOE_HOME", folder, 1);
    return chdir(folder);
}

static int tear_down(void **state)
{
    if (chdir("/") != 0) return -1;
    unsetenv("KOE_HOME");
    remove_folder(*state);
    return 0;
}

/* A WAV file of at least that many seconds; returns its frames. */
static size_t expect_wav(const char *path, double least_s)
{
    koe_wav_pcm pcm;
    koe_error err = { 0 };
    if (koe_wav_read(&pcm, path, &err) != KOE_OK) fail_msg("%s", err.message);
    assert_int_equal(pcm.n_channels, 1);
    assert_int_equal(pcm.bits, 16);
    float peak = 0;
    for (size_t i = 0; i < pcm.n_frames; i++) peak = pcm.samples[i] > peak ? pcm.samples[i] : peak;
    free(pcm.samples);
    if ((double)pcm.n_frames < least_s * pcm.rate_hz) fail_msg("%s: %zu frames, want %g s", path, pcm.n_frames, least_s);
    assert_true(peak > 0.05F && peak < 1);
    return pcm.n_frames;
}

static void speaks_to_files(void **state)
{
    (void)state;
    expect(run_koe("say", "-o", "a.wav", "Hello, world."), 0, NULL, "(builtin) -> a.wav");
    const size_t frames = expect_wav("a.wav", 0.7);
    expect(run_koe("say", "--output=a.pcm", "Hello,", "world."), 0, NULL, "a.pcm");
    struct stat s;
    assert_int_equal(stat("a.pcm", &s), 0);
    /* at 24 kHz, the built-in voice has 22.05 */
    assert_int_equal(s.st_size, 2 * ((frames * 24000 + 22049) / 22050));
    expect(run_koe("say", "-f", "wav", "Hello, world."), 0, NULL, "speech.wav");
    assert_int_equal(expect_wav("speech.wav", 0.7), frames);
    expect(run_koe("say", "-s", "2", "-o", "fast.wav", "Hello, world, how are you this morning?"), 0, NULL, NULL);
    expect(run_koe("say", "-s0.5", "-oslow.wav", "Hello, world, how are you this morning?"), 0, NULL, NULL);
    assert_true(expect_wav("slow.wav", 1) > 2 * expect_wav("fast.wav", 0.3));
}

static void speaks_to_pipes(void **state)
{
    (void)state;
    result r = run_koe("say", "-o", "-", "Hello, world.");
    assert_int_equal(r.status, 0);
    assert_true(r.out.n > 20000 && memcmp(r.out.data, "RIFF", 4) != 0);
    result_free(&r);
    r = run_koe("say", "-o", "-", "-f", "wav", "Hello, world.");
    assert_int_equal(r.status, 0);
    assert_true(r.out.n > 20000 && memcmp(r.out.data, "RIFF\xff\xff\xff\xff", 8) == 0);
    result_free(&r);
}

/* The first bytes tell a format. */
static void expect_magic(const char *path, const char *magic, size_t n, size_t least_bytes)
{
    koe_buf b = { 0 };
    assert_int_equal(koe_file_read(&b, path, 1 << 30, NULL), KOE_OK);
    if (b.n < least_bytes || memcmp(b.data, magic, n) != 0) fail_msg("%s: %zu bytes, not what they should be", path, b.n);
    koe_buf_free(&b);
}

static bool makes_mp3(void)
{
    result r = run_koe("say", "-o", "try.mp3", "x");
    const bool yes = r.status == 0;
    if (!yes && !strstr(r.err.data, "FFmpeg")) fail_msg("%s", r.err.data);
    result_free(&r);
    return yes;
}

static void speaks_in_formats(void **state)
{
    (void)state;
    static const struct {
        const char *path, *magic;
        size_t n;
    } files[] = { { "a.mp3", "\xff\xf3", 2 },
                  { "a.opus", "OggS", 4 },
                  { "a.OGG", "OggS", 4 },
                  { "a.flac", "fLaC", 4 },
                  { "a.aac", "\xff\xf1", 2 } };
    expect(run_koe("say", "-o", "a.pcm", "Hello, world."), 0, NULL, "a.pcm");
    expect(run_koe("say", "-o", "a.ulaw", "Hello, world."), 0, NULL, "a.ulaw");
    struct stat pcm, ulaw;
    assert_int_equal(stat("a.pcm", &pcm) | stat("a.ulaw", &ulaw), 0);
    assert_true(llabs((long long)pcm.st_size - 6 * (long long)ulaw.st_size) <= 12); /* 24 and 8 kHz, 2 and 1 bytes */
    if (!makes_mp3()) skip();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        expect(run_koe("say", "-o", files[i].path, "Hello, world."), 0, NULL, files[i].path);
        expect_magic(files[i].path, files[i].magic, files[i].n, 2000);
    }
    expect(run_koe("say", "-f", "mp3", "Hello, world."), 0, NULL, "speech.mp3");
    expect_magic("speech.mp3", "\xff\xf3", 2, 2000);
    result r = run_koe("say", "-f", "opus", "-o", "-", "Hello, world.");
    assert_int_equal(r.status, 0);
    assert_true(r.out.n > 2000 && memcmp(r.out.data, "OggS", 4) == 0);
    result_free(&r);
    expect(run_koe("say", "-o", "/dev/full", "-f", "mp3", "Hello."), 1, NULL, "No space left");
}

static void reads_text_from(void **state)
{
    (void)state;
    write_file(".", "text.txt", "Read from a file.", 17);
    write_file(".", "name", "Read from a file.", 17);
    expect(run_koe("say", "-o", "direct.wav", "Read from a file."), 0, NULL, NULL);
    expect(run_koe("say", "-o", "file.wav", "text.txt"), 0, NULL, NULL);
    expect(run_koe("say", "-o", "name.wav", "name"), 0, NULL, NULL);
    expect(run_koe_with("Read from a file.", (const char *const[]){ "say", "-o", "stdin.wav", "-", NULL }), 0, NULL, NULL);
    expect(run_koe_with("Read from a file.", (const char *const[]){ "say", "-o", "pipe.wav", NULL }), 0, NULL, NULL);
    const size_t frames = expect_wav("direct.wav", 0.5);
    assert_int_equal(expect_wav("file.wav", 0.5), frames);
    assert_int_equal(expect_wav("name.wav", 0.5), frames);
    assert_int_equal(expect_wav("stdin.wav", 0.5), frames);
    assert_int_equal(expect_wav("pipe.wav", 0.5), frames);
    expect(run_koe("say", "-o", "dash.wav", "--", "-5 degrees"), 0, NULL, NULL);
}

static void writes_timings(void **state)
{
    (void)state;
    expect(run_koe("say", "-o", "a.wav", "--timings", "a.json", "Hello, \"world\"."), 0, NULL, NULL);
    koe_buf b = { 0 };
    assert_int_equal(koe_file_read(&b, "a.json", 100000, NULL), KOE_OK);
    if (!strstr(b.data, "\"word\": \"Hello,\"") || !strstr(b.data, "\\\"world\\\"") || !strstr(b.data, "\"duration\""))
        fail_msg("%s", b.data);
    char samples[64];
    snprintf(samples, sizeof samples, "\"samples\": %zu,", expect_wav("a.wav", 0.5));
    if (!strstr(b.data, samples)) fail_msg("%s, want %s", b.data, samples);
    koe_buf_free(&b);
}

static void refuses_inputs(void **state)
{
    (void)state;
    expect_error(run_koe("say", "-o", "a.wav", "none.txt"), 1, "none.txt");
    expect_error(run_koe("say", "-o", "a.wav", "/no/such/file"), 1, "/no/such/file");
    expect_error(run_koe("say", "-o", "a.wav", "."), 1, "is a folder");
    expect_error(run_koe("say", "-o", "a.wav", ""), 1, "no text");
    expect_error(run_koe("say", "-o", "a.wav", " \n\t "), 1, "no text");
    expect_error(run_koe_with("", (const char *const[]){ "say", "-o", "a.wav", "-", NULL }), 1, "stdin: there is no text");
    write_file(".", "empty.txt", "", 0);
    expect_error(run_koe("say", "-o", "a.wav", "empty.txt"), 1, "empty.txt");
    write_file(".", "latin.txt", "caf\xe9 au lait", 12);
    expect_error(run_koe("say", "-o", "a.wav", "latin.txt"), 1, "latin.txt: the text is not UTF-8 at byte 3");
    expect_error(run_koe("say", "-v", "nobody", "-o", "a.wav", "x"), 1, "no voice 'nobody'");
    expect(run_koe("say", "-v", "af_heart", "-o", "a.wav", "x"), 1, NULL, "af_heart");
    expect(run_koe("say", "--lang", "klingon", "-o", "a.wav", "x"), 1, NULL, "klingon");
    expect_error(run_koe("say", "-s", "5", "-o", "a.wav", "x"), 2, "0.25 to 4");
    expect_error(run_koe("say", "-o", "x.m4a", "x"), 2, "m4a files are not made here");
    expect_error(run_koe("say", "-o", "", "x"), 2, "-o needs the name of a file");
    expect_error(run_koe("say", "-f", "tape", "x"), 2, "no format 'tape'");
    expect_error(run_koe("say", "--noise", "loud", "x"), 2, "--noise is 'loud'");
    expect_error(run_koe("say", "--model", "none.onnx", "-o", "a.wav", "x"), 1, "none.onnx");
    assert_false(koe_file_exists("a.wav"));
}

static void refuses_outputs(void **state)
{
    (void)state;
    expect_error(run_koe("say", "-o", ".", "x"), 1, "is a folder");
    expect_error(run_koe("say", "-o", "no/such/x.wav", "x"), 1, "there is no folder no/such");
    expect(run_koe("say", "-o", "/dev/full", "Hello."), 1, NULL, "No space left");
    expect(run_koe("say", "-o", "/dev/full", "-f", "pcm", "Hello."), 1, NULL, "No space left");
    expect_error(run_koe("say", "-o", "a.wav", "--timings", "no/such/x.json", "x"), 1, "no/such");
    /* a failure leaves what was there before alone */
    write_file(".", "old.wav", "precious", 8);
    expect(run_koe("say", "-v", "nobody", "-o", "old.wav", "x"), 1, NULL, "nobody");
    koe_buf b = { 0 };
    assert_int_equal(koe_file_read(&b, "old.wav", 100, NULL), KOE_OK);
    assert_string_equal(b.data, "precious");
    koe_buf_free(&b);
}

/* A file system of 64 kB, where this test may mount one. */
static void disk_is_full(void **state)
{
    (void)state;
    assert_int_equal(mkdir("small", 0700), 0);
    if (mount("none", "small", "tmpfs", 0, "size=64k") != 0) {
        print_message("skipped: mounting needs root\n");
        skip();
    }
    char *text = long_text(5);
    result r = run_koe("say", "-o", "small/a.wav", text);
    koe_wav_pcm pcm = { 0 };
    const koe_status st = koe_wav_read(&pcm, "small/a.wav", NULL); /* what fitted is valid */
    assert_int_equal(umount("small"), 0);
    expect(r, 1, NULL, "No space left");
    assert_int_equal(st, KOE_OK);
    free(pcm.samples);
    free(text);
}

/* Ctrl-C in the middle of a long text. */
static void is_interrupted(void **state)
{
    (void)state;
    static const int signals[] = { SIGINT, SIGTERM };
    char *text = long_text(20000);
    write_file(".", "long.txt", text, strlen(text));
    free(text);
    for (size_t i = 0; i < 2; i++) {
        int fd[3];
        remove("long.wav");
        const pid_t child = start_koe((const char *const[]){ "say", "-o", "long.wav", "long.txt", NULL }, fd);
        struct stat s;
        for (int wait = 0; wait < 3000 && (stat("long.wav", &s) != 0 || s.st_size < 100000); wait++) usleep(10000);
        assert_int_equal(kill(child, signals[i]), 0);
        expect(finish_koe(child, fd, NULL), 1, NULL, "interrupted");
        expect_wav("long.wav", 1);
    }
}

/* Then what is spoken so far becomes a whole file. */
static void is_interrupted_in_mp3(void **state)
{
    (void)state;
    if (!makes_mp3()) skip();
    char *text = long_text(20000);
    write_file(".", "long.txt", text, strlen(text));
    free(text);
    int fd[3];
    const pid_t child = start_koe((const char *const[]){ "say", "-o", "long.mp3", "long.txt", NULL }, fd);
    for (int wait = 0; wait < 3000 && !koe_file_exists("long.mp3"); wait++) usleep(10000);
    assert_int_equal(kill(child, SIGINT), 0);
    expect(finish_koe(child, fd, NULL), 1, NULL, "interrupted");
    koe_buf b = { 0 };
    assert_int_equal(koe_file_read(&b, "long.mp3", 1 << 30, NULL), KOE_OK);
    assert_true(b.n > 3000 && memcmp(b.data + 13, "Info", 4) == 0);
    koe_buf_free(&b);
}

/* A program on PATH that plays, and something to play on. */
static void plays(void **state)
{
    (void)state;
    char path[4096], *old = strdup(getenv("PATH"));
    static const char good[] = "#!/bin/sh\necho \"$@\" >arguments\ncat >heard\n", bad[] = "#!/bin/sh\nexit 3\n";
    snprintf(path, sizeof path, "%s/bin:%s", (char *)*state, old);
    assert_int_equal(mkdir("bin", 0700), 0);
    write_file("bin", "paplay", good, strlen(good));
    assert_int_equal(chmod("bin/paplay", 0700), 0);
    setenv("PATH", path, 1);
    setenv("PULSE_SERVER", "somewhere", 1);
    expect(run_koe("say", "Hello, world."), 0, NULL, "-> paplay");
    struct stat s;
    assert_int_equal(stat("heard", &s), 0);
    assert_true(s.st_size > 20000);
    assert_false(koe_file_exists("speech.wav"));
    write_file("bin", "paplay", bad, strlen(bad));
    assert_int_equal(chmod("bin/paplay", 0700), 0);
    expect(run_koe("say", "Hello, world."), 1, NULL, "paplay could not play the speech");
    unsetenv("PULSE_SERVER");
    setenv("PATH", old, 1);
    free(old);
}

/* On a terminal a long text shows a progress line with the time left; elsewhere it does not. */
static void shows_progress(void **state)
{
    (void)state;
    char *text = long_text(3000);
    write_file(".", "long.txt", text, strlen(text));
    free(text);
    int terminal;
    const pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    if (child == 0) {
        execl(getenv("KOE_BIN"), "koe", "say", "-o", "long.wav", "long.txt", (char *)NULL);
        _exit(127);
    }
    if (child < 0) {
        print_message("skipped: there are no pseudo-terminals\n");
        skip();
    }
    koe_buf seen = { 0 };
    char block[4096];
    for (ssize_t n; (n = read(terminal, block, sizeof block)) > 0;) {
        koe_buf_add(&seen, block, (size_t)n);
        if (strstr(seen.data, "[#")) kill(child, SIGINT);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(terminal);
    if (!strstr(seen.data, " left") || !strstr(seen.data, "[#") || !strstr(seen.data, "of speech")) fail_msg("%s", seen.data);
    koe_buf_free(&seen);
}

static void lists_voices(void **state)
{
    (void)state;
    expect(run_koe("voices"), 0, "builtin", NULL);
    expect(run_koe("voices", "--json"), 0, "\"engine\": \"builtin\"", NULL);
    expect_error(run_koe("voices", "me"), 2, "'me' is not understood");
}

static void shows_phonemes(void **state)
{
    (void)state;
    expect(run_koe_with("Hello.\n\nWorld.\n", (const char *const[]){ "phonemes", "--lang", "en-us", NULL }), 0,
           "həlˈO.\n\nwˈɜɹld.\n", NULL);
    expect(run_koe("phonemes", "--lang", "a", "--explain", "Hello world"), 0, "Hello [həlˈO]  world [wˈɜɹld]\n", NULL);
    expect(run_koe("phonemes", "--lang", "en-us", "--json", "Hello"), 0,
           "{\"text\":\"Hello\",\"phonemes\":\"həlˈO\",\"words\":[{\"word\":\"Hello\"", NULL);
    expect(run_koe("phonemes", "--lang", "en-us", "--normalize-only", "Hello"), 0, "Hello\n", NULL);
    expect_error(run_koe("phonemes", "--lang", "xx", "Hello"), 1, "xx");
    expect_error(run_koe("phonemes", "--alphabet", "runes", "Hello"), 2, "misaki or espeak");
    expect_error(run_koe_with("fine\nb\xff\n", (const char *const[]){ "phonemes", NULL }), 1, "line 2");
}

int main(void)
{
#define SAY_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SAY_TEST(speaks_to_files),       SAY_TEST(speaks_to_pipes), SAY_TEST(speaks_in_formats),
        SAY_TEST(reads_text_from),       SAY_TEST(writes_timings),  SAY_TEST(refuses_inputs),
        SAY_TEST(refuses_outputs),       SAY_TEST(disk_is_full),    SAY_TEST(is_interrupted),
        SAY_TEST(is_interrupted_in_mp3), SAY_TEST(plays),           SAY_TEST(shows_progress),
        SAY_TEST(lists_voices),          SAY_TEST(shows_phonemes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
