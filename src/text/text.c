/* text.c - the front end as a whole: opened once, then called for each text. */
#include "text/text.h"

#include <stdlib.h>

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
    if (st == KOE_OK) st = koe_user_files_open(&t->user_files, t->lexicon_dir, setup ? setup->user_lexicon : NULL, err);
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
    for (int i = 0; i < KOE_READING_COUNT; i++) koe_speller_close(t->speller[i]);
    koe_user_files_close(t->user_files);
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

void koe_text_user_key(koe_text *t, char out[65])
{
    koe_user_set *s = koe_user_files_take(t->user_files);
    memcpy(out, s ? s->digest : "", s ? 65 : 1);
    koe_user_files_give_back(t->user_files, s);
}

bool koe_text_user_has(koe_text *t, koe_str name)
{
    koe_user_set *s = koe_user_files_take(t->user_files);
    const bool has = koe_user_set_find(s, name) != NULL;
    koe_user_files_give_back(t->user_files, s);
    return has;
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

koe_speller *koe_text_speller(koe_text *t, const koe_reading *reading)
{
    pthread_mutex_lock(&t->lock);
    koe_speller **s = &t->speller[koe_reading_row(reading)];
    if (!*s) *s = koe_speller_open(reading->locale);
    koe_speller *opened = *s;
    pthread_mutex_unlock(&t->lock);
    return opened;
}

void koe_segments_free(koe_segments *s)
{
    koe_arena_free(&s->arena);
    *s = (koe_segments){ 0 };
}
