/* sink.c - speech to files, pipes and players. */
#include "cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audio/audio.h"
#include "audio/encode.h"
#include "audio/wav.h"
#include "base/file.h"

struct koe_sink {
    koe_wav *wav; /* format wav, which keeps its own file valid at any moment */
    koe_encoder *encoder; /* the other formats; NULL after a failure */
    koe_buf bytes; /* of the encoder, on their way */
    int fd; /* of all but wav; -1 */
    pid_t player; /* 0: none */
    const char *what; /* for messages: the path or the player; borrowed */
};

extern char **environ;

/* How each player reads sound from stdin; RATE stands for the sample rate. pw-play wants a header, the others raw samples. */
static const struct player {
    const char *name;
    bool wants_header;
    const char *arg[12];
} players[] = {
    { "paplay", false, { "--raw", "--format=s16le", "--channels=1", "--rate", "RATE" } },
    { "aplay", false, { "-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "RATE", "-" } },
    { "pw-play", true, { "-" } },
    { "ffplay", false, { "-loglevel", "error", "-nodisp", "-autoexit", "-f", "s16le", "-ar", "RATE", "-i", "pipe:0" } },
};
enum { N_PLAYERS = sizeof players / sizeof *players };

static bool is_on_path(const char *name)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        const size_t n = strcspn(path, ":");
        char file[4096];
        const int length = snprintf(file, sizeof file, "%.*s/%s", (int)n, path, name);
        if (length > 0 && (size_t)length < sizeof file && access(file, X_OK) == 0) return true;
        path += n + (path[n] == ':');
    }
    return false;
}

/* A server often has a player program but nothing to play on: look for a sound daemon or a sound card. */
static bool has_sound(void)
{
    if (getenv("PULSE_SERVER") || getenv("PIPEWIRE_REMOTE")) return true;
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char path[4096];
    static const char *const sockets[] = { "pulse/native", "pipewire-0" };
    for (size_t i = 0; runtime && i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", runtime, sockets[i]);
        if (access(path, F_OK) == 0) return true;
    }
    glob_t cards = { 0 };
    const bool found = glob("/dev/snd/pcmC*p", 0, NULL, &cards) == 0;
    globfree(&cards);
    return found;
}

static const struct player *find_player(void)
{
    for (size_t i = 0; i < N_PLAYERS && has_sound(); i++)
        if (is_on_path(players[i].name)) return &players[i];
    return NULL;
}

const char *koe_sink_player(void)
{
    const struct player *p = find_player();
    return p ? p->name : NULL;
}

koe_status koe_sink_check_format(const char *format, koe_error *err)
{
    koe_encoder *encoder = NULL;
    const koe_encode_options o = { .format = koe_str_of(format), .in_rate_hz = 24000 };
    const koe_status st = koe_encoder_open(&encoder, &o, err);
    koe_encoder_close(encoder);
    return st;
}

koe_status koe_sink_check_path(const char *path, koe_error *err)
{
    if (koe_file_is_dir(path)) return koe_fail(err, KOE_E_ARGUMENT, "%s is a folder; name a file in it", path);
    char *copy = strdup(path);
    if (!copy) return koe_fail(err, KOE_E_NOMEM, "%s", path);
    const char *folder = dirname(copy);
    koe_status st = KOE_OK;
    if (!koe_file_is_dir(folder))
        st = koe_fail(err, KOE_E_NOT_FOUND, "%s cannot be written: there is no folder %s", path, folder);
    else if (access(koe_file_exists(path) ? path : folder, W_OK) != 0)
        st = koe_fail(err, KOE_E_IO, "%s cannot be written: %s", path, strerror(errno));
    free(copy);
    return st;
}

static koe_status player_failed(const koe_sink *s, koe_error *err)
{
    return koe_fail(err, KOE_E_IO, "%s could not play the speech; write a file with -o speech.wav", s->what);
}

static koe_status write_all(koe_sink *s, const void *bytes, size_t n, koe_error *err)
{
    if (koe_write_all(s->fd, bytes, n)) return KOE_OK;
    return s->player ? player_failed(s, err) : koe_fail(err, KOE_E_IO, "%s: cannot write: %s", s->what, strerror(errno));
}

