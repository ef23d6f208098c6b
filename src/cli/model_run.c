/* model_run.c - koe model run, koe model bench: a model on tensors from files. */
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/base.h"
#include "cli/cli.h"
#include "cli/model.h"

/* Names the inputs that were not given. */
static koe_status missing_inputs(const koe_loaded *l, const bool *given, koe_error *err)
{
    const koe_onnx_graph *g = &koe_session_model(l->session)->graph;
    koe_buf names = { 0 };
    for (size_t i = 0; i < koe_session_n_in(l->session); i++) {
        const koe_onnx_value *v = koe_session_in(l->session, i);
        bool has_default = given[i];
        for (size_t k = 0; k < g->n_initializer && !has_default; k++) has_default = koe_str_eq(g->initializer[k].name, v->name);
        char text[200];
        if (!has_default) koe_buf_printf(&names, "%s%s", names.n ? ", " : "", koe_declared(v, text, sizeof text));
    }
    koe_status st = KOE_OK;
    if (names.n) st = koe_fail(err, KOE_E_ARGUMENT, "the model also needs --in NAME=FILE.npy for: %s", names.data);
    koe_buf_free(&names);
    return st;
}

/* Feeds NAME=FILE; *given[i] tells which inputs have been. */
static koe_status feed(const koe_loaded *l, const char *name_and_file, bool *given, koe_arena *arena, koe_error *err)
{
    const char *equals = strchr(name_and_file, '='); /* main checked that there is one */
    char name[256];
    snprintf(name, sizeof name, "%.*s", (int)(equals - name_and_file), name_and_file);
    const int i = koe_session_find_in(l->session, name);
    if (i < 0) {
        koe_buf names = { 0 };
        for (size_t k = 0; k < koe_session_n_in(l->session); k++)
            koe_buf_printf(&names, "%s%.*s", k ? ", " : "", KOE_STR_ARG(koe_session_in(l->session, k)->name));
        koe_fail(err, KOE_E_ARGUMENT, "the model has no input '%s'; it has: %s", name, names.data ? names.data : "none");
        koe_buf_free(&names);
        return KOE_E_ARGUMENT;
    }
    koe_value v;
    const bool sequence = koe_session_in(l->session, (size_t)i)->kind == KOE_ONNX_SEQUENCE;
    koe_status st = koe_value_read(&v, sequence, arena, equals + 1, err);
    if (st == KOE_OK) st = koe_run_set_in_value(l->run, (size_t)i, &v, err);
    given[i] = true;
    return st;
}

static koe_status feed_all(const koe_loaded *l, const koe_arg_list *in, koe_arena *arena, koe_error *err)
{
    bool *given = calloc(koe_session_n_in(l->session) + 1, sizeof *given);
    if (!given) return koe_fail(err, KOE_E_NOMEM, "inputs");
    koe_status st = KOE_OK;
    for (size_t i = 0; i < in->n && st == KOE_OK; i++) st = feed(l, in->item[i], given, arena, err);
    if (st == KOE_OK) st = missing_inputs(l, given, err);
    free(given);
    return st;
}

/* DIR/NAME.npy, or DIR/NAME.K.npy for item k >= 0 of a sequence. */
static koe_status write_tensor(const koe_tensor *t, const char *dir, koe_str name, long item, koe_error *err)
{
    koe_buf file = { 0 };
    koe_buf_add_str(&file, name);
    for (size_t i = 0; i < file.n; i++)
        if (file.data[i] == '/') file.data[i] = '_';
    if (item >= 0) koe_buf_printf(&file, ".%ld", item);
    koe_buf_adds(&file, ".npy");
    char *path = file.failed ? NULL : koe_path_join(dir, file.data);
    koe_buf_free(&file);
    if (!path) return koe_fail(err, KOE_E_NOMEM, "output %.*s", KOE_STR_ARG(name));
    koe_status st = koe_npy_write(t, path, err);
    char text[160];
    if (st == KOE_OK) printf("%s %s\n", path, koe_tensor_describe(t, text, sizeof text));
    free(path);
    return st;
}

static koe_status write_outputs(const koe_loaded *l, const char *dir, koe_error *err)
{
    koe_status st = koe_file_make_dirs(dir, err);
    for (size_t i = 0; i < koe_session_n_out(l->session) && st == KOE_OK; i++) {
        const koe_value *v = koe_run_out(l->run, i);
        const koe_str name = koe_session_out_name(l->session, i);
        if (v->kind == KOE_VALUE_TENSOR) st = write_tensor(&v->t, dir, name, -1, err);
        for (size_t k = 0; v->kind == KOE_VALUE_SEQUENCE && k < v->n_item && st == KOE_OK; k++)
            st = write_tensor(&v->item[k].t, dir, name, (long)k, err);
    }
    return st;
}

