/* answer.h - the bytes of one answer, made by a worker and read by connections:
 *     worker    koe_answer_head -> koe_answer_add ... -> koe_answer_finish | koe_answer_fail
 *     clients   koe_reader_join -> koe_reader_wait (for the head) -> koe_reader_take ... -> koe_reader_leave
 * Several connections may read one answer: the same request twice is synthesised once. A whole answer is kept by the cache and never
 * changes again. When all its readers lag, the worker is told to park the job; the reader that catches up wakes it.
 * A client that closes its connection sends what one sends that only has nothing more to say (FIN); what comes next tells them apart, as who
 * has left resets the connection. So that there is something to send even when the next sound is far: before the head, an interim response;
 * after it, the answer's filler, or the last byte of what there is, which is kept back for that.
 * Threads: any; koe_answer.lock guards what is below it. */
#ifndef KOE_SERVER_ANSWER_H
#define KOE_SERVER_ANSWER_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "server/problem.h"

enum {
    KOE_ANSWER_KEEP_BYTES = 16 << 20, /* what was read is kept up to here: for the cache, and for others who ask for the same */
    KOE_ANSWER_AHEAD_BYTES = 1 << 20, /* a job that is so far ahead of its readers is parked */
    KOE_ANSWER_WHOLE_BYTES = 256 << 20, /* limit of an answer that leaves as a whole */
};

/* What the head of the answer says. */
typedef struct koe_answer_about {
    char type[40]; /* Content-Type */
    char voice[320], engine[16];
    char warning[400]; /* what could not be done as asked for; "": nothing */
    char cache[8]; /* "hit", "partial", "miss": what of the sound was there already */
    double queue_ms, text_ms, synthesis_ms, encode_ms; /* until the head could leave */
} koe_answer_about;

typedef struct koe_reader koe_reader;
typedef struct koe_answer koe_answer;

struct koe_answer {
    atomic_int refs;
    atomic_bool cancel; /* the last reader has left before the end */
    char key[65]; /* of the cache; "" when it must not be shared */
    const char *filler; /* static: may stand between two pieces and says nothing; NULL: there is no such thing */
    bool whole; /* nothing leaves before all of it is there */
    atomic_bool passing; /* another voice had to speak: not for the cache, and not for who asks later */
    void (*wake)(koe_answer *a); /* lets the parked job go on */
    void *job; /* the maker's */
    pthread_mutex_t lock; /* guards: */
    koe_answer_about about;
    koe_problem problem;
    koe_buf bytes; /* from byte n_dropped on */
    uint64_t n_dropped;
    bool has_head, done, parked;
    koe_reader *readers;
};

/* How a reader is told that there is more. Called with the answer's lock held: must not call back. */
typedef void koe_reader_wake_fn(void *user);

/* A client's place in an answer. */
struct koe_reader {
    koe_answer *answer; /* NULL: not reading */
    koe_reader_wake_fn *wake;
    void *user;
    atomic_bool gone; /* set by the watcher: the client has left */
    atomic_bool half_closed; /* the client will not send any more, and may have left */
    int fd; /* for the probe of a half-closed connection; -1: none */
    /* guarded by the answer's lock */
    uint64_t at;
    bool waiting; /* to be woken */
    bool head_taken;
    koe_reader *next;
};

/* One reference, the caller's. NULL when out of memory. */
koe_answer *koe_answer_create(const char *key, bool whole);
koe_answer *koe_answer_ref(koe_answer *a);
void koe_answer_unref(koe_answer *a);

/* -- worker -- */
void koe_answer_head(koe_answer *a, const koe_answer_about *about);
/* Never blocks. KOE_E_FULL: taken, but the readers are slow; return at once and let `wake` go on (not with `last`, after which there is
 * nothing to go on with). KOE_E_CANCELLED, KOE_E_LIMIT, KOE_E_NOMEM: stop. */
koe_status koe_answer_add(koe_answer *a, const void *bytes, size_t n, bool last, koe_error *err);
void koe_answer_finish(koe_answer *a);
void koe_answer_fail(koe_answer *a, const koe_problem *problem);

/* -- readers -- */
/* False when the beginning is no longer there, or the job is being cancelled: start another one. Takes a reference. */
bool koe_reader_join(koe_reader *r, koe_answer *a);
/* True when the head (the end, for an answer that leaves as a whole) can be looked at; else `suspend(user)` was called with the lock
 * held and `wake` will follow. */
bool koe_reader_wait(koe_reader *r, void (*suspend)(void *user));
/* Up to max bytes; 0: none yet, suspended as above; -1: that was all; -2: it failed, or the client has left. */
ssize_t koe_reader_take(koe_reader *r, char *out, size_t max, void (*suspend)(void *user));
/* Nothing happens for a reader that has not joined. */
void koe_reader_leave(koe_reader *r);
/* After gone or half_closed was set on one of its readers: lets go of the former, sends the latter's client something. */
void koe_answer_look(koe_answer *a);
#endif
