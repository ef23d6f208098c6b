/* espeak.c - koe's side of the espeak-ng helper: starts it, asks it, starts it again when it died, remembers answers for words. */
#include "text/espeak.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "text/espeak_wire.h"

extern char **environ;

enum { START_S = 30, RETRY_S = 10 }; /* time for the helper to say hello; time until a failed start is tried again */
enum { MOST_DEATHS = 2, MOST_KILLINGS = 8 }; /* of one call */
enum { MEMO_SETS = 4096, MEMO_WAYS = 4, MEMO_MAX_KEY = 96 };

/* One remembered answer: key and value in one allocation. A set keeps its latest MEMO_WAYS answers, so memory and search are bounded
 * whatever the keys are. */
typedef struct memo_entry {
    uint64_t hash;
    uint32_t n_key, n_value;
    char *data;
} memo_entry;

struct koe_espeak {
    char *helper;
    pthread_mutex_t call_lock; /* guards pid, fd, retry_ns */
    int64_t retry_ns; /* after a failed start: not before this time again */
    pid_t pid; /* 0: not running */
    int fd;
    pthread_mutex_t memo_lock; /* guards memo, memo_turn */
    memo_entry memo[MEMO_SETS][MEMO_WAYS];
    unsigned memo_turn;
};

koe_status koe_espeak_open(koe_espeak **out, const char *helper, koe_error *err)
{
    if (!helper) helper = getenv("KOE_BIN");
    if (!helper || !*helper) helper = "koe";
    koe_espeak *e = calloc(1, sizeof *e);
    char *copy = koe_str_dup(koe_str_of(helper));
    if (!e || !copy) {
        free(e), free(copy);
        return koe_fail(err, KOE_E_NOMEM, "espeak-ng helper");
    }
    e->helper = copy;
    e->fd = -1;
    pthread_mutex_init(&e->call_lock, NULL);
    pthread_mutex_init(&e->memo_lock, NULL);
    *out = e;
    return KOE_OK;
}

/* Whether a signal from outside ended it. */
static bool is_killing(int status)
{
    const int by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return by == SIGKILL || by == SIGTERM || by == SIGINT || by == SIGHUP || by == SIGQUIT;
}

/* at_once: it hangs. True when others had killed it. */
static bool stop_helper(koe_espeak *e, bool at_once)
{
    int status = 0;
    if (e->fd >= 0) close(e->fd);
    e->fd = -1;
    if (e->pid <= 0) return false;
    /* A healthy helper leaves at end of file, a killed one is about to be gone: on a busy machine either takes a while. */
    pid_t gone = 0;
    for (int i = 0; !at_once && gone == 0 && i < 400; i++) {
        gone = waitpid(e->pid, &status, WNOHANG);
        if (gone == 0) usleep(5000);
    }
    if (gone == 0) {
        kill(e->pid, SIGKILL);
        while (waitpid(e->pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    const bool killed = gone == e->pid && is_killing(status);
    e->pid = 0;
    return killed;
}

void koe_espeak_close(koe_espeak *e)
{
    if (!e) return;
    stop_helper(e, false);
    for (size_t i = 0; i < MEMO_SETS; i++)
        for (size_t w = 0; w < MEMO_WAYS; w++) free(e->memo[i][w].data);
    pthread_mutex_destroy(&e->call_lock);
    pthread_mutex_destroy(&e->memo_lock);
    free(e->helper);
    free(e);
}

/* ---- bytes over the socket, with a deadline ---- */

static bool wait_for(int fd, short what, int64_t deadline_ns)
{
    for (;;) {
        int64_t left = deadline_ns - koe_clock_ns();
        if (left <= 0) return false;
        struct pollfd p = { .fd = fd, .events = what };
        int n = poll(&p, 1, (int)(left / 1000000) + 1);
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) return false;
    }
}

static bool send_all(int fd, const void *from, size_t n, int64_t deadline_ns)
{
    for (const char *p = from; n;) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w > 0) p += w, n -= (size_t)w;
        else if (w < 0 && errno == EAGAIN) {
            if (!wait_for(fd, POLLOUT, deadline_ns)) return false;
        } else if (w == 0 || errno != EINTR) return false;
    }
    return true;
}

static bool receive_all(int fd, void *to, size_t n, int64_t deadline_ns)
{
    for (char *p = to; n;) {
        if (!wait_for(fd, POLLIN, deadline_ns)) return false;
        ssize_t r = recv(fd, p, n, 0);
        if (r > 0) p += r, n -= (size_t)r;
        else if (r == 0 || errno != EINTR) return false;
    }
    return true;
}

static bool receive_buf(int fd, koe_buf *out, size_t n, int64_t deadline_ns)
{
    if (!koe_buf_reserve(out, n) || !receive_all(fd, out->data + out->n, n, deadline_ns)) return false;
    out->n += n;
    out->data[out->n] = 0;
    return true;
}

