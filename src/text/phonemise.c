/* phonemise.c - which way a block's phonemes are made: by the voice's alphabet, then by language. */
#include <stdlib.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/front.h"
#include "text/ja.h"
#include "text/script.h"
#include "text/utf8.h"
#include "text/zh.h"

/* Piper's "text" voices take case-folded, decomposed letters. */
static bool put_folded(koe_buf *out, koe_str s)
{
    UErrorCode e = U_ZERO_ERROR;
    const UNormalizer2 *nfd = unorm2_getNFDInstance(&e);
    int32_t cap = (int32_t)s.n * 4 + 16, n = 0, n_utf8 = 0;
    UChar *a = malloc((size_t)cap * sizeof *a), *b = malloc((size_t)cap * sizeof *b);
    bool ok = a && b && koe_buf_reserve(out, (size_t)cap * 3);
    if (ok) {
        u_strFromUTF8(b, cap, &n, s.p, (int32_t)s.n, &e);
        n = u_strFoldCase(a, cap, b, n, U_FOLD_CASE_DEFAULT, &e);
        n = unorm2_normalize(nfd, a, n, b, cap, &e);
        u_strToUTF8(out->data + out->n, cap * 3, &n_utf8, b, n, &e);
        if (U_SUCCESS(e)) out->n += (size_t)n_utf8;
        else koe_buf_add_str(out, s);
    }
    free(a), free(b);
    return ok;
}

bool koe_has_sound(koe_str s)
{
    for (size_t at = 0; at < s.n;) {
        uint32_t c = koe_utf8_next(s, &at);
        if (c >= 0x80 ? u_isalnum((UChar32)c) || koe_utf8_in(c, "€£¥°©®™×÷±≠≤≥≈½¼¾²³") : u_isalnum((UChar32)c) || strchr("&%$@+=", (int)c))
            return true;
    }
    return false;
}

/* Words of the text, by spaces, as they are: for voices without phonemes, or when the text is phonemes. */
static koe_status phonemise_written(koe_block *b, koe_error *err)
{
    koe_str text = koe_buf_str(&b->normal.text);
    koe_buf folded = { 0 };
    for (size_t at = 0; at < text.n;) {
        size_t start = at;
        while (at < text.n && text.p[at] != ' ') at++;
        koe_str one = koe_str_sub(text, start, at - start), sound = one;
        if (b->opt->alphabet == KOE_ALPHABET_TEXT && !b->opt->phonemes) {
            koe_buf_clear(&folded);
            if (!put_folded(&folded, one)) b->failed = true;
            sound = koe_buf_str(&folded);
        }
        koe_block_add(b, start, one.n, sound, koe_has_sound(one), at < text.n);
        while (at < text.n && text.p[at] == ' ') at++;
    }
    koe_buf_free(&folded);
    return b->failed ? koe_fail(err, KOE_E_NOMEM, "words") : KOE_OK;
}

/* One stretch in one language. */
static koe_status phonemise_run(koe_block *b, const koe_lang *lang, koe_str text, size_t at, koe_error *err)
{
    if (b->opt->alphabet == KOE_ALPHABET_ESPEAK) return koe_phonemise_espeak(b, lang, text, at, err);
    if (lang->way == KOE_LANG_ENGLISH) {
        bool british = strcmp(lang->tag, "en-gb") == 0;
        const koe_lexicon *lexicon = koe_text_lexicon(b->t, british);
        if (lexicon) return koe_phonemise_english(b, lexicon, british, text, at, err);
    }
    if (lang->way == KOE_LANG_CHINESE) {
        const koe_zh *zh = koe_text_zh(b->t);
        if (zh) return koe_zh_phonemise(b, zh, text, at, err);
    }
    if (lang->way == KOE_LANG_JAPANESE) {
        const koe_ja *ja = koe_text_ja(b->t);
        if (ja) return koe_ja_phonemise(b, ja, text, at, err);
    }
    return koe_phonemise_espeak(b, lang, text, at, err);
}

/* The writer's phonemes in the symbols of the voice. */
static void put_phonemes(koe_buf *out, const koe_block *b, const koe_link *l)
{
    koe_str v = koe_link_phonemes(l);
    if (b->opt->alphabet == KOE_ALPHABET_ESPEAK) koe_misaki_to_ipa(out, v);
    else if (l->is_ipa) koe_misaki_of_ipa(out, v, b->lang);
    else koe_buf_add_str(out, v);
    if (l->has_s) koe_add_english_s(out, strcmp(b->lang->tag, "en-gb") == 0, b->opt->alphabet);
}

