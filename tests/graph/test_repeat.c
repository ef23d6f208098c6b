/* The loop that repeats slices by their counts, as PyTorch's exporter writes it, in its several forms: each is one operator with the pass
 * `repeat`, and gives the same bits. What differs from it in any way stays a loop. */
#include "compare.h"
#include "text_model.h"

/* Kokoro's form: the numbers 0, 1, ... by counts. */
static const char plain[] =
    "in c ?\nin x 1 ? 3\nout y\nint zero 0\nint one 1\nint two 2\nints at 0\nints first 1\nints some 2\nints flat -1\n"
    "graph round\nin i\nin go\nin list\nout goes\nout more\nints before 1\nints after\nint minus -1\n"
    "SequenceAt cs i -> count\n"
    "SequenceAt vs i -> v\n"
    "Unsqueeze v first -> wide\n"
    "Concat before count after -> dims axis=0\n"
    "Shape dims -> n_dims\n"
    "ConstantOfShape n_dims -> units value=#1\n"
    "Mul units minus -> minuses\n"
    "Equal dims minuses -> open\n"
    "Where open units dims -> to\n"
    "Expand wide to -> many\n"
    "Reshape many flat -> joined\n"
    "SequenceInsert list joined -> more\n"
    "Cast on -> goes to=9\n"
    "end\n"
    "Cast c -> counts to=7\n"
    "Shape c -> size\n"
    "Gather size zero -> n axis=0\n"
    "Unsqueeze n at -> rounds\n"
    "Range zero n one -> values\n"
    "Shape counts -> sizes\n"
    "ConstantOfShape sizes -> ones value=#1\n"
    "SplitToSequence counts ones -> cs axis=0\n"
    "SplitToSequence values ones -> vs axis=0\n"
    "Cast one -> on to=9\n"
    "SequenceEmpty -> empty dtype=7\n"
    "Loop rounds on empty -> all body=@round\n"
    "ConcatFromSequence all -> y axis=0\n";

typedef struct edit {
    const char *from, *to;
} edit;

#define VALUES { "Range zero n one -> values\n", "Sin x -> values\n" }, { "Shape c -> size\nGather size zero", "Shape x -> size\nGather size one" }

static const struct form {
    const char *what;
    int n; /* what the pass must find */
    edit edits[6];
} forms[] = {
    { "Kokoro's", 1, { { "", "" } } },
    { "no guard", 1, { { "Expand wide to", "Expand wide dims" } } },
    { "the guard's operands in another order", 1, { { "Mul units minus", "Mul minus units" }, { "Equal dims minuses", "Equal minuses dims" } } },
    { "a folded guard", 1, { { "Mul units minus -> minuses\n", "" }, { "Equal dims minuses", "Equal minus dims" }, { "Where open units", "Where open one" } } },
    { "opset 11", 1, { { "in c", "opset 11\nin c" }, { "Unsqueeze n at -> rounds", "Unsqueeze n -> rounds axes=[0]" }, { "v first -> wide", "v -> wide axes=[1]" } } },
    { "opset 18, axes from the end", 1, { { "in c", "opset 18\nin c" }, { "first 1", "first -1" }, { "cs axis=0", "cs axis=-1" }, { "vs axis=0", "vs axis=-1" }, { "y axis=0", "y axis=-1" } } },
    { "no condition, nothing after the count", 1, { { "Loop rounds on", "Loop rounds -" }, { "count after", "count" } } },
    { "the second of three dimensions", 1,
      { VALUES, { "vs axis=0", "vs axis=1" }, { "y axis=0", "y axis=1" }, { "first 1\nints some 2\nints flat -1", "first 2\nints some 2\nints flat 1 -1 3" },
        { "before 1\nints after", "before 1 -1\nints after 3" } } },
    { "dimensions that are copied", 1,
      { VALUES, { "vs axis=0", "vs axis=-2" }, { "y axis=0", "y axis=-2" }, { "first 1\nints some 2\nints flat -1", "first 2\nints some 2\nints flat 0 -1 3" },
        { "before 1\nints after", "before -1 -1\nints after -1" } } },
    { "a wrong dimension", 0,
      { VALUES, { "vs axis=0", "vs axis=1" }, { "y axis=0", "y axis=1" }, { "first 1\nints some 2\nints flat -1", "first 2\nints some 2\nints flat 2 -1 3" },
        { "before 1\nints after", "before 2 1\nints after 3" } } },
    { "joined to another shape", 0,
      { VALUES, { "vs axis=0", "vs axis=1" }, { "y axis=0", "y axis=0" }, { "first 1\nints some 2\nints flat -1", "first 2\nints some 2\nints flat -1 3" },
        { "before 1\nints after", "before 1 1\nints after 3" } } },
    { "fewer rounds", 0, { { "Loop rounds", "Loop some" } } },
    { "an end that depends", 0, { { "Cast on -> goes to=9", "Less i two -> goes" } } },
    { "no rounds at all but one", 0, { { "Cast on -> goes to=9", "Cast zero -> goes to=9" } } },
    { "a list that is not empty", 0, { { "SequenceEmpty -> empty dtype=7", "SequenceConstruct at -> empty" } } },
    { "in front of the list", 0, { { "list joined", "list joined zero" } } },
    { "the first count for all", 0, { { "SequenceAt cs i", "SequenceAt cs zero" } } },
    { "counts that are the values", 1, { { "SequenceAt cs i", "SequenceAt vs i" } } },
    { "twice the count", 0, { { "before 1", "before 2" } } },
    { "a guard for another number", 0, { { "minus -1", "minus -2" } } },
    { "a guard that gives another number", 0, { { "Where open units", "Where open some" } } },
    { "sizes of another list", 0, { { "SplitToSequence values ones", "Expand one sizes -> other\nSplitToSequence values other" } } },
    { "a sequence that is read elsewhere", 0, { { "out y", "out y\nout z" }, { "ConcatFromSequence all", "SequenceLength all -> z\nConcatFromSequence all" } } },
    { "slices that are read elsewhere", 0, { { "out y", "out y\nout z" }, { "Loop", "SequenceLength vs -> z\nLoop" } } },
};

