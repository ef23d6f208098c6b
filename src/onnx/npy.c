/* npy.c - NumPy's array file.
 *     bytes 0..5   "\x93NUMPY"          6, 7  version major, minor
 *     8..          header length: u16 in version 1, u32 in 2 and 3 (little endian)
 *     then         header, a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 *     then         the elements
 * The header is padded with spaces so that the elements start at a multiple of 64. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "onnx/tensor.h"

static const char magic[6] = "\x93NUMPY";
enum { MAX_HEADER_BYTES = 64 * 1024 };

static const struct {
    char kind;
    char size;
    koe_dtype dtype;
} descriptors[] = {
    { 'f', '4', KOE_DTYPE_F32 }, { 'f', '8', KOE_DTYPE_F64 }, { 'f', '2', KOE_DTYPE_F16 }, { 'b', '1', KOE_DTYPE_BOOL },
    { 'i', '1', KOE_DTYPE_I8 },  { 'i', '2', KOE_DTYPE_I16 }, { 'i', '4', KOE_DTYPE_I32 }, { 'i', '8', KOE_DTYPE_I64 },
    { 'u', '1', KOE_DTYPE_U8 },  { 'u', '2', KOE_DTYPE_U16 }, { 'u', '4', KOE_DTYPE_U32 }, { 'u', '8', KOE_DTYPE_U64 },
};

/* ---- header -------------------------------------------------------------------------------------------------------------- */

typedef struct header {
    koe_str descr;
    bool fortran_order;
    int n_dim;
    int64_t dim[KOE_MAX_DIM];
    bool has_descr, has_order, has_shape;
} header;

static void skip_space(koe_str *s)
{
    while (s->n && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r')) s->p++, s->n--;
}

/* Takes `c`, after white space, if it is next. */
static bool take(koe_str *s, char c)
{
    skip_space(s);
    if (!s->n || *s->p != c) return false;
    s->p++, s->n--;
    return true;
}

/* A quoted string without escapes, which neither keys nor types need. */
static bool take_string(koe_str *s, koe_str *out)
{
    skip_space(s);
    char quote = s->n ? *s->p : 0;
    if (quote != '\'' && quote != '"') return false;
    const char *end = memchr(s->p + 1, quote, s->n - 1);
    if (!end) return false;
    *out = (koe_str){ s->p + 1, (size_t)(end - s->p - 1) };
    *s = koe_str_sub(*s, out->n + 2, s->n);
    return true;
}

static bool take_bool(koe_str *s, bool *out)
{
    skip_space(s);
    *out = koe_str_starts(*s, KOE_STR("True"));
    if (!*out && !koe_str_starts(*s, KOE_STR("False"))) return false;
    *s = koe_str_sub(*s, *out ? 4 : 5, s->n);
    return true;
}

static bool take_dim(koe_str *s, int64_t *out)
{
    skip_space(s);
    int64_t v = 0;
    size_t i = 0;
    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, s->p[i] - '0', &v)) return false;
    if (i == 0) return false;
    if (i < s->n && s->p[i] == 'L') i++; /* Python 2 wrote its long integers so */
    *s = koe_str_sub(*s, i, s->n);
    *out = v;
    return true;
}

/* (), (3,), (3, 4), (3, 4,) */
static bool take_shape(koe_str *s, header *h)
{
    if (!take(s, '(')) return false;
    h->n_dim = 0;
    while (!take(s, ')')) {
        if (h->n_dim == KOE_MAX_DIM || !take_dim(s, &h->dim[h->n_dim++])) return false;
        if (!take(s, ',') && !(s->n && *s->p == ')')) return false;
    }
    return true;
}

