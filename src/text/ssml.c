/* ssml.c - SSML 1.1 by expat: elements that direct the speaker become spans, all others speak their text.
 * Kept from the outside world: no external entity is ever opened, expat's protection against entities that grow without end is on, the
 * depth is limited, and the declared encoding is ignored (the text is UTF-8 by then). Vendors' extras (mstts:*, amazon:*) are unknown
 * elements like any other; those that carry prosody are listed below. */
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>

#include "text/markup.h"

enum { MAX_DEPTH = 64, MAX_BYTES = 16 << 20, MAX_WARNING_BYTES = 1000 };

typedef enum element_kind { PLAIN, CAPTURE, SKIP, SENTENCE, PARAGRAPH } element_kind;

/* An open element. */
typedef struct element {
    element_kind kind;
    koe_marked_style style; /* what holds outside of it */
    size_t at, text_at; /* of its start tag and its content */
    koe_str value, format; /* say-as: as what; sub: alias; phoneme: the phonemes */
    bool is_ipa, is_alias;
    size_t first_span; /* prosody: its words' spans, of its group */
    unsigned group; /* 0: nothing is done to single words */
    koe_contour contour;
    double duration_s;
} element;

typedef struct ssml_reader {
    XML_Parser parser;
    koe_marked *m;
    koe_str input, lang;
    koe_marked_style style; /* what holds here */
    element open[MAX_DEPTH];
    size_t depth;
    size_t n_skip; /* open elements whose text is not spoken */
    size_t capture; /* depth of the element whose text is said otherwise; 0: none */
    koe_buf captured;
    koe_sayer sayer;
    unsigned n_groups;
    koe_status st;
    koe_error *err;
} ssml_reader;

static size_t here(const ssml_reader *r) { return (size_t)XML_GetCurrentByteIndex(r->parser); }

static void stop(ssml_reader *r, koe_status st, const char *what, koe_str which)
{
    if (r->st != KOE_OK) return;
    r->st = koe_fail(r->err, st, "SSML line %lu, column %lu: %s%.*s", (unsigned long)XML_GetCurrentLineNumber(r->parser),
                     (unsigned long)XML_GetCurrentColumnNumber(r->parser) + 1, what, KOE_STR_ARG(which));
    XML_StopParser(r->parser, XML_FALSE);
}

