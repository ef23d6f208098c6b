/* download.c - HTTP with resume, retries and checksums, by libcurl. */
#include "cli/download.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/curl_lib.h"
#include "base/version.h"
#include "cli/progress.h"

/* No published voice model is near this. */
static const uint64_t max_bytes = (uint64_t)8 << 30;

/* One download at work. */
typedef struct transfer {
    const koe_remote *remote;
    const koe_download_options *options;
    const char *path;
    char *part, *url; /* of the mirror, if there is one */
    int fd; /* of the part file */
    uint64_t at; /* its size */
    bool asked_range; /* this request resumes */
    bool resumed; /* some of the file came from an earlier try */
    bool too_long;
    int write_errno;
    const koe_curl_lib *lib;
    CURL *curl;
    koe_progress progress;
    double start_ms;
    uint64_t start_at;
} transfer;

const char *koe_bytes_text(uint64_t n, char text[32])
{
    if (n < 1000) snprintf(text, 32, "%" PRIu64 " bytes", n);
    else if (n < 1000000) snprintf(text, 32, "%.1f kB", (double)n / 1e3);
    else snprintf(text, 32, "%.1f MB", (double)n / 1e6);
    return text;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* https://HOST/REST -> BASE/HOST/REST; malloc()ed. */
static char *mirrored(const char *url, const char *base)
{
    if (!base || !*base) return strdup(url);
    const char *rest = strstr(url, "://");
    koe_buf b = { 0 };
    koe_str trimmed = koe_str_of(base);
    while (trimmed.n && trimmed.p[trimmed.n - 1] == '/') trimmed.n--;
    koe_buf_add_str(&b, trimmed);
    koe_buf_addc(&b, '/');
    koe_buf_adds(&b, rest ? rest + 3 : url);
    if (!b.failed) return b.data;
    koe_buf_free(&b);
    return NULL;
}

/* PATH + suffix; malloc()ed. */
static char *with_suffix(const char *path, const char *suffix)
{
    koe_buf b = { 0 };
    koe_buf_adds(&b, path);
    koe_buf_adds(&b, suffix);
    if (!b.failed) return b.data;
    koe_buf_free(&b);
    return NULL;
}

/* "what; try again, or get URL (N bytes, sha256 ...) on another machine and put it at PATH" */
static koe_status network_error(const transfer *t, koe_error *err, const char *what)
{
    koe_buf known = { 0 };
    if (t->remote->n_bytes) koe_buf_printf(&known, "%" PRIu64 " bytes", t->remote->n_bytes);
    if (t->remote->sha256) koe_buf_printf(&known, ", sha256 %s", t->remote->sha256);
    const koe_status st = koe_fail(err, KOE_E_IO, "%s; try again, or get %s%s%s%s on another machine and put it at %s", what,
                                   t->remote->url, known.n ? " (" : "", known.n ? known.data : "", known.n ? ")" : "", t->path);
    koe_buf_free(&known);
    return st;
}

/* ---- libcurl's callbacks ----------------------------------------------------------------------------------------- */

static bool write_part(transfer *t, const char *p, size_t n)
{
    while (n) {
        const ssize_t w = pwrite(t->fd, p, n, (off_t)t->at);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) {
            t->write_errno = errno;
            return false;
        }
        p += w;
        n -= (size_t)w;
        t->at += (uint64_t)w;
    }
    return true;
}

