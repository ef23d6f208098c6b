/* Any bytes as an ONNX model: opened, and everything that it then claims to hold is read. Seeds: fuzz/corpus/onnx. */
#include "onnx/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was read ends up here, so that the reading is not optimised away. */
static volatile unsigned sink;

static void touch(const void *p, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((const unsigned char *)p)[i];
    sink = sink + sum;
}

static void walk_str(koe_str s) { touch(s.p, s.n); }

static void walk_strs(const koe_str *s, size_t n)
{
    for (size_t i = 0; i < n; i++) walk_str(s[i]);
}

static void walk_tensor(const koe_tensor *t)
{
    char text[160];
    koe_tensor_describe(t, text, sizeof text);
    touch(t->data, koe_tensor_bytes(t));
}

static void walk_graph(const koe_onnx_graph *g);

static void walk_attrs(const koe_onnx_attr *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        walk_str(a[i].name);
        walk_str(a[i].ref);
        walk_str(a[i].s);
        if (a[i].type == KOE_ATTR_FLOATS) touch(a[i].floats, a[i].n * sizeof *a->floats);
        if (a[i].type == KOE_ATTR_INTS) touch(a[i].ints, a[i].n * sizeof *a->ints);
        if (a[i].type == KOE_ATTR_STRINGS) walk_strs(a[i].strings, a[i].n);
        if (a[i].t) walk_tensor(a[i].t);
        if (a[i].g) walk_graph(a[i].g);
    }
}

static void walk_nodes(const koe_onnx_node *node, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        walk_str(node[i].name);
        walk_str(node[i].op_type);
        walk_str(node[i].domain);
        walk_strs(node[i].in, node[i].n_in);
        walk_strs(node[i].out, node[i].n_out);
        walk_attrs(node[i].attr, node[i].n_attr);
    }
}

static void walk_values(const koe_onnx_value *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        walk_str(v[i].name);
        for (int k = 0; k < v[i].n_dim; k++) walk_str(v[i].dim_param[k]);
    }
}

static void walk_graph(const koe_onnx_graph *g)
{
    walk_str(g->name);
    walk_nodes(g->node, g->n_node);
    for (size_t i = 0; i < g->n_initializer; i++) {
        walk_str(g->initializer[i].name);
        walk_tensor(&g->initializer[i].t);
    }
    walk_values(g->in, g->n_in);
    walk_values(g->out, g->n_out);
}

static void walk_model(const koe_onnx_model *m)
{
    walk_str(m->producer_name);
    walk_str(m->doc);
    for (size_t i = 0; i < m->n_opset; i++) walk_str(m->opset[i].domain);
    for (size_t i = 0; i < m->n_metadata; i++) {
        walk_str(m->metadata[i].key);
        walk_str(m->metadata[i].value);
    }
    for (size_t i = 0; i < m->n_function; i++) {
        const koe_onnx_function *fn = &m->function[i];
        walk_strs(fn->in, fn->n_in);
        walk_strs(fn->out, fn->n_out);
        walk_strs(fn->attr, fn->n_attr);
        walk_attrs(fn->default_attr, fn->n_default_attr);
        walk_nodes(fn->node, fn->n_node);
    }
    walk_graph(&m->graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    koe_onnx_model *m = NULL;
    koe_error err = { 0 };
    if (koe_onnx_open_memory(&m, data, n, &err) != KOE_OK) return 0;
    walk_model(m);
    koe_onnx_close(m);
    return 0;
}