static void warn(ssml_reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is not done as the document asks. */
static void warn(ssml_reader *r, const char *format, ...)
{
    char what[300];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (r->m->warnings.n < MAX_WARNING_BYTES)
        koe_buf_printf(&r->m->warnings, "%sSSML line %lu: %s", r->m->warnings.n ? "; " : "", (unsigned long)XML_GetCurrentLineNumber(r->parser), what);
}

/* Value of an attribute, prefix and case of its name ignored; n == 0, p NULL: there is none. Copied. */
static koe_str attribute(ssml_reader *r, const char **atts, const char *name)
{
    for (size_t i = 0; atts[i]; i += 2) {
        const char *colon = strrchr(atts[i], ':');
        if (strcmp(colon ? colon + 1 : atts[i], name) != 0) continue;
        koe_str v = koe_arena_str(&r->m->arena, koe_str_trim(koe_str_of(atts[i + 1])));
        if (!v.p) stop(r, KOE_E_NOMEM, "out of memory", KOE_STR(""));
        return v;
    }
    return (koe_str){ 0 };
}

/* ---- elements ---- */

typedef void start_fn(ssml_reader *r, element *e, const char **atts);

static void add_span(ssml_reader *r, koe_marked_kind kind, double pause_s, koe_str value)
{
    koe_marked_add(r->m, &(koe_marked_span){ .kind = kind, .style = r->style, .pause_s = pause_s, .value = value, .text_at = here(r),
                                             .text_n = (size_t)XML_GetCurrentByteCount(r->parser) });
}

/* The language of the document is the voice's when it is only another region's: an American page is read by a British voice as it reads. */
static void start_speak(ssml_reader *r, element *e, const char **atts)
{
    (void)e;
    koe_str lang = attribute(r, atts, "lang");
    size_t n = lang.p ? strcspn(lang.p, "-_") : 0;
    if (lang.n && !(koe_str_starts(r->lang, koe_str_sub(lang, 0, n)) && (r->lang.n == n || r->lang.p[n] == '-'))) r->style.lang = lang;
}

static void set_lang(ssml_reader *r, const char **atts)
{
    koe_str lang = attribute(r, atts, "lang");
    if (!lang.n) lang = attribute(r, atts, "language");
    if (lang.n) r->style.lang = lang;
}

static void start_sentence(ssml_reader *r, element *e, const char **atts)
{
    e->kind = SENTENCE;
    set_lang(r, atts);
}

static void start_paragraph(ssml_reader *r, element *e, const char **atts)
{
    e->kind = PARAGRAPH;
    set_lang(r, atts);
    add_span(r, KOE_MARKED_BREAK, 0.6, KOE_STR(""));
}

static void start_lang(ssml_reader *r, element *e, const char **atts) { (void)e, set_lang(r, atts); }

static void start_break(ssml_reader *r, element *e, const char **atts)
{
    static const struct {
        const char *strength;
        double pause_s;
    } strengths[] = { { "none", 0 }, { "x-weak", 0.1 }, { "weak", 0.25 }, { "medium", 0.5 }, { "strong", 0.75 }, { "x-strong", 1 } };
    (void)e;
    koe_str time = attribute(r, atts, "time"), strength = attribute(r, atts, "strength");
    double pause_s = 0.5;
    for (size_t i = 0; i < sizeof strengths / sizeof *strengths; i++)
        if (koe_str_is(strength, strengths[i].strength)) pause_s = strengths[i].pause_s;
    if (time.n && !koe_pause_parse(&pause_s, time)) stop(r, KOE_E_ARGUMENT, "a break is 0 to 60 s, as in \"1.5s\" or \"500ms\", not ", time);
    if (r->capture || r->n_skip || (!time.n && pause_s == 0)) return;
    add_span(r, KOE_MARKED_PAUSE, pause_s, KOE_STR(""));
}

static void start_say_as(ssml_reader *r, element *e, const char **atts)
{
    e->kind = CAPTURE;
    e->value = attribute(r, atts, "interpret-as");
    e->format = attribute(r, atts, "format");
    koe_buf_clear(&r->captured);
}

static void start_sub(ssml_reader *r, element *e, const char **atts)
{
    e->value = attribute(r, atts, "alias");
    if (!e->value.n) return;
    e->kind = CAPTURE;
    e->is_alias = true;
    koe_buf_clear(&r->captured);
}

static void start_phoneme(ssml_reader *r, element *e, const char **atts)
{
    koe_str ph = attribute(r, atts, "ph"), alphabet = attribute(r, atts, "alphabet");
    const bool ours = koe_str_is(alphabet, "x-misaki") || koe_str_is(alphabet, "misaki");
    const bool sampa = koe_str_is(alphabet, "x-sampa") || koe_str_is(alphabet, "X-SAMPA");
    if (!ph.n) return;
    if (alphabet.n && !ours && !sampa && !koe_str_is(alphabet, "ipa")) { /* Arpabet, SAPI: the text itself is read */
        warn(r, "phonemes in the alphabet \"%.*s\" are not read; ipa, x-sampa and x-misaki are", KOE_STR_ARG(koe_str_sub(alphabet, 0, 40)));
        return;
    }
    koe_buf slashed = { 0 };
    koe_buf_addc(&slashed, '/');
    if (sampa) koe_ipa_of_xsampa(&slashed, ph);
    else koe_buf_add_str(&slashed, ph);
    koe_buf_addc(&slashed, '/');
    e->value = koe_arena_str(&r->m->arena, koe_buf_str(&slashed));
    koe_buf_free(&slashed);
    if (!e->value.p) stop(r, KOE_E_NOMEM, "out of memory", KOE_STR(""));
    e->kind = CAPTURE;
    e->is_ipa = !ours;
    koe_buf_clear(&r->captured);
}

static void start_voice(ssml_reader *r, element *e, const char **atts)
{
    (void)e;
    koe_str name = attribute(r, atts, "name");
    if (name.n) r->style.voice = name;
    set_lang(r, atts);
}

typedef bool prosody_fn(koe_prosody *p, koe_str value);

static void set_prosody(ssml_reader *r, const char **atts, const char *name, prosody_fn *set)
{
    koe_str v = attribute(r, atts, name);
    if (v.n && !set(&r->style.prosody, v))
        warn(r, "%s \"%.*s\" is not understood and changes nothing", name, KOE_STR_ARG(koe_str_sub(v, 0, 60)));
}

static void start_prosody(ssml_reader *r, element *e, const char **atts)
{
    const koe_str contour = attribute(r, atts, "contour"), duration = attribute(r, atts, "duration");
    set_prosody(r, atts, "rate", koe_prosody_rate);
    set_prosody(r, atts, "pitch", koe_prosody_pitch);
    set_prosody(r, atts, "range", koe_prosody_range);
    set_prosody(r, atts, "volume", koe_prosody_volume);
    if (contour.n && !koe_contour_parse(&e->contour, contour)) {
        e->contour.n = 0;
        warn(r, "contour \"%.*s\" is not understood and changes nothing", KOE_STR_ARG(koe_str_sub(contour, 0, 60)));
    }
    if (duration.n && !koe_pause_parse(&e->duration_s, duration))
        warn(r, "duration \"%.*s\" is not understood and changes nothing", KOE_STR_ARG(koe_str_sub(duration, 0, 60)));
    if (!e->contour.n && !(e->duration_s > 0)) return;
    (void)koe_marked_spans(r->m, &e->first_span);
    e->group = r->style.prosody.group = ++r->n_groups;
}

static void start_emphasis(ssml_reader *r, element *e, const char **atts)
{
    (void)e;
    if (!koe_prosody_emphasis(&r->style.prosody, attribute(r, atts, "level"))) koe_prosody_emphasis(&r->style.prosody, KOE_STR("moderate"));
}

static void start_mark(ssml_reader *r, element *e, const char **atts)
{
    (void)e;
    add_span(r, KOE_MARKED_MARK, 0, attribute(r, atts, "name"));
}

/* By the name of an installed one; nothing is fetched. */
static void start_lexicon(ssml_reader *r, element *e, const char **atts)
{
    (void)e;
    const koe_str uri = attribute(r, atts, "uri");
    if (uri.n) koe_buf_add(&r->m->lexicons, &uri, sizeof uri);
    if (r->m->lexicons.failed) stop(r, KOE_E_NOMEM, "out of memory", KOE_STR(""));
}

static void start_audio(ssml_reader *r, element *e, const char **atts)
{
    (void)e;
    const koe_str src = attribute(r, atts, "src");
    if (src.n) warn(r, "sound from \"%.*s\" is not played: the text of its <audio> is spoken", KOE_STR_ARG(koe_str_sub(src, 0, 60)));
}

static void start_skipped(ssml_reader *r, element *e, const char **atts)
{
    (void)r, (void)atts;
    e->kind = SKIP;
}

/* Prefixes (mstts:, amazon:, google:) are ignored. Not listed, `w` among them: they speak their text. */
static const struct {
    const char *name;
    start_fn *start;
} elements[] = {
    { "speak", start_speak }, { "p", start_paragraph }, { "paragraph", start_paragraph }, { "s", start_sentence },
    { "sentence", start_sentence }, { "break", start_break }, { "say-as", start_say_as }, { "sub", start_sub },
    { "phoneme", start_phoneme }, { "voice", start_voice }, { "lang", start_lang }, { "prosody", start_prosody },
    { "emphasis", start_emphasis }, { "mark", start_mark }, { "bookmark", start_mark }, { "desc", start_skipped },
    { "metadata", start_skipped }, { "lexicon", start_lexicon }, { "audio", start_audio },
};

static void XMLCALL on_start(void *user, const char *name, const char **atts)
{
    ssml_reader *r = user;
    const char *colon = strrchr(name, ':');
    if (r->depth == 0 && strcmp(colon ? colon + 1 : name, "speak") != 0)
        stop(r, KOE_E_ARGUMENT, "the document is one <speak> element, not <", koe_str_of(name));
    if (r->depth == MAX_DEPTH) stop(r, KOE_E_LIMIT, "more than 64 elements inside each other", KOE_STR(""));
    if (r->st != KOE_OK) return;
    element *e = &r->open[r->depth++];
    *e = (element){ .style = r->style, .at = here(r), .text_at = here(r) + (size_t)XML_GetCurrentByteCount(r->parser) };
    for (size_t i = 0; i < sizeof elements / sizeof *elements && !r->capture; i++)
        if (strcmp(colon ? colon + 1 : name, elements[i].name) == 0) elements[i].start(r, e, atts);
    if (e->kind == CAPTURE) r->capture = r->depth;
    if (e->kind == SKIP) r->n_skip++;
}

/* The end of an element whose text is said otherwise. */
static void say_captured(ssml_reader *r, const element *e)
{
    koe_marked_span like = { .kind = KOE_MARKED_SAID, .style = r->style };
    koe_buf said = { 0 };
    const bool empty = here(r) <= e->text_at; /* then the tag is what was written */
    const size_t at = empty ? e->at : e->text_at, end = empty ? e->text_at : here(r);
    if (e->is_alias) koe_buf_add_str(&said, e->value);
    else if (koe_link_phonemes(&(koe_link){ .value = e->value }).n) {
        like.kind = KOE_MARKED_LINK;
        like.value = e->value;
        like.is_ipa = e->is_ipa;
        koe_str text = koe_str_trim(koe_buf_str(&r->captured));
        /* Voices without phonemes speak the text; when there is none, the phonemes are the best that there is. */
        koe_buf_add_str(&said, text.n ? text : koe_link_phonemes(&(koe_link){ .value = e->value }));
    } else koe_say_as(&r->sayer, &said, koe_buf_str(&r->captured), e->value, e->format, r->style.lang.n ? r->style.lang : r->lang);
    koe_marked_say(r->m, &like, at, end - at, koe_buf_str(&said));
    if (said.failed || r->captured.failed) stop(r, KOE_E_NOMEM, "out of memory", KOE_STR(""));
    koe_buf_free(&said);
}

static void XMLCALL on_end(void *user, const char *name)
{
    ssml_reader *r = user;
    (void)name;
    if (r->st != KOE_OK || !r->depth) return;
    const element e = r->open[r->depth - 1];
    if (r->capture == r->depth) {
        r->capture = 0;
        if (!r->n_skip) say_captured(r, &e);
    }
    r->depth--;
    if (e.kind == SKIP) r->n_skip--;
    if (e.group) koe_marked_shape(r->m, e.first_span, e.group, &e.contour, e.duration_s);
    r->style = e.style;
    if (e.kind == SENTENCE) add_span(r, KOE_MARKED_BREAK, 0.3, KOE_STR(""));
    if (e.kind == PARAGRAPH) add_span(r, KOE_MARKED_BREAK, 0.6, KOE_STR(""));
}

/* ---- text ---- */

/* White space of XML is only that: its line ends are no paragraphs. */
static void flatten(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] == '\n' || p[i] == '\r' || p[i] == '\t') p[i] = ' ';
}

