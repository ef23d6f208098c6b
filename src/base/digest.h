/* digest.h - checksums that published files are known by: SHA-256 and SHA-1 (FIPS 180-4), MD5 (RFC 1321). MD5 only tells a
 * damaged download from a whole one, SHA-1 is for the WebSocket handshake. */
#ifndef KOE_BASE_DIGEST_H
#define KOE_BASE_DIGEST_H
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum koe_digest_kind { KOE_DIGEST_SHA256, KOE_DIGEST_MD5, KOE_DIGEST_SHA1 } koe_digest_kind;

typedef struct koe_digest {
    koe_digest_kind kind;
    uint32_t h[8];
    uint64_t n_bytes;
    unsigned char block[64]; /* the last n_bytes % 64 bytes */
} koe_digest;

enum { KOE_DIGEST_TEXT = 65 }; /* hexadecimal, with the NUL */

void koe_digest_init(koe_digest *d, koe_digest_kind kind);
void koe_digest_add(koe_digest *d, const void *bytes, size_t n);
/* Lower-case hexadecimal: 64 digits of SHA-256, 40 of SHA-1, 32 of MD5. */
void koe_digest_text(koe_digest *d, char text[KOE_DIGEST_TEXT]);
/* Of a whole file; KOE_E_NOT_FOUND, KOE_E_IO. */
koe_status koe_digest_file(char text[KOE_DIGEST_TEXT], koe_digest_kind kind, const char *path, koe_error *err);
#endif
