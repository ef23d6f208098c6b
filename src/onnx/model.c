/* model.c - ModelProto and everything below it, except tensors.
 * Each message is read twice: once to count its repeated fields, once to fill arrays of that size in the arena. */
#include <inttypes.h>
#include <stdlib.h>

#include "onnx/reader.h"

enum { MAX_SUBGRAPH_DEPTH = 32, MAX_TYPE_DEPTH = 8 };

/* Runs `body` for every field f of the message w; ends with st. */
#define FOR_EACH_FIELD(f, w, st, err)                                                                                            \
    for (koe_wire_field f; (st) == KOE_OK && ((st) = koe_wire_next(&(w), &f, err)) == KOE_OK && f.number != 0;)

/* The next occurrence of a field that holds a message; message->p is NULL when there is none. */
static koe_status next_message(koe_reader *r, koe_wire *w, uint32_t number, koe_wire *message)
{
    koe_status st = KOE_OK;
    *message = (koe_wire){ 0 };
    FOR_EACH_FIELD(f, *w, st, r->err)
    {
        if (f.number == number) return koe_wire_as_message(&f, message, r->err);
    }
    return st;
}

/* Runs `body` for every `message` of a repeated field of w; ends with st. */
#define FOR_EACH_MESSAGE(message, number, w, st, r)                                                                              \
    for (koe_wire message; (st) == KOE_OK && ((st) = next_message(r, &(w), number, &message)) == KOE_OK && message.p;)

static koe_status read_graph(koe_reader *r, koe_wire w, koe_onnx_graph *g);

/* An array for `n` items; `out` is any pointer's address. */
static koe_status new_array(koe_reader *r, void *out, size_t n, size_t size)
{
    void *p = n ? koe_arena_array(r->arena, n, size) : NULL;
    if (n && !p) return koe_fail(r->err, KOE_E_NOMEM, "%zu items of %zu bytes", n, size);
    memcpy(out, &p, sizeof p);
    return KOE_OK;
}
#define NEW_ARRAY(r, pointer, n) new_array(r, &(pointer), n, sizeof *(pointer))

/* Both spellings of the default domain become "". */
static koe_status read_domain(koe_reader *r, const koe_wire_field *f, koe_str *out)
{
    koe_status st = koe_wire_as_str(f, out, r->err);
    if (st == KOE_OK && koe_str_is(*out, "ai.onnx")) *out = (koe_str){ 0 };
    return st;
}

/* ---- attributes ---------------------------------------------------------------------------------------------------------- */

/* AttributeProto's fields. */
enum {
    ATTR_NAME = 1,
    ATTR_F = 2,
    ATTR_I = 3,
    ATTR_S = 4,
    ATTR_T = 5,
    ATTR_G = 6,
    ATTR_FLOATS = 7,
    ATTR_INTS = 8,
    ATTR_STRINGS = 9,
    ATTR_TENSORS = 10,
    ATTR_GRAPHS = 11,
    ATTR_TP = 14,
    ATTR_TYPE_PROTOS = 15,
    ATTR_TYPE = 20,
    ATTR_REF = 21,
    ATTR_SPARSE_TENSOR = 22,
    ATTR_SPARSE_TENSORS = 23,
};

/* Which type a field that is set stands for. Types that no operator here takes are refused. */
static koe_attr_type type_of_field(uint32_t field)
{
    switch (field) {
    case ATTR_F: return KOE_ATTR_FLOAT;
    case ATTR_I: return KOE_ATTR_INT;
    case ATTR_S: return KOE_ATTR_STRING;
    case ATTR_T: return KOE_ATTR_TENSOR;
    case ATTR_G: return KOE_ATTR_GRAPH;
    case ATTR_FLOATS: return KOE_ATTR_FLOATS;
    case ATTR_INTS: return KOE_ATTR_INTS;
    case ATTR_STRINGS: return KOE_ATTR_STRINGS;
    case ATTR_TP: return KOE_ATTR_TYPE_PROTO;
    default: return KOE_ATTR_NONE;
    }
}

/* A repeated number's total over all of its occurrences in w. */
static koe_status count_numbers(koe_reader *r, koe_wire w, uint32_t field, koe_wire_type type, size_t *n)
{
    koe_status st = KOE_OK;
    *n = 0;
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        size_t more = 0;
        if (f.number == field) st = koe_wire_repeated(&f, type, &more, r->err);
        *n += more;
    }
    return st;
}

