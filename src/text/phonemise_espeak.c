/* phonemise_espeak.c - phonemes by espeak-ng, a clause at a time, and which word each of them belongs to.
 * The text is cut at punctuation, each part is spoken in one breath (liaison, elision and numbers need it), the marks are put back.
 * espeak-ng gives words separated by spaces; when there are as many as were written they answer one to one. Otherwise the words are
 * asked for one by one, and the clause's phonemes are shared out by an alignment. */
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/front.h"
#include "text/utf8.h"

enum { PART_MAX = 1200, ALIGN_MAX = 1500 }; /* bytes for espeak-ng at once; code points that an alignment may have */

koe_status koe_espeak_safe(koe_text *t, koe_buf *out, koe_str voice, koe_str text, bool tie, koe_error *err)
{
    koe_error why = { 0 };
    koe_status st = koe_espeak_phonemes(t->espeak, out, voice, text, tie, &why);
    if (st != KOE_E_IO && st != KOE_E_LIMIT) {
        if (st != KOE_OK && err) *err = why;
        return st;
    }
    bool has_space = memchr(text.p, ' ', text.n) != NULL;
    if (!has_space && koe_utf8_count(text) <= 1) {
        koe_log(KOE_LOG_WARN, "%s: silent", why.message);
        return KOE_OK;
    }
    for (size_t at = 0; at < text.n;) {
        size_t start = at;
        if (!has_space) koe_utf8_next(text, &at);
        else while (at < text.n && text.p[at++] != ' ') {}
        koe_str part = koe_str_trim(koe_str_sub(text, start, at - start));
        if (!part.n) continue;
        if (out->n && out->data[out->n - 1] != ' ') koe_buf_addc(out, ' ');
        st = koe_espeak_safe(t, out, voice, part, tie, err);
        if (st != KOE_OK) return st;
    }
    return KOE_OK;
}

/* Without espeak-ng's marks of a change of language, "(en)". */
static void drop_flags(koe_buf *s)
{
    size_t to = 0;
    for (size_t at = 0; at < s->n; at++) {
        const char *close = s->data[at] == '(' ? memchr(s->data + at, ')', s->n - at) : NULL;
        if (close) at = (size_t)(close - s->data);
        else s->data[to++] = s->data[at];
    }
    s->n = to;
    if (s->data) s->data[to] = 0;
}

static void put_decomposed(koe_buf *out, koe_str s)
{
    UErrorCode e = U_ZERO_ERROR;
    const UNormalizer2 *nfd = unorm2_getNFDInstance(&e);
    size_t cap = s.n + 1;
    UChar *a = malloc(cap * sizeof *a), *b = malloc(cap * 3 * sizeof *b);
    int32_t n = 0, n_utf8 = 0;
    if (!a || !b) out->failed = true;
    else {
        u_strFromUTF8(a, (int32_t)cap, &n, s.p, (int32_t)s.n, &e);
        n = unorm2_normalize(nfd, a, n, b, (int32_t)cap * 3, &e);
        if (koe_buf_reserve(out, cap * 9) && U_SUCCESS(e)) {
            u_strToUTF8(out->data + out->n, (int32_t)(cap * 9), &n_utf8, b, n, &e);
            if (U_SUCCESS(e)) out->n += (size_t)n_utf8;
        }
        if (U_FAILURE(e)) koe_buf_add_str(out, s);
    }
    free(a), free(b);
}

/* How this voice wants espeak-ng's answer. */
typedef struct manner {
    koe_str voice;
    bool tie, english, british; /* misaki's symbols */
} manner;

static manner manner_of(const koe_block *b, const koe_lang *lang)
{
    manner m = { .voice = koe_str_of(lang->espeak), .tie = b->opt->alphabet == KOE_ALPHABET_MISAKI };
    if (!m.tie && b->opt->espeak_voice.n && lang == b->lang) m.voice = b->opt->espeak_voice;
    m.english = lang->way == KOE_LANG_ENGLISH;
    m.british = strcmp(lang->tag, "en-gb") == 0;
    return m;
}