static size_t on_data(char *p, size_t size, size_t n, void *user)
{
    transfer *t = user;
    n *= size;
    if (t->asked_range) { /* 206: the rest follows; 200: the server sends all of it again */
        long code = 0;
        t->lib->curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
        t->asked_range = false;
        if (code != 206) {
            t->at = t->start_at = 0;
            t->resumed = false;
            if (ftruncate(t->fd, 0) != 0) t->write_errno = errno;
        }
    }
    t->too_long = t->at + n > (t->remote->n_bytes ? t->remote->n_bytes : max_bytes);
    return !t->too_long && !t->write_errno && write_part(t, p, n) ? n : 0;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    (void)up_total, (void)up_now, (void)now;
    transfer *t = user;
    const uint64_t all = t->remote->n_bytes ? t->remote->n_bytes : t->start_at + (uint64_t)(total > 0 ? total : 0);
    const double seconds = (koe_clock_ms() - t->start_ms) / 1000;
    char note[128], done[32], whole[32];
    if (!all) return 0;
    snprintf(note, sizeof note, "%s of %s  %.1f MB/s", koe_bytes_text(t->at, done), koe_bytes_text(all, whole),
             seconds > 0 ? (double)(t->at - t->start_at) / 1e6 / seconds : 0);
    koe_progress_show(&t->progress, (double)t->at / (double)all, note);
    return 0;
}

static void set_up_curl(transfer *t)
{
    const koe_curl_lib *lib = t->lib;
    CURL *c = t->curl;
    const char *bundle = getenv("CURL_CA_BUNDLE");
    const bool is_http = strncmp(t->url, "http://", 7) == 0;
    lib->curl_easy_setopt(c, CURLOPT_URL, t->url);
    lib->curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    lib->curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, is_http ? "http,https" : "https");
    lib->curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    lib->curl_easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    lib->curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    lib->curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    lib->curl_easy_setopt(c, CURLOPT_USERAGENT, "koe/" KOE_VERSION);
    lib->curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)(t->options->connect_timeout_s ? t->options->connect_timeout_s : 20));
    lib->curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    lib->curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 30L);
    if (bundle && *bundle) lib->curl_easy_setopt(c, CURLOPT_CAINFO, bundle);
    lib->curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    lib->curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    lib->curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    lib->curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
    lib->curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static koe_status restart(transfer *t, koe_error *err)
{
    t->at = 0;
    t->resumed = false;
    return ftruncate(t->fd, 0) == 0 ? KOE_OK : koe_fail(err, KOE_E_IO, "%s: %s", t->part, strerror(errno));
}

/* One request for what is missing. *again: the failure may pass. */
static koe_status request(transfer *t, bool *again, koe_error *err)
{
    char range[32], why[CURL_ERROR_SIZE] = "", what[CURL_ERROR_SIZE + 300];
    snprintf(range, sizeof range, "%" PRIu64 "-", t->at);
    t->asked_range = t->at > 0;
    t->resumed |= t->asked_range;
    t->start_at = t->at;
    t->start_ms = koe_clock_ms();
    t->write_errno = 0;
    t->lib->curl_easy_setopt(t->curl, CURLOPT_RANGE, t->at ? range : NULL);
    t->lib->curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, why);
    const CURLcode code = t->lib->curl_easy_perform(t->curl);
    t->lib->curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, NULL);
    long http = 0;
    t->lib->curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &http);
    *again = false;
    if (t->write_errno) return koe_fail(err, KOE_E_IO, "%s: %s", t->part, strerror(t->write_errno));
    if (t->too_long)
        return restart(t, err) == KOE_OK
                   ? koe_fail(err, KOE_E_FORMAT, "%s is longer than the published file; nothing was kept", t->url)
                   : err->status;
    if (code == CURLE_OK && (!t->remote->n_bytes || t->at == t->remote->n_bytes)) return KOE_OK;
    *again = true;
    if (code == CURLE_OK || code == CURLE_PARTIAL_FILE) {
        snprintf(what, sizeof what, "the download broke off after %" PRIu64 " bytes", t->at);
        return network_error(t, err, what);
    }
    if (code == CURLE_HTTP_RETURNED_ERROR && http == 416) { /* the part is as long as the file, or longer */
        const koe_status st = restart(t, err);
        return st == KOE_OK ? network_error(t, err, "the server does not resume the download") : st;
    }
    if (code == CURLE_HTTP_RETURNED_ERROR && http < 500 && http != 408 && http != 429) {
        *again = false;
        return koe_fail(err, http == 404 || http == 410 ? KOE_E_NOT_FOUND : KOE_E_IO, "%s: the server answers %ld%s", t->url,
                        http, http == 404 ? " (no such file)" : "");
    }
    *again = code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT && code != CURLE_TOO_MANY_REDIRECTS &&
             code != CURLE_PEER_FAILED_VERIFICATION;
    snprintf(what, sizeof what, "the download failed: %s", why[0] ? why : t->lib->curl_easy_strerror(code));
    return network_error(t, err, what);
}

