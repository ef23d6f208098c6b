/* test_model.c - koe model info, run, check and bench on a small model of two operators: y = relu(x + b), with b = [1, -1, 0]. */
#include <math.h>

#include "../onnx/proto.h"
#include "command.h"
#include "onnx/tensor.h"

enum { F32 = 1, INT64 = 7 };

/* The model; op_type is what stands between x + b and y. */
static koe_buf small_model(const char *op_type)
{
    static const int64_t dims[] = { -1, 3 }, three[] = { 3 };
    static const float bias[] = { 1, -1, 0 };
    koe_buf graph = { 0 };
    koe_buf add = pb_node("Add", "x", "scope/sum");
    pb_str(&add, 1, "b");
    pb_message(&graph, 1, add);
    pb_message(&graph, 1, pb_node(op_type, "scope/sum", "scope/y"));
    pb_str(&graph, 2, "small");
    koe_buf b = pb_tensor("b", F32, 1, three);
    pb_bytes(&b, 9, bias, sizeof bias);
    pb_message(&graph, 5, b);
    pb_message(&graph, 11, pb_value("x", F32, 2, dims));
    pb_message(&graph, 12, pb_value("scope/y", F32, 2, dims));
    return pb_model(graph, 13);
}

static void write_model(const char *folder, const char *name, const char *op_type)
{
    koe_buf m = small_model(op_type);
    assert_false(m.failed);
    write_file(folder, name, m.data, m.n);
    koe_buf_free(&m);
}

static void write_npy(const char *folder, const char *name, koe_dtype dtype, int64_t rows, const void *data)
{
    koe_tensor t = { .dtype = dtype, .n_dim = 2, .dim = { rows, 3 }, .data = (void *)(uintptr_t)data };
    char *path = koe_path_join(folder, name);
    assert_int_equal(koe_npy_write(&t, path, NULL), KOE_OK);
    free(path);
}

static void write_pb(const char *folder, const char *name, int64_t rows, const float *data)
{
    const int64_t dims[] = { rows, 3 };
    koe_buf t = pb_tensor("t", F32, 2, dims);
    pb_bytes(&t, 9, data, (size_t)rows * 3 * sizeof *data);
    write_file(folder, name, t.data, t.n);
    koe_buf_free(&t);
}

static char *sub_folder(const char *folder, const char *name)
{
    char *path = koe_path_join(folder, name);
    assert_int_equal(koe_file_make_dirs(path, NULL), KOE_OK);
    return path;
}

static const float x[6] = { 1, 2, 3, -4, 0.5F, -6 }, y[6] = { 2, 1, 3, 0, 0, 0 };

static int set_up(void **state)
{
    char *folder = new_folder();
    write_model(folder, "m.onnx", "Relu");
    write_npy(folder, "x.npy", KOE_DTYPE_F32, 2, x);
    if (chdir(folder) != 0) return -1;
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    if (chdir("/") != 0) return -1;
    remove_folder(*state);
    return 0;
}

static void info(void **state)
{
    (void)state;
    expect(run_koe("model", "info", "m.onnx"), 0, "x float32[n,3]", NULL);
    expect(run_koe("model", "info", "m.onnx"), 0, "ai.onnx 13", NULL);
    expect(run_koe("model", "info", "--json", "m.onnx"), 0, "\"unsupported\": []", NULL);
    write_model(".", "odd.onnx", "Teleport");
    expect(run_koe("model", "info", "odd.onnx"), 0, "Teleport   NOT SUPPORTED", NULL);
    expect(run_koe("model", "info", "odd.onnx", "--json"), 0, "\"Teleport\"\n", NULL);
    expect_error(run_koe("model", "info", "none.onnx"), 1, "none.onnx");
    expect_error(run_koe("model", "info", "."), 1, ".");
    write_file(".", "page.onnx", "<!DOCTYPE html>", 15);
    expect_error(run_koe("model", "info", "page.onnx"), 1, "page.onnx");
}

static void run(void **state)
{
    (void)state;
    expect(run_koe("model", "run", "m.onnx", "--in", "x=x.npy", "--out", "new/out", "--threads=2"), 0,
           "new/out/scope_y.npy float32[2,3]", NULL);
    koe_arena arena = { 0 };
    koe_tensor t;
    assert_int_equal(koe_npy_read(&t, &arena, "new/out/scope_y.npy", NULL), KOE_OK);
    assert_int_equal(koe_tensor_bytes(&t), sizeof y);
    assert_memory_equal(t.data, y, sizeof y);
    koe_arena_free(&arena);
    expect_error(run_koe("model", "run", "m.onnx", "--out", "out"), 1, "x float32[n,3]");
    expect_error(run_koe("model", "run", "m.onnx", "--in", "z=x.npy", "--out", "out"), 1, "no input 'z'; it has: x");
    expect_error(run_koe("model", "run", "m.onnx", "--in", "x=none.npy", "--out", "out"), 1, "none.npy");
    expect_error(run_koe("model", "run", "m.onnx", "--in", "x=m.onnx", "--out", "out"), 1, "m.onnx");
    static const int64_t ids[3] = { 1, 2, 3 };
    write_npy(".", "ids.npy", KOE_DTYPE_I64, 1, ids);
    expect_error(run_koe("model", "run", "m.onnx", "--in", "x=ids.npy", "--out", "out"), 1, "int64");
    expect_error(run_koe("model", "run", "m.onnx", "--in", "x=x.npy", "--out", "m.onnx/out"), 1, "m.onnx");
    write_model(".", "odd.onnx", "Teleport");
    expect_error(run_koe("model", "run", "odd.onnx", "--in", "x=x.npy", "--out", "out"), 1, "Teleport");
}

