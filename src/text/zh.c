/* zh.c - Mandarin: segmentation, readings, symbols.
 * The tables are text files (table.h). */
#include "text/zh.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "text/table.h"
#include "text/utf8.h"

enum { MAX_WORD = 20 }; /* characters of the longest word that is tried */

enum { STATE_B, STATE_M, STATE_E, STATE_S, N_STATE };
#define NEVER (-3.14e100)

struct koe_zh {
    koe_table words; /* word, count, tag */
    koe_table chars, phrases, syllables;
    uint32_t *lengths; /* for each BMP character: bit n set when a word of n characters starts with it */
    double log_total;
    double start[N_STATE], trans[N_STATE][N_STATE];
    float *emit; /* [0x10000][N_STATE] */
};

/* ---- opening ---- */

static double count_of(koe_str value) { return value.n ? strtod(value.p, NULL) : 0; }

static koe_status index_words(koe_zh *z, koe_error *err)
{
    z->lengths = calloc(0x10000, sizeof *z->lengths);
    if (!z->lengths) return koe_fail(err, KOE_E_NOMEM, "Chinese words");
    double total = 0;
    for (size_t at = 0; at < z->words.file.n;) {
        koe_str key = koe_table_line(&z->words, &at);
        uint32_t first = koe_utf8_first(key);
        size_t n = koe_utf8_count(key);
        total += count_of(koe_table_find(&z->words, key));
        if (first < 0x10000 && n < MAX_WORD) z->lengths[first] |= 1u << n;
    }
    z->log_total = log(total > 1 ? total : 1);
    return KOE_OK;
}

static koe_status load_model(koe_zh *z, const char *dir, koe_error *err)
{
    static const char *const names[N_STATE] = { "B", "M", "E", "S" };
    char *path = koe_path_join(dir, "jieba_hmm.json");
    z->emit = malloc(0x10000 * N_STATE * sizeof *z->emit);
    json_error_t e;
    json_t *j = path && z->emit ? json_load_file(path, 0, &e) : NULL;
    koe_status st = j ? KOE_OK : koe_fail(err, KOE_E_FORMAT, "%s: not the model of Chinese words", path ? path : "");
    for (size_t i = 0; st == KOE_OK && i < 0x10000 * (size_t)N_STATE; i++) z->emit[i] = -INFINITY;
    for (int s = 0; st == KOE_OK && s < N_STATE; s++) {
        json_t *start = json_object_get(json_object_get(j, "start"), names[s]), *trans = json_object_get(json_object_get(j, "trans"), names[s]);
        z->start[s] = start ? json_number_value(start) : NEVER;
        for (int k = 0; k < N_STATE; k++) {
            json_t *v = json_object_get(trans, names[k]);
            z->trans[s][k] = v ? json_number_value(v) : NEVER;
        }
        const char *c;
        json_t *v;
        json_object_foreach(json_object_get(json_object_get(j, "emit"), names[s]), c, v)
        {
            uint32_t cp = koe_utf8_first(koe_str_of(c));
            if (cp < 0x10000) z->emit[cp * N_STATE + (size_t)s] = (float)json_number_value(v);
        }
    }
    json_decref(j);
    free(path);
    return st;
}

koe_status koe_zh_open(koe_zh **out, const char *dir, koe_error *err)
{
    koe_zh *z = calloc(1, sizeof *z);
    if (!z) return koe_fail(err, KOE_E_NOMEM, "Chinese tables");
    koe_status st = koe_table_open(&z->words, dir, "jieba_dict.txt", ' ', err);
    if (st == KOE_OK) st = koe_table_open(&z->chars, dir, "char_pinyin.tsv", '\t', err);
    if (st == KOE_OK) st = koe_table_open(&z->phrases, dir, "phrase_pinyin.tsv", '\t', err);
    if (st == KOE_OK) st = koe_table_open(&z->syllables, dir, "pinyin_ipa.tsv", '\t', err);
    if (st == KOE_OK) st = index_words(z, err);
    if (st == KOE_OK) st = load_model(z, dir, err);
    if (st != KOE_OK) {
        koe_zh_close(z);
        return st;
    }
    *out = z;
    return KOE_OK;
}

void koe_zh_close(koe_zh *z)
{
    if (!z) return;
    koe_table_close(&z->words), koe_table_close(&z->chars), koe_table_close(&z->phrases), koe_table_close(&z->syllables);
    free(z->lengths);
    free(z->emit);
    free(z);
}

/* ---- segmentation ---- */

