#include "onnx/wire.h"

enum { MAX_GROUP_DEPTH = 64 };

koe_status koe_wire_varint(koe_wire *w, uint64_t *out, koe_error *err)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (w->p == w->end) return koe_fail(err, KOE_E_FORMAT, "byte %zu: a number is cut off", koe_wire_at(*w));
        unsigned char c = *w->p++;
        v |= (uint64_t)(c & 127) << shift;
        if (c < 128) {
            if (shift == 63 && c > 1) break;
            *out = v;
            return KOE_OK;
        }
    }
    return koe_fail(err, KOE_E_FORMAT, "byte %zu: a number of more than 64 bits", koe_wire_at(*w));
}

static uint64_t little_endian(const unsigned char *p, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* Tag and content; a group is returned as its bare start or end. */
static koe_status next_raw(koe_wire *w, koe_wire_field *f, koe_error *err)
{
    size_t at = koe_wire_at(*w);
    uint64_t tag;
    koe_status st = koe_wire_varint(w, &tag, err);
    if (st != KOE_OK) return st;
    if (tag >> 3 == 0 || tag > UINT32_MAX || (tag & 7) > KOE_WIRE_32)
        return koe_fail(err, KOE_E_FORMAT, "byte %zu: not a protobuf field", at);
    *f = (koe_wire_field){ .number = (uint32_t)(tag >> 3), .type = (koe_wire_type)(tag & 7) };
    size_t left = koe_wire_left(*w);
    switch (f->type) {
    case KOE_WIRE_VARINT: return koe_wire_varint(w, &f->value, err);
    case KOE_WIRE_32:
    case KOE_WIRE_64: {
        unsigned n = f->type == KOE_WIRE_32 ? 4 : 8;
        if (left < n) return koe_fail(err, KOE_E_FORMAT, "byte %zu: field %u is cut off", at, f->number);
        f->value = little_endian(w->p, n);
        w->p += n;
        return KOE_OK;
    }
    case KOE_WIRE_BYTES: {
        uint64_t n;
        st = koe_wire_varint(w, &n, err);
        if (st != KOE_OK) return st;
        left = koe_wire_left(*w);
        if (n > left)
            return koe_fail(err, KOE_E_FORMAT,
                            "byte %zu: field %u says it has %llu bytes, but only %zu are left; is this a partial download?", at,
                            f->number, (unsigned long long)n, left);
        f->bytes = (koe_wire){ w->p, w->p + n, w->base };
        w->p += n;
        return KOE_OK;
    }
    case KOE_WIRE_GROUP:
    case KOE_WIRE_GROUP_END: break;
    }
    return KOE_OK;
}

static koe_status skip_group(koe_wire *w, uint32_t number, koe_error *err)
{
    uint32_t open[MAX_GROUP_DEPTH];
    int depth = 0;
    open[depth++] = number;
    while (depth > 0) {
        koe_wire_field f;
        koe_status st = next_raw(w, &f, err);
        if (st != KOE_OK) return st;
        if (f.type == KOE_WIRE_GROUP) {
            if (depth == MAX_GROUP_DEPTH)
                return koe_fail(err, KOE_E_LIMIT, "byte %zu: groups nested more than %d deep", koe_wire_at(*w), MAX_GROUP_DEPTH);
            open[depth++] = f.number;
        } else if (f.type == KOE_WIRE_GROUP_END && open[--depth] != f.number) {
            return koe_fail(err, KOE_E_FORMAT, "byte %zu: a group ends that did not begin", koe_wire_at(*w));
        }
    }
    return KOE_OK;
}

koe_status koe_wire_next(koe_wire *w, koe_wire_field *f, koe_error *err)
{
    while (w->p < w->end) {
        koe_status st = next_raw(w, f, err);
        if (st != KOE_OK) return st;
        if (f->type == KOE_WIRE_GROUP_END)
            return koe_fail(err, KOE_E_FORMAT, "byte %zu: a group ends that did not begin", koe_wire_at(*w));
        if (f->type != KOE_WIRE_GROUP) return KOE_OK;
        st = skip_group(w, f->number, err);
        if (st != KOE_OK) return st;
    }
    *f = (koe_wire_field){ 0 };
    return KOE_OK;
}

koe_status koe_wire_count(koe_wire w, size_t count[KOE_WIRE_COUNTED], koe_error *err)
{
    memset(count, 0, KOE_WIRE_COUNTED * sizeof *count);
    for (koe_wire_field f;;) {
        koe_status st = koe_wire_next(&w, &f, err);
        if (st != KOE_OK || f.number == 0) return st;
        if (f.number < KOE_WIRE_COUNTED && ++count[f.number] > KOE_WIRE_MAX_ITEMS)
            return koe_fail(err, KOE_E_LIMIT, "byte %zu: more than %d items", koe_wire_at(w), KOE_WIRE_MAX_ITEMS);
    }
}

static koe_status wrong_type(const koe_wire_field *f, const char *wanted, koe_error *err)
{
    static const char *const name[] = { "a number", "64 bits", "a string", "a group", "a group's end", "32 bits" };
    return koe_fail(err, KOE_E_FORMAT, "field %u is %s where %s is due", f->number, name[f->type], wanted);
}

koe_status koe_wire_as_message(const koe_wire_field *f, koe_wire *out, koe_error *err)
{
    if (f->type != KOE_WIRE_BYTES) return wrong_type(f, "a message", err);
    *out = f->bytes;
    return KOE_OK;
}

koe_status koe_wire_as_str(const koe_wire_field *f, koe_str *out, koe_error *err)
{
    if (f->type != KOE_WIRE_BYTES) return wrong_type(f, "a string", err);
    *out = (koe_str){ (const char *)f->bytes.p, koe_wire_left(f->bytes) };
    return KOE_OK;
}

koe_status koe_wire_as_int(const koe_wire_field *f, int64_t *out, koe_error *err)
{
    if (f->type != KOE_WIRE_VARINT) return wrong_type(f, "a number", err);
    *out = (int64_t)f->value;
    return KOE_OK;
}

koe_status koe_wire_as_float(const koe_wire_field *f, float *out, koe_error *err)
{
    if (f->type != KOE_WIRE_32) return wrong_type(f, "a 32-bit float", err);
    uint32_t bits = (uint32_t)f->value;
    memcpy(out, &bits, 4);
    return KOE_OK;
}

koe_status koe_wire_repeated(const koe_wire_field *f, koe_wire_type type, size_t *n, koe_error *err)
{
    *n = 1;
    if (f->type == type) return KOE_OK;
    if (f->type != KOE_WIRE_BYTES) return wrong_type(f, "a list of numbers", err);
    size_t n_bytes = koe_wire_left(f->bytes), size = type == KOE_WIRE_32 ? 4 : 8;
    if (type != KOE_WIRE_VARINT) {
        if (n_bytes % size) return koe_fail(err, KOE_E_FORMAT, "field %u holds half a number at its end", f->number);
        *n = n_bytes / size;
        return KOE_OK;
    }
    *n = 0;
    for (const unsigned char *p = f->bytes.p; p < f->bytes.end; p++) *n += *p < 128; /* the last byte of each varint */
    if (n_bytes && f->bytes.end[-1] >= 128)
        return koe_fail(err, KOE_E_FORMAT, "field %u holds half a number at its end", f->number);
    return KOE_OK;
}
