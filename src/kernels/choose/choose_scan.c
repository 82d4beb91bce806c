/* The tier without a special instruction set, from the same source, and the list of all. */
#define TIER reference
#define TIER_reference
#include "kernels/choose/choose_scan_cpu.c"

#define SCAN_OF(x, NAME, name) extern const Scan scan_##name;
CPU_TIERS(SCAN_OF, )
#undef SCAN_OF
static const Scan *const scans[TIER_COUNT] = {
    &scan_reference,
#define SCAN_OF(x, NAME, name) &scan_##name,
    CPU_TIERS(SCAN_OF, )
#undef SCAN_OF
};

const Scan *scan_of(CpuTier tier)
{
    return scans[cpu_tier_whole(tier == TIER_BEST ? cpu_best_tier() : tier)];
}
