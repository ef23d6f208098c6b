#include "voice/piper_config.h"

#include <stdlib.h>

#include "text/lang.h"

/* A number within limits; `otherwise` when it is absent. */
static koe_status get_number(double *out, const json_t *object, const char *key, double least, double most, double otherwise,
                             koe_error *err)
{
    const json_t *v = json_object_get(object, key);
    *out = json_is_number(v) ? json_number_value(v) : otherwise;
    if ((v && !json_is_null(v) && !json_is_number(v)) || !(*out >= least && *out <= most))
        return koe_fail(err, KOE_E_FORMAT, "\"%s\" is no number from %g to %g", key, least, most);
    return KOE_OK;
}

static koe_status read_sound(koe_piper_config *c, const json_t *root, koe_error *err)
{
    const json_t *inference = json_object_get(root, "inference");
    double rate = 0, speakers = 0;
    koe_status st = get_number(&rate, json_object_get(root, "audio"), "sample_rate", 1000, 384000, 0, err);
    if (st == KOE_OK) st = get_number(&c->noise_scale, inference, "noise_scale", 0, 100, 0.667, err);
    if (st == KOE_OK) st = get_number(&c->length_scale, inference, "length_scale", 0.01, 100, 1, err);
    if (st == KOE_OK) st = get_number(&c->noise_w, inference, "noise_w", 0, 100, 0.8, err);
    if (st == KOE_OK) st = get_number(&speakers, root, "num_speakers", 0, KOE_PIPER_MAX_SPEAKERS, 1, err);
    if (st != KOE_OK) return st;
    c->rate_hz = (int)rate;
    c->n_speakers = speakers > 1 ? (size_t)speakers : 1;
    return KOE_OK;
}

static koe_status read_alphabet(koe_piper_config *c, const json_t *root, koe_error *err)
{
    const json_t *type = json_object_get(root, "phoneme_type"), *ids = json_object_get(root, "phoneme_id_map");
    const char *voice = json_string_value(json_object_get(json_object_get(root, "espeak"), "voice"));
    koe_str name = koe_str_of(type ? json_string_value(type) : "espeak");
    if (koe_str_is(name, "espeak")) c->alphabet = KOE_ALPHABET_ESPEAK;
    else if (koe_str_is(name, "text")) c->alphabet = KOE_ALPHABET_TEXT;
    else return koe_fail(err, KOE_E_UNSUPPORTED, "phoneme_type '%.*s'; espeak and text are read", KOE_STR_ARG(name));
    const json_t *language = json_object_get(root, "language");
    const char *code = json_string_value(json_object_get(language, "code"));
    const koe_lang *lang = voice ? koe_lang_find(koe_str_of(voice)) : NULL;
    if (!lang && code) lang = koe_lang_find(koe_str_of(code));
    if (!lang)
        return koe_fail(err, KOE_E_UNSUPPORTED, "its language, espeak voice '%s', is not one that koe reads", voice ? voice : "");
    c->lang = lang->tag;
    c->espeak_voice = koe_str_dup(koe_str_of(voice ? voice : lang->espeak));
    if (!c->espeak_voice) return koe_fail(err, KOE_E_NOMEM, "settings");
    if (!json_is_object(ids)) return koe_fail(err, KOE_E_FORMAT, "no \"phoneme_id_map\": {\"symbol\": [id, ...], ...}");
    koe_status st = koe_symbols_read(&c->symbols, ids, "phoneme_id_map", err);
    if (st == KOE_OK &&
        (!koe_symbols_find(&c->symbols, '^') || !koe_symbols_find(&c->symbols, '_') || !koe_symbols_find(&c->symbols, '$')))
        st = koe_fail(err, KOE_E_FORMAT, "phoneme_id_map needs ^, _ and $");
    return st;
}

static koe_status read_speakers(koe_piper_config *c, const json_t *root, koe_error *err)
{
    const json_t *map = json_object_get(root, "speaker_id_map");
    const char *name;
    json_t *number;
    if (c->n_speakers < 2 || json_object_size(map) == 0) return KOE_OK;
    if (!(c->named = calloc(json_object_size(map), sizeof *c->named))) return koe_fail(err, KOE_E_NOMEM, "speakers");
    json_object_foreach((json_t *)(uintptr_t)map, name, number)
    {
        json_int_t i = json_is_integer(number) ? json_integer_value(number) : -1;
        if (i < 0 || (size_t)i >= c->n_speakers)
            return koe_fail(err, KOE_E_FORMAT, "speaker '%s' has no number from 0 to %zu", name, c->n_speakers - 1);
        c->named[c->n_named] = (koe_piper_speaker){ koe_str_dup(koe_str_of(name)), (size_t)i };
        if (!c->named[c->n_named++].name) return koe_fail(err, KOE_E_NOMEM, "speakers");
    }
    return KOE_OK;
}

koe_status koe_piper_config_parse(koe_piper_config *out, koe_str json, const char *what, koe_error *err)
{
    json_error_t jerr;
    *out = (koe_piper_config){ 0 };
    json_t *root = json_loadb(json.p ? json.p : "", json.n, 0, &jerr);
    if (!root) return koe_fail(err, KOE_E_FORMAT, "%s, line %d: %s", what, jerr.line, jerr.text);
    koe_status st = read_sound(out, root, err);
    if (st == KOE_OK) st = read_alphabet(out, root, err);
    if (st == KOE_OK) st = read_speakers(out, root, err);
    json_decref(root);
    if (st == KOE_OK) return KOE_OK;
    koe_piper_config_deinit(out);
    return koe_error_wrap(err, st, "%s", what);
}

void koe_piper_config_deinit(koe_piper_config *c)
{
    for (size_t i = 0; i < c->n_named; i++) free(c->named[i].name);
    free(c->named);
    free(c->espeak_voice);
    koe_symbols_deinit(&c->symbols);
    *c = (koe_piper_config){ 0 };
}
