/* voices.c - who can speak: the lists that clients ask for, OpenAI's names, and blends saved under a name. */
#include "server/voices.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "server/choose.h"
#include "voice/blend.h"

enum { MAX_SAVED_BYTES = 1 << 20, MAX_SAVED = 10000, MAX_NAME = 64 };

struct koe_saved {
    char *path;
    pthread_mutex_t lock; /* guards: */
    json_t *blends;
};

/* ---- saved blends ------------------------------------------------------------------------------------------------------------- */

koe_status koe_saved_open(koe_saved **out, const char *home, koe_error *err)
{
    koe_saved *s = calloc(1, sizeof *s);
    koe_buf text = { 0 };
    if (!s) return koe_fail(err, KOE_E_NOMEM, "voices");
    pthread_mutex_init(&s->lock, NULL);
    char *found = *home ? NULL : koe_path_home();
    s->path = koe_path_join(*home ? home : found ? found : "", "saved/blends.json");
    free(found);
    koe_status st = s->path ? koe_file_read(&text, s->path, MAX_SAVED_BYTES, err) : koe_fail(err, KOE_E_NOMEM, "voices");
    if (st == KOE_E_NOT_FOUND) {
        st = KOE_OK;
        s->blends = json_object();
    } else if (st == KOE_OK) {
        s->blends = json_loadb(text.data ? text.data : "", text.n, 0, NULL);
    }
    koe_buf_free(&text);
    if (st == KOE_OK && !json_is_object(s->blends)) st = koe_fail(err, KOE_E_FORMAT, "%s is not a JSON object", s->path);
    if (st != KOE_OK) {
        koe_saved_close(s);
        return st;
    }
    if (err) *err = (koe_error){ 0 };
    *out = s;
    return KOE_OK;
}

void koe_saved_close(koe_saved *s)
{
    if (!s) return;
    json_decref(s->blends);
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}

const char *koe_saved_find(koe_saved *s, const char *name, koe_arena *arena)
{
    pthread_mutex_lock(&s->lock);
    const char *text = json_string_value(json_object_get(s->blends, name));
    const char *copy = text ? koe_arena_str(arena, koe_str_of(text)).p : NULL;
    pthread_mutex_unlock(&s->lock);
    return copy;
}

static koe_status save_blend(koe_saved *s, const char *name, const char *blend, koe_error *err)
{
    pthread_mutex_lock(&s->lock);
    koe_status st = json_object_size(s->blends) < MAX_SAVED ? KOE_OK : koe_fail(err, KOE_E_LIMIT, "%d blends are saved already", MAX_SAVED);
    json_t *next = st == KOE_OK ? json_copy(s->blends) : NULL;
    char *text = next && json_object_set_new(next, name, json_string(blend)) == 0 ? json_dumps(next, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    if (st == KOE_OK && !text) st = koe_fail(err, KOE_E_NOMEM, "voices");
    if (st == KOE_OK) st = koe_file_make_parent(s->path, err);
    if (st == KOE_OK) st = koe_file_write_atomic(s->path, text, strlen(text), err);
    if (st == KOE_OK) {
        json_decref(s->blends);
        s->blends = next;
        next = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    free(text);
    json_decref(next);
    return st;
}

/* ---- lists ----------------------------------------------------------------------------------------------------------------------------- */

static bool is_yes(const char *text) { return text && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0); }

enum MHD_Result koe_route_voices(koe_call *c)
{
    size_t n;
    koe_edition *e = koe_models_take(c->server->models);
    const koe_voice_info *v = koe_engine_voices(e->engine, &n);
    const bool names_only = is_yes(koe_call_query(c, "legacy"));
    koe_saved *saved = c->server->saved;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *j = names_only ? json_string(v[i].name)
                               : json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", v[i].name, "name", v[i].name, "language", v[i].lang, "gender", v[i].gender,
                                           "engine", v[i].engine);
        if (!names_only && *v[i].grade) json_object_set_new(j, "grade", json_string(v[i].grade));
        json_array_append_new(list, j);
    }
    koe_edition_drop(e); /* jansson has copied the texts */
    const char *name;
    json_t *blend;
    pthread_mutex_lock(&saved->lock);
    json_object_foreach(saved->blends, name, blend) json_array_append_new(
        list, names_only ? json_string(name)
                         : json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "id", name, "name", name, "language", "", "gender", "", "engine", "kokoro", "blend", blend));
    pthread_mutex_unlock(&saved->lock);
    return koe_reply_json(c, 200, json_pack("{s:o}", "voices", list));
}

static json_t *model_json(const char *id)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "id", id, "object", "model", "created", (json_int_t)1735689600, "owned_by", "koe");
}

enum MHD_Result koe_route_models(koe_call *c)
{
    koe_edition *e = koe_models_take(c->server->models);
    json_t *list = json_array();
    for (size_t i = 0; koe_model_id(e, i); i++) json_array_append_new(list, model_json(koe_model_id(e, i)));
    koe_edition_drop(e);
    return koe_reply_json(c, 200, json_pack("{s:s, s:o}", "object", "list", "data", list));
}

