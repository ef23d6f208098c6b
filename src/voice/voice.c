/* voice.c - the providers as one: what is installed, and who is meant by a name. */
#include "voice/voice.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "voice/provider.h"

/* In the order in which a default voice is looked for. */
static const koe_provider *const providers[] = { &koe_provider_kokoro, &koe_provider_piper, &koe_provider_builtin };
enum { N_PROVIDERS = sizeof providers / sizeof *providers };

struct koe_voices {
    void *state[N_PROVIDERS];
    koe_voice_table table;
    koe_voice_info *info; /* of the table, for koe_voices_list() */
    koe_str *name; /* of the table, for koe_blend_parse() */
    size_t default_voice;
};

void koe_voice_table_add(koe_voice_table *t, const koe_voice_entry *entry)
{
    if (t->n == t->cap && !t->failed) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        koe_voice_entry *grown = realloc(t->entry, cap * sizeof *grown);
        if (grown) t->entry = grown, t->cap = cap;
        else t->failed = true;
    }
    if (!t->failed) t->entry[t->n++] = *entry;
}

/* Kokoro's af_heart, else the first voice there is; the built-in one comes last. A model that was asked for comes first. */
static size_t choose_default(const koe_voices *v, const koe_voices_setup *setup)
{
    const bool piper_first = setup->model ? koe_piper_is_model(setup->model) : setup->piper_model != NULL;
    for (size_t i = 0; i < v->table.n && piper_first; i++)
        if (v->table.entry[i].provider == &koe_provider_piper) return i;
    for (size_t i = 0; i < v->table.n; i++)
        if (strcmp(v->table.entry[i].info.name, "af_heart") == 0) return i;
    return 0;
}

static koe_status make_lists(koe_voices *v, const koe_voices_setup *setup, koe_error *err)
{
    for (size_t i = 0; i < N_PROVIDERS; i++) providers[i]->list(v->state[i], &v->table);
    v->info = calloc(v->table.n + 1, sizeof *v->info);
    v->name = calloc(v->table.n + 1, sizeof *v->name);
    if (v->table.failed || !v->info || !v->name) return koe_fail(err, KOE_E_NOMEM, "voices");
    v->default_voice = choose_default(v, setup);
    for (size_t i = 0; i < v->table.n; i++) {
        v->table.entry[i].info.is_default = i == v->default_voice;
        v->info[i] = v->table.entry[i].info;
        v->name[i] = koe_str_of(v->info[i].name);
    }
    return KOE_OK;
}

koe_status koe_voices_open(koe_voices **out, const koe_voices_setup *setup, koe_error *err)
{
    if (setup->model && koe_file_is_dir(setup->model))
        return koe_fail(err, KOE_E_FORMAT, "%s is a folder, not a model", setup->model);
    if (setup->model && !koe_file_exists(setup->model)) return koe_fail(err, KOE_E_NOT_FOUND, "no model %s", setup->model);
    if (setup->piper_model && !koe_piper_is_model(setup->piper_model))
        return koe_fail(err, KOE_E_NOT_FOUND, "no Piper voice %s with its settings, %s.json", setup->piper_model, setup->piper_model);
    koe_voices *v = calloc(1, sizeof *v);
    if (!v) return koe_fail(err, KOE_E_NOMEM, "voices");
    koe_status st = KOE_OK;
    for (size_t i = 0; st == KOE_OK && i < N_PROVIDERS; i++) st = providers[i]->open(&v->state[i], setup, err);
    if (st == KOE_OK) st = make_lists(v, setup, err);
    if (st != KOE_OK) {
        koe_voices_close(v);
        return st;
    }
    *out = v;
    return KOE_OK;
}

void koe_voices_close(koe_voices *v)
{
    if (!v) return;
    for (size_t i = 0; i < N_PROVIDERS; i++) providers[i]->close(v->state[i]);
    free(v->table.entry);
    free(v->info);
    free(v->name);
    free(v);
}

const koe_voice_info *koe_voices_list(const koe_voices *v, size_t *n)
{
    *n = v->table.n;
    return v->info;
}

koe_models_load koe_voices_unload(koe_voices *v, double idle_s)
{
    koe_models_load all = { 0 };
    for (size_t i = 0; i < N_PROVIDERS; i++) {
        if (!providers[i]->unload) continue;
        const koe_models_load one = providers[i]->unload(v->state[i], idle_s);
        all.loaded += one.loaded;
        all.unloaded += one.unloaded;
    }
    return all;
}

static void bind_one(koe_voice *out, const koe_provider *p, void *state, size_t id)
{
    *out = (koe_voice){ .provider = p, .state = state, .id = { id }, .weight = { 1 }, .n = 1, .engine = p->name };
    p->describe(state, id, out);
}

static void bind_entry(koe_voice *out, const koe_voices *v, size_t i)
{
    bind_one(out, v->table.entry[i].provider, v->table.entry[i].state, v->table.entry[i].id);
}

