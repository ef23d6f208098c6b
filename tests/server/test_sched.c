/* The scheduler with jobs that only note their turns. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "server/sched.h"
#include "server/slack.h"

static void pause_ms(double ms) { nanosleep(&(struct timespec){ .tv_nsec = (long)(ms * 1e6) }, NULL); }

/* A job of `left` turns; each writes its name and moves the deadline on. */
typedef struct noted {
    koe_job job;
    char name;
    int left;
    double step_ms, work_ms, audio_s;
    atomic_bool *park; /* parks while this is set; NULL: never */
    atomic_bool *gate; /* its turn lasts until this is set; NULL: no longer than its work */
    double *used_ms; /* time of the worker is added here */
} noted;

static char order[256];
static atomic_size_t n_order;

static koe_turn note(koe_job *j, double *audio_s)
{
    noted *n = (noted *)(void *)j;
    if (n->park && atomic_load(n->park)) return KOE_TURN_PARKED;
    order[atomic_fetch_add(&n_order, 1)] = n->name;
    const double start_ms = koe_clock_ms();
    while (n->gate && !atomic_load(n->gate)) pause_ms(1);
    if (n->work_ms > 0) pause_ms(n->work_ms);
    if (n->used_ms) *n->used_ms += koe_clock_ms() - start_ms;
    *audio_s = n->audio_s;
    j->deadline_ms += n->step_ms;
    return --n->left ? KOE_TURN_AGAIN : KOE_TURN_DONE;
}

static koe_sched *new_sched(int workers, size_t max_jobs)
{
    koe_sched *s = NULL;
    assert_int_equal(koe_sched_create(&s, workers, workers, max_jobs, NULL), KOE_OK);
    memset(order, 0, sizeof order);
    atomic_store(&n_order, 0);
    return s;
}

static koe_status add(koe_sched *s, noted *n, int *retry_s) { return koe_sched_add(s, &n->job, retry_s, NULL); }

/* While a first job holds the only worker the others queue up; then those that have least audio in hand go first, batch last. */
static void test_order(void **state)
{
    (void)state;
    int retry_s;
    atomic_bool gate = false;
    koe_sched *s = new_sched(1, 100);
    noted hold = { .job = { .turn = note }, .name = '-', .left = 1, .gate = &gate };
    noted rich = { .job = { .turn = note, .deadline_ms = 5000 }, .name = 'r', .left = 2, .step_ms = 1000 };
    noted poor = { .job = { .turn = note, .deadline_ms = 1000 }, .name = 'p', .left = 3, .step_ms = 1500 };
    noted batch = { .job = { .turn = note, .deadline_ms = 0, .batch = true }, .name = 'b', .left = 2, .step_ms = 1 };
    assert_int_equal(add(s, &hold, &retry_s), KOE_OK);
    while (atomic_load(&n_order) == 0) pause_ms(1);
    assert_int_equal(add(s, &batch, &retry_s), KOE_OK);
    assert_int_equal(add(s, &rich, &retry_s), KOE_OK);
    assert_int_equal(add(s, &poor, &retry_s), KOE_OK);
    atomic_store(&gate, true);
    koe_sched_destroy(s);
    assert_string_equal(order, "-ppprrbb");
}

static struct {
    double many_ms, one_ms; /* what they have used */
    bool unfair;
} share;

/* A turn of one of many jobs: as long as the one has turns to come, its owner has used more. A clock is read a little later here than by the
 * scheduler. */
static koe_turn note_share(koe_job *j, double *audio_s)
{
    enum { CLOCKS_MS = 15 };
    if (!strchr(order, '1') || strchr(order, '1') == strrchr(order, '1')) share.unfair |= share.many_ms > share.one_ms + CLOCKS_MS;
    return note(j, audio_s);
}

/* Who came with many jobs has no more of the worker than who came with one, due streams and batch alike. */
static void test_owners_take_turns(void **state)
{
    (void)state;
    for (int batch = 0; batch < 2; batch++) {
        int retry_s;
        atomic_bool gate = false;
        koe_sched *s = new_sched(1, 100);
        memset(&share, 0, sizeof share);
        noted hold = { .job = { .turn = note, .owner = 3 }, .name = '-', .left = 1, .gate = &gate }, many[10];
        noted one = { .job = { .turn = note, .owner = 2, .batch = batch, .deadline_ms = 1 }, .name = '1', .left = 2, .work_ms = 10, .step_ms = 1, .used_ms = &share.one_ms };
        assert_int_equal(add(s, &hold, &retry_s), KOE_OK);
        while (atomic_load(&n_order) == 0) pause_ms(1);
        for (int i = 0; i < 10; i++) {
            many[i] = (noted){ .job = { .turn = note_share, .owner = 1, .batch = batch }, .name = 'm', .left = 2, .work_ms = 10, .used_ms = &share.many_ms };
            assert_int_equal(add(s, &many[i], &retry_s), KOE_OK);
        }
        assert_int_equal(add(s, &one, &retry_s), KOE_OK);
        atomic_store(&gate, true);
        koe_sched_destroy(s);
        assert_int_equal(strlen(order), 23);
        if (share.unfair) fail_msg("%s: the one waits", order);
    }
}

