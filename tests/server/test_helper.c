/* The espeak-ng helper is killed while requests run. */
#include <pthread.h>

#include "children.h"

#include "../voice/home.h"

typedef struct killer {
    const server *server;
    atomic_bool stop;
    int n;
} killer;

static void *kill_often(void *arg)
{
    killer *k = arg;
    for (unsigned i = 0; !atomic_load(&k->stop); i++) {
        k->n += signal_children(k->server, SIGKILL);
        pause_ms((int)(1 + i * 97 % 307));
    }
    return NULL;
}

/* The espeak-ng helper dies at any moment, again and again, while it starts, reads or speaks: an answer is what it is without that, or says
 * that it cannot be made. */
static void test_helper_killed(void **state)
{
    (void)state;
    enum { ROUNDS = 30 };
    server s, calm;
    pthread_t thread;
    int n_right = 0;
    make_home("kokoro_pieces.onnx");
    start_server_in(&s, home, (const char *const[]){ "--access-log", "off", "--cache-memory", "0", NULL });
    start_server_in(&calm, home, (const char *const[]){ "--access-log", "off", NULL });
    killer k = { .server = &s };
    if (signal_children(&s, SIGKILL) == 0) skip(); /* a kernel without the list of children */
    assert_int_equal(pthread_create(&thread, NULL, kill_often, &k), 0);
    for (int i = 0; i < ROUNDS; i++) {
        static const char *const ways[] = { "\"voice\": \"builtin\"", "\"lang\": \"fr\"", "\"lang\": \"en-gb\"", "\"voice\": \"builtin\", \"lang\": \"de\"" };
        char body[300];
        snprintf(body, sizeof body, "{\"input\": \"Plomp brindle %d, vax querl.\", \"response_format\": \"pcm\", \"stream\": %s, %s}", i, i % 3 ? "true" : "false",
                 ways[i % 4]);
        reply got = speak(&s, body), right = speak(&calm, body);
        assert_true(right.status == 200 && right.whole);
        if (got.status == 200 && got.whole) {
            if (!same_body(&got, &right)) fail_msg("round %d: %zu bytes, not %zu: %s", i, got.body.n, right.body.n, body);
            n_right++;
        } else if (got.status != 200 && got.status < 500) {
            fail_msg("round %d: %d %s", i, got.status, got.body.data);
        }
        reply_free(&got);
        reply_free(&right);
    }
    atomic_store(&k.stop, true);
    pthread_join(thread, NULL);
    if (k.n < 2 || n_right < ROUNDS / 2) fail_msg("killed %d times, %d of %d right", k.n, n_right, ROUNDS);
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
