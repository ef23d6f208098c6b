/* guard.c - see guard.h. */
#include "server/guard.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/sandbox.h"

/* What libraries read: themselves, names of machines, certificates, languages, dictionaries, the processor. */
static const char *const system_files[] = {
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/gnutls", "/etc/resolv.conf", "/etc/hosts",
    "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/localtime", "/etc/mecabrc", "/var/lib/mecab", "/proc",
    "/sys/devices/system", "/sys/fs/cgroup", "/dev/urandom",
};
/* The helper is our own binary; the loader starts it. */
static const char *const loaders[] = { "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1" };

static void add(const char **list, size_t *n, const char *path)
{
    for (size_t i = 0; path && i < *n; i++)
        if (strcmp(list[i], path) == 0) return;
    if (!path || !*path) return;
    if (*n < KOE_SANDBOX_PATHS) list[(*n)++] = path;
    else koe_log(KOE_LOG_WARN, "sandbox: %s cannot be reached: the models' folders link to too many others", path);
}

/* The folder of a file, so that another one may be renamed into its place; the file alone where the folder has more than what is ours. */
static const char *folder_of(const char *path, koe_arena *arena)
{
    static const char *const shared[] = { "", "/", "/etc", "/root", "/home", "/var", "/tmp", "/run", "/opt", "/srv" };
    char real[PATH_MAX];
    if (!*path || !realpath(path, real)) return path;
    char *slash = strrchr(real, '/');
    *slash = 0;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        if (strcmp(shared[i], real) == 0) *slash = '/';
    return koe_arena_str(arena, koe_str_of(real)).p;
}

/* Models are often links: what they point at is read too. */
static void add_links(koe_sandbox *box, const char *folder, koe_arena *arena)
{
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        char path[PATH_MAX];
        struct stat s;
        if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path) continue;
        if (lstat(path, &s) == 0 && S_ISLNK(s.st_mode)) add(box->read, &box->n_read, folder_of(path, arena));
    }
    if (d) closedir(d);
}

static void add_reading(koe_sandbox *box, const koe_config *c, const char *home, koe_arena *arena)
{
    static const char *const parts[] = { "", "kokoro", "kokoro/voices", "piper", "lexicon" };
    const char *const ours[] = { c->model, c->piper_model, c->voices, c->config, c->keys, c->warm, c->tls_cert, c->tls_key, c->redis_ca };
    for (size_t i = 0; i < sizeof system_files / sizeof *system_files; i++) add(box->read, &box->n_read, system_files[i]);
    add(box->read, &box->n_read, home);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) add(box->read, &box->n_read, folder_of(ours[i], arena));
    for (const char *p = c->lexicon; *p; p += strcspn(p, ":"), p += *p == ':') {
        const koe_str one = koe_arena_str(arena, (koe_str){ p, strcspn(p, ":") });
        add(box->read, &box->n_read, one.p);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/%s", home, parts[i]) < (int)sizeof path) add_links(box, path, arena);
    }
}

static void add_writing(koe_sandbox *box, const char *folder)
{
    koe_error err = { 0 };
    if (!folder || !*folder) return;
    if (koe_file_make_dirs(folder, &err) != KOE_OK) koe_log(KOE_LOG_WARN, "%s", err.message);
    add(box->write, &box->n_write, folder);
}

static koe_status enter_sandbox(const koe_config *c, koe_error *err)
{
    koe_sandbox box = { 0 };
    koe_arena arena = { 0 };
    char *home = *c->home ? strdup(c->home) : koe_path_home(), *cache = koe_path_cache(), *saved = home ? koe_path_join(home, "saved") : NULL;
    char program[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    add(box.run, &box.n_run, program);
    add(box.run, &box.n_run, getenv("KOE_BIN"));
    for (size_t i = 0; i < sizeof loaders / sizeof *loaders; i++) add(box.run, &box.n_run, loaders[i]);
    add_reading(&box, c, home ? home : "", &arena);
    add_writing(&box, saved);
    add_writing(&box, cache);
    add_writing(&box, c->cache_dir);
    const koe_status st = koe_sandbox_enter(&box, strcmp(c->sandbox, "on") == 0, err);
    koe_arena_free(&arena);
    free(home);
    free(cache);
    free(saved);
    if (st == KOE_OK)
        koe_log(KOE_LOG_INFO, "sandbox: files %s, system calls %s", koe_sandbox_has_files() ? "restricted" : "free (this kernel has no Landlock)",
                koe_sandbox_has_calls() ? "restricted" : "free (this kernel has no seccomp filters)");
    return st;
}

koe_status koe_guard_enter(const koe_config *c, koe_error *err)
{
    if (*c->user && geteuid() != 0) koe_log(KOE_LOG_WARN, "only root can become user '%s'; going on as who we are", c->user);
    koe_status st = *c->user && geteuid() == 0 ? koe_sandbox_become(c->user, err) : KOE_OK;
    if (st == KOE_OK && strcmp(c->sandbox, "off") != 0) st = enter_sandbox(c, err);
    return st;
}
