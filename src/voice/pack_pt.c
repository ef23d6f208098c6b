/* pack_pt.c - one tensor out of a PyTorch file. The file is a zip:
 *     PREFIX/data.pkl     a pickle (protocol 2) that says how to rebuild the object
 *     PREFIX/data/KEY     the bytes of storage KEY
 *     PREFIX/byteorder    "little", in newer files
 * A pickle is a program for a stack machine that may call anything. This reader knows only the instructions that torch.save()
 * writes for a tensor or for a dict with one tensor, and instead of calling, it recognises five names:
 *     torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)   a tensor
 *     torch.FloatStorage, HalfStorage, BFloat16Storage, DoubleStorage                         a type of storage
 *     collections.OrderedDict()                                                               a dict
 * Storage is named by a persistent id, ("storage", type, KEY, device, n_elements). Anything else is refused by name. */
#include <inttypes.h>
#include <stdio.h>

#include "voice/pack_read.h"

enum { MAX_PICKLE_BYTES = 1 << 20, MAX_STACK = 256, MAX_MEMO = 4096, MAX_ITEMS = 8192, MAX_TENSORS = 16, MAX_TENSOR_DIM = 4 };

typedef enum value_kind { V_MARK, V_NONE, V_BOOL, V_INT, V_STRING, V_GLOBAL, V_TUPLE, V_DICT, V_STORAGE, V_TENSOR } value_kind;
static const char *const kind_names[] = { "mark", "None", "bool", "int", "string", "name", "tuple", "dict", "storage", "tensor" };

typedef struct value {
    value_kind kind;
    int64_t i; /* V_INT, V_BOOL; V_STORAGE: elements; V_DICT: tensors in it; V_GLOBAL: index of globals[] */
    koe_str s; /* V_STRING; V_STORAGE: its key */
    size_t at, n; /* V_TUPLE: items in the pool; V_DICT: its last tensor; V_TENSOR: index of tensor[] */
    koe_dtype dtype; /* V_STORAGE */
} value;

typedef struct pt_tensor {
    koe_dtype dtype;
    koe_str key;
    int64_t n_elements, offset; /* of the storage; where the tensor begins in it */
    int n_dim;
    int64_t dim[MAX_TENSOR_DIM], stride[MAX_TENSOR_DIM];
} pt_tensor;

typedef struct unpickler {
    const unsigned char *p;
    size_t n, at;
    value stack[MAX_STACK], memo[MAX_MEMO], item[MAX_ITEMS];
    bool memo_set[MAX_MEMO];
    size_t n_stack, n_item;
    pt_tensor tensor[MAX_TENSORS];
    size_t n_tensor;
    const char *what;
    koe_error *err;
} unpickler;

enum { GLOBAL_REBUILD, GLOBAL_ORDERED_DICT, GLOBAL_STORAGE };
static const struct {
    const char *module, *name;
    int role;
    koe_dtype dtype;
} globals[] = {
    { "torch._utils", "_rebuild_tensor_v2", GLOBAL_REBUILD, KOE_DTYPE_NONE },
    { "collections", "OrderedDict", GLOBAL_ORDERED_DICT, KOE_DTYPE_NONE },
    { "torch", "FloatStorage", GLOBAL_STORAGE, KOE_DTYPE_F32 },
    { "torch", "HalfStorage", GLOBAL_STORAGE, KOE_DTYPE_F16 },
    { "torch", "BFloat16Storage", GLOBAL_STORAGE, KOE_DTYPE_BF16 },
    { "torch", "DoubleStorage", GLOBAL_STORAGE, KOE_DTYPE_F64 },
};

static koe_status bad(unpickler *u, const char *why)
{
    return koe_fail(u->err, KOE_E_FORMAT, "%s: pickle, byte %zu: %s", u->what, u->at, why);
}

static koe_status push(unpickler *u, value v)
{
    if (u->n_stack == MAX_STACK) return bad(u, "the stack is full");
    u->stack[u->n_stack++] = v;
    return KOE_OK;
}

/* The topmost value, which must be of this kind; NULL and a message otherwise. */
static value *pop(unpickler *u, value_kind kind)
{
    if (u->n_stack == 0) {
        bad(u, "the stack is empty");
        return NULL;
    }
    value *v = &u->stack[--u->n_stack];
    if (v->kind == kind) return v;
    koe_fail(u->err, KOE_E_FORMAT, "%s: pickle, byte %zu: a %s where a %s belongs", u->what, u->at, kind_names[v->kind],
             kind_names[kind]);
    return NULL;
}

