/* ja.c - Japanese phonemes with MeCab. */
#include "text/ja.h"

#include <stdlib.h>

#include "text/table.h"
#include "text/utf8.h"

#ifdef KOE_HAVE_MECAB
#include <mecab.h>

enum { KNOWN_TYPE = 6, KATAKANA_TYPE = 7, MAX_JOIN = 12 }; /* MeCab's character types; words joined into one at most */

struct koe_ja {
    mecab_model_t *model;
    mecab_t *tagger;
    koe_table words, kana;
};

typedef struct ja_word {
    size_t at, n; /* bytes of the text */
    koe_str kana; /* in the node's features or the surface */
    unsigned type;
    bool long_ei, long_ii; /* "ei" and "ii" in it are long vowels, which ipadic does not write */
    bool lengthens; /* the volitional "u": it lengthens the o before it */
} ja_word;

/* ---- opening ---- */

static bool open_dictionary(koe_ja *j)
{
    static const char *const dirs[] = { "/var/lib/mecab/dic/unidic", "/var/lib/mecab/dic/open-jtalk/naist-jdic", "/var/lib/mecab/dic/naist-jdic",
        "/var/lib/mecab/dic/ipadic-utf8", "/usr/share/mecab/dic/ipadic" };
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && !j->model; i++) {
        koe_buf arg = { 0 };
        koe_buf_printf(&arg, "-r /dev/null -d %s", dirs[i]);
        if (koe_file_is_dir(dirs[i]) && !arg.failed) j->model = mecab_model_new2(arg.data);
        koe_buf_free(&arg);
    }
    if (j->model) j->tagger = mecab_model_new_tagger(j->model);
    return j->tagger != NULL;
}

koe_status koe_ja_open(koe_ja **out, const char *dir, koe_error *err)
{
    koe_ja *j = calloc(1, sizeof *j);
    if (!j) return koe_fail(err, KOE_E_NOMEM, "Japanese tables");
    koe_status st = koe_table_read(&j->kana, koe_str_of(koe_ja_kana), '\t', err);
    bool listed = st == KOE_OK && dir && koe_table_open(&j->words, dir, "ja_words.txt", '\n', NULL) == KOE_OK;
    if (st == KOE_OK && !listed) st = koe_table_read(&j->words, KOE_STR(""), '\n', err);
    if (st == KOE_OK && !open_dictionary(j)) st = koe_fail(err, KOE_E_NOT_FOUND, "no MeCab dictionary (apt install mecab-ipadic-utf8)");
    if (st != KOE_OK) {
        koe_ja_close(j);
        return st;
    }
    *out = j;
    return KOE_OK;
}

void koe_ja_close(koe_ja *j)
{
    if (!j) return;
    if (j->tagger) mecab_destroy(j->tagger);
    if (j->model) mecab_model_destroy(j->model);
    koe_table_close(&j->words);
    koe_table_close(&j->kana);
    free(j);
}

/* ---- words ---- */

/* The n-th field of comma-separated features; n == 0 when it is missing or "*". */
static koe_str field(const char *features, size_t n)
{
    const char *p = features;
    bool quoted = false;
    for (; n && *p; p++) {
        if (*p == '"') quoted = !quoted;
        if (*p == ',' && !quoted) n--;
    }
    if (n) return (koe_str){ "", 0 };
    size_t len = 0;
    while (p[len] && p[len] != ',') len++;
    koe_str s = { p, len };
    return koe_str_is(s, "*") ? (koe_str){ "", 0 } : s;
}

static size_t count_fields(const char *features)
{
    size_t n = 1;
    bool quoted = false;
    for (; *features; features++) {
        if (*features == '"') quoted = !quoted;
        n += *features == ',' && !quoted;
    }
    return n;
}

/* Pronunciation, else reading, else the word itself. UniDic has 17 fields or more, ipadic and naist-jdic nine or so. */
static koe_str kana_of(const mecab_node_t *node)
{
    size_t n = count_fields(node->feature);
    koe_str s = field(node->feature, n > 15 ? 9 : 8);
    if (!s.n) s = field(node->feature, n > 15 ? 20 : 7);
    return s.n ? s : (koe_str){ node->surface, node->length };
}

/* Compounds that ipadic has as one word where UniDic has two; how many bytes the first one takes. */
static const struct {
    const char *compound;
    size_t first;
} compounds[] = { { "に対し", 3 }, { "に対して", 3 }, { "に対する", 3 }, { "によって", 3 }, { "による", 3 }, { "により", 3 }, { "について", 3 }, { "に関する", 3 },
    { "に関して", 3 }, { "にとって", 3 }, { "ので", 3 }, { "又は", 3 }, { "または", 6 }, { "並びに", 6 }, { "ならびに", 9 }, { "のに", 3 }, { "では", 3 } };

