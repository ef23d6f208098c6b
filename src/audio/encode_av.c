/* encode_av.c - samples -> frames -> codec -> packets -> muxer -> memory, with the FFmpeg libraries. */
#include "audio/encode_av.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "audio/audio.h"
#include "audio/encode.h"
#include "audio/encode_aac.h"
#include "audio/encode_lib.h"

/* Where the muxer's bytes go. */
typedef struct memory {
    koe_buf *to; /* appended to; of the call that is running, or `file` */
    koe_buf file; /* seekable: everything, until the end */
    size_t at; /* of the next write, in `file` */
    bool seekable;
} memory;

struct koe_av_encoder {
    const koe_av_lib *lib;
    koe_av_format format;
    AVCodecContext *codec;
    AVFormatContext *muxer; /* its pb is the AVIOContext */
    AVFrame *frame; /* n_filled of codec->frame_size samples */
    AVPacket *packet;
    memory memory;
    int n_filled;
    int n_over; /* bytes by which the packets have been larger than format.packet_bytes */
    int64_t n_sent; /* samples given to the codec */
    bool has_header, has_packets;
};

/* ---- memory as a file ------------------------------------------------------------------------------------------------------ */

#if LIBAVFORMAT_VERSION_MAJOR >= 61
typedef const uint8_t written_bytes;
#else
typedef uint8_t written_bytes;
#endif

static int write_memory(void *opaque, written_bytes *bytes, int n)
{
    memory *m = opaque;
    const size_t size = (size_t)n;
    size_t over = 0; /* how many bytes replace others */
    if (m->seekable) {
        if (size > KOE_ENCODE_WHOLE_BYTES - m->at) return AVERROR(EFBIG);
        over = m->file.n - m->at < size ? m->file.n - m->at : size;
        if (over) memcpy(m->file.data + m->at, bytes, over);
        m->at += size;
    }
    koe_buf_add(m->to, bytes + over, size - over);
    return m->to->failed ? AVERROR(ENOMEM) : n;
}

/* Only to places that have been written: no muxer here needs holes. */
static int64_t seek_memory(void *opaque, int64_t offset, int whence)
{
    memory *m = opaque;
    const int64_t size = (int64_t)m->file.n;
    if (whence & AVSEEK_SIZE) return size;
    if (whence == SEEK_CUR) offset += (int64_t)m->at;
    if (whence == SEEK_END) offset += size;
    if (offset < 0 || offset > size) return AVERROR(EINVAL);
    m->at = (size_t)offset;
    return offset;
}

/* ---- opening ----------------------------------------------------------------------------------------------------------------
 */

static koe_status av_failed(const koe_av_encoder *e, int code, koe_status status, const char *doing, koe_error *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    e->lib->av_strerror(code, text, sizeof text);
    if (code == AVERROR(ENOMEM)) status = KOE_E_NOMEM;
    if (code == AVERROR(EFBIG)) status = KOE_E_LIMIT;
    return koe_fail(err, status, "%s: %s: %s", e->format.name, doing, text);
}

static koe_status no_memory(const koe_av_encoder *e, koe_error *err)
{
    return koe_fail(err, KOE_E_NOMEM, "%s encoder", e->format.name);
}

