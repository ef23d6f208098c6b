/* lexicon.h - misaki's English dictionaries, compiled into one mapped file for each accent.
 * gold is checked by people, silver is not; an entry of gold may depend on the part of speech. A third kind of entry says how a written
 * form that is not one word falls into tokens ("don't" -> "do n't").
 *
 * File (little endian, this machine's own; a cache, not for exchange):
 *     header     koe_lexicon_header
 *     slots      n_slots pairs of u32: hash, offset of the record (0: free); linear probing
 *     records    u8 n_key, key, then for each of gold, silver, pieces that the u8 `kinds` names: the value
 *                gold plain, silver, pieces: u8 n, bytes.   gold by part of speech: u8 count, then count times u8 pos, u8 n (255: none), bytes
 * Threads: read-only once opened. */
#ifndef KOE_TEXT_LEXICON_H
#define KOE_TEXT_LEXICON_H
#include "base/file.h"
#include "base/str.h"

typedef enum koe_pos { /* keys of the dictionaries */
    KOE_POS_DEFAULT, KOE_POS_NOUN, KOE_POS_VERB, KOE_POS_ADJ, KOE_POS_ADV, KOE_POS_VBD, KOE_POS_VBN, KOE_POS_VBP, KOE_POS_DT,
    KOE_POS_NONE, /* "None": before a pause */
    KOE_N_POS,
} koe_pos;

typedef struct koe_lexicon koe_lexicon;

typedef struct koe_entry {
    bool gold, silver, by_pos;
    koe_str gold_value; /* by_pos: unused */
    koe_str pos_value[KOE_N_POS]; /* p NULL: no such key; n 0 with p: an explicit "spell it" */
    koe_str silver_value;
} koe_entry;

/* accent: "us" or "gb". Uses dir/en-<accent>.klex, or the same in the cache folder ($XDG_CACHE_HOME/koe, ~/.cache/koe); built anew from
 * dir/<accent>_gold.json and _silver.json when missing or older than they are, kept in memory when it cannot be written.
 * KOE_E_NOT_FOUND when the dictionaries are not there. */
koe_status koe_lexicon_open(koe_lexicon **out, const char *dir, const char *accent, koe_error *err);
void koe_lexicon_close(koe_lexicon *l);
/* Entry for a word exactly as spelled, or else for its lower-case or Capitalised form when the dictionary has only that one.
 * False when there is none. Values borrow from the lexicon. */
bool koe_lexicon_find(const koe_lexicon *l, koe_str word, koe_entry *out);
/* Pieces of a written form, separated by a space; n == 0 when there is no entry. */
koe_str koe_lexicon_pieces(const koe_lexicon *l, koe_str form);
/* Compiles both accents of a folder into klex files beside them. Messages of what was done go to the log. */
koe_status koe_lexicon_build(const char *dir, koe_error *err);
#endif
