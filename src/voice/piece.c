/* piece.c - the beginning of a segment, made on its own so that sound starts soon. The network reads the whole segment: durations, pitch
 * and energy are those of the whole. Behind them, where most of the work is, the frames after the piece are cut off. A few frames more
 * than wanted are made, so that the convolutions see at the seam what they would see; the next piece is faded in over them. Its run goes on
 * where this one was cut off, with the tensors that were.
 *     piece 1: a few frames     piece 2: from the start again, as far as lasts until the rest is made     the rest: all, from the start
 * Each piece is heard while the next is made. A piece ends in the middle of a word when its time has come: durations, pitch and the phase of
 * the voice are those of the whole, so the seam lies between two versions of the same sound. A word belongs to the piece it begins in. */
#include <math.h>
#include <stdlib.h>

#include "voice/acoustic.h"

enum { MARGIN_FRAMES = 2 };
/* A piece may take longer to make than they did lately, and has to reach the listener. */
static const double unknown_pace = 0.12, spare_share = 0.3, spare_s = 0.03;

static double frames_of(const koe_tensor *lengths, size_t i)
{
    const double d = rint(koe_acoustic_number(lengths, i));
    return d > 1 ? d : 1;
}

/* Of silence before the first word, or nearly: the listener gets little of it. */
static double lead_frames(const koe_piece *p, const koe_tensor *lengths)
{
    double lead = 0;
    for (size_t i = 0; i < p->tokens->n && p->tokens->owner[i] == KOE_OWNER_LEAD; i++) lead += frames_of(lengths, i);
    return lead;
}

/* Frames before the first token of code point `cp`, without half of the space before it. */
static double frames_before(const koe_piece *p, const koe_tensor *lengths, size_t cp)
{
    double at = 0, last = 0;
    for (size_t i = 0; i < p->tokens->n; i++) {
        const size_t owner = p->tokens->owner[i];
        if (owner != KOE_OWNER_LEAD && owner >= cp) break;
        last = frames_of(lengths, i);
        at += last;
    }
    return at - floor(last / 2);
}

/* Frames from the segment's start that this piece has to have; 0: the rest can be made now. A frame takes `work` frames to make, so the piece
 * before the rest, which ends at e, is followed in time when  in hand + (e - said) - work * e >= the rest's work. */
static double least_end(const koe_piece *p, double lead)
{
    const double work = (p->pace > 0 ? p->pace : unknown_pace) * (1 + spare_share), spare = spare_s / p->frame_s, rest = work * p->total + spare;
    if (work >= 1 || (p->said && p->in_hand >= rest)) return 0;
    if (p->said) return (rest - p->in_hand + p->said_frames) / (1 - work);
    const double second = (rest + lead) / (1 - work); /* where the second piece will end */
    return lead + fmax(p->least_frames, fmin(work * second + spare, rest));
}

/* The first word that begins at `frame` or later, behind those that were said; n_word: none does. A silent one begins nowhere. */
static size_t next_word(const koe_piece *p, const koe_tensor *lengths, double frame)
{
    const koe_segment *g = p->segment;
    for (size_t w = p->said + 1; w < g->n_word; w++)
        if (g->word[w].phoneme_n && frames_before(p, lengths, g->word[w].phoneme_at) >= frame) return w;
    return g->n_word;
}

void koe_piece_choose(koe_piece *p, const koe_tensor *lengths)
{
    const koe_segment *g = p->segment;
    p->n_words = 0;
    if (!(p->least_frames > 0) || p->said >= g->n_word || koe_tensor_count(lengths) != p->tokens->n) return;
    p->total = 0;
    for (size_t i = 0; i < p->tokens->n; i++) p->total += frames_of(lengths, i);
    const double least = ceil(least_end(p, lead_frames(p, lengths)));
    if (!(least > 0)) return;
    const double at = fmax(least, frames_before(p, lengths, g->word[p->said].phoneme_at) + 1); /* one more word begins in it */
    const size_t word = next_word(p, lengths, at);
    if (word == g->n_word || p->total - at < (at - p->said_frames) / 2) return; /* little is left: it is not worth a run */
    p->n_words = word;
    p->seam = at;
    p->end = fmin(at + MARGIN_FRAMES, p->total);
}

koe_status koe_piece_cut(const koe_piece *p, koe_tensor *t, koe_error *err)
{
    if (!p->n_words) return KOE_OK;
    const double n = t->n_dim ? (double)t->dim[t->n_dim - 1] : 0, per_frame = n / p->total;
    if (per_frame < 1 || per_frame != floor(per_frame)) return koe_fail(err, KOE_E_FORMAT, "%g columns for %g frames", n, p->total);
    const size_t from = (size_t)n, to = (size_t)(p->end * per_frame), size = koe_dtype_size(t->dtype), rows = koe_tensor_count(t) / from;
    char *data = t->data;
    for (size_t r = 1; r < rows; r++) memmove(data + r * to * size, data + r * from * size, to * size);
    t->dim[t->n_dim - 1] = (int64_t)to;
    return KOE_OK;
}

void koe_piece_lay(const koe_piece *p, koe_speech *out)
{
    if (!p->n_words) return;
    out->n_said = p->n_words;
    out->seam = (size_t)(p->seam * (double)out->n_samples / p->end);
}

/* ---- what is left for the rest ---------------------------------------------------------------------------------------------- */

void koe_rest_keep(koe_rest *r, size_t out, const koe_tensor *t)
{
    const size_t n = koe_tensor_bytes(t);
    void *copy = r->n < sizeof r->given / sizeof *r->given ? malloc(n ? n : 1) : NULL;
    if (!copy) {
        r->failed = true;
        return;
    }
    if (n) memcpy(copy, t->data, n);
    r->given[r->n] = (koe_given){ out, *t };
    r->given[r->n++].t.data = copy;
}

void koe_rest_destroy(koe_rest *r)
{
    for (size_t i = 0; r && i < r->n; i++) free(r->given[i].t.data);
    free(r);
}
