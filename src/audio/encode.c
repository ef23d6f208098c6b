/* encode.c - the table of formats, and those that need no library: WAV, PCM, G.711. */
#include "audio/encode.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#include "audio/audio.h"
#include "audio/encode_av.h"
#include "audio/resample.h"
#include "audio/wav.h"

enum { LEAST_HZ = 8000, MOST_HZ = 48000, BLOCK = 4096 };

typedef enum coding { CODING_S16, CODING_WAV, CODING_ULAW, CODING_ALAW, CODING_AV } coding;

typedef struct format {
    const char *name, *content_type;
    coding coding;
    bool starts_late; /* the first bytes depend on the last */
    int natural_hz[8]; /* the first that is not below the input's, else the last; none: the input's */
    int rates_hz[12]; /* all there are; none: any */
    int bitrate; /* default; 0: by quality, or there is none */
    const char *codec, *muxer, *codec_options, *muxer_options;
} format;

#define MPEG_RATES                                                                                                               \
    {                                                                                                                            \
        8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000                                                             \
    }
#define OPUS_RATES 8000, 12000, 16000, 24000, 48000

/* AAC at 48 kHz whatever the voice: a frame of 1024 samples is then 21 ms, and what the encoder puts before and after stays below
 * 50 ms. The same for MP3's 576 samples at 24 kHz. Pages of Ogg end after 200 ms, not after its usual second. MP3 frames that
 * borrow no bits of earlier ones can be left out (skips_first()) and played from any place. */
static const format formats[] = {
    { "mp3",
      "audio/mpeg",
      CODING_AV,
      true,
      { 24000, 48000 },
      MPEG_RATES,
      96000,
      "libmp3lame",
      "mp3",
      "reservoir=0",
      "id3v2_version=0" },
    { "opus",
      "audio/opus",
      CODING_AV,
      false,
      { OPUS_RATES },
      { OPUS_RATES },
      48000,
      "libopus",
      "ogg",
      "application=audio",
      "page_duration=200000" },
    { "aac", "audio/aac", CODING_AV, false, { 48000 }, MPEG_RATES, 96000, "aac", "adts", NULL, NULL },
    { "flac", "audio/flac", CODING_AV, true, { 0 }, { 0 }, 0, "flac", "flac", NULL, NULL },
    { "wav", "audio/wav", CODING_WAV, true, { 0 }, { 0 }, 0, NULL, NULL, NULL, NULL },
    { "pcm", "audio/pcm", CODING_S16, false, { 24000 }, { 0 }, 0, NULL, NULL, NULL, NULL },
    { "ogg",
      "audio/ogg",
      CODING_AV,
      false,
      { 0 },
      { 0 },
      0,
      "libvorbis",
      "ogg",
      "flags=+qscale:global_quality=590",
      "page_duration=200000" },
    { "ulaw", "audio/basic", CODING_ULAW, false, { 8000 }, { 0 }, 0, NULL, NULL, NULL, NULL },
    { "alaw", "audio/x-alaw-basic", CODING_ALAW, false, { 8000 }, { 0 }, 0, NULL, NULL, NULL, NULL },
};

struct koe_encoder {
    const format *format;
    int rate_hz;
    bool whole;
    bool started, finished;
    koe_resampler *resampler; /* NULL: the samples come at rate_hz */
    koe_av_encoder *av; /* of CODING_AV */
    koe_buf held; /* of a whole WAV: the samples, until the header is known */
};

/* ---- formats -----------------------------------------------------------------------------------------------------------------
 */

static const format *find_format(koe_str name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (name.n == strlen(formats[i].name) && strncasecmp(name.p, formats[i].name, name.n) == 0) return &formats[i];
    return NULL;
}

const char *koe_encode_content_type(koe_str name)
{
    const format *f = find_format(name);
    return f ? f->content_type : NULL;
}

bool koe_encode_known(koe_str name) { return find_format(name) != NULL; }
const char *koe_encode_names(void) { return "mp3, opus, aac, flac, wav, pcm, ogg, ulaw, alaw"; }
koe_status koe_encode_load(koe_error *err) { return koe_av_load(err); }

static bool is_mp3(const format *f) { return strcmp(f->name, "mp3") == 0; }

