#include "core/device.h"

static const char *const names[OP_COUNT] = {
#define OP(kind, NAME, name) [OP_##NAME] = #name,
#include "core/ops.inc"
#undef OP
};

const char *op_name(Op op)
{
    ASSERT((unsigned)op < OP_COUNT);
    return names[op];
}

static void check(const Tensor *t)
{
    ASSERT(t->dims >= 1 && t->dims <= TENSOR_DIMS);
    for (int i = 0; i < TENSOR_DIMS; i++)
        ASSERT(t->dim[i] >= 0 && (i < t->dims || t->dims == 1 || t->dim[i] == 1));
    ASSERT(tensor_width(*t) % t->format->block_elems == 0);
    ASSERT(t->row_elems >= tensor_width(*t) || t->dim[0] <= 1);
}

void device_run(Device *d, OpCall *call)
{
    call->outs = call->ins = 0;
    for (int8_t i = 0; i < OP_OUTS; i++)
        if (!tensor_is_none(call->out[i])) {
            check(&call->out[i]);
            call->outs = (int8_t)(i + 1);
        }
    for (int8_t i = 0; i < OP_INS; i++)
        if (!tensor_is_none(call->in[i])) {
            check(&call->in[i]);
            call->ins = (int8_t)(i + 1);
        }
    if (call->out[0].dim[0] > 0)   /* a step that wants no logits has a head without rows */
        d->calls->run(d, call);
}
