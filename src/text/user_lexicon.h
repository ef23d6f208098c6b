/* user_lexicon.h - the writer's own words: how they are spoken, or what is read in their place.
 *     JSON | PLS --READ--> koe_user_lexicon --MATCH, wherever a word starts--> phonemes or an alias (normalise.c)
 *     files of the installation --SNAPSHOT, looked at again for each text--> koe_user_set
 * JSON (user_lexicon_read.c): {"word": "phonemes"}, {"word": {"phonemes" | "alias", "lang", "pos", "alphabet", "case_sensitive"}}, misaki's
 * {"word": {"DEFAULT": ..., "VERB": ...}}, or a list of such objects with "word", "phrase", "grapheme" or "string_to_replace".
 * PLS: the W3C's Pronunciation Lexicon Specification 1.0.
 * Everything here may come from a client: sizes are limited, errors name the line, nothing is fetched.
 * Threads: a lexicon and a set are read-only once made and counted by their users. */
#ifndef KOE_TEXT_USER_LEXICON_H
#define KOE_TEXT_USER_LEXICON_H
#include "base/str.h"
#include "text/lang.h"
#include "text/lexicon.h"

enum { KOE_USER_LEXICON_BYTES = 16 << 20 /* of a file or a request's own */ };

/* Which spellings of the word are meant. Default: a word written in small letters any, another its own and all capitals. */
typedef enum koe_user_case { KOE_USER_CASE_DEFAULT, KOE_USER_CASE_ANY, KOE_USER_CASE_EXACT } koe_user_case;

typedef struct koe_user_word {
    koe_str written; /* NFC, one space between its words */
    const koe_lang *lang; /* NULL: any */
    bool is_general; /* lang stands for all regions of its language: "en" */
    koe_user_case letter_case;
    koe_str alias; /* read in its place; n == 0: none */
    koe_str phonemes[KOE_N_POS]; /* "/phonemes/" by part of speech; n == 0: none */
    bool is_misaki; /* misaki's symbols; false: IPA, or a mixture of both */
    const struct koe_user_word *next; /* of the same letters */
} koe_user_word;

typedef struct koe_user_lexicon koe_user_lexicon;

/* One reference, the caller's. name: of the file, for messages. KOE_E_FORMAT, KOE_E_LIMIT with the line. */
koe_status koe_user_lexicon_read(koe_user_lexicon **out, koe_str text, const char *name, koe_error *err);
koe_user_lexicon *koe_user_lexicon_ref(koe_user_lexicon *l);
void koe_user_lexicon_unref(koe_user_lexicon *l);
size_t koe_user_lexicon_count(const koe_user_lexicon *l);

typedef struct koe_user_match {
    const koe_user_word *word;
    size_t n; /* bytes of the text */
    bool has_s; /* an English plural or possessive: the word and -s */
} koe_user_match;

/* The longest word of the lexicon that starts at text[at] and is read in this language. False: none does, or no word starts here. */
bool koe_user_lexicon_match(const koe_user_lexicon *l, koe_str text, size_t at, const koe_lang *lang, koe_user_match *out);

/* The phonemes for a part of speech, or else of any; n == 0: there are none. */
koe_str koe_user_word_phonemes(const koe_user_word *w, koe_pos exact, koe_pos parent);

/* IPA for X-SAMPA, appended; what is none stays as it is. */
void koe_ipa_of_xsampa(koe_buf *out, koe_str xsampa);

/* ---- what is installed ---- */

typedef struct koe_user_set {
    koe_user_lexicon **always; /* used for every text, the first first */
    size_t n_always;
    struct koe_user_named {
        char *name; /* "medical" */
        koe_user_lexicon *lexicon;
    } *named; /* used when a request or a document names them */
    size_t n_named;
    char digest[65]; /* of all contents */
    int refs; /* guarded by the folder's lock */
} koe_user_set;

typedef struct koe_user_files koe_user_files;

/* Reads dir/user*.{json,pls} and all of dir/user/ (used always), dir/named/NAME.{json,pls} (by name), and `more`: files and folders
 * separated by ':', used always and before them. dir, more: may be NULL or missing, but not a part of `more`: that is KOE_E_NOT_FOUND, and
 * an error in one of its files is this call's. In the other files an error is logged and the file left out. */
koe_status koe_user_files_open(koe_user_files **out, const char *dir, const char *more, koe_error *err);
/* NULL is fine. */
void koe_user_files_close(koe_user_files *f);
/* What the files hold now. They are looked at (stat), and read again when they have changed; a file that has become wrong is logged and
 * stays as it was. NULL: nothing is installed. */
koe_user_set *koe_user_files_take(koe_user_files *f);
void koe_user_files_give_back(koe_user_files *f, koe_user_set *s);
/* The lexicon of that name, "medical" or "medical.pls"; NULL when there is none. */
koe_user_lexicon *koe_user_set_find(const koe_user_set *s, koe_str name);
#endif
