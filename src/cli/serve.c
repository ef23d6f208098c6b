/* serve.c - koe serve: the server with the settings of the command line, the environment and a file. */
#include <string.h>
#include <sys/resource.h>

#include "base/base.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "server/server.h"

/* As many descriptors as the connections need, as far as we may. */
static void raise_limits(const koe_config *c)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return;
    const rlim_t wanted = (rlim_t)c->max_connections + 256;
    if (r.rlim_cur >= wanted) return;
    r.rlim_cur = wanted < r.rlim_max ? wanted : r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur < wanted)
        koe_log(KOE_LOG_WARN, "only %llu files may be open, so fewer connections than %lld", (unsigned long long)r.rlim_cur,
                (long long)c->max_connections);
}

int koe_cmd_serve(int argc, char **argv)
{
    koe_arg_list words = { 0 };
    koe_settings_options o;
    koe_settings_options_init(&o);
    const koe_command_line line = { "koe serve", "[options]",
                                    "Speaks over HTTP: the API of OpenAI's speech endpoint, and Kokoro-FastAPI's. Settings can also stand in a\n"
                                    "JSON file (--config).",
                                    o.option, o.n };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK && words.n) {
        status = koe_args_wrong(&line, "'%s' is not understood", words.item[0]);
    } else if (r == KOE_ARGS_OK) {
        koe_error err = { 0 };
        koe_config config;
        koe_status st = koe_config_load(&config, o.given, &err);
        if (st == KOE_E_ARGUMENT) {
            status = koe_args_wrong(&line, "%s", err.message);
        } else {
            if (st == KOE_OK) {
                koe_config_apply_log(&config);
                raise_limits(&config);
                st = koe_serve(&config, &err);
            }
            status = st == KOE_OK ? 0 : koe_args_failed(&line, &err);
        }
        koe_config_free(&config);
    }
    koe_args_free(&line, &words);
    return status;
}
