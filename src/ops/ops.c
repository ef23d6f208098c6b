/* ops.c - the registry of operators, and what the families share: attributes, broadcasting, axes. */
#include "ops/ops.h"

#include <inttypes.h>

static koe_op_table (*const families[])(void) = {
    koe_ops_unary, koe_ops_activation, koe_ops_binary, koe_ops_compare, koe_ops_cast, koe_ops_cumulative, koe_ops_softmax,
    koe_ops_layer_norm,
    koe_ops_random, koe_ops_shape,  koe_ops_move,  koe_ops_slice, koe_ops_index, koe_ops_select,  koe_ops_sequence,
    koe_ops_resize, koe_ops_grid,      koe_ops_reduce, koe_ops_norm,   koe_ops_pool,  koe_ops_signal, koe_ops_matmul,
    koe_ops_matmul_bytes,
    koe_ops_conv,        koe_ops_rnn,    koe_ops_quant,  koe_ops_quant_matmul, koe_ops_quant_conv, koe_ops_quant_nbits,
    koe_ops_quant_math,  koe_ops_einsum, koe_ops_attention,
    koe_ops_fused, koe_ops_istft, koe_ops_repeat, koe_ops_rest, koe_ops_sweep,    koe_ops_conv_chain,
    koe_ops_control,
};

/* Before opset 7 these took other inputs or attributes (one-sided broadcasting, shapes as attributes, ...), which are not implemented:
 * the first version with today's form. */
static const struct {
    const char *name;
    int since;
} old_forms[] = {
    { "Add", 7 },     { "Sub", 7 },  { "Mul", 7 },  { "Div", 7 },   { "Pow", 7 },  { "And", 7 },       { "Or", 7 },    { "Xor", 7 },
    { "Equal", 7 },   { "Less", 7 }, { "Gemm", 7 }, { "PRelu", 7 }, { "LSTM", 7 }, { "GRU", 7 },       { "RNN", 7 },   { "Greater", 7 },
    { "Dropout", 7 }, { "Cast", 6 }, { "Tile", 6 }, { "Pad", 2 },   { "Split", 2 }, { "Reshape", 5 },  { "LpPool", 2 }, { "Concat", 4 },
    { "GlobalLpPool", 2 }, { "BatchNormalization", 7 }, { "Upsample", 7 },
};

static bool is_old_form(koe_str name, int64_t opset)
{
    for (size_t i = 0; opset < 7 && i < sizeof old_forms / sizeof *old_forms; i++)
        if (koe_str_is(name, old_forms[i].name)) return opset < old_forms[i].since;
    return false;
}

const koe_op *koe_op_find(koe_str domain, koe_str name, int64_t opset)
{
    if (domain.n == 0 && is_old_form(name, opset)) return NULL;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        koe_op_table table = families[f]();
        for (size_t i = 0; i < table.n; i++) {
            const koe_op *op = &table.op[i];
            if (!koe_str_is(name, op->name) || !koe_str_is(domain, op->domain ? op->domain : "")) continue;
            if (opset >= op->since && (op->until == 0 || opset <= op->until)) return op;
        }
    }
    return NULL;
}

const koe_onnx_attr *koe_node_attr(const koe_node *node, const char *name)
{
    for (size_t i = 0; i < node->n_attr; i++)
        if (koe_str_is(node->attr[i].name, name)) return &node->attr[i];
    return NULL;
}

int64_t koe_node_int(const koe_node *node, const char *name, int64_t missing)
{
    const koe_onnx_attr *a = koe_node_attr(node, name);
    return a && a->type == KOE_ATTR_INT ? a->i : missing;
}

float koe_node_float(const koe_node *node, const char *name, float missing)
{
    const koe_onnx_attr *a = koe_node_attr(node, name);
    return a && a->type == KOE_ATTR_FLOAT ? a->f : missing;
}

koe_str koe_node_str(const koe_node *node, const char *name, const char *missing)
{
    const koe_onnx_attr *a = koe_node_attr(node, name);
    return a && a->type == KOE_ATTR_STRING ? a->s : koe_str_of(missing);
}

