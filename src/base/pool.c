#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cpu.h"

/* How long a thread that waits looks again before it sleeps. A speech network has two thousand short nodes: to sleep and be woken between
 * any two of them costs more than many of them take. Longer gaps are slept through, so that others have the processor. */
enum { LOOK_NS = 30000 };

enum { N_SHARES = 64, LINE = 64 };

/* A run of tasks meant for one thread. Neighbouring tasks touch neighbouring memory, and the next loop cuts it alike: a thread that keeps to its
 * share finds in its own cache what it wrote before, and two threads seldom write to one cache line. */
typedef struct share {
    _Alignas(LINE) _Atomic size_t next; /* first task nobody has taken */
    size_t end;
} share;

/* A loop in flight; lives on its caller's stack. */
typedef struct loop {
    koe_pool_fn *fn;
    void *arg;
    share share[N_SHARES];
    size_t n_shares;
    _Atomic size_t n_left; /* tasks nobody has taken */
    _Atomic size_t n_inside; /* workers that may touch this loop; changed under pool->lock */
    struct loop *link;
} loop;

struct koe_pool {
    pthread_mutex_t lock; /* guards loops, n_inside of each, stop, n_asleep */
    pthread_cond_t work; /* a loop was added, or stop */
    pthread_cond_t left; /* a worker left a loop */
    loop *loops;
    bool stop;
    _Atomic size_t n_named; /* workers that have taken their number */
    _Atomic size_t n_added; /* loops so far, changed under the lock */
    int n_asleep; /* workers in pthread_cond_wait() */
    int n_threads, n_started;
    bool looks; /* there is a processor for each thread: one that looks again holds up no other */
    pthread_t *thread;
};

/* Thread `self` does its own share, then helps with the others'. */
static void run_tasks(loop *l, size_t self)
{
    for (size_t k = 0; k < l->n_shares; k++) {
        share *s = &l->share[(self + k) % l->n_shares];
        while (atomic_load_explicit(&s->next, memory_order_relaxed) < s->end) {
            const size_t task = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
            if (task >= s->end) break;
            atomic_fetch_sub_explicit(&l->n_left, 1, memory_order_relaxed);
            l->fn(l->arg, task);
        }
    }
}

static void cut(loop *l, size_t n_tasks, size_t n_threads)
{
    l->n_shares = n_threads < N_SHARES ? n_threads : N_SHARES;
    if (l->n_shares > n_tasks) l->n_shares = n_tasks;
    const size_t each = n_tasks / l->n_shares, more = n_tasks % l->n_shares;
    for (size_t k = 0, at = 0; k < l->n_shares; k++) {
        atomic_init(&l->share[k].next, at);
        l->share[k].end = at += each + (k < more);
    }
    atomic_init(&l->n_left, n_tasks);
}

/* Returns when *p is no longer, or is (`until`), `value`, or after LOOK_NS. */
static void look(const _Atomic size_t *p, size_t value, bool until)
{
    const int64_t start = koe_clock_ns();
    do
        for (int i = 0; i < 64; i++) {
            if ((atomic_load_explicit(p, memory_order_acquire) == value) == until) return;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
    while (koe_clock_ns() - start < LOOK_NS);
}

static loop *find_work(koe_pool *p)
{
    for (loop *l = p->loops; l; l = l->link)
        if (atomic_load_explicit(&l->n_left, memory_order_relaxed)) return l;
    return NULL;
}

static void *worker(void *arg)
{
    koe_pool *p = arg;
    const size_t self = atomic_fetch_add_explicit(&p->n_named, 1, memory_order_relaxed) + 1; /* 0: whoever starts a loop */
    bool looked = true; /* since the last task */
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        loop *l = find_work(p);
        if (!l) {
            if (looked || !p->looks) {
                p->n_asleep++;
                pthread_cond_wait(&p->work, &p->lock);
                p->n_asleep--;
            } else {
                const size_t n_added = atomic_load_explicit(&p->n_added, memory_order_relaxed);
                pthread_mutex_unlock(&p->lock);
                look(&p->n_added, n_added, false);
                pthread_mutex_lock(&p->lock);
                looked = true;
            }
            continue;
        }
        atomic_fetch_add_explicit(&l->n_inside, 1, memory_order_relaxed);
        pthread_mutex_unlock(&p->lock);
        run_tasks(l, self);
        looked = false;
        pthread_mutex_lock(&p->lock);
        if (atomic_fetch_sub_explicit(&l->n_inside, 1, memory_order_release) == 1) pthread_cond_broadcast(&p->left);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

koe_status koe_pool_create(koe_pool **out, int n_threads, koe_error *err)
{
    if (n_threads <= 0) n_threads = koe_cpu_count();
    koe_pool *p = calloc(1, sizeof *p);
    if (!p) return koe_fail(err, KOE_E_NOMEM, "worker pool");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->left, NULL);
    p->n_threads = n_threads;
    p->looks = n_threads <= koe_cpu_count();
    p->thread = calloc((size_t)n_threads, sizeof *p->thread);
    if (!p->thread) {
        koe_pool_destroy(p);
        return koe_fail(err, KOE_E_NOMEM, "worker pool of %d threads", n_threads);
    }
    while (p->n_started < n_threads - 1) {
        if (pthread_create(&p->thread[p->n_started], NULL, worker, p) != 0) {
            koe_pool_destroy(p);
            return koe_fail(err, KOE_E_LIMIT, "cannot start %d worker threads", n_threads - 1);
        }
        p->n_started++;
    }
    *out = p;
    return KOE_OK;
}

void koe_pool_destroy(koe_pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_started; i++) pthread_join(p->thread[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->left);
    free(p->thread);
    free(p);
}

int koe_pool_threads(const koe_pool *p) { return p ? p->n_threads : 1; }

void koe_pool_for(koe_pool *p, size_t n_tasks, koe_pool_fn *fn, void *arg)
{
    if (n_tasks == 0) return;
    if (!p || p->n_started == 0 || n_tasks == 1) {
        for (size_t i = 0; i < n_tasks; i++) fn(arg, i);
        return;
    }
    loop l;
    l.fn = fn;
    l.arg = arg;
    l.link = NULL;
    atomic_init(&l.n_inside, 0);
    cut(&l, n_tasks, (size_t)p->n_threads);
    pthread_mutex_lock(&p->lock);
    loop **tail = &p->loops; /* oldest first */
    while (*tail) tail = &(*tail)->link;
    *tail = &l;
    atomic_fetch_add_explicit(&p->n_added, 1, memory_order_release);
    if (p->n_asleep) pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);

    run_tasks(&l, 0);

    pthread_mutex_lock(&p->lock);
    loop **at = &p->loops;
    while (*at != &l) at = &(*at)->link;
    *at = l.link;
    if (l.n_inside > 0 && p->looks) {
        pthread_mutex_unlock(&p->lock);
        look(&l.n_inside, 0, true);
        pthread_mutex_lock(&p->lock);
    }
    while (l.n_inside > 0) pthread_cond_wait(&p->left, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
