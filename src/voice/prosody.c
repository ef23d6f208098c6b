/* prosody.c - what the writer asks of single words, inside a network: the durations of their tokens, the pitch (F0) and the energy of their
 * frames. The tensors are changed in place, right after they were computed, and what follows adapts to them. */
#include <math.h>
#include <stdlib.h>

#include "voice/acoustic.h"

/* Below this a frame is unvoiced: Kokoro's harmonic source has its threshold here. */
static const double least_f0_hz = 10;

static size_t word_of(const koe_segment *segment, size_t word, size_t owner)
{
    while (owner < KOE_OWNER_TAIL && word + 1 < segment->n_word && segment->word[word + 1].phoneme_at <= owner) word++;
    return word;
}

/* What a word is to last is spread over its tokens. */
static void share_durations(koe_shape *s, const koe_tokens *tokens, const koe_segment *segment)
{
    for (size_t i = 0, word = 0, end; i < tokens->n; i = end) {
        end = i + 1;
        if (tokens->owner[i] >= KOE_OWNER_TAIL) continue;
        word = word_of(segment, word, tokens->owner[i]);
        while (end < tokens->n && tokens->owner[end] < KOE_OWNER_TAIL && word_of(segment, word, tokens->owner[end]) == word) end++;
        for (size_t k = i; k < end; k++) s->token[k].duration_s /= (double)(end - i);
    }
}

/* The word that each code point belongs to is the last one that has started. */
static void spread(koe_shape *s, const koe_tokens *tokens, const koe_segment *segment)
{
    const koe_prosody plain = KOE_PROSODY_PLAIN;
    size_t word = 0;
    for (size_t i = 0; i < tokens->n; i++) {
        const size_t owner = tokens->owner[i];
        word = word_of(segment, word, owner);
        const bool inside = owner < KOE_OWNER_TAIL && segment->n_word && segment->word[word].phoneme_at <= owner;
        const koe_prosody *p = s->token + i;
        s->token[i] = inside ? segment->prosody[word] : plain;
        s->has_pitch |= p->pitch_st != 0 || p->pitch_hz != 0 || p->pitch_to_hz != 0 || p->range_pct != 0;
    }
    share_durations(s, tokens, segment);
}

koe_status koe_shape_init(koe_shape *s, const koe_tokens *tokens, const koe_segment *segment, koe_error *err)
{
    *s = (koe_shape){ 0 };
    if (!segment->prosody || !segment->n_word) return KOE_OK;
    s->token = calloc(tokens->n + 1, sizeof *s->token);
    s->frames = calloc(tokens->n + 1, sizeof *s->frames);
    if (!s->token || !s->frames) {
        koe_shape_deinit(s);
        return koe_fail(err, KOE_E_NOMEM, "%zu tokens", tokens->n);
    }
    s->n = tokens->n;
    spread(s, tokens, segment);
    return KOE_OK;
}

void koe_shape_deinit(koe_shape *s)
{
    free(s->token);
    free(s->frames);
    *s = (koe_shape){ 0 };
}

/* Stretches the words of a group to what they are to last together. */
static void fit_group(koe_shape *s, size_t from, size_t end)
{
    double is = 0, wanted = 0;
    for (size_t i = from; i < end; i++) is += s->frames[i] * s->frame_s, wanted += s->token[i].duration_s;
    const double factor = is > 0 ? fmin(fmax(wanted / is, 0.25), 4) : 1;
    for (size_t i = from; i < end; i++) s->frames[i] *= factor;
}

