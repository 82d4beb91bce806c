#include "devices/cpu/cpu_tiers.h"

#define DECLARE(op, NAME, tier) extern const CpuKernel kernel_##op##_##tier __attribute__((weak));
#define OP(kind, NAME, name)                                                                                           \
    extern const CpuKernel kernel_##name##_reference __attribute__((weak));                                            \
    CPU_TIERS(DECLARE, name)                                                                                           \
    CPU_TIERS_OF_PRODUCTS(DECLARE, name)
#include "core/ops.inc"
#undef OP
#undef DECLARE

static const CpuKernel *const kernels[OP_COUNT][TIER_COUNT] = {
#define FIND(op, NAME, tier) [TIER_##NAME] = &kernel_##op##_##tier,
#define OP(kind, NAME, name)                                                                                           \
    [OP_##NAME] = {[TIER_REFERENCE] = &kernel_##name##_reference, CPU_TIERS(FIND, name) CPU_TIERS_OF_PRODUCTS(FIND, name)},
#include "core/ops.inc"
#undef OP
#undef FIND
};

const CpuKernel *cpu_kernel(Op op, CpuTier tier)
{
    ASSERT((unsigned)op < OP_COUNT && tier >= 0 && tier < TIER_COUNT);
    return kernels[op][tier] ? kernels[op][tier] : kernels[op][cpu_tier_whole(tier)];
}

const Panel *cpu_panel(const Format *format, CpuTier tier)
{
    const Panel *(*const find[TIER_COUNT])(const Format *) = {
#define FIND(x, NAME, tier) [TIER_##NAME] = panel_find_##tier,
        CPU_TIERS(FIND, )
#undef FIND
    };
    CpuTier whole = cpu_tier_whole(tier);
    return find[whole] ? find[whole](format) : NULL;
}
