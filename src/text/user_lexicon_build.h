/* user_lexicon_build.h - inside the user lexicons: how their reader (user_lexicon_read.c) fills one (user_lexicon.c). */
#ifndef KOE_TEXT_USER_LEXICON_BUILD_H
#define KOE_TEXT_USER_LEXICON_BUILD_H
#include <stdatomic.h>

#include "base/arena.h"
#include "text/user_lexicon.h"

enum { KOE_USER_WORD_BYTES = 240, KOE_USER_SOUND_BYTES = 1000, KOE_USER_WORDS = 200000 };

/* NULL when out of memory. */
koe_user_lexicon *koe_user_lexicon_create(void);
/* Owns what the words point to. */
koe_arena *koe_user_lexicon_arena(koe_user_lexicon *l);
/* Copies *word, whose strings are the arena's; `written` has at most KOE_USER_WORD_BYTES. Another part of speech of a word that is there
 * joins it. False when out of memory. */
bool koe_user_lexicon_add(koe_user_lexicon *l, const koe_user_word *word);
#endif
