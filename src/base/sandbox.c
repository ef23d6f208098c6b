/* sandbox.c - see sandbox.h. Landlock: landlock(7), seccomp: seccomp(2). */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- files: Landlock ---------------------------------------------------------------------------------------------------------- */

/* What headers of an older kernel lack. */
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_IOCTL_DEV (1ull << 15)
#define NET_BIND_TCP (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1)

/* struct landlock_ruleset_attr of version 6. */
typedef struct ruleset {
    uint64_t files, network, scoped;
} ruleset;

static const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t writing = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |
                                LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | FS_REFER | FS_TRUNCATE;
static const uint64_t running = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
static const uint64_t of_files = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE | FS_IOCTL_DEV;

static int landlock_version(void)
{
    const long v = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return v < 0 ? 0 : (int)v;
}

bool koe_sandbox_has_files(void) { return landlock_version() > 0; }

/* Everything that this version can forbid. */
static ruleset all_of(int version, bool no_network)
{
    ruleset r = { .files = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
    if (version >= 2) r.files |= FS_REFER;
    if (version >= 3) r.files |= FS_TRUNCATE;
    if (version >= 4) r.network = NET_BIND_TCP | (no_network ? 2 : 0); /* what listens does so already */
    if (version >= 5) r.files |= FS_IOCTL_DEV;
    if (version >= 6) r.scoped = SCOPE_SIGNAL; /* only ourselves and our helpers */
    return r;
}

static koe_status allow_path(int rules, uint64_t handled, const char *path, uint64_t access, koe_error *err)
{
    struct stat s;
    if (!path || !*path) return KOE_OK;
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return KOE_OK; /* not there, so nobody can read it */
    if (fstat(fd, &s) == 0 && !S_ISDIR(s.st_mode)) access &= of_files;
    const struct landlock_path_beneath_attr a = { .allowed_access = access & handled, .parent_fd = fd };
    const bool ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &a, 0) == 0;
    close(fd);
    return ok ? KOE_OK : koe_fail(err, KOE_E_IO, "sandbox: %s: %s", path, strerror(errno));
}

static koe_status restrict_files(const koe_sandbox *s, koe_error *err)
{
    const int version = landlock_version();
    const ruleset all = all_of(version, s->no_network);
    const size_t size = version >= 6 ? sizeof all : version >= 4 ? offsetof(ruleset, scoped) : offsetof(ruleset, network);
    const int rules = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (rules < 0) return koe_fail(err, KOE_E_IO, "sandbox: no Landlock rules: %s", strerror(errno));
    koe_status st = KOE_OK;
    for (size_t i = 0; i < s->n_read && st == KOE_OK; i++) st = allow_path(rules, all.files, s->read[i], reading, err);
    for (size_t i = 0; i < s->n_write && st == KOE_OK; i++) st = allow_path(rules, all.files, s->write[i], writing, err);
    for (size_t i = 0; i < s->n_run && st == KOE_OK; i++) st = allow_path(rules, all.files, s->run[i], running, err);
    if (st == KOE_OK) st = allow_path(rules, all.files, "/dev/null", reading | writing, err);
    if (st == KOE_OK && syscall(SYS_landlock_restrict_self, rules, 0) != 0) st = koe_fail(err, KOE_E_IO, "sandbox: Landlock: %s", strerror(errno));
    close(rules);
    return st;
}

/* ---- system calls: seccomp ------------------------------------------------------------------------------------------------------ */

/* What a server needs, and what glibc, FFmpeg, GnuTLS, SQLite and curl call on its behalf. Kernel 6.10 and glibc 2.40 were looked at for
 * newer forms. Not here, among others: ptrace, process_vm_*, mount and its kin, namespaces, modules, bpf, perf, io_uring, keys, clocks,
 * user and group ids. */
