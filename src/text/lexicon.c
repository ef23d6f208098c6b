#include "text/lexicon.h"

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include "base/log.h"
#include "text/utf8.h"

enum { HAS_GOLD = 1, HAS_GOLD_POS = 2, HAS_SILVER = 4, HAS_PIECES = 8 };
enum { FORMAT_VERSION = 1, MAX_JSON = 64 * 1024 * 1024, N_SOURCES = 3 };

typedef struct source_stamp {
    int64_t size, mtime_ns;
} source_stamp;

typedef struct koe_lexicon_header {
    char magic[8]; /* "KOEKLEX" */
    uint32_t version, n_slots;
    uint64_t n_bytes; /* of the file */
    source_stamp source[N_SOURCES]; /* gold, silver, tokenizer exceptions; size -1: absent */
} koe_lexicon_header;

struct koe_lexicon {
    koe_mapping file; /* or */
    koe_buf memory; /* an image that could not be written */
    const unsigned char *p;
    size_t n;
    uint32_t n_slots;
    const uint32_t *slot;
};

static const char *const pos_names[KOE_N_POS] = { "DEFAULT", "NOUN", "VERB", "ADJ", "ADV", "VBD", "VBN", "VBP", "DT", "None" };

/* ---- looking up ---- */

static uint32_t hash32(koe_str key)
{
    uint64_t h = koe_str_hash(key);
    return (uint32_t)(h ^ h >> 32);
}

/* The record of a key: its first byte after the key, and *end; NULL when there is none. Offsets are checked: the file may be damaged. */
static const unsigned char *find_record(const koe_lexicon *l, koe_str key)
{
    if (key.n == 0 || key.n > 255) return NULL;
    uint32_t h = hash32(key);
    for (uint32_t i = 0; i < l->n_slots; i++) {
        const uint32_t *slot = l->slot + 2 * (size_t)((h + i) & (l->n_slots - 1));
        if (slot[1] == 0) return NULL;
        if (slot[0] != h || slot[1] >= l->n || l->n - slot[1] < key.n + 2u) continue;
        const unsigned char *r = l->p + slot[1];
        if (r[0] == key.n && memcmp(r + 1, key.p, key.n) == 0) return r + 1 + key.n;
    }
    return NULL;
}

/* A length byte and its bytes at *p; empty and *p NULL beyond the end. */
static koe_str take_value(const koe_lexicon *l, const unsigned char **p)
{
    const unsigned char *end = l->p + l->n;
    if (!*p || *p >= end) return *p = NULL, (koe_str){ NULL, 0 };
    size_t n = **p;
    if (n == 255) return *p += 1, (koe_str){ "", 0 };
    if ((size_t)(end - *p) < n + 1) return *p = NULL, (koe_str){ NULL, 0 };
    koe_str v = { (const char *)*p + 1, n };
    *p += n + 1;
    return v;
}

static void take_by_pos(const koe_lexicon *l, const unsigned char **p, koe_entry *e)
{
    if (*p >= l->p + l->n) {
        *p = NULL;
        return;
    }
    size_t count = *(*p)++;
    while (count-- && *p && *p < l->p + l->n) {
        unsigned pos = *(*p)++;
        koe_str v = take_value(l, p);
        if (pos < KOE_N_POS) e->pos_value[pos] = v;
    }
}

static bool find_exact(const koe_lexicon *l, koe_str word, koe_entry *e)
{
    const unsigned char *p = find_record(l, word);
    if (!p) return false;
    unsigned kinds = *p++;
    if (!(kinds & (HAS_GOLD | HAS_GOLD_POS | HAS_SILVER))) return false;
    *e = (koe_entry){ .gold = (kinds & (HAS_GOLD | HAS_GOLD_POS)) != 0, .silver = (kinds & HAS_SILVER) != 0,
                      .by_pos = (kinds & HAS_GOLD_POS) != 0 };
    if (e->by_pos) take_by_pos(l, &p, e);
    else if (e->gold) e->gold_value = take_value(l, &p);
    if (e->silver) e->silver_value = take_value(l, &p);
    return true;
}

