/* Any bytes as each kind of JSON that comes with a voice: v0.19 packs, Kokoro's settings, Piper's settings. */
#include "voice/pack.h"
#include "voice/piper_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    koe_str json = { (const char *)data, n };
    koe_error err = { 0 };
    koe_pack_file *f = NULL;
    koe_symbols vocab = { 0 };
    koe_piper_config config = { 0 };
    if (koe_pack_file_parse(&f, data, n, "fuzz", &err) == KOE_OK) koe_pack_file_close(f);
    if (koe_symbols_parse(&vocab, json, "vocab", "fuzz", &err) == KOE_OK) koe_symbols_deinit(&vocab);
    if (koe_piper_config_parse(&config, json, "fuzz", &err) == KOE_OK) koe_piper_config_deinit(&config);
    return 0;
}
