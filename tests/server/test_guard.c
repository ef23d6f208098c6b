/* The sandbox and the user: what is forbidden is forbidden, and the server still does all of its work. */
#include <linux/sched.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "server.h"

#include "base/sandbox.h"
#include "../voice/home.h"

/* Runs in a child; its exit status is the number of the first thing that went wrong. */
static int in_sandbox(void (*enter)(void), int (*attempt)(void))
{
    int status = 0;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        enter();
        _exit(attempt());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void enter_home(void)
{
    koe_error err = { 0 };
    const koe_sandbox box = { .read = { "/usr", "/lib", "/lib64" }, .n_read = 3, .write = { in_home("piper") }, .n_write = 1, .run = { "/bin/true" }, .n_run = 1 };
    if (koe_sandbox_enter(&box, true, &err) != KOE_OK) _exit(99);
}

static void enter_tight(void)
{
    if (koe_sandbox_enter(&(koe_sandbox){ .no_network = true }, true, NULL) != KOE_OK) _exit(99);
}

static bool opens(const char *path, int flags)
{
    const int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static bool gets_socket(int family, int type)
{
    const int fd = socket(family, type, 0);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* It fails, and the sandbox is why. */
static bool refused(long value) { return value < 0 && (errno == EPERM || errno == EACCES); }

static int try_forbidden(void)
{
    if (opens("/etc/shadow", O_RDONLY) || opens("/etc/passwd", O_RDONLY) || opens("/root", O_RDONLY | O_DIRECTORY)) return 1;
    if (opens("/tmp/koe-sandbox-escaped", O_WRONLY | O_CREAT)) return 2;
    if (opens(in_home("kokoro/voices/af_heart.bin"), O_RDONLY)) return 3;
    if (!refused(execve("/bin/sh", (char *[]){ (char *)"sh", (char *)"-c", (char *)"true", NULL }, (char *[]){ NULL }))) return 4;
    if (!refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL))) return 5;
    if (!refused(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL)) || !refused(syscall(SYS_unshare, CLONE_NEWUSER))) return 6;
    if (!refused(syscall(SYS_setuid, 0)) || !refused(syscall(SYS_bpf, 0, NULL, 0)) || !refused(syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0))) return 7;
    if (gets_socket(AF_PACKET, SOCK_RAW) || gets_socket(AF_VSOCK, SOCK_STREAM)) return 8;
    if (!refused(kill(getppid(), 0))) return 9;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || !refused(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC))) return 10;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in any = { .sin_family = AF_INET };
    if (fd < 0) return 11;
    if (!refused(bind(fd, (const struct sockaddr *)&any, sizeof any))) return 12;
    return 0;
}

static void *nothing(void *arg) { return arg; }

static int try_allowed(void)
{
    pthread_t thread;
    int status = 0;
    if (!opens("/usr", O_RDONLY | O_DIRECTORY) || !opens("/dev/null", O_RDWR)) return 1;
    if (!opens(in_home("piper/new"), O_WRONLY | O_CREAT) || rename(in_home("piper/new"), in_home("piper/old")) != 0 || unlink(in_home("piper/old")) != 0) return 2;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0) return 3;
    if (!gets_socket(AF_INET, SOCK_STREAM) || !gets_socket(AF_INET6, SOCK_STREAM) || !gets_socket(AF_UNIX, SOCK_DGRAM)) return 4;
    (void)status;
    return 0;
}

static int try_tight(void)
{
    if (gets_socket(AF_INET, SOCK_STREAM) || opens("/usr", O_RDONLY | O_DIRECTORY)) return 1;
    return refused(execve("/bin/true", (char *[]){ (char *)"true", NULL }, (char *[]){ NULL })) ? 0 : 2;
}

static bool is_here(void)
{
    if (koe_sandbox_has_files() && koe_sandbox_has_calls()) return true;
    print_message("this kernel has no Landlock or no seccomp filters\n");
    return false;
}

static void test_function(void **state)
{
    (void)state;
    if (!is_here()) skip();
    assert_int_equal(in_sandbox(enter_home, try_forbidden), 0);
    assert_int_equal(in_sandbox(enter_home, try_allowed), 0);
    assert_int_equal(in_sandbox(enter_tight, try_tight), 0);
}