/* The other case of a word: "house" for "House" and the other way round; false when the word is neither lower-case nor Capitalised. */
static bool other_case(koe_str word, char *out, size_t cap, size_t *n)
{
    if (word.n + 4 > cap) return false;
    size_t first = 0;
    uint32_t c = koe_utf8_next(word, &first);
    for (size_t at = first; at < word.n;) {
        uint32_t d = koe_utf8_next(word, &at);
        if (d < 0x80 ? d >= 'A' && d <= 'Z' : u_tolower((UChar32)d) != (UChar32)d) return false;
    }
    bool lower = u_tolower((UChar32)c) == (UChar32)c;
    uint32_t other = (uint32_t)(lower ? u_toupper((UChar32)c) : u_tolower((UChar32)c));
    if (other == c) return false;
    koe_buf b = { 0 };
    koe_utf8_put(&b, other);
    if (b.failed) return false;
    memcpy(out, b.data, b.n);
    memcpy(out + b.n, word.p + first, word.n - first);
    *n = b.n + word.n - first;
    koe_buf_free(&b);
    return true;
}

bool koe_lexicon_find(const koe_lexicon *l, koe_str word, koe_entry *out)
{
    char other[260];
    size_t n;
    koe_entry grown;
    bool exact = find_exact(l, word, out);
    if (exact && out->gold && out->silver) return true;
    /* gold and silver are dictionaries of their own: each falls back on the other spelling by itself. */
    if (word.n < 2 || koe_utf8_count(koe_str_sub(word, 0, 8)) < 2 || !other_case(word, other, sizeof other, &n)) return exact;
    if (!find_exact(l, (koe_str){ other, n }, &grown)) return exact;
    if (!exact) return *out = grown, true;
    if (!out->gold && grown.gold) {
        out->gold = true;
        out->by_pos = grown.by_pos;
        out->gold_value = grown.gold_value;
        memcpy(out->pos_value, grown.pos_value, sizeof out->pos_value);
    }
    if (!out->silver && grown.silver) out->silver = true, out->silver_value = grown.silver_value;
    return true;
}

koe_str koe_lexicon_pieces(const koe_lexicon *l, koe_str form)
{
    const unsigned char *p = find_record(l, form);
    koe_entry skip = { 0 };
    if (!p || !(*p & HAS_PIECES)) return (koe_str){ "", 0 };
    unsigned kinds = *p++;
    if (kinds & HAS_GOLD_POS) take_by_pos(l, &p, &skip);
    else if (kinds & HAS_GOLD) take_value(l, &p);
    if (kinds & HAS_SILVER) take_value(l, &p);
    koe_str v = take_value(l, &p);
    return v.p ? v : (koe_str){ "", 0 };
}

/* ---- compiling ---- */

/* Written when the table of exceptions is not installed: the forms whose dot or parts matter most. */
static const char builtin_pieces[] =
    "Mr.\tMr.\nMrs.\tMrs.\nMs.\tMs.\nDr.\tDr.\nProf.\tProf.\nSt.\tSt.\nMt.\tMt.\nGen.\tGen.\nGov.\tGov.\nRep.\tRep.\nSen.\tSen.\nInc.\tInc.\n"
    "Co.\tCo.\nCorp.\tCorp.\nLtd.\tLtd.\nJr.\tJr.\nSr.\tSr.\ne.g.\te.g.\ni.e.\ti.e.\na.m.\ta.m.\np.m.\tp.m.\nPh.D.\tPh.D.\nD.C.\tD.C.\nvs.\tvs.\n"
    "Jan.\tJan.\nFeb.\tFeb.\nMar.\tMar.\nApr.\tApr.\nJun.\tJun.\nJul.\tJul.\nAug.\tAug.\nSep.\tSep.\nSept.\tSept.\nOct.\tOct.\nNov.\tNov.\n"
    "Dec.\tDec.\ndon't\tdo n't\ncan't\tca n't\nwon't\two n't\nI'm\tI 'm\ncannot\tcan not\no'clock\to'clock\nma'am\tma'am\n";

