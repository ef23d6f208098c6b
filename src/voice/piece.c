/* piece.c - the beginning of a segment, made on its own so that sound starts soon. The network reads the whole segment: durations, pitch
 * and energy are those of the whole. Behind them, where most of the work is, the frames after the piece are cut off. A few frames more
 * than wanted are made, so that the convolutions see at the seam what they would see; the rest of the segment is faded in over them. */
#include <math.h>

#include "voice/acoustic.h"

enum { MARGIN_FRAMES = 6 };
/* Of the segment, at least: the rest is made while the piece is heard. A machine that needs an eighth of a second for a second of speech
 * is ready in time. */
static const double least_share = 1.0 / 8;

static double frames_of(const koe_tensor *lengths, size_t i)
{
    const double d = rint(koe_acoustic_number(lengths, i));
    return d > 1 ? d : 1;
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

void koe_piece_choose(koe_piece *p, const koe_tensor *lengths)
{
    const koe_segment *g = p->segment;
    p->n_words = 0;
    if (!(p->least_frames > 0) || koe_tensor_count(lengths) != p->tokens->n) return;
    p->total = 0;
    for (size_t i = 0; i < p->tokens->n; i++) p->total += frames_of(lengths, i);
    const double least = fmax(p->least_frames, p->total * least_share);
    for (size_t w = 1; w < g->n_word; w++) {
        const size_t cp = g->word[w].phoneme_at;
        if (!g->word[w].phoneme_n || !cp || cp > p->timeline->n || p->timeline->cp[cp - 1] != ' ') continue;
        const double at = frames_before(p, lengths, cp);
        if (at < least) continue;
        if (p->total - at < least / 2) return; /* little is left: it is not worth a second run */
        p->n_words = w;
        p->seam = at;
        p->end = fmin(at + MARGIN_FRAMES, p->total);
        return;
    }
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
