/* sched.c - see sched.h. */
#include "server/sched.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "server/slack.h"

enum state { QUEUED, RUNNING, WOKEN /* while running */, PARKED };
/* How much of the machine admission gives away: the rest is for everything that is not speech. */
static const double usable = 0.9;
/* Weight of the newest turn in the measured cost: good news counts at once, as bad ones may come from loading a model. */
static const double LONGEST_TURN_S = 5, /* one that loaded a model took longer */
                    LONG_SEGMENT_S = 6, /* of sound, made in one turn */
              LONGER_TURN = 1.15, /* than the long ones of late: what listeners are promised on */
              UNKNOWN_COST = 0.5,
                    TYPICAL_S = 6, /* of sound, where a job does not say how much it is */
                    LEAST_SOUND_S = 1; /* that cost is measured by: a first piece is dear, and the turn after it cheap */
static const double newest_better = 0.3, newest_worse = 0.1;
static const double LONGEST_RETRY_S = 600, CLAIM_MS = 30e3; /* longer than most Retry-After that a refusal gives */
enum { IDLE_OWNERS = 64 }; /* remembered beside those that have jobs */

/* What is known of one owner. */
typedef struct koe_sched_owner {
    uint64_t id;
    size_t n_jobs; /* in work */
    double used_s; /* of the workers' time; only differences mean something */
    double seen_ms, refused_ms; /* 0: never */
} owner;

/* What a worker is doing. */
typedef struct worker {
    koe_sched *sched;
    pthread_t thread;
    bool runs, begun; /* a turn; of a stream that is heard */
    bool may_begin; /* this turn has been told that its stream may: it ends now, and needs the next in time */
    double start_ms, deadline_ms;
} worker;

struct koe_sched {
    pthread_mutex_t lock; /* guards all below, and koe_job.state and .next */
    pthread_cond_t work, idle;
    koe_job *queue; /* newest first; picked from by deadline */
    koe_sched_left *left; /* of all jobs in work */
    size_t n_streams, n_batch, n_waiting, n_running, n_parked, max_jobs;
    owner *owner; /* [max_jobs + IDLE_OWNERS]: one without jobs is always there */
    double cost; /* core seconds for a second of audio */
    double turn_s; /* of long turns: at once up, slowly down */
    bool stop;
    int n_cores, n_workers;
    worker *worker;
    double *free_s, *due_s; /* [workers], [max_jobs + workers + 1]: for koe_slack_holds() */
};

/* due_ms: what has its deadline by then is due. */
static bool goes_before(const koe_job *a, const koe_job *b, double due_ms)
{
    if (a->batch != b->batch) return b->batch;
    const bool both_due = a->batch || (a->deadline_ms <= due_ms && b->deadline_ms <= due_ms);
    if (both_due && a->of->used_s != b->of->used_s) return a->of->used_s < b->of->used_s;
    return a->deadline_ms < b->deadline_ms;
}

static void put(koe_sched *s, koe_job *j)
{
    j->state = QUEUED;
    j->next = s->queue;
    s->queue = j;
    s->n_waiting++;
    pthread_cond_signal(&s->work);
}

/* Seconds that a turn may take when all workers are busy: there may have been short ones only. */
static double long_turn(const koe_sched *s)
{
    return LONGER_TURN * fmax(s->turn_s, (s->cost > 0 ? s->cost : UNKNOWN_COST) * LONG_SEGMENT_S);
}

/* Whether the streams that are heard go on being heard; with `other`, when one worker spends a long turn on something else first. Those whose
 * turn runs are served: they need the next one after those that wait now. */
static bool stay_in_time(koe_sched *s, bool other)
{
    const double now_ms = koe_clock_ms(), turn_s = long_turn(s);
    size_t n = 0, free_now = 0;
    for (int i = 0; i < s->n_workers; i++) {
        const worker *w = &s->worker[i];
        const bool busy = w->runs && !w->may_begin;
        s->free_s[i] = busy ? fmax(turn_s - (now_ms - w->start_ms) / 1000, 0.1 * turn_s) : 0;
        if (!busy) free_now = (size_t)i;
        if (w->runs && w->may_begin) s->due_s[n++] = (w->deadline_ms - now_ms) / 1000;
    }
    if (other) s->free_s[free_now] += turn_s;
    for (const koe_job *j = s->queue; j; j = j->next)
        if (j->begun && !j->light) s->due_s[n++] = (j->deadline_ms - now_ms) / 1000;
    return koe_slack_holds(s->free_s, (size_t)s->n_workers, s->due_s, n, turn_s);
}

