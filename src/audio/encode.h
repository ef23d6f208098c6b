/* encode.h - samples to the bytes of a file or a stream:
 *     float mono -> RESAMPLE (resample.h) -> ENCODE -> bytes in the container's format
 *
 *     format  bytes                             natural rate              default bit rate   audio/...
 *     mp3     MPEG Layer III, constant rate     24 kHz, 48 above          96 kbit/s          mpeg
 *     opus    Opus in Ogg                       next of 8 12 16 24 48     48 kbit/s          opus
 *     aac     AAC-LC in ADTS                    48 kHz                    96 kbit/s          aac
 *     ogg     Vorbis in Ogg                     the voice's               quality 5          ogg
 *     flac    FLAC, 16 bits                     the voice's                                  flac
 *     wav     RIFF, 16 bits                     the voice's                                  wav
 *     pcm     s16le without a header            24 kHz                                       pcm
 *     ulaw    G.711 mu-law without a header     8 kHz                                        basic
 *     alaw    G.711 A-law without a header      8 kHz                                        x-alaw-basic
 *
 * wav, pcm, ulaw and alaw are made here; the others by the FFmpeg libraries (libavcodec, libavformat), which are loaded when the
 * first of them is asked for: a machine without them has the four. The bytes are the same whenever the samples are.
 *
 * The decoded length is that of the samples, to the sample in opus, ogg, flac, wav, pcm, ulaw, alaw and whole mp3 (for players
 * that know its Info frame). aac and streamed mp3 cannot say how much their codecs put before and after: less than 50 ms at the
 * natural rates, more at lower ones. Where only the size of a file tells its length, in mp3 and aac, all frames have one size. A
 * streamed flac says that its length is unknown, a streamed wav that it goes on to the end.
 *
 * Threads: an encoder belongs to one at a time; there may be any number. Dependencies: base. */
#ifndef KOE_AUDIO_ENCODE_H
#define KOE_AUDIO_ENCODE_H
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/str.h"

typedef struct koe_encoder koe_encoder;

typedef struct koe_encode_options {
    koe_str format; /* a name of koe_encode_names(), in any case */
    int in_rate_hz; /* of the samples: 1000 to 192000 */
    int out_rate_hz; /* 8000 to 48000; 0: the format's natural one */
    int bitrate; /* bit/s, for mp3, opus, aac and ogg; 0: the default */
    bool whole; /* all audio is known before the first byte leaves: exact headers (sizes in wav and flac, an Info frame in mp3) */
} koe_encode_options;

typedef enum koe_encode_option { KOE_ENCODE_FORMAT, KOE_ENCODE_RATE, KOE_ENCODE_BITRATE } koe_encode_option;
/* Whether the format has this rate and bit rate, before there are samples: KOE_E_ARGUMENT as koe_encoder_open() will say it, *wrong is which
 * of the options. */
koe_status koe_encode_check(const koe_encode_options *opt, koe_encode_option *wrong, koe_error *err);
/* KOE_E_ARGUMENT: an unknown format, or a rate or bit rate that it does not have; KOE_E_UNSUPPORTED: the FFmpeg libraries are not
 * here; the message says how to get them. Copies opt. */
koe_status koe_encoder_open(koe_encoder **out, const koe_encode_options *opt, koe_error *err);
/* Appends to `out` all bytes that are ready. Samples beyond full scale are clipped, NaN is silence. With `whole`, the formats
 * whose start tells of their end (wav, flac, mp3) give their bytes in koe_encoder_finish(); the limit is then
 * KOE_ENCODE_WHOLE_BYTES (KOE_E_LIMIT). After an error only koe_encoder_close() is left. */
koe_status koe_encoder_write(koe_encoder *e, const float *samples, size_t n, koe_buf *out, koe_error *err);
/* The end of the stream, once. Without any samples there may be nothing but a header, or nothing. */
koe_status koe_encoder_finish(koe_encoder *e, koe_buf *out, koe_error *err);
/* At any time; NULL is fine. */
void koe_encoder_close(koe_encoder *e);

#define KOE_ENCODE_WHOLE_BYTES ((size_t)1 << 30)

/* Static text, NULL when there is no such format. */
const char *koe_encode_content_type(koe_str format);
/* Is it one of koe_encode_names()? Whether it can be made on this machine, koe_encoder_open() knows. */
bool koe_encode_known(koe_str format);
/* "mp3, opus, aac, flac, wav, pcm, ogg, ulaw, alaw", for messages. */
const char *koe_encode_names(void);
/* Loads the FFmpeg libraries now, for a program that will soon be unable to open files; KOE_E_UNSUPPORTED as above. */
koe_status koe_encode_load(koe_error *err);
#endif
