#include "kernels/rope_angles/rope_angles.h"

#include <math.h>

/* Hugging Face computes this in F32: each step is rounded. */
static float dynamic_base(const RopeAngles *a, int32_t length)
{
    float stretch = a->factor * (float)length / (float)a->original_length - (a->factor - 1);
    return a->base * (float)pow(stretch, (double)a->dims / (a->dims - 2));
}

static float dynamic_inv_freq(float base, int32_t i, int32_t dims)
{
    return 1 / (float)pow(base, (float)(2 * i) / (float)dims);
}

static void fill_row(float *cos_out, int32_t position, int32_t length, Tensor inv_freq, const RopeAngles *a)
{
    int32_t half = a->dims / 2;
    float *sin_out = cos_out + half;
    bool beyond = a->kind != ROPE_FIXED && length > a->original_length;
    bool grown = beyond && a->kind == ROPE_DYNAMIC, longer = beyond && a->kind == ROPE_LONG;
    const float *table = f32_row(inv_freq, longer ? 1 : 0);
    float base = grown ? dynamic_base(a, length) : 0;
    float magnitude = longer ? a->magnitude_long : a->magnitude;
    for (int32_t i = 0; i < half; i++) {
        float turn = grown ? copysignf(dynamic_inv_freq(base, i, a->dims), table[i]) : table[i];
        float angle = (float)position * turn;
        double s, c;
        sincos(angle, &s, &c);
        cos_out[i] = (float)c * magnitude;
        sin_out[i] = (float)s * magnitude;
    }
}

void rope_angles_range(const OpCall *c, Range rows)
{
    Tensor angles = c->out[0], inv_freq = c->in[2];
    const RopeAngles *a = &c->angles;
    const int32_t *positions = tensor_i32(c->in[0]);
    const int32_t *lengths = a->kind == ROPE_FIXED ? NULL : tensor_i32(c->in[1]);
    ASSERT(a->dims >= 2 && a->dims % 2 == 0 && tensor_width(angles) == a->dims);
    ASSERT(tensor_width(inv_freq) == a->dims / 2 && inv_freq.dim[0] >= (a->kind == ROPE_LONG ? 2 : 1));
    ASSERT(a->kind != ROPE_DYNAMIC || a->dims > 2);
    for (int64_t r = rows.from; r < rows.to; r++)
        fill_row(f32_row_out(angles, r), positions[r], lengths ? lengths[r] : 0, inv_freq, a);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    rope_angles_range(c, (Range){0, c->out[0].dim[0]});
}

static OpCost cost(const OpCall *c)
{
    Tensor angles = c->out[0];
    return (OpCost){.operations = 2 * (double)tensor_elems(angles),
                    .weight_bytes = bytes_moved(c->in[2]),
                    .activation_bytes = bytes_moved(angles) + bytes_moved(c->in[0]) + bytes_moved(c->in[1])};
}

const CpuKernel kernel_rope_angles_reference = {.phases = 1, .run = run};
const OpSpec spec_rope_angles = {.cost = cost};
