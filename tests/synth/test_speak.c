/* The public API, from text to samples, with the small networks of tests/data/voice and with the built-in voice. */
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "../voice/home.h"
#include "koe.h"

/* What a listener has heard. */
typedef struct heard {
    koe_buf samples; /* float */
    koe_buf words; /* koe_timed_word */
    size_t n_segments, text_at;
    int rate_hz;
    char engine[16], voice[64];
    size_t stop_after; /* segments; 0: never */
    bool in_pieces; /* the first segment is */
    double first_s; /* sound that came first */
} heard;

static size_t n_heard(const heard *h) { return h->samples.n / sizeof(float); }

static bool listen(void *user, const koe_audio *a)
{
    heard *h = user;
    assert_int_equal(a->segment, h->n_segments++);
    assert_int_equal(a->text_at, h->text_at); /* segments cover the text without gaps */
    h->text_at += a->text_n;
    assert_true(h->rate_hz == 0 || h->rate_hz == a->rate_hz);
    h->rate_hz = a->rate_hz;
    snprintf(h->engine, sizeof h->engine, "%s", a->engine);
    snprintf(h->voice, sizeof h->voice, "%s", a->voice);
    double from = (double)n_heard(h) / a->rate_hz, to = from + (double)a->n_samples / a->rate_hz;
    for (size_t i = 0; i < a->n_words; i++) {
        const koe_timed_word *w = &a->words[i];
        assert_true(w->start_s >= from && w->start_s <= w->end_s && w->start_s <= to + 1e-9);
        assert_true(w->end_s <= to + 1e-9 || (h->in_pieces && i + 1 == a->n_words)); /* it ends in the next piece */
        assert_true(i == 0 || w->start_s >= a->words[i - 1].start_s);
        assert_true(w->text_at >= a->text_at && w->text_at + w->text_n <= a->text_at + a->text_n);
    }
    for (size_t i = 0; i < a->n_samples; i++) assert_true(fabsf(a->samples[i]) < 1);
    if (a->segment == 0) h->first_s = (double)a->n_samples / a->rate_hz;
    if (a->n_samples && !h->in_pieces) assert_true(fabsf(a->samples[0]) + fabsf(a->samples[a->n_samples - 1]) < 1e-6f); /* no click at a joint */
    koe_buf_add(&h->samples, a->samples, a->n_samples * sizeof(float));
    koe_buf_add(&h->words, a->words, a->n_words * sizeof *a->words);
    return h->n_segments != h->stop_after;
}

static void forget(heard *h)
{
    koe_buf_free(&h->samples);
    koe_buf_free(&h->words);
    *h = (heard){ 0 };
}

static koe_engine *open_engine(int threads)
{
    koe_engine *e = NULL;
    koe_error err = { 0 };
    const koe_engine_options opt = { .home = home, .threads = threads };
    if (koe_engine_open(&e, &opt, &err) != KOE_OK) fail_msg("%s", err.message);
    return e;
}

static int up(void **state)
{
    make_home("kokoro_float.onnx");
    *state = open_engine(1);
    return 0;
}
static int down(void **state)
{
    koe_engine_close(*state);
    remove_home();
    return 0;
}
#define with_engine(test) cmocka_unit_test_setup_teardown(test, up, down)

static void speak(koe_engine *e, const koe_request *q, heard *h)
{
    koe_error err = { 0 };
    if (koe_speak(e, q, listen, h, &err) != KOE_OK) fail_msg("%s", err.message);
    assert_false(h->samples.failed || h->words.failed);
}

/* Each run of non-spaces of the text, in order, is exactly what the timed words say. */
static void check_words(const char *text, const heard *h)
{
    const koe_timed_word *w = (const koe_timed_word *)(const void *)h->words.data;
    size_t n = h->words.n / sizeof *w, k = 0;
    for (size_t at = 0; text[at]; at++) {
        if (isspace((unsigned char)text[at])) continue;
        while (k < n && w[k].text_at + w[k].text_n <= at) k++;
        if (k == n || w[k].text_at > at) fail_msg("byte %zu, '%s', is in no word", at, text + at);
    }
}