/* ---- starting ---- */

/* The environment with the guard in front; malloc()ed array of borrowed strings. */
static char **helper_environment(void)
{
    size_t n = 0;
    while (environ && environ[n]) n++;
    char **env = malloc((n + 2) * sizeof *env);
    if (!env) return NULL;
    static char guard[] = KOE_ESPEAK_GUARD "=1";
    env[0] = guard;
    if (n) memcpy(env + 1, environ, n * sizeof *env);
    env[n + 1] = NULL;
    return env;
}

static int spawn_helper(koe_espeak *e, int child_fd)
{
    static char command[] = "espeak-helper";
    char *argv[] = { e->helper, command, NULL };
    char **env = helper_environment();
    if (!env) return ENOMEM;
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, child_fd, 0);
    posix_spawn_file_actions_adddup2(&files, child_fd, 1);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0); /* espeak-ng prints what nobody can act on */
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int rc = posix_spawnp(&e->pid, e->helper, &files, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    if (rc) e->pid = 0;
    return rc;
}

static koe_status start_helper(koe_espeak *e, koe_error *err)
{
    if (koe_clock_ns() < e->retry_ns) return koe_fail(err, KOE_E_UNSUPPORTED, "the espeak-ng helper %s could not be started", e->helper);
    if (getenv(KOE_ESPEAK_GUARD)) return koe_fail(err, KOE_E_UNSUPPORTED, "an espeak-ng helper may not start another one");
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return koe_fail(err, KOE_E_UNSUPPORTED, "cannot start the espeak-ng helper: %s", strerror(errno));
    int rc = spawn_helper(e, pair[1]);
    close(pair[1]);
    e->fd = pair[0];
    uint32_t hello = 0;
    const int64_t deadline = koe_clock_ns() + START_S * (int64_t)1000000000;
    if (rc == 0 && receive_all(e->fd, &hello, sizeof hello, deadline) && hello == KOE_ESPEAK_HELLO) return KOE_OK;
    if (stop_helper(e, koe_clock_ns() >= deadline)) return koe_fail(err, KOE_E_UNAVAILABLE, "the espeak-ng helper was killed");
    e->retry_ns = koe_clock_ns() + RETRY_S * (int64_t)1000000000;
    if (rc) return koe_fail(err, KOE_E_UNSUPPORTED, "cannot start the espeak-ng helper %s: %s", e->helper, strerror(rc));
    return koe_fail(err, KOE_E_UNSUPPORTED, "%s espeak-helper does not answer (are libespeak-ng1 and espeak-ng-data installed?)", e->helper);
}

/* ---- asking ---- */

typedef struct question {
    koe_espeak_request q;
    koe_str voice, text;
    koe_buf *bytes, *words; /* appended to; words may be NULL */
    int *rate_hz; /* may be NULL */
} question;

/* KOE_E_IO: the helper died of it, or hung. KOE_E_UNAVAILABLE: it was killed. */
static koe_status ask_once(koe_espeak *e, const question *a, koe_error *err)
{
    if (e->pid == 0) {
        koe_status st = start_helper(e, err);
        if (st != KOE_OK) return st;
    }
    int seconds = a->q.kind == KOE_ESPEAK_SPEAK ? KOE_ESPEAK_SPEAK_S : KOE_ESPEAK_PHONEMES_S;
    int64_t deadline = koe_clock_ns() + (seconds + 2) * (int64_t)1000000000;
    koe_espeak_response r;
    koe_buf none = { 0 };
    bool ok = send_all(e->fd, &a->q, sizeof a->q, deadline) && send_all(e->fd, a->voice.p, a->voice.n, deadline) &&
              send_all(e->fd, a->text.p, a->text.n, deadline) && receive_all(e->fd, &r, sizeof r, deadline) &&
              r.n_bytes <= KOE_ESPEAK_MAX_ANSWER && r.n_words <= KOE_ESPEAK_MAX_TEXT * 4 &&
              receive_buf(e->fd, a->bytes, r.n_bytes, deadline) &&
              receive_buf(e->fd, a->words ? a->words : &none, r.n_words * sizeof(koe_espeak_word), deadline);
    koe_buf_free(&none);
    if (!ok) {
        if (stop_helper(e, koe_clock_ns() >= deadline)) return koe_fail(err, KOE_E_UNAVAILABLE, "the espeak-ng helper was killed");
        return koe_fail(err, KOE_E_IO, "espeak-ng failed on \"%.*s\"", KOE_STR_ARG(koe_str_sub(a->text, 0, 60)));
    }
    if (r.status == KOE_E_NOT_FOUND) return koe_fail(err, KOE_E_NOT_FOUND, "espeak-ng has no voice \"%.*s\"", KOE_STR_ARG(a->voice));
    if (r.status != KOE_OK) return koe_fail(err, KOE_E_LIMIT, "espeak-ng's answer is too long");
    if (a->rate_hz) *a->rate_hz = r.rate_hz;
    return KOE_OK;
}

