/* Operators, one node at a time: every line of tests/data/ops/NAME.txt is a case; the NAMEs are the program's arguments.
 *
 *     Slice@13 axis=0 mode=edge perm=[1,0] value=f32[1]:3 | i64[3] 1 2 3 | - | {f32[1] 1; f32[1] 2} => i64[2] 1 2 | _
 *     Gather@13 | f32[2] 1 2 | i64[1] 2 => ! outside
 *     com.microsoft.Gelu@1 | f32[] 0 => f32[] 0
 *     RandomNormal@7 shape=[2,3] => f32[2,3] ?
 *     RNN@14 activations=[Relu] ...
 *
 * Operator and opset, attributes, then inputs (- is absent, braces make a sequence); after the arrow the outputs (_ is not
 * wanted, ? leaves the values open), or ! and a part of the error's message. Fewer values than elements repeat. Each case runs
 * with its inputs fed, as the last use of what another node made, and as weights, which folds it; and must leave its inputs as
 * they were. Then again and again with one of its integers replaced by an extreme one: whatever comes of that, it must not crash
 * or hang. */
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node.h"
#include "ops/bytes.h"

typedef struct test_case {
    koe_arena arena;
    node_spec node;
    char op[64];
    koe_value out[NODE_MAX_VALUES]; /* NONE: not wanted; a tensor without data may have any values */
    char error[128]; /* part of the message; empty when the case must succeed */
} test_case;

static const char *where; /* line that is being read or run, for messages */