static koe_status read_ints(koe_reader *r, koe_wire w, koe_onnx_attr *a)
{
    int64_t *ints = NULL;
    size_t i = 0;
    koe_status st = count_numbers(r, w, ATTR_INTS, KOE_WIRE_VARINT, &a->n);
    if (st == KOE_OK) st = NEW_ARRAY(r, ints, a->n);
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        if (f.number != ATTR_INTS) continue;
        if (f.type == KOE_WIRE_VARINT) ints[i++] = (int64_t)f.value;
        while (f.type == KOE_WIRE_BYTES && f.bytes.p < f.bytes.end && st == KOE_OK) {
            uint64_t v = 0;
            st = koe_wire_varint(&f.bytes, &v, r->err);
            if (st == KOE_OK) ints[i++] = (int64_t)v;
        }
    }
    a->ints = ints;
    return st;
}

static koe_status read_floats(koe_reader *r, koe_wire w, koe_onnx_attr *a)
{
    float *floats = NULL;
    size_t i = 0;
    koe_status st = count_numbers(r, w, ATTR_FLOATS, KOE_WIRE_32, &a->n);
    if (st == KOE_OK) st = NEW_ARRAY(r, floats, a->n);
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        if (f.number != ATTR_FLOATS) continue;
        if (f.type == KOE_WIRE_32) st = koe_wire_as_float(&f, &floats[i++], r->err);
        size_t n = f.type == KOE_WIRE_BYTES ? koe_wire_left(f.bytes) : 0;
        if (n) memcpy(&floats[i], f.bytes.p, n);
        i += n / sizeof *floats;
    }
    a->floats = floats;
    return st;
}

/* The occurrences of one string field, in order. */
static koe_status read_strings(koe_reader *r, koe_wire w, uint32_t field, size_t n, const koe_str **out)
{
    koe_str *strings = NULL;
    size_t i = 0;
    koe_status st = NEW_ARRAY(r, strings, n);
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        if (f.number == field) st = koe_wire_as_str(&f, &strings[i++], r->err);
    }
    *out = strings;
    return st;
}

static koe_status read_attr_tensor(koe_reader *r, const koe_wire_field *f, koe_onnx_attr *a)
{
    koe_wire w;
    koe_tensor *t = koe_arena_alloc(r->arena, sizeof *t);
    if (!t) return koe_fail(r->err, KOE_E_NOMEM, "attribute");
    koe_str name;
    koe_status st = koe_wire_as_message(f, &w, r->err);
    a->t = t;
    return st != KOE_OK ? st : koe_read_tensor(r, w, t, &name);
}

static koe_status read_attr_graph(koe_reader *r, const koe_wire_field *f, koe_onnx_attr *a)
{
    koe_wire w;
    koe_onnx_graph *g = koe_arena_alloc(r->arena, sizeof *g);
    if (!g) return koe_fail(r->err, KOE_E_NOMEM, "attribute");
    if (r->depth == MAX_SUBGRAPH_DEPTH)
        return koe_fail(r->err, KOE_E_LIMIT, "subgraphs nested more than %d deep", MAX_SUBGRAPH_DEPTH);
    koe_status st = koe_wire_as_message(f, &w, r->err);
    r->depth++;
    if (st == KOE_OK) st = read_graph(r, w, g);
    r->depth--;
    a->g = g;
    return st;
}

/* The name, the declared type and the type that the fields imply. */
static koe_status read_attr_type(koe_reader *r, koe_wire w, koe_onnx_attr *a)
{
    koe_attr_type implied = KOE_ATTR_NONE;
    int64_t declared = 0;
    koe_status st = KOE_OK;
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        switch (f.number) {
        case ATTR_NAME: st = koe_wire_as_str(&f, &a->name, r->err); break;
        case ATTR_TYPE: st = koe_wire_as_int(&f, &declared, r->err); break;
        case ATTR_REF: st = koe_wire_as_str(&f, &a->ref, r->err); break;
        case ATTR_TENSORS:
        case ATTR_GRAPHS:
        case ATTR_TYPE_PROTOS: st = koe_fail(r->err, KOE_E_UNSUPPORTED, "a list of tensors, graphs or types"); break;
        case ATTR_SPARSE_TENSOR:
        case ATTR_SPARSE_TENSORS: st = koe_fail(r->err, KOE_E_UNSUPPORTED, "a sparse tensor; only dense ones are read"); break;
        default:
            if (implied == KOE_ATTR_NONE) implied = type_of_field(f.number);
        }
    }
    if (st != KOE_OK) return st;
    if (declared < 0 || declared > 14 || (declared > KOE_ATTR_STRINGS && declared < KOE_ATTR_TYPE_PROTO) || declared == 14)
        return koe_fail(r->err, KOE_E_UNSUPPORTED, "attributes of type %" PRId64 " are not supported", declared);
    a->type = declared ? (koe_attr_type)declared : implied;
    if (a->type == KOE_ATTR_NONE && !a->ref.n) return koe_fail(r->err, KOE_E_FORMAT, "neither a type nor a value");
    return KOE_OK;
}