static const char story[] =
    "Dr. Ito paid $3 for it, and left. Was it worth it? Yes!\n\nA new paragraph begins here; it is a little longer than "
    "the others, so that there is something to time. 1,234 words - or more \xe2\x80\x94 follow...";

/* A first piece and the rest are, together, what the whole is: the network here looks no further than the frames beside. */
static void test_first_piece(void **state)
{
    (void)state;
    static const char text[] = "Nobody in the house was ready to leave when the morning came. Then they left.";
    make_home("kokoro_pieces.onnx");
    koe_engine *e = open_engine(2);
    for (int speed = 1; speed <= 2; speed++) {
        heard whole = { 0 }, pieces = { .in_pieces = true };
        speak(e, &(koe_request){ .text = text, .speed = speed }, &whole);
        speak(e, &(koe_request){ .text = text, .speed = speed, .first_piece_s = 0.3 }, &pieces);
        if (pieces.n_segments != whole.n_segments + 1 && pieces.n_segments != whole.n_segments + 2) /* by how fast the machine is */
            fail_msg("%zu pieces of %zu segments", pieces.n_segments, whole.n_segments);
        assert_int_equal(pieces.text_at, strlen(text));
        if (!(pieces.first_s > 0.25 && pieces.first_s < 1.6)) fail_msg("first %g s of %g", pieces.first_s, (double)n_heard(&whole) / 24000);
        check_words(text, &pieces);
        assert_int_equal(n_heard(&pieces), n_heard(&whole));
        assert_int_equal(pieces.words.n, whole.words.n);
        const koe_timed_word *p = (const koe_timed_word *)(const void *)pieces.words.data, *w = (const koe_timed_word *)(const void *)whole.words.data;
        for (size_t i = 0; i < whole.words.n / sizeof *w; i++) {
            assert_int_equal(p[i].text_at, w[i].text_at);
            assert_float_equal(p[i].start_s, w[i].start_s, 1e-9);
            assert_float_equal(p[i].end_s, w[i].end_s, 1e-9);
        }
        const float *a = (const float *)(const void *)pieces.samples.data, *b = (const float *)(const void *)whole.samples.data;
        for (size_t i = 0; i < n_heard(&whole); i++)
            if (fabsf(a[i] - b[i]) > 1e-5f) fail_msg("speed %d, sample %zu: %g, whole %g", speed, i, (double)a[i], (double)b[i]);
        forget(&whole);
        forget(&pieces);
    }
    heard one = { .in_pieces = true }; /* too short to be cut */
    speak(e, &(koe_request){ .text = "A rather extraordinary one.", .first_piece_s = 30 }, &one);
    assert_int_equal(one.n_segments, 1);
    assert_true(one.first_s > 0 && (double)n_heard(&one) == one.first_s * one.rate_hz);
    forget(&one);
    koe_engine_close(e);
    remove_home();
    make_home("kokoro_float.onnx"); /* which gives no way to cut it */
    e = open_engine(1);
    heard h = { .in_pieces = true };
    speak(e, &(koe_request){ .text = text, .first_piece_s = 0.3 }, &h);
    check_words(text, &h);
    forget(&h);
    koe_engine_close(e);
    remove_home();
}

static void test_kokoro(void **state)
{
    (void)state;
    make_home("kokoro_int.onnx");
    koe_engine *e = open_engine(2);
    heard h = { 0 };
    speak(e, &(koe_request){ .text = story }, &h);
    assert_string_equal(h.engine, "kokoro");
    assert_string_equal(h.voice, "af_heart");
    assert_int_equal(h.rate_hz, 24000);
    assert_true(h.n_segments >= 3);
    assert_int_equal(h.text_at, strlen(story));
    check_words(story, &h);
    heard slow = { 0 };
    speak(e, &(koe_request){ .text = story, .speed = 0.5 }, &slow);
    assert_true(n_heard(&slow) > n_heard(&h) * 3 / 2);
    forget(&slow);
    forget(&h);
    koe_engine_close(e);
    remove_home();
}

