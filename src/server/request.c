/* request.c - see request.h. */
#include "server/request.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "audio/encode.h"
#include "base/digest.h"
#include "server/choose.h"
#include "server/voices.h"
#include "text/lang.h"
#include "text/user_lexicon.h"
#include "text/utf8.h"

enum { MAX_NAME_BYTES = 1024, MAX_ALIASES = 64 };

/* A field that is there: not null. */
static json_t *field(const json_t *body, const char *name)
{
    json_t *j = json_object_get(body, name);
    return json_is_null(j) ? NULL : j;
}

static bool wrong(koe_problem *p, const char *name, const char *what) { return koe_problem_set(p, 400, "invalid_type", name, "%s must be %s", name, what); }

static bool read_bool(bool *out, const json_t *body, const char *name, koe_problem *p)
{
    const json_t *j = field(body, name);
    if (j && !json_is_boolean(j)) return wrong(p, name, "true or false");
    if (j) *out = json_is_true(j);
    return true;
}

static bool read_number(double *out, const json_t *body, const char *name, double least, double most, koe_problem *p)
{
    const json_t *j = field(body, name);
    if (!j) return true;
    if (!json_is_number(j)) return wrong(p, name, "a number");
    const double x = json_number_value(j);
    if (!(x >= least && x <= most))
        return koe_problem_set(p, 400, "invalid_value", name, "%s is %.16g, it must be from %.16g to %.16g", name, x, least, most);
    *out = x;
    return true;
}

static bool read_int(int *out, const json_t *body, const char *name, int least, int most, koe_problem *p)
{
    double x = *out;
    if (!read_number(&x, body, name, least, most, p)) return false;
    if (x != floor(x)) return wrong(p, name, "a whole number");
    *out = (int)x;
    return true;
}

static bool read_text(const char **out, const json_t *body, const char *name, koe_arena *arena, koe_problem *p)
{
    const json_t *j = field(body, name);
    if (!j) return true;
    if (!json_is_string(j)) return wrong(p, name, "a string");
    const koe_str s = { json_string_value(j), json_string_length(j) };
    if (s.n > MAX_NAME_BYTES || memchr(s.p, 0, s.n)) return koe_problem_set(p, 400, "invalid_value", name, "%s is too long, or has a NUL in it", name);
    const koe_str copy = koe_arena_str(arena, s);
    if (!copy.p) return koe_problem_set(p, 503, "overloaded", NULL, "the server has no memory for this now");
    if (copy.n) *out = copy.p;
    return true;
}

static bool read_input(koe_utterance *r, const koe_server *s, const json_t *body, const char *name, koe_problem *p)
{
    const json_t *j = field(body, name);
    if (!j) return koe_problem_set(p, 400, "missing_field", name, "%s is missing: the text to speak", name);
    if (!json_is_string(j)) return wrong(p, name, "a string");
    const koe_str text = { json_string_value(j), json_string_length(j) };
    r->n_chars = koe_utf8_count(text);
    if (memchr(text.p, 0, text.n)) return koe_problem_set(p, 400, "invalid_value", name, "%s has a NUL in it", name);
    if (koe_str_trim(text).n == 0) return koe_problem_set(p, 400, "invalid_value", name, "%s is empty: there is nothing to say", name);
    if (r->n_chars > (size_t)s->config->max_text)
        return koe_problem_set(p, 413, "text_too_long", name, "%s has %zu characters, the limit is %lld", name, r->n_chars,
                               (long long)s->config->max_text);
    r->input = koe_arena_str(&r->arena, text);
    if (!r->input.p) return koe_problem_set(p, 503, "overloaded", NULL, "the server has no memory for this now");
    if (koe_str_starts(koe_str_trim(text), KOE_STR("<speak"))) r->ssml = true;
    return true;
}

static const char *alias_of(const koe_utterance *r, const char *name)
{
    for (size_t i = 0; i < r->n_alias; i++)
        if (strcmp(r->alias[i].name, name) == 0) return r->alias[i].voice;
    return NULL;
}

/* koe_request.voice_alias: the request's own names, and OpenAI's. */
static const char *voice_in_text(const void *user, const char *name)
{
    const char *own = alias_of(user, name);
    return own ? own : koe_openai_voice(name);
}

