/* The file of packed weights: written by the first session, mapped by the second, ignored when it does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "graph/graph.h"

static char folder[] = "/tmp/koe-packed-XXXXXX", model_path[256];

static bool create(int precision)
{
    koe_error err = { 0 };
    koe_onnx_model *m = NULL;
    koe_session *s = NULL;
    const koe_session_options opt = { .precision = precision };
    if (koe_onnx_open(&m, model_path, &err) != KOE_OK || koe_session_create_packed(&s, m, &opt, &err) != KOE_OK) fail_msg("%s", err.message);
    const bool packed = koe_session_is_packed(s);
    koe_session_destroy(s);
    return packed;
}

static void test_packed_file(void **state)
{
    (void)state;
    char *path = koe_packed_path(model_path, KOE_PRECISION_F32);
    assert_false(create(KOE_PRECISION_F32)); /* none yet: it is written */
    assert_true(koe_file_exists(path));
    assert_true(create(KOE_PRECISION_F32));
    assert_false(create(KOE_PRECISION_INT8)); /* another file for another precision */
    koe_buf file = { 0 };
    assert_int_equal(koe_file_read(&file, path, SIZE_MAX, NULL), KOE_OK);
    for (size_t n = 0; n < 200; n += 13) { /* cut short, or of another key: not used, and written anew */
        assert_int_equal(koe_file_write_atomic(path, file.data, n, NULL), KOE_OK);
        assert_false(create(KOE_PRECISION_F32));
        assert_true(create(KOE_PRECISION_F32));
    }
    file.data[20] ^= 1;
    assert_int_equal(koe_file_write_atomic(path, file.data, file.n, NULL), KOE_OK);
    assert_false(create(KOE_PRECISION_F32));
    koe_buf_free(&file);
    setenv("KOE_PACK", "off", 1);
    assert_false(create(KOE_PRECISION_F32));
    free(path);
}

int main(void)
{
    const char *data = getenv("KOE_TEST_DATA");
    char from[512];
    koe_buf model = { 0 };
    unsetenv("KOE_PACK");
    if (!data || !mkdtemp(folder)) return 1;
    snprintf(from, sizeof from, "%s/models/piper-tiny.onnx", data);
    snprintf(model_path, sizeof model_path, "%s/model.onnx", folder);
    if (koe_file_read(&model, from, SIZE_MAX, NULL) != KOE_OK || koe_file_write_atomic(model_path, model.data, model.n, NULL) != KOE_OK) return 1;
    koe_buf_free(&model);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_packed_file) };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char remove_all[600];
    snprintf(remove_all, sizeof remove_all, "rm -rf %s", folder);
    return system(remove_all) != 0 ? 1 : failed;
}
