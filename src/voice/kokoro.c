/* kokoro.c - Kokoro-82M (StyleTTS 2): one network, and packs of style vectors that make its voices.
 *     phonemes -> [0, ids, 0], style row for their number, speed --network--> samples at 24 kHz, a duration for each token
 * The first release, v0.19, has 511 rows in a pack and takes espeak-ng's phonemes. Exports differ: the first input is `tokens` or
 * `input_ids`; `speed` is float or an integer; the durations are an output or not. Where they are none, and where an integer
 * speed must be 0.9, the engine is asked to tap the tensors inside, which are found by what the nodes around them do:
 *     duration_proj -> Sigmoid -> ReduceSum -> Div <- (Cast <-) speed;  Div -> Round -> Clip: frames of 600 samples */
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "text/lang.h"
#include "voice/acoustic.h"
#include "voice/kokoro_tables.h"
#include "voice/pack.h"
#include "voice/symbols.h"

static const double frame_s = 600. / 24000; /* of a duration */
enum { RATE_HZ = 24000, MAX_PHONEMES = 510, MAX_FILES = 4096, MAX_CONFIG_BYTES = 4 << 20 };

/* A voice: pack `index` of file `file`. */
typedef struct kokoro_voice {
    char *name;
    size_t file, index;
} kokoro_voice;

typedef struct kokoro {
    char *dir; /* where models and voices are, or belong */
    char *model; /* path; NULL: none */
    koe_pack_file **file;
    size_t n_file;
    kokoro_voice *voice;
    size_t n_voice;
    bool is_v019; /* espeak-ng's phonemes instead of misaki's, and another vocabulary */
    koe_symbols symbols;
    koe_acoustic *acoustic; /* NULL without a model */
    pthread_mutex_t lock; /* guards the loading of packs */
    /* Set while the network is loaded, under the acoustic's lock, when there are no runs; read by runs. */
    int duration_out; /* output or tap that holds the durations; -1: none */
    int speed_tap; /* tap to scale when `speed` is an integer; -1: none */
    int length_tap, pitch_tap, energy_tap; /* durations before they are rounded, F0, energy; -1: not found */
    int feature_tap; /* what the frames say, beside the curves; -1: not found */
    size_t n_graph_out; /* taps are outputs behind these */
    bool speed_is_int;
    atomic_bool warned_speed, warned_prosody;
    atomic_bool no_pieces; /* was seen not to be possible */
    _Atomic double pace; /* of late: koe_piece.pace */
} kokoro;

/* ---- what is installed ---------------------------------------------------------------------------------------------------- */

static bool is_pack_name(koe_str name)
{
    const char *const endings[] = { ".bin", ".npz", ".pt", ".json" };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (name.n > strlen(endings[i]) && koe_str_ends(name, koe_str_of(endings[i]))) return true;
    return false;
}

static koe_status add_voices(kokoro *k, koe_pack_file *f, size_t file, koe_error *err)
{
    size_t n = koe_pack_file_count(f);
    kokoro_voice *voice = realloc(k->voice, (k->n_voice + n) * sizeof *voice);
    if (!voice) return koe_fail(err, KOE_E_NOMEM, "voices");
    k->voice = voice;
    for (size_t i = 0; i < n; i++) {
        koe_str name = koe_pack_file_name(f, i);
        bool known = false;
        for (size_t v = 0; v < k->n_voice && !known; v++) known = koe_str_is(name, k->voice[v].name);
        if (known || name.n == 0) continue;
        voice[k->n_voice] = (kokoro_voice){ koe_str_dup(name), file, i };
        if (!voice[k->n_voice].name) return koe_fail(err, KOE_E_NOMEM, "voices");
        k->n_voice++;
    }
    return KOE_OK;
}

/* A pack that cannot be read is a line in the log: the others still speak. */
static koe_status add_file(kokoro *k, const char *path, koe_error *err)
{
    koe_error why = { 0 };
    koe_pack_file *f = NULL, **file = realloc(k->file, (k->n_file + 1) * sizeof *file);
    if (!file) return koe_fail(err, KOE_E_NOMEM, "voices");
    k->file = file;
    koe_status st = koe_pack_file_open(&f, path, &why);
    if (st == KOE_E_NOMEM) return koe_fail(err, st, "%s", why.message);
    if (st != KOE_OK) {
        koe_log(KOE_LOG_WARN, "voice pack left out: %s", why.message);
        return KOE_OK;
    }
    file[k->n_file] = f;
    return add_voices(k, f, k->n_file++, err);
}

