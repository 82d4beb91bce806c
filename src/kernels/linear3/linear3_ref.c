/* linear3_ref.c -- see linear3.h. */
#include "kernels/linear3/linear3.h"

#include "core/ops.h"
#include "kernels/op_spec.h"

static void compose(Device *d, const OpCall *c)
{
    for (int i = 0; i < LINEAR3; i++)
        op_linear(d, c->out[i], c->in[0], c->in[1 + i], c->in[1 + LINEAR3 + i]);
}

static OpCost cost(const OpCall *c)
{
    OpCost sum = {.activation_bytes = (double)tensor_bytes(c->in[0])};
    for (int i = 0; i < LINEAR3; i++) {
        Tensor w = c->in[1 + i];
        sum.operations += 2 * (double)c->in[0].dim[0] * (double)tensor_elems(w);
        sum.weight_bytes += (double)tensor_bytes(w);
        sum.activation_bytes += (double)tensor_bytes(c->out[i]);
    }
    return sum;
}

const OpSpec spec_linear3 = {.cost = cost, .compose = compose, .tolerance = 1e-5f};
