/* say.c - koe say: text -> engine -> sink, with a progress line, word timings, and a valid file whenever it ends. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/encode.h"
#include "base/base.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/sink.h"
#include "koe.h"

/* Set by Ctrl-C. */
static atomic_bool interrupted;

static void on_signal(int signal_number)
{
    (void)signal_number;
    atomic_store(&interrupted, true);
}

/* The first signal stops the speech, the second one the program: the file is valid at any time. */
static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* The options as given. */
typedef struct say_options {
    const char *voice, *speed, *output, *format, *lang, *seed, *timings, *model, *home, *threads, *precision, *noise, *memory_limit, *lexicon, *pitch;
    bool ssml, no_tags, phonemes, no_normalize;
} say_options;

/* One utterance on its way. */
typedef struct speech {
    const char *path; /* of the sink; NULL: a player */
    char default_path[32];
    const char *format; /* NULL: a player */
    koe_sink *sink; /* opened by the first audio, so that an error before it leaves an existing file alone */
    koe_str text;
    koe_progress progress;
    uint64_t n_samples;
    int rate_hz;
    char voice[256], engine[32];
    bool wants_timings;
    koe_buf words, marks; /* of the timings file, JSON */
    koe_error err; /* of on_audio() */
} speech;

/* ---- word timings ------------------------------------------------------------------------------------------------ */

static void add_json_string(koe_buf *out, const char *p, size_t n)
{
    json_t *j = json_stringn(p, n);
    char *text = j ? json_dumps(j, JSON_ENCODE_ANY) : NULL;
    koe_buf_adds(out, text ? text : "\"\"");
    free(text);
    json_decref(j);
}

static void add_words(speech *s, const koe_audio *a)
{
    for (size_t i = 0; i < a->n_words; i++) {
        const koe_timed_word *w = &a->words[i];
        const koe_str word = koe_str_sub(s->text, w->text_at, w->text_n);
        koe_buf_adds(&s->words, s->words.n ? ",\n  {\"word\": " : "\n  {\"word\": ");
        add_json_string(&s->words, word.p, word.n);
        koe_buf_printf(&s->words, ", \"start\": %.4f, \"end\": %.4f, \"at\": %zu, \"bytes\": %zu}", w->start_s, w->end_s,
                       w->text_at, w->text_n);
    }
}

static void add_marks(speech *s, const koe_audio *a)
{
    for (size_t i = 0; i < a->n_marks; i++) {
        koe_buf_adds(&s->marks, s->marks.n ? ",\n  {\"name\": " : "\n  {\"name\": ");
        add_json_string(&s->marks, a->marks[i].name, strlen(a->marks[i].name));
        koe_buf_printf(&s->marks, ", \"time\": %.4f, \"at\": %zu}", a->marks[i].time_s, a->marks[i].text_at);
    }
}

static koe_status write_timings(const speech *s, const char *path, koe_error *err)
{
    koe_buf b = { 0 };
    koe_buf_adds(&b, "{\"voice\": ");
    add_json_string(&b, s->voice, strlen(s->voice));
    koe_buf_printf(&b, ", \"engine\": \"%s\", \"sample_rate\": %d, \"samples\": %llu, \"duration\": %.6f, \"words\": [",
                   s->engine, s->rate_hz, (unsigned long long)s->n_samples, s->rate_hz ? (double)s->n_samples / s->rate_hz : 0);
    koe_buf_add_str(&b, koe_buf_str(&s->words));
    koe_buf_adds(&b, "\n]");
    if (s->marks.n) koe_buf_printf(&b, ", \"marks\": [%s\n]", s->marks.data);
    koe_buf_adds(&b, "}\n");
    koe_status st = b.failed || s->words.failed || s->marks.failed ? koe_fail(err, KOE_E_NOMEM, "%s", path) : KOE_OK;
    if (st == KOE_OK) st = koe_file_write_atomic(path, b.data, b.n, err);
    koe_buf_free(&b);
    return st;
}

/* ---- audio ------------------------------------------------------------------------------------------------------- */

static void show_progress(speech *s, const koe_audio *a)
{
    char note[64], spoken[32];
    if (a->n_segments < 2 || s->text.n == 0) return;
    snprintf(note, sizeof note, "%s of speech", koe_duration_text((double)s->n_samples / s->rate_hz, spoken));
    koe_progress_show(&s->progress, (double)(a->text_at + a->text_n) / (double)s->text.n, note);
}

static bool on_audio(void *user, const koe_audio *a)
{
    speech *s = user;
    if (!s->sink) {
        s->rate_hz = a->rate_hz;
        snprintf(s->voice, sizeof s->voice, "%s", a->voice ? a->voice : "");
        snprintf(s->engine, sizeof s->engine, "%s", a->engine ? a->engine : "");
        if (koe_sink_open(&s->sink, s->format, s->path, a->rate_hz, &s->err) != KOE_OK) return false;
    }
    if (koe_sink_write(s->sink, a->samples, a->n_samples, &s->err) != KOE_OK) return false;
    s->n_samples += a->n_samples;
    if (s->wants_timings) add_words(s, a), add_marks(s, a);
    show_progress(s, a);
    return true;
}

