/* Every format is decoded again, by the FFmpeg libraries where they made it: the length, the sound, and where it begins. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../failing_alloc.h"
#include "audio/audio.h"
#include "audio/encode.h"
#include "audio/encode_aac.h"
#include "audio/resample.h"
#include "audio/wav.h"
#ifdef KOE_TEST_FFMPEG
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#endif

/* ---- a sound that is known at every rate ------------------------------------------------------------------------------------
 */

/* A sweep from 200 Hz upwards by 600 Hz a second: like itself at no other time. */
static float sweep(size_t i, int rate_hz)
{
    const double t = (double)i / rate_hz;
    return (float)(0.5 * sin(6.283185307179586 * (200 * t + 300 * t * t)));
}

static float *make_sweep(size_t n, int rate_hz)
{
    float *x = malloc((n ? n : 1) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = sweep(i, rate_hz);
    return x;
}

typedef struct pcm {
    float *x;
    size_t n;
    int rate_hz;
} pcm;

static void add_sample(pcm *p, float x)
{
    if ((p->n & (p->n - 1)) == 0) p->x = realloc(p->x, (p->n ? 2 * p->n : 1) * sizeof *p->x);
    assert_non_null(p->x);
    p->x[p->n++] = x;
}

/* The normalised correlation with the sweep, at the best of the delays up to 60 ms, and that delay in samples. */
static double best_match(const pcm *p, size_t n, size_t *delay)
{
    double best = -1;
    const size_t most = (size_t)(p->rate_hz * 60 / 1000), from = n / 8, to = n - n / 8 < from + 12000 ? n - n / 8 : from + 12000;
    float *want = make_sweep(n, p->rate_hz);
    for (size_t d = 0; d < most && d + to <= p->n; d++) {
        double xy = 0, xx = 0, yy = 0;
        for (size_t i = from; i < to; i++) {
            const float a = p->x[i + d], b = want[i];
            xy += (double)(a * b), xx += (double)(a * a), yy += (double)(b * b);
        }
        const double match = xy / sqrt(xx * yy + 1e-12);
        if (match > best) best = match, *delay = d;
    }
    free(want);
    return best;
}

/* ---- encoding ---------------------------------------------------------------------------------------------------------------
 */

static const size_t odd_chunks[] = { 1, 333, 7, 4097, 1000, 2, 12345 };

static koe_buf encode_samples(const koe_encode_options *o, const float *x, size_t n, bool in_chunks)
{
    koe_encoder *e = NULL;
    koe_error err = { 0 };
    koe_buf out = { 0 };
    if (koe_encoder_open(&e, o, &err) != KOE_OK) fail_msg("%.*s: %s", KOE_STR_ARG(o->format), err.message);
    for (size_t at = 0, k = 0, some; at < n; at += some, k++) {
        some = in_chunks ? odd_chunks[k % (sizeof odd_chunks / sizeof *odd_chunks)] : n;
        some = some < n - at ? some : n - at;
        if (koe_encoder_write(e, x + at, some, &out, &err) != KOE_OK) fail_msg("%.*s: %s", KOE_STR_ARG(o->format), err.message);
    }
    if (koe_encoder_finish(e, &out, &err) != KOE_OK) fail_msg("%.*s: %s", KOE_STR_ARG(o->format), err.message);
    koe_encoder_close(e);
    return out;
}

/* ---- decoding ---------------------------------------------------------------------------------------------------------------
 */

#ifdef KOE_TEST_FFMPEG
typedef struct reader {
    koe_buf bytes;
    size_t at;
} reader;

static int read_bytes(void *opaque, uint8_t *to, int n)
{
    reader *r = opaque;
    const size_t left = r->bytes.n - r->at, some = left < (size_t)n ? left : (size_t)n;
    if (some == 0) return AVERROR_EOF;
    memcpy(to, r->bytes.data + r->at, some);
    r->at += some;
    return (int)some;
}

static int64_t seek_bytes(void *opaque, int64_t offset, int whence)
{
    reader *r = opaque;
    if (whence & AVSEEK_SIZE) return (int64_t)r->bytes.n;
    if (whence == SEEK_CUR) offset += (int64_t)r->at;
    if (whence == SEEK_END) offset += (int64_t)r->bytes.n;
    if (offset < 0 || offset > (int64_t)r->bytes.n) return AVERROR(EINVAL);
    r->at = (size_t)offset;
    return offset;
}

static void take_frame(pcm *out, const AVFrame *f)
{
    out->rate_hz = f->sample_rate;
    for (int i = 0; i < f->nb_samples; i++) {
        const void *data = f->data[0];
        switch (f->format) {
        case AV_SAMPLE_FMT_FLT:
        case AV_SAMPLE_FMT_FLTP: add_sample(out, ((const float *)data)[i]); break;
        case AV_SAMPLE_FMT_S16:
        case AV_SAMPLE_FMT_S16P: add_sample(out, (float)((const int16_t *)data)[i] / 32768.0F); break;
        default: fail_msg("decoded to sample format %d", f->format);
        }
    }
}

static void take_frames(pcm *out, AVCodecContext *codec, AVFrame *frame, const AVPacket *packet)
{
    assert_int_equal(avcodec_send_packet(codec, packet), 0);
    while (avcodec_receive_frame(codec, frame) == 0) take_frame(out, frame);
}

/* *duration_s: what the container says, or a guess of the demuxer's; negative: nothing. */
static pcm decode_av(koe_buf bytes, double *duration_s)
{
    reader r = { bytes, 0 };
    pcm out = { 0 };
    av_log_set_level(AV_LOG_ERROR);
    AVFormatContext *f = avformat_alloc_context();
    f->pb = avio_alloc_context(av_malloc(4096), 4096, 0, &r, read_bytes, NULL, seek_bytes);
    assert_int_equal(avformat_open_input(&f, NULL, NULL, NULL), 0);
    assert_true(avformat_find_stream_info(f, NULL) >= 0);
    assert_int_equal(f->nb_streams, 1);
    *duration_s = f->duration == AV_NOPTS_VALUE ? -1 : (double)f->duration / AV_TIME_BASE;
    AVCodecContext *codec = avcodec_alloc_context3(avcodec_find_decoder(f->streams[0]->codecpar->codec_id));
    assert_int_equal(avcodec_parameters_to_context(codec, f->streams[0]->codecpar), 0);
    codec->pkt_timebase = f->streams[0]->time_base;
    assert_int_equal(avcodec_open2(codec, NULL, NULL), 0);
    assert_int_equal(codec->ch_layout.nb_channels, 1);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    while (av_read_frame(f, packet) == 0) {
        take_frames(&out, codec, frame, packet);
        av_packet_unref(packet);
    }
    take_frames(&out, codec, frame, NULL);
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&codec);
    av_freep(&f->pb->buffer);
    avio_context_free(&f->pb);
    avformat_close_input(&f);
    return out;
}
#endif

