/* user_lexicon.c - finding the writer's words in a text.
 * Words are kept in a hash table by their folded letters (small letters, one space, straight apostrophes), and so is each beginning of a
 * word that ends where a word may end: "new" and "new " of "New York". A walk from the start of a word asks the table at each such place
 * and stops at the first miss, so a text costs about one question a word however long the lexicon is. */
#include "text/user_lexicon_build.h"

#include <stdlib.h>
#include <sys/random.h>
#include <unicode/uchar.h>

#include "text/script.h"
#include "text/utf8.h"

/* ---- letters ---- */

static uint32_t plain(uint32_t c) { return c == 0x2019 || c == 0x2bc ? '\'' : u_isUWhiteSpace((UChar32)c) ? ' ' : c; }
static uint32_t fold(uint32_t c)
{
    c = plain(c);
    return c < 0x80 ? (c >= 'A' && c <= 'Z' ? c + 32 : c) : (uint32_t)u_foldCase((UChar32)c, U_FOLD_CASE_DEFAULT);
}

static bool is_word_char(uint32_t c)
{
    return c < 0x80 ? u_isalnum((UChar32)c) != 0 : u_isalnum((UChar32)c) || (U_GET_GC_MASK((UChar32)c) & U_GC_M_MASK);
}

/* Whether a word may start or end between two characters; 0 is an end of the text. */
static bool is_boundary(uint32_t before, uint32_t after)
{
    return !before || !after || !is_word_char(before) || !is_word_char(after) || koe_script_unspaced(before) || koe_script_unspaced(after);
}

/* ---- table ---- */

typedef struct slot {
    uint64_t hash;
    koe_str key; /* n == 0: free */
    koe_user_word *first, *last; /* NULL: only the beginning of longer words */
} slot;

struct koe_user_lexicon {
    atomic_int refs;
    koe_arena arena; /* owns words and keys */
    slot *slot;
    size_t n_slots, n_used, n_words, longest; /* longest: bytes of a key */
    uint64_t seed; /* so that no lexicon can be made of keys that collide */
};

static uint64_t hash_more(uint64_t h, koe_str s)
{
    for (size_t i = 0; i < s.n; i++) h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return h;
}

static slot *find_slot(const koe_user_lexicon *l, uint64_t hash, koe_str key)
{
    size_t i = (hash ^ hash >> 29) & (l->n_slots - 1);
    while (l->slot[i].key.n && !(l->slot[i].hash == hash && koe_str_eq(l->slot[i].key, key))) i = (i + 1) & (l->n_slots - 1);
    return &l->slot[i];
}

static bool grow(koe_user_lexicon *l)
{
    if (2 * (l->n_used + 1) <= l->n_slots) return true;
    koe_user_lexicon bigger = *l;
    bigger.n_slots = l->n_slots ? 2 * l->n_slots : 64;
    bigger.slot = calloc(bigger.n_slots, sizeof *bigger.slot);
    if (!bigger.slot) return false;
    for (size_t i = 0; i < l->n_slots; i++)
        if (l->slot[i].key.n) *find_slot(&bigger, l->slot[i].hash, l->slot[i].key) = l->slot[i];
    free(l->slot);
    l->slot = bigger.slot;
    l->n_slots = bigger.n_slots;
    return true;
}

/* The slot of a key, made when it is new; NULL when out of memory. */
static slot *add_key(koe_user_lexicon *l, koe_str key)
{
    if (!grow(l)) return NULL;
    const uint64_t hash = hash_more(l->seed, key);
    slot *s = find_slot(l, hash, key);
    if (s->key.n) return s;
    const koe_str copy = koe_arena_str(&l->arena, key);
    if (!copy.p) return NULL;
    *s = (slot){ .hash = hash, .key = copy };
    l->n_used++;
    return s;
}

koe_user_lexicon *koe_user_lexicon_create(void)
{
    koe_user_lexicon *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    atomic_init(&l->refs, 1);
    if (getrandom(&l->seed, sizeof l->seed, GRND_NONBLOCK) != sizeof l->seed) l->seed = (uint64_t)(uintptr_t)l;
    return l;
}

koe_user_lexicon *koe_user_lexicon_ref(koe_user_lexicon *l)
{
    atomic_fetch_add(&l->refs, 1);
    return l;
}