/* A run of characters: offset[i] is where the i-th starts in the text, offset[n] the end. */
typedef struct run {
    koe_str text;
    size_t *offset, n;
    bool *starts; /* result: a word starts at character i */
} run;

static koe_str run_slice(const run *r, size_t from, size_t to) { return koe_str_sub(r->text, r->offset[from], r->offset[to] - r->offset[from]); }

static double emission(const koe_zh *z, uint32_t c, int state)
{
    float v = c < 0x10000 ? z->emit[c * N_STATE + (size_t)state] : -INFINITY;
    return isinf(v) ? NEVER : (double)v;
}

/* Viterbi over characters [from, to): words that the dictionary does not know. */
static bool split_unknown(const koe_zh *z, run *r, size_t from, size_t to)
{
    static const int before[N_STATE][2] = { { STATE_E, STATE_S }, { STATE_M, STATE_B }, { STATE_B, STATE_M }, { STATE_S, STATE_E } };
    size_t n = to - from;
    double *v = malloc(n * N_STATE * sizeof *v);
    unsigned char *back = malloc(n * N_STATE);
    if (!v || !back) {
        free(v), free(back);
        return false;
    }
    for (size_t t = 0; t < n; t++)
        for (int s = 0; s < N_STATE; s++) {
            double e = emission(z, koe_utf8_first(run_slice(r, from + t, from + t + 1)), s);
            if (t == 0) {
                v[s] = z->start[s] + e;
                continue;
            }
            int a = before[s][0], b = before[s][1];
            double pa = v[(t - 1) * N_STATE + (size_t)a] + z->trans[a][s] + e, pb = v[(t - 1) * N_STATE + (size_t)b] + z->trans[b][s] + e;
            v[t * N_STATE + (size_t)s] = pa >= pb ? pa : pb;
            back[t * N_STATE + (size_t)s] = (unsigned char)(pa >= pb ? a : b);
        }
    int s = v[(n - 1) * N_STATE + STATE_S] >= v[(n - 1) * N_STATE + STATE_E] ? STATE_S : STATE_E;
    for (size_t t = n; t-- > 0;) {
        r->starts[from + t] = s == STATE_B || s == STATE_S || t == 0;
        if (t) s = back[t * N_STATE + (size_t)s];
    }
    free(v), free(back);
    return true;
}

/* Single characters in a row: a known word is read by its characters, else the model finds words in it. */
static bool settle_singles(const koe_zh *z, run *r, size_t from, size_t to)
{
    if (to - from < 2) return true;
    koe_str s = run_slice(r, from, to);
    if (count_of(koe_table_find(&z->words, s)) > 0) return true;
    return split_unknown(z, r, from, to);
}

/* jieba: the most probable path through the words of the dictionary; then the model for what it left in single characters. */
static bool segment(const koe_zh *z, run *r)
{
    double *best = malloc((r->n + 1) * sizeof *best);
    size_t *end = malloc((r->n + 1) * sizeof *end), singles = 0;
    bool ok = best && end;
    if (ok) best[r->n] = 0;
    for (size_t i = r->n; ok && i-- > 0;) {
        uint32_t first = koe_utf8_first(run_slice(r, i, i + 1));
        uint32_t lengths = (first < 0x10000 ? z->lengths[first] : 0) | 2u;
        best[i] = -INFINITY;
        for (size_t n = 1; n < MAX_WORD && i + n <= r->n; n++) {
            if (!(lengths >> n & 1)) continue;
            double count = count_of(koe_table_find(&z->words, run_slice(r, i, i + n)));
            if (count <= 0 && n > 1) continue;
            double p = log(count > 0 ? count : 1) - z->log_total + best[i + n];
            if (p >= best[i]) best[i] = p, end[i] = i + n;
        }
    }
    for (size_t i = 0; ok && i < r->n; i = end[i]) {
        r->starts[i] = true;
        if (end[i] == i + 1) continue;
        ok = settle_singles(z, r, singles, i);
        singles = end[i];
    }
    ok = ok && settle_singles(z, r, singles, r->n);
    free(best), free(end);
    return ok;
}

/* ---- readings ---- */

static void put_syllable(const koe_zh *z, koe_buf *out, koe_str pinyin)
{
    koe_str ipa = koe_table_find(&z->syllables, pinyin);
    for (size_t at = 0; at < ipa.n;) {
        uint32_t c = koe_utf8_next(ipa, &at);
        if (c != 0x32f) koe_utf8_put(out, c);
    }
}

