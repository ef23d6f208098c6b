/* input.h - the text of a command line: written out, in a file, or on stdin. */
#ifndef KOE_CLI_INPUT_H
#define KOE_CLI_INPUT_H
#include "base/str.h"
#include "cli/args.h"

/* words: what the command line holds besides options; several are joined by spaces. A single one is a file when a file of that
 * name exists, or when it can only be meant as one (it ends in .txt or begins with / or ./ and holds no space); "-" is stdin, and
 * so is nothing at all unless stdin is a terminal (KOE_E_ARGUMENT). *source names the origin for messages ("" for the command
 * line itself). Free out with koe_buf_free(). */
koe_status koe_input_read(koe_buf *out, const char **source, const koe_arg_list *words, koe_error *err);
#endif
