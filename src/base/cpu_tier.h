/* cpu_tier.h -- the instruction sets that *_cpu.c files are built for, and which this processor has.
 *
 * A choice of speed only: every tier gives the same bits. AMX is AVX-512 and, for products with many rows, and for attention
 * that may be rounded, the processor's tiles: only those are built for it, all else is AVX-512's.
 */
#ifndef BASE_CPU_TIER_H
#define BASE_CPU_TIER_H

#include <stdbool.h>

/* do(x, NAME, name) for each tier of this architecture, the lowest first: each includes those before it. All *_cpu.c
 * are built for CPU_TIERS, some for CPU_TIERS_OF_PRODUCTS. */
#if defined(__x86_64__)
#define CPU_TIERS(do, x) do(x, AVX2, avx2) do(x, AVX512, avx512)
#define CPU_TIERS_OF_PRODUCTS(do, x) do(x, AMX, amx)
#elif defined(__aarch64__)
#define CPU_TIERS(do, x) do(x, NEON, neon)
#define CPU_TIERS_OF_PRODUCTS(do, x)
#else
#define CPU_TIERS(do, x)
#define CPU_TIERS_OF_PRODUCTS(do, x)
#endif

typedef enum CpuTier {
    TIER_BEST = -1,
    TIER_REFERENCE,
#define TIER_OF(x, NAME, name) TIER_##NAME,
    CPU_TIERS(TIER_OF, )
    CPU_TIERS_OF_PRODUCTS(TIER_OF, )
#undef TIER_OF
    TIER_COUNT
} CpuTier;

/* As a command line has them: the number of a choice is 1 + the tier. */
#define TIER_NAME_AFTER_COMMA(x, NAME, name) "," #name
#define CPU_TIER_CHOICES "best,reference" CPU_TIERS(TIER_NAME_AFTER_COMMA, ) CPU_TIERS_OF_PRODUCTS(TIER_NAME_AFTER_COMMA, )

CpuTier cpu_best_tier(void);         /* the highest that this processor has, and the system allows */
CpuTier cpu_tier_whole(CpuTier);     /* the tier that has what this one was not built for: itself, or the one below */
const char *cpu_tier_name(CpuTier);
bool cpu_tier_parse(const char *name, CpuTier *out);

#endif