/* Phonemes of a text in the voice's symbols, appended. */
static koe_status speak(koe_block *b, const manner *m, koe_buf *out, koe_str text, koe_error *err)
{
    koe_buf ipa = { 0 };
    koe_status st = koe_espeak_safe(b->t, &ipa, m->voice, text, m->tie, err);
    if (st == KOE_OK) {
        drop_flags(&ipa);
        koe_str s = koe_str_trim(koe_buf_str(&ipa));
        if (!m->tie) put_decomposed(out, s);
        else if (m->english) koe_misaki_english(out, s, m->british);
        else koe_misaki_other(out, s);
        if (ipa.failed || out->failed) st = koe_fail(err, KOE_E_NOMEM, "phonemes");
    }
    koe_buf_free(&ipa);
    return st;
}

/* ---- words of a part ---- */

typedef struct part {
    size_t at; /* of the normal text */
    koe_str text;
    size_t *word; /* start and end of each, in bytes of `text`: 2 * n_word */
    size_t n_word;
} part;

/* Words with something to say, which are also written to `spoken`; lone "***" and the like are silent. */
static koe_status find_words(part *p, koe_buf *spoken, koe_error *err)
{
    p->word = NULL;
    p->n_word = 0;
    size_t cap = 1;
    for (size_t i = 0; i < p->text.n; i++) cap += p->text.p[i] == ' ';
    p->word = reallocarray(NULL, cap, 2 * sizeof *p->word);
    if (!p->word) return koe_fail(err, KOE_E_NOMEM, "words");
    for (size_t at = 0; at < p->text.n;) {
        while (at < p->text.n && p->text.p[at] == ' ') at++;
        size_t start = at;
        while (at < p->text.n && p->text.p[at] != ' ') at++;
        koe_str one = koe_str_sub(p->text, start, at - start);
        if (!koe_has_sound(one)) continue;
        p->word[2 * p->n_word] = start, p->word[2 * p->n_word + 1] = at, p->n_word++;
        if (spoken->n) koe_buf_addc(spoken, ' ');
        koe_buf_add_str(spoken, one);
    }
    return spoken->failed ? koe_fail(err, KOE_E_NOMEM, "words") : KOE_OK;
}

static koe_str part_word(const part *p, size_t i) { return koe_str_sub(p->text, p->word[2 * i], p->word[2 * i + 1] - p->word[2 * i]); }

static size_t count_spaced(koe_str s)
{
    size_t n = s.n > 0;
    for (size_t i = 0; i < s.n; i++) n += s.p[i] == ' ';
    return n;
}

static void add_one_to_one(koe_block *b, const part *p, koe_str ipa)
{
    size_t at = 0;
    for (size_t i = 0; i < p->n_word; i++) {
        size_t start = at;
        while (at < ipa.n && ipa.p[at] != ' ') at++;
        koe_block_add(b, p->at + p->word[2 * i], part_word(p, i).n, koe_str_sub(ipa, start, at - start), true, i + 1 < p->n_word);
        at++;
    }
}

static uint32_t *code_points(koe_str s, size_t *n)
{
    uint32_t *cp = malloc((s.n + 1) * sizeof *cp);
    *n = 0;
    for (size_t at = 0; cp && at < s.n;) cp[(*n)++] = koe_utf8_next(s, &at);
    return cp;
}

/* Gives each word the stretch of the clause's phonemes that owner[] says is its. */
static void add_owned(koe_block *b, const part *p, koe_str ipa, const uint32_t *owner, size_t n_owner)
{
    size_t at = 0, k = 0;
    for (size_t i = 0; i < p->n_word; i++) {
        size_t start = at;
        while (k < n_owner && owner[k] <= i) koe_utf8_next(ipa, &at), k++;
        koe_str mine = koe_str_sub(ipa, start, at - start);
        if (mine.n && mine.p[0] == ' ' && b->n) b->piece[b->n - 1].space = true;
        bool space = mine.n && mine.p[mine.n - 1] == ' ';
        koe_block_add(b, p->at + p->word[2 * i], part_word(p, i).n, koe_str_trim(mine), true, space);
    }
}

