#include "kernels/combine/combine.h"
#include "kernels/kit/simd.h"

enum { PART = 256 };   /* columns at a time: so a single row has work for several threads */

static void combine_columns(const OpCall *c, int64_t r, int64_t from, int64_t to)
{
    Tensor weights = c->in[COMBINE_WEIGHTS];
    float *y = f32_row_out(c->out[0], r);
    for (int64_t o = from; o < to; o += LANES) {
        int n = to - o < LANES ? (int)(to - o) : LANES;
        Vf sum = vf_load_n(y + o, n);
        for (int32_t i = 0; i < c->in[COMBINE_X].dim[1]; i++) {
            Vf weight = vf_all(tensor_is_none(weights) ? 1 : f32_row(weights, r)[i]);
            sum = vf_fma(weight, vf_load_n(combine_part(c, r, i) + o, n), sum);
        }
        vf_store_n(y + o, sum, n);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    int64_t width = tensor_width(c->out[0]), of_row = (width + PART - 1) / PART;
    combine_check(c);
    Range parts = part_range(part, c->out[0].dim[0] * of_row, 1);
    for (int64_t p = parts.from; p < parts.to; p++) {
        int64_t from = p % of_row * PART;
        combine_columns(c, p / of_row, from, min_i64(from + PART, width));
    }
}

static int64_t threads(const OpCall *c) { return tensor_elems(c->in[COMBINE_X]) / ELEMS_PER_THREAD + 1; }

const CpuKernel TIERED(kernel_combine) = {.phases = 1, .threads = threads, .run = run};