static koe_status open_codec(koe_av_encoder *e, koe_error *err)
{
    const koe_av_lib *lib = e->lib;
    const AVCodec *codec = lib->avcodec_find_encoder_by_name(e->format.codec);
    if (!codec)
        return koe_fail(err, KOE_E_UNSUPPORTED, "%s: the FFmpeg libraries of this machine have no %s encoder", e->format.name,
                        e->format.codec);
    AVCodecContext *c = e->codec = lib->avcodec_alloc_context3(codec);
    if (!c) return no_memory(e, err);
    c->sample_rate = e->format.rate_hz;
    c->time_base = (AVRational){ 1, e->format.rate_hz };
    c->bit_rate = e->format.bitrate;
    /* The only two that are made: floats, planar or not (one channel is both), and 16 bits for what is lossless. */
    c->sample_fmt = codec->id == AV_CODEC_ID_FLAC   ? AV_SAMPLE_FMT_S16
                    : codec->id == AV_CODEC_ID_OPUS ? AV_SAMPLE_FMT_FLT
                                                    : AV_SAMPLE_FMT_FLTP;
    lib->av_channel_layout_default(&c->ch_layout, 1);
    c->thread_count = 1;
    c->flags |= AV_CODEC_FLAG_BITEXACT;
    if (e->muxer->oformat->flags & AVFMT_GLOBALHEADER) c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    AVDictionary *options = NULL;
    int code = e->format.codec_options ? lib->av_dict_parse_string(&options, e->format.codec_options, "=", ":", 0) : 0;
    if (code >= 0) code = lib->avcodec_open2(c, codec, &options);
    lib->av_dict_free(&options);
    if (code >= 0) return KOE_OK;
    char doing[64] = "";
    snprintf(doing, sizeof doing, "%d bit/s at %d Hz", e->format.bitrate, e->format.rate_hz);
    return av_failed(e, code, KOE_E_ARGUMENT, e->format.bitrate ? doing : "the encoder does not open", err);
}

static koe_status open_muxer(koe_av_encoder *e, koe_error *err)
{
    enum { BUFFER_BYTES = 4096 };
    const koe_av_lib *lib = e->lib;
    const int code = lib->avformat_alloc_output_context2(&e->muxer, NULL, e->format.muxer, NULL);
    if (code < 0)
        return av_failed(e, code, KOE_E_UNSUPPORTED, "the container is not in the FFmpeg libraries of this machine", err);
    e->muxer->flags |= AVFMT_FLAG_BITEXACT | AVFMT_FLAG_FLUSH_PACKETS | AVFMT_FLAG_CUSTOM_IO;
    unsigned char *buffer = lib->av_malloc(BUFFER_BYTES);
    if (buffer)
        e->muxer->pb = lib->avio_alloc_context(buffer, BUFFER_BYTES, 1, &e->memory, NULL, write_memory,
                                               e->format.whole ? seek_memory : NULL);
    if (buffer && !e->muxer->pb) lib->av_freep(&buffer);
    return e->muxer->pb ? KOE_OK : no_memory(e, err);
}

static koe_status open_stream(koe_av_encoder *e, koe_error *err)
{
    const koe_av_lib *lib = e->lib;
    AVStream *stream = lib->avformat_new_stream(e->muxer, NULL);
    if (!stream) return no_memory(e, err);
    stream->time_base = e->codec->time_base;
    const int code = lib->avcodec_parameters_from_context(stream->codecpar, e->codec);
    if (code < 0) return av_failed(e, code, KOE_E_UNSUPPORTED, "stream", err);
    if (e->format.skip_first) stream->codecpar->initial_padding -= e->codec->frame_size;
    return KOE_OK;
}

static koe_status open_frame(koe_av_encoder *e, koe_error *err)
{
    const koe_av_lib *lib = e->lib;
    e->packet = lib->av_packet_alloc();
    AVFrame *f = e->frame = lib->av_frame_alloc();
    if (!f || !e->packet) return no_memory(e, err);
    f->nb_samples = e->codec->frame_size;
    f->format = e->codec->sample_fmt;
    f->sample_rate = e->codec->sample_rate;
    lib->av_channel_layout_default(&f->ch_layout, 1);
    const int code = f->nb_samples > 0 ? lib->av_frame_get_buffer(f, 0) : AVERROR(ENOSYS);
    return code < 0 ? av_failed(e, code, KOE_E_UNSUPPORTED, "frame", err) : KOE_OK;
}