static void test_piper_and_builtin(void **state)
{
    (void)state;
    make_home("kokoro_int.onnx");
    koe_engine *e = open_engine(2);
    const char *const voices[] = { "one", "en_GB-three-low:spk1", "builtin", "builtin:fr" };
    for (size_t i = 0; i < 4; i++) {
        heard h = { 0 };
        speak(e, &(koe_request){ .text = story, .voice = voices[i] }, &h);
        assert_string_equal(h.engine, i < 2 ? "piper" : "builtin");
        assert_int_equal(h.rate_hz, 22050);
        assert_true(n_heard(&h) > 22050);
        check_words(story, &h);
        forget(&h);
    }
    koe_engine_close(e);
    remove_home();
    make_home(NULL); /* nothing installed: the built-in voice, and it says so */
    e = open_engine(1);
    heard h = { 0 };
    speak(e, &(koe_request){ .text = "Hello." }, &h);
    assert_string_equal(h.engine, "builtin");
    forget(&h);
    koe_engine_close(e);
    remove_home();
}

static void expect_error(koe_engine *e, const koe_request *q, koe_status want, const char *piece)
{
    heard h = { 0 };
    koe_error err = { 0 };
    koe_status st = koe_speak(e, q, listen, &h, &err);
    if (st != want || !strstr(err.message, piece)) fail_msg("%d '%s', want %d '%s'", (int)st, err.message, (int)want, piece);
    assert_int_equal(n_heard(&h), 0);
}

static void test_errors(void **state)
{
    (void)state;
    make_home("kokoro_float.onnx");
    koe_engine *e = open_engine(1);
    expect_error(e, &(koe_request){ .text = "Hi.", .voice = "af_hearth" }, KOE_E_NOT_FOUND, "did you mean af_heart?");
    expect_error(e, &(koe_request){ .text = "" }, KOE_E_ARGUMENT, "nothing to say");
    expect_error(e, &(koe_request){ .text = " \n\t " }, KOE_E_ARGUMENT, "nothing to say");
    expect_error(e, &(koe_request){ 0 }, KOE_E_ARGUMENT, "text");
    expect_error(e,
                 &(koe_request){ .text = "ab\xff"
                                         "cd" },
                 KOE_E_ENCODING, "2");
    expect_error(e, &(koe_request){ .text = "Hi.", .speed = 5 }, KOE_E_ARGUMENT, "0.25 to 4");
    expect_error(e, &(koe_request){ .text = "Hi.", .speed = NAN }, KOE_E_ARGUMENT, "0.25 to 4");
    expect_error(e, &(koe_request){ .text = "Hi.", .lang = "tlh" }, KOE_E_ARGUMENT, "tlh");
    expect_error(e, &(koe_request){ .text = "Hi.", .ssml = true }, KOE_E_ARGUMENT, "SSML line 1, column 1");
    expect_error(e, &(koe_request){ .text = "Hi.", .voice = "builtin", .phonemes = true }, KOE_E_ARGUMENT, "phonemes");
    expect_error(e, &(koe_request){ .text = "Hi.", .text_n = (size_t)1 << 40 }, KOE_E_LIMIT, "limit");
    atomic_bool cancel = true;
    expect_error(e, &(koe_request){ .text = "Hi.", .cancel = &cancel }, KOE_E_CANCELLED, "cancel");
    heard h = { .stop_after = 1 };
    assert_int_equal(koe_speak(e, &(koe_request){ .text = story }, listen, &h, NULL), KOE_E_CANCELLED);
    assert_int_equal(h.n_segments, 1);
    forget(&h);
    koe_engine_close(e);
    koe_error err = { 0 };
    assert_int_equal(koe_engine_open(&e, &(koe_engine_options){ .home = home, .precision = "f31" }, &err), KOE_E_ARGUMENT);
    assert_non_null(strstr(err.message, "f32, bf16"));
    remove_home();
}

