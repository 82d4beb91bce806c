/* cpu_tier.h -- the instruction sets that *_cpu.c files are built for, and which this processor has.
 *
 * A choice of speed only: every tier gives the same bits.
 */
#ifndef BASE_CPU_TIER_H
#define BASE_CPU_TIER_H

#include <stdbool.h>

/* do(x, NAME, name) for each tier of this architecture, the lowest first: each includes those before it. */
#if defined(__x86_64__)
#define CPU_TIERS(do, x) do(x, AVX2, avx2) do(x, AVX512, avx512)
#elif defined(__aarch64__)
#define CPU_TIERS(do, x) do(x, NEON, neon)
#else
#define CPU_TIERS(do, x)
#endif

typedef enum CpuTier {
    TIER_BEST = -1,
    TIER_REFERENCE,
#define TIER_OF(x, NAME, name) TIER_##NAME,
    CPU_TIERS(TIER_OF, )
#undef TIER_OF
    TIER_COUNT
} CpuTier;

/* As a command line has them: the number of a choice is 1 + the tier. */
#define TIER_NAME_AFTER_COMMA(x, NAME, name) "," #name
#define CPU_TIER_CHOICES "best,reference" CPU_TIERS(TIER_NAME_AFTER_COMMA, )

CpuTier cpu_best_tier(void);         /* the highest that this processor has */
const char *cpu_tier_name(CpuTier);
bool cpu_tier_parse(const char *name, CpuTier *out);

#endif