/* A stream that runs alone has all cores, and its pieces are cut by that: when it has little in hand, nothing else starts beside it. */
static bool holds_all(const koe_sched *s)
{
    const worker *only = NULL;
    for (int i = 0; i < s->n_workers; i++)
        if (s->worker[i].runs) only = &s->worker[i];
    return s->n_running == 1 && only->begun && !only->may_begin && only->deadline_ms - koe_clock_ms() < 1000 * long_turn(s);
}

/* The next job; NULL: none may start now. Streams that are heard go by their deadlines, late ones fairly; whatever has not begun goes before
 * them as long as none falls silent for it. */
static koe_job *pick(koe_sched *s)
{
    koe_job **heard = NULL, **fresh = NULL;
    const double now_ms = koe_clock_ms();
    for (koe_job **at = &s->queue; *at; at = &(*at)->next) {
        koe_job ***best = (*at)->begun ? &heard : &fresh;
        if (!*best || goes_before(*at, **best, (*at)->begun ? now_ms : now_ms + 1000 * s->turn_s)) *best = at;
    }
    if (!heard && fresh && !(*fresh)->light && holds_all(s)) return NULL;
    koe_job **best = heard ? heard : fresh;
    if (heard && fresh && !(*fresh)->batch && ((*fresh)->light || stay_in_time(s, true))) best = fresh;
    if (!best) return NULL;
    koe_job *j = *best;
    *best = j->next;
    s->n_waiting--;
    return j;
}

/* What turns of a job cost that made so much sound: `work_s` of a core. */
static void measure(koe_sched *s, double work_s, double sound_s)
{
    const double cost = work_s / sound_s;
    s->cost = s->cost == 0 ? cost : s->cost + (cost < s->cost ? newest_better : newest_worse) * (cost - s->cost);
}

static void link_left(koe_sched *s, koe_sched_left *l, double left_s)
{
    *l = (koe_sched_left){ .s = left_s, .next = s->left, .at = &s->left };
    if (l->next) l->next->at = &l->next;
    s->left = l;
}

static void unlink_left(koe_sched_left *l)
{
    if (!l->at) return;
    *l->at = l->next;
    if (l->next) l->next->at = l->at;
    l->at = NULL;
}

static void leave(koe_sched *s, owner *of, bool batch)
{
    (*(batch ? &s->n_batch : &s->n_streams))--;
    of->n_jobs--;
}

static _Thread_local bool was_last; /* the turn that this thread runs has said so */
static _Thread_local koe_sched_left turn_left; /* of that turn's job, which may be freed by it */
static _Thread_local worker *self;

void koe_sched_last_turn(koe_sched *s, const koe_job *j)
{
    pthread_mutex_lock(&s->lock);
    leave(s, j->of, j->batch);
    unlink_left(&turn_left);
    pthread_mutex_unlock(&s->lock);
    was_last = true;
}

static void run_turn(koe_sched *s, koe_job *j)
{
    worker *const w = self;
    const bool batch = j->batch;
    owner *of = j->of;
    const uint64_t id = of->id;
    const double start_ms = koe_clock_ms();
    double audio_s = 0;
    j->state = RUNNING;
    w->runs = true;
    w->begun = j->begun;
    w->may_begin = false;
    w->start_ms = start_ms;
    w->deadline_ms = j->deadline_ms;
    was_last = false;
    double work_s = j->work_s, made_s = j->made_s;
    unlink_left(&j->left);
    link_left(s, &turn_left, j->left.s);
    const size_t n = ++s->n_running;
    pthread_mutex_unlock(&s->lock);
    const koe_turn turn = j->turn(j, &audio_s); /* j may be gone now */
    pthread_mutex_lock(&s->lock);
    s->n_running--;
    w->runs = false;
    if (s->queue) pthread_cond_signal(&s->work); /* what may not have started beside it */
    unlink_left(&turn_left);
    const double wall_s = (koe_clock_ms() - start_ms) / 1000;
    const double share = (double)s->n_cores / (double)n;
    if (audio_s > 0) s->turn_s = fmin(fmax(wall_s, s->turn_s + 0.05 * (wall_s - s->turn_s)), LONGEST_TURN_S);
    work_s += wall_s * (share < 1 ? 1 : share);
    made_s += audio_s;
    const bool ends = turn == KOE_TURN_DONE, measured = made_s >= (ends ? 0.2 : LEAST_SOUND_S); /* less says nothing */
    if (measured) measure(s, work_s, made_s);
    if (!ends) {
        j->work_s = measured ? 0 : work_s;
        j->made_s = measured ? 0 : made_s;
        link_left(s, &j->left, fmax(turn_left.s - audio_s, LEAST_SOUND_S)); /* it may be longer than was thought */
    }
    if (of->id == id) of->used_s += wall_s; /* else another's by now: after koe_sched_last_turn() the owner may have no jobs */
    if (turn == KOE_TURN_DONE) {
        if (!was_last) leave(s, of, batch);
        pthread_cond_broadcast(&s->idle);
        return;
    }
    if (turn == KOE_TURN_AGAIN || j->state == WOKEN) {
        put(s, j);
    } else {
        j->state = PARKED;
        s->n_parked++;
    }
}

