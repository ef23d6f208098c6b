#include "voice/acoustic.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"

enum { MAX_IDLE = 4, MAX_HOPS = 8 };
#define RUN_BYTES ((size_t)256 << 20) /* of a long segment */

struct koe_acoustic {
    char *path;
    koe_pool *pool;
    int precision;
    bool keep_weights;
    koe_acoustic_inspect *inspect;
    void *user;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t returned;
    koe_session *session; /* NULL: not loaded; stays while n_busy > 0 */
    double used_ms; /* given back last */
    koe_run *idle[MAX_IDLE];
    size_t n_idle, n_busy, max_busy;
    uint64_t loading;
};

koe_status koe_acoustic_create(koe_acoustic **out, const char *path, const koe_voices_setup *setup, koe_acoustic_inspect *inspect,
                               void *user, koe_error *err)
{
    koe_acoustic *a = calloc(1, sizeof *a);
    if (!a || !(a->path = koe_str_dup(koe_str_of(path)))) {
        free(a);
        return koe_fail(err, KOE_E_NOMEM, "model %s", path);
    }
    koe_pool *pool = a->pool = setup->pool;
    a->precision = setup->precision;
    a->keep_weights = setup->keep_weights;
    a->inspect = inspect;
    a->user = user;
    a->max_busy = pool ? (size_t)koe_pool_threads(pool) : 1;
    const size_t limit = koe_process_limit() / RUN_BYTES; /* fewer at a time rather than one that fails */
    if (limit && limit < a->max_busy) a->max_busy = limit;
    else if (koe_process_limit() && !limit) a->max_busy = 1;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->returned, &attr);
    pthread_condattr_destroy(&attr);
    *out = a;
    return KOE_OK;
}

void koe_acoustic_destroy(koe_acoustic *a)
{
    if (!a) return;
    for (size_t i = 0; i < a->n_idle; i++) koe_run_destroy(a->idle[i]);
    koe_session_destroy(a->session);
    pthread_cond_destroy(&a->returned);
    pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a);
}

static koe_status open_session(koe_acoustic *a, koe_error *err)
{
    double start = koe_clock_ms();
    koe_onnx_model *m = NULL;
    koe_acoustic_plan plan = { 0 };
    koe_status st = koe_onnx_open(&m, a->path, err);
    if (st != KOE_OK) return st;
    st = a->inspect(a->user, &plan, m, err);
    if (st != KOE_OK) {
        koe_onnx_close(m);
        return koe_error_wrap(err, st, "%s", a->path);
    }
    koe_session_options opt = { .pool = a->pool, .precision = a->precision, .keep_weights = a->keep_weights, .taps = plan.tap, .n_taps = plan.n_tap };
    st = koe_session_create_packed(&a->session, m, &opt, err);
    if (st == KOE_OK) a->loading++;
    if (st == KOE_OK) koe_log(KOE_LOG_INFO, "%s loaded in %.0f ms", a->path, koe_clock_ms() - start);
    return st;
}

/* Waits, looking at `cancel` ten times a second, for a run to be given back. Holds the lock. */
static koe_status wait_for_run(koe_acoustic *a, const atomic_bool *cancel, koe_error *err)
{
    while (a->n_busy >= a->max_busy) {
        if (cancel && atomic_load(cancel)) return koe_fail(err, KOE_E_CANCELLED, "cancelled");
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += 100000000;
        if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
        pthread_cond_timedwait(&a->returned, &a->lock, &t);
    }
    return KOE_OK;
}

koe_status koe_acoustic_load(koe_acoustic *a, koe_error *err)
{
    pthread_mutex_lock(&a->lock);
    const koe_status st = a->session ? KOE_OK : open_session(a, err);
    a->used_ms = koe_clock_ms();
    pthread_mutex_unlock(&a->lock);
    return st;
}

koe_status koe_acoustic_borrow(koe_acoustic *a, koe_session **session, koe_run **out, const atomic_bool *cancel, koe_error *err)
{
    pthread_mutex_lock(&a->lock);
    koe_status st = wait_for_run(a, cancel, err);
    if (st == KOE_OK && !a->session) st = open_session(a, err);
    koe_run *run = st == KOE_OK && a->n_idle ? a->idle[--a->n_idle] : NULL;
    if (st == KOE_OK) a->n_busy++;
    *session = a->session;
    pthread_mutex_unlock(&a->lock);
    if (st != KOE_OK) return st;
    if (!run && (st = koe_run_create(&run, *session, err)) != KOE_OK) koe_acoustic_give_back(a, NULL);
    *out = run;
    return st;
}

void koe_acoustic_give_back(koe_acoustic *a, koe_run *run)
{
    pthread_mutex_lock(&a->lock);
    a->n_busy--;
    a->used_ms = koe_clock_ms();
    if (run && a->n_idle < MAX_IDLE) {
        a->idle[a->n_idle++] = run;
        run = NULL;
    }
    pthread_cond_signal(&a->returned);
    pthread_mutex_unlock(&a->lock);
    koe_run_destroy(run);
}

