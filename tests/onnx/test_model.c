/* test_model.c - the model reader on models built byte by byte: every message, every place a tensor can keep its data, and every
 * way of lying about them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "../failing_alloc.h"
#include "base/file.h"
#include "onnx/onnx.h"
#include "proto.h"

/* ---- helpers ------------------------------------------------------------------------------------------------------------- */

/* Opens and frees the bytes of a model that must be refused with a message that has `says` in it. */
static void expect_refused(koe_buf model, koe_status status, const char *says)
{
    koe_onnx_model *m = NULL;
    koe_error err = { 0 };
    koe_status st = koe_onnx_open_memory(&m, model.data, model.n, &err);
    if (st != status || !strstr(err.message, says))
        fail_msg("status %d, \"%s\"; wanted %d, \"%s\"", st, err.message, status, says);
    assert_int_equal(err.status, status);
    assert_null(m);
    koe_buf_free(&model);
}

static koe_onnx_model *expect_opens(const koe_buf *model)
{
    koe_onnx_model *m = NULL;
    koe_error err = { 0 };
    if (koe_onnx_open_memory(&m, model->data, model->n, &err) != KOE_OK) fail_msg("%s", err.message);
    return m;
}

static void assert_str(koe_str s, const char *want)
{
    if (!koe_str_is(s, want)) fail_msg("'%.*s', wanted '%s'", KOE_STR_ARG(s), want);
}

/* A model with one initialiser. */
static koe_buf with_initializer(koe_buf tensor)
{
    koe_buf g = { 0 };
    pb_message(&g, 5, tensor);
    return pb_model(g, 17);
}

/* A model with one node that has one attribute. */
static koe_buf with_attr(koe_buf attr)
{
    koe_buf g = { 0 }, n = pb_node("Op", "x", "y");
    pb_message(&n, 5, attr);
    pb_message(&g, 1, n);
    return pb_model(g, 17);
}

/* Something of everything, small. */
static koe_buf small_model(void)
{
    koe_buf g = { 0 }, inner = { 0 };
    const int64_t d23[] = { 2, 3 }, dn[] = { 1, -1 };
    const float f[6] = { 1, 2, 3, 4, 5, 6 };

    koe_buf w = pb_tensor("w", 1, 2, d23);
    pb_bytes(&w, 9, f, sizeof f);
    pb_message(&g, 5, w);
    koe_buf list = pb_tensor("list", 7, 1, (const int64_t[]){ 2 });
    pb_bytes(&list, 7, "\x05\x96\x01", 3); /* packed 5, 150 */
    pb_message(&g, 5, list);

    pb_message(&inner, 1, pb_node("Identity", "w", "inner_out"));
    pb_message(&inner, 12, pb_value("inner_out", 1, 2, d23));
    pb_str(&inner, 2, "then");
    koe_buf n = pb_node("If", "cond", "y"), branch = pb_attr("then_branch", 5);
    pb_message(&branch, 6, inner);
    pb_message(&n, 5, branch);
    koe_buf ints = pb_attr("axes", 7);
    pb_bytes(&ints, 8, "\x01\x02", 2);
    pb_message(&n, 5, ints);
    koe_buf floats = pb_attr("scales", 6);
    pb_f32(&floats, 7, 0.5f);
    pb_message(&n, 5, floats);
    koe_buf strings = pb_attr("names", 8);
    pb_str(&strings, 9, "a");
    pb_str(&strings, 9, "bc");
    pb_message(&n, 5, strings);
    pb_str(&n, 3, "the node");
    pb_str(&n, 7, "ai.onnx");
    pb_message(&g, 1, n);
    pb_message(&g, 11, pb_value("cond", 9, 0, NULL));
    pb_message(&g, 12, pb_value("y", 1, 2, dn));
    pb_str(&g, 2, "main");

    koe_buf m = pb_model(g, 17), ms = { 0 }, entry = { 0 };
    pb_str(&ms, 1, "com.microsoft");
    pb_int(&ms, 2, 1);
    pb_message(&m, 8, ms);
    pb_str(&m, 2, "test");
    pb_str(&entry, 1, "key");
    pb_str(&entry, 2, "value");
    pb_message(&m, 14, entry);

    koe_buf fn = { 0 }, import = { 0 };
    pb_str(&fn, 1, "Twice");
    pb_str(&fn, 10, "local");
    pb_str(&fn, 4, "a");
    pb_str(&fn, 5, "b");
    pb_str(&fn, 6, "alpha");
    koe_buf body = pb_node("Add", "a", "b"), ref = pb_attr("alpha", 1);
    pb_str(&ref, 21, "alpha");
    pb_message(&body, 5, ref);
    pb_message(&fn, 7, body);
    pb_int(&import, 2, 17);
    pb_message(&fn, 9, import);
    koe_buf def = pb_attr("beta", 1);
    pb_f32(&def, 2, 2.5f);
    pb_message(&fn, 11, def);
    pb_message(&m, 25, fn);
    return m;
}

/* ---- well-formed models -------------------------------------------------------------------------------------------------- */

