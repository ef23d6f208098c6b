/* main.c - koe COMMAND ...: the table of commands. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "cli/cli.h"
#include "text/espeak.h"

/* The process that holds espeak-ng for another koe process (text/espeak.h): requests on stdin, answers on stdout. */
static int cmd_espeak_helper(int argc, char **argv)
{
    (void)argc, (void)argv;
    return koe_espeak_serve(0, 1);
}

static const struct command {
    const char *name;
    koe_command_fn *run;
    const char *about; /* NULL: not for people */
} commands[] = {
    { "say", koe_cmd_say, "speak a text, a file or stdin" },
    { "voices", koe_cmd_voices, "list the voices that can speak now" },
    { "phonemes", koe_cmd_phonemes, "show how text is read" },
    { "lexicon", koe_cmd_lexicon, "compile the dictionaries for quick opening" },
    { "pull", koe_cmd_pull, "download published models, voices and dictionaries" },
    { "model", koe_cmd_model, "look into, run, check or time a model file" },
    { "serve", koe_cmd_serve, "speak over HTTP" },
    { "config", koe_cmd_config, "check the settings" },
    { "espeak-helper", cmd_espeak_helper, NULL },
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_usage(FILE *out)
{
    fprintf(out, "usage: koe COMMAND [options] ...\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i].about) fprintf(out, "  koe %-10s %s\n", commands[i].name, commands[i].about);
    fprintf(out, "\n`koe COMMAND --help` shows a command's options. For a start: koe say \"Hello, world.\" -o hello.wav\n");
}

/* Output that could not be written is a failure, except where the reader left early (koe voices | head). */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    if (errno != EPIPE) fprintf(stderr, "koe: cannot write to stdout: %s\n", strerror(errno));
    return 1;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); /* a player or the helper process may go away: writing then fails with EPIPE */
    setenv("KOE_BIN", "/proc/self/exe", 0); /* whose helper process is this program too */
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("koe %s\n", KOE_VERSION);
        return finish(0);
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return finish(0);
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return finish(commands[i].run(argc - 1, argv + 1));
    fprintf(stderr, "koe: there is no command '%s'; see koe --help\n", name);
    return 2;
}
