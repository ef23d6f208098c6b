/* markup.c - tags in plain text, and what both kinds of markup share.
 *     [word](/phonemes/)  [word](+1)  [2024](#a#)  [text](anything else): the text alone
 *     [pause:1.5s]   [mark:NAME]
 *     [voice:NAME] [lang:fr] [rate:1.2] [pitch:+2st] [volume:+6dB] [emphasis:strong]: from here on, until [/voice] ..., or the next one
 * Brackets that are none of these are text. */
#include "text/markup.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum { TAG_FAR = 1000 }; /* bytes that a tag may have */

void koe_marked_free(koe_marked *m)
{
    koe_normal_free(&m->plain);
    koe_buf_free(&m->spans);
    koe_buf_free(&m->lexicons);
    koe_buf_free(&m->warnings);
    koe_arena_free(&m->arena);
}

koe_status koe_marked_read(koe_marked *out, koe_str input, koe_markup markup, koe_str lang, koe_error *err)
{
    *out = (koe_marked){ 0 };
    koe_status st = KOE_OK;
    const koe_marked_span all = { .style.prosody = KOE_PROSODY_PLAIN };
    if (markup == KOE_MARKUP_SSML) st = koe_marked_read_ssml(out, input, lang, err);
    else if (markup == KOE_MARKUP_TAGS && memchr(input.p ? input.p : "", '[', input.n)) st = koe_marked_read_tags(out, input, err);
    else koe_marked_keep(out, input, &all, 0, input.n);
    if (st == KOE_OK && (out->plain.failed || out->spans.failed)) st = koe_fail(err, KOE_E_NOMEM, "markup");
    if (st != KOE_OK) koe_marked_free(out);
    return st;
}

/* ---- spans ---- */

bool koe_prosody_same(const koe_prosody *a, const koe_prosody *b)
{
    return a->rate == b->rate && a->pitch_st == b->pitch_st && a->pitch_hz == b->pitch_hz && a->pitch_to_hz == b->pitch_to_hz &&
           a->gain == b->gain && a->energy == b->energy && a->range_pct == b->range_pct && a->duration_s == b->duration_s && a->group == b->group;
}

static bool goes_on(const koe_marked_span *a, const koe_marked_span *b)
{
    return a->kind == KOE_MARKED_TEXT && b->kind == KOE_MARKED_TEXT && koe_str_eq(a->style.voice, b->style.voice) &&
           koe_str_eq(a->style.lang, b->style.lang) && koe_prosody_same(&a->style.prosody, &b->style.prosody);
}

void koe_marked_add(koe_marked *m, const koe_marked_span *span)
{
    koe_marked_span s = *span;
    s.at = m->plain.text.n;
    s.n = 0;
    koe_buf_add(&m->spans, &s, sizeof s);
}

/* Input bytes that the plain text accounts for. */
static size_t covered(const koe_marked *m)
{
    const koe_span *last = m->plain.n ? &m->plain.span[m->plain.n - 1] : NULL;
    return last ? last->text_at + last->text_n : 0;
}

/* Opens or extends a span by what was just appended to the plain text from `at` on. */
static void extend(koe_marked *m, const koe_marked_span *like, size_t at, size_t text_at, size_t text_n)
{
    size_t n;
    koe_marked_span *last = (koe_marked_span *)(void *)m->spans.data;
    (void)koe_marked_spans(m, &n);
    if (n && goes_on(&last[n - 1], like)) last += n - 1;
    else {
        koe_marked_span s = *like;
        s.at = at;
        s.text_at = text_at;
        koe_buf_add(&m->spans, &s, sizeof s);
        if (m->spans.failed) return;
        last = (koe_marked_span *)(void *)m->spans.data + n;
    }
    last->n = m->plain.text.n - last->at;
    last->text_n = text_at + text_n - last->text_at;
}

static void skip_to(koe_marked *m, size_t text_at)
{
    size_t from = covered(m);
    if (text_at > from) koe_normal_replace(&m->plain, from, text_at - from, KOE_STR(""));
}

