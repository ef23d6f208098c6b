/* watch.c - see watch.h. */
#include "server/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { MAX_EVENTS = 64, TICK_MS = 1000 };

struct koe_conn {
    int fd;
    uint64_t serial;
    int64_t since_ns; /* of the phase */
    koe_conn_phase phase;
    bool half_closed, gone, dropped;
    void *tls; /* NULL: plain */
    atomic_bool late;
    koe_reader *reader; /* borrowed; NULL: none */
    koe_conn *prev, *next;
};

struct koe_watch {
    pthread_mutex_t lock; /* guards all below, and the connections */
    koe_conn **by_fd;
    size_t cap, n;
    koe_conn *list;
    uint64_t serial;
    int64_t request_ns, idle_ns;
    int epoll, stop;
    pthread_t thread;
    bool started;
};

/* The event's data: the serial tells a new connection from an old one with the same descriptor. */
static uint64_t data_of(const koe_conn *c) { return c->serial << 24 | (uint64_t)(unsigned)c->fd; }

static void on_event(koe_watch *w, const struct epoll_event *e)
{
    koe_answer *look = NULL;
    const size_t fd = (size_t)(e->data.u64 & 0xffffff);
    pthread_mutex_lock(&w->lock);
    koe_conn *c = fd < w->cap ? w->by_fd[fd] : NULL;
    if (c && data_of(c) == e->data.u64) {
        if (e->events & (EPOLLHUP | EPOLLERR)) c->gone = true;
        if (e->events & EPOLLRDHUP) c->half_closed = true;
        /* libmicrohttpd takes a part of a request and the end behind it for one event, and does not look again: this is another one. */
        if (e->events & EPOLLRDHUP && c->phase != KOE_CONN_ANSWER) shutdown(c->fd, SHUT_RD);
        koe_reader *r = c->reader;
        if (r && r->answer) {
            if (c->gone || (c->half_closed && r->fd < 0)) atomic_store(&r->gone, true);
            else if (c->half_closed) atomic_store(&r->half_closed, true);
            look = koe_answer_ref(r->answer);
        }
    }
    pthread_mutex_unlock(&w->lock);
    if (!look) return;
    koe_answer_look(look);
    koe_answer_unref(look);
}

koe_str koe_watch_late_page(void)
{
    static const char body[] = "{\"error\":{\"message\":\"the body of the request did not arrive in time\",\"type\":\"invalid_request_error\","
                               "\"param\":null,\"code\":\"request_timeout\"}}";
    static _Thread_local char text[400];
    const int n = snprintf(text, sizeof text, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                           sizeof body - 1, body);
    return (koe_str){ text, (size_t)n };
}

/* The body does not come. No reply has begun in this phase. In TLS libmicrohttpd's thread says it, when it sees that there is no more to read. */
static void end_late_body(koe_conn *c)
{
    const koe_str page = koe_watch_late_page();
    if (c->tls && !atomic_exchange(&c->late, true)) {
        shutdown(c->fd, SHUT_RD);
        return;
    }
    if (!c->tls) (void)!send(c->fd, page.p, page.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(c->fd, SHUT_RDWR);
}

/* Too slow: libmicrohttpd sees the end of the connection and closes it. */
static void end_dawdlers(koe_watch *w)
{
    const int64_t now = koe_clock_ns();
    pthread_mutex_lock(&w->lock);
    for (koe_conn *c = w->list; c; c = c->next) {
        const int64_t limit = c->phase == KOE_CONN_IDLE ? w->idle_ns + w->request_ns : w->request_ns;
        if (c->phase == KOE_CONN_ANSWER || now - c->since_ns <= limit) continue;
        if (c->phase == KOE_CONN_BODY) end_late_body(c);
        else shutdown(c->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&w->lock);
}

static void *watch(void *arg)
{
    koe_watch *w = arg;
    int64_t next = koe_clock_ns();
    for (;;) {
        struct epoll_event e[MAX_EVENTS];
        const int n = epoll_wait(w->epoll, e, MAX_EVENTS, TICK_MS);
        for (int i = 0; i < n; i++) {
            if (e[i].data.u64 == UINT64_MAX) return NULL;
            on_event(w, &e[i]);
        }
        if (koe_clock_ns() < next) continue;
        end_dawdlers(w);
        next = koe_clock_ns() + (int64_t)TICK_MS * 1000000;
    }
}

koe_status koe_watch_create(koe_watch **out, int64_t request_s, int64_t idle_s, koe_error *err)
{
    koe_watch *w = calloc(1, sizeof *w);
    if (!w) return koe_fail(err, KOE_E_NOMEM, "connections");
    pthread_mutex_init(&w->lock, NULL);
    w->request_ns = request_s * 1000000000;
    w->idle_ns = idle_s * 1000000000;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->stop = eventfd(0, EFD_CLOEXEC);
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = UINT64_MAX };
    const bool ok = w->epoll >= 0 && w->stop >= 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->stop, &e) == 0;
    w->started = ok && pthread_create(&w->thread, NULL, watch, w) == 0;
    if (!w->started) {
        koe_watch_destroy(w);
        return koe_fail(err, KOE_E_LIMIT, "connections cannot be watched");
    }
    *out = w;
    return KOE_OK;
}

