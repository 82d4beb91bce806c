#include "kernels/add/add.h"
#include "kernels/kit/simd.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], x = c->in[0];
    ASSERT(tensor_width(y) == tensor_width(x) && has_rows(x, y.dim[0]));
    int64_t width = tensor_width(y);
    Vf factor = vf_all(c->factor);
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float *to = f32_row_out(y, r);
        const float *from = f32_row_of(x, r);
        int64_t i = 0;
        for (; i + LANES <= width; i += LANES)
            vf_store(to + i, vf_fma(factor, vf_load(from + i), vf_load(to + i)));
        int n = (int)(width - i);
        vf_store_n(to + i, vf_fma(factor, vf_load_n(from + i, n), vf_load_n(to + i, n)), n);
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_add) = {.phases = 1, .threads = threads, .run = run};