/* "voice_aliases": {"narrator": "af_heart", ...}. What a name stands for may be a saved blend, or one of OpenAI's names. */
static bool read_aliases(koe_utterance *r, const koe_server *s, const json_t *body, koe_problem *p)
{
    json_t *list = field(body, "voice_aliases"), *value;
    const char *name;
    if (!list) return true;
    if (!json_is_object(list) || json_object_size(list) > MAX_ALIASES) return wrong(p, "voice_aliases", "an object of up to 64 names");
    r->alias = koe_arena_alloc(&r->arena, (json_object_size(list) + 1) * sizeof *r->alias);
    if (!r->alias) return koe_problem_set(p, 503, "overloaded", NULL, "the server has no memory for this now");
    json_object_foreach(list, name, value) {
        const char *voice = json_is_string(value) ? json_string_value(value) : NULL;
        if (!voice || !*voice || strlen(voice) > MAX_NAME_BYTES || json_string_length(value) != strlen(voice))
            return koe_problem_set(p, 400, "invalid_type", "voice_aliases", "what '%.60s' stands for must be the name of a voice", name);
        const char *saved = koe_saved_find(s->saved, voice, &r->arena), *ours = koe_openai_voice(voice);
        const koe_str copy = koe_arena_str(&r->arena, koe_str_of(name)), target = koe_arena_str(&r->arena, koe_str_of(saved ? saved : ours ? ours : voice));
        if (!copy.p || !target.p) return koe_problem_set(p, 503, "overloaded", NULL, "the server has no memory for this now");
        r->alias[r->n_alias++] = (koe_alias){ copy.p, target.p };
    }
    return true;
}

/* "voice": a name or {"id": name}; then the request's own aliases, then ours. */
static bool read_voice(koe_utterance *r, const koe_server *s, const json_t *body, const char *model, koe_problem *p)
{
    const json_t *j = field(body, "voice");
    const char *name = NULL;
    if (json_is_object(j)) {
        if (!read_text(&name, j, "id", &r->arena, p)) return koe_problem_set(p, p->status, p->code, "voice", "voice is an object whose id is no name");
        if (!name) return koe_problem_set(p, 400, "invalid_value", "voice", "voice is an object without an id");
    } else if (!read_text(&name, body, "voice", &r->arena, p)) {
        return false;
    }
    if (!read_aliases(r, s, body, p)) return false;
    const char *alias = name ? alias_of(r, name) : NULL;
    if (alias) name = alias;
    return koe_choose_voice(&r->voice, &r->warning, s, r->edition, &(koe_wish){ name, model, r->lang }, &r->arena, p);
}

static bool read_lang(koe_utterance *r, const json_t *body, koe_problem *p)
{
    static const char *const names[] = { "lang_code", "lang" };
    for (size_t i = 0; i < 2; i++) {
        const char *lang = NULL;
        if (!read_text(&lang, body, names[i], &r->arena, p)) return false;
        if (!lang) continue;
        if (!koe_lang_find(koe_str_of(lang)))
            return koe_problem_set(p, 400, "invalid_value", names[i], "%s '%.40s' is no language koe reads; use a tag as en-us, es, ja, or a letter of abefhijpz",
                                   names[i], lang);
        r->lang = lang;
    }
    return true;
}

/* Rate and bit rate, which not every format has: said before any speech is made. */
static bool check_rates(const koe_utterance *r, koe_problem *p)
{
    static const char *const names[] = { [KOE_ENCODE_FORMAT] = "response_format", [KOE_ENCODE_RATE] = "sample_rate", [KOE_ENCODE_BITRATE] = "bitrate" };
    koe_voice_info v;
    koe_error err = { 0 };
    koe_encode_option wrong;
    if (!r->sample_rate && !r->bitrate) return true;
    const bool known = koe_engine_find_voice(r->edition->engine, r->voice, &v, NULL) == KOE_OK;
    const koe_encode_options o = { .format = koe_str_of(r->format), .in_rate_hz = known ? v.rate_hz : 24000, .out_rate_hz = r->sample_rate,
                                   .bitrate = r->bitrate };
    return koe_encode_check(&o, &wrong, &err) == KOE_OK || koe_problem_set(p, 400, "invalid_value", names[wrong], "%s", err.message);
}

static bool read_format(koe_utterance *r, const json_t *body, koe_problem *p)
{
    static const char *const formats[] = { "mp3", "opus", "aac", "flac", "wav", "pcm", "ogg", "ulaw", "alaw" };
    const char *name = r->phonemes ? "wav" : formats[0]; /* Kokoro-FastAPI's defaults */
    if (!read_text(&name, body, "response_format", &r->arena, p)) return false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(name, formats[i]) == 0) r->format = formats[i];
    if (!r->format)
        return koe_problem_set(p, 400, "invalid_value", "response_format", "response_format '%.40s' is not one of %s", name, koe_encode_names());
    return read_int(&r->sample_rate, body, "sample_rate", 8000, 48000, p) && read_int(&r->bitrate, body, "bitrate", 6000, 512000, p) && check_rates(r, p);
}

