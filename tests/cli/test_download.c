/* test_download.c - koe_download() against a server that redirects, breaks off, refuses to resume, fails for a while, and lies.
 */
#include "cli/download.h"
#include "http_server.h"

enum { N = 300000 };
static char body[N], other[N];
static char sum[KOE_DIGEST_TEXT];

/* The state of each test: a folder, and a server of one page with the right file. */
typedef struct fixture {
    char *folder, *path, *part, *base;
    http_server server;
    page page[2];
    koe_remote remote;
    koe_download_options options;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->folder = new_folder();
    f->path = koe_path_join(f->folder, "sub/file.bin");
    f->part = koe_path_join(f->folder, "sub/file.bin.part");
    f->page[0] = (page){ .path = "/example.org/file.bin", .body = body, .n = N };
    f->page[1] = (page){ .path = "/elsewhere/file.bin", .body = body, .n = N };
    server_start(&f->server, f->page, 2);
    f->base = malloc(64);
    assert_non_null(f->base);
    snprintf(f->base, 64, "http://127.0.0.1:%d/", f->server.port);
    f->remote = (koe_remote){ "https://example.org/file.bin", N, sum, NULL };
    f->options = (koe_download_options){ .base = f->base, .connect_timeout_s = 5, .retries = 0, .retry_ms = 1 };
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    server_stop(&f->server);
    remove_folder(f->folder);
    free(f->path);
    free(f->part);
    free(f->base);
    free(f);
    return 0;
}

static void expect_file(const fixture *f, const char *want)
{
    koe_buf b = { 0 };
    assert_int_equal(koe_file_read(&b, f->path, N + 1, NULL), KOE_OK);
    assert_int_equal(b.n, N);
    assert_memory_equal(b.data, want, N);
    koe_buf_free(&b);
    assert_false(koe_file_exists(f->part));
}

static void expect_downloads(const fixture *f, koe_download_result want)
{
    koe_error err = { 0 };
    koe_download_result got;
    if (koe_download(&got, &f->remote, f->path, &f->options, &err) != KOE_OK) fail_msg("%s", err.message);
    assert_int_equal(got, want);
    expect_file(f, body);
}

static void expect_fails(const fixture *f, koe_status status, const char *says)
{
    koe_error err = { 0 };
    koe_download_result got;
    const koe_status st = koe_download(&got, &f->remote, f->path, &f->options, &err);
    if (st != status || !strstr(err.message, says)) fail_msg("status %d: %s; wanted %d: %s", st, err.message, status, says);
    assert_false(koe_file_exists(f->path));
}

static void whole(void **state)
{
    fixture *f = *state;
    expect_downloads(f, KOE_DOWNLOADED);
    assert_int_equal(f->server.n_requests, 1);
    expect_downloads(f, KOE_DOWNLOAD_WAS_HERE);
    assert_int_equal(f->server.n_requests, 1);
    assert_int_equal(koe_file_write_atomic(f->path, "damaged", 7, NULL), KOE_OK);
    expect_downloads(f, KOE_DOWNLOADED);
}

static void without_length(void **state)
{
    fixture *f = *state;
    f->page[0].no_length = true;
    expect_downloads(f, KOE_DOWNLOADED);
}

static void redirected(void **state)
{
    fixture *f = *state;
    char where[128];
    snprintf(where, sizeof where, "http://127.0.0.1:%d/elsewhere/file.bin", f->server.port);
    f->page[0].redirect = where;
    expect_downloads(f, KOE_DOWNLOADED);
    assert_int_equal(f->server.n_requests, 2);
    assert_int_equal(remove(f->path), 0);
    f->page[0].redirect = "/example.org/file.bin"; /* around and around */
    expect_fails(f, KOE_E_IO, "redirect");
    f->page[0].redirect = "file:///etc/passwd";
    expect_fails(f, KOE_E_IO, "failed");
}

/* A connection that breaks off: retried and resumed at once, or resumed by the next pull. */
static void broken_off(void **state)
{
    fixture *f = *state;
    f->page[0].n_cut = 3;
    f->options.retries = 1;
    expect_downloads(f, KOE_DOWNLOADED);
    assert_int_equal(f->server.n_requests, 4);
    assert_int_equal(f->server.n_ranges, 3);
    assert_int_equal(remove(f->path), 0);
    f->page[0].n_cut = 1;
    f->page[0].no_length = true; /* then only the known size tells that something is missing */
    f->options.retries = 0;
    expect_fails(f, KOE_E_IO, "broke off after 150000 bytes");
    assert_true(koe_file_exists(f->part));
    expect_downloads(f, KOE_DOWNLOADED);
    assert_int_equal(f->server.n_ranges, 4);
}

