/* settings.h - the server's table of settings (server/config.h) as options of a command line. */
#ifndef KOE_CLI_SETTINGS_H
#define KOE_CLI_SETTINGS_H
#include "cli/args.h"
#include "server/config.h"

enum { KOE_SETTINGS_MAX = 128 };

typedef struct koe_settings_options {
    koe_option option[KOE_SETTINGS_MAX + 3];
    const char *given[KOE_SETTINGS_MAX]; /* by row of the table, for koe_config_load() */
    char help[KOE_SETTINGS_MAX][320];
    size_t n;
} koe_settings_options;

/* Fills *o; up to two options of the command's own may be appended to o->option[o->n++]. */
void koe_settings_options_init(koe_settings_options *o);
#endif
