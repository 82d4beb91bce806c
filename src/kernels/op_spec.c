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
