/* model_check.c - koe model check: run test cases and compare. Two layouts of a folder:
 *     model.onnx  test_data_set_K/{input_I.pb, output_I.pb}      ONNX's backend tests; I counts graph inputs and outputs
 *     NAME.onnx   case_K/{input_NAME.npy, output_NAME.npy}       by name, '/' written as '_'; outputs without a file are not
 * compared; the model may also stand beside the folder, as FOLDER.onnx A folder of the first kind is one case, whatever its
 * number of sets; in the second kind every case_K is one. A folder without a model stands for the folders in it. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "cli/cli.h"
#include "cli/compare.h"
#include "cli/model.h"

/* Folders of folders are looked into this far. */
enum { MAX_DEPTH = 2 };

typedef struct checker {
    koe_model_options model;
    koe_tolerance tol; /* a field below 0: not given, the default of the layout */
    size_t n_passed, n_failed;
} checker;

static void report(checker *c, const char *name, const char *why)
{
    if (!why) c->n_passed++;
    else {
        c->n_failed++;
        printf("FAIL %s: %s\n", name, why);
        fflush(stdout);
    }
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

/* Names of a folder's entries, sorted, hidden ones left out; *n of them. NULL with a message when it cannot be read. */
static char **list_folder(const char *path, size_t *n, koe_error *err)
{
    struct dirent **entry = NULL;
    const int count = scandir(path, &entry, NULL, alphasort);
    *n = 0;
    if (count < 0) {
        koe_fail(err, KOE_E_IO, "%s: %s", path, errno == ENOTDIR ? "not a folder" : strerror(errno));
        return NULL;
    }
    char **name = calloc((size_t)count + 1, sizeof *name);
    for (int i = 0; i < count; i++) {
        if (name && entry[i]->d_name[0] != '.') name[*n] = strdup(entry[i]->d_name);
        if (name && name[*n]) ++*n;
        free(entry[i]);
    }
    free(entry);
    if (!name) koe_fail(err, KOE_E_NOMEM, "%s", path);
    return name;
}

static void free_names(char **name, size_t n)
{
    for (size_t i = 0; i < n; i++) free(name[i]);
    free(name);
}

static bool starts(const char *s, const char *with) { return koe_str_starts(koe_str_of(s), koe_str_of(with)); }
static bool ends(const char *s, const char *with) { return koe_str_ends(koe_str_of(s), koe_str_of(with)); }

/* The folder's own model: model.onnx, else its only .onnx; NULL when it has none, or several. */
static const char *find_model(char **name, size_t n)
{
    const char *found = NULL;
    size_t n_found = 0;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name[i], "model.onnx") == 0) return name[i];
        if (!ends(name[i], ".onnx")) continue;
        found = name[i];
        n_found++;
    }
    return n_found == 1 ? found : NULL;
}

static bool has_cases(char **name, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (starts(name[i], "case_") || starts(name[i], "test_data_set_")) return true;
    return false;
}

/* malloc()ed path of the model of a folder: in it, or, for a folder of cases, beside it. NULL when there is none. */
static char *model_path(const char *dir, char **name, size_t n)
{
    const char *model = find_model(name, n);
    if (model) return koe_path_join(dir, model);
    koe_str trimmed = koe_str_of(dir);
    while (trimmed.n > 1 && trimmed.p[trimmed.n - 1] == '/') trimmed.n--;
    koe_buf beside = { 0 };
    if (!has_cases(name, n)) return NULL;
    koe_buf_add_str(&beside, trimmed);
    koe_buf_adds(&beside, ".onnx");
    if (!beside.failed && koe_file_exists(beside.data)) return beside.data;
    koe_buf_free(&beside);
    return NULL;
}

/* Last part of a path, trailing slashes left out, into `name`. */
static void base_name(char *name, size_t cap, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t at = n;
    while (at > 0 && path[at - 1] != '/') at--;
    snprintf(name, cap, "%.*s", (int)(n - at), path + at);
}

/* ---- one set of inputs and outputs ------------------------------------------------------------------------------- */

