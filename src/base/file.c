#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static koe_status io_error(koe_error *err, const char *what, const char *path)
{
    int e = errno;
    koe_status st = e == ENOENT || e == ENOTDIR ? KOE_E_NOT_FOUND : KOE_E_IO;
    return koe_fail(err, st, "cannot %s %s: %s", what, path, strerror(e));
}

koe_status koe_file_map(koe_mapping *out, const char *path, koe_error *err)
{
    *out = (koe_mapping){ (const unsigned char *)"", 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_error(err, "open", path);
    struct stat s;
    koe_status st = KOE_OK;
    if (fstat(fd, &s) != 0) st = io_error(err, "read", path);
    else if (S_ISDIR(s.st_mode)) st = koe_fail(err, KOE_E_FORMAT, "%s is a folder, not a file", path);
    else if (!S_ISREG(s.st_mode)) st = koe_fail(err, KOE_E_FORMAT, "%s is not a regular file", path);
    else if (s.st_size > 0) {
        void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) st = io_error(err, "map", path);
        else *out = (koe_mapping){ p, (size_t)s.st_size };
    }
    close(fd);
    return st;
}

void koe_file_unmap(koe_mapping *m)
{
    if (m->n) munmap((void *)(uintptr_t)m->p, m->n);
    *m = (koe_mapping){ (const unsigned char *)"", 0 };
}

koe_status koe_file_read(koe_buf *out, const char *path, size_t max_bytes, koe_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_error(err, "open", path);
    struct stat s;
    koe_status st = KOE_OK;
    if (fstat(fd, &s) == 0 && S_ISDIR(s.st_mode)) st = koe_fail(err, KOE_E_FORMAT, "%s is a folder, not a file", path);
    while (st == KOE_OK) {
        if (!koe_buf_reserve(out, 64 * 1024)) {
            st = koe_fail(err, KOE_E_NOMEM, "reading %s", path);
            break;
        }
        ssize_t n = read(fd, out->data + out->n, 64 * 1024);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) st = io_error(err, "read", path);
        if (n <= 0) break;
        out->n += (size_t)n;
        if (out->n > max_bytes)
            st = koe_fail(err, KOE_E_LIMIT, "%s is longer than the limit of %zu bytes", is_stdin ? "standard input" : path,
                          max_bytes);
    }
    if (st == KOE_OK) out->data[out->n] = 0;
    if (!is_stdin) close(fd);
    return st;
}

bool koe_write_all(int fd, const void *data, size_t n_bytes)
{
    for (const char *p = data; n_bytes;) {
        const ssize_t w = write(fd, p, n_bytes);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return false;
        p += w;
        n_bytes -= (size_t)w;
    }
    return true;
}

koe_status koe_file_begin(koe_file_draft *d, const char *path, koe_error *err)
{
    koe_buf temp = { 0 };
    *d = (koe_file_draft){ .fd = -1, .path = path };
    for (unsigned i = 0; d->fd < 0 && (i == 0 || errno == EEXIST); i++) { /* another's, or a dead process's */
        koe_buf_clear(&temp);
        koe_buf_printf(&temp, "%s.%ld-%u.part", path, (long)getpid(), i);
        if (temp.failed) {
            koe_buf_free(&temp);
            return koe_fail(err, KOE_E_NOMEM, "writing %s", path);
        }
        d->fd = open(temp.data, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    d->temp = temp.data;
    if (d->fd >= 0) return KOE_OK;
    const koe_status st = io_error(err, "create", path);
    koe_buf_free(&temp);
    return st;
}

koe_status koe_file_end(koe_file_draft *d, bool written, koe_error *err)
{
    koe_status st = written && (d->unsynced || fsync(d->fd) == 0) ? KOE_OK : io_error(err, "write", d->path);
    if (close(d->fd) != 0 && st == KOE_OK) st = io_error(err, "write", d->path);
    if (st == KOE_OK && rename(d->temp, d->path) != 0) st = io_error(err, "write", d->path);
    if (st != KOE_OK) unlink(d->temp);
    free(d->temp);
    return st;
}

koe_status koe_file_write_atomic(const char *path, const void *data, size_t n_bytes, koe_error *err)
{
    koe_file_draft d;
    const koe_status st = koe_file_begin(&d, path, err);
    return st == KOE_OK ? koe_file_end(&d, koe_write_all(d.fd, data, n_bytes), err) : st;
}

bool koe_file_exists(const char *path) { return access(path, F_OK) == 0; }

bool koe_file_is_dir(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

koe_status koe_file_make_dirs(const char *path, koe_error *err)
{
    char *copy = koe_str_dup(koe_str_of(path));
    if (!copy) return koe_fail(err, KOE_E_NOMEM, "folder %s", path);
    koe_status st = KOE_OK;
    for (char *p = copy + 1; *copy && st == KOE_OK; p++) {
        if (*p && *p != '/') continue;
        char c = *p;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) st = io_error(err, "create folder", copy);
        *p = c;
        if (!c) break;
    }
    if (st == KOE_OK && !koe_file_is_dir(path)) st = koe_fail(err, KOE_E_IO, "%s is not a folder", path);
    free(copy);
    return st;
}

koe_status koe_file_make_parent(const char *path, koe_error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = koe_str_dup(slash ? (koe_str){ path, (size_t)(slash - path) + 1 } : KOE_STR("."));
    const koe_status st = folder ? koe_file_make_dirs(folder, err) : koe_fail(err, KOE_E_NOMEM, "folder of %s", path);
    free(folder);
    return st;
}

char *koe_path_join(const char *a, const char *b)
{
    koe_buf out = { 0 };
    koe_buf_printf(&out, "%s%s%s", a, *a && a[strlen(a) - 1] == '/' ? "" : "/", b);
    return out.failed ? NULL : out.data;
}

char *koe_path_home(void)
{
    const char *home = getenv("KOE_HOME");
    if (home && *home) return koe_str_dup(koe_str_of(home));
    home = getenv("XDG_DATA_HOME");
    if (home && *home) return koe_path_join(home, "koe");
    home = getenv("HOME");
    return koe_path_join(home && *home ? home : "/root", ".local/share/koe");
}

char *koe_path_cache(void)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    if (cache && *cache) return koe_path_join(cache, "koe");
    const char *home = getenv("HOME");
    return home && *home ? koe_path_join(home, ".cache/koe") : NULL;
}
