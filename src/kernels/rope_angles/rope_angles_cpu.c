/* rope_angles_cpu.c -- once per step and not per layer: the reference, spread over threads. */
#include "kernels/rope_angles/rope_angles.h"

enum { ANGLES_PER_THREAD = 256 };     /* some microseconds of sines */

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    rope_angles_range(c, part_range(part, c->out[0].dim[0], 1));
}

static int64_t threads(const OpCall *c)
{
    Tensor angles = c->out[0];
    return min_i64(angles.dim[0], tensor_elems(angles) / ANGLES_PER_THREAD + 1);
}

const CpuKernel TIERED(kernel_rope_angles) = {.phases = 1, .threads = threads, .run = run};
