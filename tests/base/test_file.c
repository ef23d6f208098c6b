/* Files that take a place as a whole, and folders made for them. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static char folder[] = "/tmp/koe-file-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void expect_content(const char *path, const char *text)
{
    koe_buf b = { 0 };
    assert_int_equal(koe_file_read(&b, path, 1000, NULL), KOE_OK);
    assert_string_equal(b.data, text);
    koe_buf_free(&b);
}

static size_t files_there(void)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Two writers of one file: each is seen whole, in the order in which they end; one that gives up is not seen. */
static void test_drafts(void **state)
{
    (void)state;
    const char *path = in_folder("text");
    koe_error err = { 0 };
    koe_file_draft a, b, c;
    assert_int_equal(koe_file_begin(&a, path, &err), KOE_OK);
    assert_int_equal(koe_file_begin(&b, path, &err), KOE_OK);
    assert_int_equal(koe_file_begin(&c, path, &err), KOE_OK);
    assert_false(koe_file_exists(path));
    assert_int_equal(koe_file_end(&a, koe_write_all(a.fd, "one", 3), &err), KOE_OK);
    expect_content(path, "one");
    assert_int_equal(koe_file_end(&b, koe_write_all(b.fd, "two, which is longer", 20), &err), KOE_OK);
    expect_content(path, "two, which is longer");
    assert_int_equal(koe_file_end(&c, koe_write_all(-1, "three", 5), &err), KOE_E_IO);
    assert_non_null(strstr(err.message, "Bad file descriptor"));
    expect_content(path, "two, which is longer");
    assert_int_equal(files_there(), 1);
    unlink(path);
}

static void test_whole_or_not_there(void **state)
{
    (void)state;
    koe_error err = { 0 };
    struct stat s;
    const mode_t before = umask(027);
    assert_int_equal(koe_file_write_atomic(in_folder("a/b"), "x", 1, &err), KOE_E_NOT_FOUND);
    assert_int_equal(koe_file_make_parent(in_folder("a/b"), &err), KOE_OK);
    assert_int_equal(koe_file_make_parent("file_of_this_folder", &err), KOE_OK);
    assert_int_equal(koe_file_write_atomic(in_folder("a/b"), "x", 1, &err), KOE_OK);
    assert_int_equal(stat(in_folder("a/b"), &s), 0);
    assert_int_equal(s.st_mode & 0777, 0640);
    assert_int_equal(koe_file_write_atomic(in_folder("a"), "x", 1, &err), KOE_E_IO); /* a folder stays one */
    assert_int_equal(files_there(), 1);
    expect_content(in_folder("a/b"), "x");
    umask(before);
    unlink(in_folder("a/b"));
    rmdir(in_folder("a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_drafts), cmocka_unit_test(test_whole_or_not_there) };
    if (!mkdtemp(folder)) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