static void test_phonemes(void **state)
{
    koe_engine *e = *state;
    char *p = NULL;
    assert_int_equal(
        koe_phonemes(e, &(koe_request){ .text = "Hello, this is the first one of them.\n\nAnd here goes the second." }, &p, NULL),
        KOE_OK);
    assert_non_null(strchr(p, '\n'));
    assert_non_null(strstr(p, "h\xc9\x99l\xcb\x88O"));
    heard text = { 0 }, phonemes = { 0 };
    speak(e, &(koe_request){ .text = "Hello." }, &text);
    speak(e, &(koe_request){ .text = "h\xc9\x99l\xcb\x88O.", .phonemes = true }, &phonemes);
    assert_int_equal(n_heard(&text), n_heard(&phonemes));
    free(p);
    forget(&text);
    forget(&phonemes);
}

/* A word by itself is said within a neutral context, of which nothing is left: it begins and ends with the word, whose time is exact. */
static void test_short_inputs(void **state)
{
    (void)state;
    static const char *const texts[] = { "Hi.", "No", "A", "Yes!", "\xe2\x80\xa6", "I am." };
    make_home("kokoro_float.onnx");
    koe_engine *e = open_engine(1);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        heard h = { 0 };
        koe_error err = { 0 };
        if (koe_speak(e, &(koe_request){ .text = texts[i], .zero_noise = true }, listen, &h, &err) != KOE_OK) {
            assert_int_equal(i, 4); /* nothing to say */
            continue;
        }
        const koe_timed_word *w = (const koe_timed_word *)(const void *)h.words.data;
        const size_t n = h.words.n / sizeof *w;
        const double length_s = (double)n_heard(&h) / h.rate_hz;
        check_words(texts[i], &h);
        if (w[0].start_s > 0.1 || w[n - 1].end_s < length_s - 0.3) fail_msg("%s: %g to %g of %g s", texts[i], w[0].start_s, w[n - 1].end_s, length_s);
        assert_true(w[n - 1].end_s - w[0].start_s > 0.02);
        forget(&h);
    }
    koe_engine_close(e);
    remove_home();
}

/* The longest run of silence that is not at the ends, and the silence at the very start, in samples. */
static size_t longest_silence(const heard *h, size_t *at_start)
{
    const float *x = (const float *)(const void *)h->samples.data;
    size_t n = n_heard(h), run = 0, longest = 0;
    for (size_t i = 0; i < n; i++) {
        run = x[i] == 0 ? run + 1 : 0;
        if (run == i + 1) *at_start = run;
        else if (run > longest) longest = run;
    }
    return longest;
}

