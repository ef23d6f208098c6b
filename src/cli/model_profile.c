/* model_profile.c - where the time of a run goes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/model.h"

enum { N_SLOWEST = 30 };

typedef struct timed {
    koe_str op;
    char node[64], shape[64]; /* shape of the first output */
    int64_t ns;
    size_t n;
} timed;

typedef struct profile {
    timed *row; /* one for each operator, then one for each node */
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

static void on_node(void *user, const koe_node *node, const koe_value *out, int64_t ns)
{
    timed *t = add(user);
    if (!t) return;
    *t = (timed){ .op = node->op_type, .ns = ns, .n = 1 };
    size_t skip = node->name.n > sizeof t->node - 1 ? node->name.n - (sizeof t->node - 1) : 0;
    snprintf(t->node, sizeof t->node, "%.*s", KOE_STR_ARG(koe_str_sub(node->name, skip, node->name.n)));
    if (out && out->kind == KOE_VALUE_TENSOR) koe_tensor_describe(&out->t, t->shape, sizeof t->shape);
}

static int slowest_first(const void *a, const void *b)
{
    const timed *x = a, *y = b;
    return (x->ns < y->ns) - (x->ns > y->ns);
}

/* One row for each operator, slowest first. */
static void by_operator(const profile *all, profile *sum)
{
    for (size_t i = 0; i < all->n; i++) {
        timed *t = NULL;
        for (size_t k = 0; k < sum->n && !t; k++)
            if (koe_str_eq(sum->row[k].op, all->row[i].op)) t = &sum->row[k];
        if (!t && (t = add(sum))) t->op = all->row[i].op;
        if (!t) return;
        t->ns += all->row[i].ns;
        t->n++;
    }
    qsort(sum->row, sum->n, sizeof *sum->row, slowest_first);
}

koe_status koe_model_profile(koe_run *run, const koe_run_options *o, koe_error *err)
{
    profile all = { 0 }, sum = { 0 };
    koe_run_options options = *o;
    options.on_node = on_node;
    options.user = &all;
    koe_status st = koe_run_execute(run, &options, err);
    if (st == KOE_OK) by_operator(&all, &sum);
    if (st == KOE_OK && (all.failed || sum.failed)) st = koe_fail(err, KOE_E_NOMEM, "profile");
    int64_t total = 0;
    for (size_t i = 0; i < sum.n; i++) total += sum.row[i].ns;
    if (st == KOE_OK && total > 0) {
        fprintf(stderr, "%10s %6s %7s  operator\n", "ms", "share", "nodes");
        for (size_t i = 0; i < sum.n && sum.row[i].ns * 2000 > total; i++)
            fprintf(stderr, "%10.3f %5.1f%% %7zu  %.*s\n", (double)sum.row[i].ns / 1e6, 100.0 * (double)sum.row[i].ns / (double)total,
                    sum.row[i].n, KOE_STR_ARG(sum.row[i].op));
        qsort(all.row, all.n, sizeof *all.row, slowest_first);
        fprintf(stderr, "%10s  slowest nodes\n", "ms");
        for (size_t i = 0; i < all.n && i < N_SLOWEST; i++)
            fprintf(stderr, "%10.3f  %.*s %s %s\n", (double)all.row[i].ns / 1e6, KOE_STR_ARG(all.row[i].op), all.row[i].shape,
                    all.row[i].node);
    }
    free(all.row);
    free(sum.row);
    return st;
}
