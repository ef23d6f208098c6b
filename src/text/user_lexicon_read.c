/* user_lexicon_read.c - lexicons as people write them -> koe_user_lexicon.
 * JSON  {"word": VALUE, ...}, the same as "words" of {"lang", "alphabet", "words": {...}}, or a list of objects that name their word, alone
 *       or as "pronunciations", "customPronunciations", "rules", "entries" (so are Google's and ElevenLabs' files made).
 *       VALUE: "phonemes" | {"phonemes" | "alias", ...} | misaki's {"DEFAULT": ..., "VERB": ...} | a list of VALUEs
 * PLS   <lexicon xml:lang alphabet><lexeme><grapheme>...<phoneme alphabet prefer> | <alias prefer>: W3C's, by expat. */
#include <ctype.h>
#include <expat.h>
#include <jansson.h>
#include <stdlib.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/user_lexicon_build.h"
#include "text/utf8.h"

typedef enum alphabet { IPA, MISAKI, XSAMPA } alphabet;

/* What holds for the words that follow. */
typedef struct scope {
    const koe_lang *lang;
    bool is_general;
    alphabet alphabet;
    koe_user_case letter_case;
    koe_pos pos;
} scope;

typedef struct reader {
    koe_user_lexicon *lexicon;
    koe_str text;
    const char *name;
    koe_error *err;
    koe_status st;
    XML_Parser parser; /* of PLS; NULL: JSON */
    koe_str key; /* of JSON: the word in hand, to find its line */
} reader;

/* ---- errors ---- */

/* JSON's values do not know their line: it is that of the word in hand, as it is written. */
static size_t line_of(const reader *r)
{
    if (r->parser) return (size_t)XML_GetCurrentLineNumber(r->parser);
    koe_buf quoted = { 0 };
    koe_buf_printf(&quoted, "\"%.*s\"", KOE_STR_ARG(r->key));
    const char *at = r->key.n && !quoted.failed ? memmem(r->text.p, r->text.n, quoted.data, quoted.n) : NULL;
    size_t line = 1;
    for (const char *p = r->text.p; at && p < at; p++) line += *p == '\n';
    koe_buf_free(&quoted);
    return line;
}

