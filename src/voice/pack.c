/* pack.c - opens pack files, whatever their format, and reads the raw and the zipped ones. */
#include "voice/pack.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/file.h"
#include "voice/pack_read.h"

enum { ROW_BYTES = KOE_STYLE_DIM * sizeof(float) };
/* A float64 pack of the largest size, and a header. */
enum { MAX_ENTRY_BYTES = KOE_PACK_MAX_ROWS * KOE_STYLE_DIM * 8 + 4096 };

struct koe_pack_file {
    koe_mapping file; /* empty when parsed from memory */
    koe_str bytes;
    char *what;
    zip_t *zip; /* NULL: not a zip */
    bool is_pt;
    pack_entry *entry;
    size_t n_entry;
    koe_arena arena;
};

/* "voices/af_heart.bin" -> "af_heart". */
static koe_str stem_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    koe_str s = koe_str_of(slash ? slash + 1 : path);
    for (size_t i = s.n; i > 1; i--)
        if (s.p[i - 1] == '.') return koe_str_sub(s, 0, i - 1);
    return s;
}

/* [n,1,256] or [n,256] of any floating type as float rows in the arena (in place when it already is). */
static koe_status from_tensor(pack_entry *e, koe_arena *arena, const koe_tensor *t, const char *what, koe_error *err)
{
    char shape[128];
    bool fits = (t->n_dim == 3 && t->dim[1] == 1 && t->dim[2] == KOE_STYLE_DIM) || (t->n_dim == 2 && t->dim[1] == KOE_STYLE_DIM);
    if (!fits || t->dim[0] < 1 || t->dim[0] > KOE_PACK_MAX_ROWS || !koe_dtype_is_float(t->dtype))
        return koe_fail(err, KOE_E_FORMAT, "%s: a voice pack is float [n,1,256] with n up to %d, this is %s", what,
                        KOE_PACK_MAX_ROWS, koe_tensor_describe(t, shape, sizeof shape));
    size_t n = koe_tensor_count(t);
    const char *from = t->data;
    float *row =
        (uintptr_t)from % sizeof(float) == 0 && t->dtype == KOE_DTYPE_F32 ? t->data : koe_arena_array(arena, n, sizeof *row);
    if (!row) return koe_fail(err, KOE_E_NOMEM, "%s", what);
    for (size_t i = 0; (void *)row != t->data && i < n; i++) {
        uint16_t half;
        double f64;
        switch (t->dtype) {
        case KOE_DTYPE_F64:
            memcpy(&f64, from + i * 8, 8);
            row[i] = (float)f64;
            break;
        case KOE_DTYPE_F32: memcpy(&row[i], from + i * 4, 4); break;
        default:
            memcpy(&half, from + i * 2, 2);
            row[i] = t->dtype == KOE_DTYPE_F16 ? koe_f16_to_f32(half) : koe_bf16_to_f32(half);
        }
    }
    e->row = row;
    e->n_rows = (size_t)t->dim[0];
    return KOE_OK;
}

koe_status koe_pack_unzip(koe_str *out, koe_arena *arena, zip_t *zip, uint64_t index, size_t max_bytes, const char *what,
                          koe_error *err)
{
    zip_stat_t s;
    if (zip_stat_index(zip, index, 0, &s) != 0 || !(s.valid & ZIP_STAT_SIZE) || !(s.valid & ZIP_STAT_NAME))
        return koe_fail(err, KOE_E_FORMAT, "%s: cannot read the zip's entry %" PRIu64, what, index);
    if (s.size > max_bytes)
        return koe_fail(err, KOE_E_LIMIT, "%s: entry %s has %" PRIu64 " bytes, the limit is %zu", what, s.name, (uint64_t)s.size,
                        max_bytes);
    char *p = koe_arena_alloc(arena, (size_t)s.size + 1);
    if (!p) return koe_fail(err, KOE_E_NOMEM, "%s: entry %s", what, s.name);
    zip_file_t *f = zip_fopen_index(zip, index, 0);
    zip_int64_t n = f ? zip_fread(f, p, s.size) : -1;
    char beyond;
    /* Reading to the end makes libzip compare the checksum. */
    bool whole = n >= 0 && (zip_uint64_t)n == s.size && zip_fread(f, &beyond, 1) == 0;
    if (f) zip_fclose(f);
    if (!whole) return koe_fail(err, KOE_E_FORMAT, "%s: entry %s is damaged", what, s.name);
    *out = (koe_str){ p, (size_t)s.size };
    return KOE_OK;
}

