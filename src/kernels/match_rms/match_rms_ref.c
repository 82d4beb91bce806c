#include "kernels/match_rms/match_rms.h"

#include <math.h>

static double mean_square(const float *x, int64_t width)
{
    double squares = 0;
    for (int64_t i = 0; i < width; i++)
        squares += (double)x[i] * x[i];
    return squares / (double)width;
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor y = c->out[0], x = c->in[0], of = c->in[1];
    int32_t width = innermost(x);
    match_rms_check(c);
    for (int64_t r = 0; r < x.dim[0]; r++) {
        double target = sqrt(mean_square(f32_row(of, r), tensor_width(of)));
        for (int64_t at = 0; at < tensor_width(x); at += width) {
            const float *from = f32_row(x, r) + at;
            double factor = target / sqrt(fmax(mean_square(from, width), c->eps));
            for (int32_t i = 0; i < width; i++)
                f32_row_out(y, r)[at + i] = (float)(from[i] * factor);
        }
    }
}

static OpCost cost(const OpCall *c)
{
    Tensor x = c->in[0], of = c->in[1];
    return (OpCost){.operations = 4 * (double)tensor_elems(x) + 2 * (double)tensor_elems(of),
                    .activation_bytes = 2 * bytes_moved(x) + bytes_moved(of)};
}

const CpuKernel kernel_match_rms_reference = {.phases = 1, .run = run};
const OpSpec spec_match_rms = {.cost = cost, .tolerance = 4e-6f};