enum MHD_Result koe_route_model(koe_call *c)
{
    koe_edition *e = koe_models_take(c->server->models);
    const char *id = NULL;
    for (size_t i = 0; koe_model_id(e, i) && !id; i++)
        if (koe_str_is(c->tail, koe_model_id(e, i))) id = koe_model_id(e, i);
    koe_edition_drop(e);
    if (id) return koe_reply_json(c, 200, model_json(id));
    return koe_reply_error(c, 404, "model_not_found", "model", "there is no model '%.80s'; see GET /v1/models", c->tail.p);
}

enum MHD_Result koe_route_audio_models(koe_call *c)
{
    koe_edition *e = koe_models_take(c->server->models);
    json_t *list = json_array();
    for (size_t i = 0; koe_model_id(e, i); i++) json_array_append_new(list, json_pack("{s:s}", "id", koe_model_id(e, i)));
    koe_edition_drop(e);
    return koe_reply_json(c, 200, json_pack("{s:o}", "models", list));
}

/* ---- POST /v1/audio/voices/combine --------------------------------------------------------------------------------------------------- */

/* "a+b" out of "a+b", ["a", "b"], {"voice": ...} or {"voices": ...}. */
static bool read_blend(const json_t *j, koe_buf *out)
{
    if (json_is_string(j)) {
        koe_buf_adds(out, json_string_value(j));
        return true;
    }
    for (size_t i = 0; i < json_array_size(j); i++) {
        const char *one = json_string_value(json_array_get(j, i));
        if (!one) return false;
        if (i) koe_buf_addc(out, '+');
        koe_buf_adds(out, one);
    }
    return json_array_size(j) > 0;
}

/* A name that cannot be mistaken for a blend: letters, digits and _; af_bella(2)+af_sky -> af_bella_2_af_sky */
static bool make_name(const char *given, const char *blend, char *out)
{
    size_t n = 0;
    for (const char *p = given ? given : blend; *p; p++) {
        const bool plain = isalnum((unsigned char)*p) || *p == '_';
        if ((given && !plain) || n + 1 >= MAX_NAME) return false;
        if (plain) out[n++] = *p;
        else if (n && out[n - 1] != '_') out[n++] = '_';
    }
    while (!given && n && out[n - 1] == '_') n--;
    out[n] = 0;
    return n > 0;
}

static bool check_blend(const koe_edition *e, const char *blend, koe_problem *p)
{
    size_t n;
    koe_blend parsed;
    koe_error err = { 0 };
    const koe_voice_info *v = koe_engine_voices(e->engine, &n);
    koe_str *names = calloc(n + 1, sizeof *names);
    if (!names) return koe_problem_set(p, 503, "overloaded", NULL, "the server has no memory for this now");
    for (size_t i = 0; i < n; i++) names[i] = koe_str_of(v[i].name);
    koe_status st = koe_blend_parse(&parsed, koe_str_of(blend), names, n, &err);
    for (size_t i = 0; st == KOE_OK && i < parsed.n; i++)
        if (strcmp(v[parsed.part[i].voice].engine, "kokoro") != 0)
            st = koe_fail(&err, KOE_E_ARGUMENT, "voice '%s' is %s's; only Kokoro's voices can be blended", v[parsed.part[i].voice].name,
                          v[parsed.part[i].voice].engine);
    free(names);
    return st == KOE_OK || koe_problem_set(p, 400, st == KOE_E_NOT_FOUND ? "voice_not_found" : "invalid_value", "voices", "%s", err.message);
}

enum MHD_Result koe_route_combine(koe_call *c)
{
    koe_problem p = { 0 };
    koe_error err = { 0 };
    koe_buf blend = { 0 };
    char name[MAX_NAME];
    enum MHD_Result refused = MHD_YES;
    if (!koe_call_takes_json(c, &refused)) return refused; /* pages of other origins can send anything else without asking */
    koe_edition *e = koe_models_take(c->server->models);
    json_t *body = json_loadb(c->body.data ? c->body.data : "", c->body.n, JSON_DECODE_ANY, NULL);
    const json_t *voices = json_is_object(body) ? json_object_get(body, "voices") : body;
    if (json_is_object(body) && !voices) voices = json_object_get(body, "voice");
    const json_t *name_given = json_object_get(body, "name");
    const char *given = json_string_value(name_given);
    const bool read = read_blend(voices, &blend) && !blend.failed;
    if (!read) koe_problem_set(&p, 400, "invalid_value", "voices", "send {\"name\": ..., \"voices\": \"af_bella(2)+af_sky(1)\"}, or an array of voices");
    else if ((name_given && !given && !json_is_null(name_given)) || !make_name(given, blend.data, name)) koe_problem_set(&p, 400, "invalid_value", "name", "a name has 1 to 63 letters, digits or _");
    else if (koe_find_voice(e, name) || koe_openai_voice(name)) koe_problem_set(&p, 409, "name_taken", "name", "there is a voice '%s' already", name);
    else if (check_blend(e, blend.data, &p) && save_blend(c->server->saved, name, blend.data, &err) != KOE_OK) koe_problem_of(&p, &err);
    koe_edition_drop(e);
    json_decref(body);
    const enum MHD_Result result =
        p.status ? koe_reply_problem(c, &p) : koe_reply_json(c, 200, json_pack("{s:s, s:s, s:s}", "id", name, "name", name, "blend", blend.data));
    koe_buf_free(&blend);
    return result;
}