/* Splits the last word when it is one of the compounds; its kana are cut at the same number of kana from the end. */
static void split_compound(koe_str text, ja_word *w, size_t *n)
{
    ja_word *last = &w[*n - 1];
    koe_str surface = koe_str_sub(text, last->at, last->n);
    for (size_t i = 0; i < sizeof compounds / sizeof *compounds; i++) {
        if (!koe_str_is(surface, compounds[i].compound)) continue;
        size_t first = compounds[i].first, tail = last->n - first;
        bool ni_first = koe_str_starts(surface, KOE_STR("に")) || koe_str_starts(surface, KOE_STR("の")) || koe_str_starts(surface, KOE_STR("で"));
        size_t kana_first = ni_first ? 3 : last->kana.n > 3 ? last->kana.n - 3 : last->kana.n;
        ja_word second = *last;
        second.at += first, second.n = tail;
        second.kana = koe_str_sub(last->kana, kana_first, last->kana.n);
        last->n = first, last->kana.n = kana_first;
        w[(*n)++] = second;
        return;
    }
}

static ja_word *find_words(const mecab_node_t *node, const char *text, size_t *n)
{
    size_t cap = 0;
    *n = 0;
    for (const mecab_node_t *k = node; k; k = k->next) cap += k->length > 0;
    ja_word *w = calloc(2 * cap + 1, sizeof *w);
    for (; w && node; node = node->next) {
        if (!node->length) continue;
        bool known = node->stat != MECAB_UNK_NODE;
        unsigned type = known || node->char_type == KATAKANA_TYPE ? KNOWN_TYPE : node->char_type;
        koe_str pos = field(node->feature, 0), surface = { node->surface, node->length };
        bool noun = koe_str_is(pos, "名詞") || koe_str_is(pos, "副詞") || koe_str_is(pos, "接頭詞"), adjective = koe_str_is(pos, "形容詞");
        bool volitional = koe_str_is(surface, "う") && koe_str_is(pos, "助動詞");
        w[(*n)++] = (ja_word){ (size_t)(node->surface - text), node->length, kana_of(node), type, noun, adjective, volitional };
        split_compound((koe_str){ text, (size_t)(node->surface - text) + node->length }, w, n);
    }
    return w;
}

/* How many words from i on are one: the longest run of the same type whose joined spelling is in the list. */
static size_t joined(const koe_ja *j, koe_str text, const ja_word *w, size_t i, size_t n)
{
    size_t end = i + 1, best = 1;
    for (; end < n && end - i < MAX_JOIN && w[end].type == w[i].type && w[end].at == w[end - 1].at + w[end - 1].n; end++) {
        koe_str s = koe_str_sub(text, w[i].at, w[end].at + w[end].n - w[i].at);
        if (koe_table_find(&j->words, s).p || (w[end].lengthens && best == end - i)) best = end + 1 - i;
    }
    return best;
}

/* ---- kana to symbols ---- */

static void put_hiragana(koe_buf *out, const ja_word *w)
{
    uint32_t before = koe_utf8_last(koe_buf_str(out));
    if (w->lengthens && koe_utf8_in(before, "おこそとのほもよろごぞどぼぽょ") && before) {
        koe_buf_adds(out, "ー");
        return;
    }
    before = 0;
    for (size_t at = 0; at < w->kana.n;) {
        uint32_t c = koe_utf8_next(w->kana, &at);
        if (c >= 0x30a1 && c <= 0x30f6) c -= 0x60;
        bool longer = c == 0x3044 && before && ((w->long_ei && koe_utf8_in(before, "けせてねへめれえげぜでべぺ")) ||
                                                (w->long_ii && koe_utf8_in(before, "いきしちにひみりぎじぢびぴ")));
        koe_utf8_put(out, longer ? 0x30fc : c);
        before = c;
    }
}

/* The symbol of the syllabic n before these symbols. */
static const char *syllabic_n(koe_str next)
{
    uint32_t c = koe_utf8_first(next);
    if (koe_utf8_in(c, "mpb") && next.n) return "m";
    if (koe_utf8_in(c, "kɡ") && next.n) return "ŋ";
    if (koe_utf8_in(c, "ɲʨʥ") && next.n) return "ɲ";
    if (koe_utf8_in(c, "ntdɾz") && next.n) return "n";
    return "ɴ";
}

/* Symbols of the kana at *at, two of them when that is one syllable; what is no kana is "". */
static koe_str syllable(const koe_ja *j, koe_str kana, size_t *at)
{
    size_t one = *at, two;
    koe_utf8_next(kana, &one);
    two = one;
    if (two < kana.n) {
        koe_utf8_next(kana, &two);
        koe_str s = koe_table_find(&j->kana, koe_str_sub(kana, *at, two - *at));
        if (s.p) return *at = two, s;
    }
    koe_str s = koe_table_find(&j->kana, koe_str_sub(kana, *at, one - *at));
    *at = one;
    return s;
}

