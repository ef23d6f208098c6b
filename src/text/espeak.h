/* espeak.h - espeak-ng, at arm's length. The library keeps global state and has crashed on hostile text, so it lives in a child process
 * (`koe espeak-helper`, a pipe each way) that may die: it is started again, and the call fails with KOE_E_IO only when the text kills it
 * once more. One that others kill (a signal, the kernel for want of memory) is not the text's doing: that is tried several times, then
 * KOE_E_UNAVAILABLE. KOE_E_UNSUPPORTED: there is no espeak-ng here. Answers for single words are remembered. Threads: any; calls are served one after the other. */
#ifndef KOE_TEXT_ESPEAK_H
#define KOE_TEXT_ESPEAK_H
#include "base/status.h"
#include "base/str.h"

typedef struct koe_espeak koe_espeak;

/* The child is started at first use. helper: see koe_text_setup. */
koe_status koe_espeak_open(koe_espeak **out, const char *helper, koe_error *err);
void koe_espeak_close(koe_espeak *e);

/* IPA of `text` in espeak-ng's voice `voice`, appended to `out`; with the tie character '^' between the letters of one phoneme when `tie`.
 * Punctuation is not in the result. */
koe_status koe_espeak_phonemes(koe_espeak *e, koe_buf *out, koe_str voice, koe_str text, bool tie, koe_error *err);

/* A word of koe_espeak_speak(): where in the text, and when. */
typedef struct koe_espeak_word {
    size_t text_at, text_n; /* bytes */
    size_t sample; /* where it starts */
} koe_espeak_word;

/* Speech of espeak-ng's own synthesiser: mono s16 appended to `samples` (bytes), its rate in *rate_hz, words appended to `words` as
 * koe_espeak_word structs. speed 1.0 is 175 words a minute; pitch_semitones 0 is the voice's own. The same words give the same samples,
 * whatever was asked for before. */
koe_status koe_espeak_speak(koe_espeak *e, koe_buf *samples, koe_buf *words, int *rate_hz, koe_str voice, koe_str text, double speed,
                            double pitch_semitones, koe_error *err);

/* The child's side: serves requests from fd_in to fd_out until end of file; returns an exit status. */
int koe_espeak_serve(int fd_in, int fd_out);
/* The text room's shared one. */
struct koe_text;
koe_espeak *koe_text_espeak(struct koe_text *t);
#endif