static koe_status read_attr_value(koe_reader *r, koe_wire w, koe_onnx_attr *a)
{
    koe_status st = KOE_OK;
    koe_wire again = w;
    if (a->type == KOE_ATTR_INTS) return read_ints(r, w, a);
    if (a->type == KOE_ATTR_FLOATS) return read_floats(r, w, a);
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        if (type_of_field(f.number) != a->type) continue;
        switch (a->type) {
        case KOE_ATTR_FLOAT: st = koe_wire_as_float(&f, &a->f, r->err); break;
        case KOE_ATTR_INT: st = koe_wire_as_int(&f, &a->i, r->err); break;
        case KOE_ATTR_STRING: st = koe_wire_as_str(&f, &a->s, r->err); break;
        case KOE_ATTR_TENSOR:
            if (a->t) st = koe_fail(r->err, KOE_E_FORMAT, "two tensors");
            else st = read_attr_tensor(r, &f, a);
            break;
        case KOE_ATTR_GRAPH:
            if (a->g) st = koe_fail(r->err, KOE_E_FORMAT, "two graphs");
            else st = read_attr_graph(r, &f, a);
            break;
        case KOE_ATTR_STRINGS: a->n++; break;
        default: break;
        }
    }
    if (st == KOE_OK && a->type == KOE_ATTR_STRINGS) st = read_strings(r, again, ATTR_STRINGS, a->n, &a->strings);
    if (st == KOE_OK && !a->ref.n && ((a->type == KOE_ATTR_TENSOR && !a->t) || (a->type == KOE_ATTR_GRAPH && !a->g)))
        st = koe_fail(r->err, KOE_E_FORMAT, "its value is missing");
    return st;
}

static koe_status read_attr(koe_reader *r, koe_wire w, koe_onnx_attr *a)
{
    koe_status st = read_attr_type(r, w, a);
    if (st == KOE_OK) st = read_attr_value(r, w, a);
    if (st == KOE_OK && !a->name.n) st = koe_fail(r->err, KOE_E_FORMAT, "it has no name");
    if (st != KOE_OK) return koe_error_wrap(r->err, st, "attribute '%.*s'", KOE_NAME_ARG(a->name));
    return KOE_OK;
}

static bool has_attr(const koe_onnx_attr *attr, size_t n, koe_str name)
{
    for (size_t i = 0; i < n; i++)
        if (koe_str_eq(attr[i].name, name)) return true;
    return false;
}

/* The attributes of a node, or a function's defaults. */
static koe_status read_attrs(koe_reader *r, koe_wire w, uint32_t field, size_t n, const koe_onnx_attr **out)
{
    enum { MAX_ATTR = 1024 };
    koe_onnx_attr *attr = NULL;
    size_t i = 0;
    if (n > MAX_ATTR) return koe_fail(r->err, KOE_E_LIMIT, "%zu attributes, at most %d are supported", n, MAX_ATTR);
    koe_status st = NEW_ARRAY(r, attr, n);
    FOR_EACH_MESSAGE(message, field, w, st, r)
    {
        st = read_attr(r, message, &attr[i]);
        if (st == KOE_OK && has_attr(attr, i, attr[i].name))
            st = koe_fail(r->err, KOE_E_FORMAT, "two attributes '%.*s'", KOE_NAME_ARG(attr[i].name));
        i++;
    }
    *out = attr;
    return st;
}

/* ---- nodes --------------------------------------------------------------------------------------------------------------- */

/* NodeProto's fields. */
enum { NODE_IN = 1, NODE_OUT = 2, NODE_NAME = 3, NODE_OP_TYPE = 4, NODE_ATTR = 5, NODE_DOMAIN = 7 };

