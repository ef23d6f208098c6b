/* encode_lib.c - finds the FFmpeg libraries whose headers this was built with, by their version of binary interface. */
#include "audio/encode_lib.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* Set once, by load(), and constant from then on. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static koe_av_lib lib;
static char failure[256]; /* empty: loaded */

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

static void *open_library(const char *soname)
{
    void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!library && !*failure) snprintf(failure, sizeof failure, "%s", dlerror());
    return library;
}

/* POSIX lets an object pointer of dlsym() hold a function; ISO C has no cast for it. */
static void find(void *function, void *library, const char *name)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    if (!symbol && !*failure) snprintf(failure, sizeof failure, "%s is missing", name);
    memcpy(function, &symbol, sizeof symbol);
}

/* What was opened stays open for the life of the process. */
static void load(void)
{
    void *avutil = open_library(SONAME(avutil, LIBAVUTIL_VERSION_MAJOR));
    void *avcodec = open_library(SONAME(avcodec, LIBAVCODEC_VERSION_MAJOR));
    void *avformat = open_library(SONAME(avformat, LIBAVFORMAT_VERSION_MAJOR));
#define X(library, name) find(&lib.name, library, #name);
    KOE_AV_FUNCTIONS(X)
#undef X
    if (!*failure) lib.av_log_set_callback(log_line);
}

koe_status koe_av_lib_get(const koe_av_lib **out, koe_error *err)
{
    pthread_once(&once, load);
    if (*failure)
        return koe_fail(
            err, KOE_E_UNSUPPORTED,
            "the FFmpeg libraries are not here (Debian: apt-get install libavformat%d; %s); wav, pcm, ulaw and alaw need none",
            LIBAVFORMAT_VERSION_MAJOR, failure);
    *out = &lib;
    return KOE_OK;
}
