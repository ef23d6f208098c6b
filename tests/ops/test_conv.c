/* Conv and ConvTranspose with random geometry, on every instruction set, against the definition in double precision; the same bits on one
 * thread and on three; and shapes that no model should have. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "graph/graph.h"
#include "kernels/kernels.h"

enum { MAX_ATTR = 8, X = 0, W = 1, B = 2 };

static unsigned seed = 1;

static int64_t random_int(int64_t low, int64_t high)
{
    seed = seed * 1664525u + 1013904223u;
    return low + (int64_t)(seed >> 8) % (high - low + 1);
}

static koe_tensor random_tensor(koe_dtype dtype, int n_dim, const int64_t *dim)
{
    koe_tensor t = { .dtype = dtype, .n_dim = n_dim };
    memcpy(t.dim, dim, sizeof *dim * (size_t)n_dim);
    const size_t n = koe_tensor_count(&t);
    t.data = malloc(n * 8 + 1);
    for (size_t i = 0; i < n; i++) {
        const float v = (float)random_int(-1000, 1000) / 1000;
        if (dtype == KOE_DTYPE_F32) ((float *)t.data)[i] = v;
        else ((double *)t.data)[i] = (double)v;
    }
    return t;
}

/* One node with its operands; in[1] and in[2] are initialisers when `constant`. */
typedef struct problem {
    bool transposed, constant;
    int d; /* spatial dimensions */
    int64_t group, kernel[3], stride[3], dilation[3], pads[6], extra[3];
    koe_tensor in[3];
    int n_in;
    koe_onnx_attr attr[MAX_ATTR];
    koe_onnx_node node;
    koe_onnx_value value[3], out;
    koe_onnx_initializer init[2];
    koe_str names[3], y;
    koe_onnx_opset opset;
} problem;

static void add_ints(problem *p, const char *name, const int64_t *v, size_t n)
{
    p->attr[p->node.n_attr++] = (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_INTS, .ints = v, .n = n };
}

static koe_session *session(problem *p, koe_pool *pool, koe_error *err)
{
    koe_onnx_model *m = calloc(1, sizeof *m);
    const size_t n_const = p->constant ? (size_t)p->n_in - 1 : 0, n_in = (size_t)p->n_in - n_const;
    const char *const names[] = { "x", "w", "b" };
    koe_session *s = NULL;
    p->y = koe_str_of("y");
    for (int i = 0; i < p->n_in; i++) {
        p->names[i] = koe_str_of(names[i]);
        p->value[i] = (koe_onnx_value){ .name = p->names[i], .kind = KOE_ONNX_TENSOR, .dtype = p->in[i].dtype, .n_dim = -1 };
        if (i > 0) p->init[i - 1] = (koe_onnx_initializer){ p->names[i], p->in[i] };
    }
    p->out = (koe_onnx_value){ .name = p->y, .kind = KOE_ONNX_TENSOR, .dtype = p->in[X].dtype, .n_dim = -1 };
    p->node.op_type = koe_str_of(p->transposed ? "ConvTranspose" : "Conv");
    p->node.in = p->names, p->node.n_in = (size_t)p->n_in;
    p->node.out = &p->y, p->node.n_out = 1;
    p->node.attr = p->attr;
    p->opset = (koe_onnx_opset){ .version = 17 };
    m->opset = &p->opset, m->n_opset = 1;
    m->graph = (koe_onnx_graph){ .node = &p->node, .n_node = 1, .initializer = p->init, .n_initializer = n_const, .in = p->value, .n_in = n_in,
        .out = &p->out, .n_out = 1 };
    const koe_session_options opt = { .pool = pool };
    koe_session_create(&s, m, &opt, err);
    return s;
}

/* Runs and copies the output into *y (data malloc()ed). */
static koe_status run(problem *p, koe_pool *pool, koe_tensor *y, koe_error *err)
{
    koe_run *r = NULL;
    koe_session *s = session(p, pool, err);
    koe_status st = s ? koe_run_create(&r, s, err) : err->status;
    for (size_t i = 0; st == KOE_OK && i < koe_session_n_in(s); i++) st = koe_run_set_in(r, i, &p->in[i], err);
    if (st == KOE_OK) st = koe_run_execute(r, NULL, err);
    if (st == KOE_OK) {
        *y = koe_run_out(r, 0)->t;
        y->data = memcpy(malloc(koe_tensor_bytes(y) + 1), y->data, koe_tensor_bytes(y));
    }
    koe_run_destroy(r);
    koe_session_destroy(s);
    return st;
}