static koe_status read_node(koe_reader *r, koe_wire w, koe_onnx_node *node)
{
    size_t count[KOE_WIRE_COUNTED];
    koe_status st = koe_wire_count(w, count, r->err);
    koe_wire again = w;
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        if (f.number == NODE_NAME) st = koe_wire_as_str(&f, &node->name, r->err);
        if (f.number == NODE_OP_TYPE) st = koe_wire_as_str(&f, &node->op_type, r->err);
        if (f.number == NODE_DOMAIN) st = read_domain(r, &f, &node->domain);
    }
    if (st == KOE_OK && !node->op_type.n) st = koe_fail(r->err, KOE_E_FORMAT, "it names no operator");
    if (st != KOE_OK) return st;
    node->n_in = count[NODE_IN];
    node->n_out = count[NODE_OUT];
    node->n_attr = count[NODE_ATTR];
    st = read_strings(r, again, NODE_IN, node->n_in, &node->in);
    if (st == KOE_OK) st = read_strings(r, again, NODE_OUT, node->n_out, &node->out);
    if (st == KOE_OK) st = read_attrs(r, again, NODE_ATTR, node->n_attr, &node->attr);
    return st;
}

static koe_status read_nodes(koe_reader *r, koe_wire w, uint32_t field, size_t n, const koe_onnx_node **out)
{
    koe_onnx_node *node = NULL;
    size_t i = 0;
    koe_status st = NEW_ARRAY(r, node, n);
    FOR_EACH_MESSAGE(message, field, w, st, r)
    {
        st = read_node(r, message, &node[i]);
        if (st != KOE_OK)
            st = koe_error_wrap(r->err, st, "node %zu '%.*s' (%.*s)", i, KOE_NAME_ARG(node[i].name),
                                KOE_NAME_ARG(node[i].op_type));
        i++;
    }
    *out = node;
    return st;
}

/* ---- declared inputs and outputs ----------------------------------------------------------------------------------------- */

/* TensorShapeProto.Dimension: field 1 a number, field 2 a symbol, or neither. */
static koe_status read_dim(koe_reader *r, koe_wire w, int64_t *dim, koe_str *param)
{
    koe_status st = KOE_OK;
    *dim = -1;
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        if (f.number == 1) st = koe_wire_as_int(&f, dim, r->err);
        if (f.number == 2) st = koe_wire_as_str(&f, param, r->err);
    }
    if (*dim < 0) *dim = -1; /* some exporters write -1 for "not fixed" */
    return st;
}

static koe_status read_shape(koe_reader *r, koe_wire w, koe_onnx_value *v)
{
    koe_status st = KOE_OK;
    v->n_dim = 0;
    FOR_EACH_MESSAGE(dim, 1, w, st, r)
    {
        if (v->n_dim == KOE_MAX_DIM) return koe_fail(r->err, KOE_E_LIMIT, "more than the supported %d dimensions", KOE_MAX_DIM);
        st = read_dim(r, dim, &v->dim[v->n_dim], &v->dim_param[v->n_dim]);
        v->n_dim++;
    }
    return st;
}

/* TypeProto.Tensor: field 1 element type, field 2 shape. */
static koe_status read_tensor_type(koe_reader *r, koe_wire w, koe_onnx_value *v)
{
    koe_status st = KOE_OK;
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        koe_wire shape = { 0 };
        int64_t type = 0;
        if (f.number == 1) {
            st = koe_wire_as_int(&f, &type, r->err);
            if (st == KOE_OK && (type < 0 || type > 255)) st = koe_fail(r->err, KOE_E_FORMAT, "element type %" PRId64, type);
            v->dtype = (koe_dtype)type;
        } else if (f.number == 2) {
            st = koe_wire_as_message(&f, &shape, r->err);
            if (st == KOE_OK) st = read_shape(r, shape, v);
        }
    }
    return st;
}

/* TypeProto. Its element type and shape are those of the innermost tensor; its kind is that of the outermost type. */
static koe_status read_type(koe_reader *r, koe_wire w, koe_onnx_value *v, int depth)
{
    enum { TENSOR = 1, SEQUENCE = 4, OPTIONAL = 9, ELEMENT = 1 };
    koe_status st = KOE_OK;
    if (depth == MAX_TYPE_DEPTH) return koe_fail(r->err, KOE_E_LIMIT, "a type nested more than %d deep", MAX_TYPE_DEPTH);
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        koe_wire inner = { 0 };
        if (f.number != TENSOR && f.number != SEQUENCE && f.number != OPTIONAL) continue;
        if (depth == 0)
            v->kind = f.number == TENSOR ? KOE_ONNX_TENSOR : f.number == SEQUENCE ? KOE_ONNX_SEQUENCE : KOE_ONNX_OPTIONAL;
        st = koe_wire_as_message(&f, &inner, r->err);
        if (st == KOE_OK && f.number == TENSOR) {
            st = read_tensor_type(r, inner, v);
            continue;
        }
        FOR_EACH_MESSAGE(element, ELEMENT, inner, st, r) st = read_type(r, element, v, depth + 1);
    }
    return st;
}

