/* acoustic.h - a provider's network: loaded once, run by many. */
#ifndef KOE_VOICE_ACOUSTIC_H
#define KOE_VOICE_ACOUSTIC_H
#include "graph/graph.h"
#include "voice/provider.h"

enum { KOE_ACOUSTIC_TAPS = 8 };

/* What a provider wants of a file before it becomes a session. */
typedef struct koe_acoustic_plan {
    const char *tap[KOE_ACOUSTIC_TAPS]; /* names of inner tensors, in the model's arena */
    size_t n_tap;
} koe_acoustic_plan;

/* Adds a tap; its index, -1 when there is no room. The session has it as an output behind the graph's own. */
int koe_acoustic_tap(koe_acoustic_plan *plan, koe_onnx_model *m, koe_str tensor);

/* Checks that the file is this provider's kind of network, and says what to tap. Called under a lock. */
typedef koe_status koe_acoustic_inspect(void *user, koe_acoustic_plan *plan, koe_onnx_model *m, koe_error *err);

/* A session that is opened at first use, and the memory of its runs. Threads: any. */
typedef struct koe_acoustic koe_acoustic;

/* Opens nothing yet. path is copied; of the setup only the pool, which is borrowed, the precision and keep_weights count. */
koe_status koe_acoustic_create(koe_acoustic **out, const char *path, const koe_voices_setup *setup, koe_acoustic_inspect *inspect,
                               void *user, koe_error *err);
void koe_acoustic_destroy(koe_acoustic *a);
/* Loads the session now, if it is not. */
koe_status koe_acoustic_load(koe_acoustic *a, koe_error *err);
/* The session, loaded when it is not, and a run of it, to be given back: until then both are there. Waits while as many as the pool has
 * threads are at work. */
koe_status koe_acoustic_borrow(koe_acoustic *a, koe_session **session, koe_run **run, const atomic_bool *cancel, koe_error *err);
void koe_acoustic_give_back(koe_acoustic *a, koe_run *run);
/* Frees a session that nobody has used for so long, until its next use. a may be NULL. */
koe_models_load koe_acoustic_unload(koe_acoustic *a, double idle_s);
/* Counts the sessions that were loaded. For who has borrowed one. */
uint64_t koe_acoustic_loading(const koe_acoustic *a);

/* The first declared input of one of these names (ended by NULL); NULL when there is none. */
const koe_onnx_value *koe_acoustic_input(const koe_onnx_graph *g, const char *const *names);
/* Sets the input of that name from [1, n] numbers (or [n], or a scalar, as the model declares), converted to its type; the tensor
 * lives in the arena. */
koe_status koe_acoustic_set(koe_run *run, const koe_session *s, koe_str name, const double *number, size_t n, koe_arena *arena,
                            koe_error *err);
/* Sets every element. */
void koe_acoustic_fill(koe_tensor *t, double x);
/* The samples of a float tensor of any shape. */
koe_status koe_acoustic_samples(koe_speech *out, const koe_value *v, koe_error *err);
/* Lays the durations that output `duration_out` holds, one for each token, over n_samples; -1: there are none, all last equally
 * long. */
koe_status koe_acoustic_lay_times(size_t n_samples, int duration_out, const koe_run *run, koe_timeline *t,
                                  const koe_tokens *tokens, koe_error *err);

/* Element i as a number, and back; float and integer tensors only. */
double koe_acoustic_number(const koe_tensor *t, size_t i);
void koe_acoustic_put(koe_tensor *t, size_t i, double x);

/* ---- prosody.c: what the writer asks of single words ---- */

/* For each token how it is spoken; n == 0: all as they are. */
typedef struct koe_shape {
    koe_prosody *token;
    double *frames; /* durations, as they were set */
    size_t n;
    bool has_pitch;
    double frame_s; /* how long one is: the provider's; 0: not known */
} koe_shape;

koe_status koe_shape_init(koe_shape *s, const koe_tokens *tokens, const koe_segment *segment, koe_error *err);
void koe_shape_deinit(koe_shape *s);
/* Scales the durations of tokens, before they are rounded; rate and the request's speed together stay within 0.25 to 4. */
koe_status koe_shape_durations(koe_shape *s, koe_tensor *t, double speed, koe_error *err);
/* Change a curve of frames, of whatever rate; koe_shape_durations() comes first. */
void koe_shape_pitch(const koe_shape *s, koe_tensor *f0_hz);
void koe_shape_energy(const koe_shape *s, koe_tensor *log_energy);
/* Kokoro's two curves, by what they are: convolutions to one channel, of which the pitch is the one that is stretched to samples for
 * the harmonic source. False: not found. */
bool koe_acoustic_find_curves(const koe_onnx_graph *g, koe_str *pitch, koe_str *energy);

/* ---- piece.c: the beginning of a segment on its own ---- */

/* What a piece leaves for the whole of its segment: the values at which the run for the whole goes on. */
struct koe_rest {
    uint64_t loading; /* of the session that computed them: koe_acoustic_loading() */
    size_t n;
    koe_given given[KOE_ACOUSTIC_TAPS + 1]; /* data malloc()ed */
    bool failed; /* no memory: of no use */
};

/* Adds a copy of what output `out` is. */
void koe_rest_keep(koe_rest *r, size_t out, const koe_tensor *t);

typedef struct koe_piece {
    const koe_tokens *tokens;
    const koe_timeline *timeline;
    const koe_segment *segment;
    size_t said; /* words that began in pieces before */
    double said_frames, in_hand; /* frames of theirs; of which the listener has not heard so many */
    double least_frames; /* that a first piece should have; 0: all of the segment */
    double frame_s; /* how long one lasts */
    double pace; /* seconds of work for a second of sound, behind the place where the piece is cut; 0: not known yet */
    size_t n_words; /* that begin in the piece or before; 0: the segment is not cut */
    double total, seam, end; /* frames: of the segment, of the piece, that are made */
} koe_piece;

/* Where to cut, by the durations of the tokens before they are rounded: the listener must not fall silent until the rest is made. */
void koe_piece_choose(koe_piece *p, const koe_tensor *lengths);
/* Cuts off the last dimension, one or more columns for each frame. KOE_E_FORMAT when it is not that. */
koe_status koe_piece_cut(const koe_piece *p, koe_tensor *t, koe_error *err);
/* Sets n_said and seam of what was made, if it is a piece. */
void koe_piece_lay(const koe_piece *p, koe_speech *out);
/* The features of every frame that stand beside the curve where Kokoro's decoder joins them: a Concat of them and of convolutions of the
 * curves. n == 0: not found. */
koe_str koe_acoustic_find_features(const koe_onnx_graph *g, koe_str curve);

/* ---- looking through a graph, by what nodes do and not by their names ---- */

/* The node that makes this tensor; NULL: an input, a weight, nobody. Casts and identities are looked through. */
const koe_onnx_node *koe_acoustic_maker(const koe_onnx_graph *g, koe_str tensor);
/* The n-th node (from 0) of this type that reads the tensor, through casts and identities; NULL when there are fewer. */
const koe_onnx_node *koe_acoustic_reader(const koe_onnx_graph *g, koe_str tensor, const char *op_type, size_t n);
bool koe_acoustic_is(const koe_onnx_node *node, const char *op_type);
#endif
