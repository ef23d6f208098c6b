/* models.h - one server with the small networks of tests/data/voice, for the tests of a file. */
#ifndef TESTS_SERVER_MODELS_H
#define TESTS_SERVER_MODELS_H
#include "server.h"

#include "../voice/home.h"

static server s;

static inline int up(void **state)
{
    (void)state;
    make_home("kokoro_int.onnx");
    start_server_at(&s, home, NULL);
    return 0;
}

static inline int down(void **state)
{
    (void)state;
    end_server(&s);
    remove_home();
    return 0;
}

static inline void expect_spoken(const char *body, const char *voice, const char *engine, const char *warning)
{
    reply r = speak(&s, body);
    if (r.status != 200) fail_msg("%s: %s", body, r.body.data);
    assert_string_equal(header(&r, "X-Koe-Voice"), voice);
    assert_string_equal(header(&r, "X-Koe-Engine"), engine);
    const char *said = header(&r, "X-Koe-Warning");
    if (!said != !warning || (said && warning && !strstr(said, warning))) fail_msg("%s: warning '%s'", body, said ? said : "none");
    assert_true(r.whole && r.body.n > 1000);
    reply_free(&r);
}

static inline void again(const char *const *options)
{
    end_server(&s);
    start_server_in(&s, home, options);
}

/* Waits until the answer has this piece. */
static inline void expect_soon(const char *path, const char *piece)
{
    bool there = false;
    WAIT_UNTIL(there = says(&s, path, piece)) {}
    if (!there) fail_msg("%s never says %s", path, piece);
}
#endif