void koe_marked_keep(koe_marked *m, koe_str input, const koe_marked_span *like, size_t text_at, size_t text_n)
{
    if (!text_n) return;
    skip_to(m, text_at);
    size_t at = m->plain.text.n;
    koe_normal_keep(&m->plain, input, text_at, text_n);
    extend(m, like, at, text_at, text_n);
}

void koe_marked_say(koe_marked *m, const koe_marked_span *like, size_t text_at, size_t text_n, koe_str by)
{
    if (!by.n) return;
    skip_to(m, text_at);
    size_t at = m->plain.text.n;
    koe_normal_replace(&m->plain, text_at, text_n, by);
    extend(m, like, at, text_at, text_n);
}

/* ---- values ---- */

/* A number and what follows it; *sign: it is relative. */
static bool parse_number(koe_str v, double *number, koe_str *unit, bool *sign)
{
    char text[32];
    size_t n = 0;
    v = koe_str_trim(v);
    if (v.n && (v.p[0] == '+' || v.p[0] == '-')) n++;
    *sign = n == 1;
    while (n < v.n && (isdigit((unsigned char)v.p[n]) || v.p[n] == '.')) n++;
    if (n >= sizeof text || n <= *sign) return false;
    memcpy(text, v.p, n);
    text[n] = 0;
    char *end;
    *number = strtod(text, &end);
    *unit = koe_str_trim(koe_str_sub(v, n, v.n));
    return *end == 0 && isfinite(*number);
}

static bool is_word(koe_str a, const char *b) { return a.n == strlen(b) && (a.n == 0 || strncasecmp(a.p, b, a.n) == 0); }

typedef struct word_value {
    const char *word;
    double value;
} word_value;

static bool find_word(koe_str v, const word_value *list, size_t n, double *value)
{
    for (size_t i = 0; i < n; i++)
        if (is_word(koe_str_trim(v), list[i].word)) return *value = list[i].value, true;
    return false;
}
#define FIND_WORD(v, list, value) find_word(v, list, sizeof list / sizeof *list, value)

static double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

bool koe_prosody_rate(koe_prosody *p, koe_str value)
{
    static const word_value words[] = { { "x-slow", 0.5 }, { "slow", 0.75 }, { "medium", 1 }, { "default", 1 }, { "fast", 1.3 }, { "x-fast", 1.75 } };
    double x;
    koe_str unit;
    bool sign;
    if (!FIND_WORD(value, words, &x)) {
        if (!parse_number(value, &x, &unit, &sign)) return false;
        if (is_word(unit, "%")) x = sign ? 1 + x / 100 : x / 100;
        else if (unit.n) return false;
        else if (sign) x = 1 + x; /* SSML 1.0: "+0.5" */
    }
    if (!(x > 0)) return false;
    p->rate = within(p->rate * x, 0.25, 4);
    return true;
}

bool koe_prosody_pitch(koe_prosody *p, koe_str value)
{
    static const word_value words[] = { { "x-low", -6 }, { "low", -3 }, { "medium", 0 }, { "default", 0 }, { "high", 3 }, { "x-high", 6 } };
    double x;
    koe_str unit;
    bool sign;
    if (!FIND_WORD(value, words, &x)) {
        if (!parse_number(value, &x, &unit, &sign)) return false;
        if (is_word(unit, "Hz") && sign) return p->pitch_hz = within(p->pitch_hz + x, -400, 400), true;
        if (is_word(unit, "Hz")) return x > 0 ? p->pitch_to_hz = within(x, 40, 800), true : false;
        if (is_word(unit, "%")) {
            x = sign ? 1 + x / 100 : x / 100;
            if (!(x > 0)) return false;
            x = 12 * log2(x);
        } else if (unit.n && !is_word(unit, "st")) return false;
    }
    p->pitch_st = within(p->pitch_st + x, -24, 24);
    return true;
}