/* ValueInfoProto: field 1 name, field 2 type. */
static koe_status read_value(koe_reader *r, koe_wire w, koe_onnx_value *v)
{
    koe_status st = KOE_OK;
    v->n_dim = -1;
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        koe_wire type = { 0 };
        if (f.number == 1) st = koe_wire_as_str(&f, &v->name, r->err);
        if (f.number != 2) continue;
        st = koe_wire_as_message(&f, &type, r->err);
        if (st == KOE_OK) st = read_type(r, type, v, 0);
    }
    if (st == KOE_OK && !v->name.n) st = koe_fail(r->err, KOE_E_FORMAT, "it has no name");
    return st;
}

static koe_status read_values(koe_reader *r, koe_wire w, uint32_t field, size_t n, const koe_onnx_value **out)
{
    koe_onnx_value *v = NULL;
    size_t i = 0;
    koe_status st = NEW_ARRAY(r, v, n);
    FOR_EACH_MESSAGE(message, field, w, st, r)
    {
        st = read_value(r, message, &v[i]);
        if (st != KOE_OK) st = koe_error_wrap(r->err, st, "the graph's input or output '%.*s'", KOE_NAME_ARG(v[i].name));
        i++;
    }
    *out = v;
    return st;
}

/* ---- graphs -------------------------------------------------------------------------------------------------------------- */

/* GraphProto's fields. */
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_IN = 11, GRAPH_OUT = 12, GRAPH_SPARSE = 15 };

static koe_status read_initializers(koe_reader *r, koe_wire w, size_t n, const koe_onnx_initializer **out)
{
    koe_onnx_initializer *init = NULL;
    size_t i = 0;
    koe_status st = NEW_ARRAY(r, init, n);
    FOR_EACH_MESSAGE(message, GRAPH_INITIALIZER, w, st, r)
    {
        st = koe_read_tensor(r, message, &init[i].t, &init[i].name);
        if (st == KOE_OK && !init[i].name.n) st = koe_fail(r->err, KOE_E_FORMAT, "initializer %zu has no name", i);
        i++;
    }
    *out = init;
    return st;
}

/* A name that is given a value; hashed, so that sorting seldom compares text. */
typedef struct definition {
    uint64_t hash;
    koe_str name;
    enum { BY_INPUT, BY_INITIALIZER, BY_NODE } by;
} definition;

static int compare_definitions(const void *a, const void *b)
{
    const definition *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    if (x->name.n != y->name.n) return x->name.n < y->name.n ? -1 : 1;
    int c = x->name.n ? memcmp(x->name.p, y->name.p, x->name.n) : 0;
    return c ? c : (int)x->by - (int)y->by;
}

/* Every name must be defined once; only an input may share its name with an initialiser, which is then its default. Sorted rather
 * than kept in a hash table: no input makes this slow. */
static koe_status check_names(koe_reader *r, const koe_onnx_node *node, size_t n_node, const koe_onnx_initializer *init,
                              size_t n_init, const koe_str *in, size_t n_in)
{
    size_t n = 0, cap = n_init + n_in;
    for (size_t i = 0; i < n_node; i++) cap += node[i].n_out;
    if (cap == 0) return KOE_OK;
    definition *list = calloc(cap, sizeof *list);
    if (!list) return koe_fail(r->err, KOE_E_NOMEM, "%zu names", cap);
    for (size_t i = 0; i < n_in; i++) list[n++] = (definition){ .name = in[i], .by = BY_INPUT };
    for (size_t i = 0; i < n_init; i++) list[n++] = (definition){ .name = init[i].name, .by = BY_INITIALIZER };
    for (size_t i = 0; i < n_node; i++)
        for (size_t k = 0; k < node[i].n_out; k++)
            if (node[i].out[k].n) list[n++] = (definition){ .name = node[i].out[k], .by = BY_NODE };
    for (size_t i = 0; i < n; i++) list[i].hash = koe_str_hash(list[i].name);
    qsort(list, n, sizeof *list, compare_definitions);
    koe_status st = KOE_OK;
    for (size_t i = 1; i < n && st == KOE_OK; i++) {
        const definition *d = &list[i - 1], *e = &list[i];
        bool is_default = d->by == BY_INPUT && e->by == BY_INITIALIZER;
        if (!is_default && d->hash == e->hash && koe_str_eq(d->name, e->name))
            st = koe_fail(r->err, KOE_E_FORMAT, "'%.*s' is defined twice", KOE_NAME_ARG(d->name));
    }
    free(list);
    return st;
}