koe_models_load koe_acoustic_unload(koe_acoustic *a, double idle_s)
{
    koe_run *idle[MAX_IDLE];
    koe_session *session = NULL;
    size_t n = 0;
    if (!a) return (koe_models_load){ 0 };
    pthread_mutex_lock(&a->lock);
    if (a->session && a->n_busy == 0 && koe_clock_ms() - a->used_ms >= idle_s * 1000) {
        session = a->session;
        a->session = NULL;
        for (; a->n_idle; n++) idle[n] = a->idle[--a->n_idle];
    }
    const bool loaded = a->session;
    pthread_mutex_unlock(&a->lock);
    for (size_t i = 0; i < n; i++) koe_run_destroy(idle[i]);
    koe_session_destroy(session);
    if (session) koe_log(KOE_LOG_INFO, "%s unloaded", a->path);
    return (koe_models_load){ .loaded = loaded, .unloaded = session != NULL };
}

uint64_t koe_acoustic_loading(const koe_acoustic *a) { return a->loading; }

int koe_acoustic_tap(koe_acoustic_plan *plan, koe_onnx_model *m, koe_str tensor)
{
    koe_str name = koe_arena_str(&m->arena, tensor);
    if (!name.p || plan->n_tap == KOE_ACOUSTIC_TAPS) return -1;
    plan->tap[plan->n_tap] = name.p;
    return (int)plan->n_tap++;
}

const koe_onnx_value *koe_acoustic_input(const koe_onnx_graph *g, const char *const *names)
{
    for (; *names; names++)
        for (size_t i = 0; i < g->n_in; i++)
            if (koe_str_is(g->in[i].name, *names)) return &g->in[i];
    return NULL;
}

static koe_status put_number(const koe_tensor *t, size_t i, double x, koe_error *err)
{
    char *p = (char *)t->data + i * koe_dtype_size(t->dtype);
    float f32 = (float)x;
    int32_t i32 = t->dtype == KOE_DTYPE_I32 ? (int32_t)x : 0;
    int64_t i64 = t->dtype == KOE_DTYPE_I64 ? (int64_t)x : 0;
    uint16_t half = t->dtype == KOE_DTYPE_F16 ? koe_f32_to_f16(f32) : koe_f32_to_bf16(f32);
    switch (t->dtype) {
    case KOE_DTYPE_F32: memcpy(p, &f32, 4); return KOE_OK;
    case KOE_DTYPE_F64: memcpy(p, &x, 8); return KOE_OK;
    case KOE_DTYPE_I32: memcpy(p, &i32, 4); return KOE_OK;
    case KOE_DTYPE_I64: memcpy(p, &i64, 8); return KOE_OK;
    case KOE_DTYPE_F16:
    case KOE_DTYPE_BF16: memcpy(p, &half, 2); return KOE_OK;
    default: return koe_fail(err, KOE_E_UNSUPPORTED, "an input of type %s", koe_dtype_name(t->dtype));
    }
}

koe_status koe_acoustic_set(koe_run *run, const koe_session *s, koe_str name, const double *number, size_t n, koe_arena *arena,
                            koe_error *err)
{
    size_t i = 0;
    while (i < koe_session_n_in(s) && !koe_str_eq(koe_session_in(s, i)->name, name)) i++;
    if (i == koe_session_n_in(s)) return koe_fail(err, KOE_E_FORMAT, "the model has no input %.*s", KOE_STR_ARG(name));
    const koe_onnx_value *in = koe_session_in(s, i);
    koe_tensor t = { .dtype = in->dtype, .n_dim = in->n_dim >= 0 && in->n_dim <= 2 ? in->n_dim : 1, .dim = { (int64_t)n } };
    if (t.n_dim == 2) t.dim[0] = 1, t.dim[1] = (int64_t)n;
    if (!(t.data = koe_arena_array(arena, n + 1, sizeof *number)))
        return koe_fail(err, KOE_E_NOMEM, "input %.*s", KOE_STR_ARG(name));
    koe_status st = KOE_OK;
    for (size_t k = 0; st == KOE_OK && k < n; k++) st = put_number(&t, k, number[k], err);
    return st == KOE_OK ? koe_run_set_in(run, i, &t, err) : st;
}

void koe_acoustic_fill(koe_tensor *t, double x)
{
    for (size_t i = 0, n = koe_tensor_count(t); i < n; i++) (void)put_number(t, i, x, NULL);
}

void koe_acoustic_put(koe_tensor *t, size_t i, double x) { (void)put_number(t, i, x, NULL); }