static void fail(reader *r, koe_status st, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void fail(reader *r, koe_status st, const char *format, ...)
{
    char what[300];
    va_list args;
    if (r->st != KOE_OK) return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    r->st = koe_fail(r->err, st, "%s, line %zu: %s", r->name, line_of(r), what);
    if (r->parser) XML_StopParser(r->parser, XML_FALSE);
}

static koe_str keep(reader *r, koe_str s)
{
    const koe_str copy = koe_arena_str(koe_user_lexicon_arena(r->lexicon), s);
    if (!copy.p) fail(r, KOE_E_NOMEM, "out of memory");
    return copy;
}

/* ---- words ---- */

static const struct {
    const char *name;
    koe_pos pos;
} parts_of_speech[] = { { "default", KOE_POS_DEFAULT }, { "noun", KOE_POS_NOUN }, { "nn", KOE_POS_NOUN }, { "n", KOE_POS_NOUN },
    { "verb", KOE_POS_VERB }, { "vb", KOE_POS_VERB }, { "vvi", KOE_POS_VERB }, { "vv0", KOE_POS_VERB }, { "v", KOE_POS_VERB },
    { "adj", KOE_POS_ADJ }, { "adjective", KOE_POS_ADJ }, { "jj", KOE_POS_ADJ }, { "adv", KOE_POS_ADV }, { "adverb", KOE_POS_ADV },
    { "rb", KOE_POS_ADV }, { "vbd", KOE_POS_VBD }, { "vvd", KOE_POS_VBD }, { "past", KOE_POS_VBD }, { "vbn", KOE_POS_VBN }, { "vvn", KOE_POS_VBN },
    { "vbp", KOE_POS_VBP }, { "dt", KOE_POS_DT }, { "none", KOE_POS_NONE } };

/* A part of speech by name ("VERB", "claws:VVI"); KOE_N_POS: it is none. */
static koe_pos pos_of(koe_str name)
{
    const char *colon = memrchr(name.p ? name.p : "", ':', name.n);
    if (colon) name = koe_str_sub(name, (size_t)(colon - name.p) + 1, name.n);
    for (size_t i = 0; i < sizeof parts_of_speech / sizeof *parts_of_speech; i++)
        if (name.n == strlen(parts_of_speech[i].name) && strncasecmp(name.p, parts_of_speech[i].name, name.n) == 0) return parts_of_speech[i].pos;
    return KOE_N_POS;
}

static bool is_any(koe_str s, const char *list) /* "|a|b|" */
{
    char word[64];
    if (!s.n || s.n + 3 > sizeof word) return false;
    snprintf(word, sizeof word, "|%.*s|", KOE_STR_ARG(s));
    return strcasestr(list, word) != NULL;
}

static void set_alphabet(reader *r, scope *s, koe_str name)
{
    if (is_any(name, "|ipa|phonetic_encoding_ipa|")) s->alphabet = IPA;
    else if (is_any(name, "|misaki|x-misaki|kokoro|")) s->alphabet = MISAKI;
    else if (is_any(name, "|x-sampa|xsampa|sampa|phonetic_encoding_x_sampa|")) s->alphabet = XSAMPA;
    else fail(r, KOE_E_FORMAT, "the alphabet is \"%.*s\", it must be ipa, x-sampa or misaki", KOE_STR_ARG(name));
}

static void set_lang(reader *r, scope *s, koe_str tag)
{
    s->lang = koe_lang_find(tag);
    s->is_general = s->lang && !memchr(tag.p, '-', tag.n) && !memchr(tag.p, '_', tag.n) && tag.n > 1;
    if (!s->lang) fail(r, KOE_E_FORMAT, "the language \"%.*s\" is none that koe reads", KOE_STR_ARG(tag));
}

/* NFC, one space for white space. */
static koe_str tidy(reader *r, koe_str s)
{
    koe_buf b = { 0 };
    UErrorCode e = U_ZERO_ERROR;
    UChar in[KOE_USER_WORD_BYTES + 1], out[KOE_USER_WORD_BYTES + 1];
    int32_t n = 0, n_utf8 = 0;
    char utf8[3 * KOE_USER_WORD_BYTES + 1];
    s = koe_str_trim(s);
    if (s.n > KOE_USER_WORD_BYTES) return fail(r, KOE_E_LIMIT, "a word of %zu bytes, the limit is %d", s.n, KOE_USER_WORD_BYTES), (koe_str){ 0 };
    u_strFromUTF8(in, KOE_USER_WORD_BYTES, &n, s.p ? s.p : "", (int32_t)s.n, &e);
    n = unorm2_normalize(unorm2_getNFCInstance(&e), in, n, out, KOE_USER_WORD_BYTES, &e);
    u_strToUTF8(utf8, (int32_t)sizeof utf8, &n_utf8, out, n, &e);
    if (U_FAILURE(e)) return fail(r, KOE_E_ENCODING, "\"%.*s\" is no text", KOE_STR_ARG(s)), (koe_str){ 0 };
    for (int32_t i = 0; i < n_utf8; i++)
        if (!isspace((unsigned char)utf8[i])) koe_buf_addc(&b, utf8[i]);
        else if (b.n && b.data[b.n - 1] != ' ') koe_buf_addc(&b, ' ');
    const koe_str tidied = koe_buf_str(&b);
    if (tidied.n > KOE_USER_WORD_BYTES) fail(r, KOE_E_LIMIT, "a word of %zu bytes, the limit is %d", tidied.n, KOE_USER_WORD_BYTES);
    const koe_str kept = tidied.n && r->st == KOE_OK ? keep(r, tidied) : (koe_str){ 0 };
    koe_buf_free(&b);
    return kept;
}

/* A spelling in small letters stands for all, unless something else is said. */
static koe_user_case case_of(const scope *s, koe_str written)
{
    if (s->letter_case != KOE_USER_CASE_DEFAULT) return s->letter_case;
    for (size_t at = 0; at < written.n;)
        if (u_isupper((UChar32)koe_utf8_next(written, &at))) return KOE_USER_CASE_DEFAULT;
    return KOE_USER_CASE_ANY;
}

/* "/phonemes/" as they are kept. */
static koe_str sound_of(reader *r, const scope *s, koe_str phonemes)
{
    koe_buf b = { 0 };
    phonemes = koe_str_trim(phonemes);
    if (phonemes.n > 1 && phonemes.p[0] == '/' && phonemes.p[phonemes.n - 1] == '/') phonemes = koe_str_sub(phonemes, 1, phonemes.n - 2);
    if (phonemes.n > KOE_USER_SOUND_BYTES) fail(r, KOE_E_LIMIT, "%zu bytes of phonemes for one word, the limit is %d", phonemes.n, KOE_USER_SOUND_BYTES);
    for (size_t i = 0; i < phonemes.n; i++)
        if ((unsigned char)phonemes.p[i] < ' ' || phonemes.p[i] == 0x7f) fail(r, KOE_E_FORMAT, "a control character among the phonemes");
    koe_buf_addc(&b, '/');
    if (s->alphabet == XSAMPA) koe_ipa_of_xsampa(&b, phonemes);
    else koe_buf_add_str(&b, phonemes);
    koe_buf_addc(&b, '/');
    const koe_str kept = r->st == KOE_OK && phonemes.n ? keep(r, koe_buf_str(&b)) : (koe_str){ 0 };
    koe_buf_free(&b);
    return kept;
}

/* phonemes or alias may be empty. */
static void add(reader *r, const scope *s, koe_str written, koe_str phonemes, koe_str alias)
{
    koe_user_word w = { .lang = s->lang, .is_general = s->is_general, .is_misaki = s->alphabet == MISAKI };
    w.written = tidy(r, written);
    if (r->st != KOE_OK) return;
    if (!w.written.n) {
        fail(r, KOE_E_FORMAT, "a word without letters");
        return;
    }
    w.letter_case = case_of(s, w.written);
    if (alias.n > KOE_USER_SOUND_BYTES) {
        fail(r, KOE_E_LIMIT, "an alias of %zu bytes, the limit is %d", alias.n, KOE_USER_SOUND_BYTES);
        return;
    }
    alias = koe_str_trim(alias);
    if (alias.n) w.alias = keep(r, alias);
    if (phonemes.n) w.phonemes[s->pos] = sound_of(r, s, phonemes);
    if (r->st != KOE_OK) return;
    if (!w.alias.n && !w.phonemes[s->pos].n) {
        fail(r, KOE_E_FORMAT, "\"%.*s\" has neither phonemes nor an alias", KOE_STR_ARG(w.written));
        return;
    }
    if (koe_user_lexicon_count(r->lexicon) == KOE_USER_WORDS) {
        fail(r, KOE_E_LIMIT, "more than %d words", KOE_USER_WORDS);
        return;
    }
    if (!koe_user_lexicon_add(r->lexicon, &w)) fail(r, KOE_E_NOMEM, "out of memory");
}

/* ---- JSON ---- */

static koe_str text_of(const json_t *j) { return (koe_str){ json_string_value(j), json_string_length(j) }; }

/* The first of these members that is there and not null. */
static const json_t *member(const json_t *object, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *j = json_object_get(object, names[i]);
        if (j && !json_is_null(j)) return j;
    }
    return NULL;
}
#define MEMBER(object, ...) member(object, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* A text member; n == 0: there is none. */
static koe_str text_member(reader *r, const json_t *j, const char *what)
{
    if (j && !json_is_string(j)) fail(r, KOE_E_FORMAT, "%s must be a text", what);
    return j ? text_of(j) : (koe_str){ 0 };
}