/* G.711 as the recommendation writes it. */
static float from_ulaw(unsigned char u)
{
    u = (unsigned char)~u;
    const int x = (((u & 15) << 3) + 132) << (u >> 4 & 7);
    return (float)(u & 0x80 ? 132 - x : x - 132) / 32768.0F;
}

static float from_alaw(unsigned char a)
{
    a ^= 0x55;
    const int exponent = a >> 4 & 7, x = ((a & 15) << 4) + 8;
    const int magnitude = exponent == 0 ? x : (x + 256) << (exponent - 1);
    return (float)(a & 0x80 ? magnitude : -magnitude) / 32768.0F;
}

static pcm decode(const char *format, koe_buf b, int rate_hz, double *duration_s)
{
    pcm out = { .rate_hz = rate_hz };
    *duration_s = -1;
    const bool is_pcm = strcmp(format, "pcm") == 0, is_ulaw = strcmp(format, "ulaw") == 0;
    if (is_pcm) {
        for (size_t i = 0; i + 1 < b.n; i += 2) {
            int16_t s;
            memcpy(&s, b.data + i, 2);
            add_sample(&out, (float)s / 32768.0F);
        }
        return out;
    }
    if (is_ulaw || strcmp(format, "alaw") == 0) {
        for (size_t i = 0; i < b.n; i++)
            add_sample(&out, is_ulaw ? from_ulaw((unsigned char)b.data[i]) : from_alaw((unsigned char)b.data[i]));
        return out;
    }
    if (strcmp(format, "wav") == 0) {
        koe_wav_pcm w;
        assert_int_equal(koe_wav_parse(&w, b.data, b.n, "test", NULL), KOE_OK);
        *duration_s = (double)w.n_frames / w.rate_hz;
        return (pcm){ w.samples, w.n_frames, w.rate_hz };
    }
#ifdef KOE_TEST_FFMPEG
    return decode_av(b, duration_s);
#else
    return out;
#endif
}