/* Compares output i with a file. */
static koe_status compare(const koe_loaded *l, koe_run *run, size_t i, const char *path, koe_arena *arena,
                          const koe_tolerance *tol, koe_error *err)
{
    const koe_str name = koe_session_out_name(l->session, i);
    const bool sequence = koe_run_out(run, i)->kind == KOE_VALUE_SEQUENCE;
    koe_value want;
    koe_status st = koe_value_read(&want, sequence, arena, path, err);
    if (st != KOE_OK) return st;
    koe_buf why = { 0 };
    if (!koe_value_close(koe_run_out(run, i), &want, tol, &why))
        st = koe_fail(err, KOE_E_FORMAT, "output %.*s: %s", KOE_STR_ARG(name), why.data ? why.data : "differs");
    koe_buf_free(&why);
    return st;
}

/* Feeds a file to the graph input called `name`. */
static koe_status feed(const koe_loaded *l, koe_run *run, koe_str name, const char *path, koe_arena *arena, koe_error *err)
{
    koe_buf c_name = { 0 };
    koe_buf_add_str(&c_name, name);
    const int i = c_name.failed || !c_name.data ? -1 : koe_session_find_in(l->session, c_name.data);
    koe_buf_free(&c_name);
    if (i < 0) return koe_fail(err, KOE_E_FORMAT, "%s: the model has no input %.*s", path, KOE_STR_ARG(name));
    koe_value v;
    koe_status st = koe_value_read(&v, koe_session_in(l->session, (size_t)i)->kind == KOE_ONNX_SEQUENCE, arena, path, err);
    return st == KOE_OK ? koe_run_set_in_value(run, (size_t)i, &v, err) : st;
}