static void reads_everything(void **state)
{
    (void)state;
    koe_buf b = small_model();
    koe_onnx_model *m = expect_opens(&b);
    assert_int_equal(m->ir_version, 8);
    assert_str(m->producer_name, "test");
    assert_int_equal(m->n_opset, 2);
    assert_str(m->opset[0].domain, "");
    assert_int_equal(m->opset[0].version, 17);
    assert_str(m->opset[1].domain, "com.microsoft");
    assert_int_equal(m->n_metadata, 1);
    assert_str(m->metadata[0].key, "key");
    assert_str(m->metadata[0].value, "value");
    assert_int_equal(m->n_weight_bytes, 24 + 16);

    const koe_onnx_graph *g = &m->graph;
    assert_str(g->name, "main");
    assert_int_equal(g->n_initializer, 2);
    assert_str(g->initializer[0].name, "w");
    assert_int_equal(g->initializer[0].t.dtype, KOE_DTYPE_F32);
    assert_int_equal(g->initializer[0].t.n_dim, 2);
    assert_true(((const float *)g->initializer[0].t.data)[5] == 6);
    assert_int_equal(((const int64_t *)g->initializer[1].t.data)[1], 150);

    assert_int_equal(g->n_node, 1);
    const koe_onnx_node *n = &g->node[0];
    assert_str(n->name, "the node");
    assert_str(n->op_type, "If");
    assert_str(n->domain, "");
    assert_int_equal(n->n_in, 1);
    assert_str(n->out[0], "y");
    assert_int_equal(n->n_attr, 4);
    assert_int_equal(n->attr[0].type, KOE_ATTR_GRAPH);
    assert_str(n->attr[0].g->name, "then");
    assert_str(n->attr[0].g->node[0].in[0], "w");
    assert_int_equal(n->attr[1].n, 2);
    assert_int_equal(n->attr[1].ints[1], 2);
    assert_true(n->attr[2].floats[0] == 0.5f);
    assert_str(n->attr[3].strings[1], "bc");

    assert_int_equal(g->n_in, 1);
    assert_int_equal(g->in[0].kind, KOE_ONNX_TENSOR);
    assert_int_equal(g->in[0].dtype, KOE_DTYPE_BOOL);
    assert_int_equal(g->in[0].n_dim, 0);
    assert_int_equal(g->out[0].n_dim, 2);
    assert_int_equal(g->out[0].dim[0], 1);
    assert_int_equal(g->out[0].dim[1], -1);
    assert_str(g->out[0].dim_param[1], "n");

    assert_int_equal(m->n_function, 1);
    const koe_onnx_function *fn = &m->function[0];
    assert_str(fn->name, "Twice");
    assert_str(fn->domain, "local");
    assert_str(fn->in[0], "a");
    assert_str(fn->out[0], "b");
    assert_str(fn->attr[0], "alpha");
    assert_str(fn->node[0].attr[0].ref, "alpha");
    assert_true(fn->default_attr[0].f == 2.5f);
    assert_int_equal(fn->opset[0].version, 17);
    koe_onnx_close(m);
    koe_buf_free(&b);
}

static void unknown_fields_are_skipped(void **state)
{
    (void)state;
    koe_buf b = small_model();
    pb_int(&b, 99, 7);
    pb_f32(&b, 100, 1);
    pb_f64(&b, 101, 1);
    pb_str(&b, 1000, "?");
    pb_tag(&b, 50, 3); /* groups, one in the other */
    pb_int(&b, 1, 1);
    pb_tag(&b, 51, 3);
    pb_tag(&b, 51, 4);
    pb_tag(&b, 50, 4);
    koe_onnx_model *m = expect_opens(&b);
    assert_int_equal(m->graph.n_node, 1);
    koe_onnx_close(m);
    koe_buf_free(&b);
}

static void attribute_types_are_inferred(void **state)
{
    (void)state;
    static const koe_attr_type want[] = { KOE_ATTR_FLOAT, KOE_ATTR_INT,    KOE_ATTR_STRING, KOE_ATTR_TENSOR,
                                          KOE_ATTR_GRAPH, KOE_ATTR_FLOATS, KOE_ATTR_INTS,   KOE_ATTR_STRINGS };
    for (uint32_t field = 2; field <= 9; field++) {
        koe_buf a = pb_attr("a", 0);
        switch (field) {
        case 2: pb_f32(&a, field, 1); break;
        case 3: pb_int(&a, field, -1); break;
        case 5: {
            koe_buf t = pb_tensor("", 3, 0, NULL);
            pb_bytes(&t, 9, "x", 1);
            pb_message(&a, field, t);
            break;
        }
        case 6: pb_message(&a, field, (koe_buf){ 0 }); break;
        case 7: pb_f32(&a, field, 1); break;
        case 8: pb_int(&a, field, -1); break;
        default: pb_str(&a, field, "s");
        }
        koe_buf b = with_attr(a);
        koe_onnx_model *m = expect_opens(&b);
        const koe_onnx_attr *got = &m->graph.node[0].attr[0];
        assert_int_equal(got->type, want[field - 2]);
        if (field == 2) assert_true(got->f == 1);
        if (field == 3) assert_int_equal(got->i, -1);
        if (field == 4) assert_str(got->s, "s");
        if (field == 5) assert_int_equal(*(const char *)got->t->data, 'x');
        if (field == 8) assert_int_equal(got->ints[0], -1);
        if (field >= 7) assert_int_equal(got->n, 1);
        koe_onnx_close(m);
        koe_buf_free(&b);
    }
}