static int natural_rate(const format *f, const koe_encode_options *o)
{
    int rate = o->in_rate_hz < LEAST_HZ ? LEAST_HZ : o->in_rate_hz > MOST_HZ ? MOST_HZ : o->in_rate_hz;
    if (f->natural_hz[0] == 0) return rate;
    size_t i = 0;
    while (f->natural_hz[i] < o->in_rate_hz && f->natural_hz[i + 1]) i++;
    return is_mp3(f) && o->bitrate > 160000 ? MOST_HZ : f->natural_hz[i]; /* only MPEG-1 has more than that */
}

static koe_status check_rate(const format *f, int rate_hz, koe_error *err)
{
    bool found = f->rates_hz[0] == 0;
    koe_buf names = { 0 };
    for (size_t i = 0; f->rates_hz[i]; i++) {
        found |= f->rates_hz[i] == rate_hz;
        koe_buf_printf(&names, "%s%d", i ? ", " : "", f->rates_hz[i]);
    }
    koe_status st = KOE_OK;
    if (rate_hz < LEAST_HZ || rate_hz > MOST_HZ)
        st = koe_fail(err, KOE_E_ARGUMENT, "a sample rate of %d Hz; %d to %d are possible", rate_hz, LEAST_HZ, MOST_HZ);
    else if (!found)
        st = koe_fail(err, KOE_E_ARGUMENT, "%s has no sample rate of %d Hz; it has %s", f->name, rate_hz,
                      names.data ? names.data : "");
    koe_buf_free(&names);
    return st;
}

/* What each format has up to a sample rate. MP3: the tables of MPEG-2.5, 2 and 1. AAC: at most 6144 bits for 1024 samples.
 * Vorbis: where libvorbis has models of one channel. */
static const struct {
    const char *name;
    int to_hz, least, most;
} bitrates[] = {
    { "mp3", 12000, 8000, 64000 },   { "mp3", 24000, 8000, 160000 },  { "mp3", 48000, 32000, 320000 },
    { "opus", 48000, 6000, 256000 }, { "aac", 8000, 16000, 48000 },   { "aac", 12000, 16000, 66000 },
    { "aac", 16000, 16000, 96000 },  { "aac", 22050, 16000, 132000 }, { "aac", 24000, 16000, 144000 },
    { "aac", 32000, 16000, 192000 }, { "aac", 48000, 16000, 256000 }, { "ogg", 8999, 8000, 32000 },
    { "ogg", 14999, 12000, 48000 },  { "ogg", 18999, 16000, 96000 },  { "ogg", 25999, 16000, 90000 },
    { "ogg", 39999, 32000, 160000 }, { "ogg", 48000, 32000, 240000 },
};

/* The bit rate of the codec: 0 is the default, as far as the sample rate has it. In: a rate that passed check_rate(). */
static koe_status choose_bitrate(int *out, const format *f, int wanted, int rate_hz, koe_error *err)
{
    *out = 0;
    for (size_t i = 0; i < sizeof bitrates / sizeof *bitrates; i++) {
        if (strcmp(bitrates[i].name, f->name) != 0 || rate_hz > bitrates[i].to_hz) continue;
        const int least = bitrates[i].least, most = bitrates[i].most;
        *out = wanted ? wanted : f->bitrate < most ? f->bitrate : most;
        if (wanted && (wanted < least || wanted > most))
            return koe_fail(err, KOE_E_ARGUMENT, "a bit rate of %d bit/s; %s at %d Hz has %d to %d", wanted, f->name, rate_hz,
                            least, most);
        return KOE_OK;
    }
    return wanted ? koe_fail(err, KOE_E_ARGUMENT, "%s has no bit rate to choose", f->name) : KOE_OK;
}

/* ---- opening
 * -------------------------------------------------------------------------------------------------------------------- */

/* In MPEG-2 (to 24 kHz, frames of 576 samples) the first frame of LAME holds none of the sound, which begins in the second: the
 * delay is 576, and 529 more in every decoder. Without that frame a stream is less than 50 ms longer than its samples. */
static bool skips_first(const format *f, int rate_hz) { return is_mp3(f) && rate_hz <= 24000; }

/* ADTS does not tell its length; players take it from the size of the file and of the first frames. The frames therefore have one
 * size: that of 1024 samples, without a header of 7 bytes. */
static int packet_bytes(const format *f, int bitrate, int rate_hz)
{
    return strcmp(f->name, "aac") == 0 ? (int)((int64_t)bitrate * 1024 / (8 * (int64_t)rate_hz)) - 7 : 0;
}

