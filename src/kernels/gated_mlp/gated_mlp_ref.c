/* gated_mlp_ref.c -- see gated_mlp.h. */
#include "kernels/gated_mlp/gated_mlp.h"

#include "core/ops.h"
#include "kernels/op_spec.h"

static void compose(Device *d, const OpCall *c)
{
    size_t mark = device_mark(d);
    int32_t rows = c->in[MLP_X].dim[0], width = c->in[MLP_GATE].dim[0];
    Tensor h = device_f32(d, rows, width), up = device_f32(d, rows, width);
    op_linear(d, h, c->in[MLP_X], c->in[MLP_GATE], c->in[MLP_GATE_BIAS]);
    op_linear(d, up, c->in[MLP_X], c->in[MLP_UP], c->in[MLP_UP_BIAS]);
    op_gate(d, h, h, up, c->activation);
    op_linear_add(d, c->out[0], h, c->in[MLP_DOWN], c->in[MLP_DOWN_BIAS]);
    device_release(d, mark);
}

static OpCost cost(const OpCall *c)
{
    double rows = c->in[MLP_X].dim[0], h = rows * c->in[MLP_GATE].dim[0];
    OpCost sum = {.operations = 2 * h};
    sum.activation_bytes = (double)tensor_bytes(c->in[MLP_X]) + 2 * (double)tensor_bytes(c->out[0]);
    for (int i = MLP_GATE; i <= MLP_DOWN; i++) {
        sum.operations += 2 * rows * (double)tensor_elems(c->in[i]);
        sum.weight_bytes += (double)tensor_bytes(c->in[i]);
    }
    return sum;
}

const OpSpec spec_gated_mlp = {.cost = cost, .compose = compose, .tolerance = 5e-3f};
