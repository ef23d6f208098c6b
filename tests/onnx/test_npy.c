/* test_npy.c - NumPy arrays: every type and version, Fortran order, hostile headers, and what we write read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "onnx/tensor.h"

/* A .npy of this version, header text and elements. The caller frees. */
static koe_buf make(int version, const char *header, const void *data, size_t n_bytes)
{
    koe_buf b = { 0 };
    size_t n = strlen(header);
    koe_buf_add(&b, "\x93NUMPY", 6);
    koe_buf_add(&b, (const char[]){ (char)version, 0, (char)(n & 255), (char)(n >> 8), 0, 0 }, version == 1 ? 4 : 6);
    koe_buf_adds(&b, header);
    koe_buf_add(&b, data, n_bytes);
    return b;
}

static koe_status parse(koe_tensor *t, koe_arena *arena, int version, const char *header, const void *data, size_t n_bytes,
                        koe_error *err)
{
    koe_buf b = make(version, header, data, n_bytes);
    koe_status st = koe_npy_parse(t, arena, b.data, b.n, "x.npy", err);
    koe_buf_free(&b);
    return st;
}

static void reads_every_version(void **state)
{
    (void)state;
    static const float f[6] = { 1, 2, 3, 4, 5, 6 };
    for (int version = 1; version <= 3; version++) {
        koe_arena arena = { 0 };
        koe_tensor t;
        koe_error err = { 0 };
        assert_int_equal(
            parse(&t, &arena, version, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n", f, 24, &err), KOE_OK);
        assert_int_equal(t.dtype, KOE_DTYPE_F32);
        assert_int_equal(t.n_dim, 2);
        assert_int_equal(t.dim[0], 2);
        assert_int_equal(t.dim[1], 3);
        assert_memory_equal(t.data, f, 24);
        koe_arena_free(&arena);
    }
}

static void reads_every_header_spelling(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", /* a scalar */
        "{\"shape\":(1,),\"descr\":\"<f4\",\"fortran_order\":True}",
        "{'descr': '=f4', 'fortran_order': False, 'shape': (1L, 1L)}",
        "{ 'shape' : ( 1 , 1 , ) , 'fortran_order' : False , 'descr' : '<f4' , } ",
        "{'descr': '<i4', 'fortran_order': True, 'shape': (1, 1, 1, 1, 1, 1, 1, 1)}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        koe_arena arena = { 0 };
        koe_tensor t;
        koe_error err = { 0 };
        if (parse(&t, &arena, 1, good[i], "\0\0\0\0", 4, &err) != KOE_OK) fail_msg("%s: %s", good[i], err.message);
        assert_int_equal(koe_tensor_count(&t), 1);
        koe_arena_free(&arena);
    }
}

static void transposes_fortran_order(void **state)
{
    (void)state;
    /* a[i][j][k] = 100 i + 10 j + k of shape [2, 3, 4], first index fastest */
    int16_t f[24], want[24];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++) {
                int16_t v = (int16_t)(100 * i + 10 * j + k);
                f[i + 2 * j + 6 * k] = v;
                want[(i * 3 + j) * 4 + k] = v;
            }
    koe_arena arena = { 0 };
    koe_tensor t;
    assert_int_equal(parse(&t, &arena, 1, "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3, 4)}", f, 48, NULL), KOE_OK);
    assert_memory_equal(t.data, want, 48);
    koe_arena_free(&arena);
}

