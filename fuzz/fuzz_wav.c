/* Any bytes as a WAV file. */
#include <stdlib.h>

#include "audio/wav.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    koe_wav_pcm pcm;
    koe_error err = { 0 };
    if (koe_wav_parse(&pcm, data, n, "fuzz", &err) == KOE_OK) free(pcm.samples);
    return 0;
}