static problem random_problem(void)
{
    problem p = { .transposed = random_int(0, 1), .constant = random_int(0, 1), .d = (int)random_int(0, 3) };
    static problem kept; /* attributes point into it */
    const bool wide = p.d == 0; /* one dimension, of sizes past a tile */
    if (wide) p.d = 1;
    const bool deep = wide && random_int(0, 9) == 0; /* channels enough for f32_toom.c */
    const int64_t group = deep || random_int(0, 2) ? 1 : random_int(1, 4);
    const int64_t c_in = deep ? random_int(48, 52) : random_int(1, wide ? 20 : 3), c_out = deep ? random_int(48, 70) : random_int(1, wide ? 20 : 5);
    int64_t x[5] = { random_int(1, 2), group * c_in }, w[5] = { p.transposed ? group * c_in : group * c_out, p.transposed ? c_out : c_in };
    const int64_t b[1] = { group * c_out };
    p.group = group;
    for (int i = 0; i < p.d; i++) {
        p.kernel[i] = w[2 + i] = random_int(1, wide ? 12 : 3);
        p.stride[i] = random_int(1, 3);
        p.dilation[i] = random_int(1, 3);
        if (wide && p.transposed && random_int(0, 1)) { /* phases with as many taps each */
            p.stride[i] = random_int(2, 9), p.dilation[i] = 1;
            p.kernel[i] = w[2 + i] = p.stride[i] * random_int(1, 3);
        }
        const int64_t span = (p.kernel[i] - 1) * p.dilation[i] + 1;
        p.pads[i] = random_int(0, span / 2);
        p.pads[p.d + i] = random_int(0, span / 2);
        p.extra[i] = random_int(0, p.stride[i] - 1);
        x[2 + i] = span + random_int(0, wide ? 600 : 6);
    }
    const koe_dtype dtype = random_int(0, 9) ? KOE_DTYPE_F32 : KOE_DTYPE_F64;
    p.in[X] = random_tensor(dtype, p.d + 2, x);
    p.in[W] = random_tensor(dtype, p.d + 2, w);
    p.in[B] = random_tensor(dtype, 1, b);
    p.n_in = (int)random_int(2, 3);
    kept = p;
    p.attr[p.node.n_attr++] = (koe_onnx_attr){ .name = KOE_STR("group"), .type = KOE_ATTR_INT, .i = group };
    add_ints(&p, "strides", kept.stride, (size_t)p.d);
    add_ints(&p, "dilations", kept.dilation, (size_t)p.d);
    add_ints(&p, "pads", kept.pads, (size_t)p.d * 2);
    if (p.transposed) add_ints(&p, "output_padding", kept.extra, (size_t)p.d);
    return p;
}

static void release(problem *p)
{
    for (int i = 0; i < 3; i++) free(p->in[i].data);
}

static double element(const koe_tensor *t, size_t i)
{
    return t->dtype == KOE_DTYPE_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
}

/* The definition: every pair of an input and a tap contributes to one output. Transposed: output = input * stride + tap * dilation - pad;
 * else the same with input and output exchanged. */
static void define(const problem *p, const koe_tensor *y, double *out)
{
    const koe_tensor *x = &p->in[X], *w = &p->in[W];
    const size_t c_in = (size_t)(x->dim[1] / p->group), c_out = (size_t)(y->dim[1] / p->group);
    const koe_tensor *from = p->transposed ? x : y, *to = p->transposed ? y : x;
    const size_t n_from = koe_dim_product(from->dim, 2, 2 + p->d), n_to = koe_dim_product(to->dim, 2, 2 + p->d), taps = koe_dim_product(w->dim, 2, 2 + p->d);
    const size_t x_plane = koe_dim_product(x->dim, 2, 2 + p->d), y_plane = koe_dim_product(y->dim, 2, 2 + p->d);
    for (size_t i = 0; i < koe_tensor_count(y); i++) out[i] = p->n_in > 2 ? element(&p->in[B], i / y_plane % (size_t)y->dim[1]) : 0;
    (void)n_to;
    for (size_t f = 0; f < n_from; f++)
        for (size_t tap = 0; tap < taps; tap++) {
            size_t index = 0, a = f, b = tap, step = 1;
            bool inside = true;
            for (int i = p->d - 1; i >= 0; i--) {
                const int64_t at = (int64_t)(a % (size_t)from->dim[2 + i]) * p->stride[i] + (int64_t)(b % (size_t)p->kernel[i]) * p->dilation[i] - p->pads[i];
                a /= (size_t)from->dim[2 + i], b /= (size_t)p->kernel[i];
                inside = inside && at >= 0 && at < to->dim[2 + i];
                index += (size_t)(inside ? at : 0) * step;
                step *= (size_t)to->dim[2 + i];
            }
            if (!inside) continue;
            const size_t xi = p->transposed ? f : index, yi = p->transposed ? index : f;
            for (size_t n = 0; n < (size_t)x->dim[0]; n++)
                for (size_t g = 0; g < (size_t)p->group; g++)
                    for (size_t ci = 0; ci < c_in; ci++)
                        for (size_t co = 0; co < c_out; co++) {
                            const size_t wi = p->transposed ? ((g * c_in + ci) * c_out + co) : ((g * c_out + co) * c_in + ci);
                            out[(n * (size_t)y->dim[1] + g * c_out + co) * y_plane + yi] +=
                                element(x, (n * (size_t)x->dim[1] + g * c_in + ci) * x_plane + xi) * element(w, wi * taps + tap);
                        }
        }
}