static void XMLCALL on_text(void *user, const char *p, int len)
{
    ssml_reader *r = user;
    const size_t n = (size_t)len, at = here(r);
    if (r->st != KOE_OK || r->n_skip) return;
    if (r->capture) {
        koe_buf_add(&r->captured, p, n);
        return;
    }
    const koe_marked_span like = { .style = r->style };
    const koe_span *last = r->m->plain.n ? &r->m->plain.span[r->m->plain.n - 1] : NULL;
    const size_t from = r->m->plain.text.n, covered = last ? last->text_at + last->text_n : 0;
    if (at >= covered && at <= r->input.n && n <= r->input.n - at && memcmp(r->input.p + at, p, n) == 0)
        koe_marked_keep(r->m, r->input, &like, at, n);
    else { /* an entity, or what one of the document's own stands for: all of its text belongs to the reference */
        size_t text_n = (size_t)XML_GetCurrentByteCount(r->parser);
        if (at < covered || text_n > r->input.n - at) text_n = 0;
        koe_marked_say(r->m, &like, at < covered ? covered : at, text_n, (koe_str){ p, n });
    }
    if (r->m->plain.text.n > from) flatten(r->m->plain.text.data + from, r->m->plain.text.n - from);
    if (r->m->plain.text.n > MAX_BYTES) stop(r, KOE_E_LIMIT, "the text with its entities is longer than 16 MiB", KOE_STR(""));
}

