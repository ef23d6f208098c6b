/* node.h - runs one operator through the session API, for tests. A model is written around the node in memory. */
#ifndef KOE_TEST_NODE_H
#define KOE_TEST_NODE_H
#include <stdlib.h>

#include "graph/graph.h"

enum { NODE_MAX_VALUES = 12, NODE_MAX_ATTR = 16 };

typedef struct node_spec {
    const char *op, *domain; /* domain NULL: the default one */
    int opset;
    koe_onnx_attr attr[NODE_MAX_ATTR];
    size_t n_attr, n_in, n_out;
    koe_value in[NODE_MAX_VALUES]; /* NONE: absent */
    bool unwanted[NODE_MAX_VALUES]; /* outputs that nobody asks for */
} node_spec;

/* Where a node's tensors come from: that decides about work in place and about folding. */
typedef enum node_feed {
    NODE_BORROWED, /* graph inputs: must not be written to */
    NODE_OWNED, /* the last use of what another node made: may be overwritten. That node is Where: from opset 9 on */
    NODE_CONSTANT, /* initialisers: the node is folded at load */
    NODE_FEEDS,
} node_feed;

typedef struct node_result {
    koe_session *session;
    koe_run *run;
    const koe_value *out[NODE_MAX_VALUES]; /* NULL for what is unwanted */
} node_result;

static inline void node_int(node_spec *s, const char *name, int64_t v)
{
    s->attr[s->n_attr++] = (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_INT, .i = v };
}
static inline void node_float(node_spec *s, const char *name, float v)
{
    s->attr[s->n_attr++] = (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_FLOAT, .f = v };
}
static inline void node_ints(node_spec *s, const char *name, const int64_t *v, size_t n)
{
    s->attr[s->n_attr++] = (koe_onnx_attr){ .name = koe_str_of(name), .type = KOE_ATTR_INTS, .ints = v, .n = n };
}
static inline koe_value node_value(koe_tensor t) { return (koe_value){ .kind = KOE_VALUE_TENSOR, .t = t }; }

/* Inputs are i0, i1, ..., outputs o0, o1, ...; an OWNED node reads c0, c1, ..., copies that Where makes. The model borrows what s
 * points to. */
static inline koe_onnx_model *node_model(const node_spec *s, node_feed feed)
{
    static const char *const names[][NODE_MAX_VALUES] = {
        { "i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9", "i10", "i11" },
        { "o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9", "o10", "o11" },
        { "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10", "c11" }
    };
    static uint8_t yes = 1;
    koe_onnx_model *m = calloc(1, sizeof *m);
    koe_arena *a = &m->arena;
    koe_str *in = koe_arena_array(a, NODE_MAX_VALUES, sizeof *in), *out = koe_arena_array(a, NODE_MAX_VALUES, sizeof *out);
    koe_onnx_value *graph_in = koe_arena_array(a, NODE_MAX_VALUES, sizeof *graph_in);
    koe_onnx_value *graph_out = koe_arena_array(a, NODE_MAX_VALUES, sizeof *graph_out);
    koe_onnx_initializer *weight = koe_arena_array(a, NODE_MAX_VALUES + 1, sizeof *weight);
    koe_onnx_node *node = koe_arena_array(a, NODE_MAX_VALUES + 1, sizeof *node);
    koe_onnx_opset *opset = koe_arena_array(a, 2, sizeof *opset);
    koe_onnx_attr *attr = koe_arena_array(a, NODE_MAX_ATTR, sizeof *attr);
    koe_onnx_graph *g = &m->graph;
    weight[g->n_initializer++] = (koe_onnx_initializer){ KOE_STR("yes"), { .dtype = KOE_DTYPE_BOOL, .data = &yes } };
    for (size_t i = 0; i < s->n_in; i++) {
        bool tensor = s->in[i].kind == KOE_VALUE_TENSOR;
        koe_str name = koe_str_of(names[0][i]);
        if (s->in[i].kind == KOE_VALUE_NONE) continue;
        in[i] = name;
        if (tensor && feed == NODE_CONSTANT) {
            weight[g->n_initializer++] = (koe_onnx_initializer){ name, s->in[i].t };
            continue;
        }
        graph_in[g->n_in++] = (koe_onnx_value){ .name = name, .kind = tensor ? KOE_ONNX_TENSOR : KOE_ONNX_SEQUENCE, .n_dim = -1 };
        if (!tensor || feed != NODE_OWNED) continue;
        koe_str *where = koe_arena_array(a, 4, sizeof *where);
        where[0] = KOE_STR("yes");
        where[1] = where[2] = name;
        where[3] = in[i] = koe_str_of(names[2][i]);
        node[g->n_node++] = (koe_onnx_node){ .op_type = KOE_STR("Where"), .in = where, .out = where + 3, .n_in = 3, .n_out = 1 };
    }
    for (size_t i = 0; i < s->n_out; i++) {
        if (s->unwanted[i]) continue;
        out[i] = koe_str_of(names[1][i]);
        graph_out[g->n_out++] = (koe_onnx_value){ .name = out[i], .n_dim = -1 };
    }
    memcpy(attr, s->attr, sizeof s->attr);
    node[g->n_node++] = (koe_onnx_node){ .op_type = koe_str_of(s->op),
                                         .domain = koe_str_of(s->domain),
                                         .in = in,
                                         .out = out,
                                         .n_in = s->n_in,
                                         .n_out = s->n_out,
                                         .attr = attr,
                                         .n_attr = s->n_attr };
    opset[0] = (koe_onnx_opset){ .version = s->opset };
    opset[1] = (koe_onnx_opset){ .domain = koe_str_of(s->domain), .version = s->opset };
    g->node = node;
    g->in = graph_in;
    g->out = graph_out;
    g->initializer = weight;
    m->opset = opset;
    m->n_opset = s->domain ? 2 : 1;
    m->ir_version = 8;
    return m;
}

static inline void node_result_free(node_result *r)
{
    koe_run_destroy(r->run);
    koe_session_destroy(r->session);
    *r = (node_result){ 0 };
}

/* Runs the node with seed 1 in at most 64 MiB; the result is valid until node_result_free(), which is due in every case. */
static inline koe_status node_run(node_result *r, const node_spec *s, node_feed feed, koe_pool *pool, koe_error *err)
{
    *r = (node_result){ 0 };
    koe_status st = koe_session_create(&r->session, node_model(s, feed), &(koe_session_options){ .pool = pool }, err);
    if (st == KOE_OK) st = koe_run_create(&r->run, r->session, err);
    for (size_t i = 0, k = 0; i < s->n_in && st == KOE_OK; i++) {
        if (s->in[i].kind == KOE_VALUE_SEQUENCE || (s->in[i].kind == KOE_VALUE_TENSOR && feed != NODE_CONSTANT))
            st = koe_run_set_in_value(r->run, k++, &s->in[i], err);
    }
    if (st == KOE_OK) st = koe_run_execute(r->run, &(koe_run_options){ .seed = 1, .memory_limit = 64 << 20 }, err);
    for (size_t i = 0, k = 0; i < s->n_out && st == KOE_OK; i++)
        if (!s->unwanted[i]) r->out[i] = koe_run_out(r->run, k++);
    return st;
}
#endif
