#include "kernels/rope/rope.h"

static void turn(float *a, float *b, double cosine, double sine)
{
    double x = *a, y = *b;
    *a = (float)(x * cosine - y * sine);
    *b = (float)(y * cosine + x * sine);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase, (void)part;
    Tensor x = c->out[0], angles = c->in[0];
    int64_t half = tensor_width(angles) / 2, width = innermost(x);
    ASSERT(angles.dim[0] == x.dim[0] && 2 * half <= width);
    for (int64_t r = 0; r < x.dim[0]; r++)
        for (int64_t at = 0; at < tensor_width(x); at += width)
            for (int64_t i = 0; i < half; i++) {
                float *head = f32_row_out(x, r) + at;
                const float *cosines = f32_row(angles, r), *sines = cosines + half;
                if (c->rope.interleaved)
                    turn(&head[2 * i], &head[2 * i + 1], cosines[i], sines[i]);
                else
                    turn(&head[i], &head[i + half], cosines[i], sines[i]);
            }
}

static OpCost cost(const OpCall *c)
{
    Tensor x = c->out[0], angles = c->in[0];
    double turned = (double)(tensor_elems(x) / innermost(x)) * (double)tensor_width(angles);
    return (OpCost){.operations = 3 * turned, .activation_bytes = 8 * turned + bytes_moved(angles)};
}

const CpuKernel kernel_rope_reference = {.phases = 1, .run = run};
const OpSpec spec_rope = {.cost = cost, .tolerance = 5e-7f};
