#include "kernels/layer_norm/layer_norm.h"

#include <math.h>

#include "kernels/kit/simd.h"

typedef struct Affine { const float *gain, *bias; } Affine;     /* NULL: ones, zeros */

INLINE Vf finish(Vf deviation, Vf factor, Affine a, int32_t i, int n)
{
    Vf y = vf_mul(deviation, factor);
    if (a.gain)
        y = vf_mul(y, vf_load_n(a.gain + i, n));
    return a.bias ? vf_add(y, vf_load_n(a.bias + i, n)) : y;
}

static void norm(float *y, const float *x, Affine a, int32_t width, float eps)
{
    int32_t whole = width / LANES * LANES, rest = width - whole;
    Vf sum = vf_load_n(x + whole, rest);
    for (int32_t i = 0; i < whole; i += LANES)
        sum = vf_add(sum, vf_load(x + i));

    float means[LANES];
    Vf mean = vf_all(vf_sum(sum) / (float)width);
    vf_store(means, mean);
    Vf last = vf_sub(vf_load_n(x + whole, rest), vf_load_n(means, rest));   /* 0 in the lanes beyond */
    Vf squares = vf_mul(last, last);
    for (int32_t i = 0; i < whole; i += LANES) {
        Vf deviation = vf_sub(vf_load(x + i), mean);
        squares = vf_fma(deviation, deviation, squares);
    }

    Vf factor = vf_all(1 / sqrtf(vf_sum(squares) / (float)width + eps));
    for (int32_t i = 0; i < whole; i += LANES)
        vf_store(y + i, finish(vf_sub(vf_load(x + i), mean), factor, a, i, LANES));
    vf_store_n(y + whole, finish(last, factor, a, whole, rest), rest);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], x = c->in[0], gain = c->in[1], bias = c->in[2];
    int32_t width = innermost(x);
    Affine a = {tensor_is_none(gain) ? NULL : tensor_f32(gain),
                tensor_is_none(bias) ? NULL : tensor_f32(bias)};
    ASSERT(same_shape(y, x) && (!a.gain || tensor_width(gain) == width) &&
           (!a.bias || tensor_width(bias) == width));
    Range rows = part_range(part, x.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++)
        for (int64_t at = 0; at < tensor_width(x); at += width)
            norm(f32_row_out(y, r) + at, f32_row(x, r) + at, a, width, c->eps);
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_layer_norm) = {.phases = 1, .threads = threads, .run = run};