static koe_status add_entry(koe_pack_file *f, koe_str name, uint64_t zip_index, koe_error *err)
{
    pack_entry *e = &f->entry[f->n_entry];
    e->name = koe_arena_str(&f->arena, name);
    e->zip_index = zip_index;
    if (!e->name.p) return koe_fail(err, KOE_E_NOMEM, "%s", f->what);
    f->n_entry++;
    return KOE_OK;
}

static koe_status list_zip(koe_pack_file *f, koe_error *err)
{
    zip_error_t zerr;
    zip_error_init(&zerr);
    zip_source_t *source = zip_source_buffer_create(f->bytes.p, f->bytes.n, 0, &zerr);
    f->zip = source ? zip_open_from_source(source, ZIP_RDONLY, &zerr) : NULL;
    koe_status st = f->zip ? KOE_OK : koe_fail(err, KOE_E_FORMAT, "%s: %s", f->what, zip_error_strerror(&zerr));
    if (source && !f->zip) zip_source_free(source);
    zip_error_fini(&zerr);
    if (st != KOE_OK) return st;
    zip_int64_t n = zip_get_num_entries(f->zip, 0);
    if (n > KOE_PACK_MAX_VOICES)
        return koe_fail(err, KOE_E_LIMIT, "%s: %" PRId64 " entries, the limit is %d", f->what, (int64_t)n, KOE_PACK_MAX_VOICES);
    if (!(f->entry = koe_arena_array(&f->arena, (size_t)(n > 0 ? n : 1), sizeof *f->entry)))
        return koe_fail(err, KOE_E_NOMEM, "%s", f->what);
    for (zip_uint64_t i = 0; st == KOE_OK && i < (zip_uint64_t)n; i++) {
        koe_str name = koe_str_of(zip_get_name(f->zip, i, 0));
        if (koe_str_is(name, "data.pkl") || koe_str_ends(name, KOE_STR("/data.pkl"))) {
            f->is_pt = true;
            f->n_entry = 0;
            return add_entry(f, stem_of(f->what), i, err);
        }
        if (name.n > 4 && koe_str_ends(name, KOE_STR(".npy"))) st = add_entry(f, koe_str_sub(name, 0, name.n - 4), i, err);
    }
    if (st == KOE_OK && f->n_entry == 0)
        st = koe_fail(err, KOE_E_FORMAT, "%s is a zip without voices: neither NAME.npy nor data.pkl is in it", f->what);
    return st;
}

static koe_status list_raw(koe_pack_file *f, koe_error *err)
{
    size_t n = f->bytes.n;
    if (n == 0) return koe_fail(err, KOE_E_FORMAT, "%s is empty", f->what);
    if (n % ROW_BYTES != 0 || n / ROW_BYTES > KOE_PACK_MAX_ROWS)
        return koe_fail(err, KOE_E_FORMAT,
                        "%s is not a voice pack: %zu bytes; a raw one has 1024 for each length of utterance, 522240 as a rule",
                        f->what, n);
    if (!(f->entry = koe_arena_array(&f->arena, 1, sizeof *f->entry))) return koe_fail(err, KOE_E_NOMEM, "%s", f->what);
    return add_entry(f, stem_of(f->what), 0, err);
}