/* Ends the server's helpers. */
static void kill_helpers(const server *s)
{
    char command[200];
    snprintf(command, sizeof command, "cat /proc/%d/task/*/children 2>/dev/null | xargs -r kill -9", (int)s->pid);
    (void)!system(command);
}

static void expect_sound(const server *s, const char *body, const char *engine)
{
    reply r = speak(s, body);
    if (r.status != 200) fail_msg("%s: %d %s", body, r.status, r.body.data);
    assert_string_equal(header(&r, "X-Koe-Engine"), engine);
    assert_true(r.whole && r.body.n > 500);
    reply_free(&r);
}

static void expect_proc(const server *s, const char *piece)
{
    char path[64];
    koe_buf text = { 0 };
    snprintf(path, sizeof path, "/proc/%d/status", (int)s->pid);
    assert_int_equal(koe_file_read(&text, path, 1 << 16, NULL), KOE_OK);
    if (!strstr(text.data, piece)) fail_msg("%s: no %s", path, piece);
    koe_buf_free(&text);
}

/* All engines, all kinds of encoders, voices that come later, blends that are saved, the cache, helpers that die. */
static void test_server(void **state)
{
    (void)state;
    server s;
    if (!is_here()) skip();
    char *cache = new_folder();
    start_server_at(&s, home, "--sandbox", "on", "--cache-dir", cache, "--watch", "1", NULL);
    expect_proc(&s, "Seccomp:\t2");
    expect_proc(&s, "NoNewPrivs:\t1");
    static const char *const formats[] = { "mp3", "opus", "aac", "flac", "wav", "ogg" };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        char body[200];
        snprintf(body, sizeof body, "{\"input\": \"Hello, Xyzzyqua.\", \"response_format\": \"%s\"}", formats[i]);
        expect_sound(&s, body, "kokoro");
    }
    expect_sound(&s, "{\"input\": \"Hello.\", \"voice\": \"one\", \"response_format\": \"pcm\"}", "piper");
    expect_sound(&s, "{\"input\": \"Hello.\", \"voice\": \"builtin\", \"response_format\": \"pcm\"}", "builtin");
    kill_helpers(&s);
    expect_sound(&s, "{\"input\": \"Hello again.\", \"voice\": \"builtin\", \"response_format\": \"pcm\"}", "builtin");
    expect_reply(post(&s, "/v1/audio/voices/combine", "{\"name\": \"boxed\", \"voices\": \"af_bella+bm_george\"}"), 200, "\"id\":\"boxed\"");
    write_pack("kokoro/voices/af_nova.bin", 1);
    WAIT_UNTIL(says(&s, "/v1/audio/voices", "af_nova")) {}
    expect_sound(&s, "{\"input\": \"Hello.\", \"voice\": \"nova\", \"response_format\": \"pcm\"}", "kokoro");
    assert_true(status_of(&s, "cache", "failed_writes") == 0);
    end_server(&s);
    remove_folder(cache);
}

static void test_user(void **state)
{
    (void)state;
    server s;
    if (geteuid() != 0) skip(); /* only root can become another */
    expect_error(run_koe("serve", "--port", "0", "--home", home, "--user", "nobody-of-this-name"), 1, "there is no user");
    assert_int_equal(chmod(home, 0755), 0);
    start_server_at(&s, home, "--user", "nobody", "--sandbox", "auto", NULL);
    expect_proc(&s, "Uid:\t65534\t65534\t65534\t65534");
    expect_proc(&s, "Gid:\t65534\t65534\t65534\t65534");
    expect_proc(&s, "CapEff:\t0000000000000000");
    expect_proc(&s, "NoNewPrivs:\t1");
    expect_sound(&s, "{\"input\": \"Nobody speaks.\", \"voice\": \"builtin\"}", "builtin");
    end_server(&s);
}

static int up(void **state)
{
    (void)state;
    umask(022); /* another user reads it */
    make_home("kokoro_int.onnx");
    return 0;
}

static int down(void **state)
{
    (void)state;
    remove_home();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_function), cmocka_unit_test(test_server), cmocka_unit_test(test_user) };
    return cmocka_run_group_tests(tests, up, down);
}