/* ---- formats ----------------------------------------------------------------------------------------------------------------
 */

/* What is asked of each: the longest that the decoded sound may be beyond what went in, and where it may begin, in ms. */
static const struct wanted {
    const char *format;
    int natural_hz; /* for a voice of 24 kHz */
    double stream_ms, whole_ms;
} wanted[] = {
    { "mp3", 24000, 50, 0 }, { "opus", 24000, 0, 0 }, { "aac", 48000, 50, 50 }, { "flac", 24000, 0, 0 }, { "wav", 24000, 0, 0 },
    { "pcm", 24000, 0, 0 },  { "ogg", 24000, 0, 0 },  { "ulaw", 8000, 0, 0 },   { "alaw", 8000, 0, 0 },
};
enum { N_FORMATS = sizeof wanted / sizeof *wanted };

static bool is_here(const char *format)
{
#ifdef KOE_TEST_FFMPEG
    (void)format;
    return true;
#else
    return strcmp(format, "wav") == 0 || strcmp(format, "pcm") == 0 || strcmp(format, "ulaw") == 0 || strcmp(format, "alaw") == 0;
#endif
}

static void check_round_trip(const struct wanted *w, int in_rate_hz, double seconds, bool whole)
{
    const size_t n = koe_audio_samples(seconds, in_rate_hz);
    float *x = make_sweep(n, in_rate_hz);
    const koe_encode_options o = { koe_str_of(w->format), in_rate_hz, 0, 0, whole };
    koe_buf b = encode_samples(&o, x, n, true), again = encode_samples(&o, x, n, true);
    assert_int_equal(b.n, again.n);
    assert_memory_equal(b.data, again.data, b.n);
    double says_s;
    pcm p = decode(w->format, b, w->natural_hz, &says_s);
    if (in_rate_hz == 24000 && strcmp(w->format, "opus") != 0)
        assert_int_equal(p.rate_hz, w->natural_hz); /* opus: always 48 kHz */
    const size_t want = (size_t)ceil((double)n * p.rate_hz / in_rate_hz - 1e-6);
    const double over_ms = ((double)p.n - (double)want) * 1000 / p.rate_hz, may_ms = (whole ? w->whole_ms : w->stream_ms) + 0.2;
    size_t delay = 0;
    const double match = best_match(&p, want, &delay);
    const double delay_ms = (double)delay * 1000 / p.rate_hz;
    if (over_ms < -0.2 || over_ms > may_ms || delay_ms > may_ms || (says_s >= 0 && fabs(says_s - seconds) > 0.05) ||
        match < (seconds < 1 ? 0.9 : 0.99))
        fail_msg("%s of %g s at %d Hz, %s: %.2f ms longer, %.2f ms late, match %.4f, the container says %.3f s", w->format,
                 seconds, in_rate_hz, whole ? "whole" : "streamed", over_ms, delay_ms, match, says_s);
    free(p.x);
    free(x);
    koe_buf_free(&b);
    koe_buf_free(&again);
}

static void comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (!is_here(wanted[i].format)) continue;
        for (int whole = 0; whole < 2; whole++) {
            check_round_trip(&wanted[i], 24000, 3, whole);
            check_round_trip(&wanted[i], 24000, 0.1, whole);
            check_round_trip(&wanted[i], 22050, 1.5, whole);
            check_round_trip(&wanted[i], 22050, 0.1, whole);
            check_round_trip(&wanted[i], 16000, 1, whole);
        }
    }
}

