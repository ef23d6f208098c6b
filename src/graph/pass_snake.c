/* pass_snake.c - the Snake activation of HiFi-GAN's and Kokoro's generators.
 *
 *     x ──────────────────────────────► Add ──►          x ──► Snake(a, r) ──►
 *     └► Mul(a) ─► Sin ─► Pow(2) ─► Mul(r) ─┘                  y = x + r * sin(a x)^2
 *
 * a and r are constants, one per channel (r is 1/a in every network seen; nothing here needs it). */
#include "graph/pass.h"

/* The other input of a two-input node whose one input is constant; -1 when neither or both are. */
static int split_constant(const koe_pass *p, const koe_node *n, int *constant)
{
    for (int i = 0; i < 2; i++)
        if (koe_pass_constant(p, n->in[i]) && !koe_pass_constant(p, n->in[1 - i])) {
            *constant = n->in[i];
            return n->in[1 - i];
        }
    return -1;
}

/* sin^2 of what? -1 when `slot` is no square of a sine. */
static int squared_sine(const koe_pass *p, int slot)
{
    koe_node *pow = koe_pass_inner(p, slot, "Pow");
    if (!pow || !koe_pass_is_scalar(p, pow->in[1], 2)) return -1;
    koe_node *sin = koe_pass_inner(p, pow->in[0], "Sin");
    return sin ? sin->in[0] : -1;
}

koe_status koe_pass_snake(koe_pass *p, koe_error *err)
{
    for (int i = 0; i < p->plan->n_node; i++) {
        koe_node *add = p->plan->node[i];
        if (add->domain.n || !koe_str_is(add->op_type, "Add")) continue;
        for (int side = 0; side < 2; side++) {
            int r = -1, a = -1, x = add->in[1 - side];
            koe_node *outer = koe_pass_inner(p, add->in[side], "Mul");
            int sine = outer ? squared_sine(p, split_constant(p, outer, &r)) : -1;
            koe_node *inner = sine >= 0 ? koe_pass_inner(p, sine, "Mul") : NULL;
            if (!inner || split_constant(p, inner, &a) != x) continue;
            const koe_tensor *ta = koe_pass_constant(p, a), *tr = koe_pass_constant(p, r);
            if (ta->dtype != KOE_DTYPE_F32 || tr->dtype != KOE_DTYPE_F32 || ta->n_dim != 3 || tr->n_dim != 3) continue;
            if (ta->dim[0] != 1 || ta->dim[2] != 1 || memcmp(ta->dim, tr->dim, sizeof *ta->dim * 3) != 0) continue;
            koe_status st = koe_pass_replace(p, add, "Snake", (int[]){ x, a, r }, 3, err);
            if (st != KOE_OK) return st;
            break;
        }
    }
    return KOE_OK;
}
