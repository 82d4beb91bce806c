#include "kernels/kit/simd.h"
#include "kernels/rope/rope.h"

INLINE void turn(float *a, float *b, float cosine, float sine)
{
    float x = *a, y = *b;
    *a = x * cosine - y * sine;
    *b = y * cosine + x * sine;
}

/* Neighbours lie across vectors: left to the compiler. */
static void turn_neighbours(float *head, const float *cosines, const float *sines, int64_t half)
{
    for (int64_t i = 0; i < half; i++)
        turn(&head[2 * i], &head[2 * i + 1], cosines[i], sines[i]);
}

static void turn_halves(float *head, const float *cosines, const float *sines, int64_t half)
{
    int64_t i = 0;
    for (; i + LANES <= half; i += LANES) {
        Vf a = vf_load(head + i), b = vf_load(head + half + i);
        Vf cosine = vf_load(cosines + i), sine = vf_load(sines + i);
        vf_store(head + i, vf_sub(vf_mul(a, cosine), vf_mul(b, sine)));
        vf_store(head + half + i, vf_add(vf_mul(b, cosine), vf_mul(a, sine)));
    }
    for (; i < half; i++)
        turn(&head[i], &head[i + half], cosines[i], sines[i]);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor x = c->out[0], angles = c->in[0];
    int64_t half = tensor_width(angles) / 2, width = innermost(x);
    ASSERT(angles.dim[0] == x.dim[0] && 2 * half <= width);
    Range rows = part_range(part, x.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        const float *cosines = f32_row(angles, r), *sines = cosines + half;
        for (int64_t at = 0; at < tensor_width(x); at += width)
            (c->rope.interleaved ? turn_neighbours : turn_halves)(f32_row_out(x, r) + at, cosines,
                                                                  sines, half);
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_rope) = {.phases = 1, .threads = threads, .run = run};