static void check_early_bytes(const char *format)
{
    /* The bytes of the first 200 ms leave before the rest is known. */
    koe_encoder *e = NULL;
    koe_error err = { 0 };
    koe_buf out = { 0 };
    float *x = make_sweep(12000, 24000);
    assert_int_equal(koe_encoder_open(&e, &(koe_encode_options){ .format = koe_str_of(format), .in_rate_hz = 24000 }, &err),
                     KOE_OK);
    assert_int_equal(koe_encoder_write(e, x, 12000, &out, &err), KOE_OK);
    const size_t early = out.n;
    assert_int_equal(koe_encoder_finish(e, &out, &err), KOE_OK);
    koe_encoder_close(e);
    double says_s;
    out.n = early;
    pcm p = decode(format, out, 0, &says_s);
    if (p.rate_hz && (double)p.n / p.rate_hz < 0.2)
        fail_msg("%s: %zu samples of 12000 in the first %zu bytes", format, p.n, early);
    free(p.x);
    free(x);
    koe_buf_free(&out);
}

static void leaves_early(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FORMATS; i++)
        if (is_here(wanted[i].format)) check_early_bytes(wanted[i].format);
}

static void takes_any_samples(void **state)
{
    (void)state;
    static float x[9000];
    uint32_t seed = 1;
    for (size_t i = 0; i < 9000; i++) {
        seed = seed * 1664525 + 1013904223;
        x[i] = (float)(seed >> 8) / 8388608.0F - 1; /* noise */
        if (i % 100 == 0) x[i] = (float[]){ NAN, INFINITY, -INFINITY, 1e30F, -5 }[i / 100 % 5];
    }
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (!is_here(wanted[i].format)) continue;
        for (int whole = 0; whole < 2; whole++) {
            const koe_encode_options o = { koe_str_of(wanted[i].format), 24000, 0, 0, whole };
            koe_buf b = encode_samples(&o, x, 9000, false);
            double says_s, power = 0;
            pcm p = decode(wanted[i].format, b, wanted[i].natural_hz, &says_s);
            for (size_t k = 0; k < p.n; k++) power += (double)(p.x[k] * p.x[k]);
            power /= (double)p.n + 1e-9;
            /* A third in the whole band; codecs and 8 kHz leave less of it. */
            if (!(power > 0.02 && power < 0.5)) fail_msg("%s: power of noise %g", wanted[i].format, power);
            free(p.x);
            koe_buf_free(&b);
            b = encode_samples(&o, x, 0, false); /* nothing at all is no error */
            koe_buf_free(&b);
        }
    }
}

static void has_exact_headers(void **state)
{
    (void)state;
    static float x[2401];
    koe_buf b = encode_samples(&(koe_encode_options){ KOE_STR("WAV"), 24000, 0, 0, true }, x, 2401, true);
    assert_int_equal(b.n, 44 + 4802);
    unsigned char header[KOE_WAV_HEADER_BYTES];
    koe_wav_header(header, 24000, 1, 4802);
    assert_memory_equal(b.data, header, sizeof header);
    koe_buf_free(&b);
    b = encode_samples(&(koe_encode_options){ KOE_STR("wav"), 24000, 8000, 0, false }, x, 2401, true);
    koe_wav_header(header, 8000, 1, KOE_WAV_UNKNOWN);
    assert_memory_equal(b.data, header, sizeof header);
    assert_int_equal(b.n, 44 + 2 * 801);
    koe_buf_free(&b);
#ifdef KOE_TEST_FFMPEG
    b = encode_samples(&(koe_encode_options){ KOE_STR("mp3"), 24000, 0, 0, true }, x, 2401, true);
    assert_memory_equal(b.data + 13, "Info", 4);
    koe_buf_free(&b);
    b = encode_samples(&(koe_encode_options){ KOE_STR("flac"), 24000, 0, 0, true }, x, 2401, true);
    assert_int_equal(b.data[8 + 16] << 8 | (unsigned char)b.data[8 + 17], 2401); /* total samples of STREAMINFO */
    koe_buf_free(&b);
#endif
}