static void read_scope(reader *r, scope *s, const json_t *o)
{
    const koe_str lang = text_member(r, MEMBER(o, "lang", "language", "xml:lang"), "the language");
    const koe_str name = text_member(r, MEMBER(o, "alphabet", "phoneticEncoding", "phonetic_encoding"), "the alphabet");
    const koe_str pos = text_member(r, MEMBER(o, "pos", "part_of_speech"), "the part of speech");
    const json_t *exact = MEMBER(o, "case_sensitive", "caseSensitive");
    if (exact && !json_is_boolean(exact)) fail(r, KOE_E_FORMAT, "case_sensitive must be true or false");
    if (lang.n) set_lang(r, s, lang);
    if (name.n) set_alphabet(r, s, name);
    if (pos.n && (s->pos = pos_of(pos)) == KOE_N_POS) {
        s->pos = KOE_POS_DEFAULT;
        fail(r, KOE_E_FORMAT, "the part of speech is \"%.*s\", it must be noun, verb, adj, adv, VBD, VBN, VBP or DT", KOE_STR_ARG(pos));
    }
    if (exact) s->letter_case = json_is_true(exact) ? KOE_USER_CASE_EXACT : KOE_USER_CASE_ANY;
}

static void read_value(reader *r, scope s, koe_str word, const json_t *v, bool nested);