/* The names in a folder, sorted; *out is as scandir() allocates it. 0 when there is no such folder. */
static size_t list_folder(const char *path, struct dirent ***out)
{
    int n = scandir(path, out, NULL, alphasort);
    return n > 0 ? (size_t)n : 0;
}

/* Packs in `dir`; only those whose name starts with `prefix`. */
static koe_status scan_packs(kokoro *k, const char *dir, const char *prefix, koe_error *err)
{
    struct dirent **list = NULL;
    size_t n = list_folder(dir, &list);
    koe_status st = KOE_OK;
    for (size_t i = 0; i < n; i++) {
        koe_str name = koe_str_of(list[i]->d_name);
        if (st == KOE_OK && k->n_file < MAX_FILES && is_pack_name(name) && koe_str_starts(name, koe_str_of(prefix))) {
            char *path = koe_path_join(dir, list[i]->d_name);
            st = path ? add_file(k, path, err) : koe_fail(err, KOE_E_NOMEM, "voices");
            free(path);
        }
        free(list[i]);
    }
    free(list);
    return st;
}

static koe_status scan_voices(kokoro *k, const char *dir, koe_error *err)
{
    char *voices = koe_path_join(dir, "voices");
    if (!voices) return koe_fail(err, KOE_E_NOMEM, "voices");
    koe_status st = scan_packs(k, voices, "", err);
    if (st == KOE_OK) st = scan_packs(k, dir, "voices", err);
    free(voices);
    return st;
}

/* model.onnx, or else the first .onnx of the folder. NULL when there is none. */
static char *find_model(const char *dir)
{
    char *found = koe_path_join(dir, "model.onnx");
    if (!found || koe_file_exists(found)) return found;
    free(found);
    found = NULL;
    struct dirent **list = NULL;
    size_t n = list_folder(dir, &list);
    for (size_t i = 0; i < n; i++) {
        if (!found && list[i]->d_name[0] != '.' && koe_str_ends(koe_str_of(list[i]->d_name), KOE_STR(".onnx")))
            found = koe_path_join(dir, list[i]->d_name);
        free(list[i]);
    }
    free(list);
    return found;
}

/* Known by the length of its packs. */
static bool find_v019(kokoro *k)
{
    koe_pack pack = { 0 };
    if (!k->n_voice || koe_pack_file_load(k->file[k->voice[0].file], k->voice[0].index, &pack, NULL) != KOE_OK) return false;
    return pack.n_rows == KOE_PACK_ROWS_V019;
}

static koe_status read_vocab(kokoro *k, const char *dir, koe_error *err)
{
    char *path = koe_path_join(dir, "config.json");
    koe_buf file = { 0 };
    koe_status st = path ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "vocabulary");
    if (st == KOE_OK && koe_file_exists(path)) {
        st = koe_file_read(&file, path, MAX_CONFIG_BYTES, err);
        if (st == KOE_OK) st = koe_symbols_parse(&k->symbols, koe_buf_str(&file), "vocab", path, err);
    } else if (st == KOE_OK) {
        if (k->model) koe_log(KOE_LOG_INFO, "no %s: the vocabulary of Kokoro %s is used", path, k->is_v019 ? "v0.19" : "v1.0");
        koe_str vocab = koe_str_of(k->is_v019 ? koe_kokoro_vocab_v019 : koe_kokoro_vocab);
        st = koe_symbols_parse(&k->symbols, vocab, NULL, "the built-in vocabulary", err);
    }
    koe_buf_free(&file);
    free(path);
    return st;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? koe_str_dup((koe_str){ path, slash > path ? (size_t)(slash - path) : 1 }) : koe_str_dup(KOE_STR("."));
}

static koe_acoustic_inspect inspect;