#define CALL(name) __NR_##name
static const unsigned calls[] = {
    /* files */
    CALL(read), CALL(write), CALL(readv), CALL(writev), CALL(pread64), CALL(pwrite64), CALL(preadv), CALL(pwritev), CALL(lseek), CALL(close),
    CALL(openat), CALL(newfstatat), CALL(fstat), CALL(statx), CALL(faccessat), CALL(readlinkat), CALL(getdents64), CALL(getcwd), CALL(fcntl), CALL(flock),
    CALL(fsync), CALL(fdatasync), CALL(ftruncate), CALL(fallocate), CALL(fadvise64), CALL(mkdirat), CALL(unlinkat), CALL(renameat2), CALL(linkat),
    CALL(fchmod), CALL(fchmodat), CALL(utimensat), CALL(statfs), CALL(fstatfs), CALL(dup), CALL(dup3), CALL(pipe2), CALL(sendfile), CALL(splice),
    CALL(copy_file_range), CALL(sync_file_range), CALL(memfd_create), CALL(inotify_init1), CALL(inotify_add_watch), CALL(inotify_rm_watch), CALL(umask),
    CALL(chdir), CALL(fchdir),
#ifdef __NR_open /* forms that newer architectures lack */
    CALL(open), CALL(stat), CALL(lstat), CALL(access), CALL(readlink), CALL(getdents), CALL(dup2), CALL(pipe), CALL(mkdir), CALL(rmdir), CALL(unlink),
    CALL(rename), CALL(link), CALL(chmod), CALL(utimes), CALL(utime), CALL(poll), CALL(select), CALL(epoll_create), CALL(epoll_wait), CALL(eventfd),
    CALL(fork), CALL(vfork), CALL(getpgrp), CALL(time), CALL(alarm), CALL(pause), CALL(arch_prctl), CALL(renameat),
#endif
#ifdef __NR_faccessat2
    CALL(faccessat2),
#endif
#ifdef __NR_close_range
    CALL(close_range),
#endif
    /* memory; mmap() and mprotect() are below */
    CALL(brk), CALL(munmap), CALL(mremap), CALL(madvise), CALL(mincore), CALL(msync), CALL(mlock), CALL(munlock), CALL(membarrier),
    CALL(get_mempolicy), CALL(mbind), CALL(set_mempolicy),
    /* threads and processes; clone() is below, ioctl() too */
    CALL(execve), CALL(exit), CALL(exit_group), CALL(wait4), CALL(waitid), CALL(kill), CALL(tgkill), CALL(tkill), CALL(futex), CALL(set_robust_list),
    CALL(get_robust_list), CALL(set_tid_address), CALL(gettid), CALL(getpid), CALL(getppid), CALL(getpgid), CALL(getsid), CALL(sched_yield),
    CALL(sched_getaffinity), CALL(sched_setaffinity), CALL(sched_getparam), CALL(sched_getscheduler), CALL(sched_setscheduler),
    CALL(sched_get_priority_max), CALL(sched_get_priority_min), CALL(setpriority), CALL(getpriority), CALL(getcpu), CALL(prlimit64), CALL(getrlimit),
    CALL(setrlimit), CALL(getrusage), CALL(times), CALL(prctl), CALL(uname), CALL(sysinfo), CALL(getrandom), CALL(restart_syscall), CALL(seccomp),
    CALL(landlock_create_ruleset), CALL(landlock_add_rule), CALL(landlock_restrict_self), /* less is always allowed */
    CALL(getuid), CALL(geteuid), CALL(getgid), CALL(getegid), CALL(getresuid), CALL(getresgid), CALL(getgroups), CALL(capget),
#ifdef __NR_rseq
    CALL(rseq),
#endif
    /* signals and time */
    CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn), CALL(rt_sigtimedwait), CALL(rt_sigpending), CALL(rt_sigsuspend), CALL(rt_sigqueueinfo),
    CALL(sigaltstack), CALL(signalfd4), CALL(nanosleep), CALL(clock_nanosleep), CALL(clock_gettime), CALL(clock_getres), CALL(gettimeofday),
    CALL(setitimer), CALL(getitimer), CALL(timerfd_create), CALL(timerfd_settime), CALL(timerfd_gettime),
    /* waiting */
    CALL(ppoll), CALL(pselect6), CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_pwait), CALL(eventfd2),
#ifdef __NR_epoll_pwait2
    CALL(epoll_pwait2),
#endif
    /* sockets; socket() itself is below */
    CALL(socketpair), CALL(connect), CALL(accept), CALL(accept4), CALL(listen), CALL(shutdown), CALL(getsockname), CALL(getpeername), CALL(getsockopt),
    CALL(setsockopt), CALL(sendto), CALL(recvfrom), CALL(sendmsg), CALL(recvmsg), CALL(sendmmsg), CALL(recvmmsg), CALL(bind),
};
enum { N_CALLS = sizeof calls / sizeof *calls };

#if defined __x86_64__
#define KOE_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define KOE_AUDIT_ARCH AUDIT_ARCH_AARCH64
#endif

bool koe_sandbox_has_calls(void)
{
#ifdef KOE_AUDIT_ARCH
    const unsigned action = SECCOMP_RET_ERRNO;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
#else
    return false;
#endif
}

#ifdef KOE_AUDIT_ARCH
enum {
    ALLOW = SECCOMP_RET_ALLOW,
    REFUSE = SECCOMP_RET_ERRNO | EPERM,
    UNKNOWN = SECCOMP_RET_ERRNO | ENOSYS, /* glibc then uses the older form */
    OLDER_FORMS = 462, /* calls up to here were known when this was written */
    TIOCSTI_REQUEST = 0x5412, TIOCLINUX_REQUEST = 0x541c, /* put words into a terminal's mouth */
    NEW_SPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET,
};

typedef struct program {
    struct sock_filter line[2 * N_CALLS + 64];
    unsigned short n;
} program;

static void add(program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no) { p->line[p->n++] = (struct sock_filter){ code, yes, no, k }; }
static void load(program *p, size_t offset) { add(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0); }
static void answer(program *p, unsigned action) { add(p, BPF_RET | BPF_K, action, 0, 0); }
/* The low half of an argument: x86-64 and aarch64 put it first. */
static size_t argument(int i) { return offsetof(struct seccomp_data, args) + 8 * (size_t)i; }