/* Starts the player with a pipe as its stdin. */
static koe_status start_player(koe_sink *s, int rate_hz, koe_error *err)
{
    const struct player *p = find_player();
    if (!p) return koe_fail(err, KOE_E_NOT_FOUND, "there is no player here; write a file with -o speech.wav");
    s->what = p->name;
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) != 0) return koe_fail(err, KOE_E_IO, "%s: %s", p->name, strerror(errno));
    char rate[16];
    const char *arg[16] = { p->name };
    snprintf(rate, sizeof rate, "%d", rate_hz);
    for (size_t i = 0; p->arg[i]; i++) arg[i + 1] = strcmp(p->arg[i], "RATE") == 0 ? rate : p->arg[i];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd[0], STDIN_FILENO);
    const int failed = posix_spawnp(&s->player, p->name, &actions, NULL, (char *const *)arg, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fd[0]);
    s->fd = fd[1];
    if (failed) s->player = 0;
    if (failed) return koe_fail(err, KOE_E_IO, "%s: cannot be started: %s", p->name, strerror(failed));
    unsigned char header[KOE_WAV_HEADER_BYTES];
    koe_wav_header(header, rate_hz, 1, KOE_WAV_UNKNOWN);
    return p->wants_header ? write_all(s, header, sizeof header, err) : KOE_OK;
}

/* Opens the file, or stdout, and an encoder for it. */
static koe_status start_encoder(koe_sink *s, const char *format, int rate_hz, koe_error *err)
{
    const bool is_stdout = strcmp(s->what, "-") == 0;
    if (is_stdout) s->what = "stdout";
    s->fd = is_stdout ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) : open(s->what, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    struct stat file;
    if (s->fd < 0 || fstat(s->fd, &file) != 0)
        return koe_fail(err, KOE_E_IO, "%s: cannot be written: %s", s->what, strerror(errno));
    const koe_encode_options o = { .format = koe_str_of(format), .in_rate_hz = rate_hz, .whole = S_ISREG(file.st_mode) };
    return koe_encoder_open(&s->encoder, &o, err);
}

/* Writes what the encoder has made; after a failure it has nothing more to say. */
static koe_status write_encoded(koe_sink *s, koe_status st, koe_error *err)
{
    if (st == KOE_OK) st = write_all(s, s->bytes.data, s->bytes.n, err);
    koe_buf_clear(&s->bytes);
    if (st == KOE_OK) return st;
    koe_encoder_close(s->encoder);
    s->encoder = NULL;
    return st;
}

koe_status koe_sink_open(koe_sink **out, const char *format, const char *path, int rate_hz, koe_error *err)
{
    koe_sink *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "output");
    s->fd = -1;
    s->what = path;
    koe_status st = KOE_OK;
    if (!format) st = start_player(s, rate_hz, err);
    else if (strcasecmp(format, "wav") == 0) st = koe_wav_create(&s->wav, path, rate_hz, 1, err);
    else st = start_encoder(s, format, rate_hz, err);
    if (st != KOE_OK) {
        koe_sink_close(s, NULL);
        return st;
    }
    *out = s;
    return KOE_OK;
}

koe_status koe_sink_write(koe_sink *s, const float *samples, size_t n, koe_error *err)
{
    if (s->wav) return koe_wav_write(s->wav, samples, n, err);
    if (s->encoder) return write_encoded(s, koe_encoder_write(s->encoder, samples, n, &s->bytes, err), err);
    int16_t block[4096];
    const size_t cap = sizeof block / sizeof *block;
    koe_status st = KOE_OK;
    for (size_t at = 0; at < n && st == KOE_OK; at += cap) {
        const size_t some = n - at < cap ? n - at : cap;
        koe_audio_to_s16(block, samples + at, some);
        st = write_all(s, block, some * sizeof *block, err);
    }
    return st;
}

koe_status koe_sink_close(koe_sink *s, koe_error *err)
{
    if (!s) return KOE_OK;
    koe_status st = koe_wav_close(s->wav, err);
    if (s->encoder) st = write_encoded(s, koe_encoder_finish(s->encoder, &s->bytes, err), err);
    koe_encoder_close(s->encoder);
    koe_buf_free(&s->bytes);
    if (s->fd >= 0 && close(s->fd) != 0 && st == KOE_OK) st = koe_fail(err, KOE_E_IO, "%s: %s", s->what, strerror(errno));
    int status = 0;
    while (s->player && waitpid(s->player, &status, 0) < 0 && errno == EINTR) {
    }
    if (s->player && status != 0) st = player_failed(s, err);
    free(s);
    return st;
}