static void check(problem *p, koe_pool *pool)
{
    koe_tensor one = { 0 }, many = { 0 };
    koe_error err = { 0 };
    int64_t want_dim[3];
    if (run(p, NULL, &one, &err) != KOE_OK || run(p, pool, &many, &err) != KOE_OK) fail_msg("%s", err.message);
    for (int i = 0; i < p->d; i++) {
        const int64_t span = (p->kernel[i] - 1) * p->dilation[i] + 1, in = p->in[X].dim[2 + i], pad = p->pads[i] + p->pads[p->d + i];
        want_dim[i] = p->transposed ? (in - 1) * p->stride[i] + p->extra[i] + span - pad : (in + pad - span) / p->stride[i] + 1;
        assert_int_equal(one.dim[2 + i], want_dim[i]);
    }
    assert_memory_equal(one.data, many.data, koe_tensor_bytes(&one));
    double *want = malloc(koe_tensor_count(&one) * sizeof *want + 1);
    define(p, &one, want);
    for (size_t i = 0; i < koe_tensor_count(&one); i++)
        if (!(fabs(element(&one, i) - want[i]) <= (p->in[W].dim[1] > 20 ? 3e-4 : 2e-5))) /* sums of at most 240 products below 1, or 624 */
            fail_msg("%s %s: element %zu is %.9g, want %.9g", koe_cpu_name(), p->transposed ? "transposed" : "plain", i, element(&one, i), want[i]);
    free(want), free(one.data), free(many.data);
}

static void random_geometry(void **state)
{
    (void)state;
    size_t n;
    const koe_kernel_set *table = koe_kernel_table(&n);
    koe_pool *pool = NULL;
    assert_int_equal(koe_pool_create(&pool, 3, NULL), KOE_OK);
    for (size_t v = 0; v < n; v++) {
        if (koe_cpu_restrict(table[v].name, NULL) != KOE_OK) continue;
        for (int i = 0; i < 150; i++) {
            problem p = random_problem();
            check(&p, pool);
            release(&p);
        }
    }
    koe_pool_destroy(pool);
}

/* Attributes and shapes that are refused; none may crash. */
static void hostile(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t value[2];
        size_t n;
    } bad[] = { { "strides", { 0 }, 1 }, { "strides", { -1 }, 1 }, { "dilations", { 0 }, 1 }, { "dilations", { INT64_MAX }, 1 },
        { "dilations", { 1 << 30 }, 1 }, { "pads", { INT64_MIN, 0 }, 2 }, { "pads", { -100, 0 }, 2 }, { "pads", { 1 }, 1 },
        { "kernel_shape", { 4 }, 1 }, { "strides", { 1, 1 }, 2 }, { "pads", { INT64_MAX, INT64_MAX }, 2 } };
    const int64_t x[3] = { 1, 2, 9 }, w[3] = { 2, 2, 3 }, b[1] = { 2 };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        problem p = { .constant = true, .d = 1, .group = 1, .n_in = 2 };
        koe_tensor y = { 0 };
        koe_error err = { 0 };
        p.in[X] = random_tensor(KOE_DTYPE_F32, 3, x), p.in[W] = random_tensor(KOE_DTYPE_F32, 3, w), p.in[B] = random_tensor(KOE_DTYPE_F32, 1, b);
        add_ints(&p, bad[i].name, bad[i].value, bad[i].n);
        if (run(&p, NULL, &y, &err) == KOE_OK) fail_msg("%s %" PRId64 " was accepted", bad[i].name, bad[i].value[0]);
        assert_true(err.message[0] != 0);
        release(&p);
    }
}

/* No batch, no time: no output, no complaint. */
static void empty(void **state)
{
    (void)state;
    const int64_t shapes[][3] = { { 0, 2, 9 }, { 1, 2, 0 } };
    const int64_t w[3] = { 2, 2, 1 }, b[1] = { 2 };
    for (size_t i = 0; i < 4; i++) {
        problem p = { .transposed = i >= 2, .constant = true, .d = 1, .group = 1, .n_in = 3 };
        koe_tensor y = { 0 };
        koe_error err = { 0 };
        p.in[X] = random_tensor(KOE_DTYPE_F32, 3, shapes[i % 2]), p.in[W] = random_tensor(KOE_DTYPE_F32, 3, w), p.in[B] = random_tensor(KOE_DTYPE_F32, 1, b);
        if (run(&p, NULL, &y, &err) != KOE_OK) fail_msg("%s", err.message);
        assert_int_equal(koe_tensor_count(&y), 0);
        free(y.data);
        release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_geometry), cmocka_unit_test(hostile), cmocka_unit_test(empty) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
