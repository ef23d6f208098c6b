/* Any bytes as a PyTorch file; bytes that are no zip, as the pickle inside one (the zip's checksums would keep a fuzzer out). */
#include <stdlib.h>

#include <zip.h>

#include "voice/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void read_packs(const void *bytes, size_t n)
{
    koe_pack_file *f = NULL;
    koe_pack pack;
    koe_error err = { 0 };
    if (koe_pack_file_parse(&f, bytes, n, "fuzz", &err) != KOE_OK) return;
    for (size_t i = 0; i < koe_pack_file_count(f); i++) (void)koe_pack_file_load(f, i, &pack, &err);
    koe_pack_file_close(f);
}

static bool add(zip_t *z, const char *name, const void *bytes, size_t n)
{
    zip_source_t *s = zip_source_buffer(z, bytes, n, 0);
    zip_int64_t i = s ? zip_file_add(z, name, s, 0) : -1;
    if (i < 0) zip_source_free(s);
    return i >= 0 && zip_set_file_compression(z, (zip_uint64_t)i, ZIP_CM_STORE, 0) == 0;
}

/* a/data.pkl is the input, a/data/0 two rows of zeros. */
static void wrap(const uint8_t *data, size_t n)
{
    static const char rows[2048];
    zip_source_t *out = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_t *z = out ? zip_open_from_source(out, ZIP_TRUNCATE, NULL) : NULL;
    if (!z) abort();
    zip_source_keep(out);
    zip_stat_t s = { 0 };
    if (!add(z, "a/data.pkl", data, n) || !add(z, "a/data/0", rows, sizeof rows) || zip_close(z) != 0 ||
        zip_source_stat(out, &s) != 0 || zip_source_open(out) != 0)
        abort();
    void *bytes = malloc(s.size);
    if (!bytes || zip_source_read(out, bytes, s.size) != (zip_int64_t)s.size) abort();
    zip_source_close(out);
    zip_source_free(out);
    read_packs(bytes, s.size);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n >= 2 && data[0] == 'P' && data[1] == 'K') read_packs(data, n);
    else if (n) wrap(data, n);
    return 0;
}