#define REQUIRE(condition)                                                                                                       \
    do {                                                                                                                         \
        if (!(condition)) fail_msg("%s: %s", #condition, where);                                                                 \
    } while (0)

/* ---- reading --------------------------------------------------------------------------------------------------------- */

static void skip_space(const char **p)
{
    while (**p == ' ') ++*p;
}

static koe_dtype read_dtype(const char **p)
{
    static const struct {
        const char *name;
        koe_dtype dtype;
    } types[] = { { "f32", KOE_DTYPE_F32 },  { "f64", KOE_DTYPE_F64 }, { "f16", KOE_DTYPE_F16 }, { "bf16", KOE_DTYPE_BF16 },
                  { "i64", KOE_DTYPE_I64 },  { "i32", KOE_DTYPE_I32 }, { "i16", KOE_DTYPE_I16 }, { "i8", KOE_DTYPE_I8 },
                  { "u8", KOE_DTYPE_U8 },    { "u16", KOE_DTYPE_U16 }, { "u32", KOE_DTYPE_U32 }, { "u64", KOE_DTYPE_U64 },
                  { "bool", KOE_DTYPE_BOOL } };
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
    size_t n = koe_tensor_count(out), size = koe_dtype_size(out->dtype), given = 0;
    if ((*p)[0] == ' ' && (*p)[1] == '?') {
        *p += 2;
        return;
    }
    char *data = out->data = koe_arena_alloc(&t->arena, n * size + 1);
    for (; given < n; given++) {
        char *end;
        const char *q = *p + strspn(*p, " :,");
        double v = strtod(q, &end);
        if (q == *p || end == q) break;
        koe_elem_put(out->dtype, data + given * size, v);
        if (out->dtype == KOE_DTYPE_I64) ((int64_t *)out->data)[given] = strtoll(q, NULL, 10); /* all of its digits */
        if (out->dtype == KOE_DTYPE_U64) ((uint64_t *)out->data)[given] = strtoull(q, NULL, 10);
        *p = end;
    }
    REQUIRE(given || n == 0);
    for (size_t i = given; i < n; i++) memcpy(data + i * size, data + (i - given) * size, size);
}

static void read_value(test_case *t, const char **p, koe_value *v)
{
    skip_space(p);
    *v = (koe_value){ .kind = KOE_VALUE_NONE };
    if (**p == '-' || **p == '_') ++*p;
    else if (**p == '{') {
        v->kind = KOE_VALUE_SEQUENCE;
        v->item = koe_arena_array(&t->arena, NODE_MAX_VALUES, sizeof *v->item);
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

static void read_strings(test_case *t, const char **p, koe_onnx_attr *a)
{
    koe_str *strings = koe_arena_array(&t->arena, 16, sizeof *strings);
    a->type = KOE_ATTR_STRINGS;
    a->strings = strings;
    for (++*p; **p != ']'; *p += **p == ',', a->n++) {
        size_t n = strcspn(*p, ",]");
        strings[a->n] = koe_arena_str(&t->arena, (koe_str){ *p, n });
        *p += n;
    }
    ++*p;
}

static void read_list(test_case *t, const char **p, koe_onnx_attr *a)
{
    char first = (*p)[1];
    if ((first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z')) {
        read_strings(t, p, a);
        return;
    }
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
    koe_onnx_attr *a = &t->node.attr[t->node.n_attr++];
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
    node_spec *s = &t->node;
    int used = 0;
    REQUIRE(sscanf(p, "%63[^@]@%d%n", t->op, &s->opset, &used) == 2);
    char *dot = strrchr(t->op, '.');
    if (dot) *dot = 0;
    s->op = dot ? dot + 1 : t->op;
    s->domain = dot ? t->op : NULL;
    p += used;
    for (skip_space(&p); *p != '|' && *p != '='; skip_space(&p)) read_attr(t, &p);
    while (*p == '|') {
        p++;
        read_value(t, &p, &s->in[s->n_in++]);
    }
    REQUIRE(strncmp(p, "=>", 2) == 0);
    p += 2;
    skip_space(&p);
    if (*p == '!') {
        snprintf(t->error, sizeof t->error, "%s", p + 2);
        s->n_out = 1;
        return;
    }
    do {
        read_value(t, &p, &t->out[s->n_out]);
        s->unwanted[s->n_out] = t->out[s->n_out].kind == KOE_VALUE_NONE;
        s->n_out++;
    } while (*p++ == '|');
    REQUIRE(p[-1] == 0);
}

/* ---- running --------------------------------------------------------------------------------------------------------- */

/* Integers agree exactly, floats up to the rounding of their type. */
static bool close_to(koe_dtype dtype, double got, double want)
{
    if ((isnan(got) && isnan(want)) || got == want) return true;
    double rtol = dtype == KOE_DTYPE_F16 ? 1e-3 : dtype == KOE_DTYPE_BF16 ? 8e-3 : 5e-6;
    return koe_dtype_is_float(dtype) && fabs(got - want) <= 1e-6 + rtol * fabs(want);
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
    size_t size = koe_dtype_size(want->t.dtype), n = want->t.data ? koe_tensor_count(&want->t) : 0;
    for (size_t i = 0; i < n; i++) {
        double g = koe_elem_get(got->t.dtype, (const char *)got->t.data + i * size),
               w = koe_elem_get(want->t.dtype, (const char *)want->t.data + i * size);
        if (!close_to(want->t.dtype, g, w)) fail_msg("element %zu is %.9g, want %.9g: %s", i, g, w, where);
    }
}

static void run_case(const test_case *t, node_feed feed)
{
    const node_spec *s = &t->node;
    node_result r;
    koe_error err = { 0 };
    koe_arena a = { 0 };
    void *before[NODE_MAX_VALUES] = { NULL };
    for (size_t i = 0; i < s->n_in; i++) {
        size_t n = s->in[i].kind == KOE_VALUE_TENSOR ? koe_tensor_bytes(&s->in[i].t) : 0;
        before[i] = koe_arena_alloc(&a, n + 1);
        if (n) memcpy(before[i], s->in[i].t.data, n);
    }
    koe_status st = node_run(&r, s, feed, NULL, &err);
    if (t->error[0]) {
        if (st == KOE_OK) fail_msg("no error: %s", where);
        if (!strstr(err.message, t->error)) fail_msg("error '%s': %s", err.message, where);
    } else if (st != KOE_OK) fail_msg("%s: %s", err.message, where);
    for (size_t i = 0; i < s->n_out && st == KOE_OK; i++)
        if (!s->unwanted[i]) compare(r.out[i], &t->out[i]);
    for (size_t i = 0; i < s->n_in; i++)
        if (s->in[i].kind == KOE_VALUE_TENSOR && memcmp(before[i], s->in[i].t.data, koe_tensor_bytes(&s->in[i].t)) != 0)
            fail_msg("input %zu was changed: %s", i, where);
    node_result_free(&r);
    koe_arena_free(&a);
}

static void survive(const node_spec *s)
{
    node_result r;
    node_run(&r, s, NODE_BORROWED, NULL, NULL);
    node_result_free(&r);
}

/* Puts every extreme in the place of one integer after the other. */
static void run_extremes(node_spec *s)
{
    static const int64_t extremes[] = { 0,
                                        1,
                                        -1,
                                        9,
                                        -9,
                                        65536,
                                        (int64_t)1 << 31,
                                        -((int64_t)1 << 31),
                                        INT64_MAX,
                                        INT64_MIN,
                                        INT64_MAX / 2,
                                        (int64_t)1 << 61,
                                        (int64_t)1 << 40 };
    for (size_t e = 0; e < sizeof extremes / sizeof *extremes; e++) {
        for (size_t i = 0; i < s->n_in; i++) {
            int64_t *data = s->in[i].t.data;
            bool whole = s->in[i].kind == KOE_VALUE_TENSOR && s->in[i].t.dtype == KOE_DTYPE_I64;
            for (size_t k = 0; whole && k < koe_tensor_count(&s->in[i].t); k++) {
                int64_t kept = data[k];
                data[k] = extremes[e];
                survive(s);
                data[k] = kept;
            }
        }
        for (size_t i = 0; i < s->n_attr; i++) {
            int64_t kept = s->attr[i].i, *list = (int64_t *)(uintptr_t)s->attr[i].ints;
            s->attr[i].i = extremes[e];
            if (s->attr[i].type == KOE_ATTR_INT) survive(s);
            s->attr[i].i = kept;
            for (size_t k = 0; s->attr[i].type == KOE_ATTR_INTS && k < s->attr[i].n; k++) {
                kept = list[k];
                list[k] = extremes[e];
                survive(s);
                list[k] = kept;
            }
        }
    }
}

static void run_file(void **state)
{
    static char line[1 << 16];
    char path[1024];
    const char *folder = getenv("KOE_TEST_DATA");
    snprintf(path, sizeof path, "%s/ops/%s.txt", folder ? folder : "tests/data", (const char *)*state);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s cannot be opened", path);
    size_t n = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0] || line[0] == '#') continue;
        where = line;
        test_case t;
        read_case(&t, line);
        run_case(&t, NODE_BORROWED);
        if (!t.error[0] && t.node.opset >= 9) run_case(&t, NODE_OWNED);
        if (!t.error[0]) run_case(&t, NODE_CONSTANT);
        run_extremes(&t.node);
        koe_arena_free(&t.arena);
        n++;
    }
    fclose(f);
    assert_true(n > 0);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[32];
    size_t n = 0;
    for (int i = 1; i < argc && n < 32; i++) tests[n++] = (struct CMUnitTest){ argv[i], run_file, NULL, NULL, argv[i] };
    return _cmocka_run_group_tests("cases", tests, n, NULL, NULL);
}