static koe_status check_graph_names(koe_reader *r, const koe_onnx_graph *g)
{
    koe_str *in = NULL;
    koe_status st = NEW_ARRAY(r, in, g->n_in);
    if (st != KOE_OK) return st;
    for (size_t i = 0; i < g->n_in; i++) in[i] = g->in[i].name;
    return check_names(r, g->node, g->n_node, g->initializer, g->n_initializer, in, g->n_in);
}

static koe_status read_graph(koe_reader *r, koe_wire w, koe_onnx_graph *g)
{
    size_t count[KOE_WIRE_COUNTED];
    koe_status st = koe_wire_count(w, count, r->err);
    koe_wire again = w;
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        if (f.number == GRAPH_NAME) st = koe_wire_as_str(&f, &g->name, r->err);
        if (f.number == GRAPH_SPARSE) st = koe_fail(r->err, KOE_E_UNSUPPORTED, "a sparse initializer; only dense ones are read");
    }
    if (st != KOE_OK) return st;
    g->n_node = count[GRAPH_NODE];
    g->n_initializer = count[GRAPH_INITIALIZER];
    g->n_in = count[GRAPH_IN];
    g->n_out = count[GRAPH_OUT];
    st = read_nodes(r, again, GRAPH_NODE, g->n_node, &g->node);
    if (st == KOE_OK) st = read_initializers(r, again, g->n_initializer, &g->initializer);
    if (st == KOE_OK) st = read_values(r, again, GRAPH_IN, g->n_in, &g->in);
    if (st == KOE_OK) st = read_values(r, again, GRAPH_OUT, g->n_out, &g->out);
    if (st == KOE_OK) st = check_graph_names(r, g);
    return st;
}

/* ---- the model ----------------------------------------------------------------------------------------------------------- */

/* Repeated OperatorSetIdProto: field 1 domain, field 2 version. */
static koe_status read_opsets(koe_reader *r, koe_wire w, uint32_t field, size_t n, const koe_onnx_opset **out)
{
    koe_onnx_opset *opset = NULL;
    size_t i = 0;
    koe_status st = NEW_ARRAY(r, opset, n);
    FOR_EACH_MESSAGE(message, field, w, st, r)
    {
        FOR_EACH_FIELD(o, message, st, r->err)
        {
            if (o.number == 1) st = read_domain(r, &o, &opset[i].domain);
            if (o.number == 2) st = koe_wire_as_int(&o, &opset[i].version, r->err);
        }
        i++;
    }
    *out = opset;
    return st;
}

static koe_status check_opsets(koe_reader *r, const koe_onnx_opset *opset, size_t n)
{
    enum { MAX_OPSETS = 256 };
    if (n == 0) return koe_fail(r->err, KOE_E_FORMAT, "it does not say which operator set it is written for");
    if (n > MAX_OPSETS) return koe_fail(r->err, KOE_E_LIMIT, "it imports %zu operator sets", n);
    for (size_t i = 0; i < n; i++) {
        if (!opset[i].domain.n && (opset[i].version < KOE_ONNX_OPSET_MIN || opset[i].version > KOE_ONNX_OPSET_MAX))
            return koe_fail(r->err, KOE_E_UNSUPPORTED, "it is written for ONNX opset %" PRId64 "; koe reads opsets %d to %d",
                            opset[i].version, KOE_ONNX_OPSET_MIN, KOE_ONNX_OPSET_MAX);
        for (size_t k = 0; k < i; k++)
            if (koe_str_eq(opset[i].domain, opset[k].domain) && opset[i].version != opset[k].version)
                return koe_fail(r->err, KOE_E_FORMAT, "it imports two versions of the operators of '%.*s'",
                                KOE_NAME_ARG(opset[i].domain));
    }
    return KOE_OK;
}

/* Repeated StringStringEntryProto: field 1 key, field 2 value. */
static koe_status read_metadata(koe_reader *r, koe_wire w, uint32_t field, size_t n, const koe_onnx_metadata **out)
{
    koe_onnx_metadata *metadata = NULL;
    size_t i = 0;
    koe_status st = NEW_ARRAY(r, metadata, n);
    FOR_EACH_MESSAGE(message, field, w, st, r)
    {
        FOR_EACH_FIELD(m, message, st, r->err)
        {
            if (m.number == 1) st = koe_wire_as_str(&m, &metadata[i].key, r->err);
            if (m.number == 2) st = koe_wire_as_str(&m, &metadata[i].value, r->err);
        }
        i++;
    }
    *out = metadata;
    return st;
}

