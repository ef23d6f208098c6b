/* session.c - a loaded graph: read-only, shared by its runs. */
#include "graph/internal.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/digest.h"
#include "base/log.h"
#include "kernels/lp_conv.h"

static const char *const precision_name[] = { [KOE_PRECISION_F32] = "f32", [KOE_PRECISION_BF16] = "bf16", [KOE_PRECISION_INT8] = "int8",
                                              [KOE_PRECISION_AUTO] = "auto" };

int koe_precision_of(const char *name)
{
    for (int i = 0; i < (int)(sizeof precision_name / sizeof *precision_name); i++)
        if (strcmp(precision_name[i], name) == 0) return i;
    return -1;
}

/* auto: the fastest of the precisions that pass the gate of docs/speed.md on this machine. int8 does where its kernels take inputs of 8
 * bits; with 7 (AVX2) it does not. */
static int resolve(int precision)
{
    if (precision != KOE_PRECISION_AUTO) return precision;
    const koe_lp_set *int8 = koe_lp_kernels(KOE_LP_INT8);
    if (int8 && int8->needs && int8->x_max == 255) return KOE_PRECISION_INT8;
    const koe_lp_set *bf16 = koe_lp_kernels(KOE_LP_BF16);
    return bf16 && bf16->needs && !bf16->widens ? KOE_PRECISION_BF16 : KOE_PRECISION_F32;
}

/* What packed weights depend on. The model file is known by its size, its time and samples of its content: reading all of it would take
 * longer than packing. */
static void make_key(koe_session *s, const koe_session_options *opt)
{
    enum { PACKING_VERSION = 12, SAMPLE = 4096, N_SAMPLES = 64 };
    const koe_mapping *f = &s->model->file;
    struct stat info = { 0 };
    koe_buf about = { 0 };
    koe_digest d;
    stat(s->model->path, &info);
    koe_buf_printf(&about, "%d %zu %lld.%09ld %s %x %d %s", PACKING_VERSION, f->n, (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                   koe_cpu_name(), koe_cpu_features(), s->precision, opt && opt->passes ? opt->passes : "");
    for (size_t i = 0; opt && i < opt->n_taps; i++) koe_buf_printf(&about, " %s", opt->taps[i]);
    if (opt && opt->precision_only) koe_buf_printf(&about, " only %s", opt->precision_only);
    koe_digest_init(&d, KOE_DIGEST_SHA256);
    koe_digest_add(&d, about.data, about.n);
    for (size_t i = 0; i < N_SAMPLES && f->n > SAMPLE; i++) koe_digest_add(&d, f->p + (f->n - SAMPLE) / (N_SAMPLES - 1) * i, SAMPLE);
    char text[KOE_DIGEST_TEXT];
    koe_digest_text(&d, text);
    memcpy(s->key, text, sizeof s->key); /* half of the digits are enough */
    koe_buf_free(&about);
}

koe_status koe_session_create(koe_session **out, koe_onnx_model *model, const koe_session_options *opt, koe_error *err)
{
    koe_session *s = calloc(1, sizeof *s);
    if (!s) {
        koe_onnx_close(model);
        return koe_fail(err, KOE_E_NOMEM, "session");
    }
    s->model = model;
    s->pool = opt ? opt->pool : NULL;
    s->precision = resolve(opt ? opt->precision : KOE_PRECISION_F32);
    s->keep_weights = opt && opt->keep_weights;
    koe_status st = koe_weights_create(&s->weights, err);
    if (st == KOE_OK && model->path) make_key(s, opt);
    if (st == KOE_OK && model->path && opt && opt->packed) koe_weights_map(s->weights, opt->packed, s->key);
    if (st == KOE_OK) st = koe_graph_build(s, opt, err);
    if (st == KOE_OK) st = koe_graph_passes(s, opt ? opt->passes : NULL, err);
    if (st == KOE_OK) st = koe_graph_set_precision(s, opt ? opt->precision_only : NULL, err);
    if (st == KOE_OK && s->narrow) st = koe_graph_set_narrow(s, err);
    if (st == KOE_OK && s->rest) st = koe_graph_set_rest(s, err);
    if (st == KOE_OK) st = koe_graph_finish(s, err);
    if (st != KOE_OK) {
        if (model->path) koe_error_wrap(err, st, "%s", model->path);
        koe_session_destroy(s);
        return st;
    }
    *out = s;
    return KOE_OK;
}

int koe_session_precision(const koe_session *s) { return s->precision; }

void koe_session_destroy(koe_session *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n_all; i++) koe_graph_release(s->all[i]);
    free(s->all);
    free(s->slot);
    koe_weights_destroy(s->weights);
    koe_arena_free(&s->arena);
    koe_onnx_close(s->model);
    free(s);
}

