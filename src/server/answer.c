/* answer.c - see answer.h. */
#include "server/answer.h"

#include <stdlib.h>
#include <sys/socket.h>

koe_answer *koe_answer_create(const char *key, bool whole)
{
    koe_answer *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    atomic_init(&a->refs, 1);
    memcpy(a->key, key, strnlen(key, sizeof a->key - 1));
    a->whole = whole;
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

koe_answer *koe_answer_ref(koe_answer *a)
{
    atomic_fetch_add(&a->refs, 1);
    return a;
}

void koe_answer_unref(koe_answer *a)
{
    if (!a || atomic_fetch_sub(&a->refs, 1) != 1) return;
    pthread_mutex_destroy(&a->lock);
    koe_buf_free(&a->bytes);
    free(a);
}

static void wake_readers(koe_answer *a)
{
    for (koe_reader *r = a->readers; r; r = r->next) {
        if (!r->waiting) continue;
        r->waiting = false;
        r->wake(r->user);
    }
}

/* ---- worker --------------------------------------------------------------------------------------------------------------- */

void koe_answer_head(koe_answer *a, const koe_answer_about *about)
{
    pthread_mutex_lock(&a->lock);
    a->about = *about;
    pthread_mutex_unlock(&a->lock);
}

static uint64_t end_of(const koe_answer *a) { return a->n_dropped + a->bytes.n; }

/* What nobody needs any more is dropped, in large pieces, once the answer is too long to be kept. */
static void drop_read(koe_answer *a)
{
    if (a->whole || end_of(a) <= KOE_ANSWER_KEEP_BYTES) return;
    uint64_t least = end_of(a);
    for (const koe_reader *r = a->readers; r; r = r->next)
        if (r->at < least) least = r->at;
    const size_t n = (size_t)(least - a->n_dropped);
    if (n < a->bytes.n / 2) return;
    memmove(a->bytes.data, a->bytes.data + n, a->bytes.n - n);
    a->bytes.n -= n;
    a->n_dropped += n;
}

/* All readers lag; or one does, so far that memory has an end. */
static bool is_ahead(const koe_answer *a)
{
    if (a->whole || !a->readers) return false;
    uint64_t most = 0;
    for (const koe_reader *r = a->readers; r; r = r->next)
        if (r->at > most) most = r->at;
    return end_of(a) - most >= KOE_ANSWER_AHEAD_BYTES || a->bytes.n >= 2 * (size_t)KOE_ANSWER_KEEP_BYTES;
}

koe_status koe_answer_add(koe_answer *a, const void *bytes, size_t n, bool last, koe_error *err)
{
    koe_status st = KOE_OK;
    pthread_mutex_lock(&a->lock);
    if (atomic_load(&a->cancel)) {
        st = koe_fail(err, KOE_E_CANCELLED, "the client has left");
    } else if (a->whole && a->bytes.n + n > KOE_ANSWER_WHOLE_BYTES) {
        st = koe_fail(err, KOE_E_LIMIT, "more than %d MB of sound in one piece; ask for a stream", KOE_ANSWER_WHOLE_BYTES >> 20);
    } else {
        koe_buf_add(&a->bytes, bytes, n);
        if (a->bytes.failed) st = koe_fail(err, KOE_E_NOMEM, "answer of %zu bytes", a->bytes.n);
    }
    if (st == KOE_OK && n) {
        a->has_head = true;
        drop_read(a);
        if (!a->whole) wake_readers(a);
        if (!last && is_ahead(a)) {
            a->parked = true;
            st = KOE_E_FULL;
        }
    }
    pthread_mutex_unlock(&a->lock);
    return st;
}

void koe_answer_finish(koe_answer *a)
{
    pthread_mutex_lock(&a->lock);
    a->has_head = a->done = true;
    wake_readers(a);
    pthread_mutex_unlock(&a->lock);
}

void koe_answer_fail(koe_answer *a, const koe_problem *problem)
{
    pthread_mutex_lock(&a->lock);
    a->problem = *problem;
    a->done = true;
    wake_readers(a);
    pthread_mutex_unlock(&a->lock);
}

/* ---- readers --------------------------------------------------------------------------------------------------------------- */

bool koe_reader_join(koe_reader *r, koe_answer *a)
{
    pthread_mutex_lock(&a->lock);
    const bool ok = a->n_dropped == 0 && !atomic_load(&a->cancel) && !a->problem.status;
    if (ok) {
        r->answer = koe_answer_ref(a);
        r->at = 0;
        r->waiting = r->head_taken = false;
        r->next = a->readers;
        a->readers = r;
    }
    pthread_mutex_unlock(&a->lock);
    return ok;
}

/* 102 Processing, before the head. */
static void probe(const koe_reader *r)
{
    static const char interim[] = "HTTP/1.1 102 Processing\r\n\r\n";
    if (r->fd >= 0) (void)!send(r->fd, interim, sizeof interim - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void suspend_here(koe_reader *r, void (*suspend)(void *user))
{
    r->waiting = true;
    suspend(r->user);
    if (!r->head_taken && atomic_exchange(&r->half_closed, false)) probe(r);
}

/* How much the reader may have of what there is: all but the byte that is kept back. */
static uint64_t available(const koe_answer *a, const koe_reader *r)
{
    const uint64_t left = end_of(a) - r->at;
    const bool keeps = !a->done && !a->filler && !a->whole && !atomic_load(&r->half_closed);
    return left - (keeps && left);
}

bool koe_reader_wait(koe_reader *r, void (*suspend)(void *user))
{
    koe_answer *a = r->answer;
    pthread_mutex_lock(&a->lock);
    const bool ready = a->done || (a->has_head && !a->whole) || atomic_load(&r->gone);
    if (ready) r->head_taken = true;
    else suspend_here(r, suspend);
    pthread_mutex_unlock(&a->lock);
    return ready;
}

ssize_t koe_reader_take(koe_reader *r, char *out, size_t max, void (*suspend)(void *user))
{
    koe_answer *a = r->answer;
    bool wake_job = false;
    ssize_t got = 0;
    pthread_mutex_lock(&a->lock);
    const uint64_t left = available(a, r);
    if (atomic_load(&r->gone)) {
        got = -2;
    } else if (left) {
        const size_t n = left < max ? (size_t)left : max;
        memcpy(out, a->bytes.data + (r->at - a->n_dropped), n);
        r->at += n;
        got = (ssize_t)n;
        if (r->at == end_of(a)) atomic_store(&r->half_closed, false);
        drop_read(a);
        if (a->parked && !is_ahead(a)) wake_job = true;
    } else if (a->problem.status) {
        got = -2;
    } else if (a->done) {
        got = -1;
    } else if (a->filler && max >= strlen(a->filler) && atomic_exchange(&r->half_closed, false)) {
        got = (ssize_t)strlen(a->filler);
        memcpy(out, a->filler, (size_t)got);
    } else {
        suspend_here(r, suspend);
    }
    if (wake_job) a->parked = false;
    pthread_mutex_unlock(&a->lock);
    if (wake_job) a->wake(a);
    return got;
}

/* Whether the job must be woken: to go on without this reader, or to see that it is cancelled. */
static bool unlink_reader(koe_answer *a, koe_reader *r)
{
    for (koe_reader **at = &a->readers; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    if (!a->readers && !a->done) atomic_store(&a->cancel, true);
    const bool wake_job = a->parked && (atomic_load(&a->cancel) || !is_ahead(a));
    if (wake_job) a->parked = false;
    return wake_job;
}

void koe_reader_leave(koe_reader *r)
{
    koe_answer *a = r->answer;
    if (!a) return;
    pthread_mutex_lock(&a->lock);
    const bool wake_job = unlink_reader(a, r);
    pthread_mutex_unlock(&a->lock);
    if (wake_job) a->wake(a);
    r->answer = NULL;
    koe_answer_unref(a);
}

void koe_answer_look(koe_answer *a)
{
    bool all_gone = true, wake_job = false;
    pthread_mutex_lock(&a->lock);
    for (koe_reader *r = a->readers; r; r = r->next) {
        const bool gone = atomic_load(&r->gone);
        if (!gone) all_gone = false;
        if (r->waiting && !r->head_taken && atomic_exchange(&r->half_closed, false)) probe(r);
        if (r->waiting && (gone || (r->head_taken && atomic_load(&r->half_closed)))) r->waiting = false, r->wake(r->user);
    }
    if (all_gone && !a->done) atomic_store(&a->cancel, true);
    if (a->parked && atomic_load(&a->cancel)) {
        a->parked = false;
        wake_job = true;
    }
    pthread_mutex_unlock(&a->lock);
    if (wake_job) a->wake(a);
}
