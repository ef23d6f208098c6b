#include "audio/wav.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/audio.h"
#include "base/file.h"

enum { FORMAT_PCM = 1, FORMAT_FLOAT = 3, FORMAT_EXTENSIBLE = 0xFFFE };
enum { MAX_CHANNELS = 64, MAX_RATE_HZ = 1000000 };

static void put16(unsigned char *p, unsigned v)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *p, uint32_t v)
{
    put16(p, v & 0xffff);
    put16(p + 2, v >> 16);
}

void koe_wav_header(unsigned char out[KOE_WAV_HEADER_BYTES], int rate_hz, int n_channels, uint64_t data_bytes)
{
    bool fits = data_bytes <= UINT32_MAX - 36;
    memcpy(out, "RIFF....WAVEfmt ", 16);
    put32(out + 4, fits ? (uint32_t)data_bytes + 36 : UINT32_MAX);
    put32(out + 16, 16);
    put16(out + 20, FORMAT_PCM);
    put16(out + 22, (unsigned)n_channels);
    put32(out + 24, (uint32_t)rate_hz);
    put32(out + 28, (uint32_t)rate_hz * (uint32_t)n_channels * 2);
    put16(out + 32, (unsigned)n_channels * 2);
    put16(out + 34, 16);
    memcpy(out + 36, "data", 4);
    put32(out + 40, fits ? (uint32_t)data_bytes : UINT32_MAX);
}

struct koe_wav {
    int fd;
    int rate_hz, n_channels;
    bool patches; /* a regular file that starts here: the header can be rewritten */
    uint64_t data_bytes;
    char *path;
};

static koe_status write_error(koe_wav *w, koe_error *err)
{
    return koe_fail(err, KOE_E_IO, "cannot write %s: %s", w->path, strerror(errno));
}

koe_status koe_wav_create(koe_wav **out, const char *path, int rate_hz, int n_channels, koe_error *err)
{
    if (rate_hz < 1 || rate_hz > MAX_RATE_HZ || n_channels < 1 || n_channels > MAX_CHANNELS)
        return koe_fail(err, KOE_E_ARGUMENT, "%d Hz with %d channels", rate_hz, n_channels);
    bool is_stdout = strcmp(path, "-") == 0;
    koe_wav *w = calloc(1, sizeof *w);
    if (!w || !(w->path = strdup(is_stdout ? "standard output" : path))) {
        free(w);
        return koe_fail(err, KOE_E_NOMEM, "writing %s", path);
    }
    w->rate_hz = rate_hz;
    w->n_channels = n_channels;
    w->fd = is_stdout ? dup(STDOUT_FILENO) : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    koe_status st = KOE_OK;
    struct stat s;
    if (w->fd < 0)
        st = koe_fail(err, errno == ENOENT || errno == ENOTDIR ? KOE_E_NOT_FOUND : KOE_E_IO, "cannot write %s: %s", w->path,
                      strerror(errno));
    else if (fstat(w->fd, &s) == 0) w->patches = S_ISREG(s.st_mode) && lseek(w->fd, 0, SEEK_CUR) == 0;
    if (st == KOE_OK) {
        unsigned char header[KOE_WAV_HEADER_BYTES];
        koe_wav_header(header, rate_hz, n_channels, w->patches ? 0 : KOE_WAV_UNKNOWN);
        if (!koe_write_all(w->fd, header, sizeof header)) st = write_error(w, err);
    }
    if (st != KOE_OK) {
        koe_wav_close(w, NULL);
        return st;
    }
    *out = w;
    return KOE_OK;
}

/* After the samples, never before: at any moment the header speaks only of what is there. */
static koe_status patch_header(koe_wav *w, koe_error *err)
{
    unsigned char header[KOE_WAV_HEADER_BYTES];
    if (!w->patches) return KOE_OK;
    koe_wav_header(header, w->rate_hz, w->n_channels, w->data_bytes);
    return pwrite(w->fd, header, sizeof header, 0) == sizeof header ? KOE_OK : write_error(w, err);
}

koe_status koe_wav_write(koe_wav *w, const float *samples, size_t n, koe_error *err)
{
    int16_t block[4096];
    koe_status st = KOE_OK;
    for (size_t at = 0; st == KOE_OK && at < n;) {
        size_t count = n - at < 4096 ? n - at : 4096;
        koe_audio_to_s16(block, samples + at, count);
        if (!koe_write_all(w->fd, block, count * sizeof *block)) st = write_error(w, err);
        else w->data_bytes += count * sizeof *block;
        at += count;
    }
    koe_status patched = patch_header(w, st == KOE_OK ? err : NULL);
    return st == KOE_OK ? patched : st;
}

uint64_t koe_wav_samples(const koe_wav *w) { return w->data_bytes / 2; }

koe_status koe_wav_close(koe_wav *w, koe_error *err)
{
    if (!w) return KOE_OK;
    koe_status st = KOE_OK;
    if (w->fd >= 0 && close(w->fd) != 0) st = write_error(w, err);
    free(w->path);
    free(w);
    return st;
}

static unsigned get16(const unsigned char *p) { return (unsigned)p[0] | (unsigned)p[1] << 8; }
static uint32_t get32(const unsigned char *p) { return get16(p) | (uint32_t)get16(p + 2) << 16; }