bool koe_prosody_volume(koe_prosody *p, koe_str value)
{
    static const word_value words[] = { { "silent", 0 }, { "x-soft", 0.25 }, { "soft", 0.5 }, { "medium", 1 }, { "default", 1 }, { "loud", 1.5 }, { "x-loud", 2 } };
    double x;
    koe_str unit;
    bool sign;
    if (!FIND_WORD(value, words, &x)) {
        if (!parse_number(value, &x, &unit, &sign)) return false;
        if (is_word(unit, "dB")) x = pow(10, x / 20);
        else if (unit.n && !is_word(unit, "%")) return false;
        else x = sign ? 1 + x / 100 : x / 100; /* 0 to 100, 100 is as it is */
    }
    p->gain = within(p->gain * within(x, 0, 32), 0, 32);
    return true;
}

bool koe_prosody_range(koe_prosody *p, koe_str value)
{
    static const word_value words[] = { { "x-low", 0.25 }, { "low", 0.5 }, { "medium", 1 }, { "default", 1 }, { "high", 1.5 }, { "x-high", 2 } };
    double x;
    koe_str unit;
    bool sign;
    if (!FIND_WORD(value, words, &x)) {
        if (!parse_number(value, &x, &unit, &sign) || !is_word(unit, "%")) return false;
        x = sign ? 1 + x / 100 : x / 100;
    }
    p->range_pct = (within((1 + p->range_pct / 100) * x, 0, 4) - 1) * 100;
    return true;
}

bool koe_prosody_emphasis(koe_prosody *p, koe_str level)
{
    static const struct {
        const char *level;
        double rate, pitch_st, gain, energy;
    } levels[] = { { "strong", 0.85, 1.5, 1.15, 1.5 }, { "moderate", 0.92, 0.8, 1.07, 1.25 }, { "", 0.92, 0.8, 1.07, 1.25 },
                   { "none", 1, 0, 1, 1 }, { "reduced", 1.1, -0.8, 0.9, 0.75 } };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (!is_word(koe_str_trim(level), levels[i].level)) continue;
        p->rate = within(p->rate * levels[i].rate, 0.25, 4);
        p->pitch_st = within(p->pitch_st + levels[i].pitch_st, -24, 24);
        p->gain = within(p->gain * levels[i].gain, 0, 32);
        p->energy = within(p->energy * levels[i].energy, 0.1, 10);
        return true;
    }
    return false;
}

bool koe_pause_parse(double *seconds, koe_str value)
{
    double x;
    koe_str unit;
    bool sign;
    if (!parse_number(value, &x, &unit, &sign) || x < 0) return false;
    if (is_word(unit, "ms")) x /= 1000;
    else if (unit.n && !is_word(unit, "s")) return false;
    if (x > 60) return false;
    *seconds = x;
    return true;
}

/* ---- what an element does to its words one by one ---- */

bool koe_contour_parse(koe_contour *out, koe_str value)
{
    *out = (koe_contour){ 0 };
    for (value = koe_str_trim(value); value.n; value = koe_str_trim(value)) {
        const char *comma = memchr(value.p, ',', value.n), *close = memchr(value.p, ')', value.n);
        koe_prosody p = KOE_PROSODY_PLAIN;
        koe_str unit;
        bool sign;
        double at;
        if (value.p[0] != '(' || !comma || !close || comma > close || out->n == KOE_CONTOUR_POINTS) return false;
        const size_t n = (size_t)(close - value.p), middle = (size_t)(comma - value.p);
        if (!parse_number(koe_str_sub(value, 1, middle - 1), &at, &unit, &sign) || !is_word(unit, "%")) return false;
        if (!koe_prosody_pitch(&p, koe_str_sub(value, middle + 1, n - middle - 1)) || p.pitch_to_hz > 0) return false;
        at = within(at / 100, 0, 1);
        if (out->n && at < out->point[out->n - 1].at) return false;
        out->point[out->n].at = at;
        out->point[out->n].pitch_st = p.pitch_st;
        out->point[out->n++].pitch_hz = p.pitch_hz;
        value = koe_str_sub(value, n + 1, value.n);
    }
    return out->n > 0;
}

