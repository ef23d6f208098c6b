/* model.c - koe model: what its subcommands share, and the choice of one. */
#include "cli/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "cli/cli.h"

koe_status koe_model_options_read(koe_model_options *o, koe_error *err)
{
    int64_t threads = 0, seed = 0, memory = 0;
    koe_status st = koe_args_int(&threads, o->threads, "--threads", 0, 4096, err);
    if (st != KOE_OK) return st;
    o->n_threads = (int)threads;
    st = koe_args_int(&memory, o->memory_limit, "--memory-limit", 0, 1 << 30, err);
    if (st != KOE_OK) return st;
    koe_process_limit_set((size_t)memory << 20);
    if (!o->precision) o->precision = "f32";
    o->precision_id = koe_precision_of(o->precision);
    if (o->precision_id < 0)
        return koe_fail(err, KOE_E_ARGUMENT, "--precision is '%s', it must be f32, bf16, int8 or auto", o->precision);
    if (o->noise && strcmp(o->noise, "zero") == 0) {
        o->run.zero_noise = true;
    } else {
        st = koe_args_int(&seed, o->noise, "--noise", 0, INT64_MAX, err);
        if (st != KOE_OK) return koe_fail(err, st, "--noise is '%s', it must be zero or a seed (a whole number)", o->noise);
        o->run.seed = (uint64_t)seed;
    }
    return o->cpu ? koe_cpu_restrict(o->cpu, err) : KOE_OK;
}

koe_status koe_loaded_open(koe_loaded *l, const char *path, const koe_model_options *o, koe_error *err)
{
    koe_onnx_model *model = NULL;
    koe_session_options options = { .precision = o->precision_id, .precision_only = o->precision_only, .passes = o->passes };
    koe_status st = koe_onnx_open(&model, path, err);
    if (st != KOE_OK) return st;
    st = koe_pool_create(&l->pool, o->n_threads, err);
    options.pool = l->pool;
    if (st == KOE_OK) /* takes the model */
        st = o->pack ? koe_session_create_packed(&l->session, model, &options, err) : koe_session_create(&l->session, model, &options, err);
    else koe_onnx_close(model);
    if (st == KOE_OK) st = koe_run_create(&l->run, l->session, err);
    if (st != KOE_OK) koe_loaded_close(l);
    return st;
}

void koe_loaded_close(koe_loaded *l)
{
    koe_run_destroy(l->run);
    koe_session_destroy(l->session);
    koe_pool_destroy(l->pool);
    *l = (koe_loaded){ 0 };
}

/* n tensors as a value: one tensor, or a sequence of them. */
static koe_status value_of(koe_value *out, bool as_sequence, koe_arena *arena, const koe_tensor *tensor, size_t n,
                           const char *path, koe_error *err)
{
    *out = (koe_value){ .kind = as_sequence ? KOE_VALUE_SEQUENCE : KOE_VALUE_TENSOR };
    if (!as_sequence) {
        if (n != 1) return koe_fail(err, KOE_E_FORMAT, "%s: holds no tensor", path);
        out->t = tensor[0];
        return KOE_OK;
    }
    out->n_item = n;
    out->item = koe_arena_array(arena, n ? n : 1, sizeof *out->item);
    if (!out->item) return koe_fail(err, KOE_E_NOMEM, "%s", path);
    for (size_t i = 0; i < n; i++) out->item[i] = (koe_value){ .kind = KOE_VALUE_TENSOR, .t = tensor[i] };
    return KOE_OK;
}

koe_status koe_value_read(koe_value *out, bool as_sequence, koe_arena *arena, const char *path, koe_error *err)
{
    koe_tensor *tensor = NULL, one;
    size_t n = 1;
    koe_status st;
    if (koe_str_ends(koe_str_of(path), KOE_STR(".pb"))) {
        st = koe_onnx_read_pb(&tensor, &n, as_sequence, arena, path, err);
    } else {
        st = koe_npy_read(&one, arena, path, err);
        tensor = &one;
    }
    return st == KOE_OK ? value_of(out, as_sequence, arena, tensor, n, path, err) : st;
}

