/* espeak_serve.c - the helper process: reads a request, asks libespeak-ng, writes the answer, until end of file. */
#include <errno.h>
#include <espeak-ng/speak_lib.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/library.h"
#include "base/sandbox.h"
#include "text/espeak_wire.h"
#include "text/utf8.h"

/* Only this process needs the library. */
#define FUNCTIONS(X)                                                                                                             \
    X(espeak_Info)                                                                                                               \
    X(espeak_Initialize)                                                                                                         \
    X(espeak_ListVoices)                                                                                                         \
    X(espeak_SetParameter)                                                                                                       \
    X(espeak_SetSynthCallback)                                                                                                   \
    X(espeak_SetVoiceByName)                                                                                                     \
    X(espeak_Synchronize)                                                                                                        \
    X(espeak_Synth)                                                                                                              \
    X(espeak_TextToPhonemes)

static struct {
#define X(name) __typeof__(name) *name;
    FUNCTIONS(X)
#undef X
} lib;

static bool load(void)
{
    koe_library_failure failure = { 0 };
    void *library = koe_library_open("libespeak-ng.so.1", &failure);
#define X(name) koe_library_find(&lib.name, library, #name, &failure);
    FUNCTIONS(X)
#undef X
    return !*failure.message;
}

static bool read_all(int fd, void *to, size_t n)
{
    for (char *p = to; n;) {
        ssize_t r = read(fd, p, n);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return false;
        p += r, n -= (size_t)r;
    }
    return true;
}

/* The helper needs its pipe and espeak-ng's data files: nothing to write, no core dump, no unbounded memory. */
static void drop_privileges(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 0, 0 });
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which reserve terabytes of address space */
    setrlimit(RLIMIT_DATA, &(struct rlimit){ 1u << 30, 1u << 30 });
#endif
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* Ctrl-C is for koe, which then closes the pipe */
#ifndef __SANITIZE_ADDRESS__ /* which looks for leaks as a debugger */
    const char *data = NULL;
    lib.espeak_Info(&data);
    koe_sandbox_enter(&(koe_sandbox){ .read = { data }, .n_read = 1, .no_network = true }, false, NULL);
#endif
}

/* espeak-ng finds voices by file name ("fr"); we also take the languages that they list ("fr-fr"). */
static bool set_voice_by_language(const char *language)
{
    for (const espeak_VOICE **v = lib.espeak_ListVoices(NULL); v && *v; v++)
        for (const char *l = (*v)->languages; l && *l; l += strlen(l + 1) + 2) /* a priority byte, then a name */
            if (strcmp(l + 1, language) == 0) return lib.espeak_SetVoiceByName((*v)->identifier) == EE_OK;
    return false;
}

static bool set_voice(const char *voice)
{
    static char current[KOE_ESPEAK_MAX_VOICE + 1];
    if (*current && strcmp(voice, current) == 0) return true;
    *current = 0;
    if (lib.espeak_SetVoiceByName(voice) != EE_OK && !set_voice_by_language(voice)) return false;
    strcpy(current, voice);
    return true;
}

static koe_status phonemes(koe_buf *out, const char *text, bool tie)
{
    /* 0x02: IPA; 0x80: bits 8..23 are the character that ties the letters of one phoneme. */
    const int mode = tie ? 0x02 | 0x80 | '^' << 8 : 0x02;
    const void *p = text;
    while (p) {
        const char *ipa = lib.espeak_TextToPhonemes(&p, espeakCHARS_UTF8, mode);
        koe_str s = koe_str_trim(koe_str_of(ipa));
        if (!s.n) continue;
        if (out->n) koe_buf_addc(out, ' ');
        koe_buf_add_str(out, s);
        if (out->n > KOE_ESPEAK_MAX_ANSWER) return KOE_E_LIMIT;
    }
    return out->failed ? KOE_E_NOMEM : KOE_OK;
}

static struct {
    koe_buf samples, words;
    koe_str text;
    size_t char_at, byte_at; /* walk from espeak-ng's character positions to bytes */
} speech;

/* Byte offset of the n-th code point; positions mostly grow, so the walk goes on from the last one. */
static size_t byte_of_char(size_t n)
{
    if (n < speech.char_at) speech.char_at = speech.byte_at = 0;
    while (speech.char_at < n && speech.byte_at < speech.text.n) koe_utf8_next(speech.text, &speech.byte_at), speech.char_at++;
    return speech.byte_at;
}

