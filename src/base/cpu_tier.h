/* cpu_tier.h -- the instruction sets that *_cpu.c files are built for, and which this processor has.
 *
 * A choice of speed only: every tier gives the same bits.
 */
#ifndef BASE_CPU_TIER_H
#define BASE_CPU_TIER_H

#include <stdbool.h>

typedef enum CpuTier { TIER_BEST = -1, TIER_REFERENCE, TIER_AVX2, TIER_AVX512, TIER_COUNT } CpuTier;

CpuTier cpu_best_tier(void);         /* the highest that this processor has */
const char *cpu_tier_name(CpuTier);
bool cpu_tier_parse(const char *name, CpuTier *out);

#endif
