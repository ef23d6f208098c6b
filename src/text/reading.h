/* reading.h - how a language reads what is written in signs: the words that the rules of rules_world.c need, one table a language. */
#ifndef KOE_TEXT_READING_H
#define KOE_TEXT_READING_H
#include "base/str.h"
#include "text/lang.h"

typedef struct koe_counted { /* a unit */
    const char *sign, *one, *many;
    char gender; /* 'm', 'f' */
} koe_counted;

typedef struct koe_coin {
    const char *sign, *code, *one, *many;
    char gender;
    const char *cent, *cents; /* hundredths; NULL: none */
    char cent_gender;
} koe_coin;

typedef struct koe_word_pair {
    const char *from, *to;
} koe_word_pair;

typedef struct koe_ordinal_mark {
    const char *mark; /* "º" */
    char gender; /* 'm', 'f'; 'b': before a noun */
} koe_ordinal_mark;

/* Lists end with an entry of NULL. */
typedef struct koe_reading {
    const char *tag, *locale; /* of koe_lang; of ICU's number formats */
    char decimal, group; /* "1.234,5": ',' and '.' */
    const char *point, *minus, *plus, *to, *number; /* "coma", "menos", "más", "a", "número" */
    const char *months; /* twelve, a space before and after each */
    const char *date; /* 'd', 'm', 'y' stand for the parts: "d de m de y" */
    const char *first; /* the first of a month; NULL: a cardinal */
    char hour_gender;
    const char *hour, *hours; /* behind the hour; NULL: nothing */
    const char *minutes_join, *minutes; /* between hour and minutes, behind the minutes */
    const char *full_hour; /* behind an hour without minutes, for one that is written 15:00 */
    const char *hour_mark; /* letters that stand for ':' in "9h30"; "" none */
    const char *money_join; /* "con" */
    bool name_cents; /* "12 euros con 50 céntimos" */
    koe_word_pair magnitude[8]; /* "M" -> "millones" */
    const char *of; /* behind a million: "de" */
    const koe_counted *unit;
    const koe_coin *coin;
    const koe_word_pair *shorts; /* abbreviations, with their dots */
    const koe_word_pair *sign; /* of maths and the rest */
    const koe_word_pair *address; /* signs in addresses, one byte each */
    const koe_word_pair *fraction; /* "½" */
    const koe_ordinal_mark *ordinal;
    const char *numbered; /* what a Roman numeral counts: " siglo capítulo " */
    const char *ruled; /* names of kings and popes */
    int ordinal_rulers; /* up to this they are ordinals: "Felipe segundo", "Alfonso trece" */
    const char *century_mark; /* behind Roman numerals: "e" of "XXe"; NULL none */
    const char *labels; /* words whose number follows them: " capítulo página " */
    const char *not_counted; /* words after a number that it does not count: " de y a " */
    const char *feminine_ends, *masculine, *feminine; /* endings of feminine nouns; exceptions, and words without such an ending */
    int agrees_to; /* last digit up to which a number has a gender: 1, Portuguese 2 */
} koe_reading;

enum { KOE_READING_COUNT = 5 };

/* NULL: the language has none. Static memory. */
const koe_reading *koe_reading_of(const koe_lang *lang);
/* The row of a reading, below KOE_READING_COUNT. */
size_t koe_reading_row(const koe_reading *r);
#endif
