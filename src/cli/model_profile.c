/* model_profile.c - where the time of a run goes, and how near it comes to what the machine could do. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/model.h"
#include "kernels/lp_conv.h"

enum { N_SLOWEST = 30 };

/* ---- the peak ---------------------------------------------------------------------------------------------------------- */

/* The tile kernel on operands that stay in the first-level cache: all that multiply-adds can be fed with. */
enum { STEPS = 256, REPEAT = 400, TILE_MAX = 16 * 48 };

typedef struct calibration {
    const koe_kernel_set *set;
    const koe_lp_set *lp; /* NULL: float32 */
} calibration;

static void run_tiles(void *arg, size_t task)
{
    (void)task;
    static const size_t no_shift[1] = { 0 };
    static const int32_t init[16] = { 0 };
    static const float scale[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    _Alignas(64) float c[TILE_MAX] = { 0 }, a[STEPS * 16] = { 0 }, b[64] = { 0 };
    const calibration *k = arg;
    for (int i = 0; i < REPEAT; i++)
        if (k->lp) k->lp->tile(c, k->lp->nr, (const uint32_t *)(void *)a, (const uint32_t *)(void *)b, 0, no_shift, STEPS, 1, k->lp->mr, k->lp->nr, init, scale);
        else k->set->tile(c, k->set->nr, a, b, 0, no_shift, STEPS, 1, k->set->mr, k->set->nr, false);
}

void koe_model_multiply_add(void)
{
    enum { TIMES = 200 };
    calibration k = { koe_kernels(), NULL };
    for (size_t i = 0; i < TIMES; i++) run_tiles(&k, 0);
}

/* Multiply-adds a nanosecond of all threads of the pool: the best of a few tries of some milliseconds. */
static double peak(koe_pool *pool, const koe_lp_set *lp)
{
    calibration k = { koe_kernels(), lp };
    const size_t n = (size_t)koe_pool_threads(pool), group = lp ? koe_lp_group(lp->kind) : 1;
    const size_t mr = lp ? lp->mr : k.set->mr, nr = lp ? lp->nr : k.set->nr;
    double best = 0;
    for (int i = 0; i < 8; i++) {
        const int64_t start = koe_clock_ns();
        koe_pool_for(pool, n, run_tiles, &k);
        best = fmax(best, (double)(n * REPEAT * STEPS * mr * nr * group) / (double)(koe_clock_ns() - start + 1));
    }
    return best;
}

/* ---- the nodes --------------------------------------------------------------------------------------------------------- */

typedef struct timed {
    koe_str op;
    char group[192], node[64], shape[64]; /* shape of the first output */
    int64_t ns;
    double macs;
    size_t n;
} timed;

typedef struct profile {
    timed *row;
    size_t n, cap;
    bool failed;
} profile;

static timed *add(profile *p)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 1024;
        timed *row = realloc(p->row, cap * sizeof *row);
        if (!row) {
            p->failed = true;
            return NULL;
        }
        p->row = row;
        p->cap = cap;
    }
    p->row[p->n] = (timed){ 0 };
    return &p->row[p->n++];
}

static bool has(const koe_node *node, int i) { return i < node->n_in && node->in[i] >= 0; }

/* Layers that are alike: "Conv 128x128x11 snake .. +2 LeakyRelu": operator, the shape of its weights, what a pass put in front (..) and behind. */
static void describe_group(char *out, size_t cap, const koe_node *node)
{
    enum { ADDEND = 3, SCALE, SNAKE = 6, ADDEND_2 = 10 }; /* inputs of koe's own Conv */
    size_t at = (size_t)snprintf(out, cap, "%.*s", KOE_STR_ARG(koe_str_sub(node->op_type, 0, 32)));
    const koe_tensor *w = node->n_in > 1 ? node->in_const[1] : NULL;
    for (int i = 0; w && i < w->n_dim && i < 4; i++) at += (size_t)snprintf(out + at, cap - at, "%s%" PRId64, i ? "x" : " ", w->dim[i]);
    if (!koe_str_is(node->domain, "koe")) return;
    if (!koe_str_is(koe_str_sub(node->op_type, 0, 4), "Conv")) return;
    const koe_str act = koe_node_str(node, "activation", "");
    const int n_addends = has(node, ADDEND) + has(node, ADDEND_2);
    if (koe_str_is(node->op_type, "ConvChain")) {
        snprintf(out + at, cap - at, " of %d", (node->n_in - 1) / 2);
        return;
    }
    const char *before = has(node, SNAKE) ? " snake .." : koe_node_attr(node, "leaky") ? " leaky .." : has(node, SCALE) ? " affine .." : "";
    at += (size_t)snprintf(out + at, cap - at, "%s", before);
    if (n_addends) at += (size_t)snprintf(out + at, cap - at, " +%d", n_addends);
    if (act.n && at < cap) snprintf(out + at, cap - at, " %.*s", KOE_STR_ARG(koe_str_sub(act, 0, 12)));
}

static void on_node(void *user, const koe_node *node, const koe_value *out, double macs, int64_t ns)
{
    timed *t = add(user);
    if (!t) return;
    *t = (timed){ .op = node->op_type, .ns = ns, .macs = macs, .n = 1 };
    describe_group(t->group, sizeof t->group, node);
    size_t skip = node->name.n > sizeof t->node - 1 ? node->name.n - (sizeof t->node - 1) : 0;
    snprintf(t->node, sizeof t->node, "%.*s", KOE_STR_ARG(koe_str_sub(node->name, skip, node->name.n)));
    if (out && out->kind == KOE_VALUE_TENSOR) koe_tensor_describe(&out->t, t->shape, sizeof t->shape);
}

