/* tasks.c - see tasks.h. */
#include "ops/tasks.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "kernels/kernels.h"

typedef struct loop {
    koe_task_fn *fn;
    void *arg;
    char *scratch;
    size_t stride, n_slots;
    _Atomic bool *busy; /* [n_slots] */
} loop;

/* No more tasks run at a time than the pool has threads, so a free slot always turns up. A thread keeps to one as far as it can: that is then in its
 * cache. */
static void run_one(void *arg, size_t task)
{
    static _Thread_local size_t mine;
    loop *l = arg;
    size_t i = mine < l->n_slots ? mine : 0;
    while (atomic_exchange_explicit(&l->busy[i], true, memory_order_acquire)) i = i + 1 < l->n_slots ? i + 1 : 0;
    mine = i;
    l->fn(l->arg, task, l->scratch + i * l->stride);
    atomic_store_explicit(&l->busy[i], false, memory_order_release);
}

koe_status koe_tasks_run(koe_op_ctx *c, size_t n_tasks, size_t n_bytes, koe_task_fn *fn, void *arg, koe_error *err)
{
    loop l = { .fn = fn, .arg = arg, .n_slots = (size_t)koe_pool_threads(c->pool) };
    size_t total;
    if (n_tasks == 0) return KOE_OK;
    if (l.n_slots > n_tasks) l.n_slots = n_tasks;
    if (n_bytes > SIZE_MAX - 64) return koe_fail(err, KOE_E_LIMIT, "%.*s: too large", KOE_STR_ARG(c->node->op_type));
    l.stride = (n_bytes + 63) / 64 * 64;
    if (__builtin_mul_overflow(l.stride, l.n_slots, &total)) return koe_fail(err, KOE_E_LIMIT, "%.*s: too large", KOE_STR_ARG(c->node->op_type));
    l.scratch = koe_scratch(c, total ? total : 1);
    l.busy = koe_scratch(c, l.n_slots * sizeof *l.busy);
    if (!l.scratch || !l.busy) return koe_fail(err, KOE_E_NOMEM, "%.*s: %zu bytes of scratch", KOE_STR_ARG(c->node->op_type), total);
    for (size_t i = 0; i < l.n_slots; i++) atomic_init(&l.busy[i], false);
    koe_pool_for(c->pool, n_tasks, run_one, &l);
    return KOE_OK;
}

float *koe_weights_alloc(size_t n)
{
    if (n > (SIZE_MAX - 64) / sizeof(float)) return NULL;
    return aligned_alloc(64, (n ? n * sizeof(float) + 63 : 64) / 64 * 64);
}

koe_status koe_weights_room(koe_node *preparing, int i, unsigned part, size_t n, void **out, bool *ready, koe_error *err)
{
    if (n > SIZE_MAX / sizeof(float)) return koe_fail(err, KOE_E_LIMIT, "the weights are too large");
    if (preparing) return koe_node_pack(preparing, i, part, n * sizeof(float), out, ready, err);
    *ready = false;
    *out = koe_weights_alloc(n);
    return *out ? KOE_OK : koe_fail(err, KOE_E_NOMEM, "%zu weights", n);
}

koe_status koe_read_activation(koe_act *out, const koe_node *node, koe_error *err)
{
    static const struct {
        const char *name;
        koe_act act;
    } known[] = { { "", KOE_ACT_NONE }, { "Relu", KOE_ACT_RELU }, { "LeakyRelu", KOE_ACT_LEAKY }, { "Tanh", KOE_ACT_TANH },
                  { "Sigmoid", KOE_ACT_SIGMOID }, { "Gelu", KOE_ACT_GELU }, { "GeluTanh", KOE_ACT_GELU_TANH }, { "Silu", KOE_ACT_SILU } };
    const koe_str s = koe_node_str(node, "activation", "");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (koe_str_is(s, known[i].name)) return *out = known[i].act, KOE_OK;
    return koe_fail(err, KOE_E_UNSUPPORTED, "%.*s %.*s: activation '%.*s'", KOE_STR_ARG(node->op_type), KOE_STR_ARG(node->name),
                    KOE_STR_ARG(s));
}
