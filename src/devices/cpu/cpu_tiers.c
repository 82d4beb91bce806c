#include "devices/cpu/cpu_tiers.h"

#define OP(kind, NAME, name)                                                                                           \
    extern const CpuKernel kernel_##name##_reference __attribute__((weak));                                            \
    extern const CpuKernel kernel_##name##_avx2 __attribute__((weak));                                                 \
    extern const CpuKernel kernel_##name##_avx512 __attribute__((weak));
#include "core/ops.inc"
#undef OP

static const CpuKernel *const kernels[OP_COUNT][TIER_COUNT] = {
#define OP(kind, NAME, name)                                                                                           \
    [OP_##NAME] = {[TIER_REFERENCE] = &kernel_##name##_reference,                                                      \
                   [TIER_AVX2] = &kernel_##name##_avx2,                                                                \
                   [TIER_AVX512] = &kernel_##name##_avx512},
#include "core/ops.inc"
#undef OP
};

const CpuKernel *cpu_kernel(Op op, CpuTier tier)
{
    ASSERT((unsigned)op < OP_COUNT && tier >= 0 && tier < TIER_COUNT);
    return kernels[op][tier];
}

#pragma weak panel_find_avx2
#pragma weak panel_find_avx512

const Panel *cpu_panel(const Format *format, CpuTier tier)
{
    const Panel *(*const find[TIER_COUNT])(const Format *) = {
        [TIER_AVX2] = panel_find_avx2, [TIER_AVX512] = panel_find_avx512};
    return find[tier] ? find[tier](format) : NULL;
}
