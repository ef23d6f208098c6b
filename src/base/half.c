#include "base/half.h"

float koe_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 1023, u;
    if (exponent == 31) u = sign | 0x7f800000u | fraction << 13;
    else if (exponent) u = sign | (exponent + 112) << 23 | fraction << 13;
    else if (fraction) { /* subnormal: normalise */
        uint32_t e = 113;
        while (!(fraction & 1024)) fraction <<= 1, e--;
        u = sign | e << 23 | (fraction & 1023) << 13;
    } else u = sign;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

uint16_t koe_f32_to_f16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    uint32_t sign = (u >> 16) & 0x8000, magnitude = u & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff)); /* NaN, quiet */
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    uint32_t shift, base, value;
    if (magnitude >= 0x38800000) { /* normal */
        base = ((magnitude >> 23) - 112) << 10;
        value = magnitude & 0x7fffff;
        shift = 13;
    } else {
        if (magnitude < 0x33000000) return (uint16_t)sign; /* under half the smallest subnormal */
        base = 0;
        value = (magnitude & 0x7fffff) | 0x800000;
        shift = 126 - (magnitude >> 23);
    }
    uint32_t half = 1u << (shift - 1), rest = value & ((1u << shift) - 1), result = base + (value >> shift);
    if (rest > half || (rest == half && (result & 1))) result++;
    return (uint16_t)(sign | result);
}

uint16_t koe_f32_to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}