static koe_status list_packs(koe_pack_file *f, koe_error *err)
{
    koe_str text = koe_str_trim(koe_str_sub(f->bytes, 0, 64));
    if (koe_str_starts(f->bytes, KOE_STR("PK\3\4")) || koe_str_starts(f->bytes, KOE_STR("PK\5\6"))) return list_zip(f, err);
    if (koe_str_starts(text, KOE_STR("{")) && (f->bytes.n % ROW_BYTES != 0 || memchr(text.p, '"', text.n)))
        return koe_pack_read_json(&f->entry, &f->n_entry, &f->arena, f->bytes, f->what, err);
    if (koe_str_starts(text, KOE_STR("version https://git-lfs")))
        return koe_fail(err, KOE_E_FORMAT, "%s is a git-lfs pointer, not the voice pack itself: fetch it with `git lfs pull`",
                        f->what);
    if (koe_str_starts(f->bytes, KOE_STR("\200\2")) && f->bytes.n % ROW_BYTES != 0)
        return koe_fail(err, KOE_E_UNSUPPORTED, "%s is a PyTorch file from before version 1.6; save it again with a newer one",
                        f->what);
    return list_raw(f, err);
}

koe_status koe_pack_file_parse(koe_pack_file **out, const void *bytes, size_t n_bytes, const char *what, koe_error *err)
{
    koe_pack_file *f = calloc(1, sizeof *f);
    if (!f || !(f->what = koe_str_dup(koe_str_of(what)))) {
        free(f);
        return koe_fail(err, KOE_E_NOMEM, "%s", what);
    }
    f->bytes = (koe_str){ bytes, n_bytes };
    koe_status st = list_packs(f, err);
    if (st != KOE_OK) {
        koe_pack_file_close(f);
        return st;
    }
    *out = f;
    return KOE_OK;
}

koe_status koe_pack_file_open(koe_pack_file **out, const char *path, koe_error *err)
{
    koe_mapping m;
    koe_status st = koe_file_map(&m, path, err);
    if (st != KOE_OK) return st;
    st = koe_pack_file_parse(out, m.p, m.n, path, err);
    if (st == KOE_OK) (*out)->file = m;
    else koe_file_unmap(&m);
    return st;
}

void koe_pack_file_close(koe_pack_file *f)
{
    if (!f) return;
    if (f->zip) zip_discard(f->zip);
    koe_file_unmap(&f->file);
    koe_arena_free(&f->arena);
    free(f->what);
    free(f);
}

size_t koe_pack_file_count(const koe_pack_file *f) { return f->n_entry; }
koe_str koe_pack_file_name(const koe_pack_file *f, size_t i) { return f->entry[i].name; }

static koe_status load_entry(koe_pack_file *f, pack_entry *e, koe_error *err)
{
    koe_tensor t = { 0 };
    koe_status st = KOE_OK;
    if (!f->zip) {
        t = (koe_tensor){ KOE_DTYPE_F32, 2, { (int64_t)(f->bytes.n / ROW_BYTES), KOE_STYLE_DIM }, (void *)(uintptr_t)f->bytes.p };
    } else if (f->is_pt) {
        st = koe_pack_read_pt(&t, &f->arena, f->zip, e->zip_index, f->what, err);
    } else {
        koe_arena scratch = { 0 };
        koe_str npy;
        st = koe_pack_unzip(&npy, &scratch, f->zip, e->zip_index, MAX_ENTRY_BYTES, f->what, err);
        if (st == KOE_OK) st = koe_npy_parse(&t, &f->arena, npy.p, npy.n, e->name.p, err);
        koe_arena_free(&scratch);
    }
    return st == KOE_OK ? from_tensor(e, &f->arena, &t, f->what, err) : st;
}

koe_status koe_pack_file_load(koe_pack_file *f, size_t i, koe_pack *out, koe_error *err)
{
    pack_entry *e = &f->entry[i];
    koe_status st = e->row ? KOE_OK : load_entry(f, e, err);
    if (st == KOE_OK) *out = (koe_pack){ e->name, e->row, e->n_rows };
    return st;
}

const float *koe_pack_style(const koe_pack *p, size_t n_phonemes)
{
    size_t row = p->n_rows == KOE_PACK_ROWS_V019 ? n_phonemes : n_phonemes ? n_phonemes - 1 : 0;
    return p->row + (row < p->n_rows ? row : p->n_rows - 1) * KOE_STYLE_DIM;
}