static char *edited(const struct form *f)
{
    char *text = strdup(plain);
    for (const edit *e = f->edits; e < f->edits + 6 && e->from; e++) {
        char *at = strstr(text, e->from), *more = malloc(strlen(text) + strlen(e->to) + 1);
        if (!at) fail_msg("%s: no '%s'", f->what, e->from);
        sprintf(more, "%.*s%s%s", (int)(at - text), text, e->to, at + strlen(e->from));
        free(text);
        text = more;
    }
    return text;
}

enum { MAX_BYTES = 4096 };

typedef struct result {
    koe_status st;
    koe_error err;
    int n_found;
    int64_t dim[KOE_MAX_DIM];
    size_t n_bytes;
    char y[MAX_BYTES];
} result;

static void compute(const struct form *f, const char *passes, const float *counts, int n, result *res)
{
    char *text = edited(f);
    koe_session *s = NULL;
    koe_run *r = NULL;
    float x[3 * 8];
    text_random(x, 3 * 8, 1);
    const koe_tensor c = { KOE_DTYPE_F32, 1, { n }, (void *)(uintptr_t)counts }, in = { KOE_DTYPE_F32, 3, { 1, n, 3 }, x };
    *res = (result){ 0 };
    if (koe_session_create(&s, text_model(text), &(koe_session_options){ .passes = passes }, &res->err) != KOE_OK) fail_msg("%s: %s", f->what, res->err.message);
    assert_int_equal(koe_run_create(&r, s, &res->err), KOE_OK);
    assert_int_equal(koe_run_set_in(r, 0, &c, &res->err), KOE_OK);
    assert_int_equal(koe_run_set_in(r, 1, &in, &res->err), KOE_OK);
    res->n_found = pass_count(s, "repeat");
    res->st = koe_run_execute(r, &(koe_run_options){ .memory_limit = 1 << 24 }, &res->err);
    if (res->st == KOE_OK) {
        const koe_tensor *y = &koe_run_out(r, 0)->t;
        res->n_bytes = koe_tensor_bytes(y);
        assert_true(res->n_bytes <= MAX_BYTES);
        memcpy(res->dim, y->dim, sizeof res->dim);
        memcpy(res->y, y->data, res->n_bytes);
    }
    koe_run_destroy(r);
    koe_session_destroy(s);
    free(text);
}

static void test_forms(void **state)
{
    (void)state;
    static const struct {
        int n;
        float counts[8];
    } cases[] = { { 4, { 2, 0, 1, 5 } }, { 1, { 3 } }, { 3, { 0, 0, 0 } }, { 2, { 1, 1 } } };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            static result with, without;
            if (forms[i].n == 0 && k > 0) break;
            compute(&forms[i], NULL, cases[k].counts, cases[k].n, &with);
            compute(&forms[i], "-repeat", cases[k].counts, cases[k].n, &without);
            if (with.n_found != forms[i].n) fail_msg("%s: %d found", forms[i].what, with.n_found);
            assert_int_equal(without.n_found, -1);
            if (with.st != KOE_OK || without.st != KOE_OK) fail_msg("%s: %s %s", forms[i].what, with.err.message, without.err.message);
            assert_memory_equal(with.dim, without.dim, sizeof with.dim);
            assert_int_equal(with.n_bytes, without.n_bytes);
            assert_memory_equal(with.y, without.y, with.n_bytes);
        }
}

static void refused(const float *counts, koe_status st, const char *why)
{
    static result res;
    compute(&forms[0], NULL, counts, 2, &res);
    if (res.st != st || !strstr(res.err.message, why)) fail_msg("%d: %s", res.st, res.err.message);
}

static void test_wrong_counts(void **state)
{
    (void)state;
    refused((float[]){ 1, -1 }, KOE_E_FORMAT, "count 1 is -1");
    refused((float[]){ 9e18f, 9e18f }, KOE_E_LIMIT, "the counts add up to more");
    refused((float[]){ 1, 4e18f }, KOE_E_LIMIT, "size overflows");
    refused((float[]){ 1e17f, 1 }, KOE_E_LIMIT, "the memory limit of 16 MB is reached");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_forms), cmocka_unit_test(test_wrong_counts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
