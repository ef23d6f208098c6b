/* voices.c - koe voices: the voices that can speak now. */
#include <jansson.h>
#include <stdio.h>

#include "base/base.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "koe.h"

static void print_table(const koe_voice_info *v, size_t n)
{
    printf("%-28s %-8s %-8s %-6s %-8s %s\n", "VOICE", "LANGUAGE", "GENDER", "GRADE", "ENGINE", "RATE");
    for (size_t i = 0; i < n; i++)
        printf("%-28s %-8s %-8s %-6s %-8s %d%s\n", v[i].name, v[i].lang, v[i].gender, v[i].grade, v[i].engine, v[i].rate_hz,
               v[i].is_default ? "  (default)" : "");
}

static koe_status print_json(const koe_voice_info *v, size_t n, koe_error *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:b}", "id", v[i].name, "name", v[i].name, "language", v[i].lang,
                              "gender", v[i].gender, "engine", v[i].engine, "rate_hz", v[i].rate_hz, "default", v[i].is_default);
        if (v[i].grade[0]) json_object_set_new(j, "grade", json_string(v[i].grade));
        json_array_append_new(list, j);
    }
    json_t *all = json_pack("{s:o}", "voices", list);
    const int failed = all ? json_dumpf(all, stdout, JSON_INDENT(2)) : -1;
    if (!failed) putchar('\n');
    json_decref(all);
    return failed ? koe_fail(err, KOE_E_IO, "the list cannot be written") : KOE_OK;
}

int koe_cmd_voices(int argc, char **argv)
{
    bool json = false;
    const char *home = NULL, *model = NULL;
    koe_arg_list words = { 0 };
    const koe_option options[] = {
        { .name = "json", .help = "one JSON object", .on = &json },
        { .name = "home", .value = "DIR", .help = "folder of models (default: ~/.local/share/koe)", .text = &home },
        { .name = "model", .value = "FILE", .help = "a .onnx file to speak with instead of the installed one", .text = &model },
    };
    const koe_command_line line = { "koe voices", "[--json]", "Lists the voices that can speak now; `koe pull` gets more.",
                                    options, sizeof options / sizeof *options };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK && words.n) {
        status = koe_args_wrong(&line, "'%s' is not understood", words.item[0]);
    } else if (r == KOE_ARGS_OK) {
        koe_error err = { 0 };
        koe_engine *engine = NULL;
        const koe_engine_options eo = { .home = home, .model = model };
        koe_status st = koe_engine_open(&engine, &eo, &err);
        size_t n = 0;
        const koe_voice_info *v = st == KOE_OK ? koe_engine_voices(engine, &n) : NULL;
        if (st == KOE_OK && json) st = print_json(v, n, &err);
        else if (st == KOE_OK) print_table(v, n);
        koe_engine_close(engine);
        status = st == KOE_OK ? 0 : koe_args_failed(&line, &err);
    }
    koe_args_free(&line, &words);
    return status;
}