/* A model given by name brings its own folder; the installed voices serve it when it brings none. */
static koe_status find_parts(kokoro *k, const koe_voices_setup *setup, koe_error *err)
{
    char *home = koe_path_join(setup->home, "kokoro");
    bool given = setup->model && !koe_piper_is_model(setup->model);
    k->dir = given ? folder_of(setup->model) : home ? koe_str_dup(koe_str_of(home)) : NULL;
    k->model = given ? koe_str_dup(koe_str_of(setup->model)) : k->dir ? find_model(k->dir) : NULL;
    koe_status st = home && k->dir ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "voices");
    if (st == KOE_OK && setup->voices) st = koe_file_is_dir(setup->voices) ? scan_packs(k, setup->voices, "", err) : add_file(k, setup->voices, err);
    else if (st == KOE_OK) st = scan_voices(k, k->dir, err);
    if (st == KOE_OK && k->n_voice == 0 && given && !setup->voices) st = scan_voices(k, home, err);
    k->is_v019 = find_v019(k);
    if (st == KOE_OK && given && k->n_voice == 0)
        st = koe_fail(err, KOE_E_NOT_FOUND, "%s has no voices: put NAME.bin files into %s/voices, or run `koe pull kokoro`", k->model, k->dir);
    if (st == KOE_OK) st = read_vocab(k, k->dir, err);
    if (st == KOE_OK && k->model)
        st = koe_acoustic_create(&k->acoustic, k->model, setup, inspect, k, err);
    free(home);
    return st;
}

static void kokoro_close(void *state)
{
    kokoro *k = state;
    if (!k) return;
    koe_acoustic_destroy(k->acoustic);
    for (size_t i = 0; i < k->n_file; i++) koe_pack_file_close(k->file[i]);
    for (size_t i = 0; i < k->n_voice; i++) free(k->voice[i].name);
    koe_symbols_deinit(&k->symbols);
    pthread_mutex_destroy(&k->lock);
    free(k->file);
    free(k->voice);
    free(k->model);
    free(k->dir);
    free(k);
}

static koe_status kokoro_open(void **state, const koe_voices_setup *setup, koe_error *err)
{
    kokoro *k = calloc(1, sizeof *k);
    if (!k) return koe_fail(err, KOE_E_NOMEM, "voices");
    pthread_mutex_init(&k->lock, NULL);
    koe_status st = find_parts(k, setup, err);
    if (st != KOE_OK) {
        kokoro_close(k);
        return st;
    }
    if (k->model && !k->n_voice)
        koe_log(KOE_LOG_WARN,
                "Kokoro has a model, %s, but no voices: put NAME.bin files into %s/voices, or run `koe pull kokoro`", k->model,
                k->dir);
    if (!k->model && k->n_voice)
        koe_log(KOE_LOG_WARN, "Kokoro has %zu voices but no model: put model.onnx into %s, or run `koe pull kokoro`", k->n_voice,
                k->dir);
    *state = k;
    return KOE_OK;
}

static const char *grade_of(const char *name)
{
    for (size_t i = 0; i < koe_kokoro_n_voices; i++)
        if (strcmp(koe_kokoro_voices[i].name, name) == 0) return koe_kokoro_voices[i].grade;
    return "";
}

static void kokoro_list(void *state, koe_voice_table *t)
{
    kokoro *k = state;
    for (size_t i = 0; k->model && i < k->n_voice; i++) {
        const char *name = k->voice[i].name;
        koe_voice_table_add(t, &(koe_voice_entry){ .info = { .name = name,
                                                             .lang = koe_kokoro_lang(name),
                                                             .gender = koe_kokoro_gender(name),
                                                             .grade = grade_of(name),
                                                             .engine = "kokoro",
                                                             .rate_hz = RATE_HZ },
                                                   .provider = &koe_provider_kokoro,
                                                   .state = k,
                                                   .id = i });
    }
}

static void kokoro_describe(void *state, size_t id, koe_voice *out)
{
    const kokoro *k = state;
    out->lang = koe_kokoro_lang(k->voice[id].name);
    out->alphabet = k->is_v019 ? KOE_ALPHABET_ESPEAK : KOE_ALPHABET_MISAKI;
    out->espeak_voice = koe_lang_find(koe_str_of(out->lang))->espeak;
    out->max_phonemes = MAX_PHONEMES;
    out->rate_hz = RATE_HZ;
    out->has_pitch = out->has_pieces = true;
    snprintf(out->name, sizeof out->name, "%s", k->voice[id].name);
}

static koe_status kokoro_missing(void *state, koe_str name, koe_error *err)
{
    const kokoro *k = state;
    bool known = false, here = false;
    for (size_t i = 0; i < koe_kokoro_n_voices; i++) known |= koe_str_is(name, koe_kokoro_voices[i].name);
    for (size_t i = 0; i < k->n_voice; i++) here |= koe_str_is(name, k->voice[i].name);
    if (!known && !here) return KOE_OK;
    if (here)
        return koe_fail(err, KOE_E_NOT_FOUND, "voice '%.*s' is in %s, but Kokoro's model is not: run `koe pull kokoro`",
                        KOE_STR_ARG(name), k->dir);
    if (k->model)
        return koe_fail(err, KOE_E_NOT_FOUND,
                        "Kokoro's voice '%.*s' is not installed: put %.*s.bin into %s/voices, or run `koe pull kokoro`",
                        KOE_STR_ARG(name), KOE_STR_ARG(name), k->dir);
    return koe_fail(err, KOE_E_NOT_FOUND, "voice '%.*s' needs Kokoro, which is not installed in %s: run `koe pull kokoro`",
                    KOE_STR_ARG(name), k->dir);
}

