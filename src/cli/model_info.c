/* model_info.c - koe model info: what a model file is and what it needs. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "cli/cli.h"
#include "cli/model.h"

/* How often an operator occurs, subgraphs and function bodies included. */
typedef struct op_count {
    koe_str domain, name;
    size_t n;
    bool supported;
} op_count;

typedef struct op_counts {
    op_count *item;
    size_t n, cap, n_nodes;
    bool failed; /* out of memory */
} op_counts;

static bool has_function(const koe_onnx_model *m, koe_str domain, koe_str name)
{
    for (size_t i = 0; i < m->n_function; i++)
        if (koe_str_eq(m->function[i].domain, domain) && koe_str_eq(m->function[i].name, name)) return true;
    return false;
}

static int64_t opset_of(const koe_onnx_model *m, koe_str domain)
{
    for (size_t i = 0; i < m->n_opset; i++)
        if (koe_str_eq(m->opset[i].domain, domain)) return m->opset[i].version;
    return 1;
}

static void count_node(op_counts *c, const koe_onnx_model *m, const koe_onnx_node *node)
{
    c->n_nodes++;
    for (size_t i = 0; i < c->n; i++)
        if (koe_str_eq(c->item[i].name, node->op_type) && koe_str_eq(c->item[i].domain, node->domain)) {
            c->item[i].n++;
            return;
        }
    if (c->n == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 32;
        op_count *item = reallocarray(c->item, cap, sizeof *item);
        if (!item) {
            c->failed = true;
            return;
        }
        c->item = item;
        c->cap = cap;
    }
    const bool supported = has_function(m, node->domain, node->op_type) ||
                           koe_op_find(node->domain, node->op_type, opset_of(m, node->domain)) != NULL;
    c->item[c->n++] = (op_count){ node->domain, node->op_type, 1, supported };
}

static void count_nodes(op_counts *c, const koe_onnx_model *m, const koe_onnx_node *node, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        count_node(c, m, &node[i]);
        for (size_t k = 0; k < node[i].n_attr; k++)
            if (node[i].attr[k].type == KOE_ATTR_GRAPH && node[i].attr[k].g)
                count_nodes(c, m, node[i].attr[k].g->node, node[i].attr[k].g->n_node);
    }
}

