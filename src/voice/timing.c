/* timing.c - from durations of tokens to times of words. */
#include <math.h>
#include <stdlib.h>

#include "text/utf8.h"
#include "voice/provider.h"

koe_status koe_timeline_init(koe_timeline *t, koe_str phonemes, koe_error *err)
{
    *t = (koe_timeline){ 0 };
    size_t n = koe_utf8_count(phonemes);
    t->cp = calloc(n + 1, sizeof *t->cp);
    t->at = calloc(n + 1, sizeof *t->at);
    if (!t->cp || !t->at) {
        koe_timeline_deinit(t);
        return koe_fail(err, KOE_E_NOMEM, "%zu phonemes", n);
    }
    for (size_t at = 0; t->n < n; t->n++) t->cp[t->n] = koe_utf8_next(phonemes, &at);
    return KOE_OK;
}

void koe_timeline_deinit(koe_timeline *t)
{
    free(t->cp);
    free(t->at);
    *t = (koe_timeline){ 0 };
}

koe_status koe_tokens_add(koe_tokens *t, int64_t id, size_t owner, koe_error *err)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 256;
        int64_t *ids = realloc(t->id, cap * sizeof *ids);
        if (ids) t->id = ids;
        size_t *owners = realloc(t->owner, cap * sizeof *owners);
        if (owners) t->owner = owners;
        if (!ids || !owners) return koe_fail(err, KOE_E_NOMEM, "%zu tokens", cap);
        t->cap = cap;
    }
    t->id[t->n] = id;
    t->owner[t->n++] = owner;
    return KOE_OK;
}

void koe_tokens_deinit(koe_tokens *t)
{
    free(t->id);
    free(t->owner);
    *t = (koe_tokens){ 0 };
}

koe_status koe_timeline_spread(koe_timeline *t, const koe_tokens *tokens, const double *duration, size_t n_samples,
                               koe_error *err)
{
    double *length = calloc(t->n + 1, sizeof *length), lead = 0, total = 0;
    if (!length) return koe_fail(err, KOE_E_NOMEM, "%zu phonemes", t->n);
    for (size_t i = 0; duration && i < tokens->n; i++) {
        double d = duration[i] > 0 && isfinite(duration[i]) ? duration[i] : 0;
        total += d;
        if (tokens->owner[i] == KOE_OWNER_LEAD) lead += d;
        else if (tokens->owner[i] != KOE_OWNER_TAIL) length[tokens->owner[i]] += d;
    }
    if (!(total > 0)) {
        lead = 0;
        total = (double)t->n;
        for (size_t i = 0; i < t->n; i++) length[i] = 1;
    }
    double at = lead;
    for (size_t i = 0; i <= t->n; i++) {
        size_t sample = total > 0 ? (size_t)llround(at * (double)n_samples / total) : n_samples;
        t->at[i] = sample < n_samples ? sample : n_samples;
        at += length[i]; /* the last one, [n], is 0 */
    }
    free(length);
    return KOE_OK;
}

static bool is_space(const koe_timeline *t, size_t i) { return i < t->n && t->cp[i] == ' '; }

koe_status koe_timeline_words(koe_speech *out, const koe_timeline *t, const koe_segment *segment, koe_error *err)
{
    if (segment->n_word > out->cap_word) {
        koe_word_time *word = realloc(out->word, segment->n_word * sizeof *word);
        if (!word) return koe_fail(err, KOE_E_NOMEM, "%zu words", segment->n_word);
        out->word = word;
        out->cap_word = segment->n_word;
    }
    out->n_word = segment->n_word;
    for (size_t i = 0; i < segment->n_word; i++) {
        const koe_word *w = &segment->word[i];
        size_t first = w->phoneme_at < t->n ? w->phoneme_at : t->n;
        size_t end = w->phoneme_n < t->n - first ? first + w->phoneme_n : t->n;
        size_t from = t->at[first], to = t->at[end];
        if (end > first && first > 0 && is_space(t, first - 1)) from -= (t->at[first] - t->at[first - 1]) / 2;
        /* Rounded up, so that the end of a word is the start of the next. */
        if (end > first && is_space(t, end)) to += (t->at[end + 1] - t->at[end] + 1) / 2;
        if (end == first && i > 0) from = to = out->word[i - 1].to; /* silent: where the word before it ends */
        out->word[i] = (koe_word_time){ from, to };
    }
    return KOE_OK;
}

koe_status koe_speech_reserve(koe_speech *s, size_t n, koe_error *err)
{
    if (n <= s->cap_samples) return KOE_OK;
    free(s->samples);
    s->samples = n <= SIZE_MAX / sizeof *s->samples ? malloc(n * sizeof *s->samples) : NULL;
    s->cap_samples = s->samples ? n : 0;
    s->n_samples = 0;
    return s->samples ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "%zu samples", n);
}

void koe_speech_free(koe_speech *s)
{
    free(s->samples);
    free(s->word);
    koe_speech_drop_rest(s);
    *s = (koe_speech){ 0 };
}