/* The contour at a place, between its points in a straight line. */
static void add_contour(koe_prosody *p, const koe_contour *c, double at)
{
    size_t i = 0;
    if (!c->n) return;
    while (i < c->n && c->point[i].at < at) i++;
    const struct koe_contour_point *b = &c->point[i < c->n ? i : c->n - 1], *a = i ? &c->point[i - 1] : b;
    const double way = b->at > a->at ? (at - a->at) / (b->at - a->at) : 0;
    p->pitch_st = within(p->pitch_st + a->pitch_st + way * (b->pitch_st - a->pitch_st), -24, 24);
    p->pitch_hz = within(p->pitch_hz + a->pitch_hz + way * (b->pitch_hz - a->pitch_hz), -400, 400);
}

/* Bytes up to the next word's start. */
static size_t word_length(koe_str text)
{
    size_t n = 0;
    while (n < text.n && text.p[n] != ' ') n++;
    while (n < text.n && text.p[n] == ' ') n++;
    return n;
}

void koe_marked_shape(koe_marked *m, size_t first, unsigned group, const koe_contour *contour, double duration_s)
{
    size_t n, total = 0, done = 0;
    const koe_marked_span *span = koe_marked_spans(m, &n);
    const koe_str plain = koe_buf_str(&m->plain.text);
    koe_buf shaped = { 0 };
    for (size_t i = first; i < n; i++) total += span[i].style.prosody.group == group ? span[i].n : 0;
    if (first >= n || !total) return;
    for (size_t i = first; i < n; i++) {
        koe_marked_span s = span[i];
        const bool ours = s.style.prosody.group == group;
        for (size_t at = s.at, end = s.at + s.n; ours && s.n && at < end; at += s.n, done += s.n) {
            s = span[i];
            s.n = s.kind == KOE_MARKED_TEXT ? word_length(koe_str_sub(plain, at, end - at)) : end - at;
            s.at = at;
            add_contour(&s.style.prosody, contour, ((double)done + (double)s.n / 2) / (double)total);
            s.style.prosody.duration_s = duration_s * (double)s.n / (double)total;
            koe_buf_add(&shaped, &s, sizeof s);
        }
        if (!ours || !span[i].n) koe_buf_add(&shaped, &span[i], sizeof *span);
    }
    m->spans.n = first * sizeof *span;
    koe_buf_add(&m->spans, shaped.data, shaped.n);
    m->spans.failed |= shaped.failed;
    koe_buf_free(&shaped);
}

/* ---- tags ---- */

typedef struct tag_reader {
    koe_marked *m;
    koe_str input;
    koe_marked_style style;
    size_t kept; /* input bytes that are dealt with */
} tag_reader;

static void keep_until(tag_reader *r, size_t at)
{
    const koe_marked_span like = { .style = r->style };
    koe_marked_keep(r->m, r->input, &like, r->kept, at - r->kept);
    r->kept = at;
}

static bool set_rate(tag_reader *r, koe_str v) { return r->style.prosody.rate = 1, koe_prosody_rate(&r->style.prosody, v); }
static bool set_volume(tag_reader *r, koe_str v) { return r->style.prosody.gain = 1, koe_prosody_volume(&r->style.prosody, v); }
static bool set_pitch(tag_reader *r, koe_str v)
{
    r->style.prosody.pitch_st = r->style.prosody.pitch_hz = r->style.prosody.pitch_to_hz = 0;
    return koe_prosody_pitch(&r->style.prosody, v);
}
/* Emphasis sets what rate, pitch and volume would: it is meant for a word or two, and ends as a whole. */
static bool set_emphasis(tag_reader *r, koe_str v) { return r->style.prosody = KOE_PROSODY_PLAIN, koe_prosody_emphasis(&r->style.prosody, v); }
static bool set_voice(tag_reader *r, koe_str v)
{
    for (size_t i = 0; i < v.n; i++)
        if (isspace((unsigned char)v.p[i])) return false;
    r->style.voice = v;
    return v.n > 0;
}
static bool set_lang(tag_reader *r, koe_str v) { return r->style.lang = v, koe_lang_find(v) != NULL; }

