#include "text/table.h"

#include <stdlib.h>

static koe_str line_key(const koe_table *t, size_t at)
{
    const char *p = (const char *)t->file.p + at;
    size_t n = 0;
    while (at + n < t->file.n && p[n] != t->separator && p[n] != '\n') n++;
    return (koe_str){ p, n };
}

static koe_str line_value(const koe_table *t, koe_str key)
{
    const char *p = key.p + key.n, *end = (const char *)t->file.p + t->file.n;
    if (p >= end || *p != t->separator) return (koe_str){ "", 0 };
    p++;
    const char *stop = memchr(p, '\n', (size_t)(end - p));
    return koe_str_trim((koe_str){ p, (size_t)((stop ? stop : end) - p) });
}

koe_str koe_table_find(const koe_table *t, koe_str key)
{
    for (size_t i = koe_str_hash(key) & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
        if (!t->slot[i]) return (koe_str){ NULL, 0 };
        koe_str k = line_key(t, t->slot[i] - 1);
        if (koe_str_eq(k, key)) return line_value(t, k);
    }
}

koe_str koe_table_line(const koe_table *t, size_t *at)
{
    koe_str key = line_key(t, *at);
    const unsigned char *end = memchr(t->file.p + *at, '\n', t->file.n - *at);
    *at = end ? (size_t)(end - t->file.p) + 1 : t->file.n;
    return key;
}

static koe_status make_index(koe_table *t, char separator, koe_error *err)
{
    t->separator = separator;
    size_t n = 1;
    for (size_t i = 0; i < t->file.n; i++) n += t->file.p[i] == '\n';
    for (t->n_slots = 16; t->n_slots < 2 * n; t->n_slots *= 2) {}
    t->slot = calloc(t->n_slots, sizeof *t->slot);
    if (!t->slot) return koe_fail(err, KOE_E_NOMEM, "table");
    for (size_t at = 0; at < t->file.n;) {
        uint32_t start = (uint32_t)at;
        koe_str key = koe_table_line(t, &at);
        size_t i = koe_str_hash(key) & (t->n_slots - 1);
        while (t->slot[i]) i = (i + 1) & (t->n_slots - 1);
        if (key.n) t->slot[i] = start + 1;
    }
    return KOE_OK;
}

koe_status koe_table_open(koe_table *t, const char *dir, const char *name, char separator, koe_error *err)
{
    char *path = koe_path_join(dir, name);
    koe_status st = path ? koe_file_map(&t->file, path, err) : koe_fail(err, KOE_E_NOMEM, "table %s", name);
    free(path);
    if (st != KOE_OK) return st;
    if (t->file.n >= UINT32_MAX) return koe_fail(err, KOE_E_LIMIT, "%s is too long", name);
    return make_index(t, separator, err);
}

koe_status koe_table_read(koe_table *t, koe_str text, char separator, koe_error *err)
{
    t->file = (koe_mapping){ (const unsigned char *)text.p, text.n };
    t->borrowed = true;
    return make_index(t, separator, err);
}

void koe_table_close(koe_table *t)
{
    if (!t->borrowed) koe_file_unmap(&t->file);
    free(t->slot);
}
