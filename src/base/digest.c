/* digest.c - SHA-256, SHA-1 and MD5. All fill blocks of 64 bytes and end with a 1 bit, zeros, and the length in bits. */
#include "base/digest.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

static uint32_t rotl(uint32_t x, unsigned n) { return x << n | x >> (32 - n); }
static uint32_t rotr(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static uint32_t little_endian(const unsigned char *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* FIPS 180-4, 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static void sha256_block(uint32_t h[8], const unsigned char *p)
{
    uint32_t w[64], v[8];
    for (int t = 0; t < 16; t++) w[t] = big_endian(p + 4 * t);
    for (int t = 16; t < 64; t++) {
        const uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
        const uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    memcpy(v, h, sizeof v);
    for (int t = 0; t < 64; t++) { /* v: a b c d e f g h */
        const uint32_t s1 = rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25);
        const uint32_t choose = (v[4] & v[5]) ^ (~v[4] & v[6]);
        const uint32_t t1 = v[7] + s1 + choose + sha256_k[t] + w[t];
        const uint32_t s0 = rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22);
        const uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
}

static void sha1_block(uint32_t h[8], const unsigned char *p)
{
    static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 16; t++) w[t] = big_endian(p + 4 * t);
    for (int t = 16; t < 80; t++) w[t] = rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (int t = 0; t < 80; t++) {
        const uint32_t f = t < 20 ? (b & c) | (~b & d) : t >= 40 && t < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        const uint32_t next = rotl(a, 5) + f + e + k[t / 20] + w[t];
        e = d, d = c, c = rotl(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* RFC 1321, 3.4: floor(2^32 * |sin(t + 1)|). */
static const uint32_t md5_k[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af,
    0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
    0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
    0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97,
    0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static void md5_block(uint32_t h[8], const unsigned char *p)
{
    static const unsigned char shift[4][4] = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 } };
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3];
    for (unsigned t = 0; t < 64; t++) {
        uint32_t f;
        unsigned word;
        switch (t / 16) {
        case 0: f = (b & c) | (~b & d), word = t; break;
        case 1: f = (d & b) | (~d & c), word = (5 * t + 1) % 16; break;
        case 2: f = b ^ c ^ d, word = (3 * t + 5) % 16; break;
        default: f = c ^ (b | ~d), word = 7 * t % 16; break;
        }
        const uint32_t next = b + rotl(a + f + md5_k[t] + little_endian(p + 4 * (size_t)word), shift[t / 16][t % 4]);
        a = d, d = c, c = b, b = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d;
}

void koe_digest_init(koe_digest *d, koe_digest_kind kind)
{
    static const uint32_t sha256[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    static const uint32_t md5_sha1[8] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
    *d = (koe_digest){ .kind = kind };
    memcpy(d->h, kind == KOE_DIGEST_SHA256 ? sha256 : md5_sha1, sizeof d->h);
}

static void add_block(koe_digest *d, const unsigned char *p)
{
    if (d->kind == KOE_DIGEST_SHA256) sha256_block(d->h, p);
    else if (d->kind == KOE_DIGEST_SHA1) sha1_block(d->h, p);
    else md5_block(d->h, p);
}

void koe_digest_add(koe_digest *d, const void *bytes, size_t n)
{
    if (!n) return; /* bytes may be NULL then */
    const unsigned char *p = bytes;
    const size_t held = (size_t)(d->n_bytes % 64);
    d->n_bytes += n;
    if (held) {
        const size_t some = n < 64 - held ? n : 64 - held;
        memcpy(d->block + held, p, some);
        p += some;
        n -= some;
        if (held + some < 64) return;
        add_block(d, d->block);
    }
    for (; n >= 64; p += 64, n -= 64) add_block(d, p);
    if (n) memcpy(d->block, p, n);
}

void koe_digest_text(koe_digest *d, char text[KOE_DIGEST_TEXT])
{
    const bool big = d->kind != KOE_DIGEST_MD5;
    const uint64_t n_bits = d->n_bytes * 8;
    const unsigned char one = 0x80, zero = 0;
    unsigned char length[8];
    for (unsigned i = 0; i < 8; i++) length[i] = (unsigned char)(n_bits >> 8 * (big ? 7 - i : i));
    koe_digest_add(d, &one, 1);
    while (d->n_bytes % 64 != 56) koe_digest_add(d, &zero, 1);
    koe_digest_add(d, length, 8);
    const unsigned n = d->kind == KOE_DIGEST_SHA256 ? 32 : d->kind == KOE_DIGEST_SHA1 ? 20 : 16;
    for (unsigned i = 0; i < n; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", d->h[i / 4] >> 8 * (big ? 3 - i % 4 : i % 4) & 0xFF);
}

koe_status koe_digest_file(char text[KOE_DIGEST_TEXT], koe_digest_kind kind, const char *path, koe_error *err)
{
    koe_mapping file;
    koe_status st = koe_file_map(&file, path, err);
    if (st != KOE_OK) return st;
    koe_digest d;
    koe_digest_init(&d, kind);
    koe_digest_add(&d, file.p, file.n);
    koe_digest_text(&d, text);
    koe_file_unmap(&file);
    return KOE_OK;
}
