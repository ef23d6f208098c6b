/* text.h - written text -> segments of phonemes with their words.
 *     NORMALISE -> SEGMENT -> PHONEMISE -> (tokens, in the voice room)
 * "Dr. Ito paid $3." -> one segment, phonemes of "doctor ito paid three dollars", with words that point at "Dr.", "Ito", "paid", "$3."
 * Nothing of the input is ever dropped: what no rule covers is spelled out; every input word is a koe_word of some segment.
 * Threads: a koe_text is shared; koe_text_segments() is reentrant. */
#ifndef KOE_TEXT_TEXT_H
#define KOE_TEXT_TEXT_H
#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"
#include "koe.h" /* KOE_RULES_* */

/* What the voice was trained on. */
typedef enum koe_alphabet {
    KOE_ALPHABET_MISAKI, /* Kokoro: misaki's symbols */
    KOE_ALPHABET_ESPEAK, /* Piper: espeak-ng's IPA, as code points */
    KOE_ALPHABET_TEXT, /* Piper "text" voices: the normalised text itself */
    KOE_ALPHABET_NONE, /* built-in voice: no phonemes; the normalised words stand in their place, as written */
} koe_alphabet;

/* The front end of a process: dictionaries, the espeak-ng helper process, the memory of its answers. */
typedef struct koe_text koe_text;

typedef struct koe_text_setup {
    const char *lexicon_dir; /* laid out as $KOE_HOME/lexicon; NULL or missing: espeak-ng alone, said once in the log */
    const char *user_lexicon; /* the writer's own words: files and folders, ':' between (user_lexicon.h); NULL: only those of lexicon_dir */
    const char *helper; /* path of the koe binary, run as `koe espeak-helper`; NULL: $KOE_BIN, else the koe of $PATH */
} koe_text_setup;

koe_status koe_text_open(koe_text **out, const koe_text_setup *setup, koe_error *err);
void koe_text_close(koe_text *t);

/* How the writer directs the speaker inside the text (markup.h). */
typedef enum koe_markup {
    KOE_MARKUP_TAGS, /* [word](/phonemes/) [word](+1) [pause:1.5s] [voice:af_sky] [rate:1.2] ... */
    KOE_MARKUP_NONE,
    KOE_MARKUP_SSML, /* the text is an SSML 1.1 document */
} koe_markup;

typedef struct koe_text_options koe_text_options;
/* Called where the writer asks for another voice or language than before; fills in what of *opt depends on them. voice, lang: as written,
 * n == 0: not asked for. */
typedef koe_status koe_text_voice_fn(void *user, koe_str voice, koe_str lang, koe_text_options *opt, koe_error *err);

/* Called with what could not be done as the text asks. */
typedef void koe_text_warn_fn(void *user, const char *message);

struct koe_text_options {
    koe_str lang; /* language tag or Kokoro letter: en-us en-gb es fr hi it ja pt-br zh, a b e f h i j p z, de, ... */
    koe_alphabet alphabet;
    koe_str espeak_voice; /* KOE_ALPHABET_ESPEAK: espeak-ng's voice name, "en-us" */
    size_t max_phonemes; /* code points of a segment, 0: 510 */
    size_t first_max_phonemes; /* a shorter first segment, cut at a clause, for streaming; 0: as the others */
    bool no_normalize; /* true: text is taken as written */
    unsigned rules_off; /* set of KOE_RULES_* */
    bool phonemes; /* true: the text already is phonemes in this alphabet */
    double pause_scale; /* of the pauses between sentences and clauses; 0: 1.0 */
    koe_markup markup;
    koe_text_voice_fn *for_voice; /* NULL: another language is read in the same alphabet, another voice changes nothing */
    koe_text_warn_fn *warn; /* NULL: the log */
    void *user; /* of for_voice and warn */
    koe_str lexicon; /* the request's own: JSON or PLS, or the name of an installed one; borrowed; n == 0: none */
    double pitch_st; /* semitones by which all is higher */
};

