/* status.h - how a function says that input was wrong: a code for the program, a message for the person.
 * A message says what was wrong, where, and what would be right. Programmers' mistakes are assert()s instead. */
#ifndef KOE_BASE_STATUS_H
#define KOE_BASE_STATUS_H
#include <stdarg.h>

#define KOE_STATUS_LIST(X) /* the enum and koe_status_text() come from it */ \
    X(KOE_OK, "ok")                                                          \
    X(KOE_E_NOMEM, "out of memory")                                          \
    X(KOE_E_IO, "read or write failed")                                      \
    X(KOE_E_NOT_FOUND, "not found")                                          \
    X(KOE_E_FORMAT, "malformed input")                                       \
    X(KOE_E_LIMIT, "input exceeds a limit")                                  \
    X(KOE_E_ENCODING, "not UTF-8")                                           \
    X(KOE_E_ARGUMENT, "wrong argument")                                      \
    X(KOE_E_UNSUPPORTED, "not supported")                                    \
    X(KOE_E_FULL, "queue full")                                              \
    X(KOE_E_CANCELLED, "cancelled")                                          \
    X(KOE_E_UNAVAILABLE, "not there now")

#define KOE_STATUS_ENUM(code, text) code,
typedef enum koe_status { KOE_STATUS_LIST(KOE_STATUS_ENUM) } koe_status;
#undef KOE_STATUS_ENUM

/* The first failure's code and message. Zero-initialise; may be NULL wherever it is taken. */
typedef struct koe_error {
    koe_status status;
    char message[512];
} koe_error;

/* Static text for a code, "ok" for KOE_OK. */
const char *koe_status_text(koe_status status);

/* Fills `err` (which may be NULL) and returns `status`, so that `return koe_fail(...)` reads as one step. */
koe_status koe_fail(koe_error *err, koe_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " before a message already there: koe_status st = ...; return koe_error_wrap(err, st, "node %s", name). */
koe_status koe_error_wrap(koe_error *err, koe_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#endif