static koe_status open_av(koe_encoder *e, int bitrate, koe_error *err)
{
    const format *f = e->format;
    const int packet = packet_bytes(f, bitrate, e->rate_hz);
    const koe_av_format av = {
        .name = f->name,
        .codec = f->codec,
        .muxer = f->muxer,
        .codec_options = bitrate && f->bitrate == 0 ? NULL : f->codec_options, /* Vorbis: quality, unless a bit rate is wanted */
        .muxer_options = f->muxer_options,
        .rate_hz = e->rate_hz,
        .bitrate = packet ? bitrate / 3 * 2 : bitrate, /* the rest is for frames that need more than others */
        .packet_bytes = packet,
        .skip_first = skips_first(f, e->rate_hz),
        .whole = e->whole,
    };
    return koe_av_open(&e->av, &av, err);
}

/* What the options come to. */
typedef struct settled {
    const format *format;
    int rate_hz, bitrate;
} settled;

static koe_status settle(settled *s, const koe_encode_options *opt, koe_encode_option *wrong, koe_error *err)
{
    *s = (settled){ .format = find_format(opt->format) };
    *wrong = KOE_ENCODE_FORMAT;
    if (!s->format)
        return koe_fail(err, KOE_E_ARGUMENT, "there is no format '%.*s'; there are %s",
                        KOE_STR_ARG(koe_str_sub(opt->format, 0, 40)), koe_encode_names());
    s->rate_hz = opt->out_rate_hz ? opt->out_rate_hz : natural_rate(s->format, opt);
    *wrong = KOE_ENCODE_RATE;
    const koe_status st = check_rate(s->format, s->rate_hz, err);
    if (st != KOE_OK) return st;
    *wrong = KOE_ENCODE_BITRATE;
    return choose_bitrate(&s->bitrate, s->format, opt->bitrate, s->rate_hz, err);
}

koe_status koe_encode_check(const koe_encode_options *opt, koe_encode_option *wrong, koe_error *err)
{
    settled s;
    return settle(&s, opt, wrong, err);
}

koe_status koe_encoder_open(koe_encoder **out, const koe_encode_options *opt, koe_error *err)
{
    settled s;
    koe_encode_option wrong;
    koe_status st = settle(&s, opt, &wrong, err);
    if (st != KOE_OK) return st;
    const format *f = s.format;
    const int rate_hz = s.rate_hz;
    koe_encoder *e = calloc(1, sizeof *e);
    if (!e) return koe_fail(err, KOE_E_NOMEM, "%s encoder", f->name);
    e->format = f;
    e->rate_hz = rate_hz;
    e->whole = opt->whole && f->starts_late;
    if (opt->in_rate_hz != rate_hz) st = koe_resampler_open(&e->resampler, opt->in_rate_hz, rate_hz, err);
    if (st == KOE_OK && f->coding == CODING_AV) st = open_av(e, s.bitrate, err);
    if (st != KOE_OK) {
        koe_encoder_close(e);
        return st;
    }
    *out = e;
    return KOE_OK;
}

void koe_encoder_close(koe_encoder *e)
{
    if (!e) return;
    koe_resampler_close(e->resampler);
    koe_av_close(e->av);
    koe_buf_free(&e->held);
    free(e);
}


/* ---- encoding ----------------------------------------------------------------------------------------------------------------
 */

/* G.711 mu-law, the complement of sign, 3 bits of exponent, 4 of mantissa; 14-bit magnitude with a bias of 33 (here times 4). */
static unsigned char ulaw_of(int16_t sample)
{
    int x = sample;
    const int sign = x < 0 ? 0x80 : 0;
    if (x < 0) x = -x;
    x = (x > 32635 ? 32635 : x) + 132;
    int exponent = 7;
    while (exponent > 0 && x < 1 << (exponent + 7)) exponent--;
    return (unsigned char)~(sign | exponent << 4 | (x >> (exponent + 3) & 15));
}

/* G.711 A-law: 13-bit magnitude, every other bit inverted; the sign bit is 1 for what is not negative. */
static unsigned char alaw_of(int16_t sample)
{
    int x = sample;
    const int sign = x < 0 ? 0 : 0x80;
    if (x < 0) x = -x - 1;
    int exponent = 7;
    while (exponent > 0 && x < 1 << (exponent + 7)) exponent--;
    const int mantissa = exponent ? x >> (exponent + 3) & 15 : x >> 4;
    return (unsigned char)((sign | exponent << 4 | mantissa) ^ 0x55);
}

