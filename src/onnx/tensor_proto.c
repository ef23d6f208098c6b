/* tensor_proto.c - TensorProto: a tensor in one of three places.
 *     raw_data        little-endian elements, used where they lie
 *     *_data          a list of numbers, unpacked to the arena
 *     external_data   a byte range of another file in the model's folder, mapped */
#include <inttypes.h>
#include <limits.h>
#include <stdalign.h>
#include <stdlib.h>

#include "onnx/reader.h"

/* TensorProto's fields. */
enum {
    DIMS = 1,
    DATA_TYPE = 2,
    SEGMENT = 3,
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    STRING_DATA = 6,
    INT64_DATA = 7,
    NAME = 8,
    RAW_DATA = 9,
    DOUBLE_DATA = 10,
    UINT64_DATA = 11,
    EXTERNAL_DATA = 13,
    DATA_LOCATION = 14,
};

enum { MAX_EXTERNAL_FILES = 4096 };

/* Copying a tensor to align it reads all of its pages; large ones stay where they are: the graph room aligns
 * those that nobody packs. */
enum { MAX_ALIGN_COPY_BYTES = 64 * 1024 };

typedef struct tensor_proto {
    koe_wire whole;
    koe_str name;
    int64_t data_type;
    int n_dim;
    int64_t dim[KOE_MAX_DIM];
    koe_str raw;
    uint32_t list; /* which of the *_data fields is there; 0: none */
    size_t n_list;
    bool is_external, has_external_length;
    koe_str location;
    uint64_t external_at, external_bytes;
} tensor_proto;

static const struct {
    const char *name;
    uint32_t list; /* the field that holds a list of this type */
} types[] = {
    [KOE_DTYPE_NONE] = { "undefined", 0 },
    [KOE_DTYPE_F32] = { "float32", FLOAT_DATA },
    [KOE_DTYPE_U8] = { "uint8", INT32_DATA },
    [KOE_DTYPE_I8] = { "int8", INT32_DATA },
    [KOE_DTYPE_U16] = { "uint16", INT32_DATA },
    [KOE_DTYPE_I16] = { "int16", INT32_DATA },
    [KOE_DTYPE_I32] = { "int32", INT32_DATA },
    [KOE_DTYPE_I64] = { "int64", INT64_DATA },
    [KOE_DTYPE_STRING] = { "string", STRING_DATA },
    [KOE_DTYPE_BOOL] = { "bool", INT32_DATA },
    [KOE_DTYPE_F16] = { "float16", INT32_DATA },
    [KOE_DTYPE_F64] = { "float64", DOUBLE_DATA },
    [KOE_DTYPE_U32] = { "uint32", UINT64_DATA },
    [KOE_DTYPE_U64] = { "uint64", UINT64_DATA },
    [14] = { "complex64", FLOAT_DATA },
    [15] = { "complex128", DOUBLE_DATA },
    [KOE_DTYPE_BF16] = { "bfloat16", INT32_DATA },
    [17] = { "float8e4m3fn", INT32_DATA },
    [18] = { "float8e4m3fnuz", INT32_DATA },
    [19] = { "float8e5m2", INT32_DATA },
    [20] = { "float8e5m2fnuz", INT32_DATA },
    [21] = { "uint4", INT32_DATA },
    [22] = { "int4", INT32_DATA },
    [23] = { "float4e2m1", INT32_DATA },
    [24] = { "float8e8m0", INT32_DATA },
    [25] = { "uint2", INT32_DATA },
    [26] = { "int2", INT32_DATA },
};

static bool is_known_type(int64_t type) { return type >= 0 && type < (int64_t)(sizeof types / sizeof *types); }
/* Also of those that koe does not support. */
static const char *type_name(int64_t type) { return is_known_type(type) ? types[type].name : "of an unknown type"; }

static koe_wire_type list_wire_type(uint32_t field)
{
    return field == FLOAT_DATA ? KOE_WIRE_32 : field == DOUBLE_DATA ? KOE_WIRE_64 : KOE_WIRE_VARINT;
}

/* ---- fields -------------------------------------------------------------------------------------------------------------- */