static void booleans_are_0_or_1(void **state)
{
    (void)state;
    koe_arena arena = { 0 };
    koe_tensor t;
    assert_int_equal(parse(&t, &arena, 1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", "\0\1\7", 3, NULL), KOE_OK);
    assert_memory_equal(t.data, "\0\1\1", 3);
    koe_arena_free(&arena);
}

static void refuses_clearly(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        koe_status status;
        const char *says;
    } bad[] = {
        { "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", KOE_E_UNSUPPORTED, "big-endian" },
        { "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", KOE_E_UNSUPPORTED, "'<c8'" },
        { "{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}", KOE_E_UNSUPPORTED, "'<U1'" },
        { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", KOE_E_UNSUPPORTED, "records" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", KOE_E_FORMAT, "needs 8 bytes" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", KOE_E_FORMAT, "needs 0 bytes" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", KOE_E_FORMAT, "shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}", KOE_E_FORMAT, "shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", KOE_E_FORMAT, "shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", KOE_E_FORMAT, "too many dimensions" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", KOE_E_FORMAT, "shape" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", KOE_E_LIMIT, "overflows" },
        { "{'descr': '<f4', 'fortran_order': False}", KOE_E_FORMAT, "needs the keys" },
        { "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}", KOE_E_FORMAT, "fortran_order" },
        { "{'descr': '<f4, 'fortran_order': False, 'shape': (1,)}", KOE_E_FORMAT, "" },
        { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", KOE_E_FORMAT, "unknown key" },
        { "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}", KOE_E_FORMAT, "end is missing" },
        { "['descr']", KOE_E_FORMAT, "not a dictionary" },
        { "{", KOE_E_FORMAT, "" },
        { "", KOE_E_FORMAT, "" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        koe_arena arena = { 0 };
        koe_tensor t;
        koe_error err = { 0 };
        koe_status st = parse(&t, &arena, 1, bad[i].header, "\0\0\0\0", 4, &err);
        if (st != bad[i].status || !strstr(err.message, bad[i].says))
            fail_msg("%s: status %d, \"%s\"; wanted %d, \"%s\"", bad[i].header, st, err.message, bad[i].status, bad[i].says);
        koe_arena_free(&arena);
    }
    koe_error err = { 0 };
    koe_arena arena = { 0 };
    koe_tensor t;
    assert_int_equal(parse(&t, &arena, 4, "{}", "", 0, &err), KOE_E_UNSUPPORTED);
    assert_int_equal(koe_npy_parse(&t, &arena, "PK\3\4, a zip", 12, "x.npy", &err), KOE_E_FORMAT);
    koe_arena_free(&arena);
}

static void every_truncation_is_an_error(void **state)
{
    (void)state;
    for (int version = 1; version <= 2; version++) {
        koe_buf b = make(version, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", "0123456789abcdef", 16);
        for (size_t n = 0; n < b.n; n++) {
            char *exact = malloc(n ? n : 1); /* so that the sanitizer sees a read past the end */
            memcpy(exact, b.data, n);
            koe_arena arena = { 0 };
            koe_tensor t;
            assert_int_not_equal(koe_npy_parse(&t, &arena, exact, n, "x", NULL), KOE_OK);
            koe_arena_free(&arena);
            free(exact);
        }
        koe_buf_free(&b);
    }
}

static void reads_what_it_writes(void **state)
{
    (void)state;
    static const koe_dtype types[] = {
        KOE_DTYPE_F32, KOE_DTYPE_U8,  KOE_DTYPE_I8,  KOE_DTYPE_U16, KOE_DTYPE_I16, KOE_DTYPE_I32,
        KOE_DTYPE_I64, KOE_DTYPE_F16, KOE_DTYPE_F64, KOE_DTYPE_U32, KOE_DTYPE_U64, KOE_DTYPE_BOOL
    };
    char path[] = "/tmp/koe_npy_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int n_dim = 0; n_dim < 4; n_dim++) {
            unsigned char data[8 * 6];
            for (size_t k = 0; k < sizeof data; k++) data[k] = types[i] == KOE_DTYPE_BOOL ? k & 1 : (unsigned char)(k * 7);
            koe_tensor t = { types[i], n_dim, { 1, 2, 3 }, data }, back;
            if (n_dim == 1) t.dim[0] = 0;
            koe_arena arena = { 0 };
            koe_error err = { 0 };
            assert_int_equal(koe_npy_write(&t, path, &err), KOE_OK);
            if (koe_npy_read(&back, &arena, path, &err) != KOE_OK) fail_msg("%s", err.message);
            assert_int_equal(back.dtype, t.dtype);
            assert_int_equal(back.n_dim, t.n_dim);
            assert_memory_equal(back.dim, t.dim, sizeof *t.dim * (size_t)n_dim);
            assert_memory_equal(back.data, data, koe_tensor_bytes(&t));
            koe_arena_free(&arena);
        }
    koe_tensor t = { KOE_DTYPE_BF16, 0, { 0 }, "ab" };
    assert_int_equal(koe_npy_write(&t, path, NULL), KOE_E_UNSUPPORTED);
    unlink(path);
    koe_arena arena = { 0 };
    assert_int_equal(koe_npy_read(&t, &arena, path, NULL), KOE_E_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_version),      cmocka_unit_test(reads_every_header_spelling),
        cmocka_unit_test(transposes_fortran_order), cmocka_unit_test(booleans_are_0_or_1),
        cmocka_unit_test(refuses_clearly),          cmocka_unit_test(every_truncation_is_an_error),
        cmocka_unit_test(reads_what_it_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
