#include "kernels/kit/simd.h"
#include "kernels/position_scale/position_scale.h"

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor x = c->out[0];
    const int32_t *positions = tensor_i32(c->in[0]);
    int64_t width = tensor_width(x);
    Range rows = part_range(part, x.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float *to = f32_row_out(x, r);
        Vf factor = vf_all(position_factor(c->position_scale, positions[r]));
        for (int64_t i = 0; i < width; i += LANES) {
            int n = (int)min_i64(LANES, width - i);
            vf_store_n(to + i, vf_mul(factor, vf_load_n(to + i, n)), n);
        }
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_position_scale) = {.phases = 1, .threads = threads, .run = run};
