#include "kernels/kit/vmath.h"
#include "kernels/xielu/xielu.h"

INLINE Vf xielu(Xielu f, Vf x)
{
    Vf above = vf_mul(vf_all(f.alpha_p), vf_mul(x, x));
    Vf below = vf_mul(vf_all(f.alpha_n), vf_sub(vf_expm1(vf_min(vf_all(f.eps), x)), x));
    return vf_fma(vf_all(f.beta), x, vf_pick(vf_less(vf_zero(), x), above, below));
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], x = c->in[0];
    ASSERT(same_shape(y, x));
    int64_t width = tensor_width(y);
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float *to = f32_row_out(y, r);
        const float *from = f32_row(x, r);
        for (int64_t i = 0; i < width; i += LANES) {
            int n = (int)min_i64(LANES, width - i);
            vf_store_n(to + i, xielu(c->xielu, vf_load_n(from + i, n)), n);
        }
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_xielu) = {.phases = 1, .threads = threads, .run = run};
