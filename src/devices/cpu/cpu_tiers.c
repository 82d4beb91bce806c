#include "devices/cpu/cpu_tiers.h"

#include <string.h>

#define OP(kind, NAME, name)                                                     \
    extern const CpuKernel kernel_##name##_reference __attribute__((weak));      \
    extern const CpuKernel kernel_##name##_avx2 __attribute__((weak));           \
    extern const CpuKernel kernel_##name##_avx512 __attribute__((weak));
#include "core/ops.inc"
#undef OP

static const CpuKernel *const kernels[OP_COUNT][TIER_COUNT] = {
#define OP(kind, NAME, name)                                    \
    [OP_##NAME] = {[TIER_REFERENCE] = &kernel_##name##_reference, \
                   [TIER_AVX2] = &kernel_##name##_avx2,           \
                   [TIER_AVX512] = &kernel_##name##_avx512},
#include "core/ops.inc"
#undef OP
};

const CpuKernel *cpu_kernel(Op op, CpuTier tier)
{
    ASSERT((unsigned)op < OP_COUNT && tier >= 0 && tier < TIER_COUNT);
    return kernels[op][tier];
}

static const char *const names[TIER_COUNT] = {"reference", "avx2", "avx512"};

const char *cpu_tier_name(CpuTier tier)
{
    ASSERT(tier >= 0 && tier < TIER_COUNT);
    return names[tier];
}

bool cpu_tier_parse(const char *name, CpuTier *out)
{
    for (int i = 0; i < TIER_COUNT; i++)
        if (!strcmp(name, names[i])) {
            *out = (CpuTier)i;
            return true;
        }
    return false;
}

CpuTier cpu_best_tier(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512bf16"))
        return TIER_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        return TIER_AVX2;
#endif
    return TIER_REFERENCE;
}