static void *work(void *arg)
{
    self = arg;
    koe_sched *s = self->sched;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        koe_job *j;
        while (!(j = pick(s)) && !s->stop) pthread_cond_wait(&s->work, &s->lock);
        if (!j) break;
        run_turn(s, j);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

koe_status koe_sched_create(koe_sched **out, int n_workers, int n_cores, size_t max_jobs, koe_error *err)
{
    koe_sched *s = calloc(1, sizeof *s);
    if (!s) return koe_fail(err, KOE_E_NOMEM, "scheduler");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->idle, NULL);
    s->n_cores = n_cores;
    s->max_jobs = max_jobs;
    s->worker = calloc((size_t)n_workers, sizeof *s->worker);
    s->owner = calloc(max_jobs + IDLE_OWNERS, sizeof *s->owner);
    s->free_s = calloc((size_t)n_workers, sizeof *s->free_s);
    s->due_s = calloc(max_jobs + (size_t)n_workers + 1, sizeof *s->due_s);
    koe_status st = s->worker && s->owner && s->free_s && s->due_s ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "scheduler");
    pthread_mutex_lock(&s->lock); /* workers look at all of them */
    while (st == KOE_OK && s->n_workers < n_workers) {
        worker *w = &s->worker[s->n_workers];
        w->sched = s;
        if (pthread_create(&w->thread, NULL, work, w) != 0) st = koe_fail(err, KOE_E_LIMIT, "cannot start %d workers", n_workers);
        else s->n_workers++;
    }
    pthread_mutex_unlock(&s->lock);
    if (st != KOE_OK) {
        koe_sched_destroy(s);
        return st;
    }
    *out = s;
    return KOE_OK;
}

void koe_sched_destroy(koe_sched *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->lock);
    while (s->n_streams + s->n_batch) pthread_cond_wait(&s->idle, &s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->n_workers; i++) pthread_join(s->worker[i].thread, NULL);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->lock);
    free(s->worker);
    free(s->free_s);
    free(s->due_s);
    free(s->owner);
    free(s);
}

static double capacity(const koe_sched *s) { return s->cost > 0 ? usable * s->n_cores / s->cost : 0; }

/* How long until the first of the jobs in work is done, when they share the machine. */
static int retry_after(const koe_sched *s)
{
    double least_s = INFINITY;
    for (const koe_sched_left *l = s->left; l; l = l->next) least_s = fmin(least_s, l->s);
    if (!s->left) least_s = TYPICAL_S;
    const double seconds = ceil(least_s * (s->cost > 0 ? s->cost : UNKNOWN_COST) / s->n_cores * (double)(s->n_streams + s->n_batch));
    return (int)fmin(fmax(seconds, 1), LONGEST_RETRY_S);
}

/* The entry of an owner, a new one in the place of the one without jobs seen longest ago. */
static owner *find_owner(koe_sched *s, uint64_t id)
{
    owner *oldest = NULL;
    for (owner *o = s->owner; o < s->owner + s->max_jobs + IDLE_OWNERS; o++) {
        if (o->id == id && o->seen_ms > 0) return o;
        if (o->n_jobs == 0 && (!oldest || o->seen_ms < oldest->seen_ms)) oldest = o;
    }
    *oldest = (owner){ .id = id };
    return oldest;
}