typedef struct builder {
    json_t *gold, *silver, *pieces; /* pieces: form -> pieces */
    koe_buf image;
    uint32_t n_slots;
} builder;

static json_t *load_json(const char *path, koe_error *err, koe_status *st)
{
    koe_buf text = { 0 };
    json_error_t e;
    json_t *j = NULL;
    *st = koe_file_read(&text, path, MAX_JSON, err);
    if (*st == KOE_OK) {
        j = json_loadb(text.data, text.n, 0, &e);
        if (!j) *st = koe_fail(err, KOE_E_FORMAT, "%s, line %d: %s", path, e.line, e.text);
        else if (!json_is_object(j)) *st = koe_fail(err, KOE_E_FORMAT, "%s is not an object of words", path);
    }
    koe_buf_free(&text);
    if (*st != KOE_OK) json_decref(j), j = NULL;
    return j;
}

static json_t *parse_pieces(koe_str text)
{
    json_t *table = json_object();
    for (size_t at = 0; table && at < text.n;) {
        const char *line = text.p + at, *end = memchr(line, '\n', text.n - at);
        size_t n = end ? (size_t)(end - line) : text.n - at;
        const char *tab = memchr(line, '\t', n);
        if (tab) {
            char *key = koe_str_dup((koe_str){ line, (size_t)(tab - line) });
            if (key) json_object_set_new(table, key, json_stringn(tab + 1, n - (size_t)(tab + 1 - line)));
            free(key);
        }
        at += n + 1;
    }
    return table;
}

static void put_value(koe_buf *out, json_t *v)
{
    size_t n = json_is_string(v) ? json_string_length(v) : 255;
    if (n > 254) n = 255;
    koe_buf_addc(out, (char)n);
    if (n < 255) koe_buf_add(out, json_string_value(v), n);
}

static void put_record(builder *b, const char *key, json_t *gold, json_t *silver, json_t *pieces)
{
    koe_buf *out = &b->image;
    size_t n_key = strlen(key);
    koe_buf_addc(out, (char)n_key);
    koe_buf_add(out, key, n_key);
    bool by_pos = json_is_object(gold);
    koe_buf_addc(out, (char)((gold ? by_pos ? HAS_GOLD_POS : HAS_GOLD : 0) | (silver ? HAS_SILVER : 0) | (pieces ? HAS_PIECES : 0)));
    if (by_pos) {
        size_t count_at = out->n;
        koe_buf_addc(out, 0);
        for (unsigned pos = 0; pos < KOE_N_POS; pos++) {
            json_t *v = json_object_get(gold, pos_names[pos]);
            if (!v) continue;
            koe_buf_addc(out, (char)pos);
            put_value(out, v);
            if (!out->failed) out->data[count_at]++;
        }
    } else if (gold) put_value(out, gold);
    if (silver) put_value(out, silver);
    if (pieces) put_value(out, pieces);
}

static void add_key(builder *b, const char *key)
{
    size_t n_key = strlen(key);
    if (n_key == 0 || n_key > 255 || b->image.failed) return;
    uint32_t h = hash32((koe_str){ key, n_key });
    uint32_t *slots = (uint32_t *)(void *)(b->image.data + sizeof(koe_lexicon_header));
    uint32_t i = h & (b->n_slots - 1);
    while (slots[2 * (size_t)i + 1]) i = (i + 1) & (b->n_slots - 1);
    slots[2 * (size_t)i] = h;
    slots[2 * (size_t)i + 1] = (uint32_t)b->image.n;
    put_record(b, key, json_object_get(b->gold, key), json_object_get(b->silver, key), json_object_get(b->pieces, key));
}