static bool read_shape(koe_utterance *r, const json_t *body, koe_problem *p)
{
    bool stream = true;
    const char *format = "audio";
    if (!read_bool(&stream, body, "stream", p) || !read_text(&format, body, "stream_format", &r->arena, p)) return false;
    if (strcmp(format, "sse") == 0) r->shape = KOE_SHAPE_SSE;
    else if (strcmp(format, "audio") != 0)
        return koe_problem_set(p, 400, "invalid_value", "stream_format", "stream_format '%.40s' is neither audio nor sse", format);
    r->whole = !stream && r->shape == KOE_SHAPE_AUDIO;
    return true;
}

/* "latency": "low" (the default, unless the server is set otherwise) or "normal", which leaves the first clause whole. */
static bool read_latency(koe_utterance *r, const koe_server *s, const json_t *body, koe_problem *p)
{
    const char *latency = "low";
    if (!read_text(&latency, body, "latency", &r->arena, p)) return false;
    if (strcmp(latency, "low") != 0 && strcmp(latency, "normal") != 0)
        return koe_problem_set(p, 400, "invalid_value", "latency", "latency '%.40s' is neither low nor normal", latency);
    if (!r->whole && strcmp(latency, "low") == 0) r->first_piece_s = (double)s->config->first_piece_ms / 1000;
    return true;
}

/* Kokoro-FastAPI's switches, each of which leaves a group of rules out; they are on unless the request says false. */
static const struct {
    const char *name;
    unsigned group;
} normalization_options[] = {
    { "unit_normalization", KOE_RULES_UNIT }, { "url_normalization", KOE_RULES_URL }, { "email_normalization", KOE_RULES_EMAIL },
    { "optional_pluralization_normalization", KOE_RULES_PLURAL }, { "phone_normalization", KOE_RULES_PHONE },
    { "replace_remaining_symbols", KOE_RULES_SYMBOL },
};

static bool read_normalization(koe_utterance *r, const json_t *body, koe_problem *p)
{
    bool normalize = true, voice_tags = true;
    const json_t *options = field(body, "normalization_options");
    if (options && !json_is_object(options)) return wrong(p, "normalization_options", "an object");
    if (options && !read_bool(&normalize, options, "normalize", p)) return false;
    for (size_t i = 0; options && i < sizeof normalization_options / sizeof *normalization_options; i++) {
        bool on = true;
        if (!read_bool(&on, options, normalization_options[i].name, p)) return false;
        if (!on) r->rules_off |= normalization_options[i].group;
    }
    if (!read_bool(&normalize, body, "normalize", p) || !read_bool(&voice_tags, body, "allow_voice_tags", p)) return false;
    r->no_normalize = !normalize;
    r->no_voice_tags = !voice_tags;
    return true;
}

/* "lexicon": an object or a list of words, a PLS document, or the name of an installed one. It is read here once, so that what is wrong
 * with it is the request's error and not the speech's. */
static bool read_lexicon(koe_utterance *r, const json_t *body, koe_problem *p)
{
    const json_t *j = field(body, "lexicon");
    if (!j) return true;
    if (!json_is_string(j) && !json_is_object(j) && !json_is_array(j)) return wrong(p, "lexicon", "an object of words, or the name of an installed one");
    char *text = json_is_string(j) ? NULL : json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
    const koe_str given = text ? koe_str_of(text) : koe_str_trim((koe_str){ json_string_value(j), json_string_length(j) });
    r->lexicon = koe_arena_str(&r->arena, given);
    free(text);
    if (!r->lexicon.p) return koe_problem_set(p, 503, "overloaded", NULL, "the server has no memory for this now");
    if (!r->lexicon.n) return true;
    if (!strchr("{[<\xef", r->lexicon.p[0])) /* a name, and no document with or without its byte order mark */
        return (!memchr(r->lexicon.p, 0, r->lexicon.n) && koe_engine_has_lexicon(r->edition->engine, r->lexicon.p)) ||
               koe_problem_set(p, 400, "invalid_value", "lexicon", "lexicon '%.100s' is not installed here; a lexicon can also be sent as an object", r->lexicon.p);
    koe_error err = { 0 };
    koe_user_lexicon *lexicon = NULL;
    const koe_status st = koe_user_lexicon_read(&lexicon, r->lexicon, "lexicon", &err);
    koe_user_lexicon_unref(lexicon);
    return st == KOE_OK || koe_problem_set(p, 400, "invalid_value", "lexicon", "%s", err.message);
}

