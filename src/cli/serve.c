/* serve.c - koe serve: options of the HTTP server, which this version does not have yet. */
#include "cli/args.h"
#include "cli/cli.h"

int koe_cmd_serve(int argc, char **argv)
{
    const char *host = NULL, *port = NULL, *config = NULL;
    koe_arg_list words = { 0 };
    const koe_option options[] = {
        { .name = "host", .value = "H", .help = "address to listen on (default: 127.0.0.1)", .text = &host },
        { .name = "port", .value = "P", .help = "port (default: 8880)", .text = &port },
        { .name = "config", .value = "FILE", .help = "settings", .text = &config },
    };
    const koe_command_line line = { "koe serve", "[options]", "Speaks over HTTP. Not in this version yet.", options,
                                    sizeof options / sizeof *options };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    koe_error err = { 0 };
    int64_t number = 8880;
    if (r == KOE_ARGS_OK && words.n) {
        status = koe_args_wrong(&line, "'%s' is not understood", words.item[0]);
    } else if (r == KOE_ARGS_OK && koe_args_int(&number, port, "--port", 0, 65535, &err) != KOE_OK) {
        status = koe_args_wrong(&line, "%s", err.message);
    } else if (r == KOE_ARGS_OK) {
        koe_fail(&err, KOE_E_UNSUPPORTED, "the server is not there yet; koe say speaks from the command line");
        status = koe_args_failed(&line, &err);
    }
    koe_args_free(&line, &words);
    return status;
}