static koe_status read_dims(koe_reader *r, tensor_proto *p, const koe_wire_field *f)
{
    size_t n;
    koe_status st = koe_wire_repeated(f, KOE_WIRE_VARINT, &n, r->err);
    koe_wire w = f->bytes;
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        uint64_t v = f->value;
        if (f->type == KOE_WIRE_BYTES) st = koe_wire_varint(&w, &v, r->err);
        if (st != KOE_OK) break;
        if (p->n_dim == KOE_MAX_DIM) return koe_fail(r->err, KOE_E_LIMIT, "more than the supported %d dimensions", KOE_MAX_DIM);
        p->dim[p->n_dim++] = (int64_t)v;
    }
    return st;
}

static bool parse_number(koe_str s, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(*out, 10u, out) ||
            __builtin_add_overflow(*out, (uint64_t)(s.p[i] - '0'), out))
            return false;
    return s.n > 0;
}

/* A StringStringEntryProto: location, offset or length; other keys (checksum) say nothing that is needed. */
static koe_status read_external_entry(koe_reader *r, tensor_proto *p, const koe_wire_field *entry)
{
    koe_wire w;
    koe_str key = { 0 }, value = { 0 };
    koe_status st = koe_wire_as_message(entry, &w, r->err);
    for (koe_wire_field f; st == KOE_OK;) {
        st = koe_wire_next(&w, &f, r->err);
        if (st != KOE_OK || f.number == 0) break;
        if (f.number == 1) st = koe_wire_as_str(&f, &key, r->err);
        if (f.number == 2) st = koe_wire_as_str(&f, &value, r->err);
    }
    if (st != KOE_OK) return st;
    bool ok = true;
    if (koe_str_is(key, "location")) p->location = value;
    else if (koe_str_is(key, "offset")) ok = parse_number(value, &p->external_at);
    else if (koe_str_is(key, "length")) ok = p->has_external_length = parse_number(value, &p->external_bytes);
    if (ok) return KOE_OK;
    return koe_fail(r->err, KOE_E_FORMAT, "external data: %.*s is '%.*s', which is no number", KOE_NAME_ARG(key),
                    KOE_NAME_ARG(value));
}

static koe_status read_list(koe_reader *r, tensor_proto *p, const koe_wire_field *f)
{
    size_t n = 1;
    koe_status st = f->number == STRING_DATA ? KOE_OK : koe_wire_repeated(f, list_wire_type(f->number), &n, r->err);
    if (st != KOE_OK || n == 0) return st;
    if (p->list && p->list != f->number)
        return koe_fail(r->err, KOE_E_FORMAT, "elements in two fields, %u and %u", p->list, f->number);
    p->list = f->number;
    p->n_list += n;
    return KOE_OK;
}

static koe_status read_fields(koe_reader *r, koe_wire w, tensor_proto *p)
{
    *p = (tensor_proto){ .whole = w };
    koe_status st = KOE_OK;
    for (koe_wire_field f; st == KOE_OK;) {
        int64_t location = 0;
        st = koe_wire_next(&w, &f, r->err);
        if (st != KOE_OK || f.number == 0) break;
        switch (f.number) {
        case DIMS: st = read_dims(r, p, &f); break;
        case DATA_TYPE: st = koe_wire_as_int(&f, &p->data_type, r->err); break;
        case SEGMENT: st = koe_fail(r->err, KOE_E_UNSUPPORTED, "a tensor in segments"); break;
        case NAME: st = koe_wire_as_str(&f, &p->name, r->err); break;
        case RAW_DATA: st = koe_wire_as_str(&f, &p->raw, r->err); break;
        case EXTERNAL_DATA: st = read_external_entry(r, p, &f); break;
        case DATA_LOCATION:
            st = koe_wire_as_int(&f, &location, r->err);
            p->is_external = location == 1;
            break;
        case FLOAT_DATA:
        case INT32_DATA:
        case STRING_DATA:
        case INT64_DATA:
        case DOUBLE_DATA:
        case UINT64_DATA: st = read_list(r, p, &f); break;
        default: break;
        }
    }
    return st;
}