/* n little-endian bytes. */
static koe_status read_uint(unpickler *u, uint64_t *out, size_t n)
{
    if (u->n - u->at < n) return bad(u, "cut short");
    *out = 0;
    for (size_t i = 0; i < n; i++) *out |= (uint64_t)u->p[u->at + i] << 8 * i;
    u->at += n;
    return KOE_OK;
}

static koe_status read_bytes(unpickler *u, koe_str *out, uint64_t n)
{
    if (u->n - u->at < n) return bad(u, "cut short");
    *out = (koe_str){ (const char *)u->p + u->at, (size_t)n };
    u->at += (size_t)n;
    return KOE_OK;
}

static koe_status read_line(unpickler *u, koe_str *out)
{
    const unsigned char *end = memchr(u->p + u->at, '\n', u->n - u->at);
    if (!end) return bad(u, "a line without an end");
    koe_status st = read_bytes(u, out, (uint64_t)(end - (u->p + u->at)));
    u->at++;
    return st;
}

static koe_status push_global(unpickler *u)
{
    koe_str module = { 0 }, name = { 0 };
    koe_status st = read_line(u, &module);
    if (st == KOE_OK) st = read_line(u, &name);
    if (st != KOE_OK) return st;
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (koe_str_is(module, globals[i].module) && koe_str_is(name, globals[i].name))
            return push(u, (value){ .kind = V_GLOBAL, .i = (int64_t)i });
    return koe_fail(u->err, KOE_E_UNSUPPORTED, "%s asks for %.*s.%.*s; only tensors of numbers are read from PyTorch files",
                    u->what, (int)(module.n < 80 ? module.n : 80), module.p, (int)(name.n < 80 ? name.n : 80), name.p);
}

/* Moves the values above stack[from] to the pool. */
static koe_status push_tuple(unpickler *u, size_t from, size_t resume)
{
    size_t n = u->n_stack - from;
    if (MAX_ITEMS - u->n_item < n) return bad(u, "too many values");
    value v = { .kind = V_TUPLE, .at = u->n_item, .n = n };
    memcpy(u->item + u->n_item, u->stack + from, n * sizeof *u->item);
    u->n_item += n;
    u->n_stack = resume;
    return push(u, v);
}

static koe_status find_mark(unpickler *u, size_t *out)
{
    for (size_t i = u->n_stack; i-- > 0;)
        if (u->stack[i].kind == V_MARK) {
            *out = i;
            return KOE_OK;
        }
    return bad(u, "no mark on the stack");
}

static koe_status put_memo(unpickler *u, uint64_t slot)
{
    if (slot >= MAX_MEMO || u->n_stack == 0) return bad(u, "cannot memorise");
    u->memo[slot] = u->stack[u->n_stack - 1];
    u->memo_set[slot] = true;
    return KOE_OK;
}

static koe_status get_memo(unpickler *u, uint64_t slot)
{
    if (slot >= MAX_MEMO || !u->memo_set[slot]) return bad(u, "nothing was memorised there");
    return push(u, u->memo[slot]);
}

static koe_status push_storage(unpickler *u)
{
    const value *t = pop(u, V_TUPLE);
    if (!t) return KOE_E_FORMAT;
    const value *item = &u->item[t->at];
    if (t->n != 5 || item[0].kind != V_STRING || !koe_str_is(item[0].s, "storage") || item[1].kind != V_GLOBAL ||
        globals[item[1].i].role != GLOBAL_STORAGE || item[2].kind != V_STRING || item[4].kind != V_INT)
        return bad(u, "an unknown kind of persistent id");
    return push(u, (value){ .kind = V_STORAGE, .s = item[2].s, .i = item[4].i, .dtype = globals[item[1].i].dtype });
}

static koe_status read_ints(unpickler *u, int64_t *out, int *n, const value *tuple)
{
    if (tuple->kind != V_TUPLE || tuple->n > MAX_TENSOR_DIM) return bad(u, "a size that is no tuple of up to 4 numbers");
    for (size_t i = 0; i < tuple->n; i++) {
        const value *v = &u->item[tuple->at + i];
        if (v->kind != V_INT || v->i < 0) return bad(u, "a size that is not a number");
        out[i] = v->i;
    }
    *n = (int)tuple->n;
    return KOE_OK;
}

