/* proto.h - writes protobuf messages for tests, byte by byte. A message is a koe_buf; adding one to another frees it. */
#ifndef KOE_TEST_PROTO_H
#define KOE_TEST_PROTO_H
#include "base/str.h"

static inline void pb_varint(koe_buf *b, uint64_t v)
{
    for (; v >= 128; v >>= 7) koe_buf_addc(b, (char)(v | 128));
    koe_buf_addc(b, (char)v);
}
static inline void pb_tag(koe_buf *b, uint32_t field, unsigned type) { pb_varint(b, (uint64_t)field << 3 | type); }
static inline void pb_int(koe_buf *b, uint32_t field, int64_t v)
{
    pb_tag(b, field, 0);
    pb_varint(b, (uint64_t)v);
}
static inline void pb_bytes(koe_buf *b, uint32_t field, const void *p, size_t n)
{
    pb_tag(b, field, 2);
    pb_varint(b, n);
    koe_buf_add(b, p, n);
}
static inline void pb_str(koe_buf *b, uint32_t field, const char *s) { pb_bytes(b, field, s, strlen(s)); }
static inline void pb_f32(koe_buf *b, uint32_t field, float v)
{
    pb_tag(b, field, 5);
    koe_buf_add(b, &v, 4);
}
static inline void pb_f64(koe_buf *b, uint32_t field, double v)
{
    pb_tag(b, field, 1);
    koe_buf_add(b, &v, 8);
}
static inline void pb_message(koe_buf *b, uint32_t field, koe_buf message)
{
    pb_bytes(b, field, message.data, message.n);
    koe_buf_free(&message);
}

/* TensorProto without data. */
static inline koe_buf pb_tensor(const char *name, int64_t data_type, int n_dim, const int64_t *dim)
{
    koe_buf t = { 0 };
    for (int i = 0; i < n_dim; i++) pb_int(&t, 1, dim[i]);
    pb_int(&t, 2, data_type);
    pb_str(&t, 8, name);
    return t;
}

/* NodeProto with one input (or none: NULL) and one output. */
static inline koe_buf pb_node(const char *op_type, const char *in, const char *out)
{
    koe_buf n = { 0 };
    if (in) pb_str(&n, 1, in);
    pb_str(&n, 2, out);
    pb_str(&n, 4, op_type);
    return n;
}

/* AttributeProto of a declared type, without value. */
static inline koe_buf pb_attr(const char *name, int64_t type)
{
    koe_buf a = { 0 };
    pb_str(&a, 1, name);
    if (type) pb_int(&a, 20, type);
    return a;
}

/* ValueInfoProto of a tensor; dim -1 is "n". */
static inline koe_buf pb_value(const char *name, int64_t elem_type, int n_dim, const int64_t *dim)
{
    koe_buf shape = { 0 }, tensor = { 0 }, type = { 0 }, v = { 0 };
    for (int i = 0; i < n_dim; i++) {
        koe_buf d = { 0 };
        if (dim[i] < 0) pb_str(&d, 2, "n");
        else pb_int(&d, 1, dim[i]);
        pb_message(&shape, 1, d);
    }
    pb_int(&tensor, 1, elem_type);
    pb_message(&tensor, 2, shape);
    pb_message(&type, 1, tensor);
    pb_str(&v, 1, name);
    pb_message(&v, 2, type);
    return v;
}

/* ModelProto around a GraphProto. */
static inline koe_buf pb_model(koe_buf graph, int64_t opset)
{
    koe_buf m = { 0 }, import = { 0 };
    pb_int(&m, 1, 8);
    pb_message(&m, 7, graph);
    pb_int(&import, 2, opset);
    pb_message(&m, 8, import);
    return m;
}
#endif
