/* test_usage.c - every command's help, and every way of using it wrongly: exit status 2 and one line that says what to do. */
#include "command.h"

static void help_is_there(void **state)
{
    (void)state;
    expect(run_koe("--help"), 0, "koe say", NULL);
    expect(run_koe("--version"), 0, "koe 0", NULL);
    static const char *const commands[] = { "say", "voices", "phonemes", "pull", "serve", "config", "model" };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        expect(run_koe(commands[i], "--help"), 0, "usage: koe ", NULL);
    static const char *const of_model[] = { "info", "run", "check", "bench" };
    for (size_t i = 0; i < 4; i++) expect(run_koe("model", of_model[i], "--help"), 0, "usage: koe model ", NULL);
}

static void wrong_commands(void **state)
{
    (void)state;
    result r = run_koe_with(NULL, (const char *const[]){ NULL });
    expect(r, 2, NULL, "usage: koe");
    expect_error(run_koe("sing"), 2, "no command 'sing'");
    expect_error(run_koe("model"), 2, "info, run, check, bench or pack");
    expect_error(run_koe("model", "paint"), 2, "no command 'paint'");
}

static void wrong_options(void **state)
{
    (void)state;
    expect_error(run_koe("model", "info"), 2, "FILE.onnx");
    expect_error(run_koe("model", "info", "--yaml", "x.onnx"), 2, "no option --yaml");
    expect_error(run_koe("model", "info", "--json=yes", "x.onnx"), 2, "takes no value");
    expect_error(run_koe("model", "run", "x.onnx"), 2, "--out DIR");
    expect_error(run_koe("model", "run", "x.onnx", "--out"), 2, "--out needs a value");
    expect_error(run_koe("model", "run", "x.onnx", "--in", "x", "--out", "."), 2, "NAME=FILE.npy");
    expect_error(run_koe("model", "run", "x.onnx", "--out", ".", "--threads", "many"), 2, "--threads is 'many'");
    expect_error(run_koe("model", "run", "x.onnx", "--out", ".", "--precision", "f8"), 2, "f32, bf16, int8 or auto");
    expect_error(run_koe("model", "run", "x.onnx", "--out", ".", "--noise", "loud"), 2, "zero or a seed");
    expect_error(run_koe("model", "bench", "x.onnx", "--runs", "0"), 2, "--runs is '0'");
    expect_error(run_koe("model", "check"), 2, "folders");
    expect_error(run_koe("model", "check", ".", "--rtol", "-1"), 2, "--rtol is '-1'");
    expect_error(run_koe("serve", "--port", "99999"), 2, "--port is '99999'");
    expect_error(run_koe("serve", "here"), 2, "'here'");
    expect_error(run_koe("serve", "--config", "/nowhere.json"), 1, "/nowhere.json");
    expect_error(run_koe("config"), 2, "koe config --check");
    expect_error(run_koe("pull"), 2, "kokoro");
    expect_error(run_koe("pull", "moon"), 2, "there is no 'moon' to pull");
}

/* The environment stands for options that are not given. */
static void environment(void **state)
{
    (void)state;
    setenv("KOE_THREADS", "some", 1);
    expect_error(run_koe("model", "run", "x.onnx", "--out", "."), 2, "--threads is 'some'");
    expect_error(run_koe("model", "run", "x.onnx", "--out", ".", "--threads", "2"), 1, "x.onnx");
    expect_error(run_koe("config", "--check"), 1, "KOE_THREADS is 'some'");
    unsetenv("KOE_THREADS");
    setenv("KOE_CPU", "abacus", 1);
    expect_error(run_koe("model", "run", "x.onnx", "--out", "."), 2, "abacus");
    unsetenv("KOE_CPU");
    char *home = new_folder();
    setenv("KOE_HOME", home, 1);
    expect(run_koe("config", "--check"), 0, home, NULL);
    write_file(home, "file", "", 0);
    char *file = koe_path_join(home, "file");
    setenv("KOE_HOME", file, 1);
    expect_error(run_koe("config", "--check"), 1, "not a folder");
    unsetenv("KOE_HOME");
    free(file);
    remove_folder(home);
}

static void output_that_cannot_be_written(void **state)
{
    (void)state;
    char command[4200];
    snprintf(command, sizeof command, "'%s' --help >/dev/full 2>/dev/null", getenv("KOE_BIN"));
    const int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_is_there),
        cmocka_unit_test(wrong_commands),
        cmocka_unit_test(wrong_options),
        cmocka_unit_test(environment),
        cmocka_unit_test(output_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