/* A word's phonemes: the longest phrase of the table at each place, else the character's first reading. */
static void put_word(const koe_zh *z, koe_buf *out, const run *r, size_t from, size_t to)
{
    while (from < to) {
        size_t end = to - from < MAX_WORD ? to : from + MAX_WORD; /* no phrase is longer */
        koe_str readings = { NULL, 0 };
        for (; end > from + 1 && !(readings = koe_table_find(&z->phrases, run_slice(r, from, end))).p; end--) {}
        if (end == from + 1) {
            readings = koe_table_find(&z->chars, run_slice(r, from, end));
            const char *comma = readings.n ? memchr(readings.p, ',', readings.n) : NULL;
            if (comma) readings.n = (size_t)(comma - readings.p);
        }
        for (size_t at = 0; at < readings.n; at++) {
            size_t start = at;
            while (at < readings.n && readings.p[at] != ' ') at++;
            put_syllable(z, out, koe_str_sub(readings, start, at - start));
        }
        from = end;
    }
}

static bool is_han(uint32_t c) { return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || c == 0x3007; }

static koe_status add_run(koe_block *b, const koe_zh *z, koe_str text, size_t at, koe_error *err)
{
    run r = { .text = text, .n = koe_utf8_count(text) };
    r.offset = malloc((r.n + 1) * sizeof *r.offset);
    r.starts = calloc(r.n + 1, sizeof *r.starts);
    koe_buf sound = { 0 };
    bool ok = r.offset && r.starts;
    for (size_t i = 0, here = 0; ok && i <= r.n; i++) {
        r.offset[i] = here;
        koe_utf8_next(text, &here);
    }
    ok = ok && segment(z, &r);
    for (size_t i = 0; ok && i < r.n;) {
        size_t end = i + 1;
        while (end < r.n && !r.starts[end]) end++;
        koe_buf_clear(&sound);
        put_word(z, &sound, &r, i, end);
        koe_block_add(b, at + r.offset[i], r.offset[end] - r.offset[i], koe_buf_str(&sound), sound.n > 0, end < r.n);
        i = end;
    }
    free(r.offset), free(r.starts);
    ok = ok && !sound.failed && !b->failed;
    koe_buf_free(&sound);
    return ok ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "Chinese text");
}

/* Chinese punctuation: the mark, and whether a space goes before or after it. */
static const struct {
    uint32_t c;
    const char *mark;
    bool before, after;
} marks[] = { { 0x3001, ",", false, true }, { 0xff0c, ",", false, true }, { 0x3002, ".", false, true }, { 0xff0e, ".", false, true },
    { 0xff01, "!", false, true }, { 0xff1a, ":", false, true }, { 0xff1b, ";", false, true }, { 0xff1f, "?", false, true }, { 0xab, "“", true, false },
    { 0xbb, "”", false, true }, { 0x300a, "“", true, false }, { 0x300b, "”", false, true }, { 0x300c, "“", true, false }, { 0x300d, "”", false, true },
    { 0x3010, "“", true, false }, { 0x3011, "”", false, true }, { 0xff08, "(", true, false }, { 0xff09, ")", false, true } };

static void add_mark(koe_block *b, koe_str text, size_t here, size_t n, size_t at)
{
    uint32_t c = koe_utf8_first(koe_str_sub(text, here, n));
    const char *mark = NULL;
    bool before = false, after = here + n < text.n && text.p[here + n] == ' ';
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (marks[i].c == c) mark = marks[i].mark, before = marks[i].before, after |= marks[i].after;
    koe_str sound = mark ? koe_str_of(mark) : koe_utf8_in(c, ";:,.!?—…\"“”()") ? koe_str_sub(text, here, n) : KOE_STR("");
    if (before && b->n) b->piece[b->n - 1].space = true;
    if (c == ' ' && b->n) b->piece[b->n - 1].space = true;
    if (c != ' ') koe_block_add(b, at + here, n, sound, false, after);
}

koe_status koe_zh_phonemise(koe_block *b, const koe_zh *z, koe_str text, size_t at, koe_error *err)
{
    koe_status st = KOE_OK;
    for (size_t here = 0; here < text.n && st == KOE_OK;) {
        size_t start = here;
        uint32_t c = koe_utf8_next(text, &here);
        if (!is_han(c)) {
            add_mark(b, text, start, here - start, at);
            continue;
        }
        for (size_t next = here; next < text.n; here = next)
            if (!is_han(koe_utf8_next(text, &next))) break;
        st = add_run(b, z, koe_str_sub(text, start, here - start), at + start, err);
    }
    return st;
}
