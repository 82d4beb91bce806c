#include "kernels/activate/activate.h"
#include "kernels/kit/vmath.h"

/* f is a constant where this is inlined, so the choice is made once and not for each vector. */
INLINE void activate_row(Activation f, float *y, const float *x, int64_t width)
{
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        vf_store(y + i, vf_activate(f, vf_load(x + i)));
    if (i < width)
        vf_store_n(y + i, vf_activate(f, vf_load_n(x + i, (int)(width - i))), (int)(width - i));
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
        switch (c->activation) {
#define CASE(f) case f: activate_row(f, to, from, width); break;
        FOR_EACH_ACTIVATION(CASE)
#undef CASE
        }
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_activate) = {.phases = 1, .threads = threads, .run = run};