char *koe_packed_path(const char *model_path, int precision)
{
    koe_buf name = { 0 }, path = { 0 };
    koe_buf_printf(&name, "%s.%s-%s.koepack", model_path, koe_cpu_name(), precision_name[resolve(precision)]);
    const char *slash = strrchr(model_path, '/');
    char *folder = koe_str_dup(slash ? (koe_str){ model_path, (size_t)(slash - model_path) + 1 } : KOE_STR("."));
    if (folder && !name.failed && (access(folder, W_OK) != 0 && access(name.data, R_OK) != 0)) {
        char *cache = koe_path_cache();
        koe_digest d;
        char text[KOE_DIGEST_TEXT];
        koe_digest_init(&d, KOE_DIGEST_SHA256);
        koe_digest_add(&d, name.data, name.n);
        koe_digest_text(&d, text);
        if (cache && koe_file_make_dirs(cache, NULL) == KOE_OK) koe_buf_printf(&path, "%s/%.24s.koepack", cache, text);
        free(cache);
    }
    free(folder);
    if (path.data) {
        koe_buf_free(&name);
        return path.data;
    }
    return name.failed ? NULL : name.data;
}

koe_status koe_session_create_packed(koe_session **out, koe_onnx_model *model, const koe_session_options *opt, koe_error *err)
{
    const char *off = getenv("KOE_PACK");
    koe_session_options with = opt ? *opt : (koe_session_options){ 0 };
    char *path = off && strcmp(off, "off") == 0 ? NULL : koe_packed_path(model->path, with.precision);
    with.packed = path;
    koe_status st = koe_session_create(out, model, &with, err);
    koe_error why = { 0 };
    if (st == KOE_OK && path && !koe_session_is_packed(*out) && koe_session_save_packed(*out, path, &why) != KOE_OK)
        koe_log(KOE_LOG_INFO, "%s", why.message);
    free(path);
    return st;
}

bool koe_session_is_packed(const koe_session *s) { return koe_weights_all_mapped(s->weights); }

koe_status koe_session_save_packed(const koe_session *s, const char *path, koe_error *err)
{
    if (!s->model->path) return koe_fail(err, KOE_E_ARGUMENT, "a model that is not a file cannot be packed");
    return koe_weights_save(s->weights, path, s->key, err);
}

size_t koe_session_passes(const koe_session *s, const koe_pass_report **out)
{
    *out = s->report;
    return s->n_report;
}

size_t koe_session_n_nodes(const koe_session *s) { return s->n_all; }

const koe_onnx_model *koe_session_model(const koe_session *s) { return s->model; }
size_t koe_session_n_in(const koe_session *s) { return (size_t)s->n_in; }
size_t koe_session_n_out(const koe_session *s) { return (size_t)s->plan->n_out; }
const koe_onnx_value *koe_session_in(const koe_session *s, size_t i) { return s->in[i]; }

koe_str koe_session_out_name(const koe_session *s, size_t i)
{
    /* A graph output may be an alias of another value's slot; its own name is the declared one. */
    return i < (size_t)s->n_graph_out ? s->model->graph.out[i].name : s->slot[s->plan->out[i]].name;
}

int koe_session_find_in(const koe_session *s, const char *name)
{
    for (int i = 0; i < s->n_in; i++)
        if (koe_str_is(s->in[i]->name, name)) return i;
    return -1;
}
