/* tier.h -- names of what is built once per tier: TIERED(kernel_add) is kernel_add_avx2, ... */
#ifndef KERNELS_KIT_TIER_H
#define KERNELS_KIT_TIER_H

#define TIER_PASTE_(name, tier) name##_##tier
#define TIER_PASTE(name, tier) TIER_PASTE_(name, tier)
#define TIERED(name) TIER_PASTE(name, TIER)         /* in a *_cpu.c: kernel_add -> kernel_add_avx2 */

#endif
