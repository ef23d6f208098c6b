/* encode_lib.h - the functions of the FFmpeg libraries that encode_av.c calls, loaded at first use (base/library.h). Internal to encode.h. */
#ifndef KOE_AUDIO_ENCODE_LIB_H
#define KOE_AUDIO_ENCODE_LIB_H
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>

#include "base/status.h"

#define KOE_AV_FUNCTIONS(X)                                                                                                      \
    X(avutil, av_channel_layout_default)                                                                                         \
    X(avutil, av_dict_free)                                                                                                      \
    X(avutil, av_dict_parse_string)                                                                                              \
    X(avutil, av_frame_alloc)                                                                                                    \
    X(avutil, av_frame_free)                                                                                                     \
    X(avutil, av_frame_get_buffer)                                                                                               \
    X(avutil, av_frame_make_writable)                                                                                            \
    X(avutil, av_freep)                                                                                                          \
    X(avutil, av_log_set_callback)                                                                                               \
    X(avutil, av_malloc)                                                                                                         \
    X(avutil, av_strerror)                                                                                                       \
    X(avcodec, av_grow_packet)                                                                                                   \
    X(avcodec, av_packet_alloc)                                                                                                  \
    X(avcodec, av_packet_free)                                                                                                   \
    X(avcodec, av_packet_get_side_data)                                                                                          \
    X(avcodec, av_packet_rescale_ts)                                                                                             \
    X(avcodec, av_packet_unref)                                                                                                  \
    X(avcodec, avcodec_alloc_context3)                                                                                           \
    X(avcodec, avcodec_find_encoder_by_name)                                                                                     \
    X(avcodec, avcodec_free_context)                                                                                             \
    X(avcodec, avcodec_open2)                                                                                                    \
    X(avcodec, avcodec_parameters_from_context)                                                                                  \
    X(avcodec, avcodec_receive_packet)                                                                                           \
    X(avcodec, avcodec_send_frame)                                                                                               \
    X(avformat, av_write_frame)                                                                                                  \
    X(avformat, av_write_trailer)                                                                                                \
    X(avformat, avformat_alloc_output_context2)                                                                                  \
    X(avformat, avformat_free_context)                                                                                           \
    X(avformat, avformat_new_stream)                                                                                             \
    X(avformat, avformat_write_header)                                                                                           \
    X(avformat, avio_alloc_context)                                                                                              \
    X(avformat, avio_context_free)                                                                                               \
    X(avformat, avio_flush)

typedef struct koe_av_lib {
#define X(library, name) __typeof__(name) *name;
    KOE_AV_FUNCTIONS(X)
#undef X
} koe_av_lib;

/* Loads the libraries at the first call of the process, which keeps them; their log goes to koe_log() as KOE_LOG_DEBUG. Any
 * thread. KOE_E_UNSUPPORTED: not here; the message says how to get them. */
koe_status koe_av_lib_get(const koe_av_lib **out, koe_error *err);
#endif
