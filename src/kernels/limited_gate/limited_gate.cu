/* limited_gate.cu -- see limited_gate.h. */
#include "kernels/kit/cuda_kit.h"

static __global__ void limited_gate_rows(Rows y, Rows gate, Rows up, LimitedGate l)
{
    previous();
    EACH(i, y) {
        double a = row(gate, blockIdx.x)[i], b = row(up, blockIdx.x)[i];
        double v = fmin(a, (double)l.limit), u = fmax(-(double)l.limit, fmin(b, (double)l.limit));
        row(y, blockIdx.x)[i] = (float)(isnan(a + b) ? a + b : v / (1 + exp(-l.alpha * v)) * (u + l.shift));
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Rows y = rows_of(c->out[0]);
    LAUNCH(limited_gate_rows, grid_of(y), EACH_THREADS, 0, g, y, rows_of(c->in[0]), rows_of(c->in[1]), c->limited_gate);
}

CUDA_KERNEL(limited_gate, NULL, NULL, run)