/* Requests until the part is complete or the tries are used up. */
static koe_status fetch(transfer *t, koe_error *err)
{
    int wait_ms = t->options->retry_ms ? t->options->retry_ms : 1000;
    for (int i = 0;; i++) {
        bool again;
        if (t->remote->n_bytes && t->at == t->remote->n_bytes) return KOE_OK;
        const uint64_t before = t->at;
        const koe_status st = request(t, &again, err);
        if (st == KOE_OK || !again) return st;
        if (t->at > before) i = 0; /* it moves: keep at it */
        if (i >= t->options->retries) return st;
        usleep((useconds_t)wait_ms * 1000);
        if (wait_ms < 16000) wait_ms *= 2;
    }
}

/* ---- checksums --------------------------------------------------------------------------------------------------- */

/* True when the file has the remote's size and checksums; else `why` (512 bytes) says what is different. */
static bool is_published(const char *path, const koe_remote *r, char *why, size_t cap)
{
    koe_error err = { 0 };
    struct stat s;
    char text[KOE_DIGEST_TEXT];
    const struct {
        koe_digest_kind kind;
        const char *name, *want;
    } sums[] = { { KOE_DIGEST_SHA256, "sha256", r->sha256 }, { KOE_DIGEST_MD5, "md5", r->md5 } };
    if (stat(path, &s) != 0) {
        snprintf(why, cap, "%s", strerror(errno));
        return false;
    }
    if (r->n_bytes && (uint64_t)s.st_size != r->n_bytes) {
        snprintf(why, cap, "it has %" PRIu64 " bytes, not %" PRIu64, (uint64_t)s.st_size, r->n_bytes);
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        if (!sums[i].want) continue;
        if (koe_digest_file(text, sums[i].kind, path, &err) != KOE_OK) {
            snprintf(why, cap, "%s", err.message);
            return false;
        }
        if (strcmp(text, sums[i].want) == 0) continue;
        snprintf(why, cap, "its %s is %s, not %s", sums[i].name, text, sums[i].want);
        return false;
    }
    return true;
}

/* The checksum that PATH.sha256 holds for this address ("SHA256  URL"); false when it holds none. */
static bool read_pin(char text[KOE_DIGEST_TEXT], const char *path, const char *url)
{
    char *file = with_suffix(path, ".sha256");
    koe_buf b = { 0 };
    bool found = false;
    if (file && koe_file_exists(file) && koe_file_read(&b, file, 4096, NULL) == KOE_OK && b.n > 66) {
        const koe_str rest = koe_str_trim((koe_str){ b.data + 64, b.n - 64 });
        found = koe_str_is(rest, url);
        snprintf(text, KOE_DIGEST_TEXT, "%.64s", b.data);
    }
    koe_buf_free(&b);
    free(file);
    return found;
}

