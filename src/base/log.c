#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_name[] = { "error", "warning", "info", "debug" };
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

void koe_log(koe_log_level level, const char *format, ...)
{
    if (level > koe_log_get_level()) return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "koe: %s: %s\n", level_name[level], line);
}
