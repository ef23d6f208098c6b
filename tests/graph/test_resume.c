/* test_resume.c - an execution that is given values of inner tensors leaves out what made them, and gives the same bits. */
#include "text_model.h"

#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "base/pool.h"

enum { MOST_TAPS = 3, MOST_OUT = 4, SEED = 11 };

typedef struct loaded {
    koe_pool *pool;
    koe_session *session;
    koe_arena arena; /* of inputs, and of values that were kept */
    koe_tensor in[8];
    size_t n_tap;
} loaded;

static void count_node(void *user, const koe_node *node, const koe_value *out, double macs, int64_t ns)
{
    (void)node, (void)out, (void)macs, (void)ns;
    ++*(size_t *)user;
}

/* Takes the model. */
static void load(loaded *l, koe_onnx_model *m, const char *const *taps, size_t n_tap, int precision)
{
    koe_error err = { 0 };
    *l = (loaded){ .n_tap = n_tap };
    koe_status st = koe_pool_create(&l->pool, 2, &err);
    if (st == KOE_OK) st = koe_session_create(&l->session, m, &(koe_session_options){ .pool = l->pool, .precision = precision, .taps = taps, .n_taps = n_tap }, &err);
    if (st != KOE_OK) fail_msg("%s", err.message);
}

static void unload(loaded *l)
{
    koe_session_destroy(l->session);
    koe_pool_destroy(l->pool);
    koe_arena_free(&l->arena);
}

static koe_run *execute(loaded *l, const koe_run_options *opt)
{
    koe_error err = { 0 };
    koe_run *r = NULL;
    koe_status st = koe_run_create(&r, l->session, &err);
    for (size_t i = 0; st == KOE_OK && i < koe_session_n_in(l->session); i++)
        if (l->in[i].dtype != KOE_DTYPE_NONE) st = koe_run_set_in(r, i, &l->in[i], &err);
    if (st == KOE_OK) st = koe_run_execute(r, opt, &err);
    if (st != KOE_OK) fail_msg("%s", err.message);
    return r;
}

static koe_tensor copy_of(loaded *l, const koe_tensor *t)
{
    koe_tensor copy = *t;
    copy.data = memcpy(koe_arena_alloc(&l->arena, koe_tensor_bytes(t) + 1), t->data, koe_tensor_bytes(t));
    return copy;
}

/* Nodes that were left out. Each execution in a run of its own, and the second one twice in its run. */
static size_t check_same(loaded *l, const char *what)
{
    size_t n_full = 0, n_resumed = 0, n_given = 0;
    const size_t n_out = koe_session_n_out(l->session) - l->n_tap;
    koe_run *r = execute(l, &(koe_run_options){ .seed = SEED, .on_node = count_node, .user = &n_full });
    koe_tensor want[MOST_OUT];
    koe_given given[MOST_TAPS];
    for (size_t i = 0; i < n_out; i++) want[i] = copy_of(l, &koe_run_out(r, i)->t);
    for (size_t i = n_out; i < n_out + l->n_tap; i++)
        if (koe_run_out(r, i)->kind == KOE_VALUE_TENSOR) given[n_given++] = (koe_given){ i, copy_of(l, &koe_run_out(r, i)->t) };
    const size_t full_peak = koe_run_peak_bytes(r);
    koe_run_destroy(r);
    const koe_run_options opt = { .seed = SEED, .on_node = count_node, .user = &n_resumed, .given = given, .n_given = n_given };
    r = execute(l, &opt);
    n_resumed = 0;
    assert_int_equal(koe_run_execute(r, &opt, NULL), KOE_OK);
    for (size_t i = 0; i < n_out; i++) {
        const koe_tensor *t = &koe_run_out(r, i)->t;
        if (koe_tensor_bytes(t) != koe_tensor_bytes(&want[i]) || memcmp(t->data, want[i].data, koe_tensor_bytes(t)) != 0)
            fail_msg("%s: output %zu is not the same", what, i);
    }
    if (koe_run_peak_bytes(r) > full_peak) fail_msg("%s: %zu bytes, %zu in full", what, koe_run_peak_bytes(r), full_peak);
    koe_run_destroy(r);
    return n_full - n_resumed;
}