static int by_count(const void *a, const void *b)
{
    const op_count *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? 1 : -1;
    const size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    const int order = memcmp(x->name.p, y->name.p, n);
    return order ? order : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

static koe_status count_ops(op_counts *c, const koe_onnx_model *m, koe_error *err)
{
    count_nodes(c, m, m->graph.node, m->graph.n_node);
    for (size_t i = 0; i < m->n_function; i++) count_nodes(c, m, m->function[i].node, m->function[i].n_node);
    if (c->failed) return koe_fail(err, KOE_E_NOMEM, "operators of the model");
    if (c->n) qsort(c->item, c->n, sizeof *c->item, by_count);
    return KOE_OK;
}

static bool has_input(const koe_onnx_model *m, const char *name)
{
    for (size_t i = 0; i < m->graph.n_in; i++)
        if (koe_str_is(m->graph.in[i].name, name)) return true;
    return false;
}

/* What family of voice model the inputs are those of. */
static const char *kind_of(const koe_onnx_model *m)
{
    if (has_input(m, "style") && (has_input(m, "tokens") || has_input(m, "input_ids"))) return "kokoro";
    if (has_input(m, "input") && has_input(m, "input_lengths") && has_input(m, "scales")) return "piper";
    return "unknown";
}

/* Initialisers listed as graph inputs too (IR version 3) are weights, not inputs. */
static bool is_input(const koe_onnx_model *m, const koe_onnx_value *v)
{
    for (size_t i = 0; i < m->graph.n_initializer; i++)
        if (koe_str_eq(m->graph.initializer[i].name, v->name)) return false;
    return true;
}

/* ---- as text ----------------------------------------------------------------------------------------------------- */

static void print_values(const char *what, const koe_onnx_model *m, const koe_onnx_value *v, size_t n, bool inputs)
{
    char text[300];
    for (size_t i = 0; i < n; i++)
        if (!inputs || is_input(m, &v[i])) printf("%-10s %s\n", what, koe_declared(&v[i], text, sizeof text));
}

static void print_op(const op_count *o)
{
    printf("  %6zu  %.*s%s%.*s%s\n", o->n, KOE_STR_ARG(o->domain), o->domain.n ? "." : "", KOE_STR_ARG(o->name),
           o->supported ? "" : "   NOT SUPPORTED");
}

/* Metadata can be whole files; a terminal gets the beginning of one line. */
static void print_metadata(const koe_onnx_metadata *d)
{
    const size_t most = 100;
    size_t n = 0;
    while (n < d->value.n && n < most && d->value.p[n] != '\n') n++;
    printf("%-10s %.*s = %.*s%s\n", "metadata", KOE_STR_ARG(d->key), (int)n, n ? d->value.p : "", n < d->value.n ? " ..." : "");
}

static void print_text(const char *path, const koe_onnx_model *m, const op_counts *c)
{
    printf("%-10s %s\n%-10s %s\n", "file", path, "kind", kind_of(m));
    printf("%-10s %.*s %.*s, IR version %" PRId64 "\n", "producer", KOE_STR_ARG(m->producer_name),
           KOE_STR_ARG(m->producer_version), m->ir_version);
    for (size_t i = 0; i < m->n_opset; i++)
        printf("%-10s %.*s %" PRId64 "\n", "opset", KOE_STR_ARG(m->opset[i].domain.n ? m->opset[i].domain : KOE_STR("ai.onnx")),
               m->opset[i].version);
    print_values("input", m, m->graph.in, m->graph.n_in, true);
    print_values("output", m, m->graph.out, m->graph.n_out, false);
    printf("%-10s %zu bytes in %zu initialisers\n", "weights", m->n_weight_bytes, m->graph.n_initializer);
    for (size_t i = 0; i < m->n_metadata; i++) print_metadata(&m->metadata[i]);
    printf("%-10s %zu, %zu operators\n", "nodes", c->n_nodes, c->n);
    for (size_t i = 0; i < c->n; i++) print_op(&c->item[i]);
}

/* ---- as JSON ----------------------------------------------------------------------------------------------------- */

static json_t *json_str(koe_str s)
{
    json_t *j = json_stringn(s.p ? s.p : "", s.n);
    return j ? j : json_string("(not UTF-8)");
}

static json_t *json_values(const koe_onnx_model *m, const koe_onnx_value *v, size_t n, bool inputs)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        if (inputs && !is_input(m, &v[i])) continue;
        json_t *dims = v[i].n_dim < 0 ? json_null() : json_array();
        for (int d = 0; d < v[i].n_dim; d++)
            json_array_append_new(dims, v[i].dim[d] >= 0      ? json_integer(v[i].dim[d])
                                        : v[i].dim_param[d].n ? json_str(v[i].dim_param[d])
                                                              : json_null());
        json_array_append_new(list,
                              json_pack("{s:o, s:s, s:b, s:o}", "name", json_str(v[i].name), "type", koe_dtype_name(v[i].dtype),
                                        "sequence", v[i].kind == KOE_ONNX_SEQUENCE, "shape", dims));
    }
    return list;
}

