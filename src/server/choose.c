/* choose.c - see choose.h. */
#include "server/choose.h"

#include <stdio.h>

#include "server/voices.h"
#include "text/lang.h"

/* OpenAI's voices -> ours of the same name or of a like sound. */
static const struct {
    const char *theirs, *ours;
} openai_voices[] = {
    { "alloy", "af_alloy" }, { "ash", "am_michael" },  { "ballad", "bm_george" }, { "coral", "af_bella" },   { "echo", "am_echo" },
    { "fable", "bm_fable" }, { "onyx", "am_onyx" },    { "nova", "af_nova" },     { "sage", "af_sarah" },    { "shimmer", "af_sky" },
    { "verse", "am_fenrir" }, { "marin", "af_heart" }, { "cedar", "am_puck" },
};

/* Best first. */
static const char *const engines[] = { "kokoro", "piper", "builtin" };
static const char *const openai_models[] = { "tts-1", "tts-1-hd", "gpt-4o-mini-tts" };
enum { N_ENGINES = sizeof engines / sizeof *engines, N_OPENAI_MODELS = sizeof openai_models / sizeof *openai_models };

/* ---- names -------------------------------------------------------------------------------------------------------------------- */

const koe_voice_info *koe_find_voice(const koe_edition *e, const char *name)
{
    size_t n;
    const koe_voice_info *v = koe_engine_voices(e->engine, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0) return &v[i];
    return NULL;
}

const char *koe_openai_voice(const char *name)
{
    for (size_t i = 0; i < sizeof openai_voices / sizeof *openai_voices; i++)
        if (strcasecmp(openai_voices[i].theirs, name) == 0) return openai_voices[i].ours;
    return NULL;
}

static const koe_voice_info *voice_of_engine(const koe_edition *e, const char *engine)
{
    size_t n;
    const koe_voice_info *v = koe_engine_voices(e->engine, &n);
    for (size_t i = 0; i < n; i++)
        if (v[i].is_default && strcmp(v[i].engine, engine) == 0) return &v[i];
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].engine, engine) == 0) return &v[i];
    return NULL;
}

static size_t engine_number(const char *name)
{
    size_t i = 0;
    while (i < N_ENGINES && strcmp(engines[i], name) != 0) i++;
    return i;
}

bool koe_model_known(const char *model)
{
    for (size_t i = 0; i < N_OPENAI_MODELS; i++)
        if (strcmp(openai_models[i], model) == 0) return true;
    return engine_number(model) < N_ENGINES || strncmp(model, "gpt-4o-mini-tts", 15) == 0;
}

/* A model that clients name by a name of OpenAI's is always there, whoever speaks. */
const char *koe_model_id(const koe_edition *e, size_t i)
{
    for (size_t k = 0; k < N_ENGINES; k++)
        if (voice_of_engine(e, engines[k]) && i-- == 0) return engines[k];
    return i < N_OPENAI_MODELS ? openai_models[i] : NULL;
}

bool koe_choose_is_light(const koe_edition *e, const char *voice)
{
    koe_voice_info v;
    return voice && koe_engine_find_voice(e->engine, voice, &v, NULL) == KOE_OK && strcmp(v.engine, "builtin") == 0;
}

/* ---- who speaks instead --------------------------------------------------------------------------------------------------------- */

static const char *const words[] = { "missing", "language", "overloaded" }; /* by koe_lack */

static bool allowed(const koe_server *s, koe_lack lack)
{
    return koe_config_lists(s->config->fallback, words[lack]);
}

static size_t primary(const char *tag) { return strcspn(tag, "-_"); }

/* 2: the language, 1: another kind of it, 0: another one. */
static int alike(const char *a, const char *b)
{
    if (strcasecmp(a, b) == 0) return 2;
    return primary(a) == primary(b) && strncasecmp(a, b, primary(a)) == 0;
}

/* The canonical tag of what the client wants, or what the voice speaks; "en-us" where neither says. */
static const char *language_of(const koe_edition *e, const char *voice, const char *lang)
{
    koe_voice_info v;
    const koe_lang *l = lang ? koe_lang_find(koe_str_of(lang)) : NULL;
    if (l) return l->tag;
    return voice && koe_engine_find_voice(e->engine, voice, &v, NULL) == KOE_OK && *v.lang ? v.lang : "en-us";
}

static const koe_voice_info *voice_for_language(const koe_edition *e, const char *engine, const char *lang)
{
    size_t n;
    int best_fit = 0;
    const koe_voice_info *v = koe_engine_voices(e->engine, &n), *best = NULL;
    for (size_t i = 0; i < n; i++) {
        const int language = strcmp(v[i].engine, engine) == 0 ? alike(v[i].lang, lang) : 0, fit = language ? 2 * language + v[i].is_default : 0;
        if (fit > best_fit) best_fit = fit, best = &v[i];
    }
    return best;
}