/* ---- options ----------------------------------------------------------------------------------------------------------------
 */

static void expect_refusal(koe_encode_options o, const char *message)
{
    koe_encoder *e = NULL;
    koe_error err = { 0 };
    assert_int_equal(koe_encoder_open(&e, &o, &err), KOE_E_ARGUMENT);
    assert_null(e);
    if (!strstr(err.message, message)) fail_msg("%s, want: %s", err.message, message);
}

static void refuses(void **state)
{
    (void)state;
    expect_refusal((koe_encode_options){ KOE_STR("wma"), 24000, 0, 0, false }, "no format 'wma'; there are mp3, opus");
    expect_refusal((koe_encode_options){ { NULL, 0 }, 24000, 0, 0, false }, "no format ''");
    expect_refusal((koe_encode_options){ KOE_STR("wav"), 0, 0, 0, false }, "0 Hz; 1000 to 192000");
    expect_refusal((koe_encode_options){ KOE_STR("wav"), -1, 24000, 0, false }, "-1 Hz; 1000 to 192000");
    expect_refusal((koe_encode_options){ KOE_STR("wav"), 24000, 7999, 0, false }, "8000 to 48000");
    expect_refusal((koe_encode_options){ KOE_STR("pcm"), 24000, 48001, 0, false }, "8000 to 48000");
    expect_refusal((koe_encode_options){ KOE_STR("pcm"), 24000, -24000, 0, false }, "8000 to 48000");
    expect_refusal((koe_encode_options){ KOE_STR("mp3"), 24000, 20000, 0, false },
                   "mp3 has no sample rate of 20000 Hz; it has 8000, 11025");
    expect_refusal((koe_encode_options){ KOE_STR("opus"), 24000, 22050, 0, false }, "it has 8000, 12000, 16000, 24000, 48000");
    expect_refusal((koe_encode_options){ KOE_STR("wav"), 24000, 0, 64000, false }, "wav has no bit rate");
    expect_refusal((koe_encode_options){ KOE_STR("mp3"), 24000, 16000, 320000, false }, "mp3 at 16000 Hz has 8000 to 160000");
    expect_refusal((koe_encode_options){ KOE_STR("mp3"), 24000, 48000, 8000, false }, "mp3 at 48000 Hz has 32000 to 320000");
    expect_refusal((koe_encode_options){ KOE_STR("opus"), 24000, 0, -1, false }, "6000 to 256000");
    expect_refusal((koe_encode_options){ KOE_STR("aac"), 24000, 8000, 64000, false }, "aac at 8000 Hz has 16000 to 48000");
    expect_refusal((koe_encode_options){ KOE_STR("ogg"), 24000, 0, 120000, false }, "ogg at 24000 Hz has 16000 to 90000");
}

/* The ends of every range, and the size that comes of them. */
static void has_bit_rates(void **state)
{
    (void)state;
#ifdef KOE_TEST_FFMPEG
    static const struct {
        const char *format;
        int rate_hz, bitrate;
    } cases[] = { { "mp3", 8000, 8000 },   { "mp3", 8000, 64000 },    { "mp3", 16000, 160000 }, { "mp3", 0, 320000 },
                  { "opus", 0, 6000 },     { "opus", 48000, 256000 }, { "aac", 8000, 48000 },   { "aac", 48000, 256000 },
                  { "aac", 0, 16000 },     { "ogg", 8000, 8000 },     { "ogg", 12000, 12000 },  { "ogg", 16000, 96000 },
                  { "ogg", 24000, 90000 }, { "ogg", 32000, 160000 },  { "ogg", 48000, 240000 } };
    float *x = make_sweep(24000, 24000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const koe_encode_options o = { koe_str_of(cases[i].format), 24000, cases[i].rate_hz, cases[i].bitrate, true };
        koe_buf b = encode_samples(&o, x, 24000, false);
        const double most = cases[i].bitrate / 8.0 * 1.4 + 5000;
        if ((double)b.n > most) fail_msg("%s, %d bit/s: %zu bytes for a second", cases[i].format, cases[i].bitrate, b.n);
        koe_buf_free(&b);
    }
    koe_buf low = encode_samples(&(koe_encode_options){ KOE_STR("mp3"), 24000, 0, 32000, false }, x, 24000, false);
    koe_buf high = encode_samples(&(koe_encode_options){ KOE_STR("mp3"), 24000, 0, 128000, false }, x, 24000, false);
    assert_int_equal(high.n, 4 * low.n);
    koe_buf_free(&low);
    koe_buf_free(&high);
    free(x);
#else
    skip();
#endif
}

