/* en_tag.c - a small Penn Treebank tagger, by rules.
 * It has to be right only where the sound depends on it: names against acronyms, quotes, "that", "in", "by", and the few hundred words that
 * are said otherwise as noun, verb or adjective (record, use, close, live, read). Two passes: first what each word is by itself (a list of
 * closed-class words and common verbs, else its shape and ending), then, for the words that depend on it, what its neighbours make it. */
#include <pthread.h>
#include <stdlib.h>
#include <unicode/uchar.h>

#include "text/en.h"
#include "text/utf8.h"

/* ---- words by class ---- */

static const struct {
    koe_en_tag_id tag;
    const char *words;
} classes[] = {
    { KOE_TAG_DT, "the a an this these those every each some any no another either neither all both half" },
    { KOE_TAG_PRP, "i you he she it we they me him us them myself yourself himself herself itself ourselves themselves thou thee ye "
                   "someone somebody everyone everybody anyone anybody nobody something everything anything nothing mine yours hers ours theirs" },
    { KOE_TAG_PRPS, "my your his her its our their thy whose" },
    { KOE_TAG_MD, "will would can could shall should may might must cannot ca wo 'll 'd ll" },
    { KOE_TAG_IN, "of in on at by for with from into onto upon over under about against between among through during without within above "
                  "below behind beyond across along around near off toward towards despite except since until till after before because if "
                  "unless while whereas although though whether than like as per via beside besides beneath inside outside amongst amid" },
    { KOE_TAG_CC, "and or but nor yet plus" },
    { KOE_TAG_TO, "to" },
    { KOE_TAG_EX, "there" },
    { KOE_TAG_WDT, "which whatever whichever" },
    { KOE_TAG_WP, "who whom what whoever" },
    { KOE_TAG_WRB, "when where why how whenever wherever" },
    { KOE_TAG_RB, "not n't never always often also just only still already soon ever very too so quite rather almost even again then now here "
                  "really maybe perhaps usually sometimes seldom once twice later away back up down out together instead today tomorrow "
                  "yesterday tonight well far much more most less least please enough nearly barely hardly further" },
    { KOE_TAG_CD, "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
                  "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion dozen zero" },
    { KOE_TAG_UH, "oh ah yes no hello hi hey well wow alas um uh er" },
    { KOE_TAG_VBZ, "is has does says goes makes takes gives gets comes knows thinks wants needs seems looks means tells shows keeps feels "
                   "finds believes hopes leaves 's" },
    { KOE_TAG_VBP, "are am have do 're 've 'm" },
    { KOE_TAG_VBD, "was were had did said went came saw took made got gave found knew thought told became left felt put brought began kept held "
                   "wrote stood heard let meant met ran paid sat spoke lay led grew lost fell sent built understood drew broke spent rose drove "
                   "bought wore chose ate drank sang slept threw caught taught fought sold won hid shot shook stole swam woke blew flew forgot "
                   "asked wanted seemed hoped believed tried planned" },
    { KOE_TAG_VBN, "been done gone seen taken given known written shown become" },
    { KOE_TAG_VBG, "being having doing going making saying" },
    { KOE_TAG_VB, "be think say know believe hope tell want need see go come take make give get find keep let feel seem become leave mean try "
                  "ask help start begin like love hate prefer wish suppose guess imagine remember forget hear understand learn agree "
                  "plan decide expect promise" },
    { KOE_TAG_JJ, "good new old great big small little long high low large young own other same many few several last next first second such "
                  "whole best better worst bad poor rich strong fresh full free early late clear sure able certain glad happy sorry afraid" },
    { KOE_TAG_NNS, "people children men women police cattle feet teeth" },
};

/* Words that may be adjectives before a noun, although they also have a noun's or a verb's sound. */
static const char adjectives[] =
    " absent abstract adulterate alternate animate appropriate approximate articulate bass close compact content converse covert "
    "crooked degenerate deliberate designate desolate diffuse dogged downhill duplicate elaborate frequent graduate grown-up illegitimate "
    "incarnate inside intimate invalid invert learned legitimate live moderate overhead overweight perfect precipitate present ragged "
    "separate subject subordinate ultralight underground unlearned uphill upset uptown used blessed beloved aged ";

