#include "kernels/rms_norm/rms_norm.h"

#include <math.h>

#include "kernels/kit/simd.h"

static void norm(float *y, const float *x, const float *gain, int32_t width, float eps)
{
    int32_t whole = width / LANES * LANES, rest = width - whole;
    Vf squares = vf_zero();
    for (int32_t i = 0; i < whole; i += LANES)
        squares = vf_fma(vf_load(x + i), vf_load(x + i), squares);
    Vf last = vf_load_n(x + whole, rest);
    squares = vf_fma(last, last, squares);

    Vf factor = vf_all(1 / sqrtf(vf_sum(squares) / (float)width + eps)), one = vf_all(1);
    for (int32_t i = 0; i < whole; i += LANES)
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), factor), gain ? vf_load(gain + i) : one));
    vf_store_n(y + whole, vf_mul(vf_mul(last, factor), gain ? vf_load_n(gain + whole, rest) : one), rest);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], x = c->in[0];
    int32_t width = innermost(x);
    const float *gain = tensor_is_none(c->in[1]) ? NULL : tensor_f32(c->in[1]);
    int64_t step = gain_step(c);
    ASSERT(same_shape(y, x));
    Range rows = part_range(part, x.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++)
        for (int64_t h = 0, at = 0; at < tensor_width(x); h++, at += width)
            norm(f32_row_out(y, r) + at, f32_row(x, r) + at, gain ? gain + h * step : NULL, width, c->eps);
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_rms_norm) = {.phases = 1, .threads = threads, .run = run};