/* Owners that have jobs, and others that were refused lately and have none; the least that one with jobs has used. */
typedef struct crowd {
    size_t n_active, n_claims;
    double least_s;
} crowd;

static crowd look_around(const koe_sched *s, const owner *own, double now_ms)
{
    crowd c = { .least_s = INFINITY };
    for (const owner *o = s->owner; o < s->owner + s->max_jobs + IDLE_OWNERS; o++) {
        c.n_active += o->n_jobs > 0;
        c.n_claims += o != own && o->n_jobs == 0 && o->refused_ms > 0 && now_ms - o->refused_ms < CLAIM_MS;
        if (o->n_jobs && o->used_s < c.least_s) c.least_s = o->used_s;
    }
    return c;
}

/* Whether one more job of this owner finds a place where `room` are. A claim of others keeps one from who has its share already. */
static bool has_place(const owner *own, const crowd *c, size_t n, double room)
{
    const double share = room / (double)(c->n_active + c->n_claims + (own->n_jobs == 0));
    const size_t kept = own->n_jobs && (double)own->n_jobs + 1 > share ? c->n_claims : 0;
    return (double)(n + 1 + kept) <= room;
}

static koe_status admit(const koe_sched *s, const koe_job *j, const owner *own, const crowd *c, koe_error *err)
{
    double streams = capacity(s);
    if (own->n_jobs == 0) streams /= usable; /* the first of somebody else may have what is kept back */
    if (!has_place(own, c, s->n_streams + s->n_batch, (double)s->max_jobs))
        return koe_fail(err, KOE_E_FULL, "%zu requests are already being spoken or wait for it, %zu of them yours; the limit is %zu",
                        s->n_streams + s->n_batch, own->n_jobs, s->max_jobs);
    if (!j->batch && !j->light && s->n_streams > 0 && streams > 0 && !has_place(own, c, s->n_streams, streams))
        return koe_fail(err, KOE_E_FULL, "%zu streams are being spoken, %zu of them yours; one more could not be kept in real time",
                        s->n_streams, own->n_jobs);
    return KOE_OK;
}

koe_status koe_sched_add(koe_sched *s, koe_job *j, int *retry_s, koe_error *err)
{
    const double now_ms = koe_clock_ms();
    pthread_mutex_lock(&s->lock);
    owner *own = find_owner(s, j->owner);
    const crowd c = look_around(s, own, now_ms);
    const koe_status st = admit(s, j, own, &c, err);
    own->seen_ms = now_ms;
    own->refused_ms = st == KOE_OK ? 0 : now_ms;
    *retry_s = st == KOE_OK ? 0 : retry_after(s);
    if (st == KOE_OK) {
        if (own->n_jobs++ == 0 && c.n_active) own->used_s = fmax(own->used_s, c.least_s); /* idleness is not saved up */
        (*(j->batch ? &s->n_batch : &s->n_streams))++;
        j->of = own;
        link_left(s, &j->left, j->sound_s > 0 ? j->sound_s : TYPICAL_S);
        put(s, j);
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

void koe_sched_wake(koe_sched *s, koe_job *j)
{
    pthread_mutex_lock(&s->lock);
    if (j->state == PARKED) {
        s->n_parked--;
        put(s, j);
    } else {
        j->state = WOKEN;
    }
    pthread_mutex_unlock(&s->lock);
}

koe_sched_load koe_sched_get_load(koe_sched *s)
{
    pthread_mutex_lock(&s->lock);
    const koe_sched_load load = { .n_streams = s->n_streams, .n_batch = s->n_batch, .n_waiting = s->n_waiting, .n_running = s->n_running,
                                  .n_parked = s->n_parked, .turn_s = s->turn_s, .core_s_per_audio_s = s->cost, .capacity = capacity(s) };
    pthread_mutex_unlock(&s->lock);
    return load;
}

bool koe_sched_may_begin(koe_sched *s, double in_hand_s)
{
    worker *const w = self;
    pthread_mutex_lock(&s->lock);
    const bool others = s->n_streams > s->n_parked + 1 || s->n_batch;
    w->deadline_ms = koe_clock_ms() + 1000 * in_hand_s;
    w->may_begin = true; /* as if it did */
    const bool may = w->may_begin = !others || stay_in_time(s, false);
    pthread_mutex_unlock(&s->lock);
    return may;
}