enum { TABLE_SIZE = 2048 };
static struct {
    koe_str word;
    koe_en_tag_id tag;
} table[TABLE_SIZE];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static size_t table_slot(koe_str w)
{
    size_t i = koe_str_hash(w) % TABLE_SIZE;
    while (table[i].word.n && !koe_str_eq(table[i].word, w)) i = (i + 1) % TABLE_SIZE;
    return i;
}

static void fill_table(void)
{
    for (size_t c = 0; c < sizeof classes / sizeof *classes; c++)
        for (const char *p = classes[c].words; *p;) {
            size_t n = strcspn(p, " ");
            size_t i = table_slot((koe_str){ p, n });
            if (!table[i].word.n) table[i].word = (koe_str){ p, n }, table[i].tag = classes[c].tag; /* the first class wins */
            p += n + (p[n] == ' ');
        }
}

/* ---- one word by itself ---- */

typedef struct word {
    char low[32]; /* in small letters, apostrophes straight; "" when longer */
    size_t n;
    bool capital, caps; /* starts with a capital; nothing but capitals, two at least */
    bool closed; /* from the table */
    bool first; /* of its sentence */
} word;

typedef struct sentence {
    koe_en_token *t;
    word *w;
    size_t n;
} sentence;

static void look_at(word *w, koe_str text)
{
    *w = (word){ 0 };
    bool small = false;
    for (size_t at = 0, i = 0; at < text.n; i++) {
        uint32_t c = koe_utf8_next(text, &at);
        if (c == 0x2019 || c == 0x2018) c = '\'';
        bool up = c < 0x80 ? c >= 'A' && c <= 'Z' : u_isupper((UChar32)c);
        if (i == 0) w->capital = up;
        if (c < 0x80 ? c >= 'a' && c <= 'z' : u_islower((UChar32)c)) small = true;
        if (c >= 0x80 || w->n + 1 >= sizeof w->low) w->n = sizeof w->low;
        else if (w->n < sizeof w->low) w->low[w->n++] = up ? (char)(c + 32) : (char)c;
    }
    w->caps = w->capital && !small && text.n > 1;
    if (w->n >= sizeof w->low) w->n = 0;
    w->low[w->n] = 0;
}

static bool is(const word *w, const char *low) { return strcmp(w->low, low) == 0; }

static bool any_of(const word *w, const char *list) /* " a b c " */
{
    char key[36];
    if (!w->n) return false;
    key[0] = ' ';
    memcpy(key + 1, w->low, w->n);
    memcpy(key + 1 + w->n, " ", 2);
    return strstr(list, key) != NULL;
}

static bool ends(const word *w, const char *suffix)
{
    size_t n = strlen(suffix);
    return w->n > n + 1 && strcmp(w->low + w->n - n, suffix) == 0;
}

static bool has_digit(koe_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= '0' && s.p[i] <= '9') return true;
    return false;
}

static bool has_letter(koe_str s)
{
    for (size_t at = 0; at < s.n;)
        if (u_isalpha((UChar32)koe_utf8_next(s, &at))) return true;
    return false;
}

/* Signs and numbers; KOE_TAG_XX for words. */
static koe_en_tag_id sign_tag(koe_str s)
{
    uint32_t c = koe_utf8_first(s);
    if (has_letter(s)) return KOE_TAG_XX;
    if (has_digit(s)) return KOE_TAG_CD;
    if (s.n == 1 && strchr(".!?", (int)c)) return KOE_TAG_STOP;
    if (koe_utf8_in(c, ",،、，")) return KOE_TAG_COMMA;
    if (koe_utf8_in(c, ":;…—–-.")) return KOE_TAG_COLON;
    if (koe_utf8_in(c, "([{")) return KOE_TAG_LRB;
    if (koe_utf8_in(c, ")]}")) return KOE_TAG_RRB;
    if (koe_utf8_in(c, "$£€¥")) return KOE_TAG_DOLLAR;
    if (c == '#') return KOE_TAG_HASH;
    if (koe_utf8_in(c, "*_<>")) return KOE_TAG_NFP;
    if (c == '&') return KOE_TAG_CC;
    if (c == '%') return KOE_TAG_NN;
    return KOE_TAG_SYM;
}