koe_status koe_shape_durations(koe_shape *s, koe_tensor *t, double speed, koe_error *err)
{
    if (!s->n) return KOE_OK;
    if (koe_tensor_count(t) != s->n)
        return koe_fail(err, KOE_E_FORMAT, "the model has %zu durations for %zu tokens", koe_tensor_count(t), s->n);
    for (size_t i = 0; i < s->n; i++) {
        /* The whole request's speed is in the durations already; together they stay within what speech can bear. */
        const double rate = fmin(fmax(s->token[i].rate * speed, 0.25), 4) / speed, d = koe_acoustic_number(t, i) / rate;
        s->frames[i] = d > 1 ? d : 1;
    }
    for (size_t i = 0, end; i < s->n && s->frame_s > 0; i = end) {
        for (end = i + 1; end < s->n && s->token[end].group == s->token[i].group; end++) {}
        if (s->token[i].group && s->token[i].duration_s > 0) fit_group(s, i, end);
    }
    for (size_t i = 0; i < s->n; i++) koe_acoustic_put(t, i, s->frames[i]);
    return KOE_OK;
}

/* Walks the frames of a curve, which are spread over the tokens as their durations are. */
typedef struct frame_walk {
    const koe_shape *s;
    double per_frame; /* duration of one frame of the curve */
    double end; /* of the token `at` */
    size_t at;
} frame_walk;

static frame_walk start_walk(const koe_shape *s, size_t n_frames)
{
    double total = 0;
    for (size_t i = 0; i < s->n; i++) total += rint(s->frames[i]);
    return (frame_walk){ s, n_frames ? total / (double)n_frames : 0, s->n ? rint(s->frames[0]) : 0, 0 };
}

static const koe_prosody *prosody_at(frame_walk *w, size_t frame)
{
    const double here = ((double)frame + 0.5) * w->per_frame;
    while (w->at + 1 < w->s->n && w->end <= here) w->end += rint(w->s->frames[++w->at]);
    return &w->s->token[w->at];
}

static double mean_f0(const koe_tensor *t)
{
    double sum = 0;
    size_t n_voiced = 0;
    for (size_t i = 0, n = koe_tensor_count(t); i < n; i++) {
        const double f0 = koe_acoustic_number(t, i);
        if (f0 > least_f0_hz) sum += f0, n_voiced++;
    }
    return n_voiced ? sum / (double)n_voiced : 0;
}

void koe_shape_pitch(const koe_shape *s, koe_tensor *t)
{
    if (!s->has_pitch) return;
    const size_t n = koe_tensor_count(t);
    const double mean = mean_f0(t);
    frame_walk w = start_walk(s, n);
    for (size_t i = 0; i < n; i++) {
        const koe_prosody *p = prosody_at(&w, i);
        double f0 = koe_acoustic_number(t, i);
        if (!(f0 > least_f0_hz)) continue;
        if (p->range_pct != 0) f0 = mean * pow(f0 / mean, 1 + p->range_pct / 100);
        if (p->pitch_to_hz > 0) f0 *= p->pitch_to_hz / mean;
        f0 = f0 * exp2(p->pitch_st / 12) + p->pitch_hz;
        koe_acoustic_put(t, i, fmin(fmax(f0, 2 * least_f0_hz), 1200));
    }
}

void koe_shape_energy(const koe_shape *s, koe_tensor *t)
{
    if (!s->n) return;
    const size_t n = koe_tensor_count(t);
    frame_walk w = start_walk(s, n);
    for (size_t i = 0; i < n; i++) {
        const double energy = prosody_at(&w, i)->energy;
        if (energy != 1) koe_acoustic_put(t, i, koe_acoustic_number(t, i) + log(energy)); /* Kokoro's energy is a logarithm */
    }
}

/* ---- where pitch and energy are in a graph -------------------------------------------------------------------------------- */

static const koe_tensor *weight_of(const koe_onnx_graph *g, koe_str name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (koe_str_eq(g->initializer[i].name, name)) return &g->initializer[i].t;
    return NULL;
}

/* A convolution from many channels to one: a curve. */
static bool makes_curve(const koe_onnx_graph *g, const koe_onnx_node *node)
{
    if ((!koe_acoustic_is(node, "Conv") && !koe_acoustic_is(node, "ConvInteger")) || node->n_in < 2 || !node->n_out) return false;
    const koe_tensor *w = weight_of(g, node->in[1]);
    return w && w->n_dim == 3 && w->dim[0] == 1 && w->dim[1] > 1 && w->dim[2] == 1;
}

