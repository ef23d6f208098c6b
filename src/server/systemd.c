/* systemd.c - see systemd.h. */
#include "server/systemd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum { FIRST_FD = 3 };

void koe_systemd_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    if (!path || strlen(path) < 2 || strlen(path) >= sizeof a.sun_path) return;
    const size_t n = strlen(path);
    memcpy(a.sun_path, path, n);
    if (path[0] == '@') a.sun_path[0] = 0; /* an abstract name */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

void koe_systemd_reloading(void)
{
    char text[80];
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000);
    koe_systemd_notify(text);
}

/* Whether a variable names this process, or nobody. */
static bool is_ours(const char *variable)
{
    const char *pid = getenv(variable);
    return pid && strtol(pid, NULL, 10) == getpid();
}

int koe_systemd_socket(void)
{
    int listening = 0;
    socklen_t n = sizeof listening;
    const char *count = getenv("LISTEN_FDS");
    const bool given = is_ours("LISTEN_PID") && count && strtol(count, NULL, 10) >= 1;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!given) return -1;
    if (getsockopt(FIRST_FD, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) != 0 || !listening) {
        koe_log(KOE_LOG_WARN, "LISTEN_FDS is set, but file %d is no listening socket; opening one", FIRST_FD);
        return -1;
    }
    fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
    fcntl(FIRST_FD, F_SETFL, fcntl(FIRST_FD, F_GETFL) | O_NONBLOCK);
    return FIRST_FD;
}

int64_t koe_systemd_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    if (!usec || (getenv("WATCHDOG_PID") && !is_ours("WATCHDOG_PID"))) return 0;
    const int64_t ms = strtoll(usec, NULL, 10) / 2000;
    return ms > 0 ? ms : 0;
}
