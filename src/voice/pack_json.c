/* pack_json.c - Kokoro v0.19's voices.json: {"af": [[[256 numbers]], ... 511 rows], ...}. */
#include <jansson.h>

#include "voice/pack_read.h"

/* Eleven voices are 28 MB; the tree that jansson builds takes three times that until the numbers are copied out. */
enum { MAX_JSON_BYTES = 256 << 20 };

static koe_status read_row(float *out, const json_t *row, koe_error *err)
{
    if (json_array_size(row) == 1) row = json_array_get(row, 0);
    if (json_array_size(row) != KOE_STYLE_DIM)
        return koe_fail(err, KOE_E_FORMAT, "has %zu numbers, %d are needed", json_array_size(row), KOE_STYLE_DIM);
    for (size_t i = 0; i < KOE_STYLE_DIM; i++) {
        const json_t *v = json_array_get(row, i);
        if (!json_is_number(v)) return koe_fail(err, KOE_E_FORMAT, "value %zu is not a number", i);
        out[i] = (float)json_number_value(v);
    }
    return KOE_OK;
}

static koe_status read_voice(pack_entry *e, koe_arena *arena, const char *name, const json_t *rows, koe_error *err)
{
    size_t n = json_array_size(rows);
    if (n < 1 || n > KOE_PACK_MAX_ROWS)
        return koe_fail(err, KOE_E_FORMAT, "voice %s has %zu rows, 1 to %d are read", name, n, KOE_PACK_MAX_ROWS);
    float *data = koe_arena_array(arena, n * KOE_STYLE_DIM, sizeof *data);
    e->name = koe_arena_str(arena, koe_str_of(name));
    if (!data || !e->name.p) return koe_fail(err, KOE_E_NOMEM, "voice %s", name);
    for (size_t i = 0; i < n; i++) {
        koe_status st = read_row(data + i * KOE_STYLE_DIM, json_array_get(rows, i), err);
        if (st != KOE_OK) return koe_error_wrap(err, st, "voice %s, row %zu", name, i);
    }
    e->row = data;
    e->n_rows = n;
    return KOE_OK;
}

koe_status koe_pack_read_json(pack_entry **out, size_t *n, koe_arena *arena, koe_str bytes, const char *what, koe_error *err)
{
    if (bytes.n > MAX_JSON_BYTES)
        return koe_fail(err, KOE_E_LIMIT, "%s has %zu bytes, the limit is %d", what, bytes.n, MAX_JSON_BYTES);
    json_error_t jerr;
    json_t *root = json_loadb(bytes.p, bytes.n, JSON_REJECT_DUPLICATES, &jerr);
    if (!root) return koe_fail(err, KOE_E_FORMAT, "%s, line %d, column %d: %s", what, jerr.line, jerr.column, jerr.text);
    koe_status st = KOE_OK;
    size_t count = json_object_size(root);
    if (count < 1 || count > KOE_PACK_MAX_VOICES)
        st = koe_fail(err, KOE_E_FORMAT, "%s holds %zu voices; expected is {\"name\": [[[256 numbers]], ...], ...}", what, count);
    pack_entry *entry = st == KOE_OK ? koe_arena_array(arena, count, sizeof *entry) : NULL;
    if (st == KOE_OK && !entry) st = koe_fail(err, KOE_E_NOMEM, "%s", what);
    const char *name;
    json_t *rows;
    size_t i = 0;
    if (st == KOE_OK) json_object_foreach(root, name, rows)
        {
            st = read_voice(&entry[i++], arena, name, rows, err);
            if (st != KOE_OK) {
                st = koe_error_wrap(err, st, "%s", what);
                break;
            }
        }
    json_decref(root);
    if (st != KOE_OK) return st;
    *out = entry;
    *n = count;
    return KOE_OK;
}