static bool read_prosody(koe_utterance *r, const json_t *body, koe_problem *p)
{
    double seed = 0;
    r->speed = r->volume = r->pause = 1;
    if (!read_number(&r->pitch, body, "pitch", -24, 24, p)) return false;
    if (!read_number(&r->speed, body, "speed", 0.25, 4, p) || !read_number(&r->volume, body, "volume_multiplier", 0, 4, p) ||
        !read_number(&r->volume, body, "volume", 0, 4, p) || !read_number(&r->pause, body, "pause", 0, 10, p) ||
        !read_number(&seed, body, "seed", 0, 9007199254740992.0, p))
        return false;
    if (seed != floor(seed)) return wrong(p, "seed", "a whole number");
    r->seed = (uint64_t)seed;
    return true;
}

bool koe_utterance_read(koe_utterance *out, const koe_server *s, const json_t *body, const char *input, koe_problem *p)
{
    const char *model = NULL;
    *out = (koe_utterance){ .edition = koe_models_take(s->models), .phonemes = input && strcmp(input, "phonemes") == 0 };
    if (!read_text(&model, body, "model", &out->arena, p)) return false;
    if (model && !koe_model_known(model)) return koe_problem_set(p, 404, "model_not_found", "model", "there is no model '%.80s'; see GET /v1/models", model);
    return (!input || read_input(out, s, body, input, p)) && read_lang(out, body, p) && read_voice(out, s, body, model, p) &&
           read_format(out, body, p) && read_shape(out, body, p) && read_latency(out, s, body, p) && read_normalization(out, body, p) && read_prosody(out, body, p) &&
           read_bool(&out->ssml, body, "ssml", p) && read_bool(&out->timestamps, body, "return_timing", p) &&
           read_bool(&out->timestamps, body, "timestamps", p) && read_lexicon(out, body, p);
}

void koe_utterance_deinit(koe_utterance *r)
{
    koe_edition_drop(r->edition);
    koe_arena_free(&r->arena);
    *r = (koe_utterance){ 0 };
}

koe_request koe_utterance_request(const koe_utterance *r, const atomic_bool *cancel)
{
    return (koe_request){ .text = r->input.p, .text_n = r->input.n, .voice = r->voice, .lang = r->lang, .speed = r->speed, .seed = r->seed,
                          .ssml = r->ssml, .phonemes = r->phonemes, .no_normalize = r->no_normalize, .rules_off = r->rules_off,
                          .no_voice_tags = r->no_voice_tags, .lexicon = r->lexicon.n ? r->lexicon.p : NULL, .lexicon_n = r->lexicon.n,
                          .pitch_st = r->pitch, .pause_scale = fmax(r->pause, 1e-6) /* 0 means 1 there, none here */,
                          .voice_alias = voice_in_text, .voice_alias_user = r, .cancel = cancel };
}

static void add_field(koe_digest *d, const char *text, size_t n)
{
    const uint64_t length = n;
    koe_digest_add(d, &length, sizeof length);
    koe_digest_add(d, text, n);
}

void koe_utterance_key(const koe_utterance *r, char *out)
{
    char numbers[256];
    koe_digest d;
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    add_field(&d, r->edition->digest, strlen(r->edition->digest));
    add_field(&d, r->input.p, r->input.n);
    add_field(&d, r->voice ? r->voice : "", r->voice ? strlen(r->voice) : 0);
    add_field(&d, r->lang ? r->lang : "", r->lang ? strlen(r->lang) : 0);
    add_field(&d, r->format, strlen(r->format));
    char installed[65];
    koe_engine_lexicon_key(r->edition->engine, installed);
    add_field(&d, installed, strlen(installed));
    add_field(&d, r->lexicon.p, r->lexicon.n);
    for (size_t i = 0; i < r->n_alias; i++) {
        add_field(&d, r->alias[i].name, strlen(r->alias[i].name));
        add_field(&d, r->alias[i].voice, strlen(r->alias[i].voice));
    }
    const int n = snprintf(numbers, sizeof numbers, "%d %u %.17g %d %d %d %d %d %d %.17g %.17g %.17g %.17g %llu %d %d", r->no_voice_tags, r->rules_off,
                           r->pitch, (int)r->shape, r->whole, r->ssml, r->phonemes, r->no_normalize, r->timestamps, r->speed, r->volume, r->pause,
                           r->first_piece_s, (unsigned long long)r->seed, r->sample_rate, r->bitrate);
    add_field(&d, numbers, (size_t)n);
    if (r->warning && r->shape != KOE_SHAPE_AUDIO) add_field(&d, r->warning, strlen(r->warning)); /* it stands in the answer */
    koe_digest_text(&d, out);
}