static void bench(void **state)
{
    (void)state;
    static const char *const keys[] = { "load_ms",     "first_ms",     "median_ms",          "min_ms",
                                        "peak_rss_mb", "threads\": 1", "precision\": \"f32", "runs\": 3" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        expect(run_koe("model", "bench", "m.onnx", "--in", "x=x.npy", "--threads", "1", "--runs", "3"), 0, keys[i], NULL);
    expect(run_koe("model", "bench", "m.onnx", "--in", "x=x.npy", "--threads", "1", "--at-once", "2"), 0, "\"throughput\": ", NULL);
    expect_error(run_koe("model", "bench", "none.onnx"), 1, "none.onnx");
}

/* The layout of ONNX's backend tests, right and wrong in every way. */
static void check_numbered(void **state)
{
    (void)state;
    char *all = sub_folder(".", "all"), *other = sub_folder(all, "notes"), *test = sub_folder(all, "test_small"),
         *set = sub_folder(test, "test_data_set_0");
    write_model(test, "model.onnx", "Relu");
    write_pb(set, "input_0.pb", 2, x);
    write_pb(set, "output_0.pb", 2, y);
    expect(run_koe("model", "check", "all/test_small"), 0, "1 passed, 0 failed\n", NULL);
    expect(run_koe("model", "check", "all/test_small/", "all"), 0, "2 passed, 0 failed\n", NULL);
    float wrong[6];
    memcpy(wrong, y, sizeof y);
    wrong[2] = 3.01F;
    write_pb(set, "output_0.pb", 2, wrong);
    expect(run_koe("model", "check", "all/test_small"), 1, "got 3, want 3.00999999 at [0,2]", NULL);
    expect(run_koe("model", "check", "all/test_small"), 1, "0 passed, 1 failed\n", NULL);
    expect(run_koe("model", "check", "--rtol", "0.01", "all/test_small"), 0, "1 passed, 0 failed\n", NULL);
    expect(run_koe("model", "check", "--peak", "0.001", "all/test_small"), 1, "0 passed, 1 failed\n", NULL);
    expect(run_koe("model", "check", "--peak", "0.01", "all/test_small"), 0, "1 passed, 0 failed\n", NULL);
    write_pb(set, "output_0.pb", 1, y);
    expect(run_koe("model", "check", "all/test_small"), 1, "got float32[2,3], want float32[1,3]", NULL);
    write_pb(set, "output_0.pb", 2, y);
    write_pb(set, "output_1.pb", 2, y);
    expect(run_koe("model", "check", "all/test_small"), 1, "only 1 output", NULL);
    assert_int_equal(remove("all/test_small/test_data_set_0/output_1.pb"), 0);
    assert_int_equal(remove("all/test_small/test_data_set_0/output_0.pb"), 0);
    expect(run_koe("model", "check", "all/test_small"), 1, "output_0.pb is missing", NULL);
    write_model(test, "model.onnx", "Teleport");
    expect(run_koe("model", "check", "all/test_small"), 1, "Teleport", NULL);
    free(set);
    free(test);
    free(other);
    free(all);
}

/* The layout by names; nan and infinities. */
static void check_named(void **state)
{
    (void)state;
    char *model = sub_folder(".", "small"), *one = sub_folder(model, "case_1"), *two = sub_folder(model, "case_2");
    write_model(model, "any.onnx", "Relu");
    write_npy(one, "input_x.npy", KOE_DTYPE_F32, 2, x);
    write_npy(one, "output_scope_y.npy", KOE_DTYPE_F32, 2, y);
    const float odd[3] = { (float)INFINITY, (float)NAN, -(float)INFINITY }, relu[3] = { (float)INFINITY, (float)NAN, 0 };
    write_npy(two, "input_x.npy", KOE_DTYPE_F32, 1, odd);
    write_npy(two, "output_scope_y.npy", KOE_DTYPE_F32, 1, relu);
    expect(run_koe("model", "check", "small"), 0, "2 passed, 0 failed\n", NULL);
    assert_int_equal(rename("small/any.onnx", "small.onnx"), 0);
    expect(run_koe("model", "check", "small/"), 0, "2 passed, 0 failed\n", NULL);
    assert_int_equal(rename("small.onnx", "small/any.onnx"), 0);
    write_npy(two, "output_scope_y.npy", KOE_DTYPE_F32, 1, odd);
    expect(run_koe("model", "check", "small"), 1, "FAIL small/case_2: output scope/y: got 0, want -inf", NULL);
    expect(run_koe("model", "check", "small"), 1, "1 passed, 1 failed\n", NULL);
    write_npy(two, "output_scope_y.npy", KOE_DTYPE_F32, 1, relu);
    write_npy(two, "output_z.npy", KOE_DTYPE_F32, 1, odd);
    expect(run_koe("model", "check", "small"), 1, "no such output", NULL);
    write_npy(one, "input_z.npy", KOE_DTYPE_F32, 1, odd);
    expect(run_koe("model", "check", "small"), 1, "no input z", NULL);
    free(two);
    free(one);
    free(model);
}

static void check_nothing(void **state)
{
    (void)state;
    expect(run_koe("model", "check", "nowhere"), 1, "nowhere", NULL);
    expect(run_koe("model", "check", "x.npy"), 1, "not a folder", NULL);
    char *empty = sub_folder(".", "empty");
    expect(run_koe("model", "check", "empty"), 1, "there is no model here", NULL);
    expect(run_koe("model", "check", "."), 1, "no test_data_set_* or case_* folder", NULL);
    free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(info, set_up, tear_down),
        cmocka_unit_test_setup_teardown(run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bench, set_up, tear_down),
        cmocka_unit_test_setup_teardown(check_numbered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(check_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(check_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
