/* piper.c - Piper's voices (VITS): a network for each, NAME.onnx, with its settings beside it, NAME.onnx.json.
 *     phonemes -> ids with pads between, scales (noise, length, noise of durations), speaker --network--> samples
 * The ids are  ^ _ p1 _ p2 _ ... $ ; a symbol may stand for several. How many frames each id gets is inside the graph, in what
 * Ceil hands to CumSum; there the engine is asked to tap it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "voice/acoustic.h"
#include "voice/piper_config.h"

enum { HOP = 256 /* samples of a frame, in all of Piper's networks */ };
enum { MAX_PHONEMES = 400, MAX_CONFIG_BYTES = 4 << 20 };

/* One file. */
typedef struct piper_model {
    char *name;
    koe_acoustic *acoustic;
    koe_piper_config config;
    int duration_out; /* set while the network is loaded; -1: none */
    int length_tap; /* durations before they are rounded up; -1: not found */
} piper_model;

/* A voice: a model and the number of a speaker in it. */
typedef struct piper_voice {
    char *name;
    piper_model *model;
    size_t speaker;
} piper_voice;

typedef struct piper {
    char *dir;
    piper_model **model;
    size_t n_model;
    piper_voice *voice;
    size_t n_voice, cap_voice;
} piper;

/* ---- what is installed ---------------------------------------------------------------------------------------------------- */

static char *config_path(const char *model)
{
    koe_buf path = { 0 };
    koe_buf_printf(&path, "%s.json", model);
    return path.data;
}

bool koe_piper_is_model(const char *path)
{
    char *config = config_path(path);
    bool is = config && koe_file_exists(config);
    free(config);
    return is;
}

/* Takes the name in every case. */
static koe_status add_voice(piper *p, piper_model *m, size_t speaker, koe_buf *name, koe_error *err)
{
    if (p->n_voice == p->cap_voice) {
        size_t cap = p->cap_voice ? p->cap_voice * 2 : 16;
        piper_voice *grown = realloc(p->voice, cap * sizeof *grown);
        if (grown) p->voice = grown, p->cap_voice = cap;
        else name->failed = true;
    }
    if (name->failed) {
        koe_buf_free(name);
        return koe_fail(err, KOE_E_NOMEM, "%s", m->name);
    }
    p->voice[p->n_voice++] = (piper_voice){ name->data, m, speaker };
    *name = (koe_buf){ 0 };
    return KOE_OK;
}

/* NAME for the first speaker; where there are several, also NAME:SPEAKER for each that has a name. */
static koe_status add_voices(piper *p, piper_model *m, koe_error *err)
{
    koe_buf name = { 0 };
    koe_buf_adds(&name, m->name);
    koe_status st = add_voice(p, m, 0, &name, err);
    for (size_t i = 0; st == KOE_OK && i < m->config.n_named; i++) {
        koe_buf_printf(&name, "%s:%s", m->name, m->config.named[i].name);
        st = add_voice(p, m, m->config.named[i].number, &name, err);
    }
    return st;
}

static void destroy_model(piper_model *m)
{
    if (!m) return;
    koe_acoustic_destroy(m->acoustic);
    koe_piper_config_deinit(&m->config);
    free(m->name);
    free(m);
}

static koe_acoustic_inspect inspect;

static koe_status read_model(piper *p, piper_model *m, const char *path, const koe_voices_setup *setup, koe_error *err)
{
    char *config = config_path(path);
    koe_buf file = { 0 };
    koe_status st = config ? koe_file_read(&file, config, MAX_CONFIG_BYTES, err) : koe_fail(err, KOE_E_NOMEM, "%s", path);
    if (st == KOE_OK) st = koe_piper_config_parse(&m->config, koe_buf_str(&file), config, err);
    if (st == KOE_OK) st = koe_acoustic_create(&m->acoustic, path, setup, inspect, m, err);
    if (st == KOE_OK) st = add_voices(p, m, err);
    koe_buf_free(&file);
    free(config);
    return st;
}