static koe_status read_function(koe_reader *r, koe_wire w, koe_onnx_function *fn)
{
    enum { NAME = 1, IN = 4, OUT = 5, ATTR = 6, NODE = 7, OPSET = 9, DOMAIN = 10, DEFAULT_ATTR = 11 };
    size_t count[KOE_WIRE_COUNTED];
    koe_status st = koe_wire_count(w, count, r->err);
    koe_wire again = w;
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        if (f.number == NAME) st = koe_wire_as_str(&f, &fn->name, r->err);
        if (f.number == DOMAIN) st = read_domain(r, &f, &fn->domain);
    }
    if (st == KOE_OK && !fn->name.n) st = koe_fail(r->err, KOE_E_FORMAT, "it has no name");
    if (st != KOE_OK) return st;
    fn->n_in = count[IN];
    fn->n_out = count[OUT];
    fn->n_attr = count[ATTR];
    fn->n_default_attr = count[DEFAULT_ATTR];
    fn->n_node = count[NODE];
    fn->n_opset = count[OPSET];
    st = read_strings(r, again, IN, fn->n_in, &fn->in);
    if (st == KOE_OK) st = read_strings(r, again, OUT, fn->n_out, &fn->out);
    if (st == KOE_OK) st = read_strings(r, again, ATTR, fn->n_attr, &fn->attr);
    if (st == KOE_OK) st = read_attrs(r, again, DEFAULT_ATTR, fn->n_default_attr, &fn->default_attr);
    if (st == KOE_OK) st = read_nodes(r, again, NODE, fn->n_node, &fn->node);
    if (st == KOE_OK) st = read_opsets(r, again, OPSET, fn->n_opset, &fn->opset);
    if (st == KOE_OK) st = check_opsets(r, fn->opset, fn->n_opset);
    if (st == KOE_OK) st = check_names(r, fn->node, fn->n_node, NULL, 0, fn->in, fn->n_in);
    return st;
}

static koe_status read_functions(koe_reader *r, koe_wire w, uint32_t field, size_t n, const koe_onnx_function **out)
{
    koe_onnx_function *fn = NULL;
    size_t i = 0;
    koe_status st = NEW_ARRAY(r, fn, n);
    FOR_EACH_MESSAGE(message, field, w, st, r)
    {
        st = read_function(r, message, &fn[i]);
        if (st != KOE_OK) st = koe_error_wrap(r->err, st, "function '%.*s'", KOE_NAME_ARG(fn[i].name));
        i++;
    }
    *out = fn;
    return st;
}