void koe_watch_destroy(koe_watch *w)
{
    if (!w) return;
    if (w->started) {
        (void)!write(w->stop, &(uint64_t){ 1 }, sizeof(uint64_t));
        pthread_join(w->thread, NULL);
    }
    if (w->epoll >= 0) close(w->epoll);
    if (w->stop >= 0) close(w->stop);
    pthread_mutex_destroy(&w->lock);
    free(w->by_fd);
    free(w);
}

static bool grow(koe_watch *w, size_t fd)
{
    if (fd < w->cap) return true;
    const size_t cap = (fd + 1) * 2;
    koe_conn **by_fd = realloc(w->by_fd, cap * sizeof *by_fd);
    if (!by_fd) return false;
    for (size_t i = w->cap; i < cap; i++) by_fd[i] = NULL;
    w->by_fd = by_fd;
    w->cap = cap;
    return true;
}

koe_conn *koe_watch_add(koe_watch *w, int fd)
{
    koe_conn *c = calloc(1, sizeof *c);
    if (!c || fd < 0) {
        free(c);
        return NULL;
    }
    c->fd = fd;
    c->since_ns = koe_clock_ns();
    pthread_mutex_lock(&w->lock);
    if (grow(w, (size_t)fd)) {
        c->serial = ++w->serial & 0xffffffffff;
        w->by_fd[fd] = c;
        c->next = w->list;
        if (w->list) w->list->prev = c;
        w->list = c;
        w->n++;
        struct epoll_event e = { .events = EPOLLRDHUP | EPOLLET, .data.u64 = data_of(c) };
        epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e);
    } else {
        free(c);
        c = NULL;
    }
    pthread_mutex_unlock(&w->lock);
    return c;
}

int koe_conn_fd(const koe_conn *c) { return c->fd; }
bool koe_conn_is_late(const koe_conn *c) { return atomic_load(&c->late); }
void *koe_conn_tls(const koe_conn *c) { return c->tls; }
void koe_conn_set_tls(koe_conn *c, void *session) { c->tls = session; }

void koe_watch_remove(koe_watch *w, koe_conn *c)
{
    if (!c) return;
    pthread_mutex_lock(&w->lock);
    epoll_ctl(w->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    w->by_fd[c->fd] = NULL;
    if (c->prev) c->prev->next = c->next;
    else w->list = c->next;
    if (c->next) c->next->prev = c->prev;
    w->n--;
    pthread_mutex_unlock(&w->lock);
    free(c);
}

void koe_watch_phase(koe_watch *w, koe_conn *c, koe_conn_phase phase)
{
    if (!c) return;
    pthread_mutex_lock(&w->lock);
    c->phase = phase;
    c->since_ns = koe_clock_ns();
    pthread_mutex_unlock(&w->lock);
}

void koe_watch_reader(koe_watch *w, koe_conn *c, koe_reader *r)
{
    if (!c) return;
    koe_answer *look = NULL;
    pthread_mutex_lock(&w->lock);
    c->reader = r;
    if (r && r->answer && (c->gone || c->half_closed)) {
        if (c->gone || r->fd < 0) atomic_store(&r->gone, true);
        else atomic_store(&r->half_closed, true);
        look = koe_answer_ref(r->answer);
    }
    pthread_mutex_unlock(&w->lock);
    if (!look) return;
    koe_answer_look(look);
    koe_answer_unref(look);
}

size_t koe_watch_count(koe_watch *w)
{
    pthread_mutex_lock(&w->lock);
    const size_t n = w->n;
    pthread_mutex_unlock(&w->lock);
    return n;
}

size_t koe_watch_busy(koe_watch *w)
{
    size_t n = 0;
    pthread_mutex_lock(&w->lock);
    for (const koe_conn *c = w->list; c; c = c->next) n += c->phase == KOE_CONN_ANSWER;
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* One by one, as the answer is looked at without our lock. */
static koe_answer *drop_one(koe_watch *w)
{
    koe_answer *look = NULL;
    pthread_mutex_lock(&w->lock);
    for (koe_conn *c = w->list; c && !look; c = c->next) {
        koe_reader *r = c->reader;
        if (c->phase != KOE_CONN_ANSWER || c->dropped) continue;
        c->dropped = true;
        shutdown(c->fd, SHUT_RDWR);
        if (!r || !r->answer) continue;
        atomic_store(&r->gone, true);
        look = koe_answer_ref(r->answer);
    }
    pthread_mutex_unlock(&w->lock);
    return look;
}

void koe_watch_drop(koe_watch *w)
{
    for (koe_answer *a = drop_one(w); a; a = drop_one(w)) {
        koe_answer_look(a);
        koe_answer_unref(a);
    }
}