koe_status koe_av_open(koe_av_encoder **out, const koe_av_format *format, koe_error *err)
{
    const koe_av_lib *lib = NULL;
    koe_status st = koe_av_lib_get(&lib, err);
    if (st != KOE_OK) return koe_error_wrap(err, st, "%s", format->name);
    koe_av_encoder *e = calloc(1, sizeof *e);
    if (!e) return koe_fail(err, KOE_E_NOMEM, "%s encoder", format->name);
    e->lib = lib;
    e->format = *format;
    e->memory.seekable = format->whole;
    st = open_muxer(e, err);
    if (st == KOE_OK) st = open_codec(e, err);
    if (st == KOE_OK) st = open_stream(e, err);
    if (st == KOE_OK) st = open_frame(e, err);
    if (st != KOE_OK) {
        koe_av_close(e);
        return st;
    }
    *out = e;
    return KOE_OK;
}

void koe_av_close(koe_av_encoder *e)
{
    if (!e) return;
    const koe_av_lib *lib = e->lib;
    koe_buf nowhere = { .failed = true }; /* what is still buffered */
    e->memory.to = &nowhere;
    e->memory.seekable = false;
    /* A muxer's own memory is freed by its trailer only. */
    if (e->has_header) lib->av_write_trailer(e->muxer);
    if (e->muxer && e->muxer->pb) {
        lib->av_freep(&e->muxer->pb->buffer);
        lib->avio_context_free(&e->muxer->pb);
    }
    lib->avformat_free_context(e->muxer);
    lib->avcodec_free_context(&e->codec);
    lib->av_frame_free(&e->frame);
    lib->av_packet_free(&e->packet);
    koe_buf_free(&e->memory.file);
    free(e);
}

koe_status koe_av_load(koe_error *err)
{
    const koe_av_lib *lib;
    return koe_av_lib_get(&lib, err);
}

/* ---- encoding ----------------------------------------------------------------------------------------------------------------
 */

/* The muxer takes the encoder's delay from the first packet that has a note of samples to skip: with the first packet gone that
 * is the last one, which tells the padding in bytes 4 to 7. Bytes 0 to 3, little endian, are the delay; it fits in two of them.
 */
static void tell_delay(koe_av_encoder *e)
{
    size_t n = 0;
    uint8_t *note = e->lib->av_packet_get_side_data(e->packet, AV_PKT_DATA_SKIP_SAMPLES, &n);
    const int delay = e->muxer->streams[0]->codecpar->initial_padding;
    if (!note || n < 10) return;
    note[0] = (uint8_t)delay;
    note[1] = (uint8_t)(delay >> 8);
}

/* Brings packets to one size: one that is larger is made up for by the next ones. */
static int fill_packet(koe_av_encoder *e)
{
    if (!e->format.packet_bytes) return 0;
    const int size = e->packet->size, more = e->format.packet_bytes - e->n_over - size;
    e->n_over += size + (more > 0 ? more : 0) - e->format.packet_bytes;
    if (more <= 0) return 0;
    const int code = e->lib->av_grow_packet(e->packet, more);
    if (code >= 0) koe_aac_fill(e->packet->data, (size_t)size, (size_t)size + (size_t)more);
    return code;
}

static koe_status write_packet(koe_av_encoder *e, koe_error *err)
{
    AVPacket *p = e->packet;
    int code = fill_packet(e);
    if (code >= 0 && (e->has_packets || !e->format.skip_first)) {
        p->stream_index = 0;
        if (e->format.skip_first) tell_delay(e);
        e->lib->av_packet_rescale_ts(p, e->codec->time_base, e->muxer->streams[0]->time_base);
        code = e->lib->av_write_frame(e->muxer, p);
    }
    e->has_packets = true;
    e->lib->av_packet_unref(p);
    return code < 0 ? av_failed(e, code, KOE_E_IO, "writing", err) : KOE_OK;
}

