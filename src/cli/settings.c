/* settings.c - see settings.h. */
#include "cli/settings.h"

#include <assert.h>
#include <stdio.h>

void koe_settings_options_init(koe_settings_options *o)
{
    size_t n;
    const koe_setting *s = koe_settings(&n);
    assert(n <= KOE_SETTINGS_MAX);
    *o = (koe_settings_options){ .n = n };
    for (size_t i = 0; i < n; i++) {
        const char *sep = *s[i].preset ? " (default: " : "";
        const int length = snprintf(o->help[i], sizeof o->help[i], "%s%s%s%s%s%s", s[i].help, s[i].one_of ? ": " : "",
                                    s[i].one_of ? s[i].one_of : "", sep, s[i].preset, *sep ? ")" : "");
        assert(length >= 0 && (size_t)length < sizeof o->help[i]);
        (void)length;
        o->option[i] = (koe_option){ .name = s[i].name, .value = s[i].value, .help = o->help[i], .text = &o->given[i] };
    }
}
