/* curl_lib.h - the functions of libcurl that koe calls, loaded at first use (library.h). */
#ifndef KOE_BASE_CURL_LIB_H
#define KOE_BASE_CURL_LIB_H
#define CURL_DISABLE_TYPECHECK /* its macros want the functions themselves */
#include <curl/curl.h>

#include "base/status.h"

#define KOE_CURL_FUNCTIONS(X)                                                                                                    \
    X(curl_easy_cleanup)                                                                                                         \
    X(curl_easy_getinfo)                                                                                                         \
    X(curl_easy_init)                                                                                                            \
    X(curl_easy_perform)                                                                                                         \
    X(curl_easy_setopt)                                                                                                          \
    X(curl_easy_strerror)                                                                                                        \
    X(curl_free)                                                                                                                 \
    X(curl_url)                                                                                                                  \
    X(curl_url_cleanup)                                                                                                          \
    X(curl_url_get)                                                                                                              \
    X(curl_url_set)

typedef struct koe_curl_lib {
#define X(name) __typeof__(name) *name;
    KOE_CURL_FUNCTIONS(X)
#undef X
} koe_curl_lib;

/* Loads it at the first call of the process, which keeps it. Any thread. KOE_E_UNSUPPORTED: not here; the message says how to get it. */
koe_status koe_curl_lib_get(const koe_curl_lib **out, koe_error *err);
#endif