/* Gives the codec a frame, or with NULL the end, and the muxer all packets that come of it. */
static koe_status encode(koe_av_encoder *e, AVFrame *frame, koe_error *err)
{
    int code = e->lib->avcodec_send_frame(e->codec, frame);
    while (code >= 0) {
        code = e->lib->avcodec_receive_packet(e->codec, e->packet);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return KOE_OK;
        if (code < 0) break;
        const koe_status st = write_packet(e, err);
        if (st != KOE_OK) return st;
    }
    return av_failed(e, code, KOE_E_IO, "encoding", err);
}

static koe_status send_frame(koe_av_encoder *e, koe_error *err)
{
    e->frame->nb_samples = e->n_filled;
    e->frame->pts = e->n_sent;
    e->n_sent += e->n_filled;
    e->n_filled = 0;
    return encode(e, e->frame, err);
}

static koe_status fill_frame(koe_av_encoder *e, const float *x, size_t n, koe_error *err)
{
    /* The codec may still hold what was sent. */
    const int code = e->n_filled == 0 ? e->lib->av_frame_make_writable(e->frame) : 0;
    if (code < 0) return av_failed(e, code, KOE_E_NOMEM, "encoding", err);
    uint8_t *const to = e->frame->data[0];
    if (e->frame->format == AV_SAMPLE_FMT_S16) koe_audio_to_s16((int16_t *)(void *)to + e->n_filled, x, n);
    else memcpy(to + (size_t)e->n_filled * sizeof *x, x, n * sizeof *x);
    e->n_filled += (int)n;
    return KOE_OK;
}

static koe_status write_header(koe_av_encoder *e, koe_error *err)
{
    AVDictionary *options = NULL;
    int code = e->format.muxer_options ? e->lib->av_dict_parse_string(&options, e->format.muxer_options, "=", ":", 0) : 0;
    if (code >= 0) code = e->lib->avformat_write_header(e->muxer, &options);
    e->lib->av_dict_free(&options);
    e->has_header = code >= 0;
    return code < 0 ? av_failed(e, code, KOE_E_IO, "header", err) : KOE_OK;
}

/* Before anything that may write: says where to. */
static koe_status begin(koe_av_encoder *e, koe_buf *out, koe_error *err)
{
    e->memory.to = e->memory.seekable ? &e->memory.file : out;
    return e->has_header ? KOE_OK : write_header(e, err);
}

koe_status koe_av_write(koe_av_encoder *e, const float *x, size_t n, koe_buf *out, koe_error *err)
{
    koe_status st = begin(e, out, err);
    for (size_t some; st == KOE_OK && n > 0; x += some, n -= some) {
        const size_t room = (size_t)(e->codec->frame_size - e->n_filled);
        some = n < room ? n : room;
        st = fill_frame(e, x, some, err);
        if (st == KOE_OK && e->n_filled == e->codec->frame_size) st = send_frame(e, err);
    }
    if (st != KOE_OK || e->memory.seekable) return st;
    /* Pages of Ogg, which would otherwise wait until they are full. */
    const int code = e->lib->av_write_frame(e->muxer, NULL);
    e->lib->avio_flush(e->muxer->pb);
    return code < 0 ? av_failed(e, code, KOE_E_IO, "writing", err) : KOE_OK;
}

koe_status koe_av_finish(koe_av_encoder *e, koe_buf *out, koe_error *err)
{
    koe_status st = begin(e, out, err);
    if (st == KOE_OK && e->n_filled) st = send_frame(e, err);
    if (st == KOE_OK) st = encode(e, NULL, err);
    if (st != KOE_OK) return st;
    const int code = e->lib->av_write_trailer(e->muxer);
    e->has_header = false;
    if (code < 0) return av_failed(e, code, KOE_E_IO, "trailer", err);
    e->lib->avio_flush(e->muxer->pb);
    if (e->memory.seekable) koe_buf_add_str(out, koe_buf_str(&e->memory.file));
    return out->failed ? no_memory(e, err) : KOE_OK;
}