/* What is left out, and what is not: a random node, the other output of a node whose first one is given, a value read on both sides. */
static void test_what_is_left_out(void **state)
{
    (void)state;
    static const char model[] = "in x 4 6\nout y\nrandom w 6 6\nints parts 2 2\nMatMul x w -> a\nRelu a -> b\nRandomNormalLike b -> noise\nMatMul b w -> c\n"
                                "Split c parts -> upper lower axis=0\nExp upper -> e\nSigmoid lower -> tap\nAdd tap e -> d\nMatMul d w -> f\nMul f d -> g\n"
                                "RandomNormalLike g -> more\nAdd g more -> h\nSplit noise parts -> n1 n2 axis=0\nAdd h n1 -> y\n";
    float x[24];
    text_random(x, 24, 3);
    const struct {
        const char *tap[2];
        size_t n_tap, n_left_out;
    } cases[] = { { { "tap" }, 1, 1 }, { { "tap", "e" }, 2, 4 }, { { "lower" }, 1, 0 }, { { "g" }, 1, 5 /* two became one with others */ }, { { "y" }, 0, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        loaded l;
        load(&l, text_model(model), cases[i].tap, cases[i].n_tap, KOE_PRECISION_F32);
        l.in[0] = (koe_tensor){ KOE_DTYPE_F32, 2, { 4, 6 }, x };
        const size_t n = check_same(&l, cases[i].tap[0]);
        if (n != cases[i].n_left_out) fail_msg("%s: %zu nodes left out, not %zu", cases[i].tap[0], n, cases[i].n_left_out);
        unload(&l);
    }
}

static void test_wrong_index(void **state)
{
    (void)state;
    loaded l;
    float x[2] = { 1, 2 };
    koe_run *r = NULL;
    koe_error err = { 0 };
    load(&l, text_model("in x 2\nout y\nRelu x -> y\n"), NULL, 0, KOE_PRECISION_F32);
    const koe_tensor t = { KOE_DTYPE_F32, 1, { 2 }, x };
    const koe_given given = { 1, t };
    assert_int_equal(koe_run_create(&r, l.session, &err), KOE_OK);
    assert_int_equal(koe_run_set_in(r, 0, &t, &err), KOE_OK);
    assert_int_equal(koe_run_execute(r, &(koe_run_options){ .given = &given, .n_given = 1 }, &err), KOE_E_ARGUMENT);
    koe_run_destroy(r);
    unload(&l);
}

static koe_onnx_model *open_model(const char *path)
{
    koe_onnx_model *m = NULL;
    koe_error err = { 0 };
    if (koe_onnx_open(&m, path, &err) != KOE_OK) fail_msg("%s", err.message);
    return m;
}

/* Inputs of a Kokoro or Piper network: token ids below 40, lengths, scales, a style. */
static void make_inputs(loaded *l, int64_t n_token)
{
    for (size_t i = 0; i < koe_session_n_in(l->session); i++) {
        const koe_onnx_value *in = koe_session_in(l->session, i);
        koe_tensor *t = &l->in[i];
        *t = (koe_tensor){ .dtype = in->dtype, .n_dim = in->n_dim };
        for (int d = 0; d < in->n_dim; d++) t->dim[d] = in->dim[d] >= 0 ? in->dim[d] : d == 0 && in->n_dim == 2 ? 1 : n_token;
        if (in->n_dim == 1 && memmem(in->name.p, in->name.n, "length", 6)) t->dim[0] = 1;
        const size_t n = koe_tensor_count(t);
        t->data = koe_arena_alloc(&l->arena, koe_tensor_bytes(t) + 1);
        for (size_t k = 0; k < n; k++) {
            if (t->dtype == KOE_DTYPE_F32) ((float *)t->data)[k] = n > 8 ? sinf((float)k) * 0.3f : 0.7f;
            else if (t->dtype == KOE_DTYPE_I32) ((int32_t *)t->data)[k] = 1; /* speed */
            else ((int64_t *)t->data)[k] = n == 1 ? n_token : (int64_t)(1 + k * 7 % 39);
        }
    }
}

/* From every so many nodes on. */
static void check_model(const char *path, int64_t n_token, size_t n_places, int precision)
{
    for (size_t place = 0; place < n_places; place++) {
        loaded l;
        koe_onnx_model *m = open_model(path);
        const char *taps[MOST_TAPS];
        size_t n_tap = 0;
        for (; n_tap < MOST_TAPS; n_tap++) {
            const size_t at = (m->graph.n_node - 1) * (place * MOST_TAPS + n_tap) / (n_places * MOST_TAPS);
            taps[n_tap] = koe_arena_str(&m->arena, m->graph.node[at].out[0]).p;
        }
        char what[300];
        snprintf(what, sizeof what, "%.100s from %.60s, %.60s, %.60s", path, taps[0], taps[1], taps[2]);
        load(&l, m, taps, n_tap, precision);
        make_inputs(&l, n_token);
        check_same(&l, what);
        unload(&l);
    }
}

static void test_networks(void **state)
{
    (void)state;
    static const char *const names[] = { "kokoro-tiny", "kokoro-v0-tiny", "piper-tiny", "piper-tiny-fp16", "piper-tiny-int8" };
    const char *data = getenv("KOE_TEST_DATA");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/models/%s.onnx", data ? data : "tests/data", names[i]);
        check_model(path, 9, 12, KOE_PRECISION_F32);
    }
}

/* The full-size network, where the benchmark has filled it: models/ beside the program. */
static void test_full_size(void **state)
{
    (void)state;
    char path[1024];
    const char *bin = getenv("KOE_BIN");
    const int n = bin && strrchr(bin, '/') ? (int)(strrchr(bin, '/') - bin) : 0;
    snprintf(path, sizeof path, "%.*s/models/kokoro.onnx", n, bin ? bin : "");
    if (!n || !koe_file_exists(path)) {
        print_message("no %s\n", path);
        skip();
    }
    check_model(path, 9, 2, KOE_PRECISION_AUTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_what_is_left_out), cmocka_unit_test(test_wrong_index), cmocka_unit_test(test_networks),
                                        cmocka_unit_test(test_full_size) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
