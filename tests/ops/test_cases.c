/* Operators, one node at a time: every line of tests/data/ops/NAME.txt is a case.
 *
 *     Slice@13 axis=0 mode=edge perm=[1,0] value=f32[1]:3 | i64[3] 1 2 3 | - | {f32[1] 1; f32[1] 2} => i64[2] 1 2 | _
 *     Gather@13 | f32[2] 1 2 | i64[1] 2 => ! outside
 *
 * Operator and opset, attributes, then inputs (- is absent, braces make a sequence); after the arrow the outputs (_ is not wanted),
 * or ! and a part of the error's message. Each case runs with its inputs fed, and again with them as weights, which folds it; then
 * again and again with one of its integers replaced by an extreme one: whatever comes of that, it must not crash or hang. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "ops/bytes.h"

enum { MAX_VALUES = 12, MAX_ATTR = 16 };

typedef struct test_case {
    koe_arena arena;
    char op[64];
    int opset;
    koe_onnx_attr attr[MAX_ATTR];
    size_t n_attr;
    koe_value in[MAX_VALUES], out[MAX_VALUES]; /* NONE: absent or not wanted */
    size_t n_in, n_out;
    char error[128]; /* part of the message; empty when the case must succeed */
} test_case;

static const char *where; /* line that is being read or run, for messages */