/* Where the rescaling behind a quantised convolution, and its bias, end. */
static koe_str end_of_scaling(const koe_onnx_graph *g, koe_str tensor)
{
    static const char *const steps[] = { "Cast", "Mul", "Add" };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const koe_onnx_node *next = koe_acoustic_reader(g, tensor, steps[i], 0);
        if (next && next->n_out) tensor = next->out[0];
    }
    return tensor;
}

static bool reads_inside(const koe_onnx_node *node, koe_str tensor)
{
    for (size_t i = 0; i < node->n_in; i++)
        if (koe_str_eq(node->in[i], tensor)) return true;
    for (size_t i = 0; i < node->n_attr; i++)
        for (size_t k = 0; node->attr[i].g && k < node->attr[i].g->n_node; k++)
            if (reads_inside(&node->attr[i].g->node[k], tensor)) return true;
    return false;
}

static bool is_reshaping(const koe_onnx_node *node)
{
    static const char *const types[] = { "If", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Identity", "Cast" };
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        if (koe_acoustic_is(node, types[k])) return true;
    return false;
}

/* Whether the tensor, reshaped at most, is stretched in time: so does the harmonic source with the pitch. */
static bool is_stretched(const koe_onnx_graph *g, koe_str tensor, int hops)
{
    for (size_t i = 0; i < g->n_node && hops > 0; i++) {
        const koe_onnx_node *node = &g->node[i];
        if (!reads_inside(node, tensor)) continue;
        if ((koe_acoustic_is(node, "Resize") || koe_acoustic_is(node, "Upsample")) && koe_str_eq(node->in[0], tensor)) return true;
        if (is_reshaping(node) && node->n_out && is_stretched(g, node->out[0], hops - 1)) return true;
    }
    return false;
}

/* The first of the things that are joined with a convolution of the tensor, which may be reshaped before. */
static koe_str joined_with(const koe_onnx_graph *g, koe_str tensor, int hops)
{
    for (size_t i = 0; i < g->n_node && hops > 0; i++) {
        const koe_onnx_node *node = &g->node[i];
        if (!node->n_out || !reads_inside(node, tensor)) continue;
        const bool quantised = koe_acoustic_is(node, "ConvInteger");
        if (quantised || koe_acoustic_is(node, "Conv")) {
            const koe_str made = quantised ? end_of_scaling(g, node->out[0]) : node->out[0];
            const koe_onnx_node *join = koe_acoustic_reader(g, made, "Concat", 0);
            if (join && join->n_in >= 3 && !koe_str_eq(join->in[0], made)) return join->in[0];
        } else if (is_reshaping(node)) {
            const koe_str found = joined_with(g, node->out[0], hops - 1);
            if (found.n) return found;
        }
    }
    return (koe_str){ 0 };
}

koe_str koe_acoustic_find_features(const koe_onnx_graph *g, koe_str curve) { return joined_with(g, curve, 6); }

bool koe_acoustic_find_curves(const koe_onnx_graph *g, koe_str *pitch, koe_str *energy)
{
    koe_str curve[2];
    size_t n = 0;
    for (size_t i = 0; i < g->n_node; i++) {
        if (!makes_curve(g, &g->node[i])) continue;
        if (n == 2) return false;
        const koe_str made = g->node[i].out[0];
        curve[n++] = koe_acoustic_is(&g->node[i], "Conv") ? made : end_of_scaling(g, made);
    }
    if (n != 2) return false;
    const bool first = is_stretched(g, curve[0], 6), second = is_stretched(g, curve[1], 6);
    if (first == second) return false;
    *pitch = curve[second];
    *energy = curve[first];
    return true;
}
