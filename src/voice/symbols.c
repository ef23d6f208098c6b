#include "voice/symbols.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "text/utf8.h"

enum { MAX_SYMBOLS = 4096, MAX_IDS = 16, MAX_ID = 1 << 20 };

static int by_cp(const void *a, const void *b)
{
    uint32_t x = ((const koe_symbol *)a)->cp, y = ((const koe_symbol *)b)->cp;
    return (x > y) - (x < y);
}

static koe_status add_id(koe_symbols *s, const json_t *v, const char *what, const char *key, koe_error *err)
{
    json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
    if (id < 0 || id > MAX_ID)
        return koe_fail(err, KOE_E_FORMAT, "%s: the id of '%s' is no number from 0 to %d", what, key, MAX_ID);
    s->id[s->n_id++] = id;
    return KOE_OK;
}

static koe_status add_symbol(koe_symbols *s, const char *key, const json_t *v, const char *what, koe_error *err)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    if (n > MAX_IDS) return koe_fail(err, KOE_E_LIMIT, "%s: '%s' has %zu ids, the limit is %d", what, key, n, MAX_IDS);
    s->symbol[s->n++] = (koe_symbol){ koe_utf8_first(koe_str_of(key)), (uint32_t)s->n_id, (uint32_t)n };
    if (!json_is_array(v)) return add_id(s, v, what, key, err);
    koe_status st = KOE_OK;
    for (size_t i = 0; st == KOE_OK && i < n; i++) st = add_id(s, json_array_get(v, i), what, key, err);
    return st;
}

koe_status koe_symbols_read(koe_symbols *out, const json_t *object, const char *what, koe_error *err)
{
    *out = (koe_symbols){ 0 };
    size_t n = json_object_size(object), n_long = 0;
    if (n < 1 || n > MAX_SYMBOLS)
        return koe_fail(err, KOE_E_FORMAT, "%s holds %zu symbols, 1 to %d are read", what, n, MAX_SYMBOLS);
    out->symbol = calloc(n, sizeof *out->symbol);
    out->id = calloc(n * MAX_IDS, sizeof *out->id);
    koe_status st = out->symbol && out->id ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "%s", what);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        if (st != KOE_OK) break;
        if (koe_utf8_count(koe_str_of(key)) == 1) st = add_symbol(out, key, v, what, err);
        else n_long++;
    }
    if (st != KOE_OK) {
        koe_symbols_deinit(out);
        return st;
    }
    if (n_long) koe_log(KOE_LOG_INFO, "%s: %zu symbols of more than one character are left out", what, n_long);
    qsort(out->symbol, out->n, sizeof *out->symbol, by_cp);
    return KOE_OK;
}

koe_status koe_symbols_parse(koe_symbols *out, koe_str json, const char *key, const char *what, koe_error *err)
{
    json_error_t jerr;
    json_t *root = json_loadb(json.p ? json.p : "", json.n, 0, &jerr);
    if (!root) return koe_fail(err, KOE_E_FORMAT, "%s, line %d: %s", what, jerr.line, jerr.text);
    const json_t *object = key ? json_object_get(root, key) : root;
    koe_status st = json_is_object(object)
                        ? koe_symbols_read(out, object, what, err)
                        : koe_fail(err, KOE_E_FORMAT, "%s has no \"%s\": {\"symbol\": id, ...}", what, key ? key : "");
    json_decref(root);
    return st;
}

void koe_symbols_deinit(koe_symbols *s)
{
    free(s->symbol);
    free(s->id);
    *s = (koe_symbols){ 0 };
}

const koe_symbol *koe_symbols_find(const koe_symbols *s, uint32_t cp)
{
    koe_symbol key = { .cp = cp };
    return s->n ? bsearch(&key, s->symbol, s->n, sizeof *s->symbol, by_cp) : NULL;
}