static koe_status parse_header(header *h, koe_str s, const char *what, koe_error *err)
{
    *h = (header){ 0 };
    if (!take(&s, '{')) return koe_fail(err, KOE_E_FORMAT, "%s: the .npy header is not a dictionary", what);
    while (!take(&s, '}')) {
        koe_str key;
        if (!take_string(&s, &key) || !take(&s, ':'))
            return koe_fail(err, KOE_E_FORMAT, "%s: the .npy header is malformed where a key is due", what);
        bool ok = true;
        if (koe_str_is(key, "descr")) {
            skip_space(&s);
            if (s.n && (*s.p == '[' || *s.p == '('))
                return koe_fail(err, KOE_E_UNSUPPORTED, "%s: an array of records; only plain numbers are read", what);
            ok = h->has_descr = take_string(&s, &h->descr);
        } else if (koe_str_is(key, "fortran_order")) {
            ok = h->has_order = take_bool(&s, &h->fortran_order);
        } else if (koe_str_is(key, "shape")) {
            ok = h->has_shape = take_shape(&s, h);
        } else {
            return koe_fail(err, KOE_E_FORMAT, "%s: the .npy header has the unknown key '%.*s'", what,
                            (int)(key.n > 40 ? 40 : key.n), key.p);
        }
        if (!ok)
            return koe_fail(err, KOE_E_FORMAT, "%s: the .npy header's '%.*s' is malformed%s", what, KOE_STR_ARG(key),
                            h->n_dim == KOE_MAX_DIM ? " or has too many dimensions (at most 8)" : "");
        if (!take(&s, ',')) {
            skip_space(&s);
            if (!s.n || *s.p != '}') return koe_fail(err, KOE_E_FORMAT, "%s: the .npy header's end is missing", what);
        }
    }
    if (!h->has_descr || !h->has_order || !h->has_shape)
        return koe_fail(err, KOE_E_FORMAT, "%s: the .npy header needs the keys descr, fortran_order and shape", what);
    return KOE_OK;
}

static koe_status parse_descr(koe_dtype *out, koe_str d, const char *what, koe_error *err)
{
    if (d.n == 3 && d.p[0] == '>' && d.p[2] != '1')
        return koe_fail(err, KOE_E_UNSUPPORTED, "%s: big-endian numbers ('%.*s'); save them as '<%.*s'", what, KOE_STR_ARG(d),
                        KOE_STR_ARG(koe_str_sub(d, 1, 2)));
    if (d.n == 3 && strchr("<|=>", d.p[0]))
        for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
            if (descriptors[i].kind == d.p[1] && descriptors[i].size == d.p[2]) {
                *out = descriptors[i].dtype;
                return KOE_OK;
            }
    return koe_fail(err, KOE_E_UNSUPPORTED, "%s: arrays of type '%.*s' are not supported", what, (int)(d.n > 40 ? 40 : d.n), d.p);
}

/* ---- elements ------------------------------------------------------------------------------------------------------------ */

/* `from` holds the elements with the first dimension running fastest; `t` gets them with the last running fastest. */
static void transpose(koe_tensor *t, const unsigned char *from)
{
    size_t size = koe_dtype_size(t->dtype), n = koe_tensor_count(t);
    size_t stride[KOE_MAX_DIM], index[KOE_MAX_DIM] = { 0 }, at = 0;
    for (int i = 0; i < t->n_dim; i++) stride[i] = i ? stride[i - 1] * (size_t)t->dim[i - 1] : 1;
    for (size_t k = 0; k < n; k++) {
        memcpy((unsigned char *)t->data + k * size, from + at * size, size);
        for (int i = t->n_dim - 1; i >= 0; i--) {
            at += stride[i];
            if (++index[i] < (size_t)t->dim[i]) break;
            at -= stride[i] * (size_t)t->dim[i];
            index[i] = 0;
        }
    }
}