/* ---- the network ---------------------------------------------------------------------------------------------------------- */

static const char *const token_names[] = { "tokens", "input_ids", NULL };
static const char *const style_names[] = { "style", "ref_s", NULL };
static const char *const speed_names[] = { "speed", NULL };

static bool has_text(koe_str s, koe_str part) { return s.n >= part.n && memmem(s.p, s.n, part.p, part.n); }

/* The Round that makes durations whole: of Div of ReduceSum of Sigmoid. */
static const koe_onnx_node *find_round(const koe_onnx_graph *g)
{
    for (size_t i = 0; i < g->n_node; i++) {
        const koe_onnx_node *round = &g->node[i];
        if (!koe_acoustic_is(round, "Round") || !round->n_in || !round->n_out) continue;
        const koe_onnx_node *div = koe_acoustic_maker(g, round->in[0]);
        const koe_onnx_node *sum = koe_acoustic_is(div, "Div") && div->n_in ? koe_acoustic_maker(g, div->in[0]) : NULL;
        const koe_onnx_node *sigmoid = koe_acoustic_is(sum, "ReduceSum") && sum->n_in ? koe_acoustic_maker(g, sum->in[0]) : NULL;
        if (koe_acoustic_is(sigmoid, "Sigmoid")) return round;
    }
    return NULL;
}

/* The frames of each token: what Clip (or Max) makes of it. */
static const koe_onnx_node *find_duration(const koe_onnx_graph *g)
{
    const koe_onnx_node *round = find_round(g);
    const koe_onnx_node *clip = round ? koe_acoustic_reader(g, round->out[0], "Clip", 0) : NULL;
    if (round && !clip) clip = koe_acoustic_reader(g, round->out[0], "Max", 0);
    return clip && clip->n_out ? clip : round;
}

/* Where the durations come out: an output of their own, or a tap. */
static void plan_duration(kokoro *k, koe_acoustic_plan *plan, koe_onnx_model *m)
{
    const koe_onnx_graph *g = &m->graph;
    for (size_t i = 0; i < g->n_out; i++)
        if (has_text(g->out[i].name, KOE_STR("dur"))) {
            k->duration_out = (int)i;
            return;
        }
    const koe_onnx_node *node = find_duration(g);
    int tap = node ? koe_acoustic_tap(plan, m, node->out[0]) : -1;
    if (tap >= 0) k->duration_out = (int)g->n_out + tap;
    else koe_log(KOE_LOG_WARN, "%s: no durations found; the times of words are estimates", m->path);
}

/* An integer speed is cast to float before it divides the durations: there the true speed can be put in. */
static void plan_speed(kokoro *k, koe_acoustic_plan *plan, koe_onnx_model *m, const koe_onnx_value *speed)
{
    k->speed_is_int = speed && !koe_dtype_is_float(speed->dtype);
    const koe_onnx_node *cast = k->speed_is_int ? koe_acoustic_reader(&m->graph, speed->name, "Cast", 0) : NULL;
    if (cast && cast->n_out) k->speed_tap = koe_acoustic_tap(plan, m, cast->out[0]);
}

/* Where rate, pitch and emphasis of single words are put in. */
static void plan_prosody(kokoro *k, koe_acoustic_plan *plan, koe_onnx_model *m)
{
    const koe_onnx_node *round = find_round(&m->graph);
    koe_str pitch, energy;
    if (round) k->length_tap = koe_acoustic_tap(plan, m, round->in[0]);
    if (k->length_tap < 0 || !koe_acoustic_find_curves(&m->graph, &pitch, &energy)) return;
    k->pitch_tap = koe_acoustic_tap(plan, m, pitch);
    k->energy_tap = koe_acoustic_tap(plan, m, energy);
    const koe_str features = koe_acoustic_find_features(&m->graph, energy);
    if (features.n && k->energy_tap >= 0) k->feature_tap = koe_acoustic_tap(plan, m, features);
}

