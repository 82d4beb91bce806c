/* combine.cu -- see combine.h. */
#include "kernels/kit/cuda_kit.h"

typedef struct Combine {
    Rows y, x, weights, self;
    const int32_t *ids;
    int64_t ids_step;
    int k, experts;
} Combine;

static __global__ void combine_rows(Combine c)
{
    previous();
    int64_t r = blockIdx.x;
    const int32_t *ids = c.ids ? c.ids + r * c.ids_step : NULL;
    EACH(o, c.y) {
        double sum = row(c.y, r)[o];
        for (int i = 0; i < c.k; i++) {
            float part = ids && ids[i] >= c.experts ? row(c.self, r)[o] : row(c.x, r)[(int64_t)i * c.y.width + o];
            sum += (c.weights.at ? row(c.weights, r)[i] : 1) * (double)part;
        }
        row(c.y, r)[o] = (float)sum;
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Combine m = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]), rows_of(c->in[3]), ids_of(c->in[2]),
                 c->in[2].row_elems, c->in[0].dim[1], c->combine.experts};
    LAUNCH(combine_rows, grid_of(m.y), EACH_THREADS, 0, g, m);
}

CUDA_KERNEL(combine, NULL, NULL, run)