#define REQUIRE(condition)                                       \
    do {                                                         \
        if (!(condition)) fail_msg("%s: %s", #condition, where); \
    } while (0)

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

static void skip_space(const char **p)
{
    while (**p == ' ') ++*p;
}

static koe_dtype read_dtype(const char **p)
{
    static const struct {
        const char *name;
        koe_dtype dtype;
    } types[] = { { "f32", KOE_DTYPE_F32 }, { "f64", KOE_DTYPE_F64 }, { "f16", KOE_DTYPE_F16 }, { "i64", KOE_DTYPE_I64 },
                  { "i32", KOE_DTYPE_I32 }, { "i16", KOE_DTYPE_I16 }, { "i8", KOE_DTYPE_I8 },   { "u8", KOE_DTYPE_U8 },
                  { "u64", KOE_DTYPE_U64 }, { "bool", KOE_DTYPE_BOOL } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t n = strlen(types[i].name);
        if (strncmp(*p, types[i].name, n) != 0) continue;
        *p += n;
        return types[i].dtype;
    }
    fail_msg("a type is expected at '%s'", *p);
    return KOE_DTYPE_NONE;
}

/* "f32[2,2] 1 2 3 4", or with ':' and ',' instead of spaces inside an attribute. */
static void read_tensor(test_case *t, const char **p, koe_tensor *out)
{
    *out = (koe_tensor){ .dtype = read_dtype(p) };
    REQUIRE(**p == '[');
    for (++*p; **p != ']'; *p += **p == ',') {
        char *end;
        out->dim[out->n_dim++] = strtoll(*p, &end, 10);
        REQUIRE(end != *p);
        *p = end;
    }
    ++*p;
    size_t n = koe_tensor_count(out), size = koe_dtype_size(out->dtype);
    out->data = koe_arena_alloc(&t->arena, n * size + 1);
    for (size_t i = 0; i < n; i++) {
        char *end;
        while (**p == ' ' || **p == ':' || **p == ',') ++*p;
        double v = strtod(*p, &end);
        REQUIRE(end != *p);
        koe_elem_put(out->dtype, (char *)out->data + i * size, v);
        if (out->dtype == KOE_DTYPE_I64) ((int64_t *)out->data)[i] = strtoll(*p, NULL, 10); /* all of its digits */
        *p = end;
    }
}

static void read_value(test_case *t, const char **p, koe_value *v)
{
    skip_space(p);
    *v = (koe_value){ .kind = KOE_VALUE_NONE };
    if (**p == '-' || **p == '_') ++*p;
    else if (**p == '{') {
        v->kind = KOE_VALUE_SEQUENCE;
        v->item = koe_arena_array(&t->arena, MAX_VALUES, sizeof *v->item);
        for (++*p, skip_space(p); **p != '}'; skip_space(p)) {
            read_value(t, p, &v->item[v->n_item++]);
            skip_space(p);
            *p += **p == ';';
        }
        ++*p;
    } else {
        v->kind = KOE_VALUE_TENSOR;
        read_tensor(t, p, &v->t);
    }
    skip_space(p);
}

static void read_list(test_case *t, const char **p, koe_onnx_attr *a)
{
    bool floats = false;
    for (const char *q = *p; *q != ']'; q++) floats |= *q == '.';
    a->type = floats ? KOE_ATTR_FLOATS : KOE_ATTR_INTS;
    int64_t *ints = koe_arena_array(&t->arena, 16, sizeof *ints);
    float *values = koe_arena_array(&t->arena, 16, sizeof *values);
    for (++*p; **p != ']'; *p += **p == ',', a->n++) {
        char *end;
        if (floats) values[a->n] = strtof(*p, &end);
        else ints[a->n] = strtoll(*p, &end, 10);
        REQUIRE(end != *p);
        *p = end;
    }
    ++*p;
    a->ints = floats ? NULL : ints;
    a->floats = floats ? values : NULL;
}

static void read_attr(test_case *t, const char **p)
{
    koe_onnx_attr *a = &t->attr[t->n_attr++];
    size_t n = strcspn(*p, "=");
    a->name = koe_arena_str(&t->arena, (koe_str){ *p, n });
    *p += n + 1;
    n = strcspn(*p, " ");
    char *end;
    if (**p == '[') read_list(t, p, a);
    else if (memchr(*p, '[', n)) {
        koe_tensor *tensor = koe_arena_alloc(&t->arena, sizeof *tensor);
        read_tensor(t, p, tensor);
        a->type = KOE_ATTR_TENSOR;
        a->t = tensor;
    } else if (a->i = strtoll(*p, &end, 10), end == *p + n) {
        a->type = KOE_ATTR_INT;
        *p = end;
    } else if (a->f = strtof(*p, &end), end == *p + n) {
        a->type = KOE_ATTR_FLOAT;
        *p = end;
    } else {
        a->type = KOE_ATTR_STRING;
        a->s = koe_arena_str(&t->arena, (koe_str){ *p, n });
        *p += n;
    }
}

static void read_case(test_case *t, const char *p)
{
    *t = (test_case){ 0 };
    int used = 0;
    REQUIRE(sscanf(p, "%63[^@]@%d%n", t->op, &t->opset, &used) == 2);
    p += used;
    for (skip_space(&p); *p != '|' && *p != '='; skip_space(&p)) read_attr(t, &p);
    while (*p == '|') {
        p++;
        read_value(t, &p, &t->in[t->n_in++]);
    }
    REQUIRE(strncmp(p, "=>", 2) == 0);
    p += 2;
    skip_space(&p);
    if (*p == '!') {
        snprintf(t->error, sizeof t->error, "%s", p + 2);
        t->n_out = 1;
        return;
    }
    do {
        read_value(t, &p, &t->out[t->n_out++]);
    } while (*p++ == '|');
    REQUIRE(p[-1] == 0);
}

/* ---- running ---------------------------------------------------------------------------------------------------------------- */

/* A graph of the one node; `folded`: its tensors are initialisers. */
static koe_onnx_model *make_model(const test_case *t, bool folded)
{
    static const char *const names[] = { "i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9", "i10", "i11",
                                         "o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9", "o10", "o11" };
    koe_onnx_model *m = calloc(1, sizeof *m);
    koe_arena *a = &m->arena;
    koe_str *in = koe_arena_array(a, MAX_VALUES, sizeof *in), *out = koe_arena_array(a, MAX_VALUES, sizeof *out);
    koe_onnx_value *graph_in = koe_arena_array(a, MAX_VALUES, sizeof *graph_in), *graph_out = koe_arena_array(a, MAX_VALUES, sizeof *graph_out);
    koe_onnx_initializer *weight = koe_arena_array(a, MAX_VALUES, sizeof *weight);
    koe_onnx_node *node = koe_arena_alloc(a, sizeof *node);
    koe_onnx_opset *opset = koe_arena_alloc(a, sizeof *opset);
    koe_onnx_graph *g = &m->graph;
    for (size_t i = 0; i < t->n_in; i++) {
        in[i] = t->in[i].kind == KOE_VALUE_NONE ? KOE_STR("") : koe_str_of(names[i]);
        if (t->in[i].kind == KOE_VALUE_TENSOR && folded) weight[g->n_initializer++] = (koe_onnx_initializer){ in[i], t->in[i].t };
        else if (t->in[i].kind != KOE_VALUE_NONE)
            graph_in[g->n_in++] = (koe_onnx_value){
                .name = in[i], .kind = t->in[i].kind == KOE_VALUE_TENSOR ? KOE_ONNX_TENSOR : KOE_ONNX_SEQUENCE, .n_dim = -1
            };
    }
    for (size_t i = 0; i < t->n_out; i++) {
        bool wanted = t->out[i].kind != KOE_VALUE_NONE || t->error[0];
        out[i] = wanted ? koe_str_of(names[MAX_VALUES + i]) : KOE_STR("");
        if (wanted) graph_out[g->n_out++] = (koe_onnx_value){ .name = out[i], .n_dim = -1 };
    }
    *node = (koe_onnx_node){ .op_type = koe_str_of(t->op), .in = in, .out = out, .n_in = t->n_in, .n_out = t->n_out, .attr = t->attr,
                             .n_attr = t->n_attr };
    *opset = (koe_onnx_opset){ .version = t->opset };
    g->node = node;
    g->n_node = 1;
    g->in = graph_in;
    g->out = graph_out;
    g->initializer = weight;
    m->opset = opset;
    m->n_opset = 1;
    m->ir_version = 8;
    return m;
}

/* Runs the case; on success *r holds the outputs. The caller destroys both. */
static koe_status execute(const test_case *t, bool folded, koe_session **s, koe_run **r, koe_error *err)
{
    const koe_run_options opt = { .memory_limit = 64 << 20 };
    koe_status st = koe_session_create(s, make_model(t, folded), NULL, err);
    if (st == KOE_OK) st = koe_run_create(r, *s, err);
    for (size_t i = 0, k = 0; i < t->n_in && st == KOE_OK; i++)
        if (t->in[i].kind == KOE_VALUE_SEQUENCE || (t->in[i].kind == KOE_VALUE_TENSOR && !folded))
            st = koe_run_set_in_value(*r, k++, &t->in[i], err);
    return st == KOE_OK ? koe_run_execute(*r, &opt, err) : st;
}

static bool close_to(double got, double want)
{
    return (isnan(got) && isnan(want)) || got == want || fabs(got - want) <= 1e-6 + 1e-5 * fabs(want);
}

static void compare(const koe_value *got, const koe_value *want)
{
    REQUIRE(got->kind == want->kind);
    if (got->kind == KOE_VALUE_SEQUENCE) {
        REQUIRE(got->n_item == want->n_item);
        for (size_t i = 0; i < want->n_item; i++) compare(&got->item[i], &want->item[i]);
        return;
    }
    char a[96], b[96];
    koe_tensor_describe(&got->t, a, sizeof a);
    koe_tensor_describe(&want->t, b, sizeof b);
    if (strcmp(a, b) != 0) fail_msg("got %s, want %s: %s", a, b, where);
    size_t size = koe_dtype_size(want->t.dtype);
    for (size_t i = 0; i < koe_tensor_count(&want->t); i++) {
        double g = koe_elem_get(got->t.dtype, (const char *)got->t.data + i * size),
               w = koe_elem_get(want->t.dtype, (const char *)want->t.data + i * size);
        if (!close_to(g, w)) fail_msg("element %zu is %.9g, want %.9g: %s", i, g, w, where);
    }
}

static void run_case(const test_case *t, bool folded)
{
    koe_session *s = NULL;
    koe_run *r = NULL;
    koe_error err = { 0 };
    koe_status st = execute(t, folded, &s, &r, &err);
    if (t->error[0]) {
        if (st == KOE_OK) fail_msg("no error: %s", where);
        if (!strstr(err.message, t->error)) fail_msg("error '%s': %s", err.message, where);
    } else if (st != KOE_OK)
        fail_msg("%s: %s", err.message, where);
    for (size_t i = 0, k = 0; i < t->n_out && st == KOE_OK; i++)
        if (t->out[i].kind != KOE_VALUE_NONE) compare(koe_run_out(r, k++), &t->out[i]);
    koe_run_destroy(r);
    koe_session_destroy(s);
}

static void survive(const test_case *t)
{
    koe_session *s = NULL;
    koe_run *r = NULL;
    koe_error err = { 0 };
    execute(t, false, &s, &r, &err);
    koe_run_destroy(r);
    koe_session_destroy(s);
}

/* Puts every extreme in the place of one integer after the other. */
static void run_extremes(test_case *t)
{
    static const int64_t extremes[] = { 0,         1,          -1,        9,         -9,        65536,    (int64_t)1 << 31, -((int64_t)1 << 31),
                                        INT64_MAX, INT64_MIN, INT64_MAX / 2, (int64_t)1 << 61, (int64_t)1 << 40 };
    for (size_t e = 0; e < sizeof extremes / sizeof *extremes; e++) {
        for (size_t i = 0; i < t->n_in; i++) {
            int64_t *data = t->in[i].t.data;
            bool whole = t->in[i].kind == KOE_VALUE_TENSOR && t->in[i].t.dtype == KOE_DTYPE_I64;
            for (size_t k = 0; whole && k < koe_tensor_count(&t->in[i].t); k++) {
                int64_t kept = data[k];
                data[k] = extremes[e];
                survive(t);
                data[k] = kept;
            }
        }
        for (size_t i = 0; i < t->n_attr; i++) {
            int64_t kept = t->attr[i].i, *list = (int64_t *)(uintptr_t)t->attr[i].ints;
            t->attr[i].i = extremes[e];
            if (t->attr[i].type == KOE_ATTR_INT) survive(t);
            t->attr[i].i = kept;
            for (size_t k = 0; t->attr[i].type == KOE_ATTR_INTS && k < t->attr[i].n; k++) {
                kept = list[k];
                list[k] = extremes[e];
                survive(t);
                list[k] = kept;
            }
        }
    }
}

static void run_file(const char *name)
{
    char path[1024], line[4096];
    const char *folder = getenv("KOE_TEST_DATA");
    snprintf(path, sizeof path, "%s/ops/%s.txt", folder ? folder : "tests/data", name);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s cannot be opened", path);
    size_t n = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0] || line[0] == '#') continue;
        where = line;
        test_case t;
        read_case(&t, line);
        run_case(&t, false);
        if (!t.error[0]) run_case(&t, true);
        run_extremes(&t);
        koe_arena_free(&t.arena);
        n++;
    }
    fclose(f);
    assert_true(n > 0);
}

#define FILE_TEST(name)            \
    static void test_##name(void **state) \
    {                              \
        (void)state;               \
        run_file(#name);           \
    }
FILE_TEST(shape)
FILE_TEST(move)
FILE_TEST(slice)
FILE_TEST(index)
FILE_TEST(select)
FILE_TEST(sequence)
FILE_TEST(resize)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape), cmocka_unit_test(test_move),     cmocka_unit_test(test_slice),  cmocka_unit_test(test_index),
        cmocka_unit_test(test_select), cmocka_unit_test(test_sequence), cmocka_unit_test(test_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
