/* Every format as other programs read it: FFmpeg's tools decode what the server sent, and find the length that the sound has. */
#include <math.h>

#include "server.h"

#include "audio/wav.h"

static server s;
static char *folder;

static int up(void **state)
{
    (void)state;
    folder = new_folder();
    start_server(&s, NULL);
    return 0;
}

static int down(void **state)
{
    (void)state;
    stop_server(&s);
    remove_folder(folder);
    return 0;
}

static const struct format {
    const char *name, *raw; /* how FFmpeg is told of what has no header */
    int rate_hz; /* 0: the voice's or the codec's */
    bool probes; /* a stream of it tells its length to who has all of it */
} formats[] = {
    { "wav", "", 0, true },  { "pcm", "-f s16le -ar 24000 -ac 1", 24000, true }, { "ulaw", "-f mulaw -ar 8000 -ac 1", 8000, true },
    { "mp3", "", 0, true },  { "alaw", "-f alaw -ar 8000 -ac 1", 8000, true },   { "flac", "", 0, false },
    { "opus", "", 0, true }, { "aac", "", 0, true },                             { "ogg", "", 0, true },
};

static bool has_ffmpeg(void) { return system("ffprobe -version >/dev/null 2>&1 && ffmpeg -version >/dev/null 2>&1") == 0; }

/* The number that the command prints; NAN: it failed, or said something else. */
static double number_from(const char *command)
{
    char text[256] = "";
    FILE *p = popen(command, "r");
    assert_non_null(p);
    const bool got = fgets(text, sizeof text, p) != NULL;
    char *end = text;
    const double x = strtod(text, &end);
    return pclose(p) == 0 && got && end != text ? x : (double)NAN;
}

static double decoded_s(const struct format *f)
{
    char command[4096];
    snprintf(command, sizeof command, "ffmpeg -v error %s -i %s/sound -f s16le -ac 1 -ar 48000 - | wc -c", f->raw, folder);
    return number_from(command) / 2 / 48000;
}

static double probed_s(const struct format *f)
{
    char command[4096], raw[64];
    const char *channels = strstr(f->raw, " -ac"); /* which ffprobe may not know, and one is its default */
    snprintf(raw, sizeof raw, "%.*s", channels ? (int)(channels - f->raw) : (int)strlen(f->raw), f->raw);
    snprintf(command, sizeof command, "ffprobe -v error %s -show_entries format=duration -of csv=p=0 %s/sound", raw, folder);
    return number_from(command);
}

static reply sound(const char *format, bool stream, const char *more)
{
    char body[400];
    snprintf(body, sizeof body, "{\"input\": \"One sentence that is spoken. And a second, shorter one.\", \"response_format\": \"%s\", \"stream\": %s%s}",
             format, stream ? "true" : "false", more);
    return speak(&s, body);
}

static uint32_t le32(const char *p) { return (uint32_t)(uint8_t)p[0] | (uint32_t)(uint8_t)p[1] << 8 | (uint32_t)(uint8_t)p[2] << 16 | (uint32_t)(uint8_t)p[3] << 24; }

/* Samples and rate of a FLAC's STREAMINFO. */
static uint64_t flac_samples(const reply *r, uint32_t *rate_hz)
{
    const uint8_t *p = (const uint8_t *)r->body.data + 18; /* "fLaC", block header, sizes of blocks and frames */
    *rate_hz = (uint32_t)p[0] << 12 | (uint32_t)p[1] << 4 | p[2] >> 4;
    return (uint64_t)(p[3] & 15) << 32 | (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 | (uint64_t)p[6] << 8 | p[7];
}

/* What the head of a whole file says is so. */
static void check_head(const char *format, const reply *r, double wanted_s)
{
    const char *p = r->body.data;
    assert_int_equal(strtoul(header(r, "Content-Length"), NULL, 10), r->body.n);
    if (strcmp(format, "wav") == 0) {
        assert_int_equal(le32(p + 4), r->body.n - 8);
        assert_int_equal(le32(p + 40), r->body.n - KOE_WAV_HEADER_BYTES);
    } else if (strcmp(format, "flac") == 0) {
        uint32_t rate_hz = 0;
        const double n = (double)flac_samples(r, &rate_hz);
        assert_true(rate_hz >= 8000);
        if (fabs(n / rate_hz - wanted_s) > 0.05) fail_msg("STREAMINFO: %g samples at %u Hz, want %g s", n, rate_hz, wanted_s);
    } else if (strcmp(format, "mp3") == 0) {
        assert_true(memmem(p, r->body.n < 400 ? r->body.n : 400, "Info", 4) || memmem(p, r->body.n < 400 ? r->body.n : 400, "Xing", 4));
    }
}

static void check_lengths(bool stream, const char *more)
{
    if (!has_ffmpeg()) {
        print_message("no ffmpeg and ffprobe here: formats are not decoded\n");
        skip();
    }
    reply pcm = sound("pcm", false, "");
    assert_int_equal(pcm.status, 200);
    const double wanted_s = (double)pcm.body.n / 2 / 24000;
    reply_free(&pcm);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const struct format *f = &formats[i];
        if (*more && f->rate_hz) continue; /* what has no header is decoded at its own rate */
        if (*more && strcmp(f->name, "aac") == 0) continue; /* at low rates its codec puts more than 50 ms before the sound (encode.h) */
        reply r = sound(f->name, stream, more);
        if (r.status == 400 && strstr(r.body.data, "FFmpeg")) { /* the libraries are not on this machine */
            reply_free(&r);
            continue;
        }
        if (r.status != 200) fail_msg("%s%s: %d %s", f->name, more, r.status, r.body.data);
        assert_true(r.whole);
        if (!stream) check_head(f->name, &r, wanted_s);
        write_file(folder, "sound", r.body.data, r.body.n);
        const double decoded = decoded_s(f), probed = probed_s(f);
        if (!(fabs(decoded - wanted_s) <= 0.05)) fail_msg("%s%s: decodes to %g s, want %g s", f->name, more, decoded, wanted_s);
        if ((!stream || f->probes) && !(fabs(probed - wanted_s) <= 0.05))
            fail_msg("%s%s, %s: ffprobe says %g s, want %g s", f->name, more, stream ? "streamed" : "whole", probed, wanted_s);
        reply_free(&r);
    }
}

static void test_streamed(void **state)
{
    (void)state;
    check_lengths(true, "");
}

static void test_whole(void **state)
{
    (void)state;
    check_lengths(false, "");
}

static void test_rates(void **state)
{
    (void)state;
    check_lengths(true, ", \"sample_rate\": 48000");
    check_lengths(false, ", \"sample_rate\": 24000");
}

/* A bit rate is that of the sound, and is in what the client gets. */
static void test_bit_rates(void **state)
{
    (void)state;
    static const char *const names[] = { "mp3", "opus", "aac" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        reply low = sound(names[i], true, ", \"bitrate\": 32000"), high = sound(names[i], true, ", \"bitrate\": 128000");
        if (low.status == 200 && high.status == 200 && high.body.n < 2 * low.body.n) fail_msg("%s: %zu and %zu bytes", names[i], low.body.n, high.body.n);
        if (low.status != 200) assert_non_null(strstr(low.body.data, "FFmpeg"));
        reply_free(&low);
        reply_free(&high);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_streamed), cmocka_unit_test(test_whole), cmocka_unit_test(test_rates), cmocka_unit_test(test_bit_rates) };
    return cmocka_run_group_tests(tests, up, down);
}