/* Audio in hand comes before fairness: a stream that is not due yet leaves the worker to one that is. */
static void test_due_before_fair(void **state)
{
    (void)state;
    int retry_s;
    koe_sched *s = new_sched(1, 100);
    atomic_bool gate = false;
    const double far_ms = koe_clock_ms() + 600e3;
    noted hold = { .job = { .turn = note, .owner = 1 }, .name = '-', .left = 1, .gate = &gate };
    noted rich = { .job = { .turn = note, .owner = 2, .deadline_ms = far_ms }, .name = 'r', .left = 2 };
    noted poor = { .job = { .turn = note, .owner = 1 }, .name = 'p', .left = 3 };
    assert_int_equal(add(s, &hold, &retry_s), KOE_OK);
    while (atomic_load(&n_order) == 0) pause_ms(1);
    assert_int_equal(add(s, &rich, &retry_s), KOE_OK);
    assert_int_equal(add(s, &poor, &retry_s), KOE_OK);
    atomic_store(&gate, true);
    koe_sched_destroy(s);
    assert_string_equal(order, "-ppprr");
}

/* Who is refused is told when the first of those in work will be done, as they share the machine. */
static void test_retry(void **state)
{
    (void)state;
    int retry_s;
    atomic_bool park = true;
    koe_sched *s = new_sched(1, 3);
    noted known = { .job = { .turn = note }, .left = 1, .work_ms = 200, .audio_s = 1 };
    noted held[3], more = { .job = { .turn = note }, .left = 1 };
    assert_int_equal(add(s, &known, &retry_s), KOE_OK);
    while (koe_sched_get_load(s).core_s_per_audio_s == 0) pause_ms(1);
    const double cost = koe_sched_get_load(s).core_s_per_audio_s; /* 0.2, or more on a busy machine */
    for (int i = 0; i < 3; i++) {
        held[i] = (noted){ .job = { .turn = note, .batch = true, .sound_s = 300 - 100 * i }, .left = 1, .park = &park };
        assert_int_equal(add(s, &held[i], &retry_s), KOE_OK);
    }
    while (koe_sched_get_load(s).n_parked < 3) pause_ms(1);
    assert_int_equal(add(s, &more, &retry_s), KOE_E_FULL);
    assert_in_range(retry_s, (int)fmin(3 * 100 * cost, 600), (int)(3 * 100 * cost) + 1);
    atomic_store(&park, false);
    for (int i = 0; i < 3; i++) koe_sched_wake(s, &held[i].job);
    koe_sched_destroy(s);
}

/* Who holds more than its share is refused while somebody who holds nothing waits for the place, which then is free for that one. */
static void test_claims(void **state)
{
    (void)state;
    int retry_s;
    atomic_bool park = true;
    koe_sched *s = new_sched(1, 4);
    noted held[5], more = { .job = { .turn = note, .owner = 1 }, .left = 1 };
    for (int i = 0; i < 4; i++) {
        held[i] = (noted){ .job = { .turn = note, .owner = 1, .batch = i % 2 }, .name = 'h', .left = 1, .park = &park };
        assert_int_equal(add(s, &held[i], &retry_s), KOE_OK); /* alone it has the whole machine */
    }
    held[4] = (noted){ .job = { .turn = note, .owner = 2 }, .name = 'o', .left = 1, .park = &park };
    double least_ms = 1e9; /* of some: the machine may be busy */
    for (int i = 0; i < 50 && least_ms >= 20; i++) {
        const double start_ms = koe_clock_ms();
        assert_int_equal(add(s, &held[4], &retry_s), KOE_E_FULL);
        least_ms = fmin(least_ms, koe_clock_ms() - start_ms);
    }
    assert_true(least_ms < 20);
    while (koe_sched_get_load(s).n_parked < 4) pause_ms(1);
    atomic_store(&park, false);
    koe_sched_wake(s, &held[0].job);
    while (koe_sched_get_load(s).n_streams == 2) pause_ms(1);
    atomic_store(&park, true);
    assert_int_equal(add(s, &more, &retry_s), KOE_E_FULL); /* the free place is not its */
    assert_int_equal(add(s, &held[4], &retry_s), KOE_OK);
    while (koe_sched_get_load(s).n_parked < 4) pause_ms(1);
    atomic_store(&park, false);
    for (int i = 1; i < 5; i++) koe_sched_wake(s, &held[i].job);
    koe_sched_destroy(s);
    assert_int_equal(atomic_load(&n_order), 5);
}