static koe_status make_image(builder *b, const source_stamp *stamp, koe_error *err)
{
    size_t n = json_object_size(b->gold) + json_object_size(b->silver) + json_object_size(b->pieces);
    for (b->n_slots = 1024; b->n_slots < n + n / 2; b->n_slots *= 2) {}
    size_t table = sizeof(koe_lexicon_header) + (size_t)b->n_slots * 8;
    if (!koe_buf_reserve(&b->image, table + n * 48)) return koe_fail(err, KOE_E_NOMEM, "lexicon");
    memset(b->image.data, 0, table);
    b->image.n = table;
    const char *key;
    json_t *v;
    json_object_foreach(b->gold, key, v) add_key(b, key);
    json_object_foreach(b->silver, key, v) if (!json_object_get(b->gold, key)) add_key(b, key);
    json_object_foreach(b->pieces, key, v)
        if (!json_object_get(b->gold, key) && !json_object_get(b->silver, key)) add_key(b, key);
    if (b->image.failed || b->image.n > UINT32_MAX) return koe_fail(err, KOE_E_NOMEM, "lexicon");
    koe_lexicon_header h = { .magic = "KOEKLEX", .version = FORMAT_VERSION, .n_slots = b->n_slots, .n_bytes = b->image.n };
    memcpy(h.source, stamp, sizeof h.source);
    memcpy(b->image.data, &h, sizeof h);
    return KOE_OK;
}

static koe_status compile(koe_buf *image, char *const path[N_SOURCES], const source_stamp *stamp, koe_error *err)
{
    builder b = { 0 };
    koe_buf exceptions = { 0 };
    koe_status st;
    b.gold = load_json(path[0], err, &st);
    if (st == KOE_OK && stamp[1].size >= 0) b.silver = load_json(path[1], err, &st);
    if (st == KOE_OK && stamp[2].size >= 0) st = koe_file_read(&exceptions, path[2], MAX_JSON, err);
    if (st == KOE_OK) {
        b.pieces = parse_pieces(exceptions.n ? koe_buf_str(&exceptions) : koe_str_of(builtin_pieces));
        st = b.pieces ? make_image(&b, stamp, err) : koe_fail(err, KOE_E_NOMEM, "lexicon");
    }
    koe_buf_free(&exceptions);
    json_decref(b.gold), json_decref(b.silver), json_decref(b.pieces);
    if (st == KOE_OK) *image = b.image;
    else koe_buf_free(&b.image);
    return st;
}

/* ---- opening ---- */

static source_stamp stamp_of(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0) return (source_stamp){ -1, 0 };
    return (source_stamp){ (int64_t)s.st_size, (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec };
}

/* Points l at an image; false when it is not one, is damaged, or was made from other sources. */
static bool adopt(koe_lexicon *l, const void *p, size_t n, const source_stamp *stamp)
{
    koe_lexicon_header h;
    if (n < sizeof h) return false;
    memcpy(&h, p, sizeof h);
    if (memcmp(h.magic, "KOEKLEX", 8) != 0 || h.version != FORMAT_VERSION || h.n_bytes != n) return false;
    if (h.n_slots < 1 || (h.n_slots & (h.n_slots - 1)) != 0 || h.n_slots > (n - sizeof h) / 8) return false;
    if (memcmp(h.source, stamp, sizeof h.source) != 0) return false;
    l->p = p;
    l->n = n;
    l->n_slots = h.n_slots;
    l->slot = (const uint32_t *)(const void *)(l->p + sizeof h);
    return true;
}

static bool open_file(koe_lexicon *l, const char *path, const source_stamp *stamp)
{
    if (koe_file_map(&l->file, path, NULL) != KOE_OK) return false;
    if (adopt(l, l->file.p, l->file.n, stamp)) return true;
    koe_file_unmap(&l->file);
    return false;
}

/* malloc()ed ~/.cache/koe/en-us-<hash of dir>.klex; NULL without a home. */
static char *cache_path(const char *dir, const char *name)
{
    char *cache = koe_path_cache();
    char *full = realpath(dir, NULL);
    koe_buf path = { 0 };
    if (cache) koe_buf_printf(&path, "%s/%s-%016llx.klex", cache, name, (unsigned long long)koe_str_hash(koe_str_of(full ? full : dir)));
    free(full);
    free(cache);
    return path.failed ? NULL : path.data;
}