static void value_kinds(void **state)
{
    (void)state;
    /* sequence(tensor(float)), optional(sequence(tensor(int64))), map: not known */
    koe_buf g = { 0 };
    static const koe_onnx_kind want[] = { KOE_ONNX_SEQUENCE, KOE_ONNX_OPTIONAL, KOE_ONNX_UNKNOWN };
    for (int i = 0; i < 3; i++) {
        koe_buf tensor = { 0 }, element = { 0 }, sequence = { 0 }, type = { 0 }, v = { 0 };
        pb_int(&tensor, 1, i == 0 ? 1 : 7);
        pb_message(&element, 1, tensor);
        pb_message(&sequence, 1, element);
        if (i == 1) {
            koe_buf inner = { 0 }, optional = { 0 };
            pb_message(&inner, 4, sequence);
            pb_message(&optional, 1, inner);
            pb_message(&type, 9, optional);
        } else {
            pb_message(&type, i == 0 ? 4 : 5, sequence);
        }
        pb_str(&v, 1, i == 0 ? "s" : i == 1 ? "o" : "m");
        pb_message(&v, 2, type);
        pb_message(&g, 11, v);
    }
    koe_buf b = pb_model(g, 17);
    koe_onnx_model *m = expect_opens(&b);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(m->graph.in[i].kind, want[i]);
        assert_int_equal(m->graph.in[i].n_dim, -1);
    }
    assert_int_equal(m->graph.in[0].dtype, KOE_DTYPE_F32);
    assert_int_equal(m->graph.in[1].dtype, KOE_DTYPE_I64);
    koe_onnx_close(m);
    koe_buf_free(&b);
}

/* Every type from its list of numbers: packed, one by one, and both in turn; and from raw bytes at every alignment. */
static void typed_fields(void **state)
{
    (void)state;
    static const struct {
        koe_dtype dtype;
        uint32_t field;
        char kind; /* v: varints, f: floats, d: doubles */
    } types[] = {
        { KOE_DTYPE_F32, 4, 'f' },  { KOE_DTYPE_U8, 5, 'v' },   { KOE_DTYPE_I8, 5, 'v' },   { KOE_DTYPE_U16, 5, 'v' },
        { KOE_DTYPE_I16, 5, 'v' },  { KOE_DTYPE_I32, 5, 'v' },  { KOE_DTYPE_I64, 7, 'v' },  { KOE_DTYPE_BOOL, 5, 'v' },
        { KOE_DTYPE_F16, 5, 'v' },  { KOE_DTYPE_F64, 10, 'd' }, { KOE_DTYPE_U32, 11, 'v' }, { KOE_DTYPE_U64, 11, 'v' },
        { KOE_DTYPE_BF16, 5, 'v' },
    };
    static const int64_t number[3] = { 1, 0, 100 };
    static const float f[3] = { 1, 0, 100 };
    static const double d[3] = { 1, 0, 100 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int form = 0; form < 3; form++) {
            koe_buf t = pb_tensor("t", types[i].dtype, 1, (const int64_t[]){ 3 });
            int n_single = form == 0 ? 0 : form == 1 ? 3 : 1; /* the rest is packed */
            for (int k = 0; k < n_single; k++)
                if (types[i].kind == 'f') pb_f32(&t, types[i].field, f[k]);
                else if (types[i].kind == 'd') pb_f64(&t, types[i].field, d[k]);
                else pb_int(&t, types[i].field, number[k]);
            koe_buf packed = { 0 };
            for (int k = n_single; k < 3; k++)
                if (types[i].kind == 'f') koe_buf_add(&packed, &f[k], 4);
                else if (types[i].kind == 'd') koe_buf_add(&packed, &d[k], 8);
                else pb_varint(&packed, (uint64_t)number[k]);
            pb_message(&t, types[i].field, packed);
            koe_buf b = with_initializer(t);
            koe_onnx_model *m = expect_opens(&b);
            const koe_tensor *got = &m->graph.initializer[0].t;
            size_t size = koe_dtype_size(types[i].dtype);
            for (size_t k = 0; k < 3; k++) {
                const char *p = (const char *)got->data + k * size;
                if (types[i].kind == 'f') assert_memory_equal(p, &f[k], 4);
                else if (types[i].kind == 'd') assert_memory_equal(p, &d[k], 8);
                else if (types[i].dtype == KOE_DTYPE_BOOL) assert_int_equal(*p, number[k] != 0);
                else assert_memory_equal(p, &number[k], size);
            }
            koe_onnx_close(m);
            koe_buf_free(&b);
        }
}

static void negative_numbers_in_lists(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        koe_buf t = pb_tensor("t", wide ? 7 : 3, 0, NULL);
        pb_int(&t, wide ? 7 : 5, -3);
        koe_buf b = with_initializer(t);
        koe_onnx_model *m = expect_opens(&b);
        const void *p = m->graph.initializer[0].t.data;
        assert_int_equal(wide ? *(const int64_t *)p : *(const int8_t *)p, -3);
        koe_onnx_close(m);
        koe_buf_free(&b);
    }
}

static void raw_data_is_borrowed_when_aligned(void **state)
{
    (void)state;
    const double d[3] = { 1, 2, 3 };
    koe_buf t = pb_tensor("t", KOE_DTYPE_F64, 1, (const int64_t[]){ 3 });
    pb_bytes(&t, 9, d, sizeof d);
    koe_buf b = with_initializer(t);
    char *memory = aligned_alloc(64, 256);
    int borrowed = 0;
    for (int shift = 0; shift < 8; shift++) {
        memcpy(memory + shift, b.data, b.n);
        koe_onnx_model *m = NULL;
        assert_int_equal(koe_onnx_open_memory(&m, memory + shift, b.n, NULL), KOE_OK);
        const koe_tensor *got = &m->graph.initializer[0].t;
        assert_true(koe_tensor_aligned(got));
        assert_memory_equal(got->data, d, sizeof d);
        borrowed += (char *)got->data >= memory && (char *)got->data < memory + 256;
        koe_onnx_close(m);
    }
    assert_int_equal(borrowed, 1);
    free(memory);
    koe_buf_free(&b);
}

