/* markup.h - text with directions to the speaker -> plain text, and the spans that the directions hold for.
 *     READ -> normalise -> segment -> phonemise
 * One representation for both sources: tags in brackets (markup.c) and SSML (ssml.c, say_as.c). All spans know their bytes of the input,
 * so that word timings name what the user wrote. Linear in the input. Threads: reentrant. */
#ifndef KOE_TEXT_MARKUP_H
#define KOE_TEXT_MARKUP_H
#include "text/front.h"

typedef enum koe_marked_kind {
    KOE_MARKED_TEXT, /* spoken as it stands */
    KOE_MARKED_SAID, /* spoken otherwise than written: say-as, sub; timed as one word */
    KOE_MARKED_LINK, /* its sound or stress is `value`: "/phonemes/", "+1", "#flags#" */
    KOE_MARKED_PAUSE, /* exactly pause_s */
    KOE_MARKED_BREAK, /* the end of a sentence or a paragraph: at least pause_s, as the request scales pauses */
    KOE_MARKED_MARK, /* a place with a name, `value` */
} koe_marked_kind;

/* What a span of plain text is spoken with. */
typedef struct koe_marked_style {
    koe_str voice, lang; /* as written; n == 0: the request's */
    koe_prosody prosody;
} koe_marked_style;

typedef struct koe_marked_span {
    koe_marked_kind kind;
    size_t at, n; /* of the plain text */
    size_t text_at, text_n; /* of the input */
    koe_marked_style style;
    koe_str value;
    bool is_ipa; /* of phonemes: IPA; false: misaki's symbols, or the voice's own */
    double pause_s;
    bool before_pause; /* of a mark: a pause follows it before any text (passage.c) */
} koe_marked_span;

typedef struct koe_marked {
    koe_normal plain;
    koe_buf spans; /* koe_marked_span, in order, without gaps in the plain text */
    koe_arena arena; /* of the strings that are not the input's */
    koe_buf lexicons; /* koe_str: names of lexicons that the text asks for */
    koe_buf warnings; /* what is not done as the text asks, "; " between */
} koe_marked;

/* Reads `input`, which must be UTF-8 and outlive *out. lang: of the request, for numbers and dates in say-as. KOE_E_FORMAT, KOE_E_LIMIT:
 * SSML that cannot be read, with line and column. */
koe_status koe_marked_read(koe_marked *out, koe_str input, koe_markup markup, koe_str lang, koe_error *err);
void koe_marked_free(koe_marked *m);
static inline const koe_marked_span *koe_marked_spans(const koe_marked *m, size_t *n)
{
    *n = m->spans.n / sizeof(koe_marked_span);
    return (const koe_marked_span *)(const void *)m->spans.data;
}

/* ---- for the readers ---- */

koe_status koe_marked_read_tags(koe_marked *out, koe_str input, koe_error *err);
koe_status koe_marked_read_ssml(koe_marked *out, koe_str input, koe_str lang, koe_error *err);

/* Appends input[text_at, text_at + text_n) as text, and whatever stands before it as markup, which is not spoken. A span goes on when
 * kind, style and value are the same. */
void koe_marked_keep(koe_marked *m, koe_str input, const koe_marked_span *like, size_t text_at, size_t text_n);
/* The same, spoken as `by`. */
void koe_marked_say(koe_marked *m, const koe_marked_span *like, size_t text_at, size_t text_n, koe_str by);
/* A span without text: pause, break, mark. */
void koe_marked_add(koe_marked *m, const koe_marked_span *span);

/* Values as SSML spells them, applied to what holds outside: "x-slow", "80%", "+20%", "1.2"; "high", "+2st", "-10%", "+10Hz", "180Hz";
 * "loud", "+6dB", "50"; "strong". False, and nothing is changed, when it is none. */
bool koe_prosody_rate(koe_prosody *p, koe_str value);
bool koe_prosody_pitch(koe_prosody *p, koe_str value);
bool koe_prosody_volume(koe_prosody *p, koe_str value);
bool koe_prosody_range(koe_prosody *p, koe_str value);
bool koe_prosody_emphasis(koe_prosody *p, koe_str level);
bool koe_prosody_same(const koe_prosody *a, const koe_prosody *b);
/* A contour as SSML spells it, "(0%,+20Hz) (50%,+10%) (100%,-2st)": how far along, and how much higher than it would be. */
enum { KOE_CONTOUR_POINTS = 32 };
typedef struct koe_contour {
    struct koe_contour_point {
        double at, pitch_st, pitch_hz; /* at: 0 to 1 */
    } point[KOE_CONTOUR_POINTS];
    size_t n;
} koe_contour;

/* False when it is none; no points leave the pitch as it is. */
bool koe_contour_parse(koe_contour *out, koe_str value);
/* Gives each word of the group, whose spans are the last ones from `first` on, its part of the contour and of the duration (0: none). */
void koe_marked_shape(koe_marked *m, size_t first, unsigned group, const koe_contour *contour, double duration_s);

/* "1.5s", "500ms", "2" (seconds). False when it is none or longer than a minute. */
bool koe_pause_parse(double *seconds, koe_str value);

/* ICU's formatters of one locale, opened at first use: opening one takes a millisecond. Zero-initialise. */
typedef struct koe_sayer {
    const char *locale;
    void *number[2]; /* UNumberFormat: cardinals, ordinals */
    void *patterns; /* UDateTimePatternGenerator */
} koe_sayer;

void koe_sayer_deinit(koe_sayer *s);
/* How `text` is said as `interpret_as` ("digits", "ordinal", "date", ...) with this format ("mdy", ...) in a language: appended to out. */
void koe_say_as(koe_sayer *s, koe_buf *out, koe_str text, koe_str interpret_as, koe_str format, koe_str lang);
#endif
