/* text_model.h - small models written as text, for tests. One line each:
 *     in x 1 ? 8                    an input, float32, with its dimensions; ?: any
 *     ints axes 1 2                 a constant, int64, one dimension; `int k 3` a scalar
 *     scalar half 0.5               a constant, float32, no dimension
 *     floats s 1 1 2                a constant, float32, one dimension
 *     random w 8 16                 a constant, float32, seeded by its name, values in -0.5 .. 0.5
 *     u8 q 8 16                     the same of bytes, any value; i8: signed; u4: 0 to 15
 *     graph round ... end           the lines between are those of a graph, which is the attribute `body=@round` of a later node;
 *                                   `value=#1`: an int64 tensor of one element
 *     out y                         an output
 *     opset 9                       instead of 17
 *     Gather shape k -> n axis=0    a node: operator, inputs ("-": absent), outputs, attributes: integers (a list with commas), floats
 *                                   with a point, else strings (with commas a list); `perm=[0]`: a list of one; "ms." before the operator: Microsoft's */
#ifndef KOE_TESTS_TEXT_MODEL_H
#define KOE_TESTS_TEXT_MODEL_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"

/* Uniform in -0.5 .. 0.5. */
static inline void text_random(float *out, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        out[i] = (float)(seed >> 8) / (float)(1 << 24) - 0.5f;
    }
}

static inline uint32_t text_seed(const char *name) { return (uint32_t)koe_str_hash(koe_str_of(name)); }

enum { TEXT_MAX = 128, TEXT_GRAPHS = 4 };

/* A graph while its lines are read: the arrays that text_model() fills. */
typedef struct text_graph {
    koe_str name;
    koe_onnx_node *node;
    koe_onnx_value *in, *out;
    koe_onnx_initializer *w;
    koe_onnx_graph g;
} text_graph;

static inline void text_graph_begin(koe_arena *a, text_graph *t, koe_str name)
{
    t->name = name;
    t->g.node = t->node = koe_arena_array(a, TEXT_MAX, sizeof *t->node);
    t->g.in = t->in = koe_arena_array(a, TEXT_MAX, sizeof *t->in);
    t->g.out = t->out = koe_arena_array(a, TEXT_MAX, sizeof *t->out);
    t->g.initializer = t->w = koe_arena_array(a, TEXT_MAX, sizeof *t->w);
}

static inline void text_attr(koe_arena *a, koe_onnx_attr *attr, char *text, const text_graph *inner)
{
    char *value = strchr(text, '=');
    *value++ = 0;
    *attr = (koe_onnx_attr){ .name = koe_arena_str(a, koe_str_of(text)) };
    char *end;
    const long long i = strtoll(*value == '[' ? value + 1 : value, &end, 10);
    if (*value == '#') {
        koe_tensor *t = koe_arena_alloc(a, sizeof *t);
        int64_t *x = koe_arena_alloc(a, sizeof *x);
        *x = strtoll(value + 1, NULL, 10);
        *t = (koe_tensor){ KOE_DTYPE_I64, 1, { 1 }, x };
        attr->type = KOE_ATTR_TENSOR;
        attr->t = t;
    } else if (*value == '@') {
        while (inner->node && !koe_str_is(inner->name, value + 1)) inner++;
        assert_non_null(inner->node);
        attr->type = KOE_ATTR_GRAPH;
        attr->g = &inner->g;
    } else if (*value == '[' || *end == ',') {
        int64_t *ints = koe_arena_array(a, 16, sizeof *ints);
        char *p = *value == '[' ? value + 1 : value;
        for (; *p && *p != ']'; p = *end == ',' ? end + 1 : end) ints[attr->n++] = strtoll(p, &end, 10);
        attr->type = KOE_ATTR_INTS;
        attr->ints = ints;
    } else if (end != value && *end == 0) {
        attr->type = KOE_ATTR_INT;
        attr->i = i;
    } else if (end != value && (*end == '.' || *end == 'e')) {
        attr->type = KOE_ATTR_FLOAT;
        attr->f = strtof(value, NULL);
    } else if (strchr(value, ',')) {
        koe_str *list = koe_arena_array(a, 16, sizeof *list);
        for (char *p = strtok_r(value, ",", &end); p && attr->n < 16; p = strtok_r(NULL, ",", &end)) list[attr->n++] = koe_arena_str(a, koe_str_of(p));
        attr->type = KOE_ATTR_STRINGS;
        attr->strings = list;
    } else {
        attr->type = KOE_ATTR_STRING;
        attr->s = koe_arena_str(a, koe_str_of(value));
    }
}