static koe_status inspect(void *user, koe_acoustic_plan *plan, koe_onnx_model *m, koe_error *err)
{
    kokoro *k = user;
    const koe_onnx_graph *g = &m->graph;
    const koe_onnx_value *tokens = koe_acoustic_input(g, token_names), *style = koe_acoustic_input(g, style_names);
    const koe_onnx_value *speed = koe_acoustic_input(g, speed_names);
    if (!tokens || !style || g->n_out == 0)
        return koe_fail(err, KOE_E_FORMAT, "not a Kokoro model: it needs inputs tokens (or input_ids) and style, and an output");
    for (size_t i = 0; i < g->n_in; i++) {
        bool weight = &g->in[i] == tokens || &g->in[i] == style || &g->in[i] == speed;
        for (size_t w = 0; w < g->n_initializer && !weight; w++) weight = koe_str_eq(g->in[i].name, g->initializer[w].name);
        if (!weight)
            return koe_fail(err, KOE_E_UNSUPPORTED, "input %.*s is not one of a Kokoro model for speech",
                            KOE_STR_ARG(g->in[i].name));
    }
    k->duration_out = k->speed_tap = k->length_tap = k->pitch_tap = k->energy_tap = k->feature_tap = -1;
    k->n_graph_out = g->n_out;
    plan_duration(k, plan, m);
    plan_speed(k, plan, m, speed);
    plan_prosody(k, plan, m);
    return KOE_OK;
}

/* ---- speaking ------------------------------------------------------------------------------------------------------------- */

/* Kokoro was trained on sentences: a word or two by themselves come out garbled, and the style of so few phonemes is hardly known. They are
 * given what says nothing on both sides, and a longer sentence's style; the durations tell where the words are, and the rest is cut off. */
enum { SHORT_PHONEMES = 10, SHORT_STYLE = 20, SHORT_MARGIN_MS = 60 /* kept around the words: breath and echo */ };
static const uint32_t neutral[] = { 0x2026 /* … */, ' ' };

static bool is_short(const koe_timeline *t) { return t->n > 0 && t->n < SHORT_PHONEMES; }

static koe_status add_neutral(koe_tokens *out, const kokoro *k, size_t owner, koe_error *err)
{
    const size_t n = sizeof neutral / sizeof *neutral;
    koe_status st = KOE_OK;
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        const koe_symbol *symbol = koe_symbols_find(&k->symbols, neutral[owner == KOE_OWNER_LEAD ? i : n - 1 - i]);
        if (symbol) st = koe_tokens_add(out, k->symbols.id[symbol->first], owner, err);
    }
    return st;
}

/* Cuts off what was said for the neutral tokens. */
static void cut_neutral(koe_speech *speech, koe_timeline *t)
{
    const size_t margin = SHORT_MARGIN_MS * RATE_HZ / 1000, first = t->at[0], last = t->at[t->n];
    const size_t from = first > margin ? first - margin : 0, to = speech->n_samples - last > margin ? last + margin : speech->n_samples;
    memmove(speech->samples, speech->samples + from, (to - from) * sizeof *speech->samples);
    speech->n_samples = to - from;
    for (size_t i = 0; i <= t->n; i++) t->at[i] -= from;
}

/* [0, ids, 0]. A code point without an id takes no time. */
static koe_status make_tokens(koe_tokens *out, const kokoro *k, const koe_timeline *t, koe_error *err)
{
    koe_status st = koe_tokens_add(out, 0, KOE_OWNER_LEAD, err);
    if (st == KOE_OK && is_short(t)) st = add_neutral(out, k, KOE_OWNER_LEAD, err);
    for (size_t i = 0; st == KOE_OK && i < t->n; i++) {
        const koe_symbol *symbol = koe_symbols_find(&k->symbols, t->cp[i]);
        for (size_t j = 0; symbol && st == KOE_OK && j < symbol->n; j++)
            st = koe_tokens_add(out, k->symbols.id[symbol->first + j], i, err);
    }
    if (st == KOE_OK && is_short(t)) st = add_neutral(out, k, KOE_OWNER_TAIL, err);
    if (st == KOE_OK) st = koe_tokens_add(out, 0, KOE_OWNER_TAIL, err);
    if (st == KOE_OK && out->n > MAX_PHONEMES + 2)
        st = koe_fail(err, KOE_E_LIMIT, "%zu phonemes in one segment, Kokoro takes %d", out->n - 2, MAX_PHONEMES);
    return st;
}