static koe_en_tag_id ending_tag(const word *w)
{
    static const struct {
        const char *end;
        koe_en_tag_id tag;
    } endings[] = { { "ly", KOE_TAG_RB }, { "ing", KOE_TAG_VBG }, { "ed", KOE_TAG_VBD }, { "tion", KOE_TAG_NN }, { "ment", KOE_TAG_NN },
        { "ness", KOE_TAG_NN }, { "ity", KOE_TAG_NN }, { "ism", KOE_TAG_NN }, { "ous", KOE_TAG_JJ }, { "ful", KOE_TAG_JJ }, { "ive", KOE_TAG_JJ },
        { "able", KOE_TAG_JJ }, { "ible", KOE_TAG_JJ }, { "less", KOE_TAG_JJ }, { "ic", KOE_TAG_JJ }, { "ish", KOE_TAG_JJ }, { "est", KOE_TAG_JJS },
        { "ss", KOE_TAG_NN }, { "us", KOE_TAG_NN }, { "is", KOE_TAG_NN }, { "s", KOE_TAG_NNS } };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends(w, endings[i].end)) return endings[i].tag;
    return KOE_TAG_NN;
}

static koe_en_tag_id word_tag(word *w, koe_str text, bool all_caps)
{
    size_t i = w->n ? table_slot((koe_str){ w->low, w->n }) : 0;
    if (w->n && table[i].word.n) {
        w->closed = true;
        if (w->caps && !all_caps && any_of(w, " it us who ")) return KOE_TAG_NNP;
        if (w->capital && !w->first && table[i].tag >= KOE_TAG_NN && table[i].tag <= KOE_TAG_NNS) return KOE_TAG_NNP;
        return table[i].tag;
    }
    if (w->capital && !w->first && !all_caps) return KOE_TAG_NNP;
    if (w->capital && w->first && !w->caps && ending_tag(w) == KOE_TAG_NN) return KOE_TAG_NN;
    if (w->caps && !all_caps) return KOE_TAG_NNP;
    if (has_digit(text)) return KOE_TAG_CD;
    return ending_tag(w);
}

/* ---- neighbours ---- */

static bool is_verb(koe_en_tag_id t) { return t >= KOE_TAG_VB && t <= KOE_TAG_VBZ; }
static bool is_noun(koe_en_tag_id t) { return t >= KOE_TAG_NN && t <= KOE_TAG_NNPS; }
static bool is_adjective(koe_en_tag_id t) { return t >= KOE_TAG_JJ && t <= KOE_TAG_JJS; }
static bool is_mark(koe_en_tag_id t) { return t >= KOE_TAG_STOP; }

static koe_en_tag_id tag_at(const sentence *s, size_t i) { return i < s->n ? s->t[i].tag : KOE_TAG_STOP; }

/* The token before i that is no adverb; n when none is left. */
static size_t before(const sentence *s, size_t i, bool skip_adverbs)
{
    while (i-- > 0) {
        if (s->t[i].tag == KOE_TAG_OPEN || s->t[i].tag == KOE_TAG_CLOSE) continue;
        if (skip_adverbs && s->t[i].tag == KOE_TAG_RB && !is(&s->w[i], "please")) continue;
        return i;
    }
    return s->n;
}

static bool is_be(const word *w) { return any_of(w, " be am is are was were been being 'm 're 's "); }
static bool is_have(const word *w) { return any_of(w, " have has had having 've "); }
static bool is_do(const word *w) { return any_of(w, " do does did "); }
static bool is_subject_pronoun(const word *w) { return any_of(w, " i you he she it we they who "); }

/* Could start what a verb governs: "the", "him", "his", "to", a number, a preposition, ... */
static bool opens_object(koe_en_tag_id t) { return t == KOE_TAG_DT || t == KOE_TAG_PRP || t == KOE_TAG_PRPS || t == KOE_TAG_CD || t == KOE_TAG_WP; }