static koe_status read_model(koe_reader *r, koe_wire w, koe_onnx_model *m)
{
    enum {
        IR_VERSION = 1,
        PRODUCER = 2,
        PRODUCER_VERSION = 3,
        DOMAIN = 4,
        DOC = 6,
        GRAPH = 7,
        OPSET = 8,
        METADATA = 14,
        FUNCTION = 25
    };
    size_t count[KOE_WIRE_COUNTED];
    koe_status st = koe_wire_count(w, count, r->err);
    koe_wire again = w, graph = { 0 };
    FOR_EACH_FIELD(f, w, st, r->err)
    {
        switch (f.number) {
        case IR_VERSION: st = koe_wire_as_int(&f, &m->ir_version, r->err); break;
        case PRODUCER: st = koe_wire_as_str(&f, &m->producer_name, r->err); break;
        case PRODUCER_VERSION: st = koe_wire_as_str(&f, &m->producer_version, r->err); break;
        case DOMAIN: st = koe_wire_as_str(&f, &m->domain, r->err); break;
        case DOC: st = koe_wire_as_str(&f, &m->doc, r->err); break;
        case GRAPH: st = koe_wire_as_message(&f, &graph, r->err); break;
        default: break;
        }
    }
    if (st != KOE_OK) return st;
    if (count[GRAPH] != 1) return koe_fail(r->err, KOE_E_FORMAT, "it holds %s graph", count[GRAPH] ? "more than one" : "no");
    m->n_opset = count[OPSET];
    m->n_metadata = count[METADATA];
    m->n_function = count[FUNCTION];
    st = read_opsets(r, again, OPSET, m->n_opset, &m->opset);
    if (st == KOE_OK) st = check_opsets(r, m->opset, m->n_opset);
    if (st == KOE_OK) st = read_metadata(r, again, METADATA, m->n_metadata, &m->metadata);
    if (st == KOE_OK) st = read_functions(r, again, FUNCTION, m->n_function, &m->function);
    if (st == KOE_OK) st = read_graph(r, graph, &m->graph);
    return st;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------- */

static koe_status parse(koe_onnx_model *m, const void *bytes, size_t n_bytes, const char *folder, koe_error *err)
{
    koe_error unused = { 0 }; /* messages are rewritten along the way: have somewhere to put them */
    koe_reader r = { .arena = &m->arena, .err = err ? err : &unused, .model = m, .folder = folder };
    koe_status st = read_model(&r, koe_wire_of(bytes, n_bytes), m);
    return st == KOE_OK ? KOE_OK : koe_onnx_sniff(bytes, n_bytes, st, err);
}

koe_status koe_onnx_open_memory(koe_onnx_model **out, const void *bytes, size_t n_bytes, koe_error *err)
{
    koe_onnx_model *m = calloc(1, sizeof *m);
    if (!m) return koe_fail(err, KOE_E_NOMEM, "model");
    koe_status st = parse(m, bytes, n_bytes, NULL, err);
    if (st != KOE_OK) {
        koe_onnx_close(m);
        return st;
    }
    *out = m;
    return KOE_OK;
}

/* malloc()ed: the part of a path before its last slash. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return koe_str_dup(KOE_STR("."));
    return koe_str_dup((koe_str){ path, slash == path ? 1 : (size_t)(slash - path) });
}

koe_status koe_onnx_open(koe_onnx_model **out, const char *path, koe_error *err)
{
    koe_onnx_model *m = calloc(1, sizeof *m);
    char *folder = folder_of(path);
    koe_status st = KOE_OK;
    if (m) m->path = koe_str_dup(koe_str_of(path));
    if (!m || !folder || !m->path) st = koe_fail(err, KOE_E_NOMEM, "model %s", path);
    if (st == KOE_OK) st = koe_file_map(&m->file, path, err);
    if (st == KOE_OK) {
        st = parse(m, m->file.p, m->file.n, folder, err);
        if (st != KOE_OK) koe_error_wrap(err, st, "%s", path);
    }
    free(folder);
    if (st != KOE_OK) {
        koe_onnx_close(m);
        return st;
    }
    *out = m;
    return KOE_OK;
}

void koe_onnx_close(koe_onnx_model *m)
{
    if (!m) return;
    for (size_t i = 0; i < m->n_external; i++) koe_file_unmap(&m->external[i]);
    koe_file_unmap(&m->file);
    koe_arena_free(&m->arena);
    free(m->path);
    free(m);
}

/* ---- .pb files ----------------------------------------------------------------------------------------------------------- */

/* SequenceProto: field 2 element type, field 3 tensors; sequences of other things are not read. */
static koe_status read_sequence(koe_reader *r, koe_wire w, koe_tensor **out, size_t *n_out)
{
    enum { TENSORS = 3, SPARSE = 4, SEQUENCES = 5, MAPS = 6, OPTIONALS = 7 };
    size_t count[KOE_WIRE_COUNTED], i = 0;
    koe_tensor *t = NULL;
    koe_status st = koe_wire_count(w, count, r->err);
    if (st == KOE_OK && (count[SPARSE] || count[SEQUENCES] || count[MAPS] || count[OPTIONALS]))
        st = koe_fail(r->err, KOE_E_UNSUPPORTED, "a sequence of other things than tensors");
    if (st == KOE_OK) st = NEW_ARRAY(r, t, count[TENSORS]);
    FOR_EACH_MESSAGE(message, TENSORS, w, st, r)
    {
        koe_str name;
        st = koe_read_tensor(r, message, &t[i++], &name);
    }
    *out = t;
    *n_out = i;
    return st;
}

koe_status koe_onnx_read_pb(koe_tensor **out, size_t *n_out, bool as_sequence, koe_arena *arena, const char *path, koe_error *err)
{
    koe_mapping file;
    koe_status st = koe_file_map(&file, path, err);
    if (st != KOE_OK) return st;
    koe_error unused = { 0 };
    koe_reader r = { .arena = arena, .err = err ? err : &unused };
    koe_wire w = koe_wire_of(file.p, file.n);
    koe_tensor *t = NULL;
    size_t n = 1;
    if (as_sequence) {
        st = read_sequence(&r, w, &t, &n);
    } else {
        koe_str name;
        st = NEW_ARRAY(&r, t, n);
        if (st == KOE_OK) st = koe_read_tensor(&r, w, t, &name);
    }
    koe_file_unmap(&file);
    if (st != KOE_OK) return koe_error_wrap(err, st, "%s", path);
    *out = t;
    *n_out = n;
    return KOE_OK;
}