static bool write_image(const char *path, const koe_buf *image)
{
    return koe_file_make_parent(path, NULL) == KOE_OK && koe_file_write_atomic(path, image->data, image->n, NULL) == KOE_OK;
}

typedef struct places {
    char *source[N_SOURCES];
    char *beside, *cache; /* the compiled file; cache may be NULL */
    source_stamp stamp[N_SOURCES];
} places;

static void free_places(places *p)
{
    for (size_t i = 0; i < N_SOURCES; i++) free(p->source[i]);
    free(p->beside), free(p->cache);
}

static koe_status find_places(places *p, const char *dir, const char *accent, koe_error *err)
{
    char name[48];
    *p = (places){ 0 };
    if (strlen(accent) > 8) return koe_fail(err, KOE_E_ARGUMENT, "no accent %s", accent);
    snprintf(name, sizeof name, "%s_gold.json", accent);
    p->source[0] = koe_path_join(dir, name);
    snprintf(name, sizeof name, "%s_silver.json", accent);
    p->source[1] = koe_path_join(dir, name);
    p->source[2] = koe_path_join(dir, "en/spacy_tokenizer_exceptions.tsv");
    snprintf(name, sizeof name, "en-%s.klex", accent);
    p->beside = koe_path_join(dir, name);
    name[strlen(name) - 5] = 0;
    p->cache = cache_path(dir, name);
    if (!p->source[0] || !p->source[1] || !p->source[2] || !p->beside) return koe_fail(err, KOE_E_NOMEM, "lexicon");
    for (size_t i = 0; i < N_SOURCES; i++) p->stamp[i] = stamp_of(p->source[i]);
    if (p->stamp[0].size < 0) return koe_fail(err, KOE_E_NOT_FOUND, "no dictionary %s", p->source[0]);
    return KOE_OK;
}

koe_status koe_lexicon_open(koe_lexicon **out, const char *dir, const char *accent, koe_error *err)
{
    places at;
    koe_lexicon *l = calloc(1, sizeof *l);
    koe_status st = l ? find_places(&at, dir, accent, err) : koe_fail(err, KOE_E_NOMEM, "lexicon");
    if (!l) return st;
    if (st == KOE_OK && !open_file(l, at.beside, at.stamp) && !(at.cache && open_file(l, at.cache, at.stamp))) {
        koe_buf image = { 0 };
        st = compile(&image, at.source, at.stamp, err);
        if (st == KOE_OK && !(write_image(at.beside, &image) && open_file(l, at.beside, at.stamp)) &&
            !(at.cache && write_image(at.cache, &image) && open_file(l, at.cache, at.stamp))) {
            l->memory = image;
            image = (koe_buf){ 0 };
            adopt(l, l->memory.data, l->memory.n, at.stamp);
            koe_log(KOE_LOG_INFO, "the compiled lexicon cannot be written beside %s; it stays in memory", at.source[0]);
        }
        koe_buf_free(&image);
    }
    free_places(&at);
    if (st != KOE_OK) {
        koe_lexicon_close(l);
        return st;
    }
    *out = l;
    return KOE_OK;
}

void koe_lexicon_close(koe_lexicon *l)
{
    if (!l) return;
    koe_file_unmap(&l->file);
    koe_buf_free(&l->memory);
    free(l);
}

koe_status koe_lexicon_build(const char *dir, koe_error *err)
{
    static const char *const accents[] = { "us", "gb" };
    koe_status st = KOE_OK;
    for (size_t i = 0; i < 2 && st == KOE_OK; i++) {
        places at;
        koe_buf image = { 0 };
        st = find_places(&at, dir, accents[i], err);
        if (st == KOE_OK) st = compile(&image, at.source, at.stamp, err);
        if (st == KOE_OK) st = koe_file_write_atomic(at.beside, image.data, image.n, err);
        if (st == KOE_OK) koe_log(KOE_LOG_INFO, "wrote %s, %zu bytes", at.beside, image.n);
        koe_buf_free(&image);
        free_places(&at);
    }
    return st;
}