/* Large tensors stay in place at any offset: opening must not read them. */
static void large_raw_data_stays_in_place(void **state)
{
    (void)state;
    enum { N = 20000 };
    size_t n_unaligned = 0;
    float *f = calloc(N, sizeof *f);
    f[N - 1] = 5;
    for (int shift = 0; shift < 4; shift++) {
        koe_buf t = pb_tensor(
            &"name" [shift], KOE_DTYPE_F32, 1, (const int64_t[]) { N });
        pb_bytes(&t, 9, f, N * sizeof *f);
        koe_buf b = with_initializer(t);
        koe_onnx_model *m = expect_opens(&b);
        const koe_tensor *got = &m->graph.initializer[0].t;
        assert_true((char *)got->data > b.data && (char *)got->data < b.data + b.n);
        assert_memory_equal(got->data, f, N * sizeof *f);
        n_unaligned += !koe_tensor_aligned(got);
        koe_onnx_close(m);
        koe_buf_free(&b);
    }
    assert_int_equal(n_unaligned, 3);
    free(f);
}

static void raw_booleans_are_0_or_1(void **state)
{
    (void)state;
    koe_buf t = pb_tensor("t", KOE_DTYPE_BOOL, 1, (const int64_t[]){ 3 });
    pb_bytes(&t, 9, "\0\1\xff", 3);
    koe_buf b = with_initializer(t);
    koe_onnx_model *m = expect_opens(&b);
    assert_memory_equal(m->graph.initializer[0].t.data, "\0\1\1", 3);
    koe_onnx_close(m);
    koe_buf_free(&b);
}

static void empty_tensors_and_packed_dims(void **state)
{
    (void)state;
    koe_buf t = { 0 };
    pb_bytes(&t, 1, "\x02\x00\x03", 3);
    pb_int(&t, 2, KOE_DTYPE_F32);
    pb_str(&t, 8, "t");
    koe_buf b = with_initializer(t);
    koe_onnx_model *m = expect_opens(&b);
    const koe_tensor *got = &m->graph.initializer[0].t;
    assert_int_equal(got->n_dim, 3);
    assert_int_equal(got->dim[2], 3);
    assert_int_equal(koe_tensor_bytes(got), 0);
    assert_non_null(got->data);
    koe_onnx_close(m);
    koe_buf_free(&b);
}

/* ---- malformed models ---------------------------------------------------------------------------------------------------- */

static void every_truncation_is_an_error_or_a_model(void **state)
{
    (void)state;
    koe_buf b = small_model();
    for (size_t n = 0; n < b.n; n++) {
        char *exact = malloc(n ? n : 1); /* so that the sanitizer sees a read past the end */
        memcpy(exact, b.data, n);
        koe_onnx_model *m = NULL;
        koe_error err = { 0 };
        koe_status st = koe_onnx_open_memory(&m, exact, n, &err);
        /* Cut between two fields of the outermost message it may be a smaller model. */
        if (st == KOE_OK) assert_int_equal(m->graph.n_node, 1);
        else assert_true(err.message[0] && err.status == st);
        koe_onnx_close(st == KOE_OK ? m : NULL);
        free(exact);
    }
    koe_buf_free(&b);
}

/* One byte changed: any result, but no crash, leak or overrun. */
static void every_changed_byte_is_survived(void **state)
{
    (void)state;
    koe_buf b = small_model();
    static const unsigned char value[] = { 0, 1, 0x7f, 0x80, 0xff };
    for (size_t i = 0; i < b.n; i++)
        for (size_t v = 0; v < sizeof value; v++) {
            char was = b.data[i];
            b.data[i] = (char)value[v];
            koe_onnx_model *m = NULL;
            if (koe_onnx_open_memory(&m, b.data, b.n, NULL) == KOE_OK) koe_onnx_close(m);
            b.data[i] = was;
        }
    koe_buf_free(&b);
}

static void failing_allocations_are_survived(void **state)
{
    (void)state;
    koe_buf b = small_model();
    koe_status st = KOE_E_NOMEM;
    long k = 0;
    for (; st != KOE_OK && k < 1000; k++) {
        koe_onnx_model *m = NULL;
        koe_error err = { 0 };
        allocations_left = k;
        st = koe_onnx_open_memory(&m, b.data, b.n, &err);
        allocations_left = -1;
        if (st != KOE_OK) assert_int_equal(st, KOE_E_NOMEM);
        if (st == KOE_OK) koe_onnx_close(m);
    }
    assert_true(st == KOE_OK && k > 3);
    koe_buf_free(&b);
}

