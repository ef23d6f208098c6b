/* captioned.c - Kokoro-FastAPI's own routes: speech with the time of every word, phonemes of a text, speech of phonemes. */
#include <stdlib.h>

#include "base/base.h"
#include "server/speech.h"
#include "text/lang.h"

static void with_times(koe_utterance *u, const json_t *body)
{
    u->whole = json_is_false(json_object_get(body, "stream"));
    u->shape = u->whole ? KOE_SHAPE_JSON : KOE_SHAPE_LINES;
    if (u->whole) u->first_piece_s = 0;
    u->timestamps = true;
}

enum MHD_Result koe_route_captioned(koe_call *c) { return koe_speech_route(c, "input", with_times); }

static void at_once(koe_utterance *u, const json_t *body)
{
    (void)body;
    u->whole = true;
    u->first_piece_s = 0;
}

enum MHD_Result koe_route_from_phonemes(koe_call *c) { return koe_speech_route(c, "phonemes", at_once); }

/* Phonemes are made at once, on the connection's thread: reading a text is quick, and the text is short. */
enum { MAX_PHONEMIZE_BYTES = 20000 };

/* The symbols one by one, as the model's vocabulary has them. */
static json_t *tokens_of(const char *phonemes)
{
    json_t *list = json_array();
    for (const char *p = phonemes; *p;) {
        size_t n = 1;
        while (((unsigned char)p[n] & 0xC0) == 0x80) n++;
        json_array_append_new(list, json_stringn(p, n));
        p += n;
    }
    return list;
}

static enum MHD_Result reply_phonemes(koe_call *c, const char *text, const char *lang)
{
    char *phonemes = NULL;
    koe_error err = { 0 };
    const koe_request q = { .text = text, .lang = lang };
    koe_edition *e = koe_models_take(c->server->models);
    const koe_status st = koe_phonemes(e->engine, &q, &phonemes, &err);
    koe_edition_drop(e);
    if (st != KOE_OK) {
        koe_problem p = { 0 };
        koe_problem_of(&p, &err);
        return koe_reply_problem(c, &p);
    }
    for (char *p = phonemes; *p; p++)
        if (*p == '\n') *p = ' ';
    json_t *j = json_pack("{s:s, s:o}", "phonemes", phonemes, "tokens", tokens_of(phonemes));
    free(phonemes);
    return koe_reply_json(c, 200, j);
}

enum MHD_Result koe_route_phonemize(koe_call *c)
{
    enum MHD_Result result = MHD_YES;
    koe_problem p = { 0 };
    json_t *body = koe_call_json(c, &result);
    if (!body) return result;
    const json_t *text = json_object_get(body, "text"), *language = json_object_get(body, "language");
    const char *lang = json_is_string(language) && *json_string_value(language) ? json_string_value(language) : NULL;
    const koe_str s = { json_string_value(text), json_string_length(text) };
    if (!text || json_is_null(text)) koe_problem_set(&p, 400, "missing_field", "text", "text is missing: what to read");
    else if (language && !json_is_null(language) && !json_is_string(language)) koe_problem_set(&p, 400, "invalid_type", "language", "language must be a string");
    else if (koe_str_trim(s).n == 0 || memchr(s.p, 0, s.n)) koe_problem_set(&p, 400, "invalid_value", "text", "text must be a string with something to say");
    else if (s.n > MAX_PHONEMIZE_BYTES) koe_problem_set(&p, 413, "text_too_long", "text", "text has %zu bytes, the limit is %d", s.n, MAX_PHONEMIZE_BYTES);
    else if (lang && !koe_lang_find(koe_str_of(lang))) koe_problem_set(&p, 400, "invalid_value", "language", "'%.40s' is no language koe reads", lang);
    else if (koe_keys_take(c->server->keys, &c->who, c->address, 1, (double)s.n, &p)) result = reply_phonemes(c, s.p, lang);
    if (p.status) result = koe_reply_problem(c, &p);
    json_decref(body);
    return result;
}
