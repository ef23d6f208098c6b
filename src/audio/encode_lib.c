/* encode_lib.c - finds the FFmpeg libraries whose headers this was built with, by their version of binary interface. */
#include "audio/encode_lib.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/library.h"
#include "base/log.h"

/* Set once, by load(), and constant from then on. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static koe_av_lib lib;
static koe_library_failure failure;

#define SONAME(name, major) "lib" #name ".so." AV_STRINGIFY(major)

/* Encoders speak of every small thing on stderr. */
static void log_line(void *context, int level, const char *format, va_list args)
{
    (void)context;
    if (level > AV_LOG_INFO || koe_log_get_level() < KOE_LOG_DEBUG) return;
    char line[512];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = 0;
    if (*line) koe_log(KOE_LOG_DEBUG, "ffmpeg: %s", line);
}

static void load(void)
{
    void *avutil = koe_library_open(SONAME(avutil, LIBAVUTIL_VERSION_MAJOR), &failure);
    void *avcodec = koe_library_open(SONAME(avcodec, LIBAVCODEC_VERSION_MAJOR), &failure);
    void *avformat = koe_library_open(SONAME(avformat, LIBAVFORMAT_VERSION_MAJOR), &failure);
#define X(library, name) koe_library_find(&lib.name, library, #name, &failure);
    KOE_AV_FUNCTIONS(X)
#undef X
    if (!*failure.message) lib.av_log_set_callback(log_line);
}

koe_status koe_av_lib_get(const koe_av_lib **out, koe_error *err)
{
    pthread_once(&once, load);
    if (*failure.message)
        return koe_fail(
            err, KOE_E_UNSUPPORTED,
            "the FFmpeg libraries are not here (Debian: apt-get install libavformat%d; %s); wav, pcm, ulaw and alaw need none",
            LIBAVFORMAT_VERSION_MAJOR, failure.message);
    *out = &lib;
    return KOE_OK;
}
