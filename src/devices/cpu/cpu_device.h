/* cpu_device.h -- the processor as a Device.
 *
 * Each operation goes to the kernel of the tier that was chosen at start, and there to the threads of
 * one team; an operation that the tier has no kernel for runs on the reference, and cpu_kernel_tier()
 * says so to whoever asks (`make matrix`, the trace). Weights are repacked for the tier at upload.
 */
#ifndef DEVICES_CPU_CPU_DEVICE_H
#define DEVICES_CPU_CPU_DEVICE_H

#include "base/cpu_tier.h"
#include "core/device.h"

typedef struct CpuOptions {
    CpuTier tier;         /* TIER_BEST: the highest that this processor has */
    int threads;          /* 0: as many as the processor, its cgroup and its affinity allow */
    bool near;            /* products of many rows may round to bf16, on tiers that have such (cpu_tier_rounds()); on AMX also
                           * attention's, where many queries share keys (kernels/attend/attend_near.h) */
    bool touches;         /* what is taken is there at once: for who runs long, and would rather wait now, or fail now */
} CpuOptions;

Err cpu_device_open(const CpuOptions *, Device **out, Error *err);   /* UNSUPPORTED: the tier is not there */

CpuTier cpu_device_tier(const Device *);
int cpu_device_threads(const Device *);
bool cpu_tier_rounds(CpuTier);   /* whether it has products of bf16 */
/* The tier whose kernel would run this call: lower than the device's where it falls back. */
CpuTier cpu_kernel_tier(const Device *, const OpCall *);

#endif