/* Speaks the text to where it goes; what has been spoken is complete there even on failure. */
static koe_status speak(speech *s, const koe_engine_options *eo, koe_request *q, koe_error *err)
{
    koe_engine *engine = NULL;
    q->text = s->text.p;
    q->text_n = s->text.n;
    q->cancel = &interrupted;
    catch_signals();
    koe_status st = koe_engine_open(&engine, eo, err);
    koe_progress_start(&s->progress);
    if (st == KOE_OK) st = koe_speak(engine, q, on_audio, s, err);
    koe_progress_end(&s->progress);
    koe_engine_close(engine);
    if (s->err.status != KOE_OK) { /* on_audio()'s reason for stopping */
        *err = s->err;
        st = err->status;
    }
    koe_error closing = { 0 };
    const koe_status closed = koe_sink_close(s->sink, &closing);
    s->sink = NULL;
    if (st == KOE_OK && closed != KOE_OK) *err = closing;
    return st == KOE_OK ? closed : st;
}

/* "koe: 3.2 s of speech by af_heart (kokoro) -> speech.wav" */
static void say_what_was_done(const speech *s)
{
    const char *to = !s->path ? koe_sink_player() : strcmp(s->path, "-") == 0 ? "stdout" : s->path;
    if (s->n_samples)
        fprintf(stderr, "koe: %.1f s of speech by %s (%s) -> %s\n", (double)s->n_samples / s->rate_hz, s->voice, s->engine,
                to ? to : "a player");
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* The format by name or, without a name, by the ending of the path: an ending that is none leaves the default. */
static koe_status choose_format(const char **out, const char *name, const char *path, koe_error *err)
{
    const char *slash = path ? strrchr(path, '/') : NULL, *dot = strrchr(slash ? slash : path ? path : "", '.');
    const char *want = name ? name : dot ? dot + 1 : "";
    if (strcasecmp(want, "raw") == 0) want = "pcm";
    *out = want;
    if (!name && (strcasecmp(want, "m4a") == 0 || strcasecmp(want, "mp4") == 0 || strcasecmp(want, "webm") == 0))
        return koe_fail(err, KOE_E_ARGUMENT, "%s: %s files are not made here; %s are", path, want, koe_encode_names());
    if (name || koe_encode_known(koe_str_of(want))) return koe_sink_check_format(want, err);
    *out = path && strcmp(path, "-") == 0 ? "pcm" : "wav";
    return KOE_OK;
}

/* Where the speech goes: -o, else a player, else speech.wav. */
static koe_status choose_sink(speech *s, const say_options *o, koe_error *err)
{
    s->path = o->output;
    if (s->path && !*s->path) return koe_fail(err, KOE_E_ARGUMENT, "-o needs the name of a file, or - for stdout");
    const koe_status st = choose_format(&s->format, o->format, s->path, err);
    if (st != KOE_OK || s->path) return st;
    if (!o->format && koe_sink_player()) {
        s->format = NULL;
        return KOE_OK;
    }
    if (!o->format) fprintf(stderr, "koe: nothing here plays sound (no player, or no sound card): writing speech.wav\n");
    snprintf(s->default_path, sizeof s->default_path, "speech.%s", s->format);
    s->path = s->default_path;
    return KOE_OK;
}

static koe_status read_options(koe_request *q, koe_engine_options *eo, const say_options *o, koe_error *err)
{
    int64_t seed = 0, threads = 0, memory = 0;
    *q = (koe_request){
        .voice = o->voice, .lang = o->lang, .ssml = o->ssml, .no_tags = o->no_tags, .phonemes = o->phonemes, .no_normalize = o->no_normalize
    };
    *eo = (koe_engine_options){ .home = o->home, .model = o->model, .precision = o->precision, .lexicon = o->lexicon };
    koe_status st = koe_args_number(&q->speed, o->speed, "--speed", 0.25, 4.0, err);
    if (st == KOE_OK) st = koe_args_number(&q->pitch_st, o->pitch, "--pitch", -24, 24, err);
    if (st == KOE_OK) st = koe_args_int(&seed, o->seed, "--seed", 0, INT64_MAX, err);
    if (st == KOE_OK) st = koe_args_int(&threads, o->threads, "--threads", 0, 4096, err);
    if (st == KOE_OK && o->noise && strcmp(o->noise, "zero") != 0)
        st = koe_fail(err, KOE_E_ARGUMENT, "--noise is '%s', it must be zero (a seed is given by --seed)", o->noise);
    if (st == KOE_OK) st = koe_args_int(&memory, o->memory_limit, "--memory-limit", 0, 1 << 30, err);
    eo->memory_limit_mb = (size_t)memory;
    q->seed = (uint64_t)seed;
    q->zero_noise = o->noise != NULL;
    eo->threads = (int)threads;
    return st;
}

static int say(const koe_command_line *line, const say_options *o, const koe_arg_list *words)
{
    koe_error err = { 0 };
    koe_request q;
    koe_engine_options eo;
    koe_buf text = { 0 };
    const char *source = "";
    speech s = { .wants_timings = o->timings != NULL };
    koe_status st = read_options(&q, &eo, o, &err);
    if (st == KOE_OK) st = choose_sink(&s, o, &err);
    if (st == KOE_E_UNSUPPORTED) return koe_args_failed(line, &err);
    if (st != KOE_OK) return koe_args_wrong(line, "%s", err.message);
    if (words->n == 0 && isatty(STDIN_FILENO)) return koe_args_wrong(line, "say what: a text, a file, or - for stdin");
    if (s.path && strcmp(s.path, "-") != 0) st = koe_sink_check_path(s.path, &err);
    if (st == KOE_OK && o->timings) st = koe_sink_check_path(o->timings, &err);
    if (st == KOE_OK) st = koe_input_read(&text, &source, words, &err);
    if (st == KOE_OK && koe_str_trim(koe_buf_str(&text)).n == 0)
        st = koe_fail(&err, KOE_E_ARGUMENT, "%s%sthere is no text to speak", source, *source ? ": " : "");
    if (st == KOE_OK) {
        s.text = koe_buf_str(&text);
        st = speak(&s, &eo, &q, &err);
        if (st == KOE_E_ENCODING && *source) koe_error_wrap(&err, st, "%s", source);
    }
    if (atomic_load(&interrupted)) koe_fail(&err, st = KOE_E_CANCELLED, "interrupted");
    koe_error timing_err = { 0 };
    if (s.rate_hz && o->timings && write_timings(&s, o->timings, &timing_err) != KOE_OK && st == KOE_OK)
        st = timing_err.status, err = timing_err;
    say_what_was_done(&s);
    koe_buf_free(&s.words);
    koe_buf_free(&s.marks);
    koe_buf_free(&text);
    return st == KOE_OK ? 0 : koe_args_failed(line, &err);
}

int koe_cmd_say(int argc, char **argv)
{
    say_options o = { 0 };
    koe_arg_list words = { 0 };
    const koe_option options[] = {
        { "voice", 'v', "VOICE", "a voice of `koe voices`, or a blend: af_bella(2)+af_sky(1)", &o.voice, NULL, NULL },
        { "speed", 's', "SPEED", "0.25 to 4.0 (default: 1.0)", &o.speed, NULL, NULL },
        { "output", 'o', "FILE", "write here; - is stdout, 24 kHz 16-bit samples (default: play)", &o.output, NULL, NULL },
        { "format", 'f', "FORMAT", "mp3, opus, aac, flac, wav, pcm, ogg, ulaw, alaw (default: the file's ending)", &o.format,
          NULL, NULL },
        { "lang", 'l', "L", "language of the text: en-us, en-gb, es, fr, ... (default: the voice's)", &o.lang, NULL, NULL },
        { "ssml", 0, NULL, "the text is SSML", NULL, &o.ssml, NULL },
        { "no-tags", 0, NULL, "brackets are text: no [pause:1s], [voice:NAME], ...", NULL, &o.no_tags, NULL },
        { "seed", 0, "N", "of the model's random numbers (default: 0)", &o.seed, NULL, NULL },
        { "noise", 0, "zero", "no random numbers at all", &o.noise, NULL, NULL },
        { "phonemes", 0, NULL, "the text is phonemes", NULL, &o.phonemes, NULL },
        { "pitch", 0, "N", "semitones higher, or lower with a minus (Kokoro's voices)", &o.pitch, NULL, NULL },
        { "lexicon", 0, "FILE", "how words are spoken: JSON or PLS, or a folder of them", &o.lexicon, NULL, NULL },
        { "no-normalize", 0, NULL, "read the text as it is written", NULL, &o.no_normalize, NULL },
        { "timings", 0, "FILE", "write when each word is spoken, as JSON", &o.timings, NULL, NULL },
        { "model", 0, "FILE", "a .onnx file to speak with instead of the installed one", &o.model, NULL, NULL },
        { "home", 0, "DIR", "folder of models (default: ~/.local/share/koe)", &o.home, NULL, NULL },
        { "threads", 0, "N", "worker threads (default: all cores)", &o.threads, NULL, NULL },
        { "precision", 0, "P", "f32, bf16, int8 or auto (default: auto)", &o.precision, NULL, NULL },
        { "memory-limit", 0, "MB", "of the whole program (default: what the cgroup allows)", &o.memory_limit, NULL, NULL },
    };
    const koe_command_line line = { "koe say", "[options] TEXT | FILE.txt | -",
                                    "Speaks a text, a file or stdin: plays it, or writes it with -o.", options,
                                    sizeof options / sizeof *options };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    const int status = r == KOE_ARGS_HELP ? 0 : r == KOE_ARGS_WRONG ? 2 : say(&line, &o, &words);
    koe_args_free(&line, &words);
    return status;
}
