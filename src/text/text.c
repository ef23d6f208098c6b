/* text.c - the front end as a whole: opened once, then called for each text. */
#include "text/text.h"

#include <stdlib.h>

#include "text/assemble.h"
#include "text/ja.h"
#include "text/utf8.h"
#include "text/zh.h"

koe_status koe_text_open(koe_text **out, const koe_text_setup *setup, koe_error *err)
{
    koe_text *t = calloc(1, sizeof *t);
    if (!t) return koe_fail(err, KOE_E_NOMEM, "text front end");
    pthread_mutex_init(&t->lock, NULL);
    if (setup && setup->lexicon_dir) t->lexicon_dir = koe_str_dup(koe_str_of(setup->lexicon_dir));
    koe_status st = koe_espeak_open(&t->espeak, setup ? setup->helper : NULL, err);
    if (st != KOE_OK) {
        koe_text_close(t);
        return st;
    }
    *out = t;
    return KOE_OK;
}

void koe_text_close(koe_text *t)
{
    if (!t) return;
    koe_espeak_close(t->espeak);
    koe_lexicon_close(t->english[0]);
    koe_lexicon_close(t->english[1]);
    koe_zh_close(t->zh);
    koe_ja_close(t->ja);
    pthread_mutex_destroy(&t->lock);
    free(t->lexicon_dir);
    free(t);
}

const koe_lexicon *koe_text_lexicon(koe_text *t, bool british)
{
    pthread_mutex_lock(&t->lock);
    if (!t->tried[british]) {
        koe_error err = { 0 };
        t->tried[british] = true;
        koe_status st = t->lexicon_dir ? koe_lexicon_open(&t->english[british], t->lexicon_dir, british ? "gb" : "us", &err)
                                       : koe_fail(&err, KOE_E_NOT_FOUND, "no folder of dictionaries");
        if (st != KOE_OK) koe_log(KOE_LOG_WARN, "English is read by espeak-ng alone: %s (koe pull lexicon)", err.message);
    }
    const koe_lexicon *l = t->english[british];
    pthread_mutex_unlock(&t->lock);
    return l;
}

koe_espeak *koe_text_espeak(koe_text *t) { return t->espeak; }

void koe_block_add(koe_block *b, size_t at, size_t n, koe_str phonemes, bool voiced, bool space)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 128;
        koe_piece *piece = reallocarray(b->piece, cap, sizeof *piece);
        if (!piece) {
            b->failed = true;
            return;
        }
        b->piece = piece;
        b->cap = cap;
    }
    b->piece[b->n++] = (koe_piece){ .at = at, .n = n, .sound_at = b->sound.n, .sound_n = phonemes.n,
                                    .n_phonemes = koe_utf8_count(phonemes), .voiced = voiced, .space = space };
    koe_buf_add_str(&b->sound, phonemes);
    b->failed |= b->sound.failed;
}

const koe_zh *koe_text_zh(koe_text *t)
{
    pthread_mutex_lock(&t->lock);
    if (!t->tried_zh) {
        koe_error err = { 0 };
        char *dir = t->lexicon_dir ? koe_path_join(t->lexicon_dir, "zh") : NULL;
        t->tried_zh = true;
        koe_status st = dir ? koe_zh_open(&t->zh, dir, &err) : koe_fail(&err, KOE_E_NOT_FOUND, "no folder of dictionaries");
        if (st != KOE_OK) koe_log(KOE_LOG_WARN, "Chinese is read by espeak-ng: %s (koe pull lexicon)", err.message);
        free(dir);
    }
    const koe_zh *z = t->zh;
    pthread_mutex_unlock(&t->lock);
    return z;
}

const koe_ja *koe_text_ja(koe_text *t)
{
    pthread_mutex_lock(&t->lock);
    if (!t->tried_ja) {
        koe_error err = { 0 };
        char *dir = t->lexicon_dir ? koe_path_join(t->lexicon_dir, "ja") : NULL;
        t->tried_ja = true;
        koe_status st = koe_ja_open(&t->ja, dir, &err);
        if (st != KOE_OK) koe_log(KOE_LOG_WARN, "Japanese is read by espeak-ng: %s", err.message);
        free(dir);
    }
    const koe_ja *j = t->ja;
    pthread_mutex_unlock(&t->lock);
    return j;
}

static void free_block(koe_block *b)
{
    koe_normal_free(&b->normal);
    koe_buf_free(&b->sound);
    koe_buf_free(&b->applied);
    koe_buf_free(&b->sentences);
    free(b->piece);
    free(b->link);
}

static koe_status do_block(koe_assembly *a, koe_block *b, koe_error *err)
{
    koe_buf_clear(&b->sentences);
    koe_buf_clear(&b->sound);
    b->n = 0;
    koe_status st = koe_normalise_block(b, err);
    if (st == KOE_OK) st = koe_sentences(&b->sentences, koe_buf_str(&b->normal.text), b->lang, err);
    if (st == KOE_OK) st = koe_phonemise_block(b, err);
    if (st == KOE_OK) st = koe_assemble(a, b, err);
    return st;
}

static koe_status unknown_language(koe_str lang, koe_error *err)
{
    koe_buf list = { 0 };
    size_t n;
    const koe_lang *l = koe_lang_table(&n);
    for (size_t i = 0; i < n; i++) koe_buf_printf(&list, "%s%s", i ? " " : "", l[i].tag);
    koe_status st = koe_fail(err, KOE_E_ARGUMENT, "no language \"%.*s\"; there are %s", KOE_STR_ARG(lang), list.data ? list.data : "");
    koe_buf_free(&list);
    return st;
}

koe_status koe_text_segments(koe_segments *out, koe_text *t, koe_str input, const koe_text_options *opt, koe_error *err)
{
    *out = (koe_segments){ 0 };
    size_t bad;
    if (!koe_utf8_check(input, &bad)) return koe_fail(err, KOE_E_ENCODING, "the text is not UTF-8 at byte %zu", bad);
    koe_block b = { .t = t, .opt = opt, .lang = koe_lang_find(opt->lang.n ? opt->lang : KOE_STR("en-us")), .input = input };
    if (!b.lang) return unknown_language(opt->lang, err);
    koe_assembly a = { .out = out };
    koe_status st = KOE_OK;
    for (size_t at = 0; at < input.n && st == KOE_OK; at += b.text_n) {
        b.text_at = at;
        b.text_n = koe_block_end(input, at, &b.end) - at;
        st = do_block(&a, &b, err);
    }
    if (st == KOE_OK) st = koe_assemble_end(&a, input, err);
    koe_assembly_free(&a);
    free_block(&b);
    if (st != KOE_OK) koe_segments_free(out);
    return st;
}

void koe_segments_free(koe_segments *s)
{
    koe_arena_free(&s->arena);
    *s = (koe_segments){ 0 };
}
