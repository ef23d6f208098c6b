/* The espeak-ng helper is killed while requests run. */
#include <pthread.h>

#include "children.h"

#include "../voice/home.h"

typedef struct killer {
    const server *server;
    atomic_bool stop;
    atomic_int left; /* so many more are killed */
    atomic_int within_ms; /* at moments that are so far apart at most */
    int n;
} killer;

static void *kill_often(void *arg)
{
    killer *k = arg;
    for (unsigned i = 0; !atomic_load(&k->stop); i++) {
        if (atomic_load(&k->left) > 0) {
            const int n = signal_children(k->server, SIGKILL);
            k->n += n;
            atomic_fetch_sub(&k->left, n);
        }
        pause_ms(1 + (int)(i * 97 % 307) * atomic_load(&k->within_ms) / 307);
    }
    return NULL;
}

/* The espeak-ng helper dies at any moment, again and again, while it starts, reads or speaks: an answer is what it is without that. Where
 * there is no end of it, it may also say that it cannot be made. */
static void test_helper_killed(void **state)
{
    (void)state;
    enum { ROUNDS = 48 };
    server s, calm;
    pthread_t thread;
    make_home("kokoro_pieces.onnx");
    start_server_in(&s, home, (const char *const[]){ "--access-log", "off", "--cache-memory", "0", NULL });
    start_server_in(&calm, home, (const char *const[]){ "--access-log", "off", NULL });
    killer k = { .server = &s };
    expect_reply(speak(&s, "{\"input\": \"Hi.\", \"voice\": \"builtin\"}"), 200, NULL); /* starts it */
    if (signal_children(&s, SIGKILL) == 0) skip(); /* a kernel without the list of children */
    assert_int_equal(pthread_create(&thread, NULL, kill_often, &k), 0);
    for (int i = 0; i < ROUNDS; i++) {
        static const char *const ways[] = { "\"voice\": \"builtin\"", "\"lang\": \"fr\"", "\"lang\": \"en-gb\"", "\"voice\": \"builtin\", \"lang\": \"de\"" };
        char body[300];
        snprintf(body, sizeof body, "{\"input\": \"Plomp brindle %d, vax querl.\", \"response_format\": \"pcm\", \"stream\": %s, %s}", i, i % 3 ? "true" : "false",
                 ways[i % 4]);
        static const int kills[] = { 0, 1, 5, 1000 }; /* each call bears seven */
        const int n_kills = kills[i / 4 % 4];
        reply right = speak(&calm, body);
        assert_true(right.status == 200 && right.whole);
        atomic_store(&k.within_ms, 1 + (int)right.all_ms);
        atomic_store(&k.left, n_kills);
        reply got = speak(&s, body);
        atomic_store(&k.left, 0);
        if (got.status == 200 && got.whole) {
            if (!same_body(&got, &right)) fail_msg("round %d: %zu bytes, not %zu: %s", i, got.body.n, right.body.n, body);
        } else if (n_kills < 1000 || (got.status != 200 && got.status < 500)) {
            fail_msg("round %d, killed %d times: %d %s", i, n_kills, got.status, got.body.data);
        }
        reply_free(&got);
        reply_free(&right);
    }
    atomic_store(&k.stop, true);
    pthread_join(thread, NULL);
    if (k.n < ROUNDS / 4) fail_msg("killed only %d times", k.n);
    expect_reply(speak(&s, "{\"input\": \"All is well.\", \"voice\": \"builtin\"}"), 200, NULL);
    kill(s.pid, SIGTERM);
    kill(calm.pid, SIGTERM);
    assert_int_equal(wait_server(&s), 0);
    assert_int_equal(wait_server(&calm), 0);
    remove_home();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_helper_killed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