/* The formats made here. n <= BLOCK */
static void write_plain(const koe_encoder *e, const float *x, size_t n, koe_buf *out)
{
    int16_t pcm[BLOCK];
    unsigned char byte[BLOCK];
    koe_audio_to_s16(pcm, x, n);
    switch (e->format->coding) {
    case CODING_ULAW:
        for (size_t i = 0; i < n; i++) byte[i] = ulaw_of(pcm[i]);
        koe_buf_add(out, byte, n);
        break;
    case CODING_ALAW:
        for (size_t i = 0; i < n; i++) byte[i] = alaw_of(pcm[i]);
        koe_buf_add(out, byte, n);
        break;
    default: koe_buf_add(out, pcm, n * sizeof *pcm);
    }
}

/* Samples at rate_hz. */
static koe_status write_block(koe_encoder *e, const float *x, size_t n, koe_buf *out, koe_error *err)
{
    if (e->av) return koe_av_write(e->av, x, n, out, err);
    if (e->whole && e->held.n > KOE_ENCODE_WHOLE_BYTES - 2 * n)
        return koe_fail(err, KOE_E_LIMIT, "%s: more than %zu bytes", e->format->name, KOE_ENCODE_WHOLE_BYTES);
    koe_buf *to = e->whole ? &e->held : out;
    write_plain(e, x, n, to);
    return to->failed ? koe_fail(err, KOE_E_NOMEM, "%s: %zu bytes", e->format->name, to->n) : KOE_OK;
}

static void write_wav_header(koe_buf *out, int rate_hz, uint64_t data_bytes)
{
    unsigned char header[KOE_WAV_HEADER_BYTES];
    koe_wav_header(header, rate_hz, 1, data_bytes);
    koe_buf_add(out, header, sizeof header);
}

/* Before the first samples, and before the end of a stream without any. */
static void start(koe_encoder *e, koe_buf *out)
{
    if (!e->started && !e->whole && e->format->coding == CODING_WAV) write_wav_header(out, e->rate_hz, KOE_WAV_UNKNOWN);
    e->started = true;
}

static koe_status write_resampled(koe_encoder *e, koe_buf *out, koe_error *err)
{
    float y[BLOCK];
    koe_status st = KOE_OK;
    for (size_t n = BLOCK; st == KOE_OK && n == BLOCK;) {
        n = koe_resampler_read(e->resampler, y, BLOCK);
        for (size_t i = 0; i < n; i++) y[i] = y[i] < -1 ? -1 : y[i] > 1 ? 1 : y[i]; /* overshoot of the filter */
        if (n) st = write_block(e, y, n, out, err);
    }
    return st;
}

koe_status koe_encoder_write(koe_encoder *e, const float *samples, size_t n, koe_buf *out, koe_error *err)
{
    assert(!e->finished);
    float x[BLOCK];
    koe_status st = KOE_OK;
    start(e, out);
    for (size_t some; st == KOE_OK && n > 0; samples += some, n -= some) {
        some = n < BLOCK ? n : BLOCK;
        for (size_t i = 0; i < some; i++)
            x[i] = samples[i] < -1 ? -1 : samples[i] > 1 ? 1 : samples[i] == samples[i] ? samples[i] : 0;
        if (!e->resampler) st = write_block(e, x, some, out, err);
        for (size_t at = 0; e->resampler && st == KOE_OK && at < some;) {
            at += koe_resampler_put(e->resampler, x + at, some - at);
            st = write_resampled(e, out, err);
        }
    }
    return st;
}

koe_status koe_encoder_finish(koe_encoder *e, koe_buf *out, koe_error *err)
{
    assert(!e->finished);
    e->finished = true;
    koe_status st = KOE_OK;
    start(e, out);
    if (e->resampler) {
        koe_resampler_end(e->resampler);
        st = write_resampled(e, out, err);
    }
    if (st == KOE_OK && e->av) st = koe_av_finish(e->av, out, err);
    if (st != KOE_OK) return st;
    if (e->whole && e->format->coding == CODING_WAV) {
        write_wav_header(out, e->rate_hz, e->held.n);
        koe_buf_add_str(out, koe_buf_str(&e->held));
    }
    return out->failed ? koe_fail(err, KOE_E_NOMEM, "%s: %zu bytes", e->format->name, out->n) : KOE_OK;
}