static bool noun_like(const sentence *s, size_t i)
{
    return i < s->n && (is_noun(tag_at(s, i)) || is_adjective(tag_at(s, i)) || tag_at(s, i) == KOE_TAG_VBG) && !is_mark(tag_at(s, i));
}

/* An auxiliary before the subject at `subject`: "did you", "can we", "let me", "make him". */
static bool asks(const sentence *s, size_t subject)
{
    size_t i = before(s, subject, true);
    while (i < s->n && (is_noun(s->t[i].tag) || s->t[i].tag == KOE_TAG_DT || is_adjective(s->t[i].tag) || s->t[i].tag == KOE_TAG_PRPS))
        i = before(s, i, true);
    if (i >= s->n) return false;
    return s->t[i].tag == KOE_TAG_MD || is_do(&s->w[i]) || any_of(&s->w[i], " let make made help helped lets makes ");
}

/* At the start of a sentence or after a comma: an order when an object follows. */
static koe_en_tag_id tag_at_start(const sentence *s, size_t i)
{
    koe_en_tag_id next = tag_at(s, i + 1);
    if (i + 1 >= s->n || is_mark(next)) return KOE_TAG_NN;
    if (opens_object(next) || next == KOE_TAG_TO || (next == KOE_TAG_RB && any_of(&s->w[i + 1], " up out down away back not "))) return KOE_TAG_VB;
    if (next == KOE_TAG_IN && (is(&s->w[i], "live") || is(&s->w[i], "read")) && !is(&s->w[i + 1], "of")) return KOE_TAG_VB;
    if (any_of(&s->w[i], adjectives) && noun_like(s, i + 1)) return KOE_TAG_JJ;
    return KOE_TAG_NN;
}

/* After an article, a possessive, a preposition, an adjective, a verb: part of a noun phrase. */
static koe_en_tag_id tag_in_phrase(const sentence *s, size_t i)
{
    if (any_of(&s->w[i], adjectives) && noun_like(s, i + 1)) return KOE_TAG_JJ;
    return KOE_TAG_NN;
}

static koe_en_tag_id tag_after_be(const sentence *s, size_t i)
{
    const word *w = &s->w[i];
    if (is(w, "used")) {
        koe_en_tag_id after = tag_at(s, i + 2);
        bool infinitive = i + 2 < s->n && !s->w[i + 2].closed && after == KOE_TAG_NN;
        return infinitive ? KOE_TAG_VBN : KOE_TAG_JJ;
    }
    if (any_of(w, " read reread wound ")) return KOE_TAG_VBN;
    return any_of(w, adjectives) || tag_at(s, i + 1) != KOE_TAG_IN ? KOE_TAG_JJ : KOE_TAG_NN;
}

static koe_en_tag_id tag_after_pronoun(const sentence *s, size_t i, size_t subject)
{
    if (asks(s, subject)) return KOE_TAG_VB;
    if (any_of(&s->w[i], " read reread wound used dove ")) return KOE_TAG_VBD;
    return any_of(&s->w[subject], " he she it who ") ? KOE_TAG_VBZ : KOE_TAG_VBP;
}

/* Whether some other word of the sentence is surely its verb. */
static bool has_other_verb(const sentence *s, size_t i)
{
    for (size_t j = 0; j < s->n; j++)
        if (j != i && (s->t[j].tag == KOE_TAG_MD || (is_verb(s->t[j].tag) && s->t[j].tag != KOE_TAG_VBG))) return true;
    return false;
}

