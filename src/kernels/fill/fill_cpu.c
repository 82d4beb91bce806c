#include "kernels/fill/fill.h"
#include "kernels/kit/simd.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0];
    Vf value = vf_all(c->factor);
    int64_t width = tensor_width(y);
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float *to = f32_row_out(y, r);
        for (int64_t i = 0; i < width; i += LANES)
            vf_store_n(to + i, value, (int)min_i64(LANES, width - i));
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_fill) = {.phases = 1, .threads = threads, .run = run};