static void wrong_tensors(void **state)
{
    (void)state;
    const int64_t two[] = { 2 };
    koe_buf t = pb_tensor("wte", 1, 1, two);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "tensor 'wte': float32[2]: it has no data");
    t = pb_tensor("wte", 1, 1, two);
    pb_bytes(&t, 9, "1234567", 7);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "7 bytes of data, the shape needs 8");
    t = pb_tensor("wte", 1, 1, (const int64_t[]){ 0 });
    pb_bytes(&t, 9, "1234", 4);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "4 bytes of data, the shape needs 0");
    t = pb_tensor("wte", 1, 1, two);
    pb_f32(&t, 4, 1);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "1 elements, the shape needs 2");
    t = pb_tensor("wte", 1, 1, two);
    pb_bytes(&t, 4, "12345678", 8);
    pb_bytes(&t, 9, "12345678", 8);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "both in raw_data and in field 4");
    t = pb_tensor("wte", 1, 1, two);
    pb_bytes(&t, 5, "\1\1", 2);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "belong in field 4");
    t = pb_tensor("wte", 1, 1, two);
    pb_bytes(&t, 5, "\1", 1);
    pb_bytes(&t, 7, "\1", 1);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "two fields");
    t = pb_tensor("wte", 1, 1, two);
    pb_bytes(&t, 4, "1234567", 7);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "half a number");
    t = pb_tensor("wte", 7, 1, two);
    pb_bytes(&t, 7, "\1\xff", 2);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "half a number");
    t = pb_tensor("wte", 2, 1, two);
    pb_bytes(&t, 5, "\1\x80\x02", 3);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "element 1 is 256, out of the range of uint8");
    t = pb_tensor("wte", 1, 1, (const int64_t[]){ -2 });
    expect_refused(with_initializer(t), KOE_E_LIMIT, "-2");
    t = pb_tensor("wte", 1, 2, (const int64_t[]){ INT64_MAX, 3 });
    expect_refused(with_initializer(t), KOE_E_LIMIT, "overflows");
    t = pb_tensor("wte", 1, 9, (const int64_t[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1 });
    expect_refused(with_initializer(t), KOE_E_LIMIT, "dimensions");
    t = pb_tensor("wte", 8, 1, two);
    pb_str(&t, 6, "a");
    pb_str(&t, 6, "b");
    expect_refused(with_initializer(t), KOE_E_UNSUPPORTED, "tensor 'wte': its elements are string");
    expect_refused(with_initializer(pb_tensor("wte", 22, 1, two)), KOE_E_UNSUPPORTED, "int4");
    expect_refused(with_initializer(pb_tensor("wte", 17, 1, two)), KOE_E_UNSUPPORTED, "float8e4m3fn");
    expect_refused(with_initializer(pb_tensor("wte", 0, 1, two)), KOE_E_UNSUPPORTED, "undefined");
    expect_refused(with_initializer(pb_tensor("wte", 999, 1, two)), KOE_E_UNSUPPORTED, "type 999");
    expect_refused(with_initializer(pb_tensor("wte", -1, 1, two)), KOE_E_UNSUPPORTED, "type -1");
    t = pb_tensor("wte", 1, 1, two);
    pb_str(&t, 3, "");
    expect_refused(with_initializer(t), KOE_E_UNSUPPORTED, "segments");
    t = pb_tensor("", 3, 0, NULL);
    pb_bytes(&t, 9, "1", 1);
    expect_refused(with_initializer(t), KOE_E_FORMAT, "has no name");
}

static void wrong_attributes(void **state)
{
    (void)state;
    expect_refused(with_attr(pb_attr("a", 0)), KOE_E_FORMAT, "node 0 '' (Op): attribute 'a': neither a type nor a value");
    expect_refused(with_attr(pb_attr("a", 4)), KOE_E_FORMAT, "its value is missing");
    expect_refused(with_attr(pb_attr("a", 5)), KOE_E_FORMAT, "its value is missing");
    expect_refused(with_attr(pb_attr("a", 77)), KOE_E_UNSUPPORTED, "type 77");
    expect_refused(with_attr(pb_attr("a", 9)), KOE_E_UNSUPPORTED, "type 9");
    expect_refused(with_attr(pb_attr("", 1)), KOE_E_FORMAT, "no name");
    koe_buf a = pb_attr("a", 11);
    pb_str(&a, 22, "");
    expect_refused(with_attr(a), KOE_E_UNSUPPORTED, "sparse");
    a = pb_attr("a", 1);
    pb_int(&a, 2, 3);
    expect_refused(with_attr(a), KOE_E_FORMAT, "field 2 is a number where a 32-bit float is due");
    a = pb_attr("a", 2);
    pb_str(&a, 3, "3");
    expect_refused(with_attr(a), KOE_E_FORMAT, "where a number is due");
    a = pb_attr("a", 7);
    pb_f32(&a, 8, 3);
    expect_refused(with_attr(a), KOE_E_FORMAT, "where a list of numbers is due");
    a = pb_attr("a", 6);
    pb_bytes(&a, 7, "123", 3);
    expect_refused(with_attr(a), KOE_E_FORMAT, "half a number");

    koe_buf g = { 0 }, n = pb_node("Op", "x", "y");
    for (int i = 0; i < 2; i++) {
        a = pb_attr("same", 2);
        pb_int(&a, 3, i);
        pb_message(&n, 5, a);
    }
    pb_message(&g, 1, n);
    expect_refused(pb_model(g, 17), KOE_E_FORMAT, "two attributes 'same'");
}

static void names_are_defined_once(void **state)
{
    (void)state;
    for (int form = 0; form < 5; form++) {
        koe_buf g = { 0 };
        for (int i = 0; i < 2; i++) {
            koe_buf t = pb_tensor("twin", 3, 0, NULL);
            pb_bytes(&t, 9, "x", 1);
            bool initializer = form == 0 || (form == 1 && i == 0) || (form == 4 && i == 0);
            bool input = form == 3 || (form == 2 && i == 0) || (form == 4 && i == 1);
            if (initializer) pb_message(&g, 5, t);
            else if (input) pb_message(&g, 11, pb_value("twin", 3, 0, NULL));
            else pb_message(&g, 1, pb_node("Op", "x", "twin"));
            if (!initializer) koe_buf_free(&t);
        }
        koe_buf b = pb_model(g, 17);
        if (form < 4) {
            expect_refused(b, KOE_E_FORMAT, "'twin' is defined twice");
            continue;
        }
        koe_onnx_close(expect_opens(&b)); /* an input's default value */
        koe_buf_free(&b);
    }
    koe_buf g = { 0 }; /* absent outputs are not names */
    pb_message(&g, 1, pb_node("Op", "x", ""));
    pb_message(&g, 1, pb_node("Op", "x", ""));
    koe_buf b = pb_model(g, 17);
    koe_onnx_close(expect_opens(&b));
    koe_buf_free(&b);
}