/* What the writer asks for is there to the sample, at any speed. */
static void test_pauses(void **state)
{
    koe_engine *e = *state;
    static const struct {
        const char *text;
        bool ssml;
        size_t silence, at_start;
    } cases[] = { { "One two three [pause:1.5s] four five six.", false, 36000, 0 },
                  { "One two three. [pause:0.001s] Four five six.", false, 24, 0 },
                  { "One two three.[pause:1s][pause:250ms] Four five six.", false, 30000, 0 },
                  { "[pause:2s] One two three.", false, 0, 48000 },
                  { "<speak>One two <break time='333ms'/> three four.</speak>", true, 7992, 0 },
                  { "<speak><break time='40ms'/><p>One two.</p></speak>", true, 0, 960 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (double speed = 0.5; speed <= 2; speed *= 2) {
            heard h = { 0 };
            size_t at_start = 0;
            speak(e, &(koe_request){ .text = cases[i].text, .ssml = cases[i].ssml, .speed = speed }, &h);
            size_t silence = longest_silence(&h, &at_start);
            /* the fades start and end with one sample of silence each */
            if (cases[i].silence && (silence < cases[i].silence || silence > cases[i].silence + 2))
                fail_msg("%s: %zu samples of silence, want %zu", cases[i].text, silence, cases[i].silence);
            if (cases[i].at_start && (at_start < cases[i].at_start || at_start > cases[i].at_start + 1))
                fail_msg("%s: %zu samples before the speech, want %zu", cases[i].text, at_start, cases[i].at_start);
            forget(&h);
        }
}

typedef struct voices_heard {
    char names[256], warnings[512];
    int rate_hz;
    size_t n_samples;
} voices_heard;

static bool listen_to_voices(void *user, const koe_audio *a)
{
    voices_heard *v = user;
    snprintf(v->names + strlen(v->names), sizeof v->names - strlen(v->names), "%s ", a->voice);
    snprintf(v->warnings, sizeof v->warnings, "%s", a->warnings);
    if (v->rate_hz) assert_int_equal(v->rate_hz, a->rate_hz);
    v->rate_hz = a->rate_hz;
    v->n_samples += a->n_samples;
    return true;
}

/* A voice inside the text speaks its part, at the rate of the request's voice; one that is missing is warned of. */
static void test_voices_inside(void **state)
{
    koe_engine *e = *state;
    static const struct {
        const char *text;
        bool ssml;
        const char *names, *warning;
    } cases[] = { { "Hello. [voice:af_bella] My name is Bella. [/voice] Hello.", false, "af_heart af_bella af_heart ", "" },
                  { "Hello. [voice:one] Another engine.", false, "af_heart one ", "" },
                  { "[voice:af_nobody] Hello.", false, "af_heart ", "af_nobody" },
                  { "[voice:one] [pitch:+2st] Higher.", false, "one ", "pitch" },
                  { "<speak>Hi <voice name='bm_george'>there, George</voice> and you</speak>", true, "af_heart bm_george af_heart ", "" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        voices_heard v = { 0 };
        koe_error err = { 0 };
        const koe_request q = { .text = cases[i].text, .ssml = cases[i].ssml };
        if (koe_speak(e, &q, listen_to_voices, &v, &err) != KOE_OK) fail_msg("%s: %s", cases[i].text, err.message);
        assert_string_equal(v.names, cases[i].names);
        if (*cases[i].warning) assert_non_null(strstr(v.warnings, cases[i].warning));
        else assert_string_equal(v.warnings, "");
        assert_int_equal(v.rate_hz, 24000);
        assert_true(v.n_samples > 2400);
    }
}

typedef struct speaker {
    pthread_t thread;
    koe_engine *e;
    heard h;
} speaker;

static void *speak_in_thread(void *arg)
{
    speaker *s = arg;
    return koe_speak(s->e, &(koe_request){ .text = story, .seed = 7 }, listen, &s->h, NULL) == KOE_OK ? s : NULL;
}

/* The same samples from one thread, from two, and from four requests at a time. */
static void test_reproducible(void **state)
{
    (void)state;
    make_home("kokoro_int.onnx");
    koe_engine *one = open_engine(1), *two = open_engine(2);
    heard alone = { 0 };
    speak(one, &(koe_request){ .text = story, .seed = 7 }, &alone);
    speaker s[4] = { 0 };
    for (size_t i = 0; i < 4; i++) {
        s[i].e = two;
        assert_int_equal(pthread_create(&s[i].thread, NULL, speak_in_thread, &s[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *result;
        pthread_join(s[i].thread, &result);
        assert_non_null(result);
        assert_int_equal(s[i].h.samples.n, alone.samples.n);
        assert_memory_equal(s[i].h.samples.data, alone.samples.data, alone.samples.n);
        forget(&s[i].h);
    }
    forget(&alone);
    koe_engine_close(one);
    koe_engine_close(two);
    remove_home();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kokoro), cmocka_unit_test(test_first_piece),   cmocka_unit_test(test_piper_and_builtin), cmocka_unit_test(test_errors),
        with_engine(test_phonemes), cmocka_unit_test(test_short_inputs), with_engine(test_pauses), with_engine(test_voices_inside),
        cmocka_unit_test(test_reproducible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
