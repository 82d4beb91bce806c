/* cpu_tiers.h -- which kernel computes which operation on which tier: found by the linker, so that a
 * new kernels/<op>/<op>_cpu.c is in the table without an edit. */
#ifndef DEVICES_CPU_CPU_TIERS_H
#define DEVICES_CPU_CPU_TIERS_H

#include "devices/cpu/cpu_device.h"
#include "formats/panel.h"
#include "kernels/cpu_kernel.h"

const CpuKernel *cpu_kernel(Op, CpuTier);              /* NULL: there is none */
const Panel *cpu_panel(const Format *, CpuTier);       /* NULL: weights of this format stay in plain rows */

#endif