/* A voice that cannot be read is a line in the log: the others still speak. */
static koe_status add_model(piper *p, const char *path, const koe_voices_setup *setup, koe_error *err)
{
    const char *slash = strrchr(path, '/');
    koe_str name = koe_str_of(slash ? slash + 1 : path);
    if (koe_str_ends(name, KOE_STR(".onnx"))) name.n -= strlen(".onnx");
    piper_model **grown = realloc(p->model, (p->n_model + 1) * sizeof *grown), *m = calloc(1, sizeof *m);
    if (grown) p->model = grown;
    if (!grown || !m || !(m->name = koe_str_dup(name))) {
        free(m);
        return koe_fail(err, KOE_E_NOMEM, "%s", path);
    }
    koe_error why = { 0 };
    koe_status st = read_model(p, m, path, setup, &why);
    if (st == KOE_OK) {
        p->model[p->n_model++] = m;
        return KOE_OK;
    }
    while (p->n_voice && p->voice[p->n_voice - 1].model == m) free(p->voice[--p->n_voice].name);
    destroy_model(m);
    if (st != KOE_E_NOMEM) koe_log(KOE_LOG_WARN, "Piper voice left out: %s", why.message);
    return st == KOE_E_NOMEM ? koe_fail(err, st, "%s", path) : KOE_OK;
}

static void piper_close(void *state)
{
    piper *p = state;
    if (!p) return;
    for (size_t i = 0; i < p->n_model; i++) destroy_model(p->model[i]);
    for (size_t i = 0; i < p->n_voice; i++) free(p->voice[i].name);
    free(p->model);
    free(p->voice);
    free(p->dir);
    free(p);
}

static koe_status scan(piper *p, const koe_voices_setup *setup, koe_error *err)
{
    struct dirent **list = NULL;
    int n = scandir(p->dir, &list, NULL, alphasort);
    koe_status st = KOE_OK;
    for (int i = 0; i < n; i++) {
        koe_str name = koe_str_of(list[i]->d_name);
        if (st == KOE_OK && list[i]->d_name[0] != '.' && koe_str_ends(name, KOE_STR(".onnx"))) {
            char *path = koe_path_join(p->dir, list[i]->d_name);
            st = path ? add_model(p, path, setup, err) : koe_fail(err, KOE_E_NOMEM, "voices");
            free(path);
        }
        free(list[i]);
    }
    if (n >= 0) free(list);
    return st;
}

static koe_status piper_open(void **state, const koe_voices_setup *setup, koe_error *err)
{
    piper *p = calloc(1, sizeof *p);
    if (!p || !(p->dir = koe_path_join(setup->home, "piper"))) {
        free(p);
        return koe_fail(err, KOE_E_NOMEM, "voices");
    }
    koe_status st = KOE_OK;
    if (setup->model && koe_piper_is_model(setup->model)) {
        st = add_model(p, setup->model, setup, err);
        if (st == KOE_OK && !p->n_model)
            st = koe_fail(err, KOE_E_FORMAT, "%s.json cannot be read as a Piper voice's settings", setup->model);
    }
    if (st == KOE_OK && setup->piper_model) st = add_model(p, setup->piper_model, setup, err);
    if (st == KOE_OK) st = scan(p, setup, err);
    if (st != KOE_OK) {
        piper_close(p);
        return st;
    }
    *state = p;
    return KOE_OK;
}

static void piper_list(void *state, koe_voice_table *t)
{
    piper *p = state;
    for (size_t i = 0; i < p->n_voice; i++)
        koe_voice_table_add(t, &(koe_voice_entry){ .info = { .name = p->voice[i].name,
                                                             .lang = p->voice[i].model->config.lang,
                                                             .gender = "",
                                                             .grade = "",
                                                             .engine = "piper",
                                                             .rate_hz = p->voice[i].model->config.rate_hz },
                                                   .provider = &koe_provider_piper,
                                                   .state = p,
                                                   .id = i });
}

