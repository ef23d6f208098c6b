/* lexicon.c - koe lexicon build: compiles the English dictionaries ahead of their first use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "text/lexicon.h"

int koe_cmd_lexicon(int argc, char **argv)
{
    const char *home = NULL;
    koe_arg_list words = { 0 };
    const koe_option options[] = {
        { .name = "home", .value = "DIR", .help = "folder of models and dictionaries", .text = &home },
    };
    const koe_command_line line = { "koe lexicon", "build [DIR]",
                                    "Compiles the English dictionaries of DIR (default: lexicon in the folder of models) for quick opening.", options,
                                    sizeof options / sizeof *options };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK && (words.n < 1 || words.n > 2 || strcmp(words.item[0], "build") != 0)) {
        status = koe_args_wrong(&line, "what to do is 'build'");
    } else if (r == KOE_ARGS_OK) {
        koe_error err = { 0 };
        char *root = home ? strdup(home) : koe_path_home(), *dir = words.n == 2 ? strdup(words.item[1]) : root ? koe_path_join(root, "lexicon") : NULL;
        const koe_status st = dir ? koe_lexicon_build(dir, &err) : koe_fail(&err, KOE_E_NOMEM, "lexicon");
        if (st == KOE_OK) printf("%s/en-us.klex and en-gb.klex are ready\n", dir);
        status = st == KOE_OK ? 0 : koe_args_failed(&line, &err);
        free(dir);
        free(root);
    }
    koe_args_free(&line, &words);
    return status;
}