void koe_user_lexicon_unref(koe_user_lexicon *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) != 1) return;
    free(l->slot);
    koe_arena_free(&l->arena);
    free(l);
}

size_t koe_user_lexicon_count(const koe_user_lexicon *l) { return l->n_words; }
koe_arena *koe_user_lexicon_arena(koe_user_lexicon *l) { return &l->arena; }

static bool same_place(const koe_user_word *a, const koe_user_word *b)
{
    return a->lang == b->lang && a->is_general == b->is_general && a->letter_case == b->letter_case && koe_str_eq(a->written, b->written);
}

/* Another part of speech of a word that is there; of the same one the first counts. */
static void merge(koe_user_word *into, const koe_user_word *w)
{
    if (!into->alias.n) into->alias = w->alias;
    for (size_t i = 0; i < KOE_N_POS; i++)
        if (!into->phonemes[i].n) into->phonemes[i] = w->phonemes[i];
}

bool koe_user_lexicon_add(koe_user_lexicon *l, const koe_user_word *word)
{
    koe_buf key = { 0 };
    uint32_t before = 0;
    bool ok = true;
    for (size_t at = 0; at < word->written.n && ok;) {
        const uint32_t c = koe_utf8_next(word->written, &at);
        if (before && is_boundary(before, c)) ok = add_key(l, koe_buf_str(&key)) != NULL;
        koe_utf8_put(&key, fold(c));
        before = c;
    }
    slot *s = ok && !key.failed ? add_key(l, koe_buf_str(&key)) : NULL;
    if (key.n > l->longest) l->longest = key.n;
    koe_buf_free(&key);
    if (!s) return false;
    for (koe_user_word *w = s->first; w; w = (koe_user_word *)(uintptr_t)w->next)
        if (same_place(w, word)) return merge(w, word), true;
    koe_user_word *own = koe_arena_alloc(&l->arena, sizeof *own);
    if (!own) return false;
    *own = *word;
    own->next = NULL;
    if (s->last) s->last->next = own;
    else s->first = own;
    s->last = own;
    l->n_words++;
    return true;
}

/* ---- matching ---- */

static bool same_letters(const koe_user_word *w, koe_str text)
{
    bool exact = true, capitals = true;
    size_t at = 0, i = 0;
    while (i < w->written.n) {
        if (at >= text.n) return false;
        const uint32_t want = plain(koe_utf8_next(w->written, &i)), got = plain(koe_utf8_next(text, &at));
        if (got == ' ')
            for (size_t more = at; more < text.n && plain(koe_utf8_next(text, &more)) == ' '; at = more) {}
        exact &= want == got;
        capitals &= (uint32_t)u_toupper((UChar32)want) == got;
    }
    return at == text.n && (exact || (capitals && w->letter_case != KOE_USER_CASE_EXACT));
}

/* How well an entry's language fits; 0: not at all. */
static int lang_rank(const koe_user_word *w, const koe_lang *lang, uint32_t first)
{
    if (!w->lang) return 1;
    if (w->lang == lang && !w->is_general) return 3;
    const size_t n = strcspn(w->lang->tag, "-");
    if (w->is_general && strncmp(w->lang->tag, lang->tag, n) == 0 && (!lang->tag[n] || lang->tag[n] == '-')) return 2;
    /* Latin words in Chinese and Japanese are English */
    return w->lang->way == KOE_LANG_ENGLISH && (lang->way == KOE_LANG_CHINESE || lang->way == KOE_LANG_JAPANESE) && first < 0x250;
}

static const koe_user_word *choose(const slot *s, koe_str text, const koe_lang *lang)
{
    const koe_user_word *best = NULL;
    int rank = 0;
    for (const koe_user_word *w = s->first; w; w = w->next) {
        const int r = lang_rank(w, lang, koe_utf8_first(text));
        if (r > rank && (w->letter_case == KOE_USER_CASE_ANY || same_letters(w, text))) best = w, rank = r;
    }
    return best;
}

/* A walk from the start of a word. */
typedef struct walk {
    const koe_user_lexicon *l;
    koe_str text; /* from the start of the word on */
    const koe_lang *lang;
    char key[KOE_USER_WORD_BYTES + 8];
    size_t n_key;
    uint64_t hash; /* of key[0, n_key) */
} walk;

