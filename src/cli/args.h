/* args.h - options of a command line, read by one table per command.
 *     koe say -v af_heart --speed=1.2 "Hello"      long options take their value with '=' or as the next word
 * Every option that takes one value can be given by the environment too: --zip-code is $KOE_ZIP_CODE. The command line wins. */
#ifndef KOE_CLI_ARGS_H
#define KOE_CLI_ARGS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Values of an option that may be repeated; borrowed from argv. */
typedef struct koe_arg_list {
    const char **item;
    size_t n;
} koe_arg_list;

/* Exactly one of text, on and list is set. */
typedef struct koe_option {
    const char *name; /* long form, without the dashes */
    char letter; /* short form, 0: none */
    const char *value; /* what the help calls the value; NULL for a switch */
    const char *help;
    const char **text; /* takes one value */
    bool *on; /* a switch */
    koe_arg_list *list; /* takes one value each time */
} koe_option;

/* How a command is called, for its help and its messages. */
typedef struct koe_command_line {
    const char *name; /* "koe say" */
    const char *usage; /* what follows the name: "[options] TEXT" */
    const char *about; /* one or more lines */
    const koe_option *option;
    size_t n_option;
} koe_command_line;

typedef enum koe_args_result { KOE_ARGS_OK, KOE_ARGS_HELP, KOE_ARGS_WRONG } koe_args_result;

/* Reads argv[1..argc) and the environment into what the options point at; the words that are no options go to *words (memory of
 * words and lists is freed by koe_args_free()). `--` ends the options, a lone `-` is a word. On KOE_ARGS_HELP the help was
 * printed to stdout; on KOE_ARGS_WRONG one line was printed to stderr. */
koe_args_result koe_args_parse(const koe_command_line *c, int argc, char **argv, koe_arg_list *words);
void koe_args_free(const koe_command_line *c, koe_arg_list *words);

/* Whole numbers and decimals of an option; KOE_E_ARGUMENT names `what` and the range. NULL text leaves *out as it is. */
koe_status koe_args_int(int64_t *out, const char *text, const char *what, int64_t least, int64_t most, koe_error *err);
koe_status koe_args_number(double *out, const char *text, const char *what, double least, double most, koe_error *err);

/* Prints "koe say: message; see koe say --help" and returns 2, the exit status of wrong usage. */
int koe_args_wrong(const koe_command_line *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints "koe say: message" and returns 1, the exit status of failure. */
int koe_args_failed(const koe_command_line *c, const koe_error *err);
#endif
