/* front.h - inside the text room: what its stages hand to each other.
 *
 *     input --next block--> BLOCK --normalise--> NORMAL text --phonemise--> PIECES --assemble--> segments with words
 *
 * A block is a paragraph, or a part of a long one, so that memory and time stay linear in the input. All offsets are bytes. A piece is
 * the smallest thing that is never torn: a word's phonemes, or a mark. Threads: everything here belongs to one call. */
#ifndef KOE_TEXT_FRONT_H
#define KOE_TEXT_FRONT_H
#include <pthread.h>

#include "base/base.h"
#include "text/espeak.h"
#include "text/lang.h"
#include "text/lexicon.h"
#include "text/reading.h"
#include "text/spell.h"
#include "text/text.h"
#include "text/user_lexicon.h"

typedef struct koe_zh koe_zh;
typedef struct koe_ja koe_ja;

struct koe_text {
    koe_espeak *espeak;
    char *lexicon_dir; /* NULL: none */
    pthread_mutex_t lock; /* guards the opening of what follows */
    koe_lexicon *english[2]; /* US, GB; opened at first use */
    koe_zh *zh;
    koe_ja *ja;
    koe_speller *speller[KOE_READING_COUNT]; /* by row of the readings */
    koe_user_files *user_files;
    bool tried[2], tried_zh, tried_ja;
};

/* ---- normal text: what is spoken, and where in the input it came from ---- */

/* text[at, at + n) came from input[text_at, text_at + text_n); same: byte for byte. */
typedef struct koe_span {
    size_t at, n, text_at, text_n;
    bool same;
} koe_span;

typedef struct koe_normal {
    koe_buf text;
    koe_span *span; /* in order, without gaps in either text */
    size_t n, cap;
    bool failed; /* out of memory */
} koe_normal;

void koe_normal_free(koe_normal *t);
void koe_normal_clear(koe_normal *t);
/* Appends bytes of the input as they are. */
void koe_normal_keep(koe_normal *t, koe_str input, size_t at, size_t n);
/* Appends `by` in place of input[at, at + n). */
void koe_normal_replace(koe_normal *t, size_t at, size_t n, koe_str by);
/* Appends what stands for the start of text[at...] to `words`; returns how many bytes that is, 0 where nothing is to be replaced. */
typedef size_t koe_put_fn(koe_buf *words, koe_str text, size_t at);
/* Appends all of `input`, with what `put` makes of its characters one after the other. Latin words, digits in them too (mp3, B12), stay. */
void koe_normal_rewrite(koe_normal *t, koe_str input, koe_put_fn *put);
/* Where in the input normal byte `at` came from: exact in kept text, in proportion in replaced text. `hint` (may start as 0) remembers
 * the span between calls, so that a walk in order is linear. */
size_t koe_normal_source(const koe_normal *t, size_t at, size_t *hint);
/* The way back: where input byte `text_at` is in the normal text. */
size_t koe_normal_place(const koe_normal *t, size_t text_at, size_t *hint);
/* What of the input normal bytes [at, at + n) came from: all of what was replaced as a whole, and nothing of what was left out around. */
void koe_normal_range(const koe_normal *t, size_t at, size_t n, size_t *hint, size_t *text_at, size_t *text_n);
/* `outer` was made from the text of `inner`: makes outer's spans point to what inner's point to. */
void koe_normal_compose(koe_normal *outer, const koe_normal *inner);

/* ---- pieces ---- */

typedef enum koe_break { /* how good a place to stop is the end of a piece */
    KOE_BREAK_NONE, /* inside a word */
    KOE_BREAK_WORD,
    KOE_BREAK_CLAUSE,
    KOE_BREAK_SENTENCE,
    KOE_BREAK_LINE,
    KOE_BREAK_PARAGRAPH,
} koe_break;

typedef struct koe_piece {
    size_t at, n; /* of the normal text */
    size_t sound_at, sound_n; /* bytes of koe_block.sound */
    size_t n_phonemes; /* code points of it */
    bool voiced; /* speech; false: a mark, or nothing */
    bool space; /* a space follows in the phonemes */
    koe_break brk;
} koe_piece;

/* The writer says how a word is spoken, where it stands (markup.h) or in a lexicon (user_lexicon.h). Offsets of the normal text. */
typedef struct koe_link {
    size_t at, n; /* n == 0: a rule has taken it apart */
    koe_str value; /* "/phonemes/", "+1", "#a#"; borrowed from the markup or the lexicon */
    bool is_ipa; /* of phonemes */
    const koe_user_word *word; /* of a lexicon, whose phonemes depend on the part of speech; NULL: none */
    bool is_alias; /* of a lexicon: what stands here is read as it stands */
    bool has_s; /* -s is spoken after it */
} koe_link;