/* Ids beyond the listed voices are NAME#NUMBER: model and speaker in one number. */
static size_t numbered_id(const piper *p, size_t model, size_t speaker)
{
    return p->n_voice + model * KOE_PIPER_MAX_SPEAKERS + speaker;
}

static piper_model *model_of(const piper *p, size_t id, size_t *speaker)
{
    if (id < p->n_voice) {
        *speaker = p->voice[id].speaker;
        return p->voice[id].model;
    }
    *speaker = (id - p->n_voice) % KOE_PIPER_MAX_SPEAKERS;
    return p->model[(id - p->n_voice) / KOE_PIPER_MAX_SPEAKERS];
}

static void piper_describe(void *state, size_t id, koe_voice *out)
{
    const piper *p = state;
    size_t speaker;
    const piper_model *m = model_of(p, id, &speaker);
    out->lang = m->config.lang;
    out->alphabet = m->config.alphabet;
    out->espeak_voice = m->config.espeak_voice;
    out->max_phonemes = MAX_PHONEMES;
    out->rate_hz = m->config.rate_hz;
    if (id < p->n_voice) snprintf(out->name, sizeof out->name, "%s", p->voice[id].name);
    else snprintf(out->name, sizeof out->name, "%s#%zu", m->name, speaker);
}

/* NAME#NUMBER. */
static bool piper_find(void *state, size_t *id, koe_str spelling, koe_status *st, koe_error *err)
{
    const piper *p = state;
    const char *hash = memrchr(spelling.p, '#', spelling.n);
    if (!hash) return false;
    koe_str name = koe_str_sub(spelling, 0, (size_t)(hash - spelling.p)), digits = koe_str_sub(spelling, name.n + 1, spelling.n);
    for (size_t i = 0; i < p->n_model; i++) {
        if (!koe_str_is(name, p->model[i]->name)) continue;
        size_t number = 0, n = 0;
        while (n < digits.n && n < 9 && digits.p[n] >= '0' && digits.p[n] <= '9')
            number = number * 10 + (size_t)(digits.p[n++] - '0');
        bool ok = n && n == digits.n && number < p->model[i]->config.n_speakers;
        *id = numbered_id(p, i, ok ? number : 0);
        *st = ok ? KOE_OK
                 : koe_fail(err, KOE_E_NOT_FOUND, "voice '%.*s' has speakers 0 to %zu, not '%.*s'", KOE_STR_ARG(name),
                            p->model[i]->config.n_speakers - 1, KOE_STR_ARG(digits));
        return true;
    }
    return false;
}

static koe_status piper_missing(void *state, koe_str name, koe_error *err)
{
    const piper *p = state;
    koe_buf model = { 0 }, config = { 0 };
    koe_buf_printf(&model, "%s/%.*s.onnx", p->dir, KOE_STR_ARG(name));
    koe_buf_printf(&config, "%s/%.*s.onnx.json", p->dir, KOE_STR_ARG(name));
    bool usable = !model.failed && !config.failed && !memchr(name.p, '/', name.n);
    bool has_model = usable && koe_file_exists(model.data), has_config = usable && koe_file_exists(config.data);
    koe_status st = KOE_OK;
    if (has_model && has_config)
        st = koe_fail(err, KOE_E_FORMAT, "voice '%.*s': %s cannot be read; the log says why", KOE_STR_ARG(name), config.data);
    else if (has_model || has_config)
        st = koe_fail(err, KOE_E_NOT_FOUND, "voice '%.*s' lacks its %s, %s: run `koe pull piper:%.*s`", KOE_STR_ARG(name),
                      has_model ? "settings" : "model", has_model ? config.data : model.data, KOE_STR_ARG(name));
    koe_buf_free(&model);
    koe_buf_free(&config);
    return st;
}

/* ---- the network ---------------------------------------------------------------------------------------------------------- */

