#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cpu.h"

/* A loop in flight; lives on its caller's stack. */
typedef struct loop {
    koe_pool_fn *fn;
    void *arg;
    size_t n_tasks;
    _Atomic size_t next; /* first task nobody has taken */
    size_t n_inside; /* workers that may touch this loop; guarded by pool->lock */
    struct loop *link;
} loop;

struct koe_pool {
    pthread_mutex_t lock; /* guards loops, n_inside of each, stop */
    pthread_cond_t work; /* a loop was added, or stop */
    pthread_cond_t left; /* a worker left a loop */
    loop *loops;
    bool stop;
    int n_threads, n_started;
    pthread_t *thread;
};

static void run_tasks(loop *l)
{
    for (;;) {
        size_t task = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
        if (task >= l->n_tasks) return;
        l->fn(l->arg, task);
    }
}

static loop *find_work(koe_pool *p)
{
    for (loop *l = p->loops; l; l = l->link)
        if (atomic_load_explicit(&l->next, memory_order_relaxed) < l->n_tasks) return l;
    return NULL;
}

static void *worker(void *arg)
{
    koe_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        loop *l = find_work(p);
        if (!l) {
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        l->n_inside++;
        pthread_mutex_unlock(&p->lock);
        run_tasks(l);
        pthread_mutex_lock(&p->lock);
        if (--l->n_inside == 0) pthread_cond_broadcast(&p->left);
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
    loop l = { .fn = fn, .arg = arg, .n_tasks = n_tasks };
    pthread_mutex_lock(&p->lock);
    loop **tail = &p->loops; /* oldest first */
    while (*tail) tail = &(*tail)->link;
    *tail = &l;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);

    run_tasks(&l);

    pthread_mutex_lock(&p->lock);
    loop **at = &p->loops;
    while (*at != &l) at = &(*at)->link;
    *at = l.link;
    while (l.n_inside > 0) pthread_cond_wait(&p->left, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
