/* command.h - runs the koe binary ($KOE_BIN) as a person would, and keeps what it says. For tests with cmocka. */
#ifndef TESTS_CLI_COMMAND_H
#define TESTS_CLI_COMMAND_H
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"

extern char **environ;

/* What a command did. Both texts are NUL-terminated; free with result_free(). */
typedef struct result {
    int status; /* exit status; 128 + n when a signal ended it */
    koe_buf out, err;
} result;

static inline void result_free(result *r)
{
    koe_buf_free(&r->out);
    koe_buf_free(&r->err);
}

/* Starts koe with the NULL-terminated arguments; the ends of its pipes go to fd: stdin, stdout, stderr. */
static inline pid_t start_koe(const char *const *args, int fd[3])
{
    const char *argv[64] = { getenv("KOE_BIN") };
    int pipes[3][2];
    assert_non_null(argv[0]);
    for (size_t i = 0; args[i]; i++) argv[i + 1] = args[i];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pipe2(pipes[i], O_CLOEXEC), 0);
        posix_spawn_file_actions_adddup2(&actions, pipes[i][i == 0 ? 0 : 1], i);
        fd[i] = pipes[i][i == 0 ? 1 : 0];
    }
    pid_t child;
    assert_int_equal(posix_spawn(&child, argv[0], &actions, NULL, (char *const *)argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 3; i++) close(pipes[i][i == 0 ? 0 : 1]);
    return child;
}

/* Feeds `input` and collects both outputs until the command ends. */
static inline result finish_koe(pid_t child, const int fd[3], const char *input)
{
    result r = { 0 };
    size_t left = input ? strlen(input) : 0;
    struct pollfd p[3] = { { fd[0], POLLOUT, 0 }, { fd[1], POLLIN, 0 }, { fd[2], POLLIN, 0 } };
    while (p[1].fd >= 0 || p[2].fd >= 0) {
        if (p[0].fd >= 0 && left == 0) {
            close(p[0].fd);
            p[0].fd = -1;
        }
        assert_true(poll(p, 3, 60000) > 0);
        if (p[0].fd >= 0 && p[0].revents) {
            const ssize_t n = write(p[0].fd, input, left < 4096 ? left : 4096);
            if (n > 0) input += n, left -= (size_t)n;
            else left = 0; /* it does not read to the end */
        }
        for (int i = 1; i < 3; i++) {
            char block[4096];
            if (p[i].fd < 0 || !p[i].revents) continue;
            const ssize_t n = read(p[i].fd, block, sizeof block);
            if (n > 0) {
                koe_buf_add(i == 1 ? &r.out : &r.err, block, (size_t)n);
            } else {
                close(p[i].fd);
                p[i].fd = -1;
            }
        }
    }
    if (p[0].fd >= 0) close(p[0].fd);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    koe_buf_add(&r.out, "", 0);
    koe_buf_add(&r.err, "", 0);
    if (!r.out.data) koe_buf_addc(&r.out, 0), r.out.n = 0;
    if (!r.err.data) koe_buf_addc(&r.err, 0), r.err.n = 0;
    return r;
}

static inline result run_koe_with(const char *input, const char *const *args)
{
    int fd[3];
    const pid_t child = start_koe(args, fd);
    return finish_koe(child, fd, input);
}

/* run_koe("model", "info", path) with nothing on stdin. */
#define run_koe(...) run_koe_with(NULL, (const char *const[]){ __VA_ARGS__, NULL })

/* Fails the test with everything the command said when status or messages are others. NULL: anything. */
static inline void expect_at(const char *file, int line, result r, int status, const char *out, const char *err)
{
    const bool right = r.status == status && (!out || strstr(r.out.data, out)) && (!err || strstr(r.err.data, err));
    if (!right) {
        print_error("%s:%d: exit status %d, want %d\nstdout: %s\nwant: %s\nstderr: %s\nwant: %s\n", file, line, r.status, status,
                    r.out.data, out ? out : "(anything)", r.err.data, err ? err : "(anything)");
        result_free(&r);
        fail();
    }
    result_free(&r);
}
#define expect(r, status, out, err) expect_at(__FILE__, __LINE__, r, status, out, err)

/* The same for an error: also one line only, that begins with "koe". */
static inline void expect_error_at(const char *file, int line, result r, int status, const char *err)
{
    const char *newline = strchr(r.err.data, '\n');
    if (strncmp(r.err.data, "koe", 3) != 0 || !newline || newline[1]) {
        print_error("%s:%d: not one line: %s\n", file, line, r.err.data);
        result_free(&r);
        fail();
    }
    expect_at(file, line, r, status, NULL, err);
}
#define expect_error(r, status, err) expect_error_at(__FILE__, __LINE__, r, status, err)

/* A new empty folder; remove_folder() removes it with all that is in it and frees the name. */
static inline char *new_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = koe_path_join(tmp && *tmp ? tmp : "/tmp", "koe-test-XXXXXX");
    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}
static inline void remove_folder(char *path)
{
    char command[4200];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
    free(path);
}

static inline void write_file(const char *folder, const char *name, const void *bytes, size_t n)
{
    char *path = koe_path_join(folder, name);
    assert_non_null(path);
    assert_int_equal(koe_file_write_atomic(path, bytes, n, NULL), KOE_OK);
    free(path);
}
#endif
