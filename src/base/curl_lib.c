/* curl_lib.c - see curl_lib.h. */
#include "base/curl_lib.h"

#include <pthread.h>

#include "base/library.h"

/* Set once, by load(), and constant from then on. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static koe_curl_lib lib;
static koe_library_failure failure;

static void load(void)
{
    void *library = koe_library_open("libcurl-gnutls.so.4", &(koe_library_failure){ 0 }); /* what Debian calls one of two */
    if (!library) library = koe_library_open("libcurl.so.4", &failure);
#define X(name) koe_library_find(&lib.name, library, #name, &failure);
    KOE_CURL_FUNCTIONS(X)
#undef X
}

koe_status koe_curl_lib_get(const koe_curl_lib **out, koe_error *err)
{
    pthread_once(&once, load);
    if (*failure.message) return koe_fail(err, KOE_E_UNSUPPORTED, "libcurl is not here (Debian: apt-get install libcurl4; %s)", failure.message);
    *out = &lib;
    return KOE_OK;
}
