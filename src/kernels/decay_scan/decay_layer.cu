/* decay_layer.cu -- see decay_layer_cuda.h: finds the calls; scan_strips_cuda.h makes them.
 *
 *     dt += bias;  dt = softplus(dt);  [dt = clamp(dt)]
 *     decay = A dt;  decay = exp(decay);  v = dt u
 *     y = scan(q, k, v, decay)
 *     v = D u;  y += v;  [y = silu(z) y]
 */
#include "kernels/decay_scan/decay_layer_cuda.h"
#include "kernels/decay_scan/scan_strips_cuda.h"
#include "kernels/kit/later_calls.h"

/* y = f(gate) * up */
static bool is_gate(const OpCall *c, Activation f, Tensor y, Tensor up)
{
    return c->op == OP_GATE && c->activation == f && same_rows(c->out[0], y) && same_rows(c->in[1], up);
}
static bool is_activate(const OpCall *c, Activation f, Tensor x)
{
    return c->op == OP_ACTIVATE && c->activation == f && same_rows(c->out[0], x) && same_rows(c->in[0], x);
}
static bool is_add(const OpCall *c, Tensor y) { return c->op == OP_ADD && c->factor == 1 && same_rows(c->out[0], y); }

/* A number for each of `heads`, the same for all rows. */
static bool is_for_all(Tensor t, Tensor heads) { return tensor_elems(t) == tensor_width(heads); }

static const OpCall *read_step(const OpCall *c, Tensor dt, Layer *l)
{
    if (!is_add(c, dt) || !is_for_all(c->in[0], dt) || !is_activate(c + 1, SOFTPLUS, dt))
        return NULL;
    l->dt = rows_of(dt);
    l->bias = tensor_f32(c->in[0]);
    l->low = -INFINITY;
    l->high = INFINITY;
    c += 2;
    if (c->op != OP_CLAMP)
        return c;
    l->low = c->clamp.low;
    l->high = c->clamp.high;
    return same_rows(c->out[0], dt) && same_rows(c->in[0], dt) ? c + 1 : NULL;
}

static const OpCall *read_decay(const OpCall *c, Tensor dt, Tensor decay, Layer *l)
{
    if (!is_gate(c, IDENTITY, decay, dt) || !is_for_all(c->in[0], dt) || !is_activate(c + 1, EXP, decay))
        return NULL;
    l->A = tensor_f32(c->in[0]);
    return c + 2;
}

static const OpCall *read_rest(const OpCall *c, Tensor dt, Tensor u, Tensor v, Tensor y, Layer *l)
{
    if (!is_gate(c, IDENTITY, v, u) || !is_for_all(c->in[0], dt) || !is_add(c + 1, y) || !same_rows(c[1].in[0], v))
        return NULL;
    l->D = tensor_f32(c->in[0]);
    c += 2;
    l->z.at = NULL;
    if (!is_gate(c, SILU, y, y) || tensor_width(c->in[0]) != tensor_width(y) || c->in[0].dim[0] != y.dim[0])
        return c;
    l->z = rows_of(c->in[0]);
    return lie_together(c->in[0], y) ? NULL : c + 1;
}

/* The call after the layer's last one; NULL: this is none. */
static const OpCall *read_layer(const OpCall *c, Layer *l, const OpCall **scan, Tensor *u)
{
    Tensor dt = c->out[0], decay, v;
    c = read_step(c, dt, l);
    if (!c)
        return NULL;
    decay = c->out[0];
    c = read_decay(c, dt, decay, l);
    if (!c || c->op != OP_GATE || !same_rows(c->in[0], dt))
        return NULL;
    v = c->out[0];
    *u = c->in[1];
    *scan = c + 1;
    if (!is_gate(c, IDENTITY, v, *u) || c[1].op != OP_DECAY_SCAN || !same_rows(c[1].in[2], v) ||
        !same_rows(c[1].in[3], decay) || tensor_width(dt) != c[1].out[0].dim[1] || lie_together(*u, c[1].out[0]))
        return NULL;
    return read_rest(c + 2, dt, *u, v, c[1].out[0], l);
}

int decay_layer_run(const OpCall *c, int count, const CudaRun *g)
{
    enum { CALLS_MAX = 10 };
    Layer l = {};
    Tensor u;
    const OpCall *scan, *end = count >= CALLS_MAX ? read_layer(c, &l, &scan, &u) : NULL;
    if (!end)
        return 0;
    Scan m = scan_of(scan);
    States s = states_of(scan, 4);
    int calls = (int)(end - c), left = count - calls;
    m.v = rows_of(u);
    m.layer = l;
    if (m.N > N_MAX || !is_wide(m, s) || is_read_later(end, left, c->out[0]) || is_read_later(end, left, scan->in[2]) ||
        is_read_later(end, left, scan->in[3]))
        return 0;
    launch_scan<true>(m, s, g);
    return calls;
}
