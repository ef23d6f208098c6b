/* pass_pad.c - zeros around the input of a convolution are its own padding.
 *
 *     x ─► Pad(constant 0: only in time) ─► Conv(pads) ─►          x ─► Conv(pads + those) ─► */
#include "graph/pass.h"

/* The constant padding of a Pad with zeros: n numbers, before and after each dimension. */
static bool zero_pads(const koe_pass *p, const koe_node *pad, koe_values *pads)
{
    float x;
    if (!koe_str_is(koe_node_str(pad, "mode", "constant"), "constant") || pad->in[3] >= 0) return false;
    if (pad->in[2] >= 0 && (!koe_pass_scalar(p, pad->in[2], &x) || x != 0)) return false;
    if (!koe_values_of(p->shapes, pad->in[1], pads) || pads->n < 6 || pads->n % 2) return false;
    for (int i = 0; i < pads->n; i++)
        if (pads->v[i].symbol || pads->v[i].v < 0 || pads->v[i].v > 1 << 20) return false;
    const int n = pads->n / 2;
    return !pads->v[0].v && !pads->v[1].v && !pads->v[n].v && !pads->v[n + 1].v;
}

static koe_status take_pad(koe_pass *p, koe_node *conv, koe_error *err)
{
    koe_node *pad = koe_pass_inner(p, conv->in[0], "Pad");
    const koe_tensor *w = koe_pass_constant(p, conv->in[1]);
    koe_values pads;
    const int64_t *own;
    if (!pad || !w || w->n_dim < 3 || !zero_pads(p, pad, &pads) || pads.n != 2 * w->n_dim) return KOE_OK;
    const int n = w->n_dim - 2;
    const size_t n_own = koe_node_ints(conv, "pads", &own);
    if (!koe_str_is(koe_node_str(conv, "auto_pad", "NOTSET"), "NOTSET") || (n_own && n_own != (size_t)(2 * n))) return KOE_OK;
    int64_t *sum = koe_arena_array(&p->s->arena, (size_t)(2 * n), sizeof *sum);
    koe_onnx_attr *attr = koe_arena_array(&p->s->arena, conv->n_attr + 1, sizeof *attr);
    int *in = koe_graph_slots(p->s, (size_t)conv->n_in);
    if (!sum || !attr || !in) return koe_fail(err, KOE_E_NOMEM, "a fused node");
    for (int i = 0; i < 2 * n; i++) {
        const int64_t before = n_own ? own[i] : 0, more = pads.v[i < n ? i + 2 : i + 4].v;
        if (before < 0 || before > 1 << 20) return KOE_OK;
        sum[i] = before + more;
    }
    size_t n_attr = 0;
    for (size_t i = 0; i < conv->n_attr; i++)
        if (!koe_str_is(conv->attr[i].name, "pads")) attr[n_attr++] = conv->attr[i];
    attr[n_attr++] = (koe_onnx_attr){ .name = KOE_STR("pads"), .type = KOE_ATTR_INTS, .ints = sum, .n = (size_t)(2 * n) };
    memcpy(in, conv->in, (size_t)conv->n_in * sizeof *in);
    in[0] = pad->in[0];
    conv->in = in;
    conv->attr = attr;
    conv->n_attr = n_attr;
    p->n_done++;
    return KOE_OK;
}

koe_status koe_pass_pad(koe_pass *p, koe_error *err)
{
    koe_status st = KOE_OK;
    for (int i = 0; i < p->plan->n_node && st == KOE_OK; i++)
        if (koe_pass_is_op(p->plan->node[i], "", "Conv")) st = take_pad(p, p->plan->node[i], err);
    return st;
}
