/* test_conformance_files.c - opens every model of ONNX's node tests and reads their tensors; running them is the graph room's
 * test. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "onnx/onnx.h"

static int list(glob_t *g, const char *pattern)
{
    const char *shared = getenv("KOE_SHARED");
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", shared ? shared : "../shared", pattern);
    return glob(path, 0, NULL, g);
}

static void opens_every_model(void **state)
{
    (void)state;
    glob_t g;
    if (list(&g, "onnx-conformance/*/model.onnx") != 0) {
        print_message("no ../shared/onnx-conformance: skipped\n");
        skip();
    }
    size_t n_failed = 0;
    for (size_t i = 0; i < g.gl_pathc; i++) {
        koe_onnx_model *m = NULL;
        koe_error err = { 0 };
        koe_status st = koe_onnx_open(&m, g.gl_pathv[i], &err);
        bool is_old = st == KOE_E_UNSUPPORTED && strstr(err.message, "opset"); /* two cases are older than opset 7 */
        if (st != KOE_OK && !is_old) {
            print_error("%s\n", err.message);
            n_failed++;
        }
        if (st == KOE_OK) koe_onnx_close(m);
    }
    globfree(&g);
    assert_int_equal(n_failed, 0);
}

static void reads_every_tensor(void **state)
{
    (void)state;
    glob_t g;
    if (list(&g, "onnx-conformance/*/test_data_set_*/*.pb") != 0) {
        print_message("no ../shared/onnx-conformance: skipped\n");
        skip();
    }
    size_t n_failed = 0;
    for (size_t i = 0; i < g.gl_pathc; i++) {
        koe_arena arena = { 0 };
        koe_tensor *t;
        size_t n;
        koe_error err = { 0 };
        koe_status st = koe_onnx_read_pb(&t, &n, false, &arena, g.gl_pathv[i], &err);
        if (st != KOE_OK) st = koe_onnx_read_pb(&t, &n, true, &arena, g.gl_pathv[i], &err);
        if (st != KOE_OK) {
            print_error("%s\n", err.message);
            n_failed++;
        }
        koe_arena_free(&arena);
    }
    globfree(&g);
    assert_int_equal(n_failed, 0);
}

/* The graphs without weights say so. */
static void weightless_graphs_say_so(void **state)
{
    (void)state;
    glob_t g;
    if (list(&g, "models/*.graph.onnx") != 0) {
        print_message("no ../shared/models: skipped\n");
        skip();
    }
    for (size_t i = 0; i < g.gl_pathc; i++) {
        koe_onnx_model *m = NULL;
        koe_error err = { 0 };
        assert_int_equal(koe_onnx_open(&m, g.gl_pathv[i], &err), KOE_E_FORMAT);
        assert_non_null(strstr(err.message, "it has no data"));
    }
    globfree(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_every_model),
        cmocka_unit_test(reads_every_tensor),
        cmocka_unit_test(weightless_graphs_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
