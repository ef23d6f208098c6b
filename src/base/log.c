#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const level_name[] = { "error", "warning", "info", "debug" };
static atomic_bool as_json;
static _Atomic int current_level = -1; /* -1: ask the environment at first use */

void koe_log_set_level(koe_log_level level) { current_level = (int)level; }

koe_log_level koe_log_get_level(void)
{
    int level = current_level;
    if (level >= 0) return (koe_log_level)level;
    level = KOE_LOG_WARN;
    const char *env = getenv("KOE_LOG_LEVEL");
    for (int i = 0; env && i <= KOE_LOG_DEBUG; i++)
        if (strncmp(env, level_name[i], 4) == 0) level = i;
    current_level = level;
    return (koe_log_level)level;
}

void koe_log_set_json(bool on) { atomic_store(&as_json, on); }

void koe_log_time(char *out)
{
    struct timespec t;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    const size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + n, 32 - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
}

/* Bytes of a whole UTF-8 character at p; 1: ASCII, 0: none. */
static size_t character(const unsigned char *p)
{
    if (*p < 0x80) return 1;
    const size_t n = *p >= 0xf0 && *p < 0xf5 ? 4 : *p >= 0xe0 && *p < 0xf0 ? 3 : *p >= 0xc2 && *p < 0xe0 ? 2 : 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n;
}

static void write_json(koe_log_level level, const char *line)
{
    char text[6 * 1024 + 1], time[32];
    size_t at = 0;
    for (const unsigned char *p = (const unsigned char *)line; *p && at + 8 < sizeof text;) {
        const size_t n = character(p);
        if (n == 0 || *p < ' ') at += (size_t)snprintf(text + at, sizeof text - at, n ? "\\u%04x" : "?", *p);
        else if (*p == '"' || *p == '\\') text[at++] = '\\', text[at++] = (char)*p;
        else memcpy(text + at, p, n), at += n;
        p += n ? n : 1;
    }
    text[at] = 0;
    koe_log_time(time);
    fprintf(stderr, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"%s\"}\n", time, level_name[level], text);
}

void koe_log(koe_log_level level, const char *format, ...)
{
    if (level > koe_log_get_level()) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (atomic_load(&as_json)) write_json(level, line);
    else fprintf(stderr, "koe: %s: %s\n", level_name[level], line);
}
