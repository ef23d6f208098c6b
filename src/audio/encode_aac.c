/* encode_aac.c - fill elements: 3 bits ID_FIL; 4 bits count; when that is 15 there are 8 bits more and count = 14 + those; then
 * `count` bytes, of which the first begins with the type of the extension, 0 for a mere filling. */
#include "audio/encode_aac.h"

#include <string.h>

enum { ID_BITS = 3, ID_FIL = 6, ID_END = 7, COUNT_BITS = 4, SHORT_COUNT = 14, ESCAPE_BITS = 8, MOST_COUNT = 14 + 255 };

/* Writes the low n bits of v at bit *at; what is there is zero. */
static void put_bits(uint8_t *p, size_t *at, unsigned v, int n)
{
    while (n-- > 0) {
        if (v >> n & 1) p[*at / 8] |= (uint8_t)(0x80 >> *at % 8);
        ++*at;
    }
}

/* The bit where ID_END begins: its ones are the last ones, only zeros up to a whole byte come after it. */
static size_t find_end(const uint8_t *p, size_t n)
{
    while (n > 0 && p[n - 1] == 0) n--;
    if (n == 0) return 0;
    size_t end = 8 * n;
    for (unsigned last = p[n - 1]; !(last & 1); last >>= 1) end--;
    return end > ID_BITS ? end - ID_BITS : 0;
}

void koe_aac_fill(uint8_t *p, size_t n, size_t padded)
{
    size_t at = find_end(p, n);
    if (at == 0 || padded <= n) return;
    p[at / 8] &= (uint8_t)(0xff00 >> at % 8);
    memset(p + at / 8 + 1, 0, padded - at / 8 - 1);
    size_t left = 8 * padded - at - ID_BITS; /* bits */
    while (left >= ID_BITS + COUNT_BITS) {
        left -= ID_BITS + COUNT_BITS;
        size_t count = left / 8;
        put_bits(p, &at, ID_FIL, ID_BITS);
        if (count > SHORT_COUNT) {
            left -= ESCAPE_BITS;
            count = left / 8 < MOST_COUNT ? left / 8 : MOST_COUNT;
            put_bits(p, &at, 15, COUNT_BITS);
            put_bits(p, &at, (unsigned)count - SHORT_COUNT, ESCAPE_BITS);
        } else {
            put_bits(p, &at, (unsigned)count, COUNT_BITS);
        }
        at += 8 * count;
        left -= 8 * count;
    }
    put_bits(p, &at, ID_END, ID_BITS);
}