static void opsets_are_checked(void **state)
{
    (void)state;
    expect_refused(pb_model((koe_buf){ 0 }, 0), KOE_E_UNSUPPORTED, "opset 0; koe reads opsets 1 to 27");
    expect_refused(pb_model((koe_buf){ 0 }, 28), KOE_E_UNSUPPORTED, "opset 28");
    koe_buf b = { 0 };
    pb_int(&b, 1, 8);
    pb_str(&b, 7, "");
    expect_refused(b, KOE_E_FORMAT, "which operator set");
    b = pb_model((koe_buf){ 0 }, 17);
    koe_buf import = { 0 };
    pb_str(&import, 1, "ai.onnx");
    pb_int(&import, 2, 18);
    pb_message(&b, 8, import);
    expect_refused(b, KOE_E_FORMAT, "two versions");
}

static void hostile_nesting(void **state)
{
    (void)state;
    koe_buf g = { 0 };
    for (int i = 0; i < 40; i++) {
        koe_buf outer = { 0 }, n = pb_node("If", "c", "y"), a = pb_attr("then_branch", 5);
        pb_message(&a, 6, g);
        pb_message(&n, 5, a);
        pb_message(&outer, 1, n);
        g = outer;
    }
    expect_refused(pb_model(g, 17), KOE_E_LIMIT, "");

    koe_buf type = { 0 };
    for (int i = 0; i < 40; i++) {
        koe_buf sequence = { 0 }, outer = { 0 };
        pb_message(&sequence, 1, type);
        pb_message(&outer, 4, sequence);
        type = outer;
    }
    koe_buf v = { 0 };
    g = (koe_buf){ 0 };
    pb_str(&v, 1, "v");
    pb_message(&v, 2, type);
    pb_message(&g, 11, v);
    expect_refused(pb_model(g, 17), KOE_E_LIMIT, "type nested");

    koe_buf b = small_model();
    for (int i = 0; i < 1000; i++) pb_tag(&b, 60, 3);
    expect_refused(b, KOE_E_LIMIT, "groups nested");
    b = small_model();
    pb_tag(&b, 60, 4);
    expect_refused(b, KOE_E_FORMAT, "did not begin");
    b = small_model();
    pb_tag(&b, 60, 3);
    pb_tag(&b, 61, 4);
    expect_refused(b, KOE_E_FORMAT, "did not begin");
}