/* Exit status 2 with a message when the words of run or bench are not FILE.onnx and NAME=FILE; else 0. */
static int check_words(const koe_command_line *c, const koe_arg_list *words, const koe_arg_list *in)
{
    if (words->n != 1) return koe_args_wrong(c, words->n ? "one model at a time" : "name the model: FILE.onnx");
    for (size_t i = 0; i < in->n; i++) {
        const char *equals = strchr(in->item[i], '=');
        if (!equals || equals == in->item[i] || !equals[1])
            return koe_args_wrong(c, "--in is '%s', it must be NAME=FILE.npy", in->item[i]);
    }
    return 0;
}

static int run_once(const koe_command_line *c, const char *file, const koe_model_options *o, const koe_arg_list *in,
                    const char *dir)
{
    koe_error err = { 0 };
    koe_loaded l = { 0 };
    koe_arena arena = { 0 };
    koe_status st = koe_loaded_open(&l, file, o, &err);
    if (st == KOE_OK) st = feed_all(&l, in, &arena, &err);
    if (st == KOE_OK) st = koe_run_execute(l.run, &o->run, &err);
    if (st == KOE_OK) st = write_outputs(&l, dir, &err);
    koe_loaded_close(&l);
    koe_arena_free(&arena);
    return st == KOE_OK ? 0 : koe_args_failed(c, &err);
}

int koe_cmd_model_run(int argc, char **argv)
{
    koe_model_options o = { 0 };
    koe_arg_list in = { 0 }, words = { 0 };
    const char *dir = NULL;
    const koe_option options[] = {
        { .name = "in",
          .value = "NAME=FILE",
          .help = "an input from a .npy (or ONNX .pb) file; once for each input",
          .list = &in },
        { .name = "out", .value = "DIR", .help = "folder for OUTPUT.npy files ('/' in a name becomes '_')", .text = &dir },
        KOE_MODEL_OPTIONS(o),
    };
    const koe_command_line c = { "koe model run", "FILE.onnx --in NAME=FILE.npy ... --out DIR [options]",
                                 "Runs a model once and writes its outputs.", options, sizeof options / sizeof *options };
    koe_error err = { 0 };
    const koe_args_result r = koe_args_parse(&c, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK && (status = check_words(&c, &words, &in)) == 0) {
        if (!dir) status = koe_args_wrong(&c, "say where the outputs go: --out DIR");
        else if (koe_model_options_read(&o, &err) != KOE_OK) status = koe_args_wrong(&c, "%s", err.message);
        else status = run_once(&c, words.item[0], &o, &in, dir);
    }
    koe_args_free(&c, &words);
    return status;
}

/* ---- bench ------------------------------------------------------------------------------------------------------- */

/* Most memory this process has had resident, in MB; 0 where the kernel does not say. getrusage() would also count the parent's.
 */
static double peak_rss_mb(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    double kb = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0) kb = strtod(line + 6, NULL);
    if (f) fclose(f);
    return kb / 1024;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Executes n times, ms[i] each. */
static koe_status time_runs(koe_run *run, const koe_run_options *o, double *ms, size_t n, koe_error *err)
{
    koe_status st = KOE_OK;
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        const double start = koe_clock_ms();
        st = koe_run_execute(run, o, err);
        ms[i] = koe_clock_ms() - start;
    }
    return st;
}

/* ---- several runs at once ------------------------------------------------------------------------------------------------ */

/* One of several runs at once, on a thread of its own, which does `work` n times whenever it is told to go. */
typedef enum work { WORK_RUN, WORK_MULTIPLY_ADD, WORK_END } work;

typedef struct side {
    koe_run *run;
    const koe_run_options *o;
    work work;
    size_t n;
    sem_t go, done;
    koe_status st;
    koe_error err;
    pthread_t thread;
} side;

/* Sums over rounds of one thing done alone and by all sides together. */
typedef struct compared {
    double alone_ms, together_ms;
    long alone_faults, together_faults; /* pages */
} compared;

typedef struct at_once {
    compared runs, machine;
    size_t n_times; /* runs of each side, and of the one alone */
} at_once;

static void wait_for(sem_t *s)
{
    while (sem_wait(s) != 0) {}
}

