/* args.c - the option parser. */
#include "cli/args.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int koe_args_wrong(const koe_command_line *c, const char *format, ...)
{
    fprintf(stderr, "%s: ", c->name);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see %s --help\n", c->name);
    return 2;
}

int koe_args_failed(const koe_command_line *c, const koe_error *err)
{
    fprintf(stderr, "%s: %s\n", c->name, err->message[0] ? err->message : koe_status_text(err->status));
    return 1;
}

/* "max-bytes" -> "KOE_MAX_BYTES" */
static const char *env_name(const koe_option *o, char *name, size_t cap)
{
    snprintf(name, cap, "KOE_%s", o->name);
    for (char *p = name; *p; p++) *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return name;
}

/* The words of `text` in lines that end before column WIDTH; those after the first are indented. */
static void print_wrapped(const char *text, int indent)
{
    enum { WIDTH = 110 };
    int column = indent;
    while (*text) {
        const int n = (int)strcspn(text, " ");
        if (column > indent && column + n >= WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", n, text);
        column += n;
        text += n + (text[n] == ' ');
    }
    putchar('\n');
}

static void print_help(const koe_command_line *c)
{
    printf("usage: %s %s\n\n%s\n", c->name, c->usage, c->about);
    if (c->n_option == 0) return;
    printf("\noptions:\n");
    for (size_t i = 0; i < c->n_option; i++) {
        enum { HELP_AT = 29 };
        const koe_option *o = &c->option[i];
        char head[64];
        const char letter[] = { '-', o->letter, ',', ' ', 0 };
        snprintf(head, sizeof head, "%s--%s%s%s", o->letter ? letter : "    ", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        printf("  %-*s ", HELP_AT - 3, head);
        print_wrapped(o->help, HELP_AT);
    }
    printf("\nThe environment can set them too, as $KOE_ and the name in capitals.\n");
}

/* A switch's value in the environment. */
static bool is_yes(const char *text)
{
    return strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "on") == 0;
}

static void read_environment(const koe_command_line *c)
{
    for (size_t i = 0; i < c->n_option; i++) {
        char name[64];
        const char *text = getenv(env_name(&c->option[i], name, sizeof name));
        if (!text || !*text) continue;
        if (c->option[i].text) *c->option[i].text = text;
        if (c->option[i].on) *c->option[i].on = is_yes(text);
    }
}

static const koe_option *find_long(const koe_command_line *c, const char *name, size_t n)
{
    for (size_t i = 0; i < c->n_option; i++)
        if (strlen(c->option[i].name) == n && memcmp(c->option[i].name, name, n) == 0) return &c->option[i];
    return NULL;
}

static const koe_option *find_short(const koe_command_line *c, char letter)
{
    for (size_t i = 0; i < c->n_option; i++)
        if (c->option[i].letter && c->option[i].letter == letter) return &c->option[i];
    return NULL;
}

/* Lists are as long as argv can make them, allocated once. */
static bool list_add(koe_arg_list *list, const char *item, int argc)
{
    if (!list->item) list->item = calloc((size_t)argc, sizeof *list->item);
    if (!list->item) return false;
    list->item[list->n++] = item;
    return true;
}

/* Stores an option's value. `value` is what followed '=' or the letter, or NULL; then the next word is taken, and *at advances.
 */
static bool take_option(const koe_command_line *c, const koe_option *o, const char *value, int argc, char **argv, int *at)
{
    if (o->on) {
        if (value) koe_args_wrong(c, "--%s takes no value", o->name);
        else *o->on = true;
        return !value;
    }
    if (!value && *at + 1 < argc) value = argv[++*at];
    if (!value) {
        koe_args_wrong(c, "--%s needs a value: --%s %s", o->name, o->name, o->value);
        return false;
    }
    if (o->text) *o->text = value;
    if (o->list && !list_add(o->list, value, argc)) {
        koe_args_wrong(c, "out of memory");
        return false;
    }
    return true;
}

/* -v NAME, -vNAME, and switches in a row: -jq */
static bool take_short(const koe_command_line *c, int argc, char **argv, int *at)
{
    for (const char *p = argv[*at] + 1; *p; p++) {
        const koe_option *o = find_short(c, *p);
        if (!o) {
            koe_args_wrong(c, "there is no option -%c (put -- before a text that begins with -)", *p);
            return false;
        }
        if (!o->on) return take_option(c, o, p[1] ? p + 1 : NULL, argc, argv, at);
        *o->on = true;
    }
    return true;
}

static bool take_long(const koe_command_line *c, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    const koe_option *o = find_long(c, name, equals ? (size_t)(equals - name) : strlen(name));
    if (!o) {
        koe_args_wrong(c, "there is no option %s (put -- before a text that begins with -)", argv[*at]);
        return false;
    }
    return take_option(c, o, equals ? equals + 1 : NULL, argc, argv, at);
}

koe_args_result koe_args_parse(const koe_command_line *c, int argc, char **argv, koe_arg_list *words)
{
    bool options = true;
    read_environment(c);
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (options && (strcmp(a, "--help") == 0 || (strcmp(a, "-h") == 0 && !find_short(c, 'h')))) {
            print_help(c);
            return KOE_ARGS_HELP;
        }
        if (options && strcmp(a, "--") == 0) {
            options = false;
        } else if (options && a[0] == '-' && a[1] == '-') {
            if (!take_long(c, argc, argv, &i)) return KOE_ARGS_WRONG;
        } else if (options && a[0] == '-' && a[1]) {
            if (!take_short(c, argc, argv, &i)) return KOE_ARGS_WRONG;
        } else if (!list_add(words, a, argc)) {
            koe_args_wrong(c, "out of memory");
            return KOE_ARGS_WRONG;
        }
    }
    return KOE_ARGS_OK;
}

void koe_args_free(const koe_command_line *c, koe_arg_list *words)
{
    free(words->item);
    *words = (koe_arg_list){ 0 };
    for (size_t i = 0; i < c->n_option; i++)
        if (c->option[i].list) {
            free(c->option[i].list->item);
            *c->option[i].list = (koe_arg_list){ 0 };
        }
}

koe_status koe_args_int(int64_t *out, const char *text, const char *what, int64_t least, int64_t most, koe_error *err)
{
    if (!text) return KOE_OK;
    char *end = NULL;
    errno = 0;
    const long long n = strtoll(text, &end, 10);
    if (end == text || *end || errno || n < least || n > most)
        return koe_fail(err, KOE_E_ARGUMENT, "%s is '%s', it must be a whole number from %" PRId64 " to %" PRId64, what, text,
                        least, most);
    *out = n;
    return KOE_OK;
}

koe_status koe_args_number(double *out, const char *text, const char *what, double least, double most, koe_error *err)
{
    if (!text) return KOE_OK;
    char *end = NULL;
    const double x = strtod(text, &end);
    if (end == text || *end || !(x >= least && x <= most))
        return koe_fail(err, KOE_E_ARGUMENT, "%s is '%s', it must be a number from %g to %g", what, text, least, most);
    *out = x;
    return KOE_OK;
}