static void put_symbols(const koe_ja *j, koe_buf *out, koe_str kana)
{
    for (size_t at = 0; at < kana.n;) {
        uint32_t c = koe_utf8_first(koe_str_sub(kana, at, 4));
        size_t next = at;
        if (c == 0x3093 || c == 0x3063 || c == 0x30fc) koe_utf8_next(kana, &at);
        if (c == 0x30fc) koe_buf_adds(out, "ː");
        else if (c == 0x3063) koe_buf_adds(out, "ʔ");
        else if (c == 0x3093) {
            next = at;
            koe_buf_adds(out, syllabic_n(at < kana.n ? syllable(j, kana, &next) : KOE_STR("")));
        } else koe_buf_add_str(out, syllable(j, kana, &at));
    }
}

/* ---- pieces ---- */

static bool is_mark(uint32_t c)
{
    return koe_utf8_in(c, ".,?!;:“”()[]—…\"-~");
}

/* A token's symbols with the spacing of marks: none before a closing one, none after an opening one, none beside a stop of the breath. */
static void add_token(koe_block *b, size_t at, size_t n, koe_str sound)
{
    bool mark = sound.n && koe_utf8_count(sound) == 1 && is_mark(koe_utf8_first(sound));
    bool opens = mark && koe_utf8_in(koe_utf8_first(sound), "“([");
    if (b->n && ((mark && !opens) || koe_utf8_first(sound) == 0x294)) b->piece[b->n - 1].space = false;
    bool voiced = sound.n && !mark;
    koe_block_add(b, at, n, sound, voiced, !opens && !(voiced && koe_utf8_last(sound) == 0x294));
}

static koe_status add_words(koe_block *b, const koe_ja *j, koe_str text, size_t at, const ja_word *w, size_t n, koe_error *err)
{
    koe_buf kana = { 0 }, sound = { 0 };
    koe_status st = KOE_OK;
    for (size_t i = 0; i < n && st == KOE_OK;) {
        size_t count = joined(j, text, w, i, n);
        koe_buf_clear(&kana), koe_buf_clear(&sound);
        for (size_t k = i; k < i + count; k++) put_hiragana(&kana, &w[k]);
        put_symbols(j, &sound, koe_buf_str(&kana));
        size_t end = w[i + count - 1].at + w[i + count - 1].n;
        koe_str surface = koe_str_sub(text, w[i].at, end - w[i].at);
        if (!koe_str_trim(koe_buf_str(&sound)).n) {
            sound.n = 0;
            if (koe_utf8_count(surface) == 1 && is_mark(koe_utf8_first(surface))) koe_buf_add_str(&sound, surface);
            else if (koe_has_sound(surface)) st = koe_espeak_safe(b->t, &sound, KOE_STR("ja"), surface, true, err); /* a reading nobody gave */
        }
        add_token(b, at + w[i].at, end - w[i].at, koe_str_trim(koe_buf_str(&sound)));
        i += count;
    }
    if (kana.failed || sound.failed || b->failed) st = koe_fail(err, KOE_E_NOMEM, "Japanese text");
    koe_buf_free(&kana), koe_buf_free(&sound);
    return st;
}

koe_status koe_ja_phonemise(koe_block *b, const koe_ja *j, koe_str text, size_t at, koe_error *err)
{
    mecab_lattice_t *lattice = mecab_model_new_lattice(j->model);
    koe_status st = lattice ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "Japanese text");
    if (st == KOE_OK) {
        mecab_lattice_set_sentence2(lattice, text.p, text.n);
        if (!mecab_parse_lattice(j->tagger, lattice)) st = koe_fail(err, KOE_E_UNSUPPORTED, "MeCab: %s", mecab_lattice_strerror(lattice));
    }
    if (st == KOE_OK) {
        size_t n;
        ja_word *w = find_words(mecab_lattice_get_bos_node(lattice), text.p, &n);
        st = w ? add_words(b, j, text, at, w, n, err) : koe_fail(err, KOE_E_NOMEM, "Japanese text");
        free(w);
    }
    if (lattice) mecab_lattice_destroy(lattice);
    return st;
}

#else /* without MeCab espeak-ng reads Japanese */

koe_status koe_ja_open(koe_ja **out, const char *dir, koe_error *err)
{
    (void)out, (void)dir;
    return koe_fail(err, KOE_E_UNSUPPORTED, "this koe was built without MeCab");
}
void koe_ja_close(koe_ja *j) { (void)j; }
koe_status koe_ja_phonemise(koe_block *b, const koe_ja *j, koe_str text, size_t at, koe_error *err)
{
    (void)j;
    return koe_phonemise_espeak(b, b->lang, text, at, err);
}
#endif