typedef struct wav_format {
    unsigned format, n_channels, bits;
    uint32_t rate_hz;
} wav_format;

static koe_status parse_format(wav_format *f, const unsigned char *p, size_t n, const char *what, koe_error *err)
{
    if (n < 16) return koe_fail(err, KOE_E_FORMAT, "%s: fmt chunk of %zu bytes, at least 16 are needed", what, n);
    *f = (wav_format){ get16(p), get16(p + 2), get16(p + 14), get32(p + 4) };
    if (f->format == FORMAT_EXTENSIBLE) {
        if (n < 40) return koe_fail(err, KOE_E_FORMAT, "%s: extensible fmt chunk of %zu bytes, 40 are needed", what, n);
        f->format = get16(p + 24);
    }
    bool pcm = f->format == FORMAT_PCM && (f->bits == 8 || f->bits == 16 || f->bits == 24 || f->bits == 32);
    if (!pcm && !(f->format == FORMAT_FLOAT && (f->bits == 32 || f->bits == 64)))
        return koe_fail(err, KOE_E_UNSUPPORTED,
                        "%s: format %u with %u bits; PCM of 8, 16, 24 or 32 and float of 32 or 64 are read", what, f->format,
                        f->bits);
    if (f->n_channels < 1 || f->n_channels > MAX_CHANNELS || f->rate_hz < 1 || f->rate_hz > MAX_RATE_HZ)
        return koe_fail(err, KOE_E_FORMAT, "%s: %u channels at %" PRIu32 " Hz", what, f->n_channels, f->rate_hz);
    if (get16(p + 12) != f->n_channels * f->bits / 8)
        return koe_fail(err, KOE_E_FORMAT, "%s: frames of %u bytes, %u channels of %u bits are %u", what, get16(p + 12),
                        f->n_channels, f->bits, f->n_channels * f->bits / 8);
    return KOE_OK;
}

static float sample_at(const unsigned char *p, const wav_format *f)
{
    if (f->format == FORMAT_FLOAT && f->bits == 64) {
        uint64_t u = get32(p) | (uint64_t)get32(p + 4) << 32;
        double d;
        memcpy(&d, &u, sizeof d);
        return (float)d;
    }
    if (f->format == FORMAT_FLOAT) {
        uint32_t u = get32(p);
        float x;
        memcpy(&x, &u, sizeof x);
        return x;
    }
    switch (f->bits) {
    case 8: return (float)((int)p[0] - 128) / 128.0f;
    case 16: return (float)(int16_t)get16(p) / 32768.0f;
    case 24: return (float)((int32_t)((uint32_t)p[0] << 8 | (uint32_t)get16(p + 1) << 16) >> 8) / 8388608.0f;
    default: return (float)(int32_t)get32(p) / 2147483648.0f;
    }
}

static koe_status decode(koe_wav_pcm *out, const wav_format *f, const unsigned char *p, size_t n_bytes, const char *what,
                         koe_error *err)
{
    size_t width = f->bits / 8, n_frames = n_bytes / (width * f->n_channels), n = n_frames * f->n_channels;
    float *samples = malloc(n ? n * sizeof *samples : 1);
    if (!samples) return koe_fail(err, KOE_E_NOMEM, "%s: %zu samples", what, n);
    for (size_t i = 0; i < n; i++) samples[i] = sample_at(p + i * width, f);
    *out = (koe_wav_pcm){ samples, n_frames, (int)f->n_channels, (int)f->rate_hz, (int)f->bits, f->format == FORMAT_FLOAT };
    return KOE_OK;
}

koe_status koe_wav_parse(koe_wav_pcm *out, const void *bytes, size_t n_bytes, const char *what, koe_error *err)
{
    const unsigned char *p = bytes;
    if (n_bytes < 12 || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WAVE", 4) != 0)
        return koe_fail(err, KOE_E_FORMAT, "%s is not a WAV file", what);
    wav_format format = { 0 };
    for (size_t at = 12; n_bytes - at >= 8;) {
        const unsigned char *chunk = p + at;
        size_t size = get32(chunk + 4), left = n_bytes - at - 8;
        bool is_data = memcmp(chunk, "data", 4) == 0;
        /* Writers to pipes leave 0xFFFFFFFF or 0x7FFFFxxx. */
        if (is_data && size > left && size >= 0x7fff0000) size = left;
        if (size > left)
            return koe_fail(err, KOE_E_FORMAT, "%s: the chunk at byte %zu has %zu bytes, %zu are there", what, at, size, left);
        if (memcmp(chunk, "fmt ", 4) == 0) {
            koe_status st = parse_format(&format, chunk + 8, size, what, err);
            if (st != KOE_OK) return st;
        }
        if (is_data && format.bits == 0) return koe_fail(err, KOE_E_FORMAT, "%s: samples before the fmt chunk", what);
        if (is_data) return decode(out, &format, chunk + 8, size, what, err);
        size += size < left && size % 2;
        at += 8 + size;
    }
    return koe_fail(err, KOE_E_FORMAT, "%s has no data chunk", what);
}

koe_status koe_wav_read(koe_wav_pcm *out, const char *path, koe_error *err)
{
    koe_mapping m;
    koe_status st = koe_file_map(&m, path, err);
    if (st != KOE_OK) return st;
    st = koe_wav_parse(out, m.p, m.n, path, err);
    koe_file_unmap(&m);
    return st;
}
