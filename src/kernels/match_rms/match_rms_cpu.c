#include "kernels/match_rms/match_rms.h"

#include <math.h>

#include "kernels/kit/simd.h"

static int lanes_at(int64_t i, int64_t width) { return (int)min_i64(LANES, width - i); }

static float mean_square(const float *x, int64_t width)
{
    Vf squares = vf_zero();
    for (int64_t i = 0; i < width; i += LANES) {
        Vf v = vf_load_n(x + i, lanes_at(i, width));
        squares = vf_fma(v, v, squares);
    }
    return vf_sum(squares) / (float)width;
}

static void match(float *y, const float *x, int64_t width, float target, float least)
{
    float square = mean_square(x, width);
    Vf factor = vf_all(target / sqrtf(square > least ? square : least));
    for (int64_t i = 0; i < width; i += LANES) {
        int n = lanes_at(i, width);
        vf_store_n(y + i, vf_mul(vf_load_n(x + i, n), factor), n);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], x = c->in[0], of = c->in[1];
    int32_t width = innermost(x);
    match_rms_check(c);
    Range rows = part_range(part, x.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float target = sqrtf(mean_square(f32_row(of, r), tensor_width(of)));
        for (int64_t at = 0; at < tensor_width(x); at += width)
            match(f32_row_out(y, r) + at, f32_row(x, r) + at, width, target, c->eps);
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_match_rms) = {.phases = 1, .threads = threads, .run = run};