static void knows_names(void **state)
{
    (void)state;
    assert_string_equal(koe_encode_content_type(KOE_STR("mp3")), "audio/mpeg");
    assert_string_equal(koe_encode_content_type(KOE_STR("Opus")), "audio/opus");
    assert_null(koe_encode_content_type(KOE_STR("mp")));
    assert_false(koe_encode_known(KOE_STR("mp33")));
    for (size_t i = 0; i < N_FORMATS; i++) {
        assert_true(koe_encode_known(koe_str_of(wanted[i].format)));
        assert_non_null(strstr(koe_encode_names(), wanted[i].format));
    }
#ifndef KOE_TEST_FFMPEG
    koe_encoder *e = NULL;
    koe_error err = { 0 };
    assert_int_equal(koe_encoder_open(&e, &(koe_encode_options){ KOE_STR("mp3"), 24000, 0, 0, false }, &err), KOE_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "without FFmpeg"));
#endif
}

/* ---- memory -----------------------------------------------------------------------------------------------------------------
 */

static koe_status encode_without_memory(const char *format, bool whole, const float *x, long k)
{
    koe_encoder *e = NULL;
    koe_error err = { 0 };
    koe_buf out = { 0 };
    allocations_left = k;
    koe_status st = koe_encoder_open(&e, &(koe_encode_options){ koe_str_of(format), 22050, 0, 0, whole }, &err);
    if (st == KOE_OK) st = koe_encoder_write(e, x, 10000, &out, &err);
    if (st == KOE_OK) st = koe_encoder_finish(e, &out, &err);
    koe_encoder_close(e);
    allocations_left = -1;
    koe_buf_free(&out);
    assert_int_equal(st, err.status);
    return st;
}

static void memory_runs_out(void **state)
{
    (void)state;
    float *x = make_sweep(10000, 22050);
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (!is_here(wanted[i].format)) continue;
        koe_encode_load(NULL);
        for (int whole = 0; whole < 2; whole++) {
            koe_status st = KOE_E_NOMEM;
            for (long k = 0; st != KOE_OK && k < 1000; k++) {
                st = encode_without_memory(wanted[i].format, whole, x, k);
                if (st != KOE_OK && st != KOE_E_NOMEM)
                    fail_msg("%s, allocation %ld: %s", wanted[i].format, k, koe_status_text(st));
            }
            assert_int_equal(st, KOE_OK);
        }
    }
    free(x);
}

/* ---- filling ------------------------------------------------------------------------------------------------------ */

static unsigned get_bits(const uint8_t *p, size_t *at, int n)
{
    unsigned v = 0;
    while (n-- > 0) {
        v = v << 1 | (p[*at / 8] >> (7 - *at % 8) & 1);
        ++*at;
    }
    return v;
}