static koe_status blend_style(double *style, kokoro *k, const koe_voice *voice, size_t n_phonemes, koe_error *err)
{
    for (size_t c = 0; c < KOE_STYLE_DIM; c++) style[c] = 0;
    for (size_t p = 0; p < voice->n; p++) {
        const kokoro_voice *v = &k->voice[voice->id[p]];
        koe_pack pack = { 0 };
        pthread_mutex_lock(&k->lock);
        koe_status st = koe_pack_file_load(k->file[v->file], v->index, &pack, err);
        pthread_mutex_unlock(&k->lock);
        if (st != KOE_OK) return st;
        const float *row = koe_pack_style(&pack, n_phonemes);
        for (size_t c = 0; c < KOE_STYLE_DIM; c++) style[c] += voice->weight[p] * (double)row[c];
    }
    return KOE_OK;
}

/* What is changed inside the network as it runs. */
typedef struct inner_changes {
    kokoro *k;
    double speed;
    koe_shape shape;
    koe_piece piece;
    koe_rest *rest; /* what is cut off a piece is kept here; NULL: nowhere */
    double cut_ms; /* when the last of what can be cut was there */
} inner_changes;

static bool is_of_frames(const kokoro *k, int tap) { return tap == k->pitch_tap || tap == k->energy_tap || tap == k->feature_tap; }

/* Before anything is cut. */
static void keep(const inner_changes *c, size_t tap, const koe_tensor *t)
{
    if (c->piece.n_words && c->rest) koe_rest_keep(c->rest, c->k->n_graph_out + tap, t);
}

/* koe_tap_fn */
static koe_status change_inside(void *user, size_t index, koe_tensor *t, koe_error *err)
{
    inner_changes *c = user;
    const int tap = (int)index;
    koe_status st = KOE_OK;
    if (tap == c->k->speed_tap) koe_acoustic_fill(t, c->speed);
    else if (tap == c->k->length_tap) {
        st = koe_shape_durations(&c->shape, t, c->speed, err);
        koe_piece_choose(&c->piece, t);
        keep(c, index, t);
    } else if (tap == c->k->pitch_tap) koe_shape_pitch(&c->shape, t);
    else if (tap == c->k->energy_tap) koe_shape_energy(&c->shape, t);
    if (st != KOE_OK || !is_of_frames(c->k, tap)) return st;
    c->cut_ms = koe_clock_ms();
    keep(c, index, t);
    return koe_piece_cut(&c->piece, t, err);
}

/* Says once what this model gives no way to. */
static void check_prosody(kokoro *k, const koe_shape *shape)
{
    const char *missing = k->length_tap < 0 ? "rate, pitch and emphasis" : k->pitch_tap < 0 ? "pitch and emphasis" : NULL;
    if (shape->n && missing && !atomic_exchange(&k->warned_prosody, true))
        koe_log(KOE_LOG_WARN, "%s: %s of single words cannot be changed: they were not found in the network", k->model, missing);
}

static koe_status set_inputs(koe_run *run, const koe_session *s, kokoro *k, const koe_tokens *tokens, const double *style,
                             double speed, koe_arena *arena, koe_error *err)
{
    const koe_onnx_graph *g = &koe_session_model(s)->graph;
    double *id = koe_arena_array(arena, tokens->n, sizeof *id);
    if (!id) return koe_fail(err, KOE_E_NOMEM, "%zu tokens", tokens->n);
    for (size_t i = 0; i < tokens->n; i++) id[i] = (double)tokens->id[i];
    koe_status st = koe_acoustic_set(run, s, koe_acoustic_input(g, token_names)->name, id, tokens->n, arena, err);
    if (st == KOE_OK) st = koe_acoustic_set(run, s, koe_acoustic_input(g, style_names)->name, style, KOE_STYLE_DIM, arena, err);
    const koe_onnx_value *in = koe_acoustic_input(g, speed_names);
    if (st != KOE_OK || !in) return st;
    if (k->speed_is_int && k->speed_tap < 0) {
        double whole = speed < 1.5 ? 1 : (double)(int)(speed + 0.5);
        if (whole != speed && !atomic_exchange(&k->warned_speed, true))
            koe_log(KOE_LOG_WARN, "%s takes whole speeds only: %g becomes %g", k->model, speed, whole);
        speed = whole;
    } else if (k->speed_is_int) speed = 1; /* change_inside() puts the true one in */
    return koe_acoustic_set(run, s, in->name, &speed, 1, arena, err);
}