static koe_status inspect(void *user, koe_acoustic_plan *plan, koe_onnx_model *model, koe_error *err)
{
    static const char *const inputs[] = { "input", "input_lengths", "scales", "sid" };
    piper_model *m = user;
    const koe_onnx_graph *g = &model->graph;
    for (size_t i = 0; i < (m->config.n_speakers > 1 ? 4 : 3); i++)
        if (!koe_acoustic_input(g, (const char *const[]){ inputs[i], NULL }))
            return koe_fail(err, KOE_E_FORMAT, "not a Piper voice%s: it has no input %s", i == 3 ? " with several speakers" : "",
                            inputs[i]);
    m->duration_out = m->length_tap = -1;
    for (size_t i = 0; i < g->n_node && m->duration_out < 0; i++) {
        const koe_onnx_node *ceil = &g->node[i];
        if (!koe_acoustic_is(ceil, "Ceil") || !ceil->n_in || !ceil->n_out || !koe_acoustic_reader(g, ceil->out[0], "CumSum", 0)) continue;
        int tap = koe_acoustic_tap(plan, model, ceil->out[0]);
        if (tap >= 0) m->duration_out = (int)g->n_out + tap;
        m->length_tap = koe_acoustic_tap(plan, model, ceil->in[0]);
    }
    if (m->duration_out < 0) koe_log(KOE_LOG_WARN, "%s: no durations found; the times of words are estimates", model->path);
    return KOE_OK;
}

/* ---- speaking ------------------------------------------------------------------------------------------------------------- */

static koe_status add_symbol(koe_tokens *out, const piper_model *m, uint32_t cp, size_t owner, koe_error *err)
{
    const koe_symbol *s = koe_symbols_find(&m->config.symbols, cp);
    koe_status st = KOE_OK;
    for (size_t i = 0; s && st == KOE_OK && i < s->n; i++)
        st = koe_tokens_add(out, m->config.symbols.id[s->first + i], owner, err);
    return st;
}

/* ^ _ p1 _ p2 _ ... $; *n_spoken counts the code points that have ids. */
static koe_status make_tokens(koe_tokens *out, size_t *n_spoken, const piper_model *m, const koe_timeline *t, koe_error *err)
{
    koe_status st = add_symbol(out, m, '^', KOE_OWNER_LEAD, err);
    if (st == KOE_OK) st = add_symbol(out, m, '_', KOE_OWNER_LEAD, err);
    for (size_t i = 0; st == KOE_OK && i < t->n; i++) {
        if (!koe_symbols_find(&m->config.symbols, t->cp[i])) continue;
        ++*n_spoken;
        st = add_symbol(out, m, t->cp[i], i, err);
        if (st == KOE_OK) st = add_symbol(out, m, '_', i, err);
    }
    return st == KOE_OK ? add_symbol(out, m, '$', KOE_OWNER_TAIL, err) : st;
}

static koe_status set_inputs(koe_run *run, const koe_session *s, const piper_model *m, const koe_tokens *tokens, size_t speaker,
                             double speed, koe_arena *arena, koe_error *err)
{
    const double scales[3] = { m->config.noise_scale, m->config.length_scale / speed, m->config.noise_w };
    const double n = (double)tokens->n, sid = (double)speaker;
    double *id = koe_arena_array(arena, tokens->n, sizeof *id);
    if (!id) return koe_fail(err, KOE_E_NOMEM, "%zu tokens", tokens->n);
    for (size_t i = 0; i < tokens->n; i++) id[i] = (double)tokens->id[i];
    koe_status st = koe_acoustic_set(run, s, KOE_STR("input"), id, tokens->n, arena, err);
    if (st == KOE_OK) st = koe_acoustic_set(run, s, KOE_STR("input_lengths"), &n, 1, arena, err);
    if (st == KOE_OK) st = koe_acoustic_set(run, s, KOE_STR("scales"), scales, 3, arena, err);
    if (st == KOE_OK && koe_session_find_in(s, "sid") >= 0) st = koe_acoustic_set(run, s, KOE_STR("sid"), &sid, 1, arena, err);
    return st;
}