/* Woken before, while or after it parks: a job always goes on, once. */
static void test_park_and_wake(void **state)
{
    (void)state;
    int retry_s;
    koe_sched *s = new_sched(2, 100);
    for (int i = 0; i < 100; i++) {
        atomic_bool park = true;
        noted n = { .job = { .turn = note }, .name = 'n', .left = 1, .park = &park };
        atomic_store(&n_order, 0);
        assert_int_equal(add(s, &n, &retry_s), KOE_OK);
        if (i % 2) pause_ms(0.2 * (i % 5));
        atomic_store(&park, false);
        koe_sched_wake(s, &n.job);
        while (koe_sched_get_load(s).n_streams) pause_ms(1);
        assert_int_equal(atomic_load(&n_order), 1);
        assert_int_equal(koe_sched_get_load(s).n_parked, 0);
    }
    koe_sched_destroy(s);
}

/* A stream that costs more than half of the machine leaves no room for a second one; batch work may wait. */
static void test_admission(void **state)
{
    (void)state;
    int retry_s = 0;
    atomic_bool park = true;
    koe_sched *s = new_sched(1, 3);
    noted costly = { .job = { .turn = note }, .name = 'c', .left = 1, .work_ms = 200, .audio_s = 0.25 };
    noted idle = { .job = { .turn = note }, .name = 'i', .left = 1, .park = &park };
    noted more = { .job = { .turn = note }, .name = 'm', .left = 1 };
    noted batch[2] = { { .job = { .turn = note, .batch = true }, .left = 1, .park = &park }, { .job = { .turn = note, .batch = true }, .left = 1, .park = &park } };
    assert_int_equal(add(s, &costly, &retry_s), KOE_OK);
    while (koe_sched_get_load(s).n_streams) pause_ms(1);
    assert_true(koe_sched_get_load(s).core_s_per_audio_s > 0.7);
    assert_int_equal(add(s, &idle, &retry_s), KOE_OK); /* alone, it is let in at any cost */
    assert_int_equal(add(s, &more, &retry_s), KOE_E_FULL);
    assert_in_range(retry_s, 1, (int)(6 * koe_sched_get_load(s).core_s_per_audio_s) + 1); /* the other is taken for six seconds */
    assert_int_equal(add(s, &batch[0], &retry_s), KOE_OK);
    assert_int_equal(add(s, &batch[1], &retry_s), KOE_OK);
    assert_int_equal(koe_sched_add(s, &(koe_job){ .turn = note, .batch = true }, &retry_s, NULL), KOE_E_FULL); /* three are enough */
    while (koe_sched_get_load(s).n_parked < 3) pause_ms(1);
    atomic_store(&park, false);
    koe_sched_wake(s, &idle.job);
    koe_sched_wake(s, &batch[0].job);
    koe_sched_wake(s, &batch[1].job);
    koe_sched_destroy(s);
    assert_int_equal(atomic_load(&n_order), 4);
}

/* What a turn was told, and what it had in hand when it asked. */
typedef struct beginning {
    noted n;
    koe_sched *sched;
    double in_hand_s;
    bool may;
} beginning;

static koe_turn ask(koe_job *j, double *audio_s)
{
    beginning *b = (beginning *)(void *)j;
    b->may = koe_sched_may_begin(b->sched, b->in_hand_s);
    return note(j, audio_s);
}

static bool may_begin(koe_sched *s, double in_hand_s)
{
    int retry_s;
    beginning b = { .n = { .job = { .turn = ask }, .name = '?', .left = 1 }, .sched = s, .in_hand_s = in_hand_s };
    const size_t before = koe_sched_get_load(s).n_streams;
    assert_int_equal(add(s, &b.n, &retry_s), KOE_OK);
    while (koe_sched_get_load(s).n_streams > before) pause_ms(1);
    return b.may;
}