static koe_en_tag_id tag_after_noun(const sentence *s, size_t i, size_t noun)
{
    koe_en_tag_id next = tag_at(s, i + 1);
    bool plural = s->t[noun].tag == KOE_TAG_NNS || s->t[noun].tag == KOE_TAG_NNPS;
    bool verb_follows = is_verb(next) || next == KOE_TAG_MD;
    if (!verb_follows && any_of(&s->w[i], " used read wound dove ")) return KOE_TAG_VBD;
    if (asks(s, noun) && opens_object(next)) return KOE_TAG_VB;
    bool only_verb = !verb_follows && !has_other_verb(s, i) && i > 1;
    if (ends(&s->w[i], "s")) return !plural && (opens_object(next) || only_verb) ? KOE_TAG_VBZ : KOE_TAG_NNS;
    if (plural && !verb_follows && (!is_mark(next) || only_verb)) return KOE_TAG_VBP;
    return opens_object(next) && !verb_follows ? KOE_TAG_VBP : KOE_TAG_NN;
}

static koe_en_tag_id tag_after_to(const sentence *s, size_t to)
{
    size_t i = before(s, to, false);
    if (i < s->n && any_of(&s->w[i], " due according close next access addition opposed subject prior thanks attention response ")) return KOE_TAG_NN;
    return KOE_TAG_VB;
}

/* What a word that may be noun, verb or adjective is here. */
static koe_en_tag_id tag_by_context(const sentence *s, size_t i)
{
    size_t p = before(s, i, true), direct = before(s, i, false);
    if (p >= s->n || s->w[i].first) return tag_at_start(s, i);
    const word *w = &s->w[p];
    koe_en_tag_id t = s->t[p].tag;
    if (direct < s->n && any_of(&s->w[direct], " very so too quite more most as how ") && any_of(&s->w[i], adjectives)) return KOE_TAG_JJ;
    if (is(&s->w[i], "close") && i + 1 < s->n && is(&s->w[i + 1], "to") && t != KOE_TAG_MD && t != KOE_TAG_TO) return KOE_TAG_JJ;
    if (is_mark(t)) return tag_at_start(s, i);
    if (is(w, "please") || t == KOE_TAG_MD || is_do(w) || is(w, "let")) return KOE_TAG_VB;
    if (t == KOE_TAG_TO) return tag_after_to(s, p);
    if (is_have(w)) return any_of(&s->w[i], " read reread wound used ") ? KOE_TAG_VBN : KOE_TAG_NN;
    if (t != KOE_TAG_POS && is_be(w)) return tag_after_be(s, i);
    if (is_subject_pronoun(w) && t == KOE_TAG_PRP) return tag_after_pronoun(s, i, p);
    if (t == KOE_TAG_PRP || t == KOE_TAG_WP) return asks(s, p) ? KOE_TAG_VB : t == KOE_TAG_WP ? KOE_TAG_VBP : tag_in_phrase(s, i);
    if (t == KOE_TAG_CC) {
        size_t q = before(s, p, true);
        if (q < s->n && is_verb(s->t[q].tag) && opens_object(tag_at(s, i + 1))) return s->t[q].tag;
        return q < s->n && opens_object(tag_at(s, i + 1)) && !is_noun(s->t[q].tag) ? KOE_TAG_VB : tag_in_phrase(s, i);
    }
    if (t == KOE_TAG_CD && is(&s->w[i], "used")) return KOE_TAG_JJ;
    if (is_noun(t)) return tag_after_noun(s, i, p);
    return tag_in_phrase(s, i);
}

static koe_en_tag_id tag_of_that(const sentence *s, size_t i)
{
    size_t p = before(s, i, false);
    koe_en_tag_id next = tag_at(s, i + 1), prev = p < s->n ? s->t[p].tag : KOE_TAG_STOP;
    bool subject = i + 1 < s->n && (is_subject_pronoun(&s->w[i + 1]) || next == KOE_TAG_PRP || next == KOE_TAG_DT || next == KOE_TAG_PRPS || next == KOE_TAG_EX ||
                                    next == KOE_TAG_NNP || next == KOE_TAG_NNS || is(&s->w[i + 1], "that"));
    if (is_mark(next)) return KOE_TAG_DT;
    if (p >= s->n || is_mark(prev) || s->w[i].first) return subject ? KOE_TAG_IN : KOE_TAG_DT;
    if (s->w[p].first && is_be(&s->w[p])) return KOE_TAG_DT; /* Is that ...? */
    if (subject && prev == KOE_TAG_IN && any_of(&s->w[p], " after before for like at of with on from by since about ")) return KOE_TAG_DT;
    if (subject) return KOE_TAG_IN;
    if (prev == KOE_TAG_IN || prev == KOE_TAG_TO || prev == KOE_TAG_CC)
        return any_of(&s->w[p], " in except ") && is_verb(next) ? KOE_TAG_IN : KOE_TAG_DT;
    bool verb_next = is_verb(next) || next == KOE_TAG_MD || next == KOE_TAG_RB;
    if (is_noun(prev)) return KOE_TAG_WDT;
    if (is_verb(prev) || prev == KOE_TAG_PRP || prev == KOE_TAG_MD || is(&s->w[p], "all")) return KOE_TAG_DT;
    return verb_next ? KOE_TAG_WDT : KOE_TAG_IN;
}