const char *koe_declared(const koe_onnx_value *v, char *text, size_t cap)
{
    koe_buf b = { 0 };
    koe_buf_printf(&b, "%.*s ", KOE_STR_ARG(v->name));
    if (v->kind == KOE_ONNX_SEQUENCE) koe_buf_adds(&b, "sequence of ");
    if (v->kind == KOE_ONNX_OPTIONAL) koe_buf_adds(&b, "optional ");
    koe_buf_adds(&b, koe_dtype_name(v->dtype));
    if (v->n_dim >= 0) koe_buf_addc(&b, '[');
    for (int i = 0; i < v->n_dim; i++) {
        if (i) koe_buf_addc(&b, ',');
        if (v->dim[i] >= 0) koe_buf_printf(&b, "%" PRId64, v->dim[i]);
        else if (v->dim_param[i].n) koe_buf_add_str(&b, v->dim_param[i]);
        else koe_buf_addc(&b, '?');
    }
    if (v->n_dim >= 0) koe_buf_addc(&b, ']');
    snprintf(text, cap, "%s", b.failed || !b.data ? "" : b.data);
    koe_buf_free(&b);
    return text;
}

bool koe_is_file_name_of(const char *file_name, size_t n, koe_str name)
{
    if (n != name.n) return false;
    for (size_t i = 0; i < n; i++)
        if (file_name[i] != name.p[i] && !(file_name[i] == '_' && name.p[i] == '/')) return false;
    return true;
}

int koe_cmd_model_pack(int argc, char **argv)
{
    koe_model_options o = { .pack = true };
    koe_arg_list words = { 0 };
    const koe_option options[] = { KOE_MODEL_OPTIONS(o) };
    const koe_command_line c = { "koe model pack", "FILE.onnx [--precision P]",
                                 "Writes a model's weights as this machine computes with them, to a file beside the model (or in the cache "
                                 "folder),\nwhich the next starts map. The server and koe say do this by themselves at a model's first use.",
                                 options, sizeof options / sizeof *options };
    koe_error err = { 0 };
    const koe_args_result r = koe_args_parse(&c, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK && words.n != 1) status = koe_args_wrong(&c, "name one model: FILE.onnx");
    else if (r == KOE_ARGS_OK && koe_model_options_read(&o, &err) != KOE_OK) status = koe_args_wrong(&c, "%s", err.message);
    else if (r == KOE_ARGS_OK) {
        koe_loaded l = { 0 };
        koe_status st = koe_loaded_open(&l, words.item[0], &o, &err);
        char *path = st == KOE_OK ? koe_packed_path(words.item[0], o.precision_id) : NULL;
        if (path && koe_file_exists(path)) puts(path);
        else if (st == KOE_OK) st = koe_fail(&err, KOE_E_IO, "no packed file could be written for %s", words.item[0]);
        free(path);
        koe_loaded_close(&l);
        status = st == KOE_OK ? 0 : koe_args_failed(&c, &err);
    }
    koe_args_free(&c, &words);
    return status;
}

int koe_cmd_model(int argc, char **argv)
{
    static const struct {
        const char *name;
        koe_command_fn *run;
    } commands[] = { { "info", koe_cmd_model_info },
                     { "run", koe_cmd_model_run },
                     { "check", koe_cmd_model_check },
                     { "bench", koe_cmd_model_bench },
                     { "pack", koe_cmd_model_pack } };
    static const koe_command_line line = {
        .name = "koe model",
        .usage = "info|run|check|bench|pack ...",
        .about = "  koe model info FILE.onnx              what a model is and what it needs\n"
                 "  koe model run FILE.onnx --in ...      run it on .npy files\n"
                 "  koe model check DIR...                run test cases and compare\n"
                 "  koe model bench FILE.onnx --in ...    time it\n"
                 "  koe model pack FILE.onnx              prepare its weights for this machine, for quick starts",
    };
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    if (argc < 2) return koe_args_wrong(&line, "say what to do: info, run, check, bench or pack");
    if (argv[1][0] != '-') return koe_args_wrong(&line, "there is no command '%s': info, run, check, bench or pack", argv[1]);
    koe_arg_list words = { 0 };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    koe_args_free(&line, &words);
    return r == KOE_ARGS_HELP ? 0 : 2;
}
