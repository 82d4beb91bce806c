#include "kernels/keep_above/keep_above.h"

#include <math.h>

#include "kernels/kit/simd.h"

static int lanes_at(int64_t i, int64_t width) { return (int)min_i64(LANES, width - i); }

static void keep(float *y, const float *x, int64_t width, float deviations)
{
    Vf sum = vf_zero(), squares = vf_zero();
    for (int64_t i = 0; i < width; i += LANES)
        sum = vf_add(sum, vf_load_n(x + i, lanes_at(i, width)));
    Vf mean = vf_all(vf_sum(sum) / (float)width);
    for (int64_t i = 0; i < width; i += LANES) {
        int n = lanes_at(i, width);
        vf_store_n(y + i, vf_sub(vf_load_n(x + i, n), mean), n);
        Vf off = vf_load_n(y + i, n); /* zeros beyond the row */
        squares = vf_fma(off, off, squares);
    }
    Vf cut = vf_all(deviations * sqrtf(vf_sum(squares) / (float)width));
    for (int64_t i = 0; i < width; i += LANES) {
        int n = lanes_at(i, width);
        vf_store_n(y + i, vf_max(vf_sub(vf_load_n(y + i, n), cut), vf_zero()), n);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], x = c->in[0];
    ASSERT(same_shape(y, x));
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++)
        keep(f32_row_out(y, r), f32_row(x, r), tensor_width(y), c->factor);
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_keep_above) = {.phases = 1, .threads = threads, .run = run};
