/* sched.h - whose turn it is. A job is a stream being spoken; a turn makes one segment of it.
 * Streams that are heard are ordered by playback deadline: the moment at which a listener will have heard all there is. One that has not begun
 * goes before them, first come first served, whenever they can do without a turn (slack.h). It begins to be heard as soon as it can be kept so
 * with what it has in hand: that alone decides when the first byte leaves, and nobody falls silent for somebody else's beginning. Batch jobs
 * (answers that leave as a whole, warming) run when no interactive one waits. A parked job is in no queue until it is woken.
 * Fairness: each job has an owner. Among streams that have not begun, among those that are late, and among batch jobs, the owner whose jobs have used the workers least goes
 * first, so that ten streams of one do not push out another's one.
 * Admission: a stream is refused at the door when it would not be kept in real time, or when too many wait. Who was refused and has nothing
 * in work has a claim on the next free place for a while: the refusal then hits the owner who holds more than its share.
 * Threads: any; the turns run on the scheduler's workers. */
#ifndef KOE_SERVER_SCHED_H
#define KOE_SERVER_SCHED_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct koe_sched koe_sched;
typedef struct koe_job koe_job;

typedef enum koe_turn {
    KOE_TURN_AGAIN, /* there is more to do */
    KOE_TURN_PARKED, /* wait for koe_sched_wake(), which may already have been called */
    KOE_TURN_DONE, /* the job was freed */
} koe_turn;

/* Seconds of sound that a job in work still has to make, about. */
typedef struct koe_sched_left {
    double s;
    struct koe_sched_left *next, **at;
} koe_sched_left;

struct koe_job {
    koe_turn (*turn)(koe_job *j, double *made_s); /* *made_s: seconds of speech that this turn made; what was there before costs nothing */
    double deadline_ms; /* koe_clock_ms(); the turn moves it on */
    bool batch;
    bool begun; /* its listener hears it, until deadline_ms; set by the turn */
    uint64_t owner; /* who asked: jobs of one owner share its part of the machine */
    double sound_s; /* how long its speech will be, about; 0: not known */
    bool light; /* costs next to nothing: is kept in real time beside any number of others */
    /* the scheduler's */
    int state;
    double work_s, made_s; /* of its last turns, not yet measured: seconds of all cores, and of sound */
    koe_sched_left left;
    koe_job *next;
    struct koe_sched_owner *of;
};

typedef struct koe_sched_load {
    size_t n_streams, n_batch; /* in work, parked ones included */
    size_t n_waiting, n_running, n_parked;
    double turn_s; /* how long a long turn took lately */
    double core_s_per_audio_s; /* measured: work of one core for a second of audio; 0: not yet */
    double capacity; /* streams that this machine keeps in real time; 0: not known yet */
} koe_sched_load;

/* n_cores: what the turns can use together; max_jobs: more are refused. */
koe_status koe_sched_create(koe_sched **out, int n_workers, int n_cores, size_t max_jobs, koe_error *err);
/* Jobs that are left must have been cancelled and unparked: waits for them. NULL is fine. */
void koe_sched_destroy(koe_sched *s);
/* Takes the job. KOE_E_FULL: not taken; *retry_s is an honest guess of when to come again. */
koe_status koe_sched_add(koe_sched *s, koe_job *j, int *retry_s, koe_error *err);
void koe_sched_wake(koe_sched *s, koe_job *j);
/* From inside a turn: it is the job's last, so the job is no longer in work for who comes now. */
void koe_sched_last_turn(koe_sched *s, const koe_job *j);
koe_sched_load koe_sched_get_load(koe_sched *s);
/* From inside a turn that ends now: whether its listener may start with in_hand_s seconds of sound, so that neither it nor anybody else falls
 * silent before the next turn. True when it has the machine for itself. */
bool koe_sched_may_begin(koe_sched *s, double in_hand_s);
#endif
