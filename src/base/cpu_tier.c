#include "base/cpu_tier.h"

#include <string.h>
#ifdef __aarch64__
#include <sys/auxv.h>
#endif
#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/error.h"

static const char *const names[TIER_COUNT] = {
    "reference",
#define NAME_OF(x, NAME, name) #name,
    CPU_TIERS(NAME_OF, )
    CPU_TIERS_OF_PRODUCTS(NAME_OF, )
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

CpuTier cpu_tier_whole(CpuTier tier)
{
    switch (tier) {
#define WHOLE_OF(x, NAME, name) case TIER_##NAME: return TIER_##NAME - 1;
        CPU_TIERS_OF_PRODUCTS(WHOLE_OF, )
#undef WHOLE_OF
    default: return tier;
    }
}

#ifdef __x86_64__
/* Tiles are so large that Linux wants to be asked, once per process, before somebody uses them. */
static bool may_use_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 };
    const unsigned wanted = AMX_BF16 | AMX_TILE | AMX_INT8;
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & wanted) == wanted
        && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#endif

CpuTier cpu_best_tier(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
        __builtin_cpu_supports("avx512bf16"))
        return may_use_tiles() ? TIER_AMX : TIER_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        return TIER_AVX2;
#endif
#ifdef __aarch64__
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP || !NEON_HAS_DOT_PRODUCT)
        return TIER_NEON;
#endif
    return TIER_REFERENCE;
}