static bool goes_in(const word *w)
{
    return any_of(w, " come came comes coming go went goes going get got gets let brought bring move moved check checked log logged sign signed "
                     "fill filled give gave plug plugged drop dropped turn turned walk walked jump jumped join joined break broke cave caved ");
}

/* The function words whose sound depends on their role. */
static koe_en_tag_id tag_function_word(const sentence *s, size_t i, koe_en_tag_id tag)
{
    const word *w = &s->w[i];
    koe_en_tag_id next = tag_at(s, i + 1);
    size_t p = before(s, i, false);
    bool ends_here = i + 1 >= s->n || is_mark(next) || next == KOE_TAG_CC;
    if (is(w, "that")) return tag_of_that(s, i);
    if (is(w, "by") && ends_here && !w->first) return KOE_TAG_RB;
    if (is(w, "in") && p < s->n && goes_in(&s->w[p]) && (ends_here || next == KOE_TAG_IN || next == KOE_TAG_TO)) return KOE_TAG_RP;
    if (is(w, "a") && w->capital && ((p < s->n && s->t[p].tag == KOE_TAG_DT) || (ends_here && !w->first) || next == KOE_TAG_VBZ)) return KOE_TAG_NN;
    if (is(w, "i") && p < s->n && any_of(&s->w[p], " war part chapter book act volume section ")) return KOE_TAG_CD;
    if (is(w, "am") && p < s->n && s->t[p].tag == KOE_TAG_CD) return KOE_TAG_NN;
    if (is(w, "her") && (ends_here || next == KOE_TAG_IN || next == KOE_TAG_TO || next == KOE_TAG_DT)) return KOE_TAG_PRP;
    if (is(w, "no") && ends_here) return KOE_TAG_UH;
    if (is(w, "'s") && p < s->n && (is_noun(s->t[p].tag)) && !is_verb(next) && next != KOE_TAG_DT) return KOE_TAG_POS;
    return tag;
}

/* ---- quotes ---- */

static bool touches_right(const koe_en_tokens *t, size_t i) { return i + 1 < t->n && !t->token[i].space; }

/* Words that an apostrophe in front belongs to. */
static bool is_clipped(koe_str s)
{
    word w;
    look_at(&w, s);
    return any_of(&w, " twas tis twere twill em cause til till bout round cept nuff n twixt neath gainst ");
}

static koe_en_tag_id quote_tag(const koe_en_tokens *t, size_t i, bool *open_double, bool *open_single)
{
    const koe_en_token *q = &t->token[i];
    uint32_t c = koe_utf8_first(q->text);
    if (koe_utf8_in(c, "“«`‚„「『《")) return *open_double = true, KOE_TAG_OPEN;
    if (koe_utf8_in(c, "”»´」』》")) return *open_double = false, KOE_TAG_CLOSE;
    bool after_space = i == 0 || t->token[i - 1].space || t->token[i - 1].tag == KOE_TAG_OPEN || t->token[i - 1].tag == KOE_TAG_LRB;
    if (c == '"') {
        bool open = *open_double ? false : after_space || touches_right(t, i);
        if (!*open_double && !touches_right(t, i)) open = false;
        *open_double = open;
        return open ? KOE_TAG_OPEN : KOE_TAG_CLOSE;
    }
    if (touches_right(t, i) && is_clipped(t->token[i + 1].text)) return KOE_TAG_POS; /* 'twas */
    if (c == 0x2018 || (after_space && touches_right(t, i))) return *open_single = true, KOE_TAG_OPEN;
    if (i > 0 && !after_space && !*open_single && koe_str_ends(t->token[i - 1].text, KOE_STR("s"))) return KOE_TAG_POS; /* the dogs' */
    return *open_single = false, KOE_TAG_CLOSE;
}