static void *run_side(void *arg)
{
    side *s = arg;
    for (;;) {
        wait_for(&s->go);
        if (s->work == WORK_END) return NULL;
        for (size_t i = 0; i < s->n && s->st == KOE_OK; i++)
            if (s->work == WORK_RUN) s->st = koe_run_execute(s->run, s->o, &s->err);
            else koe_model_multiply_add();
        sem_post(&s->done);
    }
}

static long faults(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_minflt;
}

/* The first `n_sides` do `what` n times each. */
static void together(side *all, size_t n_sides, work what, size_t n, double *ms, long *n_faults)
{
    const double start = koe_clock_ms();
    const long before = faults();
    for (size_t i = 0; i < n_sides; i++) {
        all[i].work = what;
        all[i].n = n;
        sem_post(&all[i].go);
    }
    for (size_t i = 0; i < n_sides; i++) wait_for(&all[i].done);
    *ms += koe_clock_ms() - start;
    *n_faults += faults() - before;
}

/* Both in every round, so that a change of the machine's speed meets them alike. */
static void compare(compared *c, side *all, size_t n_sides, work what, size_t n)
{
    together(all, 1, what, n, &c->alone_ms, &c->alone_faults);
    together(all, n_sides, what, n, &c->together_ms, &c->together_faults);
}

static koe_status start_sides(side *all, size_t n, const koe_loaded *l, const koe_run_options *o, const koe_arg_list *in, koe_arena *arena, size_t *n_started,
                              koe_error *err)
{
    koe_status st = KOE_OK;
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        all[i].o = o;
        st = koe_run_create(&all[i].run, l->session, err);
        const koe_loaded one = { .session = l->session, .run = all[i].run };
        if (st == KOE_OK) st = feed_all(&one, in, arena, err);
    }
    for (size_t i = 0; i < n && st == KOE_OK; i++) {
        sem_init(&all[i].go, 0, 0);
        sem_init(&all[i].done, 0, 0);
        if (pthread_create(&all[i].thread, NULL, run_side, &all[i]) != 0) return koe_fail(err, KOE_E_LIMIT, "cannot start %zu threads", n);
        (*n_started)++;
    }
    return st;
}

/* n runs of the session side by side against one alone, in rounds; beside them a loop of multiply-adds that shares nothing but the machine. */
static koe_status time_at_once(const koe_loaded *l, const koe_run_options *o, const koe_arg_list *in, size_t n, size_t n_runs, koe_arena *arena,
                               at_once *out, koe_error *err)
{
    enum { ROUNDS = 5 };
    size_t n_started = 0;
    side *all = calloc(n, sizeof *all);
    if (!all) return koe_fail(err, KOE_E_NOMEM, "%zu runs", n);
    koe_status st = start_sides(all, n, l, o, in, arena, &n_started, err);
    if (st == KOE_OK) {
        const size_t each = (n_runs + ROUNDS - 1) / ROUNDS;
        compared warm = { 0 };
        together(all, n, WORK_RUN, 1, &warm.together_ms, &warm.together_faults); /* memory and threads are there when the clock starts */
        for (; out->n_times < n_runs; out->n_times += each) {
            compare(&out->runs, all, n, WORK_RUN, each);
            compare(&out->machine, all, n, WORK_MULTIPLY_ADD, 1);
        }
    }
    for (size_t i = 0; i < n_started; i++) {
        all[i].work = WORK_END;
        sem_post(&all[i].go);
        pthread_join(all[i].thread, NULL);
        sem_destroy(&all[i].go);
        sem_destroy(&all[i].done);
        if (st == KOE_OK && (st = all[i].st) != KOE_OK) *err = all[i].err;
    }
    for (size_t i = 0; i < n; i++) koe_run_destroy(all[i].run);
    free(all);
    return st;
}

static void print_at_once(const at_once *a, size_t n)
{
    const double times = (double)a->n_times, more = (double)n;
    printf(", \"at_once\": %zu, \"alone_ms\": %.3f, \"at_once_ms\": %.3f, \"throughput\": %.3f, \"machine_throughput\": %.3f, \"alone_faults\": %.0f, "
           "\"at_once_faults\": %.0f",
           n, a->runs.alone_ms / times, a->runs.together_ms / times, more * a->runs.alone_ms / a->runs.together_ms,
           more * a->machine.alone_ms / a->machine.together_ms, (double)a->runs.alone_faults / times, (double)a->runs.together_faults / times / more);
}

