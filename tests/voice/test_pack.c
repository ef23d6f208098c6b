/* Voice packs in every format; what is damaged, hostile or no pack at all is one clear error. Cases: fuzz/make_corpus.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "voice/pack.h"

static char *corpus(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/../../fuzz/corpus/%s", getenv("KOE_TEST_DATA"), name);
    return path;
}

static void check_pack(const koe_pack *p, size_t n_rows, double tolerance)
{
    assert_int_equal(p->n_rows, n_rows);
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < KOE_STYLE_DIM; c++)
            assert_float_equal(p->row[r * KOE_STYLE_DIM + c], (float)r + (float)c / 256, (float)tolerance);
    assert_ptr_equal(koe_pack_style(p, 0), p->row);
    assert_ptr_equal(koe_pack_style(p, 1), p->row);
    assert_ptr_equal(koe_pack_style(p, n_rows), p->row + (n_rows - 1) * KOE_STYLE_DIM);
    assert_ptr_equal(koe_pack_style(p, 100000), p->row + (n_rows - 1) * KOE_STYLE_DIM);
}

static void check_file(const char *file, size_t i, const char *name, size_t n_rows, double tolerance)
{
    koe_pack_file *f = NULL;
    koe_error err = { 0 };
    koe_pack pack;
    koe_status st = koe_pack_file_open(&f, corpus(file), &err);
    if (st == KOE_OK) st = koe_pack_file_load(f, i, &pack, &err);
    if (st != KOE_OK) fail_msg("%s: %s", file, err.message);
    assert_true(koe_str_is(koe_pack_file_name(f, i), name));
    assert_true(koe_str_is(pack.name, name));
    check_pack(&pack, n_rows, tolerance);
    koe_pack_file_close(f);
}

static void test_formats(void **state)
{
    (void)state;
    check_file("npz/stored.npz", 0, "af_two", 2, 0);
    check_file("npz/stored.npz", 1, "bm_three", 3, 0);
    check_file("npz/deflated.npz", 0, "af_two", 2, 0);
    check_file("npz/half.npz", 0, "af_two", 2, 1e-3);
    check_file("npz/double.npz", 0, "af_two", 2, 0);
    check_file("pt/af_two.pt", 0, "af_two", 2, 0);
    check_file("pt/named.pt", 0, "named", 2, 0);
    check_file("pt/half.pt", 0, "half", 2, 1e-3);
    check_file("pt/double.pt", 0, "double", 2, 0);
    check_file("pt/bfloat.pt", 0, "bfloat", 2, 8e-3);
    check_file("pt/dict.pt", 0, "dict", 2, 0);
    check_file("pt/ordered.pt", 0, "ordered", 2, 0);
    check_file("pt/strided.pt", 0, "strided", 2, 0);
    check_file("json/voices.json", 0, "af_two", 2, 0);
    check_file("json/voices.json", 1, "bm_one", 1, 0);
}

static void test_raw(void **state)
{
    (void)state;
    float rows[3 * KOE_STYLE_DIM + 1];
    for (size_t i = 0; i < 3 * KOE_STYLE_DIM; i++) rows[i] = (float)(i / 256) + (float)(i % 256) / 256;
    koe_pack_file *f = NULL;
    koe_pack pack;
    assert_int_equal(koe_pack_file_parse(&f, rows, 3 * 1024, "some/af_x.y.bin", NULL), KOE_OK);
    assert_true(koe_str_is(koe_pack_file_name(f, 0), "af_x.y"));
    assert_int_equal(koe_pack_file_load(f, 0, &pack, NULL), KOE_OK);
    assert_ptr_equal(pack.row, rows); /* in place */
    check_pack(&pack, 3, 0);
    koe_pack_file_close(f);
    memmove((char *)rows + 1, rows, 3 * 1024); /* misaligned: copied */
    assert_int_equal(koe_pack_file_parse(&f, (char *)rows + 1, 3 * 1024, "x.bin", NULL), KOE_OK);
    assert_int_equal(koe_pack_file_load(f, 0, &pack, NULL), KOE_OK);
    check_pack(&pack, 3, 0);
    koe_pack_file_close(f);
}