static inline koe_onnx_model *text_model(const char *text)
{
    koe_onnx_model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    koe_arena *a = &m->arena;
    text_graph *graph = koe_arena_array(a, TEXT_GRAPHS + 1, sizeof *graph), *t = graph;
    int n_graph = 1;
    text_graph_begin(a, t, KOE_STR("main"));
    int64_t version = 17;
    char *copy = strdup(text), *line_end = NULL;
    for (char *line = strtok_r(copy, "\n", &line_end); line; line = strtok_r(NULL, "\n", &line_end)) {
        char *word[40], *end = NULL;
        int n = 0;
        for (char *p = strtok_r(line, " ", &end); p && n < 40; p = strtok_r(NULL, " ", &end)) word[n++] = p;
        if (n == 0) continue;
        const koe_str name = n > 1 ? koe_arena_str(a, koe_str_of(word[1])) : KOE_STR("");
        if (strcmp(word[0], "graph") == 0) {
            assert_true(n_graph < TEXT_GRAPHS);
            t = &graph[n_graph++];
            text_graph_begin(a, t, name);
        } else if (strcmp(word[0], "end") == 0) {
            t = graph;
        } else if (strcmp(word[0], "in") == 0) {
            koe_onnx_value *v = &t->in[t->g.n_in++];
            *v = (koe_onnx_value){ .name = name, .kind = KOE_ONNX_TENSOR, .dtype = KOE_DTYPE_F32, .n_dim = n - 2 };
            for (int i = 2; i < n; i++) v->dim[i - 2] = word[i][0] == '?' ? -1 : strtoll(word[i], NULL, 10);
        } else if (strcmp(word[0], "out") == 0) {
            t->out[t->g.n_out++] = (koe_onnx_value){ .name = name, .kind = KOE_ONNX_TENSOR, .dtype = KOE_DTYPE_F32, .n_dim = -1 };
        } else if (strcmp(word[0], "ints") == 0 || strcmp(word[0], "int") == 0) {
            int64_t *v = koe_arena_array(a, (size_t)n, sizeof *v);
            for (int i = 2; i < n; i++) v[i - 2] = strtoll(word[i], NULL, 10);
            t->w[t->g.n_initializer++] = (koe_onnx_initializer){ .name = name, .t = { KOE_DTYPE_I64, word[0][3] == 's', { n - 2 }, v } };
        } else if (strcmp(word[0], "scalar") == 0) {
            float *v = koe_arena_alloc(a, sizeof *v);
            *v = strtof(word[2], NULL);
            t->w[t->g.n_initializer++] = (koe_onnx_initializer){ .name = name, .t = { .dtype = KOE_DTYPE_F32, .data = v } };
        } else if (strcmp(word[0], "floats") == 0) {
            float *v = koe_arena_array(a, (size_t)n, sizeof *v);
            for (int i = 2; i < n; i++) v[i - 2] = strtof(word[i], NULL);
            t->w[t->g.n_initializer++] = (koe_onnx_initializer){ .name = name, .t = { KOE_DTYPE_F32, 1, { n - 2 }, v } };
        } else if (strcmp(word[0], "opset") == 0) {
            version = strtoll(word[1], NULL, 10);
        } else if (strcmp(word[0], "random") == 0) {
            koe_tensor x = { .dtype = KOE_DTYPE_F32, .n_dim = n - 2 };
            for (int i = 2; i < n; i++) x.dim[i - 2] = strtoll(word[i], NULL, 10);
            x.data = koe_arena_array(a, koe_tensor_count(&x), sizeof(float));
            text_random(x.data, koe_tensor_count(&x), text_seed(word[1]));
            t->w[t->g.n_initializer++] = (koe_onnx_initializer){ .name = name, .t = x };
        } else if (strcmp(word[0], "u8") == 0 || strcmp(word[0], "i8") == 0 || strcmp(word[0], "u4") == 0) {
            koe_tensor x = { .dtype = word[0][0] == 'i' ? KOE_DTYPE_I8 : KOE_DTYPE_U8, .n_dim = n - 2 };
            for (int i = 2; i < n; i++) x.dim[i - 2] = strtoll(word[i], NULL, 10);
            uint8_t *q = x.data = koe_arena_alloc(a, koe_tensor_count(&x));
            for (size_t i = 0; i < koe_tensor_count(&x); i++) {
                float v;
                text_random(&v, 1, text_seed(word[1]) + 77 * (uint32_t)i);
                q[i] = (uint8_t)((v + 0.5f) * 256) & (word[0][1] == '4' ? 15 : 255);
            }
            t->w[t->g.n_initializer++] = (koe_onnx_initializer){ .name = name, .t = x };
        } else {
            koe_str *names = koe_arena_array(a, (size_t)n, sizeof *names);
            koe_onnx_attr *attr = koe_arena_array(a, (size_t)n, sizeof *attr);
            koe_onnx_node *x = &t->node[t->g.n_node++];
            const bool microsoft = strncmp(word[0], "ms.", 3) == 0;
            *x = (koe_onnx_node){ .op_type = koe_arena_str(a, koe_str_of(word[0] + 3 * microsoft)), .in = names, .attr = attr };
            if (microsoft) x->domain = KOE_STR("com.microsoft");
            bool outputs = false;
            for (int i = 1; i < n; i++) {
                if (strchr(word[i], '=')) text_attr(a, &attr[x->n_attr++], word[i], graph);
                else if (strcmp(word[i], "->") == 0) {
                    outputs = true;
                    x->out = names + x->n_in;
                } else
                    names[outputs ? x->n_in + x->n_out++ : x->n_in++] = strcmp(word[i], "-") == 0 ? KOE_STR("") : koe_arena_str(a, koe_str_of(word[i]));
            }
            x->name = x->out[0];
        }
        assert_true(t->g.n_node < TEXT_MAX && t->g.n_in < TEXT_MAX && t->g.n_out < TEXT_MAX && t->g.n_initializer < TEXT_MAX);
    }
    free(copy);
    koe_onnx_opset *opset = koe_arena_array(a, 2, sizeof *opset);
    opset[0] = (koe_onnx_opset){ .version = version };
    opset[1] = (koe_onnx_opset){ .domain = KOE_STR("com.microsoft"), .version = 1 };
    m->ir_version = 8;
    m->opset = opset;
    m->n_opset = 2;
    m->graph = graph->g;
    return m;
}

/* Other content for a constant of that many bytes. */
static inline void text_fill(koe_onnx_model *m, const char *name, const void *data, size_t n_bytes)
{
    const koe_onnx_initializer *w = m->graph.initializer;
    while (!koe_str_is(w->name, name)) w++;
    assert_int_equal(koe_tensor_bytes(&w->t), n_bytes);
    memcpy(w->t.data, data, n_bytes);
}
#endif