static int bench(const koe_command_line *c, const char *file, const koe_model_options *o, const koe_arg_list *in, size_t n_runs,
                 size_t n_at_once, bool profile)
{
    koe_error err = { 0 };
    koe_loaded l = { 0 };
    koe_arena arena = { 0 };
    at_once together = { 0 };
    double first = 0, *ms = calloc(n_runs, sizeof *ms);
    const double start = koe_clock_ms();
    koe_status st = ms ? koe_loaded_open(&l, file, o, &err) : koe_fail(&err, KOE_E_NOMEM, "%zu runs", n_runs);
    const double load = koe_clock_ms() - start;
    if (st == KOE_OK) st = feed_all(&l, in, &arena, &err);
    if (st == KOE_OK) st = time_runs(l.run, &o->run, &first, 1, &err);
    if (st == KOE_OK) st = time_runs(l.run, &o->run, ms, n_runs, &err);
    const double rss_mb = peak_rss_mb();
    if (st == KOE_OK && n_at_once > 1) st = time_at_once(&l, &o->run, in, n_at_once, n_runs, &arena, &together, &err);
    if (st == KOE_OK) {
        qsort(ms, n_runs, sizeof *ms, compare_doubles);
        const double median = (ms[(n_runs - 1) / 2] + ms[n_runs / 2]) / 2;
        printf("{\"load_ms\": %.3f, \"first_ms\": %.3f, \"median_ms\": %.3f, \"min_ms\": %.3f, \"peak_rss_mb\": %.1f, "
               "\"run_peak_mb\": %.1f, \"threads\": %d, \"precision\": \"%s\", \"runs\": %zu, \"cpu\": \"%s\"",
               load, first, median, ms[0], rss_mb, (double)koe_run_peak_bytes(l.run) / 1048576, koe_pool_threads(l.pool),
               o->precision, n_runs, koe_cpu_name());
        if (n_at_once > 1) print_at_once(&together, n_at_once);
        if (profile) st = koe_model_profile(&l, &o->run, &err);
        puts("}");
    }
    koe_loaded_close(&l);
    koe_arena_free(&arena);
    free(ms);
    return st == KOE_OK ? 0 : koe_args_failed(c, &err);
}

int koe_cmd_model_bench(int argc, char **argv)
{
    koe_model_options o = { 0 };
    koe_arg_list in = { 0 }, words = { 0 };
    const char *runs = NULL, *sides = NULL;
    int64_t n_runs = 5, n_at_once = 1;
    bool profile = false;
    const koe_option options[] = {
        { .name = "in",
          .value = "NAME=FILE",
          .help = "an input from a .npy (or ONNX .pb) file; once for each input",
          .list = &in },
        { .name = "runs", .value = "N", .help = "timed runs after the first (default: 5)", .text = &runs },
        { .name = "at-once", .value = "N", .help = "then one run and N side by side, on threads of their own, in turns; throughput: work in a second over that of one, and machine_throughput: the same of a loop of multiply-adds", .text = &sides },
        { .name = "pack", .help = "load as the engine does: from the packed file, written first when there is none", .on = &o.pack },
        { .name = "profile", .help = "then time one run's nodes: tables on stderr, \"profile\" in the object", .on = &profile },
        KOE_MODEL_OPTIONS(o),
    };
    const koe_command_line c = {
        "koe model bench", "FILE.onnx --in NAME=FILE.npy ... [options]",
        "Times a model; prints one JSON object: milliseconds to load, of the first run, the median and the "
        "fastest of\nthe others; peak_rss_mb of the process and run_peak_mb of the run's tensors.\n"
        "--profile: time and nodes by operator and by group (operator, weights' shape, what is fused into it); GMAC/s of "
        "the multiply-adds\nthat the definition takes, and their share of the peak measured here: of float32, the low "
        "precision's when one is asked for\n(beyond 100 % where an algorithm needs fewer).",
        options, sizeof options / sizeof *options
    };
    koe_error err = { 0 };
    const koe_args_result r = koe_args_parse(&c, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK && (status = check_words(&c, &words, &in)) == 0) {
        koe_status st = koe_model_options_read(&o, &err);
        if (st == KOE_OK) st = koe_args_int(&n_runs, runs, "--runs", 1, 1000000, &err);
        if (st == KOE_OK) st = koe_args_int(&n_at_once, sides, "--at-once", 1, 1000, &err);
        status =
            st == KOE_OK ? bench(&c, words.item[0], &o, &in, (size_t)n_runs, (size_t)n_at_once, profile) : koe_args_wrong(&c, "%s", err.message);
    }
    koe_args_free(&c, &words);
    return status;
}