/* An object that says how a word is spoken: by its members, or by parts of speech. */
static void read_object(reader *r, scope s, koe_str word, const json_t *o)
{
    const char *key;
    json_t *v;
    size_t n = 0;
    read_scope(r, &s, o);
    const koe_str phonemes = text_member(r, MEMBER(o, "phonemes", "phoneme", "pronunciation", "ipa"), "phonemes");
    const koe_str alias = text_member(r, MEMBER(o, "alias", "respelling", "say"), "the alias");
    if (phonemes.n || alias.n) {
        add(r, &s, word, phonemes, alias);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        scope one = s;
        if ((one.pos = pos_of(koe_str_of(key))) == KOE_N_POS || !json_is_string(v)) continue; /* null: misaki's "spell it" */
        add(r, &one, word, text_of(v), (koe_str){ 0 });
        n++;
    }
    if (!n) fail(r, KOE_E_FORMAT, "\"%.*s\" has neither phonemes nor an alias", KOE_STR_ARG(word));
}

static void read_value(reader *r, scope s, koe_str word, const json_t *v, bool nested)
{
    r->key = word;
    if (json_is_string(v)) add(r, &s, word, text_of(v), (koe_str){ 0 });
    else if (json_is_object(v)) read_object(r, s, word, v);
    else if (json_is_array(v) && !nested)
        for (size_t i = 0; i < json_array_size(v) && r->st == KOE_OK; i++) read_value(r, s, word, json_array_get(v, i), true);
    else fail(r, KOE_E_FORMAT, "\"%.*s\" must be its phonemes or an object", KOE_STR_ARG(word));
}

static void read_words(reader *r, scope s, const json_t *object)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
        if (r->st == KOE_OK && !json_is_null(v)) read_value(r, s, koe_str_of(key), v, false);
}

static void read_list(reader *r, scope s, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list) && r->st == KOE_OK; i++) {
        const json_t *o = json_array_get(list, i);
        const json_t *word = MEMBER(o, "word", "phrase", "grapheme", "string_to_replace", "text");
        const json_t *graphemes = json_is_array(word) ? word : NULL;
        if (!json_is_object(o) || (!json_is_string(word) && !graphemes)) {
            fail(r, KOE_E_FORMAT, "entry %zu of the list has no \"word\"", i + 1);
            return;
        }
        if (!graphemes) read_value(r, s, text_of(word), o, true);
        for (size_t k = 0; k < json_array_size(graphemes) && r->st == KOE_OK; k++) {
            const koe_str one = text_member(r, json_array_get(graphemes, k), "a grapheme");
            read_value(r, s, one, o, true);
        }
    }
}

static void read_json(reader *r)
{
    static const char *const lists[] = { "pronunciations", "customPronunciations", "custom_pronunciations", "rules", "entries", "words", "lexicon" };
    json_error_t why;
    scope s = { 0 };
    json_t *root = json_loadb(r->text.p, r->text.n, 0, &why);
    if (!root) {
        r->st = koe_fail(r->err, KOE_E_FORMAT, "%s, line %d: %s", r->name, why.line, why.text);
        return;
    }
    const json_t *list = json_is_array(root) ? root : NULL;
    for (size_t i = 0; i < sizeof lists / sizeof *lists && !list; i++) {
        const json_t *j = json_object_get(root, lists[i]);
        if (json_is_array(j)) list = j;
    }
    const json_t *words = json_object_get(root, "words");
    const bool wrapped = json_is_object(words) && !json_object_get(words, "phonemes") && !json_object_get(words, "alias");
    if (!json_is_object(root) && !list) fail(r, KOE_E_FORMAT, "a lexicon is an object of words, or a list");
    else if (list || wrapped) {
        if (json_is_object(root)) read_scope(r, &s, root);
        if (list) read_list(r, s, list);
        else read_words(r, s, words);
    } else read_words(r, s, root);
    json_decref(root);
}