static koe_status ask(koe_espeak *e, question *a, koe_error *err)
{
    if (a->voice.n > KOE_ESPEAK_MAX_VOICE) return koe_fail(err, KOE_E_LIMIT, "the espeak-ng voice name is too long");
    if (a->text.n > KOE_ESPEAK_MAX_TEXT)
        return koe_fail(err, KOE_E_LIMIT, "%zu bytes for espeak-ng at once, at most %d", a->text.n, KOE_ESPEAK_MAX_TEXT);
    a->q.n_voice = (uint32_t)a->voice.n;
    a->q.n_text = (uint32_t)a->text.n;
    size_t n_bytes = a->bytes->n, n_words = a->words ? a->words->n : 0;
    koe_status st = KOE_E_IO;
    pthread_mutex_lock(&e->call_lock);
    for (int deaths = 0, killings = 0; deaths < MOST_DEATHS && killings < MOST_KILLINGS;) {
        if (deaths + killings) koe_log(KOE_LOG_WARN, "espeak-ng helper %s; starting it again", st == KOE_E_IO ? "died or hung" : "was killed");
        a->bytes->n = n_bytes; /* a half answer is forgotten */
        if (a->words) a->words->n = n_words;
        st = ask_once(e, a, err);
        if (st == KOE_E_IO) deaths++;
        else if (st == KOE_E_UNAVAILABLE) killings++;
        else break;
    }
    pthread_mutex_unlock(&e->call_lock);
    if (st != KOE_OK) {
        a->bytes->n = n_bytes;
        if (a->words) a->words->n = n_words;
    }
    return st;
}

/* ---- memory of answers ---- */

static uint64_t memo_key(char key[MEMO_MAX_KEY], size_t *n, koe_str voice, koe_str text, bool tie)
{
    *n = voice.n + text.n + 2;
    if (*n > MEMO_MAX_KEY) return 0;
    memcpy(key, voice.p, voice.n);
    key[voice.n] = 0;
    key[voice.n + 1] = (char)tie;
    if (text.n) memcpy(key + voice.n + 2, text.p, text.n);
    return koe_str_hash((koe_str){ key, *n });
}

static bool memo_find(koe_espeak *e, uint64_t hash, koe_str key, koe_buf *out)
{
    bool found = false;
    pthread_mutex_lock(&e->memo_lock);
    for (size_t w = 0; w < MEMO_WAYS && !found; w++) {
        const memo_entry *m = &e->memo[hash % MEMO_SETS][w];
        found = m->data && m->hash == hash && koe_str_eq((koe_str){ m->data, m->n_key }, key);
        if (found) koe_buf_add(out, m->data + m->n_key, m->n_value);
    }
    pthread_mutex_unlock(&e->memo_lock);
    return found;
}

static void memo_put(koe_espeak *e, uint64_t hash, koe_str key, koe_str value)
{
    char *data = malloc(key.n + value.n + 1);
    if (!data) return; /* it is only a memory */
    memcpy(data, key.p, key.n);
    if (value.n) memcpy(data + key.n, value.p, value.n);
    pthread_mutex_lock(&e->memo_lock);
    memo_entry *m = &e->memo[hash % MEMO_SETS][e->memo_turn++ % MEMO_WAYS];
    free(m->data);
    *m = (memo_entry){ hash, (uint32_t)key.n, (uint32_t)value.n, data };
    pthread_mutex_unlock(&e->memo_lock);
}

/* ---- the three questions ---- */

koe_status koe_espeak_phonemes(koe_espeak *e, koe_buf *out, koe_str voice, koe_str text, bool tie, koe_error *err)
{
    char key[MEMO_MAX_KEY];
    size_t n_key;
    uint64_t hash = memo_key(key, &n_key, voice, text, tie);
    bool memorable = n_key <= MEMO_MAX_KEY;
    if (memorable && memo_find(e, hash, (koe_str){ key, n_key }, out)) return KOE_OK;
    size_t before = out->n;
    question a = { .q = { .kind = KOE_ESPEAK_PHONEMES, .tie = tie }, .voice = voice, .text = text, .bytes = out };
    koe_status st = ask(e, &a, err);
    if (st == KOE_OK && memorable) memo_put(e, hash, (koe_str){ key, n_key }, (koe_str){ out->data + before, out->n - before });
    return st;
}

koe_status koe_espeak_speak(koe_espeak *e, koe_buf *samples, koe_buf *words, int *rate_hz, koe_str voice, koe_str text, double speed,
                            double pitch_semitones, koe_error *err)
{
    question a = { .q = { .kind = KOE_ESPEAK_SPEAK, .speed = speed, .pitch_semitones = pitch_semitones }, .voice = voice, .text = text,
                   .bytes = samples, .words = words, .rate_hz = rate_hz };
    return ask(e, &a, err);
}
