/* test_pull.c - koe pull as a whole, from a mirror on this machine ($KOE_PULL_BASE). */
#include "base/digest.h"
#include "http_server.h"

#define PIPER "/huggingface.co/rhasspy/piper-voices/resolve/main/"
#define LESSAC "en/en_US/lessac/medium/en_US-lessac-medium.onnx"

static char *home;
static http_server server;
static page pages[8];

static int set_up(void **state)
{
    (void)state;
    char base[64];
    home = new_folder();
    server_start(&server, pages, 8);
    snprintf(base, sizeof base, "http://127.0.0.1:%d", server.port);
    setenv("KOE_HOME", home, 1);
    setenv("KOE_PULL_BASE", base, 1);
    setenv("KOE_RETRIES", "0", 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_stop(&server);
    for (size_t i = 0; i < 8; i++) pages[i] = (page){ .path = "" };
    unsetenv("KOE_HOME");
    unsetenv("KOE_PULL_BASE");
    unsetenv("KOE_RETRIES");
    remove_folder(home);
    return 0;
}

static void expect_home_file(const char *name, const char *want)
{
    koe_buf b = { 0 };
    char *path = koe_path_join(home, name);
    assert_int_equal(koe_file_read(&b, path, 1 << 20, NULL), KOE_OK);
    assert_string_equal(b.data, want);
    koe_buf_free(&b);
    free(path);
}

static void a_piper_voice(void **state)
{
    (void)state;
    static const char model[] = "not really a model, but its md5 is right", config[] = "{}";
    char index[1024], model_md5[KOE_DIGEST_TEXT], config_md5[KOE_DIGEST_TEXT];
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_MD5);
    koe_digest_add(&d, model, strlen(model));
    koe_digest_text(&d, model_md5);
    koe_digest_init(&d, KOE_DIGEST_MD5);
    koe_digest_add(&d, config, strlen(config));
    koe_digest_text(&d, config_md5);
    snprintf(
        index, sizeof index,
        "{\"en_US-lessac-medium\": {\"files\": {\"" LESSAC "\": {\"size_bytes\": %zu, \"md5_digest\": \"%s\"}, \"" LESSAC
        ".json\": {\"size_bytes\": %zu, \"md5_digest\": \"%s\"}, \"en/MODEL_CARD\": {}}}, \"en_US-amy-low\": {\"files\": {}}}",
        strlen(model), model_md5, strlen(config), config_md5);
    pages[0] = (page){ .path = PIPER "voices.json", .body = index, .n = strlen(index) };
    pages[1] = (page){ .path = PIPER LESSAC, .body = model, .n = strlen(model) };
    pages[2] = (page){ .path = PIPER LESSAC ".json", .body = config, .n = strlen(config) };
    expect(run_koe("pull", "piper:en_US-lessac-medium"), 0, NULL, NULL);
    expect_home_file("piper/en_US-lessac-medium.onnx", model);
    expect_home_file("piper/en_US-lessac-medium.onnx.json", config);
    expect(run_koe("pull", "piper:en_US-lessac-medium"), 0, NULL, "it is here already");
    expect(run_koe("pull", "piper:en_US-lessac-high"), 1, NULL, "no voice 'en_US-lessac-high'; it has en_US-lessac-medium");
    expect(run_koe("pull", "piper:en_US-amy-low"), 1, NULL, "no size and md5");
    expect_error(run_koe("pull", "piper:../../etc/passwd"), 1, "not the name of a voice");
    expect_error(run_koe("pull", "piper:"), 1, "not the name of a voice");
    pages[0].body = "<html>", pages[0].n = 6;
    expect(run_koe("pull", "piper:en_US-lessac-medium"), 1, NULL, "not a list of voices");
}

/* The right address with the wrong bytes: nothing is installed. */
static void not_the_published_model(void **state)
{
    (void)state;
    pages[0] = (page){ .path = "/github.com/thewh1teagle/kokoro-onnx/releases/download/model-files-v1.0/kokoro-v1.0.onnx",
                       .body = "hello",
                       .n = 5 };
    expect(run_koe("pull", "kokoro"), 1, NULL, "broke off after 5 bytes");
    pages[0].path = "/github.com/thewh1teagle/kokoro-onnx/releases/download/model-files-v1.0/kokoro-v1.0.fp16.onnx";
    expect(run_koe("pull", "kokoro-fp16"), 1, NULL, "model.onnx");
    char *path = koe_path_join(home, "kokoro/model.onnx");
    assert_false(koe_file_exists(path));
    free(path);
    expect(run_koe("pull", "kokoro-int8"), 1, NULL, "404");
}

static void the_dictionaries(void **state)
{
    (void)state;
    static const char *const files[] = { "us_gold.json", "us_silver.json", "gb_gold.json", "gb_silver.json", "ja/ja_words.txt" };
    const char *shared = getenv("KOE_SHARED");
    char paths[5][200];
    koe_buf b[5] = { 0 };
    for (size_t i = 0; i < 5; i++) {
        char file[4096];
        const char *base = strrchr(files[i], '/') ? strrchr(files[i], '/') + 1 : files[i];
        snprintf(file, sizeof file, "%s/lexicon/%s", shared ? shared : "", files[i]);
        if (koe_file_read(&b[i], file, 1 << 24, NULL) != KOE_OK) {
            print_message("skipped: there are no dictionaries in $KOE_SHARED\n");
            skip();
        }
        snprintf(paths[i], sizeof paths[i], "/raw.githubusercontent.com/hexgrad/misaki/main/misaki/data/%s", base);
        pages[i] = (page){ .path = paths[i], .body = b[i].data, .n = b[i].n };
    }
    expect(run_koe("pull", "lexicon"), 0, NULL, NULL);
    expect(run_koe("config", "--check"), 0, "dictionaries     installed", NULL);
    for (size_t i = 0; i < 5; i++) koe_buf_free(&b[i]);
}

static void lists(void **state)
{
    (void)state;
    expect(run_koe("pull", "--list", "kokoro"), 0, "7d5df8ecf7d4b1878015a32686053fd0eebe2bc377234608764cc0ef3636a6c5", NULL);
    assert_int_equal(server.n_requests, 0);
    setenv("KOE_PULL_BASE", "http://127.0.0.1:1", 1);
    expect(run_koe("pull", "kokoro"), 1, NULL, "on another machine and put it at");
}

int main(void)
{
    for (size_t i = 0; i < 8; i++) pages[i] = (page){ .path = "" };
#define PULL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = { PULL_TEST(a_piper_voice), PULL_TEST(not_the_published_model), PULL_TEST(the_dictionaries),
                                        PULL_TEST(lists) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