/* How a word is to be spoken, against how it would be. */
typedef struct koe_prosody {
    double rate; /* 2: twice as fast */
    double pitch_st; /* semitones up */
    double pitch_hz; /* added; */
    double pitch_to_hz; /* the mean of the segment becomes this; 0: not asked for */
    double gain; /* factor of the amplitude; 0: silent */
    double energy; /* factor of the vocal effort */
    double range_pct; /* of the pitch's movement around its mean: 0 as it is, -100 monotone, 100 twice as much */
    double duration_s; /* the word's share of what its group is to last; 0: as long as it does */
    unsigned group; /* words that one element shapes; 0: none */
} koe_prosody;

#define KOE_PROSODY_PLAIN ((koe_prosody){ .rate = 1, .gain = 1, .energy = 1 })

/* A word as the user wrote it, and where its sound is. */
typedef struct koe_word {
    size_t text_at, text_n; /* bytes of the input */
    size_t phoneme_at, phoneme_n; /* code points of the segment's phonemes; phoneme_n 0: silent (a lone symbol) */
} koe_word;

/* A place that the writer gave a name. */
typedef struct koe_mark {
    koe_str name;
    size_t text_at; /* of the input */
    size_t word; /* it is where this word of the segment starts; is_behind: ends; no such word: at the start of the segment */
    bool is_behind;
    bool after_pause; /* it is where the segment's pause ends */
} koe_mark;

typedef struct koe_segment {
    koe_str phonemes; /* UTF-8; at most max_phonemes code points; none: only a pause, before the first words */
    koe_str text; /* the normalised words of this segment, what the built-in voice speaks */
    size_t text_at, text_n; /* bytes of the input that it covers, white space included: segments cover the input without gaps */
    const koe_word *word;
    size_t n_word;
    const char *const *word_rule; /* for each word the normalisation rule that rewrote it, by name, NULL: none */
    const koe_prosody *prosody; /* for each word; NULL: all as they are */
    double pause_s; /* silence after it: clause, sentence or paragraph */
    bool pause_exact; /* the writer gave its length: it does not change with the speed */
    koe_str lang; /* canonical tag */
    koe_str voice; /* that the writer asked for; n == 0: none, the request's */
    const koe_mark *mark;
    size_t n_mark;
} koe_segment;

typedef struct koe_segments {
    koe_segment *segment;
    size_t n;
    koe_arena arena; /* owns everything above */
} koe_segments;

/* KOE_E_FORMAT with line and column for SSML that is not well-formed. KOE_E_ENCODING with the byte offset where the input is not UTF-8; KOE_E_ARGUMENT for an unknown language (the message lists them).
 * Text without anything to say gives n == 0 and KOE_OK. Copies: `input` may be freed after the call. */
koe_status koe_text_segments(koe_segments *out, koe_text *t, koe_str input, const koe_text_options *opt, koe_error *err);
void koe_segments_free(koe_segments *s);

/* The same part by part, for a text of any length. Threads: one at a time, any. */
typedef struct koe_passage koe_passage;
/* Errors as koe_text_segments(); those of a later part come later. Borrows t, input and opt's strings until koe_passage_close(). */
koe_status koe_passage_open(koe_passage **out, koe_text *t, koe_str input, const koe_text_options *opt, koe_error *err);
/* The next segments, at least one unless nothing is left to say; *last: there are no more. Free them with koe_segments_free(). */
koe_status koe_passage_next(koe_passage *r, koe_segments *out, bool *last, koe_error *err);
/* NULL is fine. */
void koe_passage_close(koe_passage *r);

/* A digest of the writer's words that are installed now, for the keys of caches; "" when there are none. */
void koe_text_user_key(koe_text *t, char out[65]);
/* Whether one of them has this name, for koe_text_options.lexicon. */
bool koe_text_user_has(koe_text *t, koe_str name);

/* Canonical tag ("en-us") for a tag, a Kokoro letter or a loose spelling ("EN", "en_US", "english"); n == 0 when unknown. Static memory. */
koe_str koe_lang_canonical(koe_str lang);
#endif