static bool is_quote(koe_str s) { return koe_utf8_count(s) == 1 && koe_utf8_in(koe_utf8_first(s), "'\"“”`‘´’‚„«»「」『』《》"); }

/* ---- sentences ---- */

static bool depends_on_context(koe_english *e, const sentence *s, size_t i)
{
    koe_entry entry;
    koe_en_tag_id t = s->t[i].tag;
    if (s->w[i].closed || !s->w[i].n || t == KOE_TAG_NNP || t == KOE_TAG_CD || is_mark(t)) return false;
    return koe_lexicon_find(e->lexicon, (koe_str){ s->w[i].low, s->w[i].n }, &entry) && entry.by_pos;
}

/* "they lead": what stands right after a subject pronoun is a verb, known or not. */
static bool follows_subject(const sentence *s, size_t i)
{
    koe_en_tag_id t = s->t[i].tag;
    size_t p = before(s, i, true);
    return !s->w[i].closed && (t == KOE_TAG_NN || t == KOE_TAG_NNS) && p < s->n && any_of(&s->w[p], " i he she we they ");
}

static void tag_sentence(koe_english *e, sentence *s)
{
    size_t n_letters = 0, n_small = 0;
    for (size_t i = 0; i < s->n; i++) {
        look_at(&s->w[i], s->t[i].text);
        if (s->w[i].n && has_letter(s->t[i].text)) n_letters++, n_small += !s->w[i].caps;
    }
    bool all_caps = n_letters > 2 && n_small * 4 < n_letters, first = true;
    for (size_t i = 0; i < s->n; i++) {
        koe_en_token *t = &s->t[i];
        if (t->tag != KOE_TAG_XX) continue; /* quotes, addresses */
        koe_en_tag_id sign = sign_tag(t->text);
        bool inside = i > 0 && !t[-1].space && !t->space && i + 1 < s->n;
        if (inside && koe_utf8_in(koe_utf8_first(t->text), "-–")) sign = KOE_TAG_SYM; /* a hyphen within a word is no dash */
        s->w[i].first = first;
        t->tag = sign != KOE_TAG_XX ? sign : word_tag(&s->w[i], t->text, all_caps);
        if (sign == KOE_TAG_XX) first = false;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->w[i].closed && s->t[i].tag != KOE_TAG_NNP) s->t[i].tag = tag_function_word(s, i, s->t[i].tag);
        else if (is(&s->w[i], "that")) s->t[i].tag = tag_of_that(s, i);
        else if (depends_on_context(e, s, i)) s->t[i].tag = tag_by_context(s, i);
        else if (follows_subject(s, i)) s->t[i].tag = s->t[i].tag == KOE_TAG_NNS ? KOE_TAG_VBZ : KOE_TAG_VBP;
    }
}

void koe_en_tag(koe_english *e, koe_en_tokens *t)
{
    pthread_once(&table_once, fill_table);
    bool open_double = false, open_single = false;
    for (size_t i = 0; i < t->n; i++)
        if (is_quote(t->token[i].text)) t->token[i].tag = quote_tag(t, i, &open_double, &open_single);
    word *w = reallocarray(NULL, t->n + 1, sizeof *w);
    if (!w) {
        t->failed = true;
        return;
    }
    for (size_t i = 0; i < t->n;) {
        size_t end = i;
        while (end < t->n && !(koe_str_is(t->token[end].text, ".") || koe_str_is(t->token[end].text, "!") || koe_str_is(t->token[end].text, "?")))
            end++;
        if (end < t->n) end++;
        sentence s = { t->token + i, w + i, end - i };
        tag_sentence(e, &s);
        i = end;
    }
    free(w);
}