static int slowest_first(const void *a, const void *b)
{
    const timed *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

/* One row for each operator, or for each group, slowest first. */
static void sum_up(const profile *all, profile *sum, bool by_group)
{
    for (size_t i = 0; i < all->n; i++) {
        const timed *from = &all->row[i];
        timed *t = NULL;
        for (size_t k = 0; k < sum->n && !t; k++)
            if (by_group ? strcmp(sum->row[k].group, from->group) == 0 : koe_str_eq(sum->row[k].op, from->op)) t = &sum->row[k];
        if (!t) {
            if (!(t = add(sum))) return;
            t->op = from->op;
            if (by_group) memcpy(t->group, from->group, sizeof t->group);
            else snprintf(t->group, sizeof t->group, "%.*s", KOE_STR_ARG(koe_str_sub(from->op, 0, sizeof t->group - 1)));
        }
        t->ns += from->ns;
        t->macs += from->macs;
        t->n++;
    }
    qsort(sum->row, sum->n, sizeof *sum->row, slowest_first);
}

/* ---- output ------------------------------------------------------------------------------------------------------------- */

static double rate(const timed *t) { return t->ns > 0 ? t->macs / (double)t->ns : 0; }

static void print_table(const profile *p, const char *title, int64_t total, double most)
{
    fprintf(stderr, "%10s %6s %7s %8s %6s  %s\n", "ms", "share", "nodes", "GMAC/s", "peak", title);
    for (size_t i = 0; i < p->n && p->row[i].ns * 2000 > total; i++) {
        const timed *t = &p->row[i];
        fprintf(stderr, "%10.3f %5.1f%% %7zu ", (double)t->ns / 1e6, 100.0 * (double)t->ns / (double)total, t->n);
        if (t->macs > 0) fprintf(stderr, "%8.1f %5.0f%%", rate(t), 100 * rate(t) / most);
        else fprintf(stderr, "%8s %6s", "", "");
        fprintf(stderr, "  %s\n", t->group);
    }
}

static void print_text(const char *s)
{
    putchar('"');
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == '"' || *s == '\\') printf("\\u%04x", (unsigned)*s);
        else putchar(*s);
    putchar('"');
}

static void print_json(const profile *p, const char *name)
{
    printf(", \"%s\": [", name);
    for (size_t i = 0; i < p->n; i++) {
        const timed *t = &p->row[i];
        printf("%s{\"name\": ", i ? ", " : "");
        print_text(t->group);
        printf(", \"ms\": %.3f, \"nodes\": %zu, \"gmac\": %.4f, \"gmac_per_s\": %.2f}", (double)t->ns / 1e6, t->n, t->macs / 1e9, rate(t));
    }
    putchar(']');
}

static void print_all(profile *all, const profile *ops, const profile *groups, const koe_loaded *l)
{
    static const char *const names[] = { "f32", "bf16", "int8" };
    const koe_lp_set *bf16 = koe_lp_kernels(KOE_LP_BF16), *int8 = koe_lp_kernels(KOE_LP_INT8);
    const double most[] = { peak(l->pool, NULL), bf16 ? peak(l->pool, bf16) : 0, int8 ? peak(l->pool, int8) : 0 };
    const int precision = koe_session_precision(l->session), used = precision < 3 && most[precision] > 0 ? precision : 0;
    int64_t total = 0;
    for (size_t i = 0; i < ops->n; i++) total += ops->row[i].ns;
    printf(", \"profile\": {\"peak_gmac_per_s\": {");
    for (int i = 0, n = 0; i < 3; i++)
        if (most[i] > 0) printf("%s\"%s\": %.1f", n++ ? ", " : "", names[i], most[i]);
    putchar('}');
    print_json(ops, "operators");
    print_json(groups, "groups");
    putchar('}');
    fprintf(stderr, "peak of %d threads:", koe_pool_threads(l->pool));
    for (int i = 0; i < 3; i++)
        if (most[i] > 0) fprintf(stderr, " %s %.1f", names[i], most[i]);
    fprintf(stderr, " GMAC/s; shares are of %s\n", names[used]);
    if (total <= 0) return;
    print_table(ops, "operator", total, most[used]);
    print_table(groups, "group", total, most[used]);
    qsort(all->row, all->n, sizeof *all->row, slowest_first);
    fprintf(stderr, "%10s %8s  slowest nodes\n", "ms", "GMAC/s");
    for (size_t i = 0; i < all->n && i < N_SLOWEST; i++)
        fprintf(stderr, "%10.3f %8.1f  %s %s %s\n", (double)all->row[i].ns / 1e6, rate(&all->row[i]), all->row[i].group, all->row[i].shape, all->row[i].node);
}

koe_status koe_model_profile(const koe_loaded *l, const koe_run_options *o, koe_error *err)
{
    profile all = { 0 }, ops = { 0 }, groups = { 0 };
    koe_run_options options = *o;
    options.on_node = on_node;
    options.user = &all;
    koe_status st = koe_run_execute(l->run, &options, err);
    if (st == KOE_OK) {
        sum_up(&all, &ops, false);
        sum_up(&all, &groups, true);
    }
    if (st == KOE_OK && (all.failed || ops.failed || groups.failed)) st = koe_fail(err, KOE_E_NOMEM, "profile");
    if (st == KOE_OK) print_all(&all, &ops, &groups, l);
    free(all.row);
    free(ops.row);
    free(groups.row);
    return st;
}