/* n_bits of other elements, ID_END, zeros to a whole byte: then filled, and read as a decoder reads it. */
static void check_fill(size_t n_bits, size_t more)
{
    const size_t n = (n_bits + 3 + 7) / 8;
    uint8_t *p = calloc(n + more, 1);
    for (size_t i = 0; i < n_bits + 3; i++)
        if (i >= n_bits || i % 3 == 0) p[i / 8] |= (uint8_t)(0x80 >> i % 8);
    koe_aac_fill(p, n, n + more);
    size_t at = 0;
    for (size_t i = 0; i < n_bits; i++)
        if (get_bits(p, &at, 1) != (i % 3 == 0)) fail_msg("%zu bits and %zu bytes: bit %zu has changed", n_bits, more, i);
    unsigned id;
    while (at + 3 <= 8 * (n + more) && (id = get_bits(p, &at, 3)) != 7) {
        unsigned count = get_bits(p, &at, 4);
        if (count == 15) count = 14 + get_bits(p, &at, 8);
        if (id != 6 || (count && get_bits(p, &at, 8) != 0)) fail_msg("%zu bits and %zu bytes: not an element", n_bits, more);
        if (count) at += 8 * (count - 1);
    }
    if ((at + 7) / 8 != n + more) fail_msg("%zu bits and %zu bytes: ends at bit %zu", n_bits, more, at);
    while (at < 8 * (n + more)) assert_int_equal(get_bits(p, &at, 1), 0);
    free(p);
}

static void fills_frames(void **state)
{
    (void)state;
    for (size_t n_bits = 3; n_bits < 20; n_bits++)
        for (size_t more = 0; more < 700; more++) check_fill(n_bits, more);
    uint8_t zeros[9] = { 0 };
    koe_aac_fill(zeros, 4, 9); /* no block at all */
    for (size_t i = 0; i < 9; i++) assert_int_equal(zeros[i], 0);
}

/* ---- resampling -------------------------------------------------------------------------------------------------------------
 */

static pcm resample(const float *x, size_t n, int in_hz, int out_hz)
{
    koe_resampler *r = NULL;
    pcm out = { .rate_hz = out_hz };
    float y[777];
    assert_int_equal(koe_resampler_open(&r, in_hz, out_hz, NULL), KOE_OK);
    for (size_t at = 0, got = 1; at < n || got;) {
        at += koe_resampler_put(r, x + at, n - at < 5000 ? n - at : 5000);
        if (at == n) koe_resampler_end(r);
        got = koe_resampler_read(r, y, 777);
        for (size_t i = 0; i < got; i++) add_sample(&out, y[i]);
    }
    koe_resampler_close(r);
    return out;
}

/* A tone comes out as the tone, sample by sample; one above the new Nyquist frequency does not come out. */
static void resamples(void **state)
{
    (void)state;
    static const struct {
        int in_hz, out_hz;
    } pairs[] = { { 24000, 48000 }, { 22050, 24000 }, { 24000, 8000 }, { 16000, 44100 },
                  { 44100, 48000 }, { 22050, 8001 },  { 192000, 1000 } };
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        const int in = pairs[k].in_hz, out = pairs[k].out_hz, low = in < out ? in : out;
        const size_t n = (size_t)in;
        float *x = malloc(n * sizeof *x);
        for (size_t i = 0; i < n; i++) x[i] = (float)sin(6.283185307179586 * 0.42 * low * (double)i / in);
        pcm y = resample(x, n, in, out);
        assert_int_equal(y.n, out);
        double worst = 0;
        for (size_t i = y.n / 8; i < y.n - y.n / 8; i++)
            worst = fmax(worst, fabs((double)y.x[i] - sin(6.283185307179586 * 0.42 * low * (double)i / out)));
        if (worst > 0.002) fail_msg("%d -> %d Hz: a tone is off by %g", in, out, worst);
        free(y.x);
        for (size_t i = 0; i < n; i++) x[i] = (float)sin(6.283185307179586 * 0.51 * out * (double)i / in);
        y = resample(x, out < in ? n : 0, in, out);
        worst = 0;
        for (size_t i = y.n / 8; i < y.n - y.n / 8; i++) worst = fmax(worst, fabs((double)y.x[i]));
        if (worst > 0.0005) fail_msg("%d -> %d Hz: an alias of %g", in, out, worst);
        free(y.x);
        free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),        cmocka_unit_test(leaves_early),    cmocka_unit_test(takes_any_samples),
        cmocka_unit_test(has_exact_headers), cmocka_unit_test(refuses),         cmocka_unit_test(has_bit_rates),
        cmocka_unit_test(knows_names),       cmocka_unit_test(memory_runs_out), cmocka_unit_test(fills_frames),
        cmocka_unit_test(resamples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