static koe_status add_aligned(koe_block *b, const manner *m, const part *p, koe_str ipa, koe_error *err)
{
    koe_buf apart = { 0 };
    uint32_t *owner_a = NULL, *owner_b = NULL;
    size_t n_a = 0, n_b = 0, n_owner = 0;
    koe_status st = KOE_OK;
    for (size_t i = 0; i < p->n_word && st == KOE_OK; i++) {
        st = speak(b, m, &apart, part_word(p, i), err);
        koe_buf_addc(&apart, ' ');
        size_t n = koe_utf8_count(koe_buf_str(&apart));
        uint32_t *grown = st == KOE_OK ? reallocarray(owner_a, n, sizeof *owner_a) : NULL;
        if (!grown) break;
        owner_a = grown;
        while (n_owner < n) owner_a[n_owner++] = (uint32_t)i;
    }
    uint32_t *cp_a = code_points(koe_buf_str(&apart), &n_a), *cp_b = code_points(ipa, &n_b);
    if (n_a) n_a--; /* the last space */
    if (st == KOE_OK) {
        owner_b = malloc((n_b + 1) * sizeof *owner_b);
        bool ok = cp_a && cp_b && owner_a && owner_b && !apart.failed && n_owner >= n_a;
        if (ok && n_a <= ALIGN_MAX && n_b <= ALIGN_MAX) ok = koe_align(cp_a, owner_a, n_a, cp_b, owner_b, n_b);
        else if (ok) /* absurdly long: in proportion */
            for (size_t j = 0; j < n_b; j++) owner_b[j] = (uint32_t)(j * p->n_word / n_b);
        if (ok) add_owned(b, p, ipa, owner_b, n_b);
        else st = koe_fail(err, KOE_E_NOMEM, "aligning words");
    }
    free(owner_a), free(owner_b), free(cp_a), free(cp_b);
    koe_buf_free(&apart);
    return st;
}

/* One stretch of text without punctuation that counts. */
static koe_status add_part(koe_block *b, const manner *m, koe_str text, size_t at, koe_error *err)
{
    part p = { .at = at, .text = text };
    koe_buf ipa = { 0 }, spoken = { 0 };
    koe_status st = find_words(&p, &spoken, err);
    if (st == KOE_OK && p.n_word) st = speak(b, m, &ipa, koe_buf_str(&spoken), err);
    koe_str s = koe_buf_str(&ipa);
    if (st == KOE_OK) {
        if (s.n == 0)
            for (size_t i = 0; i < p.n_word; i++) koe_block_add(b, at + p.word[2 * i], part_word(&p, i).n, s, false, false);
        else if (p.n_word == 1) koe_block_add(b, at + p.word[0], part_word(&p, 0).n, s, true, false);
        else if (count_spaced(s) == p.n_word) add_one_to_one(b, &p, s);
        else st = add_aligned(b, m, &p, s, err);
    }
    free(p.word);
    koe_buf_free(&ipa);
    koe_buf_free(&spoken);
    return st;
}

/* A long part is cut at spaces, and where there are none, anywhere. */
static koe_status add_long_part(koe_block *b, const manner *m, koe_str text, size_t at, koe_error *err)
{
    koe_status st = KOE_OK;
    for (size_t done = 0; done < text.n && st == KOE_OK;) {
        size_t n = text.n - done;
        if (n > PART_MAX) {
            for (n = PART_MAX; n > PART_MAX / 2 && text.p[done + n] != ' '; n--) {}
            if (text.p[done + n] != ' ') n = PART_MAX;
            while ((text.p[done + n] & 0xc0) == 0x80) n--;
        }
        size_t skip = 0;
        while (skip < n && text.p[done + skip] == ' ') skip++;
        bool space = n > skip && text.p[done + n - 1] == ' ';
        koe_str one = koe_str_trim(koe_str_sub(text, done + skip, n - skip));
        if (skip && b->n) b->piece[b->n - 1].space = true;
        if (one.n) st = add_part(b, m, one, at + done + skip, err);
        if (space && b->n) b->piece[b->n - 1].space = true;
        done += n;
    }
    return st;
}

/* ---- marks ---- */