/* ---- external data ------------------------------------------------------------------------------------------------------- */

/* Only a file inside the model's folder, after symbolic links are followed. *path is malloc()ed. */
static koe_status resolve_location(koe_reader *r, koe_str location, char **path)
{
    const char *folder = r->folder;
    if (location.n == 0) return koe_fail(r->err, KOE_E_FORMAT, "external data without a location");
    if (location.n >= PATH_MAX || memchr(location.p, 0, location.n))
        return koe_fail(r->err, KOE_E_FORMAT, "external data in a file with an impossible name");
    bool climbs = false;
    for (koe_str rest = location; rest.n;) {
        const char *slash = memchr(rest.p, '/', rest.n);
        size_t n = slash ? (size_t)(slash - rest.p) : rest.n;
        climbs |= koe_str_is(koe_str_sub(rest, 0, n), "..");
        rest = koe_str_sub(rest, n + 1, rest.n);
    }
    if (location.p[0] == '/' || climbs)
        return koe_fail(r->err, KOE_E_FORMAT, "external data in '%.*s'; it must lie in the model's folder",
                        KOE_NAME_ARG(location));

    char name[PATH_MAX];
    memcpy(name, location.p, location.n);
    name[location.n] = 0;
    char *joined = koe_path_join(folder, name), *real_folder = realpath(folder, NULL),
         *real = joined ? realpath(joined, NULL) : NULL;
    koe_status st = KOE_OK;
    size_t n = real_folder ? strlen(real_folder) : 0;
    if (n == 1) n = 0; /* "/" */
    if (!joined || !real_folder) st = koe_fail(r->err, KOE_E_NOMEM, "external data");
    else if (!real)
        st = koe_fail(r->err, KOE_E_NOT_FOUND, "its data should be in %s, which cannot be opened; put it beside the model",
                      joined);
    else if (strncmp(real, real_folder, n) != 0 || real[n] != '/')
        st = koe_fail(r->err, KOE_E_FORMAT, "external data in %s, a link out of the model's folder", joined);
    free(joined);
    free(real_folder);
    if (st != KOE_OK) free(real);
    else *path = real;
    return st;
}

/* Room for one more item in an array of the arena: doubles it when full. */
static koe_status grow(koe_reader *r, void *array, size_t n, size_t *cap, size_t size)
{
    void *old, *grown;
    if (n < *cap) return KOE_OK;
    size_t more = *cap ? 2 * *cap : 16;
    memcpy(&old, array, sizeof old);
    grown = koe_arena_array(r->arena, more, size);
    if (!grown) return koe_fail(r->err, KOE_E_NOMEM, "%zu items of %zu bytes", more, size);
    if (n) memcpy(grown, old, n * size);
    memcpy(array, &grown, sizeof grown);
    *cap = more;
    return KOE_OK;
}

static koe_status map_location(koe_reader *r, koe_str location, const koe_mapping **out)
{
    koe_onnx_model *m = r->model;
    for (size_t i = m->n_external; i-- > 0;)
        if (koe_str_eq(r->location[i], location)) {
            *out = &m->external[i];
            return KOE_OK;
        }
    if (m->n_external == MAX_EXTERNAL_FILES)
        return koe_fail(r->err, KOE_E_LIMIT, "more than %d files of external data", MAX_EXTERNAL_FILES);
    char *path = NULL;
    size_t cap = r->cap_external;
    koe_status st = resolve_location(r, location, &path);
    if (st != KOE_OK) return st;
    st = grow(r, &r->location, m->n_external, &cap, sizeof *r->location);
    if (st == KOE_OK) st = grow(r, &m->external, m->n_external, &r->cap_external, sizeof *m->external);
    if (st == KOE_OK) st = koe_file_map(&m->external[m->n_external], path, r->err);
    free(path);
    if (st != KOE_OK) return st;
    r->location[m->n_external] = location;
    *out = &m->external[m->n_external++];
    return KOE_OK;
}