/* How fast the network lately was behind the place where pieces are cut; a single run may have been held up by something else. */
static void note_pace(kokoro *k, double ms, size_t n_samples)
{
    enum { LEAST_SAMPLES = RATE_HZ / 2 };
    const double newest = 0.3, old = atomic_load(&k->pace), now = n_samples ? ms / 1000 * RATE_HZ / (double)n_samples : 0;
    if (n_samples >= LEAST_SAMPLES) atomic_store(&k->pace, old > 0 ? old + newest * (now - old) : now);
}

/* What a run is given that goes on behind pieces: their tensors, for another piece cut in another place. */
static koe_status give(koe_given *given, inner_changes *c, const koe_rest *rest, koe_arena *arena, koe_error *err)
{
    const size_t first = c->k->n_graph_out;
    koe_status st = KOE_OK;
    for (size_t i = 0; i < rest->n; i++) {
        given[i] = rest->given[i];
        if (given[i].out == first + (size_t)c->k->length_tap) koe_piece_choose(&c->piece, &given[i].t);
    }
    for (size_t i = 0; i < rest->n && st == KOE_OK && c->piece.n_words; i++) {
        if (given[i].out < first || !is_of_frames(c->k, (int)(given[i].out - first))) continue;
        const size_t n = koe_tensor_bytes(&given[i].t);
        void *copy = koe_arena_alloc(arena, n ? n : 1);
        if (!copy) return koe_fail(err, KOE_E_NOMEM, "a piece");
        if (n) memcpy(copy, given[i].t.data, n);
        given[i].t.data = copy;
        st = koe_piece_cut(&c->piece, &given[i].t, err);
    }
    return st;
}

/* Executes, from where pieces of the segment were cut if they left that. */
static koe_status execute(koe_run *run, inner_changes *c, const koe_voice_job *job, const koe_rest *rest, koe_arena *arena, koe_error *err)
{
    koe_run_options opt = { .seed = job->seed, .zero_noise = job->zero_noise, .cancel = job->cancel, .on_tap = change_inside, .user = c };
    koe_given given[KOE_ACOUSTIC_TAPS + 1];
    koe_error why = { 0 };
    if (rest && rest->loading == koe_acoustic_loading(c->k->acoustic)) {
        koe_status st = give(given, c, rest, arena, &why);
        opt.given = given;
        opt.n_given = rest->n;
        c->cut_ms = koe_clock_ms();
        if (st == KOE_OK) st = koe_run_execute(run, &opt, &why);
        if (st == KOE_OK || st == KOE_E_CANCELLED) return st == KOE_OK ? st : koe_fail(err, st, "%s", why.message);
        koe_log(KOE_LOG_DEBUG, "%s cannot go on behind a piece: %s", c->k->model, why.message);
        opt.n_given = 0;
    }
    if (job->said) c->piece.least_frames = 0; /* all of it: what is in hand would not last for another piece */
    c->piece.n_words = 0;
    return koe_run_execute(run, &opt, err);
}

/* A piece hands over what the run for the whole goes on with. */
static void leave_rest(koe_speech *out, inner_changes *c, const koe_run *run)
{
    const int durations = c->k->duration_out;
    if (!c->rest || !c->piece.n_words || out->rest) return;
    if (durations >= 0 && koe_run_out(run, (size_t)durations)->kind == KOE_VALUE_TENSOR) koe_rest_keep(c->rest, (size_t)durations, &koe_run_out(run, (size_t)durations)->t);
    if (c->rest->failed) return;
    c->rest->loading = koe_acoustic_loading(c->k->acoustic);
    out->rest = c->rest;
    c->rest = NULL;
}

/* Sound and times from a run's outputs. */
static koe_status take_speech(koe_speech *out, inner_changes *c, const koe_run *run, koe_timeline *t, const koe_tokens *tokens, koe_error *err)
{
    kokoro *k = c->k;
    koe_status st = koe_acoustic_samples(out, koe_run_out(run, 0), err);
    if (st != KOE_OK) return st;
    if (c->cut_ms > 0 && !c->piece.n_words) note_pace(k, koe_clock_ms() - c->cut_ms, out->n_samples);
    koe_piece_lay(&c->piece, out);
    const double whole = c->piece.n_words ? c->piece.total / c->piece.end : 1;
    st = koe_acoustic_lay_times((size_t)rint((double)out->n_samples * whole), k->duration_out, run, t, tokens, err);
    if (st != KOE_OK) return st;
    if (is_short(t) && k->duration_out >= 0) cut_neutral(out, t);
    leave_rest(out, c, run);
    return KOE_OK;
}