typedef struct koe_block {
    koe_text *t;
    const koe_text_options *opt;
    const koe_lang *lang;
    const struct koe_marked *marked; /* the whole text */
    size_t next_span; /* of it: the first that is not yet dealt with */
    koe_str input; /* its plain text */
    size_t text_at, text_n; /* of the input: this block */
    koe_break end; /* how the block ends */
    koe_normal normal;
    koe_buf sentences; /* size_t: where sentences start in the normal text, but the first */
    koe_buf applied; /* koe_applied: the rules that rewrote something, in order */
    koe_user_lexicon *const *lexicon; /* of the writer, the first first */
    size_t n_lexicon;
    koe_link *link; /* in order */
    size_t n_link;
    koe_buf sound; /* phonemes of all pieces, UTF-8 */
    koe_piece *piece;
    size_t n, cap;
    bool failed; /* out of memory */
} koe_block;

/* The sentence starts of a block, *n of them. */
static inline const size_t *koe_block_sentences(const koe_block *b, size_t *n)
{
    *n = b->sentences.n / sizeof(size_t);
    return (const size_t *)(const void *)b->sentences.data;
}
/* Appends a piece for normal[at, at + n) with these phonemes. */
void koe_block_add(koe_block *b, size_t at, size_t n, koe_str phonemes, bool voiced, bool space);

/* ---- stages ---- */

/* From input[at]: where the next block ends and how: with the paragraph, the first sentence after `soft` bytes, or after 8 KB. */
size_t koe_block_end(koe_str input, size_t at, size_t soft, koe_break *end);
/* Fills b->normal. */
koe_status koe_normalise_block(koe_block *b, koe_error *err);
/* Offsets of sentence starts in `text` (but the first), ascending, appended to `out` as size_t. */
koe_status koe_sentences(koe_buf *out, koe_str text, const koe_lang *lang, koe_error *err);
/* Fills b->piece from b->normal, by alphabet and language. */
koe_status koe_phonemise_block(koe_block *b, koe_error *err);
/* misaki's English. */
koe_status koe_phonemise_english(koe_block *b, const koe_lexicon *lexicon, bool british, koe_str text, size_t at, koe_error *err);
/* The dictionary of an accent, opened at first use; NULL when it is not installed, which is logged once. */
const koe_lexicon *koe_text_lexicon(koe_text *t, bool british);
/* NULL: out of memory. */
koe_speller *koe_text_speller(koe_text *t, const koe_reading *reading);
const koe_zh *koe_text_zh(koe_text *t);
const koe_ja *koe_text_ja(koe_text *t);
/* espeak-ng's `lang`, in the symbols of the voice's alphabet. */
koe_status koe_phonemise_espeak(koe_block *b, const koe_lang *lang, koe_str text, size_t at, koe_error *err);

/* Whether a word has something to say: letters, digits, or signs with a name. */
bool koe_has_sound(koe_str s);
/* IPA of a text by espeak-ng, tied or not, whatever happens: what kills espeak-ng is tried word by word, then letter by letter, and a
 * letter that still does is silent. Fails only when espeak-ng cannot run at all. */
koe_status koe_espeak_safe(koe_text *t, koe_buf *out, koe_str voice, koe_str text, bool tie, koe_error *err);
/* misaki's symbols for espeak-ng's tied IPA: English (section 7 of its rules) or any other language. Appended to `out`. */
void koe_misaki_english(koe_buf *out, koe_str ipa, bool british);
void koe_misaki_other(koe_buf *out, koe_str ipa);
/* The same for IPA as people write it, without ties, and the way back: misaki's letters for two sounds as IPA, the rest as it is. */
void koe_misaki_of_ipa(koe_buf *out, koe_str ipa, const koe_lang *lang);
void koe_misaki_to_ipa(koe_buf *out, koe_str misaki);
/* What stands between the slashes of "/phonemes/"; n == 0: the link says something else. */
koe_str koe_link_phonemes(const koe_link *l);
/* English -s by the last sound of misaki's symbols or IPA, appended to `out`, which ends with it. */
void koe_add_english_s(koe_buf *out, bool british, koe_alphabet alphabet);
/* For each code point of `b` the piece of `a` it belongs to: owner_b[j] = owner_a[i], along a cheapest alignment. False: out of memory. */
bool koe_align(const uint32_t *a, const uint32_t *owner_a, size_t n_a, const uint32_t *b, uint32_t *owner_b, size_t n_b);
#endif
