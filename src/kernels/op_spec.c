#include "kernels/op_spec.h"

#define OP(kind, NAME, name) extern const OpSpec spec_##name __attribute__((weak));
#include "core/ops.inc"
#undef OP

static const OpSpec *const specs[OP_COUNT] = {
#define OP(kind, NAME, name) [OP_##NAME] = &spec_##name,
#include "core/ops.inc"
#undef OP
};

const OpSpec *op_spec(Op op)
{
    ASSERT((unsigned)op < OP_COUNT);
    return specs[op];
}

double op_allowed(Op op, bool rounded)
{
    bool multiplies = op == OP_LINEAR || op == OP_LINEAR3 || op == OP_GATED_MLP || op == OP_EXPERT_LINEAR || op == OP_ATTEND;
    return rounded && multiplies ? 0x1p-6 : op_spec(op)->tolerance;
}

/* Only weights decide: what is no product computes with floats, whatever it reads. */
Demand op_demand(const OpCall *call, const OpCost *cost)
{
    Arithmetic kind = ARITHMETIC_FP32;
    for (int i = 0; i < call->ins && cost->weight_bytes > 0; i++)
        if (!tensor_is_none(call->in[i]) && format_arithmetic(call->in[i].format) > kind)
            kind = format_arithmetic(call->in[i].format);
    Demand demand = {.bytes = cost->weight_bytes + cost->cache_bytes};
    demand.operations[kind] = cost->operations;
    return demand;
}
