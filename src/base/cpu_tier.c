#include "base/cpu_tier.h"

#include <string.h>
#ifdef __aarch64__
#include <sys/auxv.h>
#endif

#include "base/error.h"

static const char *const names[TIER_COUNT] = {
    "reference",
#define NAME_OF(x, NAME, name) #name,
    CPU_TIERS(NAME_OF, )
#undef NAME_OF
};

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
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        return TIER_AVX2;
#endif
#ifdef __aarch64__
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP || !NEON_HAS_DOT_PRODUCT)
        return TIER_NEON;
#endif
    return TIER_REFERENCE;
}