/* Whom an earlier warning said to speak ("...; X speaks instead") does not: what is left is why. */
static int reason_length(const char *warning)
{
    const char *last = strstr(warning, "; ");
    for (const char *p = last; p; p = strstr(p + 1, "; ")) last = p;
    return last ? (int)(last + 2 - warning) : 0;
}

static const char *keep(koe_arena *arena, const char *text)
{
    const koe_str copy = koe_arena_str(arena, koe_str_of(text));
    return copy.p ? copy.p : "another voice speaks";
}

bool koe_choose_instead(const char **instead, const char **warning, const koe_server *s, const koe_edition *e, const char *voice, const char *lang,
                        koe_lack lack, koe_arena *arena)
{
    static const char *const reasons[] = { "cannot speak", "does not speak the language", "cannot speak now: the server is busy" };
    char text[400];
    koe_voice_info own;
    const char *before = *warning ? *warning : "";
    const bool known = voice && koe_engine_find_voice(e->engine, voice, &own, NULL) == KOE_OK;
    const char *tag = language_of(e, voice, lang);
    if (!allowed(s, lack)) return false;
    for (size_t i = known ? engine_number(own.engine) + 1 : 0; i < N_ENGINES; i++) {
        const koe_voice_info *v = voice_for_language(e, engines[i], tag);
        if (!v) continue;
        snprintf(text, sizeof text, "%.*svoice '%.80s' %s; %s (%s) speaks instead", reason_length(before), before, voice ? voice : "", reasons[lack], v->name,
                 v->engine);
        koe_metrics_count(s->metrics, KOE_COUNTER_FALLBACKS, words[lack]);
        *instead = v->name;
        *warning = keep(arena, text);
        return true;
    }
    return false;
}

bool koe_choose_may_help(const koe_error *err)
{
    return err->status == KOE_E_FORMAT || err->status == KOE_E_NOT_FOUND || err->status == KOE_E_IO || err->status == KOE_E_UNSUPPORTED;
}

/* Whether the voice's engine was made for the language. */
static bool speaks(const koe_voice_info *v, const char *lang)
{
    const koe_lang *l = koe_lang_find(koe_str_of(lang));
    if (!l || strcmp(v->engine, "builtin") == 0) return true;
    if (strcmp(v->engine, "kokoro") == 0) return l->letter != 0;
    return alike(v->lang, l->tag) > 0;
}

/* ---- the choice ------------------------------------------------------------------------------------------------------------------- */

static const char *default_voice(const koe_server *s, const koe_edition *e)
{
    size_t n;
    const koe_voice_info *v = koe_engine_voices(e->engine, &n);
    if (*s->config->voice) return s->config->voice;
    for (size_t i = 0; i < n; i++)
        if (v[i].is_default) return v[i].name;
    return n ? v[0].name : "builtin";
}

/* The names that every client knows must speak, whatever is installed. */
static const char *substitute(const koe_server *s, const koe_edition *e, const char *wanted, koe_arena *arena, const char **warning)
{
    char text[300];
    const char *voice = default_voice(s, e);
    snprintf(text, sizeof text, "%.80s is not installed; %s speaks instead", wanted, voice);
    *warning = keep(arena, text);
    return voice;
}

/* What the client's names stand for. */
static const char *voice_of_wish(const koe_server *s, const koe_edition *e, const koe_wish *w, koe_arena *arena, const char **warning)
{
    if (w->voice && koe_find_voice(e, w->voice)) return w->voice;
    const char *blend = w->voice ? koe_saved_find(s->saved, w->voice, arena) : NULL;
    if (blend) return blend;
    const char *ours = w->voice ? koe_openai_voice(w->voice) : NULL;
    if (ours) return koe_find_voice(e, ours) ? ours : substitute(s, e, ours, arena, warning);
    if (w->voice) return w->voice; /* a blend, or wrong */
    if (*s->config->voice) return s->config->voice;
    const char *preferred = strcmp(s->config->provider, "auto") == 0 ? "kokoro" : s->config->provider;
    const char *engine = w->model && engine_number(w->model) < N_ENGINES ? w->model : preferred;
    const koe_voice_info *v = voice_of_engine(e, engine);
    return v ? v->name : substitute(s, e, engine, arena, warning);
}

bool koe_choose_voice(const char **voice, const char **warning, const koe_server *s, const koe_edition *e, const koe_wish *w, koe_arena *arena,
                      koe_problem *p)
{
    koe_voice_info v;
    koe_error err = { 0 };
    *voice = voice_of_wish(s, e, w, arena, warning);
    const koe_status st = koe_engine_find_voice(e->engine, *voice, &v, &err);
    if (st == KOE_OK) {
        if (w->lang && !speaks(&v, w->lang)) koe_choose_instead(voice, warning, s, e, *voice, w->lang, KOE_LACK_LANGUAGE, arena);
        return true;
    }
    if (koe_choose_instead(voice, warning, s, e, *voice, w->lang, KOE_LACK_VOICE, arena)) return true;
    koe_problem_of(p, &err);
    if (p->status == 400) p->param = "voice";
    return false;
}