static koe_status write_pin(const char *path, const char *url, koe_error *err)
{
    char text[KOE_DIGEST_TEXT];
    koe_status st = koe_digest_file(text, KOE_DIGEST_SHA256, path, err);
    if (st != KOE_OK) return st;
    char *file = with_suffix(path, ".sha256");
    koe_buf b = { 0 };
    koe_buf_printf(&b, "%s  %s\n", text, url);
    st = file && !b.failed ? koe_file_write_atomic(file, b.data, b.n, err) : koe_fail(err, KOE_E_NOMEM, "%s", path);
    if (st == KOE_OK) fprintf(stderr, "koe: its checksum is not published; pinned as sha256 %s in %s\n", text, file);
    koe_buf_free(&b);
    free(file);
    return st;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Opens PATH.part, which one process at a time may fill. */
static koe_status open_part(transfer *t, koe_error *err)
{
    struct stat s;
    t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t->fd < 0) return koe_fail(err, KOE_E_IO, "%s cannot be written: %s", t->part, strerror(errno));
    if (flock(t->fd, LOCK_EX | LOCK_NB) != 0)
        return koe_fail(err, KOE_E_IO, "%s is in use: another koe pull is at work", t->part);
    if (fstat(t->fd, &s) != 0) return koe_fail(err, KOE_E_IO, "%s: %s", t->part, strerror(errno));
    t->at = (uint64_t)s.st_size;
    const bool too_long = t->remote->n_bytes && t->at > t->remote->n_bytes;
    const bool unknown = !t->remote->n_bytes && !t->remote->sha256 && !t->remote->md5; /* a resumed file could not be checked */
    return too_long || unknown ? restart(t, err) : KOE_OK;
}

/* Fetches and checks; what an earlier try left behind may be wrong, so a resumed file gets a second chance from the start. */
static koe_status fetch_checked(transfer *t, koe_error *err)
{
    char why[600];
    for (;;) {
        koe_status st = fetch(t, err);
        if (st != KOE_OK || is_published(t->part, t->remote, why, sizeof why)) return st;
        const bool once_more = t->resumed;
        st = restart(t, err);
        if (st != KOE_OK) return st;
        if (!once_more)
            return koe_fail(err, KOE_E_FORMAT, "%s is not the published file: %s; nothing was kept, try again later", t->url,
                            why);
    }
}

static koe_status finish(transfer *t, koe_error *err)
{
    if (fsync(t->fd) != 0 || rename(t->part, t->path) != 0) return koe_fail(err, KOE_E_IO, "%s: %s", t->path, strerror(errno));
    return KOE_OK;
}

static koe_status download(const koe_remote *remote, const char *path, const koe_download_options *options, koe_error *err)
{
    transfer t = { .remote = remote, .options = options, .path = path, .fd = -1 };
    koe_status st = koe_curl_lib_get(&t.lib, err);
    if (st != KOE_OK) return st;
    t.part = with_suffix(path, ".part");
    t.url = mirrored(remote->url, options->base);
    t.curl = t.lib->curl_easy_init();
    st = t.part && t.url && t.curl ? koe_file_make_parent(path, err) : koe_fail(err, KOE_E_NOMEM, "%s", path);
    if (st == KOE_OK) st = open_part(&t, err);
    if (st == KOE_OK) {
        set_up_curl(&t);
        koe_progress_start(&t.progress);
        st = fetch_checked(&t, err);
        koe_progress_end(&t.progress);
    }
    if (st == KOE_OK) st = finish(&t, err);
    if (st != KOE_OK && t.fd >= 0 && t.at == 0 && t.part) unlink(t.part); /* nothing worth keeping */
    if (t.fd >= 0) close(t.fd);
    t.lib->curl_easy_cleanup(t.curl);
    free(t.part);
    free(t.url);
    return st;
}

koe_status koe_download_fresh(const koe_remote *remote, const char *path, const koe_download_options *options, koe_error *err)
{
    return download(remote, path, options, err);
}

koe_status koe_download(koe_download_result *result, const koe_remote *remote, const char *path,
                        const koe_download_options *options, koe_error *err)
{
    char pin[KOE_DIGEST_TEXT], why[600];
    koe_remote known = *remote;
    const bool has_sum = remote->sha256 || remote->md5;
    if (!has_sum && read_pin(pin, path, remote->url)) known.sha256 = pin;
    *result = KOE_DOWNLOAD_WAS_HERE;
    if ((known.sha256 || known.md5) && koe_file_exists(path) && is_published(path, &known, why, sizeof why)) return KOE_OK;
    *result = KOE_DOWNLOADED;
    koe_status st = download(has_sum ? remote : &known, path, options, err);
    if (st == KOE_OK && !known.sha256 && !known.md5) st = write_pin(path, remote->url, err);
    return st;
}