double koe_acoustic_number(const koe_tensor *t, size_t i)
{
    const char *p = (const char *)t->data + i * koe_dtype_size(t->dtype);
    union {
        float f32;
        double f64;
        int32_t i32;
        int64_t i64;
        uint16_t half;
    } v = { 0 };
    memcpy(&v, p, koe_dtype_size(t->dtype));
    switch (t->dtype) {
    case KOE_DTYPE_F32: return (double)v.f32;
    case KOE_DTYPE_F64: return v.f64;
    case KOE_DTYPE_I32: return v.i32;
    case KOE_DTYPE_I64: return (double)v.i64;
    case KOE_DTYPE_F16: return (double)koe_f16_to_f32(v.half);
    default: return (double)koe_bf16_to_f32(v.half);
    }
}

static koe_status check_numbers(const koe_value *v, const char *what, koe_error *err)
{
    char text[128];
    if (!v || v->kind != KOE_VALUE_TENSOR) return koe_fail(err, KOE_E_FORMAT, "the model's %s is not a tensor", what);
    if (koe_dtype_is_float(v->t.dtype) || v->t.dtype == KOE_DTYPE_I32 || v->t.dtype == KOE_DTYPE_I64) return KOE_OK;
    return koe_fail(err, KOE_E_FORMAT, "the model's %s is %s", what, koe_tensor_describe(&v->t, text, sizeof text));
}

koe_status koe_acoustic_samples(koe_speech *out, const koe_value *v, koe_error *err)
{
    koe_status st = check_numbers(v, "audio", err);
    size_t n = st == KOE_OK ? koe_tensor_count(&v->t) : 0;
    if (st == KOE_OK) st = koe_speech_reserve(out, n, err);
    if (st != KOE_OK) return st;
    if (v->t.dtype == KOE_DTYPE_F32 && n) memcpy(out->samples, v->t.data, n * sizeof(float));
    else
        for (size_t i = 0; i < n; i++) out->samples[i] = (float)koe_acoustic_number(&v->t, i);
    out->n_samples = n;
    return KOE_OK;
}

koe_status koe_acoustic_lay_times(size_t n_samples, int duration_out, const koe_run *run, koe_timeline *t,
                                  const koe_tokens *tokens, koe_error *err)
{
    if (duration_out < 0) return koe_timeline_spread(t, tokens, NULL, n_samples, err);
    const koe_value *v = koe_run_out(run, (size_t)duration_out);
    koe_status st = check_numbers(v, "durations", err);
    size_t n = st == KOE_OK ? koe_tensor_count(&v->t) : 0;
    if (st == KOE_OK && n != tokens->n)
        st = koe_fail(err, KOE_E_FORMAT, "the model gives %zu durations for %zu tokens", n, tokens->n);
    if (st != KOE_OK) return st;
    double *duration = calloc(n + 1, sizeof *duration);
    if (!duration) return koe_fail(err, KOE_E_NOMEM, "%zu durations", n);
    for (size_t i = 0; i < n; i++) duration[i] = koe_acoustic_number(&v->t, i);
    st = koe_timeline_spread(t, tokens, duration, n_samples, err);
    free(duration);
    return st;
}

bool koe_acoustic_is(const koe_onnx_node *node, const char *op_type) { return node && koe_str_is(node->op_type, op_type); }

static bool is_transparent(const koe_onnx_node *node)
{
    return koe_acoustic_is(node, "Cast") || koe_acoustic_is(node, "Identity");
}

const koe_onnx_node *koe_acoustic_maker(const koe_onnx_graph *g, koe_str tensor)
{
    for (int hop = 0; hop < MAX_HOPS; hop++) {
        const koe_onnx_node *node = NULL;
        for (size_t i = 0; i < g->n_node && !node; i++)
            for (size_t k = 0; k < g->node[i].n_out; k++)
                if (tensor.n && koe_str_eq(g->node[i].out[k], tensor)) node = &g->node[i];
        if (!node || !is_transparent(node) || node->n_in == 0) return node;
        tensor = node->in[0];
    }
    return NULL;
}

static bool reads(const koe_onnx_node *node, koe_str tensor)
{
    for (size_t k = 0; k < node->n_in; k++)
        if (koe_str_eq(node->in[k], tensor)) return true;
    return false;
}

/* Counts *n down at each reader found. */
static const koe_onnx_node *find_reader(const koe_onnx_graph *g, koe_str tensor, const char *op_type, size_t *n, int hops)
{
    for (size_t i = 0; i < g->n_node && tensor.n; i++) {
        const koe_onnx_node *node = &g->node[i], *found = NULL;
        if (!reads(node, tensor)) continue;
        if (koe_str_is(node->op_type, op_type)) found = (*n)-- == 0 ? node : NULL;
        else if (is_transparent(node) && node->n_out && hops > 0) found = find_reader(g, node->out[0], op_type, n, hops - 1);
        if (found) return found;
    }
    return NULL;
}

const koe_onnx_node *koe_acoustic_reader(const koe_onnx_graph *g, koe_str tensor, const char *op_type, size_t n)
{
    return find_reader(g, tensor, op_type, &n, MAX_HOPS);
}