/* What is decided by an argument. Each leaves the call's number loaded. */
static void add_by_argument(program *p, bool no_network)
{
    static const uint32_t families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK /* getaddrinfo(3) asks for our addresses */ };
    const uint8_t n = no_network ? 1 : sizeof families / sizeof *families;
    add(p, BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, (uint8_t)(n + 3));
    load(p, argument(0));
    for (uint8_t i = 0; i < n; i++) add(p, BPF_JMP | BPF_JEQ | BPF_K, families[i], (uint8_t)(n - i), 0);
    answer(p, REFUSE);
    answer(p, ALLOW);

    add(p, BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 4); /* no new name spaces */
    load(p, argument(0));
    add(p, BPF_JMP | BPF_JSET | BPF_K, NEW_SPACES, 0, 1);
    answer(p, REFUSE);
    answer(p, ALLOW);

    static const uint32_t mapping[] = { __NR_mmap, __NR_mprotect }; /* nothing is written and then run */
    for (int i = 0; i < 2; i++) {
        add(p, BPF_JMP | BPF_JEQ | BPF_K, mapping[i], 0, 5);
        load(p, argument(2));
        add(p, BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC, 0, 0);
        add(p, BPF_JMP | BPF_JEQ | BPF_K, PROT_WRITE | PROT_EXEC, 0, 1);
        answer(p, REFUSE);
        answer(p, ALLOW);
    }

    add(p, BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 5);
    load(p, argument(1));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI_REQUEST, 1, 0);
    add(p, BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX_REQUEST, 0, 1);
    answer(p, REFUSE);
    answer(p, ALLOW);
}

static koe_status restrict_calls(const koe_sandbox *s, koe_error *err)
{
    program p = { .n = 0 };
    load(&p, offsetof(struct seccomp_data, arch));
    add(&p, BPF_JMP | BPF_JEQ | BPF_K, KOE_AUDIT_ARCH, 1, 0);
    answer(&p, SECCOMP_RET_KILL_PROCESS);
    load(&p, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    add(&p, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1); /* the x32 forms of the same calls */
    answer(&p, REFUSE);
#endif
    add_by_argument(&p, s->no_network);
#ifdef __NR_clone3
    add(&p, BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 0, 1); /* its flags lie in memory: clone() comes instead */
    answer(&p, UNKNOWN);
#endif
    for (size_t i = 0; i < N_CALLS; i++) {
        if ((s->n_run == 0 && calls[i] == __NR_execve) || (s->no_network && (calls[i] == __NR_connect || calls[i] == __NR_bind))) continue;
        add(&p, BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        answer(&p, ALLOW);
    }
    add(&p, BPF_JMP | BPF_JGT | BPF_K, OLDER_FORMS, 0, 1);
    answer(&p, UNKNOWN);
    answer(&p, REFUSE);
    const struct sock_fprog f = { .len = p.n, .filter = p.line };
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f) == 0) return KOE_OK;
    return koe_fail(err, KOE_E_IO, "sandbox: seccomp: %s", strerror(errno));
}
#else
static koe_status restrict_calls(const koe_sandbox *s, koe_error *err)
{
    (void)s;
    return koe_fail(err, KOE_E_UNSUPPORTED, "sandbox: no list of system calls for this processor");
}
#endif

/* ---- both ---------------------------------------------------------------------------------------------------------------------------- */

koe_status koe_sandbox_enter(const koe_sandbox *s, bool need, koe_error *err)
{
    const bool files = koe_sandbox_has_files(), system_calls = koe_sandbox_has_calls();
    if (need && !(files && system_calls))
        return koe_fail(err, KOE_E_UNSUPPORTED, "sandbox: this kernel has no %s; --sandbox auto takes what there is", files ? "seccomp filters" : "Landlock");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return koe_fail(err, KOE_E_IO, "sandbox: %s", strerror(errno));
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    koe_status st = files ? restrict_files(s, err) : KOE_OK;
    if (st == KOE_OK && system_calls) st = restrict_calls(s, err);
    return st;
}

koe_status koe_sandbox_become(const char *user, koe_error *err)
{
    char *end = NULL;
    const unsigned long number = strtoul(user, &end, 10);
    errno = 0;
    const struct passwd *p = *end || end == user ? getpwnam(user) : getpwuid((uid_t)number);
    if (!p) return koe_fail(err, KOE_E_NOT_FOUND, "there is no user '%s'", user);
    const uid_t uid = p->pw_uid;
    const gid_t gid = p->pw_gid;
    if (geteuid() == uid && getegid() == gid) return KOE_OK;
    if (initgroups(p->pw_name, gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return koe_fail(err, KOE_E_IO, "cannot become user '%s': %s", user, strerror(errno));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (uid != 0 && setuid(0) == 0) return koe_fail(err, KOE_E_IO, "user '%s' could become root again", user);
    return KOE_OK;
}