static const struct {
    const char *name;
    bool (*set)(tag_reader *r, koe_str value);
    const char *plain; /* value that ends it; NULL: nothing is asked for */
} tags[] = { { "voice", set_voice, NULL }, { "lang", set_lang, NULL }, { "rate", set_rate, "1" }, { "speed", set_rate, "1" },
             { "pitch", set_pitch, "0st" }, { "volume", set_volume, "100" }, { "emphasis", set_emphasis, "none" } };

/* [name:value] or [/name], whose inside is `s`. */
static bool read_style(tag_reader *r, koe_str s)
{
    bool ends = s.n && s.p[0] == '/';
    const char *colon = memchr(s.p, ':', s.n);
    if (!ends && !colon) return false;
    koe_str name = ends ? koe_str_sub(s, 1, s.n) : (koe_str){ s.p, (size_t)(colon - s.p) };
    koe_str value = ends ? (koe_str){ 0 } : koe_str_trim(koe_str_sub(s, name.n + 1, s.n));
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (!is_word(name, tags[i].name)) continue;
        koe_marked_style before = r->style;
        if (!ends && tags[i].set(r, value)) return true;
        r->style = before;
        if (!ends) return false;
        if (tags[i].set == set_voice) r->style.voice = (koe_str){ 0 };
        else if (tags[i].set == set_lang) r->style.lang = (koe_str){ 0 };
        else tags[i].set(r, koe_str_of(tags[i].plain));
        return true;
    }
    return false;
}

/* At input[at] == '[': how many bytes its tag has; 0: it is text. */
static size_t read_tag(tag_reader *r, size_t at)
{
    koe_str s = koe_str_sub(r->input, at + 1, TAG_FAR);
    const char *close = memchr(s.p, ']', s.n);
    if (!close || close == s.p) return 0;
    koe_str inside = { s.p, (size_t)(close - s.p) };
    if (memchr(inside.p, '\n', inside.n)) return 0;
    const char *end = inside.n + 1 < s.n && close[1] == '(' ? memchr(close, ')', s.n - inside.n) : NULL;
    koe_marked_span like = { .style = r->style };
    if (end) { /* a link */
        size_t n = (size_t)(end - inside.p) + 2;
        keep_until(r, at);
        like.kind = KOE_MARKED_LINK;
        like.value = (koe_str){ close + 2, (size_t)(end - close) - 2 };
        koe_marked_keep(r->m, r->input, &like, at + 1, inside.n);
        return n;
    }
    koe_marked_style before = r->style;
    const bool is_pause = inside.n > 6 && is_word(koe_str_sub(inside, 0, 6), "pause:") && koe_pause_parse(&like.pause_s, koe_str_sub(inside, 6, inside.n));
    const bool is_mark = inside.n > 5 && is_word(koe_str_sub(inside, 0, 5), "mark:");
    if (!is_pause && !is_mark && !read_style(r, inside)) return 0;
    const koe_marked_style after = r->style;
    r->style = before; /* of the text before the tag */
    keep_until(r, at);
    r->style = after;
    like.kind = is_mark ? KOE_MARKED_MARK : KOE_MARKED_PAUSE;
    like.value = is_mark ? koe_str_trim(koe_str_sub(inside, 5, inside.n)) : (koe_str){ 0 };
    like.text_at = at;
    like.text_n = inside.n + 2;
    if (is_pause || is_mark) koe_marked_add(r->m, &like);
    return inside.n + 2;
}

koe_status koe_marked_read_tags(koe_marked *out, koe_str input, koe_error *err)
{
    (void)err;
    tag_reader r = { .m = out, .input = input, .style.prosody = KOE_PROSODY_PLAIN };
    for (size_t at = 0; at < input.n;) {
        const char *open = memchr(input.p + at, '[', input.n - at);
        if (!open) break;
        at = (size_t)(open - input.p);
        size_t n = read_tag(&r, at);
        if (n) r.kept = at + n;
        at += n ? n : 1;
    }
    keep_until(&r, input.n);
    return KOE_OK;
}