/* ---- PLS ---- */

enum { PLS_DEPTH = 16, PLS_GRAPHEMES = 64 };

typedef enum pls_kind { PLS_OTHER, PLS_LEXICON, PLS_LEXEME, PLS_GRAPHEME, PLS_PHONEME, PLS_ALIAS } pls_kind;

typedef struct pls {
    reader *r;
    scope scope[PLS_DEPTH]; /* [depth]: what holds inside the open elements */
    pls_kind kind[PLS_DEPTH];
    size_t depth, n_skip;
    koe_buf text; /* of the element in hand */
    koe_buf grapheme[PLS_GRAPHEMES]; /* of the lexeme */
    size_t n_grapheme;
    koe_buf phonemes, alias; /* chosen so far */
    alphabet alphabet; /* of phonemes */
    bool prefer, preferred_phonemes, preferred_alias;
} pls;

static pls_kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        pls_kind kind;
    } kinds[] = { { "lexicon", PLS_LEXICON }, { "lexeme", PLS_LEXEME }, { "grapheme", PLS_GRAPHEME }, { "phoneme", PLS_PHONEME }, { "alias", PLS_ALIAS } };
    const char *colon = strrchr(name, ':');
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(colon ? colon + 1 : name, kinds[i].name) == 0) return kinds[i].kind;
    return PLS_OTHER;
}

static void read_attributes(pls *p, scope *s, const char **atts)
{
    p->prefer = false;
    for (size_t i = 0; atts[i]; i += 2) {
        const koe_str v = koe_str_trim(koe_str_of(atts[i + 1]));
        if (strcmp(atts[i], "xml:lang") == 0) set_lang(p->r, s, v);
        else if (strcmp(atts[i], "alphabet") == 0 && v.n) set_alphabet(p->r, s, v);
        else if (strcmp(atts[i], "prefer") == 0) p->prefer = koe_str_is(v, "true") || koe_str_is(v, "1");
        else if (strcmp(atts[i], "role") == 0 && pos_of(v) < KOE_N_POS) s->pos = pos_of(v);
    }
}

static void XMLCALL pls_start(void *user, const char *name, const char **atts)
{
    pls *p = user;
    reader *r = p->r;
    const pls_kind kind = kind_of(name);
    if (p->n_skip) {
        p->n_skip++;
        return;
    }
    if (p->depth == 0 && kind != PLS_LEXICON) {
        fail(r, KOE_E_FORMAT, "the document is one <lexicon> element, not <%.60s>", name);
        return;
    }
    if (p->depth + 1 == PLS_DEPTH) {
        fail(r, KOE_E_LIMIT, "more than %d elements inside each other", PLS_DEPTH - 2);
        return;
    }
    if (kind == PLS_OTHER) { /* meta, metadata, example: not for us */
        p->n_skip = 1;
        return;
    }
    const pls_kind inside = kind == PLS_LEXICON ? PLS_OTHER : kind == PLS_LEXEME ? PLS_LEXICON : PLS_LEXEME;
    if (p->kind[p->depth] != inside) {
        fail(r, KOE_E_FORMAT, "<%.60s> is not where it belongs", name);
        return;
    }
    scope s = p->scope[p->depth];
    read_attributes(p, &s, atts);
    p->depth++;
    p->scope[p->depth] = s;
    p->kind[p->depth] = kind;
    koe_buf_clear(&p->text);
    if (kind != PLS_LEXEME) return;
    p->n_grapheme = 0;
    p->preferred_phonemes = p->preferred_alias = false;
    koe_buf_clear(&p->phonemes);
    koe_buf_clear(&p->alias);
}

static void XMLCALL pls_text(void *user, const char *text, int n)
{
    pls *p = user;
    if (!p->n_skip && p->depth && p->kind[p->depth] >= PLS_GRAPHEME && p->text.n + (size_t)n <= 4 * KOE_USER_SOUND_BYTES) koe_buf_add(&p->text, text, (size_t)n);
}

/* The first one counts, or the one that is preferred. */
static bool choose(koe_buf *chosen, bool *preferred, const pls *p)
{
    if (chosen->n && (!p->prefer || *preferred)) return false;
    koe_buf_clear(chosen);
    koe_buf_add_str(chosen, koe_str_trim(koe_buf_str(&p->text)));
    *preferred = p->prefer;
    return true;
}