/* DIR/input_K.pb or DIR/output_K.pb, malloc()ed; NULL when there is no such file. */
static char *numbered_file(const char *dir, const char *what, size_t k)
{
    char name[48];
    snprintf(name, sizeof name, "%s_%zu.pb", what, k);
    char *path = koe_path_join(dir, name);
    if (path && !koe_file_exists(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

static koe_status feed_numbered(const koe_loaded *l, koe_run *run, const char *dir, koe_arena *arena, koe_error *err)
{
    const koe_onnx_graph *g = &koe_session_model(l->session)->graph;
    koe_status st = KOE_OK;
    char *path;
    for (size_t k = 0; k < g->n_in && st == KOE_OK; k++) {
        if (!(path = numbered_file(dir, "input", k))) continue; /* an initialiser's, or the run will name it */
        st = feed(l, run, g->in[k].name, path, arena, err);
        free(path);
    }
    if (st == KOE_OK && (path = numbered_file(dir, "input", g->n_in))) {
        st = koe_fail(err, KOE_E_FORMAT, "%s: the model has only %zu inputs", path, g->n_in);
        free(path);
    }
    return st;
}

static koe_status compare_numbered(const koe_loaded *l, koe_run *run, const char *dir, koe_arena *arena, const koe_tolerance *tol,
                                   koe_error *err)
{
    const size_t n_out = koe_session_n_out(l->session);
    for (size_t k = 0; k <= n_out; k++) {
        char *path = numbered_file(dir, "output", k);
        koe_status st = KOE_OK;
        if (!path && k < n_out) st = koe_fail(err, KOE_E_FORMAT, "%s: output_%zu.pb is missing", dir, k);
        if (path && k == n_out) st = koe_fail(err, KOE_E_FORMAT, "%s: the model has only %zu outputs", path, n_out);
        if (path && k < n_out) st = compare(l, run, k, path, arena, tol, err);
        free(path);
        if (st != KOE_OK) return st;
    }
    return KOE_OK;
}

/* The name between prefix and ".npy"; n == 0 when the file is not called so. */
static koe_str name_in_file(const char *file, const char *prefix)
{
    if (!starts(file, prefix) || !ends(file, ".npy")) return (koe_str){ 0 };
    const size_t skip = strlen(prefix), n = strlen(file);
    return n > skip + 4 ? (koe_str){ file + skip, n - skip - 4 } : (koe_str){ 0 };
}

static koe_status feed_named(const koe_loaded *l, koe_run *run, const char *dir, char **file, size_t n, koe_arena *arena,
                             koe_error *err)
{
    koe_status st = KOE_OK;
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        koe_str name = name_in_file(file[i], "input_");
        if (name.n == 0) continue;
        for (size_t k = 0; k < koe_session_n_in(l->session); k++)
            if (koe_is_file_name_of(name.p, name.n, koe_session_in(l->session, k)->name)) {
                name = koe_session_in(l->session, k)->name;
                break;
            }
        char *path = koe_path_join(dir, file[i]);
        st = path ? feed(l, run, name, path, arena, err) : koe_fail(err, KOE_E_NOMEM, "%s", dir);
        free(path);
    }
    return st;
}

static koe_status compare_named(const koe_loaded *l, koe_run *run, const char *dir, char **file, size_t n, koe_arena *arena,
                                const koe_tolerance *tol, koe_error *err)
{
    size_t n_compared = 0;
    for (size_t i = 0; i < n; i++) {
        const koe_str name = name_in_file(file[i], "output_");
        if (name.n == 0) continue;
        size_t k = 0;
        while (k < koe_session_n_out(l->session) && !koe_is_file_name_of(name.p, name.n, koe_session_out_name(l->session, k)))
            k++;
        if (k == koe_session_n_out(l->session)) return koe_fail(err, KOE_E_FORMAT, "%s: the model has no such output", file[i]);
        char *path = koe_path_join(dir, file[i]);
        koe_status st = path ? compare(l, run, k, path, arena, tol, err) : koe_fail(err, KOE_E_NOMEM, "%s", dir);
        free(path);
        if (st != KOE_OK) return st;
        n_compared++;
    }
    return n_compared ? KOE_OK : koe_fail(err, KOE_E_FORMAT, "%s holds no output_NAME.npy", dir);
}

/* Runs the set in `dir` in a run of its own. */
static koe_status check_set(const checker *c, const koe_loaded *l, const char *dir, bool named, const koe_tolerance *tol,
                            koe_error *err)
{
    koe_arena arena = { 0 };
    koe_run *run = NULL;
    size_t n = 0;
    char **file = list_folder(dir, &n, err);
    koe_status st = file ? koe_run_create(&run, l->session, err) : KOE_E_IO;
    if (st == KOE_OK) st = named ? feed_named(l, run, dir, file, n, &arena, err) : feed_numbered(l, run, dir, &arena, err);
    if (st == KOE_OK) st = koe_run_execute(run, &c->model.run, err);
    if (st == KOE_OK)
        st = named ? compare_named(l, run, dir, file, n, &arena, tol, err) : compare_numbered(l, run, dir, &arena, tol, err);
    koe_run_destroy(run);
    free_names(file, n);
    koe_arena_free(&arena);
    return st;
}

/* ---- one model --------------------------------------------------------------------------------------------------- */

/* Fourier transforms leave rounding residue of the whole signal's size where the expected value is an exact 0, so elements there
 * can only be judged relative to the peak. */
static bool has_fourier(const koe_onnx_graph *g)
{
    for (size_t i = 0; i < g->n_node; i++)
        if (koe_str_is(g->node[i].op_type, "DFT") || koe_str_is(g->node[i].op_type, "STFT")) return true;
    return false;
}

static koe_tolerance tolerance_for(const checker *c, const koe_loaded *l, bool named)
{
    koe_tolerance t = c->tol;
    const bool only_peak = t.peak >= 0 && t.rtol < 0 && t.atol < 0; /* --peak alone replaces the element-wise bound */
    if (t.rtol < 0) t.rtol = only_peak ? 0 : 1e-3;
    if (t.atol < 0) t.atol = only_peak ? 0 : named ? 1e-5 : 1e-7;
    if (t.peak < 0) t.peak = has_fourier(&koe_session_model(l->session)->graph) ? 1e-5 : 0;
    return t;
}

/* The sets of a folder: all test_data_set_* are one case, each case_* is one. */
static void check_sets(checker *c, const koe_loaded *l, const char *dir, char **name, size_t n)
{
    char base[256], label[600];
    base_name(base, sizeof base, dir);
    koe_error first = { 0 };
    size_t n_sets = 0, n_numbered = 0;
    for (size_t i = 0; i < n; i++) {
        const bool named = starts(name[i], "case_");
        if (!named && !starts(name[i], "test_data_set_")) continue;
        const koe_tolerance tol = tolerance_for(c, l, named);
        koe_error err = { 0 };
        char *path = koe_path_join(dir, name[i]);
        const koe_status st = path ? check_set(c, l, path, named, &tol, &err) : koe_fail(&err, KOE_E_NOMEM, "%s", dir);
        free(path);
        n_sets++;
        if (named) {
            snprintf(label, sizeof label, "%s/%s", base, name[i]);
            report(c, label, st == KOE_OK ? NULL : err.message);
        } else {
            n_numbered++;
            if (st != KOE_OK && first.status == KOE_OK) koe_fail(&first, st, "%s: %s", name[i], err.message);
        }
    }
    if (n_numbered) report(c, base, first.status == KOE_OK ? NULL : first.message);
    if (n_sets == 0) report(c, base, "the folder has a model but no test_data_set_* or case_* folder");
}

static void check_model(checker *c, const char *dir, const char *model, char **name, size_t n)
{
    koe_error err = { 0 };
    koe_loaded l = { 0 };
    char base[256];
    if (koe_loaded_open(&l, model, &c->model, &err) != KOE_OK) {
        base_name(base, sizeof base, dir);
        report(c, base, err.message);
        return;
    }
    check_sets(c, &l, dir, name, n);
    koe_loaded_close(&l);
}

/* depth: how far down folders without a model of their own are still looked into. */
static void check_dir(checker *c, const char *dir, int depth)
{
    koe_error err = { 0 };
    size_t n = 0, n_before = c->n_passed + c->n_failed;
    char **name = list_folder(dir, &n, &err);
    if (!name) {
        report(c, dir, err.message);
        return;
    }
    char *model = model_path(dir, name, n);
    if (model) check_model(c, dir, model, name, n);
    for (size_t i = 0; i < n && !model && depth > 0; i++) {
        char *path = koe_path_join(dir, name[i]);
        if (path && koe_file_is_dir(path)) check_dir(c, path, depth - 1);
        free(path);
    }
    if (!model && depth == MAX_DEPTH && c->n_passed + c->n_failed == n_before)
        report(c, dir, "there is no model here: model.onnx, or one .onnx, in or beside a folder of cases");
    free(model);
    free_names(name, n);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static koe_status read_tolerances(checker *c, const char *rtol, const char *atol, const char *peak, koe_error *err)
{
    c->tol = (koe_tolerance){ -1, -1, -1 };
    koe_status st = koe_args_number(&c->tol.rtol, rtol, "--rtol", 0, 1e30, err);
    if (st == KOE_OK) st = koe_args_number(&c->tol.atol, atol, "--atol", 0, 1e30, err);
    if (st == KOE_OK) st = koe_args_number(&c->tol.peak, peak, "--peak", 0, 1e30, err);
    return st == KOE_OK ? koe_model_options_read(&c->model, err) : st;
}

int koe_cmd_model_check(int argc, char **argv)
{
    checker c = { 0 };
    koe_arg_list words = { 0 };
    const char *rtol = NULL, *atol = NULL, *peak = NULL;
    const koe_option options[] = {
        { .name = "rtol", .value = "X", .help = "relative tolerance of an element (default: 1e-3)", .text = &rtol },
        { .name = "atol", .value = "X", .help = "absolute tolerance (default: 1e-7; 1e-5 for case_* folders)", .text = &atol },
        { .name = "peak",
          .value = "X",
          .help = "tolerance relative to the tensor's peak; alone, it replaces both",
          .text = &peak },
        KOE_MODEL_OPTIONS(c.model),
    };
    const koe_command_line line = {
        "koe model check", "[options] DIR...",
        "Runs test cases: ONNX backend test folders (model.onnx, test_data_set_*), folders with a model "
        "and\ncase_*/{input,output}_NAME.npy, or folders of these. Prints each failure, then N passed, "
        "N failed.",
        options, sizeof options / sizeof *options
    };
    koe_error err = { 0 };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK && words.n == 0) {
        status = koe_args_wrong(&line, "name the folders of test cases");
    } else if (r == KOE_ARGS_OK && read_tolerances(&c, rtol, atol, peak, &err) != KOE_OK) {
        status = koe_args_wrong(&line, "%s", err.message);
    } else if (r == KOE_ARGS_OK) {
        for (size_t i = 0; i < words.n; i++) check_dir(&c, words.item[i], MAX_DEPTH);
        printf("%zu passed, %zu failed\n", c.n_passed, c.n_failed);
        status = c.n_failed ? 1 : 0;
    }
    koe_args_free(&line, &words);
    return status;
}
