/* phonemes.c - koe phonemes: how text is read. One line of output for each line of input. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "text/text.h"

typedef struct phoneme_options {
    const char *lang, *alphabet, *home, *lexicon;
    bool normalize_only, explain, json, no_normalize, ssml, no_tags;
} phoneme_options;

/* The slice of UTF-8 text from code point `at`, `n` of them. */
static koe_str code_points(koe_str s, size_t at, size_t n)
{
    size_t from = s.n, to = s.n, count = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (((unsigned char)s.p[i] & 0xC0) == 0x80) continue;
        if (count == at) from = i;
        if (count == at + n) {
            to = i;
            break;
        }
        count++;
    }
    return koe_str_sub(s, from, to - from);
}

/* What is shown of a segment. */
static koe_str shown(const koe_segment *s, const phoneme_options *o) { return o->normalize_only ? s->text : s->phonemes; }

/* "word [phonemes]  word [phonemes] (rule that rewrote it)" */
static void add_explanation(koe_buf *out, koe_str line, const koe_segment *s)
{
    for (size_t i = 0; i < s->n_word; i++) {
        const koe_word *w = &s->word[i];
        if (out->n) koe_buf_adds(out, "  ");
        koe_buf_add_str(out, koe_str_sub(line, w->text_at, w->text_n));
        koe_buf_adds(out, " [");
        koe_buf_add_str(out, code_points(s->phonemes, w->phoneme_at, w->phoneme_n));
        koe_buf_addc(out, ']');
        if (s->word_rule && s->word_rule[i]) koe_buf_printf(out, " (%s)", s->word_rule[i]);
    }
}

static json_t *json_of(koe_str s) { return json_stringn(s.p ? s.p : "", s.n); }

/* One line as {"text", "phonemes" | "normalized", "words": [{"word", "phonemes", "at"}]}. */
static koe_status print_json(koe_str line, const koe_segments *segments, const koe_buf *joined, const phoneme_options *o,
                             koe_error *err)
{
    json_t *words = json_array();
    for (size_t i = 0; i < segments->n; i++)
        for (size_t k = 0; k < segments->segment[i].n_word; k++) {
            const koe_segment *s = &segments->segment[i];
            const koe_word *w = &s->word[k];
            json_array_append_new(words, json_pack("{s:o, s:o, s:I}", "word", json_of(koe_str_sub(line, w->text_at, w->text_n)),
                                                   "phonemes", json_of(code_points(s->phonemes, w->phoneme_at, w->phoneme_n)),
                                                   "at", (json_int_t)w->text_at));
        }
    json_t *j = json_pack("{s:o, s:o, s:o}", "text", json_of(line), o->normalize_only ? "normalized" : "phonemes",
                          json_of(koe_buf_str(joined)), "words", words);
    const int failed = j ? json_dumpf(j, stdout, JSON_COMPACT) : -1;
    json_decref(j);
    putchar('\n');
    return failed ? koe_fail(err, KOE_E_IO, "a line cannot be written as JSON") : KOE_OK;
}

static koe_status read_line(koe_text *t, koe_str line, const koe_text_options *options, const phoneme_options *o, koe_error *err)
{
    koe_segments segments = { 0 };
    koe_status st = koe_text_segments(&segments, t, line, options, err);
    if (st != KOE_OK) return st;
    koe_buf out = { 0 };
    for (size_t i = 0; i < segments.n; i++) {
        const koe_str text = koe_str_trim(shown(&segments.segment[i], o));
        if (o->explain && !o->json) {
            add_explanation(&out, line, &segments.segment[i]);
        } else if (text.n) {
            if (out.n) koe_buf_addc(&out, ' ');
            koe_buf_add_str(&out, text);
        }
    }
    if (out.failed) st = koe_fail(err, KOE_E_NOMEM, "a line of %zu bytes", line.n);
    else if (o->json) st = print_json(line, &segments, &out, o, err);
    else printf("%.*s\n", KOE_STR_ARG(koe_buf_str(&out)));
    koe_buf_free(&out);
    koe_segments_free(&segments);
    return st;
}