static koe_status bind_blend(koe_voice *out, const koe_voices *v, const koe_blend *b, koe_error *err)
{
    size_t at = 0;
    bind_entry(out, v, b->part[0].voice);
    out->n = b->n;
    for (size_t i = 0; i < b->n; i++) {
        const koe_voice_entry *e = &v->table.entry[b->part[i].voice];
        double weight = b->part[i].weight;
        if (b->n > 1 && !e->provider->can_blend)
            return koe_fail(err, KOE_E_ARGUMENT, "voice '%s' is %s's; only Kokoro's voices can be blended", e->info.name,
                            e->provider->name);
        out->id[i] = e->id;
        out->weight[i] = weight;
        if (b->n == 1) continue;
        int n = snprintf(out->name + at, sizeof out->name - at, "%s%s(%.3g)",
                         weight < 0 ? "-"
                         : i        ? "+"
                                    : "",
                         e->info.name, fabs(weight));
        if (n < 0 || (size_t)n >= sizeof out->name - at)
            return koe_fail(err, KOE_E_LIMIT, "the blend %s... has too long a name", out->name);
        at += (size_t)n;
    }
    return KOE_OK;
}

/* A name that nobody lists: a provider may know what is missing. */
static koe_status explain(const koe_voices *v, koe_str name, koe_status st, koe_error *err)
{
    for (size_t i = 0; i < N_PROVIDERS; i++) {
        koe_status why = providers[i]->missing ? providers[i]->missing(v->state[i], name, err) : KOE_OK;
        if (why != KOE_OK) return why;
    }
    return st;
}

/* Each part of a blend that fails because a voice is missing: the first one that a provider can explain. */
static koe_status explain_parts(const koe_voices *v, koe_str spelling, koe_status st, koe_error *err)
{
    for (size_t at = 0; at < spelling.n;) {
        size_t n = 0;
        while (at + n < spelling.n && !strchr("+-,(:*. ", spelling.p[at + n])) n++;
        koe_error why = { 0 };
        koe_str name = koe_str_sub(spelling, at, n);
        bool listed = false;
        for (size_t i = 0; i < v->table.n; i++) listed |= koe_str_eq(name, v->name[i]);
        if (n && !listed && explain(v, name, KOE_OK, &why) != KOE_OK) {
            if (err) *err = why;
            return why.status;
        }
        at += n + 1;
    }
    return st;
}

koe_status koe_voice_find(koe_voice *out, const koe_voices *v, koe_str spelling, koe_error *err)
{
    spelling = koe_str_trim(spelling);
    size_t listed = spelling.n ? v->table.n : v->default_voice;
    for (size_t i = 0; i < v->table.n && listed == v->table.n; i++)
        if (koe_str_eq(spelling, v->name[i])) listed = i;
    if (listed < v->table.n) {
        bind_entry(out, v, listed);
        return KOE_OK;
    }
    for (size_t i = 0; i < N_PROVIDERS; i++) {
        size_t id = 0;
        koe_status st = KOE_OK;
        if (!providers[i]->find || !providers[i]->find(v->state[i], &id, spelling, &st, err)) continue;
        if (st == KOE_OK) bind_one(out, providers[i], v->state[i], id);
        return st;
    }
    koe_blend b;
    koe_status st = koe_blend_parse(&b, spelling, v->name, v->table.n, err);
    if (st == KOE_OK) return bind_blend(out, v, &b, err);
    if (st == KOE_E_NOT_FOUND) st = explain(v, spelling, st, err);
    return st == KOE_E_NOT_FOUND ? explain_parts(v, spelling, st, err) : st;
}

bool koe_voice_knows(const koe_voice *voice, uint32_t phoneme)
{
    return phoneme == ' ' || !voice->provider->knows || voice->provider->knows(voice->state, voice->id[0], phoneme);
}

koe_status koe_voice_load(const koe_voice *voice, koe_error *err)
{
    return voice->provider->load ? voice->provider->load(voice->state, voice->id[0], err) : KOE_OK;
}

void koe_speech_drop_rest(koe_speech *s)
{
    koe_rest_destroy(s->rest);
    s->rest = NULL;
}

koe_status koe_voice_speak(koe_speech *out, const koe_voice *voice, const koe_voice_job *job, koe_error *err)
{
    if (job->cancel && atomic_load(job->cancel)) return koe_fail(err, KOE_E_CANCELLED, "cancelled");
    out->n_said = SIZE_MAX;
    if (!job->said) koe_speech_drop_rest(out);
    const koe_status st = voice->provider->speak(out, voice, job, err);
    if (out->n_said >= out->n_word) out->n_said = out->n_word, out->seam = out->n_samples;
    if (st != KOE_OK || out->n_said == out->n_word) koe_speech_drop_rest(out);
    return st;
}