static koe_status push_tensor(unpickler *u, const value *args)
{
    const value *a = &u->item[args->at];
    if (args->n < 4 || a[0].kind != V_STORAGE || a[1].kind != V_INT || a[1].i < 0)
        return bad(u, "_rebuild_tensor_v2 with other arguments");
    if (u->n_tensor == MAX_TENSORS) return bad(u, "too many tensors");
    pt_tensor *t = &u->tensor[u->n_tensor];
    *t = (pt_tensor){ .dtype = a[0].dtype, .key = a[0].s, .n_elements = a[0].i, .offset = a[1].i };
    int n_stride = 0;
    koe_status st = read_ints(u, t->dim, &t->n_dim, &a[2]);
    if (st == KOE_OK) st = read_ints(u, t->stride, &n_stride, &a[3]);
    if (st == KOE_OK && n_stride != t->n_dim) st = bad(u, "as many strides as dimensions are needed");
    return st == KOE_OK ? push(u, (value){ .kind = V_TENSOR, .at = u->n_tensor++ }) : st;
}

static koe_status reduce(unpickler *u)
{
    const value *args = pop(u, V_TUPLE);
    const value *callee = args ? pop(u, V_GLOBAL) : NULL;
    if (!callee) return KOE_E_FORMAT;
    value a = *args;
    switch (globals[callee->i].role) {
    case GLOBAL_REBUILD: return push_tensor(u, &a);
    case GLOBAL_ORDERED_DICT: return a.n == 0 ? push(u, (value){ .kind = V_DICT }) : bad(u, "an OrderedDict with arguments");
    default: return bad(u, "a storage type is called");
    }
}

/* Key and value pairs above stack[from] go into the dict below `from` (below the mark, when there is one). */
static koe_status set_items(unpickler *u, size_t from, size_t dict_top)
{
    if (dict_top == 0 || u->stack[dict_top - 1].kind != V_DICT || (u->n_stack - from) % 2 != 0)
        return bad(u, "no dict to put items in");
    value *dict = &u->stack[dict_top - 1];
    for (size_t i = from; i < u->n_stack; i += 2)
        if (u->stack[i + 1].kind == V_TENSOR) {
            dict->i++;
            dict->at = u->stack[i + 1].at;
        }
    u->n_stack = dict_top;
    return KOE_OK;
}

static koe_status push_int(unpickler *u, size_t n_bytes)
{
    uint64_t v = 0;
    koe_status st = read_uint(u, &v, n_bytes);
    if (st != KOE_OK) return st;
    return push(u, (value){ .kind = V_INT, .i = n_bytes == 4 ? (int32_t)(uint32_t)v : (int64_t)v });
}

/* LONG1: a byte of length, then two's complement. */
static koe_status push_long(unpickler *u)
{
    uint64_t n = 0, v = 0;
    koe_status st = read_uint(u, &n, 1);
    if (st == KOE_OK && n > 8) st = bad(u, "a number of more than 64 bits");
    if (st == KOE_OK) st = read_uint(u, &v, (size_t)n);
    if (st != KOE_OK) return st;
    if (n > 0 && n < 8 && v >> (8 * n - 1)) v |= UINT64_MAX << 8 * n;
    return push(u, (value){ .kind = V_INT, .i = (int64_t)v });
}

static koe_status push_string(unpickler *u, size_t length_bytes)
{
    uint64_t n = 0;
    value v = { .kind = V_STRING };
    koe_status st = read_uint(u, &n, length_bytes);
    if (st == KOE_OK) st = read_bytes(u, &v.s, n);
    return st == KOE_OK ? push(u, v) : st;
}

static koe_status tuple_of(unpickler *u, size_t n)
{
    if (u->n_stack < n) return bad(u, "the stack is empty");
    return push_tuple(u, u->n_stack - n, u->n_stack - n);
}

static koe_status at_mark(unpickler *u, bool is_tuple)
{
    size_t mark = 0;
    koe_status st = find_mark(u, &mark);
    if (st != KOE_OK) return st;
    return is_tuple ? push_tuple(u, mark + 1, mark) : set_items(u, mark + 1, mark);
}