static int on_speech(short *wav, int n, espeak_EVENT *event)
{
    for (; event && event->type != espeakEVENT_LIST_TERMINATED; event++) {
        if (event->type != espeakEVENT_WORD || event->text_position < 1 || event->length < 0) continue;
        koe_espeak_word w = { .sample = (size_t)event->sample };
        w.text_at = byte_of_char((size_t)event->text_position - 1);
        w.text_n = byte_of_char((size_t)event->text_position - 1 + (size_t)event->length) - w.text_at;
        koe_buf_add(&speech.words, &w, sizeof w);
    }
    if (wav && n > 0) koe_buf_add(&speech.samples, wav, (size_t)n * sizeof *wav);
    return speech.samples.failed || speech.words.failed || speech.samples.n > KOE_ESPEAK_MAX_ANSWER;
}

static koe_status speak(koe_str text, double speed, double pitch_semitones)
{
    int rate = (int)lrint(175 * speed), pitch = (int)lrint(50 + pitch_semitones * 50 / 12); /* espeak-ng: 0..100 is two octaves */
    lib.espeak_SetParameter(espeakRATE, rate < 80 ? 80 : rate > 450 ? 450 : rate, 0);
    lib.espeak_SetParameter(espeakPITCH, pitch < 0 ? 0 : pitch > 100 ? 100 : pitch, 0);
    speech.text = text;
    speech.char_at = speech.byte_at = 0;
    if (lib.espeak_Synth(text.p, text.n + 1, 0, POS_CHARACTER, 0, espeakCHARS_UTF8, NULL, NULL) != EE_OK) return KOE_E_IO;
    lib.espeak_Synchronize();
    if (speech.samples.n > KOE_ESPEAK_MAX_ANSWER) return KOE_E_LIMIT;
    return speech.samples.failed || speech.words.failed ? KOE_E_NOMEM : KOE_OK;
}

typedef struct question {
    koe_espeak_request q;
    char voice[KOE_ESPEAK_MAX_VOICE + 1], text[KOE_ESPEAK_MAX_TEXT + 1];
} question;

static bool read_question(int fd, question *a)
{
    if (!read_all(fd, &a->q, sizeof a->q) || a->q.n_voice > KOE_ESPEAK_MAX_VOICE || a->q.n_text > KOE_ESPEAK_MAX_TEXT) return false;
    if (!read_all(fd, a->voice, a->q.n_voice) || !read_all(fd, a->text, a->q.n_text)) return false;
    a->voice[a->q.n_voice] = a->text[a->q.n_text] = 0;
    return true;
}

static bool answer(int fd, const question *a, int rate_hz)
{
    static koe_buf ipa;
    const bool speaks = a->q.kind == KOE_ESPEAK_SPEAK;
    koe_espeak_response r = { .rate_hz = rate_hz };
    koe_buf_clear(&ipa);
    alarm(speaks ? KOE_ESPEAK_SPEAK_S : KOE_ESPEAK_PHONEMES_S); /* dies even when koe is no longer there to kill it */
    if (!set_voice(a->voice)) r.status = KOE_E_NOT_FOUND;
    else if (speaks) r.status = speak((koe_str){ a->text, a->q.n_text }, a->q.speed, a->q.pitch_semitones);
    else r.status = phonemes(&ipa, a->text, a->q.tie != 0);
    alarm(0);

    const koe_buf *bytes = speaks ? &speech.samples : &ipa;
    if (r.status == KOE_OK) r.n_bytes = (uint32_t)bytes->n, r.n_words = (uint32_t)(speech.words.n / sizeof(koe_espeak_word));
    return koe_write_all(fd, &r, sizeof r) && koe_write_all(fd, bytes->data, r.n_bytes) &&
           koe_write_all(fd, speech.words.data, r.n_words * sizeof(koe_espeak_word));
}

/* espeak-ng's sound depends on what it said before: a child that has said nothing yet speaks. Its death is ours. */
static bool answer_apart(int fd, const question *a, int rate_hz)
{
    int status = 0;
    const pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(getppid() == parent && answer(fd, a, rate_hz) ? 0 : 1);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (child > 0 && WIFSIGNALED(status)) raise(WTERMSIG(status));
    return child > 0 && status == 0;
}

int koe_espeak_serve(int fd_in, int fd_out)
{
    if (!load()) return 1;
    int rate_hz = lib.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, NULL, espeakINITIALIZE_DONT_EXIT);
    if (rate_hz <= 0) return 1;
    drop_privileges(); /* espeak-ng's audio library makes a file of its own at the start */
    lib.espeak_SetSynthCallback(on_speech);
    const uint32_t hello = KOE_ESPEAK_HELLO;
    if (!koe_write_all(fd_out, &hello, sizeof hello)) return 1;
    static question a;
    while (read_question(fd_in, &a) && (a.q.kind == KOE_ESPEAK_SPEAK ? answer_apart : answer)(fd_out, &a, rate_hz)) {}
    return 0;
}