/* Who speaks alone may begin with next to nothing in hand; beside others with what lasts until their turns and its next one are done. */
static void test_may_begin(void **state)
{
    (void)state;
    int retry_s;
    koe_sched *s = new_sched(2, 100);
    noted first = { .job = { .turn = note }, .name = 'a', .left = 1, .work_ms = 50, .audio_s = 60 }; /* cheap on any machine: the next are let in */
    assert_int_equal(add(s, &first, &retry_s), KOE_OK);
    while (koe_sched_get_load(s).n_streams) pause_ms(1);
    const double turn_s = koe_sched_get_load(s).turn_s;
    assert_true(turn_s >= 0.05);
    assert_true(may_begin(s, 0.01));
    atomic_bool park = true;
    noted batch = { .job = { .turn = note, .batch = true }, .name = 'b', .left = 1, .park = &park };
    assert_int_equal(add(s, &batch, &retry_s), KOE_OK);
    assert_false(may_begin(s, 0.01));
    assert_false(may_begin(s, turn_s));
    assert_true(may_begin(s, 2 * turn_s));
    while (koe_sched_get_load(s).n_parked < 1) pause_ms(1);
    atomic_store(&park, false);
    koe_sched_wake(s, &batch.job);
    koe_sched_destroy(s);
}

/* A stream that has not begun goes before one that is heard, unless that one would fall silent. */
static void test_slack(void **state)
{
    (void)state;
    for (int tight = 0; tight < 2; tight++) {
        int retry_s;
        koe_sched *s = new_sched(1, 100);
        noted known = { .job = { .turn = note }, .name = 'k', .left = 1, .work_ms = 20, .audio_s = 60 };
        assert_int_equal(add(s, &known, &retry_s), KOE_OK);
        while (koe_sched_get_load(s).n_streams) pause_ms(1);
        const double turn_ms = 1000 * koe_sched_get_load(s).turn_s, now_ms = koe_clock_ms();
        atomic_bool gate = false;
        noted hold = { .job = { .turn = note }, .name = '-', .left = 1, .gate = &gate };
        noted heard = { .job = { .turn = note, .begun = true, .deadline_ms = now_ms + (tight ? 2 : 1000) * turn_ms }, .name = 'h', .left = 1 };
        noted fresh = { .job = { .turn = note, .deadline_ms = now_ms }, .name = 'f', .left = 1 };
        assert_int_equal(add(s, &hold, &retry_s), KOE_OK);
        while (atomic_load(&n_order) < 2) pause_ms(1);
        assert_int_equal(add(s, &heard, &retry_s), KOE_OK);
        assert_int_equal(add(s, &fresh, &retry_s), KOE_OK);
        atomic_store(&gate, true);
        koe_sched_destroy(s);
        assert_string_equal(order, tight ? "k-hf" : "k-fh");
    }
}

/* A stream alone has all cores: nothing starts beside it while it has little in hand. */
static void test_nothing_beside(void **state)
{
    (void)state;
    int retry_s;
    atomic_bool gate = false;
    koe_sched *s = new_sched(2, 100);
    noted heard = { .job = { .turn = note, .begun = true, .deadline_ms = koe_clock_ms() + 100 }, .name = 'h', .left = 2, .gate = &gate, .step_ms = 60e3 };
    noted fresh = { .job = { .turn = note }, .name = 'f', .left = 1 };
    assert_int_equal(add(s, &heard, &retry_s), KOE_OK);
    while (atomic_load(&n_order) == 0) pause_ms(1);
    assert_int_equal(add(s, &fresh, &retry_s), KOE_OK);
    pause_ms(20);
    assert_int_equal(atomic_load(&n_order), 1);
    atomic_store(&gate, true);
    koe_sched_destroy(s);
    assert_int_equal(strlen(order), 3);
    assert_int_equal(order[0], 'h');
}

static void test_rounds(void **state)
{
    (void)state;
    assert_true(koe_slack_holds((double[]){ 0 }, 1, NULL, 0, 1));
    assert_true(koe_slack_holds((double[]){ 0, 0.5 }, 2, (double[]){ 2.5, 1.5, 1, 2 }, 4, 1)); /* 1, 1.5, 2, 2.5 */
    assert_false(koe_slack_holds((double[]){ 0, 0.5 }, 2, (double[]){ 2.4, 1.5, 1, 2 }, 4, 1));
    assert_false(koe_slack_holds((double[]){ 0.1 }, 1, (double[]){ 1 }, 1, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_order), cmocka_unit_test(test_owners_take_turns), cmocka_unit_test(test_due_before_fair), cmocka_unit_test(test_retry), cmocka_unit_test(test_claims),
                                        cmocka_unit_test(test_park_and_wake), cmocka_unit_test(test_admission), cmocka_unit_test(test_may_begin),
                                        cmocka_unit_test(test_slack), cmocka_unit_test(test_nothing_beside), cmocka_unit_test(test_rounds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
