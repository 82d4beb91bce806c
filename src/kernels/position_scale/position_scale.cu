/* position_scale.cu -- see position_scale.h. */
#include "kernels/kit/cuda_kit.h"

static __global__ void scale_by_position(Rows x, const int32_t *positions, PositionScale s)
{
    previous();
    int64_t steps = ((int64_t)positions[blockIdx.x] + s.offset) / s.floor;
    float factor = (float)(1 + (double)s.growth * log(1 + (double)steps));
    EACH(i, x)
        row(x, blockIdx.x)[i] *= factor;
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows x = rows_of(c->out[0]);
    LAUNCH(scale_by_position, grid_of(x), EACH_THREADS, 0, g, x, ids_of(c->in[0]), c->position_scale);
}

CUDA_KERNEL(position_scale, NULL, NULL, run)