/* An entity of a document type that is not opened: its name is said. */
static void XMLCALL on_skipped(void *user, const char *name, int is_parameter)
{
    if (!is_parameter) on_text(user, name, (int)strlen(name));
}

static koe_status parse(ssml_reader *r, koe_error *err)
{
    if (XML_Parse(r->parser, r->input.p ? r->input.p : "", (int)r->input.n, XML_TRUE) == XML_STATUS_OK || r->st != KOE_OK) return r->st;
    enum XML_Error e = XML_GetErrorCode(r->parser);
    if (e == XML_ERROR_NO_MEMORY) return koe_fail(err, KOE_E_NOMEM, "SSML");
    return koe_fail(err, e == XML_ERROR_AMPLIFICATION_LIMIT_BREACH ? KOE_E_LIMIT : KOE_E_ARGUMENT, "SSML line %lu, column %lu: %s",
                    (unsigned long)XML_GetCurrentLineNumber(r->parser), (unsigned long)XML_GetCurrentColumnNumber(r->parser) + 1,
                    e == XML_ERROR_SYNTAX && r->depth == 0 ? "the document is one <speak> element" : XML_ErrorString(e));
}

koe_status koe_marked_read_ssml(koe_marked *out, koe_str input, koe_str lang, koe_error *err)
{
    if (input.n > MAX_BYTES) return koe_fail(err, KOE_E_LIMIT, "an SSML document of %zu bytes, the limit is %d", input.n, MAX_BYTES);
    ssml_reader *r = calloc(1, sizeof *r);
    if (!r || !(r->parser = XML_ParserCreate("UTF-8"))) {
        free(r);
        return koe_fail(err, KOE_E_NOMEM, "SSML");
    }
    r->m = out;
    r->input = input;
    r->lang = lang;
    r->err = err;
    r->style.prosody = KOE_PROSODY_PLAIN;
    XML_SetUserData(r->parser, r);
    XML_SetElementHandler(r->parser, on_start, on_end);
    XML_SetCharacterDataHandler(r->parser, on_text);
    XML_SetSkippedEntityHandler(r->parser, on_skipped);
    koe_status st = parse(r, err);
    XML_ParserFree(r->parser);
    koe_buf_free(&r->captured);
    koe_sayer_deinit(&r->sayer);
    free(r);
    return st;
}
