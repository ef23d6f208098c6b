/* Any bytes as a voice pack; seeds: fuzz/corpus/pt. */
#include "voice/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    koe_pack_file *f = NULL;
    koe_pack pack;
    koe_error err = { 0 };
    if (koe_pack_file_parse(&f, data, n, "fuzz", &err) != KOE_OK) return 0;
    for (size_t i = 0; i < koe_pack_file_count(f); i++) (void)koe_pack_file_load(f, i, &pack, &err);
    koe_pack_file_close(f);
    return 0;
}
