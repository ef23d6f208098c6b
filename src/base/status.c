#include "base/status.h"

#include <stdio.h>
#include <string.h>

const char *koe_status_text(koe_status status)
{
    switch (status) {
#define CASE(code, text) \
    case code:           \
        return text;
        KOE_STATUS_LIST(CASE)
#undef CASE
    }
    return "unknown status";
}

koe_status koe_fail(koe_error *err, koe_status status, const char *format, ...)
{
    if (!err) return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

koe_status koe_error_wrap(koe_error *err, koe_status status, const char *format, ...)
{
    if (!err) return status;
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at + 3 < sizeof err->message) snprintf(err->message + at, sizeof err->message - at, ": %s", inner);
    err->status = status;
    return status;
}
