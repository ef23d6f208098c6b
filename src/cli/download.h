/* download.h - one published file from the network to its place:
 *     PATH.part (resumed when there is one) -> size and checksum -> PATH, by rename: PATH is the whole, right file or not there.
 */
#ifndef KOE_CLI_DOWNLOAD_H
#define KOE_CLI_DOWNLOAD_H
#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/status.h"

typedef struct koe_remote {
    const char *url; /* https */
    uint64_t n_bytes; /* 0: not known */
    const char *sha256, *md5; /* lower-case hexadecimal; NULL: not known */
} koe_remote;

typedef struct koe_download_options {
    const char *base; /* a mirror: https://HOST/REST is fetched from BASE/HOST/REST; NULL: none */
    int connect_timeout_s; /* 0: 20 */
    int retries; /* after a failure that may pass */
    int retry_ms; /* before the first retry, doubled each time; 0: 1000 */
} koe_download_options;

typedef enum koe_download_result { KOE_DOWNLOADED, KOE_DOWNLOAD_WAS_HERE } koe_download_result;

/* Brings `remote` to `path`, making its folder. A file that is there with the right checksum (or, where none is known, with the
 * one pinned at its first download in PATH.sha256) is left alone. KOE_E_NOT_FOUND: the server has no such file. KOE_E_FORMAT:
 * what came is not the published file; nothing is kept. KOE_E_IO: the network, or the disk; PATH.part is kept for the next try.
 * The message of a network failure says what to put where by hand. */
koe_status koe_download(koe_download_result *result, const koe_remote *remote, const char *path,
                        const koe_download_options *options, koe_error *err);
/* The same without pinning, and always anew: for lists that change. */
koe_status koe_download_fresh(const koe_remote *remote, const char *path, const koe_download_options *options, koe_error *err);

/* "325.5 MB" into text. */
const char *koe_bytes_text(uint64_t n, char text[32]);
#endif