/* The mark that a voice is given for this character, "" for none. misaki cuts at every mark and keeps it; espeak-ng's own voices know six,
 * and a mark inside a word ("3.14", "10:30") is not one. */
static const char *mark_for(const koe_block *b, koe_str text, size_t at, size_t n, uint32_t c, bool sentence_ends)
{
    if (b->opt->alphabet == KOE_ALPHABET_MISAKI) {
        static const struct {
            uint32_t c;
            const char *mark;
        } kept[] = { { ';', ";" }, { ':', ":" }, { ',', "," }, { '.', "." }, { '!', "!" }, { '?', "?" }, { 0xa1, "¡" }, { 0xbf, "¿" },
            { 0x2014, "—" }, { 0x2026, "…" }, { '"', "\"" }, { 0xab, "“" }, { 0xbb, "”" }, { 0x201c, "“" }, { 0x201d, "”" }, { '(', "(" },
            { ')', ")" }, { '{', "{" }, { '}', "}" }, { '[', "[" }, { ']', "]" }, { 0x3002, "." }, { 0xff01, "!" }, { 0xff1f, "?" },
            { 0xff0c, "," }, { 0x3001, "," }, { 0xff1a, ":" }, { 0xff1b, ";" }, { 0x61f, "?" }, { 0x60c, "," }, { 0x61b, ";" } };
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            if (kept[i].c == c) return kept[i].mark;
        return "";
    }
    uint32_t next = koe_utf8_first(koe_str_sub(text, at + n, 4));
    bool ends = next == 0 || next == ' ' || koe_utf8_in(next, ".,;:!?…\"'”’»)]}");
    if (c == '.' || c == ',' || c == ':' || c == '!' || c == '?' || c == ';') {
        static const char *const six[] = { ".", ",", ":", "!", "?", ";" };
        for (size_t i = 0; ends && i < 6; i++)
            if (six[i][0] == (char)c) return c == '.' && next == ' ' && !sentence_ends ? "" : six[i]; /* Sr. López */
        return "";
    }
    if (koe_utf8_in(c, "。।॥")) return ".";
    if (koe_utf8_in(c, "，、،")) return ",";
    if (koe_utf8_in(c, "！")) return "!";
    if (koe_utf8_in(c, "？؟")) return "?";
    if (koe_utf8_in(c, "；؛—…")) return ";";
    return "";
}

koe_status koe_phonemise_espeak(koe_block *b, const koe_lang *lang, koe_str text, size_t at, koe_error *err)
{
    const manner m = manner_of(b, lang);
    bool keeps_all = b->opt->alphabet == KOE_ALPHABET_MISAKI;
    size_t part_at = 0, n_sentence, s = 0;
    const size_t *sentence = koe_block_sentences(b, &n_sentence);
    koe_status st = KOE_OK;
    for (size_t here = 0; here <= text.n && st == KOE_OK;) {
        size_t n = 0;
        uint32_t c = here < text.n ? koe_utf8_at(text, here, &n) : 0;
        while (s < n_sentence && sentence[s] <= at + here) s++;
        bool sentence_ends = s < n_sentence && sentence[s] <= at + here + n + 1;
        const char *mark = here < text.n ? mark_for(b, text, here, n, c, sentence_ends) : "";
        if (here < text.n && !*mark) {
            here += n;
            continue;
        }
        if (here > part_at) st = add_long_part(b, &m, koe_str_sub(text, part_at, here - part_at), at + part_at, err);
        if (here >= text.n || st != KOE_OK) break;
        bool space = here + n < text.n && text.p[here + n] == ' ';
        /* espeak-ng's own voices: one mark a clause, right after the word. */
        bool again = !keeps_all && (b->n == 0 || !b->piece[b->n - 1].voiced);
        if (!keeps_all && b->n) b->piece[b->n - 1].space = false;
        koe_block_add(b, at + here, n, again ? KOE_STR("") : koe_str_of(mark), false, space || !keeps_all);
        here += n;
        part_at = here;
    }
    return b->failed ? koe_fail(err, KOE_E_NOMEM, "phonemes") : st;
}