static koe_status print_json(const char *path, const koe_onnx_model *m, const op_counts *c, koe_error *err)
{
    json_t *opsets = json_object(), *metadata = json_object(), *ops = json_object(), *missing = json_array();
    for (size_t i = 0; i < m->n_opset; i++) {
        const koe_str domain = m->opset[i].domain.n ? m->opset[i].domain : KOE_STR("ai.onnx");
        json_object_setn_new(opsets, domain.p, domain.n, json_integer(m->opset[i].version));
    }
    for (size_t i = 0; i < m->n_metadata; i++)
        json_object_setn_new(metadata, m->metadata[i].key.p ? m->metadata[i].key.p : "", m->metadata[i].key.n,
                             json_str(m->metadata[i].value));
    for (size_t i = 0; i < c->n; i++) {
        koe_buf name = { 0 };
        koe_buf_printf(&name, "%.*s%s%.*s", KOE_STR_ARG(c->item[i].domain), c->item[i].domain.n ? "." : "",
                       KOE_STR_ARG(c->item[i].name));
        if (!name.failed) json_object_setn_new(ops, name.data, name.n, json_integer((json_int_t)c->item[i].n));
        if (!name.failed && !c->item[i].supported) json_array_append_new(missing, json_str(koe_buf_str(&name)));
        koe_buf_free(&name);
    }
    json_t *j =
        json_pack("{s:s, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:I, s:o, s:I, s:o, s:o}", "file", path, "kind", kind_of(m),
                  "producer", json_str(m->producer_name), "producer_version", json_str(m->producer_version), "ir_version",
                  (json_int_t)m->ir_version, "opsets", opsets, "inputs", json_values(m, m->graph.in, m->graph.n_in, true),
                  "outputs", json_values(m, m->graph.out, m->graph.n_out, false), "weight_bytes", (json_int_t)m->n_weight_bytes,
                  "initializers", (json_int_t)m->graph.n_initializer, "metadata", metadata, "nodes", (json_int_t)c->n_nodes,
                  "operators", ops, "unsupported", missing);
    const int failed = j ? json_dumpf(j, stdout, JSON_INDENT(2)) : -1;
    if (!failed) putchar('\n');
    json_decref(j);
    return failed ? koe_fail(err, KOE_E_NOMEM, "%s: cannot be written as JSON", path) : KOE_OK;
}

/* Loads the model as a run would, and says what the passes over its graph did. */
static koe_status print_passes(const char *path, koe_error *err)
{
    koe_loaded l = { 0 };
    const koe_model_options o = { .n_threads = 1 };
    koe_status st = koe_loaded_open(&l, path, &o, err);
    const koe_pass_report *report = NULL;
    const size_t n = st == KOE_OK ? koe_session_passes(l.session, &report) : 0;
    if (st == KOE_OK) printf("passes\n");
    for (size_t i = 0; i < n; i++) printf("  %-8s %6d %s\n", report[i].name, report[i].n, report[i].unit);
    if (st == KOE_OK) printf("  %zu nodes are left to run\n", koe_session_n_nodes(l.session));
    koe_loaded_close(&l);
    return st;
}

static int info(const koe_command_line *line, const char *path, bool json, bool passes)
{
    koe_error err = { 0 };
    koe_onnx_model *m = NULL;
    op_counts c = { 0 };
    koe_status st = koe_onnx_open(&m, path, &err);
    if (st == KOE_OK) st = count_ops(&c, m, &err);
    if (st == KOE_OK && json) st = print_json(path, m, &c, &err);
    else if (st == KOE_OK) print_text(path, m, &c);
    free(c.item);
    koe_onnx_close(m);
    if (st == KOE_OK && passes) st = print_passes(path, &err);
    return st == KOE_OK ? 0 : koe_args_failed(line, &err);
}

int koe_cmd_model_info(int argc, char **argv)
{
    bool json = false, passes = false;
    koe_arg_list words = { 0 };
    const koe_option options[] = { { .name = "json", .help = "one JSON object", .on = &json },
                                   { .name = "passes", .help = "also load it, and tell what the passes over its graph did", .on = &passes } };
    const koe_command_line line = {
        "koe model info", "FILE.onnx [--json] [--passes]",
        "Shows producer, opsets, inputs, outputs, weights and operators, and which of these koe lacks.", options,
        sizeof options / sizeof *options
    };
    const koe_args_result r = koe_args_parse(&line, argc, argv, &words);
    int status = r == KOE_ARGS_HELP ? 0 : 2;
    if (r == KOE_ARGS_OK)
        status = words.n == 1 ? info(&line, words.item[0], json, passes) : koe_args_wrong(&line, "name one model: FILE.onnx");
    koe_args_free(&line, &words);
    return status;
}
