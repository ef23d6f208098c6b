/* memo.c - see memo.h. */
#include "synth/memo.h"

#include <math.h>
#include <stdlib.h>

enum { MAGIC = 0x31474553 /* "SEG1" */, HEAD_FIELDS = 8, MAX_RATE_HZ = 192000 };
static const float full_scale = 32767;

void koe_sound_free(koe_sound *s)
{
    free(s->audio);
    free(s->word);
    *s = (koe_sound){ 0 };
}

koe_status koe_sound_reserve(koe_sound *s, size_t n, size_t n_word, koe_error *err)
{
    if (n > s->cap) {
        float *audio = n <= SIZE_MAX / sizeof *audio ? realloc(s->audio, n * sizeof *audio) : NULL;
        if (!audio) return koe_fail(err, KOE_E_NOMEM, "%zu samples", n);
        s->audio = audio;
        s->cap = n;
    }
    if (n_word > s->cap_word) {
        koe_word_time *word = n_word <= SIZE_MAX / sizeof *word ? realloc(s->word, n_word * sizeof *word) : NULL;
        if (!word) return koe_fail(err, KOE_E_NOMEM, "%zu words", n_word);
        s->word = word;
        s->cap_word = n_word;
    }
    return KOE_OK;
}

static int16_t rounded(float x) { return (int16_t)lrintf(fminf(fmaxf(x, -1), 1) * full_scale); }
static float sample_of(int16_t x) { return (float)x / full_scale; }

void koe_sound_round(koe_sound *s)
{
    for (size_t i = 0; i < s->n + s->n_tail; i++) s->audio[i] = sample_of(rounded(s->audio[i]));
}

/* ---- key ---- */

static void add_text(koe_digest *d, koe_str s)
{
    const uint64_t n = s.n;
    koe_digest_add(d, &n, sizeof n);
    koe_digest_add(d, s.p, s.n);
}

static void add_number(koe_digest *d, double x) { koe_digest_add(d, &x, sizeof x); }

static void add_segment(koe_digest *d, const koe_segment *g)
{
    add_text(d, g->phonemes);
    add_text(d, g->text);
    add_text(d, g->lang);
    add_number(d, (double)g->n_word);
    for (size_t i = 0; i < g->n_word; i++) {
        add_number(d, (double)g->word[i].phoneme_at);
        add_number(d, (double)g->word[i].phoneme_n);
    }
    add_number(d, g->prosody != NULL);
    for (size_t i = 0; g->prosody && i < g->n_word; i++) {
        const koe_prosody *p = &g->prosody[i];
        const double numbers[] = { p->rate, p->pitch_st, p->pitch_hz, p->pitch_to_hz, p->gain, p->energy };
        koe_digest_add(d, numbers, sizeof numbers);
    }
}

void koe_memo_key(const koe_memo_of *of, char key[KOE_DIGEST_TEXT])
{
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    add_text(&d, KOE_STR("koe piece 1"));
    add_text(&d, koe_str_of(of->scope));
    add_text(&d, koe_str_of(of->voice->engine));
    add_text(&d, koe_str_of(of->voice->name));
    for (size_t i = 0; i < of->voice->n; i++) add_number(&d, of->voice->weight[i]); /* the name has them rounded */
    add_segment(&d, of->segment);
    add_number(&d, of->speed);
    add_number(&d, of->piece_s);
    koe_digest_add(&d, &of->seed, sizeof of->seed);
    add_number(&d, of->zero_noise);
    add_number(&d, (double)of->said);
    add_number(&d, (double)of->seam);
    add_number(&d, of->rate_hz);
    koe_digest_text(&d, key);
}

/* ---- bytes ---- */

void koe_memo_write(koe_buf *out, const koe_sound *s)
{
    const uint32_t head[HEAD_FIELDS] = { MAGIC, (uint32_t)s->rate_hz, (uint32_t)s->n, (uint32_t)s->n_tail, (uint32_t)s->said,
                                         (uint32_t)s->seam, (uint32_t)s->n_word, 0 };
    koe_buf_add(out, head, sizeof head);
    for (size_t i = 0; i < s->n_word; i++) {
        const uint32_t times[2] = { (uint32_t)s->word[i].from, (uint32_t)s->word[i].to };
        koe_buf_add(out, times, sizeof times);
    }
    for (size_t i = 0; i < s->n + s->n_tail; i++) {
        const int16_t x = rounded(s->audio[i]);
        koe_buf_add(out, &x, sizeof x);
    }
}

static bool is_right(const uint32_t *head, size_t n_bytes, const koe_memo_of *of)
{
    const uint64_t wanted = sizeof(uint32_t) * HEAD_FIELDS + (uint64_t)head[6] * 2 * sizeof(uint32_t) + ((uint64_t)head[2] + head[3]) * sizeof(int16_t);
    return head[0] == MAGIC && (!of->known_hz || head[1] == (uint32_t)of->known_hz) && head[1] > 0 && head[1] <= MAX_RATE_HZ && wanted == n_bytes && head[4] <= of->segment->n_word && (head[4] > of->said || head[4] == of->segment->n_word) && head[4] >= of->said &&
           head[6] == head[4] - of->said;
}

bool koe_memo_read(koe_sound *out, koe_str bytes, const koe_memo_of *of)
{
    uint32_t head[HEAD_FIELDS], times[2];
    if (bytes.n < sizeof head) return false;
    memcpy(head, bytes.p, sizeof head);
    if (!is_right(head, bytes.n, of) || koe_sound_reserve(out, (size_t)head[2] + head[3], head[6], NULL) != KOE_OK) return false;
    const char *at = bytes.p + sizeof head;
    for (size_t i = 0; i < head[6]; i++, at += sizeof times) {
        memcpy(times, at, sizeof times);
        if (times[0] > times[1] || (times[1] > head[2] && head[4] == of->segment->n_word)) return false;
        out->word[i] = (koe_word_time){ times[0], times[1] };
    }
    out->n = head[2];
    out->n_tail = head[3];
    out->n_word = head[6];
    out->said = head[4];
    out->seam = head[5];
    out->rate_hz = (int)head[1];
    for (size_t i = 0; i < out->n + out->n_tail; i++, at += sizeof(int16_t)) {
        int16_t x;
        memcpy(&x, at, sizeof x);
        out->audio[i] = sample_of(x);
    }
    return true;
}