/* The alphabet by name; misaki by default. */
static koe_status choose_alphabet(koe_text_options *options, const phoneme_options *o, koe_error *err)
{
    const char *name = o->alphabet ? o->alphabet : "misaki";
    if (strcmp(name, "misaki") == 0) options->alphabet = KOE_ALPHABET_MISAKI;
    else if (strcmp(name, "espeak") == 0) options->alphabet = KOE_ALPHABET_ESPEAK;
    else return koe_fail(err, KOE_E_ARGUMENT, "--alphabet is '%s', it must be misaki or espeak", name);
    if (o->normalize_only) options->alphabet = KOE_ALPHABET_NONE;
    return KOE_OK;
}

static koe_status read_lines(koe_text *t, koe_str text, const koe_text_options *options, const phoneme_options *o, koe_error *err)
{
    for (size_t number = 1; text.n; number++) {
        const char *end = memchr(text.p, '\n', text.n);
        const size_t n = end ? (size_t)(end - text.p) : text.n;
        koe_str line = { text.p, n };
        if (line.n && line.p[line.n - 1] == '\r') line.n--;
        const koe_status st = read_line(t, line, options, o, err);
        if (st != KOE_OK) return koe_error_wrap(err, st, "line %zu", number);
        text = koe_str_sub(text, n + 1, text.n);
    }
    return KOE_OK;
}

static koe_status phonemes(const phoneme_options *o, koe_text_options *how, koe_str text, koe_error *err)
{
    koe_text *t = NULL;
    how->espeak_voice = koe_lang_canonical(how->lang);
    char *home = o->home ? strdup(o->home) : koe_path_home();
    char *lexicon = home ? koe_path_join(home, "lexicon") : NULL;
    const koe_text_setup setup = { .lexicon_dir = lexicon, .user_lexicon = o->lexicon };
    koe_status st = koe_text_open(&t, &setup, err);
    if (st == KOE_OK) st = o->ssml ? read_line(t, text, how, o, err) : read_lines(t, text, how, o, err);
    koe_text_close(t);
    free(lexicon);
    free(home);
    return st;
}

int koe_cmd_phonemes(int argc, char **argv)
{
    phoneme_options o = { .lang = "en-us" };
    koe_arg_list words = { 0 };
    const koe_option options[] = {
        { .name = "lang",
          .letter = 'l',
          .value = "L",
          .help = "language: en-us, en-gb, es, fr, ... (default: en-us)",
          .text = &o.lang },
        { .name = "normalize-only", .help = "show the words as they are spoken, no phonemes", .on = &o.normalize_only },
        { .name = "explain", .help = "show each word with its phonemes", .on = &o.explain },
        { .name = "json", .help = "one JSON object for each line, with its words", .on = &o.json },
        { .name = "alphabet", .value = "A", .help = "misaki (Kokoro) or espeak (Piper) (default: misaki)", .text = &o.alphabet },
        { .name = "ssml", .help = "the text is one SSML document", .on = &o.ssml },
        { .name = "no-tags", .help = "brackets are text: no [word](/phonemes/), [pause:1s], ...", .on = &o.no_tags },
        { .name = "no-normalize", .help = "read the text as it is written", .on = &o.no_normalize },
        { .name = "lexicon", .value = "FILE", .help = "how words are spoken: JSON or PLS, or a folder of them", .text = &o.lexicon },
        { .name = "home", .value = "DIR", .help = "folder of models and dictionaries", .text = &o.home },
    };
    const koe_command_line line = { "koe phonemes", "--lang L [options] [TEXT | FILE.txt | -]",
                                    "Shows how text is read: one line of output for each line of input.", options,
                                    sizeof options / sizeof *options };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK) {
        koe_error err = { 0 };
        koe_buf text = { 0 };
        const char *source;
        koe_text_options how = { .lang = koe_str_of(o.lang), .no_normalize = o.no_normalize };
        how.markup = o.ssml ? KOE_MARKUP_SSML : o.no_tags ? KOE_MARKUP_NONE : KOE_MARKUP_TAGS;
        if (choose_alphabet(&how, &o, &err) != KOE_OK) {
            status = koe_args_wrong(&line, "%s", err.message);
        } else {
            koe_status st = koe_input_read(&text, &source, &words, &err);
            if (st == KOE_OK) st = phonemes(&o, &how, koe_buf_str(&text), &err);
            koe_buf_free(&text);
            status = st == KOE_OK ? 0 : koe_args_failed(&line, &err);
        }
    }
    koe_args_free(&line, &words);
    return status;
}