static const koe_user_word *known(const walk *w, uint64_t hash, size_t n_key, size_t n_text, bool *is_beginning)
{
    const slot *s = find_slot(w->l, hash, (koe_str){ w->key, n_key });
    *is_beginning = s->key.n > 0;
    return s->first ? choose(s, koe_str_sub(w->text, 0, n_text), w->lang) : NULL;
}

/* "ACMEs", "Bosches": the word without its ending, at a place where it ends. */
static const koe_user_word *without_s(const walk *w, size_t n_text)
{
    bool is_beginning;
    for (size_t cut = 1; cut <= 2; cut++) {
        if (w->n_key < cut + 2 || w->key[w->n_key - 1] != 's' || (cut == 2 && w->key[w->n_key - 2] != 'e')) return NULL;
        const size_t n = w->n_key - cut;
        if (!is_word_char(koe_utf8_last((koe_str){ w->key, n }))) return NULL;
        const koe_user_word *word = known(w, hash_more(w->l->seed, (koe_str){ w->key, n }), n, n_text - cut, &is_beginning);
        if (word) return word;
    }
    return NULL;
}

/* Bytes of "'s" at text[at], where a word ends behind it. */
static size_t possessive(koe_str text, size_t at)
{
    size_t end = at;
    if (end >= text.n || plain(koe_utf8_next(text, &end)) != '\'' || end >= text.n || (text.p[end] | 32) != 's') return 0;
    end++;
    return end >= text.n || !is_word_char(koe_utf8_first(koe_str_sub(text, end, 4))) ? end - at : 0;
}

static void put_char(walk *w, uint32_t c)
{
    char bytes[8];
    koe_buf one = { .data = bytes, .cap = sizeof bytes };
    koe_utf8_put(&one, c);
    memcpy(w->key + w->n_key, bytes, one.n);
    w->n_key += one.n;
    w->hash = hash_more(w->hash, (koe_str){ bytes, one.n });
}

bool koe_user_lexicon_match(const koe_user_lexicon *l, koe_str text, size_t at, const koe_lang *lang, koe_user_match *out)
{
    size_t back = at;
    uint32_t before = koe_utf8_prev(text, &back), c = koe_utf8_first(koe_str_sub(text, at, 4));
    *out = (koe_user_match){ 0 };
    if (!l->n_words || !c || plain(c) == ' ' || !is_boundary(before, c)) return false;
    walk w = { .l = l, .text = koe_str_sub(text, at, text.n), .lang = lang, .hash = l->seed };
    const bool latin = c < 0x250 && (lang->way == KOE_LANG_CHINESE || lang->way == KOE_LANG_JAPANESE);
    const bool english = lang->way == KOE_LANG_ENGLISH || latin;
    for (size_t here = 0; here < w.text.n && w.n_key < l->longest + 2 && w.n_key < KOE_USER_WORD_BYTES;) {
        c = koe_utf8_next(w.text, &here);
        if (plain(c) == ' ')
            for (size_t next = here; next < w.text.n && plain(koe_utf8_next(w.text, &next)) == ' '; here = next) {}
        put_char(&w, fold(c));
        if (!is_boundary(c, koe_utf8_first(koe_str_sub(w.text, here, 4)))) continue;
        bool is_beginning, has_s = false;
        const koe_user_word *word = known(&w, w.hash, w.n_key, here, &is_beginning);
        if (!word && english && (word = without_s(&w, here))) has_s = true;
        if (word) *out = (koe_user_match){ word, here, has_s };
        if (!is_beginning) break;
    }
    if (out->word && english && !out->has_s) {
        const size_t n = possessive(w.text, out->n);
        out->n += n;
        out->has_s = n > 0;
    }
    return out->word != NULL;
}

koe_str koe_user_word_phonemes(const koe_user_word *w, koe_pos exact, koe_pos parent)
{
    if (exact < KOE_N_POS && w->phonemes[exact].n) return w->phonemes[exact];
    if (parent < KOE_N_POS && w->phonemes[parent].n) return w->phonemes[parent];
    for (size_t i = 0; i < KOE_N_POS; i++) /* DEFAULT is the first */
        if (w->phonemes[i].n) return w->phonemes[i];
    return (koe_str){ "", 0 };
}
