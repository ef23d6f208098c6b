/* config.c - koe config: are the settings right, what do they come to, and what is installed? */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "server/keys.h"
#include "server/models.h"
#include "server/redis.h"
#include "server/tls.h"

/* What koe finds in its folder, and how to get it. */
static const struct {
    const char *what, *file, *get;
} installed[] = {
    { "Kokoro", "kokoro/model.onnx", "koe pull kokoro" },
    { "Kokoro voices", "kokoro/voices", "koe pull kokoro" },
    { "Piper voices", "piper", "koe pull piper:en_US-lessac-medium" },
    { "dictionaries", "lexicon/us_gold.json", "koe pull lexicon" },
};

static koe_status check_home(const char *home, koe_error *err)
{
    if (koe_file_exists(home) && !koe_file_is_dir(home))
        return koe_fail(err, KOE_E_ARGUMENT, "KOE_HOME is %s, which is not a folder", home);
    const char *cpu = getenv("KOE_CPU");
    const koe_status st = cpu && *cpu ? koe_cpu_restrict(cpu, err) : KOE_OK;
    if (st != KOE_OK) return st;
    printf("%-16s %s\n%-16s %s, %d cores\n", "folder", home, "processor", koe_cpu_name(), koe_cpu_count());
    for (size_t i = 0; i < sizeof installed / sizeof *installed; i++) {
        char *path = koe_path_join(home, installed[i].file);
        if (!path) return koe_fail(err, KOE_E_NOMEM, "%s", home);
        const bool here = koe_file_exists(path);
        free(path);
        if (here) printf("%-16s installed\n", installed[i].what);
        else printf("%-16s not installed; get them with: %s\n", installed[i].what, installed[i].get);
    }
    return KOE_OK;
}

/* What koe serve would not start with: keys, certificate, addresses, models and dictionaries as the settings name them. */
static koe_status check_files(const koe_config *c, koe_error *err)
{
    koe_keys *keys = NULL;
    koe_redis *redis = NULL;
    koe_models *models = NULL;
    const koe_redis_setup setup = { .url = c->redis, .ca = c->redis_ca, .prefix = c->redis_prefix, .timeout_ms = c->redis_timeout_ms };
    koe_status st = koe_keys_open(&keys, c, err);
    if (st == KOE_OK && *c->tls_cert) st = koe_tls_load(c->tls_cert, c->tls_key, err);
    if (st == KOE_OK && *c->redis) st = koe_redis_open(&redis, &setup, err);
    if (st == KOE_OK && *c->warm && !koe_file_exists(c->warm)) st = koe_fail(err, KOE_E_NOT_FOUND, "warm: there is no file %s", c->warm);
    if (st == KOE_OK) st = koe_models_open(&models, c, NULL, NULL, err);
    koe_models_close(models);
    koe_redis_close(redis);
    koe_tls_unload();
    koe_keys_close(keys);
    return st;
}

static koe_status check(const koe_config *config, koe_error *err)
{
    koe_buf shown = { 0 };
    char *home = *config->home ? strdup(config->home) : koe_path_home();
    koe_status st = home ? check_home(home, err) : koe_fail(err, KOE_E_NOMEM, "KOE_HOME");
    free(home);
    if (st != KOE_OK) return st;
    koe_config_show(&shown, config);
    printf("\n%s", shown.data ? shown.data : "");
    koe_buf_free(&shown);
    return check_files(config, err);
}

static void print_document(void)
{
    koe_buf text = { 0 };
    koe_config_document(&text);
    fwrite(text.data, 1, text.n, stdout);
    koe_buf_free(&text);
}

static int make_key(const koe_command_line *line, const char *name)
{
    koe_error err = { 0 };
    koe_buf text = { 0 };
    const koe_status st = koe_keys_make(&text, name, &err);
    if (st == KOE_OK) fwrite(text.data, 1, text.n, stdout);
    koe_buf_free(&text);
    return st == KOE_OK ? 0 : koe_args_failed(line, &err);
}

int koe_cmd_config(int argc, char **argv)
{
    bool wanted = false, document = false;
    const char *new_key = NULL;
    koe_arg_list words = { 0 };
    koe_settings_options o;
    koe_settings_options_init(&o);
    o.option[o.n++] = (koe_option){ .name = "check", .help = "check the settings, and show them and what is installed", .on = &wanted };
    o.option[o.n++] = (koe_option){ .name = "document", .help = "write docs/configuration.md to stdout", .on = &document };
    o.option[o.n++] = (koe_option){ .name = "new-key", .value = "NAME", .help = "make an API key: print it, and the line for the file of --keys", .text = &new_key };
    const koe_command_line line = { "koe config", "--check [options of koe serve]",
                                    "Checks the settings of koe serve, given as options, in the environment or in a file, and the folder of models.",
                                    o.option, o.n };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK && new_key) {
        status = make_key(&line, new_key);
    } else if (r == KOE_ARGS_OK && (wanted == document || words.n)) {
        status = koe_args_wrong(&line, "say koe config --check");
    } else if (r == KOE_ARGS_OK && document) {
        print_document();
        status = 0;
    } else if (r == KOE_ARGS_OK) {
        koe_error err = { 0 };
        koe_config config;
        koe_status st = koe_config_load(&config, o.given, &err);
        if (st == KOE_OK) st = check(&config, &err);
        koe_config_free(&config);
        status = st == KOE_OK ? 0 : koe_args_failed(&line, &err);
    }
    koe_args_free(&line, &words);
    return status;
}
