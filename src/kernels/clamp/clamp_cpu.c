#include "kernels/clamp/clamp.h"
#include "kernels/kit/simd.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], x = c->in[0];
    Vf low = vf_all(c->clamp.low), high = vf_all(c->clamp.high);
    int64_t width = tensor_width(y);
    ASSERT(same_shape(y, x) && c->clamp.low <= c->clamp.high);
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float *to = f32_row_out(y, r);
        const float *from = f32_row(x, r);
        for (int64_t i = 0; i < width; i += LANES) {
            int n = (int)min_i64(LANES, width - i);
            vf_store_n(to + i, vf_max(low, vf_min(high, vf_load_n(from + i, n))), n);
        }
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_clamp) = {.phases = 1, .threads = threads, .run = run};
