/* gate.cu -- see gate.h. */
#include "kernels/activate/activate_cuda.h"

static __global__ void gate_rows(Rows y, Rows gate, Rows up, int share, Activation f)
{
    previous();
    const float *by = row(gate, blockIdx.x), *from = row(up, blockIdx.x);
    EACH(i, y)
        row(y, blockIdx.x)[i] = (float)(activation_at(f, by[share == 1 ? i : i / share]) * from[i]);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]), gate = rows_of(c->in[0]);
    LAUNCH(gate_rows, grid_of(y), EACH_THREADS, 0, g, y, gate, rows_of(c->in[1]), y.width / gate.width, c->activation);
}

CUDA_KERNEL(gate, NULL, NULL, run)