static void hostile_numbers(void **state)
{
    (void)state;
    koe_buf b = small_model();
    koe_buf_add(&b, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11); /* length 2^64 - 1 */
    expect_refused(b, KOE_E_FORMAT, "partial download");
    b = small_model();
    koe_buf_add(&b, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11);
    expect_refused(b, KOE_E_FORMAT, "more than 64 bits");
    b = small_model();
    koe_buf_add(&b, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    expect_refused(b, KOE_E_FORMAT, "not a protobuf field");
    b = small_model();
    koe_buf_add(&b, "\x02", 1); /* field 0 */
    expect_refused(b, KOE_E_FORMAT, "not a protobuf field");
    b = small_model();
    pb_str(&b, 7, "");
    expect_refused(b, KOE_E_FORMAT, "more than one graph");
    koe_buf g = { 0 }, n = { 0 };
    pb_str(&n, 2, "y");
    pb_message(&g, 1, n);
    expect_refused(pb_model(g, 17), KOE_E_FORMAT, "names no operator");
    g = (koe_buf){ 0 };
    pb_str(&g, 15, "");
    expect_refused(pb_model(g, 17), KOE_E_UNSUPPORTED, "sparse");
    g = (koe_buf){ 0 };
    pb_message(&g, 11, pb_value("v", 1, 9, (const int64_t[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1 }));
    expect_refused(pb_model(g, 17), KOE_E_LIMIT, "dimensions");
    g = (koe_buf){ 0 };
    for (int i = 0; i <= 1 << 20; i++) pb_int(&g, 1, 0);
    expect_refused(pb_model(g, 17), KOE_E_LIMIT, "more than 1048576 items");
}

static void other_files_are_recognised(void **state)
{
    (void)state;
    static const struct {
        koe_str bytes;
        const char *says;
    } files[] = {
        { { "", 0 }, "empty" },
        { { "version https://git-lfs.github.com/spec/v1\noid sha256:00", 56 }, "git lfs pull" },
        { { "<!DOCTYPE html><title>404", 25 }, "web page" },
        { { " \n<HTML lang=en>", 16 }, "web page" },
        { { "\xef\xbb\xbf<html>", 9 }, "web page" },
        { { "<?xml version='1.0'?>", 21 }, "XML" },
        { { "\x1f\x8b\x08\0\0", 5 }, "gunzip" },
        { { "PK\3\4\0\0", 6 }, "zip" },
        { { "{\"audio\": {\"sample_rate\": 22050}}", 33 }, "JSON" },
        { { "[1]", 3 }, "JSON" },
        { { "Entry not found", 15 }, "plain text" },
        { { "\x93NUMPY\1\0", 8 }, "NumPy" },
        { { "\x80\x02}q", 4 }, "pickle" },
        { { "\0\0\0\0ORTM", 8 }, ".ort" },
        { { "\xff\xff\xff\xff\xff", 5 }, "a number is cut off" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        koe_buf b = { 0 };
        koe_buf_add_str(&b, files[i].bytes);
        expect_refused(b, KOE_E_FORMAT, files[i].says);
    }
}

/* ---- files --------------------------------------------------------------------------------------------------------------- */

typedef struct folder {
    char path[64];
} folder;

static char *in_folder(const folder *f, const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return path;
}

static int make_folder(void **state)
{
    folder *f = calloc(1, sizeof *f);
    strcpy(f->path, "/tmp/koe_model_XXXXXX");
    *state = f;
    return mkdtemp(f->path) ? 0 : -1;
}

static int remove_folder(void **state)
{
    folder *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->path);
    int rc = system(command);
    free(f);
    return rc;
}

/* A tensor of four floats whose data is elsewhere. */
static koe_buf external_tensor(const char *name, const char *location, const char *offset, const char *length)
{
    const char *const entry[3][2] = { { "location", location }, { "offset", offset }, { "length", length } };
    koe_buf t = pb_tensor(name, 1, 1, (const int64_t[]){ 4 });
    for (int i = 0; i < 3; i++) {
        if (!entry[i][1]) continue;
        koe_buf e = { 0 };
        pb_str(&e, 1, entry[i][0]);
        pb_str(&e, 2, entry[i][1]);
        pb_message(&t, 13, e);
    }
    pb_int(&t, 14, 1);
    return t;
}

static void write_model(const folder *f, koe_buf model)
{
    assert_int_equal(koe_file_write_atomic(in_folder(f, "m.onnx"), model.data, model.n, NULL), KOE_OK);
    koe_buf_free(&model);
}

static void reads_external_data(void **state)
{
    const folder *f = *state;
    const float data[9] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    assert_int_equal(koe_file_make_dirs(in_folder(f, "sub"), NULL), KOE_OK);
    assert_int_equal(koe_file_write_atomic(in_folder(f, "w.bin"), data, sizeof data, NULL), KOE_OK);
    assert_int_equal(koe_file_write_atomic(in_folder(f, "sub/w.bin"), data, sizeof data, NULL), KOE_OK);
    koe_buf g = { 0 };
    pb_message(&g, 5, external_tensor("a", "w.bin", NULL, "16"));
    pb_message(&g, 5, external_tensor("b", "w.bin", "16", NULL));
    pb_message(&g, 5, external_tensor("c", "sub/w.bin", "20", "16"));
    pb_message(&g, 5, external_tensor("d", "w.bin", "3", NULL)); /* unaligned: copied */
    pb_message(&g, 5, external_tensor("e", "./w.bin", NULL, NULL));
    write_model(f, pb_model(g, 17));
    koe_onnx_model *m = NULL;
    koe_error err = { 0 };
    if (koe_onnx_open(&m, in_folder(f, "m.onnx"), &err) != KOE_OK) fail_msg("%s", err.message);
    assert_int_equal(m->n_external, 3);
    const koe_onnx_initializer *t = m->graph.initializer;
    assert_memory_equal(t[0].t.data, data, 16);
    assert_memory_equal(t[1].t.data, data + 4, 16);
    assert_memory_equal(t[2].t.data, data + 5, 16);
    assert_memory_equal(t[3].t.data, (const char *)data + 3, 16);
    assert_true(koe_tensor_aligned(&t[3].t));
    assert_ptr_equal((char *)t[1].t.data, (char *)t[0].t.data + 16); /* the same mapping */
    koe_onnx_close(m);
}

static void external_data_stays_in_the_folder(void **state)
{
    const folder *f = *state;
    const float data[4] = { 0, 1, 2, 3 };
    assert_int_equal(koe_file_make_dirs(in_folder(f, "model/sub"), NULL), KOE_OK);
    assert_int_equal(koe_file_write_atomic(in_folder(f, "secret"), data, sizeof data, NULL), KOE_OK);
    assert_int_equal(koe_file_write_atomic(in_folder(f, "modelsecret"), data, sizeof data, NULL), KOE_OK);
    assert_int_equal(koe_file_write_atomic(in_folder(f, "model/w.bin"), data, sizeof data, NULL), KOE_OK);
    assert_int_equal(symlink("../secret", in_folder(f, "model/link")), 0);
    assert_int_equal(symlink("../modelsecret", in_folder(f, "model/link2")), 0);
    assert_int_equal(symlink("../w.bin", in_folder(f, "model/sub/inside")), 0);
    char absolute[256];
    snprintf(absolute, sizeof absolute, "%s", in_folder(f, "model/w.bin"));
    static const struct {
        const char *location, *offset, *length;
        koe_status status;
        const char *says;
    } cases[] = {
        { "sub/inside", NULL, NULL, KOE_OK, "" },
        { "../secret", NULL, NULL, KOE_E_FORMAT, "must lie in the model's folder" },
        { "sub/../w.bin", NULL, NULL, KOE_E_FORMAT, "must lie in the model's folder" },
        { "/etc/passwd", NULL, NULL, KOE_E_FORMAT, "must lie in the model's folder" },
        { "link", NULL, NULL, KOE_E_FORMAT, "link out of the model's folder" },
        { "link2", NULL, NULL, KOE_E_FORMAT, "link out of the model's folder" },
        { "gone.bin", NULL, NULL, KOE_E_NOT_FOUND, "gone.bin" },
        { "sub", NULL, NULL, KOE_E_FORMAT, "folder" },
        { "", NULL, NULL, KOE_E_FORMAT, "without a location" },
        { NULL, NULL, NULL, KOE_E_FORMAT, "without a location" },
        { "w.bin", "1", NULL, KOE_E_FORMAT, "which has only 16" },
        { "w.bin", "18446744073709551615", NULL, KOE_E_FORMAT, "which has only 16" },
        { "w.bin", "18446744073709551616", NULL, KOE_E_FORMAT, "no number" },
        { "w.bin", "-1", NULL, KOE_E_FORMAT, "no number" },
        { "w.bin", "", NULL, KOE_E_FORMAT, "no number" },
        { "w.bin", NULL, "12", KOE_E_FORMAT, "12 bytes, the shape needs 16" },
    };
    for (size_t i = 0; i <= sizeof cases / sizeof *cases; i++) {
        bool extra = i == sizeof cases / sizeof *cases; /* even a path into the folder must be relative */
        koe_buf t = external_tensor("t", extra ? absolute : cases[i].location, extra ? NULL : cases[i].offset,
                                    extra ? NULL : cases[i].length);
        koe_buf model = with_initializer(t);
        assert_int_equal(koe_file_write_atomic(in_folder(f, "model/m.onnx"), model.data, model.n, NULL), KOE_OK);
        koe_buf_free(&model);
        koe_onnx_model *m = NULL;
        koe_error err = { 0 };
        koe_status st = koe_onnx_open(&m, in_folder(f, "model/m.onnx"), &err);
        koe_status want = extra ? KOE_E_FORMAT : cases[i].status;
        const char *says = extra ? "must lie" : cases[i].says;
        if (st != want || !strstr(err.message, says))
            fail_msg("case %zu: status %d \"%s\"; wanted %d \"%s\"", i, st, err.message, want, says);
        if (st == KOE_OK) koe_onnx_close(m);
    }
}

static void memory_has_no_external_data(void **state)
{
    (void)state;
    expect_refused(with_initializer(external_tensor("t", "w.bin", NULL, NULL)), KOE_E_UNSUPPORTED, "a model in memory");
}

static void opens_files(void **state)
{
    const folder *f = *state;
    koe_onnx_model *m = NULL;
    koe_error err = { 0 };
    write_model(f, small_model());
    if (koe_onnx_open(&m, in_folder(f, "m.onnx"), &err) != KOE_OK) fail_msg("%s", err.message);
    assert_string_equal(m->path, in_folder(f, "m.onnx"));
    koe_onnx_close(m);
    m = NULL;
    koe_onnx_close(NULL);
    assert_int_equal(koe_onnx_open(&m, in_folder(f, "none.onnx"), &err), KOE_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "none.onnx"));
    assert_int_equal(koe_onnx_open(&m, f->path, &err), KOE_E_FORMAT);
    assert_non_null(strstr(err.message, "folder"));
    assert_int_equal(koe_file_write_atomic(in_folder(f, "m.onnx"), "", 0, NULL), KOE_OK);
    assert_int_equal(koe_onnx_open(&m, in_folder(f, "m.onnx"), &err), KOE_E_FORMAT);
    assert_non_null(strstr(err.message, "m.onnx: not an ONNX model: it is empty"));
    assert_null(m);
}

static void reads_pb_files(void **state)
{
    const folder *f = *state;
    koe_buf t = pb_tensor("t", 7, 1, (const int64_t[]){ 2 }), sequence = { 0 };
    pb_bytes(&t, 9, "abcdefghijklmnop", 16);
    for (int i = 0; i < 3; i++) pb_bytes(&sequence, 3, t.data, t.n);
    koe_arena arena = { 0 };
    koe_tensor *got;
    size_t n;
    koe_error err = { 0 };
    assert_int_equal(koe_file_write_atomic(in_folder(f, "t.pb"), t.data, t.n, NULL), KOE_OK);
    assert_int_equal(koe_onnx_read_pb(&got, &n, false, &arena, in_folder(f, "t.pb"), &err), KOE_OK);
    assert_int_equal(n, 1);
    assert_memory_equal(got->data, "abcdefghijklmnop", 16);
    assert_int_equal(koe_file_write_atomic(in_folder(f, "s.pb"), sequence.data, sequence.n, NULL), KOE_OK);
    assert_int_equal(koe_onnx_read_pb(&got, &n, true, &arena, in_folder(f, "s.pb"), &err), KOE_OK);
    assert_int_equal(n, 3);
    assert_memory_equal(got[2].data, "abcdefghijklmnop", 16);
    assert_int_equal(koe_file_write_atomic(in_folder(f, "s.pb"), "", 0, NULL), KOE_OK);
    assert_int_equal(koe_onnx_read_pb(&got, &n, true, &arena, in_folder(f, "s.pb"), &err), KOE_OK);
    assert_int_equal(n, 0);
    assert_int_equal(koe_onnx_read_pb(&got, &n, false, &arena, in_folder(f, "s.pb"), &err), KOE_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "s.pb"));
    koe_arena_free(&arena);
    koe_buf_free(&t);
    koe_buf_free(&sequence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_everything),
        cmocka_unit_test(unknown_fields_are_skipped),
        cmocka_unit_test(attribute_types_are_inferred),
        cmocka_unit_test(value_kinds),
        cmocka_unit_test(typed_fields),
        cmocka_unit_test(negative_numbers_in_lists),
        cmocka_unit_test(raw_data_is_borrowed_when_aligned),
        cmocka_unit_test(large_raw_data_stays_in_place),
        cmocka_unit_test(raw_booleans_are_0_or_1),
        cmocka_unit_test(empty_tensors_and_packed_dims),
        cmocka_unit_test(every_truncation_is_an_error_or_a_model),
        cmocka_unit_test(every_changed_byte_is_survived),
        cmocka_unit_test(failing_allocations_are_survived),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(wrong_attributes),
        cmocka_unit_test(names_are_defined_once),
        cmocka_unit_test(opsets_are_checked),
        cmocka_unit_test(hostile_nesting),
        cmocka_unit_test(hostile_numbers),
        cmocka_unit_test(other_files_are_recognised),
        cmocka_unit_test_setup_teardown(reads_external_data, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(external_data_stays_in_the_folder, make_folder, remove_folder),
        cmocka_unit_test(memory_has_no_external_data),
        cmocka_unit_test_setup_teardown(opens_files, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reads_pb_files, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
