/* engine.c - opens what is installed and holds it together. */
#include "synth/engine.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "graph/graph.h"

static koe_status parse_precision(int *out, const char *name, koe_error *err)
{
    if (!name) name = getenv("KOE_PRECISION");
    if (!name || !*name) name = "auto";
    *out = koe_precision_of(name);
    if (*out >= 0) return KOE_OK;
    return koe_fail(err, KOE_E_ARGUMENT, "precision '%s'; there are f32, bf16, int8 and auto", name);
}

static koe_status open_rooms(koe_engine *e, const koe_engine_options *opt, const char *home, koe_error *err)
{
    int precision = 0;
    if (opt->memory_limit_mb) koe_process_limit_set(opt->memory_limit_mb << 20);
    koe_status st = parse_precision(&precision, opt->precision, err);
    if (st == KOE_OK) st = koe_pool_create(&e->pool, opt->threads, err);
    if (st != KOE_OK) return st;
    char *lexicon = koe_path_join(home, "lexicon");
    if (!lexicon) return koe_fail(err, KOE_E_NOMEM, "engine");
    st = koe_text_open(&e->text, &(koe_text_setup){ .lexicon_dir = lexicon, .user_lexicon = opt->lexicon, .helper = opt->helper }, err);
    free(lexicon);
    if (st != KOE_OK) return st;
    const koe_voices_setup setup = {
        .home = home, .model = opt->model, .piper_model = opt->piper_model, .voices = opt->voices, .pool = e->pool, .precision = precision, .keep_weights = opt->keep_weights, .espeak = koe_text_espeak(e->text)
    };
    return koe_voices_open(&e->voices, &setup, err);
}

koe_status koe_engine_open(koe_engine **out, const koe_engine_options *opt, koe_error *err)
{
    static const koe_engine_options defaults = { 0 };
    if (!opt) opt = &defaults;
    koe_engine *e = calloc(1, sizeof *e);
    char *home = opt->home && *opt->home ? koe_str_dup(koe_str_of(opt->home)) : koe_path_home();
    koe_status st = e && home ? open_rooms(e, opt, home, err) : koe_fail(err, KOE_E_NOMEM, "engine");
    free(home);
    if (st != KOE_OK) {
        koe_engine_close(e);
        return st;
    }
    *out = e;
    return KOE_OK;
}

void koe_engine_close(koe_engine *e)
{
    if (!e) return;
    koe_voices_close(e->voices);
    koe_text_close(e->text);
    koe_pool_destroy(e->pool);
    free(e);
}

const koe_voice_info *koe_engine_voices(koe_engine *e, size_t *n) { return koe_voices_list(e->voices, n); }

koe_status koe_engine_find_voice(koe_engine *e, const char *spelling, koe_voice_info *out, koe_error *err)
{
    koe_voice v;
    const koe_status st = koe_voice_find(&v, e->voices, koe_str_of(spelling), err);
    if (st == KOE_OK) *out = (koe_voice_info){ .name = spelling, .lang = v.lang, .gender = "", .grade = "", .engine = v.engine, .rate_hz = v.rate_hz };
    return st;
}

koe_status koe_engine_load(koe_engine *e, const char *voice, koe_error *err)
{
    koe_voice v;
    const koe_status st = koe_voice_find(&v, e->voices, koe_str_of(voice), err);
    return st == KOE_OK ? koe_voice_load(&v, err) : st;
}

koe_models_load koe_engine_unload(koe_engine *e, double idle_s) { return koe_voices_unload(e->voices, idle_s); }
