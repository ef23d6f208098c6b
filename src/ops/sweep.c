/* sweep.c - Elementwise: a program of elementwise steps, run over tiles that stay in the first-level cache, in place of one operator and one
 * pass over memory for each.
 *     y = program(x0, x1, ...)     attribute `steps`: four integers for each - koe_step, operands a, b, c -; `constants`: one k for each
 * An operand is an input, or, from the number of inputs on, the result of an earlier step; -1: none. The last step's result is y, whose
 * shape is that of the inputs broadcast. */
#include <stdlib.h>

#include "kernels/kernels.h"
#include "ops/elementwise.h"
#include "ops/ops.h"

enum { MAX_STEPS = 32, MAX_REGISTERS = 12, TILE = 1024 };

typedef struct step {
    koe_step step;
    int operand[3]; /* input; from n_in on a register; -1 */
    int to; /* register; -1: y */
    float k;
} step;

typedef struct program {
    int n_in, n_steps, n_registers;
    step step[MAX_STEPS];
} program;

static koe_status bad(const koe_node *node, koe_error *err)
{
    return koe_fail(err, KOE_E_FORMAT, "Elementwise %.*s: not a program", KOE_STR_ARG(node->name));
}

/* Gives each result a register that is free: those of results that no later step reads are. */
static bool allocate(program *p, const int64_t *code)
{
    int last[MAX_STEPS] = { 0 }, owner[MAX_REGISTERS], at[MAX_STEPS];
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; k < 3; k++)
            if (code[4 * i + 1 + k] >= p->n_in) last[code[4 * i + 1 + k] - p->n_in] = i;
    for (int r = 0; r < MAX_REGISTERS; r++) owner[r] = -1;
    for (int i = 0; i < p->n_steps; i++) {
        step *s = &p->step[i];
        for (int k = 0; k < 3; k++) {
            const int64_t from = code[4 * i + 1 + k];
            s->operand[k] = from < p->n_in ? (int)from : p->n_in + at[from - p->n_in];
        }
        for (int r = 0; r < MAX_REGISTERS; r++)
            if (owner[r] >= 0 && last[owner[r]] <= i) owner[r] = -1; /* read for the last time here: y may be an operand */
        int r = 0;
        while (r < MAX_REGISTERS && owner[r] >= 0) r++;
        if (r == MAX_REGISTERS) return false;
        owner[r] = i;
        at[i] = r;
        s->to = i == p->n_steps - 1 ? -1 : r;
        if (r >= p->n_registers) p->n_registers = r + 1;
    }
    return true;
}

static koe_status prepare(koe_node *node, void **state, koe_error *err)
{
    const int64_t *code;
    const koe_onnx_attr *k = koe_node_attr(node, "constants");
    const size_t n = koe_node_ints(node, "steps", &code) / 4;
    if (n < 1 || n > MAX_STEPS || node->n_in < 1 || node->n_in > KOE_LOOP_IN || !k || k->type != KOE_ATTR_FLOATS || k->n != n) return bad(node, err);
    program *p = calloc(1, sizeof *p);
    if (!p) return koe_fail(err, KOE_E_NOMEM, "a program");
    p->n_in = node->n_in;
    p->n_steps = (int)n;
    for (int i = 0; i < p->n_steps; i++) {
        bool good = code[4 * i] >= 0 && code[4 * i] < KOE_STEP_COUNT && code[4 * i + 1] >= 0;
        for (int o = 1; o < 4; o++) good &= code[4 * i + o] >= -1 && code[4 * i + o] < p->n_in + i;
        if (good && code[4 * i] == KOE_STEP_SELECT) good = code[4 * i + 2] >= 0 && code[4 * i + 3] >= 0;
        if (!good) {
            free(p);
            return bad(node, err);
        }
        p->step[i].step = (koe_step)code[4 * i];
        p->step[i].k = k->floats[i];
    }
    if (!allocate(p, code)) {
        free(p);
        return bad(node, err);
    }
    *state = p;
    return KOE_OK;
}

static void run_tile(const program *p, float *y, const float *const *x, float (*reg)[TILE], size_t n)
{
    for (int i = 0; i < p->n_steps; i++) {
        const step *s = &p->step[i];
        const float *v[3];
        for (int k = 0; k < 3; k++) v[k] = s->operand[k] < 0 ? NULL : s->operand[k] < p->n_in ? x[s->operand[k]] : reg[s->operand[k] - p->n_in];
        koe_f32_step(s->step, s->to < 0 ? y : reg[s->to], v[0], v[1], v[2], s->k, n);
    }
}

/* A koe_loop_fn. Inputs that repeat one element are written out once, for a tile. */
static void run_loop(void *y_, const void *const *x_, const int *dense, size_t n, const void *arg)
{
    const program *p = arg;
    float *y = y_, reg[MAX_REGISTERS][TILE], repeated[KOE_LOOP_IN][TILE];
    const float *x[KOE_LOOP_IN];
    for (int k = 0; k < p->n_in; k++) {
        x[k] = x_[k];
        if (dense[k]) continue;
        for (size_t i = 0; i < n && i < TILE; i++) repeated[k][i] = *x[k];
        x[k] = repeated[k];
    }
    for (size_t i = 0; i < n; i += TILE) {
        run_tile(p, y + i, x, reg, n - i < TILE ? n - i : TILE);
        for (int k = 0; k < p->n_in; k++)
            if (dense[k]) x[k] += TILE;
    }
}

static koe_status run(koe_op_ctx *c, koe_error *err)
{
    const program *p = c->state;
    const koe_tensor *x[KOE_LOOP_IN];
    koe_tensor *y;
    for (int i = 0; i < p->n_in; i++) {
        koe_status st = koe_need(c, i, &x[i], err);
        if (st != KOE_OK) return st;
        if (x[i]->dtype != KOE_DTYPE_F32) return koe_type_error(c, x[i]->dtype, err);
    }
    koe_status st = koe_out_broadcast(c, KOE_DTYPE_F32, x, p->n_in, p->n_in, &y, err);
    if (st == KOE_OK) koe_loop(c, run_loop, p, y, x, p->n_in);
    return st;
}

static const koe_op table[] = {
    { .name = "Elementwise", .since = 1, .flags = KOE_OP_WIDEN_HALF, .prepare = prepare, .release = free, .run = run, .domain = "koe" },
};

koe_op_table koe_ops_sweep(void) { return KOE_OP_TABLE(table); }