static void expect_error(const char *file, koe_status want, const char *message)
{
    koe_pack_file *f = NULL;
    koe_error err = { 0 };
    koe_pack pack;
    koe_status st = koe_pack_file_open(&f, corpus(file), &err);
    if (st == KOE_OK) st = koe_pack_file_load(f, 0, &pack, &err);
    if (st != want || !strstr(err.message, message)) fail_msg("%s: %d %s", file, (int)st, err.message);
    koe_pack_file_close(f);
}

static void test_errors(void **state)
{
    (void)state;
    expect_error("npz/bad_shape.npz", KOE_E_FORMAT, "[256,2]");
    expect_error("pt/bad_two.pt", KOE_E_FORMAT, "one tensor");
    expect_error("pt/bad_reach.pt", KOE_E_FORMAT, "element 512 of a storage of 512");
    expect_error("pt/bad_stride.pt", KOE_E_FORMAT, "reaches");
    expect_error("pt/bad_short.pt", KOE_E_FORMAT, "1024 bytes");
    expect_error("pt/bad_type.pt", KOE_E_UNSUPPORTED, "torch.LongStorage");
    expect_error("pt/bad_call.pt", KOE_E_UNSUPPORTED, "posix.system");
    expect_error("pt/bad_endian.pt", KOE_E_UNSUPPORTED, "big-endian");
    expect_error("json/bad_row.json", KOE_E_FORMAT, "has 3 numbers");
    expect_error("json/bad_number.json", KOE_E_FORMAT, "not a number");
    expect_error("json/none.json", KOE_E_NOT_FOUND, "none.json");
    expect_error("json", KOE_E_FORMAT, "folder");
    const char *pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 522240\n";
    koe_pack_file *f = NULL;
    koe_error err = { 0 };
    assert_int_equal(koe_pack_file_parse(&f, pointer, strlen(pointer), "x.bin", &err), KOE_E_FORMAT);
    assert_non_null(strstr(err.message, "git-lfs"));
    assert_int_equal(koe_pack_file_parse(&f, "", 0, "x.bin", NULL), KOE_E_FORMAT);
    assert_int_equal(koe_pack_file_parse(&f, "<html>", 6, "x.bin", NULL), KOE_E_FORMAT);
}

/* Every truncation of a good file, and every byte changed, ends in a status, not in a crash. */
static void test_damaged(void **state)
{
    (void)state;
    const char *const files[] = { "npz/deflated.npz", "pt/bfloat.pt", "json/bad_row.json" };
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        koe_mapping m;
        assert_int_equal(koe_file_map(&m, corpus(files[k]), NULL), KOE_OK);
        unsigned char *copy = malloc(m.n);
        for (size_t i = 0; i < 2 * m.n; i++) {
            size_t n = i < m.n ? i : m.n;
            memcpy(copy, m.p, m.n);
            if (i >= m.n) copy[i - m.n] ^= 0x55;
            koe_pack_file *f = NULL;
            koe_pack pack;
            if (koe_pack_file_parse(&f, copy, n, "damaged", NULL) != KOE_OK) continue;
            for (size_t e = 0; e < koe_pack_file_count(f); e++) (void)koe_pack_file_load(f, e, &pack, NULL);
            koe_pack_file_close(f);
        }
        free(copy);
        koe_file_unmap(&m);
    }
}

static void test_published(void **state)
{
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s/kokoro/voices/af_heart.bin", getenv("KOE_SHARED"));
    if (!koe_file_exists(path)) {
        print_message("skipped: no %s\n", path);
        skip();
    }
    koe_pack_file *f = NULL;
    koe_pack pack;
    assert_int_equal(koe_pack_file_open(&f, path, NULL), KOE_OK);
    assert_int_equal(koe_pack_file_load(f, 0, &pack, NULL), KOE_OK);
    assert_int_equal(pack.n_rows, 510);
    koe_pack_file_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_raw),       cmocka_unit_test(test_errors),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
