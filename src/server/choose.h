/* choose.h - who speaks: what clients call a voice or a model -> a voice of the engine, and who speaks instead, where the setting `fallback`
 * lets another one: for a voice that is missing, a language that the voice's engine does not speak, a machine that has no time for it.
 * Instead of Kokoro speaks a Piper voice of the language, instead of both the built-in voice. The client is always told. */
#ifndef KOE_SERVER_CHOOSE_H
#define KOE_SERVER_CHOOSE_H
#include "base/arena.h"
#include "server/http.h"

/* What the client asked for; NULL: not said. */
typedef struct koe_wish {
    const char *voice, *model, *lang;
} koe_wish;

typedef enum koe_lack { KOE_LACK_VOICE, KOE_LACK_LANGUAGE, KOE_LACK_TIME } koe_lack;

/* *warning is set when it is another voice than asked for. The texts are the arena's or static. False: *p says that there is no such voice. */
bool koe_choose_voice(const char **voice, const char **warning, const koe_server *s, const koe_edition *e, const koe_wish *w, koe_arena *arena,
                      koe_problem *p);
/* Who speaks instead of `voice` (NULL: the default; lang NULL: its own). *warning: why that one speaks, NULL when it is the one asked for; with
 * this reason too on return. False: nobody, or `fallback` does not say so. */
bool koe_choose_instead(const char **instead, const char **warning, const koe_server *s, const koe_edition *e, const char *voice, const char *lang,
                        koe_lack lack, koe_arena *arena);
/* Whether the error says that the voice cannot speak, so that another one might. */
bool koe_choose_may_help(const koe_error *err);
/* Whether it is an engine whose speech costs next to nothing. */
bool koe_choose_is_light(const koe_edition *e, const char *voice);
/* Whether model is one that clients may name. */
bool koe_model_known(const char *model);
/* Ids of the models, for the lists; NULL beyond the last. Those of engines that have no voice now are left out. */
const char *koe_model_id(const koe_edition *e, size_t i);

/* A voice that is installed; NULL: none of that name. */
const koe_voice_info *koe_find_voice(const koe_edition *e, const char *name);
/* Ours for one of OpenAI's; NULL: not one of theirs. */
const char *koe_openai_voice(const char *name);
#endif
