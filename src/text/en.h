/* en.h - inside English: tokens, tags, and the steps from one to phonemes, as misaki does them.
 *     normal text -> tokens (en_token) -> tags (en_tag) -> pieces (en_split) -> phonemes, right to left (en_g2p)
 *                                                                 words: en_lookup, numbers: en_number, stress: en_stress
 * All strings made on the way live in one arena and die with the block. */
#ifndef KOE_TEXT_EN_H
#define KOE_TEXT_EN_H
#include <math.h>

#include "text/front.h"

#define KOE_TAG_LIST(X) /* Penn Treebank, and spaCy's few additions */ \
    X(XX) X(CC) X(CD) X(DT) X(EX) X(FW) X(IN) X(JJ) X(JJR) X(JJS) X(MD) X(NN) X(NNS) X(NNP) X(NNPS) X(PDT) X(POS) X(PRP) X(PRPS) X(RB) \
    X(RBR) X(RBS) X(RP) X(SYM) X(TO) X(UH) X(VB) X(VBD) X(VBG) X(VBN) X(VBP) X(VBZ) X(WDT) X(WP) X(WPS) X(WRB) X(ADD) X(STOP) X(COMMA) \
    X(COLON) X(LRB) X(RRB) X(OPEN) X(CLOSE) X(DOLLAR) X(HASH) X(NFP)
#define KOE_TAG_ENUM(t) KOE_TAG_##t,
typedef enum koe_en_tag_id { KOE_TAG_LIST(KOE_TAG_ENUM) KOE_N_TAG } koe_en_tag_id;
#undef KOE_TAG_ENUM

#define KOE_NO_STRESS NAN

typedef struct koe_en_token {
    size_t at; /* of koe_english.text */
    koe_str text;
    koe_en_tag_id tag;
    bool space; /* white space follows */
    bool is_head; /* first of its word */
    bool prespace; /* a space goes before it inside its word */
    bool done; /* phonemes are known, perhaps none */
    bool same_link; /* goes on in the link that the token before it started */
    koe_str phonemes;
    char currency; /* '$', 'L' for pounds, 'E' for euros; 0: none */
    const char *alias; /* read as this word; NULL: as written */
    double stress; /* asked for by the writer; KOE_NO_STRESS */
    const char *num_flags; /* "" or letters of & n a */
} koe_en_token;

typedef struct koe_en_tokens {
    koe_en_token *token;
    size_t n, cap;
    bool failed;
} koe_en_tokens;

/* What follows a word. */
typedef struct koe_en_context {
    int vowel; /* 1: a vowel, 0: a consonant, -1: a pause or the end */
    bool to; /* the word "to" */
} koe_en_context;

typedef struct koe_english {
    koe_text *t;
    const koe_lexicon *lexicon;
    bool british;
    koe_arena arena;
    koe_str text; /* the stretch of normal text that is read */
    koe_error *err;
    koe_status st;
} koe_english;

/* A word to look up: one token, or several merged. */
typedef struct koe_en_query {
    koe_str text;
    koe_en_tag_id tag;
    bool is_head;
    char currency;
    double stress;
    const char *num_flags;
} koe_en_query;

void koe_en_add_token(koe_en_tokens *t, koe_en_token token);
/* spaCy's English tokenizer: white space, exceptions, prefixes, suffixes, infixes. */
void koe_en_tokenize(koe_english *e, koe_en_tokens *out, koe_str text);
/* Sets every token's tag. */
void koe_en_tag(koe_english *e, koe_en_tokens *t);
/* misaki's second split: camelCase, digits, signs. Appends the pieces of one token. */
void koe_en_split(koe_en_tokens *out, const koe_en_token *token);

/* Phonemes of a word by special case, dictionary, ending or number; p NULL when there are none. In the arena. */
koe_str koe_en_lookup(koe_english *e, const koe_en_query *q, koe_en_context ctx);
/* The dictionary's phonemes of one word (endings not tried); p NULL when there are none. */
koe_str koe_en_dictionary(koe_english *e, koe_str word, koe_en_tag_id tag, double stress, const koe_en_context *ctx);
/* The same by word endings only: "-s". */
koe_str koe_en_stem_s(koe_english *e, koe_str word, koe_en_tag_id tag, double stress, const koe_en_context *ctx);
/* A tag as the dictionaries' keys: the very form and the part of speech; KOE_N_POS: none. */
void koe_en_pos(koe_en_tag_id tag, koe_pos *exact, koe_pos *parent);
/* The names of a word's letters; p NULL when one has none. */
koe_str koe_en_spell(koe_english *e, koe_str word);
/* Whether the word (ASCII digits) is a number, and its phonemes. */
bool koe_en_is_number(koe_str word, bool is_head);
/* Its words, separated by spaces, appended; flags "" or letters of & n a. The suffix (s, ed, ing) is not in them. */
void koe_en_number_words(koe_buf *out, koe_str word, bool is_head, char currency, const char *flags);
koe_str koe_en_number(koe_english *e, const koe_en_query *q, koe_str word);
/* "dollars" and the like behind a word that is no number. */
koe_str koe_en_append_currency(koe_english *e, koe_str phonemes, char currency);
/* Suffixes by sound. p NULL when they do not fit. */
koe_str koe_en_add_s(koe_english *e, koe_str stem);
koe_str koe_en_add_ed(koe_english *e, koe_str stem);
koe_str koe_en_add_ing(koe_english *e, koe_str stem);
/* misaki's apply_stress. */
koe_str koe_en_stress(koe_english *e, koe_str phonemes, double stress);
/* 2 for each diphthong or affricate letter, 1 for each other. */
size_t koe_en_weight(koe_str phonemes);
bool koe_en_has(koe_str phonemes, uint32_t c);
/* What a word is followed by when these phonemes follow. */
int koe_en_vowel_after(koe_str phonemes, int vowel);

/* Formats into the arena; p NULL and e->st set when out of memory. */
koe_str koe_en_printf(koe_english *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define KOE_PRIMARY 0x2c8u
#define KOE_SECONDARY 0x2ccu
#define KOE_EN_VOWELS "AIOQWYaiuæɑɒɔəɛɜɪʊʌᵻ"
#define KOE_EN_CONSONANTS "bdfhjklmnpstvwzðŋɡɹɾʃʒʤʧθ"
#define KOE_EN_PAUSES ";:,.!?—…"
#endif
