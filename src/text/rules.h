/* rules.h - normalisation as a table of named rules: written forms that a reader says otherwise than they look.
 * A rule looks at one place of the text and either rewrites what stands there or leaves it. Rules are tried in the order of the table at every
 * place where one of them can start; each looks ahead a bounded distance, so the whole is linear. Digits that misaki reads rightly by
 * itself stay digits ("July 4" -> "July 4th"); for voices without a lexicon a second walk turns them into words.
 * English rules are listed in rules_en.c, those of the languages with a table in reading.c in rules_world.c; tests/data/text/ has their
 * cases. */
#ifndef KOE_TEXT_RULES_H
#define KOE_TEXT_RULES_H
#include "text/front.h"
#include "text/reading.h"
#include "text/spell.h"

/* What a rule sees. */
typedef struct koe_scan {
    koe_str s; /* the text */
    size_t at; /* here */
    bool british; /* day before month */
    const koe_reading *reading; /* of another language; NULL: English */
    koe_speller *speller; /* of that language */
    bool fresh; /* a rule has just ended here: what stands before is not part of this */
} koe_scan;

/* Bytes of s from `at` on that are replaced by what was appended to `out`; 0: the rule does not apply (and has appended nothing). */
typedef size_t koe_rule_fn(const koe_scan *c, koe_buf *out);

typedef struct koe_rule {
    const char *name;
    const char *starts; /* bytes it can start at; '0' any digit, 'a' any letter, '8' any byte beyond ASCII */
    unsigned group; /* KOE_RULES_*: may be switched off; 0: always on */
    koe_rule_fn *fn;
} koe_rule;

/* The tables of English and of the languages with a koe_reading, *n of them. */
const koe_rule *koe_rules_english(size_t *n);
const koe_rule *koe_rules_world(size_t *n);

/* Whose rules are applied. */
typedef struct koe_rules {
    bool british;
    const koe_reading *reading; /* NULL: English */
    koe_speller *speller; /* with reading */
} koe_rules;

/* A rule that was applied: where in the result, and its name. */
typedef struct koe_applied {
    size_t at, n; /* of the normal text */
    const char *name;
} koe_applied;

/* Appends s with the rules applied to `out`; koe_applied structs to `log`. off: set of KOE_RULES_* to leave out. What links hold that say
 * how it sounds stays as it is: rules see it, none rewrites it. */
void koe_rules_apply(koe_normal *out, koe_buf *log, koe_str s, const koe_rules *by, unsigned off, const koe_link *link, size_t n_link);
/* Appends s with its numbers in words, for voices that know no better. */
void koe_rules_spell_numbers(koe_normal *out, koe_str s, const koe_link *link, size_t n_link);
/* Appends s with Devanagari digits as the ones that the rules know. */
void koe_rules_plain_digits(koe_normal *out, koe_str s);
/* Whether a rule must not touch it. */
bool koe_link_is_fixed(const koe_link *l);

/* ---- for the rules ---- */

static inline bool koe_is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool koe_is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static inline bool koe_is_alnum(char c) { return koe_is_digit(c) || koe_is_letter(c); }
static inline bool koe_is_capital(char c) { return c >= 'A' && c <= 'Z'; }
/* Byte at s[at], 0 beyond the end. */
static inline char koe_byte(koe_str s, size_t at) { return at < s.n ? s.p[at] : 0; }
/* The byte before the place, 0 at the start. */
static inline char koe_before(const koe_scan *c) { return !c->at ? 0 : c->fresh ? ' ' : c->s.p[c->at - 1]; }
/* How many digits, letters stand at s[at]. */
size_t koe_digits(koe_str s, size_t at);
size_t koe_letters(koe_str s, size_t at);
/* A number stands alone when neither letters nor further digits touch it: its end is s[at]; nothing that belongs to a longer number stands in
 * front of the place. */
bool koe_ends_number(koe_str s, size_t at);
bool koe_starts_number(const koe_scan *c);
/* A number with separators of thousands and decimals: "1,234.56". */
size_t koe_numeral(koe_str s, size_t at);
/* Up to four digits as a value. */
unsigned koe_value(koe_str s, size_t at, size_t n);
/* The word (letters) before the place, one space and a dot between them allowed; n == 0 when there is none. */
koe_str koe_word_before(const koe_scan *c);
bool koe_same_word(koe_str a, const char *b); /* ASCII case ignored */
bool koe_in_words(koe_str w, const char *list); /* " a b c ", exact */

koe_rule_fn koe_rule_entity, koe_rule_html, koe_rule_emphasis, koe_rule_dash, koe_rule_url, koe_rule_email, koe_rule_file, koe_rule_hashtag,
    koe_rule_handle, koe_rule_version, koe_rule_symbol, koe_rule_maths, koe_rule_ampersand, koe_rule_short, koe_rule_plural;
koe_rule_fn koe_rule_phone, koe_rule_time, koe_rule_iso_date, koe_rule_slash_date, koe_rule_day, koe_rule_day_month, koe_rule_money,
    koe_rule_money_after, koe_rule_money_range, koe_rule_unit, koe_rule_feet, koe_rule_fraction, koe_rule_vulgar, koe_rule_range, koe_rule_decade,
    koe_rule_number_sign, koe_rule_magnitude, koe_rule_degrees, koe_rule_percent, koe_rule_slash, koe_rule_zeros, koe_rule_number;
koe_rule_fn koe_rule_digits;
koe_rule_fn koe_rule_roman, koe_rule_title, koe_rule_abbreviation, koe_rule_month, koe_rule_saint, koe_rule_mister, koe_rule_world_war;
#endif