static koe_status read_external(koe_reader *r, const tensor_proto *p, size_t need, koe_str *out)
{
    if (!r->folder)
        return koe_fail(r->err, KOE_E_UNSUPPORTED, "external data in '%.*s'; a model in memory cannot refer to files",
                        KOE_NAME_ARG(p->location));
    if (p->has_external_length && p->external_bytes != need)
        return koe_fail(r->err, KOE_E_FORMAT, "external data of %" PRIu64 " bytes, the shape needs %zu", p->external_bytes, need);
    const koe_mapping *file = NULL;
    koe_status st = map_location(r, p->location, &file);
    if (st != KOE_OK) return st;
    if (p->external_at > file->n || need > file->n - p->external_at)
        return koe_fail(r->err, KOE_E_FORMAT,
                        "its data is %zu bytes at offset %" PRIu64 " of '%.*s', which has only %zu; is that a partial download?",
                        need, p->external_at, KOE_NAME_ARG(p->location), file->n);
    *out = (koe_str){ (const char *)file->p + p->external_at, need };
    return KOE_OK;
}

/* ---- elements ------------------------------------------------------------------------------------------------------------ */

/* Element i from a number of a list; false when the type cannot hold it. */
static bool store(koe_dtype dtype, void *data, size_t i, uint64_t v)
{
    int64_t s = (int64_t)v;
    switch (dtype) {
    case KOE_DTYPE_BOOL: ((uint8_t *)data)[i] = v != 0; return true;
    case KOE_DTYPE_U8: ((uint8_t *)data)[i] = (uint8_t)v; return v <= UINT8_MAX;
    case KOE_DTYPE_I8: ((int8_t *)data)[i] = (int8_t)s; return s >= INT8_MIN && s <= INT8_MAX;
    case KOE_DTYPE_F16:
    case KOE_DTYPE_BF16:
    case KOE_DTYPE_U16: ((uint16_t *)data)[i] = (uint16_t)v; return v <= UINT16_MAX;
    case KOE_DTYPE_I16: ((int16_t *)data)[i] = (int16_t)s; return s >= INT16_MIN && s <= INT16_MAX;
    case KOE_DTYPE_I32: ((int32_t *)data)[i] = (int32_t)s; return s >= INT32_MIN && s <= INT32_MAX;
    case KOE_DTYPE_U32: ((uint32_t *)data)[i] = (uint32_t)v; return v <= UINT32_MAX;
    case KOE_DTYPE_F32: ((uint32_t *)data)[i] = (uint32_t)v; return true; /* the float's bits */
    case KOE_DTYPE_I64:
    case KOE_DTYPE_U64:
    case KOE_DTYPE_F64: ((uint64_t *)data)[i] = v; return true;
    case KOE_DTYPE_NONE:
    case KOE_DTYPE_STRING: break;
    }
    return false;
}

static koe_status unpack_list(koe_reader *r, const tensor_proto *p, koe_tensor *t)
{
    koe_wire_type type = list_wire_type(p->list);
    koe_wire w = p->whole;
    size_t i = 0;
    for (koe_wire_field f;;) {
        koe_status st = koe_wire_next(&w, &f, r->err);
        if (st != KOE_OK || f.number == 0) return st;
        if (f.number != p->list) continue;
        if (f.type != type && type != KOE_WIRE_VARINT) { /* packed, and little endian as we are */
            size_t n = koe_wire_left(f.bytes), size = koe_dtype_size(t->dtype);
            if (n) memcpy((char *)t->data + i * size, f.bytes.p, n);
            i += n / size;
            continue;
        }
        do {
            if (f.type != type) {
                if (f.bytes.p == f.bytes.end) break;
                st = koe_wire_varint(&f.bytes, &f.value, r->err);
                if (st != KOE_OK) return st;
            }
            if (!store(t->dtype, t->data, i++, f.value))
                return koe_fail(r->err, KOE_E_FORMAT, "element %zu is %" PRId64 ", out of the range of %s", i - 1,
                                (int64_t)f.value, koe_dtype_name(t->dtype));
        } while (f.type != type);
    }
}