/* What is changed inside the network as it runs. */
typedef struct inner_changes {
    const piper_model *m;
    double speed;
    koe_shape shape;
} inner_changes;

/* koe_tap_fn */
static koe_status change_inside(void *user, size_t tap, koe_tensor *t, koe_error *err)
{
    inner_changes *c = user;
    return (int)tap == c->m->length_tap ? koe_shape_durations(&c->shape, t, c->speed, err) : KOE_OK;
}

static koe_status run_network(koe_speech *out, piper_model *m, size_t speaker, const koe_voice_job *job, koe_timeline *t,
                              const koe_tokens *tokens, koe_error *err)
{
    koe_session *session = NULL;
    koe_run *run = NULL;
    koe_arena arena = { 0 };
    koe_status st = koe_acoustic_borrow(m->acoustic, &session, &run, job->cancel, err);
    if (st != KOE_OK) return st;
    inner_changes change = { .m = m, .speed = job->speed };
    koe_run_options opt = { .seed = job->seed, .zero_noise = job->zero_noise, .cancel = job->cancel, .on_tap = change_inside, .user = &change };
    st = koe_shape_init(&change.shape, tokens, job->segment, err);
    change.shape.frame_s = HOP / (double)m->config.rate_hz;
    if (st == KOE_OK) st = set_inputs(run, session, m, tokens, speaker, job->speed, &arena, err);
    if (st == KOE_OK) st = koe_run_execute(run, &opt, err);
    if (st == KOE_OK) st = koe_acoustic_samples(out, koe_run_out(run, 0), err);
    if (st == KOE_OK) st = koe_acoustic_lay_times(out->n_samples, m->duration_out, run, t, tokens, err);
    koe_acoustic_give_back(m->acoustic, run);
    koe_shape_deinit(&change.shape);
    koe_arena_free(&arena);
    return st;
}

static koe_status piper_speak(koe_speech *out, const koe_voice *voice, const koe_voice_job *job, koe_error *err)
{
    size_t speaker, n_spoken = 0;
    piper_model *m = model_of(voice->state, voice->id[0], &speaker);
    koe_tokens tokens = { 0 };
    koe_timeline t;
    koe_status st = koe_timeline_init(&t, job->segment->phonemes, err);
    if (st != KOE_OK) return st;
    out->n_samples = 0;
    out->rate_hz = m->config.rate_hz;
    st = make_tokens(&tokens, &n_spoken, m, &t, err);
    /* Nothing that the network knows: no sound. */
    if (st == KOE_OK && n_spoken) st = run_network(out, m, speaker, job, &t, &tokens, err);
    if (st == KOE_OK) st = koe_timeline_words(out, &t, job->segment, err);
    koe_tokens_deinit(&tokens);
    koe_timeline_deinit(&t);
    return st;
}

static bool piper_knows(void *state, size_t id, uint32_t phoneme)
{
    size_t speaker;
    return koe_symbols_find(&model_of(state, id, &speaker)->config.symbols, phoneme) != NULL;
}

static koe_status piper_load(void *state, size_t id, koe_error *err)
{
    size_t speaker;
    return koe_acoustic_load(model_of(state, id, &speaker)->acoustic, err);
}

static koe_models_load piper_unload(void *state, double idle_s)
{
    const piper *p = state;
    koe_models_load all = { 0 };
    for (size_t i = 0; i < p->n_model; i++) {
        const koe_models_load one = koe_acoustic_unload(p->model[i]->acoustic, idle_s);
        all.loaded += one.loaded;
        all.unloaded += one.unloaded;
    }
    return all;
}

const koe_provider koe_provider_piper = {
    .name = "piper",
    .open = piper_open,
    .close = piper_close,
    .list = piper_list,
    .describe = piper_describe,
    .find = piper_find,
    .missing = piper_missing,
    .knows = piper_knows,
    .speak = piper_speak,
    .load = piper_load,
    .unload = piper_unload,
};
