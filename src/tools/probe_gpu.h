/* probe_gpu.h -- what `ridge probe` measures of a graphics processor: the limits of its memory and of its bf16 units.
 *
 * Both are of random numbers: zeros cost the units less power, and so less time. Needs some GiB of the GPU's memory for
 * a second or two, so it goes before a model is opened.
 */
#ifndef TOOLS_PROBE_GPU_H
#define TOOLS_PROBE_GPU_H

#include "core/machine.h"

/* index: which GPU, from 0. UNSUPPORTED: there is none that can be used. */
Err probe_gpu_run(int index, Machine *out, Error *err);

#endif