koe_status koe_npy_parse(koe_tensor *out, koe_arena *arena, const void *bytes, size_t n_bytes, const char *what, koe_error *err)
{
    const unsigned char *p = bytes;
    if (n_bytes < 10 || memcmp(p, magic, sizeof magic) != 0)
        return koe_fail(err, KOE_E_FORMAT, "%s is not a .npy array (it does not start with \\x93NUMPY)", what);
    size_t at = p[6] == 1 ? 10 : 12;
    if (p[6] < 1 || p[6] > 3) return koe_fail(err, KOE_E_UNSUPPORTED, "%s: .npy version %d; 1 to 3 are read", what, p[6]);
    if (n_bytes < at) return koe_fail(err, KOE_E_FORMAT, "%s: the .npy header is truncated", what);
    size_t n_header = p[8] | (size_t)p[9] << 8;
    if (at == 12) n_header |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (n_header > MAX_HEADER_BYTES) return koe_fail(err, KOE_E_LIMIT, "%s: a .npy header of %zu bytes", what, n_header);
    if (n_header > n_bytes - at) return koe_fail(err, KOE_E_FORMAT, "%s: the .npy header is truncated", what);

    header h;
    koe_status st = parse_header(&h, (koe_str){ (const char *)p + at, n_header }, what, err);
    if (st != KOE_OK) return st;
    koe_tensor t = { .n_dim = h.n_dim };
    memcpy(t.dim, h.dim, sizeof t.dim);
    st = parse_descr(&t.dtype, h.descr, what, err);
    if (st != KOE_OK) return st;
    size_t need;
    st = koe_shape_bytes(&need, t.dtype, t.n_dim, t.dim, err);
    if (st != KOE_OK) return koe_error_wrap(err, st, "%s", what);
    at += n_header;
    if (need != n_bytes - at)
        return koe_fail(err, KOE_E_FORMAT, "%s: the shape needs %zu bytes of elements, the file has %zu", what, need,
                        n_bytes - at);

    t.data = koe_arena_alloc(arena, need);
    if (!t.data) return koe_fail(err, KOE_E_NOMEM, "%s: %zu bytes", what, need);
    if (need && h.fortran_order && t.n_dim > 1) transpose(&t, p + at);
    else if (need) memcpy(t.data, p + at, need);
    if (t.dtype == KOE_DTYPE_BOOL)
        for (size_t i = 0; i < need; i++) ((uint8_t *)t.data)[i] = ((uint8_t *)t.data)[i] != 0;
    *out = t;
    return KOE_OK;
}

koe_status koe_npy_read(koe_tensor *out, koe_arena *arena, const char *path, koe_error *err)
{
    koe_mapping file;
    koe_status st = koe_file_map(&file, path, err);
    if (st != KOE_OK) return st;
    st = koe_npy_parse(out, arena, file.p, file.n, path, err);
    koe_file_unmap(&file);
    return st;
}

koe_status koe_npy_write(const koe_tensor *t, const char *path, koe_error *err)
{
    size_t d = 0, n_descriptors = sizeof descriptors / sizeof *descriptors;
    while (d < n_descriptors && descriptors[d].dtype != t->dtype) d++;
    if (d == n_descriptors)
        return koe_fail(err, KOE_E_UNSUPPORTED, "%s: .npy has no type for %s", path, koe_dtype_name(t->dtype));

    koe_buf text = { 0 };
    koe_buf_printf(&text, "{'descr': '%c%c%c', 'fortran_order': False, 'shape': (", descriptors[d].size == '1' ? '|' : '<',
                   descriptors[d].kind, descriptors[d].size);
    for (int i = 0; i < t->n_dim; i++)
        koe_buf_printf(&text, "%" PRId64 "%s", t->dim[i], t->n_dim == 1 ? "," : i + 1 < t->n_dim ? ", " : "");
    koe_buf_adds(&text, "), }");
    while (!text.failed && (10 + text.n + 1) % 64) koe_buf_addc(&text, ' ');
    koe_buf_addc(&text, '\n');

    koe_buf file = { 0 };
    koe_buf_add(&file, magic, sizeof magic);
    koe_buf_add(&file, (const char[]){ 1, 0, (char)(text.n & 255), (char)(text.n >> 8) }, 4);
    koe_buf_add_str(&file, koe_buf_str(&text));
    koe_buf_add(&file, t->data, koe_tensor_bytes(t));
    koe_status st = file.failed || text.failed ? koe_fail(err, KOE_E_NOMEM, "writing %s", path)
                                               : koe_file_write_atomic(path, file.data, file.n, err);
    koe_buf_free(&text);
    koe_buf_free(&file);
    return st;
}