static void end_lexeme(pls *p)
{
    scope s = p->scope[p->depth];
    s.alphabet = p->alphabet;
    if (!p->n_grapheme) fail(p->r, KOE_E_FORMAT, "a lexeme without a grapheme");
    for (size_t i = 0; i < p->n_grapheme && p->r->st == KOE_OK; i++)
        add(p->r, &s, koe_buf_str(&p->grapheme[i]), koe_buf_str(&p->phonemes), koe_buf_str(&p->alias));
}

static void XMLCALL pls_end(void *user, const char *name)
{
    pls *p = user;
    (void)name;
    if (p->n_skip) {
        p->n_skip--;
        return;
    }
    if (p->r->st != KOE_OK || !p->depth) return;
    switch (p->kind[p->depth]) {
    case PLS_GRAPHEME:
        if (p->n_grapheme == PLS_GRAPHEMES) {
            fail(p->r, KOE_E_LIMIT, "more than %d graphemes in a lexeme", PLS_GRAPHEMES);
            return;
        }
        koe_buf_clear(&p->grapheme[p->n_grapheme]);
        koe_buf_add_str(&p->grapheme[p->n_grapheme++], koe_buf_str(&p->text));
        break;
    case PLS_PHONEME:
        if (choose(&p->phonemes, &p->preferred_phonemes, p)) p->alphabet = p->scope[p->depth].alphabet;
        break;
    case PLS_ALIAS: choose(&p->alias, &p->preferred_alias, p); break;
    case PLS_LEXEME: end_lexeme(p); break;
    default: break;
    }
    p->depth--;
}

static void read_pls(reader *r)
{
    pls *p = calloc(1, sizeof *p);
    r->parser = p ? XML_ParserCreate(NULL) : NULL;
    if (!r->parser) {
        free(p);
        r->st = koe_fail(r->err, KOE_E_NOMEM, "%s", r->name);
        return;
    }
    p->r = r;
    XML_SetUserData(r->parser, p);
    XML_SetElementHandler(r->parser, pls_start, pls_end);
    XML_SetCharacterDataHandler(r->parser, pls_text);
    if (XML_Parse(r->parser, r->text.p, (int)r->text.n, XML_TRUE) != XML_STATUS_OK)
        fail(r, XML_GetErrorCode(r->parser) == XML_ERROR_AMPLIFICATION_LIMIT_BREACH ? KOE_E_LIMIT : KOE_E_FORMAT, "%s",
             XML_ErrorString(XML_GetErrorCode(r->parser)));
    XML_ParserFree(r->parser);
    bool failed = p->text.failed || p->phonemes.failed || p->alias.failed;
    koe_buf_free(&p->text);
    koe_buf_free(&p->phonemes);
    koe_buf_free(&p->alias);
    for (size_t i = 0; i < PLS_GRAPHEMES; i++) failed |= p->grapheme[i].failed, koe_buf_free(&p->grapheme[i]);
    free(p);
    if (failed && r->st == KOE_OK) r->st = koe_fail(r->err, KOE_E_NOMEM, "%s", r->name);
}

koe_status koe_user_lexicon_read(koe_user_lexicon **out, koe_str text, const char *name, koe_error *err)
{
    if (text.n > KOE_USER_LEXICON_BYTES) return koe_fail(err, KOE_E_LIMIT, "%s: %zu bytes, the limit of a lexicon is %d", name, text.n, KOE_USER_LEXICON_BYTES);
    koe_str start = text;
    if (koe_str_starts(start, KOE_STR("\xef\xbb\xbf"))) start = koe_str_sub(start, 3, start.n);
    start = koe_str_trim(start);
    if (!start.n) return koe_fail(err, KOE_E_FORMAT, "%s: the lexicon is empty", name);
    reader r = { .lexicon = koe_user_lexicon_create(), .name = name, .err = err };
    if (!r.lexicon) return koe_fail(err, KOE_E_NOMEM, "%s", name);
    const bool json = start.p[0] == '{' || start.p[0] == '[';
    r.text = json ? start : text;
    if (json) read_json(&r);
    else read_pls(&r);
    if (r.st == KOE_OK) *out = r.lexicon;
    else koe_user_lexicon_unref(r.lexicon);
    return r.st;
}