static koe_status memo_op(unpickler *u, koe_status (*op)(unpickler *, uint64_t), size_t n_bytes)
{
    uint64_t slot = 0;
    koe_status st = read_uint(u, &slot, n_bytes);
    return st == KOE_OK ? op(u, slot) : st;
}

static koe_status protocol(unpickler *u)
{
    uint64_t version = 0;
    koe_status st = read_uint(u, &version, 1);
    return st == KOE_OK && version != 2 ? bad(u, "only protocol 2 is read, as torch.save() writes it") : st;
}

static koe_status step(unpickler *u, unsigned char op)
{
    switch (op) {
    case 0x80: return protocol(u);
    case '(': return push(u, (value){ .kind = V_MARK });
    case 'c': return push_global(u);
    case 'q': return memo_op(u, put_memo, 1);
    case 'r': return memo_op(u, put_memo, 4);
    case 'h': return memo_op(u, get_memo, 1);
    case 'j': return memo_op(u, get_memo, 4);
    case 'X': return push_string(u, 4);
    case 'K': return push_int(u, 1);
    case 'M': return push_int(u, 2);
    case 'J': return push_int(u, 4);
    case 0x8a: return push_long(u);
    case 'N': return push(u, (value){ .kind = V_NONE });
    case 0x88:
    case 0x89: return push(u, (value){ .kind = V_BOOL, .i = op == 0x88 });
    case ')': return tuple_of(u, 0);
    case 0x85: return tuple_of(u, 1);
    case 0x86: return tuple_of(u, 2);
    case 0x87: return tuple_of(u, 3);
    case 't': return at_mark(u, true);
    case '}': return push(u, (value){ .kind = V_DICT });
    case 's': return u->n_stack < 2 ? bad(u, "the stack is empty") : set_items(u, u->n_stack - 2, u->n_stack - 2);
    case 'u': return at_mark(u, false);
    case 'Q': return push_storage(u);
    case 'R': return reduce(u);
    default:
        return koe_fail(u->err, KOE_E_UNSUPPORTED,
                        "%s: pickle, byte %zu: instruction 0x%02x is not one that torch.save() uses for a tensor", u->what,
                        u->at - 1, op);
    }
}

/* Runs to STOP; the tensor, or the only tensor of the dict, that is left on the stack. */
static koe_status unpickle(unpickler *u, const pt_tensor **out)
{
    koe_status st = KOE_OK;
    for (;;) {
        if (u->at == u->n) return bad(u, "cut short");
        unsigned char op = u->p[u->at++];
        if (op == '.') break;
        if ((st = step(u, op)) != KOE_OK) return st;
    }
    const value *top = u->n_stack == 1 ? &u->stack[0] : NULL;
    if (top && (top->kind == V_TENSOR || (top->kind == V_DICT && top->i == 1))) {
        *out = &u->tensor[top->at];
        return KOE_OK;
    }
    return koe_fail(u->err, KOE_E_FORMAT, "%s holds %s; a voice is one tensor, or a dict with one", u->what,
                    top ? kind_names[top->kind] : "several values");
}

/* Elements that the tensor reaches into its storage; KOE_E_FORMAT when it reaches beyond. */
static koe_status check_layout(const pt_tensor *t, size_t *n_bytes, const char *what, koe_error *err)
{
    int64_t last = t->offset, step_n;
    koe_status st = koe_shape_bytes(n_bytes, t->dtype, t->n_dim, t->dim, err);
    if (st != KOE_OK) return koe_error_wrap(err, st, "%s", what);
    for (int i = 0; i < t->n_dim; i++)
        if (t->dim[i] == 0 || __builtin_mul_overflow(t->dim[i] - 1, t->stride[i], &step_n) ||
            __builtin_add_overflow(last, step_n, &last))
            return koe_fail(err, KOE_E_FORMAT, "%s: dimension %d of %" PRId64 " with stride %" PRId64, what, i, t->dim[i],
                            t->stride[i]);
    if (last >= t->n_elements)
        return koe_fail(err, KOE_E_FORMAT, "%s: the tensor reaches element %" PRId64 " of a storage of %" PRId64, what, last,
                        t->n_elements);
    return KOE_OK;
}