static koe_status from_list(koe_reader *r, const tensor_proto *p, koe_tensor *t, size_t need)
{
    if (p->list != types[t->dtype].list)
        return koe_fail(r->err, KOE_E_FORMAT, "elements of %s in field %u; they belong in field %u", koe_dtype_name(t->dtype),
                        p->list, types[t->dtype].list);
    if (p->n_list != need / koe_dtype_size(t->dtype))
        return koe_fail(r->err, KOE_E_FORMAT, "%zu elements, the shape needs %zu", p->n_list, need / koe_dtype_size(t->dtype));
    t->data = koe_arena_alloc(r->arena, need);
    if (!t->data) return koe_fail(r->err, KOE_E_NOMEM, "%zu bytes", need);
    return unpack_list(r, p, t);
}

static bool only_0_and_1(koe_str raw)
{
    unsigned char seen = 0;
    for (size_t i = 0; i < raw.n; i++) seen |= (unsigned char)raw.p[i];
    return seen < 2;
}

/* Borrows the bytes, or copies them when they cannot be used where they lie. */
static koe_status from_bytes(koe_reader *r, koe_str raw, koe_tensor *t)
{
    t->data = (void *)(uintptr_t)raw.p;
    bool is_wild = t->dtype == KOE_DTYPE_BOOL && !only_0_and_1(raw);
    if (r->model && !is_wild && (koe_tensor_aligned(t) || raw.n > MAX_ALIGN_COPY_BYTES)) return KOE_OK;
    t->data = koe_arena_alloc(r->arena, raw.n);
    if (!t->data) return koe_fail(r->err, KOE_E_NOMEM, "%zu bytes", raw.n);
    memcpy(t->data, raw.p, raw.n);
    if (is_wild)
        for (size_t i = 0; i < raw.n; i++) ((uint8_t *)t->data)[i] = ((uint8_t *)t->data)[i] != 0;
    return KOE_OK;
}

static koe_status read_data(koe_reader *r, const tensor_proto *p, koe_tensor *t)
{
    static alignas(64) unsigned char nothing[64];
    size_t need;
    koe_status st = koe_shape_bytes(&need, t->dtype, t->n_dim, t->dim, r->err);
    if (st != KOE_OK) return st;
    koe_str raw = p->raw;
    if (p->is_external && (raw.n || p->n_list))
        return koe_fail(r->err, KOE_E_FORMAT, "data both in the model and in another file");
    if (p->is_external && need) st = read_external(r, p, need, &raw);
    if (st != KOE_OK) return st;
    if (raw.n && p->n_list) return koe_fail(r->err, KOE_E_FORMAT, "data both in raw_data and in field %u", p->list);
    if (r->model) r->model->n_weight_bytes += need;
    if (p->n_list) return from_list(r, p, t, need);
    if (need && !raw.n)
        return koe_fail(r->err, KOE_E_FORMAT,
                        "it has no data: this file holds the graph without its weights; take the full model");
    if (raw.n != need) return koe_fail(r->err, KOE_E_FORMAT, "%zu bytes of data, the shape needs %zu", raw.n, need);
    if (need) return from_bytes(r, raw, t);
    t->data = nothing;
    return KOE_OK;
}

koe_status koe_read_tensor(koe_reader *r, koe_wire w, koe_tensor *out, koe_str *name)
{
    tensor_proto p;
    koe_tensor t = { 0 };
    koe_status st = read_fields(r, w, &p);
    if (st == KOE_OK && (!is_known_type(p.data_type) || koe_dtype_size((koe_dtype)p.data_type) == 0))
        st = koe_fail(r->err, KOE_E_UNSUPPORTED, "its elements are %s (type %" PRId64 "), which is not supported",
                      type_name(p.data_type), p.data_type);
    if (st == KOE_OK) {
        t.dtype = (koe_dtype)p.data_type;
        t.n_dim = p.n_dim;
        memcpy(t.dim, p.dim, sizeof t.dim);
        st = read_data(r, &p, &t);
        char text[160];
        if (st != KOE_OK) st = koe_error_wrap(r->err, st, "%s", koe_tensor_describe(&t, text, sizeof text));
    }
    if (st != KOE_OK) return koe_error_wrap(r->err, st, "tensor '%.*s'", KOE_NAME_ARG(p.name));
    *out = t;
    *name = p.name;
    return KOE_OK;
}