static koe_status run_network(koe_speech *out, kokoro *k, const koe_voice_job *job, koe_timeline *t, const koe_tokens *tokens,
                              const double *style, koe_error *err)
{
    koe_session *session = NULL;
    koe_run *run = NULL;
    koe_arena arena = { 0 };
    koe_status st = koe_acoustic_borrow(k->acoustic, &session, &run, job->cancel, err);
    if (st != KOE_OK) return st;
    inner_changes change = { .k = k, .speed = job->speed,
                             .piece = { .tokens = tokens, .timeline = t, .segment = job->segment, .said = job->said, .said_frames = job->said_s / frame_s,
                                        .in_hand = job->in_hand_s / frame_s, .frame_s = frame_s, .pace = atomic_load(&k->pace) } };
    if (k->feature_tap >= 0 && !atomic_load(&k->no_pieces) && !is_short(t)) change.piece.least_frames = job->piece_s / frame_s;
    if (change.piece.least_frames > 0 && !out->rest) change.rest = calloc(1, sizeof *change.rest); /* without it the whole is computed anew */
    st = koe_shape_init(&change.shape, tokens, job->segment, err);
    change.shape.frame_s = frame_s;
    check_prosody(k, &change.shape);
    if (st == KOE_OK) st = set_inputs(run, session, k, tokens, style, job->speed, &arena, err);
    if (st == KOE_OK) st = execute(run, &change, job, out->rest, &arena, err);
    if (st == KOE_OK) st = take_speech(out, &change, run, t, tokens, err);
    koe_acoustic_give_back(k->acoustic, run);
    koe_rest_destroy(change.rest);
    koe_shape_deinit(&change.shape);
    koe_arena_free(&arena);
    return st;
}

static bool has_own_token(const koe_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++)
        if (tokens->owner[i] < KOE_OWNER_TAIL) return true;
    return false;
}

static koe_status kokoro_speak(koe_speech *out, const koe_voice *voice, const koe_voice_job *job, koe_error *err)
{
    kokoro *k = voice->state;
    double style[KOE_STYLE_DIM];
    koe_tokens tokens = { 0 };
    koe_timeline t;
    koe_status st = koe_timeline_init(&t, job->segment->phonemes, err);
    if (st != KOE_OK) return st;
    out->n_samples = 0;
    out->rate_hz = RATE_HZ;
    st = make_tokens(&tokens, k, &t, err);
    if (st == KOE_OK) st = blend_style(style, k, voice, is_short(&t) ? SHORT_STYLE : t.n, err);
    /* Nothing that the network knows: no sound. */
    const bool speaks = has_own_token(&tokens);
    if (st == KOE_OK && speaks) st = run_network(out, k, job, &t, &tokens, style, err);
    if (st != KOE_OK && st != KOE_E_CANCELLED && st != KOE_E_NOMEM && job->piece_s > 0 && !atomic_exchange(&k->no_pieces, true)) {
        koe_log(KOE_LOG_WARN, "%s cannot speak the beginning of a sentence on its own: %s", k->model, err ? err->message : "");
        st = run_network(out, k, job, &t, &tokens, style, err);
    }
    if (st == KOE_OK) st = koe_timeline_words(out, &t, job->segment, err);
    koe_tokens_deinit(&tokens);
    koe_timeline_deinit(&t);
    return st;
}

static bool kokoro_knows(void *state, size_t id, uint32_t phoneme)
{
    (void)id;
    return koe_symbols_find(&((const kokoro *)state)->symbols, phoneme) != NULL;
}

static koe_status kokoro_load(void *state, size_t id, koe_error *err)
{
    (void)id; /* one network for all */
    return koe_acoustic_load(((kokoro *)state)->acoustic, err);
}

static koe_models_load kokoro_unload(void *state, double idle_s) { return koe_acoustic_unload(((kokoro *)state)->acoustic, idle_s); }

const koe_provider koe_provider_kokoro = {
    .name = "kokoro",
    .can_blend = true,
    .open = kokoro_open,
    .close = kokoro_close,
    .list = kokoro_list,
    .describe = kokoro_describe,
    .missing = kokoro_missing,
    .knows = kokoro_knows,
    .speak = kokoro_speak,
    .load = kokoro_load,
    .unload = kokoro_unload,
};
