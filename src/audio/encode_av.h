/* encode_av.h - one encoder and one container of the FFmpeg libraries behind encode.h. Internal to it.
 * encode_none.c takes the place of encode_av.c in a build without FFmpeg. */
#ifndef KOE_AUDIO_ENCODE_AV_H
#define KOE_AUDIO_ENCODE_AV_H
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/str.h"

typedef struct koe_av_encoder koe_av_encoder;

/* What to open; the strings are static. */
typedef struct koe_av_format {
    const char *name; /* ours, for messages */
    const char *codec, *muxer; /* FFmpeg's names */
    const char *codec_options, *muxer_options; /* "key=value:key=value" */
    int rate_hz;
    int bitrate; /* 0: the codec's or codec_options' */
    int packet_bytes; /* AAC: on average exactly this many, as most have; 0: as they come */
    bool skip_first; /* the first packet holds nothing but the encoder's delay, and is left out */
    bool whole; /* the start is rewritten at the end: bytes appear in koe_av_finish() */
} koe_av_format;

koe_status koe_av_open(koe_av_encoder **out, const koe_av_format *format, koe_error *err);
/* Samples at rate_hz, finite, |x| <= 1. */
koe_status koe_av_write(koe_av_encoder *e, const float *x, size_t n, koe_buf *out, koe_error *err);
koe_status koe_av_finish(koe_av_encoder *e, koe_buf *out, koe_error *err);
void koe_av_close(koe_av_encoder *e);
/* KOE_E_UNSUPPORTED when the libraries are not there. */
koe_status koe_av_load(koe_error *err);
#endif