size_t koe_node_ints(const koe_node *node, const char *name, const int64_t **ints)
{
    const koe_onnx_attr *a = koe_node_attr(node, name);
    bool found = a && a->type == KOE_ATTR_INTS;
    *ints = found ? a->ints : NULL;
    return found ? a->n : 0;
}

koe_status koe_need(const koe_op_ctx *c, int i, const koe_tensor **out, koe_error *err)
{
    *out = koe_in(c, i);
    if (*out) return KOE_OK;
    const char *why = i < c->n_in && c->in[i] && c->in[i]->kind == KOE_VALUE_SEQUENCE ? "a sequence, not a tensor" : "missing";
    return koe_fail(err, KOE_E_FORMAT, "%.*s: input %d is %s", KOE_STR_ARG(c->node->op_type), i, why);
}

koe_status koe_type_error(const koe_op_ctx *c, koe_dtype dtype, koe_error *err)
{
    return koe_fail(err, KOE_E_UNSUPPORTED, "type %s is not supported by %.*s (node %.*s)", koe_dtype_name(dtype),
                    KOE_STR_ARG(c->node->op_type), KOE_STR_ARG(c->node->name));
}

koe_status koe_broadcast(int *n_out, int64_t out[KOE_MAX_DIM], int n_a, const int64_t *a, int n_b, const int64_t *b, koe_error *err)
{
    int n = n_a > n_b ? n_a : n_b;
    int64_t result[KOE_MAX_DIM];
    for (int i = 0; i < n; i++) {
        int ia = i - (n - n_a), ib = i - (n - n_b);
        int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
        if (da != db && da != 1 && db != 1)
            return koe_fail(err, KOE_E_FORMAT, "shapes do not broadcast: dimension %d is %" PRId64 " and %" PRId64, i, da, db);
        result[i] = da == 1 ? db : da;
    }
    memcpy(out, result, sizeof *out * (size_t)n);
    *n_out = n;
    return KOE_OK;
}

void koe_broadcast_strides(int64_t stride[KOE_MAX_DIM], const koe_tensor *t, int n_dim, const int64_t *dim)
{
    int64_t step = 1;
    for (int i = n_dim - 1; i >= 0; i--) {
        int k = i - (n_dim - t->n_dim);
        stride[i] = k < 0 || (t->dim[k] == 1 && dim[i] != 1) ? 0 : step;
        if (k >= 0) step *= t->dim[k];
    }
}

koe_status koe_axis(int *out, int64_t axis, int n_dim, bool end_ok, const koe_node *node, koe_error *err)
{
    int64_t n = n_dim + (end_ok ? 1 : 0);
    if (axis < -n || axis >= n)
        return koe_fail(err, KOE_E_FORMAT, "%.*s: axis %" PRId64 " of a tensor with %d dimensions (node %.*s)",
                        KOE_STR_ARG(node->op_type), axis, n_dim, KOE_STR_ARG(node->name));
    *out = (int)(axis < 0 ? axis + n : axis);
    return KOE_OK;
}

koe_status koe_read_ints(const koe_tensor *t, int64_t *out, size_t cap, size_t *n, koe_error *err)
{
    size_t count = koe_tensor_count(t);
    if (count > cap) return koe_fail(err, KOE_E_LIMIT, "%zu integers where at most %zu are expected", count, cap);
    for (size_t i = 0; i < count; i++) {
        if (t->dtype == KOE_DTYPE_I64) memcpy(&out[i], (const char *)t->data + 8 * i, 8);
        else if (t->dtype == KOE_DTYPE_I32) {
            int32_t v;
            memcpy(&v, (const char *)t->data + 4 * i, 4);
            out[i] = v;
        } else
            return koe_fail(err, KOE_E_FORMAT, "integers expected, got %s", koe_dtype_name(t->dtype));
    }
    *n = count;
    return KOE_OK;
}
