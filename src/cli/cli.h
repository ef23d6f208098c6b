/* cli.h - the koe command: argv -> one function per command -> exit status.
 *     main.c      the table of commands          args.c     options
 *     say.c       text -> sound                  sink.c     where sound goes: a WAV file, raw samples, a player
 *     voices.c, phonemes.c, lexicon.c            pull.c     published models -> $KOE_HOME
 *     model*.c    a model file by itself         serve.c, config.c
 * Exit status: 0 done, 1 failed, 2 wrong usage; an error is one line on stderr that says what to do. */
#ifndef KOE_CLI_CLI_H
#define KOE_CLI_CLI_H

/* argv[0] is the command's own name. Each returns the exit status. */
typedef int koe_command_fn(int argc, char **argv);

koe_command_fn koe_cmd_say, koe_cmd_serve, koe_cmd_voices, koe_cmd_pull, koe_cmd_config, koe_cmd_phonemes,
    koe_cmd_lexicon;
koe_command_fn koe_cmd_model, koe_cmd_model_info, koe_cmd_model_run, koe_cmd_model_check, koe_cmd_model_bench,
    koe_cmd_model_pack;
#endif
