/* half.h - 16-bit floating point to and from float. */
#ifndef KOE_BASE_HALF_H
#define KOE_BASE_HALF_H
#include <stdint.h>
#include <string.h>

/* IEEE binary16 and bfloat16 to and from float; round to nearest even. */
float koe_f16_to_f32(uint16_t h);
uint16_t koe_f32_to_f16(float f);
/* A float16 that is no infinity: those, what a larger number was rounded to, become the largest number. */
static inline uint16_t koe_f16_finite(uint16_t h) { return (uint16_t)(h - ((h & 0x7fff) == 0x7c00)); }
static inline float koe_bf16_to_f32(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
uint16_t koe_f32_to_bf16(float f);
#endif