/* [word](/phonemes/): the first piece of the word takes them, the others fall silent. */
static void speak_links(koe_block *b)
{
    for (size_t k = 0, i = 0; k < b->n_link; k++) {
        const koe_link *l = &b->link[k];
        if (!koe_link_phonemes(l).n) continue;
        while (i < b->n && b->piece[i].at + b->piece[i].n <= l->at) i++;
        for (bool first = true; i < b->n && b->piece[i].at < l->at + l->n; i++) {
            koe_piece *p = &b->piece[i];
            if (!p->voiced) continue;
            p->sound_at = b->sound.n;
            if (first) put_phonemes(&b->sound, b, l);
            p->sound_n = b->sound.n - p->sound_at;
            p->n_phonemes = koe_utf8_count(koe_str_sub(koe_buf_str(&b->sound), p->sound_at, p->sound_n));
            first = false;
        }
    }
    b->failed |= b->sound.failed;
}

/* Whether English does this before it looks words up. */
static bool reads_links(const koe_block *b)
{
    return b->lang->way == KOE_LANG_ENGLISH && b->opt->alphabet == KOE_ALPHABET_MISAKI && koe_text_lexicon(b->t, strcmp(b->lang->tag, "en-gb") == 0);
}

/* One stretch of the normal text, which starts at `base`, by script. */
static koe_status phonemise_text(koe_block *b, koe_str text, size_t base, koe_error *err)
{
    if (koe_script_is_plain(text, b->lang)) return phonemise_run(b, b->lang, text, base, err);
    koe_status st = KOE_OK;
    bool kana = koe_script_has_kana(koe_buf_str(&b->normal.text));
    for (size_t at = 0; at < text.n && st == KOE_OK;) {
        size_t start = at;
        const koe_lang *lang;
        koe_str run = koe_script_run(text, &at, b->lang, kana, &lang);
        size_t before = b->n;
        st = phonemise_run(b, lang, run, base + start, err);
        /* a space, or a change of language, separates words */
        if (before && (run.p[0] == ' ' || (lang != b->lang && b->n > before && b->piece[before].voiced))) b->piece[before - 1].space = true;
        if (b->n > before && at < text.n && (text.p[at - 1] == ' ' || lang != b->lang)) b->piece[b->n - 1].space = true;
    }
    return st;
}

/* ---- links in the middle of something ---- */

/* Whether pieces end between these two characters, of which one belongs to a link. */
static bool is_apart(uint32_t c) { return !c || c == ' ' || koe_utf8_in(c, ".,;:!?¡¿…—\"«»“”()[]{}。、，！？；："); }

static bool stands_alone(koe_str text, const koe_link *l)
{
    size_t at = l->at;
    return is_apart(koe_utf8_prev(text, &at)) && is_apart(koe_utf8_first(koe_str_sub(text, l->at + l->n, 4)));
}

/* A link that is a piece of its own, wherever it stands. */
static void add_link_piece(koe_block *b, koe_str text, const koe_link *l)
{
    koe_buf sound = { 0 };
    put_phonemes(&sound, b, l);
    if (b->n && l->at && text.p[l->at - 1] == ' ') b->piece[b->n - 1].space = true;
    koe_block_add(b, l->at, l->n, koe_buf_str(&sound), true, l->at + l->n < text.n && text.p[l->at + l->n] == ' ');
    b->failed |= sound.failed;
    koe_buf_free(&sound);
}

/* Reads around the links that do not stand alone ("l'[ami](/ami/)", a word among Chinese characters): whatever reads the text would not make
 * a piece of them. Those that do stand alone are read in their clause, and spoken as they say afterwards. */
static koe_status phonemise_around_links(koe_block *b, koe_str text, koe_error *err)
{
    koe_status st = KOE_OK;
    size_t at = 0;
    for (size_t k = 0; k < b->n_link && st == KOE_OK; k++) {
        const koe_link *l = &b->link[k];
        if (!l->n || l->at < at || !koe_link_phonemes(l).n || stands_alone(text, l)) continue;
        if (l->at > at) st = phonemise_text(b, koe_str_sub(text, at, l->at - at), at, err);
        if (st == KOE_OK) add_link_piece(b, text, l);
        at = l->at + l->n;
    }
    if (st == KOE_OK && at < text.n) st = phonemise_text(b, koe_str_sub(text, at, text.n), at, err);
    if (st == KOE_OK) speak_links(b);
    return st;
}

koe_status koe_phonemise_block(koe_block *b, koe_error *err)
{
    koe_str text = koe_buf_str(&b->normal.text);
    if (b->opt->phonemes || b->opt->alphabet == KOE_ALPHABET_TEXT || b->opt->alphabet == KOE_ALPHABET_NONE) return phonemise_written(b, err);
    const koe_status st = b->n_link && !reads_links(b) ? phonemise_around_links(b, text, err) : phonemise_text(b, text, 0, err);
    return st == KOE_OK && b->failed ? koe_fail(err, KOE_E_NOMEM, "phonemes") : st;
}
