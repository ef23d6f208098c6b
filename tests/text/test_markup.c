/* Text with directions to the speaker: every line of tests/data/text/markup_*.txt. What a line becomes is written as
 *     text   {said = as written}   {word /phonemes/}   [pause 1.5]   [break]   [mark name]   (rate 1.2 volume 0.5): from here on; ( ): as usual
 * and an error as ERROR and a piece of its message. */
#include "lines.h"

#include "text/markup.h"

static void put_number(koe_buf *out, const char *name, double x, double plain)
{
    if (x != plain) koe_buf_printf(out, "%s%s %.3g", out->data[out->n - 1] == '(' ? "" : " ", name, x);
}

static void put_style(koe_buf *out, const koe_marked_style *s)
{
    koe_buf_addc(out, '(');
    if (s->voice.n) koe_buf_printf(out, "voice %.*s", KOE_STR_ARG(s->voice));
    if (s->lang.n) koe_buf_printf(out, "%slang %.*s", s->voice.n ? " " : "", KOE_STR_ARG(s->lang));
    put_number(out, "rate", s->prosody.rate, 1);
    put_number(out, "pitch", s->prosody.pitch_st, 0);
    put_number(out, "Hz", s->prosody.pitch_hz, 0);
    put_number(out, "to-Hz", s->prosody.pitch_to_hz, 0);
    put_number(out, "volume", s->prosody.gain, 1);
    put_number(out, "energy", s->prosody.energy, 1);
    put_number(out, "range", s->prosody.range_pct, 0);
    put_number(out, "lasts", s->prosody.duration_s, 0);
    koe_buf_addc(out, ')');
}

static void put_span(koe_buf *out, const koe_marked_span *s, const koe_marked *m, koe_str input)
{
    koe_str text = koe_str_sub(koe_buf_str(&m->plain.text), s->at, s->n), written = koe_str_sub(input, s->text_at, s->text_n);
    switch (s->kind) {
    case KOE_MARKED_TEXT: koe_buf_add_str(out, text); break;
    case KOE_MARKED_SAID: koe_buf_printf(out, "{%.*s = %.*s}", KOE_STR_ARG(text), KOE_STR_ARG(written)); break;
    case KOE_MARKED_LINK: koe_buf_printf(out, "{%.*s %s%.*s}", KOE_STR_ARG(text), s->is_ipa ? "ipa " : "", KOE_STR_ARG(s->value)); break;
    case KOE_MARKED_PAUSE: koe_buf_printf(out, "[pause %.4g]", s->pause_s); break;
    case KOE_MARKED_BREAK: koe_buf_adds(out, "[break]"); break;
    case KOE_MARKED_MARK: koe_buf_printf(out, "[mark %.*s]", KOE_STR_ARG(s->value)); break;
    }
}

static bool same_style(const koe_marked_style *a, const koe_marked_style *b)
{
    koe_prosody p = b->prosody;
    p.group = a->prosody.group == b->prosody.group || !(p.duration_s > 0) ? a->prosody.group : p.group;
    return koe_str_eq(a->voice, b->voice) && koe_str_eq(a->lang, b->lang) && koe_prosody_same(&a->prosody, &p);
}

static void describe(koe_buf *out, koe_str input, koe_markup markup)
{
    koe_marked m;
    koe_error err = { 0 };
    if (koe_marked_read(&m, input, markup, KOE_STR("en-us"), &err) != KOE_OK) {
        koe_buf_printf(out, "ERROR %s", err.message);
        return;
    }
    size_t n, at = 0;
    const koe_marked_span *span = koe_marked_spans(&m, &n);
    koe_marked_style style = { .prosody = KOE_PROSODY_PLAIN };
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(span[i].at, at);
        at += span[i].n;
        if (!same_style(&style, &span[i].style)) put_style(out, &span[i].style);
        style = span[i].style;
        put_span(out, &span[i], &m, input);
    }
    assert_int_equal(at, m.plain.text.n);
    koe_marked_free(&m);
}

static bool check(koe_str line, koe_buf *got, koe_str *want, const void *markup)
{
    describe(got, take(&line), *(const koe_markup *)markup);
    *want = line;
    return koe_str_starts(*want, KOE_STR("ERROR")) ? koe_str_starts(koe_buf_str(got), *want) : koe_str_eq(koe_buf_str(got), *want);
}

static void test_tags(void **state) { (void)state, check_file("markup_tags.txt", check, &(koe_markup){ KOE_MARKUP_TAGS }); }
static void test_ssml(void **state) { (void)state, check_file("markup_ssml.txt", check, &(koe_markup){ KOE_MARKUP_SSML }); }

/* 100 KB of what could take long: linear, or refused. */
static void test_bombs(void **state)
{
    (void)state;
    static const char *const units[] = { "[", "[a](", "[pause:1s]", "[a](/b/)", "<p>", "<speak><b>", "&amp;", "]](", "[rate:2]x" };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        for (int ssml = 0; ssml < 2; ssml++) {
            koe_buf text = { 0 };
            koe_marked m;
            if (ssml) koe_buf_adds(&text, "<speak>");
            while (text.n < 100000) koe_buf_adds(&text, units[i]);
            if (ssml) koe_buf_adds(&text, "</speak>");
            if (koe_marked_read(&m, koe_buf_str(&text), ssml ? KOE_MARKUP_SSML : KOE_MARKUP_TAGS, KOE_STR("en-us"), NULL) == KOE_OK) koe_marked_free(&m);
            koe_buf_free(&text);
        }
    koe_buf laughs = { 0 };
    koe_buf_adds(&laughs, "<!DOCTYPE speak [<!ENTITY a0 \"ha ha ha ha ha ha ha ha\">");
    for (int i = 1; i < 12; i++) koe_buf_printf(&laughs, "<!ENTITY a%d \"&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;&a%d;\">", i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    koe_buf_adds(&laughs, "]><speak>&a11;</speak>");
    koe_marked m;
    koe_error err = { 0 };
    assert_int_equal(koe_marked_read(&m, koe_buf_str(&laughs), KOE_MARKUP_SSML, KOE_STR("en-us"), &err), KOE_E_LIMIT);
    koe_buf_free(&laughs);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tags), cmocka_unit_test(test_ssml), cmocka_unit_test(test_bombs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