/* Row-major copy of a strided view. */
static void gather(char *out, const char *storage, const pt_tensor *t, size_t elem)
{
    int64_t index[MAX_TENSOR_DIM] = { 0 };
    for (;;) {
        int64_t at = t->offset;
        for (int i = 0; i < t->n_dim; i++) at += index[i] * t->stride[i];
        memcpy(out, storage + (size_t)at * elem, elem);
        out += elem;
        int i = t->n_dim;
        while (i > 0 && ++index[i - 1] == t->dim[i - 1]) index[--i] = 0;
        if (i == 0) return;
    }
}

static koe_status read_tensor(koe_tensor *out, koe_arena *arena, koe_arena *scratch, zip_t *zip, koe_str prefix,
                              const pt_tensor *t, const char *what, koe_error *err)
{
    size_t n_bytes, elem = koe_dtype_size(t->dtype);
    const size_t max_bytes = (size_t)KOE_PACK_MAX_ROWS * KOE_STYLE_DIM * 8;
    koe_status st = check_layout(t, &n_bytes, what, err);
    if (st != KOE_OK) return st;
    if (n_bytes > max_bytes)
        return koe_fail(err, KOE_E_LIMIT, "%s: a tensor of %zu bytes, the limit is %zu", what, n_bytes, max_bytes);
    char name[512];
    int n_name = snprintf(name, sizeof name, "%.*sdata/%.*s", KOE_STR_ARG(prefix), KOE_STR_ARG(t->key));
    zip_int64_t index = n_name > 0 && (size_t)n_name < sizeof name ? zip_name_locate(zip, name, 0) : -1;
    if (index < 0) return koe_fail(err, KOE_E_FORMAT, "%s has no storage %s", what, name);
    koe_str storage;
    st = koe_pack_unzip(&storage, scratch, zip, (uint64_t)index, max_bytes, what, err);
    if (st != KOE_OK) return st;
    if (t->n_elements < 0 || storage.n / elem < (uint64_t)t->n_elements)
        return koe_fail(err, KOE_E_FORMAT, "%s: storage %s has %zu bytes, %" PRId64 " elements of %zu bytes are expected", what,
                        name, storage.n, t->n_elements, elem);
    *out = (koe_tensor){ .dtype = t->dtype, .n_dim = t->n_dim, .data = koe_arena_alloc(arena, n_bytes) };
    if (!out->data) return koe_fail(err, KOE_E_NOMEM, "%s", what);
    memcpy(out->dim, t->dim, (size_t)t->n_dim * sizeof *t->dim);
    gather(out->data, storage.p, t, elem);
    return KOE_OK;
}

static koe_status check_byte_order(koe_arena *scratch, zip_t *zip, koe_str prefix, const char *what, koe_error *err)
{
    char name[512];
    int n = snprintf(name, sizeof name, "%.*sbyteorder", KOE_STR_ARG(prefix));
    zip_int64_t index = n > 0 && (size_t)n < sizeof name ? zip_name_locate(zip, name, 0) : -1;
    if (index < 0) return KOE_OK;
    koe_str order;
    koe_status st = koe_pack_unzip(&order, scratch, zip, (uint64_t)index, 64, what, err);
    if (st != KOE_OK || koe_str_is(koe_str_trim(order), "little")) return st;
    return koe_fail(err, KOE_E_UNSUPPORTED, "%s was written on a big-endian machine", what);
}

koe_status koe_pack_read_pt(koe_tensor *out, koe_arena *arena, zip_t *zip, uint64_t pickle, const char *what, koe_error *err)
{
    koe_arena scratch = { 0 };
    koe_str name = koe_str_of(zip_get_name(zip, pickle, 0)), bytes = { 0 };
    koe_str prefix = koe_str_sub(name, 0, name.n - strlen("data.pkl"));
    unpickler *u = koe_arena_alloc(&scratch, sizeof *u);
    koe_status st = u ? check_byte_order(&scratch, zip, prefix, what, err) : koe_fail(err, KOE_E_NOMEM, "%s", what);
    if (st == KOE_OK) st = koe_pack_unzip(&bytes, &scratch, zip, pickle, MAX_PICKLE_BYTES, what, err);
    if (st == KOE_OK) {
        const pt_tensor *t = NULL;
        u->p = (const unsigned char *)bytes.p;
        u->n = bytes.n;
        u->what = what;
        u->err = err;
        st = unpickle(u, &t);
        if (st == KOE_OK) st = read_tensor(out, arena, &scratch, zip, prefix, t, what, err);
    }
    koe_arena_free(&scratch);
    return st;
}