static void resume_refused(void **state)
{
    fixture *f = *state;
    f->page[0].n_cut = 1;
    expect_fails(f, KOE_E_IO, "broke off");
    f->page[0].no_range = true;
    expect_downloads(f, KOE_DOWNLOADED);
}

/* A part that belongs to another file, or is longer than the file. */
static void foreign_part(void **state)
{
    fixture *f = *state;
    assert_int_equal(koe_file_make_dirs(f->folder, NULL), KOE_OK);
    f->page[0].n_cut = 1;
    expect_fails(f, KOE_E_IO, "broke off");
    assert_int_equal(koe_file_write_atomic(f->part, other, N / 3, NULL), KOE_OK);
    expect_downloads(f, KOE_DOWNLOADED);
    assert_int_equal(remove(f->path), 0);
    koe_buf longer = { 0 };
    koe_buf_add(&longer, body, N);
    koe_buf_adds(&longer, "more");
    assert_int_equal(koe_file_write_atomic(f->part, longer.data, longer.n, NULL), KOE_OK);
    koe_buf_free(&longer);
    expect_downloads(f, KOE_DOWNLOADED);
}

static void wrong_content(void **state)
{
    fixture *f = *state;
    f->page[0].body = other;
    expect_fails(f, KOE_E_FORMAT, "its sha256 is");
    assert_false(koe_file_exists(f->part));
    f->remote.sha256 = NULL;
    f->remote.md5 = "00000000000000000000000000000000";
    expect_fails(f, KOE_E_FORMAT, "its md5 is");
    f->page[0].body = body;
    f->remote = (koe_remote){ "https://example.org/file.bin", N - 1, sum, NULL };
    expect_fails(f, KOE_E_FORMAT, "longer than the published file");
    f->remote.n_bytes = N + 1;
    expect_fails(f, KOE_E_IO, "broke off");
}

static void failing_server(void **state)
{
    fixture *f = *state;
    f->page[0].n_failing = 2;
    expect_fails(f, KOE_E_IO, "503");
    f->options.retries = 1;
    f->page[0].n_failing = 1;
    expect_downloads(f, KOE_DOWNLOADED);
    assert_int_equal(remove(f->path), 0);
    f->page[0].status = 404;
    expect_fails(f, KOE_E_NOT_FOUND, "404 (no such file)");
    f->page[0].status = 403;
    expect_fails(f, KOE_E_IO, "403");
}

/* Nobody listens: the message says what to put where. */
static void offline(void **state)
{
    fixture *f = *state;
    char want[600];
    f->options.base = "http://127.0.0.1:1";
    snprintf(want, sizeof want, "get https://example.org/file.bin (%d bytes, sha256 %s) on another machine and put it at %s", N,
             sum, f->path);
    expect_fails(f, KOE_E_IO, want);
}

/* Where no checksum is published the first download's is kept. */
static void pinned(void **state)
{
    fixture *f = *state;
    f->remote = (koe_remote){ "https://example.org/file.bin", 0, NULL, NULL };
    expect_downloads(f, KOE_DOWNLOADED);
    expect_downloads(f, KOE_DOWNLOAD_WAS_HERE);
    assert_int_equal(f->server.n_requests, 1);
    assert_int_equal(remove(f->path), 0);
    f->page[0].body = other;
    expect_fails(f, KOE_E_FORMAT, "its sha256 is");
}

static void disk(void **state)
{
    fixture *f = *state;
    write_file(f->folder, "sub", "a file where a folder should be", 5);
    expect_fails(f, KOE_E_IO, "sub");
}

int main(void)
{
    for (size_t i = 0; i < N; i++) body[i] = (char)(i * i >> 7), other[i] = (char)(i * 3 >> 5);
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    koe_digest_add(&d, body, N);
    koe_digest_text(&d, sum);
#define DOWNLOAD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        DOWNLOAD_TEST(whole),          DOWNLOAD_TEST(without_length), DOWNLOAD_TEST(redirected),    DOWNLOAD_TEST(broken_off),
        DOWNLOAD_TEST(resume_refused), DOWNLOAD_TEST(foreign_part),   DOWNLOAD_TEST(wrong_content), DOWNLOAD_TEST(failing_server),
        DOWNLOAD_TEST(offline),        DOWNLOAD_TEST(pinned),         DOWNLOAD_TEST(disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
