/* Requests in the shape that other people's clients send them (tests/data/clients/): each gets what its first line expects, whole. */
#include <glob.h>

#include "server.h"

#include "../voice/home.h"

static server s;

static int up(void **state)
{
    (void)state;
    make_home("kokoro_float.onnx");
    write_pack("kokoro/voices/af_sky.bin", 0.25f);
    start_server_at(&s, home, NULL);
    return 0;
}
static int down(void **state)
{
    (void)state;
    end_server(&s);
    remove_home();
    return 0;
}

/* The file's request with the length of its body. */
static void send_file(int fd, const char *text)
{
    const char *head = strchr(text, '\n') + 1, *body = strstr(head, "\n\n");
    assert_non_null(body);
    koe_buf b = { 0 };
    for (const char *p = head; p < body; p += strcspn(p, "\n") + 1) koe_buf_printf(&b, "%.*s\r\n", (int)strcspn(p, "\n"), p);
    body += 2;
    const size_t n = strcspn(body, "\n");
    if (n) koe_buf_printf(&b, "Content-Length: %zu\r\n", n);
    koe_buf_printf(&b, "\r\n%.*s", (int)n, body);
    assert_true(send_all(fd, b.data, b.n));
    koe_buf_free(&b);
}

static void check_file(const char *path)
{
    koe_buf text = { 0 };
    assert_int_equal(koe_file_read(&text, path, 1 << 16, NULL), KOE_OK);
    koe_buf_addc(&text, '\n');
    int status = 0;
    char type[64] = "", inside[64] = "";
    char first[256];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(text.data, "\n"), text.data);
    const char *expect = strstr(first, "expect: ");
    assert_non_null(expect);
    assert_true(sscanf(expect, "expect: %d %63[^ \n] \"%63[^\"]\"", &status, type, inside) >= 1);
    const int fd = dial(&s);
    send_file(fd, text.data);
    reply r;
    read_reply(fd, &r, strstr(text.data, "\nHEAD ") != NULL);
    if (r.status != status || !r.whole) fail_msg("%s: %d%s\n%s%.300s", path, r.status, r.whole ? "" : ", cut off", r.head, r.body.data ? r.body.data : "");
    if (*type && (!header(&r, "Content-Type") || strncmp(header(&r, "Content-Type"), type, strlen(type)) != 0)) fail_msg("%s: %s", path, r.head);
    if (strncmp(type, "audio/", 6) == 0) assert_true(r.body.n > 2000);
    const bool zipped = header(&r, "Content-Encoding") != NULL;
    if (*inside && !zipped && !strstr(r.body.data, inside)) fail_msg("%s: no \"%s\" in %.300s", path, inside, r.body.data);
    reply_free(&r);
    koe_buf_free(&text);
    close(fd);
}

static void test_clients(void **state)
{
    (void)state;
    glob_t g;
    char *pattern = koe_path_join(getenv("KOE_TEST_DATA"), "clients/*.http");
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    assert_true(g.gl_pathc >= 10);
    for (size_t i = 0; i < g.gl_pathc; i++) check_file(g.gl_pathv[i]);
    globfree(&g);
    free(pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_clients) };
    return cmocka_run_group_tests(tests, up, down);
}
