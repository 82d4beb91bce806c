#include "kernels/kit/simd.h"
#include "kernels/scale/scale.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], x = c->in[0];
    ASSERT(same_shape(y, x));
    int64_t width = tensor_width(y);
    Vf factor = vf_all(c->factor);
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float *to = f32_row_out(y, r);
        const float *from = f32_row(x, r);
        int64_t i = 0;
        for (; i + LANES <= width; i += LANES)
            vf_store(to + i, vf_mul(factor, vf_load(from + i)));
        for (; i < width; i++)
            to[i] = c->factor * from[i];
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_scale) = {.phases = 1, .threads = threads, .run = run};
