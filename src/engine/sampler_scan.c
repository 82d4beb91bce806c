/* The tier without a special instruction set, from the same source, and the list of all. */
#define TIER reference
#include "engine/sampler_scan_cpu.c"

#ifdef __x86_64__
extern const Scan scan_avx2, scan_avx512;
static const Scan *const scans[TIER_COUNT] = {&scan_reference, &scan_avx2, &scan_avx512};
#else
static const Scan *const scans[TIER_COUNT] = {&scan_reference};
#endif

const Scan *scan_of(CpuTier tier)
{
    return scans[tier == TIER_BEST ? cpu_best_tier() : tier];
}
